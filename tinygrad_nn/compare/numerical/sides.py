"""The gradients of a function on several sides of a point: their limits there, and how far rounding may take them.

A side is a direction in which all inputs are moved by a few machine epsilons. If the function is smooth there, a step
of twice the length moves the gradient twice as far. A difference that does not grow with the step is not taken for
rounding: it comes from a kink, and the tolerance does not allow for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..paths import Traced

Array = np.ndarray[Any, Any]

STEP = 64.0  # machine epsilons, relative to each entry: more than rounding moves the sums that decide a kink
ULPS = 64.0  # machine epsilons by which two ways to compute a gradient may differ
NOISE = 1e-3  # of the largest entry: a gradient that differs by more from step to step has no limit
SMOOTH = 1.25  # if the step doubles and a change grows by less than this factor, the step is not its cause


class Run(NamedTuple):
    """A function at some inputs: its results, trace and gradients."""

    outs: list[Array]
    trace: Traced
    grads: list[Array]


class Side(NamedTuple):
    """One side of a point: runs at one step and at two, the limits of the gradients there, their rounding errors.

    `continuous` says that no result jumps between the point and that side, `finite` that the limits exist.
    """

    one_step: Run
    two_steps: Run
    limits: list[Array]
    spread: list[Array]
    continuous: bool
    finite: bool


class Sides:
    """The gradients of a function at one point, and on the sides of it that were looked at."""

    def __init__(self, run: Callable[[list[Array]], Run], leaves: Sequence[Array], at_point: Run, eps: float) -> None:
        """`run` evaluates the function at other inputs; `eps` is the machine epsilon of the user's arrays."""
        self.run, self.leaves, self.at_point, self.eps = run, list(leaves), at_point, eps
        self.scales = [_scale(np.asarray(x)) for x in leaves]
        self.explored: list[Side] = []

    def look_around(self, rng: np.random.Generator, times: int, uneven: bool = False) -> None:
        """Look at `times` random sides, where every second one is the opposite of the one before.

        If `uneven`, the entries move by very different amounts, which reaches narrow sides.
        """
        for k in range(times):
            if k % 2 == 0:
                u = [_random(x, s, rng) for x, s in zip(self.leaves, self.scales, strict=True)]
                if uneven:
                    # an entry that is zero can move by any small amount without being rounded
                    low = [np.where(x == 0, rng.uniform(0, 12), 2.0) for x in self.leaves]
                    u = [v * 2 ** -(rng.uniform(0, 4) + rng.uniform(0, w)) for v, w in zip(u, low, strict=True)]
            self.add_side(u if k % 2 == 0 else [-v for v in u])

    def add_side(self, u: Sequence[Array]) -> Side | None:
        """Compute the side in direction `u`, of about the size of the inputs; None if the function fails there."""
        runs = []
        for times in (1.0, 2.0, 4.0):
            moved = [x + times * STEP * self.eps * v for x, v in zip(self.leaves, u, strict=True)]
            try:
                result = self.run(moved)
            except Exception:  # a user's function may raise anything outside its domain
                return None
            runs.append(result)
        one_step, two_steps, four_steps = runs
        if any(a.shape != b.shape for a, b in zip(one_step.outs, self.at_point.outs, strict=False)):
            return None
        finite = all(np.isfinite(x).all() for r in runs for x in (*r.outs, *r.grads))
        continuous = finite and not any(map(np.any, map(jumps, self.at_point.outs, one_step.outs, two_steps.outs)))
        limits, spread = [], []
        for a, b, c in zip(one_step.grads, two_steps.grads, four_steps.grads, strict=True):
            first, second = np.abs(b - a), np.abs(c - b)
            largest = float(np.nan_to_num(np.abs(a)).max(initial=0.0))
            grows = second >= SMOOTH * first
            noise = np.where(grows, first, 16 * np.minimum(first, second))
            has_limit = grows | (noise <= NOISE * largest)
            spread.append(np.where(has_limit & np.isfinite(noise), noise, 0.0))
            limits.append(np.where(grows, 2 * a - b, a) if finite else a)
            finite &= bool((has_limit | (first <= ULPS * self.eps * (np.abs(a) + 0.25 * largest))).all())
        side = Side(one_step, two_steps, limits, spread, continuous, finite)
        self.explored.append(side)
        return side

    def rounding(self, spread: bool = True) -> list[Array]:
        """Return, entry by entry, how far apart rounding may take two ways to compute each gradient.

        The bound follows from the size of the entries and, if `spread`, also from the noise seen between steps.
        """
        bounds = []
        for i, g in enumerate(self.at_point.grads):
            size, noise = np.where(np.isfinite(g), np.abs(g), 0.0), np.zeros(g.shape)
            for side in self.explored:
                noise = np.fmax(noise, side.spread[i]) if spread else noise
                if side.finite:
                    size = np.fmax(size, np.abs(side.limits[i]))
            largest = float(size.max(initial=0.0))
            # the entry's own rounding, and a part of the largest entry's in case large terms of its sum cancel
            bounds.append(ULPS * self.eps * (size + 0.25 * largest) + noise + 1e-300)
        return bounds

    def limits(self) -> list[list[Array]]:
        """Return the limits of the gradients on all sides on which the function is continuous and they exist."""
        return [side.limits for side in self.explored if side.continuous and side.finite]

    def differs_between_sides(self, bounds: Sequence[Array]) -> list[Array]:
        """Return for each input a mask of the gradient entries whose limits differ from side to side."""
        limits = self.limits()
        if not limits:
            return [np.zeros(b.shape, dtype=bool) for b in bounds]
        return [~(np.abs(np.stack(each) - each[0]) <= 2 * bound).all(axis=0)
                for bound, each in zip(bounds, zip(*limits, strict=True), strict=True)]  # fmt: skip

    def differs_from_value(self, bounds: Sequence[Array]) -> list[Array]:
        """Return for each input a mask of the gradient entries whose limit on some side differs from their value."""
        masks = [np.zeros(g.shape, dtype=bool) for g in self.at_point.grads]
        for limits in self.limits():
            for i, (limit, g, bound) in enumerate(zip(limits, self.at_point.grads, bounds, strict=True)):
                masks[i] |= ~(np.abs(limit - g) <= bound)
        return masks


def jumps(at_point: Array, one_step: Array, two_steps: Array) -> Array:
    """Return a mask of the values that jump: the first step changes them far more than the second one."""
    at_point, one_step, two_steps = (np.asarray(x) for x in (at_point, one_step, two_steps))
    if one_step.dtype.kind not in "fc" or not one_step.shape == at_point.shape == two_steps.shape:
        return np.zeros(one_step.shape, dtype=bool)
    size = float(np.nan_to_num(np.abs(one_step)).max(initial=0.0))
    floor = 1024 * float(np.finfo(one_step.dtype).eps) * size
    is_jump: Array = np.abs(one_step - at_point) > 64 * np.abs(two_steps - one_step) + floor
    return is_jump


def _scale(x: Array) -> Array:
    """Return the size by which each entry is moved: its own; for a zero the median of the others, at most 1."""
    size = np.abs(x)
    median = float(np.median(size[size > 0])) if (size > 0).any() else 1.0
    scale: Array = np.where(size > 0, size, min(median, 1.0))
    return scale


def _random(x: Array, scale: Array, rng: np.random.Generator) -> Array:
    u: Array = np.asarray(scale * rng.uniform(0.5, 1.5, x.shape) * rng.choice([-1.0, 1.0], x.shape))
    return u * np.exp(1j * rng.uniform(-np.pi, np.pi, x.shape)) if x.dtype.kind == "c" else u
