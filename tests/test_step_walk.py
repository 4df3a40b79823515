"""The graph that `compare_steps` walks: with the user's gradients in it, run again with other values, in segments."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Tensor
from tinygrad_nn.compare.budget import Budget
from tinygrad_nn.compare.paths import gradients
from tinygrad_nn.compare.steps.probes import Probes, _parts, _right_content, is_close
from tinygrad_nn.compare.steps.referee import Referee, ignore_message
from tinygrad_nn.compare.steps.statements import Statement
from tinygrad_nn.compare.steps.tape import LOST, Tape
from tinygrad_nn.compare.steps.tracing import State

Array = Any
X, W, C = np.array([0.5, -1.0, 2.0]), np.array([1.5, 0.25, -0.75]), np.array([1.0, 2.0, -1.0])


class Graph:
    """y = x w, s = sin y, z = s y: y is used twice."""

    def __init__(self) -> None:
        x, w = Tensor(X), Tensor(W)
        y = x * w
        s = np.sin(y)
        z = s * y
        self.x, self.w, self.y, self.s, self.z = (t.node for t in (x, w, y, s, z))
        self.kept = x, w, y, s, z
        self.tape = Tape([(self.z, C)])
        self.dy = C * (np.cos(X * W) * X * W + np.sin(X * W))


def test_gradients_arrive_at_each_watched_node() -> None:
    g = Graph()
    found = g.tape.walk([g.x, g.y, g.s, g.z])
    assert list(map(len, (g.tape.nodes, g.tape.operations))) == [5, 3]
    for node, wanted in ((g.x, g.dy * W), (g.y, g.dy), (g.s, C * X * W), (g.z, C)):
        np.testing.assert_allclose(found[node], wanted, rtol=1e-14)
    twice = Tape([(g.z, C), (g.z, C), (g.s, C)]).walk([g.w, g.s])
    np.testing.assert_allclose(twice[g.s], 2 * C * X * W + C, rtol=1e-14)
    np.testing.assert_allclose(twice[g.w], (2 * g.dy + C * np.cos(X * W)) * X, rtol=1e-14)
    apart = Tensor(1.0)
    np.testing.assert_array_equal(g.tape.walk([apart.node])[apart.node], 0)
    assert Tape([]).nodes == []


def test_substituted_gradients_are_passed_on_and_lost_ones_marked() -> None:
    g = Graph()
    seen: list[Any] = []

    def walk(answers: dict[Any, Any]) -> dict[Any, Array]:
        seen.clear()

        def instead(node: Any, arrived: Array, mark: bool) -> Any:
            seen.append((node, mark))
            return answers.get(node)

        return g.tape.walk([g.x, g.w, g.y, g.s, g.z], instead)

    right = g.tape.walk([g.x, g.y])
    np.testing.assert_array_equal(walk({})[g.x], right[g.x])
    assert seen[:3] == [(g.z, False), (g.s, False), (g.y, False)]
    assert {mark for _, mark in seen} == {False}
    found = walk({g.s: np.ones(3)})
    np.testing.assert_allclose(found[g.y], C * np.sin(X * W) + np.cos(X * W), rtol=1e-14)
    np.testing.assert_allclose(found[g.s], C * X * W, rtol=1e-14)  # what arrived, not what goes on
    found = walk({g.s: LOST})
    np.testing.assert_array_equal(found[g.x], right[g.x])
    assert [mark for node, mark in seen if node is g.y] == [True]
    assert [mark for node, mark in seen if node in (g.x, g.w)] == [True, True]
    walk({g.s: LOST, g.y: np.ones(3)})  # from what was given on nothing is lost any more
    assert [mark for node, mark in seen if node in (g.y, g.x, g.w)] == [True, False, False]
    walk({g.y: LOST})
    assert [(node is g.x or node is g.w) == mark for node, mark in seen] == [True] * 5


def test_the_gradient_of_each_operation_is_shaken() -> None:
    g = Graph()
    shaken = g.tape.walk([g.x, g.s], shake=lambda part: 2 * part)
    np.testing.assert_allclose(shaken[g.s], 2 * C * X * W, rtol=1e-14)
    through = 2 * (4 * C * X * W * np.cos(X * W) + 2 * C * np.sin(X * W))
    np.testing.assert_allclose(shaken[g.x], through * W, rtol=1e-14)


def test_the_order_in_which_gradients_are_complete() -> None:
    g = Graph()
    order = sorted([g.x, g.w, g.y, g.s, g.z], key=g.tape.place)
    assert order[:3] == [g.z, g.s, g.y]
    assert g.tape.place(g.x) == g.tape.place(g.w) == 0.5 - g.y.index
    assert g.tape.place(g.y) < g.tape.place(g.x) < g.tape.place(g.y) + 1
    assert g.tape.uses[g.y] == [g.z, g.s]
    assert g.tape.uses[g.x] == [g.y]


def test_a_graph_runs_again_with_other_values() -> None:
    g, y = Graph(), np.array([1.0, 2.0, 3.0])
    (value,) = g.tape.results_of(g.y)(y)
    np.testing.assert_allclose(value, np.sin(y) * y, rtol=1e-14)
    (value,) = g.tape.results_of(g.s)(y)
    np.testing.assert_allclose(value, y * X * W, rtol=1e-14)
    (value,) = g.tape.results_of(g.z)(y)
    np.testing.assert_array_equal(value, y)
    (same,) = g.tape.results_of(Tensor(X).node)(y)  # type: ignore[arg-type]
    assert same is g.z.out
    moved, twins = g.tape.moved({g.w: y})
    assert twins.keys() == {g.w, g.y, g.s, g.z}
    np.testing.assert_allclose(moved.outs[0][0].out, np.sin(X * y) * X * y, rtol=1e-14)
    assert moved.outs[0][1] is C
    found = moved.walk([twins[g.y], g.x, twins[g.w]])
    dy = C * (np.cos(X * y) * X * y + np.sin(X * y))
    for node, wanted in ((twins[g.y], dy), (g.x, dy * y), (twins[g.w], dy * X)):
        np.testing.assert_allclose(found[node], wanted, rtol=1e-14)
    assert g.y.out is not twins[g.y].out
    a, (b, c) = Tensor(np.eye(2) * 2), (np.eye(2), 1)
    inverse = np.linalg.inv(a)  # an operation that saves
    (value,) = Tape([(inverse.node, b)]).results_of(a.node)(4 * b)
    np.testing.assert_allclose(value, b / 4, atol=1e-15)
    assert c == 1


def test_the_segment_between_a_value_and_what_comes_after_it() -> None:
    g = Graph()
    ds = np.array([3.0, -1.0, 0.5])
    part = g.tape.segment(g.y, {g.s: ds})
    assert [node.primitive.name for node in part.operations] == ["multiply", "sin"]
    (found,) = gradients(part)
    np.testing.assert_allclose(found, C * np.sin(X * W) + ds * np.cos(X * W), rtol=1e-14)
    (whole,) = gradients(g.tape.segment(g.y, {}))
    np.testing.assert_allclose(whole, g.dy, rtol=1e-14)
    (of_x,) = gradients(g.tape.segment(g.x, {g.y: ds}))
    np.testing.assert_allclose(of_x, ds * W, rtol=1e-14)
    (of_z,) = gradients(g.tape.segment(g.z, {}))
    np.testing.assert_array_equal(of_z, C)
    assert g.tape.segment(Tensor(1.0).node, {}).operations == []


# ---- The numerical road


def test_the_referee_differentiates_from_a_value_on() -> None:
    g = Graph()
    rng = np.random.default_rng(0)
    referee = Referee(g.tape, 3)
    ask, along = referee.of(g.y, g.dy, np.full(3, 1e-9), rng)
    for k in range(3):
        value, allowed, kink = ask((k,))
        assert abs(value - g.dy[k]) < 1e-8
        assert 1e-9 + 1e-10 * abs(g.dy[k]) <= allowed < 1e-7
        assert not kink
    assert referee.checked == 3
    ((mine, numerical, allowed),) = along
    assert abs(mine - numerical) <= allowed < 1e-7
    assert abs(mine) > 1e-3
    for node in (SimpleNamespace(out=np.ones(2, complex)), SimpleNamespace(out=np.zeros(0))):
        assert referee.of(node, np.zeros(0), np.zeros(0), rng) == (ignore_message, [])
    referee.budget = Budget(0.0)
    with referee.budget:
        sum(range(1000))
    assert referee.of(g.y, g.dy, np.full(3, 1e-9), rng) == (ignore_message, [])
    assert np.isnan(ask((0,)).value)
    assert ignore_message((0,))[1:] == (0.0, True)


def test_the_direction_of_the_referee_weighs_each_entry_differently() -> None:
    """So that errors do not cancel that add up to nothing in one direction that all could guess."""
    x = Tensor(np.ones(4))
    y = (x * np.arange(1.0, 5.0)).sum()
    right = np.arange(1.0, 5.0)
    for wrong in ([1, -1, 0, 0], [0, 0, -2, 2], [1, 1, -1, -1], [1, -3, 3, -1]):
        _, along = Referee(Tape([(y.node, 1.0)]), 1).of(
            x.node, right + np.array(wrong), np.full(4, 1e-9), np.random.default_rng(0)
        )
        ((mine, numerical, allowed),) = along
        assert abs(mine - numerical) > 1e3 * allowed


def test_the_referee_sees_a_kink() -> None:
    x = Tensor([0.0, 1.0])
    y = np.abs(x)
    referee = Referee(Tape([(y.node, np.ones(2))]), 1)
    ask, along = referee.of(x.node, np.array([0.0, 1.0]), np.zeros(2), np.random.default_rng(0))
    assert ask((0,)).kink
    assert not ask((1,)).kink
    assert along == []


# ---- At other inputs


@pytest.mark.parametrize(
    ("x", "y", "close"),
    [
        (X, X, True), (X + 2e-7, X, True), (X + 1e-6, X, False), (X[:2], X, False), ("a", X, False), (True, 1.0, False),
        (2.0, 2.0, True), (Tensor(X), X, True), (np.array([1e-9, 1.0]), np.array([0.0, 1.0]), True),
        (np.array([1e-5, 1.0]), np.array([0.0, 1.0]), False), (X * 1e9, X * 1e9 + 100, True), (X[:, None], X, False),
    ],
)  # fmt: skip
def test_gradients_that_are_close(x: Any, y: Any, close: bool) -> None:
    assert is_close(x, y) is close


def test_the_gradients_that_a_backward_returned() -> None:
    assert _parts({"a": 1, "b": 2}) == [1, 2]
    assert _parts((1, 2)) == _parts([1, 2]) == [1, 2]
    assert _parts(3) == [3]


def test_what_a_name_should_hold_after_a_statement_of_which_more_is_added_later() -> None:
    here = Statement(1, 1, "")
    first, last = State(here, X, False, 1), State(here, X + W, True, 2)
    node = object()
    match: Any = SimpleNamespace(states=[first, last], version=SimpleNamespace(node=node))
    walked: Any = SimpleNamespace(states=[last], rule_gradients={node: C})
    np.testing.assert_array_equal(_right_content([match], walked, 0, 1), C)
    np.testing.assert_allclose(_right_content([match], walked, 0, 0), C - W, rtol=1e-14)
    assert _right_content([match], walked, 0, 2) is None
    match.states[0] = State(here, X[:2], False, 1)
    assert _right_content([match], walked, 0, 0) is None
    assert [Probes._index([first, last], s) for s in (first, last, State(here, X, False, 3))] == [0, 1, -1]
