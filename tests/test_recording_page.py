"""The page of a recording in a real browser shows the numbers that were kept, at each step, by mouse and keyboard."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tabs import Tabs
from tinygrad_nn import Layer, Settings, Solver, fit, nn
from tinygrad_nn.viz import Record
from tinygrad_nn.viz.training import recording_page

EVIL = "</script><img src=x onerror=alert(1)>"


def moons(record: Record, activation: str = "tanh", width: int = 4, seed: int = 0) -> Record:
    rng = np.random.default_rng(0)
    t = rng.uniform(0, np.pi, 40)
    x = np.concatenate([np.c_[np.cos(t), np.sin(t)], np.c_[1 - np.cos(t), 0.5 - np.sin(t)]])
    model = [Layer(2, width, activation, rng=seed), Layer(width, 1, "sigmoid", rng=1)]
    fit(model, x, np.repeat([0.0, 1.0], 40)[:, None], solver=Solver("binarycrossentropy", "adam", 0.05),
        settings=Settings(6, 16), rng=1, callbacks=[record])  # fmt: skip
    return record


@pytest.fixture
def tab(tabs: Tabs, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A tab in which nothing may go wrong, and which may ask no network."""
    with tabs.watched() as opened:
        yield opened(height=900, **getattr(request, "param", {}))


def shown(tab: Any, label: str, cells: int) -> list[str]:
    """What a map says of each of its cells, by the keyboard; of those in one row."""
    canvas = tab.locator(f"canvas[aria-label^='{label}']").first
    canvas.blur()
    canvas.focus()
    says = canvas.locator("xpath=ancestor::div[@class='map']").locator(".says")
    found = []
    for _ in range(cells):
        found.append(says.inner_text())
        canvas.press("ArrowRight")
    return found


def as_shown(value: float) -> str:
    return f"{float(f'{value:.4g}'):.12g}".replace("-", "−")


def test_the_page_shows_the_recorded_arrays_of_each_step(tab: Any, tmp_path: Path) -> None:
    record = moons(Record(10, name=EVIL, classes=[EVIL, "b"], features=["é", EVIL]))
    assert record.steps == [0, 10, 20, 30]
    tab.goto(record.page(tmp_path / "a.html").as_uri())
    assert tab.locator("#now").inner_text() == "step 30, epoch 6"
    assert tab.locator("img").count() == 0
    assert tab.locator("h1").inner_text() == EVIL
    for press, moment in (("Home", record[0]), ("ArrowRight", record[10]), ("End", record[30])):
        tab.locator("body").press(press)
        assert tab.locator("#now").inner_text().startswith(f"step {moment.step}")
        w = np.float32(moment.weights["layer 1 W"])
        assert shown(tab, "layer 1 W", 2) == [f"row 1, column {j + 1}: {as_shown(w[0, j])}" for j in range(2)]
        for sample in (0, 5):
            tab.locator("#sample").select_option(index=sample)
            a = np.float32(moment.activations["1 Layer(2, 4, tanh)"][sample])
            assert shown(tab, "1 Layer(2, 4, tanh)", 4) == [f"neuron {k + 1}: {as_shown(a[k])}" for k in range(4)]
        tab.locator("body").click(position={"x": 5, "y": 5})
        cells = tab.locator("tbody td").all_inner_texts()
        rms = [np.sqrt(np.mean(moment.gradients[f"layer {k} W"] ** 2)) for k in (1, 2)] if moment.step else [None] * 2
        for cell, value in zip(cells, rms, strict=True):
            assert cell == ("–" if value is None else as_shown(float(value)))
        if moment.loss is not None:
            assert f"loss {as_shown(moment.loss)}" in tab.locator("section").first.inner_text()


def test_a_line_of_one_point_is_a_dot(tab: Any, tmp_path: Path) -> None:
    tab.goto(moons(Record([0, 30])).page(tmp_path / "a.html").as_uri())  # there is no gradient at step 0
    flow = tab.locator("section", has_text="Gradient flow")
    assert flow.locator("svg circle").count() == 2
    tab.goto(moons(Record(10)).page(tmp_path / "b.html").as_uri())
    assert tab.locator("section", has_text="Gradient flow").locator("svg circle").count() == 0


