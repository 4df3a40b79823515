"""Shard, the rows of a batch that one rank computes on."""

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

    A rank without rows of a small batch computes on one row of it whose weight is 0, since all ranks take part in what
    is computed of the whole batch.

    Attributes:
        ranks: the ranks that share the batch; alone: sums over the ranks are left out, as while a step is traced.
        whole: so many rows are not divided among ranks.
    """

    ranks: Ranks
    total: int
    start: int
    stop: int
    alone: bool = False
    whole: int = 1

    @property
    def weight(self) -> float:
        """The share of the rows, 0 without any."""
        return (self.stop - self.start) / self.total

    @property
    def empty(self) -> bool:
        """Whether the rank has no rows."""
        return self.stop == self.start

    @property
    def rows(self) -> slice:
        """The rows that the rank computes on: its own, or the first one where it has none."""
        return slice(0, 1) if self.empty else slice(self.start, self.stop)

    @property
    def length(self) -> int:
        """How many rows the rank computes on."""
        return self.rows.stop - self.rows.start  # type: ignore[no-any-return]


class _Here(threading.local):
    shard: Shard | None = None


_here = _Here()


def current() -> Shard | None:
    """Return the shard that this thread computes on, ``None`` where a batch is not shared."""
    return _here.shard


@contextmanager
def sharing(shard: Shard | None) -> Iterator[None]:
    """Compute on a shard inside this block: batch norm, dropout and losses then see the whole batch."""
    before, _here.shard = _here.shard, shard
    try:
        yield
    finally:
        _here.shard = before
