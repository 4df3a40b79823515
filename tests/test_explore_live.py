"""The served explorer in a real browser: numbers are changed by hand, the function runs again, nothing is lost."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.tabs import Tabs, until
from tinygrad_nn import Tensor, nn, relu
from tinygrad_nn.graph import short_number
from tinygrad_nn.viz import explore

EVIL = "</script><img src=x onerror=alert(1)>"


def f(x: Any, w: Any, target: Any) -> Any:
    h = np.tanh(x @ w)
    y = relu(h.sum())
    if y > 0.5:
        y = y * 2.0
    return (y - target) ** 2


X, W = np.array([[0.5, -0.2]]), np.array([[1.0, 2.0, 0.3], [0.5, 0.1, -0.3]])


def value(x: Any = X, w: Any = W, target: float = 0.2, act: Any = np.tanh) -> str:
    s = max(act(x @ w).sum(), 0)
    return short_number(float((s * (2 if s > 0.5 else 1) - target) ** 2))


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with explore(f, X, W, 0.2, serve=True, open_browser=False, title=EVIL) as running:
        yield running


@pytest.fixture
def tab(tabs: Tabs, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A tab in which nothing may go wrong, and which may ask this machine alone."""
    refused = "the server responded with a status of 400"  # wrong input of the user
    with tabs.watched(("http://127.0.0.1:", "data:"), refused) as opened:
        yield opened(**getattr(request, "param", {}))


def choose(tab: Any, name: str) -> None:
    tab.locator(f"#nodes g[aria-label^='{name},']").focus()
    tab.keyboard.press("Enter")
    until(tab, f"document.querySelector('#touch h2')?.textContent === {json.dumps('Change ' + name)}")


def result(tab: Any) -> str:
    """Return what stands on the last node now."""
    text = tab.locator("#nodes g.output .value").text_content()
    return str(text.split("→")[-1].strip().replace("\u2212", "-"))


def settled(tab: Any, changes: int) -> None:
    until(tab, f"touch.live.undo === {changes} && !touch.busy && touch.settled === touch.live.version")


def test_numbers_operations_and_branches_change_and_come_back(tab: Any, server: Any) -> None:
    tab.goto(server.url)
    tab.locator("#last").click()
    assert result(tab) == value()
    assert tab.locator("#undo").is_disabled()
    choose(tab, "x")
    fields = tab.locator("#touch input[type=text]")
    assert fields.evaluate_all("list => list.map(field => field.value)") == ["0.5", "\u22120.2"]
    fields.nth(1).fill("0.9")
    fields.nth(1).press("Enter")
    settled(tab, 1)
    x = np.array([[0.5, 0.9]])
    assert result(tab) == value(x)
    assert tab.locator("#nodes g.output .value").text_content() == f"{value()} → {value(x)}"
    assert "x[0, 1]: \u22120.2 → 0.9" in tab.locator("#changes-said").inner_text()
    sides = tab.locator("#detail .pair").first
    assert [side.split() for side in sides.locator("table").all_inner_texts()] == [["0.5", "\u22120.2"], ["0.5", "0.9"]]
    choose(tab, "h")
    tab.locator("#operation").select_option("sin")
    settled(tab, 2)
    assert result(tab) == value(x, act=np.sin)
    choose(tab, "target")
    tab.locator("#touch input[type=text]").fill("1e1")
    tab.keyboard.press("Enter")
    settled(tab, 3)
    assert result(tab) == value(x, target=10.0, act=np.sin)
    for left in (2, 1, 0):
        tab.keyboard.press("Control+z")
        settled(tab, left)
    assert result(tab) == value()
    assert tab.locator("#nodes .was").count() == 0
    tab.keyboard.press("Control+Shift+z")
    settled(tab, 1)
    assert result(tab) == value(x)
    tab.locator("#pair").uncheck()
    assert tab.locator("#nodes .was").count() == 0
    tab.locator("#reset").click()
    settled(tab, 0)
    assert result(tab) == value()


