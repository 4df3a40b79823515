"""Rows for sparse matrices, with dense ones as references."""

import numpy as np

from tinygrad_nn import sparse

from .case import Case

ROWS, COLS = np.array([0, 0, 1, 1, 2, 2, 2]), np.array([0, 2, 1, 0, 2, 0, 2])  # one place twice
WIDE = np.array([0, 3, 1, 2, 3, 0, 1])


def dense(data, cols, shape):
    A = np.zeros(shape, data.dtype)
    np.add.at(A, (ROWS, cols), data)
    return A


def _sparse():
    for sides in ((3,), (3, 2)):
        yield Case("sparse_solve", lambda d, b: sparse.solve(d, (ROWS, COLS), (3, 3), b), ((7,), sides), (1.0, 2.0),
                   reference=lambda d, b: np.linalg.solve(dense(d, COLS, (3, 3)), b), complex=True)  # fmt: skip
    for sides in ((4,), (4, 2)):
        yield Case("sparse_matmul", lambda d, x: sparse.matmul(d, (ROWS, WIDE), (3, 4), x), ((7,), sides),
                   reference=lambda d, x: dense(d, WIDE, (3, 4)) @ x, complex=True)  # fmt: skip


CASES = [*_sparse()]
