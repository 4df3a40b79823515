r"""An embedding by hand: a table with a row for each word, and the lookup of rows.

Equations are numbered as in `docs/backprop_layers.md`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Ids = NDArray[np.integer[Any]]

_COTANGENT = "g has shape {got}, the rows that were looked up have {need}: give one number for each of their entries"


def embedding(W: Array, ids: Ids) -> Array:
    r"""Return the row of the table for each index.

    .. math:: a_{n} = W_{\text{ids}_n}

    Args:
        W: the table, `(words, n_out)`.
        ids: row numbers of any shape, each at least 0 and below `words`.

    Returns:
        `(*ids.shape, n_out)`.

    Raises:
        IndexError: there is no such row.

    Source: Bengio, Ducharme, Vincent & Jauvin, A neural probabilistic language model (2003), section 2.

    Example:
        >>> embedding(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1, 1, 0])).tolist()
        [[3.0, 4.0], [3.0, 4.0], [1.0, 2.0]]
    """
    _check_rows(ids, len(W))
    return W[ids]  # (E1)


def embedding_backward(g: Array, W: Array, ids: Ids) -> Array:
    r"""Return the gradient of the table: each row sums the gradients of all places that looked it up.

    .. math:: \frac{\partial E}{\partial W_w} = \sum_{n: \text{ids}_n = w} g_n

    Args:
        g: gradient of the result, `(*ids.shape, n_out)`.
        W, ids: as given to `embedding`; of `W` only the shape counts.

    Returns:
        The gradient of `W`, `(words, n_out)`; a row that was not looked up has gradient 0.

    Raises:
        ValueError: `g` does not have the shape of the result.
        IndexError: there is no such row.

    Source: Bengio, Ducharme, Vincent & Jauvin (2003); derived in `docs/backprop_layers.md`.

    Example:
        >>> g = np.array([[1.0], [10.0], [100.0]])
        >>> embedding_backward(g, np.zeros((3, 1)), np.array([1, 1, 0])).tolist()
        [[100.0], [11.0], [0.0]]
    """
    if g.shape != (*ids.shape, *W.shape[1:]):
        raise ValueError(_COTANGENT.format(got=g.shape, need=(*ids.shape, *W.shape[1:])))
    _check_rows(ids, len(W))
    dW = np.zeros(W.shape, g.dtype)
    # dW[ids] += g would keep only the last of several gradients of the same row.
    np.add.at(dW, ids, g)  # (E2)
    return dW


def _check_rows(ids: Ids, words: int) -> None:
    """Raise if a row number is not in the table; NumPy would count a negative one from the end."""
    if ids.size and not 0 <= ids.min() <= ids.max() < words:
        wrong = ids[(ids < 0) | (ids >= words)][0]
        raise IndexError(f"the table has the rows 0 to {words - 1}; ids holds {wrong}.")
