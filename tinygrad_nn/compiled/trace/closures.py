"""A body of a loop or branch is called again in the backward pass: its closed-over variables are kept for that.

Between the two calls the surrounding code may have changed them, like the variable of a Python loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any


class FrozenFunction:
    """A user's function whose later calls see its closed-over variables as they were before the first call."""

    def __init__(self, f: Callable[..., Any]) -> None:
        self.f = f
        self.kept: FunctionCopy | None = None

    def __call__(self, *args: Any) -> Any:
        """Call the function."""
        if self.kept is not None:
            with self.kept.restored() as again:
                return again(*args)
        kept = FunctionCopy(self.f)  # before the call, which may change closed-over variables
        result = self.f(*args)
        self.kept = kept
        return result


class FunctionCopy:
    """A copy of a function with copies of its closed-over variables, and of functions and containers inside them.

    Attributes:
        function: the copied function.
        objects: for each closed-over object of a user's class, its ``__dict__`` and a copy of that.
    """

    def __init__(self, f: Callable[..., Any]) -> None:
        self.known: dict[int, Any] = {}
        self.objects: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.function = self._now(f)

    @contextmanager
    def restored(self) -> Iterator[Callable[..., Any]]:
        """Give the closed-over objects their old attributes inside the block."""
        before = [dict(attributes) for attributes, _ in self.objects]
        try:
            for attributes, were in self.objects:
                _refill(attributes, were)
            yield self.function
        finally:
            for (attributes, _), were in zip(self.objects, before, strict=True):
                _refill(attributes, were)

    def _now(self, x: Any) -> Any:
        """Return a copy of a closed-over thing, which later changes do not reach."""
        if id(x) in self.known:
            return self.known[id(x)]
        if isinstance(x, partial):
            named = {key: self._now(value) for key, value in x.keywords.items()}
            return partial(self._now(x.func), *map(self._now, x.args), **named)
        if isinstance(x, MethodType):
            return MethodType(self._now(x.__func__), self._now(x.__self__))
        if type(x) is tuple:
            return tuple(map(self._now, x))
        if type(x) in (list, dict, set):
            made = self.known[id(x)] = x.copy()
            for key, value in enumerate(x) if type(x) is list else x.items() if type(x) is dict else ():
                made[key] = self._now(value)
            return made
        if isinstance(x, FunctionType) and x.__closure__:
            return self._function(x)
        if _is_users_object(x):
            self.known[id(x)] = x
            self.objects.append((vars(x), dict(vars(x))))
        return x

    def _function(self, f: FunctionType) -> FunctionType:
        cells = tuple(CellType() for _ in f.__closure__ or ())
        made = self.known[id(f)] = FunctionType(f.__code__, f.__globals__, f.__name__, f.__defaults__, cells)
        made.__kwdefaults__ = f.__kwdefaults__
        made.__dict__.update(f.__dict__)
        for cell, old in zip(cells, f.__closure__ or (), strict=True):
            with suppress(ValueError):  # the variable has no value yet
                cell.cell_contents = self._now(old.cell_contents)
        return made


def _is_users_object(x: Any) -> bool:
    """Tell whether an object is of a user's class and keeps its attributes in a ``__dict__``."""
    package = type(x).__module__.partition(".")[0]
    own = package not in (__name__.partition(".")[0], "numpy", "builtins") and not isinstance(x, (type, ModuleType))
    return own and type(getattr(x, "__dict__", None)) is dict


def _refill(attributes: dict[str, Any], were: dict[str, Any]) -> None:
    attributes.clear()
    attributes.update(were)
