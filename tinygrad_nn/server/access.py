"""Who may ask: this machine by its own name, a page of this server, with the token."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Access:
    """The token and the port that a request must name."""

    token: str
    port: int

    def refusal(self, method: str, headers: Mapping[str, str], token: str) -> str | None:
        """Return why a request is refused, or None.

        Args:
            method: GET or POST.
            headers: of the request, their names in small letters.
            token: that the request shows, by its URL or its header ``X-Token``.
        """
        hosts = {f"127.0.0.1:{self.port}", f"localhost:{self.port}"}
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in hosts:  # a name of somebody else's that leads here (DNS rebinding)
            return "this server answers at its own address only"
        if origin is not None and origin != f"http://{host}":
            return "a page of another origin asks"
        visit = method == "GET" and headers.get("sec-fetch-dest") == "document"  # a link that somebody follows
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not visit:
            return "a page of another origin asks"
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            return "the token is missing or wrong; open the address that was printed when the server started"
        return None
