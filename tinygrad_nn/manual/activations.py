r"""The activations, each with its vector-Jacobian product.

Each entry of `ACTIVATIONS` is a pair `(f, vjp)`: `a = f(z)`, and `vjp(g, z, a)` turns `g = dL/da` into `dL/dz`. Rows
are samples, units lie along the last axis, so every array here is `(batch, n_out)`. Equations (B..) are numbered as in
`docs/backprop.md`, equations (F..) as in `docs/backprop_layers.md`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


class Activation(NamedTuple):
    """An activation and its vector-Jacobian product."""

    f: Callable[[Array], Array]
    vjp: Callable[[Array, Array, Array], Array]


def sigmoid(z: Array) -> Array:
    """Map z to (0, 1); accurate in both tails, since no exponential is subtracted from 1."""
    e = np.exp(-np.abs(z))
    σ: Array = np.where(z >= 0, 1, e) / (1 + e)  # (B5)
    return σ


def sigmoid_vjp(g: Array, z: Array, a: Array) -> Array:
    """Return the gradient of z; the textbook's a(1 - a) is 0 as soon as a rounds to 1, sigmoid(-z) is not."""
    return g * a * sigmoid(-z)  # (B6)


def softmax(z: Array) -> Array:
    """Turn each row into probabilities; its largest entry is subtracted first, so that no exponential overflows."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    p: Array = e / e.sum(axis=-1, keepdims=True)  # (B7)
    return p


def softmax_vjp(g: Array, z: Array, a: Array) -> Array:
    """Return the gradient of z, by the Jacobian diag(a) - a aᵀ without forming it.

    Adding a constant to all of g does not change the result. With the constant chosen below, the unit with nearly all
    of the probability adds nothing to the sum, so its tiny gradient is not a difference of two large numbers.
    """
    g = g - np.take_along_axis(g, a.argmax(axis=-1, keepdims=True), axis=-1)
    mean: Array = (g * a).sum(axis=-1, keepdims=True)  # (batch, 1)
    return a * (g - mean)  # (B8)


def tanh(z: Array) -> Array:
    """Map z to (-1, 1)."""
    return np.tanh(z)  # (B9)


def tanh_vjp(g: Array, z: Array, a: Array) -> Array:
    """Return the gradient of z; the textbook's 1 - a² is 0 as soon as a rounds to 1, this form is not."""
    return g * 4 * sigmoid(2 * z) * sigmoid(-2 * z)  # (B10)


def linear(z: Array) -> Array:
    """Return z."""
    return z  # (B11)


def linear_vjp(g: Array, z: Array, a: Array) -> Array:
    """Return the gradient of z, which is g."""
    return g  # (B12)


def relu(z: Array) -> Array:
    """Replace negative entries by 0."""
    return np.maximum(z, 0)  # (B13)


def relu_vjp(g: Array, z: Array, a: Array) -> Array:
    """Return the gradient of z: g where z > 0, else 0, also at the kink."""
    return np.where(z > 0, g, 0)  # (B14)


def leaky_relu(z: Array, alpha: float = 0.01) -> Array:
    """Multiply negative entries by alpha."""
    return np.where(z > 0, z, alpha * z)  # (B15)


def leaky_relu_vjp(g: Array, z: Array, a: Array, alpha: float = 0.01) -> Array:
    """Return the gradient of z: g where z > 0, else alpha g, also at the kink."""
    return np.where(z > 0, g, alpha * g)  # (B16)


def elu(z: Array, alpha: float = 1.0) -> Array:
    """Approach -alpha below 0; the exponential is taken of at most 0, so that it cannot overflow."""
    return np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))  # (F1)


def elu_vjp(g: Array, z: Array, a: Array, alpha: float = 1.0) -> Array:
    """Return the gradient of z; the exponential keeps the digits that the textbook's a + alpha loses near -alpha."""
    return np.where(z > 0, g, g * alpha * np.exp(np.minimum(z, 0)))  # (F2)


SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def selu(z: Array) -> Array:
    """A scaled elu that keeps mean 0 and variance 1."""
    return SELU_SCALE * elu(z, SELU_ALPHA)  # (F3)


def selu_vjp(g: Array, z: Array, a: Array) -> Array:
    """Return the gradient of z, with the same scale."""
    return SELU_SCALE * elu_vjp(g, z, a, SELU_ALPHA)  # (F4)


