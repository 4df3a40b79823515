"""The optimizers and schedulers in PyTorch's form, part by part: defaults, groups, states, words and messages."""

import inspect
import math
import re
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Tensor, nn, optim
from tinygrad_nn.optim import quasi_newton
from tinygrad_nn.optim.update import SMALL, Updater

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
def test_a_group_has_the_defaults_and_the_given_options(name: str) -> None:
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


def test_groups_number_their_parameters_and_keep_their_own_options() -> None:
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
AS_IT_WAS = "Create the optimizer as it was when it was saved; nothing was changed."


@pytest.mark.parametrize(
    ("call", "message"),
    [
        *[(lambda o, n=n: getattr(o, n), f"SGD has no attribute '{n}'. {say}") for n, say in (
            ("lr", "Each group has one: optimizer.param_groups[0]['lr']."),
            ("learning_rate", "Each group has one: optimizer.param_groups[0]['lr']."),
            ("backward", "Call backward on the loss: loss.backward(), then optimizer.step()."),
            ("minimize", "Write loss.backward(), then optimizer.step()."),
            ("apply_gradients", "Write loss.backward(), then optimizer.step()."),
        )],
        (lambda o: o.stepp, "SGD has no attribute 'stepp'; did you mean 'step'?"),
        (lambda o: o.param_group, "SGD has no attribute 'param_group'; did you mean 'param_groups'?"),
        (lambda o: o.default, "SGD has no attribute 'default'; did you mean 'defaults'?"),
        (lambda o: optim.SGD(leaves(1.0), nope=1),
         f"SGD has no option 'nope'. It takes {OPTIONS}."),
        (lambda o: optim.SGD(leaves(1.0), differentiable=True),
         "SGD: differentiable=True is not supported; differentiate an update with optim rules."),
        (lambda o: o.add_param_group(3), "SGD: 3 is not a group; each is a dict, e.g. {'params': [w, b]}."),
        (lambda o: o.add_param_group({"lr": 3}),
         "SGD: a group has no 'params', only 'lr'."),
        (lambda o: o.add_param_group({"params": leaves(1.0), "nestrov": True}),
         f"a group of SGD has no option 'nestrov'. Did you mean 'nesterov'? It takes {OPTIONS}."),
        (lambda o: o.add_param_group({"params": leaves(1.0), "lr": -1.0}),
         "SGD: lr=-1.0; it must be a finite number of at least 0, e.g. 0.01."),
        (lambda o: o.add_param_group({"params": o.param_groups[0]["params"]}),
         "SGD: a parameter is in two groups; it would be updated twice each step."),
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
           f"Adam: betas={b!r}; it must be a pair, e.g. betas=(0.9, 0.999).") for b in (0.9, [0.9], (0.9, 0.9, 0.9))],
        (lambda o: optim.LBFGS(leaves(1.0), foo=1),
         f"LBFGS has no option 'foo'. It takes params, {', '.join(DEFAULTS['LBFGS'])}."),
        (lambda o: optim.LBFGS([{"params": leaves(1.0)}, {"params": leaves(2.0)}]),
         "LBFGS takes all parameters as one group; there are 2."),
    ],
)  # fmt: skip
def test_the_errors_of_optimizers_have_their_full_text(call: Any, message: str) -> None:
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


def test_lbfgs_keeps_at_most_history_size_pairs_of_positive_curvature() -> None:
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
    with pytest.raises(KeyError, match=f"{name}: group 0 has no 'initial_lr'; load the optimizer's state or"):
        make(optimizer, 1)
    whole = make(optimizer, -1)
    finished = 3  # the last epoch before the training was saved
    for _ in range(finished + 1):
        whole.step()
    late = optim.SGD([{"params": leaves(1.0), "initial_lr": 2.0}], lr=whole.get_last_lr()[0])
    again = make(late, finished)
    for epoch in range(finished + 1, 12):
        assert (again.last_epoch, whole.last_epoch) == (epoch, epoch)
        assert again.get_last_lr() == pytest.approx(whole.get_last_lr(), rel=1e-12, abs=1e-15)
        again.step()
        whole.step()


