"""What a comparison found: rows of numbers, diagnoses in words; printed, as JSON, as a page."""

from __future__ import annotations

import json
import math
import textwrap
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..printable import printable

Array = np.ndarray[Any, Any]

KINDS = {
    "scale": "a constant factor too much or too little",
    "sign": "the sign is turned",
    "transpose": "the matrix is transposed",
    "broadcast_not_summed": "a broadcast was not summed on the way back",
    "wrong_axis_sum": "summed over the wrong axis",
    "missing_activation_derivative": "the derivative of the activation is missing",
    "activation_derivative_at_wrong_value": "the derivative of the activation is taken at the wrong value",
    "softmax_diagonal_only": "only the diagonal of the Jacobian of softmax",
    "wrong_loss_gradient": "the gradient of another loss",
    "missing_penalty": "the penalty is missing",
    "extra_penalty": "a penalty that does not belong there",
    "wrong_penalty": "another penalty than the solver's",
    "dropout_mask_missing": "the dropout mask is missing",
    "dropout_mask_stale": "another dropout mask than the forward pass drew",
    "dropout_scale_missing": "the scale of the dropout mask is missing",
    "wrong_layer_input": "the input of another layer",
    "overwritten_not_accumulated": "overwritten where it should be added up",
    "cotangent_ignored": "the cotangent is ignored",
    "kink": "a convention at a kink",
    "convention": "both are right, by another convention",
    "rounding": "rounding",
    "blind_test": "a blind test",
    "nondeterministic": "another result each time",
    "accumulated_over_calls": "each call adds to the one before",
    "inplace_overwrite": "an input was written into",
    "unknown": "no known mistake explains it",
}
HARMLESS = frozenset({"kink", "convention", "rounding"})
WIDTH = 80


@dataclass(frozen=True)
class Diagnosis:
    """Why a gradient is wrong.

    Attributes:
        kind: a key of `KINDS`.
        where: the layer or argument, and what of it: ``layer 1 delta``.
        text: a sentence.
        evidence: the numbers that it rests on, a sentence each.
        equation: the right equation, in TeX.
        number: of that equation in the docs (B.. or F..), or the name of the operation.
        factor: the name of a wrong factor, else empty.
        alternatives: other kinds that would give exactly the same numbers.
    """

    kind: str
    where: str
    text: str
    evidence: tuple[str, ...] = ()
    equation: str = ""
    number: str = ""
    factor: str = ""
    alternatives: tuple[str, ...] = ()

    @property
    def harmless(self) -> bool:
        """Whether it is no mistake."""
        return self.kind in HARMLESS


