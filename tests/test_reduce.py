"""Reductions and sequences: conventions at ties, zeros and NaN, their errors, and the same warnings as NumPy."""

import warnings

import numpy as np
import pytest

from tinygrad_nn import Tensor, grad, softplus
from tinygrad_nn.gradcheck import check_gradients

NAN = np.nan
windows = np.lib.stride_tricks.sliding_window_view


def slope(f, x):
    """The gradient of the sum of what f returns."""
    return grad(lambda t: np.sum(f(t)))(np.asarray(x, dtype=float))


@pytest.mark.parametrize(
    ("f", "x", "wanted"),
    [
        (np.max, [1, 3, 3, 2], [0, 0.5, 0.5, 0]),
        (np.min, [1, 3, 1, 1], [1 / 3, 0, 1 / 3, 1 / 3]),
        (lambda t: np.max(t, initial=3.0), [1, 3, 3], [0, 1 / 3, 1 / 3]),
        (lambda t: np.max(t, initial=9.0), [1, 3, 3], [0, 0, 0]),
        (np.max, [1, NAN], [0.5, 0.5]),
        (np.nanmax, [1, NAN, 1], [0.5, 0, 0.5]),
        (np.ptp, [1, 3, 3], [-1, 0.5, 0.5]),
        (np.std, [2, 2, 2], [0, 0, 0]),
        (np.nanstd, [2, NAN, 2], [0, 0, 0]),
        (np.maximum.accumulate, [1, 1, 1], [1 + 1 / 2 + 1 / 3, 1 / 2 + 1 / 3, 1 / 3]),
        (np.maximum.accumulate, [2, 1, 2, 3, 1], [2.5, 0, 0.5, 2, 0]),
        (np.minimum.accumulate, [2, NAN, 1, 0], [1, 3, 0, 0]),
        (lambda t: np.sort(t)[0], [1, 1, 2], [1, 0, 0]),
        (np.median, [1, 1, 1], [0, 1, 0]),
        (lambda t: np.quantile(t, 0.25), [1, 1, 1, 1, 1], [0, 1, 0, 0, 0]),
        (np.nanmedian, [3, NAN, 1], [0.5, 0, 0.5]),
        (np.nanmean, [3, NAN, 1], [0.5, 0, 0.5]),
        (np.nansum, [3, NAN, 1], [1, 0, 1]),
        (lambda t: np.nanprod(t), [3, NAN, 0], [0, 0, 3]),
        (lambda t: np.mean(t, where=[True, False, True]), [3, NAN, 1], [0.5, 0, 0.5]),
    ],
)
def test_gradients_at_ties_zeros_and_nan(f, x, wanted):
    np.testing.assert_allclose(slope(f, x), wanted, rtol=1e-12)


def test_second_derivatives_of_std_are_finite_where_it_is_zero():
    found = grad(lambda t: np.sum(grad(lambda u: np.std(u))(t) * np.array([1.0, 2.0, 4.0])))(np.full(3, 2.0))
    np.testing.assert_array_equal(found, np.zeros(3))


@pytest.mark.parametrize("f", [np.var, np.std])
def test_variance_of_one_entry_without_freedom_is_nan_and_so_is_its_slope(f):
    x = Tensor([2.0])
    with pytest.warns(RuntimeWarning) as found:
        out = f(x, ddof=1)
    with pytest.warns(RuntimeWarning) as wanted:
        f(x.data, ddof=1)
    assert [str(w.message) for w in found] == [str(w.message) for w in wanted]
    assert np.isnan(out.data)
    out.backward()
    assert np.isnan(x.grad).all()


@pytest.mark.filterwarnings("ignore:.*discards the imaginary part")
@pytest.mark.parametrize("f", [np.var, np.std, np.nanvar, np.nanstd])
@pytest.mark.parametrize("where", [True, np.array([True, False, True])])
def test_a_variance_of_complex_numbers_about_the_real_part_of_their_mean_has_its_slope(f, where):
    z = np.array([1 + 2j, 0.3 - 1j, 2.0])  # a real dtype= drops the imaginary part of the mean
    t = Tensor(z)
    f(t, dtype=float, where=where).backward()
    for direction in (1, 1j):
        shifts = [f(z + s * direction * np.eye(3), axis=1, dtype=float, where=where).real for s in (1e-6, -1e-6)]
        numerical = (shifts[0] - shifts[1]) / 2e-6
        np.testing.assert_allclose((t.grad * np.conj(direction)).real, numerical, atol=1e-8)


@pytest.mark.parametrize("dtype", "efdFD")
def test_mean_has_the_bits_of_numpy(dtype, rng):
    x = rng.normal(size=(2, 30, 7, 5))
    x = (x[0] + 1j * x[1] if dtype in "FD" else x[0]).astype(dtype)
    for axis, keepdims in [(None, False), (0, False), (1, True), ((0, 2), True), ((0, 1, 2), False)]:
        found, expected = Tensor(x).mean(axis, keepdims=keepdims), np.asarray(x.mean(axis, keepdims=keepdims))
        assert (found.data.tobytes(), found.dtype) == (expected.tobytes(), expected.dtype)


