"""The JSON for Model Explorer is what its data classes hold, and its own program opens it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Layer, Solver, Tensor, graph_loss, nn
from tinygrad_nn.graph import GraphView
from tinygrad_nn.node import scope
from tinygrad_nn.viz import draw
from tinygrad_nn.viz.graph.model_explorer import to_model_explorer

EVIL = "</script><img src=x onerror=alert(1)>"


def loss_of_layers() -> Any:
    layers = [Layer(4, 6, "tanh", rng=0), Layer(6, 3, "softmax", rng=1)]
    loss = graph_loss(layers, np.ones((2, 4)), np.eye(3)[:2], solver=Solver("crossentropy"))
    loss.backward(retain_graph=True, retain_grads=True)
    return loss


def hostile() -> Any:
    with scope(f"outer/{EVIL}.inner"):
        return Tensor([1.0, np.nan, np.inf], name=EVIL) * 2.0 + 1.0


def several() -> Any:
    x = Tensor(np.ones((2, 3)), name="x")
    return {"a": x * x, "b": [x.sum(axis=0), np.split(x, 3, axis=1)]}


def attention() -> Any:
    return nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0)(Tensor(np.ones((2, 3, 8)), name="x"))


GRAPHS = {"layers": loss_of_layers, "hostile": hostile, "several": several, "a transformer": attention}


def typed(kind: Any, **found: Any) -> Any:
    """An object of a data class of theirs; a field that it does not have raises."""
    return kind(**found)


@pytest.mark.parametrize("name", GRAPHS)
def test_it_is_what_their_data_classes_hold(name: str) -> None:
    theirs = pytest.importorskip("model_explorer.graph_builder", reason="needs ai-edge-model-explorer")
    view = GraphView(GRAPHS[name]())
    found = json.loads(to_model_explorer(view, "a <title>"))
    collection = typed(theirs.GraphCollection, **found)
    [graph] = [typed(theirs.Graph, **graph) for graph in collection.graphs]
    nodes = [typed(theirs.GraphNode, **node) for node in graph.nodes]
    assert graph.id == collection.label == "a <title>"
    assert len({node.id for node in nodes}) == len(nodes) == len(view)
    edges = [(edge, node) for node in nodes for edge in node.incomingEdges]
    ends = [typed(theirs.IncomingEdge, **edge) for edge, _ in edges]
    led = [(int(end.sourceNodeId), int(node.id), int(end.targetNodeInputId))
           for end, (_, node) in zip(ends, edges, strict=True)]  # fmt: skip
    assert led == [(edge.source, edge.target, edge.slot) for edge in view.edges]
    for node, part in zip(nodes, view, strict=True):
        attributes = {pair.key: pair.value for pair in (typed(theirs.KeyValue, **a) for a in node.attrs)}
        assert all(isinstance(value, str) and value for value in (*attributes.values(), node.label))
        assert attributes["value"] == part.value.text
        assert attributes.get("gradient") == (part.grad.text if part.grad else None)
        assert not any(part == "" for part in node.namespace.split("/")) or node.namespace == ""
        [output] = [typed(theirs.MetadataItem, **item) for item in node.outputsMetadata]
        assert output.attrs == [{"key": "shape", "value": f"{part.dtype}[{','.join(map(str, part.shape))}]"}]
    assert typed(theirs.Graph, **found["graphs"][0]).groupNodeAttributes[""]["leaves"]


def test_parameters_stand_in_the_layer_that_uses_them() -> None:
    [graph] = json.loads(to_model_explorer(GraphView(loss_of_layers())))["graphs"]
    kinds = [(node["attrs"][0]["value"], node["namespace"]) for node in graph["nodes"]]
    assert sorted(place for kind, place in kinds if kind == "leaf") == ["layer 1"] * 2 + ["layer 2"] * 2
    assert {place for kind, place in kinds if kind == "operation"} == {"layer 1", "layer 2"}
    assert [place for kind, place in kinds if kind == "output"] == ["loss"]


def test_it_is_written_by_its_suffix(tmp_path: Path) -> None:
    drawing = draw(loss_of_layers(), tmp_path / "net.model-explorer.json", title="the title")
    text = (tmp_path / "net.model-explorer.json").read_text(encoding="utf-8")
    assert json.loads(text)["label"] == "the title"
    drawing.save(tmp_path / "NET.MODEL-EXPLORER.JSON")
    assert (tmp_path / "NET.MODEL-EXPLORER.JSON").read_text(encoding="utf-8") == text
    drawing.save(tmp_path / "net.json")
    assert "graphs" not in json.loads((tmp_path / "net.json").read_text(encoding="utf-8"))


SERVER = """
import sys
import model_explorer
config = model_explorer.config().add_model_from_path(sys.argv[1])
model_explorer.server.start(host="127.0.0.1", port=int(sys.argv[2]), config=config, no_open_in_browser=True,
                            skip_health_check=True)
"""


@pytest.fixture
def explorer(tmp_path: Path) -> Iterator[str]:
    """The address at which Model Explorer shows a file of ours."""
    pytest.importorskip("model_explorer", reason="needs ai-edge-model-explorer: pip install '.[test]'")
    path = tmp_path / "net.model-explorer.json"
    draw(loss_of_layers(), path, title=f"loss {EVIL}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    offline = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")  # it looks for a newer version
    program = subprocess.Popen([sys.executable, "-c", SERVER, str(path), str(port)], env={**os.environ, **offline},
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.1)
        models = {"models": [{"url": str(path), "adapterId": "builtin_json"}]}
        yield f"http://127.0.0.1:{port}/?data={urllib.parse.quote(json.dumps(models))}"
    finally:
        program.kill()
        program.wait()


@pytest.fixture
def webgl(browser: Any) -> Iterator[Any]:
    """A Chromium that draws by WebGL, from the one playwright that a process may have."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    options = ["--no-sandbox", "--use-gl=swiftshader", "--enable-unsafe-swiftshader"]
    own = browser.browser_type.launch(executable_path=program, args=options)
    yield own
    own.close()


def test_model_explorer_opens_it(explorer: str, webgl: Any) -> None:
    with webgl.new_page() as tab:
        tab.goto(explorer)
        tab.get_by_text("op node count").wait_for(timeout=60_000)
        shown = tab.inner_text("body").split("\n")
        assert f"loss {EVIL}" in shown
        view = GraphView(loss_of_layers())
        told = {name: next(text for text in shown[shown.index(name) + 1 :] if text.strip()).strip()
                for name in ("op node count", "layer count", "operations")}  # fmt: skip
        assert told["op node count"] == str(len(view))
        assert told["operations"] == str(sum(part.operation is not None for part in view))
        assert told["layer count"] == "3"
