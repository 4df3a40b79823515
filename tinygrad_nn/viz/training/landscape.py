"""`plot_landscape`: the loss around trained weights, along two directions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...common.arguments import as_generator
from ...common.spelling import named_options
from ..model.values import array_of, in_eval_mode, weights
from .plots import _axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray[Any, Any]


def random_direction(weights: Sequence[Array], rng: np.random.Generator) -> list[Array]:
    r"""Return a random direction in which each row has the norm of the same row of the weights.

    .. math:: d_i \leftarrow d_i \, \lVert W_i \rVert / \lVert d_i \rVert

    Source: Li, Xu, Taylor, Studer, Goldstein, Visualizing the loss landscape of neural nets (2018), section 4.
    """
    directions = []
    for w in weights:
        d = rng.standard_normal(w.shape)
        with np.errstate(all="ignore"):  # for weights that are not finite, the loss is not finite either
            length, whole = (np.sqrt((x * x).reshape(x.shape[0], -1).sum(axis=1)) for x in (np.asarray(d), w))
            directions.append(d * (whole / length).reshape(-1, *(1,) * (w.ndim - 1)))
    return directions


@named_options()
def plot_landscape(
    loss: Callable[[Any], Any],
    model: Any,
    ax: Axes | None = None,
    *,
    directions: tuple[Sequence[Any], Sequence[Any]] | None = None,
    span: float = 1.0,
    points: int = 25,
    rng: Any = 0,
) -> Axes:
    r"""Plot the loss around the weights of a network, along two directions; the weights are in the middle.

    .. math:: L(W + \alpha d_1 + \beta d_2)

    The model is copied, and the modules of the copy are in evaluation mode; the model is not changed. Biases are fixed.

    Args:
        loss: a function of the model that returns a number or a Tensor:
            ``lambda m: graph_loss(m, x, y, solver=solver)``.
        model: a list of layers with ``W`` (n_out, n_in); or a module or a dict of arrays, whose weights are its arrays
            with at least two axes.
        ax: Matplotlib axes to draw on.
        directions: two lists of arrays in the shapes of the weights; by default random, normalized row by row.
        span: alpha and beta run from -span to span; at 1, a random direction is as long as the weights.
        points: the number of points along each side; odd, so that the middle is one of them.
        rng: a Generator or a seed for the random directions.

    Returns:
        The axes.

    Raises:
        ValueError: the directions have other shapes, there are too few points, the model has no weights, or the loss is
            finite nowhere.

    Source: Li, Xu, Taylor, Studer, Goldstein, Visualizing the loss landscape of neural nets (2018).

    Example:
        >>> W = np.array([[1.0, 2.0]])
        >>> ax = plot_landscape(lambda model: (model["W"] ** 2).sum(), {"W": W}, points=5)
        >>> ax.get_xlabel(), ax.get_ylabel()
        ('along the first direction', 'along the second direction')
    """
    from matplotlib.colors import LogNorm

    if points < 3 or not span > 0:
        raise ValueError(f"points={points!r} and span={span!r}; at least 3 points, over a span above 0.")
    mine = copy.deepcopy(model)
    moving = [array_of(w) for w in weights(mine).values()]  # the arrays of the copy, changed in place
    if not moving:
        raise ValueError(f"plot_landscape: this {type(model).__name__} has no weights, arrays with two axes or more.")
    middle = [w.copy() for w in moving]
    random = as_generator(rng)
    pair = directions or (random_direction(middle, random), random_direction(middle, random))
    first, second = ([array_of(d) for d in direction] for direction in pair)
    for direction in (first, second):
        if [d.shape for d in direction] != [w.shape for w in middle]:
            raise ValueError(
                f"a direction has arrays of the shapes of the weights, {[w.shape for w in middle]}; this one has "
                f"{[d.shape for d in direction]}."
            )
    steps = np.linspace(-span, span, points)
    heights = np.empty((points, points))
    for i, beta in enumerate(steps):
        for j, alpha in enumerate(steps):
            for place, w, d, e in zip(moving, middle, first, second, strict=True):
                with np.errstate(all="ignore"):
                    place[...] = w + alpha * d + beta * e
            with np.errstate(all="ignore"), in_eval_mode(mine):
                heights[i, j] = _one_number(loss(mine))
    if not np.isfinite(heights).any():
        raise ValueError(
            "plot_landscape: the loss is infinite or NaN everywhere around these weights; it must be finite at some of "
            "the points."
        )
    ax = _axes(ax, (6.2, 4.8))
    shown = np.ma.masked_invalid(heights)
    low, high = float(shown.min()), float(shown.max())
    wide = low > 0 and high > 30 * low
    levels = np.geomspace(low, high, 18) if wide else np.linspace(low, high if high > low else low + 1, 18)
    area = ax.contourf(steps, steps, shown, levels=levels, cmap="viridis", norm=LogNorm(low, high) if wide else None)
    ax.contour(steps, steps, shown, levels=levels[::2], colors="white", linewidths=0.5, alpha=0.7)
    ax.plot(0, 0, marker="*", markersize=15, color="white", markeredgecolor="black", linestyle="none")
    ax.annotate("the weights", (0, 0), xytext=(11, 8), textcoords="offset points", color="black", fontsize=9,
                bbox={"boxstyle": "round,pad=0.25", "fc": "white", "ec": "none", "alpha": 0.85})  # fmt: skip
    ax.set(xlabel="along the first direction", ylabel="along the second direction", aspect="equal")
    ax.spines[:].set_visible(False)
    bar = ax.figure.colorbar(area, cax=ax.inset_axes((1.03, 0, 0.04, 1)), label="loss", format="%.3g")
    bar.set_ticks(list(levels[::3]))
    bar.minorticks_off()
    bar.outline.set_visible(False)
    return ax


def _one_number(loss: Any) -> float:
    """Return the value of a loss as a float; raise a TypeError if it is not one number."""
    value = array_of(loss)
    if value.size != 1 or value.dtype.kind not in "biuf":
        what = f"an array of shape {value.shape}" if value.size != 1 else f"{loss!r:.60}"
        raise TypeError(f"plot_landscape takes a function that returns its loss, one number; it returned {what}.")
    return float(value.reshape(()))
