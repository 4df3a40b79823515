"""What a case of each test takes: `python -m tests.seconds LOG` writes seconds.txt, by which conftest.py draws the
quick part and puts the longest files first. LOG is what `pytest -n 2 --dist loadfile --durations=0 -vv` printed, on a
machine that does nothing else.
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

FILE = Path(__file__).with_name("seconds.txt")
LEAST = 0.03  # what takes less is cheap


def means(lines: Iterable[str]) -> dict[str, float]:
    """Return the mean seconds of a test's cases, with setup and teardown, by test, without those below `LEAST`."""
    taken: dict[str, float] = {}
    cases: dict[str, set[str]] = {}
    for line in lines:
        if found := re.match(r"([0-9.]+)s (?:setup|call|teardown) +(.+)", line):
            test = found[2].partition("[")[0]
            taken[test] = taken.get(test, 0.0) + float(found[1])
            cases.setdefault(test, set()).add(found[2])
    return {test: mean for test in sorted(taken) if (mean := taken[test] / len(cases[test])) >= LEAST}


if __name__ == "__main__":
    found = means(Path(sys.argv[1]).read_text(encoding="utf-8").splitlines())
    FILE.write_text("".join(f"{seconds:.2f} {test}\n" for test, seconds in found.items()), encoding="utf-8")
