"""Predictions and scores of a saved network for a new table."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..common.printable import printable
from ..data import Column, Columns, one_hot, read_columns
from ..data.columns import CellError, class_name, is_missing, target_numbers
from ..files import write_whole
from ..io import Network, load_network
from .errors import print_error
from .run import errors, score, short_list
from .table_progress import table_progress


class Prediction(NamedTuple):
    """The predictions as rows of texts: kept columns, the prediction, then the probability of each class.

    `numbers` are the row numbers in the table, from 1; with ``missing='drop'``, rows with a missing cell are left out.
    """

    network: Network
    header: list[str]
    rows: list[list[str]]
    numbers: list[int]


def read_for_network(network: Network, table: str, encoding: str, extra: Sequence[str] = ()) -> Any:
    """Return the inputs of a network from a table, the indices of their rows, and the texts of the extra columns."""
    columns = network.columns or Columns(tuple(Column(name, "number") for name in network.features))
    coded = [part for part in columns.parts if part.form == "text"]
    every = [*extra, *(part.name for part in coded if part.name not in extra)]
    with table_progress(table) as progress:
        x, rows, texts = read_columns(table, columns, encoding=encoding, extra=every, progress=progress)
    for part in coded:
        known = set(part.categories)
        new = [k for k, cell in enumerate(texts[part.name]) if cell not in known and not is_missing(cell)]
        if new:
            cell, where = texts[part.name][new[0]], f"{printable(table)}, row {rows[new[0]] + 1}"
            print_error(
                f"{where}{f' and {len(new) - 1:,} more' * (len(new) > 1)}, column {part.name!r:.80}: {cell!r:.80} is "
                "not in the training table, so it is read as none of its texts: "
                f"{short_list(part.categories, 'texts')}.",
                "warning: ",
            )
    return x, rows, texts


def predict_table(model: str, table: str, encoding: str = "utf-8", keep: Sequence[str] = ()) -> Prediction:
    """Predict each row of a CSV file.

    Args:
        model: path of a network that `train` wrote.
        table: path of a CSV file with the columns that the network was trained on, in any order.
        encoding: of the table; keep: columns of the table that are written before the predictions.

    Raises:
        ValueError, OSError: one of the files is invalid.
    """
    network = load_network(model)
    x, numbers, texts = read_for_network(network, table, encoding, keep)
    output = network.predict(x)  # (batch, n_out)
    # repr gives as many digits as are needed to read the same float back
    rows = [[repr(float(value)) for value in row] for row in output]
    # if the target column is kept, the predicted column gets another name
    heads = [f"predicted {network.target}" if network.target in keep else network.target]
    if network.task == "classification":
        rows = [[label, *row] for label, row in zip(network.labels(output), rows, strict=True)]
        heads += [f"p({name})" for name in network.classes]
    kept = [list(cells) for cells in zip(*(texts[name] for name in keep), strict=True)] or [[] for _ in rows]
    rows = [[*before, *row] for before, row in zip(kept, rows, strict=True)]
    return Prediction(network, [*keep, *heads], rows, [int(k) + 1 for k in numbers])


def evaluate_table(model: str, table: str, encoding: str = "utf-8") -> tuple[Network, Any, int]:
    """Return a saved network, its scores on a CSV file that contains the target, and the number of rows.

    Raises:
        ValueError, OSError: one of the files is invalid.
    """
    network = load_network(model)
    x, rows, texts = read_for_network(network, table, encoding, [network.target])
    y = read_targets(network, table, texts[network.target], rows)
    measure = errors if network.task == "regression" else score
    return network, measure(y, network.predict(x)), len(x)


def read_targets(network: Network, table: str, cells: Sequence[str], rows: Sequence[int]) -> Any:
    """Return the targets ``(rows, n_out)`` that the target column of a table holds in some rows, counted from 0.

    Raises:
        ValueError: a cell is no number, or no class of the network.
    """
    try:
        if network.task == "regression":
            return target_numbers(cells, network.columns.target if network.columns else "")
        names = [cell if cell in network.classes else class_name(cell) for cell in cells]
        for k, name in enumerate(names):
            if name not in network.classes:
                what = f"{cells[k]!r:.60} is not a class of the network" if cells[k] else "the cell is empty"
                raise CellError(k, "", f"{what}; the classes are {short_list(network.classes)}.")
        return one_hot(names, list(network.classes))
    except CellError as problem:
        place = f"{printable(table)}, row {rows[problem.row] + 1}, column {network.target!r:.60}"
        raise ValueError(f"{place}: {problem.reason}") from None


def check_name(path: str) -> None:
    """Refuse a file name of another format than CSV, before anything is computed."""
    if Path(path).suffix.lower() in (".xlsx", ".xls", ".ods", ".parquet", ".json"):
        raise ValueError(
            f"out={path} would hold CSV under the name of another format. Name a .csv file, which spreadsheets open, "
            f"e.g. out={Path(path).with_suffix('.csv')}."
        )


def write_csv(path: str, prediction: Prediction, inputs: tuple[str, ...]) -> Path:
    """Write predictions as a CSV file, completely or not at all, but never over one of the input files."""
    for source in inputs:
        if os.path.exists(path) and os.path.samefile(path, source):
            raise ValueError(f"out={path} would overwrite {source}, which was just read. Name another file.")
    if Path(path).is_dir():
        raise ValueError(f"out={path} is a folder; name a file in it, e.g. out={Path(path) / 'predictions.csv'}.")
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([prediction.header, *prediction.rows])
    return write_whole(path, text.getvalue().encode())
