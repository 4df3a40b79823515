"""Constants such as 1e-8: they are found wherever user code has them, and what they do to a gradient is known."""

import enum
import functools
import re
import runpy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.test_edit_parts import written
from tests.wrong_backward import student, through
from tinygrad_nn import Layer, Solver, Tensor, compare_gradients, compare_steps
from tinygrad_nn.compare.experiment import nearby
from tinygrad_nn.compare.guards import (
    Excused,
    Trial,
    are_known,
    excused_by_guards,
    is_beyond_guard,
    largest_guard,
    without_guards,
)
from tinygrad_nn.compare.paths import results_at_overflow, traced
from tinygrad_nn.compare.steps.mending import explained_by_guards, still_wrong
from tinygrad_nn.compare.tiny_constants import largest_guard_in_code, smaller_constants, tiny_constant

Array = Any
GUARD = 3e-8
GUARDS = (0.5, 2e-8)
LIMITS = (1e-8, 1 - 1e-8)
FROM_NUMPY = np.float64(2e-7)


class Guards:
    guard = 4e-8

    def in_a_class(self) -> float:
        return self.guard

    @staticmethod
    def in_a_method() -> float:
        return 5e-8

    @staticmethod
    def of_its_class() -> float:
        return Guards.in_a_method()


def by_default(guard: float = 6e-8) -> float:
    return guard


def by_name(*, guard: float = 7e-8) -> float:
    return guard


def by_call() -> float:
    return by_default()


def inside(guard: float = 1.0) -> float:
    return (lambda: 8e-8)()


def made() -> Callable[[], float]:
    return lambda: by_name()


def closed(function: Callable[[], float]) -> Callable[[], float]:
    return lambda: function()


def itself(n: int = 0) -> float:
    return itself(n + 1) if n < 1 else 9e-8


PLACES: dict[str, tuple[Any, float]] = {
    "code": (lambda: 1e-8, 1e-8), "global": (lambda: GUARD, 3e-8), "tuple": (lambda: GUARDS[1], 2e-8),
    "class": (Guards().in_a_class, 4e-8), "method": (Guards.in_a_method, 5e-8),
    "own class": (Guards.of_its_class, 5e-8),
    "default": (by_default, 6e-8), "keyword": (by_name, 7e-8), "call": (by_call, 6e-8), "inner": (inside, 8e-8),
    "closure": (closed(by_default), 6e-8), "made": (made(), 7e-8), "recursion": (itself, 9e-8),
    "numpy": (lambda: FROM_NUMPY, 2e-7),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_it_is_found_and_made_smaller_for_a_while(place: str) -> None:
    function, constant = PLACES[place]
    assert tiny_constant(function) >= constant
    for dtype in (np.float32, np.float64):
        with smaller_constants(dtype, function):
            assert function() == np.finfo(dtype).tiny
        assert function() == constant
    with pytest.raises(KeyError), smaller_constants(np.float64, function):
        raise KeyError
    assert function() == constant


@pytest.mark.parametrize("constant", [0.0, -1e-8, 2e-6, 1, None, "1e-8", True])
def test_other_constants_stay(constant: Any) -> None:
    function = lambda given=constant: given
    assert tiny_constant(function) == 0
    with smaller_constants(np.float64, function):
        assert function() == constant


def test_libraries_stay() -> None:
    assert tiny_constant(np.testing.assert_allclose, print, np.exp, Layer) == 0
    assert tiny_constant(pytest.approx, lambda: pytest.approx(1)) == 0


@functools.lru_cache
def kept() -> float:
    return 1e-8


class Kind(float, enum.Enum):
    SMALL = 1e-8


SELF: list[Any] = [1e-8]
SELF.append(SELF)


def test_what_cannot_be_changed_stays_and_what_can_be_is_restored() -> None:
    function = lambda guard=1e-8: (guard, kept(), Kind.SMALL.value, len(SELF))
    assert tiny_constant(function) == 1e-8
    with smaller_constants(np.float64, function):
        assert function()[0] == np.finfo(float).tiny
        assert function()[1:] == (1e-8, 1e-8, 2)
    assert function() == (1e-8, 1e-8, 1e-8, 2)
    assert SELF[0] == 1e-8


def test_threads_wait_for_each_other() -> None:
    function = lambda guard=1e-8: guard
    tiny = float(np.finfo(np.float64).tiny)

    def seen(_: int) -> float:
        with smaller_constants(np.float64, function):
            return function()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(seen, range(200))) == {tiny}
    assert function() == 1e-8


# -- Backward passes


def guarded(guard: float) -> Any:
    """A right backward of a cross-entropy of a softmax, that divides by the prediction plus a constant."""
    slope = lambda s, k, c=guard: -s.y / (s.a[k] + c) / s.N
    return lambda spoil: student(output=lambda s, k: through(s.name(k), slope(s, k), s.z[k]), **spoil)(-1)


