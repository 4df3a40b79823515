"""Averaged: a minimizer for a hand-written training loop that runs on several ranks, with steps for the whole batch."""

from __future__ import annotations

import atexit
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..common.arguments import as_generator
from ..distributed import Ranks, RowDraws, Shard, Sum, on_shard, rank_environment
from .clipping import clip_by_norm, clip_by_value
from .group_optimizer import GroupOptimizer
from .minimizer import Minimizer, check_gradients_given, loss_as_number
from .quasi_newton import LBFGSRule

Array = Any
EVERY = 100  # of every EVERY steps the first two are checked: gradients that are equal by chance once are not so twice
MEANS = (
    "step: rows= is missing, the number of rows in the loss of this rank. The mean of the ranks' losses is the mean "
    "over all rows only if all ranks have the same number of rows. Write step(rows=len(x))."
)


class Averaged:
    r"""A minimizer whose steps use the gradient of the rows of all ranks.

    .. math:: g = \sum_r \frac{n_r}{N} g_r

    Attributes:
        minimizer: the one of this rank, a `Minimizer`, or an optimizer with PyTorch's interface; ranks: all ranks.

    All other attributes, such as `zero_grad`, `observe` and `state_dict`, are those of the minimizer.
    """

    def __init__(self, minimizer: Any, comm: Any) -> None:
        self.minimizer, self.ranks = minimizer, Ranks.of("averaged", comm, private=True)
        self._sum, self._taken = Sum(self.ranks), 0
        self._alike: set[tuple[int, int]] = set()
        with self._failing("averaged"):
            self.ranks.open("averaged")
            self.ranks.compare("averaged", {**rank_environment(), "the parameters": _setup_text(minimizer)})
            self._from_first()
        atexit.register(self.ranks.close)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.minimizer, name)

    @property
    def tensors(self) -> list[Any]:
        """All parameters, group by group."""
        if isinstance(self.minimizer, Minimizer):
            return self.minimizer.parameters
        return [t for group in self.minimizer.param_groups for t in group["params"]]

    def rows(self, total: int) -> slice:
        """Return the slice of this rank's rows in a batch of `total` rows."""
        return slice(*self.ranks.rows(total, self.ranks.rank))

    def draws(self, rng: Any, axis: int = 0) -> np.random.Generator:
        """Return a generator with which all ranks together draw the numbers that one process would draw.

        In a function passed to `step`, each rank draws for the whole batch and keeps the numbers of its rows; write
        ``model.seed(minimizer.draws(0))``.

        Args:
            rng: a Generator or a seed, the same on all ranks; axis: the axis of the rows in the drawn arrays.
        """
        return RowDraws.of(as_generator(rng), axis)

    def step(
        self, gradients: Any = None, *, rows: Any = None, clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> float | None:  # fmt: skip
        """Update the parameters once, in the same way on all ranks.

        Args:
            gradients: as in `Minimizer.step`, for the mean loss over the rows of this rank. If it is a function, its
                operations know the whole batch: batch norm uses the statistics of all rows.
            rows: the number of rows of this rank, possibly 0; or an array of their row numbers, which no other rank may
                have.
            clip_norm, clip_value: upper limits of the norm and of the entries of the gradient of the whole batch.

        Returns:
            The loss of the whole batch, if a function was given.

        Raises:
            ValueError: rows is missing, ranks have the same rows, or parameters differ; RuntimeError: a rank failed.
        """
        if rows is None and self.ranks.size == 1:
            rows = 1
        with self._failing("step"):
            if rows is None:
                raise ValueError(MEANS)
            return self._step(gradients, rows, clip_norm, clip_value)

    def _step(self, gradients: Any, rows: Any, norm: float | None, value: float | None) -> float | None:
        if (np.asarray(rows).dtype.kind not in "iu" and np.size(rows)) or (np.ndim(rows) == 0 and rows < 0):
            raise ValueError(f"step: rows={rows!r:.60}; it needs the number of rows of this rank, or their numbers.")
        count = int(rows) if np.ndim(rows) == 0 else len(rows)
        counts = [int(text) for text in self.ranks.everyones(str(count))]
        if not sum(counts):
            raise ValueError("step: no rank has rows; a step needs at least one row on one of them.")
        start = sum(counts[: self.ranks.rank])
        shard = Shard(self.ranks, sum(counts), start, start + count)
        compared = self._taken % EVERY < 2
        self._taken += 1
        if isinstance(self.minimizer, Minimizer) and isinstance(self.minimizer.groups[0].rule, LBFGSRule):
            if norm is not None or value is not None:
                raise ValueError("step: lbfgs searches along a line; leave clip_norm and clip_value out.")
            self.minimizer.over_ranks = lambda loss, found: self._total(loss, found, found, shard)
            with on_shard(shard):
                return self.minimizer.step(gradients)
        loss, found = self._own_gradients(gradients, shard)
        if compared:
            self._compare(found, rows, count)
        loss, found = self._total(loss or 0.0, found, [t.data for t in self.tensors], shard)
        if value is not None:
            found = clip_by_value(found, value)
        if norm is not None:
            found, _ = clip_by_norm(found, norm)
        if isinstance(self.minimizer, Minimizer):
            self.minimizer.step(found)
        else:
            for t, g in zip(self.tensors, found, strict=True):
                t.grad = g
            self.minimizer.step()
        return loss if callable(gradients) else None

    def _own_gradients(self, gradients: Any, shard: Shard) -> tuple[float | None, list[Array | None]]:
        """Return loss and gradients of this rank's rows."""
        loss = None
        if callable(gradients):
            self.minimizer.zero_grad()
            with on_shard(shard):
                loss = gradients()
                if getattr(loss, "node", None) is not None and loss.node.args is not None:
                    loss.backward()
            loss, gradients = loss_as_number(getattr(loss, "data", loss)), None
        if gradients is None:
            return loss, [None if t.node is None else t.node.grad for t in self.tensors]
        check_gradients_given(gradients)
        return loss, list(gradients)

    def _total(self, loss: float, gradients: Any, like: Any, shard: Shard) -> tuple[float, list[Array]]:
        weight = shard.weight
        summed, (loss,), alike = self._sum(gradients, like, weight, [weight * loss if weight else 0.0], self._taken)
        if not alike:
            self.ranks.compare("step", {"the number of steps": str(self._taken)})
        return loss, summed

    def _compare(self, gradients: Sequence[Array | None], rows: Any, count: int) -> None:
        """Raise if two ranks have the same rows, or if the parameters of the ranks differ."""
        numbers = None if np.ndim(rows) == 0 else np.asarray(rows).tolist()
        digest = hashlib.sha256()
        for g in gradients:
            digest.update(b"" if g is None else np.asarray(g).tobytes())
        some = count and any(np.any(g) for g in gradients if g is not None)
        told = [json.loads(text) for text in self.ranks.everyones(
            json.dumps([numbers, digest.hexdigest() if some else ""])
        )]  # fmt: skip
        seen: dict[Any, int] = {}
        alike = set()
        for rank, (mine, checksum) in enumerate(told):
            for key in mine or [checksum] * bool(checksum):
                if (other := seen.setdefault(key, rank)) == rank:
                    continue
                alike.add((other, rank))
                if mine or (other, rank) in self._alike:
                    what = f"row {key}" if mine else "the very same gradients"
                    raise ValueError(
                        f"step: ranks {other} and {rank} of {self.ranks.size} both have {what}, so a shard is used "
                        "twice. Give each rank its own rows of a batch: those of minimizer.rows(len(batch))."
                    )
        self._alike = alike
        arrays = {t.name or f"parameter {k}": t.data for k, t in enumerate(self.tensors)}
        sums = {name: hashlib.sha256(array.tobytes()).hexdigest()[:12] for name, array in arrays.items()}
        self.ranks.check_same(lambda: sums, str(sums), f"step: before step {self._taken:,}")

    def _from_first(self) -> None:
        """Copy the parameters of rank 0 to all ranks."""
        arrays = {str(k): t.data for k, t in enumerate(self.tensors)}
        _, found = self.ranks.from_first("", arrays)
        if self.ranks.rank:
            for k, t in enumerate(self.tensors):
                t.data = np.asarray(found[str(k)])

    @contextmanager
    def _failing(self, call: str) -> Iterator[None]:
        """If one rank raises inside this block, raise on all ranks."""
        try:
            yield
        except BaseException as error:
            self.ranks.fail(call, error)


def averaged(minimizer: Any, comm: Any) -> Averaged:
    r"""Return a minimizer for a loop that several ranks run, each on its rows of every batch.

    .. math:: g = \sum_r \frac{n_r}{N} g_r

    The parameters are set to those of rank 0. Each rank computes the mean loss of its rows and passes their number.

    Args:
        minimizer: a `Minimizer`, or an optimizer with PyTorch's interface, made in the same way on each rank.
        comm: a communicator of mpi4py, or ``'world'``.

    Returns:
        An `Averaged`, whose `step` takes ``rows=``.

    Raises:
        TypeError, ValueError: comm is not a communicator, or the code of ranks differs; ImportError: mpi4py is missing.
    """
    if not isinstance(minimizer, (Minimizer, GroupOptimizer)):
        raise TypeError(
            f"averaged: {minimizer!r:.60} is not a minimizer; write averaged(optim.Minimizer(parameters, 'adam', "
            "0.01), comm)."
        )
    return Averaged(minimizer, comm)


def _setup_text(minimizer: Any) -> str:
    """Return a text of all that must be equal on all ranks: rules, learning rates, parameter shapes, schedule."""
    if isinstance(minimizer, Minimizer):
        groups = [(repr(g.rule), g.learning_rate, [(t.shape, str(t.dtype)) for t in g.parameters])
                  for g in minimizer.groups]  # fmt: skip
        return f"{groups} {minimizer.schedule!r:.80}".split(" at 0x")[0]
    return f"{minimizer!r} {[t.shape for g in minimizer.param_groups for t in g['params']]}"
