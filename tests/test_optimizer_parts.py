"""The optimizers and schedulers in PyTorch's form, part by part: defaults, groups, states, words and messages."""

import inspect
import math
import re
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Tensor, optim
from tinygrad_nn.optim import quasi_newton

S = optim.lr_scheduler
ADAM = {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0}
DEFAULTS: dict[str, dict[str, Any]] = {  # of torch.optim 2.10; of Lion those of its authors' code
    "SGD": {"lr": 1e-3, "momentum": 0, "dampening": 0, "weight_decay": 0, "nesterov": False},
    "Adam": {"lr": 1e-3, **ADAM, "amsgrad": False, "decoupled_weight_decay": False},
    "AdamW": {"lr": 1e-3, **ADAM, "weight_decay": 0.01, "amsgrad": False, "decoupled_weight_decay": True},
    "NAdam": {"lr": 2e-3, **ADAM, "momentum_decay": 4e-3, "decoupled_weight_decay": False},
    "RAdam": {"lr": 1e-3, **ADAM, "decoupled_weight_decay": False},
    "Adamax": {"lr": 2e-3, **ADAM},
    "RMSprop": {"lr": 0.01, "alpha": 0.99, "eps": 1e-8, "weight_decay": 0, "momentum": 0, "centered": False},
    "Adagrad": {"lr": 0.01, "lr_decay": 0, "weight_decay": 0, "initial_accumulator_value": 0, "eps": 1e-10},
    "Adadelta": {"lr": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0},
    "Lion": {"lr": 1e-4, "betas": (0.9, 0.99), "weight_decay": 0.0},
    "Muon": {"lr": 1e-3, "weight_decay": 0.1, "momentum": 0.95, "nesterov": True, "eps": 1e-7,
             "adjust_lr_fn": "original"},
    "LBFGS": {"lr": 1, "max_iter": 20, "max_eval": None, "tolerance_grad": 1e-7, "tolerance_change": 1e-9,
              "history_size": 100, "line_search_fn": None},
}  # fmt: skip


def leaves(*values: float) -> list[Tensor]:
    return [Tensor(np.full(2, value)) for value in values]


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_group_has_the_defaults_and_what_is_given(name: str) -> None:
    """By name and by place; each option reaches the rule, so that another value of it makes another rule."""
    make = getattr(optim, name)
    w = leaves(1.0)
    expected = DEFAULTS[name] | ({} if name == "LBFGS" else {"maximize": False})
    assert make(w).defaults == expected
    assert {key: value for key, value in make(w).param_groups[0].items() if key != "params"} == expected
    order = [key for key in inspect.signature(make).parameters if key not in ("params", "options")]
    by_place = [DEFAULTS[name][key] for key in order if inspect.signature(make).parameters[key].kind != 3]
    assert make(w, *by_place).defaults == expected
    other = {key: 0.25 if isinstance(value, float) or (value == 0 and value is not False) else value
             for key, value in DEFAULTS[name].items() if key in order}  # fmt: skip
    assert {key: make(w, **other).defaults[key] for key in other} == other


def test_groups_are_numbered_through_and_keep_what_they_differ_in() -> None:
    a, b, c = leaves(1.0, 2.0, 3.0)
    optimizer = optim.SGD([{"params": [a, b]}, {"params": c, "lr": 0.5, "momentum": 0.9, "note": "x"}], lr=0.1)
    rest = {"dampening": 0, "weight_decay": 0, "nesterov": False, "maximize": False}
    first, second = {"lr": 0.1, "momentum": 0, **rest}, {"lr": 0.5, "momentum": 0.9, "note": "x", **rest}
    assert repr(optimizer) == (
        "SGD(2 parameters, lr=0.1, momentum=0, dampening=0, weight_decay=0, nesterov=False, maximize=False; "
        "1 parameter, lr=0.5, momentum=0.9, note='x', dampening=0, weight_decay=0, nesterov=False, maximize=False)"
    )
    assert optimizer.state_dict() == {
        "state": {}, "param_groups": [{"params": [0, 1], **first}, {"params": [2], **second}],
    }  # fmt: skip
    a.grad = c.grad = np.ones(2)
    assert optimizer.step(lambda: 7) == 7
    assert optimizer.step() is None
    state = optimizer.state_dict()["state"]
    assert list(state) == [0, 2]
    assert (state[0], list(state[2])) == ({}, ["momentum_buffer"])
    np.testing.assert_array_equal(state[2]["momentum_buffer"], [1.9, 1.9])
    assert list(optimizer.state) == [a, c]
    np.testing.assert_allclose([a.data, b.data, c.data], [[0.8] * 2, [2.0] * 2, [3 - 0.5 - 0.95] * 2], rtol=1e-15)
    state[2]["momentum_buffer"][:] = 99.0  # a copy
    np.testing.assert_array_equal(optimizer.state[c]["momentum_buffer"], [1.9, 1.9])


