"""Errors that a hand-written backward raises: where it stopped, the shapes there, and the edit that makes it right."""

from __future__ import annotations

import itertools
import linecache
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.stop_cases import CASES, PROGRAMS
from tinygrad_nn import Layer, Solver, compare_gradients, compare_steps
from tinygrad_nn.compare.budget import time_limit
from tinygrad_nn.compare.edits import Edit, stops
from tinygrad_nn.compare.edits.stops import stop_of
from tinygrad_nn.compare.edits.trial import edited
from tinygrad_nn.compare.function.calling import arrange
from tinygrad_nn.compare.steps import probes
from tinygrad_nn.compare.steps.probes import UserPasses
from tinygrad_nn.compare.steps.stopped import _wrong_with

rng = np.random.default_rng(0)
X, W1, B1 = rng.normal(size=(8, 4)), rng.normal(size=(4, 5)), rng.normal(size=5)
W2, B2 = rng.normal(size=(5, 3)), rng.normal(size=3)
LABELS = rng.integers(0, 3, 8)
Y = np.eye(3)[LABELS]
NETWORK = (W1, B1, W2, B2, X, Y)
_numbers = itertools.count()
SHORT = 0.3  # of the time limits, for searches that find nothing

SOURCE = """
def backward(W1, b1, W2, b2, x, y):
    z1 = x @ W1 + b1
    a1 = np.tanh(z1)
    z2 = a1 @ W2 + b2
    e = np.exp(z2 - z2.max(axis=1, keepdims=True))
    s = e.sum(axis=1, keepdims=True)
    p = e / s
    n = x.shape[0]
    dz2 = (p - y) / n
    dW2 = a1.T @ dz2
    db2 = dz2.sum(axis=0)
    da1 = dz2 @ W2.T
    g1 = 1 - a1**2
    dz1 = da1 * g1
    dW1 = x.T @ dz1
    db1 = dz1.sum(axis=0)
    return dW1, db1, dW2, db2
"""


