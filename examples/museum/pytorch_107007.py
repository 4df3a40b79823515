"""A gradient that is zero everywhere."""

import numpy as np

from .exhibit import Array, Exhibit, normal


def forward(x: Array) -> Array:
    return x - x.mean()


def backward(x: Array, g: Array) -> Array:
    return g - g.mean() * np.ones_like(x)


EXHIBIT = Exhibit(
    title="A gradient that is zero, and right",
    project="pytorch/pytorch",
    number="issue 107007",
    said="For x - mean(x) of four numbers and a cotangent of ones the gradient is 0; it should be 1 - 1/4.",
    fact="1 - 1/4 is the derivative of one entry of the result with respect to the same entry of x. The three other "
         "entries have the derivative -1/4 each, and the sum of all entries is zero for every x.",
    equation=r"\sum_i (x_i - \bar{x}) = 0",
    forward=forward, backward=backward,
    inputs=normal((4,)),
)  # fmt: skip
