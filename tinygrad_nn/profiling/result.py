"""The result of a profile: what every operation took, did and could take at least, summed in several ways."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ..display import picture
from ..graph.view import GraphView
from .table import amount, called, seconds, table

WAYS = ("operation", "scope", "line")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as it ran, or one of its rules.

    Attributes:
        name: of the primitive.
        kind: ``"forward"``, ``"back"`` for the rule of an argument, ``"compiled"`` for a call of compiled code,
            ``"update"`` for that of the parameters by an optimizer.
        argument: of a rule, the argument whose gradient it makes; ``None`` for all at once.
        seconds: the median over the runs; of a rule with the sum over broadcast axes after it.
        floor: the seconds that it takes at least on this machine: bytes over bandwidth, or arithmetic over its peak;
            no more than it took.
        read, written: bytes; allocated: bytes of the arrays that it makes and leaves; arrays: how many these are.
        temporary: bytes that it held besides at once, as tracemalloc saw them, 0 below 4 kB.
        flops: additions and multiplications.
        shape, dtype: of the result; mixed: whether floats of several dtypes met.
        scope: the path of the layer, or ``None``; line: file and line of the code that called it, or ``None``.
        node: the number of its node in the profile's `view`, or ``None``.
    """

    name: str
    kind: str
    argument: int | None
    seconds: float
    floor: float
    read: int
    written: int
    allocated: int
    arrays: int
    temporary: int
    flops: int
    shape: tuple[int, ...]
    dtype: str
    mixed: bool
    scope: str | None
    line: tuple[str, int] | None
    node: int | None

    @property
    def bytes(self) -> int:
        """Bytes read and written."""
        return self.read + self.written


@dataclass(frozen=True, slots=True)
class Sum:
    """Operations that have something in common.

    Attributes:
        name: what they have in common.
        calls: how many forwards there are.
        forward, back: seconds; floor: seconds that both take at least.
        bytes: read and written; allocated: of new arrays; arrays: how many; temporary: bytes held besides, summed.
        flops: additions and multiplications.
    """

    name: str
    calls: int
    forward: float
    back: float
    floor: float
    bytes: int
    allocated: int
    arrays: int
    temporary: int
    flops: int

    @property
    def new(self) -> int:
        """Bytes of new memory, left or only held meanwhile."""
        return self.allocated + self.temporary

    @property
    def seconds(self) -> float:
        """Forward and back."""
        return self.forward + self.back


@dataclass(frozen=True, slots=True)
class Compiling:
    """What compiling would give.

    Attributes:
        backend: ``"numpy"`` or ``"numba"``.
        seconds: of the fastest call; before: of the fastest that is not compiled, measured in turns with it.
        first: seconds of the first call, which compiles; ``None`` for an estimate.
        estimated: whether `seconds` is an estimate.
        part: what was compiled, if it was not the whole call; why: why that, or an estimate, stands for the whole.
    """

    backend: str
    seconds: float
    before: float
    first: float | None = None
    estimated: bool = False
    part: str = ""
    why: str = ""

    @property
    def share(self) -> float:
        """What a compiled call takes of one that is not."""
        return self.seconds / self.before


