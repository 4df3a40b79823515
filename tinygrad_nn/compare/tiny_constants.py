"""Constants such as 1e-8 in ``np.log(p + 1e-8)``, which keep a value from being 0 and hardly change a gradient."""

from __future__ import annotations

import contextlib
import inspect
import math
import sys
import types
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..common.closures import closed_over
from .diagnosis import Diagnosis

Array = np.ndarray[Any, Any]

TINY = 1e-6  # the largest such constant
NEGLIGIBLE = 5e-7  # of the largest entry: the largest difference that is taken to come from such a constant
HARMLESS = 1e-4  # the same if it is known to come from it: it is gone when the constant is smaller
RAREST = 1e-4  # the smallest probability p for which log(p) and log(p + 1e-12) are taken to have the same derivative
LIBRARIES = sys.stdlib_module_names - {"__main__"} | {"numpy", "scipy", "tinygrad_nn"}


def tiny_constant(*functions: Any) -> float:
    """Return the largest constant between 0 and 1e-6 in some functions and in the user code that they call; 0 if none.

    Example:
        >>> tiny_constant(print)
        0.0
    """
    return max((c for *_, value in _places(functions, set()) for c in _constants(value)), default=0.0)


def negligible(tiny: float) -> float:
    """Return the difference, relative to the largest entry of a gradient, that a tiny constant explains.

    Example:
        >>> negligible(2.0**-40) == 2.0**-40 / 1e-4, negligible(1e-8)
        (True, 5e-07)
    """
    return min(tiny / RAREST, NEGLIGIBLE)


def largest_difference(pairs: Sequence[tuple[Array, Array]]) -> float:
    """Return the largest difference of gradients from the right ones, relative to the largest entry of each array.

    It is infinite if shapes differ, and NaN if a gradient is.

    Example:
        >>> largest_difference([(np.array([1.0, 3.0]), np.array([1.0, 4.0]))])
        0.25
    """
    if any(m.shape != g.shape for m, g in pairs):
        return math.inf
    return float(np.max([np.abs(m - g).max(initial=0.0) / (np.abs(g).max(initial=0.0) or 1.0) for m, g in pairs]))


def effect_of_tiny_constant(difference: float, where: str, tiny: float, is_cause: bool = False) -> Diagnosis | None:
    """Return the diagnosis that a tiny constant explains the largest difference of gradients, or None.

    `is_cause` says that the gradients are right with smaller constants; then it explains a difference of any size.
    """
    if not 0 < difference <= (math.inf if is_cause else negligible(tiny)):  # NaN is no small difference
        return None
    if difference <= HARMLESS:
        kind, text = "convention", (
            f"The gradient is right but for the effect of a constant such as {tiny:.0e}, which avoids log(0) or a "
            "division by 0 in one of the two passes. This is not a mistake.")  # fmt: skip
    else:
        kind, text = "wrong_epsilon", (
            f"A constant such as {tiny:.0e} is too large: with a much smaller one, every gradient is right. It avoids "
            "log(0) or a division by 0, and some of the values that it is added to are as small. Take a smaller "
            "constant, or an equation that needs none.")  # fmt: skip
    return Diagnosis(
        kind, where, text, (f"the largest difference is {difference:.0e} of the largest entry of its array",)
    )


@contextlib.contextmanager
def smaller_constants(dtype: Any, *functions: Any) -> Iterator[None]:
    """Inside, functions and the user code that they call have the least normal number in place of tiny constants.

    It does as well as 0, but that 0 can be divided by it.
    """
    constant = float(np.finfo(dtype).tiny)
    changed: list[tuple[Any, str, Any]] = []
    try:
        for owner, name, value in _places(functions, set()):
            smaller = _smaller(value, constant)
            if smaller is not value:
                changed.append((owner, name, value))
                _put(owner, name, smaller)
        yield
    finally:
        for owner, name, value in reversed(changed):
            _put(owner, name, value)


def _put(owner: Any, name: str, value: Any) -> None:
    if isinstance(owner, dict):
        owner[name] = value
    else:
        setattr(owner, name, value)


def _smaller(value: Any, constant: float) -> Any:
    """Return a number, a tuple or list, or code, with `constant` in place of tiny constants; itself if it has none."""
    if isinstance(value, float):
        return constant if 0 < value <= TINY else value
    if isinstance(value, types.CodeType):
        consts = _smaller(value.co_consts, constant)
        return value if consts is value.co_consts else value.replace(co_consts=consts)
    if type(value) in (tuple, list):
        parts = [_smaller(part, constant) for part in value]
        return value if all(a is b for a, b in zip(parts, value, strict=True)) else type(value)(parts)
    return value


def _constants(value: Any) -> Iterator[float]:
    """Yield the constants in a value: a number, a tuple or list, or code."""
    if isinstance(value, float):
        if 0 < value <= TINY:
            yield float(value)
    elif isinstance(value, (types.CodeType, tuple, list)):
        for part in value.co_consts if isinstance(value, types.CodeType) else value:
            yield from _constants(part)


def _places(values: Iterable[Any], seen: set[Any]) -> Iterator[tuple[Any, str, Any]]:
    """Yield (owner, name, value) for what some functions and classes are made of and refer to, and what these do."""
    for f in values:
        for owner, name, value in _parts(f) if callable(f) else ():
            if (id(owner), name) not in seen:
                seen.add((id(owner), name))
                yield owner, name, value
                yield from _places(value if isinstance(value, (tuple, list)) else (value,), seen)


def _parts(f: Any) -> list[tuple[Any, str, Any]]:
    """Return (owner, name, value) for what a function, a class or the class of an object is made of and refers to.

    It is [] if that is no user code. Of what a function closes over, only what can be called is looked at.
    """
    f = inspect.unwrap(getattr(f, "__func__", f))
    f = f if isinstance(f, (type, types.FunctionType)) else type(f)
    if (getattr(f, "__module__", None) or "").partition(".")[0] in LIBRARIES:
        return []
    if isinstance(f, type):
        return [(f, name, value) for name, value in vars(f).items()]
    names = (f.__qualname__.partition(".")[0], *f.__code__.co_names)  # a method refers to the others of its class
    used: list[tuple[Any, str, Any]] = [(f.__globals__, n, f.__globals__[n]) for n in names if n in f.__globals__]
    modules = [m for *_, m in used if isinstance(m, types.ModuleType) and m.__name__.partition(".")[0] not in LIBRARIES]
    used += [(m, name, getattr(m, name)) for m in modules for name in f.__code__.co_names if hasattr(m, name)]
    used += [(f, name, value) for name, value in closed_over(f).items() if callable(value)]
    used += [(f.__kwdefaults__, name, value) for name, value in (f.__kwdefaults__ or {}).items()]
    return [(f, "__code__", f.__code__), (f, "__defaults__", f.__defaults__), *used]
