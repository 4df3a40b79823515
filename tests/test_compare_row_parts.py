"""A row of a report entry by entry, what a backward returned, and the three roads of a model between its layers."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinygrad_nn.compare.experiment as experiment_module
from tests.small_steps import functions
from tests.test_compare_layer_parts import seen_of
from tinygrad_nn import BackProp, compare_gradients, compare_steps
from tinygrad_nn.compare import ComparisonReport
from tinygrad_nn.compare.diagnosis import NO_GRAPH, Row
from tinygrad_nn.compare.experiment import _random, users_gradients
from tinygrad_nn.compare.factors import name_factor
from tinygrad_nn.compare.layers import comparison
from tinygrad_nn.compare.layers.comparison import ThreeRoads
from tinygrad_nn.compare.numerical.full_gradients import NumericalGradient
from tinygrad_nn.compare.numerical.noise import bounds
from tinygrad_nn.compare.rows import (
    HEAT,
    ArrayPair,
    CheckedEntry,
    _chosen,
    _disputed,
    _entry,
    _errors,
    _heat,
    _largest,
    _note,
    _odd_road,
    _outliers,
    _slope,
    compare_row,
    judged_row,
)

Array = np.ndarray[Any, Any]
EPS = float(np.finfo(float).eps)


# -- Rows


def test_an_error_stands_out_by_its_neighbours_its_size_and_its_bound() -> None:
    def out(size: int = 64, excess: float = 31e-2, usual: float = 1e-2, error: float = 1.0, graph: float = 1.0) -> bool:
        each = np.full(size, usual)
        each[5] = excess
        found = _outliers(each, np.full(size, error), np.full(size, graph))
        assert found.shape == (size,)
        assert not np.delete(found, 5).any()
        return bool(found[5])

    assert out()
    assert not out(size=63)
    assert not out(excess=29e-2)
    assert not out(excess=30e-2)
    assert out(excess=31e-5, usual=1e-5)
    assert not out(excess=31e-7, usual=1e-7)
    assert not out(usual=0.0)
    assert out(error=3.1e-4)
    assert not out(error=2.9e-4)
    assert out(error=6.1e-4, graph=-2.0)
    assert not out(error=5.9e-4, graph=-2.0)
    most = np.full(100, 1e-2)
    most[:11] = 0.31  # a tenth of them is no exception
    assert not _outliers(most, np.ones(100), np.ones(100)).any()
    most[9:11] = 1e-2
    assert _outliers(most, np.ones(100), np.ones(100)).sum() == 9


@pytest.mark.parametrize(("role", "dtype", "roundings", "ok"), [
    ("parameter", np.float64, 3.9, True), ("parameter", np.float64, 4.1, False), ("intermediate", np.float64, 9, True),
    ("parameter", np.float32, 3.9, True), ("parameter", np.float32, 4.1, False), ("parameter", np.float32, 1e-9, True),
])  # fmt: skip
def test_an_entry_in_which_large_terms_cancel_does_not_stand_out(
    role: str, dtype: Any, roundings: float, ok: bool
) -> None:
    graph = np.zeros(100)
    graph[0] = -8.0
    error = np.full(100, 1e-20)
    error[1] = 8.0 * roundings * np.finfo(dtype).eps
    in_dtype = None if dtype is np.float64 else graph.astype(dtype)
    pair = ArrayPair("W", role, graph + error, graph, np.full(100, error[1] / 0.9), in_dtype)
    exact = lambda index: CheckedEntry(graph[index], 1.0, False)
    assert compare_row(pair, exact, np.random.default_rng(0), 1)[0].ok == ok


@pytest.mark.parametrize(("roundings", "worst"), [((1e-12, 1e-3, 1e-12), (2,)), ((1e-12, 1e-3, 1.0), (1,))])
def test_the_worst_of_the_wrong_entries_is_that_of_the_largest_error(
    roundings: tuple[float, ...], worst: tuple[int]
) -> None:
    graph, error = np.array([1.0, 4.0, 2.0]), np.array([0.1, 0.5, 0.75])
    pair = ArrayPair("W", "intermediate", graph + error, graph, np.array(roundings))
    row = compare_row(pair, lambda index: CheckedEntry(graph[index], 1e-9, False), np.random.default_rng(0), 1)[0]
    assert row.worst == worst
    assert row.wrong == np.mean(error > roundings)


@pytest.mark.parametrize(("value", "far", "disputed"), [
    (1.0, 0.0, False), (1.9, 0.0, False), (2.1, 0.0, True), (0.1, 0.0, False), (-0.1, 0.0, True), (1.0, 0.4, False),
    (1.0, 0.6, True), (1.0, -0.4, False), (1.0, -0.6, True),
])  # fmt: skip
def test_the_numerical_derivative_is_not_the_graphs(value: float, far: float, disputed: bool) -> None:
    smooth: Any = {(0,): CheckedEntry(3.0, 0.0, False), (1,): CheckedEntry(value, 1.0, False)}
    found = _disputed(np.array([3.0, 1.0]), smooth, [(5.0, 5.0, 0.0), (2.0, 2.0 + far, 0.5)])
    assert found is disputed


@pytest.mark.parametrize(
    ("judge", "manual", "odd"),
    [
        (None, [5.0], "manual"), (CheckedEntry(1.0, 0.1, False), [5.0], "manual"),
        (CheckedEntry(1.09, 0.1, False), [5.0], "manual"),
        (CheckedEntry(5.0, 0.1, False), [5.0], "graph"), (CheckedEntry(5.0, 0.1, False), [5.25], "graph"),
        (CheckedEntry(5.0, 0.1, False), [4.75], "graph"), (CheckedEntry(5.0, 0.1, False), [5.35], ""),
        (CheckedEntry(5.0, 0.1, False), [4.65], ""), (CheckedEntry(5.0, 0.1, False), [[5.0]], "manual"),
        (CheckedEntry(5.0, 0.1, False), None, "manual"), (CheckedEntry(0.85, 0.1, False), [0.9], "graph"),
    ],
)  # fmt: skip
def test_the_road_that_the_referee_contradicts(judge: CheckedEntry | None, manual: Any, odd: str) -> None:
    what = ArrayPair("x", "input", None if manual is None else np.array(manual), np.array([1.0]), np.array([0.2]))
    assert _odd_road(what, (0,), judge) == odd


def test_the_parts_of_a_row() -> None:
    assert _largest(np.array([[1.0, 3.0], [2.0, 3.0]])) == (0, 1)
    assert _largest(np.zeros((0, 2))) == ()
    assert _largest(np.array(4.0)) == ()
    assert math.isnan(_slope(None))
    assert math.isnan(_slope(CheckedEntry(2.0, 0.0, True)))
    assert _slope(CheckedEntry(2.0, 0.0, False)) == 2.0
    assert _entry(np.array([1.0, 2 + 3j]), (1,)) == 2.0
    assert math.isnan(_entry(np.zeros(0), ()))
    assert _note(None, (2,), "why") == "why"
    assert _note(np.ones(3), (2,), "why") == "has shape (3,), and the graph's has (2,)"
    assert _note(np.array([1.0, np.nan, -np.inf]), (3,), "") == "2 of 3 not finite"
    assert _note(np.ones(3), (3,), "why") == ""


def test_errors_are_the_least_of_both_graphs_and_infinite_where_there_is_none() -> None:
    graph = np.array([1.0, 2.0, np.inf, np.inf, 5.0, np.nan])
    mine = np.array([1.5, 2.0, np.inf, 1.0, np.nan, np.nan])
    assert _errors(ArrayPair("x", "input", mine, graph, graph)).tolist() == [0.5, 0, 0, np.inf, np.inf, np.inf]
    own = np.array([1.4, 9.0, 0.0, 1.5, 5.0, 0.0])
    found = _errors(ArrayPair("x", "input", mine, graph, graph, own))
    np.testing.assert_allclose(found, [0.1, 0, 0, 0.5, np.inf, np.inf], rtol=1e-12)
    assert _errors(ArrayPair("x", "input", None, graph[:2], graph)).tolist() == [np.inf] * 2
    assert _errors(ArrayPair("x", "input", mine[:1], graph[:2], graph)).tolist() == [np.inf] * 2


def test_the_entries_that_the_referee_checks() -> None:
    rng = np.random.default_rng(0)
    every = [(i, j) for i in range(2) for j in range(3)]
    assert _chosen((2, 3), 6, rng, (0, 1)) == every
    assert _chosen((2, 3), 9, rng, (0, 1)) == every
    some = _chosen((2, 3), 5, rng, (0, 1))
    assert set(some) <= set(every)
    assert len(set(some)) == len(some) in (5, 6)
    for seed in range(9):  # the worst is always among them
        few = _chosen((2, 3), 2, np.random.default_rng(seed), (1, 2))
        rest = [index for index in few if index != (1, 2)]
        assert (1, 2) in few
        assert rest == sorted(rest)
        assert len(few) in (2, 3)
        assert len(few) == 2 or few[0] == (1, 2)
    assert _chosen((2, 3), np.array([4, 1]), rng, (0, 0)) == [(1, 1), (0, 1)]  # those that were asked for, no other
    assert _chosen((0,), 5, rng, ()) == []
    assert _chosen((), 5, rng, ()) == [()]


def test_a_map_of_errors() -> None:
    assert _heat(np.array(1.0), np.array(2.0)) is None
    assert _heat(np.zeros((0, 2)), np.zeros((0, 2))) is None
    row = _heat(np.array([1.0, np.inf, 3.0]), np.array([-4.0, np.nan, 2.0]))
    np.testing.assert_array_equal(row, [[0.25, np.nan, 0.75]])  # type: ignore[arg-type]
    beside = _heat(np.array([1.0, np.inf]), np.array([4.0, np.inf]))  # over the largest that is finite
    np.testing.assert_array_equal(beside, [[0.25, np.nan]])  # type: ignore[arg-type]
    np.testing.assert_array_equal(_heat(np.array([[1.0], [2.0]]), np.zeros((2, 1))), [[1.0], [2.0]])  # type: ignore[arg-type]
    deep = _heat(np.arange(24.0).reshape(2, 3, 4), np.full((2, 3, 4), 2.0))
    np.testing.assert_array_equal(deep, np.arange(24.0).reshape(6, 4) / 2)  # type: ignore[arg-type]
    for n, size, last in ((HEAT, HEAT, 1), (HEAT + 1, 65, 1), (2 * HEAT, HEAT, 2), (2 * HEAT + 1, 86, 2)):
        error = np.arange(float(n))
        wide, tall = _heat(error, np.ones(n)), _heat(error[:, None], np.ones((n, 1)))
        assert wide is not None
        assert tall is not None
        assert wide.shape == (1, size)
        np.testing.assert_array_equal(wide.T, tall)
        step = -(-n // HEAT)
        np.testing.assert_array_equal(wide[0, :-1], np.arange(size - 1) * step + step - 1)  # of each block the largest
        assert wide[0, -1] == n - 1
        assert n - (size - 1) * step == last

G = np.array([[1.0, 2.0], [3.0, 4.0]])


def compared(manual: Any, found: Any = None, kinks: Any = (), own: Any = None, along: Any = ()) -> Row:
    """The report's row of an array whose right value is G, with a rounding bound of 0.1 and a referee error of 0.01."""

    def ask(index: Any) -> CheckedEntry:
        return CheckedEntry(float((G if found is None else found)[index]), 0.01 * (1 + index[0]), index in kinks)

    what = ArrayPair("dW", "parameter", manual, G, np.full((2, 2), 0.1), own)
    return compare_row(what, ask, np.random.default_rng(0), 4, along, "not known")[0]