@dataclass(frozen=True)
class Profile:
    """Where the time and memory of a function go: printed tables of 80 columns, in a notebook with a picture.

    Attributes:
        name: of the function.
        operations: each `Operation`, in the order in which they ran.
        seconds: of a call that is not watched, the median; `parts` are its summands, by their names.
        quartiles: between which half of these calls were.
        runs: how many calls were watched; other: how many of them did other operations, and do not count.
        summed: bytes that are read and written where the gradients that arrive at one value are added up.
        compiling: what compiling would give, a `Compiling` for each backend.
        view: the graph of the first walk back, ``None`` where no graph was made.
        advice: what the numbers say, and what to do about it, as sentences.
    """

    name: str
    operations: tuple[Operation, ...]
    seconds: float
    parts: dict[str, float]
    quartiles: tuple[float, float]
    runs: int
    other: int
    summed: int
    compiling: tuple[Compiling, ...]
    view: GraphView | None = field(repr=False)
    advice: tuple[str, ...] = ()

    @property
    def python(self) -> float:
        """Seconds of Python between operations, forward and back."""
        return self.parts.get(BETWEEN, 0.0) + self.parts.get(WALKING, 0.0)

    def by(self, way: str = "operation") -> list[Sum]:
        """Return the sums over operations of one ``"operation"``, ``"scope"`` or ``"line"``, the longest first.

        Raises:
            ValueError: another way.
        """
        if way not in WAYS:
            raise ValueError(f"by({way!r}): a profile is summed by {', '.join(map(repr, WAYS))}.")
        keys: dict[str, Callable[[Operation], Any]] = {
            "operation": lambda one: one.name, "scope": lambda one: one.scope, "line": lambda one: one.line,
        }  # fmt: skip
        groups: dict[Any, list[Operation]] = {}
        for one in self.operations:
            groups.setdefault(keys[way](one), []).append(one)
        sums = [total(called(key), found) for key, found in groups.items()]
        return sorted(sums, key=lambda one: -one.seconds)

    def draw(self, path: Any = None, by: str = "time", **options: Any) -> Any:
        """Draw the graph: each operation tells what it and its rules take, and at least, and has the colour of it.

        Args:
            path: also save it there.
            by: what decides the colours: ``"time"`` forward and back, ``"bytes"`` read and written, or the bytes of
                ``"new"`` memory.
            **options: of `viz.draw`.

        Returns:
            A `viz.Drawing`.

        Raises:
            ValueError: no graph was made, or another measure.
        """
        from ..viz import draw

        if by not in COLOURS:
            raise ValueError(f"draw(by={by!r}): a profile is coloured by {', '.join(map(repr, COLOURS))}.")
        if self.view is None:
            raise ValueError("this function made no graph, so there is nothing to draw; gradients need Tensor([...]).")
        plain: dict[str, Any] = {"values": False, "gradients": False, "color": "time" if by == "time" else "bytes"}
        plain |= {"measures": Measures(self, by), "title": f"{self.name}: {seconds(self.seconds)} a call"}
        return draw(self.view, path, **{**plain, **options})

    def __str__(self) -> str:
        return table(self)

    __repr__ = __str__
    _repr_html_ = picture


class Measures(dict[int, float]):
    """What the operations of a graph take, by the numbers of their nodes, for a drawing.

    Attributes:
        title: what is measured.
    """

    def __init__(self, found: Profile, by: str) -> None:
        super().__init__()
        self.title, of = COLOURS[by]
        self._parts: dict[int, list[Operation]] = {}
        for one in found.operations:
            if one.node is not None:
                self._parts.setdefault(one.node, []).append(one)
        self.update((number, of(total("", parts))) for number, parts in self._parts.items())

    def told(self, numbers: Iterable[int]) -> tuple[str, ...]:
        """Return lines about the operations of these nodes: times, the least of them, bytes, and new arrays."""
        one = total("", (part for number in numbers for part in self._parts.get(number, ())))
        made = f"{one.arrays} new array{'' if one.arrays == 1 else 's'}"
        return (
            f"forward {seconds(one.forward)}, back {seconds(one.back)}", f"at least {seconds(one.floor)}",
            f"{amount(one.bytes)} moved, {amount(one.new)} in {made}" if one.new else f"{amount(one.bytes)} moved",
        )  # fmt: skip


COLOURS: dict[str, tuple[str, Callable[[Sum], float]]] = {
    "time": ("time forward and back, as a share of all operations", lambda one: one.seconds),
    "bytes": ("bytes read and written, forward and back", lambda one: one.bytes),
    "new": ("bytes of new memory, forward and back", lambda one: one.new),
}


GRADIENTS = "loss and gradients"  # the part of a step that is compiled where the whole cannot be
BETWEEN, WALKING = "Python between operations", "Python of the walk back"
AROUND = "before, after and around them"
SUMS = "sums of gradients, at their floor"


def total(name: str, operations: Iterable[Operation]) -> Sum:
    """Return the sum over operations."""
    found = list(operations)
    back = [one for one in found if one.kind == "back"]
    return Sum(
        name,
        sum(one.kind != "back" for one in found),
        sum(one.seconds for one in found if one.kind != "back"),
        sum(one.seconds for one in back),
        sum(one.floor for one in found),
        sum(one.bytes for one in found),
        sum(one.allocated for one in found),
        sum(one.arrays for one in found),
        sum(one.temporary for one in found),
        sum(one.flops for one in found),
    )
