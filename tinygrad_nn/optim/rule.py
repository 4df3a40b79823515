"""Optimizer, a rule for updating one parameter: two pure functions, with a name and checked hyper-parameters."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..common.forks import renewed_after_fork
from ..common.spelling import did_you_mean
from .in_place import Into, in_place

Array = Any
OptimizerState = tuple[Any, ...]
Init = Callable[[Array], OptimizerState]
Update = Callable[[Array, OptimizerState, Any, Array], tuple[Array, OptimizerState]]
Hyper = float | bool | str
RATE = {"learning_rate": "The learning rate is given beside the rule: Minimizer(parameters, optim.adam(), 0.01)."}


@dataclass(frozen=True)
class Optimizer:
    r"""A pair of pure functions, with a name and hyper-parameters; optimizers with equal ones are equal.

    .. math:: (step, state) = update(g, state, \eta, w), \qquad w \leftarrow w - step

    Attributes:
        init: ``init(w) -> state``, for a parameter of any shape.
        update: ``update(g, state, eta, w) -> (step, state)``; ``g``, ``w`` and ``step`` have one shape and dtype.
        learning_rate: the default, which is that of ``torch.optim``.
        make: the function that made this optimizer, used by `replace`.

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
        """Return ``w - step`` and the next state, with the bits of `update`; an elementwise rule runs in place.

        Args:
            g, state, eta, w: as for `update`.
            spare: an array of the shape and dtype of w that may be overwritten once g has been read; it may be g.

        Returns:
            The new parameter and the next state; their arrays are new, or are `spare`.
        """
        into = self.into
        if into is None or g.dtype != w.dtype or not w.ndim or w.dtype.kind != "f":
            return self.plain(g, state, eta, w)
        return into(g, state, eta, w, spare)

    def plain(
        self, g: Array, state: OptimizerState, eta: Any, w: Array, spare: Array | None = None
    ) -> tuple[Array, OptimizerState]:
        """Return the same as `move`, by calling `update`; it is for rules that are used for a few steps only."""
        step, state = self.update(g, state, eta, w)
        return np.asarray(w - step), state  # NumPy returns scalars for 0-d results

    @cached_property
    def into(self) -> Into | None:
        """The in-place form of the rule, see `in_place`; ``None`` if it has none."""
        return in_place(self.init, self.update) if self.make else None  # a user's own rule is called directly

    if hasattr(into, "lock"):  # before Python 3.12
        renewed_after_fork(into.lock)

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
                hint = " Write 'learning_rate' instead of 'lr'." if key == "lr" else did_you_mean(key, known)
                raise TypeError(
                    f"{self.name} has no hyper-parameter {key!r}; it has {', '.join(known) or 'none'}.{hint}"
                )
        return self.make(**{**known, **hyper}) if self.make and hyper else self

    def __reduce__(self) -> Any:
        """Copy and pickle an optimizer by the function that makes it, since a trained model holds its optimizer."""
        return (_made_again, (self.make, dict(self.hyper))) if self.make else object.__reduce__(self)

    def __repr__(self) -> str:
        usual = inspect.signature(self.make).parameters if self.make else {}
        shown = (  # hide options that are off or 0 by default
            f"{key}={value:g}" if type(value) is float else f"{key}={value}"
            for key, value in self.hyper
            if value or key not in usual or usual[key].default != value
        )
        return f"{self.name}({', '.join(shown)})"


def _made_again(make: Callable[..., Optimizer], hyper: dict[str, Hyper]) -> Optimizer:
    return make(**hyper)


def make_optimizer(
    make: Callable[..., Optimizer], learning_rate: float, init: Init, update: Update, **hyper: Hyper
) -> Optimizer:
    """Return an optimizer named after the function that makes it; raise if a hyper-parameter is not valid."""
    checked = tuple((key, check_hyper(make.__name__, key, value)) for key, value in hyper.items())
    return Optimizer(make.__name__, checked, init, update, learning_rate, make)


Range = tuple[Callable[[float], bool], str]
_POSITIVE: Range = (lambda x: 0 < x < math.inf,  "positive and finite, e.g. 1e-8")
_STRENGTH: Range = (lambda x: 0 <= x < math.inf, "at least 0 and finite, e.g. 0.01")
_SHARE:    Range = (lambda x: 0 <= x < 1,        "at least 0 and below 1, e.g. 0.9")
_RANGES = {"eps": _POSITIVE, **dict.fromkeys(("weight_decay", "lr_decay", "initial", "momentum_decay"), _STRENGTH)}
_SWITCHES = ("nesterov", "amsgrad", "centered", "decoupled")
_CHOICES = {"adjust": ("original", "match_rms_adamw")}


def check_hyper(name: str, key: str, value: Any, rule_key: str = "") -> Hyper:
    """Return a hyper-parameter as a Python number; raise if it is not valid. `rule_key` is the rule's name for it."""
    rule_key = rule_key or key
    if rule_key in _SWITCHES:
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{name}: {key}={value!r} is of type {type(value).__name__}; it must be True or False.")
        return bool(value)
    if rule_key in _CHOICES:
        if value not in _CHOICES[rule_key]:
            raise ValueError(f"{name}: unknown {key} {value!r}; known are {', '.join(_CHOICES[rule_key])}.")
        return str(value)
    fits, need = _RANGES.get(rule_key, _SHARE)
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise TypeError(f"{name}: {key}={value!r:.60} is of type {type(value).__name__}; it must be a number {need}.")
    if not fits(float(value)):
        raise ValueError(f"{name}: {key}={value!r}; it must be {need}.")
    return float(value)


def _reference_count(array: Any) -> int:
    return sys.getrefcount(array)


def _usual_count() -> int:
    array = np.empty(0)
    return _reference_count(array)


ALONE = _usual_count()  # the reference count of an array that one variable holds; it differs between Python versions


def is_reusable(g: Array, w: Array) -> bool:
    """Return whether g may be overwritten: only one variable of the caller refers to it, and it has w's layout."""
    own = type(g) is np.ndarray and g.base is None and _reference_count(g) <= ALONE + 1
    return own and g.dtype == w.dtype and g.strides == w.strides and g.flags.writeable


def no_state(w: Array) -> OptimizerState:
    """Return the state of an optimizer without state."""
    return ()


def one_zero(w: Array) -> OptimizerState:
    """Return the initial state of an optimizer with one array, which starts at zero."""
    return (np.zeros_like(w),)


def two_zeros(w: Array) -> OptimizerState:
    """Return the initial state of an optimizer with two arrays, which start at zero."""
    return np.zeros_like(w), np.zeros_like(w)


def decayed(g: Array, w: Array, *, weight_decay: float) -> Array:
    r"""Return the gradient plus that of the penalty :math:`\tfrac{\lambda}{2} \sum w^2`, which is λw."""
    return g + weight_decay * w if weight_decay else g


def shrunk(step: Array, w: Array, *, rate: Any, weight_decay: float) -> Array:
    """Return the step plus rate * weight_decay * w: decoupled weight decay."""
    return step + rate * weight_decay * w if weight_decay else step
