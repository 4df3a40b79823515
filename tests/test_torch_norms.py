"""Norms, solving, determinants and NaN as PyTorch has them, with NumPy and known numbers as referees."""

import numpy as np
import pytest

import tinygrad_nn.pytorch as torch
from tinygrad_nn import check_gradients, grad, nn

F = nn.functional
rng = np.random.default_rng(0)
X = rng.normal(size=(2, 3, 4))


def entrywise(p, axis=None, keepdims=False):
    return (np.abs(X) ** p).sum(axis=axis, keepdims=keepdims) ** (1 / p)


@pytest.mark.parametrize("dim", [None, 1, (1, 2), [0, 2], (0, 1, 2)])
@pytest.mark.parametrize("p", [1, 2, 3])
def test_a_norm_over_several_axes_is_that_of_one_vector(p, dim):
    x, axis = torch.tensor(X), tuple(dim) if isinstance(dim, list) else dim
    for found in (torch.norm(x, p, dim), x.norm(p=p, dim=dim), torch.linalg.vector_norm(x, p, dim)):
        np.testing.assert_allclose(found.data, entrywise(p, axis))
    np.testing.assert_allclose(torch.norm(x, p, dim, True).data, entrywise(p, axis, True))


@pytest.mark.parametrize("p", [1, 2, 3])
def test_gradients_of_norms_over_several_axes(p):
    for norm in (lambda x: torch.norm(x, p, (0, 2)), lambda x: F.normalize(x, p, (1, 2))):
        report = check_gradients(lambda x: np.sin(norm(x)).sum(), X, order=2)  # noqa: B023 - it is called here
        assert report.ok, str(report)


@pytest.mark.parametrize("dim", [1, (1, 2), [0, 2]])
def test_normalize_divides_by_the_norm_of_one_vector(dim):
    axis = tuple(dim) if isinstance(dim, list) else dim
    for p in (1, 2, 3):
        np.testing.assert_allclose(F.normalize(torch.tensor(X), p, dim).data, X / entrywise(p, axis, True))


def test_norms_of_matrices():
    x, s = torch.tensor(X), np.linalg.svd(X, compute_uv=False)
    np.testing.assert_allclose(torch.norm(x[0], "nuc").data, s[0].sum())
    np.testing.assert_allclose(torch.norm(x, "nuc", (1, 2)).data, s.sum(-1))
    np.testing.assert_allclose(torch.norm(x, "fro", (1, 2)).data, entrywise(2, (1, 2)))
    np.testing.assert_allclose(torch.linalg.norm(x, 2, (1, 2)).data, s[:, 0])
    np.testing.assert_allclose(torch.linalg.norm(x).data, entrywise(2))
    np.testing.assert_allclose(torch.linalg.norm(x, dim=(0, 1, 2), keepdim=True).data, entrywise(2, None, True))
    np.testing.assert_allclose(torch.linalg.matrix_norm(x, "fro", (0, 2)).data, entrywise(2, (0, 2)))
    np.testing.assert_allclose(torch.linalg.matrix_norm(x, 2).data, s[:, 0])


@pytest.mark.parametrize("n", [3, 5])
def test_solve_takes_a_vector_for_each_matrix(n):
    A, b = rng.normal(size=(n, 3, 3)) + 3 * np.eye(3), rng.normal(size=(n, 3))
    expected = np.stack([np.linalg.solve(M, v) for M, v in zip(A, b, strict=True)])
    np.testing.assert_allclose(torch.linalg.solve(torch.tensor(A), torch.tensor(b)).data, expected)
    np.testing.assert_allclose(torch.linalg.solve(A, b[0]).data, [np.linalg.solve(M, b[0]) for M in A])


