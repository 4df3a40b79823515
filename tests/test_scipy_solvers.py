"""SciPy's optimizers and integrators take the functions of derivatives as they are: float64 arrays, floats."""

from typing import Any

import numpy as np
import pytest
from scipy import integrate, optimize

from tinygrad_nn import grad, hessian, hvp, jacobian, value_and_grad

START = np.array([-1.2, 1.0, 0.5])


def rosenbrock(x: Any, scale: float = 100.0) -> Any:
    return (scale * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def inside(x: Any) -> Any:
    return 1 - x @ x


def equations(x: Any) -> Any:
    return np.stack([x[0] ** 2 + x[1] - 2, x[0] - x[1]])


def test_floats_and_float64_arrays_come_out() -> None:
    value, gradient = value_and_grad(rosenbrock)(START)
    assert (type(value), type(gradient), gradient.dtype) == (np.float64, np.ndarray, np.float64)
    assert gradient.flags.writeable
    value, gradient = value_and_grad(lambda x: x**3)(np.array(2.0))
    assert (type(value), np.shape(gradient), float(gradient)) == (np.float64, (), 12.0)
    for found, shape in ((jacobian(equations)(START[:2]), (2, 2)), (hessian(rosenbrock)(START), (3, 3)),
                         (hvp(rosenbrock)(START, START), (3,)), (grad(rosenbrock)(START), (3,))):  # fmt: skip
        assert (type(found), found.dtype, found.shape) == (np.ndarray, np.float64, shape)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        *((m, {"fun": value_and_grad(rosenbrock), "jac": True}) for m in (
            "CG", "BFGS", "L-BFGS-B", "SLSQP", "Newton-CG", "trust-constr")),
        *((m, {"fun": rosenbrock, "jac": grad(rosenbrock), "hess": hessian(rosenbrock)}) for m in (
            "Newton-CG", "trust-ncg", "trust-krylov", "trust-exact", "trust-constr")),
        *((m, {"fun": rosenbrock, "jac": grad(rosenbrock), "hessp": hvp(rosenbrock)}) for m in (
            "Newton-CG", "trust-ncg", "trust-krylov", "trust-constr")),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value),
)  # fmt: skip
def test_minimize(method: str, options: dict[str, Any]) -> None:
    for args in ((), (50.0,)):  # which go to each of the functions
        found = optimize.minimize(x0=START, args=args, method=method, **options)
        assert found.success
        np.testing.assert_allclose(found.x, 1, atol=5e-3)


def test_minimize_of_one_number() -> None:
    f = lambda x: (x - 3) ** 2 + np.exp(x)
    least = optimize.minimize(value_and_grad(lambda x: f(x[0])), 1.0, jac=True).x
    assert optimize.root_scalar(grad(f), x0=1.0, fprime=grad(grad(f))).root == pytest.approx(least[0], rel=1e-6)
    cube = lambda x: x**3 - 2
    for found in (
        optimize.root_scalar(value_and_grad(cube), x0=1.5, fprime=True).root,
        optimize.root_scalar(cube, x0=1.5, fprime=grad(cube), fprime2=grad(grad(cube)), method="halley").root,
        optimize.newton(cube, 1.5, grad(cube)),
    ):
        assert found == pytest.approx(2 ** (1 / 3), rel=1e-12)


@pytest.mark.parametrize("method", ["SLSQP", "trust-constr"])
def test_constraints(method: str) -> None:
    constraint = {
        "SLSQP": {"type": "ineq", "fun": inside, "jac": grad(inside)},
        "trust-constr": optimize.NonlinearConstraint(inside, 0, np.inf, jac=jacobian(inside)),
    }[method]
    found = optimize.minimize(value_and_grad(rosenbrock), START / 10, jac=True, method=method, constraints=[constraint])
    assert found.success
    assert found.x @ found.x == pytest.approx(1, abs=1e-4)
    slope = grad(rosenbrock)(found.x)  # it points along the one of the constraint
    assert abs(slope @ found.x) == pytest.approx(np.linalg.norm(slope) * np.linalg.norm(found.x), rel=1e-4)


def test_root_and_least_squares() -> None:
    for method in ("hybr", "lm"):
        np.testing.assert_allclose(optimize.root(equations, [2.0, 0.5], jac=jacobian(equations), method=method).x, 1)
    for method in ("trf", "dogbox", "lm"):
        found = optimize.least_squares(equations, [2.0, 0.5], jac=jacobian(equations), method=method)
        np.testing.assert_allclose(found.x, 1)
    assert optimize.check_grad(rosenbrock, grad(rosenbrock), START) < 1e-4  # of forward differences


@pytest.mark.parametrize("method", ["lm", "trf", "dogbox"])
def test_curve_fit(method: str) -> None:
    def model(x: Any, a: Any, b: Any, c: Any) -> Any:
        return a * np.exp(-b * x) + c

    x = np.linspace(0, 3, 20)
    y = model(x, 2.0, 0.7, 0.3) + 0.01 * np.cos(40 * x)
    slopes = jacobian(model, (1, 2, 3), stack=True)
    assert slopes(x, 1.0, 1.0, 0.0).shape == (20, 3)
    found, spread = optimize.curve_fit(model, x, y, [1.0, 1.0, 0.0], jac=slopes, method=method)
    wanted, wanted_spread = optimize.curve_fit(model, x, y, [1.0, 1.0, 0.0], method=method)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    np.testing.assert_allclose(spread, wanted_spread, rtol=1e-3)


@pytest.mark.parametrize("method", ["Radau", "BDF", "LSODA"])
def test_solve_ivp(method: str) -> None:
    def van_der_pol(t: Any, y: Any, stiffness: Any) -> Any:
        return np.stack([y[1], stiffness * (1 - y[0] ** 2) * y[1] - y[0]])

    options: dict[str, Any] = {"method": method, "args": (20.0,), "rtol": 1e-6, "atol": 1e-8}
    found = integrate.solve_ivp(van_der_pol, (0, 2), [2.0, 0.0], jac=jacobian(van_der_pol, 1), **options)
    wanted = integrate.solve_ivp(van_der_pol, (0, 2), [2.0, 0.0], **options)
    assert found.success
    np.testing.assert_allclose(found.y[:, -1], wanted.y[:, -1], rtol=1e-4)
