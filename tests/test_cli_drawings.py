"""The commands `graph`, `explore` and `network`, for the trained network and for a function of the user."""

import json
import os
import re
import shlex
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tinygrad_nn import BackProp, FeedForward, Layer, Solver, graph_loss
from tinygrad_nn.cli import main
from tinygrad_nn.cli.run import Options, learn, prepare
from tinygrad_nn.cli.user_code import call_object, load_object
from tinygrad_nn.graph import GraphView

QUICK = ["--epochs", "2", "--hidden", "5"]
SAID = r"tinygrad-nn: error: "
Capture = pytest.CaptureFixture[str]

OWN = """
import numpy as np
from neighbour import two
from tinygrad_nn import Layer, Tensor, no_grad

W = Tensor([[1.0, -2.0], [0.5, 3.0]])
inputs = {"V": np.eye(2), "x": np.array([[1.0, 2.0]])}

def loss():
    x = np.array([1.0, two])
    h = np.tanh(W @ x)
    return (h * h).sum()

def several():
    a = W * 2
    return {"a": a, "b": (a * W).sum()}

def walked():
    square = (W * W).sum()
    square.backward(retain_graph=True, retain_grads=True)
    return square * 3

def model():
    return [Layer(3, 4, "tanh", rng=0), Layer(4, 2, "softmax", rng=1)]

def with_x():
    return model(), np.arange(6.0).reshape(2, 3)

def with_y():
    return model(), np.arange(6.0).reshape(2, 3), np.eye(2)

def broken():
    z = Tensor([0.0, 1.0])
    return (z / z).sum()

def evil():
    return Tensor(2.0, name="</script><img src=x onerror=alert(1)>") * Tensor(3.0, name='"; }')

def needs(x, V): return (x @ V).sum()
def number(): return 3.0
def nothing(): W * 2
def leaf(): return Tensor([1.0])
def constant():
    with no_grad():
        return W * 2
def freed():
    square = (W * W).sum()
    square.backward()
    return square
def crash():
    q = W * 2
    return q @ np.ones(5)
def refuses(): raise ValueError("seed=3 is theirs")
def leaves(): raise SystemExit(3)
def deep(): return crash()
def plain(): return np.ones(2)
async def later(): return W * 2
result = loss()
"""

MODULES = """
import numpy as np
from tinygrad_nn.nn import LSTM, Dropout, Linear, Module, Sequential, softmax

class Net(Module):
    def __init__(self):
        self.hidden, self.out = Linear(3, 4, rng=0), Linear(4, 2, rng=1)
    def forward(self, x):
        return softmax(self.out(np.tanh(self.hidden(x))))

model = Net()
def both(): return Net(), np.arange(6.0).reshape(2, 3), np.eye(2)
def inside():
    mistake = ((model(np.ones((1, 3))) - np.eye(2)[:1]) ** 2).mean()
    return mistake
def states():
    lstm = LSTM(2, 3, rng=0)
    return lstm(np.ones((1, 4, 2)))
def row():
    parts = Linear(3, 4, rng=0), np.tanh, Dropout(0.5, rng=0), Linear(4, 2, rng=1), softmax
    return Sequential(*parts), np.arange(6.0).reshape(2, 3), np.eye(2)
class Odd(Linear):
    def forward(self, x): return (x @ self.weight.T) * 2.0
def narrow(): return [Odd(3, 2, rng=0)], np.ones((1, 3)), np.ones((1, 2))
"""


@pytest.fixture(autouse=True)
def _own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs beside files of a person's own, before a terminal of 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "neighbour", raising=False)
    Path("own.py").write_text(OWN, encoding="utf-8")
    Path("neighbour.py").write_text("two = 2.0\n", encoding="utf-8")
    Path("modules.py").write_text(MODULES, encoding="utf-8")
    Path("broken.py").write_text("x = (\n", encoding="utf-8")
    Path("needs.py").write_text("def f(x, y=1, *, z):\n    return x\n", encoding="utf-8")


