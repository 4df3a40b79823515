"""Products of two matrices in blocks that stay in the caches, for processors on which this is faster than BLAS.

A block of the second matrix and some rows of the first are packed (copied into the order in which they are read), and
multiplied tile by tile (Goto and van de Geijn, 2008). The terms of an entry are added up in the same order, however
many threads there are.

The function is compiled once for each dtype, separately, and called by its address. Compiled into every function that
multiplies matrices, it would be optimized again for each of them.
"""

from __future__ import annotations

from ctypes import addressof, c_int64
from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import add_symbol, get_host_cpu_name
from numba import types
from numba.extending import intrinsic

from .build import HALVED, kernel
from .packed import ROWS, VECTOR, VECTORS, block, pack_part
from .row import LEAST, SMALL

DEEP, BROAD, HIGH = 512, 1024, 64  # rows and columns of b that are packed at a time, and rows of a
AHEAD = VECTORS > 1 and get_host_cpu_name() not in HALVED  # whether this is faster than BLAS: with 64-byte registers
WASTE = 1.2  # how much larger than the result its tiles together may be
ADDRESSES = {"f": c_int64(), "d": c_int64()}  # where machine code reads the address of `multiply`, 0 if not compiled
for _char, _cell in ADDRESSES.items():
    add_symbol(f"tinygrad_nn_multiply_{_char}", addressof(_cell))


@kernel(no_alias=True)
def _copy(a: Any, a_0: Any, lda: Any, m: Any, n: Any, out: Any, out_0: Any, ldo: Any) -> None:
    for i in range(m):
        for j in range(n):
            out[out_0 + i * ldo + j] = a[a_0 + i * lda + j]


@kernel()
def multiply(
    a_flipped: Any, b_flipped: Any, m: Any, n: Any, k: Any, alpha: Any, a: Any, lda: Any, b: Any, ldb: Any,
    add: Any, c: Any, ldc: Any,
) -> None:  # fmt: skip
    """Write alpha a b into c, or add it to c; the arguments are those of `products.gemm`."""
    lanes = VECTOR // c.itemsize
    wide = lanes * VECTORS
    # One array for packed b, packed a, and a tile that exceeds the result's edge; it begins at a cache line.
    deep = (k + (k + DEEP - 1) // DEEP - 1) // ((k + DEEP - 1) // DEEP)  # depth of blocks of nearly equal size
    broad, high = min(n, BROAD) + wide - 1, min(m, HIGH) + lanes - 1
    of_b, of_a = deep * (broad - broad % wide), deep * (high - high % lanes)
    packed = np.empty(of_b + of_a + (ROWS + 1) * wide, c.dtype)
    tiles = (-packed.ctypes.data % VECTOR) // c.itemsize
    panels, edge = tiles + of_b, tiles + of_b + of_a
    for left in range(0, n, BROAD):
        columns = n - left if n - left < BROAD else BROAD
        for first in range(0, k, deep):
            depth = k - first if k - first < deep else deep
            corner = left * ldb + first if b_flipped else first * ldb + left
            pack_part(b, corner, ldb, b_flipped, depth, columns, wide, packed, tiles)
            adds = add or first > 0
            for top in range(0, m, HIGH):
                rows = m - top if m - top < HIGH else HIGH
                corner = first * lda + top if a_flipped else top * lda + first
                pack_part(a, corner, lda, not a_flipped, depth, rows, lanes, packed, panels)
                for start in range(0, columns, wide):
                    some = columns - start
                    for row in range(0, rows, ROWS):
                        place = (top + row) * ldc + left + start
                        panel = panels + row // lanes * lanes * depth + row % lanes
                        b_at = tiles + start * depth
                        if some >= wide and row + ROWS <= rows:
                            block(packed, panel, 1, lanes, packed, b_at, depth, c, place, ldc, alpha, adds)
                        else:
                            these, those = min(rows - row, ROWS), min(some, wide)
                            if adds:
                                _copy(c, place, ldc, these, those, packed, edge, wide)
                            block(packed, panel, 1, lanes, packed, b_at, depth, packed, edge, wide, alpha, adds)
                            _copy(packed, edge, wide, these, those, c, place, ldc)


def ready(dtype: np.dtype[Any]) -> None:
    """Compile `multiply` for a dtype, or load it from disk, and store its address where machine code reads it."""
    cell = ADDRESSES[dtype.char]
    if AHEAD and not cell.value:
        number = types.float32 if dtype.char == "f" else types.float64
        n, flag, array = types.intp, types.boolean, types.Array(number, 1, "C")
        signature = (flag, flag, n, n, n, number, array, n, array, n, flag, array, n)
        multiply.compile(signature)
        found = multiply.overloads[signature]
        cell.value = found.library.get_pointer_to_function(found.fndesc.llvm_func_name)


@kernel()
def suits(m: Any, n: Any, k: Any, size: Any) -> bool:
    """Tell whether a product of such matrices is faster here than in BLAS, which does not pack small ones."""
    wide = VECTOR * VECTORS // size
    tiles = (m + ROWS - 1) // ROWS * ROWS * ((n + wide - 1) // wide * wide)
    return AHEAD and min(m, n, k) >= LEAST and m * n * k > SMALL and tiles <= WASTE * m * n


@intrinsic  # type: ignore[untyped-decorator]
def multiplied(
    context: Any, a_flipped: Any, b_flipped: Any, m: Any, n: Any, k: Any, alpha: Any, a: Any, lda: Any,
    b: Any, ldb: Any, add: Any, c: Any, ldc: Any,
) -> Any:  # fmt: skip
    """Call `multiply` by its address; return False, and do nothing, if the address is not known."""
    w, flag = types.intp, types.boolean
    return flag(flag, flag, w, w, w, c.dtype, a, w, b, w, flag, c, w), _call


def _call(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    # Generate the LLVM code of `multiplied`.
    name = f"tinygrad_nn_multiply_{'f' if signature.args[-2].dtype.bitwidth == 32 else 'd'}"
    cell = builder.module.globals.get(name) or ir.GlobalVariable(builder.module, ir.IntType(64), name)
    address = builder.load(cell)
    known = builder.icmp_unsigned("!=", address, ir.IntType(64)(0))
    with builder.if_then(known):
        kind = context.call_conv.get_function_type(types.none, signature.args).as_pointer()
        status, _ = context.call_conv.call_function(
            builder, builder.inttoptr(address, kind), types.none, signature.args, args
        )
        with builder.if_then(status.is_error):  # its work array could not be allocated
            context.call_conv.return_status_propagate(builder, status)
    return known
