"""Wrong backward passes of many operations, written by one who has not seen the hypotheses: none is called right."""

import numpy as np
import pytest

import tinygrad_nn as tg
from tests.students.operations import OPERATIONS, cases, cotangent, judge, results, spoiled

ALL = list(cases())
RIGHT = [case for case in ALL if not case.mistake]
WRONG = [case for case in ALL if case.mistake]
SLOW = ("lstm", "gru")  # long graphs


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: case.name)
def test_the_right_ones_are_right_by_central_differences(case) -> None:
    inputs, g = case.inputs(0), cotangent(case, 0)
    rng = np.random.default_rng(1)
    found = results(case.backward, [a.copy() for a in inputs], g)
    for k, a in enumerate(inputs):
        v, h = rng.normal(size=np.shape(a)), 1e-5  # error of order h^2, and 1e-16/h
        up, down = ([x + (s * v if i == k else 0) for i, x in enumerate(inputs)] for s in (h, -h))
        slope = (g * (np.asarray(case.f(*up)) - np.asarray(case.f(*down)))).sum() / (2 * h)
        assert np.shape(found[k]) == np.shape(a)
        np.testing.assert_allclose((found[k] * v).sum(), slope, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("case", WRONG, ids=lambda case: f"{case.name}: {case.mistake}")
def test_every_mistake_spoils_a_gradient(case) -> None:
    assert spoiled(case)


def test_there_are_enough_of_every_family() -> None:
    families = [case.family for case in WRONG]
    assert len(WRONG) >= 200
    assert min(families.count(family) for family in set(families)) >= 5
    assert len(OPERATIONS) == len(RIGHT)


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: case.name)
def test_nothing_is_said_of_the_right_ones(case) -> None:
    for seed in range(1 if case.name in SLOW else 3):
        report = tg.compare_gradients(case.f, case.inputs(seed), manual=case.backward, rng=seed)
        assert report.ok, str(report)
        assert not report.diagnoses, str(report)


@pytest.mark.parametrize("case", [c for c in WRONG if c.name not in SLOW], ids=lambda c: f"{c.name}: {c.mistake}")
def test_no_wrong_one_is_called_right(case) -> None:
    report = tg.compare_gradients(case.f, case.inputs(1), manual=case.backward)
    assert not judge(case, report).passed
