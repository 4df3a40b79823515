"""Factorisations with equal eigenvalues or singular values: right if the choice of vectors does not matter, else NaN.

The references are written without vectors: the Frechet derivative of the exponential as a block of the exponential of a
larger matrix, the product as itself, powers as products.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import grad, hessian, jacobian, jvp, symmetric_exp, symmetric_function, symmetric_log, symmetric_sqrt
from tinygrad_nn.degenerate import settled
from tinygrad_nn.ops.decomposition import _equal_pairs

L = np.linalg
C = np.array([[0.3, -1.2, 0.7], [0.5, 0.9, -0.4], [1.1, 0.2, -0.8]])
S = (C + C.T) / 2
TURN = L.qr(C)[0]
EQUAL = {
    "all": np.eye(3),
    "zero": np.zeros((3, 3)),
    "pair": np.diag([1.0, 1, 3]),
    "turned": TURN @ np.diag([-0.5, 2, 2]) @ TURN.T,
}
each_equal = pytest.mark.parametrize("x", EQUAL.values(), ids=EQUAL)


def exponential(x: np.ndarray) -> np.ndarray:
    """The exponential of any matrix, by its series and squaring."""
    small, total, term = x / 1024, np.eye(len(x)), np.eye(len(x))
    for k in range(1, 20):
        term = term @ small / k
        total = total + term
    return L.matrix_power(total, 1024)


def slope_of_exp(x: np.ndarray, direction: np.ndarray) -> np.ndarray:
    n = len(x)
    return exponential(np.block([[x, direction], [np.zeros_like(x), x]]))[:n, n:]


def of(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function of a symmetric matrix, the way one writes it by eigh."""

    def by_eigh(x: Any) -> Any:
        w, V = L.eigh(x)
        return (V * f(w)[..., None, :]) @ np.conj(np.swapaxes(V, -1, -2))

    return by_eigh


# -- Where it does not depend on the vectors


@each_equal
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_exponential_by_eigh_has_its_gradient(x: np.ndarray, dtype: type) -> None:
    x, c = ((x + x.T) / 2).astype(dtype), C.astype(dtype)
    found = grad(lambda x: (of(np.exp)(x) * c).sum())(x)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, slope_of_exp(x.astype(float), S), rtol=0, atol=500 * np.finfo(dtype).eps * 20)


@each_equal
def test_the_exponential_by_eigh_forward_and_by_backward(x: np.ndarray) -> None:
    x = (x + x.T) / 2
    np.testing.assert_allclose(jvp(of(np.exp), (x,), (S,))[1], slope_of_exp(x, S), atol=1e-12)
    t = tg.Tensor(x)
    doubled = of(np.exp)(t)
    doubled.register_hook(lambda g: 2 * g)
    loss = (doubled * C).sum()
    loss.backward()
    np.testing.assert_allclose(t.grad, 2 * slope_of_exp(x, S), atol=1e-12)
    with pytest.raises(RuntimeError, match="freed"):
        loss.backward()


def test_entry_by_entry_at_the_identity() -> None:
    rows = jacobian(of(np.exp))(np.eye(2))
    wanted = np.einsum("ik,jl->ijkl", np.eye(2), np.eye(2))
    np.testing.assert_allclose(rows, np.e * (wanted + wanted.swapaxes(0, 1)) / 2, atol=1e-14)


def test_a_stack_of_matrices_of_which_some_have_equal_values() -> None:
    x = np.stack([np.eye(3), np.diag([1.0, 2, 4]), EQUAL["pair"]])
    found = grad(lambda x: (of(np.exp)(x) * C).sum())(x)
    for one, g in zip(x, found, strict=True):
        np.testing.assert_allclose(g, slope_of_exp(one, S), atol=1e-12)
    first = grad(lambda x: (L.eigh(x).eigenvectors[..., 0] * C[0]).sum())(x)
    assert np.isnan(first).any(axis=(1, 2)).tolist() == [True, False, True]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("gap", [0, 10, 60, 100])
