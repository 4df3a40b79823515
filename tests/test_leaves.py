"""Training loops get warnings about lost leaves and gradients that are never cleared, and no other warnings."""

import copy
import gc
import operator
import pickle
import re
import warnings
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import GradientWarning, Tensor, assert_gradients, grad, nn, no_grad, optim, vmap
from tinygrad_nn import compile as compile_function
from tinygrad_nn.leaves import WRITTEN
from tinygrad_nn.optim import SGD


def parameters() -> list[Tensor]:
    return [Tensor(np.array([3.0, 1.0]), name="w"), Tensor(np.array(0.5), name="b")]


def walk_back(w: Tensor, b: Tensor) -> None:
    ((w - 1) ** 2 + b**2).sum().backward()


def stepping(make: Callable[[list[Tensor]], Any]) -> Callable[[], None]:
    def loop() -> None:
        w, b = parameters()
        optimizer = make([w, b])
        for _ in range(4):
            walk_back(w, b)
            optimizer.step()

    return loop


def clipping() -> None:
    w, b = parameters()
    optimizer = optim.SGD([w, b], lr=0.1)
    for _ in range(4):
        walk_back(w, b)
        nn.utils.clip_grad_norm_([w, b], 0.01)
        optimizer.step()


def by_hand(assigned: bool) -> Callable[[], None]:
    def loop() -> None:
        w, b = parameters()
        for _ in range(6):
            walk_back(w, b)
            if assigned:
                w.data = w.data - 0.01 * w.grad
            else:
                w.data -= 0.01 * w.grad
            b.grad = None

    return loop


def one_number() -> None:
    w, b = parameters()
    for _ in range(6):
        walk_back(w, b)
        with no_grad():
            b -= 0.01 * b.grad


LOSES = "this Tensor was made by subtract, so it is not a leaf.* instead of w = w - lr"


def lost() -> None:
    w, b = parameters()
    for _ in range(2):
        walk_back(w, b)
        w = w - 0.1 * w.grad if w.grad is not None else w


@pytest.mark.parametrize(
    ("loop", "message"),
    [
        (stepping(lambda ps: optim.SGD(ps, lr=0.1)), "SGD.step: 'w' was updated .* each backward: optimizer.zero_grad"),
        (stepping(lambda ps: optim.Adam(ps)), "Adam.step: 'w' was updated"),
        (stepping(lambda ps: optim.Minimizer(ps, "adam")), r"step: 'w' .* minimizer.zero_grad\(\), or step\(lambda"),
        (clipping, "SGD.step: 'w' was updated"),
        (by_hand(True), "w.grad: 'w' was updated .* before each backward: w.grad = None"),
        (by_hand(False), "w.grad: 'w' was updated"),
        (one_number, "w.grad: 'b' was updated"),
        (lost, LOSES),
    ],
)  # fmt: skip
def test_it_is_said_once(loop: Callable[[], None], message: str) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        loop()
    assert [w.category for w in said] == [GradientWarning]
    assert said[0].filename == __file__
    assert re.search(message, str(said[0].message))


def test_each_edit_that_the_warning_of_a_lost_leaf_names_takes_the_step() -> None:
    with pytest.warns(GradientWarning, match=LOSES) as said:
        lost()
    edits = re.search(r"write (w\.data .*), or let (\S+ \S+) or (\S+ \S+ \S+) do it", str(said[0].message))
    assert edits is not None
    for edit in edits.groups():
        w, b = parameters()
        walk_back(w, b)
        wanted = w.data - 0.1 * w.grad
        exec(edit, {"w": w, "lr": 0.1, "optim": optim})
        np.testing.assert_allclose(w.data, wanted, rtol=1e-15, err_msg=edit)


@pytest.mark.parametrize("make", [lambda groups: optim.Minimizer([{"parameters": g} for g in groups], "sgd", 0.1),
                                  lambda groups: optim.SGD([{"params": g} for g in groups], lr=0.1)])  # fmt: skip
def test_a_gradient_that_grows_in_the_second_group_warns(make: Any) -> None:
    w, b = parameters()
    optimizer = make([[w], [b]])

    def loop() -> None:
        for _ in range(4):
            w.grad = None
            walk_back(w, b)
            optimizer.step()

    with pytest.warns(GradientWarning, match="step: 'b' was updated"):
        loop()


