"""A walk back through a graph with one mistake in it: the gradient of a person who made it at this operation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..backward import ancestors
from ..graph.walk import as_argument, conjugate, rule_results
from ..node import Node

Array = np.ndarray[Any, Any]
Slots = list[Any]
Change = Callable[[Node, Array, Slots], Slots]  # (operation, cotangent, gradients of its arguments) -> others

MOST = 300  # operations that are suspected, from the loss backwards
LINEAR = frozenset({"alias", "reshape", "transpose", "identity", "negative", "positive", "sorted", "partitioned"})
PRODUCTS = frozenset({"matmul", "dot", "affine"})


class Traced(NamedTuple):
    """A graph: its results with their cotangents, its inputs, its operations from the loss backwards."""

    outs: list[tuple[Node, Array]]
    inputs: list[Node]
    operations: list[Node]

    @property
    def signature(self) -> list[str]:
        """The names of the operations: equal for two runs that did the same."""
        return [node.primitive.name for node in self.operations if node.primitive]


def traced(outs: Sequence[tuple[Node, Array]], inputs: Sequence[Node]) -> Traced:
    """Return the graph of some results."""
    nodes = ancestors([node for node, _ in outs]) if outs else []
    return Traced(list(outs), list(inputs), [node for node in nodes if node.primitive is not None])


def gradients(graph: Traced, changes: Mapping[int, Change] | None = None) -> list[Array]:
    """Walk back, with the gradients changed at some operations (by place), and return those of the inputs."""
    pending: dict[Node, Any] = {}
    for node, g in graph.outs:
        g = conjugate(np.asarray(g))
        pending[node] = pending[node] + g if node in pending else g
    for place, node in enumerate(graph.operations):
        g = pending.pop(node, None)
        if g is None:
            continue
        slots = rule_results(node, np.asarray(g))
        if changes and place in changes:
            slots = changes[place](node, g, slots)
        for parent, arg, r in zip(node.parents or (), node.args or (), slots, strict=True):
            if parent is None or r is None:
                continue
            r = as_argument(np.asarray(r), np.asarray(arg))
            pending[parent] = pending[parent] + r if parent in pending else r
    return [conjugate(np.asarray(pending.get(node, np.zeros_like(node.out)))) for node in graph.inputs]


class Mutant(NamedTuple):
    """A mistake at one place: kind, sentence, changes; `linear`: it may stand with any factor (0 is none of it)."""

    kind: str
    text: str
    place: int
    changes: dict[int, Change]
    linear: bool = False
    slot: int | None = None


def at_slot(slot: int, f: Callable[[Node, Array, Any], Any]) -> Change:
    """Change the gradient of one argument only."""

    def change(node: Node, g: Array, slots: Slots) -> Slots:
        return [f(node, g, r) if i == slot else r for i, r in enumerate(slots)]

    return change


def _nothing(node: Node, g: Array, slots: Slots) -> Slots:
    return [None] * len(slots)


def mutants(graph: Traced) -> Iterator[Mutant]:
    """Yield the mistakes that can be made in a graph, those nearest the loss first."""
    uses: dict[Node, list[tuple[int, int]]] = {}
    for place, node in enumerate(graph.operations):
        for slot, parent in enumerate(node.parents or ()):
            if parent is not None:
                uses.setdefault(parent, []).append((place, slot))
    for place, node in enumerate(graph.operations[:MOST]):
        tensors = [i for i, p in enumerate(node.parents or ()) if p is not None]
        yield from _elementwise(node, place, tensors)
        yield Mutant("scale", "", place, {place: _nothing}, linear=True)
        if len(tensors) > 1:
            for slot in tensors:
                yield Mutant("scale", "", place, {place: at_slot(slot, lambda n, g, r: None)}, True, slot)
        yield from _products(graph, node, place, tensors)
        for slot in tensors:
            yield from _broadcast(node, place, slot)
    for node, edges in uses.items():
        if len(edges) > 2:
            for kept in edges:
                changes: dict[int, Change] = {}
                for place in {place for place, _ in edges}:
                    lost = [s for p, s in edges if p == place and (p, s) != kept]
                    changes[place] = _without(lost)
                text = (f"One of the {len(edges)} contributions to the gradient of {_called(node)} is kept and the "
                        "others are overwritten; they belong added.")  # fmt: skip
                yield Mutant("overwritten_not_accumulated", text, kept[0], changes)


def _without(lost: list[int]) -> Change:
    return lambda node, g, slots: [None if i in lost else r for i, r in enumerate(slots)]


def _called(node: Node) -> str:
    name = (node.notes or {}).get("name")
    return str(name) if name else "the input" if node.primitive is None else f"the result of {node.primitive.name}"


def _elementwise(node: Node, place: int, tensors: list[int]) -> Iterator[Mutant]:
    primitive = node.primitive
    if primitive is None or primitive.jointly or len(primitive.vjps) != 1 or primitive.name in LINEAR:
        return
    x, out = np.asarray((node.args or ())[0]), np.asarray(node.out)
    if x.shape != out.shape:
        return
    rule, name, saves = primitive.vjps[0], primitive.name, primitive.saves
    meta = {key: value for key, value in node.meta.items() if key not in saves}
    text = f"The gradient is passed through {name} without its derivative."
    yield Mutant("missing_activation_derivative", text, place, {place: at_slot(0, lambda n, g, r: g)})
    if name == "softmax":
        text = "Softmax was differentiated as if each output depended on its own input only: the diagonal p(1 - p)."
        yield Mutant("softmax_diagonal_only", text, place, {place: at_slot(0, lambda n, g, r: g * n.out * (1 - n.out))})

    def value(a: Any, b: Any) -> Change:
        def moved(n: Node, g: Any, r: Any) -> Any:
            saved = {key: save(b(n), **meta) for key, save in saves.items()}
            return rule(g, a(n), b(n), **meta, **saved) if rule else r

        return at_slot(0, moved)

    def again(n: Node) -> Any:
        made = primitive.forward(n.out, **meta)
        return made[0] if saves else made

    kind = "activation_derivative_at_wrong_value"
    text = f"The derivative of {name} is taken at its output; it belongs at its input."
    yield Mutant(kind, text, place, {place: value(again, lambda n: n.out)})
    yield Mutant(kind, text, place, {place: value(lambda n: n.out, lambda n: n.out)})
    text = f"The derivative of {name} is written for its output, and its input was put into it."
    yield Mutant(kind, text, place, {place: value(lambda n: n.args[0], lambda n: n.args[0])})
    if name == "tanh":
        yield Mutant(kind, text, place, {place: at_slot(0, lambda n, g, r: g * (1 - n.args[0] ** 2))})  # type: ignore[index]
    if name in ("sigmoid", "expit"):
        yield Mutant(kind, text, place, {place: at_slot(0, lambda n, g, r: g * n.args[0] * (1 - n.args[0]))})  # type: ignore[index]


def _products(graph: Traced, node: Node, place: int, tensors: list[int]) -> Iterator[Mutant]:
    primitive = node.primitive
    if primitive is None or primitive.name not in PRODUCTS or primitive.jointly:
        return
    args = node.args or ()
    for slot in tensors[:2]:
        other = 1 - slot
        if slot > 1 or np.ndim(args[other]) < 2:
            continue
        rule = primitive.vjps[slot]
        shape = np.shape(args[other])

        def with_other(value: Any, slot: int = slot, other: int = other, rule: Any = rule) -> Change:
            def f(n: Node, g: Array, r: Any) -> Any:
                new = list(n.args or ())
                new[other] = value(n)
                return rule(g, n.out, *new, **n.meta)

            return at_slot(slot, f)

        if slot == 1 and np.ndim(args[0]) == 2 and shape[0] > 1 and primitive.name in ("matmul", "dot"):
            for which, row in (("last", -1), ("first", 0)):
                text = f"Of the rows of a product the {which} one only gave its gradient; they belong added."
                change = at_slot(1, lambda n, g, r, row=row: np.outer(n.args[0][row], g[row]))  # type: ignore[misc]
                yield Mutant("overwritten_not_accumulated", text, place, {place: change}, slot=1)
        if shape[-1] == shape[-2]:
            yield Mutant("transpose", "One factor of the product is transposed on the way back.", place,
                         {place: with_other(lambda n, other=other: np.swapaxes(n.args[other], -1, -2))}, slot=slot)
        sources = [(i, op) for i, op in enumerate(graph.operations) if np.shape(op.out) == shape and op is not node]
        for i, source in sources[:12]:
            if source.out is not args[other]:
                text = f"The result of {source.primitive.name} stands in the place of another factor."  # type: ignore[union-attr]
                yield Mutant("wrong_layer_input", text, place,
                             {place: with_other(lambda n, i=i: graph.operations[i].out)}, slot=slot)
        for j, leaf in enumerate(graph.inputs):
            if np.shape(leaf.out) == shape and leaf.out is not args[other]:
                text = f"{_called(leaf)} stands in the place of another factor."
                yield Mutant("wrong_layer_input", text, place,
                             {place: with_other(lambda n, j=j: graph.inputs[j].out)}, slot=slot)


def _broadcast(node: Node, place: int, slot: int) -> Iterator[Mutant]:
    """Yield other ways to sum a gradient back to an argument that was broadcast."""
    shape = np.shape((node.args or ())[slot])
    out = np.shape(node.out)
    if shape == out or len(out) < 2 or np.prod(shape, dtype=int) >= np.prod(out, dtype=int) or node.primitive is None:
        return
    if node.primitive.name not in ("add", "subtract", "multiply", "divide", "affine", "true_divide"):
        return
    if node.primitive.name == "affine" and slot != 2:
        return

    def reduced(how: Callable[[Array], Array]) -> Change:
        def f(n: Node, g: Array, r: Any) -> Any:
            value = how(np.asarray(r))
            return value if np.shape(value) == shape else np.full(shape, np.nan)

        return at_slot(slot, f)

    for axis in range(len(out)):
        yield Mutant("wrong_axis_sum", f"A broadcast was summed back over axis {axis} only, the wrong one.", place,
                     {place: reduced(lambda r, axis=axis: r.sum(axis=axis))}, slot=slot)  # type: ignore[misc]
    yield Mutant("wrong_axis_sum", "A broadcast was summed back over all axes.", place,
                 {place: reduced(lambda r: np.full(shape, r.sum()))}, slot=slot)  # fmt: skip
    for which, row in (("last", -1), ("first", 0)):
        text = f"Of the rows that a value was broadcast to the {which} one only gave its gradient; they belong added."
        change = reduced(lambda r, row=row: r[row])  # type: ignore[misc]
        yield Mutant("overwritten_not_accumulated", text, place, {place: change}, slot=slot)
