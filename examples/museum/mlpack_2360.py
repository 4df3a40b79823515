"""Log-softmax: the cotangent in place of the Kronecker delta."""

import numpy as np

from tinygrad_nn import log_softmax

from .exhibit import Array, Exhibit, normal


def forward(z: Array) -> Array:
    return log_softmax(z)


def backward(z: Array, g: Array) -> Array:
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return g + p


def right(z: Array, g: Array) -> Array:
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return g - p * g.sum(axis=1, keepdims=True)


EXHIBIT = Exhibit(
    title="Log-softmax adds instead of subtracting",
    project="mlpack/mlpack",
    number="issue 2360",
    said="For the input (0.1, 0.9) and a cotangent of ones the result is (1.31, 1.69); PyTorch's is (0.38, -0.38). "
         "Probably the cotangent is used in place of the Kronecker delta.",
    fact="The probabilities are added; instead, their product with the sum of the cotangent must be subtracted.",
    equation=r"g - p \textstyle\sum_j g_j",
    forward=forward, backward=backward, right=right,
    inputs=normal((3, 4)),
    kinds=("wrong_derivative", "sign", "cotangent_ignored"),
)  # fmt: skip
