"""Small parts of operations that only show at an edge: masks, options, tolerances, what is left of nothing."""

import warnings

import numpy as np
import pytest

from tinygrad_nn import Tensor, check_gradients, grad
from tinygrad_nn.ops import decomposition, linalg, neural
from tinygrad_nn.primitive import REGISTRY

L = np.linalg
EPS = np.finfo(float).eps
X = np.array([[0.5, -1.25, 2.0], [1.5, 0.75, -0.25]])


# -- Reductions


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "var", "std"])
def test_a_reduction_has_the_requested_dtype(name: str) -> None:
    x = X.astype(np.float32)
    f = getattr(np, name)
    found, wanted = f(Tensor(x), axis=1, dtype=np.float64), f(x, axis=1, dtype=np.float64)
    assert found.dtype == wanted.dtype == np.float64
    np.testing.assert_array_equal(found.data, wanted)


@pytest.mark.parametrize("name", ["var", "std", "nanvar", "nanstd"])
def test_a_variance_about_a_given_mean_has_the_requested_dtype(name: str) -> None:
    x, f = X.astype(np.float32), getattr(np, name)
    mean = x.mean(axis=1, keepdims=True)
    found, wanted = (f(a, axis=1, dtype=np.float64, mean=mean) for a in (Tensor(x), x))
    assert found.dtype == wanted.dtype == np.float64
    np.testing.assert_allclose(found.data, wanted, rtol=1e-14)


def test_a_variance_without_a_degree_of_freedom_has_no_slope_under_a_mask_either() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        slope = grad(lambda x: np.var(x, where=np.array([True, True, False]), ddof=2))(X[0])
    np.testing.assert_array_equal(np.isnan(slope), [True, True, True])


def test_the_way_back_from_a_mean_of_nothing_is_quiet() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        back = REGISTRY["mean"].vjps[0](np.ones(3), np.ones(3), np.ones((0, 3)), axis=0)
    assert back.shape == (0, 3)


# -- Factorisations


def test_a_completion_of_columns_is_orthonormal_to_the_eighth_power_of_a_change() -> None:
    Q = L.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    turned = L.qr(Q[:, :2] + 0.1 * Q[:, 2:4] - 0.05 * Q[:, [4, 4]])[0]
    C = decomposition._completion(turned, Q[:, 2:])
    np.testing.assert_allclose(C.T @ C, np.eye(3), rtol=0, atol=1e-7)
    np.testing.assert_allclose(turned.T @ C, 0, atol=1e-15)


@pytest.mark.parametrize(("rows", "lost"), [(2, False), (50, True)])
def test_more_rows_leave_more_rounding_in_which_a_column_depends_on_another(rows: int, lost: bool) -> None:
    x = np.zeros((rows, 2))
    x[0], x[1, 1] = 1, 100 * EPS
    assert np.isnan(grad(lambda x: L.qr(x).R[1, 1])(x)).any() == lost


