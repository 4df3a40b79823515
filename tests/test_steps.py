"""`compare_steps` checks every step of a backward: no alarm for right ones, and the line of the first wrong one."""

import re
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.step_programs import PROGRAMS, changed
from tests.test_edit_parts import written
from tinygrad_nn import Tensor, compare_gradients, compare_steps
from tinygrad_nn.compare.function import locations

N, CLASSES = 12, 5
RNG = np.random.default_rng(3)
INPUTS = {
    "table": RNG.normal(size=(9, 4)), "A": RNG.normal(size=(8, 7)) * 0.4, "a": RNG.normal(size=7) * 0.1,
    "scale": RNG.normal(size=(1, 7)) * 0.1 + 1, "shift": RNG.normal(size=(1, 7)) * 0.1,
    "B": RNG.normal(size=(7, CLASSES)) * 0.5, "b": RNG.normal(size=CLASSES),
}  # fmt: skip
WORDS, TARGET = RNG.integers(0, 9, (N, 2)), RNG.integers(0, CLASSES, N)


def forward(table: Any, A: Any, a: Any, scale: Any, shift: Any, B: Any, b: Any) -> Any:
    """A perceptron over two looked-up words, with batch norm and cross-entropy in small steps."""
    words = table[WORDS]
    flat = words.reshape(N, 8)
    pre = flat @ A + a
    mean = pre.sum(0, keepdims=True) / N
    centred = pre - mean
    square = centred**2
    var = square.sum(0, keepdims=True) / (N - 1)
    root = (var + 1e-5) ** -0.5
    normed = centred * root
    z = scale * normed + shift
    hidden = np.tanh(z)
    scores = hidden @ B + b
    top = scores.max(1, keepdims=True)
    lowered = scores - top
    powers = np.exp(lowered)
    total = powers.sum(1, keepdims=True)
    inverse = total**-1
    p = powers * inverse
    logs = np.log(p)
    return -logs[np.arange(N), TARGET].mean()


def backward(v: Any) -> Any:
    dlogs = np.zeros_like(v.logs)
    dlogs[np.arange(N), TARGET] = -1 / N
    dp = dlogs / v.p
    dinverse = (v.powers * dp).sum(1, keepdims=True)
    dpowers = v.inverse * dp
    dtotal = -dinverse / v.total**2
    dpowers += dtotal * np.ones_like(v.powers)
    dlowered = v.powers * dpowers
    dscores = dlowered.copy()
    dtop = -dlowered.sum(1, keepdims=True)
    dscores += np.eye(CLASSES)[v.scores.argmax(1)] * dtop
    dhidden = dscores @ v.B.T
    dB = v.hidden.T @ dscores
    db = dscores.sum(0)
    dz = dhidden * (1 - v.hidden**2)
    dscale = (dz * v.normed).sum(0, keepdims=True)
    dshift = dz.sum(0, keepdims=True)
    dnormed = dz * v.scale
    dcentred = dnormed * v.root
    droot = (dnormed * v.centred).sum(0, keepdims=True)
    dvar = -0.5 * (v.var + 1e-5) ** -1.5 * droot
    dsquare = np.ones_like(v.square) / (N - 1) * dvar
    dcentred += 2 * v.centred * dsquare
    dpre = dcentred.copy()
    dmean = -dcentred.sum(0)
    dpre += np.ones_like(v.pre) / N * dmean
    dflat = dpre @ v.A.T
    dA = v.flat.T @ dpre
    da = dpre.sum(0)
    dwords = dflat.reshape(v.words.shape)
    dtable = np.zeros_like(v.table)
    for i in range(N):
        for j in range(2):
            dtable[WORDS[i, j]] += dwords[i, j]
    return dtable, dA, da, dscale, dshift, dB, db


# what is wrong: (old, new, name of the first wrong step, kind; "" for any)
MISTAKES = [
    ("= -1 / N", "= -1", "dlogs", "scale"),
    ("dlogs / v.p", "-dlogs / v.p", "dp", "sign"),
    ("(v.powers * dp).sum(1, keepdims=True)", "v.powers * dp", "dinverse", "broadcast_not_summed"),
    ("dpowers += dtotal", "dpowers = dtotal", "dpowers", ""),
    ("    dpowers += dtotal * np.ones_like(v.powers)\n", "", "dpowers", "overwritten_not_accumulated"),
    ("-dinverse / v.total**2", "-dinverse / v.total", "dtotal", ""),
    ("dscores @ v.B.T", "2 * dscores @ v.B.T", "dhidden", "scale"),
    ("(1 - v.hidden**2)", "(1 - v.z**2)", "dz", "activation_derivative_at_wrong_value"),
    (" * (1 - v.hidden**2)", "", "dz", "missing_activation_derivative"),
    ("(dz * v.normed).sum(0, keepdims=True)", "dz * v.normed", "dscale", "broadcast_not_summed"),
    ("dshift = dz.sum(0, keepdims=True)", "dshift = dz.sum(1, keepdims=True)", "dshift", "wrong_axis_sum"),
    ("** -1.5 * droot", "** -0.5 * droot", "dvar", ""),
    ("/ (N - 1) * dvar", "/ N * dvar", "dsquare", "scale"),
    ("dmean = -dcentred", "dmean = dcentred", "dmean", "sign"),
    ("    dpre += np.ones_like(v.pre) / N * dmean\n", "", "dpre", "overwritten_not_accumulated"),
    ("v.flat.T @ dpre", "(v.flat.T @ dpre).T", "dA", "transpose"),
    ("da = dpre.sum(0)", "da = dpre", "da", "broadcast_not_summed"),
    ("WORDS[i, j]] += dwords", "WORDS[i, j]] = dwords", "dtable", ""),
]  # fmt: skip


def test_right_steps_raise_no_alarm() -> None:
    report = compare_steps(forward, backward, INPUTS)
    assert report.ok
    assert not report.diagnoses, str(report)
    assert report.first_wrong is None
    assert len(report.steps) == 26
    assert [s.name for s in report.steps][:4] == ["dlogs", "dp", "dinverse", "dtotal"]
    assert {s.name for s in report.steps} == {f"d{s.belongs_to}" for s in report.steps}


@pytest.mark.parametrize(("old", "new", "name", "kind"), MISTAKES)
def test_the_first_wrong_step_is_named(old: str, new: str, name: str, kind: str) -> None:
    report = compare_steps(forward, changed(backward, old, new), INPUTS)
    wrong = [s for s in report.steps if not s.rule_ok]
    assert [s.name for s in wrong] == [name], str(report)
    assert not report.ok
    assert report.first_wrong == wrong[0].place
    assert f"line {wrong[0].line}: " in str(report.first_wrong)
    assert name in wrong[0].source
    assert not kind or report.diagnoses[0].kind == kind, str(report)
    assert all(len(line) <= 80 for line in str(report).splitlines())


def test_shapes_come_first() -> None:
    report = compare_steps(forward, changed(backward, "(dz * v.normed).sum(0, keepdims=True)", "dz * v.normed"), INPUTS)
    assert report.diagnoses[0].text == (
        "dscale is (12, 7), scale is (1, 7): it was broadcast over the batch (axis 0), so its gradient is summed over "
        "the batch (axis 0): dscale.sum(0, keepdims=True)."
    )


