"""Record what each name of the user's code is bound to, line by line, while the code runs (by `sys.settrace`)."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from ...tensor import Tensor, raw
from ..edits import RETURNED
from ..edits.running import tracing_calls
from ..user_function import code_of, module_names
from .statements import Statement, Statements, names_written_after

Array = np.ndarray[Any, Any]

MANY = 512  # most parts of a list, tuple or dict; a longer one is ignored


class State(NamedTuple):
    """The content of a binding after a statement.

    `added` tells whether the statement added to the former content, `time` is its place in the order of all states,
    and `line_event` is the call and the number of its line event at which it was seen. `visit` counts the runs of the
    statement from 0. `label` is what holds the content there, if it has another name: that in the called function
    `function`. `call` is then the statement that calls this function, and the number of its run.
    """

    statement: Statement
    array: Array
    added: bool = False
    time: int = 0
    line_event: tuple[int, int] = (0, 0)
    visit: int = -1
    label: str = ""
    function: str = ""
    call: tuple[Statement, int] | None = None


class Origin(NamedTuple):
    """Where a value came from that a called function returned: its statement, the run of it, and its label there.

    `value` keeps the object alive, so that its id is not reused.
    """

    value: Any
    statement: Statement
    visit: int
    label: str
    function: str


class Binding:
    """One binding of a name to an object: its content after each statement that changed it, and its function.

    `frame` numbers the call of the function, `outer_calls` has the numbers of the calls that it runs in; `is_parameter`
    tells whether the name was a parameter, bound by the call.
    """

    def __init__(
        self, label: str, value: Any, function: str, frame: int, is_parameter: bool,
        outer_calls: frozenset[int] = frozenset(),
    ) -> None:
        self.label, self.value, self.function, self.frame = label, value, function, frame
        self.is_parameter, self.outer_calls = is_parameter, outer_calls
        self.states: list[State] = []

    def keep(
        self, statement: Statement, added: bool, time: int, line_event: tuple[int, int], visit: int = -1,
        origin: Origin | None = None,
    ) -> None:  # fmt: skip
        """Record a copy of the present content as a state; `origin` is where a called function made it."""
        array = np.array(raw(self.value))
        array = array.astype(np.float64) if array.dtype.kind == "b" else array
        if origin is not None:
            self.states.append(State(origin.statement, array, False, time, line_event, origin.visit, origin.label,
                                     origin.function, (statement, visit)))  # fmt: skip
        else:
            self.states.append(State(statement, array, added, time, line_event, visit))


    def own_states(self, value_of: Callable[[str], str | None]) -> list[State]:
        """Return the states but for those that were written under the name of another gradient: ``dx = dz; dx += u``.

        `value_of` returns the value that the gradient of a name belongs to.
        """
        own, value_label = self.label.partition("[")[0], value_of(self.label)

        def is_own(statement: Statement) -> bool:
            values = {value_of(name) for name in statement.targets}
            return not values or own in statement.targets or not values.isdisjoint({None, value_label})

        return [state for k, state in enumerate(self.states) if k == 0 or is_own(state.statement)]


IsWanted = Callable[[str, Any], bool]  # (label, value): whether a binding is to be recorded


class Trace:
    """All bindings in a call, and in the functions of the same module that it calls, in the order of time."""

    def __init__(self, is_wanted: IsWanted, replace_argument: Callable[[Any], Any] | None = None) -> None:
        """`is_wanted` chooses the bindings to record.

        In a run on Tensors, `replace_argument` is applied to each argument of the inner functions, so that a parameter
        can have a value of its own. In a run on arrays each change of an array is recorded, since it may be written
        into.
        """
        self.is_wanted, self.replace_argument = is_wanted, replace_argument
        self.copies = replace_argument is None
        self.statements, self.time, self.line_event = Statements(), 0, (0, 0)
        self.bindings: list[Binding] = []
        self.returned: Statement | None = None
        self.frames = 0
        self.open: list[int] = []  # the calls that run at present
        self.active: dict[tuple[int, str], Binding] = {}
        self.final_names: dict[str, Any] = {}  # the local names of the outermost function at its return
        self.codes: set[CodeType] = set()  # the functions that ran
        self.visits: dict[tuple[str, int], int] = {}  # by file and line, how often a statement began
        # by the id of a frame, the values that the functions called by its present statement returned
        self.origins: dict[int, dict[int, Origin]] = {}

    def run(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a function, record its bindings, and return its result."""
        space = module_names(f)
        root: list[int] = []

        def enter(frame: Any, event: str, arg: Any) -> Any:
            if not is_own(frame, space):
                return None
            number = self.frames = self.frames + 1
            root.append(number)
            self.open.append(number)
            self.codes.add(frame.f_code)
            bound: dict[str, Any] = {}
            argument_ids: set[int] = set()
            value_origins: dict[int, Origin | None] = {}
            line, count = [frame.f_lineno], [0]

            def local(frame: Any, event: str, arg: Any) -> Any:
                if event in ("line", "return"):
                    count[0] += 1
                    self.line_event = number, count[0]
                    self._look(frame, frame.f_locals, number, line[0], bound, is_parameter=False)
                    if self.copies:
                        self._visit(frame, event, arg, line[0], value_origins, argument_ids)
                    if event == "return" and number == root[0]:
                        self.returned = self.statements.at(frame.f_code.co_filename, line[0], space)
                        self.final_names = dict(frame.f_locals)
                    line[0] = frame.f_lineno
                    if event == "return":
                        self.active = {key: b for key, b in self.active.items() if key[0] != number}
                        self.open.remove(number)
                return local

            local_names = frame.f_locals  # read once: a second read would undo what is written into it
            if number != root[0] and self.replace_argument is not None:
                for key, value in list(local_names.items()):
                    other = self.replace_argument(value)
                    if other is not value:
                        local_names[key] = other
            self.line_event = number, 0
            argument_ids.update(id(value) for value in local_names.values())
            self._look(frame, local_names, number, line[0], bound, is_parameter=True)
            return local

        with tracing_calls(enter):
            return f(*args, **kwargs)

    def leave_out_unfinished(self, f: Any) -> None:
        """Forget the values of a function that stopped to which statements that did not run would have added."""
        last_statement, code = self.returned, code_of(f)
        if last_statement is None or code is None:
            return
        last = max(at for _, _, at in code.co_lines() if at is not None)
        source = "".join(linecache.getlines(last_statement.file, module_names(f)))
        written = names_written_after(source, last_statement.line, last)
        self.bindings = [b for b in self.bindings if b.frame != 1 or b.label.partition("[")[0] not in written]

    def _visit(self, frame: Any, event: str, arg: Any, line: int, value_origins: dict[int, Origin | None],
               argument_ids: set[int]) -> None:  # fmt: skip
        """Count the statement that begins, and record where the values come from that a frame returns.

        `line` is that of the statement that ended. `value_origins` has the origins of the frame's values, None if
        one may have been written into since; `argument_ids` has the ids of its arguments.
        """
        file, space = frame.f_code.co_filename, frame.f_globals
        ended = self.statements.at(file, line, space)
        visit, function = self.visits.get((file, ended.line), 1) - 1, frame.f_code.co_name
        returned_origins = self.origins.pop(id(frame), {})
        if event == "line":
            began = self.statements.at(file, frame.f_lineno, space)
            if began.line != ended.line or began.line == began.end:
                self.visits[file, began.line] = self.visits.get((file, began.line), 0) + 1
            if ended.writes:
                value_origins.update(dict.fromkeys(value_origins))
            for name, value in list(frame.f_locals.items()):
                if isinstance(value, np.ndarray) and id(value) not in value_origins:
                    origin = returned_origins.get(id(value))
                    value_origins[id(value)] = origin or Origin(value, ended, visit, name, function)
            return
        caller_origins = self.origins.setdefault(id(frame.f_back), {})
        for label, part in labelled_parts(RETURNED, arg):
            if isinstance(part, np.ndarray) and part.ndim and id(part) not in argument_ids:
                origin = value_origins.get(id(part)) or returned_origins.get(id(part))
                caller_origins[id(part)] = origin or Origin(part, ended, visit, label, function)

    def _look(
        self, frame: Any, local_names: Any, number: int, line: int, bound: dict[str, Any], is_parameter: bool
    ) -> None:
        """Record the new bindings of a frame, and the arrays that the statement changed."""
        statement: Statement | None = None
        file, space = frame.f_code.co_filename, frame.f_globals
        if self.copies:
            statement = self.statements.at(file, line, space)
            if statement.writes:
                self._changed(statement)
        for name, named_value in list(local_names.items()):
            for label, value in labelled_parts(name, named_value):
                if bound.get(label) is value or not self.is_wanted(label, value):
                    continue
                bound[label] = value
                statement = statement or self.statements.at(file, line, space)
                bound_by, caller = statement, frame.f_back
                if is_parameter and number > 1 and caller is not None and caller.f_globals is space:
                    bound_by = self.statements.at(caller.f_code.co_filename, caller.f_lineno, space)
                self.time += 1
                origin = None if is_parameter else self.origins.get(id(frame), {}).get(id(value))
                binding = Binding(label, value, frame.f_code.co_name, number, is_parameter, frozenset(self.open))
                added = not is_parameter and label.partition("[")[0] in statement.added
                binding.keep(bound_by, added, self.time, self.line_event, self._visit_of(bound_by), origin)
                self.bindings.append(binding)
                self.active[number, label] = binding

    def _changed(self, statement: Statement) -> None:
        for binding in self.active.values():
            last, value = binding.states[-1].array, binding.value
            if isinstance(value, np.ndarray) and not _is_same(last, value):
                self.time += 1
                added = binding.label.partition("[")[0] in statement.added
                binding.keep(statement, added, self.time, self.line_event, self._visit_of(statement))

    def _visit_of(self, statement: Statement) -> int:
        return self.visits.get((statement.file, statement.line), 0) - 1


