"""Enumerate the mistakes that can be made in a graph, at one operation or at several alike ones, as walks to try.

A `Mutant` walks back through the graph with its mistake in it, and returns the gradients that follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ...graph.walk import as_argument
from ...node import Node
from ..mistakes import (
    FURTHER,
    Mistake,
    Site,
    argument_name,
    cut,
    differentiated_arguments,
    is_computed_from,
    kept_alone,
    mistakes_at,
    uses_of,
    value_name,
    why_lost,
)
from ..paths import Array, Change, Edge, Slots, Traced, args_of, gradients, name_of, parents_of, rerun_nodes

MANY = 4000  # the most operations at which mistakes are tried, in the order of the walk
ERRORS = (ValueError, IndexError, TypeError, KeyError, ZeroDivisionError, np.linalg.LinAlgError)
Remake = Callable[[Traced, int], Node]  # (graph, place) -> the operation with another result


class Mutant(NamedTuple):
    """A mistake at one place, or at several together.

    Attributes:
        kind, text, cost, linear: those of the mistake.
        parts: each place with the mistake that is made there.
        times: how often it is made, if it is in a line that ran several times.
        remake: for a mistake in a value that the backward computes again: returns the operation with that value.
    """

    kind: str
    text: str
    parts: tuple[tuple[int, Mistake], ...]
    cost: float = 1.0
    linear: bool = False
    times: int = 1
    remake: Remake | None = None

    @property
    def place(self) -> int:
        """The place at which it is made first on the way back."""
        return self.parts[0][0]

    @property
    def slot(self) -> int | None:
        """The position of the argument whose gradient is wrong, or None for all."""
        return self.parts[0][1].slot

    @property
    def is_unsummed(self) -> bool:
        """Whether a gradient is left in the shape of the result of its operation, without the sum over a broadcast."""
        return any(m.is_unsummed for _, m in self.parts)

    def walk(self, graph: Traced) -> list[Array] | None:
        """Return the gradients of the inputs with this mistake; None if it cannot be made in this graph."""
        if self.remake is not None:
            return _gradients_with(self.remake, graph, self.place)
        mistakes_at_place: dict[int, list[Mistake]] = {}
        for place, mistake in self.parts:
            mistakes_at_place.setdefault(place, []).append(mistake)
        changes = {place: _change(graph, place, mistakes) for place, mistakes in mistakes_at_place.items()}
        unsummed = frozenset((p, m.slot) for p, m in self.parts if m.is_unsummed and m.slot is not None)
        try:
            return gradients(graph, changes, unsummed)
        except ERRORS:
            return None


def _gradients_with(remake: Remake, graph: Traced, place: int) -> list[Array] | None:
    """Return the gradients of the inputs if an operation has another result, so that all that follows has others."""
    if place >= len(graph.operations):
        return None
    try:
        with np.errstate(all="ignore"):
            twins = rerun_nodes(graph.operations, {graph.operations[place]: remake(graph, place)})
    except ERRORS:
        return None
    outs = [(twins.get(node, node), g) for node, g in graph.outs]
    return gradients(Traced(outs, graph.inputs, [twins.get(node, node) for node in graph.operations]))


def _change(graph: Traced, place: int, mistakes: list[Mistake]) -> Change:
    def change(node: Node, g: Array, slots: Slots) -> Slots:
        for mistake in mistakes:
            slots = mistake.at(Site(graph, place, g, slots))
        return slots

    return change


def local_mutants(graph: Traced, place: int, mistake: Mistake, g: Array, slots: Slots) -> list[Array | None] | None:
    """Return what a mistake adds to the gradients of the arguments of an operation; None if it cannot be made."""
    node = graph.operations[place]
    try:
        new_slots = mistake.at(Site(graph, place, g, slots))
        added: list[Array | None] = []
        for parent, arg, old, new in zip(parents_of(node), args_of(node), slots, new_slots, strict=True):
            if parent is None or old is None or new is old:
                added.append(None)
                continue
            before = as_argument(np.asarray(old), np.asarray(arg))
            added.append(-before if new is None else as_argument(np.asarray(new), np.asarray(arg)) - before)
    except ERRORS:
        return None
    return added


def single_mutants(graph: Traced) -> Iterator[Mutant]:
    """Yield the mistakes that can be made at one operation, those nearest the loss first."""
    for place, node in enumerate(graph.operations[:MANY]):
        slots = differentiated_arguments(node)
        for mistake in mistakes_at(graph, place):
            yield Mutant(mistake.kind, mistake.text, ((place, mistake),), mistake.cost, mistake.linear)
        yield Mutant("scale", "", ((place, cut(None)),), linear=True)
        if len(slots) > 1:
            for slot in slots:
                yield Mutant("scale", "", ((place, cut(slot)),), linear=True)


def group_mutants(graph: Traced, sites: dict[int, Any]) -> Iterator[Mutant]:
    """Yield mistakes at several operations: at all that one source line made, and at several uses of one value."""
    uses = uses_of(graph)
    for kind, text, lost_edges, cost in kept_alone(graph, uses):
        yield Mutant(kind, text, tuple((p, cut(s)) for p, s in sorted(lost_edges)), cost)
    yield from _exchanges(graph, sites)
    yield from _factors_alone(graph)
    counts = Counter((name_of(node), sites.get(place, ())[:1]) for place, node in enumerate(graph.operations))
    for places in _similar_places(graph, sites):
        lines = {(name_of(graph.operations[place]), sites.get(place, ())[:1]) for place in places}
        runs, all_runs = (len(places), counts[lines.pop()]) if len(lines) == 1 else (1, 1)
        table: dict[tuple[Any, ...], dict[int, Mistake]] = {}
        for place in places:
            for mistake in _mistakes_and_cuts(graph, place):
                key = (mistake.kind, mistake.text if mistake.key is None else "", mistake.slot, mistake.key)
                table.setdefault(key, {}).setdefault(place, mistake)
        for mistakes in table.values():
            if len(mistakes) > max(1, len(places) - 2):  # it may be impossible at the first or the last of them
                kind, text = next(iter(mistakes.values()))[:2]
                first_mistake = next(iter(mistakes.values()))
                if first_mistake.linear:
                    kind, text = _why_lost_in_runs(graph, list(mistakes), first_mistake.slot, uses, all_runs)
                cost = first_mistake.cost + (0.02 if runs > 1 else 0.1)  # several lines may fit by chance
                yield Mutant(kind, text, tuple(sorted(mistakes.items())), cost, False, len(mistakes))


def _factors_alone(graph: Traced) -> Iterator[Mutant]:
    """Yield mistakes in products of two values: the derivative of one factor alone, as ``s'(u)`` for ``u * s(u)``."""
    for place, node in enumerate(graph.operations[:MANY]):
        parents = parents_of(node)
        if name_of(node) == "multiply" and None not in parents and parents[0] is not parents[1]:
            for slot in (0, 1):
                text = (f"The product is differentiated as if it were {value_name(parents[slot])} alone, without its "
                        "other factor.")  # fmt: skip
                alone = Mistake("wrong_derivative", text, lambda s: s.g, slot)
                yield Mutant("wrong_derivative", text, ((place, alone), (place, cut(1 - slot))), 1.15)


