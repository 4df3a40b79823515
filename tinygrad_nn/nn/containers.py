"""Containers: modules in sequence, in parallel, with a residual connection; and a plain function as a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeGuard

import numpy as np

from ..printable import printable
from .module import Module


class Sequential(Module):
    r"""Parts in sequence: each takes the output of the one before.

    .. math:: y = f_n(\dots f_2(f_1(x)))

    Args:
        *parts: modules, layers, or functions such as ``np.tanh``; or one dict of them by name, or one list.

    Raises:
        TypeError: a part cannot be called.

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
        """Return what the last part returns."""
        for part in self._parts.values():
            x = part(x)
        return x

    def attributes(self) -> Mapping[str, Any]:
        """Return the parts by name, after what a subclass adds to them."""
        return {**super().attributes(), **self._parts}

    def __iter__(self) -> Iterator[Module]:
        return iter(self._parts.values())

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return Sequential(dict(list(self._parts.items())[index]))
        return list(self._parts.values())[index]


class Lambda(Module):
    """A function as a module: it has no parameters.

    Args:
        function: takes an array or Tensor and returns one.
        name: how it is shown; by default the function's own.

    Raises:
        TypeError: it cannot be called.

    Example:
        >>> Lambda(lambda x: x * 2, "double")(np.ones(2)), Lambda(np.tanh)
        (array([2., 2.]), tanh)
    """

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        if not callable(function):
            raise TypeError(f"Lambda: {function!r:.60} of type {type(function).__name__} is no function.")
        self._function = function
        self._name = printable(name or getattr(function, "__name__", type(function).__name__))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns."""
        return self._function(*args, **kwargs)

    def title(self) -> str:
        """Return its name."""
        return self._name

    def __repr__(self) -> str:
        return self._name


class Residual(Module):
    r"""A part with a residual connection: x + part(x).

    .. math:: y = f(x) + s(x)

    Args:
        *parts: f, as for `Sequential`.
        shortcut: s, a module or a function; by default x itself.

    Raises:
        ValueError: from a call, f and the shortcut give different shapes.

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
        """Return the sum."""
        y = self.body(x)
        s = x if self.shortcut is None else self.shortcut(x)
        if y.shape != np.shape(s):
            raise ValueError(
                f"Residual: the body gives shape {y.shape} and the shortcut {np.shape(s)}; they are added, so they "
                "must be the same. Give a shortcut= that changes the shape as the body does."
            )
        return y + s


class Parallel(Module):
    r"""Parts in parallel: each takes the same input, and their results are joined.

    .. math:: y = [f_1(x), \dots, f_n(x)]

    Args:
        *parts: modules or functions, or one dict of them by name.
        join: ``'concatenate'`` along `axis`, ``'add'``, ``'stack'`` along `axis`, or a function of the list of results.
        axis: of ``'concatenate'`` and ``'stack'``.

    Raises:
        ValueError: there is no such join; TypeError: a part cannot be called.

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
        """Return the results, joined."""
        results = [part(x) for part in self._parts.values()]
        return self.join(results) if callable(self.join) else _JOINS[self.join](results, self.axis)

    def attributes(self) -> Mapping[str, Any]:
        """Return the parts by name, after a join that is a module."""
        return {**super().attributes(), **self._parts}


_JOINS: dict[str, Callable[[list[Any], int], Any]] = {
    "concatenate": lambda results, axis: np.concatenate(results, axis=axis),
    "stack":       lambda results, axis: np.stack(results, axis=axis),
    "add":         lambda results, axis: sum(results[1:], results[0]),
}  # fmt: skip


def in_a_row(module: Module) -> TypeGuard[Sequential]:
    """Whether a module is a Sequential that computes what `Sequential` says, not a subclass with another forward."""
    return isinstance(module, Sequential) and type(module).forward is Sequential.forward


def as_module(owner: str, part: Any) -> Module:
    """Return a part as a module: a function is wrapped."""
    if isinstance(part, Module):
        return part
    if not callable(part) or isinstance(part, type):
        what = f"the class {part.__name__} itself" if isinstance(part, type) else f"{part!r:.60} of {type(part)}"
        raise TypeError(
            f"{owner}: a part is {what}; parts are modules such as Linear(4, 3), or functions such as np.tanh."
        )
    return Lambda(part)
