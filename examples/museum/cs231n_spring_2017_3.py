"""The factor 2 of a squared norm."""

import numpy as np

from .exhibit import Array, Exhibit, normal

LABELS, REG = np.array([0, 2, 1, 1, 0, 2]), 0.5


def forward(X: Array, W: Array) -> Array:
    scores = X @ W
    margins = np.maximum(scores - scores[np.arange(6), LABELS][:, None] + 1, 0)
    return margins.sum() / 6 - 1 + REG * (W * W).sum()


def hinge(X: Array, W: Array) -> Array:
    scores = X @ W
    over = (scores - scores[np.arange(6), LABELS][:, None] + 1 > 0) * 1.0
    over[np.arange(6), LABELS] = 0
    over[np.arange(6), LABELS] = -over.sum(axis=1)
    return over / 6


def backward(X: Array, W: Array, g: Array) -> tuple[Array, Array]:
    d = g * hinge(X, W)
    dW = X.T @ d
    dW += g * REG * W
    return d @ W.T, dW


def right(X: Array, W: Array, g: Array) -> tuple[Array, Array]:
    d = g * hinge(X, W)
    dW = X.T @ d
    dW += g * 2 * REG * W
    return d @ W.T, dW


EXHIBIT = Exhibit(
    title="Half of a penalty",
    project="jingtinghuang/CS231n-Spring-2017",
    number="issue 3",
    said="The gradient of the penalty should be 2 * reg * W.",
    fact="The loss has reg times the sum of the squares, without the factor 1/2 that would cancel the 2.",
    equation=r"\nabla_W \lambda \|W\|^2 = 2 \lambda W",
    forward=forward, backward=backward, right=right,
    inputs=normal((6, 4), (4, 3)),
    kinds=("wrong_penalty", "scale"),
)  # fmt: skip
