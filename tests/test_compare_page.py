"""A hand-made report and its exact output: as text, as JSON, and as a page with its pictures."""

import base64
import math
import re
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_nn.compare import ComparisonReport
from tinygrad_nn.compare.diagnosis import Diagnosis, Row, compact_text
from tinygrad_nn.compare.page import COLOURS, HIGH, LOW, NOT_FINITE, STYLE, _colours, _png, page

GOLDEN = Path(__file__).parent / "records"
NAN, INF = math.nan, math.inf
PLAIN = Row("layer 1 W", (3, 4), "parameter", True, 1e-17, 2e-16, 1.0, 1.0, 0.0, (0, 1), 0.5, 0.5, 0.5, "", 12, 1e-15,
            error=np.array([[0, 1e-16, 1e-12, 1e-8], [1e-4, 0.01, 0.5, 1], [NAN, 2, 1e-20, 3e-16]]))  # fmt: skip
OFF = replace(PLAIN, name="layer 1 b", shape=(7,), ok=False, max_abs=0.25, max_rel=0.5, cosine=0.87654321,
              ratio=1.23456, wrong=0.28571, worst=(3,), manual=0.123456789, graph=-0.1234567, numerical=NAN,
              odd="manual", checked=1234, error=np.array([[0, 1e-9, 0.5, 1e-3, 0, 0, 0.0]]))  # fmt: skip
ROWS = (
    PLAIN, OFF,
    replace(OFF, name="the <gradient> of a long & odd name", shape=(), odd="graph", wrong=1.0, worst=(), error=None),
    replace(OFF, name="layer 2 z", role="intermediate", wrong=0.0001, odd="", graph=NAN, numerical=3.0),
    replace(PLAIN, name="layer 2 a", role="intermediate", max_abs=0.0, max_rel=0.0),
    replace(PLAIN, name="layer 2 delta", role="intermediate", max_abs=NAN, max_rel=NAN, cosine=NAN, ratio=NAN,
            manual=NAN, note="not known", error=None),
    replace(PLAIN, name="layer 2 W", note="kept", error=None),
    replace(OFF, name="wide", shape=(2, 300), worst=(1, 299), error=np.full((2, 300), 1e-3), max_abs=INF, manual=INF),
    replace(OFF, name="tall", shape=(40, 2), worst=(39, 0), error=np.full((40, 2), 0.1), max_abs=0.0, ratio=-0.5),
)  # fmt: skip
WHY = (
    Diagnosis("scale", "layer 1 b", "db is 2 times the right one.", ("one <sentence>", "another, " + "long " * 20),
              r"\bar b = \sum_n \delta_n", "(B3)", "2", ("sign", "unknown")),
    Diagnosis("kink", "layer 2 W", "A convention.", (), "x & y <", ""),
)  # fmt: skip
FULL = ComparisonReport("3 - 4 <title> & more", ROWS, WHY, "layer 1", ("a note, " + "of words " * 12, "<b>"),
                        {"manual": 1.25, "graph": NAN}, "Numerical: how it was done.")  # fmt: skip
RIGHT = ComparisonReport("right", ROWS[:1])


def pictures(text: str) -> str:
    """A page with, for each picture, its size and the sum of its bytes."""

    def read(found: re.Match[str]) -> str:
        data = base64.b64decode(found[1])
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        at, parts = 8, {}
        while at < len(data):
            size = int.from_bytes(data[at : at + 4])
            kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
            assert zlib.crc32(kind + body) == int.from_bytes(data[at + 8 + size : at + 12 + size])
            parts[kind], at = body, at + 12 + size
        assert [*parts] == [b"IHDR", b"IDAT", b"IEND"]
        width, height, *rest = struct.unpack(">IIBBBBB", parts[b"IHDR"])
        assert rest == [8, 2, 0, 0, 0]
        raw = zlib.decompress(parts[b"IDAT"])
        assert len(raw) == height * (1 + 3 * width)
        return f"{width} x {height} pixels, {zlib.crc32(raw)}"

    return re.sub(r"data:image/png;base64,([^']*)", read, text)


