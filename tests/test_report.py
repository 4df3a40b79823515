"""The report of a training: one complete page that needs no network and shows text of the user only as text."""

import csv
import os
import re
import shlex
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tabs import Tabs
from tinygrad_nn.cli import main
from tinygrad_nn.cli.page import command, page
from tinygrad_nn.cli.run import Options, execute, prepare
from tinygrad_nn.viz import plot_confusion
from tinygrad_nn.viz.training import live
from tinygrad_nn.viz.training.plots import legible

EVIL = "</script><img src=x onerror=alert(1)>"
CLASSES = (EVIL, '"; }', "\N{CHERRY BLOSSOM} 日本 \x1b[31m")
FILES = ["confusion.png", "graph.svg", "history.json", "loss.png", "model.safetensors"]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")


def hostile(path: str = "<b>&'.csv") -> str:
    """A table whose file, columns and classes have the names that could break a page."""
    rng = np.random.default_rng(0)
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = [[*rng.normal(size=3).round(3), CLASSES[k % 3]] for k in range(60)]
        csv.writer(file).writerows([[EVIL, 'b&"c', "$x_1$", "<i>target"], *rows])
    return path


@pytest.fixture(scope="module")
def hostile_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a training on such a table."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("hostile"))
        call = ["train", "--data", hostile(), "--target", "<i>target", "--epochs", "3", "--report", "--quiet"]
        assert main([*call, "--out", "o"]) == 0  # a warning would be an error here
        return Path("o/report.html").absolute()


def text_of(html: str) -> str:
    """What a reader sees of a page, but not what is in its frame."""
    body = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", body)))


# What it says.


def test_curves_begin_at_the_epoch_in_which_a_resumed_training_records_them() -> None:
    for epochs in ("2", "5"):
        assert main(["train", "--epochs", epochs, "--checkpoint", "c", "--resume", "--report", "--quiet"]) == 0
    html = Path("tinygrad-nn-out/report.html").read_text("utf-8")
    begins = {title: float(x) for title, x in re.findall(
        r'aria-label="([^"]*) by epoch">.*?<polyline points="([0-9.]+),', html, re.DOTALL)}  # fmt: skip
    third = live.LEFT + (live.W - live.LEFT - live.RIGHT) * 2 / 4
    assert begins == {"loss": live.LEFT, "accuracy": live.LEFT, "gradient of W, root mean square": third}


def test_the_page_says_what_the_terminal_says(capsys: Capture) -> None:
    assert main(["train", "--report"]) == 0
    said = capsys.readouterr().out
    assert "  tinygrad-nn-out/report.html\n" in said
    assert sorted(os.listdir("tinygrad-nn-out")) == sorted([*FILES, "report.html"])
    shown = text_of(Path("tinygrad-nn-out/report.html").read_text("utf-8"))
    for part in ("accuracy, test part 0.9667", "training loss 0.2214", "gradients agree",
                 "setosa 1.0000 1.0000 1.0000 10", "mean 0.9722 0.9630 0.9659 30",  # the scores
                 "true \\ predicted setosa versicolor virginica setosa 10 0 0 versicolor 0 11 0 virginica 0 1 8",
                 "The three roads agree (all 323 entries checked numerically).",
                 "4 - 40 relu - 3 softmax; 323 parameters", "105 train, 15 val, 30 test",
                 "20 epochs in batches of 16, gradients by graph, seed 0", "tinygrad-nn train --report",
                 "20 0.2214 0.2486 0.9048 0.8667",  # the last epoch
                 "sepal_length, sepal_width, petal_length, petal_width"):  # fmt: skip
        assert part in shown
    for line in re.findall(r"^(layer \d [Wb]) +(\S+) +(\S+) +(\S+) +(\S+)$", said, re.MULTILINE):
        assert " ".join(line) in shown


