"""A row that was broadcast, and a gradient that was not summed."""

import numpy as np

from .exhibit import Array, Exhibit, normal


def forward(a: Array, row: Array) -> Array:
    return np.exp(a + row)


def backward(a: Array, row: Array, g: Array) -> tuple[Array, Array]:
    d = g * np.exp(a + row)
    return d, d


def right(a: Array, row: Array, g: Array) -> tuple[Array, Array]:
    d = g * np.exp(a + row)
    return d, d.sum(axis=0, keepdims=True)


EXHIBIT = Exhibit(
    title="A broadcast that is not summed",
    project="deeplearning4j/nd4j",
    number="issue 2424",
    said="[3,4] + [1,4] gives [3,4], and the gradient of the row is [3,4] instead of [1,4]: a sum is missing.",
    fact="The row was used three times, so its gradient is the sum of three.",
    equation=r"\bar{b}_j = \sum_i g_{ij}",
    forward=forward, backward=backward, right=right,
    inputs=normal((3, 4), (1, 4)),
    kinds=("broadcast_not_summed",),
)  # fmt: skip
