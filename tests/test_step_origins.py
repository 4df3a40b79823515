"""The line that `compare_steps` blames: where a mistake was made, not where its first wrong gradient is assigned."""

from typing import Any

import numpy as np
import pytest

from tests.test_edit_parts import written
from tinygrad_nn import compare_steps

Array = Any
RNG = np.random.default_rng(0)
X, Y, LABELS = RNG.normal(size=(6, 4)), RNG.normal(size=(6, 2)), RNG.integers(0, 3, 6)

SOFTMAX = """def forward(W):
    scores = X @ W
    e = np.exp(scores - scores.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    loss = -np.log(p[np.arange(6), LABELS]).sum() / 6
    return loss


def backward(W, p):
    dscores = np.zeros_like(p)
    dscores[np.arange(6), LABELS] += 1
    dscores = (p - dscores) / 6
    dW = X.T @ dscores
    return dW
"""
OBJECT = """class Grads:
    pass


def forward(W1, W2):
    h = np.tanh(X @ W1)
    out = h @ W2
    return ((out - Y) ** 2).sum()


def backward(W1, W2, h, out):
    g = Grads()
    g.out = 2 * (out - Y)
    g.W2 = h.T @ g.out
    g.h = g.out @ W2.T
    g.W1 = X.T @ (g.h * (1 - h ** 2))
    return g.W1, g.W2
"""
LAYERS = """class Linear:
    def __init__(self, W):
        self.W = W

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, dout):
        return dout @ self.W.T


class Tanh:
    def forward(self, x):
        self.out = np.tanh(x)
        return self.out

    def backward(self, dout):
        return dout * (1 - self.out ** 2)


class Net:
    def __init__(self):
        r = np.random.default_rng(1)
        self.layers = [Linear(r.normal(size=(4, 5))), Tanh(), Linear(r.normal(size=(5, 3))), Tanh()]

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return 0.5 * (x ** 2).sum()

    def backward(self):
        dx = self.layers[-1].out
        for layer in self.layers[::-1]:
            dx = layer.backward(dx)
        return dx


net = Net()
forward, backward = net.forward, net.backward
"""
LOG_SUM_EXP = """def forward(s):
    m = s.max(axis=1, keepdims=True)
    u = s - m
    e = np.exp(u)
    t = e.sum(axis=1)
    return (np.log(t) + m[:, 0] - s[np.arange(6), LABELS]).mean()


def backward(s, m, u, e, t):
    N = len(s)
    dt = 1 / (N * t)
    de = np.tile(dt[:, None], (1, 4))
    du = e * de
    ds = du
    ds[np.arange(N), LABELS] -= 1 / N
    return ds
"""
ATTENTION = """def forward(q, k, v):
    s = q @ k.T / 2
    e = np.exp(s)
    a = e / e.sum(1, keepdims=True)
    o = a @ v
    return (o**2).sum()


def backward(q, k, v, a, o):
    do = 2 * o
    dv = a.T @ do
    da = do @ v.T
    ds = a * (da - (da * a).sum(1, keepdims=True))
    scaled = ds / 2
    dq = scaled @ k
    dk = scaled.T @ q
    return dq, dk, dv
"""
MODULE = """CACHE = {}


def forward(W1, W2):
    z = X @ W1
    h = np.tanh(z)
    out = h @ W2
    CACHE["z"], CACHE["h"], CACHE["out"], CACHE["W2"] = z, h, out, W2
    return ((out - Y) ** 2).sum()


def backward():
    dout = 2 * (CACHE["out"] - Y)
    dW2 = CACHE["h"].T @ dout
    dh = dout @ CACHE["W2"].T
    dz = dh * (1 - CACHE["h"] ** 2)
    dW1 = X.T @ dz
    return dW1, dW2
"""
HELPER = """def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def sigmoid_prime(z):
    return sigmoid(z) * (1 - sigmoid(z))


def forward(W1, W2):
    z1 = X @ W1
    a1 = sigmoid(z1)
    z2 = a1 @ W2
    a2 = sigmoid(z2)
    return 0.5 * ((a2 - Y) ** 2).sum()


def backward(W1, W2, z1, a1, z2, a2):
    delta = (a2 - Y) * sigmoid_prime(z2)
    dW2 = a1.T @ delta
    delta = (delta @ W2.T) * sigmoid_prime(z1)
    dW1 = X.T @ delta
    return dW1, dW2
"""
DOT = """def forward(W):
    scores = X.dot(W)
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return -np.log(p[np.arange(6), LABELS]).sum() / 6


def backward(W, p):
    dscores = p.copy()
    dscores[np.arange(6), LABELS] -= 1
    dscores /= 6
    dW = X.T.dot(dscores)
    return dW
"""
RNN = """def forward(x, Wx, Wh):
    hs = {-1: np.zeros(3)}
    loss = 0
    for t in range(4):
        hs[t] = np.tanh(x[t] @ Wx + hs[t - 1] @ Wh)
        loss = loss + (hs[t] ** 2).sum()
    return loss, hs


def backward(x, Wx, Wh, hs):
    dWx, dWh, dx = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(x)
    later = np.zeros(3)
    for t in reversed(range(4)):
        dh = 2 * hs[t] + later
        raw = (1 - hs[t] ** 2) * dh
        dWx += np.outer(x[t], raw)
        dWh += np.outer(hs[t - 1], raw)
        dx[t] = raw @ Wx.T
        later = raw @ Wh.T
    return dx, dWx, dWh
"""
POOL = """def forward(x, w):
    rows = []
    for i in range(3):
        rows.append((x[:, i : i + 2] * w).sum(axis=1))
    return (np.stack(rows) ** 2).sum()


def backward(x, w):
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for i in range(3):
        d = 2 * (x[:, i : i + 2] * w).sum(axis=1)
        dw += (d[:, None] * x[:, i : i + 2]).sum(axis=0)
        dx[:, i : i + 2] += d[:, None] * w
    return dx, dw
"""
NORM = """def forward(x):
    mu = x.mean(axis=0)
    xmu = x - mu
    carre = xmu**2
    invvar = 1 / np.sqrt(carre.mean(axis=0) + 1e-5)
    va = xmu * invvar
    return (va**3).sum()


def backward(x, xmu, invvar, va):
    dva = 3 * va**2
    dxmu = invvar * dva
    dinvvar = np.sum(xmu * dva, axis=0)
    dcarre = -0.5 * invvar**3 * dinvvar * np.ones(x.shape) / len(x)
    dxmu += 2 * xmu * dcarre
    dx = dxmu
    dmu = -np.sum(dxmu, axis=0)
    dx += np.ones(x.shape) * dmu / len(x)
    return dx
"""
W1, W2, WIDE = RNG.normal(size=(4, 3)), RNG.normal(size=(3, 2)), RNG.normal(size=(4, 2))
QKV = {name: RNG.normal(size=(5, 4)) for name in "qkv"}
STEPS = {"x": RNG.normal(size=(4, 2)), "Wx": RNG.normal(size=(2, 3)), "Wh": RNG.normal(size=(3, 3))}
PROGRAMS = {
    "softmax": (SOFTMAX, {"W": W1}), "object": (OBJECT, {"W1": W1, "W2": W2}), "layers": (LAYERS, {"x": X}),
    "log-sum-exp": (LOG_SUM_EXP, {"s": X}), "attention": (ATTENTION, QKV), "module": (MODULE, {"W1": W1, "W2": W2}),
    "helper": (HELPER, {"W1": W1, "W2": W2}), "dot": (DOT, {"W": W1}), "rnn": (RNN, STEPS),
    "norm": (NORM, {"x": X}), "pool": (POOL, {"x": RNG.normal(size=(2, 4)), "w": RNG.normal(size=2)}),
}  # fmt: skip