def forward(W1: Any, b1: Any, W2: Any, b2: Any, x: Any, y: Any) -> Any:
    z1 = x @ W1 + b1
    a1 = np.tanh(z1)
    z2 = a1 @ W2 + b2
    e = np.exp(z2 - z2.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    return -(y * np.log(p)).sum() / len(x)


def made(source: str, old: str = "", new: str = "", name: str = "backward", **names: Any) -> Any:
    """Return a name of a source with a change in it, or all in a dict, which `linecache` shows as that of a file."""
    changed = source.replace(old, new) if old else source
    assert not old or source.count(old) == 1, old
    file = f"<case {next(_numbers)}>"
    linecache.cache[file] = len(changed), None, changed.splitlines(True), file
    space = {"np": np, **names}
    module = ModuleType(file)
    module.__dict__.update(space)
    sys.modules[file] = module  # where classes look for their module
    exec(compile(changed, file, "exec"), module.__dict__)
    return module.__dict__ if name == "__dict__" else module.__dict__[name]


def line_with(source: str, text: str) -> str:
    """Return the line of a source that has a text."""
    return next(line.strip() for line in source.splitlines() if text in line)


def told(call: Callable[[], Any], times: float = 5.0) -> list[str]:
    """Return what is told of an error: the notes of the exception, or the last diagnosis of the report."""
    try:
        with time_limit(times):
            report = call()
    except Exception as error:
        return list(getattr(error, "__notes__", []))
    return [report.diagnoses[-1].text]


# (old, new, the edit if it is not the old line, part of what is said of the values)
MISTAKES = [
    ("a1.T @ dz2", "a1 @ dz2", "", "a1 is (8, 5) and dz2 is (8, 3); dW2 needs the shape of W2, (5, 3)"),
    ("a1.T @ dz2", "np.dot(a1, dz2)", "dW2 = np.dot(a1.T, dz2)", "a1 is (8, 5) and dz2 is (8, 3)"),
    ("a1.T @ dz2", "a2.T @ dz2", "", ""),
    ("dz2 @ W2.T", "dz2 @ W2", "", "dz2 is (8, 3) and W2 is (5, 3); da1 needs the shape of a1, (8, 5)"),
    ("dz2 @ W2.T", "dz2.T @ W2", "", "dz2.T is (3, 8) and W2 is (5, 3)"),
    ("da1 * g1", "da1.T * g1", "", "da1.T is (5, 8) and g1 is (8, 5)"),
    ("da1 * g1", "da1 @ g1", "", "da1 is (8, 5) and g1 is (8, 5)"),
    ("da1 * g1", "da1 * g1(a1)", "", "a1 is (8, 5)"),
    ("1 - a1**2", "1 - a1^2", "g1 = 1 - a1 ** 2", ""),
    ("x.T @ dz1", "dz1 @ x.T", "", "dz1 is (8, 5) and x.T is (4, 8)"),
    ("x.T @ dz1", "x.T.reshape(8, 5) @ dz1", "", "x.T is (4, 8)"),
    ("dz1.sum(axis=0)", "dz1.sum(axis=2)", "", "dz1 is (8, 5)"),
    ("e / s", "e / s.sum(axis=1)", "", "s.sum(axis=1) is (8,)"),
    ("p - y", "p - Y", "", ""),
    ("x.shape[0]", "x.shape[2]", "", "x.shape is (8, 4)"),
    ("db1, dW2", "db1, dw2", "", ""),
    ("p - y", "p[range(8), y] - y", "", "p is (8, 3)"),
    ("e.sum(axis=1, keepdims=True)\n    p", "e.sum(axis=1)\n    p", "p = e / s[:, None]", "e is (8, 3) and s is (8,)"),
]


@pytest.mark.parametrize("compare", [compare_gradients, compare_steps])
@pytest.mark.parametrize(("old", "new", "edit", "values"), MISTAKES)
def test_an_error_is_told_with_the_edit_that_makes_the_gradients_right(
    compare: Any, old: str, new: str, edit: str, values: str
) -> None:
    backward = made(SOURCE, old, new)
    if compare is compare_gradients:
        sentences = told(lambda: compare(forward, NETWORK, manual=backward))
    else:
        sentences = told(lambda: compare(forward, backward, NETWORK))
    whole = " ".join(sentences)
    wanted = edit or line_with(SOURCE, old)
    assert f": write {wanted} instead of {line_with(SOURCE.replace(old, new), new.split(chr(10))[0])}." in whole or (
        edit.startswith("p =") and f": write {wanted} instead of p = e / s." in whole), whole  # fmt: skip
    assert "runs to its end" in whole
    assert values in whole, whole


EARLIER = [  # mistakes in a line before the one that stops
    ("(p - y) / n", "(p - y).T / n"),
    ("(p - y) / n", "(p - y).sum(axis=0) / n"),
    ("1 - a1**2", "1 - z2**2"),
    ("np.exp(z2 - z2.max(axis=1, keepdims=True))", "np.exp(z2 - z2.max(axis=1, keepdims=True)).T"),
]


@pytest.mark.parametrize(("old", "new"), EARLIER)
def test_the_line_before_the_one_that_stops_is_mended(old: str, new: str) -> None:
    backward = made(SOURCE, old, new)
    whole = " ".join(told(lambda: compare_gradients(forward, NETWORK, manual=backward)))
    assert f"write {line_with(SOURCE, old)} instead of {line_with(SOURCE.replace(old, new), new)}." in whole, whole


def test_steps_that_were_wrong_before_are_named_first() -> None:
    report = compare_steps(forward, made(SOURCE, "(p - y) / n", "(p - y).T / n"), NETWORK)
    assert [d.kind for d in report.diagnoses] == ["transpose", "unknown"]
    assert report.diagnoses[1].text.endswith(
        "Here, a1.T is (5, 8) and dz2 is (3, 8); dW2 needs the shape of W2, (5, 3). A step before it is wrong, which "
        "may be the cause; mend that first. The one gradient that it had computed before was judged."
    )


def test_the_report_says_that_the_backward_stops() -> None:
    report = compare_steps(forward, made(SOURCE, "x.T @ dz1", "x @ dz1"), NETWORK)
    assert report.verdict == (
        "The gradient is WRONG since the backward stops before its end; look at line 16: dW1 = x @ dz1 first."
    )
    (found,) = report.diagnoses
    assert (found.kind, found.where) == ("transpose", "line 16: dW1 = x @ dz1")
    assert found.text.startswith("The backward stopped here with ValueError: matmul: ")
    assert found.text.endswith(
        "Here, x is (8, 4) and dz1 is (8, 5); dW1 needs the shape of W1, (4, 5). Line 16: write dW1 = x.T @ dz1 "
        "instead of dW1 = x @ dz1. With this change it runs to its end, and each gradient is right. The 5 gradients "
        "that it had computed before were judged."
    )


def test_the_notes_of_an_error() -> None:
    backward = made(SOURCE, "x.T @ dz1", "x @ dz1")
    with pytest.raises(ValueError, match="matmul") as caught:
        compare_gradients(forward, NETWORK, manual=backward)
    assert caught.value.__notes__ == [
        ("compare_gradients: It stopped in line 16 of backward, at x @ dz1: x is (8, 4) and dz1 is (8, 5); dW1 needs "
         "the shape of W1, (4, 5)."),
        ("compare_gradients: Line 16: write dW1 = x.T @ dz1 instead of dW1 = x @ dz1. With this change it runs to its "
         "end, and each gradient is right."),
    ]  # fmt: skip


def test_a_second_mistake_is_named_beside_the_edit() -> None:
    backward = made(SOURCE.replace("(p - y) / n", "(p - y) / n * 1.0"), "x.T @ dz1", "x @ dz1")
    assert "and each gradient is right." in told(lambda: compare_gradients(forward, NETWORK, manual=backward))[-1]
    backward = made(SOURCE.replace("dz2.sum(axis=0)", "dz2.mean(axis=0)"), "x.T @ dz1", "x @ dz1")
    assert told(lambda: compare_gradients(forward, NETWORK, manual=backward), SHORT)[-1].endswith(
        "write dW1 = x.T @ dz1 instead of dW1 = x @ dz1. With this change it runs to its end, and each gradient is "
        "right, but for b2."
    )


def test_an_edit_that_leaves_the_gradient_of_its_line_wrong_is_not_told() -> None:
    backward = made(SOURCE, "1 - a1**2", "np.ones((7, 2)) * z2[0, 0] - z1[0, 0]")
    (text,) = told(lambda: compare_steps(forward, backward, NETWORK), SHORT)
    assert "write" not in text, text


def test_without_an_edit_only_the_shapes_are_told() -> None:
    backward = made(SOURCE, "dz1 = da1 * g1", "dz1 = np.kron(da1, g1) @ np.ones((3, 3)) @ da1")
    sentences = told(lambda: compare_gradients(forward, NETWORK, manual=backward), SHORT)
    assert len(sentences) == 1
    assert "np.ones((3, 3)) is (3, 3); dz1 needs the shape of z1, (8, 5)." in sentences[0]


def test_an_edit_that_does_not_give_the_shape_is_not_told_for_its_shape() -> None:
    backward = made(SOURCE.replace("x.T @ dz1", "x @ dz1"), "da1 * g1", "da1 @ g1")
    (text,) = told(lambda: compare_gradients(forward, NETWORK, manual=backward), SHORT)
    assert text.endswith("da1 is (8, 5) and g1 is (8, 5); dz1 needs the shape of z1, (8, 5).")


def test_beside_a_second_mistake_the_line_that_stops_is_edited_rather_than_one_before_it() -> None:
    source = SOURCE.replace("dz2.sum(axis=0)", "dz2.mean(axis=0)")
    backward = made(source, "e.sum(axis=1, keepdims=True)\n    p", "e.sum(axis=1)\n    p")
    assert told(lambda: compare_gradients(forward, NETWORK, manual=backward))[-1].endswith(
        "write p = e / s[:, None] instead of p = e / s. With this change it runs to its end, and each gradient is "
        "right, but for b2."
    )


def test_a_wrong_step_stays_wrong_if_another_edit_mends_the_line_that_stops() -> None:
    source = SOURCE.replace("dz2.sum(axis=0)", "dz2.mean(axis=0)")
    report = compare_steps(forward, made(source, "x.T @ dz1", "x @ dz1"), NETWORK)
    assert report.first_wrong == report.diagnoses[0].where == "line 12: db2 = dz2.mean(axis=0)"
    assert report.diagnoses[0].kind != "convention"


def test_a_wrong_step_stays_wrong_if_one_edit_before_it_mends_all() -> None:
    source = SOURCE.replace("dz2.sum(axis=0)", "np.ones(n) @ dz2")
    report = compare_steps(forward, made(source, "x.shape[0]", "x.shape[1]"), NETWORK)
    assert [d.where for d in report.diagnoses] == ["line 9: n = x.shape[1] (dz2)", "line 12: db2 = np.ones(n) @ dz2"]
    assert report.diagnoses[0].kind != "convention"


FLAT = """
def forward(x, theta):
    return np.tanh(x @ theta[:20].reshape(4, 5)) @ theta[20:].reshape(5, 3)

def backward(x, theta, dout):
    k = 0
    W = theta[k : k + 20].reshape(4, 5)
    k += 20
    V = theta[k:].reshape(5, 3)
    h = np.tanh(x @ W)
    dz = dout @ V.T * (1 - h**2)
    return dz @ W.T, np.concatenate([(x.T @ dz).ravel(), (h.T @ dout).ravel()])
"""


def test_a_change_in_place_before_the_line_that_stops_is_mended() -> None:
    backward = made(FLAT, "k += 20", "k -= 20")
    inputs = X, rng.normal(size=35)
    whole = " ".join(told(lambda: compare_gradients(backward.__globals__["forward"], inputs, manual=backward)))
    assert "write k = 20 instead of k -= 20." in whole, whole


KEPT = """
def kept(x):
    return x.T

def forward(x, W):
    z = x @ W
    loss = (z**2).sum()
    return loss, (kept(x), z)

def backward(cache):
    c, z = cache; n = 1
    dz = 2 * z
    dW = c.T @ dz
    return dW
"""


@pytest.mark.parametrize(
    ("function", "old", "new", "wrong", "traced"),
    [
        ("backward", "dW = c.T @ dz", "dW = c @ dz", frozenset(), 1),
        ("backward", "dW = c.T @ dz", "dW = -c @ dz", {"dW"}, 1),
        ("backward", "dW = c.T @ dz", "dW = c @ dz.T", None, 0),
        ("backward", "dz = 2 * z", "dz = 2 * y", None, 0),
        ("kept", "return x.T", "return x", frozenset(), 1),  # the forward leaves another value
        ("kept", "return x.T", "return -x", {"dW"}, 1),
        ("backward", "c, z = cache; n = 1", "c, z = cache[0].T, cache[1]", None, 0),  # of two statements in a line
    ],
)
def test_what_is_wrong_with_an_edit_and_whether_the_names_are_recorded(
    function: str, old: str, new: str, wrong: Any, traced: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = made(KEPT, name="__dict__")
    called = UserPasses(space["forward"], space["backward"], arrange(space["forward"], (X, W1)), {}, rng)
    assert called.at([X, W1]).backward.stopped is not None
    runs: list[Any] = []
    run = probes.run_backward
    monkeypatch.setattr(probes, "run_backward", lambda *args: runs.append(args) or run(*args))
    line = 1 + KEPT.splitlines().index(f"    {old}")
    edit = Edit(line, old, new, "", function=function, file=space["__name__"])
    assert _wrong_with(called, edit) == wrong
    assert len(runs) == traced


def test_an_edit_of_the_head_of_a_loop_keeps_what_is_in_it() -> None:
    f = made("def f(n):\n    s = 0\n    for i in (\n        n\n    ):\n        s += i\n    return s\n", name="f")
    with edited(Edit(3, "", "for i in range(n):", "", function="f", file=f.__globals__["__name__"]), f) as is_possible:
        assert is_possible
        assert f(4) == 6
    with pytest.raises(TypeError):
        f(4)


SEMICOLONS = """
def forward(X, W1, W2, Y):
    h = np.tanh(X @ W1)
    o = h @ W2
    return ((o - Y) ** 2).sum(), (X, h, o, W2, Y)

def backward(cache):
    X, h, o, W2, Y = cache; é = 2 * np.ones_like(o); do = é * (o - Y)
    dW2 = h.T @ do; dh = do @ W2.T  # of the second
    n = 1; dz = dh * (1 -
                      h ** 2); dW1 = X.T @ dz / 2
    for k in range(n): dW1 = dW1 + 0.5 * (X.T @ dz)
    return {"W1": dW1, "W2": dW2}
"""


@pytest.mark.parametrize("compare", [compare_gradients, compare_steps])
@pytest.mark.parametrize(
    ("old", "new", "edit"),
    [
        ("do @ W2.T", "do @ W2", "write dh = do @ W2.T instead of dh = do @ W2."),
        ("h.T @ do", "h @ do", "write dW2 = h.T @ do instead of dW2 = h @ do."),
        ("é * (o - Y)", "é @ (o - Y)", "write do = é * (o - Y) instead of do = é @ (o - Y)."),
        ("h ** 2);", "h.T ** 2);", "write dz = dh * (1 - h ** 2) instead of dz = dh * (1 - h.T ** 2)."),
        ("h ** 2); dW1 = X.T", "h ** 2); dW1 = X", "write dW1 = X.T @ dz / 2 instead of dW1 = X @ dz / 2."),
        ("(X.T @ dz)", "(X @ dz)", "write dW1 = dW1 + 0.5 * (X.T @ dz) instead of dW1 = dW1 + 0.5 * (X @ dz)."),
        ("range(n): dW1", "range(nn): dW1", "write for k in range(n): instead of for k in range(nn):."),
    ],
)
def test_one_of_several_statements_in_a_line_is_edited(compare: Any, old: str, new: str, edit: str) -> None:
    space = made(SEMICOLONS, old, new, name="__dict__")
    rng = np.random.default_rng(0)
    inputs = tuple(rng.normal(size=shape) for shape in ((5, 4), (4, 3), (3, 2), (5, 2)))
    passes = space["forward"], space["backward"]
    if compare is compare_gradients:
        whole = " ".join(told(lambda: compare(passes[0], inputs, manual=passes[1])))
    else:
        whole = " ".join(told(lambda: compare(*passes, inputs)))
    assert edit in whole, whole
    assert "With this change it runs to its end, and each gradient is right." in whole


VALUES = [  # a line, and what is said of the values in the expression that fails
    ("return x[:, 9]", "x is (8, 4)"),
    ("return x < d", "x is (8, 4) and d is (8, 3)"),
    ("x[0] = d", "x is (8, 4) and d is (8, 3)"),
    ("x = x @ d", "x is (8, 4) and d is (8, 3)"),
    ("return grads['z']", "grads is a dict with the keys 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'"),
    ("return many['z']", "many is a dict with the keys 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', ..."),
    ("a, b = cache", "cache is a tuple of 3"),
    ("a, b = sizes", "sizes is (1, 2, 3)"),
    ("return (lambda a: a @ d)(x)", "a is (8, 4) and d is (8, 3)"),
    ("np.add(x, d, x)", "x is (8, 4) and d is (8, 3)"),
    ("return sum(x @ d for _ in range(2))", ""),
    ("return x @ classes", "x is (8, 4) and classes is (3,) of integers"),
]


@pytest.mark.parametrize(("line", "values"), VALUES)
def test_the_values_in_the_expression_that_fails(line: str, values: str) -> None:
    f = made(f"def f(x, d, grads, many, cache, sizes, classes):\n    {line}\n", name="f")
    with pytest.raises((ValueError, IndexError, KeyError)) as caught:
        f(X, Y, dict.fromkeys("abcdefgh"), dict.fromkeys("abcdefghi"), (1, X, Y), (1, 2, 3), np.zeros(3, np.uint8))
    stop = stop_of(caught.value)
    assert stop is not None
    assert stop.values == values


def test_without_columns_the_statement_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stops, "_place_of", lambda step: [None] * 4)  # as under python -X no_debug_ranges
    with pytest.raises(ValueError, match="matmul") as caught:
        made("def f(x, d):\n    y = x @ d\n    return y\n", name="f")(X, Y)
    stop = stop_of(caught.value)
    assert stop is not None
    assert stop.sentence == "It stopped in line 2 of f, at y = x @ d."


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [("x.T @ dz1", "dz1 @ x.T", "transpose"), ("1 - a1**2", "1 - a1^2", "wrong_value"),
     ("da1 * g1", "da1 * g1(a1)", "wrong_derivative")],
)  # fmt: skip
def test_the_kind_of_mistake_that_the_edit_mends(old: str, new: str, kind: str) -> None:
    assert compare_steps(forward, made(SOURCE, old, new), NETWORK).diagnoses[-1].kind == kind


