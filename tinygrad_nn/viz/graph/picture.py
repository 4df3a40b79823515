"""The content of a drawing, independent of its output format: items, arrows and nested boxes, with their texts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...common.printable import printable
from ...graph import GraphNode, GraphView, Summary
from ...graph.equations import unicode_line
from ...graph.summary import shape_text
from ..theme import THEMES, Theme
from .colour import COLOURS, Legend, Shade, colour
from .folding import ARROWS, MOST, READ, Folded, fold
from .levels import Level, scope_levels
from .repeats import AGAIN, Repeats, find_repeats, scope_name
from .symbols import equation_lines, name_tree

LONGEST = 36  # characters of a name that are shown at most
SYMBOLS = {"add": "+", "subtract": "−", "multiply": "×", "divide": "÷", "negative": "−", "matmul": "@", "power": "^"}


@dataclass(frozen=True, slots=True)
class Style:
    """The options of a drawing, see `draw`."""

    direction: str = "LR"
    values: bool = True
    gradients: bool = True
    constants: bool = True
    shapes: bool = True
    theme: str = "light"
    depth: int | None = None
    title: str | None = None
    repeats: bool = True
    color: str | None = None

    def __post_init__(self) -> None:
        if self.direction not in ("LR", "TB"):
            raise ValueError(f"direction={self.direction!r}; it must be 'LR' (left to right) or 'TB' (top to bottom).")
        if self.theme not in THEMES:
            raise ValueError(f"theme={self.theme!r}; it must be one of {', '.join(map(repr, THEMES))}.")
        if self.depth is not None and (not hasattr(self.depth, "__index__") or self.depth < 0):
            raise ValueError(
                f"depth={self.depth!r}; it must be the number of nested scopes to show, 0 or more, or None for all."
            )
        if self.color is not None and self.color not in COLOURS:
            raise ValueError(f"color={self.color!r}; it must be None or one of {', '.join(map(repr, COLOURS))}.")

    @property
    def colours(self) -> Theme:
        """The `Theme` of the name `theme`."""
        return THEMES[self.theme]


@dataclass(frozen=True, slots=True)
class Item:
    """One drawn item: a node of the graph, or a folded scope.

    Attributes:
        key: ``n`` and the number of the node, or ``s`` and the number of the folded scope's first node.
        kind: the kind of the node, or ``"fold"``.
        title: the large text; `operation` is the text below it if the title is a name; `lines` is small text.
        value, grad: the summaries to show, or ``None``.
        slots: the number of operands if they are numbered; 0 if there is only one.
        box: the path of the scope that the item is drawn in, empty for none.
        about: a full description in one line, for the tooltip and screen readers.
        shade: its color and a text about it, if the drawing is colored by a number.
    """

    key: str
    kind: str
    title: str
    operation: str
    lines: tuple[str, ...]
    value: Summary | None
    grad: Summary | None
    slots: int
    box: str
    about: str
    shade: Shade | None = None


@dataclass(frozen=True, slots=True)
class Arrow:
    """An edge from one item to another; `slot` is the operand's number if the operands are numbered."""

    source: str
    target: str
    slot: int | None
    about: str


@dataclass(frozen=True, slots=True)
class Picture:
    """The content of a drawing: items (in topological order as far as folding allows) and arrows.

    `labels` has the texts of boxes that differ from the last part of their path, `legend` the meaning of colors,
    `roles` the words for leaves that are parameters or inputs, and `note` a sentence on what was folded.
    """

    items: tuple[Item, ...]
    arrows: tuple[Arrow, ...]
    style: Style
    labels: Mapping[str, str] = field(default_factory=dict)
    legend: Legend | None = None
    roles: Mapping[int, str] = field(default_factory=dict)
    note: str = ""

    def label(self, path: str) -> str:
        """Return the text on the box of a scope."""
        return self.labels.get(path) or scope_name(path.rpartition(".")[2])


