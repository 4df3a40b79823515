"""Tanh that is not recorded in the graph."""

import numpy as np

from .exhibit import Array, Exhibit, normal


def forward(x: Array, W: Array) -> Array:
    return np.tanh(x) @ W


def backward(x: Array, W: Array, g: Array) -> tuple[Array, Array]:
    dx = np.zeros_like(x)
    return dx, np.tanh(x).T @ g


def right(x: Array, W: Array, g: Array) -> tuple[Array, Array]:
    dx = g @ W.T * (1 - np.tanh(x) ** 2)
    return dx, np.tanh(x).T @ g


EXHIBIT = Exhibit(
    title="Tanh is not recorded in the graph",
    project="harvard-edge/cs249r_book",
    number="issue 1341",
    said="After backward the input of tanh has no gradient: tanh is the only activation that is missing in the list of "
         "functions that are recorded.",
    fact="No gradient goes back through tanh, and no error says so.",
    equation=r"g \, (1 - \tanh^2 x)",
    forward=forward, backward=backward, right=right,
    inputs=normal((4, 3), (3, 2)),
    kinds=("detached",),
)  # fmt: skip
