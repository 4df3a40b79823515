r"""Pooling: the maximum or the mean of each window of an image.

A tap is one entry of the kernel (of the window). For each tap, the pixels that it covers at all window positions are
handled in one NumPy call. Padding takes no memory: positions where a tap lies outside the image are skipped. For given
positions of the largest pixels, the gradient of a maximum is a linear map of g. That map is a primitive, `max_spread`,
and so is its transpose, `max_collect`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..primitive import METHODS, Array, Primitive, declare
from .convolution import Ints, Size, per_axis, positions

_AXES = (
    "{call}: {name}={value!r} is for {axes}, and x of shape {x} has too few. Give a tuple with one number for each "
    "axis that is pooled, which are the last."
)
_PADDING = (
    "{call}: padding={padding} is not smaller than the kernel {kernel}, so some windows would see no pixel of x. Take "
    "padding={most} or less, or a larger kernel."
)
_CELLS = "{call}: x of shape {x} has no pixels along a pooled axis, so its {size} cells would have no largest or mean."


# -- Windows

def _taps(x: Ints, y: Ints, kernel: Ints, stride: Ints, padding: Ints) -> Iterator[tuple[Any, Any]]:
    """Yield for each tap of the kernel the index of the positions in y where it covers pixels, and of those in x."""
    axes = len(kernel)
    for tap in np.ndindex(*kernel):
        outputs: list[slice] = []
        pixels: list[slice] = []
        for u, n, m, s, p in zip(tap, x[-axes:], y[-axes:], stride, padding, strict=True):
            first, last = max(0, -((u - p) // s)), min(m - 1, (n - 1 + p - u) // s)
            outputs.append(slice(first, last + 1))
            pixels.append(slice(first * s + u - p, last * s + u - p + 1, s))
        if all(part.start < part.stop for part in outputs):
            yield (..., *outputs), (..., *pixels)


def _axis_by_axis(kernel: Ints, stride: Ints, padding: Ints) -> Iterator[tuple[int, Ints, Ints, Ints]]:
    """Yield (axis, kernel, stride, padding) for each axis alone; applied in turn they equal pooling over all axes."""
    for i in range(-len(kernel), 0):
        others = range(-len(kernel), 0)
        yield i, *(
            tuple(option[j] if j == i else neutral for j in others)
            for option, neutral in ((kernel, 1), (stride, 1), (padding, 0))
        )  # type: ignore[misc]


def _with_length(shape: Ints, axis: int, n: int) -> list[int]:
    lengths = [*shape]
    lengths[axis] = n
    return lengths


def _reduce_windows(ufunc: np.ufunc, start: Any, x: Array, kernel: Ints, stride: Ints, padding: Ints) -> Array:
    """Return the reduction of each window by a ufunc, computed along one axis after the other."""
    for i, *how in _axis_by_axis(kernel, stride, padding):
        at = (x.shape[i] + 2 * padding[i] - kernel[i]) // stride[i] + 1
        out = np.full(_with_length(x.shape, i, at), start, x.dtype)
        for here, seen in _taps(x.shape, out.shape, *how):
            ufunc(out[here], x[seen], out=out[here])
        x = out
    return x


# fmt: off
def _max_pool(x: Array, *, kernel: Ints, stride: Ints, padding: Ints) -> Array:
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    return _reduce_windows(np.maximum, lowest, x, kernel, stride, padding)

pooled_max: Primitive = declare(_max_pool, r"y_i = \max_u x_{si + u - p}",
    (lambda g, out, x, **how: max_spread(g, x, out, **how),
        r"\sum_{si + u - p \,=\, j} g_i \, \frac{[x_j = y_i]}{\#\{v : x_{si + v - p} = y_i\}}"),
    name="max_pool", kinks="ties share evenly; if one pixel is NaN, all pixels of the window share")

BLOCK = 2**18  # how many pixels are handled at a time by functions that need temporary arrays


def _portions(axes: int, *arrays: Array) -> Iterator[list[Array]]:
    """Yield groups of images from each array, so few at a time that the temporary arrays stay in the cache."""
    images = [a.reshape(math.prod(a.shape[:-axes]), *a.shape[-axes:]) for a in arrays]
    some = max(1, BLOCK // max(1, math.prod(images[0].shape[1:])))
    for i in range(0, len(images[0]), some):
        yield [a[i : i + some] for a in images]


def _is_largest(x: Array, m: Array) -> Any:
    """Tell which pixels x equal the largest pixel m of their window; if m is NaN, all count as largest."""
    return ~np.less(x, m)


def _share_ties(g: Array, x: Array, m: Array, *how: Ints) -> Array:
    """Return g divided by the number of pixels that tie for the largest in each window."""
    ties = np.zeros(m.shape, g.dtype)
    for here, seen in _taps(x.shape, m.shape, *how):
        ties[here] += _is_largest(x[seen], m[here])
    return g / ties


# Multiplying with the mask is ten times as fast as np.where, whose branches the processor cannot predict.

def _max_spread(g: Array, x: Array, m: Array, *, kernel: Ints, stride: Ints, padding: Ints) -> Array:
    """Return the gradient of an image x from the gradient g of its window maxima m; pixels that tie share evenly."""
    out = np.zeros(x.shape, g.dtype)
    for slope, image, best, y in _portions(len(kernel), g, x, m, out):
        shares = _share_ties(slope, image, best, kernel, stride, padding)
        for here, seen in _taps(image.shape, best.shape, kernel, stride, padding):
            y[seen] += shares[here] * _is_largest(image[seen], best[here])
    return out

max_spread: Primitive = declare(_max_spread,
    r"\sum_{si + u - p \,=\, j} x_i \, \frac{[y_j = z_i]}{\#\{v : y_{si + v - p} = z_i\}}",
    (lambda g, out, h, x, m, **how: max_collect(g, x, m, **how),
        r"\sum_u g_{si + u - p} \, \frac{[y_{si + u - p} = z_i]}{\#\{v : y_{si + v - p} = z_i\}}"),
    None, None, kinks="which pixels are the largest has slope 0")


def _max_collect(h: Array, x: Array, m: Array, *, kernel: Ints, stride: Ints, padding: Ints) -> Array:
    """Return the change of the window maxima m if the image x changes by h: the mean change of the pixels that tie."""
    out = np.zeros(m.shape, h.dtype)
    for change, image, best, y in _portions(len(kernel), h, x, m, out):
        for here, seen in _taps(image.shape, best.shape, kernel, stride, padding):
            y[here] += change[seen] * _is_largest(image[seen], best[here])
        y[...] = _share_ties(y, image, best, kernel, stride, padding)
    return out

max_collect: Primitive = declare(_max_collect,
    r"\sum_u x_{si + u - p} \, \frac{[y_{si + u - p} = z_i]}{\#\{v : y_{si + v - p} = z_i\}}",
    (lambda g, out, h, x, m, **how: max_spread(g, x, m, **how),
        r"\sum_{si + u - p \,=\, j} g_i \, \frac{[y_j = z_i]}{\#\{v : y_{si + v - p} = z_i\}}"),
    None, None, kinks="which pixels are the largest has slope 0")


def _pixels(size: Ints, kernel: Ints, stride: Ints, padding: Ints, count_padding: bool, dtype: Any) -> Any:
    """Return the number of pixels that each window's sum is divided by; with `count_padding`, padding counts too."""
    if count_padding or not any(padding):
        return math.prod(kernel)
    return _reduce_windows(np.add, 0, np.ones(size, dtype), kernel, stride, padding)


