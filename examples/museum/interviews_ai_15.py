"""The slope of a sigmoid taken at its input."""

import numpy as np

from .exhibit import Array, Exhibit, normal, sigmoid


def forward(x: Array) -> Array:
    return sigmoid(x)


def backward(x: Array, g: Array) -> Array:
    return x * (1 - x) * g


def right(x: Array, g: Array) -> Array:
    s = 1 / (1 + np.exp(-x))
    return s * (1 - s) * g


EXHIBIT = Exhibit(
    title="The slope of a sigmoid at its input",
    project="BoltzmannEntropy/interviews.ai",
    number="issue 15",
    said="The printed solution keeps the input of the sigmoid and returns x (1 - x) times the gradient.",
    fact="The well-known formula s (1 - s) takes the output of the sigmoid.",
    equation=r"g \, \sigma(x) (1 - \sigma(x))",
    forward=forward, backward=backward, right=right,
    inputs=normal((4, 3)),
    kinds=("activation_derivative_at_wrong_value", "wrong_derivative", "wrong_value"),
)  # fmt: skip
