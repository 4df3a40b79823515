"""`Shard`: the rows of a batch that one rank computes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .communicator import Ranks


@dataclass(frozen=True)
class Shard:
    """Rows `start` to `stop` of a batch of `total` rows.

    If a small batch leaves a rank without rows, it computes on one row with weight 0, since all ranks must take part in
    sums over the whole batch.

    Attributes:
        ranks: the ranks that share the batch; skip_sums: leave out sums over the ranks, such as while a step is traced.
        block: blocks of so many rows are not divided among ranks.
    """

    ranks: Ranks
    total: int
    start: int
    stop: int
    skip_sums: bool = False
    block: int = 1

    @property
    def weight(self) -> float:
        """The share of the batch's rows that the rank has, 0 if it has none."""
        return (self.stop - self.start) / self.total

    @property
    def empty(self) -> bool:
        """Whether the rank has no rows."""
        return self.stop == self.start

    @property
    def rows(self) -> slice:
        """The rows that the rank computes on: its own, or the first one of the batch if it has none."""
        return slice(0, 1) if self.empty else slice(self.start, self.stop)

    @property
    def length(self) -> int:
        """How many rows the rank computes on."""
        return self.rows.stop - self.rows.start  # type: ignore[no-any-return]


class _ThreadShard(threading.local):
    shard: Shard | None = None


_here = _ThreadShard()


def current_shard() -> Shard | None:
    """Return the shard that this thread computes on, ``None`` if the batch is not shared."""
    return _here.shard


@contextmanager
def on_shard(shard: Shard | None) -> Iterator[None]:
    """Compute on a shard inside this block: batch norm, dropout and losses then see the whole batch."""
    before, _here.shard = _here.shard, shard
    try:
        yield
    finally:
        _here.shard = before
