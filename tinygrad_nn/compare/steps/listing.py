"""Show the steps as the user's own source lines, in the order of the walk back, as text and as HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from ...common.columns import pad, text_columns, truncate
from ...common.printable import html_text, printable
from ..diagnosis import compact_text
from .step import Step

MARKS = {"ok": "ok", "follows": "(ok)", "WRONG": "WRONG"}
LEGEND = "(ok): the line is right, and the gradient that came into it is wrong."
LINE = 45  # characters of a source line shown in the text

STYLE = """
.tg .steps td:nth-child(3) { white-space:pre-wrap; font-family:ui-monospace,Menlo,Consolas,monospace; min-width:14rem;
  text-align:left; overflow-wrap:anywhere } .tg .steps th:nth-child(3) { text-align:left }
.tg .steps tr.good td:nth-child(3) { color:var(--good) } .tg .steps tr.bad td:nth-child(3) { color:var(--bad) }
.tg .steps tr.soft td:nth-child(3) { color:var(--soft) } .tg .steps tr.good td:first-child { color:var(--good) }
.tg .steps tr.bad td:first-child { color:var(--bad); font-weight:600 }
.tg .steps tr.bad td { background:color-mix(in srgb, var(--bad) 9%, transparent) }
.tg .steps td { vertical-align:top } .tg .steps .why { white-space:normal; color:var(--ink); margin-top:.3rem;
  font-family:system-ui,sans-serif }
.tg .steps .both { display:none; font-size:.8rem; color:var(--soft) }
@media (max-width:40rem) { .tg .steps .both { display:block }
  .tg .steps th:nth-child(n+4),.tg .steps td:nth-child(n+4) { display:none } }
"""


class Line(NamedTuple):
    """One source line with all its rounds of a loop; `step` is the worst round, which is shown."""

    step: Step
    rounds: int
    wrong: int


def lines(steps: Sequence[Step]) -> list[Line]:
    """Group the steps by source line, in the order in which the walk back first reaches each line."""
    steps_of_line: dict[tuple[str, int, str], list[Step]] = {}
    for step in steps:
        steps_of_line.setdefault((step.name.partition("[")[0], step.line, step.function), []).append(step)
    order = ("ok", "follows", "WRONG")
    joined = []
    for line_steps in steps_of_line.values():
        worst = max(line_steps, key=lambda s: order.index(s.verdict))  # of equally bad rounds, the one nearest the loss
        joined.append(Line(worst, len(line_steps), sum(not s.rule_ok for s in line_steps)))
    return joined


def _code(line: Line) -> str:
    step = line.step
    source = printable(step.source)
    several = "," in source.partition("=")[0]
    is_in_source = step.name.partition("[")[0] in source and not several
    text = source if is_in_source else f"{printable(step.name)}: {source}".rstrip(": ")
    count_text = f"  ({line.wrong or line.rounds} of {line.rounds})" if line.wrong else f"  ({line.rounds} times)"
    return text + (count_text if line.rounds > 1 else "")


def as_text(steps: Sequence[Step]) -> list[str]:
    """Return the steps as lines of at most 80 characters."""
    texts = [f"{'':<5} {'line':>4}  {'your line':<{LINE}} {'yours':>10} {'right':>10}", "-" * 80]
    joined = lines(steps)
    for line in joined:
        step, code = line.step, _code(line)
        if text_columns(code) > LINE:
            tail = code[code.rfind("  (") :] if line.rounds > 1 else ""
            code = truncate(code, LINE - len(tail)) + tail
        where = str(step.line) if step.line else ""
        yours, right = _yours_and_right(step)
        texts.append(f"{MARKS[step.verdict]:<5} {where:>4}  {pad(code, LINE)} {yours:>10} {right:>10}")
    if any(line.step.verdict == "follows" for line in joined):
        texts += ["", LEGEND]
    wrong = [line.step for line in joined if not line.step.rule_ok and not math.isnan(line.step.own.manual)]
    if wrong:
        head = f"{'worst entry of each wrong line':<34} {'yours':>14} {'by its rule':>14}"
        texts += ["", head]
        for step in wrong[:12]:
            rule_row = step.own
            where = truncate(f"{printable(step.name)}{list(rule_row.worst)}", 34, "")
            yours, by_rule = compact_text(rule_row.manual, 7), compact_text(rule_row.graph, 7)
            texts.append(f"{pad(where, 34)} {yours:>14} {by_rule:>14}")
    return texts


def _yours_and_right(step: Step) -> tuple[str, str]:
    """Return the number of the user and the right one, or the shapes of both gradients if these differ."""
    row = step.row
    if row.note.startswith("has shape"):
        shape = row.note.partition("(")[2].partition(")")[0].replace(",", " ").split()
        return "x".join(shape) or "number", "x".join(map(str, row.shape)) or "number"
    return compact_text(row.manual, 4), compact_text(row.graph, 4)


def as_html(steps: Sequence[Step]) -> str:
    """Return the steps as an HTML table: right lines in green, wrong ones in red with the diagnosis beneath."""
    classes = {"ok": "good", "follows": "soft", "WRONG": "bad"}
    body = []
    joined = lines(steps)
    for line in joined:
        step = line.step
        numerical = "–" if math.isnan(step.row.numerical) else compact_text(step.row.numerical, 5)
        rule = "–" if math.isnan(step.arrived) else compact_text(step.arrived, 5)
        why = ""
        if step.diagnosis is not None and not step.rule_ok:
            kind = html_text(step.diagnosis.kind)
            why = f"<div class='why'>{html_text(step.diagnosis.text)} <code class='soft'>{kind}</code></div>"
        yours, right = map(html_text, _yours_and_right(step))
        both = f"<div class='both'>yours {yours}, right {right}</div>"  # on a phone
        cells = [html_text(MARKS[step.verdict]), str(step.line or ""), html_text(_code(line)) + both + why,
                 yours, right, html_text(numerical), html_text(rule)]  # fmt: skip
        cells_html = "".join(f"<td>{cell}</td>" for cell in cells)
        body.append(f"<tr class='{classes[step.verdict]}'>{cells_html}</tr>")
    heads = ("", "line", "your line", "yours", "right", "numerical", "by its own rule")
    head = "".join(f"<th>{text}</th>" for text in heads)
    legend = f"<p class='soft'>{LEGEND}</p>" if any(line.step.verdict == "follows" for line in joined) else ""
    table = f"<table class='steps'><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    return f"<div class='wide' tabindex='0'>{table}</div>{legend}"