def off(by: float, at: tuple[int, int] = (1, 0)) -> Array:
    made = G.copy()
    made[at] += by
    return made


def test_a_row_of_an_array_that_is_wrong_in_one_entry() -> None:
    row = compared(off(0.3))
    assert (row.name, row.shape, row.role, row.note) == ("dW", (2, 2), "parameter", "")
    assert (row.ok, row.odd) == (False, "manual")
    assert (row.worst, row.manual, row.graph, row.numerical) == ((1, 0), 3.3, 3.0, 3.0)
    assert (row.wrong, row.checked, row.bound) == (0.25, 4, 0.02)
    assert (row.max_abs, row.max_rel) == (pytest.approx(0.3), pytest.approx(0.3 / 3.3))
    assert row.ratio == pytest.approx((1 + 4 + 3.3 * 3 + 16) / 30)
    assert row.cosine == pytest.approx(30.9 / np.sqrt(30 * (1 + 4 + 3.3**2 + 16)))
    np.testing.assert_allclose(row.error, [[0, 0], [0.075, 0]], atol=1e-15)  # type: ignore[arg-type]
    apart = row.apart
    assert apart is not None
    np.testing.assert_allclose(apart.manual_graph, (0.3, 0.3 / 4), rtol=1e-12)
    np.testing.assert_allclose(apart.manual_numerical, (0.3, 0.3 / 4), rtol=1e-12)
    assert (apart.graph_numerical, apart.largest, apart.rounding, apart.kinks) == ((0.0, 0.0), 4.0, 0.1, 0)


