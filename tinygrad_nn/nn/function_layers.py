"""Modules that have no parameters and call one function, its options fixed when they are made."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any, ClassVar

import numpy as np

from ..tensor import Tensor, raw
from .keywords import bound
from .module import Module


class FunctionLayer(Module):
    """A function as a module, with the options that it was made with as attributes; `layer_of` makes such classes."""

    function: ClassVar[Callable[..., Any]]
    called: ClassVar[str] = "x"
    known: ClassVar[Signature] = Signature()
    renamed: ClassVar[dict[str, str]] = {}

    def __init__(self, *args: Any, **options: Any) -> None:
        moving = any(isinstance(value, Tensor) and value.requires_grad for value in args)
        if moving or len(args) > len(self.known.parameters):
            name = type(self).__name__
            raise TypeError(f"{name} is made with its options, and called with arrays: {name}()({self.called}).")
        own = {ours: theirs for theirs, ours in self.renamed.items()}
        for name, value in bound(type(self).__name__, self.known, own, args, options).items():
            plain = raw(value)  # weights of classes are constants
            vars(self)[name] = np.asarray(plain) if isinstance(plain, (list, np.ndarray)) else plain

    def forward(self, *inputs: Any) -> Any:
        """Return what the function does."""
        options = {self.renamed.get(name, name): vars(self)[name] for name in self.known.parameters}
        return type(self).function(*inputs, **options)

    def about(self) -> str:
        """Return the options that are not the default."""
        mine = ((p, vars(self)[p.name]) for p in self.known.parameters.values())
        return ", ".join(f"{p.name}={value!r:.40}" for p, value in mine if value is not p.default)


def layer_of(name: str, function: Callable[..., Any], text: str, /, *options: tuple[str, Any] | tuple[str, Any, str],
             module: str, called: str = "x") -> type[FunctionLayer]:  # fmt: skip
    """Make the class of a module that calls a function.

    Args:
        name: of the class.
        function: takes the inputs, and the options by keyword.
        text: its documentation.
        *options: name and default of each option, and what the function calls it if that is another name.
        module: where the class is said to live.
        called: what it is called with, for messages.
    """
    known = Signature([Parameter(option[0], Parameter.POSITIONAL_OR_KEYWORD, default=option[1]) for option in options])
    renamed = {option[0]: option[2] for option in options if len(option) == 3}
    body = {"__doc__": text, "__module__": module, "function": staticmethod(function), "known": known,
            "renamed": renamed, "called": called, "__signature__": known}  # fmt: skip
    return type(name, (FunctionLayer,), body)
