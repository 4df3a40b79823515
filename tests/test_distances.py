"""Distances of all rows from all rows: in blocks they are those of an array of all differences, derivatives too."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

import tinygrad_nn.pytorch as torch
from tinygrad_nn import compile, grad, hessian, value_and_grad
from tinygrad_nn.ops import norms


def all_differences(x: Any, y: Any) -> Any:
    return np.linalg.norm(x[..., :, None, :] - y[..., None, :, :], axis=-1)


@pytest.mark.parametrize("block", [1, 20, 1 << 16])
@pytest.mark.parametrize(
    ("a", "b"),
    [((5, 3), (4, 3)), ((2, 5, 3), (4, 3)), ((5, 3), (6, 1, 4, 3)), ((3, 1, 5, 2), (2, 4, 2)), ((0, 3), (4, 3)),
     ((5, 3), (0, 3)), ((5, 0), (4, 0)), ((0, 5, 3), (4, 3))],
)  # fmt: skip
def test_distances_in_blocks_are_those_of_all_differences(
    a: Any, b: Any, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(norms, "BLOCK", block)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=a), rng.normal(size=b)
    g = rng.normal(size=all_differences(x, y).shape)
    for kind in (np.float64, np.float32):
        found, wanted = (
            value_and_grad(lambda x, y, f=f: (f(x, y) * g).sum(), (0, 1))(x.astype(kind), y.astype(kind))
            for f in (torch.cdist, all_differences)
        )
        for one, other in zip((found[0], *found[1]), (wanted[0], *wanted[1]), strict=True):
            assert np.shape(one) == np.shape(other)
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-13 if kind is np.float64 else 2e-5)


def test_second_derivatives_of_distances_are_those_of_all_differences() -> None:
    rng = np.random.default_rng(0)
    x, y, g = rng.normal(size=(4, 2)), rng.normal(size=(3, 2)), rng.normal(size=(4, 4))
    for at, of in (
        (x, lambda x, f: (f(x, y) ** 3 * g[:, :3]).sum()),
        (y, lambda y, f: (np.exp(-f(x, y)) * g[:, :3]).sum()),
        (x, lambda x, f: (f(x, x[:3] + 1) ** 3 * g[:, :3]).sum()),
        (x, lambda x, f: ((f(x, x) + 1) ** 2 * g).sum()),
    ):
        found, wanted = (hessian(lambda t, f=f, of=of: of(t, f))(at) for f in (torch.cdist, all_differences))
        assert np.isfinite(wanted).all()
        np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_distances_of_rows_far_from_zero_keep_their_digits() -> None:
    rng = np.random.default_rng(0)
    x = 1e6 + rng.normal(size=(6, 3))
    slopes = [grad(lambda x, f=f: (f(x, x) ** 2).sum() + f(x, x).sum())(x) for f in (torch.cdist, all_differences)]
    np.testing.assert_allclose(*slopes, atol=1e-8)
    slope = compile(grad(lambda x: (torch.cdist(x, x) ** 2).sum()))(x)
    np.testing.assert_allclose(slope, 4 * 6 * (x - x.mean(axis=0)), atol=1e-8)


def test_distances_take_no_memory_for_all_differences() -> None:
    x = torch.tensor(np.random.default_rng(0).normal(size=(300, 200)), requires_grad=True)
    tracemalloc.start()
    torch.cdist(x, x).sum().backward()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 300 * 300 * 200 * 8 / 10


def test_distances_of_whole_numbers_and_complex_ones_are_as_before() -> None:
    k, z = np.array([[1, 2], [4, 6]]), np.array([[1 + 1j, 0], [0, 2j]])
    for x in (k, z):
        out = torch.cdist(torch.tensor(x), torch.tensor(x))
        np.testing.assert_allclose(out.data, all_differences(x, x))


def test_an_einsum_of_large_operands_is_contracted_in_pairs() -> None:
    rng = np.random.default_rng(0)
    a, v, b = rng.normal(size=(90, 80)), rng.normal(size=80), rng.normal(size=(90, 70))
    wanted = np.einsum("ij,j,ik->jk", a, v, b)
    out = torch.einsum("ij,j,ik->jk", torch.tensor(a, requires_grad=True), v, b)
    np.testing.assert_allclose(out.data, wanted, atol=1e-12)
    assert out.node.meta["optimize"]
    small = torch.einsum("ij,j->i", torch.tensor(a[:3], requires_grad=True), v)
    assert not small.node.meta["optimize"]
