"""GraphView, the read-only access to a graph for all drawings: frozen nodes and edges in topological order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from weakref import ref

import numpy as np

from ..common.pages import script_json
from ..common.printable import counted
from ..common.spelling import near_names
from ..node import FREED, Node
from ..tensor import Tensor
from .summary import FEW, json_number, nested_text
from .summary import Summary as Summary
from .summary import short_number as short_number
from .summary import summarize as summarize

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class GraphNode:
    """One value of a graph, with the operation that computed it.

    Attributes:
        number: its position in the view; arguments come before the results computed from them.
        kind: ``"leaf"``, ``"constant"``, ``"operation"``, or ``"output"`` for an operation whose result was passed to
            `GraphView`.
        name: the name given by the user, or ``None``.
        operation: the name of the primitive, ``None`` for leaf and constant.
        scope: the path of the layer that was running, ``outer.inner``, or ``None``.
        tex, rules: the equation of the operation, and of the gradient in each argument (``None`` if it has no gradient;
            a single one for an operation that takes any number of arguments).
        metadata: keyword arguments of the operation that are not its defaults, as short text: ``axis=1``.
        shape, dtype: of the value; a plain Python number has the name of its type.
        value, grad: summaries of value and gradient; ``grad`` is ``None`` if `backward` stored no gradient here.
        line: file and line that called the operation, if anomaly detection recorded them.
        array, grad_array: the arrays themselves, as read-only views.
        origin: a weak reference to the Node, so that a view keeps no graph alive; ``None`` for a constant.
    """

    number: int
    kind: str
    name: str | None
    operation: str | None
    scope: str | None
    tex: str | None
    rules: tuple[str | None, ...]
    metadata: str
    shape: tuple[int, ...]
    dtype: str
    value: Summary
    grad: Summary | None
    line: tuple[str, int] | None
    array: Array = field(repr=False, compare=False)
    grad_array: Array | None = field(repr=False, compare=False)
    origin: ref[Node] | None = field(default=None, repr=False, compare=False)

    @property
    def node(self) -> Node | None:
        """The Node behind this entry; ``None`` for a constant, and once the graph itself has been released."""
        return self.origin() if self.origin else None


@dataclass(frozen=True, slots=True)
class GraphEdge:
    """The value of node `source` is argument `slot` of node `target`."""

    source: int
    target: int
    slot: int


class GraphView:
    r"""An immutable snapshot of the graph behind a result: the operations, their arguments and their gradients.

    Building it does not change the graph. An ndarray that is used twice is one constant node; a plain number gets a
    constant node at each use.

    Args:
        result: a Tensor, or a list, tuple or dict of Tensors, nested as the model returns them.
        names: a dict of names for Tensors and arrays that have no name of their own, such as ``locals()``.

    Attributes:
        nodes: tuple of `GraphNode` in topological order; ``view[i]`` is the node of number i.
        edges: tuple of `GraphEdge`, ordered by target and slot; ``x * x`` has two.
        outputs: the numbers of the nodes of ``result``.

    Raises:
        TypeError: ``result`` contains something other than Tensors.
        RuntimeError: the graph was freed by `backward`.

    Example:
        >>> x = Tensor([1.0, 2.0], name="x")
        >>> view = GraphView((x * x).sum())
        >>> [node.name or node.operation for node in view], [(e.source, e.target, e.slot) for e in view.edges]
        (['x', 'multiply', 'sum'], [(0, 1, 0), (0, 1, 1), (1, 2, 0)])
        >>> view.find("x").value.text, view[2].value.text
        ('[1, 2]', '5')
    """

    __slots__ = ("edges", "nodes", "outputs")

    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]
    outputs: tuple[int, ...]

    def __init__(self, result: Any, *, names: Mapping[str, Any] | None = None) -> None:
        build = _ViewBuilder(tensors_of(result), names or {})
        object.__setattr__(self, "nodes", tuple(build.nodes))
        object.__setattr__(self, "edges", tuple(build.edges))
        object.__setattr__(self, "outputs", build.outputs)

    @classmethod
    def made_of(cls, nodes: Iterable[GraphNode], edges: Iterable[GraphEdge], outputs: Iterable[int]) -> GraphView:
        """Return a view of these parts, such as those of another view with some of them changed."""
        view = object.__new__(cls)
        for name, parts in (("nodes", nodes), ("edges", edges), ("outputs", outputs)):
            object.__setattr__(view, name, tuple(parts))
        return view

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("a GraphView is frozen; build a new one with GraphView(result).")

    __delattr__ = __setattr__  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[GraphNode]:
        return iter(self.nodes)

    def __getitem__(self, number: int) -> GraphNode:
        if not 0 <= number < len(self.nodes):
            raise IndexError(f"this graph has nodes 0 to {len(self.nodes) - 1}; there is no node {number}.")
        return self.nodes[number]

    def __repr__(self) -> str:
        return f"<graph of {counted(len(self.nodes), 'node')} and {counted(len(self.edges), 'edge')}>"

    def operands(self) -> list[list[int]]:
        """Return for each node the numbers of its operands, in the order of their slots."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for edge in self.edges:
            found[edge.target].append(edge.source)
        return found

    def find(self, name: str) -> GraphNode:
        """Return the node with this name.

        Raises:
            KeyError: no node has this name.
            ValueError: several nodes have this name.
        """
        found = [node for node in self.nodes if node.name == name]
        if len(found) > 1:
            numbers = ", ".join(f"view[{node.number}]" for node in found)
            raise ValueError(f"{len(found)} nodes are named {name!r}: {numbers}.")
        if not found:
            known = sorted({node.name for node in self.nodes if node.name})
            near = near_names(name, known)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(map(repr, known[:20])) or 'no names'}."
            raise KeyError(f"no node of this graph is named {name!r}; {hint}")
        return found[0]

    def to_dict(self) -> dict[str, Any]:
        """Return the view as dicts, lists, strings and numbers that JSON can hold (NaN and infinity as text)."""
        nodes, edges = map(_as_json, self.nodes), map(_as_json, self.edges)
        return {"nodes": list(nodes), "edges": list(edges), "outputs": list(self.outputs)}

    def to_json(self, indent: int | None = None) -> str:
        r"""Return `to_dict` as ASCII JSON that is safe inside a ``<script>``: ``<`` is written as ``\u003c``."""
        return script_json(self.to_dict(), indent, separators=None)


