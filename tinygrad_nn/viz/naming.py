"""Names from the attribute paths of a model: ``encoder.layers[0].W``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ..graph import GraphView
from ..tensor import Tensor

_ENDS = (str, bytes, int, float, complex, type, ModuleType, FunctionType, MethodType, np.generic, np.dtype)


def parameters(model: Any) -> dict[str, Tensor]:
    """Return the Tensors of a model by the path that leads to each, a shared one under its first path only.

    Args:
        model: has a method ``named_parameters()``; or it is a list, tuple or dict, or an object whose attributes are
            walked in the order they were made. A private attribute goes by the public name of its property.

    Example:
        >>> list(parameters([{"W": Tensor([1.0]), "b": Tensor([2.0])}, Tensor([3.0])]))
        ['[0].W', '[0].b', '[1]']
    """
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    stack: list[tuple[str, Any]] = [("", model)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, _ENDS) or value is None or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            found[path] = value
        elif not isinstance(value, np.ndarray):
            parts = [(path + step if step[0] == "[" else f"{path}.{step}".strip("."), part)
                     for step, part in _parts(value)]  # fmt: skip
            stack += reversed(parts)
    return found


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    named = getattr(value, "named_parameters", None)
    if callable(named):
        pairs = named()
        yield from ((str(name) or "?", part) for name, part in (pairs.items() if hasattr(pairs, "items") else pairs))
    elif isinstance(value, Mapping):
        yield from ((key if isinstance(key, str) and key.isidentifier() else f"[{key!r}]", part)
                    for key, part in value.items())  # fmt: skip
    elif isinstance(value, (list, tuple)):
        yield from ((f"[{i}]", part) for i, part in enumerate(value))
    else:
        for name, part in getattr(value, "__dict__", {}).items():
            public = name.lstrip("_")
            yield (public if isinstance(getattr(type(value), public, None), property) else name), part


def inputs_of(view: GraphView, names: Mapping[str, Tensor]) -> frozenset[int]:
    """Return the numbers of the leaves that are none of these Tensors; none if all are strangers."""
    known = {tensor.node for tensor in names.values() if tensor.node is not None}
    leaves = [part for part in view if part.kind == "leaf"]
    strangers = frozenset(part.number for part in leaves if part.node not in known)
    return strangers if len(strangers) < len(leaves) else frozenset()


def rename(view: GraphView, names: Mapping[str, Tensor]) -> GraphView:
    """Return the view with these names for the leaves that these Tensors are, instead of their own."""
    known = {tensor.node: name for name, tensor in names.items() if tensor.node is not None}
    nodes = tuple(
        replace(part, name=known[part.node]) if part.kind == "leaf" and part.node in known else part for part in view
    )
    renamed = object.__new__(GraphView)  # a view has no other way in than a result
    for part, value in (("nodes", nodes), ("edges", view.edges), ("outputs", view.outputs)):
        object.__setattr__(renamed, part, value)
    return renamed