def _avg_pool(x: Array, *, kernel: Ints, stride: Ints, padding: Ints, count_include_pad: bool) -> Array:
    sums = _reduce_windows(np.add, 0, x, kernel, stride, padding)
    return sums / _pixels(x.shape[-len(kernel) :], kernel, stride, padding, count_include_pad, x.dtype)

pooled_avg: Primitive = declare(_avg_pool, r"y_i = \frac{1}{n_i} \sum_u x_{si + u - p}",
    (lambda g, out, x, kernel, **how: avg_spread(g, size=x.shape[-len(kernel):], kernel=kernel, **how),
        r"\sum_{si + u - p \,=\, j} \frac{g_i}{n_i}"),
    name="avg_pool")


def _avg_spread(
    g: Array, *, size: Ints, kernel: Ints, stride: Ints, padding: Ints, count_include_pad: bool
) -> Array:
    """Return the gradient of an image of the given size from the gradient g of its window means."""
    g = g / _pixels(size, kernel, stride, padding, count_include_pad, g.dtype)
    for i, *how in _axis_by_axis(kernel, stride, padding):
        out = np.zeros(_with_length(g.shape, i, size[i]), g.dtype)
        for here, seen in _taps(out.shape, g.shape, *how):
            out[seen] += g[here]
        g = out
    return g

avg_spread: Primitive = declare(_avg_spread, r"y_j = \sum_{si + u - p \,=\, j} \frac{x_i}{n_i}",
    (lambda g, out, x, size, **how: pooled_avg(g, **how),
        r"\frac{1}{n_i} \sum_u g_{si + u - p}"))


# fmt: on


# -- The public functions, and the checks of their arguments

