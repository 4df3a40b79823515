"""Convert the columns of a user's table to numbers: numbers in several notations, dates, and texts as classes.

How the columns of the training table were read (`Columns`) is stored with the network, so that later tables are read
in the same way.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "-", "#n/a"}
FILLING = "say missing='mean' ('median', 'most-frequent', 'drop')"  # what to do about a missing cell
FILLS = ("mean", "median", "most-frequent", "drop")
CATEGORIES = 20  # default limit of the different texts in a column
_COMMAS = re.compile(r"[+-]?\d{1,3}([,\s]\d{3})+(\.\d*)?")  # 30,913.44 or 30 913.44, also with a no-break space
_POINTS = re.compile(r"[+-]?(\d{1,3}([.\s]\d{3})+|\d+)(,\d+)?")  # 30.913,44 or 30 913,44
_SIGN = re.compile(r"^\s*[$€£¥]\s*|\s*[$€£¥%]\s*$")
_MINUS = re.compile(r"^[−–]\s?(?=\d)|^\((?=[^()]*\)$)")  # −5, and (5) as in accounts
_NAMES = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
          "december")  # fmt: skip
_MONTHS = {short: k for k, name in enumerate(_NAMES, 1) for short in (name, name[:3])} | {"sept": 9}


class CellError(ValueError):
    """Raised for a cell that cannot be read: `row` (from 0), `column`, and `reason`, which says what to change."""

    def __init__(self, row: int, column: str, reason: str) -> None:
        super().__init__(reason)
        self.row, self.column, self.reason = row, column, reason


def is_missing(cell: str) -> bool:
    """Tell whether a cell stands for a missing value."""
    return cell.lower() in MISSING


def number(cell: str) -> float | None:
    """Return the number in a cell, or None; Python's notation 1_000 is not accepted."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def thousands(cell: str) -> float | None:
    """Return the number that a cell holds with commas or blanks between its thousands, such as 30,913.44."""
    return float(re.sub(r"[,\s]", "", cell)) if _COMMAS.fullmatch(cell) else number(cell)


def decimal_comma(cell: str) -> float | None:
    """Return the number that a cell holds with a decimal comma, such as 3,5 or 30.913,44."""
    return float(re.sub(r"[.\s]", "", cell).replace(",", ".")) if _POINTS.fullmatch(cell) else None


def plain_number(cell: str) -> str | None:
    """Return a number that is written with signs which are not read, as it should be written; None for other cells.

    The signs are those of currencies, %, a typographic minus, and the parentheses of negative numbers in accounts.

    Example:
        >>> plain_number("$1,200.50"), plain_number("12 %"), plain_number("(5)"), plain_number("−5"), plain_number("12")
        ('1,200.50', '12', '-5', '-5', None)
    """
    bare = _SIGN.sub("", cell)
    negative = _MINUS.match(bare)
    if negative:
        bare = f"-{_SIGN.sub('', bare[negative.end():].removesuffix(')'))}"
    return bare if bare != cell and (thousands(bare) is not None or decimal_comma(bare) is not None) else None


def edit_of(cell: str) -> str:
    """Return what to do about a cell that is no number among numbers."""
    plain, point = plain_number(cell), cell.replace(",", ".", 1)
    if plain:
        return f"write {plain!r:.80}"
    return f"write a decimal point, {point!r:.80}" if number(point) is not None else "correct it"


def advice_on_sign(cell: str, others: str = "others") -> str:
    """Return what is wrong with a number for which `plain_number` returns another, and how to write it."""
    plain = plain_number(cell)
    if plain and plain[0] == "-":
        return f"is a negative number in another notation; write {plain!r:.80}, and {others} in the same way"
    return f"and {others} are numbers with a sign; write them alone, {plain!r:.80}"


def iso_date(cell: str) -> float | None:
    """Return the days from 1970 to a date such as 2024-05-31, 2024/05/31 or 2024-05-31 12:30."""
    if not re.match(r"\d{4}([-/])\d{2}\1\d{2}", cell):
        return None
    try:
        moment = datetime.fromisoformat(cell.replace("/", "-"))
    except ValueError:
        return None
    return _days(moment)


def day_first(cell: str) -> float | None:
    """Return the days from 1970 to a date such as 31.05.2024 or 31/5/2024."""
    return _parse_date(cell, r"(?P<d>\d{1,2})[./-](?P<m>\d{1,2})[./-](?P<y>\d{4})")


def month_first(cell: str) -> float | None:
    """Return the days from 1970 to a date such as 5/31/2024."""
    return _parse_date(cell, r"(?P<m>\d{1,2})/(?P<d>\d{1,2})/(?P<y>\d{4})")


