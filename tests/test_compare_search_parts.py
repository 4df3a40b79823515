"""The search for a mistake in a graph: at one operation, at several, and in recomputed values."""


import functools
from typing import Any

import numpy as np
import pytest

from tests.compare_parts import graph_of
from tests.test_array_run import look_of
from tests.test_origin_parts import MASK, look, node_of, traced_of
from tinygrad_nn.compare.factors import Factor
from tinygrad_nn.compare.function import search as searching
from tinygrad_nn.compare.function.composed import _functions, _norms, _sources, find_known_functions
from tinygrad_nn.compare.function.error_origin import _part_sentence, _uses_sentence, error_origins, propagate_errors
from tinygrad_nn.compare.function.last_steps import last_steps
from tinygrad_nn.compare.function.locations import recording_locations
from tinygrad_nn.compare.function.mutants import (
    Mutant,
    _exchanges,
    _similar_places,
    _why_lost_in_runs,
    group_mutants,
    local_mutants,
    right_cotangents,
    single_mutants,
)
from tinygrad_nn.compare.function.operations import _cost_and_diagnosis, _find_joint_diagnosis
from tinygrad_nn.compare.function.operations import _lost_gradient_diagnosis as _lost_penalty
from tinygrad_nn.compare.function.recomputed import (
    _added_epsilon,
    _fit_constant,
    _skipped_operations,
    recomputed_mutants,
)
from tinygrad_nn.compare.function.search import Match, Search, _fitting_factor, _missing_sums
from tinygrad_nn.compare.mistakes import Mistake, cut, uses_of, why_lost
from tinygrad_nn.compare.paths import copy_node

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(8)


# -- Where an error begins

X, W = RNG.normal(size=(5, 2)), RNG.normal(size=(2, 3))
WEIGHT = 0.5 + np.cos(0.0) ** 2  # of a result that is one number


def part(f: Any, mine: Any) -> str | None:
    trace, right = traced_of(f, X, W)
    seen = look(trace, right, mine(*right))
    known = propagate_errors(seen, [0, 1])
    assert known is not None
    found = _part_sentence(seen, known, uses_of(trace), "NAMES")
    return found and found.text


def used_twice(x: Any, w: Any) -> Any:
    return np.tanh(x @ w).sum() + np.sin(w).sum()


def test_of_a_value_that_is_used_once_no_places_are_counted() -> None:
    assert part(lambda x, w: np.sin(w).sum() + x.sum() * 0.0, lambda dx, dw: [dx, 3 * dw]) is None
    trace = traced_of(used_twice, X, W)[0]
    count = len(trace.operations)
    number = count - trace.operations.index(node_of(trace, "sin"))
    for by, said in ((2.0, "counts 3 times"), (-1.0, "is missing"), (-0.5, "counts 1/2 times")):
        text = part(used_twice, lambda dx, dw, by=by: [dx, dw + by * WEIGHT * np.cos(W)])
        where = f"number 2 (sin, operation {number} of {count})"
        assert text == f"Of the 2 uses of y, {where} {said}."


X5, W3, C5 = RNG.normal(size=(5, 3)), RNG.normal(size=(3, 3)), np.arange(1.0, 16.0).reshape(5, 3)
ROWS = np.arange(5)[:, None]


def square(x: Any, w: Any) -> Any:
    return (np.tanh(x @ w) * C5).sum()


def begun(spoil: Any, f: Any = square, wrong: tuple[int, ...] = (0, 1)) -> list[tuple[Any, ...]]:
    """Make the gradient of a product wrong, and return where the search says that the errors of the inputs begin."""
    trace, right = traced_of(f, X5, W3)
    dz = spoil(np.asarray(right_cotangents(trace)[places_of(trace, "matmul")[0]]))
    mine = [dz @ W3.T if 0 in wrong else right[0], X5.T @ dz if 1 in wrong else right[1]]
    return [tuple(found) for found in error_origins(look(trace, right, mine), list(wrong))]


def test_the_gradient_of_one_value_is_as_wrong_as_those_of_the_inputs() -> None:
    head = ("x and w are wrong as if only the gradient of the result of multiply, operation 3 of 4 were wrong: the "
            "mistake is in the gradient that one of sum, operation 4 of 4, multiply, operation 3 of 4, tanh, operation "
            "2 of 4 passes back. ")  # fmt: skip
    whole, row = "Every entry of the gradient of the result of multiply, operation 3 of 4 is wrong.", (
        "Row 1 of the gradient of the result of multiply, operation 3 of 4 is wrong, the other 4 are right.")
    assert begun(lambda dz: 2 * dz) == [(f"{head}{whole} Each entry is 2 times the right one.", "unknown", -1)]
    thrice = lambda dz: np.where(ROWS == 1, 3 * dz, dz)
    assert begun(thrice) == [(f"{head}{row} Each wrong entry is 3 times the right one.", "unknown", -1)]
    ((text, _, _),) = begun(lambda dz: np.sin(dz) + 1)
    assert text.startswith(f"{head}{whole} The largest difference is at [")
    ((text, _, _),) = begun(lambda dz: np.where(ROWS == 1, np.sin(dz) + 1, dz))
    assert text.startswith(f"{head}{row} The largest difference is at [1, ")
    of_w = ("w: in the contributions of the rows of the result of matmul, operation 1 of 4 to the gradient of y, "
            "everything is right except ")
    assert begun(thrice, wrong=(1,)) == [(f"{of_w}that row 1 counts 3 times.", "unknown", -1)]
    alone = begun(lambda dz: np.where(ROWS == 4, np.sin(dz) + 1, dz), wrong=(1,))
    assert alone == [(f"{of_w}row 4 (the last).", "unknown", -1)]
    for k, name in ((0, "x"), (1, "w")):
        text = f"{name} is used by matmul, operation 1 of 4: the error is in the gradient that it passes back."
        assert begun(lambda dz: np.sin(dz) + 1, wrong=(k,)) == [(text, "unknown", -1)]


