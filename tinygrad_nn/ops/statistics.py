"""Medians, quantiles and percentiles, and reductions that ignore NaN (nansum, nanmean, ...).

A quantile is an entry of the sorted array, or lies between two of them and is linear in both. So its gradient goes to
one or two entries; among equal entries, to those that a stable sort puts there. Between two entries it is linear in q.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..primitive import Array, Primitive, declare
from . import reduce
from .plain import (
    as_arrays,
    as_operand,
    checked_dtype,
    is_tensor,
    override,
    refuse_out,
    require_everywhere,
    whole_as_float64,
)  # fmt: skip
from .sequence import ranked, sorted_along

# -- Reductions that ignore NaN: NumPy's values and warnings, the rules of `reduce` with a mask

def _nan_forward(function: Callable[..., Any], like: Primitive) -> Callable[..., Any]:
    """Return a NumPy function as a forward with the same metadata as the primitive `like`."""

    def forward(x: Array, axis: Any = None, **options: Any) -> Array:
        checked_dtype(options.get("dtype"), x)
        return function(x, axis, **options)

    forward.__name__ = function.__name__
    forward.__doc__ = f"Return `{like.name}` of the entries that are not NaN."
    forward.__signature__ = inspect.signature(like.forward)  # type: ignore[attr-defined]
    return forward


def _not_nan_mask(x: Array, where: Any = None) -> Any:
    """Return the mask of the entries that are not NaN, combined with another mask if one is given."""
    mask = np.logical_not(np.isnan(x))
    return mask if where is None else np.logical_and(mask, where)


def _nan_rule(like: Primitive) -> Callable[..., Any]:
    """Return the rule of a reduction, restricted to the entries that are not NaN."""
    rule: Any = like.vjps[0]
    return lambda g, out, x, where=None, **options: rule(g, out, x, where=_not_nan_mask(x, where), **options)

# fmt: off
nansum = declare(_nan_forward(np.nansum, reduce.sum), r"\sum_{x_i \in \mathbb R} x_i",
    (_nan_rule(reduce.sum),   r"g \, [x_i \in \mathbb R]"),
    numpy=np.nansum, kinks="at NaN the slope is 0")

nanprod = declare(_nan_forward(np.nanprod, reduce.prod), r"\prod_{x_i \in \mathbb R} x_i",
    (_nan_rule(reduce.prod),  r"g \, [x_i \in \mathbb R] \prod_{j \ne i} x_j"),
    numpy=np.nanprod, kinks="at NaN the slope is 0")

nanmean = declare(_nan_forward(np.nanmean, reduce.mean), r"\frac{1}{n} \sum_{x_i \in \mathbb R} x_i",
    (_nan_rule(reduce.mean),  r"\frac{g}{n} [x_i \in \mathbb R]"),
    numpy=np.nanmean, kinks="at NaN the slope is 0")


def _nanextreme_vjp(g: Array, out: Array, x: Array, axis: Any = None, **options: Any) -> Array:
    best = reduce.keep_axes(out, x, axis)
    return reduce.share_extreme((x != best) & np.logical_not(np.isnan(best)), g, best, x, axis, **options)

nanmax = declare(_nan_forward(np.nanmax, reduce.max), r"\max_{x_i \in \mathbb R} x_i",
    (_nanextreme_vjp,           r"g \, \frac{[x_i = \max x]}{\#\{j : x_j = \max x\}}"),
    numpy=np.nanmax, kinks="ties share evenly; at NaN the slope is 0, but where all are NaN they share evenly")

nanmin = declare(_nan_forward(np.nanmin, reduce.min), r"\min_{x_i \in \mathbb R} x_i",
    (_nanextreme_vjp,           r"g \, \frac{[x_i = \min x]}{\#\{j : x_j = \min x\}}"),
    numpy=np.nanmin, kinks="ties share evenly; at NaN the slope is 0, but where all are NaN they share evenly")

nanvar = declare(_nan_forward(np.nanvar, reduce.var),
    r"\frac{1}{n - \mathrm{ddof}} \sum_{x_i \in \mathbb R} |x_i - \bar x|^2",
    (_nan_rule(reduce.var),   r"\frac{2 g}{n - \mathrm{ddof}} (x_i - \bar x) [x_i \in \mathbb R]"),
    kinks="at NaN the slope is 0")

nanstd = declare(_nan_forward(np.nanstd, reduce.std),
    r"\sqrt{\frac{1}{n - \mathrm{ddof}} \sum_{x_i \in \mathbb R} |x_i - \bar x|^2}",
    (_nan_rule(reduce.std),   r"\frac{g}{n - \mathrm{ddof}} \frac{x_i - \bar x}{out} [x_i \in \mathbb R]"),
    kinks="at NaN the slope is 0; at 0 it is 0 too")

# fmt: on

for reduction, fill in ((nansum, 0), (nanprod, 1), (nanmax, -np.inf), (nanmin, np.inf)):
    reduce.with_initial(reduction, fill)


@override("nanvar")
def _nanvariance(x: Array, *args: Any, mean: Any = None, where: Any = None, **options: Any) -> Array:
    """Return np.nanvar of a Tensor."""
    if mean is None:
        return nanvar(x, *args, **options, **reduce.given_options(where=where))
    return reduce.var_about(x, mean, *args, where=_not_nan_mask(x, where), **options)


@override("nanstd")
def _nandeviation(x: Array, *args: Any, mean: Any = None, where: Any = None, **options: Any) -> Array:
    """Return np.nanstd of a Tensor."""
    if mean is None:
        return nanstd(x, *args, **options, **reduce.given_options(where=where))
    return reduce.safe_sqrt(reduce.var_about(x, mean, *args, where=_not_nan_mask(x, where), **options))


# -- Quantiles

# (α, β) of the methods that interpolate: the position of a quantile among n sorted entries is
# n q + α + q (1 - α - β) - 1.
_PLOTTING_POSITIONS = {
    "interpolated_inverted_cdf": (0, 1),
    "hazen": (0.5, 0.5),
    "weibull": (0, 0),
    "linear": (1, 1),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}


def _after(place: Any, keep: Any) -> Any:
    """Return floor(place) where `keep` is true, and floor(place) + 1 elsewhere."""
    return np.floor(place) + np.where(keep, 0, 1)


def _weighted(low: Any, high: Any, weight: Any) -> tuple[Any, Any, Any]:
    return low, high, np.full(np.shape(low), weight, dtype=low.dtype)


# Methods without linear interpolation: (n, q) -> two positions and the weight of the second, or one position.
_STEPS: dict[str, Callable[[Any, Any], tuple[Any, Any, Any]]] = {
    "lower": lambda n, q: (np.floor((n - 1) * q), None, None),
    "higher": lambda n, q: (np.ceil((n - 1) * q), None, None),
    "nearest": lambda n, q: (np.round((n - 1) * q), None, None),
    "midpoint": lambda n, q: _weighted(
        np.floor((n - 1) * q), np.floor((n - 1) * q) + 1, np.where((n - 1) * q % 1 == 0, 0, 0.5)),
    "inverted_cdf": lambda n, q: (_after(n * q - 1, (n * q - 1) % 1 == 0), None, None),
    "averaged_inverted_cdf": lambda n, q: _weighted(
        np.floor(n * q - 1), np.floor(n * q - 1) + 1, np.where((n * q - 1) % 1 == 0, 0.5, 1)),
    "closest_observation": lambda n, q: (
        _after(n * q - 1.5, ((n * q - 1.5) % 1 == 0) & (np.floor(n * q - 1.5) % 2 == 1)), None, None),
}  # fmt: skip


def _places(method: str, n: Any, q: Array) -> tuple[Any, Any, Any]:
    """Return the positions of the two sorted entries that a quantile lies between and the weight of the second.

    If the quantile is a single entry, the second position and the weight are None.
    """
    if method in _STEPS:
        low, high, weight = _STEPS[method](n, as_arrays(q))
    elif method in _PLOTTING_POSITIONS:
        alpha, beta = _PLOTTING_POSITIONS[method]
        place = (n - 1) * q if method == "linear" else n * q + (alpha + q * (1 - alpha - beta)) - 1
        low = np.floor(as_arrays(place))
        high, weight = (None, None) if method == "linear" and place.dtype.kind in "iu" else (low + 1, place - low)
    else:
        known = ", ".join(sorted({*_STEPS, *_PLOTTING_POSITIONS}))
        raise ValueError(f"{method!r} is not a method of np.quantile; the methods are {known}.")
    low, high = (None if p is None else np.clip(p, 0, np.maximum(n - 1, 0)).astype(np.intp) for p in (low, high))
    return low, high, weight


def _interpolate(low: Array, high: Array, weight: Array, weak: bool) -> Array:
    """Return low + weight * (high - low), from the nearer end as NumPy does; a weak weight takes the dtype of low."""
    step, near, rest = high - low, as_arrays(weight) >= 0.5, 1 - weight
    if weak:
        weight, rest = weight.astype(low.dtype), rest.astype(low.dtype)
    return np.where(near, high - step * rest, low + step * weight)


def _checked(axis: Any, ndim: int) -> Any:
    """Return axes as a tuple of non-negative numbers; raise if one does not exist."""
    return axis if axis is None else normalize_axis_tuple(axis, ndim)


def _take(entries: Array, places: Any) -> Array:
    """Return m entries of each line, at common (m,) or separate (..., m) places: (..., n) becomes (..., m)."""
    if places.ndim == 1:
        return entries[..., places]
    grid = np.ix_(*(np.arange(n) for n in (*entries.shape[:-1], 1)))[:-1]
    return entries[(*grid, places)]


def _at_ranks(entries: Array, ranks: list[Any]) -> list[Array]:
    """Return the entries of each line at ranks that are common (m,) or separate (..., m), without a sort if it can."""
    lines = [r if r.ndim == 1 else r.reshape(-1, r.shape[-1]) for r in ranks if type(r) is np.ndarray]
    common = [r if r.ndim == 1 else r[0] for r in lines if r.ndim == 1 or (len(r) and (r == r[0]).all())]
    if len(common) < len(ranks):  # unknown in a trace, or lines with different numbers of NaN
        ordered = sorted_along(entries)
        return [_take(ordered, r) for r in ranks]
    found = ranked(entries, ranks=tuple(np.concatenate(common).tolist()))
    if len(ranks) == 1:
        return [found]
    m = len(common[0])
    return [found[..., :m], found[..., m:]]


def _arranged(quantiles: Array, x: Array, axis: Any, keepdims: bool, q_shape: tuple[int, ...]) -> Array:
    """Return quantiles (rest, m) in NumPy's shape: first the axes of q, then the axes of x that remain."""
    axes = reduce.axes_of(axis, x.ndim)
    rest = tuple(1 if a in axes else n for a, n in enumerate(x.shape) if keepdims or a not in axes)
    if q_shape:
        quantiles = quantiles.transpose((-1, *range(quantiles.ndim - 1)))
    return quantiles.reshape((*q_shape, *rest))


