"""SGD with momentum, Lion and Muon: the step is a mean of gradients, its sign, or its orthogonal factor."""

from __future__ import annotations

import math

import numpy as np

from ..common.spelling import named_options
from .adaptive import adamw
from .rule import (
    RATE,
    Array,
    Init,
    Optimizer,
    OptimizerState,
    Update,
    decayed,
    make_optimizer,
    no_state,
    one_zero,
    shrunk,
)


@named_options(RATE)
def sgd(mu: float = 0.0, dampening: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0) -> Optimizer:
    r"""Stochastic gradient descent, with optional momentum, dampening and Nesterov momentum.

    .. math:: v \leftarrow \mu v + (1 - d) g, \qquad w \leftarrow w - \eta v \quad \text{or} \quad
              w \leftarrow w - \eta (g + \mu v)

    Args:
        mu: the momentum μ.
        dampening: d, the share by which each gradient, except the first, is reduced before it is added to v.
        nesterov: whether to use Nesterov momentum; it needs momentum without dampening.
        weight_decay: λ; λw is added to the gradient.

    Raises:
        ValueError, TypeError: a hyper-parameter is out of range.

    Source: Robbins & Monro (1951); Polyak (1964); Nesterov (1983); Sutskever et al. (2013), as ``torch.optim.SGD``.

    Example:
        >>> sgd(0.9, nesterov=True)
        sgd(mu=0.9, nesterov=True)
    """
    if nesterov is True and not (mu and not dampening):
        raise ValueError(
            f"sgd: nesterov=True with mu={mu!r} and dampening={dampening!r}; it needs momentum and no dampening, e.g. "
            "sgd(mu=0.9, nesterov=True)."
        )
    rolling = _momentum_sgd(mu, weight_decay, dampening=dampening, ahead=nesterov)
    init, update = rolling if mu else _plain_sgd(weight_decay)
    return make_optimizer(
        sgd, 1e-3, init, update, mu=mu, dampening=dampening, nesterov=nesterov, weight_decay=weight_decay
    )


@named_options(RATE)
def momentum(mu: float = 0.9, weight_decay: float = 0.0) -> Optimizer:
    r"""Gradient descent with momentum.

    .. math:: v \leftarrow \mu v + g, \qquad w \leftarrow w - \eta v

    Source: Polyak (1964); Sutskever et al. (2013), in the form of ``torch.optim.SGD(momentum=mu)``.
    """
    return make_optimizer(momentum, 1e-3, *_momentum_sgd(mu, weight_decay), mu=mu, weight_decay=weight_decay)


@named_options(RATE)
def nesterov(mu: float = 0.9, weight_decay: float = 0.0) -> Optimizer:
    r"""Gradient descent with Nesterov momentum.

    .. math:: v \leftarrow \mu v + g, \qquad w \leftarrow w - \eta (g + \mu v)

    Source: Nesterov (1983); Sutskever et al. (2013), as ``torch.optim.SGD(momentum=mu, nesterov=True)``.
    """
    return make_optimizer(
        nesterov, 1e-3, *_momentum_sgd(mu, weight_decay, ahead=True), mu=mu, weight_decay=weight_decay
    )


def _plain_sgd(weight_decay: float) -> tuple[Init, Update]:
    def update(g: Array, state: OptimizerState, η: float, w: Array) -> tuple[Array, OptimizerState]:
        return η * decayed(g, w, weight_decay=weight_decay), state

    return no_state, update


def _momentum_sgd(mu: float, weight_decay: float, dampening: float = 0.0, ahead: bool = False) -> tuple[Init, Update]:
    def update(g: Array, state: OptimizerState, η: float, w: Array) -> tuple[Array, OptimizerState]:
        g = decayed(g, w, weight_decay=weight_decay)
        (v,) = state
        v = mu * v + g
        return η * (g + mu * v if ahead else v), (v,)

    def dampened(g: Array, state: OptimizerState, η: float, w: Array) -> tuple[Array, OptimizerState]:
        g = decayed(g, w, weight_decay=weight_decay)
        v, share = state  # the first gradient is not dampened
        v = mu * v + share * g
        return η * v, (v, 1 - dampening)

    return (lambda w: (*one_zero(w), 1.0), dampened) if dampening else (one_zero, update)


