r"""Special functions in plain NumPy, close to machine precision over the whole range, differentiable to any order.

If the derivatives of a function are no simpler than the function (sinc, i0, gammaln), its n-th derivative is a
primitive of its own with the order n as metadata, whose rule uses the order n + 1.
Values are computed in float64 and returned in the dtype of the argument; integers count as float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from math import factorial, pi, sqrt
from typing import Any

import numpy as np

from ..primitive import Array, Primitive, declare
from .elementwise import _safe_divisor
from .neural import sigmoid

Table = Sequence[float]
BLOCK = 4096  # entries computed at a time, so that the many intermediate arrays stay in the cache


def _horner(t: Array, coefficients: Table) -> Array:
    """Return a polynomial at t by Horner's scheme; coefficients begin with the highest power."""
    out = coefficients[0]
    for c in coefficients[1:]:
        out = out * t
        out += c
    return out


def _in_double(f: Callable[..., Any]) -> Callable[..., Any]:
    """Extend a function of flat float64 arrays to real arrays of any shape and float dtype, keeping both."""

    @wraps(f)
    def forward(x: Any, **metadata: Any) -> Any:
        x = np.asarray(x)
        if x.dtype.kind not in "fiub":
            raise TypeError(f"{f.__name__.strip('_')} is for real numbers; it got dtype {x.dtype}.")
        flat, out = x.ravel(), np.empty(x.size, x.dtype if x.dtype.kind == "f" else np.float64)
        with np.errstate(all="ignore"):
            for i in range(0, x.size, BLOCK):
                out[i : i + BLOCK] = f(flat[i : i + BLOCK].astype(np.float64), **metadata)
        return out.reshape(x.shape)

    return forward


# -- The error function. W. J. Cody, Rational Chebyshev approximations for the error function, Math. Comp. 23 (1969).

_ERF_P = (
    1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3,
)  # fmt: skip
_ERF_Q = (1, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3)
_MIDDLE_P = (
    2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1, 2.98635138197400131e2,
    8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3,
)  # fmt: skip
_MIDDLE_Q = (
    1, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
    3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3,
)  # fmt: skip
_TAIL_P = (
    1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
    1.60837851487422766e-2, 6.58749161529837803e-4,
)  # fmt: skip
_TAIL_Q = (
    1, 2.56852019228982242, 1.87295284992346725, 5.27905102951428412e-1, 6.05183413124413191e-2, 2.33520497626869185e-3,
)  # fmt: skip
_SMALL = 0.46875


def _erf_small(x: Array) -> Array:
    return x * _horner(x * x, _ERF_P) / _horner(x * x, _ERF_Q)


def _erfc_positive(y: Array) -> Array:
    """Return erfc for y > 0.46875."""
    y = np.minimum(y, 28)  # beyond, erfc is 0 in float64
    head = np.trunc(y * 16) / 16  # its square is exact, so that exp(-y²) loses nothing in the exponent
    scale = np.exp(-head * head) * np.exp(-(y - head) * (y + head))
    middle = y <= 4
    m, t = y[middle], y[~middle]
    out = np.empty_like(y)
    out[middle] = _horner(m, _MIDDLE_P) / _horner(m, _MIDDLE_Q)
    s = 1 / (t * t)
    out[~middle] = (1 / sqrt(pi) - s * _horner(s, _TAIL_P) / _horner(s, _TAIL_Q)) / t
    return scale * out


# fmt: off
@_in_double
def _erf(x: Array) -> Array:
    r"""Return the error function.

    .. math:: \operatorname{erf} x = \frac{2}{\sqrt\pi} \int_0^x e^{-t^2} dt

    Source:
        W. J. Cody, Rational Chebyshev approximations for the error function, 1969.

    Example:
        >>> float(erf(0.5))
        0.5204998778130465
    """
    out = _erf_small(x)
    large = np.abs(x) > _SMALL
    out[large] = np.sign(x[large]) * ((0.5 - _erfc_positive(np.abs(x[large]))) + 0.5)
    return out

erf = declare(_erf, r"\operatorname{erf} x",
    (lambda g, out, x: g * np.exp(-x * x) * (2 / sqrt(pi)),   r"\frac{2}{\sqrt\pi} e^{-x^2} g"), entrywise=True)


@_in_double
def _erfc(x: Array) -> Array:
    """Return 1 - erf(x), to full relative precision in the tail.

    Example:
        >>> float(erfc(10.0))
        2.0884875837625446e-45
    """
    out, large = np.empty_like(x), np.abs(x) > _SMALL
    out[~large] = 1 - _erf_small(x[~large])
    tail = _erfc_positive(np.abs(x[large]))
    out[large] = np.where(x[large] > 0, tail, 2 - tail)
    return out

