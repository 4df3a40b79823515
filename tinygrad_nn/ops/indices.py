"""PyTorch's functions of indices along an axis: gathering, scattering, sorting, and the largest entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..common.printable import counted
from ..primitive import REGISTRY

Function = Callable[..., Any]


class Found(NamedTuple):
    """Values, and their indices along an axis."""

    values: Any
    indices: Any


def as_constant(found: Any, like: Any) -> Any:
    """Return an array as a constant Tensor; in a trace it is a Tensor already."""
    return type(like.detach())(found) if isinstance(found, (np.ndarray, np.generic)) else found


def places(index: Any) -> Any:
    """Return an index or a mask as a plain array."""
    return index.data if hasattr(index, "node") else np.asarray(index)


def extreme(reduction: Function, find_index: Function, x: Any, dim: int, keepdim: bool = False) -> Found:
    """Return the largest (or smallest) values along an axis and their indices; of equal values the first counts."""
    at = find_index(x.data, axis=dim, keepdims=True)
    values = np.take_along_axis(x, at, dim)
    return Found(*(part if keepdim else np.squeeze(part, dim) for part in (values, as_constant(at, x))))


def gather(x: Any, dim: int, index: Any) -> Any:
    """Return the entries at the given indices along an axis, as ``np.take_along_axis`` does."""
    index = places(index)
    near = tuple(slice(None if axis == dim % index.ndim else n) for axis, n in enumerate(index.shape))
    return np.take_along_axis(x[near], index, dim)


def take_along_dim(x: Any, indices: Any, dim: int | None = None) -> Any:
    """Return the entries at the given indices along an axis; without one, of all entries in a row."""
    at = places(indices)
    return np.take_along_axis(x.reshape(-1), at.reshape(-1), 0) if dim is None else np.take_along_axis(x, at, dim)


def at_axis(x: Any, dim: int, index: Any) -> tuple[Any, ...]:
    """Return the index that applies to one axis: ``x[:, :, index]`` for dim 2."""
    return (*(slice(None),) * (dim % max(x.ndim, 1)), index)


def _entries(dim: int, index: Any) -> tuple[Any, ...]:
    """Return the index of the entries that ``scatter`` writes to: `index` along the axis, all others in order."""
    rows: Any = np.ogrid[tuple(map(slice, index.shape))]
    return tuple(index if axis == dim % index.ndim else row for axis, row in enumerate(rows))


def scatter(x: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: str | None = None) -> Any:
    """Return x with values written to the given indices along an axis; reduce="add" adds them."""
    if reduce not in (None, "add"):
        raise ValueError(f"scatter: reduce={reduce!r}; known are None and 'add'. Write t.at[index].multiply(values).")
    new, index = value if src is None else src, places(index)
    near = new if np.ndim(new) == 0 else new[tuple(map(slice, index.shape))]
    at = x.at[_entries(dim, index)]
    return at.add(near) if reduce else at.set(near)


_REDUCTIONS = {  # PyTorch's word -> the update of t.at, and the number that it does not change anything by
    "sum": ("add", 0), "mean": ("add", 0), "prod": ("multiply", 1), "amax": ("max", -np.inf), "amin": ("min", np.inf),
}  # fmt: skip


def scatter_reduce(x: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True) -> Any:
    """Return x with values combined with those at the given indices along an axis, or instead of those.

    Raises:
        ValueError: `reduce` is not sum, mean, prod, amax or amin.
    """
    if reduce not in _REDUCTIONS:
        raise ValueError(f"scatter_reduce: reduce={reduce!r}; known are {', '.join(map(repr, _REDUCTIONS))}.")
    index = places(index)
    entries, values = _entries(dim, index), src[tuple(map(slice, index.shape))]
    update, start = _REDUCTIONS[reduce]
    if not include_self:
        if x.dtype.kind in "iu" and not np.isfinite(start):
            start = getattr(np.iinfo(x.dtype), "min" if start < 0 else "max")
        x = x.at[entries].set(start)
    found = getattr(x.at[entries], update)(values)
    if reduce != "mean":
        return found
    counts = np.full(x.shape, int(include_self))
    np.add.at(counts, entries, 1)
    counts = np.maximum(counts, 1)
    return found / counts if x.dtype.kind == "f" else found // counts


def index_add(x: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1) -> Any:
    """Return x with slices added to the given indices along an axis; equal indices add up."""
    return x.at[at_axis(x, dim, places(index))].add(source if isinstance(alpha, int) and alpha == 1 else alpha * source)


def order(x: Any, dim: int = -1, descending: bool = False) -> Any:
    """Return the indices that sort an array; equal entries keep their order, and NaN counts as the largest number."""
    if not descending:
        return np.argsort(x, axis=dim, kind="stable")
    # Sorting -x is no way: unsigned integers and booleans have no sign, and the least integer has no negative.
    backwards = np.argsort(np.flip(x, dim), axis=dim, kind="stable")
    return np.flip(x.shape[dim] - 1 - backwards, dim)


def topk(x: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Found:
    """Return the k largest (or smallest) values along an axis and their indices; they are sorted in any case."""
    if not 0 <= k <= x.shape[dim]:
        raise ValueError(
            f"topk: k={k}; axis {dim} of shape {x.shape} has {counted(x.shape[dim], 'entry')}. Take a smaller k."
        )
    first = np.take(order(x.data, dim, largest), range(k), axis=dim)
    return Found(np.take_along_axis(x, first, dim), as_constant(first, x))


def running_extreme(name: str, x: Any, dim: int | None = None, **options: Any) -> Any:
    """Return the largest (or smallest) entry so far along an axis and its index; of equal entries the last counts.

    With NumPy's options, such as axis=, it returns the entries only.
    """
    if dim is None:
        return REGISTRY[name](x, **options)
    values = REGISTRY[name](x, axis=dim)
    numbers = np.expand_dims(np.arange(x.shape[dim]), [k for k in range(x.ndim) if k != dim % x.ndim])
    is_extreme = (x.data == values.data) | np.isnan(x.data)
    found = np.maximum.accumulate(np.where(is_extreme, numbers, 0), axis=dim)
    return Found(values, as_constant(found, x))
