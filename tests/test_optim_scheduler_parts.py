"""The schedulers in PyTorch's form, part by part: rates that others write, states, sequences, momentum."""

import math
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Tensor, optim

S = optim.lr_scheduler


def made(*rates: float, **options: Any) -> Any:
    return optim.SGD([{"params": [Tensor(np.ones(2))], "lr": rate} for rate in rates], lr=1.0, **options)


def rate_of(optimizer: Any) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


@pytest.mark.parametrize(
    ("make", "schedule"),
    [
        (lambda o: S.ExponentialLR(o, 0.3), optim.Exponential(0.3)),
        (lambda o: S.LinearLR(o, 0.7, 0.3, 7), optim.Warmup(0.7, 0.3, 7)),
        (lambda o: S.CosineAnnealingLR(o, 7, 0.01), optim.Cosine(7, 0.01)),
    ],
)
def test_unmodified_rates_equal_the_schedule_to_the_last_bit(make: Any, schedule: Any) -> None:
    optimizer = made(0.1, 0.7)
    scheduler = make(optimizer)
    for t in range(30):
        assert rate_of(optimizer) == [schedule(t, 0.1), schedule(t, 0.7)]
        scheduler.step()


def test_a_rate_that_somebody_wrote_is_the_one_to_go_on_from() -> None:
    """Each rate is that of PyTorch's recursion from the last one."""
    optimizer = made(1.0, 0.5)
    scheduler = S.CosineAnnealingLR(optimizer, 8, 0.25)
    for t in range(1, 5):
        before = [2.0, 0.75] if t == 2 else rate_of(optimizer)
        for group, rate in zip(optimizer.param_groups, before, strict=True):
            group["lr"] = rate
        scheduler.step()
        ratio = (1 + math.cos(math.pi * t / 8)) / (1 + math.cos(math.pi * (t - 1) / 8))
        assert rate_of(optimizer) == pytest.approx([0.25 + ratio * (rate - 0.25) for rate in before], rel=1e-12)
    scheduler.step(2)  # but a step that is named counts from the first rates
    assert rate_of(optimizer) == [optim.Cosine(8, 0.25)(2, 1.0), optim.Cosine(8, 0.25)(2, 0.5)]


def test_at_its_smallest_rate_a_cosine_goes_on_from_what_another_scheduler_wrote() -> None:
    """Each rate is that of PyTorch's recursion, which adds the first rise to the rate that it finds there."""
    optimizer = made(1.0, 0.5)
    cosine, decay = S.CosineAnnealingLR(optimizer, 3, 0.25), S.ExponentialLR(optimizer, 0.5)
    expected = [1.0, 0.5]
    for t in range(1, 7):
        up = (1 - math.cos(math.pi / 3)) / 2
        ratio = (1 + math.cos(math.pi * t / 3)) / (1 + math.cos(math.pi * (t - 1) / 3)) if t != 4 else 0.0
        expected = [
            (rate + (first - 0.25) * up if t == 4 else 0.25 + ratio * (rate - 0.25)) * 0.5
            for rate, first in zip(expected, (1.0, 0.5), strict=True)
        ]
        cosine.step()
        decay.step()
        assert rate_of(optimizer) == pytest.approx(expected, rel=1e-12)


def test_from_a_rate_of_nothing_the_first_rates_come_back() -> None:
    optimizer = made(1.0, 0.5)
    scheduler = S.CosineAnnealingLR(optimizer, 2)
    optimizer.param_groups[0]["lr"] = 4.0
    scheduler.step()
    assert rate_of(optimizer) == pytest.approx([2.0, 0.25], rel=1e-12)
    optimizer.param_groups[1]["lr"] = 4.0
    for expected in ([0, 0], [0.5, 0.25], [1.0, 0.5]):
        scheduler.step()
        assert rate_of(optimizer) == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda o: S.LambdaLR(o, lambda t: 1 / (1 + t)), 0.5),
        (lambda o: S.LambdaLR(o, [lambda t: 1 / (1 + t)]), 0.5),
        (lambda o: S.CosineAnnealingWarmRestarts(o, 3), 0.75),
        (lambda o: S.OneCycleLR(o, 2.0, 11, cycle_momentum=False), optim.OneCycle(11, 2.0)(1)),
        (lambda o: S.StepLR(o, 5), 9.0),
        (lambda o: S.ExponentialLR(o, 0.5), 4.5),
    ],
)
def test_some_forget_what_somebody_wrote_as_in_pytorch(make: Any, expected: float) -> None:
    optimizer = made(1.0)
    scheduler = make(optimizer)
    optimizer.param_groups[0]["lr"] = 9.0
    scheduler.step()
    assert rate_of(optimizer) == pytest.approx([expected], rel=1e-12)
    assert scheduler.get_last_lr() == rate_of(optimizer)
    scheduler.get_last_lr().clear()  # a copy
    assert scheduler.get_last_lr() == rate_of(optimizer)


