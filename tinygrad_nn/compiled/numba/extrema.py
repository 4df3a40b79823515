"""The lines that find the largest or least of many numbers, where NaN counts, so that compilers do not part them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .lengths import Length

LANES = 64  # of a long extremum: so many are kept side by side
LONG = 1024  # entries from which on that is quicker


def further(function: Any, s: str) -> str:
    """Return the expression of the extremum of what there is so far and of one more number, `v`."""
    return f"v if v {'>' if function is np.maximum else '<'} {s} or v != v else {s}"


def side_by_side(
    function: Any, kind: str, start: str, n: int, depth: int, line: Callable[[int, str], None],
    read: Callable[[str, int], str],
) -> None:  # fmt: skip
    """Write the lines by which `s` becomes the extremum of n numbers.

    Args:
        function: np.maximum or np.minimum.
        kind: code of the dtype.
        start: what is not beyond any number.
        n: how many.
        depth: of the first line.
        line: appends a line at a depth.
        read: takes a place and a depth to the expression of a number, after the lines of what it is made of.
    """
    lanes, each = f"lanes_{kind}", f"for lane in range({LANES}):"
    line(depth, f"{lanes} = np.empty({LANES}, {kind})")
    line(depth, f"{each} {lanes}[lane] = {start}")
    line(depth, f"for row in range({n} // {LANES}):")
    line(depth + 1, each)
    line(depth + 2, f"v = {read(f'({LANES} * row + lane)', depth + 2)}")
    line(depth + 2, f"{lanes}[lane] = {further(function, f'{lanes}[lane]')}")
    line(depth, f"s = {start}")
    line(depth, each)
    line(depth + 1, f"v = {lanes}[lane]")
    line(depth + 1, f"s = {further(function, 's')}")
    if n % LANES or isinstance(n, Length):
        line(depth, f"for lane in range({n} % {LANES}):")
        line(depth + 1, f"v = {read(f'({n} // {LANES} * {LANES} + lane)', depth + 1)}")
        line(depth + 1, f"s = {further(function, 's')}")
