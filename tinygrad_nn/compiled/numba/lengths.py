"""The length of the batch in kernels: an argument called ``rows``, while all other lengths are constants.

Compilers make faster code for lengths that they know, and the shapes of weights never change. But the batch often has
another length: shorter at the end of the data, longer in use. So the source of a kernel has ``rows`` in place of that
length, and one compiled kernel serves all batches. This module follows the batch axis from the arguments through the
program. A mistake costs only time: the source for another batch then differs, and is compiled anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

from ..program.values import Op, Program, Value
from ..trace.operations import thawed

NAME = "rows"
LESS = 4  # a length at most this much below the batch's depends on it, as in differences of adjacent rows
Shape = tuple[int, ...]
Batch = tuple[int, Sequence[int]]
NONE: Batch = (0, ())


class Length(int):
    """An int equal to `times` times the length of the batch plus `offset`; its text is such as ``(2 * rows + 1)``."""

    times: int
    offset: int

    def __new__(cls, value: int, times: int = 1, offset: int = 0) -> Length:
        """Make it from its value and the two numbers of its expression."""
        made = super().__new__(cls, value)
        made.times, made.offset = times, offset
        return made

    def __str__(self) -> str:
        text = NAME if self.times == 1 else f"{self.times} * {NAME}"
        text += f" + {self.offset}" if self.offset else ""
        return text if text == NAME else f"({text})"

    def __format__(self, format_spec: str) -> str:
        return str(self)

    def __mul__(self, other: int) -> int:
        if isinstance(other, Length):
            return int(self) * int(other)
        return Length(int(self) * other, self.times * other, self.offset * other) if other else 0

    def __add__(self, other: int) -> int:
        times, more = (other.times, other.offset) if isinstance(other, Length) else (0, other)
        return Length(int(self) + int(other), self.times + times, self.offset + more)

    def __sub__(self, other: int) -> int:
        return self + -int(other) if not isinstance(other, Length) else int(self) - int(other)

    __rmul__, __radd__ = __mul__, __add__

    @property
    def batch(self) -> Length:
        """The length of the batch."""
        return Length((int(self) - self.offset) // self.times)


def near_batch_length(value: int, n: int) -> int:
    """Return a number as a `Length` if `n`, the length of an axis, is one and the number is equal or slightly less."""
    less = int(n) - int(value)
    return n - less if isinstance(n, Length) and (not less or 0 < less <= LESS < value) else value


@contextmanager
def giving_shapes(shapes: Mapping[Value, Shape]) -> Iterator[None]:
    """Give values shapes with `Length` objects inside the block, so that code written there contains ``rows``."""
    before = {value: value.shape for value in shapes}
    try:
        for value, shape in shapes.items():
            value.shape = shape
        yield
    finally:
        for value, shape in before.items():
            value.shape = shape


class Lengths:
    """Which lengths and numbers in a program depend on the length of the batch.

    Args:
        program: its operations, in order.
        batch: the length of the batch, and the slots of the inputs that have a batch axis.

    Attributes:
        shapes: value with a batch axis -> its shape, with a `Length` for that axis.
        counts: number of entries in a sum over the batch -> the same as a `Length`; a mean divides by it.
    """

    def __init__(self, program: Program, batch: Batch) -> None:
        self.shapes: dict[Value, Shape] = {}
        self.counts: dict[int, Length] = {}
        rows, slots = batch
        if rows < 2:
            return
        self.counts[rows] = Length(rows)
        for value in program.inputs:
            if value.slot in slots:
                self._take(value, _guess(value.shape, rows))
        for op in program.ops:
            for arg in op.values:
                if arg.kind == "constant" and arg not in self.shapes:
                    self._take(arg, _guess(arg.shape, rows))
            shapes = [self.shapes.get(arg, arg.shape) for arg in op.values]
            way = WAYS.get(op.kind) if len(op.outs) == 1 else None
            for out in op.outs:
                self._take(out, way(op, shapes, rows) if way else _guess(out.shape, rows))
            if op.kind == "reduce" and isinstance(count := prod(shapes[0][a] for a in op.attrs[0]), Length):
                self.counts[int(count)] = count

    def _take(self, value: Value, shape: Sequence[int]) -> None:
        if any(isinstance(n, Length) for n in shape) and tuple(shape) == value.shape:
            self.shapes[value] = tuple(shape)

    def number(self, x: float) -> str | None:
        """Return the text of a number n that is such a count c, 1/c or 2/c, with ``rows`` in it; None for others."""
        for over in (0, 1, 2):
            value = over / abs(x) if over and x else abs(x)
            count = self.counts.get(round(value)) if value < 2**53 else None
            if count is not None and abs(x) == (over / int(count) if over else int(count)):
                return ("-" if x < 0 else "") + (f"{over}.0 / {count}" if over else str(count))
        return None


NOTHING = Lengths(Program([], [], []), NONE)


def _guess(shape: Shape, rows: int) -> Shape:
    """Return a shape in which the first axis that has the batch's length is taken for the batch axis: a guess."""
    axis = shape.index(rows) if rows in shape else len(shape)
    return (*shape[:axis], Length(rows), *shape[axis + 1 :]) if axis < len(shape) else shape


