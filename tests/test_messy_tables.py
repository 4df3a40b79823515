"""Messy real-world tables in the command: trained on, predicted, scored, or refused with line, column and edit."""

import csv
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tinygrad_nn.cli import main
from tinygrad_nn.data import Column, Columns, read_columns, read_table
from tinygrad_nn.data.columns import CellError, columns_of, iso_date, target_numbers
from tinygrad_nn.io import load_network

ROOT = Path(__file__).resolve().parents[1]
Capture = pytest.CaptureFixture[str]
FEW = ["--epochs", "2", "--no-progress"]


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rows(count: int, make: object, header: str = "a,b,y") -> str:
    draw = np.random.default_rng(0)
    return "\n".join([header, *(make(k, draw) for k in range(count))]) + "\n"


def plain(k: int, draw: np.random.Generator) -> str:
    return f"{draw.normal():.3f},{draw.normal():.3f},{'no' if k % 2 else 'yes'}"


MISSING = rows(30, lambda k, draw: f"{'' if k == 3 else k},{'NA' if k in (5, 6) else k % 7},{'no' if k % 2 else 'yes'}")
GOOD: dict[str, tuple[str | bytes, list[str], str]] = {
    "missing, mean": (MISSING, ["--missing", "mean"], "3 missing in 3 rows: the mean of the column"),
    "missing, median": (MISSING, ["--missing", "median"], "the median of the column"),
    "missing, frequent": (MISSING, ["--missing", "most-frequent"], "the most frequent value of the column"),
    "missing, dropped": (MISSING, ["--missing", "drop"], "3 rows with a missing cell are left out (lines 5, 7, 8)"),
    "texts": (rows(30, lambda k, draw: f"{k},{('Rome', 'Oslo', 'Łódź')[k % 3]},{'no' if k % 2 else 'yes'}"), [],
              "b: 3 texts become 3 columns of 0 and 1"),
    "dates": (rows(30, lambda k, draw: f"{k},2024-01-{k % 28 + 1:02},{'no' if k % 2 else 'yes'}"), [],
              "b: read as dates, in days from 1970"),
    "slashes": (rows(30, lambda k, draw: f"{k},2024/01/{k % 28 + 1:02},{'no' if k % 2 else 'yes'}"), [],
                "b: read as dates, in days from 1970"),
    "days first": (rows(30, lambda k, draw: f"{k},{k % 28 + 1:02}.05.2024,{'no' if k % 2 else 'yes'}"), [],
                   "b: read as dates with the day first"),
    "months first": (rows(30, lambda k, draw: f"{k},5/{k % 28 + 1}/2024,{'no' if k % 2 else 'yes'}"), [],
                     "b: read as dates with the month first"),
    "names of months": (rows(30, lambda k, draw: f"{k},{k % 28 + 1} Feb 2024,{'no' if k % 2 else 'yes'}"), [],
                        "b: read as dates with the name of the month, in days from 1970"),
    "one row dropped": (rows(30, lambda k, draw: f"{'' if k == 3 else k},{k % 7},{'no' if k % 2 else 'yes'}"),
                        ["--missing", "drop"], "1 row with a missing cell is left out (line 5)"),
    "one column": (rows(30, lambda k, draw: f"{k},{'no' if k % 2 else 'yes'}", "a,y"), [], "30 rows of 1 number,"),
    "amounts as classes": (rows(30, lambda k, draw: f"{k},{k % 5},{k % 15}.5"), ["--kind", "classification"],
                           "y holds 15 different numbers with decimals, each a class; if these are amounts, add --k"),
    "whole numbers as classes": (rows(30, lambda k, draw: f"{k},{k % 5},{k % 15}"), ["--kind", "classification"],
                                 "30 rows of 2 numbers, scaled to predict"),  # without a note
    "thousands": (rows(30, lambda k, draw: f'{k},"30,913.{k}",{"no" if k % 2 else "yes"}'), [],
                  "b: read as numbers with commas between thousands"),
    "semicolons": (rows(30, lambda k, draw: f"{k};30.913,{k};{'no' if k % 2 else 'yes'}", "a;b;y"), [],
                   "b: read as numbers with a decimal comma"),
    "a mark of UTF-8": (b"\xef\xbb\xbf" + rows(30, plain).encode(), [], "30 rows of 2 numbers"),
    "UTF-16": (rows(30, plain).encode("utf-16"), [], "30 rows of 2 numbers"),
    "gzip": (gzip.compress(rows(30, plain).encode()), [], "30 rows of 2 numbers"),
    "quotes": (rows(30, lambda k, draw: f'"{k}","a ""b"", c{k % 2}",{"no" if k % 2 else "yes"}'), [], "2 texts"),
    "constant": (rows(30, lambda k, draw: f"{k},7,{'no' if k % 2 else 'yes'}"), [], "30 rows of 2 numbers"),
    "names": (rows(30, lambda k, draw: f"{k},{k % 5},{'はい' if k % 2 else 'いいえ'}", "年齢,größe,y"), [],
              "いいえ, はい"),
    "numbers for classes": (rows(30, lambda k, draw: f"{k},{k % 5},{k % 2}"), [],
                            "y holds numbers (0, 1), so the kind is taken to be regression"),
    "classes said": (rows(30, lambda k, draw: f"{k},{k % 5},{k % 2}"), ["--kind", "classification"], "0, 1"),
    "15,000 columns": (",".join([*(f"gene_{k}" for k in range(15000)), "y"]) + "\n"
                       + "".join(",".join(["1.5"] * 15000) + f",{'ab'[k % 2]}\n" for k in range(10)), ["--hidden", "2"],
                       "10 rows of 15,000 numbers"),
}  # fmt: skip
BAD: dict[str, tuple[str | bytes, str]] = {
    "missing": (MISSING, r"line 5 \(row 4\), column 'a': the cell is empty.*--missing mean"),
    "missing target": (rows(9, lambda k, draw: f"{k},{k},{'' if k == 4 else 'x'}"),
                       r"line 6 .*column 'y'.*--missing drop"),
    "many texts": (rows(50, lambda k, draw: f"{k},name {k},{'no' if k % 2 else 'yes'}"),
                   r"line 2 .*column 'b': the column holds 50 different texts.*--categories 50"),
    "two ways": (rows(9, lambda k, draw: f"{k},{k + 1:02}/02/2024,x"),
                 r"column 'b'.*day or the month first.*2024-05-31"),
    "a typographic minus": (rows(9, lambda k, draw: f"{k},{'−5' if k == 7 else k},x"), r"line 9 .*'b'.*write '-5'"),
    "a dash": (rows(9, lambda k, draw: f"{k},{'–5' if k == 7 else k},x"), r"line 9 .*'b'.*write '-5'"),
    "no month": (rows(9, lambda k, draw: f"{k},{k + 1} {'Foo' if k == 7 else 'Feb'} 2024,x"),
                 r"line 9 .*column 'b': '8 Foo 2024' is not a date written as others of the column are"),
    "as in accounts": (rows(9, lambda k, draw: f"{k},({k}),x"), r"line 2 .*column 'b': '\(0\)'.*write '-0'"),
    "a sign and a text": (rows(9, lambda k, draw: f"{k},{('$5' if k else 'o') if k < 2 else k},x"),
                          r"line 2 .*column 'b'.*'o'.*correct it"),
    "a target in accounts": (rows(9, lambda k, draw: f"{k},{k},({k})"),
                             r"'\(0\)' is a negative number.*write '-0', and the other targets 'y'"),
    "a minus in a target": (rows(9, lambda k, draw: f"{k},{k},{'−5' if k == 7 else k}"),
                            r"mixes texts \('−5' in line 9\) and numbers.*write '-5'"),
    "too large": (rows(9, lambda k, draw: f"{k},{'-1e151' if k == 7 else k},{'xz'[k % 2]}"),
                  r"column 'b': -1e\+151 is so large that its square is infinite"),
    "too large a target": (rows(9, lambda k, draw: f"{k},{k},{'2e150' if k == 7 else k}"),
                           r"column 'y': 2e\+150 is so large that its square is infinite"),
    "texts among numbers": (rows(9, lambda k, draw: f"{k},{'1o' if k == 7 else k},x"), r"line 9 .*column 'b'.*'1o'"),
    "NUL": ("a,b,y\n1,2,x\n1,\0,x\n", r"line 3: there is a NUL byte"),
    "twice": ("a,a,y\n1,2,x\n1,2,z\n", r"column 'a' appears twice, as columns 1 and 2"),
    "one row": ("a,b,y\n1,2,x\n", r"every row of the target 'y' is 'x'"),
    "one class": (rows(9, lambda k, draw: f"{k},{k},x"), r"every row of the target 'y' is 'x'.*second class"),
    "cut off": (gzip.compress(rows(300, plain).encode())[:-40], r"the gzip file is cut off"),
    "empty column": (rows(9, lambda k, draw: f"{k},,{'no' if k % 2 else 'yes'}"), r"column 'b'.*missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_a_messy_table_is_trained_on_predicted_and_scored(name: str, capsys: Capture) -> None:
    content, options, said = GOOD[name]
    Path("t.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    assert main(["train", "--data", "t.csv", "--target", "y", "--out", "o", *options, *FEW]) == 0
    out = capsys.readouterr().out
    assert said in re.sub(r"\s+", " ", out)
    assert main(["predict", "o/model.safetensors", "t.csv", "--out", "p.csv", "--keep", "y"]) == 0
    capsys.readouterr()
    with Path("p.csv").open(encoding="utf-8", newline="") as file:
        predicted = list(csv.reader(file))
    assert predicted[0][:2] == ["y", "predicted y"]
    assert main(["evaluate", "o/model.safetensors", "t.csv"]) == 0
    out = capsys.readouterr().out
    assert f"{len(predicted) - 1:,} rows of t.csv" in out
    if load_network("o/model.safetensors").task == "classification":
        right = sum(row[0] == row[1] for row in predicted[1:]) / (len(predicted) - 1)
        assert f"accuracy = {right:.4f}" in out
    else:
        off = np.array([float(row[1]) - float(row[0]) for row in predicted[1:]])
        assert f"RMSE = {np.sqrt((off**2).mean()):.4g}   MAE = {np.abs(off).mean():.4g}   R2 = " in out


COMMAS = rows(30, lambda k, draw: f"{k % 7};{1.001 + k % 3:.3f}".replace(".", ","), "a;y")  # 1,001 is no thousand


@pytest.mark.parametrize("again", [COMMAS, 'a,y\n1,"2,001"\n2,"3,001"\n'])
def test_a_target_is_scored_as_it_was_read_in_training(again: str, capsys: Capture) -> None:
    Path("t.csv").write_text(COMMAS)
    Path("new.csv").write_text(again)
    assert main(["train", "--data", "t.csv", "--target", "y", "--out", "o", *FEW]) == 0
    network = load_network("o/model.safetensors")
    assert network.columns is not None
    assert network.columns.target == "decimal comma"
    assert Columns.from_dict(network.columns.to_dict()) == network.columns
    assert main(["predict", "o/model.safetensors", "new.csv", "--out", "p.csv", "--keep", "y", "--keep", "a, y"]) == 2
    assert "column 'y' appears twice" in capsys.readouterr().err
    assert main(["predict", "o/model.safetensors", "new.csv", "--out", "p.csv", "--keep", "y", "--keep", "a"]) == 0
    with Path("p.csv").open(encoding="utf-8", newline="") as file:
        head, *predicted = csv.reader(file)
    assert head == ["y", "a", "predicted y"]
    off = np.array([float(row[2]) - float(row[0].replace(",", ".")) for row in predicted])
    capsys.readouterr()
    assert main(["evaluate", "o/model.safetensors", "new.csv"]) == 0
    assert f"RMSE = {np.sqrt((off**2).mean()):.4g}   MAE = {np.abs(off).mean():.4g}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cells", "form", "numbers"),
    [
        (["1,500", "2"], "thousands", [1500.0, 2.0]), (["1,500", "2"], "decimal comma", [1.5, 2.0]),
        (["1.500", "2"], "decimal comma", [1500.0, 2.0]), (["1.500", "2"], "number", [1.5, 2.0]),
        (["1.5", "2"], "decimal comma", [1.5, 2.0]), (["1,5", "2"], "number", [1.5, 2.0]),
        (["1,500.5", "0"], "number", [1500.5, 0.0]), (["1,500.5", "0"], "", [1500.5, 0.0]),
    ],
)  # fmt: skip
def test_numbers_of_a_target_are_of_its_form_or_of_the_only_one(cells: list[str], form: str, numbers: Any) -> None:
    assert target_numbers(cells, form).tolist() == [[number] for number in numbers]


@pytest.mark.parametrize(
    ("cells", "form", "said"),
    [
        (["0", "1,500"], "number", "'1,500' may be 1500 or 1.5. Write numbers with a decimal point"),
        (["0", "1,500"], "", "'1,500' may be 1500 or 1.5."),
        (["0", "x"], "thousands", "'x' is not a number as the others are; correct it, or delete that line."),
        (["0,5", "1,500.5"], "", "'0,5' is not a number as the others are"),
        (["0", "inf"], "", "'inf' is not a number as the others are"),
    ],
)
def test_numbers_of_a_target_that_can_be_read_in_two_ways_or_in_none(cells: list[str], form: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}"):
        target_numbers(cells, form)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["predict", "o/model.safetensors", "hole.csv"], "or train again and say --missing mean ('median', 'most-freq"),
        (["predict", "o/model.safetensors", "-"], "-: no such file; for a table from standard input write /dev/stdin."),
        (["train", "--data", "t.csv", "--target", "y", "--early-stopping", "0"], "--early-stopping 0; it counts"),
        (["train", "--data", "t.csv", "--target", "y", "--checkpoint", "c"], "Add --resume to continue it, or name an"),
    ],
)
def test_an_edit_is_one_that_the_command_has(options: list[str], said: str, capsys: Capture) -> None:
    Path("t.csv").write_text(rows(30, plain))
    Path("hole.csv").write_text("a,b\n1,\n")
    train = ["train", "--data", "t.csv", "--target", "y", "--out", "o", *FEW]
    assert main([*train, "--checkpoint", "c", "--features", "a", "--features", "b"]) == 0
    assert load_network("o/model.safetensors").features == ("a", "b")
    capsys.readouterr()
    assert main(options) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", BAD)
