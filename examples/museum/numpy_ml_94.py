"""Dropout without its mask in the backward pass."""

import numpy as np

from .exhibit import Array, Exhibit, normal

P = 0.3
MASK = np.random.default_rng(7).random((5, 4)) >= P


def forward(x: Array, W: Array) -> Array:
    return (np.tanh(x) * MASK / (1 - P)) @ W


def backward(x: Array, W: Array, g: Array) -> tuple[Array, Array]:
    dh = g @ W.T / (1 - P)
    return dh * (1 - np.tanh(x) ** 2), (np.tanh(x) * MASK / (1 - P)).T @ g


def right(x: Array, W: Array, g: Array) -> tuple[Array, Array]:
    dh = g @ W.T * MASK / (1 - P)
    return dh * (1 - np.tanh(x) ** 2), (np.tanh(x) * MASK / (1 - P)).T @ g


EXHIBIT = Exhibit(
    title="Dropout without its mask",
    project="ddbourgin/numpy-ml",
    number="issue 94",
    said="The backward pass divides by 1 - p but does not apply the mask that the forward pass drew.",
    fact="A unit that was dropped has no influence, so its gradient is 0.",
    equation=r"g \odot \frac{m}{1 - p}",
    forward=forward, backward=backward, right=right,
    inputs=normal((5, 4), (4, 3)),
    kinds=("dropout_mask_missing", "missing_factor", "mask_missing"),
)  # fmt: skip
