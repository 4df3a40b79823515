"""Containers: modules in sequence, in parallel or with a residual connection, and a plain function as a module."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, Self, TypeGuard

import numpy as np

from ..common.printable import printable
from .module import Module

_HOLDS = "{name} only holds modules; call each of them, or use Sequential."


class Sequential(Module):
    r"""Modules in sequence: each takes the output of the one before.

    .. math:: y = f_n(\dots f_2(f_1(x)))

    Args:
        *parts: modules, layers, or functions such as ``np.tanh``; or one dict of them by name, or one list.

    Raises:
        TypeError: one of them is not callable.

    Example:
        >>> from tinygrad_nn.nn import Linear
        >>> model = Sequential(Linear(4, 8, rng=0), np.tanh, Linear(8, 3, rng=1))
        >>> model
        Sequential(
          0: Linear(4, 8)
          1: tanh
          2: Linear(8, 3)
        )
        >>> list(model.state_dict()), model(np.ones((2, 4))).shape
        (['0.weight', '0.bias', '2.weight', '2.bias'], (2, 3))
    """

    def __init__(self, *parts: Any) -> None:
        if len(parts) == 1 and isinstance(parts[0], (list, tuple)):
            parts = tuple(parts[0])
        named = parts[0] if len(parts) == 1 and isinstance(parts[0], Mapping) else dict(enumerate(parts))
        self._parts = {str(name): as_module(type(self).__name__, part) for name, part in named.items()}

    def forward(self, x: Any) -> Any:
        """Return the output of the last module."""
        for part in self._parts.values():
            x = part(x)
        return x

    def attributes(self) -> Mapping[str, Any]:
        """Return the attributes that a subclass adds, then the modules by name."""
        return {**super().attributes(), **self._parts}

    def append(self, part: Any) -> Sequential:
        """Add a module at the end, under the next free number, and return this Sequential."""
        number = next(n for n in count(len(self._parts)) if str(n) not in self._parts)
        self._parts[str(number)] = as_module(type(self).__name__, part)
        return self

    def add_module(self, name: str, module: Any) -> None:
        """Add a module at the end, under a name."""
        self._parts[str(name)] = as_module(type(self).__name__, module)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            parts = vars(self).get("_parts", {})
            return parts[name] if name in parts else super().__getattr__(name)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._parts.values())

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return Sequential(dict(list(self._parts.items())[index]))
        return list(self._parts.values())[index]

    def __setitem__(self, index: int, part: Any) -> None:
        """Replace a module; its name stays."""
        self._parts[list(self._parts)[index]] = as_module(type(self).__name__, part)

    def __delitem__(self, index: int | slice) -> None:
        """Remove modules; if all names are numbers, those behind the removed ones move up."""
        names = list(self._parts)
        for name in names[index] if isinstance(index, slice) else [names[index]]:
            del self._parts[name]
        if names == [str(k) for k in range(len(names))]:
            self._parts = {str(k): part for k, part in enumerate(self._parts.values())}


class Lambda(Module):
    """A function as a module: it has no parameters.

    Args:
        function: takes an array or Tensor and returns one.
        name: the name that is shown; by default the function's own.

    Raises:
        TypeError: the function is not callable.

    Example:
        >>> Lambda(lambda x: x * 2, "double")(np.ones(2)), Lambda(np.tanh)
        (array([2., 2.]), tanh)
    """

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        if not callable(function):
            raise TypeError(f"Lambda: {function!r:.60} of type {type(function).__name__} is not a function.")
        self._function = function
        self._name = printable(name or getattr(function, "__name__", type(function).__name__))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the result of the function."""
        return self._function(*args, **kwargs)

    def title(self) -> str:
        """Return its name."""
        return self._name

    def __repr__(self) -> str:
        return self._name


