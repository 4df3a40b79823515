"""Operations that a plan for numba runs as functions of their own: products, convolutions, pooling, recurrence...

What a plan fuses into kernels is written anew for each plan. What is here is written once and compiled once: a row of
`TABLE` says which function does an operation of a program, when, and what it gets.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ...program.values import Op, Program
from . import matrix_products, of_attention, of_images, of_norms, of_recurrent
from .row import SMALL, Native, alike, run_by

TABLE: dict[str, Native] = {**of_attention.ROWS, **of_images.ROWS, **of_norms.ROWS, **of_recurrent.ROWS}
"""Name of a primitive, with ``_back`` for the rule of all its arguments -> how it is done."""


def choose(program: Program) -> Program:
    """Return the program with operations of which a function of ours makes more."""
    for op in program.ops:
        native = TABLE.get(op.name) if op.kind == "call" else None
        if native is not None and op.given is not None and alike(op) and native.fits(op):
            run_by(op, native)
    return matrix_products.products(program)


def dtypes_of_products(ops: Iterable[Op]) -> list[np.dtype[Any]]:
    """Return the dtypes of large matrices that functions of ours multiply."""
    return list(dict.fromkeys(op.out.dtype for op in ops if op.work > SMALL))
