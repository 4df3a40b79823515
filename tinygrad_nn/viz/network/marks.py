"""The graphical elements of a drawn network, and their output as SVG, or by Matplotlib as PNG and PDF."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from ...common.printable import counted, printable
from ...graph import short_number
from ..graph.picture import shorten
from ..theme import THEMES, Theme
from ..training.plots import legible

if TYPE_CHECKING:
    from .drawing import NetworkDrawing

PLUS = {"light": "#0072b2", "dark": "#5fb2ee"}
MINUS = {"light": "#c9560c", "dark": "#ff9d5c"}
BROKEN = {"light": "#8c2d6b", "dark": "#f7b3dc"}  # not finite
FONT = "Helvetica,Arial,'Liberation Sans',sans-serif"
TITLE = 34.0  # height of the title
SIDE = 40  # space beside the neurons


@dataclass(frozen=True, slots=True)
class Dot:
    """One neuron, or the gap for several that are left out (`index` is ``None``).

    `lines` are texts inside, `below` is a text under it, `beside` a text next to it; `about` is the tooltip.
    """

    index: int | None
    x: float
    y: float
    lines: tuple[str, ...]
    below: str
    beside: str
    about: str


@dataclass(frozen=True, slots=True)
class Link:
    """One weight, drawn as a line; `strength` is the weight divided by the largest absolute weight."""

    start: tuple[float, float]
    end: tuple[float, float]
    strength: float
    about: str


@dataclass(frozen=True, slots=True)
class Text:
    """Text at a point; `anchor` is ``start``, ``middle`` or ``end``."""

    x: float
    y: float
    words: str
    size: float
    colour: str
    anchor: str = "middle"
    bold: bool = False
    halo: bool = False  # outlined in the background color, as lines pass behind it


def _texts(net: NetworkDrawing, theme: Theme) -> list[Text]:
    height = net.size[1]
    top = TITLE if net.title else 0.0
    texts = [Text(SIDE - 16, 32, shorten(net.title), 17, theme.text, "start", True)] if net.title else []
    for k, (dots, (head, under)) in enumerate(zip(net.columns, net.heads, strict=True)):
        texts.append(Text(dots[0].x, top + 32, head, 14, theme.text, bold=True))
        texts.append(Text(dots[0].x, top + 50, under, 12, theme.muted))
        hidden = int(net.heads[k][1].split()[0].replace(",", "")) - sum(dot.index is not None for dot in dots)
        for dot in dots:
            if dot.index is None:
                texts.append(Text(dot.x, dot.y - 4, "⋮", 20, theme.text, bold=True))
                texts.append(Text(dot.x, dot.y + 15, f"{hidden:,} more", 11, theme.muted, halo=True))
            for i, line in enumerate(dot.lines):
                texts.append(Text(dot.x, dot.y + 4 + 13 * (i - (len(dot.lines) - 1) / 2), line, 11, theme.text))
            if dot.below:
                texts.append(Text(dot.x, dot.y + net.radius + 13, dot.below, 11, theme.gradient, halo=True))
            if dot.beside:
                side, anchor = (-1, "end") if k == 0 else (1, "start")
                texts.append(Text(dot.x + side * (net.radius + 8), dot.y + 4, dot.beside, 12, theme.text, anchor))
    y = height - 26
    most = short_number(net.largest)
    texts.append(Text(SIDE - 16, y + 4, "weights", 12, theme.muted, "start"))
    texts.append(Text(SIDE + 90, y + 4, f"up to −{most}", 12, theme.text, "start"))
    texts.append(Text(SIDE + 280, y + 4, f"up to +{most}", 12, theme.text, "start"))
    if _is_broken(net):
        texts.append(Text(SIDE + 470, y + 4, "not finite", 12, theme.text, "start"))
    return texts


def _ink(net: NetworkDrawing, strength: float) -> tuple[str, float, float]:
    """Return color, width and opacity of the line of a weight."""
    if not math.isfinite(strength):
        return BROKEN[net.theme], 3.0, 1.0
    colour = (MINUS if strength < 0 else PLUS)[net.theme]
    tall = max(map(len, net.columns))
    thickest, palest = min(4.0, max(1.2, 26 / tall)), min(0.25, 2 / tall)
    size = abs(strength) if tall <= 16 else strength * strength  # with many lines, small weights fade
    return colour, 0.4 + thickest * size, palest + (0.95 - palest) * size


def _legend_lines(net: NetworkDrawing) -> list[Link]:
    """Return the lines of the legend: negative, positive and, if there are such weights, not finite."""
    y = net.size[1] - 26
    signs = [(50.0, -1.0), (240.0, 1.0), *([(430.0, math.nan)] if _is_broken(net) else [])]
    return [Link((SIDE + x, y), (SIDE + x + 34, y), sign, "") for x, sign in signs]


def _is_broken(net: NetworkDrawing) -> bool:
    return not all(math.isfinite(link.strength) for link in net.links)


def _by_strength(net: NetworkDrawing) -> list[Link]:
    """Return the lines in the order in which they are drawn, the strongest last."""
    return sorted(net.links, key=lambda link: abs(link.strength) if math.isfinite(link.strength) else math.inf)


def _link_ends(net: NetworkDrawing, link: Link) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the points where a line touches its two circles."""
    (x1, y1), (x2, y2) = link.start, link.end
    length = math.hypot(x2 - x1, y2 - y1)
    dx, dy = (x2 - x1) / length * net.radius, (y2 - y1) / length * net.radius
    return (x1 + dx, y1 + dy), (x2 - dx, y2 - dy)