def clear(how: str) -> Callable[[list[Tensor], Any], None]:
    def cleared(ps: list[Tensor], optimizer: Any) -> None:
        for t in ps:
            if how == "none":
                t.grad = None
            elif how == "fill":
                t.grad.fill(0)
            elif how == "index":
                t.grad[...] = 0
            elif how == "decay":  # momentum by hand
                t.grad *= 0.5
            elif how == "assigned":
                t.grad = t.grad * 0.5
        if how.startswith("zero"):
            optimizer.zero_grad(**({"set_to_none": False} if how == "zeros" else {}))

    return cleared


@pytest.mark.parametrize("how", ["none", "fill", "index", "decay", "assigned", "zero", "zeros"])
@pytest.mark.parametrize("batches", [1, 3])
@pytest.mark.parametrize("moves", ["optimizer", "data", "no_grad"])
def test_a_loop_that_clears_its_gradients_gets_no_warning(how: str, batches: int, moves: str) -> None:
    """The suite turns warnings into errors."""
    w, b = ps = parameters()
    optimizer = optim.SGD(ps, lr=0.01)
    for _ in range(25):
        for _ in range(batches):
            walk_back(w, b)
        if moves == "optimizer":
            optimizer.step()
            optimizer.step()  # twice by the same gradient is nobody's business
        elif moves == "data":
            w.data -= 0.01 * w.grad
            b.data = b.data - 0.01 * b.grad
        else:
            with no_grad():
                w -= 0.01 * w.grad
        clear(how)(ps, optimizer)


def test_two_networks_that_train_against_each_other_get_no_warning() -> None:
    D, G = nn.Linear(2, 1, rng=0), nn.Linear(2, 2, rng=1)
    for_D, for_G = optim.Adam(D.parameters()), optim.Adam(G.parameters())
    z = np.random.default_rng(0).normal(size=(4, 2))
    for _ in range(6):
        for_D.zero_grad()
        (D(G(z).detach()).sum() - D(z).sum()).backward()
        for_D.step()
        for_G.zero_grad()
        (-D(G(z)).sum()).backward()  # adds to the gradients of D, which are cleared before they are used
        for_G.step()


def test_gradients_at_several_points_may_be_summed() -> None:
    w, b = parameters()
    for k in range(9):
        walk_back(w, b)
        assert w.grad is not None
        w.data = w.data + 0.1 * (-1) ** k
        b.data += 0.25


def test_watching_comes_back_and_costs_nothing_in_between() -> None:
    w, b = parameters()
    optimizer = optim.SGD([w, b], lr=1e-3)
    for _ in range(30):
        optimizer.zero_grad()
        walk_back(w, b)
        optimizer.step()
    assert "used" not in (w.node.notes or {})

    def forgets() -> None:
        for _ in range(60):
            walk_back(w, b)
            optimizer.step()

    with pytest.warns(GradientWarning, match="SGD.step"):
        forgets()


def test_notes_of_a_leaf_keep_no_gradient_alive_and_are_not_saved() -> None:
    w, b = parameters()
    optimizer = optim.SGD([w, b], lr=0.01)
    walk_back(w, b)
    optimizer.step()
    walk_back(w, b)
    twin = pickle.loads(pickle.dumps(w))
    assert twin.node.notes == {"name": "w"}
    assert copy.deepcopy(w).node.notes == {"name": "w"}
    reference = weakref.ref(w.node.grad)
    w.node.grad = None
    gc.collect()
    assert reference() is None


def test_a_gradient_of_a_number_stays_an_array() -> None:
    t = Tensor(2.0)
    for _ in range(2):
        (t * t).backward()
    assert type(t.grad) is np.ndarray
    assert t.grad == 8.0


