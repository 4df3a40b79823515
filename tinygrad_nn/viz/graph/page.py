"""A drawing as an HTML page without scripts or network: the picture, or a table and Mermaid text without Graphviz."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from ...common.printable import html_text
from ...files import POLICY
from ...graph import GraphView
from ...graph.summary import shape_text
from .picture import Picture, title_of

MOST_ROWS = 2000  # rows of the table of nodes at most
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
{head}<title>{title}</title>
<style>
:root {{ color-scheme: {scheme}; --ground: #ffffff; --ink: #1b1f24; --muted: #57606a; --line: #d0d7de; --soft: #f6f8fa;
  --first: #0072b2; --second: #a63a00; --third: #00714f; --fourth: #8c2d6b; }}
{dark}
body {{ margin: 0 auto; padding: 1.2rem; max-width: 100rem; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }}
h1 {{ font-size: 1.35rem; margin: 0 0 .8rem; overflow-wrap: anywhere; }}
h2 {{ font-size: 1.05rem; margin: 1.4rem 0 .5rem; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .87rem; }}
th, td {{ padding: .28rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }}
th {{ color: var(--muted); font-weight: 600; white-space: nowrap; }}
td {{ overflow-wrap: anywhere; max-width: 26rem; }}
td.number, th.number {{ text-align: right; white-space: nowrap; }}
pre {{ background: var(--soft); border: 1px solid var(--line); border-radius: 6px; padding: .8rem; overflow-x: auto; }}
.note {{ background: var(--soft); border-left: 4px solid var(--second); padding: .6rem .9rem; }}
summary {{ cursor: pointer; color: var(--muted); margin: 1rem 0 .4rem; }}
@media print {{ .wide, pre {{ overflow: visible !important; }} pre {{ white-space: pre-wrap; }} }}
{style}</style>
</head>
<body>
<header><h1>{title}</h1></header>
{body}
</body>
</html>
"""
# The smallest text has 8 points, which is 10.7 pixels; scaled by 1.04 it has 11.
AT_SIZE = """.drawing { overflow-x: auto; }
.drawing svg { display: block; margin: 0 auto; width: calc(1.04 * var(--w)); max-width: none !important; height: auto; }
@media print { .drawing { overflow: visible; } .drawing svg { max-width: 100% !important; max-height: 90vh; } }
"""
DARK = """:root { --ground: #0d1117; --ink: #e6edf3; --muted: #a5aeb8; --line: #3d444d; --soft: #161b22;
  --first: #5fb2ee; --second: #ffa27a; --third: #4be0a0; --fourth: #f7b3dc; }"""


def html_page(
    title: str, body: str, *, theme: str | None = None, head: str = "", style: str = "", policy: str = POLICY
) -> str:
    """Return a page around an HTML body; the title is escaped, and a theme of ``None`` follows the reader's system."""
    dark = {"dark": DARK, "light": "", None: f"@media (prefers-color-scheme: dark) {{ {DARK} }}"}[theme]
    return PAGE.format(
        policy=policy, head=head, title=html_text(title), scheme=theme or "light dark", dark=dark, style=style,
        body=body,
    )  # fmt: skip


def to_page(view: GraphView, picture: Picture, svg: str | None, reason: str = "", mermaid: str = "") -> str:
    """Return the page of a drawing: the SVG and a folded table, or else a note, the table and the Mermaid text."""
    title = picture.style.title or title_of(view)
    said = f'<p class="note">{escape(picture.note)}</p>\n' if picture.note else ""
    if svg is not None:
        table = f"<details><summary>All nodes as a table</summary>\n{_node_table(view, picture.roles)}\n</details>"
        body = f"<main>\n{said}{at_readable_size(svg, title)}\n{table}\n</main>"
    else:
        body = f"<main>\n{said}{to_fragment(view, reason, mermaid, picture.roles)}\n</main>"
    return html_page(title, body, theme=picture.style.theme, style=AT_SIZE)


def at_readable_size(svg: str, name: str) -> str:
    """Return an SVG in a frame that scrolls if it is too wide; the smallest text has at least 11 pixels."""
    size = re.search(r'<svg[^>]*?\bwidth="([\d.]+)(pt|px)?"', svg)
    width = f"{float(size[1]):.0f}{size[2] or 'px'}" if size else "100%"
    label = f'tabindex="0" role="region" aria-label="{html_text(name)}"'
    return f'<div class="drawing" {label} style="--w:{width}">\n{svg}</div>'


def to_fragment(view: GraphView, reason: str, mermaid: str, roles: Mapping[int, str]) -> str:
    """Return the replacement of a picture that cannot be drawn: the reason, a table of the nodes, and Mermaid text."""
    return (
        f'<p class="note">{escape(reason)}</p>\n<h2>Nodes</h2>\n{_node_table(view, roles)}\n'
        f'<h2>The same as Mermaid text</h2>\n'
        f"<p>Paste it into a Markdown page that draws Mermaid.</p>\n"
        f'<pre tabindex="0">{escape(mermaid)}</pre>'
    )


def html_table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: frozenset[int] = frozenset()) -> str:
    """Return an HTML table of escaped text; `numbers` are the indices of right-aligned columns."""

    def cells(tag: str, texts: Sequence[str]) -> str:
        marks = (' class="number"' if k in numbers else "" for k in range(len(texts)))
        scope = ' scope="col"' if tag == "th" else ""
        return "".join(f"<{tag}{mark}{scope}>{html_text(text)}</{tag}>" for mark, text in zip(marks, texts,
                       strict=True))  # fmt: skip

    body = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    head = f"<thead><tr>{cells('th', heads)}</tr></thead>"
    frame = '<div class="wide" style="overflow-x:auto" tabindex="0" role="group" aria-label="Table">'
    return f"{frame}<table>\n{head}\n<tbody>\n{body}\n</tbody></table></div>"


def _node_table(view: GraphView, roles: Mapping[int, str]) -> str:
    operands = view.operands()
    rows = [
        (str(node.number), roles.get(node.number, node.kind), node.name or "", node.operation or "",
         ", ".join(map(str, operands[node.number])), node.scope or "",
         shape_text(node.shape), node.dtype, node.value.text, node.grad.text if node.grad else "")
        for node in view.nodes[:MOST_ROWS]
    ]  # fmt: skip
    more = len(view) - len(rows)
    rest = f"<p>And {more:,} more, which a file that ends in .json holds.</p>" if more else ""
    heads = ("node", "kind", "name", "operation", "made of", "scope", "shape", "dtype", "value", "gradient")
    return html_table(heads, rows, frozenset({0})) + rest
