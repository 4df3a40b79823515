"""Running a function again with chosen numbers or operations replaced, as the live explorer does.

The user's function itself is called, so that its Python branches are decided anew by the changed numbers. A number is
changed at its origin: in an array that the function reads, in a leaf when it is created, in the operand of an
operation, or in the result of an operation before it is used. An operation is replaced when it is recorded.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from threading import RLock
from types import FrameType
from typing import Any

import numpy as np

from ..common.closures import closed_over, noting_variables
from ..common.forks import renewed_after_fork
from ..node import Node, switched
from ..primitive import REGISTRY, Primitive
from ..tensor import Tensor, apply, wrap
from ..tree import children, flatten
from .reachable import Snapshot
from .view import GraphNode, GraphView

Array = np.ndarray[Any, Any]
DEEP = 200  # innermost stack frames that identify the place where an operation is called
UNARY = ("relu", "tanh", "sigmoid", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "softsign",
         "hard_tanh", "hard_sigmoid", "hard_swish", "log_sigmoid", "sin", "cos", "arctan", "exp", "expm1", "log1p",
         "square", "absolute", "negative", "alias")  # fmt: skip
BINARY = ("add", "subtract", "multiply", "divide", "maximum", "minimum", "power", "logaddexp", "hypot")
REDUCING = ("sum", "mean", "prod", "max", "min", "std", "var")

_one_at_a_time = renewed_after_fork(RLock())  # a run writes into the user's arrays, so runs must not overlap


@dataclass(frozen=True)
class Place:
    """The origin of a node's value, by which the same value is found again in the next run.

    Attributes:
        kind: ``"array"`` (exists before the run), ``"leaf"`` (created in each run), ``"operand"`` (a constant, known
            only by the operations that use it) or ``"result"`` (of an operation).
        key: for an array its address, shape and strides; for a leaf or result the place in the program that made it;
            for an operand all its uses, as pairs of place and slot.
    """

    kind: str
    key: Any
    array: Array | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Change:
    """One change: a new value for the entry at a flat index, or, if `operation` is given, another primitive.

    `description` describes the change in words.
    """

    place: Place
    index: int = 0
    value: Any = None
    operation: str | None = None
    description: str = field(default="", compare=False)


@dataclass
class Run:
    """The outcome of a run: result, local variables, the places of operations and leaves, and changes not applied."""

    result: Any
    names: dict[str, Any]
    sites: dict[Node, Any]
    births: dict[Node, Any]
    unapplied: list[Change]


class Rerun:
    """A function with its arguments, which can be run repeatedly with changes.

    Floats and floating-point arrays among the arguments, also in nested containers, become new leaves that are named
    like the parameters. Tensors and modules are passed on unchanged.

    Args:
        function: a function of Tensors, or a module.
        arguments: the positional arguments; ``keywords`` are those given by name.

    Raises:
        TypeError: ``function`` is not callable, or does not accept these arguments.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> None:
        if not callable(function):
            raise TypeError(
                f"a change needs the function that made the graph; this is a {type(function).__name__}. Pass the "
                "function and its arguments: explore(f, x, W, serve=True)."
            )
        self.function = function
        self.arguments, self.keywords, names = _leaves(function, arguments, keywords)
        given = [*zip(names, self.arguments, strict=False), *self.keywords.items()]
        self._whole = _whole_numbers([*given, *_outer_variables(function)])
        self._reached = (function, self.arguments, self.keywords)
        self._start = Snapshot(*self._reached)  # for its random generators: each run draws the same
        self._lasting: dict[int, Array] = {}  # address -> array; the reference keeps the address from being reused
        self._last: dict[int, Array] = {}
        for _ in range(2):
            with self.running():
                pass

    @contextmanager
    def running(self, changes: Sequence[Change] = ()) -> Iterator[Run]:
        """Run the function with changes. Changed arrays hold the new numbers inside the block; then they are restored.

        Raises:
            Exception: whatever the function, or an operation that replaces another, raises.
        """
        with _one_at_a_time:
            task, kept = _RunState(changes), Snapshot(*self._reached)
            try:
                self._start.restore_draws()
                task.write()
                run = self._run(task)
                for address, array in task.read.items():  # both are alive: the same address is the same memory
                    if address in self._last and _can_change(array):
                        self._lasting.setdefault(address, array)
                self._last = task.read
                yield run
            finally:
                task.write_back()
                kept.restore()

    def _run(self, task: _RunState) -> Run:
        names: dict[str, Any] = {}
        noting = noting_variables(self.function) if sys.getprofile() is None else nullcontext(names)
        with switched("inspect", task.operation), switched("born", task.leaf), np.errstate(all="ignore"):
            task.floor = sys._getframe()
            with noting as names:
                result = self.function(*self.arguments, **self.keywords)
        lost = [change for change in task.changes if change not in task.done]
        return Run(result, names, task.sites, task.births, lost)

    def places(self, run: Run, view: GraphView) -> list[Place]:
        """Return the origin of the value of each node of a view."""
        uses: dict[int, list[tuple[Node, int]]] = {}
        for edge in view.edges:
            target = view[edge.target].node
            if target is not None:
                uses.setdefault(edge.source, []).append((target, edge.slot))
        found = []
        for part in view:
            if part.operation is not None:
                found.append(Place("result", run.sites.get(part.node)))  # type: ignore[arg-type]
            else:
                found.append(self._origin(run, part.node, uses.get(part.number, [])))
        return found

    def whole_numbers(self, places: Sequence[Place]) -> list[tuple[str, Place]]:
        """Return the integer arrays that the function reads, such as class labels, that are not among the places."""
        taken = {place.key[0] for place in places if place.kind == "array"}
        return [(name, Place("array", (_address(array), array.shape, array.strides), array))
                for name, array in self._whole if _address(array) not in taken]  # fmt: skip

    def _origin(self, run: Run, node: Node | None, uses: list[tuple[Node, int]]) -> Place:
        raw = uses[0][0].args[uses[0][1]] if uses else node.out if node is not None else None  # type: ignore[index]
        if isinstance(raw, np.ndarray):
            known = self._lasting.get(_address(raw))
            if known is not None and known.shape == raw.shape and known.dtype == raw.dtype:
                return Place("array", (_address(raw), raw.shape, raw.strides), known)
        if node is not None and node in run.births:
            return Place("leaf", run.births[node])
        return Place("operand", tuple((run.sites.get(target), slot) for target, slot in uses))


