"""Output of a `Picture` as Mermaid text, which code hosts and notebooks draw in Markdown pages."""

from __future__ import annotations

import re

from ...common.printable import printable
from .dot import box_numbers, walk_boxes
from .picture import Item, Picture, number_rows, shorten

_PLAIN = frozenset(" .,:+-=()/[]")  # allowed in a Mermaid label besides letters and digits
_SPECIAL = re.compile(r"\\(?=n)|:(?=fa-)|\$(?=\$)")
_JOINER = "\u2060"


def to_mermaid(picture: Picture) -> str:
    """Return the Mermaid text of a picture; in text from the user, special characters become character codes."""
    theme = picture.style.colours
    out = [f"flowchart {picture.style.direction}"]
    if picture.style.title is not None:
        out = ["---", f'title: "{_in_yaml(picture.style.title)}"', "---", *out]
    if picture.note:
        out.append(f'  note["{_escaped(picture.note)}"]')
    numbers = box_numbers(picture)
    for what, part, depth in walk_boxes(picture):
        indent = "  " * (depth + 1)
        if isinstance(part, Item):
            out.append(indent + _node(part))
        elif what == "close":
            out.append(indent + "end")
        else:
            out.append(f'{indent}subgraph b{numbers[part]}["{_escaped(shorten(picture.label(part)))}"]')
    if picture.legend is not None:
        out.append(f'  subgraph legend["{_escaped(picture.legend.title)}"]')
        out += [f'    k{i}["{_escaped(entry.text)}"]' for i, entry in enumerate(picture.legend.entries)]
        out.append("  end")
    for arrow in picture.arrows:
        label = "" if arrow.slot is None else f"|{arrow.slot}|"
        out.append(f"  {arrow.source} -->{label} {arrow.target}")
    for kind in sorted({item.kind for item in picture.items}):
        paint = theme.kinds[kind]
        look = f"fill:{paint.fill},stroke:{paint.line},stroke-width:{paint.width}px,color:{theme.text}"
        out.append(f"  classDef {kind} {look}{',stroke-dasharray:4 3' if kind == 'constant' else ''}")
    painted = [(f"k{i}", entry) for i, entry in enumerate(picture.legend.entries if picture.legend else ())]
    painted += [(item.key, item.shade) for item in picture.items if item.shade]
    out += [f"  style {key} fill:{paint.fill},color:{paint.ink}" for key, paint in painted]
    return "\n".join([*out, ""])


def _node(item: Item) -> str:
    lines = [item.title, *([item.operation] if item.operation else []), *item.lines]
    lines += [item.shade.text, *item.shade.lines] if item.shade and item.shade.text else []
    for label, columns in number_rows(item):
        if label:
            lines.append(f"{label} {columns[0]}" if len(columns) == 1 else f"{label} {' / '.join(columns)}")
    text = "<br/>".join(map(_escaped, lines))
    left, right = ("[", "]") if item.kind in ("leaf", "constant") else ("([", "])")
    if item.kind == "fold":
        left, right = "[[", "]]"
    return f'{item.key}{left}"{text}"{right}:::{item.kind}'


def _escaped(text: str) -> str:
    r"""Return text for a label, never empty, since Mermaid refuses an empty label.

    Mermaid makes a line break of ``\n``, as in ``\nabla``, an icon of ``:fa-car`` and a formula of ``$$x$$``, even if
    they are written as character codes. A word joiner, which nobody sees, prevents this.
    """
    shown = _SPECIAL.sub(rf"\g<0>{_JOINER}", printable(text))
    return "".join(c if c.isalnum() or c in _PLAIN else f"#{ord(c)};" for c in shown) or " "


def _in_yaml(text: str) -> str:
    """Return text for a quoted string of YAML, which is what the title stands in."""
    return "".join(c if c.isalnum() or c in _PLAIN else f"\\U{ord(c):08x}" for c in printable(text))