def compose(view: GraphView, style: Style, measures: Any = None, inputs: frozenset[int] = frozenset(),
            roles: Mapping[int, str] | None = None) -> Picture:  # fmt: skip
    """Return the picture of a graph; a graph with too many parts is folded first, and `note` says how.

    Args:
        view: the graph.
        style: the options of the drawing.
        measures: values to color by, see `draw`.
        inputs: the numbers of leaves that do not belong to a layer.
        roles: the words for leaves, ``"parameter"`` or ``"input"``, by node number.
    """
    if len(view) <= MOST or not style.repeats or style.depth is not None:
        picture = full_picture(view, style, measures, inputs, roles)
        if len(picture.items) <= MOST and len(picture.arrows) <= ARROWS:
            return picture
    read = READ
    while True:
        folded = fold(view, read)
        if len(folded.view.edges) <= ARROWS or read < 12:
            return full_picture(view, style, measures, inputs, roles, folded)
        read //= 2


def full_picture(
    graph: GraphView, style: Style, measures: Any = None, inputs: frozenset[int] = frozenset(),
    roles: Mapping[int, str] | None = None, folded: Folded | None = None,
) -> Picture:  # fmt: skip
    """Return the picture of a whole graph (or of its folded form), with constants, scopes and repeats as in `style`."""
    roles = roles or {}
    if folded is None:
        parts = _Parts(graph, style, inputs, roles)
    else:
        number = folded.number
        parts = _Parts(folded.view, style, frozenset(number[k] for k in inputs), {number[k]: roles[k] for k in roles})
    items, groups, homes = parts.items(), parts.groups, parts.homes
    legend = None
    if style.color is not None:
        if folded is not None:  # the color of a part is computed from all its nodes
            groups, homes = {}, _box_paths(graph, inputs)
            for part, k in enumerate(folded.number):
                groups.setdefault(parts.keys[k], []).append(part)
        shades, legend = colour(graph, groups, style.color, measures, homes)
        items = [replace(item, shade=shades.get(item.key)) for item in items]
    note = folded.note if folded is not None else ""
    return Picture(tuple(items), tuple(parts.arrows()), style, parts.repeats.labels, legend, roles, note)


class _Parts:
    """The parts of a drawing: one for each node, but for nodes that are left out, repeated, or folded into a scope.

    `keys` has the key of the part that a node belongs to, `homes` the scope that it is drawn in, and `groups` the
    numbers of the nodes that each part stands for.
    """

    def __init__(self, view: GraphView, style: Style, inputs: frozenset[int], roles: Mapping[int, str]) -> None:
        self.view, self.style = view, style
        self.words = [roles.get(node.number, node.kind) for node in view]
        self.operands = view.operands()
        self.shown = [style.constants or node.kind != "constant" or node.number in view.outputs for node in view]
        self.homes = _box_paths(view, inputs)
        self.repeats = Repeats(list(range(len(view)))) if style.repeats else find_repeats(view, self.homes)
        first = self.repeats.first
        self.folds: dict[str, list[GraphNode]] = {}
        self.owner: list[str] = []  # the scope that a node is folded into
        for node, drawn in zip(view, first, strict=True):
            owner = _folded_path(self.homes[drawn], style.depth)
            self.owner.append(owner)
            if owner and owner == _folded_path(self.homes[node.number], style.depth):  # repeats inside it belong to it
                self.folds.setdefault(owner, []).append(node)
        self.keys = [f"s{self.folds[path][0].number}" if path else f"n{first[k]}" for k, path in enumerate(self.owner)]
        self.groups: dict[str, list[int]] = {}
        for node, key, path in zip(view, self.keys, self.owner, strict=True):
            if path or self.shown[node.number]:
                self.groups.setdefault(key, []).append(node.number)

    def items(self) -> list[Item]:
        """Return the items, in the order of the first node of each."""
        items: dict[str, Item] = {}
        for node, key, path in zip(self.view, self.keys, self.owner, strict=True):
            k = node.number
            if path and key not in items:
                items[key] = _fold_item(key, path, self.folds[path], self.repeats.labels.get(path))
            elif not path and self.shown[k] and self.repeats.first[k] == k:
                about = _about(self.view, node, self.operands[k], self.words[k])
                slots = len(self.operands[k])
                items[key] = _item(node, key, self.homes[k], slots, self.style, self.words[k], about)
        return list(items.values())

    def arrows(self) -> list[Arrow]:
        """Return the arrows between items; several edges into a folded scope are one arrow."""
        arrows: dict[tuple[str, str, int, int], Arrow] = {}
        for edge in self.view.edges:
            source, target = self.keys[edge.source], self.keys[edge.target]
            if not self.shown[edge.source] or source == target or self.repeats.between(edge.source, edge.target):
                continue
            into_fold = bool(self.owner[edge.target])
            slot = edge.slot if not into_fold and len(self.operands[edge.target]) > 1 else None
            operand = _node_text(self.view[edge.source], self.words[edge.source])
            about = f"{operand} is operand {edge.slot} of {_node_text(self.view[edge.target])}"
            same = (source, target, -1, -1) if into_fold else (
                source, target, self.repeats.first[edge.source], edge.slot)  # fmt: skip
            arrows.setdefault(same, Arrow(source, target, slot, about))
        return list(arrows.values())