def compared(text: str, inputs: dict[str, Array]) -> Any:
    backward = written(text, X=X, Y=Y, LABELS=LABELS)
    return compare_steps(backward.__globals__["forward"], backward, {name: x.copy() for name, x in inputs.items()})

# the program, a mistake in one of its lines, and the line that is told to be right
MISTAKES = [
    ("softmax", "+= 1", "+= 2", "dscores[np.arange(6), LABELS] += 1"),
    ("softmax", "(p - dscores) / 6", "(p - dscores)", "dscores = ((p - dscores) / len(p))"),
    ("object", "2 * (out - Y)", "3 * (out - Y)", "g.out = 2 * (out - Y)"),
    ("object", "h.T @ g.out", "h.T @ -g.out", "g.W2 = h.T @ g.out"),
    ("object", "(1 - h ** 2)", "(1 - h)", "g.W1 = X.T @ (g.h * (1 - h ** 2))"),
    ("layers", "dout * (1 - self.out ** 2)", "dout * (1 - self.out)", "return dout * (1 - self.out ** 2)"),
    ("layers", "dout @ self.W.T", "-dout @ self.W.T", "return dout @ self.W.T"),
    ("layers", "dx = self.layers[-1].out", "dx = 2 * self.layers[-1].out", "dx = self.layers[-1].out"),
    ("log-sum-exp", "1 / (N * t)", "1 / t", "dt = 1 / t / N"),
    ("log-sum-exp", "e * de", "de", "du = de * e"),
    ("log-sum-exp", "-= 1 / N", "-= 1", "ds[np.arange(N), LABELS] -= 1 / N"),
    ("attention", "ds / 2", "ds / 4", "scaled = ds / 2"),
    ("attention", "ds / 2", "ds", "scaled = ds / 2"),
    ("attention", "ds / 2", "-ds / 2", "scaled = ds / 2"),
    ("module", '1 - CACHE["h"] ** 2', '1 - CACHE["z"] ** 2', 'dz = dh * (1 - CACHE["h"] ** 2)'),
    ("module", "2 * (CACHE", "3 * (CACHE", 'dout = 2 * (CACHE["out"] - Y)'),
    ("module", 'CACHE["h"].T @ dout', 'CACHE["z"].T @ dout', 'dW2 = CACHE["h"].T @ dout'),
    ("helper", "(1 - sigmoid(z))", "(1 + sigmoid(z))", "return sigmoid(z) * (1 - sigmoid(z))"),
    ("helper", "(a2 - Y) * sigmoid", "(Y - a2) * sigmoid", "delta = (a2 - Y) * sigmoid_prime(z2)"),
    ("dot", "-= 1", "+= 1", "dscores[np.arange(6), LABELS] -= 1"),
    ("rnn", "later = raw @ Wh.T", "later = 2 * raw @ Wh.T", "later = raw @ Wh.T"),
    ("rnn", "(1 - hs[t] ** 2)", "(1 - hs[t])", "raw = (1 - hs[t] ** 2) * dh"),
    ("norm", "dxmu += 2", "dxmu = 2", "dxmu += 2 * xmu * dcarre"),
    ("norm", "dx += np.ones", "dx = np.ones", "dx += np.ones(x.shape) * dmu / len(x)"),
    ("norm", "-np.sum(dxmu", "np.sum(dxmu", "dmu = -np.sum(dxmu, axis=0)"),
    ("pool", "dx[:, i : i + 2] += d", "dx[:, i : i + 2] = d", "dx[:, i:i + 2] += d[:, None] * w"),
]  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_right_programs_are_right(name: str) -> None:
    report = compared(*PROGRAMS[name])
    assert report.ok, str(report)
    assert not report.diagnoses


