"""The gradient of a bias with the input in it."""

import numpy as np

from .exhibit import Array, Exhibit, normal


def forward(W: Array, b: Array, x: Array) -> Array:
    return np.maximum(W @ x + b, 0)


def backward(W: Array, b: Array, x: Array, g: Array) -> tuple[Array, ...]:
    l1 = g * (W @ x + b > 0)
    grad_b = np.sum(l1 @ x.T, axis=1, keepdims=True)
    return l1 @ x.T, grad_b, W.T @ l1


def right(W: Array, b: Array, x: Array, g: Array) -> tuple[Array, ...]:
    l1 = g * (W @ x + b > 0)
    grad_b = np.sum(l1, axis=1, keepdims=True)
    return l1 @ x.T, grad_b, W.T @ l1


EXHIBIT = Exhibit(
    title="A bias whose gradient contains the input",
    project="rust0258/Deeplearning.ai-Natural-Language-Processing-Specialization",
    number="issue 64",
    said="The gradients of the biases are wrong; they should be the deltas times a vector of ones, as on the slides of "
         "the course. The thread also discusses the other form, a sum of delta times x over the inputs.",
    fact="A bias is not multiplied by x. The sum of the gradient of W over the inputs is a different number.",
    equation=r"\bar{b} = \textstyle\sum_n \delta_n",
    forward=forward, backward=backward, right=right,
    inputs=normal((3, 2), (3, 1), (2, 6)),
    kinds=("wrong_value", "missing_factor", "wrong_layer_input", "wrong_axis_sum"),
)  # fmt: skip
