"""Pooling layers: each window of the input becomes one value, over one or more spatial axes."""

from __future__ import annotations

from typing import Any, ClassVar

from ..ops.convolution import per_axis
from ..ops.pooling import adaptive_avg_pool, adaptive_max_pool, avg_pool, max_pool
from .conv import check_axes
from .keywords import pytorch_names
from .linear import as_input
from .module import Module

Size = int | tuple[int, ...]
FIXED = {
    "dilation":         ((1, (1,), (1, 1)), "windows have no holes"),
    "return_indices":   (False, "the places of the largest pixels are not returned"),
}  # fmt: skip


class _Pool(Module):
    """Base of the layers with windows; `axes` is the number of spatial axes, ``None`` for any."""

    axes: ClassVar[int | None] = None

    def __init__(self, kernel: Size, stride: Size | None, padding: Size, ceil_mode: bool) -> None:
        self.kernel, self.stride, self.padding = kernel, kernel if stride is None else stride, padding
        self.ceil_mode = bool(ceil_mode)
        for name, minimum in (("kernel", 1), ("stride", 1), ("padding", 0)):
            _check_size(self, name, minimum)

    def about(self) -> str:
        """Return the window size, and the options that differ from their defaults."""
        options = f", stride={self.stride}" * (self.stride != self.kernel) + f", padding={self.padding}" * (
            self.padding != 0
        )
        return f"{self.kernel}{options}{', ceil_mode=True' * self.ceil_mode}"


@pytorch_names(FIXED, "dilation return_indices ceil_mode", kernel_size="kernel")
class MaxPool(_Pool):
    r"""Return the largest pixel of each window.

    .. math:: y_i = \max_u x_{s i + u - p}

    Args:
        kernel: window size, one number or one per spatial axis.
        stride: step between windows; by default the kernel size, so that windows tile the image.
        padding: pixels added at each end; they are never the largest.
        ceil_mode: whether a last window that begins in the image, and ends beyond it, counts.

    Raises:
        ValueError: from a call, if the window does not fit into x.

    Source: Ranzato, Huang, Boureau & LeCun, Unsupervised learning of invariant feature hierarchies (2007); defaults of
    PyTorch. If several pixels are the largest, they share the gradient evenly.

    Example:
        >>> MaxPool2d(2)([[[[1.0, 2.0], [4.0, 3.0]]]]).tolist()
        [[[[4.0]]]]
    """

    def __init__(
        self, kernel: Size, stride: Size | None = None, padding: Size = 0, *, ceil_mode: bool = False
    ) -> None:
        super().__init__(kernel, stride, padding, ceil_mode)

    def forward(self, x: Any) -> Any:
        """Return ``(batch, channels, *positions)`` for ``(batch, channels, *spatial)``."""
        x, ceil = _as_images(self, x, self.kernel), self.ceil_mode
        return max_pool(x, self.kernel, stride=self.stride, padding=self.padding, ceil_mode=ceil)


