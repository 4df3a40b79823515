"""``torch.distributions``: densities that can be differentiated, and samples of them."""

from __future__ import annotations

from math import log, prod
from typing import Any

import numpy as np

from ..common.spelling import no_attribute
from ..nn.losses.reduction import refuse_where
from ..node import no_grad
from ..ops.neural import log_softmax
from ..ops.special import erfc
from ..tensor import raw
from .constructors import constant, multinomial, randn

__all__ = ["Categorical", "MultivariateNormal", "Normal", "kl_divergence"]
_LOG_2_PI = log(2 * np.pi)


def _floats(x: Any) -> Any:
    """Return a parameter as a Tensor of floats, also if it is made of integers."""
    t = constant(x)
    return t.astype(np.float64) if t.dtype.kind in "biu" else t


class Normal:
    r"""Normally distributed numbers, each with a mean ``loc`` and a standard deviation ``scale`` of its own.

    .. math:: p(x) = e^{-(x - \mu)^2 / 2 \sigma^2} / \sqrt{2 \pi} \sigma

    Args:
        loc, scale: numbers or arrays whose shapes broadcast; scale is above 0.

    Raises:
        ValueError: an entry of scale is not above 0.

    Example:
        >>> f"{Normal(0.0, 2.0).log_prob(1.0).item():.4f}"
        '-1.7371'
    """

    def __init__(self, loc: Any, scale: Any) -> None:
        self.loc, self.scale = np.broadcast_arrays(_floats(loc), _floats(scale))
        values = raw(self.scale)
        refuse_where("Normal", "scale", values, ~(values > 0), "it must be above 0, as torch.exp(t) is.")

    mean = mode = property(lambda self: self.loc)
    batch_shape, event_shape = property(lambda self: self.loc.shape), ()
    stddev = property(lambda self: self.scale)
    variance = property(lambda self: self.scale**2)

    def rsample(self, sample_shape: Any = ()) -> Any:
        """Return samples of shape ``(*sample_shape, *loc.shape)``, with gradients to loc and scale."""
        return self.loc + self.scale * randn(*sample_shape, *self.loc.shape, dtype=self.loc.dtype)

    def sample(self, sample_shape: Any = ()) -> Any:
        """Return samples without a graph."""
        with no_grad():
            return self.rsample(sample_shape)

    def log_prob(self, value: Any) -> Any:
        """Return the logarithm of the density."""
        return -(((value - self.loc) / self.scale) ** 2) / 2 - np.log(self.scale) - _LOG_2_PI / 2

    def cdf(self, value: Any) -> Any:
        """Return the probability of a number up to `value`."""
        return erfc((self.loc - value) / (self.scale * 2**0.5)) / 2

    def entropy(self) -> Any:
        """Return the entropy, in nats."""
        return np.log(self.scale) + (1 + _LOG_2_PI) / 2


class MultivariateNormal:
    r"""Normally distributed vectors with a mean ``loc`` and a covariance matrix, or its factor ``scale_tril``.

    .. math:: p(x) = e^{-\|L^{-1}(x - \mu)\|^2 / 2} / (2 \pi)^{d/2} |L|, \quad \Sigma = L L^T

    Args:
        loc: means of shape ``(..., d)``.
        covariance_matrix, scale_tril: one of the two, of shape ``(..., d, d)``.

    Raises:
        ValueError: both are given, or none.

    Example:
        >>> f"{MultivariateNormal(np.zeros(2), np.eye(2)).log_prob(np.ones(2)).item():.4f}"
        '-2.8379'
    """

    def __init__(self, loc: Any, covariance_matrix: Any = None, *, scale_tril: Any = None) -> None:
        if (covariance_matrix is None) == (scale_tril is None):
            raise ValueError("MultivariateNormal needs either covariance_matrix= or scale_tril=.")
        if scale_tril is None:
            self.scale_tril = np.linalg.cholesky(_floats(covariance_matrix))
        else:
            self.scale_tril = _floats(scale_tril)
        *rows, length = np.shape(raw(loc))
        several = np.broadcast_shapes(tuple(rows), self.scale_tril.shape[:-2])
        self.loc = self.mean = self.mode = np.broadcast_to(_floats(loc), (*several, length))

    batch_shape = property(lambda self: self.loc.shape[:-1])
    event_shape = property(lambda self: self.loc.shape[-1:])
    covariance_matrix = property(lambda self: self.scale_tril @ self.scale_tril.mT)
    variance = property(lambda self: (self.scale_tril**2).sum(axis=-1))

    def rsample(self, sample_shape: Any = ()) -> Any:
        """Return samples of shape ``(*sample_shape, *loc.shape)``, with gradients to the parameters."""
        return self.loc + (self.scale_tril @ randn(*sample_shape, *self.loc.shape, 1, dtype=self.loc.dtype))[..., 0]

    sample = Normal.sample

    def log_prob(self, value: Any) -> Any:
        """Return the logarithm of the density."""
        z = np.linalg.solve(self.scale_tril, (value - self.loc)[..., None])[..., 0]
        return -((z**2).sum(axis=-1) + _LOG_2_PI * self.loc.shape[-1]) / 2 - self._log_volume()

    def entropy(self) -> Any:
        """Return the entropy, in nats."""
        entropy = self._log_volume() + (1 + _LOG_2_PI) * self.loc.shape[-1] / 2
        return np.broadcast_to(entropy, self.loc.shape[:-1])

    def _log_volume(self) -> Any:
        return np.log(np.diagonal(self.scale_tril, axis1=-2, axis2=-1)).sum(axis=-1)


