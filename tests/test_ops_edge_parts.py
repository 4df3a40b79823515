"""Operations at their edges: ties, infinities, a single entry, nothing at all, and what is too large for one piece."""

import importlib
import math
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import Tensor, grad
from tinygrad_nn.ops import attention, convolution, pooling, scipy, special
from tinygrad_nn.primitive import REGISTRY

scipy.load()
incomplete = importlib.import_module("tinygrad_nn.ops.incomplete")
INF = np.inf


# -- Convolution


def widths_of_products(monkeypatch: pytest.MonkeyPatch, rows: int, depth: int, columns: int) -> list[int]:
    """Return how many columns at a time a product of matrices is computed."""
    widths: list[int] = []
    matmul = np.matmul

    def watched(a: Any, b: Any, out: Any) -> Any:
        widths.append(b.shape[-1])
        return matmul(a, b, out=out)

    a, b = np.ones((rows, depth)), np.arange(depth * columns, dtype=float).reshape(depth, columns)
    monkeypatch.setattr(np, "matmul", watched)
    out = convolution._product(a, b, np.empty((rows, columns)))
    monkeypatch.undo()
    np.testing.assert_allclose(out, np.ones((rows, depth)) @ b, rtol=1e-12)
    return widths


@pytest.mark.parametrize(
    ("rows", "depth", "columns", "widths"),
    [
        (64, 64, 300, [128, 128, 44]),  # 2**19 multiplications in each
        (60, 64, 300, [128, 128, 44]),  # 136 columns would do: a multiple of 16 less
        (256, 256, 40, [16, 16, 8]),  # more than 2**19, in as few columns as are worth a call
        (256, 257, 40, [40]),  # too large a matrix to be kept from being split
    ],
)
def test_a_product_is_cut_into_columns_of_a_multiple_of_16(
    monkeypatch: pytest.MonkeyPatch, rows: int, depth: int, columns: int, widths: list[int]
) -> None:
    assert widths_of_products(monkeypatch, rows, depth, columns) == widths


@pytest.mark.parametrize(
    ("shape", "kernel", "rows"),
    [
        ((3, 2, 10, 8), 3, [(3, 8)]),  # all samples in one block
        ((3, 64, 34, 34), 3, [(1, 28), (1, 4)] * 3),  # 2**19 // (64 * 9 * 32) rows of one sample
    ],
)
def test_windows_are_cut_into_blocks_that_stay_in_the_cache(
    shape: tuple[int, ...], kernel: int, rows: list[tuple[int, int]]
) -> None:
    x = np.zeros(shape)
    at = (shape[2] - kernel + 1, shape[3] - kernel + 1)
    windows = convolution._windows(x, (kernel, kernel), at, (1, 1), (1, 1), 1)
    y = np.zeros((shape[0], 1, *at))
    blocks = [(part.shape[0], part.shape[-1] // at[1]) for _, _, part in convolution._blocks(windows, y)]
    assert blocks == rows


# -- Pooling


@pytest.mark.parametrize(
    ("shape", "axes", "lengths"),
    [
        ((2, 3, 400, 400), 2, [1] * 6),  # of 2**18 pixels at most
        ((2, 3, 256, 512), 2, [2] * 3),
        ((2**18 + 1, 1), 1, [2**18, 1]),
        ((4, 0), 1, [4]),
    ],
)
def test_images_are_pooled_in_portions_that_stay_in_the_cache(
    shape: tuple[int, ...], axes: int, lengths: list[int]
) -> None:
    x = np.empty(shape, np.int8)
    portions = list(pooling._portions(axes, x, x[..., :1]))
    assert [len(a) for a, _ in portions] == [len(b) for _, b in portions] == lengths
    for a, b in portions:
        assert a.shape[1:] == shape[-axes:]
        assert b.shape[1:] == x[..., :1].shape[-axes:]


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (2, 1, 1, 3, 4)])
def test_a_mean_without_the_padding_takes_images_of_any_number_of_axes(shape: tuple[int, ...]) -> None:
    x = np.arange(12.0).reshape(3, 4) + np.arange(np.prod(shape[:-2]))[:, None, None]
    wanted = [[(a[max(0, 2 * i - 1) : 2 * i + 1, max(0, 2 * j - 1) : 2 * j + 1]).mean() for j in range(3)] for a in x
              for i in range(2)]  # fmt: skip
    found = pooling.avg_pool(x.reshape(shape), (2, 2), padding=1, count_include_pad=False)
    np.testing.assert_allclose(found, np.reshape(wanted, (*shape[:-2], 2, 3)), rtol=1e-15)


# -- Activations and attention


@pytest.mark.parametrize(
    ("name", "options", "slope"),
    [
        ("elu", {"alpha": 1.5}, 1.5),
        ("selu", {}, 1.0507009873554805 * 1.6732632423543772),
        ("celu", {"alpha": 2.0}, 0.5),
    ],
)
def test_the_second_derivative_of_an_exponential_unit_at_zero_is_the_one_from_below(
    name: str, options: dict[str, float], slope: float
) -> None:
    f = REGISTRY[name]
    np.testing.assert_allclose(grad(grad(lambda x: f(x, **options)))(0.0), slope, rtol=1e-15)


