"""Matrix products: BLAS calls, of which each thread makes its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from .build import Parted, kernel

_gemm = types.ExternalFunction(  # that of numba, which looks up the BLAS of SciPy
    "numba_xxgemm",
    types.intc(
        types.char, types.char, types.char, types.intp, types.intp, types.intp, types.voidptr, types.voidptr,
        types.intp, types.voidptr, types.intp, types.voidptr, types.voidptr, types.intp,
    ),
)  # fmt: skip


@kernel()
def gemm(
    a_flipped: Any, b_flipped: Any, m: Any, n: Any, k: Any, alpha: Any, a: Any, lda: Any, b: Any, ldb: Any,
    beta: Any, c: Any, ldc: Any,
) -> None:  # fmt: skip
    """Write c = alpha a b + beta c, with a (m, k), b (k, n) and c (m, n), for arrays that start at the first entry.

    Their rows are lda, ldb and ldc entries apart; a flipped one lies there transposed.
    """
    factors = np.empty(2, c.dtype)
    factors[0], factors[1] = alpha, beta
    # BLAS counts columns where NumPy counts rows, so it computes the transpose of c from those of b and a.
    _gemm(
        115 if c.itemsize == 4 else 100, 116 if b_flipped else 110, 116 if a_flipped else 110, n, m, k,
        factors.ctypes, b.ctypes, ldb, a.ctypes, lda, factors[1:].ctypes, c.ctypes, ldc,
    )  # fmt: skip


@kernel()
def _part(a_flipped: Any, b_flipped: Any, alpha: Any, a: Any, b: Any, beta: Any, c: Any, p: Any, parts: Any) -> None:
    """Do one part of a product: some rows of c, or some columns if it has more of these."""
    m, n = c.shape
    k = a.shape[0] if a_flipped else a.shape[1]
    lda, ldb = a.shape[1], b.shape[1]
    a, b, out = a.reshape(-1), b.reshape(-1), c.reshape(-1)
    if m >= n:
        lo, hi = p * m // parts, (p + 1) * m // parts
        a = a[lo if a_flipped else lo * lda :]
        gemm(a_flipped, b_flipped, hi - lo, n, k, alpha, a, lda, b, ldb, beta, out[lo * n :], n)
    else:
        lo, hi = p * n // parts, (p + 1) * n // parts
        b = b[lo * ldb if b_flipped else lo :]
        gemm(a_flipped, b_flipped, m, hi - lo, k, alpha, a, lda, b, ldb, beta, out[lo:], n)


def _product(a: Any, b: Any, c: Any, a_flipped: Any, b_flipped: Any, p: Any, parts: Any) -> None:
    """Write c = a b; a flipped one is given transposed."""
    _part(a_flipped, b_flipped, 1.0, a, b, 0.0, c, p, parts)


def _update(
    a: Any, b: Any, w: Any, eta: Any, out: Any, a_flipped: Any, b_flipped: Any, p: Any, parts: Any
) -> None:  # fmt: skip
    """Write w - eta a b, without an array for the product; `out` may be `w` itself."""
    m, n = w.shape
    if out.ctypes.data != w.ctypes.data:
        rows = m >= n
        top, bottom = (p * m // parts, (p + 1) * m // parts) if rows else (0, m)
        left, right = (0, n) if rows else (p * n // parts, (p + 1) * n // parts)
        for i in range(top, bottom):
            for j in range(left, right):
                out[i, j] = w[i, j]
    _part(a_flipped, b_flipped, -eta, a, b, 1.0, out, p, parts)


product, update = Parted(_product), Parted(_update)
