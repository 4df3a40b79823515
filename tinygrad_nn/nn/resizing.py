"""Layers that enlarge images: by padding, by repeating each pixel, or by pixels made of channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops.convolution import per_axis
from . import functional as F
from .keywords import RECOMPUTED, pytorch_names
from .linear import as_array
from .module import Module

Size = int | tuple[int, ...]


class _Padding(Module):
    """Base of the layers that pad images."""

    mode = "constant"

    def __init__(self, padding: Size) -> None:
        sides = tuple(padding) if isinstance(padding, (tuple, list)) else (padding,) * 4
        if len(sides) != 4 or not all(isinstance(n, (int, np.integer)) for n in sides):
            raise TypeError(
                f"{type(self).__name__}: padding={padding!r:.60}; it needs a whole number, or one for each side: "
                "(left, right, top, bottom)."
            )
        self.padding = sides

    def forward(self, x: Any) -> Any:
        """Return the padded x."""
        return F.pad(as_array(x), self.padding, mode=self.mode)

    def about(self) -> str:
        """Return the padding at each end."""
        return f"{self.padding}"


class ZeroPad2d(_Padding):
    """Pad images with zeros.

    Args:
        padding: the number of pixels at every side, or (left, right, top, bottom).

    Example:
        >>> ZeroPad2d((1, 0, 0, 0))(np.ones((1, 1, 1, 2))).tolist()
        [[[[0.0, 1.0, 1.0]]]]
    """


class ReflectionPad2d(_Padding):
    """Pad images with their own pixels mirrored at the edges; ``padding`` is that of `ZeroPad2d`."""

    mode = "reflect"


class ReplicationPad2d(_Padding):
    """Pad images by repeating the pixels at the edges; ``padding`` is that of `ZeroPad2d`."""

    mode = "replicate"


@pytorch_names(RECOMPUTED, "recompute_scale_factor")
class Upsample(Module):
    """Repeat each pixel an integer number of times along each spatial axis, or interpolate.

    Args:
        size: the lengths of the spatial axes of the result, one number or one per axis.
        scale_factor: instead of it, the number of times, one number or one per spatial axis.
        mode: ``'nearest'``, ``'linear'``, ``'bilinear'`` or ``'trilinear'``.
        align_corners: of an interpolation; see `functional.interpolate`.

    Raises:
        NotImplementedError: another mode.
        ValueError: neither size nor scale_factor, or both; from a call, a size that is not a multiple.

    Example:
        >>> Upsample(scale_factor=2)(np.ones((1, 1, 2, 3))).shape
        (1, 1, 4, 6)
    """

    def __init__(
        self, size: Size | None = None, scale_factor: Size | None = None, mode: str = "nearest",
        align_corners: bool | None = None,
    ) -> None:  # fmt: skip
        if mode not in ("nearest", "linear", "bilinear", "trilinear"):
            raise NotImplementedError(f"Upsample: mode={mode!r} is not supported; use 'nearest', followed by a Conv2d.")
        if mode == "nearest" and align_corners is not None:
            raise NotImplementedError(
                f"Upsample: align_corners={align_corners} with mode='nearest', where pixels are repeated, not "
                "interpolated; leave it out, or write mode='bilinear'."
            )
        if (size is None) == (scale_factor is None):
            raise ValueError("Upsample needs either the size or the scale_factor, e.g. Upsample(scale_factor=2).")
        self.size, self.scale_factor, self.mode, self.align_corners = size, scale_factor, mode, align_corners

    def forward(self, x: Any) -> Any:
        """Return ``(batch, channels, *larger)`` for ``(batch, channels, *spatial)``."""
        return F.interpolate(as_array(x), self.size, self.scale_factor, self.mode, self.align_corners)

    def about(self) -> str:
        """Return the size or the factor."""
        return f"scale_factor={self.scale_factor}" if self.size is None else f"size={self.size}"


@pytorch_names()
class PixelShuffle(Module):
    """Make r x r pixels of every r² channels: ``(batch, c r², h, w)`` becomes ``(batch, c, h r, w r)``.

    Args:
        upscale_factor: how many times longer the two spatial axes become, r.

    Raises:
        ValueError: `upscale_factor` is no whole number above 0; (from a call) the number of channels is no multiple of
            r².

    Example:
        >>> PixelShuffle(2)(np.arange(4.0).reshape(1, 4, 1, 1)).tolist()
        [[[[0.0, 1.0], [2.0, 3.0]]]]
    """

    def __init__(self, upscale_factor: int) -> None:
        (self.upscale_factor,) = per_axis("PixelShuffle", "upscale_factor", upscale_factor, 1, 1)

    def forward(self, x: Any) -> Any:
        """Return ``(batch, c, h r, w r)``."""
        return F.pixel_shuffle(as_array(x), self.upscale_factor)

    def about(self) -> str:
        """Return the factor."""
        return f"upscale_factor={self.upscale_factor}"
