"""Kinks and rounding bounds, number by number: when slopes differ, which kinks belong together, where one is seen."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tests.compare_parts import graph_of
from tests.wrong_backward import Setting
from tinygrad_nn import BackProp, FeedForward, Layer, Regularization, Solver, compare_gradients, manual
from tinygrad_nn.compare import compare_roads
from tinygrad_nn.compare.experiment import Experiment
from tinygrad_nn.compare.numerical.full_gradients import rounding_of
from tinygrad_nn.compare.numerical.kinks import (
    Kink,
    KinkedGraph,
    SideSlopes,
    _add_slopes,
    _argument_moves,
    _differ,
    _elementwise_slopes,
    _has_kink,
    _is_elementwise,
    _join,
    _slopes_by_output,
    _slopes_differ,
    _sparse,
)
from tinygrad_nn.compare.numerical.nearest import nearest
from tinygrad_nn.compare.numerical.noise import _bend, _carry_back, _slope, bounds
from tinygrad_nn.compare.numerical.referee import TINY, Referee, activate, log_softmax, loss_of
from tinygrad_nn.compare.numerical.sides import Sides
from tinygrad_nn.compare.numerical.subgradients import FlatRow, Hull, _choose, _error_from_groups

Array = np.ndarray[Any, Any]
EPS = float(np.finfo(float).eps)


# -- Slopes that are others


@pytest.mark.parametrize(
    ("a", "b", "differ"),
    [
        ([1.0], [1.0], [False]), ([2.0], [2.0 + 0.0199], [False]), ([2.0], [2.0 + 0.0203], [True]),
        ([2.0], [2.0 - 0.0199], [False]), ([2.0], [2.0 - 0.0203], [True]),
        ([0.0, 100.0], [0.0009, 100.0], [False, False]),
        ([0.0, 100.0], [0.0012, 100.0], [True, False]), ([0.0012, -100.0], [0.0, -100.0], [True, False]),
        ([np.nan, 1.0], [np.nan, 1.0], [True, False]), ([0.0], [0.0], [False]), ([], [], []),
        ([3 + 4j], [3 + 4.04j], [False]), ([3 + 4j], [3 + 4.06j], [True]),
    ],
)  # fmt: skip
def test_slopes_differ_by_more_than_a_part_of_their_size(a: Any, b: Any, differ: list[bool]) -> None:
    """Slopes must differ by a hundredth of their own size and a thousandth of that of the largest slope."""
    assert _differ(np.array(a), np.array(b), 0.01).tolist() == differ


@pytest.mark.parametrize(
    ("here", "near", "far", "turned"),
    [
        (0.0, 1.0, 1.0, True), (1.0, 1.0, 1.0, False), (0.0, 1.0, 1 + 1 / 63, False), (0.0, 1.0, 1 + 1 / 65, True),
        (0.0, 1.0, 1 - 1 / 63, False), (0.0, 1.0, 1 - 1 / 65, True), (1.0, 1.001, 1.001, False),
        (1.0, 1.011, 1.011, True),
        (1.0, -1.0, -1.0, True), (np.nan, 1.0, 1.0, True),
    ],
)  # fmt: skip
def test_slopes_turn_where_the_second_step_hardly_changes_them(
    here: float, near: float, far: float, turned: bool
) -> None:
    assert bool(_slopes_differ(np.array(here), np.array(near), np.array(far), 0.01)) is turned


def slopes(*values: Any) -> Any:
    return [(np.flatnonzero(v), np.array(v, float)[np.flatnonzero(v)], np.zeros(np.count_nonzero(v))) for v in values]


def test_slopes_that_are_known_and_new_ones() -> None:
    known: list[Any] = []
    assert _join(known, None) == -1
    assert _join(known, slopes([1.0, 0, 2.0], [3.0])) == 0
    assert _join(known, slopes([1.0, 0, 2.0], [3.0])) == 0
    assert _join(known, slopes([1.0, 0, 2.0 + 3.9e-6], [3.0])) == 0  # a millionth of both sizes
    assert _join(known, slopes([1.0, 0, 2.0 + 4.1e-6], [3.0])) == 1
    assert _join(known, slopes([1.0, 0, 2.0], [3.0 - 6.1e-6])) == 2
    assert _join(known, slopes([1.0, 2.0, 0], [3.0])) == 3  # at other places
    assert _join(known, slopes([1.0, 0, 0], [3.0])) == 4
    assert _join(known, slopes([1.0, 0, -2.0], [3.0])) == 5
    assert _join(known, slopes([1.0, 0, np.inf], [3.0])) == -1
    imag = slopes([1.0, 0, 2.0], [3.0])
    imag[1] = imag[1][0], imag[1][1], np.array([1e-3])
    assert _join(known, imag) == 6
    imag = [(imag[1][0], imag[1][1], np.array([np.nan]))]
    assert _join(known, imag) == -1
    assert len(known) == 7


def test_the_entries_of_a_slope_that_are_not_zero() -> None:
    index, values, imag = _sparse(np.array([[0.0, 2.0], [-3.0, 0.0]]))
    assert (index.tolist(), values.tolist(), imag.tolist()) == ([1, 2], [2.0, -3.0], [0.0, 0.0])
    assert [part.tolist() for part in _sparse(None)] == [[], [], []]


def test_slopes_times_what_arrives_are_added() -> None:
    slots: list[Any] = [np.ones((2, 2)), None, np.ones(2, complex)]
    nothing = np.zeros(0, int), np.zeros(0), np.zeros(0)
    _add_slopes(slots, [(np.array([1, 2]), np.array([3.0, 4.0]), np.zeros(2)), nothing,
                        (np.array([1]), np.array([2.0]), np.array([5.0]))], 2 - 1j)  # fmt: skip
    assert slots[0].tolist() == [[1, 7], [9, 1]]
    assert slots[2].tolist() == [1, 1 + 2 * 2 - 5]
    real: list[Any] = [np.zeros(2)]
    _add_slopes(real, [(np.array([0]), np.array([1 + 7j]), np.array([2.0]))], 3 + 1j)
    assert real[0].tolist() == [5, 0]


def node(args: Any, parents: Any, shape: tuple[int, ...] = (2,)) -> Any:
    return SimpleNamespace(out=np.zeros(shape), args=args, parents=parents)


def test_by_how_much_a_side_moves_what_an_output_hangs_on() -> None:
    a, b, p = np.array([1.0, 2.0]), np.array([10.0, 20.0]), object()
    assert _argument_moves(node([a], [p]), node([a + 3], [p])).tolist() == [3, 3]
    assert _argument_moves(node([a, b], [p, p]), node([a + 3, b + 1], [p, p])).tolist() == [2, 2]  # of their difference
    assert _argument_moves(node([a, b], [p, None]), node([a + 3, b + 1], [p, p])).tolist() == [
        3,
        3,
    ]  # one is a constant
    assert _argument_moves(node([a, b], [None, p]), node([a, b - 1], [None, p])).tolist() == [-1, -1]
    assert _argument_moves(node([np.array(1.0)], [p]), node([np.array(1.5)], [p])).tolist() == [0.5, 0.5]
    assert _argument_moves(node([a, a, a], [p] * 3), node([a, a, a], [p] * 3)).size == 0
    assert _argument_moves(node([a], [None]), node([a], [None])).size == 0
    assert _argument_moves(node([a * 1j], [p]), node([a * 1j], [p])).size == 0
    both = node([np.ones((2, 2)), a], [p, p], (2, 2)), node([np.ones((2, 2)) + 5, a + np.array([1, 2])], [p, p], (2, 2))
    assert _argument_moves(*both).tolist() == [4, 3, 4, 3]


def operation(f: Any, *leaves: Array) -> Any:
    return graph_of(f, *leaves)(list(leaves)).trace.operations[0]


@pytest.mark.parametrize(
    ("f", "leaves", "diagonal"),
    [
        (np.sin, [np.ones((2, 3))], True), (np.sin, [np.array(1.0)], True), (np.sin, [np.ones(1)], True),
        (np.multiply, [np.ones(4), np.arange(4.0)], True), (np.add, [np.ones((2, 3)), np.ones(3)], True),
        (np.sum, [np.ones(3)], False), (np.sum, [np.ones(1)], False), (np.sort, [np.array([3.0, 1.0, 2.0])], False),
        (np.matmul, [np.ones((2, 2)), np.ones((2, 2))], False),
        (lambda x: x[::-1], [np.ones(4)], False), (lambda x: x[[0, 4, 2, 3, 1]], [np.ones(5)], False),
        (np.sqrt, [np.array([1.0, 4.0])], True), (np.cumsum, [np.ones(3)], False),
        (np.maximum, [np.ones(5), np.zeros(5)], True), (np.maximum, [np.ones(5), np.array(0.0)], True),
        (tg.relu, [np.zeros((3, 2))], True), (np.transpose, [np.ones((2, 2))], False),
    ],
)  # fmt: skip
def test_operations_that_act_on_each_entry_alone(f: Any, leaves: list[Array], diagonal: bool) -> None:
    assert _is_elementwise(operation(f, *leaves)) is diagonal


def three(f: Any, x: Array, u: Array) -> list[Any]:
    """An operation at a point, one step away from it, and two steps away."""
    return [operation(f, x + k * 1e-6 * u) for k in (0, 1, 2)]


def test_the_slopes_of_relu_on_one_side() -> None:
    x, u = np.array([0.0, 1.0, 0.0, -1.0]), np.array([1.0, 1.0, -1.0, 1.0])
    nodes = three(tg.relu, x, u)
    rng = np.random.default_rng(0)
    assert _has_kink(*nodes, 1e-3, rng)
    assert not _has_kink(*three(tg.relu, x, -np.abs(u) * (x == 0)), 1e-3, rng)  # the graph takes 0 there as well
    assert not _has_kink(*three(np.sin, x, u), 1e-3, rng)
    found = _elementwise_slopes(*nodes, np.array([True, True, True, False]), 1e-3)
    assert found is not None
    assert found.bent_outputs == {0}
    np.testing.assert_allclose(found.moves, 1e-6 * u, rtol=1e-6)
    assert found.is_independent
    for o, slope in ((0, 1.0), (1, 1.0), (2, 0.0)):
        ((index, real, imag),) = found.slopes_of(o) or []
        assert (index.tolist(), real.tolist(), imag.tolist()) == ([o], [slope], [0.0])
    assert found.slopes_of(3) is None  # the value jumps there


def test_a_slope_that_changes_with_the_step_is_taken_at_the_point() -> None:
    x = np.array([1.0, 2.0])
    for coarse, at in ((1e-3, 0.0), (1e-9, 1e-6)):  # what differs from step to step has no limit
        found = _elementwise_slopes(*three(lambda x: x**3, x, np.ones(2)), np.ones(2, bool), coarse)
        assert found is not None
        for o in (0, 1):
            ((_, real, _),) = [s for s in found.slopes_of(o) or [] if s[0].size]
            np.testing.assert_allclose(real, 3 * (x[o] + at) ** 2, rtol=1e-11)


def test_the_slopes_of_a_complex_modulus() -> None:
    z = np.array([3 + 4j, 0])
    nodes = three(lambda z: z * 2j, z, np.ones(2))
    found = _elementwise_slopes(*nodes, np.ones(2, bool), 1e-3)
    assert found is not None
    ((_, real, imag),) = [s for s in found.slopes_of(0) or [] if s[0].size]
    assert abs(imag - 1j * real) < 1e-12 or abs(imag + 1j * real) < 1e-12
    assert found.moves.size == 0


def test_the_slopes_of_an_operation_output_by_output() -> None:
    x = np.array([1.0, 1.0, 0.0])
    found = _slopes_by_output(*three(np.max, x, np.array([0.0, 1.0, 0.0])), np.ones(1, bool), 1e-3)
    assert found is not None
    assert (found.bent_outputs, found.is_independent, found.moves.size) == ({0}, True, 0)
    ((index, real, imag),) = found.slopes_of(0) or []
    assert (index.tolist(), real.tolist(), imag.tolist()) == ([1], [1.0], [0.0])
    found = _slopes_by_output(*three(np.max, np.array([2.0, 1.0, 0.0]), np.ones(3)), np.zeros(1, bool), 1e-3)
    assert found is not None
    assert found.bent_outputs == set()
    assert found.slopes_of(0) is None
    found = _slopes_by_output(*three(np.sort, x, np.array([1.0, 0.0, 0.0])), np.ones(3, bool), 1e-3)
    assert found is not None
    assert not found.is_independent  # numbers that are sorted choose together
    assert found.bent_outputs == {1, 2}
    assert [(found.slopes_of(o) or [])[0][0].tolist() for o in range(3)] == [[2], [1], [0]]


def folded(moves: list[list[float]], places: list[int], crowds: tuple[int, ...] = (), shape: Any = (9,)) -> KinkedGraph:
    kinks = [Kink(place, o, [slopes([1.0]), slopes([0.0])], [0], m) for o, (place, m) in
             enumerate(zip(places, moves, strict=True))]  # fmt: skip
    graph: Any = KinkedGraph.__new__(KinkedGraph)
    graph.kinks = kinks
    graph.kinks_by_place = {p: [i for i, q in enumerate(places) if q == p] for p in dict.fromkeys(places)}
    graph.rows = {p: [SideSlopes(set(), lambda o: None, np.zeros(0), p not in crowds)] for p in graph.kinks_by_place}
    graph.base = SimpleNamespace(operations=[SimpleNamespace(out=np.zeros(shape))] * (1 + max(places)))
    found: KinkedGraph = graph
    return found


def test_kinks_that_every_side_moves_in_proportion_hang_together() -> None:
    far = np.sqrt(1 - 0.9994**2) / 0.9994, np.sqrt(1 - 0.9996**2) / 0.9996
    assert folded([[1.0, 2.0], [3.0, 6.0], [1.0, -2.0], [-2.0, -4.0]], [0] * 4).dependent_groups() == [[0, 1, 3], [2]]
    assert folded([[1.0, 2.0], [3.0, 6.0]], [0, 5]).dependent_groups() == [[0, 1]]  # whatever the operation
    assert folded([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [0] * 3).dependent_groups() == [[0, 1], [2]]
    assert folded([[0.0, 0.0], [0.0, 0.0]], [0, 0]).dependent_groups() == [[0], [1]]  # what no side moves
    assert folded([[1.0, 1e-300], [1.0, far[1]]], [0, 0]).dependent_groups() == [[0, 1]]  # cosine 0.9996
    assert folded([[1.0, 1e-300], [1.0, far[0]]], [0, 0]).dependent_groups() == [[0], [1]]  # cosine 0.9994
    assert folded([[1.0, 2.0], [1.0, -2.0], [2.0, 4.0]], [0, 0, 1], crowds=(0,)).dependent_groups() == [[0, 1], [2]]
    assert folded([[0.0, 2.0], [0.0, 1.0], [0.0, -3.0]], [0] * 3).dependent_groups() == [[0, 1], [2]]


def test_groups_of_one_unit_are_joined() -> None:
    graph = folded([[1.0]] * 6, [0] * 6, shape=(2, 3))
    assert graph.by_unit([[0], [1], [3], [4, 2], [5]]) == [[0, 3], [1, 4, 2], [5]]
    assert folded([[1.0]] * 6, [0] * 6, shape=(6,)).by_unit([[0], [3], [1]]) == [[0], [3], [1]]
    assert folded([[1.0]] * 4, [0, 1, 0, 1], shape=(2, 2)).by_unit([[0], [1], [2], [3]]) == [[0, 2], [1, 3]]


def test_kinks_whose_slopes_have_the_same_numbers() -> None:
    graph = folded([[1.0]] * 3, [0] * 3)
    graph.kinks[1].slopes = [slopes([1.0, 2.0]), slopes([0.0])]
    assert graph.have_equal_slopes([0, 2], (0, 0))
    assert graph.have_equal_slopes([0, 2], (1, 1))
    assert not graph.have_equal_slopes([0, 2], (0, 1))
    assert not graph.have_equal_slopes([0, 1], (0, 0))
    assert graph.have_equal_slopes([0, 1], (1, 1))
    assert graph.have_equal_slopes([1], (0,))
    weights = graph.random_weights()
    assert all(len(w) == 2 and w.min() > 0 and abs(w.sum() - 1) < 1e-12 for w in weights)


@pytest.mark.parametrize(
    ("f", "x", "straight"),
    [
        (tg.relu, np.zeros(3), True), (lambda x: tg.relu(2 * x), np.zeros(3), True),
        (lambda x: tg.relu(x[::-1]), np.zeros(4), False), (lambda x: tg.relu(x.sum()), np.zeros(3), False),
        (lambda x: tg.relu(np.sort(x)), np.array([1.0, 0.0, 2.0]), False),
        (lambda x: tg.relu(x) + x.sum(), np.zeros(3), True),
        (lambda x: tg.relu(np.stack([x, x])), np.zeros(3), False),
    ],
)  # fmt: skip
def test_entries_that_hang_on_the_entry_at_the_same_place_only(f: Any, x: Array, straight: bool) -> None:
    trace = graph_of(f, x)([x]).trace
    place = next(i for i, n in enumerate(trace.operations) if n.primitive and n.primitive.name == "relu")
    assert KinkedGraph(trace, 1e-14)._is_elementwise_to_inputs(place, np.size(trace.operations[place].out)) is straight


# -- Which inputs are blamed


@pytest.mark.parametrize(
    ("off", "together", "alone", "found"),
    [
        ("", False, "", "---"), ("a", True, "", "a--"), ("a", False, "a", "---"), ("ab", True, "", "ab-"),
        ("ab", False, "a", "a--"), ("ab", False, "b", "-b-"), ("ab", False, "", "---"), ("ab", False, "ab", "---"),
        ("abc", False, "ab", "ab-"), ("abc", False, "abc", "---"), ("abc", True, "", "abc"), ("c", True, "", "--c"),
    ],
)  # fmt: skip
def test_of_several_wrong_inputs_one_is_not_blamed_for_another(
    off: str, together: bool, alone: str, found: str
) -> None:
    """Which of three inputs have a right gradient at a kink, if some differ from the graph's."""
    hull: Any = Hull.__new__(Hull)
    hull.sides = SimpleNamespace(at_point=SimpleNamespace(grads=[np.ones(2)] * 3))
    hull.bounds = [np.full(2, 0.5)] * 3
    asked: list[list[int]] = []

    def contains(user_gradients: Any, input_numbers: Any) -> bool:
        asked.append(list(input_numbers))
        return together if len(asked) == 1 else "abc"[asked[-1][0]] in alone

    hull.has_other_gradients, hull.contains = lambda: True, contains
    mine = [np.array([1.0, 1.6 if name in off else 1.4]) for name in "abc"]
    assert "".join(n if ok else "-" for n, ok in zip("abc", hull.right_at_kink(mine), strict=True)) == found
    assert not asked or asked[0] == [0, 1, 2]
    hull.has_other_gradients = lambda: False
    asked.clear()
    assert hull.right_at_kink(mine) == [False] * 3
    assert not asked
    hull.has_other_gradients = lambda: True
    assert hull.right_at_kink([np.ones((2, 1)), mine[1], mine[2]])[0] is together or len(off) != 1
    assert Hull.right_at_kink(hull, [np.array([1.0, np.nan]), np.ones(2), np.ones(2)]) in (
        [[True, False, False], [False] * 3]
    )