@pytest.mark.parametrize(("name", "arguments", "rates"), [
    ("LinearLR", (0.3, 1.0, 5), [0.1, 0.119444, 0.138889, 0.138889]),
    ("ExponentialLR", (0.8,), [0.1, 0.08, 0.064, 0.0512]),
    ("PolynomialLR", (6, 2.0), [0.1, 0.044444, 0.011111, 0.0]),
    ("CosineAnnealingLR", (10, 0.01), [0.1, 0.084199, 0.066683, 0.049167]),
    ("MultiplicativeLR", (lambda t: 0.9,), [0.1, 0.09, 0.081, 0.0729]),
])  # fmt: skip
def test_a_resumed_schedule_goes_on_from_the_rate_of_the_optimizer(
    name: str, arguments: tuple[Any, ...], rates: list[float]
) -> None:
    optimizer = optim.SGD([{"params": leaves(1.0), "initial_lr": 0.1}], lr=0.1)  # 0.1 is not the rate of epoch 3
    scheduler = getattr(S, name)(optimizer, *arguments, last_epoch=2)
    run = scheduler.get_last_lr()
    for _ in rates[1:]:
        scheduler.step()
        run += scheduler.get_last_lr()
    assert run == pytest.approx(rates, abs=1e-6)  # what PyTorch 2.13 prints, rounded


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
    idle = S.ReduceLROnPlateau(optim.SGD(leaves(1.0), lr=1.0), factor=0.5, patience=0, eps=0.3)
    rates = [(idle.step(1.0), idle.get_last_lr()[0])[1] for _ in range(4)]
    assert rates == [1.0, 0.5, 0.5, 0.5]  # a change by less than eps is none


def test_schedulers_of_schedulers_are_checked() -> None:
    optimizer, other = optim.SGD(leaves(1.0)), optim.SGD(leaves(1.0))
    cases = [
        (lambda: S.SequentialLR(optimizer, [S.StepLR(optimizer, 3)], [3]),
         "SequentialLR: 1 schedulers and 1 milestones; give one for each scheduler but the first."),
        (lambda: S.SequentialLR(optimizer, [S.StepLR(other, 3)], []),
         "SequentialLR: StepLR belongs to another optimizer; create all for the same one."),
        (lambda: S.ChainedScheduler([S.StepLR(optimizer, 3), S.StepLR(other, 3)]),
         "ChainedScheduler: StepLR belongs to another optimizer; create all for the same one."),
        (lambda: S.ChainedScheduler([S.StepLR(optimizer, 3)], other),
         "ChainedScheduler: StepLR belongs to another optimizer; create all for the same one."),
        (lambda: S.ChainedScheduler([]), "ChainedScheduler needs at least one scheduler."),
        (lambda: S.LRScheduler(optimizer, [lambda t, b: b] * 2),
         "LRScheduler: 2 values for schedule, 1 groups; give one for each, or one for all."),
        (lambda: S.LambdaLR(optimizer, [0.5]),
         "LambdaLR: lr_lambda=0.5; it needs a function, e.g. lambda epoch: 0.95**epoch."),
    ]  # fmt: skip
    for call, message in cases:
        with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}$"):
            call()
    message = r"^ChainedScheduler: <.* is not a scheduler that steps without a metric, such as"
    with pytest.raises(TypeError, match=message):
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


# -- Rules and clipping


POSITIVE = "positive and finite, e.g. 1e-8"
STRENGTH = "at least 0 and finite, e.g. 0.01"
SHARE = "at least 0 and below 1, e.g. 0.9"
NEEDS = {"eps": POSITIVE, **dict.fromkeys(("weight_decay", "lr_decay", "initial", "momentum_decay"), STRENGTH)}
OUT = {POSITIVE: (0.0, -1e-9, math.inf, math.nan), STRENGTH: (-1e-9, math.inf, math.nan),
       SHARE: (-1e-9, 1.0, 1.5, math.inf, math.nan)}  # fmt: skip
WITHIN = {POSITIVE: (1e-300, 5), STRENGTH: (0, 0.0, 7.5), SHARE: (0, 0.0, 0.999)}
HYPER = [(name, key) for name, make in optim.OPTIMIZERS.items() for key in inspect.signature(make).parameters]


