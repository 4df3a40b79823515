"""Plots of a trained network: its decision boundary, its weights, and activation functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...common.printable import counted
from ...common.spelling import named_options
from ...tensor import Tensor
from ..graph.colour import SIGNED
from ..model.values import array_of, in_eval_mode, weights
from .plots import BLUE, INK, MARKERS, ORANGE, VIOLET, _axes, _plain_text, legend, tidy
from .probe import corners, plane_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray[Any, Any]
# Okabe and Ito's colors, ordered so that neighbors differ clearly; each class also has its own marker.
CLASSES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6d31", "#4d4d4d")


def predict(model: Any, x: Array) -> Array:
    """Return the output of a callable or a list of layers for some rows, in evaluation mode."""
    with in_eval_mode(model):
        for layer in model if isinstance(model, (list, tuple)) else [model]:
            x = array_of(layer(x))
    return x


@named_options()
def plot_decision_boundary(
    model: Any,
    x: Any,
    y: Any = None,
    ax: Axes | None = None,
    *,
    columns: tuple[int, int] = (0, 1),
    names: Sequence[Any] | None = None,
    resolution: int = 200,
) -> Axes:
    """Plot the predicted class at each point of the plane of two columns; the color is paler where it is less certain.

    Args:
        model: a module, a list of layers, or a function of rows ``(n, n_in)`` that gives scores ``(n, classes)`` or,
            for two classes, the probability of the second, ``(n,)`` or ``(n, 1)``; modules are called in evaluation
            mode.
        x: the data ``(rows, n_in)``; columns that are not shown are set to their median.
        y: the classes of the data: numbers ``(rows,)``, or one-hot ``(rows, classes)``.
        ax: Matplotlib axes to draw on.
        columns: the indices of the two columns.
        names: the names of the classes.
        resolution: the number of points along each side.

    Returns:
        The axes.

    Raises:
        ValueError: x is not (rows, n_in) with at least two columns, or y has another number of rows.

    Example:
        >>> ax = plot_decision_boundary(lambda rows: rows[:, 0] > 0, [[-1.0, 0.0], [1.0, 0.0]], [0, 1])
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['class 0', 'class 1']
    """
    from matplotlib.colors import to_rgb

    data = array_of(x)
    i, j = columns
    if data.ndim != 2 or max(columns) >= data.shape[1] or not len(data) or i == j:
        raise ValueError(f"x is (rows, n_in), with the columns {i} and {j}; this has shape {data.shape}.")
    low, high = corners(data[:, [i, j]])
    rows = plane_rows(low, high, np.median(data, axis=0), columns, resolution)
    scores = np.nan_to_num(np.asarray(predict(model, rows), dtype=float).reshape(len(rows), -1))
    if scores.shape[1] == 1:
        scores = np.hstack([1 - scores, scores])
    winner = scores.argmax(axis=1)
    order = np.sort(scores, axis=1)
    sure = np.clip(order[:, -1] - order[:, -2], 0, 1)[:, None]  # 0 on the boundary
    colours = np.array([to_rgb(CLASSES[k % len(CLASSES)]) for k in range(scores.shape[1])])
    picture = 1 - (0.10 + 0.32 * sure) * (1 - colours[winner])
    ax = _axes(ax, (6.0, 4.6))
    extent = (low[0], high[0], low[1], high[1])
    ax.imshow(picture.reshape(resolution, resolution, 3), origin="lower", extent=extent, aspect="auto",
              interpolation="bilinear")  # fmt: skip
    for k in range(scores.shape[1]):
        lead = (scores[:, k] - np.delete(scores, k, axis=1).max(axis=1)).reshape(resolution, resolution)
        if lead.min() < 0 < lead.max():
            ax.contour(lead, extent=extent, levels=[0.0], colors=INK, linewidths=1.0)
    if y is not None:
        truth = array_of(y)
        if truth.dtype.kind not in "biuf":
            raise TypeError(
                f"y is of dtype {truth.dtype}; it needs class numbers or one-hot rows. Write tinygrad_nn.one_hot(y), "
                "and the names of the classes as names=."
            )
        truth = truth.argmax(axis=1) if truth.ndim == 2 and truth.shape[1] > 1 else truth.reshape(-1).astype(int)
        if len(truth) != len(data):
            raise ValueError(f"y has {counted(len(truth), 'row')} and x has {len(data)}.")
        for k in np.unique(truth):
            label = _plain_text(names[k]) if names is not None else f"class {k}"
            ax.scatter(data[truth == k, i], data[truth == k, j], s=30, c=CLASSES[k % len(CLASSES)], label=label,
                       marker=MARKERS[k % len(MARKERS)], edgecolors="white", linewidths=0.8)  # fmt: skip
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
    ax.set(xlabel=f"column {i}", ylabel=f"column {j}", xlim=extent[:2], ylim=extent[2:])
    ax.spines[["top", "right"]].set_visible(False)
    return ax


@named_options()
def plot_weights(model: Any, ax: Axes | None = None) -> Axes:
    """Plot weights: those of one layer as a map, those of several layers as a distribution for each layer.

    Args:
        model: a matrix (n_out, n_in), or a layer, a module, a list or a dict of them, whose arrays with at least two
            axes are shown; in a map, the axes after the first are joined.
        ax: Matplotlib axes to draw on.

    Returns:
        The axes.

    Raises:
        ValueError: there are no weights.

    Example:
        >>> ax = plot_weights(np.eye(3))
        >>> ax.get_xlabel(), ax.get_ylabel()
        ('from neuron', 'to neuron')
    """
    found = {name: array_of(w) for name, w in weights(model).items()}
    if not found:
        raise ValueError(
            "plot_weights takes a layer, a module, a matrix (n_out, n_in), or a list of them, with at least one array "
            "of two axes or more."
        )
    if len(found) == 1:
        return _plot_map(next(iter(found.values())), ax)
    return _plot_distributions(found, ax)


def _plot_map(array: Array, ax: Axes | None) -> Axes:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.ticker import MaxNLocator

    w = array.reshape(len(array), -1)
    note = "" if np.isfinite(w).all() else "; violet is not finite"
    w = np.clip(np.where(np.isfinite(w), w, np.nan), -1e300, 1e300)  # Matplotlib computes max - min
    ax = _axes(ax, (6.0, 4.4))
    largest = float(np.abs(w[np.isfinite(w)]).max(initial=0.0)) or 1.0
    ends = (0.5, w.shape[1] + 0.5, w.shape[0] + 0.5, 0.5)
    signed = LinearSegmentedColormap.from_list("signed", SIGNED).with_extremes(bad=VIOLET)
    image = ax.imshow(w, cmap=signed, vmin=-largest, vmax=largest, aspect="auto", extent=ends)
    rows = "neuron" if array.ndim == 2 else "channel"
    ax.set(xlabel="from neuron" if array.ndim == 2 else "from channel and place", ylabel=f"to {rows}")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    ax.spines[:].set_visible(False)
    bar = ax.figure.colorbar(image, cax=ax.inset_axes((1.03, 0, 0.04, 1)), label=f"weight{note}")
    bar.outline.set_visible(False)
    return ax


def _plot_distributions(arrays: Mapping[str, Array], ax: Axes | None) -> Axes:
    from matplotlib.ticker import MaxNLocator

    ax = _axes(ax, (6.4, 4.0))
    flat = [w[np.isfinite(w)].ravel() for w in arrays.values()]
    parts: Any = ax.violinplot(flat, showmedians=True, showextrema=True, widths=0.8)
    for body in parts["bodies"]:
        body.set(facecolor=BLUE, alpha=0.3, edgecolor=BLUE)
    for key in ("cmedians", "cmins", "cmaxes", "cbars"):
        parts[key].set(color=BLUE, linewidth=2.0 if key == "cmedians" else 1.0)
    labels = [f"{_plain_text(name)}\n{' × '.join(f'{n:,}' for n in w.shape)}" for name, w in arrays.items()]
    if len(arrays) <= 6 and all(len(name) <= 12 for name in arrays):
        ax.set_xticks(range(1, len(arrays) + 1), labels)
    elif "layer 1" not in arrays and len(arrays) <= 40:  # paths say more than numbers
        ax.set_xticks(range(1, len(arrays) + 1), map(_plain_text, arrays), rotation=90, fontsize=8)
    else:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("layer")
    ax.set_ylabel("weight")
    ax.axhline(0, color=INK, linewidth=0.8)
    tidy(ax)
    ax.grid(False, axis="x")
    return ax


@named_options()
def plot_activation(
    f: Callable[[Any], Any],
    ax: Axes | None = None,
    *,
    derivative: Callable[[Array], Any] | None = None,
    low: float = -5.0,
    high: float = 5.0,
    name: str | None = None,
) -> Axes:
    r"""Plot a function of one number with its derivative.

    .. math:: a = f(z), \qquad f'(z) = \partial a / \partial z

    Args:
        f: an elementwise function of arrays and Tensors, such as ``tinygrad_nn.relu`` or ``np.tanh``.
        ax: Matplotlib axes to draw on.
        derivative: the derivative of f, a function of arrays; by default computed by the graph.
        low, high: the ends of the plot.
        name: the name of the function.

    Returns:
        The axes.

    Raises:
        ValueError: f is not elementwise (as softmax), or high is not above low.

    Example:
        >>> ax = plot_activation(np.tanh)
        >>> [line.get_label() for line in ax.get_lines()[-2:]]
        ['tanh', 'its derivative']
    """
    if not high > low:
        raise ValueError(f"high={high!r} must be above low={low!r}.")
    if not callable(f):
        hint = f" Write tinygrad_nn.nn.activation({f!r})." if isinstance(f, str) else ""
        raise TypeError(f"plot_activation takes a function, such as np.tanh; it got {f!r:.60}.{hint}")
    z = np.linspace(low, high, 801)
    with np.errstate(all="ignore"):
        t = Tensor(z)
        out = f(t)
        a = array_of(out)
        part = array_of(f(z[200:203]))
        if a.shape != z.shape or part.shape != (3,) or not np.allclose(a[200:203], part, equal_nan=True):
            raise ValueError("plot_activation takes a function of one number; this one mixes the entries of its input.")
        if derivative is not None:
            slope = array_of(derivative(z))
        elif isinstance(out, Tensor) and out.node is not None:
            out.backward(np.ones_like(a))
            slope = np.zeros_like(z) if t.grad is None else t.grad
        else:
            slope = np.zeros_like(z)  # f is constant
    ax = _axes(ax, (5.6, 3.8))
    label = name or getattr(f, "__name__", None) or getattr(f, "name", None) or type(f).__name__
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.plot(z, a, color=BLUE, linewidth=2.2, label=_plain_text(label))
    ax.plot(z, slope, "--", color=ORANGE, linewidth=2.0, label="its derivative")
    ax.set(xlabel="z", xlim=(low, high))
    tidy(ax)
    legend(ax)
    return ax
