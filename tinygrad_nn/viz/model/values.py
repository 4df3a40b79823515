"""Read-only access to models for drawings: a model may be a module, a list of layers or nested arrays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .names import arrays

Array = np.ndarray[Any, Any]


def array_of(value: Any) -> Array:
    """Return an array, or the data of a Tensor."""
    return value if isinstance(value, np.ndarray) else np.asarray(getattr(value, "data", value))


def modules(model: Any) -> Iterator[Any]:
    """Yield the modules of a model, including those in lists and dicts."""
    if hasattr(model, "named_modules"):
        yield from (module for _, module in model.named_modules())
    elif isinstance(model, (list, tuple, dict)):
        for part in model.values() if isinstance(model, dict) else model:
            yield from modules(part)


@contextmanager
def in_eval_mode(model: Any) -> Iterator[None]:
    """Put modules in evaluation mode (``training = False``) inside a block, and restore their modes after it."""
    before = [(module, module.training) for module in modules(model)]
    try:
        for module, _ in before:
            module.training = False
        yield
    finally:
        for module, training in before:
            module.training = training


def sequential_parts(model: Any) -> list[Any]:
    """Return the parts of a model that run in sequence; lists and `Sequential` are flattened."""
    if isinstance(model, (list, tuple)) or (hasattr(model, "named_modules") and hasattr(model, "__iter__")):
        return [inner for part in model for inner in sequential_parts(part)]
    return [model]


def weights(model: Any) -> dict[str, Any]:
    """Return the Tensors and arrays of a model with at least two axes, by ``layer 1`` (in a list of layers) or by path.

    Example:
        >>> weights({"W": np.ones((2, 3)), "b": np.ones(2)})
        {'W': array([[1., 1., 1.],
               [1., 1., 1.]])}
    """
    layers = model if isinstance(model, (list, tuple)) else [model]
    found = {f"layer {k}": layer.W for k, layer in enumerate(layers, start=1) if hasattr(layer, "W")}
    if not layers or len(found) < len(layers):
        found = {path.removesuffix(".weight"): value for path, value in arrays(model).items()}
    arrays_found = ((name, w, array_of(w)) for name, w in found.items())
    return {name: w for name, w, array in arrays_found if array.ndim > 1 and array.size and array.dtype.kind == "f"}