@pytest.mark.parametrize(("name", "key"), HYPER)
def test_a_hyper_parameter_is_in_its_range(name: str, key: str) -> None:
    make = optim.OPTIMIZERS[name]
    if key in ("nesterov", "amsgrad", "centered", "decoupled"):
        for bad in (1, "yes", None):
            message = rf"^\w+: {key}={bad!r} is of type {type(bad).__name__}; it must be True or"
            with pytest.raises(TypeError, match=message):
                make(**{key: bad})
        assert type(dict(make(**{"mu": 0.5} if name == "sgd" else {}, **{key: np.True_}).hyper)[key]) is bool
        return
    if key == "adjust":
        with pytest.raises(ValueError, match=r"^muon: unknown adjust 'x'; known are original, match_rms_adamw\.$"):
            make(adjust="x")
        return
    need = NEEDS.get(key, SHARE)
    for good in WITHIN[need]:
        found = dict(make(**{key: good}).hyper)[key]
        assert (found, type(found)) == (good, float)
    for bad in OUT[need]:
        with pytest.raises(ValueError, match=rf"^\w+: {key}={re.escape(repr(bad))}; it must be {re.escape(need)}\.$"):
            make(**{key: bad})
    for bad in (True, "x", None, [0.5]):
        kind = type(bad).__name__
        message = rf"^\w+: {key}={re.escape(repr(bad))} is of type {kind}; it must be a number {re.escape(need)}\.$"
        with pytest.raises(TypeError, match=message):
            make(**{key: bad})


def test_norms_of_all_gradients() -> None:
    g = [np.array([[3.0, -1.0]]), None, np.array([-2.0]), np.zeros(0)]
    for order, norm in ((1, 6.0), (2, 14**0.5), (3, 36 ** (1 / 3)), (math.inf, 3.0), (0.5, (3**0.5 + 1 + 2**0.5) ** 2)):
        assert optim.total_norm(g, order) == pytest.approx(norm, rel=1e-14)
    assert optim.total_norm(g) == pytest.approx(14**0.5, rel=1e-14)
    assert optim.total_norm([None]) == optim.total_norm([]) == optim.total_norm([np.zeros(0)], math.inf) == 0.0
    assert optim.total_norm([np.full(2, 1e30, np.float32)]) == pytest.approx(2**0.5 * 1e30, rel=1e-6)


def test_gradients_are_scaled_to_a_limit_and_not_up_to_it() -> None:
    g = [np.array([3.0, 0.0]), None, np.array([4.0], np.float32)]
    for limit, eps in ((1.0, 1e-6), (5.0, 1e-6), (5.0, 0.5), (7.0, 1e-6), (7.0, 3.0)):
        clipped, norm = optim.clip_by_norm(g, limit, *([] if eps == 1e-6 else [eps]))
        factor = min(1.0, limit / (5.0 + eps))
        assert norm == 5.0
        np.testing.assert_array_equal(clipped[0], g[0] * factor)
        assert clipped[1] is None
        np.testing.assert_array_equal(clipped[2], g[2] * np.float32(factor))
        assert clipped[2].dtype == np.float32
    assert [None if x is None else x.tolist() for x in optim.clip_by_value(g, 3.5)] == [[3.0, 0.0], None, [3.5]]
    assert optim.clip_by_value([np.array([-9.0, 2.0])], 2)[0].tolist() == [-2.0, 2.0]


