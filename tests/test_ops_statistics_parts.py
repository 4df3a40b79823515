"""Quantiles by every method, of every length, with weights and holes: NumPy's own values, dtypes and complaints."""

import warnings
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Tensor, compile, grad, hessian, vmap
from tinygrad_nn.ops import sequence

NAN = np.nan
RNG = np.random.default_rng(0)
METHODS = [
    "inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen", "weibull",
    "linear", "median_unbiased", "normal_unbiased", "lower", "higher", "midpoint", "nearest",
]  # fmt: skip


def same(found: Any, wanted: Any, error: float = 0.0) -> None:
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_allclose(found.data, wanted, rtol=0, atol=error)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("method", METHODS)
def test_a_quantile_of_any_length_is_that_of_numpy(method: str, dtype: Any) -> None:
    for n in (1, 2, 3, 4, 5, 8):
        x = (RNG.permutation(n) ** 2 * 3 - n).astype(dtype)
        q = np.unique([*np.linspace(0, 1, 9), *(np.arange(2 * n + 1) / (2 * n))])
        error = 4 * np.finfo(np.result_type(dtype, np.float32)).eps * (1 + np.abs(x).max())  # of a few roundings
        same(np.quantile(Tensor(x), q, method=method), np.quantile(x, q, method=method), error)
        same(np.percentile(Tensor(x), 30, method=method), np.percentile(x, 30, method=method), error)
        if dtype != np.int64:
            holes = np.stack([np.append(x, NAN), np.append(x[:1], np.full(n, NAN))])
            found, wanted = (np.nanquantile(a, q, axis=1, method=method) for a in (Tensor(holes), holes))
            same(found, wanted, error)


WEIGHTED = """
(x, [0.0, 0.3, 1.0], 1, weights=[1.0, 0.0, 2.0, 3.0]); (x, [0.0, 0.6, 1.0], 0, weights=[0.0, 1.0, 2.0])
(x, 0.5, 1, weights=[1, 1, 1, 1]); (x, 0.5, weights=np.arange(12.0).reshape(3, 4)); (x, [0.25, 0.5], weights=u)
(x, 0.5, (1, 0), weights=u.T); (x, 0.5, (0, 1), weights=u, keepdims=True); (x, 0.5, -1, weights=u, keepdims=True)
(x, [[0.2], [0.8]], 0, weights=u); (x, 0.25, 1, weights=[1, 0, 0, 0]); (x, 1.0, 0, weights=[1, 0, 0])
"""


CALLS = [c.strip() for c in WEIGHTED.strip().replace("\n", ";").split(";")]
NAN_CALLS = [c for c in CALLS if "weights=[" not in c]  # NumPy itself raises for the other methods


@pytest.mark.parametrize(
    ("name", "call"), [*(("quantile", c) for c in CALLS), *(("nanquantile", c) for c in NAN_CALLS)]
)
def test_a_weighted_quantile_is_that_of_numpy(call: str, name: str) -> None:
    x, u = RNG.permutation(12).reshape(3, 4) / 4, RNG.integers(0, 5, (3, 4)) + 0.5
    f = f"np.{name}{call[:-1]}, method='inverted_cdf')"
    found, wanted = (eval(f, {"np": np, "x": a, "u": u}) for a in (Tensor(x), x))
    same(found, wanted)


