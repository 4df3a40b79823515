"""The derivative of a quotient as the quotient of the derivatives."""

import numpy as np

from .exhibit import Array, Exhibit


def forward(x: Array) -> Array:
    return np.sin(x) / (x * x + 1)


def backward(x: Array, g: Array) -> Array:
    return g * np.cos(x) / (2 * x)


def right(x: Array, g: Array) -> Array:
    q = x * x + 1
    return g * (np.cos(x) * q - np.sin(x) * 2 * x) / q**2


EXHIBIT = Exhibit(
    title="The quotient of the derivatives",
    project="tobegit3hub/miniflow",
    number="issue 3",
    said="The gradient of a division is the gradient of the first operand divided by that of the second.",
    fact="That is not a rule of differentiation.",
    equation=r"\left(\frac{p}{q}\right)' = \frac{p' q - p \, q'}{q^2}",
    forward=forward, backward=backward, right=right,
    inputs=lambda seed: (np.random.default_rng(seed).uniform(0.5, 2, size=6),),
    kinds=("product_rule_half", "wrong_derivative"),
)  # fmt: skip
