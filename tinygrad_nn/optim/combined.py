"""Schedules composed of other schedules, and the table of all schedules by name."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from ..common.spelling import did_you_mean, named_options
from .plateau import Plateau
from .schedules import (
    Constant,
    Cosine,
    CosineRestarts,
    Exponential,
    MultiStep,
    OneCycle,
    Polynomial,
    Schedule,
    StepDecay,
    Warmup,
    milestones_of,
)


@dataclass(frozen=True)
class Chained(Schedule):
    r"""Several schedules applied at once: each takes the rate of the one before as its base.

    .. math:: \eta_t = f_n(t, \dots f_2(t, f_1(t, \eta)))

    Source: as ``ChainedScheduler``, which multiplies factors; an `eta_min` holds for its own schedule only.
    """

    schedules: tuple[Schedule, ...]
    name: ClassVar[str] = "chained"

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedules", _schedules(self))

    def _rate(self, t: int, base: float) -> float:
        for one in self.schedules:
            base = one(t, base)
        return base


@dataclass(frozen=True)
class SequentialSchedule(Schedule):
    r"""Several schedules in sequence: at each milestone the next one begins, at its own step 0.

    .. math:: \eta_t = f_k(t - T_k, \eta), \qquad T_k \le t < T_{k+1}

    Source: as ``SequentialLR``.

    Example:
        >>> warm = SequentialSchedule([Warmup(0.5, total_iters=2), StepDecay(2)], [2])
        >>> print([round(warm(t), 4) for t in range(6)])
        [0.5, 0.75, 1.0, 1.0, 0.1, 0.1]
    """

    schedules: tuple[Schedule, ...]
    milestones: tuple[int, ...]
    name: ClassVar[str] = "sequential"

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedules", _schedules(self))
        object.__setattr__(self, "milestones", milestones_of(self))
        need = f"{len(self.schedules) - 1} steps, one for each schedule but the first"
        self._need("milestones", len(self.milestones) == len(self.schedules) - 1, need)

    def _rate(self, t: int, base: float) -> float:
        k = bisect_right(self.milestones, t)
        return self.schedules[k](t - (self.milestones[k - 1] if k else 0), base)


SCHEDULES: dict[str, type[Schedule]] = {
    kind.name: kind
    for kind in (Constant, Warmup, StepDecay, MultiStep, Exponential, Polynomial, Cosine, CosineRestarts, OneCycle,
                 Plateau, Chained, SequentialSchedule)
}  # fmt: skip
for _kind in SCHEDULES.values():
    named_options()(_kind)


def schedule(name: str | Mapping[str, Any], **arguments: Any) -> Schedule:
    """Return a schedule by its name, or from the dict of `Schedule.state_dict`.

    Args:
        name: a key of `SCHEDULES`, in any letter case, or a dict with ``'name'`` and the arguments.

    Raises:
        ValueError: there is no such schedule; TypeError: the schedule has no such argument.

    Example:
        >>> schedule("cosine", T_max=100)
        Cosine(T_max=100, eta_min=0.0)
        >>> schedule({"name": "step", "step_size": 30})
        StepDecay(step_size=30, gamma=0.1)
    """
    if not isinstance(name, str):
        return schedule(**{**name, **arguments})
    key = name.strip().lower()
    if key not in SCHEDULES:
        raise ValueError(f"unknown schedule {name!r}; known are {', '.join(SCHEDULES)}.{did_you_mean(key, SCHEDULES)}")
    kind = SCHEDULES[key]
    known = [field.name for field in fields(kind)]
    for argument in arguments:
        if argument not in known:
            hint = did_you_mean(argument, known)
            raise TypeError(f"schedule {key!r} takes no {argument!r}; it takes {', '.join(known)}.{hint}")
    return kind(**arguments)


def _schedules(owner: Any) -> tuple[Schedule, ...]:
    found = tuple(schedule(one) if isinstance(one, Mapping) else one for one in owner.schedules)
    for one in found:
        if not isinstance(one, Schedule) or isinstance(one, Plateau):
            raise TypeError(
                f"{type(owner).__name__}: {one!r:.60} is not a schedule of the step, such as Warmup() or Cosine(100)."
            )
    owner._need("schedules", bool(found), "at least one schedule")
    return found
