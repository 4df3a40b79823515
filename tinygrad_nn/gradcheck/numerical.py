"""Numerical derivatives along a line, by extrapolated differences or one complex step, and gradients made of them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from ..common.masked import unmasked
from ..node import recording
from ..tensor import Tensor, raw, wrap
from ..tree import flatten

FIRST_STEP, LEVELS = 2.0**-6, 24  # each step is half the one before
SWEEPS = 6  # at most, with ever smaller steps
SAFETY = 10.0  # the numerical error may be so many times its own estimate
SMALL_STEP = 2.0**-20  # smaller than the distance to most kinks
NEAR = 13 / 16 * SMALL_STEP  # no power of two, which could be the period of a function
COMPLEX_STEP = 1e-20
JUMP = 1e-4  # relative difference of the slopes on both sides of a kink
AT_POINT = "a kink at the point"
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Estimate:
    """A numerical derivative: its value, an estimate of its error, the kink found on the line, the method."""

    value: float
    error: float
    kink: str = ""
    method: str = "differences"


def derivative(phi: Callable[[float], float], noise: float) -> Estimate:
    r"""Estimate the derivative at 0 of a function of one number, by Richardson extrapolation.

    .. math:: D(h) = \frac{\varphi(h) - \varphi(-h)}{2h}, \qquad
              T_{k,j} = T_{k,j-1} + \frac{T_{k,j-1} - T_{k-1,j-1}}{4^j - 1}, \quad T_{k,0} = D(h_k)

    Args:
        phi: the function; steps where it is not finite are left out.
        noise: the rounding error of one value of the function.

    Returns:
        The entry of the tableau that differs least from its neighbours; its error is that difference plus the rounding
        error ``noise / h``.

    Source:
        C. J. F. Ridders, Accurate computation of F'(x) and F'(x)F''(x), 1982.

    Example:
        >>> found = derivative(np.exp, 1e-16)
        >>> abs(found.value - 1) < 10 * found.error < 1e-10
        True
    """
    seen: dict[float, float] = {}

    def at(t: float) -> float:
        if t not in seen:
            seen[t] = float(phi(t))
        return seen[t]

    sweep = _sweep(at, noise, FIRST_STEP)
    found = sweep.estimate
    if sweep.settled and abs(_slope(at, NEAR) - found.value) <= SAFETY * found.error + 8 * noise / NEAR:
        return found
    measured = 0.0 if sweep.ends else _noise(at)
    if measured > noise:
        noise, sweep = measured, _sweep(at, measured, FIRST_STEP)
    step, sweeps = NEAR, 0
    while step > 0 and sweeps < SWEEPS and not sweep.ends:
        least = step * 0.5**LEVELS
        if step == NEAR or math.isfinite(at(least) - at(-least)):
            sweep, sweeps = _better_sweep(sweep, _sweep(at, noise, step), step), sweeps + 1
            if sweep.settled:
                break
        step = least
    found = sweep.estimate
    return found if sweep.settled else replace(found, error=max(found.error, abs(found.value)))


@dataclass(frozen=True)
class _Sweep:
    """The estimate of one sweep of steps, whether it is reliable, and whether smaller steps cannot improve it."""

    estimate: Estimate
    settled: bool
    ends: bool


def _sweep(phi: Callable[[float], float], noise: float, first: float) -> _Sweep:
    """Extrapolate differences over a sequence of steps that starts with `first`; each step is half the one before."""
    centre = phi(0.0)
    previous: list[float] = []
    slopes: list[float] = []
    jumps: list[float] = []
    differences: list[float] = []
    best, error, least, stale, floor, flat = math.nan, math.inf, math.inf, 0, 0.0, False
    for level in range(LEVELS):
        h = first * 0.5**level
        up, down = phi(h), phi(-h)
        if not math.isfinite(up - down):
            if slopes:
                break
            continue
        flat = first < FIRST_STEP and up == centre == down
        if flat:
            break  # the steps have become too small to change anything
        floor = 2 * max(noise, EPS / 2 * max(abs(up), abs(down))) / h
        row = [(up - down) / (2 * h)]
        for j, before in enumerate(previous, 1):
            row.append(row[-1] + (row[-1] - before) / (4**j - 1))
            doubt = max(abs(row[-1] - row[-2]), abs(row[-1] - before)) + floor
            if doubt < error:
                best, error = row[-1], doubt
        slopes.append(row[0])
        jumps.append(abs((up - centre) - (centre - down)) / h)
        differences.append(abs(up - down))
        exact = error <= 1e-12 * abs(best) + 2 * floor or floor > error
        previous = row
        stale = 0 if error < least else stale + 1
        least = error
        if len(slopes) >= 4 and (exact or (stale >= 3 and error < 1e-5 * max(map(abs, slopes)))):
            break  # smaller steps would only find numbers that agree by chance
    found = Estimate(best, error, _kink(slopes, jumps, best, error, first))
    settled = error <= max(1e-3 * abs(best), 64 * floor)
    steps_over = len(differences) >= 4 and 8 * floor * h < 0.9 * differences[0] < differences[-1] < 1.1 * differences[0]
    # a jump has the same height for the smallest steps, unlike a slope that is steep in a narrow range
    is_jump = steps_over and abs(phi(h * SMALL_STEP) - phi(-h * SMALL_STEP)) > 0.9 * differences[0]
    return _Sweep(found, settled, flat or is_jump)


def _slope(phi: Callable[[float], float], h: float) -> float:
    return (phi(h) - phi(-h)) / (2 * h)


def _better_sweep(before: _Sweep, after: _Sweep, step: float) -> _Sweep:
    """Return the sweep of smaller steps if it is better or contradicts the first: wide steps may agree by chance."""
    found, near = before.estimate, after.estimate
    apart = abs(near.value - found.value) > SAFETY * (found.error + near.error)
    better = near.error < found.error / SAFETY or not before.settled
    if not math.isfinite(near.value) or not (apart or better):
        return replace(before, ends=after.ends)
    kink = near.kink or found.kink.replace(AT_POINT, "")
    if apart and before.settled:
        kink = kink or f"a kink at a distance of more than {step:.1g}"
    return replace(after, estimate=replace(near, kink=kink))


def _noise(phi: Callable[[float], float]) -> float:
    """Measure the rounding error of a value by eighth differences, which are nearly 0 for a smooth function.

    Source:
        J. J. More and S. M. Wild, Estimating computational noise, 2011.
    """

    def of(width: float) -> float:
        half = np.array([(phi(k * width / 8) - phi(-k * width / 8)) / 2 for k in range(9)])
        eighth = np.diff(np.concatenate([-half[:0:-1], half]), 8)
        return math.sqrt(2 / math.comb(16, 8)) * float(np.abs(eighth).max())

    def measured(width: float) -> float:  # rounding may have the period of one of the widths
        return max(map(of, (width, 0.77 * width, 0.59 * width)))

    wide, narrow = measured(NEAR), measured(NEAR / 64)
    found = [wide, narrow]
    if not wide / 3 < narrow < 3 * wide:
        found.append(measured(NEAR / 64**2))
        if wide > 3 * narrow > 9 * found[2] > 0 or wide < narrow / 3 < found[2] / 9:
            return 0.0  # it depends on the width, so it is no rounding error: a kink, or a pole nearby
    return min((x for x in found if x > 0 and math.isfinite(x)), default=0.0)


def _kink(slopes: list[float], jumps: list[float], best: float, error: float, first: float) -> str:
    """Return text about a jump of the slope at 0 or within the steps of the sweep, or ``''`` if there is none."""
    size = max(map(abs, slopes), default=0.0)
    if len(jumps) >= 4 and jumps[-1] > JUMP * size + SAFETY * error and jumps[-1] > 0.3 * max(jumps):
        return AT_POINT  # for a smooth function the jump shrinks with the step
    miss = [abs(slope - best) for slope in slopes]
    for k, (wide, narrow) in enumerate(pairwise(miss)):
        if wide > 1e-6 * size + 64 * error and narrow < wide / 64:  # for a smooth function it shrinks fourfold
            return f"a kink at a distance of about {first * 0.75 * 0.5**k:.1g}"
    return ""


class Line:
    """A function that is evaluated along lines through its arguments, to differentiate cotangents times results."""

    def __init__(self, f: Callable[..., Any], leaves: Sequence[Any], may_round: bool = False) -> None:
        """Evaluate f, which takes the leaves and returns a list of arrays, twice at the leaves.

        With `may_round`, f is also tested for rounding its leaves to float32 although the number it returns is float64.
        """
        self.f, self.leaves = f, list(leaves)
        self.outs = [np.asarray(out) for out in f(*self.leaves)]
        self.steady = same_arrays(self.outs, [np.asarray(out) for out in f(*self.leaves)])
        self.doubts = [np.zeros(out.shape) for out in self.outs]  # errors of the values beyond their last digit
        self.eps = max((float(np.finfo(out.dtype).eps) for out in self.outs if out.dtype.kind in "fc"), default=0.0)
        may_round = may_round and self.eps == EPS and self.steady and all(out.size == 1 for out in self.outs)
        if may_round and any(map(self._is_cast, range(len(self.leaves)))):
            self.eps = float(np.finfo(np.float32).eps)

    def _is_cast(self, i: int) -> bool:
        """Tell whether f rounds leaf i to float32 and returns float64, such as ``float(loss)``."""
        x = np.asarray(self.leaves[i])
        if x.dtype != np.float64 or not x.size:
            return False
        moved = x * (1 + 1e-5 * np.random.default_rng(0).uniform(0.5, 1.0, x.shape))  # no float32 numbers any more
        try:
            exact, rounded = ([np.asarray(out) for out in self.f(*self.leaves[:i], v, *self.leaves[i + 1 :])]
                              for v in (moved, np.float64(np.float32(moved))))  # fmt: skip
        except Exception:  # user code may raise anything for inputs that it was not made for
            return False
        return same_arrays(exact, rounded) and any(map(_is_other_float32, exact, self.outs))

    def noise(self, cotangents: Sequence[Any]) -> float:
        """Return the rounding error of the sum of cotangent times result."""
        return sum(float((np.abs(c) * (self.eps * np.abs(out) + doubt)).sum())
                   for c, out, doubt in zip(cotangents, self.outs, self.doubts, strict=True))  # fmt: skip

    def along(self, direction: dict[int, Any], cotangents: Sequence[Any], complex_step: bool | None) -> Estimate:
        """Estimate the derivative of the sum of cotangent times result as some leaves move along a direction."""

        def at(t: complex) -> list[Any]:
            moved = [x + t * direction[i] if i in direction else x for i, x in enumerate(self.leaves)]
            if isinstance(t, complex):  # all leaves turn complex together, as a function that joins them may need
                moved = [x + 0 * t for x in moved]
            return list(self.f(*moved))

        @cache
        def phi(t: float) -> float:
            outs = at(t) if t or not self.steady else self.outs
            return sum(inner_product(c, out) for c, out in zip(cotangents, outs, strict=True))

        noise = self.noise(cotangents)
        with np.errstate(all="ignore"):
            found = derivative(phi, noise)
            if complex_step is False or any(out.dtype.kind == "c" for out in (*self.outs, *direction.values())):
                return found
            exact = _complex_step(at, cotangents)
        agrees = exact is not None and abs(exact - found.value) <= SAFETY * found.error + 1e-6 * abs(exact)
        if exact is not None and agrees and math.isfinite(exact):
            error = self.eps * (abs(exact) + noise / (self.eps or 1))
            if not _is_analytic(at, phi, cotangents, exact, noise):
                error = max(error, found.error, abs(exact - found.value))
            return Estimate(exact, error, found.kink, "complex step")
        if complex_step:
            raise ValueError(
                f"a complex step gives {exact}, differences give {found.value:.9g} +- {found.error:.1g}: the function "
                "is not analytic here. Use complex_step=False."
            )
        return found


def _is_other_float32(new: Any, old: Any) -> bool:
    """Tell whether an array changed by more than an eighth of the spacing of float32 numbers, so not by rounding."""
    with np.errstate(all="ignore"):
        change, size = (np.abs(x).max(initial=0.0) for x in (np.subtract(new, old, dtype=complex), old))
    return bool(change > np.finfo(np.float32).eps / 8 * size)


def same_arrays(some: Sequence[Any], others: Sequence[Any]) -> bool:
    """Tell whether two lists of arrays are equal; NaN equals NaN."""
    return all(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc") for a, b in zip(some, others, strict=True))


@cache
def _gauss_nodes() -> Any:
    return np.polynomial.legendre.leggauss(5)


def _is_analytic(
    at: Callable[[complex], list[Any]], phi: Callable[[float], float], cotangents: Sequence[Any], slope: float,
    noise: float,
) -> bool:  # fmt: skip
    """Tell whether the slopes by complex steps near the point integrate to the change of the function there."""
    nodes, weights = _gauss_nodes()
    for t in (2.0**-10, 2.0**-20, 2.0**-30):
        doubt = 16 * noise / t
        if doubt > 1e-9 * abs(slope):
            return False
        slopes = [_complex_step(at, cotangents, t * node) for node in nodes]
        mean = sum(w / 2 * s for w, s in zip(weights, slopes, strict=True) if s is not None)
        if abs(mean - _slope(phi, t)) <= doubt + 4 * EPS * abs(slope):
            return True
    return False


def _complex_step(at: Callable[[complex], list[Any]], cotangents: Sequence[Any], t: float = 0.0) -> float | None:
    """Return the derivative at t by one complex step, or None if the function does not take complex numbers."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            outs = [np.asarray(out) for out in at(complex(t, COMPLEX_STEP))]
    except Exception:  # a function that was not meant for complex numbers may raise anything
        return None
    if not any(out.dtype.kind == "c" for out in outs):
        return None
    return sum(float(np.sum(c * out.imag)) for c, out in zip(cotangents, outs, strict=True)) / COMPLEX_STEP


