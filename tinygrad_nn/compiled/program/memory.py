"""Assigns a buffer to every value of a program; a buffer is reused after the last read of the value in it.

Buffers are allocated once, when the plan is made, so that a call allocates no memory for intermediate results. A value
is alive from the operation that makes it to the last operation that reads it. Two values that are alive at the same
time never overlap, except if an elementwise operation writes its result over an argument that it reads for the last
time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .values import VIEWS, Op, Value

ALIGN = 64
APART = frozenset({np.sign})  # ten times slower in NumPy if the result is written over the argument
Array = np.ndarray[Any, Any]


class Memory:
    """The buffers of a plan.

    Attributes:
        slabs: the sizes of the buffers in bytes.
        starts: where each begins in the one array of `bytes` bytes that holds them all.
        place: value -> number of its buffer.
        owner: a view -> the value whose memory it is a view of.
        strided: views that are not C-contiguous.
        last: value -> the number of the operation that reads it last.
        born: value -> the number of the operation that makes it.
        outside: the outputs, which lie in arrays of their own, not in buffers.
        onto: an output -> the donated argument that it is written over.
        target: an intermediate value -> the output in whose array it is made.
    """

    def __init__(self, ops: list[Op], outside: set[Value], donated: list[Value]) -> None:
        self.slabs: list[int] = []
        self.place: dict[Value, int] = {}
        self.owner: dict[Value, Value] = {}
        self.strided: set[Value] = set()
        self.last: dict[Value, int] = {}
        self.born: dict[Value, int] = {}
        self.outside = outside
        self.onto: dict[Value, Value] = {}
        self.target: dict[Value, Value] = {}
        for op in ops:
            self._note_view(op)
        for number, op in enumerate(ops):
            for arg in op.values:
                self.last[self.root(arg)] = number
            self.born.update(dict.fromkeys(op.outs, number))
        for value in outside:
            if value in self.owner:
                self.last[self.root(value)] = len(ops)  # a view that is returned is copied at the end
        self._donate(ops, donated)
        self._aim(ops)
        self._assign(ops)

    def root(self, value: Value) -> Value:
        """Return the value that a view is a view of; any other value itself."""
        return self.owner.get(value, value)

    def _note_view(self, op: Op) -> None:
        """Note the owner of a result that is a view, and whether the view is still C-contiguous."""
        if op.kind not in VIEWS:
            return
        x, out = op.args[0], op.out
        if op.kind == "reshape" and x in self.strided:
            return  # such a reshape copies
        self.owner[out] = self.root(x)
        if op.kind == "reshape":
            return
        if op.kind == "slice" and x not in self.strided and _takes_whole_rows(op):
            return
        if sum(n > 1 for n in out.shape) > 1 or op.kind in ("broadcast", "slice"):
            self.strided.add(out)

    def _donate(self, ops: list[Op], donated: list[Value]) -> None:
        """Choose for each output a donated argument to write it over: no longer read, or read elementwise here."""
        left = list(donated)
        for number, op in enumerate(ops):
            for out in op.outs:
                if out not in self.outside or not self.stored(op) or out in self.owner:
                    continue
                for x in left:
                    if x.shape == out.shape and x.dtype == out.dtype and self._over(op, number, x, out):
                        self.onto[out] = x
                        left.remove(x)
                        break

    def _over(self, op: Op, number: int, x: Value, out: Value) -> bool:
        """Tell whether operation `number` may write its result `out` over the value `x`."""
        last = self.last.get(x, -1)
        return last < number or (last == number and self._entrywise(op, x, out))

    def _entrywise(self, op: Op, x: Value, out: Value) -> bool:
        """Tell whether an operation is elementwise in `x`: an entry of `out` depends on the same entry of `x` only."""
        if op.kind == "kernel":
            return bool(op.function.over(x, out))
        if op.function in APART:
            return False
        if op.kind == "native":
            over = op.function.over
            return over >= 0 and op.args[over] is x and [self.root(a) for a in op.values].count(x) == 1
        candidates = {"ufunc": op.args, "where": op.args[2:]}.get(op.kind, [])
        reads = sum(self.root(a) is x for a in op.values)
        return reads == sum(a is x for a in candidates) and x.shape == out.shape

    def _aim(self, ops: list[Op]) -> None:
        """Let a value that is only turned elementwise into an output be computed in the output's array already."""
        seen = set(self.owner.values())
        for number in range(len(ops) - 1, -1, -1):
            op = ops[number]
            if op.kind not in ("ufunc", "where") or op.out in self.owner:
                continue
            end = self.target.get(op.out, op.out)
            if end not in self.outside:
                continue
            for x in op.values:
                if (
                    x in self.born and x not in self.outside and x not in self.owner and x not in seen
                    and x not in self.target and self.last[x] == number and self.stored(ops[self.born[x]])
                    and x.dtype == end.dtype and self._entrywise(op, x, op.out)  # checks the shape too
                    and (end not in self.onto or self._over(ops[self.born[x]], self.born[x], self.onto[end], x))
                ):  # fmt: skip
                    self.target[x] = end
                    break

    def _assign(self, ops: list[Op]) -> None:
        """Give each value a buffer while it is alive: a new one, or that of an argument whose last read makes it."""
        spans: list[tuple[int, int]] = []
        dying: dict[int, list[Value]] = {}
        for value, number in self.last.items():
            dying.setdefault(number, []).append(value)
        for number, op in enumerate(ops):
            dead = [v for v in dying.get(number, ()) if v in self.place]
            for out in op.outs:
                if out in self.owner or out in self.outside or out in self.target or not self.stored(op):
                    continue
                heir = self._heir(op, out, dead)
                end = self.last.get(out, number)
                if heir is not None:
                    dead.remove(heir)
                    self.place[out] = self.place[heir]
                    spans[self.place[out]] = spans[self.place[out]][0], end
                else:
                    self.place[out] = len(spans)
                    spans.append((number, end))
                    self.slabs.append(out.nbytes)
        self.starts, self.bytes = place_intervals(spans, self.slabs)

    @staticmethod
    def stored(op: Op) -> bool:
        """Tell whether an operation writes its result into an array that we give it; others return a new one."""
        return op.kind not in ("number", "draw", "call", "scalar")

    def _heir(self, op: Op, out: Value, dead: list[Value]) -> Value | None:
        """Return an argument, read here for the last time, whose buffer the result may overwrite, or None."""
        for x in dead:
            if x.shape == out.shape and x.dtype == out.dtype and self._entrywise(op, x, out):
                return x
        return None

    def allocate(self) -> list[Array]:
        """Allocate one array and return the buffers, which are parts of it, aligned to cache lines."""
        self.whole: Array = np.empty(self.bytes + ALIGN, np.uint8)
        first = -self.whole.ctypes.data % ALIGN
        return [self.whole[first + start :][:nbytes] for start, nbytes in zip(self.starts, self.slabs, strict=True)]