def test_the_weights_of_attention_are_those_of_large_scores_too() -> None:
    q, k = np.array([[800.0], [-800.0]]), np.array([[1.0], [0.0], [1.0]])
    np.testing.assert_array_equal(attention.weights(q, k, np.zeros(())), [[0.5, 0, 0.5], [0, 1, 0]])


# -- Selection


def test_where_an_array_meets_its_bound_the_slope_belongs_to_the_bound() -> None:
    x = np.array([1.0, 2.0, 3.0])
    low = Tensor(np.full(3, 2.0), requires_grad=True)
    x.clip(low, 9.0).sum().backward()  # type: ignore[call-overload]
    np.testing.assert_array_equal(low.grad, [1, 1, 0])


def test_of_a_complex_number_the_part_that_is_not_finite_has_no_slope() -> None:
    z = np.array([complex(1, 2), complex(INF, 2), complex(1, -INF), complex(np.nan, np.nan)])
    slope = REGISTRY["nan_to_num"].vjps[0](np.full(4, 3 + 5j), np.nan_to_num(z), z)
    np.testing.assert_array_equal(slope, [3 + 5j, 5j, 3, 0])


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int8, np.uint16, bool])
@pytest.mark.parametrize("bounds", [(None, 1), (0, None)])
def test_a_bound_of_none_does_not_clip(dtype: Any, bounds: tuple[Any, Any]) -> None:
    x = np.array([0, 1, 1, 0] if dtype is bool else [0, 1, 100, 127]).astype(dtype)
    bounds = tuple(b if b is None else dtype(b) for b in bounds)
    found, wanted = np.clip(Tensor(x), *bounds), np.clip(x, *bounds)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found.data, wanted)


def test_a_line_through_one_knot_is_flat() -> None:
    x, knot, value = 2.0, np.array([2.0]), np.array([5.0])
    slopes = [grad(lambda *a: np.interp(*a), argnums=i)(x, knot, value) for i in range(3)]
    assert [float(np.squeeze(s)) for s in slopes] == [0, 0, 1]


def test_at_the_last_knot_the_value_is_exact() -> None:
    x, xp, fp = np.array([0.3, 0.1]), np.array([0.0, 0.1, 0.3]), np.array([1.0, 1e17, 3.0])
    np.testing.assert_array_equal(np.interp(Tensor(x), xp, fp).data, [3.0, 1e17])


# -- Fourier transforms


@pytest.mark.parametrize("axes", [None, 0, 1, (0, 1)])
@pytest.mark.parametrize("shape", [(3, 4), (5, 3)])
def test_the_middle_of_a_spectrum_moves_as_in_numpy(shape: tuple[int, int], axes: Any) -> None:
    x = np.arange(float(np.prod(shape))).reshape(shape)
    for shift in (np.fft.fftshift, np.fft.ifftshift):
        np.testing.assert_array_equal(shift(Tensor(x), axes).data, shift(x, axes))


# -- Polynomials


@pytest.mark.parametrize("y", [np.ones((3, 2, 2)), np.ones(4), np.float64(1)])
def test_a_fit_to_values_of_another_shape_is_refused(y: Any) -> None:
    with pytest.raises(TypeError, match="needs 3 values y for each curve"):
        np.polyfit(Tensor([1.0, 2.0, 4.0]), y, 1)


@pytest.mark.filterwarnings("ignore::numpy.exceptions.RankWarning")
def test_a_fit_at_a_single_point_is_the_mean() -> None:
    np.testing.assert_allclose(np.polyfit(Tensor(np.zeros(3)), np.array([1.0, 2.0, 6.0]), 2).data, [0, 0, 3])


@pytest.mark.parametrize(
    ("u", "v"),
    [
        ([3], [1, 2]),
        ([1, 2], [1, 0, 2]),
        ([2, 3, 1], [2]),
        ([4, 5, 6, 7], [2, 1]),
        ([INF], [1.0, 2.0]),
        ([1.0], [INF, 2.0]),
    ],
)
def test_quotients_of_polynomials_are_those_of_numpy(u: list[Any], v: list[Any]) -> None:
    kinds = np.array(u).dtype, np.array(v).dtype
    for of_u, of_v in (kinds, ("f4", "f4"), ("f4", "i1" if kinds[1].kind == "i" else "f8")):
        a, b = np.array(u, of_u), np.array(v, of_v)
        for found, wanted in zip(np.polydiv(Tensor(a), b), np.polydiv(a, b), strict=True):
            assert found.dtype == wanted.dtype
            np.testing.assert_allclose(found.data, wanted, rtol=1e-6)


def test_the_polynomial_of_a_matrix_of_one_entry_has_that_root() -> None:
    np.testing.assert_array_equal(np.poly(Tensor([[3.0]])).data, [1, -3])