def test_slopes_are_chosen_to_minimize_the_remainder() -> None:
    effects = [[(np.array([0]), np.array([4.0]))], [(np.array([1]), np.array([2.0])), (np.array([0]), np.array([8.0]))]]
    weights = [np.zeros(2), np.zeros(3)]
    choices = [[(0,), (1,)], [(0,), (1,), (2,)]]
    rest = np.array([-3.0, -1.0, 7.0])
    point = _choose(effects, [[0], [1]], choices, rest, np.array([0, 1]), weights)
    assert np.abs(point).max() <= 1
    np.testing.assert_allclose([w.sum() for w in weights], 1)
    made = rest[:2] + np.array([4 * weights[0][1] + 8 * weights[1][2], 2 * weights[1][1]])
    np.testing.assert_allclose(made, point, atol=1e-12)
    far = _choose(effects, [[0]], choices[:1], np.array([-9.0, -1.0]), np.array([0, 1]), weights)
    np.testing.assert_allclose(far, [4 * weights[0][1] - 9, -1])  # it may stop before the nearest
    both = _choose(effects, [[0, 1]], [[(0, 0), (1, 2)]], np.array([-12.0]), np.array([0]), weights)
    np.testing.assert_allclose(both, [0])
    np.testing.assert_allclose([*weights[0], *weights[1]], [0, 1, 0, 0, 1])


