"""NumPy's functions beyond the table of cases: errors, conventions, objects such as poly1d, and special arguments."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import Tensor

# -- Polynomials


def test_a_root_at_zero_has_a_slope() -> None:
    """NumPy strips the last coefficient, which is 0, and puts the root back: its slope is -1 / p'(0) all the same."""
    p = np.array([1.0, -3.0, 0.0])
    np.testing.assert_allclose(tg.jacobian(lambda p: np.roots(p))(p), [[-9 / 3, -3 / 3, -1 / 3], [0, 0, 1 / 3]])


def test_a_leading_zero_moves_the_roots_that_are_there() -> None:
    p = np.array([0.0, 1.0, -2.0])  # the root 2; of 1e-9 in front it moves by -4e-9
    np.testing.assert_allclose(tg.grad(lambda p: np.roots(p)[0])(p), [-4, -2, -1])


def test_a_root_that_is_met_twice_has_none() -> None:
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = tg.jacobian(lambda p: np.roots(p))(np.array([1.0, 0.0, 0.0]))
    assert not np.isfinite(slopes).all()


def test_a_poly1d_keeps_the_graph() -> None:
    t = Tensor([1.0, 2.0, 3.0])
    p = np.poly1d(t)
    (p(2.0) + p.deriv()(1.0) + p.integ()(1.0) + (p * p)(0.5) + (p - 1)(0.0) + p.roots.real.sum()).backward()
    by_hand = tg.grad(lambda c: np.polyval(c, 2.0) + np.polyval(np.polyder(c), 1.0) + np.polyval(np.polyint(c), 1.0)
                      + np.polyval(c, 0.5) ** 2 + c[2] - c[1] / c[0])(t.data)  # fmt: skip
    np.testing.assert_allclose(t.grad, by_hand)
    assert isinstance(np.polydiv(t, np.poly1d([1.0, 1.0]))[1], np.poly1d)
    assert np.polydiv(t, [1.0, 1.0])[1].shape == np.polydiv(t.data, [1.0, 1.0])[1].shape


def test_a_poorly_conditioned_fit_warns_at_the_users_line() -> None:
    x = np.ones(4)
    with pytest.warns(np.exceptions.RankWarning, match="poorly conditioned") as told:
        np.polyfit(Tensor(x), x, 2)
    assert told[0].filename == __file__
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match="Degrees of freedom") as told:
        np.cov(Tensor([[1.0]]))
    assert __file__ in {w.filename for w in told}


T, V, K = Tensor(np.ones((2, 2, 2))), Tensor([1.0, 2.0, 3.0]), Tensor([0, 1, 1])

REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: np.delete(V, 0, 3), np.exceptions.AxisError, "axis 3 is out of bounds for array of dimension 1"),
    (lambda: np.cov(T), ValueError, r"one or two axes; m has shape \(2, 2, 2\)"),
    (lambda: np.cov(V, ddof=0.5), ValueError, "whole number as ddof; it got 0.5"),
    (lambda: np.cov(V, aweights=[1.0]), RuntimeError, r"one weight per sample, 3 in all; aweights has shape \(1,\)"),
    (lambda: np.cov(V, aweights=-V), ValueError, "not negative; aweights has -3.0"),
    (lambda: np.cov(V, fweights=[0.5, 1, 1]), TypeError, "whole numbers as fweights"),
    (lambda: np.roots(T), ValueError, r"one axis; they have shape \(2, 2, 2\)"),
    (lambda: np.poly(T), ValueError, r"or a square matrix; it got shape \(2, 2, 2\)"),
    (lambda: np.polyder(V, -1), ValueError, "np.polyint integrates"),
    (lambda: np.polyint(V, -1), ValueError, "np.polyder differentiates"),
    (lambda: np.polyint(V, 3, [1.0, 2.0]), ValueError, "one constant k, or 3; it got 2"),
    (lambda: np.polyfit(V, V, -1), ValueError, "degree of 0 or more"),
    (lambda: np.polyfit(T, V, 1), TypeError, r"a vector x; it has shape \(2, 2, 2\)"),
    (lambda: np.polyfit(V, V[:2], 1), TypeError, r"needs 3 values y .* got \(2,\)"),
    (lambda: np.polyfit(V, V, 1, w=V[:2]), TypeError, r"one weight per entry of x, \(3,\); it got shape \(2,\)"),
    (lambda: np.polyfit(V, V, 2, cov=True), ValueError, "must exceed order"),
    (lambda: np.geomspace(V, 0.0), ValueError, "other than 0"),
    (lambda: np.trim_zeros(V, "x"), ValueError, "takes trim='f', 'b' or 'fb'; it got 'x'"),
    (lambda: np.bincount([0, 1], V), ValueError, r"one weight per entry, \(2,\); it got shape \(3,\)"),
    (lambda: np.bincount([0, 1, 1], V + 1j), TypeError, "real weights"),
    (lambda: np.bincount([0, -1, 1], V), ValueError, "negative"),
    (lambda: np.histogram([0.0, 1.0], weights=V), ValueError, r"one weight per entry, \(2,\); it got shape \(3,\)"),
    (lambda: np.histogram(V), TypeError, r"lose the graph. Counts .*`np.histogram\(t.data\)`"),
    (lambda: np.histogram(V, weights=V), TypeError, "lose the graph. Counts"),
    (lambda: np.histogram2d(V, [1.0, 2.0, 3.0]), TypeError, "lose the graph. Counts"),
    (lambda: np.histogram([1.0, 2.0, 3.0], bins=V), TypeError, "lose the graph. Counts"),
    (lambda: np.add.reduceat(V, [5]), IndexError, "5"),
    (lambda: np.bitwise_and.reduce(K), TypeError, r"For a plain value write `np.bitwise_and.reduce\(k.data\)`"),
    (lambda: np.bitwise_and(V, 1), TypeError, "bitwise_and"),
    (lambda: np.apply_over_axes(lambda a, axis: a.sum(), V[None, None], [0]), ValueError, "keeps the axes or removes"),
    (lambda: tg.vectorize(abs)(Tensor(np.zeros(0))), ValueError, r"arrays with entries; it got shapes \[\(0,\)\]"),
    (lambda: np.vectorize(lambda x: x * 2)(V), TypeError, r"np.vectorize\(f\)\(t\) write tinygrad_nn.vectorize\(f\)"),
    (lambda: np.full(3, V[0]), TypeError, r"write np.full\(shape, t, like=t\)"),
    (lambda: np.kaiser(5, V[0]), TypeError, "drop its graph"),
    (lambda: np.ones(3)[V], TypeError, "drop its graph"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "match"), REFUSED, ids=[m[:30] for _, _, m in REFUSED])
