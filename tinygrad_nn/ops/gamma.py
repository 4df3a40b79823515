r"""Gamma and beta functions, their logarithms, and binomial coefficients, by SciPy.

ψ in the equations is `digamma`, the derivative of the logarithm of the gamma function.
"""

from __future__ import annotations

import numpy as np

from ..primitive import Array, declare
from .library import forward
from .special import digamma

# fmt: off
gamma = declare(forward("gamma"), r"\Gamma(x)",
    (lambda g, out, x: g * out * digamma(x),                  r"g \, \Gamma(x) \, \psi(x)"),
    domain=[(0.3, 4)])

loggamma = declare(forward("loggamma"), r"\ln \Gamma(x)",
    (lambda g, out, x: g * digamma(x),                        r"g \, \psi(x)"),
    domain=[(0.3, 4)])


def _rgamma_vjp(g: Array, out: Array, x: Array) -> Array:
    """Return the gradient; below 1/2, where Γ has poles but 1/Γ is smooth, by 1/Γ(x) = Γ(1 - x) sin(πx) / π."""
    below = x < 0.5
    low, high = np.where(below, 1 - x, 1), np.where(below, 1, x)
    mirrored = gamma(low) * (np.cos(np.pi * low) + digamma(low) * np.sin(np.pi * low) / np.pi)
    return -g * np.where(below, mirrored, rgamma(high) * digamma(high))

rgamma = declare(forward("rgamma"), r"\frac{1}{\Gamma(x)}",
    (_rgamma_vjp,                                             r"-g \frac{\psi(x)}{\Gamma(x)}"),
    domain=[(-1.5, 4)])

PAIR = [(0.3, 3), (0.3, 3)]

beta = declare(forward("beta"), r"B(x, y) = \frac{\Gamma(x) \Gamma(y)}{\Gamma(x + y)}",
    (lambda g, out, x, y: g * out * (digamma(x) - digamma(x + y)), r"g \, B(x, y) (\psi(x) - \psi(x + y))"),
    (lambda g, out, x, y: g * out * (digamma(y) - digamma(x + y)), r"g \, B(x, y) (\psi(y) - \psi(x + y))"),
    domain=PAIR)

betaln = declare(forward("betaln"), r"\ln |B(x, y)|",
    (lambda g, out, x, y: g * (digamma(x) - digamma(x + y)),  r"g \, (\psi(x) - \psi(x + y))"),
    (lambda g, out, x, y: g * (digamma(y) - digamma(x + y)),  r"g \, (\psi(y) - \psi(x + y))"),
    domain=PAIR)

binom = declare(forward("binom"), r"\binom{x}{y} = \frac{\Gamma(x + 1)}{\Gamma(y + 1) \Gamma(x - y + 1)}",
    (lambda g, out, x, y: g * out * (digamma(x + 1) - digamma(x - y + 1)),
                                              r"g \, \tbinom{x}{y} (\psi(x + 1) - \psi(x - y + 1))"),
    (lambda g, out, x, y: g * out * (digamma(x - y + 1) - digamma(y + 1)),
                                              r"g \, \tbinom{x}{y} (\psi(x - y + 1) - \psi(y + 1))"),
    domain=[(3.2, 6), (0.3, 3)])

poch = declare(forward("poch"), r"(x)_y = \frac{\Gamma(x + y)}{\Gamma(x)}",
    (lambda g, out, x, y: g * out * (digamma(x + y) - digamma(x)), r"g \, (x)_y (\psi(x + y) - \psi(x))"),
    (lambda g, out, x, y: g * out * digamma(x + y),           r"g \, (x)_y \, \psi(x + y)"),
    domain=PAIR)
# fmt: on
