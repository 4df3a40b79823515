"""Watching operations: while a block runs, each row of the table of primitives is timed, forward and rules alike.

The rows themselves are exchanged for timed ones and put back after the block, whatever happens in it, so that nothing
is asked of a run that is not watched.
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
from ..compiled import function as compiled
from ..forks import renewed
from ..node import thread
from ..optim.update import Updater
from ..primitive import REGISTRY, Primitive
from ..tensor import Tensor

SUMMING = "sum_to"  # of `backward`, which sums a gradient over the axes along which its argument was broadcast
FORWARD, BACK, SUMMED, CALLED, UPDATED = "forward", "back", "summed", "compiled", "update"

_one_at_a_time = renewed(Lock())


class Event(NamedTuple):
    """One thing that ran: what it is called, its kind, the argument of a rule, nanoseconds of itself and before it.

    `before` is the time since the last event ended, that of the watching taken away.
    """

    name: str
    kind: str
    slot: int
    taken: int
    before: int


class Watch:
    """What was seen: the events in order.

    Attributes:
        events: in the order in which they ended.
        end: when the last one ended, its watching included.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.owner = get_ident()
        self.inside = False
        self.inner = 0  # what events within one that lets them be seen have taken, and their watching
        self.end = clock()

    def begin(self) -> int:
        """Return the time at which an event begins."""
        return clock()

    def saw(self, event: Event, function: Any, call: tuple[Any, ...], meta: dict[str, Any], out: Any) -> None:
        """Note an event: what ran, its arguments and its result."""
        self.events.append(event)

    def timed(self, function: Callable[..., Any], name: str, kind: str, slot: int = -1, open: bool = False) -> Any:
        """Return a function that does the same and is noted.

        What runs inside of it is part of it, unless it is open: then that is noted by itself.
        """

        @wraps(function, updated=())
        def run(*args: Any, **meta: Any) -> Any:
            if self.inside or get_ident() != self.owner or thread.mode.traces:
                return function(*args, **meta)
            if kind == BACK and isinstance(args[0], Tensor):  # what a rule does on Tensors is noted by itself
                return function(*args, **meta)
            before, self.inner, self.inside = self.inner, 0, not open
            start = self.begin()
            gap, was = start - self.end, self.end
            self.end = start  # for what is noted inside
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
    """Note what runs in this thread inside this block.

    Raises:
        RuntimeError: another profile is running.
    """
    if not _one_at_a_time.acquire(blocking=False):
        raise RuntimeError("profile: another one is running in this process. Wait for it, or leave the inner one out.")
    swapped: list[tuple[Any, str, Any]] = []
    own: WeakSet[Primitive] = WeakSet()  # rows that a person's functions make, and let go of with all that they hold

    def swap(thing: Any, name: str, new: Any) -> None:
        if thing not in own:
            swapped.append((thing, name, getattr(thing, name)))
        setattr(thing, name, new)

    def swap_row(row: Primitive) -> None:
        known = REGISTRY.get(row.name) is row  # one that a person's function made calls operations that are to be seen
        if known or isinstance(row.forward, np.ufunc):
            row.parameters  # noqa: B018 - which reads the signature of the forward
        forward, jointly = row.forward, row.jointly
        swap(row, "forward", watch.timed(forward, row.name, FORWARD, open=not known))
        if jointly is not None:
            swap(row, "jointly", _jointly(watch, jointly, row.name, not known))
        rules = (rule and watch.timed(rule, row.name, BACK, slot, not known) for slot, rule in enumerate(row.vjps))
        swap(row, "vjps", tuple(rules))

    make, enter, summing = Primitive.__init__, compiled.Compiled.__call__, getattr(backward, SUMMING)

    def made(self: Primitive, *args: Any, **options: Any) -> None:
        make(self, *args, **options)
        own.add(self)
        swap_row(self)

    def entered(self: Any, *args: Any, **options: Any) -> Any:
        name = f"compiled {getattr(self.function, '__name__', type(self.function).__name__)}"
        return watch.timed(enter, name, CALLED, open=True)(self, *args, **options)

    try:
        for row in list(REGISTRY.values()):
            swap_row(row)
        swap(Primitive, "__init__", made)
        swap(compiled.Compiled, "__call__", entered)
        swap(Updater, "__call__", watch.timed(Updater.__call__, "update", UPDATED))
        swap(backward, SUMMING, watch.timed(summing, SUMMING, SUMMED))
        watch.end = clock()
        yield
    finally:
        for thing, name, old in reversed(swapped):
            setattr(thing, name, old)
        for row in own:
            row.forward, row.jointly = row.forward.__wrapped__, row.jointly and row.jointly.__wrapped__  # type: ignore[attr-defined]
            row.vjps = tuple(rule and rule.__wrapped__ for rule in row.vjps)  # type: ignore[attr-defined]
        _one_at_a_time.release()


class _Apart(Sequence[Any]):
    """Gradients that a rule computes as they are asked for, each of them noted."""

    def __init__(self, watch: Watch, gradients: Any, name: str, given: tuple[Any, ...], meta: dict[str, Any]) -> None:
        self.watch, self.gradients, self.name, self.given, self.meta = watch, gradients, name, given, meta

    def __len__(self) -> int:
        return len(self.gradients)

    def __getitem__(self, slot: Any) -> Any:
        found = self.watch.timed(lambda *_, **__: self.gradients[slot], self.name, BACK, slot)
        return found(*self.given, **self.meta)


def _jointly(watch: Watch, rule: Callable[..., Any], name: str, open: bool) -> Callable[..., Any]:
    """Return a rule of all arguments at once that is noted, also where it computes each gradient as it is asked for."""
    noted = watch.timed(rule, name, BACK, open=open)

    @wraps(rule, updated=())
    def run(*given: Any, **meta: Any) -> Any:
        if get_ident() != watch.owner:
            return rule(*given, **meta)
        found = noted(*given, **meta)
        return found if isinstance(found, (list, tuple)) else _Apart(watch, found, name, given, meta)

    return run
