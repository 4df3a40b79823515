"""Of a line in a loop, `compare_steps` names edits that hold in each round in which the line is wrong."""

import re
from typing import Any

import numpy as np
import pytest

from tests.test_edit_parts import written
from tinygrad_nn import compare_steps

FORWARD = """
import numpy as np
def forward(A, x0, y):
    x = x0
    xs = [x0]
    loss = 0.0
    for t in range(len(y)):
        x = np.tanh(A @ x)
        xs.append(x)
        loss = loss + 0.5 * ((x - y[t]) ** 2).sum()
    return loss
"""
BACKWARD = """
def backward(A, x0, y, xs):
    dA, dx = np.zeros_like(A), np.zeros_like(x0)
    for t in range(len(y) - 1, -1, -1):
        dx = dx + xs[t + 1] - y[t]
        da = dx * (1 - xs[t + 1] ** 2)
        dA += np.outer(da, xs[t])
        dx = A.T @ da
    return dA, dx
"""


def report_of(backward: str, rounds: int = 4, size: int = 3) -> Any:
    space = written(FORWARD + backward, "forward").__globals__
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(size, size)), rng.normal(size=size), rng.normal(size=(rounds, size))
    return compare_steps(space["forward"], space["backward"], inputs, names={"dx": "x"})


def changed(right: str, wrong: str) -> str:
    assert BACKWARD.count(right) == 1
    return BACKWARD.replace(right, wrong)


def test_an_edit_that_is_right_where_the_carried_gradient_is_zero_is_not_named() -> None:
    """Only without the carried dx is xs[t + 1] - (dx + y[t]) the right one; the sign of two terms is wrong."""
    report = report_of(changed("dx + xs[t + 1] - y[t]", "dx + y[t] - xs[t + 1]"))
    (diagnosis,) = report.diagnoses
    assert diagnosis.kind == "sign"
    assert diagnosis.text.startswith("The gradient has the wrong sign from add in `loss = loss + 0.5 *")
    assert not any("write" in sentence for sentence in (diagnosis.text, *diagnosis.evidence))


def test_an_alternative_that_holds_in_one_round_is_not_named() -> None:
    """In the round where t is 3, xs[4] is the same as xs[t + 1]."""
    report = report_of(changed("dx + xs[t + 1] - y[t]", "dx + xs[t] - y[t]"))
    diagnosis = report.diagnoses[0]
    assert "write dx = dx + xs[t + 1] - y[t] instead of dx = dx + xs[t] - y[t]" in diagnosis.text
    assert "xs[4]" not in str(report.diagnoses)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("dx + xs[t + 1] - y[t]", "dx - xs[t + 1] - y[t]"), ("dx + xs[t + 1] - y[t]", "xs[t + 1] - y[t]"),
     ("A.T @ da", "A @ da"), ("dx * (1 - xs[t + 1] ** 2)", "dx * (1 - xs[t] ** 2)")],
)  # fmt: skip
def test_an_edit_that_is_named_makes_all_gradients_right(right: str, wrong: str) -> None:
    wrong_backward = changed(right, wrong)
    diagnosis = report_of(wrong_backward).diagnoses[0]
    told = [s for s in (diagnosis.text, *diagnosis.evidence) if s.startswith("Line ")]
    after, before = re.fullmatch(r"Line \d+: write (.*?) instead of (.*?)\.(?: With this .*)?", told[0]).groups()  # type: ignore[union-attr]
    assert wrong_backward.count(before) == 1
    assert report_of(wrong_backward.replace(before, after), rounds=5, size=2).ok
