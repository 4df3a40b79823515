"""What a forward kept of its values, for the backward: the same with arrays instead of Tensors."""

from __future__ import annotations

import copy
import inspect
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MethodType
from typing import Any

import numpy as np

from ...tensor import Tensor


class Saved(dict[str, Any]):
    """The values of a forward by name, readable as keys and as attributes, also those named ``values`` or ``copy``."""

    def __getattribute__(self, name: str) -> Any:
        return self[name] if name in self else super().__getattribute__(name)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the forward has no value named {name!r}; it has {', '.join(self)}") from None


def as_arrays(value: Any, made: dict[Any, Any], kind: Any = np.ndarray) -> Any:
    """Return a copy of a value with arrays instead of Tensors, also inside containers and objects.

    `made` maps ids to copies, so that the same Tensor becomes the same array everywhere.
    """
    if id(value) in made:
        return made[id(value)][0]
    if isinstance(value, Tensor):
        key = id(value if value.node is None else value.node)
        if key not in made:
            made[key] = (np.array(value.data).view(kind), value)
        return made[key][0]
    new: Any = value
    if isinstance(value, np.ndarray):
        new = value.copy()
        made[id(value)] = new, value
    elif isinstance(value, dict):
        new = {} if type(value) is dict else copy.copy(value)
        made[id(value)] = new, value  # before its parts: ``cache = locals()`` contains itself
        dict.update(new, {key: as_arrays(part, made, kind) for key, part in dict.items(value)})
    elif type(value) is list:
        new = []
        made[id(value)] = new, value
        new.extend(as_arrays(part, made, kind) for part in value)
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        new = type(value)(*(as_arrays(part, made, kind) for part in value))
    elif isinstance(value, (list, tuple, deque)):
        new = type(value)(as_arrays(part, made, kind) for part in value)
    elif not callable(value):
        inside = _attributes(value)
        if any(holds_tensors(part) for part in inside.values()):
            new = copy.copy(value)
            made[id(value)] = new, value
            for name, part in inside.items():
                setattr(new, name, as_arrays(part, made, kind))
    return new


def _attributes(value: Any) -> dict[str, Any]:
    """Return the attributes of an object by name, also those in its slots."""
    slots = [name for kind in type(value).__mro__ for name in np.atleast_1d(vars(kind).get("__slots__", ())).tolist()]
    held = {name: getattr(value, name) for name in slots if name[:2] != "__" and hasattr(value, name)}
    return held | (getattr(value, "__dict__", None) or {})


def holds_tensors(value: Any, deep: int = 3) -> bool:
    """Tell whether a value is a Tensor, or a list, tuple or dict with one."""
    inside = dict.values(value) if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return isinstance(value, Tensor) or (deep > 0 and any(holds_tensors(part, deep - 1) for part in inside))


def with_arrays(f: Callable[..., Any], made: dict[Any, Any]) -> Callable[..., Any]:
    """Return a method of a copy of its object that has arrays instead of Tensors; any other function as it is."""
    if not inspect.ismethod(f) or isinstance(f.__self__, type) or not hasattr(f.__self__, "__dict__"):
        return f
    owner = copy.copy(f.__self__)
    for name, part in vars(owner).items():
        vars(owner)[name] = as_arrays(part, made)
    return MethodType(f.__func__, owner)


@contextmanager
def in_place_of(space: dict[str, Any], kept: Mapping[str, Any]) -> Iterator[None]:
    """Put other values into a module's names for a while: what a forward kept there, as arrays."""
    before = {name: space[name] for name in kept}
    space.update(kept)
    try:
        yield
    finally:
        space.update({name: value for name, value in before.items() if space.get(name) is kept[name]})