def test_a_backward_that_stops_is_judged_until_there() -> None:
    other = changed(backward, "(dnormed * v.centred).sum(0, keepdims=True)", "(dnormed * v.centred).sum(1)")
    report = compare_steps(forward, other, INPUTS)
    assert not report.ok
    assert [s.name for s in report.steps if not s.rule_ok] == ["droot"]
    assert report.diagnoses[0].kind == "wrong_axis_sum"
    assert "stopped here with ValueError" in report.diagnoses[-1].text


def test_if_the_backward_stops_what_follows_from_the_first_wrong_step_is_not_called_wrong() -> None:
    make, inputs, options, (old, new, wrong) = PROGRAMS["lstm"]
    stopping = changed(changed(make, "dxs[t] = dx", "dxs[t] = dx @ np.ones(1)"), old, new)
    report = compare_steps(*stopping(), inputs, **options)
    assert [s.name for s in report.steps if not s.rule_ok] == [wrong], str(report)
    assert "stopped here with ValueError" in report.diagnoses[-1].text


class Holder:
    dZ2: Any
    dW2: Any


class Called(Holder):
    def __call__(self, X: Any) -> Any:
        return X


@pytest.mark.parametrize("kind", [Holder, Called])
def test_gradients_in_attributes_of_an_object_are_judged(kind: Any) -> None:
    def forward(X: Any, W2: Any) -> Any:
        Z2 = X @ W2
        return (Z2**2).sum()

    def backward(v: Any) -> Any:
        layer = kind()
        layer.dZ2 = 2 * v.Z2
        layer.dW2 = 3 * v.X.T @ layer.dZ2
        return layer.dW2

    report = compare_steps(forward, backward, {"X": RNG.normal(size=(4, 3)), "W2": RNG.normal(size=(3, 2))})
    assert [(s.name, s.rule_ok) for s in report.steps] == [("layer.dZ2", True), ("layer.dW2", False)]


class Scaled:
    def __init__(self, w: Any) -> None:
        self.w = w

    def forward(self, X: Any) -> Any:
        self.z = X * self.w
        return (self.z**2).sum()

    def backward(self, X: Any) -> Any:
        dz = 2 * self.z
        self.dw = 3 * X * dz


def test_a_gradient_of_an_array_that_an_object_keeps_is_said_not_to_be_judged() -> None:
    layer = Scaled(np.ones(3))
    notes = compare_steps(layer.forward, layer.backward, np.arange(3.0)).notes
    assert notes[-1].startswith("dw is the gradient of arrays of an object: compare_gradients(object, x) judges")
    assert compare_gradients(layer, np.arange(3.0)).first_wrong == "w"


def squared_error(X: Any, W1: Any, b1: Any, W2: Any, b2: Any, Y: Any) -> Any:
    A1 = np.tanh(X @ W1 + b1)
    Z2 = A1 @ W2 + b2
    return ((Z2 - Y) ** 2).sum() / (2 * len(X))


def divided_at_the_parameters(v: Any) -> Any:
    """The gradients of a sum, divided by the number of samples only where they reach a parameter."""
    m = len(v.X)
    dZ2 = v.Z2 - v.Y
    dW2 = v.A1.T @ dZ2 / m
    db2 = dZ2.sum(0) / m
    dA1 = dZ2 @ v.W2.T
    dZ1 = dA1 * (1 - v.A1**2)
    dW1 = v.X.T @ dZ1 / m
    db1 = dZ1.sum(0) / m
    return dW1, db1, dW2, db2


@pytest.mark.parametrize("missing", [(), ("dW2",), ("db1",), ("dW1", "dW2"), ("db2", "db1"), ("db2", "dW1")])
def test_the_parameters_whose_gradient_is_not_divided_by_the_number_of_samples_are_named(missing: Any) -> None:
    inputs = {"X": RNG.normal(size=(6, 4)), "W1": RNG.normal(size=(4, 3)), "b1": RNG.normal(size=3),
              "W2": RNG.normal(size=(3, 2)), "b2": RNG.normal(size=2), "Y": RNG.normal(size=(6, 2))}  # fmt: skip
    lines = {"dW2": "v.A1.T @ dZ2", "db2": "dZ2.sum(0)", "dW1": "v.X.T @ dZ1", "db1": "dZ1.sum(0)"}
    other = divided_at_the_parameters
    for name in missing:
        other = changed(other, f"{lines[name]} / m", lines[name])
    report = compare_steps(squared_error, other, inputs)
    assert {s.name for s in report.steps if not s.rule_ok} == set(missing), str(report)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_in_many_styles(name: str) -> None:
    make, inputs, options, (old, new, wrong) = PROGRAMS[name]
    report = compare_steps(*make(), inputs, **options)
    assert report.ok, str(report)
    assert not report.diagnoses
    forward, backward = changed(make, old, new)()
    report = compare_steps(forward, backward, inputs, **options)
    assert not report.ok
    first = next(s for s in report.steps if not s.rule_ok)
    assert first.name == wrong, str(report)
    assert new in report.first_wrong or "b1" in wrong


def test_a_loop_is_judged_round_by_round() -> None:
    make, inputs, _, _ = PROGRAMS["lstm"]
    report = compare_steps(*make(), inputs)
    hidden = [s for s in report.steps if s.name == "dh" and s.rounds > 1]
    assert len(hidden) == 6  # five of the loop, and that of h0
    assert [s.round for s in hidden] == [1, 2, 3, 4, 5, 6]
    assert sum(s.name == "dc_prev" for s in report.steps) == 5
    assert "(5 times)" in str(report)


def test_single_precision() -> None:
    inputs = {name: x.astype(np.float32) for name, x in INPUTS.items()}
    report = compare_steps(forward, backward, inputs)
    assert report.ok, str(report)
    assert not report.diagnoses
    report = compare_steps(forward, changed(backward, "/ (N - 1) * dvar", "/ N * dvar"), inputs)
    assert [s.name for s in report.steps if not s.rule_ok] == ["dsquare"]


@pytest.mark.parametrize("seed", range(20))
def test_right_at_other_numbers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = {name: x * rng.uniform(0.5, 1.5, x.shape) for name, x in INPUTS.items()}
    report = compare_steps(forward, backward, inputs, rng=seed)
    assert report.ok, str(report)
    assert not report.diagnoses


def test_a_namespace() -> None:
    x, w = Tensor(np.linspace(-1, 1, 12).reshape(4, 3)), Tensor(np.linspace(0, 1, 6).reshape(3, 2))
    z = x @ w
    y = np.tanh(z)
    loss = (y * y).sum()
    dy = 2 * y
    dz = dy * (1 - y.data**2)
    dw = x.T @ dz
    dx = dz @ w.T
    report = compare_steps(locals() | {"dx": dz.data @ w.data.T * 2})
    assert loss.data == report.losses["forward"]
    assert [(s.name, s.verdict) for s in report.steps] == [("dy", "ok"), ("dz", "ok"), ("dw", "ok"), ("dx", "WRONG")]
    assert report.steps[1].source == "dz = dy * (1 - y.data**2)"
    assert "line" in str(report.first_wrong)
    assert dx is not None
    assert dw is not None


