"""Elementwise functions where the table of cases cannot look: kinks, singular points, and calls that must raise."""

import re
from collections.abc import Callable

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import Tensor, elementwise_grad, grad

INF, NAN = np.inf, np.nan


def slopes(f: Callable, x: float, order: int) -> list[float]:
    """The derivatives of a function of one number, of order 1 up to the given one."""
    found = []
    for _ in range(order):
        f = elementwise_grad(f)
        found.append(float(f(x)))
    return found


def partials(f: Callable, *x: float) -> tuple[float, ...]:
    return tuple(float(g) for g in grad(f, argnums=tuple(range(len(x))))(*x))


# -- A branch that np.where did not take contributes nothing, to any order


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (np.log, 0.0), (np.log2, 0.0), (np.log10, 0.0), (np.log1p, -1.0), (np.sqrt, 0.0), (np.cbrt, 0.0),
        (np.reciprocal, 0.0), (lambda x: 1 / x, 0.0), (lambda x: x / x, 0.0), (lambda x: x**0.5, 0.0),
        (lambda x: x**-2, 0.0), (lambda x: x**-1.5, 0.0), (lambda x: x**x, -0.5), (tg.logit, 0.0), (tg.logit, 1.0),
        (np.arcsin, 1.0), (np.arccos, -1.0), (np.arctanh, 1.0), (np.arccosh, 1.0),
        (np.log, -1.0), (np.sqrt, -1.0), (np.arcsin, 2.0), (np.arccosh, 0.5), (lambda x: x**1.5, -1.0),
    ],
)  # fmt: skip
def test_a_branch_not_taken_has_no_gradient(f: Callable, x: float) -> None:
    with np.errstate(all="ignore"):  # the values themselves are infinite or NaN
        found = slopes(lambda t: np.where(t == x, 3 * t**2, f(t)), x, 3)
    assert found == [6 * x, 6, 0]


@pytest.mark.parametrize(
    ("f", "derivatives"),
    [
        (lambda x: (np.sqrt(x) - 2) ** 2, (0, 1 / 8, -3 / 64)),
        (lambda x: (np.log(x) - np.log(4)) ** 2, (0, 1 / 8, -3 / 32)),
        (lambda x: (x - 4) * np.log(x), (np.log(4), 1 / 2, -3 / 16)),
        (lambda x: (1 / x - 0.25) ** 2, (0, 1 / 128, -3 / 256)),
        (lambda x: (x**1.5 - 8) ** 2, (0, 18, 27 / 4)),
        (lambda x: (x - 4) / x, (1 / 4, -1 / 8, 3 / 32)),
    ],
)  # fmt: skip
def test_a_cotangent_that_is_zero_by_chance_hides_nothing(f: Callable, derivatives: tuple[float, ...]) -> None:
    np.testing.assert_allclose(slopes(f, 4.0, 3), derivatives, rtol=1e-12, atol=1e-12)


# -- Singular points and kinks: one convention each


def test_slopes_at_singular_points_are_infinite_where_a_cotangent_arrives() -> None:
    with np.errstate(divide="ignore"):
        assert slopes(np.sqrt, 0.0, 1) == slopes(np.cbrt, 0.0, 1) == slopes(np.log, 0.0, 1) == [INF]
        assert slopes(lambda x: x**0.5, 0.0, 1) == [INF]


@pytest.mark.parametrize("f", [np.arcsin, np.arccos, np.arccosh, np.arctanh])
@pytest.mark.parametrize("z", [1 + 0j, -1 + 0j])
def test_slopes_at_singular_points_of_complex_functions_are_infinite_too(f: Callable, z: complex) -> None:
    with np.errstate(all="ignore"):
        assert np.isinf(grad(lambda z: np.real(f(z)))(np.array(z)).real)


def test_powers_at_zero() -> None:
    assert slopes(lambda x: x**3, 0.0, 4) == [0, 0, 6, 0]
    assert slopes(lambda x: np.power(x, np.array(3.0)), 0.0, 4) == [0, 0, 6, 0]
    assert slopes(lambda x: (x**2) ** 2, 0.0, 4) == [0, 0, 0, 24]
    assert slopes(lambda x: x**0, 0.0, 2) == [0, 0]
    assert slopes(lambda x: x**1, 0.0, 2) == [1, 0]
    assert partials(lambda x, y: x**y, 0.0, 0.0) == (0, 0)
    assert partials(lambda x, y: x**y, 0.0, 2.0) == (0, 0)
    assert partials(lambda x, y: x**y, 0.0, 1.0) == (1, 0)
    assert slopes(lambda x: x**2, -3.0, 3) == [-6, 2, 0]


