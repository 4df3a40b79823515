"""How errors spread in a graph, and the sentences about their origin, in small graphs with known Jacobians."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.compare_parts import graph_of
from tinygrad_nn.compare.function import error_origin
from tinygrad_nn.compare.function.error_origin import (
    Spread,
    _at_one_line,
    _axis_word,
    _capitalized,
    _find_candidates,
    _index_text,
    _keep_only,
    _local_jacobians,
    _miscounted_text,
    _stale_mask_sentence,
    _uses_sentence,
    _wrong_parts_text,
    error_origins,
    operations_text,
    propagate_errors,
)
from tinygrad_nn.compare.function.mutants import right_cotangents
from tinygrad_nn.compare.mistakes import uses_of
from tinygrad_nn.compare.paths import Traced
from tinygrad_nn.node import Node

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(5)
X, W, C = RNG.normal(size=(5, 2)), RNG.normal(size=(2, 3)), np.arange(1.0, 16.0).reshape(5, 3)
MASK = np.array([[0, 2, 2], [2, 0, 2], [2, 2, 2], [0, 0, 2], [2, 0, 0]], dtype=float)


def net(x: Any, w: Any) -> Any:
    return (np.tanh(x @ w) * C).sum()


def dropped(x: Any, w: Any) -> Any:
    return np.tanh(np.tanh(x @ w) * MASK).sum()


def traced_of(f: Any, *leaves: Array) -> tuple[Traced, list[Array]]:
    run = graph_of(f, *leaves)(list(leaves))
    return run.trace, [np.asarray(g) for g in run.grads]


def look(trace: Traced, right: list[Array], mine: list[Array] | None = None, single: bool = False) -> Any:
    mine = right if mine is None else mine
    bads = [np.asarray(m != r) if m.shape == r.shape else np.ones(r.shape, bool)
            for m, r in zip(mine, right, strict=True)]  # fmt: skip
    return SimpleNamespace(
        trace=trace,
        right_gradients=right,
        user_gradients=mine,
        has_float32=single,
        wrong_masks=bads,
        label=lambda i: "xwv"[i],
    )


def node_of(trace: Traced, name: str) -> Any:
    return next(n for n in trace.operations if n.primitive is not None and n.primitive.name == name)


# -- How errors spread


def test_errors_of_a_value_reach_the_inputs_by_its_jacobian() -> None:
    trace, right = traced_of(net, X, W)
    weight = 0.5 + np.cos(0.0) ** 2  # of the sum
    mine = [g + 0.1 * RNG.normal(size=g.shape) for g in right]
    known = propagate_errors(look(trace, right, mine), [0, 1])
    assert known is not None
    slope = 1 - np.tanh(X @ W) ** 2
    np.testing.assert_allclose(right[1], weight * X.T @ (slope * C))
    scales = [np.abs(g).max() for g in right]
    np.testing.assert_allclose(known.errors, np.concatenate([(m - r).ravel() / s for m, r, s
                                                             in zip(mine, right, scales, strict=True)]))  # fmt: skip
    e = RNG.normal(size=(5, 3))

    def reaches(dz: Array) -> Array:
        return np.concatenate([(dz @ W.T).ravel() / scales[0], (X.T @ dz).ravel() / scales[1]])

    np.testing.assert_allclose(known.matrices[node_of(trace, "matmul")] @ e.ravel(), reaches(e), atol=1e-14)
    np.testing.assert_allclose(known.matrices[node_of(trace, "tanh")] @ e.ravel(), reaches(e * slope), atol=1e-14)
    np.testing.assert_allclose(known.matrices[node_of(trace, "sum")] @ [2.0], reaches(2 * C * slope), atol=1e-13)
    place = trace.operations.index(node_of(trace, "matmul"))
    np.testing.assert_allclose(known.edge_matrices[place, 0] @ e.ravel(), [*reaches(e)[:10], *np.zeros(6)], atol=1e-14)
    np.testing.assert_allclose(known.edge_matrices[place, 1] @ e.ravel(), [*np.zeros(10), *reaches(e)[10:]], atol=1e-14)
    assert known.reached_masks[trace.inputs[0]].tolist() == [True] * 10 + [False] * 6
    assert known.reached_masks[trace.inputs[1]].tolist() == [False] * 10 + [True] * 6
    assert known.reached_masks[node_of(trace, "tanh")].all()
    assert known.tolerance == 1e-6
    only = propagate_errors(look(trace, right, mine, single=True), [1])
    assert only is not None
    assert only.tolerance == 1e-3
    np.testing.assert_allclose(only.matrices[node_of(trace, "matmul")] @ e.ravel(), reaches(e)[10:], atol=1e-14)
    assert trace.inputs[0] not in only.matrices


def test_of_many_equations_random_sums_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    trace, right = traced_of(net, X, W)
    mine = [g + 0.1 * RNG.normal(size=g.shape) for g in right]
    whole = propagate_errors(look(trace, right, mine), [0, 1])
    monkeypatch.setattr(error_origin, "EQUATIONS", 16)
    same = propagate_errors(look(trace, right, mine), [0, 1])
    assert whole is not None
    assert same is not None
    np.testing.assert_array_equal(same.errors, whole.errors)
    monkeypatch.setattr(error_origin, "EQUATIONS", 15)
    mixed = propagate_errors(look(trace, right, mine), [0, 1])
    assert mixed is not None
    mix = np.random.default_rng(0).normal(size=(15, 16)) / 4
    np.testing.assert_allclose(mixed.errors, mix @ whole.errors, atol=1e-14)
    for node, matrix in whole.matrices.items():
        np.testing.assert_allclose(mixed.matrices[node], mix @ matrix, atol=1e-13)
    for node, there in whole.reached_masks.items():
        np.testing.assert_array_equal(mixed.reached_masks[node], there)
    monkeypatch.setattr(error_origin, "MOST", 46)  # 15 + 15 + 15 + 1 entries
    assert propagate_errors(look(trace, right, mine), [0, 1]) is not None
    monkeypatch.setattr(error_origin, "MOST", 45)
    assert propagate_errors(look(trace, right, mine), [0, 1]) is None


def test_cases_in_which_errors_cannot_be_propagated() -> None:
    complex_, grads = traced_of(lambda x: (x * x).sum(), X + 1j)
    assert propagate_errors(look(complex_, grads), [0]) is None
    nothing = Traced([], [SimpleNamespace(out=X)], [])  # type: ignore[list-item]
    assert propagate_errors(look(nothing, [X]), [0]) is None
    with np.errstate(all="ignore"):
        infinite, grads = traced_of(lambda x: np.sqrt(x).sum(), np.array([0.0, 1.0]))
        assert propagate_errors(look(infinite, grads), [0]) is None


def test_the_jacobian_of_each_rule() -> None:
    trace, _ = traced_of(net, X, W)
    blocks = _local_jacobians(node_of(trace, "matmul"))
    np.testing.assert_allclose(blocks[0], np.kron(np.eye(5), W), atol=1e-15)
    np.testing.assert_allclose(blocks[1], np.kron(X.T, np.eye(3)), atol=1e-15)
    np.testing.assert_allclose(_local_jacobians(node_of(trace, "tanh"))[0], np.diag((1 - np.tanh(X @ W) ** 2).ravel()))
    assert list(_local_jacobians(node_of(trace, "multiply"))) == [0]
    np.testing.assert_allclose(_local_jacobians(node_of(trace, "sum"))[0], np.ones((15, 1)))


# -- Linear equations


def system(matrix: Array, errors: Array, reached: Array | None = None, near: float = 1e-6) -> Any:
    made = Spread(np.asarray(errors, float), {}, {}, {}, near)
    return made.solve(np.asarray(matrix, float), np.ones(len(errors), bool) if reached is None else np.array(reached))


def test_equations_are_solved_where_there_are_more_than_unknowns() -> None:
    matrix = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0], [3.0, 0.0]])
    found, rank = system(matrix, matrix @ [2.0, -3.0])
    np.testing.assert_allclose(found, [2, -3], atol=1e-14)
    assert rank == 2
    assert system(matrix, matrix @ [2.0, -3.0] + [0, 0, 0.1, 0]) is None
    assert system(matrix, matrix @ [2.0, -3.0] + [0, 0, 0.1, 0], near=0.1) is not None
    assert system(matrix[:2], matrix[:2] @ [2.0, -3.0]) is None  # anything could be given
    assert system(matrix, matrix @ [2.0, -3.0], [True, True, False, False]) is None
    assert system(matrix, matrix @ [2.0, -3.0], [True, True, True, False])[1] == 2
    assert system(0 * matrix, matrix @ [2.0, -3.0]) is None
    assert system(np.zeros((4, 0)), np.ones(4)) is None
    twice = matrix[:, [0, 1, 0]]  # a direction that is none
    found, rank = system(twice, matrix @ [2.0, -3.0])
    np.testing.assert_allclose(found, [1, -3, 1], atol=1e-14)
    assert rank == 2
    assert system(np.hstack([matrix, 1e-7 * np.ones((4, 1))]), matrix @ [2.0, -3.0])[1] == 3
    assert system(np.hstack([matrix, 1e-12 * np.ones((4, 1))]), matrix @ [2.0, -3.0])[1] == 2


# -- Which samples count otherwise than once


def counted(times: list[float], *, near: float = 1e-6, extra: float = 0.0, zeros: int = 0) -> str:
    """Columns are contributions to a gradient; in the wrong gradient, each one is counted so many times."""
    rng = np.random.default_rng(1)
    columns = np.hstack([rng.normal(size=(9, len(times))), np.zeros((9, zeros))])
    errors = columns[:, : len(times)] @ (np.array(times) - 1) + extra * rng.normal(size=9)
    return _miscounted_text(columns, Spread(errors, {}, {}, {}, near), np.ones(9, bool), lambda k: f"row {k}")


def test_contributions_that_count_otherwise_than_once() -> None:
    assert counted([1, 1, 3, 1]) == "row 2 counts 3 times"
    assert counted([0, 1, 1, 1]) == "row 0 is missing"
    assert counted([0, 1, 1 / 3, 1, 1]) == "row 0 is missing and row 2 counts 1/3 times"
    assert counted([2, 0, 1, 1]) == "row 0 counts 2 times and row 1 is missing"
    assert counted([2, 0, 3, 1]) == ""  # most are right, or nothing is said
    assert counted([2, 0, 1]) == ""
    assert counted([2, 1]) == "row 0 counts 2 times"
    assert counted([2]) == "row 0 counts 2 times"
    assert counted([1, 1, 1.00005, 1]) == ""
    assert counted([1, 1, 1.0002, 1]) == "row 2 counts 1.0002 times"
    assert counted([1, 1, 3, 1], extra=0.1) == ""
    assert counted([1, 1, 3, 1], zeros=2) == "row 2 counts 3 times"
    assert counted([1, 1, 3, 1, 1, 1, 1, 1, 1]) == ""  # as many equations as contributions
    columns = np.ones((5, 2))
    assert _miscounted_text(columns, Spread(np.ones(5), {}, {}, {}, 1e-6), np.ones(5, bool), str) == ""  # which of two?


def test_lines_of_an_array() -> None:
    g = np.arange(1.0, 13.0).reshape(3, 4)
    np.testing.assert_array_equal(_keep_only(g, 0, 1), [[0] * 4, [5, 6, 7, 8], [0] * 4])
    np.testing.assert_array_equal(_keep_only(g, 1, 3), np.where(np.arange(4) == 3, g, 0))
    assert [_index_text(g, 0, 1), _index_text(g, 0, 2), _index_text(g, 1, 2), _index_text(g, 1, 3)] == [
        "row 1", "row 2 (the last)", "column 2", "column 3 (the last)"]  # fmt: skip
    assert [_index_text(np.ones(3), 0, 0), _index_text(np.ones((2, 2, 2)), 1, 1)] == [
        "entry 0", "part along axis 1, number 1 (the last)"]  # fmt: skip
    asked = [(2, 0, True), (2, 1, True), (1, 0, True), (3, 2, True), (1, 0, False)]
    assert [_axis_word(*given) for given in asked] == [
        "rows", "columns", "entries", "parts along axis 2", "entry"]  # fmt: skip
    assert _capitalized("abc d") == "Abc d"


def test_the_parts_of_a_gradient_that_alone_are_wrong() -> None:
    trace, right = traced_of(net, X, W)
    weight, slope = 1.5, 1 - np.tanh(X @ W) ** 2
    dz = weight * slope * C

    def said(spoilt: Array, by: Any = lambda g: g) -> str:
        mine = [spoilt @ W.T, X.T @ spoilt]
        known = propagate_errors(look(trace, right, mine), [0, 1])
        assert known is not None
        node = node_of(trace, "matmul")
        return _wrong_parts_text(
            known, known.matrices[node], known.reached_masks[node], dz, lambda axis: f"axis {axis}"
        )

    rows, columns = np.arange(5)[:, None], np.arange(3)
    assert said(np.where(rows == 2, 3 * dz, dz)) == "in axis 0, everything is right except that row 2 counts 3 times."
    assert said(np.where(rows == 4, 0, dz)) == "in axis 0, everything is right except that row 4 (the last) is missing."
    assert said(np.where(columns == 1, dz / 2, dz)) == ("in axis 1, everything is right except that column 1 counts "
                                                        "1/2 times.")  # fmt: skip
    assert said(np.where(rows == 3, np.sin(dz) + 1, dz)) == "in axis 0, everything is right except row 3."
    assert said(np.where(columns == 2, np.sin(dz) + 1, dz)) == ("in axis 1, everything is right except column 2 (the "
                                                                "last).")  # fmt: skip
    assert said(np.sin(dz) + 1) == ""


# -- Where it begins


def begun(spoil: Any, f: Any = net, wrong: Any = (0, 1), at: str = "matmul") -> Any:
    """Make the gradient at an operation's result wrong, and return where the search says that the error begins."""
    trace, right = traced_of(f, X, W)
    node = node_of(trace, at)
    place = trace.operations.index(node)
    dz = spoil(np.asarray(right_cotangents(trace)[place]))
    mine = [dz @ W.T if 0 in wrong else right[0], X.T @ dz if 1 in wrong else right[1]]
    return error_origins(look(trace, right, mine), list(wrong)), trace


