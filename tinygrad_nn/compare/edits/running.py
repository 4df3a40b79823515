"""Running a person's code again and again: on copies, quietly, and never without end."""

from __future__ import annotations

import contextlib
import copy
import sys
import types
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

MARK = "<changed "  # so begins the file name of what is compiled here
PLAIN = (int, float, complex, str, bytes, bool, type(None), np.generic, types.FunctionType, types.BuiltinFunctionType,
         types.ModuleType, type, np.ufunc, range, slice)  # fmt: skip
EVENTS = 20_000  # lines whose names are looked at


class Stopped(BaseException):  # not an Exception, so that code which catches those does not go on
    """A loop went on for too long."""


class Ticker:
    """Counts the rounds of all loops of a call, and ends it when there are far more than in the person's own."""

    def __init__(self) -> None:
        """Count from 0."""
        self.count, self.limit = 0, 10_000_000

    def __call__(self) -> None:
        """Count one."""
        self.count += 1
        if self.count > self.limit:
            raise Stopped

    def start(self) -> None:
        """Count from 0 again."""
        self.count = 0


class _Nowhere:
    """A stream that keeps nothing."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow what is printed and warned, and leave NumPy's global stream of random numbers where it was."""
    nowhere: Any = _Nowhere()
    state = np.random.get_state()  # noqa: NPY002 - the person may draw from it
    with warnings.catch_warnings(), np.errstate(all="ignore"), contextlib.redirect_stdout(nowhere), \
            contextlib.redirect_stderr(nowhere):  # fmt: skip
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002


def copied(value: Any, memo: dict[int, Any]) -> Any:
    """Return a copy of arrays and containers, in which what was one object is one object again."""
    if isinstance(value, PLAIN):
        return value
    if id(value) in memo:
        return memo[id(value)][1]
    made: Any
    kind = type(value)
    if kind is np.ndarray:
        made = value.copy()
    elif kind is dict:
        made = {key: copied(part, memo) for key, part in value.items()}
    elif kind is list:
        made = [copied(part, memo) for part in value]
    elif isinstance(value, tuple):
        parts = [copied(part, memo) for part in value]
        made = kind(*parts) if hasattr(value, "_fields") else tuple(parts)
    else:
        made = _object(value, memo)
    memo[id(value)] = value, made  # the original is kept, so that no other takes its id
    return made


def _object(value: Any, memo: dict[int, Any]) -> Any:
    """Copy an object of a class of the person's; what a library made is copied by its own rule, or not at all."""
    root = type(value).__module__.split(".")[0]
    if root == "tinygrad_nn":
        return value
    try:
        if hasattr(value, "__dict__") and root not in ("numpy", "collections"):
            new = copy.copy(value)
            memo[id(value)] = value, new
            for name, part in vars(value).items():
                new.__dict__[name] = copied(part, memo)
            return new
        return copy.deepcopy(value)
    except Exception:  # whatever a person's class may raise there
        return value


def copy_names(env: Mapping[str, Any]) -> dict[str, Any]:
    """Return a namespace of copies."""
    memo: dict[int, Any] = {}
    return {name: value if name == "__builtins__" else copied(value, memo) for name, value in env.items()}


def names_by_line(call: Any) -> dict[tuple[str, int], dict[str, Any]]:
    """Run a call and return, for each line of what was compiled here, its names before the line ran last."""
    seen: dict[tuple[str, int], dict[str, Any]] = {}
    count = 0

    def line(frame: types.FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        count += 1
        if count > EVENTS:
            return None
        if event == "line":
            here = frame.f_code.co_filename, frame.f_lineno
            seen[here] = {**seen.get(here, {}), **frame.f_locals}
        return line

    def enter(frame: types.FrameType, event: str, arg: Any) -> Any:
        return line if frame.f_code.co_filename.startswith(MARK) else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        call()
    finally:
        sys.settrace(before)
    return seen