def _folded_path(home: str, depth: int | None) -> str:
    """Return the path of the scope that a node is folded into, empty if it is not folded."""
    parts = home.split(".") if home else []
    return "" if depth is None or len(parts) <= depth else ".".join(parts[: depth + 1])


def _box_paths(view: GraphView, inputs: frozenset[int]) -> list[str]:
    """Return the box path of each node; parameters and unnamed constants are drawn in the box that uses them.

    A scope that is left and entered again, as in a loop, gets a new box each time, because a single box would lie both
    before and after the operations in between.
    """
    homes = [""] * len(view)
    paths = [""]
    entered: dict[str, int] = {}
    for level in scope_levels(view, Level):
        if level.parent >= 0:
            name = printable(level.label)
            path = f"{paths[level.parent]}.{name}" if level.parent else name
            times = entered[path] = entered.get(path, 0) + 1
            paths.append(path if times == 1 else f"{path}{AGAIN}{times}")
        for child in level.children:
            if child >= 0:
                homes[child] = paths[-1]
    users: dict[int, set[str]] = {}
    for edge in view.edges:
        if view[edge.source].operation is None:
            users.setdefault(edge.source, set()).add(homes[edge.target])
    for number, found in users.items():
        node = view[number]
        if (node.kind == "leaf" and number not in inputs) or (node.kind == "constant" and node.name is None):
            homes[number] = _common_path(found)
    return homes