def place_intervals(spans: list[tuple[int, int]], sizes: list[int]) -> tuple[list[int], int]:
    """Place buffers in one array so that those in use at the same time do not overlap, the largest first.

    Args:
        spans: for each buffer the numbers of the first and the last operation that use it.
        sizes: for each buffer its size in bytes.

    Returns:
        the first byte of each buffer, a multiple of `ALIGN`, and the number of bytes of the whole array.

    Example:
        >>> place_intervals([(0, 1), (1, 2), (2, 3)], [64, 256, 128])  # the first is over when the last begins
        ([256, 0, 256], 384)
    """
    births, deaths = (np.array([span[k] for span in spans], np.int32) for k in (0, 1))
    rooms = np.array([-(-size // ALIGN) for size in sizes], int)
    starts = np.zeros(len(sizes), int)
    places, times = np.zeros((2, len(sizes)), int), np.zeros((2, len(sizes)), np.int32)
    for n, k in enumerate(np.argsort(-rooms, kind="stable").tolist()):
        (first, after), (birth, death) = places[:, :n], times[:, :n]  # of the buffers placed so far, by place
        others = np.flatnonzero((birth <= deaths[k]) & (death >= births[k]))
        ends = np.concatenate([[0], np.maximum.accumulate(after[others])])
        fits = np.flatnonzero(first[others] - ends[:-1] >= rooms[k])
        starts[k] = start = ends[fits[0]] if len(fits) else ends[-1]
        at = int(first.searchsorted(start, "right"))
        for table, entry in ((places, (start, start + rooms[k])), (times, (births[k], deaths[k]))):
            table[:, at + 1 : n + 1] = table[:, at:n]
            table[:, at] = entry
    starts *= ALIGN
    return starts.tolist(), int((starts + np.array(sizes, int)).max(initial=0))


def _takes_whole_rows(op: Op) -> bool:
    """Tell whether a slice takes adjacent whole rows along the first axis, so that the result is contiguous."""
    parts = op.attrs[0]
    first, rest = parts[:1], parts[1:]
    whole = all(p in (None, Ellipsis) or p == ("slice", None, None, None) for p in rest)
    return whole and all(p in (Ellipsis, None) or isinstance(p, int) or p[3] in (None, 1) for p in first)


def view_of(op: Op, x: Array) -> Array:
    """Return the view of an array that a view operation makes."""
    from ..trace.operations import thawed

    if op.kind == "reshape":
        return x.reshape(op.attrs[0])
    if op.kind == "transpose":
        return x.transpose(op.attrs[0])
    if op.kind == "broadcast":
        return np.broadcast_to(x, op.attrs[0])
    view: Array = x[whole_index(thawed(op.attrs[0]))]
    return view


def whole_index(index: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return an index, with an Ellipsis added, so that NumPy returns a view even for a single entry."""
    return index if any(part is Ellipsis for part in index) else (*index, ...)
