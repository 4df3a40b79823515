"""Settings, Regularization and Solver: the options of a training, validated when the objects are made."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..common.display import with_what_differs
from ..common.spelling import did_you_mean, named_options, no_attribute
from ..nn.linear import check_count
from ..nn.losses import LOSSES, PENALTIES
from ..optim import OPTIMIZERS, GroupOptimizer, LBFGSRule, Optimizer, optimizer

_IN_SETTINGS = "It belongs to settings=Settings(epochs=20, batch_size=16)."
_IN_SOLVER = "It belongs to solver=Solver('mse', 'adam', learning_rate=0.01)."
_IN_RULE = "Rules take it: Solver('mse', optim.sgd(mu=0.9)), or optim.adam(beta1=0.8), optim.adamw(weight_decay=0.01)."
_IN_PENALTY = "Write regularization=Regularization('l2', lam=0.001, dropout=0.2) in the Solver."
OF_SETTINGS = dict.fromkeys(["epochs", "batch_size", "accumulate"], _IN_SETTINGS)
OF_SOLVER = dict.fromkeys(
    ["loss", "optimizer", "learning_rate", "regularization", "schedule", "clip_norm", "clip_value"], _IN_SOLVER
)
OF_RULES = dict.fromkeys(["momentum", "nesterov", "betas", "eps", "amsgrad"], _IN_RULE)
OF_RULES |= {"weight_decay": f"{_IN_PENALTY} {_IN_RULE}"}
OF_PENALTIES = dict.fromkeys(["lam", "dropout", "l1", "l2"], _IN_PENALTY)


@named_options({**OF_SOLVER, **OF_RULES, **OF_PENALTIES})
@dataclass(frozen=True)
class Settings:
    """The length of a training: ``Settings(epochs, batch_size)``.

    Args:
        epochs: number of passes through all the data, at least 1.
        batch_size: rows per step, at least 1; the last batch of an epoch may be smaller.
        accumulate: number of batches per update; their gradients are averaged, weighted by rows. At the end of an epoch
            an update may have fewer batches.

    Raises:
        TypeError, ValueError: one of them is not an integer of at least 1.

    Example:
        >>> Settings(20, 16)
        Settings(epochs=20, batch_size=16, accumulate=1)
    """

    epochs: int
    batch_size: int = 1
    accumulate: int = 1

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate"):
            object.__setattr__(self, name, check_count("Settings", name, getattr(self, name)))


@named_options({**OF_SETTINGS, **OF_SOLVER, "alpha": "Did you mean 'lam'?", "weight_decay": "Did you mean 'lam'?"})
@dataclass(frozen=True)
class Regularization:
    r"""Penalties and dropout: ``Regularization(method, lam, r, dropout)``.

    .. math:: \lambda \sum |W| \text{ (l1)}, \quad \tfrac{\lambda}{2} \sum W^2 \text{ (l2)}, \quad
              r \lambda \sum |W| + (1 - r) \tfrac{\lambda}{2} \sum W^2 \text{ (elasticnet)}

    Args:
        method: ``'none'``, ``'l1'``, ``'l2'`` or ``'elasticnet'``, in any letter case; for weights, not for biases.
        lam: the strength λ of the penalty, at least 0.
        r: the share of l1 in elasticnet, at least 0 and below 1.
        dropout: the probability of dropping a hidden unit, at least 0 and below 1; it is independent of the method.

    Raises:
        TypeError, ValueError: a value is outside its range.

    Example:
        >>> Regularization("ElasticNet", 0.2, 0.8, 0.1)
        Regularization(method='elasticnet', lam=0.2, r=0.8, dropout=0.1)
    """

    method: str = "none"
    lam: float = 0.0
    r: float = 0.5
    dropout: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "method", _check_name("Regularization", "method", self.method, PENALTIES))
        for name in ("lam", "r", "dropout"):
            value = _check_number("Regularization", name, getattr(self, name))
            object.__setattr__(self, name, value)
        if not 0 <= self.lam < math.inf:
            raise ValueError(
                f"Regularization: lam={self.lam}; a penalty needs a finite strength of at least 0, e.g. lam=0.001 "
                "(lam=0 for none)."
            )
        for name, what in (("r", "the share of l1 in elasticnet"), ("dropout", "the probability of dropping a unit")):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ValueError(
                    f"Regularization: {name}={value}; {what} must be at least 0 and below 1, e.g. {name}=0.2."
                )


@named_options({**OF_SETTINGS, **OF_RULES, **OF_PENALTIES})
@dataclass(frozen=True)
class Solver:
    """The loss, the optimizer and their options: ``Solver(loss, optimizer, learning_rate, regularization)``.

    Args:
        loss: ``'mae'``, ``'mse'``, ``'rmse'``, ``'binarycrossentropy'`` or ``'crossentropy'``, in any letter case; or a
            function of prediction and targets, such as those of `tinygrad_nn.nn.losses`; or ``None`` if the model is a
            function that returns its loss.
        optimizer: ``'sgd'``, ``'momentum'``, ``'adam'`` or another name in ``optim.OPTIMIZERS``, in any letter case; or
            an optimizer made by `tinygrad_nn.optim`, such as ``optim.adam(beta1=0.8)``.
        learning_rate: the size η of a step, positive.
        regularization: penalty and dropout; by default none.
        schedule: changes the learning rate during `fit`: one of `tinygrad_nn.optim`, such as ``optim.Cosine(100)``.
        schedule_by: what the schedule counts, ``'epoch'`` or ``'step'`` (an update). A `Plateau` ignores it and
            uses the validation loss of each epoch, or without validation data the training loss.
        groups: other settings for some parameters: a name pattern such as ``'encoder.*'`` -> a dict with any of
            ``'learning_rate'``, ``'optimizer'`` and the optimizer's hyper-parameters; the first match is used.
        clip_norm: if the norm of the gradients of all parameters is larger, they are scaled to it; by default no limit.
        clip_value: gradient entries are clipped to plus and minus this value; by default no limit.

    Raises:
        TypeError, ValueError: an unknown name (the message lists the known ones), or a number that is not positive.

    Example:
        >>> Solver("CrossEntropy", "SGD", 0.03).loss
        'crossentropy'
    """

    loss: Any = None  # a name, a function, or None
    optimizer: str | Optimizer | LBFGSRule = "sgd"
    learning_rate: float = 0.01
    regularization: Regularization = field(default_factory=Regularization)
    schedule: Callable[[Any, float], float] | None = field(default=None, kw_only=True)
    schedule_by: str = field(default="epoch", kw_only=True)
    groups: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, kw_only=True)
    clip_norm: float | None = field(default=None, kw_only=True)
    clip_value: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.loss is not None and not callable(self.loss):
            object.__setattr__(self, "loss", _check_name("Solver", "loss", self.loss, LOSSES))
        if isinstance(self.loss, type):
            raise TypeError(
                f"Solver: loss={self.loss.__name__} is a class; create an instance, {self.loss.__name__}()."
            )
        if isinstance(self.optimizer, (type, GroupOptimizer)):
            name = getattr(self.optimizer, "__name__", type(self.optimizer).__name__)
            raise TypeError(
                f"Solver: optimizer={name} holds the parameters of a loop of your own; for fit write its name, "
                f"{name.lower()!r}, or its rule, optim.{name.lower()}()."
            )
        if not isinstance(self.optimizer, (Optimizer, LBFGSRule)):
            known = {**OPTIMIZERS, "lbfgs": LBFGSRule}
            object.__setattr__(self, "optimizer", _check_name("Solver", "optimizer", self.optimizer, known))
        for name, example in (("learning_rate", 0.03), ("clip_norm", 1.0), ("clip_value", 0.5)):
            if name == "learning_rate" or getattr(self, name) is not None:
                value = _check_number("Solver", name, getattr(self, name))
                if not 0 < value < math.inf:
                    what = "a step" if name == "learning_rate" else "a limit"
                    raise ValueError(f"Solver: {name}={value}; {what} needs a positive finite size, e.g. {example}.")
                object.__setattr__(self, name, value)
        if not isinstance(self.regularization, Regularization):
            raise TypeError(
                f"Solver: regularization={self.regularization!r:.60} is of type {type(self.regularization).__name__}; "
                "write Regularization('l2', lam=0.001), or leave it out."
            )
        if isinstance(self.schedule, type):
            raise TypeError(
                f"Solver: schedule={self.schedule.__name__} is a class; create a schedule of optim, such as "
                "optim.Cosine(100) or optim.StepDecay(30)."
            )
        if self.schedule is not None and not callable(self.schedule):
            raise TypeError(f"Solver: schedule={self.schedule!r:.60} cannot be called; pass e.g. optim.Cosine(100).")
        if self.schedule_by not in ("epoch", "step"):
            raise ValueError(f"Solver: schedule_by={self.schedule_by!r}; known are 'epoch' and 'step'.")
        if not isinstance(self.groups, Mapping):
            example = {"*.bias": {"learning_rate": 0.001}}
            raise TypeError(f"Solver: groups={self.groups!r:.60}; it must be a dict of dicts, e.g. {example}.")
        for pattern, given in self.groups.items():
            self.group(pattern, given)
        if isinstance(self.rule, LBFGSRule) and (self.clip_norm, self.clip_value) != (None, None):
            raise ValueError("Solver: lbfgs looks for the length of a step itself; leave clip_norm and clip_value out.")

    def __repr__(self) -> str:
        return with_what_differs(self)

    def __getattr__(self, name: str) -> Any:
        raise no_attribute(type(self).__name__, name, dir(type(self)))

    @property
    def rule(self) -> Any:
        """The optimizer object, an `optim.Optimizer` or `optim.LBFGSRule`."""
        return _rule(self.optimizer)

    def group(self, pattern: str, options: Mapping[str, Any]) -> tuple[Optimizer, float]:
        """Return the optimizer and the learning rate of a parameter group.

        Raises:
            TypeError, ValueError: the settings of the group are not valid.
        """
        if not isinstance(options, Mapping):
            example = {"learning_rate": 0.001}
            raise TypeError(f"Solver: groups[{pattern!r}]={options!r:.60}; it must be a dict, e.g. {example}.")
        hyper = dict(options)
        name = f"groups[{pattern!r}]['learning_rate']"
        rate = _check_number("Solver", name, hyper.pop("learning_rate", self.learning_rate))
        if not 0 <= rate < math.inf:
            raise ValueError(f"Solver: {name}={rate}; it must be a finite number of at least 0, e.g. 0.001.")
        rule = _rule(hyper.pop("optimizer", self.optimizer))
        if isinstance(rule, LBFGSRule):
            raise TypeError("Solver: lbfgs updates all parameters together; leave groups out.")
        return rule.replace(**hyper), rate


def _rule(optimizer_name: Any) -> Optimizer | LBFGSRule:
    if not isinstance(optimizer_name, str):
        return optimizer_name  # type: ignore[no-any-return]
    return LBFGSRule() if optimizer_name == "lbfgs" else optimizer(optimizer_name)


def _check_name(call: str, name: str, value: Any, known: dict[str, Any]) -> str:
    """Return a name in lower case; raise if it is not in the table."""
    listed = ", ".join(known)
    if not isinstance(value, str):
        raise TypeError(
            f"{call}: {name}={value!r:.60} is of type {type(value).__name__}; it needs a name: {listed}."
        )
    key = value.strip().lower()
    if key not in known:
        raise ValueError(f"{call}: unknown {name} {value!r}; known are {listed}.{did_you_mean(key, known)}")
    return key


def _check_number(call: str, name: str, value: Any) -> float:
    try:
        if isinstance(value, (str, bool)):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(
            f"{call}: {name}={value!r:.60} is of type {type(value).__name__}; it needs a number, e.g. {name}=0.1."
        ) from None
