"""The explorer in a real browser: its numbers are the graph's own, every control works, no text breaks out of it."""

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tabs import Tabs
from tinygrad_nn import Tensor, affine, relu, softmax_crossentropy
from tinygrad_nn.graph import GraphView, short_number
from tinygrad_nn.graph.walk import walk_back
from tinygrad_nn.node import scope
from tinygrad_nn.viz import animate, explore
from tinygrad_nn.viz.explorer.explore import page, page_data
from tinygrad_nn.viz.explorer.layout import Placed, edge_lines, fit_lines, place_nodes
from tinygrad_nn.viz.explorer.order import Arrangement, arrange
from tinygrad_nn.viz.explorer.story import brief_array, tell_story

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


def broadcast() -> Tensor:
    return (Tensor([[1.0, 2.0]], name="a") * Tensor([[3.0], [4.0]])).sum()


def shared() -> Tensor:
    """Three blocks that share one matrix, with residual connections, nested scopes, and a leaf used everywhere."""
    rng = np.random.default_rng(1)
    W, x = Tensor(rng.normal(size=(4, 4)), name="W"), Tensor(rng.normal(size=(2, 4)), name="x")
    everywhere = Tensor(rng.normal(size=(2, 4)), name="everywhere")
    h: Any = x
    with scope("encoder"):
        for i in range(3):
            with scope(f"block{i}"):
                before = h
                with scope("attention"):
                    h = np.tanh(h @ W) + everywhere
                with scope("mlp"):
                    h = relu(affine(h, Tensor(rng.normal(size=(4, 4)), name=f"U{i}"), Tensor(np.zeros(4))))
                h = h + before
    with scope("decoder"):
        return (h * x).sum() + (x * x).mean()


def single() -> Tensor:
    x = Tensor(np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3), name="x")
    return (np.exp(x) * x[0] / np.float32(3)).mean()


def complex_() -> Tensor:
    z = Tensor(np.array([1 + 2j, -1j]), name="z")
    return (np.abs(z * (2 - 1j) * z) ** 2).sum()


def scalars() -> Tensor:
    x, y = Tensor(2.0, name="x"), Tensor(np.array(-3.0), name="y")
    return x * x * x + np.maximum(x, y) * y - x


def nothing() -> Tensor:
    return (Tensor(np.zeros((0, 3)), name="none") * 2.0).sum() + Tensor(1.5, name="x")


def not_finite() -> Tensor:
    with np.errstate(all="ignore"):
        return (np.log(Tensor([0.0, 1.0, -1.0], name="x")) * Tensor([1.0, np.inf, 2.0], name="y")).sum()


def wide() -> Tensor:
    parts = [np.sin(Tensor(float(i), name=f"leaf {i}")) for i in range(9)]
    total: Any = parts[0]
    for part in parts[1:]:
        total = total * part + parts[0]
    return total


def leaving() -> Tensor:
    """The first result of a scope is used outside, after all later ones of the scope; a wide box beside leaves."""
    x = Tensor([0.1, 0.2, 0.3], name="x")
    with scope("inside"):
        first = np.sin(x)
        with scope("deeper"):
            second = np.tanh(first)
            last = np.exp(np.tanh(second))
    parts: list[Any] = [Tensor(np.full(3, float(i)), name=f"y{i}") for i in range(6)]
    with scope("between"):
        parts.insert(3, np.tanh(np.exp(np.sin(Tensor([1.0, 2.0, 3.0], name="z")))))
    return np.stack(parts).sum() + (last * first + second).sum()


def chain(blocks: int = 50) -> Tensor:
    h: Any = Tensor(np.ones(3), name="t")
    for i in range(20 * blocks):
        with scope(f"block{i // 20}"):
            h = np.tanh(h * 1.01)
    return h.sum()


EVERY = [network, square, broadcast, shared, single, complex_, scalars, nothing, not_finite, wide, leaving]


# -- The walk


@pytest.mark.parametrize("make", EVERY)
def test_contributions_add_up_to_what_backward_leaves(make: Any) -> None:
    result = make()
    walk = walk_back(GraphView(result))
    with np.errstate(all="ignore"):
        result.backward(retain_graph=True, retain_grads=True)
    view = GraphView(result)
    assert len(walk.steps) == sum(node.operation is not None for node in view)
    for node in view:
        if node.grad_array is not None:
            np.testing.assert_array_equal(walk.gradients[node.number], node.grad_array)
    for number, gradient in walk.gradients.items():
        parts = [c.array for s in walk.steps for c in s.contributions if view.edges[c.edge].source == number]
        if parts:
            assert all(part.dtype == gradient.dtype == view[number].array.dtype for part in parts)
            np.testing.assert_allclose(sum(parts), gradient, rtol=8 * np.finfo(gradient.dtype).eps)