@named_options(RATE)
def lion(beta1: float = 0.9, beta2: float = 0.99, weight_decay: float = 0.0) -> Optimizer:
    r"""Lion: each weight moves by eta along the sign of a moving average of gradients.

    .. math:: w \leftarrow w - \eta (\operatorname{sign}(\beta_1 m + (1 - \beta_1) g) + \lambda w), \qquad
              m \leftarrow \beta_2 m + (1 - \beta_2) g

    PyTorch has no Lion; the defaults are those of the paper, except that weight decay is 0.

    Source: Chen et al., Symbolic discovery of optimization algorithms (2023), algorithm 2.
    """

    def update(g: Array, state: OptimizerState, η: float, w: Array) -> tuple[Array, OptimizerState]:
        (m,) = state
        step = η * np.sign(beta1 * m + (1 - beta1) * g)
        return shrunk(step, w, rate=η, weight_decay=weight_decay), (beta2 * m + (1 - beta2) * g,)

    return make_optimizer(lion, 1e-4, one_zero, update, beta1=beta1, beta2=beta2, weight_decay=weight_decay)


QUINTIC = 3.4445, -4.7750, 2.0315  # steep at 0, so that five iterations bring singular values as small as 0.002 near 1
TURNS = 5


@named_options(RATE)
def muon(
    mu: float = 0.95, nesterov: bool = True, weight_decay: float = 0.1, eps: float = 1e-7, adjust: str = "original"
) -> Optimizer:
    r"""Muon, for matrices: momentum, with all singular values of the step brought near 1.

    .. math:: B \leftarrow \mu B + (1 - \mu) G, \qquad
              W \leftarrow (1 - \eta \lambda) W - \eta\, s\, \operatorname{orth}((1 - \mu) G + \mu B)

    Args:
        mu: the momentum; nesterov: whether the gradient is added once more, as in the equation; else ``orth(B)``.
        weight_decay: λ, decoupled; eps: the smallest norm by which a matrix is divided.
        adjust: the factor s: ``'original'`` is ``sqrt(max(1, rows / columns))``, ``'match_rms_adamw'`` is
            ``0.2 sqrt(max(rows, columns))``, so that learning rates of AdamW are suitable.

    A parameter with more than two axes is treated as a matrix ``(len, -1)``. One with fewer axes, such as a bias, is
    updated by `adamw` with the same learning rate and weight decay. ``torch.optim.Muon`` rejects both cases, and
    computes ``orth`` in bfloat16.

    Source: Jordan, Muon: an optimizer for hidden layers in neural networks (2024); Liu et al. (2025).
    """
    rest = adamw(weight_decay=weight_decay)

    def update(g: Array, state: OptimizerState, η: float, w: Array) -> tuple[Array, OptimizerState]:
        if g.ndim < 2:
            return rest.update(g, state, η, w)
        (B,) = state
        B = mu * B + (1 - mu) * g
        G = ((1 - mu) * g + mu * B if nesterov else B).reshape((len(g), math.prod(g.shape[1:])))
        rows, columns = G.shape
        s = math.sqrt(max(1, rows / columns)) if adjust == "original" else 0.2 * math.sqrt(max(rows, columns))
        return shrunk(η * s * orthogonal(G, eps).reshape(g.shape), w, rate=η, weight_decay=weight_decay), (B,)

    return make_optimizer(
        muon, 1e-3, lambda w: one_zero(w) if w.ndim > 1 else rest.init(w), update,
        mu=mu, nesterov=nesterov, weight_decay=weight_decay, eps=eps, adjust=adjust,
    )  # fmt: skip


def orthogonal(G: Array, eps: float = 1e-7) -> Array:
    r"""Bring the singular values of a matrix near 1, using matrix products only.

    .. math:: X \leftarrow a X + (b X X^T + c (X X^T)^2) X, \qquad X_0 = G / \max(\|G\|, \epsilon)

    Args:
        G: a matrix ``(rows, columns)``.
        eps: the smallest norm by which the matrix is divided.

    Returns:
        A matrix with the same singular vectors; singular values of at least 1/500 of the norm are now in 0.68 to 1.21.

    Raises:
        ValueError: G is not a matrix.

    Source: Jordan (2024): the Newton-Schulz iteration with a polynomial of fifth order, five times.
    """
    if np.ndim(G) != 2:
        raise ValueError(f"orthogonal takes a matrix; G has shape {np.shape(G)}. Write G.reshape(len(G), -1).")
    a, b, c = QUINTIC
    X = G / np.maximum(np.sqrt((G * G).sum()), eps)
    tall = X.shape[0] > X.shape[1]
    if tall:
        X = X.T
    for _ in range(TURNS):
        A = X @ X.T  # the smaller of X X^T and X^T X
        X = a * X + (b * A + c * (A @ A)) @ X
    return X.T if tall else X
