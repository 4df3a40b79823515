"""Output of a graph as JSON for Model Explorer, a viewer of large graphs (PyPI `ai-edge-model-explorer`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...common.printable import printable
from ...graph import GraphNode, GraphView
from .picture import title_of

SUFFIX = ".model-explorer.json"


def to_model_explorer(view: GraphView, title: str | None = None) -> str:
    """Return the JSON text of a collection of one graph, with every node; scopes become layers that can be unfolded.

    Example:
        >>> from tinygrad_nn import Tensor
        >>> x = Tensor([1.0, 2.0], name="x")
        >>> [graph] = json.loads(to_model_explorer(GraphView((x * x).sum())))["graphs"]
        >>> [(node["label"], [edge["sourceNodeId"] for edge in node["incomingEdges"]]) for node in graph["nodes"]]
        [('x', []), ('multiply', ['0', '0']), ('sum', ['1'])]
    """
    heading = printable(title or title_of(view))
    incoming: list[list[dict[str, str]]] = [[] for _ in view]
    users: list[set[str]] = [set() for _ in view]
    for edge in view.edges:
        ends = {"sourceNodeId": str(edge.source), "sourceNodeOutputId": "0", "targetNodeInputId": str(edge.slot)}
        incoming[edge.target].append(ends)
        users[edge.source].add(view[edge.target].scope or "")
    nodes = []
    for part in view:
        scope = part.scope or ""
        if part.operation is None and len(users[part.number]) == 1:  # a parameter belongs to the layer that uses it
            [scope] = users[part.number]
        shape = f"{part.dtype}[{','.join(map(str, part.shape))}]"
        nodes.append({
            "id": str(part.number),
            "label": printable(part.name or part.operation or _constant(part)),
            "namespace": "/".join(printable(name).replace("/", "∕") for name in scope.split(".")),
            "attrs": [{"key": key, "value": printable(value)} for key, value in _attributes(part) if value],
            "incomingEdges": incoming[part.number],
            "outputsMetadata": [{"id": "0", "attrs": [{"key": "shape", "value": shape}]}],
        })  # fmt: skip
    operations = sum(part.operation is not None for part in view)
    about = {"": {"operations": f"{operations:,}", "leaves": f"{sum(part.kind == 'leaf' for part in view):,}"}}
    graph = {"id": heading, "nodes": nodes, "groupNodeAttributes": about}
    return json.dumps({"label": heading, "graphs": [graph]}, indent=1) + "\n"


def _constant(part: GraphNode) -> str:
    return part.value.text if part.kind == "constant" and part.array.size == 1 else part.kind


def _attributes(part: GraphNode) -> list[tuple[str, Any]]:
    """Return the names and values that the viewer's side panel shows for a node."""
    rules = [(f"gradient in argument {slot}", rule) for slot, rule in enumerate(part.rules)]
    line = [] if part.line is None else [("line", f"{Path(part.line[0]).name}:{part.line[1]}")]
    return [("kind", part.kind), ("operation", part.operation), ("arguments", part.metadata), ("equation", part.tex),
            *rules, ("value", part.value.text), ("gradient", part.grad.text if part.grad else None), *line]  # fmt: skip
