"""Mistakes that lose a gradient: the walk back leaves out one edge of the graph, or several that belong together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...graph.walk import conjugate, rule_results
from ...node import Node
from ..paths import Edge, Slots, Traced, name_of, parents_of
from .mistake import (
    RARE,
    USUAL,
    Mistake,
    Site,
    begin_sentence,
    differentiated_arguments,
    finds,
    value_name,
)

STATISTICS = {
    "mean": "mean", "var": "variance", "std": "standard deviation", "max": "maximum", "min": "minimum", "sum": "sum",
    "vector_norm": "norm", "logsumexp": "logarithm of a sum", "prod": "product", "var_about": "variance",
}  # fmt: skip
PASSING = frozenset({"reshape", "sqrt", "add", "broadcast_to", "alias", "power", "reciprocal", "swapaxes", "transpose"})
DETACHED = "The gradient stops here: nothing is passed back{} through this operation."  # {}: to which argument
ADDED = "The gradient of a value that is used in several places is the sum of their contributions."


def uses_of(graph: Traced) -> dict[Node, list[Edge]]:
    """Return for each value the edges to its uses: the place of the operation, and the position of the argument."""
    uses: dict[Node, list[Edge]] = {}
    for place, node in enumerate(graph.operations):
        for slot, parent in enumerate(parents_of(node)):
            if parent is not None:
                uses.setdefault(parent, []).append((place, slot))
    return uses


def cut(slot: int | None) -> Mistake:
    """Return the mistake that the gradient of one argument, or of all, is lost, or multiplied by any factor."""
    return Mistake("scale", "", lambda s: [None] * len(s.slots) if slot is None else None, slot, linear=True)


@finds()
def upstream_gradient_forgotten(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield the mistake at a result that another result is computed from, as the cell of an LSTM: `dc` is not used."""
    node = graph.operations[place]
    if any(node is out for out, _ in graph.outs) and any(node in parents_of(user) for user in graph.operations):
        text = (f"The upstream gradient of {value_name(node)}, which is returned too, is not used; it should be added "
                "to what the other results pass back.")  # fmt: skip
        yield Mistake("overwritten_not_accumulated", text, _without_upstream)


def _without_upstream(s: Site) -> Slots:
    upstream = sum(conjugate(np.asarray(g)) for node, g in s.graph.outs if node is s.node)
    return rule_results(s.node, np.asarray(s.g - upstream))


def why_lost(graph: Traced, place: int, slot: int | None, uses: dict[Node, list[Edge]]) -> tuple[str, str]:
    """Return the kind and the sentence of the mistake that no gradient comes back through an operation."""
    node = graph.operations[place]
    name = name_of(node)
    statistic = _statistic(graph, place, slot, uses)
    if statistic is not None:
        what, source = statistic
        return ("statistic_as_constant", (f"The gradient does not go back through the {what}: its dependence on "
                                          f"{value_name(source)} is ignored, as if it were a constant."))  # fmt: skip
    parents = parents_of(node)
    if slot is not None and name in ("multiply", "matmul") and len(parents) == 2 and parents[0] is parents[1]:
        return "product_rule_half", "A value is multiplied by itself, and one half of the product rule is missing."
    if slot is not None and name == "add":
        other, own = parents[1 - slot], parents[slot]
        apart = other is not own and other is not None and own is not None
        if apart and is_computed_from(other, own) and _has_other_inputs(graph, other, own):
            return ("residual_forgotten", ("The residual branch is forgotten: a sum passes its gradient to both of its "
                                           "terms."))  # fmt: skip
    lost = cut_off = [p for i, p in enumerate(parents) if p is not None and (slot is None or i == slot)]
    to = " to {}" if slot is not None and len(parents) > 1 and lost else ""
    while not any(len(uses.get(p, ())) > 1 for p in lost):  # values that are used once are passed
        lost = [p for p in parents_of(lost[0]) if p is not None] if len(lost) == 1 else []
        if len(lost) != 1:
            return "detached", DETACHED.format(to and to.format(value_name(cut_off[0])))
    to = to and to.format(value_name(lost[0]))
    missing = f"The contribution through this operation{to} is missing: it was overwritten or forgotten."
    return "overwritten_not_accumulated", f"{missing} {ADDED}"


