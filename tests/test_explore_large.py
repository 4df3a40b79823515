"""The explorer on graphs of thousands of operations: folded to what can be read, quick, and no line over a node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import large_graphs
from tests.tabs import Tabs
from tests.test_explore import WRONG, at_each
from tinygrad_nn import Tensor
from tinygrad_nn.graph import GraphView
from tinygrad_nn.node import scope
from tinygrad_nn.viz import explore
from tinygrad_nn.viz.explorer.gif import MOST_FRAMES
from tinygrad_nn.viz.explorer.shortened import abridge
from tinygrad_nn.viz.explorer.story import tell_story
from tinygrad_nn.viz.graph.levels import find_levels


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Write the page of a graph once."""
    made: dict[str, Path] = {}
    folder = tmp_path_factory.mktemp("pages")

    def page(make: Any) -> Path:
        if make.__name__ not in made:
            made[make.__name__] = explore(make(), folder / f"{make.__name__}.html")
        return made[make.__name__]

    return page


@pytest.fixture
def show(tabs: Tabs, pages: Any) -> Iterator[Any]:
    """Open the page of a graph; when the test ends, nothing may have gone wrong."""
    with tabs.watched() as opened:
        yield lambda make, *size: opened(pages(make).as_uri(), *size, reduced_motion="reduce")


def many_operands() -> Tensor:
    return np.stack([np.sin(Tensor(float(k), name=f"x{k}")) for k in range(60)]).sum()


def test_a_panel_tells_of_a_few_operands_and_how_many_more_there_are(show: Any) -> None:
    tab = show(many_operands)
    panel = tab.locator("#detail")
    number = tab.evaluate("[...nodes.keys()].find(n => nodes[n].operation === 'stack')")
    for phase in ("forward", "backward"):
        tab.evaluate("([phase, n]) => go(moments.findIndex(m => m.phase === phase && m.node === n))", [phase, number])
        assert "and 36 more" in panel.inner_text(), phase
    assert panel.locator(".carried").count() == 24
    tab.evaluate("n => choose(n)", number)
    assert "and 36 more" in panel.inner_text()
    tab.evaluate("go(moments.length - 1)")
    tab.keyboard.press("Escape")


def test_a_sentence_tells_of_a_few_operands_and_how_many_more_there_are(show: Any) -> None:
    tab = show(many_operands)
    result = many_operands()
    story = tell_story(GraphView(result))
    texts = tab.evaluate("Array.from({ length: moments.length }, (_, i) => moments[i].text)")
    assert texts == [moment.text for moment in story.moments]
    long = [text for text in texts if "and 36 more" in text]
    assert [text.count("receives") for text in long] == [0, 24]
    assert long[0].count("sin #") == 24


