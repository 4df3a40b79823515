"""`--model`, `--row` and `--serve` of the commands that draw: a saved network is shown, and its page is changed."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import graph_loss
from tinygrad_nn.cli import main
from tinygrad_nn.graph import short_number
from tinygrad_nn.io import load_network
from tinygrad_nn.solver import Solver

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    assert main(["train", "--epochs", "2", "--hidden", "5", "--quiet", "--out", str(folder / "iris")]) == 0
    rows = "\n".join(f"{k % 7},{k % 3},{k * 0.5 + 1}" for k in range(30))
    (folder / "table.csv").write_text(f"a,b,y\n{rows}\n")
    train = ["train", "--data", str(folder / "table.csv"), "--target", "y", "--epochs", "2", "--hidden", "3", "--quiet"]
    assert main([*train, "--out", str(folder / "table")]) == 0
    return folder


def loss_of(path: Path) -> float:
    """Return the loss that a graph shows, to four digits."""
    graph = json.loads(path.read_text(encoding="utf-8"))
    return float(np.ravel(graph["nodes"][graph["outputs"][0]]["value"]["numbers"])[0])


def test_a_saved_network_is_drawn_and_nothing_is_trained(saved: Path, tmp_path: Path, capsys: Capture) -> None:
    from tinygrad_nn.data import load_iris

    model, iris = str(saved / "iris" / "model.safetensors"), load_iris()
    network = load_network(model)
    x = network.scaler.transform(iris.x[50:51]) if network.scaler else iris.x[50:51]
    loss = graph_loss(network.layers, x, iris.targets[50:51], solver=Solver("crossentropy"))
    assert main(["graph", "--model", model, "--row", "51", "--out", str(tmp_path / "g.json")]) == 0
    assert loss_of(tmp_path / "g.json") == float(short_number(loss.data.item()))
    assert main(["explore", "--model", model, "--rows", "1,51", "--out", str(tmp_path / "e.html")]) == 0
    assert "crossentropy of 2 rows of iris, by model.safetensors" in (tmp_path / "e.html").read_text(encoding="utf-8")
    assert main(["network", "--model", model, "--row", "51", "--out", str(tmp_path / "n.svg")]) == 0
    assert "Row 51 of iris: versicolor" in (tmp_path / "n.svg").read_text(encoding="utf-8")
    assert "Trained" not in capsys.readouterr().out


def test_a_network_of_a_table_needs_the_table(saved: Path, tmp_path: Path, capsys: Capture) -> None:
    model, out = str(saved / "table" / "model.safetensors"), str(tmp_path / "g.json")
    assert main(["graph", "--model", model, "--out", out]) != 0
    assert "learned from other columns (a, b, ...) than those of iris; add the table" in capsys.readouterr().err
    (tmp_path / "other.csv").write_text("y,b,a\n4.0,2,6\n1.5,1,1\n")
    assert main(["graph", "--model", model, "--data", str(tmp_path / "other.csv"), "--row", "2", "--out", out]) == 0
    network = load_network(model)
    assert network.scaler is not None
    x = network.scaler.transform(np.array([[1.0, 1.0]]))
    y = np.array([[1.5]]) if network.target_scaler is None else network.target_scaler.transform(np.array([[1.5]]))
    loss = graph_loss(network.layers, x, y, solver=Solver("mse"))
    assert loss_of(Path(out)) == float(short_number(loss.data.item()))


@pytest.mark.parametrize(("given", "words"), [
    (["graph", "--hidden", "4"], "--hidden sets how a network is trained"),
    (["explore", "--epochs", "4"], "--epochs sets how a network is trained"),
    (["network", "--untrained"], "--untrained is for a network that is trained here"),
    (["graph", "--row", "0"], "there is no row 0"),
    (["explore", "--row", "1", "--rows", "2,3"], "both say which rows"),
    (["graph", "--target", "y"], "predicts 'species'"),
    (["graph", "mine.py:f"], "--model is for the network that is trained here"),
    (["explore", "--serve", "--gif", "walk.gif"], "a GIF cannot be served"),
    (["explore", "--port", "80"], "--port is for a page that is served"),
])  # fmt: skip
def test_options_that_conflict_with_a_saved_network_are_refused(
    saved: Path, tmp_path: Path, given: list[str], words: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*given, "--model", str(saved / "iris" / "model.safetensors")]) != 0
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


OWN = """
import numpy as np
from tinygrad_nn.nn import Linear
layer = Linear(3, 2, rng=0)
inputs = (np.ones((2, 3)), 0.5)
def loss(x, t):
    y = np.tanh(layer(x))
    return ((y - t) ** 2).mean()
def parts(): return layer, np.ones((2, 3))
done = loss(*inputs)
"""


def ask(url: str, path: str, body: Any) -> Any:
    asked = urllib.request.Request(url.replace("/?", f"{path}?") + "&session=s", json.dumps(body).encode(),
                                   {"Content-Type": "application/json"})  # fmt: skip
    with urllib.request.urlopen(asked) as answer:
        return json.load(answer)


def names_of(record: Any) -> list[str]:
    texts, brief = record["nodes"]["texts"], record["arrays"]
    return [texts[k] for k in record["nodes"]["columns"]["named"] if brief is not None]


@pytest.mark.parametrize("given", [["mine.py:loss"], ["mine.py:parts"], ["--row", "3", "--model", "MODEL"]],
                         ids=["function", "network", "saved"])  # fmt: skip
def test_the_served_page_of_the_command_is_changed_until_ctrl_c(saved: Path, tmp_path: Path, given: list[str]) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    words = [str(saved / "iris" / "model.safetensors") if word == "MODEL" else word for word in given]
    command = [sys.executable, "-m", "tinygrad_nn", "explore", *words, "--serve", "--no-browser"]
    room = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=tmp_path, env=room, text=True, stdout=pipe, stderr=pipe)
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", line)
    assert found, line
    page = urllib.request.urlopen(found[0] + "&session=s").read().decode()
    record = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])  # type: ignore[index]
    if given == ["mine.py:loss"]:
        assert {"x", "t", "y", "layer.weight"} <= set(names_of(record))
    first = ask(found[0], "/numbers", {"node": 0})
    answer = ask(found[0], "/change", {"node": 0, "index": first["index"], "value": "0.25", "version": 0})
    assert answer["live"]["undo"] == 1
    assert answer["live"]["was"]
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, "")


def test_a_finished_result_cannot_be_changed(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    assert main(["explore", f"{tmp_path / 'mine.py'}:done", "--serve", "--no-browser"]) != 0
    assert "a change needs the function that makes the graph" in capsys.readouterr().err
