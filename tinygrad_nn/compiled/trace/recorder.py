"""`Recorder`: the thread mode that appends every operation on traced Tensors (forward, backward, update) to one list.

Every Tensor of a trace is a `Traced`: it holds the real array, so that shapes and dtypes are those of the eager run,
and its Node is mapped to a `Value`, the name of that array in the program. An operation on a Traced goes through the
engine's funnel like any other, which calls `Recorder.saw` with the new Node. A gradient inside the trace runs the rules
on Tensors, as for second derivatives, so that its operations are recorded too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...node import Mode, Node, leaf_node
from ...primitive import Primitive
from ...tensor import Tensor, make_tensor, stored_array
from ...tree import flatten
from ..program.values import Op, Value
from . import control
from . import operations as lower
from .nodes import QUIET, LiveNode, SavedNode, StaleNode, StillNode, Untraceable, bases


class Recorder(Mode):
    """The mode of a thread that traces: it records operations, also under `no_grad`."""

    traces = True
    __slots__ = (
        "_grad", "arrays", "augmented", "by_array", "by_memory", "by_node", "data", "depth", "kept",
        "lowering", "ops", "owners", "recompute_saved", "start", "unused_indices", "values",
    )  # fmt: skip

    def __init__(self, outer: Mode, recompute_saved: bool = False) -> None:
        super().__init__()
        self.recompute_saved = recompute_saved  # whether to recompute what forwards saved, as second derivatives need
        self.scope = outer.scope
        self.inspect = self.saw
        self.ops: list[Op] = []
        self.values: list[Value] = []
        self.by_node: dict[Node, Value] = {}
        self.by_array: dict[int, Value] = {}
        self.data: dict[Value, Any] = {}  # the array or number that each value is in this trace
        self.depth = 0  # how many nested loops and branches are being traced
        self.by_memory: dict[Any, Value] = {}
        self.owners: set[int] = set()  # ids of arrays whose memory holds values that differ from call to call
        self.kept: list[Any] = []  # keeps arrays alive whose id is a key here
        self.start = leaf_node(None).index
        self.lowering: list[Primitive] = []  # the primitives whose forwards are being traced
        self.arrays: set[Value] = set()  # arguments that are arrays, not Tensors
        self.augmented: tuple[Any, ...] = ()  # file and line of the first `x += y` on an array
        self.unused_indices: dict[int, str] = {}  # id of an index that was read, but is in no recorded operation yet

    @property
    def grad(self) -> Any:
        """Whether gradients are recorded: ``QUIET`` if they are not."""
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
        """Remember that an array is this value, and return the value."""
        self.data.setdefault(value, data)
        if isinstance(data, np.ndarray) and self.by_array.get(id(data)) is not value:
            self.kept.append(data)
            if id(data) not in self.by_array and value.kind != "constant":
                self.owners.update(id(x) for x in bases(data) if self.by_array.get(id(x), value).kind != "constant")
            self.by_array.setdefault(id(data), value)
            self.by_memory.setdefault(_memory(data), value)
        return value

    def known_value(self, array: Any) -> Value | None:
        """Return the value that an array is, recognized by its id or by its memory, shape and strides; or None."""
        value = self.by_array.get(id(array))
        return value if value is not None or not array.size else self.by_memory.get(_memory(array))

    def still(self, value: Value, data: Any) -> Tensor:
        """Return a traced Tensor for a value, through which no gradient flows."""
        self.name(value, data)
        return self.tensor(value, data, StillNode)

    def tensor(self, value: Value, data: Any, kind: Any) -> Tensor:
        """Return a traced Tensor for a value, with a new leaf Node of the class `kind`."""
        node = leaf_node(data, kind=kind)
        self.by_node[node] = value
        return make_tensor(data, node, kind.weak if value.weak else kind.tensor)

    def find(self, arg: Any, parent: Node | None = None) -> Any:
        """Return the value of an argument of an operation: numbers unchanged, unknown arrays as constants.

        Raises:
            Untraceable: a Tensor from outside that requires gradients, or an array that shares memory with a value
                that differs from call to call.
        """
        if parent is not None and parent in self.by_node:
            return self.by_node[parent]
        if isinstance(arg, Tensor):
            if arg.node is not None and arg.node in self.by_node:
                return self.by_node[arg.node]
            if arg.node is not None and arg.node.index < self.start:
                raise Untraceable(CLOSED)
            arg = stored_array(arg)
        elif parent is not None and parent.index < self.start:
            raise Untraceable(CLOSED)
        if not isinstance(arg, np.ndarray):
            return arg
        if type(arg) is not np.ndarray and isinstance(source := getattr(arg, "source", None), Tensor):
            return self.find(source)
        known = self.known_value(arg)
        if known is None:
            for base in bases(arg) if arg.size else ():  # an empty array cannot differ
                value = self.by_array.get(id(base))
                if id(base) in self.owners or (value is not None and value.kind != "constant"):
                    raise Untraceable("it reads the memory of an array that differs from call to call.")
            known = self.name(self.value("constant", arg, data=arg), arg)
        return known

    def refuse_writing(self) -> None:
        """Raise, since each call is to write: ``t[index] = value`` of a constant is no recorded operation."""
        raise Untraceable("t[index] = x, or t += x, writes into a Tensor. Write t = t.at[index].set(x), or t = t + x.")

    def refuse(self, reason: str) -> None:
        """Raise, since the values of this call are needed."""
        raise Untraceable(reason)

    def entered(self, args: tuple[Any, ...], meta: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return a primitive's arguments with plain arrays in its metadata.

        If metadata are arrays that differ from call to call, plain array arguments become traced Tensors, so that the
        operation is recorded.
        """
        leaves, rebuild = flatten(meta)
        bare = [_plain_array(x) for x in leaves]
        if any(a is not b for a, b in zip(bare, leaves, strict=True)):
            meta = rebuild(bare)
        plain = all((type(x) is Tensor and x.node is None) or not isinstance(x, Tensor) for x in args)
        if plain and self.differ(bare):
            args = tuple([
                self.still(self.find(x), stored_array(x)) if isinstance(x, (Tensor, np.ndarray)) else x for x in args
            ])
        return args, meta

    def differ(self, meta: Any) -> bool:
        """Tell whether metadata contain an array that differs from call to call."""
        known = [self.known_value(x) for x in map(_plain_array, flatten(meta)[0]) if isinstance(x, np.ndarray)]
        return any(value is not None and value.kind != "constant" for value in known)

    def lifted(self, x: Any) -> Any:
        """Return a plain array as a traced Tensor, so that operations on it are recorded; anything else unchanged."""
        if isinstance(x, (list, tuple)) and x and all(type(part) in (int, float) for part in x):
            x = np.asarray(x)
        return self.still(self.find(x), x) if type(x) is np.ndarray else x

    # -- operations

    def emit(self, op: Op, *outs: Any) -> Value:
        """Append an operation with the arrays that it made, and return its first result; fold it if all is constant."""
        if op.pure and op.kind != "call" and all(arg.kind == "constant" for arg in op.values):
            return self.name(self.value("constant", outs[0], data=outs[0]), outs[0])
        op.scope = self.scope
        for out in outs:
            op.outs.append(self.name(self.value("made", out, op=op), out))
        self.ops.append(op)
        return op.outs[0]

    def saw(self, node: Node, _: Tensor) -> Tensor:
        """Record the operation that the funnel just ran, and return its result as a traced Tensor."""
        primitive: Primitive = node.primitive  # type: ignore[assignment]
        args, parents, out, name = node.args, node.parents, node.out, lower.name_of(primitive)
        given = primitive.call_meta(node.meta)
        values = [self.find(arg, parent) for arg, parent in zip(args or (), parents or (), strict=True)]
        for part in flatten(given)[0] if given else ():
            self.unused_indices.pop(id(part), None)
        known = self.known_value(out)
        value = known or lower.record(self, primitive, values, list(args or ()), given, node.meta, out)
        self.name(value, out)
        alive = any(p is not None and not isinstance(p, StillNode) for p in parents or ()) and self._grad is not QUIET
        stale = any(isinstance(p, SavedNode) for p in parents or ())
        entered = name == "alias"
        if entered and out.dtype.kind not in "fc":
            raise Untraceable("it takes a gradient with respect to values that are not floats.")
        if not alive and not entered:
            made = leaf_node(out, kind=SavedNode if stale and self._grad is not QUIET else StillNode)
        else:
            self._keep(node, primitive, given)
            if not entered:
                pairs = list(zip(args or (), parents or (), strict=True))
                node.link(
                    tuple(wrap_still(x, p) if isinstance(p, StillNode) else x for x, p in pairs),
                    tuple(None if isinstance(p, StillNode) else p for _, p in pairs),
                )
            made = (StaleNode if stale else LiveNode).of(node)
        self.by_node[made] = value
        return make_tensor(out, made, StillNode.tensor)

    def _keep(self, node: Node, primitive: Primitive, given: dict[str, Any]) -> None:
        """Give the rules of a node traced Tensors in place of saved arrays, and of metadata that differ by call."""
        node.meta = {**node.meta, **lower.lifted(self, given)} if given else node.meta
        if self.recompute_saved or not all(id(node.meta[key]) in self.by_array for key in primitive.saves):
            return
        if primitive.saves:
            values = {key: (self.by_array[id(node.meta[key])], node.meta[key]) for key in primitive.saves}
            node.meta = {**node.meta, **{key: self.tensor(*pair, SavedNode) for key, pair in values.items()}}
        if lower.is_one_operation(primitive, node.meta):
            node.primitive = lower.with_joint_rule(primitive)

    def call(self, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """Run a function that returns plain arrays (one, or a nest), and record it as one operation."""
        leaves, rebuild = flatten([list(args), kwargs])
        raws = [np.asarray(x) if isinstance(x, np.ndarray) else stored_array(x) for x in leaves]
        plain, named = rebuild(raws)
        out = function(*plain, **named)
        values = [self.find(x) if isinstance(x, (Tensor, np.ndarray)) else x for x in leaves]
        found, refill = flatten(out)
        results = [x if isinstance(x, np.ndarray) else np.asarray(x) for x in found]
        if isinstance(function, np.ufunc) and not kwargs and function.nout == 1:
            made = [self.emit(Op("ufunc", function.__name__, function, values), results[0])]
        else:
            flat = function if not isinstance(out, (tuple, list)) else lambda *a, **k: flatten(function(*a, **k))[0]
            lower.record_call(self, function.__name__, flat, [list(args), kwargs], results[0], other_outs=results[1:])
            made = self.ops[-1].outs
        return refill([self.still(value, result) for value, result in zip(made, results, strict=True)])

    # -- control flow

    def scan(self, *call: Any) -> Any:
        """Record a `scan`."""
        return control.scan(self, *call)

    def cond(self, *call: Any) -> Any:
        """Record a `cond`."""
        return control.cond(self, *call)

    def while_loop(self, *call: Any) -> Any:
        """Record a `while_loop`."""
        return control.while_loop(self, *call)


CLOSED = (
    "it uses a Tensor that requires gradients and is not among the arguments, so its value would be frozen. Pass it as "
    "an argument."
)


def _plain_array(x: Any) -> Any:
    """Return the array of a leaf of metadata; for a `Shape`, the array of its Tensor."""
    asked = isinstance(x, np.ndarray) and getattr(x, "source", None)
    return stored_array(asked) if isinstance(asked, Tensor) else stored_array(x)


def _memory(array: Any) -> Any:
    """Return a key that is equal for two arrays with the same entries in the same memory."""
    interface = array.__array_interface__
    return interface["data"][0], array.shape, array.strides, array.dtype


def wrap_still(data: Any, node: Node) -> Tensor:
    """Return a Tensor over a Node through which no gradient flows."""
    return make_tensor(data, node, node.tensor if isinstance(data, np.ndarray) else StillNode.weak)
