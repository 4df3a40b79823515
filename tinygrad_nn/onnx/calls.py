"""Translate the functions that a trace calls as they are, such as `np.sort` and `np.std`, to ONNX operators.

Each rule takes the writer and the same operation from all traces (see `rows`), and returns the name of its result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..compiled.program.values import Op
from . import indices
from .layers import LAYERS, scan
from .rows import Depends, Free, merged
from .writer import Writer, arguments, call_arguments, reshape, result_shape, scalar_constant, shape_of

Ops = tuple[Op, ...]


def _option(call: tuple[list[Any], dict[str, Any]], name: str, place: int, default: Any = None) -> Any:
    """Return an option of a call, which is given by name or at a place; the default is also what None means."""
    given, meta = call
    found = meta[name] if name in meta else given[place] if place < len(given) else (None,)
    return default if found[0] is None else merged(*found)


def _axis(call: tuple[list[Any], dict[str, Any]], place: int = 1, default: Any = None) -> list[int] | None:
    """Return the axes that a call names, counted from the first, or None."""
    axis, dims = _option(call, "axis", place, default), len(shape_of(call[0][0]))
    return None if axis is None else [int(a) % dims for a in np.atleast_1d(axis)]


def _reduction(w: Writer, kind: str, x: str, call: tuple[list[Any], dict[str, Any]]) -> str:
    """Write a reduction over the axes and with the keepdims of a call."""
    axes, keepdims = _axis(call), int(_option(call, "keepdims", 9, False))
    return str(w.op(kind, x, *([] if axes is None else [w.ints(axes)]), keepdims=keepdims))


def _concatenate(w: Writer, ops: Ops) -> str:
    arrays, meta = call_arguments(ops)
    return str(w.op("Concat", *[w.arg(a, ops[0].out.dtype) for a in arrays], axis=meta.get("axis", (0, 0))[0]))


def _stack(w: Writer, ops: Ops) -> str:
    arrays, meta = call_arguments(ops)
    axis = meta.get("axis", (0, 0))[0] % len(ops[0].out.shape)
    parts = [w.op("Unsqueeze", w.arg(a, ops[0].out.dtype), w.ints([axis])) for a in arrays]
    return str(w.op("Concat", *parts, axis=axis))


def _erf(w: Writer, ops: Ops) -> str:
    return str(w.op("Erf", w.arg(arguments(ops)[0], ops[0].out.dtype)))


def _erfc(w: Writer, ops: Ops) -> str:
    return str(w.op("Sub", scalar_constant(w, 1.0, ops[0].out.dtype), _erf(w, ops)))


def _clip(w: Writer, ops: Ops) -> str:
    (x, *limits), _ = call_arguments(ops)
    dtype = ops[0].out.dtype
    name = w.arg(x, dtype)
    for kind, limit in zip(("Max", "Min"), limits, strict=True):
        name = name if limit[0] is None else w.op(kind, name, w.arg(limit, dtype))
    return name


def _deviation(w: Writer, ops: Ops) -> str:
    """Write a variance or a standard deviation."""
    call, dtype = call_arguments(ops), ops[0].out.dtype
    if any(part[0] is not None for key, part in call[1].items() if key in ("mean", "where")):
        raise Depends("it has options without an operator")
    x, lengths, axes = w.arg(call[0][0], dtype), shape_of(call[0][0]), _axis(call)
    axes = list(range(len(lengths))) if axes is None else axes
    off = w.op("Sub", x, w.op("ReduceMean", x, w.ints(axes), keepdims=1))
    total = _reduction(w, "ReduceSum", w.op("Mul", off, off), call)
    n = w.cast(w.op("ReduceProd", w.ints([lengths[k] for k in axes]), keepdims=0), dtype)
    if ddof := float(_option(call, "ddof", 4, 0)):
        n = w.op("Sub", n, scalar_constant(w, ddof, dtype))
    out = w.op("Div", total, n)
    return str(out if ops[0].name == "var" else w.op("Sqrt", out))


def _vector_norm(w: Writer, ops: Ops) -> str:
    call, dtype = call_arguments(ops), ops[0].out.dtype
    x, p = w.arg(call[0][0], dtype), float(_option(call, "ord", 9, 2))
    size = w.op("Abs", x)
    if np.isinf(p):
        return _reduction(w, "ReduceMax" if p > 0 else "ReduceMin", size, call)
    if p == 0:
        return _reduction(w, "ReduceSum", w.cast(w.cast(x, np.bool_), dtype), call)
    if p == 2:
        return str(w.op("Sqrt", _reduction(w, "ReduceSum", w.op("Mul", x, x), call)))
    if p == 1:
        return _reduction(w, "ReduceSum", size, call)
    total = _reduction(w, "ReduceSum", w.op("Pow", size, scalar_constant(w, p, dtype)), call)
    return str(w.op("Pow", total, scalar_constant(w, 1 / p, dtype)))


def _distances(w: Writer, ops: Ops) -> str:
    x, y = (w.arg(a, ops[0].out.dtype) for a in arguments(ops))
    off = w.op("Sub", w.op("Unsqueeze", x, w.ints([-2])), w.op("Unsqueeze", y, w.ints([-3])))
    return str(w.op("Sqrt", w.op("ReduceSum", w.op("Mul", off, off), w.ints([-1]), keepdims=0)))


def _argmax(w: Writer, ops: Ops) -> str:
    call, kind = call_arguments(ops), {"argmax": "ArgMax", "argmin": "ArgMin"}[ops[0].name]
    x, axes, keepdims = w.arg(call[0][0]), _axis(call), int(_option(call, "keepdims", 9, False))
    if axes is None:
        if keepdims:
            raise Depends("it has keepdims= without axis=")
        x, axes = reshape(w, x, (-1,)), [0]
    return str(w.op(kind, x, axis=axes[0], keepdims=keepdims))


def _einsum(w: Writer, ops: Ops) -> str:
    arrays, meta = call_arguments(ops)
    return str(w.op("Einsum", *[w.arg(a, ops[0].out.dtype) for a in arrays], equation=meta["subscripts"][0]))


def _cumsum(w: Writer, ops: Ops) -> str:
    (x, *_), meta = call_arguments(ops)
    return str(w.op("CumSum", w.arg(x, ops[0].out.dtype), w.constant(np.int64(meta["axis"][0]))))


def _shaped(w: Writer, ops: Ops) -> str:
    return reshape(w, w.arg(call_arguments(ops)[0][0]), result_shape(ops))


def _round(w: Writer, ops: Ops) -> str:
    call, dtype = call_arguments(ops), ops[0].out.dtype
    x, decimals = w.arg(call[0][0], dtype), _option(call, "decimals", 1, 0)
    if dtype.kind != "f" or not decimals:
        return x if dtype.kind != "f" else str(w.op("Round", x))
    ten = scalar_constant(w, 10.0 ** abs(decimals), dtype)
    there, back = ("Mul", "Div") if decimals > 0 else ("Div", "Mul")
    return str(w.op(back, w.op("Round", w.op(there, x, ten)), ten))


def _nan_to_num(w: Writer, ops: Ops) -> str:
    call, dtype = call_arguments(ops), ops[0].out.dtype
    x, most = w.arg(call[0][0], dtype), np.finfo(w.float_of(dtype)).max
    zero = scalar_constant(w, 0.0, dtype)
    for test, name, place, default in (("Greater", "posinf", 3, most), ("Less", "neginf", 4, -most)):
        new = scalar_constant(w, float(_option(call, name, place, default)), dtype)
        x = w.op("Where", w.op("And", w.op("IsInf", x), w.op(test, x, zero)), new, x)
    return str(w.op("Where", w.op("IsNaN", x), scalar_constant(w, float(_option(call, "nan", 2, 0.0)), dtype), x))


def _any_or_all(w: Writer, ops: Ops) -> str:
    call = call_arguments(ops)
    numbers = w.cast(w.arg(call[0][0], np.bool_), np.int32)
    return w.cast(_reduction(w, "ReduceMax" if ops[0].name == "any" else "ReduceMin", numbers, call), np.bool_)


def _count_nonzero(w: Writer, ops: Ops) -> str:
    call = call_arguments(ops)
    return _reduction(w, "ReduceSum", w.cast(w.arg(call[0][0], np.bool_), np.int64), call)


def _without_nan(w: Writer, ops: Ops) -> str:
    """Write nansum, nanmean, nanmax or nanmin."""
    call, dtype = call_arguments(ops), ops[0].out.dtype
    x, kind = w.arg(call[0][0], dtype), ops[0].name[3:]
    none = w.op("IsNaN", x)
    filled = w.op("Where", none, scalar_constant(w, {"max": -np.inf, "min": np.inf}.get(kind, 0.0), dtype), x)
    found = _reduction(w, {"max": "ReduceMax", "min": "ReduceMin"}.get(kind, "ReduceSum"), filled, call)
    if kind == "sum":
        return found
    count = _reduction(w, "ReduceSum", w.cast(w.op("Not", none), dtype), call)
    if kind == "mean":
        return str(w.op("Div", found, count))
    nothing = w.op("Equal", count, scalar_constant(w, 0.0, dtype))
    return str(w.op("Where", nothing, scalar_constant(w, np.nan, dtype), found))


def _cumprod(w: Writer, ops: Ops) -> str:
    call, dtype = call_arguments(ops), ops[0].out.dtype
    axes, shape = _axis(call), shape_of(call[0][0])
    if axes is None:
        raise Depends("it has no axis=")
    order = [*axes, *(k for k in range(len(shape)) if k not in axes)]
    z = w.op("Transpose", w.arg(call[0][0], dtype), perm=order)
    start = w.op("Expand", scalar_constant(w, 1.0, dtype), w.ints([shape[k] for k in order[1:]]))
    found = scan(w, z, [start], lambda inner, states, z_t: [inner.op("Mul", states[0], z_t)], dtype)[1]
    return str(w.op("Transpose", found, perm=[int(k) for k in np.argsort(order)]))


def _argsort(w: Writer, ops: Ops) -> str:
    call = call_arguments(ops)
    x, shape, axis = w.arg(call[0][0]), shape_of(call[0][0]), (_axis(call, 1, -1) or [0])[0]
    if call[0][0][0].dtype == np.bool_:
        x = w.cast(x, np.int32)
    # of equal entries, TopK has the one with the smaller index first, as a stable sort
    return str(w.op("TopK", x, w.ints([shape[axis]]), outs=2, axis=axis, largest=0, sorted=1)[1])


def _searchsorted(w: Writer, ops: Ops) -> str:
    """Write the number of entries of a sorted vector that are less than each value, or not greater."""
    call = call_arguments(ops)
    if _option(call, "sorter", 3) is not None:
        raise Depends("it has sorter=")
    dtype = np.result_type(*(given[0].dtype for given in call[0][:2]))
    vector, values = (w.arg(given, dtype) for given in call[0][:2])
    kind = "Less" if _option(call, "side", 2, "left") == "left" else "LessOrEqual"
    before = w.cast(w.op(kind, vector, w.op("Unsqueeze", values, w.ints([-1]))), np.int64)
    return str(w.op("ReduceSum", before, w.ints([-1]), keepdims=0))


def _along(axis: int, start: Any, stop: Any) -> tuple[Any, ...]:
    return (*[slice(None)] * axis, slice(start, stop))


def _roll(w: Writer, ops: Ops) -> str:
    call = call_arguments(ops)
    shape, axes, shift = shape_of(call[0][0]), _axis(call, 2), _option(call, "shift", 1)
    x = w.arg(call[0][0])
    if axes is None:
        raise Depends("it has no axis=")
    for axis, by in zip(axes, np.broadcast_to(shift, len(axes)), strict=True):
        by = int(by)
        if isinstance(shape[axis], Free):
            if abs(by) > 1:
                raise Depends(f"it moves the rows by {by}, of which there may be fewer")
        else:
            by %= max(1, shape[axis])
        if by:
            parts = [indices.write_slice(w, x, shape, _along(axis, *ends)) for ends in ((-by, None), (None, -by))]
            x = w.op("Concat", *parts, axis=axis)
    return x


def _diff(w: Writer, ops: Ops) -> str:
    call, dtype = call_arguments(ops), ops[0].out.dtype
    if dtype == np.bool_:
        raise Depends("it has no operator for booleans; convert them to numbers")
    x, shape, axis = w.arg(call[0][0], dtype), shape_of(call[0][0]), (_axis(call, 2, -1) or [0])[0]
    for _ in range(_option(call, "n", 1, 1)):
        later, earlier = (indices.write_slice(w, x, shape, _along(axis, *ends)) for ends in ((1, None), (None, -1)))
        x = w.op("Sub", later, earlier)
    return x


def _window(w: Writer, ops: Ops) -> str:
    """Write the windows along an axis, which is then that of the windows; their entries are the last axis."""
    call = call_arguments(ops)
    shape, axis, n = shape_of(call[0][0]), (_axis(call, 2) or [0])[0], _option(call, "n", 1)
    count = result_shape(ops)[axis]
    first = w.op("Range", w.integer(0), w.integer(count), w.integer(1))
    places = w.op("Add", w.op("Unsqueeze", first, w.ints([1])), w.constant(np.arange(n)))
    out = w.op("Gather", w.arg(call[0][0]), places, axis=axis)
    order = [k for k in range(len(shape) + 1) if k != axis + 1]
    return str(w.op("Transpose", out, perm=[*order, axis + 1]))


def _rot90(w: Writer, ops: Ops) -> str:
    call = call_arguments(ops)
    shape, x = shape_of(call[0][0]), w.arg(call[0][0])
    k, axes = _option(call, "k", 1, 1) % 4, [a % len(shape) for a in _option(call, "axes", 2, (0, 1))]
    order = list(range(len(shape)))
    order[axes[0]], order[axes[1]] = order[axes[1]], order[axes[0]]
    for axis in ((), axes[1:], axes, axes[:1])[k]:
        x = indices.write_slice(w, x, shape, (*[slice(None)] * axis, slice(None, None, -1)))
    return str(w.op("Transpose", x, perm=order)) if k % 2 else x


def _trace(w: Writer, ops: Ops) -> str:
    call, dtype = call_arguments(ops), ops[0].out.dtype
    shape = shape_of(call[0][0])
    axes = [_option(call, name, place, place - 2) % len(shape) for name, place in (("axis1", 2), ("axis2", 3))]
    if any(isinstance(shape[k], Free) for k in axes):
        raise Depends("it adds up a diagonal whose length grows with the rows")
    n, m = (shape[k] for k in axes)
    on = np.eye(n, m, k=_option(call, "offset", 1, 0), dtype=bool)
    spread = [1] * len(shape)
    spread[axes[0]], spread[axes[1]] = shape[axes[0]], shape[axes[1]]
    on = (on if axes[0] < axes[1] else on.T).reshape(spread)
    kept = w.op("Where", w.constant(on), w.arg(call[0][0], dtype), scalar_constant(w, 0, dtype))
    return str(w.op("ReduceSum", kept, w.ints(sorted(axes)), keepdims=0))


def _cross(w: Writer, ops: Ops) -> str:
    call, dtype = call_arguments(ops), ops[0].out.dtype
    if any(given[0] not in (None, -1) for given in call[1].values()) or any(shape_of(a)[-1] != 3 for a in call[0]):
        raise Depends("it is not of vectors of three entries along the last axis")
    a, b = (w.arg(given, dtype) for given in call[0][:2])
    turned = [[w.op("Gather", x, w.constant(np.array(order)), axis=-1) for x in (a, b)]
              for order in ([1, 2, 0], [2, 0, 1])]  # fmt: skip
    (a1, b1), (a2, b2) = turned
    return str(w.op("Sub", w.op("Mul", a1, b2), w.op("Mul", a2, b1)))


def _det(w: Writer, ops: Ops) -> str:
    return str(w.op("Det", w.arg(call_arguments(ops)[0][0], ops[0].out.dtype)))


def _dot(w: Writer, ops: Ops) -> str:
    return str(w.op("MatMul", *[w.arg(a, ops[0].out.dtype) for a in arguments(ops)]))


CALLS: dict[str, Callable[[Writer, Ops], str]] = {
    **LAYERS, **indices.CALLS, "concatenate": _concatenate, "stack": _stack, "erf": _erf, "erfc": _erfc,
    "argmax": _argmax, "argmin": _argmax, "clip": _clip, "std": _deviation, "var": _deviation,
    "vector_norm": _vector_norm, "einsum": _einsum, "cumsum": _cumsum, "cumprod": _cumprod, "distances": _distances,
    "matmul": _dot, "dot": _dot, "squeeze": _shaped, "expand_dims": _shaped, "round": _round,
    "nan_to_num": _nan_to_num, "any": _any_or_all, "all": _any_or_all, "count_nonzero": _count_nonzero,
    **dict.fromkeys(["nansum", "nanmean", "nanmax", "nanmin"], _without_nan), "argsort": _argsort,
    "searchsorted": _searchsorted, "roll": _roll, "diff": _diff, "window": _window, "rot90": _rot90, "trace": _trace,
    "cross": _cross, "det": _det,
}  # fmt: skip
