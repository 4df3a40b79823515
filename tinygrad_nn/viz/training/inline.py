"""Display of plots in notebooks without pyplot: when they are the result of a cell, or else when the cell ends."""

from __future__ import annotations

import base64
import io
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from ...common.display import notebook
from ...common.printable import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI, PIXELS = 144, 96  # resolution of the picture, and CSS pixels per inch: sharp on screens of high resolution
_waiting: list[Axes] = []  # plots of the running cell that have not been displayed, in order


@cache
def notebook_axes() -> type[Axes]:
    """Return a subclass of Matplotlib's ``Axes`` that a notebook displays as a picture."""
    from matplotlib.axes import Axes

    class Plot(Axes):
        def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
            return mime_bundle(self)

    Plot.__name__ = Plot.__qualname__ = "Axes"
    return Plot


def mime_bundle(ax: Axes) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the MIME bundle of the figure of some axes: a PNG with its size and alternative text, and the repr."""
    data, about = {"text/plain": repr(ax)}, {}
    figure = ax.get_figure(root=True)
    _waiting[:] = [other for other in _waiting if other.get_figure(root=True) is not figure]
    if figure is not None and not _is_shown_by_pyplot(figure):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight")
        picture = buffer.getvalue()
        data["image/png"] = base64.b64encode(picture).decode()
        width, height = (int.from_bytes(picture[start : start + 4], "big") for start in (16, 20))  # in the PNG header
        about["image/png"] = {"width": width * PIXELS // DPI, "height": height * PIXELS // DPI, "alt": plot_text(ax)}
    return data, about


def plot_text(ax: Axes) -> str:
    """Return a description of a plot: its title, else the labels of its axes."""
    return printable(ax.get_title() or " by ".join(filter(None, (ax.get_ylabel(), ax.get_xlabel()))) or "a plot")


def _is_shown_by_pyplot(figure: Any) -> bool:
    """Whether pyplot will display a figure itself, at the end of the cell or in a window."""
    pyplot: Any = sys.modules.get("matplotlib.pyplot")
    if pyplot is None or not hasattr(figure, "number") or not pyplot.fignum_exists(figure.number):
        return False
    return str(pyplot.get_backend()).lower() not in ("agg", "svg", "pdf", "ps", "cairo")


def show_at_cell_end(ax: Axes) -> None:
    """Register new axes for display at the end of the cell, unless they are displayed before."""
    shell = notebook()
    if shell is None:
        return
    if _show_waiting not in shell.events.callbacks["post_run_cell"]:
        shell.events.register("post_run_cell", _show_waiting)
    _waiting.append(ax)


def _show_waiting(result: Any = None) -> None:
    waiting, shell = list(_waiting), notebook()
    _waiting.clear()
    for ax in waiting:
        if shell is not None and getattr(result, "success", True):
            data, metadata = mime_bundle(ax)
            shell.display_pub.publish(data=data, metadata=metadata)
