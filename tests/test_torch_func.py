"""``torch.func`` and ``torch.autograd.functional`` of several inputs and with further results, by closed forms."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_nn.pytorch as torch

rng = np.random.default_rng(0)
X, Y = rng.normal(size=3), rng.normal(size=2)
x, y = torch.tensor(X), torch.tensor(Y)
I3, I2 = np.eye(3), np.eye(2)
func, functional = torch.func, torch.autograd.functional


def outer(x: Any, y: Any) -> Any:
    return x.sin().unsqueeze(1) * y


def number(x: Any, y: Any) -> Any:
    return x.sin().sum() * (y**2).sum()


def twice(x: Any) -> Any:
    return (x**2).sum(), {"doubled": 2 * x}


def entrywise(x: Any) -> Any:
    return x**2, [2 * x]


OUTER = [np.einsum("ik,i,j->ijk", I3, np.cos(X), Y), np.einsum("i,jk->ijk", np.sin(X), I2)]
SECOND = [
    [-np.diag(np.sin(X)) * (Y**2).sum(), np.outer(np.cos(X), 2 * Y)],
    [np.outer(2 * Y, np.cos(X)), 2 * np.sin(X).sum() * I2],
]
FIRST = [np.cos(X) * (Y**2).sum(), np.sin(X).sum() * 2 * Y]
ALONG = [SECOND[0][0] @ X + SECOND[0][1] @ Y, SECOND[1][0] @ X + SECOND[1][1] @ Y]
TABLE: dict[str, tuple[Callable[[], Any], Any]] = {
    "jacobian": (lambda: functional.jacobian(outer, (x, y)), OUTER),
    "jacobian of one in a tuple": (lambda: functional.jacobian(lambda x: x**2, (x,)), [2 * np.diag(X)]),
    "jacobian of two results": (
        lambda: functional.jacobian(lambda x, y: (outer(x, y), 2 * x), (x, y)), [OUTER, [2 * I3, np.zeros((3, 2))]]),
    "jacobian with options": (
        lambda: functional.jacobian(outer, (x, y), create_graph=False, strict=False, vectorize=True), OUTER),
    "hessian": (lambda: functional.hessian(number, (x, y)), SECOND),
    "hessian of one": (lambda: functional.hessian(lambda x: (x**3).sum(), x), 6 * np.diag(X)),
    "hvp": (lambda: functional.hvp(number, (x, y), (x, y)), [np.sin(X).sum() * (Y**2).sum(), ALONG]),
    "grad by name": (lambda: func.grad(lambda x, *, k: (k * x).sum())(x, k=2.0), np.full(3, 2.0)),
    "grad with aux": (lambda: func.grad(twice, has_aux=True)(x), [2 * X, {"doubled": 2 * X}]),
    "grad and value": (lambda: func.grad_and_value(number, (0, 1))(x, y), [FIRST, np.sin(X).sum() * (Y**2).sum()]),
    "grad and value with aux": (
        lambda: func.grad_and_value(twice, has_aux=True)(x), [2 * X, [(X**2).sum(), {"doubled": 2 * X}]]),
    "jacrev with aux": (lambda: func.jacrev(entrywise, has_aux=True)(x), [2 * np.diag(X), [2 * X]]),
    "jacfwd with aux": (lambda: func.jacfwd(entrywise, 0, True)(x), [2 * np.diag(X), [2 * X]]),
    "jacrev in parts": (lambda: func.jacrev(lambda x: x**2, chunk_size=2)(x), 2 * np.diag(X)),
    "jacrev of several": (lambda: func.jacrev(outer, argnums=(0, 1))(x, y), OUTER),
    "jvp with aux": (lambda: func.jvp(entrywise, (x,), (x,), has_aux=True), [X**2, 2 * X**2, [2 * X]]),
    "hessian of a vector": (lambda: func.hessian(lambda x: x**3)(x), np.einsum("ij,ik,i->ijk", I3, I3, 6 * X)),
    "hessian of several": (lambda: func.hessian(number, (0, 1))(x, y), SECOND),
}  # fmt: skip


def require_equal(found: Any, wanted: Any) -> None:
    if isinstance(wanted, dict):
        assert set(found) == set(wanted)
        for key, part in wanted.items():
            require_equal(found[key], part)
    elif isinstance(wanted, list):
        assert isinstance(found, tuple)
        for part, wanted_part in zip(found, wanted, strict=True):
            require_equal(part, wanted_part)
    else:
        assert isinstance(found, torch.Tensor)
        assert not found.requires_grad
        assert found.shape == np.shape(wanted)
        np.testing.assert_allclose(found.data, wanted, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", TABLE)
def test_derivatives_have_the_values_and_the_nesting_of_pytorch(name: str) -> None:
    made, wanted = TABLE[name]
    require_equal(made(), wanted)


def test_a_pullback_and_a_linear_map_can_be_used_again() -> None:
    value, pull, aux = func.vjp(entrywise, x, has_aux=True)
    out, push = func.linearize(outer, x, y)
    require_equal((value, aux, out), [X**2, [2 * X], np.outer(np.sin(X), Y)])
    for scale in (1.0, 3.0):
        require_equal(pull(scale * x), [2 * scale * X**2])
        require_equal(push(scale * x, y), OUTER[0] @ (scale * X) + OUTER[1] @ Y)


def test_derivatives_of_derivatives_pass_through_further_results() -> None:
    def slope(x: Any) -> Any:
        return func.grad(lambda x: ((x**3).sum(), x), has_aux=True)(x)[0]

    require_equal(func.jacrev(slope)(x), 6 * np.diag(X))


@pytest.mark.parametrize("of", [func.grad, func.jacrev, func.jacfwd, func.grad_and_value])
def test_a_function_without_a_further_result_says_so(of: Any) -> None:
    with pytest.raises(TypeError, match=r"has_aux=True needs a function that returns \(value, aux\); it returned"):
        of(lambda x: (x**2).sum(), has_aux=True)(x)
