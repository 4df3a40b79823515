"""Shared by all losses: checks of the arguments, and the reduction of the values to one number."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...common.masked import unmasked
from ...tensor import Tensor, raw

Array = Any
REDUCTIONS = ("mean", "sum", "none")


def reduce_values(call: str, values: Array, reduction: str, known: tuple[str, ...] = REDUCTIONS) -> Array:
    """Return the mean of all values, their sum, their sum divided by the number of rows, or the values themselves."""
    if reduction == "mean":
        return values.sum() / max(values.size, 1)  # the mean of no values is 0
    if reduction == "sum":
        return values.sum()
    if reduction == "batchmean" and "batchmean" in known:
        return values.sum() / max(len(values), 1)
    return without_reduction(call, values, reduction, known)


def without_reduction(call: str, values: Array, reduction: str, known: tuple[str, ...] = REDUCTIONS) -> Array:
    """Return the values if the reduction is 'none'; raise for an unknown reduction."""
    if reduction != "none":
        check_reduction(call, reduction, known)
    return values


def check_reduction(call: str, reduction: Any, known: tuple[str, ...] = REDUCTIONS) -> None:
    """Raise a ValueError unless the reduction is known."""
    if reduction not in known:
        raise ValueError(f"{call}: reduction={reduction!r:.60}; known are {', '.join(map(repr, known))}.")


def as_floats(call: str, name: str, value: Any, like: Array | None = None) -> Array:
    """Return a Tensor as it is, and anything else as a floating-point array, of the dtype of `like` if given."""
    if isinstance(value, Tensor):
        return value
    if value is None:
        raise TypeError(f"{call}: {name} is None; the function or forward that computed it may lack its return.")
    array = np.asarray(unmasked(value))
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{call}: {name} is of dtype {array.dtype}; a loss needs real numbers.")
    dtype = array.dtype if array.dtype.kind == "f" else np.dtype(float)
    return array.astype(dtype if like is None else like.dtype, copy=False)


def check_pair(
    call: str, prediction: Any, target: Any, names: tuple[str, str] = ("prediction", "target")
) -> tuple[Any, Any]:
    """Return prediction and target; raise if shapes differ: broadcasting would pair each row with all others."""
    x = as_floats(call, names[0], prediction)
    y = as_floats(call, names[1], target, x)
    if x.shape != y.shape:
        fix = f"one {names[1]} for each entry of the {names[0]}"
        if x.size == y.size:
            fix = f"{names[1]}.reshape{x.shape}" if len(x.shape) > 1 else f"{names[0]}.reshape{y.shape or '(())'}"
        raise ValueError(
            f"{call} needs two arrays of the same shape; {names[0]} has {x.shape}, {names[1]} has {y.shape}. Write "
            f"{fix}."
        )
    return x, y


def plain_values(value: Any) -> Any:
    """Return the values of an argument without its graph: the data of a Tensor, an array for a list."""
    value = raw(value)
    return value if isinstance(value, Tensor) else np.asarray(unmasked(value))


def refuse_where(call: str, name: str, values: Any, wrong: Any, fix: str) -> None:
    """Raise a ValueError if an entry of `wrong` is True, naming the first wrong value and its index."""
    if isinstance(values, np.ndarray) and np.any(wrong):
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        place = f"[{', '.join(map(str, at))}]" if at else ""
        raise ValueError(f"{call}: {name}{place} is {values[at]}; {fix}")