def test_the_value_of_which_only_the_gradient_is_wrong() -> None:
    ((found,), _) = begun(lambda dz: dz + np.where(np.arange(5)[:, None] == 1, 0.25, 0))
    assert found.kind == "unknown"
    assert "x and w are wrong as if only the gradient of " in found.text
    assert ("Row 1 of the gradient of" in found.text) or ("except row 1" in found.text)
    ((found,), trace) = begun(lambda dz: 1.3 * dz + 0.2, wrong=(1,))
    assert found.text.startswith("w is used by ") or "w is wrong as if" in found.text
    assert _uses_sentence(look(trace, [X, W]), 1).text.startswith("w is used by ")
    none = error_origins(look(trace, [X, W], [X[:1], W]), [0])
    assert [b.text for b in none] == [_uses_sentence(look(trace, [X, W]), 0).text]
    assert error_origins(look(trace, [X, W], [X.T, W]), [0]) == none
    nan = error_origins(look(trace, [X, W], [X * np.nan, W]), [0])
    assert nan == none


def test_candidates_are_values_that_give_all_errors_the_least_free_first() -> None:
    trace, right = traced_of(net, X, W)
    uses = uses_of(trace)
    dz = np.asarray(right_cotangents(trace)[trace.operations.index(node_of(trace, "matmul"))])
    mine = [2 * dz @ W.T, 2 * X.T @ dz]
    known = propagate_errors(look(trace, right, mine), [0, 1])
    assert known is not None
    found = _find_candidates(trace, known, uses)
    names = [c.nodes[0].primitive.name for c in found if c.nodes[0].primitive]
    # twice the gradient is twice that of the sum, in a single number; a last value has no uses
    assert "sum" not in names
    assert [c.rank for c in found] == sorted(c.rank for c in found)
    assert {"matmul", "tanh"} <= set(names)
    by_name = {c.nodes[0].primitive.name: c for c in found if c.nodes[0].primitive}
    np.testing.assert_allclose(
        known.matrices[node_of(trace, "matmul")] @ by_name["matmul"].error, known.errors, atol=1e-9
    )
    assert names.index("multiply") < names.index("tanh") < names.index("matmul")