def test_the_gradient_of_a_value_is_wrong_each_time() -> None:
    def loop(x: Any, w: Any) -> Any:
        total: Any = 0.0
        for row in range(5):
            total = total + (np.sin(x[row] @ w) * C5[row]).sum()
        return total

    with recording_locations():
        trace, right = traced_of(loop, X5, W3)
    line = loop.__code__.co_firstlineno + 3
    dz = WEIGHT * np.cos(X5 @ W3) * C5

    def said(wrong: Array) -> str:
        (found,) = error_origins(look(trace, right, [wrong @ W3.T, X5.T @ wrong]), [0, 1])
        assert (found.kind, found.place) == ("unknown", -1)
        return found.text

    product = f"multiply in `np.sin(x[row] @ w) * C5[row]`, line {line}"
    value = f"x and w are wrong as if only the gradient of the result of {product} were wrong"
    mistake = (": the mistake is in the gradient that one of sum in `(np.sin(x[row] @ w) * C5[row]).sum()`, line "
               f"{line}, {product}, sin in `np.sin(x[row] @ w)`, line {line} passes back.")  # fmt: skip
    assert said(1.3 * dz + 0.2) == f"{value}, in each of 5 runs{mistake}"
    assert said(np.where(ROWS >= 3, 1.3 * dz + 0.2, dz)) == f"{value}, in each of 5 runs{mistake}"
    one = said(np.where(ROWS == 2, 1.3 * dz + 0.2, dz))
    wrong = f"{value}{mistake} Every entry of the gradient of the result of {product} is wrong. The largest difference"
    assert one.startswith(wrong)
    twice = said(np.where(ROWS == 2, 2 * dz, dz))  # one number that is twice as large tells as much
    assert twice.startswith("x and w are wrong as if only the gradient of the result of sum in ")
    assert twice.endswith(" (ratio 2).")


def test_errors_that_begin_apart_and_another_mask() -> None:
    trace, right = traced_of(lambda x, w: (np.sin(x) * x).sum() + (np.cos(w) * w).sum(), X5, W3)
    wrong = look(trace, right, [np.sin(3 * g) for g in right])
    texts = [f"{name} is used by multiply, operation {k + 1} of 7 and {f}, operation {k} of 7: the error is in the "
             "gradient that one of these passes "
             "back." for name, f, k in (("x", "sin", 1), ("w", "cos", 4))]  # fmt: skip
    assert [b.text for b in error_origins(wrong, [0, 1])] == texts
    assert [b.text for b in error_origins(wrong, [1], [0])] == texts[1:]
    trace, right = traced_of(lambda x, w: np.tanh(np.tanh(x @ w) * MASK).sum(), X5, W3)
    other = np.where((ROWS == 0) & (np.arange(3) != 1), 2 - MASK, MASK)
    place = places_of(trace, "multiply")[0]
    dz = right_cotangents(trace)[place] * other * (1 - np.tanh(X5 @ W3) ** 2)
    (found,) = error_origins(look(trace, right, [dz @ W3.T, X5.T @ dz]), [0, 1])
    assert (found.kind, found.place) == ("dropout_mask_stale", place)
    assert found.text == (
        "The gradient is multiplied by a mask other than that of the forward pass: 2 of 15 entries that can be checked "
        "differ. Reuse the mask of the forward pass. So x and w are wrong.")  # fmt: skip


def test_one_operation_or_several_that_an_input_goes_into() -> None:
    def said(f: Any) -> str:
        with recording_locations():
            trace, right = traced_of(f, X5, W3)
        return _uses_sentence(look(trace, right), 0).text.partition(": ")[2]

    def loop(x: Any, w: Any) -> Any:
        total: Any = 0.0
        for row in range(3):
            total = total + np.sin(x[row]).sum()
        return total

    assert said(lambda x, w: (np.sin(x) * x).sum()) == "the error is in the gradient that one of these passes back."
    assert said(lambda x, w: np.sin(x).sum()) == said(loop) == "the error is in the gradient that it passes back."


# -- Values that a backward recomputed

A, C = np.array([0.5, -1.0, 2.0]), np.array([1.0, 2.0, -0.5])
AFTER = (" So this value, recomputed in the backward pass, and all values that follow from it differ from those of the "
         "forward pass.")  # fmt: skip


def norm(x: Any, w: Any) -> Any:
    return (x * w / np.sqrt((x * x).sum() + 0.01)).sum()


def by_root(root: float, slope: float = 0.0, made: Array = A * C, dx: Array = C, dw: Array = A) -> list[Array]:
    """The gradients of a norm with a changed root, slope of the root, product, or gradients of the product."""
    return [WEIGHT * (dx / root - made.sum() / root**2 * (slope or 1 / root) * A), WEIGHT * dw / root]


def test_mistakes_in_recomputed_values() -> None:
    seen = look_of(norm, A, C)
    trace, s = seen.trace, float((A * A).sum())
    for g, right in zip(by_root(np.sqrt(s + 0.01)), seen.right_gradients, strict=True):
        np.testing.assert_allclose(g, right, rtol=1e-12)
    mine = by_root(np.sqrt(s + 0.05))
    found = {(r.place, r.parts[0][1].key): r for r in recomputed_mutants(trace, mine)}
    assert [(place, key, r.kind, round(r.cost, 6)) for (place, key), r in found.items()] == [
        (1, (0, "skipped"), "wrong_value", 1.65), (1, (0, "replaced"), "wrong_value", 1.65),
        (2, (0, "skipped"), "wrong_value", 1.2), (2, (0, "replaced"), "wrong_value", 1.3),
        (2, (True, 0.0), "wrong_epsilon", 1.1), (2, (True, 0.01), "wrong_epsilon", 1.1),
        (3, (0, "skipped"), "wrong_value", 1.2), (3, (0, "replaced"), "wrong_value", 1.3),
        (3, (False, 0.0), "wrong_epsilon", 1.1), (3, (False, 0.05), "wrong_epsilon", 1.1),
        *((place, (slot, how), "wrong_value", cost) for place in (5, 6) for slot in (0, 1)
          for how, cost in (("skipped", 1.2), ("replaced", 1.3))),
    ]  # fmt: skip
    for r in found.values():
        assert r.text.endswith(AFTER) == (r.kind == "wrong_epsilon")
        assert (r.linear, r.times, r.slot, r.is_unsummed) == (False, 1, None, False)
    texts = {key: r.text.removesuffix(AFTER) for key, r in found.items()}
    assert texts[3, (False, 0.05)] == "Epsilon is wrong: 0.05 is added; it should be 0.01."
    assert texts[3, (False, 0.0)] == texts[2, (True, 0.0)] == "Epsilon is forgotten."
    assert texts[2, (True, 0.01)] == "Epsilon is added outside the root; it should be inside."
    for key, text in {
        (2, (0, "skipped")): "sqrt were left out: the result of add stands in place of its result.",
        (6, (1, "replaced")): "y stood in place of the result of multiply in all that follows from it.",
        (6, (0, "skipped")): "multiply were left out: x stands in place of its result.",
    }.items():
        assert texts[key] == f"The gradients are as if {text}"
    root, whole = np.sqrt(s + 0.01), s + 0.01
    expected = {
        (3, (False, 0.05)): mine, (3, (False, 0.0)): by_root(np.sqrt(s)), (2, (True, 0.0)): by_root(np.sqrt(s)),
        (2, (True, 0.01)): by_root(np.sqrt(s) + 0.01), (3, (0, "skipped")): by_root(np.sqrt(s)),
        (3, (0, "replaced")): by_root(np.sqrt(s)),
        (2, (0, "skipped")): by_root(whole, 2.0), (2, (0, "replaced")): by_root(whole),
        (6, (0, "replaced")): by_root(root, made=A), (6, (1, "replaced")): by_root(root, made=C),
        (6, (0, "skipped")): by_root(root, made=A, dx=np.ones(3), dw=np.zeros(3)),
        (6, (1, "skipped")): by_root(root, made=C, dx=np.zeros(3), dw=np.ones(3)),
    }  # fmt: skip
    for which, grads in expected.items():
        made = found[which].walk(trace)
        assert made is not None
        for one, two in zip(made, grads, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-9, err_msg=str(which))
    short = traced_of(lambda x, w: (x * w).sum(), A, C)[0]
    assert found[2, (True, 0.0)].walk(short) is None
    assert found[1, (0, "skipped")].walk(short) is not None
    column = traced_of(lambda x, w: (x.reshape(3, 1) @ np.ones((1, 2))).sum(), A, C)[0]
    assert found[2, (0, "skipped")].walk(column) is None
    behind = [r for r in recomputed_mutants(trace, by_root(np.sqrt(s) + 0.05)) if r.kind == "wrong_epsilon"]
    assert [r.text.removesuffix(AFTER) for r in behind] == [
        "Epsilon is forgotten.", "Epsilon is added outside the root; it should be inside.",
        "Epsilon is wrong: 0.05 is added outside the root; it should be 0.01.", "Epsilon is forgotten."]  # fmt: skip


