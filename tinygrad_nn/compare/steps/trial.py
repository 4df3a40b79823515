"""Run a backward with an edit in it, and see which of its steps are wrong then."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any

from ..edits import Edit
from .tracing import module_names, unwrapped


@contextmanager
def edited(backward: Any, edit: Edit) -> Iterator[bool]:
    """Put an edit into the user's function for a while; the value tells whether that was possible."""
    function = _function_of(backward, edit)
    code = None if function is None else _edited_code(function, edit)
    if function is None or code is None:
        yield False
        return
    before, function.__code__ = function.__code__, code
    try:
        yield True
    finally:
        function.__code__ = before


def _function_of(backward: Any, edit: Edit) -> FunctionType | None:
    """Return the function that has the line of an edit: the backward, or a function or method of its module."""
    main = unwrapped(backward)
    space: Mapping[str, Any] = module_names(backward) or {}
    candidates = [main, *space.values()]
    candidates += [part for kind in space.values() if isinstance(kind, type) for part in vars(kind).values()]
    for candidate in candidates:
        candidate = getattr(candidate, "__func__", candidate)  # of a static method
        code = getattr(candidate, "__code__", None)
        if isinstance(candidate, FunctionType) and code is not None and code.co_filename == edit.file and (
                candidate.__name__ == edit.function and edit.lineno in {k for _, _, k in code.co_lines()}):  # fmt: skip
            return candidate
    return None


def _edited_code(function: FunctionType, edit: Edit) -> CodeType | None:
    """Return the code of a function with an edit in its source; None if the source is not found."""
    code = function.__code__
    lines = [*linecache.getlines(edit.file, function.__globals__)]
    try:
        tree = ast.parse("".join(lines))
    except SyntaxError:
        return None
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt) and node.lineno == edit.lineno]
    if len(statements) != 1:
        return None
    body = getattr(statements[0], "body", None)
    last = max(statements[0].lineno, body[0].lineno - 1) if body else statements[0].end_lineno or statements[0].lineno
    first = lines[edit.lineno - 1]
    text = first[: len(first) - len(first.lstrip())] + (edit.after.strip() or "pass") + "\n"
    lines[edit.lineno - 1 : last] = [text, *["\n"] * (last - edit.lineno)]
    try:
        waiting = [compile("".join(lines), edit.file, "exec")]
    except SyntaxError:
        return None
    for inner in waiting:
        if (inner.co_name, inner.co_firstlineno, inner.co_freevars) == (
                code.co_name, code.co_firstlineno, code.co_freevars):  # fmt: skip
            return inner
        waiting += [part for part in inner.co_consts if isinstance(part, CodeType)]
    return None
