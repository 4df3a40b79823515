"""`compare_steps` for forwards that cannot run on Tensors: they are run again with changed intermediate values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest
from scipy import special

from tests.students import families, judge
from tinygrad_nn import compare_steps
from tinygrad_nn.compare.conventions.reasons import Reason
from tinygrad_nn.compare.steps import probes
from tinygrad_nn.compare.steps.running import NoGraphError

Array = Any
RNG = np.random.default_rng(0)
X, W, B = RNG.normal(size=(5, 4)), RNG.normal(size=(4, 3)), RNG.normal(size=3)


def writes(x: Array, w: Array, b: Array) -> Any:
    z = np.zeros((len(x), w.shape[1]))
    for i in range(len(x)):
        z[i] = x[i] @ w + b
    h = np.maximum(z, 0)
    loss = float((h.sum(axis=1) ** 2).mean())
    return loss, (x, w, z, h)


def only_writes(x: Array, w: Array) -> Array:
    z = np.zeros((len(x), w.shape[1]))
    for i in range(len(x)):
        z[i] = x[i] @ w
    return (z * z).sum()


def only_writes_backward(x: Array, w: Array, z: Array) -> Any:
    dz = 2 * z
    return {"dx": dz @ w.T, "dw": x.T @ dz}


def writes_backward(cache: Any) -> Any:
    x, w, z, h = cache
    dh = (2 / len(h) * h.sum(axis=1))[:, None] * np.ones_like(h)
    dz = dh * (z > 0)
    dw = x.T @ dz
    db = dz.sum(axis=0)
    dx = dz @ w.T
    return dx, dw, db


def without_its_mask(cache: Any) -> Any:
    x, w, _, h = cache
    dh = (2 / len(h) * h.sum(axis=1))[:, None] * np.ones_like(h)
    dz = dh
    dw = x.T @ dz
    db = dz.sum(axis=0)
    dx = dz @ w.T
    return dx, dw, db


def over_the_wrong_axis(cache: Any) -> Any:
    x, w, z, h = cache
    dh = (2 / len(h) * h.sum(axis=1))[:, None] * np.ones_like(h)
    dz = dh * (z > 0)
    dw = x.T @ dz
    db = dz.sum(axis=1)
    dx = dz @ w.T
    return dx, dw, db


def scipys(x: Array) -> Array:
    s = np.asarray(special.expit(np.asarray(x)))
    t = [math.sin(v) for v in s]
    return np.sum(np.array(t) * np.arange(1.0, len(t) + 1))


def scipys_backward(x: Array, s: Array) -> Array:
    ds = np.cos(s) * np.arange(1.0, len(s) + 1)
    dx = ds * s * (1 - s)
    return dx


def at_the_input(x: Array, s: Array) -> Array:
    ds = np.cos(s) * np.arange(1.0, len(s) + 1)
    dx = ds * x * (1 - x)
    return dx


def affine(x: Array, w: Array) -> Array:
    out = np.empty((len(x), w.shape[1]))
    out[:] = x @ w
    return out


def helped(x: Array, w: Array) -> Any:
    hs = [np.asarray(x)]
    for _ in range(2):
        hs.append(np.tanh(affine(hs[-1], w)))
    return (hs[-1] ** 2).sum(), hs


def helped_backward(w: Array, cache: Any, twice: float = 2.0) -> Any:
    hs = cache
    dh = twice * hs[-1]
    dw = np.zeros_like(w)
    for h, before in zip(hs[:0:-1], hs[-2::-1], strict=True):
        d = dh * (1 - h**2)
        dw += before.T @ d
        dh = d @ w.T
    dx = dh
    return dx, dw


ROWS: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[Array, ...], str, str]] = {
    "writes": (writes, writes_backward, (X, W, B), "", ""),
    "a mask forgotten": (writes, without_its_mask, (X, W, B), "dz = dh", "missing_factor"),
    "a sum": (writes, over_the_wrong_axis, (X, W, B), "db = dz.sum(axis=1)", "wrong_axis_sum"),
    "SciPy and math": (scipys, scipys_backward, (X[0],), "", ""),
    "at the input": (scipys, at_the_input, (X[0],), "dx = ds * x * (1 - x)", "wrong_value edit"),
    "functions and lists": (helped, helped_backward, (X[:, :3], W[:3]), "", ""),
}


@pytest.mark.parametrize("name", ROWS)
def test_each_step_is_judged_by_numbers(name: str) -> None:
    forward, backward, inputs, line, kinds = ROWS[name]
    report = compare_steps(forward, backward, inputs)
    assert "Numerical only: the forward cannot run on Tensors, since line" in report.method
    assert report.ok is (not line), report
    assert {s.name for s in report.steps} >= {"dx"}
    if line:
        assert line in str(report.first_wrong)
        assert next(d.kind for d in report.diagnoses) in kinds
        assert sum(not s.rule_ok for s in report.steps) == 1  # what follows is not blamed


def test_a_writing_forward_says_what_would_give_it_a_graph() -> None:
    report = compare_steps(only_writes, only_writes_backward, (X, W))
    assert {s.name: (s.row.role, s.own.role) for s in report.steps} == {
        "dz": ("intermediate",) * 2, "dx": ("input",) * 2, "dw": ("input",) * 2,
    }  # fmt: skip
    assert report.ok
    assert any("z = np.stack(parts)" in note for note in report.notes)


@pytest.mark.slow
@pytest.mark.parametrize("piece", ["mlp", "norm"])
def test_both_roads_say_the_same(piece: str) -> None:
    def refused(self: Any, leaves: Any) -> Any:
        raise NoGraphError(Reason("it may not"))

    case = next(c for c in families.CASES if c.name == piece)
    for mistake in [None, *case.mistakes[:4]]:
        text = judge.edit(case, mistake)[0] if mistake else judge.text_of(case.work)
        with judge.loaded(text, f"student_{case.work}") as module:
            by_graph = judge.compare(case, case.call(module, 0))
            with mock.patch.object(probes.UserPasses, "at", refused):
                by_numbers = judge.compare(case, case.call(module, 0))
        said = [sorted((s.name, s.line, s.verdict) for s in report.steps) for report in (by_graph, by_numbers)]
        assert said[0] == said[1]
