"""Reductions: sums, means and extremes over any axes. ``axis`` and ``keepdims`` are as in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitive import OVERRIDES, Array, declare


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Return the reduced axes as a tuple of non-negative integers."""
    if axis is None:
        return tuple(range(ndim))
    return tuple(a % ndim for a in (axis if isinstance(axis, tuple) else (axis,)))


def kept(reduced: Array, x: Array, axis: Any) -> Array:
    """Return a reduction's result with the reduced axes back as length 1."""
    axes = _axes(axis, x.ndim)
    return reduced.reshape(tuple(1 if a in axes else n for a, n in enumerate(x.shape)))


def spread(g: Array, x: Array, axis: Any) -> Array:
    """Return g repeated along the reduced axes to the shape of x."""
    return np.broadcast_to(kept(g, x, axis), x.shape)


def count(x: Array, axis: Any) -> int:
    """Return how many entries each reduced entry stands for."""
    n = 1
    for a in _axes(axis, x.ndim):
        n *= x.shape[a]
    return n


def _sum(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    return x.sum(axis=axis, keepdims=keepdims)


def _mean(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    return x.mean(axis=axis, keepdims=keepdims)


def _max(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    return x.max(axis=axis, keepdims=keepdims)


def _min(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    return x.min(axis=axis, keepdims=keepdims)


def _var(x: Array, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Array:
    return x.var(axis=axis, ddof=ddof, keepdims=keepdims)


def _extreme_vjp(g: Array, out: Array, x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    won = x == kept(out, x, axis)
    return np.where(won, kept(g, x, axis), 0) / won.sum(axis=axis, keepdims=True, dtype=g.dtype)


# fmt: off
sum = declare(_sum, r"\sum_i x_i",
    (lambda g, out, x, axis=None, keepdims=False: spread(g, x, axis), r"g \, \mathbf 1"),
    numpy=np.sum)

mean = declare(_mean, r"\frac{1}{n} \sum_i x_i",
    (lambda g, out, x, axis=None, keepdims=False: spread(g, x, axis) / count(x, axis), r"\frac{g}{n} \mathbf 1"),
    numpy=np.mean)

max = declare(_max, r"\max_i x_i",
    (_extreme_vjp, r"g \, \frac{[x_i = \max x]}{\#\{j : x_j = \max x\}}"),
    numpy=(np.max, np.amax), kinks="ties share evenly")

min = declare(_min, r"\min_i x_i",
    (_extreme_vjp, r"g \, \frac{[x_i = \min x]}{\#\{j : x_j = \min x\}}"),
    numpy=(np.min, np.amin), kinks="ties share evenly")

var = declare(_var, r"\frac{1}{n - \mathrm{ddof}} \sum_i (x_i - \bar x)^2",
    (lambda g, out, x, axis=None, ddof=0, keepdims=False:
        spread(g, x, axis) * (x - x.mean(axis=axis, keepdims=True)) * (2 / (count(x, axis) - ddof)),
     r"\frac{2 g}{n - \mathrm{ddof}} (x_i - \bar x)"),
    numpy=np.var)
# fmt: on

OVERRIDES.update({(np.add, "reduce"): lambda x, axis=0, keepdims=False: sum(x, axis=axis, keepdims=keepdims)})
