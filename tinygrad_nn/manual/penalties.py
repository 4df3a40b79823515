r"""The four penalties on a matrix of weights: their values and their gradients.

Each entry of `PENALTIES` is a pair `(value, gradient)`, functions of `(W, lam, r)`. Biases are not penalised, and a
penalty is added once to the loss of the batch, not once per sample. Equations are numbered as in `docs/backprop.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


class Penalty(NamedTuple):
    """The value of a penalty, and its gradient with respect to the weights."""

    value: Callable[[Array, float, float], Any]
    gradient: Callable[[Array, float, float], Array]


PENALTIES: dict[str, Penalty] = {
    "none": Penalty(
        lambda W, λ, r: W.dtype.type(0),
        lambda W, λ, r: np.zeros_like(W),
    ),
    "l1": Penalty(
        lambda W, λ, r: λ * np.abs(W).sum(),  # (B46)
        lambda W, λ, r: λ * np.sign(W),  # (B47)
    ),
    "l2": Penalty(
        lambda W, λ, r: λ / 2 * (W**2).sum(),  # (B48)
        lambda W, λ, r: λ * W,  # (B49)
    ),
    "elasticnet": Penalty(
        lambda W, λ, r: r * λ * np.abs(W).sum() + (1 - r) * λ / 2 * (W**2).sum(),  # (B50)
        lambda W, λ, r: r * λ * np.sign(W) + (1 - r) * λ * W,  # (B51)
    ),
}

_UNKNOWN = "unknown penalty {name!r}: use one of {known}"


def penalty_pair(name: str) -> Penalty:
    r"""Look up a penalty by its name, in any letter case.

    .. math:: r \lambda \sum |W| + (1 - r) \tfrac{\lambda}{2} \sum W^2

    is elasticnet; l1 is its case r = 1, and l2 its case r = 0. The derivative of |W| at 0 is taken to be 0.

    Args:
        name: `'none'`, `'l1'`, `'l2'` or `'elasticnet'`.

    Returns:
        The pair `(value, gradient)`, functions of `W` of shape `(n_out, n_in)`, `lam` >= 0 and `r` in [0, 1).

    Raises:
        ValueError: if there is no such penalty.

    Source: Zou & Hastie, Regularization and variable selection via the elastic net (2005).

    Example:
        >>> value, gradient = penalty_pair("l2")
        >>> float(value(np.array([[3.0, 4.0]]), 0.1, 0.5))
        1.25
    """
    try:
        return PENALTIES[name.strip().lower()]
    except KeyError:
        raise ValueError(_UNKNOWN.format(name=name, known=", ".join(PENALTIES))) from None