@pytest.mark.parametrize("operator", ["+=", "-=", "*=", "/=", "**=", "//=", "%=", "@="])
def test_in_place_operators_move_a_leaf_where_nothing_is_recorded(operator: str) -> None:
    a = np.array([[3.0, 1.0], [2.0, 5.0]], np.float32)
    w = same = Tensor(a.copy(), name="w")
    older = w * 1
    right, names = a.copy(), {"w": w, "x": np.full((2, 2), 2.0)}
    expected = {"a": right.copy(), "x": names["x"]}
    exec(f"a = a {operator[:-1]} x", expected)
    with no_grad():
        exec(f"w {operator} x", names)
    assert names["w"] is same
    assert (w.is_leaf, w.requires_grad, w.dtype) == (True, True, np.float32)
    np.testing.assert_allclose(w.data, expected["a"].astype(np.float32), rtol=1e-6)
    np.testing.assert_array_equal(older.data, right)  # older graphs hold the old values
    names["w"] = w
    exec(f"w {operator} x", names)  # recorded: another Tensor, by Python's way of binding names
    assert not names["w"].is_leaf


@pytest.mark.parametrize("name", ["w", None])
def test_a_leaf_keeps_its_name_as_it_becomes_a_constant_and_a_leaf_again(name: str | None) -> None:
    w = Tensor(np.ones(2), name=name)
    w.requires_grad = False
    assert (w.node, w.name or None) == (None, name)
    w.requires_grad = False
    assert w.name == (name or "")
    w.requires_grad = True
    assert (w.requires_grad, w.name or None) == (True, name)


def test_a_parameter_made_a_constant_is_named_where_nothing_is_left_to_walk() -> None:
    w = Tensor(np.ones(2))
    with no_grad():
        w = w - 0.1
    with pytest.raises(RuntimeError, match=r"w = w - lr \* w\.grad makes it a constant"):
        (w * w).sum().backward()


# ---- writing into constants, and into leaves where nothing is recorded

WRITES: dict[str, Callable[[Any], Any]] = {  # each makes the same change in a Tensor and in an ndarray
    "an entry": lambda a: operator.setitem(a, (0, 1), 5.0),
    "a row of a view": lambda a: operator.setitem(a[1], 2, 7.0),
    "a reshaped view": lambda a: operator.setitem(a.reshape(-1), slice(1, 3), 0.5),
    "a mask": lambda a: operator.setitem(a, a > 1, -1.0),
    "indices": lambda a: operator.setitem(a, ([0, 1], [2, 0]), [3.0, 4.0]),
    "a slice and +=": lambda a: operator.setitem(a, slice(1), operator.iadd(a[:1], 2.0)),
}  # fmt: skip
START = np.array([[0.5, 2.0, -1.0], [1.5, 0.25, 3.0]])


OPERATORS: dict[str, Callable[[Any], Any]] = {
    **{name: partial(lambda f, a: f(a, 3.0), getattr(operator, name))
       for name in ("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow")},
    "imatmul": lambda a: operator.imatmul(a, np.eye(3)[::-1]),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITES)
def test_a_constant_is_written_into_as_an_array_is(name: str) -> None:
    a, expected = START.copy(), START.copy()
    t = Tensor(a, requires_grad=False)
    other, part = t, t[1]
    WRITES[name](t)
    WRITES[name](expected)
    np.testing.assert_array_equal(t.data, expected)
    assert not np.array_equal(expected, START)
    assert other is t
    np.testing.assert_array_equal(part.data, expected[1])  # views see it, as those of NumPy and PyTorch do
    np.testing.assert_array_equal(a, expected)


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_changes_a_constant_that_holds_its_array_alone(name: str) -> None:
    t, expected = Tensor(START.copy(), requires_grad=False), START.copy()
    other = t
    t = OPERATORS[name](t)
    expected = OPERATORS[name](expected)
    assert t is other
    np.testing.assert_array_equal(other.data, expected)
    for hold in (lambda t: t.data, lambda t: t[0], lambda t: Tensor(START) * t):  # the user, a view, a graph
        t = Tensor(START.copy(), requires_grad=False)
        other, held = t, hold(t)
        t = OPERATORS[name](t)
        assert t is not other
        np.testing.assert_array_equal(t.data, expected)
        np.testing.assert_array_equal(other.data, START)
        assert held is not None


