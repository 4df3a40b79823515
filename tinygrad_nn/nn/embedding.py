"""Embedding, a table with a learned row for each index, and sinusoidal position encodings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.arguments import as_generator
from ..common.masked import unmasked
from ..node import thread
from ..ops.embedding import embedding
from ..tensor import Tensor, raw
from ..transforms.batching import level_of
from .keywords import pytorch_names
from .linear import check_count, parameter
from .module import Module
from .state import assign

FIXED = {
    "max_norm": (None, "scale the weight yourself"), "norm_type": (..., ""), "sparse": (False, "gradients are dense"),
    "scale_grad_by_freq": (False, "scale the gradient yourself"),
    "_weight": (None, "write nn.Embedding.from_pretrained(weight)"), "_freeze": (False, "write layer.freeze()"),
}  # fmt: skip
_THEN = "max_norm norm_type scale_grad_by_freq sparse _weight _freeze device dtype"

if TYPE_CHECKING:
    from .init import Rng


def find_unknown(x: Any, words: int) -> int | None:
    """Return a number in x that is not an index below `words`, or None if there is none or x is traced."""
    while level_of(x) is not None:
        x = x.full  # the numbers of all samples of a vmap
    numbers = x.data if type(x) is Tensor else x
    if not isinstance(numbers, np.ndarray) or not numbers.size:
        return None
    low, high = int(numbers.min()), int(numbers.max())
    return low if low < 0 else high if high >= words else None


def without_wrapping(x: Any, words: int) -> Any:
    """Return the indices x; in a trace, replace indices below 0 so that they are out of range too.

    A trace does not know the values, so `find_unknown` cannot reject them, and indexing would count them from the end.
    """
    if not thread.mode.traces:
        return x
    if x.dtype == np.uint64:  # the largest uint64 would become negative as intp
        return np.minimum(x, words).astype(np.intp)
    return np.where(x < 0, words, x.astype(np.intp)) if x.dtype.kind == "i" else x  # int8 may be too small for `words`


def padding_row(call: str, padding_idx: int | None, words: int) -> int | None:
    """Return the row of a table that is not trained, counted from 0; a negative number counts from the end."""
    if padding_idx is None:
        return None
    if not -words <= padding_idx < words:
        raise ValueError(f"{call}: padding_idx={padding_idx}; the {words} words are 0 to {words - 1}.")
    return padding_idx % words


@pytorch_names(FIXED, _THEN, num_embeddings="words", embedding_dim="n_out")
class Embedding(Module):
    r"""A table with one learned row for each index.

    .. math:: y_i = W_{x_i}, \qquad W \sim N(0, 1)

    Args:
        words: number of rows.
        n_out: length of a row.
        padding_idx: an index whose row starts at zero and is never trained, for padding short sequences; a negative
            number counts from the end.
        rng: a Generator or a seed; ``None`` draws different weights each time.
        dtype: of the weights, ``float`` or ``np.float32``.

    Attributes:
        weight: a Tensor ``(words, n_out)``.

    Raises:
        TypeError, ValueError: from a call, if x is not made of integers from 0 to ``words - 1``.

    Source: Bengio, Ducharme, Vincent & Jauvin, A neural probabilistic language model (2003); names and initial weights
    of PyTorch.

    Example:
        >>> words = Embedding(10, 3, padding_idx=0, rng=0)
        >>> words([[0, 4, 4], [7, 0, 0]]).shape, words([0]).tolist()
        ((2, 3, 3), [[0.0, 0.0, 0.0]])
    """

    def __init__(
        self, words: int, n_out: int, padding_idx: int | None = None, *, rng: Rng = None, dtype: Any = np.float64
    ) -> None:
        self.words, self.n_out = check_count("Embedding", "words", words), check_count("Embedding", "n_out", n_out)
        self.padding_idx = padding_row("Embedding", padding_idx, self.words)
        W = as_generator(rng).normal(size=(self.words, self.n_out))
        if self.padding_idx is not None:
            W[self.padding_idx] = 0
        self.weight = parameter(W, dtype)

    @classmethod
    def from_pretrained(cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None) -> Embedding:
        """Return an Embedding with a given table, ``(words, n_out)``; with freeze=True the table is not trained."""
        table = np.array(unmasked(raw(embeddings)))
        table = table if table.dtype.kind == "f" else table.astype(float)
        made = cls(table.shape[0], table.shape[1], padding_idx, rng=0, dtype=table.dtype)
        assign(made.weight, table)
        return made.freeze() if freeze else made

    def forward(self, x: Any) -> Tensor:
        """Return the rows of the table at the indices x, ``(*x.shape, n_out)``."""
        x = checked_indices(repr(self), "x", x, self.words)
        result: Tensor = embedding(self.weight, x, padding_idx=self.padding_idx)
        return result

    def about(self) -> str:
        """Return the size of the table, and padding_idx if there is one."""
        return f"{self.words}, {self.n_out}" + (
            "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        )


def checked_indices(table: str, name: str, x: Any, words: int) -> Any:
    """Return indices of words as an array or Tensor of integers; raise if they are not integers or out of range."""
    x = x if isinstance(x, Tensor) else np.asarray(unmasked(x))
    if x.dtype.kind not in "iu":
        raise TypeError(
            f"{table} takes indices of words; {name} has dtype {x.dtype}. Write {name}.astype(int) if these are "
            "indices of words."
        )
    missing = find_unknown(x, words)
    if missing is not None:
        raise ValueError(f"{table} has the words 0 to {words - 1}; {name} holds {missing}.")
    return without_wrapping(x, words)


def sinusoidal_positions(length: int, n: int, dtype: Any = np.float64) -> np.ndarray[Any, Any]:
    r"""Return the sinusoidal position encodings of a sequence, one row per position, to be added to its embeddings.

    .. math:: p_{t, 2i} = \sin \frac{t}{10000^{2i/n}}, \qquad p_{t, 2i+1} = \cos \frac{t}{10000^{2i/n}}

    Args:
        length: number of positions.
        n: length of a row.
        dtype: of the result.

    Returns:
        ``(length, n)``.

    Source: Vaswani et al., Attention is all you need (2017), section 3.5.

    Example:
        >>> sinusoidal_positions(2, 4).round(3).tolist()
        [[0.0, 1.0, 0.0, 1.0], [0.841, 0.54, 0.01, 1.0]]
    """
    length, n = check_count("sinusoidal_positions", "length", length, 0), check_count("sinusoidal_positions", "n", n)
    angles = np.arange(length)[:, None] / 10000 ** (np.arange(0, n, 2) / n)  # (length, n / 2, rounded up)
    rows = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, angles.shape[1] * 2)
    return rows[:, :n].astype(dtype)
