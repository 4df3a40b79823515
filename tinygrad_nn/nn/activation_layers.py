"""Activations as modules, with PyTorch's names and options; `Sequential` also takes the functions themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops.activations import (
    celu,
    elu,
    gelu,
    glu,
    hard_sigmoid,
    hard_swish,
    hard_tanh,
    mish,
    prelu,
    selu,
    silu,
    softsign,
)
from ..ops.elementwise import tanh
from ..ops.neural import leaky_relu, log_softmax, relu, sigmoid, softmax
from ..ops.special import log_sigmoid, softplus
from ..tensor import raw
from .function_layers import FunctionLayer, layer_of
from .keywords import pytorch_names
from .linear import as_array, as_input, check_channels, check_count, parameter
from .module import Module


@pytorch_names(None, "device dtype", num_parameters="channels", init="slope")
class PReLU(Module):
    r"""A rectifier with a learned slope below zero, one for all channels or one per channel.

    .. math:: y = \max(x, 0) + \alpha \min(x, 0)

    Args:
        channels: 1, or the length of the second axis of x.
        slope: the initial value of alpha.
        dtype: of the weight, ``float`` or ``np.float32``.

    Attributes:
        weight: alpha, a Tensor ``(channels,)``.

    Raises:
        ValueError: from a call, if x has another number of channels.

    Source: He et al., Delving deep into rectifiers (2015), equation 1; names and defaults of PyTorch.

    Example:
        >>> PReLU()([-4.0, 2.0]).data.tolist()
        [-1.0, 2.0]
    """

    def __init__(self, channels: int = 1, slope: float = 0.25, *, dtype: Any = np.float64) -> None:
        self.channels = check_count("PReLU", "channels", channels)
        self.weight = parameter(np.full(self.channels, slope), dtype)

    def forward(self, x: Any) -> Any:
        """Return x with its negative entries scaled, of the same shape."""
        x = as_input(x, self.weight.dtype)
        if self.channels == 1:
            return prelu(x, self.weight.reshape(()))
        check_channels(self, x, self.channels)
        return prelu(x, self.weight.reshape(self.channels, *(1,) * (x.ndim - 2)))

    def about(self) -> str:
        """Return the number of channels, unless it is 1."""
        return "" if self.channels == 1 else f"{self.channels}"


@pytorch_names(dim="axis")
class GLU(Module):
    r"""A gated linear unit: half of an axis, times the sigmoid of the other half.

    .. math:: y = x_1 \odot \sigma(x_2)

    Args:
        axis: the axis that is split into halves.

    Raises:
        ValueError: from a call, if the axis has an odd length.

    Source: Dauphin, Fan, Auli & Grangier, Language modeling with gated convolutional networks (2016), equation 1.

    Example:
        >>> GLU()(np.array([[1.0, 2.0, 0.0, 0.0]])).tolist()
        [[0.5, 1.0]]
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = int(axis)

    def forward(self, x: Any) -> Any:
        """Return the first half of x times the sigmoid of the second half."""
        return glu(as_array(x), axis=self.axis)

    def about(self) -> str:
        """Return the axis, unless it is the last."""
        return "" if self.axis == -1 else f"{self.axis}"


def relu6(x: Any) -> Any:
    """Return min(max(x, 0), 6)."""
    return hard_tanh(x, low=0.0, high=6.0)


def softmin(x: Any, axis: int = -1) -> Any:
    """Return softmax(-x)."""
    return softmax(-x, axis=axis)


def tanhshrink(x: Any) -> Any:
    """Return x - tanh(x)."""
    return x - tanh(x)


def softshrink(x: Any, lambd: float = 0.5) -> Any:
    """Return x moved towards 0 by lambd, and 0 where abs(x) is at most lambd."""
    return x - hard_tanh(x, low=-lambd, high=lambd) if lambd else x


def hardshrink(x: Any, lambd: float = 0.5) -> Any:
    """Return x, and 0 where abs(x) is at most lambd; NaN stays."""
    return np.where(abs(raw(x)) <= lambd, 0, x)