def test_a_message_is_told_without_its_period() -> None:
    report = compare_steps(forward, made(SOURCE, "g1 =", "raise ValueError(' No. ')\n    g1 ="), NETWORK)
    assert report.diagnoses[-1].text.startswith("The backward stopped here with ValueError: No. The 4 gradients")


def test_a_gradient_of_another_shape_is_wrong_though_the_line_that_stops_can_make_up_for_it() -> None:
    backward = made(SOURCE, "da1 = dz2 @ W2.T", "da1 = W2 @ dz2.T")
    report = compare_steps(forward, backward, NETWORK)
    assert [(d.kind, d.where) for d in report.diagnoses] == [
        ("transpose", "line 13: da1 = W2 @ dz2.T"), ("unknown", "line 15: dz1 = da1 * g1"),
    ]  # fmt: skip


def test_of_two_wrong_steps_before_the_line_that_stops_the_first_is_explained() -> None:
    source = SOURCE.replace("dz2.sum(axis=0)", "dz2.mean(axis=0)").replace("dz2 @ W2.T", "2 * dz2 @ W2.T")
    report = compare_steps(forward, made(source, "da1 * g1", "np.kron(da1, g1) @ np.ones((3, 3))"), NETWORK)
    assert [d.where.partition(":")[0] for d in report.diagnoses] == ["line 12", "line 15"]
    assert "A step before it is wrong, which may be the cause; mend that first." in report.diagnoses[-1].text
    assert report.verdict.startswith("The gradient is WRONG in 2 of 4 steps")


