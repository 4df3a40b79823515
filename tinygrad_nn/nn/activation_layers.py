"""Activations with a parameter or an option, as modules; all others are functions, which `Sequential` takes too."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops.activations import glu, prelu
from .linear import as_input, parameter, width
from .module import Module


class PReLU(Module):
    r"""A rectifier whose slope below zero is learned, one for all channels or one for each.

    .. math:: y = \max(x, 0) + \alpha \min(x, 0)

    Args:
        channels: 1, or the length of the second axis of x.
        slope: alpha at first.
        dtype: of the weight, ``float`` or ``np.float32``.

    Attributes:
        weight: alpha, a Tensor ``(channels,)``.

    Raises:
        ValueError: from a call, x has other channels.

    Source: He et al., Delving deep into rectifiers (2015), equation 1; names and defaults of PyTorch.

    Example:
        >>> PReLU()([-4.0, 2.0]).data.tolist()
        [-1.0, 2.0]
    """

    def __init__(self, channels: int = 1, slope: float = 0.25, *, dtype: Any = np.float64) -> None:
        self.channels = width("PReLU", "channels", channels)
        self.weight = parameter(np.full(self.channels, slope), dtype)

    def forward(self, x: Any) -> Any:
        """Return x, scaled where it is negative, of its shape."""
        x = as_input(x, self.weight.dtype)
        if self.channels == 1:
            return prelu(x, self.weight.reshape(()))
        if x.ndim < 2 or x.shape[1] != self.channels:
            raise ValueError(f"{self!r} takes (batch, {self.channels}, *spatial); x has shape {x.shape}.")
        return prelu(x, self.weight.reshape(self.channels, *(1,) * (x.ndim - 2)))

    def about(self) -> str:
        """Return the number of channels."""
        return "" if self.channels == 1 else f"{self.channels}"


class GLU(Module):
    r"""A gated linear unit: half of an axis, times the sigmoid of the other half.

    .. math:: y = x_1 \odot \sigma(x_2)

    Args:
        axis: which is halved.

    Raises:
        ValueError: from a call, the axis has an odd length.

    Source: Dauphin, Fan, Auli & Grangier, Language modeling with gated convolutional networks (2016), equation 1.

    Example:
        >>> GLU()(np.array([[1.0, 2.0, 0.0, 0.0]])).tolist()
        [[0.5, 1.0]]
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = int(axis)

    def forward(self, x: Any) -> Any:
        """Return half of x."""
        return glu(x, axis=self.axis)

    def about(self) -> str:
        """Return the axis, where it is not the last."""
        return "" if self.axis == -1 else f"{self.axis}"
