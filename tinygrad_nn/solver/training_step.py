"""The training step of `fit` and `TrainNN`: the gradients of a batch, clipping, and the update.

There are three kinds: the plain step, the line search of L-BFGS, and one compiled function, traced once per shape.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from ..distributed import Shard, current_shard, on_shard
from ..optim import LBFGSRule
from ..transforms import value_and_grad
from .divergence import watch_growth
from .fingerprint import architecture
from .ranks import EVERY, SharedTraining
from .settings import Solver
from .tasks.module import ModuleTask
from .tasks.task import Gradients, Task, clip_gradients

Rate = Callable[[float], float]  # maps the base learning rate to that of an update


class TrainingStep:
    """One step of a training.

    Attributes:
        updates: number of updates made; schedule: maps that number to the `Rate` of the next update, ``None`` for none.
        gradients: of the last update, before clipping, one per parameter; set only if `tell` or `keeps` is true.
        keeps: whether to store the gradients of the next update; this does not change any number.
    """

    keeps = False

    def __init__(
        self, task: Task, solver: Solver, accumulate: int = 1, tell: bool = False, shared: SharedTraining | None = None
    ) -> None:
        """Prepare the step: one update per `accumulate` batches; `tell` stores all gradients; `shared` is for ranks."""
        self.task, self.solver, self.accumulate, self.tell = task, solver, accumulate, tell
        self.shared, self.total = shared, 0
        self.compute: Callable[..., tuple[float, Gradients]] = task.gradients
        self.clips = solver.clip_norm is not None or solver.clip_value is not None
        self.updates = 0
        self.schedule: Callable[[int], Rate] | None = None
        self.gradients: Sequence[Any] = ()
        self._gathered: list[tuple[Gradients, int]] = []

    def __call__(self, x: Any, y: Any, rng: np.random.Generator, rows: int = 1) -> float:
        """Take a step on a batch with `rows` rows, and return the loss before it.

        Raises:
            FloatingPointError: the loss is infinite or NaN; nothing was updated.
        """
        if self.shared is not None:
            return self._on_ranks(self.shared, x, y, rows)
        loss, found = self.compute(x, y, rng)
        if self.tell:
            watch_growth(self.task.updater.entries[0][3], loss, self.solver)
            self.gradients = list(found)
        if self.accumulate == 1:
            self._update(found)
            return loss
        self._gathered.append((found, rows))
        if len(self._gathered) == self.accumulate:
            self.finish()
        return loss

    def _on_ranks(self, shared: SharedTraining, x: Any, y: Any, rows: int) -> float:
        """Take a step together with the other ranks, each on its rows of the batch."""
        with shared.computing(x, y):
            loss, found = self.compute(x, y, shared.draws)
        shard: Shard = shared.shard  # type: ignore[assignment]
        if self.accumulate == 1:
            loss, found = shared.mean(found, shard.weight, loss)
            self.task.finite(loss)
            self._update(found)
            return loss
        loss = shared.loss(loss)
        self._gathered.append((found, shard.stop - shard.start))
        self.total += rows
        if len(self._gathered) == self.accumulate:
            self.finish()
        return loss

    def finish(self) -> None:
        """Update with the gradients accumulated since the last update, if there are any."""
        if self._gathered:
            gathered, self._gathered = self._gathered, []
            found = _mean(gathered)
            if self.shared is not None:
                total, self.total = self.total, 0
                found = self.shared.mean(found, sum(rows for _, rows in gathered) / total)[1]
            self._update(found)

    def _update(self, gradients: Gradients) -> None:
        if self.keeps:
            self.gradients = list(gradients)
        if self.clips:
            gradients = clip_gradients(self.solver, gradients)
        etas = None if self.schedule is None else self.task.rates(self.schedule(self.updates))
        self.task.updater(gradients, etas, not (self.tell or self.keeps))
        self.task.publish()
        self.updates += 1
        if self.shared is not None and self.updates % EVERY == 0:
            self.shared.compare_arrays(f"fit: after {self.updates:,} updates")

    def rate(self) -> Rate:
        """Return the function that maps the base learning rate to that of the next update."""
        return float if self.schedule is None else self.schedule(self.updates)


class SearchStep(TrainingStep):
    """A step of L-BFGS, which evaluates the loss of a batch several times."""

    def __call__(self, x: Any, y: Any, rng: np.random.Generator, rows: int = 1) -> float:
        """Take a step on a batch, and return the loss before it."""
        task: ModuleTask = self.task  # type: ignore[assignment]
        first: list[Any] = []  # the gradients at the start of the search, as one vector

        def over_ranks(loss: float, gradients: list[Any]) -> tuple[float, list[Any]]:
            if self.shared is not None:
                loss, gradients = self.shared.mean_of_search(loss, gradients)
            first[:] = first or gradients
            return loss, gradients

        with nullcontext() if self.shared is None else self.shared.computing(x, y):
            loss = task.line_search(x, y, self.rate(), over_ranks)
        if self.keeps:
            parts = np.split(first[0], np.cumsum([p.size for p in task.parameters[:-1]]))
            self.gradients = [g.reshape(p.shape) for g, p in zip(parts, task.parameters, strict=True)]
        task.publish()
        self.updates += 1
        return loss


class CompiledStep(TrainingStep):
    """Gradients and update as one compiled function; code that cannot be traced runs uncompiled."""

    def __init__(self, task: Task, solver: Solver, backend: str, tell: bool = False) -> None:
        """Prepare the step; `tell` stores the gradients of each step in `gradients`."""
        from ..compiled import compile, functional  # here, since most trainings are not compiled

        super().__init__(task, solver, 1, tell)
        self.places = task.places()
        self.loss = value_and_grad(functional(task.recorded, task.parameters, task.owners(), self.places), has_aux=True)
        self.step = compile(self._step, backend=backend)
        self.step.varies = True  # the last batch of an epoch is often smaller, so shapes vary

    def __call__(self, x: Any, y: Any, rng: np.random.Generator, rows: int = 1) -> float:
        """Take a step on a batch, and return the loss before it.

        Raises:
            FloatingPointError: the loss is infinite or NaN; nothing was updated.
        """
        task = self.task
        foreseen = (
            _coming_gradients(task, x, y, rng) if self.keeps else None
        )  # returned gradients would change the program
        params = [parameter.data for parameter in task.parameters]
        buffers = [getattr(owner, name) for owner, name in self.places]
        value, new, states, buffers, gradients = self.step(
            params, task.updater.begun(), task.rates(self.rate()), buffers, *task.batch(x, y, rng)
        )
        value = task.finite(float(value))
        if self.tell:
            watch_growth(task.updater.entries[0][3], value, self.solver)
        self.gradients = gradients if foreseen is None else foreseen
        for parameter, w in zip(task.parameters, new, strict=True):
            parameter.data = np.asarray(w)
        task.resume(states)
        task.publish()
        for (owner, name), left in zip(self.places, buffers, strict=True):
            if left is not None:  # a generator returns nothing
                setattr(owner, name, np.asarray(left))
        self.updates += 1
        return value

    def _step(self, params: Any, states: Any, rates: Any, buffers: Any, *batch: Any) -> Any:
        (value, buffers), gradients = self.loss(params, buffers, *batch)
        moved, left = [], []
        both = zip(params, clip_gradients(self.solver, gradients), states, rates, self.task.rules, strict=True)
        for w, g, state, rate, (rule, _) in both:
            step, state = rule.update(g, state, rate, w)
            moved.append(w - step)
            left.append(state)
        return value, moved, left, buffers, gradients if self.tell else ()


class CompiledGradients:
    """The gradients of a task as one compiled function; between it and the update the ranks sum their gradients."""

    def __init__(self, task: Task, backend: str) -> None:
        from ..compiled import functional

        self.task, self.places = task, task.places()
        loss = value_and_grad(functional(task.recorded, task.parameters, task.owners(), self.places), has_aux=True)
        self.compiled: dict[int, Any] = {}  # one per number of rows of the whole batch, which determines shapes
        self.loss, self.backend = loss, backend

    def __call__(self, x: Any, y: Any, rng: np.random.Generator) -> tuple[float, Gradients]:
        """Return the loss and the gradients of a batch."""
        from ..compiled import compile

        shard: Shard = current_shard()  # type: ignore[assignment]
        params = [parameter.data for parameter in self.task.parameters]
        buffers = [getattr(owner, name) for owner, name in self.places]
        if shard.total not in self.compiled:
            # This rank traces and tests it alone: other ranks may have compiled the shape of their rows before.
            self.compiled[shard.total] = step = compile(self.loss, backend=self.backend)
            step.varies = True
            bits = rng.bit_generator.state
            with on_shard(replace(shard, skip_sums=True)):
                step(params, buffers, *self.task.batch(x, y, rng))
            rng.bit_generator.state = bits
        batch = self.task.batch(x, y, rng)
        (value, buffers), gradients = self.compiled[shard.total](params, buffers, *batch)
        for (owner, name), left in zip(self.places, buffers, strict=True):
            if left is not None:  # a generator returns nothing
                setattr(owner, name, np.asarray(left))
        return self.task.finite(float(value)), list(gradients)


def training_step(
    task: Task, solver: Solver, backend: str | None = None, accumulate: int = 1, shared: SharedTraining | None = None
) -> TrainingStep:
    """Return the training step of a task: compiled if a backend is given, a line search for L-BFGS, else plain."""
    if isinstance(solver.rule, LBFGSRule):
        return SearchStep(task, solver, shared=shared)
    if backend is not None and shared is None:
        return CompiledStep(task, solver, backend)
    step = TrainingStep(task, solver, accumulate, shared=shared)
    if backend is not None:
        step.compute = CompiledGradients(task, backend)
    return step


def _coming_gradients(task: Task, x: Any, y: Any, rng: np.random.Generator) -> Gradients:
    """Return the gradients of the coming step on a batch; all state that computing them changes is restored."""
    kept = [(owner, name, getattr(owner, name)) for owner, name in task.places()]
    generators = [rng, *(value for _, _, value in kept if isinstance(value, np.random.Generator))]
    states = [generator.bit_generator.state for generator in generators]
    arrays = [np.array(value) if isinstance(value, np.ndarray) else None for _, _, value in kept]
    try:
        return task.gradients(x, y, rng)[1]
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.bit_generator.state = state
        for (owner, name, value), array in zip(kept, arrays, strict=True):
            setattr(owner, name, value if array is None or np.array_equal(value, array, equal_nan=True) else array)


def _mean(gathered: Sequence[tuple[Gradients, int]]) -> Gradients:
    """Return the mean of several gradients, weighted by their numbers of rows."""
    if len(gathered) == 1:
        return gathered[0][0]
    gathered = [pair for pair in gathered if pair[1]] or [(gathered[0][0], 1)]  # a rank may have no rows of a batch
    total = sum(rows for _, rows in gathered)
    mean: Gradients = []
    for parts in zip(*(found for found, _ in gathered), strict=True):
        there = [g * g.dtype.type(rows / total) for g, (_, rows) in zip(parts, gathered, strict=True) if g is not None]
        mean.append(sum(there[1:], there[0]) if there else None)
    return mean


_RECENT: OrderedDict[Any, CompiledStep] = OrderedDict()  # for `TrainNN`, which makes a new task for each batch
_MOST = 8


def reused_step(task: Task, solver: Solver, backend: str) -> CompiledStep:
    """Return the compiled step of an earlier call with the same parameters and an equal solver, or a new one."""
    net = getattr(task, "net", None)
    # The step keeps the Tensors alive, so their ids stay valid; targets that sum to one have their own rule.
    acts = [] if net is None else net.acts
    parts = map(id, [*task.parameters, *acts])
    key = (backend, net is not None and bool(net.meta), *parts, *architecture(task))  # options may have changed
    step = _RECENT.pop(key, None)
    if step is None or step.solver != solver:
        step = CompiledStep(task, solver, backend, tell=True)
    _RECENT[key] = step
    if len(_RECENT) > _MOST:
        _RECENT.popitem(last=False)
    return step


def backend_of(call: str, compile: Any, gradients: str, solver: Solver) -> str | None:
    """Return the backend for the option `compile`, ``None`` for no compilation; raise if it is not possible."""
    if compile is False or compile is None:
        return None
    if compile is not True and compile not in ("auto", "numpy", "numba"):
        raise ValueError(f"{call}: compile={compile!r:.60}; it must be True, False, 'numpy' or 'numba'.")
    if gradients == "manual":
        raise ValueError(f"{call}: compile= is for the gradients of the graph; leave gradients='manual' out.")
    if isinstance(solver.rule, LBFGSRule):
        raise ValueError(f"{call}: lbfgs evaluates the loss as often as it likes; leave compile= out.")
    return "auto" if compile is True else str(compile)
