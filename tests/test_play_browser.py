"""The playground in a real browser: it trains while the user watches, loses nothing, and is accessible."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tabs import Tabs, until
from tinygrad_nn.io import load_network
from tinygrad_nn.play import Choices, play

pytest.importorskip("uvicorn")

# Counts how often the picture of the decision is drawn, and that it is another one each time.
COUNT = """() => {
    window.drawn = 0; window.different = 0;
    const canvas = document.getElementById("boundary"), put = CanvasRenderingContext2D.prototype.putImageData;
    let last = "";
    CanvasRenderingContext2D.prototype.putImageData = function (image, ...rest) {
        if (this.canvas === canvas) {
            window.drawn++;
            const now = image.data.join();
            if (now !== last) { window.different++; last = now; }
        }
        return put.call(this, image, ...rest);
    };
}"""
HOUSES = "size,rooms,price\n" + "".join(f"{50 + k},{k % 4},{3 * k + k % 5}\n" for k in range(40))
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with play(Choices(), open_browser=False) as server:
        yield server.url


@pytest.fixture
def open_tab(tabs: Tabs) -> Iterator[Callable[..., Any]]:
    """Opens tabs in which nothing may go wrong."""
    with tabs.watched(("http://127.0.0.1", "data:"), "400 (Bad Request)") as opened:

        def open_(url: str, width: int = 1280, height: int = 900, **options: Any) -> Any:
            tab = opened(url, width, height, **options)
            until(tab, "document.getElementById('loss').textContent !== ''")
            return tab

        yield open_


def number(tab: Any, name: str) -> float:
    return float(tab.inner_text(f"#{name}").replace(",", "").split()[0])


def settled(tab: Any) -> dict[str, Any]:
    """Return the state that the server has."""
    return tab.evaluate("server.ask('/state')")  # type: ignore[no-any-return]


def test_two_moons_are_learnt_while_one_looks(open_tab: Any, url: str) -> None:
    tab = open_tab(url)
    tab.evaluate(COUNT)
    tab.click("#train")
    until(tab, "document.getElementById('train').innerText.trim() === 'Pause'")
    until(tab, "parseFloat(document.getElementById('test-score').textContent) >= 97 && window.different >= 5")
    tab.click("#train")
    until(tab, "document.getElementById('train').innerText.trim() === 'Train'")
    until(tab, "document.getElementById('updates').textContent.replaceAll(',', '') * 1 > 0")
    state = settled(tab)
    assert not state["running"]
    until(tab, f"document.getElementById('updates').textContent.replaceAll(',', '') === '{state['updates']}'")
    assert number(tab, "test-score") >= 97
    shown = tab.evaluate("""() => {
        const canvas = document.getElementById("boundary");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return new Set(Array.from({ length: data.length / 4 }, (_, k) => data.slice(4 * k, 4 * k + 3).join())).size;
    }""")
    assert shown > 20  # two classes, from sure to unsure
    assert "layer 1" in tab.inner_text("#flow-legend")


def test_reloads_and_tabs_lose_nothing(open_tab: Any, url: str) -> None:
    tab = open_tab(url, fresh=True)
    tab.select_option("#optimizer", "momentum")
    until(tab, "document.getElementById('optimizer').value === 'momentum'")
    tab.fill("#width-0", "5")
    tab.press("#width-0", "Tab")
    until(tab, "document.getElementById('network-text').textContent.startsWith('2 – 5 – 8 – 2')")
    tab.click("#train")
    until(tab, "document.getElementById('updates').textContent.replaceAll(',', '') * 1 > 20")
    tab.click("#train")
    until(tab, "!document.body.classList.contains('running')")
    state = settled(tab)
    tab.click("#next")
    until(tab, "document.getElementById('moment').textContent.startsWith('2 of 8')")
    here = tab.url
    updates = f"{state['updates']:,}"
    for _ in range(10):
        tab.reload()
        until(tab, f"document.getElementById('updates').textContent === '{updates}'")
    tabs = [tab, *(open_tab(here, beside=tab) for _ in range(4))]
    for each in tabs:
        until(each, f"document.getElementById('updates').textContent === '{updates}'")
        assert each.input_value("#optimizer") == "momentum"
        assert each.input_value("#width-0") == "5"
        assert each.inner_text("#moment").startswith("2 of 8")
    tabs[3].bring_to_front()
    tabs[3].click("#step")
    for each in tabs:
        each.bring_to_front()
        until(each, f"document.getElementById('updates').textContent === '{state['updates'] + 1:,}'")
    other = open_tab(url, beside=tab)  # the address that was printed is a new playground
    assert other.inner_text("#updates") == "0"


def test_one_sample_goes_forward_and_back(open_tab: Any, url: str) -> None:
    tab = open_tab(url, fresh=True)
    tab.click("#step")
    until(tab, "document.getElementById('updates').textContent === '1'")
    until(tab, "document.getElementById('say').textContent === 'Trained on batch 1.'")
    assert tab.inner_text("#moment").startswith("1 of 8. Row ")
    buttons = tab.locator(".walk button")  # drawn, as a letter may be missing in a font
    assert (buttons.all_inner_texts(), buttons.locator("svg path").count()) == ([""] * 4, 4)
    texts = []
    for step in range(2, 9):
        tab.keyboard.press("ArrowRight")
        until(tab, f"document.getElementById('moment').textContent.startsWith('{step} of 8')")
        texts.append(tab.inner_text("#moment").partition(". ")[2])
    assert [text.partition(":")[0] for text in texts[:3]] == [f"Forward through layer {k}" for k in (1, 2, 3)]
    said = r"The network says (upper|lower) \(\S+ %\) and the row’s moon is (upper|lower), so the loss is \d\S*\."
    assert re.fullmatch(said, texts[3]), texts[3]
    assert [text.partition(",")[0] for text in texts[4:]] == [f"Back through layer {k}" for k in (3, 2, 1)]
    found = tab.evaluate("server.ask('/sample')")
    cells = tab.locator("#moment-numbers tr").nth(1).locator("td").all_inner_texts()
    first = [float(text.replace("−", "-")) for text in cells]
    np.testing.assert_allclose(first, [found["layers"][0][key][0] for key in ("da", "dz")], rtol=5e-3)  # in four digits
    tab.keyboard.press("Home")
    until(tab, "document.getElementById('moment').textContent.startsWith('1 of 8')")
    before = settled(tab)["view"]["row"]
    tab.keyboard.press("]")
    row = (before + 1) % 300
    until(tab, f"document.getElementById('row').value === '{row + 1}'")
    with tab.context.expect_page() as opened:
        tab.click("#explorer")
    opened.value.wait_for_selector("#graph .node")
    assert f"Row {row + 1} of two moons, after 1 updates" in opened.value.title()
    tab.focus("#plane")
    for _ in range(4):
        tab.keyboard.press("ArrowLeft")
    assert re.match(r"x1 \S+, x2 \S+: (upper|lower), \S+ % sure", tab.inner_text("#here"))
    tab.keyboard.press("Enter")
    until(tab, f"document.getElementById('row').value !== '{row + 1}'")


def test_errors_are_shown_on_the_page_and_change_nothing(open_tab: Any, url: str, tmp_path: Path) -> None:
    tab = open_tab(url)
    for _ in range(2):
        tab.click("#step")
    until(tab, "document.getElementById('updates').textContent === '2'")

    def wrong(words: str) -> None:
        until(tab, f"document.getElementById('wrong').textContent.includes({words!r})")
        assert tab.inner_text("#updates") == "2"

    tab.fill("#learning-rate", "-1")
    tab.press("#learning-rate", "Tab")
    wrong("The learning rate is -1")
    assert tab.input_value("#learning-rate") == "0.01"
    tab.fill("#batch-size", "")
    tab.press("#batch-size", "Tab")
    wrong("The batch size is None")
    bad = tmp_path / f"{EVIL}.csv".replace("/", "")
    bad.write_text("a,b\n1,2\nx,4\n3,5\n4,1\n")
    tab.set_input_files("#file", bad)
    wrong("'x' is not a number")
    assert settled(tab)["data"]["name"] == "two moons"
    assert tab.locator("header img").count() == 0
    tab.set_input_files("#file", {"name": "wide.csv", "mimeType": "text/csv",
                                  "buffer": b",".join(b"c%d" % k for k in range(600)) + b"\n" + b"1," * 599 + b"1\n"})
    wrong("has 600 columns")
    tab.select_option("#optimizer", "sgd")
    tab.fill("#learning-rate", "1000000")
    tab.press("#learning-rate", "Tab")
    tab.select_option("#activation-0", "relu")
    end = time.monotonic() + 60  # a choice that arrives later would begin the training anew
    while (chosen := settled(tab)["choices"])["hidden"][0][1] != "relu" or chosen["learning_rate"] != 1e6:
        assert time.monotonic() < end, chosen
    tab.click("#train")
    until(tab, "document.getElementById('wrong').textContent.includes('The training diverged at update')")
    assert "Nothing is lost" in tab.inner_text("#wrong")
    until(tab, "document.getElementById('train').innerText.trim() === 'Train'")
    tab.fill("#learning-rate", "0.1")
    tab.press("#learning-rate", "Tab")
    until(tab, "document.getElementById('wrong').textContent === ''")
    before = settled(tab)["updates"]
    tab.click("#step")
    until(tab, f"document.getElementById('updates').textContent === '{before + 1}'")


def test_an_answer_leaves_alone_what_somebody_is_writing(open_tab: Any, url: str) -> None:
    tab = open_tab(url, fresh=True)
    held: list[Any] = []

    def hold(route: Any) -> None:
        if held:
            route.continue_()
        held.append(route)

    tab.route("**/choose*", hold)
    tab.select_option("#optimizer", "sgd")
    tab.fill("#learning-rate", "0.25")
    while not held:
        tab.wait_for_timeout(10)
    with tab.expect_response("**/choose*"):
        held[0].continue_()
    tab.wait_for_timeout(200)  # until it is shown
    assert tab.input_value("#learning-rate") == "0.25"
    tab.press("#learning-rate", "Tab")
    end = time.monotonic() + 30
    while settled(tab)["choices"]["learning_rate"] != 0.25:
        assert time.monotonic() < end
    assert settled(tab)["choices"]["optimizer"] == "sgd"


def test_a_table_is_learnt_from_and_the_network_saved(open_tab: Any, url: str, tmp_path: Path) -> None:
    tab = open_tab(url)
    tab.set_input_files("#file", {"name": f"{EVIL}.csv", "mimeType": "text/csv", "buffer": HOUSES.encode()})
    until(tab, "document.getElementById('about').textContent.includes('the number “price”')")
    assert "R²" in tab.inner_text("#charts")
    tab.click("summary >> text=Columns")
    tab.uncheck("#columns >> text=rooms")
    until(tab, "document.getElementById('about').textContent.includes('40 rows of 1 numbers')")
    tab.click("#step")
    until(tab, "document.getElementById('updates').textContent === '1'")
    with tab.expect_download() as saved:
        tab.click("#save")
    saved.value.save_as(tmp_path / "model.safetensors")
    network = load_network(tmp_path / "model.safetensors")
    assert (network.features, network.target, network.about["updates"]) == (("size",), "price", 1)
    with tab.expect_download() as script:
        tab.click("#export")
    script.value.save_as(tmp_path / "train.py")
    text = (tmp_path / "train.py").read_text(encoding="utf-8")
    compile(text, "train.py", "exec")
    assert "features=['size']" in text
    assert tab.locator("main img").count() == 0


LOOKS = {
    "desktop": {"width": 1280, "height": 900},
    "dark": {"width": 1280, "height": 900, "color_scheme": "dark"},
    "phone": {"width": 390, "height": 844},
    "dark phone": {"width": 390, "height": 844, "color_scheme": "dark", "reduced_motion": "reduce"},
}


@pytest.mark.parametrize("look", LOOKS)
def test_it_can_be_used_by_everyone(open_tab: Any, url: str, look: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    tab = open_tab(url, **LOOKS[look])
    tab.click("#step")
    until(tab, "document.getElementById('updates').textContent === '1'")
    tab.keyboard.press("End")
    until(tab, "document.getElementById('moment').textContent.startsWith('8 of 8')")
    tab.evaluate("document.getElementById('wrong').textContent = 'What is wrong.'")
    tab.click("footer summary")
    found = [f for f in axe.Axe().run(tab).response["violations"] if f["impact"] in ("serious", "critical")]
    assert not found, [(f["id"], [node["html"] for node in f["nodes"]]) for f in found]
    assert tab.evaluate("document.documentElement.scrollWidth") <= LOOKS[look]["width"]
    small = tab.evaluate("""() => [...document.querySelectorAll("body *")].filter(part =>
        part.checkVisibility() && [...part.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) &&
        part.tagName !== "SCRIPT" && parseFloat(getComputedStyle(part).fontSize) < 11).map(part => part.outerHTML)""")
    assert not small
    tab.evaluate("""() => {
        window.reached = [];
        const reach = () => reached.push(document.activeElement.id || document.activeElement.outerHTML);
        addEventListener("keyup", reach, true);
    }""")
    tab.keyboard.press("Tab")
    names = tab.evaluate("""() => [...document.querySelectorAll("button, select, input, a, [tabindex]")]
        .filter(part => part.checkVisibility() && !part.disabled && part.tabIndex >= 0).length""")
    for _ in range(names + 4):
        tab.keyboard.press("Tab")
    seen = set(tab.evaluate("reached"))
    wanted = "train step reset pace dataset add optimizer plane across explorer save export row first back"
    assert set(wanted.split()) <= seen


@pytest.mark.parametrize("updates", [1, 2])
def test_a_line_of_one_point_is_a_dot(open_tab: Any, url: str, updates: int) -> None:
    coloured = open_tab(url).evaluate("""last => {
        const sizes = [0, ...Array(last).fill(0.1)];
        const points = sizes.map((size, k) => Float64Array.from([k, 0, 1, 1, 0.5, 0.5, size, size, size]));
        charts.paint(points, { gradients: [0.1, 0.1, 0.1] });
        const canvas = document.getElementById("flow-chart"), context = canvas.getContext("2d");
        const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
        const bright = k => data[k + 3] > 99 && Math.abs(data[k] - data[k + 2]) > 80;
        return data.filter((_, k) => k % 4 === 0 && bright(k)).length;
    }""", updates)  # fmt: skip
    assert coloured > 5


def test_no_number_of_a_chart_is_cut_off(open_tab: Any, url: str) -> None:
    left = open_tab(url).evaluate("""() => {
        const put = CanvasRenderingContext2D.prototype.fillText, left = {};
        CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
            const from = x - (this.textAlign === "right" ? this.measureText(text).width : 0);
            if (this.canvas.id.endsWith("-chart")) left[text] = from;
            return put.call(this, text, x, y);
        };
        for (const size of [1.77e-4, 1.77e-12, 2.22e-105, 4.44e+102]) {
            const points = [[0, 0, size, size, .5, .5, 0, 0, 0], [9, 1, size, size, .5, .5, size, 2 * size, 9 * size]];
            charts.paint(points.map(point => Float64Array.from(point)), { gradients: [size, size, size] });
        }
        return left;
    }""")
    assert {"1.77e−4", "2.22e−105"} <= set(left)
    assert min(left.values()) >= 0, left


def test_it_is_used_by_keyboard_alone(open_tab: Any, url: str) -> None:
    tab = open_tab(url)
    tab.keyboard.press("Space")
    until(tab, "document.body.classList.contains('running')")
    until(tab, "document.getElementById('updates').textContent.replaceAll(',', '') * 1 > 3")
    tab.keyboard.press("Space")
    until(tab, "!document.body.classList.contains('running')")
    tab.keyboard.press("r")
    until(tab, "document.getElementById('updates').textContent === '0'")
    tab.keyboard.press(".")
    until(tab, "document.getElementById('updates').textContent === '1'")
    tab.focus("#add")
    tab.keyboard.press("Enter")
    until(tab, "document.getElementById('network-text').textContent.startsWith('2 – 8 – 8 – 8 – 2')")
    tab.focus("#remove-2")
    tab.keyboard.press("Enter")
    until(tab, "document.getElementById('network-text').textContent.startsWith('2 – 8 – 8 – 2')")


def test_less_motion_draws_less_often(open_tab: Any, url: str) -> None:
    tab = open_tab(url, reduced_motion="reduce")
    tab.evaluate(COUNT)
    tab.click("#train")
    until(tab, "window.drawn >= 3")
    updates = tab.evaluate("server.ask('/state')")["updates"]
    assert updates > 3  # the training itself is as fast


def test_a_server_that_is_gone_is_said(open_tab: Any) -> None:
    with play(Choices(rows=20), open_browser=False) as server:
        tab = open_tab(server.url)
        # a real end would fill the console
        tab.evaluate("() => { window.fetch = () => Promise.reject(new TypeError('gone')); }")
        until(tab, "document.getElementById('wrong').textContent.startsWith('The server has stopped')")