def test_the_polynomial_of_a_matrix_that_is_not_square_is_refused() -> None:
    with pytest.raises(ValueError, match="needs roots of one axis, or a square matrix"):
        np.poly(Tensor(np.ones((2, 3))))


# -- Norms


@pytest.mark.parametrize(("x", "slope"), [([INF, -2.0, 0.0], [1, -1, 0]), ([1e-200, -1e200], [1, -1])])
def test_the_slope_of_a_sum_of_absolute_values_is_a_sign(x: list[float], slope: list[float]) -> None:
    np.testing.assert_array_equal(grad(lambda x: np.linalg.norm(x, 1))(np.array(x)), slope)


# -- Special functions


def test_the_complement_of_the_error_function_underflows_slowly() -> None:
    x = np.array([26.5, 26.6, 26.7, 27.0, 27.2, 28.0, 50.0, 1e308, INF])
    np.testing.assert_allclose(special.erfc(x), [math.erfc(v) for v in x], rtol=1e-14, atol=1e-323)
    assert np.isnan(special.erfc(np.nan))


def test_the_logarithm_of_the_gamma_function_is_that_of_the_standard_library() -> None:
    x = np.concatenate([np.arange(0.125, 14, 0.25), np.arange(0.5, 14, 0.5)])
    np.testing.assert_allclose(special.gammaln(x), [math.lgamma(v) for v in x], rtol=1e-14, atol=1e-15)


def test_an_order_of_the_polygamma_function_is_whole_and_not_negative() -> None:
    for order in (1.5, -1):
        with pytest.raises(ValueError, match=r"the order of polygamma is 0, 1, 2, \.\.\."):
            special.polygamma(2.0, order=order)
    np.testing.assert_array_equal(special.polygamma(2.0, order=2.0), special.polygamma(2.0, order=2))


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("order", range(7))
def test_at_its_poles_the_polygamma_function_has_the_limit_from_above(order: int) -> None:
    at_zero = INF if order in (1, 3, 5) else -INF
    wanted = [at_zero, *[at_zero if order else np.nan] * 2]  # digamma is NaN below 0, as in SciPy and PyTorch
    np.testing.assert_array_equal(special.polygamma(np.array([0.0, -1.0, -2.0]), order=order), wanted)


def test_what_stirlings_formula_leaves_of_a_factorial_is_its_series() -> None:
    a = np.arange(10.0, 40)
    wanted = [math.log(math.factorial(int(v) - 1)) - (v - 0.5) * math.log(v) + v - math.log(2 * math.pi) / 2 for v in a]
    np.testing.assert_allclose(incomplete._stirling(a), wanted, rtol=0, atol=5e-14)


def test_a_slope_in_a_parameter_is_that_of_each_of_many_entries() -> None:
    n = incomplete.BLOCK + 1
    x = np.linspace(0.5, 4, n)
    slope = grad(lambda a, x: tg.special.gammainc(a, x).sum())
    some = [0, n - 2, n - 1]
    np.testing.assert_allclose(slope(np.full(n, 1.5), x)[some], slope(np.full(3, 1.5), x[some]))


# -- Differences


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
def test_an_integral_over_places_of_their_own_for_each_line_is_that_of_numpy(axis: int) -> None:
    y, x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    x = np.cumsum(x**2, axis=axis)
    np.testing.assert_allclose(np.trapezoid(Tensor(y), Tensor(x), axis=axis).data, np.trapezoid(y, x, axis=axis))


# -- Splitting


@pytest.mark.parametrize(("split", "axes"), [(np.hsplit, 0), (np.vsplit, 1), (np.dsplit, 2)])
def test_a_split_along_an_axis_that_is_not_there_is_refused(split: Any, axes: int) -> None:
    x = np.ones((2,) * axes)
    for a in (x, Tensor(x)):
        with pytest.raises(ValueError, match=f"only works on arrays of {axes + 1} or more dimensions"):
            split(a, 2)


@pytest.mark.parametrize("x", [-200.0, -60.0, -20.0])
def test_the_second_derivative_of_a_far_tail_of_the_normal_distribution(x: float) -> None:
    z = 1 / x**2  # Mills' ratio as a series in it; its first term left out is below 1e4 z^6
    ratio = -x / (1 - z + 3 * z**2 - 15 * z**3 + 105 * z**4 - 945 * z**5)
    log_ndtr = REGISTRY["log_ndtr"]
    assert grad(log_ndtr)(x) == pytest.approx(ratio, rel=1e-10 + 2e4 * z**6)
    # x + ratio loses as many digits as ratio * (x + ratio) is smaller than x
    assert grad(grad(log_ndtr))(x) == pytest.approx(-ratio * (x + ratio), rel=1e-15 / z**2 + 4e4 * z**5)


@pytest.mark.parametrize("ufunc", [np.add, np.multiply], ids=str)
def test_a_running_sum_has_the_requested_dtype(ufunc: np.ufunc) -> None:
    x = np.array([0.1, 0.2, 0.3])
    made = ufunc.accumulate(Tensor(x), dtype=np.float32)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made.data, ufunc.accumulate(x, dtype=np.float32))
