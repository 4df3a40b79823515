"""Matching gradients to values when names are assigned several times, on small examples."""

from typing import Any

import numpy as np

from tinygrad_nn.compare.steps.matching import (
    _by_line,
    _paired,
    _without_echoes,
    _without_zeros,
    match,
    parts_of,
)
from tinygrad_nn.compare.steps.running import UserGradient, Version
from tinygrad_nn.compare.steps.statements import Statement
from tinygrad_nn.compare.steps.tracing import State
from tinygrad_nn.transforms import alias, new_input

Array = np.ndarray[Any, Any]
A, B, C = np.array([1.0, 2.0]), np.array([-3.0, 0.5]), np.array([4.0, 4.0])
ZERO = np.zeros(2)


def value(name: str = "h", room: str = "", inner: bool = True, echo: bool = False) -> Version:
    t = new_input(np.ones(2))
    t = alias(t) if inner else t
    assert t.node is not None
    return Version(t.node, t, Statement(1, 1, name), "", {room}, echo)


def given(*arrays: Any, name: str = "dh", whole: str = "h", line: int = 1, **more: Any) -> UserGradient:
    states = [State(Statement(line, line, ""), np.asarray(array)) for array in arrays]
    options: dict[str, Any] = {"rooms": {""}, **more}
    return UserGradient(name, whole, states, "", **options)


def rights(values: list[Version], *arrays: Any) -> dict[Any, Array]:
    return {v.node: np.asarray(x) for v, x in zip(values, arrays, strict=True)}


def pairs(found: list[Any], values: list[Version], gs: list[UserGradient]) -> list[tuple[int, int]]:
    """Return the pairs by the places of the value and of the gradient."""
    nodes = [v.node for v in values]
    return [(nodes.index(m.version.node), [g is m.gradient for g in gs].index(True)) for m in found]


# -- One name


def test_as_many_gradients_as_values_are_paired_from_the_last() -> None:
    values, gs = [value(), value(), value()], [given(A), given(B), given(C)]
    found = _paired(values, gs, rights(values, C, B, A))
    assert pairs(found, values, gs) == [(2, 0), (1, 1), (0, 2)]
    assert [(m.rounds, m.unpaired, len(m.states)) for m in found] == [(3, 0, 1)] * 3


def test_those_that_fit_are_paired_where_there_are_more_of_one_kind() -> None:
    values, gs = [value(), value()], [given(C), given(B), given(A)]
    found = _paired(values, gs, rights(values, A, C))
    assert pairs(found, values, gs) == [(1, 0), (0, 2)]
    assert [m.unpaired for m in found] == [1, 0]  # B may be meant with C
    assert [s.array.tolist() for s in found[0].states] == [C.tolist(), B.tolist()]
    values, gs = [value(), value(), value()], [given(C), given(A)]
    assert pairs(_paired(values, gs, rights(values, A, B, C)), values, gs) == [(2, 0), (0, 1)]
    assert pairs(_paired(values, gs, rights(values, B, A, C)), values, gs) == [(2, 0), (1, 1)]
    near = [given(C * (1 + 9e-6)), given(A)]
    assert pairs(_paired(values, near, rights(values, A, C, B)), values, near) == [(1, 0), (0, 1)]
    leaves, gs = [value(inner=False), value(inner=False)], [given(C), given(B), given(A)]
    found = _paired(leaves, gs, rights(leaves, A, C))
    assert [m.unpaired for m in found] == [0, 0]  # of an input the last one counts
    other = [value(), value()]
    shaped = [given(np.ones(3)), given(B), given(A)]  # of another shape, it fits less than any
    assert pairs(_paired(other, shaped, rights(other, A, B)), other, shaped) == [(1, 1), (0, 2)]


def test_gradients_of_one_line_of_a_loop_are_one_a_round() -> None:
    def of_lines(count: int, *lines: int) -> list[tuple[int, int]]:
        return _by_line(count, [given(A, line=line) for line in lines])

    assert of_lines(2, 1, 5, 1, 5) == [(1, 0), (0, 2)]
    assert of_lines(2, 7, 1, 5, 1, 5) == [(1, 0), (0, 4)]
    assert of_lines(3, 1, 5, 1, 5, 7) == [(2, 0), (1, 2), (0, 4)]  # and that with which the loop ends
    assert of_lines(2, 1, 1) == []
    assert of_lines(1, 1, 5) == []
    assert of_lines(3, 1, 5, 1, 5) == [(2, 0), (1, 2), (0, 3)]
    assert of_lines(3, 1, 1, 5, 5, 1) == [(2, 0), (1, 1), (0, 4)]
    assert of_lines(4, 1, 5, 7, 9, 11) == []
    values = [value(), value()]
    gs = [given(A, line=1), given(B, line=5), given(C, line=1), given(B, line=5)]
    found = _paired(values, gs, rights(values, A, A))
    assert pairs(found, values, gs) == [(1, 0), (0, 2)]
    found = _paired(values, gs, rights(values, B, B))  # what fits better counts
    assert pairs(found, values, gs) == [(1, 1), (0, 3)]


