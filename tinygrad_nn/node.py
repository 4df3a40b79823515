"""Node, the record of one operation, and the switches of a thread that decide whether Nodes are made."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from typing import Any, ClassVar, TypeVar

import numpy as np

from .primitive import NO_METADATA, Primitive

FREED = (
    "this graph was freed by an earlier backward(). Call backward(retain_graph=True) the first time to walk it twice, "
    "or compute the result again."
)
NO_ARRAY = (
    "turning a Tensor into an ndarray would drop its graph. Write t.data for the bare array (no gradient flows "
    "through it), or t.detach() for a plot. For an array of several Tensors write tinygrad_nn.array([...]) or "
    "np.stack([...]): np.array, np.r_ and np.c_ cannot be intercepted, nor can numpy.polynomial: use "
    "tinygrad_nn.polynomial. Instead of np.full(shape, t) write np.full(shape, t, like=t), of np.vectorize(f)(t) write "
    "tinygrad_nn.vectorize(f)(t); instead of out[i] = t write out = Tensor(out).at[i].set(t), or np.stack([...]) of a "
    "list of the parts."
)


SPARE = 2**16  # Nodes that a thread keeps to serve again, of 150 bytes each
TRANSIENT = frozenset({"used", "summed", "read"})  # notes on a gradient, see `leaves`
NO_NUMBER = (
    "{call} would drop the graph of this Tensor. Write t.item() for the bare number; inside a function to be "
    "differentiated use np.sin(t) and the like rather than math.sin(t), and instead of out[i] = t, which writes into "
    "an array, out = Tensor(out).at[i].set(t), or np.stack([...]) of the numbers."
)
NO_WRITING = (
    "a Tensor cannot be written into, since its graph holds the old values. Instead of t[index] = value write "
    "t = t.at[index].set(value); instead of t[index] += value write t = t.at[index].add(value)."
)


Kind = TypeVar("Kind", bound="Node")
born = count().__next__  # a parent is always older than its child, so sorting by number is a topological sort


class Node:
    """One application of a primitive, or a leaf (``primitive is None``): what the walk back needs, and no operators.

    Its one or two arguments are in slots of their own, since Python's cyclic collector would look through a tuple of
    them again and again: a Node is one object to it, and one that `backward` has freed serves again (`Mode.spare`).

    Attributes:
        primitive: the operation, ``None`` for a leaf.
        args: the raw arguments, ``parents`` the Node behind each (``None`` for a constant); both empty for a leaf,
            and ``None`` once the graph was freed.
        arity: 1 or 2 where the arguments are in `x` and `y`, their Nodes in `p` and `q`; 0 where `x` and `p` are
            `args` and `parents`.
        meta: keyword arguments of the operation, and what its forward saved.
        out: the raw result (for a leaf its data at creation).
        index: the order of birth.
        scope: the path of the layer that was running, or ``None``.
        grad: what `backward` left here, an ndarray or ``None``.
        notes: ``None``, or a dict with any of ``name``, ``hooks``, ``where``, ``checksum``, ``constants``, ``input``,
            and those on its gradient.
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

    __weakref__: Any  # None where nobody asked for one

    tensor: ClassVar[Any]  # the class of Tensors made over it

    @property
    def args(self) -> Sequence[Any] | None:
        """The raw arguments."""
        arity = self.arity
        return self.x if arity == 0 else (self.x,) if arity == 1 else (self.x, self.y)

    @property
    def parents(self) -> Sequence[Node | None] | None:
        """The Node behind each argument."""
        arity = self.arity
        return self.p if arity == 0 else (self.p,) if arity == 1 else (self.p, self.q)

    def link(self, args: Sequence[Any] | None, parents: Sequence[Node | None] | None) -> None:
        """Give it arguments, and the Node behind each."""
        self.arity, self.x, self.p = 0, args, parents
        self.y = self.q = None

    def copied(self, made: Kind, **other: Any) -> Kind:
        """Return a Node that is made like this one, but has no gradient, and where something else is given, that."""
        for name in ("primitive", "meta", "out", "index", "scope", "notes"):
            setattr(made, name, other.get(name, getattr(self, name)))
        made.link(other.get("args", self.args), other.get("parents", self.parents))
        made.grad = None
        return made

    @property
    def inner(self) -> bool:
        """Whether it belongs to a calculation that is going on: made by an operation, or the input of a transform."""
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
        """Attach remarks to the node, such as a name."""
        self.notes = {**(self.notes or {}), **notes}

    def __repr__(self) -> str:
        kind = self.primitive.name if self.primitive else "leaf"
        return f"<node {self.index} {kind}>"


class Mode:
    """Switches of one thread: whether operations are recorded, which layer runs, and who inspects each new Node.

    `scope` is the path that Nodes are marked with; `module` is the object that is running, for the names of its parts.
    `inspect` sees each new Node with the Tensor over it, and returns the Tensor that the operation is to give; `born`
    sees the Node of each new leaf.
    `steps` is how many further steps of while loops may run, and `rows` how many of each scan do, where a check of what
    was compiled limits them; the y of other rows are then zeros.
    `spare` are Nodes that `backward` freed and nobody else held: they serve again.
    `traces` tells that values differ from call to call, so that nothing may be decided by them.
    `level` is the innermost vmap that is running, or ``None``.

    A trace is a Mode with `traces`, whose Tensors and Nodes are of classes of its own. What the engine asks of it is
    this, and no more: `inspect` after every operation, `scan`, `cond` and `while_loop` for control flow, `Node.tensor`
    for the class of a Tensor over a Node, and of a Tensor its array for the engine (`tensor.held`), for a question
    about values (`Tensor._asked`), as an index (`Tensor._index`), as an option (`Tensor._option`), and as the argument
    of ``Tensor(t)`` (`Tensor._again`).
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
        """Count a step of a while loop; raise if there were enough."""
        if self.steps is not None:
            self.steps -= 1
            if self.steps < 0:
                raise RuntimeError("a while loop went on for more steps than were allowed.")

    @property
    def errors(self) -> Any:
        """What NumPy does about numbers that are not finite, as `numpy.seterr` takes it."""
        return np.geterr()

    @errors.setter
    def errors(self, how: Any) -> None:
        np.seterr(**how)


class _Block:
    """A block in which a switch has another value; `before` is restored after it."""

    __slots__ = ("before",)

    def __init__(self, before: Any) -> None:
        self.before = before


class _Thread(threading.local):
    def __init__(self) -> None:
        self.mode = Mode()


thread = _Thread()


def source(data: Any, name: str | None = None, kind: type[Node] = Node) -> Node:
    """Make the Node of a leaf, of a class of Nodes."""
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


@contextmanager
def no_grad() -> Iterator[None]:
    """Record nothing inside this block, in this thread: results are constants.

    Example:
        >>> from tinygrad_nn import Tensor
        >>> x = Tensor([1.0, 2.0])
        >>> with no_grad():
        ...     y = x * 2
        >>> y.requires_grad
        False
    """
    with recording(False):
        yield


def recording(on: bool) -> AbstractContextManager[None]:
    """Record operations inside this block, in this thread, or do not."""
    return switched("grad", on)


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Mark operations inside this block as belonging to a layer, for drawings; blocks nest as ``outer.inner``."""
    before = thread.mode.scope
    with switched("scope", name if before is None else f"{before}.{name}"):
        yield


@contextmanager
def switched(name: str, value: Any) -> Iterator[None]:
    """Set a switch of this thread to another value inside this block.

    Blocks in generators may end in any order: one that ends while a later one is open leaves its old value to that.
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
