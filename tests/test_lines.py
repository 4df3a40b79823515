"""The line in a report: of functions, classes and networks, with the change that makes it right."""

from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tests.test_source import Judge, written
from tests.wrong_lines import text_of
from tinygrad_nn import Layer, Solver, compare_gradients
from tinygrad_nn.compare.function import locations
from tinygrad_nn.compare.paths import traced

Array = Any
R = np.random.default_rng(0)


class Affine:
    def __init__(self, W: Array, b: Array) -> None:
        self.W, self.b = W, b

    def forward(self, x: Array) -> Array:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Array) -> Array:
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        return dout @ self.W.T


class Halved(Affine):
    def backward(self, dout: Array) -> Array:
        self.dW = self.x.T @ dout / len(self.x)
        self.db = dout.sum(axis=0)
        return dout @ self.W.T


class Tanh:
    def forward(self, x: Array) -> Array:
        self.out = np.tanh(x)
        return self.out

    def backward(self, dout: Array) -> Array:
        return dout * (1 - self.out)


class Net:
    def __init__(self, *layers: Any) -> None:
        self.layers = layers

    def forward(self, x: Array) -> Array:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dout: Array) -> Array:
        for layer in self.layers[::-1]:
            dout = layer.backward(dout)
        return dout


class Product:
    @staticmethod
    def forward(ctx: Any, a: Array, b: Array) -> Array:
        ctx.save_for_backward(a, b)
        return a * b

    @staticmethod
    def backward(ctx: Any, d: Array) -> Any:
        a, b = ctx.saved_values  # noqa: RUF059 - that b is not used is the mistake
        return d * a, d * a


