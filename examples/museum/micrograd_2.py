"""A value that is used twice, walked through twice."""

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
    title="Once for every path",
    project="karpathy/micrograd",
    number="issue 2",
    said="If a value that is no leaf is used more than once, its gradient is wrong: the recursion goes on from it "
         "once for each path, with what has been gathered so far.",
    fact="A value hands on its gradient once, after all its uses have added theirs: in topological order.",
    equation=r"\bar{d} = \sum_{\text{uses}} g, \quad \bar{x} = \bar{d} \, \frac{\partial d}{\partial x}",
    forward=forward, backward=backward, right=right,
    inputs=normal((6,)),
    kinds=("scale",),
)  # fmt: skip