METHODS_IN_PLACE: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "add_": (lambda t: t.add_(1.5), lambda a: a + 1.5),
    "add_ with alpha": (lambda t: t.add_(t, alpha=-0.1), lambda a: a - 0.1 * a),
    "sub_": (lambda t: t.sub_(t[0], alpha=2), lambda a: a - 2 * a[0]),
    "mul_ and add_": (lambda t: t.mul_(0.9).add_(START, alpha=0.1), lambda a: 0.9 * a + 0.1 * a),
    "addcmul_": (lambda t: t.addcmul_(t, t, value=0.5), lambda a: a + 0.5 * a * a),
    "addcdiv_": (lambda t: t.addcdiv_(t, t + 4, value=-1), lambda a: a - a / (a + 4)),
    "lerp_": (lambda t: t.lerp_(3 * t, 0.25), lambda a: 1.5 * a),
    "clamp_": (lambda t: t.clamp_(min=0), lambda a: np.maximum(a, 0)),
    "masked_fill_": (lambda t: t.masked_fill_(t > 1, 9.0), lambda a: np.where(a > 1, 9, a)),
    "relu_": (lambda t: t.relu_(), lambda a: np.maximum(a, 0)),
    "scatter_": (lambda t: t.scatter_(1, np.array([[2], [0]]), 7.0), lambda a: np.array([[0.5, 2, 7], [7, 0.25, 3]])),
    "index_add_": (lambda t: t.index_add_(1, np.array([0, 0]), np.ones((2, 2))), lambda a: a + np.array([2, 0, 0])),
    "fill_": (lambda t: t.fill_(3), lambda a: 0 * a + 3),
    "zero_": (lambda t: t.zero_(), lambda a: 0 * a),
    "copy_": (lambda t: t.copy_(Tensor(START[0])), lambda a: np.stack([a[0], a[0]])),
}


@pytest.mark.parametrize("leaf", [False, True], ids=["constant", "leaf"])
@pytest.mark.parametrize("name", METHODS_IN_PLACE)
def test_methods_of_pytorch_that_end_in_an_underscore(name: str, leaf: bool) -> None:
    change, expected = METHODS_IN_PLACE[name]
    a = START.copy()
    t = Tensor(a, requires_grad=leaf)
    older = t * 1
    with no_grad():
        assert change(t) is t
    np.testing.assert_allclose(t.data, expected(START), rtol=1e-15)
    assert (t.requires_grad, t.is_leaf) == (leaf, True)
    np.testing.assert_array_equal(a, START if leaf else t.data)  # a graph may hold the array of a leaf
    np.testing.assert_array_equal(older.data, START)


def test_a_leaf_is_written_into_where_nothing_is_recorded() -> None:
    w = Tensor(START)
    loss = (w * w).sum()
    with no_grad():
        w[0] = 0.0
        w[:, 1] += 1
    np.testing.assert_array_equal(w.data, [[0, 1, 0], [1.5, 1.25, 3]])
    loss.backward()
    np.testing.assert_array_equal(w.grad, 2 * START)  # of the values that the loss had


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a leaf": (lambda: operator.setitem(Tensor(START), 0, 1.0), "write t = t.at[index].set(value)"),
    "a result": (lambda: operator.setitem(2 * Tensor(START), 0, 1.0), "write t = t.at[index].set(value)"),
    "a result, unrecorded": (lambda: unrecorded(2 * Tensor(START)), "write t = t.at[index].set(value)"),
    "a value with a graph": (lambda: operator.setitem(Tensor(SHARED, False), 0, Tensor(1.0)), "torch.stack(parts)"),
    "a value for a view": (lambda: operator.setitem(constant()[0], 0, Tensor(1.0)), "torch.stack(parts)"),
    "a frozen leaf": (lambda: operator.setitem(Tensor(START.copy()).requires_grad_(False), 0, Tensor(1.0)), "torch.s"),
    "after a view": (lambda: filled(lambda t: t[0]), "write t = t.at[index].set(value)"),
    "after a use": (lambda: filled(lambda t: t * 2), "write t = t.at[index].set(value)"),
    "unrecorded after a result": (lambda: filled(lambda t: unrecorded(t)), "write t = t.at[index].set(value)"),
    "a sum": (lambda: filled(lambda t: operator.setitem(t, 0, t[0] + Tensor(1.0))), "t = t.at[index].add(value)"),
    "a view before": (lambda: filled(lambda t: None, lambda t: t.detach()[0]), "torch.stack(parts)"),
    "a use before": (lambda: filled(lambda t: None, lambda t: t * Tensor(1.0)), "torch.stack(parts)"),
    "memory of a graph": (lambda: operator.setitem((2 * Tensor(START)).detach(), 0, 1.0), "Write t = t.clone() first"),
    "a method of a leaf": (lambda: Tensor(START).add_(1), "use what add(...) returns"),
    "fill_ of a leaf": (lambda: Tensor(START).fill_(1), "nn.init.constant_(parameter"),
    "another shape": (lambda: constant().unsqueeze_(0), "t has (2, 3). Write t = t.unsqueeze(...)"),
    "another dtype": (lambda: Tensor([1, 2]).div_(2), "has dtype float64, and t has int64. Write t = t.div(...)"),
    "a gradient in vmap": (lambda: vmap(grad(lambda x: operator.setitem(constant(), (0, 0), x)))(START[0]), "torch.s"),
    "in vmap": (lambda: vmap(lambda x: operator.setitem(constant(), 0, x))(START), "torch.stack(parts)"),
}  # fmt: skip