def _per_axis(call: str, name: str, x: Array, value: Any) -> Ints:
    """Return one number per pooled axis: the given tuple, or one number repeated for all axes after the first two."""
    several = isinstance(value, (tuple, list))
    axes = len(value) if several else x.ndim - 2
    if not 1 <= axes <= x.ndim:
        whose = f"the last {axes} axes" if several else "all axes after (batch, channels)"
        raise ValueError(_AXES.format(call=call, name=name, value=value, axes=whose, x=x.shape))
    return per_axis(call, name, value, axes, 1)


def _window_options(call: str, x: Array, kernel: Size, stride: Size | None, padding: Size) -> dict[str, Ints]:
    """Return kernel, stride and padding per pooled axis; raise ValueError if a window would contain no pixel."""
    k = _per_axis(call, "kernel", x, kernel)
    s = k if stride is None else per_axis(call, "stride", stride, len(k), 1)
    p = per_axis(call, "padding", padding, len(k), 0)
    if any(q >= n for q, n in zip(p, k, strict=True)):
        most = tuple(min(q, n - 1) for q, n in zip(p, k, strict=True))
        raise ValueError(_PADDING.format(call=call, padding=p, kernel=k, most=most))
    positions(call, x, k, s, p, (1,) * len(k))
    return {"kernel": k, "stride": s, "padding": p}