def test_a_cluster_whose_ends_are_further_apart_than_its_neighbours(
    gap: float, dtype: Any, rng: np.random.Generator
) -> None:
    n, k, eps = 24, 12, np.finfo(dtype).eps
    draw = lambda: rng.normal(size=(n, n)) + (1j * rng.normal(size=(n, n)) if np.dtype(dtype).kind == "c" else 0)
    W, Q = draw(), L.qr(draw())[0]
    x = (Q * (np.repeat([1.0, 2.0], k) + gap * eps * np.arange(n))) @ Q.conj().T
    x = ((x + x.conj().T) / 2).astype(dtype)
    P = Q[:, :k] @ Q[:, :k].conj().T  # its derivative along e is -(P e R + R e P)
    R = np.eye(n) - P
    wanted = -(P @ (W + W.conj().T) @ R + R @ (W + W.conj().T) @ P) / 2

    def projector(x: Any) -> Any:
        V = L.eigh((x + x.conj().T) / 2).eigenvectors[:, :k]
        return np.real(np.sum(V @ V.conj().T * W.conj().astype(dtype)))

    def polar(x: Any) -> Any:
        U, _, Vh = L.svd(x)
        return np.real(np.sum(U @ Vh * W.conj().astype(dtype)))

    near = 50 * n * gap * eps + 1000 * eps
    np.testing.assert_allclose(grad(projector)(x), wanted, rtol=0, atol=near)
    np.testing.assert_allclose(tg.vmap(grad(projector))(x[None])[0], wanted, rtol=0, atol=near)
    e = draw()  # the polar factor of a positive matrix turns by K, where x K + K x = e - e^H
    w, V = L.eigh(x.astype(np.result_type(dtype, float)))
    K = V @ (V.conj().T @ (e - e.conj().T) @ V / (w[:, None] + w)) @ V.conj().T
    assert abs(np.real(np.sum(grad(polar)(x).conj() * e)) - np.real(np.sum(K * W.conj()))) < 100 * near
    if gap:  # the vector at the end of a cluster has no gradient
        assert np.isnan(grad(lambda x: np.abs(np.sum(L.eigh(x).eigenvectors[:, 0] * W[0].astype(dtype))))(x)).all()


def test_values_that_no_chain_links_are_not_equal() -> None:
    values = np.array([1.0, 1 + 5e-15, 1 + 10e-15, 1 + 1e-6, 3.0])
    turn = L.qr(np.cos(np.arange(25.0).reshape(5, 5) ** 2))[0]
    found = grad(lambda x: (L.eigh(x).eigenvectors[:, 3] ** 2 * np.arange(5.0)).sum())(turn * values @ turn.T)
    assert np.isfinite(found).all()
    linked = tg.ops.decomposition._equal_pairs(np.stack([values, np.arange(5.0)]))
    assert linked.sum(axis=(1, 2)).tolist() == [6, 0]


def test_the_projector_on_all_equal_vectors() -> None:
    def projector(x: Any) -> Any:
        V = L.eigh(x).eigenvectors[:, :2]
        return (V @ V.T * C).sum()

    found = grad(projector)(EQUAL["pair"])
    wanted = np.zeros((3, 3))
    wanted[:2, 2] = wanted[2, :2] = S[:2, 2] / (1 - 3)
    np.testing.assert_allclose(found, wanted, atol=1e-14)
    whole = grad(lambda x: (lambda V: (V @ V.T * C).sum())(L.eigh(x).eigenvectors))(np.eye(3))
    np.testing.assert_allclose(whole, 0, atol=1e-14)


