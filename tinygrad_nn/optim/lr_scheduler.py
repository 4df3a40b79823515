"""Learning rate schedulers with PyTorch's interface: objects that set ``group["lr"]`` of an optimizer in ``step()``.

Arguments, defaults and meaning are those of ``torch.optim.lr_scheduler``. Each is a thin layer over a schedule of
`optim`, which computes the learning rate of step t. If the user or another scheduler writes to ``group["lr"]``, the
schedule continues from that value, as in PyTorch.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from ..common.spelling import named_options, no_attribute
from ..tensor import raw
from . import schedules
from .plateau import Plateau, PlateauState
from .scheduler_inputs import check_state, factor_schedules, per_group

Rate = Callable[[int, float], float]
__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]


def __getattr__(name: str) -> object:
    raise no_attribute(f"module {__name__!r}", name, __all__)


class LRScheduler:
    r"""Applies a schedule to an optimizer: call ``step()`` after each epoch, or after each step of the optimizer.

    .. math:: \eta_t = f(t, \eta)

    Args:
        optimizer: one with ``param_groups``, such as ``optim.SGD(...)``.
        schedule: f, one for all groups or one for each.
        last_epoch: -1, or the last epoch that a loaded training has finished. Then ``group["lr"]`` has to be the
            learning rate of the next epoch, and ``group["initial_lr"]`` η: both are in the optimizer's state.

    Attributes:
        last_epoch: t; base_lrs: η of each group.

    Raises:
        TypeError: the optimizer has no ``param_groups``.

    Example:
        >>> import numpy as np
        >>> from tinygrad_nn import Tensor, optim
        >>> optimizer = optim.SGD([Tensor(np.ones(3))], lr=0.1)
        >>> scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
        >>> rates = []
        >>> for epoch in range(5):
        ...     rates += scheduler.get_last_lr()
        ...     scheduler.step()
        >>> rates
        [0.1, 0.1, 0.05, 0.05, 0.025]
    """

    overwrites: ClassVar[bool] = False  # whether changes of group["lr"] by others are ignored, as in PyTorch

    def __init__(self, optimizer: Any, schedule: Rate | Sequence[Rate], last_epoch: int = -1) -> None:
        name = type(self).__name__
        if not hasattr(optimizer, "param_groups"):
            raise TypeError(
                f"{name}: {optimizer!r:.60} of type {type(optimizer).__name__} has no param_groups; pass "
                "optim.SGD(...) or its like. A Minimizer takes its schedule itself, schedule=optim.StepDecay(30)."
            )
        self.optimizer = optimizer
        for k, group in enumerate(optimizer.param_groups):
            if last_epoch != -1 and "initial_lr" not in group:
                raise KeyError(f"{name}: group {k} has no 'initial_lr'; load the optimizer's state or omit last_epoch.")
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs = [float(raw(group["initial_lr"])) for group in optimizer.param_groups]
        self.schedules = per_group(name, "schedule", schedule, len(self.base_lrs))
        self._bases = list(self.base_lrs)
        self._last_lr: list[float] = []
        self.last_epoch = last_epoch
        if last_epoch == -1 or self.overwrites:
            self.step()
            return
        self.last_epoch += 1
        rates = [float(raw(group["lr"])) for group in optimizer.param_groups]
        now = enumerate(zip(self.schedules, rates, strict=True))
        self._bases = [self._base(k, schedule, self.last_epoch, rate) for k, (schedule, rate) in now]
        self._last_lr = rates

    def __repr__(self) -> str:
        return f"{type(self).__name__}(step {self.last_epoch}, lr {', '.join(f'{r:.4g}' for r in self.get_last_lr())})"

    def step(self, epoch: int | None = None) -> None:
        """Advance by one, or to the given step, and set the learning rate of each group."""
        before, self.last_epoch = self.last_epoch, self.last_epoch + 1 if epoch is None else epoch
        for k, (group, rate) in enumerate(zip(self.optimizer.param_groups, self.schedules, strict=True)):
            if epoch is not None or self.overwrites:
                self._bases[k] = self.base_lrs[k]
            elif before >= 0 and raw(group["lr"]) and schedules.is_zero_from(rate, before):
                continue  # the schedule has ended; the user or another scheduler wrote this rate
            else:
                self._bases[k] = self._base(k, rate, before, float(raw(group["lr"])))
            group["lr"] = float(rate(self.last_epoch, self._bases[k]))
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _base(self, k: int, rate: Rate, t: int, rate_now: float) -> float:
        """Return the base with which the schedule gives the learning rate `rate_now` at step t."""
        if t < 0:
            return rate_now
        least = rate(t, 0.0)
        factor = rate(t, 1.0) - least  # a schedule is a factor of its base, above a smallest rate
        if not factor:  # the rate does not depend on the base: at its smallest, or at every step
            rise = rate(t + 1, 1.0) - rate(t + 1, 0.0)
            return self.base_lrs[k] + ((rate_now - least) / rise if rise else 0.0)
        return self._bases[k] if self._last_lr and rate_now == self._last_lr[k] else (rate_now - least) / factor

    def get_last_lr(self) -> list[float]:
        """Return the current learning rate of each group."""
        return list(self._last_lr)

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain data; functions are not included."""
        return {
            "last_epoch": self.last_epoch,
            "base_lrs": list(self.base_lrs),
            "_last_lr": list(self._last_lr),
            "bases": list(self._bases),
            "schedules": [one.state_dict() if isinstance(one, schedules.Schedule) else None for one in self.schedules],
        }

    def load_state_dict(self, state_dict: Any) -> None:
        """Load the result of `state_dict`; the learning rates themselves are in the optimizer's state.

        Raises:
            ValueError: the state is of another schedule; nothing is changed then.
        """
        here, state_dict = self.state_dict(), state_dict if isinstance(state_dict, Mapping) else {}
        if set(state_dict) != set(here) or state_dict["schedules"] != here["schedules"]:
            raise ValueError(
                f"{type(self).__name__}: the schedule is {here.get('schedules')} here and "
                f"{state_dict.get('schedules')!s:.200} in the saved state. Create the scheduler as it was when it was "
                "saved; nothing was changed."
            )
        self.last_epoch = int(state_dict["last_epoch"])
        self.base_lrs, self._last_lr = list(state_dict["base_lrs"]), list(state_dict["_last_lr"])
        self._bases = list(state_dict["bases"])


