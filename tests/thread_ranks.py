"""Ranks as threads of one process, so that the behaviour of several ranks can be tested without MPI."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_nn.distributed import Ranks, Shard

Array = np.ndarray[Any, Any]


class Gone(Exception):
    """Another rank raised."""


class Meeting:
    """Where threads give each other values, round by round."""

    def __init__(self, size: int) -> None:
        self.size, self.changed, self.over = size, threading.Condition(), False
        self.rounds: dict[int, dict[int, tuple[str, Any]]] = {}

    def gather(self, rank: int, number: int, what: str, value: Any) -> list[Any]:
        """Return what all ranks gave in this round."""
        with self.changed:
            here = self.rounds.setdefault(number, {})
            here[rank] = what, value
            self.changed.notify_all()
            met = self.changed.wait_for(lambda: len(here) == self.size or self.over, timeout=30)
        if len(here) < self.size:
            raise Gone if met else TimeoutError(f"of {self.size} ranks {sorted(here)} are here, for {here[rank]}")
        assert {kind for kind, _ in here.values()} == {what}
        return [here[r][1] for r in range(self.size)]

    def end(self) -> None:
        """Let nobody wait any longer."""
        with self.changed:
            self.over = True
            self.changed.notify_all()


class ThreadRanks(Ranks):
    """`Ranks` whose sums and gathers are those of threads."""

    def __init__(self, rank: int, meeting: Meeting) -> None:
        self.rank, self.size, self.meeting = rank, meeting.size, meeting
        self.rounds = 0
        self.asked: list[tuple[Any, ...]] = []  # what was asked of it, and by whom

    def _gather(self, what: str, value: Any) -> list[Any]:
        self.rounds += 1
        return self.meeting.gather(self.rank, self.rounds, what, value)

    def add_up(self, buffer: Array, what: str = "the gradients") -> None:
        with np.errstate(all="ignore"):  # MPI warns of nothing
            buffer[...] = sum(self._gather(what, buffer.copy()))

    def everyones(self, text: str) -> list[str]:
        return self._gather("texts", text)

    def all_rows(self, x: Array, total: int) -> Array:
        found = np.concatenate(self._gather("rows", np.array(x)))
        assert len(found) == total
        return found

    def rows_on_first(self, x: Array, shard: Shard) -> Array:
        found = np.concatenate(self._gather("rows on rank 0", np.array(x)))
        assert len(found) == shard.total
        return found if self.rank == 0 else found[:0]

    def from_first(self, text: str, arrays: Mapping[str, Array]) -> tuple[str, dict[str, Array]]:
        told = self._gather("what rank 0 has", (text, {name: np.array(a) for name, a in arrays.items()}))[0]
        return told[0], {name: a.copy() for name, a in told[1].items()}

    def open(self, call: str) -> None:
        self.asked.append(("open", call))

    def close(self) -> None:
        pass

    def fail(self, call: str, error: BaseException) -> None:
        self.meeting.end()
        raise error

    @contextmanager
    def together(self, call: str) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self.fail(call, error)


def on_ranks(size: int, work: Callable[[ThreadRanks], Any]) -> list[Any]:
    """Return what a function returns on each of so many ranks, or raise what one of them raised."""
    meeting = Meeting(size)
    found: list[Any] = [None] * size
    errors: dict[int, BaseException] = {}

    def run(rank: int) -> None:
        try:
            found[rank] = work(ThreadRanks(rank, meeting))
        except BaseException as error:
            errors[rank] = error
        finally:
            meeting.end()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _, error in sorted(errors.items(), key=lambda item: (isinstance(item[1], Gone), item[0])):
        raise error
    return found