# ---- Conventions

CACHED = '''
def forward(x, W1, W2):
    h = np.tanh(x @ W1)
    return h @ W2, {"x": x, "h": h, "W1": W1, "W2": W2}

def backward(dout, cache):
    x, h, W1, W2 = cache["x"], cache["h"], cache["W1"], cache["W2"]
    dW2 = h.T @ dout
    dz = dout @ W2.T * (1 - h**2)
    dW1 = x.T @ dz
    return dz @ W1.T, dW1, dW2
'''
WITH_LOSS = '''
def backward(W1, b1, W2, b2, X=X, y=LABELS):
    N = X.shape[0]
    h = np.maximum(0, X.dot(W1) + b1)
    scores = h.dot(W2) + b2
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(N), y]).mean()
    ds = p.copy()
    ds[np.arange(N), y] -= 1
    ds /= N
    grads = {}
    grads["W2"] = h.T.dot(ds)
    grads["b2"] = ds.sum(axis=0)
    dh = ds.dot(W2.T)
    dh[h <= 0] = 0
    grads["W1"] = X.T.dot(dh)
    grads["b1"] = dh.sum(axis=0)
    return loss, grads
'''
NET = '''
class Net:
    def __init__(self):
        self.W, self.b = W1.copy(), B1.copy()

    def forward(self, x):
        self.x = x
        self.a = np.tanh(x @ self.W + self.b)
        return self.a

    def slope(self, dout):
        return dout * (1 - self.a**2)

    def backward(self, dout):
        dz = self.slope(dout)
        self.dW = self.x.T @ dz
        self.db = dz.sum(axis=0)
        return dz @ self.W.T
'''
HELPERS = '''
def forward(x, W):
    return x @ W

def through(dout, W):
    return dout @ W.T

def backward(x, W, dout):
    dx = through(dout, W)
    dW = x.T @ dout
    return dx, dW
'''
TIMES = '''
def forward(xs, Wx, Wh):
    h = np.zeros((8, 5))
    for t in range(3):
        h = np.tanh(xs[t] @ Wx + h @ Wh)
    return h

def backward(xs, Wx, Wh, dout):
    hs = [np.zeros((8, 5))]
    for t in range(3):
        hs.append(np.tanh(xs[t] @ Wx + hs[t] @ Wh))
    dh, dxs, dWx, dWh = dout, np.zeros_like(xs), np.zeros_like(Wx), np.zeros_like(Wh)
    for t in reversed(range(3)):
        dz = dh * (1 - hs[t + 1]**2)
        dWx += xs[t].T @ dz
        dWh += hs[t].T @ dz
        dxs[t] = dz @ Wx.T
        dh = dz @ Wh.T
    return dxs, dWx, dWh
'''
BIAS = '''
def forward(x, W, b):
    return x @ W + b

def backward(x, W, b, dout):
    db = np.zeros_like(b)
    db += dout.sum(axis=0)
    return dout @ W.T, x.T @ dout, db
'''
SEQUENCE, SQUARE = rng.normal(size=(3, 8, 4)), rng.normal(size=(5, 5))
CONVENTIONS = {
    "cache": (CACHED, "h.T @ dout", "h @ dout", (X, W1, W2)),
    "key": (CACHED, 'cache["h"],', 'cache["H"],', (X, W1, W2)),
    "loss and gradients": (WITH_LOSS, "h.T.dot(ds)", "h.dot(ds)", (W1, B1, W2, B2)),
    "object": (NET, "self.x.T @ dz", "self.x @ dz", X),
    "method": (NET, "dout * (1 - self.a**2)", "dout.T * (1 - self.a**2)", X),
    "helper": (HELPERS, "dout @ W.T", "dout @ W", (X, W1)),
    "loop": (TIMES, "hs[t].T @ dz", "hs[t] @ dz", (SEQUENCE, W1, SQUARE)),
    "in place": (BIAS, "db += dout.sum(axis=0)", "db += dout", (X, W1, B1)),
}