def test_bad_arguments_raise(call: Callable[[], Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()


# -- Conventions


def test_equal_values_are_read_off_the_first() -> None:
    t = Tensor([2.0, 1.0, 2.0, 1.0])
    (np.unique(t) * np.array([1.0, 10.0])).sum().backward()
    np.testing.assert_array_equal(t.grad, [10, 1, 0, 0])
    values, first, inverse, counts = np.unique_all(t)
    assert isinstance(values, Tensor)
    assert [a.tolist() for a in (first, inverse, counts)] == [[1, 0], [1, 0, 1, 0], [2, 2]]
    values, counts = np.unique(t, return_counts=True)
    assert (values.tolist(), counts.tolist()) == ([1, 2], [2, 2])
    assert np.unique(K).tolist() == [0, 1], "of constants too"


def test_mantissas_of_all_sizes() -> None:
    x = np.array([-3.0, 0.0, 5e-9, 1e20, 5e-324, np.inf, np.nan, 4.0])
    t = Tensor(x)
    m, e = np.frexp(t)
    assert (m.requires_grad, e.requires_grad, e.dtype) == (True, False, np.frexp(x)[1].dtype)
    np.testing.assert_array_equal(e.data, np.frexp(x)[1])
    with np.errstate(over="ignore"):
        m.sum().backward()
        slopes = np.where(np.isfinite(x), 2.0 ** -np.frexp(x)[1].astype(float), 1)
    np.testing.assert_array_equal(t.grad, slopes)


def test_the_correlation_of_two_alike_is_one_with_a_curvature() -> None:
    """Clipping it, as NumPy does to values, would make the second derivative 0: of r at 1 it is not."""
    x = np.array([0.1, 0.4, 1.0, -0.2])
    bend = tg.hessian(lambda x: np.corrcoef(x, 3 * np.array([0.1, 0.4, 1.0, -0.2]))[0, 1])(x)
    assert np.linalg.eigvalsh(bend).min() < -0.1


def test_counts_of_constants_are_plain() -> None:
    assert np.bincount(K).tolist() == [1, 2]
    counts, edges = np.histogram(V.detach(), 2)
    assert (type(counts), counts.tolist(), edges.tolist()) == (np.ndarray, [1, 2], [1, 2, 3])
    with pytest.raises(TypeError, match="Automated estimation"):
        np.histogram([1.0, 2.0, 3.0], bins="auto", weights=V)


def test_windows_are_constants_and_kaiser_has_a_formula() -> None:
    for window in (np.hanning, np.hamming, np.bartlett, np.blackman):
        np.testing.assert_array_equal(tg.grad(lambda v, w=window: (v * w(3)).sum())(V.data), window(3))

    def kaiser(n: int, beta: Any) -> Any:
        k = 2 * np.arange(n) / (n - 1) - 1
        return np.i0(beta * np.sqrt(1 - k * k)) / np.i0(beta)

    np.testing.assert_allclose(kaiser(5, Tensor(8.0)).data, np.kaiser(5, 8.0), rtol=1e-14)
    slopes = (np.kaiser(5, 8.0 + 1e-6) - np.kaiser(5, 8.0 - 1e-6)) / 2e-6  # error of order 1e-12, and 1e-16/1e-6
    np.testing.assert_allclose(tg.jacobian(lambda b: kaiser(5, b))(8.0), slopes, rtol=0, atol=1e-9)


# -- Functions of numbers


def test_vectorize_calls_a_function_of_numbers_at_each_entry() -> None:
    seen = []

    def f(x: Any, y: Any, power: int = 2) -> Any:
        seen.append(np.shape(x))
        return (x**power + y, x * y) if x > 0 else (0.0, y)

    x, y = Tensor([[-1.0], [2.0]]), Tensor([3.0, 4.0, 5.0])
    a, b = tg.vectorize(f, excluded={"power"})(x, y, power=3)
    assert (a.shape, b.shape, set(seen)) == ((2, 3), (2, 3), {()})
    np.testing.assert_array_equal(a.data, [[0, 0, 0], [11, 12, 13]])
    (a + b).sum().backward()
    np.testing.assert_array_equal(x.grad, [[0], [3 * 12 + 12]])
    np.testing.assert_array_equal(y.grad, [4, 4, 4])
    plain = tg.vectorize(lambda x: x + 1)(np.array([1, 2]))
    assert (type(plain), plain.tolist()) == (np.ndarray, [2, 3])


def test_integers_that_are_tensors_serve_as_integers() -> None:
    a = np.arange(6.0)
    np.testing.assert_array_equal(a[K], [0, 1, 1])
    np.testing.assert_array_equal(a[Tensor([True, False] * 3)], [0, 2, 4])
    assert a[Tensor(2)] == 2
    assert np.reshape(a, (Tensor(2), 3)).shape == (2, 3)
    assert np.hanning(Tensor(4)).shape == (4,)
    assert [*range(Tensor(2))] == [0, 1]
    np.testing.assert_array_equal(V[K].data, [1, 2, 2])
    with pytest.raises(TypeError, match=r"dtype int64. Write 3.0 rather than 3"):
        tg.grad(lambda x: x**2)(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (np.bitwise_or(K, 2) & 3).tolist() == [2, 3, 3]
