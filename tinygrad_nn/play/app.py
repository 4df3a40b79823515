"""`play`: the playground's page and its routes, served on 127.0.0.1."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from html import escape
from importlib import resources
from typing import Any

from ..common.pages import fill_template, script_json
from ..server import Download, Request, Server, Sessions, client, policy_hash, serve
from .choices import Choices
from .data import TableFile
from .session import Session

SCRIPTS = ("colours.js", "frame.js", "boundary.js", "network.js", "charts.js", "sample.js", "controls.js", "page.js")


def play(
    choices: Choices | None = None, table: TableFile | None = None, *, port: int = 0, open_browser: bool = True
) -> Server:
    """Serve the playground on 127.0.0.1, and open it in the browser.

    Each tab that opens the printed address gets its own playground. Reloading a page, or opening the address of that
    page in another tab, shows the same playground. The state is kept in this process.

    Args:
        choices: the initial choices; table: the file of a table.
        port: the port to listen on; 0 takes a free one.
        open_browser: whether to open the page.

    Returns:
        The running `Server`; ``server.wait()`` blocks until it stops.

    Raises:
        ImportError: the extra ``play`` is not installed.
        OSError: the port is taken.
        ValueError: a network cannot be trained on the table with these choices.

    Example:
        >>> with play(open_browser=False) as server:
        ...     server.url.startswith("http://127.0.0.1:")
        True
    """
    first = Session(choices, table)  # created here, so that errors are raised before a server starts
    waiting = [first]
    sessions: Sessions[Session] = Sessions(lambda: waiting.pop() if waiting else Session(choices, table))

    def pause_all() -> None:
        for session in sessions:
            session.do("pause")

    return serve(routes(sessions), port=port, open_browser=open_browser, at_end=pause_all)


def routes(sessions: Sessions[Session]) -> dict[str, Callable[[Request], Any]]:
    """Return the handlers of all paths."""

    def of(request: Request) -> Session:
        return sessions[request.session]

    def take(request: Request) -> Any:
        name, text = request.body.get("name"), request.body.get("base64")
        if not isinstance(name, str) or not isinstance(text, str):
            raise ValueError('A table is sent as {"name": "data.csv", "base64": "..."}.')
        try:
            content = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("The content of the file that was sent is not base64.") from None
        return of(request).take(re.split(r"[/\\]", name)[-1][:200] or "table.csv", content)

    def frame(request: Request) -> Any:
        try:
            known, curve, points = (int(request.query.get(name, plain)) for name, plain in
                                    (("known", "-1"), ("curve", "-1"), ("points", "0")))  # fmt: skip
        except ValueError:
            raise ValueError("A frame is requested with whole numbers: known, curve and points.") from None
        return Download("frame", of(request).frame(known, (curve, max(0, points))))

    return {
        "GET /": lambda request: page(of(request).state()),
        "POST /state": lambda request: of(request).state(),
        "POST /do": lambda request: of(request).do(request.body.get("what"), request.body.get("pace")),
        "POST /choose": lambda request: of(request).choose(request.body),
        "POST /table": take,
        "POST /look": lambda request: of(request).look(request.body),
        "POST /sample": lambda request: of(request).sample(),
        "GET /frame": frame,
        "GET /explorer": lambda request: of(request).explorer(),
        "GET /network": lambda request: Download("model.safetensors", of(request).network()),
        "GET /script": lambda request: Download("train.py", of(request).script().encode()),
    }


def page(state: dict[str, Any]) -> str:
    """Return the HTML of the playground. All user data is in one block of JSON and is displayed as text only."""
    folder = resources.files(__package__) / "page"
    read = {name: (folder / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", *SCRIPTS)}
    style, script = read["page.css"], "\n".join([client(), *(read[name] for name in SCRIPTS)])
    policy = "default-src 'none'; img-src data:; connect-src 'self'; "
    policy += f"style-src {policy_hash(style)}; script-src {policy_hash(script)}"
    parts = {"policy": escape(policy), "style": style, "script": script, "state": script_json(state)}
    return fill_template(read["page.html"], parts)
