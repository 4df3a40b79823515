r"""Incomplete gamma and beta functions by SciPy, their inverses, and the probability distributions made of them.

Derivatives with respect to the parameters have no closed form. They are integrals of the derivatives of the density,
computed with the double-exponential rule. The integral is taken below or above x, on the side where the first
derivative of the density does not change its sign, so that nothing cancels.

Source: H. Takahasi and M. Mori, Double exponential formulas for numerical integration, Publ. RIMS 9 (1974).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import comb, pi
from typing import Any

import numpy as np

from ..primitive import Array, Primitive, declare
from .entropy import xlog1py, xlogy
from .gamma import betaln
from .library import STAND_INS, forward, library
from .special import digamma, gammaln, polygamma

STEP = 1 / 32
T = np.arange(-3.3, 3.3, STEP)
NODES: Array = np.tanh(pi / 2 * np.sinh(T))
WEIGHTS = STEP * pi / 2 * np.cosh(T) / np.cosh(pi / 2 * np.sinh(T)) ** 2
DROP = 45.0  # integrals end where the integrand is below exp(-45) of its largest value
FIRST = 1e-4  # distances at which the end of an integral is searched: this, and each time twice the one before
DISTANCES = FIRST * 2.0 ** np.arange(40)
BLOCK = 512  # entries that are computed at a time


def _drop_point(f: Callable[[Array], Array], start: Array, sign: int) -> Array:
    """Return the point on one side of `start` at which a concave function is lower than at `start` by `DROP`."""
    level = f(start) - DROP
    above = f(start[:, None] + sign * DISTANCES) > level[:, None]
    steps = np.where(above.all(axis=1), len(DISTANCES), above.argmin(axis=1))
    far = FIRST * 2.0**steps
    near = np.where(steps, far / 2, 0)
    for _ in range(4):
        middle = (near + far) / 2
        above = f(start + sign * middle) > level
        near, far = np.where(above, middle, near), np.where(above, far, middle)
    return start + sign * far


def _side_integral(
    sides: tuple[Callable[[Array], Array], Callable[[Array], Array]], factor: Callable[[Array], Array], end: Array,
    lower: Array,
) -> Array:  # fmt: skip
    """Return the integral of exp(f) times a factor from -inf to `end`; if not `lower`, minus that from `end` to inf.

    `f` is concave with its maximum at 0, and the factor grows slowly. `sides` are the functions of negative and of
    positive numbers that f consists of.
    """
    below, above = sides
    left: Array = _drop_point(below, np.where(lower, np.minimum(end, 0), 0), -1)
    right: Array = _drop_point(above, np.where(lower, 0, np.maximum(end, 0)), 1)
    left = np.where(lower, left, np.maximum(end, left))
    right = np.where(lower, np.minimum(end, right), right)
    half = (right - left)[:, None] / 2
    v = (left + right)[:, None] / 2 + half * NODES  # (entries, nodes)
    density = np.exp(np.where(v < 0, below(np.minimum(v, 0)), above(np.maximum(v, 0))))
    total = (half * WEIGHTS * density * factor(v)).sum(axis=1)
    return np.where(lower, total, -total)


def _entrywise(f: Callable[..., Array], arrays: tuple[Array, ...], inside: Callable[..., Array]) -> Array:
    """Call a function of flat float64 arrays for broadcast arrays, in blocks.

    `inside` tells which entries are in the domain, and with ``strictly=True`` which are not at its ends. The result is
    0 at the ends and NaN outside.
    """
    dtype = np.result_type(*arrays, np.float32)
    arrays = tuple(np.asarray(a, np.float64) for a in np.broadcast_arrays(*arrays))
    out = np.where(inside(*arrays), 0.0, np.nan)
    with np.errstate(all="ignore"):
        where = np.flatnonzero(inside(*arrays, strictly=True))
        for i in range(0, where.size, BLOCK):
            part = where[i : i + BLOCK]
            out.flat[part] = f(*(a.ravel()[part] for a in arrays))
    return out.astype(dtype)


def _bell(logs: Callable[[int, int], Array], n: int, m: int = 0) -> Array:
    """Return the (n, m)-th partial derivative of exp(l) divided by exp(l), from ``logs(i, j)``, those of l."""
    if n == m == 0:
        return 1.0
    if n == 0:
        return sum(comb(m - 1, j) * _bell(logs, 0, m - 1 - j) * logs(0, j + 1) for j in range(m))
    return sum(
        comb(n - 1, i) * comb(m, j) * _bell(logs, n - 1 - i, m - j) * logs(i + 1, j)
        for i in range(n) for j in range(m + 1)
    )  # fmt: skip


def _column(a: Array, v: Array) -> Array:
    return a if v.ndim == 1 else a[:, None]


# -- Gamma: the density of t is t^(a-1) e^-t / Γ(a), that of u = ln t is e^(a u - e^u) / Γ(a), largest at ln a

def gamma_density(a: Array, t: Array) -> Array:
    """Return the density at t of the gamma distribution with shape a."""
    end = t == np.inf
    t = np.where(end, 1, t)
    return np.where(end, 0, np.exp(xlogy(a - 1, t) - t - gammaln(a)))


def _gamma_logs(a: Array, u: Array) -> Callable[[int, int], Array]:
    """Return the function n -> n-th derivative in a of the logarithm of the density, given u = ln t."""
    return lambda n, m: u - digamma(a) if n == 1 else -polygamma(a, order=n - 1)


def _gamma_slope(a: Array, x: Array, order: int = 1) -> Array:
    """Return the derivative of the given order in a of the regularized lower incomplete gamma function."""

    def slope(a: Array, x: Array) -> Array:
        psi, ln = digamma(a), np.log(a)
        peak = np.where(a < 10, a * ln - a - gammaln(a), 0.5 * np.log(a / (2 * pi)) - _stirling(a))
        f = lambda v: _column(a, v) * (v - np.expm1(v)) + _column(peak, v)
        factor = lambda v: _bell(_gamma_logs(a[:, None], v + ln[:, None]), order)
        return _side_integral((f, f), factor, np.log(x) - ln, np.log(x) < psi)

    def inside(a: Array, x: Array, strictly: bool = False) -> Array:
        return (a > 0) & (x > 0) & (x < np.inf) & (a < np.inf) if strictly else (a > 0) & (x >= 0)

    return _entrywise(slope, (a, x), inside)


def _stirling(a: Array) -> Array:
    """Return ln Γ(a) - (a - 1/2) ln a + a - ln √(2π) for a ≥ 10."""
    s = 1 / (a * a)
    return (1 / 12 - s * (1 / 360 - s * (1 / 1260 - s * (1 / 1680 - s / 1188)))) / a

# fmt: off
POSITIVES = [(0.4, 4), (0.2, 5)]

gamma_slope: Primitive = declare(_gamma_slope, r"\frac{\partial^n}{\partial x^n} P(x, y)",
    (lambda g, out, a, x, order=1: g * gamma_slope(a, x, order=order + 1),
                                              r"g \frac{\partial^{n+1}}{\partial x^{n+1}} P(x, y)"),
    (lambda g, out, a, x, order=1: g * gamma_density(a, x) * _bell(_gamma_logs(a, np.log(x)), order),
                                              r"g \frac{\partial^n}{\partial x^n} \frac{y^{x-1} e^{-y}}{\Gamma(x)}"),
    domain=POSITIVES)

gammainc = declare(forward("gammainc"), r"P(x, y) = \frac{1}{\Gamma(x)} \int_0^y t^{x-1} e^{-t} dt",
    (lambda g, out, a, x: g * gamma_slope(a, x),              r"g \frac{\partial P}{\partial x}"),
    (lambda g, out, a, x: g * gamma_density(a, x),            r"g \frac{y^{x-1} e^{-y}}{\Gamma(x)}"),
    domain=POSITIVES)

gammaincc = declare(forward("gammaincc"), r"Q(x, y) = 1 - P(x, y)",
    (lambda g, out, a, x: -g * gamma_slope(a, x),             r"-g \frac{\partial P}{\partial x}"),
    (lambda g, out, a, x: -g * gamma_density(a, x),           r"-g \frac{y^{x-1} e^{-y}}{\Gamma(x)}"),
    domain=POSITIVES)

SHARE = [(0.4, 4), (0.1, 0.9)]

gammaincinv = declare(forward("gammaincinv"), r"P(x, out) = y",
    (lambda g, out, a, y: -g * gamma_slope(a, out) / gamma_density(a, out),
                                              r"-g \frac{\partial P / \partial x}{\partial P / \partial y}"),
    (lambda g, out, a, y: g / gamma_density(a, out),          r"g \frac{\Gamma(x)}{out^{x-1} e^{-out}}"),
    domain=SHARE)

gammainccinv = declare(forward("gammainccinv"), r"Q(x, out) = y",
    (lambda g, out, a, y: -g * gamma_slope(a, out) / gamma_density(a, out),
                                              r"-g \frac{\partial P / \partial x}{\partial P / \partial y}"),
    (lambda g, out, a, y: -g / gamma_density(a, out),         r"-g \frac{\Gamma(x)}{out^{x-1} e^{-out}}"),
    domain=SHARE)
# fmt: on


# -- Beta: the density of t is t^(a-1) (1-t)^(b-1) / B(a, b), that of u = ln(t / (1 - t)) is largest at ln(a / b)

def beta_density(a: Array, b: Array, t: Array) -> Array:
    """Return the density at t of the beta distribution with shapes a and b."""
    return np.exp(xlogy(a - 1, t) + xlog1py(b - 1, -t) - betaln(a, b))


def _beta_logs(a: Array, b: Array, ln_t: Array, ln_1_t: Array) -> Callable[[int, int], Array]:
    """Return the function (n, m) -> derivative in a and b of the logarithm of the density, given ln t and ln(1 - t)."""

    @cache  # the recursion of `_bell` asks for each several times
    def logs(n: int, m: int) -> Array:
        out = polygamma(a + b, order=n + m - 1)
        if m == 0:
            out = out - polygamma(a, order=n - 1)
        if n == 0:
            out = out - polygamma(b, order=m - 1)
        return out + (ln_t if (n, m) == (1, 0) else ln_1_t if (n, m) == (0, 1) else 0)

    return logs


def _beta_slope(a: Array, b: Array, x: Array, n: int, m: int) -> Array:
    """Return the n-th derivative in a and the m-th in b of the regularized incomplete beta function."""

    def slope(a: Array, b: Array, x: Array) -> Array:
        p, q = a / (a + b), b / (a + b)
        peak = a * np.log(p) + b * np.log(q) - library().betaln(a, b)

        def below(v: Array) -> Array:
            """Return the logarithm of the density where v ≤ 0; above 0 the arguments change places."""
            s, z, k, top = (_column(c, v) for c in (a, b, p, peak))
            return s * v - (s + z) * np.log1p(k * np.expm1(v)) + top

        def above(v: Array) -> Array:
            s, z, r, top = (_column(c, v) for c in (a, b, q, peak))
            return -z * v - (s + z) * np.log1p(r * np.expm1(-v)) + top

        def parts(v: Array) -> tuple[Array, ...]:
            """Return a, b, p, q and ln(q + p e^v), which is v - ln(t / p)."""
            s, z, k, r = (_column(c, v) for c in (a, b, p, q))
            return s, z, k, r, np.where(v < 0, np.log1p(k * np.expm1(-np.abs(v))),
                                        np.log1p(r * np.expm1(-np.abs(v))) + np.abs(v))  # fmt: skip

        def factor(v: Array) -> Array:
            s, z, k, r, log = parts(v)
            return _bell(_beta_logs(s, z, np.log(k) + v - log, np.log(r) - log), n, m)

        ends = _beta_logs(a, b, np.log(x), np.log1p(-x))
        lower = ends(1, 0) < 0 if n else ends(0, 1) > 0
        return _side_integral((below, above), factor, np.log(x) - np.log1p(-x) - np.log(a / b), lower)

    def inside(a: Array, b: Array, x: Array, strictly: bool = False) -> Array:
        return (a > 0) & (b > 0) & ((x > 0) & (x < 1) if strictly else (x >= 0) & (x <= 1))

    return _entrywise(slope, (a, b, x), inside)

# fmt: off
SHAPES = [(0.4, 4), (0.4, 4), (0.1, 0.9)]

beta_slope: Primitive = declare(_beta_slope, r"\frac{\partial^{n+m}}{\partial x^n \partial y^m} I_z(x, y)",
    (lambda g, out, a, b, x, n, m: g * beta_slope(a, b, x, n=n + 1, m=m),
                               r"g \frac{\partial^{n+1+m}}{\partial x^{n+1} \partial y^m} I_z(x, y)"),
    (lambda g, out, a, b, x, n, m: g * beta_slope(a, b, x, n=n, m=m + 1),
                               r"g \frac{\partial^{n+m+1}}{\partial x^n \partial y^{m+1}} I_z(x, y)"),
    (lambda g, out, a, b, x, n, m:
        g * beta_density(a, b, x) * _bell(_beta_logs(a, b, np.log(x), np.log1p(-x)), n, m),
     r"g \frac{\partial^{n+m}}{\partial x^n \partial y^m} \frac{z^{x-1} (1-z)^{y-1}}{B(x, y)}"),
    domain=SHAPES)

betainc = declare(forward("betainc"), r"I_z(x, y) = \frac{1}{B(x, y)} \int_0^z t^{x-1} (1-t)^{y-1} dt",
    (lambda g, out, a, b, x: g * beta_slope(a, b, x, n=1, m=0), r"g \frac{\partial I}{\partial x}"),
    (lambda g, out, a, b, x: g * beta_slope(a, b, x, n=0, m=1), r"g \frac{\partial I}{\partial y}"),
    (lambda g, out, a, b, x: g * beta_density(a, b, x),       r"g \frac{z^{x-1} (1-z)^{y-1}}{B(x, y)}"),
    domain=SHAPES)

betaincc = declare(forward("betaincc"), r"1 - I_z(x, y)",
    (lambda g, out, a, b, x: -g * beta_slope(a, b, x, n=1, m=0), r"-g \frac{\partial I}{\partial x}"),
    (lambda g, out, a, b, x: -g * beta_slope(a, b, x, n=0, m=1), r"-g \frac{\partial I}{\partial y}"),
    (lambda g, out, a, b, x: -g * beta_density(a, b, x),      r"-g \frac{z^{x-1} (1-z)^{y-1}}{B(x, y)}"),
    domain=SHAPES)

betaincinv = declare(forward("betaincinv"), r"I_{out}(x, y) = z",
    (lambda g, out, a, b, z: -g * beta_slope(a, b, out, n=1, m=0) / beta_density(a, b, out),
                                              r"-g \frac{\partial I / \partial x}{\partial I / \partial z}"),
    (lambda g, out, a, b, z: -g * beta_slope(a, b, out, n=0, m=1) / beta_density(a, b, out),
                                              r"-g \frac{\partial I / \partial y}{\partial I / \partial z}"),
    (lambda g, out, a, b, z: g / beta_density(a, b, out),     r"\frac{g}{\partial I / \partial z}"),
    domain=SHAPES)

betainccinv = declare(forward("betainccinv"), r"1 - I_{out}(x, y) = z",
    (lambda g, out, a, b, z: -g * beta_slope(a, b, out, n=1, m=0) / beta_density(a, b, out),
                                              r"-g \frac{\partial I / \partial x}{\partial I / \partial z}"),
    (lambda g, out, a, b, z: -g * beta_slope(a, b, out, n=0, m=1) / beta_density(a, b, out),
                                              r"-g \frac{\partial I / \partial y}{\partial I / \partial z}"),
    (lambda g, out, a, b, z: -g / beta_density(a, b, out),    r"-\frac{g}{\partial I / \partial z}"),
    domain=SHAPES)


# -- Student's t, with rows of its own because it is smooth at 0, where its expression by a beta function is not

def _student_density(v: Array, t: Array) -> Array:
    return np.exp(-0.5 * (v + 1) * np.log1p(t * t / v) - betaln(0.5 * v, 0.5)) / np.sqrt(v)


def _student_slope(v: Array, t: Array) -> Array:
    """Return the derivative, in v, of 1 - 1/2 I_w(v/2, 1/2) at w = v / (v + t²), or of its complement for t < 0."""
    w, size = v / (v + t * t), np.abs(t)
    moved = 0.5 * beta_slope(0.5 * v, 0.5, w, n=1, m=0)
    through = np.exp((0.5 * v - 1) * np.log(w) - 1.5 * np.log(v + t * t) - betaln(0.5 * v, 0.5)) * size
    return -0.5 * np.sign(t) * (moved + through)

stdtr = declare(forward("stdtr"), r"F_x(y) = \int_{-\infty}^y \frac{(1 + t^2/x)^{-(x+1)/2}}{\sqrt x \, B(x/2, 1/2)} dt",
    (lambda g, out, v, t: g * _student_slope(v, t),
                  r"-\tfrac{g}{2} \operatorname{sign} y \, \frac{d}{dx} I_{x/(x+y^2)}(\tfrac{x}{2}, \tfrac{1}{2})"),
    (lambda g, out, v, t: g * _student_density(v, t),
                                              r"g \frac{(1 + y^2/x)^{-(x+1)/2}}{\sqrt x \, B(x/2, 1/2)}"),
    domain=[(1, 6), (0.3, 3)])

stdtrit = declare(forward("stdtrit"), r"F_x(out) = y",
    (lambda g, out, v, p: -g * _student_slope(v, out) / _student_density(v, out),
                                              r"-g \frac{\partial F / \partial x}{\partial F / \partial out}"),
    (lambda g, out, v, p: g / _student_density(v, out),       r"\frac{g}{\partial F / \partial out}"),
    domain=[(1, 6), (0.6, 0.95)])
# fmt: on

DISTRIBUTIONS: dict[str, Callable[..., Any]] = {
    "chdtr": lambda v, x: gammainc(v / 2, x / 2),
    "chdtrc": lambda v, x: gammaincc(v / 2, x / 2),
    "gdtr": lambda a, b, x: gammainc(b, a * x),
    "chdtri": lambda v, p: 2 * gammainccinv(v / 2, p),
    "gdtrix": lambda a, b, p: gammaincinv(b, p) / a,
    "pdtri": lambda k, y: gammainccinv(1.0 + k // 1, y),
    "fdtri": lambda n, d, p: d / n / (1 / betaincinv(n / 2, d / 2, p) - 1),
    "gdtrc": lambda a, b, x: gammaincc(b, a * x),
    "pdtr": lambda k, m: gammaincc(1.0 + k // 1, m),
    "pdtrc": lambda k, m: gammainc(1.0 + k // 1, m),
    "fdtr": lambda n, d, x: betainc(n / 2, d / 2, n * x / (d + n * x)),
    "fdtrc": lambda n, d, x: betainc(d / 2, n / 2, d / (d + n * x)),
    "bdtr": lambda k, n, p: betainc(n - 1.0 * (k // 1), 1.0 + k // 1, 1 - p),
    "bdtrc": lambda k, n, p: betainc(1.0 + k // 1, n - 1.0 * (k // 1), p),
    "nbdtr": lambda k, n, p: betainc(n, 1.0 + k // 1, p),
    "nbdtrc": lambda k, n, p: betaincc(n, 1.0 + k // 1, p),
}
STAND_INS.update(DISTRIBUTIONS)
