"""Numerical derivatives: along a line, by extrapolated differences or one complex step, and of a whole argument."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ..node import recording
from ..tensor import Tensor, raw, wrap
from ..tree import flatten

FIRST_STEP, LEVELS = 2.0**-6, 24  # each step is half the one before
SAFETY = 10.0  # how many times its own estimate the numerical error may be
SMALL_STEP = 2.0**-20  # nearer than most kinks
COMPLEX_STEP = 1e-20
JUMP = 1e-4  # of a slope, from one side to the other
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
        noise: the rounding error of one value of it.

    Returns:
        The entry of the tableau that differs least from its neighbours, with that difference, plus the rounding error
        ``noise / h``, as its error.

    Source:
        C. J. F. Ridders, Accurate computation of F'(x) and F'(x)F''(x), 1982.

    Example:
        >>> found = derivative(np.exp, 1e-16)
        >>> abs(found.value - 1) < 10 * found.error < 1e-10
        True
    """
    centre = float(phi(0.0))
    previous: list[float] = []
    slopes: list[float] = []
    jumps: list[float] = []
    best, error, least, stale = math.nan, math.inf, math.inf, 0
    for level in range(LEVELS):
        h = FIRST_STEP * 0.5**level
        up, down = float(phi(h)), float(phi(-h))
        if not math.isfinite(up - down):
            if slopes:
                break
            continue
        row = [(up - down) / (2 * h)]
        for j, before in enumerate(previous, 1):
            row.append(row[-1] + (row[-1] - before) / (4**j - 1))
            doubt = max(abs(row[-1] - row[-2]), abs(row[-1] - before)) + 2 * noise / h
            if doubt < error:
                best, error = row[-1], doubt
        slopes.append(row[0])
        jumps.append(abs((up - centre) - (centre - down)) / h)
        exact = error <= 1e-12 * abs(best) + 4 * noise / h or 2 * noise / h > error
        previous = row
        stale = 0 if error < least else stale + 1
        least = error
        if len(slopes) >= 4 and (exact or (stale >= 3 and error < 1e-5 * max(map(abs, slopes)))):
            break  # to go on would find numbers that agree by chance
    kink = _kink(slopes, jumps, best, error)
    found = Estimate(best, error, kink)
    return _nearer(phi, centre, noise, found)


def _nearer(phi: Callable[[float], float], centre: float, noise: float, found: Estimate) -> Estimate:
    """Return the slope by small steps where two of them agree on another: kinks in the sweep had agreed by chance."""
    doubt = 8 * noise / SMALL_STEP
    up, down = float(phi(SMALL_STEP)), float(phi(-SMALL_STEP))
    near = (up - down) / (2 * SMALL_STEP)
    if abs(near - found.value) <= SAFETY * found.error + doubt:
        return found
    half = (float(phi(SMALL_STEP / 2)) - float(phi(-SMALL_STEP / 2))) / SMALL_STEP
    if abs(near - half) <= doubt and abs(half - found.value) > SAFETY * found.error + doubt:
        jumps = abs((up - centre) - (centre - down)) / SMALL_STEP > JUMP * abs(half) + SAFETY * doubt
        near_by = f"a kink at a distance of more than {SMALL_STEP:.1g}"
        return Estimate(half, doubt, AT_POINT if jumps else found.kink.replace(AT_POINT, near_by) or near_by)
    return found


def _kink(slopes: list[float], jumps: list[float], best: float, error: float) -> str:
    """Say whether the slope jumps at 0, or within the steps of the sweep."""
    size = max(map(abs, slopes), default=0.0)
    if len(jumps) >= 4 and jumps[-1] > JUMP * size + SAFETY * error and jumps[-1] > 0.3 * max(jumps):
        return AT_POINT  # of a smooth function the jump shrinks with the step
    miss = [abs(slope - best) for slope in slopes]
    for k, (wide, narrow) in enumerate(pairwise(miss)):
        if wide > 1e-6 * size + 64 * error and narrow < wide / 64:  # of a smooth function it shrinks fourfold
            return f"a kink at a distance of about {FIRST_STEP * 0.75 * 0.5**k:.1g}"
    return ""