SHARED = START.copy()


def filled(after: Callable[[Any], Any], before: Callable[[Any], Any] = lambda t: None) -> Any:
    """A constant that becomes a result, after something else was made of it; it is filled again after another thing."""
    t = constant()
    held = [before(t)]
    t[0] = Tensor(1.0)
    held.append(after(t))
    t[1] = Tensor(2.0)
    return held


def test_a_constant_that_nothing_else_refers_to_is_filled_with_results() -> None:
    def states(w: Any) -> Any:
        out = same = Tensor(np.zeros((4, 2)), requires_grad=False)
        h = w[0]
        for k in range(4):
            h = np.tanh(w @ h)
            out[k] = h
        out[0, 1] = 0.5
        assert out is same
        return out

    w, expected = np.array([[0.5, -0.3], [0.2, 0.8]]), np.zeros((4, 2))
    for k in range(4):
        expected[k] = np.tanh(w @ (expected[k - 1] if k else w[0]))
    expected[0, 1] = 0.5
    np.testing.assert_allclose(states(Tensor(w)).data, expected, rtol=1e-15)
    assert_gradients(lambda w: states(w) ** 2, w, order=2)


def constant() -> Any:
    return Tensor(START.copy(), requires_grad=False)


def unrecorded(t: Any) -> None:
    with no_grad():
        t[0] = 1.0


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_written_into_says_what_to_write(name: str) -> None:
    call, says = REFUSED[name]
    with pytest.raises((TypeError, ValueError, AttributeError), match=re.escape(says)):
        call()


def test_an_operator_makes_a_new_tensor_where_the_old_one_cannot_hold_the_result() -> None:
    for t, x in [(constant(), Tensor(START)), (constant(), np.ones((4, 1, 1))), (Tensor([1, 2]), 0.5),
                 ((2 * Tensor(START)).detach(), 1.0)]:  # fmt: skip
        before, same = t.data.copy(), t
        t += x
        assert t is not same
        np.testing.assert_array_equal(t.data, before + (x.data if isinstance(x, Tensor) else x))
        np.testing.assert_array_equal(same.data, before)


def test_a_compiled_function_that_writes_into_a_constant_runs_without_compilation() -> None:
    total = Tensor(np.zeros(3), requires_grad=False)

    @compile_function
    def step(x: Any) -> Any:
        total[0] = total[0] + 1
        return x * total

    with pytest.warns(RuntimeWarning, match="It runs without compilation"):
        found = [np.asarray(step(np.ones(3))) for _ in range(3)]
    np.testing.assert_array_equal(found, [[1, 0, 0], [2, 0, 0], [3, 0, 0]])


