"""HTML display in notebooks for objects that are not drawings: Tensors, histories, data sets and profiles."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np

from ...common.printable import html_text
from ...graph.summary import short_number
from ..graph.page import html_table
from ..training.live import chart
from .heat_map import tensor_html

ROWS = 10  # rows shown at the start and at the end of a table
# The CSS variables of `chart`, with colors that are readable on the light and dark backgrounds of notebooks.
INKS = ("--first:#2f8fd0;--second:#d9641e;--third:#1f9e77;--fourth:#b0589a;--ink:currentColor;--muted:#7d8590;"
        "--line:#8b949e55")  # fmt: skip


def picture(thing: Any) -> str | None:
    """Return an object as HTML for the output of a cell, or ``None`` if its text is enough."""
    for kind in type(thing).__mro__:
        if kind.__name__ in KINDS:
            return KINDS[kind.__name__](thing)
    return None


def history_html(history: Any) -> str | None:
    """Return a history as HTML: its curves and a folded table."""
    if not history.loss:
        return None
    metrics = [name for name in history.metrics if not name.startswith("val_")]
    curves = {"loss": (history.loss, history.val_loss)}
    curves |= {name: (history.metrics[name], history.metrics.get(f"val_{name}", [])) for name in metrics}
    charts = "".join(
        f'<div style="flex:1 1 22em;max-width:36em">{_chart(name, *pair)}</div>' for name, pair in curves.items()
    )
    columns = {"loss": history.loss, "val_loss": history.val_loss, **history.metrics}
    columns = {name: values for name, values in columns.items() if values}
    epochs = len(history.loss)
    shown = [k for k in range(epochs) if k < ROWS or k >= epochs - ROWS]
    rows = []
    for k in shown:
        if k and k - 1 not in shown:
            rows.append(["...", *("" for _ in columns)])
        rows.append([str(k + 1), *(short_number(float(values[k])) for values in columns.values())])
    table = html_table(["epoch", *columns], rows, frozenset(range(len(columns) + 1)))
    look = f"{INKS};fill:currentColor;display:flex;flex-wrap:wrap;gap:1em"
    unfold = '<summary style="cursor:pointer">All epochs as a table</summary>'
    if len(shown) < epochs:
        unfold = f'<summary style="cursor:pointer">The first and last {ROWS} of {epochs:,} epochs as a table</summary>'
    return f'<div style="{look}">{charts}</div><details>{unfold}{table}</details>'


def _chart(name: str, training: list[float], validation: list[float]) -> str:
    """Return one or two curves as a figure with inline styles."""
    drawn = chart(name, {"training": training} | ({"validation": validation} if validation else {}))
    drawn = drawn.replace("<figure>", '<figure style="margin:0">')
    drawn = drawn.replace('<svg viewBox="0 0 30 10"', '<svg width="30" height="10" viewBox="0 0 30 10"')
    look = "display:flex;flex-wrap:wrap;gap:.2em 1.1em;font-size:.85em"
    return drawn.replace('<div class="key">', f'<div style="{look}">')


def dataset_html(data: Any) -> str:
    """Return a data set as HTML: the text of its repr and some rows."""
    head, *lines = repr(data).splitlines()
    parts = [line.strip().partition("  ") for line in lines]
    words = "".join(f"<br><b>{escape(a)}</b> {escape(b)}" if b else f"<br>{escape(a)}" for a, _, b in parts)
    few = min(len(data.feature_names), 8)
    more = len(data.feature_names) - few
    heads = ["row", *data.feature_names[:few], *([f"{more} more"] if more else []), "class"]
    rows = []
    for k in np.linspace(0, len(data.x) - 1, min(6, len(data.x))).astype(int):
        cells = [short_number(float(value)) for value in data.x[k, :few]] + (["..."] if more else [])
        rows.append([str(k), *cells, data.class_names[int(data.y[k])]])
    table = html_table(heads, rows, frozenset(range(len(heads) - 1)))
    return f"<div><code>{html_text(head)}</code>{words}</div>{table}"


def profile_html(profile: Any) -> str | None:
    """Return a profile as HTML: its tables and (if Graphviz is installed) its graph, folded and colored by time."""
    text = f'<pre style="overflow-x:auto" tabindex="0">{escape(str(profile))}</pre>'
    svg = profile.draw()._repr_svg_() if profile.view is not None else None
    if svg is None:
        return text
    unfold = '<summary style="cursor:pointer">The graph, coloured by time</summary>'
    return f'{text}<details>{unfold}<div style="overflow-x:auto" tabindex="0">{svg}</div></details>'


KINDS: dict[str, Callable[[Any], str | None]] = {
    "Tensor": tensor_html, "History": history_html, "Dataset": dataset_html, "Profile": profile_html,
}  # fmt: skip
