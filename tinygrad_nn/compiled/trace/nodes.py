"""The Nodes of a trace, and the error of what cannot be traced."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from os.path import dirname
from typing import Any, ClassVar

import numpy as np

from ...node import Node, thread

PACKAGE, NUMPY = dirname(dirname(dirname(__file__))), dirname(np.__file__)


class Untraceable(Exception):
    """What a trace cannot write down, and the line that did it."""

    def __init__(self, reason: str, slots: Sequence[int] = (), at: tuple[str, int] | None = None) -> None:
        file, line = at or caller()
        super().__init__(f"{file}:{line}: {reason}")
        self.slots = tuple(slots)  # the numbers among the arguments that were used as plain numbers


def caller() -> tuple[str, int]:
    """Return file and line of the innermost frame outside this package and NumPy."""
    frame = sys._getframe(1)
    while frame.f_back is not None and not foreign(frame.f_code.co_filename):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def foreign(file: str) -> bool:
    """Tell whether a file is a person's."""
    return not file.startswith((PACKAGE, NUMPY, "<"))


class Over(TypeError):
    """Raised where what a trace has left behind is used after it."""


class Still(Node):
    """The Node of a value through which no gradient flows: an integer, data, or what was detached."""

    __slots__ = ()
    weak: ClassVar[Any]  # the class of Tensors that are Python numbers


class Live(Node):
    """The Node of a value through which gradients flow."""

    __slots__ = ()
    weak: ClassVar[Any]

    @classmethod
    def of(cls, node: Node) -> Live:
        """Return the same operation as a Node of this class."""
        return node.copied(cls())


class SecondOrder(Exception):
    """Raised where a trace needs what it had taken as saved to be differentiated."""


def _refuse(self: Node) -> Any:
    raise SecondOrder


def _forget(self: Node, value: Any) -> None:
    pass


class Saved(Still):
    """The Node of what a forward kept for its rules, or of what is made of it: right for a first derivative only."""

    __slots__ = ()
    p = parents = primitive = property(_refuse, _forget)


class Stale(Live):
    """The Node of an operation on something saved: to go back through it takes the saved results computed again."""

    __slots__ = ()
    p = parents = property(_refuse, _forget)


class Quiet:
    """Stands for False in `Recorder.grad`: true all the same, so that what runs under `no_grad` is recorded too."""


QUIET: Any = Quiet()


def bases(array: Any) -> Iterator[Any]:
    """Yield what owns the memory that an array looks at, from near to far."""
    base = getattr(array, "base", None)
    while base is not None:
        yield base
        base = getattr(base, "base", None)


def recorder() -> Any:
    """Return the `Recorder` of this thread's trace."""
    mode = thread.mode
    if not mode.traces:
        raise Over(
            "this Tensor belongs to a compiled call that is over: it was kept in a list, an attribute or a global "
            "while the call was traced. Return it instead."
        )
    return mode


