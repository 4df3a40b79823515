"""Where user code raised an error: its statement, the expression that failed, and the values in it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from ...common.call_site import is_of_library
from ..conventions.signatures import names_for_gradient
from .moments import function_of, names_seen
from .reading import Source, parsed_source, read_source
from .running import Stopped, without_output
from .scope import MISSING, Scope
from .trees import as_read, constant

KEYS = 8  # most keys of a dict, and values of a tuple, that are told


class Line(NamedTuple):
    """A statement of a function, and the names that it saw."""

    source: Source
    statement: ast.stmt
    names: Mapping[str, Any]


class Stop(NamedTuple):
    """An error that user code raised.

    `lines` has the statement that raised it, and those that called its function, the innermost first. `may_run` tells
    whether the code may run again. `words` is the code of the expression that failed, and `operands` has the values in
    it, by their code.
    """

    lines: tuple[Line, ...]
    lineno: int
    may_run: bool
    words: str
    operands: Mapping[str, Any]

    @property
    def values(self) -> str:
        """What the failing expression was made of, and which shape a gradient needs there; "" if nothing is known."""
        parts = [f"{words} is {_described(value)}" for words, value in self.operands.items()]
        text = " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
        needed = [f"{n} needs the shape of {of}, {shape}" for n, of, shape in self.needed]
        return "; ".join(filter(None, [text, *needed]))

    @property
    def sentence(self) -> str:
        """Where the code stopped, and `values`."""
        place = f"line {self.lineno} of {self.lines[0].source.name}"
        return f"It stopped in {place}, at {self.words}{': ' * bool(self.values)}{self.values}."

    @property
    def needed(self) -> list[tuple[str, str, tuple[int, ...]]]:
        """The gradients that the statement assigns, each with the name and shape of its value."""
        _, statement, names = self.lines[0]
        found = []
        for target in statement.targets if isinstance(statement, ast.Assign) else ():
            value_name = names_for_gradient(target.id)[0] if isinstance(target, ast.Name) else ""
            value = names.get(value_name)
            if isinstance(target, ast.Name) and value_name != target.id and isinstance(value, np.ndarray):
                found.append((target.id, value_name, value.shape))
        return found


def stop_of(error: Exception) -> Stop | None:
    """Return where user code raised an error; None if it has no source, or if none of the lines is the user's."""
    steps: list[TracebackType] = []
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        if not is_of_library(code.co_filename) and (not code.co_name.startswith("<") or code.co_name == "<lambda>"):
            steps.insert(0, step)
        step = step.tb_next
    try:
        lines, may_run = [], True
        for step in steps:
            function = function_of(step.tb_frame)
            source = read_source(function)
            may_run &= source is not None
            source = source or parsed_source(function)
            statement = None if source is None else _statement_at(source, step)
            if source is None or statement is None:
                break
            lines.append(Line(source, statement, names_seen(step.tb_frame)))
        if not lines:
            return None
        source, statement, _ = lines[0]
        stop = Stop(tuple(lines), steps[0].tb_lineno, may_run, source.words(statement), {})
        failed = _failed_expression(steps[0], statement)
        with without_output():
            return stop._replace(words=source.words(failed), operands=_operands(stop, failed))
    except (Exception, Stopped):  # user code may raise anything when a part of it is read or runs by itself
        return None


def _place_of(step: TracebackType) -> Any:
    """Return first and last line, first and last column, of the expression that raised an error."""
    return [*step.tb_frame.f_code.co_positions()][step.tb_lasti // 2]


def _statement_at(source: Source, step: TracebackType) -> ast.stmt | None:
    """Return the innermost statement of a function that raised an error."""
    first, last, column, end = _place_of(step)
    if None in (first, last, column, end):
        first = last = step.tb_lineno
        column, end = 10**9, 0
    around = [s for s in source.all_statements if (s.lineno, s.col_offset) <= (first, column)
              and (last, end) <= (s.end_lineno or s.lineno, s.end_col_offset or 0)]  # fmt: skip
    return max(around, key=lambda s: (s.lineno, s.col_offset), default=None)


def _failed_expression(step: TracebackType, statement: ast.stmt) -> Any:
    """Return the expression in a statement whose evaluation raised an error; the statement itself if unclear."""
    place = _place_of(step)
    nodes: list[Any] = [node for node in ast.walk(statement) if isinstance(node, ast.expr)]
    return next((n for n in nodes if place == (n.lineno, n.end_lineno, n.col_offset, n.end_col_offset)), statement)


def _operands(stop: Stop, failed: Any) -> dict[str, Any]:
    """Return the values from which an expression is computed, by their code; those without a value are left out."""
    source, statement, names = stop.lines[0]
    scope = Scope(names, {}, {})
    values: dict[str, Any] = {}
    for part in _parts(failed, statement):
        has_call = any(isinstance(node, ast.Call) for node in ast.walk(part))
        is_known = constant(part) is not None or isinstance(part, (ast.Constant, ast.Starred, ast.Slice))
        if not is_known and (stop.may_run or not has_call):
            value = scope.value(as_read(part))
            if value is not MISSING and _described(value):
                values[source.words(part)] = value
    return values


def _parts(failed: Any, statement: ast.stmt) -> list[Any]:
    """Return the expressions that an expression is made of."""
    if isinstance(statement, ast.AugAssign) and failed in (statement, statement.target):
        return [statement.target, statement.value]
    if isinstance(failed, ast.BinOp):
        return [failed.left, failed.right]
    if isinstance(failed, ast.Compare):
        return [failed.left, *failed.comparators]
    if isinstance(failed, ast.Attribute):
        return [failed.value]
    if isinstance(failed, ast.Call):
        method = [failed.func.value] if isinstance(failed.func, ast.Attribute) else [failed.func]
        return [*method, *failed.args, *(keyword.value for keyword in failed.keywords)]
    if isinstance(failed, ast.Subscript):
        is_target = isinstance(failed.ctx, ast.Store) and isinstance(statement, ast.Assign)
        index = failed.slice.elts if isinstance(failed.slice, ast.Tuple) else [failed.slice]
        return [failed.value, *index, *([statement.value] if is_target else [])]  # type: ignore[attr-defined]
    if isinstance(failed, ast.Tuple) and isinstance(statement, ast.Assign):  # x, w = cache
        return [statement.value]
    return []


def _described(value: Any) -> str:
    """Return the shape of an array, or what another value is; "" for a module or a function."""
    if isinstance(value, (np.ndarray, np.generic)):
        whole = " of integers" if value.dtype.kind in "iu" and value.ndim else ""
        return f"{value.shape}{whole}" if value.ndim else f"the number {value}"
    if value is None or isinstance(value, (bool, int, float, str)):
        return f"{value!r:.40}"
    if isinstance(value, dict):
        return f"a dict with the keys {', '.join(map(repr, [*value][:KEYS]))}{', ...' * (len(value) > KEYS)}"
    is_short = isinstance(value, (tuple, list)) and len(value) <= KEYS
    if is_short and all(isinstance(part, (int, float, np.integer)) for part in value):
        return str(value)
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return "" if callable(value) or hasattr(value, "__spec__") else f"a {type(value).__name__}"