class _ViewBuilder:
    """Builder of a view: nodes are numbered in the order in which they were created."""

    def __init__(self, results: list[Tensor], names: Mapping[str, Any]) -> None:
        self.nodes: list[GraphNode] = []
        self.edges: list[GraphEdge] = []
        self.constants: dict[int, int] = {}  # id of an array, kept alive by the Nodes -> number of its constant
        roots = {t.node for t in results if t.node is not None}
        order = _oldest_first(roots)
        self.given_nodes: dict[Node, str] = {}
        self.labels: dict[int, str] = {}
        for node in order:
            for slot, name in (node.notes or {}).get("constants", {}).items():
                self.labels.setdefault(id(node.args[slot]), name)  # type: ignore[index]
        for name, value in names.items():
            self._give(name, value)
        numbers: dict[Node, int] = {}
        for node in order:
            numbers[node] = self._add(node, numbers, node in roots)
        self.outputs = tuple(
            numbers[t.node] if t.node is not None else self._constant(t.data, t.label) for t in results
        )

    def _give(self, name: str, value: Any) -> None:
        if isinstance(value, Tensor) and value.node is not None:
            self.given_nodes.setdefault(value.node, name)
        elif isinstance(value, (Tensor, np.ndarray)):
            self.labels.setdefault(id(value.data if isinstance(value, Tensor) else value), name)

    def _add(self, node: Node, numbers: Mapping[Node, int], wanted: bool) -> int:
        sources = [
            self._constant(arg) if parent is None else numbers[parent]
            for arg, parent in zip(node.args or (), node.parents or (), strict=True)
        ]
        number = len(self.nodes)
        self.edges += [GraphEdge(source, number, slot) for slot, source in enumerate(sources)]
        name = (node.notes or {}).get("name") or self.given_nodes.get(node)
        self._append("leaf" if node.primitive is None else "output" if wanted else "operation", name, node.out, node)
        return number

    def _constant(self, arg: Any, label: str | None = None) -> int:
        shared = isinstance(arg, np.ndarray)
        if shared and id(arg) in self.constants:
            return self.constants[id(arg)]
        if shared:
            self.constants[id(arg)] = len(self.nodes)
        self._append("constant", label or (self.labels.get(id(arg)) if shared else None), arg)
        return len(self.nodes) - 1

    def _append(self, kind: str, name: str | None, value: Any, node: Node | None = None) -> None:
        array = _read_only(value)
        primitive = node.primitive if node else None
        grad = node.grad if node else None
        self.nodes.append(
            GraphNode(
                number=len(self.nodes),
                kind=kind,
                name=name,
                operation=primitive.name if primitive else None,
                scope=node.scope if node else None,
                tex=primitive.tex if primitive else None,
                rules=primitive.rule_tex if primitive else (),
                metadata=_metadata(primitive, node.meta) if node and primitive else "",
                shape=array.shape,
                dtype=str(array.dtype) if isinstance(value, np.ndarray) else type(value).__name__,
                value=summarize(array),
                grad=None if grad is None else summarize(grad),
                line=(node.notes or {}).get("where") if node else None,
                array=array,
                grad_array=None if grad is None else _read_only(grad),
                origin=ref(node) if node else None,
            )
        )