def test_a_gradient_that_a_tensor_has_is_a_step_where_no_name_holds_it() -> None:
    x, w = Tensor(np.linspace(-1, 1, 12).reshape(4, 3)), Tensor(np.linspace(0, 1, 6).reshape(3, 2))
    loss = np.tanh(x @ w).sum()
    loss.backward(retain_graph=True)
    dx = x.grad * 2
    report = compare_steps({"x": x, "w": w, "loss": loss, "dx": dx})
    assert {s.name: (s.belongs_to, s.verdict) for s in report.steps} == {"dx": ("x", "WRONG"), "w.grad": ("w", "ok")}


def test_a_line_of_a_namespace_is_mended() -> None:
    rng = np.random.default_rng(0)
    x, w, b = (Tensor(rng.normal(size=shape)) for shape in ((6, 4), (4, 3), 3))
    z = x @ w + b
    h = np.tanh(z)
    loss = (h**2).mean()
    dh = 2 * h.data / h.size
    dz = dh * (1 - h.data)
    db = dz.sum(axis=1)
    report = compare_steps(locals())
    said = [[text for text in d.evidence if text.startswith("Line ")] or [d.text] for d in report.diagnoses]
    assert "write dz = dh * (1 - h.data ** 2) instead of dz = dh * (1 - h.data)." in said[0][0]
    assert "write db = dz.sum(axis=0) instead of db = dz.sum(axis=1)." in said[1][0]
    dh, dz = 2 * h / h.size, 2 * h / h.size * (1 - h**2)  # Tensors, as if the whole cell were written on Tensors
    db = dz.sum(1)
    report = compare_steps(locals())
    assert report.diagnoses[0].evidence[0].startswith("Line 3")
    assert "write db = dz.sum(axis=0) instead of db = dz.sum(1)." in report.diagnoses[0].evidence[0]
    assert loss.size
    assert db.size
    assert dh.size


IN_SEVERAL_LINES = """
def run(X, y, W, b, n):
    X, W, b = Tensor(X), Tensor(W), Tensor(b)
    Z = X @ W + b
    E = np.exp(Z - Z.max(axis=1, keepdims=True))
    P = E / E.sum(axis=1, keepdims=True)
    loss = -np.mean(np.log(P[np.arange(n), y]))
    grads = {}
    dZ = P.data.copy()
    dZ[np.arange(n), y] -= 1
    dZ = dZ / n
    grads["b"] = dZ.sum(axis=0)
    grads["W"] = X.data.T @ dZ
    dX = np.zeros_like(X.data)
    dX += dZ @ W.data.T
    before = {name: g.copy() for name, g in grads.items()}
    return before, grads, compare_steps(locals())
"""


@pytest.mark.parametrize(
    ("line", "wrong", "lines"),
    [
        ("", "", ()),
        ("dZ[np.arange(n), y] -= 1", "dZ[np.arange(n), y] += 1", (10,)),
        ("dZ = dZ / n", "dZ = dZ * n", (11,)),
        ("dZ = P.data.copy()", "dZ = 2 * P.data", (9,)),
        ("dX += dZ @ W.data.T", "dX += dZ @ W.data", (15,)),
        ('grads["b"] = dZ.sum(axis=0)', 'grads["b"] = -dZ.sum(axis=0)', (12,)),
        ('grads["W"] = X.data.T @ dZ', 'grads["W"] = X.data.T @ dZ / n', (13,)),
    ],
)
def test_a_gradient_that_several_lines_of_a_namespace_make_is_mended(
    line: str, wrong: str, lines: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(2)
    text = IN_SEVERAL_LINES.replace(line, wrong) if line else IN_SEVERAL_LINES
    run = written(text, "run", Tensor=Tensor, compare_steps=compare_steps)
    X, W, b = (rng.normal(size=shape) for shape in ((4, 3), (3, 3), 3))
    before, grads, report = run(X, np.array([0, 2, 1, 1]), W, b, 4)
    assert report.ok == (not line), str(report)
    for name, g in before.items():  # edits were tried with copies
        np.testing.assert_array_equal(grads[name], g)
    if line:
        (d,) = report.diagnoses
        found = [int(number) for text in (d.text, *d.evidence) for number in re.findall(r"Line (\d+): write ", text)]
        assert found, str(report)
        assert found[0] in lines, str(report)


ON_TENSORS = """
def run(C, W, rows, n):
    C, W = Tensor(C), Tensor(W)
    emb = C[rows]
    z = emb @ W
    mean = 1 / n * z.sum(0, keepdims=True)
    centred = z - mean
    loss = (centred**3).mean()
    dcentred = 3 * centred**2 / centred.size
    dmean = (-dcentred).sum(0)
    dz = dcentred + dmean / n
    demb = dz @ W.T
    dW = emb.T @ dz
    dC = np.zeros(C.shape)
    np.add.at(dC, rows, demb.data)
    return compare_steps(locals())
"""


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("", ""),
        ("dmean = (-dcentred).sum(0)", "dmean = dcentred.sum(0)"),  # of shape (3,), while mean is (1, 3)
        ("demb = dz @ W.T", "demb = dcentred @ W.T"),  # dz is read by no other part of the line
        ("np.add.at(dC, rows, demb.data)", "np.add.at(dC, rows, 2 * demb.data)"),
        ("np.add.at(dC, rows, demb.data)", "np.add.at(dC, rows, emb.data)"),
    ],
)
def test_a_line_of_tensors_is_mended_also_if_it_calls_a_function_that_writes(line: str, wrong: str) -> None:
    rng = np.random.default_rng(0)
    run = written(ON_TENSORS.replace(line, wrong) if line else ON_TENSORS, "run", Tensor=Tensor,
                  compare_steps=compare_steps)  # fmt: skip
    report = run(rng.normal(size=(4, 2)), rng.normal(size=(2, 3)), np.array([0, 3, 1, 1, 2, 0]), 6)
    assert report.ok == (not line), str(report)
    assert report.steps[-1].source.startswith("np.add.at")
    if line:
        (d,) = report.diagnoses
        assert d.where.endswith(f": {wrong}")
        changes = " or from ".join(text for text in (d.text, *d.evidence) if "ine " in text)
        assert (line in changes or line.replace("demb.data", "demb") in changes), str(report)


def test_a_gradient_that_is_zero_but_for_rounding_is_noted() -> None:
    def forward(x: Any) -> Any:
        top = x.max(axis=1, keepdims=True)
        shifted = x - top
        logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return -logs[:, 0].mean()

    def backward(x: Any, shifted: Any, logs: Any) -> Any:
        dshifted = np.exp(logs) / len(x)
        dshifted[:, 0] -= 1 / len(x)
        dtop = dshifted.sum(axis=1, keepdims=True)  # the sign is lost, and cannot be seen
        dx = dshifted.copy()
        return dx, dtop

    x = np.random.default_rng(0).normal(size=(5, 4))
    report = compare_steps(forward, backward, x)
    assert report.ok
    (note,) = (note for note in report.notes if "but for rounding" in note)
    assert note.startswith("dtop is 0 here")


def test_a_name_that_was_bound_again_offers_no_change_of_its_line() -> None:
    x = Tensor(np.arange(1.0, 4.0))
    factor = 3.0
    loss = (x * x).sum()
    dx = factor * x.data
    factor = 2.0
    report = compare_steps(locals())
    assert not report.ok
    assert not any(text.startswith("Line ") for d in report.diagnoses for text in (d.text, *d.evidence))
    assert loss.size
    assert dx.size


