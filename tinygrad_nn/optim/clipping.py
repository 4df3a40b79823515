"""Gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

Array = Any


def clip_by_value(gradients: Iterable[Array | None], limit: float) -> list[Array | None]:
    r"""Clip every entry of the gradients to the interval from -limit to limit.

    .. math:: g \leftarrow \min(\max(g, -c), c)

    Args:
        gradients: arrays of any shapes; ``None``, where there is no gradient, stays.
        limit: c, positive.

    Returns:
        New arrays of the same shapes and dtypes.

    Raises:
        ValueError: the limit is not positive.

    Source: as ``torch.nn.utils.clip_grad_value_``.

    Example:
        >>> clip_by_value([np.array([3.0, -0.5]), None], 1.0)
        [array([ 1. , -0.5]), None]
    """
    limit = _limit("clip_by_value", limit)
    return [None if g is None else np.clip(g, -limit, limit) for g in gradients]


def clip_by_norm(gradients: Iterable[Array | None], limit: float, eps: float = 1e-6) -> tuple[list[Array | None], Any]:
    r"""Scale all gradients by one factor so that their global norm is at most a limit.

    .. math:: n = \sqrt{\textstyle\sum g^2}, \qquad g \leftarrow g \min\left(1, \frac{c}{n + \epsilon}\right)

    Args:
        gradients: arrays of any shapes; ``None``, where there is no gradient, stays.
        limit: c, positive.
        eps: keeps the quotient finite.

    Returns:
        New arrays of the same shapes and dtypes, and the norm before, which is summed in float64.

    Raises:
        ValueError: the limit is not positive.

    Source: Pascanu, Mikolov & Bengio (2013), algorithm 1; as ``torch.nn.utils.clip_grad_norm_``.

    Example:
        >>> clipped, norm = clip_by_norm([np.array([3.0]), np.array([4.0])], 1.0)
        >>> float(norm), [g.round(3).tolist() for g in clipped]
        (5.0, [[0.6], [0.8]])
    """
    limit, gradients = _limit("clip_by_norm", limit), list(gradients)
    wide = [g.astype(np.float64) for g in gradients if g is not None]  # a square may overflow float32
    norm = np.sqrt(sum((g * g).sum() for g in wide)) if wide else np.float64(0)
    factor = np.minimum(1.0, limit / (norm + eps))
    return [None if g is None else g * factor.astype(g.dtype) for g in gradients], norm


def _limit(call: str, limit: Any) -> float:
    if isinstance(limit, bool) or not isinstance(limit, (int, float, np.number)) or not 0 < limit < math.inf:
        raise ValueError(f"{call}: limit={limit!r:.60}; it must be a positive finite number, e.g. 1.0.")
    return float(limit)
