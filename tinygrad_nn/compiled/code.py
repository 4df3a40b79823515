"""Programs as code: what a plan, and each body of a loop or branch in it, is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .numba.lengths import NONE, Batch
from .numpy import replay
from .program.arguments import Names
from .program.control import Body, written
from .program.rolled import rolled
from .program.values import Program


class Code:
    """The lines that run a program, and what they refer to.

    Attributes:
        program: its operations as they are run: for numba gathered into kernels.
        bodies: the programs of its loops and branches.
        writer: what wrote the lines.
        names: the objects that they refer to.
        lines: the lines.
        parallel: whether it uses all cores.
    """

    def __init__(
        self, program: Program, backend: str, donated: frozenset[int] = frozenset(), batch: Batch = NONE
    ) -> None:  # fmt: skip
        program = rolled(program) if backend == "numba" else program
        self.bodies = written(program, backend)
        if backend == "numba":
            from .numba.fuse import fuse

            self.program = fuse(program, batch=batch)
        else:
            for number, (out, op) in enumerate([(x, one) for one in program.ops for x in one.outs], 1):
                out.op, out.number = op, number  # it may have been tried with numba before
            self.program = replay.scalars(program)
        self.names = Names()
        self.writer = replay.Writer(self.program, self.names, donated)
        self.lines = self.writer.source()
        self.parallel = self.writer.parallel or any(body.code.parallel for body in self.bodies)

    def every(self) -> list[replay.Writer]:
        """Return what wrote this program, and its bodies."""
        return [self.writer, *(body.code.writer for body in self.bodies)]

    def prepare(self) -> None:
        """Compile all functions that it calls, where they are many in several processes."""
        written = [writer.machine.functions for writer in self.every()]
        natives = [op for writer in self.every() for op in writer.program.ops if op.kind == "native"]
        if sum(map(len, written)) + len(natives) > 1:
            from .numba.compilers import jobs, together

            together(jobs([text for functions in written for text in functions], natives))
        if natives:
            from .numba.native import dtypes_of_products
            from .numba.native.blocked import ready

            for dtype in dtypes_of_products(natives):
                ready(dtype)

    def large(self, kernels: int, lines: int) -> bool:
        """Tell whether there are more than so many kernels, or lines of all of them."""
        sizes = [writer.machine.size() for writer in self.every()]
        return sum(count for count, _ in sizes) > kernels or sum(count for _, count in sizes) > lines


class BodyCode(Code):
    """The code of a body, which takes the values of its inputs and returns a tuple of arrays."""

    def __init__(self, program: Program, backend: str, closed: int) -> None:
        super().__init__(program, backend)
        self.inputs = program.inputs
        results = replay.results(program, self.writer, self.names)
        for place, x in enumerate(program.outputs):
            if x.kind == "input" and x.slot < closed and not x.weak:
                results[place] += ".copy()"  # it lies in memory that others use again
            elif not x.shape:  # of no axes NumPy returns scalars
                results[place] = f"asarray({results[place]}, {self.names(x.dtype)})"
        self.lines.append(f"return ({''.join(f'{x}, ' for x in results)})")

    def compiled(self) -> Callable[..., Any]:
        """Return it as a function."""
        self.names.objects.update(self.writer.machine.compiled())
        source = "\n".join([
            f"def make({', '.join(self.names.objects)}):",
            f"    def run({', '.join(f'i{value.slot}' for value in self.inputs)}):",
            *(f"        {line}" for line in self.lines),
            "    return run",
        ])
        scope: dict[str, Any] = {**replay.GLOBALS, "miss": None}
        exec(source, scope)
        return scope["make"](**self.names.objects)  # type: ignore[no-any-return]


def steps(program: Program, roles: Any) -> Any:
    """Return the code of all steps of a loop, which says whether it fits."""
    from .numba.steps import Steps

    return Steps(rolled(program), roles)


Body.coded, Body.stepped = BodyCode, steps