def celu(z: Array, alpha: float = 1.0) -> Array:
    """An elu that is smooth for every alpha."""
    return alpha * elu(z / alpha)  # (F5)


def celu_vjp(g: Array, z: Array, a: Array, alpha: float = 1.0) -> Array:
    """Return the gradient of z; the two factors alpha cancel."""
    return elu_vjp(g, z / alpha, a)  # (F6)


_erfc = np.frompyfunc(math.erfc, 1, 1)


def gelu(z: Array) -> Array:
    """Multiply z by the probability that a standard normal variable lies below it."""
    return z * _normal_below(z)  # (F8)


def _normal_below(z: Array) -> Array:
    """Return the probability that a standard normal variable lies below z; erfc keeps the digits of small ones."""
    Φ: Array = 0.5 * np.asarray(_erfc(-z / math.sqrt(2))).astype(z.dtype)  # (F7)
    return Φ


def gelu_vjp(g: Array, z: Array, a: Array) -> Array:
    """Return the gradient of z: the probability plus z times the density."""
    φ = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)  # (F9)
    return g * (_normal_below(z) + z * φ)  # (F10)


def _tanh_argument(z: Array) -> Array:
    """Return the number u whose tanh approximates the error function in gelu."""
    u: Array = math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)  # (F11)
    return u


def gelu_tanh(z: Array) -> Array:
    """The approximation of gelu by a tanh."""
    return z * sigmoid(2 * _tanh_argument(z))  # (F12)


def gelu_tanh_vjp(g: Array, z: Array, a: Array) -> Array:
    """Return the gradient of z, by the product rule and the chain rule through u."""
    u = _tanh_argument(z)
    du = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * z**2)  # (F13)
    dz: Array = g * sigmoid(2 * u) * (1 + 2 * z * sigmoid(-2 * u) * du)  # (F14)
    return dz


def silu(z: Array) -> Array:
    """Multiply z by its sigmoid."""
    return z * sigmoid(z)  # (F15)


def silu_vjp(g: Array, z: Array, a: Array) -> Array:
    """Return the gradient of z, by the product rule."""
    return g * (sigmoid(z) + a * sigmoid(-z))  # (F16)


def _tanh_softplus(z: Array) -> Array:
    """Return tanh(softplus(z)) as a quotient of exponentials, none of which can overflow."""
    e = np.exp(-np.abs(z))
    t: Array = np.where(z >= 0, (1 + 2 * e) / (1 + 2 * e + 2 * e * e), (2 * e + e * e) / (2 + 2 * e + e * e))  # (F17)
    return t


def mish(z: Array) -> Array:
    """Multiply z by tanh(softplus(z))."""
    return z * _tanh_softplus(z)  # (F18)


def mish_vjp(g: Array, z: Array, a: Array) -> Array:
    """Return the gradient of z, by the product rule."""
    e = np.exp(-np.abs(z))
    d = np.where(z >= 0, e * e / (1 + 2 * e + 2 * e * e) ** 2, e / (2 + 2 * e + e * e) ** 2)  # (F19)
    dz: Array = g * (_tanh_softplus(z) + 4 * (1 + e) * z * d)  # (F20)
    return dz


def softplus(z: Array, beta: float = 1.0) -> Array:
    """A smooth relu."""
    a: Array = np.logaddexp(0, beta * z) / beta  # (F21)
    return a


def softplus_vjp(g: Array, z: Array, a: Array, beta: float = 1.0) -> Array:
    """Return the gradient of z: g times the sigmoid."""
    return g * sigmoid(beta * z)  # (F22)


def softsign(z: Array) -> Array:
    """Map z to (-1, 1), with long tails."""
    a: Array = z / (1 + np.abs(z))  # (F23)
    return a


def softsign_vjp(g: Array, z: Array, a: Array) -> Array:
    """Return the gradient of z: g over the square of the denominator."""
    dz: Array = g / (1 + np.abs(z)) ** 2  # (F24)
    return dz


def hard_tanh(z: Array, low: float = -1.0, high: float = 1.0) -> Array:
    """Clip z to the two bounds."""
    return np.clip(z, low, high)  # (F25)


def hard_tanh_vjp(g: Array, z: Array, a: Array, low: float = -1.0, high: float = 1.0) -> Array:
    """Return the gradient of z: g between the bounds, 0 at them and beyond."""
    return np.where((low < z) & (z < high), g, 0)  # (F26)


