"""`Sum`: adds up the gradients of all ranks in one flat buffer per dtype, once in each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .communicator import Ranks

Array = Any
BITS = 2**20  # checksums are below this, so that float64 adds up the squares of thousands of them exactly


class Sum:
    """Adds up the gradients of all ranks, each weighted by its share of the rows, in one buffer for each dtype.

    The same buffer carries further numbers to add up, and a checksum of what must be equal on all ranks.
    """

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self._layout: Any = None
        self._buffers: dict[Any, Array] = {}

    def __call__(
        self, gradients: Sequence[Array | None], like: Sequence[Array], weight: float, numbers: Sequence[float],
        check: int,
    ) -> tuple[list[Array | None], list[float], bool]:
        """Return the sums of gradients and of numbers, and whether the checksums of all ranks are equal.

        Args:
            gradients: those of this rank, ``None`` if the loss does not depend on a parameter; like: the parameters.
            weight: the weight of this rank; numbers: the numbers to add up; check: the checksum, any integer.
        """
        check %= BITS
        tail = [check, check * check, *numbers, *(0.0 if g is None else 1.0 for g in gradients)]
        self._lay_out(like, len(tail))
        for g, (dtype, place) in zip(gradients, self._layout, strict=True):
            part = self._buffers[dtype][place]
            if g is None or not weight:
                part[...] = 0
            else:
                np.multiply(g, dtype.type(weight), out=part.reshape(np.shape(g)))
        self._buffers[np.dtype(float)][-len(tail) :] = tail
        for buffer in self._buffers.values():
            self.ranks.add_up(buffer)
        tail = self._buffers[np.dtype(float)][-len(tail) :].tolist()
        size, here = self.ranks.size, len(numbers)
        alike = int(tail[0]) ** 2 == size * int(tail[1])
        found = [
            self._buffers[dtype][place].reshape(np.shape(w)) if n else None
            for w, (dtype, place), n in zip(like, self._layout, tail[2 + here :], strict=True)
        ]
        return found, tail[2 : 2 + here], alike

    def _lay_out(self, like: Sequence[Array], numbers: int) -> None:
        """Assign parameters and numbers to slices of new buffers; new in each step, as users may keep gradients."""
        ends: dict[Any, int] = {np.dtype(float): 0}
        self._layout = []
        for w in like:
            start = ends.setdefault(w.dtype, 0)
            ends[w.dtype] = start + w.size
            self._layout.append((w.dtype, slice(start, start + w.size)))
        ends[np.dtype(float)] += numbers
        self._buffers = {dtype: np.empty(size, dtype) for dtype, size in ends.items()}