def test_the_page_is_well_formed_and_holds_every_drawing() -> None:
    html = page(execute(prepare(Options(epochs=3, hidden="5,4")), flow=True))
    html = html.replace("<!doctype html>", "").replace("&nbsp;", "&#160;")
    root = ET.fromstring(re.sub(r"<(meta|link)\b([^>]*?)/?>", r"<\1\2/>", html))
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    charts = [f.findtext("figcaption") for f in root.iter("figure")]
    assert charts == ["loss", "accuracy", "gradient of W, root mean square"]
    keys = [[span.text or "".join(span.itertext()) for span in f.iter("span")] for f in root.iter("figure")]
    assert keys == [["training", "validation"]] * 2 + [["layer 1", "layer 2", "layer 3"]]
    pictures = [e for e in root.iter("div") if e.get("class") == "picture"]
    assert [[part.get("class") for part in picture] for picture in pictures] == [["light", "dark"]] * 2
    graph, net = (" ".join(picture.itertext()) for picture in pictures)
    assert all(word in graph for word in ("layer 3", "softmax_crossentropy", "grad"))
    assert all(word in net for word in ("sepal_length", "virginica", "δ", "neuron 5 of layer 1"))
    (frame,) = root.iter("iframe")
    assert 'id="slider"' in frame.get("srcdoc", "")
    assert frame.get("sandbox") == "allow-scripts"
    links = [e.get("href", "")[1:] for e in root.iter("a")]
    assert set(links) <= set(ids)
    assert not [e for e in root.iter() if any(key.startswith("on") for key in e.attrib)]
    assert not list(root.iter("script"))


def test_the_gradient_flow_is_that_of_the_training_part() -> None:
    from tinygrad_nn import BackProp, FeedForward

    run = prepare(Options(epochs=2, hidden="5"))
    outcome = execute(run, flow=True)
    x, y = run.parts["train"]
    dW = BackProp(run.network.layers, FeedForward(run.network.layers, x), y, solver=run.solver).dW
    assert outcome.flow is not None
    last = [norms[-1] for norms in outcome.flow.norms.values()]
    assert last == [pytest.approx(np.sqrt(np.mean(g**2))) for g in dW]


def test_the_report_changes_nothing_of_the_run_and_its_command_makes_it_again() -> None:
    options = ["--epochs", "2", "--hidden", "5", "--dropout", "0.2", "--scale", "--seed", "7", "--quiet"]
    assert main(["train", *options, "--out", "a"]) == 0
    assert main(["train", *options, "--out", "b", "--report"]) == 0
    (again,) = re.findall(r"<pre>(tinygrad-nn train.*?)</pre>", Path("b/report.html").read_text("utf-8"))
    assert main([*shlex.split(unescape(again))[1:], "--out", "c", "--quiet"]) == 0
    for name in FILES:
        assert Path("a", name).read_bytes() == Path("b", name).read_bytes() == Path("c", name).read_bytes(), name
    assert Path("b/report.html").read_bytes() == Path("c/report.html").read_bytes()


@pytest.mark.parametrize(
    ("options", "want"),
    [
        (Options(), "tinygrad-nn train --report"),
        (Options(data="my $t.csv", target="a b"), "tinygrad-nn train --data 'my $t.csv' --target 'a b' --report"),
        (Options(stratify=True, scale=False, r=0.3), "tinygrad-nn train --no-scale --stratify --r 0.3 --report"),
    ],
)
def test_the_command_is_one_for_a_shell(options: Options, want: str) -> None:
    assert command(options) == want


