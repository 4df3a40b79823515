"""Settings, Regularization and Solver: what a training is told, checked when it is written down."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, field
from typing import Any

from ..nn.losses import LOSSES, PENALTIES
from ..optim import OPTIMIZERS, Optimizer, optimizer


@dataclass(frozen=True)
class Settings:
    """How long to train: ``Settings(epochs, batch_size)``.

    Args:
        epochs: how many times to go through all the data, at least 1.
        batch_size: rows a step, at least 1; the last batch of an epoch may be shorter.

    Raises:
        TypeError, ValueError: one of them is not a whole number of at least 1.

    Example:
        >>> Settings(20, 16)
        Settings(epochs=20, batch_size=16)
    """

    epochs: int
    batch_size: int = 1

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            object.__setattr__(self, name, _count(name, getattr(self, name)))


@dataclass(frozen=True)
class Regularization:
    r"""What keeps the weights small: ``Regularization(method, lam, r, dropout)``.

    .. math:: \lambda \sum |W| \text{ (l1)}, \quad \tfrac{\lambda}{2} \sum W^2 \text{ (l2)}, \quad
              r \lambda \sum |W| + (1 - r) \tfrac{\lambda}{2} \sum W^2 \text{ (elasticnet)}

    Args:
        method: ``'none'``, ``'l1'``, ``'l2'`` or ``'elasticnet'``, in any letter case; on weights, not biases.
        lam: the strength λ of the penalty, at least 0.
        r: the share of l1 in elasticnet, at least 0 and below 1.
        dropout: the probability of dropping a hidden unit, at least 0 and below 1; it works with any method.

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
        object.__setattr__(self, "method", _known("Regularization", "method", self.method, PENALTIES))
        for name in ("lam", "r", "dropout"):
            value = _real("Regularization", name, getattr(self, name))
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
                    f"Regularization: {name}={value}; it is {what}, at least 0 and below 1, e.g. {name}=0.2."
                )


@dataclass(frozen=True)
class Solver:
    """What is made small, and how: ``Solver(loss, optimizer, learning_rate, regularization)``.

    Args:
        loss: ``'mae'``, ``'mse'``, ``'rmse'``, ``'binarycrossentropy'`` or ``'crossentropy'``, in any letter case.
        optimizer: ``'sgd'``, ``'momentum'``, ``'nesterov'``, ``'adam'``, ``'rmsprop'``, ``'adagrad'`` or
            ``'adadelta'``, in any letter case; or one made by `tinygrad_nn.optim`, such as ``optim.adam(beta1=0.8)``.
        learning_rate: the size η of a step, positive.
        regularization: the penalty and the dropout; by default none.

    Raises:
        TypeError, ValueError: an unknown name (the known are listed), or a learning rate that is not positive.

    Example:
        >>> Solver("CrossEntropy", "SGD", 0.03).loss
        'crossentropy'
    """

    loss: str
    optimizer: str | Optimizer = "sgd"
    learning_rate: float = 0.01
    regularization: Regularization = field(default_factory=Regularization)

    def __post_init__(self) -> None:
        object.__setattr__(self, "loss", _known("Solver", "loss", self.loss, LOSSES))
        if not isinstance(self.optimizer, Optimizer):
            object.__setattr__(self, "optimizer", _known("Solver", "optimizer", self.optimizer, OPTIMIZERS))
        rate = _real("Solver", "learning_rate", self.learning_rate)
        if not 0 < rate < math.inf:
            raise ValueError(f"Solver: learning_rate={rate}; a step needs a positive finite size, e.g. 0.03.")
        object.__setattr__(self, "learning_rate", rate)
        if not isinstance(self.regularization, Regularization):
            raise TypeError(
                f"Solver: regularization={self.regularization!r:.60} is of type {type(self.regularization).__name__}; "
                "write Regularization('l2', lam=0.001), or leave it out."
            )

    @property
    def rule(self) -> Optimizer:
        """The optimizer itself."""
        return self.optimizer if isinstance(self.optimizer, Optimizer) else optimizer(self.optimizer)


def _known(call: str, name: str, value: Any, known: dict[str, Any]) -> str:
    """Return a name in lower case if it is in the table."""
    listed = ", ".join(known)
    if not isinstance(value, str):
        raise TypeError(
            f"{call}: {name}={value!r:.60} is of type {type(value).__name__}; it needs a name: {listed}."
        )
    key = value.strip().lower()
    if key not in known:
        from difflib import get_close_matches

        near = get_close_matches(key, known, n=1, cutoff=0.6)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{call}: unknown {name} {value!r}; known are {listed}.{hint}")
    return key


def _count(name: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"Settings: {name}={value!r:.60} is of type {type(value).__name__}; it needs a whole number, e.g. "
            f"{name}=16."
        ) from None
    if number < 1 or isinstance(value, bool):
        raise ValueError(f"Settings: {name}={value!r}; it must be at least 1, e.g. {name}=16.")
    return number


def _real(call: str, name: str, value: Any) -> float:
    try:
        if isinstance(value, (str, bool)):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(
            f"{call}: {name}={value!r:.60} is of type {type(value).__name__}; it needs a number, e.g. {name}=0.1."
        ) from None
