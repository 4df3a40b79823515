"""Small helpers of a comparison: the equation to show, what repeated calls reveal, how far roads are apart."""

import itertools
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinygrad_nn.compare.layers.lines as lines_module
from tests.compare_parts import graph_of
from tests.test_compare_layer_parts import seen_of
from tinygrad_nn import Layer, Solver
from tinygrad_nn.compare.behaviour import _grows, _is_close, overwrite_diagnosis, same_results, unsteady_diagnosis
from tinygrad_nn.compare.diagnosis import Diagnosis, Difference, Distances, Row, compact_text
from tinygrad_nn.compare.edits import Edit
from tinygrad_nn.compare.factors import Factor, name_factor
from tinygrad_nn.compare.layers.comparison import DIRECTIONS, _answered_cases, _method, _no_loss
from tinygrad_nn.compare.layers.equations import ACTIVATION, EQUATIONS, FUSED, LOSS, PENALTY, right_equation
from tinygrad_nn.compare.layers.lines import _add_edit, _agree, _diagnosis_index, with_source_lines
from tinygrad_nn.compare.numerical import precision
from tinygrad_nn.compare.numerical.noise import has_float32_values
from tinygrad_nn.compare.numerical.precision import MOST, SAMPLE, _cast, _rounding_bound, measured_rounding
from tinygrad_nn.compare.paths import gradients, rerun_nodes, rerun_operation
from tinygrad_nn.compare.roads import NUMERICAL, ROUNDING, Parameter, RoadsReport, _sample, compare_roads

Array = np.ndarray[Any, Any]
EPS, EPS4 = float(np.finfo(np.float64).eps), float(np.finfo(np.float32).eps)

# -- The equation that belongs there


def case_of(names: tuple[str, ...], loss: str = "mse", method: str = "l2") -> Any:
    solver = SimpleNamespace(loss=loss, regularization=SimpleNamespace(method=method))
    return SimpleNamespace(names=names, W=[0] * len(names), solver=solver)


OF_SLOPE = ("missing_activation_derivative", "activation_derivative_at_wrong_value", "softmax_diagonal_only", "kink")
OTHERS = ("scale", "sign", "transpose", "wrong_loss_gradient", "dropout_mask_missing", "unknown")


@pytest.mark.parametrize("name", [*ACTIVATION, "leaky_relu(0.2)", "hard_tanh(-0.5,2.0)", "gelu(tanh)"])
def test_the_equation_of_a_delta(name: str) -> None:
    plain = {"leaky_relu(0.2)": "leaky_relu", "hard_tanh(-0.5,2.0)": "hard_tanh"}.get(name, name)
    hidden = case_of((name, "tanh", "linear"))
    for kind in OF_SLOPE:
        assert right_equation(hidden, 0, "delta", kind) == (f"({ACTIVATION[plain]})", EQUATIONS[ACTIVATION[plain]])
    for kind, key in (("scale", "B43"), ("sign", "B43"), ("unknown", "B43"), ("wrong_loss_gradient", "B43"),
                      ("transpose", "B41"), ("dropout_mask_missing", "B42"), ("dropout_scale_missing", "B42"),
                      ("dropout_mask_stale", "B42")):  # fmt: skip
        assert right_equation(hidden, 0, "delta", kind) == (f"({key})", EQUATIONS[key])
        assert right_equation(hidden, 1, "delta", kind) == (f"({key})", EQUATIONS[key])
    for loss in LOSS:
        last = case_of(("tanh", name), loss)
        fused = FUSED.get((loss, plain))
        for kind in (*OF_SLOPE, *OTHERS):
            key = fused or (ACTIVATION[plain] if kind in OF_SLOPE else LOSS[loss] if kind == "wrong_loss_gradient"
                            else "B27")  # fmt: skip
            assert right_equation(last, 1, "delta", kind) == (f"({key})", EQUATIONS[key])


def test_the_equation_of_dW_and_of_db() -> None:
    for method, k in itertools.product(PENALTY, (0, 1)):
        case = case_of(("tanh", "linear"), method=method)
        for kind in ("missing_penalty", "extra_penalty", "wrong_penalty"):
            assert right_equation(case, k, "W", kind) == (f"({PENALTY[method]})", EQUATIONS[PENALTY[method]])
            assert right_equation(case, k, "b", kind) == ("(B45)", EQUATIONS["B45"])
        for kind in (*OF_SLOPE, *OTHERS):
            assert right_equation(case, k, "W", kind) == ("(B44)", EQUATIONS["B44"])
            assert right_equation(case, k, "b", kind) == ("(B45)", EQUATIONS["B45"])
    assert set(FUSED) == {("crossentropy", "softmax"), ("binarycrossentropy", "sigmoid"), ("crossentropy", "sigmoid"),
                          ("binarycrossentropy", "softmax")}  # fmt: skip


