"""Sentences about wrong backward passes that must be true of the program and of its numbers: what is told, or not."""

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import compare_gradients, compare_steps

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(0)
LAYERS = (RNG.normal(size=(4, 3)), [*RNG.normal(size=(3, 3, 3))], [*RNG.normal(size=(3, 3, 3))])
V, U = RNG.normal(size=3), RNG.normal(size=(6, 3))
SAMPLES, LABELS, WEIGHTS = RNG.normal(size=(7, 4)), np.array([2, 1, 0, 0, 2, 1, 1]), RNG.normal(size=(4, 3))


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def negatives(v: Array, o: int, U: Array, neg: Array) -> Any:
    dU = np.zeros_like(U)
    s = sigmoid(U[o] @ v)
    loss = -np.log(s)
    dv = (s - 1) * U[o]
    dU[o] += (s - 1) * v
    for k in neg:
        t = sigmoid(-U[k] @ v)
        loss -= np.log(t)
        dv -= (1 - t) * U[k]
        dU[k] += (1 - t) * v
    return loss, dv, dU


def residual(x: Any, W: Any) -> Any:
    return x + np.tanh(x @ W)


def residual_twice(x: Array, W: Array, g: Array) -> Any:
    dz = g * (1 - np.tanh(x @ W) ** 2)
    return 2 * (dz @ W.T), x.T @ dz


def highway(x: Any, Ws: Any, Ts: Any) -> Any:
    for W, T in zip(Ws, Ts, strict=True):
        h = np.tanh(x @ W)
        t = 1 / (1 + np.exp(-(x @ T)))
        x = t * h + (1 - t) * x
    return x


def highway_back(x: Array, Ws: list[Array], Ts: list[Array], g: Array, gate: float, carry: float) -> Any:
    cache = []
    for W, T in zip(Ws, Ts, strict=True):
        h, t = np.tanh(x @ W), sigmoid(x @ T)
        cache.append((x, h, t))
        x = t * h + (1 - t) * x
    dWs: list[Array] = []
    dTs: list[Array] = []
    for W, T, (x, h, t) in zip(Ws[::-1], Ts[::-1], cache[::-1], strict=True):
        dh, dt = g * t * (1 - h**2), g * (h - gate * x) * t * (1 - t)
        dWs, dTs = [x.T @ dh, *dWs], [x.T @ dt, *dTs]
        g = carry * g * (1 - t) + dh @ W.T + dt @ T.T
    return g, dWs, dTs


def without_gate(x: Array, Ws: Any, Ts: Any, g: Array) -> Any:
    return highway_back(x, Ws, Ts, g, 0, 1)


def without_carry(x: Array, Ws: Any, Ts: Any, g: Array) -> Any:
    return highway_back(x, Ws, Ts, g, 1, 0)


def hinge(W: Array, X: Array, y: Array) -> Any:
    loss, dW = 0.0, np.zeros_like(W)
    for i in range(len(X)):
        s = X[i] @ W
        cs = s[y[i]]
        for j in range(W.shape[1]):
            m = s[j] - cs + 1
            if j != y[i] and m > 0:
                loss += m
                dW[:, j] += X[i]
    return loss, dW


def last_sample(W: Array, X: Array, y: Array, reg: float) -> Any:
    loss, dW = 0.0, np.zeros_like(W)
    for i in range(len(X)):
        s = X[i] @ W
        p = np.exp(s) / np.sum(np.exp(s))
        loss += -np.log(p[y[i]])
        dW = np.outer(X[i], p - (np.arange(3) == y[i]))
    return loss / len(X) + 0.5 * reg * np.sum(W**2), dW / len(X) + reg * W


def unit_rows(v: Any) -> Any:
    return v / np.sqrt((v**2).sum(1, keepdims=True))


def unit_rows_plus(v: Array, g: Array) -> Array:
    n = np.sqrt((v**2).sum(1, keepdims=True))
    return (g + v / n * (v / n * g).sum(1, keepdims=True)) / n


PROGRAMS: dict[str, tuple[Callable[..., Any], Any, Any, str, str, tuple[str, ...]]] = {
    "a term is subtracted": (negatives, None, (V, 1, U, np.array([3, 3, 2, 5, 4, 2])), "wrong_value",
        ("The gradients are as if negative were left out: the result of log stands in place of its result. They are "
        "also multiplied by -1. This affects only the gradient of v."), ("backward pass leaves out", "recomputed")),
    "a branch twice": (residual, residual_twice, (RNG.normal(size=(5, 3)), RNG.normal(size=(3, 3))), "wrong_value",
        ("The gradients are as if add were left out: the result of tanh stands in place of its result. They are also "
        "multiplied by 2. This affects only the gradient of x."), ("backward pass leaves out", "recomputed")),
    "no gate of the input": (highway, without_gate, LAYERS, "not_carried_back",
        "The gradient is not passed back to the result of sigmoid through this operation in any of its 3 runs.",
        ("each step",)),
    "no carried input": (highway, without_carry, LAYERS, "not_carried_back",
        "The gradient is not passed back to x through this operation in any of its 3 runs.", ("each step",)),
    "no right class": (hinge, None, (WEIGHTS, SAMPLES, LABELS), "overwritten_not_accumulated",
        ("The gradient is not passed back to cs through this operation in any of the 9 runs that the result is "
        "computed from."), ("each step",)),
    "the last sample only": (last_sample, None, (WEIGHTS, SAMPLES, LABELS, 0.3), "detached",
        ("The gradient is not passed back to the result of add through this operation in 6 of the 7 runs that "
        "the result is computed from."), ("each step", "its 7 runs")),
    "one factor with the wrong sign": (unit_rows, unit_rows_plus, (RNG.normal(size=(5, 3)),), "sign",
        "The gradient that is passed back to the result of sqrt has the wrong sign from here on.", ()),
}  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
def test_sentences_that_are_told_and_that_are_not(program: str) -> None:
    forward, backward, inputs, kind, text, untrue = PROGRAMS[program]
    report = compare_gradients(forward, inputs, **({} if backward is None else {"manual": backward}))
    assert [(d.kind, d.text) for d in report.diagnoses] == [(kind, text)]
    assert not [words for words in untrue if words in str(report)]


