"""The order of the parts of a drawing: scopes become nested boxes, and each box is divided into layers of nodes.

The layer of a part, and its place within the layer, do not depend on sizes. So when a box is folded, everything else
keeps its order. `layout.place` turns this order into positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...graph.view import GraphView
from ..graph.levels import Level, enclosing, scope_levels

SWEEPS = 4


@dataclass(slots=True)
class Box(Level):
    """The consecutive operations of one scope, or the whole graph as box 0, divided into layers.

    Attributes:
        layers: the keys of the parts in each layer: ``n`` and the number of a node, ``b`` and the number of a box, or
            ``l`` and the number of a lane, which keeps a place free for a passing edge.
        links: pairs of neighbours in consecutive layers.
    """

    layers: list[list[str]] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Arrangement:
    """All boxes, the box of each node, and the lanes of each edge that has any, by its index in ``view.edges``."""

    boxes: list[Box]
    home: list[int]
    routes: dict[int, list[str]]


def arrange(view: GraphView) -> Arrangement:
    """Put the nodes of a graph into boxes and layers."""
    boxes, home = _boxes(view)
    children: list[list[str]] = [[] for _ in boxes]
    for number in range(len(view)):
        if view[number].operation is None:
            children[home[number]].append(f"n{number}")
    for keys, scope in zip(children, boxes, strict=True):
        keys += [f"n{child}" if child >= 0 else f"b{~child}" for child in scope.children]
    inner: list[list[tuple[str, str, int]]] = [[] for _ in boxes]
    for place, edge in enumerate(view.edges):
        box, source, target = _meeting_box(boxes, home, edge.source, edge.target)
        inner[box].append((source, target, place))
        for number, child in _boxes_between(boxes, box, home[edge.source], edge.source):  # passes the later layers
            inner[number].append((child, "", place))
        for number, child in _boxes_between(boxes, box, home[edge.target], edge.target):  # passes the earlier layers
            inner[number].append(("", child, place))
    parts: list[dict[int, list[str]]] = []
    lanes = [0]
    for scope, inside, links in zip(boxes, children, inner, strict=True):
        parts.append(_layers(view, scope, inside, links, lanes))
    routes: dict[int, list[str]] = {}
    for place, edge in enumerate(view.edges):
        box, _, _ = _meeting_box(boxes, home, edge.source, edge.target)
        out = [number for number, _ in reversed(_boxes_between(boxes, box, home[edge.source], edge.source))]
        into = [number for number, _ in _boxes_between(boxes, box, home[edge.target], edge.target)]
        route = [lane for number in (*out, box, *into) for lane in parts[number].get(place, ())]
        if route:
            routes[place] = route
    return Arrangement(boxes, home, routes)


def _boxes_between(boxes: list[Box], outer: int, home: int, number: int) -> list[tuple[int, str]]:
    """Return the boxes between another box and a node, outermost first, each with its child that contains the node."""
    around = enclosing(boxes, home)
    steps = [*(f"b{box}" for box in around), f"n{number}"]
    first = around.index(outer) + 1
    return list(zip(around[first:], steps[first + 1 :], strict=True))


def _boxes(view: GraphView) -> tuple[list[Box], list[int]]:
    """Return a box for each sequence of consecutive operations of one scope, and the box of each node."""
    boxes = scope_levels(view, Box)
    home = [0] * len(view)
    for number, box in enumerate(boxes):
        for child in box.children:
            if child >= 0:
                home[child] = number
    users: dict[int, set[int]] = {}
    for edge in view.edges:
        users.setdefault(edge.source, set()).add(home[edge.target])
    for part in view:
        if part.operation is None and (part.kind == "leaf" or part.name is None):
            home[part.number] = _common_box(boxes, users.get(part.number, {0}))
    return boxes, home


def _common_box(boxes: list[Box], numbers: set[int]) -> int:
    common = 0
    for level in zip(*(enclosing(boxes, number) for number in numbers), strict=False):
        if len(set(level)) > 1:
            break
        common = level[0]
    return common


def _meeting_box(boxes: list[Box], home: list[int], source: int, target: int) -> tuple[int, str, str]:
    """Return the innermost box that contains both ends of an edge, and the two children of it that contain them."""
    left, right = enclosing(boxes, home[source]), enclosing(boxes, home[target])
    same = 0
    while same < min(len(left), len(right)) and left[same] == right[same]:
        same += 1
    start = f"b{left[same]}" if same < len(left) else f"n{source}"
    end = f"b{right[same]}" if same < len(right) else f"n{target}"
    return left[same - 1], start, end


def _layers(
    view: GraphView, box: Box, parts: list[str], edges: list[tuple[str, str, int]], lanes: list[int]
) -> dict[int, list[str]]:
    """Fill in the layers and links of a box, and return the lanes of its edges; an empty end lies outside the box."""
    layer = dict.fromkeys(parts, 0)
    after: dict[str, list[str]] = {part: [] for part in parts}
    before: dict[str, int] = dict.fromkeys(parts, 0)
    for source, target, _ in edges:
        if source and target:
            after[source].append(target)
            before[target] += 1
    for part in parts:  # data, then operations and boxes by age: users of a part come later in this list
        for target in after[part]:
            layer[target] = max(layer[target], layer[part] + 1)
    for part in parts:
        if not before[part] and after[part]:
            layer[part] = min(layer[target] for target in after[part]) - 1
    rows: list[list[str]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for part in parts:
        rows[layer[part]].append(part)
    links: dict[tuple[str, str], float] = {}
    passing: dict[tuple[int, int], str] = {}  # all edges of one value share a lane in each layer
    routes: dict[int, list[str]] = {}
    room = 3 * len(parts) + 200
    spans = [(layer.get(source, -1), layer.get(target, len(rows)), place, source, target)
             for source, target, place in edges]  # fmt: skip
    for first, end, place, source, target in sorted(spans, key=lambda e: (e[1] - e[0], e[2])):
        edge, last, route = view.edges[place], source, []
        if end - first - 1 <= room:
            for level in range(first + 1, end):
                if (edge.source, level) not in passing:
                    passing[edge.source, level] = f"l{lanes[0]}"
                    rows[level].append(passing[edge.source, level])
                    lanes[0] += 1
                    room -= 1
                route.append(passing[edge.source, level])
                if last:
                    links.setdefault((last, route[-1]), 0.0)
                last = route[-1]
            if last and target:
                links.setdefault((last, target), 0.1 * edge.slot)
        routes[place] = route
    box.links = list(links)
    box.layers = _untangle([row for row in rows if row], links)
    return routes


def _untangle(rows: list[list[str]], links: Mapping[tuple[str, str], float]) -> list[list[str]]:
    """Return the layers, sorted to reduce edge crossings: each part is moved near the mean of its neighbours."""
    left: dict[str, list[tuple[str, float]]] = {}
    right: dict[str, list[tuple[str, float]]] = {}
    for (source, target), slot in links.items():
        right.setdefault(source, []).append((target, slot))
        left.setdefault(target, []).append((source, 0.0))
    at = {part: float(i) for row in rows for i, part in enumerate(row)}
    for sweep in range(SWEEPS):
        sides = right if sweep % 2 == 0 else left
        for i in reversed(range(len(rows))) if sweep % 2 == 0 else range(len(rows)):
            wish = {p: sum(at[q] + s for q, s in sides[p]) / len(sides[p]) if p in sides else at[p] for p in rows[i]}
            rows[i] = sorted(rows[i], key=wish.__getitem__)
            at.update({part: float(place) for place, part in enumerate(rows[i])})
    return rows