# -- How a backward behaves

ONE, TWO = np.array([1.0, -2.0]), np.array([[3.0, 4.0]])


def test_calls_that_are_equal_bit_for_bit() -> None:
    nan = np.array([np.nan, 1.0])
    assert same_results([ONE, nan], [ONE.copy(), nan.copy()])
    assert not same_results([ONE, TWO], [ONE, TWO * (1 + EPS)])
    assert not same_results([ONE], [ONE[None]])
    assert unsteady_diagnosis([[ONE, nan]] * 3, ["a", "b"], "Advice.") is None


@pytest.mark.parametrize(
    ("calls", "kind", "where", "evidence"),
    [
        (([ONE, TWO], [2 * ONE, 2 * TWO], [3 * ONE, 3 * TWO]), "accumulated_over_calls", "the whole backward pass",
         "of three calls with equal arguments, the second returned twice what the first returned"),
        (([ONE, TWO], [2 * ONE, TWO], [3 * ONE, TWO]), "accumulated_over_calls", "a",
         "of three calls with equal arguments, the second returned twice what the first returned"),
        (([5 + ONE, TWO], [5 + 2 * ONE, TWO], [5 + 3 * ONE, TWO]), "accumulated_over_calls", "a",
         ("of three calls with equal arguments, the second returned more than the first, by the amount that the third "
          "added again")),
        (([ONE, TWO], [2 * ONE, TWO + 1], [3 * ONE, TWO + 2]), "accumulated_over_calls", "the whole backward pass",
         ("of three calls with equal arguments, the second returned more than the first, by the amount that the third "
          "added again")),
        (([ONE, TWO], [ONE, TWO + 1], [ONE, TWO - 1]), "nondeterministic", "b",
         "two calls with equal arguments differ in b"),
        (([ONE, TWO], [ONE, TWO], [ONE, TWO - 1]), "nondeterministic", "b",
         "two calls with equal arguments differ in b"),
        (([ONE, TWO], [ONE, TWO + 1], [ONE, TWO + 1]), "nondeterministic", "b",
         "two calls with equal arguments differ in b"),
        (([ONE, TWO], [2 * ONE, TWO + 1], [3 * ONE, TWO + 1]), "nondeterministic", "the whole backward pass",
         "two calls with equal arguments differ in a, b"),
        (([ONE, TWO], [ONE[:1], TWO], [ONE, TWO]), "nondeterministic", "a",
         "two calls with equal arguments differ in a"),
        (([ONE, TWO], [ONE * np.nan, TWO], [ONE, TWO]), "nondeterministic", "a",
         "two calls with equal arguments differ in a"),
    ],
)  # fmt: skip
def test_why_equal_calls_gave_different_arrays(calls: Any, kind: str, where: str, evidence: str) -> None:
    found = unsteady_diagnosis(calls, ["a", "b"], "Fix the seed.")
    assert found is not None
    assert (found.kind, found.where, found.evidence) == (kind, where, (evidence,))
    assert found.text == (
        "Each call adds its gradient to those of earlier calls. Start each call from zeros: call zero_grad(), or make "
        "the arrays inside the backward." if kind == "accumulated_over_calls" else
        "Two equal calls gave different results: the code draws random numbers, or keeps something from one call to "
        "the next, or goes through a set of objects, whose order may differ from call to call; a list has one order. "
        "Fix the seed."
    )  # fmt: skip


@pytest.mark.parametrize(
    ("p", "q", "size", "near"),
    [
        ([1.0], [1 + 60 * EPS], 0.0, True), ([1.0], [1 + 68 * EPS], 0.0, False), ([1.0], [1 - 60 * EPS], 0.0, True),
        ([1.0], [1 - 68 * EPS], 0.0, False), ([1.0], [1 + 68 * EPS], 2.0, True),
        ([1.0, 8], [1 + 400 * EPS, 8], 0.0, True),
        ([1.0, 8], [1 + 600 * EPS, 8], 0.0, False), ([1.0], [[1.0]], 0.0, False), ([np.inf], [np.inf], 0.0, False),
        ([1.0], [np.nan], 0.0, False), ([], [], 0.0, True), ([0.0], [0.0], 0.0, True), ([1j], [1j], 0.0, True),
        ([1j], [1j * (1 + 80 * EPS)], 0.0, False), ([-8.0, 1], [-8, 1 + 400 * EPS], 0.0, True),
    ],
)  # fmt: skip
def test_arrays_that_are_near(p: Any, q: Any, size: float, near: bool) -> None:
    assert _is_close(np.array(p), np.array(q), size) is near


