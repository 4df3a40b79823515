r"""Convolution over any number of axes, its transpose, and the gradient of its kernels.

All three are gradients of the same sum. It runs over the taps u (entries) of the kernels w and over the positions i
of a kernel, and multiplies a result y, a kernel's entry and the pixel of x that the tap covers at that position:

.. math:: E = \sum_{n,o,c,i,u} y_{noi} \, w_{ocu} \, x_{n,\, c,\, s i + d u - p}

`conv` is the gradient of E in y, `conv_transpose` in x, `conv_weight` in w; each is a function of the other two
arrays. So the rules of each of the three primitives are the other two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..primitive import METHODS, Array, Primitive, declare

Ints = tuple[int, ...]
Size = int | Ints

_SIZE = "{call}: {name}={value!r} must be a whole number of at least {least}, or a tuple of {axes}, one per axis."
_AXES = (
    "{call} needs x (batch, channels, *spatial) and w with as many axes, at least three; x has shape {x}, w has shape "
    "{w}. A single sample becomes a batch with x[None], a grey image gets its channel with x[:, None]."
)
_GROUPS = "{call}: groups={groups} does not divide the {n} {what}; x has shape {x}, w has shape {w}. It may be {may}."
_CHANNELS = (
    "{call}: x has shape {x}, and w, of shape {w}, with groups={groups} is for {n} channels in axis 1 of x. Give w the "
    "shape {need}, or x {n} channels."
)

_NOTHING = "{call}: nothing is left of x, of shape {x}, under w, of shape {w}: padding={padding} crops it to {size}."


def per_axis(call: str, name: str, value: Any, axes: int, minimum: int) -> Ints:
    """Return an option, an integer or one integer per axis, as a tuple with one integer per axis."""
    many = tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes
    if len(many) != axes or not all(isinstance(n, (int, np.integer)) and n >= minimum for n in many):
        raise ValueError(_SIZE.format(call=call, name=name, value=value, least=minimum, axes=axes))
    return tuple(int(n) for n in many)


def added_pixels(call: str, value: Any, stride: Ints, dilation: Ints) -> Ints:
    """Return the option output_padding as a tuple; raise unless it is smaller than stride or dilation on each axis.

    A convolution maps as many sizes to one as its stride is large, and output_padding chooses among them.
    """
    found = per_axis(call, "output_padding", value, len(stride), 0)
    for n, s, d in zip(found, stride, dilation, strict=True):
        if n >= max(s, d):
            raise ValueError(
                f"{call}: output_padding={value} with stride={s} and dilation={d} on the same axis; it needs to be "
                f"smaller than one of them, so here it may be at most {max(s, d) - 1}. More pixels are added by np.pad."
            )
    return found


# How many entries of windows are copied at a time. Such a block stays in the cache while it is multiplied; all windows
# together would need the memory of the image times the number of taps.
BLOCK = 2**19
# The number of multiplications up to which BLAS does not split a product between threads. In such small products
# threads wait for each other longer than they compute, and a hundred times as long if other programs are running.
SINGLE = 2**19

_OUTSIDE = (
    "{at} positions of a kernel {kernel} with stride {stride} and dilation {dilation} reach beyond a padded image of "
    "{size}: give fewer positions or more padding."
)


def _transposed_size(
    x: Ints, w: Ints, stride: Ints, padding: Ints, dilation: Ints, output_padding: Ints | None = None
) -> Ints:
    """Return how many pixels the result of a transposed convolution has along each axis."""
    axes = zip(x[2:], w[2:], stride, padding, dilation, output_padding or (0,) * len(stride), strict=True)
    return tuple((n - 1) * s - 2 * p + d * (k - 1) + 1 + more for n, k, s, p, d, more in axes)


def _transpose_onto(x: Array, g: Array, w: Array, groups: int, **how: Ints) -> Array:
    """Return the transposed convolution of g whose result has the shape of x."""
    more = tuple(n - m for n, m in zip(x.shape[2:], _transposed_size(g.shape, w.shape, **how), strict=True))
    return transposed(g, w, output_padding=more, groups=groups, **how)


def inner_index(size: Ints, padding: Ints) -> Any:
    """Return the index that selects the original image in a padded image."""
    return (..., *(slice(p, p + n) for n, p in zip(size, padding, strict=True)))


def _padded(x: Array, padding: Ints) -> Array:
    """Return the image padded with zeros, or the image itself if there is no padding."""
    if not any(padding):
        return x
    out = np.zeros((*x.shape[:2], *(n + 2 * p for n, p in zip(x.shape[2:], padding, strict=True))), x.dtype)
    out[inner_index(x.shape[2:], padding)] = x
    return out


def _windows(x: Array, kernel: Ints, at: Ints, stride: Ints, dilation: Ints, groups: int) -> Array:
    """Return a view of the pixels that each tap covers at each position: (batch, groups, channels, *kernel, *at)."""
    axes = zip(x.shape[2:], kernel, at, stride, dilation, strict=True)
    if any((m - 1) * s + d * (k - 1) >= n for n, k, m, s, d in axes):  # the view would read beyond the array
        raise ValueError(_OUTSIDE.format(at=at, kernel=kernel, stride=stride, dilation=dilation, size=x.shape[2:]))
    batch, channel, *steps = x.strides
    channels = x.shape[1] // groups
    taps = [d * step for d, step in zip(dilation, steps, strict=True)]
    moves = [s * step for s, step in zip(stride, steps, strict=True)]
    shape = (len(x), groups, channels, *kernel, *at)
    return as_strided(x, shape, (batch, channel * channels, channel, *taps, *moves))


def _blocks(windows: Array, y: Array) -> Iterator[tuple[Array, Array, Array]]:
    """Yield blocks of windows: as many whole samples as BLOCK allows, or rows of one sample.

    Each item is a tuple: a view of the windows; a buffer of their size, shared by all blocks, of shape (samples,
    groups, channels and taps, positions); and the same positions of y, as (samples, groups, channels, positions).
    """
    groups, rows, inner = windows.shape[1], y.shape[2], math.prod(y.shape[3:])
    depth = math.prod(windows.shape[2 : 1 + y.ndim])  # channels and taps
    some = max(1, BLOCK // max(1, groups * depth * inner))
    samples, whole = max(1, some // rows), (slice(None),) * (y.ndim - 3)
    memory = np.empty(min(samples, len(y)) * groups * depth * min(some, rows) * inner, windows.dtype)
    for n in range(0, len(y), samples):
        for i in range(0, rows, some):
            part = y[n : n + samples, :, i : i + some]
            shape = len(part), groups, depth, part.shape[2] * inner
            yield (
                windows[(slice(n, n + samples), ..., slice(i, i + some), *whole)],
                memory[: math.prod(shape)].reshape(shape),
                part.reshape(*shape[:2], y.shape[1] // groups, shape[3]),
            )


def _columns(windows: Array, memory: Array, taps: int) -> Array:
    """Return windows as the columns of a matrix, copied into `memory` unless the kernel has a single tap."""
    if taps == 1:
        return windows.reshape(memory.shape)
    np.copyto(memory.reshape(windows.shape), windows)
    return memory


def _product(a: Array, b: Array, out: Array) -> Array:
    """Write a matrix product into out, with so few columns at a time that BLAS does not split it between threads."""
    entries = max(1, a.shape[-2] * a.shape[-1])
    few = max(16, SINGLE // entries // 16 * 16) if entries <= SINGLE // 8 else b.shape[-1]
    for j in range(0, b.shape[-1], few):
        np.matmul(a, b[..., j : j + few], out=out[..., j : j + few])
    return out


# fmt: off
_SMALL = (
    "{call}: a kernel of {kernel}, spread over {span} pixels, does not fit into an image of {size} with padding "
    "{padding}; x has shape {x}. padding={need} is the least that makes room for it, or take a smaller kernel."
)


def positions(call: str, x: Array, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints) -> Ints:
    """Return the number of kernel positions in the padded image along each of the last axes.

    Raises:
        ValueError: the kernel does not fit into the image.
    """
    size = x.shape[-len(kernel) :]
    span = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    need = tuple(max(p, (k - n + 1) // 2) for n, k, p in zip(size, span, padding, strict=True))
    if need != padding:
        raise ValueError(
            _SMALL.format(call=call, kernel=kernel, span=span, size=size, padding=padding, need=need, x=x.shape)
        )
    return tuple((n + 2 * p - k) // s + 1 for n, p, k, s in zip(size, padding, span, stride, strict=True))


def _conv(x: Array, w: Array, *, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Array:
    kernel = w.shape[2:]
    at = positions("conv", x, kernel, stride, padding, dilation)
    windows = _windows(_padded(x, padding), kernel, at, stride, dilation, groups)
    kernels = w.reshape(groups, len(w) // groups, math.prod(w.shape[1:]))  # (groups, c_out / groups, channels and taps)
    out = np.empty((len(x), len(w), *at), np.result_type(x, w))
    for seen, memory, y in _blocks(windows, out):
        _product(kernels, _columns(seen, memory, math.prod(kernel)), y)
    return out

convolution: Primitive = declare(_conv, r"y_{oi} = \sum_{c,u} w_{ocu} \, x_{c,\, si + du - p}",
    (lambda g, out, x, w, **how: _transpose_onto(x, g, w, **how),
                                            r"\sum_{o,\; si + du - p \,=\, j} w_{ocu} \, g_{oi}"),
    (lambda g, out, x, w, **how: conv_weight(g, x, kernel=w.shape[2:], **how),
                                            r"\sum_i g_{oi} \, x_{c,\, si + du - p}"),
    name="conv")


def _cropped_conv(shape: Ints, x: Array, w: Array, **how: Any) -> Array:
    """Return the convolution cut to a shape, since the image may have room for more positions than were used."""
    y = convolution(x, w, **how)
    return y if y.shape == shape else y[tuple(slice(n) for n in shape)]


def _conv_transpose(
    x: Array, w: Array, *, stride: Ints, padding: Ints, output_padding: Ints, dilation: Ints, groups: int
) -> Array:
    kernel, taps, channels = w.shape[2:], math.prod(w.shape[2:]), w.shape[1]
    size = _transposed_size(x.shape, w.shape, stride, padding, dilation, output_padding)
    padded = [n + 2 * p for n, p in zip(size, padding, strict=True)]
    out = np.zeros((len(x), channels * groups, *padded), np.result_type(x, w))
    windows = _windows(out, kernel, x.shape[2:], stride, dilation, groups)
    kernels = w.reshape(groups, len(w) // groups, channels, taps).transpose(0, 3, 2, 1)
    kernels = kernels.reshape(groups, taps * channels, len(w) // groups)
    for seen, memory, part in _blocks(windows, x):
        parts = _product(kernels, part, memory) if kernels.shape[2] > 1 else np.multiply(kernels, part, out=memory)
        parts = parts.reshape(len(part), groups, taps, channels, *seen.shape[1 + x.ndim :])
        for i, tap in enumerate(np.ndindex(*kernel)):  # for one tap, no two positions cover the same pixel, so += works
            seen[(slice(None), slice(None), slice(None), *tap)] += parts[:, :, i]
    return out[inner_index(size, padding)].copy() if any(padding) else out

transposed: Primitive = declare(_conv_transpose, r"y_{cj} = \sum_{o,\; si + du - p \,=\, j} w_{ocu} \, x_{oi}",
    (lambda g, out, x, w, output_padding, **how: _cropped_conv(x.shape, g, w, **how),
                                            r"\sum_{c,u} w_{ocu} \, g_{c,\, si + du - p}"),
    (lambda g, out, x, w, output_padding, **how: conv_weight(x, g, kernel=w.shape[2:], **how),
                                            r"\sum_i x_{oi} \, g_{c,\, si + du - p}"),
    name="conv_transpose")


def _joined(y: Array) -> Array:
    """Return (samples, groups, rows, pixels) as (1, groups, rows, all samples' pixels)."""
    return y.transpose(1, 2, 0, 3).reshape(1, *y.shape[1:3], len(y) * y.shape[3])


def _conv_weight(
    x: Array, y: Array, *, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> Array:
    taps, channels = math.prod(kernel), y.shape[1] // groups
    windows = _windows(_padded(y, padding), kernel, x.shape[2:], stride, dilation, groups)
    out = np.zeros((groups, x.shape[1] // groups, channels * taps), np.result_type(x, y))
    for seen, memory, part in _blocks(windows, x):
        columns = _columns(seen, memory, taps)
        if len(part) * out.size > BLOCK:  # many samples of few pixels: a single product instead of one per sample
            part, columns = _joined(part), _joined(columns)
        each = np.empty((len(part), *out.shape), out.dtype)
        out += _product(part, columns.mT, each).sum(axis=0)
    return out.reshape(x.shape[1], channels, *kernel)

conv_weight: Primitive = declare(_conv_weight, r"w_{ocu} = \sum_i x_{oi} \, y_{c,\, si + du - p}",
    (lambda g, out, x, y, kernel, **how: _cropped_conv(x.shape, y, g, **how),
                                            r"\sum_{c,u} g_{ocu} \, y_{c,\, si + du - p}"),
    (lambda g, out, x, y, kernel, **how: _transpose_onto(y, x, g, **how),
                                            r"\sum_{o,\; si + du - p \,=\, j} g_{ocu} \, x_{oi}"))


# fmt: on


# -- The public functions, and the checks of their arguments

def _check(call: str, x: Array, w: Array, groups: Any) -> None:
    """Raise ValueError if x and w have the wrong number of axes, or if groups does not divide the channels."""
    if x.ndim != w.ndim or x.ndim < 3:
        raise ValueError(_AXES.format(call=call, x=x.shape, w=w.shape))
    per_axis(call, "kernel", w.shape[2:], w.ndim - 2, 1)
    per_axis(call, "groups", groups, 1, 1)
    for n, what in ((x.shape[1], "channels of x"), (w.shape[0], "kernels in w")):
        if n % groups:
            may = " or ".join(str(d) for d in range(1, math.gcd(x.shape[1], w.shape[0]) + 1)
                              if x.shape[1] % d == w.shape[0] % d == 0)  # fmt: skip
            raise ValueError(_GROUPS.format(call=call, groups=groups, n=n, what=what, x=x.shape, w=w.shape, may=may))


def conv(
    x: Array, w: Array, *, stride: Size = 1, padding: Size = 0, dilation: Size = 1, groups: int = 1
) -> Array:
    r"""Convolve a batch of images with kernels over one or more axes; as usual in neural networks, without flipping.

    .. math:: y_{noi} = \sum_{c,u} w_{ocu} \, x_{n,\, c,\, s i + d u - p}

    Args:
        x: images, ``(batch, c_in, *spatial)``; padding is zeros.
        w: kernels, ``(c_out, c_in / groups, *kernel)``.
        stride, padding, dilation: s, p and d, one number or one per spatial axis.
        groups: the number of parts that the channels are divided into, each with c_out / groups kernels of its own.

    Returns:
        ``(batch, c_out, *positions)``, with ``(n + 2 p - d (k - 1) - 1) // s + 1`` positions along each axis.

    Raises:
        ValueError: shapes do not fit, or an option is not an integer.

    Source: LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to document recognition (1998), section 2;
        dilation: Yu & Koltun (2016); groups: Krizhevsky, Sutskever & Hinton (2012).

    Example:
        >>> conv(np.arange(4.0).reshape(1, 1, 4), np.array([[[1.0, 10.0]]])).tolist()
        [[[10.0, 21.0, 32.0]]]
    """
    _check("conv", x, w, groups)
    if x.shape[1] != w.shape[1] * groups:
        need = (w.shape[0], x.shape[1] // groups, *w.shape[2:])
        raise ValueError(_CHANNELS.format(
            call="conv", x=x.shape, w=w.shape, groups=groups, n=w.shape[1] * groups, need=need))  # fmt: skip
    how = _options("conv", x.ndim - 2, stride, padding, dilation)
    positions("conv", x, w.shape[2:], **how)
    return convolution(x, w, **how, groups=int(groups))


def conv_transpose(
    x: Array, w: Array, *,
    stride: Size = 1, padding: Size = 0, output_padding: Size = 0, dilation: Size = 1, groups: int = 1,
) -> Array:  # fmt: skip
    r"""Return the transposed convolution: each pixel adds a kernel, scaled by it, to a larger image.

    It is the transpose of `conv` as a linear map of its images.

    .. math:: y_{n,\, c,\, j} = \sum_{o,\; s i + d u - p \,=\, j} w_{ocu} \, x_{noi}

    Args:
        x: images, ``(batch, c_in, *spatial)``.
        w: kernels, ``(c_in, c_out / groups, *kernel)``.
        stride, dilation, groups: as for `conv`.
        padding: p, the number of pixels that are cropped from the result at each end.
        output_padding: the number of pixels added at the far end, since `conv` maps several sizes to the same one. It
            is smaller than stride or dilation.

    Returns:
        ``(batch, c_out, *size)``, with ``(n - 1) s - 2 p + d (k - 1) + 1 + output_padding`` pixels along each axis.

    Raises:
        ValueError: shapes do not fit, an option is not an integer, output_padding is too large, or the result would be
            empty.

    Source: Zeiler, Krishnan, Taylor & Fergus, Deconvolutional networks (2010); Dumoulin & Visin, A guide to
        convolution arithmetic for deep learning (2016), section 4.

    Example:
        >>> conv_transpose(np.array([[[1.0, 2.0]]]), np.array([[[1.0, 10.0]]])).tolist()
        [[[1.0, 12.0, 20.0]]]
    """
    _check("conv_transpose", x, w, groups)
    if x.shape[1] != w.shape[0]:
        raise ValueError(_CHANNELS.format(
            call="conv_transpose", x=x.shape, w=w.shape, groups=groups, n=w.shape[0], need=(x.shape[1], *w.shape[1:])
        ))  # fmt: skip
    how = _options("conv_transpose", x.ndim - 2, stride, padding, dilation)
    more = added_pixels("conv_transpose", output_padding, how["stride"], how["dilation"])
    size = _transposed_size(x.shape, w.shape, output_padding=more, **how)
    if min(*size, *x.shape[2:]) < 1:
        raise ValueError(
            _NOTHING.format(call="conv_transpose", x=x.shape, w=w.shape, padding=how["padding"], size=size)
        )
    return transposed(x, w, **how, output_padding=more, groups=int(groups))


def _options(call: str, axes: int, stride: Size, padding: Size, dilation: Size) -> dict[str, Ints]:
    return {
        "stride": per_axis(call, "stride", stride, axes, 1), "padding": per_axis(call, "padding", padding, axes, 0),
        "dilation": per_axis(call, "dilation", dilation, axes, 1),
    }  # fmt: skip


METHODS.update(conv=conv, conv_transpose=conv_transpose)
