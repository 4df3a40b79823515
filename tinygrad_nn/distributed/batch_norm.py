"""Batch norm over the rows of all ranks: the moments of all rows, and the standardization by them as one primitive."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops.normalisation import sum_of_products
from ..ops.reduce import count
from ..primitive import Primitive
from .collectives import total, weighted


def moments_of_ranks(x: Any, axis: Any) -> tuple[Any, Any, Any]:
    """Return mean, variance and number of values over the rows of all ranks."""
    shape = tuple(1 if k in axis else n for k, n in enumerate(x.shape))
    here = np.full(1, count(x, axis), x.dtype)
    sums = total(np.concatenate([x.sum(axis=axis), here]))
    n = sums[-1:]
    mean = (sums[:-1] / n).reshape(shape)
    return mean, (total(np.square(x - mean).sum(axis=axis)) / n).reshape(shape), n


def _of_ranks(*arrays: Any, axis: Any, eps: float = 1e-5, moments: Any = None) -> Any:
    """Return x standardized by the moments of the rows of all ranks."""
    x, weight, bias = arrays
    mean, var, n = moments_of_ranks(x, axis) if moments is None else moments
    return (x - mean) * (weight / np.sqrt(var + eps)) + bias, {"mean": mean, "var": var, "n": n}


def _of_ranks_vjp(
    g: Any, out: Any, *arrays: Any, mean: Any, var: Any, n: Any, axis: Any, eps: float = 1e-5, moments: Any = None
) -> Any:
    x, weight, _ = arrays
    scale = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * scale
    d_weight, d_bias = sum_of_products(g, x_hat, axis), g.sum(axis=axis, keepdims=True)
    slope, level = weighted(np.stack([d_weight, d_bias])) / n
    return (g - level - x_hat * slope) * (scale * weight), d_weight, d_bias


standardize_of_ranks = Primitive(
    "standardize_of_ranks", _of_ranks, [], r"\gamma \odot \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta",
    jointly=(_of_ranks_vjp, r"\frac{\gamma}{s} (g - \overline{g} - \hat x \odot \overline{g \odot \hat x}), \ldots"),
    saves={"mean": lambda x, weight, bias, *, axis, **rest: moments_of_ranks(x, axis)[0],
           "var": lambda x, weight, bias, *, axis, **rest: moments_of_ranks(x, axis)[1],
           "n": lambda x, weight, bias, *, axis, **rest: moments_of_ranks(x, axis)[2]},
)  # fmt: skip
