"""Read a user's table: a CSV file with one sample per line and the names of the columns in the first line."""

from __future__ import annotations

import io
import os
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinygrad_nn.common.display import tuple_in_few_lines
from tinygrad_nn.common.forks import renewed_after_fork
from tinygrad_nn.common.printable import printable
from tinygrad_nn.common.spelling import did_you_mean
from tinygrad_nn.data.columns import (
    CATEGORIES,
    FILLING,
    FORMS,
    CellError,
    Column,
    Columns,
    advice_on_sign,
    class_name,
    columns_of,
    edit_of,
    is_missing,
    number,
    plain_number,
)
from tinygrad_nn.data.encode import one_hot
from tinygrad_nn.data.text_file import decoded_text, list_text

Kind = Literal["auto", "classification", "regression"]
StrPath = str | os.PathLike[str]

Cells = list[str] | NDArray[np.float64]
DELIMITERS = (",", ";", "\t", "|")
LARGE = 1_000_000  # characters; a larger table is read by NumPy, if it is plain
FEW, CHUNK = 1000, 50_000  # rows that decide whether it is plain, and rows that are read at a time
Progress = Callable[[int, int], None]


class Table(NamedTuple):
    """The content of a CSV file: numeric features, and a target that is either a class or a number.

    `x` (batch, n_in); `y` (batch,) texts for 'classification', float64 for 'regression', for which `classes` is empty.
    `columns` says how the features are read; `lines` are the lines of the file left out because of a missing cell.
    """

    x: NDArray[np.float64]
    y: NDArray[np.str_] | NDArray[np.float64]
    kind: Literal["classification", "regression"]
    feature_names: tuple[str, ...]
    target: str
    classes: tuple[str, ...]
    columns: Columns
    lines: tuple[int, ...] = ()

    def __repr__(self) -> str:
        return tuple_in_few_lines(self)

    @property
    def targets(self) -> NDArray[np.float64]:
        """The targets of a network: one-hot rows (batch, classes), or the numbers as one column (batch, 1)."""
        if self.kind == "classification":
            return one_hot(self.y, self.classes)
        return np.asarray(self.y, dtype=np.float64)[:, None]


class _Grid(NamedTuple):
    """The cells of a file, and its path for messages; row k ends in line `lines[k]` of the file.

    A column is a list of texts, or an array if it was read as numbers directly.
    """

    path: str
    header: list[str]
    columns: list[Cells]
    lines: Sequence[int]
    delimiter: str
    table: NDArray[np.float64] | None = None  # all columns as one array, if all are numbers

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.columns[0])


def read_table(
    path: StrPath,
    target: str,
    *,
    kind: Kind = "auto",
    features: Sequence[str] | None = None,
    encoding: str = "utf-8",
    missing: str | None = None,
    categories: int = CATEGORIES,
    fill: bool = True,
    progress: Progress | None = None,
) -> Table:
    """Read a CSV file with one column to predict; the others contain numbers, dates, or a few different texts.

    Args: `path` of a file, also gzipped, whose first line names the columns, delimited by `,` `;` `|` or tab;
    `encoding` of its text, by Python's name; `target` the column to predict; `kind` 'auto' takes a target of numbers
    as regression and of texts as classification; `features` the columns to learn from, by default all but the target;
    `missing` the value for a missing cell: 'mean', 'median' or 'most-frequent' of its column, or 'drop' for leaving
    out its row; `categories` how many different texts a column may hold, each of which becomes a column of 0 and 1;
    dates become days from 1970. Without `fill` missing cells stay NaN, for `Table.columns` to fill later.
    `progress(done, total)` is called while a large file is read. Numbers are returned as they are (see `Scaler`).
    Returns: `Table`. The classes are sorted, as numbers if all are numbers.
    Raises: FileNotFoundError, or ValueError that names line, column and cell, and what to change.

    >>> from importlib.resources import as_file, files
    >>> with as_file(files("tinygrad_nn.data") / "sets" / "iris.csv") as path:
    ...     table = read_table(path, "species")
    >>> table.x.shape, table.kind, table.classes
    ((150, 4), 'classification', ('setosa', 'versicolor', 'virginica'))
    """
    if kind not in ("auto", "classification", "regression"):
        raise ValueError(f"read_table: kind={kind!r}; known kinds are 'auto', 'classification', 'regression'.")
    if features is not None and (isinstance(features, str) or not len(features)):
        raise ValueError(f"read_table: features={features!r:.60}; it needs a list of names, e.g. ['height'].")
    grid = _read_grid(path, encoding, progress)
    target_column = _columns(grid, [target], "target column")[0]
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
            f"{grid.path}: there is no column besides the target {target!r} (columns: {list_text(grid.header)}); "
            "a network needs a number to learn from. Add a column, or check that the delimiter is , ; | or tab."
        )
    names, left_out = list(features), tuple[int, ...]()
    if missing == "drop":
        grid, left_out = _without_holes(grid, [*_columns(grid, names, "feature column"), target_column])
    places = _columns(grid, names, "feature column")
    cells = [grid.columns[k] for k in places]
    try:
        columns = columns_of(names, cells, grid.delimiter, missing, categories)
        x = columns.numbers(cells) if grid.table is None else grid.table[:, places]
    except CellError as refused:
        raise ValueError(_cell_message(grid, refused)) from None
    found, y, classes, form = _target(grid, target_column, target, kind)
    columns = replace(columns, target=form)
    if fill:
        columns = columns.fitted(x)
        x, _ = columns.filled(x)
    return Table(x, y, found, columns.names, target, classes, columns, left_out)