def test_arrays_of_float32_and_of_whole_numbers_are_near_by_their_own_digits() -> None:
    one = np.ones(1, np.float32)
    assert _is_close(one, one + np.float32(60 * EPS4))
    assert not _is_close(one, one + np.float32(70 * EPS4))
    assert _is_close(np.array([3]), np.array([3]))
    assert not _is_close(np.array([3]), np.array([4]))


def test_a_third_call_that_adds_what_the_second_did() -> None:
    assert _grows(ONE, ONE + 1, ONE + 2)
    assert _grows(ONE, ONE, ONE)
    assert not _grows(ONE, ONE + 1, ONE + 3)
    assert not _grows(ONE, ONE + 1, ONE)
    assert not _grows(ONE, ONE[:1], ONE[:1])
    assert not _grows(ONE[:1], ONE[:1], ONE)
    large = np.array([1e6, 0.0])
    assert _grows(large, large + 0.1, large + 0.2)  # the rounding is that of the third
    assert not _grows(large, large + 0.1, large + 0.2 + 1e-7)


def test_arrays_that_were_written_into() -> None:
    names = ["a", "b", "c", "d", "e"]
    found = overwrite_diagnosis(names)
    assert (found.kind, found.where) == ("inplace_overwrite", "a")
    assert found.text == (
        "The code overwrote what it was given: a, b, c, d, e. Code that reads it later no longer gets the numbers of "
        "the forward pass. Make a new array: `a = a * m` instead of `a *= m`."
    )
    assert found.evidence == tuple(f"the call changed {name}" for name in names[:4])


# -- The line that is wrong

FIRST = Diagnosis("scale", "layer 2 delta", "delta is twice.", ("seen",))
ODD = Diagnosis("unknown", "layer 1 W", "dW is wrong.", ("an entry",))
MEAN = Diagnosis("convention", "loss", "Another mean.")


def edit(*fixes: int, **more: Any) -> Edit:
    return Edit(3, "a", "b", "b would be right.", fixes, kind="sign", **more)


@pytest.mark.parametrize(
    ("diagnoses", "fixes", "at"),
    [
        ([FIRST, ODD], (0,), 1), ([FIRST, ODD], (1,), 1), ([FIRST, ODD], (2,), 0), ([FIRST, ODD], (3,), 0),
        ([FIRST, ODD], (0, 3), 0), ([ODD, FIRST], (0, 3), 1), ([ODD], (2,), 0), ([MEAN, ODD], (6,), 1),
        ([MEAN], (0,), None),
        ([replace(MEAN, where="layer 1 b"), ODD], (1,), 1), ([], (0,), None), ([FIRST, ODD], (), 0),
        ([replace(FIRST, where="layer 12 W"), ODD], (0,), 1), ([FIRST, replace(ODD, where="layer 12 W")], (0,), 0),
        ([replace(ODD, where="in layer 1 W"), ODD], (0,), 1),
    ],
)  # fmt: skip
def test_the_diagnosis_that_a_change_is_about(diagnoses: list[Diagnosis], fixes: Any, at: int | None) -> None:
    assert _diagnosis_index(diagnoses, edit(*fixes)) == at


def test_a_change_of_a_line_in_a_diagnosis() -> None:
    assert _add_edit(FIRST, edit(0)) == replace(FIRST, evidence=("seen", "b would be right."))
    three = edit(0, alternatives=("c", "d", "e"), kinds=("scale",))
    also = "the same would come from c or from d"
    assert _add_edit(FIRST, three) == replace(FIRST, evidence=("seen", "b would be right.", also))
    found = _add_edit(ODD, three)
    assert found == Diagnosis(
        "sign", "layer 1 W", "b would be right. With this change, the gradients are right, here and at other random "
        "inputs.",
        ("dW is wrong.", "an entry", also), alternatives=("scale",),
    )  # fmt: skip
    none = replace(ODD, text="3 of 4 not finite: NaN and infinity come of it.")
    assert _add_edit(none, edit(0)) == replace(none, evidence=("an entry", "b would be right."))


