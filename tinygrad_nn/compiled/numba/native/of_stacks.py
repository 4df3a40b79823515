"""Decides which products of stacks of matrices `stacks.stack` does, and finds how the matrices lie in memory.

A matrix may be a view: BLAS takes matrices whose rows, or whose columns, are contiguous, at any distance.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from ...program.memory import view_of
from ...program.values import VIEWS, Arg, Op, Value
from .row import Native, same_known_dtype

PRODUCT = 16_384  # a stack of at most so many multiplications is faster with NumPy
PARALLEL = 2**18  # one of at most so many is faster on one core


class Stack(NamedTuple):
    """How a stack of matrices lies in memory.

    Attributes:
        source: the value whose memory it lies in.
        start: the place of the first entry.
        steps: for each axis of the stack, the entries from one matrix to the next.
        row: the entries from one row to the next.
        flipped: whether the matrices are stored transposed, so that `row` is for columns.
    """

    source: Value
    start: int
    steps: tuple[int, ...]
    row: int
    flipped: bool


def memory_order(x: Arg) -> Stack | None:
    """Return how the matrices of a stack lie in memory, or None if BLAS cannot take them without a copy."""
    views = []
    source = x
    while isinstance(source, Value) and source.op is not None and source.op.kind in VIEWS:
        views.append(source.op)
        source = source.op.args[0]
    if not isinstance(source, Value) or not isinstance(x, Value) or source.dtype != x.dtype:
        return None
    base = view = np.empty(source.shape, source.dtype)  # only for its strides: its memory is never touched
    for op in reversed(views):
        view = view_of(op, view)
    if not np.may_share_memory(view, base):
        return None  # a reshape that copies
    start = (view.ctypes.data - base.ctypes.data) // base.itemsize
    *steps, down, across = [step // base.itemsize for step in view.strides]
    rows, columns = view.shape[-2:]
    if (columns == 1 or across == 1) and (rows == 1 or down >= columns):
        return Stack(source, start, tuple(steps), down if rows > 1 else columns, False)
    if (rows == 1 or down == 1) and (columns == 1 or across >= rows):
        return Stack(source, start, tuple(steps), across if columns > 1 else rows, True)
    return None


def _steps(x: Value, stack: Stack, shape: tuple[int, ...]) -> list[int]:
    """Return for each axis of the result's stack the entries from matrix to matrix; 0 if the axis is broadcast."""
    own = list(zip(x.shape[:-2], stack.steps, strict=True))
    return [0] * (len(shape) - len(own)) + [0 if n == 1 else step for n, step in own]


def _both(op: Op) -> tuple[Stack, Stack] | None:
    if op.kind != "matmul" or len(op.out.shape) < 3 or len(op.args) != 2 or not same_known_dtype(op):
        return None
    a, b = map(memory_order, op.args)
    return None if a is None or b is None else (a, b)


def supports(op: Op) -> bool:
    """Tell whether an operation is a product of stacks that is large enough for a native call."""
    return _both(op) is not None and op.out.size * op.args[0].shape[-1] > PRODUCT


def arrays(op: Op) -> list[Arg]:
    """Return the values in whose memory the matrices lie."""
    return [x.source for x in _both(op) or ()]


def numbers(op: Op) -> tuple[Any, ...]:
    """Return `axes` and `layout` of `stacks.stack`, and the number of parts."""
    from .build import THREADS

    a, b = _both(op)  # type: ignore[misc]
    *lead, n, m = op.out.shape
    k = op.args[0].shape[-1]
    axes = list(zip(lead, _steps(op.args[0], a, tuple(lead)), _steps(op.args[1], b, tuple(lead)), strict=True))
    while axes and not a.flipped and axes[-1][2] == 0 and axes[-1][1] == n * a.row:  # a's matrices form one matrix
        n *= axes.pop()[0]
    parts = THREADS if op.out.size * k > PARALLEL else 1
    count = prod(axis[0] for axis in axes)
    runs = -(-parts // count)
    layout = [n, m, k, a.start, a.row, a.flipped, b.start, b.row, b.flipped, runs]
    return np.array(axes, np.int64).reshape(len(axes), 3), np.array(layout, np.int64), min(parts, count * runs)


def work(op: Op) -> int:
    """Return the number of multiplications in the product of two matrices."""
    _, layout, _ = numbers(op)
    return int(layout[0] * layout[1] * layout[2])


STACK = Native("stacks", "stack", supports, arrays, numbers=numbers, work=work)
