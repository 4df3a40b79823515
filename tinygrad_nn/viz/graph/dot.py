"""Output of a `Picture` in DOT, the language of Graphviz."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from ...common.columns import text_columns
from ...common.printable import html_text
from ..theme import THEMES, Theme
from .colour import Legend
from .picture import Arrow, Item, Picture, number_rows, shorten

FONT = "Helvetica"  # every Graphviz knows this font's widths, so that text fits its box
TABLE = '<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="{padding}">'
EDGE_OF_ROUND = 10  # points at each end of a side that are left free of arrows, for the rounded corner


def to_dot(picture: Picture) -> str:
    """Return the DOT text of a picture: deterministic, with ASCII keys, all text from the user escaped."""
    style = picture.style
    theme = style.colours
    font = f'fontname="{FONT}" fontsize=12 fontcolor="{theme.text}"'
    out = [
        "digraph computation {",
        f'  graph [rankdir={style.direction} bgcolor="{theme.background}" {font} nodesep=0.22 ranksep=0.5 pad=0.15]',
        f"  node [shape=box {font} margin=0 height=0.3 width=0.3]",
        f'  edge [color="{theme.edge}" penwidth=1.1 arrowsize=0.6]',
    ]
    title = "" if style.title is None else _font(_escaped(style.title), 15, bold=True)
    if picture.note:
        note = _font(_escaped(picture.note), 11, theme.muted)
        title = f'{title}<BR ALIGN="LEFT"/>{note}<BR ALIGN="LEFT"/>' if title else note
    if picture.legend is not None:
        title = _legend(picture.legend, title, theme)
    if title:
        out.append(f"  label=<{title}>; labelloc=t; labeljust=l")
    out += _boxes(picture, theme)
    lengths = _lengths(picture)
    out += [_arrow(n, arrow, length, style.direction)
            for n, (arrow, length) in enumerate(zip(picture.arrows, lengths, strict=True))]  # fmt: skip
    return "\n".join([*out, "}", ""])


def box_numbers(picture: Picture) -> dict[str, int]:
    """Return the paths of all boxes that contain items, directly or in nested boxes, with their numbers."""
    numbers: dict[str, int] = {}
    for item in picture.items:
        parts = item.box.split(".") if item.box else []
        for end in range(1, len(parts) + 1):
            numbers.setdefault(".".join(parts[:end]), len(numbers))
    return numbers


def walk_boxes(picture: Picture) -> list[tuple[str, str | Item, int]]:
    """Return the output steps in order, as ``("open", path, depth)``, ``("item", item, depth)``, ``("close", ...)``.

    The items of a box come before the boxes in it, which keeps inputs above the layers.
    """
    numbers = box_numbers(picture)
    inside: dict[str, list[str | Item]] = {path: [] for path in ("", *numbers)}
    placed = set()
    for item in picture.items:
        path = item.box
        inside[path].append(item)
        while path and path not in placed:
            placed.add(path)
            outer = path.rpartition(".")[0]
            inside[outer].append(path)
            path = outer
    for parts in inside.values():
        parts.sort(key=lambda part: isinstance(part, str))
    steps: list[tuple[str, str | Item, int]] = []
    stack: list[tuple[str, str | Item, int]] = [("item", part, 0) for part in reversed(inside[""])]
    while stack:
        what, part, depth = stack.pop()
        if isinstance(part, Item) or what == "close":
            steps.append((what, part, depth))
            continue
        steps.append(("open", part, depth))
        stack.append(("close", part, depth))
        stack += [("item", inner, depth + 1) for inner in reversed(inside[part])]
    return steps


def _boxes(picture: Picture, theme: Theme) -> list[str]:
    numbers = box_numbers(picture)
    out = []
    for what, part, depth in walk_boxes(picture):
        indent = "  " * (depth + 1)
        if isinstance(part, Item):
            out.append(indent + _node(part, theme, picture))
        elif what == "close":
            out.append(indent + "}")
        else:
            number = numbers[part]
            name = shorten(picture.label(part))
            fill = theme.box_fill if depth % 2 == 0 else theme.background
            label = _font(_escaped(name), 11, theme.muted, bold=True)
            out.append(
                f'{indent}subgraph cluster_{number} {{ id="b{number}"; label=<{label}>; labeljust=r; margin=10; '
                f'style="rounded,filled"; fillcolor="{fill}"; color="{theme.box_line}"'
            )
    return out


def _node(item: Item, theme: Theme, picture: Picture) -> str:
    paint = theme.kinds[item.kind]
    look = "filled" if item.kind in ("leaf", "constant") else "rounded,filled"
    if item.kind == "constant":
        look += ",dashed"
    inked = _with_text_colour(picture.style.theme, item.shade.ink) if item.shade else theme
    label = _label(item, inked, picture.style.direction)
    fill = item.shade.fill if item.shade else theme.background if picture.legend else paint.fill
    sides = " peripheries=2" if item.kind == "fold" else ""
    return (
        f'{item.key} [id="{item.key}" style="{look}" fillcolor="{fill}" color="{paint.line}" '
        f"penwidth={paint.width}{sides} label=<{label}>]"
    )


@cache
def _with_text_colour(name: str, ink: str) -> Theme:
    """Return a theme with one color for all text, for nodes that are colored by a number."""
    theme = THEMES[name]
    kinds = {kind: replace(paint, ink=ink) for kind, paint in theme.kinds.items()}
    return replace(theme, text=ink, muted=ink, gradient=ink, kinds=kinds)


def _legend(legend: Legend, title: str, theme: Theme) -> str:
    """Return the title and below it the legend: each color with its meaning."""
    heading = f'<TD ALIGN="LEFT">{_font(_escaped(legend.title) + ":", 10, theme.text)}</TD>'
    chips = "".join(
        f'<TD BGCOLOR="{entry.fill}" CELLPADDING="4">{_font(_escaped(entry.text), 10, entry.ink)}</TD>'
        for entry in legend.entries
    )
    rows = [f'<TR><TD ALIGN="LEFT">{title}</TD></TR>'] if title else []
    table = '<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="3" CELLPADDING="0">'
    rows += [f"<TR>{heading}</TR>", f'<TR><TD ALIGN="LEFT">{table}<TR>{chips}</TR></TABLE></TD></TR>']
    return f"{table}{''.join(rows)}</TABLE>"


def _label(item: Item, theme: Theme, direction: str) -> str:
    """Return an HTML-like label: the text and, if operands are numbered, a row or column of their numbers."""
    body = _body(item, theme)
    n = item.slots
    if not n:
        return f'{TABLE.format(padding=0)}<TR><TD CELLPADDING="7">{body}</TD></TR></TABLE>'
    cells = [
        f'<TD PORT="a{slot}" WIDTH="14" HEIGHT="13">{_font(str(slot), 8, theme.muted)}</TD>' for slot in range(n)
    ]
    if direction == "TB":
        end = f'<TD WIDTH="{EDGE_OF_ROUND}"></TD>'
        text = f'<TD COLSPAN="{n + 2}" CELLPADDING="5">{body}</TD>'
        return f"{TABLE.format(padding=0)}<TR>{end}{''.join(cells)}{end}</TR><TR>{text}</TR></TABLE>"
    end = f'<TD HEIGHT="{EDGE_OF_ROUND}"></TD>'
    text = f'<TD ROWSPAN="{n + 2}" CELLPADDING="6">{body}</TD>'
    lines = "".join(f"<TR>{cell}</TR>" for cell in (*cells, end))
    return f"{TABLE.format(padding=0)}<TR>{end}{text}</TR>{lines}</TABLE>"


def _body(item: Item, theme: Theme) -> str:
    """Return the content of a label: the title, small lines, then the numbers in a table."""
    paint = theme.kinds[item.kind]
    ink = theme.text if item.shade else None
    cells = [f"<TD{_width(item.title, 13)}>{_font(_escaped(item.title), 13, ink, bold=True)}</TD>"]
    if item.operation:
        cells.append(f"<TD{_width(item.operation, 11)}>{_font(_escaped(item.operation), 11, paint.ink)}</TD>")
    cells += [f"<TD{_width(line, 9)}>{_font(_escaped(line), 9, theme.muted)}</TD>" for line in item.lines]
    if item.shade and item.shade.text:
        cells.append(f"<TD{_width(item.shade.text, 10)}>{_font(_escaped(item.shade.text), 10, ink, bold=True)}</TD>")
        cells += [f"<TD{_width(line, 9)}>{_font(_escaped(line), 9, ink)}</TD>" for line in item.shade.lines]
    table = number_rows(item)
    if table:
        cells.append(f"<TD>{TABLE.format(padding=1)}{''.join(_row(*row, theme) for row in table)}</TABLE></TD>")
    return f"{TABLE.format(padding=1)}{''.join(f'<TR>{cell}</TR>' for cell in cells)}</TABLE>"


def _row(label: str, columns: tuple[str, ...], theme: Theme) -> str:
    colour = {"value": theme.text, "grad": theme.gradient}.get(label.strip("|"), theme.muted)
    span = ' COLSPAN="3"' if len(columns) == 1 else ""
    cells = "".join(f'<TD{span} ALIGN="RIGHT">{_font("&#160;" + _escaped(c), 9, colour)}</TD>' for c in columns)
    return f'<TR><TD ALIGN="LEFT">{_font(label, 9, colour) if label else ""}</TD>{cells}</TR>'


def _lengths(picture: Picture) -> list[int]:
    """Return the minimum length of each arrow, in ranks.

    An arrow into a box passes the ranks of the box's own parameters. Then a box begins where the previous one ends, and
    both are drawn in one row. Otherwise their ranks overlap, and Graphviz draws the boxes of a network as a staircase.
    """
    boxes = {item.key: item.box for item in picture.items}
    ahead = dict.fromkeys(boxes, 0)  # ranks before an item that only data of its own box occupies
    fed: set[str] = set()
    for arrow in picture.arrows:  # arrows are in order of target, sources before targets
        if boxes[arrow.source] != boxes[arrow.target] or arrow.source in fed:
            fed.add(arrow.target)
    for arrow in picture.arrows:
        if boxes[arrow.source] == boxes[arrow.target] and arrow.source not in fed:
            ahead[arrow.target] = max(ahead[arrow.target], ahead[arrow.source] + 1)
    lengths = []
    for arrow in picture.arrows:
        here, there = boxes[arrow.source], boxes[arrow.target]
        enters = there and here != there and not here.startswith(f"{there}.")
        lengths.append(1 + ahead[arrow.target] if enters else 1)
    return lengths


def _arrow(number: int, arrow: Arrow, length: int, direction: str) -> str:
    out, into = (":e", "w") if direction == "LR" else ("", "n")
    far = f" minlen={length}" if length > 1 else ""
    port = into if arrow.slot is None else f"a{arrow.slot}:{into}"
    return f'  {arrow.source}{out} -> {arrow.target}:{port} [id="e{number}"{far}]'


def _font(text: str, size: int, colour: str | None = None, bold: bool = False) -> str:
    """Return text in a font element; empty text becomes a space, as Graphviz does not accept empty elements."""
    text = text or "&#160;"
    text = f"<B>{text}</B>" if bold else text
    paint = f' COLOR="{colour}"' if colour else ""
    return f'<FONT POINT-SIZE="{size}"{paint}>{text}</FONT>'


def _escaped(text: str) -> str:
    r"""Return text escaped for an HTML-like label; backslashes too, as Graphviz replaces ``\N`` by the node's name."""
    return html_text(text).replace("\\", "&#92;&#92;")


def _width(text: str, size: int) -> str:
    """Return a width attribute for text that is not ASCII, as Graphviz does not know its width; else an empty text."""
    if text.isascii():
        return ""
    width = sum(1.05 if text_columns(c) == 2 else 0.62 for c in text)
    return f' WIDTH="{round(width * size)}"'