def test_the_kind_of_a_left_out_operation() -> None:
    mask, other = np.array([0.0, 2.0, 2.0]), np.array([1.0, 2.0, 2.0])

    def kinds(f: Any) -> list[tuple[str, str, float]]:
        trace = traced_of(f, A, C)[0]
        return [(r.parts[0][1].key[1], r.kind, round(r.cost, 6)) for place, node in enumerate(trace.operations)
                for r in _skipped_operations(place, node)]  # fmt: skip

    def both(kind: str, cost: float = 1.2) -> list[tuple[str, str, float]]:
        return [("skipped", kind, cost), ("replaced", kind, max(cost, 1.3))]

    assert kinds(lambda x, w: x * mask) == both("dropout_mask_missing")
    assert kinds(lambda x, w: x * other) == kinds(lambda x, w: x * (mask + 1)) == both("wrong_value")  # none is zero
    assert kinds(lambda x, w: x * np.array([0.0, 1.0, 2.0])) == both("wrong_value")
    assert kinds(lambda x, w: x * 2.0) == kinds(lambda x, w: x / 2.0) == both("wrong_value", 1.65)
    assert kinds(lambda x, w: x / mask[1:2]) == both("wrong_value", 1.65)
    assert kinds(lambda x, w: x + 2.0) == kinds(lambda x, w: np.sin(x)) == both("wrong_value")
    assert kinds(lambda x, w: np.maximum(x, 0.25)) == both("mask_missing")
    assert kinds(lambda x, w: x * np.array([0.0])) == both("wrong_value", 1.65)
    assert kinds(lambda x, w: x * 1.0) == kinds(lambda x, w: x.sum()) == []  # it changes nothing, or the shape


def test_a_small_number_that_is_added() -> None:
    def added(f: Any) -> float:
        return _added_epsilon(traced_of(f, A, C)[0].operations[0])

    assert added(lambda x, w: x + 0.1) == 0.1
    assert added(lambda x, w: np.array([0.02]) + x) == 0.02
    assert added(lambda x, w: x + 0.11) == added(lambda x, w: x + 0.0) == added(lambda x, w: x - 0.1) == 0
    assert added(lambda x, w: x + np.array([0.1, 0.1, 0.1])) == added(lambda x, w: x + w) == 0
    assert (
        added(lambda x, w: x * 0.1) == _added_epsilon(None) == _added_epsilon(traced_of(norm, A, C)[0].inputs[0]) == 0
    )


def test_the_constant_that_fits_a_gradient() -> None:
    seen = look_of(norm, A, C)
    s = float((A * A).sum())

    def fitted(value: float, c: float = 0.01, mine: Any = None) -> float | None:
        def make(graph: Any, place: int, value: float) -> Any:
            node = graph.operations[place]
            return copy_node(node, out=np.asarray(s + value))

        return _fit_constant(seen.trace, 3, by_root(np.sqrt(s + value)) if mine is None else mine, make, c)

    assert [fitted(v) for v in (0.05, 1e-3, 0.123456, 9.5)] == [0.05, 1e-3, 0.123456, 9.5]
    assert fitted(0.1234567) is None  # with more digits than a user writes
    assert fitted(-0.01) is None
    assert fitted(10.5) is None
    assert fitted(0.01) is None  # the same
    assert fitted(0.01 + 2e-6) == 0.010002
    assert fitted(0.05, mine=[m[:2] for m in seen.right_gradients]) is None
    assert fitted(0.05, mine=[m * np.nan for m in seen.right_gradients]) is None
    assert fitted(0.05, mine=[np.sin(m) + 40 for m in seen.right_gradients]) is None


# -- The search for a mistake


def layer(x: Any, w: Any) -> Any:
    return np.tanh(x @ w + w[0]).sum()


def look_again(f: Any, mine: Any = None, *leaves: Array, **more: Any) -> Any:
    given = leaves or (X, W)
    made = look_of(f, *given, mine=None if mine is None else (lambda right: mine), **more)
    return made._replace(trace_at=lambda moved: graph_of(f, *given)(moved).trace)


def grads_of(match: Match, trace: Any, right: list[Array]) -> list[Array]:
    """The gradients that a user's backward would return if the match were right."""
    made, s = match.mutant.walk(trace), match.factor.value
    assert made is not None
    if match.mutant.linear:
        return [r + (s - 1) * (r - m) for r, m in zip(right, made, strict=True)]
    return [s * m for m in made]


