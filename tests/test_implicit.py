"""Gradients through solvers against closed forms and numerical ones: two orders, both modes, dense and by products."""

from typing import Any

import numpy as np
import pytest
from scipy import optimize

import tinygrad_nn as tg
from tinygrad_nn import Tensor, grad, hessian, implicit, jacobian, jvp
from tinygrad_nn.implicit import fixed_point, minimum, root

rng = np.random.default_rng(0)
M = rng.normal(size=(3, 3)) + 4 * np.eye(3)


def equation(x: Any, a: Any, b: Any) -> Any:
    return M @ x + b * np.tanh(x) - a


def solved(a: Any, b: Any) -> Any:
    return optimize.root(lambda x: equation(x, a, b), np.zeros_like(a), jac=None, tol=1e-13)


def test_root_has_the_derivatives_of_its_answer_to_second_order() -> None:
    solve = root(equation, solved)
    a, b = rng.normal(size=3), rng.uniform(0.5, 1, 3)
    J = jacobian(solve, (0, 1))(a, b)
    x = solve(a, b)
    slope = M + np.diag(b / np.cosh(x) ** 2)
    np.testing.assert_allclose(J[0], np.linalg.inv(slope), rtol=1e-10)
    np.testing.assert_allclose(J[1], -np.linalg.inv(slope) * np.tanh(x), rtol=1e-10)
    assert tg.check_gradients(solve, a, b, order=2).ok
    _, forward = jvp(solve, (a, b), (np.ones(3), np.ones(3)))
    np.testing.assert_allclose(forward, (J[0] + J[1]) @ np.ones(3), rtol=1e-10)