def test_gradients_of_parameters_are_clipped_in_their_place() -> None:
    a, b, c = leaves(1.0, 2.0, 3.0)
    a.grad, b.grad = np.array([3.0, 0.0]), np.array([0.0, 4.0])
    clip = nn.utils.clip_grad_norm_
    assert clip([a, b, c], math.inf) == 5.0
    assert a.grad.tolist() == [3.0, 0.0]
    assert clip([a, b, c], 1.0, norm_type=math.inf) == 4.0
    np.testing.assert_array_equal(b.grad, [0.0, 4.0 * (1 / (4.0 + 1e-6))])
    assert c.grad is None
    a.grad = np.array([np.inf, 1.0])
    message = "clip_grad_norm_: the norm of the gradients is inf; with error_if_nonfinite=False they are scaled anyway."
    with pytest.raises(RuntimeError, match=f"^{re.escape(message)}$"):
        clip(a, 1.0, error_if_nonfinite=True)
    a.grad = np.array([3.0, -3.0])
    assert nn.utils.clip_grad_value_(a, 2) is None
    assert a.grad.tolist() == [2.0, -2.0]
    for bad in (0, -1.0):
        message = f"clip_grad_norm_: norm_type={bad!r}; it must be positive, e.g. 2.0 or float('inf')."
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            clip(a, 1.0, bad)
    for call, name, bad in (
        *((lambda x: clip(a, x), "clip_grad_norm_: max_norm", bad) for bad in (0, -1.0, True, "1")),
        *((lambda x: nn.utils.clip_grad_value_(a, x), "clip_grad_value_: clip_value", bad) for bad in (0, math.inf)),
        *((lambda x: optim.clip_by_norm([], x), "clip_by_norm: limit", bad) for bad in (0.0, math.inf, math.nan, None)),
        *((lambda x: optim.clip_by_value([], x), "clip_by_value: limit", bad) for bad in (-0.5, False)),
    ):
        message = f"{name}={bad!r}; it must be a positive finite number, e.g. 1.0."
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            call(bad)
    for call in (lambda x: clip(x, 1.0), lambda x: nn.utils.clip_grad_value_(x, 1.0)):
        with pytest.raises(TypeError, match=r"^clip_grad_\w+_: this is a model; pass model\.parameters\(\)\.$"):
            call(nn.Linear(2, 1))
        with pytest.raises(TypeError, match=r"^clip_grad_\w+_: 3 is of type int; pass parameters, such as model"):
            call([a, 3])


# -- The state of a Minimizer


def trained(**more: Any) -> optim.Minimizer:
    w, b = Tensor(np.ones(2), name="w"), Tensor(np.ones(3, np.float32))
    made = optim.Minimizer([{"parameters": [w, b]}], "adam", 0.5, **{"schedule": optim.Cosine(9), **more})
    made.step([np.array([1.0, -2.0]), np.ones(3)])
    return made


NEEDS_RULE = "it needs a name, e.g. 'adam', or an optimizer, e.g. optim.adam(beta1=0.8)."
HERE = "Create the Minimizer as it was when it was saved; nothing was changed."
SAVED_IN = f"saved state. {HERE}"
COSINE = "{'name': 'cosine', 'T_max': 9, 'eta_min': 0.0}"
SAVED: list[tuple[str, Any, str]] = [
    *[(key, ..., f"no {key!r} in what was given; pass what Minimizer.state_dict returned.")
      for key in ("steps", "schedule", "plateau", "groups")],
    *[(f"groups/0/{key}", ..., f"no {key!r} in group 1; pass what Minimizer.state_dict returned.")
      for key in ("optimizer", "hyper", "parameters", "learning_rate", "states")],
    ("groups/0", 3, "no 'optimizer' in group 1; pass what Minimizer.state_dict returned."),
    ("schedule", None, f"the schedule is {COSINE} here and None in the saved state. {HERE}"),
    ("groups", [], f"the number of groups is 1 here and 0 in the saved state. {HERE}"),
    ("groups/0/optimizer", "sgd", f"the optimizer of group 1 is adam here and sgd in the saved state. {HERE}"),
    ("groups/0/hyper/beta1", 0.5, f"beta1 of the adam of group 1 is 0.9 here and 0.5 in the saved state. {HERE}"),
    ("groups/0/hyper/eps", ..., f"eps of the adam of group 1 is 1e-08 here and None in the saved state. {HERE}"),
    ("groups/0/parameters/1", ..., f"the number of parameters of group 1 is 2 here and 1 in the saved state. {HERE}"),
    ("groups/0/parameters/0/shape", [3], f"the shape of w in group 1 is [2] here and [3] in the saved state. {HERE}"),
    ("groups/0/parameters/1/dtype", "float64",
     f"the dtype of parameter 2 in group 1 is float32 here and float64 in the saved state. {HERE}"),
    ("groups/0/states/1", ..., f"the number of states of group 1 is 2 here and 1 in the saved state. {HERE}"),
    ("groups/0/states/0/2", ..., f"the length of the state of w in group 1 is 3 here and 2 in the saved state. {HERE}"),
    ("groups/0/states/0/2", np.ones(1),
     f"the kind of a number in the state of w in group 1 is True here and False in the saved state. {HERE}"),
    ("groups/0/states/1/0", np.ones(2, np.float32),
     f"the shape of an array in the state of parameter 2 in group 1 is (3,) here and (2,) in the saved state. {HERE}"),
    ("groups/0/states/1/1", np.ones(3),
     f"the dtype of an array in the state of parameter 2 in group 1 is float32 here and float64 in the {SAVED_IN}"),
    ("plateau", [1.0, 0, 0, 0], f"whether there is a plateau is False here and True in the saved state. {HERE}"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "message"), SAVED)
