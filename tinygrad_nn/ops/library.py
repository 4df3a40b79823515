"""Helpers for the rows of SciPy's special functions, and the table of replacements that are not rows themselves."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import sqrt
from typing import Any

import numpy as np

from ..primitive import Array, Primitive
from .elementwise import divisor
from .neural import sigmoid
from .plain import as_arrays, is_tensor
from .special import bessel_i, digamma, erfc, log_sigmoid


def _sine_of_degrees(x: Array) -> Array:
    """Return the sine of an angle in degrees, exactly 0, 1 or -1 at multiples of 90."""
    rest = np.fmod(x, 360)
    halves = np.rint(as_arrays(rest) / 180)
    return (1 - 2 * np.abs(halves % 2)) * np.sin(np.deg2rad(rest - 180 * halves))


def _cosine_of_degrees(x: Array) -> Array:
    return _sine_of_degrees(90 - np.fmod(x, 360))


# Name in scipy.special -> its replacement, with SciPy's order of arguments. A row with the same name needs no entry.
STAND_INS: dict[str, Callable[..., Any]] = {
    "cosdg": _cosine_of_degrees,
    "cosm1": lambda x: -2 * np.sin(x / 2) ** 2,
    "exp10": lambda x: 10.0**x,
    "expit": sigmoid,
    "huber": lambda delta, r: np.where(np.abs(r) <= delta, 0.5 * r * r, delta * (np.abs(r) - 0.5 * delta)),
    "i1": lambda x: bessel_i(x, order=1),
    "log_expit": log_sigmoid,
    "ndtr": lambda x: 0.5 * erfc(x * -sqrt(0.5)),
    "cotdg": lambda x: _cosine_of_degrees(x) / _sine_of_degrees(x),
    "psi": digamma,
    "pseudo_huber": lambda delta, r: delta * r * (r / divisor(np.hypot(delta, r) + delta)),
    "sindg": _sine_of_degrees,
    "tandg": lambda x: _sine_of_degrees(x) / _cosine_of_degrees(x),
}
FORWARDS: set[str] = set()  # the names of rows whose forward is the SciPy function of the same name


@cache
def library() -> Any:
    """Return the module scipy.special.

    Raises:
        ImportError: SciPy is not installed.
    """
    try:
        from scipy import special
    except ImportError:
        raise ImportError("SciPy's special functions need SciPy: pip install 'tinygrad-nn[scipy]'.") from None
    return special


def call_scipy(name: str, *arrays: Array) -> Array:
    """Call the function of this name in scipy.special.

    Python numbers are first converted to the dtype of the arrays, since some of SciPy's functions would otherwise
    return float64 for a float32 array.
    """
    if any(type(x) in (int, float) for x in arrays):
        dtype = np.result_type(*arrays)
        real = np.finfo(dtype).dtype if dtype.kind in "fc" else np.dtype(float)
        arrays = tuple(real.type(x) if type(x) in (int, float) else x for x in arrays)
    return getattr(library(), name)(*arrays)


def forward(name: str) -> Callable[..., Array]:
    """Return the forward for a row: a function that calls the function of this name in scipy.special."""

    def call(*arrays: Array) -> Array:
        return call_scipy(name, *arrays)

    FORWARDS.add(name)
    call.__name__, call.__doc__ = name, f"Return scipy.special.{name} of arrays."
    return call


def with_parameters(name: str, f: Primitive, *parameters: str) -> Callable[..., Array]:
    """Return a function with SciPy's order of arguments, parameters first, for a row that has them as metadata.

    Raises:
        TypeError: (when it is called) a parameter is a Tensor with a graph.
    """

    def call(*args: Any) -> Array:
        for label, value in zip(parameters, args, strict=False):
            if is_tensor(value) and value.requires_grad:
                raise TypeError(
                    f"scipy.special.{name} has no derivative in its {label}: no closed form is known. If that is "
                    f"fixed, pass {label}.detach(), or a number."
                )
        return f(args[-1], **dict(zip(parameters, args[:-1], strict=True)))

    call.__name__ = name
    return call
