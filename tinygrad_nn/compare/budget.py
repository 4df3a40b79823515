"""Time limits of searches, in seconds of this thread's processor time, which other running programs do not use up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

PATIENCE = 1.0  # every time limit is multiplied by this


@contextmanager
def time_limit(times: float) -> Iterator[None]:
    """Multiply all time limits by `times` inside the ``with``, so that a slow machine finds what a fast one finds."""
    global PATIENCE
    before, PATIENCE = PATIENCE, times
    try:
        yield
    finally:
        PATIENCE = before


class Budget:
    """The approximate time limit of a search: time inside ``with`` is counted, and the search asks between its steps.

    Args:
        seconds: processor time; the limit is this times `PATIENCE`.

    Example:
        >>> with Budget(60.0) as budget:
        ...     budget.is_over
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

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Count no time inside this ``with``, which stands inside that of the budget."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()

    @property
    def spent(self) -> float:
        """Seconds of processor time counted so far."""
        return self._before + (0.0 if self._since is None else time.thread_time() - self._since)

    @property
    def remaining(self) -> float:
        """Seconds that are left of the `seconds` given, where time spent is divided by `PATIENCE`."""
        return self._seconds - self.spent / PATIENCE

    @property
    def is_over(self) -> bool:
        """Whether no time is left."""
        return self.spent >= self._seconds * PATIENCE