def test_the_walk_changes_nothing() -> None:
    result = network()
    before = GraphView(result).to_json()
    tell_story(GraphView(result))
    assert GraphView(result).to_json() == before


# -- The layout


ROOMS = [(1e6, 1e6), (900.0, 500.0), (380.0, 700.0)]


def layouts(make: Any, down: bool) -> Iterator[tuple[Arrangement, frozenset[int], Placed]]:
    arrangement = arrange(GraphView(make()))
    for folded in (frozenset(), frozenset({1}), frozenset(range(1, len(arrangement.boxes), 2))):
        for room in ROOMS:
            sizes = lambda key: (110.0 + 7 * (int(key[1:]) % 9), 58.0 + 15 * (int(key[1:]) % 2))
            yield arrangement, folded, fit_lines(arrangement.boxes, sizes, down, folded, room)


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("make", [network, shared, wide, leaving, nothing])
def test_nodes_do_not_overlap_and_boxes_contain_their_nodes(make: Any, down: bool) -> None:
    for arrangement, folded, placed in layouts(make, down):
        for number, box in enumerate(arrangement.boxes):
            if number in folded or f"b{number}" not in placed.spots:
                continue
            inside = [placed.spots[key] for row in box.layers for key in row]
            x, y, w, h = placed.spots[f"b{number}"]
            for i, (a, b, c, d) in enumerate(inside):
                assert x <= a
                assert y <= b
                assert a + c <= x + w + 1e-9
                assert b + d <= y + h + 1e-9
                for p, q, r, s in inside[:i]:
                    assert a + c <= p + 1e-9 or p + r <= a + 1e-9 or b + d <= q + 1e-9 or q + s <= b + 1e-9


@pytest.mark.parametrize("make", [network, shared, wide, leaving, square, nothing])
def test_edges_run_between_the_nodes_and_stay_in_the_boxes_of_their_ends(make: Any) -> None:
    view = GraphView(make())
    for arrangement, folded, placed in layouts(make, False):
        if folded:
            continue
        boxes, spots = arrangement.boxes, placed.spots
        around = [{f"n{n}"} for n in range(len(view))]
        for n, home in enumerate(arrangement.home):
            while home > 0:
                around[n].add(f"b{home}")
                home = boxes[home].parent
        for edge, points in zip(view.edges, edge_lines(view.edges, arrangement, placed), strict=True):
            ends = around[edge.source], around[edge.target]
            for key, (x, y, w, h) in spots.items():
                if key[0] == "l" or key == "b0":
                    continue
                within = [x + 1e-6 < p < x + w - 1e-6 and y + 1e-6 < q < y + h - 1e-6 for p, q in points]
                if key in ends[0] and key in ends[1]:
                    assert all(within) or key[0] == "n", (key, edge)
                elif key not in ends[0] and key not in ends[1]:
                    assert not any(within), (key, edge)


def test_a_long_chain_is_folded_into_lines_that_fill_the_room() -> None:
    boxes = arrange(GraphView(chain(3))).boxes
    sizes = lambda key: (120.0, 60.0)
    one = place_nodes(boxes, sizes)
    assert set(one.lines.values()) == {0}
    _, _, w, h = fit_lines(boxes, sizes, False, frozenset(), (800.0, 500.0)).spots["b0"]
    assert min(800 / w, 500 / h) > 5 * 800 / one.spots["b0"][2]


# -- The page


@pytest.fixture
def show(tabs: Tabs, tmp_path: Path) -> Iterator[Any]:
    """Open the page of a result; when the test ends, nothing may have gone wrong or asked the network."""
    with tabs.watched() as opened:
        yield lambda result, *size, motion="reduce", **options: opened(
            explore(result, tmp_path / "page.html", names={}).as_uri(), *size, reduced_motion=motion, **options
        )


