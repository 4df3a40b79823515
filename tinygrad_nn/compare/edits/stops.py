"""Explain an error that user code raised: the values in its line, and the edit with which the code runs and is right.

The line runs by itself with each small edit, with the names as they were when it failed. Of the edits with which it
runs, the cheapest are put into the function, which then runs as a whole.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator, Mapping
from difflib import SequenceMatcher
from itertools import chain
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from ...common.call_site import is_of_library
from ...common.printable import printable
from ..budget import Budget
from ..conventions.signatures import names_for_gradient
from .candidates import CandidateWriter
from .edited_code import RETURNED, compile_statement
from .influence import names_of
from .moments import Place, function_of, moment_before, names_seen
from .program import assigned_names, digest
from .reading import Source, names_in, read_source
from .running import Stopped, Ticker, copy_names, without_output
from .scope import MISSING, Scope, fields_used, is_array
from .search import BESIDE, Edit, describe_changes, numpy_name, slices_of
from .statement import statement_changes
from .trees import TICK, Change, constant, expressions_read, name, times

SECONDS = 2.5  # approximate limit of processor time
BEFORE = 6  # most statements before the one that failed that are edited
MOST = 60  # most edits of a statement with which the whole function runs
OTHER_SHAPE = 0.4  # added cost of an edit after which a gradient has another shape than its value
ROUNDS = 100_000  # most rounds of a loop in a statement that runs by itself
NEGATIVE = 0.2  # added cost of an index from the end
KEYS = 8  # most keys of a dict that are told
ALIKE = 0.4  # how similar a missing name must be to one that exists
Wrong = Callable[[Edit], "frozenset[str] | None"]


class Stop(NamedTuple):
    """The statement of user code that raised an error.

    `source` is its function, None if that cannot be read or may not run again; `names` has copies of what the statement
    saw, `words` the code of the expression that failed, and `operands` the values in it, by their code.
    """

    error: Exception
    source: Source | None
    statement: ast.stmt | None
    names: Mapping[str, Any]
    line: int
    words: str
    operands: Mapping[str, Any]

    @property
    def values(self) -> str:
        """What the failing expression was made of, and which shape a gradient needs there; "" if nothing is known."""
        parts = [f"{words} is {_described(value)}" for words, value in self.operands.items()]
        text = " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
        return "; ".join(filter(None, [text, *self._needed_shapes()]))

    @property
    def sentence(self) -> str:
        """Where the code stopped, and `values`."""
        function = "" if self.source is None else f" of {self.source.name}"
        return f"It stopped in line {self.line}{function}, at {self.words}{': ' * bool(self.values)}{self.values}."

    def _needed_shapes(self) -> Iterator[str]:
        targets = self.statement.targets if isinstance(self.statement, ast.Assign) else []
        for target in targets:
            value_name = names_for_gradient(target.id)[0] if isinstance(target, ast.Name) else ""
            value = self.names.get(value_name)
            if isinstance(target, ast.Name) and value_name != target.id and isinstance(value, np.ndarray):
                yield f"{target.id} needs the shape of {value_name}, {value.shape}"


def stop_of(error: Exception) -> Stop | None:
    """Return where user code raised an error; None if none of the lines on its way is the user's."""
    innermost: TracebackType | None = None
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        if not is_of_library(code.co_filename) and (not code.co_name.startswith("<") or code.co_name == "<lambda>"):
            innermost = step
        step = step.tb_next
    if innermost is None:
        return None
    frame, line = innermost.tb_frame, innermost.tb_lineno
    try:
        source = read_source(function_of(frame))
        statement = None if source is None else _statement_at(source, innermost)
        if source is None or statement is None:
            return Stop(error, None, None, {}, line, "", {})
        stop = Stop(error, source, statement, names_seen(frame), line, source.words(statement), {})
        failed = _failed_expression(innermost, statement)
        with without_output():
            return stop._replace(words=source.words(failed), operands=_operands(stop, failed))
    except (Exception, Stopped):  # user code may raise anything when a part of it is read or runs by itself
        return Stop(error, None, None, {}, line, "", {})


