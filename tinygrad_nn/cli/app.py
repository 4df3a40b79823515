"""The Typer application of the `tinygrad-nn` command: name, version, messages of the parser and exit codes."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from ..common.spelling import near_names
from .errors import print_error

app = typer.Typer(
    name="tinygrad-nn", no_args_is_help=True, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train a network and look at its gradients, by hand, by the graph and numerically.",
)  # fmt: skip


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            number = version("tinygrad-nn")
        except PackageNotFoundError:
            number = "of a checkout that is not installed"
        typer.echo(f"tinygrad-nn {number}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Train a network and look at its gradients, by hand, by the graph and numerically."""


def _with_nearest_name(error: Exception, ctx: Any, message: str) -> str:
    """Return the parser's message for an unknown option or command, with the nearest known name."""
    if ctx is None:
        return message
    option = getattr(error, "option_name", None)
    if option:
        known = [name for parameter in ctx.command.params for name in getattr(parameter, "opts", ()) if len(name) > 3]
        near = near_names(option, known) or [name for name in known if name.startswith(option)]
        return f"No such option: {option}" + (f". Did you mean {near[0]}?" if near else "")
    command = re.match(r"No such command '([^']*)'", message)
    if command:
        near = near_names(command[1], ctx.command.list_commands(ctx))
        listed = ", ".join(ctx.command.list_commands(ctx))
        hint = f". Did you mean {near[0]!r}?" if near else ""
        return f"No such command {command[1]!r}; the commands are {listed}{hint}"
    return message


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 2 for wrong arguments, 130 if interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # terminals that cannot encode Greek letters
    try:
        return int(app(args=arguments, standalone_mode=False) or 0)
    except Exception as error:
        if not hasattr(error, "format_message"):  # errors of the option parser have one
            raise
        ctx = getattr(error, "ctx", None)
        where = getattr(ctx, "command_path", "tinygrad-nn")
        if error.format_message():  # empty if the help was shown instead
            text = _with_nearest_name(error, ctx, error.format_message()).rstrip(".")
            print_error(f"{text}{'' if text[-1] == '?' else '.'} See {where} --help.")
        return 2
    except KeyboardInterrupt:  # outside of a command
        return 130
