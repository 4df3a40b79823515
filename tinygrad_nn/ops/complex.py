r"""Real and imaginary part, conjugate and angle of complex numbers, and np.emath; the parts are not holomorphic.

For a real L, a rule maps the cotangent g, defined by :math:`dL = \operatorname{Re}(g \, d\mathrm{out})`, to that of its
argument: it is the transpose, without a conjugate. `backward` conjugates at its two ends, so users see
:math:`\partial L / \partial \operatorname{Re} x + i \, \partial L / \partial \operatorname{Im} x`, as in PyTorch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitive import METHODS, OVERRIDES, Array, declare
from .plain import as_arrays


# fmt: off
def _real(x: Array) -> Array:
    return np.asarray(x).real

real = declare(_real, r"\operatorname{Re} x",
    (lambda g, out, x: g,                          r"g"),
    numpy=np.real)


def _imag(x: Array) -> Array:
    return np.asarray(x).imag

imag = declare(_imag, r"\operatorname{Im} x",
    (lambda g, out, x: g * -1j,                    r"-i \, g"),
    numpy=np.imag)

conjugate = declare(np.conjugate, r"\bar x",
    (lambda g, out, x: np.conjugate(g),            r"\bar g"))


# fmt: on


def _angle(z: Array, deg: bool = False) -> Array:
    angle = np.arctan2(imag(z) if z.dtype.kind == "c" else 0, real(z))
    return angle * (180 / np.pi) if deg else angle  # the factor by which NumPy multiplies


def _real_if_close(a: Array, tol: float = 100) -> Array:
    return real(a) if np.isrealobj(np.real_if_close(as_arrays(a), tol=tol)) else a




# -- np.emath: functions with a complex result where the real function is undefined

def _widen(x: Array, outside: Any) -> Array:
    """Return x, converted to complex numbers if it is real and any entry is outside the real function's domain."""
    x = x if hasattr(x, "dtype") else np.asarray(x)
    if x.dtype.kind == "c" or not np.any(outside(as_arrays(x))):
        return x
    if x.dtype == np.float16:  # NumPy converts half precision to double
        x = x.astype(np.float64)
    return x + 0j if x.dtype.kind == "f" else x.astype(np.result_type(x.dtype, np.complex64))


def _negative(x: Any) -> Any:
    return x < 0


def _beyond_one(x: Any) -> Any:
    return abs(x) > 1


def _with_widening(function: Any, outside: Any) -> Any:
    return lambda x: function(_widen(x, outside))


def _logn(n: Any, x: Any) -> Array:
    return np.log(_widen(x, _negative)) / np.log(_widen(n, _negative))


def _power(x: Any, p: Any) -> Array:
    p = p if hasattr(p, "dtype") else np.asarray(p)
    if p.dtype.kind in "iu" and np.any(np.less(p, 0)):
        p = p * 1.0
    return np.power(_widen(x, _negative), p)


overrides: dict[Any, Any] = {
    np.angle: _angle, np.real_if_close: _real_if_close, np.emath.logn: _logn, np.emath.power: _power,
}  # fmt: skip
for function, outside in (
    (np.sqrt, _negative), (np.log, _negative), (np.log2, _negative), (np.log10, _negative),
    (np.arccos, _beyond_one), (np.arcsin, _beyond_one), (np.arctanh, _beyond_one),
):  # fmt: skip
    overrides[getattr(np.emath, function.__name__)] = _with_widening(function, outside)
OVERRIDES.update(overrides)
METHODS["conj"] = lambda x: x if x.dtype == bool else conjugate(x)  # np.conj would convert booleans to integers