def test_numbers_of_the_groups_count_from_the_next_step_on() -> None:
    a, b = leaves(0.0, 0.0)
    optimizer = optim.SGD([{"params": [a]}, {"params": [b], "maximize": True}], lr=1.0)
    a.grad = b.grad = np.array([1.0, 2.0])
    optimizer.step()
    np.testing.assert_array_equal([a.data, b.data], [[-1, -2], [1, 2]])
    optimizer.param_groups[1].update(lr=np.array(0.5), maximize=False, weight_decay=1.0)
    optimizer.step()
    np.testing.assert_array_equal([a.data, b.data], [[-2, -4], [0, 0]])  # b: 1 - (1 + 1) / 2
    optimizer.param_groups[0]["lr"] = Tensor(0.0)
    optimizer.step()
    np.testing.assert_array_equal(a.data, [-2, -4])


def test_gradients_are_forgotten_or_zeros() -> None:
    a, b = leaves(1.0, 2.0)
    optimizer = optim.Adam([a, b])
    for to_none in (True, False):
        a.grad = np.ones(2)
        optimizer.zero_grad(to_none)
        assert (a.grad is None) == to_none
        assert b.grad is None
    np.testing.assert_array_equal(a.grad, [0.0, 0.0])
    a.grad = np.ones(2)
    optimizer.zero_grad()
    assert a.grad is None


def test_a_saved_state_brings_its_numbers_and_its_own_numbering() -> None:
    def made(**options: Any) -> tuple[Any, list[Tensor]]:
        w = leaves(1.0, 2.0, 3.0)
        return optim.Adam([{"params": w[:1]}, {"params": w[1:], "note": "mine"}], **options), w

    one, w = made(lr=0.25, betas=(0.5, 0.75), amsgrad=True)
    for t in w[1:]:
        t.grad = np.full(2, 4.0)
    one.step()
    saved = one.state_dict()
    assert {key: list(entries) for key, entries in saved["state"].items()} == {
        1: ["exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step"], 2: ["exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step"],
    }  # fmt: skip
    saved["state"] = {key + 10: value for key, value in saved["state"].items()}  # as a file may number them
    for group in saved["param_groups"]:
        group["params"] = [number + 10 for number in group["params"]]
    two, v = made(lr=7.0)
    two.load_state_dict(saved)
    assert [{**group, "params": None} for group in two.param_groups] == [
        {**group, "params": None} for group in one.param_groups
    ]
    assert list(two.state) == v[1:]
    for t, u in zip(w, v, strict=True):
        u.data = t.data.copy()
        t.grad, u.grad = np.array([1.0, -2.0]), np.array([1.0, -2.0])
    one.step()
    two.step()
    np.testing.assert_array_equal([t.data for t in v], [t.data for t in w])


OPTIONS = "params, lr, momentum, dampening, weight_decay, nesterov, maximize"
AS_IT_WAS = "Make the optimizer as it was when it was saved; nothing was changed."