def test_factors_of_the_last_rate_begin_with_the_second_step() -> None:
    seen: list[int] = []

    def factor(t: int) -> float:
        seen.append(t)
        return 0.5

    optimizer = made(1.0, 8.0)
    scheduler = S.MultiplicativeLR(optimizer, [factor, lambda t: 0.25])
    assert (scheduler.last_epoch, rate_of(optimizer), scheduler.get_last_lr()) == (0, [1.0, 8.0], [1.0, 8.0])
    scheduler.step()
    optimizer.param_groups[0]["lr"] = 4.0
    scheduler.step(epoch=7)
    assert (scheduler.last_epoch, rate_of(optimizer), scheduler.get_last_lr()) == (7, [2.0, 0.5], [2.0, 0.5])
    scheduler.step(0)
    assert (scheduler.last_epoch, rate_of(optimizer)) == (0, [2.0, 0.5])
    assert seen == [1, 7]


MAKE: dict[str, Any] = {
    "CosineAnnealingLR": lambda o: S.CosineAnnealingLR(o, 8, 0.25),
    "LambdaLR": lambda o: S.LambdaLR(o, lambda t: 1 / (1 + t)),
    "OneCycleLR": lambda o: S.OneCycleLR(o, 2.0, 20),
    "SequentialLR": lambda o: S.SequentialLR(o, [S.ConstantLR(o, 0.25, 9), S.ExponentialLR(o, 0.5)], [4]),
    "ChainedScheduler": lambda o: S.ChainedScheduler([S.ConstantLR(o, 0.25, 4), S.ExponentialLR(o, 0.5)]),
}


@pytest.mark.parametrize("name", MAKE)
def test_a_scheduler_goes_on_from_its_state(name: str) -> None:
    one, two = made(1.0, 0.5, momentum=0.5), made(1.0, 0.5, momentum=0.5)
    first, second = MAKE[name](one), MAKE[name](two)
    first.step()
    one.param_groups[0]["lr"] = 3.0
    for _ in range(2):
        first.step()
    second.load_state_dict(first.state_dict())
    two.load_state_dict(one.state_dict())
    assert second.state_dict() == first.state_dict()
    for _ in range(4):
        first.step()
        second.step()
        assert rate_of(two) == rate_of(one)
        assert second.get_last_lr() == first.get_last_lr() == rate_of(one)
    assert second.state_dict() == first.state_dict()


def test_a_state_of_another_schedule_is_refused() -> None:
    scheduler = S.StepLR(made(1.0), 3)
    before = scheduler.state_dict()
    for saved, told in ((S.StepLR(made(1.0), 4).state_dict(), "[{'name': 'step', 'step_size': 4, 'gamma': 0.1}]"),
                        ({**before, "more": 1}, str(before["schedules"])),
                        ({"last_epoch": 3}, "None")):  # fmt: skip
        with pytest.raises(ValueError, match=r"^StepLR: the schedule is \[\{'name': 'step', 'step_size': 3") as error:
            scheduler.load_state_dict(saved)
        message = f"here and {told} in the saved state. Create the scheduler as it was when it was saved"
        assert message in str(error.value)
        assert scheduler.state_dict() == before


# -- Sequences and chains


@pytest.mark.parametrize(
    ("milestones", "expected"),
    [([2, 4], [0.5, 0.5, 1.0, 0.5, 4.0, 2.0]), ([0, 3], [1.0, 0.5, 0.25, 4.0, 2.0, 1.0]),
     ([2, 2], [0.5, 0.5, 4.0, 2.0, 1.0, 0.5]), ([1, 9], [0.5, 1.0, 0.5, 0.25, 0.125, 0.0625])],
)  # fmt: skip
def test_a_sequence_begins_with_the_scheduler_whose_turn_it_is(milestones: list[int], expected: list[float]) -> None:
    optimizer = made(1.0)
    parts = [S.ConstantLR(optimizer, 0.5, 9), S.ExponentialLR(optimizer, 0.5),
             S.LambdaLR(optimizer, lambda t: 4 * 0.5**t)]  # fmt: skip
    scheduler = S.SequentialLR(optimizer, parts, milestones)
    assert scheduler.last_epoch == 0
    found = []
    for _ in range(6):
        assert scheduler.get_last_lr() == rate_of(optimizer)
        found += scheduler.get_last_lr()
        scheduler.step()
    assert found == pytest.approx(expected, rel=1e-12)
    assert scheduler.last_epoch == 6


