"""Small helper functions that programs import from autograd.util."""

from collections.abc import Callable, Iterable
from typing import Any


def func(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return f unchanged; kept for programs that call ``func(Class.method)``, which Python 2 needed."""
    return f


def subval(x: Iterable[Any], i: int, v: Any) -> tuple[Any, ...]:
    """Return a tuple with one entry replaced."""
    return subvals(x, [(i, v)])


def subvals(x: Iterable[Any], ivs: Iterable[tuple[int, Any]]) -> tuple[Any, ...]:
    """Return a tuple with some entries replaced."""
    entries = list(x)
    for i, v in ivs:
        entries[i] = v
    return tuple(entries)


__all__ = ["func", "subval", "subvals"]
