"""Translate indexing, and what writes into a part of an array, to ONNX operators.

Each rule takes the writer and the same operation from all traces (see `rows`), and returns the name of its result.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from ..compiled.program.values import Op, Value
from ..tree import flatten
from .rows import Depends, Free, merged
from .writer import Writer, arguments, call_arguments, shape_of

Ops = tuple[Op, ...]


def sliced(w: Writer, ops: Ops) -> str:
    """Write ``x[index]`` for an index without arrays."""
    x = arguments(ops)[0]
    return write_slice(w, w.arg(x), shape_of(x), _index(*(op.attrs[0] for op in ops)))


def _index(*indices: Any) -> tuple[Any, ...]:
    """Return the index of a slice operation from those of all traces, with `Free` for numbers that grow with rows."""
    found = []
    for each in zip(*indices, strict=True):
        parts = merged(*each)
        found.append(slice(*parts[1:]) if isinstance(parts, tuple) and parts[:1] == ("slice",) else parts)
    return tuple(found)


def write_slice(w: Writer, x: str, shape: tuple[Any, ...], index: tuple[Any, ...]) -> str:
    """Write ``x[index]`` for an index of integers, slices, None and an ellipsis; return the name of the result."""
    given = sum(i is not None and i is not Ellipsis for i in index)
    if Ellipsis not in index:
        index = (*index, Ellipsis)
    place = index.index(Ellipsis)
    index = (*index[:place], *[slice(None)] * (len(shape) - given), *index[place + 1 :])
    starts: list[Any] = []
    ends: list[Any] = []
    axes: list[int] = []
    steps: list[int] = []
    gone: list[int] = []
    new: list[int] = []
    axis, out = 0, 0
    for part in index:
        if part is None:
            new.append(out)
            out += 1
            continue
        if isinstance(part, slice):
            step = 1 if part.step is None else part.step
            low, high = (0, 2**31 - 1) if step > 0 else (2**31 - 1, -(2**31))
            if part != slice(None):
                starts.append(low if part.start is None else part.start)
                ends.append(high if part.stop is None else part.stop)
                axes.append(axis)
                steps.append(step)
            out += 1
        else:
            starts.append(part)
            last = isinstance(part, int) and part == -1
            end = Free(part.slope, part.start + 1) if isinstance(part, Free) else part + 1
            ends.append(2**31 - 1 if last else end)
            axes.append(axis)
            steps.append(1)
            gone.append(axis)
        axis += 1
    if axes:
        x = w.op("Slice", x, w.ints(starts), w.ints(ends), w.ints(axes), w.ints(steps))
    if gone:
        x = w.op("Squeeze", x, w.ints(gone))
    return str(w.op("Unsqueeze", x, w.ints(new))) if new else str(x)


class _Places(NamedTuple):
    """An array of places along an axis: its name in the file and its shape."""

    name: str
    shape: tuple[Any, ...]


def _parts(w: Writer, indices: tuple[Any, ...], dims: int) -> list[Any]:
    """Return the parts of an index, one for each axis and each None: numbers, slices, None or `_Places`."""
    found: list[Any] = []
    for given in zip(*(i if isinstance(i, tuple) else (i,) for i in indices), strict=True):
        part = given[0]
        if isinstance(part, slice):
            found.append(slice(*merged(*((s.start, s.stop, s.step) for s in given))))
        elif isinstance(part, (list, tuple, Value)):
            found += _places(w, given)
        elif isinstance(part, (bool, np.bool_)):
            raise Depends("its index is True or False")
        elif part is None or part is Ellipsis:
            found.append(part)
        else:
            found.append(merged(*given))
    missing = dims - sum(part is not None and part is not Ellipsis for part in found)
    place = next((k for k, part in enumerate(found) if part is Ellipsis), len(found))
    return [*found[:place], *[slice(None)] * missing, *found[place + 1 :]]


def _places(w: Writer, given: tuple[Any, ...]) -> list[_Places]:
    """Return the places that an array of an index names; those of a constant mask along each of its axes."""
    if isinstance(given[0], (list, tuple)):
        if any(isinstance(part, Value) for part in flatten(given[0])[0]):
            raise Depends("its index is a list of numbers that are computed; join them with np.stack")
        lists = [np.asarray(part) for part in given]
        if any(not np.array_equal(part, lists[0]) for part in lists):
            raise Depends("its index is a list that has other numbers with one more row")
        constant: Any = lists[0]
    else:
        constant = given[0].data if given[0].kind == "constant" else None
    if given[0].dtype == np.bool_ if constant is None else constant.dtype == np.bool_:
        if constant is None:
            raise Depends("it has a boolean index, which selects a different number of entries for other values")
        if not isinstance(given[0], (list, tuple)) and any(not np.array_equal(v.data, constant) for v in given):
            raise Depends("its index is a mask that has other entries with one more row")
        return [_Places(w.constant(part), part.shape) for part in np.nonzero(constant)]
    if isinstance(given[0], (list, tuple)):
        return [_Places(w.constant(constant.astype(np.int64)), constant.shape)]
    return [_Places(w.arg(given, np.int64), shape_of(given))]


def _as_places(w: Writer, index: list[Any]) -> list[Any]:
    """Return an index in which a number next to arrays is an array too, as it counts in NumPy."""
    if not any(isinstance(part, _Places) for part in index):
        return index
    return [_Places(w.integer(part), ()) if isinstance(part, (int, np.integer, Free)) else part for part in index]


def _joined(w: Writer, places: list[_Places]) -> tuple[str, tuple[Any, ...]]:
    """Write the places along several axes as one array of coordinates; return it and the shape that they have."""
    spots: tuple[Any, ...] = ()
    for part in places:
        spots = _broadcast(spots, part.shape)
    each = [w.op("Unsqueeze", w.op("Expand", part.name, w.ints(spots)), w.ints([len(spots)])) for part in places]
    return (each[0] if len(each) == 1 else str(w.op("Concat", *each, axis=-1))), spots


def _broadcast(a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
    n = max(len(a), len(b))
    a, b = (1,) * (n - len(a)) + a, (1,) * (n - len(b)) + b
    return tuple(y if x == 1 else x for x, y in zip(a, b, strict=True))


def _spots_first(axes: list[int], n: int, spots: int) -> list[int]:
    """Return for each axis of a result of indexing, with its spots at the front, where NumPy has it.

    NumPy has the axes of the spots where the arrays were, or at the front if others were between those.
    """
    rest = n - len(axes)
    before = axes[0] if axes == list(range(axes[0], axes[0] + len(axes))) else 0
    return [*range(before, before + spots), *range(before), *range(before + spots, rest + spots)]


def _inverse(order: list[int]) -> list[int]:
    return [int(k) for k in np.argsort(order)]


def _transposed(w: Writer, x: str, order: list[int]) -> str:
    return x if order == sorted(order) else str(w.op("Transpose", x, perm=order))


def _getitem(w: Writer, ops: Ops) -> str:
    """Write ``x[index]`` for an index with arrays of integers, or constant masks, next to numbers, slices and None."""
    (x, *_), meta = call_arguments(ops)
    shape = shape_of(x)
    index = _as_places(w, _parts(w, meta["index"], len(shape)))
    others = tuple(slice(None) if isinstance(part, _Places) else part for part in index)
    name = w.arg(x)
    if any(part != slice(None) for part in others):
        name = write_slice(w, name, shape, others)
    axes = [k for k, part in enumerate(index) if isinstance(part, _Places)]
    places = [index[k] for k in axes]
    if len(axes) == 1:
        return str(w.op("Gather", name, places[0].name, axis=axes[0]))
    rest = [k for k in range(len(index)) if k not in axes]
    coordinates, spots = _joined(w, places)
    name = w.op("GatherND", _transposed(w, name, [*axes, *rest]), coordinates)
    return _transposed(w, name, _inverse(_spots_first(axes, len(index), len(spots))))


REDUCTIONS = {"at_set": "none", "at_add": "add", "at_multiply": "mul", "at_min": "min", "at_max": "max"}


def _at(w: Writer, ops: Ops) -> str:
    """Write ``x.at[index].set(y)`` and similar for an index of numbers and slices, or of numbers and arrays."""
    (x, y), meta = call_arguments(ops)
    shape, dtype = shape_of(x), ops[0].out.dtype
    index = _parts(w, meta["index"], len(shape))
    if None in index:
        raise Depends("its index contains None")
    axes = [k for k, part in enumerate(index) if part != slice(None)]
    cut = [k for k in axes if isinstance(index[k], slice)]
    arrays = any(isinstance(part, _Places) for part in index)
    if not axes or (arrays and cut):
        raise Depends("its index is one of whole axes, or mixes arrays with slices")
    if ops[0].name == "at_set" and arrays and not _distinct(meta["index"][0], ops[0].out.shape):
        raise Depends("it may set an entry twice; ONNX does not say which value it then has")
    places = []
    for k in axes:
        if k in cut:
            if any(isinstance(n, Free) for n in (shape[k], index[k].start, index[k].stop)):
                raise Depends("it changes a part of the rows")
            spread = np.arange(shape[k])[index[k]].reshape(-1, *[1] * (len(cut) - 1 - cut.index(k)))
            places.append(_Places(w.constant(spread), spread.shape))
        else:
            part = index[k]
            places.append(part if isinstance(part, _Places) else _Places(w.integer(part), ()))
    coordinates, spots = _joined(w, places)
    rest = [k for k in range(len(shape)) if k not in axes]
    if arrays:
        order = _spots_first(axes, len(shape), len(spots))
    else:  # the slices stay where they are, and numbers have no axis
        left = sorted([*cut, *rest])
        order = [left.index(k) for k in [*cut, *rest]]
    lengths = [*spots, *(shape[k] for k in rest)]
    if len(shape_of(y)) > len(lengths):
        raise Depends("the value has more axes than the entries it is for; reshape it")
    value = w.op("Expand", w.arg(y, dtype), w.ints([lengths[k] for k in _inverse(order)]))
    name = w.op("ScatterND", _transposed(w, w.arg(x, dtype), [*axes, *rest]), coordinates,
                _transposed(w, value, order), reduction=REDUCTIONS[ops[0].name])  # fmt: skip
    return _transposed(w, name, _inverse([*axes, *rest]))


def _distinct(index: Any, shape: tuple[int, ...]) -> bool:
    """Tell whether an index of constants names each entry at most once."""
    if any(isinstance(part, Value) and part.kind != "constant" for part in flatten(index)[0]):
        return False
    parts = index if isinstance(index, tuple) else (index,)
    fixed = tuple(part.data if isinstance(part, Value) else part for part in parts)
    found = np.arange(prod(shape)).reshape(shape)[fixed]
    return bool(np.unique(found).size == found.size)


def _put(w: Writer, ops: Ops) -> str:
    """Write zero padding: an array that is put into a block (slices with step 1) of an array of zeros."""
    (x, *_), meta = call_arguments(ops)
    before, after = [], []
    for axis in zip(*meta["index"], *meta["shape"], strict=True):
        slices, lengths = axis[: len(ops)], axis[len(ops) :]
        if not all(isinstance(part, slice) and part.step in (None, 1) for part in slices):
            raise Depends("it puts values into zeros at an index that is not a block")
        ends = [(s.indices(n)[0], n - s.indices(n)[1]) for s, n in zip(slices, lengths, strict=True)]
        low, high = merged(*ends)
        before.append(low)
        after.append(high)
    return str(w.op("Pad", w.arg(x), w.ints([*before, *after])))


CALLS = {"getitem": _getitem, "embedding": _getitem, "put": _put, **dict.fromkeys(REDUCTIONS, _at)}