def _is_same(a: Array, b: Array) -> bool:
    """Tell whether two arrays are equal, where NaN equals NaN; equal bytes tell it ten times faster."""
    same_bytes = a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return same_bytes or np.array_equal(a, b, equal_nan=True)


class Value(np.ndarray[Any, Any]):
    """An array with an attribute for its gradient, set by ``x.grad = ...``."""

    grad: Any = None


def labelled_parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield a value with its label; for a list, tuple or dict each part, for an object each attribute.

    Attributes of ``self`` have no prefix, and may hold parts themselves.
    """
    if name == "self" and hasattr(value, "__dict__"):
        for key, part in list(vars(value).items()):
            yield from labelled_parts(key, part)
        return
    if is_plain_object(value):
        yield from ((f"{name}.{key}", part) for key, part in list(vars(value).items()))
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


def is_plain_object(value: Any) -> bool:
    """Tell whether a value is an object of a user's class, such as ``g`` with ``g.W = ...``."""
    if type(value).__module__.split(".")[0] in ("numpy", "tinygrad_nn", "builtins"):
        return False
    return isinstance(getattr(value, "__dict__", None), dict) and not isinstance(value, (list, tuple, dict))


def is_number(value: Any) -> bool:
    """Tell whether a value may be a gradient: a numeric array or a number, not a boolean."""
    if isinstance(value, (Tensor, np.ndarray, np.number)):
        return np.asarray(raw(value)).dtype.kind in "fciu"
    return isinstance(value, (float, int, complex)) and not isinstance(value, bool)


def is_own(frame: Any, space: Any) -> bool:
    """Tell whether a frame belongs to a function or lambda of the module `space`, and not to a comprehension."""
    name = frame.f_code.co_name
    return frame.f_globals is space and not (name.startswith("<") and name != "<lambda>")
