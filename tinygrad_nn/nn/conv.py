"""Convolution layers and transposed convolution layers, over one spatial axis and over two."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.arguments import as_generator
from ..ops.convolution import added_pixels, conv, conv_transpose, per_axis
from ..tensor import Tensor
from .keywords import pytorch_names
from .linear import as_input, check_count, parameter
from .module import Module

if TYPE_CHECKING:
    from .init import Rng

Size = int | tuple[int, ...]
_PYTORCH = {"in_channels": "c_in", "out_channels": "c_out", "kernel_size": "kernel"}
_ZEROS = {"padding_mode": ("zeros", "write np.pad(x, widths, mode='reflect') before the layer")}


@pytorch_names(_ZEROS, "padding_mode device dtype", **_PYTORCH)
class Convolution(Module):
    """Base of all convolution layers; use `Conv1d`, `Conv2d`, `ConvTranspose1d` or `ConvTranspose2d`.

    Args:
        c_in, c_out: numbers of channels in and out.
        kernel: its size, one number or one per spatial axis.
        stride, dilation: the step between windows, and the step between pixels within a window.
        padding: zeros added at both ends, one number or one per spatial axis.
        groups: the channels are split into this many groups, each with its own kernels; it divides c_in and c_out.
        bias: whether a bias is added.
        rng: a Generator or a seed; ``None`` draws different weights each time.
        dtype: of the parameters, ``float`` or ``np.float32``.

    Attributes:
        weight: ``(c_out, c_in / groups, *kernel)``, for a transposed convolution ``(c_in, c_out / groups, *kernel)``.
        bias: ``(c_out,)``, or ``None``.

    Raises:
        ValueError: a size is not an integer, or groups does not divide the channels; from a call, x has another number
            of axes or channels, or is too small.
    """

    axes = 2
    transposed = False

    def __init__(
        self, c_in: int, c_out: int, kernel: Size, stride: Size = 1, padding: Size | str = 0, dilation: Size = 1,
        groups: int = 1, bias: bool = True, *, rng: Rng = None, dtype: Any = np.float64,
    ) -> None:  # fmt: skip
        name = type(self).__name__
        self.c_in, self.c_out = check_count(name, "c_in", c_in), check_count(name, "c_out", c_out)
        self.groups = check_count(name, "groups", groups)
        if self.c_in % self.groups or self.c_out % self.groups:
            raise ValueError(f"{name}: groups={groups} does not divide {c_in} channels in and {c_out} out.")
        self.kernel = per_axis(name, "kernel", kernel, self.axes, 1)
        self.stride = per_axis(name, "stride", stride, self.axes, 1)
        self.dilation = per_axis(name, "dilation", dilation, self.axes, 1)
        self.padding = self._padding(name, padding)
        ends = (self.c_in, self.c_out) if self.transposed else (self.c_out, self.c_in)
        shape = (ends[0], ends[1] // self.groups, *self.kernel)
        generator, limit = as_generator(rng), math.prod(shape[1:]) ** -0.5
        self.weight = parameter(generator.uniform(-limit, limit, shape), dtype)
        self.bias = parameter(generator.uniform(-limit, limit, self.c_out), dtype) if bias else None

    def _padding(self, name: str, padding: Any) -> tuple[int, ...]:
        """Return how many zeros pad each spatial axis, before and after."""
        return per_axis(name, "padding", padding, self.axes, 0)

    def forward(self, x: Any) -> Any:
        """Return ``(batch, c_out, *positions)`` for ``(batch, c_in, *spatial)``."""
        return self._of(x)

    def _of(self, x: Any, **how: Any) -> Any:
        x = as_input(x, self.weight.dtype)
        if x.ndim != 2 + self.axes or x.shape[1] != self.c_in:
            spatial = ("n", "h, w")[self.axes - 1]
            hint = channels_hint(x.shape, self.c_in, self.axes)
            raise ValueError(f"{self!r} takes (batch, {self.c_in}, {spatial}); x has shape {x.shape}.{hint}")
        y = self._run(x, **how)
        return y if self.bias is None else y + self.bias.reshape(self.c_out, *(1,) * self.axes)

    def _run(self, x: Any, **how: Any) -> Tensor:
        """Return the convolution of x, without the bias."""
        raise NotImplementedError

    def about(self) -> str:
        """Return channels and kernel, and the options that differ from their defaults."""
        options = "".join(
            f", {name}={_sizes_text(getattr(self, name))}"
            for name in ("stride", "padding", "output_padding", "dilation")
            if getattr(self, name, None) not in (None, (1,) * self.axes if name in ("stride", "dilation") else
                                                 (0,) * self.axes)
        )  # fmt: skip
        options += f", groups={self.groups}" * (self.groups > 1) + ", bias=False" * (self.bias is None)
        return f"{self.c_in}, {self.c_out}, {_sizes_text(self.kernel)}{options}"


class _Conv(Convolution):
    """Base of `Conv1d` and `Conv2d`."""

    def _padding(self, name: str, padding: Any) -> tuple[int, ...]:
        self._uneven = [(0, 0)] * self.axes
        if padding == "valid":
            return (0,) * self.axes
        if padding != "same":
            if isinstance(padding, str):
                raise ValueError(f"{name}: padding={padding!r}; known are 'same', 'valid' and numbers.")
            return per_axis(name, "padding", padding, self.axes, 0)
        if self.stride != (1,) * self.axes:
            raise ValueError(f"{name}: padding='same' keeps the size only with stride=1; it got {self.stride}.")
        total = [d * (k - 1) for d, k in zip(self.dilation, self.kernel, strict=True)]
        self._uneven = [(0, n % 2) for n in total]  # an even kernel needs one more pixel at the far end
        return tuple(n // 2 for n in total)

    def _run(self, x: Any, **how: Any) -> Tensor:
        if any(far for _, far in self._uneven):
            x = np.pad(x, [(0, 0), (0, 0), *self._uneven])
        result: Tensor = conv(
            x, self.weight, stride=self.stride, padding=self.padding, dilation=self.dilation, groups=self.groups
        )
        return result


class Conv1d(_Conv):
    r"""A convolution over one axis: each output is a weighted sum of a window of the input, with shared weights.

    .. math:: y_{noi} = b_o + \sum_{c,u} w_{ocu} \, x_{n,\, c,\, s i + d u - p}, \qquad w, b \sim U(\pm n_{in}^{-1/2})

    Args:
        c_in, c_out, kernel, stride, padding, dilation, groups, bias, rng, dtype: see `Convolution`; padding may also be
            ``'same'``, which keeps the length, or ``'valid'``, which adds no zeros.

    Source: Waibel et al., Phoneme recognition using time-delay neural networks (1989); names, layout and initial
    weights of PyTorch.

    Example:
        >>> Conv1d(3, 8, 5, padding="same", rng=0)(np.ones((2, 3, 20))).shape
        (2, 8, 20)
    """

    axes = 1


class Conv2d(_Conv):
    r"""A convolution over images: each output pixel is a weighted sum of a window of the input, with shared weights.

    .. math:: y_{noi} = b_o + \sum_{c,u} w_{ocu} \, x_{n,\, c,\, s i + d u - p}, \qquad w, b \sim U(\pm n_{in}^{-1/2})

    Args:
        c_in, c_out, kernel, stride, padding, dilation, groups, bias, rng, dtype: see `Convolution`; padding may also be
            ``'same'``, which keeps the size, or ``'valid'``, which adds no zeros.

    Source: LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to document recognition (1998); names,
    layout and initial weights of PyTorch.

    Example:
        >>> layer = Conv2d(3, 8, 3, stride=2, padding=1, rng=0)
        >>> layer, layer(np.ones((2, 3, 28, 28))).shape
        (Conv2d(3, 8, 3, stride=2, padding=1), (2, 8, 14, 14))
    """


@pytorch_names(_ZEROS, "padding_mode device dtype", **_PYTORCH)
class _ConvTranspose(Convolution):
    """Base of `ConvTranspose1d` and `ConvTranspose2d`."""

    transposed = True

    def __init__(
        self, c_in: int, c_out: int, kernel: Size, stride: Size = 1, padding: Size = 0, output_padding: Size = 0,
        groups: int = 1, bias: bool = True, dilation: Size = 1, *, rng: Rng = None, dtype: Any = np.float64,
    ) -> None:  # fmt: skip
        super().__init__(c_in, c_out, kernel, stride, padding, dilation, groups, bias, rng=rng, dtype=dtype)
        self.output_padding = added_pixels(type(self).__name__, output_padding, self.stride, self.dilation)

    def forward(self, x: Any, output_size: Size | None = None) -> Any:
        """Return ``(batch, c_out, *positions)`` for ``(batch, c_in, *spatial)``.

        `output_size` is the lengths of the spatial axes of the result, in place of output_padding; as many sizes are
        possible as the stride is large.
        """
        return self._of(x) if output_size is None else self._of(x, output_padding=self._added(np.shape(x), output_size))

    def _added(self, shape: tuple[int, ...], output_size: Any) -> tuple[int, ...]:
        """Return the output padding with which the result has a given size."""
        several = isinstance(output_size, (tuple, list))
        wanted = tuple(output_size)[-self.axes :] if several else (output_size,) * self.axes
        steps = zip(shape[2:], self.stride, self.padding, self.dilation, self.kernel, strict=False)
        least = tuple((n - 1) * s - 2 * p + d * (k - 1) + 1 for n, s, p, d, k in steps)
        most = tuple(n + max(s, d) - 1 for n, s, d in zip(least, self.stride, self.dilation, strict=False))
        ranges = list(zip(wanted, least, most, strict=False))
        if not len(ranges) == len(wanted) == self.axes or any(not low <= n <= high for n, low, high in ranges):
            raise ValueError(
                f"{self!r}: output_size={output_size}; for x of shape {shape} it is from {least} to {most}."
            )
        return tuple(n - low for n, low, _ in ranges)

    def _run(self, x: Any, output_padding: Any = None, **how: Any) -> Tensor:
        result: Tensor = conv_transpose(
            x, self.weight, stride=self.stride, padding=self.padding, dilation=self.dilation, groups=self.groups,
            output_padding=self.output_padding if output_padding is None else output_padding,
        )  # fmt: skip
        return result


class ConvTranspose1d(_ConvTranspose):
    r"""A transposed convolution over one axis: each input entry adds a weighted kernel to a window of a longer output.

    .. math:: y_{n,\, c,\, j} = b_c + \sum_{o,\; s i + d u - p \,=\, j} w_{ocu} \, x_{noi}

    Args:
        c_in, c_out, kernel, stride, padding, groups, bias, dilation, rng, dtype: see `Convolution`; here padding is the
            number of pixels cropped from both ends of the output.
        output_padding: pixels added at the far end. A convolution maps several input lengths to one output length; this
            chooses among them.

    Source: Zeiler, Krishnan, Taylor & Fergus, Deconvolutional networks (2010); names, layout, order of arguments and
    initial weights of PyTorch.

    Example:
        >>> ConvTranspose1d(8, 3, 4, stride=2, padding=1, rng=0)(np.ones((2, 8, 10))).shape
        (2, 3, 20)
    """

    axes = 1


class ConvTranspose2d(_ConvTranspose):
    r"""A transposed convolution over images: each input pixel adds a weighted kernel to a window of a larger image.

    .. math:: y_{n,\, c,\, j} = b_c + \sum_{o,\; s i + d u - p \,=\, j} w_{ocu} \, x_{noi}

    Args:
        c_in, c_out, kernel, stride, padding, groups, bias, dilation, rng, dtype: see `Convolution`; here padding is the
            number of pixels cropped from both ends of each axis of the output.
        output_padding: pixels added at the far ends. A convolution maps several input sizes to one output size; this
            chooses among them.

    Source: Zeiler, Krishnan, Taylor & Fergus, Deconvolutional networks (2010); names, layout, order of arguments and
    initial weights of PyTorch.

    Example:
        >>> ConvTranspose2d(8, 3, 4, stride=2, padding=1, rng=0)(np.ones((2, 8, 7, 7))).shape
        (2, 3, 14, 14)
    """


def _sizes_text(sizes: tuple[int, ...]) -> str:
    return str(sizes[0] if len(set(sizes)) == 1 else sizes)


def check_axes(owner: object, x: Any, axes: int) -> None:
    """Raise a ValueError unless x is ``(batch, channels, *spatial)`` with this number of spatial axes."""
    n = x.ndim if isinstance(x, Tensor) else np.ndim(x)  # np.ndim of a Tensor is slow
    if n != axes + 2:
        one, spatial = ("series", "n") if axes == 1 else ("image", "h, w")
        hint = f" One {one} alone is x[None]; without a channel axis write x[:, None]." * (n == axes + 1)
        raise ValueError(f"{owner} takes (batch, channels, {spatial}); x has shape {np.shape(x)}.{hint}")


def channels_hint(shape: tuple[int, ...], channels: int, axes: int | None = None) -> str:
    """Return a hint, if there is one, for an x whose shape is not ``(batch, channels, *spatial)``."""
    n = len(shape)
    if n > 2 and shape[-1] == channels and axes in (None, n - 2):
        return f" It looks as if channels came last: pass x.transpose{(0, n - 1, *range(1, n - 1))}."
    if axes is not None and n == axes + 1 and shape[0] == channels:
        return " One image alone is x[None]."
    if axes is not None and n == axes + 1 and channels == 1:
        return " Images without a channel axis are x[:, None]."
    return ""