def test_the_plane_says_what_the_model_gave(tab: Any, tmp_path: Path) -> None:
    record = moons(Record([0, 30], classes=["up", "down"], features=["a", "b"]))
    tab.goto(record.page(tmp_path / "a.html").as_uri())
    plane = tab.locator("canvas.plane")
    plane.focus()
    assert record.probe is not None
    at, scores = record.probe.plane(), record[30].scores
    assert scores is not None
    place = 24 * 48 + 24
    for _ in range(3):
        p = float(scores[place, 0])
        text = tab.locator("section", has=plane).locator(".map .says").inner_text()
        said = dict(re.findall(r"(up|down) ([^,]+)", text))
        assert said["down"] == as_shown(p)
        assert [as_shown(v) for v in at[place]] == re.findall(r"[ab] (\S+?)[,:]", text)[:2]
        plane.press("ArrowUp")
        place += 48
    share = round(100 * float((scores > 0.5).mean()))
    assert f"down on {share} %" in plane.get_attribute("aria-label")


@pytest.mark.parametrize("tab", [{"fresh": True}], indirect=True, ids=["clock"])
def test_it_plays_pauses_and_steps(tab: Any, tmp_path: Path) -> None:
    tab.emulate_media(reduced_motion="reduce")
    tab.clock.install()
    record = moons(Record(10))
    tab.goto(record.page(tmp_path / "a.html").as_uri())
    tab.clock.pause_at(tab.evaluate("Date.now()") + 1000)  # the page's time passes when this test says so
    assert tab.locator("#speed").input_value() == "1000"  # nothing moves by itself, and slowly when asked to
    tab.locator("#speed").select_option("60")
    now = lambda: tab.locator("#now").inner_text()
    tab.locator("#back").click()
    assert now().startswith("step 20")
    tab.locator("#slider").focus()
    tab.keyboard.press("Home")
    assert now() == "step 0"
    play = tab.locator("#play")
    tab.keyboard.press(" ")
    assert play.inner_text() == "Pause"
    tab.clock.run_for(70)
    assert now().startswith("step 10")
    tab.clock.run_for(180)
    assert now().startswith("step 30")
    assert play.inner_text() == "Play"
    tab.locator("#speed").select_option("1000")
    play.click()  # from the start again
    assert now() == "step 0"
    tab.clock.run_for(1010)
    assert now().startswith("step 10")
    looks = [tab.locator(f"#{name} path:visible").get_attribute("d") for name in ("back", "play", "next")]
    play.click()
    looks.append(tab.locator("#play path:visible").get_attribute("d"))
    assert len(set(looks)) == 4
    tab.clock.run_for(5000)
    assert now().startswith("step 10")  # it stands still


def test_two_recordings_stand_side_by_side_with_their_difference(tab: Any, tmp_path: Path) -> None:
    a, b = moons(Record(10, name="tanh")), moons(Record([0, 5, 30], name="relu"), "relu", seed=3)
    tab.goto(a.page(tmp_path / "a.html", beside=b).as_uri())
    w = [np.float32(r[30].weights["layer 1 W"]) for r in (a, b)]
    assert shown(tab, "tanh layer 1 W", 1)[0].endswith(f": {as_shown(w[0][0, 0])}")
    assert shown(tab, "relu layer 1 W", 1)[0].endswith(f": {as_shown(w[1][0, 0])}")
    assert shown(tab, "layer 1 W, relu minus tanh", 1)[0].endswith(f": {as_shown(w[1][0, 0] - w[0][0, 0])}")
    tab.locator("canvas.plane").nth(2).focus()
    scores = [r[30].scores[24 * 48 + 24, 0] for r in (a, b)]  # type: ignore[index]
    says = tab.locator("canvas.plane").nth(2).locator("xpath=..").locator(".says").inner_text()
    assert says.endswith(f": {as_shown(np.float32(scores[1]) - np.float32(scores[0]))}")
    tab.locator("h1").click()
    ratio = np.sqrt(np.mean(b[30].gradients["layer 1 W"] ** 2)) / np.sqrt(np.mean(a[30].gradients["layer 1 W"] ** 2))
    assert tab.locator("tbody td").nth(2).inner_text() == as_shown(float(ratio))
    tab.locator("body").press("ArrowLeft")
    assert tab.locator("#now").inner_text().startswith("step 20")
    assert tab.locator("#late").inner_text() == "relu kept step 5 before it"
    assert tab.locator("figcaption", has_text="relu minus tanh").count() >= 5