def test_a_namespace_with_gradients_on_its_tensors() -> None:
    x = Tensor(np.arange(1.0, 4.0))
    y = x * x
    loss = np.sin(y).sum()
    y.grad = np.cos(y.data)
    x.grad = y.grad * x.data
    report = compare_steps({"x": x, "y": y, "loss": loss})
    assert [(s.name, s.verdict) for s in report.steps] == [("y.grad", "ok"), ("x.grad", "WRONG")]


def global_gradients(X: Any) -> None:
    d_GLOBAL = 2 * X  # the gradient of a variable of this module
    del d_GLOBAL


GLOBAL = np.ones(3)


# what was asked for, and what the answer says
REFUSED = {
    "no function": ((3, 4), "one of them is a int"),
    "no inputs": ((forward, backward), "needs the inputs"),
    "a namespace and more": (({}, backward), "takes nothing else"),
    "a namespace without a graph": (({"x": np.ones(3), "dx": np.ones(3)},), r"X = Tensor\(X\)"),
    "a name that is not there": ((lambda x: (x * x).sum(), lambda x: 2 * x, np.ones(3), {"dq": "q"}), "no such value"),
    "an unknown parameter": ((lambda x: (x * x).sum(), lambda x, other, more: 2 * x, np.ones(3)), "parameter 'other'"),
    "no gradient by name": ((lambda x: (x * x).sum(), lambda x: print, np.ones(3)), "no name in the backward"),
    "global": ((lambda X: X @ GLOBAL, global_gradients, np.ones(3)), "make these global variables inputs"),
    "no graph": ((lambda x: x.data.sum(), lambda x: 2 * x, np.ones(3)), "there is no graph"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_raises(name: str) -> None:
    (*given,), said = REFUSED[name]
    names = given.pop() if len(given) == 4 else None
    with pytest.raises((TypeError, ValueError), match=said):
        compare_steps(*given, names=names)


def test_the_page_shows_the_lines() -> None:
    report = compare_steps(forward, changed(backward, "dlogs / v.p", "dlogs / v.p * '<b>'.count('b')**0 * 2"), INPUTS)
    page = report.to_html()
    assert "script" not in page.lower().replace("scriptlevel", "")
    assert "Content-Security-Policy" in page
    assert "<tr class=&#x27;" not in page
    assert "dlogs / v.p * &#x27;&lt;b&gt;&#x27;" in page
    assert page.count("<tr class='bad'>") == page.count("<div class='why'>") == 1
    assert "<tr class='good'>" in page
    assert "<table class='steps'>" in report._repr_html_()
    assert '"steps"' in report.to_json()


# a mistake, the kind that the smallest change of the line tells, and that change
MENDED = [
    ("dlogs / v.p", "1 / v.p", "cotangent_ignored", "dp = 1 / v.p * dlogs"),
    ("v.flat.T @ dpre", "v.flat.T @ dz", "wrong_value", "dA = v.flat.T @ dpre"),
    ("dnormed * v.root", "dnormed * v.var", "wrong_value", "dcentred = dnormed * v.root"),
    ("for j in range(2)", "for j in range(1)", "edit", "for j in range(2)"),
    ("dflat.reshape(v.words.shape)", "dflat", "edit", "dwords.reshape(words.shape)"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "kind", "after"), MENDED)
def test_the_smallest_change_of_the_line_is_reported(old: str, new: str, kind: str, after: str) -> None:
    report = compare_steps(forward, changed(backward, old, new), INPUTS)
    assert not report.ok
    assert report.diagnoses[0].kind == kind, str(report)
    assert after in report.diagnoses[0].text


def test_of_a_sum_of_statements_the_wrong_one_is_named() -> None:
    report = compare_steps(forward, changed(backward, "dcentred = dnormed * v.root", "dcentred = dnormed"), INPUTS)
    assert str(report.first_wrong).endswith("dcentred = dnormed")
    report = compare_steps(forward, changed(backward, "dcentred += 2 * v.centred", "dcentred += v.centred"), INPUTS)
    assert str(report.first_wrong).endswith("dcentred += v.centred * dsquare")


def attend(q: Any, k: Any, v: Any) -> Any:
    d_k = k.shape[1]
    scores = q @ k.T / np.sqrt(d_k)
    out = scores @ v
    loss = (out * out).sum()
    cache = locals()
    return loss, cache


def attend_backward(q: Any, k: Any, v: Any, scores: Any, out: Any) -> Any:
    d_k = k.shape[1]
    dout = 2 * out
    dscores = dout @ v.T
    dq = dscores @ k / np.sqrt(d_k)
    dk = dscores.T @ q / np.sqrt(d_k)
    return dq, dk, scores.T @ dout


# how the size d_k, which by its name could be the gradient of k, comes to the backward
TAKE, MADE = "q: Any, k: Any, v: Any, scores: Any, out: Any", "d_k = k.shape[1]"
SIZES = {
    "made anew": (TAKE, MADE),
    "a parameter": (f"d_k: int, {TAKE}", "pass"),
    "a parameter that is made anew": (f"d_k: int, {TAKE}", "d_k = k.shape[1] * 1"),
    "in locals": ("cache: Any", "q, k, v, scores, out, d_k = map(cache.get, 'q k v scores out d_k'.split())"),
}  # fmt: skip


@pytest.mark.parametrize("name", SIZES)
def test_a_size_is_no_gradient(name: str) -> None:
    take, ask = SIZES[name]
    inputs = {x: RNG.normal(size=(5, 4)) for x in "qkv"}
    right = changed(changed(attend_backward, TAKE, take), MADE, ask)
    report = compare_steps(attend, right, inputs)
    assert report.ok, str(report)
    assert {s.name for s in report.steps} == {"dout", "dscores", "dq", "dk", "gradient of v"}
    report = compare_steps(attend, changed(right, "k / np.sqrt(d_k)", "k / d_k"), inputs)
    assert [s.name for s in report.steps if not s.rule_ok] == ["dq"], str(report)


def test_a_whole_number_in_the_place_of_a_gradient_is_wrong() -> None:
    other = changed(attend_backward, "dout = 2 * out", "dout = 2")
    inputs = {x: RNG.normal(size=(5, 4)) for x in "qkv"}
    report = compare_steps(attend, other, inputs)
    assert str(report.first_wrong).endswith("dout = 2")


def test_the_cache_is_the_returned_one_and_not_a_local_of_that_name() -> None:
    def layered(x: Any, w: Any) -> Any:
        caches = []
        for _ in range(2):
            cache = x, w
            x = x @ w
            caches.append(cache)
        return x, caches

    def layered_backward(dout: Any, cache: Any) -> Any:
        dw = 0
        for x, w in reversed(cache):
            dw = dw + x.T @ dout
            dout = dout @ w.T
        return dout, dw

    report = compare_steps(layered, layered_backward, (RNG.normal(size=(4, 3)), RNG.normal(size=(3, 3))))
    assert report.ok, str(report)
    assert "dw" in {s.name for s in report.steps}


def test_on_a_phone_both_numbers_stand_under_the_line_and_a_wrong_shape_has_no_map() -> None:
    def forward(x: Any, b: Any) -> Any:
        h = np.tanh(x + b)
        loss = (h**2).sum()
        return loss

    def backward(x: Any, b: Any, h: Any) -> Any:
        dh = 2 * h
        dx = dh * (1 - h**2)
        db = dx  # wrong: it belongs summed
        return dx, db

    page = compare_steps(forward, backward, {"x": np.ones((3, 2)), "b": np.full(2, 0.5)}).to_html()
    assert "<div class='both'>yours 3x2, right 2</div>" in page
    assert "data:image/png" not in page


def test_lines_that_make_up_for_each_other_are_no_mistake() -> None:
    def forward(x: Any) -> Any:
        h = np.tanh(x)
        loss = (h**2).sum()
        return loss

    def backward(x: Any, h: Any) -> Any:
        dh = 4 * h  # twice the gradient of h
        dx = dh * (1 - h**2) / 2  # and half of that
        return dx

    inputs = {"x": np.array([0.3, -0.7, 1.1])}
    report = compare_steps(forward, backward, inputs)
    assert (report.ok, report.kinds) == (True, ("convention",))
    assert [step.verdict for step in report.steps] == ["ok", "ok"]
    assert "dh is not the gradient of h, and a later line makes up for it." in report.diagnoses[0].text
    report = compare_steps(forward, changed(backward, "/ 2", "/ 5"), inputs)  # no longer
    assert [step.verdict for step in report.steps] == ["WRONG", "WRONG"]
    with_data = changed(changed(forward, "(x: Any)", "(x: Any, t: Any)"), "h**2", "h**2 * t")
    back = changed(changed(backward, "h: Any", "h: Any, t: Any"), "4 * h", "4 * h * t")
    report = compare_steps(with_data, back, {**inputs, "t": np.array([1.0, 2.0, 3.0])})  # the backward has no dt
    assert (report.ok, report.kinds) == (True, ("convention",))


def test_an_input_whose_gradient_is_not_known_is_not_taken_for_right() -> None:
    def forward(x: Any, W1: Any, W2: Any) -> Any:
        z1 = x @ W1
        a1 = np.tanh(z1)
        z2 = a1 @ W2
        loss = np.sum((z2 - 1.0) ** 2) / 2
        return loss, (a1, z2)

    def backward(x: Any, W1: Any, W2: Any, cache: Any) -> Any:
        a1, z2 = cache
        dz2 = 7 * (z2 - 1.0)
        dW2 = a1.T @ dz2 / 7  # a later line makes up for it in this gradient only
        dz1 = (dz2 @ W2.T) * (1 - a1**2)
        return x.T @ dz1, dW2

    rng = np.random.default_rng(0)
    report = compare_steps(forward, backward, tuple(rng.normal(size=shape) for shape in ((5, 3), (3, 4), (4, 2))))
    assert not report.ok
    assert report.kinds == ("scale",)


def test_the_example_names_both_lines(capsys: pytest.CaptureFixture[str]) -> None:
    report = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "compare_steps.py"))["report"]
    assert "WRONG" in capsys.readouterr().out
    assert [s.name for s in report.steps if not s.rule_ok] == ["dlogits", "db1"]
    assert [d.kind for d in report.diagnoses] == ["scale", "wrong_axis_sum"]