erfc = declare(_erfc, r"1 - \operatorname{erf} x",
    (lambda g, out, x: g * np.exp(-x * x) * (-2 / sqrt(pi)),  r"-\frac{2}{\sqrt\pi} e^{-x^2} g"))

# -- The gamma function. M. Abramowitz and I. A. Stegun, Handbook of Mathematical Functions, chapter 6.

_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330)
_EULER = 0.5772156649015329
_ZETA_MINUS_1 = (  # ζ(k) - 1 for k = 2, 3, ...
    6.449340668482264e-1, 2.020569031595943e-1, 8.232323371113819e-2, 3.692775514336993e-2, 1.734306198444914e-2,
    8.349277381922827e-3, 4.07735619794434e-3, 2.0083928260822143e-3, 9.945751278180853e-4, 4.941886041194645e-4,
    2.460865533080483e-4, 1.2271334757848915e-4, 6.124813505870483e-5, 3.058823630702049e-5, 1.528225940865187e-5,
    7.637197637899763e-6, 3.81729326499984e-6, 1.908212716553939e-6, 9.539620338727962e-7, 4.769329867878064e-7,
    2.38450502727733e-7, 1.1921992596531106e-7, 5.960818905125948e-8, 2.980350351465228e-8, 1.4901554828365043e-8,
    7.45071178983543e-9, 3.725334024788457e-9, 1.862659723513049e-9,
)  # fmt: skip
_NEAR_2 = [z * (-1) ** k / k for k, z in enumerate(_ZETA_MINUS_1, 2)][::-1]  # (6.1.33), highest power first
_STIRLING = [b / (2 * k * (2 * k - 1)) for k, b in enumerate(_BERNOULLI[:8], 1)][::-1]  # (6.1.41)


def _gammaln_positive(x: Array) -> Array:
    """Return ln Γ(x) for x > 0, by its Taylor series at 2 or Stirling's series above 10, without cancellation."""
    below, large = x < 1.5, x >= 10
    steps = np.where(large | below, 0, np.rint(x - 2))
    z = np.where(below, np.where(x < 0.5, x, x - 1), x - steps - 2)  # distance from 2 after the shift, at most 1/2
    z = np.where(large, 0, z)
    out = z * ((1 - _EULER) + z * _horner(z, _NEAR_2))
    out = out - np.where(below, np.log1p(z), 0) - np.where(x < 0.5, np.log(x), 0)
    product = np.ones_like(x)
    for k in range(1, 9):  # Γ(x) = (x - 1) ... (x - steps) Γ(x - steps)
        product = np.where(k <= steps, product * (x - k), product)
    stirling = (x - 0.5) * np.log(x) - x + 0.9189385332046727 + _horner(1 / (x * x), _STIRLING) / x
    return np.where(x == np.inf, np.inf, np.where(large, stirling, out + np.log(product)))


@_in_double
def _gammaln(x: Array) -> Array:
    r"""Return the logarithm of the absolute value of the gamma function; infinite at 0, -1, -2, ...

    .. math:: \ln |\Gamma(x)|

    Source:
        M. Abramowitz and I. A. Stegun, Handbook of Mathematical Functions, 6.1.17, 6.1.33, 6.1.41.

    Example:
        >>> float(gammaln(5.0)), float(np.log(24.0))
        (3.1780538303479458, 3.1780538303479458)
    """
    out = _gammaln_positive(np.where(x > 0, x, 1 - x))
    sine = np.abs(np.sin(pi * (x - np.rint(x))))  # |sin πx|
    out = np.where(x > 0, out, np.log(pi) - np.log(sine) - out)
    return np.where(x == -np.inf, np.inf, out)

gammaln = declare(_gammaln, r"\ln |\Gamma(x)|",
    (lambda g, out, x: g * digamma(x),                        r"g \, \psi(x)"),
    domain=[(0.2, 4)])


def _cot_derivative(x: Array, order: int) -> Array:
    """Return π times the n-th derivative of cot(πx), a polynomial in cot(πx)."""
    cot, coefficients = 1 / np.tan(pi * (x - np.rint(x))), [1.0, 0.0]
    for _ in range(order):  # d/dx p(cot πx) = -π (1 + cot²) p'(cot πx)
        coefficients = [-float(c) for c in np.polymul([1, 0, 1], np.polyder(coefficients))]
    at_pole = (-1) ** order * np.inf if order else np.nan  # as SciPy and PyTorch: the limit from above
    at = np.isinf(cot) | np.isinf(x) if order else np.isinf(cot)
    return np.where(at, at_pole, pi ** (order + 1) * _horner(cot, coefficients))