def _weighted_places(order: Any, weights: Any, q: Any) -> Any:
    """Return for each q the first position at which the running sum of the sorted weights reaches q times their sum."""
    sums = np.take_along_axis(weights, order, axis=-1).cumsum(axis=-1, dtype=np.float64)
    if not np.all(sums[..., -1] > 0) or not np.all(np.isfinite(sums)):
        raise ValueError("Weights included NaN, inf or were all zero.")
    parts = sums / sums[..., -1:]
    reached = (parts[..., None, :] < q[:, None]) | (parts[..., None, :] == 0)
    return np.minimum(reached.sum(axis=-1), order.shape[-1] - 1)


def _weights_like(x: Array, weights: Any, axis: Any) -> Any:
    """Return weights, given in the shape of x or of its reduced axes, in the shape (rest, n) of `reduce.lines`."""
    w = as_arrays(weights) if is_tensor(weights) else np.asarray(weights)
    if np.any(w < 0):
        raise ValueError("Weights must be non-negative.")
    if w.shape != x.shape:
        axes = reduce.axes_of(axis, x.ndim)
        if axis is None or w.shape != tuple(x.shape[a] for a in axes):
            raise ValueError("np.quantile needs weights of the shape of a, or of its reduced axes in their order.")
        w = w.transpose(np.argsort(axes)).reshape(tuple(n if a in axes else 1 for a, n in enumerate(x.shape)))
    return reduce.lines(np.broadcast_to(w, x.shape), axis)