# ---- However a program is written

FORWARD = """def forward(x):
    y = x * x
    return y.sum()


"""


def both_of(text: str, **names: Any) -> Any:
    space = written(text, "forward", **names).__globals__
    return space["forward"], space["backward"]


@pytest.mark.parametrize(
    ("line", "shown", "right"),
    [
        ("dx = (x  # (of y = x * x\n          * dy)  # times dy", "dx = (x * dy)", "dx = (2 * (x * dy))"),
        ("dx = x \\\n        * dy", "dx = x * dy", "dx = 2 * (x * dy)"),
        ("dx = np.asarray(\n        # first\n\n        x * dy,\n    )", "dx = np.asarray(x * dy,)",
         "dx = 2 * np.asarray(x * dy)"),
    ],
)  # fmt: skip
def test_a_statement_of_several_lines_is_shown_on_one_without_comments(line: str, shown: str, right: str) -> None:
    forward, backward = both_of(f"{FORWARD}def backward(x, y):\n    dy = np.ones_like(y)\n    {line}\n    return dx\n")
    report = compare_steps(forward, backward, np.array([0.5, -1.0, 2.0]))
    assert report.first_wrong == f"line 8: {shown}"
    assert report.steps[-1].source == shown
    (said,) = [s for d in report.diagnoses for s in (d.text, *d.evidence) if s.startswith("Line ")]
    start, _, after = said.removesuffix(".").partition(" instead of ")
    assert after == shown
    assert start == f"Line 8: write {right}"


def logistic(X: Any, W: Any, Y: Any) -> Any:
    z = X @ W
    p = 1 / (1 + np.exp(-z))
    return -np.mean(Y * np.log(p + 1e-8) + (1 - Y) * np.log(1 - p + 1e-8))


def logistic_that_writes(X: Any, W: Any, Y: Any) -> Any:
    z = np.zeros((len(X), 1))
    z[:] = X @ W
    p = 1 / (1 + np.exp(-z))
    return -np.mean(Y * np.log(p + 1e-8) + (1 - Y) * np.log(1 - p + 1e-8))


def logistic_backward(X: Any, Y: Any, p: Any) -> Any:
    dz = (p - Y) / len(X)
    dW = X.T @ dz
    return dW


@pytest.mark.parametrize("f", [logistic, logistic_that_writes])
def test_a_constant_that_avoids_log_of_zero_makes_no_step_wrong(f: Any) -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(6, 4)), rng.normal(size=(4, 1)), rng.integers(0, 2, (6, 1)).astype(float)
    report = compare_steps(f, logistic_backward, inputs)
    assert [step.verdict for step in report.steps] == ["ok", "ok"], str(report)
    for wrong in ("dW = X.T @ dz / 6", "dW = X.T @ dz * (1 + 3e-6)"):
        report = compare_steps(f, changed(logistic_backward, "dW = X.T @ dz", wrong), inputs)
        assert [step.verdict for step in report.steps] == ["ok", "WRONG"], str(report)


def two_uses(x: Any) -> Any:
    y = x * x
    u = 3 * y
    v = y * y
    return (u * v).sum()


def inner_layer(x: Any, y: Any, u: Any, dy: Any) -> Any:
    grad_y = dy + u * 2 * y
    dx = 2 * x * grad_y
    return dx


def passes_a_part_on(x: Any, y: Any, u: Any, v: Any) -> Any:
    du = v
    return inner_layer(x, y, u, 3 * du)


def squared_twice(x: Any) -> Any:
    y = x * x
    return (y * y).sum()


ZEROS = np.zeros(3)


def begins_with_zeros(x: Any, y: Any, dy: Any = ZEROS) -> Any:
    grad_y = dy + 2 * y
    dx = 2 * x * grad_y
    return dx


@pytest.mark.parametrize(("f", "backward", "names"), [
    (two_uses, passes_a_part_on, ["du", "grad_y", "dx"]), (squared_twice, begins_with_zeros, ["grad_y", "dx"]),
])  # fmt: skip
def test_a_parameter_with_a_part_of_a_gradient_is_not_judged(f: Any, backward: Any, names: list[str]) -> None:
    report = compare_steps(f, backward, np.array([1.0, 2.0, 3.0]))
    assert [(step.name, step.verdict) for step in report.steps] == [(name, "ok") for name in names], str(report)


