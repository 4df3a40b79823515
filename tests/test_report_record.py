"""Reports on wrong backward passes give the recorded sentences and search results; see `report_record`."""

import json
from typing import Any

import pytest

from tests.compare_record import close
from tests.report_record import CASES, FILE, record

RECORD: dict[str, Any] = json.loads(FILE.read_text("utf-8"))


@pytest.mark.parametrize("name", RECORD)
def test_a_report_equals_its_record(name: str) -> None:
    found = record(CASES[name])
    for k, (value, right) in enumerate(zip(found, RECORD[name], strict=True)):
        assert close(value, right), (k, value, right)
