"""LiveReport in a real browser: a page that is open shows new epochs by itself, and the reader's place in it stays."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tabs import Tabs
from tinygrad_nn import BackProp, FeedForward, Layer, Settings, Solver, fit
from tinygrad_nn.metrics import cm
from tinygrad_nn.viz import GradientFlow, LiveReport
from tinygrad_nn.viz.training.live import LEFT, RIGHT, W, chart

EVIL = "</script><img src=x onerror=alert(1)>"
SOLVER = Solver("crossentropy", "sgd", 0.1)


def training(path: Path, epochs: int, after: Callable[[Any], Any]) -> tuple[LiveReport, list[Layer], Any]:
    """Train a small network with a report, and call a function after each epoch."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 4)), np.eye(3)[np.arange(30) % 3]
    model = [Layer(4, 5, "tanh", rng=0), Layer(5, 3, "softmax", rng=1)]
    flow = GradientFlow(lambda m: BackProp(m, FeedForward(m, x), y, solver=SOLVER))
    confusion = lambda m: cm(y, FeedForward(m, x).a[-1])
    report = LiveReport(path, flow=flow, confusion=confusion, names=[EVIL, "b", "c"], title=EVIL, refresh=1)
    history = fit(model, x, y, x, y, solver=SOLVER, settings=Settings(epochs, 10), rng=0, callbacks=[report, after])
    return report, model, history


@pytest.fixture
def tab(tabs: Tabs) -> Iterator[Any]:
    """A tab in which nothing may go wrong, and which may ask no network."""
    with tabs.watched(("file:",)) as opened:
        yield opened(width=390, height=500)


def wait(tab: Any, condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        tab.wait_for_timeout(50)  # the browser's own clock runs meanwhile


def test_a_page_that_is_open_shows_each_new_epoch(tab: Any, tmp_path: Path) -> None:
    path, seen, whole = tmp_path / "live.html", [], []
    state = lambda: tab.locator("#report [role=status]").inner_text()

    def look(epoch: Any) -> None:
        if epoch.number == 1:
            tab.goto(path.as_uri())
            tab.evaluate("""() => {
                scrollTo(0, 240);
                window.place = document.querySelector("#report h2").getBoundingClientRect().top;
                window.first = document.querySelector("#report [role=status]");
                window.kept = [...document.querySelectorAll("#report .charts figure")];
                getSelection().selectAllChildren(document.querySelector("#report h2"));
            }""")
        wait(tab, lambda: state().startswith(f"Epoch {epoch.number} of 4"))
        seen.append(tab.locator("#report table").last.locator("tbody tr").first.locator("td").all_inner_texts())
        whole.append(tab.locator("#report polyline").first.get_attribute("points").split())

    report, _, history = training(path, 4, look)
    assert [row[:2] for row in seen] == [[str(n), f"{loss:.4g}"] for n, loss in enumerate(history.loss, start=1)]
    assert [len(points) for points in whole] == [1, 2, 3, 4]
    wait(tab, lambda: "ended" in state())
    moved = tab.evaluate("document.querySelector('#report h2').getBoundingClientRect().top - window.place")
    assert abs(moved) <= 1  # what the reader looks at, even where the text above it became a line shorter
    assert tab.evaluate("window.first.isConnected && window.kept.every(part => part.isConnected)")  # no reload
    assert tab.evaluate("getSelection().toString()") == "Confusion matrix"
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert tab.locator("img, iframe").count() == 0
    assert tab.locator("h1").inner_text() == EVIL
    assert report.curves["loss"] == history.loss


def test_the_confusion_matrix_and_the_gradients_in_the_browser_are_the_models_own(tab: Any, tmp_path: Path) -> None:
    report, _, _ = training(tmp_path / "live.html", 3, lambda epoch: None)
    tab.goto(report.path.as_uri())
    rows = tab.locator("#report table").first.locator("tbody tr").all()
    shown = [row.locator("td").all_inner_texts() for row in rows]
    assert [row[0] for row in shown] == [EVIL, "b", "c"]
    assert report.flow is not None
    keys = tab.locator("figure", has_text="gradients").locator(".key span").all_inner_texts()
    assert keys == list(report.flow.norms)
    assert sum(int(number) for row in shown for number in row[1:]) == 30


def test_a_page_that_is_gone_for_a_while_is_not_lost(tab: Any, tmp_path: Path) -> None:
    path, away = tmp_path / "live.html", tmp_path / "away.html"

    def look(epoch: Any) -> None:
        if epoch.number == 1:
            tab.goto(path.as_uri())
            path.rename(away)
            tab.wait_for_timeout(1500)
            assert tab.locator("#report [role=status]").inner_text().startswith("Epoch 1 of 2")

    training(path, 2, look)
    wait(tab, lambda: "Epoch 2 of 2" in tab.locator("#report [role=status]").inner_text())


def test_without_scripts_the_page_reloads_itself(browser: Any, tmp_path: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    path = tmp_path / "live.html"

    def look(epoch: Any) -> None:
        if epoch.number == 1:
            look.tab = context.new_page()
            look.tab.goto(path.as_uri())

    training(path, 3, look)
    tab = look.tab
    wait(tab, lambda: "Epoch 3 of 3" in tab.locator("#report [role=status]").inner_text())
    context.close()


def test_a_long_training_keeps_its_page_small_and_its_peaks() -> None:
    loss = np.full(50_000, 1.0)
    loss[777], loss[31_000:31_200] = 9.0, np.nan
    figure = chart("loss", {"training": loss.tolist()})
    assert len(figure) < 40_000
    lines = [line.split('"')[0].split() for line in figure.split('<polyline points="')[1:]]
    assert len(lines) == 2  # a gap where there is no number
    highest = min((point for line in lines for point in line), key=lambda point: float(point.split(",")[1]))
    width = W - LEFT - RIGHT
    assert float(highest.split(",")[0]) == pytest.approx(LEFT + width * 777 / 49_999, abs=0.05)  # one decimal
    assert lines[-1][-1].startswith(f"{W - RIGHT}.0,")