@pytest.mark.parametrize("case", CONVENTIONS)
def test_every_convention_has_the_edit(case: str) -> None:
    source, old, new, inputs = CONVENTIONS[case]
    names = {"X": X, "W1": W1, "B1": B1, "LABELS": LABELS}
    if source is NET:
        net = made(source, old, new, "Net", **names)
        calls = [lambda: compare_gradients(net, X), lambda: compare_gradients(net(), X)]
    elif source is WITH_LOSS:
        calls = [lambda: compare_gradients(made(source, old, new, **names), inputs)]
    else:
        backward = made(source, old, new)
        f = backward.__globals__["forward"]
        calls = [lambda: compare_gradients(f, inputs, manual=backward), lambda: compare_steps(f, backward, inputs)]
    line = line_with(source, old).replace('cache["h"],', "cache['h'],")
    for call in calls:
        whole = " ".join(told(call))
        assert f": write {line} instead of {line_with(source.replace(old, new), new)}." in whole, whole


SEVERAL = """
class Linear:
    def __init__(self, w):
        self.w = w

    def forward(self, x):
        self.x = x
        return x @ self.w

    def backward(self, dout):
        self.dw = self.x.T @ dout
        return dout @ self.w.T

class Sequence:
    def __init__(self, *layers):
        self.layers = layers

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dout):
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [("self.x.T @ dout", "self.x @ dout"), ("dout @ self.w.T", "dout @ self.w"),
     ("for layer in reversed(self.layers):", "for layer in self.layers:")],
)  # fmt: skip
def test_layers_in_an_object(old: str, new: str) -> None:
    right, wrong = made(SEVERAL, name="__dict__"), made(SEVERAL, old, new, "__dict__")
    assert compare_gradients(right["Sequence"](right["Linear"](W1), right["Linear"](W2)), X).ok
    whole = " ".join(told(lambda: compare_gradients(wrong["Sequence"](wrong["Linear"](W1), wrong["Linear"](W2)), X)))
    assert f"write {line_with(SEVERAL, old)} instead of {line_with(SEVERAL, old).replace(old, new)}" in whole, whole


NESTED = """
def forward(x, W):
    return x @ W

def backward(x, W, dout):
    def through(dout, W):
        return dout @ W.T

    return through(dout, W), x.T @ dout

def make():
    def through(dout, W):
        return dout @ W.T

    def inner(x, W, dout):
        return through(dout, W), x.T @ dout

    return inner