class _RunState:
    """The changes that one run has to make, and the operations, leaves and arrays that it met."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self.changes = list(changes)
        self.done: set[Change] = set()
        self.sites: dict[Node, Any] = {}
        self.births: dict[Node, Any] = {}
        self.read: dict[int, Array] = {}
        self.floor: FrameType | None = None
        self._counts: dict[Any, int] = {}
        self._before: list[tuple[Array, Array]] = []
        self._swapped: dict[int, tuple[Any, Any]] = {}  # id of an operand -> the operand and its replacement
        self._by_site: dict[Any, list[Change]] = {}
        self._by_use: dict[Any, list[Change]] = {}
        for change in self.changes:
            if change.place.kind in ("result", "leaf"):
                self._by_site.setdefault(change.place.key, []).append(change)
            elif change.place.kind == "operand":
                for use in change.place.key:
                    self._by_use.setdefault(use, []).append(change)

    def write(self) -> None:
        """Write the changed numbers into the arrays that the function reads."""
        for change in self.changes:
            if change.place.kind == "array" and change.place.array is not None:
                self._set(change.place.array, change)

    def write_back(self) -> None:
        for array, old in reversed(self._before):
            with _making_writeable(array):
                array[...] = old

    def _set(self, array: Array, change: Change) -> None:
        self._before.append((array, array.copy()))
        with _making_writeable(array):
            array.flat[change.index] = change.value
        self.done.add(change)

    def leaf(self, node: Node) -> None:
        """Note the place of a new leaf and write its changed entries."""
        site = self.births[node] = self._site()
        for change in self._by_site.get(site, ()):
            if _can_change(node.out) and change.index < node.out.size:
                self._set(node.out, change)

    def operation(self, node: Node, tensor: Tensor) -> Tensor:
        """Return the result of a newly recorded operation after the changes to its operands, primitive or result."""
        site = self._site()
        changes = self._by_site.get(site, ())
        names = [change.operation for change in changes if change.operation is not None]
        args = self._operands(node, site)
        if names or args is not None:
            tensor = _record_again(node, args, names[-1] if names else None)
            node = tensor.node  # type: ignore[assignment]
            self.done.update(change for change in changes if change.operation is not None)
        numbers = [change for change in changes if change.operation is None and change.index < node.out.size]
        if numbers:
            hold_result(node, tensor, {change.index: change.value for change in numbers})
            self.done.update(numbers)
        self.sites[node] = site
        for arg in node.args or ():
            if isinstance(arg, np.ndarray) and arg.size:
                self.read.setdefault(_address(arg), arg)
        return tensor

    def _operands(self, node: Node, site: Any) -> list[Any] | None:
        """Return the operands with their changes applied, or None if no operand has changed."""
        args: list[Any] = []
        found = False
        for slot, (arg, parent) in enumerate(zip(node.args or (), node.parents or (), strict=True)):
            changes = self._by_use.get((site, slot), ())
            known = self._swapped.get(id(arg)) if isinstance(arg, np.ndarray) else None
            if changes and known is None:
                array = np.array(arg)
                for change in changes:
                    if change.index < array.size:
                        array.flat[change.index] = change.value
                        self.done.add(change)
                new: Any = array if isinstance(arg, (np.ndarray, np.generic)) else type(arg)(array.item())
                new = new if parent is None else wrap(new, _leaf_with_data(parent, new))
                self._swapped[id(arg)] = known = (arg, new)
            found = found or known is not None
            args.append(known[1] if known is not None else arg if parent is None else wrap(arg, parent))
        return args if found else None

    def _site(self) -> Any:
        """Return the place in the program that makes an operation or leaf, and how many were made there before."""
        frame: FrameType | None = sys._getframe(2)
        path: list[int] = []
        while frame is not None and frame is not self.floor and len(path) < DEEP:
            path += (id(frame.f_code), frame.f_lasti)
            frame = frame.f_back
        key = hash(tuple(path))
        count = self._counts[key] = self._counts.get(key, -1) + 1
        return key, count


def _record_again(node: Node, args: list[Any] | None, name: str | None) -> Tensor:
    """Record an operation again, with other operands or with another primitive."""
    primitive: Primitive = node.primitive  # type: ignore[assignment]
    meta = primitive.call_meta(node.meta)
    if args is None:
        pairs = zip(node.args or (), node.parents or (), strict=True)
        args = [arg if parent is None else wrap(arg, parent) for arg, parent in pairs]
    if name is not None and name != primitive.name:
        primitive = REGISTRY[name]
        meta = {key: value for key, value in meta.items() if key in primitive.metadata}
    with switched("inspect", None):
        tensor = apply(primitive, tuple(args), meta)
    if tensor.data.shape != node.out.shape:
        raise ValueError(
            f"{primitive.name} gives shape {tensor.data.shape} instead of {node.out.shape}."
        )
    if tensor.node is not None:
        tensor.node.notes = node.notes
    return tensor


def hold_result(node: Node, tensor: Tensor, values: Mapping[int, Any]) -> None:
    """Overwrite entries of a result, as ``t.at[index].set(value)`` does: no gradient flows through these entries."""
    old, new = node.out, np.array(node.out)
    held = np.zeros(old.shape, bool)
    for index, value in values.items():
        new.flat[index] = value
        held.flat[index] = True
    new.flags.writeable = False
    primitive: Primitive = node.primitive  # type: ignore[assignment]
    holding = object.__new__(Primitive)
    vars(holding).update(vars(primitive))

    def masked(rule: Callable[..., Any] | None) -> Any:
        def outside(g: Any, out: Any, *args: Any, **meta: Any) -> Any:
            return rule(np.where(held, np.zeros((), g.dtype), g), old, *args, **meta)  # type: ignore[misc]

        return rule and outside

    holding.vjps = tuple(map(masked, primitive.vjps))
    holding.jointly = masked(primitive.jointly)
    vars(holding)["unheld"] = without_hold(primitive)
    node.primitive, node.out, tensor.data = holding, new, new


def without_hold(primitive: Primitive) -> Primitive:
    """Return a primitive without the overwritten entries of `hold_result`: its rules take arrays of any shape again."""
    original: Primitive = vars(primitive).get("unheld", primitive)
    return original


def replacement_names(part: GraphNode) -> list[str]:
    """Return the names of the primitives that can replace a node's, its own included; empty if there is no other."""
    node = part.node
    primitive = node.primitive if node is not None else None
    if node is None or primitive is None or not node.args:
        return []
    groups: list[str] = []
    alike = len(node.args) == 1 and np.shape(node.args[0]) == part.shape
    if primitive.name in UNARY or (alike and not node.meta):
        groups = [name for name in UNARY if node.out.dtype.kind == "f"]
    elif primitive.name in BINARY:
        groups = list(BINARY)
    elif primitive.name in REDUCING:
        groups = list(REDUCING)
    if not groups:
        return []
    return groups if primitive.name in groups else [primitive.name, *groups]