@pytest.mark.parametrize(
    ("row", "ok", "odd", "worst"),
    [
        (compared(G), True, "", (0, 0)), (compared(off(0.09)), True, "", (1, 0)),
        (compared(off(0.11)), False, "manual", (1, 0)),
        (compared(off(-0.11, (0, 1))), False, "manual", (0, 1)), (compared(off(0.3), off(0.3)), False, "graph", (1, 0)),
        (compared(off(0.3), off(-0.3)), False, "", (1, 0)), (compared(G, off(0.019)), True, "", (0, 0)),
        (compared(G, off(0.021)), False, "numerical", (0, 0)), (compared(G, off(0.021), [(1, 0)]), True, "", (0, 0)),
        (compared(G, off(np.nan)), True, "", (0, 0)), (compared(None, off(0.021)), False, "numerical", (0, 0)),
        (compared(None), True, "", (0, 0)), (compared(G, along=[(1.0, 1.2, 0.1)]), False, "numerical", (0, 0)),
        (compared(G, along=[(1.0, 1.05, 0.1)]), True, "", (0, 0)),
        (compared(off(0.3), own=off(0.25)), True, "", (1, 0)),
        (compared(off(0.3), off(0.3), [(1, 0)]), False, "manual", (1, 0)),
        (compared(G[0]), False, "manual", (0, 0)), (compared(off(np.nan)), False, "manual", (1, 0)),
    ],
)  # fmt: skip
def test_which_road_is_odd(row: Row, ok: bool, odd: str, worst: Any) -> None:
    assert (row.ok, row.odd, row.worst) == (ok, odd, worst)
    assert bool(row.wrong) == (odd in ("manual", "graph") or (not ok and not odd))