class Mended(NamedTuple):
    """An error of user code, the edit that mends it, if one was found, and what is wrong with it for another reason."""

    stop: Stop
    edit: Edit | None
    wrong: frozenset[str]

    @property
    def is_all(self) -> bool:
        """Whether the edit is of the line that stopped, and makes all gradients right."""
        at = None if self.stop.statement is None else self.stop.statement.lineno
        return self.edit is not None and not self.wrong and self.edit.lineno == at

    def edit_sentences(self, right: str) -> list[str]:
        """Return a sentence on the edit; `right` is what it makes each gradient, such as "is right". [] without it."""
        if self.edit is None:
            return []
        rest = f", but for {', '.join(sorted(self.wrong))}" if self.wrong else ""
        return [f"{self.edit.sentence} With this change it runs to its end, and each gradient {right}{rest}."]


def mended(error: Exception, wrong_with: Wrong, run: Callable[[], Any]) -> Mended | None:
    """Return what mends an error that user code raised; None if the code raised it on purpose, or is not known.

    The arguments are those of `edit_of_stop`.
    """
    stop = stop_of(error)
    if stop is None or not stop.words or isinstance(stop.statement, (ast.Raise, ast.Assert)):
        return None
    edit, wrong = edit_of_stop(stop, wrong_with, run) or (None, frozenset())
    return Mended(stop, edit, wrong)


def add_notes(error: Exception, found: Mended | None, call: str, right: str) -> None:
    """Add notes to an error: where it stopped, and the edit that mends it; they begin with the name of a call."""
    for sentence in () if found is None else (found.stop.sentence, *found.edit_sentences(right)):
        error.add_note(printable(f"{call}: {sentence}"))


def edit_of_stop(
    stop: Stop, wrong_with: Wrong, run: Callable[[], Any], seconds: float = SECONDS
) -> tuple[Edit, frozenset[str]] | None:
    """Return the smallest edit with which code that raised an error runs and gives the right gradients, or None.

    The statement that failed is edited first, then those before it that assign what it reads.

    Args:
        stop: the error.
        wrong_with: returns what is wrong with an edit in the code; None if an error is raised again.
        run: runs the user's code until it stops.
        seconds: approximate limit of processor time.

    Returns:
        The edit, and what is wrong with it: nothing, or what has another cause, so that no edit of the line mends it.
    """
    source: Any = stop.source
    if source is None or stop.statement is None:
        return None
    partly: tuple[Edit, frozenset[str]] | None = None
    try:
        with without_output(), Budget(seconds) as budget:
            lines = chain([_Line(source, stop.statement, stop.names)], _lines_before(stop, run))
            for line in lines:
                found = _edit_of(line, wrong_with, budget)
                if found is not None and not found[1]:
                    return found
                partly = partly or (found if line.statement is stop.statement else None)
    except (Exception, Stopped):  # user code may raise anything when it is run in pieces
        return partly
    return partly


class _Line(NamedTuple):
    """A statement of a function, and the names that it saw."""

    source: Source
    statement: ast.stmt
    names: Mapping[str, Any]


def _edit_of(line: _Line, wrong_with: Wrong, budget: Budget) -> tuple[Edit, frozenset[str]] | None:
    """Return the smallest edit of a line with which the least is wrong; None if nothing tells it from others."""
    tried: list[tuple[float, Change, frozenset[str]]] = []
    first_right = None
    for cost, change in _runnable_changes(line, budget):
        over = budget.is_over or len(tried) >= MOST
        if over or (first_right is not None and cost > first_right + BESIDE):
            break
        wrong = wrong_with(describe_changes([(cost, line.source, change, frozenset())], line.source))
        if wrong is not None:
            tried.append((cost, change, wrong))
            first_right = cost if first_right is None and not wrong else first_right
    least = min((len(wrong) for _, _, wrong in tried), default=0)
    best = [g for g in tried if len(g[2]) == least]
    if not best or (least and (len(best) == len(tried) or best[0][2] & assigned_names([line.statement]))):
        return None
    changes = [(cost, line.source, change, frozenset[int]()) for cost, change, wrong in best if wrong == best[0][2]]
    return describe_changes(changes, line.source), best[0][2]