def test_a_table_that_cannot_be_read_is_refused_with_its_place_and_edit(name: str, capsys: Capture) -> None:
    content, said = BAD[name]
    Path("t.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    assert main(["train", "--data", "t.csv", "--target", "y", *FEW]) == 2
    err = capsys.readouterr().err
    assert re.search(rf"t\.csv.*{said}", err), err
    assert err.count("\n") == 1
    assert os.listdir() == ["t.csv"]


def test_fill_values_come_from_the_training_rows_and_are_saved_with_the_network() -> None:
    Path("t.csv").write_text(MISSING)
    assert main(["train", "--data", "t.csv", "--target", "y", "--missing", "mean", "--quiet", *FEW]) == 0
    columns = load_network("tinygrad-nn-out/model.safetensors").columns
    assert columns is not None
    every = read_table("t.csv", "y", missing="mean")
    assert columns.parts == every.columns.parts
    assert columns.fill != every.columns.fill  # a part of the rows has another mean
    assert Columns.from_dict(json.loads(json.dumps(columns.to_dict()))) == columns


def test_means_medians_and_most_frequent_values_stand_in() -> None:
    Path("t.csv").write_text("a,b,y\n1,u,1.5\n,v,2.5\n3,,3.5\n3,v,4.5\n8,v,5.5\n")
    for missing, value in (("mean", 3.75), ("median", 3.0), ("most-frequent", 3.0)):
        x = read_table("t.csv", "y", missing=missing).x
        assert x[1].tolist() == [value, 0, 1]
        assert x[2].tolist() == [3, 0, 1]
    table = read_table("t.csv", "y", missing="drop")
    assert table.x.tolist() == [[1, 1, 0], [3, 0, 1], [8, 0, 1]]
    assert (table.y.tolist(), table.lines) == ([1.5, 4.5, 5.5], (3, 4))


def test_a_text_that_is_new_is_none_of_those_that_were_seen() -> None:
    Path("t.csv").write_text(GOOD["texts"][0])
    columns = read_table("t.csv", "y").columns
    assert columns.numbers([["1"], ["Paris"]]).tolist() == [[1, 0, 0, 0]]


@pytest.mark.parametrize(("cells", "delimiter", "form", "first"), [
    (["1", "2.5", "-3e2"], ",", "number", 1.0),
    (["30,913.44", "1", "1,000"], ",", "thousands", 30913.44),
    (["30.913,44", "1", "0,5"], ";", "decimal comma", 30913.44),
    (["30 913.44", "1", "1\u202f000"], ",", "thousands", 30913.44),
    (["30\xa0913,44", "1 000", "0,5"], ";", "decimal comma", 30913.44),
    (["1,234", "2,5"], ";", "decimal comma", 1.234),
    (["1.5", "2"], ";", "number", 1.5),
    (["1970-01-02", "2024-05-31 12:00"], ",", "date", 1.0),
    (["1970-01-02T00:00:00+00:00"], ",", "date", 1.0),
    (["02.01.1970", "31.12.1970"], ",", "day first", 1.0),
    (["1/2/1970", "12/31/1970"], ",", "month first", 1.0),
    (["2 Jan 1970", "31-May-2024", "Sept 3, 2024", "December 3 2024"], ",", "month name", 1.0),
    (["Sept 3, 1970", "sep. 4 1970"], ",", "month name", 245.0),
    (["2 Foo 1970"], ",", "text", 1.0),
    (["30 Feb 1970"], ",", "text", 1.0),
    (["", "3"], ",", "number", np.nan),
    (["yes", "no"], ",", "text", 0.0),
])  # fmt: skip
def test_the_form_of_a_column_is_found(cells: list[str], delimiter: str, form: str, first: float) -> None:
    found = columns_of(["c"], [cells], delimiter, "mean")
    assert found.parts[0].form == form
    np.testing.assert_allclose(found.numbers([cells])[0, 0], first, rtol=1e-12)


@pytest.mark.parametrize("fields", [
    {}, {"parts": [], "missing": "max", "fill": []},
    {"parts": [{"name": "a", "form": "odd", "categories": []}], "missing": None, "fill": []},
    {"parts": [{"name": "a", "form": "number", "categories": []}], "missing": None, "fill": [1, 2]},
    {"parts": [], "missing": None, "fill": [], "target": "odd"},
])  # fmt: skip
def test_columns_that_are_none_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"Columns.from_dict|missing="):
        Columns.from_dict(fields)