def network(widths: tuple[int, ...], hidden: str, dtype: Any, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    names = [hidden] * (len(widths) - 2) + ["softmax"]
    model = [Layer(n, m, f, rng=rng, dtype=dtype) for n, m, f in zip(widths, widths[1:], names, strict=False)]
    for layer in model:
        layer.W = rng.normal(size=layer.W.shape).astype(dtype)
    x = rng.normal(size=(30, widths[0])) + (3 if widths[0] == 4 else 0)
    y = np.eye(widths[-1])[rng.integers(0, widths[-1], 30)]
    return model, x.astype(dtype), y.astype(dtype)


NETWORKS = {"small": ((4, 5, 3), "tanh"), "sure": ((4, 40, 3), "relu"), "wide": ((30, 64, 10), "relu")}
EFFECT = "The difference comes from a constant such as 1e-08: with a much smaller one, every gradient is right."


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_harmless_or_the_cause_of_what_is_wrong(name: str) -> None:
    kinds = set()
    for seed in range(6):
        model, x, y = network(*NETWORKS[name], np.float64, seed)
        report = compare_gradients(model, x, y, solver=Solver(loss="crossentropy"), manual=guarded(1e-8)({}))
        kinds |= {*report.kinds}
        assert report.kinds == (("convention",) if report.ok else ("wrong_epsilon",)), str(report)
        if not report.ok:
            (d,) = report.diagnoses
            assert report.first_wrong == "layer 2"
            assert d.where.startswith("layer 2 b, layer 2 W, layer 1 b")
            assert d.text.startswith(EFFECT)
            assert (d.number, d.formula[:8]) == ("(B31)", "(B31) δₖ")
    assert kinds == {"small": {"convention", "wrong_epsilon"}}.get(name, {"wrong_epsilon"})


def test_it_is_known_in_float32() -> None:
    reports = []
    for seed in range(6):  # with some of them, predictions are 0 in float32, so that no constant is small enough
        model, x, y = network(*NETWORKS["sure"], np.float32, seed)
        manual = guarded(1e-8)({})
        reports.append(compare_gradients(model, x, y, solver=Solver(loss="crossentropy"), manual=manual))
    assert not any(report.ok for report in reports)
    assert ("wrong_epsilon",) in [report.kinds for report in reports]


SPOILED: dict[str, Any] = {
    "a tenth more": {"biases": lambda s, k, d: 1.1 * d.sum(axis=0)},
    "a little more": {"biases": lambda s, k, d: (1 + 1e-9) * d.sum(axis=0)},
    "minus": {"spoil": lambda s, k, d: -d},
    "transposed": {"weights": lambda s, k, d: s.into(k).T @ d},
    "not at these numbers": {"biases": lambda s, k, d: d.sum(axis=0) * (1 if len(s.x) == 30 and s.x[0, 0] > 1 else 2)},
}


@pytest.mark.parametrize("spoiled", SPOILED)
@pytest.mark.parametrize("name", ["small", "sure"])
def test_it_is_not_the_cause_of_a_mistake(name: str, spoiled: str) -> None:
    for seed in range(3):
        model, x, y = network(*NETWORKS[name], np.float64, seed)
        manual = guarded(1e-8)(SPOILED[spoiled])
        report = compare_gradients(model, x, y, solver=Solver(loss="crossentropy"), manual=manual)
        assert not report.ok, str(report)
        assert "wrong_epsilon" not in report.kinds, str(report)


def test_code_that_fails_with_a_smaller_constant_is_judged_by_its_own() -> None:
    model, x, y = network(*NETWORKS["sure"], np.float64, 0)

    manual = guarded(1e-8)({})

    def right(*args: Any, solver: Any, guard: float = 1e-8) -> Any:
        if guard * 1e9 < 1:
            raise ZeroDivisionError
        return manual(*args, solver=solver)

    report = compare_gradients(model, x, y, solver=Solver(loss="crossentropy"), manual=right)
    assert not report.ok
    assert "wrong_epsilon" not in report.kinds


# -- Functions


def entropy(p: Array, y: Array) -> Array:
    return -np.mean(y * np.log(p + 1e-7) + (1 - y) * np.log(1 - p + 1e-7))


def entropy_backward(p: Array, y: Array) -> Array:
    return (p - y) / (p * (1 - p)) / p.size


@pytest.mark.parametrize("p", [[0.3, 0.5, 0.7], [1e-4, 0.5, 1 - 1e-4], [0.3, 1e-4, 0.7], [0.3, 1e-30, 0.7]])
def test_of_a_function(p: list[float]) -> None:
    y = np.array([1.0, 1.0, 0.0])
    report = compare_gradients(lambda p: entropy(p, y), (np.array(p),), manual=lambda p: entropy_backward(p, y))
    assert report.kinds == ("convention",), str(report)
    assert "a constant such as 1e-07" in str(report)
    off = compare_gradients(lambda p: entropy(p, y), (np.array(p),), manual=lambda p: 1.00001 * entropy_backward(p, y))
    assert not off.ok
    assert "The difference comes from a constant" not in str(off)


def test_a_term_with_a_tiny_factor_is_a_mistake_and_an_underflow_is_no_cause() -> None:
    w = np.linspace(0.2, 1, 5)
    forgotten = compare_gradients(lambda w: np.sum(np.sin(w)) + 1e-6 * np.sum(w**2), (w,), manual=lambda w: np.cos(w))
    assert not forgotten.ok
    wrong = lambda x: 1e-14 * np.sin(x) * np.sqrt(1 + x)
    report = compare_gradients(lambda x: np.sum((1e-7 * x) ** 2 * np.cos(x)), (w,), manual=wrong)
    assert not report.ok
    assert "wrong_epsilon" not in report.kinds
    model, x, y = network(*NETWORKS["small"], np.float64, 1)
    decayed = student(weights=lambda s, k, d: d.T @ s.into(k) + 1e-6 * s.W(k))(-1)
    assert not compare_gradients(model, x, y, solver=Solver(loss="crossentropy"), manual=decayed).ok


# -- The gradient of a function without the constant that it adds to a probability

GUARDED: dict[str, Any] = {
    "added": lambda p: np.log(p + 1e-12),
    "subtracted": lambda p: np.log(-(-p - 1e-12)),
    "a limit": lambda p: np.log(np.clip(p, 1e-12, 1 - 1e-12)),
    "the largest of two": lambda p: np.log(np.maximum(1e-12, p)),
    "in a fraction": lambda p: -np.log(1.0 / (p + 1e-12)),
}


def softmax_step(logarithm: Any, mistake: str = "") -> tuple[Any, Any]:
    """A forward and a backward of a cross-entropy; the backward is that of the function without the constant."""

    def forward(X: Array, Y: Array, W: Array, b: Array) -> Any:
        Z = X @ W + b
        E = np.exp(Z - Z.max(axis=1, keepdims=True))
        P = E / E.sum(axis=1, keepdims=True)
        loss = -np.sum(Y * logarithm(P)) / len(X)
        return loss, (X, Y, P)

    def backward(cache: Any) -> Any:
        X, Y, P = cache
        dZ = (P - Y) / (1 if mistake == "N" else len(X))
        dW = X.T @ dZ
        db = dZ.sum(axis=0) * (0.999 if mistake == "factor" else 1)
        return dW, db

    return forward, backward


def numbers(scale: float, dtype: Any = np.float64) -> tuple[Array, ...]:
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(12, 6)), np.eye(4)[rng.integers(0, 4, 12)]
    return tuple(np.asarray(v, dtype) for v in (X, Y, rng.normal(size=(6, 4)) * scale, rng.normal(size=4)))


