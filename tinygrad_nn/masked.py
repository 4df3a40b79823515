"""Masked arrays of NumPy: refused where a Tensor would use the numbers behind the mask."""

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