def test_the_weights_of_the_nearest_point_are_named() -> None:
    corners = np.array([[2.0, 3.0], [2.0, -1.0]])

    def lowest(d: Array) -> tuple[Array, str]:
        k = int(np.argmin(corners @ d)) if d.size else 0
        return corners[k], "ab"[k]

    point, mean, inside = nearest(lowest)
    assert (point.tolist(), inside) == ([2.0, 0.0], False)
    assert {name: round(w, 12) for w, name in mean} == {"a": 0.25, "b": 0.75}
    corners[:, 0] = [0.999, 0.999]
    assert nearest(lowest)[2]
    corners[:, 0] = [1.001, 1.001]
    assert not nearest(lowest)[2]


def test_a_mean_of_slopes_of_many_kinks_is_right_and_nothing_beyond() -> None:
    x, share = np.zeros(6), np.array([0.0, 1.0, 0.3, 0.5, 0.9, 0.1])
    f = lambda x: np.maximum(x * np.arange(1.0, 7), 0)
    run = graph_of(f, x)
    sides = Sides(run, [x], run([x]), EPS)
    sides.look_around(np.random.default_rng(3), 4)
    graph = KinkedGraph(sides.at_point.trace, 64 * EPS)
    assert all(graph.add(side) for side in sides.explored)
    assert len(graph.kinks) == 6
    g = np.arange(1.0, 7) * sides.at_point.trace.outs[0][1]
    alone, allowed = [[k] for k in range(6)], np.full(6, 1e-9)
    assert _error_from_groups(graph, alone, g * share, allowed, FlatRow([0], [g])) is None
    for far, place in ((1.05, 1), (-0.05, 0)):
        beyond = share.copy()
        beyond[place] = far
        away = _error_from_groups(graph, alone, g * beyond, allowed, FlatRow([0], [g]))
        assert away is not None
        assert np.flatnonzero(np.abs(away) > 1).tolist() == [place]
        assert away[place] == pytest.approx(0.05 * g[place] / 1e-9 * np.sign(far), rel=1e-6)