def _lines_before(stop: Stop, run: Callable[[], Any]) -> Iterator[_Line]:
    """Yield the statements that assign what the failing one reads, the nearest first."""
    source: Any = stop.source
    end: Any = stop.statement
    wanted = names_of(end)[1]
    before: list[ast.stmt] = []
    for statement in reversed([s for s in source.all_statements if (s.end_lineno or s.lineno) < end.lineno]):
        assigned, read = names_of(statement)
        if assigned & wanted and isinstance(statement, (ast.Assign, ast.AugAssign)) and len(before) < BEFORE:
            before.append(statement)
            wanted = wanted | read
    if not before:
        return
    moment = moment_before(run, Place("", source.function.__code__.co_filename, end.lineno), [end, *before])
    names = {} if moment is None else moment.names
    yield from (_Line(source, statement, names[statement.lineno]) for statement in before if statement.lineno in names)


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
    nodes: list[Any] = [node for node in ast.walk(statement) if hasattr(node, "end_col_offset")]
    return next((n for n in nodes if place == (n.lineno, n.end_lineno, n.col_offset, n.end_col_offset)), statement)


def _operands(stop: Stop, failed: Any) -> dict[str, Any]:
    """Return the values from which an expression is computed, by their code; those without a value are left out."""
    if isinstance(failed, ast.BinOp):
        parts = [failed.left, failed.right]
    elif isinstance(failed, ast.AugAssign):
        parts = [failed.target, failed.value]
    elif isinstance(failed, ast.Call):
        method = [failed.func.value] if isinstance(failed.func, ast.Attribute) else []
        parts = [*method, *failed.args, *(keyword.value for keyword in failed.keywords)]
    elif isinstance(failed, ast.Subscript):
        assigned = [stop.statement.value] if isinstance(failed.ctx, ast.Store) and isinstance(
            stop.statement, ast.Assign) else []  # fmt: skip
        parts = [failed.value, failed.slice, *assigned]
    else:
        parts = []
    scope, source = Scope(stop.names, {}, {}), stop.source
    values: dict[str, Any] = {}
    for part in parts:
        if constant(part) is None and not isinstance(part, (ast.Constant, ast.Starred, ast.Slice)):
            value = scope.value(_as_read(part))
            if value is not MISSING and _described(value):
                values[source.words(part)] = value  # type: ignore[union-attr]
    return values


def _as_read(node: ast.expr) -> ast.expr:
    """Return a name or an item that a statement writes to, as an expression that reads it."""
    if isinstance(node, ast.Name):
        return name(node.id)
    if isinstance(node, ast.Subscript):
        return ast.Subscript(node.value, node.slice, ast.Load())
    return node


def _described(value: Any) -> str:
    """Return the shape of an array, or what another value is; "" for a module or a function."""
    if isinstance(value, (np.ndarray, np.generic)):
        whole = " of integers" if value.dtype.kind in "iu" and value.ndim else ""
        return f"{value.shape}{whole}" if value.ndim else f"the number {value}"
    if value is None or isinstance(value, (bool, int, float, str)):
        return f"{value!r:.40}"
    if isinstance(value, dict):
        return f"a dict with the keys {', '.join(map(repr, [*value][:KEYS]))}{', ...' * (len(value) > KEYS)}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return "" if callable(value) or hasattr(value, "__spec__") else f"a {type(value).__name__}"


