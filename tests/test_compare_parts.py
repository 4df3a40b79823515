"""Internal functions of a comparison give the recorded results; `python -m tests.compare_record` records them again."""

import json
from typing import Any

import pytest

from tests.compare_parts import FILE, PARTS
from tests.compare_record import close

RECORD: dict[str, Any] = json.loads(FILE.read_text("utf-8"))


def test_most_parts_are_on_record() -> None:
    assert len(RECORD.keys() & PARTS.keys()) >= 380, "write the record anew: python -m tests.compare_record"


@pytest.mark.parametrize("name", [name for name in PARTS if name in RECORD])
def test_each_part_returns_its_recorded_result(name: str) -> None:
    found = json.loads(json.dumps(PARTS[name]()))
    for k, (value, right) in enumerate(zip(found, RECORD[name], strict=True)):
        assert close(value, right), (k, value, right)
