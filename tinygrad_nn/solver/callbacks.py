"""What callbacks are told of single updates: those that have methods `due` and `step` besides their call an epoch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from .training_step import TrainingStep

Array = np.ndarray[Any, Any]


class Step(NamedTuple):
    """An update as a callback is told of it: the parameters after it, and the gradients that made it.

    Attributes:
        number: of updates so far, 0 before the first; epoch: in which it is, from 1.
        loss: of its batch, before the update; ``None`` where there was none: before the first, and at the end.
        weights: name -> array. gradients: of the batch, before clipping; empty where there is no loss.
        model: as `fit` was given it. data: ``(x, y)``, all rows that lie in memory, or those of a batch.
    """

    number: int
    epoch: int
    loss: float | None
    weights: dict[str, Array]
    gradients: dict[str, Array]
    model: Any
    data: Any


class Listeners:
    """The callbacks that are told of updates: the state before the first, each update that is due, and the last."""

    def __init__(self, callbacks: Iterable[Any], step: TrainingStep, model: Any, last: int | None) -> None:
        self.all = [c for c in callbacks if callable(getattr(c, "due", None)) and callable(getattr(c, "step", None))]
        self.step, self.model, self.last = step, model, last
        self._due: list[Any] = []
        self._told: dict[int, int] = {}

    def begin(self, epoch: int, data: Any) -> None:
        """Tell of the state before the first update."""
        self._due = [c for c in self.all if c.due(self.step.updates)]
        self._tell(epoch, None, data)

    def ask(self) -> None:
        """Ask who wants to know of the next update."""
        if not self.all:
            return
        self._before = self.step.updates
        number = self._before + 1
        self._due = [c for c in self.all if c.due(number) or number == self.last]
        self.step.keeps = bool(self._due)

    def tell(self, epoch: int, loss: float, data: Any) -> None:
        """Tell of the update, if one was made."""
        if self._due and self.step.updates > self._before:
            self._tell(epoch, loss, data)

    def end(self, epoch: int, data: Any) -> None:
        """Tell of the last state those who do not know it: the training ended before its time."""
        self._due = [c for c in self.all if self._told.get(id(c)) != self.step.updates]
        self._tell(epoch, None, data)

    def _tell(self, epoch: int, loss: float | None, data: Any) -> None:
        task, due, self._due = self.step.task, self._due, []
        for callback in due:
            self._told[id(callback)] = self.step.updates
            weights = {name: p.data for name, p in zip(task.names, task.parameters, strict=True)}
            found = () if loss is None else zip(task.names, self.step.gradients, strict=True)
            gradients = {name: np.asarray(g) for name, g in found if g is not None}
            callback.step(Step(self.step.updates, epoch, loss, weights, gradients, self.model, data))
