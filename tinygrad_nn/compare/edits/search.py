"""Search the smallest edit of the user's backward that makes its gradients right."""

from __future__ import annotations

import ast
import builtins
import contextlib
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..budget import Budget
from .candidates import CandidateWriter
from .influence import influencing
from .kinds import kind_of
from .program import UNCHANGED, Program, assigned_names, digest
from .reading import Source, names_in, read_source, referenced
from .running import Stopped, without_output
from .statement import statement_changes
from .text import after_and_before, line_of
from .trees import Change, expressions_read

SECONDS = 2.0
BESIDE = 0.31  # edits whose cost exceeds the smallest by no more than this are reported as alternatives
MOST = 3  # alternatives that are reported


class ArgumentsFound(Exception):
    """Raised by the function that `arguments_of` calls, to stop once it has the arguments."""


@dataclass(frozen=True)
class Edit:
    """A small edit of the user's source that makes gradients right.

    Attributes:
        lineno: the line in its file, counted from 1.
        before: the statement in the source.
        after: the statement that would be right; "" if it is to be left out.
        sentence: a sentence with both.
        fixes: the indices of the results that it makes right; results that were right stay right.
        alternatives: other edits, about as small, that make the same results right.
        names: the names that the edited statement assigns.
        function: the name of the function that has the line.
        kind: the kind of mistake that the edit mends, a key of `KINDS`; ``edit`` if no other kind fits.
        kinds: the kinds of the alternatives, if they differ from `kind`.
        lacks: the names in `after` of values that the function has not: they were offered to the search from outside.
        file: the file of the line.
    """

    lineno: int
    before: str
    after: str
    sentence: str
    fixes: tuple[int, ...] = ()
    alternatives: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    function: str = ""
    kind: str = "edit"
    kinds: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    file: str = ""

    @property
    def alternatives_note(self) -> tuple[str, ...]:
        """A clause with the first alternatives, as evidence of a diagnosis; () if there are none."""
        others = " or from ".join(self.alternatives[:2])
        return (f"the same would come from {others}",) if others else ()


Call = Callable[[Callable[..., Any], int], Any]
AreRight = Callable[[Any, int], Sequence[bool]]


def nearest_edits(
    backward: Callable[..., Any], call: Call, are_right: AreRight, *, probes: int = 1, lines: Collection[int] = (),
    values: Callable[[int], Mapping[str, Any]] | None = None, may_fail: Collection[int] = (), judges_more: bool = False,
    seconds: float = SECONDS, names: Sequence[str] = (), further: Callable[[], Collection[int]] = tuple,
) -> tuple[Edit, ...]:  # fmt: skip
    """Return the smallest edits of a backward that make its wrong results right.

    One edit may mend all wrong results; otherwise several edits mend some of them each.

    Args:
        backward: a Python function, method or lambda. Without a source, or if its code has effects outside itself
            (files, system modules), the answer is ().
        call: ``call(f, probe)`` calls f as a backward with the arguments of batch `probe` and returns what f returns.
        are_right: ``are_right(value, probe)`` tells for each result in what f returned whether it is right.
        probes: the number of batches. Edits are tried in batch 0; one that works there is confirmed in all others.
        lines: lines of the file that are suspected first.
        values: for a batch, names and arrays that are not in scope but could be (of the forward pass).
        may_fail: batches of another size; an edit of or with a number, such as ``/ 6``, may fail there, and is then
            ranked lower.
        judges_more: whether `are_right` judges more than the return value of the backward, such as attributes of an
            object. Then each edit is tried through `call`, which takes longer.
        seconds: approximate limit of processor time.
        names: the inputs that the results belong to, ``W`` for ``dW``, if they are returned by name.
        further: draws batches of further sizes, once an edit is right in all others, and returns their numbers. An edit
            that fails there is left out if another result is right there without it, and else it is ranked lower.

    Returns:
        Edits that mend some results in every batch and keep right results right; the one that mends most comes first.

    Example:
        >>> x = [np.arange(3.0), np.ones(2)]
        >>> (found,) = nearest_edits(
        ...     lambda x: 3 * x,  # a lambda in a doctest has a source as well
        ...     call=lambda f, k: f(x[k]), are_right=lambda dx, k: [np.allclose(dx, 2 * x[k])], probes=2)
        >>> found.after
        '2 * x'
    """
    try:
        source = read_source(backward)
        if source is None:
            return ()
        with without_output(), Budget(seconds) as budget:
            batches = range(probes), frozenset(may_fail)
            search = _Search(source, backward, call, are_right, batches, set(lines), values, budget)
            search.judges_more, search.names, search.further = judges_more, names, further
            return tuple(search.edits())
    except (Exception, Stopped):  # user code may raise anything when it is run in pieces
        return ()


