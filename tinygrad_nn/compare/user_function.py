"""The plain function inside what a user passes as a function: its module's names and its code."""

from __future__ import annotations

import functools
import inspect
from types import CodeType
from typing import Any


def module_names(f: Any) -> Any:
    """Return the `__globals__` of a function; functions of the same module share it."""
    return getattr(unwrapped(f), "__globals__", None)


def code_of(f: Any) -> CodeType | None:
    """Return the code of a function of the user, None for one that is not written in Python."""
    return getattr(unwrapped(f), "__code__", None)


def unwrapped(f: Any) -> Any:
    """Return the plain function inside a partial, a method, a decorated function or a callable object."""
    while isinstance(f, functools.partial):
        f = f.func
    f = getattr(f, "__func__", f)
    while hasattr(f, "__wrapped__"):
        f = f.__wrapped__
    if not hasattr(f, "__globals__") and not inspect.isbuiltin(f):
        f = type(f).__call__
    return f
