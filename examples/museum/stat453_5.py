"""One number as the gradient of all biases."""

import numpy as np

from tinygrad_nn import log_softmax

from .exhibit import Array, Exhibit, normal

Y = np.eye(3)[[0, 1, 2, 2, 1]]


def forward(x: Array, W: Array, b: Array) -> Array:
    return -(Y * log_softmax(x @ W + b)).sum()


def backward(x: Array, W: Array, b: Array, g: Array) -> tuple[Array, ...]:
    e = np.exp(x @ W + b)
    d = g * (e / e.sum(axis=1, keepdims=True) - Y)
    db = d.sum() + np.zeros_like(b)
    return d @ W.T, x.T @ d, db


def right(x: Array, W: Array, b: Array, g: Array) -> tuple[Array, ...]:
    e = np.exp(x @ W + b)
    d = g * (e / e.sum(axis=1, keepdims=True) - Y)
    db = d.sum(axis=0)
    return d @ W.T, x.T @ d, db


EXHIBIT = Exhibit(
    title="One sum for all biases",
    project="rasbt/stat453-deep-learning-ss21",
    number="issue 5",
    said="After the training all biases are the same, about -1e-8: the gradient is one sum over all entries, which is "
         "then broadcast. It should be summed over the samples only.",
    fact="The sum of p - y over the classes is 0, so the biases never change.",
    equation=r"\bar{b}_k = \sum_n \delta_{nk}",
    forward=forward, backward=backward, right=right,
    inputs=normal((5, 4), (4, 3), (3,)),
    kinds=("wrong_axis_sum",),
)  # fmt: skip
