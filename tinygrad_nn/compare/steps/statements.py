"""Parse the user's source: the statement of each line, the names that it adds to, whether it writes into arrays."""

from __future__ import annotations

import ast
import linecache
import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from ..one_line import on_one_line


class Statement(NamedTuple):
    """One statement: its first and last line, its text joined into one line, and its effect on names.

    `added` has the names that it adds to, by ``dx += ...`` or ``dx = dx + ...``, `targets` those that it binds or
    writes into; `writes` tells whether it may change an array in place; `file` is where it stands.
    """

    line: int
    end: int
    text: str
    added: frozenset[str] = frozenset()
    writes: bool = True
    file: str = ""
    targets: frozenset[str] = frozenset()


WRITERS = ("at", "copyto", "put", "place", "putmask", "fill_diagonal", "put_along_axis")  # into their first argument
NOTHING = Statement(0, 0, "")  # in place of the statement of what no line computed


class Statements:
    """The statements of source files, each of which is read once when it is first needed."""

    def __init__(self) -> None:
        self.files: dict[str, Mapping[int, Statement]] = {}

    def at(self, file: str, line: int, space: dict[str, Any] | None = None) -> Statement:
        """Return the statement of a line; if the file cannot be parsed, a statement of that line alone."""
        if file not in self.files:
            self.files[file] = read_statements("".join(linecache.getlines(file, space)), file)
        statement = self.files[file].get(line)
        return statement or Statement(line, line, linecache.getline(file, line).strip(), file=file)


@lru_cache(maxsize=16)  # a comparison of steps traces the same functions many times
def read_statements(source: str, file: str = "") -> Mapping[int, Statement]:
    """Return the statement of each line of the source of a file; {} if the source cannot be parsed."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return {}
    lines = re.split(r"\r\n?|\n", source)  # a form feed ends no line
    statements: dict[int, Statement] = {}
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    ends = {node.end_lineno: node.end_col_offset or 0 for node in nodes if node.lineno != node.end_lineno}
    for node in nodes:
        body = getattr(node, "body", None)
        first = node.lineno
        last = max(first, body[0].lineno - 1) if body else node.end_lineno or first
        own_lines = lines[first - 1 : last]
        if node.col_offset >= ends.get(first, math.inf):  # after the end of a statement that began in a line before
            own_lines[0] = own_lines[0].encode()[node.col_offset :].decode()
        text = own_lines[0].strip() if first == last else on_one_line("\n".join(own_lines))
        written = frozenset(label for target in targets(node) for label in target_labels(target))
        statement = Statement(first, last, text, frozenset(_added(node)), bool(body) or _writes(node), file, written)
        for line in range(first, last + 1):
            present = statements.get(line)
            if present is None or present.line < first:  # of nested statements, the inner one
                statements[line] = statement
            elif present.line == first and not body:  # several statements in one line
                added, written = present.added | statement.added, present.targets | statement.targets
                statements[line] = present._replace(added=added, writes=True, targets=written)
    return statements


def names_written_after(source: str, line: int, last: int) -> set[str]:
    """Return the names that the statements from a line to `last` bind or write into.

    If the line is in a loop, they include those that a statement earlier in the loop adds to or writes into.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return set()
    loops = [n for n in ast.walk(tree) if isinstance(n, (ast.For, ast.While))]
    first = min((n.lineno for n in loops if n.lineno <= line <= (n.end_lineno or 0)), default=line)
    names = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.stmt) or not first <= node.lineno <= last:
            continue
        for part in targets(node):
            if node.lineno >= line or isinstance(node, ast.AugAssign) or isinstance(part, ast.Subscript):
                names |= set(target_labels(part))
    return names


def _added(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.Expr) and ast.unparse(node).partition("(")[0].endswith((".add.at", ".subtract.at")):
        yield from (label for target in targets(node) for label in target_labels(target))
    if isinstance(node, ast.AugAssign) and isinstance(node.op, (ast.Add, ast.Sub)):
        yield from target_labels(node.target)
    if isinstance(node, ast.Assign):
        terms = set(_terms(node.value))
        yield from (name for t in node.targets for name in _labels(t) if name in terms)


def targets(node: Any) -> Iterator[ast.expr]:
    """Yield what a statement binds or writes into, the parts of a tuple one by one; nothing if it does neither."""
    if isinstance(node, ast.Expr):
        yield from _written_by(node.value)
    for target in node.targets if isinstance(node, ast.Assign) else [node.target] if hasattr(node, "target") else []:
        yield from target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]


def _written_by(node: ast.expr) -> Iterator[ast.expr]:
    """Yield the array that a call writes into, `dW` of ``np.add.at(dW, rows, g)`` and ``np.clip(dW, 0, 1, out=dW)``."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        yield from (keyword.value for keyword in node.keywords if keyword.arg == "out")
        yield from node.args[:1] if node.func.attr in WRITERS else []


def target_labels(node: ast.expr) -> Iterator[str]:
    """Yield the label of a target, or of the container that it is a part of."""
    while isinstance(node, ast.Subscript):
        node = node.value
    yield from _labels(node)


def _labels(node: ast.expr) -> Iterator[str]:
    """Yield the label of a name or attribute: ``a`` for ``a`` and for ``self.a``, ``x.grad`` for ``x.grad``."""
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        yield node.attr if node.value.id == "self" else f"{node.value.id}.{node.attr}"


def _terms(node: ast.expr) -> Iterator[str]:
    """Yield the labels that are terms of a sum by themselves, as ``dx`` in ``dx + dy * w``."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
        for part in (node.left, node.right):
            yield from _labels(part)
            yield from _terms(part)


def _writes(node: ast.stmt) -> bool:
    if isinstance(node, ast.AugAssign) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        return True
    stored = any(isinstance(part, ast.Subscript) and isinstance(part.ctx, ast.Store) for t in targets(node)
                 for part in ast.walk(t))  # fmt: skip
    return stored or any(isinstance(part, ast.keyword) and part.arg == "out" for part in ast.walk(node))
