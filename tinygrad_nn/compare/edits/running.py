"""Run user code many times: on copies of its data, without output, and with a limit on its loops."""

from __future__ import annotations

import contextlib
import copy
import os
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ..conventions.code import kept_draws

MARK = "<changed "  # prefix of the file name under which edited functions are compiled
PLAIN = (int, float, complex, str, bytes, bool, type(None), np.generic, types.FunctionType, types.BuiltinFunctionType,
         types.ModuleType, type, np.ufunc, range, slice)  # fmt: skip
EVENTS = 20_000  # most line events that are recorded in one call


class Stopped(BaseException):  # not an Exception, so that an `except Exception` of user code does not catch it
    """Raised if a loop runs for too many rounds."""


class Ticker:
    """Counts the loop rounds of a call, and raises `Stopped` if there are more than `limit`."""

    def __init__(self) -> None:
        """Count from 0."""
        self.count, self.limit = 0, 10_000_000

    def __call__(self) -> None:
        """Count one round."""
        self.count += 1
        if self.count > self.limit:
            raise Stopped

    def start(self) -> None:
        """Count from 0 again."""
        self.count = 0


@contextlib.contextmanager
def without_output() -> Iterator[None]:
    """Suppress output and warnings inside the block, and restore the global random states after it."""
    with open(os.devnull, "w", encoding="utf-8", errors="ignore") as nowhere, kept_draws(), \
            warnings.catch_warnings(), np.errstate(all="ignore"), contextlib.redirect_stdout(nowhere), \
            contextlib.redirect_stderr(nowhere):  # fmt: skip
        warnings.simplefilter("ignore")
        yield


def copy_value(value: Any, memo: dict[int, Any]) -> Any:
    """Return a deep copy of arrays, containers and objects; an object that occurs twice is copied once (`memo`)."""
    kind = type(value)
    if kind is not np.ndarray and isinstance(value, PLAIN):
        return value
    if id(value) in memo:
        return memo[id(value)][1]
    copied: Any
    if kind is np.ndarray:
        copied = value.copy()
    elif kind is dict:
        copied = {key: copy_value(part, memo) for key, part in value.items()}
    elif kind is list:
        copied = [copy_value(part, memo) for part in value]
    elif isinstance(value, tuple):
        parts = [copy_value(part, memo) for part in value]
        copied = kind(*parts) if hasattr(value, "_fields") else tuple(parts)
    else:
        copied = _object(value, memo)
    memo[id(value)] = value, copied  # keeps the original alive, so that its id is not reused
    return copied


def _object(value: Any, memo: dict[int, Any]) -> Any:
    """Return a copy of an object of a user class with its attributes copied.

    NumPy's and collections' objects are deep-copied; those of tinygrad_nn, and any that cannot be copied, are not.
    """
    root = type(value).__module__.split(".")[0]
    if root == "tinygrad_nn":
        return value
    try:
        if hasattr(value, "__dict__") and root not in ("numpy", "collections"):
            new = copy.copy(value)
            memo[id(value)] = value, new
            for name, part in vars(value).items():
                new.__dict__[name] = copy_value(part, memo)
            return new
        return copy.deepcopy(value)
    except Exception:  # a user class may raise anything when it is copied
        return value


def copy_names(env: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a namespace with its values copied."""
    memo: dict[int, Any] = {}
    return {name: value if name == "__builtins__" else copy_value(value, memo) for name, value in env.items()}


@contextlib.contextmanager
def tracing_calls(enter: Callable[[types.FrameType, str, Any], Any]) -> Iterator[None]:
    """Have Python call `enter` for each frame that begins inside the ``with``, in place of a debugger's function.

    What `enter` returns is called for the events of that frame, as `sys.settrace` describes.
    """
    before = sys.gettrace()
    sys.settrace(enter)
    try:
        yield
    finally:
        sys.settrace(before)


def names_by_line(call: Any) -> dict[tuple[str, int], dict[str, Any]]:
    """Run a call; for each (file, line) of edited code, return the local names before the line last ran."""
    names: dict[tuple[str, int], dict[str, Any]] = {}
    count = 0

    def line(frame: types.FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        count += 1
        if count > EVENTS:
            return None
        if event == "line":
            key = frame.f_code.co_filename, frame.f_lineno
            names[key] = {**names.get(key, {}), **frame.f_locals}
        return line

    def enter(frame: types.FrameType, event: str, arg: Any) -> Any:
        return line if frame.f_code.co_filename.startswith(MARK) else None

    with tracing_calls(enter):
        call()
    return names
