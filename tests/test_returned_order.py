"""Gradients that are returned in a tuple belong to the inputs of their names, of their order, or of their shapes."""

from typing import Any

import numpy as np
import pytest

from tinygrad_nn import compare_gradients

rng = np.random.default_rng(0)
W, X, Y = rng.normal(size=3), rng.normal(size=(5, 3)), rng.normal(size=5)


def loss(w: Any, b: Any, X: Any, y: Any) -> Any:
    return 0.5 * ((X @ w + b - y) ** 2).mean()


def residual(w: Any, b: Any, X: Any, y: Any) -> Any:
    return (X @ w + b - y) / len(y)


def by_name(w: Any, b: Any, X: Any, y: Any) -> Any:
    r = residual(w, b, X, y)
    dw = X.T @ r
    db = r.sum()
    return dw, db


def by_name_wrong(w: Any, b: Any, X: Any, y: Any) -> Any:
    dw, db = by_name(w, b, X, y)
    db = db * np.ones(3)
    return dw, db


def by_shape(w: Any, b: Any, X: Any, y: Any) -> Any:
    r = residual(w, b, X, y)
    return X.T @ r, r.sum()


def by_shape_wrong(w: Any, b: Any, X: Any, y: Any) -> Any:
    r = residual(w, b, X, y)
    return X.T @ r, 5 * r.sum()


@pytest.mark.parametrize(
    ("backward", "b"), [(by_name, 0.3), (by_name, np.array(0.3)), (by_name, np.float64(0.3)), (by_shape, 0.3)]
)
def test_a_bias_may_be_a_number(backward: Any, b: Any) -> None:
    report = compare_gradients(loss, (W, b, X, Y), manual=backward)
    assert report.ok, str(report)
    assert [row.name for row in report.rows] == ["w", "b"]


@pytest.mark.parametrize("backward", [by_name_wrong, by_shape_wrong])
def test_a_wrong_gradient_of_it_is_its_own(backward: Any) -> None:
    report = compare_gradients(loss, (W, 0.3, X, Y), manual=backward)
    assert [(row.name, row.ok) for row in report.rows] == [("w", True), ("b", False)]


def test_a_loss_with_its_gradients_and_a_bias_that_is_a_number() -> None:
    def both(w: Any, b: Any, X: Any, y: Any) -> Any:
        return loss(w, b, X, y), *by_shape(w, b, X, y)

    assert compare_gradients(both, (W, 0.3, X, Y)).ok


def test_a_number_that_is_an_option_has_no_gradient() -> None:
    """Here the second gradient is that of the data, as its order among the arrays and its shape tell."""
    def f(w: Any, scale: Any, X: Any) -> Any:
        return scale * (X @ w).sum()

    def backward(w: Any, scale: Any, X: Any) -> Any:
        return scale * X.sum(0), scale * np.outer(np.ones(len(X)), w)

    report = compare_gradients(f, (W, 0.3, X), manual=backward)
    assert report.ok
    assert [row.name for row in report.rows] == ["w", "X"]
