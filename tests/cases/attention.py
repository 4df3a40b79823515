"""Rows for attention and embeddings, with references from their definitions, head by head."""

import numpy as np

from tinygrad_nn.ops.attention import attention, self_attention
from tinygrad_nn.ops.embedding import embedding, sum_rows

from .case import Case

CAUSAL = np.where(np.tri(3, dtype=bool), 0.0, -np.inf)
BLIND = np.where(np.array([[True, False, True, True], [False] * 4, [True] * 4]), 0.0, -np.inf)
KEEP = np.array([[0.0, 2.0, 2.0], [2.0, 0.0, 2.0], [2.0, 2.0, 2.0]])
IDS = np.array([[2, 0, 2], [1, 2, 4]])


def _attention(q, k, v, mask=0.0, keep=1.0, heads=1):
    full = (*q.shape[:-2], heads, q.shape[-2], k.shape[-2])
    mask, keep = np.broadcast_to(mask, full).astype(q.dtype), np.broadcast_to(keep, full).astype(q.dtype)
    outs = []
    for head, (q_h, k_h, v_h) in enumerate(zip(*(np.split(x, heads, axis=-1) for x in (q, k, v)), strict=True)):
        scores = np.einsum("...id,...jd->...ij", q_h, k_h) / np.sqrt(q_h.shape[-1], dtype=q.dtype)
        e = np.exp(scores + mask[..., head, :, :])
        total = e.sum(axis=-1, keepdims=True)
        a = e / np.where(total > 0, total, 1) * keep[..., head, :, :]
        outs.append(np.einsum("...ij,...jd->...id", a, v_h))
    return np.concatenate(outs, axis=-1)


def _self(qkv, *rest, heads=1):
    return _attention(*np.split(qkv, 3, axis=-1), *rest, heads=heads)


def _attending():
    for note, heads, shapes in (
        ("one head", 1, ((3, 2), (4, 2), (4, 3))),
        ("two heads", 2, ((2, 3, 4), (2, 2, 4), (2, 2, 6))),
        ("one query", 1, ((1, 1, 2), (1, 2, 2), (1, 2, 2))),
    ):
        yield Case(
            "attention", lambda q, k, v, h=heads: attention(q, k, v, 0.0, 1.0, heads=h), shapes,
            reference=lambda q, k, v, h=heads: _attention(q, k, v, heads=h), note=note,
        )  # fmt: skip
    yield Case(
        "attention", lambda q, k, v, m: attention(q, k, v, m, 1.0, heads=2),
        ((2, 3, 4), (2, 3, 4), (2, 3, 4), (2, 3, 3)), reference=lambda *a: _attention(*a, heads=2), note="learned mask",
    )  # fmt: skip
    yield Case(
        "attention", lambda q, k, v: attention(q, k, v, BLIND.astype(q.dtype), 1.0), ((3, 2), (4, 2), (4, 2)),
        reference=lambda *a: _attention(*a, mask=BLIND), note="a query that may look nowhere",
    )  # fmt: skip
    for note, mask, keep in (("plain", 0.0, 1.0), ("causal", CAUSAL, 1.0), ("causal, dropout", CAUSAL, KEEP)):
        yield Case(
            "self_attention",
            lambda x, m=mask, d=keep: self_attention(x, *(np.asarray(y, x.dtype)[()] for y in (m, d)), heads=2),
            ((2, 3, 12),), reference=lambda x, m=mask, d=keep: _self(x, m, d, heads=2), note=note,
        )  # fmt: skip


def _embedding():
    yield Case("embedding", lambda W: embedding(W, IDS), ((5, 3),), reference=lambda W: W[IDS], analytic=True)
    yield Case("embedding", lambda W: embedding(W, np.array(1)), ((5, 3),), reference=lambda W: W[1], note="one word")
    yield Case("embedding", lambda W: embedding(W, IDS[:0]), ((5, 3),), reference=lambda W: W[IDS[:0]], note="none")
    yield Case(
        "sum_rows", lambda x: sum_rows(x, IDS, rows=5), ((2, 3, 4),), analytic=True,
        reference=lambda x: np.stack([sum(x[i, j] for i, j in np.argwhere(row == IDS)) + 0 * x[0, 0]
                                      for row in range(5)]),
    )  # fmt: skip


CASES = [*_attending(), *_embedding()]
