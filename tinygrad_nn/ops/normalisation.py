"""Primitives of normalisation: to mean 0 and variance 1 over some axes, or to root mean square 1, then scaled.

One primitive serves batch, layer, group and instance norm, which differ only in the axes. The arrays saved for the
backward pass have the size of the statistics, not of x.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitive import Array, declare
from .reduce import axes_of, count

Axes = tuple[int, ...]


def sum_of_products(a: Array, b: Array, axis: Axes) -> Array:
    """Return the sum of a * b over axes, kept with length 1, without allocating an array for the products."""
    axes = axes_of(axis, a.ndim)
    shape = tuple([1 if i in axes else n for i, n in enumerate(a.shape)])
    last = a.ndim
    while last and last - 1 in axes:
        last -= 1
    if last == a.ndim:  # the last axis is not summed
        letters = "abcdefghijklmnop"[: a.ndim]
        rest = "".join([letter for i, letter in enumerate(letters) if i not in axes])
        return np.einsum(f"{letters},{letters}->{rest}", a, b).reshape(shape)
    merged = (*a.shape[:last], count(a, tuple(range(last, a.ndim))))
    rows = np.vecdot(a.reshape(merged), b.reshape(merged))  # (..., ) without the last of the axes
    others = tuple([i for i in axes if i < last])
    return (rows.sum(axis=others) if others else rows).reshape(shape)


def _broadcast_axes(shape: tuple[int, ...], ndim: int) -> Axes:
    """Return the axes along which an argument of this shape is broadcast against an array of `ndim` axes."""
    first = ndim - len(shape)
    return tuple([i for i in range(ndim) if i < first or shape[i - first] == 1])


# fmt: off
def moments(x: Array, axis: Axes) -> tuple[Array, Array]:
    """Return mean and variance over the axes, which are kept with length 1."""
    mean = x.mean(axis=axis, keepdims=True)
    centred = x - mean
    return mean, sum_of_products(centred, centred, axis) / count(x, axis)


_moments = moments  # a second name, since the argument `moments` below hides the function


def _standardize(*arrays: Array, axis: Axes, eps: float = 1e-5, moments: Any = None) -> Any:
    r"""Return x shifted and scaled to mean 0 and variance 1 over the axes, times a weight, plus a bias.

    .. math:: \gamma \odot \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    Args:
        x: any shape.
        weight, bias: broadcast against x.
        axis: the axes over which mean and variance are taken.
        eps: keeps the square root away from 0.
        moments: mean and variance of x, if they are known already; they must be those of x.

    Source: Ioffe & Szegedy (2015), algorithm 1; Ba, Kiros & Hinton (2016), equation 3.

    Example:
        >>> standardize(np.array([[1.0, 3.0], [0.0, 8.0]]), 1.0, 0.0, axis=(1,), eps=0.0).tolist()
        [[-1.0, 1.0], [-1.0, 1.0]]
    """
    x, weight, bias = arrays
    mean, var = _moments(x, axis) if moments is None else moments
    scale = 1 / np.sqrt(var + eps)
    if np.size(weight) in (1, scale.size):
        out = (x - mean) * (scale * weight) + bias
    else:
        out = (x - mean) * scale * weight + bias
    return out, {"mean": mean, "var": var}


def _standardize_vjp(
    g: Array, out: Array, *arrays: Array, mean: Array, var: Array, axis: Axes, eps: float = 1e-5, moments: Any = None
) -> Any:
    x, weight, bias = arrays
    n = max(count(x, axis), 1)
    scale = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * scale
    d_weight = sum_of_products(g, x_hat, _broadcast_axes(np.shape(weight), x.ndim)).reshape(np.shape(weight))
    over = axes_of(axis, x.ndim)
    if all(i in over for i in _broadcast_axes(np.shape(weight), x.ndim)) and np.size(weight) == np.size(scale):
        # Batch norm: the weight is constant along the axes, so its gradient already holds the sum that is needed.
        slope = d_weight.reshape(scale.shape) / n
        d_bias = g.sum(axis=over, keepdims=True)
        return (g - d_bias / n - x_hat * slope) * (scale * weight), d_weight, d_bias
    h = g * weight
    slope = sum_of_products(h, x_hat, axis) / n
    d_bias = g
    if np.ndim(bias):
        d_bias = g.sum(axis=_broadcast_axes(np.shape(bias), x.ndim), keepdims=True).reshape(np.shape(bias))
    return (h - h.sum(axis=over, keepdims=True) / n - x_hat * slope) * scale, d_weight, d_bias

standardize = declare(_standardize, r"\gamma \odot \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta",
    jointly=(_standardize_vjp,
     (r"\frac{1}{s} (h - \overline{h} - \hat x \odot \overline{h \odot \hat x}),\ \sum g \odot \hat x,\ \sum g"
      r" \quad (h = \gamma \odot g, \; s = \sqrt{\sigma^2 + \epsilon})")),
    saves={"mean": lambda x, weight, bias, *, axis, **rest: np.mean(x, axis=axis, keepdims=True),
           "var":  lambda x, weight, bias, *, axis, **rest: np.var(x, axis=axis, keepdims=True)})


def _rms_norm(x: Array, weight: Array, axis: Axes, eps: float) -> Array:
    r"""Return x scaled to root mean square 1 over the axes, times a weight.

    .. math:: \gamma \odot \frac{x}{\sqrt{\overline{x^2} + \epsilon}}

    Source: Zhang & Sennrich (2019), Root mean square layer normalization, equation 4.

    Example:
        >>> rms_norm(np.array([3.0, 4.0, 5.0, 0.0]), 5.0, axis=(0,), eps=0.0).round(4).tolist()
        [4.2426, 5.6569, 7.0711, 0.0]
    """
    scale = _inverse_rms(x, axis, eps)
    return x * scale * weight, {"scale": scale}


def _inverse_rms(x: Array, axis: Axes, eps: float) -> Array:
    return 1 / np.sqrt(sum_of_products(x, x, axis) / max(count(x, axis), 1) + eps)


def _rms_vjp(g: Array, out: Array, x: Array, weight: Array, scale: Array, axis: Axes, eps: float) -> Any:
    h, x_hat = g * weight, x * scale
    d_weight = sum_of_products(g, x_hat, _broadcast_axes(np.shape(weight), x.ndim)).reshape(np.shape(weight))
    return (h - x_hat * (sum_of_products(h, x_hat, axis) / max(count(x, axis), 1))) * scale, d_weight

rms_norm = declare(_rms_norm, r"y \odot \frac{x}{\sqrt{\overline{x^2} + \epsilon}}",
    jointly=(_rms_vjp,
     r"\frac{1}{s} (h - \hat x \odot \overline{h \odot \hat x}),\ \sum g \odot \hat x \quad (h = y \odot g)"),
    saves={"scale": lambda x, weight, axis, eps: _inverse_rms(x, axis, eps)})
# fmt: on
