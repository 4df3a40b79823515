"""Find the point of a polytope nearest to the origin, from a function that returns its lowest vertex in a direction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Vertex = tuple[Array, Any]  # the point, and the caller's label of it

MOST = 400  # the most vertices that are visited
POSITIVE = 1e-12  # a weight below this counts as 0


def nearest(lowest: Callable[[Array], Vertex], tolerance: float = 1.0) -> tuple[Array, list[tuple[float, Any]], bool]:
    """Return the nearest point, the weights and labels of the vertices it is a mean of, and whether it is the origin.

    Args:
        lowest: returns the vertex v that minimizes ``direction @ v``, or any vertex for an empty direction.
        tolerance: how far from 0 each coordinate may be for the point to count as the origin.

    Source: P. Wolfe, Finding the nearest point in a polytope, 1976.
    """
    start = lowest(np.zeros(0))
    corral, weights = [start], np.ones(1)
    point = start[0]
    for _ in range(MOST):
        if np.abs(point).max(initial=0.0) <= tolerance:
            return point, _labelled_weights(corral, weights), True
        new = lowest(point)
        is_apart = point @ new[0] > 0.5 * (point @ point)  # a plane separates the polytope from the origin
        if is_apart or not np.isfinite(new[0]).all() or not np.isfinite(point).all():
            return point, _labelled_weights(corral, weights), False
        if any(np.array_equal(new[0], v) for v, _ in corral):
            break
        corral, weights = [*corral, new], np.append(weights, 0.0)
        while True:
            affine = _affine(np.stack([v for v, _ in corral], axis=1))
            if (affine > POSITIVE).all():
                weights = affine
                break
            falling = affine <= POSITIVE
            with np.errstate(all="ignore"):
                ratios = np.where(falling, weights / np.maximum(weights - affine, 1e-300), np.inf)
            step = min(1.0, float(ratios.min()))
            weights = weights + step * (affine - weights)
            keep = weights > POSITIVE
            keep[int(ratios.argmin())] = False
            corral = [v for v, k in zip(corral, keep, strict=True) if k]
            weights = weights[keep] / weights[keep].sum()
        point = np.stack([v for v, _ in corral], axis=1) @ weights
    return point, _labelled_weights(corral, weights), bool(np.abs(point).max(initial=0.0) <= tolerance)


def _affine(vertices: Array) -> Array:
    """Return the weights, of sum 1, of the point nearest to the origin in the affine hull of some vertices."""
    first = vertices[:, 0]
    rest = vertices[:, 1:] - first[:, None]
    size = np.maximum(np.sqrt((rest * rest).sum(axis=0)), 1e-300)
    weights = np.linalg.lstsq(rest / size, -first, rcond=1e-15)[0] / size
    return np.concatenate([[1 - weights.sum()], weights])


def _labelled_weights(corral: list[Vertex], weights: Array) -> list[tuple[float, Any]]:
    return [(float(w), label) for (_, label), w in zip(corral, weights, strict=True)]
