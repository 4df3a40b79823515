"""Gradient clipping: by value, and by the norm of all gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..leaves import replace_gradient
from ..tensor import Tensor

Array = Any


def clip_by_value(gradients: Iterable[Array | None], limit: float) -> list[Array | None]:
    r"""Clip every entry of the gradients to the interval from -limit to limit.

    .. math:: g \leftarrow \min(\max(g, -c), c)

    Args:
        gradients: arrays of any shapes; ``None`` (no gradient) is kept.
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
        gradients: arrays of any shapes; ``None`` (no gradient) is kept.
        limit: c, positive.
        eps: added to the norm, so that the quotient is finite.

    Returns:
        New arrays of the same shapes and dtypes, and the norm before clipping, which is summed in float64.

    Raises:
        ValueError: the limit is not positive.

    Source: Pascanu, Mikolov & Bengio (2013), algorithm 1; as ``torch.nn.utils.clip_grad_norm_``.

    Example:
        >>> clipped, norm = clip_by_norm([np.array([3.0]), np.array([4.0])], 1.0)
        >>> float(norm), [g.round(3).tolist() for g in clipped]
        (5.0, [[0.6], [0.8]])
    """
    limit, gradients = _limit("clip_by_norm", limit), list(gradients)
    norm = total_norm(gradients)
    return _scale_to_limit(gradients, limit, norm, eps), norm


def total_norm(gradients: Iterable[Array | None], order: float = 2.0) -> Any:
    r"""Return the norm of all gradients as one long vector, summed in float64.

    .. math:: n = \left(\textstyle\sum |g|^p\right)^{1/p}

    Args:
        gradients: arrays of any shapes; ``None`` (no gradient) counts as 0.
        order: p, positive; ``inf`` for the largest entry.

    Source: as ``torch.nn.utils.get_total_norm``.

    Example:
        >>> print(total_norm([np.array([3.0]), None, np.array([-4.0])]), total_norm([np.array([3.0, -4.0])], np.inf))
        5.0 4.0
    """
    wide = [g.astype(np.float64) for g in gradients if g is not None]  # a square may overflow float32
    if not wide:
        return np.float64(0)
    if order == math.inf:
        return np.max([np.abs(g).max(initial=0.0) for g in wide])
    if order == 2:
        return np.sqrt(sum((g * g).sum() for g in wide))
    return sum((np.abs(g) ** order).sum() for g in wide) ** (1 / order)


def clip_grad_norm_(
    parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Any:  # fmt: skip
    r"""Scale the gradients of parameters, in place, by one factor so that their norm is at most a limit.

    .. math:: g \leftarrow g \min\left(1, \frac{c}{n + 10^{-6}}\right)

    Args:
        parameters: Tensors such as ``model.parameters()``, or one Tensor; those without a gradient are skipped.
        max_norm: c; with ``inf`` the norm is only computed.
        norm_type: the order of the norm, ``inf`` for the largest entry.
        error_if_nonfinite: whether to raise if the norm is not finite; foreach: as in PyTorch, has no effect.

    Returns:
        The norm before clipping.

    Raises:
        RuntimeError: the norm is not finite and error_if_nonfinite is True; ValueError: the limit is not positive.

    Source: as ``torch.nn.utils.clip_grad_norm_``.
    """
    if float(norm_type) <= 0:
        raise ValueError(f"clip_grad_norm_: norm_type={norm_type!r}; it must be positive, e.g. 2.0 or float('inf').")
    held = _with_gradients("clip_grad_norm_", parameters)
    gradients = [t.node.grad for t in held]
    norm = total_norm(gradients, float(norm_type))
    if error_if_nonfinite and not math.isfinite(norm):
        raise RuntimeError(f"clip_grad_norm_: the norm of the gradients is {norm}; with error_if_nonfinite=False "
                           "they are scaled anyway.")  # fmt: skip
    if max_norm != math.inf:
        _replace_gradients(
            held, _scale_to_limit(gradients, _limit("clip_grad_norm_", max_norm, "max_norm"), norm, 1e-6)
        )
    return norm


def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Clip every entry of the gradients of parameters to the interval from -clip_value to clip_value, in place.

    Args:
        parameters: Tensors such as ``model.parameters()``, or one; clip_value: positive; foreach: has no effect.

    Raises:
        ValueError: the limit is not positive.

    Source: as ``torch.nn.utils.clip_grad_value_``.
    """
    held = _with_gradients("clip_grad_value_", parameters)
    limit = _limit("clip_grad_value_", clip_value, "clip_value")
    _replace_gradients(held, [np.clip(t.node.grad, -limit, limit) for t in held])


def _scale_to_limit(gradients: list[Array | None], limit: float, norm: Any, eps: float) -> list[Array | None]:
    factor = np.minimum(1.0, limit / (norm + eps))
    return [None if g is None else g * factor.astype(g.dtype) for g in gradients]


def _with_gradients(call: str, parameters: Any) -> list[Any]:
    """Return the parameters that have a gradient."""
    if hasattr(parameters, "parameters"):
        raise TypeError(f"{call}: this is a model; pass model.parameters().")
    found = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    for t in found:
        if not isinstance(t, Tensor):
            raise TypeError(f"{call}: {t!r:.60} is of type {type(t).__name__}; pass parameters, such as "
                            "model.parameters(). Arrays are clipped by optim.clip_by_norm.")  # fmt: skip
    return [t for t in found if t.node is not None and t.node.grad is not None]


def _replace_gradients(parameters: list[Any], gradients: list[Any]) -> None:
    for t, g in zip(parameters, gradients, strict=True):
        replace_gradient(t.node, g)


def _limit(call: str, limit: Any, name: str = "limit") -> float:
    if isinstance(limit, bool) or not isinstance(limit, (int, float, np.number)) or not 0 < limit < math.inf:
        raise ValueError(f"{call}: {name}={limit!r:.60}; it must be a positive finite number, e.g. 1.0.")
    return float(limit)
