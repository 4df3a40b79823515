"""Masked arrays of NumPy: refused where the numbers behind the mask would be used."""

from __future__ import annotations

from typing import Any

import numpy as np


def unmasked(x: Any) -> Any:
    """Return x unchanged; raise a TypeError if it is a masked array with masked entries.

    Example:
        >>> unmasked(np.ma.masked_array([1.0, 2.0], [True, False]))
        Traceback (most recent call last):
            ...
        TypeError: 1 of the 2 entries of this masked array are masked; ...
    """
    if type(x) is not np.ndarray and isinstance(x, np.ma.MaskedArray) and np.any(mask := np.ma.getmaskarray(x)):
        raise TypeError(
            f"{int(np.sum(mask))} of the {x.size} entries of this masked array are masked; a Tensor has no mask, so "
            "the hidden numbers would be used. Give the numbers to use in their place, x.filled(0.0), and leave these "
            "entries out of the result: np.where(keep, t, 0.0) or t.sum(where=keep), with keep = "
            "~np.ma.getmaskarray(x)."
        )
    return x


def check_unmasked(call: str, values: Any, name: str, user: str = "a network") -> None:
    """Raise a ValueError for a masked array with masked entries, whose hidden numbers the user of them would take.

    Args:
        call, name: the names of the calling function and of its argument, for the message.
        values: anything; user: what needs all numbers.
    """
    if isinstance(values, np.ma.MaskedArray) and (count := int(np.sum(np.ma.getmaskarray(values)))):
        array = name if name.isidentifier() else "array"
        raise ValueError(
            f"{call}: {name} is a masked array, and {count} of its entries are masked; {user} needs all numbers. "
            f"Fill them in, {array}.filled(0.0), or drop the rows from inputs and targets, array[keep] with keep = "
            f"~np.ma.getmaskarray({array}).reshape(len({array}), -1).any(axis=1)."
        )
