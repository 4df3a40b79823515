"""A training step as one compiled function: loss, gradients and update together, traced once for each shape."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..compiled import compile, functional
from ..optim import LBFGS
from ..transforms import value_and_grad
from .settings import Solver
from .task import Task, clipped


class CompiledStep:
    """The gradients and the update of a task in one call; what cannot be traced runs as it would without."""

    def __init__(self, task: Task, solver: Solver, backend: str, tell: bool = False) -> None:
        """Make it ready; `tell` keeps the gradients of each step in `gradients`."""
        self.task, self.solver, self.tell = task, solver, tell
        self.gradients: Sequence[Any] = ()
        self.places = task.places()
        self.loss = value_and_grad(functional(task.recorded, task.parameters, self.places), has_aux=True)
        self.step = compile(self._step, backend=backend)

    def __call__(self, x: Any, y: Any, rng: np.random.Generator) -> float:
        """Take a step on a batch, and return the loss before it.

        Raises:
            FloatingPointError: the loss is infinite or NaN; nothing was updated.
        """
        task = self.task
        params = [parameter.data for parameter in task.parameters]
        states = [
            rule.init(w) if state is None else state
            for state, w, (rule, _) in zip(task.states(), params, task.rules, strict=True)
        ]
        kept = [getattr(owner, name) for owner, name in self.places]
        rates = [task.rate(base) for _, base in task.rules]
        value, new, states, kept, gradients = self.step(params, states, rates, kept, *task.batch(x, y, rng))
        value = task.finite(float(value))
        self.gradients = gradients
        for parameter, w in zip(task.parameters, new, strict=True):
            parameter.data = parameter.node.out = np.asarray(w)  # type: ignore[union-attr]
        task.resume(states)
        task.publish()
        for (owner, name), left in zip(self.places, kept, strict=True):
            if left is not None:  # of a generator nothing is left
                setattr(owner, name, np.asarray(left))
        return value

    def _step(self, params: Any, states: Any, rates: Any, kept: Any, *batch: Any) -> Any:
        (value, kept), gradients = self.loss(params, kept, *batch)
        moved, left = [], []
        both = zip(params, clipped(self.solver, gradients), states, rates, self.task.rules, strict=True)
        for w, g, state, rate, (rule, _) in both:
            step, state = rule.update(g, state, rate, w)
            moved.append(w - step)
            left.append(state)
        return value, moved, left, kept, gradients if self.tell else ()


_RECENT: OrderedDict[Any, CompiledStep] = OrderedDict()  # of `TrainNN`, which is called anew for each batch
_MOST = 8


def recent(task: Task, solver: Solver, backend: str) -> CompiledStep:
    """Return the compiled step of an earlier call with the same parameters and an equal solver, or a new one."""
    plan = getattr(task, "plan", None)
    # the Tensors are kept alive by the step itself; targets that sum to one have a rule of their own
    key = (backend, plan is not None and bool(plan.meta), *map(id, task.parameters))
    step = _RECENT.pop(key, None)
    if step is None or step.solver != solver:
        step = CompiledStep(task, solver, backend, tell=True)
    _RECENT[key] = step
    if len(_RECENT) > _MOST:
        _RECENT.popitem(last=False)
    return step


def backend_of(call: str, compile: Any, gradients: str, solver: Solver) -> str | None:
    """Return the backend that is meant by an option, ``None`` for none."""
    if compile is False or compile is None:
        return None
    if compile is not True and compile not in ("auto", "numpy", "numba"):
        raise ValueError(f"{call}: compile={compile!r:.60}; it is True, False, 'numpy' or 'numba'.")
    if gradients == "manual":
        raise ValueError(f"{call}: compile= is for the gradients of the graph; leave gradients='manual' out.")
    if isinstance(solver.rule, LBFGS):
        raise ValueError(f"{call}: lbfgs evaluates the loss as often as it likes; leave compile= out.")
    return "auto" if compile is True else str(compile)
