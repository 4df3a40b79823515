"""The epochs of a training: a step on every batch, then losses, metrics, early stopping, callbacks, checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..common.display import in_few_lines
from ..common.printable import printable
from ..optim import Plateau, PlateauState
from ..tensor import raw
from . import checkpoint as store
from .arguments import default_metric
from .batches import Batches, Rows
from .callbacks import Listeners
from .checkpoint import Checkpoint
from .divergence import check_growth
from .history import History
from .prediction import CHUNK
from .progress_bar import ProgressBar, showing_progress
from .ranks import SharedTraining
from .settings import Settings, Solver
from .state import Progress
from .stopping import Watch
from .tasks.task import Task
from .training_step import Rate, TrainingStep

Metric = Callable[[Any, Any], float]


class Epoch(NamedTuple):
    """What a callback gets at the end of an epoch; `number` counts from 1 to `epochs`.

    `history` has this epoch and all before it, also those before a training was resumed; it grows with the training.
    """

    number: int
    epochs: int
    loss: float
    val_loss: float | None
    metrics: dict[str, float]
    model: Any
    history: History = History()

    def __repr__(self) -> str:
        return in_few_lines("Epoch", dict(zip(self._fields[:-1], self, strict=False)))  # its numbers, not those before


@dataclass
class BoundCheckpoint:
    """The checkpoint folder of a training, with the fingerprint that is saved in it.

    Attributes:
        place: folder and frequency; setup: the fingerprint; drawn: the random generators that are saved and restored.
    """

    place: Checkpoint
    setup: dict[str, str]
    drawn: list[np.random.Generator]

    def load(self, task: Task, watch: Watch | None, resume: bool, epochs: int) -> tuple[Progress, History] | None:
        """Restore the state from the checkpoint, if there is one; return progress and history, or ``None``."""
        if not store.checkpoint_exists(self.place.folder):
            return None
        if not resume:
            raise ValueError(
                f"fit: {printable(self.place.folder)} holds the checkpoint of a training. Write resume=True to "
                "continue it, or name another folder."
            )
        return store.load_checkpoint(self.place.folder, task, self.setup, self.drawn, watch, epochs)

    def save(self, training: Training) -> None:
        """Write a checkpoint if one is due after this epoch."""
        done = training.done
        if done.ended or done.epoch % self.place.every == 0 or done.epoch == training.settings.epochs:
            store.save_checkpoint(
                self.place.folder, training.task, self.setup, done, self.drawn, training.history, training.watch
            )


@dataclass
class Training:
    """A training, run epoch by epoch.

    Attributes:
        done, history: the progress and the results so far; the others are the prepared arguments of `fit`.
    """

    model: Any
    task: Task
    data: Rows | Batches
    val: Rows | Batches | None
    solver: Solver
    settings: Settings
    step: TrainingStep
    random: np.random.Generator
    metrics: Mapping[str, Metric] | None
    callbacks: list[Callable[[Epoch], Any]]
    watch: Watch | None
    saved: BoundCheckpoint | None
    shared: SharedTraining | None = None
    done: Progress = field(init=False)
    history: History = field(init=False)
    progress_bar: ProgressBar = field(init=False)
    start: float | None = field(init=False)  # the loss before the first step
    listeners: Listeners = field(init=False)

    def run(self, resume: bool, progress: bool) -> History:
        """Train to the last epoch, or until early stopping or a callback ends it."""
        found = None
        if self.saved is not None and self.leads:
            found = self.saved.load(self.task, self.watch, resume, self.settings.epochs)
        self.done, self.history = (Progress(schedule=_plateau(self.solver)), History()) if found is None else found
        if self.shared is not None:
            self.done, self.history = self.shared.begin(self.done, self.history, self.watch)
        self.step.updates, self.step.schedule = self.done.updates, _rate_function(self.solver, self.done)
        self.start = self.history.loss[0] if self.history.loss else None
        count = self.data.count
        last = None if count is None else self.settings.epochs * -(-count // self.settings.accumulate)
        self.listeners = Listeners(self.callbacks, self.step, self.model, last)
        epochs = self.settings.epochs if progress and self.leads else 0
        random = self.random if self.shared is None else self.shared.draws
        with showing_progress(epochs, self.done.epoch) as self.progress_bar, self.task.training(random):
            if self.start is None and isinstance(self.data, Rows):  # user batches are not iterated once more
                # errors are left to the first step; with several ranks all raise here, as they would wait for this one
                quiet: Any = suppress(Exception) if self.shared is None else nullcontext()
                with np.errstate(all="ignore"), quiet:
                    self.start = _losses(self.task, self.data, self.solver, False, self.shared)[0]
                    if self.shared is not None:  # rank 0 has the losses of all ranks
                        self.start = self.shared.ranks.broadcast(self.start)
            rows = self.data.data if isinstance(self.data, Rows) else None
            self.listeners.begin(self.done.epoch, rows)
            while self._goes_on():
                epoch = self._epoch(rows)
                self._note(epoch)
                self.progress_bar.epoch(epoch)
                said = [callback(epoch) for callback in self.callbacks]  # call all, even if the first ends the training
                ends = any(isinstance(word, (bool, np.bool_)) and word for word in said)
                if self.shared is not None:
                    ends = self.shared.anywhere(ends)
                if ends:
                    self.done.ended = self.done.ended or "a callback"
                if self.saved is not None and self.leads:
                    self.saved.save(self)
            self.listeners.end(self.done.epoch, rows)
        watch = self.watch
        if watch is not None and watch.rule.restore and watch.weights is not None:
            self.task.restore(watch.weights)
        return self.history

    @property
    def leads(self) -> bool:
        """Whether this process reads and writes files for all ranks."""
        return self.shared is None or self.shared.ranks.rank == 0

    def _goes_on(self) -> bool:
        return self.done.epoch < self.settings.epochs and not self.done.ended

    def _epoch(self, data: Any) -> Epoch:
        """Take a step on every batch, and return losses and metrics; `data` is all rows in memory, (x, y), or None."""
        number = self.done.epoch + 1
        with np.errstate(all="ignore"):  # the task reports a loss that is not finite
            shared = self.shared
            batches = self.data.batches(self.random) if shared is None else shared.batches(self.data, self.random)
            for x, y, rows in self.progress_bar.batches(batches, self.data.count):
                self.listeners.ask()
                loss = self.step(x, y, self.random, rows)
                self.start = loss if self.start is None else self.start
                self.listeners.tell(number, loss, data or (x, y))
            self.step.finish()
            self.listeners.tell(number, loss, data or (x, y))
            self.done.updates = self.step.updates
            check_finite(self.task, number)
            if self.shared is not None:
                self.shared.compare_arrays(f"fit: at the end of epoch {number:,}")
            epoch = _evaluate(
                self.task, number, self.settings, self.solver, (self.data, self.val), self.metrics, self.model,
                self.shared, self.history,
            )  # fmt: skip
        check_growth(epoch.loss, self.start, self.solver, f"in epoch {number}")
        return epoch

    def _note(self, epoch: Epoch) -> None:
        """Add an epoch to the history, the plateau schedule and early stopping."""
        self.done.epoch += 1
        self.history.add(epoch.loss, epoch.val_loss, epoch.metrics)
        if isinstance(self.solver.schedule, Plateau):
            seen = epoch.loss if epoch.val_loss is None else epoch.val_loss
            self.done.schedule = list(self.solver.schedule.update(PlateauState(*self.done.schedule), seen))
        if self.watch is not None:
            if self.watch.is_better(epoch):
                self.watch.weights = self.task.arrays()
            self.done.ended = "early stopping" if self.watch.ended else ""


def check_finite(task: Task, epoch: int) -> None:
    """Raise if a parameter became infinite or NaN, before the next checkpoint would replace an earlier one."""
    for name, parameter in zip(task.names, task.parameters, strict=True):
        if not np.isfinite(parameter.data).all():
            raise FloatingPointError(
                f"fit: {printable(name)} became infinite or NaN in epoch {epoch}, because a gradient was. "
                "tinygrad_nn.detect_anomaly() around fit shows which operation made it; clip_norm=1.0 or a lower "
                "learning_rate may help."
            )


def _rate_function(solver: Solver, done: Progress) -> Callable[[int], Rate] | None:
    """Return a function from the number of updates to the next update's `Rate`, or None without a schedule."""
    schedule = solver.schedule
    if schedule is None:
        return None

    def rate(updates: int) -> Rate:
        if isinstance(schedule, Plateau):
            state: Any = PlateauState(*done.schedule)
        else:
            state = done.epoch if solver.schedule_by == "epoch" else updates

        def of_base(base: float) -> float:
            found = schedule(state, base)
            if not 0 <= found < math.inf:
                raise ValueError(
                    f"fit: in {solver.schedule_by} {state!r:.60} the schedule returned the learning rate {found}; "
                    "it must be a finite number of at least 0."
                )
            return found

        return of_base

    return rate