@pytest.mark.parametrize("scale", [1.0, 10.0, 100.0, 1e4])
@pytest.mark.parametrize("name", GUARDED)
def test_the_gradient_of_the_function_without_it_is_no_mistake(name: str, scale: float) -> None:
    forward, backward = softmax_step(GUARDED[name])
    for dtype in (np.float64, np.float32) if name == "added" else (np.float64,):
        X, Y, W, b = numbers(scale, dtype)
        steps = compare_steps(forward, backward, (X, Y, W, b))
        assert steps.ok, str(steps)
        assert len(steps.diagnoses) <= 1
        f, back = lambda W, b, X=X, Y=Y: forward(X, Y, W, b)[0], lambda W, b, X=X, Y=Y: backward(forward(X, Y, W, b)[1])
        report = compare_gradients(f, (W, b), manual=back)
        assert report.ok, str(report)
        assert {report.row_verdict(row) for row in report.rows} <= {"ok", "convention"}
        if scale > 1:
            assert steps.kinds == report.kinds == ("convention",)
            assert "function without a constant such as 1e-12" in " ".join(str(report).split())
            assert "function without a constant such as 1e-12" in " ".join(str(steps).split())


@pytest.mark.parametrize("scale", [1.0, 10.0, 100.0, 1e4])
@pytest.mark.parametrize("mistake", ["N", "factor"])
def test_mistakes_beside_it_are_wrong(mistake: str, scale: float) -> None:
    forward, backward = softmax_step(GUARDED["added"], mistake)
    X, Y, W, b = numbers(scale)
    assert not compare_steps(forward, backward, (X, Y, W, b)).ok
    f, back = lambda W, b: forward(X, Y, W, b)[0], lambda W, b: backward(forward(X, Y, W, b)[1])
    report = compare_gradients(f, (W, b), manual=back)
    assert not report.ok
    if mistake == "factor" and scale > 1:
        assert {d.where == "W" for d in report.diagnoses if d.harmless} == {True}, str(report)
        assert [report.row_verdict(row) for row in report.rows] == ["convention", "manual is off"]
        assert report.verdict.startswith("The gradient is WRONG in 1 of 2 arrays; look at b")


@pytest.mark.parametrize(("scale", "dtype"), [(3.0, np.float64), (100.0, np.float64), (100.0, np.float32)])
@pytest.mark.parametrize("mistake", ["", "N", "factor"])
def test_without_a_graph(mistake: str, scale: float, dtype: Any) -> None:
    def forward(X: Array, Y: Array, W: Array, b: Array) -> Any:
        Z = X @ W + b
        E = np.exp(Z - Z.max(axis=1, keepdims=True))
        P = E / E.sum(axis=1, keepdims=True)
        loss = float(-np.sum(Y * np.log(P + 1e-12)) / len(X))
        return loss, (X, Y, P)

    backward = softmax_step(None, mistake)[1]
    X, Y, W, b = (v[:4] if len(v) == 12 else v for v in numbers(scale, dtype))
    report = compare_steps(forward, backward, (X, Y, W, b))
    assert "Numerical only" in report.method
    assert report.ok == (not mistake), str(report)
    assert mistake or report.kinds == ("convention",)


def cell(X: Array, Y: Array, W: Array, gamma: Array, mistake: str) -> Any:
    """Both passes in one namespace: after a normalisation, the gradients of a bias are 0 up to rounding."""
    X, W, gamma, b = Tensor(X), Tensor(W), Tensor(gamma), Tensor(np.zeros(W.shape[1]))
    S = X @ W + b
    C = S - S.mean(axis=0)
    sd = np.sqrt((C**2).mean(axis=0) + 1e-5)
    xhat = C / sd
    Z = gamma * xhat
    E = np.exp(Z - Z.max(axis=1, keepdims=True))
    P = E / E.sum(axis=1, keepdims=True)
    loss = -np.sum(Y * np.log(P + 1e-12)) / len(Y)
    dZ = (P - Y if mistake != "sign" else Y - P) / len(Y)
    dgamma = (dZ * xhat).sum(axis=0)
    dxhat = dZ * (gamma if mistake != "square" else gamma**2)
    dS = (dxhat - dxhat.mean(axis=0) - xhat * (dxhat * xhat).mean(axis=0)) / sd
    db = dS.sum(axis=0)
    dW = X.T @ dS
    return compare_steps(locals())


@pytest.mark.parametrize(("scale", "dtype"), [(1.0, np.float64), (30.0, np.float64), (1e3, np.float64),
                                              (30.0, np.float32)])  # fmt: skip
@pytest.mark.parametrize("mistake", ["", "sign", "square"])
def test_in_a_namespace(mistake: str, scale: float, dtype: Any) -> None:
    X, Y, W, _ = numbers(1.0, dtype)
    report = cell(X, Y, W, np.asarray([scale, -scale, scale, 2 * scale], dtype), mistake)
    assert report.ok == (not mistake), str(report)
    assert mistake or report.kinds == ("convention",)
    wrong = [step.name for step in report.steps if not step.rule_ok]
    assert wrong[:1] == {"sign": ["dZ"], "square": ["dxhat"]}.get(mistake, []), str(report)
    assert mistake != "square" or report.steps[0].ok  # a guard's effect stays one beside a mistake


LABELS_IN_GLOBALS = np.array([0, 2, 1, 1, 0, 2])


def cell_with_labels(X: Array, W: Array, v: Array, mistake: str) -> Any:
    """Both passes in one namespace: the gradient of z is made by several lines, which read a name of the module."""
    W, v = Tensor(W), Tensor(v)
    a = np.maximum(X @ W, 0)
    z = a @ v
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    loss = -np.mean(np.log(p[np.arange(len(X)), LABELS_IN_GLOBALS] + 1e-8))
    grads = {}
    dz = p.data.copy()
    dz[np.arange(len(X)), LABELS_IN_GLOBALS] -= 1 if mistake != "label" else -1
    dz = dz / (len(X) if mistake != "n" else 1)
    grads["v"] = a.data.T @ dz
    da = dz @ v.data.T if mistake != "sign" else -dz @ v.data.T
    da[a.data <= 0] = 0
    grads["W"] = X.T @ da
    return compare_steps(locals())