class _Search:
    judges_more = False
    names: Sequence[str] = ()
    further: Callable[[], Collection[int]]

    def __init__(
        self, source: Source, backward: Any, call: Call, are_right: AreRight,
        batches: tuple[range, frozenset[int]], lines: set[int],
        values: Callable[[int], Mapping[str, Any]] | None, budget: Budget,
    ) -> None:  # fmt: skip
        self.source, self.call, self.are_right, self.lines, self.budget = source, call, are_right, lines, budget
        self.probes, self.may_fail = batches
        self.values = values or (lambda probe: {})
        self.program = Program(source, *arguments_of(source, call), self.values(0))
        self.judged: dict[Any, Sequence[bool]] = {}  # for a value returned in batch 0: a third of the edits repeat one
        # for each batch, which results of the unedited function, compiled from its tree, are right
        self.right_before = [self._judge(p) for p in self.probes]
        verdicts = list(are_right(call(backward, 0), 0))
        if self.right_before[0] is None or self.right_before[0] != verdicts:
            raise ValueError("made again from its source, the function gives other results")

    def _judge(self, probe: int) -> list[bool] | None:
        try:
            return list(self.are_right(self.call(self.program.function(self.values(probe)), probe), probe))
        except (Exception, Stopped):
            return None

    def edits(self) -> list[Edit]:
        """Return the smallest edit that mends the most results, then the smallest for those still wrong, and so on."""
        wrong = {i for i, ok in enumerate(self.right_before[0] or []) if not ok}
        edits: list[Edit] = []
        candidates = self._sweep(wrong) if wrong else []
        while candidates:
            max_fixed = max(len(g[3] & wrong) for g in candidates)
            if not max_fixed:
                break
            best = [g for g in candidates if len(g[3] & wrong) == max_fixed]
            edits.append(describe_changes([g for g in best if g[3] == min(best, key=lambda g: g[0])[3]], self.source))
            wrong -= set(edits[-1].fixes)
        return edits

    def _candidates(self, wrong: set[int]) -> list[tuple[float, int | None, Source, Change]]:
        program = self.program
        candidates: list[tuple[float, int | None, Source, Change]] = []
        suspects = influencing(program, wrong, self.names or [""] * len(self.right_before[0] or []))
        of_source: dict[str, tuple[str | None, list[ast.expr]]] = {}
        for k, source, stmt, parent, field, index in program.units():
            if stmt not in suspects:
                continue
            if source.name not in of_source:
                of_source[source.name] = numpy_name(source), slices_of(source)
            writer = CandidateWriter(stmt, program.scope(source, stmt), *of_source[source.name])
            extra_cost = suspects[stmt]
            if self.lines:
                extra_cost += 0.5 * (not any(stmt.lineno <= line <= (stmt.end_lineno or line) for line in self.lines))
            candidates += [(change.cost + extra_cost, k, source, change)
                      for change in (*writer.changes(), *statement_changes(writer, parent, field, index))]  # fmt: skip
        return sorted(candidates, key=lambda c: c[0])

    def _sweep(self, wrong: set[int]) -> list[tuple[float, Source, Change, frozenset[int]]]:
        """Try the edits in order of cost; return those that make a wrong result right."""
        good_edits: list[tuple[float, Source, Change, frozenset[int]]] = []
        sure: list[frozenset[int]] = []  # what those fix that fail in no batch of a further size
        doubtful: list[Change] = []
        first_cost = None
        for cost, k, source, change in self._candidates(wrong):
            if self.budget.is_over or (
                first_cost is not None and (cost > first_cost + BESIDE or len(good_edits) > 4 * MOST)
            ):
                break
            self.program.edited = source
            fixes = self._fixed_results(k, change, wrong)
            if not fixes or any(fixes <= g[3] and g[0] < cost - BESIDE for g in good_edits):
                continue
            failed = self._failed_probes(change, fixes, self.probes) or self._failed_probes(
                change, fixes, self._further_probes())  # fmt: skip
            if failed:
                self.program.forget()
            if not failed or self._may_fail(failed, change):
                cost += 0.5 * bool(failed)
                good_edits.append((cost, source, change, fixes))
                if failed <= self.may_fail:
                    sure.append(fixes)
                else:
                    doubtful.append(change)
                if fixes == wrong and first_cost is None:
                    first_cost = cost
        return [g for g in good_edits if g[2] not in doubtful or not any(g[3] <= fixes for fixes in sure)]

    def _fixed_results(self, k: int | None, change: Change, wrong: set[int]) -> frozenset[int]:
        """Run an edit in batch 0, and return the wrong results that it makes right; none if it breaks a right one."""
        old = change.swap(change.new)
        try:
            value = self.program.run(k, change.writes, change) if not self.judges_more else None
            if value is UNCHANGED:
                return frozenset()
            key = None if self.judges_more else digest(value)
            if key is None or key not in self.judged:
                self.judged[key] = ()  # unless it can be judged
                self.judged[key] = self._judge(0) or () if self.judges_more else self.are_right(value, 0)
            right_after = self.judged[key]
            if _breaks(self.right_before[0], right_after):
                return frozenset()
            return frozenset(i for i in wrong if right_after[i])
        except (Exception, Stopped):
            return frozenset()
        finally:
            change.swap(old)

    def _may_fail(self, failed: set[int], change: Change) -> bool:
        """Tell whether an edit may fail in batches of other sizes: it has a number, or nothing is right without it."""
        if failed <= self.may_fail:
            return _has_size(change.place) or _has_size(change.new)
        return failed.isdisjoint(self.probes) and True not in (self.right_before[0] or ())

    def _further_probes(self) -> Collection[int]:
        """Return the batches of further sizes, which are drawn the first time."""
        with self.budget.paused():
            probes = self.further()
            self.right_before += [self._judge(p) for p in probes if p >= len(self.right_before)]
        return probes

    def _failed_probes(self, change: Change, fixes: frozenset[int], probes: Iterable[int]) -> set[int]:
        """Return the batches in which an edited function, run as a whole, does not give `fixes` or breaks a result."""
        failed = set()
        old = change.swap(change.new)
        try:
            for probe in probes:
                right_before, right_after = self.right_before[probe], self._judge(probe)
                if right_before is None:
                    continue
                if _breaks(right_before, right_after) or not all((right_after or ())[i] for i in fixes):
                    failed.add(probe)
                    if probe not in self.may_fail:
                        break
            return failed
        finally:
            change.swap(old)


