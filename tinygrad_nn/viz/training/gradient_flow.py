"""`GradientFlow`: record the size of each layer's gradients after each epoch, and plot it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...common.printable import printable
from ...common.spelling import named_options
from ...graph import root_mean_square
from ...graph.view import GraphView
from ...graph.walk import walk_back
from ...tensor import Tensor
from ..model.values import array_of, in_eval_mode, weights
from .plots import MARKERS, _axes, _plain_text, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class GradientFlow:
    r"""A callback of `fit` that records the size of the gradient of each layer's weights after each epoch.

    .. math:: \lVert \partial L / \partial W^k \rVert_2 / \sqrt{n}

    This is the root mean square of the n entries, so that wide and narrow layers can be compared.

    Args:
        gradients: a function of the model that returns the loss (a Tensor), from which the gradients are computed; or
            that returns the gradients, as a list or dict with an array for each layer, or as an object with such an
            attribute ``dW``, such as the result of `BackProp`. Modules are in evaluation mode during the call. Without
            this function, call `add` in your own loop.

    Attributes:
        norms: a dict from the name of each layer to a list with one number per epoch.

    Raises:
        TypeError: `fit` called it, and no function was given.

    Example:
        >>> flow = GradientFlow()
        >>> flow.add([np.ones((2, 3)), 2 * np.ones(4)])
        >>> flow.norms
        {'layer 1': [1.0], 'layer 2': [2.0]}
    """

    def __init__(self, gradients: Callable[[Any], Any] | None = None) -> None:
        self.gradients = gradients
        self.norms: dict[str, list[float]] = {}

    def __repr__(self) -> str:
        epochs = max(map(len, self.norms.values()), default=0)
        return f"GradientFlow({epochs} epochs of {', '.join(map(printable, self.norms)) or 'no layers yet'})"

    def __call__(self, epoch: Any) -> None:
        """Record the norms at the end of an epoch."""
        if self.gradients is None:
            raise TypeError("GradientFlow as a callback needs a function of the model: GradientFlow(lambda m: ...).")
        with in_eval_mode(epoch.model):
            found = self.gradients(epoch.model)
        self.add(_gradients(found, epoch.model) if isinstance(found, Tensor) else found)

    def add(self, gradients: Any) -> None:
        """Record the norms of the gradients: a list with an array for each layer, or a dict by names of layers."""
        given = getattr(gradients, "dW", gradients)
        if not isinstance(given, Mapping):
            given = {f"layer {k}": g for k, g in enumerate(given, start=1)}
        for name, g in given.items():
            self.norms.setdefault(str(name), []).append(root_mean_square(array_of(g)))


def _gradients(loss: Tensor, model: Any) -> dict[str, Any]:
    """Return the gradient of a loss in each weight of a model; no ``.grad`` is changed."""
    view = GraphView(loss)
    gradients = walk_back(view).gradients
    found = {part.node: gradients.get(part.number) for part in view if part.kind == "leaf"}
    return {name: found.get(w.node, 0.0) for name, w in weights(model).items() if getattr(w, "node", None)}


@named_options()
def plot_gradient_flow(flow: GradientFlow | Mapping[str, Sequence[float]], ax: Axes | None = None) -> Axes:
    """Plot the size of each layer's gradients over the epochs on a log scale; the first layer is the darkest.

    Args:
        flow: a `GradientFlow`, or a mapping from names of layers to one number per epoch.
        ax: Matplotlib axes to draw on.

    Returns:
        The axes.

    Raises:
        ValueError: no gradients were recorded.

    Example:
        >>> ax = plot_gradient_flow({"layer 1": [1e-4, 1e-5], "layer 2": [0.1, 0.05]})
        >>> ax.get_yscale(), [line.get_label() for line in ax.get_lines()]
        ('log', ['layer 1', 'layer 2'])
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.ticker import MaxNLocator

    norms = flow.norms if isinstance(flow, GradientFlow) else flow
    if not norms or not any(len(values) for values in norms.values()):
        raise ValueError("no gradients were kept; pass the GradientFlow to fit as a callback, or call its add().")
    ax = _axes(ax, (6.8, 4.0))
    many = len(norms) > 8
    colours = colormaps["viridis"](np.linspace(0, 0.85, len(norms)))
    for k, ((name, values), colour) in enumerate(zip(norms.items(), colours, strict=True)):
        sizes = np.array(values, dtype=float)
        sizes = np.where((sizes > 0) & np.isfinite(sizes), sizes, np.nan)  # a log scale cannot show 0
        marker = "" if many or sizes.size > 30 else MARKERS[k]
        ax.plot(np.arange(1, sizes.size + 1), sizes, color=colour, linewidth=1.8, marker=marker, markersize=4.5,
                label=_plain_text(name))  # fmt: skip
    ax.set_yscale("log")
    if not any(np.isfinite(line.get_ydata()).any() for line in ax.get_lines()):
        ax.set_xlim(0.5, max(map(len, norms.values())) + 0.5)
        ax.text(0.5, 0.5, "every gradient is 0 or not finite", ha="center", transform=ax.transAxes)
    ax.set(xlabel="epoch", ylabel="root mean square of the gradient")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    tidy(ax)
    if many:
        shown = ScalarMappable(Normalize(1, len(norms) / 0.85), "viridis")
        bar = ax.figure.colorbar(shown, cax=ax.inset_axes((1.03, 0, 0.035, 1)), label="layer, from the input")
        bar.ax.set_ylim(1, len(norms))
        bar.outline.set_visible(False)
    elif len(norms) > 1:
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
    return ax