@pytest.mark.parametrize("dtype", "fdFD")
@pytest.mark.parametrize(
    "f",
    [lambda x: np.linalg.matrix_power(x, 3), lambda x: np.angle(x, deg=True),
     lambda x: np.linalg.cholesky(x @ x.T.conj(), upper=True)],
    ids=["matrix_power", "angle", "cholesky"],
)  # fmt: skip
def test_compositions_have_the_bits_of_numpy(f, dtype, rng):
    x = rng.normal(size=(2, 4, 4))
    x = (x[0] + 1j * x[1] if dtype in "FD" else x[0]).astype(dtype)
    found, expected = f(Tensor(x)), f(x)
    assert (found.data.tobytes(), found.dtype) == (np.asarray(expected).tobytes(), expected.dtype)


def test_mean_of_nothing_warns_and_is_nan():
    for f in (np.mean, np.median):
        with pytest.warns(RuntimeWarning) as found:
            assert np.isnan(f(Tensor(np.zeros(0))).data)
        assert "Mean of empty slice" in str(found[0].message)


@pytest.mark.parametrize(
    "f", [np.nanmean, np.nanmax, np.nanmin, np.nanvar, np.nanmedian, lambda t, axis: np.nanquantile(t, 0.5, axis=axis)]
)
def test_nothing_but_nan_warns_and_gives_nan(f):
    x = np.array([[1.0, 3.0], [NAN, NAN]])
    with pytest.warns(RuntimeWarning):
        found = f(Tensor(x), axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(found.data, f(x, axis=1))


@pytest.mark.parametrize("f", [np.median, lambda t, axis: np.quantile(t, [0.5, 0.7], axis=axis)])
def test_quantiles_among_nan_are_nan_with_slope_zero(f):
    x = np.array([[1.0, 3.0, 2.0], [NAN, 1.0, 5.0]])
    np.testing.assert_array_equal(f(Tensor(x), axis=1).data, f(x, axis=1))
    np.testing.assert_array_equal(slope(lambda t: f(t, axis=1), x)[1], np.zeros(3))


@pytest.mark.parametrize("zeros", [(), (3,), (3, 5), (0, 3, 6)])
@pytest.mark.parametrize("f", [np.prod, np.cumprod])
def test_products_with_zeros_are_right_to_third_order(f, zeros, rng):
    x = rng.uniform(0.5, 2.0, 7)
    x[list(zeros)] = 0.0
    weights = rng.uniform(0.5, 1.5, 7)
    report = check_gradients(lambda t: np.sum(f(t + 0 * t)) + np.sum(weights * t**4), x, order=3, rng=rng)
    assert report.ok, str(report)


def test_running_products_and_maxima_of_long_arrays_match_loops(rng):
    x = rng.uniform(-1.1, 1.1, 700)
    x[[100, 101, 350]] = 0.0
    g = rng.normal(size=700)
    wanted = [sum(g[k] * np.prod(np.delete(x[: k + 1], j)) for k in range(j, 700)) for j in range(0, 700, 50)]
    np.testing.assert_allclose(slope(lambda t: g * np.cumprod(t), x)[::50], wanted, atol=1e-12)
    y = np.round(x, 1)
    best = np.maximum.accumulate(y)
    wanted = np.zeros(700)
    for k in range(700):
        ties = y[: k + 1] == best[k]
        wanted[: k + 1] += g[k] * ties / ties.sum()
    np.testing.assert_allclose(slope(lambda t: g * np.maximum.accumulate(t), y), wanted, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda t: np.sum(t, out=np.zeros(3)), TypeError, "out"),
        (lambda t: np.sum(t, dtype=int), TypeError, "fractions"),
        (lambda t: np.cumsum(t, dtype=np.int32), TypeError, "fractions"),
        (lambda t: np.median(t, out=np.zeros(3)), TypeError, "out"),
        (lambda t: np.subtract.reduce(t, axis=(0, 1)), ValueError, "one axis"),
        (lambda t: np.subtract.reduce(t, where=[True]), ValueError, "initial="),
        (lambda t: np.max(t, axis=0, where=t.data > 0), ValueError, "initial"),
        (lambda t: np.median(t, axis=2), ValueError, "out of bounds"),
        (lambda t: np.quantile(t, 0.5, axis=(0, 0)), ValueError, "repeated axis"),
        (lambda t: np.quantile(t, 1.5), ValueError, "range"),
        (lambda t: np.quantile(t, 0.5, method="bogus"), ValueError, "median_unbiased"),
        (lambda t: np.quantile(t, 0.5, weights=np.ones((3, 4))), ValueError, "inverted_cdf"),
        (lambda t: np.quantile(t * 1j, 0.5), TypeError, "complex"),
        (lambda t: np.sort(t, axis=2), ValueError, "out of bounds"),
        (lambda t: np.cumsum(t, axis=2), ValueError, "out of bounds"),
        (lambda t: np.diff(t, axis=2), ValueError, "out of bounds"),
        (lambda t: np.gradient(t, axis=2), ValueError, "out of bounds"),
        (lambda t: np.gradient(t, 1.0, 2.0, 3.0), TypeError, "one per axis"),
        (lambda t: np.gradient(t, np.ones(5), axis=0), ValueError, "coordinates"),
        (lambda t: np.gradient(t[:1], axis=0), ValueError, "at least 2"),
        (lambda t: np.convolve(t, t), ValueError, "too deep|1"),
        (lambda t: np.polyval(t, 1.0), ValueError, "one axis"),
        (lambda t: windows(t, 5, axis=0), ValueError, "window"),
        (lambda t: windows(t, (2, 2), axis=0), ValueError, "2 lengths"),
        (lambda t: windows(t, (2, 2), writeable=True), TypeError, "writeable"),
        (lambda t: np.average(t, axis=1, weights=np.zeros(4)), ZeroDivisionError, "zero"),
        (lambda t: np.average(t, weights=np.ones(4)), TypeError, "Axis"),
        (lambda t: np.ediff1d(t, to_end=1j), TypeError, "same_kind"),
        (lambda t: t.sort(), TypeError, "np.sort"),
        (lambda t: np.cumulative_sum(t), ValueError, "axis"),
    ],
)
def test_invalid_reductions_raise(call, error, match):
    with pytest.raises(error, match=match):
        call(Tensor(np.arange(12.0).reshape(3, 4)))


