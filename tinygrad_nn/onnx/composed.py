"""Compositions of ONNX operators for functions of entries that ONNX has no operator for.

Each takes the writer, the names of its arguments, which are cast, and the dtype; it returns the name of its result.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi
from typing import Any

import numpy as np

from .writer import Writer, scalar_constant


def _log1p(w: Writer, x: list[str], dtype: Any) -> str:
    # log(1 + x) loses digits of a small x; x log(u) / (u - 1) with u = 1 + x does not (Goldberg, 1991)
    unit = scalar_constant(w, 1.0, dtype)
    u = w.op("Add", x[0], unit)
    less = w.op("Sub", u, unit)
    even = w.op("Equal", less, scalar_constant(w, 0.0, dtype))
    whole = w.op("Mul", x[0], w.op("Div", w.op("Log", u), w.op("Where", even, unit, less)))
    infinite = w.op("IsInf", u)
    return str(w.op("Where", even, x[0], w.op("Where", infinite, w.op("Log", u), whole)))


def _expm1(w: Writer, x: list[str], dtype: Any) -> str:
    # e^x - 1 = tanh(x/2) (e^x + 1), which keeps the digits of a small x and gives no NaN for a large one
    half = w.op("Tanh", w.op("Mul", x[0], scalar_constant(w, 0.5, dtype)))
    return str(w.op("Mul", half, w.op("Add", w.op("Exp", x[0]), scalar_constant(w, 1.0, dtype))))


def _logaddexp(w: Writer, x: list[str], dtype: Any) -> str:
    apart = w.op("Neg", w.op("Abs", w.op("Sub", *x)))
    return str(w.op("Add", w.op("Max", *x), _log1p(w, [w.op("Exp", apart)], dtype)))


def _isfinite(w: Writer, x: list[str], dtype: Any) -> str:
    return str(w.op("Not", w.op("Or", w.op("IsInf", x[0]), w.op("IsNaN", x[0]))))


def _logaddexp2(w: Writer, x: list[str], dtype: Any) -> str:
    two = scalar_constant(w, np.log(2.0), dtype)
    apart = w.op("Mul", two, w.op("Neg", w.op("Abs", w.op("Sub", *x))))
    return str(w.op("Add", w.op("Max", *x), w.op("Div", _log1p(w, [w.op("Exp", apart)], dtype), two)))


def _signbit(w: Writer, x: str, dtype: Any) -> str:
    zero = scalar_constant(w, 0.0, dtype)
    negative = w.op("And", w.op("Equal", x, zero), w.op("Less", w.op("Reciprocal", x), zero))  # 1 / -0.0 is -inf
    return str(w.op("Or", w.op("Less", x, zero), negative))


def _copysign(w: Writer, x: list[str], dtype: Any) -> str:
    # a product, as onnxruntime's Where makes 0.0 of -0.0
    twice = w.op("Mul", scalar_constant(w, 2.0, dtype), w.cast(_signbit(w, x[1], dtype), dtype))
    return str(w.op("Mul", w.op("Abs", x[0]), w.op("Sub", scalar_constant(w, 1.0, dtype), twice)))


def _arctan2(w: Writer, x: list[str], dtype: Any) -> str:
    # the angle in the first quarter, by the smaller of |y|/|x| and |x|/|y|, then mirrored at the axes
    y, z = w.op("Abs", x[0]), w.op("Abs", x[1])
    zero, unit = scalar_constant(w, 0.0, dtype), scalar_constant(w, 1.0, dtype)
    both = w.op("Equal", y, z)  # also if both are infinite
    low, high = w.op("Min", y, z), w.op("Max", y, z)
    share = w.op("Where", both, unit, w.op("Div", low, w.op("Where", both, unit, high)))
    share = w.op("Where", w.op("Equal", high, zero), zero, share)
    angle = w.op("Atan", share)
    angle = w.op("Where", w.op("Greater", y, z), w.op("Sub", scalar_constant(w, pi / 2, dtype), angle), angle)
    left = w.op("Sub", scalar_constant(w, pi, dtype), angle)
    return _copysign(w, [w.op("Where", _signbit(w, x[1], dtype), left, angle), x[0]], dtype)


def _heaviside(w: Writer, x: list[str], dtype: Any) -> str:
    zero, unit = scalar_constant(w, 0.0, dtype), scalar_constant(w, 1.0, dtype)
    right = w.op("Where", w.op("Greater", x[0], zero), unit, x[0])  # NaN stays
    return str(w.op("Where", w.op("Equal", x[0], zero), x[1], w.op("Where", w.op("Less", x[0], zero), zero, right)))


def _unless_nan(w: Writer, x: list[str], chosen: str) -> str:
    other = w.op("Where", w.op("IsNaN", x[1]), x[0], chosen)
    return str(w.op("Where", w.op("IsNaN", x[0]), x[1], other))


def _sinc(w: Writer, x: list[str], dtype: Any) -> str:
    unit = scalar_constant(w, 1.0, dtype)
    none = w.op("Equal", x[0], scalar_constant(w, 0.0, dtype))
    angle = w.op("Where", none, unit, w.op("Mul", x[0], scalar_constant(w, pi, dtype)))
    return str(w.op("Where", none, unit, w.op("Div", w.op("Sin", angle), angle)))


COMPOSED: dict[str, Callable[[Writer, list[str], Any], str]] = {
    "square": lambda w, x, dtype: w.op("Mul", x[0], x[0]),
    "positive": lambda w, x, dtype: w.op("Identity", x[0]),
    "log1p": _log1p,
    "expm1": _expm1,
    "log2": lambda w, x, dtype: w.op("Div", w.op("Log", x[0]), scalar_constant(w, np.log(2.0), dtype)),
    "log10": lambda w, x, dtype: w.op("Div", w.op("Log", x[0]), scalar_constant(w, np.log(10.0), dtype)),
    "exp2": lambda w, x, dtype: w.op("Pow", scalar_constant(w, 2.0, dtype), x[0]),
    "cbrt": lambda w, x, dtype: w.op(
        "Mul", w.op("Sign", x[0]), w.op("Pow", w.op("Abs", x[0]), scalar_constant(w, 1 / 3, dtype))),
    "hypot": lambda w, x, dtype: w.op("Sqrt", w.op("Add", w.op("Mul", x[0], x[0]), w.op("Mul", x[1], x[1]))),
    "logaddexp": _logaddexp,
    "isnan": lambda w, x, dtype: w.op("IsNaN", x[0]),
    "isinf": lambda w, x, dtype: w.op("IsInf", x[0]),
    "isfinite": _isfinite,
    "fmod": lambda w, x, dtype: w.op("Mod", *x, fmod=1),
    "deg2rad": lambda w, x, dtype: w.op("Mul", x[0], scalar_constant(w, pi / 180, dtype)),
    "rad2deg": lambda w, x, dtype: w.op("Mul", x[0], scalar_constant(w, 180 / pi, dtype)),
    "logaddexp2": _logaddexp2,
    "ldexp": lambda w, x, dtype: w.op("Mul", x[0], w.op("Pow", scalar_constant(w, 2.0, dtype), x[1])),
    "arctan2": _arctan2,
    "heaviside": _heaviside,
    "signbit": lambda w, x, dtype: _signbit(w, x[0], dtype),
    "copysign": _copysign,
    "fmax": lambda w, x, dtype: _unless_nan(w, x, w.op("Max", *x)),
    "fmin": lambda w, x, dtype: _unless_nan(w, x, w.op("Min", *x)),
    "sinc": _sinc,
    "logit": lambda w, x, dtype: w.op("Log", w.op("Div", x[0], w.op("Sub", scalar_constant(w, 1.0, dtype), x[0]))),
    "trunc": lambda w, x, dtype: w.op("Mul", w.op("Sign", x[0]), w.op("Floor", w.op("Abs", x[0]))),
    "floor_divide": lambda w, x, dtype: w.op("Floor", w.op("Div", *x)) if dtype.kind == "f" else w.op("Div", *x),
    "remainder": lambda w, x, dtype: (
        w.op("Sub", x[0], w.op("Mul", x[1], w.op("Floor", w.op("Div", *x)))) if dtype.kind == "f" else w.op("Mod", *x)),
    "vecdot": lambda w, x, dtype: w.op("ReduceSum", w.op("Mul", *x), w.ints([-1]), keepdims=0),
}  # fmt: skip