def _plateau(solver: Solver) -> Any:
    return list(solver.schedule.init()) if isinstance(solver.schedule, Plateau) else None


def _evaluate(
    task: Task, number: int, settings: Settings, solver: Solver, parts: tuple[Any, Any],
    metrics: Mapping[str, Metric] | None, model: Any, shared: SharedTraining | None, history: History,
) -> Epoch:  # fmt: skip
    """Return an `Epoch` with losses and metrics over all the data."""
    found: dict[str, float] = {}
    losses: list[float | None] = [None, None]
    looked = metrics is None or bool(metrics)  # without metrics, predictions are not kept
    for k, (part, start) in enumerate(zip(parts, ("", "val_"), strict=True)):
        if part is None:
            continue
        losses[k], pairs = _losses(task, part, solver, looked, shared)
        if shared is not None and shared.ranks.rank:  # rank 0 has the predictions of all ranks
            continue
        y, prediction = _join_rows([y for y, _ in pairs]), _join_rows([prediction for _, prediction in pairs])
        for name, metric in (default_metric(task, y, prediction) if metrics is None else metrics).items():
            found[start + name] = _one_number(name, raw(metric(y, prediction)))
    if shared is not None:
        losses, found = shared.ranks.broadcast([losses, found])
    return Epoch(number, settings.epochs, losses[0] or 0.0, losses[1], found, model, history)


