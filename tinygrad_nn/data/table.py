"""A person's own table: a CSV file with one sample a line and the names of the columns in the first line."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinygrad_nn.data.encode import one_hot
from tinygrad_nn.forks import renewed
from tinygrad_nn.printable import printable
from tinygrad_nn.spelling import did_you_mean, near_names

if TYPE_CHECKING:  # imported where used, so that `import tinygrad_nn` stays quick
    from pathlib import Path

Kind = Literal["auto", "classification", "regression"]
StrPath = str | os.PathLike[str]

MISSING = {"", "na", "n/a", "null", "?"}
DELIMITERS = (",", ";", "\t")


class Table(NamedTuple):
    """What a CSV file holds: numbers to learn from, and a target that is either a class or a number.

    `x` (batch, n_in); `y` (batch,) texts for 'classification', float64 for 'regression'; `classes` is empty then.
    """

    x: NDArray[np.float64]
    y: NDArray[np.str_] | NDArray[np.float64]
    kind: Literal["classification", "regression"]
    feature_names: tuple[str, ...]
    target: str
    classes: tuple[str, ...]

    @property
    def targets(self) -> NDArray[np.float64]:
        """What the network is to say: one-hot rows (batch, classes), or the numbers as one column (batch, 1)."""
        if self.kind == "classification":
            return one_hot(self.y, self.classes)
        return np.asarray(self.y, dtype=np.float64)[:, None]


class _Grid(NamedTuple):
    """The cells of a file as texts, and its path for messages; row k ends in line `lines[k]` of the file."""

    path: str
    header: list[str]
    rows: list[list[str]]
    lines: list[int]


def read_table(
    path: StrPath,
    target: str,
    *,
    kind: Kind = "auto",
    features: Sequence[str] | None = None,
    encoding: str = "utf-8",
) -> Table:
    """Read a CSV file with one column to predict; the other columns are numbers.

    Args: `path` of a file whose first line names the columns, delimited by `,` `;` or tab; `target` the column to
    predict; `kind` 'auto' takes a target of numbers as regression and of texts as classification; `features` the
    columns to learn from, by default all but the target; numbers are returned as they are (see `Scaler`).
    Returns: `Table`. The classes are sorted, as numbers where all are numbers.
    Raises: FileNotFoundError, or ValueError that names line, column and cell, and what to change.

    >>> from importlib.resources import as_file, files
    >>> with as_file(files("tinygrad_nn.data") / "sets" / "iris.csv") as path:
    ...     table = read_table(path, "species")
    >>> table.x.shape, table.kind, table.classes
    ((150, 4), 'classification', ('setosa', 'versicolor', 'virginica'))
    """
    if kind not in ("auto", "classification", "regression"):
        raise ValueError(f"read_table: kind={kind!r}; known kinds are 'auto', 'classification', 'regression'.")
    grid = _read_grid(path, encoding)
    target_column = _columns(grid, [target], "target")[0]
    if features is None:
        _check_unique(grid, grid.header)
        features = [name for name in grid.header if name != target]
    elif target in features:
        raise ValueError(
            f"{grid.path}: {target!r} is the target and also among the features; a network would copy it. "
            f"Take {target!r} out of features."
        )
    if not features:
        raise ValueError(
            f"{grid.path}: there is no column besides the target {target!r} (columns: {_listed(grid.header)}); "
            "a network needs a number to learn from. Add a column, or check that the delimiter is , ; or tab."
        )
    x = _numbers(grid, list(features))
    found, y, classes = _target(grid, target_column, target, kind)
    return Table(x, y, found, tuple(features), target, classes)


def read_features(path: StrPath, feature_names: Sequence[str], *, encoding: str = "utf-8") -> NDArray[np.float64]:
    """Read the named columns of a CSV file, in this order, to predict from; other columns are ignored.

    Args: `path` as for `read_table`; `feature_names` those of the table that the network was trained on.
    Returns: (batch, n_in), float64. Raises: FileNotFoundError or ValueError, as `read_table`.

    >>> from importlib.resources import as_file, files
    >>> with as_file(files("tinygrad_nn.data") / "sets" / "iris.csv") as path:
    ...     print(read_features(path, ["petal_width", "petal_length"])[0])
    [0.2 1.4]
    """
    if isinstance(feature_names, str) or not feature_names:
        raise ValueError(f"read_features: feature_names={feature_names!r}; it needs a list of names, e.g. ['height'].")
    return _numbers(_read_grid(path, encoding), list(feature_names))


def _read_grid(path: StrPath, encoding: str) -> _Grid:
    import csv
    from pathlib import Path

    path = Path(path)
    where, text = printable(path), _decode(path, encoding)
    if not text.strip():
        raise ValueError(f"{where}: the file is empty; it needs a line of column names and then one line a sample.")
    begins = 1  # the line in which the row that is being read begins
    header: list[str] = []
    rows: list[list[str]] = []
    lines: list[int] = []
    with _fields_of_any_length(len(text)):
        first = next(line for line in text.splitlines() if line.strip())
        delimiter = max(DELIMITERS, key=lambda mark: len(next(csv.reader([first], delimiter=mark))))
        # newline="" keeps a line break inside a quoted cell as it is
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                cells = [cell.strip() for cell in cells]
                begins = reader.line_num + 1
                if not any(cells) and len(cells) < 2:
                    continue  # an empty line
                if not header:
                    header = cells
                    continue
                if len(cells) != len(header):
                    raise ValueError(
                        f"{where}, line {reader.line_num}: {len(cells)} cells, but the first line names "
                        f"{len(header)} ({_listed(header)}). Complete or delete that line; a cell that holds "
                        f"{delimiter!r} needs quotes."
                    )
                rows.append(cells)
                lines.append(reader.line_num)
        except csv.Error as error:
            raise ValueError(
                f"{where}, line {begins}: the row that begins there is no readable CSV ({error}). Look for a "
                "quote that is never closed."
            ) from None
    if not rows:
        raise ValueError(
            f"{where}: only the first line is there (columns: {_listed(header)}); add one line a sample below it."
        )
    return _Grid(where, header, rows, lines)


_FIELDS = renewed(Lock())


@contextmanager
def _fields_of_any_length(length: int) -> Iterator[None]:
    """Let `csv` read fields of more than 128 KB; its limit is one for all threads, so one of us at a time sets it."""
    import csv

    with _FIELDS:
        before = csv.field_size_limit(max(csv.field_size_limit(), min(length + 1, 2**31 - 1)))
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _decode(path: Path, encoding: str) -> str:
    where = printable(path)
    if path.is_dir():
        inside = printable(path / "data.csv")
        raise ValueError(f"{where} is a folder; pass the path of the CSV file in it, e.g. {inside}.")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(_not_there(path)) from None
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except LookupError:
        raise ValueError(f"encoding={encoding!r} is not known to Python; try 'utf-8' or 'latin-1'.") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        spreadsheet = content.startswith(b"PK")
        fix = (
            "It looks like a spreadsheet file: open it and export it as CSV."
            if spreadsheet
            else "Save it as CSV in UTF-8, or pass encoding='latin-1' (or 'utf-16') if that is what it is."
        )
        raise ValueError(
            f"{where}, line {line}: byte 0x{content[error.start]:02x} at position {error.start} is not {encoding}. "
            f"{fix}"
        ) from None


def _not_there(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        seen = f"no such file, and no folder {printable(folder)}. The path is seen from {printable(os.getcwd())}"
        return f"{printable(path)}: {seen}; correct it."
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    close = near_names(path.name, names, 3) or [name for name in names if name.endswith(".csv")][:5]
    near = f"Did you mean {_listed(close)}?" if close else "There is no CSV file in that folder; correct the path."
    return f"{printable(path)}: no such file in {printable(folder.resolve())}. {near}"


def _columns(grid: _Grid, names: list[str], role: str) -> list[int]:
    """The positions of the named columns."""
    places = {name: k for k, name in enumerate(grid.header)}
    missing = [name for name in names if name not in places]
    if missing:
        hint = did_you_mean(missing[0], grid.header, 0.5)
        if all(_number(name) is not None for name in grid.header):
            hint = " The first line holds numbers: put a line of column names above it."
        also = f" (nor {_listed(missing[1:])})" if missing[1:] else ""
        raise ValueError(
            f"{grid.path}: there is no {role} column {missing[0]!r:.80}{also}. It has {_listed(grid.header)}.{hint}"
        )
    _check_unique(grid, names)
    return [places[name] for name in names]


def _check_unique(grid: _Grid, names: Sequence[str]) -> None:
    there, asked = Counter(grid.header), Counter(names)
    for name in asked:
        if not name:
            raise ValueError(
                f"{grid.path}: column {grid.header.index(name) + 1} has no name in the first line. Name it, or delete "
                "the column (pandas writes its index so: to_csv(..., index=False))."
            )
        if there[name] > 1 or asked[name] > 1:
            places = [str(k + 1) for k, other in enumerate(grid.header) if other == name]
            where = f"columns {' and '.join(places)}" if len(places) > 1 else "the features"
            twice = f"the name {name!r:.80} stands twice, in {where}"
            raise ValueError(f"{grid.path}: {twice}. Rename or delete one of them.")


def _numbers(grid: _Grid, names: list[str]) -> NDArray[np.float64]:
    columns = _columns(grid, names, "feature")
    x = np.empty((len(grid.rows), len(columns)))  # (batch, n_in)
    for row, cells in enumerate(grid.rows):
        for k, column in enumerate(columns):
            value = _number(cells[column])
            if value is None or not np.isfinite(value):
                raise ValueError(_bad_cell(grid, row, names[k], cells[column], "a feature"))
            x[row, k] = value
    return x


def _target(
    grid: _Grid, column: int, name: str, kind: Kind
) -> tuple[Literal["classification", "regression"], NDArray[np.str_] | NDArray[np.float64], tuple[str, ...]]:
    texts = [cells[column] for cells in grid.rows]
    numbers = [_number(text) for text in texts]
    for row, (text, number) in enumerate(zip(texts, numbers, strict=True)):
        if text.lower() in MISSING or (number is not None and not np.isfinite(number)):
            raise ValueError(_bad_cell(grid, row, name, text, "the target"))
    texts_at = [row for row, number in enumerate(numbers) if number is None]
    if kind == "auto" and texts_at and len(texts_at) < len(texts):
        row, number_row = texts_at[0], next(row for row, number in enumerate(numbers) if number is not None)
        raise ValueError(
            f"{grid.path}: the target {name!r:.80} mixes texts ({texts[row]!r:.80} in line {grid.lines[row]}) and "
            f"numbers ({texts[number_row]!r:.80} in line {grid.lines[number_row]}). Correct one, or say "
            "kind='classification'."
        )
    if kind == "regression" or (kind == "auto" and not texts_at):
        if texts_at:
            raise ValueError(_bad_cell(grid, texts_at[0], name, texts[texts_at[0]], "the target of a regression"))
        return "regression", np.array(numbers, dtype=np.float64), ()
    if texts_at:
        classes = sorted(set(texts))
    else:  # '1' and '1.0' are one class, and 2 comes before 10
        texts = [_plain(number) for number in numbers if number is not None]
        classes = sorted(set(texts), key=float)
    if len(classes) == 1:
        raise ValueError(
            f"{grid.path}: every row of the target {name!r:.80} is {classes[0]!r:.80}; there is nothing to tell apart. "
            "Add rows of a second class, or choose another target."
        )
    return "classification", np.array(texts), tuple(classes)


def _number(text: str) -> float | None:
    """The number that a cell holds, or None. Python's 1_000 is no number of a table."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(number)


def _bad_cell(grid: _Grid, row: int, name: str, text: str, role: str) -> str:
    where = f"{grid.path}, line {grid.lines[row]} (row {row + 1}), column {name!r:.80}"
    number, shown = _number(text), f"{text!r:.80}"
    if text.lower() in MISSING:
        what = "the cell is empty" if not text else f"{shown} stands for a missing value"
        return f"{where}: {what}, and {role} needs a value in every row. Fill it in, or delete that line."
    if number is not None:
        return f"{where}: {shown} is not a finite number, which {role} needs to be. Correct it, or delete that line."
    if "," in text and _number(text.replace(",", ".", 1)) is not None:
        return f"{where}: {shown} is not a number here; write a decimal point, {text.replace(',', '.', 1)!r:.80}."
    if role == "a feature":
        return (
            f"{where}: a non-numeric feature: {shown} is not a number. Replace the column's texts by numbers (0 and 1 "
            f"for each of its categories), delete the column, or leave it out with features=[...]."
        )
    return f"{where}: {shown} is not a number, which {role} needs to be. Correct it, or say kind='classification'."


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"{name!r:.60}" for name in names[:20])
    return shown + (f", ... ({len(names)} in all)" if len(names) > 20 else "")