def month_name(cell: str) -> float | None:
    """Return the days from 1970 to a date such as 31 May 2024, 31-May-2024 or May 31, 2024."""
    found = (re.fullmatch(r"(?P<d>\d{1,2})[ -](?P<m>[a-zA-Z]+)\.?,?[ -](?P<y>\d{4})", cell)
             or re.fullmatch(r"(?P<m>[a-zA-Z]+)\.? (?P<d>\d{1,2}),? (?P<y>\d{4})", cell))  # fmt: skip
    month = found and _MONTHS.get(found["m"].lower())
    return day_first(f"{found['d']}.{month}.{found['y']}") if found and month else None


def _parse_date(cell: str, pattern: str) -> float | None:
    found = re.fullmatch(pattern, cell)
    try:
        return None if found is None else _days(datetime(int(found["y"]), int(found["m"]), int(found["d"])))
    except ValueError:
        return None


def _days(moment: datetime) -> float:
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.timestamp() / 86400


def target_numbers(cells: Sequence[str], form: str = "") -> Array:
    """Return the numbers of the target as a column, ``(rows, 1)``.

    Args:
        cells: the cells of the target in a new table.
        form: its form in the training table, see `FORMS`, if known; any form in which all cells are numbers will do.

    Raises:
        CellError: a cell is no finite number, or all can be read in two ways.
    """
    ways: dict[str, Array] = {}
    for name in dict.fromkeys((form or "number", "number", "thousands", "decimal comma")):
        values = np.array([np.nan if (value := FORMS[name](cell)) is None else value for cell in cells])
        if name == (form or "number"):
            odd = int(np.isfinite(values).argmin())
        if np.isfinite(values).all():
            ways[name] = values[:, None]
            if name in (form, "number"):
                return ways[name]
    if not ways:
        shown = f"{cells[odd]!r:.60} is not a number as the others are" if cells[odd] else "the cell is empty"
        raise CellError(odd, "", f"{shown}; correct it, or delete that line.")
    first, *others = ways.values()
    for other in others:
        if (first != other).any():
            row = int((first != other).argmax())
            raise CellError(row, "", f"{cells[row]!r:.60} may be {first[row, 0]:g} or {other[row, 0]:g}. Write numbers "
                                     "with a decimal point and without a sign between the thousands.")  # fmt: skip
    return first


def class_name(cell: str) -> str:
    """Return the name of a class as `read_table` writes it: ``1`` for ``1.0``; a text stays as it is."""
    value = number(cell)
    return cell if value is None else str(int(value)) if value == int(value) else repr(value)


FORMS: dict[str, Callable[[str], float | None]] = {
    "number": number, "thousands": thousands, "decimal comma": decimal_comma,
    "date": iso_date, "day first": day_first, "month first": month_first, "month name": month_name,
}  # fmt: skip
DATES = ("date", "day first", "month first", "month name")


