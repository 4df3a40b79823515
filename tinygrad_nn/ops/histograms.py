"""np.bincount and np.histogram: with Tensor weights, sums of weights, linear in them; counts have no gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..primitive import REGISTRY, Array, no_rule
from .plain import as_arrays, is_tensor, override, tensors


def _plain_samples(function: Any, *samples: Any) -> Any:
    """Return the samples as plain arrays; raise if one is a Tensor with a graph, which would be lost."""
    if any(t.node is not None for t in tensors([*samples])):
        raise no_rule(function)
    return [as_arrays(sample) for sample in samples]


def _summed(weights: Array, where: Any, inside: Any, shape: tuple[int, ...]) -> Array:
    """Return the sum of weights in each bin, in float64 at least; `where` holds the bin of each weight."""
    weights = np.ravel(weights if is_tensor(weights) else np.asarray(weights))
    picked = np.multiply(weights[inside], np.float64(1))
    return REGISTRY["put"](picked, index=tuple(i[inside] for i in where), shape=shape)


def _bins(samples: Sequence[Any], edges: Sequence[Any]) -> tuple[tuple[Any, ...], Any]:
    """Return each sample's bin along each axis, and which samples are in a bin; the last bin includes its end."""
    where, inside = [], np.ones(len(samples[0]), dtype=bool)
    for sample, ends in zip(samples, edges, strict=True):
        sample = sample.astype(np.result_type(sample, ends), copy=False)
        n = np.searchsorted(ends, sample, side="right") - 1
        n[sample == ends[-1]] -= 1
        where.append(n)
        inside &= (n >= 0) & (n < len(ends) - 1)
    return tuple(where), inside


@override("bincount")
def _bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    """Return np.bincount: a Tensor if the weights are a Tensor, else an array."""
    (plain,) = _plain_samples(np.bincount, x)
    counts = np.bincount(plain, minlength=minlength)
    if not is_tensor(weights) or np.size(plain) == 0:  # without samples NumPy returns integers
        return counts if weights is None else np.bincount(plain, as_arrays(weights), minlength)
    if weights.shape != np.shape(plain):
        raise ValueError(f"np.bincount needs one weight per entry, {np.shape(plain)}; it got shape {weights.shape}.")
    if weights.dtype.kind == "c":
        raise TypeError("np.bincount takes real weights; add the real and the imaginary parts separately.")
    places = np.asarray(plain).astype(np.intp)
    return _summed(weights, (places,), slice(None), counts.shape)


@override("histogram")
def _histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    """Return np.histogram: the sums are a Tensor if the weights are a Tensor."""
    sample, bins, range = _plain_samples(np.histogram, a, bins, range)
    if not is_tensor(weights):
        return np.histogram(sample, bins, range, density, weights)
    sample = np.asarray(sample)
    if weights.shape != sample.shape:
        raise ValueError(f"np.histogram needs one weight per entry, {sample.shape}; it got shape {weights.shape}.")
    edges = np.histogram_bin_edges(sample, bins, range, np.ones(sample.shape))  # with weights it refuses named bins
    n = _summed(weights, *_bins([sample.ravel()], [edges]), (len(edges) - 1,)).astype(weights.dtype)
    return (n / np.array(np.diff(edges), float) / n.sum() if density else n), edges


@override("histogramdd")
def _histogramdd(sample: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    """Return np.histogramdd: the sums are a Tensor if the weights are a Tensor."""
    sample, bins, range = _plain_samples(np.histogramdd, sample, bins, range)
    if not is_tensor(weights):
        return np.histogramdd(sample, bins, range, density, weights)
    _, edges = np.histogramdd(sample, bins, range)
    columns = list(sample.T if isinstance(sample, np.ndarray) and sample.ndim == 2 else np.atleast_2d(sample))
    n = _summed(weights, *_bins(columns, edges), tuple(len(e) - 1 for e in edges))
    if density:
        total = n.sum()
        for axis, ends in enumerate(edges):
            n = n / np.diff(ends).reshape([-1 if i == axis else 1 for i, _ in enumerate(edges)])
        n = n / total
    return n, edges


@override("histogram2d")
def _histogram2d(
    x: Any, y: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> Any:
    """Return np.histogram2d: the sums are a Tensor if the weights are a Tensor."""
    x, y, bins, range = _plain_samples(np.histogram2d, x, y, bins, range)
    if not is_tensor(weights):
        return np.histogram2d(x, y, bins, range, density, weights)
    _, *edges = np.histogram2d(x, y, bins, range)
    n, _ = _histogramdd([x, y], edges, None, density, weights)
    return (n, *edges)
