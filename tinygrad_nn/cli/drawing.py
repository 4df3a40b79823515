"""Shared code of the drawing commands: their options, the result to draw, and the checks of output files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from ..common.printable import printable
from .app import app
from .compare import with_options_of
from .errors import WRONG, UserError
from .options import flag, option, word
from .train import train

if TYPE_CHECKING:
    from .run import PreparedRun

PANEL = "Drawing"
LEFT_OUT = ("out", "report", "progress", "quiet")

Function = Annotated[
    str | None,
    typer.Argument(help="Draw the result of your own function instead.", metavar="FILE.py:FUNCTION",
                   show_default=False),
]  # fmt: skip
Inputs = Annotated[
    str | None,
    option(PANEL, "Arguments for it, a tuple or a dict; by default `inputs` in its file.", metavar="FILE.py:NAME"),
]
Rows = Annotated[
    str | None,
    option(PANEL, "The loss of these rows of the table, counted from 1; by default the first two to train on.",
            metavar="N,N,...", show_default=False),
]  # fmt: skip
Row = Annotated[
    int | None, option(PANEL, "The loss of this row alone, counted from 1.", metavar="N", show_default=False)
]
Model = Annotated[
    str | None,
    option(PANEL, "Use a network saved by train, instead of training one.", metavar="MODEL.safetensors",
           show_default=False),
]  # fmt: skip
Untrained = Annotated[bool, flag("--untrained", PANEL, "Use the initial weights, without training.")]
Title = Annotated[str | None, option(PANEL, "Title of the drawing.", metavar="TEXT", show_default=False)]
Theme = Annotated[str, word(PANEL, "light or dark.")]
NoNames = Annotated[bool, flag("--no-names", PANEL, "Do not name values after the variables of your function.")]
Quiet = Annotated[bool, flag("--quiet", PANEL, "Print nothing but errors.")]


class Source(NamedTuple):
    """The source of a drawing: the user's function, or a network that is trained by the options or loaded."""

    function: str | None
    inputs: str | None
    options: dict[str, Any]
    quiet: bool
    untrained: bool
    rows: str | None = None
    named: bool = False
    model: str | None = None