def test_another_branch_is_another_graph_and_a_held_value_stops_the_gradient(tab: Any, server: Any) -> None:
    tab.goto(server.url)
    tab.locator("#last").click()
    before = tab.locator("#nodes > g").count()
    choose(tab, "x")
    tab.locator("#touch input[type=text]").first.fill("0.1")
    with tab.expect_navigation():  # the page of the new graph
        tab.keyboard.press("Enter")
    settled(tab, 1)
    assert tab.locator("#nodes > g").count() == before - 2
    assert result(tab) == value(np.array([[0.1, -0.2]]))
    tab.locator("#undo").click()
    until(tab, f"document.querySelectorAll('#nodes > g').length === {before}")
    choose(tab, "relu #6")
    tab.locator("#touch input[type=text]").fill("3")
    tab.keyboard.press("Enter")
    settled(tab, 1)
    assert result(tab) == short_number((3 * 2 - 0.2) ** 2)
    gradient = tab.locator("#nodes g[aria-label^='x,'] .gradient").text_content()
    assert gradient.split("→")[-1].strip() == "[[0, 0]]"


def test_classes_that_are_no_node_have_a_button(tab: Any) -> None:
    def loss(x: Any, labels: Any) -> Any:
        return nn.functional.cross_entropy(np.tanh(x), labels)

    x = np.array([[0.5, -0.2], [0.1, 0.9]])
    said = lambda *labels: short_number(float(nn.functional.cross_entropy(np.tanh(Tensor(x)), np.array(labels)).data))
    with explore(loss, x, np.array([0, 1]), serve=True, open_browser=False) as running:
        tab.goto(running.url)
        tab.locator("#last").click()
        assert result(tab) == said(0, 1)
        button = tab.get_by_role("button", name="labels")
        button.focus()
        tab.keyboard.press("Enter")
        field = tab.get_by_role("textbox", name="labels[1]")
        field.fill("0")
        field.press("Enter")
        settled(tab, 1)
        assert result(tab) == said(0, 0)
        field.fill("2")
        field.press("Enter")
        tab.get_by_text("Not changed: ").wait_for()
        choose(tab, "x")
        assert tab.get_by_role("button", name="labels").count() == 0
        tab.locator("#follow").click()
        tab.get_by_role("button", name="labels").wait_for()
        violations = Axe().run(tab).response["violations"]
        assert not [one["id"] for one in violations if one["impact"] in ("serious", "critical")]


PHONE = {"width": 390, "height": 844, "reduced_motion": "reduce"}


@pytest.mark.parametrize("tab", [PHONE], indirect=True)
def test_a_changed_node_stays_in_view_on_a_phone(tab: Any) -> None:
    def cost(price: Any, weight: Any, offset: Any, goal: Any) -> Any:
        score = np.tanh(price @ weight + offset)
        return ((score - goal) ** 2).mean()

    def inside() -> bool:
        stage, node = (tab.locator(part).bounding_box() for part in ("#graph", "#nodes g[aria-label^='score,']"))
        middle = node["y"] + node["height"] / 2
        return bool(0 < node["x"] < 390 and stage["y"] < middle < stage["y"] + stage["height"])

    given = np.ones((2, 3)), np.ones((3, 2)), np.zeros(2), np.ones((2, 2))
    with explore(cost, *given, serve=True, open_browser=False) as running:
        tab.goto(running.url)
        choose(tab, "score")
        assert inside()
        for k, name in enumerate(("relu", "softplus")):
            tab.locator("#operation").select_option(name)
            settled(tab, k + 1)
            tab.wait_for_timeout(50)
            assert inside()


def test_a_slider_moves_a_number_and_is_one_change(tab: Any, server: Any) -> None:
    tab.goto(server.url)
    tab.locator("#last").click()
    choose(tab, "target")
    tab.locator("#touch input[type=range]").focus()
    for _ in range(3):
        tab.keyboard.press("ArrowRight")
    settled(tab, 1)
    shown = tab.locator("#touch input[type=text]").input_value()
    assert result(tab) == value(target=float(shown))
    assert float(shown) > 0.2


