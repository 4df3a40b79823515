"""Layers that enlarge images: by padding, or by repeating each pixel."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import functional as F
from .module import Module

Size = int | tuple[int, ...]


class _Padding(Module):
    """Base of the layers that pad images."""

    mode = "constant"
    axes = 2

    def __init__(self, padding: Size) -> None:
        self.padding = (int(padding),) * (2 * self.axes) if np.ndim(padding) == 0 else tuple(padding)  # type: ignore[arg-type]

    def forward(self, x: Any) -> Any:
        """Return the padded x."""
        return F.pad(x, self.padding, mode=self.mode)

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


class Upsample(Module):
    """Repeat each pixel an integer number of times along each spatial axis.

    Args:
        scale_factor: the number of times, one number or one per spatial axis.
        mode: only ``'nearest'`` is supported.

    Raises:
        NotImplementedError: another mode.

    Example:
        >>> Upsample(scale_factor=2)(np.ones((1, 1, 2, 3))).shape
        (1, 1, 4, 6)
    """

    def __init__(self, scale_factor: Size, mode: str = "nearest") -> None:
        if mode != "nearest":
            raise NotImplementedError(f"Upsample: mode={mode!r} is not supported; use 'nearest', followed by a Conv2d.")
        self.scale_factor, self.mode = scale_factor, mode

    def forward(self, x: Any) -> Any:
        """Return ``(batch, channels, *larger)`` for ``(batch, channels, *spatial)``."""
        return F.interpolate(x, scale_factor=self.scale_factor)

    def about(self) -> str:
        """Return the factor."""
        return f"scale_factor={self.scale_factor}"