@pytest.mark.parametrize(
    ("call", "message"),
    [
        *[(lambda o, n=n: getattr(o, n), f"SGD has no attribute '{n}'. {say}") for n, say in (
            ("lr", "Each group has one: optimizer.param_groups[0]['lr']."),
            ("learning_rate", "Each group has one: optimizer.param_groups[0]['lr']."),
            ("backward", "The loss walks back: loss.backward(), then optimizer.step()."),
            ("minimize", "Write loss.backward(), then optimizer.step()."),
            ("apply_gradients", "Write loss.backward(), then optimizer.step()."),
        )],
        (lambda o: o.stepp, "SGD has no attribute 'stepp'; did you mean 'step'?"),
        (lambda o: o.param_group, "SGD has no attribute 'param_group'; did you mean 'param_groups'?"),
        (lambda o: o.default, "SGD has no attribute 'default'; did you mean 'defaults'?"),
        (lambda o: optim.SGD(leaves(1.0), nope=1),
         f"SGD has no option 'nope'. It takes {OPTIONS}."),
        (lambda o: optim.SGD(leaves(1.0), differentiable=True),
         "SGD: differentiable=True is not there; differentiate an update with optim rules."),
        (lambda o: o.add_param_group(3), "SGD: 3 is no group; each is a dict, e.g. {'params': [w, b]}."),
        (lambda o: o.add_param_group({"lr": 3}),
         "SGD: {'lr': 3} is no group; each is a dict, e.g. {'params': [w, b]}."),
        (lambda o: o.add_param_group({"params": leaves(1.0), "nestrov": True}),
         f"a group of SGD has no option 'nestrov'. Did you mean 'nesterov'? It takes {OPTIONS}."),
        (lambda o: o.add_param_group({"params": leaves(1.0), "lr": -1.0}),
         "SGD: lr=-1.0; it must be a finite number of at least 0, e.g. 0.01."),
        (lambda o: o.add_param_group({"params": o.param_groups[0]["params"]}),
         "SGD: a parameter is in two groups; it would move twice each step."),
        (lambda o: o.load_state_dict({"state": {}}),
         "SGD: load_state_dict takes what state_dict() returned, a dict with 'param_groups'."),
        (lambda o: o.load_state_dict({"state": {}, "param_groups": [{"params": [0, 1, 2]}]}),
         f"SGD: the groups have [2] parameters here and [3] in the saved state. {AS_IT_WAS}"),
        (lambda o: o.load_state_dict({"state": {1: {"step": 3, "x": 4}}, "param_groups": [{"params": [0, 1]}]}),
         "SGD: there is no 'momentum_buffer' in the saved state; it has 'share', 'step', 'x'."),
        (lambda o: o.load_state_dict({"state": {1: {"momentum_buffer": 4.0}}, "param_groups": [{"params": [0, 1]}]}),
         "SGD: 'momentum_buffer' has shape () in the saved state, and the parameter (2,); nothing was changed."),
        *[(lambda o, lr=lr: optim.SGD(leaves(1.0), lr),
           f"SGD: lr={lr!r}; it must be a finite number of at least 0, e.g. 0.01.")
          for lr in (True, "0.1", math.inf, math.nan, -1e-9, [0.1])],
        *[(lambda o, b=b: optim.Adam(leaves(1.0), betas=b),
           f"Adam: betas={b!r}; it is a pair, e.g. betas=(0.9, 0.999).") for b in (0.9, [0.9], (0.9, 0.9, 0.9))],
        (lambda o: optim.LBFGS(leaves(1.0), foo=1),
         f"LBFGS has no option 'foo'. It takes params, {', '.join(DEFAULTS['LBFGS'])}."),
        (lambda o: optim.LBFGS([{"params": leaves(1.0)}, {"params": leaves(2.0)}]),
         "LBFGS takes all parameters as one group; there are 2."),
    ],
)  # fmt: skip
def test_what_is_said(call: Any, message: str) -> None:
    optimizer = optim.SGD(leaves(1.0, 2.0), momentum=0.5)
    with pytest.raises((TypeError, ValueError, AttributeError), match=f"^{re.escape(message)}$"):
        call(optimizer)
    assert [len(group["params"]) for group in optimizer.param_groups] == [2]


def test_options_of_speed_change_nothing_and_a_remark_in_a_group_stays() -> None:
    for key in ("capturable", "foreach", "fused"):
        assert key not in optim.SGD(leaves(1.0), **{key: True}).defaults
    assert optim.SGD(leaves(1.0), differentiable=False).defaults["maximize"] is False
    assert optim.SGD(leaves(1.0), maximize=1).defaults["maximize"] is True
    optimizer = optim.SGD([{"params": leaves(1.0), "name": "head"}], lr=0)
    assert optimizer.param_groups[0]["name"] == "head"
    named = optim.SGD([("w", one) for one in leaves(1.0, 2.0)])
    assert [float(t.data[0]) for t in named.param_groups[0]["params"]] == [1.0, 2.0]


# -- L-BFGS