def test_a_regression_has_no_classes_and_may_have_no_test_part() -> None:
    rng = np.random.default_rng(0)
    rows = "".join(f"{a:.2f},{b:.2f},{3 * a - b:.2f}\n" for a, b in rng.uniform(0, 9, (60, 2)))
    Path("t.csv").write_text("a,b,y\n" + rows)
    call = ["train", "--data", "t.csv", "--target", "y", "--train-size", "1", "--val-size", "0", "--epochs", "40",
            "--regularization", "elasticnet", "--lam", "0.001", "--r", "0.3"]  # fmt: skip
    assert main([*call, "--report", "--quiet", "--out", "o"]) == 0
    shown = text_of(Path("o/report.html").read_text("utf-8"))
    assert "R², train part 0.9" in shown
    assert "There is no test part." in shown
    assert "elasticnet with lam 0.001, r 0.3" in shown
    assert "Confusion" not in shown
    assert "validation" not in shown
    assert "The first and the last 15; history.json has all 40." in shown


@pytest.mark.parametrize(
    ("options", "want"),
    [
        ("--dataset digits", "gradients agree"),
        ("--dtype float32 --dropout 0.3", "float32"),
        ("--optimizer adamw --hidden 5,5", "by adamw"),
        ("--optimizer lbfgs --learning-rate 1", "by lbfgs"),
        ("--activation gelu", "4 - 40 gelu - 3 softmax"),
        ("--learning-rate 1e6", "gradients agree"),
    ],
)
def test_any_network_has_a_report(options: str, want: str) -> None:
    assert main(["train", "--epochs", "2", "--report", "--quiet", "--out", "o", *options.split()]) == 0
    html = Path("o/report.html").read_text("utf-8")
    assert want in text_of(html)
    assert all(len(number) <= 10 for number in re.findall(r"<dd[^>]*>([-\d.e+]+)<", html)), "a phone has no room"


