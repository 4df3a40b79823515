"""Record what each name of the user's code is bound to, line by line, while the code runs (by `sys.settrace`)."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ...tensor import Tensor, raw
from ..edits.running import tracing_calls
from .statements import Statement, Statements

Array = np.ndarray[Any, Any]

MANY = 512  # most parts of a list, tuple or dict; a longer one is ignored


class State(NamedTuple):
    """The content of a binding after a statement.

    `added` tells whether the statement added to the former content, `time` is its place in the order of all states,
    and `at` is the call and the number of its line event at which it was seen.
    """

    statement: Statement
    array: Array
    added: bool = False
    time: int = 0
    at: tuple[int, int] = (0, 0)


class Binding:
    """One binding of a name to an object: its content after each statement that changed it, and its function.

    `frame` numbers the call of the function; `given` tells whether the name was a parameter, bound by the call.
    """

    def __init__(self, label: str, value: Any, function: str, frame: int, given: bool) -> None:
        self.label, self.value, self.function, self.frame, self.given = label, value, function, frame, given
        self.states: list[State] = []

    def keep(self, statement: Statement, added: bool, time: int, at: tuple[int, int]) -> None:
        """Record a copy of the present content as a state."""
        self.states.append(State(statement, np.array(raw(self.value)), added, time, at))


Wanted = Callable[[str, Any], bool]  # (label, value): whether a binding is to be recorded


class Trace:
    """All bindings in a call, and in the functions of the same module that it calls, in the order of time."""

    def __init__(self, wanted: Wanted, copies: bool, passed: Callable[[Any], Any] | None = None) -> None:
        """`wanted` chooses the bindings to record.

        `copies` says whether to record each change of an array, since it may be written into. `passed` is applied to
        each argument of the inner functions, so that a parameter can have a value of its own.
        """
        self.wanted, self.copies, self.passed, self.statements = wanted, copies, passed, Statements()
        self.time, self.at = 0, (0, 0)
        self.bindings: list[Binding] = []
        self.returned: Statement | None = None
        self.frames = 0
        self.active: dict[tuple[int, str], Binding] = {}
        self.left: dict[str, Any] = {}  # the local names of the outermost function at its return

    def run(self, f: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function, record its bindings, and return its result."""
        space = module_names(f)
        root: list[int] = []

        def enter(frame: Any, event: str, arg: Any) -> Any:
            if not is_own(frame, space):
                return None
            number = self.frames = self.frames + 1
            root.append(number)
            bound: dict[str, Any] = {}
            line, count = [frame.f_lineno], [0]

            def local(frame: Any, event: str, arg: Any) -> Any:
                if event in ("line", "return"):
                    count[0] += 1
                    self.at = number, count[0]
                    self._look(frame, frame.f_locals, number, line[0], bound, given=False)
                    if event == "return" and number == root[0]:
                        self.returned = self.statements.at(frame.f_code.co_filename, line[0], space)
                        self.left = dict(frame.f_locals)
                    line[0] = frame.f_lineno
                    if event == "return":
                        self.active = {key: b for key, b in self.active.items() if key[0] != number}
                return local

            held = frame.f_locals  # read once: a second read would undo what is written into it
            if number != root[0] and self.passed is not None:
                for key, value in list(held.items()):
                    other = self.passed(value)
                    if other is not value:
                        held[key] = other
            self.at = number, 0
            self._look(frame, held, number, line[0], bound, given=True)
            return local

        with tracing_calls(enter):
            return f(*args, **kwargs)

    def _look(self, frame: Any, held: Any, number: int, line: int, bound: dict[str, Any], given: bool) -> None:
        """Record the new bindings of a frame, and the arrays that the statement changed."""
        statement: Statement | None = None
        file, space = frame.f_code.co_filename, frame.f_globals
        if self.copies:
            statement = self.statements.at(file, line, space)
            if statement.writes:
                self._changed(statement)
        for name, whole in list(held.items()):
            for label, value in labelled_parts(name, whole):
                if bound.get(label) is value or not self.wanted(label, value):
                    continue
                bound[label] = value
                statement = statement or self.statements.at(file, line, space)
                where, caller = statement, frame.f_back
                if given and number > 1 and caller is not None and caller.f_globals is space:
                    where = self.statements.at(caller.f_code.co_filename, caller.f_lineno, space)
                binding = Binding(label, value, frame.f_code.co_name, number, given)
                self.time += 1
                binding.keep(where, not given and label.partition("[")[0] in statement.added, self.time, self.at)
                self.bindings.append(binding)
                self.active[number, label] = binding

    def _changed(self, statement: Statement) -> None:
        for binding in self.active.values():
            last = binding.states[-1].array
            if isinstance(binding.value, np.ndarray) and not np.array_equal(last, binding.value, equal_nan=True):
                self.time += 1
                binding.keep(statement, binding.label.partition("[")[0] in statement.added, self.time, self.at)


class Value(np.ndarray[Any, Any]):
    """An array with an attribute for its gradient, set by ``x.grad = ...``."""

    grad: Any = None


def labelled_parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield a value with its label; for a list, tuple or dict each part, for ``self`` each attribute."""
    if name == "self" and hasattr(value, "__dict__"):
        for key, part in list(vars(value).items()):
            yield from labelled_parts(key, part)
        return
    if isinstance(value, Value) and value.grad is not None:
        yield f"{name}.grad", value.grad
    if isinstance(value, (dict, list, tuple)) and len(value) > MANY:
        return
    if isinstance(value, dict):
        for key, part in list(dict.items(value)):
            yield f"{name}[{key!r}]", part
    elif isinstance(value, (list, tuple)):
        for k, part in enumerate(value):
            yield f"{name}[{k}]", part
    else:
        yield name, value


def is_number(value: Any) -> bool:
    """Tell whether a value may be a gradient: a numeric array or a number, not a boolean."""
    if isinstance(value, (Tensor, np.ndarray, np.number)):
        return np.asarray(raw(value)).dtype.kind in "fciu"
    return isinstance(value, (float, int, complex)) and not isinstance(value, bool)


def module_names(f: Any) -> Any:
    """Return the `__globals__` of a function; functions of the same module share it."""
    return getattr(_unwrapped(f), "__globals__", None)


def is_own(frame: Any, space: Any) -> bool:
    """Tell whether a frame belongs to a function or lambda of the module `space`, and not to a comprehension."""
    name = frame.f_code.co_name
    return frame.f_globals is space and not (name.startswith("<") and name != "<lambda>")


def _unwrapped(f: Any) -> Any:
    while isinstance(f, functools.partial):
        f = f.func
    f = getattr(f, "__func__", f)
    while hasattr(f, "__wrapped__"):
        f = f.__wrapped__
    if not hasattr(f, "__globals__") and not inspect.isbuiltin(f):
        f = type(f).__call__
    return f
