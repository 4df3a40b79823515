"""A mean that goes back as a sum."""

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
    title="A mean is a sum divided by something",
    project="kakaobrain/trident",
    number="pull 66",
    said="The backward of Mean was implemented incorrectly: the mean is divided by the size, so its gradient has "
         "to be.",
    fact="1/n was left out.",
    equation=r"\frac{g}{n}",
    forward=forward, backward=backward, right=right,
    inputs=normal((4, 5)),
    kinds=("scale",),
)  # fmt: skip
