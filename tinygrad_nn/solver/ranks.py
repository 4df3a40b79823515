"""Training on several ranks: which rows each rank takes, the sum of gradients, and checks that all ranks agree."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from ..common.printable import counted
from ..distributed import Ranks, RowDraws, Shard, Sum, find_row_axes, on_shard, rank_environment
from ..node import no_grad
from ..tensor import raw
from ..tree import flatten
from .batches import Batch, Batches, Rows
from .checkpoint import resume_training
from .history import History
from .prediction import CHUNK
from .state import Progress, StateReader, split_state
from .stopping import Watch
from .tasks.function import FunctionTask
from .tasks.layers import LayerTask
from .tasks.module import ModuleTask
from .tasks.task import Gradients, Task

Array = np.ndarray[Any, Any]
EVERY = 100  # updates between two comparisons of parameters and buffers across ranks
SAMPLE = 64  # rows of mapped data that all ranks read to check that their data is the same
FEW = 8  # rows of a batch that are used to test the model
OWN_NUMBERS = (
    "it draws random numbers that are not those of fit, and each rank would draw its own. Draw them in a Module from "
    "self.rng, which fit sets: each row then gets the same numbers as on one rank."
)
ADDITIVE = ("mae", "mse", "binarycrossentropy", "crossentropy")  # means over rows: weighted losses of ranks add up


def _equal(a: Array, b: Array) -> bool:
    return np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")


def _copy(buffer: Any) -> Any:
    return buffer.copy() if isinstance(buffer, np.ndarray) else buffer


class SharedTraining:
    """What a training on several ranks needs besides that of one process.

    Attributes:
        ranks: the ranks of the communicator; draws: the generator for the model's own random numbers, such as dropout.
    """

    def __init__(
        self, ranks: Ranks, task: Task, setup: dict[str, str], random: np.random.Generator,
        drawn: Sequence[np.random.Generator],
    ) -> None:  # fmt: skip
        """Prepare the training; `setup` and `drawn` are those of `BoundCheckpoint`."""
        self.ranks, self.task, self.setup, self.drawn = ranks, task, setup, drawn
        self.draws = RowDraws.of(random)
        self.sum = Sum(ranks)
        self.shard: Shard | None = None
        self.steps = 0
        self.probed = isinstance(task, FunctionTask | LayerTask)
        self.few: Any = None  # some rows of the batch, to test the model
        self.additive = isinstance(task, FunctionTask) or task.solver.loss in ADDITIVE
        task.shares(not self.additive)

    # -- Batches

    def batches(self, data: Rows | Batches, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield this rank's rows of each batch, with the number of rows of the batch on all ranks."""
        if isinstance(data, Rows):
            for where in data.order(rng):
                shard = self._begin(self.ranks.shard(len(where)), zlib.crc32(where.tobytes()))
                x, y, _ = data.read(where[shard.rows])
                self.few = x, y
                if self._tries() and (shard.length == 1 or not data.mapped):  # the same rows on all ranks
                    self.few = data.read(where[:FEW])[:2]
                yield x, y, len(where)
            return
        for x, y, rows in data.batches(rng):
            leaves, rebuild = flatten((x, y))
            code = 0
            for leaf in leaves:
                code = zlib.crc32(np.asarray(leaf).tobytes(), code)
            shard = self._begin(self.ranks.shard(rows), code)
            self.few = x, y
            yield *rebuild([leaf[shard.rows] for leaf in leaves]), rows

    def in_order(self, data: Rows | Batches) -> Iterator[tuple[Shard, Any, Any]]:
        """Yield this rank's rows of all the data in order, for evaluation, in the chunks that one process would take.

        Data in memory is divided in multiples of the rows that a prediction on one process takes at a time.
        """
        if isinstance(data, Rows):
            step, whole = (CHUNK, 1) if data.mapped else (data.rows, CHUNK)
            for start in range(0, data.rows, step):
                shard = self.ranks.shard(min(step, data.rows - start), whole)
                rows = slice(start + shard.rows.start, start + shard.rows.stop)
                yield shard, *data.part(rows)[:2]
            return
        for x, y, count in data.in_order(CHUNK):
            shard = self.ranks.shard(count)
            leaves, rebuild = flatten((x, y))
            yield shard, *rebuild([leaf[shard.rows] for leaf in leaves])

    # -- Start

    def agree(self, description: Mapping[str, str]) -> None:
        """Raise if the ranks do not run the same training; `description` describes it."""
        if self.ranks.size == 1:
            return
        self.ranks.compare("fit", {**rank_environment(), **description})

    def begin(self, done: Progress, history: History, watch: Watch | None) -> tuple[Progress, History]:
        """Copy the state of rank 0 to all ranks: weights, optimizer, random generators, history."""
        first = self.ranks.rank == 0
        text, arrays = split_state(self.task, self.setup, done, self.drawn, history, watch, {}) if first else ({}, {})
        best = {} if watch is None or watch.weights is None else watch.weights
        both = {"state": arrays, "weights": self.task.arrays() if first else {}, "best": best if first else {}}
        flat = {f"{kind}|{name}": array for kind, part in both.items() for name, array in part.items()}
        said, flat = self.ranks.from_first(json.dumps(text), flat)
        if first:
            return done, history
        both = {kind: {name.partition("|")[2]: array for name, array in flat.items() if name.startswith(f"{kind}|")}
                for kind in both}  # fmt: skip
        state = StateReader(Path("the state of rank 0"), json.loads(said), both["state"])
        weights = {"weights": (both["weights"], ""), "best": (both["best"] or None, "")}
        return resume_training(state, weights, self.task, self.drawn, watch)  # type: ignore[arg-type]

    def _begin(self, shard: Shard, identity: int) -> Shard:
        self.shard, self.identity = shard, identity
        self.draws.begin()
        return shard

    def evaluated(self, data: Rows | Batches, keep: bool) -> Iterator[tuple[float, Any, Any, int]]:
        """Yield loss, prediction, targets, number of rows of each part of the data; rank 0 has those of all ranks."""
        for shard, x, y in self.in_order(data):
            if isinstance(self.task, FunctionTask):  # a function returns its loss, not an output
                loss, prediction = self.task.evaluate(x, y)
                loss = float(self.ranks.summed(np.array([0.0 if shard.empty else shard.weight * loss]))[0])
                parts = prediction, None
            else:
                parts = self.task.outputs(x)
                output = self._first_has(parts[0], shard)
                targets = self._first_has(y, shard)
                loss = self.task.loss_of(output, targets) if self.ranks.rank == 0 else 0.0
            if not keep:
                yield loss, None, None, shard.total
            elif isinstance(self.task, FunctionTask):
                told = None if parts[0] is None else self._first_has(parts[0], shard)
                yield loss, told, self._first_has(y, shard), shard.total
            else:
                same = parts[0] is parts[1]
                yield loss, output if same else self._first_has(parts[1], shard), targets, shard.total

    def _first_has(self, nest: Any, shard: Shard) -> Any:
        """Return the rows of all ranks on rank 0; the result on other ranks is not used."""
        leaves, rebuild = flatten(nest)
        for leaf in leaves:
            if np.shape(leaf)[:1] != (shard.length,):
                raise ValueError(
                    f"fit: a prediction of {counted(shard.length, 'row')} has shape {np.shape(leaf)}; with comm= it "
                    "has a row for each row of x, along its first axis."
                )
        own = [np.asarray(leaf)[: shard.stop - shard.start] for leaf in leaves]
        return rebuild([self.ranks.rows_on_first(leaf, shard) for leaf in own])

    def anywhere(self, true: bool) -> bool:
        """Return whether `true` holds on any rank."""
        return bool(self.ranks.summed(np.array([float(true)]))[0])

    # -- Steps

    def _tries(self) -> bool:
        """Return whether the model is tested on some rows before this step."""
        now = self.steps % EVERY == 0 if isinstance(self.task, FunctionTask) else not self.probed
        return now and self.ranks.size > 1

    def computing(self, x: Any, y: Any) -> AbstractContextManager[Any]:
        """Return a context manager for computing the gradients of a batch; x and y are this rank's rows of it."""
        if self._tries():
            self.probed = True
            leaves, rebuild = flatten(self.few)
            few = rebuild([leaf[:FEW] for leaf in leaves])
            self._check_additive(*few) if isinstance(self.task, FunctionTask) else self._probe(few[0])
        return on_shard(self.shard)

    def _probe(self, x: Any) -> None:
        """Find the row axis of each random draw, and check that a row's output depends on that row only."""
        task: ModuleTask = self.task  # type: ignore[assignment]
        places = [(owner, name) for owner, name in task.places() if name != "rng"]
        kept = [_copy(getattr(owner, name)) for owner, name in places]  # forward may change a buffer in place
        leaves, rebuild = flatten(x)
        outputs = []

        def forward(rows: int) -> list[Any]:
            few = rebuild([np.repeat(np.asarray(leaf[:1]), rows, axis=0) for leaf in leaves])
            try:
                with no_grad():
                    outputs.append([np.asarray(raw(part)) for part in flatten(task.forward(task.cast(few)))[0]])
            finally:
                for (owner, name), value in zip(places, kept, strict=True):
                    setattr(owner, name, _copy(value))
            return [part.shape for part in outputs[-1]]

        for _ in range(2):
            shapes = find_row_axes(self.draws, self.shard, forward)  # type: ignore[arg-type]
        for a, b in zip(*shapes, strict=True):
            if not self.additive and (a[:1] != (2,) or b[:1] != (3,)):
                raise ValueError(
                    f"fit: the model gives an output of shape {a} for 2 rows and {b} for 3; with comm= the loss is "
                    "computed from the outputs of all ranks, so each has a row for each row of x, along its first axis."
                )
        if not all(map(_equal, outputs[0], outputs[2])):
            raise ValueError(f"fit: the output of the model changes when it is computed again: {OWN_NUMBERS}")
        self._check_rows(x)

    def _check_rows(self, x: Any) -> None:
        """Raise if the prediction of a row depends on the rows that are predicted with it."""
        leaves, rebuild = flatten(x)
        n, module = len(leaves[0]), self.task.module  # type: ignore[attr-defined]
        if n < 2 or any(vars(part).get("running_mean", 0) is None for part in module.modules()):
            return  # a batch norm without running statistics uses those of the predicted rows
        parts = [flatten(self.task.outputs(rebuild([leaf[rows] for leaf in leaves]))[0])[0]
                 for rows in (slice(n), slice(1), slice(1, n))]  # fmt: skip
        for whole, first, rest in zip(*(map(np.asarray, map(raw, part)) for part in parts), strict=True):
            if [part.shape[:1] for part in (whole, first, rest)] != [(n,), (1,), (n - 1,)]:
                continue
            off, size = (float(np.max(np.abs(part), initial=0))
                         for part in (whole - np.concatenate([first, rest]), whole))  # fmt: skip
            if off > float(np.finfo(self.task.parameters[0].dtype).eps) ** 0.5 * size:
                raise ValueError(
                    f"fit: the prediction of a row alone differs from that with the {n - 1} rows after it, so the "
                    "model mixes rows, as a mean over axis 0 does. With comm= a rank has some of the rows of a batch. "
                    "Use nn.BatchNorm, which knows all, or prepare the rows before fit."
                )

    def _check_additive(self, x: Any, y: Any) -> None:
        """Raise if a function's loss is not a mean over rows, so that weighted losses of ranks do not add up to it."""
        leaves, rebuild = flatten((x, y))
        n = len(leaves[0])
        if n < 2:
            return

        def loss(rows: slice) -> float:
            return self.task.evaluate(*rebuild([leaf[rows] for leaf in leaves]))[0]

        whole, first, rest = loss(slice(n)), loss(slice(1)), loss(slice(1, n))
        mean = (first + (n - 1) * rest) / n
        eps = float(np.finfo(self.task.parameters[0].dtype).eps)
        if not abs(whole - mean) > eps**0.5 * (abs(whole) + abs(first) + abs(rest)):
            return
        if whole != loss(slice(n)):
            raise ValueError(f"fit: the loss changes when it is computed again: {OWN_NUMBERS}")
        raise ValueError(
            f"the loss is not a mean over rows: for {n} rows it is {whole:.6g}, but the losses of the first and of the "
            f"{n - 1} others, weighted by rows, have the mean {mean:.6g}. With comm= each rank computes it for its own "
            "rows, and the mean over the ranks would be a different number. Return the mean over rows, or pass "
            "a model and Solver(your_loss): that is computed from the outputs of all ranks."
        )

    def mean(self, gradients: Gradients, weight: float, loss: float = 0.0) -> tuple[float, Gradients]:
        """Return loss and gradients of the whole batch, from those of this rank's rows and their share `weight`."""
        return self._sum(gradients, [p.data for p in self.task.parameters], weight, loss)

    def mean_of_search(self, loss: float, gradients: list[Array]) -> tuple[float, list[Array]]:
        """Return loss and gradients of the whole batch for L-BFGS, where the gradients are one vector."""
        return self._sum(gradients, gradients, self.shard.weight, loss)  # type: ignore[union-attr, return-value]

    def loss(self, loss: float) -> float:
        """Return the loss of the whole batch from that of this rank's rows."""
        weight = self.shard.weight  # type: ignore[union-attr]
        return float(self.ranks.summed(np.array([weight * loss if weight else 0.0]))[0])

    def _sum(self, gradients: Any, like: Sequence[Array], weight: float, loss: float) -> tuple[float, Gradients]:
        self.steps += 1
        check = zlib.crc32(f"{self.steps} {self.identity}".encode())
        summed, told, alike = self.sum(gradients, like, weight, [weight * loss if weight else 0.0], check)
        if not alike:
            self.ranks.compare(
                "fit", {"the step": str(self.steps), "the rows of the batch, by checksum": f"{self.identity:08x}"}
            )
        return told[0], summed

    def compare_arrays(self, when: str) -> None:
        """Raise if parameters or buffers differ between the ranks."""
        if self.ranks.size == 1:
            return
        arrays = self.task.arrays()
        whole = hashlib.blake2b(digest_size=16)
        for array in arrays.values():
            whole.update(array.tobytes())
        self.ranks.check_same(
            lambda: {name: hashlib.sha256(array.tobytes()).hexdigest()[:12] for name, array in arrays.items()},
            whole.hexdigest(), when,
        )  # fmt: skip
