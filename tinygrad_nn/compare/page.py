"""Write a report as a self-contained HTML page: no scripts, nothing loaded from a network, all user text escaped."""

from __future__ import annotations

import base64
import math
import struct
import xml.etree.ElementTree as ET
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.printable import html_text
from ..files import POLICY
from .diagnosis import KINDS, Diagnosis, Row, compact_text
from .steps import listing

if TYPE_CHECKING:
    from .report import ComparisonReport

Array = np.ndarray[Any, Any]

LOW, HIGH = -16.0, 0.0  # decades of the relative error between the lightest and the darkest colour
COLOURS = np.array([[238, 243, 247], [250, 219, 160], [226, 110, 64], [120, 16, 40]], float)
NOT_FINITE = (90, 60, 160)
ATTRIBUTES = frozenset({"display", "displaystyle", "scriptlevel", "stretchy", "fence", "form", "mathvariant", "accent",
                        "width", "linethickness"})  # the MathML attributes that are kept

STYLE = """
.tg { --ink:#1d252c; --soft:#5b6770; --line:#d5dce1; --card:#f6f8f9; --good:#11693b; --bad:#a51228; --paper:#fff;
  font:16px/1.5 system-ui,sans-serif; color:var(--ink); background:var(--paper); max-width:60rem;
  margin:0 auto; padding:1rem }
@media (prefers-color-scheme:dark) { .tg { --ink:#e6ebef; --soft:#a3b0ba; --line:#3a454d; --card:#20282e;
  --good:#6fd39c; --bad:#ff8d97; --paper:#161b1f } }
.tg h1 { font-size:1.35rem; line-height:1.3; margin:.2rem 0 } .tg h2 { font-size:1.1rem; margin:2rem 0 .6rem }
.tg h3 { font-size:1rem; margin:0 }
.tg .soft { color:var(--soft) } .tg .verdict { font-weight:600; font-size:1.1rem } .tg .good { color:var(--good) }
.tg .bad { color:var(--bad) } .tg .wide { overflow-x:auto } .tg p { margin:.4rem 0 }
.tg h1,.tg p,.tg li,.tg td { overflow-wrap:anywhere }
.tg table { border-collapse:collapse; table-layout:auto; font-size:.86rem; font-variant-numeric:tabular-nums;
  width:100% }
.tg th,.tg td { padding:.28rem .5rem; border-bottom:1px solid var(--line); text-align:right; white-space:nowrap }
.tg th:first-child,.tg td:first-child,.tg th[class],.tg td[class] { text-align:left }
.tg th { color:var(--soft); font-weight:500 }
.tg .card { background:var(--card); border-left:4px solid var(--bad); border-radius:4px;
  padding:.7rem 1rem; margin:.7rem 0 }
.tg .card.fine { border-color:var(--good) } .tg .card ul { margin:.4rem 0; padding-left:1.2rem; color:var(--soft) }
.tg .maps { display:flex; flex-wrap:wrap; gap:1.2rem } .tg figure { margin:0; max-width:100% }
.tg figcaption { font-size:.82rem; color:var(--soft); max-width:16rem }
.tg img { image-rendering:pixelated; border:1px solid var(--line); display:block; max-width:100% }
.tg .scale { height:.8rem; width:16rem; max-width:100%; border:1px solid var(--line) }
.tg math { font-size:1.08rem } .tg code { font-size:.9em }
"""


