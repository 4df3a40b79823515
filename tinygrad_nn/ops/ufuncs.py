"""The methods of ufuncs with two arguments: reduce, accumulate, outer and reduceat.

For add, multiply, maximum, minimum and logaddexp, reduce and accumulate are primitives. For other ufuncs they apply the
ufunc itself to one entry after another along the axis, as NumPy does; reduceat reduces each part separately.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..primitive import FINDERS, OVERRIDES, REGISTRY, Array, Primitive, declare, find_replacement
from . import reduce
from .neural import logsumexp
from .plain import as_arrays, as_operand, checked_dtype, is_tensor
from .sequence import cummax, cummin, cumprod, cumsum, index_along, logcumsumexp


def _reduce_method(primitive: Primitive) -> Callable[..., Array]:
    def reduce_all(x: Array, axis: Any = 0, dtype: Any = None, **options: Any) -> Array:
        if options.get("where", False) is True:
            del options["where"]
        if dtype is not None and "dtype" not in primitive.metadata:  # max and min take no dtype=, so convert x
            x, dtype = x.astype(checked_dtype(dtype, as_arrays(x))), None
        return primitive(x, axis=axis, **options, **({} if dtype is None else {"dtype": dtype}))

    return reduce_all


def _accumulate_method(primitive: Primitive) -> Callable[..., Array]:
    return lambda x, axis=0, dtype=None: primitive(x, axis=_one_axis(x, axis), dtype=dtype)


def _one_axis(x: Array, axis: Any) -> int:
    """Return the axis of `accumulate` and `reduceat`; None means the only axis of an array with one."""
    if axis is None and x.ndim > 1:
        raise ValueError(f"accumulate and reduceat go along one axis; this array has {x.ndim}. Pass axis=.")
    return normalize_axis_index(0 if axis is None else axis, x.ndim)


def _as_added(ufunc: Any, x: Array, axis: Any, dtype: Any, initial: Any) -> tuple[Array, Any]:
    """Return x and the initial value in the dtype in which the ufunc reduces; raise for axes that do not fit."""
    kind = ufunc.reduce(np.ones((1,) * x.ndim, x.dtype), axis=axis, dtype=checked_dtype(dtype, as_arrays(x))).dtype
    start = initial if initial is None else as_operand(initial).astype(kind)
    return x if x.dtype == kind else x.astype(kind), start


def _logaddexp_reduce(
    x: Array, axis: Any = 0, dtype: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Array:
    """Return np.logaddexp.reduce of a Tensor."""
    x, initial = _as_added(np.logaddexp, x, axis, dtype, initial)
    x = x if where is True else np.where(where, x, -np.inf)
    nothing = reduce.count(x, axis) == 0  # the logarithm of an empty sum is -inf
    out = x.sum(axis=axis, keepdims=keepdims) - np.inf if nothing else logsumexp(x, axis=axis, keepdims=keepdims)
    return out if initial is None else np.logaddexp(out, initial)


def _running_results(ufunc: Any, entries: list[Array], masks: Any = None, initial: Any = None) -> list[Array]:
    """Return the results of the ufunc over the first entry, the first two, and so on; masked entries are skipped."""
    made = [entries.pop(0) if initial is None else initial]
    for i, entry in enumerate(entries):
        new = ufunc(made[-1], entry)
        made.append(new if masks is None else np.where(masks[i], new, made[-1]))
    return made


def _reduce_by_steps(ufunc: Any) -> Callable[..., Array]:
    def reduce_by_steps(
        x: Array, axis: Any = 0, dtype: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True
    ) -> Array:
        x, start = _as_added(ufunc, x, axis, dtype, ufunc.identity if initial is None else initial)
        lines = reduce.lines(x, axis)  # (rest, n)
        n, masks = lines.shape[-1], None
        if where is not True:
            masks = np.moveaxis(reduce.lines(np.broadcast_to(as_arrays(where), x.shape), axis), -1, 0)
        if (masks is not None or n == 0) and start is None:
            raise ValueError(f"np.{ufunc.__name__}.reduce of no entries, or of some of them, needs initial=.")
        if n == 0:
            out = lines.sum(axis=-1) + start  # the empty sum is 0
        else:
            out = _running_results(ufunc, [lines[..., i] for i in range(n)], masks, start)[-1]
        return reduce.keep_axes(out, x, axis) if keepdims else out

    return reduce_by_steps


def _accumulate_by_steps(ufunc: Any) -> Callable[..., Array]:
    def accumulate_by_steps(x: Array, axis: int = 0, dtype: Any = None) -> Array:
        axis = _one_axis(x, axis)
        x = x if dtype is None else x.astype(checked_dtype(dtype, as_arrays(x)))
        entries = [x[index_along(axis, i)] for i in range(x.shape[axis])]
        return np.stack(_running_results(ufunc, entries), axis=axis) if entries else x

    return accumulate_by_steps


def _outer(ufunc: Any) -> Callable[..., Array]:
    def outer(x: Any, y: Any, **options: Any) -> Array:
        x, y = (a if is_tensor(a) else np.asarray(a) for a in (x, y))
        return ufunc(x.reshape(x.shape + (1,) * y.ndim), y, **options)

    return outer


# fmt: off
def _segment_sums(x: Array, indices: Any, axis: int = 0) -> Array:
    """Return the sums of the entries from each index up to the next one."""
    return np.add.reduceat(x, indices, axis)


def _segment_sums_vjp(g: Array, out: Array, x: Array, indices: Any, axis: int = 0) -> Array:
    spans = _spans(indices, x.shape[axis])
    places = np.concatenate([np.arange(start, stop) for start, stop in spans])
    parts = np.repeat(np.arange(len(spans)), [stop - start for start, stop in spans])
    return REGISTRY["put"](g[index_along(axis, parts)], index=index_along(axis, places), shape=x.shape)

segment_sums = declare(_segment_sums, r"y_k = \sum_{i_k \le j < i_{k+1}} x_j",
    (_segment_sums_vjp,  r"\sum_{k : i_k \le j < i_{k+1}} g_k"))


# fmt: on


def _spans(indices: Any, n: int) -> list[tuple[int, int]]:
    """Return (start, stop) of each part of reduceat: up to the next index, or one entry if that is not larger."""
    starts = [int(i) for i in indices]
    stops = [*starts[1:], n]
    return [(i, j if j > i else i + 1) for i, j in zip(starts, stops, strict=True)]


def _reduceat(ufunc: Any) -> Callable[..., Array]:
    def reduce_parts(x: Array, indices: Any, axis: int = 0, dtype: Any = None) -> Array:
        axis = _one_axis(x, axis)
        indices = np.asarray(as_arrays(indices))
        ufunc.reduceat(np.ones(x.shape[axis]), indices)  # raises for invalid indices
        x = x if dtype is None else x.astype(checked_dtype(dtype, as_arrays(x)))
        if len(indices) == 0:
            return x[index_along(axis, slice(0))]
        if ufunc is np.add:
            return segment_sums(x, indices=indices, axis=axis)
        parts = [
            x[index_along(axis, i)] if j == i + 1 else ufunc.reduce(x[index_along(axis, slice(i, j))], axis=axis)
            for i, j in _spans(indices, x.shape[axis])
        ]
        return np.stack(parts, axis=axis)

    return reduce_parts


def _in_double(run: Callable[..., Array]) -> Callable[..., Array]:
    """Return a method of np.float_power that first converts to float64 at least, as this ufunc does."""
    return lambda x, *args, **options: run(np.multiply(x, np.float64(1)), *args, **options)


OVERRIDES.update({
    (np.add, "reduce"): _reduce_method(reduce.sum),
    (np.multiply, "reduce"): _reduce_method(reduce.prod),
    (np.maximum, "reduce"): _reduce_method(reduce.max),
    (np.minimum, "reduce"): _reduce_method(reduce.min),
    (np.logaddexp, "reduce"): _logaddexp_reduce,
    (np.add, "accumulate"): _accumulate_method(cumsum),
    (np.multiply, "accumulate"): _accumulate_method(cumprod),
    (np.maximum, "accumulate"): _accumulate_method(cummax),
    (np.minimum, "accumulate"): _accumulate_method(cummin),
    (np.logaddexp, "accumulate"): _accumulate_method(logcumsumexp),
    (np.float_power, "reduce"): _in_double(_reduce_by_steps(np.float_power)),
    (np.float_power, "accumulate"): _in_double(_accumulate_by_steps(np.float_power)),
    (np.float_power, "outer"): _outer(np.float_power),
    (np.float_power, "reduceat"): _in_double(_reduceat(np.float_power)),
})
BY_STEPS: dict[str, Callable[[Any], Callable[..., Array]]] = {
    "reduce": _reduce_by_steps, "accumulate": _accumulate_by_steps, "outer": _outer,
    "reduceat": _reduceat,
}  # fmt: skip
for ufunc, primitive in list(OVERRIDES.items()):
    if isinstance(ufunc, np.ufunc) and isinstance(primitive, Primitive) and ufunc.nin == 2 and ufunc.signature is None:
        for method, make in BY_STEPS.items():
            # ldexp cannot be repeated, since its exponents are integers and its results are floats. Ufuncs that take
            # only integers have no gradient.
            if "dd->d" in ufunc.types or (ufunc is np.ldexp and method == "outer"):
                OVERRIDES.setdefault((ufunc, method), make(ufunc))


def _method_of_another(function: Any) -> Callable[..., Array] | None:
    """Return the replacement of a method of another library's ufunc, if that ufunc has one; else None."""
    ufunc, method = function if isinstance(function, tuple) else (None, "")
    known = method in BY_STEPS and ufunc.nin == 2 and ufunc not in OVERRIDES and find_replacement(ufunc) is not None
    return BY_STEPS[method](ufunc) if known else None


FINDERS.append(_method_of_another)