def to_svg(net: NetworkDrawing, titled: bool = True) -> str:
    """Return the drawing as SVG text; `titled` says whether the title is drawn."""
    theme = THEMES[net.theme]
    cut = 0.0 if titled or not net.title else TITLE
    width, height = net.size[0], net.size[1] - cut
    place = f' y="{cut:.0f}"' if cut else ""
    title = printable(net.title or f"A neural network of {counted(len(net.columns) - 1, 'layer')}")
    out = [
        (f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(title)}" width="{width:.0f}" '
        f'height="{height:.0f}" viewBox="0 {cut:.0f} {width:.0f} {height:.0f}" style="max-width:100%;height:auto" '
        f'font-family="{FONT}">'),
        f"<title>{escape(title)}</title>",
        f'<rect{place} width="100%" height="100%" fill="{theme.background}"/>',
        '<g stroke-linecap="round">',
    ]
    for link in _by_strength(net):
        (x1, y1), (x2, y2) = _link_ends(net, link)
        out.append(_line(x1, y1, x2, y2, _ink(net, link.strength), link.about))
    out += [_line(*link.start, *link.end, _ink(net, link.strength), "") for link in _legend_lines(net)]
    out.append("</g>")
    for k, dots in enumerate(net.columns):
        paint = theme.kinds["leaf" if k == 0 else "output" if k == len(net.columns) - 1 else "operation"]
        for dot in dots:
            if dot.index is not None:
                out.append(
                    f'<circle cx="{dot.x:.1f}" cy="{dot.y:.1f}" r="{net.radius:.0f}" fill="{paint.fill}" '
                    f'stroke="{paint.line}" stroke-width="{paint.width}"><title>{escape(dot.about)}</title></circle>'
                )
    for text in _texts(net, theme)[bool(cut) :]:
        weight = ' font-weight="bold"' if text.bold else ""
        if text.halo:
            weight += f' stroke="{theme.background}" stroke-width="4" stroke-linejoin="round" paint-order="stroke"'
        out.append(
            f'<text x="{text.x:.1f}" y="{text.y:.1f}" font-size="{text.size:g}" fill="{text.colour}" '
            f'text-anchor="{text.anchor}" pointer-events="none"{weight}>{escape(text.words)}</text>'
        )
    return "\n".join([*out, "</svg>", ""])


def _line(x1: float, y1: float, x2: float, y2: float, ink: tuple[str, float, float], about: str) -> str:
    colour, width, opacity = ink
    end = f"><title>{escape(about)}</title></line>" if about else "/>"
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'stroke-width="{width:.2f}" stroke-opacity="{opacity:.2f}"{end}'
    )


def to_raster(net: NetworkDrawing, kind: str) -> bytes:
    """Return the same drawing by Matplotlib as bytes of a PNG or PDF; one unit is a point (1/72 inch)."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle
    from matplotlib.patheffects import withStroke

    theme = THEMES[net.theme]
    width, height = net.size
    figure = Figure(figsize=(width / 72, height / 72), facecolor=theme.background)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(height, 0))
    ax.axis("off")
    lines = [(*_link_ends(net, link), link.strength) for link in _by_strength(net)]
    for start, end, strength in [*lines, *((link.start, link.end, link.strength) for link in _legend_lines(net))]:
        colour, thick, opacity = _ink(net, strength)
        ax.plot((start[0], end[0]), (start[1], end[1]), color=colour, linewidth=thick, alpha=opacity,
                solid_capstyle="round", zorder=1)  # fmt: skip
    for k, dots in enumerate(net.columns):
        paint = theme.kinds["leaf" if k == 0 else "output" if k == len(net.columns) - 1 else "operation"]
        for dot in dots:
            if dot.index is not None:
                ax.add_patch(Circle((dot.x, dot.y), net.radius, facecolor=paint.fill, edgecolor=paint.line,
                                    linewidth=paint.width, zorder=2))  # fmt: skip
    halo = [withStroke(linewidth=3.5, foreground=theme.background)]
    sides = {"start": "left", "middle": "center", "end": "right"}
    for text in _texts(net, theme):
        weight = "bold" if text.bold else "normal"
        ax.text(text.x, text.y, legible(text.words, weight), fontsize=0.92 * text.size, color=text.colour,
                ha=sides[text.anchor], va="baseline", weight=weight, parse_math=False, zorder=3,
                path_effects=halo if text.halo else None)  # fmt: skip
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=144, metadata={"CreationDate": None} if kind == "pdf" else None)
    return buffer.getvalue()