def test_a_form_feed_ends_no_line() -> None:
    backward = "\x0cdef backward(x, y):\n    dy = np.ones_like(y)\n    dx = x * dy\n    return dx\n"
    forward, backward = both_of(f"{FORWARD}\x0c\n{backward}")
    assert compare_steps(forward, backward, np.ones(3)).first_wrong == "line 9: dx = x * dy"


def told(text: str, inputs: Any, *, others: bool = False) -> list[str]:
    report = compare_steps(*both_of(text), inputs)
    said = [s for d in report.diagnoses for s in (d.text, *d.evidence)]
    return [s for s in said if s.startswith("Line ") or (others and "would come from" in s)]


def test_a_change_leaves_the_names_of_arguments_as_they_are() -> None:
    text = """def forward(x):
    axis = x * x
    ij = axis.sum(axis=1)
    return (ij**2).sum() / 2


def backward(v):
    dij = v.ij
    daxis = np.einsum('i,ij->ij', -dij, np.ones_like(v.axis))
    dx = np.stack([2 * axis * d for axis, d in zip(v.x, daxis)], axis=0)
    return dx
"""
    (said,) = told(text, np.ones((3, 2)) + np.arange(2))
    assert said == ("Line 9: write daxis = np.einsum('i,ij->ij', dij, np.ones_like(v.axis)) instead of daxis = "
                    "np.einsum('i,ij->ij', -dij, np.ones_like(v.axis)).")  # fmt: skip
    text = text.replace("-dij", "dij").replace("np.stack([2", "-np.stack([2")
    (said,) = told(text, np.ones((3, 2)) + np.arange(2))
    assert said.startswith("Line 10: write dx = np.stack([2 * axis * d for axis, d in zip(v.x, daxis)], axis=0) "
                           "instead")


def test_an_edit_names_a_value_that_must_be_passed_in() -> None:
    text = """def forward(x, w):
    z = x @ w
    h = np.tanh(z)
    return (h**2).sum()


def inner({}z, h, w):
    dh = 2 * h
    dz = dh * (1 - h**2)
    dw = z.T @ dz
    dx = dz @ w.T
    return dx, dw


def backward(v):
    return inner({}v.z, v.h, v.w)
"""
    rng = np.random.default_rng(0)
    inputs = {"x": rng.normal(size=(4, 3)), "w": rng.normal(size=(3, 3))}
    (said,) = told(text.format("", ""), inputs)
    assert said == ("Line 10, in inner: write dw = x.T @ dz instead of dw = z.T @ dz. For that, inner must be given x "
                    "of the forward. With this change, it is what its own rule gives, here and at other inputs.")
    (said,) = told(text.format("x, ", "v.x, "), inputs)
    assert said.startswith("Line 10, in inner: write dw = x.T @ dz instead of dw = z.T @ dz. With this change, it is")


def test_a_partial_is_looked_into() -> None:
    text = """import functools


def forward(x):
    y = x * x
    return y.sum()


def times(factor, x, y):
    dy = np.ones_like(y)
    dx = factor * x * dy
    return dx


backward = functools.partial(times, 3)
"""
    report = compare_steps(*both_of(text), np.array([0.5, -1.0, 2.0]))
    assert [(s.name, s.line, s.verdict) for s in report.steps] == [("dy", 10, "ok"), ("dx", 11, "WRONG")]


KEPT = {
    "attributes": ("self.h, self.w = h, w", "self.h", "self.w"),
    "a dict of an object": ("self.cache = {'h': h, 'w': w}", "self.cache['h']", "self.cache['w']"),
    "a dict of the module": ("CACHE.update(h=h, w=w)", "CACHE['h']", "CACHE['w']"),
    "a list of the module": ("CACHE['all'] = [h, w]", "CACHE['all'][0]", "CACHE['all'][1]"),
}


@pytest.mark.parametrize(("keep", "h", "w"), KEPT.values(), ids=KEPT)
def test_what_a_forward_keeps_are_arrays_in_the_backward(keep: str, h: str, w: str) -> None:
    text = f"""CACHE = {{}}


class Net:
    def forward(self, x, w):
        z = x * w
        h = np.tanh(z)
        {keep}
        return (h**2).sum()

    def backward(self):
        dh = {h}.copy()
        dh *= 2
        dz = np.empty_like(dh)
        dz[:] = dh * (1 - {h} ** 2)
        dx = np.asarray(dz * {w})
        return dx


net = Net()
forward, backward = net.forward, net.backward
"""
    inputs = {"x": np.array([0.5, -1.0, 2.0]), "w": np.array([1.0, 0.3, -0.2])}
    backward = written(text)
    space = backward.__globals__
    report = compare_steps(space["forward"], backward, inputs)
    assert report.ok, str(report)
    assert [s.name for s in report.steps] == ["dh", "dz", "dx"]
    held = [*space["CACHE"].values(), *vars(space["net"]).values()]
    assert all(isinstance(part, (Tensor, dict, list)) for part in held)
    backward = written(text.replace("(1 - ", "(1 + "))
    report = compare_steps(backward.__globals__["forward"], backward, inputs)
    assert report.first_wrong == f"line 15: dz[:] = dh * (1 + {h} ** 2)"
    (said,) = [s for d in report.diagnoses for s in d.evidence if s.startswith("Line ")]
    assert f"write dz[:] = dh * (1 - {h} ** 2) instead" in said


def test_of_entries_that_are_written_one_by_one_the_wrong_one_is_named() -> None:
    text = """def forward(x, u):
    a = np.tanh(x[0] * u)
    z = x[1] * u + a
    b = np.tanh(z)
    return (b**2).sum()


def backward(x, u, a, b):
    db = 2 * b
    dz = db * (1 - b**2)
    da = dz
    dx = np.zeros_like(x)
    dx[1] = dz
    dx[0] = da * (1 - a**2) * u
    return dx
"""
    report = compare_steps(*both_of(text), {"x": np.array([[0.3, 0.4], [0.5, 0.6]]), "u": np.array([1.5, 2.0])})
    assert report.first_wrong == "line 13: dx[1] = dz"
    (said,) = [s for d in report.diagnoses for s in (d.text, *d.evidence) if s.startswith("Line ")]
    assert said.startswith("Line 13: write dx[1] = dz * u instead of dx[1] = dz.")


def test_other_ways_to_say_a_change_are_code_and_no_detours() -> None:
    text = """def forward(x, w):
    y = np.stack([(x[i : i + 2] * w).sum() for i in range(3)])
    return (y**2).sum() / 2


def backward(x, w, y):
    dy = y
    dx = np.zeros_like(x)
    dw = np.zeros_like(w)
    for i in range(3):
        dx[i : i + 2] = dy[i] * w
        dw += dy[i] * x[i : i + 2]
    return dx, dw
"""
    report = compare_steps(*both_of(text), {"x": np.array([0.3, 0.4, -0.5, 0.6]), "w": np.array([1.5, 2.0])})
    said = " ".join(s for d in report.diagnoses for s in (d.text, *d.evidence))
    assert "write dx[i:i + 2] += dy[i] * w instead of " in said
    assert "np.add.at" not in said
    text = f"{FORWARD}def backward(x, y):\n    dx = -2 * x\n    return dx\n"
    said = " ".join(told(text, np.array([0.5, -1.0]), others=True))
    assert "write dx = 2 * x instead of " in said
    assert "--" not in said
    assert "-(-" not in said


