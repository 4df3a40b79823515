"""Functions of images: larger or smaller ones, pixels made of channels, and the windows that a convolution sees."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops.convolution import per_axis
from ..tensor import Tensor

Size = int | tuple[int, ...]
_LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3}  # how many spatial axes each mode needs


def interpolate(
    input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None
) -> Any:
    """Return ``(batch, channels, *spatial)`` with more or fewer pixels.

    Args:
        input: the images; size: the lengths of the spatial axes of the result, one number or one per axis.
        scale_factor: instead of size, how many times longer the axes become.
        mode: ``"nearest"`` repeats each pixel a whole number of times; ``"linear"``, ``"bilinear"`` and
            ``"trilinear"`` interpolate along one, two and three axes, to any size.
        align_corners: for these, whether the outermost pixels of both images are at the same places, not the edges.

    Raises:
        ValueError: neither size nor scale_factor, or both, or the mode does not fit the number of axes.
        NotImplementedError: another mode.

    Example:
        >>> interpolate(np.array([[[0.0, 1.0]]]), scale_factor=2, mode="linear").tolist()
        [[[0.0, 0.25, 0.75, 1.0]]]
    """
    if mode != "nearest" and mode not in _LINEAR:
        raise NotImplementedError(f"interpolate: mode={mode!r} is not supported; 'nearest', {', '.join(_LINEAR)} are.")
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate needs either the size or the scale_factor, e.g. scale_factor=2.")
    spatial = input.shape[2:]
    given = size if scale_factor is None else scale_factor
    each = tuple(given) if isinstance(given, (tuple, list)) else (given,) * len(spatial)
    times = [m / n for m, n in zip(each, spatial, strict=True)] if scale_factor is None else each
    if mode == "nearest":
        return _repeat(input, times, spatial)
    if len(spatial) != _LINEAR[mode]:
        right = next((name for name, axes in _LINEAR.items() if axes == len(spatial)), "nearest")
        raise ValueError(
            f"interpolate: mode={mode!r} needs {_LINEAR[mode]} spatial axes; the input has {len(spatial)}. Write "
            f"mode={right!r}."
        )
    for axis, (n, factor) in enumerate(zip(spatial, times, strict=True), start=2):
        m = each[axis - 2] if scale_factor is None else int(n * factor)
        weights = _weights(n, m, 1 / factor, bool(align_corners)).astype(input.dtype)  # (m, n)
        input = np.moveaxis(np.moveaxis(input, axis, -1) @ weights.T, -1, axis)
    return input


def _repeat(input: Any, times: Any, spatial: tuple[int, ...]) -> Any:
    if any(n != int(n) or n < 1 for n in times):
        raise ValueError(
            f"interpolate repeats pixels a whole number of times; for {spatial} that would be {tuple(times)}."
        )
    for axis, n in enumerate(times, start=2):
        input = np.repeat(input, int(n), axis=axis)
    return input


def _weights(n: int, m: int, ratio: float, align_corners: bool) -> np.ndarray[Any, Any]:
    """Return the shares, (m, n), that n pixels have in m new ones, which are `ratio` old pixels apart."""
    k = np.arange(m)
    at = k * ((n - 1) / max(m - 1, 1)) if align_corners else np.maximum((k + 0.5) * ratio - 0.5, 0)
    left = np.minimum(np.floor(at).astype(int), n - 1)
    share, weights = np.minimum(at - left, 1), np.zeros((m, n))
    np.add.at(weights, (k, left), 1 - share)
    np.add.at(weights, (k, np.minimum(left + 1, n - 1)), share)
    return weights


def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """Make r x r pixels of every r² channels: ``(*, c r², height, width)`` becomes ``(*, c, height r, width r)``."""
    r, (*front, channels, height, width) = upscale_factor, input.shape
    if channels % r**2:
        raise ValueError(f"pixel_shuffle by {r} needs a multiple of {r**2} channels; the input has {channels}.")
    k = len(front)
    parts = input.reshape(*front, channels // r**2, r, r, height, width)
    mixed = np.transpose(parts, (*range(k + 1), k + 3, k + 1, k + 4, k + 2))
    return mixed.reshape(*front, channels // r**2, height * r, width * r)


def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """Make r² channels of every r x r pixels: ``(*, c, height r, width r)`` becomes ``(*, c r², height, width)``."""
    (r,), (*front, channels, height, width) = per_axis(
        "pixel_unshuffle", "downscale_factor", downscale_factor, 1, 1
    ), input.shape
    if height % r or width % r:
        raise ValueError(
            f"pixel_unshuffle by {r} needs heights and widths that are multiples of {r}; the input has {height} and "
            f"{width}. Write F.pad(x, (0, {-width % r}, 0, {-height % r}))."
        )
    k = len(front)
    parts = input.reshape(*front, channels, height // r, r, width // r, r)
    mixed = np.transpose(parts, (*range(k + 1), k + 2, k + 4, k + 1, k + 3))
    return mixed.reshape(*front, channels * r**2, height // r, width // r)


def channel_shuffle(input: Any, groups: int) -> Any:
    """Take channels in turn from each of several groups: the first ones of all groups, then the second ones, ..."""
    n, channels, *spatial = input.shape
    (groups,) = per_axis("channel_shuffle", "groups", groups, 1, 1)
    if channels % groups:
        raise ValueError(f"channel_shuffle: {channels} channels cannot be divided into {groups} groups of equal size.")
    return np.swapaxes(input.reshape(n, groups, channels // groups, *spatial), 1, 2).reshape(input.shape)


def _windows(
    call: str, shape: Any, kernel_size: Size, dilation: Size, padding: Size, stride: Size
) -> tuple[tuple[int, ...], tuple[int, ...], Any]:
    """Return the padding, the kernel's lengths, and the rows and columns of each pixel of each window."""
    kernel, steps = per_axis(call, "kernel_size", kernel_size, 2, 1), per_axis(call, "stride", stride, 2, 1)
    apart, edge = per_axis(call, "dilation", dilation, 2, 1), per_axis(call, "padding", padding, 2, 0)
    places = []
    for n, k, d, p, s in zip(shape, kernel, apart, edge, steps, strict=True):
        count = (n + 2 * p - d * (k - 1) - 1) // s + 1
        if count < 1:
            raise ValueError(f"{call}: a window of {d * (k - 1) + 1} pixels does not fit into {n + 2 * p}.")
        places.append(d * np.arange(k)[:, None] + s * np.arange(count))
    return edge, kernel, (places[0][:, None, :, None], places[1][None, :, None, :])


