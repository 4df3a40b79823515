"""Translate each operation of a trace to ONNX operators.

Each rule takes the writer and the same operation from all traces (see `rows`), and returns the name of its result.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..compiled.program.values import Op, Value
from .calls import CALLS
from .composed import COMPOSED
from .indices import sliced
from .writer import Writer, arguments, call_arguments, common_dtype, reshape, result_shape

Ops = tuple[Op, ...]

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
ENTRYWISE = {*SAME, *COMPOSED}
REDUCED = {"sum": "ReduceSum", "max": "ReduceMax", "min": "ReduceMin", "prod": "ReduceProd"}


def _ufunc(w: Writer, ops: Ops) -> str:
    name, args = ops[0].name, call_arguments(ops)[0] if ops[0].kind == "call" else arguments(ops)
    out = ops[0].out.dtype
    if name == "maximum" and out.kind == "f" and any(type(x) in (int, float) and x == 0 for x in ops[0].args):
        return str(w.op("Relu", *[w.arg(a, out) for a in args if isinstance(a[0], Value)]))
    if name in SAME:
        return str(w.op(SAME[name], *[w.arg(a, out) for a in args]))
    inside = common_dtype(*(a[0] for a in args))
    if name in COMPARED or name == "not_equal":
        found = w.op(COMPARED.get(name, "Equal"), *[w.arg(a, inside) for a in args])
        return str(w.op("Not", found) if name == "not_equal" else found)
    if name in LOGICAL and (name.startswith("logical") or out == np.bool_):
        return str(w.op(LOGICAL[name], *[w.arg(a, np.bool_) for a in args]))
    if name in COMPOSED:
        dtype = out if out != np.bool_ else inside
        return COMPOSED[name](w, [w.arg(a, dtype) for a in args], dtype)
    raise KeyError(name)


def _where(w: Writer, ops: Ops) -> str:
    condition, *choices = arguments(ops)
    return str(w.op("Where", w.arg(condition, np.bool_), *[w.arg(c, ops[0].out.dtype) for c in choices]))


def _cast(w: Writer, ops: Ops) -> str:
    return w.cast(w.arg(arguments(ops)[0]), ops[0].out.dtype)


def _reduce(w: Writer, ops: Ops) -> str:
    axes, keepdims, _ = ops[0].attrs
    x = w.arg(arguments(ops)[0], ops[0].out.dtype)
    if not axes:
        return str(w.op("Identity", x))
    return str(w.op(REDUCED[ops[0].name], x, w.ints(axes), keepdims=int(keepdims)))


def _matmul(w: Writer, ops: Ops) -> str:
    return str(w.op("MatMul", *[w.arg(a, ops[0].out.dtype) for a in arguments(ops)]))


def _vdot(w: Writer, ops: Ops) -> str:
    product = w.op("Mul", *[w.arg(a, ops[0].out.dtype) for a in arguments(ops)])
    return str(w.op("ReduceSum", product, keepdims=0))


def _reshape(w: Writer, ops: Ops) -> str:
    return reshape(w, w.arg(arguments(ops)[0]), result_shape(ops))


def _transpose(w: Writer, ops: Ops) -> str:
    return str(w.op("Transpose", w.arg(arguments(ops)[0]), perm=list(ops[0].attrs[0])))


def _broadcast(w: Writer, ops: Ops) -> str:
    return str(w.op("Expand", w.arg(arguments(ops)[0]), w.ints(result_shape(ops))))


KINDS: dict[str, Callable[[Writer, Ops], str]] = {
    "ufunc": _ufunc, "where": _where, "cast": _cast, "reduce": _reduce, "matmul": _matmul, "vdot": _vdot,
    "reshape": _reshape, "transpose": _transpose, "broadcast": _broadcast, "slice": sliced,
}  # fmt: skip


def write_operation(w: Writer, ops: Ops) -> str:
    """Write an operation as ONNX nodes, and return the name of its result.

    Raises:
        KeyError: ONNX has no operator for it; Depends: ONNX has none for these arguments or options.
    """
    op = ops[0]
    if op.kind != "call":
        return KINDS[op.kind](w, ops)
    if op.name in CALLS:
        return CALLS[op.name](w, ops)
    if op.name in ENTRYWISE and not any(given[0] is not None for given in call_arguments(ops)[1].values()):
        return _ufunc(w, ops)
    raise KeyError(op.name)
