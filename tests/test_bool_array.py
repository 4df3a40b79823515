"""What a comparison of Tensors returns: NumPy's booleans, with the methods of a Tensor."""

import copy
import operator
import pickle
from typing import Any

import numpy as np
import pytest

import tinygrad_nn.pytorch as torch
from tinygrad_nn import Tensor, compile, grad, vmap
from tinygrad_nn.common.bool_array import BoolArray

X = np.array([[0.3, -1.2, 2.5, 0.7], [1.1, 0.4, -0.6, 3.2], [-2.0, 0.9, 1.6, -0.1]])
PLAIN = X > 0.5
OPERATORS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]

NUMPYS: list[Any] = [
    lambda m: m & (X < 1), lambda m: (X < 1) | m, lambda m: m ^ m, lambda m: ~m, lambda m: m + m, lambda m: m * 2,
    lambda m: 1.0 - m, lambda m: m * X, lambda m: X[m], lambda m: X[1, m[1]], lambda m: m[0], lambda m: m[:, None],
    lambda m: m[1, 2], lambda m: m.T, lambda m: m.sum(), lambda m: m.sum(0), lambda m: m.sum(axis=1, keepdims=True),
    lambda m: m.mean(), lambda m: m.mean(1), lambda m: m.any(), lambda m: m.all(axis=0), lambda m: m.argmax(1),
    lambda m: m.astype(float), lambda m: m.astype(int).sum(), lambda m: m.cumsum(), lambda m: m.reshape(4, 3),
    lambda m: m.ravel(), lambda m: m.nonzero(), lambda m: m.tolist(), lambda m: m.view(np.int8), lambda m: m.copy(),
    lambda m: m.max(), lambda m: m.std(axis=1), lambda m: m.repeat(2, axis=1), lambda m: m.squeeze(), lambda m: len(m),
    lambda m: m.size, lambda m: m.shape, lambda m: m.dtype, lambda m: np.where(m, X, 0), lambda m: np.mean(m),
    lambda m: np.concatenate([m, m]), lambda m: np.stack((m, PLAIN)), lambda m: np.flatnonzero(m), lambda m: str(m),
    lambda m: np.logical_not(m), lambda m: np.logical_and.reduce(m), lambda m: np.count_nonzero(m), lambda m: repr(m),
    lambda m: np.average(X, weights=m), lambda m: np.sum(X, where=m), lambda m: m @ X.T, lambda m: np.size(m, 1),
]  # fmt: skip


@pytest.mark.parametrize("function", NUMPYS)
def test_numpy_calculates_what_it_calculates_from_a_plain_array(function: Any):
    found, expected = function(Tensor(X) > 0.5), function(PLAIN)
    np.testing.assert_array_equal(found, expected)
    assert isinstance(found, type(expected))
    assert getattr(found, "dtype", None) == getattr(expected, "dtype", None)
    if isinstance(expected, np.ndarray):
        assert type(found) is (BoolArray if expected.dtype == bool else np.ndarray)


PYTORCHS: list[tuple[Any, Any]] = [
    (lambda m: m.float(), PLAIN.astype(np.float32)),
    (lambda m: m.double().mean(dim=1), PLAIN.mean(1)),
    (lambda m: m.long().sum(dim=0, keepdim=True), PLAIN.sum(0, keepdims=True)),
    (lambda m: m.int(), PLAIN.astype(np.int32)),
    (lambda m: m.type(torch.FloatTensor), PLAIN.astype(np.float32)),
    (lambda m: m.to(torch.float64), PLAIN.astype(float)),
    (lambda m: m.cpu().numpy(), PLAIN),
    (lambda m: m.unsqueeze(1), PLAIN[:, None]),
    (lambda m: m.view(-1), PLAIN.ravel()),
    (lambda m: m.view((2, 6)), PLAIN.reshape(2, 6)),
    (lambda m: m.size(), (3, 4)),
    (lambda m: m.size(-1), 4),
    (lambda m: m.sum(dim=1), PLAIN.sum(1)),
    (lambda m: m.sum(1, keepdim=True), PLAIN.sum(1, keepdims=True)),
    (lambda m: m.any(dim=1), PLAIN.any(1)),
    (lambda m: m.all(dim=0, keepdim=True), PLAIN.all(0, keepdims=True)),
    (lambda m: m.all(dim=1).float(), PLAIN.all(1).astype(np.float32)),
    (lambda m: (m & ~m).float(), np.zeros((3, 4), np.float32)),
    (lambda m: (m[0] | m[1]).float(), (PLAIN[0] | PLAIN[1]).astype(np.float32)),
    (lambda m: m.eq(PLAIN).float(), np.ones((3, 4), np.float32)),
    (lambda m: m.masked_fill(m, False), np.zeros((3, 4), bool)),
    (lambda m: torch.mean(m.type(torch.float64)), PLAIN.mean()),
    (lambda m: torch.where(m, 1.0, 0.0), PLAIN.astype(float)),
]


