"""Normalisation layers: batch, layer, group and instance norm, which differ in their axes, and RMS norm."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ..distributed import current_shard, moments_of_ranks, standardize_of_ranks
from ..ops.normalisation import moments, rms_norm, standardize
from ..ops.reduce import count
from ..tensor import Tensor, raw
from .conv import check_axes
from .keywords import pytorch_names
from .linear import as_input, check_channels, check_count, parameter
from .module import Module

Shape = tuple[int, ...]
_OF_BATCH = {  # options of PyTorch's batch norm that its instance norm accepts too
    "momentum": (..., ""), "track_running_stats": (False, "each sample has statistics of its own; leave it out"),
}  # fmt: skip


@pytorch_names(None, "device dtype", num_features="features")
class BatchNorm(Module):
    r"""Normalise each feature over the batch in training mode, and by the running statistics in eval mode.

    .. math:: y = \gamma \odot \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    Args:
        features: the length of the second axis of ``(batch, features)`` or ``(batch, features, *spatial)``.
        eps: added to the variance, so that the root is not 0.
        momentum: the share by which each call updates the running statistics; ``None`` takes the mean over all calls.
        affine: whether there are a weight and a bias.
        track_running_stats: whether running statistics are kept; otherwise eval mode uses those of the batch too.
        dtype: of parameters and statistics, ``float`` or ``np.float32``.

    Attributes:
        weight, bias: Tensors ``(features,)``, or ``None``.
        running_mean, running_var: arrays ``(features,)``, or ``None``; the variance divides by n - 1.
        num_batches_tracked: the number of calls in the running statistics.

    Raises:
        ValueError: from a call, if x has another number of features, or in training only one value per feature.

    Source: Ioffe & Szegedy, Batch normalization (2015), algorithms 1 and 2; names and defaults of PyTorch.

    Example:
        >>> norm = BatchNorm(2)
        >>> norm([[1.0, 0.0], [3.0, 8.0]]).data.round(3).tolist(), norm.running_mean
        ([[-1.0, -1.0], [1.0, 1.0]], array([0.2, 0.4]))
    """

    axes: ClassVar[int | None] = None  # how many spatial axes x has, None for any number
    buffer_names = ("running_mean", "running_var", "num_batches_tracked")

    def __init__(
        self, features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, *, dtype: Any = np.float64,
    ) -> None:  # fmt: skip
        self.features = check_count("BatchNorm", "features", features)
        self.eps, self.momentum = float(eps), None if momentum is None else float(momentum)
        self._dtype, self.weight, self.bias = _weight_and_bias(self.features, dtype, affine)
        self.running_mean: Any = np.zeros(self.features, self._dtype) if track_running_stats else None
        self.running_var: Any = np.ones(self.features, self._dtype) if track_running_stats else None
        self.num_batches_tracked: Any = np.array(0) if track_running_stats else None

    def forward(self, x: Any) -> Any:
        """Return x normalised, of the same shape; in training mode, update the running statistics."""
        x = as_input(x, self._dtype)
        if self.axes is not None and not (self.axes == 1 and x.ndim in (1, 2)):
            check_axes(self, x, self.axes)
        if x.ndim < 2 or x.shape[1] != self.features:
            raise ValueError(
                f"{self!r} takes (batch, {self.features}) or (batch, {self.features}, *spatial); x has shape {x.shape}."
            )
        column = (self.features, *(1,) * (x.ndim - 2))
        weight, bias = _affine(self.weight, self.bias, column)
        if self.running_mean is not None and not self.training:
            scale = weight / np.sqrt(self.running_var.reshape(column) + self.eps)
            return x * scale + (bias - self.running_mean.reshape(column) * scale)
        axis = (0, *range(2, x.ndim))
        shard = current_shard() if self.training else None
        n = count(x, axis) if shard is None else count(x, axis) // shard.length * shard.total  # over all ranks
        if self.training and n < 2 and not (shard is not None and shard.empty):
            raise ValueError(
                f"{self!r} in training needs more than one value for each feature, otherwise all become 0; x has shape "
                f"{x.shape}. Use a larger batch, or eval(). If this is the last batch of an epoch, with the one "
                "row that is left over, choose another batch_size, or leave a row out."
            )
        out, *known = standardize_batch(x, weight, bias, axis, self.eps, self.training)
        if self.running_mean is not None and self.training:
            self._learn(*known)
        return out

    def _learn(self, mean: Any, var: Any, n: int) -> None:
        """Update the running statistics with those of a batch that has n values per feature."""
        if isinstance(mean, Tensor) and not isinstance(self.running_mean, Tensor):  # traced: it would outlive the trace
            raise TypeError(
                f"{self!r} in training updates its running statistics in each call, which a compiled function cannot "
                "do; use eval(), or track_running_stats=False."
            )
        count = self.num_batches_tracked + 1
        self.num_batches_tracked = count if isinstance(count, Tensor) else np.asarray(count)
        step = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        var = var * (n / (n - 1))
        for name, new in (("running_mean", mean), ("running_var", var)):
            moved = (1 - step) * getattr(self, name) + step * new.reshape(-1)
            setattr(self, name, moved.astype(self._dtype))

    def about(self) -> str:
        """Return the number of features, and the options that differ from their defaults."""
        options = f", momentum={self.momentum}" * (self.momentum != 0.1) + ", affine=False" * (self.weight is None)
        return f"{self.features}{options}" + ", track_running_stats=False" * (self.running_mean is None)


def standardize_batch(
    x: Any, weight: Any, bias: Any, axis: Any, eps: float, training: bool = True
) -> tuple[Any, Any, Any, Any]:  # fmt: skip
    """Return x standardized over the axes, with the mean, the variance and the number of values.

    In training with several ranks (processes that share a batch), the statistics are those of the rows of all ranks.
    """
    shard, plain = current_shard() if training else None, raw(x)
    if shard is None or shard.ranks.size == 1:
        mean, var = moments(plain, axis)
        return standardize(x, weight, bias, axis=axis, eps=eps, moments=(mean, var)), mean, var, count(x, axis)
    if isinstance(plain, np.ndarray):
        known = moments_of_ranks(plain, axis)
        return standardize_of_ranks(x, weight, bias, axis=axis, eps=eps, moments=known), *known
    mean, var, n = moments_of_ranks(x, axis)  # in a trace, where computed values would be frozen as constants
    return (x - mean) * (weight / np.sqrt(var + eps)) + bias, raw(mean), raw(var), raw(n)


@pytorch_names(None, "device dtype", normalized_shape="shape", elementwise_affine="affine")
class LayerNorm(Module):
    r"""Normalise each sample over its last axes.

    .. math:: y = \gamma \odot \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    Args:
        shape: the lengths of the axes to normalise over: a number for the last axis, or a tuple.
        eps: added to the variance, so that the root is not 0.
        affine: whether there is a weight; without it there is no bias either.
        bias: whether there is a bias.
        dtype: of the parameters, ``float`` or ``np.float32``.

    Attributes:
        weight, bias: Tensors of that shape, or ``None``.

    Raises:
        ValueError: from a call, if the shape of x does not end in this shape.

    Source: Ba, Kiros & Hinton, Layer normalization (2016), equation 3; names and defaults of PyTorch.

    Example:
        >>> LayerNorm(2)([[1.0, 3.0], [0.0, 8.0]]).data.round(3).tolist()
        [[-1.0, 1.0], [-1.0, 1.0]]
    """

    def __init__(
        self, shape: int | Shape, eps: float = 1e-5, affine: bool = True, bias: bool = True, *, dtype: Any = np.float64
    ) -> None:
        self.shape, self.eps = _check_shape("LayerNorm", shape), float(eps)
        self._dtype, self.weight, self.bias = _weight_and_bias(self.shape, dtype, affine, bias)

    def forward(self, x: Any) -> Any:
        """Return x normalised, of the same shape."""
        x = as_input(x, self._dtype)
        _check_last_axes(self, x, self.shape)
        weight, bias = _affine(self.weight, self.bias)
        axis = tuple(range(-len(self.shape), 0))
        return standardize(x, weight, bias, axis=axis, eps=self.eps)

    def about(self) -> str:
        """Return the shape, and the options that differ from their defaults."""
        options = ", affine=False" if self.weight is None else ", bias=False" * (self.bias is None)
        return f"{self.shape[0] if len(self.shape) == 1 else self.shape}{options}"


@pytorch_names(None, "device dtype", normalized_shape="shape", elementwise_affine="affine")
class RMSNorm(Module):
    r"""Scale each sample to root mean square 1 over its last axes.

    .. math:: y = \gamma \odot \frac{x}{\sqrt{\overline{x^2} + \epsilon}}

    Args:
        shape: the lengths of the axes that the mean is taken over: a number for the last axis, or a tuple.
        eps: added to the mean square, so that the root is not 0; by default the machine epsilon of the dtype of x.
        affine: whether there is a weight.
        dtype: of the weight, ``float`` or ``np.float32``.

    Attributes:
        weight: a Tensor of that shape, or ``None``.

    Raises:
        ValueError: from a call, if the shape of x does not end in this shape.

    Source: Zhang & Sennrich, Root mean square layer normalization (2019), equation 4; names and defaults of PyTorch.

    Example:
        >>> RMSNorm(2)([[1.0, 7.0]]).data.round(3).tolist()
        [[0.2, 1.4]]
    """

    def __init__(
        self, shape: int | Shape, eps: float | None = None, affine: bool = True, *, dtype: Any = np.float64
    ) -> None:
        self.shape, self.eps = _check_shape("RMSNorm", shape), None if eps is None else float(eps)
        one = parameter(np.ones(self.shape), dtype)
        self._dtype = one.dtype
        self.weight = one if affine else None

    def forward(self, x: Any) -> Any:
        """Return x scaled, of the same shape."""
        x = as_input(x, self._dtype)
        _check_last_axes(self, x, self.shape)
        eps = float(np.finfo(x.dtype).eps) if self.eps is None else self.eps
        weight = 1.0 if self.weight is None else self.weight
        return rms_norm(x, weight, axis=tuple(range(-len(self.shape), 0)), eps=eps)

    def about(self) -> str:
        """Return the shape, and the options that differ from their defaults."""
        shape = self.shape[0] if len(self.shape) == 1 else self.shape
        return f"{shape}" + ", affine=False" * (self.weight is None)


@pytorch_names(None, "device dtype", num_groups="groups", num_channels="channels")
class GroupNorm(Module):
    r"""Normalise each sample over groups of its channels and over its spatial axes.

    .. math:: y = \gamma \odot \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    Args:
        groups: number of groups, a divisor of channels.
        channels: the length of the second axis of ``(batch, channels, *spatial)``.
        eps: added to the variance, so that the root is not 0.
        affine: whether there are a weight and a bias.
        dtype: of the parameters, ``float`` or ``np.float32``.

    Attributes:
        weight, bias: Tensors ``(channels,)``, or ``None``.

    Raises:
        ValueError: groups does not divide channels; from a call, x has another number of channels.

    Source: Wu & He, Group normalization (2018), equations 1 to 3; names and defaults of PyTorch.

    Example:
        >>> GroupNorm(2, 4)([[1.0, 3.0, 0.0, 8.0]]).data.round(3).tolist()
        [[-1.0, 1.0, -1.0, 1.0]]
    """

    def __init__(
        self, groups: int, channels: int, eps: float = 1e-5, affine: bool = True, *, dtype: Any = np.float64
    ) -> None:
        self.groups = check_count("GroupNorm", "groups", groups)
        self.channels = check_count("GroupNorm", "channels", channels)
        if self.channels % self.groups:
            raise ValueError(
                f"GroupNorm: {self.channels} channels cannot be divided into {self.groups} groups of equal size."
            )
        self.eps = float(eps)
        self._dtype, self.weight, self.bias = _weight_and_bias(self.channels, dtype, affine)

    def forward(self, x: Any) -> Any:
        """Return x normalised, of the same shape."""
        x = as_input(x, self._dtype)
        check_channels(self, x, self.channels)
        return standardize_groups(x, self.groups, self.weight, self.bias, self.eps)

    def about(self) -> str:
        """Return the numbers of groups and channels."""
        return f"{self.groups}, {self.channels}" + ", affine=False" * (self.weight is None)


def standardize_groups(x: Any, groups: int, weight: Any, bias: Any, eps: float) -> Any:
    """Return x standardized over groups of channels and the spatial axes, with a weight and a bias of each channel."""
    each = x.shape[1] // groups
    weight, bias = _affine(weight, bias, (groups, each, 1))
    parted = x.reshape(x.shape[0], groups, each, math.prod(x.shape[2:]))
    return standardize(parted, weight, bias, axis=(2, 3), eps=eps).reshape(x.shape)


@pytorch_names(_OF_BATCH, "momentum affine track_running_stats device dtype", num_features="channels")
class InstanceNorm(Module):
    r"""Normalise each channel of each sample over its spatial axes.

    .. math:: y = \gamma \odot \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    Args:
        channels: the length of the second axis of ``(batch, channels, *spatial)``.
        eps: added to the variance, so that the root is not 0.
        affine: whether there are a weight and a bias; by default there are none, as in PyTorch.
        dtype: of the parameters, ``float`` or ``np.float32``.

    Attributes:
        weight, bias: Tensors ``(channels,)``, or ``None``.

    Raises:
        ValueError: from a call, if x has another number of channels, or only one spatial value.

    Source: Ulyanov, Vedaldi & Lempitsky, Instance normalization (2016), equation 2; names of PyTorch.

    Example:
        >>> InstanceNorm(1)([[[1.0, 3.0]], [[0.0, 8.0]]]).round(3).tolist()
        [[[-1.0, 1.0]], [[-1.0, 1.0]]]
    """

    axes: ClassVar[int | None] = None  # how many spatial axes x has, None for any number

    def __init__(self, channels: int, eps: float = 1e-5, *, affine: bool = False, dtype: Any = np.float64) -> None:
        self.channels, self.eps = check_count("InstanceNorm", "channels", channels), float(eps)
        self._dtype, self.weight, self.bias = _weight_and_bias(self.channels, dtype, affine)

    def forward(self, x: Any) -> Any:
        """Return x normalised, of the same shape."""
        x = as_input(x, self._dtype)
        if self.axes is not None:
            check_axes(self, x, self.axes)
        if x.ndim < 3 or x.shape[1] != self.channels or math.prod(x.shape[2:]) == 1:
            raise ValueError(
                f"{self!r} takes (batch, {self.channels}, *spatial), with more than one spatial value; x has shape "
                f"{x.shape}."
            )
        weight, bias = _affine(self.weight, self.bias, (self.channels, *(1,) * (x.ndim - 2)))
        axis = tuple(range(2, x.ndim))
        return standardize(x, weight, bias, axis=axis, eps=self.eps)

    def about(self) -> str:
        """Return the number of channels."""
        return f"{self.channels}" + ", affine=True" * (self.weight is not None)


def _weight_and_bias(shape: Any, dtype: Any, affine: bool, bias: bool = True) -> tuple[Any, Any, Any]:
    """Return the checked dtype, a weight of ones and a bias of zeros; None for those that the layer does not have."""
    weight = parameter(np.ones(shape), dtype)
    return weight.dtype, weight if affine else None, parameter(np.zeros(shape), dtype) if affine and bias else None


def _affine(weight: Any, bias: Any, shape: Shape | None = None) -> tuple[Any, Any]:
    """Return weight and bias in a shape that broadcasts; a missing weight is 1, a missing bias 0."""
    if shape is not None and len(shape) > 1:
        weight, bias = (None if p is None else np.reshape(p, shape) for p in (weight, bias))
    return 1.0 if weight is None else weight, 0.0 if bias is None else bias


def _check_shape(layer: str, shape: Any) -> Shape:
    lengths = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if not lengths:
        raise ValueError(f"{layer}: shape=() has no axis to normalise over.")
    return tuple(check_count(layer, "shape", n) for n in lengths)


def _check_last_axes(layer: Module, x: Any, shape: Shape) -> None:
    if x.shape[-len(shape) :] != shape:
        need = ", ".join(map(str, shape))
        raise ValueError(f"{layer!r} takes (..., {need}); x has shape {x.shape}.")


# -- PyTorch's names, which state the number of spatial axes


class BatchNorm1d(BatchNorm):
    """`BatchNorm` of ``(batch, features)`` or ``(batch, features, n)``."""

    axes = 1


class BatchNorm2d(BatchNorm):
    """`BatchNorm` of ``(batch, features, h, w)``."""

    axes = 2


class InstanceNorm1d(InstanceNorm):
    """`InstanceNorm` of ``(batch, channels, n)``."""

    axes = 1


class InstanceNorm2d(InstanceNorm):
    """`InstanceNorm` of ``(batch, channels, h, w)``."""

    axes = 2
