r"""The zeta functions of Riemann and Hurwitz, with derivatives in both arguments.

Source: M. Abramowitz and I. A. Stegun, Handbook of Mathematical Functions, 23.2.3, 23.2.6, by Euler's and Maclaurin's
summation.
"""

from __future__ import annotations

from math import comb, factorial, log, pi

import numpy as np

from ..primitive import Array, Primitive, declare
from .gamma import gamma
from .library import STAND_INS
from .plain import as_arrays
from .special import gammaln

TERMS = 12
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330,
             854513 / 138, -236364091 / 2730)  # fmt: skip


def _zeta(x: Array, y: Array, order: int = 0) -> Array:
    r"""Return the derivative of the given order in x of Hurwitz's zeta function: infinite at x = 1, NaN for y ≤ 0.

    .. math:: \zeta(x, y) = \sum_{k \ge 0} (k + y)^{-x}
    """
    dtype = np.result_type(x, y, np.float32)
    s, q = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
    with np.errstate(all="ignore"):
        q = np.where(q > 0, q, np.nan)
        ln = np.log(q + TERMS)
        factors = [[(-1) ** i * factorial(i) / (s - 1) ** (i + 1) * (q + TERMS) for i in range(order + 1)], [0.5]]
        rising: list[Array] = [s, 1.0, *[0.0] * order][: order + 1]
        for j, b in enumerate(BERNOULLI, 1):  # of s (s + 1) ... (s + 2j - 2): the derivatives up to the order
            for k in (2 * j - 3, 2 * j - 2) if j > 1 else ():
                rising = [r * (s + k) + (i * rising[i - 1] if i else 0) for i, r in enumerate(rising)]
            size = b / factorial(2 * j) * (q + TERMS) ** (1.0 - 2 * j)
            factors.append([r * size for r in rising])
        tail = sum(comb(order, i) * (-ln) ** (order - i) * f for row in factors for i, f in enumerate(row))
        decay = np.exp(-s * ln)
        out = np.where(decay == 0, 0, tail) * decay  # the tail of a large s may overflow
        for k in reversed(range(TERMS)):
            out = out + (-np.log(q + k)) ** order * (q + k) ** -s
    return np.where((s == 1) & (q > 0), np.inf if order % 2 == 0 else -np.inf, out).astype(dtype)

# fmt: off
zeta: Primitive = declare(_zeta, r"\frac{\partial^n}{\partial x^n} \zeta(x, y)",
    (lambda g, out, x, y, order=0: g * zeta(x, y, order=order + 1),
                                              r"g \frac{\partial^{n+1}}{\partial x^{n+1}} \zeta(x, y)"),
    (lambda g, out, x, y, order=0:
        -g * (x * zeta(x + 1, y, order=order) + (order * zeta(x + 1, y, order=order - 1) if order else 0)),
     r"-g \frac{\partial^n}{\partial x^n} x \, \zeta(x + 1, y)"),
    domain=[(1.5, 5), (0.5, 3)])
# fmt: on


def _riemann(x: Array) -> Array:
    """Return Riemann's zeta function for real x; below -0.1 by its functional equation, which loses digits at 0."""
    below = x < -0.1
    low, high = np.where(below, x, -1), np.where(below, 2, x)
    half = np.rint(0.5 * as_arrays(low))  # the sine, of low less the nearest even number, is 0 at even numbers
    sine = (1 - 2 * np.abs(half % 2)) * np.sin(0.5 * pi * (low - 2 * half))
    few = low > -160  # the gamma function overflows beyond
    some, many = np.where(few, low, -1), np.where(few, -1, low)
    log_size = gammaln(1 - many) + (many - 1) * log(2 * pi)
    log_size = np.where((as_arrays(sine) == 0) & ~few, 0, log_size)
    size = np.where(few, gamma(1 - some) * (2 * pi) ** (some - 1), np.exp(log_size))
    return np.where(below, 2 * sine * size * zeta(1 - low, 1.0), zeta(high, 1.0))


STAND_INS.update({
    "_riemann_zeta": _riemann,
    "_zeta": zeta,
    "zetac": lambda x: np.where(x > 1, zeta(np.where(x > 1, x, 2), 2.0), _riemann(np.where(x > 1, 0, x)) - 1),
})  # fmt: skip
