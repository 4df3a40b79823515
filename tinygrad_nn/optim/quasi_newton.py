"""L-BFGS: a quasi-Newton method on all parameters as one vector, with a line search along each direction."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .rule import OptimizerState

Array = Any
Evaluate = Callable[[Array], tuple[float, Array]]
SUFFICIENT, FLAT = 1e-4, 0.9  # Wolfe's constants
CURVED = 1e-10  # pairs y, s with a smaller inner product are not used


@dataclass(frozen=True)
class LBFGSRule:
    r"""Quasi-Newton steps for a vector of parameters; it evaluates the loss itself, so it is not an `Optimizer`.

    .. math:: d = -H g, \quad H \leftarrow (I - \rho s y^T) H (I - \rho y s^T) + \rho s s^T, \quad
              \rho = 1 / y^T s, \quad w \leftarrow w + t d

    Args:
        max_iter: directions per step.
        max_eval: evaluations per step; by default 5/4 of `max_iter`.
        tolerance_grad: the step ends if no entry of the gradient is larger than this.
        tolerance_change: the step ends if the loss, or every weight, changes by no more than this.
        history_size: number of pairs s, y that are kept.
        line_search: ``'strong_wolfe'``, or ``None`` for a fixed ``t = eta``.

    Raises:
        TypeError, ValueError: an argument is out of range.

    Source: Nocedal & Wright, Numerical optimization (2006), algorithms 7.4, 3.5 and 3.6; as ``torch.optim.LBFGS``.

    Example:
        >>> rule, w = LBFGSRule(line_search="strong_wolfe"), np.array([3.0, -1.0])
        >>> w, loss, state = rule.minimize(lambda w: (float(w @ w), 2 * w), w, rule.init(w), 1.0)
        >>> print(abs(w).max() < 1e-9, loss)
        True 10.0
    """

    max_iter: int = 20
    max_eval: int | None = None
    tolerance_grad: float = 1e-7
    tolerance_change: float = 1e-9
    history_size: int = 100
    line_search: str | None = None

    name = "lbfgs"
    learning_rate = 1.0

    def __post_init__(self) -> None:
        for key in ("max_iter", "max_eval", "history_size"):
            value = getattr(self, key)
            if value is None and key == "max_eval":
                continue
            if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
                raise ValueError(f"lbfgs: {key}={value!r}; it must be a whole number of at least 1, e.g. {key}=20.")
        for key in ("tolerance_grad", "tolerance_change"):
            value = getattr(self, key)
            if not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise ValueError(f"lbfgs: {key}={value!r}; it must be at least 0 and finite, e.g. {key}=1e-9.")
        if self.line_search not in (None, "strong_wolfe"):
            raise ValueError(f"lbfgs: unknown line_search {self.line_search!r}; known are 'strong_wolfe' and None.")

    @property
    def hyper(self) -> tuple[tuple[str, Any], ...]:
        """The hyper-parameters as pairs of name and value."""
        return tuple((key, getattr(self, key)) for key in self.__dataclass_fields__)

    def init(self, w: Array) -> OptimizerState:
        """Return the state before the first step of a vector ``(n,)``.

        It has the number of iterations, the last t, the scale of the initial H, the last d and g, then the pairs y, s.
        """
        return 0, 0.0, 1.0, np.zeros_like(w), np.zeros_like(w)

    def minimize(self, f: Evaluate, w: Array, state: OptimizerState, eta: float) -> tuple[Array, float, OptimizerState]:
        """Take one step, of up to `max_iter` directions.

        Args:
            f: returns the loss and the gradient ``(n,)`` at a vector ``(n,)``.
            w: the vector to start from; state: from `init` or the previous step.
            eta: the length of a step along a direction, or the first length that the line search tries.

        Returns:
            The new vector, the loss before the step, and the next state.
        """
        loss, g = f(w)
        first, evaluations = loss, 1
        if not eta or _largest(g) <= self.tolerance_grad:
            return w, first, state
        most = self.max_eval or self.max_iter * 5 // 4
        iterations, t, scale, d, old_g, *pairs = state
        for k in range(1, self.max_iter + 1):
            iterations += 1
            if iterations == 1:
                d, t = -g, min(1.0, 1.0 / float(np.abs(g).sum())) * eta
            else:
                y, s = g - old_g, t * d
                ys = float(y @ s)
                if ys > CURVED:
                    pairs = [*pairs, y, s][-2 * self.history_size :]
                    scale = ys / float(y @ y)
                d, t = direction(g, pairs[1::2], pairs[::2], scale), eta
            old_g, old_loss = g, loss
            slope = float(g @ d)
            if slope > -self.tolerance_change:
                break
            if self.line_search:
                start, along = _Point(0.0, loss, g, slope), _Line(f, w, d)
                end = _strong_wolfe(along, t, start, self.tolerance_change, most - evaluations)
                t, loss, g = end.t, end.loss, end.g
                evaluations += along.evaluations
            w = w + t * d
            if k == self.max_iter:
                break
            if not self.line_search:
                loss, g = f(w)
                evaluations += 1
            if (
                evaluations >= most
                or _largest(g) <= self.tolerance_grad
                or _largest(t * d) <= self.tolerance_change
                or abs(loss - old_loss) < self.tolerance_change
            ):
                break
        return w, first, (iterations, t, scale, d, old_g, *pairs)


def lbfgs(
    max_iter: int = 20, max_eval: int | None = None, tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9,
    history_size: int = 100, line_search: str | None = None,
) -> LBFGSRule:  # fmt: skip
    """Return an `LBFGSRule` for `Minimizer`; arguments and defaults are those of ``torch.optim.LBFGS``."""
    return LBFGSRule(max_iter, max_eval, tolerance_grad, tolerance_change, history_size, line_search)


def direction(g: Array, s: list[Array], y: list[Array], scale: float) -> Array:
    """Return -Hg by the two-loop recursion; `s` are steps, `y` changes of the gradient, both with the oldest first."""
    q, shares = -g, []
    for s_k, y_k in zip(reversed(s), reversed(y), strict=True):
        share = float(s_k @ q) / float(y_k @ s_k)
        q = q - share * y_k
        shares.append(share)
    d = scale * q
    for s_k, y_k, share in zip(s, y, reversed(shares), strict=True):
        d = d + (share - float(y_k @ d) / float(y_k @ s_k)) * s_k
    return d


class _Point(NamedTuple):
    """A point on the line: t, the loss and the gradient there, and the slope along the line."""

    t: float
    loss: float
    g: Array
    slope: float


class _Line:
    """The loss along a direction, with a count of evaluations."""

    def __init__(self, f: Evaluate, w: Array, d: Array) -> None:
        self.f, self.w, self.d, self.evaluations = f, w, d, 0

    def __call__(self, t: float) -> _Point:
        self.evaluations += 1
        loss, g = self.f(self.w + t * self.d)
        return _Point(t, loss, g, float(g @ self.d))


def _largest(x: Array) -> float:
    return float(np.abs(x).max(initial=0.0))


def _strong_wolfe(at: _Line, t: float, start: _Point, tolerance: float, max_evaluations: int) -> _Point:
    """Return a point that satisfies the strong Wolfe conditions: bracket one, then shrink the bracket."""

    def too_high(point: _Point) -> bool:
        return not point.loss <= start.loss + SUFFICIENT * point.t * start.slope  # NaN is too high

    def flat(point: _Point) -> bool:
        return abs(point.slope) <= -FLAT * start.slope

    before, new, k = start, at(t), 0
    while k < max_evaluations:
        if too_high(new) or (k > 1 and new.loss >= before.loss):
            break
        if flat(new):
            return new
        if new.slope >= 0:
            break
        t = _cubic_minimum(before, new, new.t + 0.01 * (new.t - before.t), new.t * 10)
        before, new = new, at(t)
        k += 1
    else:
        before = start
    low, high = (new, before) if new.loss < before.loss else (before, new)
    size, stuck = _largest(at.d), False
    while k < max_evaluations and abs(high.t - low.t) * size > tolerance:
        left, right = min(low.t, high.t), max(low.t, high.t)
        t, margin = _cubic_minimum(low, high, left, right), 0.1 * (right - left)
        if min(right - t, t - left) < margin:  # distrust the cubic if t is near an end twice, or at one
            if stuck or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        new = at(t)
        k += 1
        if too_high(new) or new.loss >= low.loss:
            low, high = (new, low) if new.loss < low.loss else (low, new)
            continue
        if flat(new):
            return new
        if new.slope * (high.t - low.t) >= 0:
            high = low
        low = new
    return low


def _cubic_minimum(a: _Point, b: _Point, low: float, high: float) -> float:
    """Return the minimum of the cubic through the losses and slopes of two points, clipped to bounds."""
    if a.t > b.t:
        a, b = b, a
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if square >= 0:
        d2 = math.sqrt(square)
        bottom = b.slope - a.slope + 2 * d2
        t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / bottom) if bottom else math.nan
        if math.isfinite(t):
            return min(max(t, low), high)
    return (low + high) / 2
