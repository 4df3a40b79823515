"""The parts of the comparison of functions: what is recognised in a graph, multiples, shapes, what needs no search."""

from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import compare_gradients
from tinygrad_nn.compare.function.composed import (
    _all_paths,
    _functions,
    _norms,
    _sources,
    collapse_functions,
    find_known_functions,
)
from tinygrad_nn.compare.function.operations import only_shape_diagnosis
from tinygrad_nn.compare.function.search import _are_multiples, _random_direction
from tinygrad_nn.compare.paths import gradients, traced

Array = Any
R = np.random.default_rng(5)
X = R.normal(size=(3, 4))


# ---- Functions recognised by their numbers


def soft(x: Any, axis: int) -> Any:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


@pytest.mark.parametrize(
    ("end", "out", "names"),
    [
        ("divide", 1 / (1 + np.exp(-X)), ["sigmoid"]), ("divide", np.tanh(X), ["tanh"]),
        ("subtract", np.tanh(X), ["tanh"]),
        ("multiply", np.tanh(X), []), ("log", np.log1p(np.exp(X)), ["softplus"]),
        ("add", np.log1p(np.exp(X)), ["softplus"]),
        ("divide", np.log1p(np.exp(X)), []), ("multiply", np.maximum(X, 0), ["relu"]),
        ("where", np.maximum(X, 0), ["relu"]),
        ("divide", np.maximum(X, 0), []), ("divide", soft(X, 0), ["softmax 0"]), ("divide", soft(X, 1), ["softmax 1"]),
        ("subtract", np.log(soft(X, 1)), ["log_softmax 1"]), ("log", np.log(soft(X, 0)), ["log_softmax 0"]),
        ("divide", np.log(soft(X, 0)), []), ("divide", 1 / (1 + np.exp(X)), []),
        ("divide", np.tanh(X) * (1 + 1e-6), []),
        ("subtract", X, []),
    ],
)  # fmt: skip
def test_the_function_that_one_array_is_of_another(end: str, out: Array, names: list[str]) -> None:
    found = list(_functions(end, X, out))
    assert [f"{name} {options['axis']}" if "axis" in options else name for name, options in found] == names
    assert not list(_functions(end, X.astype(int), out))
    assert not list(_functions(end, X * np.nan, out))
    assert not list(_functions("divide", np.ones(1), np.tanh(np.ones(1))))


@pytest.mark.parametrize(
    ("shape", "axes", "eps"),
    [((3, 4), (0,), 1e-5), ((3, 4), (1,), 0.0), ((3, 4), (0, 1), 0.1), ((2, 3, 4), (0, 2), 1e-3), ((2, 3, 4),
    (1, 2), 1e-8),
     ((2, 3, 4), (0,), 0.25), ((5,), (0,), 1e-5), ((2, 3, 2, 2), (0, 2, 3), 1e-5)],
)  # fmt: skip
def test_the_norm_that_one_array_is_of_another(shape: Any, axes: Any, eps: float) -> None:
    x = R.normal(size=shape) + 1
    mean, var = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
    out = (x - mean) / np.sqrt(var + eps)
    assert list(_norms(x, out)) == [("standardize", {"axis": axes, "eps": eps})]
    assert not list(_norms(x, 0 * out))
    assert not list(_norms(x, out + 1))
    assert not list(_norms(x, np.sin(out)))
    assert not list(_norms(x, (x - mean) / np.sqrt(var * 0.5)))  # a negative epsilon


@pytest.mark.parametrize(
    ("f", "names"),
    [
        (lambda x: (1 / (1 + np.exp(-x)) * X).sum(), ["sigmoid"]), (lambda x: soft(x, 1) * X, ["softmax"]),
        (lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x)) * 2, ["tanh"]), (lambda x: np.sin(x) * 2, []),
        (lambda x: (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5) * 3, ["standardize"]),
        (lambda x: x * (x > 0) + 1, ["relu"]),
        (lambda x: soft(soft(x, 1), 0), ["softmax", "softmax"]),
    ],
)  # fmt: skip
def test_a_recognized_function_has_the_gradient_of_its_operations(f: Any, names: list[str]) -> None:
    x = tg.Tensor(X)
    out = f(x)
    g = np.cos(np.arange(out.size)).reshape(out.shape)
    graph = traced([(out.node, g)], [x.node])
    known = find_known_functions(graph)
    small = collapse_functions(graph, known)
    there = {node.primitive.name for node in graph.operations}
    assert [node.primitive.name for node in small.operations if node.primitive.name not in there] == names
    assert len(known) == len(names)
    np.testing.assert_allclose(gradients(small)[0], gradients(graph)[0], rtol=1e-8, atol=1e-9)


def test_values_that_all_paths_from_an_operation_lead_to() -> None:
    x = tg.Tensor(X)
    a = np.exp(x)
    b = a * 2 + np.sin(a)
    other = b + tg.Tensor(X) * 1.0
    assert list(_sources(b.node)) == [a.node, x.node]
    assert _all_paths(b.node, a.node)
    assert _all_paths(b.node, x.node)
    assert not _all_paths(other.node, a.node)
    assert not _all_paths((b + x).node, a.node)
    assert _all_paths((b + x).node, x.node)


# ---- Multiples