@pytest.mark.parametrize("scale", [1.0, 20.0, 200.0])
@pytest.mark.parametrize("mistake", ["", "label", "n", "sign"])
def test_in_a_namespace_where_several_lines_make_a_gradient(mistake: str, scale: float) -> None:
    rng = np.random.default_rng(7)
    X, W, v = rng.normal(size=(6, 4)), rng.normal(size=(4, 5)), rng.normal(size=(5, 3))
    report = cell_with_labels(X * scale, W, v, mistake)
    assert report.ok == (not mistake), str(report)
    assert mistake or report.kinds == ("convention",)
    wrong = [step.name for step in report.steps if not step.rule_ok]
    assert wrong[:1] == {"sign": ["da"], "": []}.get(mistake, ["dz"]), str(report)
    if mistake == "sign":  # what differs by a convention only is not counted
        assert report.verdict.startswith("The gradient is WRONG in 2 of 4 steps; look at line "), report.verdict
        assert "sign" in report.kinds


IN_CODE = {
    "np.log(p + 1e-8)": 1e-8, "np.log(np.maximum(p, GUARD))": 3e-8, "helper(p)": 1e-9, "1 / (p + 1e-8)": 1e-8,
    "np.log(p.clip(1e-8, 1 - 1e-8))": 1e-8, "ratio(p)": 1e-10, "0 if p < 1e-8 else math.log(p + 1e-8)": 1e-8,
    "np.log(p + 1e-8) * 1e-9": 0, "np.sqrt(p + 1e-8)": 0, "(p + 1e-8) / p": 0, "np.log(p)": 0, "helper(p + 1e-8)": 0,
    "np.log(p + GUARD) + np.exp(GUARD)": 0, "root(p)": 0, "p / 1e-8": 0, "np.log(p / 1e-8)": 0,
}  # fmt: skip
HELPERS = """
import math
import numpy as np
GUARD = 3e-8

def helper(p, guard=1e-9):
    return np.log(p + guard)

def ratio(p):
    low = 1e-10
    q = np.clip(p, low, 1 - low)
    cache = p, q
    return np.sum(np.log(q[0]) / -(-p - 1e-12)) if low < 1 else 0, cache

def root(p):
    p += GUARD
    return np.sqrt(p)

def function(p):
    return """


@pytest.mark.parametrize("text", IN_CODE)
def test_what_it_is_for_is_seen_in_code(text: str, tmp_path: Path) -> None:
    path = tmp_path / "module_of_a_user.py"
    path.write_text(HELPERS + text + "\n")
    space = runpy.run_path(str(path))
    assert largest_guard_in_code(space["function"]) == IN_CODE[text]


@pytest.mark.parametrize("scale", [1.0, 30.0, 1e3])
@pytest.mark.parametrize("mistake", ["", "tanh", "factor"])
def test_of_sigmoids_that_are_sure_and_wrong(mistake: str, scale: float) -> None:
    def forward(X: Array, Y: Array, W: Array, v: Array) -> Any:
        H = np.tanh(X @ W)
        A = 1 / (1 + np.exp(-(H @ v)))
        loss = -np.mean(Y * np.log(A + 1e-8) + (1 - Y) * np.log(1 - A + 1e-8))
        return loss, (X, Y, W, v, H, A)

    def backward(cache: Any) -> Any:
        X, Y, W, v, H, A = cache
        dZ = (A - Y) / Y.size
        dv = H.T @ dZ
        dH = dZ @ v.T
        dS = dH if mistake == "tanh" else dH * (1 - H**2)
        dW = X.T @ dS * (1.001 if mistake == "factor" else 1)
        dX = dS @ W.T
        return dX, dW, dv

    rng = np.random.default_rng(1)
    X, Y = rng.normal(size=(20, 3)), rng.integers(0, 2, (20, 1)) * 1.0
    W, v = rng.normal(size=(3, 5)), rng.normal(size=(5, 1)) * scale
    f, back = lambda X, W, v: forward(X, Y, W, v)[0], lambda X, W, v: backward(forward(X, Y, W, v)[1])
    for report in (compare_steps(forward, backward, (X, Y, W, v)), compare_gradients(f, (X, W, v), manual=back)):
        assert report.ok == (not mistake), str(report)
        assert mistake or scale == 1 or report.kinds == ("convention",)


def test_a_tiny_factor_is_no_guard() -> None:
    x = Tensor(np.array([0.3, 0.5]))
    guarded, with_factor = np.log(x + 1e-9), np.log(x + 1e-9) + 1e-7 * x
    for out, largest in ((guarded, 1e-9), (with_factor, 0.0), (np.log(x), 0.0)):
        assert out.node is not None
        assert x.node is not None
        graph = traced([(out.node, np.ones(2))], [x.node])
        assert largest_guard(graph.operations) == largest
        assert bool(without_guards(graph.operations, graph.inputs)) == bool(largest)


@pytest.mark.parametrize(("bound", "g", "eps", "known"), [
    (1e-9, 1.0, 1e-16, True), (1e-5, 1.0, 1e-16, False), (1e-5, 1.0, 1e-7, True), (1e-2, 1.0, 1e-7, False),
    (0.0, 0.0, 1e-16, True), (1e-9, 0.0, 1e-16, False), (np.inf, np.inf, 1e-16, False), (0.0, np.nan, 1e-16, False),
])  # fmt: skip
def test_bounds_that_would_hide_mistakes_prove_nothing(bound: float, g: float, eps: float, known: bool) -> None:
    assert are_known([np.array([0.0, bound])], [np.array([0.0, g])], eps) == known


def test_0_times_infinity_is_0_and_other_products_stay() -> None:
    with np.errstate(all="ignore"):
        node = np.exp(Tensor(np.array([1000.0, 1000.0, 1000.0, 0.0]))).node
        assert node is not None
        (r,) = results_at_overflow(node, np.array([0.0, np.nan, 2.0, 3.0]))
    np.testing.assert_array_equal(r, [0.0, np.nan, np.inf, 3.0])


# -- Values that are 0 whatever the inputs are, such as a row of padding, excuse no mistake


def padded(is_loss_a_number: bool, mistake: str) -> tuple[Any, Any]:
    def forward(x: Array, W: Array, V: Array) -> Any:
        h = np.tanh(x @ W)
        s = np.abs(x).sum(axis=1) + 1e-8
        u = x / s[:, None]
        loss = (h**2).sum() + (u @ V).sum()
        return float(loss) if is_loss_a_number else loss, (x, V, h, u)

    def backward(cache: Any) -> Any:
        x, V, h, u = cache
        da = 2 * h if mistake == "tanh" else 2 * h * (1 - h**2)
        dW = x.T @ da
        dV = u.T @ np.ones((len(x), V.shape[1]))
        return dW, dV

    return forward, backward


