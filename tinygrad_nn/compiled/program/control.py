"""Loops and branches of a plan: operations that run programs of their own, and decide by values in every call.

The step of a loop, its gradient and each branch are a `Body`: a program that is simplified, given buffers and written
as code like the program around it. A `Loop` passes arrays, the carry, from one run of its body to the next. It keeps
all carries in a list, the tape. A `BackwardLoop`, the gradient of a loop, reads the tape and runs the steps in reverse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from ...node import thread
from .simplify import simplify
from .values import Program, Value

Array = np.ndarray[Any, Any]


class Body:
    """The body of a loop or branch: a program that another program runs.

    Its code is generated and compiled when it is first needed: a trace runs it as NumPy calls, and a plan for NumPy
    keeps that code.

    Args:
        program: its operations.
        closed: how many of its inputs are closed-over values, whose memory the outer program reuses.

    Attributes:
        roles: the roles of its inputs and outputs in a loop: ``"fixed"``, ``"carry"``, ``"row"`` or ``"tape"``.
        code: its generated code, a `Code` or `LoopCode`.
        at_once: whether that code runs all steps of a loop.
    """

    code: Any
    coded: ClassVar[Callable[[Program, str, int], Any]]  # set by the module `code`, which imports this one
    stepped: ClassVar[Callable[[Program, tuple[Sequence[str], Sequence[str]]], Any]]  # so is this

    def __init__(self, program: Program, closed: int) -> None:
        self.program, self.closed = simplify(program), closed
        self.roles: tuple[Sequence[str], Sequence[str]] | None = None
        self.backend, self.at_once = "", False

    def write(self, backend: str) -> None:
        """Generate its code for a backend, and the code of all bodies inside it, unless it has that code."""
        if backend == self.backend:
            return
        self.backend, self.at_once = backend, False
        self.__dict__.pop("run", None)
        if backend == "numba" and self.roles is not None:
            self.code = Body.stepped(self.program, self.roles)
            self.at_once = self.code.fits
        if not self.at_once:
            self.code = Body.coded(self.program, backend, self.closed)

    @cached_property
    def run(self) -> Callable[..., Any]:
        """Its compiled code: takes the input arrays and returns a tuple of arrays, or runs all steps if `at_once`."""
        self.write(self.backend or "numpy")
        return self.code.compiled()  # type: ignore[no-any-return]


def write_bodies(program: Program, backend: str) -> list[Body]:
    """Generate the code of all loops and branches in a program, and return their bodies and the bodies inside them."""
    used = {value for op in program.ops for value in op.values}  # outputs are not looked at: none is a tape
    found = []
    for op in program.ops:
        if isinstance(op.function, Control):
            for body in op.function.bodies:
                body.write(backend)
                found += [body, *body.code.bodies]
            if isinstance(op.function, Loop):
                op.function.tapes = op.outs[-1] in used
    return found


def contiguous_array(x: Any) -> Any:
    """Return an array as generated code needs it: C-contiguous, aligned and writable."""
    return x if type(x) is not np.ndarray or x.flags.carray else np.array(x, order="C")


def as_arrays(args: Sequence[Any]) -> list[Any]:
    """Return arrays and numbers as arrays that generated code can take."""
    return [contiguous_array(x if type(x) is np.ndarray else np.asarray(x)) for x in args]


class Control:
    """A loop or a branch."""

    def __init__(self, bodies: Sequence[Body]) -> None:
        self.bodies = list(bodies)

    def results(self, *args: Any) -> tuple[Any, ...]:
        """Run it, and return all results."""
        raise NotImplementedError

    def __call__(self, *args: Any) -> Any:
        """Run it as an operation: return a tuple, or a single result without a tuple."""
        found = self.results(*args)
        return found if len(found) > 1 else found[0]


class Loop(Control):
    """A forward loop: its arguments are the closed-over values of its bodies, the first carry and arrays of rows.

    Args:
        step: takes its closed-over values, the carry and rows, and returns the next carry and y.
        test: takes its closed-over values and the carry, and tells whether there is another step; None for a scan.
        counts: how many values step and test close over, and how many arrays a carry has.
        length: the number of steps of a scan.
        reverse: whether a scan takes the last row first.
        kinds: shape and dtype of each y.
        entire: whether all steps are run even while a check limits scans to their first rows.
    """

    def __init__(
        self, step: Body, test: Body | None, counts: tuple[int, int, int], length: int, reverse: bool,
        kinds: Sequence[tuple[tuple[int, ...], Any]], entire: bool = False,
    ) -> None:  # fmt: skip
        super().__init__([step] if test is None else [step, test])
        self.entire = entire
        self.tapes = True  # whether an operation reads the tape
        self.step, self.test, self.counts, self.kinds = step, test, counts, kinds
        self.order = range(length - 1, -1, -1) if reverse else range(length)
        if test is None:
            width, inputs = counts[2], len(step.program.inputs)
            given = ["fixed"] * counts[0] + ["carry"] * width + ["row"] * (inputs - counts[0] - width)
            step.roles = given, ["carry"] * width + ["row"] * len(kinds)

    def results(self, *args: Any) -> tuple[Any, ...]:
        """Return the last carry, the y of all steps, and the tape."""
        closed, more, width = self.counts
        of_step, of_test = (
            [contiguous_array(x) for x in args[:closed]],
            [contiguous_array(x) for x in args[closed : closed + more]],
        )
        start = closed + more
        if self.step.at_once:
            return self._at_once(of_step, args[start : start + width], as_arrays(args[start + width :]))
        carry = tuple([np.array(x, order="C") for x in args[start : start + width]])  # copied, since the tape keeps it
        rows = as_arrays(args[start + width :])
        tape: list[Any] = []
        make, order = self._now()
        ys = [make((len(self.order), *shape), dtype) for shape, dtype in self.kinds]
        keep, run = self.tapes, self.step.run
        if self.test is not None:
            test, limit = self.test.run, thread.mode.steps
            while test(*of_test, *carry)[0]:
                if limit is not None:
                    thread.mode.spend()
                if keep:
                    tape.append(carry)
                carry = run(*of_step, *carry)
        for t in order if self.test is None else ():
            if keep:
                tape.append(carry)
            found = run(*of_step, *carry, *[x[t, ...] for x in rows])
            carry = found[:width]
            for k, y in enumerate(ys, width):
                y[t] = found[k]
        tape_in_array: Array = np.empty((), object)
        tape_in_array[()] = tape
        return (*_copy_shared(carry, args), *ys, tape_in_array)

    def _now(self) -> tuple[Any, range]:
        """Return the function that allocates the arrays of y, and the steps to run, which a check may limit."""
        if self.entire or thread.mode.rows is None:
            return np.empty, self.order
        return np.zeros, self.order[: thread.mode.rows]

    def _at_once(self, closed: Sequence[Any], init: Sequence[Any], rows: Sequence[Any]) -> tuple[Any, ...]:
        """Return the same as `results` by one call, which runs all steps."""
        make, order = self._now()
        n = len(order)
        carries = [np.empty((n + 1 if self.tapes else 2, *x.shape), x.dtype) for x in map(np.asarray, init)]
        for all_of_it, x in zip(carries, init, strict=True):
            all_of_it[0] = x
        ys = [make((len(self.order), *shape), dtype) for shape, dtype in self.kinds]
        first, stride = (self.order[0], self.order.step) if n else (0, 1)
        arrays_of_all = [_row_of_one(x) for x in closed], carries, rows, ys
        self.step.run(n, first, stride, self.tapes, *(x for some in arrays_of_all for x in some))
        tape_in_array: Array = np.empty((), object)
        tape_in_array[()] = Tape([x[:n] for x in carries], n)
        return (*[np.array(x[n if self.tapes else n % 2]) for x in carries], *ys, tape_in_array)


class Tape:
    """The carries of all steps, stacked: for each array of the carry one array with a row for each step."""

    def __init__(self, arrays: list[Array], steps: int) -> None:
        self.arrays, self.steps = arrays, steps


class BackwardLoop(Control):
    """The backward loop of a `Loop`: its arguments are closed-over values, rows, cotangents and the tape.

    Args:
        step: takes its closed-over values, the carry, rows, the cotangents of the next carry and of y, and the sums so
            far of the gradients of the loop's closed-over Tensors. It returns the cotangents of carry and rows, and the
            new sums.
        loop: the forward loop.
        counts: how many values it closes over, and how many arrays are rows, cotangents of a carry, and of y.
        rows: shape and dtype of the gradients of a row.
        sums: shape and dtype of the sums.
    """

    def __init__(
        self, step: Body, loop: Loop, counts: tuple[int, int, int, int],
        rows: Sequence[tuple[tuple[int, ...], Any]], sums: Sequence[tuple[tuple[int, ...], Any]],
    ) -> None:  # fmt: skip
        super().__init__([step])
        self.step, self.loop, self.counts, self.rows, self.sums = step, loop, counts, rows, sums
        if loop.test is None:
            closed, xs, carried, ys = counts
            given = [("fixed", closed), ("tape", loop.counts[2]), ("row", xs), ("carry", carried), ("row", ys),
                     ("carry", len(sums))]  # fmt: skip
            made = ["carry"] * carried + ["row"] * len(rows) + ["carry"] * len(sums)
            step.roles = [role for role, count in given for _ in range(count)], made

    def results(self, *args: Any) -> tuple[Any, ...]:
        """Return the sums, the cotangents of the first carry, and those of all rows."""
        ends = np.cumsum(self.counts).tolist()
        parts = [args[a:b] for a, b in zip([0, *ends], ends, strict=False)]
        closed, (xs, cotangents, gys) = [contiguous_array(x) for x in parts[0]], map(as_arrays, parts[1:])
        gc: Sequence[Any] = cotangents
        tape = args[-1][()]
        if self.step.at_once:
            return self._at_once(closed, tape, xs, gc, gys)
        if isinstance(tape, Tape):
            tape = [tuple([x[k, ...] for x in tape.arrays]) for k in range(tape.steps)]
        found = [np.zeros((len(self.loop.order), *shape), dtype) for shape, dtype in self.rows]
        sums: Sequence[Any] = [_start_of_sum(shape, dtype, len(tape)) for shape, dtype in self.sums]
        width, run = len(gc), self.step.run
        order = self.loop.order[: len(tape)] if self.loop.test is None else range(len(tape))
        for t, carry in zip(reversed(order), reversed(tape), strict=True):
            made = run(*closed, *carry, *[x[t, ...] for x in xs], *gc, *[g[t, ...] for g in gys], *sums)
            gc = made[:width]
            for k, g in enumerate(found, width):
                g[t] = made[k]
            sums = made[width + len(found) :]
        return (*_copy_shared([*sums, *gc], args), *_add_zero(found, len(tape)))

    def _at_once(
        self, closed: Sequence[Any], tape: Any, xs: Sequence[Any], gc: Sequence[Any], gys: Sequence[Any]
    ) -> tuple[Any, ...]:
        """Return the same as `results` by one call, which runs all steps."""
        n = tape.steps if isinstance(tape, Tape) else len(tape)
        if not isinstance(tape, Tape):
            likes = self.step.program.inputs[self.counts[0] :][: self.loop.counts[2]]
            tape = Tape([np.array([c[k] for c in tape], x.dtype).reshape(n, *x.shape) for k, x in enumerate(likes)], n)
        found = [np.zeros((len(self.loop.order), *shape), dtype) for shape, dtype in self.rows]
        totals = [_start_of_sum((2, *shape), dtype, n) for shape, dtype in self.sums]
        moved = [np.empty((2, *x.shape), x.dtype) for x in gc]
        for both, x in zip(moved, gc, strict=True):
            both[0] = x
        order = self.loop.order[:n][::-1]
        first, stride = (order[0], order.step) if n else (0, 1)
        arrays_of_all = [_row_of_one(x) for x in closed], tape.arrays, xs, moved, gys, totals, found
        self.step.run(n, first, stride, False, *(x for some in arrays_of_all for x in some))
        return (*[np.array(x[n % 2]) for x in (*totals, *moved)], *_add_zero(found, n))


def _start_of_sum(shape: tuple[int, ...], dtype: Any, steps: int) -> Array:
    """Return the start of a sum: -0.0 if there are steps, since adding to -0.0 keeps the signs of zeros."""
    zero = -np.zeros((), dtype)
    return np.full(shape, zero) if steps else np.zeros(shape, dtype)


def _add_zero(rows: list[Array], steps: int) -> list[Array]:
    """Return the gradients of rows, with 0 added if there are several steps.

    Without compilation each is a sum over the steps, in which the zeros of the other steps turn -0.0 into 0.0.
    """
    for x in rows if steps > 1 else ():
        x += 0
    return rows


def _row_of_one(x: Any) -> Any:
    """Return an array without axes as a vector of one entry; any other array unchanged."""
    return np.reshape(x, 1) if np.ndim(x) == 0 else x


class Choice(Control):
    """A branch: its arguments are a truth value, the closed-over values of two bodies, and their operands."""

    def __init__(self, bodies: Sequence[Body], counts: tuple[int, int]) -> None:
        super().__init__(bodies)
        self.counts = counts

    def results(self, *args: Any) -> tuple[Any, ...]:
        """Return the results of the chosen body."""
        chosen, *args = args  # type: ignore[assignment]
        first, second = self.counts
        mine = args[:first] if chosen else args[first : first + second]
        body = self.bodies[0 if chosen else 1]
        found = body.run(*map(contiguous_array, mine), *as_arrays(args[first + second :]))
        return _copy_shared(found, args)


def _copy_shared(results: Sequence[Any], args: Sequence[Any]) -> tuple[Any, ...]:
    """Return results with copies of those that are the same object as an argument or another result."""
    seen = {id(x) for x in args}
    made = []
    for x in results:
        x = x.copy() if id(x) in seen else x
        seen.add(id(x))
        made.append(x)
    return tuple(made)


def shape_and_dtype(value: Value) -> tuple[tuple[int, ...], Any]:
    """Return the shape and dtype of a value."""
    return value.shape, value.dtype
