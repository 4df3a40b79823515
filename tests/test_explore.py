"""The explorer in a real browser: its numbers are the graph's own, every control works, no text breaks out of it."""

import base64
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Tensor, affine, relu, softmax_crossentropy
from tinygrad_nn.graph import GraphView, short_number
from tinygrad_nn.node import scope
from tinygrad_nn.steps import walk_back
from tinygrad_nn.viz import animate, explore
from tinygrad_nn.viz.arrange import arrange, place
from tinygrad_nn.viz.explore import data, page
from tinygrad_nn.viz.story import brief, tell

IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")
HOSTILE = ["</script><img src=x onerror=alert(1)>", '"; }', "{{script}}", "<!--<script>", "a\u2028b", "日本語 & <b>"]


def network(rows: int = 2) -> Tensor:
    rng = np.random.default_rng(0)
    h: Any = Tensor(rng.normal(size=(rows, 4)), requires_grad=False, name="x")
    for i, (a, b) in enumerate([(4, 6), (6, 6), (6, 3)]):
        with scope(f"layer{i + 1}"):
            h = affine(h, Tensor(rng.normal(size=(b, a)), name=f"W{i + 1}"), Tensor(np.zeros(b), name=f"b{i + 1}"))
            h = relu(h) if i < 2 else h
    return softmax_crossentropy(h, Tensor(np.eye(3)[:rows], requires_grad=False, name="y"))


def square() -> Tensor:
    x = Tensor(3.0, name="x")
    return x * x + np.sin(x)


# -- The walk


def broadcast() -> Tensor:
    return (Tensor([[1.0, 2.0]], name="a") * Tensor([[3.0], [4.0]])).sum()


@pytest.mark.parametrize("make", [network, square, broadcast])
def test_contributions_add_up_to_what_backward_leaves(make: Any) -> None:
    result = make()
    walk = walk_back(GraphView(result))
    result.backward(retain_graph=True, retain_grads=True)
    view = GraphView(result)
    assert len(walk.steps) == sum(node.operation is not None for node in view)
    for node in view:
        if node.grad_array is not None:
            np.testing.assert_array_equal(walk.gradients[node.number], node.grad_array)
    for number, gradient in walk.gradients.items():
        parts = [c.array for s in walk.steps for c in s.contributions if view.edges[c.edge].source == number]
        if parts:
            np.testing.assert_allclose(sum(parts), gradient)


def test_the_walk_changes_nothing() -> None:
    result = network()
    before = GraphView(result).to_json()
    tell(GraphView(result))
    assert GraphView(result).to_json() == before


def test_complex_gradients_follow_backward() -> None:
    z = Tensor(np.array([1 + 2j, -1j]), name="z")
    loss = (np.abs(z * (2 - 1j)) ** 2).sum()
    walk = walk_back(GraphView(loss))
    loss.backward(retain_graph=True)
    np.testing.assert_array_equal(walk.gradients[GraphView(loss).find("z").number], z.grad)


# -- The layout


def test_nothing_overlaps_whatever_is_folded() -> None:
    boxes = arrange(GraphView(network())).boxes
    for folded in [frozenset(), frozenset({1}), frozenset({1, 2, 3})]:
        for down in (False, True):
            spots = place(boxes, lambda key: (100.0, 60.0), down, folded)
            for number, box in enumerate(boxes):
                if number in folded:
                    continue
                inside = [spots[key] for row in box.layers for key in row]
                x, y, w, h = spots[f"b{number}"]
                for i, (a, b, c, d) in enumerate(inside):
                    assert x <= a
                    assert y <= b
                    assert a + c <= x + w + 1e-9
                    assert b + d <= y + h + 1e-9
                    for p, q, r, s in inside[:i]:
                        assert a + c <= p + 1e-9 or p + r <= a + 1e-9 or b + d <= q + 1e-9 or q + s <= b + 1e-9