def test_values_that_one_expression_made() -> None:
    def steps(x: Any, w: Any) -> Any:
        h = np.zeros(3)
        for row in range(3):
            h = np.tanh(x[row] @ w + h)
        return h.sum() + np.tanh(w).sum()

    trace, _ = traced_of(steps, X, W)
    lines = _at_one_line(trace, uses_of(trace))
    assert all(len(nodes) > 1 for nodes in lines)
    for nodes in lines:
        assert len({n.primitive.name for n in nodes if n.primitive}) == 1
        assert len({(n.notes or {})["sites"] for n in nodes}) == 1


def test_operations_in_words() -> None:
    def many(x: Any) -> Any:
        return np.sin(x).sum() + np.cos(x).sum() + np.tan(x).sum() + np.exp(x).sum() + np.tanh(x).sum() + x.sum()

    trace, right = traced_of(many, X)
    text = _uses_sentence(look(trace, right), 0).text
    assert text.startswith("x is used by ")
    assert " and 2 more: the error is in the gradient that " in text
    assert text.endswith(" back.")
    places = [p for p, n in enumerate(trace.operations) if n.primitive and n.primitive.name in ("sin", "cos")]
    assert operations_text(trace, places).count(" and ") == 1
    assert " more" not in operations_text(trace, range(len(places)))
    names = {"sin", "cos", "tan", "exp"}
    four = [p for p, n in enumerate(trace.operations) if n.primitive and n.primitive.name in names]
    assert operations_text(trace, four).count(", ") >= 3
    assert " more" not in operations_text(trace, four)
    alone = Traced([], [Node()], [])
    assert _uses_sentence(look(alone, [X]), 0).text == ""


