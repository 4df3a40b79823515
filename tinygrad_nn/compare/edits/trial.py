"""Put an edit into the user's own function for a while, so that it runs as it is called."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import chain
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from ...common.closures import closed_over
from ..one_line import on_one_line
from ..user_function import module_names, unwrapped
from .reading import block_at
from .search import Edit


@contextmanager
def edited(edit: Edit, *owners: Any) -> Iterator[bool]:
    """Put an edit into the user's function for a while; the value tells whether that was possible.

    It is one of `owners`, what the user passed, or a function or method of the same module or class.

    `linecache` has the edited source for that time, so that a trace reads the statements that run.
    """
    function = next(filter(None, (_function_of(owner, edit) for owner in owners)), None)
    lines = [] if function is None else _edited_lines(function, edit)
    code = None if function is None else _code_in(lines, function)
    if function is None or code is None:
        yield False
        return
    before, source = function.__code__, linecache.cache.get(edit.file)
    function.__code__ = code
    linecache.cache[edit.file] = (0, None, lines, edit.file)
    try:
        yield True
    finally:
        function.__code__ = before
        linecache.cache.pop(edit.file)
        linecache.cache.update({} if source is None else {edit.file: source})


def _function_of(owner: Any, edit: Edit) -> FunctionType | None:
    """Return the function that has the line of an edit, or one that defines it: the owner, or one beside it."""
    functions = [*_functions_beside(owner)]
    direct = (f for f in functions if is_code_of(f.__code__, edit))
    around = (f for f in functions if any(is_code_of(inner, edit) for inner in _codes_in(f.__code__)))
    return next(chain(direct, around), None)


def _functions_beside(owner: Any) -> Iterator[FunctionType]:
    """Yield the owner, and the functions and methods in its closure, its module and its classes."""
    classes = [*(owner if isinstance(owner, type) else type(owner)).__mro__[:-1]]
    found = [unwrapped(owner), *closed_over(unwrapped(owner)).values()]
    found += [part for kind in classes for part in vars(kind).values()]
    spaces = {id(space): space for space in map(module_names, found) if space is not None}
    for space in spaces.values():
        kinds = [part for part in space.values() if isinstance(part, type)]
        found += [*space.values(), *(part for kind in kinds for part in vars(kind).values())]
    for part in found:
        function = getattr(part, "__func__", part)  # of a static method
        if isinstance(function, FunctionType):
            yield function


def is_code_of(code: CodeType, edit: Edit) -> bool:
    """Tell whether a code has the line of an edit."""
    is_there = code.co_filename == edit.file and code.co_name == edit.function
    return is_there and edit.lineno in {line for _, _, line in code.co_lines()}


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    """Yield the codes of the functions that are defined in a function."""
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield part
            yield from _codes_in(part)


def _edited_lines(function: FunctionType, edit: Edit) -> list[str]:
    """Return the lines of the file of a function with an edit in them; [] if its statement is not found."""
    lines = [*linecache.getlines(edit.file, function.__globals__)]
    spans = _spans(tuple(lines), function.__code__.co_firstlineno).get(edit.lineno, ())
    if len(spans) > 1:  # a = 1; b = 2
        spans = [span for span in spans if on_one_line(_cut(lines, span)[1].decode()) == edit.before]
    if len(spans) != 1:
        return []
    before, _, behind = _cut(lines, spans[0])
    text = (before + (edit.after.strip() or "pass").encode() + behind).decode()
    rows = spans[0].last - edit.lineno
    lines[edit.lineno - 1 : spans[0].last] = [text.rstrip("\n") + "\n", *["\n"] * rows]
    return lines


class Span(NamedTuple):
    """The first line of a statement, its column there, and the line and column where it or its head ends."""

    first: int
    start: int
    last: int
    end: int | None  # columns are in bytes


def _cut(lines: Sequence[str], span: Span) -> tuple[bytes, bytes, bytes]:
    """Return what is before a statement in its lines, the statement, and what is behind it."""
    rows = [line.encode() for line in lines[span.first - 1 : span.last]]
    end = len(rows[-1]) if span.end is None else span.end
    text = b"".join([*rows[:-1], rows[-1][:end]])
    return text[: span.start], text[span.start :], rows[-1][end:]


@lru_cache(maxsize=8)  # dozens of edits of one file are tried in a row
def _spans(lines: tuple[str, ...], first: int) -> dict[int, list[Span]]:
    """Return where the statements are that begin in each line."""
    tree = _first_parsed(lines, first, ast.parse)
    spans: dict[int, list[Span]] = {}
    for node in [] if tree is None else ast.walk(tree):
        if not isinstance(node, ast.stmt):
            continue
        body = getattr(node, "body", None)
        last, end = node.end_lineno or node.lineno, node.end_col_offset
        if body and body[0].lineno > node.lineno:
            last, end = body[0].lineno - 1, None
        elif body:  # for k in range(n): s += k
            last, end = node.lineno, body[0].col_offset
        spans.setdefault(node.lineno, []).append(Span(node.lineno, node.col_offset, last, end))
    return spans


def _code_in(lines: Sequence[str], function: FunctionType) -> CodeType | None:
    """Return the code that a function has in an edited source; None if it is not there."""
    code = function.__code__
    whole = _first_parsed(lines, code.co_firstlineno, lambda text: compile(text, code.co_filename, "exec"))
    return next((inner for inner in (() if whole is None else _codes_in(whole)) if (
        inner.co_name, inner.co_firstlineno, inner.co_freevars) == (
            code.co_name, code.co_firstlineno, code.co_freevars)), None)  # fmt: skip


def _first_parsed(lines: Sequence[str], first: int, parse: Callable[[str], Any]) -> Any:
    """Return what `parse` makes of a file, or of the function at line `first` alone if the rest is no code."""
    with suppress(SyntaxError):
        return parse("".join(lines))
    with suppress(SyntaxError):
        return parse("".join(block_at(tuple(lines), first)))
    return None