@pytest.mark.parametrize(
    ("mine", "right", "close"),
    [
        ([1.0, 4.0], [1.0, 4 + 3.9e-8], True), ([1.0, 4.0], [1.0, 4 + 4.1e-8], False),
        ([1.0, 4.0], [1 + 3.9e-8, 4.0], True), ([1 + 4.1e-8, 4.0], [1.0, 4.0], False), ([0.0], [0.0], True),
        ([1e-200], [0.0], False), ([1.0], [[1.0]], False), ([np.nan], [1.0], False), ([], [], True),
        ([-4.0], [4.0], False),
    ],
)  # fmt: skip
def test_gradients_that_are_right_after_a_change(mine: Any, right: Any, close: bool) -> None:
    assert _agree(np.array(mine), np.array(right)) is close


def test_when_a_line_is_looked_for_and_for_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def edits(manual: Any, call: Any, right: Any, **options: Any) -> list[Edit]:
        asked.append((options["probes"], options["seconds"]))
        probe = options["probes"] - 1
        value = call(manual, probe)
        verdicts = right(value, probe)
        return [edit(*(i for i, ok in enumerate(verdicts) if not ok))]

    monkeypatch.setattr(lines_module, "nearest_edits", edits)
    cases = [w.case for w in seen_of(rows=(4, 6))]

    def backward(model: Any, cache: Any, y: Any, *, solver: Any) -> Any:
        case = next(c for c in cases if len(c.x) == len(y))
        right = case.right
        return right.loss, [right.dW[0], 2 * right.dW[1]], right.db

    def found(*diagnoses: Diagnosis, manual: Any = backward, cases: Any = cases) -> Any:
        asked.clear()
        return with_source_lines(diagnoses, manual, cases), list(asked)

    for kind, seconds in (("scale", 1.5), ("sign", 1.5), ("unknown", 1.5), ("transpose", 0.6)):
        d = Diagnosis(kind, "layer 2 W", "dW is wrong.")
        made, calls = found(ODD, d)
        assert calls == [(2, 1.5)]
        made, calls = found(d)
        assert made == [_add_edit(d, edit(2))]
        assert calls == [(2, seconds)]
    for other in (MEAN, Diagnosis("blind_test", "x", ""), Diagnosis("rounding", "x", "")):
        assert found(other) == ([other], [])
    for kind in ("nondeterministic", "accumulated_over_calls", "inplace_overwrite"):
        moving = Diagnosis(kind, "layer 1 W", "")
        assert found(FIRST, moving) == ([FIRST, moving], [])
    assert found(FIRST, manual=SimpleNamespace()) == ([FIRST], [])
    assert found(FIRST, cases=[]) == ([FIRST], [])
    assert found(FIRST, cases=cases[1:]) == ([FIRST], [])  # not the batch that was given


# -- The report of a model


def test_the_sentence_about_the_method_counts_the_checked_entries() -> None:
    rows: Any = [SimpleNamespace(checked=5, shape=(3, 4)), SimpleNamespace(checked=2000, shape=(1000, 2)),
                 SimpleNamespace(checked=1, shape=())]  # fmt: skip
    how = (f"Numerical: complex step in float64 at 2,006 of 2,013 entries, the worst of each array among them, and "
           f"along {DIRECTIONS} random directions of each parameter")  # fmt: skip
    confirmed = how + "; extrapolated differences confirm it along 3 directions."
    assert _method(rows, 3, 0.5) == confirmed
    assert _method(rows, 3, 1.0) == confirmed
    assert _method(rows, 3, 1.0 + EPS) == how + "."
    assert _method(rows, 0, 0.5) == how + "."


def test_the_report_of_a_non_finite_loss_says_where_it_began() -> None:
    case: Any = SimpleNamespace(
        z=[np.ones(2), np.array([1.0, np.inf]), np.array([np.nan])], right=SimpleNamespace(loss=np.nan),
        solver=SimpleNamespace(loss="crossentropy"), names=["tanh", "relu", "linear"],
    )  # fmt: skip
    report = _no_loss(case)
    begin = "The loss of this batch is nan, so there is no gradient, and nothing to compare. "
    assert report.diagnoses == (Diagnosis("blind_test", "loss", begin + (
        "z of layer 2 is the first array that is not finite: the weights or the data are too large.")),)  # fmt: skip
    assert (report.title, report.rows, report.first_wrong, report.ok) == ("no finite loss", (), "loss", False)
    case.z = [np.ones(2)] * 3
    assert _no_loss(case).diagnoses[0].text == begin + (
        "crossentropy takes the logarithm of a prediction that is not between 0 and 1: end the model with 'sigmoid' or "
        "'softmax', and not with 'linear'."
    )


