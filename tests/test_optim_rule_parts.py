"""Clipping, rules, their in-place forms and groups of parameters, part by part."""

import math
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Tensor, nn, optim
from tinygrad_nn.optim.in_place import in_place
from tinygrad_nn.optim.update import SMALL, Updater


def leaves(*values: float) -> list[Tensor]:
    return [Tensor(np.full(2, value)) for value in values]


# -- Clipping


def test_a_norm_may_have_any_positive_order_and_need_not_be_finite() -> None:
    a, frozen = leaves(1.0, 2.0)
    frozen.requires_grad = False
    for order, norm in ((1, 7.0), (0.5, (3**0.5 + 2) ** 2), (2.0, 5.0)):
        a.grad = np.array([3.0, -4.0])
        assert nn.utils.clip_grad_norm_([a, frozen], 2.0, order, error_if_nonfinite=True) == pytest.approx(norm)
        np.testing.assert_allclose(a.grad, np.array([3.0, -4.0]) * 2 / norm, rtol=1e-6)
    a.grad = np.array([math.inf, 1.0])
    assert nn.utils.clip_grad_norm_(a, math.inf) == math.inf
    assert frozen.grad is None


# -- Groups


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (optim.momentum(0.5), optim.momentum(0.25), True),
        (optim.adam(), optim.radam(beta1=0.5), True),
        (optim.sgd(), optim.momentum(), False),
        (optim.sgd(0.5, dampening=0.25), optim.sgd(0.5), False),
        (optim.adam(amsgrad=True), optim.adam(), False),
        (optim.adam(), optim.adam(amsgrad=True), False),
    ],
)
def test_another_rule_goes_on_from_a_state_that_it_knows(first: Any, second: Any, kept: bool) -> None:
    w, unmoved = leaves(1.0, 2.0)
    minimizer = optim.Minimizer([w, unmoved], first, 0.5)
    minimizer.step([np.array([1.0, -2.0]), None])
    (group,) = minimizer.groups
    state = group.states[0] if kept else second.init(w.data)
    step, _ = second.update(np.full(2, 0.5), state, 0.5, w.data)
    expected = w.data - step
    group.change(second)
    assert group.rule == second
    assert len(group.states[1]) == len(second.init(unmoved.data))
    minimizer.step([np.full(2, 0.5), None])
    np.testing.assert_array_equal(w.data, expected)


def test_the_same_rule_again_changes_nothing_and_lbfgs_has_no_other() -> None:
    for rule, other in ((optim.adam(), optim.adam()), (optim.lbfgs(), optim.adam())):
        (group,) = optim.Minimizer(leaves(1.0), rule).groups
        before = group.updater
        group.change(other)
        assert (group.rule, group.updater) == (rule, before)


@pytest.mark.parametrize("loss", [3, np.float32(3), Tensor(3.0), Tensor(3.0, requires_grad=False)])
def test_a_loss_that_depends_on_no_parameter_raises_and_changes_nothing(loss: Any) -> None:
    (w,) = leaves(1.0)
    minimizer = optim.Minimizer([w], "sgd", 0.5)
    with pytest.raises(ValueError, match="does not depend on any parameter"):
        minimizer.step(lambda: loss)
    np.testing.assert_array_equal(w.data, [1.0, 1.0])
    assert minimizer.steps == 0


def test_a_parameter_that_the_loss_does_not_read_or_that_is_frozen_stays_in_a_search() -> None:
    for option in ({}, {"line_search": "strong_wolfe"}):
        a, b, frozen, c = leaves(1.0, 2.0, 3.0, 4.0)
        frozen.requires_grad = False
        minimizer = optim.Minimizer([a, b, frozen, c], optim.lbfgs(**option))
        assert minimizer.step(lambda a=a, c=c, f=frozen: ((a - f) ** 2 + (c - 1) ** 2).sum()) == 2 * (4 + 9)
        np.testing.assert_allclose([a.data, b.data, frozen.data, c.data], [[3] * 2, [2] * 2, [3] * 2, [1] * 2])
        assert [t.dtype for t in minimizer.parameters] == [np.float64] * 4


