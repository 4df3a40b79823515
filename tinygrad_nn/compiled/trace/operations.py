"""From primitives to the few kinds of simple operations (`Op`) that a program is made of.

Some primitives are such an operation by themselves (`basic`). Of any other the forward is run on traced Tensors, which
records what it does inside (`trace_forward`). If that is impossible, or the result is not the same to the last bit, the
primitive becomes one ``call`` operation (`record_whole`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ...primitive import REGISTRY, Primitive
from ...tensor import Tensor, stored_array
from ...tree import children, flatten
from ..program.values import Op, Value
from .nodes import SavedNode, Untraceable, bases, recorder

if TYPE_CHECKING:
    from .recorder import Recorder

Array = Any
# Each of these stays one operation, and so does its joint rule: traced inside, their loops over time steps or heads
# would become many small operations.
WHOLE = frozenset({"rnn_states", "lstm_states", "gru_states", "attention", "self_attention", "standardize", "rms_norm"})
RANKS = frozenset({"sum_over_ranks", "sum_of_cotangents", "rows_of_all_ranks"})  # never dropped: other processes wait
REDUCE = {"sum": np.add, "max": np.maximum, "min": np.minimum, "prod": np.multiply}


def record(
    record: Recorder, primitive: Primitive, values: list[Any], raw: list[Any], call_meta: dict[str, Any],
    meta: dict[str, Any], out: Array,
) -> Value:  # fmt: skip
    """Record one application of a primitive, and return the value of its result."""
    name = name_of(primitive)
    if name in RANKS:
        value = record_whole(record, primitive, values, call_meta, meta, out)
        value.op.pure = False  # type: ignore[union-attr]
        return value
    if name == "roots":
        raise Untraceable(
            "np.roots returns real or complex numbers, and more or fewer of them, depending on the values."
        )
    if name == "eig_rows" and raw[0].dtype.kind != "c":
        raise Untraceable(
            "np.linalg.eig of real numbers returns real or complex ones, depending on the values. Give it complex "
            "numbers: a.astype(complex), or a + 0j."
        )
    op = basic(primitive, values, raw, call_meta, out)
    if isinstance(op, Value):
        return record.name(op, out)
    if op is not None:
        return record.emit(op, out)
    inner = None
    if primitive not in record.lowering and (record.recompute_saved or not is_one_operation(primitive, call_meta)):
        record.lowering.append(primitive)
        inner = trace_forward(record, primitive, values, raw, call_meta, meta, out)
        record.lowering.pop()
    return inner if inner is not None else record_whole(record, primitive, values, call_meta, meta, out)


def name_of(primitive: Primitive) -> str:
    """Return a primitive's name; a user's primitive with the name of a built-in one gets the prefix ``own``."""
    ours = REGISTRY.get(primitive.name, primitive) is primitive
    return primitive.name if ours else f"own {primitive.name}"


def is_one_operation(primitive: Primitive, meta: dict[str, Any]) -> bool:
    """Tell whether a primitive stays one operation; with given moments a normalization is elementwise and does not."""
    return name_of(primitive) in WHOLE and meta.get("moments") is None


def basic(primitive: Primitive, values: list[Any], raw: list[Any], call_meta: dict[str, Any], out: Array) -> Any:
    """Return the one operation that a primitive is, the argument if it returns that unchanged, or None."""
    name, forward = name_of(primitive), primitive.forward
    x: Any = values[0] if values else None
    if isinstance(forward, np.ufunc):
        if forward is np.matmul:
            return Op("matmul", "matmul", np.matmul, values) if all(np.ndim(a) >= 2 for a in raw) else None
        return Op("ufunc", forward.__name__, forward, values) if forward.signature is None and not call_meta else None
    if not isinstance(x, Value) and name != "where":
        return None
    if name == "alias":  # a Python number that is differentiated becomes an array
        return Op("cast", name, None, values, (out.dtype.str,)) if x.weak else x
    if name == "power":
        return power(values, raw, out)
    if name == "where":
        return Op("where", "where", np.where, values)
    plain = isinstance(raw[0], np.ndarray) and call_meta.get("initial") is None and call_meta.get("where") is None
    if name in REDUCE and plain:
        dtype = call_meta.get("dtype")
        axes = axes_of(call_meta.get("axis"), raw[0].ndim)
        attrs = (axes, bool(call_meta.get("keepdims", False)), None if dtype is None else np.dtype(dtype).str)
        return Op("reduce", name, REDUCE[name], values, attrs)
    if name == "dot" and all(isinstance(a, np.ndarray) and a.ndim == 2 for a in raw):
        return Op("matmul", "dot", np.dot, values)
    if name == "vdot" and plain and all(np.shape(a) == raw[0].shape and np.result_type(a).kind == "f" for a in raw):
        return Op("vdot", "vdot", np.vdot, values)
    if name in ("cast", "copy"):  # also to the same dtype: the copy may be written into, the argument may not
        return Op("cast", name, None, values, (out.dtype.str,))
    return view(name, x, raw[0], call_meta, out)


def power(values: list[Any], raw: list[Any], out: Array) -> Op | None:
    """Return x**y as square, sqrt, reciprocal or power, by the exponent; None if that does not give the same bits."""
    shortcuts: dict[Any, Any] = {2: np.square, 0.5: np.sqrt, -1: np.reciprocal}
    exponent = raw[1]
    if type(exponent) in (int, float) and not isinstance(values[1], Value) and exponent in shortcuts:
        ufunc, args = shortcuts[exponent], values[:1]
        with np.errstate(all="ignore"):
            result = ufunc(raw[0])
    else:
        ufunc, args = np.power, values
        with np.errstate(all="ignore"):
            result = ufunc(*raw)
    return Op("ufunc", ufunc.__name__, ufunc, args) if equal_bits(result, out) else None


def view(name: str, x: Any, raw: Array, call_meta: dict[str, Any], out: Array) -> Op | None:
    """Return the view operation (reshape, transpose, broadcast, slice) that a primitive is, or None."""
    if name == "reshape" and call_meta.get("order", "C") == "C":
        return Op("reshape", "reshape", None, [x], (out.shape,))
    if name == "transpose":
        axes = call_meta.get("axes")
        order = tuple(range(raw.ndim))[::-1] if axes is None else tuple(int(a) % raw.ndim for a in np.atleast_1d(axes))
        return Op("transpose", "transpose", None, [x], (order,))
    if name == "swapaxes":
        axes = list(range(raw.ndim))
        a, b = call_meta["axis1"], call_meta["axis2"]
        axes[a], axes[b] = axes[b], axes[a]
        return Op("transpose", "transpose", None, [x], (tuple(axes),))
    if name == "broadcast_to":
        return Op("broadcast", "broadcast", None, [x], (out.shape,))
    if name == "getitem":
        index = call_meta["index"]
        parts = index if isinstance(index, tuple) else (index,)
        if all(p is None or p is Ellipsis or type(p) in (int, slice) for p in parts):
            return Op("slice", "getitem", None, [x], (frozen(parts),)) if isinstance(raw, np.ndarray) else None
    return None


def frozen(index: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return an index with its slices as tuples, which are hashable."""
    return tuple(("slice", p.start, p.stop, p.step) if isinstance(p, slice) else p for p in index)


