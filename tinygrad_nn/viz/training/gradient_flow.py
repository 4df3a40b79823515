"""How large the gradients of each layer are, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...graph.view import GraphView
from ...graph.walk import walk_back
from ...printable import printable
from ...spelling import named_options
from ...tensor import Tensor
from ..model.values import array_of, at_rest, weights
from .plots import _axes, _plain, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class GradientFlow:
    r"""A callback of `fit` that keeps the norm of the gradient of each layer's weights, epoch by epoch.

    .. math:: \lVert \partial L / \partial W^k \rVert_2 / \sqrt{n}

    The root mean square, of n entries, so that wide and narrow layers can be compared.

    Args:
        gradients: a function of the model that returns its loss, a Tensor, whose gradients in the weights are kept; or
            the gradients, a list or dict with an array for each layer, or an object whose ``dW`` is one, such as what
            `BackProp` returns. Modules are in use meanwhile. Without it, call `add` in a loop of your own.

    Attributes:
        norms: the name of each layer -> one number an epoch.

    Raises:
        TypeError: it was called by `fit` without a function.

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
        """Keep the norms at the end of an epoch."""
        if self.gradients is None:
            raise TypeError("GradientFlow as a callback needs a function of the model: GradientFlow(lambda m: ...).")
        with at_rest(epoch.model):
            found = self.gradients(epoch.model)
        self.add(_gradients(found, epoch.model) if isinstance(found, Tensor) else found)

    def add(self, gradients: Any) -> None:
        """Keep the norms of an array for each layer, in a list, or in a dict by the names of the layers."""
        given = getattr(gradients, "dW", gradients)
        if not isinstance(given, Mapping):
            given = {f"layer {k}": g for k, g in enumerate(given, start=1)}
        for name, g in given.items():
            array = np.abs(array_of(g)).astype(float)
            with np.errstate(all="ignore"):
                norm = math.sqrt(float(np.mean(array * array))) if array.size else 0.0
            self.norms.setdefault(str(name), []).append(norm)


def _gradients(loss: Tensor, model: Any) -> dict[str, Any]:
    """Return the gradient of a loss in each weight of a model; nothing is added to any ``.grad``."""
    view = GraphView(loss)
    gradients = walk_back(view).gradients
    found = {part.node: gradients.get(part.number) for part in view if part.kind == "leaf"}
    return {name: found.get(w.node, 0.0) for name, w in weights(model).items() if getattr(w, "node", None)}


@named_options()
def plot_gradient_flow(flow: GradientFlow | Mapping[str, Sequence[float]], ax: Axes | None = None) -> Axes:
    """Plot the size of the gradients of each layer over the epochs, on a log scale, the first layer darkest.

    Args:
        flow: a `GradientFlow`, or a mapping of names of layers to one number an epoch.
        ax: Matplotlib axes to draw on.

    Returns:
        The axes.

    Raises:
        ValueError: there is nothing in it.

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
        sizes = np.where((sizes > 0) & np.isfinite(sizes), sizes, np.nan)  # a log scale has no place for 0
        marker = "" if many or sizes.size > 30 else "osD^vPX*"[k]
        ax.plot(np.arange(1, sizes.size + 1), sizes, color=colour, linewidth=1.8, marker=marker, markersize=4.5,
                label=_plain(name))  # fmt: skip
    ax.set_yscale("log")
    ax.set(xlabel="epoch", ylabel="root mean square of the gradient")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    tidy(ax)
    if many:
        shown = ScalarMappable(Normalize(1, len(norms) / 0.85), "viridis")
        bar = ax.figure.colorbar(shown, cax=ax.inset_axes((1.03, 0, 0.035, 1)), label="layer, from the input")
        bar.ax.set_ylim(1, len(norms))
        bar.outline.set_visible(False)
    elif len(norms) > 1:
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
    return ax