CHANGES: dict[str, Callable[[Any], Any]] = {
    "an entry": lambda c: operator.setitem(c, 0, 5.0), "a view": lambda c: operator.setitem(c[1:], 0, 5.0),
    "a method": lambda c: c.mul_(2), "an operator": lambda c: operator.iadd(c, 1.0),
}  # fmt: skip
READ: dict[str, tuple[Callable[[Any, Any], Any], bool]] = {  # whether the gradient of x reads the values of c
    "a product": (lambda x, c: x * c, True), "a quotient": (lambda x, c: x / (c + 0) / c, True),
    "a product with a view": (lambda x, c: x[:2] * c[1:], True), "a matrix": (lambda x, c: x @ c, True),
    "an index": (lambda x, c: x[c.astype(int).clip(0, 2)] * 1, False), "a sum": (lambda x, c: x + c, False),
    "a difference": (lambda x, c: c - x, False), "a copy": (lambda x, c: x * c.clone(), False),
    "what was made of it": (lambda x, c: x * (2 * c), False),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("read", READ)
def test_a_graph_whose_constant_was_written_into_has_no_wrong_gradient(read: str, change: str) -> None:
    use, is_read = READ[read]
    c, x = Tensor([1.0, 2.0, 3.0], requires_grad=False), Tensor([0.5, 1.0, 2.0])
    older, right = use(x, c).sum(), Tensor(x.data)
    use(right, Tensor(c.data.copy(), requires_grad=False)).sum().backward()
    CHANGES[change](c)
    if is_read and change != "an operator":  # which leaves the values to the graph, and makes a new Tensor
        with pytest.raises(RuntimeError, match=r"was written into after that.* Call backward\(\) before"):
            older.backward(retain_graph=True)
    else:
        older.backward()
        np.testing.assert_array_equal(x.grad, right.grad)
    fresh, same = Tensor(x.data), Tensor(x.data)
    use(fresh, c).sum().backward()  # a graph that is made afterwards has the new values
    use(same, Tensor(c.data.copy(), requires_grad=False)).sum().backward()
    np.testing.assert_array_equal(fresh.grad, same.grad)


def test_an_index_that_was_written_into_is_known() -> None:
    rows, x = Tensor(np.array([0, 2])), Tensor([1.0, 2.0, 3.0])
    y = (x[rows] ** 2).sum()
    rows[1] = 1
    with pytest.raises(RuntimeError, match="was written into after that"):
        y.backward()


def test_a_leaf_that_was_written_into_by_way_of_its_constant_is_known() -> None:
    x = Tensor([1.0, 2.0, 3.0])
    y, z = (x * x).sum(), (x + 1).sum()
    x.detach()[0] = 9.0
    with pytest.raises(RuntimeError, match="was written into after that"):
        y.backward()
    z.backward()
    assert x.grad.tolist() == [1.0, 1.0, 1.0]


def test_what_was_written_before_it_was_used_is_right_whatever_was_written_later() -> None:
    first, later, x = Tensor(np.ones(2)).detach().clone(), Tensor(np.ones(2)).detach().clone(), Tensor([3.0, 4.0])
    first[0] = 5.0
    y = (x * first).sum()
    later[0] = 7.0
    y.backward()
    assert x.grad.tolist() == [5.0, 1.0]


def test_what_was_written_into_is_forgotten_with_its_memory() -> None:
    before = len(WRITTEN)
    c = Tensor(np.zeros(3), requires_grad=False)
    c[1:][0] = 1.0
    c += 1
    assert len(WRITTEN) == before + 1
    del c
    assert len(WRITTEN) == before


# ---- data that is assigned


@pytest.mark.parametrize("made", [
    lambda: Tensor([3.0, 4.0], requires_grad=False), lambda: Tensor([3.0, 4.0]), lambda: Tensor([1.5, 2.0]) * 2,
    lambda: [3.0, 4.0], lambda: np.array([3.0, 4.0]),
], ids=["a constant", "a leaf", "a result", "a list", "an array"])  # fmt: skip
def test_assigned_data_is_an_array_without_a_graph(made: Any) -> None:
    w, other = Tensor([1.0, 2.0]), made()
    w.data = other
    assert type(w.data) is np.ndarray
    (w * w).sum().backward()
    np.testing.assert_array_equal(w.grad, [6.0, 8.0])
    assert getattr(other, "node", None) is None or other.node.grad is None
    SGD([w], lr=0.5, momentum=0.9).step()
    np.testing.assert_array_equal(w.data, [0.0, 0.0])
    assert w.node.out is w.data