def padded_numbers() -> tuple[Array, ...]:
    rng = np.random.default_rng(0)
    x, W, V = rng.normal(size=(6, 3)), rng.normal(size=(3, 4)), rng.normal(size=(3, 2))
    x[5] = 0
    return x, W, V


@pytest.mark.parametrize("mistake", ["", "tanh"])
def test_a_row_of_padding_excuses_no_mistake(mistake: str) -> None:
    x, W, V = padded_numbers()
    forward, backward = padded(False, mistake)
    f, back = lambda W, V: forward(x, W, V)[0], lambda W, V: backward(forward(x, W, V)[1])
    assert compare_gradients(f, (W, V), manual=back).ok == (not mistake)
    for is_loss_a_number in (False, True):
        report = compare_steps(*padded(is_loss_a_number, mistake), (x, W, V))
        assert report.ok == (not mistake), str(report)


@pytest.mark.parametrize("mistake", ["", "tanh"])
def test_a_row_of_padding_excuses_no_mistake_in_a_namespace(mistake: str) -> None:
    x, W, V = map(Tensor, padded_numbers())
    a = x @ W
    h = np.tanh(a)
    s = np.abs(x).sum(axis=1) + 1e-8
    u = x / s[:, None]
    loss = (h**2).sum() + (u @ V).sum()
    dh = 2 * h.data
    da = dh if mistake == "tanh" else dh * (1 - h.data**2)
    assert compare_steps(locals()).ok == (not mistake)


def test_which_trial_excuses_a_gradient() -> None:
    trials = [
        Trial(1.0, {0}, set(), {0}),  # right at the inputs themselves
        Trial(0.25, {1, 2, 3}, {1, 4}, {5}),  # 2 and 3 have lost digits here, 4 is wrong
        Trial(0.0625, {2, 3, 4}, {2, 3, 4}, {6}),
        Trial(0.01, {7}, {7}, {7}),  # not asked any more
    ]
    excused = excused_by_guards(dict.fromkeys([0, 1, 2, 4], np.ones(2)), trials)
    assert excused.factors == {0: 1.0, 1: 0.25, 2: 0.0625}
    assert excused.right_values == {0, 5, 6}
    assert {k: trials.index(trial) for k, trial in excused.wrong_in.items()} == {4: 1}
    unclear = excused_by_guards(dict.fromkeys([0, 9], np.ones(2)), trials)
    assert unclear.right_values == {0, 5, 6, 7}
    assert unclear.wrong_in == {}
    broken = {0: np.array([1.0, np.nan]), 1: np.array([np.inf]), 2: np.ones(2)}
    assert excused_by_guards(broken, trials).factors == {2: 0.0625}


@pytest.mark.parametrize(("wrong", "suspects", "excused", "still"), [
    ([2], [2, 3], {}, [2]), ([], [3], {}, []), ([2, 3], [2, 3], {2: 1.0}, [3]), ([2], [2, 3], {2: 1.0}, [3]),
    ([2], [2], {2: 1.0}, []),
])  # fmt: skip
def test_what_is_still_wrong(
    wrong: list[int], suspects: list[int], excused: dict[int, float], still: list[int]
) -> None:
    assert still_wrong(wrong, suspects, excused) == still


def test_each_gradient_has_its_own_factor_and_what_follows_from_a_mistake_is_no_effect() -> None:
    right, wrong = SimpleNamespace(ok=True), SimpleNamespace(ok=False)
    rows: Any = [(wrong, wrong), (wrong, wrong), (wrong, right), (wrong, right), (right, right), (wrong, wrong)]
    states: Any = list(range(6))
    pairs = [(np.array([1.0 + k]), np.ones(1)) for k in range(6)]
    found = explained_by_guards(rows, states, [0, 1, 5], Excused({0: 1.0, 1: 0.25}, {2}, {}), 1e-8, pairs)
    assert sorted(found) == [0, 1, 2]  # 3 follows from 5
    evidence = [found[k].diagnosis.evidence[0].partition(" of the largest entry of its array; ")[::2] for k in range(3)]
    smaller = ("the largest difference is 2e+00", "without the constant, for inputs times 0.25, it is negligible")
    assert evidence == [("the largest difference is 0e+00", "without the constant, it is negligible"), smaller, smaller]
    all_excused = Excused({0: 1.0, 1: 1.0}, set(), {})
    assert sorted(explained_by_guards(rows, states, [0, 1], all_excused, 1e-8, pairs)) == [0, 1, 2, 3, 5]


@pytest.mark.parametrize(("x", "is_beyond"), [(1e-200, False), (1e-300, True), (0.0, True)])
def test_a_value_so_small_that_what_stands_in_for_the_constant_changes_it(x: float, is_beyond: bool) -> None:
    value = Tensor(np.array([x, 0.5]))
    out = np.log(value + 1e-8)
    assert out.node is not None
    assert value.node is not None
    assert is_beyond_guard(traced([(out.node, np.ones(2))], [value.node]).operations) is is_beyond


def test_limits_near_1_are_1_inside() -> None:
    functions = [lambda p: np.clip(p, 1e-8, 1 - 1e-8), lambda p: np.clip(p, *LIMITS)]
    for f in functions:
        with smaller_constants(np.float64, f):
            assert f(np.ones(1)) == 1
            assert f(np.zeros(1)) == np.finfo(np.float64).tiny
        assert f(np.ones(1)) < 1


# -- float32

KEPT: dict[str, Array] = {}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_backward_that_adds_to_global_arrays_is_right_in_each_dtype(dtype: Any) -> None:
    KEPT["W"] = np.zeros((5, 4))

    def forward(x: Array, W: Array) -> Any:
        z = x @ W
        return (z**2).sum()

    def backward(x: Array, W: Array, z: Array) -> Any:
        dz = 2 * z
        KEPT["W"] += x.T @ dz
        dW = KEPT["W"]
        dx = dz @ W.T
        return dx, dW

    rng = np.random.default_rng(0)
    assert compare_steps(forward, backward, tuple(rng.normal(size=s).astype(dtype) for s in ((3, 5), (5, 4)))).ok