def test_a_backward_is_tried_with_inputs_that_are_half_to_one_unit_away() -> None:
    x = np.linspace(-2, 2, 400)
    moved: list[Array] = []

    def backward(arrays: Any) -> list[Array]:
        moved.append(arrays[0])
        found = np.cos(arrays[0])
        return [np.where(np.arange(400) == 7, np.inf, found + 1e-5) if len(moved) == 1 else found]

    (found,) = rounding_of(backward, [x], [np.cos(x)], np.random.default_rng(0), 1e4)
    for other in moved:
        with np.errstate(invalid="ignore"):
            units = np.abs(other / x - 1)[x != 0] / (1e4 * EPS)
        assert 0.499 < units.min() < 0.51
        assert 0.99 < units.max() < 1.001
        assert 150 < (other > x).sum() < 250
    change = np.abs(np.cos(moved[1]) - np.cos(x))  # a call that is not finite tells nothing
    np.testing.assert_allclose(found, 1e4 * EPS * (np.abs(np.cos(x)) + 0.25) + change, rtol=1e-4)


# -- Where the referee sees a kink


def unit(z: float, name: str = "relu", weight: float = 1.0) -> Referee:
    """One unit whose z is the difference of two numbers of size 1, and a linear one behind it."""
    model = [Layer(1, 1, name, rng=0), Layer(1, 1, "linear", rng=1)]
    model[0].W, model[0].b = np.full((1, 1), weight), np.full(1, z - 1.0)
    model[1].W, model[1].b = np.ones((1, 1)), np.zeros(1)
    return Referee(Experiment(model, np.full((1, 1), 1 / weight), np.full((1, 1), 0.3), [None, None], Solver("mse")))