def test_rows_that_are_multiples_of_the_expected_array() -> None:
    goal = np.array([2.0, -4.0, 6.0])
    seen = np.array([[1.0, -2, 3], [-1, 2, -3], [1, -2, 3.1], [0, 0, 0], [2, -4, 6], [1, 2, 3], [0, 0, 1]])
    with np.errstate(all="ignore"):
        exact = _are_multiples(goal, seen, np.full(3, 1e-9))
        loose = _are_multiples(goal, seen, np.full(3, 0.2))
    assert exact.tolist() == [True, True, False, False, True, False, False]
    assert loose.tolist() == [True, True, True, False, True, False, False]


def test_a_direction_has_the_size_of_its_input() -> None:
    for x, size in ((np.array([5.0, 0]), 5.0), (np.zeros(2), 1e-3), (np.zeros(0), 1e-3)):
        v = _random_direction(x, np.random.default_rng(0))
        np.testing.assert_allclose(v, np.random.default_rng(0).normal(size=x.shape) * size, rtol=1e-14)


# ---- Shapes


@pytest.mark.parametrize(
    ("got", "shape", "kind"),
    [((1, 3), (3,), "convention"), ((3,), (1, 3), "convention"), ((1, 1, 3), (3,), "convention"), ((3, 1),
    (3,), "wrong_shape"),
     ((3,), (3, 1), "wrong_shape"), ((6,), (2, 3), "wrong_shape"), ((), (1,), "convention"), ((2, 3),
     (3, 2), "wrong_shape"),
     ((1, 2, 3), (2, 3), "convention")],
)  # fmt: skip
def test_another_shape_is_harmless_if_only_leading_axes_of_length_1_differ(got: Any, shape: Any, kind: str) -> None:
    found = only_shape_diagnosis("x", got, shape)
    assert (found.kind, found.where) == (kind, "x")
    assert f"the shape is {got} and should be {shape}" in found.text
    assert (f"Write .reshape({shape})" in found.text) is (kind == "wrong_shape")


W, B = R.normal(size=(4, 4)), R.normal(size=4)


def forward(x: Any, w: Any, b: Any) -> Any:
    return np.tanh(x @ w + b)


# what is returned in the place of (dx, dw, db); ok, kind, where, a part of the text
RETURNED: dict[str, tuple[Any, bool, str, str, str]] = {
    "transposed square": (lambda x, w, b, d: (x, w.T, b), False, "transpose", "w", "The gradient is transposed."),
    "transposed": (lambda x, w, b, d: (x.T, w, b), False, "transpose", "x", "it needs the shape of its input"),
    "not summed": (lambda x, w, b, d: (x, w, d), False, "broadcast_not_summed", "b", "That sum is missing."),
    "summed over the other axis": (lambda x, w, b, d: (x, w, d.sum(1)), False, "wrong_axis_sum", "b",
    "axis 1, the wrong one"),
    "flat": (lambda x, w, b, d: (x, w.ravel(), b), False, "wrong_shape", "w", "Write .reshape((4, 4))"),
    "an axis kept": (lambda x, w, b, d: (x, w, b[None]), True, "convention", "b", "an axis was kept or dropped"),
    "NaN": (lambda x, w, b, d: (x, w * np.nan, b), False, "unknown", "w", "NaN and infinity come from 0/0"),
    "float32": (lambda x, w, b, d: (x, w.astype(np.float32), b), True, "rounding", "w", "computed in float32"),
    "a penalty": (lambda x, w, b, d: (x, w + 0.25 * W, b), False, "extra_penalty", "w", ("plus 1/4 w, like the "
                                                                                         "gradient of a penalty")),
    "another shape": (lambda x, w, b, d: (x, w[:2, :3], b), False, "unknown", "w", "it needs the shape of its input"),
    "the sign": (lambda x, w, b, d: (x, w, -b), False, "sign", "b", "wrong sign"),
}  # fmt: skip


@pytest.mark.parametrize("name", RETURNED)
def test_mistakes_outside_of_any_operation_are_reported_first(name: str) -> None:
    change, ok, kind, where, text = RETURNED[name]

    def backward(x: Array, w: Array, b: Array, g: Array) -> Any:
        d = g * (1 - np.tanh(x @ w + b) ** 2)
        return change(d @ w.T, x.T @ d, d.sum(axis=0), d)

    manual = eval("lambda x, w, b, g: backward(x, w, b, g)", {"backward": backward})
    report = compare_gradients(forward, {"x": X, "w": W, "b": B}, manual=manual)
    assert report.ok is ok, str(report)
    (found,) = report.diagnoses
    assert (found.kind, found.where) == (kind, where), str(report)
    assert text in found.text
    equations = {"transposed square": r"\bar W = g^T x", "transposed": r"\bar x", "the sign": r"\bar x = J^T g",
                 "not summed": r"\bar b = \sum_n g_n"}  # fmt: skip
    assert (found.equation, found.number) == (equations.get(name, ""), "")


def test_the_conjugate_is_a_convention() -> None:
    z = R.normal(size=3) + 1j * R.normal(size=3)
    report = compare_gradients(lambda z: (np.abs(z) ** 2).sum(), z, manual=lambda z: 2 * np.conj(z))
    assert report.ok
    assert report.kinds == ("convention",)
    assert "complex conjugate" in report.diagnoses[0].text