@pytest.mark.parametrize(("name", "right", "wrong", "after"), MISTAKES)
def test_the_line_of_the_mistake_is_blamed_and_no_other(name: str, right: str, wrong: str, after: str) -> None:
    text, inputs = PROGRAMS[name]
    assert text.count(right) == 1
    line = text[: text.index(right)].count("\n") + 1
    report = compared(text.replace(right, wrong), inputs)
    assert {step.line for step in report.steps if not step.rule_ok} == {line}, str(report)
    (diagnosis,) = report.diagnoses
    said = " ".join([diagnosis.text, *diagnosis.evidence]).replace("'", '"')
    assert f"write {after} instead of" in said, said
    assert report.first_wrong.startswith(f"line {line}: ")
    assert all(wrong in step.source for step in report.steps if step.line == line)  # as it is, without the edit


MEAN = """def forward(W, b):
    z = X @ W + b
    a = 1 / (1 + np.exp(-z))
    return -(Y * np.log(a) + (1 - Y) * np.log(1 - a)).sum() / 6


def backward(W, b, a):
    dz = a - Y
    dW = 1 / 6 * X.T @ dz
    db = 1 / 6 * dz.sum(axis=0)
    return dW, db
"""
UNNAMED = """def forward(q, k):
    s = q @ k.T / 2
    return (np.tanh(s) ** 2).sum()


def backward(q, k, s):
    t = np.tanh(s)
    ds = 2 * t * (1 - t**2) / 2
    dq = ds @ k
    dk = ds.T @ q
    return dq, dk
"""


