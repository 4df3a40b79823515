"""The second residual connection of a transformer block."""

import numpy as np

from .exhibit import Array, Exhibit, normal


def forward(x: Array, A: Array, F: Array) -> Array:
    residual1 = x + np.tanh(x @ A)
    return residual1 + np.tanh(residual1 @ F)


def backward(x: Array, A: Array, F: Array, g: Array) -> tuple[Array, ...]:
    attention = np.tanh(x @ A)
    residual1 = x + attention
    dz2 = g * (1 - np.tanh(residual1 @ F) ** 2)
    d1 = dz2 @ F.T
    dz1 = d1 * (1 - attention**2)
    return d1 + dz1 @ A.T, x.T @ dz1, residual1.T @ dz2


def right(x: Array, A: Array, F: Array, g: Array) -> tuple[Array, ...]:
    attention = np.tanh(x @ A)
    residual1 = x + attention
    dz2 = g * (1 - np.tanh(residual1 @ F) ** 2)
    d1 = g + dz2 @ F.T
    dz1 = d1 * (1 - attention**2)
    return d1 + dz1 @ A.T, x.T @ dz1, residual1.T @ dz2


EXHIBIT = Exhibit(
    title="A residual connection without gradient",
    project="paiml/entrenar",
    number="issue 313",
    said="The first residual connection of the block is handled in the backward pass, the second is not: the "
         "gradient goes through the feed-forward part only, and after four or five blocks it is zero.",
    fact="The gradient of a sum goes to both of its terms.",
    equation=r"\bar{r} = g + \bar{z} F^T",
    forward=forward, backward=backward, right=right,
    inputs=normal((4, 3), (3, 3), (3, 3)),
    kinds=("residual_forgotten", "overwritten_not_accumulated"),
)  # fmt: skip
