"""`profile`: run a function several times and measure where its time goes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from statistics import median
from time import perf_counter_ns as clock
from typing import Any

import numpy as np

from ..backward import walk
from ..common.printable import printable
from ..compiled.function import Compiled
from ..node import switched
from ..tensor import Tensor
from ..tree import flatten
from .advice import advice
from .compiling import compiled_times, untried
from .describe import Description, EventDescription
from .machine import bandwidth, least_seconds
from .result import AROUND, BETWEEN, SUMS, WALKING, Operation, Profile
from .watch import BACK, CALLED, FORWARD, SUMMED, UPDATED, Event, Watch, watching

OWN = {
    FORWARD: "operations, forward", BACK: "rules of gradients, back", CALLED: "compiled code",
    UPDATED: "update of parameters",
}  # fmt: skip
SELDOM = (OWN[CALLED], OWN[UPDATED])  # parts that are shown only if they are not 0
SECONDS, FEWEST, MOST = 1.0, 5, 50  # default duration of the calls, and limits of their number
NO_FUNCTION = (
    "profile: {what}. Pass the function that does one step, and what it takes: profile(step, x, y), or "
    "profile(lambda: minimizer.step(lambda: loss(x, y)))."
)


def profile(
    function: Callable[..., Any], *args: Any, repeats: int | None = None, compile: bool | str | None = None,
    **kwargs: Any,
) -> Profile:  # fmt: skip
    """Run a function several times and measure each of its operations, forward and back, and the least possible time.

    The function is called ``2 * repeats + 5`` times, with its side effects: a training step changes its parameters, and
    a random generator advances. To measure what compiling saves, it is called again; then parameters, generators and
    other Python objects are restored, but what it prints or writes into files is not. If it returns a Tensor without
    having run backward from it, that is done after each call, and the gradients are dropped. For a compiled function,
    the original function is measured.

    Args:
        function: one step: a loss, a loss and its gradients, a step of a `Minimizer`, a call of `fit`.
        *args, **kwargs: its arguments.
        repeats: how many calls are watched; as many are timed without being watched. By default 5 to 50, for about
            one second.
        compile: whether to compile it to measure what that saves, or with which backend, ``"numpy"`` or ``"numba"``; by
            default with both if it has few operations. If it cannot be compiled, the saving is estimated.

    Returns:
        A `Profile`: ``print`` shows its tables, ``draw()`` its graph.

    Raises:
        TypeError: `function` cannot be called, or a call of it only makes a generator.
        ValueError: repeats is below 1, or the backend is unknown.
        RuntimeError: another profile is running.

    Example:
        >>> w = Tensor(np.ones((3, 2)), name="w")
        >>> found = profile(lambda x: (x @ w).sum(), np.ones((4, 3)), repeats=1, compile=False)
        >>> [(one.name, one.kind, one.flops, one.read, one.written) for one in found.operations]
        [('matmul', 'forward', 48, 144, 64), ('sum', 'forward', 8, 64, 8), ('sum', 'back', 0, 0, 0), \
('matmul', 'back', 48, 104, 48)]
    """
    _checked(function, repeats, compile)
    step = function.function if isinstance(function, Compiled) else function
    run = _Run(step, args, kwargs)
    run()
    described = Description(everything=compile is True or isinstance(compile, str))
    with closing(described), watching(described), switched("inspect", described.inspect):
        run(described)
    names = [(event.name, event.kind, event.slot) for event in described.events]
    bare = _timed(run, None if repeats is None else repeats // 2)
    count = default_calls(bare) if repeats is None else int(repeats)
    watched = _watched(run, count)
    bare += _timed(run, count - count // 2)
    same = [one for one in watched if [(event.name, event.kind, event.slot) for event in one[0]] == names]
    other = count - len(same)
    same = same or [(described.events, 0)]
    events = [_median_event(column) for column in zip(*(found for found, _ in same), strict=True)]
    operations = _operations(described, events)
    seconds, parts = _parts(events, median(tail for _, tail in same), median(bare), described.sums)
    called = printable(getattr(function, "__qualname__", None) or type(function).__name__).rpartition("<locals>.")[2]
    quartiles = (bare[0], bare[0]) if count == 1 else tuple(np.percentile(bare, (25, 75)).tolist())
    found = Profile(called, operations, seconds, parts, quartiles, count, other, described.sums, (), described.view,
                    was_compiled=isinstance(function, Compiled), untried=untried(operations, compile))  # fmt: skip
    told = function, args, kwargs, found, compile, run, run.walks, described.graph
    found = replace(found, compiling=compiled_times(*told))
    return replace(found, advice=advice(found))


def default_calls(seconds: Sequence[float]) -> int:
    """Return the default number of watched calls, if calls took so many seconds."""
    return int(min(max(SECONDS / (2 * max(min(seconds), 1e-6)), FEWEST), MOST))


def _timed(run: Callable[[], Any], count: int | None) -> list[float]:
    """Return the seconds of each of `count` calls, after a first one that fills the caches and is not counted.

    If `count` is None, it is half of the default number, by the fastest call: one slow call does not decide.
    """
    found: list[float] = []
    run()
    while len(found) < count if count is not None else not found or len(found) < default_calls(found) // 2:
        start = clock()
        run()
        found.append((clock() - start) / 1e9)
    return found


def _watched(run: Callable[[], Any], count: int) -> list[tuple[list[Event], int]]:
    """Return for each of `count` watched calls, after a first one, its events and the nanoseconds after the last."""
    found, watch = [], Watch()
    with watching(watch):
        for _ in range(count + 1):
            watch.events, watch.end = [], clock()
            run()
            found.append((watch.events, clock() - watch.end))
    return found[1:]


def _checked(function: Any, repeats: Any, compile: Any) -> None:
    """Check the arguments of `profile`.

    Raises:
        TypeError, ValueError: as `profile`.
    """
    if not callable(function):
        what = "a Tensor is already the result of a function" if isinstance(function, Tensor) else (
            f"a {type(function).__name__} cannot be called")  # fmt: skip
        raise TypeError(NO_FUNCTION.format(what=what))
    if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
        raise TypeError(NO_FUNCTION.format(what="calling a generator function does not run it yet"))
    if compile not in (None, False, True, "numpy", "numba"):
        raise ValueError(f"profile: compile={compile!r:.40}; it must be True, False, 'numpy' or 'numba'.")
    whole = isinstance(repeats, (int, np.integer)) and not isinstance(repeats, bool)
    if repeats is not None and not (whole and repeats >= 1):
        raise ValueError(f"profile: repeats={repeats!r:.40}; it must be at least 1, the number of calls to watch.")


class _Run:
    """A call of the function, then the backward walk from its result if the function did not run one itself."""

    def __init__(self, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs
        self.walks = False

    def __call__(self, described: Description | None = None) -> None:
        result = self.function(*self.args, **self.kwargs)
        if inspect.isgenerator(result) or inspect.iscoroutine(result):
            raise TypeError(NO_FUNCTION.format(what="the function returned a generator, which has run nothing yet"))
        if described is not None and not described.walked:
            self.walks = self._root(result) is not None
        if self.walks and (root := self._root(result)) is not None:
            walk(root.node, np.ones_like(root.data), free=True)  # type: ignore[arg-type]

    @staticmethod
    def _root(result: Any) -> Tensor | None:
        """Return the first Tensor of a result whose graph has not been freed, or None."""
        for part in flatten(result)[0]:
            node = part.node if isinstance(part, Tensor) else None
            if node is not None and node.primitive is not None and node.args is not None:
                return part  # type: ignore[no-any-return]
        return None


def _median_event(column: Sequence[Event]) -> Event:
    """Return an event with the medians of its times over several runs."""
    duration, before = median(one.duration for one in column), median(one.before for one in column)
    return column[0]._replace(duration=int(duration), before=int(before))


def _operations(described: Description, events: Sequence[Event]) -> tuple[Operation, ...]:
    """Return the operations; a sum over broadcast axes is added to the rule before it."""
    found: list[Operation] = []
    for seen, event in zip(described.seen, events, strict=True):
        if event.kind == SUMMED and found and found[-1].kind == BACK:
            found[-1] = _add_broadcast_sum(found[-1], seen, event)
        else:
            found.append(_operation(seen, event, described))
    return tuple(found)


def _operation(entry: EventDescription, event: Event, described: Description) -> Operation:
    dtype, taken = entry.dtype or "float64", event.duration / 1e9
    least = min(least_seconds(entry.read + entry.written, entry.flops, dtype), taken)
    kind = BACK if event.kind == SUMMED else event.kind
    return Operation(
        event.name, kind, event.slot if event.slot >= 0 else None, taken, least, entry.read, entry.written,
        entry.written, entry.arrays, entry.temporary, entry.flops, entry.shape, dtype, entry.mixed, entry.scope,
        entry.line, None if entry.of is None else described.numbers.get(entry.of),
    )  # fmt: skip


def _add_broadcast_sum(rule: Operation, entry: EventDescription, event: Event) -> Operation:
    """Return the operation of a rule with the sum over broadcast axes after it added."""
    taken = event.duration / 1e9
    least = min(least_seconds(entry.read + entry.written, entry.flops, entry.dtype), taken)
    return replace(
        rule, seconds=rule.seconds + taken, shape=entry.shape, floor=rule.floor + least, read=rule.read + entry.read,
        written=rule.written + entry.written, allocated=rule.allocated + entry.written,
        arrays=rule.arrays + entry.arrays, temporary=rule.temporary + entry.temporary, flops=rule.flops + entry.flops,
    )  # fmt: skip


def _parts(events: Sequence[Event], tail: float, seconds: float, sums: int) -> tuple[float, dict[str, float]]:
    """Return the seconds of a call, and its parts, which add up to it.

    The time outside operations is the time of a call that is not watched, minus that of its operations. It is divided
    in proportion to the gaps between events in watched calls, after subtracting the overhead of watching, which is
    about the same per event. On a busy machine the median of a call can exceed the sum of the medians of its parts;
    then that sum is used.
    """
    own = dict.fromkeys(OWN.values(), 0.0)
    for event in events:
        own[OWN[BACK if event.kind == SUMMED else event.kind]] += event.duration / 1e9
    gaps: list[tuple[str, float]] = []
    last = ""
    for event in events:
        back, forward = event.kind in (BACK, SUMMED), {last, event.kind} <= {FORWARD, CALLED}
        gaps.append((WALKING if back and last else BETWEEN if forward else AROUND, event.before / 1e9))
        last = event.kind
    gaps.append((AROUND, tail / 1e9))
    whole = sum(own.values()) + sum(gap for _, gap in gaps)
    seconds = max(min(seconds, whole), sum(own.values()))
    rest = seconds - sum(own.values())
    watching = max(0.0, sum(gap for _, gap in gaps) - rest) / max(len(events), 1)
    weights = dict.fromkeys((BETWEEN, WALKING, AROUND), 0.0)
    for where, gap in gaps:
        weights[where] += max(gap - watching, 0.0)
    scale = rest / (sum(weights.values()) or 1.0)
    parts = {name: weight * scale for name, weight in weights.items()}
    adding = min(sums / bandwidth(sums), parts[WALKING]) if sums else 0.0
    parts[WALKING] -= adding
    if not events or not sum(weights.values()):
        parts[AROUND] = rest
    return seconds, {name: part for name, part in {**own, SUMS: adding, **parts}.items() if part or name not in SELDOM}
