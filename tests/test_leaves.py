"""Training loops get warnings about lost leaves and gradients that are never cleared, and no other warnings."""

import copy
import gc
import pickle
import re
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import GradientWarning, Tensor, nn, no_grad, optim


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