@pytest.mark.parametrize(
    ("name", "at", "size"),
    [("relu", 0.0, 2.0), ("leaky_relu(0.2)", 0.0, 2.0), ("hard_tanh", 1.0, 2.0), ("hard_sigmoid", 3.0, 6.0)],
)  # fmt: skip
def test_a_unit_is_at_its_kink_within_the_rounding_of_its_terms(name: str, at: float, size: float) -> None:
    """The terms are 1 and |at - 1|, and the place of the kink is a term as well."""
    for part, kink in ((0.0, True), (0.9, True), (-0.9, True), (1.15, False), (-1.15, False)):
        judge = unit(at + part * TINY * size, name)
        assert judge.terms[0][0, 0] == pytest.approx(size - at)
        assert judge.derivative_along(0, np.ones((1, 1))).kink is kink
        assert bool(judge.entry(0, "W", (0, 0)).kink) is kink
        assert judge.entry(0, "b", (0,)).kink is kink
        assert judge.delta(0, (0, 0)).kink is kink
        assert not judge.derivative_along(0, np.zeros((1, 1))).kink  # what is not moved crosses nothing
        assert not judge.derivative_along(1, np.ones((1, 1))).kink
        assert not judge.entry(1, "b", (0,)).kink


def test_the_kinks_of_a_loss() -> None:
    def last(loss: Any, y: float, z: float) -> Referee:
        model = [Layer(1, 1, "linear", rng=0)]
        model[0].W, model[0].b = np.ones((1, 1)), np.zeros(1)
        return Referee(Experiment(model, np.full((1, 1), z), np.full((1, 1), y), [None], Solver(loss)))

    one = np.ones((1, 1))
    for y in (2.0, -2.0):
        for part, kink in ((0.0, True), (0.9, True), (-0.9, True), (1.1, False), (-1.1, False)):
            assert last("mae", y, y + part * TINY * 2).derivative_along(0, one).kink is kink
            assert not last("mae", y, y + part * TINY * 2).derivative_along(0, 0 * one).kink
            assert not last("mse", y, y + part * TINY * 2).derivative_along(0, one).kink
    for y in (2.0, -2.0):
        for part, kink in ((0.0, True), (0.9, True), (-0.9, True), (1.1, False), (-1.1, False)):
            assert last("rmse", y, y + part * TINY * 2).derivative_along(0, one).kink is kink