def test_a_saved_state_that_does_not_fit_is_named(path: str, value: Any, message: str) -> None:
    minimizer = trained()
    before, saved = minimizer.state_dict(), minimizer.state_dict()
    *way, last = [int(key) if key.isdigit() else key for key in path.split("/")]
    place: Any = saved
    for key in way:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    with pytest.raises(ValueError, match=f"^{re.escape(f'load_state_dict: {message}')}$"):
        minimizer.load_state_dict(saved)
    np.testing.assert_equal(minimizer.state_dict(), before)


def test_a_saved_state_has_the_types_of_the_one_that_is_here() -> None:
    plateau = {"schedule": optim.Plateau(patience=1)}
    one, two = trained(**plateau), trained(**plateau)
    one.observe(3.0)
    one.observe(4.0)
    saved = one.state_dict()
    assert (saved["steps"], saved["plateau"], saved["groups"][0]["learning_rate"]) == (1, [3.0, 1, 0, 0], 0.5)
    saved["groups"][0]["states"][0][2] = np.array(4.0)  # as a file may hold a number
    saved["groups"][0]["learning_rate"], saved["steps"] = np.float32(0.25), np.int64(7)
    two.load_state_dict(saved)
    m, v, count = two.groups[0].states[0]
    assert (count, type(count), two.steps, type(two.steps)) == (4, int, 7, int)
    assert (two.groups[0].learning_rate, type(two.groups[0].learning_rate)) == (0.25, float)
    np.testing.assert_allclose([m, v], [[0.1, -0.2], [0.001, 0.004]], rtol=1e-12)
    assert two.plateau == one.plateau
    assert type(two.plateau) is type(one.plateau)
    with pytest.raises(ValueError, match=r"^load_state_dict: no 'steps' in what was given"):
        two.load_state_dict(3)  # type: ignore[arg-type]
    search = optim.Minimizer([Tensor(np.ones(2), name="w")], "lbfgs", 0.1)
    w = search.parameters[0]
    for _ in range(2):
        search.step(lambda: (w**4).sum())
    other = optim.Minimizer([Tensor(w.data.copy())], "lbfgs", 0.1)
    other.load_state_dict(search.state_dict())
    assert len(other.groups[0].states[0]) == len(search.groups[0].states[0]) > 5
    v = other.parameters[0]
    assert other.step(lambda: (v**4).sum()) == search.step(lambda: (w**4).sum())
    np.testing.assert_array_equal(v.data, w.data)
    short = search.state_dict()
    short["groups"][0]["states"][0] = short["groups"][0]["states"][0][:4]
    with pytest.raises(ValueError, match=r"^load_state_dict: the length of the state of lbfgs in group 1 is 5 here"):
        other.load_state_dict(short)


# -- Groups of a Minimizer


