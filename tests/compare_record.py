"""The numbers that a hundred comparisons report, recorded in `records/comparisons.json`.

    python -m tests.compare_record

writes them again, if a change to the comparison is meant to change them: read the diff before you commit it.
A record has the decisions and the numbers of a report, and of its sentences the numbers that they quote.
`records/parts.json` has results of the internal functions of a comparison on small arrays; see `compare_parts`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from tests import compare_sweep, test_compare, test_compare_function
from tests.wrong_backward import HELD_OUT, TABLE, Mistake, mistakes
from tinygrad_nn import compare_gradients
from tinygrad_nn.compare import ComparisonReport
from tinygrad_nn.compare.budget import time_limit
from tinygrad_nn.compare.diagnosis import Row
from tinygrad_nn.compare.function import comparison

FILE = Path(__file__).parent / "records" / "comparisons.json"
NUMBER = r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.]*\w)"
RANDOM = ("nondeterministic", "drawn again")  # the kind and the words of those that draw without a seed


def digits(value: float, count: int = 5) -> Any:
    """Return a number rounded to some digits, in a form that JSON can hold."""
    return float(f"{value:.{count}g}") if math.isfinite(value) else str(value)


def of_row(row: Row) -> list[Any]:
    """Return the content of a row, without numbers that are only rounding errors."""
    found: list[Any] = [row.name, row.role]
    if row.role == "parameter" or not (row.ok or row.role == "input"):  # of a right delta it is that of a few entries
        found.append(digits(row.bound, 3))
    if row.role != "input":  # for functions these bounds are measured, so they depend on rounding
        found.append(row.apart and digits(row.apart.rounding, 3))
    if row.apart is not None:
        found += [digits(row.apart.largest), row.apart.kinks]
    if row.note:
        found.append(row.note)
    if not row.ok:
        worst = list(row.worst) if has_one_worst(row) else None
        columns = (row.wrong, row.max_abs, row.max_rel, row.cosine, row.ratio)
        if abs(row.ratio) > 1e12:  # the right one is zero but for rounding
            columns = columns[:3]
        found += [worst, row.odd, row.checked, *(digits(value) for value in columns)]
        if row.error is not None:
            total = float(np.nansum(row.error))
            found += [*row.error.shape, digits(total, 4) if 1e-12 < total < 1e12 else 0]
        if row.apart is not None:
            found += [digits(d.relative, 3) if d.relative > 1e-6 else 0 for d in row.apart[:3]]
    return found


def has_one_worst(row: Row) -> bool:
    """Whether one entry of a wrong row is the worst; of some that are alike, rounding decides which one is reported."""
    top = 0.0 if row.error is None else float(np.nanmax(row.error, initial=0))
    one = row.error is None or (top > 1e-12 and np.sum(row.error >= top * (1 - 1e-9)) == 1)
    return bool(one)


def of_report(report: ComparisonReport) -> dict[str, Any]:
    """The decisions of a report, and its numbers."""
    said = [{
        "kind": d.kind, "where": d.where, "factor": d.factor, "alternatives": list(d.alternatives), "number": d.number,
        "equation": bool(d.equation), "numbers": numbers(" ".join((d.text, *d.evidence))),
    } for d in report.diagnoses]  # fmt: skip
    if report.rows and report.rows[0].role == "parameter":  # of layers also the words
        for one, d in zip(said, report.diagnoses, strict=True):
            one["words"] = re.sub(NUMBER, "#", " ".join((d.text, *d.evidence)))
    losses = {road: digits(value, 9) for road, value in report.losses.items()}
    return {"ok": report.ok, "first_wrong": report.first_wrong, "losses": losses, "notes": len(report.notes),
            "diagnoses": said, "rows": [of_row(row) for row in report.rows]}  # fmt: skip


def numbers(text: str) -> list[Any]:
    """The numbers in a text, at few digits; those that rounding makes, and of lines, are left out."""
    text = re.sub(r"\blines? \d+(?:, \d+)*(?: and \d+)?", "", text)
    found = [float(n) for n in re.findall(NUMBER, text)]
    return [digits(n, 4) for n in found if n == 0 or abs(n) > 1e-6]


def record(run: Callable[[], ComparisonReport]) -> Any:
    """Run a comparison without time limits, so that its result does not depend on the clock; return its record."""
    with mock.patch.object(comparison, "SECONDS", math.inf), time_limit(5.0):
        text = json.dumps(of_report(run()))
    return json.loads(re.sub(r"\blines? \d+", "line", text))  # where a function stands in a file of tests may change


def of_mistake(mistake: Mistake) -> Callable[[], ComparisonReport]:
    def run() -> ComparisonReport:
        model, x, y, solver = mistake.setting.build(mistake.seed)
        return compare_gradients(model, x, y, solver=solver, manual=mistake.make(mistake.at))

    return run


def _right(seed: int) -> ComparisonReport:
    model, x, y, solver = test_compare.random_case(seed)
    return compare_gradients(model, x, y, solver=solver, rng=seed)


def _functions() -> dict[str, Callable[[], ComparisonReport]]:
    known = {**test_compare_function.RIGHT, **test_compare_function.WRONG}
    return {f"function {name}": lambda f=f, x=x, m=m: compare_gradients(f, x, manual=m)
            for name, (f, x, m) in known.items() if name not in RANDOM}  # fmt: skip


CASES: dict[str, Callable[[], ComparisonReport]] = {
    **{m.label: of_mistake(m) for m in (*mistakes(TABLE), *mistakes(HELD_OUT))
       if m.kind not in RANDOM and m.words not in RANDOM},
    **{f"right {seed}": lambda seed=seed: _right(seed) for seed in range(24)},
    **_functions(),
    **{f"{case.__name__} {wrong} {seed}": lambda case=case, seed=seed, wrong=wrong: case(seed, wrong)[2]
       for case, count in ((compare_sweep.function_case, 32), (compare_sweep.layers_case, 10))
       for wrong in (False, True) for seed in range(count)},
}  # fmt: skip


def close(a: Any, b: Any) -> bool:
    """Whether two records are equal, their numbers to about the digits that they have."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(close(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(close, a, b))
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return abs(a - b) <= 2e-3 * max(abs(a), abs(b))
    return bool(a == b)


def write(file: Path, found: dict[str, Any]) -> None:
    """Write a record, a line for each name."""
    lines = (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in found.items())
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def main() -> None:
    from tests import compare_parts

    write(FILE, {name: record(run) for name, run in CASES.items()})
    with time_limit(5.0):
        write(compare_parts.FILE, {name: make() for name, make in compare_parts.PARTS.items()})


if __name__ == "__main__":
    main()
