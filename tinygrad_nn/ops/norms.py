"""Norms and condition numbers.

A norm has a kink at 0. Its gradient there is defined to be 0, so that it stays finite in a penalty or a normalisation;
likewise the slope of |x| at an entry that is 0.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..primitive import OVERRIDES, Array, Primitive, declare
from .elementwise import divisor
from .linalg import as_array, conj
from .plain import as_arrays, whole_as_float64
from .reduce import keep_axes


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    x = as_array(x)
    if axis is None and (ord is None or (x.ndim == 2 and ord in ("f", "fro")) or (x.ndim == 1 and ord == 2)):
        return vector_norm(x, keepdims=keepdims)
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if len(axes) == 1:
        if isinstance(ord, str):
            raise ValueError(f"a vector has no norm of order {ord!r}; orders are numbers, inf and -inf.")
        return vector_norm(x, axis=axes[0], keepdims=keepdims, ord=2 if ord is None else ord)
    if len(axes) == 2:
        return _matrix_norm(x, ord, axes, keepdims)
    raise ValueError(f"np.linalg.norm works along one axis or two, not {len(axes)}; pass axis=.")


def _matrix_norm(x: Array, ord: Any, axes: tuple[Any, Any], keepdims: bool) -> Array:
    row, column = normalize_axis_tuple(axes, x.ndim)
    x = whole_as_float64(x)
    if ord in (None, "f", "fro"):
        return vector_norm(x, axis=(row, column), keepdims=keepdims)
    if x.shape[row] * x.shape[column] == 0 and ord in (1, 2, np.inf, "nuc"):  # the norm of an empty matrix is 0
        return np.sum(np.abs(x), axis=(row, column), keepdims=keepdims)
    if ord in (1, -1, np.inf, -np.inf):
        sums = np.sum(np.abs(x), axis=row if abs(ord) == 1 else column, keepdims=True)
        extreme = np.max if ord > 0 else np.min
        return extreme(sums, axis=(row, column), keepdims=keepdims)
    if ord not in (2, -2, "nuc"):
        raise ValueError(
            f"a matrix has no norm of order {ord!r}; orders are None, 'fro', 'nuc', 1, -1, 2, -2, inf, -inf."
        )
    s = np.linalg.svdvals(np.moveaxis(x, (row, column), (-2, -1)))
    r = s[..., 0] if ord == 2 else s[..., -1] if ord == -2 else s.sum(axis=-1)
    return r.reshape(tuple(1 if i in (row, column) else n for i, n in enumerate(x.shape))) if keepdims else r


OVERRIDES[np.linalg.norm] = _norm


# fmt: off
def _absolute_power(x: Array, exponent: float, odd: bool = False) -> Array:
    """Return |x|^a, or sign(x) |x|^a if `odd`; the derivative of either is a times the other with exponent a - 1.

    So derivatives of any order are right at 0 too, where composing them from |x|, which has a kink, would not be.
    """
    if not odd:
        return np.abs(x) ** exponent
    return np.sign(x) * np.abs(divisor(x) if exponent < 0 else x) ** exponent


def _absolute_power_vjp(g: Array, out: Array, x: Array, exponent: float, odd: bool = False) -> Array:
    if exponent == 0:
        return np.zeros_like(x)
    if exponent < 1:  # at 0 the slope is infinite, but 0 if the cotangent is 0 or the exponent negative
        x = np.where((x == 0) & ((g == 0) | (exponent < 0)), np.inf, x)
    return g * (exponent * absolute_power(x, exponent=exponent - 1, odd=not odd))

absolute_power: Primitive = declare(_absolute_power, r"|x|^a \operatorname{sign}^n x",
    (_absolute_power_vjp, r"g \, a |x|^{a-1} \operatorname{sign}^{n+1} x"),
    kinks="at 0 the slope of |x| is 0, and so is that of |x|^a for 0 < a < 1")


def _vector_norm(x: Array, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Array:
    return np.linalg.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)


def _vector_norm_vjp(
    g: Array, out: Array, x: Array, axis: Any = None, keepdims: bool = False, ord: Any = 2
) -> Array:
    g, out = keep_axes(g, x, axis), keep_axes(out, x, axis)
    if ord == 0:
        return np.zeros_like(x)
    if ord in (2, None):
        return g * conj(x) / divisor(out)
    size = np.abs(x)
    sign = conj(x) / divisor(size) if x.dtype.kind == "c" else np.sign(x)  # the slope of |x|, which is 0 at 0
    if ord == 1:
        return g * sign
    if ord in (np.inf, -np.inf):
        won = size == out
        return np.where(won, g * sign, 0) / won.sum(axis=axis, keepdims=True, dtype=g.dtype)
    if x.dtype.kind == "c":
        return g * sign * (size / divisor(out)) ** (ord - 1)
    if 1 < ord < 2:  # at an entry of 0 second derivatives are infinite but mixed ones 0, so do not divide x by out
        return g * absolute_power(x, exponent=ord - 1, odd=True) * divisor(out) ** (1 - ord)
    return g * absolute_power(x / divisor(out), exponent=ord - 1, odd=True)

vector_norm = declare(_vector_norm, r"\left( \textstyle\sum_i |x_i|^p \right)^{1/p}",
    (_vector_norm_vjp, r"g \, \frac{\bar x_i}{|x_i|} \left( \frac{|x_i|}{out} \right)^{p-1}"),
    numpy=np.linalg.vector_norm,
    kinks="at 0, and at an entry that is 0 unless p is 2, the slope is 0; for p = inf ties share evenly")  # fmt: skip


BLOCK = 1 << 16  # the number of differences that are in memory at once


def _distances(x: Array, y: Array) -> Array:
    """Return the Euclidean distances of all rows of x (..., n, d) from all rows of y (..., m, d): (..., n, m)."""
    batch, kind = np.broadcast_shapes(x.shape[:-2], y.shape[:-2]), np.result_type(x, y)
    (n, d), m = x.shape[-2:], y.shape[-2]
    x, y = (np.broadcast_to(a, (*batch, *a.shape[-2:])).reshape(prod(batch), *a.shape[-2:]) for a in (x, y))
    out = np.empty((len(x), n, m), kind)
    row = max(m * d, 1)
    rows, count = max(1, BLOCK // row), max(1, BLOCK // (row * max(n, 1)))
    for k in range(0, len(x), count):
        for i in range(0, n, rows):
            step = x[k : k + count, i : i + rows, None] - y[k : k + count, None]
            np.sqrt(np.einsum("...d,...d->...", step, step), out=out[k : k + count, i : i + rows])
    return out.reshape(*batch, n, m)


def _distances_vjp(g: Array, out: Array, x: Array, y: Array) -> Array:
    """Return the gradient of x: the sum over j of w_ij (x_i - y_j), where w = g / out, by a product of matrices."""
    w = g / divisor(out)
    if y.shape[-2]:  # rows far from 0 would lose digits
        middle = y.mean(axis=-2, keepdims=True)
        x, y = x - middle, y - middle
    return w.sum(axis=-1, keepdims=True) * x - w @ y

distances: Primitive = declare(_distances, r"|x_i - y_j|",
    (_distances_vjp, r"\sum_j \frac{g_{ij}}{out_{ij}} (x_i - y_j)"),
    (lambda g, out, x, y: _distances_vjp(g.swapaxes(-1, -2), out.swapaxes(-1, -2), y, x),
     r"\sum_i \frac{g_{ij}}{out_{ij}} (y_j - x_i)"),
    kinks="of equal rows the slope is 0")


# fmt: on


def _cond(x: Any, p: Any = None) -> Any:
    infinite = np.isposinf(np.linalg.cond(as_arrays(x), p))
    if infinite.any():  # singular matrices give a constant; other matrices of the stack keep their gradient
        x = np.where(infinite[..., None, None], np.eye(x.shape[-1], dtype=x.dtype), x)
    if p in (None, 2, -2):
        s = np.linalg.svdvals(x)
        ratio = s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    else:
        ratio = _norm(x, p, (-2, -1)) * _norm(np.linalg.inv(x), p, (-2, -1))
    return np.where(infinite, np.inf, ratio) if infinite.any() else ratio


OVERRIDES[np.linalg.matrix_norm] = lambda x, /, *, keepdims=False, ord="fro": _norm(x, ord, (-2, -1), keepdims)
OVERRIDES[np.linalg.cond] = _cond
