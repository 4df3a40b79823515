"""1/N is missing in every gradient."""

import numpy as np

from .exhibit import Array, Exhibit, normal

LABELS, LAM = np.array([0, 1, 1, 0, 2, 2]), 0.1
ONE_HOT = np.eye(3)[LABELS]


def forward(x: Array, W1: Array, b1: Array, W2: Array, b2: Array) -> Array:
    z = np.tanh(x @ W1 + b1) @ W2 + b2
    data_loss = (np.log(np.exp(z).sum(axis=1)) - (z * ONE_HOT).sum(axis=1)).sum()
    return (data_loss + LAM / 2 * ((W1**2).sum() + (W2**2).sum())) / len(LABELS)


def backward(x: Array, W1: Array, b1: Array, W2: Array, b2: Array, g: Array) -> tuple[Array, ...]:
    a = np.tanh(x @ W1 + b1)
    e = np.exp(a @ W2 + b2)
    d2 = g * (e / e.sum(axis=1, keepdims=True) - ONE_HOT)
    d1 = d2 @ W2.T * (1 - a**2)
    return d1 @ W1.T, x.T @ d1 + g * LAM * W1, d1.sum(axis=0), a.T @ d2 + g * LAM * W2, d2.sum(axis=0)


def right(x: Array, W1: Array, b1: Array, W2: Array, b2: Array, g: Array) -> tuple[Array, ...]:
    a = np.tanh(x @ W1 + b1)
    e = np.exp(a @ W2 + b2)
    d2 = g * (e / e.sum(axis=1, keepdims=True) - ONE_HOT) / len(x)
    d1 = d2 @ W2.T * (1 - a**2)
    lam = g * LAM / len(x)
    return d1 @ W1.T, x.T @ d1 + lam * W1, d1.sum(axis=0), a.T @ d2 + lam * W2, d2.sum(axis=0)


EXHIBIT = Exhibit(
    title="1/N is missing",
    project="dennybritz/nn-from-scratch",
    number="issue 13",
    said="The gradients do not match numerical ones: the loss is averaged over the batch, the gradients are not.",
    fact="Loss and penalty are divided by the number of samples, but their gradients are sums.",
    equation=r"\delta = \frac{1}{N} (p - y)",
    forward=forward, backward=backward, right=right,
    inputs=normal((6, 2), (2, 4), (4,), (4, 3), (3,)),
    kinds=("scale",),
)  # fmt: skip
