"""The choice of the training steps to record, and the data of a step in the user's own training loop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ..model.names import arrays, parameters
from ..model.values import array_of

Array = np.ndarray[Any, Any]
A_DOUBLING = 8  # recorded steps per doubling of the step number, for "log"


@dataclass(frozen=True)
class Choice:
    """The choice of steps: those of a list, every N-th, or a fixed number per doubling of the step number."""

    numbers: frozenset[int] = frozenset()
    interval: int = 0
    a_doubling: float = 0.0

    @classmethod
    def of(cls, call: str, steps: Any) -> Choice:
        """Return the choice for the user's ``"log"``, number or list.

        Raises:
            TypeError, ValueError: ``steps`` is none of these.
        """
        if isinstance(steps, str) and steps == "log":
            return cls(a_doubling=A_DOUBLING)
        if isinstance(steps, (int, np.integer)) and not isinstance(steps, bool):
            if steps < 1:
                raise ValueError(f"{call}: steps={steps}; it must be at least 1, to keep every N-th step.")
            return cls(interval=int(steps))
        if isinstance(steps, str) or not hasattr(steps, "__iter__"):
            raise TypeError(f"{call}: steps={steps!r:.60}; write 'log', a number N for every N-th, or a list.")
        numbers = list(steps)
        if not numbers or any(isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 0 for n in numbers):
            raise ValueError(f"{call}: steps={numbers!r:.60}; a list holds numbers of steps, 0 for the start.")
        return cls(frozenset(map(int, numbers)))

    def due(self, number: int) -> bool:
        """Whether the step of this number is chosen."""
        if self.numbers:
            return number in self.numbers
        if self.interval:
            return number % self.interval == 0
        return number < 2 or int(self.a_doubling * math.log2(number)) > int(self.a_doubling * math.log2(number - 1))

    def coarser(self) -> Choice:
        """Return a choice of about half of these steps."""
        return replace(self, interval=2 * self.interval, a_doubling=self.a_doubling / 2)

    def words(self) -> str:
        """Return a description of the chosen steps."""
        return f"the steps that {self.interval} divides are kept" if self.interval else (
            f"{self.a_doubling:g} steps of each doubling are kept")  # fmt: skip


class LoopStep(NamedTuple):
    """A step of a loop: its number, its loss, and its arrays by the names that `fit` uses."""

    number: int
    loss: float | None
    weights: dict[str, Array]
    gradients: dict[str, Array]


class LoopRecorder:
    """Counts the updates of the user's own loop, and returns the same data for each as `fit` reports."""

    def __init__(self) -> None:
        self.count: int | None = None

    def next_step(self, model: Any, trained: Any) -> LoopStep:
        """Return the data of an update, or of the state before the first.

        Args:
            trained: the result of `TrainNN`, or the loss; ``None`` before the first update.
        """
        self.count = int(trained is not None) if self.count is None else self.count + 1
        found, loss = getattr(trained, "dW", None), getattr(trained, "loss", trained)
        weights = parameters_of(model, not isinstance(found, Mapping))
        if not weights:
            raise TypeError(
                f"{model!r:.60} of type {type(model).__name__} has no parameters to record; pass the model that is "
                "trained, a list of layers, a module or a dict of arrays: record.add(model, loss)."
            )
        if isinstance(found, Mapping):
            gradients = {**found, **trained.db}
        elif found is not None:
            both = {"W": found, "b": trained.db}
            gradients = {f"layer {k} {part}": g for part, gs in both.items() for k, g in enumerate(gs, start=1)}
        else:
            gradients = {name: getattr(w, "grad", None) for name, w in weights.items()} if trained is not None else {}
        return LoopStep(self.count, None if loss is None else float(array_of(loss)),
                     {name: array_of(w) for name, w in weights.items()},
                     {name: array_of(g) for name, g in gradients.items() if g is not None})  # fmt: skip


def parameters_of(model: Any, is_list: bool) -> dict[str, Any]:
    """Return the parameters of a model by the names that `fit` uses.

    Args:
        is_list: whether the layers of a list are named ``layer 1 W`` and so on, instead of by path, ``0.W``.
    """
    if not isinstance(model, (list, tuple)):
        return dict(parameters(model) or arrays(model))
    if is_list and all(hasattr(part, "W") and hasattr(part, "b") for part in model):
        return {f"layer {k} {part}": getattr(layer, part) for k, layer in enumerate(model, start=1) for part in "Wb"}
    return {f"{k}.{name}": value for k, part in enumerate(model) for name, value in parameters(part).items()}
