"""sgd, rmsprop and adam as loops that call a gradient function, with the update rules of `tinygrad_nn.optim`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import optim
from .flatten import flatten

Callback = Callable[[Any, int, Any], Any] | None


def _run(
    rule: optim.Optimizer, state: Any, eta: Any, grad: Callable[[Any, int], Any], x0: Any, callback: Callback,
    steps: int,
) -> Any:
    """Return x0 after `steps` updates of an optimizer; `state(x)` makes its initial state from the flat vector x."""
    x, unflatten = flatten(x0)
    kept = state(x)
    for i in range(steps):
        at = unflatten(x)
        gradient = grad(at, i)
        if callback:
            callback(at, i, gradient)
        step, kept = rule.update(flatten(gradient)[0], kept, eta, x)
        x = x - step
    return unflatten(x)


def sgd(
    grad: Callable[[Any, int], Any], x0: Any, callback: Callback = None, num_iters: int = 200, step_size: Any = 0.1,
    mass: float = 0.9,
) -> Any:  # fmt: skip
    r"""Return the result of gradient descent with momentum from x0.

    .. math:: v \leftarrow \mu v + (1 - \mu) g, \qquad x \leftarrow x - \eta v

    Args:
        grad: ``grad(x, i)`` returns the gradient in step i, with the structure of x.
        x0: the start: a number, an array, or containers of them.
        callback: called with ``(x, i, gradient)`` before each step.
        num_iters: the number of steps.
        step_size: η.
        mass: μ.

    Example:
        >>> round(float(sgd(lambda x, i: 2 * (x - 3), 1.0)), 4)
        3.0
    """
    rule = optim.sgd(mu=mass)
    return _run(rule, rule.init, step_size * (1 - mass), grad, x0, callback, num_iters)


def rmsprop(
    grad: Callable[[Any, int], Any], x0: Any, callback: Callback = None, num_iters: int = 100, step_size: Any = 0.1,
    gamma: float = 0.9, eps: float = 1e-8,
) -> Any:  # fmt: skip
    r"""Return the result of RMSprop from x0; its moving average of squared gradients starts at 1.

    .. math:: v \leftarrow \gamma v + (1 - \gamma) g^2, \qquad x \leftarrow x - \eta \frac{g}{\sqrt v + \epsilon}

    Args:
        grad, x0, callback, num_iters, step_size: as in `sgd`.
        gamma: the decay rate of the moving average.
        eps: is added to the denominator to keep the quotient finite.
    """
    rule = optim.rmsprop(alpha=gamma, eps=eps)
    return _run(rule, lambda x: (np.ones_like(x),), step_size, grad, x0, callback, num_iters)


def adam(
    grad: Callable[[Any, int], Any], x0: Any, callback: Callback = None, num_iters: int = 100, step_size: Any = 0.001,
    b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8,
) -> Any:  # fmt: skip
    r"""Return the result of Adam from x0.

    .. math:: m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
              x \leftarrow x - \eta \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Args:
        grad, x0, callback, num_iters, step_size: as in `sgd`.
        b1, b2: the decay rates of the two moving averages.
        eps: is added to the denominator to keep the quotient finite.
    """
    rule = optim.adam(beta1=b1, beta2=b2, eps=eps)
    return _run(rule, rule.init, step_size, grad, x0, callback, num_iters)