@dataclass(frozen=True)
class Row:
    """What the three roads say about one array.

    Attributes:
        name, shape: ``layer 1 W`` and its shape.
        role: ``parameter``, ``input``, or ``intermediate`` (z, a and delta of a layer).
        ok: whether manual and graph agree in every entry, and the referee with both.
        max_abs, max_rel: the largest difference between manual and graph, and the largest of any entry relative to it.
        cosine, ratio: of the angle between the two, and the factor that fits manual = ratio * graph best.
        wrong: the share of entries that disagree.
        worst: index of the entry that disagrees most; `manual`, `graph`, `numerical`: its value by each road.
        odd: the road that disagrees with the other two, or ``""``.
        checked: entries that were also differentiated numerically; `bound`: the largest error of those.
        note: what a number cannot say: another shape, NaN, not known.
    """

    name: str
    shape: tuple[int, ...]
    role: str
    ok: bool
    max_abs: float
    max_rel: float
    cosine: float
    ratio: float
    wrong: float
    worst: tuple[int, ...]
    manual: float
    graph: float
    numerical: float
    odd: str
    checked: int
    bound: float
    note: str = ""
    error: Array | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class ComparisonReport:
    """The three roads to a gradient side by side, and why they differ. Printed, it is a table.

    Attributes:
        rows: one for each array compared.
        diagnoses: why they differ, nearest the loss first; empty where nothing does.
        first_wrong: the layer or operation nearest the loss from which all later errors follow, or None.
        notes: sentences about what could and could not be seen.
        losses: the value by each road.
    """

    title: str
    rows: tuple[Row, ...]
    diagnoses: tuple[Diagnosis, ...] = ()
    first_wrong: str | None = None
    notes: tuple[str, ...] = ()
    losses: dict[str, float] = field(default_factory=dict)
    method: str = ""

    @property
    def ok(self) -> bool:
        """Whether the gradient is right: nothing differs, or by rounding and convention only."""
        return all(d.harmless for d in self.diagnoses) and (bool(self.diagnoses) or all(row.ok for row in self.rows))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the diagnoses, each once."""
        return tuple(dict.fromkeys(d.kind for d in self.diagnoses))

    @property
    def checked(self) -> int:
        """How many entries were also differentiated numerically."""
        return sum(row.checked for row in self.rows)

    @property
    def verdict(self) -> str:
        """One sentence."""
        if self.diagnoses and all(d.kind == "blind_test" for d in self.diagnoses):
            return "The test is BLIND: whatever the gradient is, nothing could be seen here."
        if not self.ok:
            wrong = [row.name for row in self.rows if not row.ok]
            what = f"in {len(wrong)} of {len(self.rows)} arrays" if wrong else "though all numbers agree"
            if not all(d.harmless for d in self.diagnoses) and self.first_wrong:
                what += f"; look at {self.first_wrong} first"
            graph = bool(wrong) and all(row.odd == "graph" for row in self.rows if not row.ok)
            whose = "graph's gradient" if graph else "gradient"
            return f"The {whose} is WRONG {what}."
        if self.diagnoses:
            return f"The gradient is right; it differs by {' and '.join(self.kinds)} only."
        return "The gradient is right: the three roads agree."

    def __str__(self) -> str:
        return as_text(self)

    def to_json(self) -> str:
        """Return all of it as JSON; NaN and infinities are texts."""
        rows = []
        for row in self.rows:
            plain = {key: value for key, value in vars(row).items() if key != "error"}
            rows.append(_plain(plain))
        found = {
            "title": self.title, "ok": self.ok, "verdict": self.verdict, "first_wrong": self.first_wrong,
            "losses": _plain(self.losses), "method": self.method, "rows": rows,
            "diagnoses": [_plain(asdict(d)) for d in self.diagnoses], "notes": list(self.notes),
        }  # fmt: skip
        return json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False)

    def to_html(self, path: str | Path | None = None) -> str:
        """Return a self-contained page, and write it to a file if a path is given.

        Args:
            path: where to; a file of that name is replaced.

        Returns:
            The page: tables, heat maps of the errors, equations in MathML; no script, nothing from a network.
        """
        from .page import page

        text = page(self)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def _repr_html_(self) -> str:
        from .page import fragment

        return fragment(self)


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(part) for part in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else str(float(value))
    return value.item() if isinstance(value, np.generic) else value


def number(value: float, digits: int = 2) -> str:
    """Return a number in at most 8 or so characters."""
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    text = f"{value:.{digits}g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        text = f"{mantissa}e{int(exponent)}"
    return text


def as_text(report: ComparisonReport) -> str:
    """Return the report as lines of at most 80 characters."""
    wide = min(22, max([9, *(len(row.name) for row in report.rows)]))
    head = (f"{'array':<{wide}} {'shape':>10} {'max abs':>8} {'max rel':>8} {'ratio':>7} {'wrong':>6}  verdict")
    lines = _wrapped(report.title, "")
    if report.rows:
        lines += ["", head, "-" * min(WIDTH, wide + 57)]
    for row in report.rows:
        name = printable(row.name)
        name = name if len(name) <= wide else name[: wide - 1] + "…"
        shape = "x".join(map(str, row.shape)) or "number"
        verdict = "ok" if row.ok else f"{row.odd or 'manual'} is off"
        if row.note and math.isnan(row.max_abs) and row.ok:
            lines.append(f"{name:<{wide}} {shape:>10} {row.note}")
            continue
        share = "-" if not row.wrong else "100%" if row.wrong == 1 else f"{max(row.wrong, 0.001):.1%}"
        lines.append(
            f"{name:<{wide}} {shape:>10} {number(row.max_abs):>8} {number(row.max_rel):>8} "
            f"{number(row.ratio, 4):>7} {share:>6}  {verdict}"
        )
    shown = [row for row in report.rows if not row.ok and math.isfinite(row.graph)]
    if shown:
        lines += ["", f"{'worst entry of each':<{wide + 11}} {'manual':>13} {'graph':>13} {'numerical':>13}"]
        for row in shown[:12]:
            where = f"{printable(row.name)}{list(row.worst)}"
            numerical = "-" if math.isnan(row.numerical) else number(row.numerical, 7)
            lines.append(f"{where[: wide + 11]:<{wide + 11}} {number(row.manual, 7):>13} {number(row.graph, 7):>13} "
                         f"{numerical:>13}")  # fmt: skip
    if report.losses:
        lines += ["", "loss: " + ", ".join(f"{road} {number(v, 8)}" for road, v in report.losses.items())]
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
            lines += _wrapped(f"right: {d.number + '  ' if d.number else ''}{d.equation}", "   ", "          ")
    for note in report.notes:
        lines += ["", *_wrapped(f"Note: {note}", "", "  ")]
    return "\n".join(lines)


def _wrapped(text: str, indent: str, after: str | None = None) -> list[str]:
    later = indent if after is None else after
    return textwrap.wrap(printable(text), WIDTH, initial_indent=indent, subsequent_indent=later, break_on_hyphens=False)
