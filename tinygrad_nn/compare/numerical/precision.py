"""Measure the rounding errors of values and gradients: run the same computation in longdouble, or else in float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ...node import Node
from ..paths import Slots, Traced, gradients

Array = np.ndarray[Any, Any]

EPS = float(np.finfo(np.float64).eps)
WIDE = float(np.finfo(np.longdouble).eps) < EPS / 100
SAFETY = 2.0  # factor on the measured error, since another way to compute the same may have a larger one
SAMPLE = 16.0  # the same factor for an error measured in float32, which is only one sample of the error
SAMPLE_OF_OWN = 4.0  # the same factor for an error in float32 that is the one asked for, not scaled to float64
SHAKES, ULPS = 16, 16.0  # how many times the terms of a walk are moved, each by at most so many epsilons
MOST = 1e-3  # of the largest entry: a value that differs by more took another branch


def measured_rounding(
    run: Callable[[Callable[[Any], Any]], Sequence[Array]], float64_arrays: Sequence[Array], in_float32: bool = False
) -> list[Array]:
    """Return, for each entry of arrays in float64, a bound of its rounding error, measured in another precision.

    A value such as 1 - p for a p near 1 loses digits inside the computation, which no small change of the inputs shows.

    Args:
        run: is given a function that casts an array to another precision, and returns the arrays computed in it.
        float64_arrays: the arrays in float64.
        in_float32: whether to bound the error that the computation has in float32, by at most 0.001 of the largest
            entry, and not that in float64.

    Returns:
        One array of bounds for each array of `float64_arrays`; zeros if the computation runs in no other precision.
    """
    kinds = ((np.longdouble, np.clongdouble, SAFETY),) if WIDE and not in_float32 else ()
    sample = SAMPLE_OF_OWN if in_float32 else SAMPLE * EPS / float(np.finfo(np.float32).eps)
    for real, complex_, safety in (*kinds, (np.float32, np.complex64, sample)):
        try:
            other_arrays = run(partial(_cast, real, complex_))
        except Exception:  # the user's function, or NumPy, may refuse the dtype
            continue
        if all(a.shape == b.shape and a.dtype != b.dtype for a, b in zip(other_arrays, float64_arrays, strict=True)):
            bounds = [_rounding_bound(a, b, safety) for a, b in zip(other_arrays, float64_arrays, strict=True)]
            most = [_most(g) if in_float32 else np.inf for g in float64_arrays]
            return [np.minimum(bound, limit) for bound, limit in zip(bounds, most, strict=True)]
    return [np.zeros(g.shape) for g in float64_arrays]


def shaken_rounding(graph: Traced, grads: Sequence[Array], eps: float, rng: np.random.Generator) -> list[Array]:
    """Return, for each entry of the gradients of a graph, a bound of the rounding of terms that cancel in it.

    Every term of the walk back is moved by a random part of its own rounding. The errors that arrive are passed on with
    random signs: those of two paths may cancel in this graph, but not in other equations for the same gradient.
    """
    plain: dict[int, Slots] = {}

    def keep(place: int, node: Node, g: Array, slots: Slots) -> Slots:
        plain[place] = slots
        return slots

    def shake(place: int, node: Node, g: Array, slots: Slots) -> Slots:
        return [r if r is None else moved_slot(np.asarray(before), np.asarray(r))
                for before, r in zip(plain[place], slots, strict=True)]  # fmt: skip

    def moved_slot(before: Array, r: Array) -> Array:
        passed_on: Array = rng.choice((-1.0, 1.0), r.shape) * (r - before)
        moved: Array = before + passed_on + before * eps * rng.uniform(-ULPS, ULPS, r.shape)
        return moved

    places = range(len(graph.operations))
    gradients(graph, {place: partial(keep, place) for place in places})
    changes = {place: partial(shake, place) for place in places}
    bounds = [np.zeros(g.shape) for g in grads]
    for _ in range(SHAKES):
        for bound, g, moved in zip(bounds, grads, gradients(graph, changes), strict=True):
            np.fmax(bound, 2 * np.nan_to_num(np.abs(moved - g), posinf=0.0), out=bound)
    return bounds


def _rounding_bound(other: Array, g: Array, safety: float) -> Array:
    difference = np.abs(other - g).astype(np.float64)
    difference = np.where(np.isfinite(difference), difference, 0.0)
    bound: Array = safety * np.minimum(difference, _most(g))
    return bound


def _most(g: Array) -> float:
    return MOST * float(np.nan_to_num(np.abs(g), posinf=0).max(initial=0))


def _cast(real: Any, complex_: Any, x: Any) -> Any:
    """Return a floating-point or complex array in another precision, anything else unchanged."""
    kind = x.dtype.kind if isinstance(x, np.ndarray) else ""
    return x.astype(complex_ if kind == "c" else real) if kind in {"f", "c"} else x
