"""Each operation of a trace as operators of ONNX: a function of the writer and both runs of the operation."""

from __future__ import annotations

from collections.abc import Callable
from math import prod, sqrt
from typing import Any

import numpy as np

from ..compiled.program.values import Op, Value, elements
from .rows import Depends, Free, merged
from .writer import Writer, common, pair_nest, pairs

Ops = tuple[Op, Op]
Rule = Callable[[Writer, Ops], str]

# ufunc -> the operator that computes the same of the same arguments
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


def shape_of(ops: Ops, k: int = -1) -> tuple[Any, ...]:
    """Return the shape of an argument, or by default of the result, with free lengths."""
    one, two = (op.out if k < 0 else op.args[k] for op in ops)
    shape: tuple[Any, ...] = merged(elements(one), elements(two))
    return shape


def _ufunc(w: Writer, ops: Ops) -> str:
    name, args = ops[0].name, pairs(ops)
    out = ops[0].out.dtype
    if name in SAME:
        return str(w.op(SAME[name], *[w.arg(a, out) for a in args]))
    inside = common(*ops[0].args)
    if name in COMPARED or name == "not_equal":
        found = w.op(COMPARED.get(name, "Equal"), *[w.arg(a, inside) for a in args])
        return str(w.op("Not", found) if name == "not_equal" else found)
    if name in LOGICAL and (name.startswith("logical") or out == np.bool_):
        return str(w.op(LOGICAL[name], *[w.arg(a, np.bool_) for a in args]))
    if name in COMPOSED:
        return COMPOSED[name](w, [w.arg(a, out if out != np.bool_ else inside) for a in args], out)
    raise KeyError(name)


def _one(w: Writer, number: float, dtype: Any) -> str:
    return w.constant(np.asarray(number, dtype))


def _log1p(w: Writer, x: list[str], dtype: Any) -> str:
    # log(1 + x) loses digits of a small x; x log(u) / (u - 1) with u = 1 + x does not (Goldberg, 1991)
    one = _one(w, 1.0, dtype)
    u = w.op("Add", x[0], one)
    less = w.op("Sub", u, one)
    even = w.op("Equal", less, _one(w, 0.0, dtype))
    whole = w.op("Mul", x[0], w.op("Div", w.op("Log", u), w.op("Where", even, one, less)))
    infinite = w.op("IsInf", u)
    return str(w.op("Where", even, x[0], w.op("Where", infinite, w.op("Log", u), whole)))


def _expm1(w: Writer, x: list[str], dtype: Any) -> str:
    # e^x - 1 = tanh(x/2) (e^x + 1), which keeps the digits of a small x and is inf - 0 nowhere below overflow
    half = w.op("Tanh", w.op("Mul", x[0], _one(w, 0.5, dtype)))
    return str(w.op("Mul", half, w.op("Add", w.op("Exp", x[0]), _one(w, 1.0, dtype))))


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
    "log2": lambda w, x, dtype: w.op("Div", w.op("Log", x[0]), _one(w, np.log(2.0), dtype)),
    "log10": lambda w, x, dtype: w.op("Div", w.op("Log", x[0]), _one(w, np.log(10.0), dtype)),
    "exp2": lambda w, x, dtype: w.op("Pow", _one(w, 2.0, dtype), x[0]),
    "cbrt": lambda w, x, dtype: w.op(
        "Mul", w.op("Sign", x[0]), w.op("Pow", w.op("Abs", x[0]), _one(w, 1 / 3, dtype))),
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


def reshaped(w: Writer, x: str, shape: tuple[Any, ...]) -> str:
    """Return an array in another shape; a single free length is what the others leave."""
    if sum(isinstance(n, Free) for n in shape) == 1 and 0 not in shape:
        shape = tuple(-1 if isinstance(n, Free) else n for n in shape)
    return str(w.op("Reshape", x, w.ints(shape)))


def _reshape(w: Writer, ops: Ops) -> str:
    return reshaped(w, w.arg(pairs(ops)[0]), shape_of(ops))


def _transpose(w: Writer, ops: Ops) -> str:
    return str(w.op("Transpose", w.arg(pairs(ops)[0]), perm=list(ops[0].attrs[0])))


def _broadcast(w: Writer, ops: Ops) -> str:
    return str(w.op("Expand", w.arg(pairs(ops)[0]), w.ints(shape_of(ops))))


