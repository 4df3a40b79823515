"""The result of `profile`: time, least possible time, bytes and arithmetic of each operation, and sums of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ..common.display import picture
from ..graph.summary import bytes_text
from ..graph.view import GraphView
from .table import group_name, table, time_text

WAYS = ("operation", "scope", "line")


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of an operation, or of one of its rules.

    Attributes:
        name: the name of the primitive.
        kind: ``"forward"``, ``"back"`` for a rule, ``"compiled"`` for a call of compiled code, ``"update"`` for an
            optimizer's update of the parameters.
        argument: for a rule, the number of the argument whose gradient it computes; ``None`` for all at once.
        seconds: the median over the runs; for a rule, including the sum over broadcast axes after it.
        floor: the least seconds that it can take on this machine: bytes over bandwidth, or arithmetic over its peak;
            at most `seconds`.
        read, written: bytes; allocated: bytes of the new arrays that it returns; arrays: the number of these arrays.
        temporary: further bytes that it held at the same time, as tracemalloc saw them, 0 below 4 kB.
        flops: additions and multiplications.
        shape, dtype: of the result; mixed: whether floating-point arguments had several dtypes.
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
    """The totals of a group of operations, such as all of one line.

    Attributes:
        name: the name of the group.
        calls: the number of forwards.
        forward, back: seconds; floor: the least seconds that both can take.
        bytes: read and written; allocated: of new arrays; arrays: their number; temporary: of temporary memory.
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
        """Bytes of new memory: of the new arrays and of temporary memory."""
        return self.allocated + self.temporary

    @property
    def seconds(self) -> float:
        """Seconds forward and back."""
        return self.forward + self.back


@dataclass(frozen=True, slots=True)
class Compiling:
    """What compiling would save.

    Attributes:
        backend: ``"numpy"`` or ``"numba"``.
        seconds: of the fastest compiled call; before: of the fastest call that is not compiled, timed in turns with it.
        first: seconds of the first call, which compiles; ``None`` for an estimate.
        estimated: whether `seconds` is an estimate.
        part: what was compiled, if not the whole call; why: the reason for compiling only a part, or estimating.
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
        """The time of a compiled call, divided by that of a call that is not compiled."""
        return self.seconds / self.before


@dataclass(frozen=True)
class Profile:
    """Where the time and memory of a function go; it prints as tables of 80 columns, in a notebook with a picture.

    Attributes:
        name: the name of the function.
        operations: each `Operation`, in the order in which they ran.
        seconds: the median of the calls that are not watched, or, on a busy machine, what the medians of its parts
            add up to; `parts` are its summands by name.
        quartiles: the first and third quartile of the seconds of these calls.
        runs: how many calls were watched; other: how many of them ran different operations, and are ignored.
        summed: bytes read and written to add up gradients that arrive at the same value.
        compiling: what compiling would save, a `Compiling` for each backend.
        view: the graph of the first backward walk, ``None`` if no graph was made.
        advice: sentences that say what takes time and how to change it.
        was_compiled: whether the profiled function is a compiled one; the profile is of the function itself.
        untried: the backends that were not tried, since they take long to compile so many operations.
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
    was_compiled: bool = False
    untried: tuple[str, ...] = ()

    @property
    def python(self) -> float:
        """Seconds spent in Python between operations, forward and back."""
        return self.parts.get(BETWEEN, 0.0) + self.parts.get(WALKING, 0.0)

    def by(self, way: str = "operation") -> list[Sum]:
        """Return totals of the operations grouped by ``"operation"``, ``"scope"`` or ``"line"``, the longest first.

        Raises:
            ValueError: `way` is none of these.
        """
        if way not in WAYS:
            raise ValueError(f"by({way!r}): a profile is summed by {', '.join(map(repr, WAYS))}.")
        keys: dict[str, Callable[[Operation], Any]] = {
            "operation": lambda one: one.name, "scope": lambda one: one.scope, "line": lambda one: one.line,
        }  # fmt: skip
        groups: dict[Any, list[Operation]] = {}
        for one in self.operations:
            groups.setdefault(keys[way](one), []).append(one)
        sums = [total(group_name(key), found) for key, found in groups.items()]
        return sorted(sums, key=lambda one: -one.seconds)

    def draw(self, path: Any = None, by: str = "time", **options: Any) -> Any:
        """Draw the graph: each operation shows its time and least time, with its rules, and is coloured by a measure.

        Args:
            path: also save the drawing to this file.
            by: the measure for the colours: ``"time"`` forward and back, ``"bytes"`` read and written, or the bytes
                of ``"new"`` memory.
            **options: further options of `viz.draw`.

        Returns:
            A `viz.Drawing`.

        Raises:
            ValueError: no graph was made, or `by` is none of these.
        """
        from ..viz import draw

        if by not in COLOURS:
            raise ValueError(f"draw(by={by!r}): a profile is coloured by {', '.join(map(repr, COLOURS))}.")
        if self.view is None:
            raise ValueError(
                "there is no graph to draw: the function neither returned a Tensor that has one nor called backward(). "
                "Profile the loss itself, of arguments that are Tensors: profile(loss, Tensor(x))."
            )
        plain: dict[str, Any] = {"values": False, "gradients": False, "color": "time" if by == "time" else "bytes"}
        plain |= {"measures": Measures(self, by), "title": f"{self.name}: {time_text(self.seconds)} a call"}
        return draw(self.view, path, **{**plain, **options})

    def __str__(self) -> str:
        return table(self)

    __repr__ = __str__
    _repr_html_ = picture


class Measures(dict[int, float]):
    """The measured value of each operation of a graph, by the number of its node, for a drawing.

    Attributes:
        title: what is measured.
    """

    def __init__(self, profile: Profile, by: str) -> None:
        super().__init__()
        self.title, of = COLOURS[by]
        self._parts: dict[int, list[Operation]] = {}
        for one in profile.operations:
            if one.node is not None:
                self._parts.setdefault(one.node, []).append(one)
        self.update((number, of(total("", parts))) for number, parts in self._parts.items())

    def describe(self, numbers: Iterable[int]) -> tuple[str, ...]:
        """Return lines of text about the operations of these nodes: times, least time, bytes and new arrays."""
        one = total("", (part for number in numbers for part in self._parts.get(number, ())))
        made = f"{one.arrays} new array{'' if one.arrays == 1 else 's'}"
        return (
            f"forward {time_text(one.forward)}, back {time_text(one.back)}", f"at least {time_text(one.floor)}",
            f"{bytes_text(one.bytes)} moved, {bytes_text(one.new)} in {made}"
            if one.new else f"{bytes_text(one.bytes)} moved",
        )  # fmt: skip


COLOURS: dict[str, tuple[str, Callable[[Sum], float]]] = {
    "time": ("time forward and back, as a share of all operations", lambda one: one.seconds),
    "bytes": ("bytes read and written, forward and back", lambda one: one.bytes),
    "new": ("bytes of new memory, forward and back", lambda one: one.new),
}


GRADIENTS = "loss and gradients"  # the part of a step that is compiled if the whole cannot be
BETWEEN, WALKING = "Python between operations", "Python of the walk back"
AROUND = "rest of the call, such as making batches"
SUMS = "sums of gradients, at their floor"


def total(name: str, operations: Iterable[Operation]) -> Sum:
    """Return the totals of a group of operations."""
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
