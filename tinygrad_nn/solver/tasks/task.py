"""Task, the interface between a model and a training: parameters, gradients of a batch, predictions."""

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
Gradients = list[Array | None]  # one per parameter; None if the loss does not depend on it


class Task:
    """A model together with its solver, as the training uses it.

    Attributes:
        solver: loss, optimizer and options; names, parameters: of all that is trained; rules: the optimizer and the
            learning rate of each parameter; updater: applies the updates to the parameters.
    """

    solver: Solver
    names: list[str]
    parameters: list[Tensor]
    rules: list[tuple[Any, float]]
    updater: Updater
    draws = True  # whether a step needs random numbers

    def training(self, rng: np.random.Generator) -> AbstractContextManager[Any]:
        """Return a context manager that sets training mode, with `rng` for the model's random numbers."""
        raise NotImplementedError

    def gradients(self, x: Any, y: Any, rng: np.random.Generator) -> tuple[float, Gradients]:
        """Return the loss of a batch, with penalties and dropout, and its gradients."""
        raise NotImplementedError

    def evaluate(self, x: Any, y: Any) -> tuple[float, Any]:
        """Return the loss without penalties and dropout, and the prediction."""
        raise NotImplementedError

    def outputs(self, x: Any) -> tuple[Any, Any]:
        """Return the input of the loss, and the prediction."""
        raise NotImplementedError

    def loss_of(self, output: Any, y: Any) -> float:
        """Return the loss for a result of `outputs`, without penalties."""
        raise NotImplementedError

    def arrays(self) -> dict[str, Array]:
        """Return copies of all that is learned or saved, by name: parameters and buffers."""
        raise NotImplementedError

    def restore(self, arrays: dict[str, Array]) -> None:
        """Restore the result of `arrays`; raise a ValueError, and change nothing, if it does not fit."""
        raise NotImplementedError

    def batch(self, x: Any, y: Any, rng: np.random.Generator) -> tuple[Any, ...]:
        """Return the arguments of `recorded`, as arrays."""
        raise NotImplementedError

    def recorded(self, *batch: Any) -> Any:
        """Return the loss of a batch with its graph."""
        raise NotImplementedError

    def finite(self, loss: float) -> float:
        """Return the loss; raise a FloatingPointError if it is infinite or NaN."""
        raise NotImplementedError

    def named(self, gradients: Sequence[Any]) -> tuple[Any, Any]:
        """Return the gradients as the user sees them: those of weights, and those of biases and scales."""
        raise NotImplementedError

    def shares(self, gather: bool) -> None:
        """Prepare for batches of which each rank has some rows.

        With `gather`, the loss is computed from the outputs of all ranks; otherwise from those of this rank's rows.
        """

    def places(self) -> list[tuple[Any, str]]:
        """Return the attributes, as (object, name), that a step changes besides parameters: buffers and generators."""
        return []

    def owners(self) -> list[Any]:
        """Return the objects whose attributes hold the parameters while the loss is computed."""
        raise NotImplementedError

    def publish(self) -> None:
        """Write the trained parameters back into the user's own arrays; only functions have such arrays."""

    def rates(self, rate: Callable[[float], float]) -> list[float]:
        """Return the learning rate of each parameter in this step."""
        return [rate(base) for _, base in self.rules]

    def states(self) -> list[OptimizerState | None]:
        """Return the optimizer state of each parameter."""
        return self.updater.states()

    def resume(self, states: Sequence[OptimizerState | None]) -> None:
        """Restore the optimizer states that `states` returned."""
        self.updater.resume(states)


def updater(parameters: Sequence[Tensor], rules: Sequence[tuple[Any, float]]) -> Updater:
    """Return the updater of the parameters, which takes over optimizer states of an earlier training."""
    return Updater(parameters, [rule for rule, _ in rules], [base for _, base in rules])


def clip_gradients(solver: Solver, gradients: Gradients) -> Gradients:
    """Return the gradients, clipped as the solver says."""
    if solver.clip_value is not None:
        gradients = clip_by_value(gradients, solver.clip_value)
    if solver.clip_norm is not None:
        gradients, _ = clip_by_norm(gradients, solver.clip_norm)
    return gradients
