"""The parts of `compare_steps`: names, the versions of a name, statements, shapes, kinds of changes, states."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import compare_steps
from tinygrad_nn.compare.steps.explain import _broadcast_axes, _summed_shape
from tinygrad_nn.compare.steps.matching import candidate_states, choose_state, is_within_bound, same_but_ones
from tinygrad_nn.compare.steps.mending import kind_of
from tinygrad_nn.compare.steps.names import MOST, Names, names_for_gradient, pair_in_reverse
from tinygrad_nn.compare.steps.namespace import Namespace, _loss
from tinygrad_nn.compare.steps.running import results
from tinygrad_nn.compare.steps.statements import Statement, read_statements
from tinygrad_nn.compare.steps.tracing import MANY, State, Value, is_number, labelled_parts
from tinygrad_nn.tensor import Tensor

Array = Any


# ---- Names


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("dX", ["X"]), ("d_X", ["X", "_X"]), ("dL_dX", ["X", "L_dX"]), ("dLdX", ["X", "LdX"]), ("dJdb", ["b", "Jdb"]),
        ("dLoss_dX", ["X", "Loss_dX"]), ("dcost_d_W", ["W", "cost_d_W"]), ("grad_W", ["W"]), ("gradW", ["W"]),
        ("W_grad", ["W"]), ("Wgrad", ["W"]), ("W.grad", ["W.", "W"]), ("X_bar", ["X"]), ("dx_grad", ["x_grad", "dx"]),
        ("d", []), ("grad", []), ("x", []), ("self", []),
    ],
)  # fmt: skip
def test_what_a_gradient_of_a_name_is_of(name: str, found: list[str]) -> None:
    assert list(names_for_gradient(name)) == found


NAMES = Names(
    ["x", "W", "h['W1']", "caches[0]", "caches[1]", "hs[0]", "q['z']", "s", "Ws[0]", "k['W1']"], {"delta": "x"}
)


@pytest.mark.parametrize(
    ("label", "whole"),
    [
        ("dx", "x"), ("dW", "W"), ("d_x", "x"), ("ds", "s"), ("delta", "x"), ("dW1", "h['W1']"), ("dz", "q['z']"),
        ("dcache", "caches[]"), ("dcaches[0]", "caches[0]"), ("dcaches[2]", None), ("dhs[0]", "hs[0]"), ("dh", "hs[]"),
        ("dq", None), ("dW_", None), ("dxs", None), ("dWs[0]", "Ws[0]"), ("dWs[1]", None), ("grads[0]", None),
        ("grads['W1']", "h['W1']"), ("g['W1']", "h['W1']"), ("grads['x']", "x"), ("grads['q']", None),
        ("other['W1']", None), ("dh['W1']", "h['W1']"), ("dk['W1']", "k['W1']"), ("dh['x']", None),
        ("parameters['dx']", "x"), ("grads['dW1']", "h['W1']"), ("x", None),
    ],
)  # fmt: skip
def test_the_value_that_a_gradient_belongs_to(label: str, whole: str | None) -> None:
    assert NAMES.of(label) == whole
    assert NAMES.of(label) == whole


@pytest.mark.parametrize(
    ("fits", "pairs"),
    [
        (np.ones((3, 3)), [(2, 0), (1, 1), (0, 2)]),
        (np.ones((2, 3)), [(1, 0), (0, 1)]), (np.ones((3, 2)), [(2, 0), (1, 1)]),  # first gradients, last values
        ([[0, 1, 9], [9, 0, 1]], [(1, 0), (0, 2)]), ([[0, 9], [1, 1], [9, 0]], [(2, 0), (0, 1)]),
        ([[0, 0], [0, 9], [9, 0]], [(2, 0), (1, 1)]), ([[0, 9], [9, 9], [0, 0]], [(1, 0), (0, 1)]),
        ([[1, 5, 1]], [(0, 1)]), ([[1], [5], [1]], [(1, 0)]), (np.ones((0, 2)), []), (np.ones((2, 0)), []),
        ([[2, 2, 2], [2, 3, 2]], [(1, 1), (0, 2)]), ([[2, 2], [2, 3], [2, 2]], [(2, 0), (1, 1)]),
    ],
)  # fmt: skip
def test_versions_are_paired_from_the_last_so_that_they_fit_best(fits: Any, pairs: list[tuple[int, int]]) -> None:
    fits = np.asarray(fits, float)
    assert pair_in_reverse(*fits.shape, lambda i, j: float(fits[i, j])) == pairs


def test_of_very_many_versions_the_fit_is_not_looked_at() -> None:
    def never(i: int, j: int) -> float:
        raise AssertionError

    old, new = 2, MOST // 2 + 1
    assert pair_in_reverse(old, new, never) == [(1, 0), (0, 1)]
    assert pair_in_reverse(new, old, never) == [(new - 1, 0), (new - 2, 1)]
    assert len(pair_in_reverse(2, MOST // 2, lambda i, j: float(j > 5))) == 2


# ---- Statements

SOURCE = """def f(a):
    dx = a
    dx += 1
    dx = dx + b - c
    dx[0] -= 1
    self.dW += 2
    x.grad = x.grad + y
    np.add(a, b, out=c)
    z = np.add(a, b, out=c)
    if a: dx = dx + 1; y = 2
    for i in range(
        3):
        dx[i] = (
            2)
    a = 1; a[0] = 2
    k *= 2
    (a, b) = c, d
    while a:
        break
    return dx
    dx = b * dx
    a.b.c += 1
    a.dx = self.dx - 1
