"""Build, read and edit syntax trees: short constructors, the places of expressions and statements, and `Change`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

TICK = "__tick__"  # the name of the function that each round of a loop calls; see `with_ticks` in `reading`


class Change(NamedTuple):
    """A small edit of a tree: the node at `parent.field` (item `position`, if it is a list) is replaced by `new`.

    `place` is the statement that is edited, `cost` grows with the size of the edit, and `writes` tells that the edited
    statement writes into an array that the user's code did not write into.
    """

    cost: float
    parent: Any
    field: str
    position: int | None
    new: Any
    place: ast.stmt
    writes: bool = False

    @property
    def statement(self) -> ast.stmt:
        """The statement in the edited tree."""
        return self.new if isinstance(self.new, ast.stmt) else self.place

    def swap(self, new: Any) -> Any:
        """Put `new` at the place in the tree, and return the node that was there."""
        if getattr(new, "lineno", None) is None:
            with_location(new, self.place)
        if self.position is None:
            old = getattr(self.parent, self.field)
            setattr(self.parent, self.field, new)
        else:
            row = getattr(self.parent, self.field)
            old, row[self.position] = row[self.position], new
        return old


class Spot(NamedTuple):
    """An expression and its place in the tree: the parent node, its field, and the index if the field is a list."""

    node: Any
    parent: Any
    field: str
    position: int | None


class FollowedBy(ast.If):
    """A statement and a second one after it, in the same line; a branch that is always taken holds them."""

    def __init__(self, first: ast.stmt, second: ast.stmt) -> None:
        super().__init__(ast.Constant(True), [first, second], [])

    @property
    def text(self) -> str:
        """The code of both."""
        return "; ".join(" ".join(ast.unparse(stmt).split()) for stmt in self.body)


def name(text: str) -> ast.Name:
    """Return the node of a name that is read."""
    return ast.Name(text, ast.Load())


def number(value: Any) -> ast.expr:
    """Return the node of a number; a negative one is a minus and a constant, as Python parses it."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value < 0:
        return ast.UnaryOp(ast.USub(), ast.Constant(-value))
    return ast.Constant(value)


def binary(left: ast.expr, op: ast.operator, right: ast.expr) -> ast.BinOp:
    """Return ``left op right``."""
    return ast.BinOp(left, op, right)


def times(left: ast.expr, right: ast.expr) -> ast.BinOp:
    """Return ``left * right``."""
    return ast.BinOp(left, ast.Mult(), right)


def over(left: ast.expr, right: ast.expr) -> ast.BinOp:
    """Return ``left / right``."""
    return ast.BinOp(left, ast.Div(), right)


def plus(left: ast.expr, right: ast.expr) -> ast.BinOp:
    """Return ``left + right``."""
    return ast.BinOp(left, ast.Add(), right)


def minus(left: ast.expr, right: ast.expr) -> ast.BinOp:
    """Return ``left - right``."""
    return ast.BinOp(left, ast.Sub(), right)


def power(left: ast.expr, k: Any) -> ast.BinOp:
    """Return ``left ** k``."""
    return ast.BinOp(left, ast.Pow(), number(k))


def attribute(owner: ast.expr, text: str) -> ast.Attribute:
    """Return ``owner.text``."""
    return ast.Attribute(owner, text, ast.Load())


def is_transposed(node: ast.AST) -> bool:
    """Tell whether an expression is written with ``.T``."""
    return isinstance(node, ast.Attribute) and node.attr == "T"


def transposed(node: ast.expr) -> ast.expr:
    """Return ``a.T`` for ``a``, and ``a`` for ``a.T``."""
    return node.value if isinstance(node, ast.Attribute) and node.attr == "T" else attribute(node, "T")


def is_renamed(old: Any, new: Any) -> bool:
    """Tell whether two expressions differ in one name only, however often it occurs."""
    a, b = ({node.id for node in ast.walk(x) if isinstance(node, ast.Name)} for x in (old, new))
    if len(a - b) != 1 or len(b - a) != 1:
        return False
    (before,), (after,) = a - b, b - a
    return re.sub(rf"\b{before}\b", after, ast.unparse(old)) == ast.unparse(new)


