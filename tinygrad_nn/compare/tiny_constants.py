"""Constants such as 1e-8 in ``np.log(p + 1e-8)``, which keep a value from being 0 and hardly change a gradient."""

from __future__ import annotations

import inspect
import math
import sys
import types
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..common.closures import closed_over
from .diagnosis import Diagnosis

Array = np.ndarray[Any, Any]

TINY = 1e-6  # the largest such constant
NEGLIGIBLE = 5e-7  # of the largest entry: the largest difference that such a constant may make
ELSEWHERE = 1e-4  # the same at other random weights, where some probabilities are smaller
RAREST = 1e-4  # the smallest probability p for which log(p) and log(p + 1e-12) are taken to have the same derivative
LIBRARIES = sys.stdlib_module_names - {"__main__"} | {"numpy", "scipy", "tinygrad_nn"}


def tiny_constant(*functions: Any) -> float:
    """Return the largest constant between 0 and 1e-6 in some functions and in the user code that they call; 0 if none.

    Example:
        >>> tiny_constant(print)
        0.0
    """
    seen: set[Any] = set()
    return max((c for f in functions for c in _constants(f, seen)), default=0.0)


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


def effect_of_tiny_constant(difference: float, label: str, tiny: float) -> Diagnosis | None:
    """Return the diagnosis that a tiny constant explains the largest difference of gradients, or None."""
    if not 0 < difference <= negligible(tiny):  # NaN is no small difference
        return None
    return Diagnosis("convention", label, f"The gradient is right but for the effect of a constant such as {tiny:.0e}, "
                     "which avoids log(0) or a division by 0 in one of the two passes. This is not a mistake.",
                     (f"the largest difference is {difference:.0e} of the largest entry of its array",))  # fmt: skip


def _constants(value: Any, seen: set[Any]) -> Iterator[float]:
    """Yield the constants of a value: a number itself, those in the code of a function, those in a class's methods."""
    if type(value) is float and 0 < value <= TINY:
        yield value
    if isinstance(value, (tuple, list)):
        parts = value
    elif isinstance(value, types.CodeType):
        parts = value.co_consts
    else:
        parts = _parts(value) if callable(value) else ()
    for part in parts:
        if id(part) not in seen:
            seen.add(id(part))
            yield from _constants(part, seen)


def _parts(f: Any) -> list[Any]:
    """Return what a function, a class or the class of an object is made of and refers to; [] if it is no user code."""
    f = inspect.unwrap(getattr(f, "__func__", f))
    f = f if isinstance(f, (type, types.FunctionType)) else type(f)
    if (getattr(f, "__module__", None) or "").partition(".")[0] in LIBRARIES:
        return []
    if isinstance(f, type):
        return list(vars(f).values())
    names = (f.__qualname__.partition(".")[0], *f.__code__.co_names)  # a method refers to the others of its class
    used = [f.__globals__[name] for name in names if name in f.__globals__]
    modules = [m for m in used if isinstance(m, types.ModuleType) and m.__name__.partition(".")[0] not in LIBRARIES]
    used += [getattr(m, name) for m in modules for name in f.__code__.co_names if hasattr(m, name)]
    used += filter(callable, closed_over(f).values())
    return [f.__code__, *(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values(), *used]
