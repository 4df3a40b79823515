"""Matrix products shared by threads: each computes a part of the result, by BLAS or, if faster, by `blocked`."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .blocked import multiplied, suits
from .build import Parted, kernel
from .packed import ROWS

_gemm = types.ExternalFunction(  # numba's own wrapper, which calls the BLAS of SciPy
    "numba_xxgemm",
    types.intc(
        types.char, types.char, types.char, types.intp, types.intp, types.intp, types.voidptr, types.voidptr,
        types.intp, types.voidptr, types.intp, types.voidptr, types.voidptr, types.intp,
    ),
)  # fmt: skip


@intrinsic  # type: ignore[untyped-decorator]
def _address_of(context: Any, x: Any) -> Any:
    """Return the address of a new memory location that contains a number."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(cgutils.alloca_once_value(builder, args[0]), ir.IntType(8).as_pointer())

    return types.voidptr(x), code


@kernel()
def _blas(
    a_flipped: Any, b_flipped: Any, m: Any, n: Any, k: Any, alpha: Any, a: Any, lda: Any, b: Any, ldb: Any,
    add: Any, c: Any, ldc: Any,
) -> None:  # fmt: skip
    # BLAS counts columns where NumPy counts rows, so it computes the transpose of c from those of b and a.
    _gemm(
        115 if c.itemsize == 4 else 100, 116 if b_flipped else 110, 116 if a_flipped else 110, n, m, k,
        _address_of(c.dtype.type(alpha)), b.ctypes, ldb, a.ctypes, lda, _address_of(c.dtype.type(add)), c.ctypes, ldc,
    )  # fmt: skip


@kernel()
def gemm_in(
    blocks: Any, a_flipped: Any, b_flipped: Any, m: Any, n: Any, k: Any, alpha: Any, a: Any, lda: Any, b: Any, ldb: Any,
    add: Any, c: Any, ldc: Any,
) -> None:  # fmt: skip
    """Do what `gemm` does, by `blocked` if `blocks`, else by BLAS; all parts of a product must use the same."""
    if not (blocks and multiplied(a_flipped, b_flipped, m, n, k, alpha, a, lda, b, ldb, add, c, ldc)):
        _blas(a_flipped, b_flipped, m, n, k, alpha, a, lda, b, ldb, add, c, ldc)


@kernel()
def gemm(
    a_flipped: Any, b_flipped: Any, m: Any, n: Any, k: Any, alpha: Any, a: Any, lda: Any, b: Any, ldb: Any,
    add: Any, c: Any, ldc: Any,
) -> None:  # fmt: skip
    """Write alpha a b into c, or with `add` add it to c; shapes are a (m, k), b (k, n) and c (m, n).

    Matrices are given as flat arrays that begin at the first entry, with rows lda, ldb and ldc entries apart. A flipped
    matrix is stored transposed.
    """
    gemm_in(suits(m, n, k, c.itemsize), a_flipped, b_flipped, m, n, k, alpha, a, lda, b, ldb, add, c, ldc)


@kernel()
def part(n: Any, p: Any, parts: Any) -> Any:
    """Return the first row (or column) of part p, and the first one after it, of n in all; multiples of `ROWS`."""
    blocks = (n + ROWS - 1) // ROWS
    return min(p * blocks // parts * ROWS, n), min((p + 1) * blocks // parts * ROWS, n)


@kernel()
def _part(a_flipped: Any, b_flipped: Any, alpha: Any, a: Any, b: Any, add: Any, c: Any, p: Any, parts: Any) -> None:
    """Do one part of a product: some rows of c, or some columns if c has more columns than rows."""
    m, n = c.shape
    k = a.shape[0] if a_flipped else a.shape[1]
    lda, ldb = a.shape[1], b.shape[1]
    blocks = suits(m, n, k, c.itemsize)
    lo, hi = part(m if m >= n else n, p, parts)
    top, left, rows, columns = (lo, 0, hi - lo, n) if m >= n else (0, lo, m, hi - lo)
    a, b, out = a.reshape(-1), b.reshape(-1), c.reshape(-1)[top * n + left :]
    a, b = a[top if a_flipped else top * lda :], b[left * ldb if b_flipped else left :]
    gemm_in(blocks, a_flipped, b_flipped, rows, columns, k, alpha, a, lda, b, ldb, add, out, n)


def _product(a: Any, b: Any, c: Any, a_flipped: Any, b_flipped: Any, p: Any, parts: Any) -> None:
    """Write c = a b; a flipped matrix is stored transposed."""
    _part(a_flipped, b_flipped, 1.0, a, b, False, c, p, parts)


def _update(
    a: Any, b: Any, w: Any, eta: Any, out: Any, a_flipped: Any, b_flipped: Any, p: Any, parts: Any
) -> None:  # fmt: skip
    """Write out = w - eta a b, without an array for the product; `out` may be `w` itself."""
    m, n = w.shape
    if out.ctypes.data != w.ctypes.data:
        lo, hi = part(m if m >= n else n, p, parts)
        top, bottom, left, right = (lo, hi, 0, n) if m >= n else (0, m, lo, hi)
        for i in range(top, bottom):
            for j in range(left, right):
                out[i, j] = w[i, j]
    _part(a_flipped, b_flipped, -eta, a, b, True, out, p, parts)


product, update = Parted(_product), Parted(_update)
