"""Generate the small edits of a whole statement: ``+=`` in place of ``=``, another name throughout, leaving it out."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from .candidates import CandidateWriter
from .scope import MISSING, can_broadcast, is_array
from .trees import Change, FollowedBy, as_read, attribute, call, name, plus, power, times


def statement_changes(writer: CandidateWriter, parent: Any, field: str, index: int) -> Iterator[Change]:
    """Yield the edits of a whole statement; `parent`, `field` and `index` say where it stands in the tree."""
    node, scope = writer.place, writer.scope

    def change(cost: float, new: ast.stmt, writes: bool = False) -> Change:
        return Change(cost, parent, field, index, new, node, writes)

    is_single = isinstance(node, ast.Assign) and len(node.targets) == 1
    target: Any = node.targets[0] if is_single else getattr(node, "target", None)  # type: ignore[attr-defined]
    if isinstance(node, (ast.Assign, ast.AugAssign)) and isinstance(target, ast.Subscript):
        at = writer.np("add", target.value)
        if at is not None and not isinstance(target.slice, ast.Slice):
            ufunc = attribute(attribute(name(str(writer.numpy)), "add"), "at")
            place = as_read(target)
            yield change(1.0, ast.Expr(call(ufunc, place.value, _with_slice_calls(place.slice), node.value)), True)
    if isinstance(node, ast.Assign) and scope.value(as_read(target)) is not MISSING:
        yield change(1.0, ast.AugAssign(target, ast.Add(), node.value), True)
        yield change(1.2, ast.AugAssign(target, ast.Mult(), node.value), True)
        if isinstance(target, ast.Name):
            yield change(1.05, ast.Assign([target], plus(name(target.id), node.value)))
            yield change(1.2, ast.Assign([target], times(name(target.id), node.value)))
        yield change(1.2, ast.Pass())
    if isinstance(node, ast.AugAssign):
        if isinstance(node.op, (ast.Add, ast.Sub)):
            yield change(1.0, ast.Assign([node.target], node.value))
        others: Any = {ast.Add: (ast.Sub, ast.Mult), ast.Sub: (ast.Add,), ast.Mult: (ast.Div, ast.Add),
                       ast.Div: (ast.Mult,)}  # fmt: skip
        for op in others.get(type(node.op), ()):
            sign = {type(node.op), op} == {ast.Add, ast.Sub}  # as short as a minus in the value, and easier to read
            yield change(1.0 if sign else 1.05, ast.AugAssign(node.target, op(), node.value))
        root = writer.np("sqrt", node.value)
        if isinstance(node.op, ast.Div) and root is not None:  # as `CandidateWriter` does with x / d
            yield change(1.2, ast.AugAssign(node.target, node.op, root))
            yield change(1.2, ast.AugAssign(node.target, node.op, power(node.value, 2)))
    if isinstance(node, (ast.AugAssign, ast.Expr)):
        yield change(1.2 if isinstance(node, ast.AugAssign) else 1.0, ast.Pass())
    yield from _renamed_everywhere(writer, change)
    has_power = any(isinstance(part, ast.BitXor) for part in ast.walk(node))
    if has_power and not isinstance(getattr(node, "body", None), list):
        yield change(0.9, ast.parse(ast.unparse(node).replace("^", "**")).body[0])  # 1 - a^2 is (1 - a)^2 in Python
    if not writer.is_cheap and (isinstance(target, ast.Subscript) or isinstance(node, ast.AugAssign)):
        yield from _followed_by_factor(writer, target, change)
    if isinstance(node, ast.If):
        yield change(1.3, ast.If(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse))


def _followed_by_factor(writer: CandidateWriter, target: ast.expr, by: Any) -> Iterator[Change]:
    """Yield the statement with one after it, in the same line, that divides or multiplies the whole array."""
    while isinstance(target, ast.Subscript):
        target = target.value
    array = writer.scope.value(as_read(target))
    if not isinstance(target, ast.Name) or not is_array(array) or array.dtype.kind != "f":
        return
    array_name = ast.Name(target.id, ast.Store())
    for size in writer.sizes():
        yield by(1.5, FollowedBy(writer.place, ast.AugAssign(array_name, ast.Div(), size)), True)
    for atom in writer.scope.atoms:
        factor, shape = atom.node, atom.shape
        if len(shape) == 1 < array.ndim and not can_broadcast(shape, array.shape):  # a number for each row
            axes = [ast.Slice(), *[ast.Constant(None)] * (array.ndim - 1)]
            factor = ast.Subscript(factor, ast.Tuple(axes, ast.Load()), ast.Load())
            shape += (1,) * (array.ndim - 1)
        if is_array(atom.value) and shape and can_broadcast(shape, array.shape):
            yield by(1.55, FollowedBy(writer.place, ast.AugAssign(array_name, ast.Mult(), factor)), True)


def _with_slice_calls(index: ast.expr) -> ast.expr:
    """Return an index with ``slice(None)`` in place of ``:``, as it is passed to a function."""
    if not isinstance(index, ast.Tuple):
        return index
    return ast.Tuple([
        call(name("slice"), *(part or ast.Constant(None) for part in (
            (e.upper,) if e.lower is None and e.step is None else (e.lower, e.upper, e.step))))
        if isinstance(e, ast.Slice) else e for e in index.elts
    ], ast.Load())  # fmt: skip


def _renamed_everywhere(writer: CandidateWriter, by: Any) -> Iterator[Change]:
    """Yield the statement with a name that it reads more than once replaced in all places."""
    node, scope = writer.place, writer.scope
    if isinstance(getattr(node, "body", None), list) or isinstance(node, ast.Expr):
        return
    read = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]
    for old in dict.fromkeys(n for n in read if read.count(n) > 1):
        value: Any = scope.env.get(old)
        for atom in scope.atoms:
            has_same_shape = (
                is_array(value) and is_array(atom.value) and atom.shape == np.shape(value) and np.ndim(value)
            )
            if has_same_shape and not (isinstance(atom.node, ast.Name) and atom.node.id == old):
                yield by(1.15, _Renamed(old, atom.node).visit(copy.deepcopy(node)))


class _Renamed(ast.NodeTransformer):
    def __init__(self, old: str, new: ast.expr) -> None:
        self.old, self.new = old, new

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Replace the name where it is read."""
        return self.new if node.id == self.old and isinstance(node.ctx, ast.Load) else node
