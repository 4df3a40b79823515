"""Read the names that a line of user code sees before it runs, while the user's own function runs."""

from __future__ import annotations

import ast
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .running import copy_names, tracing_calls


class Place(NamedTuple):
    """A run of a statement that assigns a gradient.

    `label` is what it assigns: ``dx``, ``grads['W']``, ``self.dW``. `file` and `line` say where the statement begins;
    `visit` counts its runs from 0, -1 is the last. If it ran less often, its last run is meant.
    """

    label: str
    file: str
    line: int
    visit: int = -1


class Moment(NamedTuple):
    """The function that ran a statement, and the names before that run.

    `names` has the names before the statement by its line, and by theirs those before the last run of other statements
    in the same call, if they ran.
    """

    function: types.FunctionType
    names: dict[int, dict[str, Any]]


def moment_before(run: Callable[[], Any], place: Place, statements: Sequence[ast.stmt] = ()) -> Moment | None:
    """Call `run` and return the names before a statement in it; None if the statement did not run.

    Args:
        run: calls the user's function.
        place: the statement, and which of its runs is meant.
        statements: the statement itself, if it may have several lines, and others of the same function.

    Example:
        >>> def double(x):
        ...     y = 2 * x
        ...     return y
        >>> code = double.__code__
        >>> line = code.co_firstlineno + 2
        >>> moment_before(lambda: double(3), Place("", code.co_filename, line)).names[line]
        {'x': 3, 'y': 6}
    """
    spans = {place.line: place.line, **{stmt.lineno: stmt.end_lineno or stmt.lineno for stmt in statements}}
    runs: list[dict[int, int]] = []  # for each run of the statement, the last run of each line of `spans`
    _run_traced(run, place, spans, lambda frame, line, counts: runs.append(counts) if line == place.line else None)
    if not runs:
        return None
    last_runs = runs[place.visit if 0 <= place.visit < len(runs) else -1]
    names_by_line: dict[int, dict[str, Any]] = {}
    function: list[types.FunctionType] = []

    def take(frame: types.FrameType, line: int, counts: dict[int, int]) -> None:
        if last_runs.get(line) == counts[line]:
            names_by_line[line] = names_seen(frame)
            if line == place.line:
                function.append(function_of(frame))

    _run_traced(run, place, spans, take)
    return Moment(function[0], names_by_line) if function else None


def _run_traced(
    run: Callable[[], Any], place: Place, spans: Mapping[int, int],
    begins: Callable[[types.FrameType, int, dict[int, int]], None],
) -> None:  # fmt: skip
    """Call `run`, and `begins` when a statement of `spans` begins, with the number of its run.

    The numbers count the runs in all calls of the function; those of the same call are passed on.
    """
    total = dict.fromkeys(spans, 0)
    reached = [False]

    def enter(frame: types.FrameType, event: str, arg: Any) -> Any:
        code = frame.f_code
        inner = code.co_name.startswith("<") and code.co_name != "<lambda>"  # a comprehension
        if code.co_filename != place.file or inner or place.line not in {at for _, _, at in code.co_lines()}:
            return None
        counts: dict[int, int] = {}
        last = [0]

        def local(frame: types.FrameType, event: str, arg: Any) -> Any:
            if event != "line":
                return local
            before, last[0] = last[0], frame.f_lineno
            for line, end in spans.items():
                if line <= frame.f_lineno <= end and (not line <= before <= end or line == end):
                    total[line] += 1
                    counts[line] = total[line]
                    reached[0] |= line == place.line
                    begins(frame, line, dict(counts))
            return local

        return local

    try:
        with tracing_calls(enter):
            run()
    except Exception:  # the user's function may stop after the statement
        if not reached[0]:
            raise


def names_seen(frame: types.FrameType) -> dict[str, Any]:
    """Return copies of the local names of a frame, and of the names of its module that its code mentions."""
    outside = {name: frame.f_globals[name] for name in names_mentioned(frame.f_code) if name in frame.f_globals}
    return copy_names({**outside, **frame.f_locals})


def names_mentioned(code: types.CodeType) -> Iterator[str]:
    """Yield the names outside a function that its code, or a function or comprehension in it, mentions."""
    yield from code.co_names
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            yield from names_mentioned(part)


def function_of(frame: types.FrameType) -> types.FunctionType:
    """Return a function with the code of a frame and the values of its closure."""
    code, local_names = frame.f_code, frame.f_locals
    cells = tuple(
        types.CellType(local_names[name]) if name in local_names else types.CellType() for name in code.co_freevars
    )
    return types.FunctionType(code, frame.f_globals, code.co_name, None, cells)
