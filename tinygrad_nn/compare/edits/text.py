"""Show an edit as text, with the user's own spelling of the rest of the statement."""

from __future__ import annotations

import ast
from typing import Any

from ..one_line import on_one_line
from .reading import Source
from .trees import Change, FollowedBy


def line_of(change: Change) -> int:
    """Return the line number, in its file, of the statement that is edited."""
    return int(change.place.lineno)


def after_and_before(source: Source, change: Change) -> tuple[str, str]:
    """Return the text of the edited statement ("" if it is to be left out) and that of the present one."""
    before = _statement_text(source, change.place)
    if change.new.__class__ is ast.Pass:
        return "", before
    if isinstance(change.new, ast.stmt):
        return _header(change.new), before
    old = change.swap(change.new)
    try:
        wanted = ast.dump(change.place)
        plain = _header(change.place)
    finally:
        change.swap(old)
    if isinstance(getattr(change.place, "body", None), list):
        return plain, before
    prefix = "return " if source.name == "<lambda>" else ""  # the body of a lambda became a return
    for text in _spliced(source, change, old):
        try:
            if ast.dump(ast.parse(prefix + text).body[0]) == wanted:
                return on_one_line(text), before
        except (SyntaxError, ValueError, IndexError):
            continue
    return plain.removeprefix(prefix), before


def _statement_text(source: Source, place: ast.stmt) -> str:
    return _header(place) if isinstance(getattr(place, "body", None), list) else source.words(place)


def _header(node: ast.stmt) -> str:
    """Return a statement as `ast.unparse` writes it, on one line; for a compound statement its first line."""
    if isinstance(node, FollowedBy):
        return node.text
    if isinstance(getattr(node, "body", None), list):
        return ast.unparse(node).split("\n")[0]
    return " ".join(ast.unparse(node).split())


def _spliced(source: Source, change: Change, old: Any) -> list[str]:
    """Return the user's text with the old expression replaced by the new one, without and with parentheses."""
    place: Any = change.place
    if not isinstance(old, ast.expr) or not hasattr(place, "end_lineno"):
        return []
    rows = [row.encode() for row in source.lines]

    def span(node: Any) -> tuple[int, int]:
        lines = [sum(len(row) for row in rows[: line - 1]) for line in (node.lineno, node.end_lineno)]
        return lines[0] + node.col_offset, lines[1] + node.end_col_offset

    source_text = b"".join(rows)
    (start, stop), (old_start, old_end) = span(place), span(old)
    if not start <= old_start <= old_end <= stop:
        return []
    new = ast.unparse(change.new)
    is_open = change.field in ("slice", "targets") and isinstance(change.new, ast.Tuple) and new.startswith("(")
    bare = [new[1:-1]] if is_open else []  # x[n, t] and x, w = cache, not x[(n, t)] and (x, w) = cache
    return [
        (source_text[start:old_start] + text.encode() + source_text[old_end:stop]).decode()
        for text in (*bare, new, f"({new})")
    ]


