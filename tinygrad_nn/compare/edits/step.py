"""Search the smallest edit of one line, after which the name that it assigns holds the right value.

The line is the one that assigns the value, or one before it that the value depends on.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..budget import Budget
from .candidates import CandidateWriter
from .dependencies import (
    Behind,
    Block,
    KnownGradient,
    Nest,
    Piece,
    Reader,
    assigns,
    bind,
    called_helpers,
    names_at,
    reader,
    spans,
)  # fmt: skip
from .edited_code import compile_statement
from .influence import names_of
from .moments import Moment, Place, moment_before
from .reading import TICK, Source, is_tick, read_source
from .running import Stopped, Ticker, copy_names, without_output
from .scope import Scope, fields_used
from .search import Call, Edit, describe_changes, numpy_name, slices_of
from .statement import statement_changes
from .text import after_and_before
from .trees import Change, statements

Array = np.ndarray[Any, Any]

CLOSE = 1e-7  # allowed difference, relative to the largest entry; both are float64, summed in different order
SECONDS = 0.7  # rough limit of processor time
BESIDE = 0.31  # as in `search`
EARLIER = 0.08  # added cost of an edit of another line than the one that assigns the value
RETURN = 0.2  # added cost of an edit of the line that only returns the gradient
ADDED = 0.12  # cost of an edit that makes the line longer, if lines are compared
MANY = 16  # most edits that are compared
SEVERAL = 0.5  # cost that an edit saves if it makes other wrong gradients right as well
ROUNDS = 100_000  # most rounds of loops in a piece of code that runs again


def edit_of_step(
    backward: Callable[..., Any], call: Call, name: str, lineno: int, right_gradients: Sequence[Array | None], *,
    visit: int = -1, values: Callable[[int], Mapping[str, Any]] | None = None, seconds: float = SECONDS,
    file: str = "", behind: Behind | None = None,
) -> Edit | None:  # fmt: skip
    """Return the smallest edit of one line of a backward after which a name holds the right value, or None.

    Only this line runs again, with the names as they were before it in the user's own run. So the edit makes the step
    right by its own rule, whatever is wrong before or after it. With `behind`, the lines that it depends on are edited
    as well, as far as they assign no other gradient; then all lines from the edited one on run again.

    Args:
        backward: the user's function; the line may also be in another function or method that it calls.
        call: ``call(f, probe)`` calls f with the arguments of batch `probe`, as the backward is called.
        name: what the line assigns: ``dvar``, also ``grads["W"]`` or ``self.dW``.
        lineno: the first line of the statement in its file.
        right_gradients: for each batch, from 0, the right value of the name after the line; None leaves the batch out.
        visit: the run of the line, counted from 0, if it runs more than once; -1 is the last.
        values: for a batch, names and arrays that are not in scope but could be (of the forward pass).
        seconds: approximate limit of processor time.
        file: the file of the line, if it is not that of the backward.
        behind: what is known of the other gradients.

    Returns:
        An `Edit`, whose `sentence` is ready to be shown.

    Example:
        >>> import numpy as np
        >>> def backward(x, dout):
        ...     dx = dout * x
        ...     return dx
        >>> x = [np.arange(3.0), np.arange(4.0)]
        >>> edit_of_step(backward, lambda f, probe: f(x[probe], np.ones_like(x[probe])), "dx",
        ...              backward.__code__.co_firstlineno + 1, [2 * x[0], 2 * x[1]]).after
        'dx = 2 * (dout * x)'
    """
    try:
        source = read_source(backward)
        if source is None:
            return None
        with without_output(), Budget(seconds) as budget:
            place = Place(name, file or source.function.__code__.co_filename, lineno, lineno, visit)
            search = _StepSearch(source, backward, call, values or (lambda probe: {}), budget)
            return search.edit(place, right_gradients, behind)
    except (Exception, Stopped):  # user code may raise anything when a line of it runs by itself
        return None


def is_right_from_right(
    backward: Callable[..., Any], call: Call, behind: Behind, known_gradients: Sequence[Sequence[KnownGradient] | None],
    right_gradients: Sequence[Array | None],
) -> bool:  # fmt: skip
    """Tell whether a line gives the right gradient if all gradients that come into it are right.

    Such a line is no mistake, though it may not follow its own rule with wrong ones, as if it used that they add up
    to zero.

    Args:
        backward, call: as in `edit_of_step`.
        behind: the gradient, and what is known of the others.
        known_gradients: for each batch, the other gradients.
        right_gradients: for each batch, the right gradient.
    """
    try:
        source = read_source(backward)
        if source is None:
            return False
        with without_output(), Budget(SECONDS) as budget:
            search = _StepSearch(source, backward, call, lambda probe: {}, budget)
            return search.is_right_from_right(behind, known_gradients, right_gradients)
    except (Exception, Stopped):  # user code may raise anything when a line of it runs by itself
        return False


class _StepSearch:
    """The search for the edit of one step; each candidate has the pieces of code that run with it, one a batch."""

    def __init__(self, main: Source, backward: Any, call: Call, values: Callable[[int], Mapping[str, Any]],
                 budget: Budget) -> None:  # fmt: skip
        self.main, self.backward, self.call, self.values, self.budget = main, backward, call, values, budget
        self.ticker = Ticker()
        self.ticker.limit = ROUNDS
        self.owner, self.nest = main, Nest(main)

    def edit(self, place: Place, right_gradients: Sequence[Array | None], behind: Behind | None) -> Edit | None:
        """Return the smallest edit of the line at `place`, or of one before it."""
        self._begin(place, right_gradients)
        stmt = _statement(self.owner, place.line)
        candidates = [*self._of_line(stmt, place)]
        if behind is not None:
            candidates += self._before(behind)
            candidates += self._of_helpers(behind)
            candidates += self._of_loop(behind)
        good_edits: list[tuple[float, Source, Change, frozenset[int]]] = []
        for cost, change, pieces, top, source in sorted(candidates, key=lambda c: c[0]):
            if (
                self.budget.is_over
                or (good_edits and cost > min(g[0] for g in good_edits) + BESIDE)
                or len(good_edits) > MANY
            ):
                break
            for piece, _ in pieces:
                piece.base()  # as the code is, before the change
            old = change.swap(change.new)
            try:
                edited = (change.new if old is top else top), top, change
                others_fixed = self._fixed_steps(
                    pieces, edited, behind if top is not stmt or source is not self.owner else None
                )
            finally:
                change.swap(old)
            if others_fixed is not None:
                cost += SEVERAL * (cost < 0.9 and not others_fixed)  # it does not make others right
                good_edits.append(
                    (cost, source, change, frozenset({0 if behind is None else behind.step, *others_fixed}))
                )
        if (
            len({change.place for _, _, change, _ in good_edits}) > 1
        ):  # rather a change of what is there than an addition
            good_edits = [(cost + ADDED * _is_longer(source, change), source, change, fixes)
                          for cost, source, change, fixes in good_edits]  # fmt: skip
        return describe_changes(good_edits, self.main) if good_edits else None

    def _begin(self, place: Place, right_gradients: Sequence[Array | None]) -> None:
        """Find the function of a line; raise LookupError if its source is not known."""
        self.probes = [probe for probe, right in enumerate(right_gradients) if right is not None]
        self.right_gradients = [np.asarray(right) for right in right_gradients if right is not None]
        first = self._moment(self.probes[0], place, {})
        if first.function.__code__ is not self.main.function.__code__:
            owner = read_source(first.function)
            if owner is None:
                raise LookupError("the function of the line cannot be read")
            self.owner, self.nest = owner, Nest(owner)

    def is_right_from_right(
        self, behind: Behind, known_gradients: Sequence[Sequence[KnownGradient] | None],
        right_gradients: Sequence[Array | None],
    ) -> bool:  # fmt: skip
        """Run the line, and the lines behind it, with right gradients in place of wrong ones."""
        self._begin(behind.place, right_gradients)
        end = _statement(self.owner, behind.place.line)
        judged = {t.place.line for t in behind.others if t.place.file == behind.place.file} - {end.lineno}
        starts = [(stmt, self.nest.blocks(stmt, end, end.lineno)) for stmt in self.nest.behind(end, judged)]
        first = min((stmt.lineno for stmt, blocks in starts if blocks), default=0)
        blocks = next((blocks for stmt, blocks in starts if blocks and stmt.lineno == first), None) or [([end], set())]
        place = behind.place._replace(end=spans([end])[end.lineno])
        lines = spans([_first(part) for part, _ in blocks])
        for probe, right in zip(self.probes, self.right_gradients, strict=True):
            moment = self._moment(probe, place, lines)
            new_blocks = [Block(self._names(names_at(moment, _first(part).lineno, place) or {}, probe), part, carried)
                          for part, carried in blocks]  # fmt: skip
            piece = Piece(new_blocks, {end.lineno: [(behind.step, reader(place.label))]}, self.ticker)
            values = piece.run(None, lambda names, line, there=known_gradients[probe] or (): _put(names, line, there))  # type: ignore[misc]
            if not _is_close(values.get(behind.step), right):
                return False
        return True

    def _moment(self, probe: int, place: Place, earlier: Mapping[int, int]) -> Moment:
        moment = moment_before(lambda: self.call(self.backward, probe), place, earlier)
        if moment is None:
            raise LookupError(f"line {place.line} did not run")
        return moment

    def _names(self, names: Mapping[str, Any], probe: int) -> dict[str, Any]:
        numpy = {name: value for name, value in self.owner.function.__globals__.items() if value is np}
        return {"__builtins__": builtins, **numpy, **self.values(probe), **names, TICK: self.ticker}

    def _writer(self, source: Source, stmt: ast.stmt, names: Mapping[str, Any]) -> tuple[CandidateWriter, list[Change]]:
        probe = self.probes[0]
        used, fields = fields_used(source.tree)
        local = {name: value for name, value in names.items() if name in source.function.__code__.co_varnames
                 or name in source.function.__code__.co_cellvars}  # fmt: skip
        extra = {n: v for n, v in self.values(probe).items() if n not in names}
        scope = Scope(self._names(names, probe), local, extra)
        scope.find_atoms(used, fields)
        writer = CandidateWriter(stmt, scope, numpy_name(source), slices_of(source))
        parent, field, index = next(s[1:] for s in statements(source.tree.body) if s[0] is stmt)
        if isinstance(parent, ast.Module):
            parent, field, index = source.tree, "body", source.tree.body.index(stmt)
        return writer, [*writer.changes(), *statement_changes(writer, parent, field, index)]

    def _of_line(self, stmt: ast.stmt, place: Place) -> Iterator[Any]:
        """Yield the edits of the line that assigns the gradient; what else it assigns keeps its value."""
        place = place._replace(end=spans([stmt])[stmt.lineno])
        moments = [self._moment(probe, place, {}) for probe in self.probes]
        pieces: list[tuple[Piece, dict[int, Array]]] = []
        for moment, probe in zip(moments, self.probes, strict=True):
            names = self._names(moment.names, probe)
            readers = [reader(label) for label in (place.label, *_others(stmt, place.label))]
            stays = [_after(stmt, names, read, self.ticker) for read in readers[1:]]
            beside = enumerate(zip(readers[1:], stays, strict=True), 1)
            reads = [(0, readers[0]), *((-k, read) for k, (read, was) in beside if was is not None)]
            piece = Piece([Block(names, [stmt])], {stmt.lineno: reads}, self.ticker)
            pieces.append((piece, {-k: was for k, was in enumerate(stays, 1) if was is not None}))
        for change in self._writer(self.owner, stmt, moments[0].names)[1]:
            yield change.cost + RETURN * isinstance(stmt, ast.Return), change, pieces, stmt, self.owner

    def _before(self, behind: Behind) -> Iterator[Any]:
        """Yield the edits of the lines before, each with the code from there on."""
        end = _statement(self.owner, behind.place.line)
        others = [t for t in behind.others if t.place.file == behind.place.file]
        judged = {t.place.line for t in others} - {end.lineno}
        starts = self.nest.behind(end, judged)
        body = self.nest.path(end)[-1][0]
        beside = {stmt.lineno: stmt for stmt in body}
        near = [t for t in others if t.place.line in beside and assigns(beside[t.place.line], t.place.label)]
        parts = {}
        for start in starts:
            tops = [t for t in near if t.place.line > start.lineno and start in self.nest.behind(
                beside[t.place.line], (judged | {end.lineno}) - {t.place.line})]  # fmt: skip
            last = max((t.place.line for t in tops), default=end.lineno)
            blocks = self.nest.blocks(start, end, last)
            if blocks is not None:
                parts[start.lineno] = start, tops, blocks
        lines = spans([stmt for start, _, blocks in parts.values()
                       for stmt in (start, *(_first(part) for part, _ in blocks))])  # fmt: skip
        place = behind.place._replace(end=spans([end])[end.lineno])
        moments = [self._moment(probe, place, lines) for probe in self.probes]
        for start, tops, blocks in parts.values():
            targets = [(behind.step, behind.place.label, end.lineno),
                       *((t.step, t.place.label, t.place.line) for t in tops)]  # fmt: skip
            pieces: list[tuple[Piece, dict[int, Array]]] = []
            for moment, probe in zip(moments, self.probes, strict=True):
                named_blocks = [
                    (names_at(moment, _first(part).lineno, place), part, carried) for part, carried in blocks
                ]
                if any(names is None for names, _, _ in named_blocks):
                    break
                reads: dict[int, list[tuple[int, Reader]]] = {}
                for step, label, line in targets:
                    reads.setdefault(line, []).append((step, reader(label)))
                pieces.append((Piece([Block(self._names(names or {}, probe), part, carried)
                                      for names, part, carried in named_blocks], reads, self.ticker), {}))  # fmt: skip
            names_before = names_at(moments[0], start.lineno, place)
            if len(pieces) < len(moments) or names_before is None or self._is_of_forward(start, moments[0]):
                continue
            cost = EARLIER - SEVERAL * any(t.step in behind.wrong for t in tops)
            for change in self._writer(self.owner, start, names_before)[1]:
                yield change.cost + cost, change, pieces, blocks[0][0][0], self.owner

    def _is_of_forward(self, stmt: ast.stmt, moment: Moment) -> bool:
        """Tell whether a statement only gives values of the forward the names that they have there."""
        values = self.values(self.probes[0])
        stored = names_of(stmt)[0]
        is_same = [name in values and name in moment.names
                and _is_close(np.asarray(moment.names[name]), np.asarray(values[name])) for name in stored]  # fmt: skip
        return bool(is_same) and all(is_same)

    def _of_loop(self, behind: Behind) -> Iterator[Any]:
        """Yield the edits of the line, and of those behind it, in all rounds of a loop that adds up the gradient."""
        end = _statement(self.owner, behind.place.line)
        body, index = self.nest.path(end)[0]
        loop = body[index]
        if not isinstance(loop, (ast.For, ast.While)) or end is loop:
            return
        inside = {stmt.lineno: stmt for stmt in ast.walk(loop) if isinstance(stmt, ast.stmt) and not is_tick(stmt)}
        near = [t for t in behind.others if t.place.file == behind.place.file and t.place.line in inside
                and assigns(inside[t.place.line], t.place.label)]  # fmt: skip
        judged = {t.place.line for t in near} - {end.lineno}
        starts = [end, *(stmt for stmt in self.nest.behind(end, judged) if stmt.lineno in inside), loop]
        place = Place("", behind.place.file, loop.lineno, spans([loop])[loop.lineno])
        moments = [self._moment(probe, place, {}) for probe in self.probes]
        places = [behind.place._replace(end=spans([end])[end.lineno]), *(
            Place("", place.file, stmt.lineno, spans([stmt])[stmt.lineno]) for stmt in starts[1:])]  # fmt: skip
        places[-1] = place._replace(end=loop.lineno)
        scopes = [self._moment(self.probes[0], one, {}).names for one in places]
        pieces: list[tuple[Piece, dict[int, Array]]] = []
        for moment, probe in zip(moments, self.probes, strict=True):
            reads = [(behind.step, reader(behind.place.label)), *((t.step, reader(t.place.label)) for t in near)]
            block = Block(self._names(moment.names, probe), [loop])
            values = Piece([block], {loop.lineno: reads}, self.ticker).run(None)
            # of the others, those that the loop adds up: what they hold after it is the gradient
            same_steps = behind.same(probe, values)
            if behind.step not in same_steps:
                return
            reads = [read for read in reads if read[0] in same_steps]
            pieces.append((Piece([block], {loop.lineno: reads}, self.ticker, is_loop=True), {}))
        for stmt, names in zip(starts, scopes, strict=True):
            others = any(t.step in behind.wrong for t in near if stmt is not end)
            cost = EARLIER * (stmt is not end) - SEVERAL * others
            for change in self._writer(self.owner, stmt, names)[1]:
                yield change.cost + cost, change, pieces, loop, self.owner

    def _of_helpers(self, behind: Behind) -> Iterator[Any]:
        """Yield the edits of the functions that the line, or one behind it, calls by name."""
        end = _statement(self.owner, behind.place.line)
        judged = {t.place.line for t in behind.others if t.place.file == behind.place.file} - {end.lineno}
        starts = [(end, [([end], set[str]())])]
        for stmt in self.nest.behind(end, judged):
            blocks = self.nest.blocks(stmt, end, end.lineno)
            starts += [] if blocks is None else [(stmt, blocks)]
        place = behind.place._replace(end=spans([end])[end.lineno])
        visited = set[str]()
        for start, blocks in starts:
            for helper in called_helpers(self.owner, start, behind.forward_code):
                if helper.name in visited:
                    continue
                visited.add(helper.name)
                lines = spans([_first(part) for part, _ in blocks])
                pieces: list[tuple[Piece, dict[int, Array]]] = []
                for probe in self.probes:
                    moment = self._moment(probe, place, lines)
                    new_blocks = [
                        Block(self._names(names_at(moment, _first(part).lineno, place) or {}, probe), part, carried)
                        for part, carried in blocks
                    ]
                    reads = {end.lineno: [(behind.step, reader(behind.place.label))]}
                    pieces.append((Piece(new_blocks, reads, self.ticker, helper), {}))
                for stmt, *_ in statements(helper.statements):
                    if is_tick(stmt):
                        continue
                    inside = Place("", helper.function.__code__.co_filename, stmt.lineno, spans([stmt])[stmt.lineno])
                    names = self._moment(self.probes[0], inside, {}).names
                    for change in self._writer(helper, stmt, names)[1]:
                        yield change.cost + EARLIER, change, pieces, None, helper

    def _fixed_steps(
        self, pieces: Sequence[tuple[Piece, Mapping[int, Array]]], edited: Any, behind: Behind | None
    ) -> Any:
        """Run an edit in all batches; return the other steps that it makes right, or None if it does not fit."""
        others_fixed: set[int] = set()
        for k, ((piece, stays), right) in enumerate(zip(pieces, self.right_gradients, strict=True)):
            try:
                values = piece.run(edited)
            except (Exception, Stopped):
                return None
            step = 0 if behind is None else behind.step
            if behind is None:
                if not _is_close(values.get(step), right) or not all(_is_close(values.get(i), x)
                                                                     for i, x in stays.items()):  # fmt: skip
                    return None
                continue
            if values.get(step) is None or values[step].shape != right.shape:
                return None
            before = piece.base().get(step)
            if before is not None and _is_close(values[step], before):
                return None  # the edit changes nothing
            if not piece.is_loop and not _is_close(values[step], right) and all(
                    _is_close(values[i], x) for i, x in piece.base().items() if i != step):  # fmt: skip
                return None  # what comes in is the same, and the gradient is not right
            right_steps = behind.judge(self.probes[k], values)
            if step not in right_steps or any(i not in right_steps and i not in behind.wrong for i in values):
                return None
            fixed_here = {i for i in values if i != step and i in right_steps and i in behind.wrong}
            others_fixed = fixed_here if not k else others_fixed & fixed_here
        return others_fixed


def _put(names: dict[str, Any], line: int, known_gradients: Sequence[KnownGradient]) -> None:
    """Bind gradients to their right values: those that a line assigned; at line 0 all that have the user's values."""
    for gradient in known_gradients:
        if line in (0, gradient.place.line):
            read = reader(gradient.place.label)
            try:
                present = np.asarray(read(names))
            except Exception:  # user code may raise anything when a part of an object is read
                continue
            if line or (
                present.shape == gradient.user_gradient.shape
                and np.array_equal(present, gradient.user_gradient, equal_nan=True)
            ):
                bind(gradient.place.label, names, gradient.right_gradient)


