"""Batch norm: the second part of the gradient of the mean."""

import numpy as np

from .exhibit import Array, Exhibit, normal


def forward(x: Array) -> Array:
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)


def backward(x: Array, g: Array) -> Array:
    m, centred, var = len(x), x - x.mean(axis=0), x.var(axis=0) + 1e-5
    mean_delta = -g.sum(axis=0) / np.sqrt(var)
    variance_delta = -0.5 * (g * centred).sum(axis=0) * var**-1.5
    return g / np.sqrt(var) + variance_delta * 2 * centred / m + mean_delta / m


EXHIBIT = Exhibit(
    title="A missing term that is zero",
    project="pjreddie/darknet",
    number="issue 1723",
    said="According to the paper the gradient of the mean depends on that of the variance: a term is missing. It was "
         "added and tried, and the result is almost the same.",
    fact="The term is the gradient of the variance times the sum of x - mean, which is zero.",
    equation=r"\sum_i (x_i - \mu) = 0",
    forward=forward, backward=backward,
    inputs=normal((6, 4)),
)  # fmt: skip
