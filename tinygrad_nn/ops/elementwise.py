r"""Elementwise primitives, ordered as in a calculus table: arithmetic, exponentials, trigonometry, absolute values.

A row holds the forward, its equation, and then for each argument the VJP rule and the equation of the rule.

If a rule's factor is infinite or NaN where the cotangent is zero (as in the branch that ``np.where`` did not take), it
contributes zero, to any order. The guards test both the cotangent and the singular point: the cotangent alone may be
zero by chance, as for ``(np.sqrt(x) - 2) ** 2`` at x = 4, whose second derivative is 1/8 all the same.
"""

from __future__ import annotations

from math import log as ln
from math import pi
from typing import Any

import numpy as np

from ..primitive import METHODS, OVERRIDES, REGISTRY, Array, declare


def _float_power(x: Array, y: Array) -> Array:
    return power(np.multiply(x, np.float64(1)), np.multiply(y, np.float64(1)))


def _sign(x: Array) -> Array:
    return np.where(x == 0, 0, x / divisor(np.absolute(x))) if np.iscomplexobj(x) else sign(x)

# fmt: off
add = declare(np.add, r"x + y",
    (lambda g, out, x, y: g,                       r"g"),
    (lambda g, out, x, y: g,                       r"g"))

subtract = declare(np.subtract, r"x - y",
    (lambda g, out, x, y: g,                       r"g"),
    (lambda g, out, x, y: -g,                      r"-g"))

multiply = declare(np.multiply, r"x \, y",
    (lambda g, out, x, y: g * y,                   r"g \, y"),
    (lambda g, out, x, y: g * x,                   r"g \, x"))

inf = np.inf


def _regular(*arrays: Array) -> bool:
    """Tell whether these are plain arrays without 0 and NaN, for which a guard would only cost time."""
    return all(type(a) is np.ndarray and np.count_nonzero(np.abs(a) > 0) == a.size for a in arrays)


def _safe_divisor(g: Array, x: Array) -> Array:
    """Return a divisor with infinity where it is 0 or NaN and the cotangent is 0: dividing by it gives 0, not 0/0."""
    if type(x) in (int, float, complex) or _regular(x):  # a number divides all entries, so no branch was left out
        return x
    return np.where((g == 0) & ((x == 0) | (x != x)), inf, x)


def _divide_vjp_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    y = _safe_divisor(g, y)
    return -(g / y) * (x / y)

divide = declare(np.divide, r"\frac{x}{y}",
    (lambda g, out, x, y: g / _safe_divisor(g, y),         r"\frac{g}{y}"),
    (_divide_vjp_y,                                r"-\frac{g \, x}{y^2}"),
    domain=[(-2, 2), (0.5, 2)], kinks="at y = 0 infinite, and 0 where the cotangent is 0")

negative = declare(np.negative, r"-x",
    (lambda g, out, x: -g,                         r"-g"))

positive = declare(np.positive, r"x",
    (lambda g, out, x: g,                          r"g"))

reciprocal = declare(np.reciprocal, r"\frac{1}{x}",
    (lambda g, out, x: -(g / _safe_divisor(g, x) / _safe_divisor(g, x)), r"-\frac{g}{x^2}"),
    domain=[(0.5, 2)], kinks="at 0 infinite, and 0 where the cotangent is 0")

square = declare(np.square, r"x^2",
    (lambda g, out, x: 2 * g * x,                  r"2 \, g \, x"))


def _power(x: Array, y: Array) -> Array:
    return x**y  # unlike np.power, ndarray.__pow__ computes a square by one multiplication


def _power_vjp_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    if type(y) in (int, float) and y >= 1 and y % 1 == 0:  # a polynomial: never singular, and common
        return g * y * x ** (y - 1)
    if _regular(x, out):
        return g * y * x ** (1 * y - (y != 0))
    lost = (g == 0) & (((x == 0) & (np.real(y) < 1)) | (out != out))
    return np.where(lost, 0, g * y) * np.where(lost, 1, x) ** (1 * y - (y != 0))


def _power_vjp_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    lost = (g == 0) & (out != out)
    return np.where(lost, 0, g * out) * np.log(np.where(lost | (x == 0), 1, x))

power = declare(_power, r"x^y",
    (_power_vjp_x,                                 r"g \, y \, x^{y-1}"),
    (_power_vjp_y,                                 r"g \, x^y \ln x"),
    numpy=np.power, domain=[(0.1, 2), (-2, 2)],
    kinks="at y = 0 the slope in x is 0; at x = 0 that in x is infinite for 0 < y < 1, but 0 where the cotangent is 0, "
          "and that in y is 0; for x < 0 that in y is NaN")

ldexp = declare(np.ldexp, r"x \, 2^y",
    (lambda g, out, x, y: np.ldexp(g, y),          r"g \, 2^y"),
    None)

LN2, LN10, DEGREE = ln(2), ln(10), pi / 180

