"""Linear, a fully connected layer without an activation, and Flatten and Unflatten, which reshape its input."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.arguments import as_generator
from ..common.masked import unmasked
from ..common.printable import counted
from ..ops.neural import affine
from ..tensor import Tensor
from .keywords import pytorch_names
from .module import Module

if TYPE_CHECKING:
    from .init import Rng


@pytorch_names(None, "device dtype", in_features="n_in", out_features="n_out")
class Linear(Module):
    r"""A fully connected layer without an activation.

    .. math:: y = x W^T + b, \qquad W, b \sim U(\pm 1 / \sqrt{n_{in}})

    Args:
        n_in, n_out: numbers of columns in and out, at least 1.
        bias: whether b is added.
        rng: a Generator or a seed; ``None`` draws different weights each time.
        dtype: of the parameters, ``float`` or ``np.float32``.

    Attributes:
        weight, bias: Tensors ``(n_out, n_in)`` and ``(n_out,)``; the bias is ``None`` with bias=False.

    Raises:
        TypeError, ValueError: a width is not an integer of at least 1; from a call, x does not have n_in columns.

    Source: the definition and the initial weights of ``torch.nn.Linear``.

    Example:
        >>> layer = Linear(4, 3, rng=0)
        >>> layer, layer(np.ones((2, 4))).shape
        (Linear(4, 3), (2, 3))
    """

    def __init__(
        self, n_in: int, n_out: int, bias: bool = True, *, rng: Rng = None, dtype: Any = np.float64
    ) -> None:
        self.n_in, self.n_out = check_count("Linear", "n_in", n_in), check_count("Linear", "n_out", n_out)
        generator, limit = as_generator(rng), self.n_in**-0.5
        self.weight = parameter(generator.uniform(-limit, limit, (self.n_out, self.n_in)), dtype)
        self.bias = parameter(generator.uniform(-limit, limit, self.n_out), dtype) if bias else None

    def forward(self, x: Any) -> Tensor:
        """Return ``(..., n_out)`` for an array or Tensor ``(..., n_in)``."""
        x = as_input(x, self.weight.dtype)
        if not x.ndim or x.shape[-1] != self.n_in:
            raise ValueError(
                f"{self!r} takes {counted(self.n_in, 'column')}; x has shape {x.shape}. {self._mend(x.shape)}"
            )
        result: Tensor = affine(x, self.weight, 0.0 if self.bias is None else self.bias)
        return result  # (..., n_out)

    def _mend(self, shape: tuple[int, ...]) -> str:
        """Return advice for the error message: how to change an x of this shape, or the layer."""
        after = [int(np.prod(shape[start:])) for start in range(1, len(shape))]
        if self.n_in in after:
            start = after.index(self.n_in) + 1
            lengths = ", ".join(map(str, (*shape[:start], -1)))
            return f"Put nn.Flatten({start if start > 1 else ''}) before it, or pass x.reshape({lengths})."
        columns = " If samples are its columns, pass x.T." if len(shape) == 2 and shape[0] == self.n_in else ""
        return f"Pass (..., {self.n_in}), or make the layer with n_in={shape[-1] if shape else 1}.{columns}"

    def about(self) -> str:
        """Return the widths, and bias=False if there is no bias."""
        return f"{self.n_in}, {self.n_out}" + (", bias=False" if self.bias is None else "")


@pytorch_names(None, "device dtype", in1_features="n_1", in2_features="n_2", out_features="n_out")
class Bilinear(Module):
    r"""A layer of two inputs, with a weight for each pair of their columns.

    .. math:: y_o = x_1^T W_o \, x_2 + b_o, \qquad W, b \sim U(\pm 1 / \sqrt{n_1})

    Args:
        n_1, n_2, n_out: numbers of columns of both inputs and of the result, at least 1.
        bias, rng, dtype: see `Linear`.

    Attributes:
        weight, bias: Tensors ``(n_out, n_1, n_2)`` and ``(n_out,)``; the bias is ``None`` with bias=False.

    Source: the definition and the initial weights of ``torch.nn.Bilinear``.

    Example:
        >>> Bilinear(4, 5, 3, rng=0)(np.ones((2, 4)), np.ones((2, 5))).shape
        (2, 3)
    """

    def __init__(
        self, n_1: int, n_2: int, n_out: int, bias: bool = True, *, rng: Rng = None, dtype: Any = np.float64
    ) -> None:
        for name, n in (("n_1", n_1), ("n_2", n_2), ("n_out", n_out)):
            setattr(self, name, check_count("Bilinear", name, n))
        generator, limit = as_generator(rng), n_1**-0.5
        self.weight = parameter(generator.uniform(-limit, limit, (n_out, n_1, n_2)), dtype)
        self.bias = parameter(generator.uniform(-limit, limit, n_out), dtype) if bias else None

    def forward(self, x1: Any, x2: Any) -> Any:
        """Return ``(..., n_out)`` for ``(..., n_1)`` and ``(..., n_2)``."""
        x1, x2 = (as_input(x, self.weight.dtype) for x in (x1, x2))
        _, n_1, n_2 = self.weight.shape
        if (x1.shape[-1:], x2.shape[-1:]) != ((n_1,), (n_2,)) or x1.shape[:-1] != x2.shape[:-1]:
            raise ValueError(f"{self!r} takes (..., {n_1}) and (..., {n_2}); it got {x1.shape} and {x2.shape}.")
        y = np.einsum("...i,oij,...j->...o", x1, self.weight, x2)
        return y if self.bias is None else y + self.bias

    def about(self) -> str:
        """Return the widths, and bias=False if there is no bias."""
        n_out, n_1, n_2 = self.weight.shape
        return f"{n_1}, {n_2}, {n_out}" + (", bias=False" if self.bias is None else "")


@pytorch_names(start_dim="start", end_dim="end")
class Flatten(Module):
    """Join consecutive axes into one: ``(batch, c, h, w)`` becomes ``(batch, c * h * w)``.

    Args:
        start: the first axis that is joined.
        end: the last axis that is joined, by default the last of x.

    Raises:
        ValueError: from a call, if x does not have these axes.

    Example:
        >>> Flatten()(np.ones((2, 3, 4))).shape
        (2, 12)
    """

    def __init__(self, start: int = 1, end: int = -1) -> None:
        self.start, self.end = operator.index(start), operator.index(end)

    def forward(self, x: Any) -> Any:
        """Return the reshaped x."""
        x = as_array(x)
        start, end = (axis + x.ndim * (axis < 0) for axis in (self.start, self.end))
        if end < start < x.ndim and self.end >= -x.ndim:
            raise ValueError(
                f"Flatten({self.about()}) joins the axes from {start} to {end}, which are none; x has shape {x.shape}. "
                "Write the first axis first."
            )
        if not 0 <= start <= end < x.ndim:
            which = self.start if not 0 <= start < x.ndim else self.end
            raise ValueError(f"Flatten({self.about()}) needs an axis {which}; x has shape {x.shape}.")
        return x.reshape(*x.shape[:start], int(np.prod(x.shape[start : end + 1])), *x.shape[end + 1 :])

    def about(self) -> str:
        """Return the axes, unless they are the default."""
        return f"{self.start}, {self.end}" if self.end != -1 else "" if self.start == 1 else f"{self.start}"


class Unflatten(Module):
    """Split one axis into several: the inverse of `Flatten`, with PyTorch's arguments.

    Args:
        dim: the axis.
        unflattened_size: the lengths of the new axes; one of them may be -1.

    Raises:
        ValueError: from a call, if the product of the lengths is not the length of the axis.

    Example:
        >>> Unflatten(1, (3, 4))(np.ones((2, 12))).shape
        (2, 3, 4)
    """

    def __init__(self, dim: Any, unflattened_size: Any) -> None:
        if not isinstance(dim, (int, np.integer)) or not isinstance(unflattened_size, (tuple, list)):
            raise TypeError(
                f"Unflatten: dim={dim!r:.60} and unflattened_size={unflattened_size!r:.60}; it needs an axis and the "
                "lengths of the new axes, e.g. nn.Unflatten(1, (3, 4))."
            )
        self.dim, self.unflattened_size = int(dim), tuple(unflattened_size)

    def forward(self, x: Any) -> Any:
        """Return the reshaped x."""
        x = as_array(x)
        dim = self.dim % x.ndim
        return x.reshape(*x.shape[:dim], *self.unflattened_size, *x.shape[dim + 1 :])

    def about(self) -> str:
        """Return the axis and the lengths of the new axes."""
        return f"{self.dim}, {self.unflattened_size}"


def parameter(array: Any, dtype: Any) -> Tensor:
    """Return a Tensor of a floating-point dtype, or raise a TypeError for another dtype."""
    kind: np.dtype[Any] = np.dtype(dtype)
    if kind.kind != "f":
        raise TypeError(f"dtype={kind}; gradients need floats: dtype=np.float64 or np.float32.")
    return Tensor(np.asarray(unmasked(array)).astype(kind, copy=False))


def as_input(x: Any, dtype: Any) -> Any:
    """Return the input of a layer as an array or Tensor; Python numbers and integers take the dtype of the weights."""
    if isinstance(x, Tensor):
        return x
    array = as_array(x)
    return array.astype(dtype) if array is not x or array.dtype.kind in "iub" else array


def as_array(x: Any, name: str = "x") -> Any:
    """Return an array or Tensor unchanged, and a list or table as an array; raise a TypeError for all else."""
    if isinstance(x, Tensor):
        return x
    if isinstance(x, (tuple, list)) and any(isinstance(part, Tensor) for part in x):
        raise TypeError(
            f"{name} is a {type(x).__name__} of {len(x)}, and a layer takes one Tensor. Of the (output, state) that "
            "RNN, LSTM and GRU return pass the output; in a Sequential put nn.Lambda(lambda pair: pair[0]) between. "
            "Tensors of one shape become one with np.stack(x)."
        )
    array = np.asarray(unmasked(x))
    if array.dtype.kind not in "iubfc":
        takes = "a layer takes numbers: an array, a Tensor, or a list of rows."
        if x is None:
            raise TypeError(f"{name} is None; {takes} A function or forward before the layer may lack its return.")
        came = f"of dtype {array.dtype}" if array.ndim else f"of type {type(x).__name__}"
        raise TypeError(f"{name} is {came}; {takes} Write np.asarray(x, dtype=float) if it contains numbers.")
    return array


def check_channels(layer: Any, x: Any, channels: int) -> None:
    """Raise unless the second axis of the input of a layer has one entry for each channel."""
    if x.ndim < 2 or x.shape[1] != channels:
        raise ValueError(f"{layer!r} takes (batch, {channels}, *spatial); x has shape {x.shape}.")


def check_count(layer: str, name: str, value: Any, minimum: int = 1) -> int:
    """Return a count as an int; raise if it is not an integer or is below `minimum`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{layer}: {name}={value!r:.60} is of type {type(value).__name__}; it needs a whole number, e.g. {name}=16."
        ) from None
    if number < minimum or isinstance(value, bool):
        raise ValueError(f"{layer}: {name}={value!r}; it must be at least {minimum}, e.g. {name}=16.")
    return number