@pytest.mark.parametrize("output", ["linear", "tanh"])
def test_a_perfect_fit_is_a_kink_of_the_root_and_no_alarm(output: Any) -> None:
    model = [Layer(2, 3, "tanh", rng=0), Layer(3, 2, output, rng=1)]
    x = np.random.default_rng(0).normal(size=(4, 2))
    y = FeedForward(model, x).a[-1].copy()
    assert compare_roads(model, x, y, solver=Solver("rmse")).agree
    assert compare_gradients(model, x, y, solver=Solver("rmse")).ok

    def wrong(model: Any, cache: Any, y: Any, *, solver: Solver) -> Any:
        loss, dW, db = BackProp(model, cache, y, solver=solver)
        return loss, [g + 100.0 for g in dW], db

    assert not compare_gradients(model, x, y, solver=Solver("rmse"), manual=wrong).ok


def test_a_weight_that_is_0_is_at_the_kink_of_its_penalty() -> None:
    for method, lam, kink in (("l1", 0.3, True), ("elasticnet", 0.3, True), ("l2", 0.3, False), ("l1", 0.0, False),
                              ("none", 0.0, False)):  # fmt: skip
        model = [Layer(2, 2, "tanh", rng=0)]
        model[0].W = np.array([[0.0, 1.0], [-2.0, 0.5]])
        solver = Solver("mse", regularization=Regularization(method, lam, 0.25))
        judge = Referee(Experiment(model, np.ones((3, 2)), np.ones((3, 2)), [None], solver))
        assert bool(judge.entry(0, "W", (0, 0)).kink) is kink
        assert not judge.entry(0, "W", (0, 1)).kink
        assert judge.direction(0, "W", np.ones((2, 2))).kink is kink
        assert not judge.direction(0, "b", np.ones(2)).kink
        right = judge.case.right
        for index in ((0, 1), (1, 0), (1, 1)):
            assert judge.entry(0, "W", index).value == pytest.approx(right.dW[0][index], rel=1e-12)
        v = np.array([[0.0, 1.0], [-3.0, 0.5]])
        slope = float((right.dW[0] * v).sum())
        assert judge.direction(0, "W", v).value == pytest.approx(slope, rel=1e-12)
        assert judge.direction(0, "b", v[1]).value == pytest.approx(right.db[0] @ v[1], rel=1e-12)
        assert judge.loss() == pytest.approx(float(right.loss), rel=1e-13)
        value, error, met = judge.differences(0, np.cos(np.arange(6.0)).reshape(3, 2))
        exact = float((right.delta[0] * np.cos(np.arange(6.0)).reshape(3, 2)).sum())
        assert abs(value - exact) <= 10 * error < 1e-8
        assert not met