def test_what_a_mistake_adds_is_seen_without_a_walk() -> None:
    seen = look_again(layer)
    search = Search(seen)
    mutants, sums, sizes = search._single_mutant_changes()
    every = [m for m in single_mutants(seen.trace) if not m.is_unsummed]
    assert len(mutants) > 80
    assert len(every) - len(mutants) <= 1
    assert sums is not None
    assert sizes is not None
    assert sums.shape == sizes.shape == (len(mutants), 3, 2)
    for mutant, total, size in zip(mutants, sums, sizes, strict=True):
        made = mutant.walk(seen.trace)
        assert made is not None
        apart = [m - r for m, r in zip(made, seen.right_gradients, strict=True)]
        right = [[np.vdot(v, a) for v, a in zip(u, apart, strict=True)] for u in search.directions]
        assert (np.abs(total - right) <= 1e-8 * size).all()
        assert (np.abs(total) <= size * (1 + 1e-12)).all()
    assert search._directional_derivatives(seen.right_gradients)[1, 0] == np.vdot(
        search.directions[1][0], seen.right_gradients[0]
    )
    assert np.isnan(search._directional_derivatives([X.T, W])).tolist() == [[True, False]] * 3
    assert [v.shape for v in search.directions[0]] == [(5, 2), (2, 3)]
    assert Search(seen._replace(trace_at=None))._single_mutant_changes()[1:] == (None, None)


def test_what_one_mistake_adds_and_the_size_of_its_terms() -> None:
    trace = traced_of(lambda x, w: x * w, A, C)[0]
    g, slots = np.array([1.0, -1.0, 2.0]), [np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])]
    tangents = [np.array([[1.0, 0.0, -1.0], [0.0, 2.0, 1.0]]), np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])]
    both = searching._added_derivatives(trace, 0, cut(None), g, slots, tangents)
    assert both is not None
    assert [part.tolist() for part in both] == [[-1 + 3 - 5, -4 - 3 + 4], [1 + 3 + 5, 4 + 3 + 4]]
    one = searching._added_derivatives(trace, 0, cut(1), g, slots, tangents)
    assert one is not None
    assert [part.tolist() for part in one] == [[-5, 4], [5, 4]]
    assert searching._added_derivatives(trace, 0, cut(1), g, slots, [tangents[0], None]) is None
    assert searching._added_derivatives(trace, 0, cut(None), g, [None, None], tangents) is None
    assert searching._added_derivatives(trace, 0, cut(1), g, [slots[0], slots[1] * np.inf], tangents) is None


def test_how_arguments_move_with_the_inputs() -> None:
    seen = look_again(layer)
    search = Search(seen)
    moves = search._argument_tangents()
    assert moves is not None
    place = seen.trace.operations.index(node_of(seen.trace, "matmul"))
    for row, (u, i) in enumerate((u, i) for u in search.directions for i in (0, 1)):
        for slot in (0, 1):
            right = u[i].ravel() if slot == i else np.zeros((X, W)[slot].size)
            np.testing.assert_allclose(moves[place][slot][row], right, atol=1e-9)
        tanh = moves[seen.trace.operations.index(node_of(seen.trace, "tanh"))][0][row]
        np.testing.assert_allclose(tanh.reshape(5, 3), u[0] @ W if i == 0 else X @ u[1] + u[1][0], atol=1e-8)
    assert Search(seen._replace(trace_at=None))._argument_tangents() is None
    assert Search(seen._replace(float64_inputs=[X, W + 0j]))._argument_tangents() is None
    other = graph_of(lambda x, w: (x @ w).sum(), X, W)
    assert Search(seen._replace(trace_at=lambda moved: other(moved).trace))._argument_tangents() is None

    def stops(moved: Any) -> Any:
        raise ValueError

    assert Search(seen._replace(trace_at=stops))._argument_tangents() is None


def test_the_numbers_held_beside_the_point_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = look_again(lambda x, w: np.sin(x).sum() + w.sum())
    held = 3 * 2 * sum(np.size(a) for n in seen.trace.operations for a in n.args or ())
    monkeypatch.setattr(searching, "HELD", held)
    assert Search(seen)._argument_tangents() is not None
    monkeypatch.setattr(searching, "HELD", held - 1)
    assert Search(seen)._argument_tangents() is None


def test_mistakes_that_give_the_users_numbers() -> None:
    seen = look_again(layer)
    trace, right = seen.trace, seen.right_gradients
    for k, mutant in enumerate(single_mutants(trace)):
        made = mutant.walk(trace)
        if (
            k % 4
            or mutant.is_unsummed
            or mutant.kind == "scale"
            or made is None
            or not all(np.abs(m).any() for m in made)
        ):
            continue
        if all(np.allclose(m, r) for m, r in zip(made, right, strict=True)):
            continue
        for by in (1.0, 3.0):
            mine = [by * m for m in made]
            found = Search(seen._replace(user_gradients=mine)).matches([0, 1])
            assert (mutant.kind, mutant.parts[0][0], mutant.text) in [
                (m.mutant.kind, m.mutant.parts[0][0], m.mutant.text) for m in found]  # fmt: skip
            assert Factor("3", 3.0).name in {m.factor.name for m in found} if by == 3 else True
            for match in found:
                for one, two in zip(grads_of(match, trace, right), mine, strict=True):
                    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
            alone = [m for m in found if m.mutant.times == 1 and isinstance(m.mutant, Mutant)]
            costs = [(m.mutant.linear, m.mutant.cost) for m in alone if len(m.mutant.parts) == 1]
            first = [c for c in costs if not c[0]]
            assert first[: len(first)] == sorted(first) or not first


def test_a_part_of_a_gradient_that_counts_otherwise_than_once() -> None:
    slope = 1 - np.tanh(X @ W + W[0]) ** 2
    right = [WEIGHT * slope @ W.T, WEIGHT * X.T @ slope]
    right[1][0] += WEIGHT * slope.sum(axis=0)
    seen = look_again(layer, [right[0], right[1] + 4 * WEIGHT * X.T @ slope])
    for g, r in zip(seen.right_gradients, right, strict=True):
        np.testing.assert_allclose(g, r)
    found = Search(seen, with_groups=False).matches([0, 1])
    place = seen.trace.operations.index(node_of(seen.trace, "matmul"))
    assert [(m.mutant.kind, m.mutant.place, m.mutant.slot, m.factor.name) for m in found] == [("scale", place, 1, "5")]
    assert Search(seen, with_groups=False).matches([0, 1], linear=False) == []
    other = seen._replace(user_gradients=[right[0].T, seen.user_gradients[1]])
    alone = [(m.mutant.place, m.factor.name) for m in Search(other, with_groups=False).matches([0, 1])]
    assert (place, "5") in alone  # of the other input nothing is asked, so there is more that gives these numbers
    assert Search(seen._replace(user_gradients=[m.T for m in right])).matches([0, 1]) == []