def test_solve_from_the_right():
    A, B = rng.normal(size=(3, 3)) + 3 * np.eye(3), rng.normal(size=(2, 3))
    np.testing.assert_allclose(torch.linalg.solve(A, B, left=False).data @ A, B)
    with pytest.raises(ValueError, match="left=False needs matrices"):
        torch.linalg.solve(A, B[0], left=False)
    with pytest.raises(ValueError, match="left=False needs matrices"):
        torch.linalg.solve(np.stack([A, A]), B[0], left=False)


def test_logdet_of_complex_matrices_is_complex():
    rng = np.random.default_rng(3)
    a, along = (rng.normal(size=(2, 3, 3)) + 1j * rng.normal(size=(2, 3, 3)) for _ in range(2))

    def loss(x):
        z = torch.logdet(x)
        return (1.3 * z.real - 0.7 * z.imag).sum()

    np.testing.assert_allclose(np.exp(torch.logdet(torch.tensor(a)).data), np.linalg.det(a), rtol=1e-13)
    h = 1e-6  # the central difference has an error of h² and one of eps / h
    ends = [loss(torch.tensor(a + s * along)).item() for s in (h, -h)]
    np.testing.assert_allclose((ends[0] - ends[1]) / (2 * h), (np.conj(grad(loss)(a)) * along).sum().real, rtol=1e-8)


def test_logdet_of_a_negative_determinant_is_nan():
    x = torch.tensor(np.stack([np.diag([-2.0, 3.0]), np.diag([2.0, 3.0])]), requires_grad=True)
    found = torch.logdet(x)
    np.testing.assert_allclose(found.data, [np.nan, np.log(6)])
    found.sum().backward()
    assert not x.grad[0].any()  # PyTorch's own gradient there
    np.testing.assert_allclose(x.grad[1], np.diag([1 / 2, 1 / 3]))
    assert torch.logdet(torch.zeros(2, 2)).item() == -np.inf
    assert torch.logdet(torch.eye(2, dtype=torch.float32)).dtype == np.float32


def test_nan_passes_hardshrink_and_threshold():
    x = torch.tensor([np.nan, 0.1, 2.0])
    for found, small in ((F.hardshrink(x), 0), (nn.Hardshrink()(x), 0),
                         (F.threshold(x, 0.2, 9.0), 9), (nn.Threshold(0.2, 9.0)(x), 9)):  # fmt: skip
        np.testing.assert_array_equal(found.data, np.asarray([np.nan, small, 2], x.dtype))


def test_an_entry_at_the_threshold_is_replaced():
    x = torch.tensor([-0.5, 0.5, 0.6])
    np.testing.assert_allclose(F.hardshrink(x).data, [0, 0, 0.6], rtol=1e-6)
    np.testing.assert_allclose(F.threshold(x, 0.5, 9.0).data, [9, 9, 0.6], rtol=1e-6)


def test_positions_are_those_of_pytorch():
    z = torch.tensor([np.nan, np.inf, -np.inf, 1.0])
    assert torch.nan_to_num(z, 7.0, 1.0, 2.0).tolist() == [7, 1, 2, 1]
    assert torch.nan_to_num(z)[0].item() == 0
    values, places, counts = torch.unique(torch.tensor([3.0, 1.0, 3.0]), True, True, True)
    assert (values.tolist(), places.tolist(), counts.tolist()) == ([1, 3], [1, 0, 1], [1, 2])
    assert torch.unique(torch.tensor([3.0, 1.0, 3.0]), True).tolist() == [1, 3]
    assert torch.unique(torch.tensor([[1, 2], [1, 2]]), dim=0).tolist() == [[1, 2]]


@pytest.mark.parametrize("vmap", [torch.vmap, torch.func.vmap])
def test_keywords_of_a_mapped_function_are_not_mapped(vmap):
    k = rng.normal(size=3)
    found = vmap(lambda row, k: (row * k).sum())(torch.tensor(X[:, :, 0]), k=torch.tensor(k))
    np.testing.assert_allclose(found.data, X[:, :, 0] @ k)
    with pytest.raises(TypeError, match="chunks"):
        vmap(lambda row: row, chunks=2)