class Line:
    """A function with fixed cotangents for its results, looked at along lines through its arguments."""

    def __init__(self, f: Callable[..., Any], leaves: Sequence[Any]) -> None:
        """f takes the leaves and returns a list of arrays."""
        self.f, self.leaves = f, list(leaves)
        self.outs = [np.asarray(out) for out in f(*self.leaves)]
        again = [np.asarray(out) for out in f(*self.leaves)]
        same = (np.array_equal(a, b, equal_nan=a.dtype.kind in "fc") for a, b in zip(self.outs, again, strict=True))
        self.steady = all(same)
        self.doubts = [np.zeros(out.shape) for out in self.outs]  # what else than its last digit a value is off by

    def noise(self, cotangents: Sequence[Any]) -> float:
        """Return the rounding error of the sum of cotangent times result."""
        eps = max((np.finfo(out.dtype).eps for out in self.outs if out.dtype.kind in "fc"), default=0.0)
        return sum(float((np.abs(c) * (float(eps) * np.abs(out) + doubt)).sum())
                   for c, out, doubt in zip(cotangents, self.outs, self.doubts, strict=True))  # fmt: skip

    def along(self, direction: dict[int, Any], cotangents: Sequence[Any], complex_step: bool | None) -> Estimate:
        """Estimate the derivative of the sum of cotangent times result, where some leaves move."""

        def at(t: complex) -> list[Any]:
            still = 0 * t  # all leaves turn complex together, as a function that joins them may need
            moves = (t * direction[i] if i in direction else still for i in range(len(self.leaves)))
            return list(self.f(*(x + move for x, move in zip(self.leaves, moves, strict=True))))

        def phi(t: float) -> float:
            return sum(pair(c, out) for c, out in zip(cotangents, at(t), strict=True))

        eps = max((np.finfo(out.dtype).eps for out in self.outs if out.dtype.kind in "fc"), default=0.0)
        noise = self.noise(cotangents)
        with np.errstate(all="ignore"):
            found = derivative(phi, noise)
            if complex_step is False or any(out.dtype.kind == "c" for out in (*self.outs, *direction.values())):
                return found
            exact = _complex_step(at, cotangents)
        agrees = exact is not None and abs(exact - found.value) <= SAFETY * found.error + 1e-6 * abs(exact)
        if exact is not None and agrees and math.isfinite(exact):
            return Estimate(exact, float(eps) * (abs(exact) + noise / float(eps or 1)), found.kink, "complex step")
        if complex_step:
            raise ValueError(
                f"a complex step gives {exact}, differences give {found.value:.9g} +- {found.error:.1g}: the function "
                "is not analytic here. Use complex_step=False."
            )
        return found


def _complex_step(at: Callable[[complex], list[Any]], cotangents: Sequence[Any]) -> float | None:
    """Return the derivative by one complex step, or None where the function does not take complex numbers."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            outs = [np.asarray(out) for out in at(COMPLEX_STEP * 1j)]
    except Exception:  # whatever a function may raise that was never meant for complex numbers
        return None
    if not any(out.dtype.kind == "c" for out in outs):
        return None
    return sum(float(np.sum(c * out.imag)) for c, out in zip(cotangents, outs, strict=True)) / COMPLEX_STEP


def pair(a: Any, b: Any) -> float:
    """Return the real inner product, in which complex numbers are pairs of real ones."""
    return float(np.sum((np.conj(a) * b).real))


def double(x: Any) -> Any:
    """Return an array of floats in double precision; anything else as it is."""
    array = np.asarray(x)
    return array.astype(np.result_type(array.dtype, np.float64)) if array.dtype.kind in "fc" else x


def is_float(x: Any) -> bool:
    """Tell whether a value is an array, or a number, of real or complex floats."""
    return not isinstance(x, (str, type(None))) and np.asarray(x).dtype.kind in "fc"


def numerical_gradient(f: Callable[..., Any], *args: Any, argnums: int = 0) -> Any:
    """Estimate the gradient of a function that returns one number, entry by entry, in float64.

    Args:
        f: takes the arguments; it is called with ndarrays, or constant Tensors where Tensors were given.
        *args: arrays, or nests of containers of arrays.
        argnums: the position of the argument to move.

    Returns:
        The gradient, in the containers and shapes of that argument; of a complex entry the derivative by its real part
        plus i times that by its imaginary part.

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

    leaves = [double(raw(x)) for x in leaves]
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