def test_signs_that_agree_to_the_error_of_the_differences() -> None:
    seen = look_again(layer)
    search = Search(seen, with_groups=False)
    mutant = Mutant("wrong_index", "", ((0, cut(None)),))
    u = np.stack([np.ravel(v[0]) for v in search.directions])
    right = search._directional_derivatives(seen.right_gradients)[:, 0]

    def signed(
        whole: list[float], made: list[float], *, linear: bool = False, size: float = 1e3, single: bool = False
    ) -> bool:
        """Whether the search tries a mistake that gives an input slopes `made`, for a gradient with slopes `whole`."""
        goal = np.linalg.pinv(u) @ np.array(whole)
        kind = np.float32 if single else np.float64
        mine = [goal.reshape(5, 2), seen.right_gradients[1].astype(kind)]
        looked = Search(seen._replace(user_gradients=mine), with_groups=False)
        sums = np.zeros((1, 3, 2))
        sums[0, :, 0] = np.array(made) - right
        looked.single_changes = ([mutant._replace(linear=linear)], sums, np.full((1, 3, 2), size))
        return len(list(looked._fitting_mutants([0]))) == 1

    assert signed([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], size=1e-3)
    assert signed([2.0, 4.0, 6.0], [1.0, 2.0, 3.0], size=1e-3)  # by a factor
    assert signed([-2.0, -4.0, -6.0], [1.0, 2.0, 3.0], size=1e-3)
    assert not signed([1.0, 2.0, 3.5], [1.0, 2.0, 3.0])
    assert signed([1.0, 2.0, 3.0], [1.0, 2.09, 3.0])
    assert not signed([1.0, 2.0, 3.0], [1.0, 2.11, 3.0])
    assert not signed([0.01, 0.02, 0.03], [0.01, 2.0, 0.03], size=1.0)
    assert signed([1.0, 2.0, 3.0], [1.0, 2.9, 3.0], single=True)
    assert not signed([1.0, 2.0, 3.0], [1.0, 3.1, 3.0], single=True)
    assert signed([9e-4, 9e-4, 9e-4], [0.09, -0.09, 0.09])  # what nearly cancels is no multiple, and near
    assert not signed([9e-4, 9e-4, 9e-4], [0.11, -0.11, 0.11])
    assert not signed([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], size=0.0)  # it does nothing
    beside = [float(r + 5 * (m - r)) for r, m in zip(right, (1.0, 2.0, 3.0), strict=True)]
    assert signed(beside, [1.0, 2.0, 3.0], linear=True, size=1e-3)
    assert not signed(beside, [1.0, 2.0, 3.0], size=1e-3)
    assert not signed([2.0, 4.0, 6.0], [1.0, 2.0, 3.0], linear=True, size=1e-3)


def test_a_search_walks_at_most_a_given_number_of_mistakes_of_one_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = look_again(layer, [np.zeros((5, 2)), np.zeros((2, 3))])
    for most in (1, 3):
        monkeypatch.setattr(searching, "WALKED", most)
        found = Search(seen, with_groups=False).matches([0, 1])
        kinds = [m.mutant.kind for m in found]
        assert max(map(kinds.count, kinds)) == most
    seen = look_again(lambda x, w: np.tanh(np.sin(x @ w) * 2.0).sum())
    monkeypatch.setattr(searching, "WALKS", 0)
    assert list(Search(seen)._walk_mutants()) == []
    cost = sum(np.size(n.out) for n in seen.trace.operations) + searching.SLOW * len(seen.trace.operations)
    for walks in (1, 4):
        monkeypatch.setattr(searching, "WALKS", walks * cost)
        assert len(list(Search(seen)._walk_mutants())) == walks
        monkeypatch.setattr(searching, "WALKS", walks * cost - 1)
        assert len(list(Search(seen)._walk_mutants())) == walks - 1


def steps(x: Any, w: Any) -> Any:
    h = x[0] * 0.5
    for row in range(1, 5):
        h = np.tanh(h * x[row] * w[0, :2])
    return h.sum()


def test_mistakes_at_several_operations() -> None:
    seen = look_again(steps)
    search = Search(seen)
    walks = list(search._walk_mutants())
    assert {m.remake is None for m, _ in walks} == {True, False}
    assert [m.cost for m, _ in walks] == sorted(m.cost for m, _ in walks)
    tried = [(m.kind, tuple((p, part.text, part.slot, part.key) for p, part in m.parts)) for m, _ in walks]
    assert len(set(tried)) == len(tried)
    for mutant, along in walks:
        made = mutant.walk(seen.trace)
        assert made is not None
        np.testing.assert_array_equal(along, search._directional_derivatives(made))
    kind = "missing_activation_derivative"
    mutant = next(m for m, _ in walks if isinstance(m, Mutant) and m.times == 4 and m.kind == kind)
    made = mutant.walk(seen.trace)
    assert made is not None
    for by in (1.0, -3.0):
        found = Search(seen._replace(user_gradients=[by * m for m in made])).matches([0, 1])
        assert (kind, 4, "1" if by == 1 else "-3") in [
            (m.mutant.kind, m.mutant.times, m.factor.name) for m in found]  # fmt: skip
        for match in found:
            for one, two in zip(grads_of(match, seen.trace, seen.right_gradients), made, strict=True):
                np.testing.assert_allclose(one, by * two, rtol=1e-5, atol=1e-8)
    assert Search(seen._replace(user_gradients=made), with_groups=False).matches([0, 1]) == []


def test_sums_over_broadcasts_that_are_missing() -> None:
    one = traced_of(layer, X, W)[0]
    two = traced_of(lambda x, w: x @ w + w[0] * w[1] + w[1], X, W)[0]
    three = traced_of(lambda x, w: x @ w + w[0] + w[1] + np.sin(w[0]), X, W)[0]
    assert [[len(m.parts) for m in _missing_sums(t)] for t in (one, two, three)] == [
        [1],
        [1, 1, 2],
        [1, 1, 1, 2, 2, 2, 3],
    ]
    every = list(_missing_sums(three))
    assert [m.cost for m in every[3:]] == [1.05] * 4
    a, b, c = (m.parts for m in every[:3])
    assert [m.parts for m in every[3:]] == [a + b, a + c, b + c, a + b + c]
    text = ("Values that were broadcast are used in many places, so their gradients are sums over them. These sums are "
            "missing.")  # fmt: skip
    assert {m.text for m in every[3:]} == {text}
    assert all(m.is_unsummed and m.kind == "broadcast_not_summed" for m in every)
    many = traced_of(lambda x, w: sum(x @ w + w[0] * k for k in range(2, 22)), X, W)[0]
    fewer = traced_of(lambda x, w: sum(x @ w + w[0] * k for k in range(2, 21)), X, W)[0]
    assert len(list(_missing_sums(many))) == 20
    assert len(list(_missing_sums(fewer))) == 19 + 19 * 18 // 2 + 1


