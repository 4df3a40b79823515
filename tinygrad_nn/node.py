"""Node, the record of one operation, and Mode, each thread's switches that say whether Nodes are made.

Nodes form the graph: each holds an operation's arguments, its result, and the Nodes that the arguments came from.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, ClassVar, TypeVar

import numpy as np

from .primitive import NO_METADATA, Primitive

FREED = (
    "this graph was freed by an earlier backward(). Call backward(retain_graph=True) the first time to walk it twice, "
    "or compute the result again."
)
SPARE = 2**16  # how many freed Nodes, of 150 bytes each, a thread keeps for reuse
TRANSIENT = frozenset({"used", "summed", "read"})  # notes about a gradient, dropped when it is cleared, see `leaves`
NO_TEXTS = (
    "a Tensor holds numbers; this data has dtype {}. Convert it first, for example with np.asarray(data, dtype=float); "
    "text classes become numbers with tinygrad_nn.data.one_hot."
)
BY_NAME = (
    " Name and dtype are passed by name: Tensor(data, name='x', dtype=float). Zeros of a shape are np.zeros((2, 3))."
)
NO_WRITING = (
    "a Tensor cannot be written into, since its graph holds the old values. Instead of t[index] = value write "
    "t = t.at[index].set(value); instead of t[index] += value write t = t.at[index].add(value)."
)


Kind = TypeVar("Kind", bound="Node")
born = count().__next__  # numbers Nodes. A parent is older than its child, so sorting by number is a topological sort


class Node:
    """One application of a primitive, or a leaf (``primitive is None``), with everything the walk back needs.

    One or two arguments have slots of their own: a tuple of them would be one more object for Python's cyclic garbage
    collector to visit again and again. For the same reason Nodes that `backward` has freed are reused (`Mode.spare`).

    Attributes:
        primitive: the operation, ``None`` for a leaf.
        args: the raw arguments; ``parents`` holds the Node that made each (``None`` for a constant). Both are empty
            for a leaf, and ``None`` once the graph was freed.
        arity: 1 or 2 if the arguments are in `x` and `y` and their Nodes in `p` and `q`; 0 if `x` holds all of `args`
            and `p` all of `parents`.
        meta: keyword arguments of the operation, and the intermediate results that its forward saved.
        out: the raw result (for a leaf its data at creation).
        index: a number that grows with each Node made, so that parents have smaller ones than their children.
        scope: the path of the layer that was running, or ``None``.
        grad: the gradient that `backward` left here, an ndarray or ``None``.
        notes: ``None``, or a dict with any of ``name``, ``hooks``, ``where``, ``checksum``, ``constants``, ``input``,
            ``attached``, and the notes about its gradient (`TRANSIENT`).
    """

    __slots__ = (
        "__weakref__", "arity", "grad", "index", "meta", "notes", "out", "p", "primitive", "q", "scope", "x", "y",
    )  # fmt: skip

    primitive: Primitive | None
    arity: int
    x: Any
    y: Any
    p: Any
    q: Any
    meta: dict[str, Any]
    out: Any
    index: int
    scope: str | None
    grad: np.ndarray[Any, Any] | None
    notes: dict[str, Any] | None

    __weakref__: Any  # None if nothing refers to this Node weakly

    tensor: ClassVar[Any]  # the class of the Tensors made for Nodes of this class

    @property
    def args(self) -> Sequence[Any] | None:
        """The raw arguments: arrays and numbers."""
        arity = self.arity
        return self.x if arity == 0 else (self.x,) if arity == 1 else (self.x, self.y)

    @property
    def parents(self) -> Sequence[Node | None] | None:
        """The Node that made each argument, ``None`` for a constant."""
        arity = self.arity
        return self.p if arity == 0 else (self.p,) if arity == 1 else (self.p, self.q)

    def link(self, args: Sequence[Any] | None, parents: Sequence[Node | None] | None) -> None:
        """Set the arguments and the Node that made each; ``None`` for both marks the Node as freed."""
        self.arity, self.x, self.p = 0, args, parents
        self.y = self.q = None

    def copied(self, new: Kind, **other: Any) -> Kind:
        """Copy this Node's attributes to `new`, with those in `other` replaced and no gradient; return `new`."""
        for name in ("primitive", "meta", "out", "index", "scope", "notes"):
            setattr(new, name, other.get(name, getattr(self, name)))
        new.link(other.get("args", self.args), other.get("parents", self.parents))
        new.grad = None
        return new

    @property
    def inner(self) -> bool:
        """Whether it belongs to a calculation in progress: computed, or the input of a transform such as `grad`."""
        return self.primitive is not None or bool(self.notes and "input" in self.notes)

    def __getstate__(self) -> Any:
        if self.inner:
            raise TypeError("a graph cannot be pickled, nor a Tensor that is part of one; pickle t.data.")
        state: Any = object.__getstate__(self)
        if self.notes:
            kept = {key: value for key, value in self.notes.items() if key not in TRANSIENT}
            state = (None, {**state[1], "notes": kept or None})
        return state

    def note(self, **notes: Any) -> None:
        """Add entries to the node's notes, such as a name."""
        self.notes = {**(self.notes or {}), **notes}

    def __repr__(self) -> str:
        kind = self.primitive.name if self.primitive else "leaf"
        return f"<node {self.index} {kind}>"


