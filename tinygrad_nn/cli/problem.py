"""The data that `train` uses: a bundled data set or the user's CSV file, with notes on how it was read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

import numpy as np

from ..common.printable import counted
from ..common.spelling import did_you_mean
from ..data import Columns, Dataset, Table, load_digits, load_iris, read_table
from ..data.columns import CATEGORIES, number
from ..data.table import Progress

Array = np.ndarray[Any, Any]

DATASETS: dict[str, Callable[[], Dataset]] = {"iris": load_iris, "digits": load_digits}


@dataclass(frozen=True)
class Options:
    """All options of `train`. The defaults are those of the Julia project's `main.jl`."""

    dataset: str = "iris"
    data: str | None = None
    target: str | None = None
    features: str | None = None
    kind: str = "auto"
    encoding: str = "utf-8"
    missing: str | None = None
    categories: int = CATEGORIES
    scale: bool | None = None
    train_size: float = 0.7
    val_size: float = 0.1
    test_size: float | None = None
    stratify: bool = False
    hidden: str = "40"
    activation: str = "relu"
    output: str | None = None
    distribution: str = "n"
    dtype: str = "float64"
    loss: str | None = None
    optimizer: str = "sgd"
    learning_rate: float = 0.03
    epochs: int = 20
    batch_size: int = 16
    regularization: str = "none"
    lam: float | None = None
    r: float | None = None
    dropout: float = 0.0
    gradients: str = "graph"
    seed: int = 0
    early_stopping: int | None = None
    checkpoint: str | None = None
    resume: bool = False
    class_weight: str | None = None
    cv: int | None = None

    def changed(self) -> list[str]:
        """Return the names of the options that do not have their default."""
        return [part.name for part in fields(self) if getattr(self, part.name) != part.default]


class Problem(NamedTuple):
    """The training data: inputs, targets, and the names of features, target and classes."""

    name: str
    x: Array
    targets: Array
    task: Literal["classification", "regression"]
    features: tuple[str, ...]
    target: str
    classes: tuple[str, ...]
    columns: Columns | None = None
    notes: tuple[str, ...] = ()


def read_problem(options: Options, progress: Progress | None = None) -> Problem:
    """Return the data that the options select; `progress` is called with the bytes read of a large file."""
    if options.data is None:
        for name in ("target", "features"):
            if getattr(options, name) is not None:
                raise ValueError(f"{name}={getattr(options, name)} belongs to a table; add data=FILE.csv.")
        if options.kind == "regression":
            raise ValueError("kind=regression belongs to a table of your own; the bundled data sets hold classes.")
        key = options.dataset.strip().lower()
        if key not in DATASETS:
            near = did_you_mean(key, DATASETS)
            raise ValueError(
                f"unknown dataset={options.dataset}; known are {', '.join(DATASETS)}.{near} A table of your own is "
                "read with data=FILE.csv target=COLUMN."
            )
        found = DATASETS[key]()
        target = "species" if key == "iris" else "digit"
        return Problem(key, found.x, found.targets, "classification", found.feature_names, target, found.class_names)
    if options.dataset.strip().lower() != "iris":
        raise ValueError(f"dataset={options.dataset} and data={options.data} are two data sets; leave one out.")
    if options.target is None:
        raise ValueError(f"data={options.data} needs the name of the column to predict; add target=COLUMN.")
    kind: Any = options.kind.strip().lower()
    features = None if options.features is None else [name.strip() for name in options.features.split(",")]
    table = read_table(
        options.data, options.target, kind=kind, features=features, encoding=options.encoding, missing=options.missing,
        categories=options.categories, fill=False, progress=progress,
    )  # fmt: skip
    _refuse_too_large(options.data, table)
    return Problem(
        options.data, table.x, table.targets, table.kind, table.feature_names, table.target, table.classes,
        table.columns, tuple(_notes(table, kind)),
    )  # fmt: skip


def _refuse_too_large(path: str, table: Table) -> None:
    """Refuse numbers whose squares are infinite: no error of a prediction could be computed."""
    columns = [*zip(table.feature_names, table.x.T, strict=True)]
    if table.kind == "regression":
        columns.append((table.target, table.y))
    for name, values in columns:
        if (large := values[np.abs(values) > LARGEST]).size:
            raise ValueError(
                f"{path}, column {name!r:.80}: {large[0]:g} is so large that its square is infinite. Correct it, or "
                "delete that line."
            )


def _notes(table: Table, kind: str) -> Iterator[str]:
    """Yield notes on conversions of the table that the user may not expect."""
    for part in table.columns.parts:
        if part.form == "text":
            count = len(part.categories)
            yield f"{part.name}: {count} texts become {count} columns of 0 and 1"
        elif part.form != "number":
            yield f"{part.name}: read as {_FORMS[part.form]}"
    if table.lines:
        shown = ", ".join(map(str, table.lines[:5])) + (", ..." if len(table.lines) > 5 else "")
        one, gone = len(table.lines) == 1, counted(len(table.lines), "row")
        yield f"{gone} with a missing cell {'is' if one else 'are'} left out ({'line' if one else 'lines'} {shown})"
    holes = np.isnan(table.x)
    if holes.any():
        firsts = np.cumsum([0, *(len(part.names) for part in table.columns.parts)])[:-1]  # the first of each column
        rows, cells = int(holes.any(axis=1).sum()), int(holes[:, firsts].sum())
        what = {"mean": "mean", "median": "median", "most-frequent": "most frequent value"}[table.columns.missing or ""]
        yield f"{cells:,} missing in {counted(rows, 'row')}: the {what} of the column in the training rows is used"
    values: Array | list[float] = np.unique(table.y) if table.kind == "regression" else []
    if kind == "auto" and 2 <= len(values) <= FEW_VALUES < len(table.y) and all(float(v).is_integer() for v in values):
        shown = ", ".join(f"{v:g}" for v in values)
        yield (f"{table.target} holds numbers ({shown}), so the kind is taken to be regression; if these are classes, "
               "add --kind classification")  # fmt: skip
    decimals = sum("." in name and number(name) is not None for name in table.classes)
    if decimals > FEW_VALUES:
        yield (f"{table.target} holds {decimals:,} different numbers with decimals, each a class; if these are "
               "amounts, add --kind regression")  # fmt: skip


_FORMS = {"thousands": "numbers with commas between thousands", "decimal comma": "numbers with a decimal comma",
          "date": "dates, in days from 1970", "day first": "dates with the day first, in days from 1970",
          "month first": "dates with the month first, in days from 1970",
          "month name": "dates with the name of the month, in days from 1970"}  # fmt: skip
LARGEST = 1e150  # the square of a larger number is infinite
FEW_VALUES = 10  # up to this many distinct integers may be classes
