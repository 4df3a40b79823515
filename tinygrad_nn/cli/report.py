"""The text output of the commands: the facts of a training run, its losses and scores, predictions and file names."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..common.columns import text_columns
from ..common.printable import counted, printable
from ..compare import RoadsReport
from ..metrics import format_cm
from .predictions import Prediction
from .run import Errors, Outcome, PreparedRun, Scores, short_list

Array = np.ndarray[Any, Any]

SHOWN = 20  # rows of predictions that are printed at most
MOST_FOLDS = 10  # parts of a cross-validation whose scores are printed one by one
MOST_MISTAKES = 10  # that are printed of a matrix that is too wide
MOST_COLUMNS = 5  # with more classes, only the largest probability is printed


class Report:
    """Printer of results on standard output; prints nothing if `quiet`."""

    def __init__(self, quiet: bool = False) -> None:
        # text from the user is printed literally: a class named [red] or :star: is not markup
        self.console = Console(quiet=quiet, highlight=False, markup=False, emoji=False, soft_wrap=False)

    def line(self, text: str = "", style: str = "") -> None:
        """Print a paragraph."""
        self.console.print(Text(printable(text, "\n"), style=style))

    def exact(self, text: str) -> None:
        """Print lines that must not be wrapped."""
        self.console.print(Text(printable(text, "\n")), soft_wrap=True)

    def heading(self, text: str) -> None:
        """Print the title of a section."""
        self.line()
        self.line(text, "bold")

    def facts(self, rows: Iterable[tuple[str, str]]) -> None:
        """Print names and their descriptions in two columns."""
        rows = list(rows)
        left = 2 + max(len(name) for name, _ in rows)
        for name, text in rows:
            lines = Text(printable(text)).wrap(self.console, max(20, self.console.width - left))
            for k, line in enumerate(lines):
                line.rstrip()
                self.console.print(Text.assemble((("" if k else name).ljust(left), "dim"), line))

    def start(self, run: PreparedRun) -> None:
        """Print the data, the network and the settings before training."""
        self.facts(training_facts(run))

    def outcome(self, outcome: Outcome) -> None:
        """Print losses, scores, and the comparison of the roads."""
        self.line()
        self.exact(str(outcome.history))
        rows = len(outcome.run.parts[outcome.scored][0])
        note = "" if outcome.scored == "test" else " (there is no test part)"
        self.heading(f"Scores on the {counted(rows, 'row')} of the {outcome.scored} part{note}")
        self.test_result(outcome.scores or outcome.errors, outcome.run.problem.classes)
        self.heading("Gradients of the first batch before training, by three roads")
        self.roads(outcome.roads)

    def test_result(self, result: Scores | Errors | None, classes: Sequence[str]) -> None:
        """Print the scores of a classifier, or the errors of a regression."""
        if isinstance(result, Errors):
            self.line(f"RMSE = {result.rmse:.4g}   MAE = {result.mae:.4g}   R2 = {result.r2:.4f}")
        elif result is not None:
            self.scores(result, classes)

    def folds(self, scores: Sequence[float], metric: str) -> None:
        """Print the scores of a cross-validation."""
        self.heading(f"Cross-validation, {len(scores)} parts")
        mean, deviation = sum(scores) / len(scores), statistics.stdev(scores)
        each = f"  ({', '.join(f'{one:.4f}' for one in scores)})" if len(scores) <= MOST_FOLDS else ""
        self.line(f"{metric} = {mean:.4f} ± {deviation:.4f}{each}")

    def scores(self, scores: Scores, classes: Sequence[str]) -> None:
        """Print the confusion matrix and the scores of each class."""
        lines = format_cm(scores.matrix, classes)
        if max(map(text_columns, lines.splitlines())) <= max(80, self.console.width):
            self.exact(lines)
        else:
            self.mistakes(scores.matrix, classes)
        self.line()
        heads, rows = score_table(scores, classes)
        table = _table(*heads)
        for name, *numbers in rows[:-1]:
            table.add_row(Text(printable(name)), *numbers)
        table.add_section()
        table.add_row(*rows[-1])
        self.console.print(table)
        self.line(f"accuracy = {scores.accuracy.overall:.4f}")

    def mistakes(self, matrix: Array, classes: Sequence[str]) -> None:
        """Print the most frequent mistakes of a classifier whose confusion matrix is wider than the terminal."""
        wrong = matrix * (1 - np.eye(len(matrix), dtype=matrix.dtype))
        table = _table("actual", "predicted", "rows")
        for place in np.argsort(-wrong, axis=None, kind="stable")[:MOST_MISTAKES]:
            i, j = divmod(int(place), len(matrix))
            if wrong[i, j]:
                table.add_row(Text(printable(classes[i])), Text(printable(classes[j])), f"{wrong[i, j]:,}")
        self.line(f"Most frequent of {wrong.sum():,} mistakes (the matrix of {len(matrix):,} classes is too wide)")
        self.console.print(table)

    def roads(self, roads: RoadsReport) -> None:
        """Print the differences between the three gradients."""
        heads, rows = difference_table(roads)
        table = _table(*heads)
        for row in rows:
            table.add_row(*map(printable, row))
        self.console.print(table)
        self.line("(the largest difference over the largest entry of each gradient)", "dim")
        self.line(roads.verdict, "green" if roads.agree else "bold red")

    def written(self, folder: Path, names: Sequence[str]) -> None:
        """Print the files that were written, and a command that uses the network."""
        self.heading("Written")
        for name in names:
            self.exact(f"  {folder / name}")
        self.line("To use it:")
        self.exact(f"  tinygrad-nn predict {shlex.quote(str(folder / names[-1]))} FILE.csv")

    def predictions(self, prediction: Prediction) -> None:
        """Print the first predictions."""
        heads = prediction.header
        columns = [list(column) for column in zip(*prediction.rows[:SHOWN], strict=True)]
        kept = len(heads) - 1 - len(prediction.network.classes)
        if len(prediction.network.classes) > MOST_COLUMNS:  # one column instead: the probability of the predicted class
            most = [max(cells, key=float) for cells in zip(*columns[kept + 1 :], strict=True)]
            columns, heads = [*columns[: kept + 1], most], [*heads[: kept + 1], "probability"]
        table = _table("row", *heads)
        for k, cells in enumerate(zip(*columns, strict=True), start=1):
            task = prediction.network.task
            shown = (cell if j < kept else _cell_text(cell, j - kept, task) for j, cell in enumerate(cells))
            table.add_row(str(prediction.numbers[k - 1]), *(Text(printable(text)) for text in shown))
        self.console.print(table)
        if len(prediction.rows) > SHOWN:
            self.line(f"... and {len(prediction.rows) - SHOWN:,} more rows; --out FILE.csv writes them all.", "dim")


def training_facts(run: PreparedRun) -> list[tuple[str, str]]:
    """Return the description of a run (data, network, training) as pairs of name and text."""
    problem, solver, settings = run.problem, run.solver, run.settings
    layers = run.network.layers
    scaled = ", scaled as well" if run.network.target_scaler else ""
    what = short_list(problem.classes) if problem.classes else f"the number {problem.target}{scaled}"
    rows = {name: len(x) for name, (x, _) in run.parts.items()}
    parameters = sum(layer.W.size + layer.b.size for layer in layers)
    widths = [str(layers[0].n_in), *(f"{layer.n_out} {layer.activation}" for layer in layers)]
    regularization = solver.regularization
    extras = []
    if regularization.lam:
        mix = f", r {regularization.r:g}" if regularization.method == "elasticnet" else ""
        extras.append(f"{regularization.method} with lam {regularization.lam:g}{mix}")
    if regularization.dropout:
        extras.append(f"dropout {regularization.dropout:g}")
    inputs = f"{counted(len(problem.x), 'row')} of {counted(problem.x.shape[1], 'number')}"
    how = f"{solver.loss} by {solver.rule.name}, learning rate {solver.learning_rate:g}"
    times = counted(settings.epochs, "epoch")
    with_ = f"gradients by {run.options.gradients}, seed {run.options.seed}"
    return [
        ("data", f"{problem.name}: {inputs}{', scaled' if run.network.scaler else ''}"),
        *[("", note) for note in problem.notes],
        ("to predict", what),
        ("split", ", ".join(f"{rows[name]:,} {name}" for name in ("train", "val", "test"))),
        ("network", f"{' - '.join(widths)}; {counted(parameters, 'parameter')}, {layers[0].dtype}"),
        ("training", ", ".join([how, *extras])),
        ("", f"{times} in batches of {settings.batch_size:,}, {with_}"),
    ]


def score_table(scores: Scores, classes: Sequence[str]) -> tuple[tuple[str, ...], list[list[str]]]:
    """Return heads and rows of a table with the scores of each class, and their means."""
    columns = (scores.precision, scores.recall, scores.f1)
    counts = scores.matrix.sum(axis=1)
    rows = [[str(name), *(f"{column.each[k]:.4f}" for column in columns), f"{counts[k]:,}"]
            for k, name in enumerate(classes)]  # fmt: skip
    rows.append(["mean", *(f"{column.mean:.4f}" for column in columns), f"{counts.sum():,}"])
    return ("class", "precision", "recall", "F1", "rows"), rows


def difference_table(roads: RoadsReport) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return heads and rows of a table with the differences between the three gradients of each parameter."""
    heads = ("parameter", "largest", "manual - graph", "graph - numerical", "manual - numerical")
    rows = [
        (row.name, f"{row.largest:.3g}", *(f"{found.relative:.0e}" for found in
         (row.manual_graph, row.graph_numerical, row.manual_numerical)))
        for row in roads.parameters
    ]  # fmt: skip
    return heads, rows


def _table(*heads: str) -> Table:
    """Return an empty table whose first column is aligned left, and the others right."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False)
    for k, head in enumerate(heads):
        table.add_column(Text(printable(head)), justify="left" if k == 0 else "right", overflow="fold")
    return table


def _cell_text(cell: str, column: int, task: str) -> str:
    """Return the text of a cell for printing: a class unchanged, a probability or number with few digits."""
    if task == "regression":
        return f"{float(cell):.6g}"
    return f"{float(cell):.4f}" if column else cell