@each_equal
def test_second_derivatives_of_functions_of_eigenvalues(x: np.ndarray) -> None:
    x = (x + x.T) / 2
    both = np.einsum("ik,jl->ijkl", np.eye(3), np.eye(3))
    both = (both + both.swapaxes(0, 1)) / 2
    np.testing.assert_allclose(hessian(lambda x: (L.eigvalsh(x) ** 2).sum())(x), 2 * both, atol=1e-12)
    cubes = np.einsum("ik,jl->ijkl", x, np.eye(3)) + np.einsum("ik,jl->ijkl", np.eye(3), x)
    cubes = 3 * (cubes + cubes.swapaxes(0, 1) + cubes.swapaxes(2, 3) + cubes.swapaxes(0, 1).swapaxes(2, 3)) / 4
    np.testing.assert_allclose(hessian(lambda x: (L.eigvalsh(x) ** 3).sum())(x), cubes, atol=1e-11)
    np.testing.assert_allclose(
        hessian(lambda x: (L.svdvals(x) ** 2).sum())(x), 2 * np.einsum("ik,jl->ijkl", np.eye(3), np.eye(3)), atol=1e-11
    )


@pytest.mark.parametrize(
    "x", [*EQUAL.values(), np.diag([2.0, 0, 0]), np.eye(3)[:, :2], np.eye(3)[:2], np.ones((3, 2)), np.ones((2, 3))]
)
def test_a_matrix_put_together_again_is_the_identity(x: np.ndarray) -> None:
    m, n = x.shape
    for form in (
        lambda x: (lambda U, s, Vh: (U * s) @ Vh)(*L.svd(x, full_matrices=False)),
        *([lambda x: (lambda w, V: (V * w) @ L.inv(V))(*L.eig(x))] if np.array_equal(x, x.T) else []),
    ):
        np.testing.assert_allclose(grad(lambda x: np.real((form(x) * C[:m, :n]).sum()))(x), C[:m, :n], atol=1e-12)  # noqa: B023


def test_the_polar_factor_at_equal_singular_values() -> None:
    found = grad(lambda x: (lambda U, s, Vh: (U @ Vh * C).sum())(*L.svd(x)))(2 * np.eye(3))
    np.testing.assert_allclose(found, (C - C.T) / 4, atol=1e-14)


def test_the_nuclear_norm_and_products_of_values() -> None:
    np.testing.assert_allclose(grad(lambda x: L.matrix_norm(x, ord="nuc"))(np.eye(3)), np.eye(3), atol=1e-14)
    np.testing.assert_allclose(grad(lambda x: np.prod(L.eigvals(x)).real)(2 * np.eye(3)), 4 * np.eye(3), atol=1e-13)
    np.testing.assert_allclose(grad(lambda x: L.norm(x, 2))(np.diag([1.0, 3, 1])), np.diag([0.0, 1, 0]), atol=1e-14)


# -- Where it does, NaN, and a reason

CHANCE = {
    "an eigenvector": lambda x: (L.eigh(x).eigenvectors[:, 0] * C[0]).sum(),
    "an entry that happens to be stationary": lambda x: L.eigh(x).eigenvectors[0, 0],
    "an entry that happens to be 0": lambda x: L.eigh(x).eigenvectors[0, 1] ** 2,
    "the smallest eigenvalue": lambda x: L.eigvalsh(x)[0],
    "a weighted sum of them": lambda x: (L.eigvalsh(x) * C[0]).sum(),
    "an eigenvalue of any matrix": lambda x: L.eigvals(x)[0].real,
    "an eigenvector of any matrix": lambda x: (L.eig(x).eigenvectors[:, 0] * C[0]).sum().real,
    "a left vector": lambda x: (L.svd(x).U[:, 0] * C[0]).sum(),
    "a right vector": lambda x: L.svd(x).Vh[0, 0],
    "the spectral norm": lambda x: L.norm(x, 2),
    "the condition": lambda x: L.cond(x),
}