NAMED = {
    "values called as the methods of a dict": ("", "return loss", "s", "s.keys", "s.values", "keys values"),
    "a cache called as a value": ("", "return loss, {'keys': keys, 's': s}", "s", "s['keys']", "s['s']", "keys s"),
    "all values called as one of them": ("", "return loss", "v", "v.keys", "v.v", "keys v"),
    "an object with slots": (
        "class Kept:\n    __slots__ = ('a', 'b')\n\n\n", "c = Kept()\n    c.a, c.b = keys, s\n    return loss, c",
        "cache", "cache.a", "cache.b", "keys s"),
}  # fmt: skip


@pytest.mark.parametrize(("before", "back", "bag", "one", "two", "names"), NAMED.values(), ids=NAMED)
def test_values_are_handed_over_whatever_they_are_called(
    before: str, back: str, bag: str, one: str, two: str, names: str
) -> None:
    a, b = names.split()
    text = f"""{before}def forward({a}, w):
    {b} = {a} * w
    loss = ({b}**2).sum()
    {back}


def backward({bag}):
    d{b} = np.empty_like({two})
    d{b}[:] = [2 * {two}[k] for k in range(len({one}))]
    dw = d{b} * {one}
    return {{"w": dw}}
"""
    report = compare_steps(*both_of(text), {a: np.array([0.5, -1.0, 2.0]), "w": np.array([1.0, 0.3, -0.2])})
    assert report.ok, str(report)
    assert [s.name for s in report.steps] == [f"d{b}", "dw"]


def test_a_change_keeps_the_other_results_of_the_line() -> None:
    text = """def forward(x, w):
    z = x * w
    y = z + x
    return (y**2).sum()


def backward(x, w, y):
    dy = 2 * y
    dz = dy
    dw, dx = dz * x, dz * x + dy
    return dx, dw
"""
    inputs = {"x": np.array([0.5, -1.0, 2.0]), "w": np.array([1.0, 0.3, -0.2])}
    said = told(text, inputs, others=True)
    assert "write dw, dx = dz * x, dz * w + dy instead of " in said[0]
    assert not any("dz * w, dz * w" in one for one in said)


@pytest.mark.parametrize(
    ("back", "right"),
    [("2 * z * w, 2 * z * w", "2 * z * w, 2 * z * x"),
     ("{'x': 2 * z * w, 'w': 2 * z * w}", "{'x': 2 * z * w, 'w': 2 * z * x}")],
)  # fmt: skip
def test_of_equal_results_the_one_of_the_wrong_input_is_changed(back: str, right: str) -> None:
    text = "def forward(x, w):\n    z = x * w\n    return (z**2).sum()\n\n\n"
    text += f"def backward(x, w, z):\n    return {back}\n"
    (said,) = told(text, {"x": np.array([0.5, -1.0, 2.0]), "w": np.array([1.0, 0.3, -0.2])})
    assert said.partition(" instead of ")[0].replace("(", "").replace(")", "") == f"Line 7: write return {right}"


def test_a_minus_is_no_second_term_where_the_operator_can_be_turned() -> None:
    text = """def forward(x):
    h = np.tanh(x)
    return (h**2).sum()


def backward(x, h):
    dh = 2 * h
    dx = dh * (1 + h**2)
    return dx
"""
    (said,) = told(text, np.array([0.5, -1.0]), others=True)
    assert said.startswith("Line 8: write dx = dh * (1 - h ** 2) instead of ")


def test_a_statement_that_begins_within_a_line_is_shown_from_there() -> None:
    text = """def backward(x, y):
    dy = np.ones_like(
        y); dx = x * dy
    return dx
"""
    report = compare_steps(*both_of(FORWARD + text), np.array([0.5, -1.0]))
    assert report.first_wrong == "line 8: dx = x * dy"


def test_an_operation_without_a_text_of_its_own_has_no_empty_quotation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations, "line_of", lambda node: locations.Line("net.py", 3, "", ""))
    graph: Any = SimpleNamespace(operations=[SimpleNamespace(primitive=SimpleNamespace(name="alias"))])
    assert locations.describe_operation(graph, 0, run=False) == "alias, line 3"


def test_in_a_notebook_a_gradient_with_a_type_or_in_a_condition_has_its_line() -> None:
    x, w = Tensor(np.array([0.5, -1.0])), Tensor(np.array([2.0, 3.0]))
    z = x * w
    loss = (z**2).sum()
    dz = 2 * z.data
    dx: np.ndarray[Any, Any] = -dz * w.data
    if (dw := dz) is not None:
        report = compare_steps(locals())
    assert (float(loss.data), dx.shape) == (10.0, dw.shape)
    one, two = (s for s in report.steps if not s.rule_ok)
    assert {one.source, two.source} == {"dx: np.ndarray[Any, Any] = -dz * w.data", "if (dw := dz) is not None:"}
    said = [s for d in report.diagnoses for s in d.evidence if s.startswith("Line ")]
    assert any("write dx: np.ndarray[Any, Any] = dz * w.data instead of " in one for one in said), said


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("dz * 2 * x", "this is at add in `z = s + np.exp(x)`, line 3"),
        ("dz * 2 * x - dz * np.exp(x)", ("The gradient that is passed back to the result of exp has the wrong sign "
            "from add in `z = s + np.exp(x)`, line 3 on.")),
    ],
)
def test_of_a_value_with_several_uses_the_wrong_one_is_named(rule: str, said: str) -> None:
    text = "def forward(x):\n    s = x * x\n    z = s + np.exp(x)\n    return (z**3).sum()\n"
    text += f"def backward(x, z):\n    dz = 3 * z**2\n    dx = {rule}\n    return dx\n"
    (d,) = compare_steps(*both_of(text), np.array([0.3, 1.1, -0.4])).diagnoses
    assert said in (d.text, *d.evidence)


def test_a_part_of_a_softmax_is_no_softmax() -> None:
    text = "def forward(z):\n    lse = np.log(np.exp(z).sum(axis=1, keepdims=True))\n    logp = z - lse\n"
    text += "    return -(logp[:, 0]).sum()\n\n\ndef backward(z, lse, logp):\n    dlogp = np.zeros_like(logp)\n"
    text += "    dlogp[:, 0] = -1\n    dlse = -dlogp.sum(axis=1, keepdims=True)\n    dz = dlogp\n    return dz\n"
    z = np.random.default_rng(0).normal(size=(3, 4))
    (d,) = compare_steps(*both_of(text), z).diagnoses
    assert "softmax" not in d.text


@pytest.mark.parametrize(("first", "plain"), [("x / x", False), ("x / x", True), ("np.log(x)", False)])
def test_a_loss_that_is_not_finite_has_no_gradient(first: str, plain: bool) -> None:
    text = f"def forward(x):\n    y = x + 1\n    z = {first}\n    loss = (y * z).sum()\n"
    text += "    return np.asarray([float(v) for v in z]).sum() + loss\n" if plain else "    return loss\n"
    text += "def backward(x, y, z):\n    dz = y\n    dy = z\n    dx = dz - dy\n    return dx\n"
    report = compare_steps(*both_of(text), np.array([0.0, 2.0]))
    assert (report.ok, report.steps, report.rows, report.kinds) == (False, (), (), ("blind_test",))
    assert report.first_wrong == f"line 3: z = {first}"
    assert report.diagnoses[0].text == (
        "The result of the forward is not finite (NaN or infinity) at these inputs, so there is no gradient and "
        "nothing to compare. NaN comes from 0/0, log of a negative number, or infinity minus infinity; z is the first "
        "value with a name that is not finite."
    )


