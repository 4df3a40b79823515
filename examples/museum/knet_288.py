"""Gamma missing from dx of batch norm."""

import numpy as np

from .exhibit import Array, Exhibit, normal


def forward(x: Array, gamma: Array, beta: Array) -> Array:
    return gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5) + beta


def backward(x: Array, gamma: Array, beta: Array, g: Array) -> tuple[Array, ...]:
    m, centred = len(x), x - x.mean(axis=0)
    ivar = 1 / np.sqrt(x.var(axis=0) + 1e-5)
    dyivar = g * ivar
    dsigma2 = -0.5 * (dyivar * centred * ivar**2).sum(axis=0)
    dmu = -dyivar.sum(axis=0)
    return dyivar + dsigma2 * 2 * centred / m + dmu / m, (centred * dyivar).sum(axis=0), g.sum(axis=0)


def right(x: Array, gamma: Array, beta: Array, g: Array) -> tuple[Array, ...]:
    m, centred = len(x), x - x.mean(axis=0)
    ivar = 1 / np.sqrt(x.var(axis=0) + 1e-5)
    dxhat = g * gamma * ivar
    dsigma2 = -0.5 * (dxhat * centred * ivar**2).sum(axis=0)
    dmu = -dxhat.sum(axis=0)
    return dxhat + dsigma2 * 2 * centred / m + dmu / m, (centred * g * ivar).sum(axis=0), g.sum(axis=0)


EXHIBIT = Exhibit(
    title="Batch norm without gamma",
    project="denizyuret/Knet.jl",
    number="issue 288",
    said="The cotangent is multiplied by the scales, but dx is computed from the product that was made before. The "
         "tests passed, since they started with scales of 1.",
    fact="dx goes through the normalised x, whose gradient is gamma times the arriving gradient.",
    equation=r"\hat{g} = \gamma \odot g",
    forward=forward, backward=backward, right=right,
    inputs=normal((7, 4), (4,), (4,)),
    kinds=("missing_factor", "product_rule_half"),
)  # fmt: skip
