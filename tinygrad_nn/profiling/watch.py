"""Time every primitive while a block runs, both its forward and its rules.

The functions of each registered primitive are replaced by timed ones and put back after the block, also if it raises.
So code outside a watched block runs without any overhead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from threading import Lock, get_ident
from time import perf_counter_ns as clock
from typing import Any, NamedTuple
from weakref import WeakSet

import numpy as np

from .. import backward
from ..common.forks import renewed_after_fork
from ..compiled import function as compiled
from ..node import thread
from ..optim.update import Updater
from ..primitive import REGISTRY, Primitive
from ..tensor import Tensor

SUMMING = "sum_to"  # the function in `backward` that sums a gradient over the broadcast axes of its argument
FORWARD, BACK, SUMMED, CALLED, UPDATED = "forward", "back", "summed", "compiled", "update"

_one_at_a_time = renewed_after_fork(Lock())


class Event(NamedTuple):
    """One timed call: name, kind, the argument number `slot` of a rule (-1 for all), and nanoseconds.

    `duration` is the time of the call. `before` is the time since the last event ended, without the overhead of
    watching.
    """

    name: str
    kind: str
    slot: int
    duration: int
    before: int


class Watch:
    """Collects the events of a block.

    Attributes:
        events: in the order in which they ended.
        end: the time at which the last one ended, including the overhead of watching it.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.owner = get_ident()
        self.inside = False
        self.inner = 0  # the time of the events inside an open one, with their overhead
        self.end = clock()

    def begin(self) -> int:
        """Return the time at which an event begins."""
        return clock()

    def saw(self, event: Event, function: Any, call: tuple[Any, ...], meta: dict[str, Any], out: Any) -> None:
        """Record an event; subclasses also use the function, its arguments and its result."""
        self.events.append(event)

    def timed(self, function: Callable[..., Any], name: str, kind: str, slot: int = -1, open: bool = False) -> Any:
        """Return a function that does the same and records an event.

        Calls inside it are part of its event; if it is `open`, they are events of their own.
        """

        @wraps(function, updated=())
        def run(*args: Any, **meta: Any) -> Any:
            if self.inside or get_ident() != self.owner or thread.mode.traces:
                return function(*args, **meta)
            if kind == BACK and isinstance(args[0], Tensor):  # it runs primitives, which are recorded
                return function(*args, **meta)
            before, self.inner, self.inside = self.inner, 0, not open
            start = self.begin()
            gap, was = start - self.end, self.end
            self.end = start  # for events inside this one
            try:
                out = function(*args, **meta)
            finally:
                stop = clock()
                self.inside = False
                inner, self.inner = self.inner, before
            self.saw(Event(name, kind, slot, stop - start - inner, gap), function, args, meta, out)
            self.end = clock()
            self.inner += self.end - was
            return out

        return run


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Record what runs in this thread inside this block.

    Raises:
        RuntimeError: another profile is running.
    """
    if not _one_at_a_time.acquire(blocking=False):
        raise RuntimeError(
            "profile: another profile is running in this process. Wait for it, or leave the inner one out."
        )
    swapped: list[tuple[Any, str, Any]] = []
    user_primitives: WeakSet[Primitive] = WeakSet()  # primitives made by user functions; weak, so that they are freed

    def swap(thing: Any, name: str, new: Any) -> None:
        if thing not in user_primitives:
            swapped.append((thing, name, getattr(thing, name)))
        setattr(thing, name, new)

    def swap_row(row: Primitive) -> None:
        known = REGISTRY.get(row.name) is row  # a primitive of user code calls primitives that are recorded too
        if known or isinstance(row.forward, np.ufunc):
            row.parameters  # noqa: B018 - reads and caches the signature of the forward before it is replaced
        forward, jointly = row.forward, row.jointly
        swap(row, "forward", watch.timed(forward, row.name, FORWARD, open=not known))
        if jointly is not None:
            swap(row, "jointly", _record_joint_rule(watch, jointly, row.name, not known))
        rules = (rule and watch.timed(rule, row.name, BACK, slot, not known) for slot, rule in enumerate(row.vjps))
        swap(row, "vjps", tuple(rules))
        if row.adds is not None:
            swap(row, "adds", watch.timed(row.adds, row.name, BACK, 0))

    make, enter, summing = Primitive.__init__, compiled.Compiled.__call__, getattr(backward, SUMMING)

    def init_and_swap(self: Primitive, *args: Any, **options: Any) -> None:
        make(self, *args, **options)
        user_primitives.add(self)
        swap_row(self)

    def entered(self: Any, *args: Any, **options: Any) -> Any:
        name = f"compiled {getattr(self.function, '__name__', type(self.function).__name__)}"
        return watch.timed(enter, name, CALLED, open=True)(self, *args, **options)

    try:
        for row in list(REGISTRY.values()):
            swap_row(row)
        swap(Primitive, "__init__", init_and_swap)
        swap(compiled.Compiled, "__call__", entered)
        swap(Updater, "__call__", watch.timed(Updater.__call__, "update", UPDATED))
        swap(backward, SUMMING, watch.timed(summing, SUMMING, SUMMED))
        watch.end = clock()
        yield
    finally:
        for thing, name, old in reversed(swapped):
            setattr(thing, name, old)
        for row in user_primitives:
            row.forward, row.jointly = row.forward.__wrapped__, row.jointly and row.jointly.__wrapped__  # type: ignore[attr-defined]
            row.vjps = tuple(rule and rule.__wrapped__ for rule in row.vjps)  # type: ignore[attr-defined]
        _one_at_a_time.release()


class _RecordedGradients(Sequence[Any]):
    """The gradients of a rule that computes each one when it is indexed; each computation is recorded."""

    def __init__(
        self, watch: Watch, gradients: Any, name: str, arguments: tuple[Any, ...], meta: dict[str, Any]
    ) -> None:
        self.watch, self.gradients, self.name, self.arguments, self.meta = watch, gradients, name, arguments, meta

    def __len__(self) -> int:
        return len(self.gradients)

    def __getitem__(self, slot: Any) -> Any:
        found = self.watch.timed(lambda *_, **__: self.gradients[slot], self.name, BACK, slot)
        return found(*self.arguments, **self.meta)


def _record_joint_rule(watch: Watch, rule: Callable[..., Any], name: str, open: bool) -> Callable[..., Any]:
    """Return a rule of all arguments that is recorded, also if it computes each gradient only when it is indexed."""
    noted = watch.timed(rule, name, BACK, open=open)

    @wraps(rule, updated=())
    def run(*given: Any, **meta: Any) -> Any:
        if get_ident() != watch.owner:
            return rule(*given, **meta)
        found = noted(*given, **meta)
        return found if isinstance(found, (list, tuple)) else _RecordedGradients(watch, found, name, given, meta)

    return run
