"""From a program to source lines: used for a plan, and for each body of a loop or branch inside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .numba.lengths import NONE, Batch
from .numpy import replay
from .program.arguments import Names
from .program.control import Body, write_bodies
from .program.rolled import roll_loops
from .program.values import Program


class Code:
    """The source lines that run a program, and the objects that they refer to.

    Attributes:
        program: the operations that are run; with numba they are grouped into kernels.
        bodies: the programs of its loops and branches.
        writer: the `Writer` that wrote the lines.
        names: the objects that the lines refer to by name.
        lines: the source lines.
        parallel: whether it runs on all cores.
    """

    def __init__(
        self, program: Program, backend: str, donated: frozenset[int] = frozenset(), batch: Batch = NONE
    ) -> None:  # fmt: skip
        program = program.copied()
        if backend == "numba":
            program = roll_loops(program)
        self.bodies = write_bodies(program, backend)
        if backend == "numba":
            from .numba.fuse import fuse

            self.program = fuse(program, batch=batch)
        else:
            self.program = replay.scalars(program)
        self.names = Names()
        self.writer = replay.Writer(self.program, self.names, donated)
        self.lines = self.writer.source()
        self.parallel = self.writer.parallel or any(body.code.parallel for body in self.bodies)

    def all_writers(self) -> list[replay.Writer]:
        """Return the writers of this program and of its bodies."""
        return [self.writer, *(body.code.writer for body in self.bodies)]

    def prepare(self) -> None:
        """Compile all functions that it calls; if there are several, in several processes at once."""
        written = [writer.machine.functions for writer in self.all_writers()]
        natives = [op for writer in self.all_writers() for op in writer.program.ops if op.kind == "native"]
        if sum(map(len, written)) + len(natives) > 1:
            from .numba.compilers import compile_all, compile_jobs

            compile_all(compile_jobs([text for functions in written for text in functions], natives))
        if natives:
            from .numba.native import dtypes_of_products
            from .numba.native.blocked import ready

            for dtype in dtypes_of_products(natives):
                ready(dtype)

    def large(self, kernels: int, lines: int) -> bool:
        """Tell whether there are more than `kernels` kernels, or more than `lines` lines in all kernels together."""
        sizes = [writer.machine.size() for writer in self.all_writers()]
        return sum(count for count, _ in sizes) > kernels or sum(count for _, count in sizes) > lines


class BodyCode(Code):
    """The code of the body of a loop or branch: a function of the input arrays that returns a tuple of arrays."""

    def __init__(self, program: Program, backend: str, closed: int) -> None:
        super().__init__(program, backend)
        self.inputs = program.inputs
        results = replay.results(program, self.writer, self.names)
        for place, x in enumerate(program.outputs):
            if x.kind == "input" and x.slot < closed and not x.weak:
                results[place] += ".copy()"  # the memory of a closed-over input is reused by the surrounding program
            elif not x.shape:  # NumPy's functions return scalars instead of arrays without axes
                results[place] = f"asarray({results[place]}, {self.names(x.dtype)})"
        self.lines.append(f"return ({''.join(f'{x}, ' for x in results)})")

    def compiled(self) -> Callable[..., Any]:
        """Return the code as a function."""
        self.names.objects.update(self.writer.machine.compiled())
        source = "\n".join([
            f"def make({', '.join(self.names.objects)}):",
            f"    def run({', '.join(f'i{value.slot}' for value in self.inputs)}):",
            *(f"        {line}" for line in self.lines),
            "    return run",
        ])
        scope: dict[str, Any] = {**replay.GLOBALS, "miss": None}
        exec(source, scope)
        return scope["make"](*self.names.objects.values())  # type: ignore[no-any-return]


def loop_code(program: Program, roles: Any) -> Any:
    """Return a `LoopCode`: all steps of a loop in one kernel; its attribute `fits` tells whether that is possible."""
    from .numba.steps import LoopCode

    return LoopCode(roll_loops(program.copied()), roles)


Body.coded, Body.stepped = BodyCode, loop_code
