"""A penalty with a lambda that is too small to be noticed."""

import numpy as np

from tinygrad_nn import log_softmax

from .exhibit import Array, Exhibit, normal

LABELS, LAM = np.array([0, 2, 1, 1, 0, 2]), 1e-3


def forward(x: Array, W: Array, b: Array) -> Array:
    return -log_softmax(x @ W + b)[np.arange(6), LABELS].mean() + LAM / 2 * (W**2).sum()


def backward(x: Array, W: Array, b: Array, g: Array) -> tuple[Array, ...]:
    e = np.exp(x @ W + b)
    d = g * (e / e.sum(axis=1, keepdims=True) - np.eye(3)[LABELS]) / 6
    dW = x.T @ d
    return d @ W.T, dW, d.sum(axis=0)


def right(x: Array, W: Array, b: Array, g: Array) -> tuple[Array, ...]:
    e = np.exp(x @ W + b)
    d = g * (e / e.sum(axis=1, keepdims=True) - np.eye(3)[LABELS]) / 6
    dW = x.T @ d + g * LAM * W
    return d @ W.T, dW, d.sum(axis=0)


EXHIBIT = Exhibit(
    title="A penalty that is too small to be noticed",
    project="cs231n/cs231n.github.io",
    number="issue 253",
    said="The lambda of the penalty is so small that its gradient cannot be seen. (The report says no more than that; "
         "the code here illustrates it.)",
    fact="With a lambda of 0.001 the gradient of the penalty is a thousandth of the weights, less than the tolerance "
         "of many gradient checks. If it is forgotten, the check still passes.",
    equation=r"\nabla_W E = x^T \delta + \lambda W",
    forward=forward, backward=backward, right=right,
    inputs=normal((6, 4), (4, 3), (3,)),
    kinds=("missing_penalty",),
)  # fmt: skip
