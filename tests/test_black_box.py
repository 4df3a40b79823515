"""Gradients that only numerical derivatives can check, entry by entry: which entries are checked, and what is said."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import compare_gradients
from tinygrad_nn.compare.function import black_box
from tinygrad_nn.compare.function.black_box import (
    _agrees,
    _shape_diagnoses,
    by_differences,
    describe_known_entries,
    empty_graph,
)
from tinygrad_nn.compare.function.cotangents import (
    _explains,
    _variants,
    _variants_of_one,
    _wrong_axes_diagnosis,
    columns,
)
from tinygrad_nn.compare.function.inputs_and_results import has_no_effect
from tinygrad_nn.compare.numerical import full_gradients as whole_module
from tinygrad_nn.compare.numerical.full_gradients import (
    NumericalGradient,
    _differentiate_entry,
    differentiate_inputs,
    one_side,
    rounding_of,
)
from tinygrad_nn.compare.rows import judged_row
from tinygrad_nn.gradcheck.numerical import Line

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(2)
X, W, B = RNG.normal(size=(3, 4)), RNG.normal(size=(4, 3)), RNG.normal(size=3)


def forward(x: Array, w: Array, b: Array) -> Array:
    out = np.zeros((3, 3))
    out[...] = np.tanh(x @ w + b)
    return out


def backward(x: Array, w: Array, b: Array, g: Array) -> Any:
    d = (1 - np.tanh(x @ w + b) ** 2) * g
    return d @ w.T, x.T @ d, d.sum(axis=0)


def compared(spoil: Any) -> Any:
    hidden = eval("lambda x, w, b, g: spoil(*backward(x, w, b, g))", {"spoil": spoil, "backward": backward})
    return compare_gradients(forward, {"x": X, "w": W, "b": B}, manual=hidden)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the check look at only four entries of each input."""
    monkeypatch.setattr(whole_module, "FEW", 4)
    monkeypatch.setattr(black_box, "SECONDS", 0.0)
    monkeypatch.setattr(black_box, "PROBE_SECONDS", 0.0)


def said(report: Any) -> list[tuple[str, str, str]]:
    return [(d.kind, d.where, d.text) for d in report.diagnoses]


def test_right_gradients_are_accepted_and_the_report_says_how_many_entries_were_checked(few: None) -> None:
    report = compared(lambda *grads: grads)
    assert report.ok
    assert [(row.name, row.checked, row.odd) for row in report.rows] == [("x", 4, ""), ("w", 4, ""), ("b", 3, "")]
    assert "11 of 27 entries, drawn at random, and along 3 random directions of each input" in report.method


def test_every_entry_is_looked_at_where_time_allows() -> None:
    report = compared(lambda *grads: grads)
    assert [row.checked for row in report.rows] == [12, 12, 3]
    assert "in float64, at every entry" in report.method


def test_what_numbers_say_of_other_shapes(few: None) -> None:
    assert said(compared(lambda dx, dw, db: (dx.T, dw, db))) == [("transpose", "x", "The gradient is transposed.")]
    (d,) = compared(lambda dx, dw, db: (dx[None], dw, db)).diagnoses
    assert (d.kind, d.where) == ("convention", "x")
    assert d.text.startswith("The numbers are right, but the shape is (1, 3, 4) and should be (3, 4)")
    (d,) = compared(lambda dx, dw, db: (dx, dw, np.stack([db, 0 * db]))).diagnoses
    assert (d.kind, d.where) == ("broadcast_not_summed", "b")
    (d,) = compared(lambda dx, dw, db: (dx, dw, np.append(db, 1.0))).diagnoses
    assert (d.where, d.kind) == ("b", "unknown")