# -- The page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        (pytest.fail if IN_CI else pytest.skip)("needs Chromium on the PATH: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install '.[test]'")
    with api.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Open the page of a result; when the test ends, nothing may have gone wrong or asked the network."""
    wrong: list[str] = []
    contexts = []

    def opened(result: Any, width: int = 1280, height: int = 800, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce", **options)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda m: wrong.append(m.text))
        tab.on("pageerror", lambda e: wrong.append(str(e)))
        tab.on("dialog", lambda d: wrong.append("a dialog") or d.dismiss())
        tab.on("request", lambda r: wrong.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
        tab.goto(explore(result, tmp_path / "page.html").as_uri())
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert not wrong


def expect(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def numbers(tab: Any, heading: str) -> list[list[list[str]]]:
    tables = tab.locator("#detail").get_by_role("table", name=heading, exact=True)
    return [[r.locator("td").all_inner_texts() for r in t.locator("tr").all()] for t in tables.all()]


def texts(array: Any) -> list[list[str]]:
    table = np.atleast_2d(array)
    return [[short_number(n).replace("-", "−") for n in row] for row in table.tolist()]


@pytest.mark.parametrize("make", [network, square])
def test_the_numbers_of_every_step_are_the_graphs_own(show: Any, make: Any) -> None:
    result = make()
    story = tell(GraphView(result))
    tab = show(result)
    for at, moment in enumerate(story.moments):
        assert tab.locator("#count").inner_text() == f"{at} / {len(story.moments) - 1}"
        assert tab.locator("#say").inner_text() == moment.text.replace("-", "−")
        if moment.phase == "forward":
            assert numbers(tab, "result") == [texts(story.view[moment.number].array)]
        if moment.phase in ("seed", "backward"):
            assert numbers(tab, "gradient") == [texts(moment.gradient)]
            assert numbers(tab, "contribution") == [texts(c.array) for c in moment.contributions]
            assert numbers(tab, "sum so far") == [texts(c.total) for c in moment.contributions if c.count > 1]
            arrived = {story.view.edges[c.edge].source: c.total for c in moment.contributions}  # the last sum of each
            for number, sum_ in arrived.items():
                node = tab.locator(f'[data-key="n{number}"] .gradient')
                assert node.text_content() == "∂ " + brief(sum_).replace("-", "−")
        if moment.number >= 0:
            assert tab.locator(".node.current").get_attribute("data-key") == f"n{moment.number}"
            assert tab.locator(".edge.flow").count() == len(moment.contributions)
        if moment.phase in ("forward", "backward"):
            assert tab.locator("#detail math").count() >= 1
        tab.keyboard.press("ArrowRight")


def test_every_button_and_key_works(show: Any) -> None:
    tab = show(network())
    at = lambda: int(tab.locator("#count").inner_text().split("/")[0])
    for button, want in [("next", 1), ("next", 2), ("back", 1), ("last", 14), ("first", 0)]:
        tab.click(f"#{button}")
        assert at() == want
    for key, want in [("ArrowRight", 1), (".", 2), (",", 1), ("ArrowLeft", 0), ("End", 14), ("Home", 0)]:
        tab.keyboard.press(key)
        assert at() == want
    tab.locator("#slider").fill("5")
    assert at() == 5
    tab.select_option("#speed", "120")
    tab.click("#play")
    expect(lambda: at() >= 7)
    tab.click("#play")
    stopped = at()
    tab.wait_for_timeout(400)
    assert at() == stopped
    assert tab.locator("#play").get_attribute("aria-label") == "Play"
    where = lambda: tab.locator("#world").get_attribute("transform")
    for button in ("zoom-in", "zoom-out", "fit", "turn", "fold", "unfold"):
        before = where(), tab.locator(".node").count(), tab.locator("#nodes").inner_html()
        tab.click(f"#{button}")
        assert (where(), tab.locator(".node").count(), tab.locator("#nodes").inner_html()) != before, button
    tab.keyboard.press("0")
    fitted = where()
    box = tab.locator("#graph").bounding_box()
    tab.mouse.move(box["x"] + 20, box["y"] + box["height"] - 20)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 120, box["y"] + box["height"] - 60, steps=4)
    tab.mouse.up()
    dragged = where()
    tab.mouse.wheel(0, -300)
    expect(lambda: where() != dragged)
    assert fitted != dragged


def test_a_node_tells_its_story_and_search_finds_it(show: Any) -> None:
    result = network()
    view = GraphView(result)
    tab = show(result)
    tab.keyboard.press("End")
    tab.keyboard.press("/")
    tab.keyboard.type("w2")
    tab.keyboard.press("Enter")
    assert tab.locator("#detail h2").inner_text() == "W2"
    assert numbers(tab, "value") == [texts(view.find("W2").array)]
    assert numbers(tab, "gradient") == [texts(tell(view).walk.gradients[view.find("W2").number])]
    tab.locator("#detail .links button").first.click()
    assert tab.locator("#detail h2").inner_text().startswith("affine")
    assert tab.locator("#detail").get_by_text("Rules").count() == 1
    tab.keyboard.press("Escape")
    assert tab.locator("#detail h2").inner_text() == "The gradients"
    tab.keyboard.press("0")
    tab.locator('[data-key="n0"]').click()
    assert tab.locator("#detail h2").inner_text() == view[0].name
    tab.locator('[data-key="n0"]').focus()
    tab.keyboard.press("ArrowRight")
    assert "affine" in tab.evaluate("document.activeElement.getAttribute('aria-label')")


def test_folding_keeps_the_picture_right(show: Any) -> None:
    tab = show(network())
    nodes, edges = tab.locator(".node").count(), tab.locator(".edge").count()
    tab.keyboard.press("f")
    assert tab.locator(".node").count() == 6
    assert tab.locator(".node.fold").count() == 3
    assert tab.locator(".edge").count() == 5
    tab.keyboard.press("ArrowRight")
    assert tab.locator(".node.current").text_content().startswith("▸ layer1")
    tab.locator(".node.fold").first.focus()
    tab.keyboard.press("Enter")
    assert tab.locator(".node.fold").count() == 2
    assert tab.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    assert tab.locator(".node.current .title").text_content() == "affine"
    tab.keyboard.press("u")
    assert (tab.locator(".node").count(), tab.locator(".edge").count()) == (nodes, edges)


def test_the_page_places_as_python_does(show: Any) -> None:
    result = network()
    shown = data(tell(GraphView(result)))
    tab = show(result)
    sizes = {f"n{i}": (n["width"], 73 if n["gradient"] >= 0 else 58) for i, n in enumerate(shown["nodes"])}
    python = place(arrange(GraphView(result)).boxes, sizes.__getitem__)
    assert {key: pytest.approx(spot) for key, spot in python.items()} == dict(tab.evaluate("[...graph.spots]"))


def test_hostile_names_are_text(show: Any) -> None:
    with scope(HOSTILE[0].replace(".", "")):
        result = np.stack([Tensor(float(i), name=name) for i, name in enumerate(HOSTILE)])
    tab = show(result)
    for i, name in enumerate(HOSTILE):
        shown = tab.locator(f'[data-key="n{i}"] .title').text_content()
        assert shown[:30] == name.replace("\u2028", "\\u2028")[:30]
    assert tab.locator("img").count() == 0
    html = page(tell(GraphView(result)), HOSTILE[0])
    assert html.count("</script") == 2
    assert "onerror=alert(1)>" not in html


def test_large_arrays_are_heat_maps(show: Any) -> None:
    x = np.linspace(-1, 1, 64 * 70).reshape(64, 70)
    result = (Tensor(x, name="x") * 2.0).sum()
    shown = data(tell(GraphView(result)))
    heat = shown["arrays"][shown["nodes"][0]["value"]]["heat"]
    assert (heat["rows"], heat["columns"]) == (24, 32)
    values = np.frombuffer(base64.b64decode(heat["bytes"]), np.uint8)
    assert values[0] == 1
    assert values[-1] >= 250
    assert (np.diff(values.astype(int)) >= 0).mean() > 0.9
    tab = show(result)
    tab.keyboard.press("ArrowRight")
    assert "min −2 · mean 0 · max 2" in tab.locator("#detail").inner_text()


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_needs_no_scrolling_sideways(show: Any, dark: bool) -> None:
    tab = show(network(), 390, 844, color_scheme="dark" if dark else "light", has_touch=True)
    tab.locator("#slider").fill("9")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    for button in tab.get_by_role("button").filter(visible=True).all():
        box = button.bounding_box()
        assert box is None or button.evaluate("b => !b.closest('.transport, .tools')") or box["x"] + box["width"] <= 390
    background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(13, 17, 23)" if dark else "rgb(255, 255, 255)")
    assert tab.evaluate("getComputedStyle(document.querySelector('.edge.flow')).animationName") == "none"


def test_two_thousand_operations_stay_fluid(show: Any) -> None:
    h: Any = Tensor(np.ones(3), name="t")
    for i in range(1000):
        with scope(f"block{i // 20}"):
            h = np.tanh(h * 1.01)
    tab = show(h.sum())
    slowest = tab.evaluate("""async () => {
        const times = [];
        for (let i = 0; i < 12; i++) {
            const begin = performance.now();
            document.getElementById('next').click();
            document.body.getBoundingClientRect();
            await new Promise(requestAnimationFrame);
            times.push(performance.now() - begin);
        }
        return times.sort((a, b) => a - b)[6];
    }""")
    assert slowest < 200, f"a step takes {slowest:.0f} ms"


# -- The file


def test_data_is_json_and_small_mistakes_are_explained(tmp_path: Path) -> None:
    result = square()
    html = page(tell(GraphView(result)))
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert block
    assert json.loads(block[1])["outputs"] == [3]
    with pytest.raises(ValueError, match=r"end in \.html"):
        explore(square(), tmp_path / "page.txt")
    with pytest.raises(ValueError, match="the gradient has shape"):
        explore(square(), tmp_path / "page.html", gradient=[1.0, 2.0])
    freed = square()
    view = GraphView(freed)
    freed.backward()
    with pytest.raises(RuntimeError, match="freed"):
        explore(view, tmp_path / "page.html")


def test_a_gif_has_a_frame_for_every_step(tmp_path: Path) -> None:
    from PIL import Image

    result = network()
    with Image.open(animate(result, tmp_path / "walk.gif", width=600)) as film:
        assert film.format == "GIF"
        assert film.n_frames == len(tell(GraphView(result)).moments)
        assert film.size[0] == 600
    with pytest.raises(ValueError, match=r"end in \.gif"):
        animate(result, tmp_path / "walk.png")
