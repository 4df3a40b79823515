"""Solutions of students, right by central differences and wrong after each edit, and what the comparison says."""

import numpy as np
import pytest

from tests.students.families import CASES, FAMILIES
from tests.students.judge import TAGS, Case, Mistake, alarm, edit, judge, loaded, text_of, wrong_arrays

WORKS = list({(c.work, c.name if c.way != "compare_steps" else c.way): c for c in CASES}.values())
MISTAKES = [(case, mistake) for case in CASES for mistake in case.mistakes]


def check_wrong(case: Case, mistake: Mistake) -> None:
    text, _ = edit(case, mistake)
    with loaded(text, "wrong") as module, np.errstate(all="ignore"):
        assert wrong_arrays(case.call(module, 0), 0)


@pytest.mark.parametrize("case", WORKS, ids=lambda case: case.name)
def test_right_work_is_right_by_central_differences(case: Case) -> None:
    with loaded(text_of(case.work), "right") as module:
        assert wrong_arrays(case.call(module, 1), 1) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_every_mistake_is_wrong_by_central_differences(family: str) -> None:
    for case, mistake in MISTAKES:
        if case.family == family:
            check_wrong(case, mistake)


def test_there_are_enough_mistakes_and_each_has_a_word() -> None:
    steps = [case for case in CASES if case.family == "makemore"]
    assert len(steps) == 26
    assert min(len(case.mistakes) for case in steps) >= 4
    assert min(len(case.mistakes) for case in CASES if case.family != "makemore") >= 6
    assert {mistake.tag for _, mistake in MISTAKES} <= set(TAGS)
    assert len({(id(case), mistake.old, mistake.new) for case, mistake in MISTAKES}) == len(MISTAKES)


def test_the_right_exercise_has_no_wrong_step() -> None:
    case = next(case for case in CASES if case.family == "makemore")
    assert [alarm(case, seed) for seed in range(3)] == ["", "", ""]


@pytest.mark.slow
def test_the_wrong_line_of_the_exercise_is_found_with_its_kind() -> None:
    steps = [case for case in CASES if case.family == "makemore"]
    asked = [(case, case.mistakes[(k + i) % len(case.mistakes)]) for k, case in enumerate(steps) for i in (0, 3)]
    verdicts = [judge(case, mistake) for case, mistake in asked]
    assert all(verdict.word != "right" for verdict in verdicts)
    assert np.mean([verdict.first for verdict in verdicts]) >= 0.97
    assert np.mean([verdict.word in ("named", "mended") for verdict in verdicts]) >= 0.9
