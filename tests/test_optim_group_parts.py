"""The optimizers in PyTorch's form, part by part: the rule that each option gives, and the keys of each state."""

from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Tensor, optim
from tinygrad_nn.optim.update import attached_memory

DECAY = {"eps": 0.01, "weight_decay": 0.125}
BETAS = {"betas": (0.5, 0.75), **DECAY}
MOMENTS = {"beta1": 0.5, "beta2": 0.75, **DECAY}
RULES: list[tuple[str, dict[str, Any], Any, list[str]]] = [
    ("SGD", {"weight_decay": 0.125}, optim.sgd(weight_decay=0.125), []),
    ("SGD", {"momentum": 0.5, "nesterov": True}, optim.sgd(0.5, nesterov=True), ["momentum_buffer"]),
    ("SGD", {"momentum": 0.5, "dampening": 0.25}, optim.sgd(0.5, 0.25), ["momentum_buffer", "share"]),
    ("Adam", BETAS, optim.adam(**MOMENTS), ["exp_avg", "exp_avg_sq", "step"]),
    ("Adam", {**BETAS, "amsgrad": True}, optim.adam(**MOMENTS, amsgrad=True),
     ["exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step"]),
    ("Adam", {**BETAS, "decoupled_weight_decay": True}, optim.adamw(**MOMENTS), ["exp_avg", "exp_avg_sq", "step"]),
    ("AdamW", {**BETAS, "amsgrad": True}, optim.adamw(**MOMENTS, amsgrad=True),
     ["exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step"]),
    ("NAdam", {**BETAS, "momentum_decay": 0.25}, optim.nadam(**MOMENTS, momentum_decay=0.25),
     ["exp_avg", "exp_avg_sq", "mu_product", "step"]),
    ("NAdam", {"decoupled_weight_decay": True}, optim.nadam(decoupled=True),
     ["exp_avg", "exp_avg_sq", "mu_product", "step"]),
    ("RAdam", BETAS, optim.radam(**MOMENTS), ["exp_avg", "exp_avg_sq", "step"]),
    ("RAdam", {"decoupled_weight_decay": True}, optim.radam(decoupled=True), ["exp_avg", "exp_avg_sq", "step"]),
    ("Adamax", BETAS, optim.adamax(**MOMENTS), ["exp_avg", "exp_inf", "step"]),
    ("RMSprop", {"alpha": 0.5, **DECAY}, optim.rmsprop(0.5, **DECAY), ["square_avg"]),
    ("RMSprop", {"centered": True}, optim.rmsprop(centered=True), ["square_avg", "grad_avg"]),
    ("RMSprop", {"momentum": 0.5}, optim.rmsprop(mu=0.5), ["square_avg", "momentum_buffer"]),
    ("RMSprop", {"momentum": 0.5, "centered": True}, optim.rmsprop(mu=0.5, centered=True),
     ["square_avg", "grad_avg", "momentum_buffer"]),
    ("Adagrad", {"lr_decay": 0.5, "initial_accumulator_value": 0.25, **DECAY},
     optim.adagrad(lr_decay=0.5, initial=0.25, **DECAY), ["sum", "step"]),
    ("Adadelta", {"rho": 0.5, **DECAY}, optim.adadelta(rho=0.5, **DECAY), ["square_avg", "acc_delta"]),
    ("Lion", {"betas": (0.5, 0.75), "weight_decay": 0.125}, optim.lion(0.5, 0.75, 0.125), ["exp_avg"]),
    ("Muon", {"momentum": 0.5, "nesterov": False, "adjust_lr_fn": "match_rms_adamw", **DECAY},
     optim.muon(0.5, False, **DECAY, adjust="match_rms_adamw"), ["momentum_buffer"]),
]  # fmt: skip
IDS = [f"{name} {' '.join(options)}" for name, options, *_ in RULES]


@pytest.mark.parametrize(("name", "options", "rule", "words"), RULES, ids=IDS)
def test_options_make_this_rule_and_states_have_these_words(
    name: str, options: dict[str, Any], rule: Any, words: list[str]
) -> None:
    start = np.array([[1.0, -2.0], [0.5, 3.0]], np.float32)
    one, two, plain = Tensor(start), Tensor(start), start
    first, second = (getattr(optim, name)([w], lr=0.25, **options) for w in (one, two))
    assert (first._groups[0].rule, first._groups[0].learning_rate) == (rule, 0.0)
    assert first.state == {}
    state = rule.init(start)
    for k in range(4):
        g = np.array([[0.5, -1.0], [k, 2.0]], np.float32)
        one.grad = two.grad = g
        first.step()
        step, state = rule.update(g, state, 0.25, plain)
        plain = plain - step
        np.testing.assert_array_equal(one.data, plain)
        if k == 1:  # the other goes on from what a file may hold
            saved = first.state_dict()
            saved["state"] = {number: {key: np.asarray(x, np.float64) for key, x in entries.items()}
                              for number, entries in saved["state"].items()}  # fmt: skip
            second.load_state_dict(saved)
            two.data = one.data.copy()
            assert [type(x) for x in second.state.get(two, {}).values()] == [type(x) for x in state]
        if k > 1:
            second.step()
            np.testing.assert_array_equal(two.data, one.data)
    assert list(first.state[one]) == words
    for found, expected in zip(second.state[two].values(), state, strict=True):
        np.testing.assert_array_equal(found, expected)
        assert getattr(found, "dtype", None) == getattr(expected, "dtype", None)