def test_groups_have_their_own_rules_and_rates() -> None:
    a, b, c = leaves(1.0, 2.0, 3.0)
    groups = [{"parameters": a}, {"parameters": (b,), "learning_rate": 2, "optimizer": "adam", "beta1": 0.5}]
    minimizer = optim.Minimizer([*groups, {"parameters": [c], "mu": 0.25, "optimizer": optim.momentum()}], "sgd")
    rules = [group.rule for group in minimizer.groups]
    assert rules == [optim.sgd(), optim.adam(beta1=0.5), optim.momentum(0.25)]
    assert minimizer.learning_rates == [optim.sgd().learning_rate, 2.0, optim.momentum().learning_rate]
    assert [len(group.parameters) for group in minimizer.groups] == [1, 1, 1]
    assert list(groups[1]) == ["parameters", "learning_rate", "optimizer", "beta1"]  # the user's dict is unchanged
    minimizer.step([np.ones(2), None, np.full(2, 4.0)])
    np.testing.assert_allclose(a.data, 1 - minimizer.learning_rates[0], rtol=1e-15)
    assert b.data.tolist() == [2.0, 2.0]
    np.testing.assert_allclose(c.data, 3 - 4 * minimizer.learning_rates[2], rtol=1e-15)
    minimizer.groups[0].learning_rate = 0.0
    before = a.data
    minimizer.step([np.ones(2), None, None])
    np.testing.assert_array_equal(a.data, before)
    assert minimizer.steps == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        *[(lambda lr=lr: optim.Minimizer(leaves(1.0), "sgd", lr),
           f"Minimizer: learning_rate={lr!r}; it must be a finite number of at least 0, e.g. 0.01.")
          for lr in (-1e-9, math.inf, math.nan, True, "1", [1.0])],
        (lambda: optim.Minimizer([{"parameters": leaves(1.0), "learning_rate": -1.0}]),
         "Minimizer: learning_rate=-1.0; it must be a finite number of at least 0, e.g. 0.01."),
        (lambda: optim.Minimizer(leaves(1.0)).step([np.ones(2)] * 2),
         "step: 2 gradients for 1 parameters; pass one for each, or None if it has none."),
        (lambda: optim.Minimizer(leaves(1.0)).step([np.ones(3)]),
         "step: the gradient of parameter 1 has shape (3,); the parameter has (2,)."),
        (lambda: optim.Minimizer(leaves(1.0)).observe(1.0),
         "observe: only a Plateau follows a metric; pass schedule=optim.Plateau() to Minimizer."),
        (lambda: optim.Minimizer(leaves(1.0), optim.Adam),
         "Minimizer: Adam is an optimizer itself, Adam(parameters, lr=0.01).step(); here write 'adam'."),
        (lambda: optim.Minimizer(leaves(1.0), 3), f"Minimizer: optimizer=3 is of type int; {NEEDS_RULE}"),
        (lambda: optim.Minimizer([{"parameters": leaves(1.0), "max_iter": 3}], "lbfgs"),
         "Minimizer: write lbfgs(max_iter=...) instead of a group with it."),
        (lambda: optim.Minimizer([{"parameters": []}]), "Minimizer: a group has no parameters; leave it out."),
        (lambda: optim.Minimizer([]), "Minimizer: there are no parameters; pass a list of Tensors."),
        (lambda: optim.Minimizer([{"parameters": leaves(1.0)}] * 2, "lbfgs"),
         "Minimizer: lbfgs takes all parameters as one group; there are 2."),
        (lambda: optim.Minimizer(leaves(1.0), "lbfgs").step(),
         "step: lbfgs evaluates the loss at several places; pass a function, step(lambda: loss(x))."),
    ],
)  # fmt: skip
def test_what_a_minimizer_says(call: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}$"):
        call()
    assert optim.Minimizer(leaves(1.0), "sgd", 0).learning_rates == [0.0]
    assert optim.Minimizer(leaves(1.0), "sgd", np.float32(0.5)).learning_rates == [0.5]


# -- What each hyper-parameter does


GIVEN = np.random.default_rng(0)
WEIGHT, SLOPES = GIVEN.normal(size=(3, 2)), GIVEN.normal(size=(9, 3, 2))
SLOPES[3:5] *= 1e-3  # so that a mean of squares falls


def steps(rule: Any, w: Any = WEIGHT, decay: float = 0.0) -> list[Any]:
    """The steps of nine gradients, each from the weight that the one before led to."""
    state, found = rule.init(w), []
    for g in SLOPES:
        step, state = rule.update(g + decay * w, state, 0.1, w)
        found.append(step)
        w = w - step
    return found