def test_the_end_of_a_long_number_is_seen(tab: Any) -> None:
    small = np.array([[1.2345678901234567e-100, 2.0], [3.0, -4.0]])
    with explore(lambda x: (x * x).sum(), small, serve=True, open_browser=False) as server:
        tab.goto(server.url)
        choose(tab, "x")
        fields = tab.locator("#touch input[type=text]")
        assert fields.first.input_value().endswith("e\u2212100")
        assert fields.evaluate_all("found => found.every(field => field.scrollWidth <= field.clientWidth)")


@pytest.mark.parametrize("tab", [{"fresh": True}], indirect=True, ids=["tabs"])
def test_a_reload_loses_nothing_and_each_tab_has_its_own(tab: Any, server: Any) -> None:
    tab.goto(server.url)
    tab.locator("#last").click()
    choose(tab, "target")
    tab.locator("#touch input[type=text]").fill("5")
    tab.keyboard.press("Enter")
    settled(tab, 1)
    others = [tab.context.new_page() for _ in range(4)]
    for other in others:
        other.goto(server.url)
        other.locator("#last").click()
        assert result(other) == value()
    for _ in range(10):
        tab.reload()
        assert result(tab) == value(target=5.0)
        assert tab.locator("#touch h2").inner_text() == "Change target"
        assert tab.locator("#count").inner_text().split(" / ")[0] == tab.locator("#count").inner_text().split(" / ")[1]
    twin = others[0]
    twin.goto(tab.url)  # the same session in two tabs: the older one is shown what the other has done
    assert result(twin) == value(target=5.0)
    choose(twin, "target")
    twin.locator("#touch input[type=text]").fill("6")
    twin.keyboard.press("Enter")
    settled(twin, 2)
    tab.locator("#touch input[type=text]").fill("7")
    with tab.expect_navigation():
        tab.keyboard.press("Enter")
    assert result(tab) == value(target=6.0)


def test_an_invalid_number_is_reported_and_changes_nothing(tab: Any, server: Any) -> None:
    tab.goto(server.url)
    tab.locator("#last").click()
    choose(tab, "x")
    tab.locator("#touch input[type=text]").first.fill("half")
    tab.keyboard.press("Enter")
    until(tab, "document.getElementById('changes-said').classList.contains('wrong')")
    assert "'half' does not fit here; write a number" in tab.locator("#changes-said").inner_text()
    assert (result(tab), tab.evaluate("touch.live.undo")) == (value(), 0)


@pytest.mark.parametrize("tab", [
    {}, {"color_scheme": "dark", "reduced_motion": "reduce"}, {"width": 390, "height": 844, "touch": True},
], indirect=True, ids=["light", "dark", "phone"])  # fmt: skip
def test_it_is_for_everyone(tab: Any, server: Any) -> None:
    tab.goto(server.url)
    tab.locator("#last").click()
    choose(tab, "h")
    tab.locator("#operation").select_option("relu")
    settled(tab, 1)
    found = Axe().run(tab, options={"resultTypes": ["violations"]})
    bad = [v["id"] for v in found.response["violations"] if v["impact"] in ("serious", "critical")]
    assert not bad, found.generate_report()
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    small = tab.evaluate("""[...document.querySelectorAll("#touch *, .changes *, #changes-said")].filter(part =>
        part.textContent && parseFloat(getComputedStyle(part).fontSize) < 11).map(part => part.outerHTML)""")
    assert not small


