"""Brackets in the gradient of a cross-entropy."""

import numpy as np

from .exhibit import Array, Exhibit

Y = np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])


def forward(p: Array) -> Array:
    return -(Y * np.log(p) + (1 - Y) * np.log(1 - p)).sum()


def backward(p: Array, g: Array) -> Array:
    return g * (p - Y) / p / (1.0 - p)


EXHIBIT = Exhibit(
    title="Division by a product",
    project="hughperkins/DeepCL",
    number="issue 62",
    said="The gradient of the cross-entropy is (p - y) / p / (1 - p); another library has (p - y) / (p (1 - p)).",
    fact="Dividing by two numbers in turn is dividing by their product.",
    equation=r"\frac{p - y}{p (1 - p)}",
    forward=forward, backward=backward,
    inputs=lambda seed: (np.random.default_rng(seed).uniform(0.1, 0.9, size=(2, 3)),),
)  # fmt: skip
