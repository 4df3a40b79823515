"""What an optimizer is: a pair of pure functions, with its name and its checked hyper-parameters."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..forks import renewed
from ..spelling import did_you_mean
from .in_place import Into, in_place

Array = Any
OptimizerState = tuple[Any, ...]
Init = Callable[[Array], OptimizerState]
Update = Callable[[Array, OptimizerState, Any, Array], tuple[Array, OptimizerState]]
Hyper = float | bool | str
RATE = {"learning_rate": "The learning rate is given beside the rule: Minimizer(parameters, optim.adam(), 0.01)."}


@dataclass(frozen=True)
class Optimizer:
    r"""A pair of pure functions, with its name and hyper-parameters; two with the same of these are equal.

    .. math:: (step, state) = update(g, state, \eta, w), \qquad w \leftarrow w - step

    Attributes:
        init: ``init(w) -> state`` for a parameter of any shape.
        update: ``update(g, state, eta, w) -> (step, state)``; ``g``, ``w`` and ``step`` have one shape and dtype.
        learning_rate: the one to use where none is given, that of ``torch.optim``.
        make: the function that made it, for `replace`.

    Example:
        >>> from tinygrad_nn.optim import momentum
        >>> rule = momentum(0.5)
        >>> w, g = np.array([1.0]), np.array([2.0])
        >>> step, state = rule.update(g, rule.init(w), 0.1, w)
        >>> step, state = rule.update(g, state, 0.1, w - step)
        >>> print(rule, step)
        momentum(mu=0.5) [0.3]
    """

    name: str
    hyper: tuple[tuple[str, Hyper], ...]
    init: Init = field(compare=False)
    update: Update = field(compare=False)
    learning_rate: float = field(default=1e-3, compare=False)
    make: Callable[..., Optimizer] | None = field(default=None, compare=False)

    def move(
        self, g: Array, state: OptimizerState, eta: Any, w: Array, spare: Array | None = None
    ) -> tuple[Array, OptimizerState]:
        """Return ``w - step`` and the next state, bit for bit, by way of fewer arrays where the rule is elementwise.

        Args:
            g, state, eta, w: as for `update`.
            spare: an array of the shape and dtype of w that may be written into once g has been read; it may be g.

        Returns:
            The parameter and the state, of new arrays and `spare`.
        """
        into = self.into
        if into is None or g.dtype != w.dtype or not w.ndim or w.dtype.kind != "f":
            return self.plain(g, state, eta, w)
        return into(g, state, eta, w, spare)

    def plain(
        self, g: Array, state: OptimizerState, eta: Any, w: Array, spare: Array | None = None
    ) -> tuple[Array, OptimizerState]:
        """Return what `move` does by `update` alone, for a rule that is used for few steps."""
        step, state = self.update(g, state, eta, w)
        return np.asarray(w - step), state  # NumPy makes scalars of 0-d results

    @cached_property
    def into(self) -> Into | None:
        """The in-place form of the rule, see `in_place`; ``None`` where it has none."""
        return in_place(self.init, self.update) if self.make else None  # a person's own rule is called as it is

    if hasattr(into, "lock"):  # before Python 3.12
        renewed(into.lock)

    def replace(self, **hyper: Hyper) -> Optimizer:
        """Return this optimizer with other hyper-parameters.

        Raises:
            TypeError: it has no hyper-parameter of that name.

        Example:
            >>> from tinygrad_nn.optim import adamw
            >>> adamw().replace(weight_decay=0.0)
            adamw(beta1=0.9, beta2=0.999, eps=1e-08, weight_decay=0)
        """
        known = dict(self.hyper) if self.make else {}
        for key in hyper:
            if key not in known:
                raise TypeError(f"{self.name} has no hyper-parameter {key!r}; it has {', '.join(known) or 'none'}."
                                f"{did_you_mean(key, known)}")
        return self.make(**{**known, **hyper}) if self.make and hyper else self

    def __reduce__(self) -> Any:
        """Copy and pickle it by the function that makes it: a trained model holds its optimizer."""
        return (_made_again, (self.make, dict(self.hyper))) if self.make else object.__reduce__(self)

    def __repr__(self) -> str:
        usual = inspect.signature(self.make).parameters if self.make else {}
        shown = (  # what is switched off, and by default, is not worth a word
            f"{key}={value:g}" if type(value) is float else f"{key}={value}"
            for key, value in self.hyper
            if value or key not in usual or usual[key].default != value
        )
        return f"{self.name}({', '.join(shown)})"


def _made_again(make: Callable[..., Optimizer], hyper: dict[str, Hyper]) -> Optimizer:
    return make(**hyper)


def made(
    make: Callable[..., Optimizer], learning_rate: float, init: Init, update: Update, **hyper: Hyper
) -> Optimizer:
    """Return an optimizer named after the function that makes it, or raise where a hyper-parameter is no good."""
    checked = tuple((key, _checked(make.__name__, key, value)) for key, value in hyper.items())
    return Optimizer(make.__name__, checked, init, update, learning_rate, make)


Range = tuple[Callable[[float], bool], str]
_POSITIVE: Range = (lambda x: 0 < x < math.inf,  "positive and finite, e.g. 1e-8")
_STRENGTH: Range = (lambda x: 0 <= x < math.inf, "at least 0 and finite, e.g. 0.01")
_SHARE:    Range = (lambda x: 0 <= x < 1,        "at least 0 and below 1, e.g. 0.9")
_RANGES = {"eps": _POSITIVE, **dict.fromkeys(("weight_decay", "lr_decay", "initial", "momentum_decay"), _STRENGTH)}
_SWITCHES = ("nesterov", "amsgrad", "centered", "decoupled")
_CHOICES = {"adjust": ("original", "match_rms_adamw")}


def _checked(name: str, key: str, value: Any) -> Hyper:
    if key in _SWITCHES:
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{name}: {key}={value!r} is of type {type(value).__name__}; it is True or False.")
        return bool(value)
    if key in _CHOICES:
        if value not in _CHOICES[key]:
            raise ValueError(f"{name}: unknown {key} {value!r}; known are {', '.join(_CHOICES[key])}.")
        return str(value)
    fits, need = _RANGES.get(key, _SHARE)
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise TypeError(f"{name}: {key}={value!r:.60} is of type {type(value).__name__}; it must be a number {need}.")
    if not fits(float(value)):
        raise ValueError(f"{name}: {key}={value!r}; it must be {need}.")
    return float(value)


def _holders(array: Any) -> int:
    return sys.getrefcount(array)


def _usual() -> int:
    array = np.empty(0)
    return _holders(array)


ALONE = _usual()  # what is counted of an array that one variable holds: Pythons differ in this


def alone(g: Array, w: Array) -> bool:
    """Tell whether only a variable of the caller holds g, and it has the layout of w, so that it may be reused."""
    own = type(g) is np.ndarray and g.base is None and _holders(g) <= ALONE + 1
    return own and g.dtype == w.dtype and g.strides == w.strides and g.flags.writeable


def nothing(w: Array) -> OptimizerState:
    """Return the state of an optimizer that remembers nothing."""
    return ()


def one_zero(w: Array) -> OptimizerState:
    """Return the state of an optimizer that starts with one array of zeros."""
    return (np.zeros_like(w),)


def two_zeros(w: Array) -> OptimizerState:
    """Return the state of an optimizer that starts with two arrays of zeros."""
    return np.zeros_like(w), np.zeros_like(w)


def decayed(g: Array, w: Array, *, weight_decay: float) -> Array:
    r"""Return the gradient of the loss with the penalty :math:`\tfrac{\lambda}{2} \sum w^2` added to it."""
    return g + weight_decay * w if weight_decay else g


def shrunk(step: Array, w: Array, *, rate: Any, weight_decay: float) -> Array:
    """Return a step that also takes the share rate * weight_decay off the weight."""
    return step + rate * weight_decay * w if weight_decay else step
