"""The lines of a person's code: which statement a line belongs to, what it writes into, what it adds to."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator
from typing import Any, NamedTuple


class Statement(NamedTuple):
    """One statement: its first and last line, its text in one line, what it does to names.

    `added` are the names that it adds to, ``dx += ...`` or ``dx = dx + ...``; `writes` tells whether it may change an
    array in place.
    """

    line: int
    end: int
    text: str
    added: frozenset[str] = frozenset()
    writes: bool = True


class Statements:
    """The statements of the files that were asked for, each parsed once."""

    def __init__(self) -> None:
        self.files: dict[str, dict[int, Statement]] = {}

    def at(self, file: str, line: int, space: dict[str, Any] | None = None) -> Statement:
        """Return the statement of a line; of a file that cannot be read one without a text."""
        if file not in self.files:
            self.files[file] = read("".join(linecache.getlines(file, space)))
        return self.files[file].get(line) or Statement(line, line, linecache.getline(file, line).strip())


def read(source: str) -> dict[int, Statement]:
    """Return the statement of each line of a source; of one that cannot be parsed none."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return {}
    lines = source.splitlines()
    found: dict[int, Statement] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.stmt):
            continue
        body = getattr(node, "body", None)
        first = node.lineno
        last = max(first, body[0].lineno - 1) if body else node.end_lineno or first
        text = " ".join(part.strip() for part in lines[first - 1 : last if not body else first])
        statement = Statement(first, last, text, frozenset(_added(node)), bool(body) or _writes(node))
        for line in range(first, last + 1):
            there = found.get(line)
            if there is None or there.line < first:  # of nested ones the inner
                found[line] = statement
            elif there.line == first and not body:  # several in one line
                found[line] = there._replace(added=there.added | statement.added, writes=True)
    return found


def _added(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.AugAssign) and isinstance(node.op, (ast.Add, ast.Sub)):
        target: Any = node.target
        while isinstance(target, ast.Subscript):
            target = target.value
        yield from _name(target)
    if isinstance(node, ast.Assign):
        terms = set(_terms(node.value))
        yield from (name for t in node.targets for name in _name(t) if name in terms)


def _name(node: ast.expr) -> Iterator[str]:
    """Yield the name by which a target is known: of an attribute of self that, of ``x.grad`` both parts."""
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        yield node.attr if node.value.id == "self" else f"{node.value.id}.{node.attr}"


def _terms(node: ast.expr) -> Iterator[str]:
    """Yield the names that stand alone as terms of a sum."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
        for part in (node.left, node.right):
            yield from _name(part)
            yield from _terms(part)


def _writes(node: ast.stmt) -> bool:
    if isinstance(node, ast.AugAssign) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        return True
    targets = node.targets if isinstance(node, ast.Assign) else []
    stored = any(isinstance(part, ast.Subscript) and isinstance(part.ctx, ast.Store) for t in targets
                 for part in ast.walk(t))  # fmt: skip
    return stored or any(isinstance(part, ast.keyword) and part.arg == "out" for part in ast.walk(node))
