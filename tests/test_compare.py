"""Comparison of three roads to a gradient: right gradients pass, wrong ones are found, and the report says why."""

import json
import re
import runpy
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.more_activations import FURTHER
from tests.wrong_backward import (
    DEEP,
    HELD_OUT,
    SIGMOIDS,
    TABLE,
    Mistake,
    Student,
    hidden_at,
    loss_slope,
    mistakes,
    through,
)
from tinygrad_nn import BackProp, Layer, Regularization, Solver, assert_gradients_match, compare_gradients
from tinygrad_nn.common.printable import printable
from tinygrad_nn.compare import ComparisonReport
from tinygrad_nn.compare.layers import equations
from tinygrad_nn.compare.page import mathml
from tinygrad_nn.files import POLICY
from tinygrad_nn.graph.equations import unicode_math
from tinygrad_nn.ops.neural import affine
from tinygrad_nn.primitive import REGISTRY

ACTIVATIONS = ("sigmoid", "softmax", "tanh", "linear", "relu", "leaky_relu", "leaky_relu(0.2)")
LOSSES = ("mae", "mse", "rmse", "binarycrossentropy", "crossentropy")
Array = Any


def changed(edit: Any) -> Any:
    """BackProp with something done to its results."""

    def manual(model: Any, data_cache: Any, data_out: Any, *, solver: Solver) -> Any:
        loss, dW, db = BackProp(model, data_cache, data_out, solver=solver)
        return edit(loss, [g.copy() for g in dW], [g.copy() for g in db])

    return manual


# -- The set of wrong backward passes


@pytest.mark.parametrize("mistake", [*mistakes(TABLE), *mistakes(HELD_OUT)], ids=lambda m: m.label)
def test_a_mistake_is_named(mistake: Mistake) -> None:
    model, x, y, solver = mistake.setting.build(mistake.seed)
    report = compare_gradients(model, x, y, solver=solver, manual=mistake.make(mistake.at))
    assert not report.ok
    assert report.kinds == (mistake.kind,)
    if mistake.kind not in ("nondeterministic", "inplace_overwrite"):  # these speak of all, and of an array
        assert report.first_wrong == f"layer {mistake.at % len(model) + 1}"


def test_the_set_is_large_and_has_every_kind_of_a_network() -> None:
    kinds = {m.kind for m in (*mistakes(TABLE), *mistakes(HELD_OUT))}
    assert len([*mistakes(TABLE), *mistakes(HELD_OUT)]) >= 120
    elsewhere = {"edit", "kink", "convention", "rounding", "blind_test", "wrong_shape"}  # tested below
    from tinygrad_nn.compare import KINDS
    from tinygrad_nn.compare.diagnosis import OPERATIONS

    assert kinds == set(KINDS) - elsewhere - set(OPERATIONS)  # those of operations: tests/test_kinds.py


class ThreeAtOnce(Student):
    """Minus and a sum at the output, no sum of db in the middle, no derivative at the first layer."""

    def output(self, k: int) -> Array:
        return -super().output(k) * self.N

    def hidden(self, k: int, delta: Array) -> Array:
        return delta @ self.W(k + 1) if k == 0 else super().hidden(k, delta)

    def biases(self, k: int, delta: Array) -> Array:
        return delta if k == 1 else delta.sum(axis=0)


def test_mistakes_in_different_layers_are_all_found_nearest_the_loss_first() -> None:
    model, x, y, solver = DEEP.build(0)
    report = compare_gradients(model, x, y, solver=solver, manual=ThreeAtOnce())
    assert [(d.kind, d.where) for d in report.diagnoses] == [
        ("scale", "layer 3 delta"), ("broadcast_not_summed", "layer 2 b"),
        ("missing_activation_derivative", "layer 1 delta"),
    ]  # fmt: skip
    assert report.diagnoses[0].factor == "-N"
    assert report.first_wrong == "layer 3"