deg2rad = declare(np.deg2rad, r"\frac{\pi}{180} x",
    (lambda g, out, x: g * DEGREE,                 r"\frac{\pi}{180} g"),
    numpy=np.radians)

rad2deg = declare(np.rad2deg, r"\frac{180}{\pi} x",
    (lambda g, out, x: g / DEGREE,                 r"\frac{180}{\pi} g"),
    numpy=np.degrees)

# -- exponentials, logarithms and roots

exp = declare(np.exp, r"e^x",
    (lambda g, out, x: g * out,                    r"g \, e^x"))

exp2 = declare(np.exp2, r"2^x",
    (lambda g, out, x: g * out * LN2,              r"g \, 2^x \ln 2"))

expm1 = declare(np.expm1, r"e^x - 1",
    (lambda g, out, x: g * np.exp(x),              r"g \, e^x"))

ABOVE_ONE, INSIDE_ONE, POSITIVE, APART = [(1.1, 3)], [(-0.9, 0.9)], [(0.1, 3)], [(0.5, 2), (0.5, 2)]

log = declare(np.log, r"\ln x",
    (lambda g, out, x: g / _safe_divisor(g, x),            r"\frac{g}{x}"),
    domain=POSITIVE, kinks="at 0 infinite, and 0 where the cotangent is 0")

log2 = declare(np.log2, r"\log_2 x",
    (lambda g, out, x: g / _safe_divisor(g, x) / LN2,      r"\frac{g}{x \ln 2}"),
    domain=POSITIVE, kinks="at 0 infinite, and 0 where the cotangent is 0")

log10 = declare(np.log10, r"\log_{10} x",
    (lambda g, out, x: g / _safe_divisor(g, x) / LN10,     r"\frac{g}{x \ln 10}"),
    domain=POSITIVE, kinks="at 0 infinite, and 0 where the cotangent is 0")

log1p = declare(np.log1p, r"\ln(1 + x)",
    (lambda g, out, x: g / _safe_divisor(g, 1 + x),        r"\frac{g}{1 + x}"),
    domain=[(-0.9, 2)], kinks="at -1 infinite, and 0 where the cotangent is 0")

sqrt = declare(np.sqrt, r"\sqrt{x}",
    (lambda g, out, x: 0.5 * g / _safe_divisor(g, out),    r"\frac{g}{2 \sqrt{x}}"),
    domain=POSITIVE, kinks="at 0 infinite, and 0 where the cotangent is 0")

cbrt = declare(np.cbrt, r"\sqrt[3]{x}",
    (lambda g, out, x: g / 3 / _safe_divisor(g, out) / _safe_divisor(g, out), r"\frac{g}{3 \sqrt[3]{x}^2}"),
    domain=POSITIVE, kinks="at 0 infinite, and 0 where the cotangent is 0")


def logaddexp_slope(x: Array, y: Array, out: Array, scale: float = 1) -> Array:
    """Return the sigmoid of scale * (x - y), the derivative of logaddexp in x; it is 0 where both are -inf."""
    alike = (np.isinf(x) & (x == y)) | (out == -inf)  # inf - inf would be NaN
    return np.where(out == -inf, 0, REGISTRY["sigmoid"](scale * (np.where(alike, 0, x) - np.where(alike, 0, y))))

logaddexp = declare(np.logaddexp, r"\ln(e^x + e^y)",
    (lambda g, out, x, y: g * logaddexp_slope(x, y, out),  r"g \, \sigma(x - y)"),
    (lambda g, out, x, y: g * logaddexp_slope(y, x, out),  r"g \, \sigma(y - x)"),
    kinks="where both are -inf the slopes are 0, where both are inf they are 1/2")

logaddexp2 = declare(np.logaddexp2, r"\log_2(2^x + 2^y)",
    (lambda g, out, x, y: g * logaddexp_slope(x, y, out, LN2), r"g \, \sigma((x - y) \ln 2)"),
    (lambda g, out, x, y: g * logaddexp_slope(y, x, out, LN2), r"g \, \sigma((y - x) \ln 2)"),
    kinks="where both are -inf the slopes are 0, where both are inf they are 1/2")

# -- trigonometric

sin = declare(np.sin, r"\sin x",
    (lambda g, out, x: g * np.cos(x),              r"g \cos x"))

cos = declare(np.cos, r"\cos x",
    (lambda g, out, x: -g * np.sin(x),             r"-g \sin x"))

tan = declare(np.tan, r"\tan x",
    (lambda g, out, x: g * (1 + out * out),        r"g \, (1 + \tan^2 x)"),
    domain=[(-1.2, 1.2)])


def _root_one_minus_square(x: Array, by_result: Array) -> Array:
    """Return √(1 - x²); for complex x it is `by_result`, computed from the function's result on the right branch.

    np.sqrt(1 - x * x) has the wrong sign at x = 2 + 0j, where -3 - 0j is rounded to -3 + 0j.
    """
    return np.where(x * x == 1, 0, by_result) if x.dtype.kind == "c" else np.sqrt((1 - x) * (1 + x))

