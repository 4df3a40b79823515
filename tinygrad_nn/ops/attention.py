"""Attention as one primitive for all samples and heads; the heads lie side by side in the last axis.

The heads are views of that axis, so that splitting and joining them copies nothing. A mask is added to the scores: -inf
where a query must not attend to a key. If a query may attend to no key at all, its result is 0.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from ..primitive import Array, declare


def split_heads(x: Array, heads: int) -> Array:
    """Return (..., time, heads * d) as (..., heads, time, d)."""
    return x.reshape(*x.shape[:-1], heads, x.shape[-1] // heads).swapaxes(-2, -3)


def join_heads(x: Array) -> Array:
    """Return (..., heads, time, d) as (..., time, heads * d)."""
    x = x.swapaxes(-2, -3)
    return x.reshape(*x.shape[:-2], x.shape[-2] * x.shape[-1])


def _largest_scores(scores: Array) -> Array:
    """Return the largest score of each query, or 0 if all of them are -inf."""
    most = scores.max(axis=-1, keepdims=True)
    return np.where(np.isfinite(most), most, 0)


def weights(q: Array, k: Array, mask: Array) -> Array:
    """Return the softmax of the scaled and masked scores; a row is 0 if its query may attend to no key.

    Args:
        q, k: (..., queries, d) and (..., keys, d).
        mask: added to the scores, (..., queries, keys).

    Returns:
        (..., queries, keys).
    """
    scores = (q / sqrt(q.shape[-1])) @ k.swapaxes(-1, -2) + mask
    e = np.exp(scores - _largest_scores(scores))
    total = e.sum(axis=-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


def _attend(q: Array, k: Array, v: Array, mask: Array, keep: Array) -> tuple[Array, Array]:
    """Return the result with joined heads, and the weights, from q, k and v of shape (..., heads, time, d)."""
    a = (q / sqrt(q.shape[-1])) @ k.swapaxes(-1, -2)
    if np.ndim(mask):
        a = np.add(a, mask, out=a if np.broadcast_shapes(a.shape, np.shape(mask)) == a.shape else None)
    a -= _largest_scores(a)
    np.exp(a, out=a)
    total = a.sum(axis=-1, keepdims=True)
    a /= np.where(total == 0, 1, total)
    looks = a * keep if np.ndim(keep) else a
    *stack, heads = np.broadcast_shapes(looks.shape[:-2], v.shape[:-2])
    out = np.empty((*stack, a.shape[-2], heads, v.shape[-1]), a.dtype)  # (..., time, heads, d)
    np.matmul(looks, v, out=out.swapaxes(-2, -3))
    return out.reshape(*out.shape[:-2], out.shape[-2] * out.shape[-1]), a


def _back(g: Array, q: Array, k: Array, v: Array, keep: Array, a: Array) -> tuple[Array, ...]:
    """Return the gradients of q, k, v and the scores, all of shape (..., heads, ...)."""
    scale = 1 / sqrt(q.shape[-1])
    da = g @ v.swapaxes(-1, -2)
    if np.ndim(keep):
        da, dv = da * keep, (a * keep).swapaxes(-1, -2) @ g
    else:
        dv = a.swapaxes(-1, -2) @ g
    scores = (da - np.vecdot(da, a)[..., None]) * a
    return scores @ k * scale, scores.swapaxes(-1, -2) @ (q * scale), dv, scores


# fmt: off
def _attention(*arrays: Array, heads: int = 1) -> Any:
    r"""Return for each query the mean of the values, weighted by how well their keys match the query.

    .. math:: y = \operatorname{softmax}\left(\frac{q k^T}{\sqrt d} + M\right) v

    Args:
        q, k, v: (..., queries, n), (..., keys, n) and (..., keys, n_v), each with the heads side by side.
        mask: added to the scores, broadcastable to (..., heads, queries, keys); 0.0 for no mask.
        keep: a dropout mask that multiplies the weights, of the same shape; 1.0 for none. It gets no gradient.
        heads: the number of heads.

    Returns:
        (..., queries, n_v).

    Source: Vaswani et al. (2017), Attention is all you need, equation 1.

    Example:
        >>> q, k, v = np.array([[0.0], [9.0]]), np.array([[1.0], [9.0]]), np.array([[1.0], [3.0]])
        >>> attention(q, k, v, 0.0, 1.0).tolist()
        [[2.0], [3.0]]
    """
    q, k, v, mask, keep = arrays
    out, a = _attend(split_heads(q, heads), split_heads(k, heads), split_heads(v, heads), mask, keep)
    return out, {"a": a}


def _attention_vjp(g: Array, out: Array, *arrays: Array, a: Array, heads: int = 1) -> Any:
    q, k, v, mask, keep = arrays
    g, q, k, v = (split_heads(x, heads) for x in (g, q, k, v))
    dq, dk, dv, scores = _back(g, q, k, v, keep, a)
    return join_heads(dq), join_heads(dk), join_heads(dv), scores if np.ndim(mask) else None, None


def _weights(*arrays: Array, heads: int = 1) -> Array:
    q, k, _, mask, _ = arrays
    return weights(split_heads(q, heads), split_heads(k, heads), mask)

attention = declare(_attention, r"\operatorname{softmax}\left(\frac{q k^T}{\sqrt d} + M\right) v",
    jointly=(_attention_vjp,
     r"\tfrac{1}{\sqrt d} S k,\ \tfrac{1}{\sqrt d} S^T q,\ a^T g,\ S = a \odot (g v^T - \textstyle\sum a \, g v^T)"),
    saves={"a": _weights})


def _split_qkv(x: Array, heads: int) -> list[Array]:
    """Split (..., time, 3 n), which holds queries, keys and values side by side, into three (..., heads, time, d)."""
    x = x.reshape(*x.shape[:-1], 3, heads, x.shape[-1] // (3 * heads))
    return [x[..., i, :, :].swapaxes(-2, -3) for i in range(3)]


def _self_attention(*arrays: Array, heads: int = 1) -> Any:
    """Return the attention of a sequence to itself, with queries, keys and values given as one array.

    Args:
        qkv: (..., time, 3 n): first the queries, then the keys, then the values, each with the heads side by side.
        mask, keep, heads: as for `attention`.

    Returns:
        (..., time, n).

    Source: Vaswani et al. (2017), Attention is all you need, section 3.2.

    Example:
        >>> self_attention(np.array([[0.0, 1.0, 1.0], [9.0, 9.0, 3.0]]), 0.0, 1.0).tolist()
        [[2.0], [3.0]]
    """
    qkv, mask, keep = arrays
    q, k, v = _split_qkv(qkv, heads)
    out, a = _attend(q, k, v, mask, keep)
    return out, {"a": a}


def _self_attention_vjp(g: Array, out: Array, *arrays: Array, a: Array, heads: int = 1) -> Any:
    qkv, mask, keep = arrays
    q, k, v = _split_qkv(qkv, heads)
    dq, dk, dv, scores = _back(split_heads(g, heads), q, k, v, keep, a)
    dqkv = np.concatenate([join_heads(dq), join_heads(dk), join_heads(dv)], axis=-1)
    return dqkv, scores if np.ndim(mask) else None, None


def _self_weights(*arrays: Array, heads: int = 1) -> Array:
    qkv, mask, _ = arrays
    q, k, _ = _split_qkv(qkv, heads)
    return weights(q, k, mask)

self_attention = declare(_self_attention, r"\operatorname{softmax}\left(\frac{q k^T}{\sqrt d} + M\right) v",
    jointly=(_self_attention_vjp,
     r"[\tfrac{1}{\sqrt d} S k,\ \tfrac{1}{\sqrt d} S^T q,\ a^T g],\ S = a \odot (g v^T - \textstyle\sum a \, g v^T)"),
    saves={"a": _self_weights})
# fmt: on
