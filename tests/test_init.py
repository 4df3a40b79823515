"""The initialisers: moments, bounds and distributions of many draws, shapes with kernels, seeds and dtypes."""

from collections.abc import Callable
from functools import partial
from math import inf, pi, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Layer
from tinygrad_nn.nn import init

Array = Any
Scheme = Callable[..., Array]

SHAPE = (300, 20, 3, 5)  # fans 300 and 4500
FAN_IN, FAN_OUT = 300, 4500

VARIANCES: dict[str, tuple[Scheme, float, str]] = {  # scheme, variance of a draw of SHAPE, distribution
    "he_normal": (init.he_normal, 2 / FAN_IN, "normal"),
    "he_uniform": (init.he_uniform, 2 / FAN_IN, "uniform"),
    "he_normal of leaky_relu": (partial(init.he_normal, slope=0.5), 2 / (1.25 * FAN_IN), "normal"),
    "he_uniform of leaky_relu": (partial(init.he_uniform, slope=0.5), 2 / (1.25 * FAN_IN), "uniform"),
    "xavier_normal": (init.xavier_normal, 2 / (FAN_IN + FAN_OUT), "normal"),
    "xavier_uniform": (init.xavier_uniform, 2 / (FAN_IN + FAN_OUT), "uniform"),
    "xavier_normal of tanh": (partial(init.xavier_normal, gain=5 / 3), 50 / 9 / (FAN_IN + FAN_OUT), "normal"),
    "lecun_normal": (init.lecun_normal, 1 / FAN_IN, "normal"),
    "lecun_uniform": (init.lecun_uniform, 1 / FAN_IN, "uniform"),
    "fan_in_uniform": (init.fan_in_uniform, 1 / (3 * FAN_IN), "uniform"),
    "normal": (partial(init.normal, std=0.02), 0.02**2, "normal"),
    "uniform": (partial(init.uniform, low=-0.1, high=0.1), 0.01 / 3, "uniform"),
}
RANDOM: dict[str, Scheme] = {
    **{name: row[0] for name, row in VARIANCES.items()},
    "truncated_normal": init.truncated_normal,
    "orthogonal": init.orthogonal,
}


def distance(draws: Array, cdf: Callable[[float], float]) -> float:
    """The largest distance between the share of draws below a number and the probability of it (Kolmogorov)."""
    ordered = np.sort(draws.ravel())[::7]
    return float(np.abs(np.array([cdf(x) for x in ordered]) - np.arange(0, draws.size, 7) / draws.size).max())


def least_surprising(n: int) -> float:
    """A distance d that right draws exceed with a probability of 2e-8 only: 2 exp(-2 n d^2)."""
    return sqrt(np.log(1e8) / (2 * n))


@pytest.mark.parametrize("name", VARIANCES)
def test_draws_have_their_mean_variance_and_distribution(name: str) -> None:
    scheme, variance, kind = VARIANCES[name]
    w = scheme(SHAPE, rng=1)
    assert w.shape == SHAPE
    n, std = w.size, variance**0.5
    assert abs(w.mean()) < 5 * (variance / n) ** 0.5
    assert w.var() == pytest.approx(variance, rel=5 * (2 / n) ** 0.5)  # five deviations of a variance of n normal draws
    if kind == "normal":
        cdf: Callable[[float], float] = NormalDist(0, std).cdf
    else:
        limit = sqrt(3) * std
        assert limit * 0.999 < np.abs(w).max() <= limit
        cdf = lambda x: (x + limit) / (2 * limit)
    assert distance(w, cdf) < least_surprising(n)


def test_the_check_of_a_distribution_notices_another(rng: np.random.Generator) -> None:
    bound = least_surprising(90_000)
    assert distance(rng.normal(0, 1.05, 90_000), NormalDist().cdf) > bound
    assert distance(rng.normal(0.03, 1, 90_000), NormalDist().cdf) > bound


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"),
    [
        (0, 1, -2, 2), (0, 0.02, -0.04, 0.04), (0, 0.02, -2, 2), (1, 2, 0.5, inf), (0, 1, -inf, inf), (0, 1, 0.5, 0.6),
        (0, 1, 4, inf), (0, 1, -9, -6), (-3, 0.5, 0, 10), (0, 1, 2, 2.5), (5, 1, -1, 1),
    ],
)  # fmt: skip
def test_a_truncated_normal_is_that_part_of_a_normal(mean: float, std: float, a: float, b: float) -> None:
    w = init.truncated_normal((20_000,), rng=2, mean=mean, std=std, a=a, b=b)
    assert a <= w.min()
    assert w.max() <= b
    # By the nearer tail, in which a probability keeps its digits.
    sign = -1 if (a - mean) > 0 else 1
    below, above = sorted((sign * (a - mean) / std, sign * (b - mean) / std))
    Φ = NormalDist().cdf
    part = Φ(above) - Φ(below)

    def cdf(x: float) -> float:
        share = (Φ(sign * (x - mean) / std) - Φ(below)) / part
        return share if sign == 1 else 1 - share

    assert distance(w, cdf) < least_surprising(w.size)