BAD = [
    *[(key, value, f"lbfgs: {key}={value!r}; it must be a whole number of at least 1, e.g. {key}=20.")
      for key in ("max_iter", "max_eval", "history_size") for value in (0, -1, True, 2.5, "3")],
    *[(key, None, f"lbfgs: {key}=None; it must be a whole number of at least 1, e.g. {key}=20.")
      for key in ("max_iter", "history_size")],
    *[(key, value, f"lbfgs: {key}={value!r}; it must be at least 0 and finite, e.g. {key}=1e-9.")
      for key in ("tolerance_grad", "tolerance_change") for value in (-1e-12, math.inf, math.nan, "x", None)],
    *[("line_search", value, f"lbfgs: unknown line_search {value!r}; known are 'strong_wolfe' and None.")
      for value in ("armijo", "", False)],
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "message"), BAD)
def test_a_number_of_lbfgs_that_is_out_of_range_is_named(key: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        optim.lbfgs(**{key: value})


def test_numbers_of_lbfgs_at_their_bounds_are_taken() -> None:
    given = {"max_iter": 1, "max_eval": np.int64(1), "tolerance_grad": 0, "tolerance_change": 0.0, "history_size": 1,
             "line_search": "strong_wolfe"}  # fmt: skip
    assert dict(optim.lbfgs(**given).hyper) == given
    assert list(given) == list(dict(optim.lbfgs().hyper))
    assert optim.lbfgs(*given.values()) == optim.lbfgs(**given)


def test_the_two_loops_are_the_matrix_of_bfgs() -> None:
    """H is made by the update of the class's equation from the scaled identity, pair by pair."""
    rng = np.random.default_rng(0)
    for pairs in range(4):
        g, scale = rng.normal(size=5), 0.7
        s = [rng.normal(size=5) for _ in range(pairs)]
        y = [one + 0.1 * rng.normal(size=5) for one in s]
        H = scale * np.eye(5)
        for a, b in zip(s, y, strict=True):
            rho, eye = 1 / (b @ a), np.eye(5)
            H = (eye - rho * np.outer(a, b)) @ H @ (eye - rho * np.outer(b, a)) + rho * np.outer(a, a)
        np.testing.assert_allclose(quasi_newton.direction(g, s, y, scale), -H @ g, rtol=1e-10)


def test_only_so_many_pairs_are_kept_and_only_curved_ones() -> None:
    rng = np.random.default_rng(1)
    A = np.diag([1.0, 3.0, 10.0, 30.0])
    start = rng.normal(size=4)

    def f(w: Any) -> tuple[float, Any]:
        return float(w @ A @ w) / 2, A @ w

    for history in (1, 2, 100):
        rule = optim.lbfgs(max_iter=6, history_size=history, tolerance_change=0.0)
        w, loss, state = rule.minimize(f, start, rule.init(start), 0.1)
        assert loss == f(start)[0]
        assert state[0] == 6
        assert len(state) == 5 + 2 * min(history, 5)
        y, s = state[5::2], state[6::2]
        for one, other in zip(y, s, strict=True):  # of a quadratic bowl y is A s
            np.testing.assert_allclose(one, A @ other, rtol=1e-9, atol=1e-12)
        assert state[2] == pytest.approx(y[-1] @ s[-1] / (y[-1] @ y[-1]), rel=1e-12)
        assert state[1] == 0.1
        w, _, state = rule.minimize(f, w, state, 0.1)
        assert state[0] == 12

    def straight(w: Any) -> tuple[float, Any]:
        return float(w.sum()), np.ones(4)

    rule = optim.lbfgs(max_iter=4)
    w, _, state = rule.minimize(straight, start, rule.init(start), 0.5)
    assert len(state) == 5  # y is 0
    np.testing.assert_allclose(w, start - 0.5 / 4 - 3 * 0.5, rtol=1e-12)  # the first direction has length 1 in all


# -- Schedulers


PAIRS: dict[str, tuple[Any, Any]] = {
    "StepLR": (lambda o: S.StepLR(o, 3), optim.StepDecay(3)),
    "MultiStepLR": (lambda o: S.MultiStepLR(o, [9, 4]), optim.MultiStep((4, 9))),
    "ConstantLR": (lambda o: S.ConstantLR(o), optim.Constant()),
    "LinearLR": (lambda o: S.LinearLR(o), optim.Warmup()),
    "ExponentialLR": (lambda o: S.ExponentialLR(o, 0.5), optim.Exponential(0.5)),
    "PolynomialLR": (lambda o: S.PolynomialLR(o), optim.Polynomial()),
    "CosineAnnealingLR": (lambda o: S.CosineAnnealingLR(o, 7), optim.Cosine(7)),
    "CosineAnnealingWarmRestarts": (lambda o: S.CosineAnnealingWarmRestarts(o, 3), optim.CosineRestarts(3)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_scheduler_sets_the_rates_of_its_schedule(name: str) -> None:
    make, schedule = PAIRS[name]
    a, b = leaves(1.0, 2.0)
    optimizer = optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=2.0)
    scheduler = make(optimizer)
    assert (scheduler.last_epoch, scheduler.base_lrs) == (0, [2.0, 0.5])
    for t in range(9):
        expected = [schedule(t, 2.0), schedule(t, 0.5)]
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(expected, rel=1e-12, abs=1e-15)
        assert scheduler.get_last_lr() == [group["lr"] for group in optimizer.param_groups]
        rates = ", ".join(f"{rate:.4g}" for rate in scheduler.get_last_lr())
        assert repr(scheduler) == f"{name}(step {t}, lr {rates})"
        scheduler.step()
    scheduler.step(2)
    assert scheduler.last_epoch == 2
    assert scheduler.get_last_lr() == pytest.approx([schedule(2, 2.0), schedule(2, 0.5)], rel=1e-12)
    assert [group["initial_lr"] for group in optimizer.param_groups] == [2.0, 0.5]
    saved = scheduler.state_dict()
    assert saved["schedules"] == [schedule.state_dict()] * 2
    assert (saved["last_epoch"], saved["base_lrs"], saved["_last_lr"]) == (2, [2.0, 0.5], scheduler.get_last_lr())


@pytest.mark.parametrize("name", PAIRS)
def test_a_scheduler_may_begin_where_a_loaded_training_stands(name: str) -> None:
    make = {"StepLR": lambda o, t: S.StepLR(o, 3, last_epoch=t), "MultiStepLR": lambda o, t: S.MultiStepLR(o, [4, 9],
            last_epoch=t), "ExponentialLR": lambda o, t: S.ExponentialLR(o, 0.5, last_epoch=t)}.get(
        name, lambda o, t: getattr(S, name)(o, *([7] if "Cosine" in name else []), last_epoch=t)
    )  # fmt: skip
    optimizer = optim.SGD(leaves(1.0), lr=2.0)
    with pytest.raises(KeyError, match=f"{name}: group 0 has no 'initial_lr'; load the optimizer's state first, or"):
        make(optimizer, 1)
    whole = make(optimizer, -1)
    for _ in range(3):
        whole.step()
    late = optim.SGD([{"params": leaves(1.0), "initial_lr": 2.0}], lr=whole.get_last_lr()[0])
    again = make(late, 3)
    assert again.last_epoch == 4
    whole.step()
    assert again.get_last_lr() == pytest.approx(whole.get_last_lr(), rel=1e-12, abs=1e-15)


def test_a_cycle_moves_rate_and_momentum_against_each_other() -> None:
    for optimizer, read in (
        (optim.SGD(leaves(1.0), lr=9.0, momentum=0.5), lambda group: group["momentum"]),
        (optim.Adam(leaves(1.0), lr=9.0), lambda group: group["betas"][0]),
    ):
        scheduler = S.OneCycleLR(optimizer, 2.0, total_steps=11, pct_start=0.5, div_factor=4.0, final_div_factor=10.0)
        rates, momenta = [], []
        group = optimizer.param_groups[0]
        for t in range(11):
            rates.append(group["lr"])
            momenta.append(read(group))
            if t < 10:
                scheduler.step()
        curve = optim.OneCycle(11, 2.0, 0.5, div_factor=4.0, final_div_factor=10.0)
        assert rates == pytest.approx([curve(t) for t in range(11)], rel=1e-12)
        assert group["initial_lr"] == 0.5
        assert (momenta[0], momenta[-1]) == (0.95, 0.95)
        assert min(momenta[4:6]) < 0.86
        assert momenta == pytest.approx([curve.between(t, 0.95, 0.85, 0.95) for t in range(11)], rel=1e-12)
        scheduler.step()
        message = "OneCycleLR: step 12 of 11; give it more total_steps=."
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            scheduler.step()
    assert optimizer.param_groups[0]["betas"][1] == 0.999
    plain = optim.SGD(leaves(1.0), momentum=0.5)
    S.OneCycleLR(plain, 2.0, epochs=3, steps_per_epoch=5, cycle_momentum=False).step()
    assert plain.param_groups[0]["momentum"] == 0.5
    for given in ({"epochs": 3}, {"steps_per_epoch": 5}):
        with pytest.raises(ValueError, match=r"^OneCycleLR needs its length: total_steps=, or epochs= and steps_per_e"):
            S.OneCycleLR(plain, 2.0, **given)


def test_a_plateau_of_the_form_of_pytorch() -> None:
    optimizer = optim.SGD([{"params": leaves(1.0)}, {"params": leaves(2.0), "lr": 0.5}], lr=1.0)
    scheduler = S.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, min_lr=[0.0, 0.4])
    seen = []
    for metric in (3.0, 4.0, Tensor(4.0), 4.0, 2.0):
        scheduler.step(metric)
        seen.append((scheduler.best, scheduler.num_bad_epochs, scheduler.get_last_lr()))
    assert seen == [
        (3.0, 0, [1.0, 0.5]), (3.0, 1, [1.0, 0.5]), (3.0, 0, [0.5, 0.4]), (3.0, 1, [0.5, 0.4]), (2.0, 0, [0.5, 0.4]),
    ]  # fmt: skip
    assert scheduler.state_dict() == {"last_epoch": 5, "plateau": [2.0, 0, 0, 1]}
    twin = S.ReduceLROnPlateau(optimizer)
    twin.load_state_dict(scheduler.state_dict())
    assert (twin.best, twin.last_epoch) == (2.0, 5)
    scheduler.step(1.0, epoch=2)
    assert scheduler.last_epoch == 2


def test_schedulers_of_schedulers_are_checked() -> None:
    optimizer, other = optim.SGD(leaves(1.0)), optim.SGD(leaves(1.0))
    cases = [
        (lambda: S.SequentialLR(optimizer, [S.StepLR(optimizer, 3)], [3]),
         "SequentialLR: 1 schedulers and 1 milestones; give one for each scheduler but the first."),
        (lambda: S.SequentialLR(optimizer, [S.StepLR(other, 3)], []),
         "SequentialLR: StepLR belongs to another optimizer; make all for the same one."),
        (lambda: S.ChainedScheduler([S.StepLR(optimizer, 3), S.StepLR(other, 3)]),
         "ChainedScheduler: StepLR belongs to another optimizer; make all for the same one."),
        (lambda: S.ChainedScheduler([S.StepLR(optimizer, 3)], other),
         "ChainedScheduler: StepLR belongs to another optimizer; make all for the same one."),
        (lambda: S.ChainedScheduler([]), "ChainedScheduler needs at least one scheduler."),
        (lambda: S.LRScheduler(optimizer, [lambda t, b: b] * 2),
         "LRScheduler: 2 values for schedule, 1 groups; give one for each, or one for all."),
        (lambda: S.LambdaLR(optimizer, [0.5]),
         "LambdaLR: lr_lambda=0.5; it needs a function, e.g. lambda epoch: 0.95**epoch."),
    ]  # fmt: skip
    for call, message in cases:
        with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}$"):
            call()
    with pytest.raises(TypeError, match=r"^ChainedScheduler: <.* is no scheduler that steps without a metric, such as"):
        S.ChainedScheduler([S.ReduceLROnPlateau(optimizer)], optimizer)
    with pytest.raises(TypeError, match=r"^StepLR: 3 of type int has no param_groups; pass optim.SGD\(...\) or its li"):
        S.StepLR(3, 3)
    with pytest.raises(TypeError, match=r"^ReduceLROnPlateau: 3 has no param_groups; pass optim.SGD\(...\) or its li"):
        S.ReduceLROnPlateau(3)


def test_a_chain_comes_back_from_its_state() -> None:
    def made() -> Any:
        optimizer = optim.SGD(leaves(1.0), lr=1.0)
        return S.ChainedScheduler([S.ExponentialLR(optimizer, 0.5), S.ConstantLR(optimizer, 0.25, 2)])

    one, two = made(), made()
    seen = [one.get_last_lr()[0]]
    for _ in range(3):
        one.step()
        seen.append(one.get_last_lr()[0])
    assert seen == [0.25, 0.125, 0.25, 0.125]
    two.load_state_dict(one.state_dict())
    two.optimizer.param_groups[0]["lr"] = one.get_last_lr()[0]
    one.step()
    two.step()
    assert two.get_last_lr() == one.get_last_lr() == [0.0625]
