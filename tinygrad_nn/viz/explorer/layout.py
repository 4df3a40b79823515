"""Positions of the nodes and boxes of a graph; the page's layout.js is a line-by-line translation of this module.

Layers that do not fit in a row are wrapped into the next line, like words. Edges between two lines run through the gap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ...graph.view import GraphEdge
from .order import SWEEPS, Arrangement, Box

AHEAD, ASIDE, PAD, HEAD = 136.0, 16.0, 14.0, 24.0  # gaps between and in layers, padding of a box, height of its name
LINE, TURN = 56.0, 34.0  # gap between lines, and at their ends, where edges bend to the next line
SHORTER, TRIES = 0.8, 30  # factor between the line lengths that are tried, and how many are tried
GIVES_WAY = 0.01
Size = tuple[float, float]
Point = tuple[float, float]
Spots = dict[str, tuple[float, float, float, float]]  # left, top, width, height


@dataclass(slots=True)
class Placed:
    """The rectangle of each node and box, the line of its parent box that it is in, and start and end of its layer."""

    spots: Spots
    lines: dict[str, int]
    layers: dict[str, tuple[float, float]]


def fit_lines(
    boxes: list[Box], sizes: Callable[[str], Size], down: bool, folded: frozenset[int], room: Size,
    largest: float = 0.85,
) -> Placed:  # fmt: skip
    """Place everything with the line length at which the whole can be drawn largest in the given room.

    Args:
        boxes: the boxes of an `Arrangement`; sizes, down and folded as in `place_nodes`.
        room: width and height of the available space.
        largest: scale at which the search stops.
    """
    best = place_nodes(boxes, sizes, down, folded)
    length = best.spots["b0"][3 if down else 2]
    scale = _scale(best, room, largest)
    for _ in range(TRIES):
        length *= SHORTER
        if scale >= largest or length < AHEAD:
            break
        tried = place_nodes(boxes, sizes, down, folded, length)
        better = _scale(tried, room, largest)
        if better > 1.04 * scale:
            best, scale = tried, better
        elif better < 0.6 * scale:
            break
    return best


def _scale(placed: Placed, room: Size, largest: float) -> float:
    _, _, w, h = placed.spots["b0"]
    return min(largest, room[0] / w, room[1] / h)


def place_nodes(
    boxes: list[Box], sizes: Callable[[str], Size], down: bool = False, folded: frozenset[int] = frozenset(),
    longest: float = float("inf"),
) -> Placed:  # fmt: skip
    """Return the rectangles of everything that is shown, from the sizes of nodes and folded boxes.

    Args:
        boxes: the boxes of an `Arrangement`.
        sizes: width and height of a node or a folded box by its key.
        down: from top to bottom instead of from left to right.
        folded: boxes whose content is not shown.
        longest: maximum length of a line of layers; it is a little less in a nested box.
    """
    inside: dict[int, tuple[Size, Spots, dict[str, int], dict[str, tuple[float, float]]]] = {}
    depth = [0] * len(boxes)
    for number in range(1, len(boxes)):
        depth[number] = depth[boxes[number].parent] + 1

    def size(key: str) -> Size:
        if key[0] == "l":
            return (0.0, 6.0) if not down else (6.0, 0.0)
        number = int(key[1:])
        return inside[number][0] if key[0] == "b" and number not in folded else sizes(key)

    for number in reversed(range(len(boxes))):  # inner boxes have larger numbers than the box around them
        if number not in folded:
            known = {key: size(key) for row in boxes[number].layers for key in row}
            inside[number] = _inside(boxes[number], known, down, longest - 2 * (PAD + TURN) * depth[number])
    placed = Placed({"b0": (0.0, 0.0, *inside[0][0])}, {}, {})
    stack = [0]
    while stack:
        number = stack.pop()
        x0, y0, _, _ = placed.spots[f"b{number}"]
        ahead = y0 if down else x0
        placed.lines.update(inside[number][2])
        placed.layers.update({key: (ahead + a, ahead + b) for key, (a, b) in inside[number][3].items()})
        for key, (x, y, w, h) in inside[number][1].items():
            placed.spots[key] = (x0 + x, y0 + y, w, h)
            if key[0] == "b" and int(key[1:]) not in folded:
                stack.append(int(key[1:]))
    return placed


def _inside(
    box: Box, sizes: Mapping[str, Size], down: bool, longest: float
) -> tuple[Size, Spots, dict[str, int], dict[str, tuple[float, float]]]:
    """Return the size of an open box, the rectangles in it relative to its corner, and the line and layer of each."""
    ahead, aside = (1, 0) if down else (0, 1)
    middle = _middles(box, sizes, aside)
    lengths = [max(sizes[key][ahead] for key in row) for row in box.layers]
    lines: list[list[int]] = []  # the layers of each line
    along = 0.0
    for i, length in enumerate(lengths):
        if not lines or along + AHEAD + length > longest:
            lines.append([])
            along = -AHEAD
        lines[-1].append(i)
        along += AHEAD + length
    rim = TURN if len(lines) > 1 else 0.0
    head = HEAD if box.parent >= 0 else PAD
    first, across = (head, PAD) if down else (PAD, head)
    far, spots, at, reach = first, {}, {}, {}
    for line, layers in enumerate(lines):
        keys = [key for i in layers for key in box.layers[i]]
        low = min(middle[key] - sizes[key][aside] / 2 for key in keys)
        high = max(middle[key] + sizes[key][aside] / 2 for key in keys)
        along = first + rim
        for i in layers:
            for key in box.layers[i]:
                a = along if key[0] == "l" else along + (lengths[i] - sizes[key][ahead]) / 2
                c = middle[key] - sizes[key][aside] / 2 - low + across
                w, h = sizes[key] if key[0] != "l" else ((6.0, lengths[i]) if down else (lengths[i], 6.0))
                spots[key] = (c, a, w, h) if down else (a, c, w, h)
                at[key] = line
                reach[key] = (along, along + lengths[i])
            along += lengths[i] + AHEAD
        far = max(far, along - AHEAD + rim)
        across += high - low + LINE
    total = far + PAD
    wide = (across - LINE if lines else across) + PAD
    return ((max(wide, 90.0), total) if down else (total, max(wide, 40.0))), spots, at, reach


def _middles(box: Box, sizes: Mapping[str, Size], aside: int) -> dict[str, float]:
    """Return the center of everything in a box, in the direction across its layers: near the mean of its neighbours.

    Parts without predecessors have a small weight, so that a chain of operations with constants stays straight.
    """
    left: dict[str, list[str]] = {}
    right: dict[str, list[str]] = {}
    for source, target in box.links:
        right.setdefault(source, []).append(target)
        left.setdefault(target, []).append(source)
    middle: dict[str, float] = {}
    weight = {key: 1.0 if key in left else GIVES_WAY for row in box.layers for key in row}
    for row in box.layers:
        at = -(sum(sizes[key][aside] for key in row) + ASIDE * (len(row) - 1)) / 2
        for key in row:
            middle[key] = at + sizes[key][aside] / 2
            at += sizes[key][aside] + ASIDE
    for sweep in range(SWEEPS):
        sides = left if sweep % 2 == 0 else right
        for row in box.layers if sweep % 2 == 0 else reversed(box.layers):
            near = [sides.get(key, [key]) for key in row]
            wish = [sum(weight[k] * middle[k] for k in keys) / sum(weight[k] for k in keys) for keys in near]
            end, got = float("-inf"), []
            for key, want in zip(row, wish, strict=True):
                got.append(max(want, end + sizes[key][aside] / 2))
                end = got[-1] + sizes[key][aside] / 2 + ASIDE
            shifts = [weight[key] * (want - have) for key, want, have in zip(row, wish, got, strict=True)]
            shift = sum(shifts) / sum(weight[key] for key in row)
            middle.update({key: have + shift for key, have in zip(row, got, strict=True)})
    return middle


def edge_lines(edges: Sequence[GraphEdge], arrangement: Arrangement, placed: Placed) -> list[list[Point]]:
    """Return each edge as a polyline, for a graph drawn from left to right with nothing folded."""
    boxes, spots = arrangement.boxes, placed.spots
    box_of = {f"n{number}": box for number, box in enumerate(arrangement.home)}
    box_of |= {key: number for number, box in enumerate(boxes) for row in box.layers for key in row if key[0] == "l"}
    rims: dict[tuple[int, int], list[float]] = {}  # left, right, bottom of each line of each box
    for number, box in enumerate(boxes):
        for key in (key for row in box.layers for key in row):
            x, y, w, h = spots[key]
            rim = rims.setdefault((number, placed.lines[key]), [x, x + w, y + h])
            rim[:] = min(rim[0], x), max(rim[1], x + w), max(rim[2], y + h)

    def around(key: str) -> list[tuple[int, str]]:
        pairs = [(box_of[key], key)]
        while pairs[-1][0]:
            number = pairs[-1][0]
            pairs.append((boxes[number].parent, f"b{number}"))
        return pairs

    def meet(key: str, after: str) -> tuple[int, str, str]:
        left = dict(around(key))
        number, child = next((n, child) for n, child in around(after) if n in left)
        return number, left[number], child

    paths = [[f"n{e.source}", *arrangement.routes.get(i, ()), f"n{e.target}"] for i, e in enumerate(edges)]
    meetings = [[meet(a, b) for a, b in pairwise(path)] for path in paths]
    bending: dict[tuple[int, int], list[int]] = {}  # the values whose edges bend at the end of each line
    arity: dict[int, int] = {}
    for edge, found in zip(edges, meetings, strict=True):
        arity[edge.target] = max(arity.get(edge.target, 0), edge.slot + 1)
        for number, left, right in found:
            turning = bending.setdefault((number, placed.lines[left]), [])
            if placed.lines[right] == placed.lines[left] + 1 and edge.source not in turning:
                turning.append(edge.source)
    lines = []
    for edge, path, found in zip(edges, paths, meetings, strict=True):
        points: list[Point] = []
        for (a, b), (number, before, after) in zip(pairwise(path), found, strict=True):
            x, y, w, h = spots[a]
            u, v, _, r = spots[b]
            start = (x + w, y + h / 2)
            end = (u, v + (r / 2 if b[0] == "l" else r * (edge.slot + 1) / (arity[edge.target] + 1)))
            points.append(start)
            line = placed.lines[before]
            if placed.lines[after] == line + 1:
                share = (bending[number, line].index(edge.source) + 1) / (len(bending[number, line]) + 1)
                there = rims[number, line][1] + 8 + (TURN - 8) * share
                back = rims[number, line + 1][0] - 8 - (TURN - 8) * share
                gap = rims[number, line][2] + LINE * share
                points += [(there, start[1]), (there, gap), (back, gap), (back, end[1])]
            else:  # the curve lies in the empty gap between two layers
                points += _curve((placed.layers[before][1], start[1]), (placed.layers[after][0], end[1]))
            points.append(end)
        lines.append(points)
    return lines


def _curve(start: Point, end: Point) -> list[Point]:
    """Return points of a curve that starts and ends horizontally."""
    (p, q), (r, s) = start, end
    bend = max(24.0, abs(r - p) / 2)
    points = []
    for i in range(25):
        t = i / 24
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
        points.append((a * p + b * (p + bend) + c * (r - bend) + d * r, (a + b) * q + (c + d) * s))
    return points
