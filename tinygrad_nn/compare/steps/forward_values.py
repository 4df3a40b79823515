"""The values that a forward passes on to the backward, copied with arrays instead of Tensors."""

from __future__ import annotations

import copy
import inspect
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import CodeType, MethodType
from typing import Any

import numpy as np

from ...tensor import Tensor
from ..edits.moments import names_mentioned
from ..edits.running import copy_value
from ..function.array_code import ArrayWithDot, in_place_of
from ..user_function import code_of, module_names


class Saved(dict[str, Any]):
    """The values of a forward by name, readable as keys and as attributes, also those named ``values`` or ``copy``."""

    def __getattribute__(self, name: str) -> Any:
        return self[name] if name in self else super().__getattribute__(name)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the forward has no value named {name!r}; it has {', '.join(self)}")


def as_arrays(value: Any, copies: dict[Any, Any], kind: Any = np.ndarray) -> Any:
    """Return a copy of a value with arrays instead of Tensors, also inside containers and objects.

    `copies` maps ids to copies, so that the same Tensor becomes the same array everywhere.
    """
    if id(value) in copies:
        return copies[id(value)][0]
    if isinstance(value, Tensor):
        key = id(value if value.node is None else value.node)
        if key not in copies:
            copies[key] = (np.array(value.data).view(kind), value)
        return copies[key][0]
    copied: Any = value
    if isinstance(value, np.ndarray):
        copied = np.array(value, subok=not isinstance(value, ArrayWithDot))
        copies[id(value)] = copied, value
    elif isinstance(value, dict):
        copied = {} if type(value) is dict else copy.copy(value)
        copies[id(value)] = copied, value  # before its parts: ``cache = locals()`` contains itself
        dict.update(copied, {key: as_arrays(part, copies, kind) for key, part in dict.items(value)})
    elif type(value) is list:
        copied = []
        copies[id(value)] = copied, value
        copied.extend(as_arrays(part, copies, kind) for part in value)
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        copied = type(value)(*(as_arrays(part, copies, kind) for part in value))
    elif isinstance(value, (list, tuple, deque)):
        copied = type(value)(as_arrays(part, copies, kind) for part in value)
    elif not callable(value):
        inside = _attributes(value)
        if any(holds_tensors(part) for part in inside.values()):
            copied = copy.copy(value)
            copies[id(value)] = copied, value
            for name, part in inside.items():
                setattr(copied, name, as_arrays(part, copies, kind))
    return copied


def _attributes(value: Any) -> dict[str, Any]:
    """Return the attributes of an object by name, also those in its slots."""
    slots = [name for kind in type(value).__mro__ for name in np.atleast_1d(vars(kind).get("__slots__", ())).tolist()]
    attributes = {name: getattr(value, name) for name in slots if name[:2] != "__" and hasattr(value, name)}
    return attributes | (getattr(value, "__dict__", None) or {})


def holds_tensors(value: Any, deep: int = 3) -> bool:
    """Tell whether a value is a Tensor, or a list, tuple or dict with one."""
    inside = dict.values(value) if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return isinstance(value, Tensor) or (deep > 0 and any(holds_tensors(part, deep - 1) for part in inside))


def with_arrays(f: Callable[..., Any], copies: dict[Any, Any]) -> Callable[..., Any]:
    """Return a method of a copy of its object that has arrays instead of Tensors; any other function as it is."""
    if not inspect.ismethod(f) or isinstance(f.__self__, type) or not hasattr(f.__self__, "__dict__"):
        return f
    owner = copy.copy(f.__self__)
    for name, part in vars(owner).items():
        vars(owner)[name] = as_arrays(part, copies)
    return MethodType(f.__func__, owner)


class Surroundings:
    """What a forward left for the backward besides its arguments: in its object, and in names of its module."""

    def __init__(self, backward: Callable[..., Any]) -> None:
        """Copy what is there now, with arrays in place of Tensors."""
        self.space = module_names(backward) or {}
        copies: dict[Any, Any] = {}
        self.owner = getattr(with_arrays(backward, copies), "__self__", None)
        mentioned = _names_reached(code_of(backward), self.space)
        kept_names = {name: part for name, part in self.space.items() if holds_tensors(part)
                      or (name in mentioned and not callable(part) and not inspect.ismodule(part))}  # fmt: skip
        memo: dict[int, Any] = {}
        self.names = {name: copy_value(as_arrays(part, copies), memo) for name, part in kept_names.items()}
        self.owner = copy_value(self.owner, memo)

    @contextmanager
    def in_place(self, f: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
        """Put copies of what the forward left into the module for a while; a method gets a copy of its object."""
        memo: dict[int, Any] = {}
        names = {name: copy_value(part, memo) for name, part in self.names.items()}
        if inspect.ismethod(f) and self.owner is not None:
            f = MethodType(f.__func__, copy_value(self.owner, memo))
        with in_place_of(self.space, names):
            yield f


def _names_reached(code: CodeType | None, space: Mapping[str, Any]) -> set[str]:
    """Return the names of a module that a function mentions, or a function of the module that it calls."""
    names: set[str] = set()
    waiting = [] if code is None else [code]
    while waiting:
        for name in names_mentioned(waiting.pop()):
            if name in space and name not in names:
                names.add(name)
                inner = getattr(space[name], "__code__", None)
                if isinstance(inner, CodeType) and space[name].__globals__ is space:
                    waiting.append(inner)
    return names
