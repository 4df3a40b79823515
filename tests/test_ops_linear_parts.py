"""Options of covariances, sets, powers and paddings, and what PyTorch's names do at their edges."""

from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Tensor
from tinygrad_nn.ops import covariance, pytorch

A = np.array([[1.0, 2.0, 4.0, 3.0], [0.5, -1.0, 2.0, 1.5]])


@pytest.mark.parametrize("ddof", [0, 1, 2])
@pytest.mark.parametrize("aweights", [None, np.array([1.0, 2.0, 0.5, 1.0])])
def test_the_degrees_of_freedom_of_a_weighted_covariance(ddof: int, aweights: Any) -> None:
    options: Any = {"ddof": ddof, "fweights": np.array([2, 1, 3, 1]), "aweights": aweights}
    np.testing.assert_allclose(np.cov(Tensor(A), **options).data, np.cov(A, **options), rtol=1e-13)


def test_correlations_beyond_one_are_cut_off() -> None:
    np.testing.assert_array_equal(covariance._within_one(np.array([1.5, -1.5, 0.5])), [1, -1, 0.5])
    np.testing.assert_array_equal(covariance._within_one(np.array([1.5 - 1.5j, -1.5 + 1.5j])), [1 - 1j, -1 + 1j])


def test_unique_inverse_treats_each_nan_as_a_distinct_value() -> None:
    x = np.array([2.0, np.nan, 1.0, np.nan])
    found, wanted = np.unique_inverse(Tensor(x)), np.unique_inverse(x)
    np.testing.assert_array_equal(found.values.data, wanted.values)
    np.testing.assert_array_equal(found.inverse_indices, wanted.inverse_indices)


@pytest.mark.parametrize("p", [[0, 2], [-1, 2]])
def test_powers_of_whole_numbers_have_the_dtype_of_numpy(p: list[int]) -> None:
    found, wanted = np.emath.power(Tensor(np.array([2, 3])), p), np.emath.power(np.array([2, 3]), p)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found.data, wanted)


def test_a_sum_of_exponentials_along_an_axis_that_is_not_there_is_refused() -> None:
    with pytest.raises(np.exceptions.AxisError):
        np.logaddexp.reduce(Tensor(A), axis=2)


@pytest.mark.parametrize("options", [{}, {"end_values": 2}, {"end_values": (1, -1)}])
def test_a_ramp_goes_to_its_end_values(options: dict[str, Any]) -> None:
    found, wanted = (np.pad(a, (3, 2), "linear_ramp", **options) for a in (Tensor(A[0]), A[0]))
    np.testing.assert_allclose(found.data, wanted, rtol=1e-15)


@pytest.mark.parametrize("subscripts", ["i->i", "ijk->i"])
def test_an_einsum_names_each_axis(subscripts: str) -> None:
    with pytest.raises(ValueError, match="einsum names the axes"):
        np.einsum(subscripts, Tensor(A))


def test_an_einsum_has_the_requested_dtype() -> None:
    x = A.astype(np.float32)
    found, wanted = (np.einsum("ij,ij->i", a, a, dtype=np.float64) for a in (Tensor(x), x))
    assert found.dtype == wanted.dtype == np.float64
    np.testing.assert_array_equal(found.data, wanted)


# -- PyTorch's names


def test_an_array_of_a_tensor_with_a_graph_is_had_by_force() -> None:
    x = Tensor(A, requires_grad=True)
    with pytest.raises(TypeError):
        pytorch.numpy(x)
    np.testing.assert_array_equal(pytorch.numpy(x, force=True), A)
    np.testing.assert_array_equal(pytorch.numpy(Tensor(A, requires_grad=False)), A)


def test_the_norm_of_frobenius_is_that_of_all_entries() -> None:
    np.testing.assert_allclose(pytorch.norm(A, "fro"), np.sqrt((A * A).sum()), rtol=1e-15)


def test_a_new_axis_that_keeps_its_length_has_one() -> None:
    assert pytorch.expand(A[0], -1, 4).shape == (1, 4)


def test_a_gradient_that_is_kept_sums_up() -> None:
    x = Tensor(A, requires_grad=True)
    h = x * 2
    pytorch.retain_grad(h)
    h.sum().backward(retain_graph=True)
    (h * 3).sum().backward()
    np.testing.assert_array_equal(h.grad, np.full(A.shape, 4.0))


def test_an_axis_of_repeat_may_be_none() -> None:
    np.testing.assert_array_equal(pytorch._repeat(A, 2, None), np.repeat(A, 2))
