"""The number of entries of a Tensor, which can also be called, since scripts for PyTorch call it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


class EntryCount(int):
    """The number of entries, ``t.size``; called as in PyTorch, the shape, ``t.size()``, or a length, ``t.size(0)``.

    In calculations it is a Python number: float32 times it is float32.

    Args:
        shape: the lengths of the axes.

    Raises:
        IndexError: it is called with an axis that is not there.

    Example:
        >>> count = EntryCount((2, 3))
        >>> count, count(), count(0), count(-1), (np.ones(1, np.float32) / count).dtype
        (6, (2, 3), 2, 3, dtype('float32'))
    """

    shape: tuple[int, ...]

    def __new__(cls, shape: tuple[int, ...]) -> EntryCount:
        """Return the number of entries of an array with this shape."""
        self = super().__new__(cls, math.prod(shape))
        self.shape = shape
        return self

    def __call__(self, dim: int | None = None) -> Any:
        """Return the shape, or the length of one axis."""
        if dim is None:
            return self.shape
        if not -len(self.shape) <= dim < len(self.shape):
            raise IndexError(f"size({dim}): a Tensor of shape {self.shape} has no axis {dim}.")
        return self.shape[dim]

    def __reduce__(self) -> Any:
        """Copy and pickle as a Python number."""
        return int, (int(self),)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """Calculate with the Python number, whose type does not change that of an array."""
        return getattr(ufunc, method)(*_as_numbers(inputs), **options)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        """Call NumPy's function with the Python number."""
        return function(*_as_numbers(args), **{key: _as_numbers(x) for key, x in options.items()})


def _as_numbers(x: Any) -> Any:
    if type(x) in (list, tuple):
        return type(x)(map(_as_numbers, x))
    return int(x) if isinstance(x, EntryCount) else x