def test_a_factor_by_which_a_mistake_explains_some_inputs() -> None:
    seen = look_again(layer)
    trace, right = seen.trace, seen.right_gradients
    place = trace.operations.index(node_of(trace, "matmul"))
    linear = Mutant("scale", "", ((place, cut(1)),), linear=True)
    plain = linear._replace(linear=False)
    made = plain.walk(trace)
    assert made is not None

    def name(mutant: Any, mine: list[Array], over: tuple[int, ...] = (0, 1)) -> str | None:
        found = _fitting_factor(seen._replace(user_gradients=mine), mutant, list(over))
        return found and found.name

    assert name(plain, made) == "1"
    assert name(plain, [2 * m for m in made]) == "2"
    assert name(plain, made, (1,)) == "1"
    assert name(plain, made, (0,)) is None  # it does nothing to that input
    assert name(plain, right) is None
    assert name(linear, made) == "0"
    assert name(linear, right) is None
    assert name(linear, [r + 6 * (r - m) for r, m in zip(right, made, strict=True)]) == "7"
    assert name(linear, [r + 1e-3 * np.sin(r) for r in right]) is None
    probes = [(made, trace, right)]
    assert (
        _fitting_factor(seen._replace(user_gradients=made, probes=probes), plain, [0, 1]) or Factor("", 0)
    ).name == "1"
    assert (
        _fitting_factor(
            seen._replace(user_gradients=made, probes=[([2 * m for m in made], trace, right)]), plain, [0, 1]
        )
        is None
    )


# -- Mistakes at one operation, and at several


def places_of(trace: Any, name: str) -> list[int]:
    return [p for p, n in enumerate(trace.operations) if n.primitive is not None and n.primitive.name == name]


def four(x: Any, y: Any, z: Any, u: Any) -> Any:
    return x * y + z * u


def test_two_factors_of_a_sum_of_products_have_the_gradient_of_each_other() -> None:
    leaves = [np.array([1.0, 2.0]), np.array([3.0, 5.0]), np.array([7.0, -1.0]), np.array([0.5, 4.0])]
    trace, right = traced_of(four, *leaves)
    g = right_cotangents(trace)[0]
    np.testing.assert_allclose(right, [g * leaves[k] for k in (1, 0, 3, 2)])
    found = list(_exchanges(trace, {}))
    assert {m.kind for m in found} == {"wrong_gate"}
    made = [m.walk(trace) for m in found]
    x, y, z, u = (g * leaf for leaf in leaves)  # as gradients: that of x is y, and so on
    expected = [[u, x, y, z], [z, x, u, y], [y, u, x, z], [y, z, u, x]]
    for one, two in zip(made, expected, strict=True):
        assert one is not None
        np.testing.assert_allclose(one, two)
    assert [m.times for m in found] == [1] * 4
    other = traced_of(lambda x, y, z, u: (x * y[:1])[:1] + z * u, *leaves)[0]
    assert list(_exchanges(other, {})) == []  # a slice is no product
    same = traced_of(lambda x, y: (lambda p: p + p)(x * y), *leaves[:2])[0]
    assert list(_exchanges(same, {})) == []
    minus = traced_of(lambda x, y, z, u: x * y - z * u, *leaves)[0]
    assert list(_exchanges(minus, {})) == []
    wide = traced_of(lambda x, y, z, u: x * y[0] + z * u, *leaves)[0]
    at = {n.primitive.name: p for p, n in enumerate(wide.operations) if n.primitive is not None}
    assert at["add"] == 0
    assert len(list(_exchanges(wide, {}))) == 2  # the other factors are of one shape


def test_exchanges_of_one_line_are_made_together() -> None:
    def gates(x: Any, y: Any, z: Any, u: Any) -> Any:
        for _ in range(3):
            x = x * y + z * u
        return x

    leaves = [RNG.normal(size=2) for _ in range(4)]
    trace = traced_of(gates, *leaves)[0]
    one = dict.fromkeys(range(len(trace.operations)), (("a line",), ("a line", "its caller")))
    every = {p: ((f"line {p}",),) for p in range(len(trace.operations))}
    assert sorted(m.times for m in _exchanges(trace, one)) == [3, 3, 3, 3]
    assert sorted(m.times for m in _exchanges(trace, every)) == [1] * 12
    for m in _exchanges(trace, one):
        assert [p for p, _ in m.parts] == sorted(p for p, _ in m.parts)
        assert len(m.parts) == 6


def test_what_a_mistake_adds_at_the_arguments_of_an_operation() -> None:
    trace = traced_of(lambda x, w: x * w, A, C)[0]
    g, slots = np.array([1.0, -1.0, 2.0]), [np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])]
    twice = Mistake("scale", "", lambda s: 3 * s.slots[1] + s.g, 1)
    found = local_mutants(trace, 0, twice, g, slots)
    assert found is not None
    assert found[0] is None
    assert np.asarray(found[1]).tolist() == [2 * 4 + 1, 2 * 5 - 1, 2 * 6 + 2]
    lost = local_mutants(trace, 0, cut(0), g, slots)
    assert lost is not None
    assert (np.asarray(lost[0]).tolist(), lost[1]) == ([-1, -2, -3], None)

    def stops(s: Any) -> Any:
        raise ValueError

    assert local_mutants(trace, 0, Mistake("scale", "", stops, 1), g, slots) is None
    row = traced_of(lambda x, w: x * w[:1], A, C)[0]
    found = local_mutants(row, 0, Mistake("scale", "", lambda s: np.ones(3), 1), g, [g, np.array([7.0])])
    (summed,) = [d for d in found or [] if d is not None]
    assert summed.tolist() == [3 - 7.0]  # what is wider is summed


