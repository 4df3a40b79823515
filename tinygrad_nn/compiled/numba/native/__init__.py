"""Hand-written numba functions for large operations: products, convolution, pooling, norms, recurrence, attention.

The source of a kernel is generated for each plan. But an operation such as a convolution needs more than a loop over
entries: blocks that stay in the cache, calls of BLAS, work shared by threads. The functions for these are written here
by hand, and compiled once for each dtype. They come in pairs of modules: for example `images` contains the loops, and
`of_images` says which operations of a program these can do, and with which arguments. `TABLE` lists the functions for
primitives; `choose` goes through a program and replaces operations that a function supports.

- `build` compiles the functions and shares the cores between them and BLAS; `spread` runs a function on threads.
- `products` (of two matrices), chosen by `matrix_products`; `stacks` (of many), chosen by `of_stacks`; `blocked` and
  `packed` multiply faster than BLAS in some cases.
- `images` (convolution), `pools`, `norms`, `recurrent` and `attention`; `mathematics` has their exp and tanh.
- `row` has the class `Native`, a row of the table.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ...program.values import Op, Program
from . import matrix_products, of_attention, of_images, of_norms, of_recurrent
from .row import SMALL, Native, same_known_dtype, use_native

TABLE: dict[str, Native] = {**of_attention.ROWS, **of_images.ROWS, **of_norms.ROWS, **of_recurrent.ROWS}
"""Name of a primitive, with ``_back`` for its joint rule -> the function that does it."""


def choose(program: Program) -> Program:
    """Return the program with operations replaced by native functions, if one supports them."""
    for op in program.ops:
        native = TABLE.get(op.name) if op.kind == "call" else None
        if native is not None and op.call_meta is not None and same_known_dtype(op) and native.supports(op):
            use_native(op, native)
    return matrix_products.products(program)


def dtypes_of_products(ops: Iterable[Op]) -> list[np.dtype[Any]]:
    """Return the dtypes of the operations that contain large matrix products."""
    return list(dict.fromkeys(op.out.dtype for op in ops if op.work > SMALL))
