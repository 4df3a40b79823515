"""How fast this machine can be: bytes a second between memory and processor, and arithmetic a second, measured once."""

from __future__ import annotations

from functools import cache
from threading import Lock
from time import perf_counter
from typing import Any

import numpy as np

from ..forks import renewed

SIZES = (2**15, 2**18, 2**21, 2**24)  # bytes of an array: what fits into a cache moves faster than what does not
SECONDS = 0.02  # that one measurement goes on
ROWS = {"f": 320, "d": 256, "F": 192, "D": 160}  # of the matrices of a product; of other dtypes few, without BLAS
FEW = 48

_one_at_a_time = renewed(Lock())


def floor(moved: int, flops: int, dtype: Any) -> float:
    """Return the seconds that an operation takes at least: bytes over bandwidth, or arithmetic over its peak.

    Args:
        moved: bytes that are read and written.
        flops: additions and multiplications.
        dtype: of the numbers.
    """
    if not moved and not flops:
        return 0.0
    return max(moved / bandwidth(moved), flops / peak(np.dtype(dtype).char) if flops else 0.0)


def bandwidth(moved: int) -> float:
    """Return the bytes a second at which so many bytes are read and written, in the smallest cache that holds them."""
    return _copied(next((size for size in SIZES if 2 * size >= moved), SIZES[-1]))


@cache
def _copied(size: int) -> float:
    """Return the bytes a second of a copy of an array of so many bytes, or of its sum where that is faster."""
    with _one_at_a_time:
        here, there = np.ones(size // 8), np.ones(size // 8)
        copying = _fastest(lambda: np.copyto(there, here))
        reading = _fastest(lambda: np.dot(here, there))
    return 2 * size / min(copying, reading)


@cache
def peak(char: str) -> float:
    """Return the additions and multiplications a second of a product of matrices of a dtype, by its character."""
    kind = np.dtype(char)
    if kind.kind not in "fc":
        return peak("d")
    n = ROWS.get(char, FEW)
    with _one_at_a_time:
        a, b, out = (np.ones((n, n), kind) for _ in range(3))
        return 2 * n**3 / _fastest(lambda: np.matmul(a, b, out=out))


def _fastest(call: Any) -> float:
    """Return the seconds of the fastest of several calls."""
    call()
    best, end = float("inf"), perf_counter() + SECONDS
    while True:
        start = perf_counter()
        call()
        stop = perf_counter()
        best = min(best, stop - start)
        if stop > end:
            return best