def test_a_date_among_dates_must_be_one() -> None:
    columns = columns_of(["d"], [["2024-01-02", "2024-01-03"]], ",")
    with pytest.raises(CellError, match="'2024-13-01' is not a date, as the others of its column are"):
        columns.numbers([["2024-13-01"]])


@pytest.mark.parametrize(
    ("cells", "wrong"),
    [
        (["2024-01-02", "2024-02-30", "2024-01-04"], "2024-02-30"),
        (["31/12/2024", "", "12/31/2024", "1/2/2024"], "12/31/2024"),
        (["2024-01-02", "soon", "NA", "2024-01-04"], "soon"),
        (["31.12.2024", "2024-12-31"], "31.12.2024"),
    ],
)
def test_among_dates_a_text_is_refused_as_among_numbers(cells: list[str], wrong: str) -> None:
    with pytest.raises(CellError, match=f"'{wrong}' is not a date written as others of the column are") as caught:
        columns_of(["d"], [cells], ",")
    assert caught.value.row == cells.index(wrong)
    assert columns_of(["d"], [["soon", "later", "2024-01-02"]], ",").parts[0].form == "text"


def test_a_large_table_reads_the_same_at_once_and_cell_by_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    for k, texts in enumerate((False, True)):
        numbers = draw.normal(size=(3000, 2)).tolist()
        lines = [f"{a!r},{b!r},{'xy'[n % 2] if texts else n % 2}" for n, (a, b) in enumerate(numbers)]
        Path("t.csv").write_text("a,b,y\n" + "\n".join(lines) + ("\n" if k else ""))
        slow = read_table("t.csv", "y")
        told: list[tuple[int, int]] = []
        with monkeypatch.context() as patch:
            patch.setattr("tinygrad_nn.data.table.LARGE", 1000)
            patch.setattr("tinygrad_nn.data.table.CHUNK", 700)
            quick = read_table("t.csv", "y", progress=lambda done, total, told=told: told.append((done, total)))
        np.testing.assert_array_equal(quick.x, slow.x)
        np.testing.assert_array_equal(quick.y, slow.y)
        assert len(told) == 5
        assert told[-1][0] == told[-1][1]