def test_a_backward_with_arrays_of_float32_is_judged_as_float32() -> None:
    def forward(x: Array, W: Array) -> Any:
        y = x @ W
        c = y - y.mean(axis=0)
        return (c**3).sum()

    def backward(x: Array, W: Array, c: Array) -> Any:
        dc = np.zeros(c.shape, dtype=np.float32)
        dc[...] = 3 * c * c
        dy = dc - dc.mean(axis=0)
        dW = x.T @ dy
        dx = dy @ W.T
        return dx, dW

    rng = np.random.default_rng(0)
    x, W = 100 + rng.normal(size=(8, 5)).astype(np.float32), rng.normal(size=(5, 4)).astype(np.float32)
    report = compare_steps(forward, backward, (x, W))
    assert report.ok, str(report)
    assert not any("float64" in note for note in report.notes)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_overflow_in_float32_is_not_hidden(dtype: Any) -> None:
    def forward(x: Array) -> Any:
        y = np.tanh(x)
        return y.sum()

    def backward(x: Array, y: Array) -> Any:
        dy = np.ones_like(y)
        e = np.exp(2 * x)
        dx = dy * 4 * e / (e + 1) ** 2
        return dx

    report = compare_steps(forward, backward, (np.array([0.5, 50.0], dtype),))
    assert report.ok == (dtype is np.float64), str(report)


# -- A mistake beside the constant is named, not the constant


TWO_LAYERS = """
import numpy as np

def forward(X, Y, W1, W2, b2):
    Z = X @ W1
    A = np.tanh(Z)
    S = A @ W2 + b2
    E = np.exp(S - S.max(axis=1, keepdims=True))
    P = E / E.sum(axis=1, keepdims=True)
    return -np.sum(Y * np.log(P + 1e-8)) / len(X), (X, Y, A, W2, P)

def backward(cache):
    X, Y, A, W2, P = cache
    dS = (P - Y) / len(X)
    dW2 = A.T @ dS
    db2 = dS.sum(axis=0)
    dA = dS @ W2.T
    dZ = dA * (1 - A**2)
    dW1 = X.T @ dZ
    return dW1, dW2, db2
"""
WITHOUT_GRAPH = "\n    S = np.array([[float(s) for s in row] for row in S])\n    E ="
MISTAKES = {  # the right line, the wrong one, the kind
    "N": ("dS = (P - Y) / len(X)", "dS = P - Y", "scale"),
    "sign": ("dS = (P - Y) / len(X)", "dS = (Y - P) / len(X)", "sign"),
    "mean": ("db2 = dS.sum(axis=0)", "db2 = dS.mean(axis=0)", "scale"),
    "tanh": ("dZ = dA * (1 - A**2)", "dZ = dA * (1 - A)", "wrong_derivative"),
}


@pytest.mark.parametrize(("mistake", "has_graph", "scale"), [
    *((m, True, 8.0) for m in MISTAKES),
    *((m, *case) for m in ("N", "mean") for case in ((True, 0.1), (True, 100.0), (False, 8.0))),
])  # fmt: skip
def test_a_mistake_beside_it_is_named(mistake: str, has_graph: bool, scale: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    X, Y = rng.normal(size=(6, 4)), np.eye(3)[rng.integers(0, 3, 6)]
    W1, W2, b2 = rng.normal(size=(4, 5)), rng.normal(size=(5, 3)) * scale, rng.normal(size=3)
    right_line, wrong_line, kind = MISTAKES[mistake]
    source = TWO_LAYERS.replace(right_line, wrong_line)
    file = tmp_path / "two_layers.py"
    file.write_text(source if has_graph else source.replace("\n    E =", WITHOUT_GRAPH))
    code = runpy.run_path(str(file))
    forward, backward = code["forward"], code["backward"]
    f, back = lambda *w: forward(X, Y, *w)[0], lambda *w: backward(forward(X, Y, *w)[1])
    steps = compare_steps(forward, backward, (X, Y, W1, W2, b2))
    for report in (steps, compare_gradients(f, (W1, W2, b2), manual=back)):
        text = " ".join(str(report).split())
        assert not report.ok, text
        assert {d.kind for d in report.diagnoses if not d.harmless} <= {kind, "edit", "wrong_value"}, text
        assert not has_graph or {d.kind for d in report.diagnoses if not d.harmless} == {kind}, text
        assert wrong_line in text
        edits = right_line.replace("**", " ** "), "dS = -((Y - P) / len(X))"
        assert any(edit in text for edit in edits), text
        has_note = "the right gradient is that of the function without a constant such as 1e-08" in text
        assert has_note == (scale > 1 and (report is not steps or mistake in ("N", "sign"))), text
        is_beside = mistake in ("mean", "tanh") and (scale > 1 or report is not steps)
        assert ("convention" in report.kinds) == is_beside, text


SURE = np.array([[1.0, 2.0], [3.0, -1.0], [2.0, 2.0]]), np.array([1.0, 1.0, 0.0]), np.array([20.0, 5.0])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_gradient_that_is_not_finite_is_wrong_though_it_is_right_at_smaller_inputs(dtype: Any) -> None:
    X, y, w = (v.astype(dtype) for v in SURE)

    def forward(w: Array) -> Any:
        a = 1 / (1 + np.exp(-(X @ w)))
        loss = -np.mean(y * np.log(a + dtype(1e-8)) + (1 - y) * np.log(1 - a + dtype(1e-8)))
        return loss

    def backward(w: Array) -> Any:
        a = 1 / (1 + np.exp(-(X @ w)))
        da = -y / a + (1 - y) / (1 - a)
        dz = da * a * (1 - a) / 3
        dw = X.T @ dz
        return dw

    with np.errstate(all="ignore"):
        assert not np.isfinite(backward(w)).all()
    assert not compare_gradients(forward, w, manual=backward).ok
    assert not compare_steps(forward, backward, w).ok


@pytest.mark.parametrize("scale", [1.0, 8.0, 20.0])
def test_smaller_inputs_keep_what_the_gradients_are_divided_by(scale: float) -> None:
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(10, 3)), (rng.random(10) > 0.5).astype(float)

    def forward(X: Array, y: Array, w: Array, b: float) -> Any:
        z = X @ w + b
        p = np.clip(1 / (1 + np.exp(-z)), 1e-15, 1 - 1e-15)
        loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
        return loss

    def backward(X: Array, y: Array, w: Array, b: float) -> Any:
        dz = 1 / (1 + np.exp(-(X @ w + b))) - y
        dw = X.T @ dz
        db = np.sum(dz) / len(y)
        return dw, db

    assert not compare_steps(forward, backward, (X, y, rng.normal(size=3) * scale, 0.3)).ok


