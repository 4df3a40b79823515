"""Index arithmetic on source text: for an entry of a view, the index of that entry in the array behind the view."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from ..trace.operations import full_index, thawed
from .lengths import near_batch_length


def flat_index(shape: Sequence[int], index: Sequence[str], start: int = 0) -> str:
    """Return the expression of an entry's place in a flat array in which this array begins at `start`."""
    terms, step = [str(start)] if start else [], 1
    for n, i in zip(reversed(shape), reversed(index), strict=True):
        if i != "0":
            terms.append(str(int(i) * step) if i.isdigit() else _bracket(i) if step == 1 else f"{step} * {_bracket(i)}")
        step *= n
    return " + ".join(terms) or "0"


def unsigned(place: str) -> str:
    """Return a place as an unsigned number, so that compiled code does not test in each step if it is negative."""
    return place if place.isdigit() else f"u8({place})"


def broadcast_index(shape: Sequence[int], index: Sequence[str]) -> list[str]:
    """Return the index in an array of an entry of its broadcast view."""
    tail = index[len(index) - len(shape) :] if shape else []
    return ["0" if n == 1 else i for n, i in zip(shape, tail, strict=True)]


def slice_index(parts_of_slice: Sequence[Any], shape: Sequence[int], index: Sequence[str]) -> list[str]:
    """Return the index in an array of an entry of its slice."""
    parts = full_index(thawed(tuple(parts_of_slice)), len(shape))
    left, axis, found = list(index), 0, []
    for part in parts:
        if part is None:
            left.pop(0)
            continue
        n = shape[axis]
        axis += 1
        if isinstance(part, int):
            found.append(str(near_batch_length(part % n, n)))
            continue
        start, _, step = part.indices(n)
        start = near_batch_length(start, n)
        i = left.pop(0)
        far = i if step == 1 or i == "0" else f"{step} * {_bracket(i)}"
        found.append(far if start == 0 else str(start) if far == "0" else f"({start} + {far})")
    return found


def gather_index(
    attrs: tuple[Any, ...], shape: Sequence[int], index: list[str], place: Callable[[int, list[str]], str]
) -> list[str]:  # fmt: skip
    """Return the index in an array of an entry of what a gather or scatter selects from it.

    Args:
        attrs: the attributes of the gather or scatter.
        shape: the shape of the array.
        index: the index of the entry in the selected array.
        place: takes the number of an index array, and an index in that, to the expression of the index stored there.
    """
    parts, at, axes = attrs
    ours, left, axis, found = index[at : at + axes], [*index[:at], *index[at + axes :]], 0, []
    for part in parts:
        if part is None:
            left.pop(0)
            continue
        if isinstance(part, tuple) and part[0] == "array":
            found.append(place(part[1], ours))
        else:
            mine = [] if isinstance(part, int) else [left.pop(0)]
            found += slice_index((part,), shape[axis : axis + 1], mine)
        axis += 1
    return found


def reshape_index(shape: Sequence[int], source: Sequence[int], index: list[str]) -> list[str]:
    """Return the index in an array of an entry of its reshaped view, for each group of axes that hold the same entries.

    Example: a reshape of (6, 5) to (2, 3, 5) has the groups 6 = 2 * 3 and 5 = 5, so only the first needs arithmetic.
    """
    left = [(n, i) for n, i in zip(shape, index, strict=True) if n > 1]
    found: list[str] = []
    axes = [n for n in source if n > 1]
    while axes:
        ours, theirs = [left.pop(0)], [axes.pop(0)]
        while (mine := prod(n for n, _ in ours)) != (other := prod(theirs)):
            if mine < other:
                ours.append(left.pop(0))
            else:
                theirs.append(axes.pop(0))
        found += _group_index(ours, theirs)
    names = iter(found)
    return ["0" if n == 1 else next(names) for n in source]


def _group_index(pairs: list[tuple[int, str]], lengths: list[int]) -> list[str]:
    """Return the index of an entry in axes of lengths `lengths`, given its (length, index) pairs in other axes."""
    flat = _bracket(pairs[0][1])
    for n, i in pairs[1:]:
        flat = f"({flat} * {n} + {_bracket(i)})"
    found = []
    for k, n in enumerate(reversed(lengths)):
        last = k == len(lengths) - 1
        found.append(flat if last else f"{flat} % {n}")
        flat = f"({flat} // {n})"
    return found[::-1]


def _bracket(i: str) -> str:
    return i if i.isidentifier() or i.isdigit() else f"({i})"