"""
# line: first line, last line, text, names that are added to, whether it may write into an array
READ = {
    1: (1, 1, "def f(a):", "", True), 2: (2, 2, "dx = a", "", False), 3: (3, 3, "dx += 1", "dx", True),
    4: (4, 4, "dx = dx + b - c", "dx", False), 5: (5, 5, "dx[0] -= 1", "dx", True),
    6: (6, 6, "self.dW += 2", "dW", True), 7: (7, 7, "x.grad = x.grad + y", "x.grad", False),
    8: (8, 8, "np.add(a, b, out=c)", "", True), 9: (9, 9, "z = np.add(a, b, out=c)", "", True),
    10: (10, 10, "if a: dx = dx + 1; y = 2", "dx", True), 11: (11, 12, "for i in range(3):", "", True),
    12: (11, 12, "for i in range(3):", "", True), 13: (13, 14, "dx[i] = (2)", "", True),
    14: (13, 14, "dx[i] = (2)", "", True), 15: (15, 15, "a = 1; a[0] = 2", "", True), 16: (16, 16, "k *= 2", "", True),
    17: (17, 17, "(a, b) = c, d", "", False), 18: (18, 18, "while a:", "", True), 19: (19, 19, "break", "", False),
    20: (20, 20, "return dx", "", False), 21: (21, 21, "dx = b * dx", "", False), 22: (22, 22, "a.b.c += 1", "", True),
    23: (23, 23, "a.dx = self.dx - 1", "", False),
}  # fmt: skip


def test_the_statement_of_each_line() -> None:
    found = {
        line: (s.line, s.end, s.text, " ".join(sorted(s.added)), s.writes)
        for line, s in read_statements(SOURCE).items()
    }
    assert found == READ
    assert read_statements("x = (") == {}
    assert read_statements("dx = y; grads['W'] += 2; a.b, c[:2] = z")[1].targets == {"dx", "grads", "a.b", "c"}
    assert read_statements(SOURCE) is read_statements(SOURCE)  # for each trace of a function in it
    assert read_statements(SOURCE, "a.py")[14].file == "a.py"


def test_the_parts_of_a_value_by_their_labels() -> None:
    own = SimpleNamespace(W=1.0, h=[2.0, 3.0], d={"a": 4.0})
    assert list(labelled_parts("self", own)) == [("W", 1.0), ("h[0]", 2.0), ("h[1]", 3.0), ("d['a']", 4.0)]
    assert list(labelled_parts("g", own)) == [("g.W", 1.0), ("g.h", [2.0, 3.0]), ("g.d", {"a": 4.0})]
    assert [label for label, _ in labelled_parts("f", len)] == ["f"]
    value = np.zeros(2).view(Value)
    assert [label for label, _ in labelled_parts("x", value)] == ["x"]
    value.grad = np.ones(2)
    assert [label for label, _ in labelled_parts("x", value)] == ["x.grad", "x"]
    assert len(list(labelled_parts("t", (0,) * MANY))) == MANY
    assert not list(labelled_parts("t", (0,) * (MANY + 1)))


@pytest.mark.parametrize(
    ("value", "ok"),
    [
        (1.0, True), (1, True), (1j, True), (True, False), (np.float32(1), True), (np.True_, False), (np.ones(2), True),
        (np.ones(2, bool), False), (np.array(["a"]), False), (Tensor([1.0]), True), (Tensor([1]), True), ("1", False),
        (None, False), ([1.0], False), (np.ones(2, complex), True),
    ],
)  # fmt: skip
def test_values_that_may_be_gradients(value: Any, ok: bool) -> None:
    assert is_number(value) is ok


# ---- Shapes


@pytest.mark.parametrize(
    ("shape", "out", "axes", "left", "kept"),
    [
        ((3,), (2, 3), (0,), (3,), (1, 3)), ((1, 3), (2, 3), (0,), (1, 3), (1, 3)),
        ((2, 1), (2, 3), (1,), (2, 1), (2, 1)), ((), (2, 3), (0, 1), (), (1, 1)),
        ((2, 3), (2, 3), (), (2, 3), (2, 3)), ((3,), (3, 2), (), (3, 2), (3, 2)), ((4, 3), (3,), (), (3,), (3,)),
        ((1, 1), (5, 1), (0,), (1, 1), (1, 1)), ((3, 1, 2), (4, 3, 5, 2), (0, 2), (3, 2), (1, 3, 1, 2)),
        ((2,), (3, 1, 2), (0, 1), (2,), (1, 1, 2)),
    ],
)  # fmt: skip
def test_the_broadcast_axes_of_a_value_and_its_summed_shape(
    shape: Any, out: Any, axes: Any, left: Any, kept: Any
) -> None:
    assert _broadcast_axes(shape, out) == axes
    assert _summed_shape(out, axes, shape) == left
    assert _summed_shape(out, axes, None, keep=True) == kept
    assert _summed_shape(out, axes, None) == tuple(n for k, n in enumerate(out) if k not in axes)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [((3,), (3, 1), True), ((1, 3, 1), (3,), True), ((), (1, 1), True), ((2, 3), (3, 2), False), ((2,), (3,), False),
     ((2, 1, 3), (2, 3), True), ((2, 2), (2,), False)],
)  # fmt: skip
def test_shapes_that_differ_by_axes_of_length_1(one: Any, other: Any, same: bool) -> None:
    assert same_but_ones(one, other) is same


SHAPES: list[tuple[Any, Any, str, str]] = [
    ((3, 2), (2,), "g", ("broadcast_not_summed: db is (3, 2), b is (2,): it was broadcast over the batch (axis 0), so "
     "its gradient is summed over the batch (axis 0): db.sum(0).")),
    ((3, 2), (3, 1), "g", ("broadcast_not_summed: db is (3, 2), b is (3, 1): it was broadcast over axis 1, so its "
     "gradient is summed over axis 1: db.sum(1, keepdims=True).")),
    ((3, 2), (), "g", ("broadcast_not_summed: db is (3, 2), b is (): it was broadcast over the batch (axis 0) and "
     "axis 1, so its gradient is summed over the batch (axis 0) and axis 1: db.sum().")),
    ((3, 2, 4), (2, 1), "g", ("broadcast_not_summed: The input was broadcast, so it is used in many places, and its "
                              "gradient is the sum over them. That sum is missing.")),
    ((3, 2), (2,), "g.sum(1)", ("wrong_axis_sum: db is (3,), b is (2,): it was broadcast over the batch (axis 0), so"
     " its gradient is summed over the batch (axis 0), and here it was summed over axis 1: db.sum(0).")),
    ((3, 2), (2,), "g.sum()", ("wrong_axis_sum: db is (), b is (2,): it was broadcast over the batch (axis 0), so its"
     " gradient is summed over the batch (axis 0), and here it was summed over all axes: db.sum(0).")),
    ((3, 2), (2,), "g.sum(1, keepdims=True)", ("wrong_axis_sum: db is (3, 1), b is (2,): it was broadcast over the"
     " batch (axis 0), so its gradient is summed over the batch (axis 0), and here it was summed"
     " over axis 1: db.sum(0).")),
    ((3, 4), (3, 4), "g.T", ("transpose: db is (4, 3), b is (3, 4): a gradient has the shape of its value, and this"
     " one is transposed: db.T.")),
    ((3, 4), (3, 4), "g.reshape(2, 6)", ("edit: db is (2, 6), b is (3, 4): the numbers are right, but the shape is "
                                         "not: db.reshape(b.shape).")),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "of_b", "wrong", "said"), SHAPES)
def test_a_wrong_shape_is_explained_by_the_axes(shape: Any, of_b: Any, wrong: str, said: str) -> None:
    space: dict[str, Any] = {"np": np}
    exec(
        "def forward(x, b):\n    y = x + b\n    return (y ** 2).sum()\n"
        f"def backward(x, y):\n    g = 2 * y\n    dx = g\n    db = {wrong}\n    return dx, db\n", space,
    )  # fmt: skip
    r = np.random.default_rng(0)
    inputs = {"x": r.normal(size=shape), "b": r.normal(size=of_b)}
    (found,) = compare_steps(space["forward"], space["backward"], inputs, names={"g": "y"}).diagnoses
    assert f"{found.kind}: {found.text}" == said


# ---- States

A, B = np.array([1.0, -2.0]), np.array([3.0, 1.0])
OFF = np.array([0, 1.1e-8])
HERE = Statement(1, 1, "")


def state(array: Any, added: bool = False) -> State:
    return State(HERE, np.asarray(array), added)


def test_states_that_are_added_to_are_parts_of_a_gradient() -> None:
    one, two, three = state(A), state(A + B, added=True), state(B)
    assert candidate_states([one, two, three]) == [two, three]
    assert candidate_states([one]) == [one]
    assert candidate_states([one, three]) == [one, three]
    assert candidate_states([one, two]) == [two]


@pytest.mark.parametrize(
    ("states", "index", "right"),
    [
        ([A, B, A + 1e-9], 2, True), ([A, B], 0, True), ([A, A, B], 1, True), ([B, -A], 1, False), ([-A, B], 0, False),
        ([2 * A, B, -A], 0, False), ([2 * A, 3 * A], 1, False), ([B, np.ones(3)], 0, False),
        ([np.ones(3), np.ones(4)], 1, False), ([B, A * np.inf], 0, False), ([B, 0 * A], 0, False),
        ([A[:, None], B], 0, True), ([B, -A, np.ones((2, 2))], 1, False),
    ],
)  # fmt: skip
def test_the_chosen_state_is_the_last_right_one_or_the_nearest(
    states: list[Array], index: int, right: bool
) -> None:
    given = [state(x) for x in states]
    found, ok = choose_state(given, A, np.full(2, 1e-8))
    assert found is given[index]
    assert ok is right


@pytest.mark.parametrize(
    ("mine", "arrived", "right"),
    [
        (A, A, True), (A[None], A, True), (A, A[:, None], True), (A + 1e-8, A, True), (A + OFF, A, False),
        (A[:1], A, False), (np.tile(A, (2, 1)), A, False), (A * np.nan, A, False), (A.reshape(1, 2, 1), A, True),
    ],
)  # fmt: skip
def test_values_that_are_right_up_to_rounding(mine: Array, arrived: Array, right: bool) -> None:
    assert is_within_bound(mine, arrived, np.full(arrived.shape, 1.0001e-8)) is right


# ---- Changes

KINDS = [
    ("d = g", "d = -g", "sign"), ("d = -g", "d = g", "sign"), ("d = a + b", "d = a - b", "sign"),
    ("d = g / -2", "d = g / 2", "sign"), ("d = a * b", "d = a / b", "wrong_derivative"),
    ("d = a * b", "d = a + b", "wrong_derivative"), ("d = x ** 2", "d = x ** 3", "wrong_derivative"),
    ("d = x ** 2", "d = y ** 2", "wrong_value"), ("d = h", "d = z", "wrong_value"),
    ("d = h.a", "d = h.b", "wrong_value"), ("d = g * x", "d = g * y", "wrong_value"),
    ("d = f(x)", "d = f(y)", "wrong_value"), ("d = a", "e = a", "wrong_value"),
    ("d = np.sum(x, axis=0)", "d = np.sum(y, axis=0)", "wrong_value"),
    ("for i in a: d = 1", "for i in b: d = 1", "wrong_value"),
    ("d = np.sum(g, 0)", "d = np.mean(g, 0)", "wrong_value"), ("d = x.T @ g", "d = x @ g", "transpose"),
    ("d = g", "d = g.T", "transpose"), ("d = g", "d = g.sum(axis=0)", "broadcast_not_summed"),
    ("d = g", "d = np.sum(g, axis=0)", "broadcast_not_summed"), ("d = g.sum(0)", "d = g", "wrong_axis_sum"),
    ("d = np.sum(g)", "d = g", "wrong_axis_sum"), ("d = np.sum(g, axis=0)", "d = g", "wrong_axis_sum"),
    ("d = g.max(0)", "d = g", "wrong_axis_sum"), ("d = g.sum(0)", "d = g.sum(1)", "wrong_axis_sum"),
    ("d = g.sum(0)", "d = g.sum(0, keepdims=True)", "wrong_axis_sum"),
    ("d = g.sum(axis=0)", "d = g.sum()", "wrong_axis_sum"),
    ("d = g.sum(axis=-1)", "d = g.sum(axis=0)", "wrong_axis_sum"),
    ("d = np.sum(g, 0)", "d = np.sum(g, 1)", "wrong_axis_sum"),
    ("d = g.sum(axis=(0, 1))", "d = g.sum(axis=(0, 2))", "wrong_axis_sum"),
    ("d = g.mean(0)", "d = g.mean(1)", "wrong_axis"),
    ("d = np.max(g, axis=0, keepdims=True)", "d = np.max(g, axis=1, keepdims=True)", "wrong_axis"),
    ("d = g", "d = 2 * g", "scale"), ("d = 2 * g", "d = g", "scale"), ("d = g", "d = g / 2", "scale"),
    ("d = 2", "d = 3", "scale"), ("d = 2 * g", "d = 3 * g", "scale"), ("d = g", "d = g * n", "missing_factor"),
    ("d = g * n", "d = g", "wrong_value"), ("d = g", "d = g / n", "wrong_value"),
    ("d = g / n", "d = g", "wrong_value"), ("d = 1 - h", "d = dh * (1 - h)", "cotangent_ignored"),
    ("d = dh * x", "d = x", "edit"), ("d = 1", "d = dh", "cotangent_ignored"), ("d = 1", "d = q", "edit"),
    ("d = g", "d = g + r", "overwritten_not_accumulated"), ("d = g", "d = r - g", "overwritten_not_accumulated"),
    ("d = g + r", "d = g", "edit"), ("d = g", "d += g", "overwritten_not_accumulated"), ("d += g", "d = g", "edit"),
    ("d += g", "d -= g", "edit"), ("d = h[0]", "d = h[1]", "wrong_index"), ("d = h[0]", "d = h", "wrong_index"),
    ("d = h[1:]", "d = h[:1]", "wrong_index"), ("d = g[:, 1:]", "d = g[:, 2:]", "wrong_index"),
    ("d = g[::-1]", "d = g", "wrong_index"), ("d = g[i, 0]", "d = g[i, 1]", "wrong_index"),
    ("d = x @ g", "d = g @ x", "edit"), ("d = f(x, y)", "d = f(y, x)", "edit"),
    ("d = g.reshape(2)", "d = g.reshape(3)", "edit"), ("d = f(x, 1)", "d = f(x, 2)", "edit"),
    ("d = g * f(x, k=1)", "d = g * f(x, k=2)", "edit"), ("d = x > 0", "d = x >= 0", "edit"), ("d =", "d = 1", "edit"),
    ("", "d = 1", "edit"), ("d = a if c else b", "d = a", "edit"), ("d = g * (1 - h)", "d = g * (1 - h**2)", "edit"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "kind"), KINDS)
def test_the_kind_of_a_corrected_mistake(before: str, after: str, kind: str) -> None:
    assert kind_of(before, after, {"h", "z", "x"}) == kind


# ---- What a forward returned

LEAF = Tensor([1.0, 2.0])
LONG, NUMBER, OTHER, STILL = LEAF * 2, LEAF.sum(), LEAF.sum() * 2, Tensor(1.0, requires_grad=False)


@pytest.mark.parametrize(
    ("value", "found", "names", "rest"),
    [
        (LONG, [LONG], [""], None), (3.0, [], [], None), ((LONG, "c"), [LONG], [""], "c"),
        ((LONG, OTHER), [OTHER], [""], None),
        ((LONG, NUMBER, OTHER), [OTHER], [""], None), ((NUMBER, LONG, "c"), [NUMBER], [""], "c"),
        ((LONG, LONG), [LONG, LONG], ["", ""], None), ((LONG, LONG, "c", "d"), [LONG], [""], ("c", "d")),
        ((LONG, STILL), [LONG, STILL], ["", ""], None), ((STILL, LONG, "c"), [STILL], [""], "c"),
        ([LONG, "c"], [LONG], [""], "c"), (("c", "d"), [], [], ("c", "d")),
        ({"a": LONG, "loss": NUMBER}, [NUMBER], ["loss"], None),
        ({"Loss": NUMBER, "b": OTHER}, [NUMBER], ["Loss"], None),
        ({"a": LONG, "b": OTHER, "c": "d"}, [OTHER], ["b"], None), ({"a": LONG, "b": LONG}, [LONG], ["b"], None),
        ({"out": LONG, "n": NUMBER}, [LONG], ["out"], None), ({"cost": LONG, "l": NUMBER}, [NUMBER], ["l"], None),
        ({"c": "d"}, [], [], None), ({}, [], [], None),
    ],
)  # fmt: skip
def test_which_of_the_returned_values_are_differentiated(value: Any, found: Any, names: Any, rest: Any) -> None:
    tensors, called, cache = results(value)
    assert [id(t) for t in tensors] == [id(t) for t in found]
    assert called == names
    everything = isinstance(value, (tuple, list, dict)) and rest is None
    assert cache is value if everything else cache == rest


# ---- A namespace


def test_the_loss_of_a_namespace() -> None:
    leaf, x = Tensor(1.0), Tensor([1.0, 2.0])
    y, one = x * 2, x.sum()
    two = one * 3
    assert _loss({"x": x, "y": y, "a": one, "b": two}) == "b"  # the youngest number
    assert _loss({"x": x, "b": two, "a": one, "loss": one}) == "loss"
    assert _loss({"x": x, "loss": y, "J": one, "b": two}) == "J"  # of a name that is told, if it is one number
    assert _loss({"x": x, "a": one, "da": two}) == "a"  # a gradient is none
    assert _loss({"x": x, "y": y}) == "y"
    assert _loss({"x": leaf, "y": y}) == "y"  # a leaf is none


def test_the_statements_that_made_what_a_name_holds() -> None:
    cells = ["", "dx = 1\ndy = 2\n", "dx = 3\n%magic\n", "a, (dz) = 4, 5\nself.dW = dx\ndq[0] = 1",
             "dy += 1\nif dy:\n    dp: int = 1\nh['a'] = 1; h['b'] = 2\nh['a'][0] += 1",
             "dr = 1\ndr[0] = 2\ndr = 2 * dr\nds = {}\nds['x'] = 1\nds = 3",
             "\n\n\n\n\n\ndt = dr\ndt = dr\ndt[1] -= 1\ndt: int"]  # fmt: skip
    space = Namespace({"In": cells}, None)
    names = ("dx", "dy", "dz", "a", "dW", "dq", "dq[1]", "dp", "h['a']", "dr", "ds", "ds['x']", "dt", "none")
    found = {name: [(s.line, s.text) for s in space.statements_of(name)] for name in names}
    both = "h['a'] = 1; h['b'] = 2"
    assert found == {
        "dx": [(1, "dx = 1")], "dy": [(2, "dy = 2"), (1, "dy += 1")], "dz": [(1, "a, (dz) = 4, 5")],
        "a": [(1, "a, (dz) = 4, 5")], "dW": [(2, "self.dW = dx")], "dq": [(3, "dq[0] = 1")],
        "dq[1]": [(3, "dq[0] = 1")], "dp": [(3, "dp: int = 1")], "h['a']": [(4, both), (5, "h['a'][0] += 1")],
        "dr": [(1, "dr = 1"), (2, "dr[0] = 2"), (3, "dr = 2 * dr")], "ds": [(6, "ds = 3")], "ds['x']": [(6, "ds = 3")],
        "dt": [(8, "dt = dr"), (9, "dt[1] -= 1")], "none": [(0, "")],
    }  # fmt: skip
    assert Namespace({"In": [""]}, None).statements_of("dx") == Namespace({"In": [1, 2]}, None).statements_of("dx")


def test_the_names_of_a_module_are_read_behind_those_of_its_function() -> None:
    frame = SimpleNamespace(f_globals={"y": 1, "x": 2}, f_code=test_the_loss_of_a_namespace.__code__, f_lineno=0)
    space = Namespace({"x": 3}, frame)
    assert (space.names, space.values) == ({"y": 1, "x": 3}, {"x": 3})


# ---- Kinks


@pytest.mark.parametrize(("slope", "ok"), [(0.0, True), (1.0, True), (0.5, True), (0.3, True), (1.2, False),
(-0.2, False)])
def test_at_a_kink_a_step_may_take_any_slope_between_both_sides(slope: float, ok: bool) -> None:
    def forward(x: Any) -> Any:
        h = np.maximum(x, 0)
        return (h * np.array([2.0, 3.0, 4.0])).sum()

    def backward(x: Any) -> Any:
        dh = np.array([2.0, 3.0, 4.0])
        dx = dh * np.where(x == 0, slope, x > 0)
        return dh, dx

    report = compare_steps(forward, backward, np.array([0.0, 1.5, -0.5]))
    assert report.ok is ok, str(report)
    (found,) = [s for s in report.steps if s.name == "dx"]
    assert (found.value_ok, found.rule_ok) == (ok, ok)
    if ok:
        assert [d.kind for d in report.diagnoses] == ["kink"] * (slope != 0.5)  # the graph gives half to each
