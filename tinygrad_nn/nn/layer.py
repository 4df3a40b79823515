"""Layer, a fully connected layer of weights, biases and an activation, as in the Julia project."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from ..common.printable import counted
from ..common.spelling import named_options
from ..ops.neural import affine as affine
from ..tensor import Tensor
from .activations import Activation, activation
from .init import DISTRIBUTIONS, initial_weights
from .module import Module
from .state import forget_optimizer

if TYPE_CHECKING:
    from .init import Rng


@named_options()
class Layer(Module):
    r"""A fully connected layer, as in the Julia project: ``Layer(4, 40, 'relu', distribution='n')``.

    .. math:: a = f(x W^T + b)

    He's initialisation is used for relu and leaky_relu, LeCun's for selu, Xavier's otherwise; biases start at zero.

    Args:
        n_in, n_out: numbers of columns in and out, at least 1.
        activation: a name in any letter case, or a function with such a name; see `nn.activation`.
        distribution: of the initial weights, ``'u'`` uniform or ``'n'`` normal.
        rng: a Generator or a seed; ``None`` draws different weights each time.
        dtype: of the parameters, ``float`` or ``np.float32``.

    Attributes:
        W, b: Tensors ``(n_out, n_in)`` and ``(n_out,)``; an array assigned to one becomes a Tensor of the dtype.

    Raises:
        TypeError, ValueError: an argument is invalid; from a call, x has another number of columns.

    Example:
        >>> layer = Layer(4, 40, "relu", distribution="n", rng=0)
        >>> layer, layer(np.ones((2, 4))).shape
        (Layer(4, 40, relu), (2, 40))
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        activation: str | Callable[..., Any] = "linear",
        distribution: str = "u",
        *,
        rng: Rng = None,
        dtype: Any = np.float64,
    ) -> None:
        self.n_in, self.n_out = _width("n_in", n_in), _width("n_out", n_out)
        self.act: Activation = _activation(activation)
        self.distribution = _distribution(distribution)
        self.dtype = _dtype(dtype)
        self.W = initial_weights(self.n_in, self.n_out, self.act.slope, self.distribution, rng, self.dtype)
        self.b = np.zeros(self.n_out, self.dtype)

    @property
    def activation(self) -> str:
        """The name of the activation, in lower case."""
        return self.act.name

    @property
    def W(self) -> Tensor:
        """The weights, ``(n_out, n_in)``."""
        return self._W

    @W.setter
    def W(self, value: Any) -> None:
        self._W = self._parameter("W", value, (self.n_out, self.n_in))

    @property
    def b(self) -> Tensor:
        """The biases, ``(n_out,)``."""
        return self._b

    @b.setter
    def b(self, value: Any) -> None:
        self._b = self._parameter("b", value, (self.n_out,))

    def _parameter(self, name: str, value: Any, shape: tuple[int, ...]) -> Tensor:
        if isinstance(value, Tensor):
            value = value.data  # the new Tensor is a leaf: parameters depend on nothing
        array = np.array(value, dtype=self.dtype)
        if array.shape != shape:
            raise ValueError(f"{name} of {self!r} has shape {shape}; this array has shape {array.shape}.")
        for other in (vars(self).get("_W"), vars(self).get("_b")):
            if other is not None:
                forget_optimizer(other)  # W and b are trained together, so the optimizer forgets both
        return Tensor(array, name=name)

    def forward(self, x: Any) -> Tensor:
        """Return the output for an array or Tensor of shape ``(..., n_in)``, recorded under the layer's name.

        Raises:
            ValueError: x has another number of columns.
        """
        result: Tensor = self.act(self.weighted(x))
        return result  # (..., n_out)

    def weighted(self, x: Any) -> Any:
        """Return z, the input of the activation, ``(..., n_out)``."""
        if isinstance(x, (list, tuple)):
            x = np.asarray(x, self.dtype)  # Python numbers take the dtype of the weights
        shape = np.shape(x)
        if not shape or shape[-1] != self.n_in:
            raise ValueError(
                f"{self!r} takes {counted(self.n_in, 'column')}; x has shape {shape}.{_hint(shape, self.n_in)}"
            )
        return affine(x, self._W, self._b)

    def attributes(self) -> Mapping[str, Any]:
        """Return W and b."""
        return {"W": self._W, "b": self._b}

    def plain(self, x: np.ndarray[Any, Any]) -> tuple[Any, Any]:
        """Return z and the output as plain arrays, ``(batch, n_out)`` each, without checks and without a graph."""
        z = affine(x, self._W.data, self._b.data)
        return z, self.act(z)

    def about(self) -> str:
        """Return the text between the parentheses of its ``repr``."""
        return f"{self.n_in}, {self.n_out}, {self.act.name}"

    def title(self) -> str:
        """Return the name for recorded operations when no other module calls this one."""
        return repr(self)


def is_plain_layer(part: Any) -> TypeGuard[Layer]:
    """Return whether a module is a Layer with `Layer`'s own computation, not a subclass that overrides it."""
    kind = type(part)
    return kind is Layer or (
        issubclass(kind, Layer) and kind.forward is Layer.forward and kind.weighted is Layer.weighted
    )


def _hint(shape: tuple[int, ...], n_in: int) -> str:
    if len(shape) == 2 and shape[0] == n_in:
        return " It looks transposed: pass x.T, one row per sample."
    return f" Pass one row per sample, (batch, {n_in}), or make the layer with n_in={shape[-1]}." if shape else ""


def _width(name: str, value: Any) -> int:
    try:
        width = operator.index(value)
    except TypeError:
        raise TypeError(
            f"Layer: {name}={value!r:.60} is of type {type(value).__name__}; it counts columns, so it needs a whole "
            "number, e.g. Layer(4, 40, 'relu')."
        ) from None
    if width < 1 or isinstance(value, bool):
        raise ValueError(f"Layer: {name}={value!r}; a layer needs at least 1 column, e.g. Layer(4, 40, 'relu').")
    return width


def _activation(value: Any) -> Activation:
    try:
        return activation(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"Layer: {error}") from None


def _distribution(value: Any) -> str:
    key = value.lower() if isinstance(value, str) else value
    if key not in DISTRIBUTIONS:
        raise ValueError(f"Layer: distribution={value!r}; known are 'u' (uniform) and 'n' (normal).")
    return str(key)


def _dtype(value: Any) -> np.dtype[Any]:
    dtype: np.dtype[Any] = np.dtype(value)
    if dtype.kind != "f":
        raise TypeError(f"Layer: dtype={dtype}; gradients need floats: dtype=np.float64 or np.float32.")
    return dtype
