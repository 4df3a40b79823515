"""Locks and forks: a child has only the thread that forked, and would wait forever for what another thread held.

What is quickly done is left as it is, and its lock is renewed in the child. An import or a compilation would be found
half-way, in libraries of others too, so a fork waits until no other thread is at one.
"""

from __future__ import annotations

import os
from threading import RLock
from typing import Any
from weakref import WeakSet

LONGEST = 120  # seconds that a fork waits

_renewed: WeakSet[Any] = WeakSet()
building: Any = RLock()  # held while something is imported or compiled, and never while a person's function runs
_awaited: list[Any] = [building]
_taken: list[Any] = []


def renewed(lock: Any) -> Any:
    """Return a lock that is free in a child, whoever held it."""
    _renewed.add(lock)
    return lock


def await_too(*locks: Any) -> None:
    """Let forks also wait for these, in this order, in which threads take them."""
    _awaited.extend(locks)


def _before() -> None:
    _taken[:] = [lock for lock in _awaited if lock.acquire(timeout=LONGEST)]


def _after() -> None:
    while _taken:
        _taken.pop().release()


def _in_child() -> None:
    late = [lock for lock in _awaited if lock not in _taken]
    _after()
    for lock in [*late, *_renewed]:
        if not (hasattr(lock, "_is_owned") and lock._is_owned()):  # the thread that forked goes on, and lets go of it
            lock._at_fork_reinit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_in_child)