def test_what_a_row_has_where_an_array_is_not_known_or_has_another_shape() -> None:
    none, other = compared(None), compared(G[0])
    assert (none.note, none.error, none.apart, none.wrong) == ("not known", None, None, 0.0)
    assert other.note == "has shape (2,), and the graph's has (2, 2)"
    assert (other.apart, other.wrong) == (None, 1.0)
    for row in (none, other):
        assert all(math.isnan(v) for v in (row.manual, row.max_abs, row.max_rel, row.cosine, row.ratio))
        assert row.graph == row.numerical == 1.0
    kink = compared(off(0.3), kinks=[(1, 0), (0, 0)])
    assert (kink.checked, math.isnan(kink.numerical), kink.bound) == (2, True, 0.02)
    assert kink.apart is not None
    assert (kink.apart.kinks, kink.apart.manual_numerical.absolute) == (2, 0.0)
    single = compared(off(0.3), own=off(0.25))
    assert single.apart is not None
    assert single.apart.manual_graph.absolute == pytest.approx(0.05)
    assert single.apart.graph_numerical.absolute == pytest.approx(0.25)
    assert single.max_abs == pytest.approx(0.05)


def judged(manual: Any, **more: Any) -> Any:
    """The row of an array whose right value is G where it is known, to 0.05, with a rounding bound of 0.05."""
    value = more.get("value", G)
    whole = NumericalGradient(
        value, np.where(np.isnan(value), np.nan, 0.05), more.get("low", value), more.get("high", value)
    )
    row, bad, reference = judged_row("x", np.asarray(manual), whole, np.full((2, 2), 0.05))
    return row, bad.tolist(), reference