@dataclass(frozen=True)
class Column:
    """How a column is read.

    Attributes:
        name: the name of the column.
        form: a key of `FORMS`, or ``'text'``.
        categories: for a column of texts, the different texts in order; each becomes a column of 0 and 1.
    """

    name: str
    form: str
    categories: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The names of the numeric columns that this column becomes."""
        return [f"{self.name}={text}" for text in self.categories] if self.form == "text" else [self.name]

    def numbers(self, cells: Any, holes: bool) -> Array:
        """Return ``(rows, numeric columns)`` from texts or numbers; with `holes`, missing cells become NaN.

        Raises:
            CellError: a cell cannot be read, or is missing without `holes`.
        """
        if self.form == "text":
            places = {text: k for k, text in enumerate(self.categories)}
            out = np.zeros((len(cells), len(places)))
            for row, cell in enumerate(cells):
                if is_missing(cell):
                    out[row] = self._hole(row, cell, holes)
                elif cell in places:  # an unknown text becomes a row of zeros
                    out[row, places[cell]] = 1
            return out
        if isinstance(cells, np.ndarray) and self.form == "number":
            return cells[:, None]
        read = FORMS[self.form]
        found: list[float] = []
        for row, cell in enumerate(cells):
            value = read(cell)
            found.append(value if value is not None and math.isfinite(value) else self._hole(row, cell, holes))
        return np.array(found, np.float64)[:, None]

    def check_notation(self, cells: Any, delimiter: str) -> None:
        """Refuse 1.234 or 1,234 in a new table that, by its delimiter, does not write numbers as that of the training.

        Raises:
            CellError: a cell can be read in two ways, and no other cell of the column tells which is meant.
        """
        if self.form != ("decimal comma" if delimiter == "," else "thousands"):
            return
        mark, other = (".", ",") if delimiter == "," else (",", ".")
        for row, cell in enumerate(() if any(other in cell for cell in cells) else cells):
            values = [FORMS[self.form](cell), number(cell.replace(",", "."))]
            if mark in cell and None not in values:
                raise CellError(row, self.name, f"{cell!r:.80} may be {values[0]:.10g}, as in the training table, or "
                                f"{values[1]:.10g}. Write it without {mark!r}, or with both signs.")  # fmt: skip

    def _hole(self, row: int, cell: str, holes: bool) -> float:
        if not is_missing(cell):
            kind, value = "date" if self.form in DATES else "number", number(cell)
            what = f"is not a {kind}, as the others of its column are. Correct it, or delete that line."
            shown = f"{cell!r:.80}" if kind == "date" or value is not None else f"a non-numeric feature: {cell!r:.80}"
            if kind == "number" and value is not None:
                what = f"has a decimal point, and the column has decimal commas. Write {cell.replace('.', ',')!r:.80}."
                if not math.isfinite(value):
                    what = "is not a finite number. Correct it, or delete that line."
            raise CellError(row, self.name, f"{shown} {what}")
        if not holes:
            what = f"{cell!r:.80} stands for a missing value" if cell else "the cell is empty"
            raise CellError(
                row, self.name, f"{what}, and a feature needs a value in every row. Fill it in, or delete that "
                f"line, or {FILLING}.",
            )  # fmt: skip
        return np.nan


@dataclass(frozen=True)
class Columns:
    """How the features of a table are read, and which values replace missing cells.

    Attributes:
        parts: how each column is read.
        missing: ``'mean'``, ``'median'``, ``'most-frequent'`` or ``'drop'``; ``None`` refuses missing cells.
        fill: for each numeric column the value that replaces missing cells; empty until `fitted` computes it.
        target: the form of the target, if it holds numbers, else an empty text.
    """

    parts: tuple[Column, ...]
    missing: str | None = None
    fill: tuple[float, ...] = ()
    target: str = ""

    def __post_init__(self) -> None:
        if self.missing is not None and self.missing not in FILLS:
            raise ValueError(f"missing={self.missing!r}; known are {', '.join(FILLS)}.")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the numeric columns."""
        return tuple(name for part in self.parts for name in part.names)

    def numbers(self, columns: Sequence[Any]) -> Array:
        """Return ``(rows, numeric columns)`` from the cells of each column; missing cells become NaN.

        Raises:
            CellError: a cell cannot be read, or is missing and `missing` is None.
        """
        holes = self.missing is not None
        found = [part.numbers(cells, holes) for part, cells in zip(self.parts, columns, strict=True)]
        return np.concatenate(found, axis=1)

    def fitted(self, x: Array) -> Columns:
        """Return these columns with `fill` computed from the training rows x.

        Raises:
            ValueError: a column has only missing cells.
        """
        if self.missing in (None, "drop"):
            return self
        fill: list[float] = []
        for part in self.parts:
            block = x[:, len(fill) : len(fill) + len(part.names)]
            block = block[~np.isnan(block).any(axis=1)]
            if not len(block):
                raise ValueError(f"column {part.name!r:.80} has no value in the rows to learn from. Leave it out.")
            if part.form == "text" or self.missing == "most-frequent":
                values, counts = np.unique(block, axis=0, return_counts=True)
                fill += values[counts.argmax()].tolist()
            else:
                fill.append(float(np.median(block) if self.missing == "median" else block.mean()))
        return replace(self, fill=tuple(fill))

    def filled(self, x: Array) -> tuple[Array, Array]:
        """Return rows with missing cells filled, or dropped by ``'drop'``, and the indices of the rows returned."""
        holes = np.isnan(x)
        if self.missing == "drop":
            whole = ~holes.any(axis=1)
            return x[whole], np.flatnonzero(whole)
        if holes.any():
            x = np.where(holes, np.array(self.fill), x)
        return x, np.arange(len(x))

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and texts, ready for JSON; `Columns.from_dict` reads them back exactly."""
        parts = [{"name": p.name, "form": p.form, "categories": list(p.categories)} for p in self.parts]
        return {"parts": parts, "missing": self.missing, "fill": list(self.fill), "target": self.target}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Columns:
        """Return the columns that `to_dict` wrote.

        Raises:
            ValueError: the fields are not those of `to_dict`.
        """
        try:
            parts = tuple(Column(str(part["name"]), str(part["form"]), tuple(map(str, part["categories"])))
                          for part in fields["parts"])  # fmt: skip
            fill = tuple(float(value) for value in fields["fill"])
            found = cls(parts, fields["missing"], fill, str(fields.get("target", "")))  # older files lack it
        except (KeyError, TypeError) as problem:
            raise ValueError(f"Columns.from_dict: {problem} is missing or has the wrong type.") from None
        unknown = [p.form for p in parts if p.form not in (*FORMS, "text")]
        unknown += [found.target] * (found.target not in (*FORMS, ""))
        if unknown or len(fill) not in (0, len(found.names)):
            raise ValueError("Columns.from_dict: the fill values do not fit the columns.")
        return found


def columns_of(
    names: Sequence[str], cells: Sequence[Any], delimiter: str, missing: str | None = None,
    categories: int = CATEGORIES,
) -> Columns:  # fmt: skip
    """Find out how the columns of a table are written: the form of each one.

    Args:
        names, cells: the name and the cells of each column.
        delimiter: the delimiter of the file; if it is not a comma, a comma in a number is a decimal comma.
        missing: how missing cells are replaced, see `Columns`.
        categories: how many different texts a column may contain.

    Raises:
        CellError: a column has numbers and texts, too many different texts, or dates that can be read in two ways.

    Example:
        >>> found = columns_of(["price", "city"], [["1,200.5", "900"], ["Rome", "Oslo"]], ",")
        >>> [(part.name, part.form) for part in found.parts], found.names
        ([('price', 'thousands'), ('city', 'text')], ('price', 'city=Oslo', 'city=Rome'))
    """
    return Columns(tuple(_column(n, c, delimiter, categories) for n, c in zip(names, cells, strict=True)), missing)


def _column(name: str, cells: Any, delimiter: str, categories: int) -> Column:
    if isinstance(cells, np.ndarray):
        return Column(name, "number")
    there = [cell for cell in cells if not is_missing(cell)]
    order = ["number", "thousands", "decimal comma"] if delimiter == "," else ["number", "decimal comma", "thousands"]
    for form in [*order, "date", "month name"]:
        if all(FORMS[form](cell) is not None for cell in there):
            return Column(name, form)
    ways = [form for form in ("day first", "month first") if all(FORMS[form](cell) is not None for cell in there)]
    if len(ways) == 2 and any(FORMS[ways[0]](cell) != FORMS[ways[1]](cell) for cell in there):
        row = next(k for k, cell in enumerate(cells) if not is_missing(cell))
        raise CellError(row, name, f"{cells[row]!r:.80} and the others may have the day or the month first. Write them "
                                 "as year-month-day, such as 2024-05-31.")  # fmt: skip
    if ways:
        return Column(name, ways[0])
    for form in DATES:
        if sum(FORMS[form](cell) is not None for cell in there) >= 0.5 * len(there):  # mostly dates
            row = next(k for k, cell in enumerate(cells) if not is_missing(cell) and FORMS[form](cell) is None)
            raise CellError(row, name, f"{cells[row]!r:.80} is not a date written as others of the column are; correct "
                                     "it, delete that line, or leave the column out with features=[...].")  # fmt: skip
    count = Counter(there)
    signed = [k for k, cell in enumerate(cells) if plain_number(cell)]
    if signed and all(plain_number(cell) or number(cell) is not None for cell in there):
        row = signed[0]
        raise CellError(row, name, f"{cells[row]!r:.80} {advice_on_sign(cells[row])}, or leave the column out with "
                                 "features=[...].")  # fmt: skip
    if sum(number(cell) is not None for cell in there) >= 0.5 * len(there):  # mostly numbers
        row = next(k for k, cell in enumerate(cells) if not is_missing(cell) and number(cell) is None)
        raise CellError(row, name, f"a non-numeric feature: {cells[row]!r:.80} is not a number, as others of the "
                                 f"column are; {edit_of(cells[row])}, delete that line, or leave the column out with "
                                 "features=[...].")  # fmt: skip
    if len(count) > categories:
        row = next(k for k, cell in enumerate(cells) if not is_missing(cell))
        raise CellError(row, name, f"the column holds {len(count):,} different texts, such as {cells[row]!r:.80}; up "
                                 f"to {categories} become columns of 0 and 1. Leave it out with features=[...], or say "
                                 f"categories={len(count)}.")  # fmt: skip
    return Column(name, "text", tuple(sorted(count)))
