"""Differences along an axis, and np.gradient and np.trapezoid, which are made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..common.printable import counted
from ..primitive import REGISTRY, Array, declare
from .plain import as_operand, override, whole_as_float64
from .sequence import index_along

_NONE: Any = object()


# fmt: off
def _diff(x: Array, n: int = 1, axis: int = -1) -> Array:
    """Return the n-th differences of neighboring entries along an axis."""
    return np.diff(x, n, axis)


def _diff_vjp(g: Array, out: Array, x: Array, n: int = 1, axis: int = -1) -> Array:
    axis %= x.ndim
    padded = tuple(m + n if a == axis else m for a, m in enumerate(x.shape))
    inner = index_along(axis, slice(n, n + g.shape[axis]))
    turned = diff(REGISTRY["put"](g, index=inner, shape=padded), n=n, axis=axis)
    return -turned if n % 2 else turned

diff = declare(_diff, r"\Delta^n x",
    (_diff_vjp, r"(-1)^n \Delta^n (0, g, 0)"), linear=(0,))


# fmt: on


@override("diff")
def _diff_between(a: Any, n: int = 1, axis: int = -1, prepend: Any = _NONE, append: Any = _NONE) -> Array:
    """Return np.diff, of which the array, `prepend` or `append` is a Tensor."""
    a = as_operand(a)
    if n == 0:
        return a
    (axis,) = normalize_axis_tuple(axis, a.ndim)
    ends = [end if end is _NONE else as_operand(end) for end in (prepend, append)]
    edge = tuple(1 if i == axis else m for i, m in enumerate(a.shape))
    before, after = ([] if e is _NONE else [np.broadcast_to(e, edge) if e.ndim == 0 else e] for e in ends)
    return diff(np.concatenate([*before, a, *after], axis=axis) if before or after else a, n=n, axis=axis)


@override("ediff1d")
def _ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Array:
    """Return np.ediff1d of a Tensor: the differences of the flattened array, between `to_begin` and `to_end`."""
    line = np.ravel(as_operand(ary))
    if line.dtype == bool:
        raise TypeError("np.ediff1d subtracts, and booleans have no difference; write np.diff(x), or x.astype(int).")
    ends = []
    for name, end in (("to_begin", to_begin), ("to_end", to_end)):
        values = [] if end is None else [np.ravel(as_operand(end))]
        if values and not np.can_cast(values[0].dtype, line.dtype, casting="same_kind"):
            raise TypeError(f"dtype of `{name}` must be compatible with input `ary` under the `same_kind` rule.")
        ends.append([value.astype(line.dtype) for value in values])
    return np.concatenate([*ends[0], diff(line), *ends[1]]) if ends[0] or ends[1] else diff(line)


# -- Slopes

def _three_points(before: Array, after: Array) -> tuple[tuple[Array, ...], ...]:
    """Return the weights of three neighboring entries in the slope at the first, the middle and the last of them.

    `before` and `after` are the steps between the first two and the last two entries.
    """
    both = before + after
    first = -(before + both) / (before * both), both / (before * after), -before / (after * both)
    middle = -after / (before * both), (after - before) / (before * after), before / (after * both)
    last = after / (before * both), -both / (before * after), (after + both) / (after * both)
    return first, middle, last


def _slope(f: Array, step: Array, edge_order: int) -> Array:
    """Return the slope of f along the last axis; `step` is one number or an array with the step of each interval."""
    if np.ndim(step) == 0:
        inner = (f[..., 2:] - f[..., :-2]) / (2 * step)
        at_start = at_end = step
        start, end = (_three_points(step, step)[place] for place in (0, 2))
    else:
        a, b, c = _three_points(step[:-1], step[1:])[1]
        inner = a * f[..., :-2] + b * f[..., 1:-1] + c * f[..., 2:]
        at_start, at_end = step[:1], step[-1:]
        start, end = (
            _three_points(step[i : i + 1], step[i + 1 : i + 2 or None])[place] if edge_order == 2 else ()
            for i, place in ((0, 0), (-2, 2))
        )
    if edge_order == 1:
        first, last = (f[..., 1:2] - f[..., :1]) / at_start, (f[..., -1:] - f[..., -2:-1]) / at_end
    else:
        first = start[0] * f[..., :1] + start[1] * f[..., 1:2] + start[2] * f[..., 2:3]
        last = end[0] * f[..., -3:-2] + end[1] * f[..., -2:-1] + end[2] * f[..., -1:]
    return np.concatenate([first, inner, last], axis=-1)


def _steps(spacings: Sequence[Any], shape: Sequence[int]) -> list[Array]:
    """Return the step along each axis: a number, or an array of the differences of coordinates."""
    if len(spacings) == 0:
        return [1.0] * len(shape)
    if len(spacings) == 1 and np.ndim(spacings[0]) == 0:
        return [spacings[0]] * len(shape)
    if len(spacings) != len(shape):
        raise TypeError(
            f"np.gradient takes one step for all axes, or one per axis, here {len(shape)}; it got {len(spacings)}."
        )
    for spacing, n in zip(spacings, shape, strict=True):
        if np.shape(spacing) not in ((), (n,)):
            raise ValueError(
                f"np.gradient along an axis of {counted(n, 'entry')} takes a number or {n} coordinates; it got an "
                f"array of shape {np.shape(spacing)}."
            )
    return [diff(_signed(as_operand(spacing))) if np.ndim(spacing) else spacing for spacing in spacings]


def _signed(x: Any) -> Any:
    """Return an array; integers as float64, whose differences do not wrap around."""
    return x if x.dtype == bool else whole_as_float64(x)


@override("gradient")
def _gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Return np.gradient of a Tensor, or along coordinates that are a Tensor."""
    f = _signed(as_operand(f))
    axes = range(f.ndim) if axis is None else normalize_axis_tuple(axis, f.ndim)
    if edge_order > 2:
        raise ValueError("'edge_order' greater than 2 not supported")
    if any(f.shape[a] < edge_order + 1 for a in axes):
        raise ValueError(f"np.gradient needs at least {edge_order + 1} entries along each axis; f has shape {f.shape}.")
    slopes = [
        _slope(f.swapaxes(a, -1), step, edge_order).swapaxes(a, -1)
        for a, step in zip(axes, _steps(varargs, [f.shape[a] for a in axes]), strict=True)
    ]
    if f.dtype.kind in "fc":  # NumPy writes the slopes into an array with the dtype of f
        slopes = [slope if slope.dtype == f.dtype else slope.astype(f.dtype) for slope in slopes]
    return slopes[0] if len(slopes) == 1 else tuple(slopes)


@override("trapezoid")
def _trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Array:
    """Return np.trapezoid of a Tensor; the sample points x may be a Tensor too."""
    y = as_operand(y)
    (place,) = normalize_axis_tuple(axis, y.ndim)
    step = dx
    if x is not None:
        x = as_operand(x)
        step = diff(x, axis=axis) if x.ndim > 1 else diff(x).reshape((-1,) + (1,) * (y.ndim - 1 - place))
    ends = y[index_along(place, slice(1, None))] + y[index_along(place, slice(None, -1))]
    return (step * ends / 2.0).sum(axis=axis)
