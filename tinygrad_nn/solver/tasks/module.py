"""The task of any module, trained by the graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase as fnmatch
from typing import Any

import numpy as np

from ...backward import walk
from ...common.printable import printable
from ...distributed import in_all_ranks
from ...nn.losses import PENALTIES
from ...nn.module import Module, find_computed
from ...node import no_grad, recording, scope
from ...optim import LBFGSRule, Minimizer, OptimizerState
from ...optim.minimizer import Across
from ...tensor import Tensor, raw
from ..prediction import as_dtype, evaluating, predict_in_chunks
from ..settings import Solver
from .loss import check_single_number, model_and_loss
from .task import Gradients, Task, updater

Array = np.ndarray[Any, Any]


class ModuleTask(Task):
    """The task of a module, or of a list with modules in it; gradients come from the graph."""

    more = "unfreeze some, or add layers"  # advice if there are no parameters
    gather = False

    def __init__(self, call: str, model: Module, solver: Solver) -> None:
        self.module, self.solver = model, solver
        if (name := find_computed(model)) is not None:
            raise ValueError(
                f"{call}: {printable(name)} is a Tensor that was computed from others, so training would not change "
                "it. Compute it from arrays and write Tensor(array), or let its name begin with an underscore."
            )
        trained = [(name, p) for name, p in model.named_parameters() if p.node is not None]
        if not trained:
            raise ValueError(f"{call}: {printable(model.title())} has no parameters to train; {self.more}.")
        self.names, self.parameters = [name for name, _ in trained], [p for _, p in trained]
        self.rules = [_rule_of(solver, name) for name in self.names]
        unused = [pattern for pattern in solver.groups if not any(fnmatch(name, pattern) for name in self.names)]
        if unused:
            more = len(self.names) - 8
            known = printable(", ".join(self.names[:8])) + (f" and {more} more" if more > 0 else "")
            raise ValueError(f"{call}: no parameter matches the group {unused[0]!r}; they are called {known}.")
        self.search = Minimizer(self.parameters, solver.rule) if isinstance(solver.rule, LBFGSRule) else None
        if self.search is None:
            self.updater = updater(self.parameters, self.rules)
        self.dtype: Any = np.finfo(self.parameters[0].dtype).dtype  # for complex parameters, that of their real parts
        self.seed = np.ones((), self.dtype)
        self.weighed: Callable[[Any, Any], Any] | None = None  # the loss with class weights, in training only
        self.forward, self.loss = model_and_loss(call, model, solver)
        reg = solver.regularization
        self.penalty = PENALTIES[reg.method] if reg.lam else None
        if reg.dropout:
            raise ValueError(
                f"{call}: Regularization(dropout={reg.dropout:g}) is for lists of Layer and arrays in memory; else "
                f"write Dropout({reg.dropout:g}) where it belongs."
            )

    @contextmanager
    def training(self, rng: np.random.Generator) -> Iterator[None]:
        """Set the module to training mode inside this block, with `rng` for its random numbers."""
        before = [(part, part.training) for part in self.module.modules()]
        self.module.train()
        self.module.seed(rng)
        try:
            yield
        finally:
            for part, training in before:
                part.training = training

    def objective(self, x: Any, y: Any) -> Tensor:
        """Return the loss of a batch with its penalties and its graph."""
        return self.recorded(self.cast(x), self.cast(y))

    def recorded(self, *batch: Any) -> Tensor:
        """Return the same as `objective` for a batch that is in the dtype of the model already."""
        reg = self.solver.regularization
        with recording(True):
            loss = self.batch_loss(*batch)
            if self.penalty is not None:
                with scope("penalty"):
                    for parameter in self.parameters:
                        if parameter.ndim > 1:  # penalties are on weights, not on biases and scales
                            loss = loss + self.penalty(parameter, reg.lam, reg.r)
        result: Tensor = loss
        return result

    def batch_loss(self, x: Any, y: Any) -> Any:
        """Return the loss of a batch, without penalties."""
        output = self.forward(x)
        if self.gather:
            output, y = (in_all_ranks(part) for part in (output, y))
        return self.measure(output, y, self.weighed)

    def shares(self, gather: bool) -> None:
        """Set whether the loss is computed from the outputs of all ranks."""
        self.gather = gather

    def measure(self, output: Any, y: Any, loss: Callable[[Any, Any], Any] | None = None) -> Any:
        """Return the loss of an output, by default with the solver's loss."""
        with scope("loss"):
            return check_single_number((loss or self.loss)(output, y))

    def cast(self, data: Any) -> Any:
        """Return data with floats in the dtype of the model; integers, such as labels, are unchanged."""
        return as_dtype(data, self.dtype)

    def gradients(self, x: Any, y: Any, rng: np.random.Generator) -> tuple[float, Gradients]:
        """Return the loss and the gradients of a batch, by the graph."""
        loss = self.objective(x, y)
        value = self.finite(float(raw(loss)))
        node = getattr(loss, "node", None)
        if node is None:
            raise ValueError("the loss does not depend on any parameter; compute it from them, with Tensors.")
        gradients: dict[Any, Array] = walk(node, self.seed.astype(loss.dtype))
        return value, [gradients.get(p.node) for p in self.parameters]

    def batch(self, x: Any, y: Any, rng: np.random.Generator) -> tuple[Any, ...]:
        """Return the arguments of `recorded`."""
        return self.cast(x), self.cast(y)

    def places(self) -> list[tuple[Any, str]]:
        """Return the attributes that a step changes besides parameters: buffers and random generators."""
        parts = list(self.module.modules())
        buffers = [(part, name) for part in parts for name in part.buffer_names if getattr(part, name) is not None]
        return buffers + [(part, "rng") for part in parts if "rng" in vars(part)]

    def owners(self) -> list[Any]:
        """Return the submodules, and this task, whose penalty reads the parameters."""
        return [self, *self.module.modules()]

    def finite(self, loss: float) -> float:
        """Return the loss; raise a FloatingPointError if it is infinite or NaN."""
        if not math.isfinite(loss):
            name = self.solver.loss
            if self.forward is self.module and isinstance(name, str) and name.endswith("crossentropy"):
                logits = "binary_cross_entropy_with_logits" if name.startswith("binary") else "cross_entropy"
                raise FloatingPointError(
                    f"the loss became {loss}: {name} takes the logarithm of the prediction, and the model gives values "
                    "that are not strictly between 0 and 1. End it with a Layer with 'softmax' or 'sigmoid', or let it "
                    f"give logits and write Solver(nn.losses.{logits})."
                )
            raise FloatingPointError(
                f"the loss became {loss}: the training diverged. Lower learning_rate={self.solver.learning_rate:g}, "
                "clip the gradients with clip_norm=1.0, or scale the data. The parameters are as they were before this "
                "step."
            )
        return loss

    def named(self, gradients: Sequence[Any]) -> tuple[Any, Any]:
        """Return two dicts of gradients by parameter name: of parameters with several axes, and of the others."""
        found = {name: g for name, g in zip(self.names, gradients, strict=True) if g is not None}
        wide, narrow = ({name: g for name, g in found.items() if (g.ndim > 1) is many} for many in (True, False))
        return wide, narrow

    def line_search(self, x: Any, y: Any, rate: Callable[[float], float], over_ranks: Across) -> float:
        """Take an L-BFGS step on a batch, and return the loss before it.

        `over_ranks` maps loss and gradients of this rank to those of all ranks.
        """
        minimizer: Minimizer = self.search  # type: ignore[assignment]
        minimizer.groups[0].learning_rate = rate(self.solver.learning_rate)
        minimizer.over_ranks = over_ranks
        loss: float = minimizer.step(lambda: self.objective(x, y))  # type: ignore[assignment]
        minimizer.zero_grad()
        return self.finite(loss)

    def evaluate(self, x: Any, y: Any) -> tuple[float, Any]:
        """Return the loss and the prediction; the model runs on chunks of rows."""
        output, prediction = self.outputs(x)
        return self.loss_of(output, y), prediction

    def outputs(self, x: Any) -> tuple[Any, Any]:
        """Return the input of the loss, and the prediction."""
        with no_grad(), evaluating(self.module):
            output = predict_in_chunks(self.forward, x, self.cast)
            return output, output if self.forward is self.module else predict_in_chunks(self.module, x, self.cast)

    def loss_of(self, output: Any, y: Any) -> float:
        """Return the loss for a result of `outputs`."""
        with no_grad(), evaluating(self.module):
            return float(raw(self.measure(output, self.cast(y))))

    def arrays(self) -> dict[str, Array]:
        """Return the parameters, also frozen ones, and the buffers."""
        return self.module.state_dict()

    def restore(self, arrays: dict[str, Array]) -> None:
        """Restore parameters and buffers."""
        self.module.load_state_dict(arrays)

    def states(self) -> list[OptimizerState | None]:
        """Return the optimizer state of each parameter, or the single state of L-BFGS."""
        if self.search is not None:
            return list(self.search.groups[0].states)
        return super().states()

    def resume(self, states: Sequence[OptimizerState | None]) -> None:
        """Restore the optimizer states."""
        if self.search is not None:
            self.search.groups[0].states = list(states)  # type: ignore[arg-type]
        else:
            super().resume(states)


def _rule_of(solver: Solver, name: str) -> tuple[Any, float]:
    """Return the optimizer and the learning rate of a parameter: of the first group that matches its name, if any."""
    for pattern, given in solver.groups.items():
        if fnmatch(name, pattern):
            return solver.group(pattern, given)
    return solver.rule, solver.learning_rate
