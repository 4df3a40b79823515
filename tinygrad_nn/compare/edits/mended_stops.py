"""Search the edit with which user code that raised an error runs and is right.

The line that failed runs by itself with each small edit, with the names as they were then. Of the edits with which it
runs, the cheapest are put into the function, which then runs as a whole. If none is right, the lines before it and
those that called its function are edited.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from ...common.printable import printable
from ..budget import Budget
from ..conventions.signatures import names_for_gradient
from .candidates import CandidateWriter
from .edited_code import RETURNED, compile_statement
from .failed_line import changes_of_failed_line
from .influence import names_of
from .moments import Place, moment_before
from .program import digest
from .reading import names_in
from .running import Stopped, Ticker, copy_names, without_output
from .scope import Scope, fields_used
from .search import BESIDE, Edit, describe_changes, numpy_name, slices_of
from .statement import statement_changes
from .stops import Line, Stop, stop_of
from .trees import TICK, Change

SECONDS = 2.5  # approximate limit of processor time
BEFORE = 6  # most statements before the one that failed that are edited
MOST = 60  # most edits of a statement with which the whole function runs
OTHER_SHAPE = 0.4  # added cost of an edit after which a gradient has another shape than its value
LIKELY = 1.3  # most cost of an edit that is told for the shape that it gives alone
ROUNDS = 100_000  # most rounds of a loop in a statement that runs by itself
DROPPED = 0.3  # added cost of an edit that leaves out a name that does not exist
NEGATIVE = 0.2  # added cost of an index from the end
Wrong = Callable[[Edit], "frozenset[str] | None"]


class Mended(NamedTuple):
    """An error of user code, the edit that mends it, if one was found, and what is wrong with it for another reason.

    `likely` is an edit that gives a gradient the shape of its value, if there is no other.
    """

    stop: Stop
    edit: Edit | None
    wrong: frozenset[str]
    likely: Edit | None = None

    @property
    def is_all(self) -> bool:
        """Whether the edit is of the line that stopped, and makes all gradients right."""
        return self.edit is not None and not self.wrong and self.edit.lineno == self.stop.lines[0].statement.lineno

    @property
    def edit_sentences(self) -> list[str]:
        """A sentence on the edit, or none."""
        if self.edit is not None:
            rest = f", but for {', '.join(sorted(self.wrong))}" if self.wrong else ""
            return [f"{self.edit.sentence} With this change it runs to its end, and each gradient is right{rest}."]
        if self.likely is not None:
            return [f"{self.likely.sentence} This gives it that shape; another mistake must be mended too."]
        return []


def mended(error: Exception, wrong_with: Wrong, run: Callable[[], Any]) -> Mended | None:
    """Return where user code raised an error and what mends it; None if it was on purpose, or has no source.

    The statement that failed is edited first, then those before it that assign what it reads, then its callers.

    Args:
        error: the error.
        wrong_with: returns the gradients that are wrong with an edit in the code; None if an error is raised again.
        run: runs the user's code until it stops.
    """
    stop = stop_of(error)
    if stop is None or isinstance(stop.lines[0].statement, (ast.Raise, ast.Assert)):
        return None
    found = Mended(stop, None, frozenset())
    if not stop.may_run:
        return found
    try:
        with without_output(), Budget(SECONDS) as budget:
            own = stop.lines[0]
            callers = (line for caller in stop.lines[1:] for line in (caller, *_loops_around(caller)))
            for line in chain([own], _lines_before(own, run), callers):
                edit = _edit_of(line, wrong_with, budget)
                if edit is not None and not edit[1]:
                    return Mended(stop, *edit)
                if edit is not None and line is own:
                    found = Mended(stop, *edit)
            return found if found.edit is not None else found._replace(likely=_likely_edit(stop))
    except (Exception, Stopped):  # user code may raise anything when it is run in pieces
        return found


def _likely_edit(stop: Stop) -> Edit | None:
    """Return the smallest edit of the line that failed with which its gradient has the shape of its value."""
    line = stop.lines[0]
    with Budget(SECONDS) as budget:
        for cost, change in _runnable_changes(line, budget) if stop.needed else ():
            edit = describe_changes([(cost, line.source, change, frozenset())], line.source)
            if cost <= LIKELY and edit.kind == "transpose":
                return edit
    return None


def add_notes(error: Exception, found: Mended | None, call: str) -> None:
    """Add notes to an error: where it stopped, and the edit that mends it; they begin with the name of a call."""
    for sentence in () if found is None else (found.stop.sentence, *found.edit_sentences):
        error.add_note(printable(f"{call}: {sentence}"))


def _edit_of(line: Line, wrong_with: Wrong, budget: Budget) -> tuple[Edit, frozenset[str]] | None:
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
    if not best or (least and len(best) == len(tried)):
        return None
    changes = [(cost, line.source, change, frozenset[int]()) for cost, change, wrong in best if wrong == best[0][2]]
    return describe_changes(changes, line.source), best[0][2]


def _loops_around(line: Line) -> Iterator[Line]:
    """Yield the loops in which a statement runs, the innermost first."""
    for statement in reversed(line.source.all_statements):
        if isinstance(statement, ast.For) and line.statement in ast.walk(statement):
            yield line._replace(statement=statement)


def _lines_before(end: Line, run: Callable[[], Any]) -> Iterator[Line]:
    """Yield the statements that assign what a statement reads, and the loops around it, the nearest first."""
    source, last, _ = end
    wanted = names_of(last)[1]
    before: list[ast.stmt] = []
    for statement in reversed([s for s in source.all_statements if s.lineno < last.lineno]):
        assigned, read = names_of(statement)
        is_done = (statement.end_lineno or statement.lineno) < last.lineno
        is_loop = isinstance(statement, ast.For) and not is_done
        if assigned & wanted and (is_loop or (is_done and isinstance(statement, (ast.Assign, ast.AugAssign)))):
            before.append(statement)
            wanted = wanted | read
    before = before[:BEFORE]
    place = Place("", source.function.__code__.co_filename, last.lineno)
    moment = moment_before(run, place, [last, *before]) if before else None
    names = {} if moment is None else moment.names
    yield from (Line(source, statement, names[statement.lineno]) for statement in before if statement.lineno in names)


def _runnable_changes(line: Line, budget: Budget) -> Iterator[tuple[float, Change]]:
    """Yield the edits with which a statement runs, the cheapest first; of those with the same result only the first."""
    source, statement, seen_names = line
    place = next(unit for unit in source.placed(source.statements) if unit[0] is statement)
    local = {n: seen_names[n] for n in seen_names if n not in ("__builtins__", TICK)}
    scope = Scope({"__builtins__": builtins}, local, {})
    scope.find_atoms(*fields_used(source.tree))
    writer = CandidateWriter(place[0], scope, numpy_name(source), slices_of(source))
    lacks_name = any(isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and n.id not in local
                     and not hasattr(builtins, n.id) for n in ast.walk(statement))  # fmt: skip
    changes = [*writer.changes(), *statement_changes(writer, *place[1:])]
    changes = [change._replace(cost=change.cost + DROPPED * lacks_name) for change in changes]
    changes += changes_of_failed_line(writer, local)
    changes = [change for change in changes if not isinstance(change.new, ast.Pass)]  # a gradient would be missing
    # With other numbers, since a cotangent of ones would make `dout * x` and `x` the same.
    rng = np.random.default_rng(0)
    drawn = {n: rng.normal(size=value.shape) if type(value) is np.ndarray and value.dtype.kind == "f" else value
             for n, value in {**source.numpy, **seen_names}.items()}  # fmt: skip
    if isinstance(getattr(statement, "body", None), list):  # what it writes to has changed
        yield from ((change.cost, change) for change in sorted(changes, key=lambda c: c.cost))
        return
    ran: list[tuple[float, Change]] = []
    seen = set()
    own_names = names_in(statement)
    ticker = Ticker()
    ticker.limit = ROUNDS
    for change in sorted(changes, key=lambda c: c.cost + NEGATIVE * _is_negative_index(c)):
        if budget.is_over:
            break
        old = change.swap(change.new)
        try:
            ticker.start()
            names = copy_names({n: drawn[n] for n in (*own_names, *names_in(change.new)) if n in drawn})
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


def _is_negative_index(change: Change) -> bool:
    """Tell whether an edit counts from the end, which says less than the same index from the start."""
    return change.field == "slice" and isinstance(change.new, ast.UnaryOp)