@pytorch_names(FIXED, "ceil_mode count_include_pad divisor_override", kernel_size="kernel")
class AvgPool(_Pool):
    r"""Return the mean of each window.

    .. math:: y_i = \frac{1}{n_i} \sum_u x_{s i + u - p}

    Args:
        kernel: window size, one number or one per spatial axis.
        stride: step between windows; by default the kernel size, so that windows tile the image.
        padding: zeros added at each end.
        count_include_pad: whether these zeros count in the mean.
        ceil_mode: whether a last window that begins in the image, and ends beyond it, counts.
        divisor_override: what to divide each sum by; by default the number of pixels.

    Raises:
        ValueError: from a call, if the window does not fit into x.

    Source: LeCun, Bottou, Bengio & Haffner (1998), section 2; defaults of PyTorch.

    Example:
        >>> AvgPool2d(2)([[[[1.0, 2.0], [4.0, 3.0]]]]).tolist()
        [[[[2.5]]]]
    """

    def __init__(
        self, kernel: Size, stride: Size | None = None, padding: Size = 0, *, count_include_pad: bool = True,
        ceil_mode: bool = False, divisor_override: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(kernel, stride, padding, ceil_mode)
        self.count_include_pad, self.divisor_override = bool(count_include_pad), divisor_override

    def forward(self, x: Any) -> Any:
        """Return ``(batch, channels, *positions)`` for ``(batch, channels, *spatial)``."""
        return avg_pool(
            _as_images(self, x, self.kernel), self.kernel, stride=self.stride, padding=self.padding,
            count_include_pad=self.count_include_pad, ceil_mode=self.ceil_mode, divisor_override=self.divisor_override,
        )  # fmt: skip


@pytorch_names(FIXED, "return_indices", output_size="size")
class _AdaptivePool(Module):
    """Base of the layers with a fixed number of cells; `axes` is the number of spatial axes, ``None`` for any."""

    axes: ClassVar[int | None] = None

    def __init__(self, size: Size) -> None:
        self.size = size
        _check_size(self, "size", 1)

    def about(self) -> str:
        """Return the number of cells."""
        return f"{self.size}"


class AdaptiveAvgPool(_AdaptivePool):
    r"""Divide each spatial axis into a fixed number of cells, and return the mean of each cell.

    .. math:: y_i = \frac{1}{n_i} \sum_{j = \lfloor i n / m \rfloor}^{\lceil (i + 1) n / m \rceil - 1} x_j

    Args:
        size: m, the number of cells, one number or one per spatial axis; 1 gives the mean of the whole image.

    Raises:
        ValueError: from a call, if x has no pixels.

    Source: He, Zhang, Ren & Sun, Spatial pyramid pooling in deep convolutional networks (2014), section 2.

    Example:
        >>> AdaptiveAvgPool2d(1)([[[[1.0, 2.0], [4.0, 3.0]]]]).tolist()
        [[[[2.5]]]]
    """

    def forward(self, x: Any) -> Any:
        """Return ``(batch, channels, *size)`` for ``(batch, channels, *spatial)``."""
        return adaptive_avg_pool(_as_images(self, x, self.size), self.size)


class AdaptiveMaxPool(_AdaptivePool):
    r"""Divide each spatial axis into a fixed number of cells, and return the largest value of each cell.

    .. math:: y_i = \max_{\lfloor i n / m \rfloor \le j < \lceil (i + 1) n / m \rceil} x_j

    Args:
        size: m, the number of cells, one number or one per spatial axis; 1 gives the largest pixel of the whole image.

    Raises:
        ValueError: from a call, if x has no pixels.

    Source: He, Zhang, Ren & Sun, Spatial pyramid pooling in deep convolutional networks (2014), section 2.

    Example:
        >>> AdaptiveMaxPool2d(1)([[[[1.0, 2.0], [4.0, 3.0]]]]).tolist()
        [[[[4.0]]]]
    """

    def forward(self, x: Any) -> Any:
        """Return ``(batch, channels, *size)`` for ``(batch, channels, *spatial)``."""
        return adaptive_max_pool(_as_images(self, x, self.size), self.size)


def _check_size(layer: Any, name: str, minimum: int) -> None:
    """Raise unless an option is a whole number of at least the minimum, or a tuple of them; a call checks how many."""
    value = getattr(layer, name)
    many = len(value) if isinstance(value, (tuple, list)) else layer.axes or 1
    per_axis(type(layer).__name__, name, value, many, minimum)


def _as_images(layer: Any, x: Any, size: Size) -> Any:
    """Return x as floats; raise if the layer, or a tuple with a number per axis, is for another number of axes."""
    x = as_input(x, float)
    if layer.axes is not None:
        check_axes(layer, x, layer.axes)
    if isinstance(size, (tuple, list)) and len(size) != x.ndim - 2:
        raise ValueError(
            f"{layer!r}: {size} has a number for each spatial axis, and x, (batch, channels, *spatial), has shape "
            f"{x.shape}. Give {x.ndim - 2} numbers, or one for all axes."
        )
    return x


# -- PyTorch's names, which state the number of spatial axes


class MaxPool1d(MaxPool):
    """`MaxPool` of ``(batch, channels, n)``."""

    axes = 1


class MaxPool2d(MaxPool):
    """`MaxPool` of ``(batch, channels, h, w)``."""

    axes = 2


class AvgPool1d(AvgPool):
    """`AvgPool` of ``(batch, channels, n)``."""

    axes = 1


class AvgPool2d(AvgPool):
    """`AvgPool` of ``(batch, channels, h, w)``."""

    axes = 2


class AdaptiveAvgPool1d(AdaptiveAvgPool):
    """`AdaptiveAvgPool` of ``(batch, channels, n)``."""

    axes = 1


class AdaptiveAvgPool2d(AdaptiveAvgPool):
    """`AdaptiveAvgPool` of ``(batch, channels, h, w)``."""

    axes = 2


class AdaptiveMaxPool1d(AdaptiveMaxPool):
    """`AdaptiveMaxPool` of ``(batch, channels, n)``."""

    axes = 1


class AdaptiveMaxPool2d(AdaptiveMaxPool):
    """`AdaptiveMaxPool` of ``(batch, channels, h, w)``."""

    axes = 2
