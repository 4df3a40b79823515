"""Gradients by numbers alone, of forwards that cannot run on Tensors: values, sides of kinks, directions, rounding."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import compare_gradients
from tinygrad_nn.compare.conventions.reasons import EDIT, EDIT_MASK, WRITES, _edit_advice, _obstacle_clauses
from tinygrad_nn.compare.numerical.full_gradients import DIRECTIONS, FEW, differentiate_inputs, one_side, rounding_of
from tinygrad_nn.gradcheck.numerical import Line

Array = Any
R = np.random.default_rng(3)
X, Y = R.normal(size=(3, 2)), R.normal(size=2)
C = R.normal(size=(3, 2))
Z = R.normal(size=3) + 1j * R.normal(size=3)
FORGETFUL = lambda x: np.where(np.asarray(x).real > 0, np.asarray(x).real, 0.0)  # takes no complex step


@pytest.mark.parametrize(
    ("f", "leaves", "cotangents", "gradients"),
    [
        (lambda x, y: [np.sin(x) * y], (X, Y), [C], [C * np.cos(X) * Y, (C * np.sin(X)).sum(axis=0)]),
        (lambda x, y: [x @ y, y**2], (X, Y), [C[:, 0], Y], [np.outer(C[:, 0], Y), X.T @ C[:, 0] + 2 * Y * Y]),
        (lambda x: [np.exp(1000 * x)], (np.array([0.01, -0.002]),), [np.ones(2)],
         [1000 * np.exp(np.array([10.0, -2.0]))]),
        (lambda x: [x**2], (np.array([1e6, 1e-6, 0.0]),), [np.ones(3)], [np.array([2e6, 2e-6, 0])]),
        (lambda z: [z * z], (Z,), [Z + 1], [2 * np.conj(Z) * (Z + 1)]), (lambda z: [np.abs(z)], (Z,), [np.ones(3)],
                                                                       [Z / np.abs(Z)]),
        (lambda x: [np.array(3.0)], (X,), [np.array(1.0)], [0 * X]), (lambda x: [x + 0], (np.zeros((0, 2)),),
                                                                    [np.zeros((0, 2))], [np.zeros((0, 2))]),
    ],
)  # fmt: skip
def test_every_entry_is_known_up_to_its_reported_bound(f: Any, leaves: Any, cotangents: Any, gradients: Any) -> None:
    found = differentiate_inputs(Line(f, leaves), cotangents, np.random.default_rng(0), 60.0)
    for whole, right in zip(found, gradients, strict=True):
        assert whole.value.shape == right.shape
        assert whole.is_known.all()
        assert (np.abs(whole.value - right) <= whole.error).all()
        assert (whole.error <= 1e-6 * np.maximum(1, np.abs(right).max(initial=0))).all()
        np.testing.assert_array_equal(whole.low, whole.value)
        np.testing.assert_array_equal(whole.high, whole.value)
        assert (whole.kinks, whole.directions) == (0, [])


@pytest.mark.parametrize("f", [lambda x: [np.maximum(x, 0)], lambda x: [FORGETFUL(x)]])
def test_at_a_kink_the_slopes_of_both_sides_are_returned(f: Any) -> None:
    (whole,) = differentiate_inputs(Line(f, [np.array([0.0, 1.0, -2.0])]), [np.array([2.0, 3.0, 4.0])],
                                    np.random.default_rng(0), 60.0)  # fmt: skip
    np.testing.assert_allclose(whole.low, [0, 3, 0], atol=1e-6)
    np.testing.assert_allclose(whole.high, [2, 3, 0], atol=1e-6)
    assert whole.low[0] <= 0
    assert whole.high[0] >= 2
    assert whole.kinks == 1
    (down,) = differentiate_inputs(Line(f, [np.zeros(1)]), [np.array([-2.0])], np.random.default_rng(0), 60.0)
    np.testing.assert_allclose([down.low[0], down.high[0]], [-2, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("v", "slope"), [([1.0, 0.0], 3.0), ([-1.0, 0.0], 3.0), ([2.0, 1.0], 6 - 4), ([0.0, -1.0], 4.0), ([0.0, 1.0], -4.0)]
)
def test_a_slope_on_one_side(v: list[float], slope: float) -> None:
    line = Line(lambda w, x: [np.abs(x[:1]), x[1:] ** 3 + x[1:] * w], [np.array([-1.0]), np.array([0.0, 1e-6])])
    value, error = one_side(line, 1, np.array(v), [np.array([3.0]), np.array([4.0])])
    assert abs(value - slope) <= error + 1e-5
    assert error < 1e-5
    wide = Line(lambda x: [1e6 + np.abs(x)], [np.zeros(1)])
    assert one_side(wide, 0, np.ones(1), [np.ones(1)])[1] > error


def test_of_many_entries_a_random_part_is_looked_at_and_three_directions() -> None:
    x = R.normal(size=(5, 20))
    c = R.normal(size=(5, 20))
    right = c * np.cos(x)
    for seconds, most, count in ((0.0, None, FEW), (60.0, 7, 7), (60.0, None, 100)):
        line = Line(lambda x, y: [np.sin(x) + 0 * y], [x, np.zeros(())])
        whole, other = differentiate_inputs(line, [c], np.random.default_rng(1), seconds, most)
        assert whole.is_known.sum() == count
        assert other.is_known.all()
        np.testing.assert_allclose(whole.value[whole.is_known], right[whole.is_known], rtol=1e-9)
        assert np.isnan(whole.error[~whole.is_known]).all()
        assert np.isnan(whole.low[~whole.is_known]).all()
        assert np.isnan(whole.high[~whole.is_known]).all()
        assert len(whole.directions) == DIRECTIONS * (count < 100)
        for v, slope, bound in whole.directions:
            assert abs(slope - (right * v).sum()) <= bound < 1e-6
    first = {differentiate_inputs(line, [c], np.random.default_rng(s), 0.0, 5)[0].is_known.argmax() for s in range(4)}
    assert len(first) > 1


def test_directions_of_complex_inputs_and_none_at_kinks() -> None:
    z = R.normal(size=30) + 1j * R.normal(size=30)
    (whole,) = differentiate_inputs(Line(lambda z: [z * z], [z]), [z], np.random.default_rng(0), 0.0)
    right = 2 * np.conj(z) * z
    for v, slope, bound in whole.directions:
        assert np.abs(v.imag).max() > 0
        assert abs(slope - (np.conj(right) * v).real.sum()) <= bound
    (kinky,) = differentiate_inputs(Line(lambda x: [np.abs(x)],
    [np.zeros(30)]), [np.ones(30)], np.random.default_rng(0), 0.0)
    assert (kinky.directions, kinky.kinks) == ([], FEW)


def test_the_rounding_of_a_backward_is_by_its_size_and_by_what_moves() -> None:
    x = np.array([1.0, 2.0, 0.0])
    eps = np.finfo(float).eps

    def of(f: Callable[[Array], Array], x: Array = x, ulps: float = 4.0) -> Array:
        return rounding_of(lambda moved: [f(moved[0])], [x], [f(x)], np.random.default_rng(0), ulps)[0] / (ulps * eps)

    plain = of(lambda x: x)  # its size and a quarter of the largest, and what it moves by: half to all of its size
    assert (plain >= np.abs(x) * 1.5 + 0.5 - 1e-3).all()
    assert (plain <= np.abs(x) * 2 + 0.5 + 1e-3).all()
    steep = of(lambda x: np.exp(50 * x))
    assert (steep[:2] > 25 * np.exp(50 * x[:2])).all()
    jump = of(lambda x: 1.0 * (x > 1))  # a jump is not rounding
    np.testing.assert_allclose(jump, [0.25, 1.25, 0.25], rtol=1e-9)
    np.testing.assert_allclose(of(lambda x: 0 * x + 3), 3.75, rtol=1e-9)
    single = rounding_of(lambda moved: [moved[0]], [x.astype(np.float32)], [x], np.random.default_rng(0), 4.0)[0]
    assert (single > 1e-7).all()
    with np.errstate(divide="ignore"):
        infinite = of(lambda x: 1 / x)
    assert np.isfinite(infinite).all()

    calls: list[int] = []

    def sometimes(moved: list[Array]) -> list[Array]:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError
        return [np.zeros(2)]

    (found,) = rounding_of(sometimes, [x], [x], np.random.default_rng(0), 4.0)
    assert len(calls) == 2
    np.testing.assert_allclose(found / (4 * eps), [1.5, 2.5, 0.5], rtol=1e-9)


# ---- Reports


def forward(x: Array, A: Array, b: Array) -> Array:
    out = np.zeros((x.shape[0], A.shape[1]))
    out[...] = np.tanh(x @ A + b)
    return out


def backward(x: Array, A: Array, b: Array, g: Array) -> Any:
    d = g * (1 - np.tanh(x @ A + b) ** 2)
    return d @ A.T, x.T @ d, d.sum(0)


GIVEN = R.normal(size=(3, 4)), R.normal(size=(4, 2)), R.normal(size=2)
# what is changed in what the backward returns; ok, the kind, where, a part of the text or the evidence
REPORTS: dict[str, tuple[Any, bool, str, str, str]] = {
    "transposed": (lambda x, A, b: (x, A.T, b), False, "transpose", "A", "it has shape (2, 4), the input (4, 2)"),
    "kept": (lambda x, A, b: (x, A, np.stack([b / 3] * 3)), False, "broadcast_not_summed", "b", "That sum is missing."),
    "a row": (lambda x, A, b: (x, A, b[None]), True, "convention", "b", "the shape is (1, 2) and should be (2,)"),
    "a column": (lambda x, A, b: (x, A, b[:, None]), False, "wrong_shape", "b", "Write .reshape((2,))"),
    "flat": (lambda x, A, b: (x, A.ravel(), b), False, "wrong_shape", "A", "the shape is (8,) and should be (4, 2)"),
    "twice": (lambda x, A, b: (2 * x, A, b), False, "scale", "x", "The gradient is 2 times the right one."),
    "a sign": (lambda x, A, b: (-x, -A, -b), False, "sign", "x, A, b", "and at 2 other points"),
}  # fmt: skip


@pytest.mark.parametrize("name", REPORTS)
def test_mistakes_are_diagnosed_without_a_graph(name: str) -> None:
    change, ok, kind, where, text = REPORTS[name]
    without_source = eval("lambda x, A, b, g: change(*backward(x, A, b, g))", {"change": change, "backward": backward})
    report = compare_gradients(forward, GIVEN, manual=without_source)
    (found,) = report.diagnoses
    assert (report.ok, found.kind, found.where) == (ok, kind, where), str(report)
    assert text in " ".join((found.text, *found.evidence))
    assert [row.checked for row in report.rows] == [12, 8, 2]
    assert all(np.isnan(row.graph) for row in report.rows)


def test_right_gradients_are_accepted_and_a_kink_is_noted() -> None:
    report = compare_gradients(forward, GIVEN, manual=backward)
    assert report.ok
    assert not report.diagnoses

    def cut(x: Array) -> Array:
        out = np.zeros(3)
        out[...] = np.maximum(x, 0)
        return out

    x = np.array([0.0, 1.0, -1.0])
    for slope, ok in ((0.0, True), (0.5, True), (1.0, True), (1.1, False), (-0.1, False)):
        manual = eval("lambda x, g: g * np.where(x == 0, s, x > 0)", {"np": np, "s": slope})
        at = compare_gradients(cut, x, manual=manual)
        assert at.ok is ok, slope
        assert "x: 1 entry at a kink, where any slope between those on both sides is right." in at.notes


# ---- Why a forward cannot run on Tensors

MATH, ARRAY = "calls plain Python math, {}, which takes numbers only", "makes an array of Tensors, {}"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("out[i] = x", [WRITES]), ("out[i] += x", [WRITES, WRITES]), ("y += x", [WRITES]), ("y, out[0] = x", [WRITES]),
        ("[y, out[0]] = x", [WRITES]), ("y = z = out[0]", []), ("out[0] = y = x", [WRITES]), ("y = x[0]", []),
        ("y = math.sin(x)", [MATH.format("math.sin")]), ("y = cmath.exp(x)", [MATH.format("cmath.exp")]),
        ("y = sqrt(x)", []), ("y = np.sqrt(x)", []),
        ("y = special.erf(x)", ["calls SciPy, special.erf, which has no rule here"]),
        ("y = x.item()", ["turns a Tensor into a plain number, x.item"]),
        ("y = x.tolist()[0]", ["turns a Tensor into a plain number, x.tolist"]),
        ("y = float(x)", ["turns a Tensor into a plain number, float"]),
        ("if float(x) > 1:", ["turns a Tensor into a plain number, float"]),
        ("y = np.asarray(x)", [ARRAY.format("np.asarray")]), ("y = np.array([x, x])", [ARRAY.format("np.array")]),
        ("np.add.at(y, i, x)", [WRITES]), ("np.add(x, x, out=y)", [WRITES]), ("y = f(x, k=1)", []), ("y = (", []),
        ("for i in x:", []),
        ("out[0] = math.sin(float(x))", [WRITES, MATH.format("math.sin"), "turns a Tensor into a plain number, float"]),
    ],
)  # fmt: skip
def test_what_a_statement_does_that_a_tensor_does_not_take(text: str, what: list[str]) -> None:
    assert list(_obstacle_clauses(text)) == what


@pytest.mark.parametrize(("text", "name"), [("y = sqrt(x)", "sqrt"), ("y = pow(x, 2)", "pow"),
("y = np.sqrt(x)", ""), ("y = f(x)", "")])
def test_a_function_of_math_is_named_in_the_reason(text: str, name: str) -> None:
    assert list(_obstacle_clauses(text, TypeError())) == ([MATH.format(name)] if name else [])


def test_the_edit_is_given_if_only_writing_into_an_array_prevents_tracing() -> None:
    def writes(x: Array) -> Array:
        out = np.zeros(3)
        for i in range(3):
            out[i, 0] = np.sin(x[i])
        out += 1
        return out

    def more(x: Array) -> Array:
        out = np.zeros(3)
        out[0] = x[0]
        return float(out[0])

    assert _edit_advice(writes.__code__, "out[i, 0] = np.sin(x[i])") == EDIT.format(
        out="out", index="i, 0", method="set"
    )
    assert _edit_advice(writes.__code__, "out[1:] += x") == EDIT.format(out="out", index="1:", method="add")
    assert _edit_advice(writes.__code__, "self.out[0] -= x") == EDIT.format(out="self.out", index="0", method="set")
    nested = EDIT.format(out="d", index="np.argmax(t[0])", method="set")
    assert _edit_advice(writes.__code__, "d[np.argmax(t[0])] -= 1") == nested
    masked = EDIT_MASK.format(out="h", index="h < 0")
    assert _edit_advice(writes.__code__, "h[h < 0] = 0") == masked
    assert _edit_advice(writes.__code__, "out += x") == ""
    assert _edit_advice(writes.__code__, "f(x)") == ""
    assert _edit_advice(more.__code__, "out[0] = x[0]") == ""