def test_a_row_of_an_array_by_numbers_alone() -> None:
    row, bad, reference = judged(G)
    assert (row.ok, row.odd, row.wrong, row.checked, row.bound, row.note) == (True, "", 0.0, 4, 0.05, NO_GRAPH)
    assert (row.name, row.role, math.isnan(row.graph), row.numerical) == ("x", "input", True, 1.0)
    np.testing.assert_array_equal(reference, G)
    for by, ok in ((0.09, True), (-0.09, True), (0.11, False), (-0.11, False)):
        row, bad, _ = judged(off(by))
        assert (row.ok, row.worst, row.wrong) == (ok, (1, 0), 0.0 if ok else 0.25)
        assert bad == [[False, False], [not ok, False]]
        assert (row.manual, row.numerical) == (3 + by, 3.0)
    low, high = off(-0.5), off(0.5)  # at a kink any slope between is right
    for by, ok in ((0.0, True), (0.5, True), (-0.59, True), (0.59, True), (0.61, False), (-0.61, False)):
        row, _, reference = judged(off(by), low=low, high=high)
        assert row.ok is ok
        np.testing.assert_allclose(reference, off(np.clip(by, -0.5, 0.5)))
    some = G.copy()
    some[1, 0] = np.nan
    row, bad, reference = judged(off(9.0), value=some)
    assert (row.ok, row.checked) == (True, 3)
    assert reference[1, 0] == 0.0
    row, bad, _ = judged(off(0.3, (0, 0)), value=some)
    assert (row.ok, row.wrong) == (False, 1 / 3)
    row, bad, _ = judged(off(np.nan), value=some)  # what is not finite is wrong wherever it is
    assert (row.ok, row.worst, row.note) == (False, (1, 0), "1 of 4 not finite")
    row, bad, _ = judged(G[0])
    assert (row.ok, row.wrong, row.note) == (False, 1.0, "has shape (2,), but should have (2, 2)")
    assert math.isnan(row.manual)


# -- What a backward returned


@pytest.mark.parametrize(
    ("found", "what"),
    [
        ((1.0, None, [1, 2]), "0 arrays of numbers as dW"),
        ((1.0, [np.ones(2), np.ones(1)], None), "0 arrays of numbers as db"),
        ((1.0, [np.ones(2)], [np.ones(2)] * 2), "1 arrays of numbers as dW"),
        ((1.0, [np.ones(2)] * 2, [np.ones(2)] * 3), "3 arrays of numbers as db"),
        ((1.0, [np.ones(2)] * 2, [np.ones(2)] * 2, [np.ones(1)]), "1 arrays of numbers as delta"),
        ((1.0, ["a", "b"], [np.ones(2)] * 2), "2 arrays of numbers as dW"),
        ((1.0, [1j, 2j], [np.ones(2)] * 2), "2 arrays of numbers as dW"),
        ((1.0, 5, [np.ones(2)] * 2), "0 arrays of numbers as dW"), ((1.0, [1.0, 2.0]), "tuple (1.0, [1.0, 2.0])"),
        ((1, 2, 3, 4, 5), "tuple (1, 2, 3, 4, 5)"), (None, "NoneType None"), ({"dW": 1}, "dict {'dW': 1}"),
    ],
)  # fmt: skip
def test_returned_values_of_another_form_raise(found: Any, what: str) -> None:
    with pytest.raises(TypeError) as raised:
        users_gradients(found, [np.ones(2), np.ones(3)])
    assert str(raised.value) == (
        f"compare_gradients: manual returned {what}; it must return (loss, dW, db), or (loss, dW, db, delta), where dW "
        "and db are lists with one array for each of the 2 layers."
    )


