"""Complete reports on wrong backward passes, recorded in `records/reports.json`: decisions, sentences and lines.

    python -m tests.report_record

writes them again, if a change to the comparison is meant to change them: read the diff before you commit it.
The backward passes come from `kinds`, `students.operations` and `students.families`, with one mistake each.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from tests.compare_parts import checksum, words_and_numbers
from tests.compare_record import NUMBER, RANDOM, digits, of_row, write
from tests.kinds import FAMILIES
from tests.students import families, operations, perceptrons
from tests.students.judge import Case, Mistake, compare, edit, loaded, text_of
from tests.test_kinds import manual
from tests.wrong_backward import DEEP, DROPPED2, FLOAT32, HEAVY, NARROW, ONE_ROW, ROOT, SQUARE, Student
from tinygrad_nn import compare_gradients
from tinygrad_nn.compare import ComparisonReport
from tinygrad_nn.compare.budget import time_limit
from tinygrad_nn.compare.edits.search import _Search as EditSearch
from tinygrad_nn.compare.edits.text import after_and_before
from tinygrad_nn.compare.function import comparison
from tinygrad_nn.compare.function.search import Search
from tinygrad_nn.compare.layers import verdict

Array = Any
FILE = Path(__file__).parent / "records" / "reports.json"
LINES = r"\blines? \d+(?:, \d+)*(?: and \d+)?"


def of_report(report: ComparisonReport) -> list[Any]:
    """What a report decides and says; numbers at few digits, those of rounding left out."""
    # How many entries are looked at hangs on rounding, since the worst of each array are among them.
    about = re.sub(r"\d+ (?=of \d+ entries)", "", report.method)
    method, quoted = words_and_numbers((report.verdict, about))
    found: list[Any] = [report.ok, report.first_wrong, checksum(" ".join(method)), quoted]
    found += [{road: digits(value, 7) for road, value in report.losses.items()}, *words_and_numbers(report.notes)]
    for d in report.diagnoses:
        found.append([d.kind, d.where, d.factor, list(d.alternatives), d.number, d.equation,
                      *words_and_numbers((d.text, *d.evidence))])  # fmt: skip
    for step in report.steps:
        found.append([step.name, step.belongs_to, step.line, step.source, step.value_ok, step.rule_ok])
    html = re.sub(r"<(/?\w+)[^>]*>", r"<\1>", report.to_html())
    for row in report.rows:
        if row.ok:  # whether rounding left a difference
            html = re.sub(rf"(<figcaption>{re.escape(row.name)} \([^<]*?\)), [^<]*", r"\1", html)
    shown = (re.sub(NUMBER, "#", text) for text in (str(report), html))
    found += map(checksum, shown)
    rows = [step.row for step in report.steps if not step.rule_ok] or report.rows
    return [*found, *(of_row(replace(row, role="input", apart=None)) for row in rows)]


def of_family(family: str, bug: str) -> ComparisonReport:
    f, inputs, backward, _ = FAMILIES[family]
    return compare_gradients(f, inputs(np.random.default_rng(3)), manual=manual(backward, bug))


def of_operation(case: operations.Case) -> ComparisonReport:
    return compare_gradients(case.f, case.inputs(1), manual=case.backward)


class Changed(Student):
    """A right backward of layers in which delta, dW or db of one layer is changed; if `told`, it returns its deltas."""

    def __init__(self, at: int, part: str, change: str, told: bool) -> None:
        super().__init__(at)
        self.part, self.change, self.told = part, CHANGES[change], told

    def __call__(self, *args: Any, **options: Any) -> Any:
        loss, dW, db = super().__call__(*args, **options)
        return (loss, dW, db, [self.delta[k] for k in range(self.K)]) if self.told else (loss, dW, db)

    def spoil(self, k: int, delta: Array) -> Array:
        return self.change(delta, self.z[k]) if self.part == "delta" else delta

    def dW(self, k: int, delta: Array, right: Array) -> Array:
        return self.change(right, self.W(k)) if self.part in ("dW", "both") else right

    def db(self, k: int, delta: Array, right: Array) -> Array:
        return self.change(right, self.model[k].b.data) if self.part in ("db", "both") else right


LAYERS = {"deep": DEEP, "dropped": DROPPED2, "heavy": HEAVY, "square": SQUARE, "root": ROOT, "a row": ONE_ROW,
          "single": FLOAT32, "narrow": NARROW}  # fmt: skip


def of_changed_layer(setting: str, part: str, change: str, told: bool) -> ComparisonReport:
    model, x, y, solver = LAYERS[setting].build(len(change))
    return compare_gradients(model, x, y, solver=solver, manual=Changed(len(change), part, change, told))


def of_perceptron(wrong: perceptrons.Mistake) -> ComparisonReport:
    model, x, y, solver = wrong.setting.build(wrong.seed)
    return compare_gradients(model, x, y, solver=solver, manual=wrong.make(wrong.at))


def of_student(case: Case, mistake: Mistake | None) -> ComparisonReport:
    text = text_of(case.work) if mistake is None else edit(case, mistake)[0]
    with loaded(text, f"student_{case.work}") as module:
        report: ComparisonReport = compare(case, case.call(module, 1), 1)
    return report


def _put(d: Array, at: Any, value: Any) -> Array:
    d = d.copy()
    d[at] = value
    return d


def _one(d: Array) -> Any:
    return (slice(0, 1),) * d.ndim


CHANGES: dict[str, Callable[[Array, Array], Array]] = {  # of a right gradient d, of an input x
    "minus": lambda d, x: -d, "twice": lambda d, x: 2 * d, "half": lambda d, x: d / 2, "by rows": lambda d, x: d * 4,
    "over rows": lambda d, x: d / 4, "root": lambda d, x: d * 2**0.5, "nothing": lambda d, x: 0 * d,
    "a number": lambda d, x: 0.37 * d, "transposed": lambda d, x: d.T, "axis before": lambda d, x: d[None],
    "axis behind": lambda d, x: d[..., None], "flat": lambda d, x: d.ravel(), "summed": lambda d, x: d.sum(axis=0),
    "summed, last": lambda d, x: d.sum(axis=-1), "spread": lambda d, x: np.stack([d / 2, d / 2]),
    "not a number": lambda d, x: d * np.nan, "one not a number": lambda d, x: _put(d, _one(d), np.nan),
    "infinite": lambda d, x: _put(d, _one(d), np.inf), "penalty": lambda d, x: d + 0.25 * x,
    "sign of it": lambda d, x: d + np.sign(x) / 8, "more": lambda d, x: d + 1.5, "single": lambda d, x: d.astype("f4"),
    "rows turned": lambda d, x: d[::-1], "first lost": lambda d, x: _put(d, 0, 0.0),
    "last alone": lambda d, x: _put(0 * d, -1, d[-1]), "one off": lambda d, x: _put(d, _one(d), 2.5),
    "sizes": lambda d, x: np.abs(d), "cut": lambda d, x: d.clip(-0.2, 0.2), "rounded": lambda d, x: d.round(1),
    "squared": lambda d, x: d * d, "by itself": lambda d, x: d * x, "column": lambda d, x: _put(d, (..., 0), 1.0),
}  # fmt: skip
SHAPES = {
    "square": ((4, 3), (3, 3)), "row": ((1, 3), (3, 2)), "column": ((4, 3), (3, 1)), "three": ((2, 4, 3), (3, 3)),
    "steps": ((4, 2), (2, 4)),
}  # fmt: skip


def of_change(shape: str, change: str, which: tuple[int, ...]) -> ComparisonReport:
    """Report on a backward of one layer with some results changed, whose source cannot be found."""
    rng = np.random.default_rng(len(change))
    x, W = (rng.normal(size=size) for size in SHAPES[shape])
    b = rng.normal(size=W.shape[1])

    def right(x: Array, W: Array, b: Array, g: Array) -> list[Array]:
        d = g * (1 - np.tanh(x @ W + b) ** 2)
        rows = tuple(range(d.ndim - 1))
        return [d @ W.T, np.tensordot(x, d, (rows, rows)), d.sum(axis=rows)]

    def changed(*given: Array) -> list[Array]:
        return [CHANGES[change](d, x) if i in which else d for i, (d, x) in enumerate(zip(right(*given), given[:3],
                                                                                         strict=True))]  # fmt: skip

    manual = eval("lambda x, W, b, g: changed(x, W, b, g)", {"changed": changed})
    return compare_gradients(lambda x, W, b: np.tanh(x @ W + b), (x, W, b), manual=manual)


def every() -> Iterator[tuple[str, Callable[[], ComparisonReport]]]:
    for family, (*_, mistakes) in FAMILIES.items():
        for bug, *_ in mistakes:
            yield f"kind {family}, {bug}", partial(of_family, family, bug)
    for case in operations.cases():
        if case.mistake:
            yield f"operation {case.name}, {case.mistake}", partial(of_operation, case)
    for k, change in enumerate(CHANGES):
        for i, shape in enumerate(SHAPES):
            which = ((0,), (1,), (2,), (0, 1, 2), (1, 2))[(k + i) % 5]
            yield f"change {change} {shape} {which}", partial(of_change, shape, change, which)
            part, told = ("delta", "dW", "db", "both")[(k + 2 * i) % 4], (k + i) % 3 == 0
            s = [*LAYERS][(k + i) % len(LAYERS)]
            yield f"layer {change} {s} {part} {told}", partial(of_changed_layer, s, part, change, told)
    for wrong in perceptrons.every(1):
        if wrong.kind not in RANDOM and wrong.words not in RANDOM:
            yield f"perceptron {wrong.label}", partial(of_perceptron, wrong)
    for work in families.CASES:
        if work.way != "compare_steps":
            yield f"right {work.family} {work.name}", partial(of_student, work, None)
        for k, mistake in enumerate(work.mistakes):
            yield f"{work.family} {work.name} {k}", partial(of_student, work, mistake)


def watched(owner: Any, name: str, brief: Callable[[Any], Any], kept: list[Any]) -> Any:
    """Patch a function so that an abbreviated form of what it returns is also kept."""
    function = getattr(owner, name)

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        found = function(*args, **options)
        kept.append([name, *brief(found)])
        return found

    return mock.patch.object(owner, name, call)


# Of searches all that they found, with what it costs: a report names the best of it only.
SEARCHES: tuple[tuple[Any, str, Callable[[Any], list[Any]]], ...] = (
    (Search, "matches", lambda found: sorted(
        [m.mutant.kind, round(m.mutant.cost, 3), m.mutant.linear, m.factor.name, [p for p, _ in m.mutant.parts]]
        for m in found)),
    (verdict, "explain", lambda state: [round(state.cost, 3), *(
        [f.layer, f.part, f.kind, f.factor and f.factor.name, *f.alternatives] for f in state.findings)]),
    (EditSearch, "_candidates", lambda found: [len(found), round(sum(c[0] for c in found), 3)]),
    (EditSearch, "_sweep", lambda found: sorted(
        [round(cost, 3), after_and_before(source, change)[0], sorted(fixes)]
        for cost, source, change, fixes in found)),
)  # fmt: skip


def record(run: Callable[[], ComparisonReport]) -> Any:
    """Make a report without time limits; return its record and that of the searches."""
    kept: list[Any] = []
    with mock.patch.object(comparison, "SECONDS", math.inf), time_limit(5.0), ExitStack() as stack:
        stack.enter_context(np.errstate(all="ignore"))
        for owner, name, brief in SEARCHES:
            stack.enter_context(watched(owner, name, brief, kept))
        try:
            found = of_report(run())
        except (ValueError, TypeError) as e:
            found = [type(e).__name__, str(e)]
    text = re.sub(LINES, "line", json.dumps([*found, kept]))  # where a function stands in a file of tests may change
    return json.loads(text)


CASES = dict(every())


def main() -> None:
    names = json.loads(FILE.read_text("utf-8")) if FILE.exists() else CASES
    write(FILE, {name: record(CASES[name]) for name in names})


if __name__ == "__main__":
    main()