def threshold(x: Any, threshold: float | None, value: float | None, inplace: bool = False) -> Any:
    """Return x where it is above the threshold, and `value` elsewhere; NaN stays."""
    if threshold is None or value is None:
        raise TypeError("Threshold needs a threshold and a value, e.g. Threshold(0.1, 0.0).")
    return np.where(raw(x) <= threshold, value, x)


def _softplus(x: Any, beta: float, threshold: float) -> Any:
    return softplus(x, beta=beta)  # exact for all x, so PyTorch's threshold is not needed


def _layer(name: str, function: Any, text: str, /, *options: Any) -> type[FunctionLayer]:
    return layer_of(name, function, f"{text}\n\nThe options are PyTorch's; inplace= has no effect.", *options,
                    module=__name__)  # fmt: skip


_DIM = ("dim", -1, "axis")
ReLU = _layer("ReLU", relu, "max(x, 0); the slope at 0 is 0.")
ReLU6 = _layer("ReLU6", relu6, "min(max(x, 0), 6); the slope at 0 and 6 is 0.")
LeakyReLU = _layer("LeakyReLU", leaky_relu, "x, scaled by negative_slope below 0.", ("negative_slope", 0.01, "alpha"))
ELU = _layer("ELU", elu, "x, and alpha (exp(x) - 1) below 0.", ("alpha", 1.0))
SELU = _layer("SELU", selu, "The scaled ELU that keeps mean 0 and variance 1.")
CELU = _layer("CELU", celu, "x, and alpha (exp(x / alpha) - 1) below 0.", ("alpha", 1.0))
GELU = _layer("GELU", gelu, "x times the normal distribution function of x.", ("approximate", "none"))
SiLU = _layer("SiLU", silu, "x sigmoid(x), also called swish.")
Mish = _layer("Mish", mish, "x tanh(softplus(x)).")
Tanh = _layer("Tanh", tanh, "tanh(x).")
Sigmoid = _layer("Sigmoid", sigmoid, "1 / (1 + exp(-x)).")
LogSigmoid = _layer("LogSigmoid", log_sigmoid, "ln(sigmoid(x)), exact however small.")
Softplus = _layer("Softplus", _softplus, "ln(1 + exp(beta x)) / beta, exact for all x; the threshold has no effect.",
                  ("beta", 1.0), ("threshold", 20.0))  # fmt: skip
Softsign = _layer("Softsign", softsign, "x / (1 + |x|).")
Softmax = _layer("Softmax", softmax, "exp(x) over its sum along dim, by default the last axis.", _DIM)
Softmin = _layer("Softmin", softmin, "softmax(-x) along dim, by default the last axis.", _DIM)
LogSoftmax = _layer("LogSoftmax", log_softmax, "ln(softmax(x)) along dim, by default the last axis.", _DIM)
Hardtanh = _layer("Hardtanh", hard_tanh, "x clipped to min_val and max_val.",
                  ("min_val", -1.0, "low"), ("max_val", 1.0, "high"))  # fmt: skip
Hardsigmoid = _layer("Hardsigmoid", hard_sigmoid, "(x + 3) / 6 clipped to 0 and 1.")
Hardswish = _layer("Hardswish", hard_swish, "x (x + 3) / 6, 0 below -3 and x above 3.")
Tanhshrink = _layer("Tanhshrink", tanhshrink, "x - tanh(x).")
Softshrink = _layer("Softshrink", softshrink, "x moved towards 0 by lambd, 0 if |x| is at most lambd.", ("lambd", 0.5))
Hardshrink = _layer("Hardshrink", hardshrink, "x, and 0 where |x| is at most lambd.", ("lambd", 0.5))
Threshold = _layer("Threshold", threshold, "x where it is above the threshold, and `value` elsewhere.",
                   ("threshold", None), ("value", None))  # fmt: skip
