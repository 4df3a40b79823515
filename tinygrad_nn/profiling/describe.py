"""What ran, in one run that may take its time: arrays, arithmetic, layer and line of every operation, and the graph."""

from __future__ import annotations

import site
import sys
import sysconfig
import tracemalloc
from dataclasses import dataclass, replace
from os import sep
from os.path import dirname
from time import perf_counter_ns as clock
from typing import Any

import numpy as np

from ..graph.view import GraphView
from ..node import Node, thread
from ..tensor import Tensor, wrap
from . import costs
from .compiling import Graph
from .watch import BACK, CALLED, FORWARD, SUMMED, UPDATED, Event, Watch

_OTHERS = tuple({
    dirname(dirname(__file__)) + sep, dirname(np.__file__) + sep, "<frozen",
    *(sysconfig.get_path(name) + sep for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    *(place + sep for place in getattr(site, "getsitepackages", list)()),
})  # fmt: skip


PACKAGE = __name__.partition(".")[0]
MOST = 2000  # operations of a graph that is held to be compiled
NOISE = 4096  # bytes, of the objects around arrays


@dataclass(slots=True)
class Seen:
    """What an event did, and where it belongs: the line that called it, and of a rule the event of its forward."""

    event: Event
    read: int = 0
    written: int = 0
    arrays: int = 0
    temporary: int = 0
    flops: int = 0
    dtype: str = ""
    shape: tuple[int, ...] = ()
    mixed: bool = False
    scope: str | None = None
    line: tuple[str, int] | None = None
    of: int | None = None


class Description(Watch):
    """A watch that looks at the arrays of each event.

    Attributes:
        seen: one for each event.
        view: the graph of the first walk back, without its results.
        numbers: of its nodes, by the event that made each.
        graph: the same as a function, if it has no more than 2,000 operations.
        sums: bytes that are read and written where gradients that arrive at one value are added up.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Seen] = []
        self.view: GraphView | None = None
        self.numbers: dict[int, int] = {}
        self.graph: Graph | None = None
        self.sums = 0
        self._made: dict[int, tuple[Node, int]] = {}  # by the array of a result: its Node, and the event that made it
        self._arrived: set[Node] = set()
        self._before: Any = thread.mode.inspect
        self._traces, self._open = not tracemalloc.is_tracing(), False  # a person's own measurement is left alone

    def begin(self) -> int:
        """Return the time at which an event begins, and look at its memory from now on."""
        if self._traces and not self._open:
            tracemalloc.start()
            self._open = True
        return clock()

    @property
    def walked(self) -> bool:
        """Whether a walk back was seen."""
        return any(event.kind == BACK for event in self.events)

    def close(self) -> None:
        """Look at memory no more."""
        if self._open:
            tracemalloc.stop()
            self._open = False

    def inspect(self, node: Node, tensor: Tensor) -> Tensor:
        """See a new Node, which belongs to the event that ended just now."""
        given: Tensor = tensor if self._before is None else self._before(node, tensor)
        if self.events and self.events[-1].kind == FORWARD and node.primitive is not None:
            at = len(self.events) - 1
            if self.events[at].name == node.primitive.name and self.seen[at].of is None:
                self.seen[at].scope, self.seen[at].of = node.scope, at
                self._made[id(node.out)] = node, at
        return given

    def saw(self, event: Event, function: Any, call: tuple[Any, ...], meta: dict[str, Any], out: Any) -> None:
        """Note an event and what it did."""
        peak = tracemalloc.get_traced_memory()[1] if self._open else 0
        self.close()
        super().saw(event, function, call, meta, out)
        found = Seen(event)
        self.seen.append(found)
        if event.kind == CALLED:
            found.line = _line()
        elif event.kind == UPDATED:  # at the least, of parameters and gradients; what an optimizer remembers is its own
            found.line, found.written = _line(), costs.size(t.data for t, *_ in call[0].entries)
            found.read, found.arrays = 2 * found.written, len(call[0].entries)
        elif event.kind == SUMMED:
            self._summed(found, call, out)
        else:
            result = out[0] if event.kind == FORWARD and isinstance(out, tuple) else out
            args, new = call if event.kind == FORWARD else call[2:], costs.made(call, out)
            first = next(iter(costs.arrays([result])), None)
            if first is not None:
                found.dtype, found.shape = str(first.dtype), first.shape
            floats = [a.dtype for a in args if isinstance(a, np.ndarray) and a.dtype.kind in "fc"]
            found.mixed = any(dtype != floats[0] for dtype in floats)
            found.written, found.arrays = costs.size(new), len(new)
            if event.kind == FORWARD:
                found.read = costs.read(event.name, call, meta, new)
                found.flops = costs.flops(event.name, call, meta, result, new)
                found.line = _line()
            else:
                found.read = costs.read_back(function, event.name, event.slot, call, meta, new)
                found.flops = costs.flops_back(event.name, event.slot, call, meta, new)
                self._belongs(found, call[1], out)
        if peak - found.written > NOISE:
            found.temporary = peak - found.written

    def _belongs(self, found: Seen, out: Any, gradients: Any) -> None:
        """Say of the event of a rule which forward it belongs to, and what its gradients are added to."""
        node, at = self._made.get(id(out), (None, -1))
        if node is None:
            return
        made, before = self.seen[at], self.seen[-2] if len(self.seen) > 1 else None
        found.scope, found.line, found.of = made.scope, made.line, at
        if before is None or before.event.kind not in (BACK, SUMMED):
            self._arrived.clear()  # another walk begins, at this Node
        if self.view is None:
            self.look(wrap(node.out, node))
            if len(self.numbers) <= MOST:
                self.graph = Graph(node)
        parents = node.parents or ()
        together = parents if isinstance(gradients, (list, tuple)) else ()
        for parent in together if found.event.slot < 0 else (parents[found.event.slot],):
            if parent is not None and parent in self._arrived:
                self.sums += 3 * int(np.asarray(parent.out).nbytes)
            elif parent is not None:
                self._arrived.add(parent)

    def _summed(self, found: Seen, call: tuple[Any, ...], out: Any) -> None:
        """Say of a sum over broadcast axes what it reads and writes, and that it belongs to the rule before it."""
        g, made = call[0], self.seen[-2] if len(self.seen) > 1 else None
        new = costs.made([g], out)
        found.read, found.written, found.arrays = costs.read("sum", [g], {}, new), costs.size(new), len(new)
        found.flops = int(np.size(g))
        found.dtype, found.shape = str(out.dtype), np.shape(out)
        if made is not None and made.event.kind == BACK:
            found.scope, found.line, found.of = made.scope, made.line, made.of

    def look(self, result: Any) -> None:
        """Take the graph of a result, without its numbers."""
        view = GraphView(result)
        for part in view:
            node = part.node
            if node is not None and id(node.out) in self._made and self._made[id(node.out)][0] is node:
                self.numbers[self._made[id(node.out)][1]] = part.number
        self.view = _outline(view)


def _outline(view: GraphView) -> GraphView:
    """Return a graph without the results of its operations, which would keep all of their memory."""
    outline = object.__new__(GraphView)  # a view has no other way in than a result
    nodes = tuple(part if part.operation is None else
                  replace(part, array=np.broadcast_to(np.zeros((), part.array.dtype), part.shape), grad_array=None)
                  for part in view)  # fmt: skip
    for name, value in (("nodes", nodes), ("edges", view.edges), ("outputs", view.outputs)):
        object.__setattr__(outline, name, value)
    return outline


def _is_ours(frame: Any) -> bool:
    """Return whether a frame is of this package, of a library, or of code that was generated."""
    file = frame.f_code.co_filename
    owner = str(frame.f_globals.get("__name__", PACKAGE)).partition(".")[0]
    return file.startswith(_OTHERS) or (file == "<string>" and owner == PACKAGE)


def _line() -> tuple[str, int] | None:
    """Return file and line of the innermost frame of a person's code."""
    frame: Any = sys._getframe(2)
    while frame is not None and _is_ours(frame):
        frame = frame.f_back
    return None if frame is None else (frame.f_code.co_filename, frame.f_lineno)
