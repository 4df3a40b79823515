"""NumPy's set functions (unique, union1d, ...) of Tensors: gradients flow to the entries that are kept.

Of several equal entries the first one is kept, as after a stable sort, and gets the gradient. The gradient holds for
changes that keep distinct values distinct, since other changes would alter which entries are kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitive import Array
from .indexing import part_along
from .plain import as_arrays, as_operand, override


@override("unique")
def _unique(
    ar: Array, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False, axis: Any = None,
    **options: Any,
) -> Any:  # fmt: skip
    """Return np.unique of a Tensor: the values as a Tensor, indices and counts as arrays."""
    wanted = {"return_inverse": return_inverse, "return_counts": return_counts, "axis": axis, **options}
    _, first, *rest = np.unique(as_arrays(ar), return_index=True, **wanted)
    values = part_along(ar, axis, first)
    if not (return_index or return_inverse or return_counts):
        return values
    return (values, *([first] if return_index else []), *rest)


@override("unique_values")
def _unique_values(x: Array) -> Array:
    return _unique(x, equal_nan=False)


@override("unique_counts")
def _unique_counts(x: Array) -> Any:
    plain = np.unique_counts(as_arrays(x))
    return type(plain)(_unique(x, equal_nan=False), plain.counts)


@override("unique_inverse")
def _unique_inverse(x: Array) -> Any:
    plain = np.unique_inverse(as_arrays(x))
    return type(plain)(_unique(x, equal_nan=False), plain.inverse_indices)


@override("unique_all")
def _unique_all(x: Array) -> Any:
    plain = np.unique_all(as_arrays(x))
    return type(plain)(np.ravel(x)[plain.indices], *plain[1:])


def _distinct_values(x: Array, assume_unique: bool) -> Array:
    """Return each value once, in increasing order, or just flatten x if its entries are known to differ."""
    return np.ravel(x) if assume_unique else _unique(x)


@override("union1d")
def _union1d(ar1: Any, ar2: Any) -> Array:
    """Return np.union1d of Tensors: the values that are in either array."""
    return _unique(np.concatenate([np.ravel(as_operand(ar1)), np.ravel(as_operand(ar2))]))


@override("intersect1d")
def _intersect1d(ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False) -> Any:
    """Return np.intersect1d of Tensors: the values that are in both; gradients flow to the first array only."""
    _, i, j = np.intersect1d(as_arrays(ar1), as_arrays(ar2), assume_unique, True)
    values = np.ravel(as_operand(ar1))[i]
    return (values, i, j) if return_indices else values


@override("setdiff1d")
def _setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Array:
    """Return np.setdiff1d of Tensors: the values of the first array that are not in the second."""
    values = _distinct_values(as_operand(ar1), assume_unique)
    return values[np.isin(as_arrays(values), as_arrays(ar2), assume_unique=True, invert=True)]


@override("setxor1d")
def _setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Array:
    """Return np.setxor1d of Tensors: the values that are in exactly one of the arrays, in increasing order."""
    a, b = (_distinct_values(as_operand(x), assume_unique) for x in (ar1, ar2))
    alone = [x[np.isin(as_arrays(x), as_arrays(y), invert=True)] for x, y in ((a, b), (b, a))]
    return np.sort(np.concatenate(alone))


@override("trim_zeros")
def _trim_zeros(filt: Array, trim: str = "fb", axis: Any = None) -> Array:
    """Return a Tensor without the zeros at its ends."""
    if not set(trim.lower()) <= {"f", "b"} or not trim:
        raise ValueError(f"np.trim_zeros takes trim='f', 'b' or 'fb'; it got {trim!r}.")
    axes = range(filt.ndim) if axis is None else np.lib.array_utils.normalize_axis_tuple(axis, filt.ndim)
    where = np.nonzero(as_arrays(filt)) if filt.ndim else ()
    index: list[Any] = [slice(None)] * filt.ndim
    for a in axes:
        if where[a].size == 0:
            index[a] = slice(0, 0)
        else:
            index[a] = slice(
                int(where[a].min()) if "f" in trim.lower() else None,
                int(where[a].max()) + 1 if "b" in trim.lower() else None,
            )
    return filt[tuple(index)]
