"""Where the parts of a graph stand: scopes as boxes within boxes, in each box layers from its inputs to its results.

Which layer a part is in, and at which place, never depends on sizes. So a reader can fold a box and everything else
keeps its order: `place` turns orders into positions, here and (word for word) in the page's script.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..graph import GraphView

AHEAD, ASIDE, PAD, HEAD = 124.0, 16.0, 14.0, 24.0  # gaps between and within layers, rim of a box, height of its name
SWEEPS = 4
Size = tuple[float, float]
Spots = dict[str, tuple[float, float, float, float]]  # left, top, width, height


@dataclass(slots=True)
class Box:
    """One run of a scope, or the whole graph as box 0.

    Attributes:
        label: the scope's own name; `path` with the names of the scopes around it.
        parent: the number of the box it stands in, -1 for the whole graph.
        layers: what stands in each layer: ``n`` and the number of a node, ``b`` of a box, ``l`` of a lane, which keeps
            a place free where an edge passes.
        links: pairs of neighbours in consecutive layers.
        operations: how many operations it holds, in boxes within too.
    """

    label: str
    path: str
    parent: int
    layers: list[list[str]] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    operations: int = 0


@dataclass(slots=True)
class Arrangement:
    """All boxes, the box of each node, and the lanes of each edge that has any, by its place in ``view.edges``."""

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
    for key in _in_order(view, boxes, home):
        children[boxes[int(key[1:])].parent if key[0] == "b" else home[int(key[1:])]].append(key)
    inner: list[list[tuple[str, str, int]]] = [[] for _ in boxes]
    for place, edge in enumerate(view.edges):
        box, source, target = _meet(boxes, home, edge.source, edge.target)
        inner[box].append((source, target, place))
        inside = _chain(boxes, home[edge.target])
        for number in inside[inside.index(box) + 1 :]:  # from its rim to where it ends, past what stands before that
            deeper = inside.index(number) + 1
            end = f"b{inside[deeper]}" if deeper < len(inside) else f"n{edge.target}"
            inner[number].append(("", end, place))
    routes: dict[int, list[str]] = {}
    lanes = [0]
    for scope, parts, links in zip(boxes, children, inner, strict=True):
        _layers(view, scope, parts, links, routes, lanes)
    return Arrangement(boxes, home, routes)


def _boxes(view: GraphView) -> tuple[list[Box], list[int]]:
    """Return a box for every run of operations of one scope, and which box each node stands in."""
    boxes = [Box("", "", -1)]
    home = [0] * len(view)
    open_boxes = [0]
    for part in view:
        if part.operation is None:
            continue
        names = part.scope.split(".") if part.scope else []
        same = 0
        while same < min(len(names), len(open_boxes) - 1) and boxes[open_boxes[same + 1]].label == names[same]:
            same += 1
        del open_boxes[same + 1 :]
        for depth in range(same, len(names)):
            boxes.append(Box(names[depth], ".".join(names[: depth + 1]), open_boxes[-1]))
            open_boxes.append(len(boxes) - 1)
        home[part.number] = open_boxes[-1]
        for number in open_boxes:
            boxes[number].operations += 1
    users: dict[int, set[int]] = {}
    for edge in view.edges:
        users.setdefault(edge.source, set()).add(home[edge.target])
    for part in view:
        if part.operation is None and (part.kind == "leaf" or part.name is None):
            home[part.number] = _common(boxes, users.get(part.number, {0}))
    return boxes, home


def _chain(boxes: list[Box], number: int) -> list[int]:
    """Return the boxes around and including one, the outermost first."""
    chain = []
    while number >= 0:
        chain.append(number)
        number = boxes[number].parent
    return chain[::-1]


def _common(boxes: list[Box], numbers: set[int]) -> int:
    common = 0
    for level in zip(*(_chain(boxes, number) for number in numbers), strict=False):
        if len(set(level)) > 1:
            break
        common = level[0]
    return common


def _in_order(view: GraphView, boxes: list[Box], home: list[int]) -> list[str]:
    """Return operations and boxes, each box where its first operation is."""
    keys: list[str] = []
    seen = {0}
    for part in view:
        if part.operation is None:
            continue
        for number in _chain(boxes, home[part.number]):
            if number not in seen:
                seen.add(number)
                keys.append(f"b{number}")
        keys.append(f"n{part.number}")
    return keys


def _meet(boxes: list[Box], home: list[int], source: int, target: int) -> tuple[int, str, str]:
    """Return the innermost box that holds both ends of an edge, and which of its children they are or are in."""
    left, right = _chain(boxes, home[source]), _chain(boxes, home[target])
    same = 0
    while same < min(len(left), len(right)) and left[same] == right[same]:
        same += 1
    start = f"b{left[same]}" if same < len(left) else f"n{source}"
    end = f"b{right[same]}" if same < len(right) else f"n{target}"
    return left[same - 1], start, end


def _layers(
    view: GraphView, box: Box, parts: list[str], edges: list[tuple[str, str, int]], routes: dict[int, list[str]],
    lanes: list[int],
) -> None:  # fmt: skip
    """Fill in the layers and links of a box, and the routes of its edges."""
    layer = dict.fromkeys(parts, 0)
    after: dict[str, list[str]] = {part: [] for part in parts}
    before: dict[str, int] = dict.fromkeys(parts, 0)
    for source, target, _ in edges:
        if not source:
            continue
        after[source].append(target)
        before[target] += 1
    for part in parts:  # data, then operations and boxes by age: whatever a part goes into comes later in this list
        for target in after[part]:
            layer[target] = max(layer[target], layer[part] + 1)
    for part in parts:
        if not before[part] and after[part]:
            layer[part] = min(layer[target] for target in after[part]) - 1
    layer[""] = -1  # outside, before the first layer
    rows: list[list[str]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for part in parts:
        rows[layer[part]].append(part)
    links: dict[tuple[str, str], float] = {}
    passing: dict[tuple[int, int], str] = {}  # a value that goes several ways takes one lane through each layer
    room = 3 * len(parts) + 200
    for source, target, place in sorted(edges, key=lambda e: (layer[e[1]] - layer[e[0]], e[2])):
        edge, last, route = view.edges[place], source, []
        if layer[target] - layer[source] - 1 <= room:
            for level in range(layer[source] + 1, layer[target]):
                if (edge.source, level) not in passing:
                    passing[edge.source, level] = f"l{lanes[0]}"
                    rows[level].append(passing[edge.source, level])
                    lanes[0] += 1
                    room -= 1
                route.append(passing[edge.source, level])
                if last:
                    links.setdefault((last, route[-1]), 0.0)
                last = route[-1]
            if last:
                links.setdefault((last, target), 0.1 * edge.slot)
        if route:
            routes.setdefault(place, []).extend(route)  # boxes come after those they stand in
    box.links = list(links)
    box.layers = _untangle([row for row in rows if row], links)


def _untangle(rows: list[list[str]], links: Mapping[tuple[str, str], float]) -> list[list[str]]:
    """Return the layers with their parts in an order that crosses few edges: each near the mean of its neighbours."""
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




def place(
    boxes: list[Box], sizes: Callable[[str], Size], down: bool = False, folded: frozenset[int] = frozenset()
) -> Spots:
    """Return left, top, width and height of everything that is shown, from the sizes of nodes and folded boxes.

    Args:
        boxes: of an `Arrangement`.
        sizes: width and height of a node or a folded box by its key.
        down: from top to bottom instead of from left to right.
        folded: boxes whose inside is not shown.
    """
    inside: dict[int, tuple[Size, Spots]] = {}

    def size(key: str) -> Size:
        if key[0] == "l":
            return (0.0, 6.0) if not down else (6.0, 0.0)
        number = int(key[1:])
        return inside[number][0] if key[0] == "b" and number not in folded else sizes(key)

    for number in reversed(range(len(boxes))):  # a box is younger than the one it stands in
        if number not in folded:
            known = {key: size(key) for row in boxes[number].layers for key in row}
            inside[number] = _inside(boxes[number], known, down)
    spots: Spots = {"b0": (0.0, 0.0, *inside[0][0])}
    stack = [0]
    while stack:
        number = stack.pop()
        x0, y0, _, _ = spots[f"b{number}"]
        for key, (x, y, w, h) in inside[number][1].items():
            spots[key] = (x0 + x, y0 + y, w, h)
            if key[0] == "b" and int(key[1:]) not in folded:
                stack.append(int(key[1:]))
    return spots


def _inside(box: Box, sizes: Mapping[str, Size], down: bool) -> tuple[Size, Spots]:
    """Return the size of an open box and the spots in it, seen from its corner."""
    ahead, aside = (1, 0) if down else (0, 1)
    left: dict[str, list[str]] = {}
    right: dict[str, list[str]] = {}
    for source, target in box.links:
        right.setdefault(source, []).append(target)
        left.setdefault(target, []).append(source)
    middle: dict[str, float] = {}
    for row in box.layers:
        at = -(sum(sizes[key][aside] for key in row) + ASIDE * (len(row) - 1)) / 2
        for key in row:
            middle[key] = at + sizes[key][aside] / 2
            at += sizes[key][aside] + ASIDE
    for sweep in range(SWEEPS):
        sides = left if sweep % 2 == 0 else right
        for row in box.layers if sweep % 2 == 0 else reversed(box.layers):
            near = [sides.get(key, [key]) for key in row]
            wish = [sum(middle[key] for key in keys) / len(keys) for keys in near]
            end, got = float("-inf"), []
            for key, want in zip(row, wish, strict=True):
                got.append(max(want, end + sizes[key][aside] / 2))
                end = got[-1] + sizes[key][aside] / 2 + ASIDE
            shift = sum(want - have for want, have in zip(wish, got, strict=True)) / len(row)
            middle.update({key: have + shift for key, have in zip(row, got, strict=True)})
    low = min((middle[key] - sizes[key][aside] / 2 for key in middle), default=0.0)
    high = max((middle[key] + sizes[key][aside] / 2 for key in middle), default=0.0)
    pad, head = (PAD, HEAD if box.parent >= 0 else PAD)
    first = head if down else pad
    along, spots = first, {}
    for row in box.layers:
        width = max(sizes[key][ahead] for key in row)
        for key in row:
            a = along if key[0] == "l" else along + (width - sizes[key][ahead]) / 2
            c = middle[key] - sizes[key][aside] / 2 - low + (pad if down else head)
            w, h = sizes[key] if key[0] != "l" else ((sizes[key][0], width) if down else (width, sizes[key][1]))
            spots[key] = (c, a, w, h) if down else (a, c, w, h)
        along += width + AHEAD
    total = (along - AHEAD if box.layers else first) + pad
    across = high - low + pad + (pad if down else head)
    return ((max(across, 90.0), total) if down else (total, max(across, 40.0))), spots
