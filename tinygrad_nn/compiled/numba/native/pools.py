"""Max and average pooling over one axis or two, and their gradients.

Each channel of each sample, a plane, is treated as an image with a single channel. `layout` is as in `images`, with the
number of planes as the batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .build import Parted, kernel
from .images import _gather, _read, _scatter


@kernel(inline="always")
def _larger(a: Any, b: Any) -> Any:
    """Return the larger of two numbers, NaN if one is NaN."""
    return a if a > b or a != a else b


@kernel(no_alias=True)
def _largest(t: Any, out: Any, stride: Any, taps: Any) -> None:
    """Write the maximum of `taps` adjacent entries of t, starting at every stride-th entry."""
    n = len(out)
    if stride == 2 and taps == 2:
        pairs = t[: 2 * n].reshape(n, 2)
        for j in range(n):
            out[j] = _larger(pairs[j, 0], pairs[j, 1])
        return
    for j in range(n):
        out[j] = t[j * stride]
    for v in range(1, taps):
        seen = t[v : v + (n - 1) * stride + 1]
        for j in range(n):
            out[j] = _larger(out[j], seen[j * stride])


@Parted
def max_pool(x: Any, out: Any, scratch: Any, layout: Any, p: Any, parts: Any) -> None:
    """Write the largest pixel of each window; each part does some planes."""
    planes, _, _, height, width, _, down, across, rows, at, sy, sx, py, px, _, _, _ = _read(layout)
    x, out, t = x.reshape(-1), out.reshape(-1), scratch[p]
    tiled = across == sx  # windows do not overlap, so all rows of windows can be done in one loop
    pitch = sx * at if tiled else width + 2 * px
    for q in range(len(t)):
        t[q] = -np.inf
    for plane in range(p * planes // parts, (p + 1) * planes // parts):
        for i in range(rows):
            line = t[i * pitch + px : i * pitch + min(px + width, pitch)]
            first, last = max(0, i * sy - py), min(height, i * sy - py + down)
            for y in range(first, last):
                row = x[(plane * height + y) * width : (plane * height + y + 1) * width]
                if y == first:
                    for j in range(len(line)):
                        line[j] = row[j]
                else:
                    for j in range(len(line)):
                        line[j] = _larger(line[j], row[j])
        best = out[plane * rows * at : (plane + 1) * rows * at]
        if tiled:
            _largest(t, best, sx, across)
        else:
            for i in range(rows):
                _largest(t[i * pitch : (i + 1) * pitch], best[i * at : (i + 1) * at], sx, across)


@kernel(no_alias=True)
def _four(above: Any, below: Any, m: Any, g: Any) -> None:
    """Overwrite the pixels of adjacent windows of two by two pixels with their gradients."""
    for j in range(np.uint64(len(m))):  # unsigned, since numba would test each signed index, and not vectorize
        left, best = np.uint64(2) * j, m[j]
        right = left + np.uint64(1)
        a, b = m.dtype.type(not above[left] < best), m.dtype.type(not above[right] < best)
        c, d = m.dtype.type(not below[left] < best), m.dtype.type(not below[right] < best)
        share = g[j] / (a + b + c + d)
        above[left], above[right], below[left], below[right] = share * a, share * b, share * c, share * d


@Parted
def _spread_four(g: Any, x: Any, m: Any, out: Any, scratch: Any, layout: Any, p: Any, parts: Any) -> None:
    # For adjacent windows of two by two pixels: copy pairs of rows, let `_four` compute gradients, copy these back.
    planes, _, _, height, width, _, _, _, rows, at, _, _, _, _, _, _, _ = _read(layout)
    g, x, m, out = g.reshape(-1), x.reshape(-1), m.reshape(-1), out.reshape(-1)
    n, many = 2 * at, rows * at
    above, below = scratch[p, : 2 * many], scratch[p, 2 * many : 4 * many]
    for plane in range(p * planes // parts, (p + 1) * planes // parts):
        image, y = x[plane * height * width :], out[plane * height * width : (plane + 1) * height * width]
        for i in range(rows):
            upper, lower = above[i * n : (i + 1) * n], below[i * n : (i + 1) * n]
            seen, more = image[2 * i * width : 2 * i * width + n], image[(2 * i + 1) * width : (2 * i + 1) * width + n]
            for j in range(n):
                upper[j] = seen[j]
            for j in range(n):
                lower[j] = more[j]
        _four(above, below, m[plane * many : (plane + 1) * many], g[plane * many : (plane + 1) * many])
        y[:] = 0
        for i in range(rows):
            upper, lower = above[i * n : (i + 1) * n], below[i * n : (i + 1) * n]
            seen, more = y[2 * i * width : 2 * i * width + n], y[(2 * i + 1) * width : (2 * i + 1) * width + n]
            for j in range(n):
                seen[j] = upper[j]
            for j in range(n):
                more[j] = lower[j]


@kernel(no_alias=True)
def _mark_largest(tap_pixels: Any, in_image: Any, m: Any, ties: Any) -> None:
    """Overwrite each pixel in `tap_pixels` with 1 if it is the largest of its window, else 0; count these in `ties`."""
    n = len(m)
    ties[:] = 0
    for k in range(len(tap_pixels) // n):
        pixel, inside = tap_pixels[k * n : (k + 1) * n], in_image[k * n : (k + 1) * n]
        for j in range(n):
            pixel[j] = inside[j] * m.dtype.type(not pixel[j] < m[j])
            ties[j] += pixel[j]


@kernel()
def _divided(scratch: Any, layout: Any) -> Any:
    """Divide the memory of a part: the pixel of each tap, whether it lies in the image, and one number per window."""
    _, _, _, height, width, _, down, across, rows, at, sy, sx, py, px, _, _, _ = _read(layout)
    n = rows * at
    many = n * down * across
    tap_pixels, in_image, per_window = scratch[:many], scratch[many : 2 * many], scratch[2 * many : 2 * many + n]
    for q in range(many):
        y = q // n // across + q % n // at * sy - py
        x = q // n % across + q % at * sx - px
        in_image[q] = 0 <= y < height and 0 <= x < width
    return tap_pixels, in_image, per_window, n, height * width


@Parted
def _spread(g: Any, x: Any, m: Any, out: Any, scratch: Any, layout: Any, p: Any, parts: Any) -> None:
    # For any windows: gather their pixels, mark the largest ones, divide g among these, and add it to their pixels.
    planes, _, _, _, _, _, down, across, rows, _, _, _, _, _, _, _, _ = _read(layout)
    g, x, m, out = g.reshape(-1), x.reshape(-1), m.reshape(-1), out.reshape(-1)
    tap_pixels, in_image, per_window, n, pixels = _divided(scratch[p], layout)
    for plane in range(p * planes // parts, (p + 1) * planes // parts):
        slope, y = g[plane * n : (plane + 1) * n], out[plane * pixels : (plane + 1) * pixels]
        _gather(x[plane * pixels :], tap_pixels, 1, 0, rows, layout)
        _mark_largest(tap_pixels, in_image, m[plane * n : (plane + 1) * n], per_window)
        for j in range(n):
            per_window[j] = slope[j] / per_window[j]
        for k in range(down * across):
            share = tap_pixels[k * n : (k + 1) * n]
            for j in range(n):
                share[j] *= per_window[j]
        y[:] = 0
        _scatter(tap_pixels, y, 1, 0, rows, layout)


def max_spread(g: Any, x: Any, m: Any, out: Any, scratch: Any, layout: Any, four: bool, parts: int) -> None:
    """Write the gradient of images x whose windows have the maxima m, from the gradient g; each part does some planes.

    With `four` the windows are adjacent and have two by two pixels; there is a faster function for these.
    """
    (_spread_four if four else _spread)(g, x, m, out, scratch, layout, parts)


@Parted
def max_collect(h: Any, x: Any, m: Any, out: Any, scratch: Any, layout: Any, p: Any, parts: Any) -> None:
    """Write for each window the mean of h over those pixels where x is the largest of the window."""
    planes, _, _, _, _, _, _, _, rows, _, _, _, _, _, _, _, _ = _read(layout)
    h, x, m, out = h.reshape(-1), x.reshape(-1), m.reshape(-1), out.reshape(-1)
    tap_pixels, in_image, per_window, n, pixels = _divided(scratch[p], layout)
    change = scratch[p, len(scratch[p]) - len(tap_pixels) :]
    for plane in range(p * planes // parts, (p + 1) * planes // parts):
        _gather(x[plane * pixels :], tap_pixels, 1, 0, rows, layout)
        _gather(h[plane * pixels :], change, 1, 0, rows, layout)
        _mark_largest(tap_pixels, in_image, m[plane * n : (plane + 1) * n], per_window)
        y = out[plane * n : (plane + 1) * n]
        y[:] = 0
        for k in range(len(tap_pixels)):
            y[k % n] += change[k] * tap_pixels[k]
        for j in range(n):
            y[j] /= per_window[j]


@kernel(no_alias=True)
def _counted(in_image: Any, per_window: Any, count_padding: Any) -> None:
    """Write by how many pixels the sum of each window is divided: all, or those inside the image."""
    n = len(per_window)
    per_window[:] = len(in_image) // n if count_padding else 0
    if not count_padding:
        for k in range(len(in_image)):
            per_window[k % n] += in_image[k]


@Parted
def avg_pool(x: Any, out: Any, scratch: Any, layout: Any, count_padding: Any, p: Any, parts: Any) -> None:
    """Write the mean of each window; with `count_padding` padding counts as pixels of value 0."""
    planes, _, _, _, _, _, down, across, rows, _, _, _, _, _, _, _, _ = _read(layout)
    x, out = x.reshape(-1), out.reshape(-1)
    tap_pixels, in_image, per_window, n, pixels = _divided(scratch[p], layout)
    _counted(in_image, per_window, count_padding)
    for plane in range(p * planes // parts, (p + 1) * planes // parts):
        _gather(x[plane * pixels :], tap_pixels, 1, 0, rows, layout)
        y = out[plane * n : (plane + 1) * n]
        y[:] = 0
        for k in range(down * across):
            pixel = tap_pixels[k * n : (k + 1) * n]
            for j in range(n):
                y[j] += pixel[j]
        for j in range(n):
            y[j] /= per_window[j]


@Parted
def avg_spread(g: Any, out: Any, scratch: Any, layout: Any, count_padding: Any, p: Any, parts: Any) -> None:
    """Write the gradient of the images from the gradient g of the means."""
    planes, _, _, _, _, _, down, across, rows, _, _, _, _, _, _, _, _ = _read(layout)
    g, out = g.reshape(-1), out.reshape(-1)
    tap_pixels, in_image, per_window, n, pixels = _divided(scratch[p], layout)
    _counted(in_image, per_window, count_padding)
    for plane in range(p * planes // parts, (p + 1) * planes // parts):
        slope, y = g[plane * n : (plane + 1) * n], out[plane * pixels : (plane + 1) * pixels]
        for k in range(down * across):
            share = tap_pixels[k * n : (k + 1) * n]
            for j in range(n):
                share[j] = slope[j] / per_window[j]
        y[:] = 0
        _scatter(tap_pixels, y, 1, 0, rows, layout)
