"""The contents of ``torch.nn.utils.rnn``: sequences of different lengths as one array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...common.spelling import no_attribute
from ...tensor import Tensor

__all__ = ["pad_sequence"]


def pad_sequence(sequences: Sequence[Any], batch_first: bool = False, padding_value: float = 0.0) -> Any:
    """Return sequences of different lengths as one Tensor, ``(time, batch, ...)``, filled up at their ends.

    Args:
        sequences: Tensors or arrays of shape ``(length, ...)``.
        batch_first: whether the result is ``(batch, time, ...)``.
        padding_value: what fills the ends.

    Raises:
        ValueError: there are no sequences.

    Example:
        >>> pad_sequence([np.array([1, 2, 3]), np.array([4])], batch_first=True).tolist()
        [[1, 2, 3], [4, 0, 0]]
    """
    if not len(sequences):
        raise ValueError("pad_sequence: there are no sequences; it needs a list of at least one.")
    parts = [x if isinstance(x, Tensor) else Tensor(x, requires_grad=False) for x in sequences]
    longest = max(len(x) for x in parts)
    ends = [[(0, longest - len(x)), *[(0, 0)] * (x.ndim - 1)] for x in parts]
    filled = [np.pad(x, end, constant_values=padding_value) for x, end in zip(parts, ends, strict=True)]
    return np.stack(filled, axis=0 if batch_first else 1)


def __getattr__(name: str) -> object:
    mask = "Use pad_sequence, and mask what it filled: in the loss, and as key_padding_mask of attention."
    raise no_attribute(f"module {__name__!r}", name, __all__, {name: mask} if "pack" in name else {})
