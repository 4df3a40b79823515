"""Learning rate schedules: pure functions of the number of steps taken, saved as plain data.

``schedule(t, base)`` is the learning rate of step t, which counts from 0; base is the learning rate without schedule.
Arguments and defaults are those of ``torch.optim.lr_scheduler``.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, ClassVar


@dataclass(frozen=True)
class Schedule:
    """Base of all schedules: frozen dataclasses that validate their arguments and can be saved as plain data.

    Raises:
        TypeError, ValueError: an argument is out of range.
    """

    name: ClassVar[str]

    def __call__(self, t: Any, base: float = 1.0) -> float:
        """Return the learning rate of step t; without a base, the factor."""
        return float(self._rate(t, base))

    def _rate(self, t: Any, base: float) -> float:
        raise NotImplementedError(f"{type(self).__name__} must say what its learning rate is, in _rate(t, base).")

    def state_dict(self) -> dict[str, Any]:
        """Return name and arguments as plain data, from which `optim.schedule` makes an equal schedule.

        Example:
            >>> StepDecay(30).state_dict()
            {'name': 'step', 'step_size': 30, 'gamma': 0.1}
        """
        return {"name": self.name, **{field.name: _as_plain_data(getattr(self, field.name)) for field in fields(self)}}

    def _need(self, key: str, valid: bool, need: str) -> None:
        if not valid:
            raise ValueError(f"{type(self).__name__}: {key}={getattr(self, key)!r:.60}; it must be {need}.")

    def _count(self, *keys: str, minimum: int = 1) -> None:
        for key in keys:
            value = getattr(self, key)
            whole = isinstance(value, int) and not isinstance(value, bool)
            self._need(key, whole and value >= minimum, f"a whole number of at least {minimum}")

    def _number(self, *keys: str, above: float = -math.inf) -> None:
        for key in keys:
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                kind = type(value).__name__
                raise TypeError(f"{type(self).__name__}: {key}={value!r:.60} is of type {kind}; it needs a number.")
            self._need(key, above < value < math.inf, "finite" if above == -math.inf else f"finite and above {above:g}")


@dataclass(frozen=True)
class Constant(Schedule):
    r"""A factor times the base rate for some steps, then the base rate.

    .. math:: \eta_t = \eta\, c \text{ for } t < T, \quad \eta \text{ from then on}

    Source: as ``ConstantLR``.
    """

    factor: float = 1 / 3
    total_iters: int = 5
    name: ClassVar[str] = "constant"

    def __post_init__(self) -> None:
        self._number("factor", above=0)
        self._count("total_iters", minimum=0)

    def _rate(self, t: int, base: float) -> float:
        return base * self.factor if t < self.total_iters else base


@dataclass(frozen=True)
class Warmup(Schedule):
    r"""A linear change from one factor of the base rate to another.

    .. math:: \eta_t = \eta \left(a + (b - a) \min(t / T, 1)\right)

    Source: Goyal et al., Accurate, large minibatch SGD (2017), section 2.2; as ``LinearLR``.

    Example:
        >>> [Warmup(0.25, total_iters=3)(t, 2.0) for t in range(5)]
        [0.5, 1.0, 1.5, 2.0, 2.0]
    """

    start_factor: float = 1 / 3
    end_factor: float = 1.0
    total_iters: int = 5
    name: ClassVar[str] = "warmup"

    def __post_init__(self) -> None:
        self._number("start_factor", "end_factor")
        self._need("start_factor", 0 < self.start_factor <= 1, "above 0 and at most 1")
        self._need("end_factor", 0 <= self.end_factor <= 1, "at least 0 and at most 1")
        self._count("total_iters")

    def _rate(self, t: int, base: float) -> float:
        part = min(t, self.total_iters) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * part)


@dataclass(frozen=True)
class StepDecay(Schedule):
    r"""Multiply the rate by a factor every `step_size` steps.

    .. math:: \eta_t = \eta\, \gamma^{\lfloor t / T \rfloor}

    Source: as ``StepLR``.
    """

    step_size: int
    gamma: float = 0.1
    name: ClassVar[str] = "step"

    def __post_init__(self) -> None:
        self._count("step_size")
        self._number("gamma", above=0)

    def _rate(self, t: int, base: float) -> float:
        return base * self.gamma ** (t // self.step_size)


@dataclass(frozen=True)
class MultiStep(Schedule):
    r"""Multiply the rate by a factor at each milestone.

    .. math:: \eta_t = \eta\, \gamma^{\#\{k : T_k \le t\}}

    Source: as ``MultiStepLR``.
    """

    milestones: tuple[int, ...]
    gamma: float = 0.1
    name: ClassVar[str] = "multistep"

    def __post_init__(self) -> None:
        object.__setattr__(self, "milestones", milestones_of(self))
        self._number("gamma", above=0)

    def _rate(self, t: int, base: float) -> float:
        return base * self.gamma ** bisect_right(self.milestones, t)


@dataclass(frozen=True)
class Exponential(Schedule):
    r"""Multiply the rate by a factor every step.

    .. math:: \eta_t = \eta\, \gamma^t

    Source: as ``ExponentialLR``.
    """

    gamma: float
    name: ClassVar[str] = "exponential"

    def __post_init__(self) -> None:
        self._number("gamma", above=0)

    def _rate(self, t: int, base: float) -> float:
        return base * self.gamma**t


@dataclass(frozen=True)
class Polynomial(Schedule):
    r"""A decrease to 0 in T steps, as a power of the remaining steps; it stays 0 afterwards.

    .. math:: \eta_t = \eta \left(1 - \min(t, T) / T\right)^p

    Source: as ``PolynomialLR``.
    """

    total_iters: int = 5
    power: float = 1.0
    name: ClassVar[str] = "polynomial"

    def __post_init__(self) -> None:
        self._count("total_iters")
        self._number("power", above=0)

    def _rate(self, t: int, base: float) -> float:
        return float(base * (1 - min(t, self.total_iters) / self.total_iters) ** self.power)


@dataclass(frozen=True)
class Cosine(Schedule):
    r"""Cosine annealing: down along half a cosine in T steps, and up again afterwards.

    .. math:: \eta_t = \eta_{min} + (\eta - \eta_{min}) \frac{1 + \cos(\pi t / T)}{2}

    Source: Loshchilov & Hutter, SGDR (2017), equation 5; as ``CosineAnnealingLR``.
    """

    T_max: int
    eta_min: float = 0.0
    name: ClassVar[str] = "cosine"

    def __post_init__(self) -> None:
        self._count("T_max")
        self._number("eta_min")

    def _rate(self, t: int, base: float) -> float:
        return _cosine(base, self.eta_min, t / self.T_max)


@dataclass(frozen=True)
class CosineRestarts(Schedule):
    r"""Cosine annealing with warm restarts; each period is T_mult times as long as the one before.

    .. math:: \eta_t = \eta_{min} + (\eta - \eta_{min}) \frac{1 + \cos(\pi t_i / T_i)}{2}, \qquad T_{i+1} = T_{mult} T_i

    Source: Loshchilov & Hutter, SGDR (2017); as ``CosineAnnealingWarmRestarts``.
    """

    T_0: int
    T_mult: int = 1
    eta_min: float = 0.0
    name: ClassVar[str] = "cosine_restarts"

    def __post_init__(self) -> None:
        self._count("T_0", "T_mult")
        self._number("eta_min")

    def _rate(self, t: int, base: float) -> float:
        length = self.T_0
        if self.T_mult == 1:
            t = t % length
        while t >= length:
            t, length = t - length, length * self.T_mult
        return _cosine(base, self.eta_min, t / length)


@dataclass(frozen=True)
class OneCycle(Schedule):
    r"""The one-cycle policy: up to the largest rate, then down to nearly 0.

    .. math:: \frac{\eta_{max}}{d} \;\to\; \eta_{max} \;\to\; \frac{\eta_{max}}{d\, d_{final}}

    After `total_steps` the rate stays at its last value. PyTorch by default also changes the momentum in the other
    direction (``cycle_momentum``); this schedule does not.

    Args:
        total_steps: the length of the cycle, at least 2.
        max_lr: the largest learning rate; by default the base.
        pct_start: the share of the steps in which the rate increases.
        anneal_strategy: ``'cos'`` or ``'linear'``.
        div_factor, final_div_factor: d and d_final.
        three_phase: whether the rate decreases to its start in as many steps as it increased, then further to its end.

    Source: Smith & Topin, Super-convergence (2018); as ``OneCycleLR(cycle_momentum=False)``.
    """

    total_steps: int
    max_lr: float | None = None
    pct_start: float = 0.3
    anneal_strategy: str = "cos"
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    three_phase: bool = False
    name: ClassVar[str] = "one_cycle"

    def __post_init__(self) -> None:
        self._count("total_steps", minimum=2)
        if self.max_lr is not None:
            self._number("max_lr", above=0)
        self._number("pct_start", "div_factor", "final_div_factor", above=0)
        most = 0.5 if self.three_phase else 1
        self._need("pct_start", self.pct_start * self.total_steps > 1 and self.pct_start <= most,
                   f"more than one step, 1 / {self.total_steps}, and at most {most}")  # fmt: skip
        self._need("anneal_strategy", self.anneal_strategy in ("cos", "linear"), "'cos' or 'linear'")

    def _rate(self, t: int, base: float) -> float:
        top = base if self.max_lr is None else self.max_lr
        low = top / self.div_factor
        return self.between(t, low, top, low / self.final_div_factor)

    def between(self, t: int, low: float, top: float, end: float) -> float:
        """Return the value at step t of a number that goes from low to top and then to end, such as the momentum."""
        up, last = self.pct_start * self.total_steps - 1, self.total_steps - 1
        corners = [(0.0, low), (up, top), (last, end)]
        if self.three_phase:
            corners.insert(2, (2 * up, low))
        t = min(t, last)
        (start, a), (stop, b) = next(pair for pair in pairwise(corners) if t <= pair[1][0])
        part = (t - start) / (stop - start)
        return _cosine(a, b, part) if self.anneal_strategy == "cos" else (b - a) * part + a


def _cosine(high: float, low: float, part: float) -> float:
    return low + (high - low) * (1 + math.cos(math.pi * part)) / 2


def is_zero_from(rate: Callable[[int, float], float], t: int) -> bool:
    """Return whether a schedule is 0 for every base at step t and the next, as `Polynomial` is after its end."""
    return not any(rate(step, base) for step in (t, t + 1) for base in (1.0, 0.0))


def _as_plain_data(value: Any) -> Any:
    if isinstance(value, Schedule):
        return value.state_dict()
    return [_as_plain_data(one) for one in value] if isinstance(value, tuple) else value


def in_order(milestones: Any) -> Any:
    """Return the milestones as a sorted tuple; a single number is returned as it is, and `milestones_of` refuses it."""
    return tuple(sorted(milestones)) if isinstance(milestones, Iterable) else milestones


def milestones_of(owner: Any) -> tuple[int, ...]:
    """Return the milestones of a schedule as a tuple; raise if they are not valid."""
    if not isinstance(owner.milestones, Iterable):
        owner._need("milestones", False, "a list of steps, e.g. (30, 80)")
    found = tuple(owner.milestones)
    whole = all(isinstance(t, int) and not isinstance(t, bool) and t >= 0 for t in found)
    owner._need("milestones", whole and list(found) == sorted(found), "steps in order, e.g. (30, 80)")
    return found
