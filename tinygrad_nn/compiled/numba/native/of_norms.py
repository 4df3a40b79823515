"""Decides which normalizations the functions of `norms` do, and with which arguments."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ...program.values import Arg, Op, Value
from .of_attention import by_position
from .row import APART, Native

PARALLEL = 2**14  # with at most so many entries one core is faster
Shape = tuple[int, ...]


def _arguments(op: Op) -> tuple[Value, Arg, Arg]:
    """Return x, weight and bias; the number 0 if there is no bias."""
    given = by_position(op)[2:] if op.name.endswith("_back") else by_position(op)
    return given[0], given[1], given[2] if op.name.startswith("standardize") else 0.0


def _first_axis(op: Op) -> int | None:
    """Return the first of the normalized axes if these are the last axes of x, else None."""
    x = _arguments(op)[0]
    axis = op.call_meta["axis"]  # type: ignore[index]
    axes = sorted(a % len(x.shape) for a in (axis if isinstance(axis, tuple) else (axis,)))
    return axes[0] if axes == list(range(len(x.shape) - len(axes), len(x.shape))) and axes else None


def supports(op: Op) -> bool:
    """Tell whether the normalized axes are the last ones, and weight and bias have one of the layouts in `norms`."""
    x, weight, bias = _arguments(op)
    if _first_axis(op) is None or any(isinstance(w, Value) and (w.weak or w.dtype != x.dtype) for w in (weight, bias)):
        return False
    if isinstance(bias, Value) and (not isinstance(weight, Value) or weight.shape != bias.shape):
        return False
    return _count_row_kinds(op) is not None


def _count_row_kinds(op: Op) -> int | None:
    """Return how many rows have different weights, or None if the weights of a row are not those of equal blocks."""
    x, weight, _ = _arguments(op)
    if not isinstance(weight, Value):
        return 1
    first = _first_axis(op) or 0
    shape = (1,) * (len(x.shape) - len(weight.shape)) + weight.shape
    if len(shape) != len(x.shape):
        return None
    rows, inside = list(zip(shape, x.shape, strict=True))[:first], list(zip(shape, x.shape, strict=True))[first:]
    if any(w != 1 for w, _ in (*rows[: len(rows) - _count_equal(rows[::-1])], *inside[_count_equal(inside) :])):
        return None
    return prod(w for w, _ in rows)


def _count_equal(pairs: list[tuple[int, int]]) -> int:
    """Return how many pairs at the beginning have equal lengths."""
    for count, (w, n) in enumerate(pairs):
        if w != n:
            return count
    return len(pairs)


def _full(number: Arg, like: Arg, dtype: Any) -> Arg:
    """Return a number as a constant array with the shape of `like`; a value unchanged."""
    if isinstance(number, Value):
        return number
    data = np.full(like.shape if isinstance(like, Value) else (1,), number, dtype)
    return Value(-1, "constant", data.shape, data.dtype, data=data)


def arrays(op: Op) -> list[Arg]:
    """Return x, weight and bias; for the rule g, x, weight and the two arrays that the forward saved."""
    x, weight, bias = _arguments(op)
    w = _full(weight, 1.0, x.dtype)
    if op.name.endswith("_back"):
        saved = op.args[-2:] if op.name.startswith("standardize") else [op.args[-1]] * 2
        return [op.args[0], x, w, *saved]
    return [x, w, _full(bias, w, x.dtype)]


def threads(op: Op) -> int:
    """Return into how many parts the rows are divided."""
    from .build import THREADS

    x = _arguments(op)[0]
    return min(THREADS, prod(x.shape[: _first_axis(op)])) if x.size > PARALLEL else 1


def memory(op: Op) -> tuple[Shape, ...]:
    """Return the shapes of work arrays: for results that are not asked for, and for each part's sums."""
    if not op.name.endswith("_back"):
        return () if op.name == "standardize" else ((1,),)
    weight = _arguments(op)[1]
    size = weight.size if isinstance(weight, Value) else 1
    parts = (threads(op), size + APART)
    return (*[(size,)] * (3 - len(op.outs)), parts, parts)


def numbers(op: Op) -> tuple[Any, ...]:
    """Return the number of kinds of rows, whether the mean is subtracted, eps, and the number of parts."""
    eps = float(op.call_meta.get("eps", 1e-5))  # type: ignore[union-attr]
    return _count_row_kinds(op), op.name.startswith("standardize"), eps, threads(op)


FORWARD = Native("norms", "forward", supports, arrays, memory, numbers)
BACK = Native("norms", "back", supports, arrays, memory, numbers)
ROWS = {"standardize": FORWARD, "standardize_back": BACK, "rms_norm": FORWARD, "rms_norm_back": BACK}
