"""A gradient looked at from several sides: the limits it has there, and how far rounding may take it.

From one side a function is smooth, so a second step along the same line moves the gradient twice as far as the first.
What does not grow with the step is no rounding: it is a kink, and no tolerance is made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..paths import Traced

Array = np.ndarray[Any, Any]

STEP = 64.0  # machine epsilons, relative to each entry: rounding moves the sums that a kink hangs on by less
ULPS = 64.0  # that two ways to compute a gradient may be apart
NOISE = 1e-3  # of the largest entry; what differs by more from step to step has no limit
SMOOTH = 1.25  # a change that grows less than this, where the step doubles, does not come from the step


class Run(NamedTuple):
    """A function at some inputs: its results, trace and gradients."""

    outs: list[Array]
    trace: Traced
    grads: list[Array]


class Side(NamedTuple):
    """What is seen from one side: runs at one step and at two, the limits of the gradients there, their rounding."""

    near: Run
    far: Run
    limits: list[Array]
    spread: list[Array]
    continuous: bool
    finite: bool


class Sides:
    """The gradients of a function near one point."""

    def __init__(self, run: Callable[[list[Array]], Run], leaves: Sequence[Array], here: Run, eps: float) -> None:
        """`run` evaluates the function at other inputs; eps is that of the person's arrays."""
        self.run, self.leaves, self.here, self.eps = run, list(leaves), here, eps
        self.scales = [_scale(np.asarray(x)) for x in leaves]
        self.seen: list[Side] = []

    def look_around(self, rng: np.random.Generator, times: int, uneven: bool = False) -> None:
        """Look from so many random sides, every second one the opposite; if uneven, some inputs move less."""
        for k in range(times):
            if k % 2 == 0:
                u = [_random(x, s, rng) for x, s in zip(self.leaves, self.scales, strict=True)]
                if uneven:
                    # a zero moves without rounding, so by as little as one likes
                    low = [np.where(x == 0, rng.uniform(0, 12), 2.0) for x in self.leaves]
                    u = [v * 2 ** -(rng.uniform(0, 4) + rng.uniform(0, w)) for v, w in zip(u, low, strict=True)]
            self.look(u if k % 2 == 0 else [-v for v in u])

    def look(self, u: Sequence[Array]) -> Side | None:
        """Look from the side that u points to, of about the size of the inputs."""
        runs = []
        for times in (1.0, 2.0, 4.0):
            moved = [x + times * STEP * self.eps * v for x, v in zip(self.leaves, u, strict=True)]
            try:
                found = self.run(moved)
            except Exception:  # whatever a person's function may raise beside its domain
                return None
            runs.append(found)
        one, two, four = runs
        if any(a.shape != b.shape for a, b in zip(one.outs, self.here.outs, strict=False)):
            return None
        finite = all(np.isfinite(x).all() for r in runs for x in (*r.outs, *r.grads))
        continuous = finite and not any(map(np.any, map(jumps, self.here.outs, one.outs, two.outs)))
        limits, spread = [], []
        for a, b, c in zip(one.grads, two.grads, four.grads, strict=True):
            first, second = np.abs(b - a), np.abs(c - b)
            large = float(np.nan_to_num(np.abs(a)).max(initial=0.0))
            grows = second >= SMOOTH * first
            noise = np.where(grows, first, 16 * np.minimum(first, second))
            settled = grows | (noise <= NOISE * large)
            spread.append(np.where(settled & np.isfinite(noise), noise, 0.0))
            limits.append(np.where(grows, 2 * a - b, a) if finite else a)
            finite &= bool((settled | (first <= ULPS * self.eps * (np.abs(a) + 0.25 * large))).all())
        side = Side(one, two, limits, spread, continuous, finite)
        self.seen.append(side)
        return side

    def rounding(self, spread: bool = True) -> list[Array]:
        """Return how far two ways to compute each gradient may be apart, entry by entry; by size alone, or spread."""
        found = []
        for i, g in enumerate(self.here.grads):
            size, noise = np.where(np.isfinite(g), np.abs(g), 0.0), np.zeros(g.shape)
            for side in self.seen:
                noise = np.fmax(noise, side.spread[i]) if spread else noise
                if side.finite:
                    size = np.fmax(size, np.abs(side.limits[i]))
            large = float(size.max(initial=0.0))
            # each entry for its own rounding, and a little of the largest for sums in which large terms cancel
            found.append(ULPS * self.eps * (size + 0.25 * large) + noise + 1e-300)
        return found

    def limits(self) -> list[list[Array]]:
        """Return the gradients on the sides from which the function has one."""
        return [side.limits for side in self.seen if side.continuous and side.finite]

    def parted(self, bounds: Sequence[Array]) -> list[Array]:
        """Return where the gradient has several limits."""
        seen = self.limits()
        if not seen:
            return [np.zeros(b.shape, dtype=bool) for b in bounds]
        return [~(np.abs(np.stack(each) - each[0]) <= 2 * bound).all(axis=0)
                for bound, each in zip(bounds, zip(*seen, strict=True), strict=True)]  # fmt: skip

    def folds(self, bounds: Sequence[Array]) -> list[Array]:
        """Return where the gradient has another limit from some side than its value, or than from another side."""
        found = [np.zeros(g.shape, dtype=bool) for g in self.here.grads]
        for limits in self.limits():
            for i, (limit, g, bound) in enumerate(zip(limits, self.here.grads, bounds, strict=True)):
                found[i] |= ~(np.abs(limit - g) <= bound)
        return found


def jumps(here: Array, near: Array, far: Array) -> Array:
    """Return where values jump: the first step changes them, the second one hardly."""
    here, near, far = (np.asarray(x) for x in (here, near, far))
    if near.dtype.kind not in "fc" or not near.shape == here.shape == far.shape:
        return np.zeros(near.shape, dtype=bool)
    size = float(np.nan_to_num(np.abs(near)).max(initial=0.0))
    floor = 1024 * float(np.finfo(near.dtype).eps) * size
    found: Array = np.abs(near - here) > 64 * np.abs(far - near) + floor
    return found


def _scale(x: Array) -> Array:
    """Return by what each entry is moved: its own size; of a zero that of the usual other one, at most 1."""
    size = np.abs(x)
    usual = float(np.median(size[size > 0])) if (size > 0).any() else 1.0
    found: Array = np.where(size > 0, size, min(usual, 1.0))
    return found


def _random(x: Array, scale: Array, rng: np.random.Generator) -> Array:
    u: Array = np.asarray(scale * rng.uniform(0.5, 1.5, x.shape) * rng.choice([-1.0, 1.0], x.shape))
    return u * np.exp(1j * rng.uniform(-np.pi, np.pi, x.shape)) if x.dtype.kind == "c" else u
