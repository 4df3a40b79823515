"""The gradient check itself: rules with an error of a thousandth in any order are rejected, blind tests say so."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Tensor, declare, nn, softmax
from tinygrad_nn.gradcheck import (
    Estimate,
    GradientReport,
    assert_gradients,
    check_gradients,
    check_primitive,
    derivative,
    numerical_gradient,
)
from tinygrad_nn.gradcheck.check import Check
from tinygrad_nn.gradcheck.numerical import Line
from tinygrad_nn.primitive import OVERRIDES, REGISTRY

POINT = np.array([[0.3, -1.2, 0.7], [1.9, 0.4, -0.6]])


@pytest.fixture
def temporary() -> Iterator[Callable[..., Any]]:
    """`declare`, undone after the test."""
    registry, overrides = dict(REGISTRY), dict(OVERRIDES)
    yield declare
    for table, before in ((REGISTRY, registry), (OVERRIDES, overrides)):
        table.clear()
        table.update(before)


# -- Wrong rules are rejected, right ones are not


@pytest.mark.parametrize("factor", [1.0, 1.001, 0.999, 1.0 + 1e-7, -1.0, 0.0])
def test_a_rule_a_thousandth_wrong_is_rejected(temporary: Any, factor: float) -> None:
    cube = temporary(lambda x: x * x * x, "x^3", (lambda g, out, x: g * 3 * x * x * factor, "3 x^2 g"), name="cube")
    report = check_gradients(cube, POINT)
    assert report.ok is (factor == 1.0)
    assert report.blind is False
    if factor != 1.0:
        with pytest.raises(AssertionError, match=r"8 of 8 comparisons of gradients disagree:\n  order 1, the argument"):
            assert_gradients(cube, POINT)


@pytest.mark.parametrize("factor", [1.0, 1.001, 0.999])
def test_a_rule_right_in_first_and_a_thousandth_wrong_in_second_order_is_rejected(
    temporary: Any, factor: float
) -> None:
    square = temporary(lambda x: x * x, "x^2", (lambda g, out, x: g * 2 * x * factor, "2 x g"), name="_square")
    cube = temporary(lambda x: x * x * x, "x^3", (lambda g, out, x: 3 * g * square(x), "3 x^2 g"), name="cube")
    assert check_gradients(cube, POINT, order=1).ok
    report = check_gradients(cube, POINT, order=2)
    assert report.ok is (factor == 1.0)
    assert {check.order for check in report.failures} <= {2}


def test_a_rule_that_drops_the_graph_of_its_cotangent_is_rejected_in_second_order(temporary: Any) -> None:
    def bare(g: Any) -> Any:
        return g.data if isinstance(g, Tensor) else g

    twice = temporary(lambda x: 2 * x, "2x", (lambda g, out, x: 2 * bare(g), "2 g"), name="twice")
    assert check_gradients(twice, POINT).ok
    report = check_gradients(twice, POINT, order=2)
    assert not report.ok
    assert all("a cotangent of order 1" in check.where for check in report.failures)


def test_an_error_that_a_cotangent_of_ones_hides_is_found(temporary: Any) -> None:
    def vjp(g: Any, out: Any, x: Any) -> Any:
        return 7 * out * (g - (g * out).sum(axis=-1, keepdims=True))  # of ones it is exactly zero

    wrong = temporary(lambda x: softmax(x), "s", (vjp, "7 s"), name="wrong_softmax")
    assert not check_gradients(wrong, POINT).ok
    assert not check_gradients(lambda x: wrong(x)[0], POINT).ok


def test_an_error_in_one_entry_is_found_along_one_direction(temporary: Any) -> None:
    factors = np.ones((20, 30))
    factors[7, 11] = 1.001
    sine = temporary(np.sin, "s", (lambda g, out, x: g * np.cos(x) * factors, "c"), name="sine", numpy=())
    x = np.linspace(0, 1, 600).reshape(20, 30)
    assert not check_gradients(lambda x: REGISTRY["sine"](x), x, directions=1).ok
    assert sine.name == "sine"


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (lambda x, y: x @ y + np.exp(-y).sum(), (POINT, np.array([0.1, 0.2, 0.3]))),
        (lambda p: np.tanh(p["W"] @ p["b"]).sum() * p["c"][0], ({"W": POINT, "b": np.ones(3), "c": (2.0,)},)),
        (lambda x: {"a": np.sin(x), "b": [x * x, x.sum()]}, (POINT,)),
        (lambda x, n, how: x**n if how == "power" else x, (POINT, 3, "power")),
        (lambda x, i: x[i], (POINT, np.array([0, 1, 1]))),
        (lambda x: x.reshape(-1)[::2] * 1.5, (POINT,)),
        (lambda x: np.exp(x), (0.5,)),
        (lambda x: np.log(x), (np.array([0.02, 1.0, 1e6]),)),
        (lambda x: np.sqrt(x), (np.array([1e-5, 3.0]),)),
        (lambda x: x * 1e-30, (POINT,)),
        (lambda x: x * x * 1e30, (POINT,)),
        (lambda x: np.sin(x) * np.cos(3 * x) / (2 + x * x), (np.linspace(-50, 50, 7),)),
    ],
)
def test_right_gradients_pass_in_both_orders(f: Callable[..., Any], args: tuple[Any, ...]) -> None:
    report = check_gradients(f, *args, order=2)
    assert report.ok, str(report)
    assert str(report).startswith(f"gradients agree in {len(report.checks)} comparisons; the tightest: order")


def test_higher_orders_are_checked_too() -> None:
    report = check_gradients(lambda x: np.tanh(x) * np.exp(x), POINT[0], order=4)
    assert report.ok, str(report)
    assert {check.order for check in report.checks} == {1, 2, 3, 4}


def test_complex_arguments_and_results_are_compared_as_pairs_of_real_numbers() -> None:
    z = POINT + 1j * POINT[::-1]
    for f in (lambda z: z * z, np.exp, lambda z: z @ z.T, lambda z: 1 / z):
        assert check_gradients(f, z, order=2).ok


def test_float32_is_replayed_in_float64() -> None:
    seen = []

    def f(x: Any) -> Any:
        seen.append(x.dtype)
        return np.tanh(x)

    report = check_gradients(f, POINT.astype(np.float32))
    assert report.ok
    assert set(seen) <= {np.dtype(float), np.dtype(complex)}
    assert max(check.tolerance for check in report.checks) < 1e-9


def test_results_computed_in_float32_agree_but_cannot_show_a_thousandth() -> None:
    report = check_gradients(lambda x: np.tanh(x.astype(np.float32)), POINT)
    assert not report.failures
    assert report.blind
    assert not check_gradients(lambda x: x + 0.01 * Tensor(x.data.astype(np.float32)), POINT).ok


# -- A test that cannot see an error says so


@pytest.mark.parametrize(
    "f", [lambda x: np.sum(x * 0), lambda x: Tensor(3.0), lambda x: np.sign(x), lambda x: np.stack([]), lambda x: x - x]
)
def test_a_constant_function_is_a_blind_test(f: Callable[..., Any]) -> None:
    if "stack" in f.__code__.co_names:
        f = lambda x: x[:0]
    report = check_gradients(f, POINT)
    assert report.blind
    assert not report.ok
    with pytest.raises(AssertionError, match="a blind test, which any rule would pass"):
        assert_gradients(f, POINT)


def test_a_direction_of_zeros_is_a_blind_test() -> None:
    report = check_gradients(np.exp, POINT, direction=(np.zeros_like(POINT),))
    assert report.blind
    assert not report.ok
    assert check_gradients(np.exp, POINT, direction=(np.ones_like(POINT),)).ok


def test_a_direction_along_which_nothing_changes_is_a_blind_test() -> None:
    assert check_gradients(lambda x: softmax(x), POINT, direction=(np.ones_like(POINT),)).blind
    assert check_gradients(lambda x: softmax(x), POINT).ok


def test_second_order_of_a_function_whose_gradient_is_constant_is_still_seen_through_the_cotangent() -> None:
    assert check_gradients(lambda x: 3 * x, POINT, order=2).ok


def test_an_argument_without_influence_is_named() -> None:
    report = check_gradients(lambda x, y: np.exp(x) + 0 * y, POINT, POINT)
    assert report.ok
    assert report.unseen == ("argument 1",)
    assert "the result does not depend on argument 1" in str(report)
    assert check_gradients(lambda x, y: np.exp(x) + y, POINT, POINT).unseen == ()


def test_a_function_that_is_not_a_function_is_reported(rng: np.random.Generator) -> None:
    report = check_gradients(lambda x: x * rng.uniform(), POINT)
    assert not report.ok
    assert "two different results for the same arguments" in str(report)


def test_results_that_are_not_finite_are_no_agreement() -> None:
    report = check_gradients(lambda x: np.log(x), np.array([-1.0, -2.0]))
    assert not report.ok


# -- Kinks


@pytest.mark.parametrize("f", [np.abs, lambda x: np.maximum(x, 0), lambda x: np.abs(x) + 10 * x, lambda x: x + abs(x)])
def test_a_kink_at_the_point_is_reported(f: Callable[..., Any]) -> None:
    report = check_gradients(f, np.array([0.0, 1.0, 2.0]))
    assert any("a kink at the point" in kink for kink in report.kinks)


def test_a_kink_that_only_wide_steps_see_is_not_at_the_point() -> None:
    w = 1e-7
    found = derivative(lambda t: float(w * (np.logaddexp(0, t / w) + np.tanh(t / w))), 1e-23)
    assert (found.value, found.kink) == (pytest.approx(1.5, abs=1e-12), "a kink at a distance of more than 8e-07")


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_a_jump_has_no_derivative_and_no_smaller_steps_are_tried(size: float) -> None:
    asked: list[float] = []
    found = derivative(lambda t: asked.append(t) or size * float(t > 0) + t * t, 1e-16)
    assert (found.error >= abs(found.value), found.kink, len(asked) < 50) == (True, "a kink at the point", True)


def test_a_complex_step_is_of_the_first_order_only() -> None:
    report = check_gradients(lambda x: np.exp(x) * np.sin(x), np.array([0.3, 0.7]), order=2, complex_step=True)
    assert report.ok
    assert {(c.order, c.method) for c in report.checks} == {(1, "complex step"), (2, "differences")}


def test_a_comparison_without_a_tolerance_is_blind() -> None:
    check = Check(1, "x", 1.0, 1.0, np.nan)
    assert (check.agrees, check.blind) == (False, True)


@pytest.mark.parametrize("distance", [0.01, 0.003, 1e-3, 1e-4, 1e-5])
def test_a_kink_near_the_point_is_reported_with_its_distance(distance: float) -> None:
    report = check_gradients(np.abs, np.array([distance]), entries=1, directions=0)
    assert report.ok, str(report)
    assert "a kink at a distance of about" in report.kinks[0]
    told = float(report.kinks[0].split()[-1])
    assert distance / 3 < told < 3 * distance


@pytest.mark.parametrize("near", [3e-3, 1e-3, 1e-4, 2e-5])
@pytest.mark.parametrize("small", [1e-3, 1e-5, 1.0])
def test_kinks_near_the_point_do_not_spoil_the_slope_by_agreeing_by_chance(near: float, small: float) -> None:
    def phi(t: float) -> float:  # what a bias of relu units does to a loss: many slopes that jump at many distances
        return np.exp(t) + small * sum(max(t - near * k, 0.0) for k in range(1, 9))

    found = derivative(phi, 1e-15)
    assert abs(found.value - 1) <= 1e-7 + 10 * found.error <= 2e-7


@pytest.mark.parametrize("up", [1e-2, 6e-3, 3e-3, 1.8e-3, 1e-3, 2e-4])
@pytest.mark.parametrize("down", [7e-3, 4e-3, 1.5e-3, 3e-4])
def test_kinks_on_both_sides_whose_wide_differences_agree_do_not_spoil_the_slope(up: float, down: float) -> None:
    def phi(t: float) -> float:  # beyond both the difference of two sides is a line through 0, of another slope
        return t + max(t - up, 0.0) / up + max(-t - down, 0.0) / down

    found = derivative(phi, 1e-16)
    assert abs(found.value - 1) <= 1e-9 + 10 * found.error <= 1e-7
    assert found.kink


def test_a_disagreement_at_a_kink_says_that_convention_decides(temporary: Any) -> None:
    right = temporary(np.abs, "|x|", (lambda g, out, x: g * np.where(x >= 0, 1, -1), "g"), name="right_abs")
    report = check_gradients(lambda x: right(x), np.array([0.0]))
    assert not report.ok
    assert "a kink at the point, where derivatives are a matter of convention" in str(report)


@pytest.mark.parametrize("power", [1, 2, 3, 4, 5, 7, 8])
@pytest.mark.parametrize("at", [0.0, 0.01, 1.0])
def test_a_smooth_function_has_no_kink(power: int, at: float) -> None:
    assert check_gradients(lambda x: np.exp(x) + x**power, np.array([at])).kinks == ()
    assert check_gradients(lambda x: np.sin(30 * x) + x**power, np.array([at])).kinks == ()


# -- Numerical derivatives and their error estimates

FUNCTIONS: list[tuple[Callable[..., Any], Callable[..., Any], float]] = [
    (np.exp, np.exp, 0.0),
    (np.sin, np.cos, 1e6),
    (np.log, lambda x: 1 / x, 1e-7),
    (np.log, lambda x: 1 / x, 0.02),
    (np.sqrt, lambda x: 0.5 / np.sqrt(x), 1e-3),
    (lambda x: np.sin(40 * x), lambda x: 40 * np.cos(40 * x), 0.3),
    (lambda x: 1 / x, lambda x: -1 / x**2, 0.05),
    (lambda x: np.tanh(100 * x), lambda x: 100 / np.cosh(100 * x) ** 2, 0.004),
    (lambda x: np.round(np.exp(x), 9), np.exp, 0.5),
    (lambda x: x * 0 + 5.0, lambda x: 0 * x, 1.0),
    (lambda x: np.arctan(x) * 1e12, lambda x: 1e12 / (1 + x * x), 0.4),
]


@pytest.mark.parametrize(("f", "slope", "x"), FUNCTIONS)
def test_the_error_estimate_bounds_the_error(f: Callable[..., Any], slope: Callable[..., Any], x: float) -> None:
    with np.errstate(invalid="ignore", divide="ignore"):
        found = derivative(lambda t: f(x + t), 2e-16 * abs(f(x)))
    assert abs(found.value - slope(x)) <= 10 * found.error
    assert found.error <= 1e-6 * (abs(slope(x)) + 1)


HARD: list[tuple[Callable[..., Any], float, float, float]] = [
    (lambda x: (1e9 + 3.7 * x) - 1e9, 1.0, 3.7, 1e-5),  # differences of small steps agree on 3.75
    (lambda x: float(np.float64(np.float32(3.7) * np.float32(x))), 1.0, 3.7, 1e-3),
    (lambda x: float(np.float32(np.sin(x))) * 1e6, 0.4, 1e6 * np.cos(0.4), 1e-3),
    (lambda x: np.sin(2.0**9 * np.pi * x), 0.0, 2.0**9 * np.pi, 1e-6),  # all wide steps end where it is 0
    (lambda x: np.sin(2.0**20 * np.pi * x), 0.0, 2.0**20 * np.pi, 1e-6),
    (lambda x: np.cos(2.0**20 * np.pi * x + 1), 1.0, -(2.0**20) * np.pi * np.sin(1), 1e-4),
    (np.log, 1e-10, 1e10, 1e-6),
    (np.log, 1e-290, 1e290, 1e-6),
    (np.sqrt, 1e-20, 5e9, 1e-6),
    (np.cbrt, 1e-30, 1e20 / 3, 1e-6),
    (lambda x: 1 / x, 1e-10, -1e20, 1e-6),
    (lambda x: x * abs(x), 1e-9, 2e-9, 1.0),
    (lambda x: x / (1 + abs(x)), 1e-9, 1 - 2e-9, 1e-9),
    (lambda x: abs(x - 3e-7) + 2 * x, 0.0, 1.0, 1e-6),
    (lambda x: x + 1e-3 * np.tanh(1e4 * x), 0.0, 11.0, 1e-6),
    (lambda x: np.tanh(1e6 * x), 1e-7, 1e6 / np.cosh(0.1) ** 2, 1e-6),
    (lambda x: 1e280 * np.sin(x), 0.5, 1e280 * np.cos(0.5), 1e-9),
    (lambda x: 1e-280 * np.sin(x), 0.5, 1e-280 * np.cos(0.5), 1e-9),
    (lambda x: np.round(np.exp(x), 7), 0.5, np.exp(0.5), 1e-4),
    (lambda x: (np.exp(x) - 1 - x) * 1e6, 1e-3, 1e6 * np.expm1(1e-3), 1e-6),
]


@pytest.mark.parametrize(("f", "x", "slope", "within"), HARD)
def test_hard_functions(f: Callable[..., Any], x: float, slope: float, within: float) -> None:
    with np.errstate(all="ignore"):
        found = derivative(lambda t: f(x + t), 2e-16 * abs(f(x)))
    assert abs(found.value - slope) <= 10 * found.error
    assert abs(found.value - slope) <= within * abs(slope)


@pytest.mark.parametrize("f", [lambda x: float(x > 0), np.sign, lambda x: 1 / x if x else 0.0, np.ceil])
def test_where_there_is_no_derivative_none_is_believed(f: Callable[..., Any]) -> None:
    calls = []

    def phi(t: float) -> float:
        calls.append(t)
        return float(f(t))

    found = derivative(phi, 0.0)
    assert not found.error < abs(found.value) / 10
    assert len(calls) < 350


@pytest.mark.parametrize(("f", "at"), [(lambda x: np.arcsin(x), 1.0), (lambda x: np.sqrt(x), 0.0)])
def test_an_infinite_slope_at_the_end_of_a_domain_is_none(f: Callable[..., Any], at: float) -> None:
    with np.errstate(all="ignore"):
        assert np.isnan(derivative(lambda t: f(at + t), 1e-16).value)


def softsign(x: Any) -> Any:
    return x / (1 + abs(x))


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (softsign, 1e-9), (softsign, 1e-7), (softsign, -1e-12), (softsign, 1e-4), (lambda x: x * abs(x), 1e-9),
        (lambda x: x * abs(x), -1e-5), (lambda x: softsign(0.01 * x) + x, 1e-5), (lambda x: x * x, 1e-20),
        (lambda x: x * x, 1e-160), (lambda x: np.log(x), 1e-12),
    ],
)  # fmt: skip
def test_right_gradients_at_small_arguments_pass(f: Callable[..., Any], x: float) -> None:
    report = check_gradients(f, np.array([x]))
    assert not report.failures, str(report)


def test_a_function_that_is_nowhere_finite_has_no_derivative() -> None:
    found = derivative(lambda t: np.nan, 0.0)
    assert np.isnan(found.value)
    assert found.error == np.inf


def test_a_complex_step_referees_analytic_functions_to_the_last_digits() -> None:
    f = lambda x: np.exp(x) / np.sqrt(np.sin(x) ** 3 + np.cos(x) ** 3)
    report = check_gradients(f, np.array([1.5, 0.3]), complex_step=True)
    assert report.ok
    assert {check.method for check in report.checks} == {"complex step"}
    assert all(check.error < 1e-14 * abs(check.analytic) for check in report.checks)
    assert {c.method for c in check_gradients(f, np.array([1.5]), complex_step=False).checks} == {"differences"}


@pytest.mark.parametrize("f", [lambda x: abs(x) * x, lambda x: np.maximum(x, 0) ** 2, lambda x: np.where(x > 0, x, 2)])
def test_a_complex_step_is_not_trusted_where_the_function_is_not_analytic(f: Callable[..., Any]) -> None:
    assert check_gradients(f, POINT).ok
    if "abs" in f.__code__.co_names:
        assert {check.method for check in check_gradients(f, POINT).checks} == {"differences"}
        with pytest.raises(ValueError, match=r"the function is not analytic here. Use complex_step=False"):
            check_gradients(f, POINT, complex_step=True)


@pytest.mark.parametrize(
    ("f", "args", "argnums", "wanted"),
    [
        (lambda x: np.sum(x**3), (POINT,), 0, 3 * POINT**2),
        (lambda x, y: np.sum(x * y), (POINT, 2 * POINT), 1, POINT),
        (lambda x, y: np.sum(x * y), (POINT, 2 * POINT), -1, POINT),
        (lambda x: float(x * x), (3.0,), 0, 6.0),
        (lambda x: np.sum(x**2), (POINT.astype(np.float32),), 0, 2 * POINT.astype(np.float32)),
        (lambda z: np.sum(abs(z) ** 2), (POINT * (1 + 2j),), 0, 2 * POINT * (1 + 2j)),
        (lambda x: np.sum(x**2), (np.array([1e8, 1e-8]),), 0, np.array([2e8, 2e-8])),
    ],
)
def test_numerical_gradient(f: Callable[..., Any], args: tuple[Any, ...], argnums: int, wanted: Any) -> None:
    found = numerical_gradient(f, *args, argnums=argnums)
    assert found.dtype == np.result_type(wanted, np.float64)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-15)


def test_numerical_gradient_takes_containers_and_tensors_and_leaves_integers() -> None:
    found = numerical_gradient(lambda p: (p["w"] ** 2).sum() * p["n"], {"w": np.array([1.0, 2.0]), "n": 3})
    np.testing.assert_allclose(found["w"], [6.0, 12.0], rtol=1e-10)
    found = numerical_gradient(lambda t: t.exp().sum(), Tensor([0.0, 1.0]))
    np.testing.assert_allclose(found, np.exp([0.0, 1.0]), rtol=1e-12)


def test_numerical_gradient_moves_copies_only() -> None:
    x = POINT.copy()
    x.flags.writeable = False
    numerical_gradient(lambda x: np.sum(x * x), x)
    assert np.array_equal(x, POINT)


# -- Primitives by name, errors, reports


@pytest.mark.parametrize("name", ["sqrt", "power", "divide", "log1p", "softmax", "matmul"])
def test_a_primitive_is_checked_on_its_domain(name: str) -> None:
    shapes = [(2, 3), (3, 2)] if name == "matmul" else []
    report = check_primitive(name, *shapes)
    assert report.ok, str(report)
    assert not report.kinks


def test_a_wrong_primitive_is_rejected_by_name(temporary: Any) -> None:
    temporary(lambda x: x**0.5, "x", (lambda g, out, x: 0.5005 * g / out, "g"), name="root", domain=[(0.1, 2)])
    assert not check_primitive("root").ok


def test_errors_say_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"no primitive is named 'sine'; names like it are .*sin"):
        check_primitive("sine")
    with pytest.raises(TypeError, match="none of the 2 arguments is made of floats"):
        check_gradients(lambda x, y: x, 3, [True])
    with pytest.raises(ValueError, match=r"needs one number; the function returned an array of shape \(2, 3\)"):
        numerical_gradient(lambda x: x, POINT)


@pytest.mark.parametrize("phi", [
    np.exp, lambda t: np.sin(1 + t), lambda t: 1 / (2 + t), lambda t: 2.0**20 + t, lambda t: (3 + t) ** 5, np.arctan,
])  # fmt: skip
def test_the_estimate_is_an_entry_of_the_whole_table_of_ridders_with_its_doubt(phi: Callable[[float], Any]) -> None:
    size, eps = 24, np.finfo(float).eps
    table, doubt = np.full((size, size), np.nan), np.full((size, size), np.inf)
    expected = set()
    for k in range(size):
        h = 2.0 ** (-6 - k)
        up, down = float(phi(h)), float(phi(-h))
        table[k, 0] = (up - down) / (2 * h)
        for j in range(1, k + 1):
            table[k, j] = table[k, j - 1] + (table[k, j - 1] - table[k - 1, j - 1]) / (4**j - 1)
            beside, above = abs(table[k, j] - table[k, j - 1]), abs(table[k, j] - table[k - 1, j - 1])
            doubt[k, j] = max(beside, above) + eps * max(abs(up), abs(down)) / h  # the rounding of two values
        least = np.unravel_index(doubt.argmin(), doubt.shape)
        expected.add((float(table[least]), float(doubt[least])))
    found = derivative(phi, 0.0)
    assert (found.value, found.error) in expected


@pytest.mark.parametrize(("f", "x", "slope"), [
    (np.sin, 0.0, 1.0),  # the value, and so its rounding, is 0
    (np.exp, 0.5, np.exp(0.5)),
    (lambda x: np.sin(3000 * x), 0.25, 3000 * np.cos(750)),  # wide steps do not show that it is analytic
])  # fmt: skip
def test_the_error_of_a_complex_step_is_the_rounding_of_slope_and_value(f: Any, x: float, slope: float) -> None:
    found = Line(lambda x: [f(x)], [np.asarray(x)]).along({0: np.asarray(1.0)}, [np.asarray(1.0)], None)
    eps = np.finfo(float).eps
    assert found.method == "complex step"
    assert found.error == pytest.approx(eps * (abs(slope) + abs(f(x))), rel=1e-12, abs=0)
    assert abs(found.value - slope) <= 2 * found.error


@pytest.mark.parametrize(("f", "dtype"), [
    (lambda x: float((x.astype(np.float32) ** 2).sum()), np.float32), (lambda x: float((x**2).sum()), np.float64),
    (lambda x: float((np.sin(x) ** 2 + np.cos(x) ** 2).sum()), np.float64),  # 3, but for rounding that depends on x
    (lambda x: 3.0, np.float64),
    (lambda x: float(np.float32((x**2).sum())), np.float32),  # rounds its result
    (lambda x: x.astype(np.float32).astype(float), np.float64),  # an array
])  # fmt: skip
def test_a_function_that_rounds_to_float32_inside_is_known_by_its_values(f: Any, dtype: Any) -> None:
    x = np.array([3.0, 1.7, 1.7])
    assert Line(lambda x: [np.asarray(f(x))], [x], may_round=True).eps == np.finfo(dtype).eps
    assert Line(lambda x: [np.asarray(f(x))], [x]).eps == np.finfo(np.float64).eps


def test_a_number_moves_along_directions_only_and_an_array_by_entries_too() -> None:
    number, array = (
        [check.where for check in check_gradients(np.sin, x, order=1).checks] for x in (0.5, np.array([0.5, 0.7]))
    )
    assert not any("entry" in where for where in number)
    assert [where for where in array if "entry" in where] == ["the argument entry (0,)", "the argument entry (1,)"]


def test_the_tolerance_is_the_numerical_error_and_the_rounding_of_the_rules() -> None:
    (check,) = check_gradients(np.sin, 0.5, order=1, directions=1).checks
    rounding = np.finfo(float).eps ** (2 / 3) * (abs(check.analytic) + abs(check.numerical))
    assert 1 < check.tolerance / rounding < 1 + 1e-3  # the complex step has an error of a few units in the last place


def test_a_report_knows_its_worst_comparison() -> None:
    report = assert_gradients(np.tanh, POINT)
    assert isinstance(report, GradientReport)
    assert report.worst in report.checks
    assert report.worst.error <= report.worst.tolerance
    assert GradientReport(()).blind
    assert not GradientReport(()).ok
    assert Estimate(1.0, 0.1).kink == ""


def test_the_same_seed_gives_the_same_report() -> None:
    assert check_gradients(np.tanh, POINT, rng=3) == check_gradients(np.tanh, POINT, rng=3)
    assert check_gradients(np.tanh, POINT, rng=3) != check_gradients(np.tanh, POINT, rng=4)


def test_a_function_that_closes_over_parameters_is_checked() -> None:
    model, b = nn.Linear(3, 2, rng=0), Tensor(np.ones(3))
    for f in (model, lambda x: (np.sin(x) * b).sum(axis=1)):
        assert check_gradients(f, np.array([[0.5, -1.0, 2.0]]), order=2).ok


@pytest.mark.parametrize("width", [1e-3, 1e-6])
@pytest.mark.parametrize("place", [0.0, 0.3, -2.0])
def test_a_step_that_is_steep_and_smooth_is_no_jump(width: float, place: float) -> None:
    found = derivative(lambda t: float(np.tanh(t / width + place)), 1e-16)
    right = (1 - np.tanh(place) ** 2) / width
    assert abs(found.value - right) <= 10 * found.error + 1e-12 * right
    assert found.error < 1e-5 * right


def test_the_slope_of_a_loss_of_tiny_vectors_that_are_normalised_is_no_jump() -> None:
    rng = np.random.default_rng(22007)
    a, b = (rng.normal(size=(6, 4)).astype(np.float32).astype(float) for _ in range(2))
    a = (a * 1e-6).astype(np.float32).astype(float)

    def loss(a: Any) -> Any:
        u, v = (x / np.sqrt((x * x).sum(axis=1, keepdims=True)) for x in (a, b))
        scores = u @ v.T / 0.1
        most = scores.max(axis=1, keepdims=True)
        return (most[:, 0] + np.log(np.exp(scores - most).sum(axis=1)) - np.diag(scores)).mean()

    t = Tensor(a)
    loss(t).backward()
    for i, j in np.ndindex(6, 4):
        moved = lambda h, i=i, j=j: loss(a + h * (np.arange(24).reshape(6, 4) == 4 * i + j))
        found = derivative(lambda h, moved=moved: float(moved(h)), 1e-15)
        assert abs(found.value - t.grad[i, j]) <= 10 * found.error + 1e-7 * np.abs(t.grad).max()
        assert found.error < 1e-4 * np.abs(t.grad).max()