def nodes(path: str) -> dict[str, Any]:
    return {node["name"] or node["operation"]: node for node in json.loads(Path(path).read_text("utf-8"))["nodes"]}


def words(path: str) -> list[str]:
    """Every text of an SVG, those on hover as well."""
    return ["".join(e.itertext()) for e in ET.fromstring(Path(path).read_text("utf-8")).iter() if len(e) == 0]


# What is drawn.


@pytest.mark.parametrize(
    ("suffix", "start"),
    [("svg", b"<svg"), ("png", b"\x89PNG"), ("html", b"<!doctype html>"), ("dot", b"digraph"), ("json", b"{"),
     ("mmd", b"---\ntitle: ")],
)  # fmt: skip
def test_the_suffix_says_the_format(suffix: str, start: bytes, capsys: Capture) -> None:
    assert main(["graph", *QUICK, "--out", f"g.{suffix}"]) == 0
    assert Path(f"g.{suffix}").read_bytes().startswith(start)
    said = capsys.readouterr()
    trained, drawn = said.out.splitlines()
    assert re.fullmatch(r"Trained on iris for 2 epochs: loss \d\.\d{4}\.", trained)
    assert drawn == f"The graph of 10 nodes is in g.{suffix}."
    assert said.err == ""


def test_the_trained_network_is_the_one_that_train_makes() -> None:
    run = prepare(Options(epochs=2, hidden="5", seed=3))
    before = run.network.layers[1].W.data.copy()
    learn(run)
    for extra, want in (([], run.network.layers[1].W.data), (["--untrained"], before)):
        assert main(["graph", *QUICK, "--seed", "3", "--out", "g.json", "--quiet", *extra]) == 0
        shown = nodes("g.json")["W"]  # of the second layer, which stands last
        assert shown["value"]["norm"] == float(f"{np.linalg.norm(want):.4g}")
        assert shown["grad"]["norm"] > 0


def test_rows_are_those_of_the_table_scaled_for_the_network() -> None:
    table = "a,b,y\n" + "".join(f"{k},{k % 7},{3 * k}\n" for k in range(40))
    Path("t.csv").write_text(table, encoding="utf-8")
    run = prepare(Options(data="t.csv", target="y"))
    assert run.network.scaler is not None
    want = run.network.scaler.transform(np.array([[4.0, 4.0], [39.0, 4.0]]))
    assert np.allclose(run.rows([5, 40])[0], want)
    assert main(["graph", *QUICK, "--data", "t.csv", "--target", "y", "--rows", "5,40", "--out", "g.json"]) == 0
    assert nodes("g.json")["x"]["value"]["numbers"] == [float(f"{v:.4g}") for v in want.ravel()]


