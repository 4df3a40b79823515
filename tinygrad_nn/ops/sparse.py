r"""Products and linear systems with sparse matrices, by SciPy: the pattern is fixed, the entries are an argument."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitive import Array, Primitive, declare


class Pattern:
    """The positions of a sparse matrix's entries, and its last factorization, which the backward pass uses again.

    Attributes:
        rows, cols: the row and column index of each entry; entries with the same indices add up.
        shape: the shape of the matrix.
    """

    def __init__(self, rows: Array, cols: Array, shape: tuple[int, int], of: Pattern | None = None) -> None:
        self.rows, self.cols, self.shape = rows, cols, shape
        self._of = of
        self._last: tuple[Any, Any] | None = None

    @property
    def T(self) -> Pattern:
        """The pattern of the transpose, which shares the factorization."""
        return self._of or Pattern(self.cols, self.rows, self.shape[::-1], of=self)

    def matrix(self, data: Array) -> Any:
        """Return the sparse matrix with these entries, in SciPy's compressed column format."""
        from scipy.sparse import coo_array

        return coo_array((data, (self.rows, self.cols)), shape=self.shape).tocsc()

    def solve(self, data: Array, b: Array) -> Array:
        """Return the solution x of A x = b for the matrix A with these entries."""
        if self._of is not None:
            return _solved(self._of.factors(data), b, "T")
        return _solved(self.factors(data), b, "N")

    def factors(self, data: Array) -> Any:
        """Return the factorization of the matrix with these entries; it is cached until the entries change.

        Raises:
            LinAlgError: the matrix is singular.
        """
        last = self._last
        if last is None or last[0].dtype != data.dtype or not np.array_equal(last[0], data):
            from scipy.sparse.linalg import splu

            try:
                last = self._last = data.copy(), splu(self.matrix(data))
            except RuntimeError as error:
                raise np.linalg.LinAlgError(
                    f"the sparse matrix of shape {self.shape} is singular: {error}. Does each of its rows and columns "
                    "have an entry?"
                ) from None
        return last[1]


def _solved(factors: Any, b: Array, trans: str) -> Array:
    """Solve with a factorization and right sides that may each be real or complex."""
    kind = factors.L.dtype
    if b.dtype.kind == "c" and kind.kind != "c":
        parts = (np.ascontiguousarray(part, dtype=kind) for part in (b.real, b.imag))
        real, imag = (factors.solve(part, trans) for part in parts)
        return real + 1j * imag
    return factors.solve(np.ascontiguousarray(b, dtype=kind), trans)


def _at_entries(x: Array, y: Array, pattern: Pattern) -> Array:
    """Return the entries of x yᵀ at the positions of the pattern, summed over columns if x and y are matrices."""
    product = x[pattern.rows] * y[pattern.cols]
    return product if product.ndim == 1 else product.sum(axis=-1)

# fmt: off
def _sparse_matmul(x: Array, y: Array, pattern: Pattern) -> Array:
    """Return the product of the sparse matrix with entries x, (entries,), and y, (n,) or (n, k)."""
    return pattern.matrix(x) @ y

sparse_matmul: Primitive = declare(_sparse_matmul, r"A \, y, \; A_{r_k c_k} = x_k",
    (lambda g, out, x, y, pattern: _at_entries(g, y, pattern),   r"g_{r_k} \cdot y_{c_k}"),
    (lambda g, out, x, y, pattern: sparse_matmul(x, g, pattern=pattern.T), r"A^T g"))


def _sparse_solve(x: Array, y: Array, pattern: Pattern) -> Array:
    """Return the solution of the system with the sparse matrix of entries x, (entries,), and right side y."""
    return pattern.solve(x, y)

sparse_solve: Primitive = declare(_sparse_solve, r"A^{-1} y, \; A_{r_k c_k} = x_k",
    (lambda g, out, x, y, pattern: -_at_entries(sparse_solve(x, g, pattern=pattern.T), out, pattern),
                                                                 r"-(A^{-T} g)_{r_k} \cdot out_{c_k}"),
    (lambda g, out, x, y, pattern: sparse_solve(x, g, pattern=pattern.T), r"A^{-T} g"))
# fmt: on