class Mode:
    """Switches of one thread: whether operations are recorded, which layer runs, which function inspects each new Node.

    `grad`: whether operations are recorded as Nodes.
    `scope`: the path that new Nodes are marked with; `module`: the object that is running, for the names of its parts.
    `inspect`: called with each new Node and its Tensor; returns the Tensor that the operation is to return.
    `born`: called with the Node of each new leaf.
    `steps`, `rows`: set while a compiled function is checked, to limit the steps that while loops may still take and
    the rows that each scan runs; the y of the rows left out are zeros.
    `spare`: Nodes that `backward` freed and nothing else referred to, ready for reuse.
    `traces`: values differ from call to call, so no Python decision may depend on them.
    `level`: the innermost vmap that is running, or ``None``.

    A trace is a Mode with `traces`, with its own classes of Tensors and Nodes. The engine uses only these of it:
    `inspect` after every operation; `scan`, `cond` and `while_loop` for control flow; `Node.tensor`, the class of
    Tensors for a Node; and the functions that return the array of a Tensor: `tensor.stored_array` for the engine,
    `Tensor._array_for_query` for questions about values, `Tensor._array_for_index` and `Tensor._array_for_option` for
    its use as an index or an option; and `Tensor._rewrap`, which makes ``Tensor(t)`` of a Tensor. `entered` sees the
    arguments and metadata of each operation that has metadata. `refuse_writing` is called before ``t[i] = x``,
    and `refuse`, with the reason, where the values themselves are needed.
    """

    __slots__ = ("blocks", "born", "grad", "inspect", "level", "module", "rows", "scope", "spare", "steps")
    traces: ClassVar[bool] = False

    def __init__(self) -> None:
        self.grad = True
        self.scope: str | None = None
        self.module: Any = None
        self.inspect: Callable[[Node, Any], Any] | None = None
        self.born: Callable[[Node], None] | None = None
        self.level: Any = None
        self.blocks: dict[str, list[_Block]] = {}
        self.spare: deque[Node] = deque(maxlen=SPARE)
        self.steps: int | None = None
        self.rows: int | None = None

    def spend(self) -> None:
        """Count one step of a while loop; raise if more steps ran than `steps` allows."""
        if self.steps is not None:
            self.steps -= 1
            if self.steps < 0:
                raise RuntimeError("a while loop ran for more steps than allowed.")

    @property
    def errors(self) -> Any:
        """NumPy's settings for floating-point errors, as `numpy.geterr` returns and `numpy.seterr` takes them."""
        return np.geterr()

    @errors.setter
    def errors(self, settings: Any) -> None:
        np.seterr(**settings)


class _Block:
    """One open ``with`` block that changed a switch; when it ends, the switch gets the value `before` again."""

    __slots__ = ("before",)

    def __init__(self, before: Any) -> None:
        self.before = before


class _Thread(threading.local):
    def __init__(self) -> None:
        self.mode = Mode()


thread = _Thread()


def leaf_node(data: Any, name: str | None = None, kind: type[Node] = Node) -> Node:
    """Make the Node of a leaf with this data; `kind` is its class."""
    node, mode = kind(), thread.mode
    node.primitive = node.grad = None
    node.arity = 0
    node.x = node.p = ()
    node.y = node.q = None
    node.meta, node.out = NO_METADATA, data
    node.index, node.scope = born(), mode.scope
    node.notes = {"name": name} if name else None
    if mode.born is not None:
        mode.born(node)
    return node


def no_grad(function: Callable[..., Any] | None = None) -> Any:
    """Record no operations inside this block, in this thread: results are constants.

    It is also a decorator, with or without brackets: ``@no_grad`` records no operations inside the function.

    Example:
        >>> from tinygrad_nn import Tensor
        >>> x = Tensor([1.0, 2.0])
        >>> with no_grad():
        ...     y = x * 2
        >>> y.requires_grad
        False
    """
    return recording(False) if function is None else recording_in(function, False, "no_grad")


def recording_in(function: Any, on: bool, name: str) -> Any:
    """Return a function with the recording of operations switched on or off inside it."""
    if not callable(function):
        raise TypeError(f"{name} takes a function or nothing; it got {function!r:.60}. Write with {name}(): ...")
    return recording(on)(function)


def recording(on: bool) -> Any:
    """Switch the recording of operations on or off inside this block, in this thread."""
    return switched("grad", on)


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Mark operations inside this block as belonging to a layer, for drawings; nested names join to ``outer.inner``."""
    before = thread.mode.scope
    with switched("scope", name if before is None else f"{before}.{name}"):
        yield


@contextmanager
def alone() -> Iterator[None]:
    """Run this block with a fresh `Mode`: nothing that is recorded, traced or mapped in this thread affects it."""
    before, thread.mode = thread.mode, Mode()
    try:
        yield
    finally:
        thread.mode = before


@contextmanager
def switched(name: str, value: Any) -> Iterator[None]:
    """Set a switch of this thread to another value inside this block.

    Blocks in generators may end in any order. A block that ends while a later one is open leaves the switch as it is
    and passes the value to restore on to that later block.
    """
    mode = thread.mode
    opened, block = mode.blocks.setdefault(name, []), _Block(getattr(mode, name))
    opened.append(block)
    setattr(mode, name, value)
    try:
        yield
    finally:
        place = opened.index(block)
        del opened[place]
        if place == len(opened):
            setattr(mode, name, block.before)
        else:
            opened[place].before = block.before
