"""The command `play`: serve the playground, a page in which the user trains a network."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .app import app
from .errors import reporting_errors
from .options import flag, integer, option, word

PANEL = "Playground"


@app.command()
def play(
    dataset: Annotated[
        str, word(PANEL, "Initial data set: moons, spirals, 'three spirals', iris or digits.")
    ] = "moons",
    data: Annotated[str | None, option(PANEL, "Your own table instead, a CSV file.", metavar="FILE.csv")] = None,
    target: Annotated[
        str | None, option(PANEL, "The column to predict; by default the last.", metavar="COLUMN",
                           show_default=False)
    ] = None,
    missing: Annotated[
        str | None, option(PANEL, "How to fill missing cells: mean, median or most-frequent of the column; or drop, "
                   "which leaves out their rows. By default they are refused.", metavar="HOW", show_default=False)
    ] = None,
    seed: Annotated[int, integer(PANEL, "Seed of data, split, weights and order.")] = 0,
    port: Annotated[int, integer(PANEL, "Port to listen on; by default a free one.", show_default=False)] = 0,
    no_browser: Annotated[bool, flag("--no-browser", PANEL, "Print the address, and do not open a browser.")] = False,
) -> None:
    """Train a network on a page in your browser, a batch or a thousand at a time, and watch it learn.

    This command serves the page on 127.0.0.1 only, until it ends: by Ctrl-C, or with its terminal.
    """
    choices = {"dataset": dataset, "target": target, "missing": missing, "seed": seed}
    reporting_errors(lambda: _play(choices, data, port, no_browser))


def _play(options: dict[str, Any], data: str | None, port: int, no_browser: bool) -> None:
    from ..play import Choices, TableFile
    from ..play import play as serve

    table = None
    if data is not None:
        if options["dataset"] != "moons":
            raise ValueError(f"dataset={options['dataset']} and data={data} are two data sets; leave one out.")
        table = TableFile.from_path(data)
        options["dataset"] = "table"
    elif options["target"] is not None or options["missing"] is not None:
        name = "target" if options["target"] is not None else "missing"
        raise ValueError(f"{name}={options[name]} belongs to a table; add data=FILE.csv.")
    elif options["dataset"] == "table":
        raise ValueError("a table is read with data=FILE.csv.")
    if not 0 <= port < 65536:
        raise ValueError(f"port={port}; it must be a number from 1 to 65535, or 0 for a free one.")
    choices = Choices(**{name: value for name, value in options.items() if value is not None})
    server = serve(choices, table, port=port, open_browser=not no_browser)
    typer.echo(f"The playground is at {server.url}\nCtrl-C ends it.")
    server.wait()