def test_a_mistake_that_zero_biases_hide_is_found() -> None:
    model = [Layer(4, 6, "tanh", rng=0), Layer(6, 3, "softmax", rng=1)]
    x, y = np.random.default_rng(0).normal(size=(5, 4)), np.eye(3)[[0, 1, 2, 0, 1]]

    def manual(model: Any, data_cache: Any, data_out: Any, *, solver: Solver) -> Any:
        loss, dW, db = BackProp(model, data_cache, data_out, solver=solver)
        return loss, dW, [g + 0.1 * layer.b.data for g, layer in zip(db, model, strict=True)]

    solver = Solver("crossentropy", regularization=Regularization("l2", 0.1))
    report = compare_gradients(model, x, y, solver=solver, manual=manual)
    assert not report.ok
    assert report.kinds == ("extra_penalty",)
    assert "does not show" in str(report).replace("\n     ", " ")


# -- No false alarm


def random_case(seed: int) -> tuple[list[Layer], Array, Array, Solver]:
    """A network of any kind, saturated, tiny or plain, in float64 or float32."""
    rng = np.random.default_rng(seed)
    widths = [int(n) for n in rng.integers(1, 8, rng.integers(2, 6))]
    names = [ACTIVATIONS[seed % 7], *(ACTIVATIONS[i] for i in rng.integers(0, 7, len(widths)))][: len(widths) - 1]
    loss = LOSSES[seed % 5]
    if loss.endswith("py"):
        names[-1] = ("sigmoid", "softmax")[seed // 5 % 2]
        widths[-1] = max(2, widths[-1])
    rows, scale = int(rng.integers(1, 12)), (1e-6, 1e-3, 1.0, 10.0, 100.0)[seed // 3 % 5]
    dtype = (np.float64, np.float32)[seed % 2]
    model = [Layer(n, m, f, rng=rng, dtype=dtype) for n, m, f in zip(widths, widths[1:], names, strict=False)]
    for layer in model:
        layer.W = layer.W.data * scale
        layer.b = rng.normal(0, 0.1 * scale, layer.n_out) * rng.integers(0, 2)
    x, n = rng.normal(size=(rows, widths[0])), widths[-1]
    y = np.eye(n)[rng.integers(0, n, rows)] if loss.endswith("py") else rng.normal(size=(rows, n))
    reg = Regularization(("none", "l1", "l2", "elasticnet")[seed % 4], 0.1, 0.3, (0.0, 0.4)[seed // 2 % 2])
    return model, x, y, Solver(loss, regularization=reg)


@pytest.mark.parametrize("part", range(10))
def test_right_gradients_raise_no_alarm(part: int) -> None:
    for seed in range(20 * part, 20 * part + 20):
        model, x, y, solver = random_case(seed)
        report = compare_gradients(model, x, y, solver=solver, rng=seed)
        assert report.ok, (seed, str(report))
        assert not report.diagnoses, (seed, str(report))


@pytest.mark.parametrize("name", FURTHER)
def test_right_gradients_with_one_more_activation_raise_no_alarm(name: str) -> None:
    rng = np.random.default_rng(3)
    for hidden, output, scale in ((name, "linear", 1.0), ("tanh", name, 1.0), (name, "sigmoid", 100.0)):
        model = [Layer(3, 5, hidden, rng=1), Layer(5, 2, output, rng=2)]
        for layer in model:
            layer.W = layer.W.data * scale
        report = compare_gradients(model, rng.normal(size=(6, 3)), rng.uniform(size=(6, 2)), solver=Solver("mse"))
        assert report.ok, str(report)
        assert not report.diagnoses, str(report)


@pytest.mark.parametrize("name", FURTHER)
def test_a_forgotten_derivative_of_one_more_activation_is_named_with_its_equation(name: str) -> None:
    model = [Layer(3, 5, name, rng=1), Layer(5, 2, "linear", rng=2)]
    model[0].W = model[0].W.data * 2
    rng = np.random.default_rng(3)
    x, y, solver = rng.normal(size=(6, 3)), rng.uniform(size=(6, 2)), Solver("mse")

    def manual(model: Any, data_cache: Any, data_out: Any, *, solver: Solver) -> Any:
        loss, dW, db = BackProp(model, data_cache, data_out, solver=solver)
        delta = 2 * (data_cache.a[-1] - data_out) / len(data_out) @ model[1].W.data
        return loss, [delta.T @ data_cache.x, dW[1]], [delta.sum(axis=0), db[1]]

    report = compare_gradients(model, x, y, solver=solver, manual=manual)
    assert report.kinds == ("missing_activation_derivative",)
    number = equations.ACTIVATION.get(name, equations.ACTIVATION[name.partition("(")[0]])
    assert f"right: ({number}) {unicode_math(equations.EQUATIONS[number])[:20]}" in " ".join(str(report).split())


def test_a_code_written_for_this_batch_only_is_right_for_this_batch() -> None:
    model, x, y, solver = DEEP.build(1)
    right = compare_gradients(model, x, y, solver=solver)
    from tinygrad_nn import FeedForward

    fixed = BackProp(model, FeedForward(model, x), y, solver=solver)
    report = compare_gradients(model, x, y, solver=solver, manual=lambda *_, **__: fixed)
    assert right.ok
    assert report.ok
    assert not report.diagnoses


# -- Small errors, large networks


def test_one_entry_of_ten_thousand_off_by_a_thousandth_is_found() -> None:
    for dtype in (np.float64, np.float32):
        model = [Layer(100, 100, "tanh", rng=0, dtype=dtype), Layer(100, 3, "softmax", rng=2, dtype=dtype)]
        rng = np.random.default_rng(1)
        x, y = rng.random((16, 100)), np.eye(3)[rng.integers(0, 3, 16)]

        def edit(loss: float, dW: list[Array], db: list[Array]) -> Any:
            if dW[0].shape == (100, 100):
                dW[0][37, 11] *= 1.001
            return loss, dW, db

        report = compare_gradients(model, x, y, solver=Solver("crossentropy"), manual=changed(edit))
        row = report.rows[0]
        assert not report.ok
        assert (row.worst, row.odd) == ((37, 11), "manual")
        assert row.wrong == 1e-4
        assert row.manual == pytest.approx(1.001 * row.numerical, rel=1e-5)


@pytest.mark.slow
def test_of_a_large_perceptron_few_entries_are_checked() -> None:
    model = [Layer(784, 256, "relu", rng=0), Layer(256, 128, "relu", rng=1), Layer(128, 10, "softmax", rng=2)]
    rng = np.random.default_rng(0)
    x, y = rng.random((64, 784)), np.eye(10)[rng.integers(0, 10, 64)]
    for manual, ok in ((BackProp, True), (changed(lambda loss, dW, db: (loss, [2 * g for g in dW], db)), False)):
        report = compare_gradients(model, x, y, solver=Solver("crossentropy"), manual=manual)
        assert report.ok is ok
        assert report.checked < 400


# -- Harmless differences, and sentences


def test_a_kink_is_a_convention() -> None:
    model = [Layer(3, 4, "relu", rng=0), Layer(4, 2, "linear", rng=1)]
    x = np.random.default_rng(0).normal(size=(5, 3))
    x[1] = 0
    ones = hidden_at(lambda s, k, d: (d @ s.W(k + 1)) * (s.z[k] >= 0))(0)
    report = compare_gradients(model, x, np.ones((5, 2)), solver=Solver("mse"), manual=ones)
    assert report.ok
    assert report.kinds == ("kink",)
    assert "Neither is wrong" in report.diagnoses[0].text
    plain = compare_gradients(model, x, np.ones((5, 2)), solver=Solver("mse"))
    assert plain.ok
    assert not plain.diagnoses
    assert "exactly 0 at 4 of 20 places" in plain.notes[0]


def test_sum_against_mean_is_a_convention_only_if_the_loss_agrees() -> None:
    model, x, y, solver = DEEP.build(0)
    both = changed(lambda loss, dW, db: (6 * loss, [6 * g for g in dW], [6 * g for g in db]))
    one = changed(lambda loss, dW, db: (loss, [6 * g for g in dW], [6 * g for g in db]))
    assert compare_gradients(model, x, y, solver=solver, manual=both).kinds == ("convention",)
    report = compare_gradients(model, x, y, solver=solver, manual=one)
    assert not report.ok
    assert report.kinds == ("scale",)


def test_float32_inside_float64_is_rounding() -> None:
    model, x, y, solver = DEEP.build(0)
    single = changed(lambda loss, *both: (loss, *([g.astype(np.float32) for g in part] for part in both)))
    report = compare_gradients(model, x, y, solver=solver, manual=single)
    assert report.ok
    assert report.kinds == ("rounding",)
    double = changed(lambda loss, *both: (loss, *([g * (1 + 1e-6) for g in part] for part in both)))
    assert not compare_gradients(model, x, y, solver=solver, manual=double).ok


def test_a_kept_axis_is_said() -> None:
    model, x, y, solver = DEEP.build(0)
    kept = changed(lambda loss, dW, db: (loss, dW, [g[None] for g in db]))
    report = compare_gradients(model, x, y, solver=solver, manual=kept)
    assert report.ok
    assert report.kinds == ("convention",)


def test_dropout_independence_and_nan_get_their_sentences() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 4)), np.eye(3)[[0, 1, 2, 0, 1]]
    dropped = Solver("crossentropy", regularization=Regularization(dropout=0.5))
    model = [Layer(4, 6, "relu", rng=0), Layer(6, 3, "softmax", rng=1)]
    assert "One mask was drawn" in str(compare_gradients(model, x, y, solver=dropped))
    model[0].b = np.full(6, -100.0)
    dead = compare_gradients(model, x, y, solver=Solver("crossentropy"))
    assert dead.ok
    assert "does not depend on layer 1 W" in " ".join(dead.notes)
    no_loss = compare_gradients([Layer(4, 3, "tanh", rng=0)], x, y, solver=Solver("crossentropy"))
    assert not no_loss.ok
    assert "takes the logarithm" in no_loss.diagnoses[0].text

    def spoil(loss: float, dW: list[Array], db: list[Array]) -> Any:
        dW[0][0, 0] = np.nan
        return loss, dW, db

    nan = compare_gradients(*SIGMOIDS.build(0)[:3], solver=Solver("mse"), manual=changed(spoil))
    assert not nan.ok
    assert "NaN and infinity come from" in nan.diagnoses[0].text


def test_the_graph_can_be_the_odd_one_out(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = affine.vjps
    wrong = (rules[0], lambda *args: 1.1 * rules[1](*args), rules[2])
    monkeypatch.setattr(affine, "vjps", wrong)
    model, x, y, solver = DEEP.build(0)
    report = compare_gradients(model, x, y, solver=solver)
    assert not report.ok
    assert {row.odd for row in report.rows if not row.ok} == {"graph"}
    assert "the graph is the odd one out" in str(report).replace("\n   ", " ")


def test_what_manual_returns_is_checked() -> None:
    model, x, y, solver = DEEP.build(0)
    for wrong in (None, (1.0, []), (1.0, [np.ones(1)], [np.ones(1)])):
        with pytest.raises(TypeError, match=r"it must return \(loss, dW, db\)"):
            compare_gradients(model, x, y, solver=solver, manual=lambda *_, wrong=wrong, **__: wrong)
    with pytest.raises(TypeError, match="needs a Solver"):
        compare_gradients(model, x, y)


# -- The report


def test_the_table_fits_80_columns_and_the_page_stands_alone(tmp_path: Path) -> None:
    model, x, y, solver = DEEP.build(0)
    report = compare_gradients(model, x, y, solver=solver, manual=ThreeAtOnce())
    assert max(map(len, str(report).splitlines())) <= 80
    page = report.to_html(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page
    assert "<math" in page
    assert page.count("data:image/png;base64,") >= 7
    assert not re.search(r"<script|(?:src|href)=.(?!data:)", page)
    assert report._repr_html_() in page
    found = json.loads(report.to_json())
    assert found["first_wrong"] == "layer 3"
    assert [d["kind"] for d in found["diagnoses"]] == list(report.kinds)


HOSTILE = "</title></style><img src=x onerror=alert(1)><script>alert(2)</script>\x1b[31m"


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> ComparisonReport:
    """A wrong gradient of a function whose name, arguments and TeX would like to be a page of their own."""
    monkeypatch.setattr(REGISTRY["sin"], "rule_tex", (r"\text{<script>alert(1)</script>}",))

    def f(**inputs: Array) -> Array:
        return sum(np.sin(x).sum() for x in inputs.values())

    f.__name__ = HOSTILE
    inputs = {HOSTILE: np.ones((3, 2)), "b": np.zeros(3)}
    return compare_gradients(f, inputs, manual={name: -2 * np.cos(x) for name, x in inputs.items()})


def test_text_from_the_user_is_escaped(hostile: ComparisonReport) -> None:
    page = hostile.to_html()
    assert not re.search("<(?:script|img src=x)", page)
    assert "&lt;script&gt;" in page
    assert "<mtext onclick" not in mathml(r"\text{<mtext onclick='alert(1)'>x</mtext>}")
    assert "\x1b" not in page
    assert "\x1b" not in str(hostile)


def test_the_page_forbids_scripts_and_a_browser_shows_all_of_it(
    browser: Any, hostile: ComparisonReport, tmp_path: Path
) -> None:
    model, x, y, solver = DEEP.build(0)
    plain = compare_gradients(model, x, y, solver=solver, manual=ThreeAtOnce())
    said: list[str] = []
    context = browser.new_context()
    tab = context.new_page()
    tab.on("console", lambda message: said.append(message.text))  # a violation of the policy is said there
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("dialog", lambda dialog: said.append("a dialog") or dialog.dismiss())
    tab.on("request", lambda r: said.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
    for report in (plain, hostile):
        page = report.to_html(tmp_path / "report.html")
        assert f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">' in page
        tab.goto((tmp_path / "report.html").as_uri())
        assert tab.locator("h1").inner_text() == " ".join(printable(report.title).split())
        for table in tab.locator("table").all():
            heads, cells = table.locator("th").all(), table.locator("tbody tr").first.locator("td").all()
            aligned = "cell => getComputedStyle(cell).textAlign"
            assert [th.evaluate(aligned) for th in heads] == [td.evaluate(aligned) for td in cells], "heads and cells"
        assert tab.locator("math").count() == page.count("<math")
        assert tab.locator("img").evaluate_all("found => found.every(i => i.naturalWidth > 0)")
        assert tab.locator(".card").first.evaluate("card => getComputedStyle(card).borderLeftWidth") == "4px"
        assert not said
    tab.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=data:x onerror=document.title=1>')")
    end = time.monotonic() + 20
    while not any("Content Security Policy" in text for text in said):  # so that the silence above says something
        assert time.monotonic() < end, said
        tab.wait_for_timeout(20)
    assert tab.title() != "1"
    context.close()


def test_every_rule_of_the_package_is_shown_as_mathematics() -> None:
    texts = {tex for primitive in REGISTRY.values() for tex in primitive.rule_tex if tex}
    assert not [tex for tex in (*texts, *equations.EQUATIONS.values()) if "<code" in mathml(tex)]


def test_the_example_names_twelve_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(Path(__file__).parents[1] / "examples" / "find_the_bug.py"))
    said = capsys.readouterr().out
    assert said.startswith("without a mistake: The gradient is right")
    assert re.findall(r"^   layer [\w ]+: (\w+)\.", said, flags=re.MULTILINE) == [
        "scale", "sign", "wrong_loss_gradient", "missing_activation_derivative", "activation_derivative_at_wrong_value",
        "transpose", "wrong_layer_input", "broadcast_not_summed", "overwritten_not_accumulated", "missing_penalty",
        "extra_penalty", "dropout_mask_missing",
    ]  # fmt: skip


def test_assert_fails_with_the_table() -> None:
    model, x, y, solver = DEEP.build(0)
    assert assert_gradients_match(model, x, y, solver=solver).ok
    with pytest.raises(AssertionError, match=r"layer 1 W .*\n(?s:.*)missing_activation_derivative"):
        assert_gradients_match(model, x, y, solver=solver, manual=ThreeAtOnce())


def test_equations_are_those_of_the_docs() -> None:
    pages = (Path(__file__).parents[1] / "docs" / name for name in ("backprop.md", "backprop_layers.md"))
    docs = "".join(page.read_text(encoding="utf-8") for page in pages)
    written = {number: "".join(tex.split()) for tex, number in re.findall(r"\$\$(.+?)\\tag\{([BF]\d+)\}\$\$", docs)}
    assert {key: "".join(tex.split()) for key, tex in equations.EQUATIONS.items()}.items() <= written.items()


def test_the_students_own_backward_is_right() -> None:
    """So that each mistake in the set is the only one."""
    for setting in {m.setting for m in (*mistakes(TABLE), *mistakes(HELD_OUT))}:
        model, x, y, solver = setting.build(3)
        report = compare_gradients(model, x, y, solver=solver, manual=Student())
        assert report.ok, str(report)
    assert through("linear", loss_slope("mse", np.ones((1, 1)), np.zeros((1, 1))), np.zeros((1, 1))) == 2