def test_what_numbers_say_where_some_entries_were_looked_at(few: None) -> None:
    (d,) = compared(lambda dx, dw, db: (dx, 3 * dw, db)).diagnoses
    assert (d.kind, d.where) in {("scale", "w"), ("unknown", "w")}
    assert "3" in d.text
    (d,) = compared(lambda dx, dw, db: (dx, np.sin(dw) + 2, db)).diagnoses
    assert (d.kind, d.where) == ("unknown", "w")
    assert d.text.startswith("Of the 4 entries of w that were checked, 4 are wrong: [")
    report = compared(lambda dx, dw, db: (dx, dw, np.sin(db) + 2))
    assert "looked at" not in report.diagnoses[0].text  # all three were


def test_errors_in_unchecked_entries_show_along_random_directions(few: None) -> None:
    looked: list[Any] = []

    def spoil(dx: Array, dw: Array, db: Array) -> Any:
        looked.append(dw.copy())
        wrong = dw.copy()
        wrong.reshape(-1)[::2] += 5.0
        return dx, wrong, db

    report = compared(spoil)
    assert not report.ok
    assert report.rows[1].odd == "manual"
    assert not report.rows[1].ok
    assert [d.where for d in report.diagnoses] == ["w"]


def test_a_small_error_in_one_entry_shows_whether_it_was_looked_at_or_not(few: None) -> None:
    for k in range(0, 12, 2):
        report = compared(lambda dx, dw, db, k=k: (dx, dw + 1e-4 * (np.arange(12).reshape(4, 3) == k), db))
        assert [row.ok for row in report.rows] == [True, False, True]


# -- Parts


def whole(value: Any, known: Any = None, error: float = 1e-9) -> NumericalGradient:
    value = np.array(value, float)
    value = value if known is None else np.where(known, value, np.nan)
    return NumericalGradient(value, np.where(np.isnan(value), np.nan, error), value.copy(), value.copy())


def test_entries_that_were_looked_at_in_words() -> None:
    right = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    known = np.array([[True, False], [True, True], [False, True]])
    w = whole(right, known)
    shown = np.where(known, right, 0)
    assert describe_known_entries("w", 2 * right, shown, known, w) == (
        "Of the 4 entries of w that were checked, 4 are wrong: [0, 0], [1, 0], [1, 1] and [2, 1]. Each entry is 2 "
        "times the right one.")  # fmt: skip
    bad = known & (right > 3)
    assert describe_known_entries("w", np.where(bad, 0, right), shown, bad, w) == (
        "Of the 4 entries of w that were checked, 2 are wrong: [1, 1] and [2, 1].")  # fmt: skip
    other = right + np.array([[0.1, 0], [0.3, 0.45], [0, 0.9]])
    assert describe_known_entries("w", other, shown, known, w) == (
        "Of the 4 entries of w that were checked, 4 are wrong: [0, 0], [1, 0], [1, 1] and [2, 1].")  # fmt: skip
    many = np.ones((10, 10))
    assert describe_known_entries("w", 2 * many, many, many > 0, whole(many)).count("64 in all") == 1


def reshaped(m: Array, shape: tuple[int, ...]) -> list[tuple[str, Any]]:
    asked: Any = SimpleNamespace(user_gradients=[0, m], float64_inputs=[0, np.zeros(shape)], label=lambda i: "ab"[i])
    found = list(_shape_diagnoses(asked, 1))
    assert all(d.where == "b" for d, _ in found)
    return [(d.kind, array.tolist()) for d, array in found]


def test_what_a_gradient_of_another_shape_may_be() -> None:
    m = np.arange(6.0).reshape(2, 3)
    assert reshaped(m, (3, 2)) == [("transpose", m.T.tolist()), ("wrong_shape", m.reshape(3, 2).tolist())]
    assert reshaped(m, (2, 3)) == []
    assert reshaped(m[:2, :2], (2, 2)) == [("transpose", m[:2, :2].T.tolist())]
    assert reshaped(m, (3,)) == [("broadcast_not_summed", [3.0, 5.0, 7.0])]
    assert reshaped(m, (1, 3)) == [("broadcast_not_summed", [[3.0, 5.0, 7.0]])]
    assert reshaped(m[None], (2, 3)) == [("convention", m.tolist()), ("broadcast_not_summed", m.tolist())]
    assert reshaped(m, (4,)) == []
    assert reshaped(m, (6,)) == [("wrong_shape", m.ravel().tolist())]


