r"""SciPy's special functions with SciPy's names and signatures, for Tensors and arrays.

SciPy's own ufuncs accept Tensors already. This module adds functions that are not ufuncs in SciPy: `logsumexp`,
`softmax`, `log_softmax`, `polygamma`, `multigammaln`, `zeta`, `lambertw`, `sinc`, `softplus`, `comb`, and
`spherical_jn`, `_yn`, `_in`, `_kn`. Any other name, such as ``special.gammainc``, is the function of `scipy.special` if
it has a derivative here. With ``SCIPY_ARRAY_API=1`` SciPy uses this module as ``special`` of the array namespace.

    >>> from tinygrad_nn import grad, special
    >>> round(float(grad(special.gammaln)(1.0)), 6)
    -0.577216
"""

from __future__ import annotations

from math import log, pi
from typing import Any

import numpy as np

from .common.spelling import no_attribute
from .ops import neural
from .ops.library import STAND_INS
from .ops.plain import as_arrays, as_operand
from .ops.scipy import names, replacement_named
from .ops.special import gammaln
from .ops.special import polygamma as _polygamma
from .ops.special import sinc as _sinc
from .ops.special import softplus as _softplus
from .primitive import REGISTRY, Array

sinc, softplus = _sinc, _softplus
_OWN = (
    "comb",
    "lambertw",
    "log_softmax",
    "logsumexp",
    "multigammaln",
    "polygamma",
    "sinc",
    "softmax",
    "softplus",
    "zeta",
)

_KNOWN = names() | {
    "erf", "erfc", "gammaln", "digamma", "logit", "i0", "exp2", "expm1", "log1p", "cbrt"}  # fmt: skip


def logsumexp(
    a: Array, axis: Any = None, b: Array | None = None, keepdims: bool = False, return_sign: bool = False
) -> Any:
    r"""Return the logarithm of a sum of exponentials along axes without overflow.

    .. math:: \ln \left| \sum_i b_i e^{a_i} \right|

    Args:
        a: exponents, any shape.
        axis: one or several; all by default.
        b: factors, which broadcast to `a`; if the sum is negative the result is NaN, unless `return_sign` is set.
        keepdims: whether the axes stay, with length 1.
        return_sign: whether to return ``(out, sign)``; the sign is a plain array.

    Example:
        >>> print(logsumexp(np.array([1000.0, 1000.0]), b=np.array([1.0, 3.0])))
        1001.3862943611199
    """
    if b is None and not return_sign:
        return neural.logsumexp(as_operand(a), axis=axis, keepdims=keepdims)
    a, b = as_operand(a), 1.0 if b is None else b if type(b) in (int, float) else as_operand(b)
    share = np.where(as_arrays(b) == 0, -np.inf, as_arrays(a))  # terms with a factor 0 do not count for the shift
    top = np.max(share, axis=axis, keepdims=True)
    shift = np.where(np.isfinite(top), top, 0)
    a = np.where((share == -np.inf) & (as_arrays(a) > shift + 700), -np.inf, a)
    total = np.sum(b * np.exp(a - shift), axis=axis, keepdims=True)
    sign = np.sign(as_arrays(total))
    with np.errstate(divide="ignore", invalid="ignore"):
        out = np.log(total * sign if return_sign else total) + shift
    if not keepdims:
        gone = tuple(range(out.ndim)) if axis is None else axis
        out, sign = np.squeeze(out, gone), np.squeeze(sign, gone)
    return (out, sign) if return_sign else out


def softmax(x: Array, axis: Any = None) -> Array:
    r"""Return exp(x) / Σ exp(x) along axes, by default over all entries, as SciPy does.

    Example:
        >>> print(softmax(np.array([0.0, 0.0])))
        [0.5 0.5]
    """
    return np.exp(log_softmax(x, axis)) if _several(x, axis) else neural.softmax(as_operand(x), axis=axis)


def log_softmax(x: Array, axis: Any = None) -> Array:
    r"""Return the logarithm of `softmax` without overflow or cancellation.

    Example:
        >>> print(log_softmax(np.array([0.0, 1000.0])))
        [-1000.     0.]
    """
    x = as_operand(x)
    return x - neural.logsumexp(x, axis=axis, keepdims=True) if _several(x, axis) else neural.log_softmax(x, axis=axis)


def polygamma(n: int, x: Array) -> Array:
    """Return the n-th derivative of the digamma function.

    Example:
        >>> abs(float(polygamma(1, 1.0)) - pi**2 / 6) < 1e-15
        True
    """
    return _polygamma(as_operand(x), order=n)


def multigammaln(a: Array, d: int) -> Array:
    r"""Return the logarithm of the multivariate gamma function of dimension d.

    .. math:: \tfrac{d (d - 1)}{4} \ln \pi + \sum_{j=1}^d \ln \Gamma\left(a + \tfrac{1 - j}{2}\right)

    Example:
        >>> print(multigammaln(3.0, 1) == gammaln(3.0))
        True
    """
    a = as_operand(a)
    return sum((gammaln(a - 0.5 * j) for j in range(d)), d * (d - 1) / 4 * log(pi))


def zeta(x: Array, q: Array | None = None) -> Array:
    """Return Riemann's zeta function of x, or with q Hurwitz's zeta function.

    Example:
        >>> abs(float(zeta(2.0)) - pi**2 / 6) < 1e-15
        True
    """
    return STAND_INS["_riemann_zeta"](as_operand(x)) if q is None else STAND_INS["_zeta"](as_operand(x), q)


def lambertw(z: Array, k: int = 0, tol: float = 1e-8) -> Array:
    """Return the k-th branch of Lambert's W function, the complex solution w of w exp(w) = z.

    Example:
        >>> print(lambertw(np.exp(1.0)))
        (1+0j)
    """
    return REGISTRY["lambertw"](as_operand(z), k=k, tol=tol)


def _spherical(name: str) -> Any:
    """Return a spherical Bessel function with SciPy's signature."""

    def call(n: Array, z: Array, derivative: bool = False) -> Array:
        f = REGISTRY[name]
        if not derivative:
            return f(as_operand(z), n=n)
        sign, whole = {"spherical_in": 1, "spherical_kn": 1}.get(name, -1), -1 if name == "spherical_kn" else 1
        below = n * f(as_operand(z), n=max(n - 1, 0))
        return whole * (below + sign * (n + 1) * f(as_operand(z), n=n + 1)) / (2 * n + 1)

    call.__name__, call.__doc__ = name, f"Return scipy.special.{name} of a whole order n."
    return call


spherical_jn, spherical_yn = _spherical("spherical_jn"), _spherical("spherical_yn")
spherical_in, spherical_kn = _spherical("spherical_in"), _spherical("spherical_kn")


def comb(N: Array, k: Array) -> Array:
    """Return the binomial coefficient "N choose k" for real numbers: SciPy's ``binom``.

    Example:
        >>> print(comb(5.0, 2.0))
        10.0
    """
    return REGISTRY["binom"](N, k)


def _several(x: Any, axis: Any) -> bool:
    return np.ndim(as_arrays(x)) != 1 and not isinstance(axis, int)


def __getattr__(name: str) -> Any:
    if name not in _KNOWN:
        raise no_attribute(f"module {__name__!r}", name, __dir__())
    globals()[name] = function = replacement_named(name)
    return function


def __dir__() -> list[str]:
    return sorted({*_OWN, *_KNOWN})