def _has_size(code: ast.AST) -> bool:
    """Tell whether code has a number that may be the size of the batch, or one less."""
    return any(isinstance(n, ast.Constant) and isinstance(n.value, (int, float)) and n.value > 2
               for n in ast.walk(code))  # fmt: skip


def _breaks(right_before: Sequence[bool] | None, right_after: Sequence[bool] | None) -> bool:
    """Tell whether a result that was right is wrong after an edit, or none can be judged."""
    if right_before is None or right_after is None or len(right_before) != len(right_after):
        return True
    return any(was and not now for was, now in zip(right_before, right_after, strict=True))


def describe_changes(best: Sequence[tuple[float, Source, Change, frozenset[int]]], main: Source) -> Edit:
    """Return the `Edit` for the cheapest of some equally good edits, with the others as its alternatives."""
    texts: dict[tuple[int, str, str], tuple[Source, Change, frozenset[int]]] = {}
    described = [(cost, (line_of(change), *after_and_before(s, change)), (s, change, fixes))
                 for cost, s, change, fixes in best]  # fmt: skip
    described.sort(key=lambda g: (round(g[0], 1), len(g[1][1]) - len(g[1][2]), g[0],
                                  g[1][1].startswith("return"), len(g[1][1])))  # fmt: skip
    for _cost, key, edit in described:
        texts.setdefault(key, edit)
    (line, after, before), (source, change, fixes) = next(iter(texts.items()))
    lacks = _lacking(source, change)
    texts = {key: edit for key, edit in texts.items() if set(_lacking(*edit[:2])) <= set(lacks)}
    if after and len(after) < len(before):  # what is too much is left out, not undone by more
        texts = {key: edit for key, edit in texts.items() if len(key[1]) <= len(key[2])}
    others = [f"line {k[0]}: {k[1] or 'without ' + k[2]}" for k in [*texts][1 : 1 + MOST]]
    place_text = f"Line {line}{'' if source is main else _helper_text(source, main)}"
    sentence = f"{place_text}: write {after} instead of {before}." if after else (
        f"{place_text}: remove {before}.")  # fmt: skip
    names = sorted(assigned_names([change.place]))
    kinds = [_kind(s, c) for s, c, _ in [*texts.values()][: 1 + MOST]]
    other_kinds = tuple(dict.fromkeys(k for k in kinds if k not in (kinds[0], "edit")))
    return Edit(line, before, after, sentence, tuple(sorted(fixes)), tuple(others), tuple(names), source.name, kinds[0],
                other_kinds, lacks, source.function.__code__.co_filename)  # fmt: skip


