"""The classes of Nodes that a trace uses, and `Untraceable`, the error for what cannot be traced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from ...common.call_site import calling_line
from ...node import Node, thread


class Untraceable(Exception):
    """Raised if a function does something that cannot be recorded; the message has the line of user code."""

    def __init__(self, reason: str, slots: Sequence[int] = (), at: tuple[str, int] | None = None) -> None:
        file, line = at or calling_line()
        super().__init__(f"{file}:{line}: {reason}")
        self.slots = tuple(slots)  # argument leaves whose values were needed; the next trace takes them as fixed


class TraceEnded(TypeError):
    """Raised if a traced Tensor is used after its trace has ended."""


class StillNode(Node):
    """The Node of a value through which no gradient flows: an integer, a constant, or a detached Tensor."""

    __slots__ = ()
    weak: ClassVar[Any]  # the class of traced Python numbers, set by the module `tensors`


class LiveNode(Node):
    """The Node of a value through which gradients flow."""

    __slots__ = ()
    weak: ClassVar[Any]

    @classmethod
    def of(cls, node: Node) -> LiveNode:
        """Return a copy of a Node as a Node of this class."""
        return node.copied(cls())


class SecondOrder(Exception):
    """Raised if a trace must differentiate an array saved by a forward; the trace is then repeated with `again`."""


def _refuse(self: Node) -> Any:
    raise SecondOrder


def _forget(self: Node, value: Any) -> None:
    pass


class SavedNode(StillNode):
    """The Node of an array that a forward saved for its rules, or computed from such: has no derivative itself."""

    __slots__ = ()
    p = parents = primitive = property(_refuse, _forget)


class StaleNode(LiveNode):
    """The Node of an operation on a saved array: a walk back through it raises `SecondOrder`."""

    __slots__ = ()
    p = parents = property(_refuse, _forget)


class Quiet:
    """Replaces False in `Recorder.grad`: its truth value is True, so that operations under `no_grad` are recorded."""


QUIET: Any = Quiet()


def bases(array: Any) -> Iterator[Any]:
    """Yield the chain ``array.base``, ``array.base.base`` and so on: the owners of a view's memory."""
    base = getattr(array, "base", None)
    while base is not None:
        yield base
        base = getattr(base, "base", None)


def recorder() -> Any:
    """Return the `Recorder` of this thread's trace."""
    mode = thread.mode
    if not mode.traces:
        raise TraceEnded(
            "this Tensor belongs to a compiled call that has ended: it was kept in a list, an attribute or a global "
            "while the call was traced. Return it instead."
        )
    return mode


