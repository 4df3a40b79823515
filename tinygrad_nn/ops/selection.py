"""Primitives that select, clip or round values: their slopes are 0 or 1, with kinks where the selection changes.

Where a value is NaN no argument counts as the loser, so that the gradient is passed on rather than set to 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..primitive import METHODS, OVERRIDES, REGISTRY, Array, declare
from .plain import as_arrays, is_tensor, refuse_out

inf = np.inf
MISSING = object()


def _selected_gradient(loses: Any, ties: Any, g: Array) -> Array:
    """Return the gradient of one argument: 0 where it loses the comparison, half of g where it ties, else g."""
    return np.where(loses, 0, np.where(ties, 0.5 * g, g))

# fmt: off
maximum = declare(np.maximum, r"\max(x, y)",
    (lambda g, out, x, y: _selected_gradient(x < y, x == y, g), r"g \, [x > y] + \tfrac{g}{2} [x = y]"),
    (lambda g, out, x, y: _selected_gradient(y < x, x == y, g), r"g \, [y > x] + \tfrac{g}{2} [x = y]"),
    kinks="a tie gives half to each")

minimum = declare(np.minimum, r"\min(x, y)",
    (lambda g, out, x, y: _selected_gradient(x > y, x == y, g), r"g \, [x < y] + \tfrac{g}{2} [x = y]"),
    (lambda g, out, x, y: _selected_gradient(y > x, x == y, g), r"g \, [y < x] + \tfrac{g}{2} [x = y]"),
    kinks="a tie gives half to each")


def _tie(x: Array, y: Array) -> Any:
    return (x == y) | (np.isnan(x) & np.isnan(y))

fmax = declare(np.fmax, r"\max(x, y) \text{ of numbers}",
    (lambda g, out, x, y: _selected_gradient((x < y) | (np.isnan(x) & ~np.isnan(y)), _tie(x, y), g),
                                                    r"g \, [x > y] + \tfrac{g}{2} [x = y]"),
    (lambda g, out, x, y: _selected_gradient((y < x) | (np.isnan(y) & ~np.isnan(x)), _tie(x, y), g),
                                                    r"g \, [y > x] + \tfrac{g}{2} [x = y]"),
    kinks="a tie gives half to each; NaN loses against a number")

fmin = declare(np.fmin, r"\min(x, y) \text{ of numbers}",
    (lambda g, out, x, y: _selected_gradient((x > y) | (np.isnan(x) & ~np.isnan(y)), _tie(x, y), g),
                                                    r"g \, [x < y] + \tfrac{g}{2} [x = y]"),
    (lambda g, out, x, y: _selected_gradient((y > x) | (np.isnan(y) & ~np.isnan(x)), _tie(x, y), g),
                                                    r"g \, [y < x] + \tfrac{g}{2} [x = y]"),
    kinks="a tie gives half to each; NaN loses against a number")

where = declare(np.where, r"x \text{ if } c \text{ else } y",
    None,
    (lambda g, out, c, x, y: np.where(c, g, 0),     r"g \, [c]"),
    (lambda g, out, c, x, y: np.where(c, 0, g),     r"g \, [\neg c]"),
    name="where", entrywise=True)


def _clip(x: Array, low: Array, high: Array) -> Array:
    return np.clip(x, low, high)

clip = declare(_clip, r"\min(\max(x, a), b)",
    (lambda g, out, x, a, b: np.where((x <= a) | (x >= b), 0, g),  r"g \, [a < x < b]"),
    (lambda g, out, x, a, b: np.where((x <= a) & (a < b), g, 0),   r"g \, [x \le a < b]"),
    (lambda g, out, x, a, b: np.where((x >= b) | (a >= b), g, 0),  r"g \, [x \ge b \text{ or } a \ge b]"),
    kinks="at a bound the slope in x is 0 and that in the bound 1; where the bounds cross the upper one wins",
    entrywise=True)

OVERRIDES[np._core.umath.clip] = lambda x, low, high: clip(x, low, high)  # type: ignore[attr-defined] # array.clip(t)

heaviside = declare(np.heaviside, r"[x > 0] + y \, [x = 0]",
    None,
    (lambda g, out, x, y: np.where(x == 0, g, 0),   r"g \, [x = 0]"),
    domain=[(0, 0), (-2, 2)], kinks="the slope in x is 0, at the jump too")


def _nan_to_num(x: Array, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Array:
    return np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)


def _nan_to_num_vjp(g: Array, out: Array, x: Array, **metadata: Any) -> Array:
    if x.dtype.kind != "c":
        return np.where(np.isfinite(x), g, 0)
    return np.where(np.isfinite(x.real), g.real, 0) + 1j * np.where(np.isfinite(x.imag), g.imag, 0)

nan_to_num = declare(_nan_to_num, r"x \text{ if finite}",
    (_nan_to_num_vjp,                               r"g \, [|x| < \infty]"),
    numpy=np.nan_to_num, kinks="where x is NaN or infinite the slope is 0; x is not written into, even with copy=False")

# -- quotients with a remainder

remainder = declare(np.remainder, r"x - y \lfloor x / y \rfloor",
    (lambda g, out, x, y: g,                        r"g"),
    (lambda g, out, x, y: -g * np.floor_divide(x, y), r"-g \, \lfloor x / y \rfloor"),
    domain=[(6.2, 6.8), (2.3, 3)], kinks="at a multiple of y the slope is that just above it")

fmod = declare(np.fmod, r"x - y \operatorname{trunc}(x / y)",
    (lambda g, out, x, y: g,                        r"g"),
    (lambda g, out, x, y: -g * np.rint((x - out) / y), r"-g \operatorname{trunc}(x / y)"),
    domain=[(6.2, 6.8), (2.3, 3)], kinks="at a multiple of y the slope is that just outside it")


def _fraction(x: Array) -> Array:
    return np.modf(x)[0]

fraction = declare(_fraction, r"x - \operatorname{trunc} x",
    (lambda g, out, x: g,                           r"g"),
    domain=[(0.1, 0.9)], kinks="at an integer the slope is 1")


def _mantissa(x: Array) -> Array:
    return np.frexp(x)[0]


def _mantissa_vjp(g: Array, out: Array, x: Array) -> Array:
    whole = (x != 0) & np.isfinite(x)
    return g * np.where(whole, out / np.where(whole, x, 1), 1)

mantissa = declare(_mantissa, r"x \, 2^{-e}",
    (_mantissa_vjp,                                 r"g \, 2^{-e}"),
    domain=[(1.1, 1.9)], kinks="at powers of 2 the slope is that just outside them; at 0 it is 1")


def _exponent(x: Array) -> Array:
    return np.frexp(x)[1]

exponent = declare(_exponent, r"\lfloor \log_2 |x| \rfloor + 1", None, kinks="the result is an integer, so a constant")

nextafter = declare(np.nextafter, r"x \pm \varepsilon",
    (lambda g, out, x, y: g,                        r"g"),
    None,
    kinks="the step to the next float is constant")


def _unwrap(x: Array, discont: Any = None, axis: int = -1, *, period: float = 2 * np.pi) -> Array:
    return np.unwrap(x, discont, axis, period=period)

unwrap = declare(_unwrap, r"x + 2 \pi k",
    (lambda g, out, x, **metadata: g,               r"g"),
    numpy=np.unwrap, kinks="the number of periods added is constant")

# -- step functions, whose slope is 0 everywhere

floor = declare(np.floor, r"\lfloor x \rfloor", None, kinks="the slope is 0, at the jumps too")

ceil = declare(np.ceil, r"\lceil x \rceil", None, kinks="the slope is 0, at the jumps too")

trunc = declare(np.trunc, r"\operatorname{trunc} x", None, numpy=np.fix, kinks="the slope is 0, at the jumps too")

rint = declare(np.rint, r"\operatorname{rint} x", None, kinks="the slope is 0, at the jumps too")


def _round(x: Array, decimals: int = 0) -> Array:
    return np.round(x, decimals)

round = declare(_round, r"\operatorname{round} x", None,
    numpy=(np.round, np.around), kinks="the slope is 0, at the jumps too")

spacing = declare(np.spacing, r"\varepsilon(x)", None, kinks="the slope is 0, at the jumps too")

floor_divide = declare(np.floor_divide, r"\lfloor x / y \rfloor", None, None,
    kinks="the slopes are 0, at the jumps too")


# fmt: on


# -- compositions of the above

def _where(condition: Any, *choices: Any) -> Any:
    return where(condition, *choices) if choices else np.nonzero(as_arrays(condition))


def _dtype_bounds(dtype: Any) -> tuple[Any, Any]:
    """Return the smallest and the largest value of a dtype, as bounds for np.clip that change nothing."""
    if dtype.kind in "iu":
        return np.iinfo(dtype).min, np.iinfo(dtype).max
    return (False, True) if dtype.kind == "b" else (-inf, inf)


def _clip_as_numpy(x: Any, a_min: Any = MISSING, a_max: Any = MISSING, out: Any = None, **options: Any) -> Array:
    """Return np.clip of a Tensor; the bounds, ``a_min, a_max`` or ``min=, max=``, are None, numbers or arrays."""
    refuse_out("clip", out)
    low, high = options.pop("min", MISSING), options.pop("max", MISSING)
    dtype = options.pop("dtype", None)
    if options:
        raise TypeError(f"np.clip of a Tensor takes bounds and dtype= only, not {', '.join(options)}=.")
    if (low is not MISSING or high is not MISSING) and (a_min is not MISSING or a_max is not MISSING):
        raise ValueError("np.clip takes its bounds as a_min, a_max or as min=, max=, not both.")
    bounds = (a_min, a_max) if low is high is MISSING else (low, high)
    x = x if hasattr(x, "dtype") else np.asarray(x)
    x = x if dtype is None else x.astype(dtype)
    low, high = (
        end if b is None or b is MISSING else b for b, end in zip(bounds, _dtype_bounds(x.dtype), strict=True)
    )
    return clip(x, low, high)


def _modf(x: Array) -> tuple[Array, Array]:
    part = fraction(x)  # for integers this is a float
    return part, trunc(x if x.dtype == part.dtype else x.astype(part.dtype))


def _frexp(x: Array) -> tuple[Array, Array]:
    return mantissa(x), exponent(x.detach() if is_tensor(x) else x)


def _divmod(x: Array, y: Array) -> tuple[Array, Array]:
    return floor_divide(x, y), remainder(x, y)


def _select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Array:
    """Return np.select of Tensors: for each entry, that of the first choice whose condition is true."""
    if len(condlist) != len(choicelist) or len(condlist) == 0:
        raise ValueError(
            f"np.select needs as many choices as conditions, and at least one; it got {len(condlist)} conditions and "
            f"{len(choicelist)} choices."
        )
    out = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        if as_arrays(condition).dtype != bool:
            raise TypeError(f"np.select needs conditions of dtype bool; one has {condition.dtype}.")
        out = where(condition, choice, out)
    return out


def mask_of(condition: Any, shape: tuple[int, ...]) -> Any:
    """Return a condition broadcast to a mask of all entries; with fewer axes it applies to the first, like an index."""
    n = condition.ndim
    if condition.shape != shape[:n]:
        raise IndexError(f"np.piecewise needs conditions of the shape of x, {shape}; one has {condition.shape}.")
    return np.broadcast_to(condition.reshape(condition.shape + (1,) * (len(shape) - n)), shape)


def _piecewise(x: Array, condlist: Any, funclist: Sequence[Any], *args: Any, **kwargs: Any) -> Array:
    """Return np.piecewise of a Tensor: for each entry, the function of the last condition that is true applies.

    Each function is called only with the entries for which its condition is true.
    """
    x = x if hasattr(x, "dtype") else np.asarray(x)
    conditions = as_arrays(condlist)
    if np.ndim(conditions) == 0 or (np.ndim(conditions[0]) == 0 and x.ndim != 0):
        conditions = [conditions]
    conditions = [mask_of(np.asanyarray(c, dtype=bool), x.shape) for c in conditions]  # asanyarray keeps vmap's arrays
    if len(funclist) == len(conditions) + 1:
        conditions.append(~np.any(conditions, axis=0))
    if len(funclist) != len(conditions):
        raise ValueError(
            f"np.piecewise of {len(conditions)} conditions needs that many functions, or one more for the rest; it got "
            f"{len(funclist)}."
        )
    out = x * 0 if x.dtype.kind in "iu" else np.zeros_like(x)
    for condition, function in zip(conditions, funclist, strict=True):
        if not callable(function):
            out = where(condition, function, out)
        elif condition.any():
            out = REGISTRY["at_set"](out, function(x[condition], *args, **kwargs), index=condition)
    # NumPy cuts off the fractions of what it writes into integers; a gradient would be lost with them
    return out if getattr(out, "requires_grad", False) else out.astype(x.dtype)


def _interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Array:
    """Return np.interp of Tensors: the piecewise linear function through (xp, fp), with the right slope at a knot."""
    x, xp, fp = (np.multiply(a, np.float64(1)) for a in (x, xp, fp))  # in float64, like NumPy
    if "c" in (x.dtype.kind, xp.dtype.kind):
        raise TypeError(f"np.interp needs real numbers as x and xp; they have the dtypes {x.dtype} and {xp.dtype}.")
    if period is not None:
        if period == 0:
            raise ValueError("np.interp needs a period other than 0.")
        period, left, right = abs(period), None, None
        x, xp = x % period, xp % period
        order = np.argsort(xp)
        xp, fp = xp[order], fp[order]
        xp, fp = np.concatenate([xp[-1:] - period, xp, xp[:1] + period]), np.concatenate([fp[-1:], fp, fp[:1]])
    at, knots = as_arrays(x), as_arrays(xp)
    n = len(knots)
    if n == 0 or knots.shape != np.shape(fp):
        raise ValueError(f"np.interp needs as many values as knots, and some; it got {np.shape(fp)} and {knots.shape}.")
    j = np.searchsorted(knots[1:-1], at, side="right")  # the number of inner knots that are at or left of x
    near = np.where(at == knots[-1], n - 1, j)  # at the last knot start from it, so that the value is exact
    slope = (fp[j + 1] - fp[j]) / (xp[j + 1] - xp[j]) if n > 1 else 0 * fp[j]
    out = fp[near] + slope * (x - xp[near])
    out = where(at < knots[0], fp[0] if left is None else left, out)
    return where(at > knots[-1], fp[-1] if right is None else right, out)


overrides: dict[Any, Any] = {
    np.where: _where, np.clip: _clip_as_numpy, np.modf: _modf, np.frexp: _frexp, np.divmod: _divmod, np.select: _select,
    np.piecewise: _piecewise, np.interp: _interp,
}  # fmt: skip
OVERRIDES.update(overrides)

METHODS["clip"] = _clip_as_numpy
