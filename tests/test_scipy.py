"""SciPy's special functions on Tensors: at zeros, in the tails, with parameters; the rows are in tests/cases."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special

import tinygrad_nn as tg
from tinygrad_nn import Tensor, elementwise_grad, grad
from tinygrad_nn.ops import scipy as rows
from tinygrad_nn.primitive import REGISTRY, registered

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


# name, arguments, values: at poles, trivial zeros, whole quarters of a turn and ends, by mpmath or as limits
AT_EDGES = [
    ("psi", (0.0,), -INF), ("psi", (-0.0,), INF), ("i1", (1e300,), INF), ("i1", (-1e300,), -INF),
    ("zeta", (-30.0,), 0), ("zeta", (-40.0,), 0), ("zeta", (-700.0,), 0), ("zeta", (-1e-300,), -0.5),
    ("zeta", (-0.05,), -0.45644187238633065), ("zeta", (-171.5,), 4.739302330550545e172), ("zeta", (INF,), 1),
    ("zeta", (1e300,), 1), ("zeta", (INF, 2.0), 0), ("zetac", (INF,), 0), ("zetac", (-26.0,), -1),
    ("sindg", (180.0,), 0), ("sindg", (-90.0,), -1), ("sindg", (30.0,), 0.5), ("sindg", (1e10,), -0.984807753012208),
    ("cosdg", (90.0,), 0), ("cosdg", (-270.0,), 0), ("cosdg", (60.0,), 0.5), ("cosdg", (1e10,), 0.17364817766693033),
    ("tandg", (45.0,), 1), ("tandg", (180.0,), 0), ("tandg", (90.0,), INF), ("cotdg", (45.0,), 1),
    ("cotdg", (90.0,), 0),
    ("kei", (0.0,), -np.pi / 4), ("keip", (0.0,), 0), ("ker", (0.0,), INF), ("kerp", (0.0,), -INF),
    ("ker", (-1.0,), np.nan), ("bei", (1e-8,), 2.5e-17), ("berp", (1e-8,), -6.25e-26), ("keip", (1e-8,), 9.518306e-08),
    ("boxcox", (0.0, 2.0), -0.5), ("boxcox", (0.0, 0.0), -INF), ("boxcox", (0.0, -1.0), -INF),
    ("boxcox", (INF, 2.0), INF), ("boxcox", (INF, -2.0), 0.5), ("boxcox", (1e300, -2.0), 0.5),
    ("boxcox1p", (-1.0, 4.0), -0.25), ("boxcox1p", (3.0, 0.0), np.log(4)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "wanted"), AT_EDGES, ids=lambda value: str(value))
def test_values_at_edges(name: str, args: tuple[float, ...], wanted: float) -> None:
    f = getattr(special, name)
    with np.errstate(all="ignore"):
        found = f(*map(Tensor, args)).data
    np.testing.assert_allclose(found, wanted, rtol=1e-6 if name == "keip" else 1e-12)


@pytest.mark.parametrize("name", ["ber", "bei", "ker", "kei", "berp", "beip", "kerp", "keip"])
def test_derivatives_of_kelvin_functions_to_the_third_order(name: str) -> None:
    f, x, h = getattr(special, name), np.linspace(0.4, 6.0, 9), 1e-3
    for _ in range(3):  # of order h^4, whose error is below 1e-10 with these fifth derivatives
        slope = elementwise_grad(f)
        points = [np.asarray(f(x + k * h)) for k in (-2, -1, 1, 2)]
        numerical = (points[0] - 8 * points[1] + 8 * points[2] - points[3]) / (12 * h)
        np.testing.assert_allclose(slope(x), numerical, rtol=1e-7, atol=1e-8)
        f = slope


@pytest.mark.parametrize(("name", "second"), [("ber", 0), ("bei", 0.5), ("berp", 0), ("beip", 0)])
def test_kelvin_functions_have_a_curvature_at_zero(name: str, second: float) -> None:
    slope = elementwise_grad(elementwise_grad(getattr(special, name)))
    assert slope(np.array(0.0)) == second


def test_the_power_of_a_transformation_by_box_and_cox_has_a_slope_at_zero() -> None:
    x = np.array([0.2, 1.0, 7.0, 1e5])
    found = elementwise_grad(lambda power: special.boxcox(x, power))(np.zeros(4))
    np.testing.assert_allclose(found, np.log(x) ** 2 / 2, rtol=1e-14)


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


# a, x, and the first and second derivative of gammainc(a, x) in a; then a, b, x, the first derivatives of
# betainc(a, b, x) in a and b, and that in both; by mpmath 1.4.1 at 40 digits, of the tail that is the smaller
OF_GAMMAINC = [
    (0.5, 0.1, -0.8229360969795988, 1.6586313062993034),
    (0.5, 3.0, -0.04724032644797375, -0.08598986897368568),
    (0.01, 1e-08, -14.939901911588276, 265.467428156362),
    (0.01, 30.0, -3.270503078166221e-15, -2.556854768040216e-14),
    (2.5, 2.0, -0.27455132194588155, 0.06707717180911078),
    (2.5, 60.0, -1.0696234590510459e-23, -3.491444283727399e-23),
    (2.5, 1e-06, -4.489040356169491e-15, 6.687109455039973e-14),
    (40.0, 20.0, -3.866345540913452e-05, 2.685698650115684e-05),
    (40.0, 45.0, -0.04462581864678252, -0.005264816074060164),
    (40.0, 120.0, -7.617700297154527e-18, -8.385677710862823e-18),
    (1000.0, 900.0, -6.245709035841566e-05, 6.581064795890883e-06),
    (1000.0, 1100.0, -0.00011048987784079389, -1.0531678471574556e-05),
    (30.0, 0.001, -3.888945885522547e-122, 4.0143071269713645e-121),
]
OF_BETAINC = [
    (0.5, 0.5, 0.1, -0.5926200221433794, 0.2768155243583513, -0.47342123086420335),
    (2.0, 3.0, 0.4, -0.24086937608755657, 0.15634433641359877, 0.008923407670034283),
    (2.0, 3.0, 0.999, -4.327084533666821e-09, 2.661129785009167e-08, 2.7924562715818732e-08),
    (2.0, 3.0, 1e-06, -7.939295882374012e-11, 3.499991333339583e-12, -4.498457108802488e-11),
    (40.0, 60.0, 0.2, -1.939902031843783e-06, 8.047039546324659e-07, -5.559462680684189e-07),
    (40.0, 60.0, 0.41, -0.04750126636383834, 0.03228590089926871, 0.0008789999105704138),
    (40.0, 60.0, 0.7, -1.6742200742937196e-10, 2.0686818037762407e-10, 1.1640748891819925e-10),
    (0.1, 20.0, 0.01, -1.1923647704960758, 0.0037532370168165703, 0.032911180799537226),
    (300.0, 2.0, 0.99, -0.001481100883176782, 0.19465920620957652, -0.0010059022906172008),
]


def test_derivatives_in_the_parameters_of_incomplete_functions_keep_their_digits_in_the_tails() -> None:
    a, x, first, second = np.array(OF_GAMMAINC).T
    slope = elementwise_grad(special.gammainc)
    np.testing.assert_allclose(slope(a, x), first, rtol=1e-13)
    np.testing.assert_allclose(elementwise_grad(slope)(a, x), second, rtol=1e-13)
    a, b, x, in_a, in_b, in_both = np.array(OF_BETAINC).T
    slope = elementwise_grad(special.betainc)
    for found, wanted in [
        (slope(a, b, x), in_a), (elementwise_grad(special.betainc, 1)(a, b, x), in_b),
        (elementwise_grad(slope, 1)(a, b, x), in_both),
    ]:  # fmt: skip
        np.testing.assert_allclose(found, wanted, rtol=3e-13)  # at 300, ln B has lost 300 roundings


# x, q, and zeta(x, q) with its first and second derivative in x, by mpmath 1.4.1 at 40 digits
OF_ZETA = [
    (2.0, 1.0, 1.6449340668482264, -0.9375482543158438, 1.989280234298901),
    (1.1, 0.3, 13.925622630916047, -95.50731492058073, 2005.4464690748339),
    (3.5, 2.5, 0.06517125158965971, -0.07473078610885922, 0.09511803513945634),
    (30.0, 1.5, 5.215096203815732e-06, -2.114540135056862e-06, 8.573727841524475e-07),
    (0.5, 1.0, -1.4603545088095868, -3.9226461392091516, -16.008357013928663),
    (-0.5, 1.0, -0.20788622497735457, -0.3608543395999476, -0.596229176765016),
    (-3.3, 1.0, 0.006208678127736984, 0.00837857995524234, -0.006105281370163987),
    (-10.5, 1.0, 0.011146122473942813, -0.02375144392688432, -0.0033771099179824384),
    (8.0, 100.0, 1.4792379952695095e-15, -7.016141046710748e-15, 3.330827964013755e-14),
]


def test_derivatives_of_zeta_in_its_exponent() -> None:
    x, q, *wanted = np.array(OF_ZETA).T
    riemann = q == 1
    for f, where in ((lambda x: special.zeta(x, q[~riemann]), ~riemann), (special.zeta, riemann)):
        for order in wanted:
            np.testing.assert_allclose(f(Tensor(x[where], requires_grad=False)), order[where], rtol=4e-15)
            f = elementwise_grad(f)
    assert grad(special.zeta)(np.array(1.0)) == -INF


def test_incomplete_functions_at_their_ends() -> None:
    a = np.array(2.5)
    for x in (0.0, np.inf):
        assert grad(special.gammainc, (0, 1))(a, np.array(x)) == (0, 0)
    for x in (0.0, 1.0):
        assert grad(special.betainc, (0, 1, 2))(a, a, np.array(x)) == (0, 0, 0)
    assert np.isnan(grad(special.gammainc)(np.array(-1.0), np.array(0.5)))
    v = np.array(3.0)
    in_v, in_t = grad(special.stdtr, (0, 1))(v, np.array(0.0))
    assert (in_v, in_t) == (0, pytest.approx(2 / (np.pi * np.sqrt(3)), rel=1e-14))


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
    gamma = registered("gamma")  # alone, this test is the first to ask for it
    assert special.gamma(Tensor(2.5)).node.primitive is gamma


def test_methods_of_scipys_ufuncs() -> None:
    t = Tensor([0.5, 2.0, 3.0])
    np.testing.assert_array_equal(special.beta.outer(t, t).data, special.beta.outer(t.data, t.data))
    np.testing.assert_array_equal(special.xlogy.accumulate(t).data, special.xlogy.accumulate(t.data))
    with pytest.raises(TypeError, match="would write"):
        special.xlogy(t, t, out=np.zeros(3))


def test_functions_of_scipy_that_are_no_ufuncs_have_ours_of_the_same_name_and_signature() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    calls = [
        ("logsumexp", (a,), {}), ("logsumexp", (a,), {"axis": 1, "keepdims": True}),
        ("logsumexp", (a,), {"axis": (0, 1), "b": np.abs(b)}), ("logsumexp", (a, 0), {"b": b, "return_sign": True}),
        ("logsumexp", (a - INF,), {"b": np.ones(4)}), ("logsumexp", (a, 1, 0.5), {}),
        ("softmax", (a,), {}), ("softmax", (a,), {"axis": 0}), ("log_softmax", (a,), {}), ("softmax", (a[0],), {}),
        ("log_softmax", (a, 1), {}), ("polygamma", (2, np.abs(a)), {}), ("multigammaln", (3.5, 3), {}),
        ("zeta", (2.5,), {}), ("zeta", (2.5, 1.5), {}), ("lambertw", (a + 1, -1), {}), ("sinc", (a,), {}),
        ("comb", (5.5, 2.0), {}), ("gammainc", (2.0, np.abs(a)), {}), ("erf", (a,), {}), ("softplus", (a,), {}),
        ("psi", (np.abs(a),), {}),
    ]  # fmt: skip
    for name, args, options in calls:
        wanted = getattr(special, name)(*args, **options)
        for given in (args, [Tensor(x) if isinstance(x, np.ndarray) else x for x in args]):
            found = getattr(tg.special, name)(*given, **options)
            pairs = zip(found, wanted, strict=True) if isinstance(wanted, tuple) else [(found, wanted)]
            for x, y in pairs:
                np.testing.assert_allclose(getattr(x, "data", x), y, rtol=1e-13, err_msg=name)


@pytest.mark.parametrize("options", [{"return_sign": True}, {"b": 2}, {"b": -0.5, "return_sign": True}])
def test_logsumexp_of_float32_stays_float32(options: dict[str, Any]) -> None:
    out = tg.special.logsumexp(Tensor(np.float32([1, 2])), **options)
    assert {x.dtype for x in (out if isinstance(out, tuple) else [out])} == {np.dtype(np.float32)}


def test_gradients_of_logsumexp_with_factors() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(3, 4)), rng.uniform(0.5, 1.5, (3, 4)) * rng.choice([-1, 1], (3, 4))
    b[0, 0] = 0
    f = lambda a, b: tg.special.logsumexp(a, axis=1, b=b, return_sign=True)[0]
    assert tg.check_gradients(f, a, b, order=2).ok
    assert tg.check_gradients(lambda a: tg.special.softmax(a), a, order=2).ok
    assert tg.check_gradients(lambda a: tg.special.multigammaln(a, 3), np.array([2.5, 4.0]), order=2).ok


def test_a_function_without_a_derivative_names_the_nearest() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'logsumexpp'; did you mean 'logsumexp'"):
        tg.special.logsumexpp  # noqa: B018
    assert {"gammainc", "jv", "logsumexp"} <= set(dir(tg.special))
    assert all(callable(getattr(tg.special, name)) for name in dir(tg.special))


IN_A_FRESH_PROCESS = """
import pickle, sys
import numpy as np
import tinygrad_nn as tg
from tinygrad_nn.primitive import REGISTRY, RESERVED, registered
reserved = set(RESERVED)
assert reserved and not reserved & set(REGISTRY), "a late row is loaded"
try:
    tg.declare(lambda x: x, "x", (lambda g, out, x: g, "g"), name="gamma")