def _slice(w: Writer, ops: Ops) -> str:
    shape = shape_of(ops, 0)
    return sliced(w, w.arg(pairs(ops)[0]), shape, _index(ops[0].attrs[0], ops[1].attrs[0]))


def _index(one: Any, two: Any) -> tuple[Any, ...]:
    """Return an index of slices, with free numbers, from those of two runs."""
    found = []
    for a, b in zip(one, two, strict=True):
        parts = merged(a, b)
        found.append(slice(*parts[1:]) if isinstance(parts, tuple) and parts[:1] == ("slice",) else parts)
    return tuple(found)


def sliced(w: Writer, x: str, shape: tuple[Any, ...], index: tuple[Any, ...]) -> str:
    """Return an array at an index of whole numbers, slices, None and an ellipsis."""
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


# -- whole functions


def _windows(meta: dict[str, Any], *more: str) -> dict[str, Any]:
    padding = list(meta["padding"][0])
    return {"strides": list(meta["stride"][0]), "pads": padding + padding, **{key: meta[key][0] for key in more}}


def _conv(w: Writer, ops: Ops) -> str:
    (x, kernel), meta = pair_nest(ops)
    attrs = _windows(meta)
    attrs |= {"dilations": list(meta["dilation"][0]), "group": meta["groups"][0]}
    return str(w.op("Conv", w.arg(x), w.arg(kernel), **attrs))


def _conv_transpose(w: Writer, ops: Ops) -> str:
    (x, kernel), meta = pair_nest(ops)
    attrs = _windows(meta)
    attrs |= {"dilations": list(meta["dilation"][0]), "group": meta["groups"][0]}
    attrs["output_padding"] = list(meta["output_padding"][0])
    return str(w.op("ConvTranspose", w.arg(x), w.arg(kernel), **attrs))


def _max_pool(w: Writer, ops: Ops) -> str:
    (x, *_), meta = pair_nest(ops)
    return str(w.op("MaxPool", w.arg(x), kernel_shape=list(meta["kernel"][0]), **_windows(meta)))


def _avg_pool(w: Writer, ops: Ops) -> str:
    (x, *_), meta = pair_nest(ops)
    attrs = _windows(meta)
    attrs["count_include_pad"] = int(meta["count_include_pad"][0])
    return str(w.op("AveragePool", w.arg(x), kernel_shape=list(meta["kernel"][0]), **attrs))


def _standardize(w: Writer, ops: Ops) -> str:
    (x, weight, bias), meta = pair_nest(ops)
    dtype = ops[0].out.dtype
    x = w.arg(x, dtype)
    axes = w.ints(meta["axis"][0])
    off = w.op("Sub", x, w.op("ReduceMean", x, axes, keepdims=1))
    var = w.op("ReduceMean", w.op("Mul", off, off), axes, keepdims=1)
    out = w.op("Div", off, w.op("Sqrt", w.op("Add", var, _one(w, meta["eps"][0], dtype))))
    return str(w.op("Add", w.op("Mul", out, w.arg(weight, dtype)), w.arg(bias, dtype)))


def _rms_norm(w: Writer, ops: Ops) -> str:
    (x, weight), meta = pair_nest(ops)
    dtype = ops[0].out.dtype
    x = w.arg(x, dtype)
    square = w.op("ReduceMean", w.op("Mul", x, x), w.ints(meta["axis"][0]), keepdims=1)
    out = w.op("Div", x, w.op("Sqrt", w.op("Add", square, _one(w, meta["eps"][0], dtype))))
    return str(w.op("Mul", out, w.arg(weight, dtype)))


