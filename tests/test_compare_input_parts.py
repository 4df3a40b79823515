"""Comparison of user functions: how they are called, how their backward behaves, messages, and the wrong line."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.test_function_messages import look as seen_of
from tests.test_function_messages import row as _row
from tinygrad_nn.compare.conventions.code import Code
from tinygrad_nn.compare.conventions.reasons import Reason, disconnected
from tinygrad_nn.compare.conventions.recognize import recognize_code
from tinygrad_nn.compare.diagnosis import Diagnosis
from tinygrad_nn.compare.edits import Edit
from tinygrad_nn.compare.factors import Factor
from tinygrad_nn.compare.function import black_box, comparison, lines, operations
from tinygrad_nn.compare.function.black_box import _explain, _probe_entries, compare_without_graph
from tinygrad_nn.compare.function.calling import make_inputs
from tinygrad_nn.compare.function.comparison import (
    _blind_diagnosis,
    _compute_probes,
    _compute_rows,
    _differentiate_by_graph,
    _differentiate_numerically,
    _no_value,
    _run_on_tensors,
    _side_effects,
)
from tinygrad_nn.compare.function.composed import _functions
from tinygrad_nn.compare.function.cotangents import diagnose_cotangent
from tinygrad_nn.compare.function.error_origin import ErrorOrigin
from tinygrad_nn.compare.function.graph_gradients import graph_gradients, run_graph
from tinygrad_nn.compare.function.inputs_and_results import ComparisonInput, ComparisonResult, draw_cotangents
from tinygrad_nn.compare.function.lines import _add_edit as _told_edit
from tinygrad_nn.compare.function.lines import _draw_batches, _with_other_rows, agree, limit_around
from tinygrad_nn.compare.function.locations import _run_text
from tinygrad_nn.compare.function.mutants import Mutant
from tinygrad_nn.compare.function.operations import _find_joint_diagnosis, explain_graph
from tinygrad_nn.compare.function.possible_backwards import PossibleBackward
from tinygrad_nn.compare.function.search import Match
from tinygrad_nn.compare.mistakes import cut
from tinygrad_nn.compare.numerical.full_gradients import NumericalGradient
from tinygrad_nn.gradcheck.numerical import Line

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(6)
A, C, V = np.array([0.5, -1.0, 2.0]), np.array([1.0, 2.0, -0.5]), np.ones(3)


# -- What is asked, and how a backward behaves


def asked_of(f: Any, manual: Any, *leaves: Array, names: tuple[str, ...] = ("x", "w")) -> Any:
    """A question on a function and its backward at some inputs."""
    given = dict(zip(names, leaves, strict=False))
    code = recognize_code(f, given, manual)
    outs = code.arrays([x.copy() for x in leaves])
    cotangents, g, _ = draw_cotangents(code, list(leaves), outs, np.random.default_rng(3))
    returned = code.back(code.inputs, [x.copy() for x in leaves], g)
    code = code.with_pairing(returned)
    line = Line(lambda *xs: code.arrays(xs), list(leaves))
    return ComparisonInput(code, list(leaves), list(leaves), outs, cotangents, g, code.gradients_from(returned), line,
                           np.random.default_rng(4))  # fmt: skip


def scaled(x: Any, w: Any) -> Any:
    return x * w


def scaled_back(x: Any, w: Any, g: Any) -> Any:
    return g * w, g * x


def test_cotangents_are_drawn_where_the_backward_takes_them() -> None:
    inputs = {"x": A, "w": C}
    code = recognize_code(scaled, inputs, scaled_back)
    outs = [A * C]
    cotangents, g, note = draw_cotangents(code, [A, C], outs, np.random.default_rng(0))
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(cotangents[0], rng.uniform(0.5, 1.5, 3) * rng.choice([-1.0, 1.0], 3))
    assert g is cotangents[0]
    assert note == ""
    code = recognize_code(scaled, inputs, lambda x, w: (w, x))
    cotangents, g, note = draw_cotangents(code, [A, C], outs, np.random.default_rng(0))
    assert cotangents[0].tolist() == [1, 1, 1]
    assert note == (
        "The function returns an array, and the backward has no parameter g for a cotangent, so the gradient of the "
        "sum of all its entries was compared. Errors that cancel in that sum cannot be seen: give the backward a "
        "parameter g.")  # fmt: skip
    for out in (np.array(2.0), np.array([2.0])):
        assert draw_cotangents(code, [A, C], [out], np.random.default_rng(0))[2] == ""
    assert draw_cotangents(code, [A, C], [np.ones(1), np.ones(1)], np.random.default_rng(0))[2] == note
    two = recognize_code(
        lambda x, w: {"a": x * w, "b": [x, 3]}, inputs, lambda x, w, g: (g["a"] * w + g["b"][0], g["a"] * x)
    )
    cotangents, g, _ = draw_cotangents(two, [A, C], [A * C, A], np.random.default_rng(0))
    assert g is cotangents[0]  # the 3 has no cotangent, so the parts cannot be put together
    both = recognize_code(
        lambda x, w: {"a": x * w, "b": [x]}, inputs, lambda x, w, g: (g["a"] * w + g["b"][0], g["a"] * x)
    )
    cotangents, g, _ = draw_cotangents(both, [A, C], [A * C, A], np.random.default_rng(0))
    assert g["a"] is cotangents[0]
    assert g["b"][0] is cotangents[1]
    asked = asked_of(scaled, scaled_back, A, C)
    assert (asked.labels, asked.label(1)) == (["x", "w"], "w")


def around(
    manual: Any, right: Any = None, again: Any = None, changed: Any = (), f: Any = scaled, written: bool = False
) -> list[Any]:
    asked = asked_of(f, manual, A, C)
    given = [asked.g * C, asked.g * A] if right is None else right
    found = _side_effects(asked, [asked.user_gradients] * 2 if again is None else again, list(changed), written, given)
    return [(d.kind, d.where, d.text, d.evidence) for d in found]


def test_how_a_backward_behaves() -> None:
    assert around(scaled_back) == []
    (ignored,) = around(lambda x, w, g: (w, g * x))
    assert ignored == (
        "cotangent_ignored", "x", ("The gradient is the same whatever g is. g is the upstream gradient from what is "
                                   "computed with the result, and every gradient must be multiplied by it, by the "
                                   "chain rule."),
        ("with g, and with -1.75 g, the backward returns the same numbers",))  # fmt: skip
    assert [d[1] for d in around(lambda x, w, g: (w, x))] == ["x, w"]
    assert around(lambda x, w, g: (0 * w, g * x)) == []
    assert around(lambda x, w, g: (w, g * x), right=[np.zeros(3), A]) == []  # there it is right to be the same
    assert around(lambda x, w, g: (w, g * x), right=[np.array([np.nan, 0, 0]), A]) == []
    assert around(lambda x, w, g: (w, g * x), right=[np.zeros(3), np.zeros(3)]) == []
    assert [d[1] for d in around(lambda x, w, g: (w, g * x), right=[A, np.zeros(3)])] == ["x"]
    assert around(lambda x, w, g: (w * (1 + 1e-15 * g), g * x)) == []
    assert around(lambda x, w: (w, x)) == []  # it takes none
    (wrote,) = around(scaled_back, changed=["x", "w"])
    assert wrote == (
        "inplace_overwrite", "x", ("The backward wrote into its inputs: x, w. Make a new array: `x = x * m` instead of "
                                   "`x *= m`."), ("the call changed x", "the call changed w"))  # fmt: skip
    (moving,) = around(scaled_back, again=[[A, C], [C, A]])
    assert moving[0] == "nondeterministic"
    assert "Pass the random numbers in, or fix their seed." in moving[2]
    (wrote,) = around(scaled_back, again=[[A, C], [C, A]], written=True)
    assert wrote[:2] == ("inplace_overwrite", "the upstream gradient")
    assert wrote[2].endswith("Write into a copy of it, made with `.copy()`.")


def test_a_blind_test_is_reported() -> None:
    asked = asked_of(scaled, scaled_back, A, C)
    rows: Any = [SimpleNamespace(name="x"), SimpleNamespace(name="w")]

    def blind(which: list[bool], right: list[Array]) -> tuple[Any, list[str]]:
        notes = ["a note"]
        found = ComparisonResult(rows, [], right, [], "", which, [], [])
        return _blind_diagnosis(asked, found, notes), notes[1:]

    ((d,), notes) = blind([True, True], [np.array([np.nan, -2e-17, 1e-17]), np.zeros(0)])
    assert (d.kind, d.where, notes) == ("blind_test", "x, w", [])
    assert d.evidence == ("the largest entry of the right gradient is 2.0e-17",)
    assert blind([False, True], [A, C]) == ([], [
        ("The result does not depend on w here: its gradient is 0 in every entry, and an error that multiplies 0 "
         "cannot be seen.")])  # fmt: skip
    assert blind([False, False], [A, C]) == ([], [])
    report = _no_value("f", [])
    assert "The function returns nothing that is made of floats, so there is no gradient" in report.diagnoses[0].text
    assert (report.rows, report.title, report.first_wrong, report.kinds) == ((), "f", "f", ("blind_test",))
    assert "The function is not finite (NaN or infinity) at" in _no_value("f", [A]).diagnoses[0].text


def test_answers_at_other_inputs() -> None:
    asked = asked_of(scaled, scaled_back, A, C)
    rng = np.random.default_rng(4)
    found = _compute_probes(asked)
    assert len(found) == 2
    for mine, trace, right in found:
        moved = [x * rng.uniform(0.8, 1.2, 3) + 0.05 * rng.normal(size=3) for x in (A, C)]
        g = rng.uniform(0.5, 1.5, 3) * rng.choice([-1.0, 1.0], 3)
        for one, two, three in zip(mine, right, (g * moved[1], g * moved[0]), strict=True):
            np.testing.assert_allclose(one, three, rtol=1e-14)
            np.testing.assert_allclose(two, three, rtol=1e-14)
        np.testing.assert_array_equal(trace.inputs[0].out, moved[0])
    calls: list[int] = []

    def stops(x: Any, w: Any, g: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise ValueError
        return g * w, g * x * (np.nan if len(calls) == 3 else 1)

    assert _compute_probes(asked_of(scaled, stops, A, C)) == []
    calls[:] = [1] * 5
    assert len(_compute_probes(asked_of(scaled, stops, A, C))) == 2


def test_a_graph_that_has_not_all_that_the_result_depends_on() -> None:
    def lost(x: Any, w: Any) -> Any:
        return x * (w.data if hasattr(w, "data") and not isinstance(w, np.ndarray) else w)

    _, graph, reason = _run_on_tensors(asked_of(lost, scaled_back, A, C))
    assert graph is None
    assert reason == disconnected("w")
    _, graph, reason = _run_on_tensors(asked_of(scaled, scaled_back, A, C))
    assert (graph is None, reason.text) == (False, "")
    _, graph, reason = _run_on_tensors(asked_of(lambda x, w: x * 2.0, lambda x, w, g: (2 * g, 0 * w), A, C))
    assert graph is not None  # the result does not depend on it
    _, graph, reason = _run_on_tensors(asked_of(lambda x, w: float(x[0]) * w, lambda x, w, g: (0 * x, g * x[0]), A, C))
    assert graph is None
    assert "turns a Tensor into a plain number, float" in reason.text


# -- The line that is wrong


def edit_of(fixes: tuple[int, ...], *, names: tuple[str, ...] = ("back",), others: tuple[str, ...] = ()) -> Any:
    return Edit(7, "", "", "In line 7 a would be right.", fixes, others, names, kind="sign", kinds=("scale",))


def test_an_edit_is_named_in_the_diagnoses_of_the_gradients_that_it_corrects() -> None:
    known = Diagnosis("scale", "sum, operation 3 of 5", "Half.", ("e",))
    open_ = [Diagnosis("unknown", "x", "A.", ("of x",)), Diagnosis("unknown", "w", "B.", ("of w",))]
    harmless = Diagnosis("convention", "x", "C.")
    text = ("In line 7 a would be right. With this change, the gradient of x, w is right, here and at other random "
            "inputs.")  # fmt: skip
    (one,) = _told_edit(open_, edit_of((0, 1)), ["x", "w"], set())
    assert (one.kind, one.where, one.text) == ("sign", "x, w, line 7 (back)", text)
    assert (one.evidence, one.alternatives) == (("of x",), ("scale",))
    also = "the same would come from 1 or from 2"
    one, two, three = _told_edit([known, *open_], edit_of((0,), others=("1", "2", "3")), ["x"], set())
    assert (one, three) == (known, open_[1])
    assert (two.where, two.evidence) == ("x, line 7 (back)", ("of x", also))
    (one,) = _told_edit([known], edit_of((0,), names=("a", "b")), ["x"], {known.where})
    assert (one.where, one.text, one.evidence) == ("sum, line 7", "Half.", ("e", "In line 7 a would be right."))
    (one,) = _told_edit([known], edit_of((0,), names=("a b",), others=("1",)), ["x"], {known.where})
    assert (one.where, one.evidence[1:]) == ("sum, line 7", ("In line 7 a would be right.", ("the same would come from "
                                                                                             "1")))
    assert _told_edit([harmless, known], edit_of((0,)), ["x"], set()) == [harmless, known]


def test_gradients_that_agree_to_rounding() -> None:
    right, nan = np.array([1.0, 100.0, np.nan]), np.array([False, False, True])

    def is_right(apart: list[float], error: float = 0.0, ignored: Any = nan) -> bool:
        return agree(right + np.array(apart), right, limit_around(right, error, ignored), ignored)

    assert is_right([9e-7, -9e-7, 0])
    assert not is_right([0, 1.1e-6, 0])
    assert not is_right([-1.1e-6, 0, 0])
    assert is_right([1.1e-6, 0, 0], 2e-7)
    assert not is_right([1.3e-6, 0, 0], 2e-7)
    assert not is_right([0, 0, 0], ignored=False)
    assert not agree(right[:1], right, 0.0, nan)
    two = np.array([False, True, True])
    assert is_right([0, 50, 0], ignored=two)
    assert not is_right([2e-8, 50, 0], ignored=two)  # the largest of those that count
    assert agree(np.zeros(0), np.zeros(0), 0.0, False)


def test_inputs_with_another_number_of_rows() -> None:
    def shapes(**given: Any) -> Any:
        inputs = make_inputs(list(given), list(given.values()))
        code = Code("f", inputs, None, None, False, None)  # type: ignore[arg-type]
        return [[np.shape(x) for x in other.inputs.leaves] for other in _with_other_rows(code)]

    assert shapes(x=np.ones((4, 2)), y=np.arange(4), n=4, v=V, z=np.ones((4, 3)), s=2.0) == [[
        (3, 2), (3,), (), (3,), (3, 3), ()]]  # fmt: skip
    assert shapes(v=np.ones(4), x=np.ones((5, 2)), w=np.ones((4, 2))) == [
        [(4,), (4, 2), (4, 2)], [(3,), (5, 2), (3, 2)]]  # fmt: skip
    assert shapes(x=np.ones((3, 2))) == [[(2, 2)]]
    assert shapes(x=np.ones((2, 2)), y=np.arange(2)) == [[(3, 2), (3,)]]
    assert shapes(x=np.ones((1, 2))) == [[(2, 2)]]
    assert shapes(v=np.ones(5)) == []


def test_other_inputs_for_the_search_of_a_line() -> None:
    asked = asked_of(scaled, scaled_back, np.ones((4, 2)), np.full((4, 2), 3.0))
    found = _draw_batches(asked, lambda code, leaves, gs: ([gs[0] * leaves[1], gs[0] * np.inf], [0 * leaves[0]] * 2))
    assert [b.leaves[0].shape for b in found] == [(4, 2), (4, 2), (4, 2), (3, 2)]
    assert [b.code is asked.code for b in found] == [True, True, True, False]
    rng = np.random.default_rng(0)
    for k, b in enumerate(found):
        shape = b.leaves[0].shape
        for x, size in zip(b.leaves, (1.0, 3.0), strict=True):
            if k == 0:  # the first has its entries, here equal ones, in another order
                rng.permutation(8)
            np.testing.assert_allclose(x, size * rng.uniform(0.8, 1.2, shape) + 0.05 * rng.normal(size=shape))
        g = rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)
        np.testing.assert_array_equal(b.g, g)
        np.testing.assert_array_equal(b.right_gradients[0], g * b.leaves[1])
        np.testing.assert_array_equal(b.outs[0], b.leaves[0] * b.leaves[1])
        assert [i.all() for i in b.ignored] == [False, True]
        assert not b.ignored[0].any()
    assert _draw_batches(asked, lambda code, leaves, gs: 1 / 0) == []  # type: ignore[arg-type,return-value]
    asked = asked_of(scaled, scaled_back, np.arange(8.0).reshape(4, 2) - 4, np.ones((4, 2)))
    found = _draw_batches(asked, lambda code, leaves, gs: ([gs[0], gs[0]], [0 * leaves[0]] * 2))
    signs = [np.sign(np.round(b.leaves[0])).ravel().tolist() for b in found[:2]]
    assert signs[0] != signs[1] == [-1, -1, -1, -1, 0, 1, 1, 1]
    assert sorted(signs[0]) == signs[1]


# -- The rows of a report


class Clock:
    """Stands in for the time budget, with fixed numbers of seconds left and spent."""

    def __init__(self, remaining: float, spent: float) -> None:
        self.remaining, self.spent = remaining, spent

    def __call__(self, seconds: float) -> Clock:
        assert seconds == comparison.SECONDS
        return self

    def __enter__(self) -> Clock:
        return self

    def __exit__(self, *unused: object) -> None: ...


def rows_of(asked: ComparisonInput, monkeypatch: pytest.MonkeyPatch, clock: Clock, parted: Any = None) -> list[Any]:
    """Return what each row is made of: the array, the referee, how many entries it is asked for, the directions."""
    made: list[Any] = []

    def row(what: Any, judge: Any, rng: Any, entries: int, along: Any) -> Any:
        made.append(SimpleNamespace(what=what, judge=judge, rng=rng, entries=entries, along=along))
        if asked.user_gradients[0].size:
            made[-1].first = judge((0,) * asked.user_gradients[0].ndim)
        return len(made), "bad"

    monkeypatch.setattr(comparison, "Budget", clock)
    monkeypatch.setattr(comparison, "compare_row", row)
    here = run_graph(asked.code, asked.float64_inputs, asked.cotangents)
    parts = [np.zeros(x.shape, bool) for x in asked.float64_inputs] if parted is None else parted
    sides: Any = SimpleNamespace(at_point=here, differs_between_sides=lambda rounding: parts)
    rounding = [np.full(x.shape, 0.25 + k) for k, x in enumerate(asked.float64_inputs)]
    rows, bads, kinks = _compute_rows(asked, sides, rounding)
    assert (rows, bads) == (list(range(1, len(asked.float64_inputs) + 1)), ["bad"] * len(asked.float64_inputs))
    for made_row, kink in zip(made, kinks, strict=True):
        made_row.kinks = kink
    return made


@pytest.mark.parametrize(
    ("left", "spent", "entries"),
    [(1.0, 0.05, 7), (1.0, 0.1, 3), (1.0, 0.001, 24), (-1.0, 2.0, 3), (1.0, 0.0, 24), (1.4, 1.4 / 54, 24),
     (1.4, 1.4 / 52, 23)],
)  # fmt: skip
def test_the_number_of_checked_entries_follows_the_time_limit(
    left: float, spent: float, entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rows_of(asked_of(scaled, scaled_back, A, C), monkeypatch, Clock(left * (1 + 1e-9), spent))
    assert [row.entries for row in made] == [entries] * 2


def cubed(x: Any, w: Any) -> Any:
    return x**3 * w


def test_what_the_referee_says_of_an_entry_and_along_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = np.array([0.5, -20.0, 3.0]), np.array([2.0, 0.25, -4.0])
    asked = asked_of(cubed, lambda x, w, g: (3 * x**2 * w * g, x**3 * g), x, w)
    parted = [np.array([False, True, False]), np.zeros(3, bool)]
    rows = rows_of(asked, monkeypatch, Clock(1.0, 0.1), parted)
    (c,) = asked.cotangents
    rights = [3 * x**2 * w * c, x**3 * c]
    rng = np.random.default_rng(4)
    for i, (row, right, leaf) in enumerate(zip(rows, rights, (x, w), strict=True)):
        assert (row.what.name, row.what.role, row.kinks) == ("xw"[i], "input", 0)
        assert row.what.manual is asked.user_gradients[i]
        assert row.rng is asked.rng
        np.testing.assert_allclose(row.what.graph, right)
        np.testing.assert_array_equal(row.what.rounding, np.full(3, 0.25 + i))
        for k in range(3):
            v, size = np.zeros(3), max(1.0, abs(leaf[k]))
            v[k] = size
            found = asked.line.along({i: v}, asked.cotangents, None)
            value, bound, kink = row.judge((k,))
            assert value == found.value / size == pytest.approx(right[k], rel=1e-9)
            slope = abs(row.what.graph[k])
            assert bound == pytest.approx(10 * found.error / size + 0.25 + i + 1e-10 * slope, rel=1e-12)
            assert not kink
        assert len(row.along) == 3
        for graph, numerical, allowed in row.along:
            v = np.where(parted[i], 0, rng.normal(size=3) * np.maximum(1.0, np.abs(leaf)))
            found = asked.line.along({i: v}, asked.cotangents, None)
            assert graph == pytest.approx((right * v).sum())
            assert numerical == found.value == pytest.approx(graph, rel=1e-8)
            size = ((0.25 + i) * np.abs(v)).sum() + 1e-10 * np.abs(row.what.graph * v).sum()
            assert allowed == pytest.approx(10 * found.error + size, rel=1e-12)


def test_the_referee_is_not_used_at_kinks_and_for_complex_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.array([0.0, 1.0, -2.0])
    asked = asked_of(lambda x, w: np.abs(x) + w, lambda x, w, g: (np.sign(x) * g, g), x, C)
    one, two = rows_of(asked, monkeypatch, Clock(1.0, 0.1))
    assert (one.kinks, two.kinks) == (1, 0)
    assert [one.judge((k,)).kink for k in range(3)] == [True, False, False]
    assert two.judge((0,)).kink is False
    assert one.along == []  # each of these goes through the kink
    assert len(two.along) == 3
    z = np.array([0.5 + 1j, -1.0, 2j])
    asked = asked_of(lambda z, w: np.abs(z) ** 2 + w, lambda z, w, g: (2 * z * g, g), z, C, names=("z", "w"))
    one, two = rows_of(asked, monkeypatch, Clock(1.0, 0.1))
    assert [one.judge((k,)).kink for k in range(3)] == [True] * 3
    assert not two.judge((0,)).kink
    rng = np.random.default_rng(4)
    for graph, numerical, _ in one.along:
        v = rng.normal(size=3) * np.maximum(1.0, np.abs(z)) * np.exp(2j * rng.normal(size=3))
        assert graph == pytest.approx(float(np.real(np.vdot(2 * z * asked.cotangents[0], v))))
        assert numerical == pytest.approx(graph)
    draws = np.random.default_rng(9)
    asked = asked_of(lambda x, w: x * w * (1 + draws.random()), scaled_back, A, C)
    assert not asked.line.steady
    one, two = rows_of(asked, monkeypatch, Clock(1.0, 0.1))
    assert one.along == two.along == []
    assert one.judge((0,)).kink


def test_how_precise_a_walk_is_taken_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    def sides(run: Any, leaves: Any, here: Any, eps: float) -> Any:
        seen.append(eps)
        raise StopIteration

    monkeypatch.setattr("tinygrad_nn.compare.function.graph_gradients.Sides", sides)
    asked = asked_of(scaled, scaled_back, A, C)
    for kind in ("f4", "f8", "c8", "c16"):
        with pytest.raises(StopIteration):
            graph_gradients(asked._replace(input_arrays=[A, C.astype(kind)]))
    single, double = float(np.finfo("f4").eps), float(np.finfo("f8").eps)
    assert seen == [single, double, single, double]
    numbers = _differentiate_numerically(asked.code, [A, C], asked.cotangents)
    alone = _differentiate_by_graph(asked.code, [A, C], asked.cotangents)
    for found in (numbers, alone):
        for g, right in zip(found[0], (C * asked.cotangents[0], A * asked.cotangents[0]), strict=True):
            np.testing.assert_allclose(g, right, rtol=1e-9)
    assert [e.tolist() for e in alone[1]] == [[0, 0, 0]] * 2
    assert all((e > 0).all() and (e < 1e-6).all() for e in numbers[1])


def test_the_search_for_a_line_gets_the_known_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asked_of(scaled, scaled_back, np.ones((4, 2)), np.full((4, 2), 3.0))
    grads = [asked.g * asked.float64_inputs[1], asked.g * asked.float64_inputs[0]]
    found: Any = SimpleNamespace(right_gradients=grads, error=[np.full((4, 2), 1e-3), np.zeros((4, 2))],
                                 ignored=[np.zeros((4, 2), bool)] * 2)  # fmt: skip
    calls: list[Any] = []
    made: list[Any] = []
    ways = [PossibleBackward("target", lambda new, batch: (new, batch), lambda value: value, False)]
    first: list[Any] = []

    def roads(code: Any, f: Any, given: Any, manual: Any, batch: Any) -> list[PossibleBackward]:
        first[:] = [code, f, given, manual, batch]
        return ways

    def edits(target: Any, call: Any, right: Any, **more: Any) -> list[Any]:
        calls.append(SimpleNamespace(target=target, call=call, right=right, **more))
        return made

    monkeypatch.setattr(lines, "possible_backwards", roads)
    monkeypatch.setattr(lines, "nearest_edits", edits)
    monkeypatch.setattr(lines, "line_of_result", lambda target, i, labels: (7 + i, f"of {target}, {labels[i]}"))
    monkeypatch.setattr(lines, "line_of_all", lambda target, which, labels: (9, f"of {which}"))

    def told(*diagnoses: Diagnosis) -> list[Diagnosis]:
        calls.clear()
        return lines.with_source_lines(asked, found, _differentiate_by_graph, list(diagnoses), ("f", "given", "manual"))

    harmless, blind = Diagnosis("convention", "x", ""), Diagnosis("blind_test", "x", "")
    assert told(harmless, blind) == [harmless, blind]
    assert (calls, first) == ([], [])
    x, w = Diagnosis("unknown", "x", "A.", ("e",)), Diagnosis("scale", "w", "B.")
    told(x, x)
    assert calls[0].seconds > 4 * lines.SECONDS / 2  # nothing explains any gradient
    one, two = told(x, w)
    assert lines.LESS < calls[0].seconds <= lines.SECONDS
    assert first[:4] == [asked.code, "f", "given", "manual"]
    batch = first[4]
    assert (batch.code, batch.leaves, batch.outs, batch.right_gradients) == (
        asked.code,
        asked.float64_inputs,
        asked.outs,
        grads,
    )
    assert batch.g is asked.g
    assert (batch.error, batch.ignored) == (found.error, found.ignored)
    shared = "x, w all come from line 9, and no right gradient does: of [0, 1]"
    assert one.evidence == ("e", "it is assigned in line 7: of target, x", shared)
    assert two.evidence == ("it is assigned in line 8: of target, w",)
    (call,) = calls
    assert (call.target, call.probes, call.may_fail, call.judges_more, call.names) == (
        "target",
        5,
        [4],
        False,
        ["x", "w"],
    )
    assert 1.4 < call.seconds <= 1.5
    new, batch = call.call("new", 4)
    assert (new, batch.leaves[0].shape) == ("new", (3, 2))
    assert call.right((None, grads), 0) == [True, True]
    assert call.right((None, [grads[0] + 9e-4, grads[1]]), 0) == [True, True]
    assert call.right((None, [grads[0] + 2e-3, grads[1] + 2e-3]), 0) == [False, False]
    assert call.right((asked.outs, [grads[0], 2 * grads[1]]), 0) == [True, False]
    assert call.right(([asked.outs[0] + 1e-3], grads), 0) == [False, False]
    told(Diagnosis("wrong_index", "x", "A."))
    assert 0.9 < calls[0].seconds <= 1.0
    ways.append(ways[0]._replace(target="other", stores_gradients=True))
    told(Diagnosis("wrong_index", "x", "A."))
    assert [(c.target, c.judges_more) for c in calls] == [("target", False), ("other", True)]
    assert 0.65 < calls[0].seconds <= 0.75 < 1.3 < calls[1].seconds <= 1.5
    made.append(edit_of((0,)))
    one, two = told(x, w)
    assert (one.kind, one.where, one.evidence) == ("sign", "x, line 7 (back)", ("e",))
    assert two.evidence == ("it is assigned in line 8: of target, w",)  # by the other road the same edit adds nothing
    ways.clear()
    assert told(x, w) == [x, w]


# -- Names of operations, and of what was composed


def test_runs_of_an_expression_are_counted_per_operation_and_line() -> None:
    both, other = (compile("1", "nowhere", "eval"), 0), (compile("2", "nowhere", "eval"), 0)
    names = ("sin", "cos", "sin", "sin", "sin")
    primitives = {name: SimpleNamespace(name=name) for name in names}
    nodes = [SimpleNamespace(primitive=primitives[name], notes={"sites": (site,)})
             for name, site in zip(names, (both, both, both, other, both), strict=True)]  # fmt: skip
    graph: Any = SimpleNamespace(operations=nodes)
    assert [_run_text(graph, place) for place in range(5)] == [
        ", run 3 of 3", "", ", run 2 of 3", "", ", run 1 of 3"]  # fmt: skip


def test_signs_of_large_numbers_are_no_function_of_them() -> None:
    x = np.array([30.0, -45.0, 25.0])
    assert list(_functions("divide", x, x / np.abs(x))) == []  # they are those of a tanh, too
    assert list(_functions("divide", x, (x > 0) * 1.0)) == []
    assert [name for name, *_ in _functions("divide", x / 30, np.tanh(x / 30))] == ["tanh"]


# -- Of explanations of the same numbers the cheapest is told

OF_ONE = Factor("1", 1.0)


class Searched:
    """A search that finds matches of some costs."""

    def __init__(self, seen: Any, *costs: float, kinds: tuple[str, ...] = (), factor: Factor = OF_ONE) -> None:
        self.data, self.asked, names = seen, list[Any](), kinds or ("wrong_value",) * len(costs)
        part = ((1, cut(None)),)
        self.found = [Match(Mutant(kind, "Text.", part, cost), factor) for kind, cost in zip(names, costs, strict=True)]

    def matches(self, over: list[int], *, linear: bool = True) -> list[Match]:
        self.asked.append((list(over), linear))
        return self.found


@pytest.mark.parametrize(
    ("change", "wrong", "cost", "kind"),
    [
        (lambda x, w, b: (-x, -w, -b), [0, 1, 2], 1.05, "sign"),
        (lambda x, w, b: (2 * x, 2 * w, 2 * b), [0, 1, 2], 1.05, "scale"),
        (lambda x, w, b: (x / 2, w / 2, b / 2), [0, 1, 2], 1.05, "scale"),
        (lambda x, w, b: (7 * x, 7 * w, 7 * b), [0, 1, 2], 1.5, "scale"),
        (lambda x, w, b: (0 * x, 0 * w, 0 * b), [0, 1, 2], 0.85, "scale"),
        (lambda x, w, b: (-x, -w, b), [0, 1], 1.55, "sign"),
        (lambda x, w, b: (7 * x, 7 * w, b), [0, 1], 2.0, "scale"), (lambda x, w, b: (x, w, 0 * b), [2], 0.85, "scale"),
        (lambda x, w, b: (x, -w, b), [1], 1.05, "sign"),
    ],
)  # fmt: skip
def test_what_a_factor_of_all_costs_beside_a_mistake(change: Any, wrong: list[int], cost: float, kind: str) -> None:
    seen = seen_of(change)
    for apart, told in ((-0.01, "wrong_value"), (0.01, kind)):
        found = _find_joint_diagnosis(seen, wrong, [Searched(seen, cost + apart)])  # type: ignore[list-item]
        assert found is not None
        assert found.kind == told
        assert found.alternatives == (kind if told != kind else "wrong_value",)


def test_searches_run_until_one_finds_the_mistake() -> None:
    seen = seen_of(lambda x, w, b: (np.sin(x), w, b))
    one, two = Searched(seen, 1.0), Searched(seen, 1.2, 1.1, kinds=("scale", "wrong_index"))

    def joint(*searches: Any, given: Any = seen, wrong: Any = (0,)) -> Any:
        for search in searches:
            search.asked.clear()
        return _find_joint_diagnosis(given, list(wrong), list(searches))

    assert joint(one, two).kind == "wrong_value"
    assert (one.asked, two.asked) == ([([0, 1, 2], True)], [])
    dear = Searched(seen, 1.01)
    assert joint(dear, two).alternatives == ("wrong_index", "scale")
    assert (dear.asked, two.asked) == ([([0, 1, 2], True)], [([0, 1, 2], False)])
    twice = Searched(seen, 0.5, factor=Factor("2", 2.0))
    assert joint(twice, two).text == "Text. It is also multiplied by 2."
    assert two.asked == [([0, 1, 2], False)]
    both = seen_of(lambda x, w, b: (np.sin(x), np.cos(w), b))
    assert joint(one, given=both).kind == "wrong_value"
    assert one.asked == [([0, 2], True)]  # of the other wrong one nothing is asked
    nothing = Searched(seen)
    assert joint(nothing) is None
    assert nothing.asked == [([0, 1, 2], True), ([0], False)]
    assert joint(nothing, given=seen_of(lambda *all: tuple(map(np.sin, all))), wrong=(0, 1, 2)) is None
    assert nothing.asked == [([0, 1, 2], True)]  # none is right, so there is none to leave out

    class Narrow(Searched):
        def matches(self, over: list[int], *, linear: bool = True) -> list[Match]:
            super().matches(over, linear=linear)
            return self.found if over == [0] else []

    assert joint(Narrow(seen, 1.3)).text == "Text. This affects only the gradient of x."


def test_inputs_are_explained_together_or_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = seen_of(lambda x, w, b: (np.sin(x), np.cos(w), b * np.nan))
    rows = [_row(ok=False), _row(ok=False), _row(ok=False)]
    of: dict[tuple[int, ...], Any] = {}
    begun: list[Any] = []
    monkeypatch.setattr(operations, "_find_joint_diagnosis", lambda look, wrong, searches: of.get(tuple(wrong)))

    def begins(look: Any, lost: list[int], others: list[int]) -> list[ErrorOrigin]:
        begun.append((lost, others))
        return of.get("begun", [ErrorOrigin("There.")])  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(operations, "error_origins", begins)

    def told() -> list[tuple[str, str]]:
        begun.clear()
        return [(d.kind, d.where) for d in explain_graph(seen, rows, [False] * 3)]

    assert told() == [("unknown", "b"), ("unknown", "x"), ("unknown", "w")]
    assert begun == [([0, 1], [2])]
    of[0, 1] = Diagnosis("scale", "x, w", "Both.")
    assert told() == [("scale", "x, w"), ("unknown", "b")]
    assert begun == []
    del of[0, 1]
    of[1,] = Diagnosis("scale", "w", "One.")
    assert told() == [("unknown", "b"), ("unknown", "x"), ("scale", "w")]
    assert begun == [([0], [1, 2])]
    of[0,] = Diagnosis("sign", "x", "Other.")
    assert told() == [("unknown", "b"), ("sign", "x"), ("scale", "w")]
    assert begun == []
    of.clear()
    of["begun"] = [ErrorOrigin("Here.", "dropout_mask_stale", 1)]  # type: ignore[index]
    assert told() == [("dropout_mask_stale", "multiply, operation 4 of 5"), ("unknown", "b")]
    rows[1] = _row(ok=True)
    assert told() == [("dropout_mask_stale", "multiply, operation 4 of 5"), ("unknown", "b")]
    assert begun == [([0], [2])]
    of["begun"] = [ErrorOrigin("Here.", "unknown", -1)]  # type: ignore[index]
    found = explain_graph(seen, rows, [False] * 3)
    assert [d.text.endswith(" Here.") for d in found] == [False, True]
    kink = explain_graph(seen, rows, [True, True, True])
    assert [(d.kind, d.where) for d in kink] == [("kink", "x"), ("kink", "b")]


# -- Where there are numbers alone


def test_which_other_cotangent_a_backward_uses() -> None:
    def found(manual: Any, i: int = 0, known: Any = None, right: Any = None, f: Any = scaled) -> Any:
        asked = asked_of(f, manual, A, C)
        rights = [asked.g * C, asked.g * A] if right is None else right
        return diagnose_cotangent(asked, i, rights[i], np.ones(3, bool) if known is None else np.array(known))

    order = found(lambda x, w, g: (g[::-1] * w, g * x))
    assert (order.kind, order.where, order.text) == (
        "wrong_order", "x", "The upstream gradient is read in reverse order along axis 0.")  # fmt: skip
    assert order.evidence == (
        ("with this mistake, the numerical gradients become those of the backward at 3 entries, here and at another "
         "point"),)
    squared = found(lambda x, w, g: (g * w, g * g * x), 1)
    assert (squared.where, squared.text) == ("w", "The upstream gradient is squared.")
    last = found(lambda x, w, g: (g * w * np.array([0, 0, 1]), g * x))
    assert last.kind == "overwritten_not_accumulated"
    assert last.text.startswith("Only the last position along axis 0 of the result contributes to the gradient")
    some = found(lambda x, w, g: (g[::-1] * w, g * x), known=[True, False, True])
    assert some.evidence[0].endswith(" at 2 entries, here and at another point")
    assert found(lambda x, w, g: (g[::-1] * w, g * x), known=[True, False, False]) is None  # one tells too little
    assert found(lambda x, w, g: (np.sin(g) * w, g * x)) is None
    assert found(lambda x, w: (w, x), right=[C[::-1], A]) is None  # it takes none
    assert found(lambda x, w, g: (g[::-1] * w * np.array([1, np.nan, 1]), g * x)) is None
    assert found(lambda x, w, g: (g[::-1][:2] * w[:2], g * x), right=[C, A]) is None
    here = [True]

    def once(x: Any, w: Any, g: Any) -> Any:
        return g[::-1] * w if np.array_equal(x, A) or not here[0] else g * w, g * x

    assert found(once) is None  # at another point it is another mistake

    def stops(x: Any, w: Any, g: Any) -> Any:
        if not np.array_equal(x, A):
            raise ValueError
        return g[::-1] * w, g * x

    assert found(stops) is None
    without = lambda x, w, g: (np.abs(g) * w.sum(), g * x * np.ones(3))
    number = asked_of(lambda x, w: x * w.sum(), without, np.array(2.0), C)
    told = diagnose_cotangent(number, 0, number.g * C.sum(), np.array(True))
    assert told is not None
    assert told.text == "The absolute value of the upstream gradient is used."


def test_entries_at_another_point() -> None:
    asked = asked_of(scaled, lambda x, w, g: (3 * g * w, g * x), A, C)
    found = _probe_entries(asked, [0])
    assert len(found) == 2
    rng = np.random.default_rng(4)
    moved = [x * rng.uniform(0.8, 1.2, 3) + 0.05 * rng.normal(size=3) for x in (A, C)]
    g = rng.uniform(0.5, 1.5, 3) * rng.choice([-1.0, 1.0], 3)
    mine, graph, right = found[0]
    for one, two in zip(mine, (3 * g * moved[1], g * moved[0]), strict=True):
        np.testing.assert_allclose(one, two)
    for one, two in zip(right, (g * moved[1], g * moved[0]), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-9)
    assert [node.out.tolist() for node in graph.inputs] == [x.tolist() for x in moved]
    other = asked_of(scaled, lambda x, w, g: ((g * w)[:2], g * x), A, C)
    assert _probe_entries(other, [0]) == []
    (first, _) = _probe_entries(other, [1])
    assert [len(part) for part in (*first[0], *first[2])] == [0, 3, 0, 3]
    assert _probe_entries(asked_of(scaled, lambda x, w, g: (g * w * np.inf, g * x), A, C), [0]) == []
    draws = np.random.default_rng(0)
    noisy = asked_of(lambda x, w: x * w * (1 + draws.random()), scaled_back, A, C)
    assert _probe_entries(noisy, [0]) == []

    def stops(x: Any, w: Any, g: Any) -> Any:
        if not np.array_equal(x, A):
            raise ValueError
        return g * w, g * x

    assert _probe_entries(asked_of(scaled, stops, A, C), [0]) == []


def numbers_of(manual: Any, f: Any = scaled, *leaves: Array) -> Any:
    return result_of(asked_of(f, manual, *(leaves or (A, C))))


def result_of(asked: ComparisonInput) -> ComparisonResult:
    """Return the result of a function without a constant such as 1e-8."""
    ((at, result),) = compare_without_graph(asked, Reason("it is so", "Edit."))
    assert at is asked
    return result


def test_a_comparison_with_numbers_alone() -> None:
    found = numbers_of(scaled_back)
    assert [(row.name, row.ok, row.checked) for row in found.rows] == [("x", True, 3), ("w", True, 3)]
    assert (found.diagnoses, found.notes, found.no_effect) == ([], ["Edit."], [False, False])
    assert found.method == (
        "Numerical only: the forward cannot run on Tensors, since it is so. Values by running it on arrays; "
        "derivatives by complex step, or extrapolated differences where it takes no complex numbers, in float64, at "
        "every entry.")
    assert [i.any() for i in found.ignored] == [False, False]
    assert all((e >= 0).all() and (e < 1e-8).all() for e in found.error)
    wrong = numbers_of(lambda x, w, g: (3 * g * w, g * x))
    assert [(d.kind, d.where, d.factor) for d in wrong.diagnoses] == [("scale", "x", "3")]
    assert [row.ok for row in wrong.rows] == [False, True]
    kink = numbers_of(lambda x, w, g: (g * np.sign(x), g), lambda x, w: np.abs(x) + w, np.array([0.0, 1.0]), C[:2])
    kinks = "x: 1 entry at a kink, where any slope between those on both sides is right."
    assert kink.notes == ["Edit.", kinks]
    assert [i.tolist() for i in kink.ignored] == [[True, False], [False, False]]
    assert [row.ok for row in kink.rows] == [True, True]
    still = numbers_of(lambda x, w, g: (2 * g, 0 * w), lambda x, w: 2 * x)
    assert still.no_effect == [False, True]
    draws = np.random.default_rng(0)
    noisy = numbers_of(lambda x, w, g: (5 * g, g * x), lambda x, w: x * w * (1 + draws.random()))
    assert [(row.ok, row.odd) for row in noisy.rows] == [(True, ""), (True, "")]


def test_a_transpose_is_reported_although_all_checked_entries_are_right() -> None:
    right = np.array([[1.0, 2.0], [3.0, 4.0]])
    known = np.eye(2) > 0
    error = np.where(known, 1e-9, np.nan)
    value = np.where(known, right, np.nan)
    whole = NumericalGradient(value, error, value.copy(), value.copy())
    row: Any = SimpleNamespace(ok=False, note="", checked=2)

    def told(mine: Array) -> list[tuple[str, str]]:
        asked: Any = SimpleNamespace(
            user_gradients=[mine],
            float64_inputs=[right],
            label=lambda i: "w",
            cotangents=[],
            rng=RNG,
            code=SimpleNamespace(takes_cotangents=False),
        )
        found = _explain(asked, [whole], [row], [np.zeros((2, 2), bool)], [right], [error])
        assert [d.where for d in found] == ["w"]
        return [(d.kind, d.text) for d in found]

    assert told(right.T) == [("transpose", "The gradient is transposed.")]
    shaped = told(right[None])
    assert shaped[0][0] == "convention"


def test_along_directions_rounding_is_allowed_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asked_of(scaled, lambda x, w, g: (g * w + 0.4, g * x), A, C)
    directions = [np.array([1.0, -1.0, 1.0]), np.array([1.0, 1.0, 1.0])]

    def wholes(line: Any, cotangents: Any, rng: Any, seconds: float) -> list[NumericalGradient]:
        known, found = np.array([False] * 3), []
        for right in (asked.g * C, asked.g * A):
            value = np.where(known, right, np.nan)
            slopes = [(v, float(v @ right), 1e-9) for v in directions]
            found.append(NumericalGradient(value, value.copy(), value.copy(), value.copy(), 0, slopes))
        return found

    monkeypatch.setattr(black_box, "differentiate_inputs", wholes)
    monkeypatch.setattr(black_box, "measured_rounding", lambda run, mine: [np.full(3, 0.1), np.zeros(3)])
    monkeypatch.setattr(black_box, "_explain", lambda *given: [])
    for size, ok in ((0.31, True), (0.29, False)):  # and a tenth of the other rounding
        monkeypatch.setattr(black_box, "rounding_of", lambda *given, size=size: [np.full(3, size), np.zeros(3)])
        rows = result_of(asked).rows
        assert [(row.ok, row.odd) for row in rows] == [(ok, "" if ok else "manual"), (True, "")]


@pytest.mark.parametrize(
    ("value", "error", "near"),
    [([0.0, 0.0], [1e-3, 2e-3], 2e-3), ([0.5, -4.0], [1e-3, 2e-3], 5e-4), ([1.0, 2.0], [1e-9, 0.0], 1e-7),
     ([np.nan, 2.0], [np.nan, 1e-3], 5e-4)],
)  # fmt: skip
def test_gradients_are_as_near_as_numbers_can_tell(
    value: list[float], error: list[float], near: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def told(*given: Any) -> list[Any]:
        seen.append(given)
        return []

    monkeypatch.setattr(black_box, "_probe_entries", lambda asked, left: [])
    monkeypatch.setattr(black_box, "explain_graph", told)
    whole = NumericalGradient(*(np.array(x) for x in (value, error, value, value)))
    right = np.nan_to_num(whole.value)
    rows = [_row(ok=False)]
    asked: Any = SimpleNamespace(
        user_gradients=[right + 5],
        float64_inputs=[right],
        label=lambda i: "x",
        labels=["x"],
        cotangents=[],
        rng=RNG,
        code=SimpleNamespace(takes_cotangents=False, inputs="inputs", source=None, backward=None),
    )
    bad = whole.is_known.copy()
    assert _explain(asked, [whole], rows, [bad], [right], [whole.error]) == []
    ((look, given, hull),) = seen
    assert look.tolerance == pytest.approx(near)
    np.testing.assert_array_equal(look.user_gradients[0], np.where(whole.is_known, right + 5, 0))
    assert (given, hull, look.inputs) == (rows, [False], "inputs")
