"""Reductions: sums, products, means, maxima, minima and variances over any axes.

``axis``, ``dtype``, ``keepdims``, ``initial`` and ``where`` are as in NumPy; entries outside ``where`` get gradient 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..primitive import METHODS, Array, declare
from .plain import checked_dtype, override, refuse_out


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """Return the reduced axes as a tuple of non-negative integers."""
    if axis is None or ndim == 0:
        return tuple(range(ndim))
    return tuple(a % ndim for a in (axis if isinstance(axis, tuple) else (axis,)))


def keep_axes(reduced: Array, x: Array, axis: Any) -> Array:
    """Return a reduction's result with the reduced axes restored with length 1."""
    if axis is None:
        return reduced.reshape((1,) * x.ndim)
    axes = axes_of(axis, x.ndim)
    return reduced.reshape(tuple([1 if a in axes else n for a, n in enumerate(x.shape)]))


def expand(g: Array, x: Array, axis: Any) -> Array:
    """Return g repeated along the reduced axes to the shape of x."""
    g = keep_axes(g, x, axis)
    if type(g) is not np.ndarray or not g.flags.c_contiguous:
        return np.broadcast_to(g, x.shape)
    # The same view that np.broadcast_to returns, in a quarter of its time.
    strides = [0 if n == 1 else step for n, step in zip(g.shape, g.strides, strict=True)]
    view: Any = np.ndarray(x.shape, g.dtype, g, 0, strides)
    view.flags.writeable = False
    return view


def given_options(**options: Any) -> dict[str, Any]:
    """Return the options that are not None, which are those that the caller gave."""
    return {name: value for name, value in options.items() if value is not None}


# fmt: off
def _sum(
    x: Array, axis: Any = None, dtype: Any = None, *, keepdims: Any = False, initial: Any = None, where: Any = None
) -> Array:
    """Return the sum over axes."""
    if initial is None and where is None:
        return np.add.reduce(x, axis, None if dtype is None else checked_dtype(dtype, x), keepdims=keepdims)
    return x.sum(axis, checked_dtype(dtype, x), None, keepdims, **given_options(initial=initial, where=where))


def _sum_vjp(
    g: Array, out: Array, x: Array, axis: Any = None, dtype: Any = None, *,
    keepdims: bool = False, initial: Any = None, where: Any = None,
) -> Array:  # fmt: skip
    return expand(g, x, axis) if where is None else np.where(where, expand(g, x, axis), 0)

sum = declare(_sum, r"\sum_i x_i",
    (_sum_vjp,      r"g \, \mathbf 1"),
    numpy=np.sum, linear=(0,))


def count(x: Array, axis: Any) -> int:
    """Return how many entries of x are reduced to one entry of the result."""
    if axis is None:
        return x.size  # type: ignore[no-any-return]
    n = 1
    for a in axes_of(axis, x.ndim):
        n *= x.shape[a]
    return n


def masked(g: Array, where: Any) -> Array:
    """Return g, and 0 where the mask is false."""
    return g if where is None else np.where(where, g, 0)


def _prod(
    x: Array, axis: Any = None, dtype: Any = None, *, keepdims: Any = False, initial: Any = None, where: Any = None
) -> Array:
    """Return the product over axes; its gradient is right with any number of zeros, to any order."""
    return x.prod(axis, checked_dtype(dtype, x), None, keepdims, **given_options(initial=initial, where=where))


def lines(x: Array, axis: Any) -> Array:
    """Return x with the given axes merged into one, the last: (rest, n)."""
    axes = axes_of(axis, x.ndim)
    rest = [a for a in range(x.ndim) if a not in axes]
    if axes != tuple(range(len(rest), x.ndim)):
        x = x.transpose((*rest, *axes))
    return x.reshape((*x.shape[: len(rest)], count(x, tuple(range(len(rest), x.ndim)))))


def unlines(y: Array, x: Array, axis: Any) -> Array:
    """Undo `lines`: return y, of shape (rest, n), in the shape of x."""
    axes = axes_of(axis, x.ndim)
    order = [a for a in range(x.ndim) if a not in axes] + list(axes)
    y = y.reshape(tuple(x.shape[a] for a in order))
    return y if order == list(range(x.ndim)) else y.transpose(tuple(order.index(a) for a in range(x.ndim)))


def exclusive(x: Array) -> Array:
    """Return the product of all entries before each one, along the last axis: 1, x₀, x₀x₁, ..."""
    return np.concatenate([np.ones_like(x[..., :1]), x[..., :-1]], axis=-1).cumprod(axis=-1)


