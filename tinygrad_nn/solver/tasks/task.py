"""Task, the interface of a model to a training: its parameters, the gradients of a batch, a prediction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from ...optim import OptimizerState, clip_by_norm, clip_by_value
from ...optim.update import Updater
from ...tensor import Tensor
from ..settings import Solver

Array = np.ndarray[Any, Any]
Gradients = list[Array | None]  # one for each parameter, None for one that the loss does not depend on


class Task:
    """A model with its solver, as a training sees it.

    Attributes:
        solver: what it is trained by; names, parameters: of what is trained; rules: optimizer and learning rate of
            each; updater: moves them.
    """

    solver: Solver
    names: list[str]
    parameters: list[Tensor]
    rules: list[tuple[Any, float]]
    updater: Updater
    draws = True  # whether a step needs random numbers

    def training(self, rng: np.random.Generator) -> AbstractContextManager[Any]:
        """Return a context manager for training mode, with this generator for the model's random numbers."""
        raise NotImplementedError

    def gradients(self, x: Any, y: Any, rng: np.random.Generator) -> tuple[float, Gradients]:
        """Return the loss of a batch, with penalties and dropout, and its gradients."""
        raise NotImplementedError

    def evaluate(self, x: Any, y: Any) -> tuple[float, Any]:
        """Return the loss without penalties and dropout, and the prediction."""
        raise NotImplementedError

    def outputs(self, x: Any) -> tuple[Any, Any]:
        """Return what the loss is computed from, and the prediction."""
        raise NotImplementedError

    def loss_of(self, output: Any, y: Any) -> float:
        """Return the loss of outputs, without penalties."""
        raise NotImplementedError

    def arrays(self) -> dict[str, Array]:
        """Return all that the model has learnt, by name."""
        raise NotImplementedError

    def restore(self, arrays: dict[str, Array]) -> None:
        """Put back what `arrays` returned; raise ValueError, and change nothing, if it does not fit."""
        raise NotImplementedError

    def batch(self, x: Any, y: Any, rng: np.random.Generator) -> tuple[Any, ...]:
        """Return what `recorded` takes, as arrays."""
        raise NotImplementedError

    def recorded(self, *batch: Any) -> Any:
        """Return the loss of a batch with its graph."""
        raise NotImplementedError

    def finite(self, loss: float) -> float:
        """Return a loss, or raise if it is infinite or NaN."""
        raise NotImplementedError

    def named(self, gradients: Sequence[Any]) -> tuple[Any, Any]:
        """Return gradients as a person reads them: those of weights, and those of biases and scales."""
        raise NotImplementedError

    def shares(self, gather: bool) -> None:
        """Compute on some rows of each batch: with `gather` the loss from the outputs of all ranks, else that of these
        rows."""

    def places(self) -> list[tuple[Any, str]]:
        """Return the attributes that hold what changes besides parameters: buffers and random generators."""
        return []

    def owners(self) -> list[Any]:
        """Return the objects whose attributes hold the parameters while the loss is computed."""
        raise NotImplementedError

    def publish(self) -> None:
        """Write the trained parameters back into the user's own arrays."""

    def rates(self, rate: Callable[[float], float]) -> list[float]:
        """Return the learning rate of each parameter in this step."""
        return [rate(base) for _, base in self.rules]

    def states(self) -> list[OptimizerState | None]:
        """Return the state of the optimizer for each parameter."""
        return self.updater.states()

    def resume(self, states: Sequence[OptimizerState | None]) -> None:
        """Put back what `states` returned."""
        self.updater.resume(states)


def updater(parameters: Sequence[Tensor], rules: Sequence[tuple[Any, float]]) -> Updater:
    """Return the updater of the parameters, with the optimizer states of an earlier training."""
    return Updater(parameters, [rule for rule, _ in rules], [base for _, base in rules])


def clipped(solver: Solver, gradients: Gradients) -> Gradients:
    """Return gradients no larger than the solver allows."""
    if solver.clip_value is not None:
        gradients = clip_by_value(gradients, solver.clip_value)
    if solver.clip_norm is not None:
        gradients, _ = clip_by_norm(gradients, solver.clip_norm)
    return gradients