@pytest.mark.parametrize(
    ("options", "there", "gone"),
    [
        ([], ["softmax_crossentropy", "grad", "value", "layer 1", "2 × 4 float64"], []),
        (["--no-values"], ["grad"], [">value<"]),
        (["--no-gradients"], ["value"], [">grad<"]),
        (["--no-shapes"], ["value"], ["float64</FONT>"]),
        (["--no-constants"], ["W"], [">x</B>"]),
        (["--depth", "0"], ["2 operations"], [">affine</B>"]),
        (["--direction", "tb"], ["rankdir=TB"], ["rankdir=LR"]),
        (["--theme", "dark"], ["#0d1117"], ["#ffffff"]),
        (["--title", "<b>&"], ["&lt;b&gt;&amp;"], ["<b>&"]),
        (["--color", "gradient"], ["norm of the gradient"], []),
        (["--color", "nan"], ["where NaN and infinity come from"], []),
        (["--color", "time"], ["time of the forward operation"], []),
        (["--color", "bytes"], ["bytes of the value"], []),
        (["--color", "error"], ["relative error of the gradient", "error "], []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_an_option_changes_the_picture(options: list[str], there: list[str], gone: list[str]) -> None:
    assert main(["graph", *QUICK, "--out", "g.dot", *options]) == 0
    drawn = Path("g.dot").read_text("utf-8")
    assert [text for text in there if text not in drawn] == []
    assert [text for text in gone if text in drawn] == []


def test_a_function_of_ones_own_is_drawn_with_its_names_and_gradients() -> None:
    assert main(["graph", "own.py:loss", "--out", "g.json"]) == 0
    W, x = np.array([[1.0, -2.0], [0.5, 3.0]]), np.array([1.0, 2.0])
    h = np.tanh(W @ x)
    found = nodes("g.json")
    assert {"W", "x", "h"} <= set(found)
    assert found["h"]["value"]["numbers"] == [float(f"{v:.4g}") for v in h]
    assert found["W"]["grad"]["numbers"] == [float(f"{v:.4g}") for v in np.outer(2 * h * (1 - h**2), x).ravel()]
    assert main(["graph", "own.py:loss", "--out", "g.json", "--no-names"]) == 0
    assert not {"W", "x", "h"} & set(nodes("g.json"))


def test_results_arguments_and_gradients_that_are_there_already() -> None:
    assert main(["graph", "own.py:result", "--out", "g.json"]) == 0
    assert nodes("g.json")["W"]["grad"] is not None
    load_object("own.py:W").grad = None
    assert main(["graph", "own.py:several", "--out", "g.json"]) == 0
    W = np.array([1.0, -2.0, 0.5, 3.0])
    assert nodes("g.json")["W"]["grad"]["numbers"] == list(2 + 4 * W), "of the sum of both"
    assert nodes("g.json")["a"]["grad"]["numbers"] == list(1 + W)
    load_object("own.py:W").grad = None
    assert main(["graph", "own.py:walked", "--out", "g.json"]) == 0
    assert nodes("g.json")["W"]["grad"]["numbers"] == list(2 * W), "what the function left stays"
    assert main(["graph", "own.py:needs", "--out", "g.json"]) == 0
    assert main(["graph", "own.py:needs", "--inputs", "own.py:inputs", "--out", "h.json"]) == 0
    assert nodes("g.json")["x"]["grad"]["numbers"] == nodes("h.json")["x"]["grad"]["numbers"] == [1.0, 1.0]


@pytest.mark.parametrize(("name", "operation"), [("with_x", "softmax"), ("with_y", "softmax_crossentropy")])
def test_a_network_that_comes_with_data_has_a_graph(name: str, operation: str) -> None:
    assert main(["graph", f"own.py:{name}", "--out", "g.json"]) == 0
    assert operation in nodes("g.json")


def test_numbers_that_are_not_finite_are_drawn_without_a_warning(capsys: Capture) -> None:
    assert main(["graph", "own.py:broken", "--color", "nan", "--out", "g.dot"]) == 0
    assert "NaN or infinity born here" in Path("g.dot").read_text("utf-8")
    assert capsys.readouterr().err == ""


def test_names_of_a_person_are_text_in_every_format() -> None:
    for suffix in ("svg", "html", "dot", "mmd"):
        assert main(["graph", "own.py:evil", "--out", f"e.{suffix}"]) == 0
        assert "<img src=x" not in Path(f"e.{suffix}").read_text("utf-8")
    assert main(["explore", "own.py:evil", "--out", "e.html"]) == 0
    assert "<img src=x" not in Path("e.html").read_text("utf-8")


def test_explore_writes_the_page_the_animation_or_both(capsys: Capture) -> None:
    assert main(["explore", *QUICK]) == 0
    assert "open it in a browser" in capsys.readouterr().out
    html = Path("explore.html").read_text("utf-8")
    assert "crossentropy of 2 rows of iris, after training" in html
    call_ = ["explore", "own.py:loss", "--gif", "w.gif", "--seconds", "0.5", "--width", "400", "--theme", "dark"]
    Path("explore.html").unlink()
    assert main(call_) == 0
    assert not Path("explore.html").exists()
    with Image.open("w.gif") as film:
        assert (film.size[0], film.n_frames > 6, film.info["duration"]) == (400, True, 500)
    assert main([*call_, "--out", "p.html", "--title", "Mine"]) == 0
    assert "<h1>Mine</h1>" in Path("p.html").read_text("utf-8")


def test_a_row_is_written_into_the_network() -> None:
    run = prepare(Options(epochs=2, hidden="5"))
    learn(run)
    x, y = run.rows([51])
    cache = FeedForward(run.network.layers, x)
    db = BackProp(run.network.layers, cache, y, solver=run.solver).db
    assert main(["network", *QUICK, "--row", "51"]) == 0
    shown = words("network.svg")
    for i, name in enumerate(("setosa", "versicolor", "virginica")):
        z, a, d = (float(part[-1].ravel()[i]) for part in (cache.z, cache.a, db))
        assert f"neuron {i + 1} of layer 2 · bias {run.network.layers[1].b.data[i]:.4g} · " in "".join(shown)
        assert any(text.endswith(f"z {z:.4g} · a {a:.4g} · δ {d:.4g} · {name}") for text in shown)
    assert "Row 51 of iris: versicolor" in "".join(shown)
    assert {"sepal_length", "x 7", "x 1.4"} <= set(shown)
    assert main(["network", *QUICK, "--theme", "dark", "--limit", "4", "--out", "n.svg"]) == 0
    assert {"2 more"} <= set(words("n.svg"))
    assert "δ" not in Path("n.svg").read_text("utf-8")


def test_a_users_network_is_drawn_with_the_data_that_was_returned_with_it() -> None:
    model = [Layer(3, 4, "tanh", rng=0), Layer(4, 2, "softmax", rng=1)]
    cache = FeedForward(model, [[3.0, 4.0, 5.0]])
    delta = BackProp(model, cache, [[0.0, 1.0]], solver=Solver("crossentropy")).db[1][0]
    for name, extra, there in (("model", [], set()), ("with_x", [], {"x 2"}), ("with_x", ["--row", "2"], {"x 5"}),
                               ("with_y", ["--row", "2"], {"x 5", f"δ {delta:.2g}"})):  # fmt: skip
        assert main(["network", f"own.py:{name}", *extra]) == 0
        assert there <= set(words("network.svg"))
    assert main(["network", "own.py:with_y", "--loss", "mse", "--out", "other.svg"]) == 0
    assert "δ" in Path("other.svg").read_text("utf-8")


def test_a_module_of_ones_own_is_drawn_by_its_paths() -> None:
    assert main(["graph", "modules.py:both", "--out", "g.json"]) == 0
    shown = nodes("g.json")
    assert {"hidden.weight", "hidden.bias", "out.weight", "x", "y"} <= set(shown)
    assert "softmax_crossentropy" not in shown  # it ends in an operation of its own, so the loss is another
    assert main(["graph", "modules.py:inside", "--out", "h.json"]) == 0
    assert {"model.hidden.weight", "model.out.bias", "mistake"} <= set(nodes("h.json"))
    assert main(["graph", "modules.py:states", "--out", "s.json"]) == 0
    assert len(json.loads(Path("s.json").read_text("utf-8"))["outputs"]) == 3


def test_the_deltas_of_modules_are_the_gradients_of_their_biases() -> None:
    model, x, y = load_object("modules.py:row")()
    graph_loss(model.eval(), x[:1], y[:1], solver=Solver("crossentropy")).backward()
    assert main(["network", "modules.py:row"]) == 0
    shown = words("network.svg")
    for layer in (model[0], model[3]):
        assert {f"δ {d:.2g}" for d in layer.bias.grad} <= set(shown)
    assert main(["network", "modules.py:narrow", "--out", "n.svg"]) == 0
    assert "δ" not in Path("n.svg").read_text("utf-8")


# What is refused: in one line, with nothing written.

NO_CHANGE = [
    (["graph", "own.py"], r"'own\.py' names no object in a file; write FILE\.py:NAME"),
    (["graph", "none.py:f"], r"there is no file none\.py"),
    (["graph", "own.py:lost"], r"own\.py has no 'lost'; it has .*loss"),
    (["graph", "broken.py:f"], r"broken\.py, line 1: SyntaxError: '\(' was never closed.*the line is: x = \("),
    (["graph", "needs.py:f"], r"needs\.py:f takes x, z, and it is called without arguments.*inputs = \(x, W\)"),
    (["graph", "own.py:number"], r"own\.py:number gave a float; a graph is drawn from a Tensor"),
    (["graph", "own.py:plain"], r"own\.py:plain gave an ndarray; a graph is drawn from a Tensor"),
    (["graph", "own.py:later"], r"own\.py:later is async, and nothing runs it; .*return asyncio\.run"),
    (["graph", "modules.py:model"], r"gave a network without data.*\(model, x\)"),
    (["network", "modules.py:both"], r"this has a Net\. Pass the layers that run one after the other"),
    (["graph", "own.py:nothing"], r"gave nothing \(None\); a graph is drawn from a Tensor"),
    (["graph", "own.py:model"], r"gave a network without data.*\(model, x\)"),
    (["graph", "own.py:leaf"], r"gave a result without a graph: no operation on a Tensor led to it"),
    (["graph", "own.py:constant"], r"gave a result without a graph.*outside of no_grad"),
    (["graph", "own.py:freed"], r"freed by an earlier backward\(\)\. Call backward\(retain_graph=True\)"),
    (["explore", "own.py:freed"], r"freed by an earlier backward"),
    (["graph", "own.py:crash"], r"own\.py, line 52: ValueError: .*; the line is: return q @ np\.ones\(5\)"),
    (["graph", "own.py:deep"], r"own\.py, line 52: ValueError: .*; the line is: return q @ np\.ones\(5\)"),
    (["graph", "own.py:refuses"], r"own\.py, line 53: ValueError: seed=3 is theirs; the line is: def refuses"),
    (["graph", "own.py:leaves"], r"own\.py, line 54: SystemExit: 3"),
    (["graph", "own.py:loss", "--hidden", "5"], r"--hidden is for the network that is trained here"),
    (["graph", "own.py:loss", "--batch-size", "5"], r"--batch-size is for the network"),
    (["graph", "own.py:loss", "--untrained"], r"--untrained is for the network"),
    (["graph", "own.py:loss", "--rows", "1"], r"--rows is for the network that is trained here"),
    (["graph", "own.py:loss", "--color", "error"], r"call draw\(\) with measures="),
    (["graph", "own.py:W", "--inputs", "own.py:inputs"], r"--inputs own\.py:inputs are for a function.*a Tensor"),
    (["graph", "--inputs", "own.py:inputs"], r"--inputs own\.py:inputs are for a function of your own"),
    (["graph", "--color", "heat"], r"--color heat; it must be one of 'gradient', 'bytes', 'time', 'error', 'nan'"),
    (["graph", "--theme", "pink"], r"--theme pink; it must be one of 'light', 'dark'"),
    (["graph", "--direction", "up"], r"--direction UP; it must be 'LR'"),
    (["graph", "--depth", "-1"],
     r"--depth -1; it must be the number of nested scopes to show, 0 or more; without it all"),
    (["graph", "--rows", "1,x"], r"--rows 1,x: write whole numbers.*--rows 1,51"),
    (["graph", "--rows", "151"], r"there is no row 151; iris has the rows 1 to 150"),
    (["graph", "--out", "g.gif"], r"g\.gif has an unsupported suffix; the file can be written as \.svg, \.png"),
    (["graph", "--out", "no/g.svg"], r"the folder no does not exist"),
    (["graph", "--out", "folder.svg"], r"folder\.svg is a folder; name a file in it"),
    (["graph", "--dataset", "mnist"], r"unknown --dataset mnist"),
    (["explore", "--out", "e.svg"], r"e\.svg has an unsupported suffix; the file can be written as \.html"),
    (["explore", "--gif", "e.html"], r"the file can be written as \.gif"),
    (["explore", "--seconds", "3"], r"--seconds 3\.0 is for a GIF; add --gif FILE\.gif"),
    (["explore", "--gif", "w.gif", "--width", "20", *QUICK],
     r"--width 20 and --seconds 1\.2; they must be at least 300"),
    (["explore", "--gif", "w.gif", "--theme", "pink", *QUICK], r"--theme pink"),
    (["network", "--limit", "2"], r"--limit 2; it must be at least 3, the fewest neurons drawn per layer"),
    (["network", "--row", "0"], r"there is no row 0"),
    (["network", "--out", "n.dot"], r"n\.dot has an unsupported suffix; the file can be written as \.svg"),
    (["network", "own.py:loss"], r"own\.py:loss gave a Tensor; a network is drawn from a list of layers"),
    (["network", "own.py:model", "--row", "1"], r"--row 1 is a row of data, but own\.py:model returns no data"),
    (["network", "own.py:with_x", "--row", "3"], r"--row 3: x has the rows 1 to 2"),
    (["network", "own.py:with_y", "--loss", "hinge"], r"unknown loss 'hinge'"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "match"), NO_CHANGE, ids=[" ".join(row[0]) for row in NO_CHANGE])
def test_errors_are_one_line(arguments: list[str], match: str, capsys: Capture) -> None:
    Path("folder.svg").mkdir()
    before = sorted(os.listdir())
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert re.match(SAID, said.err), said.err
    assert re.search(match, said.err), said.err
    assert said.err.count("\n") == 1
    drawn = {"graph.svg"} if arguments[1] in ("own.py:crash", "own.py:deep") else set()  # up to what failed
    assert set(os.listdir()) - {"__pycache__"} == {*before, *drawn}


def test_wrong_options_are_said_before_the_training(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr("tinygrad_nn.cli.run.fit", lambda *_, **__: pytest.fail("it trained"))
    for line in ("graph --rows 999", "graph --theme x", "graph --out no/g.svg", "explore --rows 999",
                 "explore --gif w.gif --theme x", "network --row 999", "network --limit 1",
                 "network --theme x"):  # fmt: skip
        assert main(line.split()) == 2
    assert capsys.readouterr().err.count("\n") == 8


def test_a_picture_that_was_there_stays_if_the_new_one_fails(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    Path("graph.svg").write_text("old")
    monkeypatch.setattr("tinygrad_nn.viz.graph.render.programs", lambda: iter(()))
    assert main(["graph", "own.py:loss"]) == 2
    assert "drawing SVG needs a program of Graphviz" in capsys.readouterr().err
    assert Path("graph.svg").read_text() == "old"
    assert main(["graph", "own.py:loss", "--out", "g.html"]) == 0
    assert sorted(os.listdir()) == sorted(
        {"broken.py", "g.html", "graph.svg", "modules.py", "needs.py", "neighbour.py", "own.py"}
        | set(os.listdir()) & {"__pycache__"}
    )


def test_the_variables_of_a_function_are_seen_and_nothing_is_left_behind() -> None:
    before = sys.getprofile()
    own = call_object("own.py:loss")
    assert sys.getprofile() is before
    assert isinstance(own.names["h"], type(own.value))
    assert "W" in own.names
    assert len(GraphView(own.value)) == 6


def test_help_fits_80_columns(capsys: Capture) -> None:
    for command in ("graph", "explore", "network"):
        assert main([command, "--help"]) == 0
        said = capsys.readouterr().out
        assert max(map(len, said.splitlines())) <= 80
        assert "FILE.py:FUNCTION" in said
        assert "--dataset" in said


@pytest.mark.slow
def test_the_commands_of_the_page_about_them_run() -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "command.md").read_text("utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    Path("mine.py").write_text(code, encoding="utf-8")
    trained = r"^tinygrad-nn ((?:graph|explore|network)(?!.*(?:--serve|--model)).*)$"  # the rest: test_cli_saved
    calls = re.findall(trained, page, flags=re.MULTILINE)
    assert len(calls) == 11
    for line in calls:
        words_ = shlex.split(line, comments=True)
        assert main([*words_, "--quiet"]) == 0
        for option in ("--out", "--gif"):
            assert option not in words_ or Path(words_[words_.index(option) + 1]).stat().st_size > 1000