@named_options()
class StepLR(LRScheduler):
    """`optim.StepDecay`: multiplies by a factor every `step_size` epochs. As ``torch.optim.lr_scheduler.StepLR``."""

    def __init__(self, optimizer: Any, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        super().__init__(optimizer, schedules.StepDecay(step_size, gamma), last_epoch)


@named_options()
class MultiStepLR(LRScheduler):
    """`optim.MultiStep`: multiplies by a factor at each milestone. As ``torch.optim.lr_scheduler.MultiStepLR``."""

    def __init__(self, optimizer: Any, milestones: Sequence[int], gamma: float = 0.1, last_epoch: int = -1) -> None:
        super().__init__(optimizer, schedules.MultiStep(schedules.in_order(milestones), gamma), last_epoch)


@named_options()
class ConstantLR(LRScheduler):
    """`optim.Constant`: a factor during the first epochs. As ``torch.optim.lr_scheduler.ConstantLR``."""

    def __init__(self, optimizer: Any, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        super().__init__(optimizer, schedules.Constant(factor, total_iters), last_epoch)


@named_options()
class LinearLR(LRScheduler):
    """`optim.Warmup`: linear from one factor to another. As ``torch.optim.lr_scheduler.LinearLR``."""

    def __init__(
        self, optimizer: Any, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        super().__init__(optimizer, schedules.Warmup(start_factor, end_factor, total_iters), last_epoch)


@named_options()
class ExponentialLR(LRScheduler):
    """`optim.Exponential`: multiplies by a factor every epoch. As ``torch.optim.lr_scheduler.ExponentialLR``."""

    def __init__(self, optimizer: Any, gamma: float, last_epoch: int = -1) -> None:
        super().__init__(optimizer, schedules.Exponential(gamma), last_epoch)


@named_options()
class PolynomialLR(LRScheduler):
    """`optim.Polynomial`: decreases to 0. As ``torch.optim.lr_scheduler.PolynomialLR``."""

    def __init__(self, optimizer: Any, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        super().__init__(optimizer, schedules.Polynomial(total_iters, power), last_epoch)


@named_options()
class CosineAnnealingLR(LRScheduler):
    """`optim.Cosine`: half a cosine down to `eta_min`. As ``torch.optim.lr_scheduler.CosineAnnealingLR``."""

    def __init__(self, optimizer: Any, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        super().__init__(optimizer, schedules.Cosine(T_max, eta_min), last_epoch)


@named_options()
class CosineAnnealingWarmRestarts(LRScheduler):
    """`optim.CosineRestarts`: half a cosine, repeatedly. As PyTorch's, but without fractions of an epoch."""

    overwrites = True

    def __init__(self, optimizer: Any, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        super().__init__(optimizer, schedules.CosineRestarts(T_0, T_mult, eta_min), last_epoch)


@named_options()
class LambdaLR(LRScheduler):
    """The initial learning rate times ``lr_lambda(t)``. As ``torch.optim.lr_scheduler.LambdaLR``."""

    overwrites = True

    def __init__(self, optimizer: Any, lr_lambda: Any, last_epoch: int = -1) -> None:
        super().__init__(optimizer, factor_schedules("LambdaLR", lr_lambda), last_epoch)


@named_options()
class MultiplicativeLR(LRScheduler):
    """The previous learning rate times ``lr_lambda(t)``. As ``torch.optim.lr_scheduler.MultiplicativeLR``."""

    def __init__(self, optimizer: Any, lr_lambda: Any, last_epoch: int = -1) -> None:
        super().__init__(optimizer, factor_schedules("MultiplicativeLR", lr_lambda), last_epoch)

    def step(self, epoch: int | None = None) -> None:
        """Multiply the learning rate of each group, except at step 0."""
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        for group, rate in zip(self.optimizer.param_groups, self.schedules, strict=True):
            if self.last_epoch > 0:
                group["lr"] = float(rate(self.last_epoch, float(raw(group["lr"]))))
        self._last_lr = [float(raw(group["lr"])) for group in self.optimizer.param_groups]


@named_options()
class OneCycleLR(LRScheduler):
    """`optim.OneCycle`: up to `max_lr`, then down to nearly 0, and the momentum the other way.

    Args:
        optimizer, max_lr, pct_start, anneal_strategy, div_factor, final_div_factor, three_phase: as in `OneCycle`;
            `max_lr` may be a list with one value per group.
        total_steps: the length of the cycle; by default ``epochs * steps_per_epoch``.
        cycle_momentum: whether ``momentum``, or the first of ``betas``, changes from `max_momentum` to `base_momentum`
            and back.

    Raises:
        ValueError: no length is given, or `step` is called after the last step.

    Source: as ``torch.optim.lr_scheduler.OneCycleLR``.
    """

    overwrites = True

    def __init__(
        self, optimizer: Any, max_lr: Any, total_steps: int | None = None, epochs: int | None = None,
        steps_per_epoch: int | None = None, pct_start: float = 0.3, anneal_strategy: str = "cos",
        cycle_momentum: bool = True, base_momentum: Any = 0.85, max_momentum: Any = 0.95, div_factor: float = 25.0,
        final_div_factor: float = 1e4, three_phase: bool = False, last_epoch: int = -1,
    ) -> None:  # fmt: skip
        name = "OneCycleLR"
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError(f"{name} needs its length: total_steps=, or epochs= and steps_per_epoch=.")
            total_steps = epochs * steps_per_epoch
        groups = getattr(optimizer, "param_groups", [])
        form = pct_start, anneal_strategy, div_factor, final_div_factor, three_phase
        curve = schedules.OneCycle(total_steps, None, *form)
        tops = per_group(name, "max_lr", max_lr, len(groups))
        self.momenta: list[tuple[float, float]] | None = None
        if cycle_momentum:
            if groups and not any(key in groups[0] for key in ("momentum", "betas")):
                raise ValueError(f"{name}: {type(optimizer).__name__} has no momentum; write cycle_momentum=False.")
            lows, highs = (per_group(name, "momentum", one, len(groups)) for one in (base_momentum, max_momentum))
            self.momenta = list(zip(highs, lows, strict=True))
        if last_epoch == -1:
            for group, top in zip(groups, tops, strict=True):
                group["initial_lr"] = top / div_factor
        self.curve = curve
        super().__init__(optimizer, [replace(curve, max_lr=float(top)) for top in tops], last_epoch)

    def step(self, epoch: int | None = None) -> None:
        """Advance by one, and set learning rate and momentum of each group."""
        t = self.last_epoch + 1 if epoch is None else epoch
        if t > self.curve.total_steps:
            raise ValueError(f"OneCycleLR: step {t} of {self.curve.total_steps}; give it more total_steps=.")
        super().step(epoch)
        for group, (high, low) in zip(self.optimizer.param_groups, self.momenta or (), strict=self.momenta is not None):
            here = self.curve.between(t, high, low, high)
            if "betas" in group:
                group["betas"] = (here, *group["betas"][1:])
            else:
                group["momentum"] = here


class _CompositeScheduler:
    """Base of schedulers that consist of other schedulers."""

    optimizer: Any
    schedulers: list[Any]

    def get_last_lr(self) -> list[float]:
        """Return the learning rate of each group."""
        return [float(raw(group["lr"])) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return the states of the schedulers as plain data."""
        return {"schedulers": [one.state_dict() for one in self.schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load the result of `state_dict`.

        Raises:
            ValueError: the state is of other schedulers; nothing is changed then.
        """
        before = _CompositeScheduler.state_dict(self)["schedulers"]
        check_state(self, state_dict)
        if (count := len(state_dict["schedulers"])) != len(before):
            raise ValueError(f"{type(self).__name__}: {len(before)} schedulers here and {count} in the saved state.")
        try:
            for one, state in zip(self.schedulers, state_dict["schedulers"], strict=True):
                one.load_state_dict(state)
        except BaseException:
            for one, state in zip(self.schedulers, before, strict=True):
                one.load_state_dict(state)
            raise


@named_options()
class SequentialLR(_CompositeScheduler):
    """Several schedulers in sequence: at each milestone the next one begins, at its own step 0.

    Args:
        optimizer: the optimizer of all schedulers; schedulers: in their order; milestones: one fewer than schedulers.

    Source: as ``torch.optim.lr_scheduler.SequentialLR``.
    """

    def __init__(
        self, optimizer: Any, schedulers: Sequence[Any], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        _check_parts("SequentialLR", optimizer, schedulers)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: {len(schedulers)} schedulers and {len(milestones)} milestones; give one for each "
                "scheduler but the first."
            )
        self.optimizer, self.schedulers, self.milestones = optimizer, list(schedulers), list(milestones)
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        self.schedulers[bisect_right(self.milestones, 0)].step(0)  # the other constructors have changed the rates

    def step(self) -> None:
        """Advance the current scheduler by one."""
        self.last_epoch += 1
        k = bisect_right(self.milestones, self.last_epoch)
        self.schedulers[k].step(*((0,) if self.last_epoch in self.milestones else ()))

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain data, including that of the schedulers."""
        return {"last_epoch": self.last_epoch, **super().state_dict()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load the result of `state_dict`; raise as `ChainedScheduler` does."""
        super().load_state_dict(state_dict)
        self.last_epoch = int(state_dict["last_epoch"])


@named_options()
class ChainedScheduler(_CompositeScheduler):
    """Several schedulers at once; each continues from the learning rate that the one before has set.

    Args:
        schedulers: all of one optimizer; optimizer: this optimizer, may be left out.

    Source: as ``torch.optim.lr_scheduler.ChainedScheduler``.
    """

    def __init__(self, schedulers: Sequence[Any], optimizer: Any = None) -> None:
        optimizer = schedulers[0].optimizer if optimizer is None and schedulers else optimizer
        _check_parts("ChainedScheduler", optimizer, schedulers)
        self.optimizer, self.schedulers = optimizer, list(schedulers)

    def step(self) -> None:
        """Advance each scheduler by one."""
        for one in self.schedulers:
            one.step()


@named_options()
class ReduceLROnPlateau:
    """`optim.Plateau`: multiplies by a factor when a metric, the argument of ``step``, has stopped improving.

    Args:
        optimizer: one with ``param_groups``; min_lr: the smallest rate, or a list with one value per group.
        mode, factor, patience, threshold, threshold_mode, cooldown, eps: as in `Plateau`.

    Source: as ``torch.optim.lr_scheduler.ReduceLROnPlateau``.
    """

    def __init__(
        self, optimizer: Any, mode: str = "min", factor: float = 0.1, patience: int = 10, threshold: float = 1e-4,
        threshold_mode: str = "rel", cooldown: int = 0, min_lr: Any = 0.0, eps: float = 1e-8,
    ) -> None:  # fmt: skip
        if not hasattr(optimizer, "param_groups"):
            raise TypeError(
                f"ReduceLROnPlateau: {optimizer!r:.60} has no param_groups; pass optim.SGD(...) or its like. "
                "A Minimizer takes schedule=optim.Plateau() and observe(metric)."
            )
        leasts = per_group("ReduceLROnPlateau", "min_lr", min_lr, len(optimizer.param_groups))
        rule = Plateau(mode, factor, patience, threshold, threshold_mode, cooldown, eps=eps)
        self.optimizer, self.rules = optimizer, [replace(rule, min_lr=float(least)) for least in leasts]
        self.seen = PlateauState()
        self.last_epoch = 0

    def step(self, metrics: Any = None, epoch: int | None = None) -> None:
        """Record the metric of an epoch, a number or a Tensor, and reduce the learning rates if one is due.

        Raises:
            TypeError: no metric is given.
        """
        if metrics is None:
            raise TypeError("ReduceLROnPlateau: step needs the metric of the epoch, scheduler.step(val_loss).")
        before = self.seen.reductions
        self.seen = self.rules[0].update(self.seen, float(raw(metrics)))
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self.seen.reductions > before:
            for group, rule in zip(self.optimizer.param_groups, self.rules, strict=True):
                group["lr"] = rule(PlateauState(reductions=1), float(raw(group["lr"])))

    @property
    def num_bad_epochs(self) -> int:
        """The number of epochs in a row without improvement."""
        return self.seen.bad

    @property
    def best(self) -> float | None:
        """The best metric so far."""
        return self.seen.best

    def get_last_lr(self) -> list[float]:
        """Return the learning rate of each group."""
        return [float(raw(group["lr"])) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain data."""
        return {"last_epoch": self.last_epoch, "plateau": list(self.seen)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load the result of `state_dict`."""
        check_state(self, state_dict)
        self.seen, self.last_epoch = PlateauState(*state_dict["plateau"]), state_dict["last_epoch"]


def _check_parts(name: str, optimizer: Any, schedulers: Sequence[Any]) -> None:
    if not schedulers:
        raise ValueError(f"{name} needs at least one scheduler.")
    for one in schedulers:
        if isinstance(one, ReduceLROnPlateau) or not hasattr(one, "step"):
            raise TypeError(f"{name}: {one!r:.60} is not a scheduler that steps without a metric, such as StepLR(...).")
        if one.optimizer is not optimizer:
            raise ValueError(f"{name}: {type(one).__name__} belongs to another optimizer; create all for the same one.")