def test_values_are_equal_where_they_differ_by_eight_roundings_of_their_sum() -> None:
    w = np.array([[1.0, 2.0, 2.0 + 32 * EPS], [1.0, 2.0, 2.0 + 64 * EPS], [-1.0, 1.0, 1.0]])
    np.testing.assert_allclose(decomposition._tolerance(w), [[40 * EPS], [40 * EPS], [24 * EPS]], rtol=1e-12)
    same, pair = decomposition._equal_pairs(w), np.zeros((3, 3), bool)
    pair[1, 2] = pair[2, 1] = True
    for found, wanted in zip(same, (pair, 0 * pair, pair), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_gaps_are_differences_and_of_equal_values_those_of_the_direction_in_which_they_part() -> None:
    w = np.array([[1.0, 4.0, 4.0], [2.0, 3.0, 7.0]], np.float32)
    np.testing.assert_array_equal(decomposition._separating_direction(w), [1, 2, 3])
    gaps = decomposition._gaps(w, decomposition._equal_pairs(w))
    assert gaps.dtype == np.float32
    np.testing.assert_array_equal(gaps, [[[1, 3, 3], [-3, 1, 1], [-3, -1, 1]], [[1, 1, 5], [-1, 1, 4], [-5, -4, 1]]])


@pytest.mark.parametrize("dtype", [np.float64, np.complex128, np.float32])
def test_a_turn_mixes_vectors_of_equal_values_and_no_others(dtype: type) -> None:
    same = decomposition._equal_pairs(np.array([[1.0, 4.0, 4.0], [2.0, 2.0, 2.0], [1.0, 2.0, 3.0]]))
    Q, other = decomposition._random_rotation(same, dtype), decomposition._random_rotation(same, dtype, 1)
    assert Q.dtype == dtype
    np.testing.assert_allclose(Q @ Q.mT.conj(), np.broadcast_to(np.eye(3), (3, 3, 3)), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(np.abs(Q) > 1e-3, same | np.eye(3, dtype=bool))
    np.testing.assert_allclose(Q[2], np.eye(3), rtol=0, atol=1e-15)
    assert np.abs(Q[0] - other[0]).max() > 1e-3
    assert np.iscomplexobj(Q) == (np.abs(Q.imag).max() > 1e-3)


def test_numbers_below_half_precision_of_the_rest_count_as_zero() -> None:
    whole = np.array([[[4.0, 0.0]], [[0.0, -1.0]]])
    half = np.sqrt(EPS)
    for size, wanted in ((0.9, [True, True]), (1.1, [False, False])):
        x = size * half * np.array([[[4.0, 0.0]], [[0.0, -1.0]]])
        np.testing.assert_array_equal(decomposition._is_zero(x, whole).all(axis=(1, 2)), wanted)
    assert decomposition._is_zero(np.zeros((1, 2)), np.zeros((1, 2))).all()
    assert decomposition._is_zero(np.zeros((0, 0)), np.zeros((0, 0))).shape == (0, 0)


@pytest.mark.parametrize(("w", "size"), [([0.0, -3.0], 3), ([0.0, 0.0], 1), ([0.5], 0.5), (np.zeros((2, 0)), [1, 1])])
def test_the_size_of_values_is_that_of_the_largest_or_one(w: object, size: object) -> None:
    np.testing.assert_array_equal(decomposition._largest_or_one(np.array(w)), size)


def test_where_what_follows_cannot_be_run_again_only_a_cotangent_of_0_goes_on() -> None:
    np.testing.assert_array_equal(decomposition._refuse(np.zeros(2)), np.zeros(2))
    for x in ([1.0, 1.0], [0.0, 1e-300]):
        with pytest.raises(decomposition.AtEqualValues, match="must be run again, uncompiled"):
            decomposition._refuse(np.array(x))


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4)])
def test_a_complete_hermitian_and_a_thin_decomposition_of_a_stack_are_those_of_each(shape: tuple[int, int]) -> None:
    stack = np.random.default_rng(3).normal(size=(2, *shape))
    calls = [lambda x: L.qr(x, "complete").R, lambda x: L.svd(x, False).Vh ** 2, lambda x: L.svd(x).S]
    if shape == (3, 3):
        calls.append(lambda x: L.svd((x + x.mT) / 2, hermitian=True, compute_uv=False))
        calls += [lambda x, i=i: L.svd((x + x.mT) / 2, hermitian=True)[i] ** 2 for i in range(3)]
    for f in calls:
        found = f(Tensor(stack))
        np.testing.assert_allclose(found.data, f(stack), rtol=0, atol=1e-13)
        weights = np.cos(np.arange(found.size)).reshape(found.shape)
        whole = grad(lambda x, f=f, w=weights: (f(x) * w).sum())(stack)
        each = [grad(lambda x, f=f, w=w: (f(x) * w).sum())(x) for x, w in zip(stack, weights, strict=True)]
        np.testing.assert_allclose(whole, each, rtol=1e-11, atol=1e-11)


def test_of_a_stack_only_the_matrices_with_a_dependent_column_lose_their_gradient() -> None:
    x = np.array([[[1.0, 1, 2], [1, 1, 0], [1, 1, 1]], [[1.0, 0, 2], [1, 1, 0], [1, 1, 1]], [[0.0, 1, 2]] * 3])
    for f in (lambda x: L.qr(x).Q[..., :1], lambda x: L.qr(x).Q[..., 2], lambda x: L.qr(x).R[..., 0, 0],
              lambda x: L.qr(x).R[..., 1, 1], lambda x: L.qr(x).R[..., 0, 2]):  # fmt: skip
        whole = grad(lambda x, f=f: (f(x) ** 2).sum())(x)
        np.testing.assert_array_equal(whole, [grad(lambda x, f=f: (f(x) ** 2).sum())(one) for one in x])


# -- Chains of products


def test_a_chain_of_products_is_parted_where_the_fewest_numbers_are_multiplied() -> None:
    """The example of Cormen et al., section 15.2: (A₁ (A₂ A₃)) ((A₄ A₅) A₆)."""
    split = linalg._splits([30, 35, 15, 5, 10, 20, 25])
    assert (split[0, 5], split[0, 2], split[1, 2], split[3, 5], split[3, 4]) == (2, 0, 1, 4, 3)


@pytest.mark.parametrize(
    "shapes", [((2, 0), (0,)), ((2, 3, 0), (0, 4)), ((0, 3), (3,)), ((0,), (2, 0, 3)), ((2, 0), (4, 0, 3))]
)
def test_a_product_over_nothing_has_a_gradient_of_zeros(shapes: tuple[tuple[int, ...], ...]) -> None:
    x, y = (np.ones(shape) for shape in shapes)
    for found, wanted in zip(grad(lambda x, y: np.dot(x, y).sum(), (0, 1))(x, y), (x, y), strict=True):
        np.testing.assert_array_equal(found, 0 * wanted)


def test_a_chain_of_products_is_of_two_matrices_or_more() -> None:
    t = Tensor(np.eye(2))
    np.testing.assert_array_equal(L.multi_dot([t, t]).data, np.eye(2))
    for few in ([t], []):
        with pytest.raises(ValueError, match=f"at least two arrays; it got {len(few)}"):
            linalg._multi_dot(few)