def test_without_a_program_that_draws_the_graph_is_text(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinygrad_nn.viz.graph.render.programs", lambda: iter(()))
    assert main(["train", "--epochs", "2", "--report"]) == 0
    assert "report.html" in capsys.readouterr().out
    html = Path("tinygrad-nn-out/report.html").read_text("utf-8")
    assert "needs a program of Graphviz, and none was found" in html
    assert "<pre>flowchart LR" in html


@pytest.mark.parametrize(
    "broken", ["cli.page.page", "viz.graph.page.html_page", "cli.outputs.save_network", "files.atomic.os.replace"]
)
def test_a_report_that_fails_leaves_nothing(broken: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"tinygrad_nn.{broken}", fail)
    assert main(["train", "--epochs", "2", "--report", "--quiet"]) == 2
    assert "No space left" in capsys.readouterr().err
    assert os.listdir() == []


# Text of the user.


def test_hostile_names_are_text_and_rare_letters_no_warning(hostile_report: Path) -> None:
    html = hostile_report.read_text("utf-8")
    assert "<img src=x" not in html
    assert "<i>" not in html
    assert "\x1b" not in html
    assert html.count("<script") == 0
    assert "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;" in html
    assert "<title>&lt;b&gt;&amp;&#x27;.csv: a network trained to predict &lt;i&gt;target</title>" in html


def test_letters_that_a_plot_has_not_are_written_out() -> None:
    assert legible("a\N{CHERRY BLOSSOM}é\n") == r"a\U0001f338é\n"
    ax = plot_confusion(np.eye(3), names=CLASSES)
    shown = [label.get_text() for label in ax.get_yticklabels()]
    assert shown == [f"{EVIL[:35]}…", '"; }', r"\U0001f338 \u65e5\u672c \x1b[31m"]
    ax.figure.canvas.draw()  # warns of each letter that is missing


# In a real browser.


@pytest.fixture
def show(tabs: Tabs) -> Iterator[Any]:
    with tabs.watched(("file:", "data:", "about:")) as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_in_a_browser(show: Any, hostile_report: Path, width: int, scheme: str) -> None:
    tab = show(hostile_report.as_uri(), width, 844, color_scheme=scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.locator("img").count() == 0
    assert EVIL in tab.locator("#scores").inner_text()
    assert tab.locator("body").evaluate("b => getComputedStyle(b).backgroundColor") == (
        "rgb(13, 17, 23)" if scheme == "dark" else "rgb(255, 255, 255)"
    )
    for picture in tab.locator(".picture").all():
        seen = [part.get_attribute("class") for part in picture.locator("> div").all() if part.is_visible()]
        assert seen == [scheme]
        assert picture.locator(f"> .{scheme} svg").bounding_box()["height"] > 100
    sizes = tab.locator("#graph .picture text").evaluate_all("all => all.map(t => getComputedStyle(t).fontSize)")
    assert len(set(sizes)) > 2, "the style of the charts is not that of the graph"
    for key in tab.locator("nav a").evaluate_all("all => all.map(a => a.hash)"):
        tab.click(f'nav a[href="{key}"]')
        assert tab.locator(key).bounding_box()["y"] < 844
    tab.get_by_text("The epochs as a table").click()
    assert tab.locator("#curves details table tbody tr").count() == 3
    tab.get_by_text("Open the explorer").click()
    inside = tab.frame_locator("iframe")
    inside.locator("#next").click()
    assert inside.locator("#count").inner_text().startswith("1 / ")
    assert "affine" in inside.locator("#say").inner_text()
    assert inside.locator("html").evaluate("h => h.scrollWidth") <= width
    background = inside.locator("body").evaluate("b => getComputedStyle(b).backgroundColor")
    assert background == ("rgb(13, 17, 23)" if scheme == "dark" else "rgb(255, 255, 255)")


def test_graph_network_and_explorer_are_of_one_moment() -> None:
    from tinygrad_nn import BackProp, FeedForward
    from tinygrad_nn.cli.pictures import draw_run, row_loss
    from tinygrad_nn.graph import GraphView

    outcome = execute(prepare(Options(epochs=2, hidden="5")), flow=True)
    run, layers = outcome.run, outcome.run.network.layers
    x, y = (rows[:1] for rows in run.parts[outcome.scored])
    loss, names, title = row_loss(run, outcome.scored)
    assert title == "crossentropy of the first row of the test part, after the training"
    cache = FeedForward(layers, x)
    true = BackProp(layers, cache, y, solver=run.solver)
    view = GraphView(loss, names=names)
    assert np.array_equal(view.find("x").array, x)
    trained = [part for layer in layers for part in (layer.W.data, layer.b.data)]
    leaves = [part for part in view if part.kind == "leaf"]
    assert all(any(np.array_equal(part.array, w) for part in leaves) for w in trained)
    assert float(loss.data) == pytest.approx(true.loss, rel=1e-12)
    assert {layer.W.grad is None for layer in layers} == {True}  # the network itself keeps none
    words = " ".join(line for dots in draw_run(run, (x, y)).columns for dot in dots for line in dot.lines)
    assert f"z {float(cache.z[0][0, 0]):.2g}" in words
    html = page(outcome)
    assert html.count("of the first row of the test part, after the training") >= 2  # above the graph, and the explorer


def test_letters_have_11_pixels_and_wide_parts_scroll(show: Any, tmp_path: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    (tmp_path / "report.html").write_text(page(execute(prepare(Options(epochs=3, hidden="5")), flow=True)), "utf-8")
    assert main(["graph", "--untrained", "--quiet", "--out", "graph.html"]) == 0
    assert main(["network", "--untrained", "--quiet", "--row", "51", "--out", "network.html"]) == 0
    for name, title in (("report", None), ("graph", "crossentropy of 2 rows of iris, before training"),
                        ("network", "Row 51 of iris: versicolor")):  # fmt: skip
        for width in (390, 1280):
            tab = show((tmp_path / f"{name}.html").as_uri(), width)
            sizes = tab.evaluate("""[...document.querySelectorAll("svg text")].filter(t => t.getClientRects().length)
                .map(text => parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a)""")
            assert min(sizes) >= 11
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            assert title is None or tab.locator("body").inner_text().count(title) == 1
            faults = axe.Axe().run(tab).response["violations"]
            assert [fault["id"] for fault in faults if fault["impact"] in ("serious", "critical")] == []
