"""Choose what numba really compiles in the tests: all rows run as plain Python in every dtype, some as machine code."""

import os
import zlib

EVERY = int(os.environ.get("NUMBA_EVERY", "120"))  # every so many-th row is really compiled; 1 takes an hour
KINDS = ("float32, several parts", "float64, one part")


def kinds(name: str) -> tuple[str, ...]:
    """Return in which dtype and parts rows of a function are compiled: one of two variants, or both if EVERY is 1."""
    return KINDS if EVERY == 1 else (KINDS[zlib.crc32(name.encode()) % 2],)
