"""Translates straight-line code (lines of arithmetic on single numbers) directly to LLVM, without numba's analysis.

numba needs ten milliseconds for each line to infer types and control flow. Straight-line code needs neither: a line
such as ``x3 = x1 * a0[2]`` is parsed by Python and becomes one or two LLVM instructions. Each piece of the code becomes
a function, so that LLVM's time grows only in proportion to the number of pieces. Every operation is rounded as NumPy
rounds it; nothing is reordered.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.typing import signature
from numba.np import ufunc_db

KINDS = {
    "f4": types.float32, "f8": types.float64, "i4": types.int32, "i8": types.int64, "u1": types.uint8,
    "b1": types.boolean,
}  # fmt: skip
CODES = {kind: code for code, kind in KINDS.items()}
LLVM = {
    "f4": ir.FloatType(), "f8": ir.DoubleType(), "i4": ir.IntType(32), "i8": ir.IntType(64), "u1": ir.IntType(8),
    "b1": ir.IntType(1),
}  # fmt: skip
OF_FLOATS = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
OF_WHOLES = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.BitAnd: "and_", ast.BitOr: "or_", ast.BitXor: "xor"
}  # fmt: skip
SIGNS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
ROUNDED = {name: f"llvm.{name}" for name in ("sqrt", "floor", "ceil", "trunc", "rint", "copysign")}
NAME = re.compile(r"\ba\d+\b")  # the name of an argument
Typed = tuple[Any, str]  # an LLVM value, and the code of its dtype


def emit(context: Any, builder: Any, code: str, kinds: Sequence[Any], operands: Sequence[Any]) -> None:
    """Append the code to a function that numba is generating.

    Args:
        context: numba's target context.
        builder: the LLVM builder, positioned in that function.
        code: the lines, with an empty line between pieces.
        kinds: numba's types of a0, a1, ...: contiguous arrays, and numbers.
        operands: the LLVM values of a0, a1, ...
    """
    values: dict[str, Typed] = {}
    for place, (kind, x) in enumerate(zip(kinds, operands, strict=True)):
        array = isinstance(kind, types.Array)
        data = context.make_array(kind)(context, builder, x).data if array else x
        values[f"a{place}"] = data, CODES[kind.dtype if array else kind]
    for number, piece in enumerate(code.split("\n\n")):
        names = sorted(values.keys() & set(NAME.findall(piece)))
        kind = ir.FunctionType(ir.VoidType(), [values[name][0].type for name in names])
        function = ir.Function(builder.module, kind, f"{builder.function.name}.{number}")
        function.linkage = "internal"
        function.attributes.add("noinline")
        inner = ir.IRBuilder(function.append_basic_block())
        known = {name: (x, values[name][1]) for name, x in zip(names, function.args, strict=True)}
        Piece(context, inner, known).lines(ast.parse(piece).body)
        inner.ret_void()
        builder.call(function, [values[name][0] for name in names])


class Piece:
    """Translates the lines of one piece, which become one LLVM function."""

    def __init__(self, context: Any, builder: Any, names: dict[str, Typed]) -> None:
        self.context, self.builder, self.names = context, builder, names

    def lines(self, lines: Sequence[Any]) -> None:
        """Translate assignments to names and to entries of arrays."""
        for line in lines:
            x, code = self.of(line.value)
            target = line.targets[0]
            if isinstance(target, ast.Name):
                self.names[target.id] = x, code
                continue
            place, want = self._entry(target)
            x = self._as((x, code), want)
            self.builder.store(self.builder.zext(x, LLVM["u1"]) if want == "b1" else x, place)

    def of(self, node: Any, want: str = "f8") -> Typed:
        """Translate an expression; literals in it get the dtype `want`."""
        found: Typed = getattr(self, f"_{type(node).__name__}")(node, want)
        return found

    def _entry(self, node: Any) -> tuple[Any, str]:
        """Return the address of an array's entry, and the code of its dtype."""
        data, code = self.names[node.value.id]
        return self.builder.gep(data, [ir.Constant(LLVM["i8"], int(eval(ast.unparse(node.slice), {})))]), code

    def _pair(self, left: Any, right: Any, want: str) -> tuple[Any, Any, str]:
        """Translate two operands of one dtype; a literal takes the dtype of the other operand."""
        if isinstance(left, ast.Constant):
            b, code = self.of(right, want)
            return self.of(left, code)[0], b, code
        a, code = self.of(left, want)
        b, other = self.of(right, code)
        if code != other:
            raise TypeError(f"{code} and {other} in one operation")
        return a, b, code

    def _as(self, value: Typed, want: str) -> Any:
        """Return a value converted to dtype `want`."""
        x, have = value
        build, to = self.builder, LLVM[want]
        if have == want:
            return x
        if want == "b1":
            zero = ir.Constant(x.type, 0)
            return build.fcmp_unordered("!=", x, zero) if have[0] == "f" else build.icmp_signed("!=", x, zero)
        if have[0] == "f":
            if want[0] == "f":
                return build.fpext(x, to) if want == "f8" else build.fptrunc(x, to)
            return build.trunc(build.fptosi(x, LLVM["i8"]), to) if want == "u1" else build.fptosi(x, to)
        signed = have[0] == "i"
        if want[0] == "f":
            return build.sitofp(x, to) if signed else build.uitofp(x, to)
        wider = LLVM[have].width < LLVM[want].width
        return build.trunc(x, to) if not wider else build.sext(x, to) if signed else build.zext(x, to)

    def _Name(self, node: Any, want: str) -> Typed:
        return self.names[node.id]

    def _Constant(self, node: Any, want: str) -> Typed:
        want = "b1" if isinstance(node.value, bool) else want
        return ir.Constant(LLVM[want], node.value if want[0] != "f" else float(node.value)), want

    def _Attribute(self, node: Any, want: str) -> Typed:
        return ir.Constant(LLVM[want], getattr(np, node.attr)), want

    def _Subscript(self, node: Any, want: str) -> Typed:
        place, code = self._entry(node)
        x = self.builder.load(place)
        return (self._as((x, "u1"), "b1") if code == "b1" else x), code

    def _UnaryOp(self, node: Any, want: str) -> Typed:
        x, code = self.of(node.operand, want)
        if isinstance(node.op, ast.Not):
            return self.builder.not_(self._as((x, code), "b1")), "b1"
        return (self.builder.fneg(x) if code[0] == "f" else self.builder.neg(x)), code

    def _BinOp(self, node: Any, want: str) -> Typed:
        a, b, code = self._pair(node.left, node.right, want)
        if isinstance(node.op, ast.Pow):
            return self._ufunc(np.power, [a, b], code)
        table = OF_FLOATS if code[0] == "f" else OF_WHOLES
        return getattr(self.builder, table[type(node.op)])(a, b), code

    def _BoolOp(self, node: Any, want: str) -> Typed:
        a, b = (self._as(self.of(value, want), "b1") for value in node.values)
        return (self.builder.or_ if isinstance(node.op, ast.Or) else self.builder.and_)(a, b), "b1"

    def _Compare(self, node: Any, want: str) -> Typed:
        a, b, code = self._pair(node.left, node.comparators[0], want)
        sign, build = SIGNS[type(node.ops[0])], self.builder
        if code[0] == "f":
            return (build.fcmp_unordered if sign == "!=" else build.fcmp_ordered)(sign, a, b), "b1"
        return (build.icmp_signed if code[0] == "i" else build.icmp_unsigned)(sign, a, b), "b1"

    def _IfExp(self, node: Any, want: str) -> Typed:
        test = self._as(self.of(node.test), "b1")
        a, b, code = self._pair(node.body, node.orelse, want)
        return self.builder.select(test, a, b), code

    def _Call(self, node: Any, want: str) -> Typed:
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        if name in KINDS:
            return self._as(self.of(node.args[0], name), name), name
        if len(node.args) == 2:
            a, b, code = self._pair(node.args[0], node.args[1], want)
            args = [a, b]
        else:
            a, code = self.of(node.args[0], want)
            args = [a]
        if name == "abs":
            return self._absolute(args[0], code), code
        if name in ("isfinite", "isinf"):
            if code[0] != "f":
                return ir.Constant(LLVM["b1"], name == "isfinite"), "b1"
            sign, infinity = ("<" if name == "isfinite" else "=="), ir.Constant(LLVM[code], np.inf)
            return self.builder.fcmp_ordered(sign, self._absolute(args[0], code), infinity), "b1"
        if name in ROUNDED and code[0] != "f":
            return args[0], code  # rounding does not change an integer
        if name in ROUNDED:
            return self.builder.call(self._intrinsic(ROUNDED[name], code), args), code
        return self._ufunc(getattr(np, name.removesuffix("8")), args, code)

    def _absolute(self, x: Any, code: str) -> Any:
        if code[0] == "f":
            return self.builder.call(self._intrinsic("llvm.fabs", code), [x])
        if code[0] != "i":
            return x
        return self.builder.select(self.builder.icmp_signed("<", x, ir.Constant(x.type, 0)), self.builder.neg(x), x)

    def _intrinsic(self, name: str, code: str) -> Any:
        kind = ir.FunctionType(LLVM[code], [LLVM[code]] * (1 + (name == "llvm.copysign")))
        return self.builder.module.declare_intrinsic(name, [LLVM[code]], kind)

    def _ufunc(self, ufunc: Any, args: Sequence[Any], code: str) -> Typed:
        """Append numba's own implementation of a ufunc for single numbers."""
        letter = np.dtype(code).char
        of: Callable[..., Any] = ufunc_db.get_ufunc_info(ufunc)[f"{letter * len(args)}->{letter}"]
        kind = KINDS[code]
        return of(self.context, self.builder, signature(kind, *[kind] * len(args)), args), code
