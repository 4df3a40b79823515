"""Writes the loops of a matrix product that is too small to be worth a call of BLAS."""

from __future__ import annotations

from typing import Any

from ..program.values import Op
from .expressions import added, code_of

FEW = 8  # with at most so many columns, the sums of a row are kept in registers


def product(loops: Any, op: Op) -> None:
    """Append the loops of a product, ordered so that rows of the arguments are read along memory."""
    a, b = op.args
    (n, k), m, kind = a.shape, b.shape[1], code_of(op.out.dtype)
    if k > 1 and loops.index(a, ["i", "i0"])[1][0] == loops.index(b, ["i0", "j"])[1][0] == "i0":
        return _outer(loops, op, n, k, m, kind)
    i, p, j = ("0" if size == 1 else name for size, name in ((n, "i0"), (k, "p"), (m, "j")))
    left, right = loops.read(a, [i, p], 0, {}, kind), loops.read(b, [p, j], 0, {}, kind)
    d = int(n > 1)
    if n > 1:
        loops.line(0, f"for i0 in range({n}):")
    if m <= FEW:
        columns = [loops.read(b, [p, str(c)], 0, {}, kind) for c in range(m)]
        loops.line(d, "; ".join(f"s{c} = {kind}(0)" for c in range(m)))
        loops.line(d, f"for p in range({k}):" if k > 1 else "if True:")
        loops.line(d + 1, f"l = {left}")
        for c, column in enumerate(columns):
            loops.line(d + 1, added(f"s{c}", f"l * {column}", kind))
        for c in range(m):
            loops.line(d, f"{loops.place(op.out, [i, str(c)])} = s{c}")
        return None
    out = loops.place(op.out, [i, j])
    if k <= FEW:
        parts = [(loops.read(a, [i, str(c)], 0, {}, kind), loops.read(b, [str(c), j], 0, {}, kind)) for c in range(k)]
        for c, (factor, _) in enumerate(parts):
            loops.line(d, f"l{c} = {factor}")
        total = " + ".join(f"l{c} * {x}" for c, (_, x) in enumerate(parts))
        loops.line(d, f"for j in range({m}): {out} = {total}")
        return None
    if loops.index(b, ["p", "j"])[1][-1] == "j":  # rows of b lie along memory
        loops.line(d, f"for j in range({m}): {out} = {kind}(0)")
        loops.line(d, f"for p in range({k}):")
        loops.line(d + 1, f"l = {left}")
        loops.line(d + 1, f"for j in range({m}): {out} += l * {right}")
        return None
    loops.line(d, f"for j in range({m}):")
    loops.line(d + 1, f"s = {kind}(0)")
    loops.line(d + 1, f"for p in range({k}): {added('s', f'{left} * {right}', kind)}")
    loops.line(d + 1, f"{out} = s")
    return None


def _outer(loops: Any, op: Op, n: int, k: int, m: int, kind: str) -> None:
    """Append the loops of a.T @ b as a sum of outer products of rows, which the same loop may just have made."""
    a, b = op.args
    i, j = "0" if n == 1 else "i", "0" if m == 1 else "j"
    out = loops.place(op.out, [i, j])
    loop = [f"for i in range({n}):" if n > 1 else "if True:", f"for j in range({m}):" if m > 1 else "if True:"]
    loops.before += [loop[0], f"    {loop[1]}", f"        {out} = {kind}(0)"]
    loops.line(0, f"for i0 in range({k}):")
    left, right = loops.read(a, [i, "i0"], 0, {}, kind), loops.read(b, ["i0", j], 0, {}, kind)
    if m <= FEW or n <= FEW:  # the short row is kept in registers, the loop runs over the long one
        short = m if m <= FEW else n
        for c in range(short):
            place = ["i0", str(c)] if m <= FEW else [str(c), "i0"]
            loops.line(1, f"l{c} = {loops.read(b if m <= FEW else a, place, 0, {}, kind)}")
        loops.line(1, loop[0] if m <= FEW else loop[1])
        loops.line(2, f"l = {left if m <= FEW else right}")
        for c in range(short):
            out = loops.place(op.out, [i, str(c)] if m <= FEW else [str(c), j])
            loops.line(2, f"{out} += l * l{c}")
        return
    loops.line(1, loop[0])
    loops.line(2, f"l = {left}")
    loops.line(2, loop[1])
    loops.line(3, f"{out} += l * {right}")
