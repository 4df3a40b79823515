"""Softmax over the wrong dimension, in the gradient only."""

import numpy as np

from tinygrad_nn import log_softmax

from .exhibit import Array, Exhibit, normal

Y = np.eye(3)[[0, 1, 2, 2, 1]]


def forward(x: Array, W: Array) -> Array:
    return -(Y * log_softmax(x @ W)).sum()


def backward(x: Array, W: Array, g: Array) -> tuple[Array, Array]:
    e = np.exp(x @ W)
    d = g * (e / e.sum(axis=0, keepdims=True) - Y)
    return d @ W.T, x.T @ d


def right(x: Array, W: Array, g: Array) -> tuple[Array, Array]:
    e = np.exp(x @ W)
    d = g * (e / e.sum(axis=1, keepdims=True) - Y)
    return d @ W.T, x.T @ d


EXHIBIT = Exhibit(
    title="Softmax over the samples",
    project="deeplearning4j/deeplearning4j",
    number="issue 345",
    said="In the gradient of the output layer softmax is taken over dimension 0; for a batch of rows it should be "
         "1.",
    fact="The probabilities of the classes sum to one for each sample; those of the samples for one class do not.",
    equation=r"\delta_{nk} = \frac{e^{z_{nk}}}{\sum_j e^{z_{nj}}} - y_{nk}",
    forward=forward, backward=backward, right=right,
    inputs=normal((5, 4), (4, 3)),
    kinds=("wrong_axis",),
)  # fmt: skip