def drawing_command(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that registers a command and adds the options of `train`, which define the network."""
    return lambda own: app.command(name)(with_options_of(own, train, LEFT_OUT))


def source_result(source: Source) -> tuple[Any, dict[str, Any] | None, str | None, PreparedRun | None]:
    """Return the result to draw, names for its values, a title, and the run if the result is a network's loss."""
    if source.function is not None:
        from .user_code import call_object, drawn_tensors, variable_names

        refuse_unused(source)
        own = call_object(source.function, source.inputs)
        return drawn_tensors(own, source.options["loss"]), variable_names(own) if source.named else None, None, None
    from .pictures import loss_of

    rows = row_numbers(source.rows)
    run = source_run(source, rows)
    loss, names, title = loss_of(run, *run.rows(rows))
    when = "before training" if source.untrained else "after training"
    when = when if source.model is None else f"by {Path(source.model).name}"
    return loss, names, f"{title} of {Path(run.problem.name).name}, {when}", run


def source_function(source: Source) -> tuple[Callable[..., Any], list[Any], dict[str, Any], Any, str | None]:
    """Return the function whose graph the live page changes, its arguments, names of its variables, and a title."""
    if source.function is not None:
        from .user_code import function_of

        refuse_unused(source)
        function, arguments, keywords = function_of(source.function, source.inputs, source.options["loss"])
        return function, arguments, keywords, None if source.named else {}, None
    from ..solver import graph_loss

    _, _, title, run = source_result(source)
    x, y = run.rows(row_numbers(source.rows))  # type: ignore[union-attr]

    def trained_loss() -> Any:
        loss = graph_loss(run.network.layers, x, y, solver=run.solver)  # type: ignore[union-attr]
        return loss

    return trained_loss, [], {}, {"x": x, "y": y}, title


@contextmanager
def drawing_on_failure(source: Source, out: str | None, **style: Any) -> Iterator[None]:
    """If the user's function fails in this block, draw the graph up to the failure, and raise the error again."""
    try:
        yield
    except WRONG as error:
        from ..viz.graph.drawing import draw

        cause = error.__cause__ if isinstance(error, UserError) else None  # a refused result is not drawn
        if out is not None and source.function is not None and cause is not None:
            with suppress(ValueError, RuntimeError):  # no operation failed, or Graphviz is missing
                draw(cause, out, **style)
                print_line(
                    source.quiet, f"The computation up to the error is in {out}, with the failing operation in red."
                )
        raise


def source_run(source: Source, rows: list[int]) -> PreparedRun:
    """Return the run of a network: trained now, untrained if the user asked for that, or loaded from a file."""
    from ..solver.history import cell_text
    from .run import Options, learn, prepare

    if source.inputs is not None:
        raise ValueError(f"inputs={source.inputs} are for a function of your own; add FILE.py:FUNCTION.")
    if source.model is not None:
        from .saved import saved_run

        if source.untrained:
            raise ValueError("--untrained is for a network that is trained here; leave it out with --model.")
        run = saved_run(source.model, Options(**source.options))
        run.rows(rows)
        return run
    run = prepare(Options(**source.options))
    run.rows(rows)  # raises if there is no such row
    if not source.untrained:
        history = learn(run, progress=not source.quiet and sys.stderr.isatty())
        how = f"{history.epochs:,} {'epoch' if history.epochs == 1 else 'epochs'}"
        print_line(source.quiet, f"Trained on {run.problem.name} for {how}: loss {cell_text(history.loss[-1])}.")
    return run


def rows_of(rows: str | None, row: int | None) -> str | None:
    """Return the rows that `--rows` or `--row` selects, as text."""
    if rows is not None and row is not None:
        raise ValueError(f"--rows {rows} and --row {row} both say which rows; leave one out.")
    return rows if row is None else str(row)


def row_numbers(text: str | None) -> list[int]:
    """Return the row numbers in the text of `--rows`."""
    if text is None:
        return []
    found = text.split(",")
    if not all(part.strip().isdecimal() for part in found):
        raise ValueError(f"rows={text}: write whole numbers with commas between them, e.g. rows=1,51.")
    return [int(part) for part in found]


def refuse_unused(source: Source) -> None:
    """Refuse options for a trained network if the user's own function is drawn."""
    from .run import Options

    changed = Options(**source.options).changed()
    odd = [name.replace("_", "-") for name in changed if name != "loss"]  # a loss is used in both cases
    odd += ["untrained"] * source.untrained + ["rows"] * (source.rows is not None) + ["model"] * bool(source.model)
    if odd:
        raise ValueError(f"--{odd[0]} is for the network that is trained here; it has no effect on your own function.")


def check_place(path: str, suffixes: tuple[str, ...]) -> None:
    """Raise an error for an output file that cannot be written, before any work is done."""
    from ..files import check_folder

    target = Path(path)
    if target.suffix.lower() not in suffixes:
        raise ValueError(f"{path} has an unsupported suffix; the file can be written as {', '.join(suffixes)}.")
    if target.is_dir():
        raise ValueError(f"{path} is a folder; name a file in it.")
    if not target.parent.is_dir():
        raise ValueError(f"the folder {target.parent} does not exist; make it before writing {target.name}.")
    check_folder(target.parent)


def check_theme(theme: str) -> None:
    """Refuse an unknown theme."""
    from ..viz.theme import THEMES

    if theme not in THEMES:
        raise ValueError(f"theme={theme}; it must be one of {', '.join(THEMES)}.")


def print_line(quiet: bool, text: str) -> None:
    """Print a line, unless nothing is to be printed."""
    if not quiet:
        typer.echo(printable(text, "\n"))
