"""Pooling layers: each window of the input becomes one value, over one spatial axis or several."""

from __future__ import annotations

from typing import Any

from ..ops.pooling import adaptive_avg_pool, adaptive_max_pool, avg_pool, max_pool
from .keywords import pytorch_names
from .linear import as_input
from .module import Module

Size = int | tuple[int, ...]
_FIXED = {
    "dilation":         ((1, (1,), (1, 1)), "windows have no holes"),
    "return_indices":   (False, "the places of the largest pixels are not returned"),
    "ceil_mode":        (False, "windows lie inside the image: pad it with np.pad(x, widths)"),
    "divisor_override": (None, "multiply what comes out"),
}  # fmt: skip


@pytorch_names(_FIXED, kernel_size="kernel")
class _Pool(Module):
    """What the layers with windows have in common."""

    def __init__(self, kernel: Size, stride: Size | None = None, padding: Size = 0) -> None:
        self.kernel, self.stride, self.padding = kernel, kernel if stride is None else stride, padding

    def about(self) -> str:
        """Return the size of a window, and what is not the default."""
        options = f", stride={self.stride}" * (self.stride != self.kernel) + f", padding={self.padding}" * (
            self.padding != 0
        )
        return f"{self.kernel}{options}"


class MaxPool(_Pool):
    r"""Keep the largest pixel of each window.

    .. math:: y_i = \max_u x_{s i + u - p}

    Args:
        kernel: size of a window, one number or one per spatial axis.
        stride: steps between windows; by default the kernel, so that they tile the image.
        padding: pixels at each end that never win.

    Raises:
        ValueError: from a call, the window does not fit into x.

    Source: Ranzato, Huang, Boureau & LeCun, Unsupervised learning of invariant feature hierarchies (2007); defaults of
    PyTorch. Pixels that tie share the gradient evenly.

    Example:
        >>> MaxPool2d(2)([[[[1.0, 2.0], [4.0, 3.0]]]]).tolist()
        [[[[4.0]]]]
    """

    def forward(self, x: Any) -> Any:
        """Return ``(batch, channels, *positions)`` for ``(batch, channels, *spatial)``."""
        return max_pool(as_input(x, float), self.kernel, stride=self.stride, padding=self.padding)


@pytorch_names(_FIXED, kernel_size="kernel")
class AvgPool(_Pool):
    r"""Take the mean of each window.

    .. math:: y_i = \frac{1}{n_i} \sum_u x_{s i + u - p}

    Args:
        kernel: size of a window, one number or one per spatial axis.
        stride: steps between windows; by default the kernel, so that they tile the image.
        padding: zeros at each end.
        count_include_pad: whether these count in the mean.

    Raises:
        ValueError: from a call, the window does not fit into x.

    Source: LeCun, Bottou, Bengio & Haffner (1998), section 2; defaults of PyTorch.

    Example:
        >>> AvgPool2d(2)([[[[1.0, 2.0], [4.0, 3.0]]]]).tolist()
        [[[[2.5]]]]
    """

    def __init__(
        self, kernel: Size, stride: Size | None = None, padding: Size = 0, count_include_pad: bool = True
    ) -> None:
        super().__init__(kernel, stride, padding)
        self.count_include_pad = bool(count_include_pad)

    def forward(self, x: Any) -> Any:
        """Return ``(batch, channels, *positions)`` for ``(batch, channels, *spatial)``."""
        x, count = as_input(x, float), self.count_include_pad
        return avg_pool(x, self.kernel, stride=self.stride, padding=self.padding, count_include_pad=count)


@pytorch_names(_FIXED, output_size="size")
class _AdaptivePool(Module):
    """What the layers with a fixed number of cells have in common."""

    def __init__(self, size: Size) -> None:
        self.size = size

    def about(self) -> str:
        """Return the number of cells."""
        return f"{self.size}"


class AdaptiveAvgPool(_AdaptivePool):
    r"""Divide each spatial axis into a fixed number of cells, and take the mean of each.

    .. math:: y_i = \frac{1}{n_i} \sum_{j = \lfloor i n / m \rfloor}^{\lceil (i + 1) n / m \rceil - 1} x_j

    Args:
        size: m, how many cells, one number or one per spatial axis; 1 is the mean of the whole image.

    Raises:
        ValueError: from a call, x has no pixels.

    Source: He, Zhang, Ren & Sun, Spatial pyramid pooling in deep convolutional networks (2014), section 2.

    Example:
        >>> AdaptiveAvgPool2d(1)([[[[1.0, 2.0], [4.0, 3.0]]]]).tolist()
        [[[[2.5]]]]
    """

    def forward(self, x: Any) -> Any:
        """Return ``(batch, channels, *size)`` for ``(batch, channels, *spatial)``."""
        return adaptive_avg_pool(as_input(x, float), self.size)


class AdaptiveMaxPool(_AdaptivePool):
    r"""Divide each spatial axis into a fixed number of cells, and keep the largest value of each.

    .. math:: y_i = \max_{\lfloor i n / m \rfloor \le j < \lceil (i + 1) n / m \rceil} x_j

    Args:
        size: m, how many cells, one number or one per spatial axis; 1 is the largest pixel of the whole image.

    Raises:
        ValueError: from a call, x has no pixels.

    Source: He, Zhang, Ren & Sun, Spatial pyramid pooling in deep convolutional networks (2014), section 2.

    Example:
        >>> AdaptiveMaxPool2d(1)([[[[1.0, 2.0], [4.0, 3.0]]]]).tolist()
        [[[[4.0]]]]
    """

    def forward(self, x: Any) -> Any:
        """Return ``(batch, channels, *size)`` for ``(batch, channels, *spatial)``."""
        return adaptive_max_pool(as_input(x, float), self.size)


# The same under the names of PyTorch, which says how many spatial axes there are.
MaxPool1d = MaxPool2d = MaxPool
AvgPool1d = AvgPool2d = AvgPool
AdaptiveAvgPool1d = AdaptiveAvgPool2d = AdaptiveAvgPool
AdaptiveMaxPool1d = AdaptiveMaxPool2d = AdaptiveMaxPool
