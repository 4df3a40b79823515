"""Modules without parameters that call one function, with options that are set in the constructor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import Parameter, Signature
from typing import Any, ClassVar

import numpy as np

from ..tensor import Tensor, raw
from .keywords import bind_arguments, by_position, scalar_check
from .linear import as_array
from .module import Module

_IN_PLACE = {  # in PyTorch, the last option of these is inplace
    "CELU", "ELU", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU", "Mish", "ReLU", "ReLU6", "SELU", "SiLU",
    "Threshold",
}  # fmt: skip


def _is_array(x: Any) -> bool:
    return bool(np.ndim(raw(x))) and not isinstance(x, tuple)  # a tuple is a size


class FunctionLayer(Module):
    """A function as a module, whose options are attributes; `layer_of` makes a subclass for each function."""

    function: ClassVar[Callable[..., Any]]
    called: ClassVar[str] = "x"
    signature: ClassVar[Signature] = Signature()
    order: ClassVar[tuple[str, ...]] = ()
    renamed: ClassVar[dict[str, str]] = {}

    def __init__(self, *args: Any, **options: Any) -> None:
        named = zip(self.order, args, strict=False)
        if len(args) > len(self.order) or any(_is_array(x) and "weight" not in word for word, x in named) or any(
            isinstance(x, Tensor) and x.requires_grad for x in args
        ):
            name = type(self).__name__
            raise TypeError(f"{name} is created with its options, and called with arrays: {name}()({self.called}).")
        _, options = by_position(type(self).__name__, args, options, [], self.order)
        own = {ours: theirs for theirs, ours in self.renamed.items()}
        bound = bind_arguments(type(self).__name__, self.signature, own, options)
        scalar_check(list(self.signature.parameters.values()))(type(self).__name__, (), bound)
        for name, value in bound.items():
            plain = raw(value)  # arrays of weights, such as class weights, are constants
            vars(self)[name] = np.asarray(plain) if isinstance(plain, (list, np.ndarray)) else plain

    def forward(self, *inputs: Any) -> Any:
        """Return the result of the function."""
        options = {self.renamed.get(name, name): vars(self)[name] for name in self.signature.parameters}
        if self.called == "x" and len(inputs) == 1:
            inputs = (as_array(inputs[0]),)
        return type(self).function(*inputs, **options)

    def about(self) -> str:
        """Return the options that differ from their defaults."""
        mine = ((p, vars(self)[p.name]) for p in self.signature.parameters.values())
        return ", ".join(f"{p.name}={value!r:.40}" for p, value in mine if value is not p.default)


def layer_of(name: str, function: Callable[..., Any], text: str, /, *options: tuple[str, Any] | tuple[str, Any, str],
             module: str, called: str = "x", order: Sequence[str] = (),
             base: type[FunctionLayer] = FunctionLayer) -> type[FunctionLayer]:  # fmt: skip
    """Make the class of a module that calls a function.

    Args:
        name: the name of the class.
        function: takes the inputs as positional arguments, and the options as keywords.
        text: the docstring of the class.
        *options: (name, default) of each option, and as a third entry the function's name for it, if that differs.
        module: the ``__module__`` of the class.
        called: the names of the inputs, for error messages.
        order: the options by position, if they are not those above, followed by inplace for an activation.
        base: the class that it extends.
    """
    kind = Parameter.POSITIONAL_OR_KEYWORD
    signature = Signature([Parameter(option[0], kind, default=option[1]) for option in options])
    renamed = {option[0]: option[2] for option in options if len(option) == 3}
    body = {"__doc__": text, "__module__": module, "function": staticmethod(function), "signature": signature,
            "order": tuple(order) or (*signature.parameters, *["inplace"] * (name in _IN_PLACE)),
            "renamed": renamed, "called": called, "__signature__": signature}  # fmt: skip
    return type(name, (base,), body)
