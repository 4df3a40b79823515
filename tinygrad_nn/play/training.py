"""Training: a network on its data, a batch at a time, with what it remembers of the way."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..data import Part, Scaler, Split, data_split
from ..io import Network
from ..metrics import r2_score
from ..nn.layer import Layer
from ..printable import printable
from ..solver import Settings, Solver
from ..solver.arguments import accuracy, settle
from ..solver.divergence import check_growth
from ..solver.training_step import TrainingStep
from .choices import Choices
from .data import TableFile, load

Array = np.ndarray[Any, Any]
MOST_POINTS = 400  # of a curve; beyond that every second one is kept


class Stretch(NamedTuple):
    """Updates that were made with the same settings, from the start of an epoch on."""

    solver: Solver
    batch_size: int
    updates: int


class Point(NamedTuple):
    """Where a training stood: losses and scores of all rows, and how large the gradients of the last batch were.

    `gradients` holds for each layer the root mean square of ∂L/∂W; empty before the first batch.
    """

    updates: int
    epoch: float
    loss: float
    test_loss: float
    score: float
    test_score: float
    gradients: tuple[float, ...]


class _Mark(NamedTuple):
    """All that changes in a training: arrays are replaced, never written into, so that they need no copies."""

    weights: list[Array]
    states: list[Any]
    start: Any
    rng: Any
    order: Array
    place: int
    stretches: list[Stretch]
    updates: int
    seen: int


class Training:
    """A network in training.

    Attributes:
        choices, data: what is trained; split: the rows, scaled; network: with what is needed to use and to save it.
        stretches: what was done so far, from which a script can do it again.
        updates: how many; curve: `Point` by `Point`; batch: the rows of the last batch, as numbers of `data.x`.

    Raises:
        ValueError: the data cannot be learnt from.

    Example:
        >>> training = Training(Choices(rows=40, hidden=()))
        >>> training.step() > 0, training.updates
        (True, 1)
    """

    def __init__(self, choices: Choices, table: TableFile | None = None) -> None:
        self.choices = choices
        self.rng = np.random.default_rng(choices.seed)  # one from beginning to end, as in the script
        self.data = load(choices, table, self.rng)
        share, rows = choices.train_size, len(self.data.x)
        if not 1 <= int(rows * share + 1e-9) < rows:
            raise ValueError(f"{rows} rows with a share of {share:g} to train on leave none for one of the parts.")
        numbers = np.arange(rows)
        parts = data_split(numbers, numbers, train_size=share, rng=self.rng)
        self.numbers = parts.train.x, parts.test.x  # which rows of the table each part holds
        self.columns = self.data.columns
        x, y = self.data.x, self.data.targets
        if self.columns is not None:  # what stands in for missing cells is of the rows to learn from
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
        self.updates = self.seen = 0
        self.curve: list[Point] = []
        self.batch: Array = numbers[:0]
        self.gradients: list[Array] = []
        self.rewritten = 0  # how often the curve became another, rather than longer
        self._every = 1  # how many epochs lie between two points of the curve
        self._first = math.nan
        self._use(choices)
        self.note()

    def _use(self, choices: Choices) -> None:
        """Go on with other settings, at the start of an epoch."""
        self.choices = choices
        solver = choices.solver(self.loss)
        self.settings = Settings(1, min(choices.batch_size, len(self.split.x_train)))
        task, _, _ = settle("play", self.layers, *self.split.train, None, None, solver, self.settings.batch_size)
        self.task: Any = task
        self._step = TrainingStep(task, solver, tell=True)
        self.order: Array = np.empty(0, dtype=np.intp)
        self.place = 0
        if self.stretches and not self.stretches[-1].updates:
            self.stretches.pop()
        self.stretches.append(Stretch(solver, self.settings.batch_size, 0))
        self._mark = self._kept()

    @property
    def solver(self) -> Solver:
        """With which it trains now."""
        return self.stretches[-1].solver

    @property
    def epoch(self) -> float:
        """How often it has seen the rows to train on."""
        return self.seen / len(self.split.x_train)

    def change(self, choices: Choices) -> None:
        """Go on with other settings of the same network and data."""
        self._use(choices)

    def step(self) -> float:
        """Train on the next batch, and return its loss before that.

        Raises:
            FloatingPointError: the training diverged; it stands where its last whole epoch ended.
        """
        if self.place >= len(self.order):
            self.order, self.place = self.rng.permutation(len(self.split.x_train)), 0
        rows = self.order[self.place : self.place + self.settings.batch_size]
        x, y = self.split.train
        try:
            with np.errstate(all="ignore"):
                loss = self._step(x[rows], y[rows], self.rng)
                self.place += len(rows)
                self.seen += len(rows)
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
        """Look at the network at the end of an epoch, and remember where it stands if all is well."""
        point = self.look()
        for name, parameter in zip(self.task.names, self.task.parameters, strict=True):
            if not np.isfinite(parameter.data).all():
                raise FloatingPointError(f"{name} became infinite or NaN")
        check_growth(point.loss, self._first, self.solver, "in this epoch")
        if round(self.epoch) % self._every == 0:
            self._add(point)
        self._mark = self._kept()

    def look(self) -> Point:
        """Return losses and scores over all rows, without dropout and penalties."""
        found = []
        with np.errstate(all="ignore"):
            for x, y in (self.split.train, self.split.test):
                loss, output = self.task.evaluate(x, y)
                score = accuracy(y, output) if self.data.kind == "classification" else _explained(y, output)
                found.append((float(loss), score))
            norms = tuple(float(np.sqrt(np.mean(g * g))) for g in self.gradients[::2])
        (loss, score), (test_loss, test_score) = found
        return Point(self.updates, self.epoch, loss, test_loss, score, test_score, norms)

    def note(self) -> None:
        """Put where the training stands on the curve."""
        point = self.look()
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

    def _kept(self) -> _Mark:
        return _Mark(
            [p.data for p in self.task.parameters], self.task.states(), self.task.updater.entries[0][3].start,
            self.rng.bit_generator.state, self.order, self.place, list(self.stretches), self.updates, self.seen,
        )  # fmt: skip

    def _back(self) -> None:
        """Go back to where all was well."""
        mark = self._mark
        for parameter, w in zip(self.task.parameters, mark.weights, strict=True):
            parameter.data = parameter.node.out = w
        self.task.resume(mark.states)
        self.task.updater.entries[0][3].start = mark.start
        self.rng.bit_generator.state = mark.rng
        self.order, self.place, self.stretches = mark.order, mark.place, list(mark.stretches)
        self.updates, self.seen = mark.updates, mark.seen
        self.curve = [point for point in self.curve if point.updates <= mark.updates]
        self.rewritten += 1
        self.gradients, self.batch = [], self.batch[:0]

    def _diverged(self, reason: str, at: int) -> str:
        reason = reason.partition(": the training diverged")[0].partition(". ")[0]
        way = f"Lower the learning rate ({self.solver.learning_rate:g}) and train on."
        return (
            f"The training diverged at update {at:,}: {printable(reason)}. Nothing is lost: the network is as it was "
            f"after update {self.updates:,}. {way}"
        )

    def saved(self) -> Network:
        """Return the network with a note of how it was trained, to be saved."""
        return replace(self.network, about={
            "data": self.data.name, "seed": self.choices.seed, "loss": self.loss, "updates": self.updates,
            "stretches": [
                {"optimizer": repr(part.solver.rule), "learning_rate": part.solver.learning_rate,
                 "regularization": repr(part.solver.regularization), "batch_size": part.batch_size,
                 "updates": part.updates}
                for part in self.stretches if part.updates
            ],
        })  # fmt: skip


def _explained(y: Array, output: Array) -> float:
    """Return R², or NaN where the target of these rows never changes."""
    return float(r2_score(y, output)) if len(y) > 1 and np.ptp(y) > 0 else math.nan
