"""Plateau: a schedule that reduces the learning rate when a metric stops improving."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ..tensor import raw
from .schedules import Schedule


class PlateauState(NamedTuple):
    """The state of a `Plateau`: best metric, epochs since, remaining epochs of the cooldown, reductions so far."""

    best: float | None = None
    bad: int = 0
    cooldown: int = 0
    reductions: int = 0


@dataclass(frozen=True)
class Plateau(Schedule):
    r"""Multiply the learning rate by a factor when a metric has not improved for `patience` epochs.

    .. math:: \eta \leftarrow \max(\eta \gamma, \eta_{min})

    Args:
        mode: ``'min'`` or ``'max'``: which metrics are better.
        factor: γ, above 0 and below 1.
        patience: number of epochs in a row without improvement that are tolerated.
        threshold: the smallest improvement that counts, relative (``threshold_mode='rel'``) or absolute (``'abs'``).
        cooldown: number of epochs after a reduction that do not count as bad.
        min_lr: the smallest learning rate; eps: a reduction by at most this is not made.

    Source: as ``ReduceLROnPlateau``.

    Example:
        >>> plateau = Plateau(patience=1)
        >>> state = plateau.init()
        >>> for metric in (1.0, 0.5, 0.5, 0.5):
        ...     state = plateau.update(state, metric)
        >>> state, plateau(state, 0.5)
        (PlateauState(best=0.5, bad=0, cooldown=0, reductions=1), 0.05)
    """

    mode: str = "min"
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    threshold_mode: str = "rel"
    cooldown: int = 0
    min_lr: float = 0.0
    eps: float = 1e-8
    name: ClassVar[str] = "plateau"

    def __post_init__(self) -> None:
        self._need("mode", self.mode in ("min", "max"), "'min' or 'max'")
        self._need("threshold_mode", self.threshold_mode in ("rel", "abs"), "'rel' or 'abs'")
        self._number("factor", "threshold", "min_lr", "eps")
        self._need("factor", 0 < self.factor < 1, "above 0 and below 1")
        self._count("patience", "cooldown", minimum=0)

    def init(self) -> PlateauState:
        """Return the state before the first metric."""
        return PlateauState()

    def update(self, state: PlateauState, metric: float) -> PlateauState:
        """Return the state after one more metric; NaN is never an improvement."""
        best, bad, cooldown, reductions = state
        try:
            metric = float(raw(metric))
        except (TypeError, ValueError):
            raise TypeError(f"Plateau: the metric is {metric!r:.60}; it needs one number, such as a loss.") from None
        bad += 1
        if self._is_better(metric, best):
            best, bad = metric, 0
        if cooldown > 0:
            bad, cooldown = 0, cooldown - 1
        if bad > self.patience:
            bad, cooldown, reductions = 0, self.cooldown, reductions + 1
        return PlateauState(best, bad, cooldown, reductions)

    def _is_better(self, metric: float, best: float | None) -> bool:
        sign = 1 if self.mode == "min" else -1
        if best is None:
            return sign * metric < math.inf
        bound = best * (1 - sign * self.threshold) if self.threshold_mode == "rel" else best - sign * self.threshold
        return sign * metric < sign * bound

    def _rate(self, t: PlateauState, base: float) -> float:
        if not isinstance(t, PlateauState):
            raise TypeError(
                f"Plateau: it got {t!r:.60}; the rate depends on metrics, not on the step. Pass the state that init() "
                "and update(state, metric) return, or let minimizer.observe(metric) keep it."
            )
        for _ in range(t.reductions):
            lower = max(base * self.factor, self.min_lr)
            if base - lower <= self.eps:
                break
            base = lower
        return base