def test_experiments_that_a_code_cannot_answer_are_left_out() -> None:
    cases = [w.case for w in seen_of(rows=(4, 6, 5))]

    def manual(model: Any, cache: Any, y: Any, *, solver: Any) -> Any:
        if len(y) == 6:
            raise KeyError("these sizes only")
        return 7.0, [layer.W.data for layer in model], [layer.b.data for layer in model]

    found = list(_answered_cases(cases, manual))
    assert [case.rows for case in found] == [4, 5]
    assert all(case.answer.loss == 7.0 for case in found)


# -- Differences and roads


@pytest.mark.parametrize(
    ("p", "q", "absolute", "relative"),
    [
        ([1.0, -4.0], [1.5, -4.0], 0.5, 0.125), ([1.5, -4.0], [1.0, -4.0], 0.5, 0.125), ([1.0], [-1.0], 2.0, 2.0),
        ([0.0, 0.0], [0.0, 0.0], 0.0, 0.0), ([], [], 0.0, 0.0), ([0.0], [8.0], 8.0, 1.0), ([3 + 4j], [0.0], 5.0, 1.0),
        ([1.0, 2.0], [1.0, 2.0], 0.0, 0.0),
    ],
)  # fmt: skip
def test_how_far_two_gradients_are_apart(p: Any, q: Any, absolute: float, relative: float) -> None:
    assert Difference.of(np.array(p), np.array(q)) == (absolute, relative)


def parameter(manual: float, graph: float = 0.0, both: float = 0.0, **more: Any) -> Parameter:
    made = {"largest": 10.0, "checked": 3, "kinks": 0, "doubt": 0.0, **more}
    return Parameter("layer 1 W", (2, 3), manual_graph=Difference(manual, 0.1), graph_numerical=Difference(graph, 0.2),
                     manual_numerical=Difference(both, 0.3), **made)  # fmt: skip


@pytest.mark.parametrize(
    ("row", "rounding", "agree"),
    [
        (parameter(0.0), 1e-12, True), (parameter(0.9e-11), 1e-12, True), (parameter(1.1e-11), 1e-12, False),
        (parameter(1.1e-11, rounding=0.2e-11), 1e-12, True), (parameter(1.3e-11, rounding=0.2e-11), 1e-12, False),
        (parameter(math.nan), 1e-12, False), (parameter(0.0, 0.9e-6), 1e-12, True),
        (parameter(0.0, 1.1e-6), 1e-12, False),
        (parameter(0.0, 0.0, 0.9e-6), 1e-12, True), (parameter(0.0, 0.0, 1.1e-6), 1e-12, False),
        (parameter(0.0, 1.1e-6, doubt=0.2e-6), 1e-12, True), (parameter(0.0, 1.3e-6, doubt=0.2e-6), 1e-12, False),
        (parameter(0.0, 1.1e-6, rounding=0.2e-6), 1e-12, True), (parameter(0.0, 1.3e-6, rounding=0.2e-6), 1e-12, False),
        (parameter(0.0, 1.3e-6, rounding=0.2e-6, doubt=0.2e-6), 1e-12, True), (parameter(0.0, math.nan), 1e-12, False),
        (parameter(0.0, 0.9e-3, 0.9e-3), 1e-4, True), (parameter(0.0, 1.1e-3), 1e-4, False),
        (parameter(0.0, 0.0, 0.0, largest=0.0), 0.0, True),
        (parameter(1e-300, largest=0.0), 1e-4, False),
    ],
)  # fmt: skip
def test_roads_agree_up_to_rounding(row: Parameter, rounding: float, agree: bool) -> None:
    report = RoadsReport((row, replace(row, name="layer 1 b", manual_graph=Difference(0, 0),
                                       graph_numerical=Difference(0, 0), manual_numerical=Difference(0, 0))),
                         {}, rounding, 6)  # fmt: skip
    assert report.agree is agree
    assert report.apart == (() if agree else ("layer 1 W",))
    if not agree:
        assert report.verdict == "The roads do NOT agree on layer 1 W."


