"""Functions that were written for arrays: they call ``X.dot(W)``, write into gradients, and have a graph."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Tensor, compare_gradients
from tinygrad_nn.compare.function.array_code import ArrayTensor, constants_with_dot
from tinygrad_nn.node import switched
from tinygrad_nn.tensor import make_tensor
from tinygrad_nn.transforms import new_input

Array = np.ndarray[Any, Any]

RNG = np.random.default_rng(0)
N, D, C = 6, 4, 3
X = RNG.normal(size=(N, D))
Y = RNG.integers(0, C, N)
ROWS = np.arange(N)
W = 0.3 * RNG.normal(size=(D, C))
V = RNG.normal(size=5)


def has_graph(report: Any) -> bool:
    return not report.method.startswith("Numerical only")


def softmax_loss(W: Any, X: Any, y: Any, reg: float, mistake: str = "") -> Any:
    n = X.shape[0]
    scores = X.dot(W)
    scores -= np.max(scores, axis=1, keepdims=True)
    p = np.exp(scores)
    p /= np.sum(p, axis=1, keepdims=True)
    loss = -np.sum(np.log(p[np.arange(n), y])) / n + reg * np.sum(W * W)
    dscores = p
    if mistake != "targets":
        dscores[np.arange(n), y] -= 2 if mistake == "sign" else 1
    if mistake != "n":
        dscores /= n
    dW = X.T.dot(dscores)
    if mistake != "penalty":
        dW += 2 * reg * W
    return loss, dW


def naive_svm_loss(W: Any, X: Any, y: Any, mistake: str = "") -> Any:
    dW = np.zeros(W.shape)
    loss = 0.0
    for i in range(len(X)):
        scores = X[i].dot(W)
        for j in range(W.shape[1]):
            if j == y[i]:
                continue
            margin = scores[j] - scores[y[i]] + 1
            if margin > 0:
                loss += margin
                dW[:, j] += X[i]
                if mistake != "own":
                    dW[:, y[i]] -= X[i]
    return loss / len(X), dW / len(X)


class TwoLayers:
    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self.params = {"W1": rng.normal(size=(D, 5)), "b1": rng.normal(size=5), "W2": rng.normal(size=(5, C))}

    def loss(self, X: Any, y: Any) -> Any:
        W1, b1, W2 = self.params["W1"], self.params["b1"], self.params["W2"]
        h = np.maximum(0, X.dot(W1) + b1)
        scores = h.dot(W2)
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        loss = -np.mean(np.log(p[np.arange(len(X)), y]))
        grads = {}
        p[np.arange(len(X)), y] -= 1
        p /= len(X)
        grads["W2"] = h.T.dot(p)
        dh = p.dot(W2.T)
        dh[h <= 0] = 0
        grads["W1"] = X.T.dot(dh)
        grads["b1"] = np.sum(dh, axis=0)
        return loss, grads


def of_global(W: Any) -> Any:
    return np.tanh(X.dot(W)).sum()


def of_global_by_hand(W: Any) -> Any:
    return X.T.dot(1 - np.tanh(X.dot(W)) ** 2)


def in_closure() -> tuple[Callable[..., Any], Callable[..., Any]]:
    inputs = X.copy()
    return lambda W: np.tanh(inputs.dot(W)).sum(), lambda W: inputs.T.dot(1 - np.tanh(inputs.dot(W)) ** 2)


def into_zeros(x: Any) -> Any:
    h = np.zeros((4, len(x)))
    for t in range(3):
        h[t + 1] = np.tanh(h[t] + x)
    return (h[-1] * x).sum()


def into_zeros_by_hand(x: Any) -> Any:
    h = [np.zeros_like(x)]
    for _ in range(3):
        h.append(np.tanh(h[-1] + x))
    dx, dh = h[-1].copy(), x
    for t in range(3, 0, -1):
        dh = dh * (1 - h[t] ** 2)
        dx += dh
    return dx


def two_names(x: Any) -> Any:
    y = x * 2
    z = y
    z += 1
    y *= x
    return (y * z).sum()


def masked(x: Any) -> Any:
    y = x * x
    y[x < 0] = 0
    np.add.at(y, [0, 0], 3 * x[1])
    return y.sum()


def masked_by_hand(x: Any) -> Any:
    dx = np.where(x < 0, 0, 2 * x)
    dx[1] += 6
    return dx


def loses_a_number(x: Any) -> Any:
    y = np.zeros(len(x))
    y[0] = x[0]
    return (y * x).sum() + float(x[1]) - x[1]


def loses_a_number_by_hand(x: Any) -> Any:
    dx = np.zeros(len(x))
    dx[0] = 2 * x[0]
    return dx


def of_numbers(x: Any) -> Any:
    parts = [math.exp(x[0]) * math.floor(1.5), math.pi * x[1] * math.sqrt(4.0), math.sqrt(x[2] * x[2] + 1)]
    return (np.array(parts) ** 2).sum() + np.asarray(x).sum() + np.array([1.0, 2.0])[0] * math.hypot(x[3], 2.0)


def of_numbers_by_hand(x: Any) -> Any:
    return 1 + np.array([2 * math.exp(2 * x[0]), 8 * math.pi**2 * x[1], 2 * x[2], x[3] / math.hypot(x[3], 2), 0])


@pytest.mark.parametrize(
    ("f", "inputs", "manual"),
    [
        (softmax_loss, (W, X, Y, 0.1), None),
        (lambda W: softmax_loss(W, X, Y, 0.1), (W,), None),
        (naive_svm_loss, (W, X, Y), None),
        (TwoLayers(), (X, Y), None),
        (of_global, (W,), of_global_by_hand),
        (in_closure(), (W,), None),
        (two_names, (V,), lambda x: 2 * (2 * x + 1) * x * (4 * x + 1)),
    ],
)
def test_code_for_arrays_has_a_graph(f: Any, inputs: tuple[Any, ...], manual: Any) -> None:
    before = {name: globals()[name] for name in ("X", "Y", "W", "V", "np")}
    f, manual = f if isinstance(f, tuple) else (f, manual)
    report = compare_gradients(f, inputs, manual=manual)
    assert report.ok
    assert has_graph(report)
    assert all(globals()[name] is value for name, value in before.items())  # they are put back


def writes_through_a_view(x: Any) -> Any:
    h = np.zeros((2, len(x)))
    row = h[1]
    row[:] = x * x
    return h.sum()


def fills(x: Any) -> Any:
    return (np.full(3, x[0]) * x[1]).sum()


def loops_often(x: Any) -> Any:
    total = 0.0
    unused = np.zeros(2)
    for t in range(100):
        total += (np.tanh(x * t) * x).sum()
        unused[0] = total
    return total


def loops_often_by_hand(x: Any) -> Any:
    return sum(np.tanh(x * t) + x * t * (1 - np.tanh(x * t) ** 2) for t in range(100))


@pytest.mark.parametrize(
    ("f", "manual"),
    [
        (writes_through_a_view, lambda x: 2 * x),
        (fills, lambda x: np.array([3 * x[1], 3 * x[0], 0, 0, 0])),
        (into_zeros, into_zeros_by_hand),
        (masked, masked_by_hand),
        (of_numbers, of_numbers_by_hand),
        (loses_a_number, loses_a_number_by_hand),
        (loops_often, loops_often_by_hand),
    ],
)
def test_a_graph_that_misses_something_or_is_large_is_not_used(f: Any, manual: Any) -> None:
    report = compare_gradients(f, (V,), manual=manual)
    assert report.ok, str(report)
    assert not has_graph(report)


def test_a_graph_with_another_result_than_on_arrays_is_not_used() -> None:
    def two_names_of_a_view(x: Any) -> Any:
        y = x * 2
        z = y[:]
        z += 1
        return (y * y).sum()

    report = compare_gradients(two_names_of_a_view, (V,), manual=lambda x: 4 * (2 * x + 1))
    assert report.ok
    assert "its result is another one than on arrays" in report.method


@pytest.mark.parametrize(
    ("mistake", "kind", "where", "text"),
    [
        ("targets", "wrong_loss_gradient", "softmax", "the targets are not subtracted"),
        ("n", "scale", "divide", "The gradient is not divided by 6 here, as the value is."),
        ("penalty", "missing_penalty", "W", "The gradient of the penalty on it is not added."),
    ],
)
def test_mistakes_in_code_for_arrays_are_named(mistake: str, kind: str, where: str, text: str) -> None:
    report = compare_gradients(lambda W: softmax_loss(W, X, Y, 0.1, mistake), (W,))
    (diagnosis,) = report.diagnoses
    assert diagnosis.kind == kind
    assert diagnosis.where.startswith(where)
    assert text in diagnosis.text


def test_a_forgotten_line_of_a_naive_loss_is_wrong() -> None:
    report = compare_gradients(naive_svm_loss, (W, X, Y, "own"))
    assert not report.ok
    assert has_graph(report)


# -- Each write, next to NumPy's


def write(t: Any, x: Any) -> Any:
    t[1] = x[0]
    return t


def write_mask(t: Any, x: Any) -> Any:
    t[np.array([True, False, True])] = x[1:]
    return t


def add_in_place(t: Any, x: Any) -> Any:
    u = t
    u += x
    return t


def scale_in_place(t: Any, x: Any) -> Any:
    u = t
    u *= x
    u /= 2
    u -= x
    u **= 2
    return t


def add_at(t: Any, x: Any) -> Any:
    np.add.at(t, [0, 0, 2], x)
    return t


def out_option(t: Any, x: Any) -> Any:
    np.multiply(t, x, out=t)
    return t


def run(f: Callable[[Any, Any], Any], a: Array, b: Array) -> tuple[Any, list[Any]]:
    """Run a function on Tensors that take writes, and return its result and the Nodes of its arguments."""
    tensors = [make_tensor(t.data, t.node, ArrayTensor) for t in map(new_input, (a, b))]
    leaves = [t.node for t in tensors]
    return f(*tensors), leaves


@pytest.mark.parametrize("f", [write, write_mask, add_at, out_option])
def test_writes_have_the_values_of_arrays_and_no_graph(f: Callable[[Any, Any], Any]) -> None:
    a, b = RNG.normal(size=3), RNG.normal(size=3)
    kept = a.copy()
    out, _ = run(f, a, b)
    np.testing.assert_array_equal(out.data, f(a.copy(), b))
    assert out.node is None
    np.testing.assert_array_equal(a, kept)  # what was computed before has the old values


@pytest.mark.parametrize("f", [add_in_place, scale_in_place])
def test_operators_in_place_have_the_values_and_the_gradients_of_arrays(f: Callable[[Any, Any], Any]) -> None:
    a, b = RNG.normal(size=3), RNG.normal(size=3)
    out, leaves = run(f, a, b)
    np.testing.assert_array_equal(out.data, f(a.copy(), b))
    out.sum().backward()
    h = 1e-6
    for k, leaf in enumerate(leaves):
        for i in range(3):
            step = h * (np.arange(3) == i)
            low, high = (f(*(x + s * step if j == k else x.copy() for j, x in enumerate((a, b)))) for s in (-1, 1))
            slope = (high.sum() - low.sum()) / (2 * h)
            assert abs(leaf.grad[i] - slope) < 1e-8  # central differences of quadratics: rounding of 1e-16 / 1e-6


def test_an_array_takes_the_values_of_a_tensor_without_its_graph() -> None:
    t = make_tensor(new_input(V).data, new_input(V).node, ArrayTensor)
    out = np.zeros(5)
    with switched("inspect", lambda node, t: make_tensor(t.data, node, ArrayTensor)):
        out += t
        out[0] = t[1]
        np.add.at(out, [1], t[:1])
        number = float(t[0])
    np.testing.assert_array_equal(out, [V[1], V[1] + V[0], *V[2:]])
    assert number == V[0]


def test_constants_are_put_back_after_an_error() -> None:
    constant = np.ones(2)

    def g() -> Any:
        raise KeyError(constant.dot(Tensor([1.0, 2.0])).item())

    with pytest.raises(KeyError, match=r"3\.0"), constants_with_dot(g):
        g()
    assert type(constant) is np.ndarray


def test_constants_that_the_code_replaces_are_not_put_back() -> None:
    constant = np.ones(3)

    def f() -> None:
        nonlocal constant
        constant = np.zeros(2)

    with constants_with_dot(f):
        f()
    assert constant.shape == (2,)