"""


@pytest.mark.parametrize("name", ["backward", "make"])
def test_helpers_inside_functions(name: str) -> None:
    space = made(NESTED.replace("return dout @ W.T", "return dout @ W"), name="__dict__")
    backward = space["backward"] if name == "backward" else space["make"]()
    for call in (lambda: compare_gradients(space["forward"], (X, W1), manual=backward),
                 lambda: compare_steps(space["forward"], backward, (X, W1))):  # fmt: skip
        assert "write return dout @ W.T instead of return dout @ W. With" in " ".join(told(call))


def test_a_wrong_argument_of_a_right_helper() -> None:
    source = HELPERS.replace("    dx = through(dout, W)", "    v = np.ones((7, 7))\n    dx = through(dout, v)")
    backward = made(source)
    whole = " ".join(told(lambda: compare_gradients(backward.__globals__["forward"], (X, W1), manual=backward)))
    assert "write dx = through(dout, W) instead of dx = through(dout, v)." in whole


LISTED = """
def forward(xs, W):
    return xs @ W

def backward(xs, W, dout):
    dW = np.zeros_like(W)
    for t in range(len(dout)):
        dW += xs[t].T @ dout[t]
    return dout @ W.T, dW
"""
TURNED = """
def forward(x, s):
    return x.transpose(0, 2, 1, 3) * s

def backward(x, s, dout):
    dx = np.zeros_like(x)
    dx += dout.transpose(0, 2, 1, 3) * s
    return dx, (dout * x.transpose(0, 2, 1, 3)).sum((0, 1, 2))
"""
JOINED = """
def forward(x, W):
    return x @ W

def backward(x, W, dout):
    upper, lower = x[:, :2].T @ dout, x[:, 2:].T @ dout
    dW = np.concatenate([upper, lower])
    return dout @ W.T, dW
"""
IN_CACHE = """
def forward(x, W):
    return x @ W, (x, W)

def backward(dout, cache):
    x, W = cache
    dx = dout @ W.T
    dW = x.T @ dout
    return dx, dW
"""
SCALED = """
def forward(x, s):
    return x * s

def backward(x, s, dout):
    dx = dout * s
    return dx, dout * x
"""
DOTTED = """
def forward(x, W):
    return x @ W

def backward(x, W, dout):
    dW = x.T.dot(dout)
    return dout @ W.T, dW
"""
FORMS = [  # a program, what is right and wrong in it, inputs
    (LISTED, "xs[t].T @ dout[t]", "xs.T @ dout[t]", (SEQUENCE, W1)),
    (TURNED, "dout.transpose(0, 2, 1, 3) * s", "dout.T * s", (rng.normal(size=(2, 3, 4, 5)), B1)),
    (JOINED, "np.concatenate([upper, lower])", "np.concatenate(upper, lower)", (X, W1)),
    (IN_CACHE, "x, W = cache", "W, x = cache", (X, W1)),
    (SCALED, "dx = dout * s", "dx = dout @ s", (X, np.ones((8, 4)))),
    (DOTTED, "x.T.dot(dout)", "dout.dot(x)", (X, W1)),
]


@pytest.mark.parametrize(("source", "old", "new", "inputs"), FORMS)
def test_forms_of_mistakes_have_the_edit(source: str, old: str, new: str, inputs: tuple[Any, ...]) -> None:
    backward = made(source, old, new)
    whole = " ".join(told(lambda: compare_gradients(backward.__globals__["forward"], inputs, manual=backward)))
    assert f"write {line_with(source, old)} instead of {line_with(source.replace(old, new), new)}." in whole, whole


def test_a_cell_with_a_notebook_command_has_the_edit() -> None:
    source = HELPERS.replace("dout @ W.T", "dout @ W")
    backward = made(source)
    file = backward.__code__.co_filename
    text = "%matplotlib inline" + source
    linecache.cache[file] = len(text), None, text.splitlines(True), file
    whole = " ".join(told(lambda: compare_gradients(backward.__globals__["forward"], (X, W1), manual=backward)))
    assert "write return dout @ W.T instead of return dout @ W." in whole


@pytest.mark.parametrize(("parameters", "missing"), [("x, W, g, dstate", "dstate"), ("x, W, dA, dB", "dA")])
def test_a_parameter_beside_the_cotangent_or_another_that_fits_nothing_is_missing(
    parameters: str, missing: str
) -> None:
    backward = made(HELPERS, "def backward(x, W, dout)", f"def backward({parameters})")
    with pytest.raises(TypeError, match=f"backward has a parameter '{missing}'"):
        compare_steps(backward.__globals__["forward"], backward, (X, W1))


def test_a_report_names_the_line_of_the_helper_that_stops() -> None:
    source = HELPERS.replace("    dx = through(dout, W)\n    dW = x.T @ dout\n",
                             "    dW = x.T @ dout\n    dx = through(dout, W)\n")  # fmt: skip
    backward = made(source, "dout @ W.T", "dout @ W")
    (found,) = compare_steps(backward.__globals__["forward"], backward, (X, W1)).diagnoses
    assert found.where == "line 10: dx = through(dout, W)"
    assert "It stopped in line 6 of through, at dout @ W: dout is (8, 5) and W is (4, 5)." in found.text


@pytest.mark.parametrize("product", ["a1 @ dz2", "dz2 @ a1"])
def test_of_two_mistakes_the_first_is_told_by_its_shape(product: str) -> None:
    backward = made(SOURCE.replace("a1.T @ dz2", product), "x.T @ dz1", "x @ dz1")
    assert told(lambda: compare_gradients(forward, NETWORK, manual=backward), SHORT)[1] == (
        f"compare_gradients: Line 11: write dW2 = a1.T @ dz2 instead of dW2 = {product}. This gives it that shape; "
        "another mistake must be mended too."
    )


def test_names_of_gradients_that_hold_another_value_are_no_mistake() -> None:
    source = """
def forward(x, W):
    o = 1 / (1 + np.exp(-(x @ W)))
    y = o * 2
    return y

def backward(x, W, dy):
    o = 1 / (1 + np.exp(-(x @ W)))
    do = dy * 2 * o * (1 - o)
    dW = x.T @ do
    return do @ W.T, dW
