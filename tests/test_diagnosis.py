"""Every sentence of a diagnosis is true, right work is never blamed, and it names the place and the kind of mistake."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.sentence_checks import Watched, falsehoods
from tests.wrong_backward import (
    BIG,
    DEEP,
    HEAVY,
    HELD_OUT,
    NARROW,
    TABLE,
    WIDE,
    YESNO,
    Setting,
    Student,
    added_up,
    mistakes,
    student,
    through,
    weights_at,
)
from tinygrad_nn import BackProp, Layer, Solver, compare_gradients
from tinygrad_nn.compare.pattern import describe

Array = Any
BEHAVIOUR = ("nondeterministic", "inplace_overwrite", "accumulated_over_calls")  # these speak of calls, not of numbers


def blamed_though_right(report: Any) -> list[str]:
    """The diagnoses of arrays that are right, where others are wrong."""
    ok = {row.name: row.ok for row in report.rows}
    found = []
    for d in report.diagnoses:
        layer, part = " ".join(d.where.split()[:2]), d.where.split()[2]
        arrays = ["W", "b"] if part == "delta" or d.where.endswith("W and b") else [part]
        if all(ok[f"{layer} {name}"] for name in arrays) and not all(ok.values()):
            found.append(f"{d.where}: {d.text}")
    return found


# -- Every sentence is true


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_every_sentence_of_a_diagnosis_is_true_of_the_numbers(part: int) -> None:
    rng = np.random.default_rng(part)
    several = [m for m in (*mistakes(TABLE), *mistakes(HELD_OUT)) if m.kind not in BEHAVIOUR]
    looked = 0
    for mistake in several[part::8]:
        for _ in range(2):
            widths = rng.integers(1, 5, len(mistake.setting.widths)).tolist()
            if rng.random() < 0.3:
                widths = [widths[0]] * len(widths)
            widths[-1] = max(2, widths[-1]) if mistake.setting.loss == "crossentropy" else int(rng.integers(1, 4))
            setting = replace(mistake.setting, widths=tuple(widths), rows=int(rng.choice([1, 2, 3, 5])))
            model, x, y, solver = setting.build(int(rng.integers(1e6)))
            watched = Watched(mistake.make(mistake.at))
            try:
                with np.errstate(all="ignore"):
                    report = compare_gradients(model, x, y, solver=solver, manual=watched)
            except ValueError:  # the mistake cannot be made with these widths
                continue
            if not watched.calls or "nondeterministic" in report.kinds:
                continue
            looked += 1
            if np.isfinite(np.concatenate([g.ravel() for g in watched.calls[0].dW])).all():
                assert not falsehoods(report, watched.calls), (mistake.label, setting, str(report))
            assert not blamed_though_right(report), (mistake.label, setting, str(report))
    assert looked > 15


def test_the_check_of_sentences_rejects_false_ones() -> None:
    model, x, y, solver = DEEP.build(0)
    watched = Watched(weights_at(lambda s, k, d, g: 2 * g)(1))
    report = compare_gradients(model, x, y, solver=solver, manual=watched)
    assert not falsehoods(report, watched.calls)
    (found,) = report.diagnoses
    for text in (
        "dW is 3 times the right one.", "db is 2 times the right one.", "dW is zero, and should not be.",
        "dW has the wrong sign: it is minus the right one.", "The gradient of the penalty is not added.",
        "dW multiplies delta by the input x; it should be the output a of layer 1.", "dW looks strange.",
        "dW is 2 (here the same as N, the number of samples) times the right one.",
        "Row 1 of dW is wrong, the other 5 are right. Each wrong entry is 2 times the right one.",
    ):  # fmt: skip
        lie = replace(report, diagnoses=(replace(found, text=text),))
        assert falsehoods(lie, watched.calls), text


def test_a_returned_delta_is_checked() -> None:
    model, x, y, solver = DEEP.build(0)

    def told(model: Any, data_cache: Any, data_out: Any, *, solver: Solver) -> Any:
        right = Student()
        loss, dW, db = right(model, data_cache, data_out, solver=solver)
        return loss, dW, db, [2 * right.delta[0], right.delta[1], right.delta[2]]

    report = compare_gradients(model, x, y, solver=solver, manual=told)
    assert not report.ok
    assert [row.name for row in report.rows if not row.ok] == ["layer 1 delta"]
    assert [(d.where, d.text) for d in report.diagnoses] == [
        ("layer 1 delta", "Every entry of delta is wrong. Each entry is 2 times the right one.")
    ]


# -- What is right is not blamed


def kept_from_zero(y: Array, a: Array) -> Array:
    return y / (a + 1e-8)


LOGARITHMS = {
    "binarycrossentropy": (YESNO, lambda s, k: -(kept_from_zero(s.y, s.a[k]) - kept_from_zero(1 - s.y, 1 - s.a[k]))),
    "crossentropy": (DEEP, lambda s, k: -kept_from_zero(s.y, s.a[k])),
}


@pytest.mark.parametrize("layers", [
    ((4, 40, 3), ("relu", "softmax")), ((30, 64, 10), ("relu", "softmax")), ((4, 60, 1), ("relu", "sigmoid")),
    ((34, 30, 20), ("sigmoid", "sigmoid")), ((17, 41), ("tanh",)), ((41, 7, 30, 4), ("sigmoid", "relu", "sigmoid")),
])  # fmt: skip
@pytest.mark.parametrize("returns_delta", [False, True])
def test_right_work_of_units_that_are_saturated_raises_no_alarm(layers: Any, returns_delta: bool) -> None:
    widths, activations = layers
    last = activations[-1]
    loss = {"softmax": "crossentropy", "sigmoid": "binarycrossentropy", "tanh": "mse"}[last]
    output = (lambda s, k: (s.a[k] - s.y) / s.N) if last != "tanh" else Student.output

    def answer(model: Any, data_cache: Any, data_out: Array, *, solver: Solver) -> Any:
        right = student(output=output)(-1)
        answer = right(model, data_cache, data_out, solver=solver)
        return (*answer, [right.delta[k] for k in range(len(model))]) if returns_delta else answer

    for seed in range(10):
        rng = np.random.default_rng(seed)
        model = [Layer(n, m, f, rng=rng) for n, m, f in zip(widths, widths[1:], activations, strict=False)]
        for layer in model:
            layer.W = rng.normal(size=layer.W.shape)
        x = rng.normal(size=(widths[-2] if seed % 2 else 30, widths[0])) * [3.0, 100.0][seed % 2]
        y = rng.integers(0, 2, (len(x), widths[-1])).astype(float)
        if last == "softmax":
            y = np.eye(widths[-1])[rng.integers(0, widths[-1], len(x))]
        report = compare_gradients(model, x, y, solver=Solver(loss=loss), manual=answer)
        assert (report.ok, report.diagnoses) == (True, ()), f"{seed}: {report}"


@pytest.mark.parametrize(("factor", "ok"), [(1.0, True), (1 + 2e-6, False), (1 + 1e-5, False), (1.1, False)])
@pytest.mark.parametrize("loss", LOGARITHMS)
def test_a_constant_that_avoids_log_of_zero_excuses_no_larger_mistake(loss: str, factor: float, ok: bool) -> None:
    setting, slope = LOGARITHMS[loss]
    model, x, y, solver = setting.build(0)
    output = lambda s, k: through(s.name(k), slope(s, k) / s.N, s.z[k])
    code = student(output=output, biases=lambda s, k, d: factor * d.sum(axis=0))(-1)
    report = compare_gradients(model, x, y, solver=solver, manual=code)
    assert report.ok == ok, str(report)
    assert (report.kinds == ("convention",)) == ok
    assert ("a constant such as 1e-08, which avoids log(0)" in str(report).replace("\n   ", " ")) == ok
    assert report.first_wrong == (None if ok else f"layer {len(model)}")


@pytest.mark.parametrize("constant", [1e-8, 1e-12])
def test_such_a_constant_excuses_no_mistake_that_shows_at_other_weights(constant: float) -> None:
    model, x, y, solver = YESNO.build(0)
    for layer in model:
        layer.b = np.zeros(layer.n_out)
    slope = lambda s, k, c=constant: ((1 - s.y) / (1 - s.a[k] + c) - s.y / (s.a[k] + c)) / s.N
    output = lambda s, k: through(s.name(k), slope(s, k), s.z[k])
    for extra, ok in ((0.0, True), (0.1, False)):
        biases = lambda s, k, d, extra=extra: d.sum(axis=0) + extra * s.model[k].b.data
        report = compare_gradients(model, x, y, solver=solver, manual=student(output=output, biases=biases)(-1))
        assert report.ok == ok, str(report)
    turned = student(output=output, weights=lambda s, k, d: s.into(k).T @ d)(-1)
    assert compare_gradients(model, x, y, solver=solver, manual=turned).kinds[0] == "transpose"


def test_such_a_small_difference_without_a_constant_is_wrong() -> None:
    model, x, y, solver = YESNO.build(0)
    code = student(biases=lambda s, k, d: d.sum(axis=0) * (1 + 1 / 4e8))(-1)
    assert not compare_gradients(model, x, y, solver=solver, manual=code).ok


def test_a_constant_without_effect_is_not_spoken_of() -> None:
    model, x, y, solver = DEEP.build(0)
    code = student(biases=lambda s, k, d, unused=1e-12: d[::-1].sum(axis=0))(-1)
    report = compare_gradients(model, x, y, solver=solver, manual=code)
    assert (report.ok, report.diagnoses) == (True, ())


def own_numbers(lam: float, r: float, p: float, at: int, mistake: dict[str, Any]) -> Student:
    """A student who wrote the strengths into the code, and made a mistake, or none."""

    def penalty(self: Any, k: int) -> Array:
        W = self.W(k)
        l1, l2 = {"l1": (1, 0), "l2": (0, 1), "elasticnet": (r, 1 - r)}[self.solver.regularization.method]
        return lam * (l1 * np.sign(W) + l2 * W)

    def mask(self: Any, k: int, g: Array) -> Array:
        return g if self.masks[k] is None else (self.masks[k] != 0) / (1 - p) * g

    return student(penalty=penalty, mask=mask, **mistake)(at)


ALSO: dict[str, dict[str, Any]] = {
    "nothing": {},
    "times N": {"spoil": lambda s, k, d: d * s.N},
    "twice": {"dW": lambda s, k, d, g: 2 * g},
    "minus": {"spoil": lambda s, k, d: -d},
    "db averaged": {"db": lambda s, k, d, g: d.mean(axis=0)},
    "no penalty": {"dW": lambda s, k, d, g: g - s.penalty(k)},
    "transposed": {"dW": lambda s, k, d, g: s.into(k).T @ d},
    "one entry": {"dW": lambda s, k, d, g: g * np.where(np.arange(g.size).reshape(g.shape) == 1, 1.5, 1)},
    "no mask": {"hidden": lambda s, k, d: through(
        s.name(k), d @ s.W(k + 1) if k == s.here else s.mask(k, d @ s.W(k + 1)), s.z[k])},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("method", ["l1", "l2", "elasticnet"])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_hard_coded_strengths_are_not_reported_unless_they_are_wrong(method: str, dropout: float) -> None:
    rng = np.random.default_rng(int(10 * dropout) + len(method))
    for number, mistake in enumerate((*ALSO, *ALSO)):
        widths = tuple(rng.integers(2, 7, 4).tolist())
        setting = Setting(widths, ("tanh", "sigmoid", "linear"), "mse", int(rng.integers(1, 7)), method, 0.1, dropout)
        model, x, y, solver = setting.build(number)
        others = [(0.25, 0.3, dropout), (0.1, 0.6, dropout), (0.1, 0.3, 0.2), (0.25, 0.6, 0.3)]
        lam, r, p = (0.1, 0.3, dropout) if number < len(ALSO) else others[number % 4]
        watched = Watched(own_numbers(lam, r, p, number % 3, ALSO[mistake]))
        report = compare_gradients(model, x, y, solver=solver, manual=watched)
        assert not blamed_though_right(report), (mistake, setting, str(report))
        assert not falsehoods(report, watched.calls), (mistake, setting, str(report))
        if mistake == "nothing" and number < len(ALSO):
            assert report.ok
            assert not report.diagnoses


# -- What it says of mistakes that were called something else


def test_a_penalty_in_the_place_of_dW_is_not_called_zero() -> None:
    model, x, y, solver = HEAVY.build(0)
    report = compare_gradients(model, x, y, solver=solver, manual=weights_at(lambda s, k, d, g: s.penalty(k))(1))
    assert [d.text for d in report.diagnoses] == [
        "dW is the gradient of the penalty alone: the gradient of the loss is missing; the two should be added."
    ]


def test_a_factor_of_the_loss_alone_is_distinguished_from_one_of_loss_and_penalty() -> None:
    model, x, y, solver = WIDE.build(0)
    beside = weights_at(lambda s, k, d, g: 2 * (g - s.penalty(k)) + s.penalty(k))(0)
    report = compare_gradients(model, x, y, solver=solver, manual=beside)
    assert [d.text for d in report.diagnoses] == [
        "The gradient of the loss in dW is 2 times the right one. The penalty is added correctly."
    ]
    report = compare_gradients(model, x, y, solver=solver, manual=weights_at(lambda s, k, d, g: 2 * g)(0))
    assert [d.text for d in report.diagnoses] == ["dW is 2 times the right one."]


def test_a_forgotten_zero_grad_is_not_called_random() -> None:
    model, x, y, solver = BIG.build(0)
    report = compare_gradients(model, x, y, solver=solver, manual=weights_at(added_up)(1))
    assert not report.ok
    (d,) = report.diagnoses
    assert (d.kind, d.where) == ("accumulated_over_calls", "layer 2 W")
    assert "zero_grad" in d.text
    assert "random" not in str(report.diagnoses)
    assert d.evidence == ("of three calls with equal arguments, the second returned twice what the first returned",)

    def f(W: Array) -> Array:
        return np.sin(W).sum()

    kept = np.zeros((2, 3))

    def backward(W: Array) -> Array:
        kept[...] += np.cos(W)
        return kept.copy()

    report = compare_gradients(f, np.ones((2, 3)), manual=backward)
    assert report.kinds == ("accumulated_over_calls",)
    assert "random" not in str(report.diagnoses)


def test_what_keeps_or_draws_something_is_called_either() -> None:
    calls = [0]

    def third(s: Any, k: int, d: Array, g: Array) -> Array:
        calls[0] += 1
        return g * (1 + (calls[0] % 3 == 2))

    model, x, y, solver = DEEP.build(0)
    report = compare_gradients(model, x, y, solver=solver, manual=weights_at(third)(1))
    (d,) = report.diagnoses
    assert (d.kind, d.where) == ("nondeterministic", "layer 2 W")
    assert "draws random numbers, or keeps something" in d.text


@pytest.mark.parametrize(("rows", "classes"), [(2, 2), (3, 2), (4, 4)])
def test_k_squared_is_not_called_a_multiple_of_N(rows: int, classes: int) -> None:
    setting = replace(NARROW, widths=(3, 4, 4, classes), rows=rows)
    model, x, y, solver = setting.build(0)
    k_squared = student(spoil=lambda s, k, d: d * s.y.shape[1] ** 2)(2)
    report = compare_gradients(model, x, y, solver=solver, manual=k_squared)
    assert report.diagnoses[0].factor == "n_out^2"

    def fixed(model: Any, data_cache: Any, data_out: Any, *, solver: Solver) -> Any:
        if data_out.shape != (rows, classes) or model[0].n_in != 3:
            raise ValueError("these sizes only")
        return k_squared(model, data_cache, data_out, solver=solver)

    watched = Watched(fixed)
    watched.manual.delta = {}
    (d,) = compare_gradients(model, x, y, solver=solver, manual=watched).diagnoses
    assert d.factor == str(classes**2)
    assert f"delta is {classes**2} (here the same as " in d.text
    assert "n_out^2" in d.text


def test_a_factor_is_reported_as_a_number_and_as_a_size_of_the_inputs() -> None:
    def f(x: Array) -> Array:
        return (x**2).sum() / len(x)

    x = np.random.default_rng(0).normal(size=(6, 4))
    (d,) = compare_gradients(f, x, manual=lambda x: 2 * x).diagnoses
    assert d.factor == "6"
    assert "The gradient is 6 (here the same as N, the number of rows of x) times the right one" in d.text


def at(array: Array, index: Any, change: Any) -> Array:
    new = array.copy()
    new[index] = change(new[index])
    return new


def layer_and_loss(N: int, n: int, k: int) -> tuple[Any, tuple[Array, Array, Array], Any]:
    """One layer with its loss as a function of x, W and b, and its gradients, with delta and z besides."""
    rng = np.random.default_rng(N)
    target = rng.normal(size=(N, k))

    def f(x: Array, W: Array, b: Array) -> Array:
        return ((np.tanh(x @ W + b) - target) ** 2).sum() / len(x)

    def gradients(x: Array, W: Array, b: Array) -> tuple[Array, ...]:
        z = x @ W + b
        d = 2 * (np.tanh(z) - target) / len(x) * (1 - np.tanh(z) ** 2)
        return d @ W.T, x.T @ d, d.sum(axis=0), d, z

    return f, (rng.normal(size=(N, n)), rng.normal(size=(n, k)), rng.normal(size=k)), gradients


LINE = layer_and_loss.__code__.co_firstlineno + 6
OF_W = "of the gradient of W"
INTO = f"W is used by matmul in `x @ W`, line {LINE}: the error is in the gradient that it passes back."
LOST = "Only the last row of the product contributes to the gradient; all rows should be added."
THROUGH = "The gradient is passed through tanh without its derivative."
PASSED = f"{THROUGH} This affects only the gradient of W."
FUNCTION: dict[str, tuple[Any, dict[str, str]]] = {
    "W times 0.37": (lambda g, x, W: (g[0], 0.37 * g[1], g[2]), {"W": "The gradient is 0.37 times the right one."}),
    "minus W": (lambda g, x, W: (g[0], -g[1], g[2]), {"W": "The gradient has the wrong sign."}),
    "W zero": (lambda g, x, W: (g[0], 0 * g[1], g[2]), {"W": "The gradient is 0, and should not be."}),
    "zero": (lambda g, x, W: (0 * g[0], 0 * g[1], 0 * g[2]), {"x, W, b": "The gradient is 0, and should not be."}),
    "a row of W": (lambda g, x, W: (g[0], g[1] * np.array([[2.0], [1], [1]]), g[2]),
        {"W": f"Row 0 {OF_W} is wrong, the other 2 are right. Each wrong entry is 2 times the right one. {INTO}"}),
    "an entry of W": (lambda g, x, W: (g[0], at(g[1], (1, 1), lambda v: 7.0), g[2]),
        {"W": f"Entry [1, 1] {OF_W} is wrong, the other 5 are right: it is 7, and should be 0.0144875 (ratio 483.175). "
         f"{INTO}"}),
    "a penalty": (lambda g, x, W: (g[0], g[1] + 0.1 * W, g[2]),
        {"W": "It is the right gradient plus 0.1 W, like the gradient of a penalty that is not in the function."}),
    "a penalty that is missing": (lambda g, x, W: (g[0], g[1] - 0.1 * W, g[2]),
        {"W": "It is the right gradient minus 0.1 W, like the gradient of a penalty that is missing or too small."}),
    "two mistakes": (lambda g, x, W: (g[0], g[1] ** 3, 3 * g[2]),
        {"b": "The gradient is 3 times the right one.",
         "W": f"Every entry {OF_W} is wrong. Each entry is the right one cubed. {INTO}"}),
    "the last sample": (lambda g, x, W: (g[0], np.outer(x[-1], g[3][-1]), g[2]),
        {f"matmul in `x @ W`, line {LINE}": LOST}),
    "one reason in two gradients": (
        lambda g, x, W: ((d := g[3] / (1 - np.tanh(g[4]) ** 2)) @ W.T, x.T @ d, 3 * g[2]),
        {f"tanh in `np.tanh(x @ W + b)`, line {LINE}": THROUGH, "b": "The gradient is 3 times the right one."}),
    "no derivative in W only": (lambda g, x, W: (g[0], x.T @ (g[3] / (1 - np.tanh(g[4]) ** 2)), g[2]),
        {f"tanh in `np.tanh(x @ W + b)`, line {LINE}": PASSED}),
}  # fmt: skip


@pytest.mark.parametrize("mistake", FUNCTION)
def test_the_place_and_the_sentence_of_mistakes_in_a_function(mistake: str) -> None:
    f, inputs, gradients = layer_and_loss(4, 3, 2)
    change, texts = FUNCTION[mistake]
    report = compare_gradients(f, inputs, manual=change(gradients(*inputs), *inputs[:2]))
    assert {d.where: d.text for d in report.diagnoses} == texts
    assert len(report.diagnoses) == len(texts)
    assert not any("cosine" in evidence for d in report.diagnoses for evidence in d.evidence)


@pytest.mark.parametrize(("N", "n", "k"), [(1, 2, 2), (2, 3, 2), (4, 2, 2), (3, 1, 3), (2, 2, 1)])
def test_all_names_of_a_factor_of_a_function_are_its_number(N: int, n: int, k: int) -> None:
    f, inputs, gradients = layer_and_loss(N, n, k)
    for wrong in (N, k * k, 2 * N, N * k, 1 / N, 0.5, N / 2, -N, -(k**2)):
        report = compare_gradients(f, inputs, manual=lambda *xs, s=wrong: tuple(s * g for g in gradients(*xs)[:3]))
        if wrong == 1:
            assert report.ok
            continue
        (d,) = report.diagnoses
        if wrong == -1:
            assert d.text == "The gradient has the wrong sign from here on."
            continue
        text = r"The gradient is (\S+)(?: \(here the same as (.+)\))? times the right one from here on\."
        found = re.fullmatch(text, d.text)
        assert found is not None, d.text
        names = [found[1], *(found[2] or found[1]).split(" or ")]
        python = [re.sub(r"(\d)N", r"\1*N", name.partition(",")[0].replace("^", "**")) for name in names]
        numbers = [eval(name, {"sqrt": np.sqrt}, {"N": N}) for name in python]
        np.testing.assert_allclose(numbers, wrong, rtol=1e-9)


@pytest.mark.parametrize("layer", [2, 3, 4])
def test_weights_that_are_overwritten_are_where_to_look(layer: int) -> None:
    def overwrite(s: Any, k: int, delta: Array, dW: Array) -> Array:
        s.model[k].W.data[...] -= 0.1 * dW
        return dW

    model, x, y, solver = Setting((3, 4, 5, 4, 2), ("tanh", "sigmoid", "tanh", "linear"), "mse", 6).build(0)
    report = compare_gradients(model, x, y, solver=solver, manual=student(dW=overwrite)(layer - 1))
    assert report.first_wrong == f"layer {layer}"
    assert [(d.kind, d.where) for d in report.diagnoses] == [("inplace_overwrite", f"layer {layer} W")]


def test_numbers_that_are_not_finite_are_the_only_thing_that_is_said() -> None:
    model, x, y, solver = DEEP.build(0)
    nan = student(dW=lambda s, k, d, g: np.where(np.arange(g.size).reshape(g.shape) == 3, np.nan, 2 * g))(1)
    (d,) = compare_gradients(model, x, y, solver=solver, manual=nan).diagnoses
    assert (d.kind, d.where) == ("unknown", "layer 2 W")
    assert d.text.startswith("1 of 42 not finite")


# -- Where, and by what


RIGHT = np.random.default_rng(0).normal(size=(4, 3))
SQUARE = np.random.default_rng(1).normal(size=(3, 3))


PATTERNS: list[tuple[Array, Array, str]] = [
    (RIGHT, at(RIGHT, (2, 1), lambda v: 1.001 * v),
        "Entry [2, 1] of dW is wrong, the other 11 are right: it is 0.948028, and should be 0.947081 (ratio 1.001)."),
    (RIGHT, at(RIGHT, (2, 1), lambda v: v + 1e-9),
        ("Entry [2, 1] of dW is wrong, the other 11 are right: it is 0.947080964, and should be 0.947080963 (ratio "
         "1.000000001).")),
    (RIGHT, at(RIGHT, 2, lambda v: -v),
        "Row 2 of dW is wrong, the other 3 are right. Each wrong entry is minus the right one."),
    (RIGHT, at(RIGHT, (slice(None), 1), lambda v: v + 0.5),
        "Column 1 of dW is wrong, the other 2 are right. Each wrong entry is the right one plus 0.5."),
    (RIGHT, at(RIGHT, [0, 2], lambda v: 0 * v),
        "Rows 0 and 2 of dW are wrong, the other 2 are right. Each wrong entry is 0."),
    (RIGHT, RIGHT[[1, 0, 2, 3]],
        ("Rows 0 and 1 of dW are wrong, the other 2 are right. Its rows are right, but in another order: row 0 holds "
         "what belongs in row 1 and row 1 holds what belongs in row 0.")),
    (RIGHT, RIGHT * [[1], [2], [3], [1]],
        ("Rows 1 and 2 of dW are wrong, the other 2 are right. Row 1 is 2 times the right one and row 2 is 3 times the "
        "right one.")),
    (RIGHT, RIGHT + np.array([1, 2, -3]),
        ("Every entry of dW is wrong. Column 0 is the right one plus 1, column 1 is the right one plus 2 and column 2 "
        "is the right one plus -3.")),
    (RIGHT, RIGHT**3, "Every entry of dW is wrong. Each entry is the right one cubed."),
    (RIGHT, 7 * RIGHT / 3, "Every entry of dW is wrong. Each entry is 7/3 times the right one."),
    (SQUARE, SQUARE * (1 + np.eye(3)),
        "The diagonal of dW is wrong, the rest is right. Each wrong entry is 2 times the right one."),
    (SQUARE, np.triu(SQUARE), "The part below the diagonal of dW is wrong, the rest is right. Each wrong entry is 0."),
    (RIGHT[0], RIGHT[0] + np.arange(3),
        ("Entries [1] and [2] of dW are wrong, the other is right. The largest difference is at [2]: it is 2.64042, "
         "and should be 0.640423 (ratio 4.12294).")),
    (at(RIGHT, (2, 1), lambda v: -2.5e-17 + 0 * v), at(RIGHT, (2, 1), lambda v: 0.5 + 0 * v),  # rounding
        "Entry [2, 1] of dW is wrong, the other 11 are right: it is 0.5, and should be -2.5e-17."),
]  # fmt: skip


@pytest.mark.parametrize(("right", "got", "text"), PATTERNS, ids=[text[:40] for *_, text in PATTERNS])
def test_where_and_by_what(right: Array, got: Array, text: str) -> None:
    assert describe("dW", got, right, got != right) == text


def test_unexplained_errors_are_described() -> None:
    model, x, y, solver = DEEP.build(0)
    row = weights_at(lambda s, k, d, g: g + 0.5 * (np.arange(len(g)) == 2)[:, None])(1)
    (d,) = compare_gradients(model, x, y, solver=solver, manual=row).diagnoses
    assert (d.kind, d.where) == ("unknown", "layer 2 W")
    assert d.text == "Row 2 of dW is wrong, the other 5 are right. Each wrong entry is the right one plus 0.5."
    assert not any("cosine" in text for text in (d.text, *d.evidence))


def test_a_large_network_is_described_by_its_own_numbers() -> None:
    model = [Layer(150, 140, "tanh", rng=0), Layer(140, 3, "softmax", rng=1)]
    rng = np.random.default_rng(0)
    x, y, solver = rng.normal(size=(8, 150)), np.eye(3)[rng.integers(0, 3, 8)], Solver("crossentropy")
    for edit, text in ((lambda g: 2 * g, "dW is 2 times the right one."), (
        lambda g: at(g, 1, lambda v: v + 1),
        "Row 1 of dW is wrong, the other 139 are right. Each wrong entry is the right one plus 1."),
    ):  # fmt: skip

        def manual(model: Any, data_cache: Any, data_out: Any, *, solver: Solver, edit: Any = edit) -> Any:
            loss, dW, db = BackProp(model, data_cache, data_out, solver=solver)
            return loss, [edit(dW[0]), dW[1]], db

        (d,) = compare_gradients(model, x, y, solver=solver, manual=manual).diagnoses
        assert d.text == text