def _is_longer(source: Source, change: Change) -> bool:
    after, before = after_and_before(source, change)
    return len(after) > len(before) + 2


def _first(part: Sequence[ast.stmt]) -> ast.stmt:
    return next((stmt for stmt in part if not is_tick(stmt)), part[0])


def _others(place: ast.stmt, label: str) -> list[str]:
    """Return what a line assigns besides `label`, as in ``dx, dw = ...``."""
    targets = [part for t in getattr(place, "targets", ()) if isinstance(t, (ast.Tuple, ast.List)) for part in t.elts]
    return [text for text in map(ast.unparse, targets) if text != ast.unparse(ast.parse(label))]


def _after(place: ast.stmt, env: Mapping[str, Any], read: Reader, ticker: Ticker) -> Array | None:
    """Return what a label holds after a line ran in a copy of `env`; None if that is no array of numbers."""
    try:
        space = copy_names(env)
        ticker.start()
        exec(compile_statement(place), space)
        value = np.asarray(read(space))
    except (Exception, Stopped):
        return None
    return value if value.dtype.kind in "fciu" else None


def _is_close(value: Array | None, right: Array) -> bool:
    """Tell whether an array has the shape and, up to `CLOSE`, the values of `right`."""
    if value is None or value.dtype.kind not in "fciu" or value.shape != right.shape:
        return False
    size = max(float(np.abs(right).max(initial=0)), 1e-300)
    return bool((np.abs(value - right) <= CLOSE * size).all())


def _statement(source: Source, lineno: int) -> ast.stmt:
    """Return the innermost statement of a function that begins at a line; raise LookupError if there is none."""
    found_statements = [
        stmt for stmt, *_ in statements(source.statements) if stmt.lineno == lineno and not is_tick(stmt)
    ]
    if found_statements:
        return found_statements[-1]
    raise LookupError(f"no statement begins at line {lineno}")
