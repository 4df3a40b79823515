"""NumPy functions that ask about a Tensor rather than compute with it; they answer with plain arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..primitive import OVERRIDES

QUESTIONS = (
    np.shape, np.ndim, np.size, np.iscomplexobj, np.isrealobj, np.result_type, np.may_share_memory, np.shares_memory,
    np.argmax, np.argmin, np.argsort, np.argpartition, np.nanargmax, np.nanargmin, np.searchsorted, np.digitize,
    np.nonzero, np.flatnonzero, np.argwhere, np.count_nonzero, np.all, np.any, np.isin, np.unique, np.histogram,
    np.isnan, np.isinf, np.isfinite, np.signbit, np.isreal, np.iscomplex, np.isposinf, np.isneginf,
    np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal,
    np.logical_and, np.logical_or, np.logical_not, np.logical_xor,
    np.allclose, np.isclose, np.array_equal, np.array_equiv, np.array2string, np.array_repr, np.array_str,
    np.zeros_like, np.ones_like, np.empty_like,
)  # fmt: skip


def bare(value: Any) -> Any:
    """Return a value with the Tensors in it, also inside lists and tuples, replaced by their data."""
    if isinstance(value, (list, tuple)):
        return type(value)(bare(part) for part in value)
    return value.data if hasattr(type(value), "_funnel") else value


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    def answer(*args: Any, **kwargs: Any) -> Any:
        return function(*bare(args), **{key: bare(value) for key, value in kwargs.items()})

    answer.__name__ = function.__name__
    return answer


for question in QUESTIONS:
    OVERRIDES[question] = _plain(question)
