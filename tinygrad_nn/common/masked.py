"""Masked arrays of NumPy: refused where the numbers behind the mask would be used."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

_MASKED = (list, tuple, dict, np.ndarray)  # what may be or contain a masked array


def unmasked(x: Any) -> Any:
    """Return x unchanged; raise a TypeError if it is, or is a list of, masked arrays with masked entries.

    Example:
        >>> unmasked(np.ma.masked_array([1.0, 2.0], [True, False]))
        Traceback (most recent call last):
            ...
        TypeError: 1 of the 2 entries of this masked array are masked; ...
    """
    if type(x) is not np.ndarray and isinstance(x, _MASKED) and (array := _masked_array(x)) is not None:
        raise TypeError(
            f"{_count(array)} of the {array.size} entries of this masked array are masked; a Tensor has no mask, so "
            "the hidden numbers would be used. Give the numbers to use in their place, x.filled(0.0), and leave these "
            "entries out of the result: np.where(keep, t, 0.0) or t.sum(where=keep), with keep = "
            "~np.ma.getmaskarray(x)."
        )
    return x


def check_unmasked(call: str, values: Any, name: str, user: str = "a network") -> None:
    """Raise a ValueError for masked arrays with masked entries, whose hidden numbers the user of them would take.

    Args:
        call, name: the names of the calling function and of its argument, for the message.
        values: anything; user: what needs all numbers.
    """
    if (array := _masked_array(values)) is not None:
        what = name if array is values else f"an array of {name}"
        text = name if name.isidentifier() and array is values else "array"
        raise ValueError(
            f"{call}: {what} is a masked array, and {_count(array)} of its entries are masked; {user} needs all "
            f"numbers. Fill them in, {text}.filled(0.0), or drop the rows from inputs and targets, array[keep] with "
            f"keep = ~np.ma.getmaskarray({text}).reshape(len({text}), -1).any(axis=1)."
        )


def _masked_array(x: Any) -> Any:
    """Return x, or the first part of nested lists, tuples and dicts, that is a masked array with masked entries."""
    # np.ma is a seventh of the import of this package, and whoever has a masked array has imported it
    if isinstance(x, np.ndarray) and "numpy.ma" in sys.modules and isinstance(x, np.ma.MaskedArray):
        return x if np.any(np.ma.getmaskarray(x)) else None
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, (list, tuple)) and x and isinstance(x[0], (list, tuple, dict, np.ndarray)):  # no list of numbers
        return next((found for found in map(_masked_array, x) if found is not None), None)
    return None


def _count(array: Any) -> int:
    return int(np.sum(np.ma.getmaskarray(array)))
