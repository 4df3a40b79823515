"""Each schedule against PyTorch's numbers, step for step, and as plain data that comes back equal."""

import copy
import dataclasses
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tinygrad_nn import optim
from tinygrad_nn.optim import SCHEDULES, Plateau, PlateauState, Schedule, schedule

RECORDED = json.loads((Path(__file__).parent / "reference" / "schedules.json").read_text(encoding="utf-8"))
BASE, METRICS, ROWS = RECORDED["base"], RECORDED["metrics"], RECORDED["schedules"]
IDS = [f"{row['name']}{k}" for k, row in enumerate(ROWS)]


def rates(one: Schedule, state: Any = None) -> list[float]:
    """The learning rates of 40 steps, or after each metric."""
    if not isinstance(one, Plateau):
        return [one(t, BASE) for t in range(40)]
    state, found = state or one.init(), []
    for metric in METRICS:
        state = one.update(state, metric)
        found.append(one(state, BASE))
    return found


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_the_learning_rates_are_those_of_pytorch(row: dict[str, Any]) -> None:
    # 12 digits are written down; PyTorch multiplies its rates up step by step, where here is one formula
    assert rates(schedule(row["name"], **row["arguments"])) == pytest.approx(row["rates"], rel=1e-9, abs=1e-15)


TWINS = {
    "constant": "ConstantLR", "warmup": "LinearLR", "step": "StepLR", "multistep": "MultiStepLR",
    "polynomial": "PolynomialLR",
    "cosine": "CosineAnnealingLR", "cosine_restarts": "CosineAnnealingWarmRestarts", "one_cycle": "OneCycleLR",
    "plateau": "ReduceLROnPlateau",
}  # fmt: skip


@pytest.mark.parametrize("name", TWINS)
def test_the_defaults_are_those_of_pytorch(name: str) -> None:
    right = RECORDED["defaults"][TWINS[name]]
    no_default = dataclasses.MISSING, None
    ours = {f.name: f.default for f in dataclasses.fields(SCHEDULES[name]) if f.default not in no_default}
    missing = {"last_epoch", "cycle_momentum", "base_momentum", "max_momentum"}
    assert ours == {key: value for key, value in right.items() if key not in missing}


def test_every_schedule_has_a_row() -> None:
    assert {row["name"] for row in ROWS} == set(SCHEDULES)


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_it_becomes_plain_data_and_comes_back_equal(row: dict[str, Any]) -> None:
    one = schedule(row["name"], **row["arguments"])
    again = schedule(json.loads(json.dumps(one.state_dict(), allow_nan=False)))
    assert again == one
    assert hash(again) == hash(one)
    assert rates(again) == rates(one) == rates(copy.deepcopy(one))


def test_a_plateau_continues_from_its_state() -> None:
    plateau = Plateau(patience=1, cooldown=1)
    state = plateau.init()
    for k, metric in enumerate(METRICS, 1):
        state = plateau.update(PlateauState(*json.loads(json.dumps(state, allow_nan=False))), metric)
        assert plateau(state, BASE) == rates(plateau)[k - 1]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_metric_that_is_nan_is_never_better(mode: str) -> None:
    plateau = Plateau(mode, patience=0)
    state = plateau.update(plateau.init(), math.nan)
    assert state == PlateauState(best=None, bad=0, cooldown=0, reductions=1)
    assert plateau.update(state, 1.0).best == 1.0


def test_after_the_cycle_the_last_rate_stays() -> None:
    one = optim.OneCycle(10, 0.5)
    assert one(9) == one(10) == one(1000) == pytest.approx(0.5 / 25 / 1e4, rel=1e-12)
    assert max(one(t) for t in range(10)) == one(2) == 0.5


def test_a_cycle_may_go_up_in_half_a_step_and_more() -> None:
    one = optim.OneCycle(10, pct_start=0.15, anneal_strategy="linear")
    assert one(1) == pytest.approx(1 - (1 - 1 / 25e4) * 0.5 / 8.5, rel=1e-12)


def test_restarts_come_where_they_are_due_however_late() -> None:
    one = optim.CosineRestarts(10, 2)
    assert [t for t in range(1, 300) if one(t) == 1.0] == [10, 30, 70, 150]
    assert optim.CosineRestarts(7)(7 * 10**9) == 1.0