def _polygamma_positive(x: Array, n: int) -> Array:
    """Return the polygamma function for x > 0: recurrence up to 10 + n (6.4.6), then its asymptotic series (6.4.11)."""
    total = np.zeros_like(x)
    for _ in range(10 + n):
        small = x < 10 + n
        total = total + small * x ** -(n + 1.0)
        x = x + small
    series = [b * factorial(2 * k + n - 1) / factorial(2 * k) for k, b in enumerate(_BERNOULLI, 1)][::-1]
    tail = _horner(1 / (x * x), series) * x ** -(n + 2.0)
    if n == 0:
        return np.log(x) - 0.5 / x - tail - total
    total = factorial(n - 1) * x ** float(-n) + factorial(n) * (0.5 * x ** -(n + 1.0) + total) + tail
    return (-1) ** (n + 1) * total


@_in_double
def _polygamma(x: Array, order: int = 1) -> Array:
    r"""Return the derivative of the given order of the digamma function.

    .. math:: \psi^{(n)}(x) = \frac{d^{n+1}}{dx^{n+1}} \ln \Gamma(x)

    At 0, -1, -2, ... it has the limit from above, inf for odd orders and -inf for even ones, but order 0 is NaN at
    -1, -2, ... and inf at -0.0. The argument comes first, `polygamma(x, 1)`;
    `tinygrad_nn.special.polygamma(1, x)` has the arguments in SciPy's order.

    Source:
        M. Abramowitz and I. A. Stegun, Handbook of Mathematical Functions, 6.4.6, 6.4.7, 6.4.11.

    Example:
        >>> abs(float(polygamma(1.0)) - np.pi**2 / 6) < 1e-15
        True
    """
    if np.ndim(order) or order < 0 or int(order) != order:
        hint = " The argument comes first here: polygamma(x, order); SciPy's is special.polygamma(order, x)."
        raise ValueError(f"the order of polygamma is 0, 1, 2, ...; it got {order!r:.60}.{hint}")
    positive = x > 0
    if positive.all():
        return _polygamma_positive(x, int(order))
    out = _polygamma_positive(np.where(positive, x, 1 - x), int(order))
    out = np.where(positive, out, (-1) ** order * out - _cot_derivative(x, int(order)))
    return np.where(x == 0, -np.copysign(np.inf, x), out) if order == 0 else out


def _digamma(x: Array) -> Array:
    r"""Return the logarithmic derivative of the gamma function; infinite at 0, NaN at -1, -2, ...

    .. math:: \psi(x) = \Gamma'(x) / \Gamma(x)

    Source:
        M. Abramowitz and I. A. Stegun, Handbook of Mathematical Functions, 6.3.5, 6.3.7, 6.3.18.

    Example:
        >>> abs(float(digamma(1.0)) + 0.5772156649015329) < 1e-15
        True
    """
    return _polygamma(x, order=0)

digamma: Primitive = declare(_digamma, r"\psi(x)",
    (lambda g, out, x: g * polygamma(x, order=1),             r"g \, \psi'(x)"),
    domain=[(0.2, 4)])

polygamma: Primitive = declare(_polygamma, r"\psi^{(n)}(x)",
    (lambda g, out, x, order=1: g * polygamma(x, order=order + 1), r"g \, \psi^{(n+1)}(x)"),
    domain=[(0.2, 4)])


def _i0(x: Array) -> Array:
    return np.i0(x)

i0 = declare(_i0, r"I_0(x)",
    (lambda g, out, x: g * bessel_i(x, order=1),              r"g \, I_1(x)"),
    numpy=np.i0)


# -- Bessel functions and sinc: a whole chain of derivatives each

@_in_double
def _bessel_i(x: Array, order: int = 1) -> Array:
    r"""Return the modified Bessel function of the first kind, of integer order.

    .. math:: I_n(x) = \frac{1}{\pi} \int_0^\pi e^{x \cos t} \cos nt \, dt

    Source:
        W. Gautschi, Computational aspects of three-term recurrence relations, SIAM Review 9 (1967): the continued
        fraction of the ratios of neighbouring orders, backwards.

    Example:
        >>> abs(float(bessel_i(1.0, order=1)) - 0.565159103992485) < 1e-15
        True
    """
    largest = min(float(np.max(np.abs(x), where=np.isfinite(x), initial=0)), 720)  # beyond, I_0 overflows
    out, ratio = np.i0(x), np.zeros_like(x)
    for k in range(order + 20 + int(sqrt(40 * largest)), 0, -1):  # after k steps the error is e^(-k²/x)
        ratio = x / (2 * k + x * ratio)  # I_k / I_{k-1}
        if k <= order:
            out = out * ratio
    return np.where(np.abs(x) > 720, np.where(x > 0, np.inf, (-1) ** order * np.inf), out)  # as overflow would be

