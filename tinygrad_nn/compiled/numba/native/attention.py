"""Attention, forward and backward: one head of one sample at a time, so that its scores stay in the cache.

The heads are not copied. They stay side by side in the last axis, since BLAS takes rows at any distance. Sizes and
places are passed as an array `layout` of integers: samples, heads, queries, keys, columns of a key and of a value; for
queries, keys and values each the entries from row to row and the place of the first entry; for the mask and then for
`keep` (the dropout mask) whether there is one, and the entries from sample to sample, head to head, query to query and
key to key; then whether the gradients of all scores are kept.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from .build import Parted, kernel
from .mathematics import exp
from .products import gemm


@kernel()
def _largest(row: Any) -> Any:
    """Return the largest entry; if some are NaN, any entry."""
    most = row[0]
    for j in range(len(row)):
        most = row[j] if row[j] > most else most
    return most


@kernel()
def _softmax(row: Any) -> None:
    """Turn the scores of one query into weights; if all scores are -inf, into zeros."""
    zero, one = row.dtype.type(0), row.dtype.type(1)
    most = _largest(row)
    shift = most if np.isfinite(most) else zero
    total = zero
    for j in range(len(row)):
        row[j] = exp(row[j] - shift)
    for j in range(len(row)):
        total += row[j]
    factor = one / (one if total == zero else total)
    for j in range(len(row)):
        row[j] *= factor


@kernel(no_alias=True)
def _add(row: Any, mask: Any, start: Any, step: Any) -> None:
    """Add the entries of a mask to the scores of one query."""
    if step:
        mask = mask[start : start + len(row)]
        for j in range(len(row)):
            row[j] += mask[j]
    else:
        for j in range(len(row)):
            row[j] += mask[start]


@kernel()
def _times(row: Any, keep: Any, start: Any, step: Any, out: Any) -> None:
    """Write one row times the entries of `keep`, from `start` on."""
    if step:
        keep = keep[start : start + len(row)]
        for j in range(len(row)):
            out[j] = row[j] * keep[j]
    else:
        for j in range(len(row)):
            out[j] = row[j] * keep[start]


@Parted
def attention(
    q: Any, k: Any, v: Any, mask: Any, keep: Any, out: Any, a: Any, kept_weights: Any, layout: Any, p: Any, parts: Any
) -> None:
    """Write the attention of queries, keys and values into `out`, and the weights into `a`."""
    q, k, v, mask, keep = q.reshape(-1), k.reshape(-1), v.reshape(-1), mask.reshape(-1), keep.reshape(-1)
    out, a, kept_weights = out.reshape(-1), a.reshape(-1), kept_weights.reshape(-1)
    heads, n, m, d, d_v = layout[1], layout[2], layout[3], layout[4], layout[5]
    scale = 1 / sqrt(d)
    for unit in range(p * layout[0] * heads // parts, (p + 1) * layout[0] * heads // parts):
        b, h = unit // heads, unit % heads
        scores = a[unit * n * m : (unit + 1) * n * m]
        q_of, k_of = q[b * n * layout[6] + layout[7] + h * d :], k[b * m * layout[8] + layout[9] + h * d :]
        gemm(False, True, n, m, d, scale, q_of, layout[6], k_of, layout[8], False, scores, m)
        for i in range(n):
            row = scores[i * m : (i + 1) * m]
            if layout[12]:
                _add(row, mask, b * layout[13] + h * layout[14] + i * layout[15], layout[16])
            _softmax(row)
            if layout[17]:
                at = b * layout[18] + h * layout[19] + i * layout[20]
                _times(row, keep, at, layout[21], kept_weights[(p * n + i) * m : (p * n + i + 1) * m])
        if layout[17]:
            scores = kept_weights[p * n * m : (p + 1) * n * m]
        values = v[b * m * layout[10] + layout[11] + h * d_v :]
        width = heads * d_v
        gemm(False, False, n, d_v, m, 1.0, scores, m, values, layout[10], False, out[b * n * width + h * d_v :], width)


@kernel(no_alias=True)
def _slope(row: Any, a: Any) -> None:
    """Turn the gradients of one query's weights into the gradients of its scores."""
    total = row.dtype.type(0)
    for j in range(len(row)):
        total += row[j] * a[j]
    for j in range(len(row)):
        row[j] = (row[j] - total) * a[j]


@Parted
def attention_back(
    g: Any, q: Any, k: Any, v: Any, keep: Any, a: Any, dq: Any, dk: Any, dv: Any, ds: Any, kept_weights: Any,
    layout: Any, p: Any, parts: Any,
) -> None:  # fmt: skip
    """Write the gradients of queries, keys and values, laid out like these, and of the scores."""
    g, q, k, v, keep, a = g.reshape(-1), q.reshape(-1), k.reshape(-1), v.reshape(-1), keep.reshape(-1), a.reshape(-1)
    dq, dk, dv, ds = dq.reshape(-1), dk.reshape(-1), dv.reshape(-1), ds.reshape(-1)
    kept_weights = kept_weights.reshape(-1)
    heads, n, m, d, d_v = layout[1], layout[2], layout[3], layout[4], layout[5]
    scale, width = 1 / sqrt(d), layout[1] * layout[5]
    for unit in range(p * layout[0] * heads // parts, (p + 1) * layout[0] * heads // parts):
        b, h = unit // heads, unit % heads
        place = unit if layout[22] else p
        weights, scores = a[unit * n * m : (unit + 1) * n * m], ds[place * n * m : (place + 1) * n * m]
        g_of = g[b * n * width + h * d_v :]
        q_at, k_at = b * n * layout[6] + layout[7] + h * d, b * m * layout[8] + layout[9] + h * d
        v_at = b * m * layout[10] + layout[11] + h * d_v
        gemm(False, True, n, m, d_v, 1.0, g_of, width, v[v_at:], layout[10], False, scores, m)
        seen = weights
        if layout[17]:
            seen = kept_weights[p * n * m : (p + 1) * n * m]
            for i in range(n):
                at = b * layout[18] + h * layout[19] + i * layout[20]
                row = scores[i * m : (i + 1) * m]
                _times(row, keep, at, layout[21], row)
                _times(weights[i * m : (i + 1) * m], keep, at, layout[21], seen[i * m : (i + 1) * m])
        gemm(True, False, m, d_v, n, 1.0, seen, m, g_of, width, False, dv[v_at:], layout[10])
        for i in range(n):
            _slope(scores[i * m : (i + 1) * m], weights[i * m : (i + 1) * m])
        gemm(False, False, n, d, m, scale, scores, m, k[k_at:], layout[8], False, dq[q_at:], layout[6])
        gemm(True, False, m, d, n, scale, scores, m, q[q_at:], layout[6], False, dk[k_at:], layout[8])


def self_attention(qkv: Any, *more: Any) -> None:
    """Write the attention of a sequence to itself, from queries, keys and values side by side, and the weights."""
    attention(qkv, qkv, qkv, *more)


def self_attention_back(g: Any, qkv: Any, keep: Any, a: Any, dqkv: Any, *more: Any) -> None:
    """Write the gradients of queries, keys and values side by side, and of the scores."""
    attention_back(g, qkv, qkv, qkv, keep, a, dqkv, dqkv, dqkv, *more)
