"""The `evaluate` command."""

from __future__ import annotations

from typing import Annotated

import typer

from .app import app
from .errors import teach


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="What train wrote: model.safetensors.", metavar="MODEL.safetensors")],
    data: Annotated[
        str, typer.Argument(help="A table with the columns that it learned from, and the target.", metavar="FILE.csv")
    ],
    encoding: Annotated[str, typer.Option(help="Of the table; gzipped ones are read as well.")] = "utf-8",
) -> None:
    """Score a network that train saved on a table with known targets."""
    teach(lambda: _evaluate(model, data, encoding))


def _evaluate(model: str, data: str, encoding: str) -> None:
    from .predictions import evaluate_table
    from .report import Report

    network, found, rows = evaluate_table(model, data, encoding)
    report = Report()
    report.line(f"{rows:,} rows of {data}", "bold")
    report.found(found, network.classes)
