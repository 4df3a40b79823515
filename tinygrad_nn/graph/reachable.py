"""Snapshots of everything that a function can read or modify, so that a call leaves no trace."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ..primitive import Primitive
from ..tensor import Tensor

LARGE = 2**22  # entries; larger arrays are assumed to be data that the function does not modify, and are not copied
MOST = 100_000  # objects that are visited at most
OTHERS = ("numpy", "scipy", "tinygrad_nn", "builtins", "collections", "functools")
_ENDS = (str, bytes, int, float, complex, type, ModuleType, np.generic, np.dtype, Primitive, type(None))


class Snapshot:
    """A snapshot of all that a call can reach: arrays, attributes, containers, variables and random generators.

    It follows arguments, closure variables, the global names that a function uses, and attributes. After `restore`,
    the running mean of a batch norm and the next mask of a dropout are what they were when the snapshot was taken.

    Args:
        roots: functions, modules and arguments.
    """

    def __init__(self, *roots: Any) -> None:
        self._back: list[Callable[[], Any]] = []
        self._draws: list[Callable[[], Any]] = [
            partial(np.random.set_state, np.random.get_state(legacy=False)),  # noqa: NPY002
            partial(random.setstate, random.getstate()),
        ]
        seen: dict[int, Any] = {}
        stack = list(roots)
        while stack and len(seen) < MOST:
            value = stack.pop()
            if isinstance(value, _ENDS) or id(value) in seen:
                continue
            seen[id(value)] = value  # a reference is kept, so that no new object can get the same id
            stack += self._keep(value)

    def restore(self) -> None:
        """Restore everything to its state at the time of the snapshot."""
        for back in (*self._back, *self._draws):
            back()

    def restore_draws(self) -> None:
        """Restore the states of the random generators only."""
        for back in self._draws:
            back()

    def _keep(self, value: Any) -> Iterator[Any]:
        """Record how to restore one object, and yield the objects that it refers to."""
        if isinstance(value, np.ndarray):
            if value.size <= LARGE and value.flags.writeable:
                self._back.append(partial(np.copyto, value, value.copy()))
            if value.dtype == object:
                yield from value.flat
        elif isinstance(value, Tensor):
            if value.node is None or value.node.primitive is None:
                self._back.append(_leaf_restorer(value, value.data, value.node))
                yield value.data
        elif isinstance(value, np.random.Generator):
            self._draws.append(partial(_set_state, value.bit_generator, deepcopy(value.bit_generator.state)))
        elif isinstance(value, np.random.RandomState):
            self._draws.append(partial(value.set_state, value.get_state(legacy=False)))
        elif isinstance(value, random.Random):
            self._draws.append(partial(value.setstate, value.getstate()))
        elif isinstance(value, (list, dict, set)):
            self._back.append(partial(_refill, value, value.copy()))
            yield from value.values() if isinstance(value, dict) else value
        elif isinstance(value, (tuple, frozenset)):
            yield from value
        elif isinstance(value, MethodType):
            yield from (value.__self__, value.__func__)
        elif isinstance(value, partial):
            yield from (value.func, value.args, value.keywords)
        elif isinstance(value, FunctionType):
            if not (value.__module__ or "").startswith(OTHERS):
                yield from self._variables(value)
        elif isinstance(inner := getattr(value, "__dict__", None), dict):
            self._back.append(partial(_refill, inner, inner.copy()))
            yield from inner.values()
            yield from (vars(type(value)).get(name) for name in ("forward", "__call__"))

    def _variables(self, function: FunctionType) -> Iterator[Any]:
        """Record the closure and global variables that a function uses, and yield their values and the defaults."""
        for cell in function.__closure__ or ():
            try:
                content = cell.cell_contents
            except ValueError:  # not yet assigned
                continue
            self._back.append(partial(setattr, cell, "cell_contents", content))
            yield content
        space = function.__globals__
        used = {name: space[name] for name in _used_names(function.__code__) if name in space}
        self._back.append(partial(space.update, used))
        yield from used.values()
        yield from (function.__defaults__ or (), function.__kwdefaults__ or {}, vars(function))


def _used_names(code: CodeType) -> set[str]:
    """Return the global and attribute names that a code object and the functions nested in it look up."""
    inner = [part for part in code.co_consts if isinstance(part, CodeType)]
    return set(code.co_names).union(*map(_used_names, inner))


def _leaf_restorer(tensor: Tensor, data: Any, node: Any) -> Callable[[], None]:
    """Return a function that restores the data, the node and the gradient of a leaf."""
    out, grad, notes = (node.out, node.grad, node.notes) if node is not None else (None, None, None)

    def back() -> None:
        tensor.data, tensor.node = data, node
        if node is not None:
            node.out, node.grad, node.notes = out, grad, notes

    return back


def _set_state(generator: Any, state: Any) -> None:
    generator.state = deepcopy(state)


def _refill(container: Any, content: Any) -> None:
    """Restore the content of a list, dict or set, if it has changed."""
    if isinstance(container, list):
        if len(container) != len(content) or any(a is not b for a, b in zip(container, content, strict=True)):
            container[:] = content
    elif isinstance(container, set):
        if container != content:
            container.clear()
            container.update(content)
    elif container.keys() != content.keys() or any(container[key] is not content[key] for key in content):
        container.clear()
        container.update(content)