def _entrywise(op: Op, shapes: Sequence[Shape], rows: int) -> Shape:
    return _broadcast_shape(op.out.shape, shapes)


def _broadcast_shape(shape: Shape, shapes: Sequence[Shape]) -> Shape:
    """Return the shape of a broadcast result: its axis is the batch's if the same axis of an argument is."""
    result = list(shape)
    for other in shapes:
        for axis, n in enumerate(reversed(other), 1):
            if isinstance(n, Length) and n == result[-axis]:
                result[-axis] = n
    return tuple(result)


def _reduce(op: Op, shapes: Sequence[Shape], rows: int) -> Shape:
    axes, keep, _ = op.attrs
    return tuple(1 if a in axes else n for a, n in enumerate(shapes[0]) if keep or a not in axes)


def _matmul(op: Op, shapes: Sequence[Shape], rows: int) -> Shape:
    if len(shapes) < 2 or min(map(len, shapes)) < 2:
        return _guess(op.out.shape, rows)
    a, b = shapes
    return (*_broadcast_shape(op.out.shape[:-2], [a[:-2], b[:-2]]), a[-2], b[-1])


def _broadcast(op: Op, shapes: Sequence[Shape], rows: int) -> Shape:
    shape = _broadcast_shape(op.out.shape, shapes)
    new = len(shape) - len(shapes[0])
    return shape if any(isinstance(n, Length) for n in shape) or not (new or shapes[0][0] == 1) else _guess(shape, rows)


def _reshape(op: Op, shapes: Sequence[Shape], rows: int) -> Shape:
    """Return the shape of a reshaped array: among the axes that cover the old batch axis, one is taken for it."""
    ours, result = shapes[0], list(op.out.shape)
    first = next((axis for axis, n in enumerate(ours) if isinstance(n, Length)), None)
    if first is not None:
        begin = int(prod(ours[:first]))
        end, fit, step = begin * int(ours[first]), [], 1
        for axis, n in enumerate(result):
            fit += [axis] if step < end and begin < step * n and n % rows == 0 else []
            step *= n
        axis = next((axis for axis in fit if result[axis] == rows), fit[0] if fit else len(result))
        result[axis : axis + 1] = [Length(n, n // rows) for n in result[axis : axis + 1]]
    return tuple(result)


def _slice(op: Op, shapes: Sequence[Shape], rows: int) -> Shape:
    """Return the shape of a slice: a batch axis that is taken wholly, or nearly, stays one."""
    shape, axis, result = shapes[0], 0, []
    parts = thawed(op.attrs[0])
    if Ellipsis in parts or sum(part is not None for part in parts) > len(shape):
        return _guess(op.out.shape, rows)
    parts = (*parts, *[slice(None)] * (len(shape) - sum(part is not None for part in parts)))
    for part in parts:
        if part is None:
            result.append(1)
            continue
        n, axis = shape[axis], axis + 1
        if isinstance(part, slice):
            result.append(near_batch_length(len(range(*part.indices(int(n)))), n))
    return tuple(result)


WAYS: dict[str, Callable[[Op, Sequence[Shape], int], Shape]] = {
    "ufunc": _entrywise, "where": _entrywise, "cast": _entrywise, "reduce": _reduce, "matmul": _matmul,
    "vdot": lambda *_: (), "broadcast": _broadcast, "reshape": _reshape, "slice": _slice,
    "transpose": lambda op, shapes, rows: tuple(shapes[0][axis] for axis in op.attrs[0]),
}  # fmt: skip


def batch_of(parts: Sequence[Sequence[Any]]) -> Batch:
    """Return the length of the batch, and the slots of the leaves that have a batch axis.

    It is the common length of the first axes in the last argument whose arrays have one. Other arguments that consist
    of one array with an axis of that length belong to the batch too: in ``step(weights, x, y)`` these are x and y, even
    if the first axis of x is time.

    Args:
        parts: the leaves of each argument, in order.
    """
    shapes = [[() if isinstance(x, type) else tuple(getattr(x, "shape", ())) for x in leaves] for leaves in parts]
    rows = next((n for n in map(_common, reversed(shapes)) if n), 0)
    slots, start = [], 0
    for part in shapes if rows else ():
        if _common(part) == rows or (len(part) == 1 and rows in part[0]):
            slots += [start + k for k, shape in enumerate(part) if shape]
        start += len(part)
    return rows, slots


def _common(shapes: Sequence[Shape]) -> int:
    """Return the common length of the first axes of all arrays, 0 if they differ or there are none."""
    found = {shape[0] for shape in shapes if shape}
    return found.pop() if len(found) == 1 else 0