def have_other_slopes(old: Any, new: Any) -> bool:
    """Tell whether two expressions are a comparison and a sum or product, or have the same first factor."""
    if {ast.Compare, ast.BinOp} == {type(old), type(new)}:
        return True
    is_product = any(isinstance(x, ast.BinOp) and isinstance(x.op, ast.Mult) for x in (old, new))
    return is_product and ast.unparse(first_factor(old)) == ast.unparse(first_factor(new))


def first_factor(node: ast.expr) -> ast.expr:
    """Return the first factor of a product, which has its sign: ``-2`` for ``-2 * x @ y``."""
    while isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.Div, ast.MatMult)):
        node = node.left
    return node


def call(function: ast.expr, *args: ast.expr, **named: Any) -> ast.Call:
    """Return a call; the values of its keywords are numbers or tuples of numbers."""
    keywords = [ast.keyword(key, literal(value)) for key, value in named.items()]
    return ast.Call(function, list(args), keywords)


def literal(value: Any) -> ast.expr:
    """Return the node of a number or of a tuple of numbers."""
    if isinstance(value, tuple):
        return ast.Tuple([number(v) for v in value], ast.Load())
    return number(value)


def called_name(node: Any) -> str:
    """Return the name of the function or method that a call calls; "" for another node."""
    function = getattr(node, "func", None)
    return str(getattr(function, "attr", None) or getattr(function, "id", ""))


def constant(node: Any) -> Any:
    """Return the number that a node stands for, also ``-1``; None if it is no number."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = constant(node.operand)
        return None if value is None else -value
    return None


def with_location(new: ast.AST, like: ast.AST) -> Any:
    """Give the new nodes of a tree the line and column of an old node; nodes that have a place are unchanged."""
    waiting: list[Any] = [new]
    place = {name: getattr(like, name) for name in like._attributes}
    while waiting:
        node = waiting.pop()
        if "lineno" in node._attributes:
            if getattr(node, "lineno", None) is not None:
                continue
            vars(node).update(place)  # what ast.copy_location does, without its checks
        for part in vars(node).values():  # what ast.iter_child_nodes gives, in half the time
            if isinstance(part, ast.AST):
                waiting.append(part)
            elif isinstance(part, list):
                waiting += [child for child in part if isinstance(child, ast.AST)]
    return new


def expressions_read(root: ast.AST) -> Iterator[Spot]:
    """Yield the expressions below a node that are read, each with its place; nested statements are left out."""
    for field, value in ast.iter_fields(root):
        row = value if isinstance(value, list) else [value]
        for i, node in enumerate(row):
            index = i if isinstance(value, list) else None
            if isinstance(node, ast.expr):
                writes = isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del))
                called = field == "func" and isinstance(root, ast.Call)
                if not writes and not (called and isinstance(node, (ast.Name, ast.Attribute))):
                    yield Spot(node, root, field, index)
                if writes and isinstance(node, ast.Subscript):  # the index may be edited, not the array written into
                    yield Spot(node.slice, node, "slice", None)
                    yield from expressions_read(node.slice)
                elif not isinstance(node, ast.Lambda) and not (writes and isinstance(node, ast.Attribute)):
                    yield from expressions_read(node)
            elif isinstance(node, (ast.keyword, ast.comprehension)) and getattr(node, "arg", None) != "out":
                yield from expressions_read(node)


def is_tick(node: ast.AST) -> bool:
    """Tell whether a statement is a call that `with_ticks` inserted."""
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == TICK


def statements(body: list[ast.stmt]) -> Iterator[tuple[ast.stmt, Any, str, int]]:
    """Yield all statements of a body but ticks, nested ones as well, each with its parent, field and index."""
    module = ast.Module(body, [])
    waiting: list[tuple[Any, str]] = [(module, "body")]
    while waiting:
        parent, field = waiting.pop(0)
        for i, node in enumerate(getattr(parent, field)):
            if not is_tick(node):
                yield node, parent, field, i
            for inner in ("body", "orelse", "finalbody"):
                waiting += [(node, inner)] * isinstance(getattr(node, inner, None), list)


def as_read(target: Any) -> Any:
    """Return the expression that reads an assignment target."""
    if isinstance(target, ast.Name):
        return ast.copy_location(ast.Name(target.id, ast.Load()), target)
    if isinstance(target, ast.Subscript):
        return ast.copy_location(ast.Subscript(target.value, target.slice, ast.Load()), target)
    if isinstance(target, ast.Attribute):
        return ast.copy_location(ast.Attribute(target.value, target.attr, ast.Load()), target)
    return target
