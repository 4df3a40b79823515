"""Clamp with its comparisons inverted."""

import numpy as np

from .exhibit import Array, Exhibit, normal


def forward(x: Array) -> Array:
    return np.clip(x, -1, 1)


def backward(x: Array, g: Array) -> Array:
    inside = (x <= -1) & (x >= 1)
    return g * inside


def right(x: Array, g: Array) -> Array:
    inside = (x >= -1) & (x <= 1)
    return g * inside


EXHIBIT = Exhibit(
    title="Clamp with a mask that is always false",
    project="tenstorrent/tt-metal",
    number="issue 48201",
    said="If both bounds are tensors, the mask is (x <= min) and (x >= max), which is never true: the gradient is all "
         "zeros. Tests had only used scalar bounds.",
    fact="The mask should be true between the bounds.",
    equation=r"g \, [a \le x \le b]",
    forward=forward, backward=backward, right=right,
    inputs=normal((4, 5)),
    kinds=("mask_missing", "detached", "wrong_value"),
)  # fmt: skip
