"""An edit that `compare_gradients` names is right for other numbers of rows, columns, heads, and other constants."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.test_edit_parts import written
from tinygrad_nn import compare_gradients
from tinygrad_nn.compare.conventions.code import Code
from tinygrad_nn.compare.function.calling import make_inputs
from tinygrad_nn.compare.function.lines import _with_other_constants, _with_other_sizes

NORMAL = np.random.default_rng(0).normal

MIXTURE = """
import numpy as np
def forward(X, mu, logs):
    D = X.shape[1]
    d2 = ((X[:, None] - mu) ** 2).sum(-1)
    return -np.log(np.exp(-D * logs - 0.5 * d2 * np.exp(-2 * logs)).sum(1)).sum()
def backward(X, mu, logs):
    D = X.shape[1]
    s2 = np.exp(2 * logs)
    diff = X[:, None] - mu
    d2 = (diff ** 2).sum(-1)
    w = np.exp(-0.5 * d2 / s2) / s2 ** (D / 2)
    gam = w / w.sum(1, keepdims=True)
    dmu = -(gam[:, :, None] * diff).sum(0) / s2[:, None]
    Nk = gam.sum(0)
    dlogs = D * Nk - (gam * d2).sum(0) / s2
    return (gam[:, :, None] * diff / s2[:, None]).sum(1), dmu, dlogs
"""
CONTRAST = """
import numpy as np
def forward(u, v, tau):
    s = u @ v.T / tau
    return -np.mean(np.diag(s - np.log(np.exp(s).sum(1, keepdims=True))))
def backward(u, v, tau):
    e = np.exp(u @ v.T / tau)
    ds = (e / e.sum(1, keepdims=True) - np.eye(len(u))) / len(u)
    du = ds @ v / tau
    dv = ds.T @ u / tau
    return du, dv
"""
HEADS = """
import numpy as np
def forward(X, Wq, Wk, h):
    T, D = X.shape
    d = D // h
    Q = (X @ Wq).reshape(T, h, d).transpose(1, 0, 2)
    K = (X @ Wk).reshape(T, h, d).transpose(1, 0, 2)
    S = Q @ K.transpose(0, 2, 1) / np.sqrt(d)
    return np.tanh(S), (X, Wq, Wk, Q, K, S)
def backward(dout, cache):
    X, Wq, Wk, Q, K, S = cache
    h, T, d = Q.shape
    D = h * d
    dS = dout * (1 - np.tanh(S) ** 2)
    dQ = dS @ K / np.sqrt(d)
    dK = dS.transpose(0, 2, 1) @ Q / np.sqrt(d)
    dQ, dK = dQ.transpose(1, 0, 2).reshape(T, D), dK.transpose(1, 0, 2).reshape(T, D)
    return dQ @ Wq.T + dK @ Wk.T, X.T @ dQ, X.T @ dK
"""
WINDOWS = """
import numpy as np
def forward(x, W):
    k = W.shape[-1]
    oh, ow = x.shape[2] - k + 1, x.shape[3] - k + 1
    cols = np.stack([x[:, :, i:i+oh, j:j+ow] for i in range(k) for j in range(k)], axis=2)
    cols = cols.reshape(len(x), -1, oh * ow)
    return np.maximum(W.reshape(len(W), -1) @ cols, 0), (x.shape, cols, W)
def backward(dout, cache):
    shape, cols, W = cache
    N, C, H, V = shape
    F, C, k, _ = W.shape
    oh, ow = H - k + 1, V - k + 1
    dz = dout * (W.reshape(F, -1) @ cols > 0)
    dW = np.einsum('nfl,ncl->fc', dz, cols).reshape(W.shape)
    dcols = W.reshape(F, -1).T @ dz
    dcols = dcols.reshape(N, C, k, k, oh, ow)
    dx = np.zeros(shape)
    for i in range(k):
        for j in range(k):
            dx[:, :, i:i+oh, j:j+ow] += dcols[:, :, i, j]
    return dx, dW
"""
NETWORK = """
import numpy as np
def f(X, Y, W1, b1, W2, b2, W3, b3, lambd):
    m = X.shape[1]
    keep_prob = 0.8
    np.random.seed(1)
    Z1 = W1 @ X + b1
    A1 = np.maximum(0, Z1)
    D1 = np.random.rand(A1.shape[0], A1.shape[1]) < keep_prob
    A1 = A1 * D1 / keep_prob
    Z2 = W2 @ A1 + b2
    A2 = np.tanh(Z2)
    Z3 = W3 @ A2 + b3
    A3 = 1 / (1 + np.exp(-Z3))
    penalty = lambd / (2 * m) * (np.sum(W1 ** 2) + np.sum(W2 ** 2) + np.sum(W3 ** 2))
    cost = -np.mean(Y * np.log(A3) + (1 - Y) * np.log(1 - A3)) + penalty
    dZ3 = A3 - Y
    dW3 = 1. / m * dZ3 @ A2.T + lambd / m * W3
    db3 = 1. / m * np.sum(dZ3, axis=1, keepdims=True)
    dA2 = W3.T @ dZ3
    dZ2 = dA2 * (1 - A2 ** 2)
    dW2 = 1. / m * dZ2 @ A1.T + lambd / m * W2
    db2 = 1. / m * np.sum(dZ2, axis=1, keepdims=True)
    dA1 = W2.T @ dZ2
    dA1 = dA1 * D1 / keep_prob
    dZ1 = np.multiply(dA1, np.int64(A1 > 0))
    dW1 = 1. / m * dZ1 @ X.T + lambd / m * W1
    db1 = 1. / m * np.sum(dZ1, axis=1, keepdims=True)
    return cost, {"dW1": dW1, "db1": db1, "dW2": dW2, "db2": db2, "dW3": dW3, "db3": db3}