def test_names_on_both_sides_of_a_call_count_once_where_only_so_the_counts_fit() -> None:
    plain, echo = value(), value(echo=True)
    one, again = given(A), given(A, is_echo=True)
    assert _without_echoes([plain, echo], [one, again]) == ([plain, echo], [one, again])
    assert _without_echoes([plain], [one, again]) == ([plain], [one])
    assert _without_echoes([plain, echo], [one]) == ([plain], [one])
    assert _without_echoes([plain, echo, echo], [one, again]) == ([plain], [one])
    assert _without_echoes([plain, plain, echo], [one, again, again, again]) == ([plain, plain], [one])
    assert _without_echoes([echo], [again, again]) == ([echo], [again, again])


def test_bindings_of_the_gradient_of_one_value() -> None:
    inner, leaf = value(), value(inner=False)
    one, two = given(A, B), given(C)
    (found,) = _paired([inner], [one, two], {})
    assert (found.gradient, found.rounds, found.unpaired) == (two, 1, 1)
    assert [s.array.tolist() for s in found.states] == [A.tolist(), B.tolist(), C.tolist()]
    (found,) = _paired([leaf], [two, one], {})
    assert found.gradient is one
    assert [s.array.tolist() for s in found.states] == [B.tolist()]
    assert (found.rounds, found.unpaired) == (1, 1)


def test_zeros_that_a_gradient_begins_with_are_left_out() -> None:
    v = value()
    zero, one = given(ZERO), given(A)
    assert _without_zeros([zero, one], [v], rights([v], A)) == [one]
    assert _without_zeros([zero, one], [v], rights([v], ZERO)) == [zero, one]
    assert _without_zeros([zero], [v], rights([v], A)) == [zero]
    assert _without_zeros([one, one], [v], rights([v], A)) == [one, one]
    assert _without_zeros([given(ZERO, A), one], [v], rights([v], A))[0].states[0].array is not None
    assert len(_without_zeros([given(ZERO, A), one], [v], rights([v], A))) == 2


def test_the_parts_of_a_list_of_values_in_the_order_of_their_making() -> None:
    first, second, other = value(), value(), value()
    versions = {"hs[1]": [second], "hs[0]": [first], "h": [other], "hs[-1]": [second]}
    assert [v.node for v in parts_of("hs[]", versions)] == [first.node, second.node]
    assert parts_of("hs", versions) == []
    assert parts_of("q[]", versions) == []


# -- All names


def matched(
    gs: list[UserGradient], versions: dict[str, list[Version]], right: dict[Any, Array]
) -> tuple[list[tuple[str, str, int]], list[str]]:
    found, notes = match(gs, versions, right)
    every = {v.node: (name, k) for name, values in versions.items() for k, v in enumerate(values)}
    return [(m.gradient.name, *every[m.version.node]) for m in found], notes


def test_gradients_are_paired_by_their_names() -> None:
    versions = {"h": [value()], "z": [value()]}
    right = rights([versions["h"][0], versions["z"][0]], A, B)
    assert matched([given(B, name="dz", whole="z"), given(A)], versions, right) == (
        [("dz", "z", 0), ("dh", "h", 0)], [])  # fmt: skip
    assert matched([], versions, right) == ([], [])
    assert matched([given(A, name="dq", whole="q")], versions, right) == ([], [])
    handed = given(A, is_cotangent=True)
    assert matched([handed], versions, right) == ([], [])


def test_a_gradient_in_the_backward_of_a_function_is_of_a_value_in_its_forward() -> None:
    one, two = value(room="affine"), value(room="relu")
    versions = {"x": [one, two]}
    right = rights([one, two], A, B)
    gs = [given(A, name="dx", whole="x", rooms={"affine"}), given(B, name="dx", whole="x", rooms={"relu"})]
    assert matched(gs, versions, right)[0] == [("dx", "x", 0), ("dx", "x", 1)]
    gs = [given(A, name="dx", whole="x", rooms={"other"}), given(B, name="dx", whole="x", rooms={"relu"})]
    assert matched(gs, versions, right)[0] == [("dx", "x", 1), ("dx", "x", 0)]


def test_what_could_not_be_judged_is_said() -> None:
    values = [value(inner=False), value(inner=False)]
    gs = [given(C), given(B), given(A)]
    found, notes = matched(gs, {"h": values}, rights(values, A, C))
    assert len(found) == 2
    assert notes == ["dh is assigned 3 times and h 2 times; 1 of dh could not be judged."]
    one = [value(inner=False)]
    assert matched(gs, {"h": one}, rights(one, A))[1] == []
    inner = [value(), value()]
    assert matched([given(C), given(B), given(A)], {"h": inner}, rights(inner, A, C))[1] == []


def test_a_returned_gradient_is_not_judged_twice() -> None:
    v = value(inner=False)
    named, returned = given(A), given(A, name="gradient of h")
    assert matched([named, returned], {"h": [v]}, rights([v], A))[0] == [("dh", "h", 0)]
    other = given(B, name="gradient of h")
    assert matched([named, other], {"h": [v]}, rights([v], A))[0] == [("dh", "h", 0), ("gradient of h", "h", 0)]
    assert matched([returned], {"h": [v]}, rights([v], A))[0] == [("gradient of h", "h", 0)]


def test_parts_of_lists_are_one_name() -> None:
    values = [value(), value()]
    versions = {"hs[0]": values[:1], "hs[1]": values[1:]}
    gs = [given(B, name="dh", whole="hs[]"), given(A, name="dh", whole="hs[]")]
    found, _ = match(gs, versions, rights(values, A, B))
    assert [m.version.node for m in found] == [values[1].node, values[0].node]
