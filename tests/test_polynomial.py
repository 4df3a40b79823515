"""The series of numpy.polynomial on Tensors: values against NumPy's functions, derivatives against differences."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import Tensor, polynomial
from tinygrad_nn.polynomial import FAMILIES, OPERATIONS

X, Y, Z = np.array([0.3, -0.8, 0.5]), np.array([0.1, 0.7, -0.4]), np.array([-0.2, 0.6, 0.9])
C, D = np.array([0.5, -1.2, 0.7, 0.3]), np.array([0.4, 1.1])
TABLE, CUBE = np.arange(1.0, 7).reshape(3, 2) / 5, np.arange(1.0, 13).reshape(3, 2, 2) / 7
POINTS, VALUES = np.array([-0.9, -0.5, 0.1, 0.4, 0.8]), np.array([1.0, 0.2, -0.3, 0.5, 0.9])
WEIGHTS = np.array([1.0, 0.5, 2.0, 1.0, 1.5])

CALLS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "val": (lambda f, x, c: f(x, c), (X, C)),
    "val of tables": (lambda f, x, c: f(x, c), (X[:2], TABLE)),
    "val, each its own": (lambda f, x, c: f(x, c, tensor=False), (X[:2], TABLE)),
    "val of a number": (lambda f, c: f(0.4, c), (C,)),
    "val of a list": (lambda f, x: f(x, [1, 2, 3]), (X,)),
    "val of one coefficient": (lambda f, c: f([0.1, 0.2], c), (C[:1],)),
    "val2d": (lambda f, x, y, c: f(x, y, c), (X, Y, TABLE)),
    "val3d": (lambda f, x, y, z, c: f(x, y, z, c), (X, Y, Z, CUBE)),
    "grid2d": (lambda f, x, y, c: f(x, y, c), (X, Y[:2], TABLE)),
    "grid3d": (lambda f, x, y, z, c: f(x, y, z, c), (X[:2], Y[:2], Z, CUBE)),
    "vander": (lambda f, x: f(x, 4), (X,)),
    "vander of a number": (lambda f, x: f(x, 2), (np.array(0.4),)),
    "vander2d of numbers": (lambda f, x, y: f(x, y, (2, 1)), (np.array(0.4), np.array(-0.7))),
    "vander2d": (lambda f, x, y: f(x, y, (2, 1)), (X, Y)),
    "vander3d": (lambda f, x, y, z: f(x, y, z, (1, 2, 1)), (X, Y, Z)),
    "fit": (lambda f, x, y: f(x, y, 2), (POINTS, VALUES)),
    "fit of degrees": (lambda f, x, y: f(x, y, [1, 3]), (POINTS, VALUES)),
    "fit, weights": (lambda f, x, y, w: f(x, y, 1, w=w), (POINTS, VALUES, WEIGHTS)),
    "fit, full": (lambda f, x, y: f(x, y, 2, full=True)[0], (POINTS, VALUES)),
    "fit of curves": (lambda f, x, y: f(x, y, 1, rcond=1e-9), (POINTS, np.stack([VALUES, POINTS**2], 1))),
    "der": (lambda f, c: f(c), (C,)),
    "der, twice": (lambda f, c: f(c, 2, 0.5, axis=1), (TABLE.T,)),
    "der to nothing": (lambda f, c: f(c, 5), (C,)),
    "int": (lambda f, c: f(c), (C,)),
    "int, twice": (lambda f, c, k: f(c, 2, k, 0.5, 0.3), (C, D)),
    "int along": (lambda f, c: f(c, axis=1), (TABLE,)),
    "add": (lambda f, c, d: f(c, d), (C, D)),
    "sub": (lambda f, c, d: f(d, c), (C, D)),
    "mul": (lambda f, c, d: f(c, d), (C, D)),
    "pow": (lambda f, c: f(c, 3), (D,)),
    "pow 0": (lambda f, c: f(c, 0) + 0 * c[:1], (D,)),
    "companion": (lambda f, c: f(c), (C,)),
    "roots": (lambda f, c: f(c), (np.array([0.1, -0.9, 0.2, 1.1]),)),
    "roots of a line": (lambda f, c: f(c), (D,)),
    "fromroots": (lambda f, r: f(r), (np.array([0.5, -0.3, 1.2]),)),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("series", FAMILIES, ids=lambda s: s.prefix)
def test_values_are_numpys_and_derivatives_the_numerical_ones(series: Any, name: str) -> None:
    call, args = CALLS[name]
    full = f"{series.prefix}{name.split()[0].rstrip(',')}"
    ours = getattr(polynomial, full)
    theirs = getattr(importlib.import_module(f"numpy.polynomial.{series.module}"), full)
    found, wanted = call(ours, *map(Tensor, args)), call(theirs, *args)
    if name.startswith("roots") and not np.any(np.imag(wanted)):
        wanted = np.real(wanted)  # NumPy 2.5 returns real roots of some families as complex numbers
    assert (found.shape, found.dtype) == (np.shape(wanted), np.asarray(wanted).dtype)
    np.testing.assert_allclose(found.data, wanted, rtol=1e-9, atol=1e-11)
    if name in ("der to nothing", "pow 0"):
        return
    rng = np.random.default_rng(0)
    report = tg.check_gradients(lambda *a: call(ours, *a), *args, rng=rng, directions=1, entries=0, order=2)
    assert report.ok, str(report)


def test_float32_stays_float32() -> None:
    x, c = (Tensor(a.astype(np.float32)) for a in (X, C))
    for series in FAMILIES:
        assert series.val(x, c).dtype == np.float32
        assert series.mul(c, c).dtype == series.companion(c).dtype == np.float32
        assert series.int(series.der(c)).dtype == np.float32


def test_all_names_are_there_and_numpys_with_constant_coefficients_work_as_they_are() -> None:
    assert all(callable(getattr(polynomial, f"{s.prefix}{name}")) for s in FAMILIES for name in OPERATIONS)
    for series in FAMILIES:
        theirs = getattr(importlib.import_module(f"numpy.polynomial.{series.module}"), f"{series.prefix}val")
        t = Tensor(X)
        theirs(t, C).sum().backward()
        np.testing.assert_allclose(t.grad, tg.grad(lambda x, s=series: s.val(x, C).sum())(X), rtol=1e-12)
        with pytest.raises(TypeError, match=r"numpy\.polynomial: use tinygrad_nn\.polynomial"):
            theirs(X, Tensor(C))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: polynomial.chebvander(X, -1), ValueError, "degree of 0 or more; it got -1"),
        (lambda: polynomial.legval2d(X, Y[:2], TABLE), ValueError, r"points of one shape; it got \[\(2,\), \(3,\)\]"),
        (lambda: polynomial.polyfit(X, Y[:2], 1), TypeError, r"polyfit needs 3 values y .* got \(2,\)"),
        (lambda: polynomial.hermfit(TABLE, Y, 1), TypeError, r"hermfit needs a vector x .* got \(3, 2\)"),
        (lambda: polynomial.lagfit([], [], 1), TypeError, "lagfit needs a vector x that is not empty"),
        (lambda: polynomial.hermepow(C, 0.5), ValueError, "whole number of 0 or more; it got 0.5"),
        (lambda: polynomial.chebint(C, 1, [1, 2]), ValueError, "at most 1 constants k; it got 2"),
        (lambda: polynomial.polycompanion(C[:1]), ValueError, "two coefficients or more; it got 1"),
    ],
)
def test_bad_arguments_raise(call: Callable[[], Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()


def test_a_fit_that_is_poorly_conditioned_says_so() -> None:
    with pytest.warns(np.exceptions.RankWarning, match="poorly conditioned") as told:
        polynomial.chebfit(Tensor(np.ones(4)), np.ones(4), 2)
    assert told[0].filename == __file__