class Identity(Module):
    """A module that returns its input; as in PyTorch, it accepts any arguments and ignores them.

    Example:
        >>> Identity(54, unused=True)(3.0)
        3.0
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def forward(self, x: Any) -> Any:
        """Return x."""
        return x


class Residual(Module):
    r"""Modules with a residual connection: x + f(x).

    .. math:: y = f(x) + s(x)

    Args:
        *parts: f, as for `Sequential`.
        shortcut: s, a module or a function; by default x itself.

    Raises:
        ValueError: from a call, if f and the shortcut return different shapes.

    Source: He et al., Deep residual learning for image recognition (2016), equation 1.

    Example:
        >>> from tinygrad_nn.nn import Linear
        >>> block = Residual(Linear(4, 4, rng=0), np.tanh)
        >>> block(np.ones((2, 4))).shape, list(block.state_dict())
        ((2, 4), ['body.0.weight', 'body.0.bias'])
    """

    def __init__(self, *parts: Any, shortcut: Any = None) -> None:
        self.body = Sequential(*parts)
        self.shortcut = None if shortcut is None else as_module("Residual", shortcut)

    def forward(self, x: Any) -> Any:
        """Return f(x) + s(x)."""
        y = self.body(x)
        s = x if self.shortcut is None else self.shortcut(x)
        if y.shape != np.shape(s):
            raise ValueError(
                f"Residual: the body gives shape {y.shape} and the shortcut {np.shape(s)}; they are added, so they "
                "must be the same. Give a shortcut= that changes the shape as the body does."
            )
        return y + s


class Parallel(Module):
    r"""Modules in parallel: each takes the same input, and their results are joined.

    .. math:: y = [f_1(x), \dots, f_n(x)]

    Args:
        *parts: modules or functions, or one dict of them by name.
        join: ``'concatenate'`` along `axis`, ``'add'``, ``'stack'`` along `axis`, or a function of the list of results.
        axis: for ``'concatenate'`` and ``'stack'``.

    Raises:
        ValueError: an unknown join; TypeError: one of the parts is not callable.

    Example:
        >>> from tinygrad_nn.nn import Linear
        >>> Parallel(Linear(4, 3, rng=0), Linear(4, 2, rng=1))(np.ones((2, 4))).shape
        (2, 5)
    """

    def __init__(self, *parts: Any, join: str | Callable[[list[Any]], Any] = "concatenate", axis: int = -1) -> None:
        if not callable(join) and join not in _JOINS:
            raise ValueError(f"Parallel: join={join!r}; known are {', '.join(map(repr, _JOINS))}, or a function.")
        named = parts[0] if len(parts) == 1 and isinstance(parts[0], Mapping) else dict(enumerate(parts))
        self._parts = {str(name): as_module("Parallel", part) for name, part in named.items()}
        self.join, self.axis = join, axis

    def forward(self, x: Any) -> Any:
        """Return the joined results."""
        results = [part(x) for part in self._parts.values()]
        return self.join(results) if callable(self.join) else _JOINS[self.join](results, self.axis)

    def attributes(self) -> Mapping[str, Any]:
        """Return the attributes (such as a join that is a module), then the modules by name."""
        return {**super().attributes(), **self._parts}


_JOINS: dict[str, Callable[[list[Any], int], Any]] = {
    "concatenate": lambda results, axis: np.concatenate(results, axis=axis),
    "stack":       lambda results, axis: np.stack(results, axis=axis),
    "add":         lambda results, axis: sum(results[1:], results[0]),
}  # fmt: skip


def is_plain_sequential(module: Module) -> TypeGuard[Sequential]:
    """Return whether a module is a Sequential with `Sequential`'s own forward, not a subclass that overrides it."""
    return isinstance(module, Sequential) and type(module).forward is Sequential.forward


def as_module(owner: str, part: Any) -> Module:
    """Return a module; a function is wrapped in a `Lambda`."""
    if isinstance(part, Module):
        return part
    if isinstance(part, type):
        name = part.__name__
        raise TypeError(f"{owner}: a part is the class {name} itself; create a module with brackets: {name}(...).")
    if not callable(part):
        hint = f" An activation by name is nn.activation({part!r})." if isinstance(part, str) else ""
        raise TypeError(
            f"{owner}: a part is {part!r:.60} of type {type(part).__name__}; parts are modules such as Linear(4, 3), "
            f"or functions such as np.tanh.{hint}"
        )
    return Lambda(part)


