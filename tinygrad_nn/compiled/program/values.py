"""What a trace writes down: values, and the operations that make them, in the order in which they ran.

An operation is of few kinds, each with one meaning in NumPy: ``ufunc``, ``where``, ``cast``, ``reduce``, ``matmul``,
``vdot``; ``reshape``, ``transpose``, ``broadcast`` and ``slice``, which only look at their argument in another way;
``number``, which is arithmetic of Python numbers; ``draw``, which asks a random generator; and ``call``, which is any
other function, run as it is. A plan for numba adds ``kernel``, a group of operations, ``native``, a function of the
package `native`, and in kernels ``gather``, ``scatter`` and ``join``: see the module `calls`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

VIEWS = frozenset({"reshape", "transpose", "broadcast", "slice"})
Arg = Any  # a Value, or a plain Python number written into the operation


class Value:
    """An array, a generator or a Python number that exists in every run: its shape and dtype, and where it is from.

    Attributes:
        number: its place in the order of birth.
        kind: ``"input"``, ``"constant"``, or ``"made"`` by an operation.
        shape, dtype: of the array; for a Python number ``()`` and its type.
        op: the operation that makes it, ``None`` for inputs and constants.
        data: of a constant, the array.
        slot: of an input, its place among the leaves of the arguments.
        label: the name that a person gave it.
    """

    __slots__ = ("data", "dtype", "kind", "label", "number", "op", "shape", "slot")

    def __init__(
        self, number: int, kind: str, shape: tuple[int, ...], dtype: Any,
        op: Op | None = None, data: Any = None, slot: int = -1, label: str | None = None,
    ) -> None:  # fmt: skip
        self.number, self.kind, self.shape, self.dtype = number, kind, shape, dtype
        self.op, self.data, self.slot, self.label = op, data, slot, label

    @property
    def weak(self) -> bool:
        """Whether it is a Python number, whose dtype gives way to that of an array."""
        return isinstance(self.dtype, type) and self.dtype is not np.random.Generator

    @property
    def size(self) -> int:
        """The number of entries."""
        n = 1
        for length in self.shape:
            n *= length
        return n

    @property
    def nbytes(self) -> int:
        """The bytes that its entries take."""
        return int(self.size * self.dtype.itemsize) if isinstance(self.dtype, np.dtype) else 0

    def __repr__(self) -> str:
        return f"v{self.number}"


@dataclass(eq=False, slots=True)
class Op:
    """One operation: its kind, the function behind it, its arguments, its results, and what else determines them.

    Attributes:
        kind: see the module.
        name: shown when a plan is printed.
        function: the ufunc, or what a ``call``, ``number`` or ``draw`` runs.
        args: values and plain numbers.
        attrs: axes, shapes and the like; hashable, so that equal operations are found.
        outs: the values it makes; more than one only for a ``call``.
        pure: whether two runs on equal arguments are one.
        scope: the layer that was running.
        given: metadata of the primitive that a ``call`` is, ``None`` if it is none, or takes arrays as metadata.
        extra: what a ``native`` function gets besides arrays.
        nest: of a ``call``, its arguments by position and by name, with values where arrays were.
        work: of a ``native``, the multiplications of the largest product of matrices in it.
    """

    kind: str
    name: str
    function: Any
    args: list[Arg]
    attrs: tuple[Any, ...] = ()
    outs: list[Value] = field(default_factory=list)
    pure: bool = True
    scope: str | None = None
    given: dict[str, Any] | None = None
    extra: tuple[Any, ...] = ()
    nest: Any = None
    work: int = 0

    @property
    def out(self) -> Value:
        """The only result."""
        return self.outs[0]

    @property
    def values(self) -> list[Value]:
        """The arguments that are values."""
        return [arg for arg in self.args if isinstance(arg, Value)]

    def __repr__(self) -> str:
        return f"{self.outs} = {self.name}({', '.join(map(repr, self.args))})"


@dataclass(slots=True)
class Program:
    """A traced call: operations in order, the inputs they start from, and what is returned.

    Attributes:
        ops: in an order in which they can run.
        inputs: one value per leaf of the arguments that the operations use.
        outputs: per leaf of the result a `Value`, or the object itself where it does not depend on the arguments.
        whose: per leaf of the result the argument that it is, or the number of the first leaf that is the same object.
        augmented: file and line of the first ``x += y`` on an array, if there is one.
    """

    ops: list[Op]
    inputs: list[Value]
    outputs: list[Any]
    whose: list[Any] = field(default_factory=list)
    augmented: tuple[Any, ...] = ()


def elements(arg: Arg) -> tuple[int, ...]:
    """Return the shape of an argument."""
    return arg.shape if isinstance(arg, Value) else np.shape(arg)
