"""`explore`: write an HTML page that steps through a computation, forward and backward."""

from __future__ import annotations

import linecache
import os
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ...common.columns import text_columns
from ...common.pages import fill_template, script_json
from ...common.printable import html_text, printable
from ...common.spelling import named_options
from ...files import write_whole
from ...graph import GraphNode
from ...graph.rerun import Rerun
from ...graph.summary import shape_text
from ...server import client, policy_hash
from ...tensor import Tensor
from ..elements import elements
from ..graph.levels import Levels, find_levels
from ..graph.picture import shorten
from ..graph.symbols import value_letter
from ..model.variables import view_with_names
from ..notebook.iframe import Page, WrittenFile
from .arrays import Arrays
from .columns import pack
from .equations import Equations, result_name
from .layout import AHEAD, ASIDE, GIVES_WAY, HEAD, LINE, PAD, SHORTER, TRIES, TURN
from .live import Live
from .order import SWEEPS
from .pictures import Pictures
from .story import MOST, PHRASES, Story, heading_of, node_subtitle, node_title, tell_story

LETTER = 7.0  # assumed width of a letter in pixels; measuring texts would delay the start of the page


@named_options()
def explore(
    result: Any,
    path: Any = None,
    *arguments: Any,
    title: str | None = None,
    gradient: Any = None,
    names: Any = None,
    serve: bool = False,
    port: int = 0,
    open_browser: bool = True,
) -> Any:
    """Write a page that steps through a computation, forward and backward, or serve one whose numbers can be changed.

    The page is a single file: it opens from disk, needs no network and works with the keyboard. The graph must not have
    been freed: call ``explore`` before `backward`, or after ``backward(retain_graph=True)``. The graph is not changed.

    Args:
        result: a Tensor, several in a list, tuple or dict, or a `GraphView`; or a function or module.
        path: the file of the page, ``page.html``; without it the page is returned for display in a notebook.
        arguments: arguments of a function: ``explore(f, x, W, serve=True)``. Floats become leaves named like the
            parameters.
        title: the title of the page.
        gradient: the cotangent of the result, in its shape; by default the gradient that `backward` stored at the
            result, else ones.
        names: a dict of names for values without a name of their own, or a model, as in `draw`; by default the
            variables of the caller; ``{}`` for none.
        serve: serve a live page: a change of a number or an operation runs the function again.
        port, open_browser: options of the server, see `docs/explorer.md`.

    Returns:
        The path, or a `Page`, which a notebook displays; with ``serve``, the running `Server` (``url``, ``close()``).

    Raises:
        TypeError: the result has no graph, or ``serve`` is given without a function.
        ValueError: the path does not end in .html, or the gradient has another shape.
        RuntimeError: the graph was freed.
        FileNotFoundError: the folder does not exist.

    Example:
        >>> with explore(lambda x: x * x + 1.0, 3.0, serve=True, open_browser=False) as server:
        ...     server.url.startswith("http://127.0.0.1:")
        True
    """
    own = callable(result) and not isinstance(result, Tensor)
    if own and path is not None and not isinstance(path, (str, os.PathLike)):
        path, arguments = None, (path, *arguments)
    if own and path is None and any(isinstance(one, str) and one.lower().endswith(".html") for one in arguments):
        raise TypeError("the file of the page comes before the arguments: explore(f, 'page.html', x, W).")
    if arguments and not own:
        raise TypeError("arguments are for a function: explore(f, 'page.html', x, W); this is a finished result.")
    if path is not None and Path(path).suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"the explorer is a page; {str(path)!r} should end in .html.")
    if serve and not own:
        raise TypeError(
            f"a change needs the function that made the graph, to run it again; this is a finished "
            f"{type(result).__name__}. Pass the function and its arguments: explore(f, x, W, serve=True)."
        )
    if own:
        live = Live(Rerun(result, *arguments), page_data, page_html, title, gradient, names)
        text = live.file() if path is not None or not serve else ""
    else:
        named = view_with_names(result, names)
        text = page(tell_story(named.view, gradient, named.roles), title)
    written = None if path is None else WrittenFile(write_whole(path, text.encode()))
    if serve:
        return live.serve(port, open_browser)
    return written or Page(text, title or "A computation")


def page(story: Story, heading: str | None = None) -> str:
    """Return the HTML of the page. All user data is in one block of JSON and is displayed as text only."""
    return page_html(pack(page_data(story)), heading or heading_of(story.view))


def page_html(record: dict[str, Any], heading: str, served: bool = False) -> str:
    """Return the HTML of a page from packed data; a served page may send requests to its own server."""
    folder = resources.files(__package__) / "page"

    def text(name: str) -> str:
        return (folder / name).read_text(encoding="utf-8")

    style = text("page.css") + (text("live.css") if served else "")
    first, *others = map(text, SCRIPTS)
    script = "\n".join([elements(), first, *([client(), text("live.js")] if served else []), *others])
    policy = f"default-src 'none'; img-src data:; style-src {policy_hash(style)}; script-src {policy_hash(script)}"
    parts = {
        "title": html_text(heading),
        "policy": policy + ("; connect-src 'self'" if served else ""),
        "style": style,
        "data": script_json(record),
        "script": script,
    }
    return fill_template(text("page.html"), parts)


