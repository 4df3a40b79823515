"""Finds runs of repeating operations: stretches of a program in which the same sequence of operations recurs.

Such a run is what an unrolled Python loop looks like in a trace. Which values the operations read is not compared here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .values import Op, Value

PERIODS = 4  # for each pattern length, this many periods are tried, the most frequent ones
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Run:
    """Operations `start` to `stop` (exclusive), each of the same kind as the one `period` operations before it."""

    start: int
    stop: int
    period: int


def find_runs(ops: Sequence[Op], min_periods: int) -> list[Run]:
    """Return all runs of at least `min_periods` periods, those that save most operations first.

    Example:
        >>> from tinygrad_nn.compiled.program.values import Op
        >>> ops = [Op("ufunc", name, name, []) for name in "a" + "bcd" * 4 + "e"]
        >>> find_runs(ops, 4)
        [Run(start=1, stop=13, period=3)]
    """
    kinds: dict[Any, int] = {}
    marks = np.array([kinds.setdefault(signature(op, i), len(kinds)) for i, op in enumerate(ops)], np.int64)
    found = []
    for p in _periods(marks, min_periods):
        same = np.concatenate([[False], marks[p:] == marks[:-p], [False]])
        ends = np.flatnonzero(same[1:] != same[:-1]).reshape(-1, 2)
        found += [Run(int(a), int(b) + p, p) for a, b in ends if b - a >= (min_periods - 1) * p]
    return sorted(found, key=lambda run: (run.period + run.start - run.stop, run.period))


def _periods(marks: Array, min_periods: int) -> list[int]:
    """Return the distances at which patterns of operations often recur, for patterns of 1, 2, 4, ... operations."""
    n = len(marks)
    draw = np.random.default_rng(0).integers(1, 2**63, marks.max(initial=0) + 1, np.uint64)
    hashes, factor, length = draw[marks], np.uint64(0x9E3779B97F4A7C15), 1
    periods: set[int] = set()
    while len(hashes) > 1:
        order = np.argsort(hashes, kind="stable")
        again = hashes[order][1:] == hashes[order][:-1]
        gaps = np.diff(order)[again]
        counts = np.bincount(gaps[gaps * min_periods <= n])
        best = np.argsort(-counts, kind="stable")[:PERIODS]
        periods.update(int(p) for p in best if counts[p] >= min_periods - 1 - length // max(int(p), 1))
        if length * 2 > n // min_periods + 1:
            break
        with np.errstate(over="ignore"):
            hashes, factor = hashes[:-length] * factor + hashes[length:], factor * factor
        length *= 2
    return sorted(p for p in periods if p)


def signature(op: Op, number: int) -> Any:
    """Return a key that is equal for operations that do the same to arrays of equal shapes and dtypes."""
    if not op.pure or op.kind == "draw":
        return number
    code = getattr(op.function, "__code__", None) if op.kind == "call" else op.function
    args = tuple((x.shape, x.dtype) if isinstance(x, Value) else type(x) for x in op.args)
    attrs = tuple(_without_position(p) for p in op.attrs[0]) if op.kind == "slice" else op.attrs
    return op.kind, op.name, code, attrs, args, tuple((x.shape, x.dtype) for x in op.outs)


def _without_position(part: Any) -> Any:
    """Return a part of an index without its position, so that x[3] and x[4], or x[0:2] and x[2:4], are alike."""
    if isinstance(part, int):
        return int
    if isinstance(part, tuple) and all(type(end) is int and end >= 0 for end in part[1:3]):
        return "slice", part[2] - part[1], part[3]
    return part
