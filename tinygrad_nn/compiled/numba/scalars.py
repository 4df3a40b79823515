"""Straight-line code for operations on single numbers: no loops and no arrays; each value is a local variable.

A group of thousands of such operations is one kernel. Its lines are cut into pieces, which `assembly` turns into
functions. A value that one piece makes and another reads is passed through an array.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..program.values import VIEWS, Arg, Op, Value, viewed_value
from .expressions import ELEMENTWISE, cast, code_of, literal
from .indices import flat_index
from .loops import DEEP, Loops

PIECE = 200  # operations in a function; LLVM's time grows faster than the length of a function
FEW = 8  # up to so many numbers of a dtype are passed or returned one by one, more in one array
MANY = 64  # the fewest operations on single numbers that get a kernel of their own if there are other kernels


def is_scalar_operation(op: Op) -> bool:
    """Tell whether an operation that a kernel can do is elementwise, or a view, and its result a single number."""
    if op.kind in VIEWS:
        return op.out.size == 1
    return op.kind in ELEMENTWISE and op.out.size == 1


def scalar_stages(ops: Sequence[Op], able: Container[Op]) -> dict[Op, int]:
    """Return the operations that become straight-line code, with the stage of each; `able` are those of kernels.

    The operations of a stage depend only on each other, on earlier stages and on other operations that can run before,
    so that they can be one kernel. Stages of few operations are left to kernels with loops, if there are such kernels.
    """
    stage: dict[Value, tuple[int, bool]] = {}
    found: dict[int, list[Op]] = {}
    others = False
    for op in ops:
        one = op in able and is_scalar_operation(op)
        others |= not one and op.kind not in VIEWS and op in able
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

    Many numbers from outside are passed in one array for each dtype, and so are many results. Each array argument of a
    function takes numba longer to compile than a hundred lines.

    Attributes:
        ops: the operations, in order.
        args: the arrays and numbers that it reads.
        outs: the arrays that it writes: first the results that are needed outside, then one array for each dtype with
            the values that pass from one piece to another.
        scratch: value in such a shared array, or in an array of results -> the array and the place in it.
        before, after: the operations that collect numbers into arrays, and take the results out of arrays.
    """

    __name__ = "kernel"
    axes = DEEP

    def __init__(self, group: Sequence[Op], outside: Sequence[Value]) -> None:
        self.ops = list(group)
        work = [op for op in group if op.kind not in VIEWS]
        self.pieces = [work[k : k + PIECE] for k in range(0, len(work), PIECE)]
        self.number = {op.out: k for k, op in enumerate(work)}
        self.scratch: dict[Value, tuple[Value, int]] = {}
        self.last: dict[Value, int] = {}  # outer value -> the number of the operation that reads it last
        kept, crossing = set(outside), []
        for number, op in enumerate(work):
            for arg in op.values:
                x = viewed_value(arg, self.number)
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
        """Tell whether a result may overwrite an argument: the argument has been read for the last time by then."""
        return out in self.number and out not in self.scratch and self.last.get(x, -1) <= self.number[out]

    def length(self) -> int:
        """Return the number of operations, each of which is about one line."""
        return len(self.number)

    def source(self, names: dict[Value, str], threads: int = 1) -> list[str]:
        """Return the lines of the body, with the given names of arrays; equal names are the same array."""
        return [f"straight({self.code(names)!r}, ({', '.join(dict.fromkeys(names.values()))},))"]

    def code(self, names: dict[Value, str]) -> str:
        """Return the lines as text, with an empty line between pieces; arrays are indexed as flat arrays."""
        places = {**self.packed, **self.scratch}
        written = [Lines(self.number, self.stored, places, names) for _ in self.pieces]
        for lines, piece in zip(written, self.pieces, strict=True):
            for op in piece:
                lines.write(op)
        return "\n\n".join("\n".join(lines.lines) for lines in written)


def _gathered(values: Sequence[Value]) -> tuple[list[Value], dict[Value, tuple[Value, int]], list[Op]]:
    """Return arrays that collect numbers of one dtype if these are many, the place of each, and the operations."""
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
    """Writes the lines of a piece, in which each entry of an array is read only once."""

    def __init__(
        self, computed: Container[Value], stored: Container[Value], places: dict[Value, tuple[Value, int]],
        names: dict[Value, str],
    ) -> None:  # fmt: skip
        super().__init__({}, (), places, names)
        self.mine, self.stored = computed, stored
        self.local: dict[Any, str] = {}  # value made here, or text of an array's entry -> local variable

    def write(self, op: Op) -> None:
        """Append the lines of an operation."""
        zeros = ["0"] * len(op.out.shape)
        name = self._kept_as(op.out, self._expression(op, zeros, 0, {}))
        if op.out in self.stored:
            self.line(0, f"{self.place(op.out, zeros)} = {name}")

    def index(self, value: Value, index: list[str]) -> tuple[Value, list[str]]:
        """Return the base of a view and the index in it; a value made here is used directly, even through a view."""
        if viewed_value(value, self.mine) in self.mine:
            value = viewed_value(value, self.mine)
            return value, ["0"] * len(value.shape)
        return super().index(value, index)

    def place(self, value: Value, index: Sequence[str]) -> str:
        """Return the expression of an entry of a flat array that holds a value."""
        pool, start = self.scratch.get(value, (value, 0))
        return f"{self.names[pool]}[{flat_index(value.shape, index, start)}]"

    def read(self, arg: Arg, index: list[str], depth: int, expressions: dict[Value, str], want: str) -> str:
        """Return the expression of an argument in dtype `want`."""
        if not isinstance(arg, Value) or (arg.weak and arg not in self.scratch):
            return super().read(arg, index, depth, expressions, want)
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