def test_non_floating_parameters_use_the_plain_update() -> None:
    whole, room = np.array([1, 2]), np.array([0, 0])
    new, _ = optim.sgd().move(np.array([2, 3]), (), 0.5, whole, room)
    assert new.tolist() == [0.0, 0.5]
    assert (whole.tolist(), room.tolist()) == ([1, 2], [0, 0])
    mixed, _ = optim.sgd().move(np.full(2, 0.1, np.float32), (), 0.5, np.ones(2), np.ones(2))
    np.testing.assert_array_equal(mixed, np.ones(2) - 0.5 * np.full(2, 0.1, np.float32))


# -- In-place forms: the symbols stand for g, the state, eta and w


def one(w: Any) -> Any:
    return (np.full_like(w, 0.5),)


WRITTEN: dict[str, tuple[Any, Any]] = {
    "a comparison's result is no room": (
        one, lambda g, s, eta, w: (eta * np.where(g > w, g * s[0], 2 * w) * (g - w) - s[0] * g, (s[0] * w - g * w,))),
    "nor for what follows it": (
        lambda w: (), lambda g, s, eta, w: ((np.where(g > w, g, w) * w + (w - g) * 0.5) * (w / g), ())),
    "g is read at the end": (one, lambda g, s, eta, w: (((w * 2 - s[0]) * eta + w) * w - g, (s[0] - w,))),
    "g is kept": (one, lambda g, s, eta, w: (eta * (g * w), (g,))),
    "w is kept": (one, lambda g, s, eta, w: (eta * (g * g), (w,))),
    "the old state is kept": (one, lambda g, s, eta, w: (eta * (g * s[0]) + s[0], s)),
    "what is kept is read again": (
        one, lambda g, s, eta, w: ((lambda v: (eta * v / (v * v + 1), (v,)))(0.9 * s[0] + g))),
    "the same twice": (one, lambda g, s, eta, w: ((lambda v: (v * v + v, (v + v,)))(s[0] * g))),
    "numbers first": (one, lambda g, s, eta, w: ((2 - g) * (1 / g) - (eta + 2) ** 0.5 * (3 / (1 - eta)), (1 + s[0],))),
    "powers": (one, lambda g, s, eta, w: ((g * g + 1) ** 0.5 + 2.0 ** (g * w) - w**3, (s[0] ** 2,))),
    "larger and smaller": (
        one, lambda g, s, eta, w: (np.maximum(g * w, s[0]) - np.minimum(g + w, 0.1), (np.maximum(s[0], np.abs(g)),))),
    "sizes": (one, lambda g, s, eta, w: (abs(eta - 1) * abs(g - w) + abs(g), (abs(s[0]),))),
    "a choice by a number": (one, lambda g, s, eta, w: (np.where(eta > 0.05, g * w, g - w) * eta, s)),
    "the other choice": (one, lambda g, s, eta, w: (np.where(eta > 0.5, g * w, g - w) * eta, s)),
    "a choice that reads g last": (one, lambda g, s, eta, w: (np.where(eta > 0.05, g, w) * eta - s[0], s)),
    "without g": (one, lambda g, s, eta, w: (eta * w * 2 - w, (s[0] + 1,))),
    "the step is kept": (one, lambda g, s, eta, w: ((lambda v: (v, (v,)))(eta * g * s[0]))),
    "roots of numbers": (one, lambda g, s, eta, w: ((g * s[0] - w) * np.sqrt(eta) + g * np.sqrt(eta + 2), (s[0] * g,))),
    "a root of a number is a number": (
        lambda w: (w, 0.0), lambda g, s, eta, w: ((g * 2 + w * 3) * (r := np.sqrt(eta)) - s[0], (w, r))),
    "numbers as states": (
        lambda w: (np.zeros_like(w), 1.0, 0),
        lambda g, s, eta, w: (eta * (s[0] + g) / (1 - 0.5 ** (s[2] + 1)) * s[1], (s[0] + g, s[1] * 0.5, s[2] + 1))),
}  # fmt: skip