def _quantile_of(
    x: Any, q: Any, axis: Any, method: str, keepdims: bool, weights: Any = None, skip: bool = False
) -> Array:
    """Return quantiles of x at q, either of which may be a Tensor; with `skip`, of the entries that are not NaN."""
    x = as_operand(x)
    axis = _checked(axis, x.ndim)
    if x.dtype.kind == "c":
        raise TypeError("quantiles need real numbers, which can be put in order; this array is complex.")
    weak = type(q) in (int, float) and x.dtype.kind == "f"  # a Python number takes the precision of the array
    q = q if is_tensor(q) else np.asarray(q)
    in_range = (as_arrays(q) >= 0) & (as_arrays(q) <= 1)
    q = require_everywhere(q, in_range, ValueError("Quantiles must be in the range [0, 1]"))
    if skip and x.size == 0:
        return reduce.mean(x, axis=axis, keepdims=keepdims)  # NaN for all q together, with NumPy's warning
    entries = reduce.lines(x, axis)  # (rest, n)
    missing = np.isnan(as_arrays(entries))
    flat = q.reshape(-1)  # (m,)
    n: Any = np.logical_not(missing).sum(axis=-1, keepdims=True, dtype=flat.dtype) if skip else entries.shape[-1]
    if weights is None:
        low, high, weight = _places(method, n, flat)
        if high is None:
            (found,) = _at_ranks(entries, [low])
        else:
            below, above = _at_ranks(entries, [low, high])
            found = _interpolate(below, above, weight, weak)
    elif method != "inverted_cdf":
        raise ValueError(f"Only method 'inverted_cdf' supports weights. Got: {method}.")
    else:
        order = np.argsort(as_arrays(entries), axis=-1, kind="stable")
        lines = _weights_like(x, weights, axis)
        if skip:  # lines with nothing but NaN get valid weights; their result becomes NaN below
            lines = np.where(missing.all(axis=-1, keepdims=True), 1, np.where(np.isnan(as_arrays(entries)), 0, lines))
        found = _take(sorted_along(entries), _weighted_places(order, lines, as_arrays(flat)))
    found = _mark_missing(found, missing, skip)
    return _arranged(found, x, axis, keepdims, q.shape)


