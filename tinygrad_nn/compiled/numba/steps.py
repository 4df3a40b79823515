"""All steps of a `scan`, or of its way back, as one function of machine code.

It is made where a body is nothing but kernels. A step reads what is closed over as it is, rows and carries where they
lie in arrays of all steps, and writes the next ones there: nothing is allocated, and Python runs once a loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..numpy import replay
from ..program.arguments import Names
from ..program.values import VIEWS, Op, Program, Value
from .calls import opened
from .expressions import NAMES, code_of
from .fuse import fuse
from .machine import OPTIONS, Machine, load

PLACES = {"row": "t", "tape": "q", "carry": "a", "next": "b"}  # where in the arrays of all steps each of these lies
CALLS = frozenset({"kernel", *VIEWS})


class Steps:
    """The code of a loop whose body is nothing but kernels.

    Args:
        program: of the body, whose operations are changed.
        roles: of each of its inputs: ``"fixed"``, ``"row"`` of this step, ``"tape"`` (a row, from the last one back) or
            ``"carry"``; and of each output, ``"row"`` or ``"carry"``, these in the order of the inputs.

    Attributes:
        program: gathered into kernels, as far as it is.
        fits: whether these are all.
    """

    bodies: tuple[Any, ...] = ()

    def __init__(self, program: Program, roles: tuple[Sequence[str], Sequence[str]]) -> None:
        self.inputs, (self.given, self.made) = program.inputs, roles
        kinds = [x.dtype for x in [*program.inputs, *program.outputs]]
        self.fits = all(isinstance(kind, np.dtype) and code_of(kind) in NAMES for kind in kinds) and not replay.POISON
        self.fits = self.fits and all(x.size for x in [*program.inputs, *program.outputs])
        if not self.fits:
            return
        self.program = fuse(own_outputs(opened(program)), whole=True)
        packed = any(x.op is not None and x.op.kind in VIEWS for x in self.program.outputs)  # in one array of many
        self.fits = not packed and all(op.kind in CALLS for op in self.program.ops)
        if not self.fits:
            return
        self.names = Names()
        self.writer = Writer(self.program, self.names)
        self.lines = self.writer.source()
        self.parallel = self.writer.parallel

    def every(self) -> list[replay.Writer]:
        """Return what wrote this program."""
        return [self.writer]

    def compiled(self) -> Callable[..., None]:
        """Return a function of numbers of steps and rows, the arrays of the inputs, and of the outputs that are rows.

        It is called as ``f(n, first, stride, keep, *arrays)``: step s takes row ``first + stride s``, and its carry is
        the s-th of its array, or without `keep` one of two in turn.
        """
        standing = {name: x for name, x in self.names.objects.items() if isinstance(x, np.ndarray)}
        names, types, head = ["n", "first", "stride", "keep"], ["i8"] * 4, []
        carries = []
        for value, role in zip(self.inputs, self.given, strict=True):
            names.append(f"g{value.slot}")
            types.append(_type(value, role != "fixed"))
            head.append(f"i{value.slot} = {_entry(names[-1], value, role)}")
            if role == "carry":
                carries.append(names[-1])
        left = iter(carries)
        for place, (value, role) in enumerate(zip(self.program.outputs, self.made, strict=True)):
            if role == "row":
                names.append(f"h{place}")
                types.append(_type(value, True))
            array = next(left) if role == "carry" else names[-1]
            head.append(f"o{value.number} = {_entry(array, value, 'next' if role == 'carry' else role)}")
        names += standing
        types += [_type(x, False) for x in standing.values()]
        body = ["t = first + stride * s", "q = n - 1 - s", "a = s if keep else s % 2",
                "b = s + 1 if keep else (s + 1) % 2", *head, *self.lines]  # fmt: skip
        text = "".join("\n" + whole.replace("{name}", name) for whole, name in self.writer.machine.functions.items())
        text += f'\n@kept_as("void({", ".join(types)})", {OPTIONS})\ndef steps({", ".join(names)}):\n'
        text += "\n".join(["    for s in range(n):", *(f"        {line}" for line in body)]) + "\n"
        steps, more = load(text)["steps"], [x.reshape(x.shape or 1) for x in standing.values()]

        def run(n: int, first: int, stride: int, keep: bool, *arrays: Any) -> None:
            steps(n, first, stride, int(keep), *arrays, *more)

        return run


class Writer(replay.Writer):
    """The calls of kernels in a step, where an array of no axes is a row of one entry."""

    def __init__(self, program: Program, names: Names) -> None:
        super().__init__(program, names)
        self.checked, self.machine = False, Machine(rows=True)

    def write(self, op: Op) -> None:
        """Append the call of a kernel; these look through views by themselves."""
        if op.kind == "kernel":
            super().write(op)

    def output(self, value: Value) -> None:
        """Let an output lie where the step is told."""
        self.code[value] = f"o{value.number}"


def own_outputs(program: Program) -> Program:
    """Return the program with outputs that are arrays of their own: no inputs, constants, views or one another."""
    seen, outputs, ops = set(), [], list(program.ops)
    for k, x in enumerate(program.outputs):
        if x.kind != "made" or x in seen or (x.op is not None and x.op.kind in VIEWS):
            op = Op("cast", "copy", None, [x], (x.dtype.str,))
            x = Value(len(program.ops) + 1 + k, "made", x.shape, x.dtype, op)
            op.outs = [x]
            ops.append(op)
        seen.add(x)
        outputs.append(x)
    return Program(ops, program.inputs, outputs)


def _type(x: Any, stacked: bool) -> str:
    axes = len(x.shape) + stacked or 1
    return f"{code_of(x.dtype)}[{', '.join([':'] * (axes - 1) + ['::1'])}]"


def _entry(name: str, value: Value, role: str) -> str:
    """Return the part of an array that is of this step."""
    if role == "fixed":
        return name
    at = PLACES[role]
    return f"{name}[{at}]" if value.shape else f"{name}[{at} : {at} + 1]"