def loss(W: Array, X: Array, y: Array) -> Any:
    s = X @ W
    e = np.exp(s - s.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    N = len(X)
    value = -np.log(p[np.arange(N), y]).mean()
    d = p.copy()
    d[np.arange(N), y] -= 1
    dW = X.T @ d
    return value, dW


class Dropout:
    def __init__(self, p: float) -> None:
        self.p = p

    def forward(self, x: Array) -> Array:
        self.mask = np.random.rand(*x.shape) > self.p  # noqa: NPY002
        return x * self.mask / (1 - self.p)

    def backward(self, dout: Array) -> Array:
        return dout * self.mask


def tanh_slope(x: Array) -> Any:
    e = np.exp(2 * x)
    y = (e - 1) / (e + 1)
    dx = 1 - y
    return y.sum(), dx


def halved_twice(x: Array, W: Array, V: Array) -> Any:
    N = len(x)
    h = np.tanh(x @ W)
    d = 2 * (h @ V) / N
    dV = h.T @ d / N
    dz = d @ V.T * (1 - h**2)
    dW = x.T @ dz / N
    return ((h @ V) ** 2).sum() / N, {"x": dz @ W.T, "W": dW, "V": dV}


def distance(X: Array, w: Array, b: Array, y: Array) -> Any:
    error = X @ w + b - y
    gradients = {"w": 2 / len(y) * X.T @ error.sum(axis=1, keepdims=True), "b": np.array([2 / len(y) * error.sum()])}
    return ((X @ w + b)[:, 0] - y) @ ((X @ w + b)[:, 0] - y) / len(y), gradients


def clipped(x: Array, w: Array) -> Any:
    dx, dw = 10 * w * np.cos(x), 10 * np.sin(x)
    for d in (dx, dw):
        np.clip(d, -0.5, 0.5, out=d)
    return 10 * np.sin(x) @ w, dx, dw


def cut_off(x: Array, w: Array) -> Any:
    dw = np.zeros(w.shape, dtype=int)
    for i in range(len(w)):
        dw[i] = x[i] ** 2 * w[i]
    return ((x * w) ** 2).sum() / 2, x * w**2, dw


def carried(x: Array, h: Array, w: Array) -> Any:
    hs = [h]
    for t in range(len(x)):
        hs.append(np.tanh(x[t] + w * hs[-1]))
    dx, dw, dnext = np.zeros_like(x), np.zeros_like(w), np.zeros_like(h)
    for t in reversed(range(len(x))):
        dz = (t == len(x) - 1) * np.ones_like(h) * (1 - hs[t + 1] ** 2)
        dx[t], dnext = dz, dz * w
        dw += dz * hs[t]
    return hs[-1].sum(), dx, dnext, dw


def said(report: Any) -> str:
    return " ".join(f"{d.text} {' '.join(d.evidence)}" for d in report.diagnoses)


@pytest.mark.parametrize(("code", "inputs", "after"), [
    (Halved(R.normal(size=(4, 3)), R.normal(size=3)), (R.normal(size=(5, 4)),),
     "self.dW = self.x.T @ dout instead of "),
    (Net(Affine(R.normal(size=(4, 3)), R.normal(size=3)), Tanh()), (R.normal(size=(5, 4)),),
     "return dout * (1 - self.out ** 2) instead of "),
    (Product, (R.normal(size=(5, 4)), R.normal(size=(5, 4))), "return d * b, d * a instead of "),
    (loss, (R.normal(size=(4, 3)), R.normal(size=(6, 4)), R.integers(0, 3, 6)), "dW = X.T @ d / N instead of "),
    (Dropout(0.3), R.normal(size=(4, 5)), "return dout * self.mask / (1 - self.p) instead of "),
    (tanh_slope, R.normal(size=4), "dx = 1 - y ** 2 instead of "),
], ids=["a layer", "a layer of a network", "a function with a context", "a gradient beside the loss", "a dropout",
        "the shorter of two"])  # fmt: skip
def test_the_line_is_found_however_the_code_is_called(code: Any, inputs: Any, after: str) -> None:
    before = vars(Tanh)["backward"], vars(Product)["backward"]
    report = compare_gradients(code, inputs)
    assert not report.ok
    assert after in said(report)
    assert (vars(Tanh)["backward"], vars(Product)["backward"]) == before


ONE = R.normal(size=4), R.normal(size=4)
SEQUENCE = R.normal(size=(3, 4)), *ONE


@pytest.mark.parametrize(("code", "inputs", "kind", "change"), [
    (distance, (R.normal(size=(6, 3)), R.normal(size=(3, 1)), R.normal(size=1), R.normal(size=6)), "wrong_axis",
     "write error = X @ w + b - y[:, None] instead of "),
    (clipped, ONE, "edit", "remove np.clip(d, -0.5, 0.5, out=d)."),
    (cut_off, (9 * ONE[0], 9 * ONE[1]), "edit", "write dw = np.zeros(w.shape) instead of "),
    (carried, SEQUENCE, "not_carried_back", " + dnext) * (1 - hs[t + 1] ** 2) instead of "),
])  # fmt: skip
def test_one_change_of_one_line_is_said_once(code: Any, inputs: Any, kind: str, change: str) -> None:
    report = compare_gradients(code, inputs)
    (d,) = report.diagnoses
    assert d.kind == kind
    assert said(report).count(change) == 1
    assert "the same would come from" not in " ".join(d.evidence)


def test_each_of_the_lines_that_one_factor_comes_from_is_said_and_nothing_that_undoes_it() -> None:
    (d,) = compare_gradients(halved_twice, tuple(R.normal(size=s) for s in ((6, 4), (4, 5), (5, 3)))).diagnoses
    assert (d.kind, d.where) == ("scale", "W, V")
    assert {text.partition(": ")[2].partition(" instead")[0] for text in d.evidence if text.startswith("Line")} == {
        "write dV = h.T @ d", "write dW = x.T @ dz"}  # fmt: skip
    assert "the same would come from" not in " ".join(d.evidence)


@pytest.mark.parametrize(("name", "right", "wrong", "kind"), [
    ("affine", "db = np.sum(dout, axis=0)", "db = dout", "broadcast_not_summed"),
    ("affine", "db = np.sum(dout, axis=0)", "db = np.sum(dout, axis=1)", "wrong_axis_sum"),
    ("affine", "return dx, dw, db", "return dx, dw.T, db", "transpose"),
    ("affine", "dw = np.dot(flat.T, dout)", "dw = np.dot(flat.T, dout) / N", "scale"),
    ("quotient", "db = -g * a / b**2", "db = g * a / b**2", "sign"),
    ("quotient", "db = -g * a / b**2", "db = -g * a / b**3", "wrong_derivative"),
    ("embedding", "np.add.at(dW, x, dout)", "dW[x] = dout", "overwritten_not_accumulated"),
    ("dropout and sigmoid", "ds = g * mask", "ds = g", "mask_missing"),
    ("two layers", "dW1 = x.T @ dz", "dW1 = x.T @ dh", "wrong_value"),
    ("softmax", "return p * (g - inner)", "return p * g", "edit|product_rule_half|softmax_diagonal_only"),
    ("rnn", "dht = dh[t] + dnext", "dht = dh[t]", "not_carried_back"),
    ("lstm step", "da = np.hstack((dai, daf, dao, dag))", "da = np.hstack((dai, dao, daf, dag))", "wrong_order"),
])  # fmt: skip
def test_the_sort_of_mistake_is_read_from_the_change(name: str, right: str, wrong: str, kind: str) -> None:
    (found,) = Judge(name).search(written(text_of(name, right, wrong)[0]))
    assert found.kind in kind.split("|"), found


MODEL = [Layer(4, 5, "tanh", "n", rng=R), Layer(5, 3, "softmax", "n", rng=R)]
BATCH = R.normal(size=(8, 4)), np.eye(3)[R.integers(0, 3, 8)]


def of_layers(model: Any, data_cache: Any, data_out: Array, *, solver: Any) -> Any:
    x, _, a, _ = data_cache
    n = len(x)
    loss = -(data_out * np.log(a[1])).sum() / n
    d2 = (a[1] - data_out) / n
    d1 = d2 @ model[1].W.data * (1 - a[0] ** 2)
    return loss, [d1.T @ x, d2.T @ a[0]], [d1.sum(axis=0), d2.sum(axis=0)]


def a_square_too_many(model: Any, data_cache: Any, data_out: Array, *, solver: Any) -> Any:
    x, _, a, _ = data_cache
    n = len(x)
    loss = -(data_out * np.log(a[1])).sum() / n
    d2 = (a[1] - data_out) / n
    d1 = d2 @ model[1].W.data * (1 - a[0] ** 2) ** 2
    return loss, [d1.T @ x, d2.T @ a[0]], [d1.sum(axis=0), d2.sum(axis=0)]


def not_divided(model: Any, data_cache: Any, data_out: Array, *, solver: Any) -> Any:
    x, _, a, _ = data_cache
    loss = -(data_out * np.log(a[1])).sum() / len(x)
    d2 = a[1] - data_out
    d1 = d2 @ model[1].W.data * (1 - a[0] ** 2)
    return loss, [d1.T @ x, d2.T @ a[0]], [d1.sum(axis=0), d2.sum(axis=0)]


@pytest.mark.parametrize(("backward", "kind", "said"), [
    (a_square_too_many, "wrong_derivative", "write d1 = d2 @ model[1].W.data * (1 - a[0] ** 2) instead of "),
    (not_divided, "scale", "d2 = (a[1] - data_out) / len("),
])  # fmt: skip
def test_the_wrong_line_of_a_backward_of_layers_is_corrected(backward: Any, kind: str, said: str) -> None:
    report = compare_gradients(MODEL, *BATCH, solver=Solver("crossentropy"), manual=backward)
    (d,) = report.diagnoses
    assert d.kind == kind
    assert any(said in text for text in (d.text, *d.evidence)), d
    assert compare_gradients(MODEL, *BATCH, solver=Solver("crossentropy"), manual=of_layers).ok


def test_a_function_in_a_page_has_a_source(tmp_path: Any) -> None:
    page = tmp_path / "page.md"
    text = "# Not Python\n\n```python\ndef back(x):\n    return x * 3\n```\n\n1. and a list\n"
    page.write_text(text)
    space: dict[str, Any] = {}
    exec(compile("\n\n\n" + "def back(x):\n    return x * 3\n", str(page), "exec"), space)
    report = compare_gradients(lambda x: (x * x).sum(), R.normal(size=4), manual=space["back"])
    assert any("line 5" in f"{d.where} {d.text} {' '.join(d.evidence)}".lower() for d in report.diagnoses), report


# ---- Places of operations


@pytest.mark.parametrize(
    ("line", "left", "name"),
    [
        ("y = a * b", 4, "y"), ("    self.y = a * b", 13, "self.y"), ("y += a * b", 5, "y"), ("y **= a", 6, "y"),
        ("y = 2 * a * b", 8, ""), ("return a * b", 7, ""), ("f(a * b)", 2, ""), ("x, y = a * b", 7, "x, y"),
        ("if a == b * c", 8, ""), ("é = a * b", 5, "é"), ("h[0] = a", 7, "h[0]"),
        ("x = a; y = a * b", 11, "y"),
    ],
)  # fmt: skip
def test_the_variable_that_a_whole_expression_is_assigned_to(line: str, left: int, name: str) -> None:
    assert locations._target(line, left, len(line.encode())) == name
    assert locations._target(f"{line} + c", left, len(line.encode())) == ""  # the variable holds the sum
    assert locations._target(f"{line}  # why", left, len(line.encode())) == name


def test_operations_are_named_by_their_line_or_by_their_number() -> None:
    x = tg.Tensor([1.0, 2.0])
    y = np.exp(x)
    z = np.sin(y)
    bare = traced([(z.node, np.ones(2))], [x.node])
    assert locations.call_sites(bare) == {0: (), 1: ()}
    assert [locations.line_of(node) for node in bare.operations] == [None, None]
    assert [locations.describe_operation(bare, k) for k in (0, 1)] == ["sin, operation 2 of 2", "exp, operation 1 of 2"]
    locations.name_values(bare)
    assert z.node.notes is None

    f = written(
        "def f(x):\n    h = np.exp(x)\n    out = np.sin(\n        h) * 2\n    return inner(out)\n\n\n"
        f"def inner(out):\n    return out + '{'a' * 60}'.count('a') * 1.0\n", "f",
    )  # fmt: skip
    with locations.recording_locations():
        out = f(x)
    graph = traced([(out.node, np.ones(2))], [x.node])
    sites = locations.call_sites(graph)
    assert [[len(site) for site in sites[k]] for k in range(4)] == [[*range(1, locations.DEEP + 1)]] * 4
    assert [[code.co_name for code, _ in sites[k][1]] for k in (0, 1)] == [
        ["inner", "f"], ["f", "test_operations_are_named_by_their_line_or_by_their_number"],
    ]  # fmt: skip
    found = [(line.line, line.text, line.name) for line in map(locations.line_of, graph.operations) if line]
    assert found[1:] == [(3, "np.sin(h) * 2", ""), (3, "np.sin(h)", ""), (2, "np.exp(x)", "h")]
    said = [locations.describe_operation(graph, k, times) for k, times in ((0, 1), (1, 1), (3, 1), (3, 2))]
    assert said[0].startswith("add in `out + 'aaa")
    assert said[0].endswith("...`, line 9")
    assert len(said[0]) == len("add in ``, line 9") + locations.LONG
    assert said[1:] == ["multiply in `np.sin(h) * 2`, line 3", "exp in `h = np.exp(x)`, line 2",
                        "exp in `h = np.exp(x)`, line 2, in each of 2 runs"]  # fmt: skip
    locations.name_values(graph)
    assert [(node.notes or {}).get("name") for node in graph.operations] == [None, None, None, "h"]