bessel_i: Primitive = declare(_bessel_i, r"I_n(x)",
    (lambda g, out, x, order=1: 0.5 * g * (bessel_i(x, order=abs(order - 1)) + bessel_i(x, order=order + 1)),
                                                              r"\tfrac{g}{2} (I_{n-1}(x) + I_{n+1}(x))"))


SERIES = 2  # for |t| below it, sin(t)/t and its derivatives are computed by the Taylor series


def _sinc(x: Array, order: int = 0) -> Array:
    """Return sin(πx)/(πx) or its derivative of the given order, by Taylor series near 0 and by recurrence elsewhere."""
    if order == 0:
        return np.sinc(x)
    given = np.asarray(x)
    t = np.multiply(given, pi, dtype=np.complex128 if given.dtype.kind == "c" else np.float64).ravel()
    near = np.abs(t) < max(SERIES, order)
    u = t[near]
    first = (order + 1) // 2  # the terms (-1)^k t^(2k-n) / ((2k+1) (2k-n)!)
    terms = [(-1) ** k / ((2 * k + 1) * factorial(2 * k - order)) for k in range(first, first + 15 + 2 * order)]
    far = np.where(near, 1, t)
    waves = [np.sin(far), np.cos(far)]
    out = waves[0] / far
    for k in range(1, order + 1):  # t s = sin t, differentiated k times: t s_k + k s_{k-1} = sin(t + k π/2)
        out = ((-1) ** (k // 2) * waves[k % 2] - k * out) / far
    out[near] = _horner(u * u, terms[::-1]) * (u if order % 2 else 1)
    return (pi**order * out).reshape(given.shape).astype(given.dtype if given.dtype.kind in "fc" else np.float64)

sinc: Primitive = declare(_sinc, r"\frac{d^n}{dx^n} \frac{\sin \pi x}{\pi x}",
    (lambda g, out, x, order=0: g * sinc(x, order=order + 1),
                                               r"g \, \frac{d^{n+1}}{dx^{n+1}} \frac{\sin \pi x}{\pi x}"),
    numpy=np.sinc)


# -- Sigmoids and their inverses

@_in_double
def _logit(x: Array) -> Array:
    r"""Return the inverse of the sigmoid, ln(x / (1 - x)), accurate near 1/2 as well as near 0.

    Args:
        x: probabilities; at 0 the result is -inf, at 1 inf, outside NaN.

    Example:
        >>> float(logit(0.5)), float(sigmoid(logit(0.2)))
        (0.0, 0.2)
    """
    return np.where(np.abs(x - 0.5) < 0.2, 2 * np.arctanh(2 * x - 1), np.log(x) - np.log1p(-x))

logit = declare(_logit, r"\ln \frac{x}{1 - x}",
    (lambda g, out, x: g / _safe_divisor(g, x * (1 - x)),             r"\frac{g}{x (1 - x)}"),
    domain=[(0.1, 0.9)], kinks="at 0 and 1 infinite, and 0 where the cotangent is 0")


def _softplus(x: Array, beta: float = 1.0) -> Array:
    """Return ln(1 + exp(beta x)) / beta without overflow: a smooth max(x, 0), whose derivative is sigmoid(beta x).

    Args:
        x: any shape.
        beta: how sharp the bend is, positive.

    Raises:
        ValueError: beta is not positive.

    Example:
        >>> float(softplus(0.0)), float(softplus(1000.0)), float(softplus(0.0, beta=2.0))
        (0.6931471805599453, 1000.0, 0.34657359027997264)
    """
    if beta <= 0:
        raise ValueError(f"softplus needs a beta above 0; it got beta={beta}. A larger one bends more sharply.")
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(beta * x))) / beta

softplus = declare(_softplus, r"\tfrac{1}{\beta} \ln(1 + e^{\beta x})",
    (lambda g, out, x, beta=1.0: g * sigmoid(beta * x),       r"g \, \sigma(\beta x)"), entrywise=True)


def _log_sigmoid(x: Array) -> Array:
    """Return ln(sigmoid(x)) without cancellation or overflow.

    Example:
        >>> float(log_sigmoid(-1000.0))
        -1000.0
    """
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))

log_sigmoid = declare(_log_sigmoid, r"\ln \sigma(x)",
    (lambda g, out, x: g * sigmoid(-x),                       r"g \, \sigma(-x)"), entrywise=True)

# fmt: on

expit = sigmoid
