"""Batch norm: the same term, in code that computes it."""

import numpy as np

from .exhibit import Array, Exhibit, normal


def forward(x: Array, gamma: Array, beta: Array) -> Array:
    return gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-3) + beta


def backward(x: Array, gamma: Array, beta: Array, g: Array) -> tuple[Array, ...]:
    m, centred, var = len(x), x - x.mean(axis=0), x.var(axis=0) + 1e-3
    gvar = (g * gamma * centred * -0.5 * var**-1.5).sum(axis=0)
    gmean = -(g * gamma).sum(axis=0) / np.sqrt(var)
    tmp = gvar * (-2 * centred).sum(axis=0) / m
    gmean += tmp
    dx = g * gamma / np.sqrt(var) + gvar * 2 * centred / m + gmean / m
    return dx, (g * centred / np.sqrt(var)).sum(axis=0), g.sum(axis=0)


EXHIBIT = Exhibit(
    title="A term that seems wrong, and is zero",
    project="apache/mxnet",
    number="issue 1053",
    said="After the gradient of the mean has been computed correctly, += tmp makes it wrong: mathematically wrong, "
         "though the effect is small. A test of the gradient, written because of this (pull 1061), found nothing.",
    fact="The term is right, and it is zero. As the reporter writes, the ICML version of the paper overlooked it.",
    equation=r"\frac{\partial \sigma^2}{\partial \mu} = -\frac{2}{m} \sum_i (x_i - \mu) = 0",
    forward=forward, backward=backward,
    inputs=normal((6, 4), (4,), (4,)),
)  # fmt: skip