def _lacking(source: Source, change: Change) -> tuple[str, ...]:
    """Return the names in a change that stand for nothing in its function, its closure or its module."""
    code = source.function.__code__
    outside, module = {*code.co_varnames, *code.co_freevars, *vars(builtins)}, source.function.__globals__
    unknown = [name for name in names_in(change.new) if name not in outside and name not in module]
    if not unknown:
        return ()
    parts = [*ast.walk(source.tree), *ast.walk(change.new)]
    known = {n.id for n in parts if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    known |= {n.arg for n in parts if isinstance(n, ast.arg)}
    known |= {n.name for n in parts if isinstance(n, ast.FunctionDef)}
    return tuple(name for name in unknown if name not in known)


def _kind(source: Source, change: Change) -> str:
    old = getattr(change.parent, change.field)
    return kind_of(source, change, old if change.position is None else old[change.position])


def _helper_text(source: Source, main: Source) -> str:
    """Return ``, in helper of file.py``: the name of a helper function, and its file if that is another one."""
    file = source.function.__code__.co_filename
    other = "" if file == main.function.__code__.co_filename else f" of {Path(file).name}"
    return f", in {'a lambda' if source.name == '<lambda>' else source.name}{other}"


def arguments_of(source: Source, call: Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional and keyword arguments with which the plain function is called in batch 0."""
    arguments: list[Any] = []

    def record(*args: Any, **named: Any) -> Any:
        arguments.append((args, named))
        raise ArgumentsFound

    record.__signature__ = inspect.signature(source.function)  # type: ignore[attr-defined]
    with contextlib.suppress(ArgumentsFound):
        call(source.wrap(record), 0)
    return arguments[0]  # type: ignore[no-any-return]


def numpy_name(source: Source) -> str | None:
    """Return the user's name for NumPy, such as ``np``, or None."""
    inside = (name for name, value in referenced(names_in(source.tree), source.function) if value is np)
    return next(iter((*source.numpy, *inside)), None)


def slices_of(source: Source) -> list[ast.expr]:
    """Return the different slices in a function's source, at most 12."""
    slices: dict[str, ast.expr] = {
        ast.unparse(s.node): s.node for stmt in ast.walk(source.tree) if isinstance(stmt, ast.stmt)
        for s in expressions_read(stmt) if isinstance(s.node, ast.Slice)
    }  # fmt: skip
    return list(slices.values())[:12]
