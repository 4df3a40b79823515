"""Prediction with a module: in eval mode, in chunks of rows, with floats in the dtype of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Any

import numpy as np

from ..common.forks import renewed_after_fork
from ..nn.module import Module
from ..tensor import raw
from ..tree import flatten

CHUNK = 256  # number of rows per chunk
_SWITCH = renewed_after_fork(RLock())


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Set a module to eval mode inside this block, and restore each submodule's mode after it; one thread at a time."""
    with _SWITCH:  # else one thread would restore the mode while another still predicts
        before = [(module, module.training) for module in model.modules()]
        model.eval()
        try:
            yield
        finally:
            for module, training in before:
                module.training = training


def as_dtype(data: Any, dtype: Any) -> Any:
    """Return nested arrays with floats converted to this dtype; integers, such as labels, are unchanged."""
    leaves, rebuild = flatten(data)
    arrays = map(np.asarray, leaves)
    return rebuild([a.astype(dtype, copy=False) if a.dtype.kind == "f" else a for a in arrays])


def predict_in_chunks(forward: Callable[[Any], Any], x: Any, cast: Callable[[Any], Any]) -> Any:
    """Return the output for many rows, in chunks, as plain arrays; in one piece unless each row gives one row."""
    leaves, rebuild = flatten(x)
    rows = len(leaves[0])

    def output(start: int, stop: int) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
        parts, again = flatten(forward(cast(rebuild([leaf[start:stop] for leaf in leaves]))))
        return [raw(part) for part in parts], again

    found = []
    for start in range(0, rows, CHUNK) if rows > CHUNK else ():
        parts, again = output(start, start + CHUNK)
        if any(np.shape(part)[:1] != (min(CHUNK, rows - start),) for part in parts):
            break
        found.append(parts)
    else:
        if found:
            return again([np.concatenate(parts) for parts in zip(*found, strict=True)])
    parts, again = output(0, rows)
    return again(parts)
