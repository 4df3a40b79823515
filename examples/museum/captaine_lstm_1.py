"""A forget gate without the derivative of its sigmoid."""

import numpy as np

from .exhibit import Array, Exhibit, normal, sigmoid


def forward(z: Array, C_prev: Array, Wf: Array, Wg: Array) -> Array:
    f = sigmoid(z @ Wf)
    return np.tanh(f * C_prev + (1 - f) * np.tanh(z @ Wg))


def backward(z: Array, C_prev: Array, Wf: Array, Wg: Array, g: Array) -> tuple[Array, ...]:
    f, c = sigmoid(z @ Wf), np.tanh(z @ Wg)
    dC = g * (1 - np.tanh(f * C_prev + (1 - f) * c) ** 2)
    df = dC * (C_prev - c)
    df = sigmoid(f) * df
    dc = dC * (1 - f) * (1 - c**2)
    return df @ Wf.T + dc @ Wg.T, dC * f, z.T @ df, z.T @ dc


def right(z: Array, C_prev: Array, Wf: Array, Wg: Array, g: Array) -> tuple[Array, ...]:
    f, c = sigmoid(z @ Wf), np.tanh(z @ Wg)
    dC = g * (1 - np.tanh(f * C_prev + (1 - f) * c) ** 2)
    df = dC * (C_prev - c)
    df = f * (1 - f) * df
    dc = dC * (1 - f) * (1 - c**2)
    return df @ Wf.T + dc @ Wg.T, dC * f, z.T @ df, z.T @ dc


EXHIBIT = Exhibit(
    title="The sigmoid in place of its derivative",
    project="CaptainE/RNN-LSTM-in-numpy",
    number="issue 1",
    said="In the backward pass of the LSTM the gradient of the forget gate is multiplied by sigmoid(f). The function "
         "has a switch for its derivative, which was forgotten. (Also the carried gradients are never updated.)",
    fact="The function was called instead of its derivative.",
    equation=r"\delta_f = \bar{f} \odot f (1 - f)",
    forward=forward, backward=backward, right=right,
    inputs=normal((4, 3), (4, 2), (3, 2), (3, 2)),
    kinds=("wrong_derivative", "activation_derivative_at_wrong_value", "missing_activation_derivative"),
)  # fmt: skip