def test_the_complex_step_is_confirmed_by_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = unit(0.5, "tanh")
    assert judge.verify(np.random.default_rng(0))[0] == 2
    assert judge.verify(np.random.default_rng(0))[1] < 1
    monkeypatch.setattr(judge, "differences", lambda k, v: (judge.derivative_along(k, v).value * (1 + 3e-6), 0.0, ""))
    count, worst = judge.verify(np.random.default_rng(0))
    assert (count, worst) == (2, pytest.approx(3, rel=1e-4))
    monkeypatch.setattr(judge, "differences", lambda k, v: (judge.derivative_along(k, v).value + 3e-3, 1e-4, ""))
    assert judge.verify(np.random.default_rng(0))[1] == pytest.approx(3, rel=0.01)
    monkeypatch.setattr(
        judge, "differences", lambda k, v: (judge.derivative_along(k, v).value * 2, 0.0, "at 0.1" if k else "")
    )
    assert judge.verify(np.random.default_rng(0))[0] == 1
    monkeypatch.setattr(judge, "differences", lambda k, v: (np.nan, 0.0, ""))
    assert judge.verify(np.random.default_rng(0)) == (0, 0.0)
    assert unit(0.0).verify(np.random.default_rng(0))[0] == 1  # a unit at its kink is left out


def test_logarithms_of_a_softmax_that_is_sure() -> None:
    z = np.array([[0.0, 800.0], [3.0, 1.0]])
    found = log_softmax(z)
    np.testing.assert_allclose(found[0], [-800, 0], atol=1e-12)
    np.testing.assert_allclose(found[1], [-np.log1p(np.exp(-2)), -2 - np.log1p(np.exp(-2))], rtol=1e-14)
    y = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert loss_of("binarycrossentropy", "softmax", z[1:], y[1:]) == pytest.approx(2 * np.log1p(np.exp(-2)), rel=1e-13)
    assert loss_of("binarycrossentropy", "softmax", z[1:, :1], np.ones((1, 1))) == 0.0
    np.testing.assert_allclose(activate("softmax", z).sum(axis=1), 1)


# -- Bounds of rounding


