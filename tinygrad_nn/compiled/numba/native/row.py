"""A row of the table: which function does an operation of a program, when, and what it gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from ...program.values import Arg, Op, Value

APART = 32  # numbers between what two threads add up, which else share a line of the cache, and wait for it
LEAST, SMALL = 16, 10**6  # rows and columns, and multiplications, up to which a product is quicker in BLAS
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def everything(op: Op) -> list[Arg]:
    """Return the arguments of an operation as they are."""
    return list(op.args)


def nothing(op: Op) -> tuple[Any, ...]:
    """Return no numbers, or no memory."""
    return ()


@dataclass(frozen=True)
class Native:
    """How an operation is done by a function ``f(*arrays, *results, *memory, *numbers)`` that is compiled by numba.

    Attributes:
        module, function: where it is, under this package.
        fits: tells whether it can do an operation; its arrays are float32 or float64, all the same.
        arrays: the arguments it gets, each C-contiguous (a view whose entries lie otherwise is copied first).
        memory: shapes of arrays of the same dtype that it works in, and whose entries are nothing before and after.
        numbers: what else it gets; metadata of the primitive are in ``op.given``.
        work: how many multiplications its largest product of matrices has.
        over: the place among `arrays` of one that the only result may lie in, -1 for none.
    """

    module: str
    function: str
    fits: Callable[[Op], bool] = lambda op: True
    arrays: Callable[[Op], list[Arg]] = everything
    memory: Callable[[Op], tuple[tuple[int, ...], ...]] = nothing
    numbers: Callable[[Op], tuple[Any, ...]] = nothing
    work: Callable[[Op], int] = lambda op: 0
    over: int = -1

    def compiled(self) -> Any:
        """Return the function."""
        return getattr(import_module(f"{__package__}.{self.module}"), self.function)


def available() -> bool:
    """Tell whether what these functions need besides numba is installed: SciPy, whose BLAS they call."""
    return find_spec("scipy") is not None and find_spec("threadpoolctl") is not None


def run_by(op: Op, native: Native) -> None:
    """Let an operation be done by a function of ours."""
    dtype = op.out.dtype
    op.extra, op.work = (*native.numbers(op),), native.work(op)
    outs = [Value(-1, "made", shape, dtype, op=op) for shape in native.memory(op)]
    op.kind, op.function, op.args, op.outs = "native", native, native.arrays(op), [*op.outs, *outs]


def alike(op: Op) -> bool:
    """Tell whether all arrays are of one dtype that the functions here are for, and none is empty."""
    arrays = [x for x in [*op.values, *op.outs] if not x.weak]
    kinds = {x.dtype for x in arrays if x.dtype.kind == "f"}
    return len(kinds) == 1 and kinds <= set(FLOATS) and all(x.size for x in arrays)


def contiguous(value: Any) -> bool:
    """Tell whether the entries of a value lie in memory in their order."""
    if not isinstance(value, Value):
        return False
    op = value.op
    if op is None or op.kind not in ("reshape", "transpose", "broadcast", "slice"):
        return True
    return op.kind == "reshape" and contiguous(op.args[0])
