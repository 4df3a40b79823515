"""Plots in a notebook: they are shown without pyplot, where they are returned and at the latest as their cell ends."""

from __future__ import annotations

import base64
import io
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from ...display import notebook
from ...printable import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI, PIXELS = 144, 96  # of the picture, and those of a page for an inch: sharp on a fine screen
_waiting: list[Axes] = []  # plots of the cell that runs, in their order


@cache
def shown_axes() -> type[Axes]:
    """Return the class of axes that a notebook shows as a picture; everywhere else they are Matplotlib's."""
    from matplotlib.axes import Axes

    class Plot(Axes):
        def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
            return bundle(self)

    Plot.__name__ = Plot.__qualname__ = "Axes"
    return Plot


def bundle(ax: Axes) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the figure of axes as a notebook takes it: a PNG with its size and words, and its text."""
    data, about = {"text/plain": repr(ax)}, {}
    figure = ax.get_figure(root=True)
    _waiting[:] = [other for other in _waiting if other.get_figure(root=True) is not figure]
    if figure is not None and not _by_pyplot(figure):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight")
        picture = buffer.getvalue()
        data["image/png"] = base64.b64encode(picture).decode()
        width, height = (int.from_bytes(picture[start : start + 4], "big") for start in (16, 20))  # of its header
        about["image/png"] = {"width": width * PIXELS // DPI, "height": height * PIXELS // DPI, "alt": words(ax)}
    return data, about


def words(ax: Axes) -> str:
    """Return what a plot shows: its title, else what stands at its axes."""
    return printable(ax.get_title() or " by ".join(filter(None, (ax.get_ylabel(), ax.get_xlabel()))) or "a plot")


def _by_pyplot(figure: Any) -> bool:
    """Whether pyplot shows a figure as the cell ends, or in a window of its own."""
    pyplot: Any = sys.modules.get("matplotlib.pyplot")
    if pyplot is None or not hasattr(figure, "number") or not pyplot.fignum_exists(figure.number):
        return False
    return str(pyplot.get_backend()).lower() not in ("agg", "svg", "pdf", "ps", "cairo")


def awaited(ax: Axes) -> None:
    """Show new axes as the cell ends, if that has not been done before."""
    shell = notebook()
    if shell is None:
        return
    if _as_the_cell_ends not in shell.events.callbacks["post_run_cell"]:
        shell.events.register("post_run_cell", _as_the_cell_ends)
    _waiting.append(ax)


def _as_the_cell_ends(result: Any = None) -> None:
    waiting, shell = list(_waiting), notebook()
    _waiting.clear()
    for ax in waiting:
        if shell is not None and getattr(result, "success", True):
            data, metadata = bundle(ax)
            shell.display_pub.publish(data=data, metadata=metadata)