def test_an_answer_in_arrays_of_its_own() -> None:
    W, b = [np.ones((2, 3), np.float32), np.ones((3, 2), int)], [np.ones((1, 2)), np.ones((3, 1))]
    answer = users_gradients([np.array(2.5), W, b, None], [np.ones(2), np.ones(3)])
    assert (answer.loss, answer.delta, answer.overwritten) == (2.5, None, ())
    assert [g.dtype for g in answer.dW] == [np.float32, np.float64]
    assert [g.shape for g in answer.db] == [(2,), (3,)]
    assert answer.kept_axes == ("layer 1 b has shape (1, 2)", "layer 2 b has shape (3, 1)")
    W[0][0, 0] = 9
    assert answer.dW[0][0, 0] == 1
    told = users_gradients((1, W, [np.ones((2, 2)), np.ones((1, 4))], [np.ones(1)] * 2), [np.ones(2), np.ones(3)])
    assert (told.kept_axes, [g.shape for g in told.db]) == ((), [(2, 2), (1, 4)])
    assert told.delta is not None
    single = users_gradients((1, [W[0]], [np.ones((1, 1))]), [np.ones(1)])
    assert (single.kept_axes, single.db[0].shape) == (("layer 1 b has shape (1, 1)",), (1,))
    named = SimpleNamespace(data=np.array([[4.0]]))
    found = users_gradients((SimpleNamespace(data=np.array(2.5)), [named], [np.ones(1)]), [np.ones(1)])
    assert (found.loss, found.dW[0].tolist()) == (2.5, [[4.0]])