def test_the_deviation_of_a_truncated_normal_is_known() -> None:
    w = init.truncated_normal((200_000,), rng=3)
    φ, Φ = np.exp(-2) / sqrt(2 * pi), NormalDist().cdf(2)
    assert w.var() == pytest.approx(1 - 4 * φ / (2 * Φ - 1), rel=5 * (2 / w.size) ** 0.5)


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (7, 3), (6, 2, 2, 2), (2, 3, 3), (1, 5), (5, 1)])
def test_an_orthogonal_weight_keeps_lengths(shape: tuple[int, ...]) -> None:
    W = init.orthogonal(shape, rng=4, gain=1.5)
    assert W.shape == shape
    M = W.reshape(shape[0], -1)
    product = M @ M.T if M.shape[0] <= M.shape[1] else M.T @ M
    np.testing.assert_allclose(product, 2.25 * np.eye(len(product)), atol=1e-14)


def test_orthogonal_draws_are_spread_evenly() -> None:
    """The determinant is 1 as often as -1, and no entry has a preferred sign: a plain QR would have one."""
    rng = np.random.default_rng(5)
    draws = np.array([init.orthogonal((2, 2), rng) for _ in range(2000)])
    assert np.abs(draws.mean(axis=0)).max() < 5 * (0.5 / 2000) ** 0.5
    assert abs(np.linalg.det(draws).mean()) < 5 / 2000**0.5


@pytest.mark.parametrize("name", RANDOM)
def test_a_seed_gives_the_same_draws_in_any_dtype_and_a_generator_moves_on(name: str) -> None:
    scheme, shape = RANDOM[name], (4, 6)
    w = scheme(shape, 7)
    assert w.dtype == np.float64
    np.testing.assert_array_equal(scheme(shape, 7), w)
    single = scheme(shape, 7, np.float32)
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, w.astype(np.float32))
    rng = np.random.default_rng(7)
    assert (scheme(shape, rng) != scheme(list(shape), rng)).any()
    assert (scheme(shape) != scheme(shape)).any()
    assert scheme((0, 3), 7).shape == (0, 3)


def test_constants() -> None:
    for scheme, value in ((init.zeros, 0), (init.ones, 1), (partial(init.constant, value=0.3), 0.3)):
        w = scheme((2, 3), None, np.float32)
        assert w.dtype == np.float32
        np.testing.assert_array_equal(w, np.full((2, 3), value, np.float32))


@pytest.mark.parametrize(
    ("shape", "fans"),
    [((40, 4), (4, 40)), ((32, 16, 3, 3), (144, 288)), ((32, 1, 5), (5, 160)), ((8, 2, 3, 3, 3), (54, 216))],
)
def test_fans_of_dense_and_convolutional_weights(shape: tuple[int, ...], fans: tuple[int, int]) -> None:
    assert init.fans(shape) == fans


def test_the_schemes_of_a_layer_are_these() -> None:
    for name, schemes in {
        "relu": (init.he_normal, init.he_uniform),
        "leaky_relu(0.3)": (partial(init.he_normal, slope=0.3), partial(init.he_uniform, slope=0.3)),
        "tanh": (init.xavier_normal, init.xavier_uniform),
        "gelu": (init.xavier_normal, init.xavier_uniform),
        "selu": (init.lecun_normal, init.lecun_uniform),
    }.items():
        for distribution, scheme in zip("nu", schemes, strict=True):
            np.testing.assert_array_equal(Layer(4, 7, name, distribution, rng=3).W.data, scheme((7, 4), 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: init.he_normal((3,)), r"a weight of shape \(3,\) has no fan_in and fan_out; .* For a bias use zeros"),
        (lambda: init.fan_in_uniform((3,)), r"fan_in_uniform with the fan of its weight"),
        (lambda: init.orthogonal((3,)), r"orthogonal needs rows and columns, .* the shape is \(3,\)"),
        (lambda: init.truncated_normal((3,), std=0), "std=0, a=-2.0, b=2.0; std must be positive"),
        (lambda: init.truncated_normal((3,), a=2, b=2), "a=2, b=2; std must be positive and a below b"),
    ],
)
def test_invalid_initializers_are_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_a_bias_is_drawn_with_the_fan_of_its_weight() -> None:
    b = init.fan_in_uniform((1000,), rng=0, fan_in=25)
    assert 0.19 < np.abs(b).max() <= 0.2


def test_weights_of_layers_are_no_integers_either() -> None:
    with pytest.raises(TypeError, match="weights need floats"):
        init.initial_weights(3, 2, 0.0, "n", rng=0, dtype=int)
