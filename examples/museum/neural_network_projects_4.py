"""x (1 - x), where x is the output of the sigmoid."""

import numpy as np

from .exhibit import Array, Exhibit, normal, sigmoid

Y = np.array([[0.0], [1.0], [1.0], [0.0]])


def sigmoid_derivative(x: Array) -> Array:
    return x * (1.0 - x)


def forward(x: Array, W1: Array, W2: Array) -> Array:
    return ((Y - sigmoid(sigmoid(x @ W1) @ W2)) ** 2).sum()


def backward(x: Array, W1: Array, W2: Array, g: Array) -> tuple[Array, ...]:
    layer1 = sigmoid(x @ W1)
    output = sigmoid(layer1 @ W2)
    d2 = -2 * g * (Y - output) * sigmoid_derivative(output)
    d1 = np.dot(d2, W2.T) * sigmoid_derivative(layer1)
    return d1 @ W1.T, x.T @ d1, layer1.T @ d2


EXHIBIT = Exhibit(
    title="x (1 - x), where x is the output",
    project="PacktPublishing/Neural-Network-Projects-with-Python",
    number="issue 4",
    said="The code defines the derivative of the sigmoid as x (1 - x), but it is sigmoid(x) (1 - sigmoid(x)).",
    fact="It is only called with values that have gone through the sigmoid.",
    equation=r"\sigma' = \sigma (1 - \sigma)",
    forward=forward, backward=backward,
    inputs=normal((4, 2), (2, 3), (3, 1)),
)  # fmt: skip
