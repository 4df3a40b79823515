r"""Sparse matrices of a fixed pattern: `matmul` and `solve`, with gradients for the entries and the dense operand.

A matrix is given by its nonzero entries, their row and column indices, and its shape, like SciPy's ``coo_array``;
entries with the same indices add up. SciPy does the computation and is imported on first use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .ops.plain import as_arrays, as_operand
from .ops.sparse import Pattern, sparse_matmul, sparse_solve
from .primitive import Array


def matmul(data: Array, indices: tuple[Array, Array], shape: tuple[int, int], x: Array) -> Array:
    r"""Return the product of a sparse matrix with a vector or with the columns of a matrix.

    .. math:: A x, \quad A_{r_k c_k} = d_k

    Args:
        data: the entries of the matrix, shape (entries,).
        indices: ``(rows, cols)`` of the entries, integers of shape (entries,).
        shape: ``(m, n)`` of the matrix.
        x: a vector (n,) or a matrix (n, k).

    Returns:
        The product, of shape (m,) or (m, k).

    Raises:
        ValueError: the shapes do not fit, or an index lies outside.

    Example:
        >>> print(matmul(np.array([1.0, 2.0, 3.0]), ([0, 0, 1], [0, 2, 1]), (2, 3), np.array([1.0, 10.0, 100.0])))
        [201.  30.]
    """
    return _run(sparse_matmul, "matmul", data, indices, shape, x)


def solve(data: Array, indices: tuple[Array, Array], shape: tuple[int, int], b: Array) -> Array:
    r"""Return the solution of a sparse linear system for one or several right sides; matrix and sides may be complex.

    .. math:: x = A^{-1} b, \quad A_{r_k c_k} = d_k, \qquad \lambda = A^{-T} \bar x, \quad
        \bar d_k = -\lambda_{r_k} x_{c_k}, \quad \bar b = \lambda

    One factorization (SuperLU) is used for the solution, the gradient, and further systems with the same matrix.

    Args:
        data: the entries of the matrix, shape (entries,).
        indices: ``(rows, cols)`` of the entries, integers of shape (entries,).
        shape: ``(n, n)`` of the matrix.
        b: the right side, (n,) or (n, k).

    Returns:
        The solution x, of the shape of b.

    Raises:
        ValueError: the matrix is not square, the shapes do not fit, or an index lies outside.
        LinAlgError: the matrix is singular.

    Example:
        >>> from tinygrad_nn import grad
        >>> places, b = ([0, 1, 1], [0, 0, 1]), np.array([1.0, 1.0])
        >>> print(grad(lambda d: solve(d, places, (2, 2), b).sum())(np.array([2.0, 1.0, 4.0])))
        [-0.1875  -0.125   -0.03125]
    """
    if np.shape(shape) == (2,) and shape[0] != shape[1]:
        raise ValueError(f"sparse.solve needs a square matrix; its shape is {tuple(shape)}.")
    return _run(sparse_solve, "solve", data, indices, shape, b)


def _run(operation: Callable[..., Any], name: str, data: Any, indices: Any, shape: Any, other: Any) -> Any:
    """Check the arguments of `matmul` or `solve` and run the primitive."""
    if np.shape(shape) != (2,):
        raise ValueError(f"sparse.{name}: shape={shape!r:.60}; it needs the numbers of rows and columns, e.g. (3, 3).")
    if not isinstance(indices, (tuple, list)) or len(indices) != 2:
        raise ValueError(f"sparse.{name} needs the positions as a pair, (rows, cols); it got {indices!r:.60}.")
    rows, cols = (np.asarray(as_arrays(part)) for part in indices)
    m, n = (int(length) for length in shape)
    data, other = map(as_operand, (data, other))
    count = data.shape
    if len(count) != 1 or rows.shape != count or cols.shape != count:
        raise ValueError(
            f"sparse.{name} needs one row and one column for each number; data has shape {count}, rows {rows.shape}, "
            f"cols {cols.shape}. A matrix of SciPy has them as A.tocoo(): data, row, col."
        )
    for places, length, which in ((rows, m, "rows"), (cols, n, "cols")):
        if places.size and (places.dtype.kind not in "iu" or places.min() < 0 or places.max() >= length):
            raise ValueError(f"sparse.{name} needs whole numbers from 0 to {length - 1} as {which} for shape {(m, n)}.")
    if other.ndim not in (1, 2) or other.shape[0] != (n if name == "matmul" else m):
        raise ValueError(f"sparse.{name}: a matrix of shape {(m, n)} does not fit an array of shape {other.shape}.")
    if data.dtype.kind not in "fc":
        data = data.astype(np.float64)
    return operation(data, other, pattern=Pattern(rows, cols, (m, n)))
