"""The report of a comparison: rows of numbers and diagnoses in words, as text, JSON, or an HTML page."""

from __future__ import annotations

import json
import math
import textwrap
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..common.columns import pad, text_columns, truncate
from ..common.printable import printable
from ..files import write_whole
from .diagnosis import NO_GRAPH, Diagnosis, Row, compact_text
from .steps import listing
from .steps.step import Step

WIDTH = 80


@dataclass(frozen=True)
class ComparisonReport:
    """The three roads to a gradient side by side, and why they differ; ``print`` shows it as a table.

    Attributes:
        rows: one for each array compared.
        diagnoses: why they differ, nearest the loss first; empty if nothing differs.
        first_wrong: the layer or operation nearest the loss from which all later errors follow, or None.
        notes: sentences about what the comparison could and could not see.
        losses: the loss by each road.
        method: a sentence about how the numbers were computed.
        steps: the steps of `compare_steps`, in the order of the walk back; else empty.
    """

    title: str
    rows: tuple[Row, ...]
    diagnoses: tuple[Diagnosis, ...] = ()
    first_wrong: str | None = None
    notes: tuple[str, ...] = ()
    losses: dict[str, float] = field(default_factory=dict)
    method: str = ""
    steps: tuple[Step, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the gradient is right: nothing differs, or only by rounding, a convention, or at a kink."""
        return all(d.harmless for d in self.diagnoses) and (bool(self.diagnoses) or all(row.ok for row in self.rows))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the diagnoses, each once."""
        return tuple(dict.fromkeys(d.kind for d in self.diagnoses))

    @property
    def checked(self) -> int:
        """The number of entries that were also differentiated numerically."""
        return sum(row.checked for row in self.rows)

    @property
    def shown_entries(self) -> list[Row]:
        """The wrong rows whose worst entry is known by another road than by hand."""
        return [row for row in self.rows if not row.ok and (math.isfinite(row.graph) or math.isfinite(row.numerical))]

    def row_verdict(self, row: Row) -> str:
        """Return the verdict on one array.

        Args:
            row: one of `rows`.

        Returns:
            "ok"; the kind of the difference if it is no mistake, such as "convention"; or the road that is wrong, such
            as "manual is off".
        """
        kinds = {d.kind: d.harmless for d in self.diagnoses if row.name in (d.where, *d.where.split(", "))}
        if not row.ok and kinds and all(kinds.values()):
            return next(iter(kinds))
        return "ok" if row.ok else f"{row.odd or 'manual'} is off"

    @property
    def verdict(self) -> str:
        """The result of the comparison in one sentence."""
        if self.diagnoses and all(d.kind == "blind_test" for d in self.diagnoses):
            return "The test is BLIND: whatever the gradient is, nothing could be seen here."
        if not self.ok:
            wrong = [s.name for s in self.steps if not s.ok] or [
                row.name for row in self.rows if self.row_verdict(row).endswith("is off")
            ]
            unit = "steps" if self.steps else "arrays"
            what = f"in {len(wrong)} of {len(self.rows)} {unit}" if wrong else "though all numbers agree"
            if self.steps and all(s.ok and s.rule_ok for s in self.steps):
                what = "since the backward stops before its end"
            if not all(d.harmless for d in self.diagnoses) and self.first_wrong:
                what += f"; look at {self.first_wrong} first"
            graph = bool(wrong) and all(row.odd == "graph" for row in self.rows if not row.ok)
            whose = "graph's gradient" if graph else "gradient"
            return f"The {whose} is WRONG {what}."
        if self.diagnoses:
            return f"The gradient is right; it differs by {' and '.join(self.kinds)} only."
        if self.steps:
            count = f"All {len(self.steps)} steps are" if len(self.steps) > 1 else "The step is"
            return f"{count} right, each by its value and by its own rule."
        if self.rows and all(row.note == NO_GRAPH for row in self.rows):
            return "The gradient is right: both roads agree, by hand and numerical; there is no graph."
        return "The gradient is right: the three roads agree."

    def to_json(self) -> str:
        """Return the whole report as JSON; NaN and infinities are written as strings."""
        rows = []
        for row in self.rows:
            plain = {key: value for key, value in vars(row).items() if key not in ("error", "apart")}
            rows.append(_to_json_value(plain))
        found = {
            "title": self.title, "ok": self.ok, "verdict": self.verdict, "first_wrong": self.first_wrong,
            "losses": _to_json_value(self.losses), "method": self.method, "rows": rows,
            "diagnoses": [_to_json_value(asdict(d)) for d in self.diagnoses], "notes": list(self.notes),
            **({"steps": [_to_json_value(step.as_dict()) for step in self.steps]} if self.steps else {}),
        }  # fmt: skip
        return json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False)

    def to_html(self, path: str | Path | None = None) -> str:
        """Return a self-contained page, and write it to a file if a path is given.

        Args:
            path: the file to write; an existing file is replaced.

        Returns:
            The page: tables, heat maps of the errors, equations in MathML; no script, nothing from a network.
        """
        from .page import page

        text = page(self)
        if path is not None:
            write_whole(path, text.encode())
        return text

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        from .page import fragment

        return fragment(self)


