"""The state of each session, found by the session's name in the URL."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator
from threading import RLock
from typing import Generic, TypeVar

from ..common.forks import renewed_after_fork

State = TypeVar("State")


class Sessions(Generic[State]):
    """A mapping from session names to states, which are created at first access; the least recently used are dropped.

    Args:
        make: a function that returns the state of a new session.
        max_sessions: the number of sessions that are kept.

    Example:
        >>> counts = Sessions(list)
        >>> counts["a"].append(1)
        >>> counts["a"], counts["b"]
        ([1], [])
    """

    def __init__(self, make: Callable[[], State], max_sessions: int = 100) -> None:
        self._make, self._most, self._lock = make, max_sessions, renewed_after_fork(RLock())
        self._states: OrderedDict[str, State] = OrderedDict()

    def __getitem__(self, session: str) -> State:
        with self._lock:
            if session not in self._states:
                self._states[session] = self._make()
                while len(self._states) > self._most:
                    self._states.popitem(last=False)
            self._states.move_to_end(session)
            return self._states[session]

    def __iter__(self) -> Iterator[State]:
        with self._lock:
            return iter(list(self._states.values()))

    def __len__(self) -> int:
        return len(self._states)


def new_session() -> str:
    """Return a random name for a new session."""
    return secrets.token_urlsafe(9)


def is_session(name: str) -> bool:
    """Whether a text can be the name of a session."""
    return 0 < len(name) <= 40 and name.isascii() and name.replace("-", "").replace("_", "").isalnum()