def test_a_bias_of_muon_has_the_words_of_adamw() -> None:
    w = Tensor(np.ones(3))
    optimizer = optim.Muon([w])
    w.grad = np.ones(3)
    optimizer.step()
    assert list(optimizer.state[w]) == ["exp_avg", "exp_avg_sq", "step"]


@pytest.mark.parametrize(
    ("first", "later", "rule"),
    [
        ({"momentum": 0.5}, {"momentum": 0.25}, optim.sgd(0.25)),
        ({"momentum": 0.5}, {"momentum": Tensor(0.25), "weight_decay": np.array(0.5)},
         optim.sgd(0.25, weight_decay=0.5)),
        ({}, {"momentum": 0.25, "nesterov": True}, optim.sgd(0.25, nesterov=True)),
    ],
)  # fmt: skip
def test_an_option_that_is_written_into_a_group_makes_another_rule_once(
    first: dict[str, Any], later: dict[str, Any], rule: Any
) -> None:
    w, other = Tensor(np.ones(2)), Tensor(np.ones(2))
    optimizer = optim.SGD([{"params": [w]}, {"params": [other]}], lr=0.5, **first)
    w.grad = other.grad = np.array([1.0, -2.0])
    optimizer.step()
    state = optimizer._groups[0].states[0] or rule.init(w.data)
    kept = optimizer._groups[1].rule
    optimizer.param_groups[0].update(later)
    step, state = rule.update(w.grad, state, 0.5, w.data)
    expected = w.data - step
    optimizer.step()
    np.testing.assert_array_equal(w.data, expected)
    assert (optimizer._groups[0].rule, optimizer._groups[1].rule) == (rule, kept)
    updater = optimizer._groups[0].updater
    optimizer.step()
    assert optimizer._groups[0].updater is updater


def test_frozen_parameters_and_missing_gradients_are_left_alone() -> None:
    a, b, c = (Tensor(np.ones(2)) for _ in range(3))
    optimizer = optim.SGD([a, b, c], lr=0.5, maximize=True)
    a.grad = b.grad = np.array([1.0, 2.0])
    b.requires_grad = False
    optimizer.step()
    np.testing.assert_array_equal([a.data, b.data, c.data], [[1.5, 2.0], [1, 1], [1, 1]])
    optimizer.zero_grad(set_to_none=False)
    assert (a.grad.tolist(), c.grad) == ([0.0, 0.0], None)
    optimizer.zero_grad()
    assert a.grad is None


def test_a_state_of_pytorch_has_no_share_of_the_gradient() -> None:
    w = Tensor(np.ones(2))
    optimizer = optim.SGD([w], lr=0.5, momentum=0.5, dampening=0.25)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": {0: {"momentum_buffer": np.array([1.0, 2.0])}}, "param_groups": groups})
    assert optimizer.state[w]["share"] == 0.75
    w.grad = np.ones(2)
    optimizer.step()
    np.testing.assert_allclose(w.data, 1 - 0.5 * (0.5 * np.array([1.0, 2.0]) + 0.75), rtol=1e-15)