def test_one_scheduler_is_a_sequence_too_and_a_chain_finds_its_optimizer() -> None:
    optimizer = made(1.0)
    scheduler = S.SequentialLR(optimizer, [S.ExponentialLR(optimizer, 0.5)], [])
    for _ in range(3):
        scheduler.step()
    assert scheduler.get_last_lr() == [0.125]
    for given in ([], [optimizer]):
        assert S.ChainedScheduler([S.StepLR(optimizer, 3)], *given).optimizer is optimizer
    with pytest.raises(ValueError, match=r"^ChainedScheduler needs at least one scheduler\.$"):
        S.ChainedScheduler([], optimizer)
    with pytest.raises(TypeError, match=r"^SequentialLR: 3 is not a scheduler that steps without a metric"):
        S.SequentialLR(optimizer, [3], [])


# -- The cycle


def test_a_cycle_hands_its_form_on_and_has_one_top_and_one_momentum_for_each_group() -> None:
    form = {"pct_start": 0.4, "anneal_strategy": "linear", "div_factor": 4.0, "final_div_factor": 10.0,
            "three_phase": True}  # fmt: skip
    optimizer = made(1.0, 1.0, momentum=0.5)
    scheduler = S.OneCycleLR(
        optimizer, [2.0, 3.0], epochs=3, steps_per_epoch=5, base_momentum=[0.5, 0.6], max_momentum=[0.9, 0.8], **form,
    )  # fmt: skip
    curve = optim.OneCycle(15, **form)
    assert [group["initial_lr"] for group in optimizer.param_groups] == [0.5, 0.75]
    for t in [*range(15), 4]:
        if t:
            scheduler.step(*([4] if scheduler.last_epoch == 14 else []))
        assert rate_of(optimizer) == pytest.approx([curve(t, 2.0), curve(t, 3.0)], rel=1e-12)
        momenta = [group["momentum"] for group in optimizer.param_groups]
        assert momenta == pytest.approx([curve.between(t, 0.9, 0.5, 0.9), curve.between(t, 0.8, 0.6, 0.8)], rel=1e-12)


def test_a_cycle_goes_on_where_a_loaded_training_stands() -> None:
    optimizer = made(0.25)
    optimizer.param_groups[0]["initial_lr"] = 0.125
    scheduler = S.OneCycleLR(optimizer, 2.0, 20, last_epoch=3)
    assert (scheduler.last_epoch, optimizer.param_groups[0]["initial_lr"]) == (4, 0.125)
    assert rate_of(optimizer) == pytest.approx([optim.OneCycle(20, 2.0)(4)], rel=1e-12)


def test_a_cycle_of_momentum_needs_one_for_each_group() -> None:
    optimizer = optim.Adagrad([Tensor(np.ones(2))])
    with pytest.raises(ValueError, match=r"^OneCycleLR: Adagrad has no momentum; write cycle_momentum=False\.$"):
        S.OneCycleLR(optimizer, 1.0, 20)
    assert "initial_lr" not in optimizer.param_groups[0]
    assert S.OneCycleLR(optimizer, 1.0, 20, cycle_momentum=False).momenta is None
    with pytest.raises(TypeError, match=r"^OneCycleLR: 3 of type int has no param_groups"):
        S.OneCycleLR(3, 1.0, 20)
    with pytest.raises(ValueError, match=r"^OneCycleLR: 2 values for max_lr, 1 groups; give one for each"):
        S.OneCycleLR(optimizer, [1.0, 2.0], 20)
    with pytest.raises(ValueError, match=r"^OneCycleLR: 3 values for momentum, 1 groups; give one for each"):
        S.OneCycleLR(made(1.0, momentum=0.5), 1.0, 20, base_momentum=[0.5] * 3)
    with pytest.raises(ValueError, match=r"^ReduceLROnPlateau: 3 values for min_lr, 1 groups; give one for each"):
        S.ReduceLROnPlateau(optimizer, min_lr=[0.0] * 3)


