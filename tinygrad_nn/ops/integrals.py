r"""SciPy's integrals without a closed form: Si, Ci, Shi, Chi, Fresnel, Spence, Owen's T and E_n."""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt

import numpy as np

from ..primitive import Array, Primitive, declare
from .elementwise import POSITIVE, _safe_divisor
from .hypergeometric import hyp0f1, hyp2f1
from .library import STAND_INS, call_scipy, forward, library
from .special import erf, sinc


def _one_of(name: str, number: int, of: str) -> Callable[[Array], Array]:
    """Return a forward that computes result number `number` of the function `of` of scipy.special."""

    def call(x: Array) -> Array:
        return getattr(library(), of)(x)[number]

    call.__name__, call.__doc__ = name, f"Return the result {number} of scipy.special.{of}."
    return call


def _sinh_over(x: Array) -> Array:
    """Return sinh(x) / x, which is 1 at 0."""
    if np.result_type(x).kind == "c":
        return sinc(x * (1j / pi))
    return hyp0f1(0.25 * x * x, b=1.5)

# fmt: off
sine_integral = declare(_one_of("sine_integral", 0, "sici"), r"\operatorname{Si} x = \int_0^x \frac{\sin t}{t} dt",
    (lambda g, out, x: g * sinc(x / pi),                      r"g \frac{\sin x}{x}"))

cosine_integral = declare(_one_of("cosine_integral", 1, "sici"), r"\operatorname{Ci} x",
    (lambda g, out, x: g * np.cos(x) / _safe_divisor(g, x),           r"g \frac{\cos x}{x}"),
    domain=POSITIVE, kinks="at 0 infinite, and 0 where the cotangent is 0")

sinh_integral = declare(_one_of("sinh_integral", 0, "shichi"), r"\operatorname{Shi} x = \int_0^x \frac{\sinh t}{t} dt",
    (lambda g, out, x: g * _sinh_over(x),                     r"g \frac{\sinh x}{x}"))

cosh_integral = declare(_one_of("cosh_integral", 1, "shichi"), r"\operatorname{Chi} x",
    (lambda g, out, x: g * np.cosh(x) / _safe_divisor(g, x),          r"g \frac{\cosh x}{x}"),
    domain=POSITIVE, kinks="at 0 infinite, and 0 where the cotangent is 0")

fresnel_s = declare(_one_of("fresnel_s", 0, "fresnel"), r"\int_0^x \sin \tfrac{\pi t^2}{2} dt",
    (lambda g, out, x: g * np.sin(pi / 2 * x * x),            r"g \sin \tfrac{\pi x^2}{2}"))

fresnel_c = declare(_one_of("fresnel_c", 1, "fresnel"), r"\int_0^x \cos \tfrac{\pi t^2}{2} dt",
    (lambda g, out, x: g * np.cos(pi / 2 * x * x),            r"g \cos \tfrac{\pi x^2}{2}"))

spence = declare(forward("spence"), r"\int_1^x \frac{\ln t}{1 - t} dt",
    (lambda g, out, x: -g * hyp2f1(1 - x, a=1.0, b=1.0, c=2.0), r"g \frac{\ln x}{1 - x}"),
    domain=[(0.1, 3)])

owens_t = declare(forward("owens_t"), r"\frac{1}{2\pi} \int_0^y \frac{e^{-x^2 (1 + t^2) / 2}}{1 + t^2} dt",
    (lambda g, out, x, y: g * np.exp(-0.5 * x * x) * erf(x * y * sqrt(0.5)) * (-0.5 / sqrt(2 * pi)),
                                              r"-\tfrac{g}{2} \varphi(x) \operatorname{erf} \tfrac{x y}{\sqrt 2}"),
    (lambda g, out, x, y: g * np.exp(-0.5 * x * x * (1 + y * y)) / (2 * pi * (1 + y * y)),
                                              r"g \frac{e^{-x^2 (1 + y^2) / 2}}{2 \pi (1 + y^2)}"))


def _expn(x: Array, n: Array) -> Array:
    """Return the exponential integral E_n of integer order n ≥ 1."""
    return call_scipy("expn", n, x)


def _expn_below(x: Array, n: Array) -> Array:
    """Return the exponential integral of order n - 1; order 0 is e^-x / x."""
    first = np.asarray(n) <= 1
    return np.where(first, np.exp(-x) / x, expn(x, n=np.where(first, 1, np.asarray(n) - 1)))

expn: Primitive = declare(_expn, r"E_n(x) = \int_1^\infty \frac{e^{-x t}}{t^n} dt",
    (lambda g, out, x, n: -g * _expn_below(x, n),             r"-g \, E_{n-1}(x)"),
    domain=POSITIVE)
# fmt: on

STAND_INS.update({
    "sici": lambda x: (sine_integral(x), cosine_integral(x)),
    "shichi": lambda x: (sinh_integral(x), cosh_integral(x)),
    "fresnel": lambda x: (fresnel_s(x), fresnel_c(x)),
    "expn": lambda n, x: expn(x, n=n) if np.all(np.asarray(n) > 0) else np.exp(-x) / x,
})  # fmt: skip