def page(report: ComparisonReport) -> str:
    """Return the report as a complete HTML page, whose security policy forbids scripts and network access."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html_text(report.title)}</title>\n"
        '<style>html{color-scheme:light dark}body{margin:0;background:#fff}'
        '@media (prefers-color-scheme:dark){body{background:#161b1f}}</style></head>\n'
        f"<body>{fragment(report)}</body></html>\n"
    )


def fragment(report: ComparisonReport) -> str:
    """Return the report as an HTML fragment, for a notebook."""
    style = STYLE + (listing.STYLE if report.steps else "")
    parts = [f"<style>{style}</style><main class='tg'>", "<p class='soft'>Gradients compared</p>"]
    parts.append(f"<h1>{html_text(report.title)}</h1>")
    parts.append(f"<p class='verdict {'good' if report.ok else 'bad'}'>{html_text(report.verdict)}</p>")
    if report.losses:
        text = ", ".join(f"{road} {compact_text(value, 8)}" for road, value in report.losses.items())
        parts.append(f"<p>Loss: {html_text(text)}</p>")
    if report.steps:
        parts += ["<h2>Your lines, from the loss backwards</h2>", listing.as_html(report.steps)]
    if report.diagnoses:
        parts.append("<h2>Why</h2>")
        parts += [_card(k, d) for k, d in enumerate(report.diagnoses, 1)]
    if report.steps:
        parts.append(f"<p class='soft'>{html_text(report.method)}</p>")
    elif report.rows:
        parts += ["<h2>The three roads, array by array</h2>", _table(report)]
        parts.append(f"<p class='soft'>{html_text(report.method)}</p>")
        if report.shown_entries:
            parts += ["<h2>The worst entry of each</h2>", _worst(report.shown_entries)]
    rows = [step.own for step in report.steps if not step.rule_ok][:12] if report.steps else report.rows
    maps = [row for row in rows if (row.error is not None and row.role != "intermediate") or not row.ok]
    drawn = [_map(row, row.error) for row in maps if row.error is not None and not row.note.startswith("has shape")]
    if drawn:
        parts += ["<h2>Where the errors are</h2>", _legend(), f"<div class='maps'>{''.join(drawn)}</div>"]
    if report.notes:
        parts += ["<h2>Notes</h2>", *(f"<p>{html_text(note)}</p>" for note in report.notes)]
    return "\n".join([*parts, "</main>"])


def _card(k: int, d: Diagnosis) -> str:
    evidence = "".join(f"<li>{html_text(text)}</li>" for text in d.evidence)
    twins = html_text(", ".join(d.alternatives))
    other = f"<p class='soft'>The same numbers would come from: {twins}.</p>" if twins else ""
    right = f"right: {html_text(d.number)} {mathml(d.equation)}" if d.equation else ""
    equation = f"<div class='wide' tabindex='0'>{right}</div>" if right else ""
    return (
        f"<section class='card{' fine' if d.harmless else ''}'>"
        f"<h3>{k}. {html_text(d.where)}: {html_text(KINDS[d.kind])} <code class='soft'>{d.kind}</code></h3>"
        f"<p>{html_text(d.text)}</p><ul>{evidence}</ul>{other}{equation}</section>"
    )


def mathml(tex: str) -> str:
    """Return TeX as MathML, or the escaped TeX itself if it cannot be converted."""
    from latex2mathml.converter import convert

    try:
        root = ET.fromstring(convert(tex))  # `convert` does not escape text, so only MathML tags are let through
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
            if not (element.tag.isalpha() and element.tag.startswith("m")):
                raise ValueError(element.tag)
            element.attrib = {name: value for name, value in element.attrib.items() if name in ATTRIBUTES}
        return ET.tostring(root, encoding="unicode")
    except Exception:  # the TeX of a user's own operation may be any text
        return f"<code>{html_text(tex)}</code>"


def _table(report: ComparisonReport) -> str:
    heads = ("array", "verdict", "shape", "max abs", "max rel", "cosine", "ratio", "wrong", "checked")
    lines = []
    for row in report.rows:
        verdict = report.row_verdict(row)
        mark = "bad" if verdict.endswith("is off") else "good" if verdict == "ok" and not row.note else "soft"
        if row.ok and row.note:
            verdict = row.note
        cells = [
            "×".join(map(str, row.shape)) or "number", compact_text(row.max_abs), compact_text(row.max_rel),
            compact_text(row.cosine, 6), compact_text(row.ratio, 5),
            f"{row.wrong:.1%}" if row.wrong else "0", f"{row.checked:,}",
        ]  # fmt: skip
        cells = [cell if cell != "nan" else "–" for cell in cells]
        lines.append(f"<tr><td>{html_text(row.name)}</td><td class='{mark}'>{html_text(verdict)}</td>"
                     f"{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")  # fmt: skip
    head = "".join(f"<th{' class=soft' if text == 'verdict' else ''}>{text}</th>" for text in heads)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return f"<div class='wide' tabindex='0'>{table}</div>"


def _worst(rows: list[Row]) -> str:
    lines = "".join(
        f"<tr><td>{html_text(row.name)}{list(row.worst)}</td>"
        + "".join(f"<td>{'–' if math.isnan(v) else compact_text(v, 8)}</td>"
                  for v in (row.manual, row.graph, row.numerical))
        + "</tr>" for row in rows
    )  # fmt: skip
    head = "<tr><th>entry</th><th>manual</th><th>graph</th><th>numerical</th></tr>"
    return f"<div class='wide' tabindex='0'><table><thead>{head}</thead><tbody>{lines}</tbody></table></div>"


def _map(row: Row, error: Array) -> str:
    height, width = error.shape
    wide, high = (max(8, min(256, 24 * n)) for n in (width, height))  # in pixels, limited so that a map fits the page
    largest = f"worst at {list(row.worst)}, largest difference {compact_text(row.max_abs)}"
    where = largest if row.max_abs else "no difference"
    return (
        f"<figure><img src='data:image/png;base64,{_png(_colours(error))}' style='width:{wide}px;height:{high}px' "
        f"alt='errors of {html_text(row.name)}'>"
        f"<figcaption>{html_text(row.name)} ({'×'.join(map(str, row.shape))}), {html_text(where)}</figcaption></figure>"
    )


def _legend() -> str:
    ramp = _png(_colours(10.0 ** np.linspace(LOW, HIGH, 128)[None, :]))
    return (
        "<p class='soft'>|manual − graph| over the largest entry of the graph's gradient; rows of W are units.</p>"
        f"<img class='scale' src='data:image/png;base64,{ramp}' alt='scale from 1e-16 to 1'>"
        "<p class='soft'>from 1e-16 (left: rounding) to 1 (right), in decades; violet: not finite</p>"
    )


def _colours(error: Array) -> Array:
    """Return RGB bytes of shape (rows, columns, 3): light for rounding, dark for wrong."""
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.clip((np.log10(error) - LOW) / (HIGH - LOW), 0, 1) * (len(COLOURS) - 1)
    t = np.nan_to_num(t)
    k = np.minimum(t.astype(int), len(COLOURS) - 2)
    part = (t - k)[..., None]
    rgb = COLOURS[k] * (1 - part) + COLOURS[k + 1] * part
    rgb[~np.isfinite(error)] = NOT_FINITE
    colours: Array = rgb.round().astype(np.uint8)
    return colours


def _png(rgb: Array) -> str:
    """Return an RGB image as a PNG in base64."""
    height, width, _ = rgb.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    raw = b"".join(b"\0" + line.tobytes() for line in rgb)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")
    return base64.b64encode(data).decode()