@pytest.mark.parametrize(("make", "expected"), [
    (lambda o: S.MultiStepLR(o, [3, 1], 0.5), [2.0, 1.0, 1.0, 0.5, 0.5]),
    (lambda o: S.MultiStepLR(o, [2, 2], gamma=0.5), [2.0, 2.0, 0.5, 0.5]),
    (lambda o: S.PolynomialLR(o, 4, 2.0), [2.0, 1.125, 0.5, 0.125, 0.0, 0.0]),
    (lambda o: S.PolynomialLR(o, total_iters=2), [2.0, 1.0, 0.0, 0.0]),
])  # fmt: skip
def test_milestones_and_powers_by_position(make: Any, expected: list[float]) -> None:
    optimizer = made(2.0)
    scheduler, found = make(optimizer), []
    for _ in expected:
        found += rate_of(optimizer)
        scheduler.step()
    np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("length", [{}, {"epochs": 3}, {"steps_per_epoch": 3}])
def test_a_cycle_needs_its_whole_length(length: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="OneCycleLR needs its length: total_steps=, or epochs= and steps_per_epoch="):
        S.OneCycleLR(made(1.0, momentum=0.9), 1.0, **length)


def test_a_cycle_may_come_to_its_last_step_and_no_further() -> None:
    scheduler = S.OneCycleLR(made(1.0, momentum=0.9), 1.0, epochs=2, steps_per_epoch=2)
    for _ in range(4):
        scheduler.step()
    with pytest.raises(ValueError, match=r"OneCycleLR: step 5 of 4; give it more total_steps=\."):
        scheduler.step()


def test_a_cycle_of_momentum_leaves_the_second_beta_alone() -> None:
    optimizer = optim.Adam([Tensor(np.ones(2))], betas=(0.5, 0.75))
    scheduler = S.OneCycleLR(optimizer, 1.0, 10)
    assert optimizer.param_groups[0]["betas"] == (0.95, 0.75)
    for _ in range(2):
        scheduler.step()
    np.testing.assert_allclose(optimizer.param_groups[0]["betas"], (0.85, 0.75), rtol=1e-14)


def test_two_schedules_for_one_group_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="LambdaLR") as told:
        S.LambdaLR(made(1.0), [lambda t: 1.0, lambda t: 0.5])
    assert "schedule" in str(told.value)


SOME = {
    "SequentialLR": lambda o: S.SequentialLR(o, [S.StepLR(o, 3), S.StepLR(o, 5)], [4]),
    "ChainedScheduler": lambda o: S.ChainedScheduler([S.StepLR(o, 3), S.StepLR(o, 5)]),
    "ReduceLROnPlateau": lambda o: S.ReduceLROnPlateau(o),
}


@pytest.mark.parametrize("name", SOME)
def test_a_scheduler_made_of_others_loads_all_of_a_state_or_nothing(name: str) -> None:
    scheduler = SOME[name](made(1.0))
    scheduler.step(*([0.5] if name == "ReduceLROnPlateau" else []))
    before = scheduler.state_dict()
    wrong: list[tuple[Any, str]] = [
        (3, "load_state_dict takes what state_dict"),
        ({**before, "more": 1}, "a dict of "),
        ({}, "a dict of "),
    ]
    if name != "ReduceLROnPlateau":
        first, second = before["schedulers"]
        other = S.StepLR(made(1.0), 6).state_dict()
        wrong += [
            ({**before, "schedulers": [{**first, "last_epoch": 9}, other]}, "StepLR: the schedule is"),
            ({**before, "schedulers": [{**first, "last_epoch": 9}, 3]}, "StepLR: the schedule is"),
            ({**before, "schedulers": [first]}, "2 schedulers here and 1 in the saved state"),
            ({**before, "schedulers": [first, second, second]}, "2 schedulers here and 3 in the saved state"),
        ]
    for saved, message in wrong:
        with pytest.raises(ValueError, match=message):
            scheduler.load_state_dict(saved)
        assert scheduler.state_dict() == before


@pytest.mark.parametrize(
    "make",
    [lambda o: S.PolynomialLR(o, 2), lambda o: S.LinearLR(o, 1.0, 0.0, 2), lambda o: S.ConstantLR(o, 0.5, 2)],
)
def test_after_the_end_of_a_schedule_the_rate_that_somebody_wrote_stays(make: Any) -> None:
    """PyTorch's schedulers change nothing after their end, also if their last rate is 0."""
    optimizer = made(1.0, 0.5)
    scheduler = make(optimizer)
    for _ in range(3):
        scheduler.step()
    last = rate_of(optimizer)[1]
    optimizer.param_groups[0]["lr"] = 0.25
    for _ in range(3):
        scheduler.step()
        assert rate_of(optimizer) == scheduler.get_last_lr() == [0.25, last]
