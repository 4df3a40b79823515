"""A leaky relu whose backward pass uses a slope of its own."""

import numpy as np

from tinygrad_nn import leaky_relu

from .exhibit import Array, Exhibit, normal

ALPHA = 0.3


def forward(x: Array, W: Array) -> Array:
    return leaky_relu(x @ W, alpha=ALPHA)


def backward(x: Array, W: Array, g: Array) -> tuple[Array, Array]:
    d = np.where(x @ W > 0, g, 0.01 * g)
    return d @ W.T, x.T @ d


def right(x: Array, W: Array, g: Array) -> tuple[Array, Array]:
    d = np.where(x @ W > 0, g, ALPHA * g)
    return d @ W.T, x.T @ d


EXHIBIT = Exhibit(
    title="A parameter that the backward pass does not get",
    project="deeplearning4j/deeplearning4j",
    number="issue 8178",
    said="The backward of leaky relu neither takes nor uses alpha, which the right formula needs.",
    fact="The slope on the negative side is the parameter of the forward pass.",
    equation=r"g \, ([z > 0] + \alpha [z \le 0])",
    forward=forward, backward=backward, right=right,
    inputs=normal((4, 3), (3, 4)),
    kinds=("wrong_derivative", "wrong_value", "activation_derivative_at_wrong_value"),
)  # fmt: skip
