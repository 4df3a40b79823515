"""Matplotlib plots of a training. Each function draws on given axes or creates new ones, and returns them."""

from __future__ import annotations

import io
import math
import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...common.printable import counted, printable
from ...common.spelling import named_options
from ...files import write_whole
from ..graph.picture import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, INK, VIOLET = "#0072b2", "#d55e00", "#00714f", "#1b1f24", "#8c2d6b"
MARKERS = "osD^vPX*"
MOST_COUNTS = 30  # classes of a confusion matrix whose counts are written


@named_options()
def plot_history(history: Any, ax: Axes | None = None, *, metric: str = "loss", test: float | None = None) -> Axes:
    """Plot the loss or a metric over the epochs, for the training, validation and test data as far as available.

    Args:
        history: a mapping or an object with ``loss`` and optionally ``val_loss`` and ``test_loss`` (sequences of one
            number per epoch) and ``metrics`` (a dict of further sequences, such as ``accuracy``, ``val_accuracy``).
        ax: Matplotlib axes to draw on.
        metric: ``"loss"``, or the name of a metric.
        test: the final value on the test data, drawn as a dotted line.

    Returns:
        The axes.

    Raises:
        ValueError: the history has no such curve.

    Example:
        >>> ax = plot_history({"loss": [0.9, 0.4, 0.2], "val_loss": [1.0, 0.6, 0.5]})
        >>> ax.get_xlabel(), [line.get_label() for line in ax.get_lines()]
        ('epoch', ['training', 'validation'])
    """
    from matplotlib.ticker import MaxNLocator

    curves = [_series(history, f"{part}{metric}") for part in ("", "val_", "test_")]
    if not curves[0].size:
        if metric == "loss":
            raise ValueError("this history has no losses; pass what fit returned, or {'loss': [...], 'val_loss': []}.")
        known = [name for name in (_history_entry(history, "metrics") or {}) if not name.startswith(("val_", "test_"))]
        raise ValueError(f"this history has no {metric!r}; it has {', '.join(map(repr, ['loss', *known]))}.")
    ax = _axes(ax, (6.4, 4.0))
    for label, values, colour, dash in zip(("training", "validation", "test"), curves, (BLUE, ORANGE, GREEN),
                                           ("-", "--", "-."), strict=True):  # fmt: skip
        if np.isfinite(values).any():
            epochs = np.arange(1, values.size + 1)
            marker = "o" if values.size <= 30 else ""
            ax.plot(epochs, values, dash, color=colour, linewidth=1.8, marker=marker, markersize=4, label=label)
    if test is not None:
        ax.axhline(test, color=GREEN, linestyle=":", linewidth=1.8, label=f"test {test:.4g}")
    ax.set(xlabel="epoch", ylabel=_plain_text(metric))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    tidy(ax)
    if len(ax.get_lines()) > 1:
        legend(ax)
    return ax


@named_options()
def plot_confusion(matrix: Any, names: Sequence[Any] | None = None, ax: Axes | None = None) -> Axes:
    """Plot a confusion matrix: the numbers are counts, the colors are shares of the true class.

    With more than 30 classes only the colors are drawn.

    Args:
        matrix: counts, (classes, classes); entry [i, j] counts rows of true class i that were predicted as class j.
        names: the names of the classes, by default their numbers.
        ax: Matplotlib axes to draw on.

    Returns:
        The axes.

    Raises:
        ValueError: the matrix is not square, or has another number of classes than names.

    Example:
        >>> ax = plot_confusion([[9, 1], [0, 10]], names=["no", "yes"])
        >>> [text.get_text() for text in ax.texts]
        ['9', '1', '0', '10']
    """
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ValueError(f"a confusion matrix is square, (classes, classes); this has shape {counts.shape}.")
    n = len(counts)
    labels = [_plain_text(name) for name in (range(n) if names is None else names)]
    if len(labels) != n:
        raise ValueError(f"the matrix is of {counted(n, 'class')}, but names has {len(labels)}: {labels}.")
    longest, widest = max(map(len, labels)), max(len(f"{count:,}") for count in counts.flat)
    cell = max(0.62, min(0.8, 0.1 * widest), min(1.2, 0.095 * longest) if n <= 4 else 0.0)  # inches
    cell = cell if n <= MOST_COUNTS else 0.22
    margin = min(0.08 * longest, 3.0)
    slope = 45 if n <= MOST_COUNTS else 90  # slanted names would touch in columns as narrow as a line of text
    slanted = math.sin(math.radians(slope)) * margin if n > 4 or 6.4 * longest > 72 * cell else 0.0  # inches below
    ax = _axes(ax, (max(4.2, 1.4 + margin + cell * n), max(3.8, 0.9 + cell * n + slanted)))
    whole = ax.figure.get_figure(root=True).get_figwidth() * ax.get_position().width  # inches, without the layout
    room = 72 * min(cell, whole / n)  # points per column
    size = max(5.0, min(11.0 if n <= 12 else 8.0, room / (0.72 * widest)))
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)  # share of the row's true class
    image = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (i, j), count in np.ndenumerate(counts if n <= MOST_COUNTS else counts[:0]):
        colour = "white" if share[i, j] > 0.55 else INK
        ax.text(j, i, f"{count:,}", ha="center", va="center", color=colour, fontsize=size)
    crowded = 6.4 * longest > room  # 6.4 points per letter of a tick label
    aligned = "right" if crowded and slope == 45 else "center"
    ax.set_xticks(range(n), labels, rotation=slope if crowded else 0, ha=aligned)
    ax.set_yticks(range(n), labels)
    ax.set(xlabel="predicted class", ylabel="true class")
    ax.set_xticks(np.arange(n - 1) + 0.5, minor=True)
    ax.set_yticks(np.arange(n - 1) + 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    bar = ax.figure.colorbar(image, cax=ax.inset_axes((1.04, 0, 0.045, 1)), label="share of the true class")
    bar.outline.set_visible(False)
    return ax


@named_options()
def save_figure(ax: Axes, path: str | os.PathLike[str]) -> Path:
    """Write the figure of some axes to a file, completely or not at all, and return the path; the suffix is the format.

    Raises:
        ValueError: Matplotlib cannot write this suffix, or the axes belong to no figure.
        FileNotFoundError: the folder does not exist.
    """
    import matplotlib as mpl

    if not hasattr(ax, "get_figure"):
        raise TypeError(
            f"save_figure takes the axes that a plot returned; it got {ax!r:.60} of type {type(ax).__name__}. Write "
            "save_figure(plot_history(history), 'history.png')."
        )
    figure = ax.get_figure(root=True)
    kind = Path(path).suffix.lower()[1:]
    if figure is None:
        raise ValueError("these axes were removed from their figure; plot them again.")
    known = sorted(figure.canvas.get_supported_filetypes())
    if kind not in known:
        raise ValueError(f"a plot is saved as one of .{', .'.join(known)}; {str(path)!r} ends in none of these.")
    dates = {"svg": "Date", "pdf": "CreationDate", "ps": "CreationDate", "eps": "CreationDate"}
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "tinygrad_nn"}):  # the same bytes for the same plot
        undated = {dates[kind]: None} if kind in dates else None
        figure.savefig(buffer, format=kind, dpi=150, bbox_inches="tight", metadata=undated)
    return write_whole(path, buffer.getvalue())


