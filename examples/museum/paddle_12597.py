"""A clip that returns x."""

import numpy as np

from .exhibit import Array, Exhibit, normal


def forward(y: Array) -> Array:
    return np.clip(y, -0.7, 0.9)


def backward(y: Array, g: Array) -> Array:
    x = g  # in the code under review what arrives is called x
    return np.where((y > -0.7) & (y < 0.9), x, 0)


EXHIBIT = Exhibit(
    title="x in place of 1",
    project="PaddlePaddle/Paddle",
    number="issue 12597",
    said="Between the bounds, the functor of the gradient of clip returns x; it should be 1.",
    fact="x is the name of the arriving gradient, and the right result is 1 times that.",
    equation=r"g \, [a < y < b]",
    forward=forward, backward=backward,
    inputs=normal((4, 5)),
)  # fmt: skip
