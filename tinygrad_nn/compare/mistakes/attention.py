"""Mistakes at attention, in the scale, the softmax of the scores, the queries, keys and values, or the dropout mask."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from ...ops.attention import join_heads, split_heads
from ..paths import Traced, args_of
from .mistake import Mistake, Site, finds


class _Variant(NamedTuple):
    """A way back through attention: the right one by default, and a wrong one if a field has another value."""

    scale: float = 1.0  # the power of 1 / sqrt(d)
    softmax: str = "whole"
    values: str = "a"
    crossed: bool = False  # whether q stands in place of k, and k in place of q
    keep: bool = True


def _back(s: Site, way: _Variant) -> list[Any]:
    fused = len(s.args) == 3
    heads = s.meta.get("heads", 1)
    arrays = np.split(s.args[0], 3, axis=-1) if fused else s.args[:3]
    mask, keep = s.args[-2:]
    q, k, v = (split_heads(np.asarray(x), heads) for x in arrays)
    g, a = split_heads(s.g, heads), s.meta["a"]
    d = q.shape[-1]
    kept = keep if np.ndim(keep) and way.keep else 1.0
    used = a * kept
    da = g @ v.swapaxes(-1, -2) * kept
    mean = np.full_like(used, 1 / used.shape[-1])
    dv = {"a": used.swapaxes(-1, -2), "untransposed": used, "mean": mean}[way.values] @ g
    scores = {
        "whole": lambda: (da - (da * a).sum(axis=-1, keepdims=True)) * a, "diagonal": lambda: da * a * (1 - a),
        "missing": lambda: da, "queries": lambda: (da - (da * a).sum(axis=-2, keepdims=True)) * a,
        "product": lambda: da * a,
    }[way.softmax]()  # fmt: skip
    scale = sqrt(d) ** -way.scale
    dq, dk = scores @ (q if way.crossed else k) * scale, scores.swapaxes(-1, -2) @ (k if way.crossed else q) * scale
    parts = [join_heads(dq), join_heads(dk), join_heads(dv)]
    rest = [scores if np.ndim(mask) else None, None]
    return [np.concatenate(parts, axis=-1), *rest] if fused else [*parts, *rest]


WAYS: list[tuple[str, str, _Variant]] = [
    ("missing_factor", "The scale 1/sqrt(d) of the scores is missing in the backward pass.", _Variant(scale=0.0)),
    ("wrong_derivative", "The scale of the scores is 1/d in the backward pass; it should be 1/sqrt(d).",
     _Variant(scale=2.0)),
    ("wrong_derivative", "The gradients of queries and keys are multiplied by sqrt(d); they should be divided by it.",
     _Variant(scale=-1.0)),
    ("softmax_diagonal_only", "Only the diagonal of the Jacobian of the softmax of the scores is used, a(1 - a).",
     _Variant(softmax="diagonal")),
    ("softmax_diagonal_only", "The gradient of the softmax is only a da; the sum over the keys is missing.",
     _Variant(softmax="product")),
    ("missing_activation_derivative", "The softmax of the scores is passed through without its derivative.",
     _Variant(softmax="missing")),
    ("wrong_axis", "The sum in the gradient of the softmax runs over the queries; it should run over the keys.",
     _Variant(softmax="queries")),
    ("wrong_value", "Queries and keys are exchanged in the backward pass.", _Variant(crossed=True)),
    ("transpose", "The weights of the attention are not transposed in the gradient of the values.",
     _Variant(values="untransposed")),
    ("wrong_value", "The values get the mean of the gradients; the gradients should be weighted by the attention.",
     _Variant(values="mean")),
    ("dropout_mask_missing", "The mask of the dropout is missing in the backward pass.", _Variant(keep=False)),
]  # fmt: skip
NO_GRADIENT = (("queries", 0), ("keys", 1), ("values", 2))


@finds("attention", "self_attention")
def attentions(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield the gradients of attention with one mistake each."""
    node = graph.operations[place]
    for kind, text, way in WAYS:
        yield Mistake(kind, text, lambda s, w=way: _back(s, w))
    if len(args_of(node)) == 3:
        for i, j, text in ((0, 1, "queries and keys"), (0, 2, "queries and values"), (1, 2, "keys and values")):
            yield Mistake("wrong_order", f"The gradients of {text} are exchanged.",
                          lambda s, i=i, j=j: _exchanged(s.slots[0], i, j), 0)  # fmt: skip
        for what, i in NO_GRADIENT:
            yield Mistake("detached", f"The {what} get no gradient.", lambda s, i=i: _without(s.slots[0], i), 0)


def _exchanged(g: Any, i: int, j: int) -> Any:
    parts = np.split(g, 3, axis=-1)
    parts[i], parts[j] = parts[j], parts[i]
    return np.concatenate(parts, axis=-1)


def _without(g: Any, i: int) -> Any:
    parts = np.split(np.array(g), 3, axis=-1)
    parts[i] = np.zeros_like(parts[i])
    return np.concatenate(parts, axis=-1)
