"""A mean that is differentiated as a sum."""

import numpy as np

from .exhibit import Array, Exhibit, normal


def forward(x: Array) -> Array:
    return np.exp(x).mean(axis=1)


def backward(x: Array, g: Array) -> Array:
    d = g[:, None] * np.ones_like(x)
    return d * np.exp(x)


def right(x: Array, g: Array) -> Array:
    d = g[:, None] * np.ones_like(x) / x.shape[1]
    return d * np.exp(x)


EXHIBIT = Exhibit(
    title="A mean differentiated as a sum",
    project="kakaobrain/trident",
    number="pull 66",
    said="The backward of Mean was implemented incorrectly: the mean is divided by the size, so its gradient must be "
         "too.",
    fact="The factor 1/n is missing.",
    equation=r"\frac{g}{n}",
    forward=forward, backward=backward, right=right,
    inputs=normal((4, 5)),
    kinds=("scale",),
)  # fmt: skip
