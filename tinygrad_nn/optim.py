"""Optimizers as pure pairs: ``init(w)`` gives the first state, ``update(g, state, eta)`` a step and the next state.

The parameter then becomes ``w - step``. A state belongs to one parameter and is a tuple of arrays and numbers that is
never written into. Definitions and defaults are those of ``torch.optim``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

Array = Any
State = tuple[Any, ...]


@dataclass(frozen=True)
class Optimizer:
    """A pair of pure functions, with its name and hyper-parameters; two with the same of these are equal.

    Attributes:
        init: ``init(w) -> state`` for a parameter of any shape.
        update: ``update(g, state, eta) -> (step, state)``; ``g`` and ``step`` have the shape and dtype of ``w``.

    Example:
        >>> rule = momentum(0.5)
        >>> w, g = np.array([1.0]), np.array([2.0])
        >>> step, state = rule.update(g, rule.init(w), 0.1)
        >>> step, state = rule.update(g, state, 0.1)
        >>> print(rule, step)
        momentum(mu=0.5) [0.3]
    """

    name: str
    hyper: tuple[tuple[str, float], ...]
    init: Callable[[Array], State] = field(compare=False)
    update: Callable[[Array, State, float], tuple[Array, State]] = field(compare=False)

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{key}={value:g}' for key, value in self.hyper)})"


def _make(
    name: str,
    init: Callable[[Array], State],
    update: Callable[[Array, State, float], tuple[Array, State]],
    **hyper: float,
) -> Optimizer:
    for key, value in hyper.items():
        small = key == "eps"
        if not (0 < value < float("inf") if small else 0 <= value < 1):
            need = "positive and finite, e.g. 1e-8" if small else "at least 0 and below 1, e.g. 0.9"
            raise ValueError(f"{name}: {key}={value!r}; it must be {need}.")
    return Optimizer(name, tuple((key, float(value)) for key, value in hyper.items()), init, update)


def _nothing(w: Array) -> State:
    return ()


def _zeros(w: Array) -> State:
    return (np.zeros_like(w),)


def _two_zeros(w: Array) -> State:
    return np.zeros_like(w), np.zeros_like(w)


def sgd() -> Optimizer:
    r"""Stochastic gradient descent.

    .. math:: w \leftarrow w - \eta g

    Source: Robbins & Monro, A stochastic approximation method (1951).
    """
    return _make("sgd", _nothing, lambda g, state, η: (η * g, state))


def momentum(mu: float = 0.9) -> Optimizer:
    r"""Gradient descent that keeps its speed.

    .. math:: v \leftarrow \mu v + g, \qquad w \leftarrow w - \eta v

    Source: Polyak (1964); Sutskever et al. (2013), in the form of ``torch.optim.SGD(momentum=mu)``.
    """

    def update(g: Array, state: State, η: float) -> tuple[Array, State]:
        (v,) = state
        v = mu * v + g
        return η * v, (v,)

    return _make("momentum", _zeros, update, mu=mu)


def nesterov(mu: float = 0.9) -> Optimizer:
    r"""Momentum that looks one step ahead.

    .. math:: v \leftarrow \mu v + g, \qquad w \leftarrow w - \eta (g + \mu v)

    Source: Nesterov (1983); Sutskever et al. (2013), as ``torch.optim.SGD(momentum=mu, nesterov=True)``.
    """

    def update(g: Array, state: State, η: float) -> tuple[Array, State]:
        (v,) = state
        v = mu * v + g
        return η * (g + mu * v), (v,)

    return _make("nesterov", _zeros, update, mu=mu)


def adam(beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8) -> Optimizer:
    r"""Adaptive moments: each weight has its own step, of size about eta.

    .. math:: m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
              w \leftarrow w - \eta \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Source: Kingma & Ba, Adam: a method for stochastic optimization (2015), algorithm 1.
    """

    def update(g: Array, state: State, η: float) -> tuple[Array, State]:
        m, v, t = state
        t = t + 1
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * (g * g)
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        return η * m_hat / (np.sqrt(v_hat) + eps), (m, v, t)

    return _make("adam", lambda w: (*_two_zeros(w), 0), update, beta1=beta1, beta2=beta2, eps=eps)


def rmsprop(alpha: float = 0.99, eps: float = 1e-8) -> Optimizer:
    r"""Divide by a running root mean square of the gradient.

    .. math:: v \leftarrow \alpha v + (1 - \alpha) g^2, \qquad w \leftarrow w - \eta \frac{g}{\sqrt v + \epsilon}

    Source: Tieleman & Hinton, lecture 6.5 of Neural Networks for Machine Learning (2012).
    """

    def update(g: Array, state: State, η: float) -> tuple[Array, State]:
        (v,) = state
        v = alpha * v + (1 - alpha) * (g * g)
        return η * g / (np.sqrt(v) + eps), (v,)

    return _make("rmsprop", _zeros, update, alpha=alpha, eps=eps)


def adagrad(eps: float = 1e-10) -> Optimizer:
    r"""Divide by the root of the sum of all squared gradients so far.

    .. math:: s \leftarrow s + g^2, \qquad w \leftarrow w - \eta \frac{g}{\sqrt s + \epsilon}

    Source: Duchi, Hazan & Singer, Adaptive subgradient methods (2011).
    """

    def update(g: Array, state: State, η: float) -> tuple[Array, State]:
        (s,) = state
        s = s + g * g
        return η * g / (np.sqrt(s) + eps), (s,)

    return _make("adagrad", _zeros, update, eps=eps)


def adadelta(rho: float = 0.9, eps: float = 1e-6) -> Optimizer:
    r"""A step in the units of the weight; the learning rate only scales it, and 1 is the paper's.

    .. math:: v \leftarrow \rho v + (1 - \rho) g^2, \quad
              \Delta = \frac{\sqrt{u + \epsilon}}{\sqrt{v + \epsilon}}\, g, \quad
              u \leftarrow \rho u + (1 - \rho) \Delta^2, \quad w \leftarrow w - \eta \Delta

    Source: Zeiler, ADADELTA: an adaptive learning rate method (2012), algorithm 1.
    """

    def update(g: Array, state: State, η: float) -> tuple[Array, State]:
        v, u = state
        v = rho * v + (1 - rho) * (g * g)
        Δ = np.sqrt(u + eps) / np.sqrt(v + eps) * g
        u = rho * u + (1 - rho) * (Δ * Δ)
        return η * Δ, (v, u)

    return _make("adadelta", _two_zeros, update, rho=rho, eps=eps)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": sgd, "momentum": momentum, "nesterov": nesterov, "adam": adam,
    "rmsprop": rmsprop, "adagrad": adagrad, "adadelta": adadelta,
}  # fmt: skip


@cache
def optimizer(name: str) -> Optimizer:
    """Look up an optimizer by its name, in any letter case, with its default hyper-parameters.

    Raises:
        ValueError: there is no such optimizer.

    Example:
        >>> optimizer("Adam")
        adam(beta1=0.9, beta2=0.999, eps=1e-08)
    """
    key = name.strip().lower()
    if key not in OPTIMIZERS:
        raise ValueError(f"unknown optimizer {name!r}; known are {', '.join(OPTIMIZERS)}.")
    return OPTIMIZERS[key]()