"""
    backward = made(source, "x.T @ do", "x @ do")
    report = compare_steps(backward.__globals__["forward"], backward, (X, W1))
    assert [(d.kind, d.where.partition(":")[0]) for d in report.diagnoses] == [
        ("convention", "line 9"), ("transpose", "line 10"),
    ]  # fmt: skip
    assert "once the line that stops is mended" in report.diagnoses[0].text


@pytest.mark.parametrize("result", ["y = x @ W\n    return y, (x, W)", "return x @ W, (x, W)"])
def test_an_error_before_any_gradient_is_the_users_own(result: str) -> None:
    source = f"""
def forward(x, W):
    {result}

def backward(dO, cache):
    x, W = cache
    dx = dO @ W
    dW = x.T @ dO
    return dx, dW
"""
    backward = made(source)
    with pytest.raises(ValueError, match="matmul") as caught:
        compare_steps(backward.__globals__["forward"], backward, (X, W1))
    assert "write dx = dO @ W.T instead of dx = dO @ W." in caught.value.__notes__[1]
    right = made(source, "dO @ W\n", "dO @ W.T\n")  # dO is the cotangent, since it fits nothing else
    assert compare_steps(right.__globals__["forward"], right, (X, W1)).ok


def test_a_result_that_a_loop_fills_is_judged() -> None:
    source = """
def forward(x, W):
    out = np.zeros((len(x), W.shape[1]))
    for i in range(len(x)):
        out[i] = x[i] @ W
    return out, (x, W)

def backward(dout, cache):
    x, W = cache
    dx = dout @ W.T
    dW = x.T @ dout
    return dx, dW
"""
    backward = made(source)
    assert compare_steps(backward.__globals__["forward"], backward, (X, W1)).ok


def test_a_message_that_cannot_be_shown() -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    backward = made(SOURCE, "g1 =", "raise Silent\n    g1 =", Silent=Silent)
    report = compare_steps(forward, backward, NETWORK)
    assert report.diagnoses[-1].text.startswith("The backward stopped here with Silent. The 4 gradients")


def test_parameters_with_defaults_are_no_values_of_the_forward() -> None:
    backward = made(SOURCE.replace("x, y):", "x, y, eps=1e-5):"), "x.T @ dz1", "x @ dz1")
    assert all("eps" not in note for note in told(lambda: compare_gradients(forward, NETWORK, manual=backward)))


def test_a_function_with_its_loss_and_arrays_as_defaults_has_a_graph() -> None:
    f = made(WITH_LOSS, X=X, LABELS=LABELS)
    report = compare_gradients(f, (W1, B1, W2, B2))
    assert report.ok
    assert "Numerical only" not in report.method
    assert f.__defaults__[0] is X


def test_a_list_of_layers() -> None:
    source = """
def backward(model, cache, out, solver=None):
    n, a0, a1, a2 = len(out), cache.x, cache.a[0], cache.a[1]
    d2 = (a2 - out) / n
    dW2 = d2.T @ a1
    d1 = d2 @ model[1].W.data * (1 - a1**2)
    loss = -(out * np.log(a2)).sum() / n
    return loss, [d1.T @ a0, dW2], [d1.sum(axis=0), d2.sum(axis=0)]
"""
    model, solver = [Layer(4, 5, "tanh", rng=0), Layer(5, 3, "softmax", rng=1)], Solver("crossentropy")
    assert compare_gradients(model, X, Y, solver=solver, manual=made(source)).ok
    manual = made(source, "d2.T @ a1", "d2 @ a1")
    assert told(lambda: compare_gradients(model, X, Y, solver=solver, manual=manual)) == [
        "compare_gradients: It stopped in line 5 of backward, at d2 @ a1: d2 is (8, 3) and a1 is (8, 5).",
        ("compare_gradients: Line 5: write dW2 = d2.T @ a1 instead of dW2 = d2 @ a1. With this change it runs to its "
         "end, and each gradient is right."),
    ]  # fmt: skip
    manual = made(source.replace("d2.sum(axis=0)", "d2.mean(axis=0)"), "d2.T @ a1", "d2 @ a1")
    sentences = told(lambda: compare_gradients(model, X, Y, solver=solver, manual=manual))
    assert sentences[-1].endswith("and each gradient is right, but for layer 2 b.")


FILLED = """
def forward(x, w):
    z = np.zeros((len(x), w.shape[1]))
    for i in range(len(x)):
        z[i] = x[i] @ w
    return (z**2).sum()

def backward(x, w, z):
    twice = 2 * z
    dw = x.T @ twice
    dx = twice @ w.T
    return dx, dw
