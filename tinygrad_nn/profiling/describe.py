"""Describe every operation of one run, which may be slow: its arrays, arithmetic, layer and line, and the graph."""

from __future__ import annotations

import site
import sys
import sysconfig
import tracemalloc
from dataclasses import dataclass, replace
from os import sep
from time import perf_counter_ns as clock
from typing import Any

import numpy as np

from ..common.call_site import NUMPY, PACKAGE
from ..graph.view import GraphView
from ..node import Node, thread
from ..tensor import Tensor, wrap
from . import costs
from .compiling import Graph
from .watch import BACK, CALLED, FORWARD, SUMMED, UPDATED, Event, Watch

_OTHERS = tuple({
    PACKAGE, NUMPY, "<frozen",
    *(sysconfig.get_path(name) + sep for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    *(place + sep for place in getattr(site, "getsitepackages", list)()),
})  # fmt: skip


NAME = __name__.partition(".")[0]
MOST = 2000  # operations; a larger graph is not kept for compiling
NOISE = 4096  # bytes; less temporary memory than this may be Python objects, not arrays


@dataclass(slots=True)
class EventDescription:
    """What an event did, and where it belongs: `line` called it, and `of` is the index of its forward's event."""

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
    """A Watch that also examines the arrays of each event.

    Attributes:
        seen: one `EventDescription` per event.
        view: the graph of the first backward walk, without the arrays of its results.
        numbers: the numbers of the view's nodes, by the index of the event that made each node.
        graph: the same graph as a function, if it has no more than 2,000 operations or `everything` is kept.
        sums: bytes read and written to add up gradients that arrive at the same value.
    """

    def __init__(self, everything: bool = False) -> None:
        super().__init__()
        self.everything = everything
        self.seen: list[EventDescription] = []
        self.view: GraphView | None = None
        self.numbers: dict[int, int] = {}
        self.graph: Graph | None = None
        self.sums = 0
        self._made: dict[int, tuple[Node, int]] = {}  # id of a result's array -> its Node, index of its event
        self._arrived: set[Node] = set()
        self._before: Any = thread.mode.inspect
        self._traces, self._open = not tracemalloc.is_tracing(), False  # do not disturb the user's own tracemalloc

    def begin(self) -> int:
        """Return the time at which an event begins, and start to track memory."""
        if self._traces and not self._open:
            tracemalloc.start()
            self._open = True
        return clock()

    @property
    def walked(self) -> bool:
        """Whether a backward walk was seen."""
        return any(event.kind == BACK for event in self.events)

    def close(self) -> None:
        """Stop tracking memory."""
        if self._open:
            tracemalloc.stop()
            self._open = False

    def inspect(self, node: Node, tensor: Tensor) -> Tensor:
        """Assign a new Node to the event that ended just now (a hook for every Node); return its Tensor."""
        tensor_before: Tensor = tensor if self._before is None else self._before(node, tensor)
        if self.events and self.events[-1].kind == FORWARD and node.primitive is not None:
            at = len(self.events) - 1
            if self.events[at].name == node.primitive.name and self.seen[at].of is None:
                self.seen[at].scope, self.seen[at].of = node.scope, at
                self._made[id(node.out)] = node, at
        return tensor_before

    def saw(self, event: Event, function: Any, call: tuple[Any, ...], meta: dict[str, Any], out: Any) -> None:
        """Record an event, and describe what it did."""
        peak = tracemalloc.get_traced_memory()[1] if self._open else 0
        self.close()
        super().saw(event, function, call, meta, out)
        found = EventDescription(event)
        self.seen.append(found)
        if event.kind == CALLED:
            found.line = _users_line()
        elif event.kind == UPDATED:  # a lower bound: parameters and gradients, not the optimizer's state
            found.line, found.written = _users_line(), costs.nbytes(t.data for t, *_ in call[0].entries)
            found.read, found.arrays = 2 * found.written, len(call[0].entries)
        elif event.kind == SUMMED:
            self._summed(found, call, out)
        elif event.kind == BACK and out is None:
            pass  # `Primitive.adds` leaves this gradient to the rule
        else:
            result = out[0] if event.kind == FORWARD and isinstance(out, tuple) else out
            args, new = call if event.kind == FORWARD else call[2:], costs.new_arrays(call, out)
            first = next(iter(costs.arrays_in([result])), None)
            if first is not None:
                found.dtype, found.shape = str(first.dtype), first.shape
            floats = [a.dtype for a in args if isinstance(a, np.ndarray) and a.dtype.kind in "fc"]
            found.mixed = any(dtype != floats[0] for dtype in floats)
            found.written, found.arrays = costs.nbytes(new), len(new)
            if event.kind == FORWARD:
                found.read = costs.bytes_read(event.name, call, meta, new)
                found.flops = costs.flops(event.name, call, meta, result, new)
                found.line = _users_line()
            else:
                found.read = costs.rule_bytes_read(function, event.name, event.slot, call, meta, new)
                found.flops = costs.flops_back(event.name, event.slot, call, meta, new)
                self._belongs(found, call[1], out)
                if len(call) > 2 and out is call[2]:  # a sum in place, of the entries of the cotangent alone
                    self.sums += 3 * (costs.nbytes(call[:1]) - costs.nbytes([out]))
        if peak - found.written > NOISE:
            found.temporary = peak - found.written

    def _belongs(self, entry: EventDescription, out: Any, gradients: Any) -> None:
        """Assign the event of a rule to its forward, and count the bytes of adding its gradients to earlier ones."""
        node, at = self._made.get(id(out), (None, -1))
        if node is None:
            return
        made, before = self.seen[at], self.seen[-2] if len(self.seen) > 1 else None
        entry.scope, entry.line, entry.of = made.scope, made.line, at
        if before is None or before.event.kind not in (BACK, SUMMED):
            self._arrived.clear()  # another walk begins, at this Node
        if self.view is None:
            self.keep_graph(wrap(node.out, node))
            if self.everything or len(self.numbers) <= MOST:
                self.graph = Graph(node)
        parents = node.parents or ()
        together = parents if isinstance(gradients, (list, tuple)) else ()
        for parent in together if entry.event.slot < 0 else (parents[entry.event.slot],):
            if parent is not None and parent in self._arrived:
                self.sums += 3 * int(np.asarray(parent.out).nbytes)
            elif parent is not None:
                self._arrived.add(parent)

    def _summed(self, entry: EventDescription, call: tuple[Any, ...], out: Any) -> None:
        """Describe a sum over broadcast axes, and assign it to the rule that ran before it."""
        g, made = call[0], self.seen[-2] if len(self.seen) > 1 else None
        new = costs.new_arrays([g], out)
        entry.read, entry.written, entry.arrays = costs.bytes_read("sum", [g], {}, new), costs.nbytes(new), len(new)
        entry.flops = int(np.size(g))
        entry.dtype, entry.shape = str(out.dtype), np.shape(out)
        if made is not None and made.event.kind == BACK:
            entry.scope, entry.line, entry.of = made.scope, made.line, made.of

    def keep_graph(self, result: Any) -> None:
        """Keep the graph of a result, without its arrays, and the numbers of its nodes by event."""
        view = GraphView(result)
        for part in view:
            node = part.node
            if node is not None and id(node.out) in self._made and self._made[id(node.out)][0] is node:
                self.numbers[self._made[id(node.out)][1]] = part.number
        self.view = _outline(view)


def _outline(view: GraphView) -> GraphView:
    """Return a graph with placeholders for the results of operations, which would keep all their memory alive."""
    nodes = (part if part.operation is None else
             replace(part, array=np.broadcast_to(np.zeros((), part.array.dtype), part.shape), grad_array=None)
             for part in view)  # fmt: skip
    return GraphView.made_of(nodes, view.edges, view.outputs)


def _is_ours(frame: Any) -> bool:
    """Return whether a frame runs code of this package, of a library, or generated code, that is, no user code."""
    file = frame.f_code.co_filename
    owner = str(frame.f_globals.get("__name__", NAME)).partition(".")[0]
    return file.startswith(_OTHERS) or (file == "<string>" and owner == NAME)


def _users_line() -> tuple[str, int] | None:
    """Return file and line of the innermost frame of user code, or None."""
    frame: Any = sys._getframe(2)
    while frame is not None and _is_ours(frame):
        frame = frame.f_back
    return None if frame is None else (frame.f_code.co_filename, frame.f_lineno)