def _others(x: Array) -> Array:
    """Return for each entry the product of all others along the last axis, without a division."""
    return exclusive(x) * exclusive(x[..., ::-1])[..., ::-1]


def _prod_vjp(
    g: Array, out: Array, x: Array, axis: Any = None, dtype: Any = None, *,
    keepdims: bool = False, initial: Any = None, where: Any = None,
) -> Array:  # fmt: skip
    factors = lines(x if where is None else np.where(where, x, 1), axis)
    g = expand(g if initial is None else g * initial, x, axis)
    return masked(g * unlines(_others(factors), x, axis), where)

prod = declare(_prod, r"\prod_i x_i",
    (_prod_vjp,     r"g \prod_{j \ne i} x_j"),
    numpy=np.prod)


def entry_count(x: Array, axis: Any, where: Any, dtype: Any) -> Any:
    """Return how many entries are reduced to one: a number, or under a mask an array with the reduced axes kept."""
    if where is None:
        return count(x, axis)
    return np.broadcast_to(where, x.shape).sum(axis=axis, keepdims=True, dtype=dtype)


def _mean(x: Array, axis: Any = None, dtype: Any = None, *, keepdims: Any = False, where: Any = None) -> Array:
    """Return the mean over axes."""
    n = count(x, axis)
    if dtype is None and where is None and n and x.dtype.char in "fdD" and (axis is None or x.ndim):
        return np.add.reduce(x, axis, keepdims=keepdims) / n  # x.mean in half its time; complex64 is rounded otherwise
    return x.mean(axis, checked_dtype(dtype, x), None, keepdims, **given_options(where=where))


def _mean_vjp(
    g: Array, out: Array, x: Array, axis: Any = None, dtype: Any = None, *, keepdims: bool = False, where: Any = None
) -> Array:
    if where is None:
        return expand(g / (count(x, axis) or 1), x, axis)
    counts = np.maximum(entry_count(x, axis, where, g.dtype), 1)
    return np.where(where, expand(keep_axes(g, x, axis) / counts, x, axis), 0)

mean = declare(_mean, r"\frac{1}{n} \sum_i x_i",
    (_mean_vjp,     r"\frac{g}{n} \mathbf 1"),
    numpy=np.mean, linear=(0,))


def share_extreme(
    not_extreme: Any, g: Array, best: Array, x: Array, axis: Any,
    keepdims: bool = False, initial: Any = None, where: Any = None,
) -> Array:  # fmt: skip
    """Return g divided evenly among the entries of the extreme value `best`; `not_extreme` marks all others."""
    if where is not None:
        not_extreme = not_extreme | np.logical_not(where)
    ties = x.size // (best.size or 1) - not_extreme.sum(axis=axis, keepdims=True, dtype=g.dtype)
    if initial is not None:
        ties = ties + (best == initial)  # an initial value that ties takes its share of the gradient
    return np.where(not_extreme, 0, g.reshape(best.shape) / ties)


def _max(x: Array, axis: Any = None, *, keepdims: Any = False, initial: Any = None, where: Any = None) -> Array:
    """Return the largest entry over axes; equal entries share the gradient evenly."""
    if initial is None and where is None:
        return np.maximum.reduce(x, axis, keepdims=keepdims)
    return x.max(axis, None, keepdims, **given_options(initial=initial, where=where))


def _max_vjp(g: Array, out: Array, x: Array, axis: Any = None, **more: Any) -> Array:
    best = keep_axes(out, x, axis)
    return share_extreme(x < best, g, best, x, axis, **more)

max = declare(_max, r"\max_i x_i",
    (_max_vjp,      r"g \, \frac{[x_i = \max x]}{\#\{j : x_j = \max x\}}"),
    numpy=(np.max, np.amax), kinks="ties share evenly; if one entry is NaN, all entries share")


def _min(x: Array, axis: Any = None, *, keepdims: Any = False, initial: Any = None, where: Any = None) -> Array:
    """Return the smallest entry over axes; equal entries share the gradient evenly."""
    if initial is None and where is None:
        return np.minimum.reduce(x, axis, keepdims=keepdims)
    return x.min(axis, None, keepdims, **given_options(initial=initial, where=where))


def _min_vjp(g: Array, out: Array, x: Array, axis: Any = None, **more: Any) -> Array:
    best = keep_axes(out, x, axis)
    return share_extreme(x > best, g, best, x, axis, **more)