def test_out_none_is_no_out():
    t = Tensor([1.0, 2.0])
    assert np.sum(t, out=None).item() == 3.0
    assert np.add.reduce(t, out=None).item() == 3.0


def test_methods_of_ndarrays_answer_as_they_do():
    x = np.array([[3.0, 1.0, 2.0], [0.5, 2.5, 1.5]])
    t = Tensor(x)
    for name in ("sum", "mean", "prod", "max", "min", "var", "std", "cumsum", "cumprod", "argsort", "argmax", "argmin"):
        found = getattr(t, name)(axis=1)
        np.testing.assert_array_equal(getattr(found, "data", found), getattr(x, name)(axis=1))
    assert isinstance(t.argsort(), np.ndarray)
    assert t.var(mean=t.mean()).requires_grad


def test_spread_is_the_view_that_numpy_makes():
    from tinygrad_nn.ops.reduce import expand

    x = np.zeros((3, 2, 4))
    for axis, g in ((None, np.asarray(2.0)), (1, np.arange(12.0).reshape(3, 4)), ((0, 2), np.arange(2.0)),
                    (0, np.arange(8.0).reshape(4, 2).T)):  # fmt: skip
        wanted = np.broadcast_to(np.expand_dims(g, axis if axis is not None else (0, 1, 2)), x.shape)
        found = expand(g, x, axis)
        np.testing.assert_array_equal(found, wanted)
        assert not found.flags.writeable
    assert expand(np.zeros(2), np.zeros((2, 0)), 1).shape == (2, 0)
    assert expand(np.zeros(0), np.zeros((2, 0)), 0).shape == (2, 0)


def test_an_option_that_would_lose_a_graph_is_refused() -> None:
    x = Tensor([1.0, 2.0])
    with pytest.raises(TypeError, match=r"mean\(\.\.\., where=\) has no derivative, and.*detach"):
        np.mean(x, where=x)
    with pytest.raises(TypeError, match=r"softplus\(\.\.\., beta=\) has no derivative"):
        softplus(x, beta=Tensor(2.0))
    assert softplus(x, beta=Tensor(2.0, requires_grad=False)).shape == (2,)


def test_a_mask_may_be_a_tensor_where_nothing_else_is_one() -> None:
    x, mask = np.array([[2.0, 3.0], [4.0, 7.0]]), np.array([[True, False], [True, True]])
    for name in ("sum", "prod", "mean", "var", "std", "nansum", "nanprod", "nanmean", "nanvar", "nanstd", "all", "any"):
        f = getattr(np, name)
        np.testing.assert_array_equal(f(x, 0, where=Tensor(mask)), f(x, 0, where=mask))
    for name in ("max", "min", "nanmax", "nanmin"):
        f = getattr(np, name)
        np.testing.assert_array_equal(f(x, 0, where=Tensor(mask), initial=5.0), f(x, 0, where=mask, initial=5.0))
    for ufunc in (np.add, np.multiply, np.maximum, np.hypot):
        np.testing.assert_array_equal(
            ufunc.reduce(x, 0, where=Tensor(mask), initial=1.0), ufunc.reduce(x, 0, where=mask, initial=1.0)
        )
