"""`compare_steps` of the cell of an LSTM: a forward with two results and a cache, a backward with two cotangents."""

from typing import Any

import numpy as np
import pytest

from tests.test_edit_parts import written
from tinygrad_nn import compare_steps

FORWARD = '''
import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def forward(x, h, c, Wx, Wh, b):
    n = h.shape[1]
    a = x @ Wx + h @ Wh + b
    i = sigmoid(a[:, :n])
    f = sigmoid(a[:, n:2 * n])
    o = sigmoid(a[:, 2 * n:3 * n])
    g = np.tanh(a[:, 3 * n:])
    next_c = f * c + i * g
    t = np.tanh(next_c)
    next_h = o * t
    cache = (x, h, c, Wx, Wh, i, f, o, g, t)
    return next_h, next_c, cache


def backward(dnext_h, dnext_c, cache):
    x, h, c, Wx, Wh, i, f, o, g, t = cache
'''
LATER = '''
    da = np.hstack([di, df, do, dg])
    dx = da @ Wx.T
    dh = da @ Wh.T
    dWx = x.T @ da
    dWh = h.T @ da
    db = da.sum(axis=0)
    return dx, dh, dc, dWx, dWh, db
'''
# each gate's gradient of the gate, and then that of what the gate is computed from
IN_TWO_LINES = FORWARD + '''
    do = dnext_h * t
    dnext_c = dnext_c + dnext_h * o * (1 - t ** 2)
    dc = dnext_c * f
    df = dnext_c * c
    di = dnext_c * g
    dg = dnext_c * i
    da = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g ** 2)])
''' + LATER.replace("    da = np.hstack([di, df, do, dg])\n", "")  # fmt: skip
# "do" is the gradient of what o is computed from: a value without a name in a function with gradients
IN_ONE_LINE = FORWARD + '''
    do = dnext_h * t * o * (1 - o)
    dnext_c = dnext_c + dnext_h * o * (1 - t ** 2)
    dc = dnext_c * f
    df = dnext_c * c * f * (1 - f)
    di = dnext_c * g * i * (1 - i)
    dg = dnext_c * i * (1 - g ** 2)
''' + LATER  # fmt: skip
FORMS = {"two lines": IN_TWO_LINES, "one line": IN_ONE_LINE}
NAMED = {"do": "o", "df": "f", "di": "i", "dg": "g"}
SHAPES = {"x": (3, 4), "h": (3, 5), "c": (3, 5), "Wx": (4, 20), "Wh": (5, 20), "b": (20,)}


def inputs(dtype: str = "float64") -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape).astype(dtype) for name, shape in SHAPES.items()}


def report_of(source: str, dtype: str = "float64") -> Any:
    backward: Any = written(source)
    return compare_steps(backward.__globals__["forward"], backward, inputs(dtype))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("form", FORMS)
def test_a_right_cell_is_right_with_two_cotangents(form: str, dtype: str) -> None:
    report = report_of(FORMS[form], dtype)
    assert report.ok
    assert not report.diagnoses
    assert {step.name for step in report.steps} >= {"do", "df", "di", "dg", "da", "dc", "dWx", "db"}
    notes = [f"{name} is taken as the gradient of a value without a name, from which {value} is computed."
             for name, value in NAMED.items()]  # fmt: skip
    assert sorted(report.notes) == (sorted(notes) if form == "one line" else [])


@pytest.mark.parametrize(
    ("result", "parameters"),
    [
        ("next_h, next_c, cache", "dnext_h, dnext_c, cache"),
        ("next_h, next_c, cache", "dnext_c, dnext_h, cache"),
        ("next_c, next_h, cache", "cache, dnext_h, dnext_c"),
        ("o * t, next_c, cache", "dnext_h, dnext_c, cache"),  # the result without a name is that of dnext_h
        ("o * t, f * c + i * g, cache", "dnext_h, dnext_c, cache"),
        ("{'next_c': next_c, 'next_h': next_h, 'cache': cache}", "dnext_h, dnext_c, cache"),
    ],
)
@pytest.mark.parametrize("fault", ["", "dc = dnext_h * f"])
def test_each_cotangent_goes_to_the_result_of_its_name(result: str, parameters: str, fault: str) -> None:
    source = IN_TWO_LINES.replace("return next_h, next_c, cache", f"return {result}")
    source = source.replace("backward(dnext_h, dnext_c, cache)", f"backward({parameters})")
    report = report_of(source.replace("dc = dnext_c * f", fault or "dc = dnext_c * f"))
    assert report.ok is (not fault)
    assert not fault or str(report.first_wrong).endswith(f": {fault}")


def test_a_forward_on_arrays_alone_has_two_cotangents_as_well() -> None:
    source = IN_TWO_LINES.replace("a = x @ Wx", "a = np.zeros((3, 20))\n    a[...] = np.asarray(x, float) @ Wx")
    for fault in ("dc = dnext_c * f", "dc = dnext_c * o"):
        report = report_of(source.replace("dc = dnext_c * f", fault))
        assert "Numerical only" in report.method
        assert report.ok is fault.endswith("f")
        assert report.ok or str(report.first_wrong).endswith(f": {fault}")


FAULTS = [
    ("two lines", "dnext_c + dnext_h * o", "dnext_h * o", "overwritten_not_accumulated", "dnext_c +="),
    ("two lines", "o * (1 - t ** 2)", "o * (1 - t)", "wrong_derivative", "(1 - t ** 2)"),
    ("two lines", "df = dnext_c * c", "df = dnext_c * f", "wrong_value", "df = dnext_c * c"),
    ("two lines", "np.hstack([di * i * (1 - i)", "np.hstack([di * (1 - i)", "wrong_derivative", "di * (1 - i) * i"),
    ("two lines", "dWh = h.T @ da", "dWh = x.T @ da", "wrong_value", "dWh = h.T @ da"),
    ("one line", "g * i * (1 - i)", "g * (1 - i)", "wrong_derivative", "di = dnext_c * g * (1 - i) * i"),
    ("one line", "i * (1 - g ** 2)", "i * (1 - g)", "wrong_derivative", "(1 - g ** 2)"),
    ("one line", "[di, df, do, dg]", "[df, di, do, dg]", "edit", "[di, df, do, dg]"),
    ("one line", "di = dnext_c * g", "di = dnext_c * i", "wrong_value", "di = dnext_c * g"),
]


@pytest.mark.parametrize(("form", "right", "wrong", "kind", "edit"), FAULTS)
def test_one_fault_in_a_cell_is_the_one_diagnosis_with_its_edit(
    form: str, right: str, wrong: str, kind: str, edit: str
) -> None:
    source = FORMS[form].replace(right, wrong)
    line = next(k for k, text in enumerate(source.split("\n"), 1) if wrong in text)
    report = report_of(source)
    assert not report.ok
    assert report.kinds == (kind,)
    assert str(report.first_wrong).startswith(f"line {line}: ")
    assert edit in " ".join([report.diagnoses[0].text, *report.diagnoses[0].evidence])
