"""Folding a graph that is too large to draw: of each loop one step is shown, and other parts become single nodes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...graph.view import GraphEdge, GraphNode, GraphView
from .levels import Level, Levels, enclosing, find_levels

MOST, ARROWS = 300, 600  # nodes and edges of the largest graph that is drawn without folding
READ = 90  # approximate number of nodes of a folded graph
COUNTED = "{0:,} operation{1}"


@dataclass(frozen=True, slots=True)
class Folded:
    """A folded graph.

    Attributes:
        view: the folded graph; a node of kind ``"fold"`` replaces several nodes.
        number: for each node of the whole graph, the number of its node in `view`.
        edge: for each edge of the whole graph, its index in `view`, or -1 inside a folded part.
        note: a sentence that says what was folded.
    """

    view: GraphView
    number: tuple[int, ...]
    edge: tuple[int, ...]
    note: str

    def is_unfolded(self, number: int) -> bool:
        """Return whether a node of the whole graph is shown as itself, not folded."""
        return self.view[self.number[number]].kind != "fold"


def fold(view: GraphView, read: int = READ, small: int | None = None) -> Folded:
    """Fold a graph to about ``read`` nodes.

    Args:
        view: the whole graph.
        read: number of nodes that can still be read.
        small: in a graph of at most so many operations only scopes are folded; by default that of `find_levels`.

    Example:
        >>> import numpy as np
        >>> from tinygrad_nn import Tensor
        >>> y = x = Tensor(0.5, name="x")
        >>> for _ in range(500):
        ...     y = np.sin(y) * x + 0.1
        >>> found = fold(GraphView(y))
        >>> [node.name or node.operation for node in found.view]
        ['x', 'sin', 'multiply', None, 'add', '499 steps after']
        >>> print(found.note)
        1,500 operations are shown as 6 parts: a loop of 500 equal steps by its first.
    """
    levels = find_levels(view) if small is None else find_levels(view, small)
    failed = [part.number for part in view if part.kind == "failed"]
    # Failures stay visible.
    kept = {level for number in failed for level in enclosing(levels.levels, levels.home[number])}
    return _Folding(view, levels, _open_levels(levels, read, kept)).folded()


def _open_levels(tree: Levels, read: int, kept: set[int]) -> set[int]:
    """Return the levels that stay open: the kept ones, then the outermost ones as long as there is room."""
    levels = tree.levels
    size = [2 if level.kind == "loop" else len(level.children) for level in levels]
    shown, parts, waiting = {0}, size[0] + sum(size[number] for number in kept - {0}), [0]
    while waiting:
        number = waiting.pop(0)
        inner = [~child for child in levels[number].children if child < 0]
        if levels[number].kind == "loop":
            inner = [child for child in inner if child in kept][:1] or inner[:1]
        for child in inner:
            if child in kept:
                shown.add(child)
                waiting.append(child)
            elif levels[child].kind != "data" and parts + size[child] - 1 <= read:
                shown.add(child)
                parts += size[child] - 1
                waiting.append(child)
    return shown


class _Folding:
    """Builder of a folded graph."""

    def __init__(self, view: GraphView, tree: Levels, open_levels: set[int]) -> None:
        self.view, self.tree, self.open_levels = view, tree, open_levels
        levels = tree.levels
        self.standing: list[tuple[str, int] | None] = [None] * len(levels)  # the part that replaces a hidden level
        turned = {levels[number].parent: number for number in open_levels - {0}
                  if levels[levels[number].parent].kind == "loop"}  # loop -> its visible step
        for number, level in enumerate(levels[1:], 1):
            if self.standing[level.parent] is not None:
                self.standing[number] = self.standing[level.parent]
            elif number not in open_levels and level.parent in turned:
                self.standing[number] = ("before" if number < turned[level.parent] else "after", level.parent)
            elif number not in open_levels:
                self.standing[number] = ("folded", number)

    def folded(self) -> Folded:
        view = self.view
        last: dict[tuple[str, int], int] = {}  # the latest node in each part
        for part in view:
            key = self._key(part.number)
            last[key] = part.number
        order = sorted(last, key=lambda key: last[key])  # so that a part comes after its inputs
        new = {key: number for number, key in enumerate(order)}
        number = tuple(new[self._key(part.number)] for part in view)
        nodes = [self._node(new[key], key, last[key]) for key in order]
        joined = []  # one edge between two parts if one of them is folded; else one for each operand
        for edge in view.edges:
            source, target = number[edge.source], number[edge.target]
            many = "fold" in (nodes[source].kind, nodes[target].kind)
            joined.append((source, target, -1 if many else edge.slot))
        slots: dict[int, int] = {}
        places: dict[tuple[int, int, int], int] = {}
        edges: list[GraphEdge] = []
        for wire in sorted(dict.fromkeys(joined), key=lambda wire: wire[1]):
            source, target, _ = wire
            if source != target:
                slots[target] = slots.get(target, -1) + 1
                places[wire] = len(edges)
                edges.append(GraphEdge(source, target, slots[target]))
        small = GraphView.made_of(nodes, edges, dict.fromkeys(number[output] for output in view.outputs))
        return Folded(small, number, tuple(places.get(wire, -1) for wire in joined), self._note(len(nodes)))

    def _key(self, number: int) -> tuple[str, int]:
        return self.standing[self.tree.home[number]] or ("node", number)

    def _node(self, number: int, key: tuple[str, int], last: int) -> GraphNode:
        """Return the node of a part, in the scope of the level around it."""
        kind, place = key
        levels = self.tree.levels
        if kind == "node":
            part = self.view[place]
            return replace(part, number=number, scope=self._scope(self.tree.home[place]) if part.operation else None)
        level = levels[place]
        if kind in ("before", "after"):
            hidden = [~child for child in level.children if self.standing[~child] == key]
            operations = sum(levels[child].operations for child in hidden)
            name, around = f"{len(hidden):,} step{'' if len(hidden) == 1 else 's'} {kind}", place
        else:
            name, operations, around = level.label, level.operations, level.parent
        said = COUNTED.format(operations, "" if operations == 1 else "s") if operations else None
        part = self.view[last]
        return replace(
            part, number=number, kind="fold", name=name, operation=said, scope=self._scope(around) if said else None,
            tex=None, rules=(), metadata="", grad=None, grad_array=None, line=None, origin=None,
        )  # fmt: skip

    def _scope(self, number: int) -> str | None:
        """Return the path of a level as a scope; a loop and its step share a box."""
        names = [level.label for level in map(self.tree.levels.__getitem__, enclosing(self.tree.levels, number)[1:])
                 if level.kind != "step"]  # fmt: skip
        return ".".join(name.replace(".", "·") for name in names) or None

    def _note(self, parts: int) -> str:
        levels = self.tree.levels
        loops = [level for number, level in enumerate(levels) if level.kind == "loop" and self._visible(number, level)]
        operations = levels[0].operations
        said = f"{operations:,} operations are shown as {parts:,} parts"
        if len(loops) == 1:
            said += f": a loop of {len(loops[0].children):,} equal steps by its first"
        elif loops:
            said += f": {len(loops)} loops of equal steps by the first step of each"
        return f"{said}."

    def _visible(self, number: int, level: Level) -> bool:
        return number in self.open_levels and self.standing[number] is None and bool(level.children)
