"""Which normalisations the functions of `norms` do, and what they get."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ...program.values import Arg, Op, Value
from .of_attention import by_place
from .row import APART, Native

PARALLEL = 2**14  # fewer entries are quicker on one core
Shape = tuple[int, ...]


def _given(op: Op) -> tuple[Value, Arg, Arg]:
    """Return x, weight and bias; the number 0 for no bias."""
    given = by_place(op)[2:] if op.name.endswith("_back") else by_place(op)
    return given[0], given[1], given[2] if op.name.startswith("standardize") else 0.0


def _first(op: Op) -> int | None:
    """Return the first of the axes of statistics, if they are the last ones."""
    x = _given(op)[0]
    axis = op.given["axis"]  # type: ignore[index]
    axes = sorted(a % len(x.shape) for a in (axis if isinstance(axis, tuple) else (axis,)))
    return axes[0] if axes == list(range(len(x.shape) - len(axes), len(x.shape))) and axes else None


def fits(op: Op) -> bool:
    """Tell whether statistics are of rows, and a weight and a bias lie in these in one of the ways that we know."""
    x, weight, bias = _given(op)
    if _first(op) is None or any(isinstance(w, Value) and (w.weak or w.dtype != x.dtype) for w in (weight, bias)):
        return False
    if isinstance(bias, Value) and (not isinstance(weight, Value) or weight.shape != bias.shape):
        return False
    return _kinds(op) is not None


def _kinds(op: Op) -> int | None:
    """Return how many rows have weights of their own, if the weights of a row are of blocks along it."""
    x, weight, _ = _given(op)
    if not isinstance(weight, Value):
        return 1
    first = _first(op) or 0
    shape = (1,) * (len(x.shape) - len(weight.shape)) + weight.shape
    if len(shape) != len(x.shape):
        return None
    rows, inside = list(zip(shape, x.shape, strict=True))[:first], list(zip(shape, x.shape, strict=True))[first:]
    if any(w != 1 for w, _ in (*rows[: len(rows) - _same(rows[::-1])], *inside[_same(inside) :])):
        return None
    return prod(w for w, _ in rows)


def _same(pairs: list[tuple[int, int]]) -> int:
    """Return how many of the first lengths agree."""
    for count, (w, n) in enumerate(pairs):
        if w != n:
            return count
    return len(pairs)


def _full(number: Arg, like: Arg, dtype: Any) -> Arg:
    """Return a number as a constant of the shape of another argument."""
    if isinstance(number, Value):
        return number
    data = np.full(like.shape if isinstance(like, Value) else (1,), number, dtype)
    return Value(-1, "constant", data.shape, data.dtype, data=data)


def arrays(op: Op) -> list[Arg]:
    """Return x, weight and bias, or g, x, weight and what the forward saved."""
    x, weight, bias = _given(op)
    w = _full(weight, 1.0, x.dtype)
    if op.name.endswith("_back"):
        saved = op.args[-2:] if op.name.startswith("standardize") else [op.args[-1]] * 2
        return [op.args[0], x, w, *saved]
    return [x, w, _full(bias, w, x.dtype)]


def threads(op: Op) -> int:
    """Return into how many parts the rows are parted."""
    from .build import THREADS

    x = _given(op)[0]
    return min(THREADS, prod(x.shape[: _first(op)])) if x.size > PARALLEL else 1


def memory(op: Op) -> tuple[Shape, ...]:
    """Return room for gradients of weight and bias of each part, and for those that are not asked for."""
    if not op.name.endswith("_back"):
        return () if op.name == "standardize" else ((1,),)
    weight = _given(op)[1]
    size = weight.size if isinstance(weight, Value) else 1
    parts = (threads(op), size + APART)
    return (*[(size,)] * (3 - len(op.outs)), parts, parts)


def numbers(op: Op) -> tuple[Any, ...]:
    """Return how many kinds of rows there are, whether the mean is taken off, eps, and the number of parts."""
    eps = float(op.given.get("eps", 1e-5))  # type: ignore[union-attr]
    return _kinds(op), op.name.startswith("standardize"), eps, threads(op)


FORWARD = Native("norms", "forward", fits, arrays, memory, numbers)
BACK = Native("norms", "back", fits, arrays, memory, numbers)
ROWS = {"standardize": FORWARD, "standardize_back": BACK, "rms_norm": FORWARD, "rms_norm_back": BACK}