def expect(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def numbers(tab: Any, heading: str) -> list[list[list[str]]]:
    tables = tab.locator("#detail").get_by_role("table", name=heading, exact=True)
    return tables.evaluate_all(f"tables => tables.map({ROWS})")  # type: ignore[no-any-return]


ROWS = "table => [...table.querySelectorAll('tr')].map(r => [...r.querySelectorAll('td')].map(cell => cell.innerText))"


def at_each(tab: Any, steps: list[int], look: str) -> list[Any]:
    """Go to each step, and return what a function of the page finds there."""
    return tab.evaluate(  # type: ignore[no-any-return]
        f"""async steps => {{
            const found = [];
            for (const step of steps) {{
                go(step);
                await null;  // for what the page does after a step
                found.push(({look})());
            }}
            return found;
        }}""",
        steps,
    )


def texts(array: Any) -> list[list[str]]:
    table = np.atleast_2d(array)
    return [[short_number(n).replace("-", "−") for n in row] for row in table.tolist()]


def tables(arrays: Any) -> list[list[list[str]]]:
    return [texts(array) for array in arrays if array.size]


# What the page shows at a step, with the tables of the panel as a screen reader names them.
SHOWN = """tables => {
    const all = (selector, part = document) => [...part.querySelectorAll(selector)];
    const one = selector => {
        const found = all(selector);
        if (found.length !== 1) throw Error(`${selector} is there ${found.length} times`);
        return found[0];
    };
    const numbers = { result: [], gradient: [], contribution: [], "sum so far": [] }, gradients = {};
    for (const table of tables) numbers[table.getAttribute("aria-label")].push((ROWS)(table));
    for (const node of all("[data-key]")) {
        (gradients[node.dataset.key] ??= []).push(...all(".gradient", node).map(part => part.textContent));
    }
    const current = all(".node.current").map(node => node.dataset.key);
    return { count: one("#count").innerText, say: one("#say").innerText, numbers, gradients, current,
             carries: all(".carry").map(part => part.textContent), flows: all(".edge.flow").length,
             equations: all("#detail math").length };
}""".replace("ROWS", ROWS)
HEADINGS = re.compile("^(result|gradient|contribution|sum so far)$")


@pytest.mark.parametrize("make", EVERY)
def test_the_numbers_of_every_step_are_the_graphs_own(show: Any, make: Any) -> None:
    result = make()
    story = tell_story(GraphView(result))
    tab = show(result)
    for at, moment in enumerate(story.moments):
        shown = tab.locator("#detail").get_by_role("table", name=HEADINGS).evaluate_all(SHOWN)
        numbers = shown["numbers"]
        assert shown["count"] == f"{at} / {len(story.moments) - 1}"
        assert shown["say"] == moment.text.replace("-", "−")
        if moment.phase == "forward":
            assert numbers["result"] == tables([story.view[moment.number].array])
        if moment.phase in ("seed", "backward"):
            assert numbers["gradient"] == tables([moment.gradient])
            assert numbers["contribution"] == tables(c.array for c in moment.contributions)
            assert numbers["sum so far"] == tables(c.total for c in moment.contributions if c.count > 1)
            carried = sorted(brief_array(c.array, 11, 2).replace("-", "−") for c in moment.contributions)
            assert sorted(shown["carries"]) == carried
            arrived = {story.view.edges[c.edge].source: c.total for c in moment.contributions}  # the last sum of each
            for number, sum_ in arrived.items():
                assert shown["gradients"][f"n{number}"] == ["∂ " + brief_array(sum_).replace("-", "−")]
        if moment.number >= 0:
            assert shown["current"] == [f"n{moment.number}"]
            assert shown["flows"] == len(moment.contributions)
        if moment.phase in ("forward", "backward"):
            assert shown["equations"] >= 1
        if moment.phase == "end":
            leaves = [n for n in story.view if n.kind == "leaf" and n.number in story.walk.gradients]
            assert numbers["gradient"] == tables(story.walk.gradients[n.number] for n in leaves)
        tab.keyboard.press("ArrowRight")


def test_every_button_and_key_works(show: Any) -> None:
    tab = show(network(), fresh=True)
    at = lambda: int(tab.locator("#count").inner_text().split("/")[0])
    for button, want in [("next", 1), ("next", 2), ("back", 1), ("last", 14), ("first", 0)]:
        tab.click(f"#{button}")
        assert at() == want
    for key, want in [("ArrowRight", 1), (".", 2), (",", 1), ("ArrowLeft", 0), ("End", 14), ("Home", 0)]:
        tab.keyboard.press(key)
        assert at() == want
    tab.locator("#slider").fill("5")
    assert at() == 5
    tab.clock.install()
    tab.clock.pause_at(tab.evaluate("Date.now()") + 1000)  # the page's time passes when this test says so
    tab.select_option("#speed", "120")
    tab.click("#play")
    tab.clock.run_for(250)
    assert at() == 7
    tab.click("#play")
    tab.clock.run_for(1000)
    assert at() == 7
    tab.clock.resume()
    assert tab.locator("#play").get_attribute("aria-label") == "Play"
    where = lambda: tab.locator("#world").get_attribute("transform")
    for button in ("zoom-in", "fit", "zoom-out", "turn", "fold", "unfold"):
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
    assert numbers(tab, "gradient") == [texts(tell_story(view).walk.gradients[view.find("W2").number])]
    tab.locator("#detail .links button").first.click()
    assert tab.locator("#detail h2").inner_text().startswith("affine")
    assert tab.locator("#detail").get_by_text("Rules").count() == 1
    tab.keyboard.press("Escape")
    assert tab.locator("#detail h2").inner_text() == "The gradients"
    tab.keyboard.press("0")
    tab.locator('[data-key="n0"]').click()
    assert tab.locator("#detail h2").inner_text() == view[0].name
    tab.keyboard.press("Escape")
    tab.locator('[data-key="n0"]').focus()
    tab.keyboard.press(" ")
    assert tab.locator("#detail h2").inner_text() == view[0].name
    assert tab.locator("#play").get_attribute("aria-label") == "Play"
    tab.keyboard.press("ArrowRight")
    assert "affine" in tab.evaluate("document.activeElement.getAttribute('aria-label')")


def test_the_equations_hold_the_numbers_of_the_step(show: Any) -> None:
    tab = show(square())
    said = lambda: [" ".join(text.split()) for text in tab.locator("#detail .formula math").all_text_contents()]
    tab.keyboard.press("ArrowRight")
    assert said() == ["v1=xx", "=3·3=9"]
    tab.keyboard.press("End")
    tab.keyboard.press("ArrowLeft")
    assert said() == ["x¯+=v¯1x", "=1·3=3", "x¯+=v¯1x", "=1·3=3"]
    tab = show(np.linalg.solve(Tensor([[2.0]], name="x"), Tensor([[6.0]], name="y")))
    tab.locator("#slider").fill("3")
    assert ["v2" in text for text in said()[:2]] == [True, False]  # the result may stand in a rule, too
    result = network()
    tab, story = show(result), tell_story(GraphView(result))
    last = next(i for i, m in enumerate(story.moments) if m.phase == "backward" and m.contributions[0].array.size == 6)
    tab.locator("#slider").fill(str(last))
    rows = tab.locator("#detail .formula math").last.locator("mtr").all()
    cells = [row.locator("mtd").all_text_contents() for row in rows]
    assert cells == texts(story.moments[last].contributions[-1].array)


def test_what_flows_is_written_beside_the_nodes(show: Any) -> None:
    covered = """() => {
        const all = selector => [...document.querySelectorAll(selector)];
        const at = selector => all(selector).map(part => part.getBoundingClientRect());
        const labels = at(".carry rect"), nodes = at(".node > rect:first-child");
        const beside = (a, b) => a.right <= b.left + 2 || a.bottom <= b.top + 2;
        const touch = (a, b) => !beside(a, b) && !beside(b, a);
        return labels.some((a, i) => nodes.some(b => touch(a, b)) || labels.slice(i + 1).some(b => touch(a, b)));
    }"""
    for make in (network, square, leaving, shared):
        tab = show(make())
        steps = list(range(tab.evaluate("moments.length")))
        assert [step for step, found in zip(steps, at_each(tab, steps, covered), strict=True) if found] == [], make


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


# Points on a path from its beginning to its end, `apart` or less from one to the next. The browser has a function for
# one point, which takes a thousand times as long.
POINTS = r"""(path, apart) => {
    const points = [], degrees = { M: 0, L: 1, Q: 2, C: 3 };
    const mix = ([a, b], [c, d], t) => [a * (1 - t) + c * t, b * (1 - t) + d * t];
    const between = (corners, t) => corners.length === 1 ? corners[0] :
        between(corners.slice(1).map((corner, i) => mix(corners[i], corner, t)), t);
    for (const [all, command, text] of path.getAttribute("d").matchAll(/([a-z])([^a-z]*)/gi)) {
        const numbers = text.match(/-?[\d.]+/g).map(Number), degree = degrees[command];
        if (degree === undefined || numbers.length % (2 * degree || 2)) throw Error(`a path with ${all}`);
        for (let at = 0; at < numbers.length; at += 2 * degree || 2) {
            const corners = points.length && degree ? [points.at(-1)] : [];
            for (let k = at; k < at + (2 * degree || 2); k += 2) corners.push([numbers[k], numbers[k + 1]]);
            const sides = corners.slice(1).map(([x, y], i) => Math.hypot(x - corners[i][0], y - corners[i][1]));
            const steps = Math.max(1, Math.ceil(degree * Math.max(0, ...sides) / apart));
            for (let k = 1; k <= steps; k++) points.push(between(corners, k / steps));
        }
    }
    return points;
}"""

# What is wrong with the picture as it is drawn now, seen from the elements of the page alone.
WRONG = """() => {
    const wrong = [], box = new Map(), pointsOf = POINTS;
    for (const part of document.querySelectorAll("#nodes > *")) {
        const rect = part.querySelector("rect"), numbers = /-?[\\d.]+(e-?\\d+)?/g;
        const [x, y] = part.getAttribute("transform").match(numbers).map(Number);
        box.set(part.dataset.key, [x, y, x + +rect.getAttribute("width"), y + +rect.getAttribute("height")]);
    }
    const list = [...box];
    list.forEach(([key, a], i) => list.slice(i + 1).forEach(([other, b]) => {
        if (a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]) wrong.push(`${key} is on ${other}`);
    }));
    const sides = ["x", "y", "width", "height"];
    const frames = [...document.querySelectorAll(".frame")].map(f => sides.map(side => +f.getAttribute(side)));
    const holds = (f, [x, y]) => x > f[0] + 1 && y > f[1] + 1 && x < f[0] + f[2] - 1 && y < f[1] + f[3] - 1;
    const distance = ([a, b, c, d], [x, y]) => Math.max(a - x, x - c, b - y, y - d);
    for (const path of document.querySelectorAll(".edge")) {
        const points = pointsOf(path, path.getTotalLength() / 120);
        const touched = point => list.filter(([, spot]) => Math.abs(distance(spot, point)) < 1.5).map(([key]) => key);
        const from = touched(points[0]), to = touched(points.at(-1)), name = `an edge from ${from} to ${to}`;
        if (!from.length || !to.length) wrong.push(`an edge leads to nowhere: ${path.getAttribute("d")}`);
        for (const [key, spot] of list) {
            if (from.includes(key) || to.includes(key)) continue;
            if (points.some(point => distance(spot, point) < -1)) wrong.push(`${name} runs over ${key}`);
        }
        for (const f of frames) {
            const inside = points.map(point => holds(f, point)), ends = inside[0] + inside.at(-1);
            if (ends === 2 && inside.includes(false)) wrong.push(`${name} leaves its box`);
            if (ends === 0 && inside.includes(true)) wrong.push(`${name} runs through a box`);
        }
    }
    return wrong;
}""".replace("POINTS", POINTS)


@pytest.mark.parametrize("make", [network, shared, wide, leaving])
@pytest.mark.parametrize("size", [(2600, 900), (390, 844)])
def test_the_picture_is_right_however_it_is_folded(show: Any, make: Any, size: tuple[int, int]) -> None:
    tab = show(make(), *size)
    boxes = range(1, tab.evaluate("data.boxes.length"))
    steps = list(range(0, tab.evaluate("moments.length"), 5))
    current = "() => [document.querySelectorAll('.node.current').length, +(moments[step].node >= 0)]"
    fold = f"folded => {{ graph.setFolded(new Set(folded)); refresh(); return ({WRONG})(); }}"
    for turned in range(2):
        for folded in ([], list(boxes), list(boxes)[::2], list(boxes)[1::2], list(boxes)[-2:]):
            assert tab.evaluate(fold, folded) == [], (turned, folded)
            for step, (found, want) in zip(steps, at_each(tab, steps, current), strict=True):
                assert found == want, (turned, folded, step)
        tab.click("#turn")


# Letters below 11 pixels, texts not in the middle of their node, and those that leave it, as they are on the screen.
UNREADABLE = """() => {
    const wrong = [], bounds = part => part.getBoundingClientRect();
    const shown = part => part.textContent && part.getClientRects().length > 0;
    for (const text of [...document.querySelectorAll("#nodes text, #heads text")].filter(shown)) {
        const size = parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a;
        if (size < 11) wrong.push(`${text.textContent} has ${size} pixels`);
    }
    for (const node of document.querySelectorAll(".node, .stub")) {
        const rect = bounds(node.querySelector("rect")), name = node.textContent;
        const texts = [...node.querySelectorAll("text")].filter(shown).map(bounds);
        const rims = ["left", "top"].map(side => Math.min(...texts.map(text => text[side])) - rect[side]);
        const ends = ["right", "bottom"].map(side => rect[side] - Math.max(...texts.map(text => text[side])));
        if (rims.some((rim, i) => Math.abs(rim - ends[i]) > 2 + i)) wrong.push(`${name} is not in the middle`);
        if (Math.min(...rims, ...ends) < 0) wrong.push(`${name} leaves its node`);
    }
    return wrong;
}"""


@pytest.mark.parametrize(("make", "whole"), [(square, (1280, 390)), (broadcast, (1280, 390)), (scalars, (1280,)),
                                             (network, (1280,)), (wide, ()), (shared, ())])  # fmt: skip
def test_letters_have_11_pixels_and_stand_in_the_middle_of_their_nodes(show: Any, make: Any, whole: Any) -> None:
    for width, height in ((1280, 800), (390, 844)):
        tab = show(make(), width, height)
        last = tab.evaluate("moments.length - 1")
        steps = [0, last // 3, last]
        for step, found in zip(steps, at_each(tab, steps, UNREADABLE), strict=True):
            assert found == [], (width, step)
        assert tab.evaluate(WRONG) == []
        assert tab.evaluate("graph.fitsWhole()") == (width in whole), width
        if width in whole:
            tab.click("#fit")
            assert tab.evaluate(UNREADABLE) == [], width
        tab.keyboard.press("f")
        assert width == 390 or tab.evaluate(UNREADABLE) == [], "folded"


@pytest.mark.parametrize("make", [network, shared, wide, leaving])
def test_the_page_places_as_python_does(show: Any, make: Any) -> None:
    result = make()
    shown = page_data(tell_story(GraphView(result)))
    tab = show(result, 2600, 900)
    tab.evaluate("GROWN.splice(1); graph.build()")  # at its natural size, though letters are small then
    sizes = {f"n{i}": (n["width"], 30 if n["small"] else 73 if n["gradient"] >= 0 else 58)
             for i, n in enumerate(shown["nodes"])}  # fmt: skip
    room = [float(size) - 8 for size in tab.evaluate("graph.room")]
    arrangement = arrange(GraphView(result))
    python = fit_lines(arrangement.boxes, sizes.__getitem__, False, frozenset(), (room[0], room[1]))
    assert {key: pytest.approx(spot) for key, spot in python.spots.items()} == dict(tab.evaluate("[...graph.spots]"))
    assert python.lines == dict(tab.evaluate("[...graph.placed.lines]"))
    drawn = json.loads(tab.evaluate(f"JSON.stringify(graph.edgeParts.map(path => ({POINTS})(path, 3)))"))
    for points, line in zip(drawn, edge_lines(GraphView(result).edges, arrangement, python), strict=True):
        apart = np.linalg.norm(np.array(line)[:, None] - np.array(points), axis=2).min(axis=1)
        assert apart.max() < 6  # the page rounds corners, and its points are 3 apart


def test_hostile_names_are_text(show: Any) -> None:
    with scope(HOSTILE[0].replace(".", "")):
        result = np.stack([Tensor(float(i), name=name) for i, name in enumerate(HOSTILE)])
    tab = show(result)
    for i, name in enumerate(HOSTILE):
        shown = tab.locator(f'[data-key="n{i}"] .title').text_content()
        assert shown[:30] == name.replace("\u2028", "\\u2028")[:30]
    assert tab.locator("img").count() == 0
    html = page(tell_story(GraphView(result)), HOSTILE[0])
    assert html.count("</script") == 2
    assert "onerror=alert(1)>" not in html


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.full(9, 1.5), "all 1.5"),
        (np.full(9, 1 + 2j), "all 1+2j"),
        (np.arange(9) > -1, "all True"),
        (np.linspace(1, 1.00001, 9), "≈ 1"),
        (np.array([5, 3 + 4j] * 5), "abs ≈ 5"),
        (np.arange(9) * 1j, "abs 0 … 8"),
        (np.arange(9.0), "0 … 8"),
        (np.array([1 + 2j]), "[1+2j]"),
    ],
)
def test_a_short_text_says_no_more_than_is_true(array: Any, text: str) -> None:
    assert brief_array(array) == text