def test_places_that_one_line_made_or_that_take_one_input() -> None:
    def f(x: Any, w: Any) -> Any:
        return np.sin(x) * np.sin(w) + np.sin(np.sin(x)) * x * w

    trace = traced_of(f, A, C)[0]
    sines, products = places_of(trace, "sin"), places_of(trace, "multiply")
    without = [sorted(p) for p in _similar_places(trace, {})]
    of_x = [p for p in sines if (trace.operations[p].parents or ())[0] is trace.inputs[0]]
    assert len(of_x) == 2
    assert of_x in without
    assert sorted(set(sines) - set(of_x)) not in without  # of w, and of a sine
    assert all(len(p) > 1 for p in without)
    sites = dict.fromkeys(sines, (("a",), ("a", "b")))
    sites[sines[0]] = (("a",), ("a", "c"))
    named = [sorted(p) for p in _similar_places(trace, sites)]
    assert sorted(sines) in named
    assert sorted(sines[1:]) in named
    assert len(named) == len({tuple(p) for p in named})
    assert not any(set(p) & set(sines) and set(p) & set(products) for p in named)


def test_the_sentence_about_a_gradient_lost_in_every_run() -> None:
    trace = traced_of(steps, X, W)[0]
    uses, place = uses_of(trace), places_of(trace, "tanh")[0]
    runs = places_of(trace, "tanh")[:3]
    kind, text = _why_lost_in_runs(trace, runs, None, uses, 3)
    assert (kind, text) == ("not_carried_back", (
        "The gradient is not passed back through this operation in any of its 3 runs: what each step passes to the one "
        "before is forgotten."))  # fmt: skip
    assert _why_lost_in_runs(trace, runs[:2], None, uses, 2) == why_lost(trace, place, None, uses)
    square = traced_of(lambda x, w: (x * x + w * w).sum(), A, C)[0]
    half = places_of(square, "multiply")[0]
    assert _why_lost_in_runs(square, [half] * 3, 0, uses_of(square), 3)[0] == "product_rule_half"


def test_mistakes_at_all_operations_of_a_line() -> None:
    trace = traced_of(steps, X, W)[0]
    tanhs = places_of(trace, "tanh")
    found = [
        m for m in group_mutants(trace, dict.fromkeys(tanhs, (("line",),))) if {p for p, _ in m.parts} <= set(tanhs)
    ]
    lost = [m for m in found if m.kind == "not_carried_back"]
    assert [(m.times, m.linear, m.cost) for m in lost] == [(4, False, 1.02), (3, False, 1.02)]  # or all but the last
    assert [p for p, _ in lost[0].parts] == sorted(tanhs)
    assert all(m.times > 2 for m in found)  # of four at least three
    assert {m.kind for m in found} >= {"missing_activation_derivative", "activation_derivative_at_wrong_value"}
    apart = [m for m in group_mutants(trace, {p: ((p,),) for p in tanhs}) if {p for p, _ in m.parts} == set(tanhs)]
    assert min(m.cost for m in apart) == 1.1  # that a whole array has a factor, which costs 1.05, is said rather
    singly = {(m.kind, m.text): m.cost for m in single_mutants(trace) if m.place in tanhs and m.cost < 1.3}
    for m in found:
        if m not in lost:
            assert m.cost == pytest.approx(singly[m.kind, m.text] + 0.02)


# -- Sentences about a match


def told(f: Any, mutant: Any, factor: Factor, *leaves: Array, **more: Any) -> tuple[float, Any]:
    seen = look_of(f, *(leaves or (X, W)))
    return _cost_and_diagnosis(seen._replace(**more), Match(mutant(seen.trace) if callable(mutant) else mutant, factor),
                                   range(len(seen.float64_inputs)))  # fmt: skip


def test_the_sentence_and_the_cost_of_a_match() -> None:
    def at(name: str, slot: int | None = None, **more: Any) -> Any:
        given = {"linear": True, **more}
        return lambda t: Mutant("wrong_value", "Text.", ((places_of(t, name)[0], cut(slot)),), **given)

    one, zero, two, minus, five = (Factor(name, float(name)) for name in ("1", "0", "2", "-1", "5"))
    cost, d = told(layer, at("tanh", linear=False, cost=1.25), one)
    assert (cost, d.kind, d.text, d.number, d.equation) == (1.25, "wrong_value", "Text.", "tanh", r"g \, (1 - out^2)")
    assert d.where == "tanh, operation 4 of 5"
    cost, d = told(layer, at("tanh", linear=False, cost=1.25), two)
    assert (cost, d.text) == (1.75, "Text. It is also multiplied by 2.")
    cost, d = told(layer, at("tanh", linear=False), Factor("N", 5.0))
    assert d.text == "Text. It is also multiplied by N (the number of rows of x)."
    assert d.evidence == ("with this mistake, the graph gives the gradients of the backward up to rounding",)
    for factor, price, kind in ((minus, 1.15, "sign"), (two, 1.3, "scale"), (Factor("1/N", 0.2), 1.3, "scale"),
                                (five, 1.6, "scale")):  # fmt: skip
        cost, d = told(layer, at("matmul", 1), factor)
        assert (cost, d.kind, d.number) == (price, kind, "matmul")
    texts = [told(layer, at("matmul", k), two)[1].equation for k in (0, 1, None)]
    assert texts[0] == texts[2] != texts[1]
    cost, d = told(layer, at("matmul", 1), zero)
    assert (cost, d.kind) == (1.02, "overwritten_not_accumulated")
    cost, d = told(lambda x, w: (x * x).sum() + 0.5 * (w * w).sum(), at("multiply"), zero)
    assert cost in (0.95, 1.02)


def test_a_penalty_that_is_lost() -> None:
    def lost(f: Any, name: str, slot: int | None = None, which: int = 0) -> tuple[str, str]:
        seen = look_of(f, X, W)
        mutant = Mutant("scale", "", ((places_of(seen.trace, name)[which], cut(slot)),), linear=True)
        found = _lost_penalty(seen, mutant, "place", "eq")
        return found.kind, found.where

    assert lost(lambda x, w: np.tanh(x @ w).sum() + (w * w).sum() * 0.5, "multiply") == ("missing_penalty", "w")
    assert lost(lambda x, w: np.tanh(x @ w).sum() + np.abs(x).sum() * 0.5, "multiply") == ("missing_penalty", "x")
    assert lost(lambda x, w: np.tanh(x @ w).sum() + (w * w).sum() * 0.5, "multiply", 0)[0] != "missing_penalty"
    assert lost(lambda x, w: np.tanh(x @ w).sum() + (w * w * w).sum() * 0.5, "multiply")[0] != "missing_penalty"
    assert lost(lambda x, w: (x @ w).sum() * 0.5 + w.sum(), "multiply")[0] != "missing_penalty"  # of two


# -- The last steps of a loop


def loop_of(rows: int) -> tuple[Any, list[Array]]:
    def added(x: Any, w: Any) -> Any:
        h: Any = 0.5
        for row in range(rows):
            h = np.tanh(x[row] * w + h)
        return h

    return traced_of(added, RNG.normal(size=(rows, 2)), C[:2])


