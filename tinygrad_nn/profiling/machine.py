"""Measure once how fast this machine is (memory bandwidth, peak arithmetic), for the least time of an operation."""

from __future__ import annotations

from functools import cache
from threading import Lock
from time import perf_counter
from typing import Any

import numpy as np

from ..common.forks import renewed_after_fork

SIZES = (2**15, 2**18, 2**21, 2**24)  # bytes of an array: arrays that fit into a cache are faster
SECONDS, FEWEST = 0.02, 10  # least duration and number of calls of one measurement
ROWS = {"f": 320, "d": 256, "F": 192, "D": 160}  # rows of the matrices of a measured product, by dtype
FEW = 48  # rows for other dtypes, which are slow without BLAS

_one_at_a_time = renewed_after_fork(Lock())


def least_seconds(moved: int, flops: int, dtype: Any) -> float:
    """Return the least seconds for an operation: bytes / bandwidth or arithmetic / peak, whichever is larger.

    Args:
        moved: bytes that are read and written.
        flops: additions and multiplications.
        dtype: the dtype of the arithmetic.
    """
    if not moved and not flops:
        return 0.0
    return max(moved / bandwidth(moved), flops / peak(np.dtype(dtype).char) if flops else 0.0)


def bandwidth(moved: int) -> float:
    """Return the bandwidth, in bytes per second, measured with arrays of about `moved` bytes (so in the same cache)."""
    return _copy_speed(next((size for size in SIZES if 2 * size >= moved), SIZES[-1]))


@cache
def _copy_speed(size: int) -> float:
    """Return the bytes per second of copying an array of `size` bytes, or of a dot product if that is faster."""
    with _one_at_a_time:
        here, there = np.ones(size // 8), np.ones(size // 8)
        copying = fastest(lambda: np.copyto(there, here))
        reading = fastest(lambda: np.dot(here, there))
    return 2 * size / min(copying, reading)


@cache
def peak(char: str) -> float:
    """Return the additions and multiplications per second of a matrix product, by the character of a dtype."""
    kind = np.dtype(char)
    if kind.kind not in "fc":
        return peak("d")
    n = ROWS.get(char, FEW)
    with _one_at_a_time:
        a, b, out = (np.ones((n, n), kind) for _ in range(3))
        return 2 * n**3 / fastest(lambda: np.matmul(a, b, out=out))


def fastest(call: Any) -> float:
    """Return the seconds that the fastest of several calls takes."""
    call()
    took: list[float] = []
    end = perf_counter() + SECONDS
    while len(took) < FEWEST or perf_counter() < end:
        start = perf_counter()
        call()
        took.append(perf_counter() - start)
    return min(took)
