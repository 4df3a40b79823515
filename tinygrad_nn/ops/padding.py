"""np.pad of Tensors in all of its modes, composed axis by axis of slices and concatenations."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitive import Array
from .indexing import part_along, put
from .joining import array as array_of
from .plain import as_arrays, override

_NO_FUNCTION = (
    "np.pad of a Tensor takes no function as mode, since it would write into an array. Use one of NumPy's named modes, "
    "or join the parts with np.concatenate."
)


@override("pad")
def pad(array: Array, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Array:
    """Return np.pad of a Tensor; entries that mode "empty" leaves undefined are 0."""
    if callable(mode):
        raise NotImplementedError(_NO_FUNCTION)
    ndim = array.ndim
    np.pad(np.zeros((1,) * ndim), 0, mode, **{key: _probe(key, value) for key, value in kwargs.items()})
    widths = _widths(pad_width, ndim)
    if array.size == 0 and mode not in ("constant", "empty"):
        np.pad(as_arrays(array), widths, mode)  # raises if an empty axis cannot be extended
        return _with_zeros(array, widths)
    if mode == "empty" or (mode == "constant" and _is_zero(kwargs.get("constant_values", 0))):
        return _with_zeros(array, widths)
    options = next(iter(kwargs.values()), None)
    for axis, (before, after) in enumerate(widths):
        if before or after:
            array = _BY_MODE[mode](array, axis, (before, after), _end_values(options, axis, ndim), mode)
    return array


def _probe(key: str, value: Any) -> Any:
    """Return an option for a call of np.pad that pads nothing but checks the mode, the keywords and their shapes."""
    return None if key == "stat_length" else as_arrays(value)


def _is_zero(value: Any) -> bool:
    return isinstance(value, (int, float)) and value == 0


def _widths(pad_width: Any, ndim: int) -> list[list[int]]:
    """Return the numbers of entries to add before and after, for each axis."""
    if isinstance(pad_width, dict):
        pairs: list[Any] = [(0, 0)] * ndim
        for axis, width in pad_width.items():
            pairs[axis] = width if isinstance(width, tuple) else (width, width)
        pad_width = pairs
    np.pad(np.zeros((0,) * ndim), pad_width)  # raises for fractions and negative numbers
    return np.broadcast_to(np.asarray(pad_width), (ndim, 2)).tolist()  # type: ignore[no-any-return]


def _with_zeros(x: Array, widths: list[list[int]]) -> Array:
    inner = tuple(slice(before, before + n) for (before, _), n in zip(widths, x.shape, strict=True))
    return put(x, index=inner, shape=tuple(b + n + a for (b, a), n in zip(widths, x.shape, strict=True)))


def _end_values(options: Any, axis: int, ndim: int) -> tuple[Any, Any]:
    """Return an option's values for the two ends of one axis."""
    if options is None or isinstance(options, str):
        return options, options
    pairs = np.broadcast_to(array_of(options), (ndim, 2))
    return pairs[axis, 0], pairs[axis, 1]


def _join(x: Array, axis: int, before: Array, after: Array) -> Array:
    return np.concatenate((before, x, after), axis=axis, dtype=x.dtype, casting="unsafe")


def _border(value: Array, x: Array, axis: int, width: int) -> Array:
    """Return a value broadcast to the shape of x, but with the given width along the axis."""
    return np.broadcast_to(value, (*x.shape[:axis], width, *x.shape[axis + 1 :]))


def _gathered(x: Array, axis: int, widths: Any, options: Any, mode: Any) -> Array:
    """Pad by copies of entries: modes edge and wrap, and even reflections."""
    return part_along(x, axis, np.pad(np.arange(x.shape[axis]), widths, mode))


def _reflected(x: Array, axis: int, widths: Any, options: Any, mode: str) -> Array:
    """Pad by reflections; an odd one is 2 * edge - reflection. If the width exceeds the array, reflect repeatedly."""
    n = x.shape[axis]
    if options[0] != "odd" or n == 1:
        return _gathered(x, axis, widths, options, mode)
    before, after = widths
    edge = int(mode != "symmetric")  # the number of entries at the edge that are not repeated by the reflection
    while before > 0 or after > 0:
        length = x.shape[axis]
        whole = (length - edge) // (n - edge) * (n - edge)
        b, a = min(whole, before), min(whole, after)
        first, last = part_along(x, axis, slice(0, 1)), part_along(x, axis, slice(length - 1, length))
        left = 2 * first - np.flip(part_along(x, axis, slice(edge, edge + b)), axis)
        right = 2 * last - np.flip(part_along(x, axis, slice(length - edge - a, length - edge)), axis)
        x = _join(x, axis, left, right)
        before, after = before - b, after - a
    return x


def _constant(x: Array, axis: int, widths: Any, options: Any, mode: str) -> Array:
    return _join(x, axis, *(_border(value, x, axis, width) for value, width in zip(options, widths, strict=True)))


def _ramp(x: Array, axis: int, widths: Any, options: Any, mode: str) -> Array:
    n = x.shape[axis]
    ends = (0, 0) if options[0] is None else options
    edges = part_along(x, axis, 0), part_along(x, axis, n - 1)
    left, right = (
        np.linspace(end, edge, width, endpoint=False, dtype=x.dtype, axis=axis)
        for end, edge, width in zip(ends, edges, widths, strict=True)
    )
    return _join(x, axis, left, np.flip(right, axis))


def _statistic(x: Array, axis: int, widths: Any, options: Any, mode: str) -> Array:
    """Pad by the mean, median, maximum or minimum of the entries next to each edge."""
    n = x.shape[axis]
    statistic: Any = {"mean": np.mean, "median": np.median, "maximum": np.max, "minimum": np.min}[mode]
    lengths = [n if option is None else min(n, int(option)) for option in options]
    if 0 in lengths and mode in ("maximum", "minimum"):
        raise ValueError("stat_length of 0 yields no value for padding")
    parts = part_along(x, axis, slice(0, lengths[0])), part_along(x, axis, slice(n - lengths[1], n))
    values = [statistic(part, axis=axis, keepdims=True) for part in parts]
    if x.dtype.kind in "iu":
        values = [np.rint(as_arrays(value)) for value in values]
    return _join(x, axis, *(_border(value, x, axis, width) for value, width in zip(values, widths, strict=True)))


_BY_MODE = {
    "constant": _constant, "edge": _gathered, "wrap": _gathered, "reflect": _reflected, "symmetric": _reflected,
    "linear_ramp": _ramp, "mean": _statistic, "median": _statistic, "maximum": _statistic, "minimum": _statistic,
}  # fmt: skip
