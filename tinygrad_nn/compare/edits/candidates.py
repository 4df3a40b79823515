"""Generate the small edits of the expressions in a statement: another operator, call, axis, index, number or name.

Those that add something to an expression are in `additions`. Each edit has a cost near 1. Cheap edits mend frequent
mistakes and are tried first.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import permutations
from types import FunctionType
from typing import Any

import numpy as np

from ...tensor import raw
from . import trees
from .additions import Additions
from .scope import MISSING, Scope, can_broadcast, is_array, is_integer
from .trees import Change, Spot, attribute, binary, call, constant, minus, name, number, over, plus, power, times

REDUCTIONS = ("sum", "mean", "max", "min", "prod")
FAMILIES = (
    ("sum", "mean"), ("sin", "cos"), ("maximum", "minimum"), ("argmax", "argmin"), ("zeros_like", "ones_like"),
    ("zeros", "ones"), ("abs", "sign"), ("exp", "log"), ("tanh", "cosh"), ("sqrt", "square"),
    ("max", "sum"), ("max", "mean"), ("hstack", "vstack"), ("dot", "outer"), ("floor", "ceil"),
)  # fmt: skip
MOVES = ("T", "transpose", "swapaxes", "copy", "reshape", "ravel", "flatten", "squeeze")
DROPPABLE = ("sqrt", "exp", "log", "tanh", "abs", "square", "sign", "flip", "rot90", "transpose", "swapaxes",
             "tril", "triu", "diag", "reciprocal", "negative", "cos", "sin", "array", "maximum", "minimum", "where",
             "clip")  # fmt: skip
OTHER_OPS: dict[type, tuple[type, ...]] = {
    ast.Add: (ast.Sub, ast.Mult), ast.Sub: (ast.Add, ast.Mult), ast.Mult: (ast.Div, ast.MatMult, ast.Add),
    ast.Div: (ast.Mult,), ast.MatMult: (ast.Mult,), ast.FloorDiv: (ast.Div, ast.Mod), ast.Mod: (ast.FloorDiv,),
}  # fmt: skip
OTHER_COMPARES: dict[type, tuple[type, ...]] = {
    ast.Gt: (ast.GtE, ast.Lt, ast.LtE), ast.GtE: (ast.Gt, ast.LtE, ast.Lt), ast.Lt: (ast.LtE, ast.Gt, ast.GtE),
    ast.LtE: (ast.Lt, ast.GtE, ast.Gt), ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,),
}  # fmt: skip


class CandidateWriter(Additions):
    """Generates the edits of one statement as syntax trees."""

    def __init__(self, place: ast.stmt, scope: Scope, numpy: str | None, slices: list[ast.expr]) -> None:
        """`place` is the statement, `numpy` the user's name for NumPy, `slices` the slices in the function."""
        super().__init__(scope, numpy)
        self.place, self.slices = place, slices

    def changes(self) -> Iterator[Change]:
        """Yield all edits of the expressions in the statement."""
        for spot in trees.expressions_read(self.place):
            if isinstance(spot.node, ast.Starred) or spot.field in ("annotation", "returns"):
                continue
            for cost, new in self.of(spot):
                is_bare = isinstance(spot.parent, ast.Expr) and not isinstance(new, ast.Call)  # does nothing
                is_bare |= isinstance(spot.parent, ast.Assign) and isinstance(new, ast.Name) and (
                    [ast.unparse(target) for target in spot.parent.targets] == [new.id])  # db = db
                if new is not None and not is_bare:
                    yield Change(cost, spot.parent, spot.field, spot.position, new, self.place)

    def of(self, spot: Spot) -> Iterator[tuple[float, ast.AST | None]]:
        """Yield the expressions that may replace an expression, each with its cost."""
        node = spot.node
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is not None:
            yield from method(node, spot)
        value = constant(node)
        if value is not None:
            if not (isinstance(spot.parent, ast.UnaryOp) and isinstance(spot.parent.op, ast.USub)):
                same = 0 if isinstance(getattr(spot.parent, "op", None), (ast.Add, ast.Sub)) else None
                yield from ((cost, new) for cost, new in self._number(value) if constant(new) != same)
                if spot.field in ("left", "right", "value"):
                    yield from ((1.3, size) for size in self.sizes())
                if isinstance(spot.parent, (ast.Assign, ast.AugAssign)):
                    yield from ((1.2, over(node, size)) for size in self.sizes())
                    yield from self._in_place_of_number(spot)
            if not isinstance(value, float) and spot.field in ("slice", "lower", "upper", "elts", "args", "value"):
                yield from self._in_place_of(node, spot)
            return
        if isinstance(node, ast.Slice):
            return
        found = self.scope.value(node)
        if found is MISSING:
            return
        if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)):
            yield from self._in_place_of(node, spot)
        if is_integer(found):  # in k + 1, the number is changed, and in -k the whole
            if not any(constant(getattr(n, "right", None)) for n in (node, spot.parent)) and spot.field != "operand":
                cost = 1.12 if spot.field == "slice" else 1.2  # rather the next index than another number
                yield cost, plus(node, number(1))
                yield cost, minus(node, number(1))
        elif isinstance(found, range):
            yield 1.2, call(name("reversed"), node)
        elif (is_array(found) or isinstance(found, float)) and not _dtype(node):
            yield from self.added(node, np.asarray(found), spot)

    def _binop(self, node: ast.BinOp, spot: Spot) -> Iterator[tuple[float, ast.AST]]:
        yield 1.0, node.left
        if not isinstance(node.op, ast.Pow):
            yield 1.0, node.right
        for op in OTHER_OPS.get(type(node.op), ()):
            if op is ast.Mult and constant(node.right) == 1:  # it is left out instead
                continue
            cost = 0.98 if {type(node.op), op} == {ast.Add, ast.Sub} else 1.1 if op is not ast.Add else 1.4
            yield cost, binary(node.left, op(), node.right)
        if isinstance(node.op, (ast.Sub, ast.Div, ast.MatMult)):
            yield 0.99 if isinstance(node.op, ast.Sub) else 1.05, binary(node.right, node.op, node.left)
        if isinstance(node.op, ast.Div):
            yield 1.2, over(node.left, power(node.right, 2))
            yield 1.3, over(node.left, power(node.right, 3))
            root = self.np("sqrt", node.right)
            if root is not None:
                yield 1.2, over(node.left, root)
        if isinstance(node.op, ast.Mult) and isinstance(node.left, ast.List) and len(node.left.elts) == 1:
            rounds = ast.comprehension(ast.Name("_", ast.Store()), call(name("range"), node.right), [], 0)
            yield 0.9, ast.ListComp(node.left.elts[0], [rounds])  # [np.zeros(3)] * 2 holds one array twice
        yield from self._regrouped(node)
        if isinstance(node.op, ast.Mult) and not self.is_cheap:
            yield from self._with_other_slope(node)
        sides = node.left, node.right
        if isinstance(node.op, ast.MatMult) and len({*map(trees.is_transposed, sides)}) == 2:  # x @ g.T for x.T @ g
            yield 1.2, binary(trees.transposed(node.left), node.op, trees.transposed(node.right))
        if isinstance(node.op, ast.MatMult):
            yield from self._other_operands(node)
        if isinstance(node.op, ast.Mult) and isinstance(node.left, ast.BinOp) and isinstance(node.left.op, ast.Mult):
            yield 1.1, node.left.left  # without p * (1 - p)
            yield 1.1, node.left.right
            for g, p in ((node.left.left, node.left.right), (node.left.right, node.left.left)):
                if ast.unparse(node.right) == ast.unparse(minus(number(1), p)):  # the diagonal of softmax's Jacobian
                    yield 1.5, times(p, minus(g, self.sum(times(g, p), axis=-1, keepdims=True)))

    def _other_operands(self, node: ast.BinOp) -> Iterator[tuple[float, ast.AST]]:
        """Yield a matrix product with a matrix of another shape in place of one operand: h.T @ g for x.T @ g."""
        left, right = (np.shape(self.scope.value(side)) for side in (node.left, node.right))
        if len(left) != 2 or len(right) != 2:
            return
        for atom in self.scope.atoms:
            for matrix, shape in ((atom.node, atom.shape), (trees.transposed(atom.node), atom.shape[::-1])):
                if len(shape) == 2 and is_array(atom.value):
                    if shape[1] == left[1] and shape[0] != left[0]:
                        yield 1.4, binary(matrix, node.op, node.right)
                    if shape[0] == right[0] and shape[1] != right[1]:
                        yield 1.4, binary(node.left, node.op, matrix)

    def _regrouped(self, node: ast.BinOp) -> Iterator[tuple[float, ast.AST]]:
        """Yield the same operands with the parentheses in another place."""
        left, right = node.left, node.right
        undone = isinstance(node.op, (ast.Sub, ast.Div))
        if isinstance(left, ast.BinOp) and (undone or type(left.op) is not type(node.op)):
            yield 1.2, binary(left.left, left.op, binary(left.right, node.op, right))
        if isinstance(right, ast.BinOp) and (undone or type(right.op) is not type(node.op)):
            yield 1.2, binary(binary(left, node.op, right.left), right.op, right.right)
        for call_, other, first in ((left, right, True), (right, left, False)):
            if isinstance(call_, ast.Call) and trees.called_name(call_) in (*REDUCTIONS, "sqrt"):
                inner = self._argument(call_)
                joined = binary(inner, node.op, other) if first else binary(other, node.op, inner)
                yield 1.3, self._with_argument(call_, joined)

    def _unaryop(self, node: ast.UnaryOp, spot: Spot) -> Iterator[tuple[float, ast.AST]]:
        if constant(node) is None:
            yield 1.0, node.operand

    def _is_method(self, node: ast.Call) -> bool:
        return isinstance(node.func, ast.Attribute) and not (
            isinstance(node.func.value, ast.Name) and node.func.value.id == self.numpy) and is_array(
                raw(self.scope.value(node.func.value)))  # fmt: skip

    def _argument(self, node: ast.Call) -> ast.expr:
        """Return the array that a call works on: the object of a method, else the first argument."""
        if self._is_method(node):
            return node.func.value  # type: ignore[attr-defined, no-any-return]
        return node.args[0] if node.args else node

    def _with_argument(self, node: ast.Call, new: ast.expr) -> ast.Call:
        if self._is_method(node):
            return ast.Call(attribute(new, node.func.attr), node.args, node.keywords)  # type: ignore[attr-defined]
        return ast.Call(node.func, [new, *node.args[1:]], node.keywords)

    def _call(self, node: ast.Call, spot: Spot) -> Iterator[tuple[float, ast.AST]]:
        text, about = trees.called_name(node), self._argument(node)
        function: Any = node.func
        for a, b in FAMILIES:
            other = b if text == a else a if text == b else None
            if other and isinstance(function, ast.Attribute) and (about is not function.value or other in REDUCTIONS):
                yield 1.1, ast.Call(attribute(function.value, other), node.args, node.keywords)
        if _dtype(node):  # integers, where a gradient is cut off to a whole number
            yield 0.9, ast.Call(node.func, node.args, [k for k in node.keywords if k not in _dtype(node)])
        if text in REDUCTIONS and about is not node:
            yield 1.0, about
            yield from self._axes(node, about)
            if isinstance(about, ast.BinOp) and isinstance(about.op, (ast.Mult, ast.Div, ast.Add, ast.Sub)):
                yield 1.3, binary(self._with_argument(node, about.left), about.op, about.right)
                yield 1.3, binary(about.left, about.op, self._with_argument(node, about.right))
        elif text in (*DROPPABLE, *MOVES) and about is not node:
            yield 1.1, about
        if text == "sqrt" and isinstance(about, ast.BinOp) and isinstance(about.op, ast.Add):
            yield 1.2, plus(self._with_argument(node, about.left), about.right)
        if text in ("exp", "tanh", "abs") and about is not node:
            yield 1.4, minus(number(1), power(node, 2))
        yield from self._other_arguments(node, text)
        for other in self._like(function):
            yield 1.2, ast.Call(name(other), node.args, node.keywords)

    def _like(self, function: ast.expr) -> list[str]:
        """Return the names of the user's functions that may be called in place of one: ``dsigmoid`` for ``dtanh``."""
        functions = {n: f.__code__.co_argcount for n, f in self.scope.env.items() if isinstance(f, FunctionType)}
        if not isinstance(function, ast.Name) or function.id not in functions:
            return []
        return [n for n, count in functions.items() if count == functions[function.id] and n != function.id]

    def _other_arguments(self, node: ast.Call, text: str) -> Iterator[tuple[float, ast.AST]]:
        """Yield a call with its arguments in another order, as a product, or over another range."""
        axes = [constant(arg) for arg in node.args]
        if text == "transpose" and 2 < len(axes) < 5 and None not in axes:
            for order in permutations(range(len(axes))):
                yield 1.15, ast.Call(node.func, [number(k) for k in order], node.keywords)
        elif len(node.args) > 1 and text not in ("zeros", "ones", "full"):
            for i in range(len(node.args) - 1):
                args = [*node.args]
                args[i], args[i + 1] = args[i + 1], args[i]
                yield 1.1, ast.Call(node.func, args, node.keywords)
        if text in ("dot", "matmul", "outer") and len(node.args) == 2:
            yield 1.2, times(*node.args)
        if text == "range" and node.args:
            yield 1.2, call(name("reversed"), node)
            if len(node.args) == 1:
                yield 1.2, call(name("range"), number(1), node.args[0])

    def _axes(self, node: ast.Call, about: ast.expr) -> Iterator[tuple[float, ast.AST]]:
        """Yield a reduction over other axes, with and without keepdims."""
        array = self.scope.value(about)
        ndim = np.ndim(array) if is_array(array) else 4
        method = about is getattr(node.func, "value", None)
        args = node.args if method else node.args[1:]
        head = [] if method else node.args[:1]
        others = [k for k in node.keywords if k.arg not in ("axis", "keepdims")]
        was = next((k.value for k in node.keywords if k.arg == "axis"), args[0] if args else None)
        kept = any(k.arg == "keepdims" for k in node.keywords)
        one = range(-ndim, 0) if was is not None and ast.unparse(was).startswith("-") else range(ndim)  # as in the code
        every: list[Any] = [None, *one, *([] if is_array(array) else [-1])]
        if ndim > 2:
            every += [tuple(a for a in range(ndim) if a != b) for b in range(ndim)]
            every += [tuple(range(k, ndim)) for k in range(ndim - 1)] + [(0, 1), (-2, -1)]
        for axis in dict.fromkeys(every if ndim else []):
            for keep in (kept, not kept):
                value = was if was is not None and ast.unparse(was) == ast.unparse(trees.literal(axis)) else None
                if value is not None and keep is kept:
                    continue
                named = [] if axis is None else [ast.keyword("axis", value or trees.literal(axis))]
                named += [ast.keyword("keepdims", ast.Constant(True))] if keep else []
                yield 1.0 + 0.1 * (keep is not kept), ast.Call(node.func, head, [*named, *others])

    def _compare(self, node: ast.Compare, spot: Spot) -> Iterator[tuple[float, ast.AST]]:
        if len(node.ops) == 1:
            for op in OTHER_COMPARES.get(type(node.ops[0]), ()):
                yield 1.0, ast.Compare(node.left, [op()], node.comparators)
            if constant(node.comparators[0]) == 0:  # a mask with its scale, as in inverted dropout
                yield 1.05, node.left

    def _boolop(self, node: ast.BoolOp, spot: Spot) -> Iterator[tuple[float, ast.AST]]:
        yield 1.2, ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)

    def _ifexp(self, node: ast.IfExp, spot: Spot) -> Iterator[tuple[float, ast.AST]]:
        yield 1.2, node.body
        yield 1.2, node.orelse

    def _attribute(self, node: ast.Attribute, spot: Spot) -> Iterator[tuple[float, ast.AST]]:
        if node.attr == "T":
            yield 1.0, node.value

    def _constant(self, node: ast.Constant, spot: Spot) -> Iterator[tuple[float, ast.AST]]:
        if isinstance(node.value, bool):
            yield 1.0, ast.Constant(not node.value)
        elif isinstance(node.value, str) and isinstance(spot.parent, ast.Call):
            yield from self._einsum(node.value)

    @staticmethod
    def _einsum(text: str) -> Iterator[tuple[float, ast.AST]]:
        """Yield other einsum subscripts: two letters of a term exchanged, two terms exchanged, a letter replaced."""
        bare = text.replace(" ", "")
        if "->" not in bare:
            return
        terms, arrow = bare.replace("->", ",").split(","), bare.count(",")
        letters = sorted(set(bare) - set(",->."))

        def joined(new: list[str]) -> ast.Constant:
            return ast.Constant(",".join(new[: arrow + 1]) + "->" + new[-1])

        for t, term in enumerate(terms):
            for i in range(len(term)):
                for j in range(i + 1, len(term)):
                    swapped = [*term]
                    swapped[i], swapped[j] = swapped[j], swapped[i]
                    yield 1.0, joined([*terms[:t], "".join(swapped), *terms[t + 1 :]])
                for letter in letters:
                    yield 1.2, joined([*terms[:t], term[:i] + letter + term[i + 1 :], *terms[t + 1 :]])
        for a in range(arrow + 1):
            for b in range(a + 1, arrow + 1):
                new = [*terms]
                new[a], new[b] = new[b], new[a]
                yield 1.1, joined(new)

    def _subscript(self, node: ast.Subscript, spot: Spot) -> Iterator[tuple[float, ast.AST]]:
        found = self.scope.value(node.value)
        if is_array(found):
            yield 1.3, node.value
        parts = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else []
        plain = [ast.Slice() if _is_reversed(part) else part for part in parts]
        while plain and ast.unparse(plain[-1]) in (":", "..."):
            plain.pop()
        if sum(map(_is_reversed, parts)) > 1:  # w[f] for w[f, :, ::-1, ::-1]
            index = plain[0] if len(plain) == 1 else ast.Tuple(plain, ast.Load())
            yield 1.1, ast.Subscript(node.value, index, ast.Load()) if plain else node.value

    def _slice(self, node: ast.Slice, spot: Spot) -> Iterator[tuple[float, ast.AST]]:
        if node.lower is not None:
            yield 1.1, ast.Slice(None, node.upper, node.step)
        if node.upper is not None:
            yield 1.1, ast.Slice(node.lower, None, node.step)
        if node.lower is None and node.upper is not None:
            yield 1.1, ast.Slice(node.upper, None, node.step)
        if node.upper is None and node.lower is not None:
            yield 1.1, ast.Slice(None, node.lower, node.step)
        if node.step is not None:
            yield 1.1, ast.Slice(node.lower, node.upper, None)
        if node.lower is None and node.upper is None and node.step is None:
            yield 1.4, ast.Slice(None, None, number(-1))
        seen = {ast.unparse(node)}
        for other in self.slices:
            text = ast.unparse(other)
            if text not in seen:
                seen.add(text)
                yield 1.2, other

    def _tuple(self, node: ast.Tuple | ast.List, spot: Spot) -> Iterator[tuple[float, ast.AST]]:
        whole = [atom.node for atom in self.scope.atoms if is_integer(atom.value)]
        if len(node.elts) > 1 and whole and all(is_integer(self.scope.value(e)) for e in node.elts):
            for factor in whole:
                yield 1.4, type(node)([times(e, factor) for e in node.elts], ast.Load())
        if sum(isinstance(e, ast.Slice) for e in node.elts) > 1:
            for offset in whole:
                yield 1.4, type(node)([self._moved(e, offset) for e in node.elts], ast.Load())
        if 2 <= len(node.elts) <= 8:
            for i in range(len(node.elts)):
                for j in range(i + 1, len(node.elts)):
                    elts = [*node.elts]
                    elts[i], elts[j] = elts[j], elts[i]
                    yield 1.1, type(node)(elts, ast.Load())
            half, odd = divmod(len(node.elts), 2)
            if half > 1 and not odd and isinstance(spot.parent, ast.Return):  # those of the second layer come first
                yield 1.1, type(node)([*node.elts[half:], *node.elts[:half]], ast.Load())
            if len(node.elts) > 2 and not isinstance(spot.parent, ast.Return):
                yield 1.2, type(node)(node.elts[::-1], ast.Load())
            if trees.called_name(spot.parent) == "transpose" and len(node.elts) < 5:
                yield from ((1.25, type(node)(list(order), ast.Load())) for order in permutations(node.elts))

    _list = _tuple

    @staticmethod
    def _moved(node: ast.expr, by: ast.expr) -> ast.expr:
        """Return a slice with `by` added to its bounds; a full slice ``:`` is unchanged."""
        if not isinstance(node, ast.Slice) or (node.lower is None and node.upper is None):
            return node
        lower = by if node.lower is None else plus(by, node.lower)
        return ast.Slice(lower, node.upper and plus(by, node.upper), node.step)

    def _number(self, value: Any) -> Iterator[tuple[float, ast.AST]]:
        if isinstance(value, float) and 0 < abs(value) < 1e-2:
            return  # a small constant such as 1e-8, which only avoids a division by zero
        steps = (value + 1, value - 1, -value, value * 2, value / 2, value**0)
        for new in dict.fromkeys(steps):
            if new != value and not (new == 1 and abs(value - 1) < 1e-2):  # such a factor is left out instead
                same = int(new) if isinstance(value, int) and float(new).is_integer() else new
                yield 1.05, number(same)
        if value not in (0, 1) and isinstance(value, float):
            yield 1.1, number(1 / value)

    def _in_place_of_number(self, spot: Spot) -> Iterator[tuple[float, ast.AST]]:
        """Yield the arrays, and their negatives, that fit where a number is assigned to entries of an array."""
        target = (getattr(spot.parent, "targets", None) or [getattr(spot.parent, "target", None)])[0]
        if isinstance(target, ast.Subscript):
            shape = np.shape(self.scope.value(trees.as_read(target)))
            for atom in self.scope.atoms:
                if shape and is_array(atom.value) and atom.shape == shape:
                    yield 1.3, atom.node
                    yield 1.35, ast.UnaryOp(ast.USub(), atom.node)

    def _is_far(self, node: ast.expr, new: ast.expr) -> bool:
        """Tell whether an expression is a name of the forward only, or the entry at another index: hs[T] for hs[t]."""
        if isinstance(node, ast.Subscript) and isinstance(new, ast.Subscript):
            return is_integer(self.scope.value(new.slice))
        return isinstance(new, ast.Name) and new.id in self.scope.extra

    def _in_place_of(self, node: ast.expr, spot: Spot) -> Iterator[tuple[float, ast.AST]]:
        """Yield other names in scope whose value has the same type and a fitting shape."""
        value, text = self.scope.value(node), ast.unparse(node)
        for atom in self.scope.atoms:
            if ast.unparse(atom.node) == text:
                continue
            far = 0.3 * self._is_far(node, atom.node)
            if is_integer(value) and is_integer(atom.value):
                yield 1.15 + far + 0.12 * (spot.field == "slice"), atom.node
            elif is_array(value) and is_array(atom.value) and atom.shape == np.shape(value) and np.ndim(value):
                kind = np.asarray(value).dtype.kind == np.asarray(atom.value).dtype.kind
                yield 1.0 + far + 0.3 * (not kind), atom.node
            elif isinstance(value, (float, np.floating)) and isinstance(atom.value, (float, np.floating)):
                yield 1.1 + far, atom.node
            elif is_array(value) and is_array(atom.value) and atom.shape and np.ndim(value) and (
                    can_broadcast(atom.shape, np.shape(value)) or can_broadcast(np.shape(value), atom.shape)
                    or atom.shape[::-1] == np.shape(value)):  # fmt: skip
                yield 1.3 + far, atom.node
        if isinstance(node, ast.Name) and isinstance(value, (list, tuple)):
            for other, found in self.scope.local.items():
                if other != node.id and type(found) is type(value) and abs(len(found) - len(value)) <= 1:
                    yield 1.1, name(other)
        if isinstance(node, ast.Attribute) and isinstance(value, (list, dict)):
            for other, found in vars(self.scope.value(node.value)).items():
                if other != node.attr and type(found) is type(value):
                    yield 1.1, attribute(node.value, other)


def _is_reversed(node: ast.AST) -> bool:
    return ast.unparse(node) == "::-1"


def _dtype(node: ast.AST) -> list[ast.keyword]:
    """Return the argument ``dtype=`` of a call, as a list with at most one item."""
    return [k for k in getattr(node, "keywords", []) if k.arg == "dtype"]
