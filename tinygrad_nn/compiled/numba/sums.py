"""Writes the loops of reductions: along memory if possible, and long sums in parts, to keep rounding errors small."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..program.values import Op, Value
from .expressions import NARROW, added, cast, code_of
from .extrema import LONG, extremum_with, side_by_side
from .indices import unsigned

WIDE = 64  # sums of more float32 numbers than this are accumulated in float64
ROW, BLOCK = 64, 1024  # the fewest entries of a row that is summed by itself; the entries in a block of a long row


def reduction(loops: Any, op: Op) -> None:
    """Append the loops of a sum over axes, or of a maximum or minimum."""
    x, (axes, keep, _) = op.args[0], op.attrs
    kept = [a for a in range(len(x.shape)) if a not in axes]
    total = code_of(op.out.dtype)
    if kept and axes and kept[-1] > axes[-1] and op.function is np.add:
        return _add_up_rows(loops, op, axes, keep)
    order = [*kept, *axes]
    inner = sum(x.shape[a] > 1 for a in axes)
    letter = "i" if inner <= 2 or loops.first else "j"  # loops named j are never merged
    names, depth = loops.open([x.shape[a] for a in order], letter, cut=len(kept))
    inner = depth - loops.outside if loops.first else inner
    index = [names[order.index(a)] for a in range(len(x.shape))]
    # The accumulator is initialized inside the loops over the kept axes.
    many = prod(x.shape[a] for a in axes)
    wide = "f8" if total == "f4" and many > WIDE and op.function is np.add else total
    start = {np.add: f"{wide}(0)", np.maximum: f"{wide}(-np.inf)", np.minimum: f"{wide}(np.inf)"}[op.function]
    head = loops.lines[len(loops.lines) - inner :] if inner else []
    del loops.lines[len(loops.lines) - inner :]

    def entry(place: str, depth: int) -> str:
        where = [place if a in axes and n > 1 else index[a] for a, n in enumerate(x.shape)]
        return str(loops.read(x, where, depth, {}, total))

    if op.function is not np.add and inner == 1 and many >= LONG:
        side_by_side(op.function, total, start, many, depth - inner, loops.line, entry)
    else:
        loops.line(depth - inner, f"s = {start}")
        loops.lines += head
        row, inside = _by_rows(loops, depth, inner) if op.function is np.add and wide == "f8" else (None, depth)
        text = loops.read(x, index, inside, {}, total)
        if op.function is np.add:
            loops.line(inside, added("s" if row is None else "part", cast(text, total, wide), wide))
            if row is not None:
                loops.line(row, "s += part")
        else:
            loops.line(depth, f"v = {text}")
            loops.line(depth, f"s = {extremum_with(op.function, 's')}")
    out = [index[a] if a in kept else "0" for a in range(len(x.shape)) if keep or a in kept]
    loops.line(depth - inner, f"{loops.place(op.out, out)} = {cast('s', None if total in NARROW else wide, total)}")
    return None


def _by_rows(loops: Any, depth: int, nest: int, unsplit: bool = False) -> tuple[int | None, int]:
    """Make the inner loops of a nest accumulate `part`, which is then added to the sum: smaller rounding errors.

    If rows are short, a long outermost loop is split in blocks instead, unless `unsplit`. Return the depth of the line
    that adds `part` to the sum, None if the loops stay unchanged, and the depth of lines inside the loops.
    """
    heads = [line.strip() for line in loops.lines[len(loops.lines) - nest :]]
    inner, width = 0, 1
    while inner < nest - 1 and width < ROW:
        inner += 1
        width *= loops.bounds[heads[-inner]]
    if width >= ROW:
        loops.lines.insert(len(loops.lines) - inner, "    " * (depth - inner) + "part = f8(0)")
        return depth - inner, depth
    n = loops.bounds[heads[0]] if heads and not unsplit else 0
    if n < 4 * BLOCK:
        return None, depth
    del loops.lines[len(loops.lines) - nest :]
    start, name = depth - nest, heads[0].split()[1]
    loops.line(start, f"for block in range(({n} + {BLOCK - 1}) // {BLOCK}):")
    loops.line(start + 1, "part = f8(0)")
    loops.line(start + 1, f"for {name} in range({BLOCK} * block, min({n}, {BLOCK} * block + {BLOCK})):")
    for k, head in enumerate(heads[1:], start + 2):
        loops.line(k, head)
    return start + 1, depth + 1


def _add_up_rows(loops: Any, op: Op, axes: tuple[int, ...], keep: bool) -> None:
    """Append the loops of a sum that keeps the last axis: rows are added up, so that inner loops run along memory."""
    x, total = op.args[0], code_of(op.out.dtype)
    zero, depth = loops.open(op.out.shape, "z")
    start = f"{total}(0)"
    if loops.sums is not None:
        name = f"q{len(loops.sums)}"
        loops.sums.append((name, total, op.out.size))
        start = " + ".join(f"{name}[{p}, {unsigned(loops.offset(op.out.shape, zero))}]" for p in range(loops.threads))
    loops.line(depth, f"{loops.place(op.out, zero)} = {start}")
    lines, loops.lines = loops.lines, []
    index, depth = loops.open(x.shape)
    out = ["0" if a in axes else i for a, i in enumerate(index) if keep or a not in axes]
    text = loops.read(x, index, depth, {}, total)
    if loops.sums is None:
        loops.before = lines
        loops.line(depth, added(loops.place(op.out, out), text, total))
    else:
        loops.after = lines
        loops.line(depth, added(f"s{name}[{unsigned(loops.offset(op.out.shape, out))}]", text, total))


def product_of_vectors(loops: Any, op: Op) -> None:
    """Append the loops of an inner product."""
    x, y = op.args
    total = code_of(op.out.dtype)
    wide = "f8" if total == "f4" and x.size > WIDE else total
    if loops.sums is None:
        s = f"t{loops.count}"
        loops.count += 1
        loops.before.append(f"{s} = {wide}(0)")
    else:
        s = f"sq{len(loops.sums)}"
        loops.after.append(f"{s} = {' + '.join(f'{s[1:]}[{p}, 0]' for p in range(loops.threads))}")
        loops.sums.append((s[1:], wide, 0))
    index, depth = loops.open(x.shape)
    row = _by_rows(loops, depth, depth, unsplit=True)[0] if wide == "f8" else None
    seen: dict[Value, str] = {}
    product = " * ".join(cast(loops.read(a, index, depth, seen, total), total, wide) for a in (x, y))
    loops.line(depth, added(s if row is None else "part", product, wide))
    if row is not None:
        loops.line(row, f"{s} += part")
    loops.after.append(f"{loops.place(op.out, [])} = {cast(s, wide, total)}")