def _leaf_with_data(leaf: Node, data: Any) -> Node:
    """Return a copy of a leaf with other data."""
    return leaf.copied(Node(), out=data)


def _outer_variables(function: Any) -> list[tuple[str, Any]]:
    """Return names and values of the closure and global variables that a function reads."""
    own = inspect.unwrap(function)
    code, worldwide = getattr(own, "__code__", None), getattr(own, "__globals__", {})
    if code is None:
        return []
    return [*closed_over(own).items(), *((name, worldwide[name]) for name in code.co_names if name in worldwide)]


def _whole_numbers(named: Sequence[tuple[str, Any]]) -> list[tuple[str, Array]]:
    """Return the writeable integer and bool arrays in these named values, each once, with their paths."""
    found: dict[int, tuple[str, Array]] = {}
    for name, value in named:
        for path, part in zip(_paths(value, name), flatten(value)[0], strict=True):
            array = part.data if isinstance(part, Tensor) else part
            if isinstance(array, np.ndarray) and array.dtype.kind in "iub" and _can_change(array):
                found.setdefault(_address(array), (path, array))
    return list(found.values())


def _leaves(
    function: Callable[..., Any], arguments: Any, keywords: Any
) -> tuple[list[Any], dict[str, Any], list[str]]:
    """Return the arguments with leaves in place of floats and copies of other arrays, and the arguments' names."""
    own = getattr(function, "forward", None)  # present if `function` is a module
    names: list[str] = []
    try:
        signature = inspect.signature(own if callable(own) else function)
        signature.bind(*arguments, **keywords)
        for parameter in signature.parameters.values():
            if parameter.kind is parameter.VAR_POSITIONAL:
                names += [f"{parameter.name}[{i}]" for i in range(len(arguments) - len(names))]
            elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                names.append(parameter.name)
    except ValueError:  # a C function without a signature
        pass
    except TypeError as problem:
        name = getattr(function, "__name__", type(function).__name__)
        raise TypeError(f"{name} does not take these arguments: {problem}.") from None
    labels = [*names, *[f"argument {i}" for i in range(len(names), len(arguments))]]
    given = [_leaf(value, label) for value, label in zip(arguments, labels, strict=False)]
    return given, {name: _leaf(value, name) for name, value in keywords.items()}, labels