def _runnable_changes(line: _Line, budget: Budget) -> Iterator[tuple[float, Change]]:
    """Yield the edits with which a statement runs, the cheapest first; of those with the same result only the first."""
    source, statement, seen_names = line
    place = next(unit for unit in source.placed(source.statements) if unit[0] is statement)
    local = {n: seen_names[n] for n in seen_names if n not in ("__builtins__", TICK)}
    scope = Scope({"__builtins__": builtins}, local, {})
    scope.find_atoms(*fields_used(source.tree))
    writer = CandidateWriter(place[0], scope, numpy_name(source), slices_of(source))
    changes = [*writer.changes(), *statement_changes(writer, *place[1:]), *_of_other_values(line, writer)]
    changes += _of_calls(writer)
    changes = [change for change in changes if not isinstance(change.new, ast.Pass)]  # a gradient would be missing
    # With other numbers, since a cotangent of ones would make `dout * x` and `x` the same.
    rng = np.random.default_rng(0)
    drawn = {n: rng.normal(size=value.shape) if type(value) is np.ndarray and value.dtype.kind == "f" else value
             for n, value in seen_names.items()}  # fmt: skip
    ran: list[tuple[float, Change]] = []
    seen = set()
    ticker = Ticker()
    ticker.limit = ROUNDS
    for change in sorted(changes, key=lambda c: c.cost + NEGATIVE * _is_negative_index(c)):
        if budget.is_over:
            break
        old = change.swap(change.new)
        try:
            ticker.start()
            names = copy_names({n: drawn[n] for n in names_in(change.statement) if n in drawn})
            names[TICK] = ticker
            exec(compile_statement(change.statement), names)
            bound = {n: names[n] for n in (*names_of(change.statement)[0], RETURNED) if n in names}
            key = digest(bound)
            if key is None or key not in seen:
                seen.add(key)
                ran.append((change.cost + OTHER_SHAPE * _has_other_shape(bound, seen_names), change))
        except (Exception, Stopped):
            continue
        finally:
            change.swap(old)
    yield from sorted(ran, key=lambda r: r[0])


def _has_other_shape(bound: Mapping[str, Any], names: Mapping[str, Any]) -> bool:
    """Tell whether a name for a gradient holds another shape than its value."""
    pairs = [(value, names.get(names_for_gradient(n)[0])) for n, value in bound.items() if names_for_gradient(n)[1:]]
    return any(isinstance(value, np.ndarray) and np.shape(made) != value.shape for made, value in pairs)


def _of_other_values(line: _Line, writer: CandidateWriter) -> Iterator[Change]:
    """Yield the edits that read something else: for a name, key or index that does not exist, and for another shape."""
    scope = writer.scope
    for spot in expressions_read(writer.place):
        node = spot.node
        others: list[tuple[ast.expr, float]] = []
        if isinstance(node, ast.Name) and node.id in line.names:
            shape = np.shape(line.names[node.id]) if is_array(line.names[node.id]) else None
            others = [(atom.node, 0.3) for atom in scope.atoms if shape is not None and is_array(atom.value)
                      and atom.shape != shape]  # fmt: skip
        elif isinstance(node, ast.Name) and not hasattr(builtins, node.id):
            known = [n for n in line.names if not n.startswith("__")]
            others = [(name(n), distance) for n, distance in _similar(node.id, known)]
        elif isinstance(node, ast.Constant) and isinstance(spot.parent, ast.Subscript):
            container, key = scope.value(spot.parent.value), node.value
            if isinstance(container, dict) and isinstance(key, str) and key not in container:
                known = [k for k in container if isinstance(k, str)]
                others = [(ast.Constant(k), distance) for k, distance in _similar(key, known)]
            elif isinstance(container, (tuple, list)) and isinstance(key, int) and len(container) <= key:
                others = [(ast.Constant(k), 0.1) for k in range(min(len(container), KEYS))]
        for new, distance in others:
            yield Change(0.9 + distance, spot.parent, spot.field, spot.position, new, writer.place)


def _of_calls(writer: CandidateWriter) -> Iterator[Change]:
    """Yield the edits that multiply in place of a call of what is no function, as in ``a(1 - a)``."""
    for spot in expressions_read(writer.place):
        if isinstance(spot.node, ast.Call) and is_array(writer.scope.value(spot.node.func)):
            for new in (spot.node.func, *(times(spot.node.func, arg) for arg in spot.node.args)):
                yield Change(1.0, spot.parent, spot.field, spot.position, new, writer.place)


def _is_negative_index(change: Change) -> bool:
    """Tell whether an edit counts from the end, which says less than the same index from the start."""
    return change.field == "slice" and isinstance(change.new, ast.UnaryOp)


def _similar(missing: str, existing: list[str]) -> Iterator[tuple[str, float]]:
    """Yield the names that are like a missing one, each with a number from 0, for equal but for case, to 0.4."""
    for other in existing:
        likeness = SequenceMatcher(None, missing.lower(), other.lower()).ratio()
        if likeness >= ALIKE:
            yield other, 1 - likeness
