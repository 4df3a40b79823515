"""Primitives of embeddings: lookup of table rows by number, and its transpose, which sums gradients by row."""

from __future__ import annotations

import numpy as np

from ..primitive import Array, Primitive, declare
from .indexing import _put, add_rows
from .plain import is_tensor


# fmt: off
def _embedding(W: Array, ids: Array, padding_idx: int | None = None) -> Array:
    """Return a row of the table for each number.

    Args:
        W: the table, (words, n).
        ids: row numbers, of any shape.
        padding_idx: the number of a row that gets no gradient, so that it is never learned.

    Returns:
        (*ids.shape, n).

    Source: Bengio, Ducharme, Vincent & Jauvin (2003), A neural probabilistic language model, section 2.

    Example:
        >>> embedding(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1, 1, 0])).tolist()
        [[3.0, 4.0], [3.0, 4.0], [1.0, 2.0]]
    """
    return np.take(W, ids, axis=0)


def _without_padding(g: Array, ids: Array, padding_idx: int | None) -> Array:
    """Return g with 0 where the padding row was looked up."""
    return g if padding_idx is None else np.where((ids == padding_idx)[..., None], 0, g)

embedding: Primitive = declare(_embedding, r"W_{[i]}",
    (lambda g, out, W, ids, padding_idx=None: sum_rows(_without_padding(g, ids, padding_idx), ids, rows=W.shape[0]),
     r"\sum_{[i]} g"),
    None)


def _add_looked_up(g: Array, out: Array, total: Array, ids: Array, padding_idx: int | None = None) -> Array | None:
    return None if is_tensor(g) or is_tensor(ids) else add_rows(_without_padding(g, ids, padding_idx), total, ids)

embedding.adds, embedding.special = _add_looked_up, True


def _sum_rows(x: Array, ids: Array, rows: int) -> Array:
    """Return a table whose row i is the sum of the rows of x with number i: the gradient of an embedding's table.

    Args:
        x: (*ids.shape, n).
        ids: row numbers, at least 0 and below `rows`, of any shape.
        rows: the number of rows of the table.

    Returns:
        (rows, n).

    Example:
        >>> sum_rows(np.array([[1.0], [10.0], [100.0]]), np.array([1, 1, 0]), rows=3).tolist()
        [[100.0], [11.0], [0.0]]
    """
    return _put(x, ids, (rows, x.shape[-1]))

sum_rows: Primitive = declare(_sum_rows, r"\sum_{[i]} x",
    (lambda g, out, x, ids, rows: embedding(g, ids),                 r"g_{[i]}"),
    None)
# fmt: on