except ValueError as error:
    assert "declared already" in str(error)
before = set(REGISTRY)
assert registered("gamma").name == "gamma"
late = set(REGISTRY) - before - {"sparse_matmul", "sparse_solve"}  # a door of their own leads to these
assert late == reserved, late ^ reserved
assert "scipy" not in sys.modules
from scipy import special
assert special.beta(tg.Tensor(2.0), 3.0).node.primitive is pickle.loads(pickle.dumps(REGISTRY["beta"]))
"""


def test_the_rows_are_loaded_when_one_is_looked_for_and_their_names_are_kept_free() -> None:
    done = subprocess.run([sys.executable, "-c", IN_A_FRESH_PROCESS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


WITH_THE_ARRAY_API = """
import numpy as np
from scipy import special
from tinygrad_nn import Tensor, grad
t = Tensor([0.3, 0.5])
calls = {"gammainc": (t, t), "expit": (t,), "jv": (1.5, t), "betainc": (t, t, t), "log_ndtr": (t,), "polygamma": (1, t),
         "multigammaln": (t + 3, 2), "zeta": (t, 2.0), "stdtr": (t, t)}
for name, args in calls.items():
    assert getattr(special, name)(*args).requires_grad, name
assert abs(grad(special.gammainc)(2.5, 60.0) / -1.0696234590510459e-23 - 1) < 1e-12
assert type(special.expit(np.ones(2))) is np.ndarray
"""


def test_they_are_found_by_scipys_array_api_too() -> None:
    command, settings = [sys.executable, "-c", WITH_THE_ARRAY_API], {**os.environ, "SCIPY_ARRAY_API": "1"}
    done = subprocess.run(command, env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_hyperbolic_sine_integral_has_a_slope_at_zero_and_of_complex_numbers() -> None:
    for z in (np.array([0.0, 1e-9, -3.0, 300.0]), np.array([0j, 1 + 2j, 30j, -3 + 0.1j])):
        slope = np.conj(grad(lambda z: np.real(special.shichi(z)[0]).sum())(z))  # of a real part
        wanted = np.divide(np.sinh(z), z, out=np.ones_like(z), where=z != 0)
        np.testing.assert_allclose(slope, wanted, rtol=1e-14)


def test_whoever_looks_for_a_row_loads_all_of_them_first(monkeypatch: pytest.MonkeyPatch) -> None:
    rows.load()
    loaded: list[int] = []
    monkeypatch.setattr(rows, "load", lambda: loaded.append(len(loaded)))
    assert rows.replacement_named("gamma") is REGISTRY["gamma"]
    assert rows.replacement_named("no such name") is None
    assert "gamma" in rows.names()
    assert rows._find("gamma") is REGISTRY["gamma"]
    assert loaded == [0, 1, 2, 3]
