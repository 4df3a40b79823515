"""How long a search may take: seconds of this thread's processor time, so that other programs do not shorten it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

PATIENCE = 1.0  # all limits are times this


@contextmanager
def patience(times: float) -> Iterator[None]:
    """Let searches take so many times as long, so that what they find does not hang on how fast the machine is."""
    global PATIENCE
    before, PATIENCE = PATIENCE, times
    try:
        yield
    finally:
        PATIENCE = before


class Budget:
    """Time that a search may take, about: what is done inside ``with`` is counted, and looked at between steps.

    Args:
        seconds: of processor time; the limit is this times `PATIENCE`.

    Example:
        >>> with Budget(60.0) as budget:
        ...     budget.over
        False
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._before = 0.0
        self._since: float | None = None

    def __enter__(self) -> Self:
        self._since = time.thread_time()
        return self

    def __exit__(self, *unused: object) -> None:
        self._before, self._since = self.spent, None

    @property
    def spent(self) -> float:
        """Seconds that were taken."""
        return self._before + (0.0 if self._since is None else time.thread_time() - self._since)

    @property
    def left(self) -> float:
        """Seconds that are left, of those that it was made with."""
        return self._seconds - self.spent / PATIENCE

    @property
    def over(self) -> bool:
        """Whether nothing is left."""
        return self.left <= 0
