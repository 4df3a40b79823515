r"""Scaled dot-product attention by hand, for all samples and heads at once.

Queries, keys and values are `(batch, heads, time, n)`; the number of leading axes before `time` is arbitrary, also 0.
Equations are numbered as in `docs/backprop_layers.md`.
"""

from __future__ import annotations

from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .activations import softmax, softmax_vjp

Array = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

_SHAPES = (
    "attention got q {q}, k {k}, v {v}: q and k need the same last axis, k and v the same number of keys in the axis "
    "before it, and all three the same leading axes"
)
_MASK = (
    "the mask is of dtype {dtype} and shape {shape}: it must be of bool, True where a query may look at a key, and "
    "broadcast to (..., queries, keys), here {need}"
)
_BLIND = "the mask lets some query look at no key: give it at least one, or leave the query out"
_COTANGENT = "g has shape {got}, the result has {need}: give one number for each of its entries"


class Attention(NamedTuple):
    """The result `y`, `(..., queries, n_v)`, and the weights `a`, `(..., queries, keys)`, whose rows sum to 1."""

    y: Array
    a: Array


class AttentionGradients(NamedTuple):
    """Gradients of queries, keys and values, and `dscores`, that of the scaled scores `(..., queries, keys)`."""

    dq: Array
    dk: Array
    dv: Array
    dscores: Array


def _check(q: Array, k: Array, v: Array) -> None:
    if min(q.ndim, k.ndim, v.ndim) < 2 or q.shape[-1] != k.shape[-1] or k.shape[:-1] != v.shape[:-1] or (
        q.shape[:-2] != k.shape[:-2]
    ):  # fmt: skip
        raise ValueError(_SHAPES.format(q=q.shape, k=k.shape, v=v.shape))


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, to) == to
    except ValueError:
        return False


def attention(q: Array, k: Array, v: Array, mask: Mask | None = None) -> Attention:
    r"""Return for each query the mean of the values, weighted by the softmax of its products with the keys.

    .. math:: y = \operatorname{softmax}\left(\frac{q k^T}{\sqrt d}\right) v

    Args:
        q: queries, `(batch, heads, queries, d)`.
        k: keys, `(batch, heads, keys, d)`.
        v: values, `(batch, heads, keys, n_v)`.
        mask: True where a query may look at a key, broadcastable to `(batch, heads, queries, keys)`;
            `np.tri(time, dtype=bool)` lets each time look at itself and the past. By default it may look at all keys.

    Returns:
        `y`, `(batch, heads, queries, n_v)`, and the weights `a`.

    Raises:
        ValueError: shapes do not fit, the mask is not of bool, or a query may look at no key.

    Source: Vaswani et al., Attention is all you need (2017), equation 1.

    Example:
        >>> q, k, v = np.array([[0.0], [9.0]]), np.array([[1.0], [9.0]]), np.array([[1.0], [3.0]])
        >>> attention(q, k, v).y.tolist(), attention(q, k, v, np.tri(2, dtype=bool)).y.tolist()
        ([[2.0], [3.0]], [[1.0], [3.0]])
    """
    _check(q, k, v)
    scores = q @ k.swapaxes(-1, -2) / sqrt(q.shape[-1])  # (A1)
    if mask is not None:
        if mask.dtype != bool or not _broadcasts(mask.shape, scores.shape):
            raise ValueError(_MASK.format(dtype=mask.dtype, shape=mask.shape, need=scores.shape))
        if not mask.any(axis=-1).all():
            raise ValueError(_BLIND)
        scores = np.where(mask, scores, -np.inf)  # (A2)
    a = softmax(scores)  # (A3)
    y = a @ v  # (A4)
    return Attention(y, a)


def attention_backward(g: Array, q: Array, k: Array, v: Array, a: Array) -> AttentionGradients:
    r"""Return the gradients of queries, keys and values.

    .. math:: \partial_v = a^T g, \quad \partial_S = J_{\operatorname{softmax}}^T (g v^T), \quad
              \partial_q = \frac{1}{\sqrt d} \partial_S k, \quad \partial_k = \frac{1}{\sqrt d} \partial_S^T q

    Args:
        g: gradient of `y`, of its shape.
        q, k, v: as given to `attention`; the mask is not needed, its zeros are in `a`.
        a: the weights, as returned by it.

    Returns:
        `dq`, `dk` and `dv`, of the shapes of `q`, `k` and `v`, and `dscores`.

    Raises:
        ValueError: shapes do not fit.

    Source: Vaswani et al. (2017); derived in `docs/backprop_layers.md`.

    Example:
        >>> q, k, v = np.zeros((1, 1)), np.array([[1.0], [9.0]]), np.array([[1.0], [3.0]])
        >>> attention_backward(np.ones((1, 1)), q, k, v, attention(q, k, v).a).dv.tolist()
        [[0.5], [0.5]]
    """
    _check(q, k, v)
    if g.shape != (*q.shape[:-1], v.shape[-1]):
        raise ValueError(_COTANGENT.format(got=g.shape, need=(*q.shape[:-1], v.shape[-1])))
    dv = a.swapaxes(-1, -2) @ g  # (A5)
    da = g @ v.swapaxes(-1, -2)  # (A6)
    dscores = softmax_vjp(da, a, a)  # (A7)
    dq = dscores @ k / sqrt(q.shape[-1])  # (A8)
    dk = dscores.swapaxes(-1, -2) @ q / sqrt(q.shape[-1])  # (A9)
    return AttentionGradients(dq, dk, dv, dscores)
