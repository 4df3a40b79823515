"""Which tests `pytest -m "not slow"` runs, and from which recorded times they are chosen."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import seconds

TESTS = Path(__file__).resolve().parent
TABLE = """import pytest
@pytest.mark.parametrize("k", range(100))
def test_{name}(k): pass
"""


def test_the_quick_part_has_some_cases_of_each_test(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_bytes((TESTS / "conftest.py").read_bytes())
    (tmp_path / "seconds.txt").write_text("0.013 test_b.py::test_dear\n3.00 test_c.py::test_long\n")
    for file, name in {"a": "cheap", "b": "dear", "c": "long"}.items():
        (tmp_path / f"test_{file}.py").write_text(TABLE.format(name=name))
    command = [sys.executable, "-m", "pytest", "--rootdir=.", "-q", "--collect-only", "-o", "markers=slow", "-m"]
    listed = {
        part: subprocess.run([*command, part, "."], cwd=tmp_path, capture_output=True, text=True).stdout
        for part in ("slow", "not slow")
    }
    names = ("cheap", "dear", "long")
    counts = {part: [text.count(f"test_{name}[") for name in names] for part, text in listed.items()}
    assert counts == {"slow": [96, 97, 100], "not slow": [4, 3, 0]}


def test_what_a_case_takes_is_the_mean_of_its_phases() -> None:
    log = """
0.25s setup    tests/test_a.py::test_one[x [1]]
0.10s call     tests/test_a.py::test_one[x [1]]
0.05s call     tests/test_a.py::test_one[y]
0.01s call     tests/test_a.py::test_two
1.00s call     tinygrad_nn/a.py::tinygrad_nn.a.f
"""
    found = seconds.means(log.splitlines())
    assert found == pytest.approx({"tests/test_a.py::test_one": 0.2, "tinygrad_nn/a.py::tinygrad_nn.a.f": 1.0})
