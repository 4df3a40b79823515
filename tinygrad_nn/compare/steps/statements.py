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
            if line not in found or found[line].line < first:  # of nested ones the inner
                found[line] = statement
    return found


def _added(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.AugAssign) and isinstance(node.op, (ast.Add, ast.Sub)):
        target: Any = node.target
        while isinstance(target, ast.Subscript):
            target = target.value
        yield from ([target.id] if isinstance(target, ast.Name) else [])
    if isinstance(node, ast.Assign):
        terms = set(_terms(node.value))
        yield from (t.id for t in node.targets if isinstance(t, ast.Name) and t.id in terms)


def _terms(node: ast.expr) -> Iterator[str]:
    """Yield the names that stand alone as terms of a sum."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
        for part in (node.left, node.right):
            if isinstance(part, ast.Name):
                yield part.id
            yield from _terms(part)


def _writes(node: ast.stmt) -> bool:
    if isinstance(node, ast.AugAssign) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        return True
    targets = node.targets if isinstance(node, ast.Assign) else []
    stored = any(isinstance(part, ast.Subscript) and isinstance(part.ctx, ast.Store) for t in targets
                 for part in ast.walk(t))  # fmt: skip
    return stored or any(isinstance(part, ast.keyword) and part.arg == "out" for part in ast.walk(node))
