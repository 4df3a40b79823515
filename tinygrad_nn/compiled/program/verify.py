"""Proves for each new plan that no operation reads memory that was not written, or was overwritten, before.

It goes through the operations in order and keeps track of which value each part of the memory holds at that moment.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import numpy as np

from ..trace.nodes import Untraceable
from .memory import Memory
from .values import Op, Value


class MemoryContents:
    """Keeps track of which value each part of a plan's memory holds.

    A place is a buffer, an argument that is overwritten, or the array of an output. Buffers may overlap.
    """

    def __init__(self, writer: Any) -> None:
        self.memory: Memory = writer.memory
        self.standing: dict[Value, Any] = writer.standing
        self.buffers: dict[int, Value] = {}  # first byte -> the value in the buffers that starts there
        self.starts: list[int] = []  # these first bytes, sorted; no two values overlap
        self.others: dict[Value, Value] = {}  # argument or output -> the value that its array holds
        self.free: set[Value] = set()  # values in new arrays, which nothing overwrites

    def place(self, value: Value) -> tuple[int, int] | Value:
        """Return where a value is stored: a range of bytes in the buffers, or an argument or output."""
        end = self.memory.target.get(value, value)
        if end in self.memory.onto:
            return self.memory.onto[end]
        if end in self.memory.place:
            start = self.memory.starts[self.memory.place[end]]
            return start, start + value.nbytes
        return end

    def write(self, value: Value) -> None:
        """Note that a value is written to its place; all values that overlap it are gone."""
        place = self.place(value)
        if isinstance(place, Value):
            self.others[place] = value
            return
        first, last = place
        if first == last:
            return
        at = bisect_left(self.starts, first)
        if at and self.starts[at - 1] + self.buffers[self.starts[at - 1]].nbytes > first:
            at -= 1
        end = bisect_left(self.starts, last)
        for start in self.starts[at:end]:
            del self.buffers[start]
        self.starts[at:end] = [first]
        self.buffers[first] = value

    def holds(self, value: Value) -> bool:
        """Tell whether the place of a value still holds all of it."""
        if value in self.free:
            return True
        place = self.place(value)
        if isinstance(place, Value):
            return self.others.get(place) is value or (value.op is None and place not in self.others)
        return self.buffers.get(place[0]) is value or value.nbytes == 0

    def inside(self, value: Value) -> bool:
        """Tell whether a view that is made once for all calls lies within the memory of the array it is a view of."""
        root = self.memory.root(value)
        if value is root or value not in self.standing or value.size == 0:
            return True
        (low, high), (first, last) = (np.lib.array_utils.byte_bounds(self.standing[x]) for x in (value, root))
        return bool(first <= low and high <= last)


def check_memory(writer: Any) -> None:
    """Raise if an operation reads, or the plan returns, a value that its memory does not hold at that moment.

    Args:
        writer: the `Writer` of a plan, after it has written the source.

    Raises:
        Untraceable: the message names the operation.
    """
    tenants = MemoryContents(writer)
    for op in writer.program.ops:
        for arg in op.values:
            _check_read(tenants, arg, op.name)
        if op.out in tenants.memory.owner:  # a view
            continue
        for out in op.outs:
            if Memory.stored(op):
                _check_overwrite(tenants, op, out)
                tenants.write(out)
            else:
                tenants.free.add(out)
    for value in writer.program.outputs:
        if isinstance(value, Value):
            _check_read(tenants, value, "what is returned")


def _check_read(tenants: MemoryContents, arg: Value, name: str) -> None:
    root = tenants.memory.root(arg)
    if root.kind == "constant" or (tenants.holds(root) and tenants.inside(arg)):
        return
    raise Untraceable(
        f"{name} would read {root.dtype}{list(root.shape)} where it is not, or no longer. That is a bug in the "
        "compiler; please report it with this function."
    )


def _check_overwrite(tenants: MemoryContents, op: Op, out: Value) -> None:
    """Raise if an operation writes over an argument that it reads not only elementwise."""
    place = tenants.place(out)
    for arg in op.values:
        root = tenants.memory.root(arg)
        if root.kind == "constant" or root in tenants.free or root.weak:
            continue
        other = tenants.place(root)
        if isinstance(place, Value) or isinstance(other, Value):
            over = place is other
        else:
            over = place[0] < other[1] and other[0] < place[1]
        if over and not tenants.memory._entrywise(op, root, out):
            raise Untraceable(
                f"{op.name} would write over what it reads. That is a bug in the compiler; please report it with this "
                "function."
            )