def _mark_missing(quantiles: Array, missing: Any, skip: bool) -> Array:
    """Return quantiles with NaN, with gradient 0, for lines that contain NaN, or with `skip` for lines of only NaN."""
    known = isinstance(missing, np.ndarray)  # in a trace it is a Tensor, whose values are not known
    gone = (missing.all if skip else missing.any)(axis=-1, keepdims=True)
    if known and not gone.any():
        return quantiles
    if known and skip:
        warnings.warn("All-NaN slice encountered", RuntimeWarning, stacklevel=5)
    return np.where(gone, np.nan, quantiles)


@override("quantile")
def _quantile(
    a: Array, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights: Any = None,
) -> Array:  # fmt: skip
    """Return np.quantile of a Tensor."""
    refuse_out("quantile", out)
    return _quantile_of(a, q, axis, method, keepdims, weights)


@override("nanquantile")
def _nanquantile(
    a: Array, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights: Any = None,
) -> Array:  # fmt: skip
    """Return np.nanquantile of a Tensor."""
    refuse_out("nanquantile", out)
    return _quantile_of(a, q, axis, method, keepdims, weights, skip=True)


def _hundredth(q: Any) -> Any:
    """Return q / 100; of a Python number a Python number, which takes the precision of the array."""
    return q / 100 if is_tensor(q) or type(q) in (int, float) else np.asarray(q) / 100


@override("percentile")
def _percentile(a: Array, q: Any, *args: Any, **options: Any) -> Array:
    """Return np.percentile of a Tensor."""
    return _quantile(a, _hundredth(q), *args, **options)


@override("nanpercentile")
def _nanpercentile(a: Array, q: Any, *args: Any, **options: Any) -> Array:
    """Return np.nanpercentile of a Tensor."""
    return _nanquantile(a, _hundredth(q), *args, **options)


def _median_of(x: Array, axis: Any, keepdims: bool, skip: bool) -> Array:
    """Return the middle entry, or the mean of the two middle entries, along axes."""
    axis = _checked(axis, x.ndim)
    x = whole_as_float64(x)
    entries = reduce.lines(x, axis)
    if entries.shape[-1] == 0:
        return reduce.mean(x, axis=axis, keepdims=keepdims)  # NaN, with NumPy's warning
    missing = np.isnan(as_arrays(entries))
    n: Any = np.logical_not(missing).sum(axis=-1, keepdims=True) if skip else np.array([entries.shape[-1]])
    below, above = _at_ranks(entries, [np.maximum((n - 1) // 2, 0), n // 2])
    return _arranged(_mark_missing((below + above) / 2, missing, skip), x, axis, keepdims, ())


@override("median")
def _median(
    a: Array, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: bool = False
) -> Array:
    """Return np.median of a Tensor."""
    refuse_out("median", out)
    return _median_of(a, axis, keepdims, skip=False)


@override("nanmedian")
def _nanmedian(
    a: Array, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: bool = False
) -> Array:
    """Return np.nanmedian of a Tensor."""
    refuse_out("nanmedian", out)
    return _median_of(a, axis, keepdims, skip=True)