def lookup(table: Array, ids: Array) -> Any:
    return table[ids], (table, ids)


def lookup_back(g: Array, cache: Any) -> Any:
    table, ids = cache
    d = np.zeros_like(table)
    np.add.at(d, ids, g)
    return d


@pytest.mark.parametrize("ids", [np.array([[0, 2, 4, 1], [3, 3, 0, 2], [1, 1, 4, 0]]), np.array([[1, 0, 1, 1]] * 3)])
def test_indices_do_not_tell_whether_samples_are_columns(ids: Array) -> None:
    report = compare_gradients(lambda x, W: lookup(W, x), (ids, RNG.normal(size=(5, 3))), manual=lookup_back)
    assert report.ok
    assert not [note for note in report.notes if "columns" in note or "rows" in note]


def set_order(size: float) -> tuple[Callable[..., Any], list[Array]]:
    """Return a loss and its gradients, whose sums are in another order in every second call, as those over a set."""
    calls, rng = count(), np.random.default_rng(0)

    def f(x: Array, w: Array) -> Any:
        odd = next(calls) % 2
        order = slice(None, None, 1 - 2 * odd)
        rows = [np.cos(x @ w[k]) * x for k in range(9)]
        rows[0] = rows[0] + size * odd
        dx = sum((np.cos(x @ w[k]) * w[k] for k in range(9)[order]), np.zeros(4))
        return np.sin(w @ x).sum(), dx, np.stack(rows)

    return f, [rng.normal(size=4), rng.normal(size=(9, 4))]


def test_sums_in_another_order_are_the_same_and_other_numbers_are_not() -> None:
    assert compare_gradients(*set_order(0)).diagnoses == ()
    found = compare_gradients(*set_order(1e-3)).diagnoses[0]
    assert found.kind == "nondeterministic"
    assert "goes through a set of objects, whose order may differ from call to call" in found.text


def triplet(xa: Array, xp: Array, xn: Array, W: Array) -> Any:
    a, p, n = xa @ W, xp @ W, xn @ W
    h = ((a - p) ** 2).sum(1) - ((a - n) ** 2).sum(1) + 0.7
    m = (h > 0).astype(float)[:, None] / len(xa)
    return np.mean(np.maximum(h, 0)), xa.T @ (m * 2 * (n - p)) + xp.T @ (m * 2 * (p - a))


@pytest.mark.parametrize("seed", range(4))
def test_a_lost_product_is_not_told_as_one_of_its_rows_that_is_0(seed: int) -> None:
    r = np.random.default_rng(seed)
    report = compare_gradients(triplet, (*r.normal(size=(3, 6, 4)), r.normal(size=(4, 3)) * 0.5))
    assert report.kinds == ("overwritten_not_accumulated",)
    assert report.diagnoses[0].text.startswith("The contribution through this operation to W is missing")


def attend(e: Any, values: Any) -> Any:
    a = np.exp(e) / np.sum(np.exp(e))
    out = a @ values
    return out, (values, a)


def attend_back(dout: Array, cache: Any) -> Any:
    values, a = cache
    da = values @ dout
    dvalues = np.outer(a, dout)
    de = a * (da - da.mean())
    return de, dvalues


def test_a_gradient_that_is_one_number_is_no_multiple_of_the_right_one() -> None:
    r = np.random.default_rng(0)
    steps = compare_steps(attend, attend_back, (r.normal(size=4), r.normal(size=(4, 3))))
    number = compare_gradients(lambda x, b: (np.tanh(x) * b).sum(), (V, 0.3), manual=(0.3 / np.cosh(V) ** 2, 0.123))
    for report in (steps, number):
        assert not report.ok
        assert "scale" not in report.kinds
        assert "times the right one" not in str(report)


def contrast(u: Any, v: Any, tau: float) -> Any:
    un, vn = unit_rows(u), unit_rows(v)
    s = un @ vn.T / tau
    return -np.mean(np.diag(s - np.log(np.exp(s).sum(1, keepdims=True))))


def contrast_back(u: Array, v: Array, tau: float) -> Any:
    n = len(u)
    nu, nv = (np.sqrt((x**2).sum(1, keepdims=True)) for x in (u, v))
    un, vn = u / nu, v / nv
    e = np.exp(un @ vn.T / tau)
    ds = (e / e.sum(1, keepdims=True) - np.eye(n)) / n
    dun = ds @ vn
    dvn = ds.T @ un / tau
    return (dun - un * (un * dun).sum(1, keepdims=True)) / nu, dvn / nv


def test_an_edit_that_mends_one_of_two_mistakes_says_which_at_the_other() -> None:
    r = np.random.default_rng(0)
    report = compare_gradients(contrast, (*r.normal(size=(2, 5, 3)), 0.7), manual=contrast_back)
    assert [d.kind for d in report.diagnoses] == ["scale", "statistic_as_constant"]
    for d in report.diagnoses[1:]:
        (edit,) = [s for s in d.evidence if s.startswith("Line ")]
        assert edit.endswith("With this change, the gradient of u is right.")