def test_a_name_is_taken_in_any_case_and_a_base_of_one_gives_the_factor() -> None:
    assert schedule(" Cosine ", T_max=4) == optim.Cosine(4)
    assert [optim.Cosine(4)(t) for t in (0, 2, 4)] == pytest.approx([1.0, 0.5, 0.0], abs=1e-15)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedule("cos"), "unknown schedule 'cos'; known are constant, warmup, step, multistep, exponential"),
        (lambda: schedule("step", size=3), "schedule 'step' takes no 'size'; it takes step_size, gamma"),
        (lambda: schedule("step", stepsize=3), "it takes step_size, gamma. Did you mean 'step_size'?"),
        (lambda: optim.StepDecay(0), "StepDecay: step_size=0; it must be a whole number of at least 1"),
        (lambda: optim.StepDecay(2.5), "StepDecay: step_size=2.5; it must be a whole number"),
        (lambda: optim.StepDecay(True), "StepDecay: step_size=True"),
        (lambda: optim.StepDecay(3, 0.0), "StepDecay: gamma=0.0; it must be finite and above 0"),
        (lambda: optim.Exponential("fast"), "Exponential: gamma='fast' is of type str; it needs a number"),
        (lambda: optim.Exponential(math.nan), "Exponential: gamma=nan"),
        (lambda: optim.MultiStep((8, 3)), r"MultiStep: milestones=\(8, 3\); it must be steps in order"),
        (lambda: optim.MultiStep((1.5, 3)), r"MultiStep: milestones=\(1.5, 3\); it must be steps in order"),
        (lambda: optim.MultiStep((False, 3)), r"MultiStep: milestones=\(False, 3\); it must be steps in order"),
        (lambda: optim.MultiStep((-1, 3)), r"MultiStep: milestones=\(-1, 3\); it must be steps in order"),
        (lambda: optim.Warmup(0.0), "Warmup: start_factor=0.0; it must be above 0 and at most 1"),
        (lambda: optim.Warmup(end_factor=1.5), "Warmup: end_factor=1.5"),
        (lambda: optim.Cosine(10, math.inf), "Cosine: eta_min=inf; it must be finite"),
        (lambda: optim.CosineRestarts(5, 0), "CosineRestarts: T_mult=0"),
        (lambda: optim.OneCycle(1), "OneCycle: total_steps=1; it must be a whole number of at least 2"),
        (lambda: optim.OneCycle(3), "OneCycle: pct_start=0.3; it must be more than one step, 1 / 3, and at most 1"),
        (lambda: optim.OneCycle(30, three_phase=True, pct_start=0.6), "OneCycle: pct_start=0.6; .* at most 0.5"),
        (lambda: optim.OneCycle(30, anneal_strategy="sine"), "anneal_strategy='sine'; it must be 'cos' or 'linear'"),
        *[(make, f"{value}; it must be") for value in (0.0, -1.0, math.inf, math.nan) for make in (
            lambda value=value: optim.Constant(value), lambda value=value: optim.StepDecay(3, value),
            lambda value=value: optim.MultiStep((3,), value), lambda value=value: optim.Exponential(value),
            lambda value=value: optim.OneCycle(30, max_lr=value),
            lambda value=value: optim.OneCycle(30, div_factor=value),
            lambda value=value: optim.OneCycle(30, final_div_factor=value),
        )],
        (lambda: Plateau("least"), "Plateau: mode='least'; it must be 'min' or 'max'"),
        (lambda: Plateau(factor=1.0), "Plateau: factor=1.0; it must be above 0 and below 1"),
        (lambda: Plateau(patience=-1), "Plateau: patience=-1; it must be a whole number of at least 0"),
        (lambda: optim.Chained([]), r"Chained: schedules=\[\]; it must be at least one schedule"),
        (lambda: optim.Chained([0.1]), "Chained: 0.1 is not a schedule of the step, such as Warmup"),
        (lambda: optim.Chained([Plateau()]), "is not a schedule of the step"),
        (
            lambda: optim.SequentialSchedule([optim.Warmup()], [3]),
            r"milestones=\(3,\); it must be 0 steps, one for each",
        ),
        (lambda: Schedule()(0), "Schedule must say what its learning rate is"),
    ],
)
def test_what_is_no_good_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError, NotImplementedError), match=message):
        make()


def test_names_of_earlier_versions():
    assert optim.Sequential is optim.SequentialSchedule
    assert optim.State is optim.OptimizerState
    with pytest.raises(AttributeError, match="'Sequentual'"):
        optim.Sequentual  # noqa: B018


