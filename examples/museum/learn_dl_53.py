"""The biases of three gates from the delta of one."""

import numpy as np

from .exhibit import Array, Exhibit, normal, sigmoid


def forward(z: Array, c0: Array, bf: Array, bi: Array, bo: Array) -> Array:
    f, i, o = sigmoid(z + bf), sigmoid(2 * z + bi), sigmoid(bo - z)
    return o * np.tanh(f * c0 + i * z)


def deltas(z: Array, c0: Array, bf: Array, bi: Array, bo: Array, g: Array) -> tuple[Array, ...]:
    f, i, o = sigmoid(z + bf), sigmoid(2 * z + bi), sigmoid(bo - z)
    c = f * c0 + i * z
    dc = g * o * (1 - np.tanh(c) ** 2)
    return f, i, dc, dc * c0 * f * (1 - f), dc * z * i * (1 - i), g * np.tanh(c) * o * (1 - o)


def backward(z: Array, c0: Array, bf: Array, bi: Array, bo: Array, g: Array) -> tuple[Array, ...]:
    f, i, dc, delta_f, delta_i, delta_o = deltas(z, c0, bf, bi, bo, g)
    bf_grad = delta_f.sum(axis=0)
    bi_grad = delta_f.sum(axis=0)
    bo_grad = delta_f.sum(axis=0)
    return delta_f + 2 * delta_i - delta_o + dc * i, dc * f, bf_grad, bi_grad, bo_grad


def right(z: Array, c0: Array, bf: Array, bi: Array, bo: Array, g: Array) -> tuple[Array, ...]:
    f, i, dc, delta_f, delta_i, delta_o = deltas(z, c0, bf, bi, bo, g)
    bf_grad = delta_f.sum(axis=0)
    bi_grad = delta_i.sum(axis=0)
    bo_grad = delta_o.sum(axis=0)
    return delta_f + 2 * delta_i - delta_o + dc * i, dc * f, bf_grad, bi_grad, bo_grad


EXHIBIT = Exhibit(
    title="One delta for three gates",
    project="hanbt/learn_dl",
    number="issue 53",
    said="Two lines of the LSTM use the delta of the forget gate for the biases of the input and the output gate.",
    fact="The lines were copied, and only their left sides were changed.",
    equation=r"\bar{b}_i = \textstyle\sum \delta_i, \quad \bar{b}_o = \textstyle\sum \delta_o",
    forward=forward, backward=backward, right=right,
    inputs=normal((4, 3), (4, 3), (3,), (3,), (3,)),
    kinds=("wrong_gate", "wrong_value", "wrong_layer_input"),
)  # fmt: skip