SCRIPTS = (
    "columns.js", "levels.js", "order.js", "layout.js", "numbers.js", "heat.js", "pictures.js", "labels.js", "parts.js",
    "graph.js", "hands.js", "loops.js", "panel.js", "page.js", "search.js",
)  # fmt: skip


def page_data(story: Story, levels: Levels | None = None) -> dict[str, Any]:
    """Return the data of a page as JSON can hold it; `levels` passes levels that were already computed."""
    view, walk = story.view, story.walk
    levels = levels or find_levels(view)
    arrays, equations = Arrays(), Equations()
    pictures = Pictures(view, arrays)
    carried, sums = [-1] * len(view.edges), [-1] * len(view.edges)
    summed, most = [], {number: len(arrays.brief(gradient)) for number, gradient in walk.gradients.items()}
    for step in walk.steps:
        for c in step.contributions:
            carried[c.edge], sums[c.edge] = arrays.add(c.array), arrays.add(c.total)
            summed += [c.edge] * c.summed
            source = view.edges[c.edge].source
            most[source] = max(most[source], len(arrays.brief(c.total)))
    nodes = []
    operands = view.operands()
    for part in view:
        word = story.words[part.number]
        top, under = node_title(part, word), node_subtitle(part, word)
        equation, rules, letters_of_operands = equations.of(part, len(operands[part.number]))
        gradient = walk.gradients.get(part.number)
        stored = part.grad_array
        differs = stored is not None and (gradient is None or not np.array_equal(stored, gradient, equal_nan=True))
        letters = 1.3 * (most[part.number] + 2) if gradient is not None else 0  # bold, with the sign ∂
        longest = max(1.4 * text_width(top), 1.18 * text_width(under), 1.2 * len(arrays.brief(part.array)) + 1, letters)
        nodes.append({
            "kind": part.kind,
            "role": word,
            "title": top,
            "named": story.called(part.number),
            "under": under,
            "operation": printable(part.operation or ""),
            "scope": printable(part.scope or ""),
            "shape": f"{shape_text(part.shape)} {part.dtype}",
            "metadata": printable(part.metadata),
            "letter": value_letter(part),
            "equation": equation,
            "rules": rules,
            "symbols": list(letters_of_operands),
            "picture": pictures.add(part),
            "value": arrays.add(part.array),
            "gradient": -1 if gradient is None else arrays.add(gradient),
            "stored": arrays.add(stored) if stored is not None and differs else -1,
            "line": _call_line(part),
            "small": part.kind == "constant" and not part.name and part.array.size == 1,
            "width": round(max(longest * LETTER + 22, 58)),
        })  # fmt: skip
    return {
        "nodes": nodes,
        "edges": [[edge.source, edge.target, edge.slot] for edge in view.edges],
        "outputs": list(view.outputs),
        "result": result_name(view),
        "carried": carried,
        "sums": sums,
        "summed": summed,
        "seeds": [[number, arrays.add(seed)] for number, seed in walk.seeds.items()],
        "start": story.moments[0].text,
        "end": story.moments[-1].text,
        "phrases": PHRASES,
        "most": MOST,
        "pictures": pictures.finished(),
        "arrays": arrays.finished(),
        "equations": equations.trees.values,
        "levels": [{"kind": one.kind, "label": shorten(one.label), "parent": one.parent} for one in levels.levels],
        "home": levels.home,
        "gaps": {"ahead": AHEAD, "aside": ASIDE, "pad": PAD, "head": HEAD, "line": LINE, "turn": TURN, "sweeps": SWEEPS,
                 "shorter": SHORTER, "tries": TRIES, "givesWay": GIVES_WAY},
    }  # fmt: skip


@lru_cache(4096)  # titles repeat often
def text_width(text: str) -> float:
    """Return the width of a text in letters; narrow letters only make up for wide ones.

    Example:
        >>> text_width("fit"), text_width("WW"), text_width("日本"), text_width("Will")
        (3.0, 3.4, 4.0, 4.0)
    """
    return max(float(len(text)), sum(map(_letter_width, text)))


def _letter_width(letter: str) -> float:
    if letter in "MWmw@%…":
        return 1.7 if letter == "W" else 1.5
    if "A" <= letter <= "Z" and letter != "I":
        return 1.12
    if letter in "fijlrtI .,:;'|()[]":
        return 0.6
    return float(text_columns(letter))


def _call_line(part: GraphNode) -> list[Any] | None:
    """Return file name (without folders), line number and source of the call that made a node."""
    if part.line is None:
        return None
    return [printable(Path(part.line[0]).name), part.line[1], printable(linecache.getline(*part.line).strip())]