AFTER = """def forward(q, k):
    s = q @ k.T
    p = np.tanh(s / 3)
    return (p**2).sum()


def backward(q, k, p):
    ds = 2 * p * (1 - p**2)
    dq = ds @ k / 3
    dk = ds.T @ q / 3
    return dq, dk
"""
MADE_UP = """def forward(x, w):
    h = np.tanh(x)
    y = h * w
    return (y**2).sum()


def backward(x, w, h, y):
    dy = 4 * y
    dw = dy * h
    dh = dy * w / 2
    dx = dh * (1 - h**2)
    return dx, dw
"""


def test_lines_make_up_for_each_other_only_if_all_inputs_have_right_gradients() -> None:
    inputs = {"x": QKV["q"], "w": QKV["k"]}
    report = compared(MADE_UP, inputs)
    assert [step.verdict for step in report.steps] == ["WRONG", "follows", "WRONG", "ok"]
    assert not report.ok
    assert compared(MADE_UP.replace("dw = dy * h", "dw = dy * h / 2"), inputs).ok


@pytest.mark.parametrize(
    ("text", "inputs", "wrong", "line"),
    [
        (MEAN, {"W": WIDE, "b": np.zeros(2)}, ("a - Y", "Y - a"), 8),  # divided by 6 only for the parameters
        (UNNAMED, {"q": QKV["q"], "k": QKV["k"]}, ("ds.T @ q", "ds @ q"), 10),  # ds is the gradient of q @ k.T
        (AFTER, {"q": QKV["q"], "k": QKV["k"]}, ("ds.T @ q", "ds @ q"), 10),  # and here that of s / 3
    ],
)  # fmt: skip
def test_gradients_in_another_sense_are_right_and_mistakes_beside_them_are_found(
    text: str, inputs: dict[str, Array], wrong: tuple[str, str], line: int
) -> None:
    report = compared(text, inputs)
    assert report.ok, str(report)
    assert not any(d.kind == "convention" for d in report.diagnoses)
    report = compared(text.replace(*wrong), inputs)
    assert {step.line for step in report.steps if not step.rule_ok} == {line}, str(report)


NORMED = """def forward(x, W, b):
    z = x @ W + b
    c = z - z.mean(axis=0)
    s = np.sqrt((c * c).mean(axis=0) + 1e-3)
    y = c / s
    return (y**3).sum()


def backward(x, W, b, c, s, y):
    dy = 3 * y**2
    ds = -(dy * c / s**2).sum(axis=0)
    dc = dy / s + ds / s * c / len(x)
    dz = dc - dc.mean(axis=0)
    db = dz.sum(axis=0)
    dW = x.T @ dz
    dx = dz @ W.T
    return dx, dW, db
"""


@pytest.mark.parametrize("seed", range(3))
def test_a_gradient_of_zero_is_right_though_the_rounding_of_wrong_terms_is_larger(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = {"x": rng.normal(size=(20, 3)), "W": rng.normal(size=(3, 4)), "b": rng.normal(size=4)}
    report = compared(NORMED.replace("3 * y**2", "30000 * y**2"), inputs)
    assert [step.name for step in report.steps if step.value_ok] == ["db"], str(report)
    lost = compared(NORMED.replace("dc - dc.mean(axis=0)", "dc"), inputs)
    assert {step.name: step.value_ok for step in lost.steps}["db"] is False


HALVED = """def forward(x):
    h = np.tanh(x)
    h = h / 2
    return (h**3).sum()


def backward(x, h):
    dh = 3 * h**2
    dh = dh / 2
    dx = dh * (1 - (2 * h) ** 2)
    return dx
"""


@pytest.mark.parametrize("wrong", ["", "dh = dh * 2", "dh = dh * 1.0", "dh = -dh / 2"])
def test_a_multiple_of_a_gradient_is_that_of_the_value_before_if_the_forward_takes_a_multiple(wrong: str) -> None:
    report = compared(HALVED.replace("dh = dh / 2", wrong or "dh = dh / 2"), {"x": np.array([0.3, -0.7, 1.1])})
    assert [(step.source, step.verdict) for step in report.steps][:2] == [
        ("dh = 3 * h**2", "ok"), (wrong or "dh = dh / 2", "WRONG" if wrong else "ok"),
    ]  # fmt: skip