def read_features(path: StrPath, feature_names: Sequence[str], *, encoding: str = "utf-8") -> NDArray[np.float64]:
    """Read the named columns of a CSV file, in this order, to predict from; other columns are ignored.

    Args: `path`, `encoding` as for `read_table`; `feature_names` the names in the table the network was trained on.
    Returns: (batch, n_in), float64. Raises: FileNotFoundError or ValueError, as `read_table`.

    >>> from importlib.resources import as_file, files
    >>> with as_file(files("tinygrad_nn.data") / "sets" / "iris.csv") as path:
    ...     print(read_features(path, ["petal_width", "petal_length"])[0])
    [0.2 1.4]
    """
    if isinstance(feature_names, str) or not feature_names:
        raise ValueError(f"read_features: feature_names={feature_names!r}; it needs a list of names, e.g. ['height'].")
    columns = Columns(tuple(Column(name, "number") for name in feature_names))
    return read_columns(path, columns, encoding=encoding)[0]


def read_columns(
    path: StrPath, columns: Columns, *, encoding: str = "utf-8", extra: Sequence[str] = (),
    progress: Progress | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.intp], dict[str, list[str]]]:  # fmt: skip
    """Read a CSV file to predict from, in the same way as the training table was read; other columns are ignored.

    Args: `path`, `encoding`, `progress` as for `read_table`; `columns` of the training `Table`; `extra` columns to
    return as texts too. Returns: (batch, numeric columns), the indices of these rows in the file, and the texts of the
    extra columns in these rows. Raises: as `read_table`.
    """
    texts_in = {*extra, *(part.name for part in columns.parts if part.form != "number")}
    grid = _read_grid(path, encoding, progress, texts_in)
    cells = [grid.columns[k] for k in _columns(grid, [part.name for part in columns.parts], "feature column")]
    try:
        for part, column in zip(columns.parts, cells, strict=True):
            part.check_notation(column, grid.delimiter)
        x, rows = columns.filled(columns.numbers(cells))
    except CellError as refused:
        message = _cell_message(grid, refused).replace(FILLING, f"train again and {FILLING}")
        raise ValueError(message) from None
    texts = {name: grid.columns[k] for name, k in zip(extra, _columns(grid, list(extra), "column"), strict=True)}
    return x, rows, {name: [str(column[row]) for row in rows] for name, column in texts.items()}


def read_header(path: StrPath, *, encoding: str = "utf-8") -> list[str]:
    """Read the names of the columns of a CSV file, as they stand in its first line.

    Args: `path`, `encoding` as for `read_table`. Raises: as `read_table`, if the file is no table.

    >>> from importlib.resources import as_file, files
    >>> with as_file(files("tinygrad_nn.data") / "sets" / "iris.csv") as path:
    ...     read_header(path)[-2:]
    ['petal_width', 'species']
    """
    return _read_grid(path, encoding).header


def _cell_message(grid: _Grid, refused: CellError) -> str:
    """Return the message for a cell that cannot be read, with its file, line and column."""
    line = grid.lines[refused.row]
    return f"{grid.path}, line {line} (row {refused.row + 1}), column {refused.column!r:.80}: {refused.reason}"


def _without_holes(grid: _Grid, places: Sequence[int]) -> tuple[_Grid, tuple[int, ...]]:
    """Return the grid without the rows that have a missing cell in some columns, and the lines of these rows."""
    holes = np.zeros(grid.rows, bool)
    for k in places:
        column = grid.columns[k]
        if not isinstance(column, np.ndarray):
            holes |= np.fromiter(map(is_missing, column), bool, len(column))
    if not holes.any():
        return grid, ()
    kept = np.flatnonzero(~holes).tolist()
    if not kept:
        raise ValueError(f"{grid.path}: every row has a missing cell. Say missing='mean', or leave a column out.")
    columns = [column[kept] if isinstance(column, np.ndarray) else [column[k] for k in kept] for column in grid.columns]
    lines, gone = [grid.lines[k] for k in kept], [grid.lines[k] for k in np.flatnonzero(holes).tolist()]
    return grid._replace(columns=columns, lines=lines), tuple(gone)