@pytest.mark.parametrize("f", CHANCE.values(), ids=CHANCE)
def test_what_depends_on_chosen_vectors_has_no_gradient(f: Callable[[Any], Any]) -> None:
    x = np.eye(3)
    assert np.isnan(grad(f)(x)).all()
    assert np.isnan(grad(f, has_aux=False)(x.astype(np.float32))).all()
    with tg.detect_anomaly(), pytest.raises(FloatingPointError, match=r"values are equal to rounding.*NumPy chose"):
        f(tg.Tensor(x)).backward()


def test_forward_and_second_derivatives_are_nan_too_where_they_are_not_known() -> None:
    assert np.isnan(jvp(lambda x: L.eigh(x).eigenvectors, (np.eye(2),), (S[:2, :2],))[1]).all()
    assert np.isnan(hessian(lambda x: of(np.exp)(x)[0, 1])(np.eye(2))).all()


def test_what_else_a_gradient_depends_on_has_no_derivative_where_the_gradient_is_not_known() -> None:
    of_x = grad(lambda x, y: (L.eigvalsh(x) * C[0] * y).sum())
    assert np.isnan(jacobian(lambda y: of_x(np.eye(3), y))(0.7)).all()


def test_anomalies_are_found_after_a_walk_through_equal_values_too() -> None:
    with tg.detect_anomaly():
        of(np.exp)(tg.Tensor(np.eye(2))).sum().backward()
        with pytest.raises(FloatingPointError, match="log made -inf"):
            np.log(tg.Tensor(0.0))


@pytest.mark.parametrize("x", [np.zeros((3, 2)), np.eye(3)[:, :1] @ np.ones((1, 2)), np.ones((2, 3))])
def test_second_derivatives_of_functions_of_singular_values_that_are_0(x: np.ndarray) -> None:
    for f, same in (
        (lambda x: (L.svdvals(x) ** 2).sum(), lambda x: (x * x).sum()),
        (lambda x: (L.svdvals(x) ** 4).sum(), lambda x: ((x @ x.T) ** 2).sum()),
    ):
        np.testing.assert_allclose(hessian(f)(x), hessian(same)(x), rtol=0, atol=1e-12)


def _second(f: Callable[[Any], Any], x: np.ndarray, directions: tuple[np.ndarray, np.ndarray], order: str) -> Any:
    """The second derivative along two directions, each taken forward (f) or in reverse (r), the inner one first."""
    for way, v in zip(order, directions, strict=True):
        f = (lambda f, v: lambda x: jvp(f, (x,), (v,))[1] if way == "f" else (grad(f)(x) * v).sum())(f, v)  # noqa: B023
    return f(x)


@pytest.mark.parametrize("order", ["rr", "rf", "fr", "ff"])
@pytest.mark.parametrize(
    "f",
    [
        lambda x: of(np.exp)(x)[0, 0],
        lambda x: np.trace(of(np.square)(x)),
        lambda x: np.real((lambda w, V: (V * w**2) @ L.inv(V))(*L.eig(x))[0, 0]),
        lambda x: (lambda U, s, Vh: (U * s) @ Vh)(*L.svd(x))[0, 0] ** 2,
        lambda x: L.cond(x),
    ],
    ids=["exp", "trace", "eig", "svd", "condition"],
)
def test_no_second_derivative_is_zero_because_it_is_not_known(f: Callable[[Any], Any], order: str) -> None:
    assert np.isnan(_second(f, np.eye(3), (S, S @ S), order))


def test_of_a_gradient_that_is_settled_the_derivative_is_known_in_itself_alone() -> None:
    r, g, x = np.stack([C, S]), np.stack([S, C]), np.stack([S, S])
    wrong = np.zeros(r.shape, bool)
    wrong[1, 0, 2] = True
    c = np.zeros(r.shape)
    c[0, 0, :2] = 1, -1  # whose sum is 0
    of_r = lambda r, x, wrong: grad(lambda r: (settled(r, g, x, wrong=wrong) * c).sum())(r)
    np.testing.assert_array_equal(of_r(r, x, wrong), np.where(wrong, np.nan, c))
    right = np.zeros(r.shape, bool)
    unknown = np.stack([np.full((3, 3), np.nan), np.zeros((3, 3))])
    np.testing.assert_array_equal(grad(lambda x: (settled(r, g, x, wrong=right) * c).sum())(x), unknown)
    np.testing.assert_array_equal(grad(lambda x: (of_r(r, x, right) * c).sum())(x), unknown)