def _axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Return the given axes or new ones, which belong to pyplot if it was imported, else to a figure without a window.

    A notebook displays new axes, see `notebook_axes`.
    """
    if ax is not None:
        if not hasattr(ax, "get_figure"):
            raise TypeError(
                f"ax={ax!r:.60} is of type {type(ax).__name__}; it needs Matplotlib axes: fig, ax = plt.subplots()."
            )
        return ax
    from .inline import notebook_axes, show_at_cell_end

    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        return pyplot.figure(figsize=size, layout="constrained").subplots(subplot_kw={"axes_class": notebook_axes()})  # type: ignore[no-any-return]
    from matplotlib.figure import Figure

    axes: Axes = Figure(figsize=size, layout="constrained").subplots(subplot_kw={"axes_class": notebook_axes()})
    show_at_cell_end(axes)
    return axes


def tidy(ax: Axes) -> None:
    """Add a light grid below the curves, and hide the frame at the top and on the right."""
    ax.grid(True, color="#d0d7de", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def legend(ax: Axes) -> None:
    """Add a legend with a background that hides lines and the grid behind it."""
    ax.legend(facecolor="white", edgecolor="none", framealpha=0.9)


def _history_entry(history: Any, key: str) -> Any:
    return history.get(key) if hasattr(history, "get") else getattr(history, key, None)


def _series(history: Any, key: str) -> np.ndarray[Any, Any]:
    """Return one curve of a history as a float array, with NaN for None; empty if there is no such curve."""
    values = _history_entry(history, key)
    if values is None:
        values = (_history_entry(history, "metrics") or {}).get(key)
    return np.array([np.nan if v is None else v for v in (() if values is None else values)], dtype=float)


def _plain_text(name: Any) -> str:
    """Return a name as text that Matplotlib can draw and does not parse as a formula; a long one is cut."""
    return legible(shorten(str(name))).replace("$", r"\$")


def legible(text: str, weight: str = "normal") -> str:
    r"""Return text with invisible characters, and those missing in the fonts of a plot, written as escapes.

    Example:
        >>> print(legible("é " + chr(0x1f338)))
        é \U0001f338
    """
    text = printable(text)
    if text.isascii():
        return text
    letters = _letters(_families(), weight)
    return "".join(c if ord(c) in letters else c.encode("unicode_escape").decode() for c in text)


def _families() -> tuple[str, ...]:
    """Return the names of the fonts in which Matplotlib searches a character, in order."""
    import matplotlib as mpl

    settings: Any = mpl.rcParams
    return tuple(font for name in settings["font.family"] for font in settings.get(f"font.{name}", [name]))


@cache
def _letters(families: tuple[str, ...], weight: str) -> frozenset[int]:
    """Return the code points available in any of these fonts, as far as they are installed."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    found: set[int] = set()
    for name in families:
        try:
            path = findfont(FontProperties(family=[name], weight=weight), fallback_to_default=False)
        except ValueError:
            continue
        found |= get_font(path).get_charmap().keys()
    return frozenset(found)