class ModuleList(Module):
    """A list of modules whose parameters are found; a plain list as an attribute works as well.

    Args:
        modules: modules or functions.

    Example:
        >>> from tinygrad_nn.nn import Linear
        >>> layers = ModuleList(Linear(4, 4, rng=0) for _ in range(2))
        >>> len(layers), list(layers.state_dict())
        (2, ['0.weight', '0.bias', '1.weight', '1.bias'])
    """

    def __init__(self, modules: Iterable[Any] = ()) -> None:
        self._parts: list[Module] = []
        self.extend(modules)

    def attributes(self) -> Mapping[str, Any]:
        """Return the modules by index."""
        return {**super().attributes(), **{str(i): part for i, part in enumerate(self._parts)}}

    def append(self, module: Any) -> ModuleList:
        """Add a module at the end, and return the list."""
        self._parts.append(as_module(type(self).__name__, module))
        return self

    def extend(self, modules: Iterable[Any]) -> ModuleList:
        """Add modules at the end, and return the list."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Any) -> None:
        """Insert a module before an index."""
        self._parts.insert(index, as_module(type(self).__name__, module))

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._parts)

    def __getitem__(self, index: int | slice) -> Any:
        return ModuleList(self._parts[index]) if isinstance(index, slice) else self._parts[index]

    def __setitem__(self, index: int, module: Any) -> None:
        self._parts[index] = as_module(type(self).__name__, module)

    def __delitem__(self, index: int | slice) -> None:
        del self._parts[index]

    def __add__(self, modules: Iterable[Any]) -> ModuleList:
        return ModuleList([*self._parts, *modules])

    def __iadd__(self, modules: Iterable[Any]) -> Self:
        self.extend(modules)
        return self

    def pop(self, index: int = -1) -> Module:
        """Remove a module, by default the last, and return it."""
        return self._parts.pop(index)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Raise: a list has no computation of its own."""
        raise NotImplementedError(_HOLDS.format(name=type(self).__name__))


class ModuleDict(Module):
    """A dict of modules whose parameters are found; a plain dict as an attribute works as well.

    Args:
        modules: modules or functions by name; each is also an attribute of that name.

    Example:
        >>> from tinygrad_nn.nn import Linear
        >>> heads = ModuleDict({"digit": Linear(4, 10, rng=0)})
        >>> heads["digit"], heads.digit, "place" in heads
        (Linear(4, 10), Linear(4, 10), False)
    """

    def __init__(self, modules: Mapping[str, Any] | Iterable[Any] | None = None) -> None:
        self._named: dict[str, Module] = {}
        self.update(modules or {})

    def attributes(self) -> Mapping[str, Any]:
        """Return the modules by name."""
        return {**super().attributes(), **self._named}

    def update(self, modules: Mapping[str, Any] | Iterable[Any]) -> None:
        """Add modules by name."""
        for name, module in dict(modules).items():
            self[name] = module

    def keys(self) -> Iterable[str]:
        """Return the names."""
        return self._named.keys()

    def values(self) -> Iterable[Module]:
        """Return the modules."""
        return self._named.values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """Return the pairs of name and module."""
        return self._named.items()

    def __len__(self) -> int:
        return len(self._named)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._named)

    def __contains__(self, name: object) -> bool:
        return name in self._named

    def __getitem__(self, name: Any) -> Any:
        return self._named[name]

    def __setitem__(self, name: Any, module: Any) -> None:
        self._named[str(name)] = as_module(type(self).__name__, module)

    def __delitem__(self, name: str) -> None:
        del self._named[name]

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            named = vars(self).get("_named", {})  # a copy in the making has none
            return named[name] if name in named else super().__getattr__(name)

        def __setattr__(self, name: str, value: Any) -> None:
            if name in vars(self).get("_named", {}):
                self[name] = value
            else:
                super().__setattr__(name, value)

    def pop(self, name: str) -> Module:
        """Remove a module, and return it."""
        return self._named.pop(name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Raise: a dict has no computation of its own."""
        raise NotImplementedError(_HOLDS.format(name=type(self).__name__))