LEAST = {  # whole numbers of each schedule, and the least that is taken
    "constant": {"total_iters": 0}, "warmup": {"total_iters": 1}, "step": {"step_size": 1},
    "polynomial": {"total_iters": 1}, "cosine": {"T_max": 1}, "cosine_restarts": {"T_0": 1, "T_mult": 1},
    "one_cycle": {"total_steps": 2}, "plateau": {"patience": 0, "cooldown": 0},
}  # fmt: skip
ABOVE = {  # other numbers, and what they must be above: all are finite
    "constant": {"factor": 0}, "step": {"gamma": 0}, "multistep": {"gamma": 0}, "exponential": {"gamma": 0},
    "polynomial": {"power": 0}, "cosine": {"eta_min": None}, "cosine_restarts": {"eta_min": None},
    "one_cycle": {"max_lr": 0, "pct_start": 0, "div_factor": 0, "final_div_factor": 0},
    "plateau": {"threshold": None, "min_lr": None, "eps": None}, "warmup": {},
}  # fmt: skip
NEEDED = {
    "step": {"step_size": 30}, "multistep": {"milestones": (3,)}, "exponential": {"gamma": 0.5}, "cosine": {"T_max": 9},
    "cosine_restarts": {"T_0": 9}, "one_cycle": {"total_steps": 30, "pct_start": 0.9},
}  # fmt: skip


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, keys in LEAST.items() for key in keys])
def test_a_count_is_a_whole_number_and_large_enough(name: str, key: str) -> None:
    least, kind = LEAST[name][key], SCHEDULES[name].__name__
    for good in (least, least + 1):
        assert getattr(schedule(name, **{**NEEDED.get(name, {}), key: good}), key) == good
    for bad in (least - 1, True, False, float(least + 1), "3", None):
        message = f"{kind}: {key}={bad!r}; it must be a whole number of at least {least}."
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            schedule(name, **{**NEEDED.get(name, {}), key: bad})


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, keys in ABOVE.items() for key in keys])
def test_a_number_is_finite_and_in_its_range(name: str, key: str) -> None:
    above, kind = ABOVE[name][key], SCHEDULES[name].__name__
    for good in (0.5, 1, *([] if above == 0 else [0, -2.5])):
        assert getattr(schedule(name, **{**NEEDED.get(name, {}), key: good}), key) == good
    for bad in (math.inf, -math.inf, math.nan, *([] if above is None else [0, 0.0, -0.5])):
        message = f"{kind}: {key}={bad!r}; it must be finite{'' if above is None else ' and above 0'}."
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            schedule(name, **{**NEEDED.get(name, {}), key: bad})
    for bad in (True, "0.5", [0.5]):
        message = f"{kind}: {key}={bad!r} is of type {type(bad).__name__}; it needs a number."
        with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
            schedule(name, **{**NEEDED.get(name, {}), key: bad})


@pytest.mark.parametrize(
    ("name", "key", "good", "bad", "need"),
    [
        ("warmup", "start_factor", (1e-9, 1, 1.0), (0, -0.1, 1.001), "above 0 and at most 1"),
        ("warmup", "end_factor", (0, 0.5, 1), (-0.001, 1.001), "at least 0 and at most 1"),
        ("plateau", "factor", (1e-9, 0.999), (0, 1, 1.5, -0.5), "above 0 and below 1"),
        ("plateau", "mode", ("min", "max"), ("least", ""), "'min' or 'max'"),
        ("plateau", "threshold_mode", ("rel", "abs"), ("relative", ""), "'rel' or 'abs'"),
        ("one_cycle", "anneal_strategy", ("cos", "linear"), ("sine", ""), "'cos' or 'linear'"),
        ("one_cycle", "pct_start", (1 / 29.9, 1), (1 / 30, 1.01), "more than one step, 1 / 30, and at most 1"),
        ("multistep", "milestones", ((), (0,), (0, 3), (3, 3)), ((4, 3), (-1,)), "steps in order, e.g. (30, 80)"),
    ],
)
def test_a_range_of_its_own(name: str, key: str, good: Any, bad: Any, need: str) -> None:
    for value in good:
        assert getattr(schedule(name, **{**NEEDED.get(name, {}), key: value}), key) == value
    for value in bad:
        message = f"{SCHEDULES[name].__name__}: {key}={value!r}; it must be {need}."
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            schedule(name, **{**NEEDED.get(name, {}), key: value})


ORDER = {  # the order in which each schedule looks at its arguments
    "constant": "factor total_iters", "warmup": "start_factor end_factor total_iters", "step": "step_size gamma",
    "multistep": "milestones gamma", "polynomial": "total_iters power", "cosine": "T_max eta_min",
    "cosine_restarts": "T_0 T_mult eta_min",
    "one_cycle": "total_steps max_lr pct_start div_factor final_div_factor anneal_strategy",
    "plateau": "mode threshold_mode factor threshold min_lr eps patience cooldown",
}  # fmt: skip


