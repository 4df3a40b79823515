"""Layers that change the size of images: by repeated pixels, or pixels made of channels, and back."""

from __future__ import annotations

from typing import Any

from ..ops.convolution import per_axis
from . import functional as F
from .function_layers import layer_of
from .keywords import RECOMPUTED, pytorch_names
from .linear import as_array
from .module import Module

Size = int | tuple[int, ...]


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
        >>> import numpy as np
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
        >>> import numpy as np
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


PixelUnshuffle = layer_of("PixelUnshuffle", F.pixel_unshuffle, "Make r² channels of every r x r pixels; the inverse of "
                          "`PixelShuffle`.", ("downscale_factor", None), module=__name__)  # fmt: skip
Unfold = layer_of("Unfold", F.unfold, "The windows of images as columns; see `functional.unfold`.",
                  ("kernel_size", None), ("dilation", 1), ("padding", 0), ("stride", 1), module=__name__)  # fmt: skip
Fold = layer_of("Fold", F.fold, "Images in which each pixel sums its entries in all windows; see `functional.fold`.",
                ("output_size", None), ("kernel_size", None), ("dilation", 1), ("padding", 0), ("stride", 1),
                module=__name__)  # fmt: skip
