"""Locks that survive ``os.fork``: a child has only the forking thread, so a lock another thread held stays locked.

Locks around short pieces of work are replaced in the child by fresh ones. An import or a compilation must not be cut
in the middle, not even inside other libraries, so a fork waits until no other thread is running one.
"""

from __future__ import annotations

import os
from threading import RLock
from typing import Any
from weakref import WeakSet

LONGEST = 120  # the most seconds that a fork waits for each lock

_renewed: WeakSet[Any] = WeakSet()
building: Any = RLock()  # held while something is imported or compiled, and never while user code runs
_awaited: list[Any] = [building]
_taken: list[Any] = []


def renewed_after_fork(lock: Any) -> Any:
    """Register a lock to be made free in a forked child, whichever thread held it; return the lock."""
    _renewed.add(lock)
    return lock


def wait_before_fork(*locks: Any) -> None:
    """Let forks also wait for these locks, which they take in this order, as the threads do."""
    _awaited.extend(locks)


def _lock_before_fork() -> None:
    _taken[:] = [lock for lock in _awaited if lock.acquire(timeout=LONGEST)]


def _unlock_after_fork() -> None:
    while _taken:
        _taken.pop().release()


def _reset_in_child() -> None:
    late = [lock for lock in _awaited if lock not in _taken]
    _unlock_after_fork()
    for lock in [*late, *_renewed]:
        if not (hasattr(lock, "_is_owned") and lock._is_owned()):  # the forking thread lives on and releases its own
            lock._at_fork_reinit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock_before_fork, after_in_parent=_unlock_after_fork, after_in_child=_reset_in_child)
