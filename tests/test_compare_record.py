"""Comparisons give the recorded decisions and numbers; see `compare_record`."""

import json
from typing import Any

import pytest

from tests.compare_record import CASES, FILE, close, record

RECORD: dict[str, Any] = json.loads(FILE.read_text("utf-8"))


def test_most_comparisons_are_on_record() -> None:
    assert len(RECORD.keys() & CASES.keys()) >= 240, "write the record anew: python -m tests.compare_record"


@pytest.mark.parametrize("name", [name for name in CASES if name in RECORD])
def test_each_comparison_returns_its_recorded_result(name: str) -> None:
    found = record(CASES[name])
    assert found.keys() == RECORD[name].keys()
    for key, value in found.items():
        assert close(value, RECORD[name][key]), (key, value, RECORD[name][key])
