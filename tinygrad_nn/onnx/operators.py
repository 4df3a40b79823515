"""Translate each operation of a trace to ONNX operators.

Each rule takes the writer and the same operation from both traces (see `rows`), and returns the name of its result.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from ..compiled.program.values import Op, Value, argument_shape
from .layers import LAYERS
from .rows import Depends, Free, merged
from .writer import Writer, common_dtype, pair_nest, pairs, reshape, scalar_constant, shape_of

Ops = tuple[Op, Op]
Rule = Callable[[Writer, Ops], str]

# ufunc -> the ONNX operator with the same arguments and meaning
SAME = {
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "negative": "Neg", "absolute": "Abs",
    "fabs": "Abs", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "reciprocal": "Reciprocal", "sign": "Sign",
    "maximum": "Max", "minimum": "Min", "power": "Pow", "floor": "Floor", "ceil": "Ceil", "rint": "Round",
    "sin": "Sin", "cos": "Cos", "tan": "Tan", "arcsin": "Asin", "arccos": "Acos", "arctan": "Atan", "sinh": "Sinh",
    "cosh": "Cosh", "tanh": "Tanh", "arcsinh": "Asinh", "arccosh": "Acosh", "arctanh": "Atanh",
}  # fmt: skip
COMPARED = {
    "greater": "Greater", "greater_equal": "GreaterOrEqual", "less": "Less", "less_equal": "LessOrEqual",
    "equal": "Equal",
}  # fmt: skip
LOGICAL = {"logical_and": "And", "logical_or": "Or", "logical_xor": "Xor", "logical_not": "Not",
           "bitwise_and": "And", "bitwise_or": "Or", "bitwise_xor": "Xor", "invert": "Not"}  # fmt: skip
REDUCED = {"sum": "ReduceSum", "max": "ReduceMax", "min": "ReduceMin", "prod": "ReduceProd"}


def _ufunc(w: Writer, ops: Ops) -> str:
    name, args = ops[0].name, pairs(ops)
    out = ops[0].out.dtype
    if name == "maximum" and out.kind == "f" and any(type(x) in (int, float) and x == 0 for x in ops[0].args):
        return str(w.op("Relu", *[w.arg(a, out) for a in args if isinstance(a[0], Value)]))
    if name in SAME:
        return str(w.op(SAME[name], *[w.arg(a, out) for a in args]))
    inside = common_dtype(*ops[0].args)
    if name in COMPARED or name == "not_equal":
        found = w.op(COMPARED.get(name, "Equal"), *[w.arg(a, inside) for a in args])
        return str(w.op("Not", found) if name == "not_equal" else found)
    if name in LOGICAL and (name.startswith("logical") or out == np.bool_):
        return str(w.op(LOGICAL[name], *[w.arg(a, np.bool_) for a in args]))
    if name in COMPOSED:
        return COMPOSED[name](w, [w.arg(a, out if out != np.bool_ else inside) for a in args], out)
    raise KeyError(name)


def _log1p(w: Writer, x: list[str], dtype: Any) -> str:
    # log(1 + x) loses digits of a small x; x log(u) / (u - 1) with u = 1 + x does not (Goldberg, 1991)
    unit = scalar_constant(w, 1.0, dtype)
    u = w.op("Add", x[0], unit)
    less = w.op("Sub", u, unit)
    even = w.op("Equal", less, scalar_constant(w, 0.0, dtype))
    whole = w.op("Mul", x[0], w.op("Div", w.op("Log", u), w.op("Where", even, unit, less)))
    infinite = w.op("IsInf", u)
    return str(w.op("Where", even, x[0], w.op("Where", infinite, w.op("Log", u), whole)))


def _expm1(w: Writer, x: list[str], dtype: Any) -> str:
    # e^x - 1 = tanh(x/2) (e^x + 1), which keeps the digits of a small x and gives no NaN for a large one
    half = w.op("Tanh", w.op("Mul", x[0], scalar_constant(w, 0.5, dtype)))
    return str(w.op("Mul", half, w.op("Add", w.op("Exp", x[0]), scalar_constant(w, 1.0, dtype))))


def _logaddexp(w: Writer, x: list[str], dtype: Any) -> str:
    apart = w.op("Neg", w.op("Abs", w.op("Sub", *x)))
    return str(w.op("Add", w.op("Max", *x), _log1p(w, [w.op("Exp", apart)], dtype)))


def _isfinite(w: Writer, x: list[str], dtype: Any) -> str:
    return str(w.op("Not", w.op("Or", w.op("IsInf", x[0]), w.op("IsNaN", x[0]))))


COMPOSED: dict[str, Callable[[Writer, list[str], Any], str]] = {
    "square": lambda w, x, dtype: w.op("Mul", x[0], x[0]),
    "positive": lambda w, x, dtype: w.op("Identity", x[0]),
    "log1p": _log1p,
    "expm1": _expm1,
    "log2": lambda w, x, dtype: w.op("Div", w.op("Log", x[0]), scalar_constant(w, np.log(2.0), dtype)),
    "log10": lambda w, x, dtype: w.op("Div", w.op("Log", x[0]), scalar_constant(w, np.log(10.0), dtype)),
    "exp2": lambda w, x, dtype: w.op("Pow", scalar_constant(w, 2.0, dtype), x[0]),
    "cbrt": lambda w, x, dtype: w.op(
        "Mul", w.op("Sign", x[0]), w.op("Pow", w.op("Abs", x[0]), scalar_constant(w, 1 / 3, dtype))),
    "hypot": lambda w, x, dtype: w.op("Sqrt", w.op("Add", w.op("Mul", x[0], x[0]), w.op("Mul", x[1], x[1]))),
    "logaddexp": _logaddexp,
    "isnan": lambda w, x, dtype: w.op("IsNaN", x[0]),
    "isinf": lambda w, x, dtype: w.op("IsInf", x[0]),
    "isfinite": _isfinite,
    "trunc": lambda w, x, dtype: w.op("Mul", w.op("Sign", x[0]), w.op("Floor", w.op("Abs", x[0]))),
    "floor_divide": lambda w, x, dtype: w.op("Floor", w.op("Div", *x)) if dtype.kind == "f" else w.op("Div", *x),
    "remainder": lambda w, x, dtype: (
        w.op("Sub", x[0], w.op("Mul", x[1], w.op("Floor", w.op("Div", *x)))) if dtype.kind == "f" else w.op("Mod", *x)),
    "vecdot": lambda w, x, dtype: w.op("ReduceSum", w.op("Mul", *x), w.ints([-1]), keepdims=0),
}  # fmt: skip


def _where(w: Writer, ops: Ops) -> str:
    condition, *choices = pairs(ops)
    return str(w.op("Where", w.arg(condition, np.bool_), *[w.arg(c, ops[0].out.dtype) for c in choices]))


def _cast(w: Writer, ops: Ops) -> str:
    return w.cast(w.arg(pairs(ops)[0]), ops[0].out.dtype)


def _reduce(w: Writer, ops: Ops) -> str:
    axes, keepdims, _ = ops[0].attrs
    x = w.arg(pairs(ops)[0], ops[0].out.dtype)
    if not axes:
        return str(w.op("Identity", x))
    return str(w.op(REDUCED[ops[0].name], x, w.ints(axes), keepdims=int(keepdims)))


def _matmul(w: Writer, ops: Ops) -> str:
    return str(w.op("MatMul", *[w.arg(a, ops[0].out.dtype) for a in pairs(ops)]))


def _vdot(w: Writer, ops: Ops) -> str:
    product = w.op("Mul", *[w.arg(a, ops[0].out.dtype) for a in pairs(ops)])
    return str(w.op("ReduceSum", product, keepdims=0))


def _reshape(w: Writer, ops: Ops) -> str:
    return reshape(w, w.arg(pairs(ops)[0]), shape_of(ops))


def _transpose(w: Writer, ops: Ops) -> str:
    return str(w.op("Transpose", w.arg(pairs(ops)[0]), perm=list(ops[0].attrs[0])))


def _broadcast(w: Writer, ops: Ops) -> str:
    return str(w.op("Expand", w.arg(pairs(ops)[0]), w.ints(shape_of(ops))))


def _slice(w: Writer, ops: Ops) -> str:
    shape = shape_of(ops, 0)
    return write_slice(w, w.arg(pairs(ops)[0]), shape, _index(ops[0].attrs[0], ops[1].attrs[0]))


def _index(first: Any, second: Any) -> tuple[Any, ...]:
    """Return the index of a slice operation from those of both traces, with `Free` for numbers that grow with rows."""
    found = []
    for a, b in zip(first, second, strict=True):
        parts = merged(a, b)
        found.append(slice(*parts[1:]) if isinstance(parts, tuple) and parts[:1] == ("slice",) else parts)
    return tuple(found)


def write_slice(w: Writer, x: str, shape: tuple[Any, ...], index: tuple[Any, ...]) -> str:
    """Write ``x[index]`` for an index of integers, slices, None and an ellipsis; return the name of the result."""
    given = sum(i is not None and i is not Ellipsis for i in index)
    if Ellipsis not in index:
        index = (*index, Ellipsis)
    place = index.index(Ellipsis)
    index = (*index[:place], *[slice(None)] * (len(shape) - given), *index[place + 1 :])
    starts: list[Any] = []
    ends: list[Any] = []
    axes: list[int] = []
    steps: list[int] = []
    gone: list[int] = []
    new: list[int] = []
    axis, out = 0, 0
    for part in index:
        if part is None:
            new.append(out)
            out += 1
            continue
        if isinstance(part, slice):
            step = 1 if part.step is None else part.step
            low, high = (0, 2**31 - 1) if step > 0 else (2**31 - 1, -(2**31))
            if part != slice(None):
                starts.append(low if part.start is None else part.start)
                ends.append(high if part.stop is None else part.stop)
                axes.append(axis)
                steps.append(step)
            out += 1
        else:
            starts.append(part)
            last = isinstance(part, int) and part == -1
            end = Free(part.slope, part.start + 1) if isinstance(part, Free) else part + 1
            ends.append(2**31 - 1 if last else end)
            axes.append(axis)
            steps.append(1)
            gone.append(axis)
        axis += 1
    if axes:
        x = w.op("Slice", x, w.ints(starts), w.ints(ends), w.ints(axes), w.ints(steps))
    if gone:
        x = w.op("Squeeze", x, w.ints(gone))
    return str(w.op("Unsqueeze", x, w.ints(new))) if new else str(x)


def _concatenate(w: Writer, ops: Ops) -> str:
    arrays, meta = pair_nest(ops)
    return str(w.op("Concat", *[w.arg(a, ops[0].out.dtype) for a in arrays], axis=meta.get("axis", (0, 0))[0]))


def _stack(w: Writer, ops: Ops) -> str:
    arrays, meta = pair_nest(ops)
    axis = meta.get("axis", (0, 0))[0] % len(ops[0].out.shape)
    parts = [w.op("Unsqueeze", w.arg(a, ops[0].out.dtype), w.ints([axis])) for a in arrays]
    return str(w.op("Concat", *parts, axis=axis))


def _erf(w: Writer, ops: Ops) -> str:
    return str(w.op("Erf", w.arg(pairs(ops)[0], ops[0].out.dtype)))


def _erfc(w: Writer, ops: Ops) -> str:
    return str(w.op("Sub", scalar_constant(w, 1.0, ops[0].out.dtype), _erf(w, ops)))


def _getitem(w: Writer, ops: Ops) -> str:
    """Write ``x[index]`` for an index that contains integer arrays next to each other, and full slices otherwise."""
    (x, *_), meta = pair_nest(ops)
    here, there = (i if isinstance(i, tuple) else (i,) for i in meta["index"])
    shape = merged(argument_shape(x[0]), argument_shape(x[1]))
    arrays = [k for k, part in enumerate(here) if isinstance(part, Value)]
    first, last = arrays[0], arrays[-1]
    if None in here or Ellipsis in here or arrays != list(range(first, last + 1)):
        raise Depends("its index mixes arrays and slices in a way that has no operator")
    if any(part.dtype == np.bool_ for part in here if isinstance(part, Value)):
        raise Depends("it has a boolean index, which selects a different number of entries for other values")
    others = tuple(slice(None) if k in arrays else part for k, part in enumerate(here))
    if any(part != slice(None) for part in others):
        raise Depends("its index mixes arrays with numbers or slices")
    name = w.arg(x)
    if len(arrays) == 1:
        return str(w.op("Gather", name, w.arg((here[first], there[first]), np.int64), axis=first))
    if first == 0:
        spots = merged(*(np.broadcast_shapes(*map(argument_shape, i)) for i in (here, there)))
        places = []
        for pair in zip(here, there, strict=True):
            place = w.op("Expand", w.arg(pair, np.int64), w.ints(spots))
            places.append(w.op("Unsqueeze", place, w.ints([len(spots)])))
        return str(w.op("GatherND", name, w.op("Concat", *places, axis=-1)))
    # several axes at once: reshape them to one axis, and compute the indices along that axis
    lengths = shape[first : last + 1]
    if any(isinstance(n, Free) for n in lengths):
        raise Depends("it is indexed along the rows by arrays")
    flat = ""
    for k, n in zip(arrays, lengths, strict=True):
        length = w.constant(np.int64(n))
        place = w.arg((here[k], there[k]), np.int64)
        place = w.op("Where", w.op("Less", place, w.constant(np.int64(0))), w.op("Add", place, length), place)
        flat = w.op("Add", w.op("Mul", flat, length), place) if flat else place
    name = reshape(w, name, (*shape[:first], prod(lengths), *shape[last + 1 :]))
    return str(w.op("Gather", name, flat, axis=first))


def _put(w: Writer, ops: Ops) -> str:
    """Write zero padding: an array that is put into a block (slices with step 1) of an array of zeros."""
    (x, *_), meta = pair_nest(ops)
    before, after = [], []
    for here, there, one_length, other in zip(*meta["index"], *meta["shape"], strict=True):
        if not (isinstance(here, slice) and here.step in (None, 1)):
            raise Depends("it puts values into zeros at an index that is not a block")
        ends = [(s.indices(n)[0], n - s.indices(n)[1]) for s, n in ((here, one_length), (there, other))]
        low, high = merged(*ends)
        before.append(low)
        after.append(high)
    return str(w.op("Pad", w.arg(x), w.ints([*before, *after])))


def _clip(w: Writer, ops: Ops) -> str:
    (x, *limits), _ = pair_nest(ops)
    dtype = ops[0].out.dtype
    name = w.arg(x, dtype)
    for kind, limit in zip(("Max", "Min"), limits, strict=True):
        name = name if limit[0] is None else w.op(kind, name, w.arg(limit, dtype))
    return name


def _deviation(w: Writer, ops: Ops) -> str:
    """Write a variance, a standard deviation or a Euclidean norm."""
    (x, *_), meta = pair_nest(ops)
    dtype = ops[0].out.dtype
    axis = meta.get("axis", (None, None))[0]
    axes = list(range(len(argument_shape(x[0])))) if axis is None else [int(a) for a in np.atleast_1d(axis)]
    keepdims = int(bool(meta.get("keepdims", (False, False))[0]))
    if any(part[0] is not None for key, part in meta.items() if key in ("mean", "where")) or (
        ops[0].name == "vector_norm" and meta.get("ord", (2, 2))[0] not in (None, 2)
    ):
        raise Depends("it has options without an operator")
    off = w.arg(x, dtype)
    if ops[0].name != "vector_norm":
        off = w.op("Sub", off, w.op("ReduceMean", off, w.ints(axes), keepdims=1))
    total = w.op("ReduceSum", w.op("Mul", off, off), w.ints(axes), keepdims=keepdims)
    if ops[0].name != "vector_norm":
        lengths = [merged(argument_shape(x[0]), argument_shape(x[1]))[a] for a in axes]
        count = w.op("ReduceProd", w.ints(lengths), keepdims=0)
        ddof = float(meta.get("ddof", (0, 0))[0] or 0)
        n = w.cast(count, dtype)
        total = w.op("Div", total, w.op("Sub", n, scalar_constant(w, ddof, dtype)) if ddof else n)
    return str(total if ops[0].name == "var" else w.op("Sqrt", total))


def _distances(w: Writer, ops: Ops) -> str:
    x, y = (w.arg(a, ops[0].out.dtype) for a in pairs(ops))
    off = w.op("Sub", w.op("Unsqueeze", x, w.ints([-2])), w.op("Unsqueeze", y, w.ints([-3])))
    return str(w.op("Sqrt", w.op("ReduceSum", w.op("Mul", off, off), w.ints([-1]), keepdims=0)))


def _argmax(w: Writer, ops: Ops) -> str:
    (x, *rest), meta = pair_nest(ops)
    axis = meta.get("axis", rest[0] if rest else (None, None))[0]
    if axis is None:
        raise Depends("it has no axis=")
    kind = {"argmax": "ArgMax", "argmin": "ArgMin"}[ops[0].name]
    return str(w.op(kind, w.arg(x), axis=axis, keepdims=int(meta.get("keepdims", (False,))[0])))


def _einsum(w: Writer, ops: Ops) -> str:
    arrays, meta = pair_nest(ops)
    return str(w.op("Einsum", *[w.arg(a, ops[0].out.dtype) for a in arrays], equation=meta["subscripts"][0]))


def _cumsum(w: Writer, ops: Ops) -> str:
    (x, *_), meta = pair_nest(ops)
    return str(w.op("CumSum", w.arg(x, ops[0].out.dtype), w.constant(np.int64(meta["axis"][0]))))


KINDS: dict[str, Rule] = {
    "ufunc": _ufunc, "where": _where, "cast": _cast, "reduce": _reduce, "matmul": _matmul, "vdot": _vdot,
    "reshape": _reshape, "transpose": _transpose, "broadcast": _broadcast, "slice": _slice,
}  # fmt: skip
CALLS: dict[str, Rule] = {
    **LAYERS, "concatenate": _concatenate, "stack": _stack,
    "erf": _erf, "erfc": _erfc, "getitem": _getitem, "embedding": _getitem, "argmax": _argmax, "argmin": _argmax,
    "put": _put, "clip": _clip, "std": _deviation, "var": _deviation, "vector_norm": _deviation, "einsum": _einsum,
    "cumsum": _cumsum, "distances": _distances, "vecdot": _ufunc, "matmul": _matmul, "dot": _matmul,
}  # fmt: skip


def write_operation(w: Writer, ops: Ops) -> str:
    """Write an operation as ONNX nodes, and return the name of its result.

    Raises:
        KeyError: ONNX has no operator for it; Depends: ONNX has none for these arguments or options.
    """
    op = ops[0]
    return (CALLS[op.name] if op.kind == "call" else KINDS[op.kind])(w, ops)
