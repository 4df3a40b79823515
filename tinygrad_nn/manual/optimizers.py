r"""The optimizers by hand: how a gradient changes a weight, and the state that is kept for the next step.

Each entry of `UPDATES` is a pair `(start, step)`: `start(w)` is the state before the first step (`memory`, a tuple),
and `step(w, g, memory, eta, ...)` returns the new weight and the new memory. Nothing is changed in place. Equations are
numbered as in `docs/optimizers.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Memory = tuple[Any, ...]


class Update(NamedTuple):
    """One optimizer: its state before the first step, and its step."""

    start: Callable[[Array], Memory]
    step: Callable[..., tuple[Array, Memory]]


def penalised(g: Array, w: Array, *, λ: float) -> Array:
    """The gradient of the loss with an L2 penalty."""
    return g + λ * w  # (O19)


def shrunk(w: Array, η: float, *, λ: float) -> Array:
    """The weight after decoupled weight decay."""
    return (1 - η * λ) * w  # (O20)


def sgd(
    w: Array, g: Array, memory: Memory, eta: float,
    mu: float = 0.0, dampening: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0,
) -> tuple[Array, Memory]:  # fmt: skip
    """Gradient descent; with mu, momentum whose gradients after the first are multiplied by 1 - dampening."""
    η, μ, d, (v,) = float(eta), float(mu), float(dampening), memory
    if nesterov:
        return nesterov_momentum(w, g, (np.zeros_like(w) if v is None else v,), η, μ, weight_decay)
    g = penalised(g, w, λ=weight_decay)
    if not μ:
        w = w - η * g  # (O1)
        return w, memory
    if v is None:
        v = g
    else:
        v = μ * v + (1 - d) * g  # (O21)
    return w - η * v, (v,)


def momentum(
    w: Array, g: Array, memory: Memory, eta: float, mu: float = 0.9, weight_decay: float = 0.0
) -> tuple[Array, Memory]:
    """Momentum: each step adds mu times the step before."""
    η, μ, (v,) = float(eta), float(mu), memory
    g = penalised(g, w, λ=weight_decay)
    v = μ * v + g  # (O2)
    w = w - η * v  # (O3)
    return w, (v,)


def nesterov_momentum(
    w: Array, g: Array, memory: Memory, eta: float, mu: float = 0.9, weight_decay: float = 0.0
) -> tuple[Array, Memory]:
    """Nesterov momentum: the gradient at the point to which the momentum alone would lead, in PyTorch's form."""
    η, μ, (v,) = float(eta), float(mu), memory
    g = penalised(g, w, λ=weight_decay)
    v = μ * v + g  # (O4)
    w = w - η * (g + μ * v)  # (O5)
    return w, (v,)


def moments(g: Array, m: Array, v: Array, t: int, β1: float, β2: float) -> tuple[Array, Array, Array, Array]:
    """The moving means of the gradients and of their squares, with bias correction."""
    m = β1 * m + (1 - β1) * g  # (O6)
    v = β2 * v + (1 - β2) * g**2  # (O7)
    m_hat = m / (1 - β1**t)  # (O8)
    v_hat = v / (1 - β2**t)  # (O9)
    return m, v, m_hat, v_hat


def adam(
    w: Array, g: Array, memory: Memory, eta: float, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8,
    weight_decay: float = 0.0, amsgrad: bool = False,
) -> tuple[Array, Memory]:  # fmt: skip
    """Adam: moving mean of gradients divided by the root of that of squares; amsgrad uses the latter's maximum."""
    η, β1, β2, ε, (m, v, u, t) = float(eta), float(beta1), float(beta2), float(eps), memory
    t = t + 1
    g = penalised(g, w, λ=weight_decay)
    m, v, m_hat, v_hat = moments(g, m, v, t, β1, β2)
    if not amsgrad:
        w = w - η * m_hat / (np.sqrt(v_hat) + ε)  # (O10)
        return w, (m, v, u, t)
    u = np.maximum(u, v)  # (O22)
    w = w - η * m_hat / (np.sqrt(u / (1 - β2**t)) + ε)  # (O23)
    return w, (m, v, u, t)