def test_a_report_of_roads_in_numbers() -> None:
    two = (parameter(0.0, checked=1000, kinks=2), parameter(0.0, checked=500, kinks=1))
    report = RoadsReport(two, {}, 1e-12, 1503)
    assert (report.checked, report.kinks) == (1500, 3)
    assert report.verdict == "The three roads agree (all 1,503 entries checked numerically (3 at a kink left out))."
    assert replace(report, entries=2000).verdict == (
        "The three roads agree (1,500 of 2,000 entries checked numerically (3 at a kink left out)).")  # fmt: skip
    plain = RoadsReport((parameter(0.0, checked=6),), {}, 1e-12, 6)
    assert plain.verdict == "The three roads agree (all 6 entries checked numerically)."
    assert str(plain).splitlines() == [
        "parameter       largest   manual-graph   graph-num.  manual-num.",
        "layer 1 W            10        1.0e-01      2.0e-01      3.0e-01", plain.verdict,
    ]  # fmt: skip


def test_a_parameter_is_what_its_row_says() -> None:
    apart = Distances(Difference(1, 2), Difference(3, 4), Difference(5, 6), 7.0, 8.0, 9)
    row = Row("layer 1 W", (2, 3), "parameter", True, 0, 0, 1, 1, 0, (), 0, 0, 0, "", 10, 11.0, apart=apart)
    assert Parameter.of(row) == Parameter("layer 1 W", (2, 3), 7.0, *apart[:3], 10, 9, 11.0, 8.0)
    with pytest.raises(ValueError, match=r"layer 1 W has shape: the roads cannot"):
        Parameter.of(replace(row, apart=None, note="has shape"))
    for dtype, eps in ((np.float64, EPS), (np.float32, EPS4)):
        layers = [Layer(2, 3, rng=0, dtype=dtype)]
        roads = compare_roads(layers, np.ones((1, 2), dtype), np.ones((1, 3), dtype), solver=Solver("mse"))
        assert [p.name for p in roads.parameters] == ["layer 1 W", "layer 1 b"]
        assert (roads.losses.keys(), roads.rounding, roads.entries) == (
            {"manual", "graph", "numerical"}, ROUNDING * eps, 9)  # fmt: skip
    assert NUMERICAL == 1e-7


def test_the_entries_that_are_differentiated_numerically() -> None:
    case: Any = SimpleNamespace(W=[np.zeros((4, 5)), np.zeros((2, 4))], b=[np.zeros(4), np.zeros(2)])

    def sizes(most: int) -> list[int]:
        found = _sample(case, most, np.random.default_rng(0))
        for places, size in zip(found, (20, 4, 8, 2), strict=True):
            assert (np.diff(places) > 0).all()
            assert 0 <= places.min() <= places.max() < size
        return [len(places) for places in found]

    assert sizes(34) == [20, 4, 8, 2]
    assert sizes(40) == [20, 4, 8, 2]
    assert sizes(33) == [19, 4, 8, 2]
    assert sizes(17) == [10, 2, 4, 1]
    assert sizes(1) == [1, 1, 1, 1]
    few = [tuple(_sample(case, 17, np.random.default_rng(seed))[0]) for seed in range(5)]
    assert len(set(few)) == 5


# -- Rounding that is measured


def test_how_far_another_precision_is_apart() -> None:
    g = np.array([1.0, -50.0, 3.0, 0.0])
    other = g + np.array([1e-3, 0.04, 1.0, np.nan])
    np.testing.assert_allclose(_rounding_bound(other, g, 2.0), [2e-3, 0.08, 2 * MOST * 50, 0.0], rtol=1e-9)
    assert _rounding_bound(np.array([1.0]), np.array([np.inf]), 2.0).tolist() == [0.0]
    assert _rounding_bound(np.zeros(0), np.zeros(0), 2.0).shape == (0,)
    assert _rounding_bound(g.astype(np.longdouble), g, 2.0).dtype == np.float64
    with np.errstate(invalid="ignore"):
        infinite = _rounding_bound(np.array([1.5, np.inf]), np.array([1.0, np.inf]), 1.0)
    assert infinite.tolist() == [MOST, 0.0]