def _exchanges(graph: Traced, sites: dict[int, Any]) -> Iterator[Mutant]:
    """Yield mistakes in sums of two products: two factors get each other's gradient, as gates of an LSTM do."""
    number = {node: place for place, node in enumerate(graph.operations)}
    table: dict[Any, list[tuple[int, Mistake]]] = {}
    for place, node in enumerate(graph.operations[:MANY]):
        terms = [p for p in parents_of(node) if p is not None and p.primitive and p.primitive.name == "multiply"]
        if node.primitive is None or node.primitive.name != "add" or len(terms) != 2 or terms[0] is terms[1]:
            continue
        p, q = (number[term] for term in terms)
        for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
            others = [np.shape(args_of(term)[1 - k]) for term, k in zip(terms, (i, j), strict=True)]
            if others[0] == others[1]:
                key = (sites.get(place, ((),))[:1], p - place, q - place, i, j)
                table.setdefault(key, []).extend([(p, _swapped_factor(i, q - p, j)), (q, _swapped_factor(j, p - q, i))])
    text = "Two factors of a sum of products are exchanged in the backward pass: each has the gradient of the other."
    for parts in table.values():
        yield Mutant("wrong_gate", text, tuple(sorted(parts, key=lambda part: part[0])), times=len(parts) // 2)


def _swapped_factor(slot: int, step: int, other: int) -> Mistake:
    """Return the mistake that the gradient of a factor is multiplied by the other factor of another product."""

    def wrong(s: Site) -> Any:
        args: Any = s.graph.operations[s.place + step].args
        return s.g * args[1 - other]

    return Mistake("wrong_gate", "", wrong, slot, key=(step, other))


def _mistakes_and_cuts(graph: Traced, place: int) -> Iterator[Mistake]:
    yield from (m for m in mistakes_at(graph, place) if m.cost < FURTHER)
    slots = differentiated_arguments(graph.operations[place])
    if len(slots) > 1:
        for slot in slots:
            yield cut(slot)
    yield cut(None)


def _why_lost_in_runs(
    graph: Traced, places: Sequence[int], slot: int | None, uses: dict[Node, list[Edge]], runs: int
) -> tuple[str, str]:
    kind, text = why_lost(graph, places[0], slot, uses)
    if kind not in ("detached", "overwritten_not_accumulated") or runs < 3:
        return kind, text
    node = graph.operations[places[0]]
    to = "" if slot is None or len(parents_of(node)) < 2 else f"to {argument_name(node, slot)} "
    recurrent = _is_recurrent(graph, places)
    whole = f"its {runs} runs" if recurrent else f"the {runs} runs that the result is computed from"
    count = "any" if len(places) == runs else str(len(places))
    text = f"The gradient is not passed back {to}through this operation in {count} of {whole}"
    if recurrent and _is_only_way_back(graph, places, slot, uses):
        text += ": what each step passes to the one before is forgotten"
    return "not_carried_back" if recurrent else kind, f"{text}."


def _is_recurrent(graph: Traced, places: Sequence[int]) -> bool:
    """Tell whether arrays flow from each run of an operation into the next, not only a number, as a sum of losses."""
    nodes = [graph.operations[place] for place in reversed(places)]
    return all(np.size(a.out) > 1 and is_computed_from(b, a) for a, b in pairwise(nodes))


def _is_only_way_back(graph: Traced, places: Sequence[int], slot: int | None, uses: dict[Node, list[Edge]]) -> bool:
    """Tell whether a gradient goes from each run of an operation to the one before only to this argument, or to all."""
    nodes = [graph.operations[place] for place in reversed(places)]
    for a, b, c in zip(nodes, nodes[1:], nodes[2:], strict=False):
        kept = [] if slot is None else [p for i, p in enumerate(parents_of(b)) if p is not None and i != slot]
        users = [graph.operations[place] for place, _ in uses[b]]
        on_the_way = [user for user in users if user is c or is_computed_from(c, user)]
        if any(is_computed_from(p, a) for p in kept) or any(is_computed_from(user, a, b) for user in on_the_way):
            return False
    return True


def _similar_places(graph: Traced, sites: dict[int, Any]) -> Iterator[list[int]]:
    """Yield groups of places of one primitive: called by one source line, with the same shape and input, or all.

    Of the calls of one line also those without the last one.
    """
    visited: set[tuple[int, ...]] = set()
    names: dict[Any, list[int]] = {}
    for place, node in enumerate(graph.operations[:MANY]):
        name = node.primitive.name if node.primitive else ""
        for depth, key in enumerate(sites.get(place, ())):
            names.setdefault((name, depth, key), []).append(place)
        shared = next((i for i, p in enumerate(parents_of(node)) if p is not None and p in graph.inputs), None)
        leaf = None if shared is None else graph.inputs.index(parents_of(node)[shared])
        names.setdefault((name, np.shape(node.out), leaf), []).append(place)
        names.setdefault(name, []).append(place)
    # the layer nearest the loss is often differentiated outside the loop over the layers
    inside = [places[1:] for key, places in names.items() if isinstance(key, tuple) and isinstance(key[1], int)]
    for places in (*names.values(), *inside):
        if len(places) > 1 and tuple(places) not in visited:
            visited.add(tuple(places))
            yield places


def right_cotangents(graph: Traced) -> dict[int, Array]:
    """Return by place the right gradient of each operation's result, which its rule is given."""
    cotangents: dict[int, Array] = {}
    gradients(graph, cotangents=cotangents)
    return cotangents
