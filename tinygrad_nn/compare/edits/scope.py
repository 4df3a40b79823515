"""The names, items and attributes with numbers that a line of user code can see, and their values."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ...tensor import raw
from .running import Stopped
from .trees import attribute, name

MISSING = object()
ITEMS = 12  # most items of a container that become atoms
ATOMS = 60  # no further name is looked at when there are so many atoms


class Atom(NamedTuple):
    """A number or an array in scope: the expression that reads it, and its value."""

    node: ast.expr
    value: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of its array; () for a number."""
        return np.shape(self.value)


def is_array(value: Any) -> bool:
    """Tell whether a value is a numeric or boolean array or NumPy scalar."""
    return isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "fciub"


def is_integer(value: Any) -> bool:
    """Tell whether a value is an integer, of Python or NumPy, and no boolean."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def can_broadcast(small: tuple[int, ...], to: tuple[int, ...]) -> bool:
    """Tell whether an array of shape `small` broadcasts to the shape `to`."""
    try:
        return np.broadcast_shapes(small, to) == to
    except ValueError:
        return False


class Scope:
    """The names that a line can see before it runs, and the values of expressions in that place."""

    def __init__(self, env: Mapping[str, Any], local: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
        """`env` has the names from closure and module, `local` the local ones, `extra` names offered to edits only."""
        self.env = {**env, **extra, **local}
        self.local, self.extra = local, extra
        self.values: dict[int, tuple[Any, Any]] = {}
        self.atoms: list[Atom] = []

    def value(self, node: ast.expr) -> Any:
        """Return the value of an expression in this scope, or `MISSING` if it cannot be evaluated."""
        cached = self.values.get(id(node))
        if cached is None:
            try:
                tree = ast.fix_missing_locations(ast.Expression(node))
                value = raw(eval(compile(tree, "<looked at>", "eval"), self.env))
            except (Exception, Stopped):
                value = MISSING
            cached = self.values[id(node)] = node, value
        return cached[1]

    def find_atoms(self, used: set[str], fields: Mapping[str, set[Any]]) -> None:
        """Collect the atoms: local names, outer names that the function uses, and their items and attributes."""
        names = [*self.local, *(n for n in self.env if n in used and n not in self.local), *self.extra]
        index = [n for n, v in self.local.items() if is_integer(v)]
        for text in dict.fromkeys(names):
            if not text.startswith("__") and len(self.atoms) < ATOMS:
                self.atoms += self._inside(text, self.env[text], fields.get(text, set()), index)

    def _inside(self, text: str, value: Any, fields: set[Any], index: list[str]) -> Iterator[Atom]:
        if is_array(value) or isinstance(value, (int, float)):
            yield Atom(name(text), value)
        elif isinstance(value, dict):
            dotted = type(value) is not dict and any(key in value for key in fields)  # its keys are read as attributes
            for key, part in list(dict.items(value))[:ITEMS]:
                if not isinstance(key, (str, int)):
                    continue
                part_node = attribute(name(text), str(key)) if dotted else _item(text, ast.Constant(key))
                if is_array(part) or isinstance(part, (int, float)):
                    yield Atom(part_node, part)
                elif isinstance(part, dict):
                    yield from _within(part_node, part)
        elif isinstance(value, tuple) and hasattr(value, "_fields"):
            for key, part in zip(value._fields[:ITEMS], value, strict=False):
                if is_array(part):
                    yield Atom(attribute(name(text), key), part)
        elif isinstance(value, (list, tuple)):
            if fields:
                for i, part in enumerate(value[:ITEMS]):
                    if is_array(part):
                        yield Atom(_item(text, ast.Constant(i)), part)
            for counter in _counters(index, fields):
                k = self.local[counter]
                if -len(value) <= k < len(value) and is_array(value[k]) and not self._has_name(value[k]):
                    yield Atom(_item(text, name(counter)), value[k])
        elif hasattr(value, "__dict__") and fields:
            for key, part in list(vars(value).items())[: 2 * ITEMS]:
                if is_array(part) or isinstance(part, (int, float)):
                    yield Atom(attribute(name(text), key), part)
                elif isinstance(part, dict):
                    yield from _within(attribute(name(text), key), part)

    def _has_name(self, value: Any) -> bool:
        """Tell whether a local name holds this very value: `gamma` after ``x, gamma = cache``, so not ``cache[k]``."""
        return any(value is other for other in self.local.values())


def _counters(names: list[str], fields: set[Any]) -> list[str]:
    """Return the integers that may be an index: not `N`, which is a size, unless the function uses it as an index."""
    return [counter for counter in names if not counter.isupper() or counter in fields]


def _within(container: ast.expr, value: dict[Any, Any]) -> Iterator[Atom]:
    """Yield the arrays in a dict that is itself an item or an attribute."""
    for key, part in list(dict.items(value))[:ITEMS]:
        if isinstance(key, str) and is_array(part):
            yield Atom(ast.Subscript(container, ast.Constant(key), ast.Load()), part)


def _item(text: str, key: ast.expr) -> ast.Subscript:
    return ast.Subscript(name(text), key, ast.Load())


def fields_used(tree: ast.AST) -> tuple[set[str], dict[str, set[Any]]]:
    """Return the names that a function uses, and the items and attributes that it reads or sets on each."""
    used: set[str] = set()
    fields: dict[str, set[Any]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            used.add(node.id)
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            fields.setdefault(node.value.id, set()).add(ast.unparse(node.slice))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            fields.setdefault(node.value.id, set()).add(node.attr)
    return used, fields
