"""The `compare` command: gradients of one batch, or of the user's own function, computed by three roads."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ..common.printable import printable
from .app import app
from .errors import reporting_errors
from .train import train
from .user_code import load_object, split_place, with_error_lines

_PANEL = "Gradients"
_LEFT_OUT = ("out", "report", "progress", "quiet", "gradients")


def _file_option(text: str, metavar: str = "FILE.py:NAME") -> Any:
    return typer.Option(help=text, rich_help_panel=_PANEL, metavar=metavar)


def _compare(
    manual: Annotated[str | None, _file_option("Your own BackProp, or with --function your own backward.")] = None,
    function: Annotated[str | None, _file_option("A function of your own instead of a network.")] = None,
    inputs: Annotated[
        str | None,
        _file_option("Its inputs, an array, a tuple, or a dict; by default `inputs` in the file of --function."),
    ] = None,
    html: Annotated[
        str | None, _file_option("Write the report as a page, with heat maps and equations.", "FILE.html")
    ] = None,
    json: Annotated[str | None, _file_option("Write the report as JSON.", "FILE.json")] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print nothing but errors; see the exit code.", rich_help_panel=_PANEL)
    ] = False,
    **options: Any,
) -> None:
    """Compare gradients written by hand with the graph's and numerical ones, and say why they differ.

    Without options: the equations of this package, on the first batch of iris. Exit code 1 if a gradient is wrong.
    """
    found: list[bool] = []
    reporting_errors(lambda: found.append(_run(manual, function, inputs, html, json, quiet, options)))
    if not all(found):
        raise typer.Exit(1)


def _run(
    manual: str | None, function: str | None, inputs: str | None, html: str | None, json: str | None, quiet: bool,
    options: dict[str, Any],
) -> bool:  # fmt: skip
    from ..compare import compare_gradients
    from ..files import write_whole

    if inputs is not None and function is None:
        raise ValueError("inputs belong to a function; add --function FILE.py:NAME.")
    backward = None if manual is None else with_error_lines(load_object(manual), manual)
    if function is not None:
        if backward is None:
            raise ValueError("a function of your own needs its backward; add --manual FILE.py:NAME.")
        values = load_object(inputs if inputs is not None else f"{split_place(function)[0]}:inputs")
        values = values() if callable(values) else values
        report = compare_gradients(
            with_error_lines(load_object(function), function), values, manual=backward, rng=options["seed"]
        )
    else:
        from .run import Options, prepare

        run = prepare(Options(**options))
        x, y = run.parts["train"]
        size = run.settings.batch_size
        report = compare_gradients(run.network.layers, x[:size], y[:size], solver=run.solver, manual=backward,
                                   rng=options["seed"])  # fmt: skip
    if html is not None:
        write_whole(Path(html), report.to_html().encode())
    if json is not None:
        write_whole(Path(json), report.to_json().encode() + b"\n")
    if not quiet:
        typer.echo(printable(report, "\n"))
        for path in (html, json):
            if path is not None:
                typer.echo(f"\nThe report is in {printable(path)}.")
    return report.ok


def with_options_of(
    own_command: Callable[..., None], other_command: Callable[..., None], left_out: tuple[str, ...]
) -> Callable[..., None]:
    """Return a command whose signature has its own options and those of another command, except the left-out ones."""
    mine = [p for p in inspect.signature(own_command, eval_str=True).parameters.values() if p.kind is not p.VAR_KEYWORD]
    theirs = [p for p in inspect.signature(other_command, eval_str=True).parameters.values() if p.name not in left_out]
    parameters = [*mine, *theirs]

    def command(**given: Any) -> None:
        own_command(**given)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__doc__ = own_command.__doc__
    return command


compare = app.command("compare")(with_options_of(_compare, train, _LEFT_OUT))