def _one_number(name: str, value: Any) -> float:
    """Return the value of a metric; raise a TypeError if it is not one number."""
    try:
        return float(np.reshape(value, ()))
    except (TypeError, ValueError):
        shape = f" of shape {np.shape(value)}" * (np.size(value) != 1)
        raise TypeError(
            f"fit: the metric {printable(name)!r} returned {value!r:.60}{shape}; a metric returns one number, such as "
            "a mean over all rows."
        ) from None


def _losses(
    task: Task, part: Rows | Batches, solver: Solver, keep: bool, shared: SharedTraining | None
) -> tuple[float, list[tuple[Any, Any]]]:
    """Return the loss over all the data, and pairs of targets and predictions, which are None unless `keep`."""
    pieces, pairs = [], []
    if shared is None:
        found: Iterator[Any] = ((*task.evaluate(x, y), y, rows) for x, y, rows in part.in_order(CHUNK))
    else:
        found = shared.evaluated(part, keep)
    for loss, prediction, y, rows in found:
        pieces.append((loss, rows))
        pairs.append((y, prediction) if keep else (None, None))
    total = sum(rows for _, rows in pieces)
    power = 2 if solver.loss == "rmse" else 1  # average the mean squares, not their roots
    mean = sum(loss**power * rows / total for loss, rows in pieces) ** (1 / power)
    return pieces[0][0] if len(pieces) == 1 else mean, pairs


def _join_rows(parts: Sequence[Any]) -> Any:
    """Return several arrays concatenated along the rows; a single part as it is, and None for several other values."""
    if len(parts) == 1 or not isinstance(parts[0], np.ndarray):
        return parts[0] if len(parts) == 1 else None
    return np.concatenate(parts)
