"""Upsampling that overwrites the gradients of other operations."""

import numpy as np

from .exhibit import Array, Exhibit, normal


def forward(x: Array) -> Array:
    return np.repeat(x, 2, axis=1) ** 2 + np.sin(np.concatenate([x, x], axis=1))


def backward(x: Array, g: Array) -> Array:
    n = x.shape[1]
    dx = (g[:, :n] + g[:, n:]) * np.cos(x)
    dx = (2 * np.repeat(x, 2, axis=1) * g).reshape(-1, n, 2).sum(axis=2)
    return dx


def right(x: Array, g: Array) -> Array:
    n = x.shape[1]
    dx = (g[:, :n] + g[:, n:]) * np.cos(x)
    dx += (2 * np.repeat(x, 2, axis=1) * g).reshape(-1, n, 2).sum(axis=2)
    return dx


EXHIBIT = Exhibit(
    title="Upsampling overwrites a gradient",
    project="huggingface/candle",
    number="pull 3507",
    said="The backward of two upsampling operators overwrites the stored gradient instead of adding to it, so the "
         "gradients of other operations on the same tensor are lost.",
    fact="A tensor that is used in several places gets the sum of their gradients.",
    equation=r"\bar{x} \mathrel{+}= \ldots",
    forward=forward, backward=backward, right=right,
    inputs=normal((3, 4)),
    kinds=("overwritten_not_accumulated",),
)  # fmt: skip