def test_lengths_and_angles_at_the_origin_have_slope_0() -> None:
    assert partials(np.hypot, 0.0, 0.0) == partials(np.arctan2, 0.0, 0.0) == (0, 0)
    assert slopes(lambda x: np.hypot(x, 0.0), 0.0, 2) == [0, 0]
    assert slopes(np.abs, 0.0, 2) == slopes(np.fabs, 0.0, 2) == [0, 0]
    z = Tensor(np.array([0j, 3 + 4j]))
    np.abs(z).sum().backward()
    np.testing.assert_allclose(z.grad, [0, 0.6 + 0.8j])


def test_hypot_and_arctan2_neither_overflow_nor_underflow() -> None:
    for x in (1e200, 1e-200):
        np.testing.assert_allclose(partials(np.hypot, 3 * x, 4 * x), (0.6, 0.8))
        np.testing.assert_allclose(partials(np.arctan2, 3 * x, 4 * x), (0.16 / x, -0.12 / x))
    assert slopes(np.arcsinh, -1e200, 1) == [1e-200]


def test_sinc_at_zero_to_order_4() -> None:
    np.testing.assert_allclose(slopes(np.sinc, 0.0, 4), [0, -(np.pi**2) / 3, 0, np.pi**4 / 5], rtol=1e-15)


def test_logaddexp_of_infinities() -> None:
    assert partials(np.logaddexp, -INF, -INF) == partials(np.logaddexp2, -INF, -INF) == (0, 0)
    assert partials(np.logaddexp, -INF, 1.0) == (0, 1)
    assert partials(np.logaddexp, INF, 1.0) == (1, 0)
    assert partials(np.logaddexp, INF, INF) == (0.5, 0.5)
    assert partials(np.logaddexp, 1000.0, 1000.0) == (0.5, 0.5)


def test_ties_are_shared_and_nan_loses_only_where_numpy_says_so() -> None:
    for f in (np.maximum, np.minimum, np.fmax, np.fmin):
        assert partials(f, 1.0, 1.0) == (0.5, 0.5)
    assert partials(np.fmax, NAN, 1.0) == partials(np.fmin, NAN, 1.0) == (0, 1)
    assert partials(np.fmax, 1.0, NAN) == (1, 0)
    assert partials(np.maximum, NAN, 1.0) == (1, 1)  # the result is NaN, and no gradient is silently 0


def test_clip_at_and_beyond_its_bounds() -> None:
    assert partials(np.clip, 0.5, 0.0, 1.0) == (1, 0, 0)
    assert partials(np.clip, 0.0, 0.0, 1.0) == partials(np.clip, -1.0, 0.0, 1.0) == (0, 1, 0)
    assert partials(np.clip, 1.0, 0.0, 1.0) == partials(np.clip, 2.0, 0.0, 1.0) == (0, 0, 1)
    assert partials(np.clip, 0.5, 1.0, 0.0) == (0, 0, 1)
    whole = np.clip(Tensor(np.array([-3, 2], np.int8)), 0, None)
    assert whole.dtype == np.int8
    assert whole.tolist() == [0, 2]


def test_steps_jumps_and_infinities_have_slope_0() -> None:
    assert slopes(lambda x: np.floor(x) * x, 2.0, 2) == [2, 0]
    assert slopes(lambda x: np.heaviside(x, 0.5) * x, 0.0, 2) == [0.5, 0]
    assert slopes(lambda x: np.copysign(x, -2.0), 0.0, 2) == [0, 0]
    x = Tensor([NAN, INF, 1.0])
    np.nan_to_num(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0, 1]
    z = Tensor(np.array([complex(NAN, 2), 1 + 1j]))
    (np.nan_to_num(z) * (2 + 3j)).real.sum().backward()
    assert z.grad is not None
    assert z.grad.tolist() == [-3j, 2 - 3j]


