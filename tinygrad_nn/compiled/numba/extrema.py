"""Writes the lines that find the maximum or minimum of many numbers, NaN if one is NaN.

Compilers do not vectorize such a loop by themselves, because of NaN. So many extrema are kept side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .lengths import Length

LANES = 64  # the number of extrema that are kept side by side
LONG = 1024  # the number of entries from which on that is faster


def extremum_with(function: Any, s: str) -> str:
    """Return the expression of the extremum of `s`, the extremum so far, and of one more number, `v`."""
    return f"v if v {'>' if function is np.maximum else '<'} {s} or v != v else {s}"


def side_by_side(
    function: Any, kind: str, start: str, n: int, depth: int, line: Callable[[int, str], None],
    read: Callable[[str, int], str],
) -> None:  # fmt: skip
    """Append the lines that set `s` to the extremum of n numbers.

    Args:
        function: np.maximum or np.minimum.
        kind: the code of the dtype.
        start: the expression to start from, -inf or inf.
        n: how many numbers there are.
        depth: the depth of the first line.
        line: appends a line at a depth.
        read: takes a place and a depth, and returns the expression of the number there, after appending its lines.
    """
    lanes, each = f"lanes_{kind}", f"for lane in range({LANES}):"
    line(depth, f"{lanes} = np.empty({LANES}, {kind})")
    line(depth, f"{each} {lanes}[lane] = {start}")
    line(depth, f"for row in range({n} // {LANES}):")
    line(depth + 1, each)
    line(depth + 2, f"v = {read(f'({LANES} * row + lane)', depth + 2)}")
    line(depth + 2, f"{lanes}[lane] = {extremum_with(function, f'{lanes}[lane]')}")
    line(depth, f"s = {start}")
    line(depth, each)
    line(depth + 1, f"v = {lanes}[lane]")
    line(depth + 1, f"s = {extremum_with(function, 's')}")
    if n % LANES or isinstance(n, Length):
        line(depth, f"for lane in range({n} % {LANES}):")
        line(depth + 1, f"v = {read(f'({n} // {LANES} * {LANES} + lane)', depth + 1)}")
        line(depth + 1, f"s = {extremum_with(function, 's')}")