def ask(server: Any, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    asked = urllib.request.Request(server.url.replace("/?", f"{path}?") + "&session=direct", json.dumps(body).encode(),
                                   {"Content-Type": "application/json", **headers})  # fmt: skip
    try:
        with urllib.request.urlopen(asked) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize(("path", "body", "words"), [
    ("/change", {"node": 99, "value": 1}, "nodes 0 to"), ("/change", {"node": "0", "value": 1}, "no node 0"),
    ("/change", {"node": 0, "index": [2, 0], "value": 1}, "0 to 0, 0 to 1"),
    ("/change", {"node": 0, "index": [0], "value": 1}, "0 to 0, 0 to 1"),
    ("/change", {"node": 0, "index": [0, True], "value": 1}, "0 to 0, 0 to 1"),
    ("/change", {"node": 0, "index": [0, 0], "value": "__import__('os')"}, "does not fit here"),
    ("/change", {"node": 0, "index": [0, 0]}, "does not fit here"),
    ("/change", {"node": 3, "operation": "os.system"}, "cannot replace"),
    ("/change", {"node": 0, "operation": "relu"}, "cannot replace"),
    ("/undo", {}, "nothing to undo"), ("/redo", {}, "nothing to redo"),
    ("/numbers", {"node": -1}, "nodes 0 to"),
])  # fmt: skip
def test_invalid_requests_are_answered_with_an_error_text(server: Any, path: str, body: Any, words: str) -> None:
    status, answer = ask(server, path, {"version": 0, **body})
    assert (status, words in answer["error"]) == (400, True), answer


def test_requests_without_token_or_from_elsewhere_change_nothing(server: Any) -> None:
    change = {"node": 2, "index": [], "value": 3, "version": 0}
    assert ask(server, "/change", change, Origin="http://evil.example")[0] == 403
    assert ask(server, "/change", change, Host="evil.example")[0] == 403
    assert ask(server, "/change", change, **{"X-Token": "wrong"})[0] == 403
    assert ask(server, "/numbers", {"node": 2})[1]["number"] == "0.2"


def test_a_large_array_is_changed_at_an_index_and_a_class_number_too(tab: Any) -> None:
    big, label = np.linspace(-1, 1, 200).reshape(20, 10), np.array([3, 1])

    def g(x: Any, y: Any) -> Any:
        return (x[y] * y[:, None]).sum() + (x * Tensor(np.ones((20, 10)), requires_grad=False)).sum()

    with explore(g, big, label, serve=True, open_browser=False) as server:
        tab.goto(server.url)
        tab.locator("#last").click()
        choose(tab, "x")
        tab.locator("#index").fill("3, 4")
        tab.locator("#index").press("Enter")
        number = tab.locator("#touch .row input").nth(1)
        shown = "document.querySelectorAll('#touch .row input')[1].value.replace('\u2212', '-')"
        until(tab, f"{shown} === '{float(big[3, 4])!r}'")
        number.fill("10")
        number.press("Enter")
        settled(tab, 1)
        changed = big.copy()
        changed[3, 4] = 10
        assert result(tab) == short_number(float((changed[label] * label[:, None]).sum() + changed.sum()))


def test_a_file_has_no_server_and_a_function_writes_one_too(tmp_path: Path) -> None:
    path = explore(f, tmp_path / "page.html", X, W, 0.2)
    text = path.read_text(encoding="utf-8")
    assert path == tmp_path / "page.html"
    assert not re.search(r"connect-src|fetch\(|X-Token|EventSource", text)
    with explore(f, tmp_path / "both.html", X, W, 0.2, serve=True, open_browser=False) as server:
        assert ask(server, "/numbers", {"node": 2})[0] == 200
    assert (tmp_path / "both.html").read_text(encoding="utf-8") == text


@pytest.mark.parametrize(("call", "error", "words"), [
    (lambda: explore(Tensor(2.0) * 3, serve=True), TypeError, r"needs the function .* explore\(f, x, W, serve=True\)"),
    (lambda: explore(Tensor(2.0) * 3, "p.html", 1.0), TypeError, "arguments are for a function"),
    (lambda: explore(f, X, serve=True, open_browser=False), TypeError, "does not take these arguments"),
    (lambda: explore(lambda x: 3.0, X, serve=True, open_browser=False), TypeError, "a graph belongs to a Tensor"),
])  # fmt: skip
def test_unsuitable_arguments_of_explore_raise(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_a_function_with_new_random_numbers_each_run_is_noted() -> None:
    rng = iter(np.random.default_rng(0).normal(size=100))  # out of reach of what is put back
    with explore(lambda x: x * float(next(rng)), 2.0, serve=True, open_browser=False) as server:
        page = urllib.request.urlopen(server.url).read().decode()
    assert "different numbers each time" in page
