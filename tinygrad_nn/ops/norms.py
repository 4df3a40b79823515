"""Norms and condition numbers.

A norm has a kink where it is 0. The slope there is defined to be 0, so that it stays finite in a penalty or a
normalisation; so is the slope of |x| at an entry that is 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..primitive import OVERRIDES, Array, declare
from .linalg import array, conj
from .plain import bare
from .reduce import kept


def _or_one(x: Array) -> Array:
    """Return x with 1 in place of 0, as a divisor of what is 0 as well."""
    return np.where(x == 0, 1, x)


def _vector_norm(x: Array, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Array:
    return np.linalg.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)


def _vector_norm_vjp(
    g: Array, out: Array, x: Array, axis: Any = None, keepdims: bool = False, ord: Any = 2
) -> Array:
    g, out = kept(g, x, axis), kept(out, x, axis)
    if ord == 0:
        return np.zeros_like(x)
    if ord in (2, None):
        return g * conj(x) / _or_one(out)
    size = np.abs(x)
    slope = g * conj(x) / _or_one(size)  # of |x|, which is 0 at 0
    if ord == 1:
        return slope
    if ord in (np.inf, -np.inf):
        won = size == out
        return np.where(won, slope, 0) / won.sum(axis=axis, keepdims=True, dtype=g.dtype)
    return slope * (_or_one(size) / _or_one(out)) ** (ord - 1)


vector_norm = declare(_vector_norm, r"\left( \textstyle\sum_i |x_i|^p \right)^{1/p}",
    (_vector_norm_vjp, r"g \, \frac{\bar x_i}{|x_i|} \left( \frac{|x_i|}{out} \right)^{p-1}"),
    numpy=np.linalg.vector_norm,
    kinks="at 0, and at an entry that is 0 unless p is 2, the slope is 0; for p = inf ties share evenly")  # fmt: skip


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    x = array(x)
    if axis is None and (ord is None or (x.ndim == 2 and ord in ("f", "fro")) or (x.ndim == 1 and ord == 2)):
        return vector_norm(x, keepdims=keepdims)
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if len(axes) == 1:
        if isinstance(ord, str):
            raise ValueError(f"a vector has no norm of order {ord!r}; it has those of numbers, inf and -inf.")
        return vector_norm(x, axis=axes[0], keepdims=keepdims, ord=2 if ord is None else ord)
    if len(axes) == 2:
        return _matrix_norm(x, ord, axes, keepdims)
    raise ValueError(f"np.linalg.norm works along one axis or two, not {len(axes)}; pass axis=.")


def _matrix_norm(x: Array, ord: Any, axes: tuple[Any, Any], keepdims: bool) -> Array:
    row, column = normalize_axis_tuple(axes, x.ndim)
    if ord in (None, "f", "fro"):
        return vector_norm(x, axis=(row, column), keepdims=keepdims)
    if ord in (1, -1, np.inf, -np.inf):
        sums = np.sum(np.abs(x), axis=row if abs(ord) == 1 else column, keepdims=True)
        extreme = np.max if ord > 0 else np.min
        return extreme(sums, axis=(row, column), keepdims=keepdims)
    if ord not in (2, -2, "nuc"):
        raise ValueError(f"a matrix has no norm of order {ord!r}; it has None, 'fro', 'nuc', 1, -1, 2, -2, inf, -inf.")
    s = np.linalg.svdvals(np.moveaxis(x, (row, column), (-2, -1)))
    r = s[..., 0] if ord == 2 else s[..., -1] if ord == -2 else s.sum(axis=-1)
    return r.reshape(tuple(1 if i in (row, column) else n for i, n in enumerate(x.shape))) if keepdims else r


def _cond(x: Any, p: Any = None) -> Any:
    infinite = np.isposinf(np.linalg.cond(bare(x), p))
    if infinite.any():  # a constant there; elsewhere its neighbours in the stack have a gradient
        x = np.where(infinite[..., None, None], np.eye(x.shape[-1], dtype=x.dtype), x)
    if p in (None, 2, -2):
        s = np.linalg.svdvals(x)
        ratio = s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    else:
        ratio = _norm(x, p, (-2, -1)) * _norm(np.linalg.inv(x), p, (-2, -1))
    return np.where(infinite, np.inf, ratio) if infinite.any() else ratio


OVERRIDES[np.linalg.norm] = _norm
OVERRIDES[np.linalg.matrix_norm] = lambda x, /, *, keepdims=False, ord="fro": _norm(x, ord, (-2, -1), keepdims)
OVERRIDES[np.linalg.cond] = _cond
