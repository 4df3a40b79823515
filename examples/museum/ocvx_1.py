"""The gradient of |x| is always positive."""

import numpy as np

from .exhibit import Array, Exhibit, normal


def forward(x: Array) -> Array:
    return np.abs(x).sum()


def backward(x: Array, g: Array) -> Array:
    return g * np.abs(x) / np.abs(x)


def right(x: Array, g: Array) -> Array:
    return g * x / np.abs(x)


EXHIBIT = Exhibit(
    title="A gradient without its sign",
    project="bashardudin/Epita-SCIA-OCVX",
    number="issue 1",
    said="In the function that computes the gradient of the L1 norm the sign is not kept: the gradient is always "
         "positive.",
    fact="The slope of |x| is the sign of x.",
    equation=r"g \, \operatorname{sign} x",
    forward=forward, backward=backward, right=right,
    inputs=normal((7,)),
    kinds=("wrong_derivative", "missing_activation_derivative"),
)  # fmt: skip
