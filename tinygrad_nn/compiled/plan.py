"""A plan: the generated Python code that runs a compiled function for one kind of arguments, and its printed table."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ..graph.view import GraphView
from ..tree import flatten
from .code import Code
from .numba.lengths import NONE, batch_of
from .numpy import replay
from .program import arguments as nest
from .program import show
from .program.values import Program, Value
from .trace.call import canonical

MISS = object()
KERNELS = 24  # with more different kernels, each runs too little to be worth its compilation
SMALL = 4096  # if no array has more entries, code with all lengths written as constants is 5 % faster
LONG = 1000  # so many lines are written once: a call of them costs little, and Python takes 0.1 ms to compile a line
LINES = 1000  # numba takes about ten seconds to compile this many lines of kernels


class SharedArgument(ValueError):
    """Raised if a donated array, which may be overwritten, is also another argument."""


class Plan:
    """The compiled code for one kind of arguments.

    Attributes:
        program: the list of operations that it runs.
        code: the generated lines, with those of its loops and branches.
        source: the complete generated Python source.
        run: the generated function of the leaves of the arguments.
        enter: the generated function of ``(args, kwargs)``; it returns ``MISS`` if these are of another kind.
    """

    def __init__(
        self, program: Program, result: Any, leaves: Sequence[Any], call: Any, fixed: frozenset[int], options: Any
    ) -> None:
        self.backend = options.backend
        self.donated = donated(options.function, call, options.donate)
        batch, sizes = NONE, [x.size for x in [*program.inputs, *(out for op in program.ops for out in op.outs)]]
        if self.backend == "numba" and (options.varies or options.plans or max(sizes, default=0) > SMALL):
            batch = batch_of([[] if part is None else flatten(part)[0] for part in [*call[0], *call[1].values()]])
        code = Code(program, self.backend, self.donated, batch)
        if options.automatic and self.backend == "numba" and code.large(KERNELS, LINES):
            self.backend = "numpy"
            code = Code(program, self.backend, self.donated)
        self.code, writer, names = code, code.writer, code.names
        self.writer, self.program, self.exact = writer, writer.program, self.backend == "numpy"
        code.prepare()
        for inner in code.bodies:
            inner.run  # noqa: B018 - compiled here, not in the first call
        back = f"return {nest.packing_expression(result, self._leaves(program), names)}"
        body = [*code.lines, back]
        if code.parallel:
            from .numba.native.build import CORES

            names.objects["cores"] = CORES
            body = ["cores.take()", "try:", *(f"    {line}" for line in body), "finally: cores.give()"]
        layout = None if writer.checked else "" if self.exact else "carray"
        taking = nest.unpacking_lines(call, fixed, names, layout)
        names.objects.update(writer.machine.compiled())
        every = ", ".join(f"i{k}" for k in range(len(leaves)))
        caught = "Exception" if writer.checked else "(KeyError, IndexError, AttributeError, TypeError)"
        entered = body if len(body) < LONG else [f"return run({every})"]
        self.source = "\n".join([
            f"def make({', '.join(names.objects)}):",
            f"    def run({every}):",
            *(f"        {line}" for line in body),
            "    def enter(args, kwargs):",
            "        try:",
            *(f"            {line}" for line in [*taking, *(entered if writer.checked else [])]),
            f"        except {caught}: return miss",
            *(f"        {line}" for line in entered if not writer.checked),
            "    return run, enter",
        ])
        scope = {**replay.GLOBALS, "miss": MISS}
        exec(self.source, scope)
        self.run, self.enter = scope.pop("make")(*names.objects.values())  # by keyword, the time would be quadratic
        # Whether a run must not be repeated on the same arguments: it overwrites an argument, or draws random numbers.
        self.spends = bool(self.donated) or any(v.dtype is np.random.Generator for v in program.inputs)

    def _leaves(self, program: Program) -> list[str]:
        """Return an expression for each leaf of the result; arrays without axes become scalars, as in NumPy."""
        codes = replay.results(program, self.writer, self.code.names)
        for place, x in enumerate(program.outputs):
            if isinstance(x, Value) and x.kind == "input" and not x.shape and isinstance(x.dtype, np.dtype):
                codes[place] += "[()]"
        return codes

    def refuse_shared(self, leaves: Sequence[Any]) -> None:
        """Raise if a donated array shares memory with another argument.

        Raises:
            ValueError: a donated array shares memory with another argument.
        """
        arrays = [x for x in leaves if isinstance(x, np.ndarray)]
        for slot in self.donated:
            x = leaves[slot]
            if isinstance(x, np.ndarray) and sum(np.may_share_memory(x, other) for other in arrays) > 1:
                raise SharedArgument(
                    "an array in a donated argument is also elsewhere in the arguments, where it would change during "
                    "the call. Pass a copy of it."
                )

    def poison(self) -> None:
        """Fill the buffers with NaN, so that a read of a buffer before its first write shows in the result."""
        for writer in self.code.all_writers():
            for buffer in writer.buffers:
                buffer.fill(0xFF)

    def first(self, leaves: Sequence[Any], keep: bool, look: Callable[[Any, Sequence[Any]], None]) -> Any:
        """Run the plan for the first time, check the result, and return it.

        The donated arrays get their old values back if the result is wrong or not kept.

        Args:
            leaves: the leaves of the arguments.
            keep: whether the caller uses the result; if not, donated arrays must not change.
            look: called as ``look(result, leaves)`` with the leaves as they were before the run; raises if the
                result is wrong.

        Raises:
            ValueError: as in `refuse_shared`.
        """
        given = [canonical(x) for x in leaves]
        self.refuse_shared(given)
        before = [(given[k], given[k].copy()) for k in self.donated if isinstance(given[k], np.ndarray)]
        were = list(given)
        for (_, old), slot in zip(before, [k for k in self.donated if isinstance(given[k], np.ndarray)], strict=True):
            were[slot] = old
        right = False
        try:
            with np.errstate(all="ignore"):
                result = self.run(*given)
            look(result, were)
            right = True
            return result
        finally:
            if not (right and keep):
                for x, old in before:
                    np.copyto(x, old)

    def __str__(self) -> str:
        """Return a table of at most 80 columns: each operation, its result, and where the result is stored."""
        return show.table(f"plan for {self.backend}", self.program, self.writer.memory)

    __repr__ = __str__

    def graph(self) -> GraphView:
        """Return the operations as a graph that can be drawn; kernels are boxes, all arrays are zeros."""
        return show.graph(self.program)


def donated(function: Any, call: Any, donate: Sequence[int | str]) -> frozenset[int]:
    """Return the numbers of the argument leaves that may be overwritten."""
    args, kwargs = call
    if not donate:
        return frozenset()
    with suppress(TypeError, ValueError):  # a function without a signature can donate by position only
        donate = [*donate, *[k for k, name in enumerate(inspect.signature(function).parameters) if name in donate]]
    slots: list[int] = []
    start = 0
    for key, part in [*enumerate(args), *kwargs.items()]:
        count = len(flatten(part)[0]) if part is not None else 0
        if key in donate:
            slots += range(start, start + count)
        start += count
    return frozenset(slots)