def test_numbers_that_agree_where_they_are_known() -> None:
    right = np.array([1.0, 100.0, 3.0])
    w = whole(right, [True, True, False], error=1e-3)
    assert _agrees(np.array([1.001, 100.0, 9.0]), w)
    assert _agrees(np.array([1.001 + 9e-6, 100.0, 9.0]), w)
    assert not _agrees(np.array([1.001 + 1.2e-5, 100.0, 9.0]), w)
    assert not _agrees(np.array([0.998, 100.0, 9.0]), w)
    assert _agrees(right, whole(right, [False] * 3))


def test_sentences_speak_of_numbers() -> None:
    said = by_differences("with this mistake, the graph gives them")
    assert said == "with this mistake, the numerical gradients become them"
    assert by_differences("entry: manual 2, graph nan, numerical 1") == "entry: manual 2, numerical 1"
    graph = empty_graph([X, W])
    assert [node.out is x for node, x in zip(graph.inputs, (X, W), strict=True)] == [True, True]
    assert (graph.operations, graph.outs) == ([], [])


def test_an_input_without_effect_has_gradients_no_larger_than_rounding() -> None:
    eps = float(np.finfo(float).eps)
    x, small = np.full(3, 2.0), np.full(3, 1e-9)
    for leaf, scale in ((x, 0.5), (small, 1e3), (np.zeros(0), 1e3)):
        most = 64 * eps * 10 * scale
        g = np.zeros(3)
        assert has_no_effect([np.array([-10.0, 1.0])], [leaf], [[g]]) == [True]
        g[1] = 0.9 * most
        assert has_no_effect([np.array([-10.0, 1.0])], [leaf], [[g]]) == [True]
        g[1] = -1.1 * most
        assert has_no_effect([np.array([-10.0, 1.0])], [leaf], [[g]]) == [False]
        assert has_no_effect([np.array([-10.0, 1.0])], [leaf, x], [[0 * g, 0 * x], [g, 0 * x]]) == [False, True]
        assert has_no_effect([np.array([-10.0, 1.0])], [leaf], [[g * np.nan]]) == [True]


# -- Whole gradients by numbers


def line(f: Any, *leaves: Any) -> Line:
    return Line(lambda *xs: [f(*xs)], [np.asarray(x) for x in leaves])


def test_a_gradient_entry_by_entry() -> None:
    f = lambda x, w: np.sin(x) * w
    x, w, c = np.array([0.5, 30.0]), np.array([2.0, -1.0]), np.array([3.0, 0.5])
    found = differentiate_inputs(line(f, x, w), [c], np.random.default_rng(0), 1.0)
    np.testing.assert_allclose(found[0].value, c * np.cos(x) * w, rtol=1e-12)
    np.testing.assert_allclose(found[1].value, c * np.sin(x), rtol=1e-12)
    for part in found:
        assert part.is_known.all()
        assert (part.error < 1e-9).all()
        assert part.kinks == 0
        assert part.directions == []
        np.testing.assert_array_equal(part.low, part.value)
        np.testing.assert_array_equal(part.high, part.value)
    some = differentiate_inputs(line(f, x, w), [c], np.random.default_rng(0), 1.0, max_entries=1)
    assert [int(part.is_known.sum()) for part in some] == [1, 1]
    for part, right in zip(some, (c * np.cos(x) * w, c * np.sin(x)), strict=True):
        assert len(part.directions) == 3
        for v, slope, bound in part.directions:
            assert abs(slope - (v * right).sum()) <= bound
            assert bound < 1e-6 * np.abs(v).max()
            assert v.shape == (2,)
        np.testing.assert_allclose(part.value[part.is_known], right[part.is_known], rtol=1e-12)