@pytest.mark.parametrize(("name", "key"), HYPER)
def test_each_hyper_parameter_counts(name: str, key: str) -> None:
    make = optim.OPTIMIZERS[name]
    other = {"nesterov": True, "amsgrad": True, "centered": True, "decoupled": True, "adjust": "match_rms_adamw"}
    base: dict[str, Any] = {
        "nesterov": {"mu": 0.5}, "dampening": {"mu": 0.5}, "decoupled": {"weight_decay": 0.5},
    }.get(key, {}) if name != "muon" else {}  # fmt: skip
    default = inspect.signature(make).parameters[key].default
    value = (not default) if isinstance(default, bool) else other.get(key, 0.25)
    moved = np.abs(np.array(steps(make(**base, **{key: value}))) - np.array(steps(make(**base))))
    assert moved.max() > (1e-9 if key == "eps" else 1e-6)
    assert dict(make(**base, **{key: value}).hyper)[key] == value


ALIASES = [
    (optim.momentum(0.5, 0.25), optim.sgd(0.5, weight_decay=0.25)),
    (optim.nesterov(0.5, 0.25), optim.sgd(0.5, nesterov=True, weight_decay=0.25)),
    (optim.OPTIMIZERS["amsgrad"](0.5, 0.75, 0.01, 0.25), optim.adam(0.5, 0.75, 0.01, 0.25, amsgrad=True)),
]


@pytest.mark.parametrize(("alias", "rule"), ALIASES, ids=lambda rule: rule.name)
def test_an_alias_takes_the_steps_of_the_rule_that_it_stands_for(alias: Any, rule: Any) -> None:
    np.testing.assert_array_equal(steps(alias), steps(rule))


DECOUPLED = {"adamw": {}, "lion": {}, "muon": {}, "nadam": {"decoupled": True}, "radam": {"decoupled": True}}


@pytest.mark.parametrize("name", [n for n in optim.OPTIMIZERS if "weight_decay" in inspect.signature(
    optim.OPTIMIZERS[n]).parameters])  # fmt: skip
def test_weight_decay_is_in_the_gradient_or_apart_from_it(name: str) -> None:
    make = optim.OPTIMIZERS[name]
    if name not in ("adamw", "lion", "muon"):
        found = steps(make(weight_decay=0.3))
        np.testing.assert_allclose(found, steps(make(weight_decay=0.0), decay=0.3), rtol=1e-12)
    if name in DECOUPLED:
        with_decay, plain = (make(weight_decay=k, **DECOUPLED[name]) for k in (0.3, 0.0))
        first, other = steps(with_decay)[0], steps(plain)[0]
        np.testing.assert_allclose(first, other + 0.1 * 0.3 * WEIGHT, rtol=1e-12)


def test_each_scheduler_of_a_sequence_begins_at_its_own_step_0() -> None:
    optimizer = optim.SGD(leaves(1.0), lr=2.0)
    parts = [S.ConstantLR(optimizer, 0.25, 9), *(S.ExponentialLR(optimizer, k) for k in (0.5, 0.25, 0.75))]
    scheduler = S.SequentialLR(optimizer, parts, [2, 5, 7])
    found = []
    for _ in range(10):
        found += scheduler.get_last_lr()
        scheduler.step()
    schedules = [optim.Constant(0.25, 9), *(optim.Exponential(k) for k in (0.5, 0.25, 0.75))]
    whole = optim.SequentialSchedule(schedules, [2, 5, 7])
    assert found == pytest.approx([whole(t, 2.0) for t in range(10)], rel=1e-12)
    assert found == pytest.approx([0.5, 0.5, 2, 1, 0.5, 2, 0.5, 2, 1.5, 1.125], rel=1e-12)


@pytest.mark.parametrize("spend", [True, False])
def test_a_gradient_of_more_than_a_page_or_so_is_given_up(spend: bool) -> None:
    """The new parameter takes its memory; one that is small, or of a parameter that stays, is left in the list."""
    n = SMALL // 8
    weights = [Tensor(np.full(size, 2.0)) for size in (n, n + 1, n + 1, n + 1)]
    gradients: list[Any] = [np.full(n, 4.0), np.full(n + 1, 4.0), None, np.full(n + 1, 4.0)]
    update = Updater(weights, [optim.sgd()] * 4, [0.25] * 4)
    weights[3].requires_grad = False
    update(gradients, spend=spend)
    assert [g is None for g in gradients] == [False, spend, True, False]
    assert [set(w.data.tolist()) for w in weights] == [{1.0}, {1.0}, {2.0}, {2.0}]