class Categorical:
    """The numbers of classes, 0, 1, ..., drawn with probabilities ``probs``, or with the softmax of ``logits``.

    Args:
        probs, logits: one of the two, of shape ``(..., classes)``; probabilities are divided by their sum.

    Raises:
        ValueError: both are given, or none; or a probability is below 0.

    Example:
        >>> f"{Categorical(probs=np.array([0.2, 0.8])).log_prob(1).item():.4f}"
        '-0.2231'
    """

    def __init__(self, probs: Any = None, logits: Any = None) -> None:
        if (probs is None) == (logits is None):
            raise ValueError("Categorical needs either probs= or logits=.")
        if probs is None:
            self.logits = log_softmax(constant(logits), axis=-1)
            self.probs = np.exp(self.logits)
        else:
            p = _floats(probs)
            values = raw(p)
            fix = "it must be 0 or more; other numbers are logits=."
            refuse_where("Categorical", "probs", values, ~(values >= 0), fix)
            self.probs = p / p.sum(axis=-1, keepdims=True)
            tiny = np.finfo(self.probs.dtype).eps  # as in PyTorch, a probability of 0 has no infinite logarithm
            self.logits = np.log(np.clip(self.probs, tiny, 1 - tiny))

    batch_shape, event_shape = property(lambda self: self.probs.shape[:-1]), ()
    mode = property(lambda self: constant(self.probs.data.argmax(axis=-1)))

    def sample(self, sample_shape: Any = ()) -> Any:
        """Return samples of shape ``(*sample_shape, *probs.shape[:-1])``."""
        *rows, classes = self.probs.shape
        found = multinomial(self.probs.data.reshape(-1, classes), prod(sample_shape), replacement=True)
        return found.T.reshape(*sample_shape, *rows)

    def log_prob(self, value: Any) -> Any:
        """Return the logarithm of the probability."""
        places = np.asarray(raw(value)).astype(int)[..., None]
        shape = np.broadcast_shapes(places.shape[:-1], self.logits.shape[:-1])
        logits = np.broadcast_to(self.logits, (*shape, self.logits.shape[-1]))
        return np.take_along_axis(logits, np.broadcast_to(places, (*shape, 1)), -1)[..., 0]

    def entropy(self) -> Any:
        """Return the entropy, in nats."""
        least = np.finfo(self.logits.dtype).min  # so that a probability of 0 adds 0, not 0 times infinity
        return -(self.probs * np.clip(self.logits, least, None)).sum(axis=-1)


def kl_divergence(p: Any, q: Any) -> Any:
    r"""Return the Kullback-Leibler divergence of two Normal or two Categorical distributions.

    .. math:: D(p \| q) = \mathrm{E}_p \log (p / q)

    Raises:
        NotImplementedError: for distributions of other kinds.

    Example:
        >>> f"{kl_divergence(Normal(0.0, 1.0), Normal(1.0, 2.0)).item():.4f}"
        '0.4431'
    """
    if isinstance(p, Categorical) and isinstance(q, Categorical):
        terms = np.where(q.probs == 0, np.inf, p.probs * (p.logits - q.logits))
        return np.where(p.probs == 0, 0.0, terms).sum(axis=-1)
    if isinstance(p, Normal) and isinstance(q, Normal):
        ratio = (p.scale / q.scale) ** 2
        return (ratio + ((p.loc - q.loc) / q.scale) ** 2 - 1 - np.log(ratio)) / 2
    names = f"{type(p).__name__} and {type(q).__name__}"
    raise NotImplementedError(
        f"kl_divergence of {names}: it needs two Normal or two Categorical. Write the mean of p.log_prob(x) - "
        "q.log_prob(x) over samples x of p."
    )


def __getattr__(name: str) -> object:
    formula = "Write the formula of its density, and draw with torch.randn or NumPy."
    raise no_attribute("torch.distributions", name, __all__, {name: formula} if name[0].isupper() else {})
