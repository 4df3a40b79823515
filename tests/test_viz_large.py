"""Graphs too large for a drawing are folded to a readable size before any work is done, with a note."""

from __future__ import annotations

from typing import Any

import pytest

from tests import large_graphs
from tinygrad_nn.graph import GraphView
from tinygrad_nn.viz import draw
from tinygrad_nn.viz.graph import render
from tinygrad_nn.viz.graph.folding import fold


@pytest.mark.parametrize("make", [large_graphs.loop, large_graphs.rnn, large_graphs.web, large_graphs.fan])
def test_large_graphs_are_folded_before_drawing(make: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(render, "PATIENCE", 20)
    drawing = draw(make())
    assert len(drawing.view) > 300
    assert len(drawing.picture.items) <= 90
    assert len(drawing.picture.arrows) <= 600
    note = drawing.picture.note
    assert note.startswith(f"{sum(n.operation is not None for n in drawing.view):,} operations are shown as")
    assert note in drawing.svg
    assert drawing.html.count(note) == 1
    assert "operations are shown as" in drawing.mermaid.replace("#32;", " ")
    assert "folded to" in repr(drawing)
    text = drawing.svg
    assert ("step × 500" in text, "499 steps after" in text) == (make is large_graphs.rnn,) * 2


def test_a_folded_graph_keeps_the_wires_and_the_colours() -> None:
    result = large_graphs.rnn(100)
    result.backward(retain_graph=True, retain_grads=True)
    view = GraphView(result)
    found = fold(view)
    wires = {(found.number[e.source], found.number[e.target]) for e in view.edges}
    assert {(e.source, e.target) for e in found.view.edges} == {(a, b) for a, b in wires if a != b}
    assert all(e.source < e.target for e in found.view.edges)
    assert [part.number for part in found.view] == list(range(len(found.view)))
    hidden = next(part for part in found.view if part.kind == "fold")
    assert hidden.name == "99 steps after"
    drawing = draw(view, color="bytes")
    assert next(item for item in drawing.picture.items if item.kind == "fold").shade is not None
    assert drawing.picture.legend is not None
