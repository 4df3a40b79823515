"""Decides which operations of a program become native matrix products, some fused with a parameter update."""

from __future__ import annotations

from math import isqrt
from typing import Any

import numpy as np

from ...program.values import Arg, Op, Program, Value, users_of
from . import of_stacks
from .row import LEAST, Native, contiguous, same_known_dtype, use_native

PRODUCT = 16_384  # a product of at most so many multiplications is faster inside a kernel than as a call of BLAS
PARALLEL = 2**19  # a product of at most so many is faster on one core than on several


def products(program: Program) -> Program:
    """Return the program with large products as native calls; ``w - eta (a @ b)`` becomes one call."""
    users = users_of(program.ops)
    returned = {x for x in program.outputs if isinstance(x, Value)}
    gone: set[Op] = set()
    for op in program.ops:
        if of_stacks.supports(op):
            use_native(op, of_stacks.STACK)
        if not is_large(op):
            continue
        chain = _update(op, users, returned)
        if chain is None:
            _make_native(op, PRODUCT_OF, [])
        else:
            scaled, moved, w, eta = chain
            moved.args, moved.attrs = [*op.args], ()
            _make_native(moved, UPDATE, [w, eta])
            gone |= {op, scaled}
    return Program([op for op in program.ops if op not in gone], program.inputs, program.outputs)


def is_large(op: Op) -> bool:
    """Tell whether an operation is a product of two matrices that is large enough for a native call."""
    if (
        op.kind != "matmul"
        or not same_known_dtype(op)
        or any(not isinstance(x, Value) or len(x.shape) != 2 for x in op.args)
    ):
        return False
    (n, k), m = op.args[0].shape, op.args[1].shape[1]
    return n * k * m > PRODUCT and all(_contiguous_base(x) is not None for x in op.args)


def _contiguous_base(x: Value) -> tuple[Value, bool] | None:
    """Return a C-contiguous value and whether x is its transpose (else x itself), or None if x is neither."""
    if contiguous(x):
        return x, False
    op = x.op
    if op is not None and op.kind == "transpose" and op.attrs[0] == (1, 0) and contiguous(op.args[0]):
        return op.args[0], True
    return None


def _make_native(op: Op, native: Native, extra_args: list[Arg]) -> None:
    from .build import THREADS

    (n, k), m = op.args[0].shape, op.args[1].shape[1]
    (a, a_flipped), (b, b_flipped) = (_contiguous_base(x) for x in op.args)  # type: ignore[misc]
    op.args = [a, b, *extra_args]
    use_native(op, native)
    op.name = native.function
    op.extra = a_flipped, b_flipped, THREADS if n * k * m > PARALLEL else 1


def _update(op: Op, users: dict[Value, list[Op]], returned: set[Value]) -> tuple[Op, Op, Value, Any] | None:
    """Return the operations ``eta * G`` and ``w - eta * G`` of a product G, with w and eta, if G has no other use."""
    scaled = _only_user(op.out, users, returned)
    if scaled is None or scaled.function is not np.multiply:
        return None
    eta = next((x for x in scaled.args if x is not op.out), None)
    if not (eta.dtype is float if isinstance(eta, Value) else isinstance(eta, (int, float))):
        return None
    moved = _only_user(scaled.out, users, returned)
    if moved is None or moved.function is not np.subtract or moved.args[1] is not scaled.out:
        return None
    w = moved.args[0]
    if not contiguous(w) or w.shape != op.out.shape or w.dtype != op.out.dtype or moved.out.dtype != w.dtype:
        return None
    return scaled, moved, w, eta


def _only_user(x: Value, users: dict[Value, list[Op]], returned: set[Value]) -> Op | None:
    """Return the only operation that uses a value, if it is a ufunc, or None."""
    found = users.get(x, [])
    alone = len(found) == 1 and x not in returned and found[0].kind == "ufunc"
    return found[0] if alone and sum(arg is x for arg in found[0].args) == 1 else None



def _work(op: Op) -> int:
    a, b = op.args[:2]
    (n, m), k = op.out.shape, isqrt(a.size * b.size // op.out.size)
    return n * m * k if min(n, m, k) >= LEAST else 0


PRODUCT_OF = Native("products", "product", work=_work)
UPDATE = Native("products", "update", work=_work, over=2)