def test_at_a_kink_the_slopes_of_both_sides_are_known() -> None:
    f = lambda x: np.where(x > 0, 3 * x, -x)
    w = NumericalGradient(*(np.full(2, np.nan) for _ in range(4)))
    for k, (sign, sides) in enumerate(((1.0, (-2.0, 6.0)), (-1.0, (-6.0, 2.0)))):
        _differentiate_entry(line(f, np.zeros(2)), 0, (k,), [np.full(2, 2 * sign)], w)
        assert w.kinks == k + 1
        np.testing.assert_allclose((w.low[k], w.high[k]), sides, rtol=1e-6)
        assert w.low[k] <= sides[0]
        assert w.high[k] >= sides[1]
    slope, error = one_side(line(f, np.zeros(2)), 0, np.array([1.0, 0.0]), [np.ones(2)])
    assert slope == pytest.approx(3, abs=1e-9)
    assert 0 <= error < 1e-6
    slope, error = one_side(line(lambda x: x**2, np.ones(2)), 0, np.array([-1.0, 0.0]), [np.ones(2)])
    assert abs(slope + 2) <= error


def test_rounding_of_a_backward_that_has_no_graph() -> None:
    eps = float(np.finfo(float).eps)
    rng = np.random.default_rng(0)
    mine = [np.array([1.0, 0.0, 4.0])]
    (still,) = rounding_of(lambda moved: mine, [X], mine, rng, 8)
    np.testing.assert_allclose(still, 8 * eps * np.array([2.0, 1.0, 5.0]), rtol=1e-12)
    moving = lambda moved: [mine[0] * (1 + 1e6 * (moved[0][0, 0] / X[0, 0] - 1))]
    (spread,) = rounding_of(moving, [X], mine, rng, 8)
    assert (spread >= still).all()
    assert spread[0] > still[0] + 0.4e6 * 8 * eps
    assert spread[2] < still[2] + 4 * 1e6 * 8 * eps * 1.0001
    jump = lambda moved: [mine[0] + 0.1]  # more than rounding does
    np.testing.assert_allclose(rounding_of(jump, [X], mine, rng, 8)[0], still, rtol=1e-12)
    near = lambda moved: [mine[0] + 0.0039]
    np.testing.assert_allclose(rounding_of(near, [X], mine, rng, 8)[0], still + 0.0039, rtol=1e-9)

    def stops(moved: Any) -> Any:
        raise ValueError

    np.testing.assert_allclose(rounding_of(stops, [X], mine, rng, 8)[0], still, rtol=1e-12)
    other = lambda moved: [np.ones(2)]
    np.testing.assert_allclose(rounding_of(other, [X], mine, rng, 8)[0], still, rtol=1e-12)
    (single,) = rounding_of(lambda moved: mine, [X.astype("f4")], mine, rng, 8)
    np.testing.assert_allclose(single, 8 * float(np.finfo("f4").eps) * np.array([2.0, 1.0, 5.0]), rtol=1e-12)
    bad = [np.array([1.0, np.nan])]
    np.testing.assert_allclose(rounding_of(lambda moved: bad, [X], bad, rng, 8)[0], 8 * eps * np.array([1.25, 0.25]))
    seen: list[Array] = []
    rounding_of(lambda moved: seen.append(moved[0]) or mine, [X], mine, rng, 8)  # type: ignore[func-returns-value]
    assert len(seen) == 2
    for moved in seen:
        apart = np.abs(moved / X - 1)
        assert (apart <= 8.6 * eps).all()
        assert (apart >= 3.4 * eps).all()


# -- Other cotangents


def test_how_results_move_with_an_entry() -> None:
    x = np.array([[0.3, -20.0], [1.0, 2.0]])
    f = lambda x, w: np.sin(x) * w
    moves = columns(line(f, x, np.ones((2, 2))), 0, [(0, 1), (1, 0)])
    for (move,), (i, j) in zip(moves, [(0, 1), (1, 0)], strict=True):
        right = np.zeros((2, 2))
        right[i, j] = np.cos(x[i, j])
        np.testing.assert_allclose(move, right, atol=1e-9)
    ((move,),) = columns(line(f, x, np.ones((2, 2))), 1, [(1, 1)])
    np.testing.assert_allclose(move, [[0, 0], [0, np.sin(2.0)]], atol=1e-12)