arcsin = declare(np.arcsin, r"\arcsin x",
    (lambda g, out, x: g / _safe_divisor(g, _root_one_minus_square(x, np.cos(out))),  r"\frac{g}{\sqrt{1 - x^2}}"),
    domain=INSIDE_ONE, kinks="at -1 and 1 infinite, and 0 where the cotangent is 0")

arccos = declare(np.arccos, r"\arccos x",
    (lambda g, out, x: -g / _safe_divisor(g, _root_one_minus_square(x, np.sin(out))), r"-\frac{g}{\sqrt{1 - x^2}}"),
    domain=INSIDE_ONE, kinks="at -1 and 1 infinite, and 0 where the cotangent is 0")

arctan = declare(np.arctan, r"\arctan x",
    (lambda g, out, x: g / (1 + x * x),            r"\frac{g}{1 + x^2}"))


def divisor(x: Array) -> Array:
    """Return a divisor with infinity in place of 0: dividing by it gives 0, with derivatives of 0."""
    return np.where(x == 0, inf, x)

arctan2 = declare(np.arctan2, r"\text{atan2}(x, y)",
    (lambda g, out, x, y: g * (y / divisor(np.hypot(x, y))) / divisor(np.hypot(x, y)),  r"\frac{g \, y}{x^2 + y^2}"),
    (lambda g, out, x, y: -g * (x / divisor(np.hypot(x, y))) / divisor(np.hypot(x, y)), r"-\frac{g \, x}{x^2 + y^2}"),
    domain=APART, kinks="at (0, 0) the slopes are 0")

hypot = declare(np.hypot, r"\sqrt{x^2 + y^2}",
    (lambda g, out, x, y: g * (x / divisor(out)),  r"\frac{g \, x}{\sqrt{x^2 + y^2}}"),
    (lambda g, out, x, y: g * (y / divisor(out)),  r"\frac{g \, y}{\sqrt{x^2 + y^2}}"),
    domain=APART, kinks="at (0, 0) the slopes are 0")

# -- hyperbolic

sinh = declare(np.sinh, r"\sinh x",
    (lambda g, out, x: g * np.cosh(x),             r"g \cosh x"))

cosh = declare(np.cosh, r"\cosh x",
    (lambda g, out, x: g * np.sinh(x),             r"g \sinh x"))

tanh = declare(np.tanh, r"\tanh x",
    (lambda g, out, x: g * (1 - out * out),        r"g \, (1 - out^2)"))

arcsinh = declare(np.arcsinh, r"\operatorname{arsinh} x",
    (lambda g, out, x: g / (np.cosh(out) if x.dtype.kind == "c" else np.hypot(x, 1)),
                                                   r"\frac{g}{\sqrt{x^2 + 1}}"))


def _arccosh_vjp(g: Array, out: Array, x: Array) -> Array:
    if x.dtype.kind == "c":
        return g / _safe_divisor(g, np.where(x * x == 1, 0, np.sinh(out)))
    return g / _safe_divisor(g, np.sqrt(x - 1)) / _safe_divisor(g, np.sqrt(x + 1))

arccosh = declare(np.arccosh, r"\operatorname{arcosh} x",
    (_arccosh_vjp,                                 r"\frac{g}{\sqrt{x - 1} \sqrt{x + 1}}"),
    domain=ABOVE_ONE, kinks="at 1 infinite, and 0 where the cotangent is 0")

arctanh = declare(np.arctanh, r"\operatorname{artanh} x",
    (lambda g, out, x: g / _safe_divisor(g, (1 - x) * (1 + x)), r"\frac{g}{1 - x^2}"),
    domain=INSIDE_ONE, kinks="at -1 and 1 infinite, and 0 where the cotangent is 0")


# -- absolute values and signs

def _absolute_vjp(g: Array, out: Array, x: Array) -> Array:
    return g * (np.conjugate(x) / divisor(out)) if x.dtype.kind == "c" else g * np.sign(x)

absolute = declare(np.absolute, r"|x|",
    (_absolute_vjp,                                r"g \, \operatorname{sign} \bar x"),
    kinks="at 0 the slope is 0")

fabs = declare(np.fabs, r"|x|",
    (lambda g, out, x: g * np.sign(x),             r"g \, \operatorname{sign} x"),
    kinks="at 0 the slope is 0")

sign = declare(np.sign, r"\operatorname{sign} x",
    None, kinks="at 0 the slope is 0")

copysign = declare(np.copysign, r"|x| \operatorname{sign} y",
    (lambda g, out, x, y: g * np.sign(x) * np.copysign(1, y), r"g \, \operatorname{sign}(x) \operatorname{sign}(y)"),
    None, kinks="at x = 0 the slope in x is 0; that in y is 0")

# fmt: on

overrides: dict[Any, Any] = {np.float_power: _float_power, np.sign: _sign}
OVERRIDES.update(overrides)
METHODS["sign"] = _sign
