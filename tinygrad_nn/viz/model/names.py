"""Names of a model's Tensors and arrays from their attribute paths, such as ``encoder.layers[0].W``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ...graph.view import GraphNode, GraphView
from ...tensor import Tensor

ENDS = (str, bytes, int, float, complex, type, ModuleType, FunctionType, MethodType, np.generic, np.dtype)


def parameters(model: Any) -> dict[str, Tensor]:
    """Return the Tensors of a model by their paths; a shared Tensor has only its first path.

    Args:
        model: an object with a method ``named_parameters()``, a list, tuple or dict, or any object, whose attributes
            are visited in order of creation. A private attribute with a public property is named by the property.

    Example:
        >>> list(parameters([{"W": Tensor([1.0]), "b": Tensor([2.0])}, Tensor([3.0])]))
        ['[0].W', '[0].b', '[1]']
    """
    return {path: value for path, value in arrays(model).items() if isinstance(value, Tensor)}


def arrays(model: Any) -> dict[str, Any]:
    """Return the Tensors and arrays of a model by their paths."""
    found: dict[str, Any] = {}
    seen: set[int] = set()
    stack: list[tuple[str, Any]] = [("", model)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, ENDS) or value is None or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Tensor) or (isinstance(value, np.ndarray) and value.dtype != object):
            found[path] = value
        else:
            stack += reversed(list(prefix_paths(path, dict(parts_of(value)))))
    return found


def prefix_paths(path: str, parts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield parts with their paths extended by the path of the container."""
    for step, part in parts.items():
        yield path + step if step[:1] == "[" else f"{path}.{step}".strip("."), part


def parts_of(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the contents of a model, a container or any object, with the path step to each."""
    named = getattr(value, "named_parameters", None)
    if callable(named):
        pairs = named()
        yield from ((str(name) or "?", part) for name, part in (pairs.items() if hasattr(pairs, "items") else pairs))
    elif isinstance(value, Mapping):
        yield from ((key if isinstance(key, str) and key.isidentifier() else f"[{key!r}]", part)
                    for key, part in value.items())  # fmt: skip
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        yield from zip(value._fields, value, strict=True)
    elif isinstance(value, (list, tuple)):
        yield from ((f"[{i}]", part) for i, part in enumerate(value))
    elif isinstance(value, np.ndarray):  # of dtype object
        yield from ((f"[{', '.join(map(str, index))}]", value[index]) for index in np.ndindex(value.shape))
    else:
        slots = [name for kind in reversed(type(value).__mro__) for name in _slots(kind) if hasattr(value, name)]
        shared = {name: part for kind in reversed(type(value).__mro__) for name, part in vars(kind).items()
                  if isinstance(part, (Tensor, np.ndarray))}  # fmt: skip
        own = shared | {name: getattr(value, name) for name in slots} | getattr(value, "__dict__", {})
        for name, part in own.items():
            public = name.lstrip("_")
            yield (public if isinstance(getattr(type(value), public, None), property) else name), part


def _slots(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple(name for name in names if name not in ("__dict__", "__weakref__"))


def inputs_of(view: GraphView, names: Mapping[str, Tensor]) -> frozenset[int]:
    """Return the numbers of the leaves that are not among these Tensors; an empty set if no leaf is among them."""
    known = {tensor.node for tensor in names.values() if tensor.node is not None}
    leaves = [part for part in view if part.kind == "leaf"]
    strangers = frozenset(part.number for part in leaves if part.node not in known)
    return strangers if len(strangers) < len(leaves) else frozenset()


def rename_nodes(view: GraphView, names: Mapping[str, Tensor]) -> GraphView:
    """Return the view with the nodes of these Tensors renamed."""
    known = {tensor.node: name for name, tensor in reversed(list(names.items())) if tensor.node is not None}
    return with_names(view, lambda part: (known.get(part.node) if part.node else None) or part.name)


def with_names(view: GraphView, name: Callable[[GraphNode], str | None]) -> GraphView:
    """Return the view with nodes renamed by a function of the node."""
    nodes = tuple(part if (new := name(part)) == part.name else replace(part, name=new) for part in view)
    if all(new is old for new, old in zip(nodes, view, strict=True)):
        return view
    return GraphView.made_of(nodes, view.edges, view.outputs)