def unfold(input: Any, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1) -> Any:
    """Return the windows of images as columns: ``(batch, channels * kernel, windows)``, which a convolution multiplies.

    Example:
        >>> unfold(np.arange(4.0).reshape(1, 1, 2, 2), (1, 2)).tolist()
        [[[0.0, 2.0], [1.0, 3.0]]]
    """
    n, channels, height, width = input.shape
    (up, left), kernel, places = _windows("unfold", (height, width), kernel_size, dilation, padding, stride)
    padded = np.pad(input, ((0, 0), (0, 0), (up, up), (left, left))) if up or left else input
    return padded[(slice(None), slice(None), *places)].reshape(n, channels * kernel[0] * kernel[1], -1)


def fold(
    input: Any, output_size: Size, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
) -> Any:
    """Return images, ``(batch, channels, *output_size)``, in which each pixel sums its entries in all windows.

    Example:
        >>> fold(np.ones((1, 2, 2)), (1, 3), (1, 2)).data.tolist()
        [[[[1.0, 2.0, 1.0]]]]
    """
    height, width = per_axis("fold", "output_size", output_size, 2, 1)
    (up, left), kernel, places = _windows("fold", (height, width), kernel_size, dilation, padding, stride)
    n, channels, windows = input.shape[0], input.shape[1] // (kernel[0] * kernel[1]), np.broadcast(*places).shape
    if input.shape != (n, channels * kernel[0] * kernel[1], windows[2] * windows[3]):
        raise ValueError(f"fold: the input has shape {input.shape}; for images of {height} x {width} it needs {n} x "
                         f"(a multiple of {kernel[0] * kernel[1]}) x {windows[2] * windows[3]}.")  # fmt: skip
    zeros = Tensor(np.zeros((n, channels, height + 2 * up, width + 2 * left), input.dtype), requires_grad=False)
    image = zeros.at[(slice(None), slice(None), *places)].add(input.reshape(n, channels, *windows))
    return image[:, :, up : up + height, left : left + width]