# -- Three roads of a model


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_rows_of_parameters_and_intermediate_values_of_a_model(dtype: Any) -> None:
    (w,) = seen_of(rows=(4,), dtype=dtype)
    case = w.case
    roads = ThreeRoads(case, BackProp)
    assert roads.title == f"3 - 4 - 5 (tanh, linear), mse, 4 rows, {np.dtype(dtype)}"
    assert list(roads.losses) == ["manual", "graph", "numerical"]
    for value in roads.losses.values():
        assert value == pytest.approx(float(case.right.loss), rel=1e-6 if dtype == np.float32 else 1e-13)
    assert (roads.graph_in_model_dtype is None) == (dtype == np.float64)
    assert roads.eps == 8 * float(np.finfo(dtype).eps)
    for k in (0, 1):
        for mine, right in ((roads.graph.z, case.z), (roads.graph.a, case.a), (roads.graph.delta, case.right.delta),
                            (roads.graph.dW, case.right.dW), (roads.graph.db, case.right.db)):  # fmt: skip
            np.testing.assert_allclose(mine[k], right[k], rtol=1e-12, atol=1e-15)
    rng = np.random.default_rng(0)
    rows = roads.parameters(rng, [3, 2, np.array([4, 7]), 99])
    assert [(row.name, row.role, row.ok, row.checked) for row in rows] == [
        ("layer 1 W", "parameter", True, rows[0].checked), ("layer 1 b", "parameter", True, rows[1].checked),
        ("layer 2 W", "parameter", True, 2), ("layer 2 b", "parameter", True, 5),
    ]  # fmt: skip
    assert rows[0].checked in (3, 4)
    assert rows[1].checked in (2, 3)
    between = roads.intermediates([case.right.delta[0], None], rng)
    assert [row.name for row in between] == [f"layer {k} {part}" for k in (1, 2) for part in ("z", "a", "delta")]
    noise = bounds(case)
    for row, right, bound in zip((*rows, *between), (
        case.right.dW[0], case.right.db[0], case.right.dW[1], case.right.db[1], case.z[0], case.a[0],
        case.right.delta[0], case.z[1], case.a[1], case.right.delta[1]), (
        noise.dW[0], noise.db[0], noise.dW[1], noise.db[1], noise.z[0], noise.a[0], noise.delta[0], noise.z[1],
        noise.a[1], noise.delta[1]), strict=True):  # fmt: skip
        assert row.ok
        assert row.graph == pytest.approx(right[row.worst], rel=1e-12)
        assert math.isnan(row.numerical) or row.numerical == pytest.approx(right[row.worst], rel=1e-10, abs=1e-14)
        assert 0 < row.bound <= 8 * EPS * bound.max() * (1 + 1e-12)
        assert row.role == ("parameter" if row in rows else "intermediate")
        assert row.apart is None or row.apart.rounding == pytest.approx(roads.eps * bound.max(), rel=1e-12)
    assert between[5].note == "not known: the code returns dW and db only"
    assert math.isnan(between[5].manual)
    assert [row.note for row in between[:5]] == [""] * 5
    off = roads.intermediates([case.right.delta[0] * (1 + 1e-3), case.right.delta[1]], rng)
    assert [row.ok for row in off] == [True, True, False, True, True, True]


def test_derivatives_along_random_directions_are_held_against_the_bounds_of_all_entries() -> None:
    (w,) = seen_of(rows=(4,))
    roads = ThreeRoads(w.case, BackProp)
    for part, g, bound in (("W", w.case.right.dW[1], roads.noise.dW[1]), ("b", w.case.right.db[1], roads.noise.db[1])):
        found = roads._directional_derivatives(1, part, g, bound, np.random.default_rng(3), 4)
        rng = np.random.default_rng(3)
        assert len(found) == 4
        for by_graph, numerical, allowed in found:
            v = rng.normal(size=g.shape)
            assert by_graph == pytest.approx((g * v).sum(), rel=1e-12)
            assert numerical == pytest.approx((g * v).sum(), rel=1e-10)
            assert allowed == pytest.approx(8 * EPS * (bound * np.abs(v)).sum(), rel=1e-12)
    (kink,) = seen_of("l1", rows=(4,))
    kink.case.W[1][0, 0] = 0.0
    roads = ThreeRoads(kink.case, BackProp)
    assert (
        roads._directional_derivatives(1, "W", w.case.right.dW[1], roads.noise.dW[1], np.random.default_rng(3), 4) == []
    )


def test_a_line_is_looked_for_where_a_gradient_is_wrong_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def with_lines(diagnoses: Any, manual: Any, cases: Any) -> Any:
        asked.append((manual, [(case.is_user_batch, case.rows) for case in cases]))
        return list(diagnoses)

    monkeypatch.setattr(comparison, "with_source_lines", with_lines)
    case = seen_of(rows=(4,))[0].case

    def twice(model: Any, cache: Any, y: Any, *, solver: Any) -> Any:
        loss, dW, db = BackProp(model, cache, y, solver=solver)
        return loss, [2 * dW[0], dW[1]], db

    assert compare_gradients(case.model, case.x, case.y, solver=case.solver).ok
    assert asked == []
    assert not compare_gradients(case.model, case.x, case.y, solver=case.solver, manual=twice).ok
    assert asked == [(twice, [(True, 4), (False, 4), (False, 4)])]


