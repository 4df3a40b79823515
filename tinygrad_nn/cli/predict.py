"""The `predict` command."""

from __future__ import annotations

from typing import Annotated

import typer

from .app import app
from .errors import reporting_errors


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="A network that train saved.", metavar="MODEL.safetensors")],
    data: Annotated[str, typer.Argument(help="A table with the columns that it was trained on.", metavar="FILE.csv")],
    out: Annotated[
        str | None, typer.Option(help="Write all predictions to this CSV file.", metavar="FILE.csv")
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(help="Columns of the table to write before the predictions.", metavar="A,B,...")
    ] = None,
    encoding: Annotated[str, typer.Option(help="Text encoding of the table, which may be gzipped.")] = "utf-8",
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Predict each row of a table with a network saved by train."""
    columns = [name.strip() for names in keep or () for name in names.split(",")]
    reporting_errors(lambda: _predict(model, data, out, columns, encoding, quiet))


def _predict(model: str, data: str, out: str | None, keep: list[str], encoding: str, quiet: bool) -> None:
    from .predictions import check_name, predict_table, write_csv
    from .report import Report

    if out is not None:
        check_name(out)
    found = predict_table(model, data, encoding, keep)
    if out is not None:
        write_csv(out, found, (model, data))
    report = Report(quiet)
    report.predictions(found)
    if out is not None:
        report.line(f"{len(found.rows):,} predictions are in {out}.")