min = declare(_min, r"\min_i x_i",
    (_min_vjp,      r"g \, \frac{[x_i = \min x]}{\#\{j : x_j = \min x\}}"),
    numpy=(np.min, np.amin), kinks="ties share evenly; if one entry is NaN, all entries share")


def _freedom(ddof: float, correction: float | None) -> dict[str, Any]:
    """Return ddof or its alias correction; NumPy raises if both are given."""
    return ({"ddof": ddof} if ddof or correction is None else {}) | given_options(correction=correction)


def conj(x: Array) -> Array:
    """Return the complex conjugate; real arrays are returned unchanged."""
    return np.conjugate(x) if x.dtype.kind == "c" else x


def _squares_vjp(g: Array, x: Array, deviation: Array, axis: Any, where: Any, ddof: float) -> Array:
    n = entry_count(x, axis, where, g.dtype) - ddof
    # Without a degree of freedom the variance is NaN, and so is its gradient.
    factor = (2 / n if n > 0 else np.nan) if where is None else 2 / np.where(n > 0, n, np.nan)
    return expand(g, x, axis) * factor * conj(masked(deviation, where))


def _var_vjp(
    g: Array, out: Array, x: Array, axis: Any = None, dtype: Any = None, *,
    ddof: float = 0, keepdims: bool = False, where: Any = None, correction: float | None = None,
) -> Array:  # fmt: skip
    if where is None:
        center = x.sum(axis=axis, keepdims=True) / (count(x, axis) or 1)
    else:
        center = x.sum(axis=axis, keepdims=True, where=where) / np.maximum(entry_count(x, axis, where, x.dtype), 1)
    if dtype is not None and np.dtype(dtype).kind != "c":
        center = np.real(center)  # NumPy then leaves the imaginary part of the mean out
    return _squares_vjp(g, x, x - center, axis, where, ddof if correction is None else correction)


def _var(
    x: Array, axis: Any = None, dtype: Any = None, *,
    ddof: float = 0, keepdims: Any = False, where: Any = None, correction: float | None = None,
) -> Array:  # fmt: skip
    """Return the variance over axes."""
    if where is None and correction is None:
        return x.var(axis, checked_dtype(dtype, x), None, ddof, keepdims=keepdims)
    options = _freedom(ddof, correction) | given_options(where=where)
    return np.var(x, axis, checked_dtype(dtype, x), None, keepdims=keepdims, **options)

var = declare(_var, r"\frac{1}{n - \mathrm{ddof}} \sum_i |x_i - \bar x|^2",
    (_var_vjp,      r"\frac{2 g}{n - \mathrm{ddof}} (x_i - \bar x)"))


def _std(
    x: Array, axis: Any = None, dtype: Any = None, *,
    ddof: float = 0, keepdims: Any = False, where: Any = None, correction: float | None = None,
) -> Array:  # fmt: skip
    """Return the standard deviation over axes; its gradient is 0 where it is 0."""
    if where is None and correction is None:
        return x.std(axis, checked_dtype(dtype, x), None, ddof, keepdims=keepdims)
    options = _freedom(ddof, correction) | given_options(where=where)
    return np.std(x, axis, checked_dtype(dtype, x), None, keepdims=keepdims, **options)


def _std_vjp(g: Array, out: Array, x: Array, **options: Any) -> Array:
    return _var_vjp(np.where(out == 0, 0, 0.5 * g / np.where(out == 0, 1, out)), out, x, **options)

std = declare(_std, r"\sqrt{\frac{1}{n - \mathrm{ddof}} \sum_i |x_i - \bar x|^2}",
    (_std_vjp,      r"\frac{g}{n - \mathrm{ddof}} \frac{x_i - \bar x}{out}"),
    kinks="at 0 the slope is 0")


def _var_about(
    x: Array, mean: Array, axis: Any = None, dtype: Any = None, *,
    ddof: float = 0, keepdims: Any = False, where: Any = None, correction: float | None = None,
) -> Array:  # fmt: skip
    """Return the mean squared deviation from a given mean, an array in which the reduced axes are kept."""
    options = _freedom(ddof, correction) | given_options(where=where)
    return np.var(x, axis, checked_dtype(dtype, x), None, keepdims=keepdims, mean=mean, **options)


def _var_about_vjp(
    g: Array, out: Array, x: Array, mean: Array, axis: Any = None, dtype: Any = None, *,
    ddof: float = 0, keepdims: bool = False, where: Any = None, correction: float | None = None,
) -> Array:  # fmt: skip
    return _squares_vjp(g, x, x - mean, axis, where, ddof if correction is None else correction)

