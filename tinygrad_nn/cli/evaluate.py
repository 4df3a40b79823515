"""The `evaluate` command."""

from __future__ import annotations

from typing import Annotated

import typer

from ..common.printable import counted
from .app import app
from .errors import reporting_errors


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="A network that train saved.", metavar="MODEL.safetensors")],
    data: Annotated[
        str, typer.Argument(help="A table with the columns that it was trained on, and the target.", metavar="FILE.csv")
    ],
    encoding: Annotated[str, typer.Option(help="Text encoding of the table, which may be gzipped.")] = "utf-8",
) -> None:
    """Score a network saved by train on a table with known targets."""
    reporting_errors(lambda: _evaluate(model, data, encoding))


def _evaluate(model: str, data: str, encoding: str) -> None:
    from .predictions import evaluate_table
    from .report import Report

    network, found, rows = evaluate_table(model, data, encoding)
    report = Report()
    report.line(f"{counted(rows, 'row')} of {data}", "bold")
    report.test_result(found, network.classes)
