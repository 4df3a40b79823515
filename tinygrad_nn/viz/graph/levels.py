"""The hierarchy of a graph, whose levels can be unfolded one by one: scopes, loops of equal steps, and stretches.

A large graph can be read like a table of contents. If the same operations are repeated many times, as in a recurrent
network, they form a loop with equal steps, of which one is shown. A long sequence without repetition is cut into
stretches, at places where few values are passed on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from ...graph.view import GraphView

SMALL = 100  # operations; in a graph of at most so many, only scopes are levels
EQUAL, LOOP = 3, 24  # a loop has at least so many steps, and in total so many operations
LONGEST, STRETCH = 48, 24  # a level of more than LONGEST parts is cut into stretches of about STRETCH parts
DATA = 24  # if a level has more inputs and constants, these form a level of their own


@dataclass(slots=True)
class Level:
    """One part of a graph that can be folded and unfolded.

    Attributes:
        kind: ``"whole"``, ``"scope"``, ``"loop"``, ``"step"`` (of a loop, if it has no scope of its own),
            ``"stretch"`` or ``"data"`` (many inputs and constants).
        label, path: its own name, and its name with those of the scopes around it.
        parent: the number of the level around it, -1 for the whole graph.
        children: the numbers of its nodes, and of its levels as ``~number``; the children of a loop are its steps.
        operations: the number of operations in it, including nested levels.
    """

    kind: str
    label: str
    path: str
    parent: int = -1
    children: list[int] = field(default_factory=list)
    operations: int = 0


AnyLevel = TypeVar("AnyLevel", bound=Level)


@dataclass(slots=True)
class Levels:
    """All levels, each before its children, and the level of each node."""

    levels: list[Level]
    home: list[int]


def scope_levels(view: GraphView, kind: type[AnyLevel]) -> list[AnyLevel]:
    """Return a level for each sequence of consecutive operations of one scope; the first is the whole graph.

    Args:
        view: the graph.
        kind: the class of the levels. Their children are operations and levels, without inputs and constants.
    """
    levels = [kind("whole", "", "")]
    open_levels = [0]
    for part in view:
        if part.operation is None:
            continue
        names = part.scope.split(".") if part.scope else []
        around = (levels[number].label for number in open_levels[1:])
        same = next((k for k, pair in enumerate(zip(names, around, strict=False)) if pair[0] != pair[1]),
                    min(len(names), len(open_levels) - 1))  # fmt: skip
        del open_levels[same + 1 :]
        for depth in range(same, len(names)):
            levels.append(kind("scope", names[depth], ".".join(names[: depth + 1]), open_levels[-1]))
            number = len(levels) - 1
            levels[open_levels[-1]].children.append(~number)
            open_levels.append(number)
        levels[open_levels[-1]].children.append(part.number)
        for number in open_levels:
            levels[number].operations += 1
    return levels


def enclosing(levels: Sequence[Level], number: int) -> list[int]:
    """Return a level and the levels around it, the outermost first."""
    chain = []
    while number >= 0:
        chain.append(number)
        number = levels[number].parent
    return chain[::-1]


def find_levels(view: GraphView, small: int = SMALL) -> Levels:
    """Return the levels of a graph; a graph of at most ``small`` operations has no loops and stretches.

    Example:
        >>> from tinygrad_nn import Tensor
        >>> x = y = Tensor(0.5, name="x")
        >>> for _ in range(100):
        ...     y = np.sin(y) * x
        >>> found = find_levels(GraphView(y))
        >>> [(level.kind, level.label, level.operations) for level in found.levels[:3]]
        [('whole', '', 200), ('loop', 'step × 100', 200), ('step', 'step 1', 2)]
    """
    return _LevelBuilder(view, small).levels()


class _LevelBuilder:
    """Builder of levels: a tree of scopes, in which loops are found bottom-up, then stretches are cut top-down."""

    def __init__(self, view: GraphView, small: int) -> None:
        self.view = view
        self.sources = view.operands()
        last = np.arange(len(view))
        for edge in view.edges:
            last[edge.source] = edge.target  # edges are in order of their targets
        living = np.zeros(len(view) + 1, int)
        for part in view:
            if part.operation is not None:
                living[part.number + 1] += 1
                living[min(last[part.number] + 1, len(view))] -= 1
        self.crossing = np.cumsum(living)  # values that are computed before a node and used by it or later
        self.tree = scope_levels(view, Level)
        self.descriptions: dict[tuple[object, ...], int] = {}
        self.alike: dict[int, int] = {}  # the same number for levels that look the same
        self.total = self.tree[0].operations
        if self.total > small:
            for number in reversed(range(len(self.tree))):  # inner levels first
                level = self.tree[number]
                level.children = self._loops(level.children)
                self.alike[number] = self._number_of((
                    "level",
                    _without_numbers(level.label),
                    *map(self._alike, level.children),
                ))
            place = 0
            self.place: dict[int, int] = {}
            for part in view:
                if part.operation is not None:
                    self.place[part.number] = place = place + 1
            for number in range(len(self.tree)):
                self._stretches(number)

    def _number_of(self, description: tuple[object, ...]) -> int:
        """Return a number that is the same for equal descriptions."""
        return self.descriptions.setdefault(description, len(self.descriptions))

    def _alike(self, child: int) -> int:
        """Return a number that is equal for operations, or levels, that look the same."""
        if child < 0:
            return self.alike[~child]
        part = self.view[child]
        metadata = _without_numbers(part.metadata) if part.metadata.startswith("index") else part.metadata
        return self._number_of((part.operation, metadata, part.shape, part.dtype, len(self.sources[child])))

    def _size(self, child: int) -> int:
        return 1 if child >= 0 else self.tree[~child].operations

    def _start(self, child: int) -> int:
        while child < 0:
            child = self.tree[~child].children[0]
        return child

    def _operations(self, children: Sequence[int]) -> Iterator[int]:
        """Yield the operations of nodes and levels, in order."""
        stack = list(reversed(children))
        while stack:
            child = stack.pop()
            if child >= 0:
                yield child
            else:
                stack += reversed(self.tree[~child].children)

    def _add(self, kind: str, label: str, path: str, children: list[int]) -> int:
        """Add a level and return it as a child."""
        self.tree.append(Level(kind, label, path, -1, children, sum(map(self._size, children))))
        return ~(len(self.tree) - 1)

    # -- Loops

    def _loops(self, children: list[int]) -> list[int]:
        """Return the children of a level with sequences of equal steps replaced by loops, the shortest steps first."""
        period = 1
        look = np.array([self._alike(child) for child in children])
        while period * EQUAL <= len(children):
            found = self._repeated(children, look, period)
            if not found:
                period += 1
                continue
            merged: list[int] = []
            at = 0
            for begin, steps in found:
                merged += children[at:begin]
                starts = range(begin, begin + steps * period, period)
                merged.append(self._loop([children[start : start + period] for start in starts]))
                at = begin + steps * period
            children = merged + children[at:]
            look = np.array([self._alike(child) for child in children])
            period = 1  # loops may be the equal steps of an outer loop
        return children

    def _repeated(self, children: list[int], look: np.ndarray, period: int) -> list[tuple[int, int]]:
        """Return start and number of steps of each sequence of equal steps with ``period`` children."""
        same = look[period:] == look[:-period]
        if np.count_nonzero(same) < period * (EQUAL - 1):
            return []
        ends = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]])))
        found: list[tuple[int, int]] = []
        for begin, end in zip(ends[::2].tolist(), ends[1::2].tolist(), strict=True):
            most = end - begin + period
            if most < period * EQUAL or (begin and found and begin < found[-1][0] + found[-1][1] * period):
                continue
            shifts = range(min(period, most - period * EQUAL + 1))  # a step may begin at any of the repeated operations
            shift = min(shifts, key=lambda k: (self.crossing[self._start(children[begin + period + k])], k))
            begin, steps = begin + shift, (most - shift) // period
            found += self._equal(children, begin, steps, period)
        return found

    def _equal(self, children: list[int], begin: int, steps: int, period: int) -> list[tuple[int, int]]:
        """Return the parts of a sequence whose steps also have equal connections inside."""
        found, since, before = [], 0, None
        for k in range(steps + 1):
            at = begin + k * period
            wires = self._wires(children[at : at + period]) if k < steps else None
            if k and wires != before:
                size = (k - since) * sum(map(self._size, children[begin : begin + period]))
                if k - since >= EQUAL and size >= LOOP:
                    found.append((begin + since * period, k - since))
                since = k
            before = wires
        return found

    def _wires(self, step: list[int]) -> list[int]:
        """Return, for each operand in a step, the index of the operation that computes it, or -1 if it is outside."""
        inside = {number: k for k, number in enumerate(self._operations(step))}
        return [inside.get(source, -1) for number in inside for source in self.sources[number]]

    def _loop(self, steps: list[list[int]]) -> int:
        """Make a loop of equal steps, and return it as a child; a step is an existing scope or becomes a new level."""
        children = []
        for k, step in enumerate(steps, 1):
            alone = len(step) == 1 and step[0] < 0 and self.tree[~step[0]].kind == "scope"
            children.append(step[0] if alone else self._add("step", f"step {k}", f"step {k}", step))
        ends = [self.tree[~children[k]].label for k in (0, -1)]
        name = " … ".join(dict.fromkeys(ends)) if not ends[0].startswith("step ") else "step"
        loop = self._add("loop", f"{name} × {len(steps)}", f"{name} × {len(steps)}", children)
        for child in children:
            if ~child not in self.alike:
                self.alike[~child] = self._number_of(("step", *map(self._alike, self.tree[~child].children)))
        self.alike[~loop] = self._number_of(("loop", len(steps), self.alike[~children[0]]))
        return loop

    # -- Stretches and data

    def _stretches(self, number: int) -> None:
        """Cut a level with too many children into stretches, repeatedly, at places where few values cross."""
        level = self.tree[number]
        if level.kind == "loop":
            return
        while len(level.children) > LONGEST:
            cut: list[int] = []
            children, at = level.children, 0
            while at < len(children):
                end = self._cut(children, at)
                part = children[at:end]
                first, last = next(self._operations(part)), self._last(part[-1])
                label = f"operations {self.place[first]:,} – {self.place[last]:,}"
                cut.append(self._add("stretch", label, label, part))
                at = end
            level.children = cut

    def _cut(self, children: list[int], at: int) -> int:
        """Return the end of the stretch that begins at ``at``: near the usual length, where few values cross."""
        if len(children) - at <= STRETCH * 7 // 4:
            return len(children) if len(children) - at <= STRETCH * 3 // 2 else at + STRETCH
        ends = range(at + STRETCH * 3 // 4, at + STRETCH * 5 // 4)
        return min(ends, key=lambda k: (self.crossing[self._start(children[k])], abs(k - at - STRETCH)))

    def _last(self, child: int) -> int:
        while child < 0:
            child = self.tree[~child].children[-1]
        return child

    def levels(self) -> Levels:
        """Return the levels in order, with inputs and constants in the level that uses them."""
        order = self._in_order()
        home = [0] * len(self.view)
        for number in order:
            for child in self.tree[number].children:
                if child >= 0:
                    home[child] = number
        depth = {0: 0}
        for number in order[1:]:
            depth[number] = depth[self.tree[number].parent] + 1
        inside: dict[int, int] = {}
        for edge in self.view.edges:
            if self.view[edge.source].operation is None:
                here = home[edge.target]
                inside[edge.source] = self._common(inside.get(edge.source, here), here, depth)
        data: dict[int, list[int]] = {}
        for part in self.view:
            if part.operation is None:
                place = inside.get(part.number, 0) if part.kind == "leaf" or part.name is None else 0
                if self.tree[place].kind == "loop":
                    place = self.tree[place].parent
                data.setdefault(place, []).append(part.number)
        for place, numbers in data.items():
            level = self.tree[place]
            if len(numbers) > DATA and self.total > SMALL:
                label = f"{len(numbers):,} inputs and constants"
                self.tree.append(Level("data", label, label, place, numbers))
                level.children.insert(0, ~(len(self.tree) - 1))
            else:
                level.children[:0] = numbers
        order = self._in_order()
        new = {number: k for k, number in enumerate(order)}
        levels = [self.tree[number] for number in order]
        for k, level in enumerate(levels):
            level.parent = new.get(level.parent, -1)
            level.children = [child if child >= 0 else ~new[~child] for child in level.children]
            if level.kind not in ("scope", "whole") and level.parent >= 0 and levels[level.parent].path:
                level.path = f"{levels[level.parent].path}.{level.label}"
            for child in level.children:
                if child >= 0:
                    home[child] = k
        return Levels(levels, home)

    def _in_order(self) -> list[int]:
        """Set the parents, and return the numbers of the levels, each before its children."""
        order, stack = [], [0]
        while stack:
            number = stack.pop()
            order.append(number)
            within = [~child for child in self.tree[number].children if child < 0]
            for child in within:
                self.tree[child].parent = number
            stack += reversed(within)
        return order

    def _common(self, a: int, b: int, depth: dict[int, int]) -> int:
        while a != b:
            if depth[a] >= depth[b]:
                a = self.tree[a].parent
            else:
                b = self.tree[b].parent
        return a


def _without_numbers(text: str) -> str:
    """Return a text with all numbers replaced by 0, so that ``block3`` and ``block4`` look the same."""
    return re.sub(r"\d+", "0", text)
