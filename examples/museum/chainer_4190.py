"""Epsilon where it does not belong."""

import numpy as np

from .exhibit import Array, Exhibit, normal

EPS = 0.1


def forward(x: Array) -> Array:
    return x / (np.sqrt((x * x).sum(axis=1, keepdims=True)) + EPS)


def backward(x: Array, g: Array) -> Array:
    norm = np.sqrt((x * x).sum(axis=1, keepdims=True)) + EPS
    return (g * norm - (g * x).sum(axis=1, keepdims=True) * x / norm) / norm**2


def right(x: Array, g: Array) -> Array:
    bare = np.sqrt((x * x).sum(axis=1, keepdims=True))
    norm = bare + EPS
    return (g * norm - (g * x).sum(axis=1, keepdims=True) * x / bare) / norm**2


EXHIBIT = Exhibit(
    title="Epsilon in the derivative of the norm",
    project="chainer/chainer",
    number="pull 4190",
    said="The backward of the division by the norm plus epsilon is wrong unless epsilon is negligible.",
    fact="The derivative of the norm itself is x over the norm, without epsilon.",
    equation=r"\frac{\partial \|x\|}{\partial x} = \frac{x}{\|x\|}",
    forward=forward, backward=backward, right=right,
    inputs=normal((4, 3)),
    kinds=("wrong_epsilon", "activation_derivative_at_wrong_value"),
)  # fmt: skip
