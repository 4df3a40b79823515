"""SciPy's special functions on Tensors: at zeros, in the tails, with parameters; the rows are in tests/cases."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special

import tinygrad_nn as tg
from tinygrad_nn import Tensor, elementwise_grad, grad
from tinygrad_nn.primitive import REGISTRY

EPS, INF = np.finfo(float).eps, np.inf

# name, arguments, slopes in each of them
AT_ZEROS = [
    ("xlogy", (0.0, 0.0), (0, 0)), ("xlogy", (0.0, 2.0), (np.log(2), 0)), ("xlogy", (1.0, 0.0), (-INF, INF)),
    ("xlogy", (0.0, -1.0), (np.nan, 0)),
    ("xlog1py", (0.0, -1.0), (0, 0)), ("xlog1py", (0.0, 1.0), (np.log(2), 0)),
    ("entr", (0.0,), (INF,)), ("entr", (1.0,), (-1,)),
    ("rel_entr", (0.0, 0.0), (0, 0)), ("rel_entr", (0.0, 1.0), (-INF, 0)), ("rel_entr", (1.0, 0.0), (INF, -INF)),
    ("rel_entr", (2.0, 2.0), (1, -1)),
    ("kl_div", (0.0, 0.0), (0, 1)), ("kl_div", (0.0, 1.0), (-INF, 1)), ("kl_div", (2.0, 2.0), (0, 0)),
    ("i0e", (0.0,), (0,)), ("i1e", (0.0,), (0.5,)), ("j0", (0.0,), (0,)), ("j1", (0.0,), (0.5,)),
    ("i1", (0.0,), (0.5,)), ("exprel", (0.0,), (0.5,)), ("ellipk", (0.0,), (np.pi / 8,)),
    ("ellipe", (0.0,), (-np.pi / 8,)), ("erfinv", (1.0,), (INF,)), ("erfcinv", (0.0,), (-INF,)),
    ("ndtri", (0.0,), (INF,)), ("exp1", (0.0,), (-INF,)), ("rgamma", (0.0,), (1,)), ("rgamma", (-1.0,), (-1,)),
    ("rgamma", (-2.0,), (2,)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "wanted"), AT_ZEROS, ids=lambda value: str(value))
def test_slopes_where_a_formula_would_divide_by_zero(name: str, args: tuple, wanted: tuple) -> None:
    f = getattr(special, name)
    with np.errstate(all="ignore"):
        found = grad(lambda *a: f(*a), tuple(range(len(args))))(*map(np.array, args))
    np.testing.assert_allclose(found, wanted, rtol=1e-14)


@pytest.mark.parametrize("name", ["entr", "erfinv", "erfcinv", "ndtri", "exp1", "expi", "rel_entr"])
def test_a_branch_that_is_not_taken_leaves_no_nan(name: str) -> None:
    special_function = getattr(special, name)
    edge = {"erfinv": 1.0}.get(name, 0.0)
    x = np.array([edge, 0.5])
    with np.errstate(all="ignore"):
        first = grad(lambda x: np.where(x == edge, 0.0, special_function(*[x] * special_function.nin)).sum())
        for f in (first, grad(lambda x: first(x).sum())):
            assert f(x)[0] == 0
            assert np.isfinite(f(x)[1])


@pytest.mark.parametrize(
    ("f", "x", "first", "second"),  # mpmath 1.4.1 at 60 digits
    [
        (special.log_ndtr, -1e4, 10000.000099999998, -0.9999999900000006),
        (special.log_ndtr, -40.0, 40.024968847207264, -0.99937733162140861),
        (special.log_ndtr, 9.0, 1.0279773571668915e-18, -9.2517962145020233e-18),
        (special.erfcx, 1e4, -5.6418957508491275e-09, 1.1283791332441388e-12),
        (special.erfcx, 30.0, -0.00062583541050748407, 4.1653092384458876e-05),
        (special.erfcx, -2.0, -436.8919967270074, 1965.4497956879856),
    ],
)
def test_tails_keep_their_digits(f: Callable, x: float, first: float, second: float) -> None:
    one = elementwise_grad(f)
    np.testing.assert_allclose(one(np.array(x)), first, rtol=1e-14)
    # of 1 - hazard * excess, which is about 1/x², x² roundings are lost
    np.testing.assert_allclose(elementwise_grad(one)(np.array(x)), second, rtol=4 * max(16, x * x) * EPS)


@pytest.mark.parametrize("name", ["jv", "yv", "iv", "kv", "ive", "kve", "hyp0f1", "hyp1f1", "hyp2f1", "hyperu"])
def test_a_parameter_that_has_no_derivative_says_so(name: str) -> None:
    f = getattr(special, name)
    numbers = [0.7] * f.nin
    for k in range(f.nin - 1):
        args: list[Any] = list(numbers)
        args[k] = Tensor(0.7)
        with pytest.raises(TypeError, match=rf"scipy\.special\.{name} has no derivative in its .*\.detach\(\)"):
            f(*args)
        args[k], args[-1] = Tensor(0.7).detach(), Tensor(0.7)
        assert f(*args).data == f(*numbers)


def test_complex_arguments_of_analytic_functions() -> None:
    z = np.array([0.5 + 0.3j, 1.2 - 0.4j])
    for f, slope in [
        (lambda z: special.jv(1, z), lambda z: special.jvp(1, z)),
        (lambda z: special.kv(0.5, z), lambda z: special.kvp(0.5, z)),
        (lambda z: special.hyp2f1(0.5, 1.5, 2.5, z), lambda z: 0.3 * special.hyp2f1(1.5, 2.5, 3.5, z)),
        (special.lambertw, lambda z: np.exp(-special.lambertw(z)) / (1 + special.lambertw(z))),
        (special.exp1, lambda z: -np.exp(-z) / z),
    ]:
        np.testing.assert_allclose(np.diagonal(tg.jacobian(f)(z)), slope(z), rtol=1e-12)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_they_run_compiled(backend: str) -> None:
    def loss(x: Any) -> Any:
        return (special.xlogy(x, x) + special.expit(x) + special.jv(1.5, x) + special.log_ndtr(x)).sum()

    f = tg.compile(tg.value_and_grad(loss), backend=backend)
    for x in (np.array([0.5, 2.0]), np.array([1.5, 0.25])):
        for a, b in zip(f(x), tg.value_and_grad(loss)(x), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-14)
    assert not any(isinstance(plan, str) for plan in f.plans.values())


def test_a_ufunc_that_only_has_the_name_is_not_taken_for_scipys() -> None:
    impostor = np.frompyfunc(lambda x: x, 1, 1)
    with pytest.raises(TypeError, match="has no derivative rule"):
        impostor(Tensor(1.0))
    gamma = REGISTRY["gamma"]
    assert special.gamma(Tensor(2.5)).node.primitive is gamma


def test_methods_of_scipys_ufuncs() -> None:
    t = Tensor([0.5, 2.0, 3.0])
    np.testing.assert_array_equal(special.beta.outer(t, t).data, special.beta.outer(t.data, t.data))
    np.testing.assert_array_equal(special.xlogy.accumulate(t).data, special.xlogy.accumulate(t.data))
    with pytest.raises(TypeError, match="would write"):
        special.xlogy(t, t, out=np.zeros(3))
