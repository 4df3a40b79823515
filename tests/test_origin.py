"""Mistakes of unknown kind are traced back to the value where they begin, and to the wrong samples or time steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import compare_gradients

Array = Any
RNG = np.random.default_rng(0)
X, W, B = RNG.normal(size=(5, 4)), RNG.normal(size=(4, 3)), RNG.normal(size=3)
WIDE, DEEP = RNG.normal(size=(9, 4)), RNG.normal(size=(3, 3))
Y = np.array([0, 2, 1, 1, 0])


def net(x: Array, w: Array, b: Array) -> Array:
    z = x @ w + b
    a = np.tanh(z)
    return (a * a * np.arange(1.0, 4.0)).sum()


def net_backward(x: Array, w: Array, b: Array, spoil: Callable[[Array], Array] = lambda dz: dz) -> Any:
    z = x @ w + b
    dz = spoil((1 - np.tanh(z) ** 2) * 2 * np.tanh(z) * np.arange(1.0, 4.0))
    return dz @ w.T, x.T @ dz, dz.sum(axis=0)


def with_row(dz: Array, k: int) -> Array:
    dz = dz.copy()
    dz[k] = np.sin(dz[k]) + 0.3
    return dz


def times(dz: Array, k: int, by: float) -> Array:
    return np.where(np.arange(len(dz))[:, None] == k, by * dz, dz)


def weights(x: Array, w: Array, b: Array, spoil: Callable[[Array], Array]) -> Any:
    """The gradient of w alone is wrong."""
    dx, _, db = net_backward(x, w, b)
    return dx, net_backward(x, w, b, spoil)[1], db


def steps(x: Array, u: Array) -> Array:
    h = np.zeros(3)
    for row in range(4):
        h = np.tanh(x[row, :3] + h @ u)
    return (h * h).sum()


def steps_backward(x: Array, u: Array, counts: Any = (1, 1, 1, 1)) -> Any:
    hs = [np.zeros(3)]
    for row in range(4):
        hs.append(np.tanh(x[row, :3] + hs[-1] @ u))
    dh, dx, du = 2 * hs[-1], np.zeros_like(x), np.zeros_like(u)
    for row in reversed(range(4)):
        dz = dh * (1 - hs[row + 1] ** 2)
        dx[row, :3] = dz
        du += counts[row] * np.outer(hs[row], dz)
        dh = dz @ u.T
    return dx, du


SPOILT = [
    ("a row of the value", net, (X, W, B), lambda x, w, b: net_backward(x, w, b, lambda dz: with_row(dz, 4)),
     ["x, w and b are wrong as if only the gradient of a", "multiply in `a * a`", "tanh in `a = np.tanh(z)`",
      "Row 4 of the gradient of a is wrong, the other 4 are right."]),
    ("each entry of the value", net, (X, W, B), lambda x, w, b: net_backward(x, w, b, np.sin),
     ["only the gradient of a were wrong: the mistake is in the gradient that one of ", ("Every entry of the gradient "
                                                                                         "of a is wrong.")]),
    ("the last sample of the weights", net, (WIDE, W, B), lambda x, w, b: weights(x, w, b, lambda dz: times(dz, 8, 0)),
     [("w: in the contributions of the rows of the result of matmul in `x @ w`, line 21 to the gradient of w, "
       "everything is right except that row 8 "),
      "(the last) is missing."]),
    ("a sample of the weights, thrice", net, (WIDE, W, B), lambda x, w, b: weights(x, w, b, lambda dz: times(dz, 2, 3)),
     ["everything is right except that row 2 counts 3 times."]),
    ("a sample of the weights, otherwise", net, (WIDE, W, B),
     lambda x, w, b: weights(x, w, b, lambda dz: with_row(dz, 3)),
     [("w: in the contributions of the rows of the result of matmul in `x @ w`, line 21 to the gradient of w, "
       "everything is right except row 3.")]),
    ("a step of time", steps, (X, DEEP), lambda x, u: steps_backward(x, u, (1, 1, 2.5, 1)),
     ["5/2", "times the right one"]),
    ("two steps of time", steps, (X, DEEP), lambda x, u: steps_backward(x, u, (1, 0.5, 2.5, 1)),
     ["Of the 4 uses of u, number 2 (matmul in `h @ u`, line 51, run 2 of 4) ",
      "counts 1/2 times and number 3 (matmul in `h @ u`, line 51, run 3 of 4) counts 5/2 times."]),
]  # fmt: skip


@pytest.mark.parametrize(("f", "inputs", "backward", "said"), [row[1:] for row in SPOILT], ids=[r[0] for r in SPOILT])
def test_it_is_said_where_an_unknown_mistake_begins(f: Any, inputs: Any, backward: Any, said: list[str]) -> None:
    given = backward(*inputs)  # no source, so no change of it is found
    report = compare_gradients(f, inputs, manual=given)
    text = " ".join(d.text for d in report.diagnoses)
    assert not report.ok
    for part in said:
        assert part in text, text
