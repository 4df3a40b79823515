"""All steps of a `scan`, or of its gradient, as one function of machine code.

This is possible if the body of the loop consists of kernels only. A step reads its rows and carries from arrays with an
entry for each step, and writes the next carry and its results there. So nothing is allocated in a step, and Python code
runs once for a whole loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..numpy import replay
from ..program.arguments import Names
from ..program.values import VIEWS, Op, Program, Value, append_cast, last_number
from .calls import replace_calls
from .expressions import NAMES, code_of
from .fuse import fuse
from .machine import OPTIONS, Machine, load_source

PLACES = {"row": "t", "tape": "q", "carry": "a", "next": "b"}  # role -> the variable that indexes arrays of all steps
CALLS = frozenset({"kernel", *VIEWS})


class LoopCode:
    """The code of a loop whose body consists of kernels only.

    Args:
        program: the program of the body; its operations are changed.
        roles: for each of its inputs ``"fixed"``, ``"row"`` of this step, ``"tape"`` (a row, counted from the last one
            backwards) or ``"carry"``; for each output ``"row"`` or ``"carry"``, the carries in the order of the inputs.

    Attributes:
        program: the program with its operations grouped into kernels.
        fits: whether it consists of kernels and views only, so that this code can be used.
    """

    bodies: tuple[Any, ...] = ()

    def __init__(self, program: Program, roles: tuple[Sequence[str], Sequence[str]]) -> None:
        self.inputs, (self.input_roles, self.output_roles) = program.inputs, roles
        kinds = [x.dtype for x in [*program.inputs, *program.outputs]]
        self.fits = all(isinstance(kind, np.dtype) and code_of(kind) in NAMES for kind in kinds) and not replay.POISON
        self.fits = self.fits and all(x.size for x in [*program.inputs, *program.outputs])
        if not self.fits:
            return
        self.program = fuse(own_outputs(replace_calls(program)), fuse_single=True)
        packed = any(x.op is not None and x.op.kind in VIEWS for x in self.program.outputs)  # results in a shared array
        self.fits = not packed and all(op.kind in CALLS for op in self.program.ops)
        if not self.fits:
            return
        self.names = Names()
        self.writer = Writer(self.program, self.names)
        self.lines = self.writer.source()
        self.parallel = self.writer.parallel

    def compiled(self) -> Callable[..., None]:
        """Return a function that runs all steps.

        It is called as ``f(n, first, stride, keep, *arrays)`` with the arrays of the inputs, and of those outputs that
        are rows. Step s of n takes row ``first + stride * s``. With `keep` the arrays of carries have an entry for each
        step; without it they have two entries, used in turn.
        """
        standing = {name: x for name, x in self.names.objects.items() if isinstance(x, np.ndarray)}
        names, types, head = ["n", "first", "stride", "keep"], ["i8"] * 4, []
        carries = []
        for value, role in zip(self.inputs, self.input_roles, strict=True):
            names.append(f"g{value.slot}")
            types.append(_type(value, role != "fixed"))
            head.append(f"i{value.slot} = {_entry(names[-1], value, role)}")
            if role == "carry":
                carries.append(names[-1])
        left = iter(carries)
        for place, (value, role) in enumerate(zip(self.program.outputs, self.output_roles, strict=True)):
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
        steps, more = load_source(text)["steps"], [x.reshape(x.shape or 1) for x in standing.values()]

        def run(n: int, first: int, stride: int, keep: bool, *arrays: Any) -> None:
            steps(n, first, stride, int(keep), *arrays, *more)

        return run


class Writer(replay.Writer):
    """Writes the calls of kernels in a step; an array without axes is passed as a vector of one entry."""

    def __init__(self, program: Program, names: Names) -> None:
        super().__init__(program, names)
        self.checked, self.machine = False, Machine(rows=True)

    def write(self, op: Op) -> None:
        """Append the call of a kernel; views need no line, since kernels read through them."""
        if op.kind == "kernel":
            super().write(op)

    def output(self, value: Value) -> None:
        """Name an output; the step assigns that name to a part of an array of all steps."""
        self.code[value] = f"o{value.number}"


def own_outputs(program: Program) -> Program:
    """Return the program with copies of outputs that are inputs, constants, views or equal to another output."""
    seen, outputs, ops = set(), [], list(program.ops)
    for x in program.outputs:
        if x.kind != "made" or x in seen or (x.op is not None and x.op.kind in VIEWS):
            x = append_cast(ops, "copy", x, x.dtype)
            x.number = last_number(ops) + 1  # names of outputs differ by it
        seen.add(x)
        outputs.append(x)
    return Program(ops, program.inputs, outputs)


def _type(x: Any, stacked: bool) -> str:
    axes = len(x.shape) + stacked or 1
    return f"{code_of(x.dtype)}[{', '.join([':'] * (axes - 1) + ['::1'])}]"


def _entry(name: str, value: Value, role: str) -> str:
    """Return the expression of this step's part of an array."""
    if role == "fixed":
        return name
    at = PLACES[role]
    return f"{name}[{at}]" if value.shape else f"{name}[{at} : {at} + 1]"