def test_a_mask_that_is_drawn_in_a_forward_of_float32_raises_no_alarm() -> None:
    rng, draws = np.random.default_rng(48), np.random.default_rng(0)
    X, y = rng.normal(size=(6, 4)).astype(np.float32), (rng.random((6, 1)) > 0.5).astype(np.float32)
    W1, W2 = ((rng.normal(size=shape) * 5).astype(np.float32) for shape in ((4, 6), (6, 1)))

    def forward(X: Array, y: Array, W1: Array, W2: Array) -> Any:
        h = X @ W1
        m = (draws.random(h.shape) < 0.5) / 0.5
        hd = h * m
        p = 1 / (1 + np.exp(-(hd @ W2)))
        loss = -np.mean(y * np.log(p + 1e-12) + (1 - y) * np.log(1 - p + 1e-12))
        return loss, (X, y, W2, m, hd, p)

    def backward(cache: Any) -> Any:
        X, y, W2, m, hd, p = cache
        dz = (p - y) / len(y)
        dW2 = hd.T @ dz
        dhd = dz @ W2.T
        dh = dhd * m
        return {"W1": X.T @ dh, "W2": dW2}

    for _ in range(4):
        report = compare_steps(forward, backward, (X, y, W1, W2))
        assert report.ok, str(report)


@pytest.mark.parametrize("has_graph", [True, False])
def test_a_forward_that_is_reached_through_a_module(has_graph: bool, tmp_path: Path) -> None:
    file = tmp_path / "two_layers.py"
    file.write_text(TWO_LAYERS if has_graph else TWO_LAYERS.replace("\n    E =", WITHOUT_GRAPH))
    module = ModuleType("two_layers")
    exec(compile(file.read_text(), str(file), "exec"), vars(module))
    rng = np.random.default_rng(1)
    X, Y, b2 = rng.normal(size=(6, 4)), np.eye(3)[rng.integers(0, 3, 6)], rng.normal(size=3)
    inputs = rng.normal(size=(4, 5)), rng.normal(size=(5, 3)) * 8, b2
    back = lambda *w: module.backward(module.forward(X, Y, *w)[1])
    assert compare_gradients(lambda *w: module.forward(X, Y, *w)[0], inputs, manual=back).ok


@pytest.mark.parametrize("has_graph", [True, False])
@pytest.mark.parametrize("is_blind", [True, False])
def test_steps_say_that_all_right_gradients_of_inputs_are_0(is_blind: bool, has_graph: bool) -> None:
    def forward(x: Array, w: Array) -> Any:
        p = np.exp(x * w)
        q = p / p.sum()
        if not has_graph:
            q = np.array([float(v) for v in q])
        return q.sum() if is_blind else (q * np.arange(3.0)).sum()

    def backward(x: Array, w: Array) -> Any:
        p = np.exp(x * w)
        q = p / p.sum()
        dq = np.ones(3) if is_blind else np.arange(3.0)
        dp = (dq - (dq * q).sum()) / p.sum()
        dx, dw = dp * p * w, dp * p * x
        return dx, dw

    x = np.zeros(3) if is_blind else np.ones(3)
    report = compare_steps(forward, backward, (x, x.copy()))
    assert report.kinds == (("blind_test",) if is_blind else ()), str(report)
    assert report.ok is not is_blind


def test_labels_stay_labels_at_other_inputs() -> None:
    rng = np.random.default_rng(0)
    one_hot = np.eye(3, dtype=np.float32)[[0, 1, 1, 2, 0]]
    moved = nearby(one_hot, rng)
    assert moved.dtype == np.float32
    assert sorted(moved.tolist()) == sorted(one_hot.tolist())
    assert any((nearby(one_hot, rng) != one_hot).any() for _ in range(5))
    for other in (np.zeros(3), np.ones((2, 2)), np.array([0.0, 1.0, 2.0]), np.array(1.0), np.zeros(0)):
        assert nearby(other, rng).shape == other.shape
        assert other.size == 0 or (nearby(other, rng) != other).all()


CLIPPED = """
def forward(w, b, X=X, y=y):
    z = X @ w + b
    p = 1 / (1 + np.exp(-z))
    q = np.clip(p, 1e-7, 1 - 1e-7)
    return -np.mean(y * np.log(q) + (1 - y) * np.log(1 - q))


def backward(w, b, p, q, X=X, y=y):
    dq = -(y / q - (1 - y) / (1 - q)) / len(y)
    dz = dq * q * (1 - q)
    dw = X.T @ dz
    db = dz.sum()
    return dw, db
"""


@pytest.mark.parametrize("scale", [1.0, 6.0, 40.0])
@pytest.mark.parametrize(
    "mistake", ["", "dq * q", "dz * 0.999", "X.T @ dz * (1 + 1e-5)", "-dz.sum()", "dz.sum() + 1e-4 * b"]
)
def test_a_chain_through_clipped_values_is_right_up_to_the_clip(mistake: str, scale: float) -> None:
    rng = np.random.default_rng(1)
    X, y, w = rng.normal(size=(9, 3)), np.arange(9) % 2 * 1.0, rng.normal(size=3) * scale
    lines = {"dq * q": "dq * q * (1 - q)", "dz * 0.999": "dz\n", "X.T @ dz * (1 + 1e-5)": "X.T @ dz\n"}
    text = CLIPPED.replace(lines.get(mistake, "dz.sum()\n"), f"{mistake}\n", 1) if mistake else CLIPPED
    forward, backward = (written(text, name, X=X, y=y) for name in ("forward", "backward"))
    report = compare_steps(forward, backward, (w, 0.3))
    assert report.ok == (not mistake), str(report)
    assert mistake or not report.kinds or report.kinds == ("convention",)


