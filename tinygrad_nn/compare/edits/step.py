"""Search the smallest edit of one line, after which the name that it assigns holds the right value.

The line is the one that assigns the value, or one before it that the value depends on.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

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
    Target,
    assigns,
    bind,
    called_helpers,
    reader,
)  # fmt: skip
from .edited_code import compile_statement
from .influence import names_of
from .moments import Moment, Place, moment_before
from .reading import Source, read_source
from .running import Stopped, Ticker, copy_names, without_output
from .scope import Scope, fields_used
from .search import Call, Edit, describe_changes, numpy_name, slices_of
from .statement import statement_changes
from .text import after_and_before
from .trees import TICK, Change, is_tick, statements

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
            place = Place(name, file or source.function.__code__.co_filename, lineno, visit)
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


class _Candidate(NamedTuple):
    """An edit to try: its cost, the code that runs with it in each batch, the statement there that has it, its source.

    The statement is None if the edit is in a helper. `is_alone` says that only the line itself runs, so that it must
    give the right gradient; else the gradients are judged by their own rules.
    """

    cost: float
    change: Change
    pieces: Sequence[Piece]
    top: ast.stmt | None
    source: Source
    is_alone: bool = False


Blocks = Sequence[tuple[Sequence[ast.stmt], Collection[str]]]


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
        candidates = [*self._of_line(_statement(self.owner, place.line), place)]
        if behind is not None:
            candidates += self._before(behind)
            candidates += self._of_helpers(behind)
            candidates += self._of_loop(behind)
        good_edits: list[tuple[float, Source, Change, frozenset[int]]] = []
        for candidate in sorted(candidates, key=lambda c: c.cost):
            cost, change, pieces, _, source, _ = candidate
            if (
                self.budget.is_over
                or (good_edits and cost > min(g[0] for g in good_edits) + BESIDE)
                or len(good_edits) > MANY
            ):
                break
            for piece in pieces:
                piece.base()  # as the code is, before the change
            old = change.swap(change.new)
            try:
                fixes = self._fixed_steps(candidate, behind)
            finally:
                change.swap(old)
            if fixes:
                cost += SEVERAL * (cost < 0.9 and len(fixes) == 1)  # it does not make others right
                good_edits.append((cost, source, change, fixes))
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
        function = self._moments(place, ())[0].function
        if function.__code__ is not self.main.function.__code__:
            owner = read_source(function)
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
        starts = self._starts(end, behind)
        first = min((stmt.lineno for stmt, _ in starts), default=0)
        blocks = next((blocks for stmt, blocks in starts if stmt.lineno == first), [([end], ())])
        moments = self._moments(behind.place, [end, *map(_first_of, blocks)])
        pieces = self._pieces(moments, blocks, [behind.target])
        values = [
            piece.run(None, lambda names, line, known=known_gradients[probe] or (): _put(names, line, known))  # type: ignore[misc]
            for piece, probe in zip(pieces, self.probes, strict=True)
        ]
        return all(_is_close(x.get(behind.step), right) for x, right in zip(values, self.right_gradients, strict=True))

    def _moments(self, place: Place, stmts: Sequence[ast.stmt]) -> list[Moment]:
        """Return the names before the line at `place`, and before other statements, in each batch."""
        moments = []
        for probe in self.probes:
            moment = moment_before(lambda probe=probe: self.call(self.backward, probe), place, stmts)  # type: ignore[misc]
            if moment is None:
                raise LookupError(f"line {place.line} did not run")
            moments.append(moment)
        return moments

    def _pieces(
        self, moments: Sequence[Moment], blocks: Blocks, targets: Sequence[Target],
        helper: Source | None = None, is_loop: bool = False,
    ) -> list[Piece]:  # fmt: skip
        """Return the piece of code to run again in each batch; [] if a part of it did not run before."""
        pieces = []
        for moment, probe in zip(moments, self.probes, strict=True):
            names = [moment.names.get(_first_of(block).lineno) for block in blocks]
            if None in names:
                return []
            named_blocks = [Block(self._names(known or {}, probe), part, carried)
                            for known, (part, carried) in zip(names, blocks, strict=True)]  # fmt: skip
            pieces.append(Piece(named_blocks, targets, self.ticker, helper, is_loop))
        return pieces

    def _starts(self, end: ast.stmt, behind: Behind) -> list[tuple[ast.stmt, Blocks]]:
        """Return the statements that a line depends on, each with what runs from there to the line."""
        judged = {t.place.line for t in behind.others if t.place.file == behind.place.file} - {end.lineno}
        starts = [(stmt, self.nest.blocks(stmt, end, end.lineno)) for stmt in self.nest.behind(end, judged)]
        return [(stmt, blocks) for stmt, blocks in starts if blocks]

    def _names(self, names: Mapping[str, Any], probe: int) -> dict[str, Any]:
        return {"__builtins__": builtins, **self.owner.numpy, **self.values(probe), **names, TICK: self.ticker}

    def _changes(self, source: Source, stmt: ast.stmt, names: Mapping[str, Any]) -> list[Change]:
        """Return the edits of a statement that sees some names in the first batch."""
        probe = self.probes[0]
        used, fields = fields_used(source.tree)
        local = {name: value for name, value in names.items() if name in source.function.__code__.co_varnames
                 or name in source.function.__code__.co_cellvars}  # fmt: skip
        extra = {n: v for n, v in self.values(probe).items() if n not in names}
        scope = Scope(self._names(names, probe), local, extra)
        scope.find_atoms(used, fields)
        writer = CandidateWriter(stmt, scope, numpy_name(source), slices_of(source))
        place = next(place for other, *place in source.placed(source.tree.body) if other is stmt)
        return [*writer.changes(), *statement_changes(writer, *place)]

    def _of_line(self, stmt: ast.stmt, place: Place) -> Iterator[_Candidate]:
        """Yield the edits of the line that assigns the gradient; what else it assigns keeps its value."""
        moments = self._moments(place, [stmt])
        pieces = self._pieces(moments, [([stmt], ())], [Target(0, place)])
        for piece in pieces:
            for k, label in enumerate(_others(stmt, place.label), 1):
                read = reader(label)
                was = _after(stmt, piece.blocks[0].names, read, self.ticker)
                if was is not None:
                    piece.stays[-k] = was
                    piece.reads[stmt.lineno].append((-k, read))
        for change in self._changes(self.owner, stmt, moments[0].names[stmt.lineno]):
            cost = change.cost + RETURN * isinstance(stmt, ast.Return)
            yield _Candidate(cost, change, pieces, stmt, self.owner, is_alone=True)

    def _before(self, behind: Behind) -> Iterator[_Candidate]:
        """Yield the edits of the lines before, each with the code from there on."""
        end = _statement(self.owner, behind.place.line)
        others = [t for t in behind.others if t.place.file == behind.place.file]
        judged = {t.place.line for t in others} - {end.lineno}
        beside = {stmt.lineno: stmt for stmt in self.nest.path(end)[-1][0]}
        near = [t for t in others if t.place.line in beside and assigns(beside[t.place.line], t.place.label)]
        parts = []
        for start in self.nest.behind(end, judged):
            tops = [t for t in near if t.place.line > start.lineno and start in self.nest.behind(
                beside[t.place.line], (judged | {end.lineno}) - {t.place.line})]  # fmt: skip
            last = max((t.place.line for t in tops), default=end.lineno)
            blocks = self.nest.blocks(start, end, last)
            if blocks is not None:
                parts.append((start, tops, blocks))
        stmts = [end, *(stmt for start, _, blocks in parts for stmt in (start, *map(_first_of, blocks)))]
        moments = self._moments(behind.place, stmts)
        for start, tops, blocks in parts:
            pieces = self._pieces(moments, blocks, [behind.target, *tops])
            names_before = moments[0].names.get(start.lineno)
            if not pieces or names_before is None or self._is_of_forward(start, moments[0].names[end.lineno]):
                continue
            cost = EARLIER - SEVERAL * any(t.step in behind.wrong for t in tops)
            for change in self._changes(self.owner, start, names_before):
                yield _Candidate(change.cost + cost, change, pieces, blocks[0][0][0], self.owner)

    def _is_of_forward(self, stmt: ast.stmt, names: Mapping[str, Any]) -> bool:
        """Tell whether a statement, after which the names are `names`, only names values of the forward as it does."""
        values = self.values(self.probes[0])
        stored = names_of(stmt)[0]
        is_same = [name in values and name in names
                and _is_close(np.asarray(names[name]), np.asarray(values[name])) for name in stored]  # fmt: skip
        return bool(is_same) and all(is_same)

    def _of_loop(self, behind: Behind) -> Iterator[_Candidate]:
        """Yield the edits of the line, and of those behind it, in all rounds of a loop that adds up the gradient."""
        end = _statement(self.owner, behind.place.line)
        body, index = self.nest.path(end)[0]
        loop = body[index]
        if not isinstance(loop, (ast.For, ast.While)) or end is loop:
            return
        inside = {stmt.lineno: stmt for stmt, *_ in statements([loop])}
        near = [t for t in behind.others if t.place.file == behind.place.file and t.place.line in inside
                and assigns(inside[t.place.line], t.place.label)]  # fmt: skip
        judged = {t.place.line for t in near} - {end.lineno}
        starts = [end, *(stmt for stmt in self.nest.behind(end, judged) if stmt.lineno in inside), loop]
        moments = self._moments(Place("", behind.place.file, loop.lineno), [loop])
        targets = [Target(t.step, t.place._replace(line=loop.lineno)) for t in (behind.target, *near)]
        # of the others, those that the loop adds up: what they hold after it is the gradient
        summed = {t.step for t in targets}
        for piece, probe in zip(self._pieces(moments, [([loop], ())], targets), self.probes, strict=True):
            summed &= {*behind.same(probe, piece.run())}
        pieces = self._pieces(moments, [([loop], ())], [t for t in targets if t.step in summed], is_loop=True)
        for stmt in starts if behind.step in summed else ():
            visit = behind.place.visit if stmt is end else -1
            place = Place("", behind.place.file, stmt.lineno, visit)
            names = self._moments(place, [] if stmt is loop else [stmt])[0].names[stmt.lineno]
            others = any(t.step in behind.wrong for t in near if stmt is not end)
            cost = EARLIER * (stmt is not end) - SEVERAL * others
            for change in self._changes(self.owner, stmt, names):
                yield _Candidate(change.cost + cost, change, pieces, loop, self.owner)

    def _of_helpers(self, behind: Behind) -> Iterator[_Candidate]:
        """Yield the edits of the functions that the line, or one behind it, calls by name."""
        end = _statement(self.owner, behind.place.line)
        visited = set[str]()
        for start, blocks in [(end, [([end], ())]), *self._starts(end, behind)]:
            for helper in called_helpers(self.owner, start, behind.forward_code):
                if helper.name in visited:
                    continue
                visited.add(helper.name)
                moments = self._moments(behind.place, [end, *map(_first_of, blocks)])
                pieces = self._pieces(moments, blocks, [behind.target], helper)
                for stmt in helper.all_statements if pieces else ():
                    inside = Place("", helper.function.__code__.co_filename, stmt.lineno)
                    names = self._moments(inside, [stmt])[0].names[stmt.lineno]
                    for change in self._changes(helper, stmt, names):
                        yield _Candidate(change.cost + EARLIER, change, pieces, None, helper)

    def _fixed_steps(self, candidate: _Candidate, behind: Behind | None) -> frozenset[int]:
        """Run an edit in all batches; return the steps that it makes right, none if the step itself is not."""
        step = 0 if behind is None else behind.step
        others_fixed: set[int] | None = None
        for piece, probe, right in zip(candidate.pieces, self.probes, self.right_gradients, strict=True):
            try:
                values = piece.run((candidate.top, candidate.change))
            except (Exception, Stopped):
                return frozenset()
            if candidate.is_alone or behind is None:
                if not all(_is_close(values.get(k), x) for k, x in {0: right, **piece.stays}.items()):
                    return frozenset()
                continue
            if values.get(step) is None or values[step].shape != right.shape:
                return frozenset()
            before = piece.base().get(step)
            if before is not None and _is_close(values[step], before):
                return frozenset()  # the edit changes nothing
            if not piece.is_loop and not _is_close(values[step], right) and all(
                    _is_close(values[i], x) for i, x in piece.base().items() if i != step):  # fmt: skip
                return frozenset()  # what comes in is the same, and the gradient is not right
            right_steps = behind.judge(probe, values)
            if step not in right_steps or any(i not in right_steps and i not in behind.wrong for i in values):
                return frozenset()
            fixed_here = {i for i in values if i in right_steps and i in behind.wrong}
            others_fixed = fixed_here if others_fixed is None else others_fixed & fixed_here
        return frozenset({step, *(others_fixed or ())})


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


def _first_of(block: tuple[Sequence[ast.stmt], Collection[str]]) -> ast.stmt:
    return next((stmt for stmt in block[0] if not is_tick(stmt)), block[0][0])


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
    found_statements = [stmt for stmt in source.all_statements if stmt.lineno == lineno]
    if found_statements:
        return found_statements[-1]
    raise LookupError(f"no statement begins at line {lineno}")