def inner_product(a: Any, b: Any) -> float:
    """Return the real inner product, in which complex numbers are pairs of real ones."""
    return float(np.sum((np.conj(a) * b).real))


def to_double(x: Any) -> Any:
    """Return an array of floats in double precision, and any other value unchanged."""
    array = np.asarray(unmasked(x))
    return array.astype(np.result_type(array.dtype, np.float64)) if array.dtype.kind in "fc" else x


def is_float(x: Any) -> bool:
    """Tell whether a value is an array, or a number, of real or complex floats."""
    return not isinstance(x, (str, type(None))) and np.asarray(x).dtype.kind in "fc"


def numerical_gradient(f: Callable[..., Any], *args: Any, argnums: int = 0) -> Any:
    """Estimate the gradient of a function that returns one number, entry by entry, in float64.

    Args:
        f: takes the arguments; it is called with ndarrays, or with constant Tensors if Tensors were given.
        *args: arrays, or nests of containers of arrays.
        argnums: the position of the argument to move.

    Returns:
        The gradient, in the structure and shapes of that argument; for a complex entry it is the derivative by the
        real part plus i times the derivative by the imaginary part.

    Raises:
        ValueError: f returns more than one number.

    Example:
        >>> print(numerical_gradient(lambda x: np.sum(x**2), np.array([1.0, 3.0])).round(9))
        [2. 6.]
    """
    leaves, rebuild = flatten(args[argnums])
    tensors = [isinstance(x, Tensor) for x in leaves]

    def call(*moved: Any) -> list[Any]:
        new = [wrap(x, None) if was else x for x, was in zip(moved, tensors, strict=True)]
        value = raw(f(*args[:argnums], rebuild(new), *args[argnums % len(args) + 1 :]))
        if np.size(value) != 1:
            raise ValueError(f"a gradient needs one number; the function returned an array of shape {np.shape(value)}.")
        return [np.asarray(value)]

    leaves = [to_double(raw(x)) for x in leaves]
    with recording(False):
        line = Line(call, leaves)
        gradients = [np.zeros_like(x) for x in leaves]
        for i, x in enumerate(leaves):
            for index in np.ndindex(np.shape(x)) if is_float(x) else ():
                for unit in (1.0, 1j) if x.dtype.kind == "c" else (1.0,):
                    direction = np.zeros_like(x)
                    direction[index] = unit * max(1.0, abs(x[index]))
                    slope = line.along({i: direction}, [np.ones_like(line.outs[0])], None).value
                    gradients[i][index] += unit * (slope / max(1.0, abs(x[index])))
    return rebuild(gradients)


