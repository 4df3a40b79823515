"""Straight code for operations on single numbers: no loops and no arrays, each value a name.

A group of thousands of such operations is one kernel. Its lines are cut into pieces, which `assembly` makes functions
of; what one piece makes and another reads goes through an array.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..program.values import VIEWS, Arg, Op, Value
from .expressions import ELEMENTWISE, cast, code_of, literal
from .indices import flat
from .loops import DEEP, Loops

PIECE = 200  # operations in a function, of which LLVM's time grows faster than its length
FEW = 8  # numbers of a dtype that come, or leave, one by one
MANY = 64  # operations on single numbers that are worth a kernel of their own beside others


def single(op: Op) -> bool:
    """Tell whether an operation that a kernel can do is one on single numbers."""
    if op.kind in VIEWS:
        return op.out.size == 1
    return op.kind in ELEMENTWISE and op.out.size == 1


def stages(ops: Sequence[Op], fusable: Any) -> dict[Op, int]:
    """Return the operations that go into straight code, with the stage of each.

    What is in one stage waits only for what is outside and for stages before, so that all of it can run together.
    Stages of few operations stay in kernels of loops, unless there are no others.
    """
    stage: dict[Value, tuple[int, bool]] = {}
    found: dict[int, list[Op]] = {}
    others = False
    for op in ops:
        one = (op.kind in VIEWS or fusable(op)) and single(op)
        others |= not one and op.kind not in VIEWS and fusable(op)
        here = max([0, *(k + (before != one) for k, before in (stage[x] for x in op.values if x in stage))])
        stage.update(dict.fromkeys(op.outs, (here, one)))
        if one:
            found.setdefault(here, []).append(op)
    least = MANY if others else 2
    return {
        op: k for k, group in found.items() if sum(op.kind not in VIEWS for op in group) >= least for op in group
    }


class Straight:
    """A group of operations on single numbers as one function.

    Many numbers from outside come in one array of each dtype, and many results leave in one, since each array that a
    function takes costs numba more than a hundred lines.

    Attributes:
        ops: the operations, in order.
        args: the arrays and numbers it reads.
        outs: the arrays it writes; after those that are needed outside, one of each dtype for what crosses pieces.
        scratch: what lies in such an array, or in one of results -> the array and the place in it.
        before, after: the operations that gather numbers, and look at the results.
    """

    __name__ = "kernel"
    axes = DEEP

    def __init__(self, group: Sequence[Op], outside: Sequence[Value]) -> None:
        self.ops = list(group)
        work = [op for op in group if op.kind not in VIEWS]
        self.pieces = [work[k : k + PIECE] for k in range(0, len(work), PIECE)]
        self.number = {op.out: k for k, op in enumerate(work)}
        self.scratch: dict[Value, tuple[Value, int]] = {}
        self.last: dict[Value, int] = {}  # what is read from outside -> the last operation that does
        kept, crossing = set(outside), []
        for number, op in enumerate(work):
            for arg in op.values:
                x = source(arg, self.number)
                if x in self.number:
                    if self.number[x] // PIECE != number // PIECE and x not in kept:
                        crossing.append(x)
                elif x.kind != "constant":
                    self.last[x] = number
        read, self.packed, self.before = _gathered([x for x in self.last if not x.shape])
        written, packed, _ = _gathered([x for x in outside if not x.shape])
        self.scratch.update(packed)
        self.after = [
            Op("slice", "getitem", None, [pool], ((place,),), [x]) for x, (pool, place) in packed.items()
        ]
        for op in self.after:
            op.out.op = op
        pools: dict[str, Value] = {}
        for x in dict.fromkeys(crossing):
            pool = pools.setdefault(code_of(x.dtype), Value(-1, "made", (0,), x.dtype))
            self.scratch[x] = pool, pool.shape[0]
            pool.shape = (pool.shape[0] + 1,)
        self.stored = {*outside, *self.scratch}
        self.outs = [*(x for x in outside if x not in packed), *written, *pools.values()]
        self.args = [*(x for x in self.last if x not in self.packed), *read]

    def over(self, x: Value, out: Value) -> bool:
        """Tell whether the result may be written over an argument: it has been read for the last time by then."""
        return out in self.number and out not in self.scratch and self.last.get(x, -1) <= self.number[out]

    def length(self) -> int:
        """Return how many lines it has."""
        return len(self.number)

    def source(self, names: dict[Value, str], threads: int = 1) -> list[str]:
        """Return the body, where each array goes by the name given; equal names are the same array."""
        return [f"straight({self.code(names)!r}, ({', '.join(dict.fromkeys(names.values()))},))"]

    def code(self, names: dict[Value, str]) -> str:
        """Return the lines, pieces apart by an empty one; arrays are flat there."""
        places = {**self.packed, **self.scratch}
        written = [Lines(self.number, self.stored, places, names) for _ in self.pieces]
        for lines, piece in zip(written, self.pieces, strict=True):
            for op in piece:
                lines.write(op)
        return "\n\n".join("\n".join(lines.lines) for lines in written)


def source(value: Value, made: Container[Value]) -> Value:
    """Return what a value looks at: something that is made here, or comes from outside."""
    while value not in made and value.op is not None and value.op.kind in VIEWS:
        value = value.op.args[0]
    return value


def _gathered(values: Sequence[Value]) -> tuple[list[Value], dict[Value, tuple[Value, int]], list[Op]]:
    """Return an array for each dtype that many numbers have, where each of these lies, and what puts them there."""
    kinds: dict[str, list[Value]] = {}
    for x in values:
        kinds.setdefault(code_of(x.dtype), []).append(x)
    pools, places, ops = [], {}, []
    for code, some in kinds.items():
        if len(some) > FEW:
            dtype = np.dtype(code)
            pool = Value(-1, "made", (len(some),), dtype)
            pool.op = Op("call", "gather", partial(_packed, dtype, len(some)), list(some), (), [pool])
            pools.append(pool)
            ops.append(pool.op)
            places.update({x: (pool, k) for k, x in enumerate(some)})
    return pools, places, ops


def _packed(dtype: Any, count: int, *numbers: Any) -> Any:
    return np.fromiter(numbers, dtype, count)


class Lines(Loops):
    """The lines of a piece, in which whatever is read from an array is read once."""

    def __init__(
        self, made: Container[Value], stored: Container[Value], places: dict[Value, tuple[Value, int]],
        names: dict[Value, str],
    ) -> None:  # fmt: skip
        super().__init__({}, (), places, names)
        self.mine, self.stored = made, stored
        self.local: dict[Any, str] = {}  # a value made here, or the text of an entry -> its name

    def write(self, op: Op) -> None:
        """Append the lines of an operation."""
        zeros = ["0"] * len(op.out.shape)
        name = self._kept_as(op.out, self._expression(op, zeros, 0, {}))
        if op.out in self.stored:
            self.line(0, f"{self.place(op.out, zeros)} = {name}")

    def index(self, value: Value, index: list[str]) -> tuple[Value, list[str]]:
        """Return what a view looks at, and the index in it; what is made here may be a view for those outside."""
        if source(value, self.mine) in self.mine:
            value = source(value, self.mine)
            return value, ["0"] * len(value.shape)
        return super().index(value, index)

    def place(self, value: Value, index: Sequence[str]) -> str:
        """Return the entry of an array that stands for a value, by its place in memory."""
        pool, start = self.scratch.get(value, (value, 0))
        return f"{self.names[pool]}[{flat(value.shape, index, start)}]"

    def read(self, arg: Arg, index: list[str], depth: int, seen: dict[Value, str], want: str) -> str:
        """Return the expression of an argument, in a dtype."""
        if not isinstance(arg, Value) or (arg.weak and arg not in self.scratch):
            return super().read(arg, index, depth, seen, want)
        value, inner = self.index(arg, index)
        have = code_of(value.dtype)
        if value.kind == "constant":
            return cast(literal(value.data[tuple(int(eval(i, {})) for i in inner)].item(), have), have, want)
        if value in self.local:
            return cast(self.local[value], have, want)
        text = self.place(value, inner)
        return cast(self.local.get(text) or self._kept_as(text, text), have, want)

    def _kept_as(self, key: Any, text: str) -> str:
        name = self.local[key] = f"x{self.count}"
        self.count += 1
        self.line(0, f"{name} = {text}")
        return name
