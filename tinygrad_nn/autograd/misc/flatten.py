"""Flatten nested containers of arrays to one vector, and rebuild them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..tracer import isbox

Unflatten = Callable[[Any], Any]


def flatten(value: Any) -> tuple[Any, Unflatten]:
    """Return the numbers of nested lists, tuples and dicts as one vector, and the function that rebuilds them.

    Dicts are traversed in the order of their sorted keys. Gradients flow through flattening and rebuilding.

    Example:
        >>> vector, unflatten = flatten({"b": 1.0, "a": np.array([2.0, 3.0])})
        >>> vector.tolist(), unflatten(vector * 10)
        ([2.0, 3.0, 1.0], {'b': np.float64(10.0), 'a': array([20., 30.])})
    """
    parts = _leaves(value)
    arrays = [np.ravel(part) for part in parts]

    def unflatten(vector: Any) -> Any:
        pieces, start = [], 0
        for part in parts:
            size, shape = np.size(part), np.shape(part)
            piece = np.reshape(vector[start : start + size], shape)
            pieces.append(piece[()] if not isbox(piece) else piece)
            start += size
        return _rebuild(value, iter(pieces))

    return (np.concatenate(arrays) if arrays else np.zeros(0)), unflatten


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return [leaf for part in value for leaf in _leaves(part)]
    if isinstance(value, dict):
        return [leaf for key in sorted(value) for leaf in _leaves(value[key])]
    return [value]


def _rebuild(value: Any, pieces: Any) -> Any:
    if isinstance(value, dict):
        made = {key: _rebuild(value[key], pieces) for key in sorted(value)}
        return {key: made[key] for key in value}
    if isinstance(value, (list, tuple)):
        parts = [_rebuild(part, pieces) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return next(pieces)


def flatten_func(func: Callable[..., Any], example: Any) -> tuple[Callable[..., Any], Unflatten, Any]:
    """Return a function of containers as a function of vectors, then `unflatten`, then the flattened example."""
    vector, unflatten = flatten(example)
    return (lambda x, *args: flatten(func(unflatten(x), *args))[0]), unflatten, vector


__all__ = ["flatten", "flatten_func"]