def test_interp_at_a_knot_and_outside() -> None:
    knots, values = np.array([0.0, 1.0, 3.0]), np.array([0.0, 2.0, -2.0])
    f = lambda x: np.interp(x, knots, values)
    assert [slopes(f, x, 1)[0] for x in (-1.0, 0.0, 0.5, 1.0, 3.0, 3.5)] == [0, 2, 2, -2, -2, 0]
    assert float(f(Tensor(3.0)).data) == -2.0
    assert partials(lambda x, left: np.interp(x, knots, values, left=left), -1.0, 5.0) == (0, 1)
    assert np.interp(Tensor([0.5], requires_grad=False), [1.0], [4.0], right=7.0).tolist() == [4.0]


# -- Calls


def test_where_of_a_ufunc_names_np_where() -> None:
    x = Tensor([1.0, 2.0])
    with pytest.raises(TypeError, match=re.escape("np.where(mask, np.exp(...), other)")):
        np.exp(x, where=np.array([True, False]))
    np.exp(x, where=True)


def test_dtype_of_a_ufunc_casts_the_arguments() -> None:
    x = Tensor(np.array([1.0, 2.0], np.float32))
    out = np.multiply(x, 0.1, dtype=np.float64)
    np.testing.assert_array_equal(out.data, np.multiply(x.data, 0.1, dtype=np.float64), strict=True)
    out.sum().backward()
    np.testing.assert_array_equal(x.grad, np.full(2, 0.1, np.float32), strict=True)
    with pytest.raises(TypeError, match="same_kind"):
        np.add(x, 1.0, dtype=int)


def test_out_is_refused() -> None:
    for call in (lambda x: np.clip(x, 0, 1, np.empty(2)), lambda x: np.exp(x, out=np.empty(2))):
        with pytest.raises(TypeError, match="out="):
            call(Tensor([1.0, 2.0]))


def test_operators_and_their_reflections() -> None:
    x = Tensor([7.5, -7.5])
    for found, wanted in [
        (x // 2, x.data // 2), (20 // x, 20 // x.data), (x % 2, x.data % 2), (20 % x, 20 % x.data),
        (np.array([3.0, 3.0]) // x, 3 // x.data), (divmod(x, 2)[1], x.data % 2), (divmod(20, x)[0], 20 // x.data),
        (x.real, x.data), (x.imag, x.data.imag), (x.conj(), x.data), (x.round(), x.data.round()),
        (x.clip(max=0), x.data.clip(max=0)), (x.sign(), np.sign(x.data)),
    ]:  # fmt: skip
        assert isinstance(found, Tensor)
        np.testing.assert_array_equal(found.data, wanted, strict=True)


def test_select_and_piecewise_raise_for_invalid_conditions() -> None:
    x = Tensor([1.0, -1.0])
    with pytest.raises(ValueError, match="1 conditions and 2 choices"):
        np.select([x > 0], [x, x])
    with pytest.raises(TypeError, match="bool"):
        np.select([x], [x])
    with pytest.raises(ValueError, match="1 conditions"):
        np.piecewise(x, [x > 0], [1, 2, 3])
    with pytest.raises(ValueError, match="not both"):
        np.clip(x, 0, 1, min=2)
    with pytest.raises(ValueError, match="period"):
        np.interp(x, [0.0, 1.0], [0.0, 1.0], period=0)


def test_piecewise_shows_each_function_its_own_entries_only() -> None:
    x = Tensor([4.0, -1.0])
    out = np.piecewise(x, [x > 0], [np.sqrt, lambda t: -t])  # no warning about the root of -1
    out.sum().backward()
    np.testing.assert_array_equal(x.grad, [0.25, -1.0])


def test_logsumexp_of_infinities() -> None:
    inf = np.inf
    for x, slopes in (
        ([-inf, -inf], [0, 0]), ([-inf, 0.0], [0, 1]), ([inf, 0.0], [1, 0]), ([inf, inf, -inf], [0.5, 0.5, 0]),
    ):  # fmt: skip
        for options in ({}, {"axis": 0}, {"axis": 0, "keepdims": True}):
            found = tg.grad(lambda t, o=options: tg.logsumexp(t, **o).sum())(np.array(x))
            np.testing.assert_array_equal(found, slopes)


def test_powers_of_booleans_and_the_whole_part_of_integers() -> None:
    choice = np.array([True, False])
    np.testing.assert_array_equal(tg.grad(lambda t: (t**choice).sum())(np.array([3.0, 4.0])), [1, 0])
    assert [part.dtype for part in np.modf(Tensor([1, 2]))] == [np.float64, np.float64]