"""


def test_a_forward_without_a_graph() -> None:
    backward = made(FILLED.replace("twice", "dz"), "x.T @ dz", "x @ dz")  # by its name dz is a gradient, twice is none
    report = compare_steps(backward.__globals__["forward"], backward, (X, W1))
    assert report.diagnoses[-1].kind == "transpose"
    assert "write dw = x.T @ dz instead of dw = x @ dz." in report.diagnoses[-1].text


def test_without_a_graph_the_line_before_the_one_that_stops_is_mended() -> None:
    backward = made(FILLED, "2 * z\n", "2 * z.T\n")
    whole = " ".join(told(lambda: compare_steps(backward.__globals__["forward"], backward, (X, W1))))
    assert "write twice = 2 * z instead of twice = 2 * z.T." in whole, whole


def test_without_a_graph_two_wrong_gradients_of_inputs_are_judged() -> None:
    backward = made(FILLED.replace("twice @ w.T", "3 * twice @ w.T"), "x.T @ twice", "x.T")
    report = compare_steps(backward.__globals__["forward"], backward, (X, W1))
    assert [(step.name, step.rule_ok) for step in report.steps] == [("dw", False), ("dx", False)]


def test_without_a_graph_an_edit_after_which_another_line_stops_mends_nothing() -> None:
    backward = made(FILLED.replace("twice @ w.T", "twice @ w"), "x.T @ twice", "x @ twice")
    whole = " ".join(told(lambda: compare_steps(backward.__globals__["forward"], backward, (X, W1)), SHORT))
    assert "x is (8, 4) and twice is (8, 5)" in whole
    assert "runs to its end" not in whole


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=f"{case[0]}: {case[2]}"[:70], marks=[pytest.mark.slow] * bool(k % 5))
        for k, case in enumerate(CASES)
    ],
)
def test_mistakes_in_the_programs_of_courses(case: tuple[str, str, str, str, bool, str]) -> None:
    program, old, new, edit, in_steps, convention = case
    space = made(PROGRAMS[program], old, new, name="__dict__")
    calls = [lambda: compared(space, convention)]
    calls += [lambda: compare_steps(space["forward"], space["backward"], space["inputs"])] if in_steps else []
    for call in calls:
        whole = " ".join(told(call))
        assert f": write {edit} instead of " in whole, whole
        assert "With this change it runs to its end, and each gradient is right." in whole


def compared(space: dict[str, Any], convention: str) -> Any:
    """Compare the gradients of a program."""
    inputs = space["inputs"]
    if convention == "grads":
        return compare_gradients(space["f"], inputs)
    if convention != "class":
        return compare_gradients(space["forward"], inputs, manual=space["backward"])
    net = space["net"]
    return compare_gradients(net, inputs) if net is space.get("Net") else compare_gradients(net, *inputs)


# ---- What must not happen


@pytest.mark.parametrize("compare", [compare_gradients, compare_steps])
def test_the_users_code_and_arrays_stay_what_they_were(compare: Any) -> None:
    backward, inputs = made(SOURCE, "x.T @ dz1", "x @ dz1"), [x.copy() for x in NETWORK]
    code = backward.__code__
    told(lambda: compare(forward, tuple(inputs), manual=backward) if compare is compare_gradients
         else compare(forward, backward, tuple(inputs)))  # fmt: skip
    assert backward.__code__ is code
    assert all(np.array_equal(a, b) for a, b in zip(inputs, NETWORK, strict=True))


@pytest.mark.parametrize("statement", ["raise ValueError('on purpose')", "assert n == 7, 'on purpose'"])
def test_an_error_that_the_code_raises_on_purpose_has_no_notes(statement: str) -> None:
    backward = made(SOURCE, "g1 = ", f"{statement}\n    g1 = ")
    with pytest.raises((ValueError, AssertionError), match="on purpose") as caught:
        compare_gradients(forward, NETWORK, manual=backward)
    assert not hasattr(caught.value, "__notes__")


def test_code_that_writes_files_does_not_run_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("")
    backward = made(SOURCE, "x.T @ dz1", "x @ dz1 if log.write_text(log.read_text() + 'x') else 0", log=log)
    (only,) = told(lambda: compare_gradients(forward, NETWORK, manual=backward))
    assert "line 16 of backward, at x @ dz1: x is (8, 4) and dz1 is (8, 5)" in only
    assert log.read_text() == "x"


def test_a_part_of_a_line_that_writes_files_does_not_run_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("")
    backward = made(SOURCE, "x.T @ dz1", "x[:log.write_text(log.read_text() + 'x')] @ dz1", log=log)
    (only,) = told(lambda: compare_gradients(forward, NETWORK, manual=backward))
    assert "dz1 is (8, 5)" in only
    assert log.read_text() == "x"


def test_a_method_that_writes_files_does_not_run_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("")
    wrong = "dout.T * (1 - self.a**2) if log.write_text(log.read_text() + 'x') else 0"
    net = made(NET, "dout * (1 - self.a**2)", wrong, "Net", W1=W1, B1=B1, log=log)
    (only,) = told(lambda: compare_gradients(net(), X))
    assert "dout.T is (5, 8)" in only
    assert log.read_text() == "x"


def test_code_without_a_source_has_no_notes() -> None:
    space = {"np": np}
    exec(SOURCE.replace("x.T @ dz1", "x @ dz1"), space)
    assert not told(lambda: compare_gradients(forward, NETWORK, manual=space["backward"]))


def test_an_edit_leaves_no_gradient_out() -> None:
    source = """
def backward(x, W, dout):
    grads = {"x": dout @ W.T}
    grads["W"] = x.T @ dout @ np.ones(1)
    return grads
"""
    sentences = told(lambda: compare_gradients(lambda x, W: x @ W, (X, W1), manual=made(source)))
    assert "write grads['W'] = x.T @ dout instead of" in sentences[-1].replace('"', "'")


def test_a_statement_is_not_left_out() -> None:
    source = """
def backward(x, W, dout):
    grads = {"x": dout @ W.T}
    grads["W"] = np.linalg.cholesky(np.kron(x, dout)).ravel()[0]
    return grads
"""
    (only,) = told(lambda: compare_gradients(lambda x, W: x @ W, (X, W1), manual=made(source)), SHORT)
    assert "np.kron(x, dout) is (64, 20)" in only


def test_an_error_in_the_forward_is_told_with_its_shapes() -> None:
    source = SOURCE.replace("def backward", "def forward")
    f = made(source, "dz2 @ W2.T", "dz2 @ W2", "forward")
    sentences = told(lambda: compare_gradients(f, NETWORK, manual=lambda *xs: xs[:4]), SHORT)
    assert "line 13 of forward, at dz2 @ W2: dz2 is (8, 3) and W2 is (5, 3)" in sentences[0]


def test_an_error_without_user_code_is_no_stop() -> None:
    assert stop_of(ValueError("never raised")) is None
    with pytest.raises(TypeError, match="compare_gradients") as caught:
        compare_gradients(forward, NETWORK[:2], manual=lambda *xs: xs)
    assert not hasattr(caught.value, "__notes__")
