"""The classes of a recorded program: values, and the operations that make them, in the order in which they ran.

There are few kinds of operations, each with one meaning in NumPy: ``ufunc``, ``where``, ``cast``, ``reduce``,
``matmul``, ``vdot``; ``reshape``, ``transpose``, ``broadcast`` and ``slice``, whose results are views;
``number``, arithmetic of Python numbers; ``draw``, a draw from a random generator; and ``call``, any other function,
called as it is. A plan for numba adds ``kernel``, a group of operations; ``native``, a function of the package
`native`; and inside kernels ``gather``, ``scatter`` and ``join``, see the module `calls`.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

VIEWS = frozenset({"reshape", "transpose", "broadcast", "slice"})
Arg = Any  # a Value, or a plain Python number that is part of the operation


class Value:
    """The name of an array, Python number or generator in a program: its shape and dtype, and where it comes from.

    Attributes:
        number: its place in the order in which values are made.
        kind: ``"input"``, ``"constant"``, or ``"made"`` by an operation.
        shape, dtype: of the array; for a Python number ``()`` and its type.
        op: the operation that makes it, ``None`` for inputs and constants.
        data: for a constant, the array.
        slot: for an input, its place among the leaves of the arguments.
    """

    __slots__ = ("data", "dtype", "kind", "number", "op", "shape", "slot")

    def __init__(
        self, number: int, kind: str, shape: tuple[int, ...], dtype: Any,
        op: Op | None = None, data: Any = None, slot: int = -1,
    ) -> None:  # fmt: skip
        self.number, self.kind, self.shape, self.dtype = number, kind, shape, dtype
        self.op, self.data, self.slot = op, data, slot

    @property
    def weak(self) -> bool:
        """Whether it is a Python number; combined with an array, the array's dtype decides."""
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
    """One operation: its kind, function, arguments, results and options.

    Attributes:
        kind: see the module's docstring.
        name: shown when a plan is printed.
        function: the ufunc, or the function that a ``call``, ``number`` or ``draw`` runs.
        args: values and plain numbers.
        attrs: options such as axes and shapes; hashable, so that equal operations are found.
        outs: the values it makes; more than one only for a ``call``.
        pure: whether equal arguments give equal results and nothing else happens, so that it may be merged or dropped.
        scope: the name of the layer that was running.
        call_meta: for a ``call`` of a primitive, its metadata; ``None`` if they contain arrays, or for other functions.
        extra: further arguments of a ``native`` function that are not arrays.
        nest: for a ``call``, its arguments by position and by name, with values in place of arrays.
        work: for a ``native``, the number of multiplications in its largest matrix product.
    """

    kind: str
    name: str
    function: Any
    args: list[Arg]
    attrs: tuple[Any, ...] = ()
    outs: list[Value] = field(default_factory=list)
    pure: bool = True
    scope: str | None = None
    call_meta: dict[str, Any] | None = None
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

    def copied(self, args: list[Arg]) -> Op:
        """Return a copy with these arguments, which makes the same values."""
        return Op(self.kind, self.name, self.function, args, self.attrs, self.outs, self.pure, self.scope,
                  self.call_meta, self.extra, self.nest, self.work)  # fmt: skip

    def __repr__(self) -> str:
        return f"{self.outs} = {self.name}({', '.join(map(repr, self.args))})"


@dataclass(slots=True)
class Program:
    """A recorded call: its operations, inputs and outputs.

    Attributes:
        ops: the operations, in an order in which they can run.
        inputs: one value for each leaf of the arguments that may differ from call to call.
        outputs: for each leaf of the result a `Value`, or the object itself if it does not depend on the arguments.
        whose: for each leaf of the result the argument that it is identical to, else the number of the first leaf of
            the result that is the same object.
        augmented: file and line of the first ``x += y`` on an array, if there is one.
    """

    ops: list[Op]
    inputs: list[Value]
    outputs: list[Any]
    whose: list[Any] = field(default_factory=list)
    augmented: tuple[Any, ...] = ()

    def copied(self) -> Program:
        """Return a copy to generate code of, which changes operations; the values now belong to the copy."""
        ops = [op.copied(list(op.args)) for op in self.ops]
        number_results(ops)
        return Program(ops, self.inputs, self.outputs)


def users_of(ops: Sequence[Op]) -> dict[Value, list[Op]]:
    """Return for each value the operations that read it, in order; one that reads it twice stands there twice."""
    users: dict[Value, list[Op]] = {}
    for op in ops:
        for arg in op.values:
            users.setdefault(arg, []).append(op)
    return users


def append_cast(ops: list[Op], name: str, x: Value, dtype: np.dtype[Any]) -> Value:
    """Append the cast of an array to a dtype, a copy if it has that dtype, and return its result, a new value."""
    op = Op("cast", name, None, [x], (dtype.str,))
    op.outs.append(Value(0, "made", x.shape, dtype, op))
    ops.append(op)
    return op.out


def viewed_value(value: Value, made: Container[Value] = ()) -> Value:
    """Return the base of a view: a value among `made`, or one that is no view."""
    while value not in made and value.op is not None and value.op.kind in VIEWS:
        value = value.op.args[0]
    return value


def number_results(ops: Sequence[Op]) -> None:
    """Number the results of the operations from 1, and set the operation that makes each."""
    number = 0
    for op in ops:
        for out in op.outs:
            number += 1
            out.number, out.op = number, op


def last_number(ops: Sequence[Op]) -> int:
    """Return the largest number of a result."""
    return max((out.number for op in ops for out in op.outs), default=0)


def argument_shape(arg: Arg) -> tuple[int, ...]:
    """Return the shape of an argument."""
    return arg.shape if isinstance(arg, Value) else np.shape(arg)
