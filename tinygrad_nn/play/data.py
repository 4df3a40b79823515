"""The data sets of the playground: drawn at random, bundled, or the user's own table."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from ..common.printable import counted, printable
from ..data import Columns, load_digits, load_iris, read_header, read_table, spirals, two_moons
from .choices import DATASETS, Choices

Array = np.ndarray[Any, Any]
MOST_BYTES, MOST_TABLE_ROWS, MOST_COLUMNS = 10_000_000, 50_000, 500


class PlayData(NamedTuple):
    """A data set of the playground.

    Attributes:
        name: the name shown to the user; x, targets: unscaled inputs ``(rows, n_in)`` and targets ``(rows, n_out)``.
        kind: of the target; features, target, classes: their names; columns: the encoding of a table's columns.
        scaled: whether inputs are scaled for the network; code: the lines of Python that make `x` and `y`.
        notes: remarks on how a table was read.
    """

    name: str
    x: Array
    targets: Array
    kind: Literal["classification", "regression"]
    features: tuple[str, ...]
    target: str
    classes: tuple[str, ...]
    columns: Columns | None
    scaled: bool
    code: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableFile:
    """A CSV file of the user: its name (on the command line, the path as it was given) and its bytes.

    Raises:
        ValueError: the file is larger than the playground accepts.
    """

    name: str
    content: bytes

    def __post_init__(self) -> None:
        if len(self.content) > MOST_BYTES:
            raise ValueError(
                f"{printable(self.name)} has {len(self.content):,} bytes; the playground takes {MOST_BYTES:,}. "
                "Train on it with: tinygrad-nn train --data FILE.csv --target COLUMN."
            )

    @classmethod
    def from_path(cls, path: str) -> TableFile:
        """Read the file at a path.

        Raises:
            OSError: the file does not exist or cannot be read.
        """
        place = Path(path)
        if place.is_file() and place.stat().st_size > MOST_BYTES:
            return cls(path, bytes(MOST_BYTES + 1))
        return cls(path, place.read_bytes())

    @cached_property
    def header(self) -> list[str]:
        """The names of the columns.

        Raises:
            ValueError: the file cannot be read as a table.
        """
        return self._read(read_header)  # type: ignore[no-any-return]

    def _read(self, read: Any, *args: Any, **options: Any) -> Any:
        """Call a reader with a temporary file of these bytes; errors show the user's file name instead of its path."""
        with tempfile.TemporaryDirectory(prefix="tinygrad_nn-play-") as folder:
            path = Path(folder) / "table.csv"
            path.write_bytes(self.content)
            try:
                return read(path, *args, **options)
            except (ValueError, OSError) as error:
                raise ValueError(_in_page_words(str(error).replace(printable(path), printable(self.name)))) from None

    def table(self, choices: Choices) -> PlayData:
        """Return the table as a data set.

        Raises:
            ValueError: the file is not a table, or no network can be trained on it; the message says where and why.
        """
        header = self.header
        if len(header) > MOST_COLUMNS:
            raise ValueError(f"{printable(self.name)} has {len(header):,} columns; the playground takes up to "
                             f"{MOST_COLUMNS}. Delete those that do not matter.")  # fmt: skip
        target = choices.target or header[-1]
        missing = None if choices.missing == "refuse" else choices.missing
        features = None
        if choices.leave_out:
            features = [name for name in header if name != target and name not in choices.leave_out]
            if not features:
                raise ValueError("Every column is left out; keep at least one to learn from.")
        found = self._read(read_table, target, kind=choices.kind, features=features, missing=missing, fill=False)
        rows, columns = found.x.shape
        if rows > MOST_TABLE_ROWS or columns > MOST_COLUMNS:
            many = (f"{rows:,} rows", MOST_TABLE_ROWS) if rows > MOST_TABLE_ROWS else (
                f"{columns:,} columns once texts are numbers", MOST_COLUMNS)  # fmt: skip
            raise ValueError(f"{printable(self.name)} has {many[0]}; the playground takes up to {many[1]:,}.")
        if rows < 4:
            raise ValueError(f"{printable(self.name)} has {counted(rows, 'row')}; a few to train on and a few to test "
                             "on are needed, at least 4.")  # fmt: skip
        notes = [f"{part.name}: {len(part.categories)} texts become as many columns of 0 and 1"
                 for part in found.columns.parts if part.form == "text"]  # fmt: skip
        if found.lines:
            notes.append(f"{len(found.lines):,} rows with a missing cell are left out")
        holes = bool(np.isnan(found.x).any())
        if holes:
            notes.append(f"the {missing} of a column replaces its missing cells")
        given = (("kind", choices.kind, "auto"), ("features", features, None), ("missing", missing, None),
                 ("fill", not holes, True))  # fmt: skip
        options = "".join(f", {name}={value!r}" for name, value, plain in given if value != plain)
        code = (f"table = read_table({self.name!r}, {target!r}{options})", "x, y = table.x, table.targets")
        return PlayData(
            self.name, found.x, found.targets, found.kind, found.feature_names, target, found.classes, found.columns,
            True, code, tuple(notes),
        )  # fmt: skip


def _in_page_words(message: str) -> str:
    """Return a message of `read_table` with its options replaced by the controls of the page."""
    for words, better in (  # a text that contains another one comes before it
        ("say missing='mean' ('median', 'most-frequent', 'drop')", "choose how to fill missing cells"),
        ("Say missing='mean'", "Choose how to fill missing cells"),
        ("say missing='drop'", "choose to drop rows with missing cells"),
        ("say kind='classification'", "choose the kind “classification”"),
        (", or leave the column out with features=[...]", ", or leave the column out"),
        ("Leave it out with features=[...]", "Leave the column out"),
    ):  # fmt: skip
        message = message.replace(words, better)
    return re.sub(r", or say categories=\d+", "", message)


def load(choices: Choices, table: TableFile | None, rng: np.random.Generator) -> PlayData:
    """Return the chosen data set.

    Raises:
        ValueError: a table was chosen, but there is no table or no network can be trained on it.
    """
    if choices.dataset == "table":
        if table is None:
            raise ValueError("There is no table yet: choose a CSV file first.")
        return table.table(choices)
    if choices.dataset in ("iris", "digits"):
        found = {"iris": load_iris, "digits": load_digits}[choices.dataset]()
        name = choices.dataset
        code = (f"{name} = load_{name}()", f"x, y = {name}.x, {name}.targets")
        target = {"iris": "species", "digits": "digit"}[choices.dataset]
        return PlayData(choices.dataset, found.x, found.targets, "classification", found.feature_names, target,
                        found.class_names, None, True, code)  # fmt: skip
    if choices.dataset == "moons":
        plane = two_moons(choices.rows, noise=choices.noise, rng=rng)
        made, target = f"two_moons({choices.rows}, noise={choices.noise!r}, rng=rng)", "moon"
        classes: tuple[str, ...] = ("upper", "lower")
    else:
        count = 2 if choices.dataset == "spirals" else 3
        plane = spirals(choices.rows, count, noise=choices.noise, rng=rng)
        made = f"spirals({choices.rows}, {count}, noise={choices.noise!r}, rng=rng)"
        classes, target = ("first", "second", "third")[:count], "spiral"
    code = (f"points = {made}", "x, y = points.x, points.targets")
    name = DATASETS[choices.dataset]
    return PlayData(name, plane.x, plane.targets, "classification", ("x1", "x2"), target, classes, None, False, code)