def adamw(
    w: Array, g: Array, memory: Memory, eta: float, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8,
    weight_decay: float = 0.01, amsgrad: bool = False,
) -> tuple[Array, Memory]:  # fmt: skip
    """AdamW: decoupled weight decay, then a step of Adam."""
    w = shrunk(w, float(eta), λ=weight_decay)
    return adam(w, g, memory, eta, beta1, beta2, eps, 0.0, amsgrad)


def adam_amsgrad(
    w: Array, g: Array, memory: Memory, eta: float, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> tuple[Array, Memory]:  # fmt: skip
    """AMSGrad: Adam with the largest moving mean of squares so far."""
    return adam(w, g, memory, eta, beta1, beta2, eps, weight_decay, True)


def nadam(
    w: Array, g: Array, memory: Memory, eta: float, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8,
    weight_decay: float = 0.0, momentum_decay: float = 0.004, decoupled: bool = False,
) -> tuple[Array, Memory]:  # fmt: skip
    """NAdam: Adam with Nesterov momentum whose coefficient grows towards beta1 with the number of steps."""
    η, β1, β2, ε, ψ, (m, v, p, t) = float(eta), float(beta1), float(beta2), float(eps), float(momentum_decay), memory
    t = t + 1
    w, g = (shrunk(w, η, λ=weight_decay), g) if decoupled else (w, penalised(g, w, λ=weight_decay))
    m, v, _, v_hat = moments(g, m, v, t, β1, β2)
    μ = β1 * (1 - 0.96 ** (t * ψ) / 2)  # (O24)
    μ_next = β1 * (1 - 0.96 ** ((t + 1) * ψ) / 2)  # (O25)
    p = μ * p  # (O26)
    w = w - η * ((1 - μ) / (1 - p) * g + μ_next / (1 - p * μ_next) * m) / (np.sqrt(v_hat) + ε)  # (O27)
    return w, (m, v, p, t)


def radam(
    w: Array, g: Array, memory: Memory, eta: float, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8,
    weight_decay: float = 0.0, decoupled: bool = False,
) -> tuple[Array, Memory]:  # fmt: skip
    """RAdam: Adam that divides by the root, times the factor r, once the root's variance can be estimated (ρ > 5)."""
    η, β1, β2, ε, (m, v, t) = float(eta), float(beta1), float(beta2), float(eps), memory
    t = t + 1
    w, g = (shrunk(w, η, λ=weight_decay), g) if decoupled else (w, penalised(g, w, λ=weight_decay))
    m, v, m_hat, _ = moments(g, m, v, t, β1, β2)
    ρ_end = 2 / (1 - β2) - 1  # (O28)
    ρ = ρ_end - 2 * t * β2**t / (1 - β2**t)  # (O29)
    if ρ <= 5:
        w = w - η * m_hat  # (O30)
        return w, (m, v, t)
    r = ((ρ - 4) * (ρ - 2) * ρ_end / ((ρ_end - 4) * (ρ_end - 2) * ρ)) ** 0.5  # (O31)
    w = w - η * m_hat * r * (1 - β2**t) ** 0.5 / (np.sqrt(v) + ε)  # (O32)
    return w, (m, v, t)


def adamax(
    w: Array, g: Array, memory: Memory, eta: float, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> tuple[Array, Memory]:  # fmt: skip
    """AdaMax: the moving mean of the gradients divided by a decaying maximum of their absolute values."""
    η, β1, β2, ε, (m, u, t) = float(eta), float(beta1), float(beta2), float(eps), memory
    t = t + 1
    g = penalised(g, w, λ=weight_decay)
    m, _, m_hat, _ = moments(g, m, u, t, β1, 0.0)
    u = np.maximum(β2 * u, np.abs(g) + ε)  # (O33)
    w = w - η * m_hat / u  # (O34)
    return w, (m, u, t)


def rmsprop(
    w: Array, g: Array, memory: Memory, eta: float, alpha: float = 0.99, eps: float = 1e-8, mu: float = 0.0,
    centered: bool = False, weight_decay: float = 0.0,
) -> tuple[Array, Memory]:  # fmt: skip
    """RMSProp: gradient divided by the root of a moving mean of squares (centered: variance); with mu, momentum."""
    η, α, ε, μ, (v, a, q) = float(eta), float(alpha), float(eps), float(mu), memory
    g = penalised(g, w, λ=weight_decay)
    v = α * v + (1 - α) * g**2  # (O11)
    s = v
    if centered:
        a = α * a + (1 - α) * g  # (O35)
        s = np.maximum(v - a**2, 0)  # (O36)
    if not μ:
        w = w - η * g / (np.sqrt(s) + ε)  # (O12)
        return w, (v, a, q)
    q = μ * q + g / (np.sqrt(s) + ε)  # (O37)
    w = w - η * q  # (O38)
    return w, (v, a, q)


def adagrad(
    w: Array, g: Array, memory: Memory, eta: float, eps: float = 1e-10, lr_decay: float = 0.0, initial: float = 0.0,
    weight_decay: float = 0.0,
) -> tuple[Array, Memory]:  # fmt: skip
    """Adagrad: the gradient divided by the root of the sum of all squared gradients so far."""
    η, ε, δ, (s, t) = float(eta), float(eps), float(lr_decay), memory
    t = t + 1
    g = penalised(g, w, λ=weight_decay)
    s = np.full_like(w, initial) if s is None else s
    s = s + g**2  # (O13)
    η = η / (1 + (t - 1) * δ)  # (O39)
    w = w - η * g / (np.sqrt(s) + ε)  # (O14)
    return w, (s, t)


def adadelta(
    w: Array, g: Array, memory: Memory, eta: float, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0
) -> tuple[Array, Memory]:
    """Adadelta: the gradient divided by the root of its mean square, times the root of the steps' mean square."""
    η, ρ, ε, (v, u) = float(eta), float(rho), float(eps), memory
    g = penalised(g, w, λ=weight_decay)
    v = ρ * v + (1 - ρ) * g**2  # (O15)
    Δ = np.sqrt((u + ε) / (v + ε)) * g  # (O16)
    u = ρ * u + (1 - ρ) * Δ**2  # (O17)
    w = w - η * Δ  # (O18)
    return w, (v, u)


def lion(
    w: Array, g: Array, memory: Memory, eta: float, beta1: float = 0.9, beta2: float = 0.99, weight_decay: float = 0.0
) -> tuple[Array, Memory]:
    """Lion: steps by the sign of a moving mean of gradients; the mean kept for later steps decays more slowly."""
    η, β1, β2, (m,) = float(eta), float(beta1), float(beta2), memory
    w = shrunk(w, η, λ=weight_decay)
    w = w - η * np.sign(β1 * m + (1 - β1) * g)  # (O40)
    m = β2 * m + (1 - β2) * g  # (O41)
    return w, (m,)


def muon(
    w: Array, g: Array, memory: Memory, eta: float, mu: float = 0.95, nesterov: bool = True, weight_decay: float = 0.1,
    eps: float = 1e-7, adjust: str = "original",
) -> tuple[Array, Memory]:  # fmt: skip
    """Muon: momentum whose singular values are brought near 1; arrays with less than two axes use AdamW."""
    if w.ndim < 2:
        return adamw(w, g, memory, eta, weight_decay=weight_decay)
    η, μ, (B,) = float(eta), float(mu), memory
    B = μ * B + (1 - μ) * g  # (O42)
    X = frobenius_normalised((1 - μ) * g + μ * B if nesterov else B, eps)  # (O43)
    for _ in range(5):
        A = X @ X.T
        X = 3.4445 * X - 4.7750 * A @ X + 2.0315 * A @ A @ X  # (O44)
    s = np.sqrt(max(1, w.shape[0] / np.prod(w.shape[1:])))
    if adjust == "match_rms_adamw":
        s = 0.2 * np.sqrt(max(w.shape[0], np.prod(w.shape[1:])))
    w = shrunk(w, η, λ=weight_decay) - η * float(s) * X.reshape(w.shape)  # (O45)
    return w, (B,)


def frobenius_normalised(C: Array, ε: float) -> Array:
    """Return an array as a matrix, divided by its Frobenius norm."""
    C = C.reshape(C.shape[0], -1)
    return C / max(float(np.linalg.norm(C)), ε)


def quasi_newton_direction(g: Array, steps: Sequence[Array], changes: Sequence[Array]) -> Array:
    """Return the BFGS direction -Hg, with H formed as a matrix from all steps and the gradient's change in each."""
    H = one = np.eye(len(g), dtype=g.dtype)
    if steps:
        s, y = steps[-1], changes[-1]
        H = (s @ y) / (y @ y) * one  # (O46)
    for s, y in zip(steps, changes, strict=True):
        ρ = 1 / (s @ y)
        H = (one - ρ * np.outer(s, y)) @ H @ (one - ρ * np.outer(y, s)) + ρ * np.outer(s, s)  # (O47)
    return -H @ g  # (O48)


def _no_state(w: Array) -> Memory:
    return (None,)


def _one_zero(w: Array) -> Memory:
    return (np.zeros_like(w),)


def _two_zeros(w: Array) -> Memory:
    return np.zeros_like(w), np.zeros_like(w)


def _three_zeros(w: Array) -> Memory:
    return np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)


def _adam_state(w: Array) -> Memory:
    return *_three_zeros(w), 0


UPDATES: dict[str, Update] = {
    "sgd":      Update(_no_state,                            sgd),
    "momentum": Update(_one_zero,                               momentum),
    "nesterov": Update(_one_zero,                               nesterov_momentum),
    "adam":     Update(_adam_state,                            adam),
    "adamw":    Update(_adam_state,                            adamw),
    "amsgrad":  Update(_adam_state,                            adam_amsgrad),
    "nadam":    Update(lambda w: (*_two_zeros(w), 1.0, 0),  nadam),
    "radam":    Update(lambda w: (*_two_zeros(w), 0),       radam),
    "adamax":   Update(lambda w: (*_two_zeros(w), 0),       adamax),
    "rmsprop":  Update(_three_zeros,                        rmsprop),
    "adagrad":  Update(lambda w: (None, 0),                 adagrad),
    "adadelta": Update(_two_zeros,                          adadelta),
    "lion":     Update(_one_zero,                               lion),
    "muon":     Update(lambda w: _one_zero(w) if w.ndim > 1 else _adam_state(w), muon),
}  # fmt: skip

_UNKNOWN = "unknown optimizer {name!r}: use one of {known}"


def update_rule(name: str) -> Update:
    r"""Look up how an optimizer changes a weight, by its name, in any letter case.

    .. math:: (w, g, \text{memory}) \mapsto (w', \text{memory}')

    Args:
        name: a key of `UPDATES`, such as `'momentum'` or `'adamw'`.

    Returns:
        The pair `(start, step)`: `start(w)` is the first memory, and `step(w, g, memory, eta)` returns the new weight
        and memory; w, g and the weight have one shape and dtype. Hyper-parameters are further keywords of `step`, with
        the names and defaults of `tinygrad_nn.optim`.

    Raises:
        ValueError: there is no such optimizer.

    Source: the list at the end of `docs/optimizers.md`.

    Example:
        >>> start, step = update_rule("momentum")
        >>> w, g = np.array([1.0]), np.array([2.0])
        >>> w, memory = step(w, g, start(w), 0.1, mu=0.5)
        >>> w, memory = step(w, g, memory, 0.1, mu=0.5)
        >>> w.round(12).tolist(), memory[0].tolist()
        ([0.5], [3.0])
    """
    try:
        return UPDATES[name.strip().lower()]
    except KeyError:
        raise ValueError(_UNKNOWN.format(name=name, known=", ".join(UPDATES))) from None
