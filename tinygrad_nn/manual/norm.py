r"""Batch norm (in training mode) and layer norm by hand: the same equations, over different axes.

Both shift and scale values to mean 0 and variance 1, then learn a scale `gamma` and a shift `beta`. Batch norm takes
the statistics of each feature over the batch, layer norm those of each sample over its features. Equations are
numbered as in `docs/backprop_layers.md`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Axes = tuple[int, ...]

_ALONE = (
    "batch_norm of x with shape {shape} has one value a feature: its variance is 0, and every gradient of x too; "
    "give a batch of at least 2 rows"
)
_FEATURES = "{key} has shape {got}: {name} of x with shape {shape} needs {need}"
_COTANGENT = "g has shape {got}, the result has {need}: give one number for each of its entries"


class BatchNorm(NamedTuple):
    """Result `y` and normalised `x_hat`, shaped as `x`; `std`, one per feature; the new running statistics."""

    y: Array
    x_hat: Array
    std: Array
    running_mean: Array
    running_var: Array


class LayerNorm(NamedTuple):
    """Result `y` and normalised `x_hat`, of the shape of `x`; `std`, one per sample, broadcastable to `x`."""

    y: Array
    x_hat: Array
    std: Array


class NormGradients(NamedTuple):
    """Gradients of `x`, of the scale `gamma` and of the shift `beta`."""

    dx: Array
    dgamma: Array
    dbeta: Array


def _normalise(x: Array, axes: Axes, eps: float) -> tuple[Array, Array, Array, Array]:
    """Return mean, variance, the root of variance + eps, and the normalised values."""
    μ = x.mean(axis=axes, keepdims=True)  # (N1)
    σ2 = ((x - μ) ** 2).mean(axis=axes, keepdims=True)  # (N2)
    s = np.sqrt(σ2 + float(eps))  # (N3)
    x_hat = (x - μ) / s  # (N4)
    return μ, σ2, s, x_hat


def _backward(g: Array, γ: Array, x_hat: Array, s: Array, axes: Axes, others: Axes) -> NormGradients:
    """Return the gradients; `axes` are those of mean and variance, `others` those along which gamma is broadcast."""
    if g.shape != x_hat.shape:
        raise ValueError(_COTANGENT.format(got=g.shape, need=x_hat.shape))
    dβ = g.sum(axis=others)  # (N8)
    dγ = (g * x_hat).sum(axis=others)  # (N9)
    h = γ * g  # (N10)
    mean, slope = h.mean(axis=axes, keepdims=True), (h * x_hat).mean(axis=axes, keepdims=True)
    dx = (h - mean - x_hat * slope) / s  # (N11)
    return NormGradients(dx, dγ, dβ)


def _feature_axes(x: Array) -> tuple[Axes, tuple[int, ...]]:
    """Return the axes of the statistics, all but the second, and the shape that lays features along the second."""
    return (0, *range(2, x.ndim)), (1, -1, *(1,) * (x.ndim - 2))


def _check(name: str, x: Array, need: tuple[int, ...], **given: Array) -> None:
    for key, array in given.items():
        if array.shape != need:
            raise ValueError(_FEATURES.format(key=key, got=array.shape, name=name, shape=x.shape, need=need))


def batch_norm(
    x: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array, *, momentum: float = 0.1,
    eps: float = 1e-5,
) -> BatchNorm:  # fmt: skip
    r"""Normalise each feature over the batch, and update the running statistics.

    .. math:: y = \gamma \odot \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    Args:
        x: `(batch, features)`, or `(batch, features, ...)` as images are; the axes after the second count as batch.
        gamma, beta: scale and shift, `(features,)`.
        running_mean, running_var: the statistics for later predictions, `(features,)`; they are not changed in place.
        momentum: the weight of this batch in the new running statistics, in [0, 1].
        eps: is added to the variance to keep the root away from 0.

    Returns:
        `y`; `x_hat` and `std`, which `batch_norm_backward` needs; and the new `running_mean` and `running_var` (for
        which the variance is divided by n - 1, as in PyTorch).

    Raises:
        ValueError: gamma, beta or a running statistic is not `(features,)`, or a feature has one value only.

    Source: Ioffe & Szegedy, Batch normalization (2015), algorithms 1 and 2.

    Example:
        >>> one, zero = np.ones(1), np.zeros(1)
        >>> out = batch_norm(np.array([[1.0], [3.0]]), one, zero, zero, one, eps=0.0)
        >>> out.y.tolist(), out.running_mean.tolist(), out.running_var.tolist()
        ([[-1.0], [1.0]], [0.2], [1.1])
    """
    axes, along = _feature_axes(x)
    _check(
        "batch_norm", x, x.shape[1:2], gamma=gamma, beta=beta, running_mean=running_mean, running_var=running_var
    )  # fmt: skip
    n = x.size // x.shape[1]
    if n < 2:
        raise ValueError(_ALONE.format(shape=x.shape))
    ρ = float(momentum)
    μ, σ2, s, x_hat = _normalise(x, axes, eps)
    y = gamma.reshape(along) * x_hat + beta.reshape(along)  # (N5)
    running_mean = (1 - ρ) * running_mean + ρ * μ.ravel()  # (N6)
    running_var = (1 - ρ) * running_var + ρ * n / (n - 1) * σ2.ravel()  # (N7)
    return BatchNorm(y, x_hat, s, running_mean, running_var)


def batch_norm_backward(g: Array, gamma: Array, x_hat: Array, std: Array) -> NormGradients:
    r"""Return the gradients of a batch norm, also through the mean and the variance of the batch.

    .. math:: \partial_x = \frac{1}{s} (h - \overline{h} - \hat x \odot \overline{h \odot \hat x}), \quad
              h = \gamma \odot g, \quad \partial_\gamma = \sum_n g \odot \hat x, \quad \partial_\beta = \sum_n g

    Args:
        g: gradient of `y`, of its shape.
        gamma: as given to `batch_norm`.
        x_hat, std: as returned by it.

    Returns:
        `dx` of the shape of `x`, `dgamma` and `dbeta` `(features,)`.

    Raises:
        ValueError: `g` does not have the shape of `x_hat`.

    Source: Ioffe & Szegedy (2015), section 3; derived in `docs/backprop_layers.md`.

    Example:
        >>> x_hat = np.array([[-1.0], [1.0]])
        >>> batch_norm_backward(np.array([[1.0], [0.0]]), np.ones(1), x_hat, np.ones((1, 1))).dx.tolist()
        [[0.0], [0.0]]
    """
    axes, along = _feature_axes(x_hat)
    return _backward(g, gamma.reshape(along), x_hat, std, axes, axes)


def layer_norm(x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5) -> LayerNorm:
    r"""Normalise each sample over its features, independently of the other samples.

    .. math:: y = \gamma \odot \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    Args:
        x: `(batch, ..., n_in)`.
        gamma, beta: scale and shift, `(n_in,)`, or the shape of as many of the last axes as are to be normalised over.
        eps: is added to the variance to keep the root away from 0.

    Returns:
        `y`; and `x_hat` and `std`, which `layer_norm_backward` needs.

    Raises:
        ValueError: gamma or beta does not have the shape of the last axes of x.

    Source: Ba, Kiros & Hinton, Layer normalization (2016), equation 3.

    Example:
        >>> layer_norm(np.array([[1.0, 3.0], [0.0, 8.0]]), np.ones(2), np.zeros(2), eps=0.0).y.tolist()
        [[-1.0, 1.0], [-1.0, 1.0]]
    """
    _check("layer_norm", x, x.shape[x.ndim - gamma.ndim :], gamma=gamma, beta=beta)
    _, _, s, x_hat = _normalise(x, tuple(range(x.ndim - gamma.ndim, x.ndim)), eps)
    y = gamma * x_hat + beta  # (N12)
    return LayerNorm(y, x_hat, s)


def layer_norm_backward(g: Array, gamma: Array, x_hat: Array, std: Array) -> NormGradients:
    r"""Return the gradients of a layer norm, also through the mean and the variance of each sample.

    .. math:: \partial_x = \frac{1}{s} (h - \overline{h} - \hat x \odot \overline{h \odot \hat x}), \quad
              h = \gamma \odot g, \quad \partial_\gamma = \sum_n g \odot \hat x, \quad \partial_\beta = \sum_n g

    Args:
        g: gradient of `y`, of its shape.
        gamma: as given to `layer_norm`.
        x_hat, std: as returned by it.

    Returns:
        `dx` of the shape of `x`, `dgamma` and `dbeta` of that of `gamma`.

    Raises:
        ValueError: `g` does not have the shape of `x_hat`.

    Source: Ba, Kiros & Hinton (2016); derived in `docs/backprop_layers.md`.

    Example:
        >>> x_hat = np.array([[-1.0, 1.0]])
        >>> layer_norm_backward(np.array([[1.0, 0.0]]), np.ones(2), x_hat, np.ones((1, 1))).dgamma.tolist()
        [-1.0, 0.0]
    """
    first = x_hat.ndim - gamma.ndim
    return _backward(g, gamma, x_hat, std, tuple(range(first, x_hat.ndim)), tuple(range(first)))
