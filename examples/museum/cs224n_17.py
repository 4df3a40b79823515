"""A softmax that seems not to be differentiated."""

import numpy as np

from tinygrad_nn import log_softmax

from .exhibit import Array, Exhibit, normal, sigmoid

LABELS = np.eye(3)[[0, 2, 1, 1]]


def forward(x: Array, W1: Array, W2: Array) -> Array:
    return -(LABELS * log_softmax(sigmoid(x @ W1) @ W2)).sum()


def backward(x: Array, W1: Array, W2: Array, g: Array) -> tuple[Array, ...]:
    h = sigmoid(x @ W1)
    e = np.exp(h @ W2)
    d3 = g * (e / e.sum(axis=1, keepdims=True) - LABELS)
    d1 = d3 @ W2.T * h * (1 - h)
    return d1 @ W1.T, x.T @ d1, h.T @ d3


EXHIBIT = Exhibit(
    title="Softmax seems not to be differentiated",
    project="hankcs/CS224n",
    number="issue 17",
    said="The step through softmax seems to be left out: only the difference of prediction and labels is used.",
    fact="That difference is the gradient of the cross-entropy through the softmax.",
    equation=r"\frac{\partial}{\partial z} \left(-\textstyle\sum_k y_k \log p_k\right) = p - y",
    forward=forward, backward=backward,
    inputs=normal((4, 2), (2, 5), (5, 3)),
)  # fmt: skip
