"""Products of stacks of matrices: the threads share the matrices, or the rows of the matrices if these are few."""

from __future__ import annotations

from typing import Any

from .blocked import suits
from .build import Parted
from .products import gemm_in


@Parted
def stack(a: Any, b: Any, c: Any, axes: Any, layout: Any, p: Any, parts: Any) -> None:
    """Write c = a b, matrix by matrix.

    `axes` has a row for each axis of the stack: its length, and the entries from one matrix to the next in a and in b.
    `layout` is (rows of c, columns of c, terms of a sum, a: first entry, entries from row to row, whether it is stored
    transposed, b: the same three, number of runs into which the rows of a matrix are divided).
    """
    a, b, c = a.reshape(-1), b.reshape(-1), c.reshape(-1)
    n, m, k, lda, ldb, runs = layout[0], layout[1], layout[2], layout[4], layout[7], layout[9]
    a_flipped, b_flipped = layout[5] != 0, layout[8] != 0
    blocks = suits(n, m, k, c.itemsize)
    units = len(c) // (n * m) * runs
    for unit in range(p * units // parts, (p + 1) * units // parts):
        matrix, run = unit // runs, unit % runs
        lo, hi = run * n // runs, (run + 1) * n // runs
        a_at, b_at, rest = layout[3], layout[6], matrix
        for axis in range(len(axes) - 1, -1, -1):
            i = rest % axes[axis, 0]
            rest //= axes[axis, 0]
            a_at += i * axes[axis, 1]
            b_at += i * axes[axis, 2]
        a_at += lo if a_flipped else lo * lda
        if hi > lo:
            out = c[(matrix * n + lo) * m :]
            gemm_in(blocks, a_flipped, b_flipped, hi - lo, m, k, 1.0, a[a_at:], lda, b[b_at:], ldb, False, out, m)