@pytest.mark.parametrize("name", ORDER)
def test_of_several_bad_arguments_the_first_is_named(name: str) -> None:
    keys = ORDER[name].split()
    for first in range(len(keys)):
        with pytest.raises((TypeError, ValueError), match=rf"^{SCHEDULES[name].__name__}: {keys[first]}='none'"):
            schedule(name, **{**NEEDED.get(name, {}), **dict.fromkeys(keys[first:], "none")})


@pytest.mark.parametrize(("eps", "rate"), [(0.25, 0.5), (0.249, 0.25)])
def test_a_change_as_small_as_eps_is_not_made(eps: float, rate: float) -> None:
    assert Plateau(factor=0.5, eps=eps)(PlateauState(reductions=1), 0.5) == rate


def test_a_factor_of_a_plateau_is_a_number() -> None:
    for bad in (True, "0.5", None):
        with pytest.raises(TypeError, match=f"^Plateau: factor={bad!r} is of type {type(bad).__name__}; it needs a n"):
            Plateau(factor=bad)  # type: ignore[arg-type]


def test_a_cycle_of_three_phases_goes_up_at_most_half_of_the_way() -> None:
    assert optim.OneCycle(30, pct_start=0.5, three_phase=True).pct_start == 0.5
    message = "OneCycle: pct_start=0.51; it must be more than one step, 1 / 30, and at most 0.5."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        optim.OneCycle(30, pct_start=0.51, three_phase=True)


def test_the_corners_of_a_cycle() -> None:
    """Up to step 8 of 30, in three phases down to step 16, then on to the last step."""
    for kind in ("cos", "linear"):
        two = optim.OneCycle(30, pct_start=0.3, anneal_strategy=kind, max_lr=2.0, div_factor=4.0, final_div_factor=10.0)
        three = dataclasses.replace(two, three_phase=True)
        assert [two(t) for t in (0, 8, 29, 40)] == pytest.approx([0.5, 2.0, 0.05, 0.05], rel=1e-12)
        assert [three(t) for t in (0, 8, 16, 29, 40)] == pytest.approx([0.5, 2.0, 0.5, 0.05, 0.05], rel=1e-12)
        assert two(4) == pytest.approx(1.25, rel=1e-12)  # half of the way, on both curves
        assert three(12) == pytest.approx(1.25, rel=1e-12)
        assert two(4, 99.0) == two(4)  # max_lr takes the place of the base


def test_a_metric_that_is_as_good_as_the_threshold_asks_is_no_better() -> None:
    for mode, sign in (("min", -1), ("max", 1)):
        for how, step in (("rel", 0.5 * 8), ("abs", 0.5)):
            plateau = Plateau(mode, threshold=0.5, threshold_mode=how, patience=5)
            state = plateau.update(plateau.init(), 8.0)
            assert plateau.update(state, 8.0 + sign * step) == PlateauState(8.0, 1, 0, 0)
            better = 8.0 + sign * (step + 0.25)
            assert plateau.update(state, better) == PlateauState(better, 0, 0, 0)
        worst = Plateau(mode)
        assert worst.update(worst.init(), -sign * math.inf) == PlateauState(None, 1, 0, 0)
        assert worst.update(worst.init(), sign * math.inf).best == sign * math.inf


def test_a_cooldown_counts_no_bad_epoch() -> None:
    plateau = Plateau(patience=1, cooldown=2)
    states = [PlateauState(1.0, 0, 0, 0)]
    for _ in range(7):
        states.append(plateau.update(states[-1], 1.0))
    assert states[1:] == [
        PlateauState(1.0, 1, 0, 0), PlateauState(1.0, 0, 2, 1), PlateauState(1.0, 0, 1, 1), PlateauState(1.0, 0, 0, 1),
        PlateauState(1.0, 1, 0, 1), PlateauState(1.0, 0, 2, 2), PlateauState(1.0, 0, 1, 2),
    ]  # fmt: skip


def test_reductions_end_at_the_least_rate_and_where_they_would_be_too_small() -> None:
    plateau = Plateau(factor=0.5, min_lr=0.2, eps=0.05)
    rates = [plateau(PlateauState(reductions=n), 1.0) for n in range(5)]
    assert rates == [1.0, 0.5, 0.25, 0.25, 0.25]  # 0.25 - 0.2 is no more than eps
    assert dataclasses.replace(plateau, eps=0.049)(PlateauState(reductions=4), 1.0) == 0.2