@pytest.mark.parametrize("dense", [implicit.DENSE, 0])
def test_dense_and_by_products_agree(dense: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implicit, "DENSE", dense)
    cube = root(lambda x, a: x**3 + x - a, lambda a: optimize.newton(lambda x: x**3 + x - a, a / 2, tol=1e-15))
    a = np.array([0.5, 2.0, 3.0])
    x = cube(a)
    f = lambda a: (cube(a) ** 2).sum()
    slope = 1 / (3 * x**2 + 1)
    np.testing.assert_allclose(grad(f)(a), 2 * x * slope, rtol=1e-10)
    second = 2 * slope**2 - 12 * x**2 * slope**3
    np.testing.assert_allclose(hessian(f)(a), np.diag(second), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(jvp(cube, (a,), (np.ones(3),))[1], slope, rtol=1e-10)


def test_many_unknowns_by_products() -> None:
    n = 300
    A = np.eye(n) * 3 + np.eye(n, k=1)
    solve = root(lambda x, a: A @ x + x**3 - a, lambda a: optimize.root(
        lambda x: A @ x + x**3 - a, a / 4, jac=lambda x: A + np.diag(3 * x**2), tol=1e-13))  # fmt: skip
    a = np.linspace(0.1, 1, n)
    x = solve(a)
    wanted = np.linalg.solve((A + np.diag(3 * x**2)).T, np.cos(x))
    np.testing.assert_allclose(grad(lambda a: np.sin(solve(a)).sum())(a), wanted, rtol=1e-9)


def test_minimum_of_ridge_regression_moves_with_penalty_and_data() -> None:
    X, y = rng.normal(size=(8, 3)), rng.normal(size=8)

    def loss(w: Any, X: Any, y: Any, lam: Any) -> Any:
        return ((X @ w - y) ** 2).sum() + lam * (w @ w)

    def by_scipy(X: Any, y: Any, lam: Any) -> Any:
        return optimize.minimize(tg.value_and_grad(loss), np.zeros(3), (X, y, lam), "BFGS", jac=True, tol=1e-12).x

    closed = lambda X, y, lam: np.linalg.solve(X.T @ X + lam * np.eye(3), X.T @ y)
    fitted = minimum(loss, by_scipy)
    for found, wanted in zip(
        jacobian(fitted, (0, 1, 2))(X, y, 0.7), jacobian(closed, (0, 1, 2))(X, y, 0.7), strict=True
    ):
        np.testing.assert_allclose(found, wanted, atol=1e-7)
    twice = lambda solve: hessian(lambda lam: (solve(X, y, lam) ** 2).sum())(0.7)
    np.testing.assert_allclose(twice(minimum(loss, closed)), twice(closed), rtol=1e-10)


def test_fixed_point_of_a_dict() -> None:
    def step(state: Any, a: Any) -> Any:
        return {"x": np.cos(state["y"]) * a, "y": 0.5 * np.sin(state["x"][:2]) + 0.1}

    def iterate(a: Any) -> Any:
        state = {"x": np.zeros(2), "y": np.zeros(2)}
        for _ in range(200):
            state = step(state, a)
        return state

    solve = fixed_point(step, iterate)
    total = lambda a: (solve(a)["x"] * solve(a)["y"]).sum()
    unrolled = lambda a: (iterate(a)["x"] * iterate(a)["y"]).sum()
    a = np.array([0.3, 0.8])
    np.testing.assert_allclose(grad(total)(a), grad(unrolled)(a), rtol=1e-12)
    np.testing.assert_allclose(hessian(total)(a), hessian(unrolled)(a), rtol=1e-11)


def test_complex_equations() -> None:
    solve = root(lambda z, a: z * z - a, np.sqrt)
    a = np.array([1.0 + 2.0j, -0.5 + 0.3j])
    np.testing.assert_allclose(jacobian(solve)(a), np.diag(0.5 / np.sqrt(a)), rtol=1e-12)
    loss = lambda f: lambda a: (np.abs(f(a) - 1) ** 2).sum()
    np.testing.assert_allclose(grad(loss(solve))(a), grad(loss(np.sqrt))(a), rtol=1e-12)


def test_arguments_may_be_anything_and_results_of_scipy_are_unpacked() -> None:
    def f(x: Any, given: Any, power: int, how: str) -> Any:
        return x**power - given["a"][0]

    solve = root(f, lambda given, power, how: optimize.root_scalar(
        lambda x: f(x, given, power, how), bracket=(0, 9), method=how, xtol=1e-14))  # fmt: skip
    given = {"a": [8.0, None]}
    found = grad(lambda given: solve(given, 3, "brentq"))(given)
    assert found["a"][0] == pytest.approx(1 / 12, rel=1e-12)
    assert found["a"][1] is None
    with pytest.raises(ValueError, match="did not succeed"):
        root(lambda x, a: x * x + a, lambda a: optimize.root(lambda x: x * x + a, 1.0))(1.0)


def test_float32_stays() -> None:
    solve = root(lambda x, a: x * x - a, np.sqrt)
    g = grad(lambda a: solve(a).sum())(np.array([4.0], np.float32))
    assert g.dtype == np.float32
    np.testing.assert_allclose(g, 0.25, rtol=1e-6)


@pytest.mark.parametrize("dense", [implicit.DENSE, 0])
def test_a_singular_jacobian_is_named(dense: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implicit, "DENSE", dense)
    double = root(lambda x, a: (x - a) ** 2, lambda a: a)
    flat = minimum(lambda x, a: (x.sum() - a.sum()) ** 2, lambda a: a)
    for solve, name in ((double, "root"), (flat, "minimum")):
        with pytest.raises(ValueError, match=f"{name}: the Jacobian of the equation in its unknowns is singular"):
            grad(lambda a, solve=solve: (solve(a) ** 2).sum())(np.array([1.0, 2.0]))


def test_arguments_of_root_that_would_lose_a_gradient_raise() -> None:
    t = Tensor(2.0)
    with pytest.raises(TypeError, match=r"not among its arguments.*f\(x, t\)"):
        root(lambda x, a: x - a * t, lambda a: a * 2)(1.0)
    with pytest.raises(ValueError, match=r"shape \(3,\), and the answer .* \(2,\)"):
        root(lambda x, a: np.ones(3) * x.sum(), lambda a: np.zeros(2))(1.0)
    with pytest.raises(TypeError, match="returned a Tensor"):
        root(lambda x, a: x - a, lambda a: t)(1.0)
    assert isinstance(root(lambda x, a: x - a, lambda a: a)(1.0), (Tensor, float, np.ndarray, np.generic))


def test_a_solver_that_closes_over_a_tensor_is_refused() -> None:
    message = "^root: the solver is called with plain arrays and returned a Tensor, so it closes over one. Make"
    for outside, s in ((grad, 3.0), (tg.vmap, np.ones(2))):
        with pytest.raises(TypeError, match=message):
            outside(lambda s: implicit.root(lambda x, a: x - a * s, lambda a: a * s)(2.0))(s)


def test_a_compiled_gradient_says_that_that_of_a_solver_is_not_traced() -> None:
    solve = root(lambda x, k: x**3 - k, np.cbrt)
    f = tg.compile(grad(lambda k: solve(k) ** 2))
    with pytest.warns(RuntimeWarning, match=r"gradient of implicit\.root with the solver cbrt, which cannot be traced"):
        assert f(8.0) == pytest.approx(1 / 3)
    many = tg.compile(grad(lambda k: (fixed_point(lambda x, k: x - (x - k), lambda k: k)(k) ** 2).sum()))
    with pytest.warns(RuntimeWarning, match=r"gradient of implicit\.fixed_point with the solver <lambda>"):
        np.testing.assert_allclose(many(np.array([1.0, 2.0])), [2, 4])
