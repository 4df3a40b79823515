"""Turns unrolled Python loops in a program back into loops: repeated operations become one loop operation.

A trace records every step of ``for t in range(T)``, so a program can have thousands of similar operations. If steps
consist of the same operations (`periods`), this module looks at where the arguments of each operation come from:

- A value made in the same step is inside the loop's body; one made in an earlier step becomes a carry.
- An outer value that is the same in all steps is closed over. Numbers and constants that differ by step, and different
  rows of one array, become rows of arrays that the loop runs along (`rows`), like the `xs` of `scan`.
- A value that is read after the loop is the last carry, or a row of an array in which the loop stacks its results.

The backward pass of such a loop is a run of similar operations too; its rows are the arrays that the forward loop has
stacked. The order of operations does not change, so each result keeps its bits. Steps at either end that do not fit
stay outside the loop.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..numba.expressions import ufunc_dtypes
from .control import Body, Loop, shape_and_dtype
from .periods import Run, find_runs
from .rows import Rows, append_view, stack_row_gradients, stack_rows
from .simplify import live_operations
from .values import VIEWS, Op, Program, Value, append_cast, number_results

STEPS = 8  # the fewest steps for which a loop is worth it
LEAST = 256  # the fewest operations that all loops together must save
SCALARS = 4096  # the same for a program of single numbers, which is faster as straight-line code
LAG = 4  # a step may read values that were made at most this many steps before
NUMBERS: dict[Any, Any] = {
    operator.add: np.add, operator.sub: np.subtract, operator.mul: np.multiply, operator.truediv: np.divide,
    operator.neg: np.negative,
}  # fmt: skip


def roll_loops(program: Program) -> Program:
    """Return the program with repeated operations as loops, or the program itself if that saves too little."""
    before = [op for op in program.ops if op.kind not in VIEWS]
    sizes = [x.size for op in before for x in op.outs if isinstance(x.dtype, np.dtype)]
    least = SCALARS if max(sizes, default=1) == 1 else LEAST
    if len(before) > least:
        ops = LoopSearch(stack_row_gradients(program.ops, program.outputs), program.outputs).all()
        if len(before) - sum(op.kind not in VIEWS for op in ops) >= least:
            number_results(ops)
            return Program(ops, program.inputs, program.outputs)
    for op in program.ops:
        for out in op.outs:
            out.op = op
    return program


class LoopSearch:
    """The search for loops in a list of operations.

    Attributes:
        place: value -> the number of the operation that makes it.
        last: value -> the number of the operation that reads it last; for outputs, the number of operations.
    """

    def __init__(self, ops: list[Op], outputs: list[Any]) -> None:
        self.ops, self.outputs = ops, outputs
        self.place = {out: i for i, op in enumerate(ops) for out in op.outs}
        self.last = {x: i for i, op in enumerate(ops) for x in op.values}
        self.last.update({x: len(ops) for x in outputs if isinstance(x, Value)})

    def all(self) -> list[Op]:
        """Return the operations with all loops rolled."""
        new_ops: list[Op] = []
        done = 0
        for choices in _best_runs(find_runs(self.ops, STEPS)):
            for run in choices:
                loop = Rolled(self, run) if run.start >= done else None
                if loop is not None and loop.resolve_sources():
                    new_ops += [*self.ops[done : loop.start], *loop.written()]
                    done = loop.stop
        return live_operations(stack_rows([*new_ops, *self.ops[done:]]), self.outputs)


def _best_runs(runs: Sequence[Run]) -> list[list[Run]]:
    """Return the runs that save most and do not overlap each other, in order, each as the first of a list.

    The list goes on with runs that overlap it: these are tried if it is not a loop, or for operations that it leaves.
    """
    chosen: list[list[Run]] = []
    for run in runs:
        over = [some for some in chosen if run.start < some[0].stop and some[0].start < run.stop]
        if not over:
            chosen.append([run])
        elif len(over) == 1:
            over[0].append(run)
    return sorted(chosen, key=lambda some: some[0].start)


@dataclass(frozen=True, eq=False)
class ArgumentSource:
    """Where an argument of an operation comes from; without `rows` and `at`, from outside, the same in all steps.

    Attributes:
        rows: for an outer argument that differs from step to step, the rows of an array that it is.
        at: for a value made inside the loop, the number of the operation in a step, and the place among its results.
        lag: how many steps before it was made.
    """

    rows: Rows | None = None
    at: tuple[int, int] | None = None
    lag: int = 0


class Misfit(Exception):
    """Raised if operations cannot be a loop."""


class Rolled:
    """A loop that may replace a run of operations.

    Attributes:
        start, period, steps: its first operation, the number of operations in a step, and the number of steps.
        sources: (operation of a step, place among its arguments) -> where that argument comes from.
        taken: the operations of a step that only take a row of an outer array -> these rows.
    """

    def __init__(self, rolling: LoopSearch, run: Run) -> None:
        self.ops, self.place, self.last = rolling.ops, rolling.place, rolling.last
        self.period = run.period
        self.start = run.start + self._turn(run)
        self.steps = (run.stop - self.start) // run.period

    @property
    def stop(self) -> int:
        """The number of the first operation after the loop."""
        return self.start + self.period * self.steps

    def of(self, step: int, offset: int) -> Op:
        """Return operation `offset` of a step."""
        return self.ops[self.start + step * self.period + offset]

    def _turn(self, run: Run) -> int:
        """Return after how many operations of the run a step should begin, so that the carries are smallest."""
        p, middle = run.period, run.start + (run.stop - run.start) // run.period // 2 * run.period
        reach: dict[Value, int] = {}
        for i in range(middle, middle + p):
            for x in self.ops[i].values:
                if self.place.get(x, -1) >= run.start:
                    reach[x] = i - self.place[x]  # the distance from its making to its last read
        bytes_of = np.zeros(2 * p)
        for x, distance in reach.items():
            offset, size = (self.place[x] - run.start) % p, 64 + x.nbytes
            bytes_of[offset + 1] += size
            bytes_of[offset + 1 + distance % p] -= size
        alive_at = np.cumsum(bytes_of)
        return int(np.argmin(alive_at[:p] + alive_at[p : 2 * p]))

    # -- where arguments are from

    def resolve_sources(self) -> bool:
        """Find where arguments come from, drop steps at the ends that do not fit, and tell whether a loop is left."""
        try:
            while self.steps >= STEPS:
                middle, first, last = self.steps // 2, 0, self.steps
                for wrong, lag in self._sorted(middle):
                    early, late = [r for r in wrong if r <= middle], [r for r in wrong if r > middle]
                    first, last = max([first, *(r - lag + 1 for r in early)]), min([last, *late])
                if (first, last) == (0, self.steps):
                    return any(o not in self.taken for o in range(self.period)) and self._begins()
                self.start, self.steps = self.start + first * self.period, max(last - first, 0)
        except Misfit:
            pass
        return False

    def _sorted(self, middle: int) -> list[tuple[list[int], int]]:
        """Find the source of each argument; return for each the steps that do not fit, and its lag."""
        self.sources: dict[tuple[int, int], ArgumentSource] = {}
        self.taken: dict[int, Rows] = {}
        found = []
        for offset in range(self.period):
            ops = self.ops[self.start + offset : self.stop : self.period]
            op = ops[middle]
            if op.kind == "slice":
                same = [x.attrs == op.attrs for x in ops]
                if not (same[middle - 1] and same[middle + 1]):
                    rows = Rows.of([x.args[0] for x in ops], [x.attrs[0] for x in ops], middle)
                    if rows is None or self.start <= self.place.get(op.args[0], -1):
                        raise Misfit
                    self.taken[offset] = rows
                    found.append((rows.wrong, 0))
                    continue
                found.append(([r for r, alike in enumerate(same) if not alike], 0))
            for q in range(len(op.args)):
                source, wrong = self._source(op, [x.args[q] for x in ops], middle, q)
                self.sources[offset, q] = source
                found.append((wrong, source.lag))
        return found

    def _source(self, op: Op, arguments: list[Any], middle: int, q: int) -> tuple[ArgumentSource, list[int]]:
        """Return the source of an argument, judged by step `middle`, and the steps that do not fit it."""
        arg = arguments[middle]
        if not isinstance(arg, Value):
            if all(type(x) is type(arg) and repr(x) == repr(arg) for x in arguments):
                return ArgumentSource(), []
            if op.kind not in ("ufunc", "number") or type(arg) not in (int, float):
                raise Misfit
            return ArgumentSource(Rows.numbers(arguments, _wanted_dtypes(op)[q])), []
        place = self.place.get(arg, -1) - self.start
        if place >= 0:
            lag, inner = middle - place // self.period, place % self.period
            if lag > LAG:
                raise Misfit
            out = self.of(middle - lag, inner).outs.index(arg)
            wrong = [r for r in range(lag, self.steps) if self.of(r - lag, inner).outs[out] is not arguments[r]]
            return ArgumentSource(None, (inner, out), lag), wrong
        if arguments[middle - 1] is arg or arguments[middle + 1] is arg:
            return ArgumentSource(), [r for r, x in enumerate(arguments) if x is not arg]
        rows = Rows.over(arguments, middle)
        if rows is None:
            raise Misfit
        return ArgumentSource(rows), rows.wrong

    def _begins(self) -> bool:
        """Tell whether the first carries exist before the loop, and Python numbers occur in float arithmetic only."""
        for (offset, q), source in self.sources.items():
            readers = self.of(0, offset).kind
            if source.at is None:
                continue
            made = self.of(0, source.at[0]).outs[source.at[1]]
            if made.weak and readers not in ("ufunc", "number"):
                return False
            for x in self._first(offset, q, source):
                if (
                    not isinstance(x, Value)
                    or self.place.get(x, -1) >= self.start
                    or shape_and_dtype(x) != shape_and_dtype(made)
                ):
                    return False
        numbers = [op for op in self.ops[self.start : self.start + self.period] if op.kind == "number"]
        return all(_same_on_float64(op) for op in numbers)

    def _first(self, offset: int, q: int, source: ArgumentSource) -> list[Any]:
        """Return what an argument with a lag is in the first steps, before the loop has made it; the latest first."""
        return [self.of(r, offset).args[q] for r in range(source.lag)][::-1]

    # -- the loop

    def written(self) -> list[Op]:
        """Return the operations that replace the run: the loop, and what prepares and reads its arrays."""
        every = [*self.taken.values(), *(source.rows for source in self.sources.values() if source.rows)]
        self.back = sum(rows.order for rows in every) < 0
        self.before: list[Op] = []  # operations that make the inputs of the loop
        self.inside: list[Op] = []  # the operations of the body
        self.known: dict[Any, Value] = {}  # (operation of a step, place among its results) -> value in the body
        self.closed: dict[Value, Value] = {}  # closed-over outer value -> input of the body
        self.views: dict[Value, Value] = {}
        self.rows: dict[Value, Value] = {}
        self.arrays: dict[Any, Value] = {}
        self.casts: dict[Any, Value] = {}
        self.carries: dict[Any, tuple[list[Value], list[Value]]] = {}  # first values, and the inputs of the body
        for offset in range(self.period):
            if offset in self.taken:
                self.known[offset, 0] = self._row_input(self.taken[offset])
                used = [self.of(r, offset) for r in range(self.steps)]
                self.before += [op for op in used if self.last.get(op.out, -1) >= self.stop]
            else:
                self._copy(offset)
        return self._loop()

    def _copy(self, offset: int) -> None:
        """Append an operation to the body."""
        op = self.of(0, offset)
        number, wanted = op.kind == "number", _wanted_dtypes(op)
        args = [self._stand_in(offset, q, arg, wanted[q]) for q, arg in enumerate(op.args)]
        new = op.copied(args)
        new.outs = []
        if number:
            new.kind, new.function = "ufunc", NUMBERS[op.function]
        for place, out in enumerate(op.outs):
            dtype = np.dtype(np.float64) if number else out.dtype
            new.outs.append(Value(0, "made", out.shape, dtype, new))
            self.known[offset, place] = new.outs[-1]
        self.inside.append(new)

    def _stand_in(self, offset: int, q: int, arg: Any, wanted: Any) -> Any:
        """Return the value or number that an argument is inside the body."""
        source = self.sources[offset, q]
        if source.rows is not None:
            return self._row_input(source.rows)
        if not isinstance(arg, Value) or (source.at is None and arg.kind == "constant"):
            return arg
        if source.at is None:
            return self._closed(_cast(arg, wanted, self.before, self.casts) if arg.weak and wanted is not None else arg)
        if source.lag == 0:
            x = self.known[source.at]
        else:
            before = self._first(offset, q, source)
            key = source.at, tuple(before)
            if key not in self.carries:
                if arg.weak:
                    before = [_cast(x, np.dtype(np.float64), self.before, self.casts) for x in before]
                self.carries[key] = before, [Value(0, "input", x.shape, x.dtype) for x in before]
            x = self.carries[key][1][source.lag - 1]
        return _cast(x, wanted, self.inside, self.casts) if arg.weak and wanted != x.dtype else x

    def _closed(self, x: Value) -> Value:
        """Return the input of the body for a closed-over value; of a view, only the base is an input."""
        if x.kind == "constant":
            return x
        if x not in self.closed and x.op is not None and x.op.kind in VIEWS:
            self.views[x] = self.views.get(x) or append_view(
                self.inside, x.op.kind, self._closed(x.op.args[0]), x.op.attrs[0]
            )
            return self.views[x]
        return self.closed.setdefault(x, Value(0, "input", x.shape, x.dtype))

    def _row_input(self, rows: Rows) -> Value:
        """Return the input of the body that is the current step's row of these rows."""
        x = self.arrays.get(rows.key) or rows.array(self.before, self.back)
        self.arrays[rows.key] = x
        return self.rows.setdefault(x, Value(0, "input", x.shape[1:], x.dtype))

    def _loop(self) -> list[Op]:
        """Return the loop operation, preceded by operations that make its inputs, followed by reads of its results."""
        after: list[Op] = []
        init: list[Value] = []
        carried: list[Value] = []
        new: list[Value] = []
        ends: list[Value] = []
        for (at, _), (before, inside) in self.carries.items():
            first = self.known[at]
            init, carried, new = [*init, *before], [*carried, *inside], [*new, first, *inside[:-1]]
            ends += [Value(0, "made", x.shape, x.dtype) for x in inside]
        stacked, ys = [], []
        for (offset, place), x in self.known.items():
            if offset in self.taken:
                continue
            outs = [self.of(r, offset).outs[place] for r in range(self.steps)]
            read = [r for r, out in enumerate(outs) if self.last.get(out, -1) >= self.stop]
            if read == [self.steps - 1] and x not in new:
                zeros = np.zeros(x.shape, x.dtype)
                init.append(Value(0, "constant", x.shape, x.dtype, data=zeros))
                carried.append(Value(0, "input", x.shape, x.dtype))
                new.append(x)
                ends.append(Value(0, "made", x.shape, x.dtype))
            if read == [self.steps - 1]:
                self._as_made(ends[new.index(x)], outs[-1], after)
            elif read:
                stacked.append(x)
                ys.append(Value(0, "made", (self.steps, *x.shape), x.dtype))
                for r in read:
                    row = self.steps - 1 - r if self.back else r
                    if outs[r].weak:
                        self._as_made(append_view(after, "slice", ys[-1], (row,)), outs[r], after)
                    else:
                        append_view(after, "slice", ys[-1], (row,), outs[r])
        inputs = [*self.closed.values(), *carried, *self.rows.values()]
        for slot, x in enumerate(inputs):
            x.number, x.slot = slot, slot
        for number, x in enumerate((x for op in self.inside for x in op.outs), len(inputs)):
            x.number = number
        body = Body(Program(self.inside, inputs, [*new, *stacked]), len(self.closed))
        counts = len(self.closed), 0, len(carried)
        loop = Loop(body, None, counts, self.steps, self.back, [shape_and_dtype(x) for x in stacked], entire=True)
        op = Op("call", "loop", loop, [*self.closed, *init, *self.rows], ("call", ("loop", id(loop))))
        op.scope = self.of(0, 0).scope
        op.outs = [*ends, *ys, Value(0, "made", (), np.dtype(object))]
        for x in op.outs:
            x.op = op
        return [*self.before, op, *after]

    def _as_made(self, x: Value, out: Value, after: list[Op]) -> None:
        """Append an operation that makes `out`, which the run made before, from `x`: as a view or a Python number."""
        out.op = Op("number", "float", float, [x], (), [out]) if out.weak else Op(
            "slice", "getitem", None, [x], ((Ellipsis,),), [out]
        )  # fmt: skip
        after.append(out.op)


def _wanted_dtypes(op: Op) -> list[Any]:
    """Return for each argument the dtype to which the operation converts a Python number, or None if it does not."""
    if op.kind == "ufunc":
        return list(ufunc_dtypes(op.function, op.args)[:-1])
    if op.kind == "where":
        return [None, op.out.dtype, op.out.dtype]
    return [np.dtype(np.float64) if op.kind == "number" else None] * len(op.args)


def _same_on_float64(op: Op) -> bool:
    """Tell whether an operation on Python numbers is the same as on float64 scalars."""
    kinds = [x.dtype if isinstance(x, Value) else type(x) for x in op.args]
    return op.function in NUMBERS and op.out.dtype is float and float in kinds and set(kinds) <= {int, float}


def _cast(x: Value, dtype: Any, ops: list[Op], casts: dict[Any, Value]) -> Value:
    """Return a value cast to a dtype; append the operation if `casts` does not have it yet."""
    if (x, dtype) not in casts:
        casts[x, dtype] = append_cast(ops, "cast", x, dtype)
    return casts[x, dtype]
