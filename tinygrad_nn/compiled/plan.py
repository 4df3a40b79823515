"""A plan: the code that runs one kind of call, what it holds, and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..tree import flatten
from ..graph import GraphView
from . import nest, replay, show
from .ir import Program
from .trace import bare

MISS = object()


class Plan:
    """How one kind of call runs.

    Attributes:
        program: its operations.
        source: the Python code that was generated.
        run: the code, as a function of the leaves of the arguments.
        enter: the same of ``(args, kwargs)``; it returns ``MISS`` where these are of another kind.
    """

    def __init__(
        self, program: Program, result: Any, leaves: Sequence[Any], call: Any, fixed: frozenset[int], options: Any
    ) -> None:
        self.backend = options.backend
        self.exact = options.backend == "numpy"
        self.donated = donated(call, options.donate)
        if options.backend == "numba":
            from .fuse import fuse

            program = fuse(program)
        self.program = program
        names = nest.Names()
        self.writer = writer = replay.Writer(program, names, self.donated)
        body = writer.source()
        back = f"return {nest.building(result, replay.results(program, writer, names), names)}"
        layout = "" if writer.checked else "c_contiguous" if self.exact else "carray"
        taking = nest.taking(call, fixed, names, layout)
        names.objects.update(writer.machine.compiled())
        every = ", ".join(f"i{k}" for k in range(len(leaves)))
        self.source = "\n".join([
            f"def make({', '.join(names.objects)}):",
            f"    def run({every}):",
            *(f"        {line}" for line in (*body, back)),
            "    def enter(args, kwargs):",
            "        try:",
            *(f"            {line}" for line in taking),
            *([f"            return run({every})"] if writer.checked else []),
            f"        except {'Exception' if writer.checked else '(KeyError, IndexError, AttributeError, TypeError)'}: return miss",
            f"        return run({every})",
            "    return run, enter",
        ])
        scope = {**replay.GLOBALS, "miss": MISS}
        exec(self.source, scope)
        self.run, self.enter = scope["make"](**names.objects)

    def refuse_shared(self, leaves: Sequence[Any]) -> None:
        """Raise if an array that may be written into is passed twice.

        Raises:
            ValueError: it is.
        """
        arrays = [x for x in leaves if isinstance(x, np.ndarray)]
        for slot in self.donated:
            x = leaves[slot]
            if isinstance(x, np.ndarray) and sum(np.may_share_memory(x, other) for other in arrays) > 1:
                raise ValueError(
                    "an array in a donated argument is also in another place of the arguments, where it would change "
                    "under the call. Pass a copy of it."
                )

    def agrees(self, leaves: Sequence[Any], result: Any) -> bool:
        """Run on copies of the arguments and tell whether the result is that of the trace."""
        from .function import canonical

        given = [x.copy() if isinstance(x, np.ndarray) else x for x in map(canonical, leaves)]
        with np.errstate(all="ignore"):
            found = flatten(self.run(*given))[0]
        return all(self._same(a, b) for a, b in zip(found, (bare(x) for x in flatten(result)[0]), strict=True))

    def _same(self, a: Any, b: Any) -> bool:
        if not isinstance(b, (np.ndarray, np.generic)):
            return a is b or (type(a) is type(b) and bool(a == b or a != a))
        a, b = np.asarray(a), np.asarray(b)
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        if b.dtype.kind not in "fc":
            return self.exact is False or np.array_equal(a, b)
        if self.exact and np.array_equal(a, b, equal_nan=True):
            return True
        finite = np.isfinite(b)
        scale = np.abs(b[finite]).max(initial=0)
        slack = np.finfo(b.dtype).eps ** 0.5 * max(float(scale), 1e-30)
        return bool(np.all(np.isclose(a, b, rtol=0, atol=slack, equal_nan=True)))


    def __str__(self) -> str:
        """Return a table of at most 80 columns: each operation, its result, and where that is kept."""
        return show.table(f"plan for {self.backend}", self.program, self.writer.memory, self.donated)

    __repr__ = __str__

    def graph(self) -> GraphView:
        """Return the operations as a graph that can be drawn; its kernels are boxes, its values zeros."""
        return show.graph(self.program)


def donated(call: Any, donate: Sequence[int | str]) -> frozenset[int]:
    """Return the leaves of the arguments that may be written into."""
    args, kwargs = call
    slots: list[int] = []
    start = 0
    for key, part in [*enumerate(args), *kwargs.items()]:
        count = len(flatten(part)[0]) if part is not None else 0
        if key in donate:
            slots += range(start, start + count)
        start += count
    return frozenset(slots)