# -- Another mask


def stale(got: Any, *, known: Array | None = None, f: Any = dropped, extra: tuple[int, ...] = ()) -> str:
    trace, _ = traced_of(f, X, W)
    place = trace.operations.index(node_of(trace, "multiply"))
    g = np.asarray(right_cotangents(trace)[place])
    return _stale_mask_sentence(trace, [place, *extra], got(g), np.ones(g.shape, bool) if known is None else known)


def test_a_gradient_that_was_multiplied_by_another_mask() -> None:
    other = np.array([[2, 2, 0], [2, 0, 2], [0, 2, 2], [0, 0, 2], [2, 0, 0]], dtype=float)
    assert stale(lambda g: g * other) == (
        "The gradient is multiplied by a mask other than that of the forward pass: 3 of 15 entries that can be checked "
        "differ. Reuse the mask of the forward pass.")  # fmt: skip
    told = np.ones((5, 3), bool)
    told[0, 0] = False
    assert "2 of 14 entries that can be checked differ" in stale(lambda g: g * other, known=told)
    assert stale(lambda g: g * other / 2) == ""  # another scale
    assert stale(lambda g: g * other * (1 + 3e-5)) == ""
    assert stale(lambda g: g * np.where(other > 0, 2, 1)) == ""
    assert stale(lambda g: g * np.where(np.arange(5)[:, None] == 0, 2 * other, other)) == ""
    assert stale(lambda g: g * 2) == ""
    assert stale(lambda g: g * other, extra=(0,)) == ""
    assert stale(lambda g: (g * other)[:1]) == ""
    assert stale(lambda g: g * other, f=lambda x, w: np.tanh(np.tanh(x @ w) * (MASK + 1)).sum()) == ""
    assert stale(lambda g: g * other, f=lambda x, w: np.tanh(np.tanh(x @ w) * 2.0).sum()) == ""
    assert stale(lambda g: g * other, f=lambda x, w: np.tanh(np.tanh(x @ w) * C).sum()) == ""
    trace, _ = traced_of(dropped, X, W)
    tanh = trace.operations.index(node_of(trace, "tanh"))
    assert _stale_mask_sentence(trace, [tanh], np.ones((5, 3)), np.ones((5, 3), bool)) == ""