def tensors_of(result: Any) -> list[Tensor]:
    """Return the Tensors in a result: the Tensor itself, or all in nested lists, tuples and dicts; ``None`` is skipped.

    Raises:
        TypeError: the result contains no Tensor, or something other than Tensors.
    """
    found: list[Tensor] = []
    stack = [result]
    while stack:
        part = stack.pop()
        if isinstance(part, Tensor):
            found.append(part)
        elif isinstance(part, Mapping):
            stack += reversed(list(part.values()))
        elif isinstance(part, (list, tuple)):
            stack += reversed(part)
        elif part is not None:
            found.clear()
            break
    if found:
        return found
    raise TypeError(
        f"a graph belongs to a Tensor, or a list, tuple or dict of Tensors; this is of type {type(result).__name__}. "
        "Pass the result of a computation on Tensors, without .data or .item()."
    )


def _oldest_first(roots: Iterable[Node]) -> list[Node]:
    """Return the roots and all Nodes that they were computed from, each once, in order of creation."""
    stack = list(roots)
    seen = set(stack)
    while stack:
        parents = stack.pop().parents
        if parents is None:
            raise RuntimeError(FREED)
        for parent in parents:
            if parent is not None and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return sorted(seen, key=lambda node: node.index)


def _read_only(value: Any) -> Array:
    view = np.asarray(value).view()
    view.flags.writeable = False
    return view


def _metadata(primitive: Any, meta: Mapping[str, Any]) -> str:
    """Return the keyword arguments of an operation that differ from its defaults, without the arrays it saved."""
    defaults = {p.name: _value_text(p.default) for p in primitive.parameters}
    given = {key: _value_text(value) for key, value in primitive.call_meta(meta).items()}
    return ", ".join(f"{key}={text}" for key, text in given.items() if text != defaults.get(key, "None"))


def _value_text(value: Any, depth: int = 3) -> str:
    """Return any value as short text that is the same in every run: without addresses and long arrays."""
    if isinstance(value, (np.ndarray, np.generic)):
        if value.size <= FEW and value.ndim <= 1:
            return nested_text(value.tolist())
        return f"{value.dtype}[{', '.join(map(str, value.shape))}]"
    if isinstance(value, slice):
        ends = ["" if part is None else _value_text(part) for part in (value.start, value.stop, value.step)]
        return ":".join(ends if value.step is not None else ends[:2])
    if isinstance(value, (tuple, list)) and depth:
        parts = [_value_text(part, depth - 1) for part in value[:FEW]] + ["..."] * (len(value) > FEW)
        body = ", ".join(parts)
        return f"[{body}]" if isinstance(value, list) else f"({body},)" if len(parts) == 1 else f"({body})"
    if value is Ellipsis:
        return "..."
    if isinstance(value, (bool, int, float, complex)):
        return short_number(value)
    if value is None or isinstance(value, str):
        return f"{value!r:.40}"
    return str(getattr(value, "__name__", type(value).__name__))


def _as_json(value: Any) -> Any:
    """Return a frozen record as a dict that JSON can hold, without its arrays; other values likewise."""
    if isinstance(value, (GraphNode, GraphEdge, Summary)):
        return {part.name: _as_json(getattr(value, part.name)) for part in fields(value) if part.compare}
    if isinstance(value, tuple):
        return [_as_json(part) for part in value]
    return json_number(value) if isinstance(value, float) else value
