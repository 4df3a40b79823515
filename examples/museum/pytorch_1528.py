"""Repeated indices: the last one wins."""

import numpy as np

from .exhibit import Array, Exhibit, normal

INDEX = np.array([0, 0, 3, 1, 3, 3])


def forward(y: Array) -> Array:
    return y[INDEX] ** 2


def backward(y: Array, g: Array) -> Array:
    dy = np.zeros_like(y)
    dy[INDEX] = 2 * y[INDEX] * g
    return dy


def right(y: Array, g: Array) -> Array:
    dy = np.zeros_like(y)
    np.add.at(dy, INDEX, 2 * y[INDEX] * g)
    return dy


EXHIBIT = Exhibit(
    title="Repeated indices",
    project="pytorch/pytorch",
    number="issue 1528",
    said="If an index takes an entry twice, backward keeps only the gradient of its last copy.",
    fact="An assignment by index writes each position once; the gradients of the copies must be added.",
    equation=r"\bar{y}_k = \sum_{i:\, \mathrm{index}_i = k} g_i",
    forward=forward, backward=backward, right=right,
    inputs=normal((5, 3)),
    kinds=("overwritten_not_accumulated",),
)  # fmt: skip
