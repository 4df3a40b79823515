"""The Python expression of each elementwise operation for single numbers, which a kernel's loops contain."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from ..program.values import Op, Value

NAMES = ("f4", "f8", "i4", "i8", "b1", "u1")
NARROW = ("i4", "u1")  # numba computes with these in 64 bits, so results must be cast back to overflow as in NumPy

# Expressions that propagate NaN as NumPy does. {0} and {1} are names or numbers, so that they may be repeated.
SCALAR: dict[Any, str] = {
    np.add: "{0} + {1}", np.subtract: "{0} - {1}", np.multiply: "{0} * {1}", np.divide: "{0} / {1}",
    np.negative: "-{0}", np.positive: "{0}", np.square: "{0} * {0}", np.reciprocal: "{one} / {0}",
    np.absolute: "abs({0})", np.fabs: "abs({0})", np.sqrt: "np.sqrt({0})", np.conjugate: "{0}",
    np.sign: "({one} if {0} > 0 else (-{one} if {0} < 0 else abs({0})))",
    np.maximum: "({0} if {0} > {1} or {0} != {0} else {1})",
    np.minimum: "({0} if {0} < {1} or {0} != {0} else {1})",
    np.less: "{0} < {1}", np.less_equal: "{0} <= {1}", np.greater: "{0} > {1}", np.greater_equal: "{0} >= {1}",
    np.equal: "{0} == {1}", np.not_equal: "{0} != {1}",
    np.logical_and: "({0} != 0) & ({1} != 0)", np.logical_or: "({0} != 0) | ({1} != 0)", np.logical_not: "{0} == 0",
    np.logical_xor: "({0} != 0) ^ ({1} != 0)",
    np.isnan: "{0} != {0}", np.isfinite: "np.isfinite({0})", np.isinf: "np.isinf({0})",
    np.floor: "np.floor({0})", np.ceil: "np.ceil({0})", np.trunc: "np.trunc({0})", np.rint: "np.rint({0})",
    np.copysign: "np.copysign({0}, {1})",
    np.exp: "exp8({0})", np.log: "np.log({0})", np.log1p: "np.log1p({0})", np.expm1: "np.expm1({0})",
    np.tanh: "tanh8({0})", np.sin: "np.sin({0})", np.cos: "np.cos({0})", np.exp2: "np.exp2({0})",
    np.log2: "np.log2({0})", np.log10: "np.log10({0})", np.power: "{0} ** {1}", np.arctan: "np.arctan({0})",
    np.sinh: "np.sinh({0})", np.cosh: "np.cosh({0})",
}  # fmt: skip
WIDENED = (np.exp, np.tanh)  # computed in float64 for float32 too, so results must be cast back to round as in NumPy
BITS = {np.bitwise_and: "{0} & {1}", np.bitwise_or: "{0} | {1}", np.bitwise_xor: "{0} ^ {1}", np.invert: "not {0}"}
COSTLY = frozenset({
    np.exp, np.log, np.log1p, np.expm1, np.tanh, np.sin, np.cos, np.exp2, np.log2, np.log10, np.power, np.arctan,
    np.sinh, np.cosh,
})  # fmt: skip
NUMERIC = frozenset({np.multiply, np.add, np.subtract, np.negative, np.absolute})  # differ from SCALAR for booleans
ELEMENTWISE = ("ufunc", "where", "cast")
ENTRYWISE = (*ELEMENTWISE, "gather")  # computed entry by entry; a gather reads at other indices


@cache
def code_of(dtype: Any) -> str:
    """Return the short name of a dtype: f4, i8, b1."""
    return str(np.dtype(dtype).str[1:])


def ufunc_dtypes(ufunc: Any, args: list[Any]) -> tuple[np.dtype[Any], ...]:
    """Return the dtypes to which a ufunc converts its arguments, and the dtype of its result last."""
    weak = (int, float, complex)
    given = [a.dtype if isinstance(a, Value) else type(a) if type(a) in weak else np.asarray(a).dtype for a in args]
    return tuple(ufunc.resolve_dtypes((*given, None)))


def kernel_can_do(op: Op) -> bool:
    """Tell whether a kernel can do this operation."""
    dtypes = [x.dtype for x in [*op.values, *op.outs]]
    if any(d in (complex, bool) if isinstance(d, type) else code_of(d) not in NAMES for d in dtypes):
        return False
    if op.kind in ELEMENTWISE:
        kinds = ufunc_dtypes(op.function, op.args) if op.kind == "ufunc" else (op.out.dtype,) * len(op.args)
        if any(_narrow(kind) and _may_not_fit(x, kind) for x, kind in zip(op.args, kinds, strict=False)):
            return False
    if op.kind == "ufunc":
        if op.function in BITS:
            return all(k.kind == "b" for k in kinds)
        if op.function in COSTLY or op.function is np.reciprocal:
            return all(k.kind == "f" for k in kinds)
        return op.function in SCALAR and (op.function not in NUMERIC or kinds[-1].kind != "b")
    if op.kind in ("matmul", "vdot"):
        return op.out.dtype.kind == "f" and all(x.dtype == op.out.dtype for x in op.values)
    if op.kind == "reduce":
        return op.function in (np.add, np.maximum, np.minimum) and (op.out.dtype.kind == "f" or op.function is np.add)
    return True


def _narrow(dtype: np.dtype[Any]) -> bool:
    """Tell whether a dtype is an integer dtype that cannot hold all int64 numbers."""
    return dtype.kind == "u" or (dtype.kind == "i" and dtype.itemsize < 8)


def _may_not_fit(x: Any, dtype: np.dtype[Any]) -> bool:
    """Tell whether an argument is a Python int that may not fit a dtype: NumPy would raise, machine code would not."""
    if isinstance(x, Value):
        return x.dtype is int
    return type(x) is int and not np.iinfo(dtype).min <= x <= np.iinfo(dtype).max


def cast(text: str, have: str | None, want: str) -> str:
    """Return an expression of dtype `have` cast to dtype `want`."""
    return text if have == want else f"({text} != 0)" if want == "b1" else f"{want}({text})"


def added(total: str, x: str, kind: str) -> str:
    """Return the line that adds x to a sum of many numbers; LLVM may add floating-point numbers in another order."""
    return f"{total} = plus({total}, {x})" if kind[0] == "f" else f"{total} += {x}"


def literal(x: Any, want: str) -> str:
    """Return the expression of a plain number in a dtype."""
    text = "np.nan" if x != x else "np.inf" if x == float("inf") else "-np.inf" if x == -float("inf") else repr(x)
    if want == "b1":
        return repr(bool(x))
    if want != "f8" or not isinstance(x, float):
        return f"{want}({text})"
    return f"({text})" if text[0] == "-" else text  # parentheses, since ** binds more tightly than a minus sign