def test_where_no_finite_loss_is_found_outputs_are_made_positive(monkeypatch: pytest.MonkeyPatch) -> None:
    (w,) = seen_of(rows=(4,))
    outputs: list[tuple[bool, bool]] = []

    def failing(model: Any, x: Array, y: Array, masks: Any, solver: Any) -> Any:
        W, b = model[-1].W.data, model[-1].b.data
        outputs.append((bool((W >= 0).all() and np.abs(W).max() < 0.3), bool((b == 0.4).all())))
        right = SimpleNamespace(loss=np.nan, dW=[], db=[], delta=[np.ones(2)])
        return SimpleNamespace(right=right)

    monkeypatch.setattr(experiment_module, "Experiment", failing)
    assert _random(w.case, [3, 4, 5], 6, np.random.default_rng(0)) is None
    assert outputs == [(False, False)] * 2 + [(True, True)] * 2


def test_biases_of_further_experiments_are_drawn_with_a_deviation_of_four_tenths() -> None:
    (w,) = seen_of(rows=(4,))
    made = _random(w.case, [3, 900, 5], 6, np.random.default_rng(0))
    assert made is not None
    assert made.b[0].std() == pytest.approx(0.4, rel=0.1)
    assert abs(made.b[0].mean()) < 0.05


def test_a_number_is_a_fraction_within_a_thousandth_of_the_tolerance() -> None:
    facts = [{"N": 4, "n_out": 5, "p": 0, "lambda": 0}, {"N": 7, "n_out": 5, "p": 0, "lambda": 0}]
    for value, name in ((1 / 3, "1/3"), ((1 + 0.9e-9) / 3, "1/3"), ((1 + 1.2e-9) / 3, "0.333333"),
                        (0.1234567, "0.123457")):  # fmt: skip
        found = name_factor([value, value], facts)
        assert found is not None
        assert (found.name, found.value, found.others) == (name, value, ())


# -- Rows in a report


def test_a_page_of_steps_has_the_lines_from_the_loss_backwards() -> None:
    forward, backward = functions("by names")
    inputs = {"x": np.array([0.5, -1.0, 2.0]), "w": np.array([1.5, 0.25, -0.75])}
    report = compare_steps(forward, backward, inputs)
    assert report.ok
    page = report.to_html()
    assert "<h2>Your lines, from the loss backwards</h2>" in page
    assert "The three roads, array by array" not in page
    plain = ComparisonReport("t", report.rows).to_html()
    assert "Your lines" not in plain
    assert "<h2>The three roads, array by array</h2>" in plain


def test_a_row_that_is_wrong_and_has_no_numbers_has_a_verdict_and_no_worst_entry() -> None:
    none = math.nan
    row = Row("dW", (2, 3), "input", False, none, none, none, none, 1.0, (0, 0), none, none, none, "manual", 0, 0.0)
    row = replace(row, note="odd")
    text, page = str(ComparisonReport("a title", (row,))).splitlines(), ComparisonReport("a title", (row,)).to_html()
    assert text[4].split() == ["dW", "2x3", "nan", "nan", "nan", "100%", "manual", "is", "off"]
    assert not any("worst entry" in line for line in text)
    assert "The worst entry of each" not in page
    assert "<td class='bad'>manual is off</td>" in page
    for more in ({"graph": 1.0}, {"numerical": 1.0}):
        known = ComparisonReport("a title", (replace(row, **more),))  # type: ignore[arg-type]
        assert any("worst entry" in line for line in str(known).splitlines())
        assert "The worst entry of each" in known.to_html()
    fine = ComparisonReport("a title", (replace(row, ok=True, wrong=0.0, graph=1.0),))
    assert str(fine).splitlines()[4].split() == ["dW", "2x3", "odd"]  # what is told of it in the place of numbers
    assert "<td class='soft'>odd</td>" in fine.to_html()
    assert "worst entry" not in str(fine)
    told = str(ComparisonReport("a title", (replace(row, ok=True, wrong=0.0, max_abs=0.5),))).splitlines()
    assert told[4].split() == ["dW", "2x3", "0.5", "nan", "nan", "-", "ok"]
