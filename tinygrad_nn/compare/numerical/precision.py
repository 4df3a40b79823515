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
SHAKES, ULPS = 3, 16.0  # number of walks with moved terms; by how many epsilons at most
MOST = 1e-3  # of the largest entry: a value that differs by more took another branch


def measured_rounding(
    run: Callable[[Callable[[Any], Any]], Sequence[Array]], float64_arrays: Sequence[Array], in_float32: bool = False
) -> list[Array]:
    """Return, for each entry of arrays in float64, a bound of its rounding error, measured in another precision.

    A value such as 1 - p for a p near 1 loses digits inside the computation, which no small change of the inputs shows.

    Args:
        run: is given a function that casts an array to another precision, and returns the arrays computed in it.
        float64_arrays: the arrays in float64.
        in_float32: whether to bound the error that the computation has in float32, not that in float64.

    Returns:
        One array of bounds for each array of `float64_arrays`; zeros if the computation runs in no other precision.
    """
    kinds = ((np.longdouble, np.clongdouble, SAFETY),) if WIDE and not in_float32 else ()
    sample = SAMPLE if in_float32 else SAMPLE * EPS / float(np.finfo(np.float32).eps)
    for real, complex_, safety in (*kinds, (np.float32, np.complex64, sample)):
        try:
            other_arrays = run(partial(_cast, real, complex_))
        except Exception:  # the user's function, or NumPy, may refuse the dtype
            continue
        if all(a.shape == b.shape and a.dtype != b.dtype for a, b in zip(other_arrays, float64_arrays, strict=True)):
            return [_rounding_bound(a, b, safety) for a, b in zip(other_arrays, float64_arrays, strict=True)]
    return [np.zeros(g.shape) for g in float64_arrays]


def shaken_rounding(graph: Traced, grads: Sequence[Array], eps: float, rng: np.random.Generator) -> list[Array]:
    """Return, for each entry of the gradients of a graph, a bound of the rounding of terms that cancel in it.

    Every term of the walk back is moved by a random part of its own rounding, since other equations for the same
    gradient round other terms.
    """
    def shake(node: Node, g: Array, slots: Slots) -> Slots:
        return [r if r is None else r * (1 + eps * rng.uniform(-ULPS, ULPS, np.shape(r))) for r in slots]

    changes = dict.fromkeys(range(len(graph.operations)), shake)
    bounds = [np.zeros(g.shape) for g in grads]
    for _ in range(SHAKES):
        for bound, g, moved in zip(bounds, grads, gradients(graph, changes), strict=True):
            np.fmax(bound, 2 * np.nan_to_num(np.abs(moved - g), posinf=0.0), out=bound)
    return bounds


def _rounding_bound(other: Array, g: Array, safety: float) -> Array:
    difference = np.abs(other - g).astype(np.float64)
    difference = np.where(np.isfinite(difference), difference, 0.0)
    bound: Array = safety * np.minimum(difference, MOST * float(np.nan_to_num(np.abs(g), posinf=0).max(initial=0)))
    return bound


def _cast(real: Any, complex_: Any, x: Any) -> Any:
    """Return a floating-point or complex array in another precision, anything else unchanged."""
    kind = x.dtype.kind if isinstance(x, np.ndarray) else ""
    return x.astype(complex_ if kind == "c" else real) if kind in {"f", "c"} else x
