"""Walk a graph back with the user's gradients substituted for the right ones, and run it again with other numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...backward import ancestors
from ...graph.walk import as_argument, conjugate
from ...node import Node
from ..guards import without_guards
from ..paths import Traced, args_of, copy_node, dependents, parents_of, rerun_nodes, results_at_overflow

Array = np.ndarray[Any, Any]
Replace = Callable[[Node, Array, bool], Array | None]  # (node, gradient, marked) -> what to pass on; None: that one
LOST: Array = np.array(np.nan)  # returned by a `Replace` if the user's gradient cannot be passed on (wrong shape)


class Tape:
    """The operations of a graph in backward order, from the loss, and its results with their cotangents."""

    def __init__(self, outs: Sequence[tuple[Node, Array]], summed: float = 1.0) -> None:
        """`summed` is the number by which the user divides the gradients of inputs only, as the samples of a mean.

        The gradients of all other values are then those of the loss times `summed`.
        """
        self.outs, self.summed = list(outs), summed
        self.nodes = ancestors([node for node, _ in outs]) if outs else []
        self.operations = [node for node in self.nodes if node.primitive is not None]
        self.uses: dict[Node, list[Node]] = {}
        for node in self.operations:
            for parent in parents_of(node):
                if parent is not None:
                    self.uses.setdefault(parent, []).append(node)

    def cotangents(self, node: Node) -> list[Array]:
        """Return the cotangents of the results that give the gradient of a node, as the user means it."""
        return [g if node.primitive is None else g * self.summed for _, g in self.outs]

    def place(self, node: Node) -> float:
        """Return a sort key for the moment when a node's gradient is complete in the walk; smallest for the loss."""
        if node.primitive is None and node in self.uses:  # an input: after the oldest operation that uses it
            return 0.5 - min(user.index for user in self.uses[node])
        return -float(node.index)

    def walk(
        self, watched: Iterable[Node], replace: Replace | None = None, shake: Callable[[Array], Array] | None = None
    ) -> dict[Node, Array]:
        """Return the gradient that arrives at each watched node.

        The gradient that `replace` returns for a node is passed on in its place. If `replace` returns `LOST`, the one
        that arrived is passed on, and the nodes that it reaches are marked. `shake` changes the gradient of each
        operation, to measure the effect of rounding.
        """
        watched, marked = set(watched), set()
        pending: dict[Node, Any] = {}
        gradients: dict[Node, Array] = {}
        for node, g in self.outs:
            g = conjugate(np.asarray(g))
            g = g if self.summed == 1 else g * self.summed
            pending[node] = pending[node] + g if node in pending else g
        for node in self.operations:
            g = pending.pop(node, None)
            if g is None:
                continue
            mark = node in marked
            if node in watched:
                gradients[node] = np.asarray(conjugate(g))
                other = replace(node, gradients[node], mark) if replace else None
                mark = other is LOST or (mark and other is None)
                g = g if other is None or other is LOST else conjugate(other)
            g = np.asarray(g if shake is None else shake(np.asarray(g)))
            for parent, arg, r in zip(parents_of(node), args_of(node), results_at_overflow(node, g), strict=True):
                if parent is None or r is None:
                    continue
                r = as_argument(np.asarray(r), np.asarray(arg))
                pending[parent] = pending[parent] + r if parent in pending else r
                if mark:
                    marked.add(parent)
        for node in watched - set(gradients):
            gradients[node] = np.asarray(conjugate(np.asarray(pending.get(node, np.zeros_like(node.out)))))
            if self.summed != 1 and node.primitive is None:
                gradients[node] = gradients[node] / self.summed
            if replace:
                replace(node, gradients[node], node in marked)
        return gradients

    def results_of(self, node: Node) -> Callable[[Any], list[Any]]:
        """Return a function that takes another value of a node and returns the results that follow from it."""

        later: list[Any] = [
            (user, user.primitive, [*zip(parents_of(user), args_of(user), strict=True)])
            for user in dependents(self.operations, [node])
        ]  # found once: a numerical derivative calls the function twenty times

        def results(value: Any) -> list[Any]:
            values = {node: value}
            for user, primitive, args in later:
                new_args = [values.get(parent, arg) for parent, arg in args]
                values[user] = primitive.evaluate(new_args, primitive.call_meta(user.meta))
            return [values.get(out, out.out) for out, _ in self.outs]

        return results

    def moved(self, changed: Mapping[Node, Any]) -> tuple[Tape, dict[Node, Node]]:
        """Return the graph computed again from other values of some nodes, and the map from old to new nodes."""
        twins = rerun_nodes(self.operations, {node: copy_node(node, out=np.asarray(x)) for node, x in changed.items()})
        return Tape([(twins.get(node, node), g) for node, g in self.outs], self.summed), twins

    @property
    def leaves(self) -> list[Node]:
        """The inputs on which the results depend, in the order in which they were made."""
        return [node for node in reversed(self.nodes) if node.primitive is None]

    def without_guards(self) -> tuple[Tape, dict[Node, Node]]:
        """Return the graph without constants such as 1e-8, and the map from old to new nodes; {} if it has none."""
        twins = without_guards(self.operations, self.leaves)
        return Tape([(twins.get(node, node), g) for node, g in self.outs], self.summed), twins

    def segment(self, node: Node, user_gradients: Mapping[Node, Array]) -> Traced:
        """Return the part of the graph from a node up to the nearest nodes with given gradients, or the results."""
        start = copy_node(node, args=(), parents=(), primitive=None)
        twins: dict[Node, Node] = {node: start}
        ends = dict(zip([out for out, _ in self.outs], self.cotangents(node), strict=True))
        if self.summed != 1 and node.primitive is None:
            user_gradients = {other: g / self.summed for other, g in user_gradients.items()}
        outs = [(start, ends[node])] if node in ends else []
        for user in reversed(self.operations):
            parents = parents_of(user)
            inside = [None if p is None or (p is not node and p in user_gradients) else twins.get(p) for p in parents]
            if not any(inside) or user is node:
                continue
            twin = twins[user] = copy_node(user, parents=inside)
            if user in user_gradients:
                outs.append((twin, user_gradients[user]))
            elif user in ends:
                outs.append((twin, ends[user]))
        reached = ancestors([out for out, _ in outs]) if outs else []
        return Traced(outs, [start], [part for part in reached if part.primitive is not None])
