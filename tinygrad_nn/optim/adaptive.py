"""Optimizers with a step size of its own for each weight: Adam and its variants, RMSprop, Adagrad, Adadelta."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..common.spelling import named_options
from .rule import RATE, Array, Init, Optimizer, OptimizerState, Update, decayed, make_optimizer, shrunk, two_zeros


def _adam_state(w: Array) -> OptimizerState:
    return *two_zeros(w), 0


@named_options(RATE)
def adam(
    beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0, amsgrad: bool = False
) -> Optimizer:
    r"""Adam: the moving average of gradients divided by the root of the moving average of their squares.

    .. math:: m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
              w \leftarrow w - \eta \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Args:
        beta1, beta2: the decay rates of the two moving averages.
        eps: added to the denominator, so that it is not 0.
        weight_decay: λ; λw is added to the gradient.
        amsgrad: whether the largest v so far is used in place of v.

    Raises:
        ValueError, TypeError: a hyper-parameter is out of range.

    Source: Kingma & Ba, Adam: a method for stochastic optimization (2015), algorithm 1.

    Example:
        >>> adam(weight_decay=0.1)
        adam(beta1=0.9, beta2=0.999, eps=1e-08, weight_decay=0.1)
    """
    pair = _adam(beta1, beta2, eps, weight_decay, amsgrad, decoupled=False)
    return make_optimizer(
        adam, 1e-3, *pair, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad
    )


@named_options(RATE)
def adamw(
    beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.01, amsgrad: bool = False
) -> Optimizer:
    r"""AdamW: Adam with decoupled weight decay, which does not enter the moving averages.

    .. math:: w \leftarrow (1 - \eta \lambda) w - \eta \frac{\hat m}{\sqrt{\hat v} + \epsilon}

    Source: Loshchilov & Hutter, Decoupled weight decay regularization (2019), algorithm 2.
    """
    pair = _adam(beta1, beta2, eps, weight_decay, amsgrad, decoupled=True)
    return make_optimizer(
        adamw, 1e-3, *pair, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad
    )


@named_options(RATE)
def amsgrad(beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0) -> Optimizer:
    r"""AMSGrad: Adam whose denominator never decreases.

    .. math:: u \leftarrow \max(u, v), \qquad
              w \leftarrow w - \eta \frac{\hat m}{\sqrt{u / (1 - \beta_2^t)} + \epsilon}

    Source: Reddi, Kale & Kumar, On the convergence of Adam and beyond (2018), as ``torch.optim.Adam(amsgrad=True)``.
    """
    pair = _adam(beta1, beta2, eps, weight_decay, True, decoupled=False)
    return make_optimizer(amsgrad, 1e-3, *pair, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay)


def _adam(β1: float, β2: float, eps: float, λ: float, highest: bool, decoupled: bool) -> tuple[Init, Update]:
    def update(g: Array, state: OptimizerState, η: Any, w: Array) -> tuple[Array, OptimizerState]:
        m, v, *u, t = state
        t = t + 1
        if not decoupled:
            g = decayed(g, w, weight_decay=λ)
        m = β1 * m + (1 - β1) * g
        v = β2 * v + (1 - β2) * (g * g)
        u = [np.maximum(u[0], v)] if highest else u
        root = (1 - β2**t) ** 0.5  # applied to two numbers instead of dividing an array
        step = η * root / (1 - β1**t) * m / (np.sqrt(u[0] if highest else v) + eps * root)
        return shrunk(step, w, rate=η, weight_decay=λ) if decoupled else step, (m, v, *u, t)

    return (lambda w: (*two_zeros(w), np.zeros_like(w), 0)) if highest else _adam_state, update


@named_options(RATE)
def nadam(
    beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0,
    momentum_decay: float = 0.004, decoupled: bool = False,
) -> Optimizer:  # fmt: skip
    r"""NAdam: Adam with Nesterov momentum and a momentum schedule.

    .. math:: \mu_t = \beta_1 (1 - \tfrac12\, 0.96^{t \psi}), \quad
              w \leftarrow w - \frac{\eta}{\sqrt{\hat v} + \epsilon} \left(
              \frac{1 - \mu_t}{1 - \prod_{i \le t} \mu_i} g + \frac{\mu_{t+1}}{1 - \prod_{i \le t+1} \mu_i} m \right)

    Args:
        beta1, beta2, eps, weight_decay: as in `adam`.
        momentum_decay: ψ.
        decoupled: whether weight decay is decoupled, as in `adamw`.

    Source: Dozat, Incorporating Nesterov momentum into Adam (2016), as ``torch.optim.NAdam``.
    """

    def update(g: Array, state: OptimizerState, η: Any, w: Array) -> tuple[Array, OptimizerState]:
        m, v, product, t = state
        t = t + 1
        if not decoupled:
            g = decayed(g, w, weight_decay=weight_decay)
        μ = beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay))
        μ_next = beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * momentum_decay))
        product = product * μ
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * (g * g)
        ahead = ((1 - μ) / (1 - product)) * g + (μ_next / (1 - product * μ_next)) * m
        step = η * ahead / (np.sqrt(v / (1 - beta2**t)) + eps)
        return shrunk(step, w, rate=η, weight_decay=weight_decay) if decoupled else step, (m, v, product, t)

    return make_optimizer(
        nadam, 2e-3, lambda w: (*two_zeros(w), 1.0, 0), update, beta1=beta1, beta2=beta2, eps=eps,
        weight_decay=weight_decay, momentum_decay=momentum_decay, decoupled=decoupled,
    )  # fmt: skip


@named_options(RATE)
def radam(
    beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0, decoupled: bool = False
) -> Optimizer:
    r"""RAdam: Adam with a rectified variance of the adaptive step.

    .. math:: \rho_\infty = \frac{2}{1 - \beta_2} - 1, \quad \rho = \rho_\infty - \frac{2 t \beta_2^t}{1 - \beta_2^t},
              \quad w \leftarrow w - \eta \hat m\, r \frac{\sqrt{1 - \beta_2^t}}{\sqrt v + \epsilon}, \quad
              r^2 = \frac{(\rho - 4)(\rho - 2) \rho_\infty}{(\rho_\infty - 4)(\rho_\infty - 2) \rho}

    While ρ is at most 5 the step is ``eta m_hat``.

    Args:
        beta1, beta2, eps, weight_decay: as in `adam`.
        decoupled: whether weight decay is decoupled, as in `adamw`.

    Source: Liu et al., On the variance of the adaptive learning rate and beyond (2020), as ``torch.optim.RAdam``.
    """

    def update(g: Array, state: OptimizerState, η: Any, w: Array) -> tuple[Array, OptimizerState]:
        m, v, t = state
        t = t + 1
        if not decoupled:
            g = decayed(g, w, weight_decay=weight_decay)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * (g * g)
        rest, end = 1 - beta2**t, 2 / (1 - beta2) - 1
        scale = end / ((end - 4) * (end - 2)) if end > 5 else 0.0  # else ρ never exceeds 5
        ρ = end - 2 * t * beta2**t / rest
        r = abs((ρ - 4) * (ρ - 2) * scale / ρ) ** 0.5  # r is not used when it would be imaginary
        step = η * (m / (1 - beta1**t))
        step = np.where(ρ > 5, step * (r * rest**0.5) / (np.sqrt(v) + eps), step)
        return shrunk(step, w, rate=η, weight_decay=weight_decay) if decoupled else step, (m, v, t)

    return make_optimizer(
        radam, 1e-3, _adam_state, update,
        beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay, decoupled=decoupled,
    )  # fmt: skip


@named_options(RATE)
def adamax(beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0) -> Optimizer:
    r"""AdaMax: Adam with a decaying maximum of absolute gradients in place of their mean square.

    .. math:: u \leftarrow \max(\beta_2 u, |g| + \epsilon), \qquad
              w \leftarrow w - \frac{\eta}{1 - \beta_1^t} \frac{m}{u}

    Source: Kingma & Ba (2015), algorithm 2, with the ε of ``torch.optim.Adamax``.
    """

    def update(g: Array, state: OptimizerState, η: Any, w: Array) -> tuple[Array, OptimizerState]:
        m, u, t = state
        t = t + 1
        g = decayed(g, w, weight_decay=weight_decay)
        m = beta1 * m + (1 - beta1) * g
        u = np.maximum(beta2 * u, np.abs(g) + eps)
        return η / (1 - beta1**t) * m / u, (m, u, t)

    return make_optimizer(
        adamax, 2e-3, _adam_state, update, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay
    )


@named_options(RATE)
def rmsprop(
    alpha: float = 0.99, eps: float = 1e-8, mu: float = 0.0, centered: bool = False, weight_decay: float = 0.0
) -> Optimizer:
    r"""RMSprop: the gradient divided by the root of the moving average of its square.

    .. math:: v \leftarrow \alpha v + (1 - \alpha) g^2, \qquad w \leftarrow w - \eta \frac{g}{\sqrt v + \epsilon}

    Args:
        alpha: the decay rate of the moving average; eps: added to the denominator, so that it is not 0.
        mu: the momentum, applied to the quotient.
        centered: whether the squared moving average of gradients is subtracted from v, which leaves the variance.
        weight_decay: λ; λw is added to the gradient.

    Source: Tieleman & Hinton, lecture 6.5 of Neural Networks for Machine Learning (2012); centred: Graves (2013).
    """

    def init(w: Array) -> OptimizerState:
        return tuple(np.zeros_like(w) for _ in range(1 + centered + bool(mu)))

    def update(g: Array, state: OptimizerState, η: Any, w: Array) -> tuple[Array, OptimizerState]:
        g = decayed(g, w, weight_decay=weight_decay)
        v = alpha * state[0] + (1 - alpha) * (g * g)
        kept = [v]
        if centered:
            mean = alpha * state[1] + (1 - alpha) * g
            v = np.maximum(v - mean * mean, 0)  # rounding may make a variance negative
            kept.append(mean)
        if not mu:
            return η * g / (np.sqrt(v) + eps), tuple(kept)
        roll = mu * state[-1] + g / (np.sqrt(v) + eps)
        return η * roll, (*kept, roll)

    return make_optimizer(
        rmsprop, 1e-2, init, update, alpha=alpha, eps=eps, mu=mu, centered=centered, weight_decay=weight_decay
    )


@named_options(RATE)
def adagrad(
    eps: float = 1e-10, lr_decay: float = 0.0, initial: float = 0.0, weight_decay: float = 0.0
) -> Optimizer:
    r"""Adagrad: the gradient divided by the root of the sum of all squared gradients so far.

    .. math:: s \leftarrow s + g^2, \qquad
              w \leftarrow w - \frac{\eta}{1 + (t - 1) \delta} \frac{g}{\sqrt s + \epsilon}

    Args:
        eps: added to the denominator, so that it is not 0.
        lr_decay: δ, the decay of the learning rate.
        initial: the value of s before the first step.
        weight_decay: λ; λw is added to the gradient.

    Source: Duchi, Hazan & Singer, Adaptive subgradient methods (2011).
    """

    def update(g: Array, state: OptimizerState, η: Any, w: Array) -> tuple[Array, OptimizerState]:
        s, t = state
        g = decayed(g, w, weight_decay=weight_decay)
        s = s + g * g
        return η / (1 + t * lr_decay) * g / (np.sqrt(s) + eps), (s, t + 1)

    return make_optimizer(
        adagrad, 1e-2, lambda w: (np.full_like(w, initial), 0), update,
        eps=eps, lr_decay=lr_decay, initial=initial, weight_decay=weight_decay,
    )  # fmt: skip


@named_options(RATE)
def adadelta(rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0) -> Optimizer:
    r"""Adadelta: the gradient scaled by the ratio of the root mean squares of past steps and gradients.

    .. math:: v \leftarrow \rho v + (1 - \rho) g^2, \quad
              \Delta = \frac{\sqrt{u + \epsilon}}{\sqrt{v + \epsilon}}\, g, \quad
              u \leftarrow \rho u + (1 - \rho) \Delta^2, \quad w \leftarrow w - \eta \Delta

    Source: Zeiler, ADADELTA: an adaptive learning rate method (2012), algorithm 1.
    """

    def update(g: Array, state: OptimizerState, η: Any, w: Array) -> tuple[Array, OptimizerState]:
        v, u = state
        g = decayed(g, w, weight_decay=weight_decay)
        v = rho * v + (1 - rho) * (g * g)
        Δ = np.sqrt(u + eps) / np.sqrt(v + eps) * g
        u = rho * u + (1 - rho) * (Δ * Δ)
        return η * Δ, (v, u)

    return make_optimizer(adadelta, 1.0, two_zeros, update, rho=rho, eps=eps, weight_decay=weight_decay)