def _to_json_value(value: Any) -> Any:
    """Return a value converted to types that JSON can hold."""
    if isinstance(value, dict):
        return {key: _to_json_value(part) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        return [_to_json_value(part) for part in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else str(float(value))
    return value.item() if isinstance(value, np.generic) else value


def as_text(report: ComparisonReport) -> str:
    """Return the report as lines of at most 80 characters."""
    wide = min(22, max([9, *(text_columns(printable(row.name)) for row in report.rows)]))
    head = (f"{'array':<{wide}} {'shape':>10} {'max abs':>8} {'max rel':>8} {'ratio':>7} {'wrong':>6}  verdict")
    lines = _wrapped(report.title, "")
    if report.steps:
        lines += ["", *listing.as_text(report.steps)]
    elif report.rows:
        lines += ["", head, "-" * min(WIDTH, wide + 57)]
    for row in () if report.steps else report.rows:
        name = pad(truncate(printable(row.name), wide), wide)
        shape = "x".join(map(str, row.shape)) or "number"
        verdict = report.row_verdict(row)
        if row.note and math.isnan(row.max_abs) and row.ok:
            lines.append(f"{name} {shape:>10} {row.note}")
            continue
        share = "-" if not row.wrong else "100%" if row.wrong == 1 else f"{max(row.wrong, 0.001):.1%}"
        lines.append(
            f"{name} {shape:>10} {compact_text(row.max_abs):>8} {compact_text(row.max_rel):>8} "
            f"{compact_text(row.ratio, 4):>7} {share:>6}  {verdict}"
        )
    shown = report.shown_entries
    if shown and not report.steps:
        lines += ["", f"{'worst entry of each':<{wide + 11}} {'manual':>13} {'graph':>13} {'numerical':>13}"]
        for row in shown[:12]:
            where = truncate(f"{printable(row.name)}{list(row.worst)}", wide + 11, "")
            values = ["-" if math.isnan(v) else compact_text(v, 7) for v in (row.graph, row.numerical)]
            lines.append(f"{pad(where, wide + 11)} {compact_text(row.manual, 7):>13} {values[0]:>13} "
                         f"{values[1]:>13}")  # fmt: skip
    if report.losses:
        lines += ["", "loss: " + ", ".join(f"{road} {compact_text(v, 8)}" for road, v in report.losses.items())]
    if report.method:
        lines += _wrapped(report.method, "")
    lines += ["", *_wrapped(report.verdict, "")]
    for k, d in enumerate(report.diagnoses, 1):
        lines += ["", *_wrapped(f"{k}. {d.where}: {d.kind}", "", "   "), *_wrapped(d.text, "   ")]
        for sentence in d.evidence:
            lines += _wrapped(f"- {sentence}", "   ", "     ")
        if d.alternatives:
            lines += _wrapped(f"The same numbers would come from: {', '.join(d.alternatives)}.", "   ")
        if d.equation:
            lines += _wrapped(f"right: {d.formula}", "   ", "          ")
    for note in report.notes:
        lines += ["", *_wrapped(f"Note: {note}", "", "  ")]
    return "\n".join(lines)


def _wrapped(text: str, indent: str, after: str | None = None) -> list[str]:
    later = indent if after is None else after
    return textwrap.wrap(printable(text), WIDTH, initial_indent=indent, subsequent_indent=later, break_on_hyphens=False)