def test_cotangents_that_give_a_gradient() -> None:
    moves = [[np.array([1.0, 2.0])], [np.array([0.0, -1.0])]]
    g = [np.array([3.0, 1.0])]
    assert _explains(g, moves, np.array([5.0, -1.0]), [(0,), (1,)])
    assert _explains(g, moves, np.array([5.0 + 4e-7, -1.0]), [(0,), (1,)])
    assert not _explains(g, moves, np.array([5.0 + 6e-7, -1.0]), [(0,), (1,)])
    assert not _explains(g, moves, np.array([5.0, 1.0]), [(0,), (1,)])
    assert not _explains(g, moves, np.array([np.nan, -1.0]), [(0,), (1,)])
    cancel = [[np.array([1e6, -3e6 + 2e-3])]]  # a thousandth of the terms, times what is close
    assert _explains(g, cancel, np.array([2e-3 + 5e-4]), [(0,)])
    assert not _explains(g, cancel, np.array([2e-3 + 7e-4]), [(0,)])


def test_variants_of_a_cotangent() -> None:
    g = np.array([[1.0, 2.0], [3.0, 4.0]])
    made = {(kind, text): other.tolist() for kind, text, other in _variants_of_one(g)}
    texts = {text for _, text in made}
    assert len(made) == len(list(_variants_of_one(g)))

    def of(*parts: str) -> Any:
        (found,) = [other for (_, text), other in made.items() if all(p in text for p in parts)]
        return found

    assert of("Only the last position along axis 0 of") == [[0, 0], [3, 4]]
    assert of("Only the first position along axis 0 of") == [[1, 2], [0, 0]]
    assert of("Only the last position along axis 1 of") == [[0, 2], [0, 4]]
    assert of("Only the last position along axes 0 and 1 of") == [[0, 0], [0, 4]]
    assert of("Only the first position along axes 0 and 1 of") == [[1, 0], [0, 0]]
    assert of("reverse order along axis 1") == [[2, 1], [4, 3]]
    assert of("Only the first half of the positions along axis 0 of") == [[1, 2], [0, 0]]
    assert of("off by one along axis 0", "the next one belongs") == [[0, 0], [1, 2]]
    assert of("off by one along axis 0", "the one before belongs") == [[3, 4], [0, 0]]
    assert of("off by one along axis 1", "the next one belongs") == [[0, 1], [0, 3]]
    assert of("averaged over axis 0") == [[2, 3], [2, 3]]
    assert of("averaged over axis 1") == [[1.5, 1.5], [3.5, 3.5]]
    assert of("transposed: axes 0 and 1") == [[1, 3], [2, 4]]
    assert of("The sign of the upstream gradient") == [[1, 1], [1, 1]]
    assert of("is squared") == [[1, 4], [9, 16]]
    assert of("The absolute value of") == g.tolist()
    one = list(_variants_of_one(np.array([[5.0, 6.0, 7.0]])))  # an axis of length 1 is none
    assert not any("axis 0" in text or "axes" in text or "transposed" in text for _, text, _ in one)
    assert not any("transposed" in text for _, text, _ in _variants_of_one(np.ones((2, 3))))
    two = list(_variants([g, np.ones(2)]))
    (first, second) = [v for v in two if "is not used" in v[1]]
    assert "result 0" in first[1]
    assert "result 1" in second[1]
    assert [x.tolist() for x in first[2]] == [[[0, 0], [0, 0]], [1, 1]]
    assert [x.tolist() for x in second[2]] == [g.tolist(), [0, 0]]
    assert len(two) == 2 + len(made) + len(list(_variants_of_one(np.ones(2))))
    assert all("is not used" not in text for _, text, _ in _variants([g]))
    assert texts


