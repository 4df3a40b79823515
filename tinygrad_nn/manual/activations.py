r"""The six activations, each with the product that carries a gradient back through it.

A row is a pair `(f, vjp)`: `a = f(z)`, and `vjp(g, z, a)` turns `g = dL/da` into `dL/dz`. Rows are samples, units lie
along the last axis, so every array here is `(batch, n_out)`. Numbers as in `docs/backprop.md`.
"""

from __future__ import annotations

import re
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
    """Squash to (0, 1); relatively accurate in both tails, because no exponential is ever subtracted from 1."""
    e = np.exp(-np.abs(z))
    σ: Array = np.where(z >= 0, 1, e) / (1 + e)  # (B5)
    return σ


def sigmoid_vjp(g: Array, z: Array, a: Array) -> Array:
    """The textbook's a(1-a) is 0 as soon as a rounds to 1; the sigmoid of -z is not."""
    return g * a * sigmoid(-z)  # (B6)


def softmax(z: Array) -> Array:
    """Turn each row into probabilities; the largest entry is taken off first, so that no exponential overflows."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    p: Array = e / e.sum(axis=-1, keepdims=True)  # (B7)
    return p


def softmax_vjp(g: Array, z: Array, a: Array) -> Array:
    """The full Jacobian diag(a) - a aᵀ, never formed.

    It ignores a constant added to g. With that constant chosen as below, the unit that takes nearly all of the
    probability adds nothing to the sum, so its tiny gradient is not a difference of two large numbers.
    """
    g = g - np.take_along_axis(g, a.argmax(axis=-1, keepdims=True), axis=-1)
    mean: Array = (g * a).sum(axis=-1, keepdims=True)  # (batch, 1)
    return a * (g - mean)  # (B8)


def tanh(z: Array) -> Array:
    """Squash to (-1, 1)."""
    return np.tanh(z)  # (B9)


def tanh_vjp(g: Array, z: Array, a: Array) -> Array:
    """The textbook's 1 - a² is 0 as soon as a rounds to 1; this form of the same number is not."""
    return g * 4 * sigmoid(2 * z) * sigmoid(-2 * z)  # (B10)


def linear(z: Array) -> Array:
    """Leave z as it is."""
    return z  # (B11)


def linear_vjp(g: Array, z: Array, a: Array) -> Array:
    """Leave g as it is."""
    return g  # (B12)


def relu(z: Array) -> Array:
    """Cut off below 0."""
    return np.maximum(z, 0)  # (B13)


def relu_vjp(g: Array, z: Array, a: Array) -> Array:
    """Let g through where z > 0; nothing at the kink."""
    return np.where(z > 0, g, 0)  # (B14)


def leaky_relu(z: Array, alpha: float = 0.01) -> Array:
    """Shrink by alpha below 0."""
    return np.where(z > 0, z, alpha * z)  # (B15)


def leaky_relu_vjp(g: Array, z: Array, a: Array, alpha: float = 0.01) -> Array:
    """Shrink g by alpha where z was shrunk, and at the kink."""
    return np.where(z > 0, g, alpha * g)  # (B16)


ACTIVATIONS: dict[str, Activation] = {
    "sigmoid":    Activation(sigmoid,    sigmoid_vjp),
    "softmax":    Activation(softmax,    softmax_vjp),
    "tanh":       Activation(tanh,       tanh_vjp),
    "linear":     Activation(linear,     linear_vjp),
    "relu":       Activation(relu,       relu_vjp),
    "leaky_relu": Activation(leaky_relu, leaky_relu_vjp),
}  # fmt: skip

_LEAKY = re.compile(r"leaky_relu\((?:alpha=)?([-+.\de]+)\)")
_UNKNOWN = "unknown activation {name!r}: use one of {known}, or leaky_relu with its slope, as in 'leaky_relu(0.2)'"


def activation(name: str) -> Activation:
    r"""Look up an activation by its name, in any letter case.

    .. math:: a = f(z), \qquad \frac{\partial L}{\partial z} = J_f(z)^T \frac{\partial L}{\partial a}

    Args:
        name: `'sigmoid'`, `'softmax'`, `'tanh'`, `'linear'`, `'relu'`, `'leaky_relu'` (slope 0.01 below zero) or, with
            another slope, `'leaky_relu(0.2)'`.

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
    key = name.strip().lower()
    if key in ACTIVATIONS:
        return ACTIVATIONS[key]
    try:
        alpha = float(_LEAKY.fullmatch(key.replace(" ", ""))[1])  # type: ignore[index]
    except (TypeError, ValueError):
        raise ValueError(_UNKNOWN.format(name=name, known=", ".join(ACTIVATIONS))) from None
    return Activation(partial(leaky_relu, alpha=alpha), partial(leaky_relu_vjp, alpha=alpha))