@pytest.mark.parametrize("spare", ["none", "gradient", "other"])
@pytest.mark.parametrize(("init", "update"), WRITTEN.values(), ids=WRITTEN)
def test_an_in_place_form_has_the_bits_of_its_rule_and_spoils_nothing(init: Any, update: Any, spare: str) -> None:
    into: Any = in_place(init, update)
    draw = np.random.default_rng(0)
    w, state = draw.normal(size=5), init(np.ones(5))
    for _ in range(3):
        g = draw.normal(size=5) + 3
        first = g.copy(), w.copy(), [np.array(x) for x in state]
        step, expected = update(g.copy(), state, 0.1, w)
        new, after = into(g, state, 0.1, w, {"none": None, "gradient": g, "other": np.empty(5)}[spare])
        np.testing.assert_array_equal(new, first[1] - step)
        for x, y in zip(after, expected, strict=True):
            np.testing.assert_array_equal(x, y)
            assert np.shape(x) == np.shape(y)
        np.testing.assert_array_equal(w, first[1])
        for x, y in zip(state, first[2], strict=True):
            np.testing.assert_array_equal(x, y)
        if spare != "gradient":
            np.testing.assert_array_equal(g, first[0])
        w, state = new, after


@pytest.mark.parametrize(
    ("update", "scales"),
    [
        (lambda g, s, eta, w: (eta * g, s), True),
        (lambda g, s, eta, w: (g * eta + eta * w, s), True),
        (lambda g, s, eta, w: (2 * eta * g, s), False),  # two numbers are not rounded to the dtype of the arrays
        (lambda g, s, eta, w: (g / eta, s), False),
        (lambda g, s, eta, w: (eta * g + eta, s), False),
        (lambda g, s, eta, w: (0.1 * g, s), False),
    ],
)
def test_a_rate_may_be_an_array_where_it_only_scales_arrays(update: Any, scales: bool) -> None:
    into: Any = in_place(lambda w: (), update)
    assert into.scales is scales


# -- Updates


def test_a_rate_is_an_array_of_the_parameters_dtype_where_it_only_scales() -> None:
    wide, narrow, number = Tensor(np.ones(2)), Tensor(np.ones(2, np.float32)), Tensor(1.0)
    rules = [optim.sgd(), optim.sgd(), optim.sgd(), optim.adam(), optim.muon()]
    update = Updater([wide, narrow, number, wide, wide], rules, [0.1] * 5)
    assert [getattr(rate, "dtype", None) for rate in update.fixed] == [np.float64, np.float32, None, None, None]
    assert [float(rate) for rate in update.fixed] == [0.1, float(np.float32(0.1)), 0.1, 0.1, 0.1]
    assert Updater([wide, wide], [optim.sgd()] * 2, [0.1, 0.2], derive=False).fixed == [0.1, 0.2]


def test_an_equal_rule_goes_on_and_another_begins_again() -> None:
    (w,) = leaves(1.0)
    for rule, count in ((optim.adam(), 1), (optim.adam(), 2), (optim.adam(0.5), 1), (optim.adam(), 1)):
        update = Updater([w], [rule], [0.1])
        assert (update.states() == [None]) == (count == 1)
        update([np.ones(2)])
        ((_, _, steps),) = update.states()
        assert steps == count


def test_a_large_gradient_that_somebody_holds_is_not_written_into() -> None:
    n = SMALL // 8 + 1
    held, w = np.full(n, 4.0), Tensor(np.full(n, 2.0))
    gradients: list[Any] = [held]
    Updater([w], [optim.sgd()], [0.25])(gradients, spend=True)
    assert set(held.tolist()) == {4.0}
    assert set(w.data.tolist()) == {1.0}


