"""explore: a computation as one page that walks through it, forward and back."""

from __future__ import annotations

import base64
import hashlib
import json
import linecache
import os
import unicodedata
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ...files import write_whole
from ...graph import GraphNode, GraphView
from ...graph.walk import symbols
from ...printable import printable
from ...spelling import named_options
from ..graph.picture import shorten
from ..model.names import viewed
from ..notebook.frame import Page, Written
from .arrays import Arrays
from .columns import pack
from .equations import Equations
from .layout import AHEAD, ASIDE, GIVES_WAY, HEAD, LINE, PAD, SHORTER, TRIES, TURN
from .order import SWEEPS, arrange
from .story import PHRASES, Story, below, called, count, shape_text, tell, title

LETTER = 7.0  # width of a small letter on a node; the page measures nothing, so that it starts at once


@named_options()
def explore(
    result: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    title: str | None = None,
    gradient: Any = None,
    names: Any = None,
) -> Path | Page:
    """Write a page that steps through a computation, forward and back, with the numbers of every step.

    The page is one file: it opens from disk, asks no network for anything and works with a keyboard. The graph must
    still be there: call ``explore`` before `backward`, or after ``backward(retain_graph=True)``. It is not changed.

    Args:
        result: a Tensor, several in a list, tuple or dict, or a `GraphView`.
        path: of the page, ``page.html``; without it the page is what a notebook shows.
        title: of the page.
        gradient: to walk back with, of the result's shape; by default what `backward` left at the result, else ones.
        names: a dict of names for what has none of its own, such as ``locals()``; or a model, as for `draw`.

    Returns:
        The path, or a `Page`; a notebook shows both as the page.

    Raises:
        TypeError: something without a graph.
        ValueError: a path that does not end in .html, or a gradient of another shape.
        RuntimeError: the graph was freed.
        FileNotFoundError: the folder does not exist.

    Example:
        >>> import tempfile
        >>> from tinygrad_nn import Tensor
        >>> x = Tensor([1.0, 2.0], name="x")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     explore((x * x).sum(), f"{folder}/page.html").name
        'page.html'
    """
    if path is not None and Path(path).suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"the explorer is a page; {str(path)!r} should end in .html.")
    view, _ = viewed(result, names)
    html = page(tell(view, gradient), title)
    return Page(html, title or "A computation") if path is None else Written(write_whole(path, html.encode()))


def page(story: Story, heading: str | None = None) -> str:
    """Return the HTML of the page. Everything foreign is in one block of JSON, and is shown as text only."""
    heading = printable(heading) if heading else f"A computation of {count(_operations(story.view), 'operation')}"
    folder = resources.files(__package__) / "page"
    read = {name: (folder / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", *SCRIPTS)}
    style, script = read["page.css"], "\n".join(read[name] for name in SCRIPTS)
    parts = {
        "title": escape(heading),
        "policy": f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}",
        "style": style,
        "data": _safe_json(pack(data(story))),
        "script": script,
    }
    html = read["page.html"]
    pieces = []
    for part in html.split("{{"):  # one pass, so that nothing inside a part is taken for a place of another
        name, end, rest = part.partition("}}")
        pieces += [parts[name], rest] if end and name in parts else [part]
    return "".join(pieces)


SCRIPTS = ("columns.js", "layout.js", "numbers.js", "labels.js", "graph.js", "panel.js", "page.js", "search.js")


def data(story: Story) -> dict[str, Any]:
    """Return what the page shows, as JSON can hold it."""
    view, walk = story.view, story.walk
    arrangement = arrange(view)
    arrays, equations = Arrays(), Equations()
    carried, sums = [-1] * len(view.edges), [-1] * len(view.edges)
    summed, most = [], {number: len(arrays.brief(gradient)) for number, gradient in walk.gradients.items()}
    for step in walk.steps:
        for c in step.contributions:
            carried[c.edge], sums[c.edge] = arrays.add(c.array), arrays.add(c.total)
            summed += [c.edge] * c.summed
            source = view.edges[c.edge].source
            most[source] = max(most[source], len(arrays.brief(c.total)))
    nodes = []
    for part in view:
        top, under = title(part), below(part)
        gradient = walk.gradients.get(part.number)
        stored = part.grad_array
        differs = stored is not None and (gradient is None or not np.array_equal(stored, gradient, equal_nan=True))
        letters = 1.08 * (most[part.number] + 2) if gradient is not None else 0  # bold, and with its sign
        longest = max(1.25 * wide(top), 0.94 * wide(under), len(arrays.brief(part.array)) + 1, letters)
        nodes.append({
            "kind": part.kind,
            "title": top,
            "named": called(part),
            "under": under,
            "operation": printable(part.operation or ""),
            "scope": printable(part.scope or ""),
            "shape": f"{shape_text(part)} {part.dtype}",
            "metadata": printable(part.metadata),
            "equation": equations.add(part.tex),
            "rules": [equations.add(rule) for rule in part.rules],
            "symbols": list(symbols(part)),
            "value": arrays.add(part.array),
            "gradient": -1 if gradient is None else arrays.add(gradient),
            "stored": arrays.add(stored) if stored is not None and differs else -1,
            "line": _line(part),
            "small": part.kind == "constant" and not part.name and part.array.size == 1,
            "width": round(max(longest * LETTER + 22, 58)),
        })  # fmt: skip
    boxes = [
        {"label": shorten(box.label), "path": printable(box.path), "parent": box.parent, "layers": box.layers,
         "links": box.links, "under": count(box.operations, "operation")}
        for box in arrangement.boxes
    ]  # fmt: skip
    return {
        "nodes": nodes,
        "edges": [[edge.source, edge.target, edge.slot] for edge in view.edges],
        "outputs": list(view.outputs),
        "carried": carried,
        "sums": sums,
        "summed": summed,
        "seeds": [[number, arrays.add(seed)] for number, seed in walk.seeds.items()],
        "start": story.moments[0].text,
        "end": story.moments[-1].text,
        "phrases": PHRASES,
        "arrays": arrays.shown,
        "equations": equations.trees,
        "boxes": boxes,
        "home": arrangement.home,
        "routes": {str(place): route for place, route in arrangement.routes.items()},
        "gaps": {"ahead": AHEAD, "aside": ASIDE, "pad": PAD, "head": HEAD, "line": LINE, "turn": TURN, "sweeps": SWEEPS,
                 "shorter": SHORTER, "tries": TRIES, "givesWay": GIVES_WAY},
    }  # fmt: skip


def wide(text: str) -> float:
    """Return the width of a text in letters; those of the East are twice as wide."""
    return float(sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text))


def _line(part: GraphNode) -> list[Any] | None:
    """Return file, line number and source of the call that made a node, without the folders of this machine."""
    if part.line is None:
        return None
    return [printable(Path(part.line[0]).name), part.line[1], printable(linecache.getline(*part.line).strip())]


def _operations(view: GraphView) -> int:
    return sum(part.operation is not None for part in view)


def _safe_json(value: Any) -> str:
    """Return JSON that can stand inside a script element, whatever texts it holds."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))  # ASCII: U+2028 is written out
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    """Return the source of a content security policy that allows exactly this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