def _read_grid(
    path: StrPath, encoding: str, progress: Progress | None = None, texts: Collection[str] = ()
) -> _Grid:
    """Read the cells of a file; the columns in `texts` stay texts also if they look like numbers, such as 007."""
    import csv
    from pathlib import Path

    path = Path(path)
    where, text = printable(path), decoded_text(path, encoding)
    if not text[:1000].strip() and not text.strip():
        raise ValueError(f"{where}: the file is empty; it needs a line of column names and then one line per sample.")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{where}, line {line}: there is a NUL byte, which no text contains. Write the file again.")
    begins = 1  # the line in which the row that is being read begins
    header: list[str] = []
    rows: list[list[str]] = []
    lines: list[int] = []
    with _allowing_long_fields(len(text)):
        # look only at the beginning of a large text, since copying all of it takes long
        start = text[: max(LARGE, text.find("\n", LARGE))]
        first = next(line for line in (start if start.strip() else text).splitlines() if line.strip())
        delimiter = max(DELIMITERS, key=lambda mark: len(next(csv.reader([first], delimiter=mark))))
        quick = _read_quickly(where, text, delimiter, progress, texts) if len(text) > LARGE else None
        if quick is not None:
            return quick
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
                        f"{len(header)} ({list_text(header)}). Complete or delete that line; a cell that holds "
                        f"{delimiter!r} needs quotes."
                    )
                rows.append(cells)
                lines.append(reader.line_num)
        except csv.Error as error:
            raise ValueError(
                f"{where}, line {begins}: the row that begins there is not valid CSV ({error}). Look for a "
                "quote that is never closed."
            ) from None
    if not rows:
        raise ValueError(
            f"{where}: the file has only its first line (columns: {list_text(header)}); add one line per sample "
            "below it."
        )
    return _Grid(where, header, [list(column) for column in zip(*rows, strict=True)], lines, delimiter)


def _read_quickly(
    where: str, text: str, delimiter: str, progress: Progress | None, texts: Collection[str]
) -> _Grid | None:
    """Read a large table by NumPy; return None if it is not plain enough and must be read cell by cell."""
    import csv

    stream = io.BytesIO(text.encode())
    few = csv.reader((stream.readline().decode() for _ in range(FEW + 1)), delimiter=delimiter, strict=True)
    try:
        header, *rows = ([cell.strip() for cell in row] for row in few if row)
        if any(len(row) != len(header) for row in rows) or "" in header:
            return None
        plain = [name not in texts and all(number(row[k]) is not None for row in rows) for k, name in enumerate(header)]
        fields = [(f"c{k}", "f8" if numeric else "O") for k, numeric in enumerate(plain)]
        every = all(plain)
        options: dict[str, Any] = {"dtype": float if every else np.dtype(fields), "ndmin": 2 if every else 1}
        stream.seek(0)
        stream.readline()
        parts: list[NDArray[Any]] = []
        while not parts or len(parts[-1]) == CHUNK:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # NumPy warns if no rows are left after the last chunk
                part = np.loadtxt(stream, comments=None, delimiter=delimiter, quotechar='"', max_rows=CHUNK,
                                  encoding="utf-8", **options)  # fmt: skip
            parts.append(part)
            if progress is not None:
                progress(stream.tell(), len(text))
    except (ValueError, csv.Error):
        return None
    table = np.concatenate([part for part in parts if part.size])
    numbers = list(table.T) if every else [np.array(table[name]) for name, _ in fields]
    finite = np.isfinite(table).all() if every else all(np.isfinite(x).all() for x in numbers if x.dtype.kind == "f")
    if not finite:
        return None
    if text.count("\n") - text.endswith("\n") != len(table):  # empty lines, or line breaks in cells
        return None
    columns: list[Cells] = [x if x.dtype.kind == "f" else [cell.strip() for cell in x] for x in numbers]
    return _Grid(where, header, columns, range(2, len(table) + 2), delimiter, table if every else None)


_FIELDS = renewed_after_fork(Lock())