def test_arrays_of_floats_are_turned_and_nothing_else() -> None:
    turned = [_cast(np.float32, np.complex64, x) for x in (np.ones(2), np.ones(2) * 1j, np.ones(2, int), "a", 3.0)]
    assert [getattr(x, "dtype", None) for x in turned[:3]] == [np.float32, np.complex64, np.dtype(int)]
    assert turned[3:] == ["a", 3.0]


def test_rounding_is_measured_in_the_best_precision_that_a_function_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.array([0.1, 0.7])
    here = [1 - np.cos(x * 1e-3)]

    def run(cast: Any, refuses: Any = (), wrong: Any = ()) -> list[Array]:
        moved = cast(x)
        if moved.dtype in refuses:
            raise TypeError
        return [moved[:1] if moved.dtype in wrong else 1 - np.cos(moved * moved.dtype.type(1e-3))]

    single = 1 - np.cos(x.astype(np.float32) * np.float32(1e-3))
    in_single = SAMPLE * EPS / EPS4 * np.minimum(np.abs(single - here[0]), MOST * here[0].max())
    if precision.WIDE:
        wide = 1 - np.cos(x.astype(np.longdouble) * np.longdouble(1e-3))
        (found,) = measured_rounding(run, here)
        np.testing.assert_allclose(found, 2 * np.minimum(np.abs(wide - here[0]), MOST * here[0].max()).astype(float))
    (found,) = measured_rounding(lambda cast: run(cast, (np.longdouble,)), here)
    np.testing.assert_allclose(found, in_single)
    (found,) = measured_rounding(lambda cast: run(cast, (), (np.longdouble,)), here)
    np.testing.assert_allclose(found, in_single)
    assert measured_rounding(lambda cast: run(cast, (np.longdouble, np.float32)), here)[0].tolist() == [0, 0]
    assert measured_rounding(lambda cast: here, here)[0].tolist() == [0, 0]  # not in another precision
    monkeypatch.setattr(precision, "WIDE", False)
    (found,) = measured_rounding(run, here)
    np.testing.assert_allclose(found, in_single)


def test_numbers_that_float32_has() -> None:
    third = np.array([1 / 3, 0.5])
    assert not has_float32_values(third)
    assert has_float32_values(third.astype(np.float32).astype(float))
    assert has_float32_values(third.astype(np.float32) * (1 + 1j))
    assert not has_float32_values(third * 1j)
    assert not has_float32_values(np.array([1e300]))
    assert not has_float32_values(np.array([0.5, np.nan]))
    assert has_float32_values(np.zeros(0))


# -- Walks back


def test_a_gradient_that_is_not_summed_stays_as_large_as_the_result() -> None:
    x, b = np.arange(6.0).reshape(3, 2) + 1, np.array([0.5, -1.0])
    run = graph_of(lambda x, b: (x + np.exp(b)) * x, x, b)([x, b])
    trace = run.trace
    names = trace.signature
    assert sorted(names) == ["add", "exp", "multiply"]
    add = names.index("add")
    weight = trace.outs[0][1]
    arrived: dict[int, Array] = {}
    right = gradients(trace, cotangents=arrived)
    np.testing.assert_allclose(right[0], weight * (2 * x + np.exp(b)))
    np.testing.assert_allclose(right[1], (weight * x).sum(axis=0) * np.exp(b))
    assert sorted(arrived) == [0, 1, 2]
    np.testing.assert_allclose(arrived[add], weight * x)
    np.testing.assert_array_equal(arrived[names.index("multiply")], weight)
    exp = trace.operations[names.index("exp")]
    slot = next(i for i, p in enumerate(trace.operations[add].parents or ()) if p is exp)
    wide = gradients(trace, unsummed=frozenset({(add, slot)}))
    np.testing.assert_allclose(wide[0], right[0])
    np.testing.assert_allclose(wide[1], weight * x * np.exp(b))  # entry by entry, with the slope of its own entry
    other = gradients(trace, unsummed=frozenset({(add, 1 - slot)}))
    np.testing.assert_allclose(other[1], right[1])
    twice = gradients(trace, {add: lambda node, g, slots: [r if i == slot else 2 * r for i, r in enumerate(slots)]})
    np.testing.assert_allclose(twice[0], weight * (3 * x + np.exp(b)))
    np.testing.assert_allclose(twice[1], right[1])
    none = gradients(trace, {names.index("multiply"): lambda node, g, slots: [None, None]})
    assert [g.tolist() for g in none] == [np.zeros((3, 2)).tolist(), [0, 0]]
    both = gradients(trace._replace(outs=[*trace.outs, (trace.outs[0][0], 2 * weight)]))
    np.testing.assert_allclose(both[1], 3 * right[1])


