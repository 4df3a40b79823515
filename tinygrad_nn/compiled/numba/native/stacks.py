"""Products of stacks of matrices: threads share the stack, or the rows of its matrices if these are few."""

from __future__ import annotations

from typing import Any

from .blocked import suits
from .build import Parted
from .products import gemm_in


@Parted
def stack(a: Any, b: Any, c: Any, axes: Any, how: Any, p: Any, parts: Any) -> None:
    """Write c = a b, matrix by matrix.

    In `axes` are the lengths of the axes of the stack, and the entries from one matrix to the next of a, and of b; in
    `how` the rows of c, its columns, and the entries of a sum; of a and of b where the first matrix starts, the entries
    from row to row, and whether it lies there transposed; and into how many runs of rows a matrix is parted.
    """
    a, b, c = a.reshape(-1), b.reshape(-1), c.reshape(-1)
    n, m, k, lda, ldb, runs = how[0], how[1], how[2], how[4], how[7], how[9]
    a_flipped, b_flipped = how[5] != 0, how[8] != 0
    blocks = suits(n, m, k, c.itemsize)
    units = len(c) // (n * m) * runs
    for unit in range(p * units // parts, (p + 1) * units // parts):
        matrix, run = unit // runs, unit % runs
        lo, hi = run * n // runs, (run + 1) * n // runs
        a_at, b_at, rest = how[3], how[6], matrix
        for axis in range(len(axes) - 1, -1, -1):
            i = rest % axes[axis, 0]
            rest //= axes[axis, 0]
            a_at += i * axes[axis, 1]
            b_at += i * axes[axis, 2]
        a_at += lo if a_flipped else lo * lda
        if hi > lo:
            out = c[(matrix * n + lo) * m :]
            gemm_in(blocks, a_flipped, b_flipped, hi - lo, m, k, 1.0, a[a_at:], lda, b[b_at:], ldb, False, out, m)
