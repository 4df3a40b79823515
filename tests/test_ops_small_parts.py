"""Small parts of operations that only show at an edge: masks, options, tolerances, what is left of nothing."""

import warnings

import numpy as np
import pytest

from tinygrad_nn import Tensor, grad
from tinygrad_nn.ops import decomposition
from tinygrad_nn.primitive import REGISTRY

L = np.linalg
EPS = np.finfo(float).eps
X = np.array([[0.5, -1.25, 2.0], [1.5, 0.75, -0.25]])


# -- Reductions


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "var", "std"])
def test_the_dtype_of_a_reduction_is_the_one_asked_for(name: str) -> None:
    x = X.astype(np.float32)
    f = getattr(np, name)
    found, wanted = f(Tensor(x), axis=1, dtype=np.float64), f(x, axis=1, dtype=np.float64)
    assert found.dtype == wanted.dtype == np.float64
    np.testing.assert_array_equal(found.data, wanted)


@pytest.mark.parametrize("name", ["var", "std", "nanvar", "nanstd"])
def test_the_dtype_about_a_given_mean_is_the_one_asked_for(name: str) -> None:
    x, f = X.astype(np.float32), getattr(np, name)
    mean = x.mean(axis=1, keepdims=True)
    found, wanted = (f(a, axis=1, dtype=np.float64, mean=mean) for a in (Tensor(x), x))
    assert found.dtype == wanted.dtype == np.float64
    np.testing.assert_allclose(found.data, wanted, rtol=1e-14)


def test_a_variance_without_a_degree_of_freedom_has_no_slope_under_a_mask_either() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        slope = grad(lambda x: np.var(x, where=np.array([True, True, False]), ddof=2))(X[0])
    np.testing.assert_array_equal(np.isnan(slope), [True, True, True])


def test_the_way_back_from_a_mean_of_nothing_is_quiet() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        back = REGISTRY["mean"].vjps[0](np.ones(3), np.ones(3), np.ones((0, 3)), axis=0)
    assert back.shape == (0, 3)


# -- Factorisations


def test_a_completion_of_columns_is_orthonormal_to_the_eighth_power_of_a_change() -> None:
    Q = L.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    turned = L.qr(Q[:, :2] + 0.1 * Q[:, 2:4] - 0.05 * Q[:, [4, 4]])[0]
    C = decomposition._completion(turned, Q[:, 2:])
    np.testing.assert_allclose(C.T @ C, np.eye(3), rtol=0, atol=1e-7)
    np.testing.assert_allclose(turned.T @ C, 0, atol=1e-15)


@pytest.mark.parametrize(("rows", "lost"), [(2, False), (50, True)])
def test_more_rows_leave_more_rounding_in_which_a_column_depends_on_another(rows: int, lost: bool) -> None:
    x = np.zeros((rows, 2))
    x[0], x[1, 1] = 1, 100 * EPS
    assert np.isnan(grad(lambda x: L.qr(x).R[1, 1])(x)).any() == lost
