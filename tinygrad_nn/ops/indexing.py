"""Gathering and scattering: indexing of every kind, its transpose `put`, and updates such as ``t.at[index].set(v)``."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitive import METHODS, Array, Primitive, declare
from .plain import as_arrays, is_tensor, override, refuse_out

MANY, SHARE = 64, 4  # more than 64 entries that make up over a quarter of the array are added faster one by one


# fmt: off
def _getitem(x: Array, index: Any) -> Array:
    return x[index]

getitem = declare(_getitem, r"x_{[i]}",
    (lambda g, out, x, index: put(g, index=index, shape=x.shape),         r"\sum_{[i]} g"), linear=(0,))


def _selects_distinct(index: Any) -> bool:
    """Tell whether an index consists of integers, slices and boolean masks only, which select no entry twice."""
    return all(
        part is None or part is Ellipsis or isinstance(part, slice) or np.ndim(part) == 0
        or (isinstance(part, np.ndarray) and part.dtype == np.bool_)
        for part in (index if isinstance(index, tuple) else (index,))
    )  # fmt: skip


def _add_selected(g: Array, out: Array, total: Array, index: Any) -> Array | None:
    if is_tensor(g):
        return None
    if _selects_distinct(index):
        total[index] += g
        return total
    return None if isinstance(index, tuple) or np.asarray(index).dtype.kind not in "iu" else add_rows(g, total, index)


def add_rows(g: Array, total: Array, ids: Any) -> Array | None:
    """Add g to few of the rows of an array, in place, and return that, or ``None`` if there are many.

    Gradients of equal rows are added up first, in their order, as `put` does, so that the last bits are the same.
    """
    ids = np.asarray(ids)
    if SHARE * ids.size > len(total):
        return None
    rows, where = np.unique(ids % len(total), return_inverse=True)
    total[rows] += _put(g, where.reshape(ids.shape), (len(rows), *total.shape[1:]))
    return total

getitem.adds, getitem.special = _add_selected, True  # fmt: skip


def _accumulate(out: Array, index: Any, x: Array) -> None:
    """Add x to the entries at an index of the C-contiguous array `out`, in place; equal indices add up.

    np.add.at is fast for single entries and slow for whole rows, so rows are passed as indices of their entries.
    """
    if _selects_distinct(index):
        out[index] += x
    elif out.ndim > 1 and isinstance(index, np.ndarray) and index.dtype.kind == "i":
        width = out.size // max(len(out), 1)
        flat = index.astype(np.intp)[..., None] * width + np.arange(width)
        np.add.at(out.reshape(-1), flat.reshape(-1), np.broadcast_to(x, index.shape + out.shape[1:]).reshape(-1))
    elif out.ndim > 1 and np.size(x) > MANY and SHARE * np.size(x) > out.size:
        flat = np.arange(out.size).reshape(out.shape)[index]
        np.add.at(out.reshape(-1), flat.reshape(-1), np.broadcast_to(x, flat.shape).reshape(-1))
    else:
        np.add.at(out, index, x)


def _put(x: Array, index: Any, shape: tuple[int, ...]) -> Array:
    out = np.zeros(shape, dtype=x.dtype)
    if _selects_distinct(index):
        out[index] = x
    else:
        _accumulate(out, index, x)
    return out

put: Primitive = declare(_put, r"\sum_{[i]} x",
    (lambda g, out, x, index, shape: g[index],                            r"g_{[i]}"), linear=(0,))


def _check_numbers(y: Array) -> None:
    """Raise a TypeError for an array of texts or objects."""
    if y.dtype.kind not in "biufc":
        raise TypeError(
            f"t.at[...] got {y!r:.60}, of dtype {y.dtype}. A Tensor holds numbers: give a number or an array of "
            "numbers."
        )


def _copy_for(x: Array, y: Array) -> Array:
    """Return a copy of x to write y into; raise TypeError if its dtype cannot hold y."""
    _check_numbers(np.asarray(y))
    kind = np.result_type(y)
    if not np.can_cast(kind, x.dtype, "same_kind"):
        raise TypeError(
            f"t.at[...] cannot put a value of dtype {kind} into a Tensor of dtype {x.dtype} without changing it. "
            f"Convert the Tensor first: t.astype({np.result_type(x, y).name!r}).at[index].set(value)."
        )
    return np.array(x, order="C")  # x may be a scalar


def _slots(x: Array, index: Any) -> Any:
    """Return the flat positions of the entries that an index selects."""
    return np.arange(x.size).reshape(x.shape)[index]


def _at_set(x: Array, y: Array, index: Any) -> Array:
    out = _copy_for(x, y)
    out[index] = y
    return out


def _surviving(g: Array, index: Any) -> Array:
    """Return g at the index, with 0 for values that a later value for the same entry overwrites."""
    picked = g[index]
    if _selects_distinct(index):
        return picked
    serial = np.arange(picked.size).reshape(picked.shape)
    last = at_set(np.zeros(g.shape, dtype=int), serial, index=index)
    return np.where(last[index] == serial, picked, 0)


def _match_leading_axes(y: Array, g: Array) -> Array:
    """Return g with leading axes of length 1 added to match y, since an assignment ignores such axes of y."""
    return g.reshape((1,) * (np.ndim(y) - g.ndim) + g.shape) if np.ndim(y) > g.ndim else g

at_set: Primitive = declare(_at_set, r"x_{[i]} := y",
    (lambda g, out, x, y, index: at_set(g, 0, index=index),               r"g,\ g_{[i]} := 0"),
    (lambda g, out, x, y, index: _match_leading_axes(y, _surviving(g, index)),          r"g_{[i]}"),
    kinks="for equal indices the last value wins, and only it has a gradient")


def _at_add(x: Array, y: Array, index: Any) -> Array:
    out = _copy_for(x, y)
    _accumulate(out, index, y)
    return out

at_add = declare(_at_add, r"x_{[i]} \mathrel{+}= y",
    (lambda g, out, x, y, index: g,                                       r"g"),
    (lambda g, out, x, y, index: g[index],                                r"g_{[i]}"))


def _at_multiply(x: Array, y: Array, index: Any) -> Array:
    out = _copy_for(x, y)
    np.multiply.at(out, index, y)
    return out


def _other_factors(x: Array, y: Array, index: Any) -> Array:
    """Return for each factor the product of the other factors that the update multiplies the same entry by."""
    if _selects_distinct(index):
        return 1
    slots = _slots(x, index)
    flat = slots.reshape(-1)
    order = np.argsort(flat, kind="stable")
    first = np.searchsorted(flat[order], flat[order])
    rank = (np.arange(flat.size) - first)[np.argsort(order)]  # the number of earlier factors of the same entry
    most = int(rank.max(initial=0)) + 1
    if most == 1:
        return 1
    group = np.searchsorted(np.sort(flat), flat)  # each entry's row in the table below; some rows stay unused
    factors = np.broadcast_to(y, slots.shape).reshape(-1)
    table = at_set(np.ones((flat.size, most), dtype=y.dtype), factors, index=(group, rank))  # (factors, most)
    columns = [table[:, i] for i in range(most)]
    before, after = [1], [1]
    for i in range(most - 1):
        before.append(before[-1] * columns[i])
        after.append(after[-1] * columns[-1 - i])
    others = np.stack([b * a for b, a in zip(before, reversed(after), strict=True)], axis=1)  # (factors, most)
    return others[group, rank].reshape(slots.shape)

at_multiply: Primitive = declare(_at_multiply, r"x_{[i]} \mathrel{\times}= y",
    (lambda g, out, x, y, index: at_multiply(g, y, index=index),          r"g,\ g_{[i]} \mathrel{\times}= y"),
    (lambda g, out, x, y, index: g[index] * x[index] * _other_factors(x, y, index),
                                                                          r"(g \, x)_{[i]} \, y_{\text{others}}"))


def _split_ties(g: Array, out: Array, x: Array, y: Array, index: Any) -> Array:
    """Return g divided by the number of candidates that tie for each entry."""
    ties = at_add(np.where(x == out, np.ones_like(out), 0), np.where(y == out[index], 1, 0), index=index)
    return g / np.maximum(ties, 1)


def _won_x(g: Array, out: Array, x: Array, y: Array, index: Any) -> Array:
    return np.where(x == out, _split_ties(g, out, x, y, index), 0)


def _won_y(g: Array, out: Array, x: Array, y: Array, index: Any) -> Array:
    return np.where(y == out[index], _split_ties(g, out, x, y, index)[index], 0)


def _at_min(x: Array, y: Array, index: Any) -> Array:
    out = _copy_for(x, y)
    np.minimum.at(out, index, y)
    return out

at_min = declare(_at_min, r"x_{[i]} := \min(x_{[i]}, y)",
    (_won_x,                                                              r"g \, [x = out] / \text{ties}"),
    (_won_y,                                                              r"g_{[i]} \, [y = out_{[i]}] / \text{ties}"),
    kinks="ties share evenly")


def _at_max(x: Array, y: Array, index: Any) -> Array:
    out = _copy_for(x, y)
    np.maximum.at(out, index, y)
    return out

at_max = declare(_at_max, r"x_{[i]} := \max(x_{[i]}, y)",
    (_won_x,                                                              r"g \, [x = out] / \text{ties}"),
    (_won_y,                                                              r"g_{[i]} \, [y = out_{[i]}] / \text{ties}"),
    kinks="ties share evenly")


# fmt: on


_INSTEAD = {
    "subtract": "t.at[index].add(-value)", "sub": "t.at[index].add(-value)", "mul": "t.at[index].multiply(value)",
    "divide": "t.at[index].multiply(1 / value)", "div": "t.at[index].multiply(1 / value)",
    "power": "t.at[index].set(t[index] ** value)", "pow": "t.at[index].set(t[index] ** value)",
    "maximum": "t.at[index].max(value)", "minimum": "t.at[index].min(value)",
    "apply": "t.at[index].set(f(t[index]))", "get": "t[index]",
}  # fmt: skip


class At:
    """The pending update ``t.at[index]``: each method returns a new Tensor and leaves the old one unchanged.

    Every kind of NumPy index works. If it names an entry several times, `set` keeps the last value, and the other
    methods use every value.
    """

    __slots__ = ("index", "tensor")

    def __init__(self, tensor: Array, index: Any = ...) -> None:
        self.tensor = tensor
        self.index = as_arrays(index)

    def _fitting(self, value: Any) -> Any:
        """Return a value without leading axes of length 1 beyond those of its place, as an assignment ignores them."""
        shape = np.shape(value)
        if len(shape) == 0 or shape[0] != 1:
            return value
        ones = next((i for i, n in enumerate(shape) if n != 1), len(shape))
        extra = max(0, min(len(shape) - len(self._place()), ones))
        return np.reshape(value, shape[extra:]) if extra else value

    def _place(self) -> tuple[int, ...]:
        """Return the shape of the entries that the index names, inside vmap for one sample."""
        parts = self.index if isinstance(self.index, tuple) else (self.index,)
        whole = [isinstance(p, np.ndarray) and p.dtype.kind in "iu" for p in parts]
        known = tuple(np.zeros(np.shape(p), int) if w else p for p, w in zip(parts, whole, strict=True))
        return np.shape(np.broadcast_to(np.False_, self.tensor.shape)[known])

    def _updated(self, update: Primitive, value: Any) -> Array:
        if isinstance(value, (str, bytes, np.ndarray)):
            _check_numbers(np.asarray(value))
        try:
            return update(self.tensor, self._fitting(value), index=self.index)
        except ValueError as error:
            place = self._place()
            pairs = zip(np.shape(value)[::-1], place[::-1], strict=False)
            if np.ndim(value) > len(place) or any(n not in (1, m) for n, m in pairs):
                raise ValueError(
                    f"t.at[...] of a Tensor of shape {self.tensor.shape} names entries of shape {place}, and the value "
                    f"has shape {np.shape(value)}. Give one number, or an array that broadcasts to {place}."
                ) from error
            raise

    def __getitem__(self, index: Any) -> At:
        return At(self.tensor, index)

    def __getattr__(self, name: str) -> Any:
        hint = f" Write {_INSTEAD[name]}." if name in _INSTEAD else ""
        raise AttributeError(f"t.at[index] has set, add, multiply, min and max, but no {name!r}.{hint}")

    def set(self, value: Array) -> Array:
        """Return the Tensor with the entries at the index replaced by the value."""
        return self._updated(at_set, value)

    def add(self, value: Array) -> Array:
        """Return the Tensor with the value added to the entries at the index; equal indices add up."""
        return self._updated(at_add, value)

    def multiply(self, value: Array) -> Array:
        """Return the Tensor with the entries at the index multiplied by the value; equal indices multiply each time."""
        return self._updated(at_multiply, value)

    def min(self, value: Array) -> Array:
        """Return the Tensor with the smaller of entry and value at the index; ties share the gradient evenly."""
        return self._updated(at_min, value)

    def max(self, value: Array) -> Array:
        """Return the Tensor with the larger of entry and value at the index; ties share the gradient evenly."""
        return self._updated(at_max, value)


METHODS["at"] = At


# -- NumPy's functions that gather

def part_along(x: Array, axis: Any, part: Any) -> Array:
    """Return x indexed by `part` along one axis, or x flattened and indexed if axis is None."""
    if axis is None:
        return x.reshape(-1)[part]
    return x[(slice(None),) * np.lib.array_utils.normalize_axis_index(axis, x.ndim) + (part,)]


def _at_least_vector(x: Array) -> Array:
    """Return a 0-d array as an array of shape (1,), and other arrays unchanged."""
    return x if x.ndim else x.reshape(1)


def _length(x: Array, axis: Any) -> int:
    return int(x.size if axis is None else x.shape[np.lib.array_utils.normalize_axis_index(axis, x.ndim)])


@override("take")
def take(a: Array, indices: Any, axis: Any = None, out: Any = None, mode: Any = "raise") -> Array:
    """Return the entries, or slices along an axis, at the indices."""
    refuse_out("take", out)
    a = _at_least_vector(a)
    picks = as_arrays(indices) if is_tensor(indices) else np.asarray(as_arrays(indices))
    picks = picks.astype(np.intp) if isinstance(indices, (list, tuple)) and not picks.size else picks  # []
    if mode in ("clip", "wrap") and is_tensor(indices) and picks.dtype.kind in "iu":
        n = _length(a, axis)
        picks = as_arrays(np.clip(picks, 0, n - 1) if mode == "clip" else np.remainder(picks, n))
    elif mode != "raise" or picks.dtype.kind not in "iu":
        picks = np.take(np.arange(_length(a, axis)), picks, mode=mode)
    return part_along(a, axis, picks)


@override("take_along_axis")
def take_along_axis(arr: Array, indices: Any, axis: Any = -1) -> Array:
    """Return np.take_along_axis of a Tensor: entries at indices along an axis, such as argsort returns."""
    picks = as_arrays(indices)
    if axis is None:
        arr, axis = arr.reshape(-1), 0
    if picks.dtype.kind not in "iu" or picks.ndim != arr.ndim:
        np.take_along_axis(as_arrays(arr), picks, axis)  # raises
    axis = np.lib.array_utils.normalize_axis_index(axis, arr.ndim)
    grid = np.ogrid[tuple(slice(n) for n in arr.shape)] if arr.ndim > 1 else (None,)
    return arr[tuple(picks if a == axis else grid[a] for a in range(arr.ndim))]


@override("choose")
def choose(a: Any, choices: Any, out: Any = None, mode: Any = "raise") -> Array:
    """Return np.choose of Tensors: each entry comes from the array among the choices whose number `a` holds there."""
    refuse_out("choose", out)
    arrays = [np.asarray(c) if isinstance(c, (list, tuple)) else c for c in choices]
    picks = np.choose(as_arrays(a), range(len(arrays)), mode=mode)
    shape = np.broadcast_shapes(np.shape(picks), *(np.shape(c) for c in arrays))
    spread, dtype = [np.broadcast_to(c, shape) for c in arrays], np.result_type(*as_arrays(arrays))
    stacked = np.stack(spread, dtype=dtype)  # (choices, ...)
    return np.take_along_axis(stacked, np.broadcast_to(picks, shape)[None], axis=0)[0]


@override("compress")
def compress(condition: Any, a: Array, axis: Any = None, out: Any = None) -> Array:
    """Return the entries, or slices along an axis, for which the condition is true."""
    refuse_out("compress", out)
    a = _at_least_vector(a)
    return part_along(a, axis, np.compress(as_arrays(condition), np.arange(_length(a, axis))))


METHODS["compress"] = lambda self, condition, axis=None, out=None: compress(condition, self, axis, out)


@override("extract")
def extract(condition: Any, arr: Array) -> Array:
    """Return a vector of the entries at which the condition is true."""
    return np.ravel(arr)[np.nonzero(np.ravel(as_arrays(condition)))[0]]


@override("delete")
def delete(arr: Array, obj: Any, axis: Any = None) -> Array:
    """Return the array without the entries, or the slices along an axis, at the indices."""
    return part_along(arr, axis, np.delete(np.arange(_length(arr, axis)), as_arrays(obj)))


@override("resize")
def resize(a: Array, new_shape: Any) -> Array:
    """Return the entries in a new shape, repeated from the start if there are too few."""
    if a.size == 0:
        return np.resize(as_arrays(a), new_shape)
    return a.reshape(-1)[np.resize(np.arange(a.size), new_shape)]
