"""Walk back through a graph with a mistake planted at some operation, to see which gradients that mistake gives.

If the planted mistake gives exactly the user's wrong gradients, it explains them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..backward import ancestors
from ..graph.walk import as_argument, conjugate, rule_results
from ..node import Node

Array = np.ndarray[Any, Any]
Slots = list[Any]
Change = Callable[[Node, Array, Slots], Slots]  # (operation, cotangent, gradients of its arguments) -> changed ones
Edge = tuple[int, int]  # the place of an operation in the walk, and the position of one of its arguments


class Traced(NamedTuple):
    """A graph: its results with their cotangents, its inputs, and its operations in the order of the walk."""

    outs: list[tuple[Node, Array]]
    inputs: list[Node]
    operations: list[Node]

    @property
    def signature(self) -> list[str]:
        """The names of the operations, equal for two runs that did the same operations."""
        return [node.primitive.name for node in self.operations if node.primitive]


def args_of(node: Node) -> Any:
    """Return the arguments of an operation."""
    return node.args


def parents_of(node: Node) -> Any:
    """Return the nodes of the arguments of an operation, None for a constant."""
    return node.parents


def name_of(node: Node) -> str:
    """Return the name of an operation, "" for an input."""
    return node.primitive.name if node.primitive else ""


def traced(outs: Sequence[tuple[Node, Array]], inputs: Sequence[Node]) -> Traced:
    """Return the graph behind some results."""
    nodes = ancestors([node for node, _ in outs]) if outs else []
    return Traced(list(outs), list(inputs), [node for node in nodes if node.primitive is not None])


def gradients(
    graph: Traced, changes: Mapping[int, Change] | None = None, unsummed: frozenset[Edge] = frozenset(),
    cotangents: dict[int, Array] | None = None,
) -> list[Array]:  # fmt: skip
    """Walk back through a graph, change gradients at some operations, and return the gradients of the inputs.

    Args:
        graph: the graph to walk through.
        changes: by the place of an operation, a function that changes the gradients of its arguments.
        unsummed: broadcast arguments whose gradient is wrongly left in the shape of the result, not summed.
        cotangents: a dict that is filled with the gradient of each operation's result, by place.
    """
    pending: dict[Node, Any] = {}
    for node, g in graph.outs:
        g = conjugate(np.asarray(g))
        pending[node] = pending[node] + g if node in pending else g
    for place, node in enumerate(graph.operations):
        g = pending.pop(node, None)
        if g is None:
            continue
        if cotangents is not None:
            cotangents[place] = g
        slots = (
            results_at_overflow(node, np.asarray(g))
            if np.shape(g) == np.shape(node.out)
            else _wide_gradients(node, np.asarray(g))
        )
        if changes and place in changes:
            slots = changes[place](node, g, slots)
        for slot, (parent, arg, r) in enumerate(zip(parents_of(node), args_of(node), slots, strict=True)):
            if parent is None or r is None:
                continue
            r = np.asarray(r)
            if not unsummed or ((place, slot) not in unsummed and np.shape(g) == np.shape(node.out)):
                r = as_argument(r, np.asarray(arg))
            pending[parent] = pending[parent] + r if parent in pending else r
    return [conjugate(np.asarray(pending.get(node, np.zeros_like(node.out)))) for node in graph.inputs]


def results_at_overflow(node: Node, g: Array) -> Slots:
    """Return the results of an operation's rules, with 0 where they are 0 times an infinite value.

    In 1 / (1 + exp(-z)), exp overflows for a very negative z. The result is 0, and so is its derivative, but the rule
    of exp computes 0 times infinity, which is NaN.
    """
    return [np.where(np.isnan(r) & (g == 0), 0, r)
            if r is not None and np.shape(r) == g.shape and np.count_nonzero(np.isnan(r)) else r
            for r in rule_results(node, g)]  # fmt: skip


def overflow_place(graph: Traced) -> int | None:
    """Return the place of the first operation whose rule gives NaN where `results_at_overflow` gives 0, or None."""
    if all(np.isfinite(node.out).all() for node in graph.operations):
        return None
    arrived: dict[int, Array] = {}
    gradients(graph, cotangents=arrived)
    for place in sorted(arrived, reverse=True):
        node, g = graph.operations[place], np.asarray(arrived[place])
        pairs = zip(rule_results(node, g), results_at_overflow(node, g), strict=True)
        if any(r is not None and (np.isnan(r) != np.isnan(mended)).any() for r, mended in pairs):
            return place
    return None


def _wide_gradients(node: Node, g: Array) -> Slots:
    """Return the gradients of the arguments for a cotangent `g` that was wrongly left larger than the result.

    The rule is applied to a cotangent of ones, and the slopes that it returns are multiplied by `g` with broadcasting.
    """
    ones = rule_results(node, np.ones_like(node.out))
    return [None if r is None else g * as_argument(np.asarray(r), np.asarray(arg))
            for r, arg in zip(ones, args_of(node), strict=True)]  # fmt: skip


def dependents(operations: Sequence[Node], nodes: Iterable[Node]) -> list[Node]:
    """Return the operations that depend on some nodes, without these, in the order in which they ran."""
    reached = set(nodes)
    found = []
    for node in reversed(operations):
        if node not in reached and any(parent in reached for parent in parents_of(node)):
            reached.add(node)
            found.append(node)
    return found


def rerun_operation(node: Node, args: Sequence[Any]) -> tuple[Any, dict[str, Any]]:
    """Run an operation on other arguments; return its result, and its metadata with what the forward saves."""
    primitive: Any = node.primitive
    meta = primitive.call_meta(node.meta)
    out = primitive.forward(*args, **meta)
    if primitive.saves:
        out, saved = out
        meta = {**meta, **saved}
    return out, meta


def rerun_nodes(
    operations: Sequence[Node], changed: Mapping[Node, Node], constant: Callable[[Any], Any] | None = None
) -> dict[Node, Node]:
    """Run operations again with some nodes replaced, as `changed` says; return a dict from old nodes to new nodes.

    Only operations that depend on a replaced node are run. `constant` replaces their arguments that are constants.
    """
    twins = dict(changed)
    for node in dependents(operations, changed):
        parents = parents_of(node)
        args = [twins[p].out if p in twins else constant(arg) if constant and p is None else arg
                for p, arg in zip(parents, args_of(node), strict=True)]  # fmt: skip
        out, meta = rerun_operation(node, args)
        twins[node] = copy_node(node, out=np.asarray(out), args=args, meta=meta,
                           parents=[twins.get(p, p) if p is not None else None for p in parents])  # fmt: skip
    return twins


def copy_node(node: Node, **other: Any) -> Node:
    """Return a copy of a node with some of its fields replaced."""
    return node.copied(Node(), **other)