def test_numbers_on_lines_come_with_the_window(show: Any) -> None:
    tab = show(lambda: large_graphs.fan(400))
    tab.keyboard.press("u")  # so that more is open than the page holds
    tab.evaluate("go(moments.findIndex(m => m.phase === 'backward' && nodes[m.node].operation === 'stack'))")
    places = []
    for y in (0, 2000):
        tab.evaluate("y => { const [x, , w] = graph.spots.get(graph.current); graph.look(500 - x - w, -y, 1); }", y)
        labels = tab.evaluate("[...document.querySelectorAll('.carry')].map(part => part.getAttribute('transform'))")
        places.append(set(labels))
        assert 0 < len(places[-1]) < tab.evaluate("graph.flowing.size")
    assert places[0] != places[1]


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
@pytest.mark.parametrize("make", large_graphs.EVERY)
def test_no_line_runs_over_a_node(show: Any, make: Any, size: tuple[int, int]) -> None:
    tab = show(make, *size)
    assert tab.evaluate(WRONG) == []
    last = tab.evaluate("moments.length - 1")
    steps = [1, last // 3, last - 2]
    seen = f"() => [...['.node.current', '#graph *'].map(part => document.querySelectorAll(part).length), ({WRONG})()]"
    for step, (current, drawn, wrong) in zip(steps, at_each(tab, steps, seen), strict=True):
        assert current == 1, step
        assert wrong == [], step
        assert drawn < 3000
    tab.keyboard.press("u")
    assert tab.evaluate(WRONG) == []


def test_a_loop_shows_the_chosen_step(show: Any) -> None:
    tab = show(large_graphs.loop)
    button = lambda words: tab.get_by_role("button", name=words)
    assert button("Step 1 of 700 is shown").count() == 1
    button("Show the last step").click()
    assert button("Step 700 of 700 is shown").count() == 1
    assert button("699 steps before").count() == 1
    assert button("after, folded").count() == 0
    assert tab.locator('[data-key="n2800"]').count() == 1  # the result
    button("Step 700 of 700 is shown").click()
    tab.locator("#which").fill("38")
    tab.locator("#which").press("Enter")
    assert button("Step 38 of 700 is shown").count() == 1
    assert button("37 steps before").count() == button("662 steps after").count() == 1
    button("662 steps after").press("Enter")
    assert button("Step 39 of 700 is shown").count() == 1
    tab.evaluate("go(300)")  # the walk turns to the step that it comes to
    assert button("Step 100 of 700 is shown").count() == 1
    assert tab.locator(".node.current").get_attribute("data-key") == tab.evaluate("'n' + moments[300].node")


def test_a_value_that_is_used_far_away_has_its_name_there(show: Any) -> None:
    tab = show(large_graphs.loop)
    assert tab.locator(".stub").all_text_contents().count("x, 700 times") == 1
    tab.get_by_role("button", name="x, 700 times; show where").click()
    assert tab.locator("#detail h2").inner_text() == "x"
    assert tab.locator("#uses li").count() == 60
    tab.get_by_role("button", name="Show 60 of 640 more").click()
    assert tab.locator("#uses li").count() == 120
    tab.locator("#uses li button").last.click()
    assert tab.locator(".node.chosen").count() == 1
    tab.locator(".stub", has_text="x").first.press("Enter")
    assert tab.locator(".node.chosen .title").text_content() == "x"


@pytest.mark.parametrize("make", [large_graphs.chain, large_graphs.web])
def test_levels_unfold_one_at_a_time_and_hidden_nodes_are_not_in_the_page(show: Any, make: Any) -> None:
    tab = show(make)
    parts = "graph.cells.nodes.length"
    seen = [tab.evaluate(parts)]
    for _ in range(3):
        tab.keyboard.press("u")
        seen.append(tab.evaluate(parts))
    assert seen == sorted(seen)
    assert seen[0] < seen[1]
    assert "stay folded" in tab.locator("#say").inner_text()
    inside = """() => {
        const { width, height } = graph.root.getBoundingClientRect(), { x, y, k } = graph.camera;
        const out = [...document.querySelectorAll("#nodes > *")].filter(part => {
            const [a, b, w, h] = graph.spots.get(part.dataset.key).map(size => size * k);
            return a + x > width + 400 || b + y > height + 400 || a + w + x < -400 || b + h + y < -400;
        });
        return [document.querySelectorAll("#nodes > *").length, out.length];
    }"""
    drawn, far = tab.evaluate(inside)
    assert drawn < seen[-1] / 2
    assert far <= tab.locator(".edge").count() + 1  # the ends of lines that are in view


def test_a_page_is_small(pages: Any) -> None:
    assert pages(large_graphs.loop).stat().st_size / 2100 < 200


def test_loops_are_found_in_loops_and_however_they_are_cut() -> None:
    x = y = Tensor(0.5, name="x")
    for _ in range(4):
        y = np.exp(-y)
        for _ in range(9):
            y = np.sin(y) * x + 1.0
    found = find_levels(GraphView(y)).levels
    loops = [(level.label, level.operations) for level in found if level.kind == "loop"]
    assert loops[0] == ("step × 4", 116)
    assert [label for label, _ in loops[1:]] == ["step × 9"] * 4
    h = Tensor(np.ones(3), name="h")
    for i in range(40):
        with scope(f"block{i}"):
            h = np.tanh(h * (1.0 + i)) + h
    [loop] = [level for level in find_levels(GraphView(h.sum())).levels if level.kind == "loop"]
    assert loop.label == "block0 … block39 × 40"


@pytest.mark.parametrize("make", large_graphs.EVERY)
def test_every_node_stands_in_one_level_and_none_is_too_long(make: Any) -> None:
    view = GraphView(make())
    found = find_levels(view)
    held = [child for level in found.levels for child in level.children if child >= 0]
    assert sorted(held) == list(range(len(view)))
    assert all(view[child].number == child for child in held)
    for number, level in enumerate(found.levels):
        assert all(found.home[child] == number for child in level.children if child >= 0)
        assert level.parent < number
        if level.kind != "loop" and found.levels[0].operations > 100:
            assert len(level.children) <= 80 or level.kind == "data"


@pytest.mark.parametrize("make", [large_graphs.loop, large_graphs.rnn, large_graphs.resnet])
def test_a_film_of_a_long_walk_tells_one_step_of_each_loop(make: Any) -> None:
    result = make()
    story = tell_story(GraphView(result))
    short = abridge(story, MOST_FRAMES)
    assert len(short.moments) <= MOST_FRAMES < len(story.moments)
    assert "operations are shown as" in short.moments[0].text
    texts = {moment.text for moment in story.moments}
    told = [moment for moment in short.moments[1:] if moment.text in texts]
    assert len(told) >= len(short.moments) - 2 * sum(part.kind == "fold" for part in short.view) - 1
    for moment in told:
        for c in moment.contributions:
            edge = short.view.edges[c.edge]
            assert edge.target == moment.number
            assert c.array.shape == short.view[edge.source].shape
