"""Compiler rewrites and removals give the same bits: signed zeros, infinity, NaN, denormals."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import compile

VALUES = (0.0, -0.0, np.inf, -np.inf, np.nan, 0.5, 1.5, -2.0, -0.3)
N = len(VALUES) + 2  # a denormal number of each sign comes last
MIXED = np.where(np.arange(N) % 2, 0.0, -0.0)  # zeros, equal but not the same

REAL: dict[str, Callable[[Any], Any]] = {
    "x + 0": lambda x: x + 0, "0 + x": lambda x: 0 + x, "x + 0.0": lambda x: x + 0.0, "x + -0.0": lambda x: x + -0.0,
    "-0.0 + x": lambda x: -0.0 + x, "x - 0": lambda x: x - 0, "x - 0.0": lambda x: x - 0.0,
    "x - -0.0": lambda x: x - (-0.0), "0 - x": lambda x: 0 - x, "0.0 - x": lambda x: 0.0 - x,
    "-(-x)": lambda x: np.negative(-x), "+x": lambda x: +x,
    "x + 0 + 0": lambda x: x + 0 + 0, "-(-x) + 0": lambda x: np.negative(-x) + 0, "x + 0 - 0": lambda x: x + 0 - 0,
    "x * 1": lambda x: x * 1, "1.0 * x": lambda x: 1.0 * x, "x / 1": lambda x: x / 1, "x * -1": lambda x: x * -1,
    "x * 0": lambda x: x * 0, "0 / x": lambda x: 0 / x, "x * 1 + 0": lambda x: x * 1 + 0, "x - x": lambda x: x - x,
    "x ** 1": lambda x: x**1, "x ** 2": lambda x: x**2, "x ** 0": lambda x: x**0, "x ** 0.5": lambda x: x**0.5,
    "x ** -1": lambda x: x**-1,
    "x + zeros": lambda x: x + np.zeros(N), "x + -zeros": lambda x: x + -np.zeros(N),
    "zeros + x": lambda x: np.zeros(N) + x,
    "x + mixed": lambda x: x + MIXED, "x - mixed": lambda x: x - MIXED, "x * mixed": lambda x: x * MIXED,
    "x * ones": lambda x: x * np.ones(N), "x + a zero that spreads": lambda x: np.broadcast_to(np.zeros(1), (N,)) + x,
    "sum of one": lambda x: x[:, None].sum(1), "sum of one, kept": lambda x: x[:, None].sum(1, keepdims=True),
    "mean of one": lambda x: x[:, None].mean(1), "product of one": lambda x: x[:, None].prod(1),
    "largest of one": lambda x: x[:, None].max(1), "sum of -0.0": lambda x: (x[1:2] * np.ones((3, 1))).sum(0),
    "sum over rows": lambda x: (np.ones((3, 1)) * x).sum(0),
    "where, 0.0": lambda x: np.where(x > 0, x, 0.0), "where, -0.0": lambda x: np.where(x > 0, x, -0.0),
    "where, mixed": lambda x: np.where(x > 0, x, MIXED), "where, the same": lambda x: np.where(x > 0, x, x),
    "abs": np.abs, "sign": np.sign, "sqrt": np.sqrt, "square": np.square, "reciprocal": np.reciprocal,
    "floor": np.floor, "ceil": np.ceil, "rint": np.rint, "trunc": np.trunc, "copysign": lambda x: np.copysign(x, -1.0),
    "exp where it is exact": lambda x: np.where(np.isfinite(x) & (abs(x) > 0.1), 0, np.exp(x)),
    "clip": lambda x: np.clip(x, -1, 1), "gradient of relu": lambda x: tg.grad(lambda v: np.maximum(v, 0).sum())(x),
    "gradient of x * 1 + 0": lambda x: tg.grad(lambda v: (v * 1 + 0.0 * v).sum())(x),
}  # fmt: skip
COMPLEX = (
    "x + 0", "0 + x", "x + -0.0", "x - 0", "x - -0.0", "-(-x)", "x * 1", "1.0 * x", "x / 1", "x ** 1", "x + zeros",
    "x - mixed", "x * ones", "sum of one", "product of one",
)  # fmt: skip
INTEGER = ("x + 0", "0 + x", "x - 0", "x * 1", "x ** 1", "-(-x)", "sum of one", "product of one")


def bits(x: Any) -> list[str]:
    """Every entry as text: the sign of a zero counts, that of NaN does not."""
    return [str(value) for value in np.asarray(x).ravel()]


def values(dtype: str) -> Any:
    if dtype == "i8":
        return np.arange(N) - 4
    least = np.finfo(dtype).smallest_subnormal
    real = np.array([*VALUES, least, -least], least.dtype)
    made = np.array(real, dtype)
    if dtype == "c16":
        made.imag = np.roll(real, 4)
    return made


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("dtype", ["f8", "f4", "c16", "i8"])
def test_a_rewrite_gives_the_same_bits(dtype: str, backend: str) -> None:
    if backend == "numba":
        pytest.importorskip("numba", reason="needs numba: pip install 'tinygrad-nn[jit]'")
    names = {"c16": COMPLEX, "i8": INTEGER}.get(dtype, tuple(REAL))
    compiled = compile(lambda x: [REAL[name](x) for name in names], backend=backend)
    x = values(dtype)
    with np.errstate(all="ignore"):
        compiled(np.ones_like(x))
        found, wanted = compiled(x), [REAL[name](x) for name in names]
    assert not any(isinstance(plan, str) for plan in compiled.plans.values())
    wrong = [name for name, a, b in zip(names, found, wanted, strict=True) if bits(a) != bits(b)]
    assert not wrong
