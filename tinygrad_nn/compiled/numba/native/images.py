"""Convolution over one axis or two, its transpose, and the gradient of its kernels, as matrix products (im2col).

The pixels under the window at each position are copied into a column of a matrix, which is multiplied by the kernels.
This is done for a few rows of positions at a time, so that the columns stay in the cache. The sizes are passed as an
array `layout` of integers: batch, groups, channels of each group, height, width, kernels of each group, their height
and width, positions down and across, then stride, padding and dilation, each down and across, and the rows of positions
at a time. A tap is one of the height times width entries of a kernel.
"""

from __future__ import annotations

from typing import Any

from .build import Parted, kernel
from .products import gemm


@kernel()
def _read(layout: Any) -> Any:
    """Return the numbers in `layout` as a tuple; as an argument, an array compiles faster than a tuple."""
    return (
        layout[0], layout[1], layout[2], layout[3], layout[4], layout[5], layout[6], layout[7], layout[8], layout[9],
        layout[10], layout[11], layout[12], layout[13], layout[14], layout[15], layout[16],
    )  # fmt: skip


@kernel()
def _meets(lo: Any, hi: Any, stride: Any, start: Any, size: Any) -> Any:
    """Return the range of positions i from lo to hi with 0 <= stride i + start < size, as first and last + 1."""
    first = min(max(lo, -(start // stride)), hi)
    return first, max(first, min(hi, (size - 1 - start) // stride + 1))


@kernel(no_alias=True)
def _gather(image: Any, columns: Any, channels: Any, lo: Any, hi: Any, layout: Any) -> None:
    """Write into `columns` the pixel that each tap of each channel meets at the positions in rows lo to hi."""
    _, _, _, height, width, _, down, across, _, at, sy, sx, py, px, dy, dx, _ = _read(layout)
    n = (hi - lo) * at
    for k in range(channels * down * across):
        c, u, v = k // (down * across), k // across % down, k % across
        y0, x0 = dy * u - py, dx * v - px
        i0, i1 = _meets(lo, hi, sy, y0, height)
        j0, j1 = _meets(0, at, sx, x0, width)
        column, some = columns[k * n : (k + 1) * n], j1 - j0
        if (i1 - i0) * some < n:
            for q in range(n):
                column[q] = 0
        first, step, start = (c * height + i0 * sy + y0) * width + x0 + j0 * sx, sy * width, (i0 - lo) * at + j0
        rows = i1 - i0 if some else 0
        if sx == 1 and step == at and rows:  # copy all rows at once, then clear entries of neighbouring rows
            some, rows = (rows - 1) * at + some, 1
        for _ in range(rows):
            line, seen = column[start : start + some], image[first : first + (some - 1) * sx + 1]
            if sx == 1:
                for j in range(some):
                    line[j] = seen[j]
            else:
                for j in range(some):
                    line[j] = seen[j * sx]
            first += step
            start += at
        if some > j1 - j0:
            _clear(column, i0 - lo, i1 - lo - 1, j0, j1, at)


@kernel()
def _clear(column: Any, i0: Any, i1: Any, j0: Any, j1: Any, at: Any) -> None:
    """Write zeros between position j1 of each of the rows i0 to i1, and position j0 of the next row."""
    for i in range(i0, i1):
        for q in range(i * at + j1, (i + 1) * at + j0):
            column[q] = 0


@kernel(no_alias=True)
def _scatter(columns: Any, image: Any, channels: Any, lo: Any, hi: Any, layout: Any) -> None:
    """Add each entry of `columns` to the pixel that its tap meets, at the positions in rows lo to hi."""
    _, _, _, height, width, _, down, across, _, at, sy, sx, py, px, dy, dx, _ = _read(layout)
    n = (hi - lo) * at
    for k in range(channels * down * across):
        c, u, v = k // (down * across), k // across % down, k % across
        y0, x0 = dy * u - py, dx * v - px
        i0, i1 = _meets(lo, hi, sy, y0, height)
        j0, j1 = _meets(0, at, sx, x0, width)
        column, some = columns[k * n : (k + 1) * n], j1 - j0
        first, step, start = (c * height + i0 * sy + y0) * width + x0 + j0 * sx, sy * width, (i0 - lo) * at + j0
        rows = i1 - i0 if some else 0
        if sx == 1 and step == at and rows:  # add all rows at once; entries that meet no pixel are cleared first
            _clear(column, i0 - lo, i1 - lo - 1, j0, j1, at)
            some, rows = (rows - 1) * at + some, 1
        for _ in range(rows):
            line, seen = column[start : start + some], image[first : first + (some - 1) * sx + 1]
            if sx == 1:
                for j in range(some):
                    seen[j] += line[j]
            else:
                for j in range(some):
                    seen[j * sx] += line[j]
            first += step
            start += at


@Parted
def conv(x: Any, w: Any, out: Any, scratch: Any, layout: Any, p: Any, parts: Any) -> None:
    """Write the convolution of x with w; each part does some blocks of rows, in its own row of `scratch`."""
    batch, groups, channels, height, width, kernels, down, across, rows, at, _, _, _, _, _, _, some = _read(layout)
    image, w, y, columns = x.reshape(-1), w.reshape(-1), out.reshape(-1), scratch[p]
    depth = channels * down * across
    blocks = (rows + some - 1) // some
    jobs = batch * groups * blocks
    for job in range(p * jobs // parts, (p + 1) * jobs // parts):
        sample, lo = job // blocks, job % blocks * some  # `sample` counts the groups of all samples
        n = (min(rows, lo + some) - lo) * at
        _gather(image[sample * channels * height * width :], columns, channels, lo, lo + n // at, layout)
        some_w, some_y = w[sample % groups * kernels * depth :], y[(sample * kernels * rows + lo) * at :]
        gemm(False, False, kernels, n, depth, 1.0, some_w, depth, columns, n, False, some_y, rows * at)


@Parted
def conv_transpose(y: Any, w: Any, out: Any, scratch: Any, layout: Any, p: Any, parts: Any) -> None:
    """Write the transposed convolution of y with w; each part does some channels of some samples."""
    batch, groups, channels, height, width, kernels, down, across, rows, at, _, _, _, _, _, _, some = _read(layout)
    y, w, image, columns = y.reshape(-1), w.reshape(-1), out.reshape(-1), scratch[p]
    taps, pixels = down * across, height * width
    chunks = min(channels, (parts + batch * groups - 1) // (batch * groups))
    jobs = batch * groups * chunks
    for job in range(p * jobs // parts, (p + 1) * jobs // parts):
        sample, chunk = job // chunks, job % chunks
        c0, c1 = chunk * channels // chunks, (chunk + 1) * channels // chunks
        seen = image[(sample * channels + c0) * pixels : (sample * channels + c1) * pixels]
        for q in range(len(seen)):
            seen[q] = 0
        some_w = w[(sample % groups * kernels * channels + c0) * taps :]
        for lo in range(0, rows, some):
            n = (min(rows, lo + some) - lo) * at
            some_y, k = y[(sample * kernels * rows + lo) * at :], (c1 - c0) * taps
            gemm(True, False, k, n, kernels, 1.0, some_w, channels * taps, some_y, rows * at, False, columns, n)
            _scatter(columns, seen, c1 - c0, lo, lo + n // at, layout)


@Parted
def _weight(y: Any, x: Any, totals: Any, scratch: Any, layout: Any, p: Any, parts: Any) -> None:
    # Write part p's share of the gradient of the kernels into its row of `totals`.
    batch, groups, channels, height, width, kernels, down, across, rows, at, _, _, _, _, _, _, some = _read(layout)
    y, image, total, columns = y.reshape(-1), x.reshape(-1), totals[p], scratch[p]
    depth = channels * down * across
    blocks = (rows + some - 1) // some
    jobs = batch * groups * blocks
    for q in range(len(total)):
        total[q] = 0
    for job in range(p * jobs // parts, (p + 1) * jobs // parts):
        sample, lo = job // blocks, job % blocks * some
        n = (min(rows, lo + some) - lo) * at
        _gather(image[sample * channels * height * width :], columns, channels, lo, lo + n // at, layout)
        some_y, to = y[(sample * kernels * rows + lo) * at :], total[sample % groups * kernels * depth :]
        gemm(False, True, kernels, depth, n, 1.0, some_y, rows * at, columns, n, True, to, depth)


@kernel(no_alias=True)
def _sum(totals: Any, out: Any) -> None:
    """Write the sum of the rows of `totals`."""
    total = out.reshape(-1)
    for q in range(len(total)):
        total[q] = totals[0, q]
    for p in range(1, len(totals)):
        row = totals[p]
        for q in range(len(total)):
            total[q] += row[q]


def conv_weight(y: Any, x: Any, out: Any, scratch: Any, totals: Any, layout: Any, parts: Any) -> None:
    """Write the gradient of the kernels; each part does some blocks of rows, and sums in its own row of `totals`."""
    _weight(y, x, totals, scratch, layout, parts)
    _sum(totals, out)