def thawed(index: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return an index with slices again: the inverse of `frozen`."""
    return tuple(slice(*p[1:]) if isinstance(p, tuple) else p for p in index)


def full_index(parts: Sequence[Any], ndim: int, default: Any = slice(None)) -> list[Any]:
    """Return an index with a part for each axis, and no Ellipsis; axes not mentioned have the part `default`."""
    count = sum(part is not None and part is not Ellipsis for part in parts)
    rest = [default] * (ndim - count)
    for k, part in enumerate(parts):
        if part is Ellipsis:
            return [*parts[:k], *rest, *parts[k + 1 :]]
    return [*parts, *rest]


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """Return the reduced axes as a sorted tuple of non-negative numbers."""
    if axis is None:
        return tuple(range(ndim))
    return tuple(sorted(int(a) % ndim for a in (axis if isinstance(axis, tuple) else (axis,)))) if ndim else ()


def equal_bits(a: Array, b: Array) -> bool:
    """Tell whether two arrays are the same to the last bit, NaN for NaN."""
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype != b.dtype:
        return False
    if a.dtype.kind == "c":
        return equal_bits(a.real, b.real) and equal_bits(a.imag, b.imag)
    if a.dtype.kind != "f":
        return np.array_equal(a, b)
    if a.dtype.itemsize <= 8 and a.shape == b.shape and a.flags.c_contiguous and b.flags.c_contiguous:
        bits = np.dtype(f"u{a.dtype.itemsize}")  # the usual case needs one pass only
        if np.array_equal(a.view(bits), b.view(bits)):
            return True
    return np.array_equal(a, b, equal_nan=True) and bool((np.isnan(a) | (np.signbit(a) == np.signbit(b))).all())


def trace_forward(
    record: Recorder, primitive: Primitive, values: list[Any], raw: list[Any], call_meta: dict[str, Any],
    meta: dict[str, Any], out: Array,
) -> Value | None:  # fmt: skip
    """Trace a primitive's forward and return the value of its result; None if that fails or gives other bits."""
    mark, count = len(record.ops), len(record.values)
    inputs = [record.still(v, a) if isinstance(v, Value) else v for v, a in zip(values, raw, strict=True)]
    try:
        with np.errstate(all="ignore"):
            result = primitive.forward(*inputs, **lifted(record, call_meta))
    except Exception:
        result = None
    saved: dict[str, Any] = {}
    if primitive.saves and isinstance(result, tuple):
        result, saved = result
    if isinstance(result, Tensor) and equal_bits(np.asarray(stored_array(result)), out):
        pairs = [(saved.get(key), meta[key]) for key in primitive.saves]
        if all(isinstance(x, Tensor) and equal_bits(stored_array(x), a) for x, a in pairs):
            for x, a in pairs:
                record.name(record.find(x), a)
            return record.find(result)  # type: ignore[no-any-return]
    del record.ops[mark:], record.values[count:]
    return None


def lifted(record: Recorder, call_meta: dict[str, Any]) -> dict[str, Any]:
    """Return metadata in which arrays that differ from call to call are replaced by traced Tensors."""
    leaves, rebuild = flatten(call_meta)
    known = [record.known_value(x) if isinstance(x, np.ndarray) else None for x in leaves]
    if all(v is None or v.kind == "constant" for v in known):
        return call_meta
    return rebuild([  # type: ignore[no-any-return]
        x if v is None or v.kind == "constant" else record.still(v, x) for x, v in zip(leaves, known, strict=True)
    ])  # fmt: skip


def record_whole(
    record: Recorder, primitive: Primitive, values: list[Any], call_meta: dict[str, Any], meta: dict[str, Any],
    out: Array,
) -> Value:  # fmt: skip
    """Record a primitive as one ``call`` operation, which runs its forward."""
    name, call = name_of(primitive), [list(values), call_meta]
    more = [meta[key] for key in primitive.saves]
    if not all(isinstance(x, np.ndarray) for x in more):
        first = lambda *a, **k: primitive.forward(*a, **k)[0]  # noqa: E731
        return record_call(record, name, first, call, out, primitive)
    if not more:
        return record_call(record, name, primitive.forward, call, out, primitive, call_meta=call_meta)

    def all_of_it(*args: Any, **metadata: Any) -> Any:
        result, saved = primitive.forward(*args, **metadata)
        return result, *[saved[key] for key in primitive.saves]

    return record_call(record, name, all_of_it, call, out, primitive, more, call_meta)


def with_joint_rule(primitive: Primitive) -> Primitive:
    """Return a copy of a primitive whose joint rule is recorded as one operation, which has no derivative itself."""
    made = object.__new__(Primitive)
    made.__dict__.update(primitive.__dict__, jointly=partial(_back, primitive))
    return made


def _back(primitive: Primitive, g: Any, out: Any, *args: Any, **meta: Any) -> list[Any]:
    """Run the joint rule of a primitive on arrays, and record it as one operation."""
    record: Recorder = recorder()
    given = primitive.call_meta(meta)
    call = [[g, out, *args], {key: meta[key] for key in primitive.saves}]
    raw = [stored_array(x) for x in flatten(call)[0]]
    results = primitive.jointly(  # type: ignore[misc]
        *map(stored_array, (g, out, *args)), **{key: stored_array(x) for key, x in meta.items()}
    )
    results = [r if r is None else np.asarray(r) for r in results]
    known = [next((x for x in raw if x is r), None) for r in results]
    places = [k for k, r in enumerate(results) if r is not None and known[k] is None]
    lent = {k for k in places if any(np.may_share_memory(results[k], x) for x in raw if isinstance(x, np.ndarray))}

    def run(*arrays: Any, **saved: Any) -> Any:
        found = primitive.jointly(*arrays, **given, **saved)  # type: ignore[misc]
        return tuple([np.array(found[k]) if k in lent else found[k] for k in places])

    made = [np.array(results[k]) if k in lent else results[k] for k in places]
    all_of_it = run if len(places) > 1 else lambda *arrays, **saved: run(*arrays, **saved)[0]
    record_call(record, f"{primitive.name}_back", all_of_it, call, made[0], None, made[1:], given)
    for k, r in zip(places, made, strict=True):
        results[k] = r
    return [r if r is None else record.tensor(record.find(r), r, SavedNode) for r in results]


def record_call(
    record: Recorder, name: str, function: Callable[..., Any], call: list[Any], out: Array, identity: Any = None,
    other_outs: Sequence[Array] = (), call_meta: dict[str, Any] | None = None,
) -> Value:  # fmt: skip
    """Record a call of any function as one operation, and return the value of its first result.

    Args:
        record: the recorder.
        name: shown in the plan.
        function: returns `out`, or a tuple of `out` and `other_outs`.
        call: ``[args, kwargs]``, a nest in which arrays and values may stand anywhere.
        out: its (first) result in this trace.
        identity: two calls with the same identity and the same arguments are computed once; None for never.
        other_outs: its further results.
        call_meta: metadata that a native function needs; ``numbers`` is added: by position, the arguments that are
            numbers.
    """
    leaves, rebuild = flatten(call)
    args: list[Any] = []
    holes: list[int] = []
    for place, x in enumerate(leaves):
        known = x if isinstance(x, Value) else None
        if isinstance(x, (np.ndarray, Tensor)):
            known = record.find(x)
        if isinstance(known, Value):
            if name == "getitem" and place and known.kind != "constant" and known.dtype == bool:
                raise Untraceable("a boolean index selects a different number of entries in every call.")
            holes.append(place)
            args.append(known)
            leaves[place] = None  # so that the recorded function keeps no array of the trace alive
    plain = all(isinstance(x, (int, float, str, bool, type(None), slice, type(Ellipsis))) for x in leaves)

    filled = list(leaves)
    for place, value in zip(holes, args, strict=True):
        filled[place] = value
    nest = rebuild(filled)

    run = on_arrays(function, call, rebuild, leaves, holes)

    def copied(*arrays: Any) -> Any:
        made = run(*arrays)
        return tuple([np.array(x) for x in made]) if other_outs else np.array(made)

    lent = any(id(x) in record.by_array or id(x) in record.owners for y in (out, *other_outs) for x in (y, *bases(y)))
    if call_meta is not None:
        arrays = any(isinstance(x, (np.ndarray, Tensor)) for x in flatten(call_meta)[0])
        numbers = {place: x for place, x in enumerate(call[0]) if type(x) in (int, float)}
        call_meta = None if arrays else {**call_meta, "numbers": numbers}
    rest = tuple(repr(x) if place not in holes else place for place, x in enumerate(leaves))
    unique: Any = (id(identity), repr(_skeleton(call)), rest) if identity is not None and plain else len(record.values)
    runs = copied if lent else run
    return record.emit(Op("call", name, runs, args, ("call", unique), call_meta=call_meta, nest=nest), out, *other_outs)


def on_arrays(
    function: Callable[..., Any], call: list[Any], rebuild: Callable[[Sequence[Any]], Any], leaves: Sequence[Any],
    holes: Sequence[int],
) -> Callable[..., Any]:  # fmt: skip
    """Return a function of arrays that calls `function` with them in the places `holes` of its nested arguments.

    If the nest consists of lists, tuples and dicts, the returned function is generated code, which is faster.
    """
    arrays = {place: f"a{k}" for k, place in enumerate(holes)}
    names = [arrays.get(place, f"k{place}") for place in range(len(leaves))]
    fixed = [place for place in range(len(leaves)) if place not in arrays]
    if _is_plain_nest(call):
        parts = iter(names)
        given = [_nest_code(x, parts) for x in call[0]] + [
            f"{key}={_nest_code(x, parts)}" for key, x in call[1].items()
        ]
        outer, inner = ", ".join(["f", *(names[p] for p in fixed)]), ", ".join(arrays.values())
        made = _code(f"lambda {outer}: lambda {inner}: f({', '.join(given)})")
        return made(function, *(leaves[p] for p in fixed))  # type: ignore[no-any-return]

    def run(*given: Any) -> Any:
        filled = list(leaves)
        for place, array in zip(holes, given, strict=True):
            filled[place] = array
        plain, named = rebuild(filled)
        return function(*plain, **named)

    return run


def _is_plain_nest(tree: Any) -> bool:
    """Tell whether a nest consists of lists, tuples and dicts with string keys."""
    parts = children(tree)
    if parts is None:
        return True
    plain = type(tree) in (list, tuple) or (type(tree) is dict and all(type(key) is str for key in tree))
    return plain and all(part is None or _is_plain_nest(part) for part in parts.values())


def _nest_code(tree: Any, leaves: Iterator[str]) -> str:
    """Return the source of an expression for a nest that `_is_plain_nest` accepts."""
    if tree is None:
        return "None"
    if type(tree) is dict:
        return "{" + ", ".join(f"{key!r}: {_nest_code(x, leaves)}" for key, x in tree.items()) + "}"
    if type(tree) is tuple:
        return "(" + "".join(f"{_nest_code(x, leaves)}, " for x in tree) + ")"
    if type(tree) is list:
        return "[" + ", ".join(_nest_code(x, leaves) for x in tree) + "]"
    return next(leaves)


@cache
def _code(text: str) -> Callable[..., Any]:
    return eval(text)  # type: ignore[no-any-return]


def _skeleton(call: Any) -> Any:
    """Return the nested containers of a call with its leaves left out, to compare calls."""
    if isinstance(call, dict):
        return {key: _skeleton(x) for key, x in call.items()}
    return [_skeleton(x) for x in call] if isinstance(call, (list, tuple)) else call is None