def test_operations_behind_a_node_are_run_again_with_another_in_its_place() -> None:
    x, b = np.arange(6.0).reshape(3, 2) + 1, np.array([0.5, -1.0])
    trace = graph_of(lambda x, b: np.sin(x) + np.cos(b) * x, x, b)([x, b]).trace
    place = {node.primitive.name: node for node in trace.operations if node.primitive}
    out, meta = rerun_operation(place["sin"], [x + 1])
    np.testing.assert_array_equal(out, np.sin(x + 1))
    assert meta == place["sin"].meta
    (new,) = (n for n in [place["cos"]])
    changed = rerun_nodes(trace.operations, {new: new.copied(type(new)(), out=np.array([2.0, 3.0]))})
    assert {n.primitive.name for n in changed if n.primitive} == {"cos", "multiply", "add"}  # nothing before it
    np.testing.assert_array_equal(changed[place["multiply"]].out, np.array([2.0, 3.0]) * x)
    np.testing.assert_array_equal(changed[place["add"]].out, np.sin(x) + np.array([2.0, 3.0]) * x)
    twin = changed[place["add"]]
    assert [p is place["sin"] or p is changed[place["multiply"]] for p in twin.parents or ()] == [True, True]
    assert place["add"].out is not twin.out


# -- Factors and numbers in words


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (Factor("N", 4.0), "N (the number of samples)"), (Factor("-N", -4.0), "-N (the number of samples)"),
        (Factor("3", 3.0), "3"), (Factor("4", 4.0, ("N",)), "4 (here the same as N, the number of samples)"),
        (Factor("N", 4.0, ("n_out^2", "width")),
         "N, the number of samples, (here the same as n_out^2 or width, the width of the layer)"),
        (Factor("1", 1.0, tuple("abcdefgh")), "1 (here the same as a or b or c or d or e or f)"),
    ],
)  # fmt: skip
def test_a_factor_is_written_with_its_meaning(factor: Factor, words: str) -> None:
    assert factor.words == words
    assert (factor.is_one, factor.is_sign) == (factor.name == "1", False)
    assert Factor("-1", -1.0).is_sign


def test_a_number_is_a_size_only_where_it_changes_with_it() -> None:
    rest = {"n_out": 3, "p": 0, "lambda": 0}
    four, seven = {"N": 4, **rest}, {"N": 7, **rest}
    assert name_factor([1.0, 1.0], [four, seven]) == Factor("1", 1.0)
    assert name_factor([-1.0, -1.0], [four, seven]) == Factor("-1", -1.0)
    assert name_factor([2.0, 2.0], [four, seven]) == Factor("2", 2.0)
    assert name_factor([0.5], [{**four, "n_out": 2}]) == Factor("1/2", 0.5, ("2/N", "1/n_out", "n_out/N", "1/sqrt(N)"))
    assert name_factor([9.0, 9.0], [four, seven]) == Factor("9", 9.0, ("n_out^2",))
    assert name_factor([4.0, 4.0], [four, four]) == Factor("4", 4.0, ("N",))
    assert name_factor([-4.0, -7.0], [four, seven]) == Factor("-N", -4.0)
    assert name_factor([4.0, 7.0 * (1 + 0.9e-6)], [four, seven]) == Factor("N", 4.0)
    assert name_factor([4.0, 7.0 * (1 + 1.2e-6)], [four, seven]) is None
    assert name_factor([4.0, 7.0 * (1 + 1e-4)], [four, seven], 1e-3) == Factor("N", 4.0)
    assert name_factor([1 + 0.9e-6, 1 - 0.9e-6], [four, seven]) == Factor("1", 1 + 0.9e-6)
    assert name_factor([0.0, 0.0], [four, seven]) is None
    assert name_factor([], []) is None
    assert name_factor([4.0, math.inf], [four, seven]) is None


@pytest.mark.parametrize(("value", "digits", "text"), [
    (math.inf, 2, "inf"), (0.0, 2, "0"), (1.26e-10, 2, "1.3e-10"), (123456.0, 2, "1.2e5"), (-3e100, 1, "-3e100"),
    (0.5, 3, "0.5"), (99.6, 2, "1e2"),
])  # fmt: skip
def test_a_number_in_few_letters(value: float, digits: int, text: str) -> None:
    assert compact_text(value, digits) == text
