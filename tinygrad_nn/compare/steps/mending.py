"""Add an edit that mends a wrong line to its diagnosis, and name the kind of mistake from the edit."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..diagnosis import KINDS, Diagnosis
from ..edits import Edit
from ..edits.trees import constant
from .names import stems

SUMS = ("sum", "mean", "max", "min", "prod")


def mended(found: Diagnosis, edit: Edit, values: set[str]) -> Diagnosis:
    """Return a diagnosis that tells the edit; if its kind is "unknown", it takes the kind that the edit shows."""
    others = (f"the same would come from {' or of '.join(edit.alternatives[:2])}",) if edit.alternatives else ()
    if found.kind != "unknown":
        return replace(found, evidence=(*found.evidence, edit.sentence, *others))
    kind = kind_of(edit.before, edit.after, values)
    text = f"{edit.sentence} With this change, it is what its own rule gives, here and at other inputs."
    return replace(found, kind=kind, text=text, evidence=(found.text, *found.evidence, *others))


def kind_of(before: str, after: str, values: set[str]) -> str:
    """Return the kind of mistake (one of `KINDS`) that an edit mends.

    Args:
        before, after: the line before and after the edit.
        values: the names of the forward's values; a name such as ``dh`` is a gradient if ``h`` is among them.

    Example:
        >>> kind_of("dz = 1 - h**2", "dz = dh * (1 - h**2)", {"h", "z"})
        'cotangent_ignored'
        >>> kind_of("dW = x.T @ d", "dW = h.T @ d", {"x", "h"}), kind_of("d = g", "d = -g", set())
        ('wrong_value', 'sign')
        >>> kind_of("db = dz.sum(axis=1)", "db = dz.sum(axis=0)", set())
        'wrong_axis_sum'
    """
    try:
        old, new = ast.parse(before.strip()).body[0], ast.parse(after.strip()).body[0]
    except (SyntaxError, IndexError):
        return "edit"
    if isinstance(old, ast.Assign) and isinstance(new, ast.AugAssign):
        return "overwritten_not_accumulated"
    found = next(_differences(old, new), None)
    kind = _kind(*found, values) if found else "edit"
    return kind if kind in KINDS else "edit"


def _differences(old: Any, new: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the smallest pair of syntax nodes in which two trees differ, large enough to tell the kind of mistake."""
    if type(old) is not type(new):
        yield old, new
        return
    if not isinstance(old, ast.AST):
        if old != new:
            yield old, new
        return
    apart = []
    for name in old._fields:
        a, b = getattr(old, name, None), getattr(new, name, None)
        if isinstance(a, list) and isinstance(b, list):
            if len(a) != len(b):
                yield old, new
                return
            apart += [(name, x, y) for x, y in zip(a, b, strict=True) if _text(x) != _text(y)]
        elif _text(a) != _text(b):
            apart.append((name, a, b))
    if len(apart) != 1 or not isinstance(apart[0][1], ast.AST) or not isinstance(apart[0][2], ast.AST):
        if apart:
            yield old, new
        return
    if isinstance(old, ast.Call) and all(name == "keywords" for name, _, _ in apart):
        yield old, new
        return
    if isinstance(old, ast.BinOp) and isinstance(old.op, ast.Pow) and apart[0][0] == "right":
        yield old, new
        return
    inner = next(_differences(apart[0][1], apart[0][2]), None)
    small = inner is None or isinstance(inner[0], (ast.operator, ast.unaryop, ast.cmpop, ast.expr_context, ast.keyword))
    if isinstance(old, (ast.keyword, ast.Call, ast.Subscript, ast.Slice)):  # a number there is an axis or an index
        small = small or all(constant(x) is not None for x in inner)  # type: ignore[union-attr]
    yield (old, new) if small else inner  # type: ignore[misc]


def _text(node: Any) -> str:
    return ast.dump(node) if isinstance(node, ast.AST) else repr(node)


def _kind(old: Any, new: Any, values: set[str]) -> str:
    if isinstance(old, ast.Call) and isinstance(new, ast.Call) and _text(old.func) == _text(new.func):
        called = getattr(old.func, "attr", "")
        return "wrong_axis_sum" if called == "sum" else "wrong_axis" if called in SUMS else "edit"
    if isinstance(new, ast.UnaryOp) and _text(new.operand) == _text(old):
        return "sign"
    if isinstance(old, ast.UnaryOp) and _text(old.operand) == _text(new):
        return "sign"
    for whole, part, more in ((new, old, True), (old, new, False)):
        if isinstance(whole, ast.Attribute) and whole.attr == "T" and _text(whole.value) == _text(part):
            return "transpose"
        if isinstance(whole, ast.Call) and isinstance(whole.func, ast.Attribute) and whole.func.attr in SUMS:
            inside = whole.args[:1] if isinstance(whole.func.value, ast.Name) and whole.args else [whole.func.value]
            if any(_text(x) == _text(part) for x in (*inside, whole.func.value)):
                return "broadcast_not_summed" if more else "wrong_axis_sum"
        if isinstance(whole, ast.BinOp) and isinstance(whole.op, (ast.Mult, ast.Div)):
            rest = next((b for a, b in ((whole.left, whole.right), (whole.right, whole.left))
                         if _text(a) == _text(part)), None)  # fmt: skip
            if rest is not None:
                return _of_factor(rest, more, isinstance(whole.op, ast.Div), values)
        if isinstance(whole, ast.BinOp) and isinstance(whole.op, (ast.Add, ast.Sub)) and any(
                _text(x) == _text(part) for x in (whole.left, whole.right)):  # fmt: skip
            return "overwritten_not_accumulated" if more else "edit"
    if isinstance(old, ast.BinOp) and isinstance(new, ast.BinOp) and type(old.op) is not type(new.op):
        plus = {type(old.op), type(new.op)} == {ast.Add, ast.Sub}
        return "sign" if plus else "wrong_derivative"
    if isinstance(old, ast.BinOp) and isinstance(old.op, ast.Pow):
        return "wrong_derivative"
    if isinstance(old, ast.Constant) and isinstance(new, ast.Name) and _is_gradient(new.id, values):
        return "cotangent_ignored"
    if isinstance(old, (ast.Name, ast.Attribute)) and isinstance(new, (ast.Name, ast.Attribute)):
        return "wrong_value"
    if isinstance(old, (ast.Subscript, ast.Slice, ast.Tuple)) or isinstance(new, (ast.Subscript, ast.Slice)):
        return "wrong_index"
    if isinstance(old, ast.Constant) and isinstance(new, ast.Constant):
        return "scale"
    return "edit"


def _of_factor(rest: ast.expr, more: bool, divided: bool, values: set[str]) -> str:
    if any(isinstance(part, ast.Name) and _is_gradient(part.id, values) for part in ast.walk(rest)):
        return "cotangent_ignored" if more else "edit"
    if all(isinstance(part, (ast.Constant, ast.UnaryOp, ast.BinOp, ast.operator, ast.unaryop))
           for part in ast.walk(rest)):  # fmt: skip
        return "scale"
    return "missing_factor" if more and not divided else "wrong_value"


def _is_gradient(name: str, values: set[str]) -> bool:
    return any(stem in values for stem in stems(name))