def overhang(
    sizes: Sequence[int], span: Sequence[int], stride: Sequence[int], before: Sequence[int], after: Sequence[int]
) -> Ints:
    """Return how far a last window, `span` long, that begins before the padding after an image reaches beyond that."""
    beyond = []
    for n, k, s, p, q in zip(sizes, span, stride, before, after, strict=True):
        room = n + p + q - k
        start = -(-room // s) * s  # of the last window, which is left out if it begins in the padding after
        beyond.append(max(0, start - room) if start < n + p else 0)
    return tuple(beyond)


def _extended(x: Array, how: dict[str, Ints], fill: float) -> Array:
    """Return an image with pixels at the far ends, as many as its last windows reach beyond it."""
    k, s, p = how["kernel"], how["stride"], how["padding"]
    beyond = overhang(x.shape[-len(k) :], k, s, p, p)
    if not any(beyond):
        return x
    return np.pad(x, [*[(0, 0)] * (x.ndim - len(k)), *((0, n) for n in beyond)], constant_values=fill)


def max_pool(
    x: Array, kernel: Size, *, stride: Size | None = None, padding: Size = 0, ceil_mode: bool = False
) -> Array:
    r"""Return the largest pixel of each window, over the last axes.

    .. math:: y_i = \max_u x_{si + u - p}

    Args:
        x: ``(batch, channels, *spatial)``, or any shape if the kernel is a tuple with a number for each pooled axis.
        kernel: the size of a window, one number or one per pooled axis.
        stride: s, one number or one per axis; by default the kernel, so that windows tile the image.
        padding: p pixels of -inf at each end, fewer than the kernel.
        ceil_mode: whether a last window that begins in the image, and ends beyond it, counts.

    Returns:
        x with ``(n + 2 p - k) // s + 1`` entries along each pooled axis, or one more in ceil_mode. Pixels that tie for
        the largest share the gradient evenly, as with `max`; PyTorch gives all of it to the first.

    Raises:
        ValueError: the kernel does not fit into the image, or a size is not an integer.

    Source: Ranzato, Huang, Boureau & LeCun, Unsupervised learning of invariant feature hierarchies (2007).

    Example:
        >>> max_pool(np.array([[[1.0, 3.0, 2.0, 0.0]]]), 2).tolist()
        [[[3.0, 2.0]]]
    """
    how = _window_options("max_pool", x, kernel, stride, padding)
    if ceil_mode:
        x = _extended(x, how, -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min)
    return pooled_max(x, **how)


def avg_pool(
    x: Array, kernel: Size, *, stride: Size | None = None, padding: Size = 0, count_include_pad: bool = True,
    ceil_mode: bool = False, divisor_override: float | None = None,
) -> Array:
    r"""Return the mean of each window, over the last axes.

    .. math:: y_i = \frac{1}{n_i} \sum_u x_{si + u - p}

    Args:
        x, kernel, stride: as for `max_pool`.
        padding: p zeros at each end, fewer than the kernel.
        count_include_pad: whether to divide by the size of the kernel, or only by the number of pixels in the image.
        ceil_mode: as for `max_pool`; what lies beyond the padding does not count.
        divisor_override: what to divide the sum of each window by; by default the number of its pixels, n.

    Returns:
        x with ``(n + 2 p - k) // s + 1`` entries along each pooled axis, or one more in ceil_mode.

    Raises:
        ValueError: as `max_pool`, or the divisor is 0.

    Source: LeCun, Bottou, Bengio & Haffner (1998), section 2 (there the sum, with a weight to learn).

    Example:
        >>> avg_pool(np.array([[[1.0, 3.0, 2.0, 0.0]]]), 2).tolist()
        [[[2.0, 1.0]]]
    """
    how = _window_options("avg_pool", x, kernel, stride, padding)
    if divisor_override == 0:
        raise ValueError("avg_pool: divisor_override=0; write what to divide by, or None for the number of pixels.")
    padded = _extended(x, how, 0.0) if ceil_mode else x
    if padded is x and divisor_override is None:
        return pooled_avg(x, **how, count_include_pad=bool(count_include_pad))
    means = pooled_avg(padded, **how, count_include_pad=True)
    size = math.prod(how["kernel"])
    if divisor_override is not None:
        return means * (size / divisor_override)
    return means * (size / _counted(x, how, count_include_pad, means)).astype(x.dtype)


def _counted(x: Array, how: dict[str, Ints], count_padding: bool, out: Array) -> Any:
    """Return the number of pixels in each window, with the padding if `count_padding`, without what lies beyond it."""
    counts: Any = 1
    axes = len(how["kernel"])
    for n, m, *option in zip(x.shape[-axes:], out.shape[-axes:], *how.values(), strict=True):
        k, s, p = option
        first, edge = np.arange(m) * s - p, p * bool(count_padding)
        counts = np.multiply.outer(counts, np.minimum(first + k, n + edge) - np.maximum(first, -edge))
    return counts


def _cells(call: str, x: Array, size: Any, fill: float) -> tuple[Array, Ints, Any]:
    """Cut the last axes into cells: cell i of m has the pixels ⌊i n / m⌋ to ⌈(i + 1) n / m⌉ - 1 of n.

    Returns x with each pooled axis split in two (the cell, and the pixel within it), the numbers of the axes within
    cells, and the number of pixels of each cell. If lengths differ, shorter cells are padded with `fill`.
    """
    many = _per_axis(call, "size", x, size)
    if 0 in x.shape[-len(many) :]:
        raise ValueError(_CELLS.format(call=call, x=x.shape, size=many))
    counts: Any = 1
    for i, m in zip(range(-1, -1 - len(many), -1), reversed(many), strict=True):
        before, n = x.shape[: 2 * i + 1], x.shape[2 * i + 1]
        after = x.shape[x.ndim + 2 * i + 2 :]
        first, stop = np.arange(m) * n // m, -(-np.arange(1, m + 1) * n // m)
        length = int((stop - first).max())
        if n % m:
            places = first[:, None] + np.arange(length)
            inside = (places < stop[:, None]).reshape(m, length, *(1,) * len(after))
            x = np.where(inside, x[(*(slice(None),) * len(before), np.minimum(places, n - 1))], fill)
        else:
            x = x.reshape(*before, m, length, *after)
        counts = counts * (stop - first).reshape(m, *(1,) * (-1 - i))
    return x, tuple(range(-1, -2 * len(many), -2)), counts


def adaptive_avg_pool(x: Array, size: Size) -> Array:
    r"""Divide the last axes into a given number of cells, as equal in length as possible, and return the mean of each.

    .. math:: y_i = \frac{1}{n_i} \sum_{j = \lfloor i n / m \rfloor}^{\lceil (i + 1) n / m \rceil - 1} x_j

    Args:
        x: ``(batch, channels, *spatial)``, or any shape if `size` is a tuple with a number for each pooled axis.
        size: m, the number of cells, one number or one per pooled axis; cells may overlap if m does not divide n.

    Returns:
        x with m entries along each pooled axis; ``size=1`` gives the mean of the whole image.

    Raises:
        ValueError: there are no pixels, or a size is not an integer.

    Source: He, Zhang, Ren & Sun, Spatial pyramid pooling in deep convolutional networks (2014), section 2.

    Example:
        >>> adaptive_avg_pool(np.array([[[1.0, 3.0, 2.0]]]), 2).tolist()
        [[[2.0, 2.5]]]
    """
    cells, within, counts = _cells("adaptive_avg_pool", x, size, 0)
    return cells.sum(axis=within) / np.asarray(counts, cells.dtype)


def adaptive_max_pool(x: Array, size: Size) -> Array:
    r"""Divide the last axes into cells as `adaptive_avg_pool` does, and return the largest pixel of each.

    Args, Returns, Raises, Source: as for `adaptive_avg_pool`; pixels that tie share the gradient evenly.

    Example:
        >>> adaptive_max_pool(np.array([[[1.0, 3.0, 2.0]]]), 2).tolist()
        [[[3.0, 3.0]]]
    """
    cells, within, _ = _cells("adaptive_max_pool", x, size, -np.inf)
    return cells.max(axis=within)


METHODS.update(
    max_pool=max_pool, avg_pool=avg_pool, adaptive_avg_pool=adaptive_avg_pool, adaptive_max_pool=adaptive_max_pool
)
