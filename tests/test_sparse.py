"""Sparse systems: against dense ones, of mixed kinds of numbers, factorized once, and what is refused."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg

import tinygrad_nn as tg
from tinygrad_nn import Tensor, grad, hessian, sparse
from tinygrad_nn.ops.sparse import Pattern

rng = np.random.default_rng(0)
N = 6
A = scipy.sparse.diags_array([np.full(N - 1, -1.0), np.full(N, 3.0), np.full(N - 1, -0.5)], offsets=[-1, 0, 1]).tocoo()
PLACES = A.row, A.col


def dense(data: Any) -> Any:
    return Tensor(np.zeros((N, N), data.dtype), requires_grad=False).at[PLACES].add(data)


@pytest.mark.parametrize("of_matrix", [float, complex])
@pytest.mark.parametrize("of_side", [float, complex])
def test_gradients_and_hessians_are_those_of_a_dense_solve(of_matrix: type, of_side: type) -> None:
    data, b = (x.astype(kind) for x, kind in ((A.data, of_matrix), (rng.normal(size=N), of_side)))
    data = data * (1 + 0.2j) if of_matrix is complex else data
    b = b + 0.5j if of_side is complex else b

    def loss(solve: Any) -> Any:
        return lambda d, b: (np.abs(solve(d, b)) ** 4).sum()

    ours = loss(lambda d, b: sparse.solve(d, PLACES, A.shape, b))
    theirs = loss(lambda d, b: np.linalg.solve(dense(d), b))
    for found, wanted in zip(grad(ours, (0, 1))(data, b), grad(theirs, (0, 1))(data, b), strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-13)
    if of_matrix is of_side is float:
        np.testing.assert_allclose(hessian(ours)(data, b), hessian(theirs)(data, b), rtol=1e-10, atol=1e-12)


def test_the_matrix_is_factorized_once_for_a_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    splu = scipy.sparse.linalg.splu
    monkeypatch.setattr(scipy.sparse.linalg, "splu", lambda *args: made.append(1) or splu(*args))
    loss = lambda d: (sparse.solve(d, PLACES, A.shape, np.ones(N)) ** 2).sum()
    grad(loss)(A.data)
    assert len(made) == 1
    hessian(loss)(A.data)
    assert len(made) == 2


def test_numbers_that_change_in_place_are_factorized_again() -> None:
    pattern = Pattern(*PLACES, A.shape)
    data, b = A.data.copy(), np.ones(N)
    first = pattern.solve(data, b)
    data *= 2
    np.testing.assert_allclose(pattern.solve(data, b), first / 2, rtol=1e-13)


def test_plain_arrays_give_plain_arrays_and_constants_are_followed() -> None:
    x = sparse.solve(A.data, PLACES, A.shape, np.ones(N))
    np.testing.assert_allclose(A @ x, np.ones(N), rtol=1e-13)
    assert type(x) is np.ndarray
    b = Tensor(np.ones((N, 2)))
    sparse.matmul(A.data, PLACES, A.shape, b).sum().backward()
    np.testing.assert_allclose(b.grad, np.repeat(A.toarray().sum(axis=0)[:, None], 2, axis=1), rtol=1e-13)
    assert sparse.solve([2, 4], ([0, 1], [0, 1]), (2, 2), [1, 1]).tolist() == [0.5, 0.25]


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: sparse.solve(A.data, PLACES, (N, N + 1), np.ones(N)), "square"),
        (lambda: sparse.solve(A.data[1:], PLACES, A.shape, np.ones(N)), r"one row and one column.*A\.tocoo"),
        (lambda: sparse.solve(A.data, PLACES, (N - 1, N - 1), np.ones(N - 1)), "from 0 to 4 as rows"),
        (lambda: sparse.solve(A.data, PLACES, A.shape, np.ones(N + 1)), r"does not fit .* \(7,\)"),
        (lambda: sparse.matmul(A.data, PLACES, A.shape, np.ones((N, 1, 1))), "does not fit"),
        (lambda: sparse.matmul(A.data, (A.row + 0.5, A.col), A.shape, np.ones(N)), "whole numbers"),
    ],
)
def test_shapes_that_do_not_fit_raise(call: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        call()


def test_a_singular_matrix_raises() -> None:
    with pytest.raises(np.linalg.LinAlgError, match=r"sparse matrix of shape \(2, 2\) is singular"):
        sparse.solve(Tensor([1.0, 1.0]), ([0, 0], [0, 1]), (2, 2), np.ones(2))


def test_it_runs_compiled() -> None:
    f = tg.value_and_grad(lambda d: (sparse.solve(d, PLACES, A.shape, np.ones(N)) ** 2).sum())
    g = tg.compile(f, backend="numpy")
    for scale in (1, 2, 3):
        for found, wanted in zip(g(A.data * scale), f(A.data * scale), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-13)
