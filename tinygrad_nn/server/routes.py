"""The routes of the local server: handlers are functions of a `Request`, and their results become responses."""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from ..common.printable import printable
from .access import Access
from .sessions import is_session, new_session

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request as WebRequest
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

MOST_BYTES = 16 * 2**20  # limit of a request; a response may have four times as much
SENT = 0.02  # seconds after which the end of a response has been sent
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
OF_PAGES = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"  # <meta> does not allow these
OF_REST = f"default-src 'none'; {OF_PAGES}"


@dataclass(frozen=True)
class Request:
    """The argument of a handler.

    Attributes:
        session: the name of the session, from the URL.
        body: the JSON object of a POST; empty for a GET.
        query: the other parameters of the URL.
    """

    session: str
    body: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Download:
    """A result that the browser saves as a file."""

    name: str
    data: bytes


Handler = Callable[[Request], Any]


def client() -> str:
    """Return the page's JavaScript for requests: ``server.ask(path, body)`` and ``server.listen(path, each)``."""
    return (resources.files(__package__) / "ask.js").read_text(encoding="utf-8")


def policy_hash(text: str) -> str:
    """Return the source expression of a content security policy that allows exactly this script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def application(routes: Mapping[str, Handler], access: Callable[[], Access], ending: Callable[[], bool]) -> Starlette:
    """Return the ASGI application of a table of routes, ``{"GET /": page, "POST /edit": edit}``."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.routing import Route

    table = []
    for name, handler in routes.items():
        method, _, path = name.partition(" ")
        if method not in ("GET", "POST") or not path.startswith("/"):
            raise ValueError(f"a route is named 'GET /path' or 'POST /path'; this is {name!r}.")
        table.append(Route(path, _endpoint(handler, ending), methods=[method]))
    return Starlette(routes=table, middleware=[Middleware(_AccessMiddleware, access=access)])


class _AccessMiddleware:
    """Middleware that refuses requests without access before any handler sees them."""

    def __init__(self, app: ASGIApp, access: Callable[[], Access]) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.requests import Request as WebRequest

        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        asked = WebRequest(scope)
        shown = asked.headers.get("x-token") or asked.query_params.get("token") or ""
        refusal = self.access().refusal(asked.method, asked.headers, shown)
        if refusal is not None:
            return await _json({"error": f"refused: {refusal}."}, 403)(scope, receive, send)
        return await self.app(scope, receive, send)


def _endpoint(handler: Handler, ending: Callable[[], bool]) -> Callable[[WebRequest], Any]:
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import RedirectResponse

    async def answer(asked: WebRequest) -> Response:
        query = dict(asked.query_params)
        session, token = query.pop("session", ""), query.pop("token", "")
        if not is_session(session):
            if asked.method == "POST":
                return _json({"error": "the URL names no session."}, 400)
            again = urlencode({"token": token, "session": new_session(), **query})
            return RedirectResponse(f"{asked.url.path}?{again}", 303, HEADERS)  # a new tab gets its own session
        try:
            body = await _body(asked) if asked.method == "POST" else {}
            result = await run_in_threadpool(handler, Request(session, body, query))
            return _response(result, ending)
        except _Refused as refused:
            return _json({"error": str(refused)}, refused.status)
        except (TypeError, ValueError, KeyError, LookupError, NotImplementedError) as wrong:
            return _json({"error": printable(wrong, keep="\n")}, 400)
        except Exception as wrong:  # an error in user code is shown by the page; the server continues
            return _json({"error": printable(f"{type(wrong).__name__}: {wrong}", keep="\n")}, 500)

    return answer


class _Refused(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


async def _body(asked: WebRequest) -> dict[str, Any]:
    """Return the JSON object in the body of a request; refuse other content and bodies that are too large."""
    if asked.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise _Refused(415, "a POST sends JSON, as application/json.")
    parts, size = [], 0
    async for part in asked.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise _Refused(413, f"more than {MOST_BYTES // 2**20} MB were sent.")
        parts.append(part)
    try:
        body = json.loads(b"".join(parts) or b"{}")
    except (ValueError, RecursionError):
        raise _Refused(400, "what was sent is not JSON.") from None
    if not isinstance(body, dict):
        raise _Refused(400, 'what was sent is JSON, but no object; send {"name": value}.')
    return body


def _response(result: Any, ending: Callable[[], bool]) -> Response:
    """Return a response: HTML for a str, a file for a `Download`, events for an iterator, otherwise JSON."""
    from starlette.background import BackgroundTask
    from starlette.responses import HTMLResponse, StreamingResponse
    from starlette.responses import Response as Plain

    if isinstance(result, str):
        headers = {**HEADERS, "Content-Security-Policy": OF_PAGES}
        return HTMLResponse(result, headers=headers, background=BackgroundTask(_collect))
    if isinstance(result, Download):
        name = quote(printable(result.name), safe="")
        headers = {**HEADERS, "Content-Security-Policy": OF_REST,
                   "Content-Disposition": f"attachment; filename*=UTF-8''{name}"}  # fmt: skip
        return Plain(result.data, media_type="application/octet-stream", headers=headers)
    if isinstance(result, Iterator):
        headers = {**HEADERS, "Content-Security-Policy": OF_REST}
        return StreamingResponse(_events(result, ending), media_type="text/event-stream", headers=headers)
    return _json(result)


def _events(values: Iterator[Any], ending: Callable[[], bool]) -> Iterator[str]:
    """Yield each value as a server-sent event; None becomes a comment that keeps the connection open."""
    for value in values:
        if ending():
            return
        yield ": \n\n" if value is None else f"data: {json.dumps(value, allow_nan=False)}\n\n"


def _json(value: Any, status: int = 200) -> Response:
    from starlette.background import BackgroundTask
    from starlette.responses import Response

    text = json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
    if len(text) > 4 * MOST_BYTES:
        status, text = 500, b'{"error":"the answer is too large."}'
    headers = {**HEADERS, "Content-Security-Policy": OF_REST}
    return Response(text, status, headers, "application/json", BackgroundTask(_collect))


async def _collect() -> None:
    """Collect garbage after a response if a full collection is near, so that no later response has to wait for it."""
    if gc.isenabled() and 2 * gc.get_count()[2] > gc.get_threshold()[2]:
        await asyncio.sleep(SENT)
        gc.collect()
