"""The command `explore`: a page, or a GIF, that steps through a computation."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer

from .drawing import (
    PANEL,
    Function,
    Inputs,
    Model,
    NoNames,
    Quiet,
    Row,
    Rows,
    Source,
    Title,
    Untrained,
    check_place,
    check_theme,
    drawing_command,
    drawing_on_failure,
    print_line,
    rows_of,
    source_function,
    source_result,
)  # fmt: skip
from .errors import reporting_errors
from .options import decimal, flag, integer, option, word

SECONDS, WIDTH = 1.2, 1200  # seconds per step of a GIF, and its width in pixels
PLAIN = {"seconds": SECONDS, "width": WIDTH, "theme": "light"}


@drawing_command("explore")
def explore(
    function: Function = None,
    inputs: Inputs = None,
    out: Annotated[
        str | None, option(PANEL, "File of the page; by default explore.html.", metavar="FILE.html", show_default=False)
    ] = None,
    gif: Annotated[
        str | None, option(PANEL, "Write the same steps as an animated GIF.", metavar="FILE.gif", show_default=False)
    ] = None,
    seconds: Annotated[float, decimal(PANEL, "Duration of a step of the GIF.")] = SECONDS,
    width: Annotated[int, integer(PANEL, "Width of the GIF in pixels.")] = WIDTH,
    theme: Annotated[str, word(PANEL, "Theme of the GIF: light or dark; pages follow the system.")] = "light",
    title: Title = None,
    serve: Annotated[
        bool, flag("--serve", PANEL, "Serve a live page, on which numbers and operations can be changed.")
    ] = False,
    port: Annotated[int, integer(PANEL, "Port of the served page; 0 takes a free one.")] = 0,
    no_browser: Annotated[bool, flag("--no-browser", PANEL, "Do not open the served page in the browser.")] = False,
    rows: Rows = None,
    row: Row = None,
    model: Model = None,
    untrained: Untrained = False,
    no_names: NoNames = False,
    quiet: Quiet = False,
    **options: Any,
) -> None:
    """Write a page that steps through a computation, forward and back.

    Without FILE.py:FUNCTION: the loss of two flowers, by a network trained on iris. The options from Data on choose
    another network.
    """
    film = {"seconds": seconds, "width": width, "theme": theme}

    def work() -> None:
        source = Source(function, inputs, options, quiet, untrained, rows_of(rows, row), not no_names, model)
        if serve:
            plain = gif is None and all(film[name] == value for name, value in PLAIN.items())
            _serve(source, out, plain, title, port, not no_browser)
            return
        if port or no_browser:
            raise ValueError(f"--{'port' if port else 'no-browser'} is for a page that is served; add --serve.")
        _explore(source, out, gif, film, title)

    reporting_errors(work)


def _serve(source: Source, out: str | None, plain: bool, title: str | None, port: int, open_browser: bool) -> None:
    from .. import viz

    if not plain:
        raise ValueError("a GIF cannot be served; leave out --serve, or what belongs to the GIF.")
    if out is not None:
        check_place(out, (".html", ".htm"))
    function, arguments, keywords, names, found = source_function(source)
    server = viz.explore(
        partial(function, **keywords) if keywords else function, *([] if out is None else [out]), *arguments,
        title=title or found, names=names, serve=True, port=port, open_browser=open_browser,
    )  # fmt: skip
    typer.echo(f"The page is at {server.url} - Ctrl-C stops it.")
    server.wait()


def _explore(source: Source, out: str | None, gif: str | None, film: dict[str, Any], title: str | None) -> None:
    from .. import viz

    odd = [f"{name}={film[name]}" for name in film if film[name] != PLAIN[name]]
    if gif is None and odd:
        raise ValueError(f"{odd[0]} is for a GIF; add gif=FILE.gif.")
    check_theme(film["theme"])
    if gif is None and out is None:
        out = "explore.html"
    if gif is not None:
        check_place(gif, (".gif",))
    if out is not None:
        check_place(out, (".html", ".htm"))
    with drawing_on_failure(source, out):
        result, names, found, _ = source_result(source)
    if gif is not None:  # first, because it can fail for being too long
        viz.animate(result, gif, names=names, **film)
        print_line(source.quiet, f"The animation is in {gif}.")
    if out is not None:
        viz.explore(result, out, title=title or found, names=names)
        print_line(source.quiet, f"The page is in {out}; open it in a browser.")