def test_large_arrays_are_heat_maps(show: Any) -> None:
    x = np.linspace(-1, 1, 160 * 150).reshape(160, 150)
    result = (Tensor(x, name="x") * 2.0).sum()
    shown = page_data(tell_story(GraphView(result)))
    heat = shown["arrays"][shown["nodes"][0]["value"]]["heat"]
    assert (heat["size"], heat["block"]) == ([24, 32], [7, 5])
    means = np.array(heat["numbers"].split(), float)
    assert means[0] < -0.95
    assert means[-1] > 0.95
    assert (np.diff(means) >= 0).mean() > 0.9
    tab = show(result)
    tab.keyboard.press("ArrowRight")
    assert "min −2 · mean 0 · max 2" in tab.locator("#detail").inner_text()
    assert "a cell is the mean of 7 × 5" in tab.locator("#detail").inner_text()
    assert "160 × 150" in tab.locator("#detail").inner_text()
    assert tab.locator("#detail canvas.heat").first.get_attribute("aria-label").startswith("result: 160 × 150")
    first = tab.evaluate("[...document.querySelector('canvas.heat').getContext('2d').getImageData(0, 0, 1, 1).data]")
    assert first == [0, 90, 160, 255]  # the most negative: blue


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_needs_no_scrolling_sideways(show: Any, dark: bool) -> None:
    tab = show(network(), 390, 844, color_scheme="dark" if dark else "light", touch=True)
    tab.locator("#slider").fill("9")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    rights = tab.get_by_role("button").filter(visible=True).evaluate_all("""buttons => buttons
        .filter(b => b.closest(".transport, .tools")).map(b => b.getBoundingClientRect().right)""")
    assert all(right <= 390 for right in rights)
    background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(13, 17, 23)" if dark else "rgb(255, 255, 255)")
    assert tab.evaluate("getComputedStyle(document.querySelector('.edge.flow')).animationName") == "none"


