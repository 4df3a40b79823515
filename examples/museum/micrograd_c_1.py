"""Subtraction as if it were addition."""

import numpy as np

from .exhibit import Array, Exhibit, normal


def forward(a: Array, b: Array) -> Array:
    return np.tanh(a) - np.exp(b)


def backward(a: Array, b: Array, g: Array) -> tuple[Array, Array]:
    return g * (1 - np.tanh(a) ** 2), g * np.exp(b)


def right(a: Array, b: Array, g: Array) -> tuple[Array, Array]:
    return g * (1 - np.tanh(a) ** 2), -g * np.exp(b)


EXHIBIT = Exhibit(
    title="The minus of a subtraction is missing",
    project="KhawajaAbaid/micrograd_c",
    number="issue 1",
    said="For the second operand of a subtraction the gradient should be negative.",
    fact="b is subtracted, so its gradient is minus the arriving one.",
    equation=r"\bar{b} = -g",
    forward=forward, backward=backward, right=right,
    inputs=normal((4, 2), (4, 2)),
    kinds=("sign",),
)  # fmt: skip
