"""The error of the output, without the slope of its sigmoid."""

import numpy as np

from .exhibit import Array, Exhibit, normal, sigmoid

TARGET = np.array([[0.0], [1.0], [1.0], [0.0]])


def forward(x: Array, W1: Array, W2: Array) -> Array:
    output = sigmoid(sigmoid(x @ W1) @ W2)
    return 0.5 * ((output - TARGET) ** 2).sum()


def backward(x: Array, W1: Array, W2: Array, g: Array) -> tuple[Array, ...]:
    a = sigmoid(x @ W1)
    output = sigmoid(a @ W2)
    del2 = g * (output - TARGET)
    del1 = del2 @ W2.T * a * (1 - a)
    return del1 @ W1.T, x.T @ del1, a.T @ del2


def right(x: Array, W1: Array, W2: Array, g: Array) -> tuple[Array, ...]:
    a = sigmoid(x @ W1)
    output = sigmoid(a @ W2)
    del2 = g * (output - TARGET) * output * (1 - output)
    del1 = del2 @ W2.T * a * (1 - a)
    return del1 @ W1.T, x.T @ del1, a.T @ del2


EXHIBIT = Exhibit(
    title="An error in place of a delta",
    project="jiexunsee/Neural-Network-with-Python",
    number="issue 1",
    said="The delta of the last layer is only the error, the difference from the target; it should be multiplied by "
         "the derivative of the sigmoid. The author agrees.",
    fact="If the loss is half a squared error, the delta contains the derivative of the output's sigmoid.",
    equation=r"\delta = (a - y) \, a (1 - a)",
    forward=forward, backward=backward, right=right,
    inputs=normal((4, 2), (2, 3), (3, 1)),
    kinds=("missing_activation_derivative", "missing_factor"),
)  # fmt: skip