@pytest.mark.parametrize(("g", "w"), [
    (np.array(2.0), np.array(1.0)), (np.array([2.0, 3.0]), np.array([1.0, 2.0], np.float32)),
    (np.array([2.0, 3.0], np.float32), np.array([1.0, 2.0])), (np.array([2.0 + 1j]), np.array([1.0 - 1j])),
    (np.array([2.0, 3.0]), np.array([1.0, 2.0])),
], ids=["a number", "wider", "narrower", "complex", "as it is"])  # fmt: skip
@pytest.mark.parametrize("make", [optim.adam, optim.sgd, optim.momentum, optim.adagrad])
def test_a_parameter_of_any_kind_moves_by_the_update(make: Any, g: Any, w: Any) -> None:
    rule = make()
    step, after = rule.update(g, rule.init(w), 0.1, w)
    moved, state = rule.move(g, rule.init(w), 0.1, w)
    assert isinstance(moved, np.ndarray)
    assert moved.dtype == (w - step).dtype
    np.testing.assert_array_equal(moved, w - step)
    for one, two in zip(state, after, strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_rule_of_ones_own_moves_by_its_update() -> None:
    rule = optim.Optimizer("half", (), lambda w: (), lambda g, state, eta, w: (0.5 * g, state))
    moved, state = rule.move(np.array([2.0]), (), 0.1, np.array([5.0]))
    np.testing.assert_array_equal(moved, [4.0])
    assert state == ()


@pytest.mark.parametrize(("rule", "steps"), [
    (optim.sgd(), [0.2, 0.2, 0.2]), (optim.sgd(0.5), [0.2, 0.3, 0.35]), (optim.momentum(0.5), [0.2, 0.3, 0.35]),
    (optim.momentum(), [0.2, 0.38, 0.542]), (optim.nesterov(0.5), [0.3, 0.35, 0.375]),
    (optim.sgd(0.5, nesterov=True), [0.3, 0.35, 0.375]), (optim.sgd(0.5, 0.25), [0.2, 0.25, 0.275]),
    (optim.sgd(weight_decay=0.1), [0.3, 0.3, 0.3]), (optim.sgd(0.5, weight_decay=0.1), [0.3, 0.45, 0.525]),
    (optim.sgd(0.5, 0.25, weight_decay=0.1), [0.3, 0.375, 0.4125]), (optim.momentum(0.5, 0.1), [0.3, 0.45, 0.525]),
    (optim.nesterov(0.5, 0.1), [0.45, 0.525, 0.5625]), (optim.lion(0.5, 0.5), [0.1, 0.1, 0.1]),
    (optim.lion(weight_decay=0.1), [0.2, 0.2, 0.2]),
], ids=str)  # fmt: skip
def test_descent_makes_these_steps(rule: Any, steps: list[float]) -> None:
    w = np.array([10.0])
    state, found = rule.init(w), []
    for _ in steps:
        step, state = rule.update(np.array([2.0]), state, 0.1, w)
        found.append(step[0])
    np.testing.assert_allclose(found, steps, rtol=1e-14)


@pytest.mark.parametrize(("name", "rate"), [
    ("sgd", 1e-3), ("momentum", 1e-3), ("nesterov", 1e-3), ("adam", 1e-3), ("adamw", 1e-3), ("amsgrad", 1e-3),
    ("nadam", 2e-3), ("radam", 1e-3), ("adamax", 2e-3), ("rmsprop", 1e-2), ("adagrad", 1e-2), ("adadelta", 1.0),
    ("lion", 1e-4), ("muon", 1e-3),
])  # fmt: skip
def test_a_rule_has_the_learning_rate_of_its_paper_or_of_pytorch(name: str, rate: float) -> None:
    assert getattr(optim, name)().learning_rate == rate


@pytest.mark.parametrize(("mu", "dampening"), [(0.0, 0.0), (0.9, 0.1), (0.0, 0.1)])
def test_looking_ahead_needs_momentum_without_dampening(mu: float, dampening: float) -> None:
    with pytest.raises(ValueError, match=f"sgd: nesterov=True with mu={mu} and dampening={dampening}; it needs"):
        optim.sgd(mu, dampening, nesterov=True)