var_about = declare(_var_about, r"\frac{1}{n - \mathrm{ddof}} \sum_i |x_i - y|^2",
    (_var_about_vjp,                                r"\frac{2 g}{n - \mathrm{ddof}} (x_i - y)"),
    (lambda *args, **more: -_var_about_vjp(*args, **more), r"-\frac{2 g}{n - \mathrm{ddof}} \sum_i (x_i - y)"))


# fmt: on


# -- Compositions

@override("var")
def _variance(x: Array, *args: Any, mean: Any = None, **options: Any) -> Array:
    """Return np.var of a Tensor: `var`, or `var_about` if the mean is given."""
    return var(x, *args, **options) if mean is None else var_about(x, mean, *args, **options)


@override("std")
def _deviation(x: Array, *args: Any, mean: Any = None, **options: Any) -> Array:
    """Return np.std of a Tensor."""
    return std(x, *args, **options) if mean is None else safe_sqrt(var_about(x, mean, *args, **options))


def safe_sqrt(x: Array) -> Array:
    """Return the square root of a variance, with gradient 0 where it is 0, like `std`."""
    return np.where(x == 0, 0, np.sqrt(np.where(x == 0, 1, x)))


@override("ptp")
def _ptp(x: Array, axis: Any = None, out: Any = None, keepdims: bool = False) -> Array:
    """Return np.ptp of a Tensor: the largest entry minus the smallest."""
    refuse_out("ptp", out)
    if x.dtype.kind == "i" and x.ndim:  # keep the axes, since 0-d integers would warn on overflow, unlike np.ptp
        ends = [most(x, axis=axis, keepdims=True) for most in (max, min)]
        return (ends[0] - ends[1]).max(axis=axis, keepdims=keepdims)
    return max(x, axis=axis, keepdims=keepdims) - min(x, axis=axis, keepdims=keepdims)


@override("average")
def _average(x: Array, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False) -> Any:
    """Return np.average of a Tensor, Σ w x / Σ w over axes; with `returned` also Σ w in the shape of the result."""
    if weights is None:
        axis = tuple(axis) if isinstance(axis, (list, np.ndarray)) else axis
        out = mean(x, axis=axis, keepdims=keepdims)
        total: Any = np.full(out.shape, count(x, axis), dtype=out.dtype)
        return (out, total) if returned else out
    x, w = (v if hasattr(v, "ndim") else np.asarray(v) for v in (x, weights))
    axis = axis if axis is None else normalize_axis_tuple(axis, x.ndim)
    axes = axes_of(axis, x.ndim)
    if w.shape != x.shape:
        if axis is None:
            raise TypeError("Axis must be specified when shapes of a and weights differ.")
        if w.shape != tuple(x.shape[a] for a in axes):
            raise ValueError("Shape of weights must be consistent with shape of a along specified axis.")
        order = tuple(int(i) for i in np.argsort(axes))
        w = w.transpose(order).reshape(tuple(n if a in axes else 1 for a, n in enumerate(x.shape)))
    kind = np.result_type(x.dtype, w.dtype, *([float] if x.dtype.kind in "iub" else []))
    x, w = (v if v.dtype == kind else v.astype(kind) for v in (x, w))
    total = sum(w, axis=axis, keepdims=keepdims)
    if np.any(np.equal(total, 0)):
        raise ZeroDivisionError("Weights sum to zero, can't be normalized")
    out = sum(x * w, axis=axis, keepdims=keepdims) / total
    return (out, np.broadcast_to(total, out.shape)) if returned else out


METHODS.update(var=_variance, std=_deviation)


def with_initial(reduction: Any, fill: float) -> None:
    """Let a reduction take a Tensor with a graph as `initial`, as one more entry; `fill` replaces masked entries."""

    def run(
        x: Array, axis: Any = None, *, initial: Array, keepdims: bool = False, where: Any = None, **options: Any
    ) -> Array:
        entries = lines(x if where is None else np.where(where, x, fill), axis)  # (rest, n)
        start = np.broadcast_to(initial.astype(entries.dtype), (*entries.shape[:-1], 1))
        out = reduction(np.concatenate([entries, start], axis=-1), axis=-1, **options)
        return keep_axes(out, x, axis) if keepdims else out

    reduction.composed["initial"] = run


for reduction, fill in ((sum, 0), (prod, 1), (max, -np.inf), (min, np.inf)):
    with_initial(reduction, fill)
