"""Pictures of what an operation does to the numbers of a step, and heat maps: both hold the graph's own numbers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tabs import Tabs
from tinygrad_nn import Tensor, affine, nn, relu, sigmoid, softmax, softmax_crossentropy
from tinygrad_nn.graph import GraphView, short_number
from tinygrad_nn.viz import explore
from tinygrad_nn.viz.explorer.arrays import Arrays
from tinygrad_nn.viz.explorer.equations import step_equations
from tinygrad_nn.viz.explorer.pictures import FAMILIES, Pictures
from tinygrad_nn.viz.explorer.story import tell_story

RNG = np.random.default_rng(0)
A, B = Tensor(RNG.normal(size=(3, 4)), name="A"), Tensor(RNG.normal(size=(4, 2)), name="B")
IMAGE, KERNEL = Tensor(RNG.normal(size=(2, 2, 5, 4))), Tensor(RNG.normal(size=(3, 2, 3, 2)))


def picture(result: Any) -> tuple[dict[str, Any], Any, list[Any], Arrays]:
    """The picture of the last operation, its result, its operands, and the arrays of the page."""
    view, arrays = GraphView(result), Arrays()
    pictures, last = Pictures(view, arrays), view[view.outputs[0]]
    number = pictures.add(last)
    sources = [view[edge.source] for edge in view.edges if edge.target == last.number]
    return pictures.finished()[number], last.array, [source.array for source in sources], arrays


KINDS = [
    (np.tanh(A), "curve"), (sigmoid(A), "curve"), (A**2, "curve"), (relu(A), "curve"), (A * 2.0, "curve"),
    (A + B[0, 0], "linked"), (A * A[0], "linked"), (np.where(A.data > 0, A, 0.0), "linked"),
    (A.sum(axis=1), "linked"), (A.mean(), "linked"), (A.max(axis=0), "linked"),
    (A[1:], "linked"), (A.T, "linked"), (A.reshape(2, 6), "linked"), (np.concatenate([A, A * 2]), "linked"),
    (A @ B, "product"), (affine(A, Tensor(np.ones((5, 4))), Tensor(np.ones(5))), "product"),
    (softmax(A), "bars"), (nn.functional.log_softmax(A, -1), "bars"),
    (softmax_crossentropy(A, Tensor(np.eye(4)[:3], requires_grad=False)), "targets"),
    (nn.functional.conv2d(IMAGE, KERNEL), "window"), (nn.functional.max_pool2d(IMAGE, 2), "window"),
    (nn.functional.layer_norm(A, (4,), Tensor(np.ones(4)), Tensor(np.zeros(4))), "moments"),
    (nn.functional.embedding(np.array([2, 0]), A), "linked"), (nn.functional.glu(A[:, :2]), "maps"),
    (np.linalg.inv(A[:, :3]), "maps"),
]  # fmt: skip


@pytest.mark.parametrize(("result", "kind"), KINDS, ids=[f"{i}-{kind}" for i, (_, kind) in enumerate(KINDS)])
def test_each_family_has_its_picture(result: Any, kind: str) -> None:
    assert picture(result)[0]["kind"] == kind


def test_no_family_is_forgotten() -> None:
    names = {
        "attention",
        "standardize",
        "softmax",
        "softmax_crossentropy",
        "affine",
        "conv",
        "max_pool",
        "sum",
        "embedding",
    }
    assert names <= set(FAMILIES)


@pytest.mark.parametrize("result", [r for r, kind in KINDS if kind == "linked"])
def test_links_lead_to_the_entries_that_make_an_entry(result: Any) -> None:
    found, out, operands, _ = picture(result)
    operation = GraphView(result)[GraphView(result).outputs[0]].operation
    picked = [[[x.ravel()[k] for k in np.atleast_1d(places) if k >= 0] for places in at]
              for x, at in zip(operands, found["at"], strict=True)]  # fmt: skip
    for k, value in enumerate(out.ravel()):
        terms = [part[k] for part in picked]
        if operation == "add":
            np.testing.assert_allclose(terms[0][0] + terms[1][0], value)
        elif operation == "multiply":
            np.testing.assert_allclose(terms[0][0] * terms[1][0], value)
        elif operation in ("sum", "mean", "max"):
            np.testing.assert_allclose(getattr(np, operation)(terms[0]), value)
        elif operation == "where":
            assert value == terms[1 if terms[0][0] else 2][0]
        else:
            assert value in [term[0] for term in terms if term]


def test_a_curve_is_the_operations_own_and_so_is_its_slope() -> None:
    found = picture(np.tanh(A))[0]
    assert min(found["x"]) < A.data.min() < A.data.max() < max(found["x"])
    np.testing.assert_allclose(found["y"], np.tanh(found["x"]), rtol=1e-4)
    np.testing.assert_allclose(found["slope"], 1 - np.tanh(found["x"]) ** 2, rtol=1e-4, atol=1e-4)


def test_a_normalisation_shows_mean_and_deviation() -> None:
    x = Tensor(RNG.normal(size=(4, 3, 2, 2)))
    layer = nn.BatchNorm2d(3)
    found, out, *_ = picture(layer(x))
    each = np.moveaxis(x.data, 1, 0).reshape(3, -1)
    np.testing.assert_allclose([g["mean"] for g in found["groups"]], each.mean(axis=1), rtol=1e-4)
    np.testing.assert_allclose([g["deviation"] for g in found["groups"]], np.sqrt(each.var(axis=1) + 1e-5), rtol=1e-4)
    np.testing.assert_allclose(
        found["groups"][1]["after"], np.moveaxis(out, 1, 0).reshape(3, -1)[1], rtol=1e-3, atol=1e-4
    )


def test_attention_shows_its_weights_fused_or_in_steps() -> None:
    x = Tensor(RNG.normal(size=(1, 4, 6)))
    out = nn.MultiheadAttention(6, 2, batch_first=True, rng=0)(x, x, x, need_weights=False)[0]
    view = GraphView(out)
    fused = next(part for part in view if part.operation == "self_attention")
    arrays = Arrays()
    pictures = Pictures(view, arrays)
    found = pictures.shown[pictures.add(fused)]
    assert found["kind"] == "weights"
    weights = np.array(arrays.finished()[found["array"]]["rows"] if "rows" in arrays.shown[found["array"]] else
                       arrays.shown[found["array"]]["heat"]["numbers"].split(), float)  # fmt: skip
    np.testing.assert_allclose(weights.reshape(-1, 4).sum(axis=1), 1, atol=2e-4)  # four digits each
    scores = x[0] @ x[0].T
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    assert picture(e / e.sum(axis=-1, keepdims=True))[0] == {"kind": "weights", "array": 0, "shares": True}


def test_a_step_of_the_gif_has_its_equation() -> None:
    h = np.tanh(A @ B)
    total = h.sum()
    story = tell_story(GraphView(total, names={"h": h}))
    operands = {0: [], 1: []} | {part.number: [] for part in story.view}
    for edge in story.view.edges:
        operands[edge.target].append(edge.source)
    said = [step_equations(story.view, moment, operands.get(moment.number, [])) for moment in story.moments]
    assert said[1:4] == [["z₂ = A B"], ["h = tanh z₂"], ["v₄ = Σᵢ hᵢ"]]
    assert said[-3:-1] == [
        ["z\u0304₂ = h\u0304 (1 − h²)"],
        ["A\u0304 = z\u0304₂ Bᵀ".replace("A\u0304", "Ā"), "B\u0304 = Aᵀ z\u0304₂"],
    ]


# -- In the browser


@pytest.fixture
def opened(tabs: Tabs, tmp_path: Path) -> Iterator[Any]:
    with tabs.watched() as open_page:

        def open_(result: Any, operation: str, width: int = 1280, phase: str = "forward", **preferences: Any) -> Any:
            address = explore(result, tmp_path / "page.html").as_uri()
            tab = open_page(address, width, reduced_motion="reduce", **preferences)
            tab.evaluate("""([operation, phase]) => go(Array.from({ length: moments.length }, (_, i) => i).find(
                i => moments[i].phase === phase && nodes[moments[i].node].operation === operation))""",
                [operation, phase])  # fmt: skip
            return tab

        yield open_


def marked(tab: Any, name: str) -> list[tuple[int, int]]:
    """Rows and columns of the outlined cells of a map."""
    frame = tab.locator(f".named-map:has(h4:text-is('{name}')) .heat-frame")
    return [tuple(place) for place in frame.evaluate("""frame => {
        const { width, height } = frame.querySelector('canvas');
        return [...frame.querySelectorAll('.heat-mark')].map(m => [
            Math.round(parseFloat(m.style.top) * height / 100), Math.round(parseFloat(m.style.left) * width / 100)]);
    }""")]  # fmt: skip


def test_a_kernel_moves_over_its_patch(opened: Any) -> None:
    image, kernel = Tensor(RNG.normal(size=(1, 1, 5, 4)), name="image"), Tensor(RNG.normal(size=(1, 1, 3, 2)))
    out = nn.functional.conv2d(image, kernel, stride=2, padding=1)
    out.name = "out"
    tab = opened(out, "conv")
    walk = tab.locator(".picture label input").first
    for flat, number in enumerate(out.data.ravel()):
        walk.fill(str(flat))
        rows, columns = zip(*marked(tab, "image"), strict=True)
        patch = {(r, c): image.data[0, 0, r, c] for r, c in zip(rows, columns, strict=True)}
        i, j = divmod(flat, out.shape[-1])
        total = sum(kernel.data[0, 0, r - 2 * i + 1, c - 2 * j + 1] * v for (r, c), v in patch.items())
        np.testing.assert_allclose(total, number)
        said = tab.locator(".picture output.picture-said").inner_text()
        assert said.endswith("= " + short_number(number).replace("-", "−"))
        assert marked(tab, "out") == [(i, j)]


def test_a_product_is_a_row_times_a_column(opened: Any) -> None:
    out = A @ B
    out.name = "out"
    tab = opened(out, "matmul")
    tab.locator(".picture label input").first.fill("3")
    assert marked(tab, "A") == [(1, k) for k in range(4)]
    assert marked(tab, "B") == [(k, 1) for k in range(4)]
    tab.locator(".named-map:has(h4:text-is('out')) canvas").focus()
    tab.keyboard.press("End")
    assert marked(tab, "A") == [(2, k) for k in range(4)]


@pytest.mark.parametrize(("result", "kind"), KINDS, ids=[f"{i}-{kind}" for i, (_, kind) in enumerate(KINDS)])
def test_every_picture_is_drawn(opened: Any, result: Any, kind: str) -> None:
    view = GraphView(result)
    tab = opened(result, view[view.outputs[0]].operation)
    pictures, drawn, over = tab.evaluate("""() => {
        const count = selector => document.querySelectorAll(selector).length, panel = document.querySelector("#panel");
        return [count("#detail .picture"), count("#detail .picture svg, #detail .picture canvas"),
            panel.scrollWidth - panel.clientWidth];
    }""")
    assert pictures == 1
    assert drawn >= 1
    assert over <= 0


EXTREME = [
    np.linspace(1, 1.000001, 4), np.full(4, 1.7e308), np.array([1.7976931348623157e308, -1.7976931348623157e308, 0, 1]),
    np.array([1e-30, 2e-30, -1e-30, 0]), np.array([5e-324, 0, 1e-310, -5e-324]), np.zeros(4), np.full(4, np.nan),
    np.array([np.inf, 1.0, -np.inf, np.nan]), np.array([3.4e38, 1e-45, 0, 1], dtype=np.float32),
]  # fmt: skip


@pytest.mark.parametrize("values", EXTREME, ids=[f"{x[0]:.8g} to {x[1]:.8g}" for x in EXTREME])
def test_a_picture_of_any_numbers_is_drawn(opened: Any, values: Any) -> None:
    x = Tensor(values[None], name="x")
    with np.errstate(all="ignore"):
        parts = [np.sin(x), x * 1.0, 1.0 / x, softmax(x), nn.functional.layer_norm(x, (4,)), x.sum()]
        tab = opened(np.stack([part.sum() for part in parts]).sum(), "sin")
    tab.evaluate("for (let k = 0; k < moments.length; k++) go(k)")  # an error in it would end the test
    drawn = """kind => {
        choose(Array.from(nodes).findIndex(node => node.operation === kind));
        const places = [...document.querySelectorAll("#detail svg *")].flatMap(part => [...part.attributes]);
        return places.filter(({ name, value }) => name !== "aria-label" && /NaN|Infinity|null/.test(value)).length;
    }"""
    assert tab.evaluate(f"kinds => kinds.map({drawn})", ["sin", "divide", "softmax", "standardize", "sum"]) == [0] * 5


def test_every_number_of_a_step_is_inside_the_picture_of_its_curve(opened: Any) -> None:
    tab = opened((1.0 / Tensor([-1.0, 0.001, 1.0, 0.4], name="x")).sum(), "divide")
    dots = tab.locator("#detail .chart circle").evaluate_all("found => found.map(dot => dot.getAttribute('cy'))")
    assert len(dots) == 4
    assert all(0 < float(height) < 170 for height in dots)


def test_heat_maps_tell_index_and_value_share_a_scale_and_fit(opened: Any) -> None:
    tall, deep = Tensor(RNG.normal(size=(40, 4)), name="tall"), Tensor(RNG.normal(size=(2, 3, 5, 6)), name="deep")
    out = (tall.sum() * deep).sum()
    tab = opened(out, "multiply", phase="backward")
    tab.evaluate("choose(nodes.findIndex(node => node.named === 'tall'))")
    maps = tab.locator("#detail > section:not(.picture) canvas.heat")
    box = maps.first.bounding_box()
    assert box["height"] <= 260
    assert box["width"] >= 20
    tab.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 10.5 / 40)
    said = tab.locator("#detail .heat-said").first
    assert said.inner_text() == f"[10, 2] = {short_number(tall.data[10, 2])}".replace("-", "−")
    maps.first.focus()
    tab.keyboard.press("Home")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("ArrowRight")
    step = tab.locator("#count").inner_text()
    assert said.inner_text() == f"[1, 1] = {short_number(tall.data[1, 1])}".replace("-", "−")
    assert tab.locator("#count").inner_text() == step  # the keys did not step on
    tab.evaluate("choose(nodes.findIndex(node => node.named === 'deep'))")
    scale = tab.locator("#detail .scale").inner_text()
    assert tab.locator("#detail .scale").count() == 1
    largest = short_number(np.abs(deep.data).max())
    assert (
        f"Blue is negative, white is 0, orange is positive; the full colour is ±{largest} in all maps of values"
        in scale
    )
    sliders = tab.locator("#detail .heat-axis input")
    sliders.nth(0).fill("1")
    sliders.nth(1).fill("2")
    maps.first.focus()
    tab.keyboard.press("End")
    assert said.inner_text() == f"[1, 2, 4, 5] = {short_number(deep.data[1, 2, 4, 5])}".replace("-", "−")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_pictures_have_no_serious_fault_for_those_who_cannot_see_or_point(opened: Any, width: int, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    net = nn.Sequential(nn.Conv2d(1, 2, 3, rng=0), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3, rng=1))
    images = RNG.normal(size=(2, 1, 5, 5))
    tab = opened((softmax(net(images)) ** 2).sum(), "conv", width, color_scheme=scheme)
    for operation in ("conv", "standardize", "softmax"):
        tab.evaluate(
            "name => go(1 + Array.from(nodes).filter(n => n.operation).findIndex(n => n.operation === name))", operation
        )
        found = Axe().run(tab).response["violations"]
        assert not [v["id"] for v in found if v["impact"] in ("serious", "critical")], operation
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
