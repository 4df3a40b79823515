"""Clip multiplies by the cotangent twice."""

import numpy as np

from .exhibit import Array, Exhibit, normal


def forward(x: Array) -> Array:
    return np.clip(x, -1, 1)


def backward(x: Array, g: Array) -> Array:
    chosen = np.where((x > -1) & (x < 1), g, 0)
    return g * chosen


def right(x: Array, g: Array) -> Array:
    chosen = np.where((x > -1) & (x < 1), 1, 0)
    return g * chosen


EXHIBIT = Exhibit(
    title="Clip with the cotangent squared",
    project="elixir-nx/nx",
    number="pull 1779",
    said="The masks of clip already contain the cotangent, and are multiplied by it a second time. The tests "
         "differentiate a sum, whose cotangent is 1, so they pass.",
    fact="The square of g has lost the sign of g, and is too small if g is small.",
    equation=r"g \, [a < x < b]",
    forward=forward, backward=backward, right=right,
    inputs=normal((4, 5)),
    kinds=("wrong_value", "missing_factor", "wrong_derivative"),
)  # fmt: skip
