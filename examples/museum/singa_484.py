"""A quotient with the derivatives of something else."""

import numpy as np

from .exhibit import Array, Exhibit


def forward(a: Array, b: Array) -> Array:
    return a / b


def backward(a: Array, b: Array, g: Array) -> tuple[Array, Array]:
    return g / a, g * b


def right(a: Array, b: Array, g: Array) -> tuple[Array, Array]:
    return g / b, -g * a / b**2


def inputs(seed: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    return rng.uniform(1, 3, size=(3, 2)), rng.uniform(1, 3, size=(3, 2))


EXHIBIT = Exhibit(
    title="Both gradients of a division are wrong",
    project="apache/singa",
    number="pull 484",
    said="In the review: the backward of a / b returns dy / a and dy * b; it should be 1/b and -a/b^2.",
    fact="The operands are exchanged, and the rule of the second operand is not that of a quotient.",
    equation=r"\bar{a} = \frac{g}{b}, \quad \bar{b} = -\frac{g \, a}{b^2}",
    forward=forward, backward=backward, right=right,
    inputs=inputs,
    kinds=("wrong_value", "wrong_derivative", "missing_factor", "wrong_order"),
)  # fmt: skip