def _common_path(paths: Collection[str]) -> str:
    """Return the longest common outer path of some paths."""
    if len(paths) == 1:
        return next(iter(paths))
    common: list[str] = []
    for parts in zip(*(path.split(".") for path in paths), strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return ".".join(common)


def _item(node: GraphNode, key: str, home: str, slots: int, style: Style, word: str, about: str) -> Item:
    if node.kind == "fold":
        about = printable(f"{node.name}, folded · {node.operation or 'inputs and constants'}")
        return Item(key, node.kind, shorten(node.name or ""), node.operation or "", (), None, None, 0, home, about)
    lines = []
    bare = node.kind == "constant" and node.shape == ()  # a plain number needs only its value
    failed = node.kind == "failed"  # without a result
    if style.shapes and not bare and not failed:
        lines.append(f"{shape_text(node.shape)} {node.dtype}".strip())
    if node.metadata:
        lines.append(shorten(node.metadata))
    title, operation = _title(node, word)
    value = node.value if style.values and not failed and title != node.value.text else None
    grad = node.grad if style.gradients else None
    return Item(key, node.kind, title, operation, tuple(lines), value, grad, slots if slots > 1 else 0, home, about)


def _title(node: GraphNode, word: str) -> tuple[str, str]:
    """Return the title of a node and, if the title is a name, its operation."""
    operation = SYMBOLS.get(node.operation or "", node.operation or "")
    if node.name:
        return shorten(node.name), operation
    if node.kind == "constant" and node.value.numbers is not None and len(node.value.text) <= 16:
        return node.value.text, ""
    return operation or word, ""


def _node_text(node: GraphNode, word: str = "") -> str:
    """Return a short text for a node: name and operation, or kind and number."""
    return " = ".join(part for part in (node.name, node.operation) if part) or f"{word or node.kind} {node.number}"


def _about(view: GraphView, node: GraphNode, operands: list[int], word: str) -> str:
    parts = [_node_text(node, word), word, f"{shape_text(node.shape)} {node.dtype}"]
    if node.tex:
        equation, rules = equation_lines(view, node, operands)
        back = []
        for slot, (number, rule) in enumerate(zip(operands, rules, strict=True)):
            name = unicode_line(name_tree(view[number]))
            which = f"{name} as operand {slot}" if operands.count(number) > 1 else name
            back += [f"gradient of {which}: {rule}"] if rule and view[number].kind != "constant" else []
        bar = f"{unicode_line(name_tree(node, bar=True))} is the gradient of {unicode_line(name_tree(node))}"
        parts += [f"equation {equation}", *([bar, *back] if back else [])]
    parts += [node.metadata] if node.metadata else []
    parts += [f"value {node.value.text}"]
    parts += [f"gradient {node.grad.text}"] if node.grad else []
    parts += [f"in {node.scope}"] if node.scope else []
    return " · ".join(map(printable, parts))


def _fold_item(key: str, path: str, nodes: list[GraphNode], label: str | None = None) -> Item:
    operations = sum(node.operation is not None for node in nodes)
    leaves = [node for node in nodes if node.kind == "leaf"]
    lines = [count_text(operations, "operation")]
    if leaves:
        numbers = sum(node.array.size for node in leaves)
        lines.append(f"{count_text(len(leaves), 'leaf', 'leaves')}, {count_text(numbers, 'number')}")
    last = nodes[-1]
    lines.append(f"→ {shape_text(last.shape)} {last.dtype}")
    box, _, name = path.rpartition(".")
    about = " · ".join([f"{scope_name(path)}, folded", *lines])
    return Item(key, "fold", shorten(label or scope_name(name)), "", tuple(lines), None, None, 0, box, about)


def count_text(n: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun in singular or plural."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def title_of(view: GraphView) -> str:
    """Return the title of a drawing that was given none."""
    return f"Computation graph of {count_text(len(view), 'node')}"


def shorten(text: str) -> str:
    """Return printable text, cut with an ellipsis if it is too long for a drawing; a path keeps its end.

    Example:
        >>> shorten("encoder.layers.0.self_attention.in_proj_weight")
        'encoder.layers.0.sel….in_proj_weight'
    """
    text = printable(text)
    if len(text) <= LONGEST:
        return text
    end = text[text.rfind(".") :]
    end = end if end[1:].isidentifier() and len(end) <= LONGEST // 2 else ""
    return f"{text[: LONGEST - 1 - len(end)]}…{end}"


def number_rows(item: Item) -> list[tuple[str, tuple[str, ...]]]:
    """Return the numbers of an item as rows: a label, and either one text or minimum, mean and maximum.

    The first row is a heading if any row has three columns. A label as ``|value|`` says that these are of absolute
    values.
    """
    table: list[tuple[str, tuple[str, ...]]] = []
    for label, summary in (("value", item.value), ("grad", item.grad)):
        if summary is not None:
            columns = _columns(summary)
            table.append((f"|{label}|" if summary.absolute and len(columns) == 3 else label, columns))
    if any(len(columns) == 3 for _, columns in table):
        table.insert(0, ("", ("min", "mean", "max")))
    return table


def _columns(summary: Summary) -> tuple[str, ...]:
    if summary.numbers is not None and len(summary.text) <= 30:
        return (summary.text,)
    if summary.minimum is None or summary.nan or summary.infinite:
        counts = ((summary.nan, "NaN"), (summary.infinite, "infinite"))
        return (", ".join(f"{count:,} {word}" for count, word in counts if count) or summary.text,)
    return tuple(f"{number:.3g}" for number in (summary.minimum, summary.mean or 0.0, summary.maximum or 0.0))