def hard_sigmoid(z: Array) -> Array:
    """A sigmoid of three straight pieces."""
    return np.clip(z / 6 + 0.5, 0, 1)  # (F27)


def hard_sigmoid_vjp(g: Array, z: Array, a: Array) -> Array:
    """Return the gradient of z: g/6 on the middle piece, 0 at its ends and beyond."""
    return np.where(np.abs(z) < 3, g / 6, 0)  # (F28)


def hard_swish(z: Array) -> Array:
    """Multiply z by its hard sigmoid."""
    return z * hard_sigmoid(z)  # (F29)


def hard_swish_vjp(g: Array, z: Array, a: Array) -> Array:
    """Return the gradient of z, by the product rule; at the bounds -3 and 3 it is that of the outer pieces."""
    return np.where(np.abs(z) < 3, g * (2 * z + 3) / 6, np.where(z > 0, g, 0))  # (F30)


ACTIVATIONS: dict[str, Activation] = {
    "sigmoid":      Activation(sigmoid,      sigmoid_vjp),
    "softmax":      Activation(softmax,      softmax_vjp),
    "tanh":         Activation(tanh,         tanh_vjp),
    "linear":       Activation(linear,       linear_vjp),
    "relu":         Activation(relu,         relu_vjp),
    "leaky_relu":   Activation(leaky_relu,   leaky_relu_vjp),
    "elu":          Activation(elu,          elu_vjp),
    "selu":         Activation(selu,         selu_vjp),
    "celu":         Activation(celu,         celu_vjp),
    "gelu":         Activation(gelu,         gelu_vjp),
    "gelu(tanh)":   Activation(gelu_tanh,    gelu_tanh_vjp),
    "silu":         Activation(silu,         silu_vjp),
    "mish":         Activation(mish,         mish_vjp),
    "softplus":     Activation(softplus,     softplus_vjp),
    "softsign":     Activation(softsign,     softsign_vjp),
    "hard_tanh":    Activation(hard_tanh,    hard_tanh_vjp),
    "hard_sigmoid": Activation(hard_sigmoid, hard_sigmoid_vjp),
    "hard_swish":   Activation(hard_swish,   hard_swish_vjp),
}  # fmt: skip

NUMBERS: dict[str, tuple[str, ...]] = {  # parameters that a name may carry in brackets, as 'elu(0.5)'
    "leaky_relu": ("alpha",), "elu": ("alpha",), "celu": ("alpha",), "softplus": ("beta",),
    "hard_tanh": ("low", "high"),
}  # fmt: skip
_UNKNOWN = (
    "unknown activation {name!r}: use one of {known}, or one with numbers of its own, as in 'leaky_relu(0.2)', "
    "'elu(0.5)', 'celu(2)', 'softplus(2)' or 'hard_tanh(-2, 2)'"
)


def activation(name: str) -> Activation:
    r"""Look up an activation by its name, in any letter case.

    .. math:: a = f(z), \qquad \frac{\partial L}{\partial z} = J_f(z)^T \frac{\partial L}{\partial a}

    Args:
        name: a key of `ACTIVATIONS`, or one of `NUMBERS` with its numbers in brackets, as `'leaky_relu(0.2)'`.

    Returns:
        The pair `(f, vjp)`: `f(z)` and `vjp(g, z, a)`, on arrays `(batch, n_out)`.

    Raises:
        ValueError: if there is no such activation.

    Source: Bishop, Pattern Recognition and Machine Learning (2006), section 5.3.

    Example:
        >>> f, vjp = activation("leaky_relu(0.2)")
        >>> z = np.array([[-1.0, 3.0]])
        >>> vjp(np.ones_like(z), z, f(z)).tolist()
        [[0.2, 1.0]]
    """
    key = "".join(name.lower().split())
    if key in ACTIVATIONS:
        return ACTIVATIONS[key]
    head, _, rest = key.partition("(")
    given = rest.removesuffix(")").split(",")
    names = NUMBERS.get(head, ())
    if len(given) != len(names) or not rest.endswith(")"):
        raise ValueError(_UNKNOWN.format(name=name, known=", ".join(ACTIVATIONS)))
    try:
        numbers = {n: float(text.removeprefix(n + "=")) for n, text in zip(names, given, strict=True)}
    except ValueError:
        raise ValueError(_UNKNOWN.format(name=name, known=", ".join(ACTIVATIONS))) from None
    row = ACTIVATIONS[head]
    return Activation(partial(row.f, **numbers), partial(row.vjp, **numbers))