def test_runs_of_other_shapes_have_no_difference(tab: Any, tmp_path: Path) -> None:
    a, b = moons(Record([30], name="x")), moons(Record([0, 30], name="x"), width=7)
    tab.goto(a.page(tmp_path / "a.html", beside=b).as_uri())
    assert tab.locator("p", has_text="The shapes differ").count() >= 2
    assert "x A" in tab.locator("h1").inner_text()
    tab.locator("body").press("Home")
    assert tab.locator("#late").inner_text() == "x A begins later"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_the_screen_and_has_no_serious_fault(tab: Any, tmp_path: Path, width: int, dark: bool) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    tab.set_viewport_size({"width": width, "height": 844})
    tab.emulate_media(color_scheme="dark" if dark else "light")
    a, b = moons(Record("log", name="a long name of one training")), moons(Record("log", name="b"), width=40)
    tab.goto((a.page(tmp_path / "a.html", beside=b) if dark else b.page(tmp_path / "a.html")).as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    small = tab.evaluate("""[...document.querySelectorAll("body *")].filter(part => part.getClientRects().length
        && [...part.childNodes].some(node => node.nodeType === 3 && node.nodeValue.trim())
        && parseFloat(getComputedStyle(part).fontSize) < 11).map(part => part.outerHTML)""")
    assert small == []
    heights = tab.evaluate("[...document.querySelectorAll('canvas.heat')].map(canvas => canvas.clientHeight)")
    assert max(heights) <= 260
    found = axe.Axe().run(tab).response["violations"]
    assert [fault["id"] for fault in found if fault["impact"] in ("serious", "critical")] == []


def payload(record: Record, tmp_path: Path) -> dict[str, Any]:
    html = record.page(tmp_path / "a.html").read_text(encoding="utf-8")
    found = re.search(r'id="data">(.*?)</script>', html, re.DOTALL)
    assert found
    run: dict[str, Any] = json.loads(found[1])["runs"][0]
    return run


def test_a_long_training_of_a_large_network_makes_a_page_of_bounded_size_and_it_is_said(tmp_path: Path) -> None:
    record, rng = Record(1), np.random.default_rng(0)
    for _ in range(500):
        record.add({"w": rng.normal(size=(300, 200)), **{f"b{k}": rng.normal(size=50) for k in range(130)}})
    path = record.page(tmp_path / "a.html")
    assert path.stat().st_size < 17e6
    text = path.read_text(encoding="utf-8")
    assert re.search(r"this page shows \d+ of the \d+ steps that were kept", text)
    assert "of 11 more arrays no weights are shown" in text
    run = payload(record, tmp_path)
    assert (run["weights"]["w"]["rows"], run["weights"]["w"]["columns"]) == (60, 67)
    assert run["weights"]["w"]["note"] == "a cell is the mean of 5 × 3 entries"
    assert run["moments"][-1][0] == record.steps[-1]


def test_maps_of_complex_weights_say_that_they_show_absolute_values(tmp_path: Path) -> None:
    record = Record([0, 1])
    record.add({"w": np.array([[3 + 4j, 0]])})
    text = record.page(tmp_path / "page.html").read_text(encoding="utf-8")
    assert '"largest":5.0' in text
    assert '"note":"absolute values"' in text
    outputs = recording_page._neurons([np.array([[3 + 4j, 0]])], [0], 1)
    assert (outputs["largest"], outputs["note"]) == (5.0, "absolute values")


def test_the_kind_of_output_is_recognized(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 2))
    labels = (x[:, 0] > 0).astype(int)

    def plane(y: Any, width: int, loss: Any, last: str = "linear") -> dict[str, Any]:
        record = Record([0])
        model = nn.Sequential(Layer(2, width, last, rng=0))
        model[0].W = 9 * model[0].W.data
        fit(model, x, y, solver=Solver(loss, "sgd", 0.01), settings=Settings(1, 25), rng=0, callbacks=[record])
        found: dict[str, Any] = payload(record, tmp_path)["plane"]
        return found

    softmax = plane(np.eye(3)[labels], 3, "crossentropy", "softmax")
    assert (softmax["kind"], softmax["outputs"], softmax["truth"]) == ("classes", 3, labels.tolist())
    assert plane(labels, 2, nn.losses.cross_entropy)["kind"] == "classes"
    assert plane(labels[:, None].astype(float), 1, "binarycrossentropy", "sigmoid")["kind"] == "classes"
    logits = plane(labels[:, None].astype(float), 1, nn.losses.binary_cross_entropy_with_logits)
    assert (logits["kind"], logits["level"]) == ("surface", 0.0)
    surface = plane(x[:, :1] * 3.5, 1, "mse")
    assert (surface["kind"], surface["level"]) == ("surface", None)
    assert surface["largest"] >= np.abs(x[:, 0] * 3.5).max()


@pytest.mark.parametrize(("make", "said"), [
    (lambda r: r.page("x.svg"), r"should end in \.html"),
    (lambda r: r.page("x.html", beside=3), "pass another Record"),
    (lambda r: r.page("x.html", beside=Record()), "holds no step yet"),
    (lambda r: Record().page("x.html"), "holds no step yet"),
])  # fmt: skip
def test_records_that_cannot_be_shown_raise(make: Any, said: str) -> None:
    record = Record(1)
    record.add({"w": np.ones(2)})
    with pytest.raises((ValueError, TypeError), match=said):
        make(record)