@contextmanager
def _allowing_long_fields(length: int) -> Iterator[None]:
    """Let `csv` read fields of more than 128 KB; its limit is global, so a lock lets one thread at a time set it."""
    import csv

    with _FIELDS:
        before = csv.field_size_limit(max(csv.field_size_limit(), min(length + 1, 2**31 - 1)))
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _columns(grid: _Grid, names: list[str], role: str) -> list[int]:
    """Return the positions of the named columns."""
    places = {name: k for k, name in enumerate(grid.header)}
    missing = [name for name in names if name not in places]
    if missing:
        hint = did_you_mean(missing[0], grid.header, 0.5)
        if all(number(name) is not None for name in grid.header):
            hint = " The first line holds numbers: put a line of column names above it."
        elif len(grid.header) == 1:
            hint = " A line is not split at blanks; separate the cells by , ; | or a tab."
        also = f" (nor {list_text(missing[1:])})" if missing[1:] else ""
        raise ValueError(
            f"{grid.path}: there is no {role} {missing[0]!r:.80}{also}. It has {list_text(grid.header)}.{hint}"
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
            where = f"as columns {' and '.join(places)}" if len(places) > 1 else "in the features"
            twice = f"column {name!r:.80} appears twice, {where}"
            raise ValueError(f"{grid.path}: {twice}. Rename or delete one of them.")


def _target(
    grid: _Grid, column: int, name: str, kind: Kind
) -> tuple[Literal["classification", "regression"], NDArray[np.str_] | NDArray[np.float64], tuple[str, ...], str]:
    """Return kind, values and classes of the target, and the form of its numbers."""
    there = grid.columns[column]
    if isinstance(there, np.ndarray) and kind != "classification":
        return "regression", there, (), "number"
    cells = [repr(float(value)) for value in there] if isinstance(there, np.ndarray) else there
    form = _form_of_target(cells, grid.delimiter)
    numbers = [FORMS[form](text) for text in cells]
    for row, (text, value) in enumerate(zip(cells, numbers, strict=True)):
        if is_missing(text) or (value is not None and not np.isfinite(value)):
            raise ValueError(_bad_target_text(grid, row, name, text, "the target"))
    texts_at = [row for row, value in enumerate(numbers) if value is None]
    if kind == "auto" and texts_at and len(texts_at) < len(cells):
        row, number_row = texts_at[0], next(row for row, value in enumerate(numbers) if value is not None)
        raise ValueError(
            f"{grid.path}: the target {name!r:.80} mixes texts ({cells[row]!r:.80} in line {grid.lines[row]}) and "
            f"numbers ({cells[number_row]!r:.80} in line {grid.lines[number_row]}); {edit_of(cells[row])}, or say "
            "kind='classification'."
        )
    if kind == "auto" and all(map(plain_number, cells)):
        raise ValueError(
            f"{grid.path}: {cells[0]!r:.80} {advice_on_sign(cells[0], f'the other targets {name!r:.80}')}, or say "
            "kind='classification'."
        )
    if kind == "regression" or (kind == "auto" and not texts_at):
        if texts_at:
            raise ValueError(
                _bad_target_text(grid, texts_at[0], name, cells[texts_at[0]], "the target of a regression")
            )
        return "regression", np.array(numbers, dtype=np.float64), (), form
    if texts_at:
        classes = sorted(set(cells))
    else:  # '1' and '1.0' are one class, and 2 comes before 10
        names: dict[float | None, str] = {}
        for value, cell in zip(numbers, cells, strict=True):
            names.setdefault(value, class_name(cell))
        cells = [names[value] for value in numbers]
        classes = [names[value] for value in sorted(names, key=float)]  # type: ignore[arg-type]
    if len(classes) == 1:
        raise ValueError(
            f"{grid.path}: every row of the target {name!r:.80} is {classes[0]!r:.80}; a classifier needs at least two "
            "classes. Add rows of a second class, or choose another target."
        )
    return "classification", np.array(cells), tuple(classes), ""


def _form_of_target(cells: Sequence[str], delimiter: str) -> str:
    """Return the form of the numbers of a target: the first one in which all cells can be read."""
    forms = ["number", "thousands"] if delimiter == "," else ["number", "decimal comma"]
    return next((form for form in forms if all(FORMS[form](cell) is not None for cell in cells)), "number")


def _bad_target_text(grid: _Grid, row: int, name: str, text: str, role: str) -> str:
    where = f"{grid.path}, line {grid.lines[row]} (row {row + 1}), column {name!r:.80}"
    value, shown = number(text), f"{text!r:.80}"
    if is_missing(text):
        what = "the cell is empty" if not text else f"{shown} stands for a missing value"
        return (f"{where}: {what}, and {role} needs a value in every row. Fill it in, or delete that line, or say "
                "missing='drop'.")  # fmt: skip
    if value is not None:
        return f"{where}: {shown} is not a finite number, which {role} needs to be. Correct it, or delete that line."
    return f"{where}: {shown} is not a number, which {role} needs to be; {edit_of(text)}, or say kind='classification'."
