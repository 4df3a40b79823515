"""Wrong backward passes of many operations, written without knowledge of the hypotheses: none is called right."""

from functools import cache

import numpy as np
import pytest

from tests.students.operations import OPERATIONS, Case, alarm, cases, cotangent, results, spoiled, verdict
from tinygrad_nn.compare.diagnosis import KINDS

ALL = list(cases())
RIGHT = [case for case in ALL if not case.mistake]
WRONG = [case for case in ALL if case.mistake]
SLOW = ("lstm", "gru")  # long graphs
SOME = [case for case in WRONG if case.name not in SLOW][::3]  # `python -m tests.students operations` judges all
NAMED, LOCATED = 58, 61  # of some, at least


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: case.name)
def test_the_right_ones_are_right_by_central_differences(case: Case) -> None:
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
def test_every_mistake_spoils_a_gradient(case: Case) -> None:
    assert spoiled(case)


def test_there_are_enough_of_every_family() -> None:
    families = [case.family for case in WRONG]
    assert len(WRONG) >= 200
    assert min(families.count(family) for family in set(families)) >= 5
    assert len(OPERATIONS) == len(RIGHT)


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: case.name)
def test_right_gradients_get_no_diagnosis(case: Case) -> None:
    for seed in range(1 if case.name in SLOW else 3):
        assert not alarm(case, seed)


@cache
def said(k: int) -> tuple[str, str]:
    """The verdict on a wrong one: whether it is named or located, and the words."""
    return verdict(SOME[k])


@pytest.mark.slow
@pytest.mark.parametrize("k", range(len(SOME)), ids=lambda k: f"{SOME[k].name}: {SOME[k].mistake}")
def test_no_wrong_one_is_called_right(k: int) -> None:
    assert said(k)[0] not in ("right", "raised"), said(k)[1]


@pytest.mark.slow
def test_most_are_named_and_others_located() -> None:
    words = [said(k)[0] for k in range(len(SOME))]
    assert words.count("named") >= NAMED
    assert words.count("named") + words.count("located") >= LOCATED


def test_the_kinds_that_are_expected_are_known() -> None:
    assert {kind for case in WRONG for kind in case.kinds.split()} <= set(KINDS)
