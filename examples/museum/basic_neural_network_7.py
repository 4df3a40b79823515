"""Weights that are updated before the gradient goes through them."""

import numpy as np

from .exhibit import Array, Exhibit, normal

RATE = 0.1


def forward(x: Array, W1: Array, W2: Array) -> Array:
    return np.tanh(np.tanh(x @ W1) @ W2)


def backward(x: Array, W1: Array, W2: Array, g: Array) -> tuple[Array, ...]:
    h = np.tanh(x @ W1)
    d2 = g * (1 - np.tanh(h @ W2) ** 2)
    dW2 = h.T @ d2
    moved = W2 - RATE * dW2
    d1 = d2 @ moved.T * (1 - h**2)
    return d1 @ W1.T, x.T @ d1, dW2


def right(x: Array, W1: Array, W2: Array, g: Array) -> tuple[Array, ...]:
    h = np.tanh(x @ W1)
    d2 = g * (1 - np.tanh(h @ W2) ** 2)
    dW2 = h.T @ d2
    d1 = d2 @ W2.T * (1 - h**2)
    return d1 @ W1.T, x.T @ d1, dW2


EXHIBIT = Exhibit(
    title="Weights that were already updated",
    project="kim-marcel/basic_neural_network",
    number="issue 7",
    said="The error of the layer before is computed with weights that were updated one line above. It needs the old "
         "weights, so the two lines should change places.",
    fact="A gradient belongs to one point: all of it must be computed before any weight is updated.",
    equation=r"\bar{h} = \delta_2 W_2^T",
    forward=forward, backward=backward, right=right,
    inputs=normal((5, 3), (3, 4), (4, 2)),
    kinds=("wrong_value",),
)  # fmt: skip