@pytest.mark.parametrize("line", ["1,2", "1,,x", '1,"2\n",x', "1,inf,x", "1,zwei,x", "", "1_0,2,x"])
def test_lines_that_are_not_plain_are_read_cell_by_cell(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a,b,y\n" + "1,2,x\n3,4,z\n" * 800 + line + "\n5,6,x\n"
    Path("t.csv").write_text(text)

    def read() -> object:
        try:
            table = read_table("t.csv", "y")
        except ValueError as problem:
            return str(problem)
        return table.x.tolist(), table.y.tolist()

    slow = read()
    monkeypatch.setattr("tinygrad_nn.data.table.LARGE", 1000)
    assert read() == slow


def test_parts_of_a_cross_validation_are_scored(capsys: Capture) -> None:
    assert main(["train", "--cv", "5", "--epochs", "15", "--no-progress"]) == 0
    found = re.search(r"accuracy = (\S+) ± \S+  \((.*)\)", capsys.readouterr().out)
    assert found
    scores = [float(part) for part in found[2].split(", ")]
    assert len(scores) == 5
    assert float(found[1]) == pytest.approx(np.mean(scores), abs=1e-4)
    assert np.mean(scores) > 0.85
    assert main(["train", "--cv", "1"]) == 2
    assert "--cv 1; there are 150 rows, so it must be a whole number from 2 to 150" in capsys.readouterr().err
    Path("t.csv").write_text(rows(30, lambda k, draw: f"{draw.normal():.3f},{k % 7},{k}"))
    assert main(["train", "--data", "t.csv", "--target", "y", "--cv", "16"]) == 2
    said = "--cv 16; there are 30 rows, and R² needs two in each part, so it must be a whole number from 2 to 15"
    assert said in capsys.readouterr().err
    assert main(["train", "--data", "t.csv", "--target", "y", "--cv", "15", *FEW]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_a_matrix_of_many_classes_is_told_in_80_columns_by_its_most_frequent_mistakes(capsys: Capture) -> None:
    def row(k: int, draw: np.random.Generator) -> str:
        return f"{0 if k % 2 else 1 + k},{draw.normal():.3f},c{k % 50:02}"

    Path("t.csv").write_text(rows(200, row))
    assert main(["train", "--data", "t.csv", "--target", "y", "--out", "o", *FEW]) == 0
    capsys.readouterr()
    assert main(["evaluate", "o/model.safetensors", "t.csv"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    network = load_network("o/model.safetensors")
    guess = network.labels(network.predict(read_columns("t.csv", network.columns)[0])) if network.columns else []
    pairs = Counter((f"c{k % 50:02}", name) for k, name in enumerate(guess) if name != f"c{k % 50:02}")
    assert f"Most frequent of {sum(pairs.values())} mistakes (the matrix of 50 classes is too wide)" in out
    for line in out.partition("\n──")[2].splitlines()[1:11]:
        actual, predicted, count = line.split()
        assert pairs.pop((actual, predicted)) == int(count)
    assert max(pairs.values()) <= int(count)


def test_each_row_is_scored_once_by_a_network_that_has_not_seen_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from tinygrad_nn.cli import run

    seen: list[dict[str, tuple[np.ndarray, np.ndarray]]] = []
    monkeypatch.setattr(run, "learn", lambda ready: seen.append(ready.parts))
    ready = run.prepare(run.Options(scale=False))
    ready = ready._replace(problem=ready.problem._replace(x=np.arange(600.0).reshape(150, 4)))
    run.cross_validate(ready, 4)
    scored = [set(parts["test"][0][:, 0]) for parts in seen]
    assert sorted(len(part) for part in scored) == [37, 37, 38, 38]
    assert set().union(*scored) == set(ready.problem.x[:, 0])
    for parts, out in zip(seen, scored, strict=True):
        assert set(parts["train"][0][:, 0]) == set(ready.problem.x[:, 0]) - out
        counts = parts["test"][1].sum(axis=0)  # each class has its share
        assert counts.max() - counts.min() <= 1


def test_early_stopping_and_weights_of_classes(capsys: Capture) -> None:
    assert main(["train", "--early-stopping", "2", "--learning-rate", "0.5", "--epochs", "300", "--no-progress"]) == 0
    history = json.loads(Path("tinygrad-nn-out/history.json").read_text())
    assert len(history["loss"]) == int(np.argmin(history["val_loss"])) + 3 < 300
    capsys.readouterr()
    for weight in ("balanced", "setosa=5,virginica=0.5"):
        assert main(["train", "--class-weight", weight, *FEW, "--quiet"]) == 0
    assert main(["train", "--class-weight", "rose=2"]) == 2
    said = "--class-weight rose=2: 'rose=2' names no class and weight; write balanced, or setosa=2"
    assert said in capsys.readouterr().err


def test_spreadsheets_are_refused_before_anything_is_read(capsys: Capture) -> None:
    assert main(["predict", "nowhere", "nowhere.csv", "--out", "p.xlsx"]) == 2
    assert "--out p.xlsx would hold CSV under the name of another format" in capsys.readouterr().err


CODES = rows(40, lambda k, draw: f"{('1', '02', 'A', 'B', 'C')[k % 5]};{k % 5},5", "code;y")


@pytest.mark.parametrize("many", [5, 90_000])  # NumPy reads the numbers of a large table
def test_codes_and_kept_cells_stay_texts_in_a_large_table_too(many: int, capsys: Capture) -> None:
    Path("t.csv").write_text(CODES)
    Path("new.csv").write_text("code;id\n" + "".join(f"{('1', '02')[k % 2]};{k:09}\n" for k in range(many)))
    assert main(["train", "--data", "t.csv", "--target", "y", "--out", "o", *FEW]) == 0
    assert main(["predict", "o/model.safetensors", "new.csv", "--out", "p.csv", "--keep", "id,code"]) == 0
    assert "warning" not in capsys.readouterr().err
    with Path("p.csv").open(encoding="utf-8", newline="") as file:
        _, *found = csv.reader(file)
    assert [row[:2] for row in found] == [[f"{k:09}", ("1", "02")[k % 2]] for k in range(many)]
    network = load_network("o/model.safetensors")
    wanted = network.predict(np.array([[0.0, 1, 0, 0, 0], [1, 0, 0, 0, 0]]))  # categories 02, 1, A, B, C
    np.testing.assert_allclose([float(row[2]) for row in found[:4]], [*wanted[:, 0], *wanted[:, 0]], rtol=1e-12)


@pytest.mark.parametrize("many", [5, 200_000])
def test_whole_numbers_are_read_in_a_column_of_decimal_commas(many: int) -> None:
    Path("new.csv").write_text("a;b\n" + "12345;2\n" * many)
    x, _, _ = read_columns("new.csv", Columns((Column("a", "decimal comma"), Column("b", "thousands"))))
    np.testing.assert_array_equal(x, [[12345.0, 2.0]] * many)


NEW: list[tuple[str, str]] = [
    ("a,code,y\n1.234,A,1\n", "row 1.*column 'a': '1.234' may be 1234, as in the training table, or 1.234. Write it"),
    ("a,code,y\n1.5,A,1\n", "column 'a': '1.5' has a decimal point, and the column has decimal commas. Write '1,5'"),
    ("a;code;y\n1,5;A;maybe\n", "new.csv, row 1, column 'y': 'maybe' is not a class of the network; the classes"),
    ("a;code;y\n1,5;A;no\n1,5;A;\n", "new.csv, row 2, column 'y': the cell is empty; the classes are no, yes"),
    ("a;code\n1,5;A\n", "there is no column 'y'. It has 'a', 'code'"),
    ("a;code;y\n1,5;A;no\n1,5;C;no\n1,5;D;no\n",
     "warning: new.csv, row 2 and 1 more, column 'code': 'C' is not in the training .* none of its texts: A, B."),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), NEW, ids=[said[:30] for _, said in NEW])
def test_a_new_table_is_read_as_that_of_the_training_or_the_difference_is_told(
    text: str, said: str, capsys: Capture
) -> None:
    Path("t.csv").write_text(rows(30, lambda k, draw: f"{k},5;{'AB'[k % 2]};{('no', 'yes')[k % 2]}", "a;code;y"))
    Path("new.csv").write_text(text)
    assert main(["train", "--data", "t.csv", "--target", "y", "--out", "o", *FEW]) == 0
    capsys.readouterr()
    assert main(["evaluate", "o/model.safetensors", "new.csv"]) == (0 if "warning" in said else 2)
    err = capsys.readouterr().err
    assert re.search(said, err), err


@pytest.mark.parametrize("missing", ["drop", "most-frequent"])
def test_rows_are_counted_in_the_file_and_a_missing_text_is_no_unknown_one(
    missing: str, capsys: Capture
) -> None:
    Path("t.csv").write_text(rows(30, lambda k, draw: f"{k},{'AB'[k % 2]},{('no', 'yes')[k % 2]}", "a,code,y"))
    Path("known.csv").write_text("a,code,y\n1,,no\n2,A,no\n3,B,no\n")
    Path("new.csv").write_text("a,code,y\n1,,no\n2,A,no\n3,C,no\n")
    Path("class.csv").write_text("a,code,y\n1,,no\n2,A,no\n3,B,maybe\n")
    assert main(["train", "--data", "t.csv", "--target", "y", "--missing", missing, "--out", "o", *FEW]) == 0
    capsys.readouterr()
    assert main(["evaluate", "o/model.safetensors", "known.csv"]) == 0
    assert not capsys.readouterr().err
    assert main(["evaluate", "o/model.safetensors", "new.csv"]) == 0
    assert "warning: new.csv, row 3, column" in capsys.readouterr().err
    assert main(["evaluate", "o/model.safetensors", "class.csv"]) == 2
    assert "class.csv, row 3, column" in capsys.readouterr().err


def test_a_date_has_one_sign_between_its_parts() -> None:
    assert iso_date("2024-05-31") == iso_date("2024/05/31") == 19874.0
    assert iso_date("2024-05/31") is iso_date("2024/05-31") is None


@pytest.mark.parametrize(("form", "delimiter", "cells", "refused"), [
    ("decimal comma", ",", ["1.234"], True), ("decimal comma", ";", ["1.234"], False),
    ("decimal comma", ",", ["1.234", "1,5"], False), ("decimal comma", ",", ["1.234.567"], False),
    ("thousands", ";", ["1,234"], True), ("thousands", ",", ["1,234"], False),
    ("thousands", ";", ["1,234", "1,234.5"], False), ("number", ",", ["1.234"], False),
])  # fmt: skip
def test_a_number_that_can_be_read_in_two_ways_is_refused(
    form: str, delimiter: str, cells: list[str], refused: bool
) -> None:
    def check() -> None:
        Column("a", form).check_notation(cells, delimiter)

    if not refused:
        return check()
    with pytest.raises(CellError, match="may be"):
        check()


def test_the_package_is_the_command() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    call = [sys.executable, "-m", "tinygrad_nn", "--version"]
    said = subprocess.run(call, capture_output=True, text=True, check=True, env=environment)
    assert said.stdout.startswith("tinygrad-nn ")


def test_the_shell_completes() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "_TINYGRAD_NN_COMPLETE": "complete_bash",
                   "COMP_WORDS": "tinygrad-nn ev", "COMP_CWORD": "1"}  # fmt: skip
    said = subprocess.run([sys.executable, "-c", "from tinygrad_nn.cli import app; app(prog_name='tinygrad-nn')"],
                          capture_output=True, text=True, env=environment, check=False)  # fmt: skip
    assert said.stdout.split() == ["evaluate"]


def test_resume_needs_a_checkpoint(capsys: Capture) -> None:
    assert main(["train", "--resume"]) == 2
    assert "add --checkpoint DIR" in capsys.readouterr().err


TRAIN = ["train", "--epochs", "100", "--optimizer", "adam", "--dropout", "0.1", "--no-progress", "--quiet",
         "--checkpoint"]  # fmt: skip
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The weights of a training that nobody kills."""
    folder = tmp_path_factory.mktemp("whole")
    assert main([*TRAIN, str(folder / "c"), "--out", str(folder / "o")]) == 0
    return load_file(folder / "o" / "model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_killed_at_any_epoch_it_resumes_to_the_same_bits(
    kill: signal.Signals, whole: dict[str, Any], capsys: Capture
) -> None:
    def written() -> int:
        """The epoch of the checkpoint."""
        return max((int(path.stem.split("-")[1]) for path in Path("c").glob("weights-*")), default=0)

    call = [*TRAIN, "c", "--resume", "--out", "o"]
    apart = [sys.executable, "-m", "tinygrad_nn", *call]
    interrupted = 0
    for more in (5, 25):
        until = written() + more
        with subprocess.Popen(apart, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True,
                              preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) as run:  # fmt: skip
            limit = time.monotonic() + 60
            while written() < until and run.poll() is None and time.monotonic() < limit:
                time.sleep(0.02)
            run.send_signal(kill)
            _, err = run.communicate(timeout=60)
        interrupted += run.returncode != 0
        if kill != signal.SIGKILL and "interrupted after epoch" in err:
            assert "add --resume (the checkpoint is in c)" in err
    assert interrupted
    capsys.readouterr()
    assert main(call) == 0  # in this process, which has imported all that it needs
    assert not capsys.readouterr().err
    resumed = load_file("o/model.safetensors")
    assert whole.keys() == resumed.keys()
    for name in whole:
        np.testing.assert_array_equal(whole[name], resumed[name])