@each_equal
def test_what_else_a_result_depends_on_has_its_mixed_derivative(x: np.ndarray) -> None:
    x = (x + x.T) / 2
    f = lambda x, y: (C * of(lambda w: np.exp(y * w))(x)).sum()
    at, step = 0.7, 1e-5
    slope = lambda y: y * slope_of_exp(y * x, S)
    wanted = (slope(at + step) - slope(at - step)) / (2 * step)  # errors of step**2 and of epsilon / step
    found = grad(lambda y: (grad(f)(x, y) * C).sum())(at)
    np.testing.assert_allclose(jacobian(lambda y: grad(f)(x, y))(at), wanted, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(jvp(lambda y: grad(f)(x, y), (at,), (1.0,))[1], wanted, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(grad(lambda x: grad(f, 1)(x, at))(x), wanted, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(found, (wanted * C).sum(), rtol=1e-7, atol=1e-7)


def test_a_defective_matrix_has_no_basis_of_eigenvectors() -> None:
    for x in (np.array([[1.0, 1], [0, 1]]), np.array([[0.0, 1], [0, 0]]), np.diag([1.0, 1, 2]) + np.eye(3, k=1)):
        for f in (lambda x: (L.eigvals(x) ** 2).sum().real, lambda x: L.eig(x).eigenvectors[0, 0].real):
            assert np.isnan(grad(f)(x)).all()
    x = np.array([[1.0, 1], [0, 2]])
    np.testing.assert_allclose(grad(lambda x: (L.eigvals(x) ** 2).sum().real)(x), 2 * x.T, atol=1e-13)


def test_a_dependent_column_in_qr() -> None:
    x = np.array([[1.0, 1, 2], [1, 1, 0], [1, 1, 1]])
    wanted = np.zeros((3, 3))
    wanted[:, 0] = 1 / np.sqrt(3)
    np.testing.assert_allclose(np.abs(grad(lambda x: L.qr(x, "r")[0, 0])(x)), wanted, atol=1e-14)
    for f in (lambda x: L.qr(x).Q.sum(), lambda x: L.qr(x, "r")[1, 1], lambda x: L.qr(x).R[0, 1]):
        assert np.isnan(grad(f)(x)).any()
        kink = "NaN where the loss uses a column that depends on those"
        with tg.detect_anomaly(), pytest.raises(FloatingPointError, match=kink):
            f(tg.Tensor(x)).backward()


def test_only_a_graph_with_a_factorisation_is_kept_until_the_end_of_its_walk() -> None:
    x, seen = tg.Tensor(np.eye(2)), []
    of(np.exp)(x).sum().backward()  # equal values have come up
    y = tg.Tensor(np.ones(3))
    first = np.sin(y)
    last = np.exp(first)
    first.register_hook(lambda g: seen.append(last.node.args))
    last.sum().backward()
    assert seen == [None]  # freed before the walk went on


# -- Functions of symmetric matrices


@each_equal
def test_functions_of_symmetric_matrices_in_first_and_second_order(x: np.ndarray) -> None:
    x = (x + x.T) / 2
    np.testing.assert_allclose(grad(lambda x: (symmetric_exp(x) * C).sum())(x), slope_of_exp(x, S), atol=1e-12)
    second = tg.hvp(lambda x: (symmetric_exp(x) * C).sum(), (x,), S)
    n, zero = 3, np.zeros((3, 3))
    blocks = [[x, S, S, zero], [zero, x, zero, S], [zero, zero, x, S], [zero, zero, zero, x]]
    np.testing.assert_allclose(second, exponential(np.block(blocks))[:n, 3 * n :], atol=1e-11)


def test_the_logarithm_undoes_the_exponential_and_the_root_the_square() -> None:
    for x in EQUAL.values():
        x = (x + x.T) / 2
        np.testing.assert_allclose(symmetric_log(symmetric_exp(x)), x, atol=1e-14)
        np.testing.assert_allclose(grad(lambda x: (symmetric_log(symmetric_exp(x)) * C).sum())(x), S, atol=1e-12)
        square = x @ x + np.eye(3)
        root = grad(lambda x: (symmetric_sqrt(x) * C).sum())(square)
        back = symmetric_sqrt(square) @ root + root @ symmetric_sqrt(square)  # of the inverse function, x to x^2
        np.testing.assert_allclose(back, S, atol=1e-13)


def test_nearly_equal_eigenvalues_lose_no_digits() -> None:
    for gap in 10.0 ** np.arange(-15, 1):
        x = TURN @ np.diag([1, 1 + gap, 3]) @ TURN.T
        x = (x + x.T) / 2
        found = grad(lambda x: (symmetric_exp(x) * C).sum())(x)
        np.testing.assert_allclose(found, slope_of_exp(x, S), atol=1e-12, err_msg=str(gap))


def test_any_function_with_or_without_its_slope() -> None:
    x = np.stack([np.eye(3), S]).astype(np.float32)
    for f, slope in ((np.sin, np.cos), (np.tanh, None), (lambda w: w**3, None), (lambda w: 2.0, lambda w: 0 * w)):
        found = grad(lambda x: (symmetric_function(x, f, slope) * C).sum())(x)  # noqa: B023
        assert found.dtype == np.float32
    cube = grad(lambda x: (symmetric_function(x, lambda w: w**3) * C).sum())(S)
    np.testing.assert_allclose(cube, S @ S @ S + S @ S @ S + S @ S @ S, atol=1e-13)


def test_functions_of_hermitian_matrices() -> None:
    h = S + 1j * (C - C.T)
    found = grad(lambda x: np.real((symmetric_exp(x) * C).sum()))(h)
    np.testing.assert_allclose(found, found.conj().T, atol=1e-14)
    step = 1e-6
    for d in (S, 1j * (C - C.T)):
        up, down = (np.real((symmetric_exp(h + e * d) * C).sum()) for e in (step, -step))
        np.testing.assert_allclose((up - down) / (2 * step), np.real((found.conj() * d).sum()), rtol=1e-8)


def test_what_functions_of_symmetric_matrices_refuse() -> None:
    with pytest.raises(L.LinAlgError, match=r"needs positive definite matrices; the smallest eigenvalue is 0"):
        symmetric_log(np.diag([1.0, 0]))
    with pytest.raises(L.LinAlgError, match="symmetric_sqrt needs positive semidefinite"):
        symmetric_sqrt(np.diag([1.0, -1]))
    np.testing.assert_array_equal(symmetric_sqrt(np.diag([1.0, 0])), np.diag([1.0, 0]))
    t = tg.Tensor(2.0)
    with pytest.raises(TypeError, match=r"gradient would be lost.*symmetric_exp\(t \* X\)"):
        symmetric_function(tg.Tensor(np.eye(2)), lambda w: np.exp(t * w))
    with pytest.raises(ValueError, match="must act entry by entry"):
        symmetric_function(np.eye(2), lambda w: w[:1])


@pytest.mark.parametrize(("shape", "ind", "result"), [((0, 0), 1, (0, 0)), ((0, 2, 0), 1, (2, 0, 0)),
                                                      ((2, 0, 0), 2, (0, 2, 0))])  # fmt: skip
def test_the_inverse_of_nothing_is_nothing(shape: tuple[int, ...], ind: int, result: tuple[int, ...]) -> None:
    assert np.linalg.tensorinv(tg.Tensor(np.ones(shape)), ind=ind).shape == result


FACTORISED = (lambda x: L.eigh(x @ x.T)[1][0, 0] ** 2, lambda x: L.svd(x)[1][0], lambda x: L.qr(x)[1].sum())


@pytest.mark.parametrize("f", FACTORISED)
def test_backward_frees_what_follows_a_factorisation_where_none_had_equal_values(
    f: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tg.primitive.Ties, "met", False)
    t = tg.Tensor(C)
    f(t).backward()
    np.testing.assert_allclose(t.grad, grad(f)(C), rtol=1e-12)
    assert not tg.primitive.Ties.met


@pytest.mark.filterwarnings("ignore:compiled:RuntimeWarning")  # that it goes on without compilation
@pytest.mark.parametrize(
    "f",
    [
        lambda x: L.eigh(x).eigenvectors[0, 0] * 2,
        lambda x: (L.eigh(x).eigenvectors[:, 1] ** 2 * C[0]).sum(),
        lambda x: np.abs(L.eig(x).eigenvectors[0, 0]),
        lambda x: np.abs(L.svd(x).U[0, 0]),
        lambda x: np.abs(L.svd(x).Vh[1, 1]),
        lambda x: (of(np.exp)(x) * C).sum(),
    ],
    ids=["entry", "squares", "eig", "left", "right", "exponential"],
)
def test_the_compiled_gradient_equals_the_uncompiled_one(f: Any) -> None:
    made = tg.compile(grad(f), backend="numpy")
    apart = np.diag([1.0, 2, 4]) + 0.1 * S
    for x in (apart, np.eye(3), apart, EQUAL["pair"]):
        np.testing.assert_allclose(made(x), grad(f)(x), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("x", "wanted"),
    [
        (np.zeros((2, 2)), np.zeros((2, 2))), (np.zeros((2, 3)), np.zeros((2, 3))), (np.zeros((1, 1)), [[0.0]]),
        (np.diag([1.0, 0.0]), np.diag([1.0, 0.0])), (np.eye(2), np.eye(2)), (-2 * np.eye(2), -np.eye(2)),
    ],
)  # fmt: skip
def test_the_sum_of_singular_values_has_the_least_slope_where_they_are_0(x: Any, wanted: Any) -> None:
    np.testing.assert_allclose(grad(lambda t: np.linalg.svd(t, full_matrices=False)[1].sum())(x), wanted, atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 2.0**-70, 2.0**70])
def test_what_a_pseudoinverse_leaves_out_does_not_hang_on_the_scale(scale: float) -> None:
    x = TURN @ np.diag([1.0, 0.5, 1e-3]) @ C

    def f(x: Any) -> Any:
        return (np.linalg.pinv(x, rcond=0.01) * C).sum()  # leaves out one singular value that is no rounding

    step = 1e-6 * S
    along = (f(x + step) - f(x - step)) / 2e-6
    found = grad(f)(scale * x) * scale**2
    np.testing.assert_array_equal(found, grad(f)(x))
    assert (found * S).sum() == pytest.approx(along, rel=1e-7)


@pytest.mark.parametrize("direction", [1.0, -1.0, 1j, 0.6 + 0.8j])
def test_values_are_equal_by_a_chain_of_near_ones(direction: complex) -> None:
    step = 1.2e-14  # within 8 eps of the sum of sizes, 1.4e-14; two steps are not
    w = 1 + direction * step * np.array([2.0, 0.0, 1.0])
    w = np.append(w if np.iscomplexobj(w) else np.real(w), 5.0)
    equal = np.ones((4, 4), bool) & ~np.eye(4, dtype=bool)
    equal[3] = equal[:, 3] = False
    np.testing.assert_array_equal(_equal_pairs(w), equal)
