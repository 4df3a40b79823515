"""The last steps of a loop: what is read last of an input shows what a mistake does at each step, in a short walk.

A loop reads its input piece by piece. Of what it reads last only the last step has made anything, so the gradient there
is that of a walk through that step alone, whatever a mistake does at the steps before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..mistakes import uses_of
from ..paths import Array, Edge, Traced, args_of, parents_of
from .mutants import Mutant

SHARE = 0.5  # of the operations, that a part of the graph may have to be worth a walk of its own


class LastSteps(NamedTuple):
    """A part of a graph: what comes of some entries of an input, and where each of its operations is in the whole."""

    part: Traced
    places: dict[int, int]
    number: int
    mask: Array

    def agrees(self, mutant: Mutant, mine: Array, tolerance: float) -> bool:
        """Whether a mistake gives a person's gradient of these entries, up to a factor."""
        parts = tuple((self.places[p], m) for p, m in mutant.parts if p in self.places)
        made = mutant._replace(parts=parts).walk(self.part)
        if made is None or made[self.number].shape != mine.shape:
            return False
        m, g = made[self.number][self.mask], mine[self.mask]
        size = float(np.abs(m).max(initial=0))
        if not size:
            return not g.any()
        s = float(m / size @ g) / float(m / size @ m)
        return bool(np.abs(g - s * m).max(initial=0) <= tolerance * max(np.abs(g).max(initial=0), abs(s) * size))


def last_steps(graph: Traced) -> Iterator[LastSteps]:
    """Yield the parts of a graph behind the last step of a loop, and behind the last three, of each input it reads."""
    uses = uses_of(graph)
    for number, leaf in enumerate(graph.inputs):
        edges = sorted(uses.get(leaf, ()))
        if len(edges) < 3 or not all(_reads(graph, edge) for edge in edges):
            continue
        read = []
        for place, _ in edges:
            mask = np.zeros(np.size(leaf.out), dtype=bool)
            node = graph.operations[place]
            slots = np.arange(np.size(leaf.out)).reshape(np.shape(leaf.out))
            mask[slots[node.meta["index"] if "index" in node.meta else args_of(node)[1]]] = True
            read.append(mask.reshape(np.shape(leaf.out)))
        for count in (1, 3):
            if len(edges) > count:
                mask = np.any(read[:count], axis=0) & ~np.any(read[count:], axis=0)
                part = _behind(graph, [place for place, _ in edges[:count]])
                if mask.any() and len(part) < SHARE * len(graph.operations):
                    trace = Traced(graph.outs, graph.inputs, [graph.operations[p] for p in part])
                    yield LastSteps(trace, {p: k for k, p in enumerate(part)}, number, mask)


def _reads(graph: Traced, edge: Edge) -> bool:
    node = graph.operations[edge[0]]
    return node.primitive is not None and node.primitive.name == "getitem" and edge[1] == 0


def _behind(graph: Traced, places: list[int]) -> list[int]:
    """Return the operations that what some operations make goes into, and these themselves."""
    reached = {graph.operations[place] for place in places}
    for node in reversed(graph.operations):
        if any(p in reached for p in parents_of(node)):
            reached.add(node)
    return [place for place, node in enumerate(graph.operations) if node in reached]
