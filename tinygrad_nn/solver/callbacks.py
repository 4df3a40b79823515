"""Callbacks for single updates: those that have methods `due` and `step`, besides being called after each epoch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from .training_step import TrainingStep

Array = np.ndarray[Any, Any]


class Step(NamedTuple):
    """What a callback gets for an update: the parameters after it, and the gradients that were used.

    Attributes:
        number: of updates so far, 0 before the first; epoch: the current epoch, from 1.
        loss: of the batch, before the update; ``None`` if the state before the first update or at the end is reported.
        weights: name -> array. gradients: of the batch, before clipping; empty if the loss is ``None``.
        model: as given to `fit`. data: ``(x, y)``, all rows if they are in memory, else the batch.
    """

    number: int
    epoch: int
    loss: float | None
    weights: dict[str, Array]
    gradients: dict[str, Array]
    model: Any
    data: Any


class Listeners:
    """Calls the callbacks that observe updates: for the state before the first, each update that is due, the end."""

    def __init__(self, callbacks: Iterable[Any], step: TrainingStep, model: Any, last: int | None) -> None:
        self.all = [c for c in callbacks if callable(getattr(c, "due", None)) and callable(getattr(c, "step", None))]
        self.step, self.model, self.last = step, model, last
        self._due: list[Any] = []
        self._told: dict[int, int] = {}

    def begin(self, epoch: int, data: Any) -> None:
        """Report the state before the first update."""
        self._due = [c for c in self.all if c.due(self.step.updates)]
        self._tell(epoch, None, data)

    def ask(self) -> None:
        """Ask each callback whether it wants the next update; if one does, the step keeps its gradients."""
        if not self.all:
            return
        self._before = self.step.updates
        number = self._before + 1
        self._due = [c for c in self.all if c.due(number) or number == self.last]
        self.step.keeps = bool(self._due)

    def tell(self, epoch: int, loss: float, data: Any) -> None:
        """Report the update to the callbacks that asked for it, if an update was made."""
        if self._due and self.step.updates > self._before:
            self._tell(epoch, loss, data)

    def end(self, epoch: int, data: Any) -> None:
        """Report the last state to callbacks that did not get it yet, which happens if the training ended early."""
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
