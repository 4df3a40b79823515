"""Decides which calls of attention the functions of `attention` do, and with which arguments."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ...program.values import Arg, Op, Value
from .row import Native

Given = list[Arg]
PARALLEL = 2**18  # with at most so many multiplications one core is faster


def by_position(op: Op) -> Given:
    """Return all arguments by position of a primitive or its rule, with plain numbers at their places."""
    numbers = op.call_meta["numbers"]  # type: ignore[index]
    values = iter(op.args)
    given = [numbers[k] if k in numbers else next(values) for k in range(len(op.args) + len(numbers))]
    return given


def _arguments(op: Op) -> tuple[Value, Value, Value, Arg, Arg]:
    """Return queries, keys, values, mask and keep; for self-attention the first three are the same array."""
    given = by_position(op)[2:] if op.name.endswith("_back") else by_position(op)
    if op.name.startswith("self_"):
        return given[0], given[0], given[0], given[1], given[2]
    return given[0], given[1], given[2], given[3], given[4]


def _sizes(op: Op) -> tuple[int, int, int, int, int, int]:
    """Return the numbers of samples, heads, queries and keys, and the columns of a key and of a value."""
    q, k, v, _, _ = _arguments(op)
    heads = op.call_meta.get("heads", 1)  # type: ignore[union-attr]
    each = 3 * heads if op.name.startswith("self_") else heads
    return prod(q.shape[:-2]), heads, q.shape[-2], k.shape[-2], q.shape[-1] // each, v.shape[-1] // each


def supports(op: Op) -> bool:
    """Tell whether queries, keys and values have equal axes before time, and mask and keep have a usable shape."""
    q, k, v, mask, keep = _arguments(op)
    if min(len(x.shape) for x in (q, k, v)) < 2 or not q.shape[:-2] == k.shape[:-2] == v.shape[:-2]:
        return False
    return _steps(op, mask) is not None and _steps(op, keep) is not None


def _steps(op: Op, mask: Arg) -> list[int] | None:
    """Return whether there is a mask, and its steps from sample to sample, head, query and key; None if unusable."""
    if not _present(mask):
        return [0] * 5
    q = _arguments(op)[0]
    samples = q.shape[:-2]
    shape = (1,) * (len(samples) + 3 - len(mask.shape)) + mask.shape
    lead = shape[:-3]
    if len(shape) != len(samples) + 3 or mask.dtype != q.dtype or (lead != samples and prod(lead) > 1):
        return None
    steps = [prod(shape[-3:]), prod(shape[-2:]), shape[-1], 1]
    return [1, *(0 if n == 1 else step for n, step in zip((prod(lead), *shape[-3:]), steps, strict=True))]


def _present(mask: Arg) -> bool:
    """Tell whether a mask or `keep` is an array; a plain number stands for none."""
    return isinstance(mask, Value) and bool(mask.shape)


def _array_or_queries(mask: Arg, like: Value) -> Value:
    return mask if _present(mask) else like


def arrays(op: Op) -> list[Arg]:
    """Return the arrays that the function takes; in place of a missing mask or keep, the queries."""
    q, k, v, mask, keep = _arguments(op)
    ours = [q] if op.name.startswith("self_") else [q, k, v]
    if op.name.endswith("_back"):
        return [op.args[0], *ours, _array_or_queries(keep, q), op.args[-1]]
    return [*ours, _array_or_queries(mask, q), _array_or_queries(keep, q)]


def threads(op: Op) -> int:
    """Return into how many parts the heads are divided."""
    from .build import THREADS

    n, heads, queries, keys, d, d_v = _sizes(op)
    return min(THREADS, n * heads) if n * heads * queries * keys * (d + d_v) > PARALLEL else 1


def _has_score_gradients(op: Op) -> bool:
    """Tell whether the rule returns the gradients of the scores."""
    return len(op.outs) > (1 if op.name.startswith("self_") else 3)


def memory(op: Op) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of work arrays: for each part the scores of one head, and its weights times `keep`."""
    _, _, queries, keys, _, _ = _sizes(op)
    one = (threads(op), queries, keys)
    kept = one if _present(_arguments(op)[-1]) else (1,)
    return (one, kept) if op.name.endswith("_back") and not _has_score_gradients(op) else (kept,)


def numbers(op: Op) -> tuple[Any, ...]:
    """Return `layout` and the number of parts."""
    sizes = _sizes(op)
    q, k, v, mask, keep = _arguments(op)
    lie = [q.shape[-1], 0, k.shape[-1], 0, v.shape[-1], 0]
    if op.name.startswith("self_"):
        n = q.shape[-1] // 3
        lie = [3 * n, 0, 3 * n, n, 3 * n, 2 * n]
    kept = int(op.name.endswith("_back") and _has_score_gradients(op))
    masked, times = _steps(op, mask), _steps(op, keep)
    return np.array([*sizes, *lie, *(masked or ()), *(times or ()), kept], np.int64), threads(op)


def work(op: Op) -> int:
    """Return the number of multiplications in the largest product of one head."""
    _, _, queries, keys, d, d_v = _sizes(op)
    return queries * keys * max(d, d_v)


def row(function: str) -> Native:
    """Return the row of the table for a function."""
    return Native("attention", function, supports, arrays, memory, numbers, work)


ROWS = {name: row(name) for name in ("attention", "self_attention", "attention_back", "self_attention_back")}