def _parted(w: Writer, x: str, shape: tuple[Any, ...], heads: int) -> str:
    """Return (..., time, heads * d) as (..., heads, time, d)."""
    x = reshaped(w, x, (*shape[:-1], heads, shape[-1] // heads))
    n = len(shape) + 1
    return str(w.op("Transpose", x, perm=[*range(n - 3), n - 2, n - 3, n - 1]))


def _attend(w: Writer, q: str, k: str, v: str, mask: Any, keep: Any, ops: Ops, d: int) -> str:
    dtype, shape = ops[0].out.dtype, shape_of(ops)
    n = len(shape) + 1
    flip = [*range(n - 2), n - 1, n - 2]
    scores = w.op("MatMul", w.op("Mul", q, _one(w, 1 / sqrt(d), dtype)), w.op("Transpose", k, perm=flip))
    if len(elements(mask[0])):
        scores = w.op("Add", scores, w.arg(mask, dtype))
    last = w.ints([-1])
    most = w.op("ReduceMax", scores, last, keepdims=1)
    most = w.op("Where", w.op("IsInf", most), _one(w, 0.0, dtype), most)
    e = w.op("Exp", w.op("Sub", scores, most))
    total = w.op("ReduceSum", e, last, keepdims=1)
    none = w.op("Equal", total, _one(w, 0.0, dtype))
    a = w.op("Div", e, w.op("Where", none, _one(w, 1.0, dtype), total))
    if len(elements(keep[0])):
        a = w.op("Mul", a, w.arg(keep, dtype))
    out = w.op("Transpose", w.op("MatMul", a, v), perm=[*range(n - 3), n - 2, n - 3, n - 1])
    return reshaped(w, out, shape)


def _attention(w: Writer, ops: Ops) -> str:
    (q, k, v, mask, keep), meta = pair_nest(ops)
    heads, dtype = meta["heads"][0], ops[0].out.dtype
    parts = [_parted(w, w.arg(x, dtype), merged(elements(x[0]), elements(x[1])), heads) for x in (q, k, v)]
    return _attend(w, *parts, mask, keep, ops, elements(q[0])[-1] // heads)


def _self_attention(w: Writer, ops: Ops) -> str:
    (qkv, mask, keep), meta = pair_nest(ops)
    heads, dtype = meta["heads"][0], ops[0].out.dtype
    shape = merged(elements(qkv[0]), elements(qkv[1]))
    width = shape[-1] // 3
    each = w.op("Split", w.arg(qkv, dtype), w.ints([width] * 3), outs=3, axis=-1)
    parts = [_parted(w, x, (*shape[:-1], width), heads) for x in each]
    return _attend(w, *parts, mask, keep, ops, width // heads)


def _scan(w: Writer, z: str, states: list[str], step: Callable[..., list[str]], dtype: Any) -> tuple[list[str], str]:
    """Go through the times of z; return the last states and the first state at all times.

    `step` is called with the writer of the loop, the states and one z; it returns the new states.
    """

    def body(inner: Writer, *names: str) -> list[str]:
        new = step(inner, list(names[:-1]), names[-1])
        return [*new, str(inner.op("Identity", new[0]))]

    names = [*(f"state{k}" for k in range(len(states))), "z"]
    graph = w.inside(body, names, dtype)
    *last, every = w.op("Scan", *states, z, outs=len(states) + 1, body=graph, num_scan_inputs=1)
    return last, every


def _product(w: Writer, h: str, W: str) -> str:
    return str(w.op("MatMul", h, W))


def _rnn(w: Writer, ops: Ops) -> str:
    (z, W, h), meta = pair_nest(ops)
    dtype = ops[0].out.dtype
    turned = w.op("Transpose", w.arg(W, dtype), perm=[1, 0])
    kind = {"tanh": "Tanh", "relu": "Relu"}[meta.get("activation", ("tanh",))[0]]

    def step(inner: Writer, states: list[str], z_t: str) -> list[str]:
        return [inner.op(kind, inner.op("Add", z_t, _product(inner, states[0], turned)))]

    return _scan(w, w.arg(z, dtype), [w.arg(h, dtype)], step, dtype)[1]


def _lstm(w: Writer, ops: Ops) -> str:
    (z, W, h, c), _ = pair_nest(ops)
    dtype, n = ops[0].out.dtype, elements(W[0])[1]
    turned = w.op("Transpose", w.arg(W, dtype), perm=[1, 0])

    def step(inner: Writer, states: list[str], z_t: str) -> list[str]:
        a = inner.op("Add", z_t, _product(inner, states[0], turned))
        i, f, u, o = inner.op("Split", a, inner.ints([n] * 4), outs=4, axis=-1)
        kept = inner.op("Mul", inner.op("Sigmoid", f), states[1])
        c = inner.op("Add", kept, inner.op("Mul", inner.op("Sigmoid", i), inner.op("Tanh", u)))
        return [inner.op("Mul", inner.op("Sigmoid", o), inner.op("Tanh", c)), c]

    last, every = _scan(w, w.arg(z, dtype), [w.arg(h, dtype), w.arg(c, dtype)], step, dtype)
    return str(w.op("Concat", every, w.op("Unsqueeze", last[1], w.ints([0])), axis=0))


def _gru(w: Writer, ops: Ops) -> str:
    (z, W, b, h), _ = pair_nest(ops)
    dtype, n = ops[0].out.dtype, elements(W[0])[1]
    turned, bias = w.op("Transpose", w.arg(W, dtype), perm=[1, 0]), w.arg(b, dtype)

    def step(inner: Writer, states: list[str], z_t: str) -> list[str]:
        of_h = inner.op("Add", _product(inner, states[0], turned), bias)
        rh, uh, q = inner.op("Split", of_h, inner.ints([n] * 3), outs=3, axis=-1)
        rz, uz, nz = inner.op("Split", z_t, inner.ints([n] * 3), outs=3, axis=-1)
        r, u = inner.op("Sigmoid", inner.op("Add", rz, rh)), inner.op("Sigmoid", inner.op("Add", uz, uh))
        new = inner.op("Tanh", inner.op("Add", nz, inner.op("Mul", r, q)))
        return [inner.op("Add", new, inner.op("Mul", u, inner.op("Sub", states[0], new)))]

    return _scan(w, w.arg(z, dtype), [w.arg(h, dtype)], step, dtype)[1]


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
    return str(w.op("Sub", _one(w, 1.0, ops[0].out.dtype), _erf(w, ops)))


def _getitem(w: Writer, ops: Ops) -> str:
    """Return an array at an index with arrays of whole numbers in it, which stand side by side."""
    (x, *_), meta = pair_nest(ops)
    one, two = meta["index"]
    one, two = (i if isinstance(i, tuple) else (i,) for i in (one, two))
    shape = merged(elements(x[0]), elements(x[1]))
    arrays = [k for k, part in enumerate(one) if isinstance(part, Value)]
    first, last = arrays[0], arrays[-1]
    if None in one or Ellipsis in one or arrays != list(range(first, last + 1)):
        raise Depends("its index mixes arrays and slices in a way that has no operator")
    if any(part.dtype == np.bool_ for part in one if isinstance(part, Value)):
        raise Depends("it selects by true and false, another number of entries for other values")
    others = tuple(slice(None) if k in arrays else part for k, part in enumerate(one))
    if any(part != slice(None) for part in others):
        raise Depends("its index mixes arrays with numbers or slices")
    name = w.arg(x)
    if len(arrays) == 1:
        return str(w.op("Gather", name, w.arg((one[first], two[first]), np.int64), axis=first))
    # several axes at once: as one axis, with the numbers that entries have in it
    lengths = shape[first : last + 1]
    if any(isinstance(n, Free) for n in lengths):
        raise Depends("it is indexed along the rows by arrays")
    flat = None
    for k, n in zip(arrays, lengths, strict=True):
        length = w.constant(np.int64(n))
        place = w.arg((one[k], two[k]), np.int64)
        place = w.op("Where", w.op("Less", place, w.constant(np.int64(0))), w.op("Add", place, length), place)
        flat = place if flat is None else w.op("Add", w.op("Mul", flat, length), place)
    name = reshaped(w, name, (*shape[:first], prod(lengths), *shape[last + 1 :]))
    return str(w.op("Gather", name, flat, axis=first))


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
    "conv": _conv, "conv_transpose": _conv_transpose, "max_pool": _max_pool, "avg_pool": _avg_pool,
    "standardize": _standardize, "rms_norm": _rms_norm, "attention": _attention, "self_attention": _self_attention,
    "rnn_states": _rnn, "lstm_states": _lstm, "gru_states": _gru, "concatenate": _concatenate, "stack": _stack,
    "erf": _erf, "erfc": _erfc, "getitem": _getitem, "embedding": _getitem, "argmax": _argmax, "argmin": _argmax,
    "einsum": _einsum, "cumsum": _cumsum, "vecdot": _ufunc, "matmul": _matmul, "dot": _matmul,
}  # fmt: skip


def written(w: Writer, ops: Ops) -> str:
    """Write an operation down, and return the name of its result.

    Raises:
        KeyError: there is no operator for it; Depends: there is none for this use of it.
    """
    op = ops[0]
    return (CALLS[op.name] if op.kind == "call" else KINDS[op.kind])(w, ops)
