"""Functions of matrices accept stacks with any number of axes, and give the result for each matrix alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Tensor

L = np.linalg
RNG = np.random.default_rng(0)
WIDE = RNG.normal(size=(2, 5, 4, 3))
SQUARE = RNG.normal(size=(2, 5, 3, 3))
DEFINITE = SQUARE @ SQUARE.mT + 3 * np.eye(3)
EVEN = lambda x: (x + x.mT) / 2

OF_SQUARE: dict[str, Callable[[Any], Any]] = {
    **{f"to the power {n}": lambda x, n=n: L.matrix_power(x, n) for n in (-3, -1, 0, 1, 2, 5)},
    "inv": L.inv, "det": L.det, "slogdet": lambda x: L.slogdet(x)[1], "eigvalsh": lambda x: L.eigvalsh(EVEN(x)),
    "eigh": lambda x: L.eigh(EVEN(x))[1] ** 2, "cholesky": lambda x: L.cholesky(EVEN(x)),
    "upper cholesky": lambda x: L.cholesky(EVEN(x), upper=True), "cond": L.cond, "cond 1": lambda x: L.cond(x, 1),
    "cond of Frobenius": lambda x: L.cond(x, "fro"), "solve": lambda x: L.solve(x, SQUARE[0, 0]),
    "lower": lambda x: np.tril(x, -1),
}  # fmt: skip
OF_ANY: dict[str, Callable[[Any], Any]] = {
    "svd": lambda x: L.svd(x)[1], "svd, thin": lambda x: L.svd(x, full_matrices=False)[0] ** 2, "svdvals": L.svdvals,
    "qr": lambda x: L.qr(x)[0] ** 2, "r": lambda x: L.qr(x, "r") ** 2, "pinv": L.pinv,
    **{f"norm {o}": lambda x, o=o: L.norm(x, o, (-2, -1)) for o in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)},
    **{f"matrix_norm {o}": lambda x, o=o: L.matrix_norm(x, ord=o) for o in ("fro", "nuc", 1, 2, np.inf)},
    "matrix_norm, kept": lambda x: L.matrix_norm(x, keepdims=True), "trace": L.trace, "second trace": lambda x:
    L.trace(x, offset=-1), "diagonal": L.diagonal, "diagonal above": lambda x: L.diagonal(x, offset=1),
    "vector_norm": lambda x: L.vector_norm(x, axis=-1), "matrix_transpose": L.matrix_transpose,
    "matmul": lambda x: L.matmul(x, SQUARE[0, 0]), "vecdot": lambda x: L.vecdot(x, WIDE[0, 0]),
    "matvec": lambda x: np.matvec(x, SQUARE[0, 0, 0]), "cross": lambda x: L.cross(x, WIDE[0, 0]),
    "upper": lambda x: np.triu(x, 1),
}  # fmt: skip
CASES = [(name, f, DEFINITE) for name, f in OF_SQUARE.items()] + [(name, f, WIDE) for name, f in OF_ANY.items()]


@pytest.mark.parametrize(("f", "stack"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_stack_of_stacks(f: Callable[[Any], Any], stack: np.ndarray) -> None:
    x = Tensor(stack, requires_grad=True)
    out = f(x)
    weights = np.random.default_rng(1).normal(size=out.shape)
    (out * weights).sum().backward()
    np.testing.assert_allclose(out.data, f(stack), rtol=1e-9, atol=1e-9)
    for place in np.ndindex(2, 5):
        one = Tensor(stack[place], requires_grad=True)
        alone = f(one)
        assert alone.shape == out.shape[2:]
        np.testing.assert_allclose(out.data[place], alone.data, rtol=1e-9, atol=1e-9)
        (alone * weights[place]).sum().backward()
        assert x.grad is not None
        assert one.grad is not None
        np.testing.assert_allclose(x.grad[place], one.grad, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("f", [L.inv, L.det, L.slogdet, L.cholesky, L.eigh, lambda x: L.matrix_power(x, 2)])
@pytest.mark.parametrize("shape", [(3, 2), (3, 3, 2), (2, 3, 2, 3), (3, 3, 2, 3), (3,)])
def test_matrices_that_are_not_square(f: Callable[[Any], Any], shape: tuple[int, ...]) -> None:
    for given in (np.ones(shape), Tensor(np.ones(shape))):
        with pytest.raises(L.LinAlgError):
            f(given)


@pytest.mark.parametrize("hermitian", [False, True])
@pytest.mark.parametrize("cut", [0.3, 0.5, 0.7, "of each"])
def test_a_pseudoinverse_leaves_out_values_up_to_its_cutoff(cut: Any, hermitian: bool) -> None:
    """The singular values of each matrix are 4, 2 and 1 times a number, which the cutoff is relative to."""
    turn = L.qr(SQUARE)[0]
    values = np.array([4.0, 2.0, 1.0]) * np.arange(1, 11).reshape(2, 5, 1)
    stack = turn * values[..., None, :] @ (turn.mT if hermitian else np.eye(3))
    rcond = np.array([[0.1, 0.3, 0.4, 0.6, 0.9], [0.6, 0.4, 0.3, 0.9, 0.1]]) if cut == "of each" else cut - 1e-12
    left = np.array([1, 0.5, 0.25]) > np.asarray(rcond)[..., None]
    inverse = np.where(left, 1 / values, 0)
    wanted = (turn * inverse[..., None, :] if hermitian else inverse[..., :, None] * np.eye(3)) @ turn.mT
    x = Tensor(stack, requires_grad=True)
    out = L.pinv(x, rcond, hermitian=hermitian)
    np.testing.assert_allclose(out.data, wanted, atol=1e-12)
    np.testing.assert_allclose(L.pinv(stack, rcond, hermitian=hermitian), wanted, atol=1e-12)
    (out * stack.mT).sum().backward()
    # The slope along the matrix itself is that of 1 / k at k = 1, times the number of values that are left.
    assert x.grad is not None
    along = (x.grad * stack).sum((-2, -1))
    np.testing.assert_allclose(along, -np.broadcast_to(left, values.shape).sum(-1), atol=1e-10)


@pytest.mark.parametrize(
    ("rcond", "left"), [(0.25, [1, 1, 0]), (0.2499, [1, 1, 1]), (0.5, [1, 0, 0]), (0.4999, [1, 1, 0])]
)
def test_a_singular_value_at_the_cutoff_is_left_out(rcond: float, left: list[int]) -> None:
    x = Tensor(np.diag([4.0, 2.0, 1.0]), requires_grad=True)
    out = L.pinv(x, rcond)
    np.testing.assert_array_equal(out.data, np.diag(np.array(left) / [4, 2, 1]))
    out.sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(np.diag(x.grad), -np.array(left) / [16, 4, 1], atol=1e-12)