@pytest.mark.parametrize(("function", "expected"), PYTORCHS)
def test_a_method_of_a_tensor_gives_what_it_gives_for_a_constant_tensor(function: Any, expected: Any):
    found = function(Tensor(X) > 0.5)
    assert not getattr(found, "requires_grad", False)
    bare = found.data if isinstance(found, Tensor) else found
    np.testing.assert_array_equal(bare, expected)
    assert getattr(bare, "dtype", None) == getattr(expected, "dtype", None)


@pytest.mark.parametrize("compare", OPERATORS)
def test_every_way_to_compare_returns_one(compare: Any):
    x = Tensor(X)
    method = getattr(x, compare.__name__)
    for found in (compare(x, 0.3), compare(x, X), compare(X, x), method(0.3), compare(x.argmax(1), x[:, 0])):
        assert type(found) is BoolArray
        assert found.float().data.dtype == np.float32
    assert type(np.isnan(x)) is type(x.isinf()) is type(np.logical_not(x)) is BoolArray


def test_it_is_a_plain_constant_in_a_graph():
    x = Tensor(X)
    for y in (x * (x > 0), (x > 0) * x, np.where(x > 0, x, 0.0), np.multiply(x > 0, x), x[x > 0]):
        assert type(y.data) is np.ndarray
        assert BoolArray not in {type(part) for part in (y.node.x, y.node.y)}
    np.testing.assert_array_equal(grad(lambda x: (x * (x > 0).float()).sum())(X), X > 0)
    assert type(Tensor(x > 0).data) is np.ndarray


def test_it_can_be_written_into_and_copied():
    x = Tensor(X)
    mask = x > 0.5
    mask[0] = False
    mask &= x < 3
    assert type(mask) is BoolArray
    np.testing.assert_array_equal(mask, [[False] * 4, [True, False, False, False], [False, True, True, False]])
    np.testing.assert_array_equal(copy.deepcopy(mask), mask)
    assert type(pickle.loads(pickle.dumps(mask))) is np.ndarray
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(mask)), mask)


def test_compiled_and_mapped_functions_have_the_methods_too():
    def function(x: Any) -> Any:
        return (x * (x > 0.5).float()).sum()

    expected = np.where(PLAIN, X, 0).sum(1)
    np.testing.assert_allclose(vmap(function)(Tensor(X)).data, expected, rtol=1e-15)
    compiled = compile(function)
    for _ in range(3):
        np.testing.assert_allclose(compiled(Tensor(X)).data, expected.sum(), rtol=1e-15)


def test_an_unknown_name_is_refused_as_that_of_a_tensor():
    with pytest.raises(AttributeError, match="a Tensor has no attribute 'flaot'; did you mean 'float'"):
        (Tensor(X) > 0).flaot()
    for name in ("__cuda_array_interface__", "_batched", "node"):
        assert not hasattr(Tensor(X) > 0, name)
    np.testing.assert_array_equal(Tensor(X).masked_select(Tensor(X) > 0.5).data, X[PLAIN])