"""
LAYERS = tuple(NORMAL(size=shape) for shape in ((5, 4), (5, 1), (3, 5), (3, 1), (1, 3), (1, 1)))
INPUTS = {
    MIXTURE: (NORMAL(size=(6, 2)), NORMAL(size=(3, 2)), 0.5 * NORMAL(size=3)),
    CONTRAST: (NORMAL(size=(5, 3)), NORMAL(size=(5, 3)), 0.5),
    HEADS: (NORMAL(size=(3, 4)), NORMAL(size=(4, 4)), NORMAL(size=(4, 4)), 2),
    WINDOWS: (NORMAL(size=(2, 2, 5, 5)), NORMAL(size=(3, 2, 2, 2))),
    NETWORK: (NORMAL(size=(4, 6)), np.array([[0.0, 1, 0, 0, 1, 1]]), *LAYERS, 0.7),
}


def report_of(text: str, right: str, wrong: str) -> Any:
    assert text.count(right) == 1
    name = "f" if text is NETWORK else "forward"
    space = written(text.replace(right, wrong), name).__globals__
    return compare_gradients(space[name], INPUTS[text], manual=space.get("backward"))


@pytest.mark.parametrize(("text", "right", "wrong", "edits"), [
    (MIXTURE, "dlogs = D * Nk", "dlogs = Nk", ["Nk = gam.sum(0) * D", "dlogs = Nk * D - (gam * d2).sum(0) / s2"]),
    (MIXTURE, "s2 ** (D / 2)", "s2 ** D", ["w = np.exp(-0.5 * d2 / s2) / np.sqrt(s2 ** D)",
                                             "w = np.exp(-0.5 * d2 / s2) / np.sqrt(s2) ** D"]),
    (CONTRAST, "du = ds @ v / tau", "du = ds @ v", ["du = ds @ v / tau", "return du / tau, dv"]),
    (HEADS, "dQ = dS @ K / np.sqrt(d)", "dQ = dS @ K / np.sqrt(D)", ["dQ = dS @ K / np.sqrt(d)"]),
    (NETWORK, "+ lambd / m * W2", "+ lambd * W2", ["dW2 = 1. / m * dZ2 @ A1.T + lambd * W2 / m"]),
    (NETWORK, "dZ3 = A3 - Y", "dZ3 = Y - A3", ["dZ3 = A3 - Y"]),
    (NETWORK, "dA1 * D1 / keep_prob", "dA1 * D1", [
        "dA1 = dA1 * D1 / keep_prob", "dA1 = W2.T @ dZ2 / keep_prob", "dA1 = W2.T / keep_prob @ dZ2"]),
], ids=lambda value: value if isinstance(value, str) and len(value) < 40 else "")  # fmt: skip
def test_the_edit_holds_for_all_sizes(text: str, right: str, wrong: str, edits: list[str]) -> None:
    (diagnosis,) = report_of(text, right, wrong).diagnoses
    sentences = " ".join([diagnosis.text, *diagnosis.evidence])
    assert f"write {edits[0]} instead of" in sentences
    named = sentences.partition("the same would come from ")[2]
    assert [part.partition(": ")[2] for part in named.split(" or from ") if part] == edits[1:]


def test_a_transpose_that_is_right_for_as_many_channels_as_the_window_has_rows_is_not_named() -> None:
    report = report_of(WINDOWS, "dcols.reshape(N, C, k, k, oh, ow)",
                       "dcols.reshape(N, k, k, C, oh, ow).transpose(0, 3, 1, 2, 4, 5)")  # fmt: skip
    assert "swapaxes" not in str(report)
    assert "write dcols = W.transpose(0, 2, 3, 1).reshape(F, -1).T @ dz" in report.diagnoses[0].text


def test_other_sizes_and_constants_of_the_inputs() -> None:
    inputs = make_inputs(["x", "w", "y", "n", "tau"], [np.ones((4, 2)), np.ones((2, 4)), np.arange(4), 4, 0.5])
    inputs = inputs._replace(float_indices=[0, 1])
    code = Code("f", inputs, None, None, False, None)  # type: ignore[arg-type]
    code = Code("f", inputs, lambda given, leaves: leaves[0] @ leaves[1], None, False, None)  # type: ignore[arg-type]
    shapes = [[np.shape(x) for x in one.inputs.leaves[:3]] for one in _with_other_sizes(code)]
    assert shapes == [[(3, 2), (2, 4), (4,)], [(4, 2), (2, 3), (4,)], [(4, 2), (2, 4), (3,)],
                      [(4, 3), (3, 4), (4,)]]  # fmt: skip
    heads = replace(code, inputs=make_inputs(["x"], [np.ones((4, 2))]), run=lambda _, x: x[0].reshape(4, 2, -1))
    assert [np.shape(one.inputs.leaves[0]) for one in _with_other_sizes(heads)] == [(8, 2), (4, 4)]
    (other,) = _with_other_constants(code, np.random.default_rng(0))
    assert other.inputs.leaves[:4] == inputs.leaves[:4]
    assert 0.4 <= other.inputs.leaves[4] <= 0.6
    assert other.inputs.leaves[4] != 0.5
    all_differentiated = Code("f", inputs._replace(float_indices=[0, 1, 4]), None, None, False, None)  # type: ignore[arg-type]
    assert [*_with_other_constants(all_differentiated, np.random.default_rng(0))] == []