def summed(m: Array, right: Array, known: Any = None, takes: bool = True) -> str | None:
    g = np.arange(1.0, 13.0).reshape(2, 2, 3) ** 2
    asked: Any = SimpleNamespace(cotangents=[g], code=SimpleNamespace(takes_cotangents=takes))
    known = np.ones(right.shape, bool) if known is None else np.array(known)
    found = _wrong_axes_diagnosis(asked, m, right, known, "b")
    return found and found.text


def test_a_cotangent_summed_over_other_axes() -> None:
    g = np.arange(1.0, 13.0).reshape(2, 2, 3) ** 2
    assert summed(g.sum(axis=1), g.sum(axis=0)) == (
        "The upstream gradient was summed over axis 1; it should be summed over axis 0.")  # fmt: skip
    assert summed(g.sum(axis=(1, 2)), g.sum(axis=(0, 2))) == (
        "The upstream gradient was summed over axes 1 and 2; it should be summed over axes 0 and 2.")  # fmt: skip
    assert summed(g.sum(axis=2), g.sum(axis=(0, 1))) == (
        "The upstream gradient was summed over axis 2; it should be summed over axes 0 and 1.")  # fmt: skip
    assert summed(g.sum(axis=0), g.sum(axis=0)) is None
    assert summed(g.sum(axis=1), g.sum(axis=0), takes=False) is None
    assert summed(g.sum(axis=1) * 1.01, g.sum(axis=0)) is None
    assert summed(g.sum(axis=1), g.sum(axis=0) * 1.01) is None
    part = [[True, False, True], [True, True, False]]
    assert summed(g.sum(axis=1), np.where(part, g.sum(axis=0), 0), part) is not None
    assert summed(g.sum(axis=1), np.where(part, g.sum(axis=0), 0)) is None


# -- Rows of what numbers know


def test_a_row_of_what_numbers_know() -> None:
    right = np.array([1.0, 2.0, 4.0, 0.0])
    w = whole(right, [True, True, True, False], error=1e-3)
    row, bad, reference = judged_row("x", right + np.array([5e-4, 0, 0, 9]), w, 0.0)
    assert (row.ok, row.odd, row.checked, row.wrong) == (True, "", 3, 0.0)
    assert not bad.any()
    np.testing.assert_array_equal(reference, [1, 2, 4, 0])
    assert row.bound == 1e-3
    row, bad, _ = judged_row("x", right + np.array([0, 2e-3, 0, 9]), w, 0.0)
    assert (row.ok, row.odd, row.worst) == (False, "manual", (1,))
    assert bad.tolist() == [False, True, False, False]
    assert row.wrong == pytest.approx(1 / 3)
    assert (row.manual, row.numerical) == (2.002, 2.0)
    row, bad, _ = judged_row("x", right + np.array([0, 2e-3, 0, 9]), w, 1.1e-3)
    assert row.ok
    row, bad, _ = judged_row("x", right[:2], w, 0.0)
    assert not row.ok
    assert "but should have" in row.note
    row, bad, _ = judged_row("x", np.array([1.0, np.nan, 4.0, 0.0]), w, 0.0)
    assert not row.ok
    assert bad.tolist() == [False, True, False, False]
    row, bad, _ = judged_row("x", np.array([1.0, 2.0, 4.0, np.nan]), w, 0.0)
    assert bad.tolist() == [False, False, False, True]
    row, bad, _ = judged_row("x", np.zeros(0), whole(np.zeros(0)), 0.0)
    assert (row.ok, row.bound, row.checked) == (True, 0.0, 0)
    kink = NumericalGradient(np.array([1.0, 5.0]), np.full(2, 1e-3), np.array([-1.0, 5.0]), np.array([3.0, 5.0]), 1)
    for value, ok in ((-1.0, True), (3.0, True), (2.9, True), (-1.1, False), (3.1, False)):
        row, bad, reference = judged_row("x", np.array([value, 5.0]), kink, 0.0)
        assert row.ok is ok
        assert reference[0] == min(max(value, -1.0), 3.0)