CUT_OFF = """
def forward(w):
    z = X @ w
    p = 1 / (1 + np.exp(-z))
    q = np.clip(p, 1e-7, 1 - 1e-7)
    return -np.mean(y * np.log(q) + (1 - y) * np.log(1 - q))


def backward(w):
    p = 1 / (1 + np.exp(-(X @ w)))
    q = np.clip(p, 1e-7, 1 - 1e-7)
    dq = (-y / q + (1 - y) / (1 - q)) / len(y)
    dz = dq * q * (1 - q)
    dw = X.T @ dz
    return dw
"""
WAYS = {  # what is written otherwise, which is right up to the clip
    "q": {},
    "slope at p": {"dq * q * (1 - q)": "dq * p * (1 - p)"},
    "dp": {"dq": "dp", "* q * (1 - q)": "* p * (1 - p)"},
    "p": {"dq": "dp", "q": "p"},
    "p, two lines": {" / len(y)\n": "\n    dq = dq / len(y)\n", "dq": "dp", "q": "p"},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scale", [1.0, 20.0])
@pytest.mark.parametrize(("right", "wrong", "kind"), [
    ("", "", ""), (r"\(-y", "(y", "sign"), (r"len\(y\)\n", r"len(y) * 2\n", "scale"),
    (r"\(1 - (.)\)\n    dw", r"(1 + \1)\n    dw", "wrong_derivative or sign"),
])  # fmt: skip
def test_what_a_clip_cuts_off_is_no_mistake_of_a_later_line(
    way: str, scale: float, right: str, wrong: str, kind: str
) -> None:
    text = CUT_OFF
    for old, new in WAYS[way].items():
        text = text.replace(old, new)
    text = re.sub(right, wrong, text) if kind else text
    rng = np.random.default_rng(0)
    space = {"X": rng.normal(size=(7, 3))}
    w, space["y"] = rng.normal(size=3) * scale, (rng.random(7) > 0.5) * 1.0
    forward, backward = (written(text, name, **space) for name in ("forward", "backward"))

    for report in (compare_steps(forward, backward, w), compare_gradients(forward, w, manual=backward)):
        assert report.ok == (not kind), str(report)
        found = [d.kind for d in report.diagnoses if not d.harmless]
        assert len(found) == bool(kind), str(report)
        assert all(k in kind for k in found), str(report)
        blamed = [] if not kind else ["dz"] if " or " in kind else ["dq" if "dq = " in text else "dp"]
        assert [step.name for step in report.steps if step.verdict == "WRONG"] == (blamed if report.steps else [])


EXTRA = """
def forward(w, b):
    z = X @ w + b
    p = ACTIVATION
    return LOSS


def backward(w, b):
    z = X @ w + b
    p = ACTIVATION
    dz = RIGHT
    dw = X.T @ dz
    db = dz.sum(axis=0)
    return dw, db
"""
SIGMOID, SOFTMAX = "1 / (1 + np.exp(-z))", "np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)"
BINARY = "-np.mean(np.sum(y * np.log(pGUARD) + (1 - y) * np.log(1 - pGUARD), axis=1))"


@pytest.mark.parametrize("guard", ["", " + 1e-8"])
@pytest.mark.parametrize(("activation", "loss"), [(SIGMOID, BINARY), (SOFTMAX, "-np.sum(y * np.log(pGUARD)) / len(y)")])
@pytest.mark.parametrize("extra", [" * p * (1 - p)", " * (p * (1 - p))", " * (1 - p) * p"])
def test_a_derivative_that_the_loss_has_undone_is_found(extra: str, activation: str, loss: str, guard: str) -> None:
    rng = np.random.default_rng(4)
    space = {"X": rng.normal(size=(6, 4)), "y": np.eye(3)[[0, 2, 1, 1, 0, 2]]}
    text = EXTRA.replace("ACTIVATION", activation).replace("LOSS", loss).replace("GUARD", guard)
    text = text.replace("RIGHT", f"(p - y){extra} / len(y)")
    forward, backward = (written(text, name, **space) for name in ("forward", "backward"))
    inputs = rng.normal(size=(4, 3)), rng.normal(size=3)

    for report in (compare_gradients(forward, inputs, manual=backward), compare_steps(forward, backward, inputs)):
        said = " ".join(text for d in report.diagnoses for text in (d.text, *d.evidence))
        assert "write dz = (p - y) / len(y) instead of " in said, str(report)
        assert "multiplied by 0" not in said


def test_a_clip_at_inputs_where_all_digits_are_known() -> None:
    text = CLIPPED.replace("+ b\n", "\n").replace("(w, b, ", "(w, ").replace("dw, db", "dw")
    text = text.replace("    db = dz.sum()\n", "")
    X, y = np.array([[1.0, 2.0], [3.0, -1.0], [2.0, 2.0]]), np.array([1.0, 1.0, 0.0])
    for mistake, ok in (("", True), (" * (1 + 1e-5)", False)):
        changed = text.replace("dw = X.T @ dz", f"dw = X.T @ dz{mistake}")
        forward, backward = (written(changed, name, X=X, y=y) for name in ("forward", "backward"))
        report = compare_steps(forward, backward, (np.array([-20.0, 5.0]),))
        assert report.ok is ok, str(report)
        assert not ok or report.kinds == ("convention",)


def test_no_mistake_times_0_explains_a_gradient() -> None:
    rng = np.random.default_rng(0)
    X, w, y = rng.normal(size=(7, 3)), rng.normal(size=3), (rng.random(7) > 0.5) * 1.0
    text = EXTRA.replace("ACTIVATION", SIGMOID).replace("RIGHT", "(p - y) * p * (1 - p) / len(y)")
    text = text.replace("LOSS", "-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))")
    forward = written(text, "forward", X=X, y=y)
    space: dict[str, Any] = {"np": np, "X": X, "y": y}
    exec(text, space)  # without a source, no edit of a line is found
    report = compare_gradients(forward, (w, 0.3), manual=space["backward"])
    assert not report.ok
    assert "multiplied by 0" not in str(report)


def test_a_mistake_beside_a_constant_is_told_with_its_line() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(6, 4)), rng.integers(0, 2, size=(6, 1)).astype(float)
    inputs = {"W": rng.normal(size=(4, 3)), "v": rng.normal(size=(3, 1))}

    def loss(W: Any, v: Any) -> Any:
        h = np.maximum(x @ W, 0)
        p = 1 / (1 + np.exp(-(h @ v)))
        return -(y * np.log(p + 1e-8) + (1 - y) * np.log(1 - p + 1e-8)).mean()

    def by_hand(W: Any, v: Any) -> Any:
        h = np.maximum(x @ W, 0)
        dz = (1 / (1 + np.exp(-(h @ v))) - y) / len(x)
        return x.T @ (dz @ v.T), h.T @ dz

    (mistake, *others) = compare_gradients(loss, inputs, manual=by_hand).diagnoses
    assert mistake.where.startswith("maximum in `h = np.maximum(x @ W, 0)`, line ")
    assert {d.kind for d in others} <= {"convention"}
