"""Generate the edits of a statement that raised an error: of names, shapes and calls that do not exist or fit.

`CandidateWriter` edits code that runs, so it keeps shapes and leaves out what has no value.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator, Mapping
from difflib import SequenceMatcher
from itertools import product
from types import ModuleType
from typing import Any

import numpy as np

from .candidates import CandidateWriter
from .scope import MISSING, is_array, is_integer
from .trees import Change, Spot, attribute, binary, call, called_name, name, number, times, transposed

ALIKE = 0.4  # how similar a missing name must be to one that exists
MOST = 8  # most names of one kind that are tried
KEYWORDS = {"dim": "axis", "dims": "axis", "axes": "axis", "keepdim": "keepdims"}  # PyTorch's and mistaken ones
PRODUCTS = ("matmul", "mm", "bmm", "dot")
OF_LISTS = ("concatenate", "stack", "hstack", "vstack", "column_stack")
REDUCTIONS = ("sum", "mean", "max", "min", "var", "std", "norm")


def changes_of_failed_line(writer: CandidateWriter, names: Mapping[str, Any]) -> Iterator[Change]:
    """Yield the edits of a statement that raised an error; `names` is what it saw."""
    statement = writer.place
    for spot in _spots(statement):
        node = spot.node
        for cost, new in _others(writer, names, spot):
            if new is not node:
                yield Change(cost, spot.parent, spot.field, spot.position, new, statement)
    if isinstance(statement, ast.For) and isinstance(writer.scope.value(statement.iter), (list, tuple, range)):
        yield Change(1.1, statement, "iter", None, call(name("reversed"), statement.iter), statement)
    target = statement.targets[0] if isinstance(statement, ast.Assign) else None
    if isinstance(target, ast.Tuple):  # h, x = cache
        for k in range(len(target.elts) - 1):
            elts = [*target.elts]
            elts[k], elts[k + 1] = elts[k + 1], elts[k]
            yield Change(1.1, statement, "targets", 0, ast.Tuple(elts, ast.Store()), statement)


def _spots(root: ast.AST) -> Iterator[Spot]:
    """Yield all expressions below a node that are read, also those that are called."""
    for field, value in ast.iter_fields(root):
        for i, node in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(node, ast.stmt) or not isinstance(node, ast.AST):
                continue
            if isinstance(node, ast.expr) and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
                yield Spot(node, root, field, i if isinstance(value, list) else None)
            yield from _spots(node)


def _others(writer: CandidateWriter, names: Mapping[str, Any], spot: Spot) -> Iterator[tuple[float, ast.expr]]:
    """Yield what may stand in place of an expression, with its cost."""
    node, value_of = spot.node, writer.scope.value
    if isinstance(node, ast.Name):
        yield from _in_place_of_name(writer, names, node)
    elif isinstance(node, ast.Attribute):
        yield from _in_place_of_attribute(writer, node)
    elif isinstance(node, ast.Constant) and isinstance(spot.parent, ast.Subscript) and spot.field == "slice":
        yield from _in_place_of_key(value_of(spot.parent.value), node.value)
    elif isinstance(node, ast.Subscript):
        array, index = value_of(node.value), node.slice
        if is_array(array) and np.ndim(array) > 1 and not isinstance(index, (ast.Tuple, ast.Slice)):  # dh[:, t]
            yield 1.1, ast.Subscript(node.value, ast.Tuple([ast.Slice(), index], ast.Load()), ast.Load())
        if callable(array):  # slope[z]
            yield 0.9, ast.Call(node.value, [index], [])
        elts = index.elts if isinstance(index, ast.Tuple) else []
        if len(elts) > 1 and isinstance(elts[0], ast.Slice):
            rest = elts[1:]
            yield 1.1, ast.Subscript(node.value, rest[0] if len(rest) == 1 else ast.Tuple(rest, ast.Load()), ast.Load())
        for k in range(len(elts) + 1) if any(isinstance(part, ast.Constant) for part in elts) else ():
            more = ast.Tuple([*elts[:k], ast.Slice(), *elts[k:]], ast.Load())  # x[:, :, None] for x[:, None]
            yield 1.15, ast.Subscript(node.value, more, ast.Load())
    elif isinstance(node, ast.Call):
        yield from _in_place_of_call(writer, node)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, (ast.MatMult, ast.Mult)):
        yield from _other_products(writer, node.left, node.right)


def _in_place_of_name(
    writer: CandidateWriter, names: Mapping[str, Any], node: ast.Name
) -> Iterator[tuple[float, ast.expr]]:
    """Yield similar names for one that does not exist, and for an array those of another shape."""
    atoms = writer.scope.atoms
    if node.id in names:
        value = names[node.id]
        for atom in atoms if is_array(value) else ():
            if is_array(atom.value) and atom.shape != np.shape(value):
                yield 1.2, atom.node
            elif isinstance(atom.node, ast.Name) and is_integer(atom.value) and np.ndim(value):
                yield 1.25, ast.Subscript(name(node.id), name(atom.node.id), ast.Load())
        return
    if hasattr(builtins, node.id):
        return
    for n, value in names.items():
        if not isinstance(value, ModuleType) and hasattr(value, node.id):
            yield 0.8, attribute(name(n), node.id)
    known = {n: name(n) for n in names if not n.startswith("__")}
    last_parts = {ast.unparse(atom.node).replace("]", "").replace("[", ".").split(".")[-1].strip("'\""): atom.node
                  for atom in atoms if not isinstance(atom.node, ast.Name)}  # fmt: skip
    similar = {**last_parts, **known}
    yield from ((0.7 + distance / 2, similar[n]) for n, distance in _similar(node.id, similar))
    yield from ((1.2, atom.node) for atom in atoms)


def _in_place_of_attribute(writer: CandidateWriter, node: ast.Attribute) -> Iterator[tuple[float, ast.expr]]:
    """Yield similar attributes for one that does not exist, and other transposes of an array of several axes."""
    owner = writer.scope.value(node.value)
    if owner is MISSING:
        return
    if node.attr == "T" and np.ndim(owner) > 2:
        yield 1.0, call(attribute(node.value, "swapaxes"), number(-1), number(-2))
        axes = [*range(np.ndim(owner))]
        yield 1.05, call(attribute(node.value, "transpose"), *map(number, [axes[0], axes[2], axes[1], *axes[3:]]))
    if hasattr(owner, node.attr):
        return
    if node.attr == "t" and is_array(owner):
        yield 0.9, attribute(node.value, "T")
    own = [n for n in (vars(owner) if hasattr(owner, "__dict__") else ()) if not n.startswith("__")]
    attributes = own if not isinstance(owner, ModuleType) and own else [n for n in dir(owner) if not n.startswith("_")]
    yield from ((0.7 + distance / 2, attribute(node.value, n)) for n, distance in _similar(node.attr, attributes))


def _in_place_of_key(container: Any, key: Any) -> Iterator[tuple[float, ast.expr]]:
    """Yield other keys or indices for one that does not exist."""
    if isinstance(container, dict) and isinstance(key, str) and key not in container:
        known = [k for k in container if isinstance(k, str)]
        yield from ((0.7 + distance / 2, ast.Constant(k)) for k, distance in _similar(key, known))
    elif isinstance(container, (tuple, list)) and isinstance(key, int) and len(container) <= key:
        yield from ((1.0, ast.Constant(k)) for k in range(min(len(container), MOST)))


def _in_place_of_call(writer: CandidateWriter, node: ast.Call) -> Iterator[tuple[float, ast.expr]]:
    """Yield a product for a call of an array, as in ``a(1 - a)``, and NumPy's form of PyTorch's methods and options."""
    function, value = node.func, writer.scope.value(node.func)
    if is_array(value) or isinstance(value, (int, float)):
        yield 1.0, function
        for arg in node.args:
            yield 1.0, times(function, arg)
            yield 1.05, binary(function, ast.MatMult(), arg)
    if isinstance(function, ast.Attribute) and function.attr in ("t", "T") and not node.args:
        yield 0.9, attribute(function.value, "T")
    if called_name(node) == "transpose" and isinstance(function, ast.Attribute) and len(node.args) > 1:
        yield 1.1, call(attribute(function.value, "swapaxes"), number(-1), number(-2))
    if called_name(node) in OF_LISTS and len(node.args) > 1:
        yield 0.9, ast.Call(function, [ast.List(node.args, ast.Load())], node.keywords)
    if called_name(node) in REDUCTIONS and not any(k.arg == "keepdims" for k in node.keywords):
        yield 1.05, ast.Call(function, node.args, [*node.keywords, ast.keyword("keepdims", ast.Constant(True))])
    renamed = [ast.keyword(KEYWORDS.get(k.arg or "", k.arg), k.value) for k in node.keywords]
    if [k.arg for k in renamed] != [k.arg for k in node.keywords]:
        yield 0.9, ast.Call(function, node.args, renamed)
    if called_name(node) in PRODUCTS and isinstance(function, ast.Attribute):
        is_function = isinstance(function.value, ast.Name) and function.value.id == writer.numpy
        sides = node.args if is_function else [function.value, *node.args]
        if len(sides) == 2:
            yield 1.0, binary(sides[0], ast.MatMult(), sides[1])
            for cost, new in _other_products(writer, *sides):
                if not isinstance(new, ast.BinOp):  # an outer product
                    yield cost, new
                elif is_function:
                    yield cost, ast.Call(function, [new.left, new.right], [])
                else:
                    yield cost, ast.Call(attribute(new.left, function.attr), [new.right], [])


def _other_products(writer: CandidateWriter, left: ast.expr, right: ast.expr) -> Iterator[tuple[float, ast.expr]]:
    """Yield the products of two matrices in both orders, with and without transposes, and of two vectors the outer."""
    ndims = [np.ndim(value) if is_array(value) else 0 for value in map(writer.scope.value, (left, right))]
    if ndims == [1, 1]:
        for sides in ((left, right), (right, left)):
            outer = writer.np("outer", *sides)
            if outer is not None:
                yield 1.1, outer
    elif ndims == [2, 2]:
        for (a, b), turn_a, turn_b in product([(left, right), (right, left)], (False, True), (False, True)):
            new = binary(transposed(a) if turn_a else a, ast.MatMult(), transposed(b) if turn_b else b)
            yield 1.1 + 0.05 * (turn_a + turn_b + (a is right)), new


def _similar(missing: str, existing: Iterable[str]) -> list[tuple[str, float]]:
    """Return the names that are most like a missing one, each with a number from 0, for equal but for case, to 0.6."""
    likeness = {other: SequenceMatcher(None, missing.lower(), other.lower()).ratio() for other in existing}
    near = sorted((1 - x, other) for other, x in likeness.items() if x >= ALIKE)
    return [(other, distance) for distance, other in near[:MOST]]
