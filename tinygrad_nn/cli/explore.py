"""The command `explore`: a page, or a GIF, that steps through a computation."""

from __future__ import annotations

from typing import Annotated, Any

from .drawing import (
    PANEL,
    Function,
    Inputs,
    NoNames,
    Quiet,
    Rows,
    Source,
    Title,
    Untrained,
    check_place,
    check_theme,
    drawing_command,
    drawn_so_far,
    source_result,
    tell,
)  # fmt: skip
from .errors import teach
from .options import named, option, real, whole

SECONDS, WIDTH = 1.2, 1200  # of a step of a GIF, and in pixels


@drawing_command("explore")
def explore(
    function: Function = None,
    inputs: Inputs = None,
    out: Annotated[
        str | None, option(PANEL, "Where to; by default explore.html.", metavar="FILE.html", show_default=False)
    ] = None,
    gif: Annotated[
        str | None, option(PANEL, "The same walk as an animated GIF.", metavar="FILE.gif", show_default=False)
    ] = None,
    seconds: Annotated[float, real(PANEL, "That a step of the GIF is shown.")] = SECONDS,
    width: Annotated[int, whole(PANEL, "Of the GIF, in pixels.")] = WIDTH,
    theme: Annotated[str, named(PANEL, "Of the GIF: light or dark; the page follows its reader's system.")] = "light",
    title: Title = None,
    rows: Rows = None,
    untrained: Untrained = False,
    no_names: NoNames = False,
    quiet: Quiet = False,
    **options: Any,
) -> None:
    """Write a page that steps through a computation, forward and back.

    Without FILE.py:FUNCTION: the loss of two flowers, by a network trained on iris. The options from Data on say what
    network that is.
    """
    film = {"seconds": seconds, "width": width, "theme": theme}
    source = Source(function, inputs, options, quiet, untrained, rows, not no_names)
    teach(lambda: _explore(source, out, gif, film, title))


def _explore(source: Source, out: str | None, gif: str | None, film: dict[str, Any], title: str | None) -> None:
    from .. import viz

    plain = {"seconds": SECONDS, "width": WIDTH, "theme": "light"}
    odd = [f"{name}={film[name]}" for name in film if film[name] != plain[name]]
    if gif is None and odd:
        raise ValueError(f"{odd[0]} is for a GIF; add gif=FILE.gif.")
    check_theme(film["theme"])
    if gif is None and out is None:
        out = "explore.html"
    if gif is not None:
        check_place(gif, (".gif",))
    if out is not None:
        check_place(out, (".html", ".htm"))
    with drawn_so_far(source, out):
        result, names, found, _ = source_result(source)
    if gif is not None:  # first, as it is what can be too long
        viz.animate(result, gif, names=names, **film)
        tell(source.quiet, f"The animation is in {gif}.")
    if out is not None:
        viz.explore(result, out, title=title or found, names=names)
        tell(source.quiet, f"The page is in {out}; open it in a browser.")