def _statistic(graph: Traced, place: int, slot: int | None, uses: dict[Node, list[Edge]]) -> tuple[str, Node] | None:
    """Return the statistic that is taken as a constant, and what it is computed from; None if the cut is at none."""
    node = graph.operations[place]
    start = node if slot is None or len(differentiated_arguments(node)) == 1 else parents_of(node)[slot]
    current: Node | None = start
    for _ in range(6):
        if current is None or current.primitive is None:
            return None
        parents = [p for p in parents_of(current) if p is not None]
        if not parents:
            return None
        if current.primitive.name in STATISTICS:
            source = _used_again(parents[0], uses)
            meets = source is not None and _is_soon_broadcast(graph, current, uses)
            return (STATISTICS[current.primitive.name], source) if meets and source is not None else None
        if current.primitive.name not in PASSING or len(parents) > 1:
            return None
        current = parents[0]
    return None


def _used_again(node: Node, uses: dict[Node, list[Edge]]) -> Node | None:
    """Return `node` or one of its parents, whichever has several uses; None if none has."""
    if len(uses.get(node, ())) > 1:
        return node
    above: list[Node] = [parent for parent in parents_of(node) if len(uses.get(parent, ())) > 1]
    return above[0] if above else None


def _is_soon_broadcast(graph: Traced, node: Node, uses: dict[Node, list[Edge]]) -> bool:
    """Tell whether a value is soon combined with a larger array, as a mean is subtracted from its array."""
    below = [node]
    for _ in range(4):
        users = [graph.operations[place] for n in below for place, _ in uses.get(n, ())]
        if any(np.size(user.out) > np.size(node.out) for user in users):
            return True
        below = users[:8]
    return False


def _has_other_inputs(graph: Traced, node: Node, leaf: Node) -> bool:
    """Tell whether a value was computed from `leaf` and from inputs of the graph, as by a layer with weights."""
    return any(n in graph.inputs for n in _computed_from(node, {leaf}))


def is_computed_from(node: Node, leaf: Node, *around: Node) -> bool:
    """Tell whether a value was computed from `leaf`, not only through the values `around`."""
    return any(n is leaf for n in _computed_from(node, set(around), leaf.index))


def _computed_from(node: Node, seen: set[Node], oldest: int = -1) -> Iterator[Node]:
    """Yield a value, and those from index `oldest` on from which it was computed, not through those in `seen`."""
    stack = [node]
    while stack:
        n = stack.pop()
        yield n
        fresh = {p for p in parents_of(n) if p is not None and p not in seen and p.index >= oldest}
        seen |= fresh
        stack += fresh


def kept_alone(graph: Traced, uses: dict[Node, list[Edge]]) -> Iterator[tuple[str, str, list[Edge], float]]:
    """Yield groups of edges whose gradients are lost together: all uses of a value but one, or the first or last use.

    Yields:
        The kind, the sentence, the edges that are lost, the cost.
    """
    for node, edges in uses.items():
        count = len(edges)
        if count < 3:
            continue
        for kept in edges if count <= 60 else (edges[0], edges[-1]):
            which = "last" if kept == edges[0] else "first" if kept == edges[-1] else ""
            lost = [e for e in edges if e != kept]
            if which and _is_same_argument(graph, edges):
                text = begin_sentence(
                    f"{value_name(node)} is used {count} times, but its gradient is that of the {which} use only; the "
                    "contributions of all uses should be added."
                )
                yield "last_step_only", text, lost, USUAL
                continue
            text = (f"One of the {count} contributions to the gradient of {value_name(node)} is kept and the "
                    "others are "
                    "overwritten; they should be added.")  # fmt: skip
            yield "overwritten_not_accumulated", text, lost, USUAL
        if _is_same_argument(graph, edges):
            for which, some in (("first", edges[-1:]), ("last", edges[:1])):
                text = (f"The {which} of the {count} uses of {value_name(node)} contributes nothing to the "
                        "gradient; the "
                        "contributions of all uses should be added.")  # fmt: skip
                yield "overwritten_not_accumulated", text, list(some), RARE


def _is_same_argument(graph: Traced, edges: list[Edge]) -> bool:
    """Tell whether all uses are the same argument of the same operation, as of a weight that each time step uses."""
    names = {(graph.operations[p].primitive.name, s) for p, s in edges if graph.operations[p].primitive}  # type: ignore[union-attr]
    return len(names) == 1
