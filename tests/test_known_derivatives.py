"""Derivatives at ties, zeros, joints and infinities, where a guard in a rule may wrongly return a constant.

KNOWN holds derivatives from calculus, order after order. Then every row of the table of cases is taken to points full
of ties and zeros: wherever differences from both sides show it to be smooth, the rules must have its derivatives.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases.case import Case
from test_orders import Sweep
from test_primitives import ROWS

import tinygrad_nn as tg
from tinygrad_nn import Tensor, grad, hessian
from tinygrad_nn.nn import losses
from tinygrad_nn.ops.attention import attention
from tinygrad_nn.tree import flatten

LN2, PI, NORMAL, INF = math.log(2), math.pi, 1 / math.sqrt(2 * math.pi), math.inf
stack = np.stack


def sigma(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def logistic(x: float, scale: float = 1.0) -> tuple[float, ...]:
    """The slope of ln(1 + eˣ) and its derivatives, the argument scaled."""
    s = sigma(scale * x)
    return s, scale * s * (1 - s), scale**2 * s * (1 - s) * (1 - 2 * s), scale**3 * s * (1 - s) * (1 - 6 * s * (1 - s))


def beside(x: Any, *others: float) -> Any:
    """Return a vector of x and constants."""
    return stack([x, *(x * 0 + c for c in others)])


def huber(x: Any) -> Any:
    return losses.huber(x, x * 0, delta=1.5)


def smooth_l1(x: Any) -> Any:
    return losses.smooth_l1(x, x * 0, beta=0.5)


# Function of one number, the number, its derivatives of order 1, 2, ...
KNOWN: dict[str, tuple[Callable[..., Any], float, tuple[float, ...]]] = {
    "logaddexp, tie at 0": (lambda x: np.logaddexp(0.0, x), 0.0, logistic(0)),
    "logaddexp, tie at 3": (lambda x: np.logaddexp(3.0, x), 3.0, logistic(0)),
    "logaddexp, tie at -700": (lambda x: np.logaddexp(x, -700.0), -700.0, logistic(0)),
    "logaddexp, no tie": (lambda x: np.logaddexp(x, 1.0), 0.0, logistic(-1)),
    "logaddexp, of itself": (lambda x: np.logaddexp(x, x), 2.0, (1, 0, 0)),
    "logaddexp, of itself less": (lambda x: np.logaddexp(x, -x), 0.0, (0, 1, 0, -2)),
    "logaddexp, far below": (lambda x: np.logaddexp(x, 800.0), 0.0, (0, 0, 0)),
    "logaddexp, far above": (lambda x: np.logaddexp(x, -800.0), 0.0, (1, 0, 0)),
    "logaddexp, of nothing": (lambda x: np.logaddexp(x, -INF), 1.0, (1, 0, 0)),
    "logaddexp, of infinity": (lambda x: np.logaddexp(x, INF), 1.0, (0, 0, 0)),
    "logaddexp2, tie at 0": (lambda x: np.logaddexp2(0.0, x), 0.0, logistic(0, LN2)),
    "logaddexp2, tie at 5": (lambda x: np.logaddexp2(x, 5.0), 5.0, logistic(0, LN2)),
    "logaddexp2, no tie": (lambda x: np.logaddexp2(x, 2.0), 1.0, logistic(-1, LN2)),
    "logaddexp2, of itself less": (lambda x: np.logaddexp2(x, -x), 0.0, (0, LN2, 0)),
    "logaddexp.outer": (lambda x: np.logaddexp.outer(beside(x, 0.0), beside(x)).sum(), 0.0, (1.5, 0.25, 0)),
    "logaddexp2.outer": (lambda x: np.logaddexp2.outer(np.zeros(2), beside(x)).sum(), 0.0, (1, 0.5 * LN2, 0)),
    "logaddexp.reduce": (lambda x: np.logaddexp.reduce(beside(x, 0.0)), 0.0, logistic(0)),
    "logaddexp.accumulate": (lambda x: np.logaddexp.accumulate(beside(x, 0.0))[1], 0.0, logistic(0)),
    "logaddexp2.reduce": (lambda x: np.logaddexp2.reduce(beside(x, 0.0)), 0.0, logistic(0, LN2)),
    "logaddexp2.accumulate": (lambda x: np.logaddexp2.accumulate(beside(x, 1.0))[1], 1.0, logistic(0, LN2)),
    "logsumexp, a tie": (lambda x: tg.logsumexp(beside(x, 0.0)), 0.0, logistic(0)),
    "logsumexp, three": (lambda x: tg.logsumexp(beside(x, 1.0, 1.0)), 1.0, (1 / 3, 2 / 9, 2 / 27)),
    "logsumexp, one": (lambda x: tg.logsumexp(beside(x)), 1.0, (1, 0, 0)),
    "logsumexp, beside -inf": (lambda x: tg.logsumexp(beside(x, -INF, 0.0)), 0.0, logistic(0)),
    "softmax, a tie": (lambda x: tg.softmax(beside(x, 0.0))[0], 0.0, logistic(0)[1:]),
    "softmax, no tie": (lambda x: tg.softmax(beside(x, 0.0))[0], 1.0, logistic(1)[1:]),
    "softmax, saturated": (lambda x: tg.softmax(beside(x, 0.0))[0], 900.0, (0, 0, 0)),
    "log_softmax, a tie": (lambda x: tg.log_softmax(beside(x, 0.0))[1], 0.0, tuple(-s for s in logistic(0))),
    "log_softmax, saturated": (lambda x: tg.log_softmax(beside(x, 0.0))[1], 900.0, (-1, 0, 0)),
    "softplus at 0": (tg.softplus, 0.0, logistic(0)),
    "softplus, sharp": (lambda x: tg.softplus(x, beta=2.0), 0.0, logistic(0, 2.0)),
    "softplus, saturated": (tg.softplus, 900.0, (1, 0, 0)),
    "log_sigmoid at 0": (tg.log_sigmoid, 0.0, (0.5, -0.25, 0, 0.125)),
    "log_sigmoid, saturated": (tg.log_sigmoid, -900.0, (1, 0, 0)),
    "sigmoid at 0": (tg.sigmoid, 0.0, (0.25, 0, -0.125, 0)),
    "sigmoid, saturated": (tg.sigmoid, 900.0, (0, 0, 0)),
    "tanh at 0": (np.tanh, 0.0, (1, 0, -2, 0)),
    "gelu at 0": (tg.gelu, 0.0, (0.5, 2 * NORMAL, 0, -4 * NORMAL)),
    "gelu, saturated": (tg.gelu, 60.0, (1, 0, 0)),
    "gelu by tanh": (lambda x: tg.gelu(x, approximate="tanh"), 0.0, (0.5, 2 * NORMAL, 0)),
    "silu at 0": (tg.silu, 0.0, (0.5, 0.5, 0, -0.5)),
    "mish at 0": (tg.mish, 0.0, (0.6, 0.64)),
    "softsign at 0": (tg.softsign, 0.0, (1, 0)),
    "softsign at 1": (tg.softsign, 1.0, (0.25, -0.25, 0.375)),
    "celu above": (tg.celu, 1.0, (1, 0, 0)),
    "celu below": (tg.celu, -1.0, (math.exp(-1),) * 3),
    "elu at 0, as below": (tg.elu, 0.0, (1, 1, 1)),
    "relu cubed at 0": (lambda x: tg.relu(x) ** 3, 0.0, (0, 0)),
    "maximum cubed at 0": (lambda x: np.maximum(x, 0) ** 3, 0.0, (0, 0)),
    "huber at 0": (huber, 0.0, (0, 1, 0)),
    "huber inside": (huber, -1.0, (-1, 1, 0)),
    "huber outside": (huber, 2.0, (1.5, 0, 0)),
    "huber outside, below": (huber, -2.0, (-1.5, 0, 0)),
    "huber at its joint": (huber, 1.5, (1.5,)),
    "huber at its lower joint": (huber, -1.5, (-1.5,)),
    "smooth_l1 at 0": (smooth_l1, 0.0, (0, 2, 0)),
    "smooth_l1 inside": (smooth_l1, 0.25, (0.5, 2, 0)),
    "smooth_l1 outside": (smooth_l1, -1.0, (-1, 0, 0)),
    "smooth_l1 at its joint": (smooth_l1, 0.5, (1,)),
    "mse at 0": (lambda x: losses.mse_loss(beside(x), np.zeros(1, x.dtype)), 0.0, (0, 2, 0)),
    "sinc at 0": (np.sinc, 0.0, (0, -(PI**2) / 3, 0, PI**4 / 5)),
    "i0 at 0": (np.i0, 0.0, (0, 0.5, 0, 0.375)),
    "erf at 0": (tg.erf, 0.0, (2 / math.sqrt(PI), 0, -4 / math.sqrt(PI))),
    "expm1 at 0": (np.expm1, 0.0, (1, 1, 1)),
    "log1p at 0": (np.log1p, 0.0, (1, -1, 2)),
    "arctan at 0": (np.arctan, 0.0, (1, 0, -2)),
    "arcsin at 0": (np.arcsin, 0.0, (1, 0, 1)),
    "arctanh at 0": (np.arctanh, 0.0, (1, 0, 2)),
    "arcsinh at 0": (np.arcsinh, 0.0, (1, 0, -1)),
    "cbrt at 8": (np.cbrt, 8.0, (1 / 12, -1 / 144)),
    "square at 0": (np.square, 0.0, (0, 2, 0)),
    "x**2 at 0": (lambda x: x**2, 0.0, (0, 2, 0)),
    "x**2. at 0": (lambda x: x**2.0, 0.0, (0, 2, 0)),
    "x**3 at 0": (lambda x: x**3, 0.0, (0, 0, 6, 0)),
    "x**1 at 0": (lambda x: x**1, 0.0, (1, 0, 0)),
    "x**0 at 0": (lambda x: x**0, 0.0, (0, 0)),
    "x**array at 0": (lambda x: (x ** np.array([0, 1, 2, 3])).sum(), 0.0, (1, 2, 6, 0)),
    "x**Tensor at 0": (lambda x: x ** Tensor(np.array(3, x.dtype)), 0.0, (0, 0, 6, 0)),
    "x**3 at -1": (lambda x: x**3, -1.0, (3, -6, 6)),
    "x**2.5 at 0": (lambda x: x**2.5, 0.0, (0, 0)),
    "2**x at 0": (lambda x: 2.0**x, 0.0, (LN2, LN2**2, LN2**3)),
    "0**x at 2": (lambda x: (x * 0) ** x, 2.0, (0, 0)),
    "1**x at 2": (lambda x: (x * 0 + 1) ** x, 2.0, (0, 0)),
    "float_power at 0": (lambda x: np.float_power(x, 2), 0.0, (0, 2, 0)),
    "x x at 0": (lambda x: x * x, 0.0, (0, 2, 0)),
    "x |x| at 0": (lambda x: x * np.abs(x), 0.0, (0,)),
    "|x|**3 at 0": (lambda x: np.abs(x) ** 3, 0.0, (0, 0)),
    "prod of two zeros": (lambda x: np.prod(beside(x, 0.0, 2.0) + beside(x * 0, 0.0, 0.0)), 0.0, (0, 0)),
    "prod of x x (1 + x)": (lambda x: np.prod(stack([x, x, 1 + x])), 0.0, (0, 2, 6, 0)),
    "cumprod of x x (1 + x)": (lambda x: np.cumprod(stack([x, x, 1 + x]))[-1], 0.0, (0, 2, 6, 0)),
    "nanprod": (lambda x: np.nanprod(stack([x, x, x * 0 + np.nan])), 0.0, (0, 2, 0)),
    "at.multiply": (lambda x: beside(1 + x, 1.0).at[np.array([0, 0])].multiply(stack([x, x]))[0], 0.0, (0, 2, 6)),
    "x/x at 1": (lambda x: x / x, 1.0, (0, 0, 0)),
    "hypot, of 0 and 2": (lambda x: np.hypot(x, 2.0), 0.0, (0, 0.5, 0, -3 / 8)),
    "hypot, of 2 and 0": (lambda x: np.hypot(x * 0 + 2.0, x), 0.0, (0, 0.5, 0)),
    "hypot along": (lambda x: np.hypot(x, 0.0), 2.0, (1, 0, 0)),
    "arctan2 at 0 above": (lambda x: np.arctan2(x, 2.0), 0.0, (0.5, 0, -0.25)),
    "arctan2 in its second": (lambda x: np.arctan2(2.0, x), 0.0, (-0.5, 0, 0.25)),
    "arctan2 below": (lambda x: np.arctan2(x + 0.0, -1.0), 0.0, (-1, 0, 2)),
    "var of a tie": (lambda x: np.var(beside(x, 0.0)), 0.0, (0, 0.5, 0)),
    "var, ddof": (lambda x: np.var(beside(x, 1.0, 1.0), ddof=1), 1.0, (0, 2 / 3, 0)),
    "std, a tie among three": (lambda x: np.std(beside(x, 0.0, 3.0)), 0.0, (-1 / (3 * 2**0.5), 1 / (6 * 2**0.5))),
    "average": (lambda x: np.average(beside(x, 0.0) ** 2), 0.0, (0, 1, 0)),
    "det of zeros": (lambda x: np.linalg.det(x * np.eye(2, dtype=x.dtype)), 0.0, (0, 2, 0)),
    "det, rank 1 of 3": (lambda x: np.linalg.det(x * np.diag(np.array([1, 1, 0], x.dtype)) + 0), 0.0, (0, 0, 0)),
    "det, x times I of 3": (lambda x: np.linalg.det(x * np.eye(3, dtype=x.dtype)), 0.0, (0, 0, 6)),
    "norm of x and 2": (lambda x: np.linalg.norm(beside(x, 2.0)), 0.0, (0, 0.5, 0)),
    **{
        f"norm {p} of x and 2": (lambda x, p=p: np.linalg.norm(beside(x, 2.0), p), 0.0, (0, 0, later))
        for p, later in ((3.5, 0), (4, 0), (5, 0), (6, 0), (8, 0), (12, 0))
    },
    "norm 3 of x and 2": (lambda x: np.linalg.norm(beside(x, 2.0), 3), 0.0, (0, 0)),
    "norm 2.5 of x and 2": (lambda x: np.linalg.norm(beside(x, 2.0), 2.5), 0.0, (0, 0)),
    "norm 4 of x and 2, order 4": (lambda x: np.linalg.norm(beside(x, 2.0), 4), 0.0, (0, 0, 0, 6 / 8)),
    "norm 6, order 6": (lambda x: np.linalg.norm(beside(x, 2.0), 6), 0.0, (0, 0, 0, 0, 0, 120 / 32)),
    "norm 1.5 of x and 2": (lambda x: np.linalg.norm(beside(x, 2.0), 1.5), 0.0, (0, INF)),
    "norm 1 of x and 2": (lambda x: np.linalg.norm(beside(x, 2.0), 1), 0.0, (0, 0)),
    "norm inf of x and 2": (lambda x: np.linalg.norm(beside(x, 2.0), INF), 0.0, (0, 0)),
    "norm 4 along an axis": (lambda x: np.linalg.norm(beside(x, 2.0)[None], 4, axis=1).sum(), 0.0, (0, 0, 0)),
    "norm 4, kept": (lambda x: np.linalg.norm(beside(x, 2.0)[:, None], 4, 0, keepdims=True).sum(), 0.0, (0, 0, 0)),
    "vector_norm 4": (lambda x: np.linalg.vector_norm(beside(x, 2.0), ord=4), 0.0, (0, 0, 0)),
    "norm 4 of a tie": (lambda x: np.linalg.norm(beside(x, 1.0), 4), 1.0, (2**-0.75, 1.5 * 2**-0.75)),
    "norm fro": (lambda x: np.linalg.norm(beside(x, 2.0)[None], "fro"), 0.0, (0, 0.5, 0)),
    "norm 1 of a matrix": (lambda x: np.linalg.norm(beside(x, 2.0)[:, None], 1), 1.0, (1, 0)),
    "sigmoid crossentropy": (
        lambda x: tg.sigmoid_crossentropy(beside(x)[None], np.full((1, 1), 0.5, x.dtype)), 0.0, (0, 0.25, 0)),
    "softmax crossentropy": (
        lambda x: tg.softmax_crossentropy(beside(x, 0.0)[None], np.array([[1, 0]], x.dtype)), 0.0, (-0.5, 0.25, 0)),
    "softmax crossentropy, sure": (
        lambda x: tg.softmax_crossentropy(beside(x, 0.0)[None], np.array([[1, 0]], x.dtype)), 900.0, (0, 0, 0)),
    "cross_entropy in a target of 0": (
        lambda x: losses.cross_entropy(np.zeros((1, 2), x.dtype), stack([x, 1 + x * 0])[None]), 0.0, (LN2, 0)),
    "kl in a prediction, target 0": (
        lambda x: losses.kl_divergence(beside(x, 0.0), np.array([0, 1], x.dtype), reduction="sum"), -1.0, (0, 0)),
    "std_norm": (lambda x: tg.log_softmax(beside(x, 0.0, 0.0))[0], 0.0, (2 / 3, -2 / 9, -2 / 27)),
    "where on a tie": (lambda x: np.where(x > 0, x * x, 2 * x * x), 0.0, (0, 4, 0)),
    "sort of a tie squared": (lambda x: (np.sort(beside(x, 0.0)) ** 2).sum(), 0.0, (0, 2, 0)),
    "clip inside": (lambda x: np.clip(x, -1, 1) ** 2, 0.0, (0, 2, 0)),
    "trapezoid": (lambda x: np.trapezoid(beside(x, 0.0) ** 2), 0.0, (0, 1, 0)),
    "polyval at 0": (lambda x: np.polyval([1.0, 2.0, 3.0], x), 0.0, (2, 2, 0)),
    "tan at 0": (np.tan, 0.0, (1, 0, 2)),
    "logit at a half": (tg.logit, 0.5, (4, 0, 32)),
    "gammaln at 1": (tg.gammaln, 1.0, (-0.5772156649015329, PI**2 / 6)),
    "ldexp": (lambda x: np.ldexp(x * x, 3), 0.0, (0, 16, 0)),
    "attention with equal keys": (
        lambda x: attention(beside(x)[None], np.ones((2, 1), x.dtype), np.array([[1], [3]], x.dtype), 0.0, 1.0).sum(),
        0.0, (0, 0)),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.filterwarnings("ignore:divide by zero encountered in power")
def test_known_derivatives_at_ties_zeros_and_joints(name: str, dtype: type) -> None:
    f, x, derivatives = KNOWN[name]
    for order, wanted in enumerate(derivatives, 1):
        f = grad(f)
        found = f(np.array(x, dtype))
        assert found.dtype == dtype
        # Rounding grows by a few digits an order: the terms of which a derivative is the sum are up to 2π per order.
        eps = float(np.finfo(dtype).eps)
        np.testing.assert_allclose(found, wanted, rtol=8 * eps * 7**order, atol=8 * eps * 7**order, err_msg=str(order))


def test_there_are_enough_of_them() -> None:
    assert len(KNOWN) > 100


@pytest.mark.parametrize("p", [2.5, 3, 3.5, 4, 5, 6, 10])
def test_the_hessian_of_a_norm_at_an_entry_that_is_zero(p: float) -> None:
    np.testing.assert_array_equal(hessian(lambda t: np.linalg.norm(t, p))(np.array([0.0, 2.0])), np.zeros((2, 2)))
    x = np.array([0.0, 1.0, -2.0, 0.0])
    total = np.sum(np.abs(x) ** p)
    u = np.sign(x) * np.abs(x) ** (p - 1)
    wanted = (p - 1) * (np.diag(np.abs(x) ** (p - 2)) * total ** (1 / p - 1) - np.outer(u, u) * total ** (1 / p - 2))
    np.testing.assert_allclose(hessian(lambda t: np.linalg.norm(t, p))(x), wanted, atol=1e-14)


def test_an_infinite_second_derivative_spoils_no_other() -> None:
    with np.errstate(divide="ignore"):
        H = hessian(lambda t: np.linalg.norm(t, 1.5))(np.array([0.0, 2.0]))
    np.testing.assert_array_equal(H, [[np.inf, 0], [0, 0]])


# -- NaN and infinities

W = np.array([1.0, 2.0, 5.0])
ALONG: dict[str, Callable[..., Any]] = {
    "logsumexp": lambda x, axis: tg.logsumexp(x, axis=axis),
    "logsumexp, kept": lambda x, axis: tg.logsumexp(x, axis=axis, keepdims=True),
    "softmax": lambda x, axis: tg.softmax(x, axis=axis) * (W if axis else W[:, None]),
    "log_softmax": lambda x, axis: tg.log_softmax(x, axis=axis) * (W if axis else W[:, None]),
    "logaddexp.reduce": lambda x, axis: np.logaddexp.reduce(x, axis=axis),
    "logaddexp2.reduce": lambda x, axis: np.logaddexp2.reduce(x, axis=axis),
    "logaddexp.accumulate": lambda x, axis: np.logaddexp.accumulate(x, axis=axis),
    "norm": lambda x, axis: np.linalg.norm(x, axis=axis),
    "norm 4": lambda x, axis: np.linalg.norm(x, 4, axis=axis),
    "std": lambda x, axis: np.std(x, axis=axis),
}


@pytest.mark.parametrize("name", ALONG)
@pytest.mark.parametrize("place", [(0, 0), (2, 2), (1, 2)], ids=str)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_nan_spoils_the_gradient_of_all_of_its_row_and_of_no_other(name: str, place: tuple[int, int]) -> None:
    x = np.array([[0.5, 1.0, 2.0], [1000.0, 3.0, 1.0], [0.0, -1.0, -2.0]])
    for axis in (0, 1):
        f = lambda x, axis=axis: (ALONG[name](x, axis) ** 2).sum()
        broken = x.copy()
        broken[place] = np.nan
        spoiled = np.zeros((3, 3), bool)
        spoiled[(slice(None), place[1]) if axis == 0 else (place[0], slice(None))] = True
        for derivative in (grad(f), grad(lambda x, f=f: (grad(f)(x) * x).sum())):
            np.testing.assert_array_equal(derivative(broken), np.where(spoiled, np.nan, derivative(x)))


INFINITE: dict[str, tuple[Callable[..., Any], list[float], list[float]]] = {
    "logsumexp, inf": (tg.logsumexp, [INF, 1, 2], [1, 0, 0]),
    "logsumexp, two inf": (tg.logsumexp, [INF, 1, INF], [0.5, 0, 0.5]),
    "logsumexp, -inf": (tg.logsumexp, [-INF, 0, 0], [0, 0.5, 0.5]),
    "logsumexp, both": (tg.logsumexp, [-INF, INF, 0], [0, 1, 0]),
    "logsumexp, nothing": (tg.logsumexp, [-INF, -INF, -INF], [0, 0, 0]),
    "logsumexp, inf and NaN": (tg.logsumexp, [INF, math.nan, 0], [math.nan] * 3),
    "logaddexp.reduce": (np.logaddexp.reduce, [INF, -INF, 0], [1, 0, 0]),
    "logaddexp2.reduce": (np.logaddexp2.reduce, [-INF, 3, 3], [0, 0.5, 0.5]),
    "logaddexp.accumulate, -inf": (lambda x: np.logaddexp.accumulate(x)[-1], [-INF, 0, 0], [0, 0.5, 0.5]),
    "logaddexp.accumulate, later": (lambda x: np.logaddexp.accumulate(x)[-1], [0, -INF, 0], [0.5, 0, 0.5]),
    "logaddexp.accumulate, inf": (lambda x: np.logaddexp.accumulate(x)[-1], [0, INF, 0], [0, 1, 0]),
    "softmax, -inf": (lambda x: tg.softmax(x)[1], [-INF, 0, 0], [0, 0.25, -0.25]),
    "log_softmax, -inf": (lambda x: tg.log_softmax(x)[1], [-INF, 0, 0], [0, 0.5, -0.5]),
    "softmax, all inf": (lambda x: tg.softmax(x)[1], [INF, INF, 0], [math.nan] * 3),
}


@pytest.mark.parametrize("name", INFINITE)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_gradients_at_infinities(name: str) -> None:
    f, x, wanted = INFINITE[name]
    for dtype in (np.float64, np.float32):
        np.testing.assert_array_equal(grad(f)(np.array(x, dtype)), np.array(wanted, dtype))


# -- Every row at ties and zeros, wherever it is smooth there

POINTS, STEP = 8, 1 / 64
UNTOLD = {
    "hypot.reduce", "hypot.accumulate", "hypot.reduceat", "max_pool",  # of steps with kinks that the whole has not
    "median", "nanmedian", "linalg.matrix_rank",  # piecewise linear, and seldom told from linear by four directions
    "linalg.eigh", "linalg.eigvalsh", "linalg.svdvals", "linalg.svd", "linalg.norm[(2,2)] nuc at zero",
    "linalg.det[(5,5)]",  # raises at a singular matrix
    "polymul", "poly1d", "polydiv",  # NumPy leaves leading zeros out, so there are fewer entries
    "geomspace[(),()] one", "geomspace[(),()] none",  # between numbers of two signs NumPy warns
}  # fmt: skip


def one_sided(sign: int) -> np.ndarray:
    """The weights that compute value and first two derivatives at 0 from the values at 1, 2, ... steps."""
    powers = np.vander(sign * np.arange(1.0, POINTS + 1), increasing=True)
    return np.linalg.inv(powers)[:3] * np.array([[1], [1 / STEP], [2 / STEP**2]])


RIGHT, LEFT = one_sided(1), one_sided(-1)


def differences(f: Callable[[float], float], at: float) -> tuple[float, float] | None:
    """The first two derivatives at 0, where f is `at`, or None unless f is finite and smooth there."""
    values = np.array([[f(sign * STEP * i) for i in range(1, POINTS + 1)] for sign in (1, -1)])
    if not np.isfinite(values).all():
        return None
    size = max(1.0, float(np.abs(values).max()))
    right, left = RIGHT @ values[0], LEFT @ values[1]
    near = [abs(right[0] - at), abs(left[0] - at), *(np.abs(right - left) * [1, 1e-2, 1e-5])]
    return (right[1], right[2]) if max(near) < 1e-8 * size else None


@pytest.mark.parametrize("case", [c for c in ROWS if c.order == 2], ids=str)
def test_where_a_row_is_smooth_at_ties_and_zeros_the_rules_have_its_derivatives(case: Case) -> None:
    sweep = Sweep(case)
    if not sweep.moving or {case.name, str(case)} & UNTOLD:
        return
    rng = np.random.default_rng(0)
    for made in (np.zeros_like, lambda a: rng.integers(-1, 2, a.shape).astype(float)):
        base = [np.asarray(made(a)) if i in sweep.moving else a for i, a in enumerate(sweep.arrays)]
        u, v = ({i: rng.standard_normal(base[i].shape) for i in sweep.moving} for _ in range(2))

        def along(direction: dict[int, np.ndarray], base: list[Any] = base) -> Callable[[float], float]:
            def f(s: float) -> float:
                given = [np.asarray(x + s * direction[i]) if i in direction else x for i, x in enumerate(base)]
                outs = flatten((case.reference or case.call)(*given))[0]
                pairs = [(np.asarray(o), c) for o, c in zip(outs, sweep.cotangents, strict=True)]
                return sum(
                    float(np.sum(o.real * c)) + 0.7 * float(np.sum(o.imag * c) if o.dtype.kind == "c" else 0)
                    for o, c in pairs if o.dtype.kind in "fc"
                )  # fmt: skip

            return f

        found: list[tuple[float, float]] = []
        try:
            with np.errstate(all="ignore"):
                at = along(u)(0.0)
                for w in (u, v, {i: u[i] + v[i] for i in u}, {i: u[i] - v[i] for i in u}):
                    slopes = differences(along(w), at) if np.isfinite(at) else None
                    if slopes is None:
                        break
                    found.append(slopes)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError, Warning):
            continue  # the function is not defined there
        if len(found) < 4:
            continue
        (u1, u2), (v1, v2), (s1, s2), (_, d2) = found
        size = max(1.0, *(abs(d) for pair in found for d in pair))
        if abs(u1 + v1 - s1) > 1e-6 * size or abs(s2 + d2 - 2 * u2 - 2 * v2) > 1e-4 * size:
            continue  # smooth along lines, as a median of ties is, but not differentiable
        sweep.arrays, sweep.direction = base, u
        whole = tuple(sweep.moving)
        first, second = sweep.first(whole, base), sweep.second(whole, whole, base)
        slope, bend = (sum(float(np.sum(g * u[i])) for g, i in zip(gs, whole, strict=True)) for gs in (first, second))
        assert abs(slope - u1) < 1e-6 * size, (slope, u1)
        assert abs(bend - u2) < 1e-3 * size, (bend, u2)
