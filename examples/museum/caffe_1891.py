"""Batch norm: the same term, requested in a review."""

import numpy as np

from .exhibit import Array, Exhibit, normal


def forward(x: Array) -> Array:
    centred = x - x.mean(axis=(0, 2, 3), keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=(0, 2, 3), keepdims=True) + 1e-5)


def backward(x: Array, g: Array) -> Array:
    over = {"axis": (0, 2, 3), "keepdims": True}
    std = np.sqrt(x.var(**over) + 1e-5)
    y = (x - x.mean(**over)) / std
    return (g - g.mean(**over) - y * (g * y).mean(**over)) / std


EXHIBIT = Exhibit(
    title="A second part that is zero",
    project="BVLC/caffe",
    number="pull 1891",
    said="In the review of the new layer: the second part of the derivative with respect to the mean is not computed. "
         "The review proposes code that takes a mean over space and batch of a product with the normalised values.",
    fact="The mean of the normalised values is zero, so the proposed code adds nothing.",
    equation=r"\overline{y \cdot \overline{g y}} = \overline{g y} \; \overline{y} = 0",
    forward=forward, backward=backward,
    inputs=normal((2, 3, 3, 2)),
)  # fmt: skip