# -- Results in arrays of others

OUT = """
np.average(t, out=o); np.ptp(t, out=o); np.median(t, out=o); np.nanmedian(t, out=o); np.quantile(t, 0.5, out=o)
np.nanquantile(t, 0.5, out=o); np.percentile(t, 5, out=o); np.nanpercentile(t, 5, out=o); np.cumulative_sum(t, out=o)
np.cumulative_prod(t, out=o); np.nancumsum(t, out=o); np.nancumprod(t, out=o); np.take(t, [0], out=o)
np.choose([0, 0, 0], [t], out=o); np.compress([True], t, out=o); np.outer(t, t, out=o); np.clip(t, 0, 1, out=o)
np.linalg.multi_dot([t, t], out=o); np.sum(t, out=o); np.max(t, out=o); np.cumsum(t, out=o); np.concatenate([t], out=o)
np.stack([t], out=o); np.einsum("i->", t, out=o); np.dot(t, t, out=o)
np.fft.hfft(t, out=o); np.fft.ihfft(t, out=o); np.fft.fftn(t, out=o); np.fft.rfftn(t, out=o); np.fft.irfftn(t, out=o)
"""


@pytest.mark.parametrize("call", [c.strip() for c in OUT.strip().replace("\n", ";").split(";")])
def test_no_result_is_written_into_an_array_which_a_graph_would_not_know_of(call: str) -> None:
    o = np.zeros(3)
    with pytest.raises(TypeError, match="out"):
        eval(call, {"np": np, "t": Tensor([1.0, 2.0, 3.0]), "o": o})
    np.testing.assert_array_equal(o, 0)


@pytest.mark.parametrize("mode", ["mean", "median", "maximum", "minimum", "linear_ramp", "constant", "edge", "reflect"])
def test_whole_numbers_are_padded_with_whole_numbers(mode: str) -> None:
    x = np.array([[1, 4, 2], [7, 3, 3]])
    found, wanted = np.pad(Tensor(x), (1, 2), mode=mode), np.pad(x, (1, 2), mode=mode)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found.data, wanted)


@pytest.mark.parametrize(
    "shapes", [((2,), (2,)), ((4, 2), (2,)), ((2,), (3,)), ((4, 3), (4, 2)), ((2, 2), (2, 3))], ids=str
)
def test_vectors_of_the_plane_have_a_product_whichever_numpy_there_is(shapes: tuple[tuple[int, ...], ...]) -> None:
    draw = np.random.default_rng(5).standard_normal
    x, y = draw(shapes[0]), draw(shapes[1])
    a, b = (np.concatenate([v, np.zeros((*v.shape[:-1], 3 - v.shape[-1]))], axis=-1) for v in (x, y))
    wanted = np.cross(a, b)
    if x.shape[-1] == y.shape[-1] == 2:
        wanted = wanted[..., 2]
    product = np.cross(Tensor(x), y)
    np.testing.assert_array_equal(product.data, wanted)
    assert np.cross(x, Tensor(y)).shape == wanted.shape
    assert check_gradients(lambda x, y: np.cross(x, y), x, y)


# -- Sums of rows, by a product where they are short


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "g"])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8, 9, 40])
@pytest.mark.parametrize("rows", [0, 1, 2, 3, 5, 16, 17, 100, 1001])
def test_a_row_is_summed_to_the_same_bit_by_every_way(rows: int, n: int, dtype: str) -> None:
    e = np.exp(np.random.default_rng(rows).normal(size=(rows, n))).astype(dtype)
    for x in (e, np.asfortranarray(e), np.repeat(e, 2, axis=1)[:, ::2]):
        found, wanted = neural._row_sums(x), np.add.reduce(x, axis=-1, keepdims=True)
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(np.broadcast_to(found, e.shape), np.broadcast_to(wanted, e.shape))


def test_single_rows_are_summed_to_the_same_bit() -> None:
    rng = np.random.default_rng(0)
    for n in range(1, 9):
        for e in rng.random((200, 1, n)):
            np.testing.assert_array_equal(neural._row_sums(e)[:, :1], np.add.reduce(e, axis=-1, keepdims=True))


def test_a_row_of_zeros_or_of_no_number_keeps_to_itself() -> None:
    z = np.array([[0.0, -np.inf, 1.0], [np.nan, 0.0, 1.0], [1e4, 0.0, -1e4], [-np.inf, 5.0, -np.inf]])
    y = np.eye(3)[[0, 1, 0, 1]]
    with np.errstate(all="ignore"):
        out, saved = neural._softmax_crossentropy(z, y)
    wanted = np.array([[1 / (1 + np.e), 0, np.e / (1 + np.e)], [1, 0, 0], [0, 1, 0]])
    np.testing.assert_allclose(saved["p"][[0, 2, 3]], wanted, rtol=1e-15)
    assert np.isnan(saved["p"][1]).all()
    assert np.isnan(out)
