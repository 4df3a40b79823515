r"""The seven optimizers by hand: how a gradient changes a weight, and what is remembered for the next step.

A row is a pair `(start, step)`: `start(w)` is the memory before the first step, a tuple, and
`step(w, g, memory, eta, ...)` returns the new weight and the new memory. Nothing is changed in place. Numbers as in
`docs/backprop_layers.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Memory = tuple[Any, ...]


class Update(NamedTuple):
    """The memory before the first step, and the step, of one optimizer."""

    start: Callable[[Array], Memory]
    step: Callable[..., tuple[Array, Memory]]


def sgd(w: Array, g: Array, memory: Memory, eta: float) -> tuple[Array, Memory]:
    """Go downhill."""
    η = float(eta)
    w = w - η * g  # (O1)
    return w, memory


def momentum(w: Array, g: Array, memory: Memory, eta: float, mu: float = 0.9) -> tuple[Array, Memory]:
    """Roll downhill: each step keeps a share mu of the one before."""
    η, μ, (v,) = float(eta), float(mu), memory
    v = μ * v + g  # (O2)
    w = w - η * v  # (O3)
    return w, (v,)


def nesterov(w: Array, g: Array, memory: Memory, eta: float, mu: float = 0.9) -> tuple[Array, Memory]:
    """Roll downhill, and take the gradient where the roll would lead."""
    η, μ, (v,) = float(eta), float(mu), memory
    v = μ * v + g  # (O4)
    w = w - η * (g + μ * v)  # (O5)
    return w, (v,)


def adam(
    w: Array, g: Array, memory: Memory, eta: float, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8
) -> tuple[Array, Memory]:
    """Divide the mean of the gradients by the root of the mean of their squares, both freed of their start at 0."""
    η, β1, β2, ε, (m, v, t) = float(eta), float(beta1), float(beta2), float(eps), memory
    t = t + 1
    m = β1 * m + (1 - β1) * g  # (O6)
    v = β2 * v + (1 - β2) * g**2  # (O7)
    m_hat = m / (1 - β1**t)  # (O8)
    v_hat = v / (1 - β2**t)  # (O9)
    w = w - η * m_hat / (np.sqrt(v_hat) + ε)  # (O10)
    return w, (m, v, t)


def rmsprop(
    w: Array, g: Array, memory: Memory, eta: float, alpha: float = 0.99, eps: float = 1e-8
) -> tuple[Array, Memory]:
    """Divide by the root of a moving mean of the squares."""
    η, α, ε, (v,) = float(eta), float(alpha), float(eps), memory
    v = α * v + (1 - α) * g**2  # (O11)
    w = w - η * g / (np.sqrt(v) + ε)  # (O12)
    return w, (v,)


def adagrad(w: Array, g: Array, memory: Memory, eta: float, eps: float = 1e-10) -> tuple[Array, Memory]:
    """Divide by the root of the sum of all squares: what has moved much moves less."""
    η, ε, (s,) = float(eta), float(eps), memory
    s = s + g**2  # (O13)
    w = w - η * g / (np.sqrt(s) + ε)  # (O14)
    return w, (s,)


def adadelta(
    w: Array, g: Array, memory: Memory, eta: float, rho: float = 0.9, eps: float = 1e-6
) -> tuple[Array, Memory]:
    """Divide by the root of the mean of squares, and multiply by that of the steps taken so far."""
    η, ρ, ε, (v, u) = float(eta), float(rho), float(eps), memory
    v = ρ * v + (1 - ρ) * g**2  # (O15)
    Δ = np.sqrt((u + ε) / (v + ε)) * g  # (O16)
    u = ρ * u + (1 - ρ) * Δ**2  # (O17)
    w = w - η * Δ  # (O18)
    return w, (v, u)


def _nothing(w: Array) -> Memory:
    return ()


def _zero(w: Array) -> Memory:
    return (np.zeros_like(w),)


def _two_zeros(w: Array) -> Memory:
    return np.zeros_like(w), np.zeros_like(w)


UPDATES: dict[str, Update] = {
    "sgd":      Update(_nothing,                       sgd),
    "momentum": Update(_zero,                          momentum),
    "nesterov": Update(_zero,                          nesterov),
    "adam":     Update(lambda w: (*_two_zeros(w), 0),  adam),
    "rmsprop":  Update(_zero,                          rmsprop),
    "adagrad":  Update(_zero,                          adagrad),
    "adadelta": Update(_two_zeros,                     adadelta),
}  # fmt: skip

_UNKNOWN = "unknown optimizer {name!r}: use one of {known}"


def update_rule(name: str) -> Update:
    r"""Look up how an optimizer changes a weight, by its name, in any letter case.

    .. math:: (w, g, \text{memory}) \mapsto (w', \text{memory}')

    Args:
        name: `'sgd'`, `'momentum'`, `'nesterov'`, `'adam'`, `'rmsprop'`, `'adagrad'` or `'adadelta'`.

    Returns:
        The pair `(start, step)`: `start(w)` is the first memory, and `step(w, g, memory, eta)` returns the new weight
        and memory; w, g and the weight have one shape and dtype. Hyper-parameters are further keywords of `step`:
        `mu`, `beta1`, `beta2`, `alpha`, `rho`, `eps`; their defaults are those of `torch.optim`.

    Raises:
        ValueError: there is no such optimizer.

    Source: Robbins & Monro (1951); Polyak (1964); Nesterov (1983), as in Sutskever, Martens, Dahl & Hinton (2013);
        Duchi, Hazan & Singer (2011); Tieleman & Hinton (2012); Zeiler (2012); Kingma & Ba (2015), algorithm 1.

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
