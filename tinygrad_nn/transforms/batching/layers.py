"""Batching rules of neural network layers: the samples become further rows of the batch, or further groups."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .families import Call, aligned, padded, product, rule, run


def _merge(x: Any, axis: int) -> Any:
    """Return an array of all samples with the axis of the samples merged into an axis of one sample."""
    x = np.moveaxis(x, 0, axis)
    return x.reshape((*x.shape[:axis], x.shape[axis] * x.shape[axis + 1], *x.shape[axis + 2 :]))


def _unmerge(x: Any, axis: int, n: int) -> Any:
    """Return an array with the samples along the first axis again: the inverse of `_merge`."""
    x = x.reshape((*x.shape[:axis], n, x.shape[axis] // n, *x.shape[axis + 1 :]))
    return np.moveaxis(x, axis, 0)


@rule("affine")
def _affine(call: Call) -> Any:
    x, W, b = call.args
    if call.rank(1) != 2 or call.rank(2) != 1 or call.rank(0) == 0 or call.shape(0)[-1] != call.shape(1)[-1]:
        return NotImplemented  # the run for one sample raises a clear error
    if call.mapped == [True, False, False]:
        return call.run(x, W, b)
    weights = W.swapaxes(-1, -2)
    over_x, over_w, over_b = call.mapped
    if over_x or over_w:
        out = product(Call(call.row, [x, weights], [over_x, over_w], {}, call.level))
    else:
        out = run("matmul", (x, weights))
    return np.add(*aligned((out, b), (over_x or over_w, over_b)))


def _sample_means(terms: Any, call: Call) -> Any:
    """Return for each sample the sum of all terms, divided by the number of rows in a sample."""
    rows = math.prod(call.shape(0)[:-1])
    axes = tuple(range(1, terms.ndim))
    return terms.sum(axis=axes) / float(rows) if rows != 1 else terms.sum(axis=axes)


@rule("softmax_crossentropy")
def _softmax_crossentropy(call: Call) -> Any:
    if call.shape(0) != call.shape(1) or not call.rank(0):
        return NotImplemented
    z, y = call.args
    return -_sample_means(run("log_softmax", (z,)) * y, call)


@rule("sigmoid_crossentropy")
def _sigmoid_crossentropy(call: Call) -> Any:
    if call.shape(0) != call.shape(1):
        return NotImplemented
    z, y = call.args
    return _sample_means(run("softplus", (z,)) - z * y, call)


# -- Convolution and pooling

@rule("conv", "conv_transpose")
def _conv(call: Call) -> Any:
    (x, w), n = call.args, call.n
    if not call.mapped[1]:
        return _unmerge(call.run(_merge(x, 0), w), 0, n)
    if not call.mapped[0]:
        x = call.spread(0)
    out = call.run(_merge(x, 1), _merge(w, 0), groups=n * call.meta["groups"])
    return _unmerge(out, 1, n)


@rule("conv_weight")
def _conv_weight(call: Call) -> Any:
    x, y = call.spread(0), call.spread(1)
    return _unmerge(call.run(_merge(x, 1), _merge(y, 1), groups=call.n * call.meta["groups"]), 0, call.n)


@rule("max_pool", "avg_pool", "avg_spread")
def _pool(call: Call) -> Any:
    if call.rank(0) <= len(call.meta["kernel"]):
        return NotImplemented
    return _unmerge(call.run(_merge(call.args[0], 0)), 0, call.n)


@rule("max_spread", "max_collect")
def _pool_gradient(call: Call) -> Any:
    if call.rank(0) <= len(call.meta["kernel"]):
        return NotImplemented
    return _unmerge(call.run(*(_merge(call.spread(i), 0) for i in range(3))), 0, call.n)


# -- Normalisation

def _aligned_arguments(call: Call, scales: tuple[int, ...]) -> Any:
    rank, axis = call.rank(0), call.meta["axis"]
    if not call.mapped[0] or call.meta.get("moments") is not None or any(call.rank(i) > rank for i in scales):
        return NotImplemented
    axes = tuple(1 + a % rank for a in (axis if isinstance(axis, tuple) else (axis,)))
    args = [padded(x, rank) if call.mapped[i] else x for i, x in enumerate(call.args)]
    return args, axes


@rule("standardize")
def _standardize(call: Call) -> Any:
    found = _aligned_arguments(call, (1, 2))
    return found if found is NotImplemented else call.run(*found[0], axis=found[1])


@rule("rms_norm")
def _rms_norm(call: Call) -> Any:
    found = _aligned_arguments(call, (1,))
    return found if found is NotImplemented else call.run(*found[0], axis=found[1])


# -- Sequences

@rule("attention")
def _attention(call: Call) -> Any:
    rank = max(*(call.rank(i) for i in range(3)), *(call.rank(i) - 1 for i in (3, 4)))
    if min(call.rank(i) for i in range(3)) < 2:
        return NotImplemented
    args = [call.spread(i) for i in range(3)]
    rest = [padded(x, rank + 1) if m else x for x, m in zip(call.args[3:], call.mapped[3:], strict=True)]
    return call.run(*(padded(x, rank) for x in args), *rest)


@rule("self_attention")
def _self_attention(call: Call) -> Any:
    rank = call.rank(0)
    rest = [padded(x, rank + 1) if m else x for x, m in zip(call.args[1:], call.mapped[1:], strict=True)]
    return call.run(call.spread(0), *rest)


@rule("rnn_states", "lstm_states", "gru_states")
def _states(call: Call) -> Any:
    weights = (1, 2) if call.row.name == "gru_states" else (1,)
    if any(call.mapped[i] for i in weights):
        return NotImplemented
    args = [x if i in weights else _merge(call.spread(i), 0 if i else 1) for i, x in enumerate(call.args)]
    return _unmerge(call.run(*args), 1, call.n)


@rule("embedding")
def _embedding(call: Call) -> Any:
    if call.mapped == [False, True]:
        return call.run(*call.args)
    if call.meta.get("padding_idx") is not None or call.rank(0) != 2:
        return NotImplemented
    W, ids = call.args[0], call.spread(1).astype(np.intp)
    rows = W.shape[1]
    first = np.arange(call.n).reshape(call.n, *(1,) * (np.ndim(ids) - 1)) * rows
    ids = np.where(ids < 0, ids + rows, ids)
    ids = np.where((ids < 0) | (ids >= rows), call.n * rows, ids + first)  # a wrong id raises, and hits no other sample
    return run("embedding", (W.reshape(call.n * rows, W.shape[2]), ids))
