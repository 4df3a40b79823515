"""A kernel: a group of operations as one function of loops over arrays, in plain Python that numba compiles.

A value that the group makes is stored in an array or, if only one operation of the same shape uses it, computed inside
the loop of that operation. Views cost nothing: reading a view is reading its base at another index. Loops over the same
number of rows become one loop if each reads only rows that exist already, so that a row is used while it is in the
cache.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..program.values import VIEWS, Op, Value, viewed_value
from .expressions import ELEMENTWISE, ENTRYWISE, code_of
from .lengths import NOTHING, Length, Lengths, giving_shapes
from .loops import AXES, DEEP, Loops, ParallelLoop, loop_shape


class Kernel:
    """A group of operations as one function.

    Attributes:
        args: the arrays and numbers that it reads.
        outs: the arrays that it writes: first the results that are needed outside, then one array for each dtype that
            holds all other stored values.
        batch: the length of the batch, if the kernel takes it as an argument.
        shapes: the shapes of values that have a batch axis.
        axes: arrays with more axes than this are flattened first; known once the source is written.
    """

    __name__ = "kernel"
    axes = DEEP

    def __init__(self, group: Sequence[Op], outside: Sequence[Value], lengths: Lengths) -> None:
        self.ops = list(group)
        self.shapes = {value: lengths.shapes[value] for value in _all_values(group) if value in lengths.shapes}
        self.lengths = lengths if self.shapes else NOTHING
        self.batch = next((n.batch for shape in self.shapes.values() for n in shape if isinstance(n, Length)), None)
        self.producers = {out: op for op in group for out in op.outs}
        self.stored = _stored(self.ops, set(outside))
        self.scratch: dict[Value, tuple[Value, int]] = {}  # value not needed outside -> shared array, and start in it
        pools: dict[str, Value] = {}
        ends: dict[Value, int] = {}
        with giving_shapes(self.shapes):
            for value in self.stored:
                if value not in outside:
                    pool = pools.setdefault(code_of(value.dtype), Value(-1, "made", (0,), value.dtype))
                    self.scratch[value] = pool, ends.get(pool, 0)
                    ends[pool] = ends.get(pool, 0) + value.size
                    pool.shape = (int(ends[pool]),)
        self.outs = [*outside, *pools.values()]
        reads = [viewed_value(arg) for op in self.ops if op.kind not in VIEWS for arg in op.values]
        self.args = list(dict.fromkeys(x for x in reads if x not in self.producers))
        self.draft: tuple[dict[Value, str], int, list[str | ParallelLoop]] | None = None  # lines written by `length`

    def over(self, x: Value, out: Value) -> bool:
        """Tell whether a result may overwrite an argument: each read comes earlier, or reads the entry written then."""
        if out in self.scratch or out not in self.producers:
            return False
        place = {value: k for k, value in enumerate(self.stored)}
        home = {value: place[stored] for value, stored in self._homes().items()}
        for op in self.ops:
            for arg in op.values if op.kind not in VIEWS else ():
                if viewed_value(arg) is not x or home[op.out] < place[out]:
                    continue
                same = arg is x and op.kind in ELEMENTWISE and op.out.shape == out.shape
                if home[op.out] > place[out] or not same:
                    return False
        return self.producers[out].kind in ELEMENTWISE

    def source(self, names: dict[Value, str], threads: int = 1) -> list[str | ParallelLoop]:
        """Return the lines of the body, with the given names of arrays; equal names are the same array."""
        if self.draft is not None and self.draft[:2] == (names, threads):
            lines, self.draft = self.draft[2], None
            return lines
        has_deep = any(len(value.shape) > AXES for value in names)  # else both forms are the same
        with giving_shapes(self.shapes):
            for self.axes in (AXES, DEEP) if has_deep else (DEEP,):
                loops = Loops(self.producers, self.stored, self.scratch, names, threads, self.lengths, self.axes)
                lines = loops.all(self._order(names))
                if loops.few:
                    break
            return lines

    def length(self, threads: int = 1) -> int:
        """Return the number of lines of its body; those for so many threads are kept for the next call of `source`."""
        names = {value: f"a{k}" for k, value in enumerate([*self.args, *self.outs])}
        lines = self.source(names, threads)
        if any(isinstance(line, ParallelLoop) for line in lines):
            return len(self.source(names))
        self.draft = names, threads, lines
        return len(lines)

    def _homes(self) -> dict[Value, Value]:
        """Return for each value made here the stored value whose loop computes it."""
        home = {value: value for value in self.stored}
        for op in reversed(self.ops):
            for arg in op.values:
                producer = self.producers.get(arg)
                if op.out in home and producer is not None and arg not in home and producer.kind not in VIEWS:
                    home[arg] = home[op.out]
        return home

    def _order(self, names: dict[Value, str]) -> list[Value]:
        """Return the stored values in an order in which loops over the same rows follow each other."""
        required: dict[Value, set[Value]] = {}
        dependencies: dict[Value, set[Value]] = {}  # value -> the stored values that it is computed from
        for op in self.ops:
            found: set[Value] = set()
            for arg in op.values:
                found |= {arg} if arg in self.stored else dependencies.get(arg, set())
            dependencies[op.out] = required[op.out] = found
        home = self._homes()
        over = {names[value]: value for value in self.stored if value not in self.scratch}
        for op in self.ops:  # all reads of an array come before the result that overwrites it
            for arg in op.values if op.kind not in VIEWS else ():
                x = viewed_value(arg)
                if x not in self.producers and names[x] in over and home[op.out] is not over[names[x]]:
                    required[over[names[x]]] = required[over[names[x]]] | {home[op.out]}
        left, order, rows = list(self.stored), [], -1
        placed: set[Value] = set()
        while left:
            ready = [v for v in left if required[v] <= placed]
            value = next((v for v in ready if _row_count(self.producers[v]) == rows), ready[0])
            rows = _row_count(self.producers[value])
            left.remove(value)
            placed.add(value)
            order.append(value)
        return order


def _all_values(group: Sequence[Op]) -> set[Value]:
    """Return all values of a group, and the bases of all views among them."""
    found: set[Value] = set()
    left = [x for op in group for x in (*op.values, *op.outs)]
    while left:
        value = left.pop()
        if value not in found:
            found.add(value)
            left += value.op.values if value.op is not None and value.op.kind in VIEWS else []
    return found


def _stored(ops: list[Op], outside: set[Value]) -> list[Value]:
    """Return the values that are stored in arrays, in the order in which they are made."""
    uses: dict[Value, list[tuple[Op, bool]]] = {}
    for op in ops:
        if op.kind not in VIEWS:
            for arg in op.values:
                uses.setdefault(viewed_value(arg), []).append((op, viewed_value(arg) is arg))
    stored = []
    for op in ops:
        if op.kind in VIEWS:
            continue
        value, users = op.out, uses.get(op.out, [])
        alone = (
            op.kind in ENTRYWISE
            and len({id(user) for user, _ in users}) == 1
            and all(direct for _, direct in users)
            and _reads_in_order(users[0][0], value)
        )
        if value in outside or not alone:
            stored.append(value)
    return stored


def _reads_in_order(op: Op, x: Value) -> bool:
    """Tell whether an operation's loop reads each entry of an argument once, at the loop's own index."""
    if op.kind == "join":
        return op.args.count(x) == 1
    if op.kind == "scatter":
        return op.args[0] is x and op.args.count(x) == 1
    return op.kind in (*ELEMENTWISE, "reduce", "vdot") and loop_shape(op) == x.shape


def _row_count(op: Op) -> int:
    """Return how many rows an operation's outer loop goes through."""
    shape = op.out.shape if op.kind == "matmul" else loop_shape(op)
    return next((n for n in shape[:1] if n > 1), 1)
