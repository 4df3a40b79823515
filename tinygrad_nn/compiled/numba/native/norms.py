"""Normalization of rows, forward and backward: layer, group, instance and root mean square norm, one row at a time.

Row r of x has the weights ``weight[r % kinds]``, `blocks` numbers, each for an equal share of adjacent entries of the
row. Layer norm has one kind of row, and as many blocks as entries. Instance norm has as many kinds as channels, and one
block.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .build import Parted, kernel

RUN = 1024  # so many entries are summed in their own dtype; these sums are added up in float64


@kernel()
def _sum(x: Any) -> Any:
    total = 0.0
    for lo in range(0, len(x), RUN):
        run = x[lo : lo + RUN]  # indices of a slice cannot be negative, so that the loop is vectorized
        part = x.dtype.type(0)
        for j in range(len(run)):
            part += run[j]
        total += part
    return total


@kernel()
def _squares(x: Any, mean: Any) -> Any:
    """Return the sum of (x - mean)²."""
    total = 0.0
    for lo in range(0, len(x), RUN):
        run = x[lo : lo + RUN]
        part = x.dtype.type(0)
        for j in range(len(run)):
            part += (run[j] - mean) * (run[j] - mean)
        total += part
    return total


@kernel(no_alias=True)
def _scaled(x: Any, mean: Any, scale: Any, weight: Any, bias: Any, out: Any) -> None:
    """Write one normalized row in which each entry has its own weight."""
    for j in range(len(x)):
        out[j] = (x[j] - mean) * scale * weight[j] + bias[j]


@kernel(no_alias=True)
def _blocks(x: Any, mean: Any, scale: Any, weight: Any, bias: Any, out: Any) -> None:
    """Write one normalized row in which blocks of adjacent entries share a weight."""
    size = len(x) // len(weight)
    for c in range(len(weight)):
        factor, more = scale * weight[c], bias[c]
        block, made = x[c * size : (c + 1) * size], out[c * size : (c + 1) * size]
        for j in range(size):
            made[j] = (block[j] - mean) * factor + more


@Parted
def forward(
    x: Any, weight: Any, bias: Any, out: Any, first: Any, second: Any, kinds: Any, centred: Any, eps: Any, p: Any,
    parts: Any,
) -> None:  # fmt: skip
    """Write normalized rows times weight plus bias; save mean and variance, or the scale if not `centred`."""
    x, weight, bias, out = x.reshape(-1), weight.reshape(-1), bias.reshape(-1), out.reshape(-1)
    means, others = first.reshape(-1), second.reshape(-1) if centred else first.reshape(-1)
    rows, blocks, one = len(others), len(weight) // kinds, x.dtype.type(1)
    n = len(x) // rows
    mean = x.dtype.type(0)
    for r in range(p * rows // parts, (p + 1) * rows // parts):
        row, made = x[r * n : (r + 1) * n], out[r * n : (r + 1) * n]
        if centred:
            mean = x.dtype.type(_sum(row) / n)
            means[r] = mean
        variance = x.dtype.type(_squares(row, mean) / n)
        scale = one / np.sqrt(variance + x.dtype.type(eps))
        others[r] = variance if centred else scale
        lo = r % kinds * blocks
        if blocks == n:
            _scaled(row, mean, scale, weight[lo : lo + n], bias[lo : lo + n], made)
        else:
            _blocks(row, mean, scale, weight[lo : lo + blocks], bias[lo : lo + blocks], made)


@kernel(no_alias=True)
def _row_sums(g: Any, x: Any, mean: Any, scale: Any, weight: Any, dw: Any, db: Any) -> Any:
    """Add to the gradients of weight and bias, and return the sums of g w z and g w over a part of a row."""
    moved = added = x.dtype.type(0)
    for j in range(len(x)):
        z = (x[j] - mean) * scale
        dw[j] += g[j] * z
        db[j] += g[j]
        moved += g[j] * weight[j] * z
        added += g[j] * weight[j]
    return moved, added


@kernel(no_alias=True)
def _row_back(g: Any, x: Any, mean: Any, scale: Any, weight: Any, dx: Any, dw: Any, db: Any, centred: Any) -> None:
    """Write the gradient of a row in which each entry has its own weight; add to the gradients of weight and bias."""
    n = len(x)
    slope, rest = 0.0, 0.0
    for lo in range(0, n, RUN):
        hi = lo + RUN
        moved, added = _row_sums(g[lo:hi], x[lo:hi], mean, scale, weight[lo:hi], dw[lo:hi], db[lo:hi])
        slope += moved
        rest += added
    to, less = x.dtype.type(slope / n * scale), x.dtype.type(rest / n if centred else 0.0)
    for j in range(n):
        dx[j] = (g[j] * weight[j] - less - (x[j] - mean) * to) * scale


@kernel(no_alias=True)
def _blocks_back(g: Any, x: Any, mean: Any, scale: Any, weight: Any, dx: Any, dw: Any, db: Any, centred: Any) -> None:
    """Do the same for a row in which blocks of adjacent entries share a weight."""
    n, size = len(x), len(x) // len(weight)
    slope, rest = 0.0, 0.0
    for c in range(len(weight)):
        for lo in range(c * size, (c + 1) * size, RUN):
            hi = min(lo + RUN, (c + 1) * size)
            at, of = g[lo:hi], x[lo:hi]
            moved = added = x.dtype.type(0)
            for j in range(len(at)):
                moved += at[j] * (of[j] - mean)
                added += at[j]
            dw[c] += moved * scale
            db[c] += added
            slope += moved * weight[c]
            rest += added * weight[c]
    to, less = x.dtype.type(slope / n * scale * scale), x.dtype.type(rest / n if centred else 0.0)
    for c in range(len(weight)):
        lo, hi = c * size, (c + 1) * size
        at, of, made = g[lo:hi], x[lo:hi], dx[lo:hi]
        for j in range(size):
            made[j] = (at[j] * weight[c] - less - (of[j] - mean) * to) * scale


@Parted
def rows_back(
    g: Any, x: Any, weight: Any, means: Any, others: Any, dx: Any, dws: Any, dbs: Any, kinds: Any, centred: Any,
    eps: Any, p: Any, parts: Any,
) -> None:  # fmt: skip
    """Write the gradient of x, and for each part its share of the gradients of weight and bias."""
    g, x, weight, dx = g.reshape(-1), x.reshape(-1), weight.reshape(-1), dx.reshape(-1)
    means, others = means.reshape(-1), others.reshape(-1)
    rows, blocks = len(others), len(weight) // kinds
    n = len(x) // rows
    dw, db = dws[p], dbs[p]
    for j in range(len(weight)):
        dw[j] = db[j] = 0
    mean, one = x.dtype.type(0), x.dtype.type(1)
    for r in range(p * rows // parts, (p + 1) * rows // parts):
        lo, hi = r * n, (r + 1) * n
        first = r % kinds * blocks
        last = first + blocks
        scale = others[r]
        if centred:
            mean, scale = means[r], one / np.sqrt(others[r] + x.dtype.type(eps))
        if blocks == n:
            _row_back(
                g[lo:hi], x[lo:hi], mean, scale, weight[first:last], dx[lo:hi], dw[first:last], db[first:last], centred
            )
        else:
            _blocks_back(
                g[lo:hi], x[lo:hi], mean, scale, weight[first:last], dx[lo:hi], dw[first:last], db[first:last], centred
            )


@kernel(no_alias=True)
def _gather(parted: Any, total: Any) -> None:
    """Add up the shares of all parts."""
    total = total.reshape(-1)
    for j in range(len(total)):
        total[j] = parted[0, j]
    for p in range(1, len(parted)):
        for j in range(len(total)):
            total[j] += parted[p, j]


def back(
    g: Any, x: Any, weight: Any, mean: Any, other: Any, dx: Any, dw: Any, db: Any, dws: Any, dbs: Any, *more: Any
) -> None:
    """Write the gradients of x, weight and bias."""
    rows_back(g, x, weight, mean, other, dx, dws, dbs, *more)
    _gather(dws, dw)
    _gather(dbs, db)
