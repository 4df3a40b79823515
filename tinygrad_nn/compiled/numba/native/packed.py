"""Products of a few rows with one matrix, again and again: it is packed once, where BLAS does so in each call.

A packed matrix is cut into tiles of some columns, each row by row. A block of the result, some rows of one tile, stays
in registers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .build import kernel

VECTOR = 64  # bytes; what a register does not hold becomes two
# As many as leave registers for the rest: of 32 there are 16 sums, of 16, which hold half as much, 8.
VECTORS, ROWS = (2, 8) if get_host_cpu_features().get("avx512f") else (1, 4)


def _block(rows: int) -> Any:
    """Return a function that makes some rows of one tile of a product: arrays from an entry on, and their row's length.

    It is written as LLVM has it, since a loop over entries keeps no sums in registers.
    """

    def typed(context: Any, a: Any, a_0: Any, lda: Any, b: Any, b_0: Any, k: Any, c: Any, c_0: Any, ldc: Any) -> Any:
        n = types.intp
        return types.void(a, n, n, b, n, n, c, n, n), _code(rows)

    return intrinsic(typed)


def _code(rows: int) -> Callable[..., Any]:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (a, b, c), (a_0, b_0, c_0), (lda, k, ldc) = args[::3], args[1::3], args[2::3]
        kind = signature.args[0]
        number = context.get_data_type(kind.dtype)
        size = kind.dtype.bitwidth // 8
        lanes = VECTOR // size
        vector = ir.VectorType(number, lanes)
        spread = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
        starts = [
            builder.gep(context.make_array(t)(context, builder, x).data, [start])
            for t, x, start in zip(signature.args[::3], (a, b, c), (a_0, b_0, c_0), strict=True)
        ]

        def whole(n: int) -> Any:
            return ir.Constant(k.type, n)

        def vectors(start: Any, at: Any) -> list[Any]:
            places = [builder.gep(start, [builder.add(at, whole(v * lanes))]) for v in range(VECTORS)]
            return [builder.bitcast(place, vector.as_pointer()) for place in places]

        zero = ir.Constant(vector, [0.0] * lanes)
        sums = [[cgutils.alloca_once(builder, vector) for _ in range(VECTORS)] for _ in range(rows)]
        for row in sums:
            for place in row:
                builder.store(zero, place)
        with cgutils.for_range(builder, k) as loop:
            these = [
                builder.load(x, align=size) for x in vectors(starts[1], builder.mul(loop.index, whole(VECTORS * lanes)))
            ]
            for r in range(rows):
                x = builder.load(builder.gep(starts[0], [builder.add(builder.mul(lda, whole(r)), loop.index)]))
                x = builder.shuffle_vector(
                    builder.insert_element(zero, x, ir.Constant(ir.IntType(32), 0)), zero, spread
                )
                for place, y in zip(sums[r], these, strict=True):
                    product = builder.fmul(x, y, flags=("contract",))
                    builder.store(builder.fadd(builder.load(place), product, flags=("contract",)), place)
        for r in range(rows):
            for place, total in zip(vectors(starts[2], builder.mul(ldc, whole(r))), sums[r], strict=True):
                builder.store(builder.load(total), place, align=size)
        return context.get_dummy_value()

    return code


_rows, _row = _block(ROWS), _block(1)


@kernel(apart=True)
def pack(a: Any, flipped: Any, packed: Any) -> None:
    """Pack a matrix, or its transpose, into an array of the size of both and as many more columns as fill the tiles."""
    k, n = (a.shape[1], a.shape[0]) if flipped else a.shape
    of_row, of_column = (1, k) if flipped else (n, 1)
    wide = VECTOR * VECTORS // a.itemsize
    a, flat = a.reshape(-1), packed.reshape(-1)
    for start in range(0, n, wide):
        some = min(wide, n - start)
        for row in range(k):
            place = (start * k) + row * wide
            for j in range(some):
                flat[place + j] = a[row * of_row + (start + j) * of_column]
            for j in range(some, wide):
                flat[place + j] = 0


@kernel()
def times(a: Any, packed: Any, out: Any, lo: Any, hi: Any) -> None:
    """Write some rows of a b for a packed b; rows of `out` have room for whole tiles."""
    wide = VECTOR * VECTORS // a.itemsize
    k, n = a.shape[1], out.shape[1]
    a, b, c = a.reshape(-1), packed.reshape(-1), out.reshape(-1)
    for start in range(0, n - wide + 1, wide):
        row = lo
        while row + ROWS <= hi:
            _rows(a, row * k, k, b, start * k, k, c, row * n + start, n)
            row += ROWS
        while row < hi:
            _row(a, row * k, k, b, start * k, k, c, row * n + start, n)
            row += 1
