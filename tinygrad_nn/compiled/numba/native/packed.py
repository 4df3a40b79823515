"""Repeated products of a few rows with the same matrix: it is packed once, while BLAS would pack it in each call.

A packed matrix is cut into tiles of a few columns, each stored row by row. A block of the result (a few rows of one
tile) is accumulated in registers.
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

VECTOR = 64  # bytes of a vector; without registers of this size LLVM uses two
NEAR = 16  # rows that are read in turns: each may lie in another memory page, and a processor remembers only a few
# Of 32 registers 16 hold sums. Without AVX-512 there are 16 registers of half the size, of which 8 hold sums.
VECTORS, ROWS = (2, 8) if get_host_cpu_features().get("avx512f") else (1, 4)


def _block(rows: int) -> Any:
    """Return an intrinsic that writes `rows` rows of one tile of alpha a b into c, or adds them to c.

    A matrix is given by an array, the place of the first entry, and the distances to the next row and column. It is
    generated as LLVM code, since LLVM would not keep the sums of an ordinary loop in registers.
    """

    def typed(
        context: Any, a: Any, a_0: Any, of_row: Any, of_column: Any, b: Any, b_0: Any, k: Any,
        c: Any, c_0: Any, ldc: Any, alpha: Any, add: Any,
    ) -> Any:  # fmt: skip
        n = types.intp
        return types.void(a, n, n, n, b, n, n, c, n, n, c.dtype, types.boolean), _code(rows)

    return intrinsic(typed)


def _code(rows: int) -> Callable[..., Any]:
    # Return the function that generates the LLVM code of `_block`.
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, _, of_row, of_column, _, _, k, _, _, ldc, alpha, add = args
        size, lanes, vector = _vectors(context, signature.args[7])
        from_a, from_b, to_c = [_entry(context, builder, signature, args, i) for i in (0, 4, 7)]

        def constant(n: int) -> Any:
            return ir.Constant(k.type, n)

        def vectors(start: Any, at: Any) -> list[Any]:
            places = [builder.gep(start, [builder.add(at, constant(v * lanes))]) for v in range(VECTORS)]
            return [builder.bitcast(place, vector.as_pointer()) for place in places]

        def spread(x: Any) -> Any:
            first = builder.insert_element(zero, x, ir.Constant(ir.IntType(32), 0))
            return builder.shuffle_vector(first, zero, ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes))

        zero = ir.Constant(vector, [0.0] * lanes)
        sums = [[cgutils.alloca_once(builder, vector) for _ in range(VECTORS)] for _ in range(rows)]
        for row in sums:
            for place in row:
                builder.store(zero, place)
        with cgutils.for_range(builder, k) as loop:
            these = [
                builder.load(x, align=size) for x in vectors(from_b, builder.mul(loop.index, constant(VECTORS * lanes)))
            ]
            column = builder.mul(of_column, loop.index)
            for r in range(rows):
                x = spread(builder.load(builder.gep(from_a, [builder.add(builder.mul(of_row, constant(r)), column)])))
                for place, y in zip(sums[r], these, strict=True):
                    product = builder.fmul(x, y, flags=("contract",))
                    builder.store(builder.fadd(builder.load(place), product, flags=("contract",)), place)
        factor = spread(alpha)
        kind = ir.FunctionType(vector, [vector] * 3)
        fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{lanes}f{8 * size}")
        for r in range(rows):
            for place, total in zip(vectors(to_c, builder.mul(ldc, constant(r))), sums[r], strict=True):
                with builder.if_then(add):  # an explicit fma: rounded once, wherever LLVM inlines this code
                    made = builder.call(fma, [factor, builder.load(total), builder.load(place, align=size)])
                    builder.store(made, place, align=size)
                with builder.if_then(builder.not_(add)):
                    builder.store(builder.fmul(factor, builder.load(total)), place, align=size)
        return context.get_dummy_value()

    return code


def _vectors(context: Any, array: Any) -> tuple[int, int, Any]:
    """Return the bytes of an array's entry, how many entries a vector holds, and LLVM's type of such a vector."""
    size = array.dtype.bitwidth // 8
    return size, VECTOR // size, ir.VectorType(context.get_data_type(array.dtype), VECTOR // size)


def _entry(context: Any, builder: Any, signature: Any, args: Any, i: int) -> Any:
    """Return the address of the entry of an array, argument i, whose place is the next argument."""
    return builder.gep(context.make_array(signature.args[i])(context, builder, args[i]).data, [args[i + 1]])


@intrinsic  # type: ignore[untyped-decorator]
def _transpose_square(context: Any, a: Any, a_0: Any, lda: Any, out: Any, out_0: Any, ldo: Any) -> Any:
    """Write the transpose of a square part of a matrix, as many rows and columns as a vector has entries."""
    n = types.intp
    return types.void(a, n, n, out, n, n), _turn


def _turn(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    # Generate the LLVM code of `_transpose_square`.
    size, lanes, vector = _vectors(context, signature.args[0])
    start, end = [_entry(context, builder, signature, args, i) for i in (0, 3)]
    lda, ldo = args[2], args[5]

    def row(of: Any, stride: Any, r: int) -> Any:
        return builder.bitcast(builder.gep(of, [builder.mul(stride, ir.Constant(stride.type, r))]), vector.as_pointer())

    rows = [builder.load(row(start, lda, r), align=size) for r in range(lanes)]
    distance = lanes // 2
    while distance:  # exchange the off-diagonal quarters of the square, then those of each quarter, and so on
        for r in range(lanes):
            if not r & distance:
                up, low = rows[r], rows[r + distance]
                upper = [lane if not lane & distance else lanes + lane - distance for lane in range(lanes)]
                lower = [lane + distance if not lane & distance else lanes + lane for lane in range(lanes)]
                rows[r], rows[r + distance] = [
                    builder.shuffle_vector(up, low, ir.Constant(ir.VectorType(ir.IntType(32), lanes), order))
                    for order in (upper, lower)
                ]
        distance //= 2
    for r in range(lanes):
        builder.store(rows[r], row(end, ldo, r), align=size)
    return context.get_dummy_value()


@intrinsic  # type: ignore[untyped-decorator]
def _line(context: Any, a: Any, a_0: Any, out: Any, out_0: Any) -> Any:
    """Copy as many numbers as a vector holds."""
    return types.void(a, types.intp, out, types.intp), _copy


def _copy(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    size, _, vector = _vectors(context, signature.args[0])
    start, end = [
        builder.bitcast(_entry(context, builder, signature, args, i), vector.as_pointer()) for i in (0, 2)
    ]
    builder.store(builder.load(start, align=size), end, align=size)
    return context.get_dummy_value()


block, _row = _block(ROWS), _block(1)


@kernel(no_alias=True)
def pack_part(b: Any, start: Any, ldb: Any, flipped: Any, k: Any, n: Any, wide: Any, packed: Any, at: Any) -> None:
    """Pack k rows and n columns of a matrix, or its transpose, from the entry at `start` on, into `packed` from `at`.

    Tiles have `wide` columns, a whole number of vectors.
    """
    lanes = VECTOR // b.itemsize
    of_row, of_column = (1, ldb) if flipped else (ldb, 1)
    some = k if flipped else NEAR
    for first in range(0, k, some):
        for left in range(0, n, wide):
            row, last = first, first + some if first + some < k else k
            here, place = start + left * of_column, at + left * k
            if left + wide <= n:
                while flipped and row + lanes <= last:
                    for v in range(0, wide, lanes):
                        _transpose_square(b, here + row + v * ldb, ldb, packed, place + row * wide + v, wide)
                    row += lanes
                while not flipped and row < last:
                    for v in range(0, wide, lanes):
                        _line(b, here + row * ldb + v, packed, place + row * wide + v)
                    row += 1
            while row < last:
                for j in range(wide):
                    x = b[here + row * of_row + j * of_column] if left + j < n else b.dtype.type(0)
                    packed[place + row * wide + j] = x
                row += 1


@kernel()
def pack_matrix(a: Any, flipped: Any, packed: Any) -> None:
    """Pack a matrix, or its transpose, into an array with as many more columns as fill the last tile."""
    k, n = (a.shape[1], a.shape[0]) if flipped else a.shape
    pack_part(a.reshape(-1), 0, a.shape[1], flipped, k, n, VECTOR * VECTORS // a.itemsize, packed.reshape(-1), 0)


@kernel()
def multiply_packed(a: Any, packed: Any, out: Any, lo: Any, hi: Any) -> None:
    """Write rows `lo` to `hi` of a b for a packed b; the rows of `out` have room for whole tiles."""
    wide = VECTOR * VECTORS // a.itemsize
    k, n = a.shape[1], out.shape[1]
    a, b, c = a.reshape(-1), packed.reshape(-1), out.reshape(-1)
    for start in range(0, n - wide + 1, wide):
        row = lo
        while row + ROWS <= hi:
            block(a, row * k, k, 1, b, start * k, k, c, row * n + start, n, 1.0, False)
            row += ROWS
        while row < hi:
            _row(a, row * k, k, 1, b, start * k, k, c, row * n + start, n, 1.0, False)
            row += 1