@pytest.mark.parametrize(("rows", "counts"), [(2, []), (3, [1]), (4, [1]), (6, [1]), (7, [1, 3])])
def test_parts_of_a_graph_behind_the_last_steps(rows: int, counts: list[int]) -> None:
    trace, _ = loop_of(rows)
    assert len(trace.operations) == 4 * rows  # a part of half of them is no short walk
    found = list(last_steps(trace))
    assert [int(part.mask.any(axis=1).sum()) for part in found] == counts
    for part, count in zip(found, counts, strict=True):
        assert part.number == 0
        assert part.mask[rows - count :].all()
        assert not part.mask[: rows - count].any()
        assert part.places == {p: p for p in range(4 * count)}
        assert part.part.operations == trace.operations[: 4 * count]
    assert list(last_steps(traced_of(lambda x, w: x[0] * x[1] * x[2] * x.sum(), X, W)[0])) == []


def test_a_mistake_that_the_last_steps_agree_with() -> None:
    trace, right = loop_of(7)
    one, three = last_steps(trace)
    tanhs = places_of(trace, "tanh")
    first = next(m for m in single_mutants(trace) if m.place == tanhs[0] and m.kind == "missing_activation_derivative")
    every = first._replace(parts=tuple((p, first.parts[0][1]) for p in tanhs))
    made = every.walk(trace)
    assert made is not None
    for part in (one, three):
        for by in (1.0, -3.0, 1e-9):
            assert part.agrees(every, by * made[0], 1e-9)
        assert not part.agrees(every, right[0], 1e-4)
        assert not part.agrees(every, made[0][:1], 1e-4)
        assert part.agrees(first._replace(parts=()), right[0], 1e-9)
        noise = np.zeros((7, 2))
        noise[:4] = 5.0  # what comes of the steps before is not looked at
        assert part.agrees(every, made[0] + noise, 1e-9)
    lost = Mutant("scale", "", ((tanhs[0], cut(tanhs[0])),))
    assert one.agrees(lost, 0 * right[0], 1e-9)
    assert not one.agrees(lost, right[0], 1e-4)
    off = np.zeros((7, 2))
    m = made[0][6]
    off[6] = np.array([-m[1], m[0]]) * 1e-3  # no multiple of it: the error is a thousandth of the largest entry
    bound = np.abs(off).max() / max(np.abs(made[0][6] + off[6]).max(), np.abs(m).max())
    assert one.agrees(every, made[0] + off, 1.01 * bound)
    assert not one.agrees(every, made[0] + off, 0.99 * bound)


# -- Functions that a user composed


def test_how_near_a_composed_function_needs_to_be() -> None:
    x = RNG.normal(size=(3, 4))
    e = np.exp(x - x.max(axis=1, keepdims=True))
    outs = {"tanh": ("divide", np.tanh(x)), "sigmoid": ("divide", 1 / (1 + np.exp(-x))),
            "relu": ("multiply", np.maximum(x, 0)), "softmax": ("divide", e / e.sum(axis=1, keepdims=True)),
            "softplus": ("log", np.log1p(np.exp(x)))}  # fmt: skip
    for name, (end, out) in outs.items():
        place = np.unravel_index(np.argmin(np.abs(out)), out.shape)
        for by, found in ((0.9e-9, [name]), (1.1e-9, []), (-1.1e-9, [])):
            off = out.copy()
            off[place] += by * np.abs(out).max()
            if name != "relu" or by > 0:
                assert [n for n, *_ in _functions(end, x, off)] == found, (name, by)


def test_how_near_a_norm_needs_to_be() -> None:
    x = np.array([[1.0, 2.0, 4.0], [3.0, -1.0, 0.0]])
    mean, var = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)

    def found(eps: Any, off: float = 0.0) -> list[tuple[Any, float]]:
        out = (x - mean) / np.sqrt(var + eps)
        out[0, 1] += off * np.abs(out).max()
        return [(options["axis"], options["eps"]) for _, options in _norms(x, out)]

    assert found(0.125) == [((1,), 0.125)]
    assert found(0.125, 0.9e-9) == [((1,), 0.125)]
    assert found(0.125, 1.2e-9) == found(0.125, -1.2e-9) == []
    assert found(0.12345) == [((1,), 0.123)]
    largest = float((var + 0.125).max())
    assert found(0.125 + np.array([[0.0], [1.9e-9 * largest]])) == [((1,), 0.125)]  # the median is between them
    assert found(0.125 + np.array([[0.0], [2.1e-9 * largest]])) == []
    assert found(0.5e-9 * float(var.max())) == [((1,), 0.0)]
    assert found(2e-9 * float(var.max())) == [((1,), float(f"{2e-9 * float(var.max()):.3g}"))]
    assert found(-0.5e-9 * float(var.max())) == [((1,), 0.0)]
    assert found(-2e-9 * float(var.max())) == []


def test_the_values_that_all_paths_lead_to_are_near() -> None:
    def chain(count: int) -> Any:
        return traced_of(lambda x, w: functools.reduce(lambda v, _: np.sin(v), range(count), x), A, C)[0]

    for count, most in ((10, 10), (15, 15), (16, 15), (60, 15)):
        trace = chain(count)
        found = list(_sources(trace.operations[0]))
        assert found == [*trace.operations[1:], trace.inputs[0]][:most]
    assert [k.name for k in find_known_functions(chain(4))] == []
    trace = traced_of(lambda x, w: 1 / (1 + np.exp(-np.sin(x))) + w, A, C)[0]
    (known,) = find_known_functions(trace)
    assert (known.name, trace.operations[known.place].primitive.name) == ("sigmoid", "divide")  # type: ignore[union-attr]
    assert known.source == trace.operations.index(node_of(trace, "sin"))
    trace = traced_of(lambda x, w: 1 / (1 + np.exp(-w)) + x, A, C)[0]
    assert [k.source for k in find_known_functions(trace)] == [-2]


def test_a_factor_of_all_inputs_is_one_of_the_last_operation() -> None:
    def told(f: Any, *leaves: Array) -> tuple[str, str]:
        seen = look_of(f, *leaves, mine=lambda right: [-g for g in right])
        found = _find_joint_diagnosis(seen, list(range(len(leaves))), [])
        assert found is not None
        return found.where, found.text

    assert told(layer, X, W) == ("sum, operation 5 of 5", "The gradient has the wrong sign from here on.")
    assert told(lambda x: np.sin(x).sum(), X) == ("x", "The gradient has the wrong sign.")