@pytest.mark.parametrize("size", [(360, 740), (320, 568), (740, 360), (640, 400), (1280, 360)])
def test_nothing_is_cut_off_or_covered_on_a_small_or_enlarged_screen(show: Any, size: tuple[int, int]) -> None:
    tab = show(wide_letters(), *size)
    last = tab.evaluate("moments.length - 1")
    steps = [0, last // 4, last // 2, 3 * last // 4, last]
    seen = """() => [document.documentElement.scrollWidth, $("panel").scrollWidth - $("panel").clientWidth,
        $("say").scrollHeight > $("say").clientHeight, $("say").tabIndex === 0]"""
    for step, (width, over, long, scrolled) in zip(steps, at_each(tab, steps, seen), strict=True):
        assert width <= size[0], step
        assert over <= 0, f"the panel is too wide at step {step}"
        assert long == scrolled, "a keyboard scrolls what is longer than its room, and stops nowhere else"
    tab.evaluate("go(1)")
    assert tab.evaluate(COVERED) == []
    tab.locator("summary").scroll_into_view_if_needed()
    tab.locator("summary").click(timeout=3000)  # which nothing covers


def test_a_printed_step_is_whole(show: Any) -> None:
    tab = show(network(), 700, 500)
    tab.evaluate("go(moments.length - 3)")
    tab.emulate_media(media="print")
    inner = tab.evaluate("['scrollHeight', 'clientHeight'].map(side => $('panel')[side])")
    assert inner[0] == inner[1] > 500, "nothing is left below the rim of the panel"
    assert tab.evaluate("document.documentElement.scrollHeight") > inner[0]
    assert not tab.locator("#play").is_visible()


COVERED = """() => {
    const those = "header *, .tools button, footer button, footer select, footer input, #count";
    const parts = [...document.querySelectorAll(those)];
    const seen = (part, { x, y, width: w, height: h }) => x >= 0 && y >= 0 && x + w <= innerWidth &&
        y + h <= innerHeight && part.contains(document.elementFromPoint(x + w / 2, y + h / 2));
    return parts.filter(part => part.checkVisibility() && !seen(part, part.getBoundingClientRect()))
        .map(part => part.outerHTML.slice(0, 80));
}"""


def wide_letters() -> Tensor:
    """Names of letters that are wider than most, for a leaf, an operation's layer and a value that is used far away."""
    h: Any = Tensor(np.ones(2), name="W" * 40)
    for name in ("W" * 36, "é" * 40, "m" * 33, "日本語" * 12, "@" * 30):
        with scope(name):
            h = np.sin(h) * Tensor(np.ones(2), name=name)
    x = Tensor(np.ones(2), name="M" * 30)
    parts = [h * x, *(x * float(i) for i in range(14))]
    return np.stack(parts).sum()


def test_wide_letters_stay_in_their_parts(show: Any) -> None:
    outside = """() => [...document.querySelectorAll("#nodes > g, .head [role=button]")].flatMap(part => {
        const { left, right } = part.querySelector("rect").getBoundingClientRect();
        const out = ({ width, ...text }) => width && (text.left < left || text.right > right);
        return [...part.querySelectorAll("text")].filter(text => out(text.getBoundingClientRect().toJSON()))
            .map(text => text.textContent);
    })"""
    tab = show(wide_letters())
    seen = ""
    for key in ("0", "f", "u"):
        tab.keyboard.press(key)
        assert tab.evaluate(outside) == []
        seen += tab.locator("#graph").text_content()
    for letter in "Wém本@M":
        assert 6 * letter in seen or letter == "本"
    assert "▸ " in seen
    assert "times" in seen, "a value that is used far away has its name there"


def test_two_thousand_operations_stay_fluid(show: Any) -> None:
    """A step updates only what it changes, and folded or hidden parts are not drawn: neither grows with the graph."""
    tab = show(chain())
    assert tab.evaluate("nodes.length") > 3000
    touched = """async number => {
        go(number);
        const watcher = new MutationObserver(() => {});
        const all = { subtree: true, childList: true, attributes: true, characterData: true };
        watcher.observe(document.getElementById("graph"), all);
        go(number + 1, false);
        return watcher.takeRecords().length;
    }"""
    for number in (1, 100, 2500):
        assert tab.evaluate(touched, number) < 60
    drawn = "document.querySelectorAll('.node, .edge, .head').length"
    tab.evaluate("go(2500)")
    assert 5 < tab.evaluate(drawn) < 150
    tab.keyboard.press("/")
    tab.keyboard.type("tanh #1500")
    tab.keyboard.press("Enter")
    assert tab.locator(".node.chosen").is_visible()
    tab.locator(".node.chosen").focus()
    tab.keyboard.press("ArrowRight")  # into the next step of the loop, which is shown for that
    assert tab.evaluate("document.activeElement.getAttribute('aria-label')").startswith("multiply")
    assert tab.locator(".node:focus").is_visible()
    tab.keyboard.press("0")
    assert tab.evaluate(drawn) < 150


def test_a_keyboard_and_a_screen_reader_reach_everything(show: Any) -> None:
    tab = show(network())
    tab.evaluate("""() => {
        window.reached = [];
        addEventListener("keyup", () => {
            const part = document.activeElement, style = getComputedStyle(part.querySelector("rect") || part);
            const outlined = style.outlineStyle !== "none" || parseFloat(style.strokeWidth) >= 4;
            const own = part.id || part.getAttribute("class") || part.parentNode.getAttribute("class");
            reached.push([own || part.tagName, outlined]);
        });
    }""")
    for _ in range(40):
        tab.keyboard.press("Tab")
    focused = tab.evaluate("reached")
    assert len(focused) == 40
    for name, outlined in focused:
        assert outlined or name == "BODY", f"the focus on {name} cannot be seen"
    reached = {name.split()[0] for name, _ in focused}
    tools = {"zoom-in", "zoom-out", "fit", "turn", "fold", "unfold", "play", "next", "last", "speed", "slider"}
    assert reached >= tools | {"search", "head", "node", "panel"}
    unnamed = """() => {
        const all = "button, input, select, section[aria-label], aside, canvas, [role=button], [role=group]";
        const shown = part => part.checkVisibility() && !part.closest("[aria-hidden]");
        const parts = [...document.querySelectorAll(all)].filter(shown);
        return parts.filter(p => !(p.getAttribute("aria-label") || p.textContent).trim()).map(p => p.outerHTML);
    }"""
    assert at_each(tab, [0, 3, 10, 14], unnamed) == [[]] * 4
    say = tab.locator("#say")
    assert (say.get_attribute("role"), say.get_attribute("aria-live")) == ("status", "polite")
    assert tab.locator("#slider").get_attribute("aria-valuetext") == say.inner_text().replace("−", "-")
    ids = tab.evaluate("[...document.querySelectorAll('[id]')].map(part => part.id)")
    assert len(ids) == len(set(ids))


def test_motion_is_there_for_those_who_want_it(show: Any) -> None:
    tab = show(network(), motion="no-preference")
    tab.evaluate("go(10)")
    assert tab.evaluate("getComputedStyle(document.querySelector('.edge.flow')).animationName") == "flow"


# -- The file


def test_data_is_json_and_small_mistakes_are_explained(tmp_path: Path) -> None:
    result = square()
    html = page(tell_story(GraphView(result)))
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
    path = animate(result, tmp_path / "walk.gif")
    assert path.stat().st_size < 1_500_000
    with Image.open(path) as film:
        assert film.format == "GIF"
        assert film.n_frames == len(tell_story(GraphView(result)).moments)
        assert film.size[0] == 1200
    with pytest.raises(ValueError, match=r"end in \.gif"):
        animate(result, tmp_path / "walk.png")


@pytest.mark.parametrize("make", EVERY)
def test_a_gif_that_is_too_narrow_moves_past(make: Any, tmp_path: Path) -> None:
    from PIL import Image

    result = make()
    with Image.open(animate(result, tmp_path / "walk.gif", width=300, theme="dark")) as film:
        assert film.size[0] == 300
        assert film.n_frames == len(tell_story(GraphView(result)).moments)
