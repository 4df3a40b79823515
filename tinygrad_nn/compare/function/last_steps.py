"""Reject mistakes in a long loop cheaply: walk back through its last steps only, and compare what these read.

A loop reads its input piece by piece. The piece that it reads last is used by the last step only. So a walk back
through that step alone gives the gradient of that piece, whatever a mistake does at the steps before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..mistakes import uses_of
from ..paths import Array, Edge, Traced, args_of, dependents
from .mutants import Mutant

SHARE = 0.5  # a part of the graph with at least this share of the operations is not worth a walk of its own


class LastSteps(NamedTuple):
    """The part of a graph that depends on the entries `mask` of input `number`, which the last steps read.

    `places` maps the place of an operation in the whole graph to its place in the part.
    """

    part: Traced
    places: dict[int, int]
    number: int
    mask: Array

    def agrees(self, mutant: Mutant, user_gradient: Array, tolerance: float) -> bool:
        """Tell whether a mistake gives the user's gradient of these entries, up to a factor."""
        parts = tuple((self.places[p], m) for p, m in mutant.parts if p in self.places)
        mutant_gradients = mutant._replace(parts=parts).walk(self.part)
        if mutant_gradients is None or mutant_gradients[self.number].shape != user_gradient.shape:
            return False
        m, g = mutant_gradients[self.number][self.mask], user_gradient[self.mask]
        size = float(np.abs(m).max(initial=0))
        if not size:
            return not g.any()
        s = float(m / size @ g) / float(m / size @ m)
        return bool(np.abs(g - s * m).max(initial=0) <= tolerance * max(np.abs(g).max(initial=0), abs(s) * size))


def last_steps(graph: Traced) -> Iterator[LastSteps]:
    """Yield, for each input that a loop reads, the parts of the graph of its last step and of its last three steps."""
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
                part = _with_dependents(graph, [place for place, _ in edges[:count]])
                if mask.any() and len(part) < SHARE * len(graph.operations):
                    trace = Traced(graph.outs, graph.inputs, [graph.operations[p] for p in part])
                    yield LastSteps(trace, {p: k for k, p in enumerate(part)}, number, mask)


def _reads(graph: Traced, edge: Edge) -> bool:
    node = graph.operations[edge[0]]
    return node.primitive is not None and node.primitive.name == "getitem" and edge[1] == 0


def _with_dependents(graph: Traced, places: list[int]) -> list[int]:
    """Return the places of some operations and of all operations that depend on them."""
    first = [graph.operations[place] for place in places]
    reached = {*first, *dependents(graph.operations, first)}
    return [place for place, node in enumerate(graph.operations) if node in reached]
