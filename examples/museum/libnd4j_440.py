"""Only the diagonal of the Jacobian of softmax."""

import numpy as np

from tinygrad_nn import softmax

from .exhibit import Array, Exhibit, normal


def forward(z: Array) -> Array:
    return softmax(z)


def backward(z: Array, g: Array) -> Array:
    e = np.exp(z)
    p = e / e.sum(axis=1, keepdims=True)
    return g * p * (1 - p)


def right(z: Array, g: Array) -> Array:
    e = np.exp(z)
    p = e / e.sum(axis=1, keepdims=True)
    return p * (g - (g * p).sum(axis=1, keepdims=True))


EXHIBIT = Exhibit(
    title="Softmax as if it were a sigmoid",
    project="deeplearning4j/libnd4j",
    number="issue 440",
    said="Only output * (1 - output) is implemented, which is the diagonal; the sum and the case i != j are "
         "missing.",
    fact="Each probability depends on every score of its row.",
    equation=r"p \odot (g - \textstyle\sum_j g_j p_j)",
    forward=forward, backward=backward, right=right,
    inputs=normal((4, 5)),
    kinds=("softmax_diagonal_only",),
)  # fmt: skip