def test_lbfgs_keeps_its_rate_in_its_group() -> None:
    w = Tensor(np.array([3.0, -2.0]))
    options: dict[str, Any] = {"max_iter": 3, "max_eval": 9, "tolerance_grad": 1e-5, "tolerance_change": 1e-6,
                               "history_size": 2}  # fmt: skip
    optimizer = optim.LBFGS([{"params": w}], lr=0.5, **options)
    (group,) = optimizer.param_groups
    rule = optim.lbfgs(**options)
    assert optimizer._minimizer.groups[0].rule == rule
    calls: list[Any] = []

    def closure() -> Any:
        calls.append(((w - 1) ** 2).sum())
        optimizer.zero_grad()
        calls[-1].backward()
        return calls[-1]

    group["lr"] = 0.25
    start = w.data
    bowl = lambda w: (float(((w - 1) ** 2).sum()), 2 * (w - 1))
    expected, loss, _ = rule.minimize(bowl, start, rule.init(start), 0.25)
    assert optimizer.step(closure) is calls[0]
    assert float(calls[0].data) == loss == 13.0
    np.testing.assert_allclose(w.data, expected, rtol=1e-12)
    group["lr"] = 0.125
    saved = optimizer.state_dict()
    assert saved["groups"][0]["learning_rate"] == 0.125
    other = optim.LBFGS([("w", Tensor(w.data.copy()))], lr=9.0, **options)
    other.load_state_dict(saved)
    assert other.param_groups[0]["lr"] == 0.125
    np.testing.assert_equal(other.state_dict(), saved)
    optimizer.zero_grad()
    assert w.grad is None


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (3, "load_state_dict takes what state_dict"),
        (["state", "param_groups"], "load_state_dict takes what state_dict"),
        ({"state": {}}, "load_state_dict takes what state_dict"),
        ({"param_groups": []}, "load_state_dict takes what state_dict"),
        ({"state": {}, "param_groups": [{"lr": 0.1}]}, "'param_groups' is not a list of dicts with 'params'"),
        ({"state": {}, "param_groups": [3]}, "'param_groups' is not a list of dicts with 'params'"),
        ({"state": {}, "param_groups": 3}, "'param_groups' is not a list of dicts with 'params'"),
        ({"state": [1.0], "param_groups": [{"params": [0]}]}, "'state' in the saved state is not a dict of dicts"),
        ({"state": {0: 1.0}, "param_groups": [{"params": [0]}]}, "'state' in the saved state is not a dict of dicts"),
        ({"state": {}, "param_groups": [{"params": [0], "lr": -1.0}]}, "lr=-1.0; it must be a finite number"),
        ({"state": {}, "param_groups": [{"params": [0], "momentum": 2.0}]}, "SGD: momentum=2.0; it must be"),
    ],
)
def test_an_invalid_saved_state_changes_nothing(saved: Any, message: str) -> None:
    optimizer = optim.SGD([Tensor(np.ones(2))], lr=0.5, momentum=0.5)
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(saved)
    assert optimizer.state_dict() == before


def test_a_saved_state_brings_the_options_that_its_rule_was_made_with() -> None:
    def made(**options: Any) -> tuple[Any, Tensor]:
        w = Tensor(np.array([1.0, -2.0]))
        return optim.Adam([{"params": [w], "note": np.array([1, 2])}], lr=0.5, **options), w

    (one, w), (two, v) = made(betas=(0.5, 0.75), amsgrad=True), made()
    w.grad = np.array([3.0, 1.0])
    one.step()
    two.load_state_dict(one.state_dict())
    assert two.param_groups[0]["note"].tolist() == [1, 2]
    v.data = w.data.copy()
    assert list(two.state[v]) == ["exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step"]
    for g in ([0.5, -1.0], [0.25, 2.0]):
        w.grad = v.grad = np.array(g)
        one.step()
        two.step()
        np.testing.assert_array_equal(v.data, w.data)
    np.testing.assert_equal(two.state_dict(), one.state_dict())


def test_a_parameter_may_have_a_name_or_no_axes_but_a_pair_is_none() -> None:
    a, b = Tensor(1.0), Tensor(np.ones(2))
    assert optim.SGD([a, ("b", b)]).param_groups[0]["params"] == [a, b]
    for wrong in ((a, b), ("b", b, 1), ("b",)):
        with pytest.raises(TypeError, match="is not a parameter; it needs a Tensor of floats"):
            optim.SGD([wrong])


def test_the_memory_of_a_parameter_stays_with_it() -> None:
    w, v = Tensor(np.ones(2)), Tensor(np.ones(2))
    memory = attached_memory(w)
    memory.rule, memory.state = optim.adam(), (1,)
    assert attached_memory(w) is memory
    assert attached_memory(v) is not memory
    memory.forget()
    assert (memory.rule, memory.state, memory.start) == (None, None, None)


def test_each_group_moves_by_its_own_gradients() -> None:
    a, b, frozen, c = (Tensor(np.full(2, x), requires_grad=x != 9.0) for x in (1.0, 2.0, 9.0, 3.0))
    made = optim.SGD([{"params": [a, b]}, {"params": [c], "lr": 0.5}], lr=0.25)
    (1.0 * a + 2.0 * b + frozen + 4.0 * c).sum().backward()
    made.step()
    assert [t.data.tolist() for t in (a, b, frozen, c)] == [[0.75] * 2, [1.5] * 2, [9.0] * 2, [1.0] * 2]