def test_where_all_are_nan_a_weighted_quantile_is_nan_and_elsewhere_holes_weigh_nothing() -> None:
    x = np.array([[NAN, 1.0, 3.0], [NAN, NAN, NAN], [2.0, NAN, 0.0]])
    w = np.array([[5.0, 1.0, 2.0], [0, 1, 1], [2, 9, 1]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, wanted = (
            np.nanquantile(a, [0.3, 0.9], axis=1, weights=w, method="inverted_cdf") for a in (Tensor(x), x)
        )
    assert np.isnan(wanted[:, 1]).all()
    same(found, wanted)
    slope = grad(lambda x: np.nansum(np.nanquantile(x, 0.9, axis=1, weights=w, method="inverted_cdf")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(slope(x), [[0, 0, 1], [0, 0, 0], [1, 0, 0]])


@pytest.mark.parametrize("weights", [[-1.0, 2, 3], [0.0, 0, 0], [np.inf, 1, 1], [NAN, 1, 1], [1.0, 2], [[1.0, 2, 3]]])
def test_weights_that_numpy_refuses_are_refused(weights: Any) -> None:
    x = np.array([1.0, 3.0, 2.0])
    for a in (x, Tensor(x)):
        with np.errstate(invalid="ignore"), pytest.raises((ValueError, TypeError)):
            np.quantile(a, 0.5, weights=weights, method="inverted_cdf")


@pytest.mark.parametrize("x", [np.ones((2, 0)), np.ones((0, 2)), np.ones(0)])
@pytest.mark.parametrize("name", ["median", "nanmedian", "nanquantile", "nanpercentile"])
def test_order_statistics_of_nothing_are_those_of_numpy(name: str, x: np.ndarray) -> None:
    q = () if name.endswith("median") else ([0.5, 0.25],) if "quantile" in name else (50,)
    for options in ({"axis": -1}, {"axis": 0, "keepdims": True}, {}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            same(getattr(np, name)(Tensor(x), *q, **options), getattr(np, name)(x, *q, **options))


@pytest.mark.parametrize(("q", "fits"), [(0, True), (1, True), (-1e-9, False), (1 + 1e-9, False), (NAN, False)])
def test_a_quantile_takes_parts_from_0_to_1(q: float, fits: bool) -> None:
    x = Tensor([1.0, 2.0])
    if fits:
        assert np.quantile(x, q).item() == 1 + q
    else:
        with pytest.raises(ValueError, match=r"range \[0, 1\]"):
            np.quantile(x, q)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize("q", [30, 12.5, [30, 70], np.float32(30), np.array([30.0])])
def test_the_hundredth_of_a_percentile_is_taken_in_the_dtype_of_numpy(kind: Any, q: Any) -> None:
    x = (RNG.permutation(7) * 2 + 1).astype(kind)
    same(np.percentile(Tensor(x), q), np.percentile(x, q), 1e-5)
    same(np.nanpercentile(Tensor(x), q), np.nanpercentile(x, q), 1e-5)
    w = Tensor(np.asarray(q, float), requires_grad=True)
    assert np.percentile(x, w).data == pytest.approx(np.percentile(x, np.asarray(q, float)))


@pytest.mark.parametrize("name", ["nanvar", "nanstd"])
def test_a_deviation_from_a_given_mean_leaves_holes_out(name: str) -> None:
    x, mean = np.array([[1.0, NAN, 4.0], [2.0, 0.5, NAN]]), np.array([[2.0], [1.0]])
    f = getattr(np, name)
    mask = np.array([[True, True, True], [True, False, True]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for options in ({}, {"mean": mean}, {"where": mask}, {"where": mask, "mean": mean}):
            same(f(Tensor(x), axis=1, **options), f(x, axis=1, **options), 1e-15)
    for options in ({}, {"mean": mean}):
        slope = grad(lambda x, o=options: f(x, axis=1, **o).sum())(x)
        np.testing.assert_array_equal(np.isfinite(slope) & (slope != 0), ~np.isnan(x))


def test_each_line_of_an_array_of_three_axes_leaves_out_its_own_holes() -> None:
    x = RNG.permutation(24).reshape(2, 3, 4) / 2
    x[0, 1, 2] = x[1, 2, :2] = NAN
    for axis in (0, 1, 2, (0, 2)):
        same(np.nanquantile(Tensor(x), [0.3, 0.8], axis=axis), np.nanquantile(x, [0.3, 0.8], axis=axis), 1e-13)
        same(np.nanmedian(Tensor(x), axis=axis), np.nanmedian(x, axis=axis))


@pytest.mark.parametrize(("shape", "axis"), [((3,), 1), ((4,), 0), ((4, 3), (0, 1)), ((1, 4), 1), ((4,), None)])
def test_weights_have_the_shape_of_the_array_or_of_its_reduced_axes(shape: tuple[int, ...], axis: Any) -> None:
    with pytest.raises(ValueError, match="of the shape of a, or of its reduced axes in their order"):
        np.quantile(Tensor(np.ones((3, 4))), 0.5, axis, weights=np.ones(shape), method="inverted_cdf")


def long_lines(kind: str) -> np.ndarray:
    x = RNG.permutation(3 * 701).reshape(3, 701) / 7
    if kind == "ties":
        x = np.floor(x / 20)
    elif kind == "nan":
        x[0, RNG.permutation(701)[:300]] = x[2, 5] = NAN
    elif kind == "inf":
        x[x > 250], x[x < 20] = np.inf, -np.inf
    return x


@pytest.mark.parametrize("kind", ["distinct", "ties", "nan", "inf"])
@pytest.mark.parametrize("method", METHODS)
def test_quantiles_of_long_lines_are_those_of_numpy(method: str, kind: str) -> None:
    x, q = long_lines(kind), [0.0, 0.1, 0.1, 0.5, 0.77, 1.0]
    with np.errstate(invalid="ignore"):
        for name in ("quantile", "nanquantile"):
            for options in ({"axis": 1}, {"axis": 0, "keepdims": True}, {"axis": None}):
                found, wanted = (getattr(np, name)(a, q, method=method, **options) for a in (Tensor(x), x))
                same(found, wanted)
    for name in ("median", "nanmedian"):
        for axis in (1, 0, None):
            same(getattr(np, name)(Tensor(x), axis), getattr(np, name)(x, axis))


@pytest.mark.parametrize("kind", ["distinct", "ties", "nan"])
@pytest.mark.parametrize("q", [[0.25, 0.25, 0.9], np.linspace(0, 1, 40)])
def test_the_gradient_of_a_quantile_goes_where_a_stable_sort_puts_its_entries(q: Any, kind: str) -> None:
    x = long_lines(kind)
    weights = RNG.normal(size=(len(q), 3))
    order, n = np.argsort(x, axis=1, kind="stable"), (~np.isnan(x)).sum(axis=1)
    wanted = np.zeros_like(x)
    for row in range(3):
        for part, weight in zip(q, weights[:, row], strict=True):
            place = (n[row] - 1) * part
            low = int(np.floor(place))
            for rank, share in ((low, 1 - (place - low)), (min(low + 1, n[row] - 1), place - low)):
                wanted[row, order[row, rank]] += weight * share
    slope = grad(lambda x: (np.nanquantile(x, q, axis=1) * weights).sum())
    np.testing.assert_allclose(slope(x), wanted, atol=1e-13)
    np.testing.assert_allclose(compile(slope)(x), wanted, atol=1e-13)
    if kind != "nan":
        one = grad(lambda x: (np.quantile(x, q, axis=1) * weights).sum())
        for f in (one, compile(one)):
            np.testing.assert_allclose(f(x), wanted, atol=1e-13)
        rows = vmap(grad(lambda x, w: (np.quantile(x, q) * w).sum()))(x, weights.T)
        np.testing.assert_allclose(rows, wanted, atol=1e-13)


def test_the_second_derivative_of_a_median_of_many_is_that_of_its_entries() -> None:
    x = RNG.normal(size=301)
    place = np.argsort(x)[150]
    wanted = np.zeros((301, 301))
    wanted[place, place] = 6 * x[place]
    np.testing.assert_allclose(hessian(lambda x: np.median(x) ** 3)(x), wanted)


@pytest.mark.parametrize("method", METHODS)
def test_a_quantile_of_few_digits_is_that_of_numpy_to_the_last(method: str) -> None:
    for n in (2, 5, 9, 40, 500):
        x = RNG.normal(size=n).astype(np.float32)
        for q in (0.3, 0.1, 0.5, 0.95, 1, 0):
            same(np.quantile(Tensor(x), q, method=method), np.quantile(x, q, method=method))
            same(np.percentile(Tensor(x), 100 * q, method=method), np.percentile(x, 100 * q, method=method))
            same(np.nanquantile(Tensor(x), q, method=method), np.nanquantile(x, q, method=method))
        same(np.quantile(Tensor(x), [0.3, 0.7], method=method), np.quantile(x, [0.3, 0.7], method=method))


def test_a_quantile_needs_no_sort(monkeypatch: pytest.MonkeyPatch) -> None:
    x = RNG.normal(size=500)
    for name in ("_order", "_places_by_sort"):  # what sorts
        monkeypatch.setattr(sequence, name, None)
    for f in (np.median, np.nanmedian, lambda x: np.quantile(x, 0.3), lambda x: np.nanpercentile(x, [5, 95]).sum()):
        assert np.isfinite(grad(f)(x)).all()


@pytest.mark.parametrize("kind", ["distinct", "ties", "nan", "inf"])
def test_entries_at_ranks_are_those_of_a_stable_sort(kind: str) -> None:
    x, ranks = long_lines(kind), (0, 350, 350, 500, 699, 700)
    wanted = np.argsort(x, axis=-1, kind="stable")[:, ranks]
    out = sequence.ranked(Tensor(x), ranks=ranks)
    assert np.array_equal(out.node.meta["places"], wanted)
    assert np.array_equal(out.data, np.sort(x)[:, ranks], equal_nan=True)
