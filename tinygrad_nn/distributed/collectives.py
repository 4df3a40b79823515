r"""Differentiable sums and gathers over the ranks.

The objective is :math:`\sum_r w_r L_r`, and each rank runs the backward walk from its own :math:`L_r`. So cotangents
from other ranks are multiplied by their weights and divided by the weight of this rank. The adjoint of a sum is
:math:`\bar x_r = \frac{1}{w_r} \sum_q w_q \bar y_q`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitive import Primitive
from ..tree import flatten
from .shard import Shard, current_shard

Array = np.ndarray[Any, Any]


def _shard() -> Shard:
    shard = current_shard()
    if shard is None:
        raise RuntimeError("a sum over ranks outside of a shared batch.")
    return shard


def _total(x: Array) -> Array:
    """Return the sum over all ranks; a rank without rows adds nothing."""
    shard = _shard()
    if shard.skip_sums:
        return x.copy()
    return shard.ranks.summed(np.zeros_like(x) if shard.empty else x)


def _weighted(g: Array) -> Array:
    """Return the cotangent of this rank's term in a sum over all ranks."""
    shard = _shard()
    if shard.skip_sums:
        return g.copy()
    if shard.empty:
        shard.ranks.summed(np.zeros_like(g))
        return np.zeros_like(g)
    return shard.ranks.summed(g * g.dtype.type(shard.weight)) / g.dtype.type(shard.weight)  # type: ignore[no-any-return]


def _gathered(x: Array) -> Array:
    """Return the rows of all ranks, in the order of the ranks."""
    shard = _shard()
    if shard.skip_sums:
        whole = np.zeros((shard.total, *x.shape[1:]), x.dtype)
        whole[shard.rows] = x
        return whole
    return shard.ranks.all_rows(x[: shard.stop - shard.start], shard.total)


def _own_rows(g: Any, out: Any, x: Any) -> Any:
    shard = _shard()
    scale = 0.0 if shard.empty else 1 / shard.weight
    return g[shard.rows] * g.dtype.type(scale)


weighted = Primitive("sum_of_cotangents", _weighted, [None], r"\frac{1}{w} \sum_q w_q g_q")
total = Primitive(
    "sum_over_ranks", _total, [(lambda g, out, x: weighted(g), r"\frac{1}{w} \sum_q w_q g_q")], r"\sum_r x_r"
)
gathered = Primitive("rows_of_all_ranks", _gathered, [(_own_rows, r"\frac{1}{w} g_r")], r"(x_1, \dots, x_R)")


def in_all_ranks(nest: Any) -> Any:
    """Return an array, or a nest of arrays, with the rows of all ranks instead of those of this rank."""
    leaves, rebuild = flatten(nest)
    return rebuild([gathered(leaf) for leaf in leaves])