@pytest.mark.parametrize("name", ["txt", "json", "html"])
def test_a_report_letter_by_letter(name: str) -> None:
    made = {"txt": str, "json": ComparisonReport.to_json, "html": lambda r: pictures(page(r).replace(STYLE, ""))}[name]
    text = made(FULL) + "\n" + made(RIGHT) + "\n"
    assert text == (GOLDEN / f"page.{name}").read_text("utf-8")


@pytest.mark.parametrize(
    ("report", "ok", "verdict"),
    [
        (RIGHT, True, "The gradient is right: the three roads agree."),
        (replace(RIGHT, diagnoses=WHY[1:]), True, "The gradient is right; it differs by kink only."),
        (replace(RIGHT, diagnoses=(WHY[1], replace(WHY[1], kind="rounding"), WHY[1])), True,
         "The gradient is right; it differs by kink and rounding only."),
        (replace(RIGHT, diagnoses=(replace(WHY[0], kind="blind_test"),)), False,
         "The test is BLIND: whatever the gradient is, nothing could be seen here."),
        (replace(RIGHT, diagnoses=(replace(WHY[0], kind="blind_test"), WHY[0])), False,
         "The gradient is WRONG though all numbers agree."),
        (replace(RIGHT, diagnoses=WHY, first_wrong="layer 1"), False,
         "The gradient is WRONG though all numbers agree; look at layer 1 first."),
        (ComparisonReport("", (PLAIN, OFF), WHY[:1], "layer 1"), False,
         "The gradient is WRONG in 1 of 2 arrays; look at layer 1 first."),
        (ComparisonReport("", (PLAIN, OFF), (), "layer 1"), False, "The gradient is WRONG in 1 of 2 arrays."),
        (ComparisonReport("", (PLAIN, OFF), WHY[1:], "layer 1"), True,
         "The gradient is right; it differs by kink only."),
        (ComparisonReport("", (replace(OFF, odd="graph"), PLAIN), WHY[:1]), False,
         "The graph's gradient is WRONG in 1 of 2 arrays."),
        (ComparisonReport("", (replace(OFF, odd="graph"), OFF), WHY[:1]), False,
         "The gradient is WRONG in 2 of 2 arrays."),
    ],
)  # fmt: skip
def test_the_verdict_of_a_report(report: ComparisonReport, ok: bool, verdict: str) -> None:
    assert (report.ok, report.verdict) == (ok, verdict)
    assert report.checked == sum(row.checked for row in report.rows)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.0, 2, "0"), (1.0, 2, "1"), (1.26, 2, "1.3"), (1e-17, 2, "1e-17"), (1.5e9, 2, "1.5e9"), (-2.5e-8, 3, "-2.5e-8"),
     (INF, 2, "inf"), (NAN, 2, "nan"), (0.123456789, 5, "0.12346")],
)  # fmt: skip
def test_a_number_is_short(value: float, digits: int, text: str) -> None:
    assert compact_text(value, digits) == text


def test_a_colour_is_between_those_of_the_decades_beside_it() -> None:
    steps = np.linspace(LOW, HIGH, len(COLOURS))
    decades = np.array([LOW - 3, LOW, -10.5, -5.25, -1.0, HIGH, HIGH + 2])
    found: Any = _colours(10.0 ** decades[None, :])[0]
    for k, channel in enumerate(COLOURS.T):
        np.testing.assert_allclose(found[:, k], np.interp(decades, steps, channel), atol=0.51)
    assert (_colours(np.array([[NAN, INF, 0.0]]))[0] == [NOT_FINITE, NOT_FINITE, COLOURS[0]]).all()
    assert pictures(f"data:image/png;base64,{_png(_colours(np.zeros((2, 3))))}").startswith("3 x 2 pixels")
