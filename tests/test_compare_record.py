"""Each of a hundred comparisons comes to the decisions and the numbers that are on record; see `compare_record`."""

import json
from typing import Any

import pytest

from tests.compare_record import CASES, FILE, of_report

RECORD: dict[str, Any] = json.loads(FILE.read_text("utf-8"))


def close(a: Any, b: Any) -> bool:
    """Whether two records are equal, their numbers to the digits that they have."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(close(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(close, a, b))
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return abs(a - b) <= 2e-3 * max(abs(a), abs(b))
    return bool(a == b)


def test_every_comparison_is_on_record() -> None:
    assert set(RECORD) == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_comparison_comes_to_what_is_on_record(name: str) -> None:
    found = json.loads(json.dumps(of_report(CASES[name]())))
    assert found.keys() == RECORD[name].keys()
    for key, value in found.items():
        assert close(value, RECORD[name][key]), (key, value, RECORD[name][key])
