"""A value that is used twice, and walked through twice."""

import numpy as np

from .exhibit import Array, Exhibit, normal


def forward(x: Array) -> Array:
    d = np.sin(x)
    return d + np.exp(d)


def backward(x: Array, g: Array) -> Array:
    d = np.sin(x)
    dd, dx = np.zeros_like(x), np.zeros_like(x)
    dd += g
    dx += dd * np.cos(x)
    dd += g * np.exp(d)
    dx += dd * np.cos(x)
    return dx


def right(x: Array, g: Array) -> Array:
    d = np.sin(x)
    dd, dx = np.zeros_like(x), np.zeros_like(x)
    dd += g
    dd += g * np.exp(d)
    dx += dd * np.cos(x)
    return dx


EXHIBIT = Exhibit(
    title="Backward once for every path",
    project="karpathy/micrograd",
    number="issue 2",
    said="If a value that is not a leaf is used more than once, its gradient is wrong: the recursion continues from it "
         "once for each path, each time with the gradient added up so far.",
    fact="A value must pass its gradient on once, after all its uses have added theirs: in topological order.",
    equation=r"\bar{d} = \sum_{\text{uses}} g, \quad \bar{x} = \bar{d} \, \frac{\partial d}{\partial x}",
    forward=forward, backward=backward, right=right,
    inputs=normal((6,)),
    kinds=("scale",),
)  # fmt: skip
