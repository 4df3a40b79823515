"""Numerical gradients of a function that has no graph: every entry if time allows, else a random part of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...gradcheck.numerical import AT_POINT, SAFETY, SMALL_STEP, Line, inner_product
from ..budget import Budget

Array = np.ndarray[Any, Any]

FEW = 24  # entries of each input that are differentiated however long it takes
DIRECTIONS = 3
NOISE = 1e-3  # of the largest entry: a gradient that changes by more, for inputs moved by a few ulps, has a jump


@dataclass
class NumericalGradient:
    """The numerical gradient of one input: `value`, NaN for entries not computed, and the bound `error` of each entry.

    At a kink any slope from `low` to `high` is right. `directions` holds (v, slope, error bound) of random directions.
    """

    value: Array
    error: Array
    low: Array
    high: Array
    kinks: int = 0
    directions: list[tuple[Array, float, float]] = field(default_factory=list)

    @property
    def is_known(self) -> Array:
        """A boolean mask of the entries whose derivative is known."""
        is_known: Array = np.isfinite(self.value)
        return is_known


def differentiate_inputs(
    line: Line, cotangents: Sequence[Any], rng: np.random.Generator, seconds: float, max_entries: int | None = None
) -> list[NumericalGradient]:
    """Differentiate in about `seconds` with respect to each input, and at most `max_entries` entries of each.

    Entries are taken in a random order, so that the entries not reached in time are a random part.
    """
    gradients = []
    budget, remaining = Budget(seconds), sum(np.size(x) for x in line.leaves)
    for i, x in enumerate(line.leaves):
        value, low, high = (np.full(np.shape(x), np.nan, np.result_type(x, np.float64)) for _ in range(3))
        numerical = NumericalGradient(value, np.full(np.shape(x), np.nan), low, high)
        with budget, Budget(budget.remaining * np.size(x) / max(1, remaining)) as share:
            remaining -= np.size(x)
            for done, flat in enumerate(rng.permutation(np.size(x))[:max_entries]):
                if done >= FEW and share.is_over:
                    break
                index = tuple(map(int, np.unravel_index(flat, np.shape(x))))
                _differentiate_entry(line, i, index, cotangents, numerical)
            if not numerical.is_known.all():
                numerical.directions = _directional_slopes(line, i, cotangents, rng)
        gradients.append(numerical)
    return gradients


def _differentiate_entry(
    line: Line, i: int, index: tuple[int, ...], cotangents: Sequence[Any], numerical: NumericalGradient
) -> None:
    x = line.leaves[i]
    size = max(1.0, float(np.abs(x[index])))
    value: Any = 0.0
    error, sides = 0.0, None
    for unit in (1.0, 1j) if x.dtype.kind == "c" else (1.0,):
        v = np.zeros_like(x)
        v[index] = size * unit
        slope = line.along({i: v}, cotangents, None)
        value += unit * slope.value / size
        error += SAFETY * slope.error / size
        if slope.kink == AT_POINT:
            (up, first), (down, second) = (one_side(line, i, sign * v, cotangents) for sign in (1.0, -1.0))
            sides = (min(up, -down) - first - second) / size, (max(up, -down) + first + second) / size
            numerical.kinks += 1
    numerical.value[index], numerical.error[index] = value, error
    numerical.low[index], numerical.high[index] = (value, value) if sides is None else sides


def one_side(line: Line, i: int, v: Array, cotangents: Sequence[Any]) -> tuple[float, float]:
    """Return the slope along a direction `v` on that side of the point, and its error."""

    def phi(t: float) -> float:
        outs = line.f(*(x + t * v if j == i else x + 0.0 for j, x in enumerate(line.leaves)))
        return sum(inner_product(c, out) for c, out in zip(cotangents, outs, strict=True))

    noise = line.noise(cotangents)
    at_point = phi(0.0)
    slope, wide_slope = ((phi(h) - at_point) / h for h in (SMALL_STEP, 2 * SMALL_STEP))
    return 2 * slope - wide_slope, abs(slope - wide_slope) + 8 * noise / SMALL_STEP


def _directional_slopes(
    line: Line, i: int, cotangents: Sequence[Any], rng: np.random.Generator
) -> list[tuple[Array, float, float]]:
    x, slopes = line.leaves[i], []
    for _ in range(DIRECTIONS):
        v = rng.normal(size=x.shape) * np.maximum(1.0, np.abs(x))
        v = v * np.exp(2j * rng.normal(size=x.shape)) if x.dtype.kind == "c" else v
        slope = line.along({i: v}, cotangents, None)
        if slope.kink != AT_POINT and np.isfinite(slope.value):
            slopes.append((v, slope.value, SAFETY * slope.error))
    return slopes


def rounding_of(
    backward: Callable[[Sequence[Array]], list[Array]], input_arrays: Sequence[Array], user_gradients: Sequence[Array],
    rng: np.random.Generator, ulps: float,
) -> list[Array]:  # fmt: skip
    """Return a bound of the rounding error of each gradient entry of a backward that has no graph.

    It is the sum of `ulps` units in the last place of the entry, and of the largest change of the entry if the inputs
    are moved by `ulps` units in the last place: this shows how much the backward amplifies rounding errors.
    """
    eps = max(float(np.finfo(x.dtype).eps) for x in (*input_arrays, *user_gradients))
    spread = [np.zeros(m.shape) for m in user_gradients]
    for _ in range(2):
        moved = [(x * (1 + ulps * eps * rng.uniform(0.5, 1.0, x.shape) * rng.choice([-1, 1], x.shape))).astype(x.dtype)
                 for x in input_arrays]  # fmt: skip
        try:
            moved_gradients = backward(moved)
        except Exception:  # user code may raise anything for inputs that it was not made for
            continue
        for s, m, o in zip(spread, user_gradients, moved_gradients, strict=True):
            if o.shape == m.shape and np.isfinite(o).all() and np.isfinite(m).all():
                change = np.abs(o - m)
                s[...] = np.maximum(s, np.where(change <= NOISE * np.abs(m).max(initial=0), change, 0.0))
    sizes = [np.where(np.isfinite(m), np.abs(m), 0.0) for m in user_gradients]
    return [ulps * eps * (size + 0.25 * float(size.max(initial=0))) + s + 1e-300
            for size, s in zip(sizes, spread, strict=True)]  # fmt: skip
