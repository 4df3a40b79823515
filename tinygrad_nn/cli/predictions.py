"""Predictions of a saved network for a new table."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import NamedTuple

from ..data import read_features
from ..files import write_whole
from ..io import Network, load_network


class Prediction(NamedTuple):
    """A row of texts for each row of the table: what was predicted, then the probability of each class."""

    network: Network
    header: list[str]
    rows: list[list[str]]


def predict_table(model: str, table: str, encoding: str = "utf-8") -> Prediction:
    """Predict each row of a CSV file.

    Args:
        model: path of what `train` wrote.
        table: path of a CSV file with the columns that the network was trained on, in any order.
        encoding: of the table.

    Raises:
        ValueError, OSError: one of the files is not as it must be.
    """
    network = load_network(model)
    output = network.predict(read_features(table, network.features, encoding=encoding))  # (batch, n_out)
    # repr of a float has as many digits as it needs to be read back exactly
    texts = [[repr(float(value)) for value in row] for row in output]
    if network.task == "regression":
        return Prediction(network, [network.target], texts)
    labels = network.labels(output)
    rows = [[label, *row] for label, row in zip(labels, texts, strict=True)]
    return Prediction(network, [network.target, *(f"p({name})" for name in network.classes)], rows)


def write_csv(path: str, found: Prediction, inputs: tuple[str, ...]) -> Path:
    """Write predictions as a CSV file, whole or not at all, but never over one of the files they were made from."""
    for source in inputs:
        if os.path.exists(path) and os.path.samefile(path, source):
            raise ValueError(f"out={path} would overwrite {source}, which was just read. Name another file.")
    if Path(path).is_dir():
        raise ValueError(f"out={path} is a folder; name a file in it, e.g. out={Path(path) / 'predictions.csv'}.")
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([found.header, *found.rows])
    return write_whole(path, text.getvalue().encode())