def test_in_a_notebook_a_loss_that_is_not_finite_has_no_gradient() -> None:
    x = Tensor(np.array([-1.0, 2.0]))
    with np.errstate(all="ignore"):
        root = np.sqrt(x)
        loss = root.sum()
    droot = np.ones(2)
    report = compare_steps(locals())
    assert (np.isnan(float(loss.data)), droot.shape) == (True, (2,))
    assert (report.kinds, report.first_wrong) == (("blind_test",), "root")


SATURATED = """
def forward(X, Y, W1, b1, W2, b2):
    A1 = 1 / (1 + np.exp(-(X @ W1 + b1)))
    A2 = np.tanh(A1 @ W2 + b2)
    return np.sum((A2 - Y) ** 2) / len(X)
def backward(X, Y, W2, A1, A2):
    dA2 = 2 * (A2 - Y) / len(X)
    dZ2 = dA2 * (1 - A2**2)
    dW2, db2 = A1.T @ dZ2, dZ2.sum(axis=0)
    dA1 = dZ2 @ W2.T
    dZ1 = dA1 * A1 * (1 - A1)
    dW1, db1 = X.T @ dZ1, dZ1.sum(axis=0)
    return dW1, db1, dW2, db2
"""


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("edit", "ok"), [(("", ""), True), (("1 - A2**2", "1.001 - A2**2"), False)])
def test_saturated_units_raise_no_alarm(dtype: Any, edit: tuple[str, str], ok: bool) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        shapes = ((30, 4), (30, 3), (4, 20), 20, (20, 3), 3)
        X, Y, *weights = (rng.normal(size=shape) for shape in shapes)
        arrays = X + 3, np.sign(Y), *(3 * w for w in weights)
        report = compare_steps(*both_of(SATURATED.replace(*edit)), tuple(x.astype(dtype) for x in arrays))
        assert report.ok == ok, str(report)


@pytest.mark.parametrize(("edit", "ok"), [(("", ""), True), (("(A - Y)", "(A - Y * 1.000001)"), False)])
def test_a_probability_near_one_makes_no_right_step_wrong(edit: tuple[str, str], ok: bool) -> None:
    """1 - A has few digits in the forward; the backward has no such difference."""
    program = """
def forward(w, b, X, Y):
    Z = X @ w + b
    A = 1 / (1 + np.exp(-Z))
    return -np.mean(Y * np.log(A) + (1 - Y) * np.log(1 - A))
def backward(X, Y, A):
    dZ = (A - Y) / len(Y)
    dw, db = X.T @ dZ, dZ.sum()
    return dw, db
"""
    X, Y = np.array([[6.0, 6.0], [8.0, 4.0], [0.5, 1.0]]), np.array([0.0, 1.0, 1.0])
    report = compare_steps(*both_of(program.replace(*edit)), (np.ones(2), np.zeros(1), X, Y))
    assert report.ok == ok, str(report)


def test_in_a_loop_the_next_index_is_named_and_not_the_last_one() -> None:
    program = """
def forward(x, w):
    h = np.zeros(3)
    hs = [h]
    for t in range(4):
        h = np.tanh(x[t] + h @ w)
        hs.append(h)
    return (h**2).sum(), hs
def backward(w, hs):
    dw, dh = np.zeros_like(w), 2 * hs[4]
    for t in reversed(range(4)):
        dz = dh * (1 - hs[t] ** 2)
        dw += np.outer(hs[t], dz)
        dh = dz @ w.T
    return dw
"""
    rng = np.random.default_rng(0)
    report = compare_steps(*both_of(program), {"x": rng.normal(size=(4, 3)), "w": rng.normal(size=(3, 3))})
    said = [text for d in report.diagnoses for text in d.evidence if text.startswith("Line ")]
    assert said == ["Line 12: write dz = dh * (1 - hs[t + 1] ** 2) instead of dz = dh * (1 - hs[t] ** 2)."]


NETWORK = """
def forward(W1, b1, W2, b2):
    z1 = X @ W1 + b1
    a1 = ACTIVATION
    a2 = 1 / (1 + np.exp(-(a1 @ W2 + b2)))
    loss = -np.sum(Y * np.log(a2) + (1 - Y) * np.log(1 - a2)) / len(X)
    return loss


def backward(W1, b1, W2, b2):
    z1 = X @ W1 + b1
    a1 = ACTIVATION
    a2 = 1 / (1 + np.exp(-(a1 @ W2 + b2)))
    dz2 = (a2 - Y) / len(X)
    dW2 = a1.T @ dz2
    db2 = dz2.sum(axis=0)
    da1 = dz2 @ W2.T
    dz1 = da1 * SLOPE
    dW1 = X.T @ dz1
    db1 = dz1.sum(axis=0)
    return dW1, db1, dW2, db2
"""
SLOPES = {  # of each activation: its value, its derivative, and derivatives of others
    "tanh": ("np.tanh(z1)", "(1 - a1 ** 2)", ("(1 - a1)", "a1 * (1 - a1)", "z1 * (1 - z1)", "(a1 > 0.5)", "(z1 > 0)")),
    "sigmoid": ("1 / (1 + np.exp(-z1))", "a1 * (1 - a1)", ("(1 - z1 ** 2)", "(1 - np.tanh(a1) ** 2)", "(a1 > 0.5)")),
    "relu": ("np.maximum(z1, 0)", "(z1 > 0)", ("(1 - a1)", "(1 - z1 ** 2)", "(1 - np.tanh(a1) ** 2)", "a1 * (1 - a1)")),
}  # fmt: skip


@pytest.mark.parametrize(
    ("activation", "right", "wrong", "kind"),
    [
        (name, f"dz1 = da1 * {slope}\n", f"dz1 = da1 * {other}\n", "derivative")
        for name, (_, slope, others) in SLOPES.items()
        for other in (*others, f"{slope} * {slope}")
        if (name, other) != ("relu", "(z1 > 0) * (z1 > 0)")
    ]
    + [("tanh", "dW1 = X.T @ dz1\n", "dW1 = X @ dz1.T\n", "transpose")],
)
def test_the_derivative_of_another_activation_is_mended(activation: str, right: str, wrong: str, kind: str) -> None:
    value, slope, _ = SLOPES[activation]
    text = NETWORK.replace("SLOPE", slope).replace("ACTIVATION", value)
    assert right in text
    rng = np.random.default_rng(3)
    space = {"X": rng.normal(size=(4, 4)), "Y": (rng.random((4, 3)) > 0.5) * 1.0}
    forward, backward = (written(text.replace(right, wrong), name, **space) for name in ("forward", "backward"))
    inputs = tuple(rng.normal(size=shape) for shape in ((4, 4), 4, (4, 3), 3))
    for report in (compare_gradients(forward, inputs, manual=backward), compare_steps(forward, backward, inputs)):
        (d,) = report.diagnoses
        assert kind in d.kind or (wrong.count(slope) == 2 and d.kind == "wrong_value"), str(report)
        said = " ".join([*f"{d.text} {' '.join(d.evidence)}".split(), ""])
        assert f" write {right.strip()} instead of {wrong.strip()}. " in said or f"line 18: {right.strip()} " in said
