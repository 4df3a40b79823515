r"""exp, tanh and the logistic function of one number, written so that compilers can vectorize them.

With :math:`k` the integer nearest to :math:`x / \ln 2` and :math:`r = x - k \ln 2`, the result is
:math:`e^x = 2^k e^r`. The second factor is a Taylor series in r; the first is made from the bits of a floating-point
exponent. Errors are a few units in the last place; infinity and NaN are handled as in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

# Sums must not be reordered here: ln 2 is the sum of two constants, and k times the first one is exact.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}, "forceinline": True}
f4, f8, i4, i8 = np.float32, np.float64, np.int32, np.int64
PER_LN2 = 1.4426950408889634
TAYLOR = tuple(1 / factorial(n) for n in range(14))
POWERS: Any = np.ldexp(1.0, np.arange(-1080, 1024))  # half of 2**k, so that it is finite for the largest k too


def _exact(function: Callable[..., Any]) -> Any:
    return njit(**OPTIONS)(function)


@_exact
def _split4(x: Any) -> Any:
    """Return k as an integer, and e^r - 1 by a series that ends when a term is below the last digit."""
    k = np.rint(x * f4(PER_LN2))
    r = (x - k * f4(0.693359375)) - k * f4(-2.1219444005469057e-4)
    p = f4(TAYLOR[7])
    p = p * r + f4(TAYLOR[6])
    p = p * r + f4(TAYLOR[5])
    p = p * r + f4(TAYLOR[4])
    p = p * r + f4(TAYLOR[3])
    p = p * r + f4(TAYLOR[2])
    return i4(k), p * (r * r) + r


@_exact
def _split8(x: Any) -> Any:
    # The same as `_split4`, for float64.
    k = np.rint(x * PER_LN2)
    r = (x - k * 0.6931471803691238) - k * 1.9082149292705877e-10
    p = TAYLOR[13]
    p = p * r + TAYLOR[12]
    p = p * r + TAYLOR[11]
    p = p * r + TAYLOR[10]
    p = p * r + TAYLOR[9]
    p = p * r + TAYLOR[8]
    p = p * r + TAYLOR[7]
    p = p * r + TAYLOR[6]
    p = p * r + TAYLOR[5]
    p = p * r + TAYLOR[4]
    p = p * r + TAYLOR[3]
    p = p * r + TAYLOR[2]
    return i4(k), p * (r * r) + r


@_exact
def _two4(k: Any) -> Any:
    """Return 2**k, for a k for which that is a normal (not denormal) number."""
    return i4(i4(k + i4(127)) << i4(23)).view(f4)


@_exact
def _two8(k: Any) -> Any:
    return i8(i8(k + i4(1023)) << i8(52)).view(f8)


@_exact
def _exp4(x: Any) -> Any:
    c = x if x > f4(-104) else f4(-104)  # NaN becomes -104 too
    k, p = _split4(c if c < f4(89) else f4(89))
    half = k >> i4(1)  # 2**k may be denormal or overflow, but is the product of two normal numbers
    y = (p + f4(1)) * _two4(half) * _two4(k - half)
    return y if x == x else x


@_exact
def _exp8(x: Any) -> Any:
    c = x if x > -746.0 else -746.0
    k, p = _split8(c if c < 710.0 else 710.0)
    half = k >> i4(1)
    y = (p + 1.0) * _two8(half) * _two8(k - half)
    return y if x == x else x


@_exact
def exp8(x: Any) -> Any:
    """Return e^x of a float64, for kernels: 2**k is read from a table, which is faster in a loop that does more."""
    c = x if x > -750.0 else -750.0
    k, p = _split8(c if c < 710.0 else 710.0)
    y = (p + 1.0) * POWERS[max(i8(k) + 1079, 0)] * 2.0
    return y if x == x else x


@_exact
def _tanh4(x: Any) -> Any:
    """Return (e^2x - 1) / (e^2x + 1); e^2x - 1 = 2^k (e^r - 1) + 2^k - 1 is accurate near 0."""
    c = x if x > f4(-10) else f4(-10)
    k, p = _split4(f4(2) * (c if c < f4(10) else f4(10)))
    two = _two4(k)
    y = two * p + (two - f4(1))
    y = y / (y + f4(2))
    return y if x == x else x


@_exact
def _tanh8(x: Any) -> Any:
    c = x if x > -20.0 else -20.0
    k, p = _split8(2.0 * (c if c < 20.0 else 20.0))
    two = _two8(k)
    y = two * p + (two - 1.0)
    y = y / (y + 2.0)
    return y if x == x else x


@_exact
def tanh8(x: Any) -> Any:
    """Return tanh x of a float64, for kernels; a zero keeps its sign."""
    y = _tanh8(x)
    return y if x != 0.0 else x


@_exact
def _sigmoid4(x: Any) -> Any:
    """Return 1 / (1 + e^-x), for negative x as e^x / (1 + e^x), so that no digits are lost far below 0."""
    e = _exp4(-abs(x))
    return (f4(1) if x >= f4(0) else e) / (f4(1) + e)


@_exact
def _sigmoid8(x: Any) -> Any:
    e = _exp8(-abs(x))
    return (1.0 if x >= 0.0 else e) / (1.0 + e)


def exp(x: Any) -> Any:
    """Return e^x of a float32 or float64 in the same dtype; for functions that numba compiles."""
    return np.exp(x)


def tanh(x: Any) -> Any:
    """Return tanh x of a float32 or float64 in the same dtype; for functions that numba compiles."""
    return np.tanh(x)


def sigmoid(x: Any) -> Any:
    """Return 1 / (1 + e^-x) of a float32 or float64 in the same dtype; for functions that numba compiles."""
    return 1 / (1 + np.exp(-x))


def _by_dtype(function: Callable[..., Any], of4: Callable[[Any], Any], of8: Callable[[Any], Any]) -> None:
    """Tell numba to compile `function` as `of4` for float32, and as `of8` for other dtypes."""
    overload(function, jit_options=OPTIONS, strict=False)(lambda x: of4 if x == types.float32 else of8)


_by_dtype(exp, lambda x: _exp4(x), lambda x: _exp8(x))
_by_dtype(tanh, lambda x: _tanh4(x), lambda x: _tanh8(x))
_by_dtype(sigmoid, lambda x: _sigmoid4(x), lambda x: _sigmoid8(x))
