"""Access control of the local server: a request needs a local host name, this server's origin and the token."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Access:
    """The token and the port against which requests are checked."""

    token: str
    port: int

    def refusal(self, method: str, headers: Mapping[str, str], token: str) -> str | None:
        """Return why a request is refused, or None.

        Args:
            method: GET or POST.
            headers: the headers of the request, with lowercase names.
            token: the token that the request sent in its URL or in its header ``X-Token``.
        """
        hosts = {f"127.0.0.1:{self.port}", f"localhost:{self.port}"}
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in hosts:  # a foreign host name that resolves to 127.0.0.1 (DNS rebinding)
            return "this server answers at its own address only"
        if origin is not None and origin != f"http://{host}":
            return "the request comes from a page of another origin"
        visit = method == "GET" and headers.get("sec-fetch-dest") == "document"  # the user followed a link
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not visit:
            return "the request comes from a page of another origin"
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            return "the token is missing or wrong; open the address that was printed when the server started"
        return None
