"""A mean instead of a sum in the gradient of a bias, with samples in columns."""

import numpy as np

from .exhibit import Array, Exhibit, normal


def forward(W: Array, b: Array, x: Array) -> Array:
    return np.tanh(W @ x + b[:, None])


def backward(W: Array, b: Array, x: Array, g: Array) -> tuple[Array, ...]:
    d = g * (1 - np.tanh(W @ x + b[:, None]) ** 2)
    return d @ x.T, d.mean(axis=1), W.T @ d


def right(W: Array, b: Array, x: Array, g: Array) -> tuple[Array, ...]:
    d = g * (1 - np.tanh(W @ x + b[:, None]) ** 2)
    return d @ x.T, d.sum(axis=1), W.T @ d


EXHIBIT = Exhibit(
    title="A mean in the gradient of the bias",
    project="kvfrans/notes",
    number="issue 5",
    said="The gradient of the bias is a mean over the samples; the sum agrees with the gradient by JAX.",
    fact="The bias is added to every sample, so their gradients add up. If the loss is a mean, they already contain "
         "1/N.",
    equation=r"\bar{b}_k = \sum_n \delta_{kn}",
    forward=forward, backward=backward, right=right,
    inputs=normal((3, 2), (3,), (2, 6)),
    kinds=("scale",),
)  # fmt: skip
