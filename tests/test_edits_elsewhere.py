"""An edit is told only if it is right at other inputs too, and it may call another function of the module."""

import linecache
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import compare_gradients

_numbers = count()


def written(source: str) -> Callable[..., Any]:
    """Run source text as if it were a user's file, and return its function ``f``."""
    file = f"<elsewhere {next(_numbers)}>"
    linecache.cache[file] = len(source), None, source.splitlines(True), file
    space: dict[str, Any] = {"np": np}
    exec(compile(source, file, "exec"), space)
    return space["f"]


def told(source: str, inputs: tuple[Any, ...]) -> str:
    """Return what is told of the first wrong gradient, with its evidence."""
    report = compare_gradients(written(source), inputs)
    assert not report.ok
    return " ".join(part for d in report.diagnoses for part in (d.text, *d.evidence))


def drawn(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


LOGISTIC = """
def f(theta, X, y, lam):
    m = y.size
    h = 1 / (1 + np.exp(-X.dot(theta)))
    J = -(y.dot(np.log(h)) + (1 - y).dot(np.log(1 - h))) / m + lam / (2 * m) * np.sum(theta[1:] ** 2)
    grad = X.T.dot(h - y) / m
    grad += lam / m * theta
    return J, grad
"""


@pytest.mark.parametrize("seed", range(6))
def test_a_mask_that_fits_the_signs_of_one_batch_is_no_edit(seed: int) -> None:
    X = np.c_[np.ones(6), drawn(6, 3, seed=seed)]
    text = told(LOGISTIC, (drawn(4, seed=seed + 10), X, np.array([0, 1, 1, 0, 1, 0]), 2))
    assert "(grad > 0)" not in text
    assert "(theta > 0)" not in text
    assert "(grad < 0)" not in text


RIDGE = """
def f(W, X, Y, reg):
    N = X.shape[0]
    E = X @ W - Y
    loss = 0.5 * (E ** 2).sum() / N + reg * np.sum(W * W)
    dW = X.T @ E
    dW = dW / N
    return loss, dW
"""


@pytest.mark.parametrize("rows", [5, 2])  # 2 * reg * rows is 1 for both
def test_an_edit_that_holds_for_one_number_of_rows_is_not_told(rows: int) -> None:
    text = told(RIDGE, (drawn(3, 4), drawn(rows, 3, seed=1), drawn(rows, 4, seed=2), 0.5 / rows))
    assert "The gradient of the penalty on it is not added." in text
    assert "write dW = X.T @ E + W" not in text
    assert "(dW + W) / N" not in text


def test_the_penalty_that_is_divided_by_the_rows_is_multiplied_by_them() -> None:
    source = RIDGE.replace("dW = dW / N", "dW = (dW + 2 * reg * W) / N")
    text = told(source, (drawn(3, 4), drawn(5, 3, seed=1), drawn(5, 4, seed=2), 0.1))
    assert "write dW = (dW + 2 * reg * W * N) / N instead of dW = (dW + 2 * reg * W) / N." in text
    assert "(dW + W) / N" not in text


MEAN = """
def f(x):
    y = x - x.mean(axis=0)
    loss = (y ** 3).sum()
    dy = 3 * y ** 2
    dx = dy - dy.sum(axis=0) / 5
    return loss, dx
"""


def test_a_number_of_rows_in_the_code_may_be_mended_by_another_number() -> None:
    text = told(MEAN, (drawn(6, 3),))
    assert "write dx = dy - dy.sum(axis=0) / len(x) instead of dx = dy - dy.sum(axis=0) / 5." in text
    constant = MEAN.replace("/ 5", "* y.var() / 6").replace("x.mean(axis=0)", "x.sum(axis=0) / 6")
    assert "write dx = dy - dy.sum(axis=0) / 6" in told(constant, (drawn(6, 3),))


def test_one_output_does_not_hide_over_which_axis_is_summed() -> None:
    source = """
def f(X, W, b):
    Z = W @ X + b
    loss = np.sum(np.tanh(Z))
    dZ = 1 - np.tanh(Z) ** 2
    return loss, W.T @ dZ, dZ @ X.T, np.sum(dZ, axis=0, keepdims=True)
"""
    text = told(source, (drawn(3, 5, seed=1), drawn(1, 3), drawn(1, 1, seed=3)))
    assert "np.sum(dZ, axis=1, keepdims=True)" in text
    assert "np.sum(dZ, keepdims=True)" not in text


GATES = """
calls = []

def sigmoid(x):
    return 1 / (1 + np.exp(-x))

def dsigmoid(y):
    return y * (1 - y)

def dtanh(y):
    return 1 - y * y

def slow(y):
    for _ in range(3):
        calls.append(y)
    return y * (1 - y)

def writes(y):
    open("written.txt", "w").write("1")
    return y * (1 - y)

def of_two(y, z):
    return y * (1 - y)

def f(x, Wi, Wc):
    i, c = sigmoid(x @ Wi), np.tanh(x @ Wc)
    loss = (i * c).sum()
    di = c * dtanh(i)
    dc = i * dtanh(c)
    dWi, dWc = x.T @ di, x.T @ dc
    return loss, dWi, dWc
"""


def test_another_function_of_the_module_is_called() -> None:
    inputs = drawn(4, 3), drawn(3, 2, seed=1), drawn(3, 2, seed=2)
    text = told(GATES, inputs)
    assert "write di = c * dsigmoid(i) instead of di = c * dtanh(i)." in text
    text = told(GATES.replace("def dsigmoid(y):", "def dsigmoid(y):\n    y = y + 0"), inputs)
    assert "dsigmoid(i)" in text


@pytest.mark.parametrize("name", ["slow", "writes", "of_two"])
def test_functions_that_are_no_formula_are_not_called(name: str, tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    source = GATES.replace("def dsigmoid", "def dsigmoid_of_two").replace("dsigmoid_of_two(y)", "dsigmoid_of_two(y, z)")
    inputs = drawn(4, 3), drawn(3, 2, seed=1), drawn(3, 2, seed=2)
    text = told(source, inputs)
    assert f"c * {name}(" not in text
    assert not (tmp_path / "written.txt").exists()


def test_functions_that_are_tried_leave_the_users_values_as_they_were() -> None:
    source = GATES.replace("def dsigmoid(y):", "def dsigmoid(y):\n    calls.append(y)").replace(
        "def of_two", "kept = {}\n\ndef square(y):\n    kept['y'] = y\n    return y * y\n\ndef of_two")  # fmt: skip
    f = written(source)
    report = compare_gradients(f, (drawn(4, 3), drawn(3, 2, seed=1), drawn(3, 2, seed=2)))
    assert "dsigmoid(i)" in " ".join(report.diagnoses[0].evidence)
    assert f.__globals__["calls"] == []
    assert f.__globals__["kept"] == {}
