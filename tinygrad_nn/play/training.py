"""`Training`: a network that is trained one batch at a time, with its learning curve and the history of settings."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..common.printable import printable
from ..data import Part, Scaler, Split, data_split
from ..graph import root_mean_square
from ..io import Network
from ..metrics import r2_score
from ..nn.layer import Layer
from ..solver import Settings, Solver
from ..solver.arguments import accuracy, prepare_training
from ..solver.divergence import check_growth
from ..solver.training_step import TrainingStep
from .choices import Choices
from .data import TableFile, load

Array = np.ndarray[Any, Any]
MOST_POINTS = 400  # of a curve; if there are more, every second one is dropped


class Stretch(NamedTuple):
    """Consecutive updates with the same settings; a stretch starts with a new epoch."""

    solver: Solver
    batch_size: int
    updates: int


class Point(NamedTuple):
    """One point of the learning curve: losses and scores over all rows, and the sizes of the last batch's gradients.

    `gradients` holds for each layer the root mean square of ∂L/∂W; empty before the first batch.
    """

    updates: int
    epoch: float
    loss: float
    test_loss: float
    score: float
    test_score: float
    gradients: tuple[float, ...]


class _Snapshot(NamedTuple):
    """A snapshot of a training. Training replaces arrays and never writes into them, so nothing is copied."""

    weights: list[Array]
    states: list[Any]
    start: Any
    rng: Any
    order: Array
    place: int
    stretches: list[Stretch]
    updates: int
    samples_seen: int


class Training:
    """A network, its data and the state of its training.

    Attributes:
        choices, data: settings and data set; split: the rows, scaled; network: the `Network` that is used and saved.
        stretches: the updates so far with their settings, from which a script can repeat them.
        updates: the number of updates; curve: a list of `Point`; batch: indices in `data.x` of the last batch's rows.

    Raises:
        ValueError: no network can be trained on the data.

    Example:
        >>> training = Training(Choices(rows=40, hidden=()))
        >>> training.step() > 0, training.updates
        (True, 1)
    """

    def __init__(self, choices: Choices, table: TableFile | None = None) -> None:
        self.choices = choices
        self.rng = np.random.default_rng(choices.seed)  # a single generator for everything, as in the script
        self.data = load(choices, table, self.rng)
        share, rows = choices.train_size, len(self.data.x)
        if not 1 <= int(rows * share + 1e-9) < rows:
            raise ValueError(f"{rows} rows with a share of {share:g} to train on leave none for one of the parts.")
        numbers = np.arange(rows)
        parts = data_split(numbers, numbers, train_size=share, rng=self.rng)
        self.numbers = parts.train.x, parts.test.x  # indices of the rows in each part
        self.columns = self.data.columns
        x, y = self.data.x, self.data.targets
        if self.columns is not None:  # values for missing cells come from the training rows only
            self.columns = self.columns.fitted(x[parts.train.x])
            x, _ = self.columns.filled(x)
        self.x = x
        self.loss = "crossentropy" if self.data.kind == "classification" else "mse"
        output = "softmax" if self.data.kind == "classification" else "linear"
        widths = [x.shape[1], *(width for width, _ in choices.hidden), y.shape[1]]
        names = [*(name for _, name in choices.hidden), output]
        self.layers = [
            Layer(n_in, n_out, name, "n", rng=self.rng)
            for n_in, n_out, name in zip(widths, widths[1:], names, strict=False)
        ]
        scaler = Scaler.fit(x[parts.train.x]) if self.data.scaled else None
        target_scaler = Scaler.fit(y[parts.train.x]) if self.data.kind == "regression" else None
        self.network = Network(
            self.layers, self.data.kind, self.data.features, self.data.target, self.data.classes, scaler,
            target_scaler, columns=self.columns,
        )  # fmt: skip
        self.inputs = x if scaler is None else scaler.transform(x)
        self.outputs = y if target_scaler is None else target_scaler.transform(y)
        self.split = Split(*[Part(self.inputs[n], self.outputs[n]) for n in (*self.numbers, numbers[:0])])
        self.stretches: list[Stretch] = []
        self.updates = self.samples_seen = 0
        self.curve: list[Point] = []
        self.batch: Array = numbers[:0]
        self.gradients: list[Array] = []
        self.rewritten = 0  # how often the curve was changed other than by adding points
        self._every = 1  # epochs between two points of the curve
        self._first = math.nan
        self.change(choices)
        self.note()

    def change(self, choices: Choices) -> None:
        """Continue with other settings of the same network and data, at the start of a new epoch."""
        self.choices = choices
        solver = choices.solver(self.loss)
        self.settings = Settings(1, min(choices.batch_size, len(self.split.x_train)))
        task, _, _ = prepare_training(
            "play", self.layers, *self.split.train, None, None, solver, self.settings.batch_size
        )
        self.task: Any = task
        self._step = TrainingStep(task, solver, tell=True)
        self.order: Array = np.empty(0, dtype=np.intp)
        self.place = 0
        if self.stretches and not self.stretches[-1].updates:
            self.stretches.pop()
        self.stretches.append(Stretch(solver, self.settings.batch_size, 0))
        self._mark = self._snapshot()

    @property
    def solver(self) -> Solver:
        """The solver of the current settings."""
        return self.stretches[-1].solver

    @property
    def epoch(self) -> float:
        """The number of epochs so far, with fractions."""
        return self.samples_seen / len(self.split.x_train)

    def step(self) -> float:
        """Update the network on the next batch, and return the batch's loss before the update.

        Raises:
            FloatingPointError: the training diverged; it was reset to the end of the last complete epoch.
        """
        if self.place >= len(self.order):
            self.order, self.place = self.rng.permutation(len(self.split.x_train)), 0
        rows = self.order[self.place : self.place + self.settings.batch_size]
        x, y = self.split.train
        try:
            with np.errstate(all="ignore"):
                loss = self._step(x[rows], y[rows], self.rng)
                self.place += len(rows)
                self.samples_seen += len(rows)
                self.updates += 1
                last = self.stretches[-1]
                self.stretches[-1] = last._replace(updates=last.updates + 1)
                self.batch = self.numbers[0][rows]
                self.gradients = list(self._step.gradients)
                if self.place >= len(self.order):
                    self._ended()
        except FloatingPointError as error:
            at = self.updates
            self._back()
            raise FloatingPointError(self._diverged(str(error), at)) from None
        return float(loss)

    def _ended(self) -> None:
        """At the end of an epoch, check the network for divergence, add a point to the curve and keep a snapshot."""
        point = self.evaluate()
        for name, parameter in zip(self.task.names, self.task.parameters, strict=True):
            if not np.isfinite(parameter.data).all():
                raise FloatingPointError(f"{name} became infinite or NaN")
        check_growth(point.loss, self._first, self.solver, "in this epoch")
        if round(self.epoch) % self._every == 0:
            self._add(point)
        self._mark = self._snapshot()

    def evaluate(self) -> Point:
        """Return losses and scores over all rows, without dropout and penalties."""
        found = []
        with np.errstate(all="ignore"):
            for x, y in (self.split.train, self.split.test):
                loss, output = self.task.evaluate(x, y)
                score = accuracy(y, output) if self.data.kind == "classification" else _r_squared(y, output)
                found.append((float(loss), score))
            norms = tuple(map(root_mean_square, self.gradients[::2]))
        (loss, score), (test_loss, test_score) = found
        return Point(self.updates, self.epoch, loss, test_loss, score, test_score, norms)

    def note(self) -> None:
        """Add the current losses and scores to the curve."""
        point = self.evaluate()
        if math.isnan(self._first):
            self._first = point.loss
        if not self.curve or self.curve[-1].updates != point.updates:
            self._add(point)

    def _add(self, point: Point) -> None:
        self.curve.append(point)
        if len(self.curve) > MOST_POINTS:
            self.curve = [*self.curve[:-1:2], self.curve[-1]]
            self._every *= 2
            self.rewritten += 1

    def _snapshot(self) -> _Snapshot:
        return _Snapshot(
            [p.data for p in self.task.parameters], self.task.states(), self.task.updater.entries[0][3].start,
            self.rng.bit_generator.state, self.order, self.place, list(self.stretches), self.updates, self.samples_seen,
        )  # fmt: skip

    def _back(self) -> None:
        """Restore the last snapshot."""
        mark = self._mark
        for parameter, w in zip(self.task.parameters, mark.weights, strict=True):
            parameter.data = w
        self.task.resume(mark.states)
        self.task.updater.entries[0][3].start = mark.start
        self.rng.bit_generator.state = mark.rng
        self.order, self.place, self.stretches = mark.order, mark.place, list(mark.stretches)
        self.updates, self.samples_seen = mark.updates, mark.samples_seen
        self.curve = [point for point in self.curve if point.updates <= mark.updates]
        self.rewritten += 1
        self.gradients, self.batch = [], self.batch[:0]

    def _diverged(self, reason: str, at: int) -> str:
        reason = reason.partition(": the training diverged")[0].partition(". ")[0]
        way = f"Lower the learning rate ({self.solver.learning_rate:g}) and continue training."
        return (
            f"The training diverged at update {at:,}: {printable(reason)}. Nothing is lost: the network is as it was "
            f"after update {self.updates:,}. {way}"
        )

    def saved(self) -> Network:
        """Return the network for saving, with a record of how it was trained."""
        return replace(self.network, about={
            "data": self.data.name, "seed": self.choices.seed, "loss": self.loss, "updates": self.updates,
            "stretches": [
                {"optimizer": repr(part.solver.rule), "learning_rate": part.solver.learning_rate,
                 "regularization": repr(part.solver.regularization), "batch_size": part.batch_size,
                 "updates": part.updates}
                for part in self.stretches if part.updates
            ],
        })  # fmt: skip


def _r_squared(y: Array, output: Array) -> float:
    """Return R², or NaN if the target is the same in all rows."""
    return float(r2_score(y, output)) if len(y) > 1 and np.ptp(y) > 0 else math.nan