def _leaf(value: Any, name: str) -> Any:
    leaves, rebuild = flatten(value)
    new: list[Any] = []
    for path, part in zip(_paths(value, name), leaves, strict=True):
        label = name if len(leaves) == 1 else path
        kind = part.dtype.kind if isinstance(part, (np.ndarray, np.generic)) else "f" if isinstance(part, float) else ""
        if kind in ("f", "c"):
            new.append(Tensor(np.array(part), name=label))
        else:
            new.append(part.copy() if isinstance(part, np.ndarray) else part)
    return rebuild(new)


def _paths(value: Any, name: str) -> list[str]:
    """Return a path for each leaf of nested containers: ``params.W``, ``params[0].b``, ``params['two words']``."""
    parts = children(value)
    if parts is None:
        return [] if value is None else [name]
    listed = isinstance(value, (list, tuple)) and not hasattr(value, "_fields")
    fields = getattr(value, "_fields", list(parts))
    steps = [f".{step}" if isinstance(step, str) and step.isidentifier() and not listed else f"[{step!r}]"
             for step in fields]  # fmt: skip
    return [path for step, part in zip(steps, parts.values(), strict=True) for path in _paths(part, name + step)]


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


def _can_change(array: Any) -> bool:
    """Whether one entry of an array can be written: the array is not broadcast, and its memory belongs to NumPy."""
    if not isinstance(array, np.ndarray) or not array.size or 0 in array.strides:
        return False
    owner: Any = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    return bool(array.flags.writeable or owner.flags.writeable or (owner.base is None and owner.flags.owndata))


@contextmanager
def _making_writeable(array: Array) -> Iterator[None]:
    """Make an array, and the arrays that it is a view of, writeable inside a block."""
    closed = []
    part: Any = array
    while isinstance(part, np.ndarray):
        closed.append(part)
        part = part.base
    closed = [part for part in closed if not part.flags.writeable]
    for part in reversed(closed):
        part.flags.writeable = True
    try:
        yield
    finally:
        for part in closed:
            part.flags.writeable = False
