"""`Native`, a row of the table of native functions: which function does an operation, when, with which arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from ...program.values import VIEWS, Arg, Op, Value

APART = 32  # unused numbers between the sums of two threads, so that these do not share a cache line
LEAST, SMALL = 16, 10**6  # with fewer rows or columns, or at most so many multiplications, BLAS is faster
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def all_arguments(op: Op) -> list[Arg]:
    """Return the arguments of an operation unchanged."""
    return list(op.args)


def no_extras(op: Op) -> tuple[Any, ...]:
    """Return an empty tuple: the function takes no numbers, or no memory."""
    return ()


@dataclass(frozen=True)
class Native:
    """How an operation is done by a function ``f(*arrays, *results, *memory, *numbers)`` that is compiled by numba.

    Attributes:
        module, function: the function's module in this package, and its name.
        supports: tells whether the function can do an operation whose arrays are all float32 or all float64.
        arrays: returns the array arguments for an operation; each is passed C-contiguous (other views are copied).
        memory: returns the shapes of work arrays of the same dtype; their entries mean nothing before and after.
        numbers: returns the other arguments; metadata of the primitive are in ``op.call_meta``.
        work: returns the number of multiplications in its largest matrix product.
        over: the place among `arrays` of one that the only result may overwrite, -1 for none.
    """

    module: str
    function: str
    supports: Callable[[Op], bool] = lambda op: True
    arrays: Callable[[Op], list[Arg]] = all_arguments
    memory: Callable[[Op], tuple[tuple[int, ...], ...]] = no_extras
    numbers: Callable[[Op], tuple[Any, ...]] = no_extras
    work: Callable[[Op], int] = lambda op: 0
    over: int = -1

    def compiled(self) -> Any:
        """Import and return the function."""
        return getattr(import_module(f"{__package__}.{self.module}"), self.function)


def available() -> bool:
    """Tell whether SciPy, whose BLAS these functions call, and threadpoolctl are installed."""
    return find_spec("scipy") is not None and find_spec("threadpoolctl") is not None


def use_native(op: Op, native: Native) -> None:
    """Turn an operation into one of kind ``native``, which is done by this function."""
    dtype = op.out.dtype
    op.extra, op.work = (*native.numbers(op),), native.work(op)
    outs = [Value(-1, "made", shape, dtype, op=op) for shape in native.memory(op)]
    op.kind, op.function, op.args, op.outs = "native", native, native.arrays(op), [*op.outs, *outs]


def same_known_dtype(op: Op) -> bool:
    """Tell whether all floating-point arrays of an operation have one dtype, float32 or float64, and none is empty."""
    arrays = [x for x in [*op.values, *op.outs] if not x.weak]
    kinds = {x.dtype for x in arrays if x.dtype.kind == "f"}
    return len(kinds) == 1 and kinds <= set(FLOATS) and all(x.size for x in arrays)


def contiguous(value: Any) -> bool:
    """Tell whether a value is known to be C-contiguous."""
    if not isinstance(value, Value):
        return False
    op = value.op
    if op is None or op.kind not in VIEWS:
        return True
    return op.kind == "reshape" and contiguous(op.args[0])
