"""Elementwise primitives, ordered as in a calculus table.

The columns of a row are: forward, its equation, then per argument the VJP rule and the equation of the rule.
A factor that is infinite or NaN where the cotangent is zero (a branch that ``np.where`` did not take) contributes zero.
The guard must look at the singular point too, never at the cotangent alone: it may be zero by chance, as it is for
``w * np.log(x)`` at w = 0, whose mixed derivative is 1/x all the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitive import Array, declare

inf = np.inf
POSITIVE = [(0.1, 3.0)]


def _live(g: Array, x: Array) -> Array:
    """Return x, and 1 where both it and the cotangent are zero: a branch not taken contributes 0, not 0/0."""
    return np.where((g == 0) & (x == 0), 1, x)


def _share(wins: Any, ties: Any, g: Array) -> Array:
    """Return g where this argument wins, half of it where it ties."""
    return np.where(wins, g, np.where(ties, 0.5 * g, 0))


def _clip(x: Array, a_min: Any = None, a_max: Any = None) -> Array:
    return np.clip(x, a_min, a_max)


# fmt: off
# -- arithmetic

add = declare(np.add, r"x + y",
    (lambda g, out, x, y: g,                       r"g"),
    (lambda g, out, x, y: g,                       r"g"))

subtract = declare(np.subtract, r"x - y",
    (lambda g, out, x, y: g,                       r"g"),
    (lambda g, out, x, y: -g,                      r"-g"))

multiply = declare(np.multiply, r"x \, y",
    (lambda g, out, x, y: g * y,                   r"g \, y"),
    (lambda g, out, x, y: g * x,                   r"g \, x"))

divide = declare(np.divide, r"\frac{x}{y}",
    (lambda g, out, x, y: g / y,                   r"\frac{g}{y}"),
    (lambda g, out, x, y: -g * x / _live(g, y)**2, r"-\frac{g \, x}{y^2}"),
    domain=[(-2, 2), (0.5, 2)])

negative = declare(np.negative, r"-x",
    (lambda g, out, x: -g,                         r"-g"))

power = declare(np.power, r"x^y",
    (lambda g, out, x, y: g * y * _live(g, x) ** (y - (y != 0)),        r"g \, y \, x^{y-1}"),
    (lambda g, out, x, y: g * out * np.log(np.where(x == 0, 1, x)),     r"g \, x^y \ln x"),
    domain=[(0.1, 2), (-2, 2)], kinks="at y = 0 the slope in x is 0; at x = 0 the slope in y is 0")

# -- exponentials and logarithms

exp = declare(np.exp, r"e^x",
    (lambda g, out, x: g * out,                    r"g \, e^x"))

log = declare(np.log, r"\ln x",
    (lambda g, out, x: g / _live(g, x),            r"\frac{g}{x}"),
    domain=POSITIVE)

log1p = declare(np.log1p, r"\ln(1 + x)",
    (lambda g, out, x: g / _live(g, 1 + x),        r"\frac{g}{1 + x}"),
    domain=[(-0.9, 2)])

sqrt = declare(np.sqrt, r"\sqrt{x}",
    (lambda g, out, x: 0.5 * g / _live(g, out),    r"\frac{g}{2 \sqrt{x}}"),
    domain=POSITIVE, kinks="at 0 infinite, and 0 where the cotangent is 0")

# -- trigonometric and hyperbolic

sin = declare(np.sin, r"\sin x",
    (lambda g, out, x: g * np.cos(x),              r"g \cos x"))

cos = declare(np.cos, r"\cos x",
    (lambda g, out, x: -g * np.sin(x),             r"-g \sin x"))

tanh = declare(np.tanh, r"\tanh x",
    (lambda g, out, x: g * (1 - out * out),        r"g \, (1 - \tanh^2 x)"))

# -- with kinks

absolute = declare(np.absolute, r"|x|",
    (lambda g, out, x: g * np.sign(x),             r"g \, \operatorname{sign} x"),
    kinks="at 0 the slope is 0")

sign = declare(np.sign, r"\operatorname{sign} x",
    None, kinks="at 0 the slope is 0")

maximum = declare(np.maximum, r"\max(x, y)",
    (lambda g, out, x, y: _share(x > y, x == y, g), r"g \, [x > y] + \tfrac{g}{2} [x = y]"),
    (lambda g, out, x, y: _share(y > x, x == y, g), r"g \, [y > x] + \tfrac{g}{2} [x = y]"),
    kinks="a tie gives half to each")

minimum = declare(np.minimum, r"\min(x, y)",
    (lambda g, out, x, y: _share(x < y, x == y, g), r"g \, [x < y] + \tfrac{g}{2} [x = y]"),
    (lambda g, out, x, y: _share(y < x, x == y, g), r"g \, [y < x] + \tfrac{g}{2} [x = y]"),
    kinks="a tie gives half to each")

where = declare(np.where, r"x \text{ if } c \text{ else } y",
    None,
    (lambda g, out, c, x, y: np.where(c, g, 0),    r"g \, [c]"),
    (lambda g, out, c, x, y: np.where(c, 0, g),    r"g \, [\neg c]"),
    name="where", numpy=np.where)

clip = declare(_clip, r"\min(\max(x, a), b)",
    (lambda g, out, x, a_min=None, a_max=None: np.where(
        (x > (-inf if a_min is None else a_min)) & (x < (inf if a_max is None else a_max)), g, 0),
                                                   r"g \, [a < x < b]"),
    numpy=np.clip, kinks="at a bound the slope is 0")