def layers(names: tuple[str, str], loss: Any, dropped: bool = False) -> Experiment:
    model, x, y, solver = Setting((3, 4, 3), names, loss, 5).build(1)
    masks: Any = [(np.random.default_rng(2).random((5, 4)) > 0.4) / 0.6 if dropped else None, None]
    return Experiment(model, x, y, masks, solver)


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu", "softmax", "linear", "gelu", "softplus", "hard_tanh"])
@pytest.mark.parametrize("dropped", [False, True])
def test_bounds_through_an_activation(name: str, dropped: bool) -> None:
    case = layers((name, "linear"), "mse", dropped)
    m: Any = np.ones((5, 4)) if case.masks[0] is None else case.masks[0]
    f, z0 = case.f[0], np.abs(case.x) @ np.abs(case.W[0]).T + np.abs(case.b[0])
    slope = f if name == "softmax" else np.abs(manual.activation(name).vjp(np.ones_like(f), case.z[0], f))
    np.testing.assert_allclose(_slope(case, 0), m * slope, rtol=1e-14)
    found = bounds(case)
    np.testing.assert_allclose(found.z[0], z0, rtol=1e-14)
    spread = z0.max(axis=1, keepdims=True) if name == "softmax" else z0
    np.testing.assert_allclose(found.a[0], m * slope * spread + np.abs(case.a[0]), rtol=1e-13)
    g = np.abs(case.right.delta[1]) @ np.abs(case.W[1])
    n = found.delta[1] @ np.abs(case.W[1]) + g
    n, g = m * n, m * g
    if name == "softmax":
        wide = 1 + z0.max(axis=1, keepdims=True)
        wanted = f * (n + (f * n).sum(axis=1, keepdims=True)) + f * (g + (f * g).sum(axis=1, keepdims=True)) * wide
    elif name in ("sigmoid", "tanh"):
        wanted = slope * (n + g * (1 + 2 * z0)) + g
    elif name in ("relu", "linear"):
        wanted = slope * (n + g)
    else:
        wanted = slope * n + g * (1 + z0 * _bend(case, 0))
    np.testing.assert_allclose(found.delta[0], wanted, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(_carry_back(case, 0, n, g, z0), wanted, rtol=1e-12)
    d = np.abs(case.right.delta[0])
    np.testing.assert_allclose(found.dW[0], (found.delta[0] + d).T @ np.abs(case.x), rtol=1e-12, atol=1e-13)
    d = np.abs(case.right.delta[1])
    wanted = (found.delta[1] + d).T @ np.abs(case.a[0]) + d.T @ found.a[0]
    np.testing.assert_allclose(found.dW[1], wanted, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(found.db[1], (found.delta[1] + d).sum(axis=0), rtol=1e-12)


def test_how_fast_a_slope_changes_on_the_side_where_that_is_less() -> None:
    case = layers(("gelu", "linear"), "mse")
    z = case.z[0]
    exact = np.abs((2 - z * z) * np.exp(-z * z / 2) / np.sqrt(2 * np.pi))  # the second derivative of z Phi(z)
    np.testing.assert_allclose(_bend(case, 0), exact, rtol=1e-3, atol=2e-4)
    assert (_bend(case, 0) <= exact + 1e-4).all()
    bent = layers(("hard_tanh", "linear"), "mse")
    bent.z[0][0] = [1.0, -1.0, 1 - 0.5e-4, 0.3]
    assert _bend(bent, 0)[0].tolist() == [0, 0, 0, 0]  # a kink within a step is on one side


@pytest.mark.parametrize(
    ("loss", "name"),
    [("mse", "linear"), ("rmse", "linear"), ("mae", "tanh"), ("mse", "relu"), ("crossentropy", "softmax"),
     ("binarycrossentropy", "sigmoid"), ("crossentropy", "sigmoid"), ("binarycrossentropy", "softmax"),
     ("binarycrossentropy", "hard_sigmoid"), ("crossentropy", "softplus")],
)  # fmt: skip
def test_bounds_of_the_output(loss: str, name: str) -> None:
    case = layers(("tanh", name), loss)
    found = bounds(case)
    a, y, d, z, e, N = case.a[1], case.y, np.abs(case.right.delta[1]), found.z[1], found.a[1], 5
    if (loss, name) in manual.FUSED:
        wide = 1 + 2 * (z.max(axis=1, keepdims=True) if name == "softmax" else z)
        if (loss, name) == ("binarycrossentropy", "softmax"):
            wanted = np.broadcast_to((np.abs(y) + np.abs(1 - y)).sum(axis=1, keepdims=True) / N * wide, a.shape)
        else:
            total = np.abs(y).sum(axis=1, keepdims=True) if name == "softmax" else 1.0
            wanted = (a * total + np.abs(y)) / N + d * wide + a * (1 - a) * wide / N
    else:
        g = np.abs(manual.LOSSES[loss].gradient(a, y))
        reach = e + np.abs(a) + np.abs(y)
        value = np.sqrt(((a - y) ** 2).sum() / N)
        with np.errstate(all="ignore"):
            n = {
                "mse": g + 2 * reach / N, "mae": g, "rmse": g * (2 + reach.max() / value) + reach / N / value,
            }.get(loss, g * (1 + e / np.abs(a) + (e + 1) / np.abs(1 - a)))  # fmt: skip
        wanted = _carry_back(case, 1, n, g, z)
    floor = EPS * max(float(part.max()) for arrays in (found.dW, found.db, found.delta) for part in arrays)
    np.testing.assert_allclose(found.delta[1], wanted, rtol=1e-12, atol=2 * floor)


def test_a_bound_is_no_less_than_what_the_largest_leaves_of_it() -> None:
    model, _, y, solver = Setting((2, 2, 1), ("linear", "linear"), "mse", 1).build(0)
    model[0].W = np.array([[1.0, 0.0], [0.0, 1e-300]])
    model[0].b = np.array([1.0, 0.0])
    model[1].W = np.array([[1.0, 1e-300]])
    case = Experiment(model, np.array([[1.0, 0.0]]), y, [None, None], solver)
    found = bounds(case)
    largest = max(float(part.max()) for arrays in (found.dW, found.db, found.delta) for part in arrays)
    assert found.dW[0][1, 1] == pytest.approx(EPS * largest, rel=1e-9)
    assert found.delta[0][0, 1] == pytest.approx(EPS * largest, rel=1e-9)


@pytest.mark.parametrize(("slope", "ok"), [(0.0, True), (0.5, True), (1.0, True), (1.5, False), (-0.5, False),
                                           (np.nan, False)])  # fmt: skip
def test_a_slope_of_relu_at_zero_is_a_convention_in_layers_too(slope: float, ok: bool) -> None:
    model = [Layer(2, 3, "relu", rng=0), Layer(3, 2, "linear", rng=1)]
    x, y = np.array([[0.0, 0.0], [0.3, -1.0], [1.0, 2.0]]), np.ones((3, 2))

    def backward(model: Any, cache: Any, y: Any, *, solver: Solver) -> Any:
        z, a = cache.z[0], cache.a
        last = 2 * (a[1] - y) / len(y)
        first = last @ model[1].W.data * np.where(z == 0, slope, 1.0 * (z > 0))
        loss = ((a[1] - y) ** 2).sum() / len(y)
        return loss, [first.T @ cache.x, last.T @ a[0]], [first.sum(axis=0), last.sum(axis=0)]

    report = compare_gradients(model, x, y, solver=Solver("mse"), manual=backward)
    assert report.ok is ok
    assert report.kinds == (("kink",) if ok and slope else () if ok else report.kinds)
