"""Early stopping: a training ends when it no longer improves, and its best weights are restored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.printable import printable
from ..common.spelling import did_you_mean, named_options

if TYPE_CHECKING:
    from .epochs import Epoch

Array = np.ndarray[Any, Any]


@named_options()
@dataclass(frozen=True)
class EarlyStopping:
    """End a training when a metric has not improved for `patience` epochs, and restore the best weights.

    Args:
        patience: number of epochs in a row without improvement after which the training ends, at least 1.
        min_delta: a value is better than the best one only if it differs by more than this, at least 0.
        monitor: ``'val_loss'``, ``'loss'``, or the name of a metric, such as ``'val_accuracy'``.
        mode: ``'min'`` or ``'max'``: which values are better; ``'auto'`` is ``'min'`` for losses, else ``'max'``.
        restore: whether the model ends with the weights of its best epoch, even if all epochs were run.

    Raises:
        ValueError: a value is outside its range.

    Source: Prechelt, Early stopping - but when? (1998), criterion UP.

    Example:
        >>> EarlyStopping(3)
        EarlyStopping(patience=3, min_delta=0.0, monitor='val_loss', mode='auto', restore=True)
    """

    patience: int = 5
    min_delta: float = 0.0
    monitor: str = "val_loss"
    mode: str = "auto"
    restore: bool = True

    def __post_init__(self) -> None:
        for name in ("patience", "min_delta"):
            object.__setattr__(self, name, as_python(getattr(self, name)))
        if not (type(self.patience) is int and self.patience >= 1):
            raise ValueError(f"EarlyStopping: patience={self.patience!r}; it counts epochs, at least 1.")
        if type(self.min_delta) not in (int, float) or not 0 <= self.min_delta < math.inf:
            raise ValueError(f"EarlyStopping: min_delta={self.min_delta!r}; it must be a finite number of at least 0.")
        if self.mode not in ("auto", "min", "max"):
            raise ValueError(f"EarlyStopping: mode={self.mode!r}; known are 'auto', 'min' and 'max'.")


def as_python(value: Any) -> Any:
    """Return a number of NumPy as a number of Python, and anything else unchanged."""
    return value.item() if isinstance(value, np.number) else value


@dataclass
class Watch:
    """The state of early stopping: the best value, its epoch, the number of epochs since then, and the best weights.

    `written` and `sha256` are the epoch and the checksum of the checkpoint file that holds these weights.
    """

    rule: EarlyStopping
    best: float | None = None
    epoch: int = 0
    since: int = 0
    weights: dict[str, Array] | None = None
    written: int = 0
    sha256: str = ""

    def is_better(self, epoch: Epoch) -> bool:
        """Record an epoch, and return whether it is the best so far."""
        value = monitored_value("EarlyStopping", self.rule.monitor, epoch)
        larger = self.rule.mode == "max" or (self.rule.mode == "auto" and not self.rule.monitor.endswith("loss"))
        sign = -1.0 if larger else 1.0
        first = self.best is None and not math.isnan(value)
        if first or (self.best is not None and sign * value < sign * self.best - self.rule.min_delta):
            self.best, self.epoch, self.since = value, epoch.number, 0
            return True
        self.since += 1
        return False

    @property
    def ended(self) -> bool:
        """Whether the patience is used up."""
        return self.since >= self.rule.patience


def monitored_value(call: str, name: str, epoch: Epoch) -> float:
    """Return a loss or a metric of an epoch by its name; raise a ValueError if there is none of this name."""
    known = {"loss": epoch.loss, "val_loss": epoch.val_loss, **epoch.metrics}
    value = known.get(name)
    if value is None:
        names = [key for key, number in known.items() if number is not None]
        there, near = ", ".join(map(printable, names)), "" if name.startswith("val_") else did_you_mean(name, names)
        raise ValueError(
            f"{call}: there is no {name!r} in this training; it has {there}.{near} "
            + ("Pass x_val and y_val to fit." if name.startswith("val_") else "Pass one of these as monitor=.")
        )
    return value
