r"""SciPy's normal distribution, error functions other than `erf` and `erfc`, and exponential integrals."""

from __future__ import annotations

from math import pi, sqrt

import numpy as np

from ..primitive import Array, Primitive, declare
from .elementwise import INSIDE_ONE, POSITIVE, _safe_divisor
from .library import forward, library

ROOT_2, ROOT_PI, ROOT_2PI = sqrt(2), sqrt(pi), sqrt(2 * pi)
TAIL = -5.0  # below it a continued fraction is used, whose error after n steps is about exp(2 TAIL √(2n))
STEPS = 40
OPEN_UNIT = [(0.05, 0.95)]


def _finite_result(g: Array, out: Array) -> Array:
    """Return the result of an inverse function with 0 in place of infinity where the cotangent is 0."""
    return np.where((g == 0) & np.isinf(out), 0, out)

# fmt: off
def _inverse_mills(x: Array) -> Array:
    r"""Return the density of the normal distribution over its cumulative distribution, φ(x)/Φ(x)."""
    return sqrt(2 / pi) / library().erfcx(x / -ROOT_2)


inverse_mills: Primitive = declare(_inverse_mills, r"\frac{\varphi(x)}{\Phi(x)}",
    (lambda g, out, x: -g * out * mills_excess(x),            r"-g \frac{\varphi}{\Phi} (x + \frac{\varphi}{\Phi})"))


def _mills_excess(x: Array) -> Array:
    """Return x + φ(x)/Φ(x); by Laplace's continued fraction 1/(z + 2/(z + 3/(z + ...))) in the tail, z = -x."""
    tail = np.maximum(-x, -TAIL)
    fraction = 0 * tail
    for k in range(STEPS, 0, -1):
        fraction = k / (tail + fraction)
    return np.where(x < TAIL, fraction, x + _inverse_mills(np.maximum(x, TAIL)))


mills_excess: Primitive = declare(_mills_excess, r"x + \frac{\varphi(x)}{\Phi(x)}",
    (lambda g, out, x: g * (1 - inverse_mills(x) * out),
                                              r"g \, (1 - \frac{\varphi}{\Phi} (x + \frac{\varphi}{\Phi}))"))

log_ndtr = declare(forward("log_ndtr"), r"\ln \Phi(x)",
    (lambda g, out, x: g * inverse_mills(x),                  r"g \frac{\varphi(x)}{\Phi(x)}"))

ndtri = declare(forward("ndtri"), r"\Phi^{-1}(x)",
    (lambda g, out, x: g * ROOT_2PI * np.exp(0.5 * _finite_result(g, out) ** 2), r"\frac{g}{\varphi(out)}"),
    domain=OPEN_UNIT, kinks="at 0 and 1 infinite, and 0 where the cotangent is 0")

ndtri_exp = declare(forward("ndtri_exp"), r"\Phi^{-1}(e^x)",
    (lambda g, out, x: g / _safe_divisor(g, inverse_mills(out)),      r"g \frac{\Phi(out)}{\varphi(out)}"),
    domain=[(-3, -0.1)])

erfinv = declare(forward("erfinv"), r"\operatorname{erf}^{-1} x",
    (lambda g, out, x: g * (0.5 * ROOT_PI) * np.exp(_finite_result(g, out) ** 2),
                                              r"\tfrac{\sqrt\pi}{2} e^{out^2} g"),
    domain=INSIDE_ONE, kinks="at -1 and 1 infinite, and 0 where the cotangent is 0")

erfcinv = declare(forward("erfcinv"), r"\operatorname{erfc}^{-1} x",
    (lambda g, out, x: -g * (0.5 * ROOT_PI) * np.exp(_finite_result(g, out) ** 2),
                                              r"-\tfrac{\sqrt\pi}{2} e^{out^2} g"),
    domain=[(0.1, 1.9)], kinks="at 0 and 2 infinite, and 0 where the cotangent is 0")

erfcx = declare(forward("erfcx"), r"e^{x^2} \operatorname{erfc} x",
    (lambda g, out, x: -ROOT_2 * g * out * mills_excess(-ROOT_2 * x),
                                              r"g \, (2 x \, out - \tfrac{2}{\sqrt\pi})"))

erfi = declare(forward("erfi"), r"\frac{2}{\sqrt\pi} \int_0^x e^{t^2} dt",
    (lambda g, out, x: g * np.exp(x * x) * (2 / ROOT_PI),     r"\tfrac{2}{\sqrt\pi} e^{x^2} g"))

dawsn = declare(forward("dawsn"), r"e^{-x^2} \int_0^x e^{t^2} dt",
    (lambda g, out, x: g * (1 - 2 * x * out),                 r"g \, (1 - 2 x \, out)"))

exp1 = declare(forward("exp1"), r"E_1(x) = \int_x^\infty \frac{e^{-t}}{t} dt",
    (lambda g, out, x: -g * np.exp(-x) / _safe_divisor(g, x),         r"-g \frac{e^{-x}}{x}"),
    domain=POSITIVE, kinks="at 0 infinite, and 0 where the cotangent is 0")

expi = declare(forward("expi"), r"\operatorname{Ei} x = -\int_{-x}^\infty \frac{e^{-t}}{t} dt",
    (lambda g, out, x: g * np.exp(x) / _safe_divisor(g, x),           r"g \frac{e^x}{x}"),
    domain=POSITIVE, kinks="at 0 infinite, and 0 where the cotangent is 0")
# fmt: on
