"""Running a function once on Tensors that write down what is done with them: forward, backward and update in one list.

Every Tensor of a trace is a `Traced`: it holds the real array, so that shapes and dtypes are those of the eager run,
and its Node says which `Value` it is. An operation on one ends in the funnel of the engine like any other; there the
inspector of this thread sees the new Node and records it. A gradient inside the trace runs the rules on Tensors, as
for second derivatives, so that it is recorded too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from os.path import dirname
from typing import Any, ClassVar

import numpy as np

from ..node import Mode, Node, thread
from ..primitive import Primitive
from ..tensor import Tensor, leaf, wrap
from ..tree import flatten
from . import lower
from .ir import Op, Value

PACKAGE, NUMPY = dirname(dirname(__file__)), dirname(np.__file__)


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


class Still(Node):
    """The Node of a value through which no gradient flows: an integer, data, or what was detached."""

    __slots__ = ()
    weak: ClassVar[Any]  # the class of Tensors that are Python numbers


class Live(Node):
    """The Node of a value through which gradients flow."""

    __slots__ = ()
    weak: ClassVar[Any]


class Quiet:
    """Stands for False in `Recorder.grad`: true all the same, so that what runs under `no_grad` is recorded too."""


QUIET: Any = Quiet()


class Recorder(Mode):
    """The mode of a thread that traces: it records operations whether or not gradients are wanted."""

    __slots__ = ("_grad", "asked", "by_array", "by_node", "function", "kept", "lowering", "ops", "start", "values")

    def __init__(self, outer: Mode) -> None:
        super().__init__()
        self.scope = outer.scope
        self.inspect = self.saw
        self.ops: list[Op] = []
        self.values: list[Value] = []
        self.by_node: dict[Node, Value] = {}
        self.by_array: dict[int, Value] = {}
        self.kept: list[Any] = []  # arrays whose identity is a name must live as long as the trace
        self.start = leaf(np.zeros(())).node.index  # type: ignore[union-attr]
        self.lowering: list[Primitive] = []  # the primitives whose inside is being recorded
        self.asked: dict[int, str] = {}  # indices that were read, and have not yet been seen in an operation

    @property
    def grad(self) -> Any:  # type: ignore[override]
        """Whether gradients are recorded: ``QUIET`` where they are not."""
        return self._grad

    @grad.setter
    def grad(self, on: Any) -> None:
        self._grad = QUIET if on is False else on

    # -- values

    def value(self, kind: str, like: Any, **more: Any) -> Value:
        """Make a value with the shape and dtype of an array, or the type of a number."""
        array = isinstance(like, np.ndarray)
        value = Value(len(self.values), kind, like.shape if array else (), like.dtype if array else type(like), **more)
        self.values.append(value)
        return value

    def name(self, value: Value, data: Any) -> Value:
        """Let an array stand for a value from now on."""
        if isinstance(data, np.ndarray):
            self.kept.append(data)
            self.by_array.setdefault(id(data), value)
        return value

    def still(self, value: Value, data: Any) -> Tensor:
        """Return a Tensor that stands for a value and through which no gradient flows."""
        self.name(value, data)
        return self.tensor(value, data, Still)

    def tensor(self, value: Value, data: Any, kind: type[Node]) -> Tensor:
        """Return a Tensor over a new leaf of that kind."""
        made = leaf(data)
        made.node.__class__ = kind  # type: ignore[union-attr]
        made.__class__ = kind.weak if value.weak else kind.tensor  # type: ignore[attr-defined]
        self.by_node[made.node] = value  # type: ignore[index]
        return made

    def find(self, arg: Any, parent: Node | None = None) -> Any:
        """Return the value of an argument; a plain number as it is, an unknown array as a constant."""
        if parent is not None and parent in self.by_node:
            return self.by_node[parent]
        if isinstance(arg, Tensor):
            if arg.node is not None and arg.node in self.by_node:
                return self.by_node[arg.node]
            if arg.node is not None and arg.node.index < self.start:
                raise Untraceable(CLOSED)
            arg = held(arg)
        elif parent is not None and parent.index < self.start:
            raise Untraceable(CLOSED)
        if not isinstance(arg, np.ndarray):
            return arg
        known = self.by_array.get(id(arg))
        if known is None:
            base = arg.base
            while base is not None:
                if id(base) in self.by_array and self.by_array[id(base)].kind != "constant":
                    raise Untraceable("it reads the memory of an array that differs from call to call.")
                base = getattr(base, "base", None)
            known = self.name(self.value("constant", arg, data=arg), arg)
        return known

    # -- operations

    def emit(self, op: Op, *outs: Any) -> Value:
        """Append an operation, with the arrays that it made."""
        if op.pure and op.kind != "call" and op.values and all(arg.kind == "constant" for arg in op.values):
            return self.name(self.value("constant", outs[0], data=outs[0]), outs[0])
        op.scope = self.scope
        for out in outs:
            op.outs.append(self.name(self.value("made", out, op=op), out))
        self.ops.append(op)
        return op.outs[0]

    def saw(self, node: Node, tensor: Tensor) -> None:
        """Record what the funnel just ran, and take over the Tensor it made."""
        primitive: Primitive = node.primitive  # type: ignore[assignment]
        args, parents, out = node.args, node.parents, node.out
        given = {key: x for key, x in node.meta.items() if key not in primitive.saves}
        values = [self.find(arg, parent) for arg, parent in zip(args or (), parents or (), strict=True)]
        for part in flatten(given)[0] if given else ():
            self.asked.pop(id(part), None)
        known = self.by_array.get(id(out))
        value = known or lower.record(self, primitive, values, list(args or ()), given, node.meta, out)
        self.name(value, out)
        alive = any(p is not None and not isinstance(p, Still) for p in parents or ()) and self._grad is not QUIET
        entered = primitive.name == "alias"
        if entered and out.dtype.kind not in "fc":
            raise Untraceable("a gradient with respect to what is not made of floats.")
        if not alive and not entered:
            fresh = self.tensor(value, out, Still)
            tensor.node = fresh.node
        else:
            node.__class__ = Live
            self.by_node[node] = value
            if not entered:
                for slot, parent in enumerate(parents or ()):
                    if isinstance(parent, Still):
                        node.parents[slot] = None  # type: ignore[index]
                        node.args[slot] = wrap_still(args[slot], parent)  # type: ignore[index]
        tensor.__class__ = Still.tensor

    def call(self, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """Run a function that answers with plain arrays, and record it."""
        leaves, rebuild = flatten([list(args), kwargs])
        raws = [held(x) for x in leaves]
        plain, named = rebuild(raws)
        out = function(*plain, **named)
        values = [self.find(x) if isinstance(x, (Tensor, np.ndarray)) else x for x in leaves]
        result = out if isinstance(out, np.ndarray) else np.asarray(out)
        if isinstance(function, np.ufunc) and not kwargs and function.nout == 1:
            value = self.emit(Op("ufunc", function.__name__, function, values), result)
        else:
            value = lower.opaque(self, function.__name__, function, [list(args), kwargs], result)
        return self.still(value, result)


CLOSED = (
    "it uses a Tensor that requires gradients and is not among the arguments, so its value would be frozen. Pass it as "
    "an argument."
)


def held(x: Any) -> Any:
    """Return what a Tensor holds; anything else as it is."""
    return Tensor.data.__get__(x) if isinstance(x, Tensor) else x  # type: ignore[attr-defined]


def wrap_still(data: Any, node: Node) -> Tensor:
    """Return a Tensor over a Node through which no gradient flows."""
    made = wrap(np.zeros(()), node)
    Tensor.data.__set__(made, data)  # type: ignore[attr-defined]
    if not isinstance(data, np.ndarray):
        made.__class__ = Still.weak
    return made


def recorder() -> Recorder:
    """Return the recorder of this thread's trace."""
    mode = thread.mode
    if not isinstance(mode, Recorder):
        raise TypeError(
            "this Tensor belongs to a compiled call that is over: it was kept in a list, an attribute or a global while "
            "the call was traced. Return it instead."
        )
    return mode


