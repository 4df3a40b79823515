"""The ONNX operators that slide a window over an image: convolutions and poolings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ops.convolution import conv, conv_transpose
from ..ops.pooling import avg_pool, max_pool, overhang
from ..tensor import raw
from .attributes import Function, Node


def _steps(node: Node, axes: int) -> tuple[list[int], list[int]]:
    """Return the strides and the dilations."""
    return getattr(node, "strides", [1] * axes), getattr(node, "dilations", [1] * axes)


def _padding(node: Node, axes: int, lengths: Sequence[int], kernel: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the padding before and the padding after, one number per spatial axis each."""
    how = getattr(node, "auto_pad", "NOTSET")
    if how in ("NOTSET", ""):
        pads = getattr(node, "pads", [0] * (2 * axes))
        return pads[:axes], pads[axes:]
    if how == "VALID":
        return [0] * axes, [0] * axes
    if how not in ("SAME_UPPER", "SAME_LOWER"):
        raise NotImplementedError(
            f"the attribute auto_pad={how} is not supported; NOTSET, VALID, SAME_UPPER and SAME_LOWER are"
        )
    both = []
    for n, k, s, d in zip(lengths, kernel, *_steps(node, axes), strict=True):
        both.append(max(0, (-(-n // s) - 1) * s + d * (k - 1) + 1 - n))
    small, large = [b // 2 for b in both], [b - b // 2 for b in both]
    return (small, large) if how == "SAME_UPPER" else (large, small)


def _symmetric_padding(x: Any, node: Node, kernel: Sequence[int], fill: float) -> tuple[Any, list[int]]:
    """Return an input and its padding if that is the same on both sides; else the input already padded, and zeros."""
    axes = np.ndim(x) - 2
    before, after = _padding(node, axes, np.shape(x)[2:], kernel)
    if before == after:
        return x, before
    widths = [(0, 0), (0, 0), *zip(before, after, strict=True)]
    return np.pad(x, widths, constant_values=fill), [0] * axes


def _add_bias(out: Any, bias: Any) -> Any:
    return out if bias is None else out + np.reshape(bias, (-1, *[1] * (np.ndim(out) - 2)))


def _kernel_checked(node: Node, kernel: Any) -> None:
    shape = list(np.shape(kernel)[2:])
    if getattr(node, "kernel_shape", shape) != shape:
        raise ValueError(f"the attribute kernel_shape={node.kernel_shape} is not the shape of the kernel, {shape}")


def _conv(node: Node, x: Any, kernel: Any, bias: Any = None) -> Any:
    strides, dilations = _steps(node, np.ndim(x) - 2)
    _kernel_checked(node, kernel)
    x, padding = _symmetric_padding(x, node, np.shape(kernel)[2:], 0.0)
    out = conv(x, kernel, stride=tuple(strides), padding=tuple(padding), dilation=tuple(dilations),
               groups=getattr(node, "group", 1))  # fmt: skip
    return _add_bias(out, bias)


def _conv_transpose(node: Node, x: Any, kernel: Any, bias: Any = None) -> Any:
    axes = np.ndim(x) - 2
    strides, dilations = _steps(node, axes)
    _kernel_checked(node, kernel)
    more = getattr(node, "output_padding", [0] * axes)
    options: dict[str, Any] = {"stride": tuple(strides), "dilation": tuple(dilations)}
    options["groups"] = getattr(node, "group", 1)
    auto = getattr(node, "auto_pad", "NOTSET")
    same, wanted = auto.startswith("SAME"), getattr(node, "output_shape", None)
    before, after = ([0] * axes, [0] * axes) if same else _padding(node, axes, (), ())
    if before == after and not same and wanted is None:
        out = conv_transpose(x, kernel, padding=tuple(before), output_padding=tuple(more), **options)
        return _add_bias(out, bias)
    out = conv_transpose(x, kernel, padding=(0,) * axes, **options)
    cut, fill = [slice(None)] * 2, [(0, 0)] * 2
    for a, full in enumerate(np.shape(out)[2:]):
        if same or wanted is not None:
            length = np.shape(x)[2 + a] * strides[a] if wanted is None else wanted[-axes:][a]
            both = max(0, full + more[a] - length)
            start = both // 2 if auto == "SAME_UPPER" else both - both // 2
        else:
            start, length = before[a], full + more[a] - before[a] - after[a]
        cut.append(slice(start, start + length))
        fill.append((0, max(0, start + length - full)))  # no entry of x reaches so far
    return _add_bias(np.pad(out[tuple(cut)], fill), bias)


# -- pooling


def _pool(node: Node, x: Any) -> tuple[list[int], list[int], list[int]]:
    """Return the padding before, the padding after, and how much further the last window reaches by `ceil_mode`."""
    kernel, lengths = node.kernel_shape, np.shape(x)[2:]
    before, after = _padding(node, len(kernel), lengths, kernel)
    beyond = [0] * len(kernel)
    if getattr(node, "ceil_mode", 0) and getattr(node, "auto_pad", "NOTSET") in ("NOTSET", ""):
        strides, dilations = _steps(node, len(kernel))
        span = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
        beyond = list(overhang(lengths, span, strides, before, after))
    return before, after, beyond


def _taps(node: Node, x: Any) -> list[Any]:
    """Return for each tap of the kernel the pixels of a padded image that it covers at all positions."""
    kernel = node.kernel_shape
    strides, dilations = _steps(node, len(kernel))
    room = [n - d * (k - 1) for n, k, d in zip(np.shape(x)[2:], kernel, dilations, strict=True)]
    taps = []
    for tap in np.ndindex(*kernel):
        first = [u * d for u, d in zip(tap, dilations, strict=True)]
        taps.append(x[(..., *(slice(f, f + n, s) for f, n, s in zip(first, room, strides, strict=True)))])
    return taps


def _widths(before: list[int], *after: list[int]) -> list[tuple[int, int]]:
    return [(0, 0), (0, 0), *((b, sum(more)) for b, *more in zip(before, *after, strict=True))]


def _max_pool(node: Node, x: Any) -> Any:
    kernel, dtype = node.kernel_shape, np.asarray(raw(x)).dtype
    strides, dilations = _steps(node, len(kernel))
    before, after, beyond = _pool(node, x)
    least = -np.inf if dtype.kind == "f" else np.iinfo(dtype).min
    if max(dilations) == 1 and node.outputs == 1 and dtype.kind == "f":
        padding = before
        if before != after or any(beyond):
            x, padding = np.pad(x, _widths(before, after, beyond), constant_values=least), [0] * len(kernel)
        return max_pool(x, tuple(kernel), stride=tuple(strides), padding=tuple(padding))
    taps = np.stack(_taps(node, np.pad(x, _widths(before, after, beyond), constant_values=least)))
    out = np.max(taps, axis=0)
    return out if node.outputs == 1 else (out, _places(node, np.argmax(raw(taps), axis=0), np.shape(x), before))


def _places(node: Node, tap: Any, shape: tuple[int, ...], before: list[int]) -> Any:
    """Return for each window the number of its largest pixel in the image, from the number of its tap."""
    kernel, spatial = node.kernel_shape, shape[2:]
    pixels = []
    for a, u in enumerate(np.unravel_index(tap, kernel)):
        s, d = (steps[a] for steps in _steps(node, len(kernel)))
        start = np.arange(tap.shape[2 + a]) * s - before[a]
        pixels.append(start.reshape(-1, *[1] * (len(kernel) - 1 - a)) + u * d)
    # storage_order=1 counts along the columns of each image
    flat = np.ravel_multi_index(pixels, spatial, order="F" if getattr(node, "storage_order", 0) else "C")
    images = np.arange(shape[0] * shape[1]).reshape(*shape[:2], *[1] * len(kernel))
    return flat + images * int(np.prod(spatial))


def _average_pool(node: Node, x: Any) -> Any:
    kernel = node.kernel_shape
    strides, dilations = _steps(node, len(kernel))
    before, after, beyond = _pool(node, x)
    padded = bool(getattr(node, "count_include_pad", 0))
    if max(dilations) == 1 and before == after and not any(beyond):
        return avg_pool(x, tuple(kernel), stride=tuple(strides), padding=tuple(before), count_include_pad=padded)
    pixels = np.ones((1, 1, *np.shape(x)[2:]), raw(x).dtype)
    pixels = np.pad(np.pad(pixels, _widths(before, after), constant_values=padded), _widths([0] * len(kernel), beyond))
    sums = np.sum(np.stack(_taps(node, np.pad(x, _widths(before, after, beyond)))), axis=0)
    return sums / sum(_taps(node, pixels))


def _reduce_pixels(function: Callable[..., Any]) -> Function:
    return lambda node, x: function(x, axis=tuple(range(2, np.ndim(x))), keepdims=True)


WINDOWS: dict[str, Function] = {
    "Conv": _conv, "ConvTranspose": _conv_transpose, "MaxPool": _max_pool, "AveragePool": _average_pool,
    "GlobalAveragePool": _reduce_pixels(np.mean), "GlobalMaxPool": _reduce_pixels(np.max),
}  # fmt: skip
