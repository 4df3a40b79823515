"""Dropout layers: entries or whole channels set to zero at random, in training mode only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.arguments import as_generator
from ..transforms.batching import draw_for_samples
from .keywords import pytorch_names
from .linear import as_array
from .module import Module

if TYPE_CHECKING:
    from .init import Rng


@pytorch_names(None, "inplace")
class Dropout(Module):
    r"""Set each entry to zero with probability p and scale the others by 1/(1 - p); in eval mode, return x unchanged.

    .. math:: y = m \odot x, \qquad m \in \{0, 1 / (1 - p)\}

    Args:
        p: the probability, at least 0 and below 1.
        rng: a Generator or a seed for the masks; `fit` and `Module.seed` replace it.

    Raises:
        ValueError: p is not at least 0 and below 1.

    Source: Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting (2014), inverted.

    Example:
        >>> layer = Dropout(0.5, rng=0)
        >>> layer(np.ones(6)), layer.eval()(np.ones(6))
        (array([2., 0., 0., 0., 2., 2.]), array([1., 1., 1., 1., 1., 1.]))
    """

    def __init__(self, p: float = 0.5, *, rng: Rng = None) -> None:
        check_share(type(self).__name__, p)
        self.p = float(p)
        self.rng = as_generator(rng)

    def forward(self, x: Any) -> Any:
        """Return x; in training mode, with entries dropped."""
        if not self.training or self.p == 0:
            return x
        x = as_array(x)
        return x * dropout_mask(self.rng, self.p, self.mask_shape(x.shape), x)

    def mask_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the mask for an input of this shape."""
        return shape

    def about(self) -> str:
        """Return p."""
        return f"{self.p:g}"


class SpatialDropout(Dropout):
    r"""Drop whole channels: one draw for each sample and channel of ``(batch, channels, *spatial)``.

    .. math:: y_{nc} = m_{nc}\, x_{nc}, \qquad m_{nc} \in \{0, 1 / (1 - p)\}

    Args:
        p: the probability, at least 0 and below 1.
        rng: a Generator or a seed for the masks; `fit` and `Module.seed` replace it.

    Raises:
        ValueError: p is not at least 0 and below 1; from a call, x has fewer than three axes.

    Source: Tompson et al., Efficient object localization using convolutional networks (2015).

    Example:
        >>> kept = SpatialDropout(0.5, rng=0)(np.ones((1, 4, 2, 2)))
        >>> kept.sum(axis=(2, 3))
        array([[8., 0., 0., 0.]])
    """

    def mask_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the mask's shape: one entry for each sample and channel."""
        if len(shape) < 3:
            raise ValueError(f"SpatialDropout needs (batch, channels, *spatial); x has shape {shape}. Use Dropout.")
        return *shape[:2], *(1 for _ in shape[2:])


Dropout1d = Dropout2d = SpatialDropout  # PyTorch's names, which state the number of spatial axes


def dropout_mask(rng: np.random.Generator, p: float, shape: tuple[int, ...], x: Any) -> Any:
    """Return 0 with probability p and otherwise 1 / (1 - p), drawn for each sample if x is mapped.

    The mask has the dtype of x, or float64 if x has integers.
    """
    mask = (draw_for_samples(rng.random, shape, x) >= p) / (1 - p)
    return mask.astype(x.dtype) if x.dtype.kind in "fc" else mask  # integers become floats


def check_share(call: str, p: Any) -> None:
    """Raise unless p is a number from 0 to 1, without 1."""
    if isinstance(p, bool) or not isinstance(p, (int, float, np.number)):
        raise TypeError(f"{call}: p={p!r:.60} is of type {type(p).__name__}; it needs a number, e.g. p=0.5.")
    if not 0 <= p < 1:
        hint = f" {p:g} % are p={p / 100:g}." if 1 < p < 100 else ""
        raise ValueError(f"{call}: p={p!r}; the dropped share must be at least 0 and below 1.{hint}")
