"""The options of the command, and how it says what is wrong."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..printable import printable

# What computes, draws and prints is imported by the commands themselves: `--help` and a typing error need none of it.

OUT = "tinygrad-nn-out"
WRONG = (ValueError, TypeError, OSError, FloatingPointError, RuntimeError)  # all raised with a message for a person
NAMES = (
    "activation", "batch_size", "color", "data", "dataset", "depth", "direction", "distribution", "dropout", "dtype",
    "encoding", "epochs", "features", "gif", "gradients", "hidden", "inputs", "kind", "lam", "learning_rate", "limit",
    "loss", "optimizer", "out", "output", "r", "regularization", "row", "rows", "seconds", "seed", "target",
    "test_size", "theme", "train_size", "val_size", "width",
)  # fmt: skip
CALLS = ("Settings", "Solver", "Regularization", "Layer", "data_split", "read_table", "fit", "compare_roads",
         "compare_gradients", "graph_loss", "BackProp", "FeedForward")  # fmt: skip
WORDS = {  # what the library says of itself, said of the command
    "features=[...]": "features=NAME,NAME",
    "out of features.": "out of --features.",
    "unknown method": "unknown --regularization",
    "scale the data with tinygrad_nn.data.Scaler": "add --scale",
    "End the model with 'softmax' or 'sigmoid', or use the loss 'mse'": "Use --output softmax, or --loss mse",
    "The weights are as they were before this step.": "Nothing was written.",
    "constants=False": "--no-constants",
    "explore(result, 'page.html')": "leave out --gif",
    ", or None for all": "; without it all",
    "it is None or one of": "it is one of",
    "'error': pass measures=": "'error': for a function of your own, call draw() with measures=",
}



class Theirs(RuntimeError):
    """An error of a person's own code, whose words are theirs."""


app = typer.Typer(
    name="tinygrad-nn", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train a network and look at its gradients, by hand, by the graph and numerically.",
)  # fmt: skip


def _option(panel: str, text: str, **more: Any) -> Any:
    return typer.Option(help=text, rich_help_panel=panel, **more)


def _name(panel: str, text: str, **more: Any) -> Any:
    return _option(panel, text, metavar="NAME", **more)


def _whole(panel: str, text: str) -> Any:
    return _option(panel, text, metavar="N", parser=lambda value: _number(int, value, "whole number, e.g. 16"))


def _real(panel: str, text: str, **more: Any) -> Any:
    return _option(panel, text, metavar="X", parser=lambda value: _number(float, value, "number, e.g. 0.1"), **more)


def _number(kind: Callable[[Any], Any], value: Any, what: str) -> Any:
    try:
        return kind(value)
    except ValueError:
        raise typer.BadParameter(f"{value!r} is not a {what}") from None


def _flag(name: str, panel: str, text: str) -> Any:
    return typer.Option(name, help=text, rich_help_panel=panel)


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


@app.command()
def train(
    dataset: Annotated[str, _name("Data", "A data set that comes along: iris or digits.")] = "iris",
    data: Annotated[str | None, _option("Data", "A table of your own instead, a CSV file.", metavar="FILE.csv")] = None,
    target: Annotated[str | None, _option("Data", "The column of it to predict.", metavar="COLUMN")] = None,
    features: Annotated[
        str | None, _option("Data", "The columns to learn from; by default all others.", metavar="A,B,...")
    ] = None,
    kind: Annotated[str, _name("Data", "classification, regression, or auto: numbers are a regression.")] = "auto",
    scale: Annotated[
        bool | None,
        _option("Data", "Scale columns to mean 0 and deviation 1; by default a table of your own.", show_default=False),
    ] = None,
    encoding: Annotated[str, _name("Data", "Of the CSV file.")] = "utf-8",
    train_size: Annotated[float, _real("Data", "Share of rows to train on.")] = 0.7,
    val_size: Annotated[float, _real("Data", "Share to validate on.")] = 0.1,
    test_size: Annotated[
        float | None, _real("Data", "Share to test on; by default the rest.", show_default=False)
    ] = None,
    stratify: Annotated[bool, _flag("--stratify", "Data", "Keep the share of each class in every part.")] = False,
    hidden: Annotated[
        str, _option("Network", "Widths of the hidden layers: 64,32 (or none).", metavar="N,N,...")
    ] = "40",
    activation: Annotated[
        str, _name("Network", "Of the hidden layers: sigmoid, tanh, relu, leaky_relu(0.2), gelu, elu(0.5), ...")
    ] = "relu",
    output: Annotated[
        str | None, _name("Network", "Activation of the output; by default what fits the loss.", show_default=False)
    ] = None,
    distribution: Annotated[str, _name("Network", "Of the initial weights: n normal, u uniform.")] = "n",
    dtype: Annotated[str, _name("Network", "float64 or float32.")] = "float64",
    loss: Annotated[
        str | None,
        _name("Training", "mae, mse, rmse, binarycrossentropy or crossentropy; by default crossentropy for classes, "
                "mse for numbers.", show_default=False),
    ] = None,
    optimizer: Annotated[
        str, _name("Training", "sgd, momentum, nesterov, adam, adamw, amsgrad, nadam, radam, adamax, rmsprop, adagrad, "
                   "adadelta, lion, muon or lbfgs.")
    ] = "sgd",
    learning_rate: Annotated[float, _real("Training", "Size of a step.")] = 0.03,
    epochs: Annotated[int, _whole("Training", "How often to go through the data.")] = 20,
    batch_size: Annotated[int, _whole("Training", "Rows a step.")] = 16,
    regularization: Annotated[str, _name("Training", "Penalty on weights: none, l1, l2, elasticnet.")] = "none",
    lam: Annotated[float | None, _real("Training", "Strength of the penalty.", show_default=False)] = None,
    r: Annotated[
        float | None, _real("Training", "Share of l1 in elasticnet; by default 0.5.", show_default=False)
    ] = None,
    dropout: Annotated[float, _real("Training", "Probability of dropping a hidden unit.")] = 0.0,
    gradients: Annotated[str, _name("Training", "By the graph, or manual: the equations written by hand.")] = "graph",
    seed: Annotated[int, _whole("Training", "The same seed gives the same network, bit for bit.")] = 0,
    out: Annotated[str, _option("Output", "Folder for plots, graph, history and weights.", metavar="DIR")] = OUT,
    report: Annotated[bool, _flag("--report", "Output", "Also write report.html, one page with everything.")] = False,
    progress: Annotated[bool, _option("Output", "Show a progress bar on a terminal.")] = True,
    quiet: Annotated[bool, _flag("--quiet", "Output", "Print nothing but errors.")] = False,
) -> None:
    """Train a network, score it, compare its gradients by three roads, and save it all.

    Without options it is the main.jl of "Neural Network From Scratch In Julia": iris, a hidden layer of 40.
    """
    given = dict(locals())
    _teach(lambda: _train({name: given[name] for name in given if name not in ("out", "report", "progress", "quiet")},
                          Path(out), report, progress and not quiet and sys.stderr.isatty(), quiet))  # fmt: skip


def _train(options: dict[str, Any], out: Path, page: bool, progress: bool, quiet: bool) -> None:
    from ..files import check_folder
    from .outputs import write_run
    from .report import Report
    from .run import Options, execute, prepare

    check_folder(out)
    plan = prepare(Options(**options))
    report = Report(quiet)
    report.start(plan)
    outcome = execute(plan, progress=progress, flow=page)
    report.outcome(outcome)
    names, note = write_run(out, outcome, page)
    if note:
        _say(note, "warning: ")
    report.written(out, names)


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="What train wrote: model.safetensors.", metavar="MODEL.safetensors")],
    data: Annotated[str, typer.Argument(help="A table with the columns that it learned from.", metavar="FILE.csv")],
    out: Annotated[
        str | None, typer.Option(help="Write all predictions to this CSV file.", metavar="FILE.csv")
    ] = None,
    encoding: Annotated[str, typer.Option(help="Of the table.")] = "utf-8",
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Predict each row of a table with a network that train saved."""
    _teach(lambda: _predict(model, data, out, encoding, quiet))


def _predict(model: str, data: str, out: str | None, encoding: str, quiet: bool) -> None:
    from .predict import predict_table, write_csv
    from .report import Report

    found = predict_table(model, data, encoding)
    if out is not None:
        write_csv(out, found, (model, data))
    report = Report(quiet)
    report.predictions(found)
    if out is not None:
        report.line(f"{len(found.rows):,} predictions are in {out}.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 2 for what the caller can mend, 130 when interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Greek letters still gets its numbers
    try:
        return int(app(args=arguments, standalone_mode=False) or 0)
    except Exception as error:
        if not hasattr(error, "format_message"):  # what the parser of options raises has one
            raise
        where = getattr(getattr(error, "ctx", None), "command_path", "tinygrad-nn")
        if error.format_message():  # none where the help was shown instead
            _say(f"{error.format_message().rstrip('.')}. See {where} --help.")
        return 2
    except KeyboardInterrupt:  # outside of a command
        return 130


def _teach(work: Callable[[], None]) -> None:
    """Do some work; turn an error that has a message for a person into one line and exit code 2."""
    try:
        work()
    except KeyboardInterrupt:
        _say("interrupted; nothing was written.", "")
        raise typer.Exit(130) from None
    except BrokenPipeError:  # the reader of our output has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    except WRONG as error:
        _say(str(error) if isinstance(error, Theirs) else as_options(_message(error)))
        raise typer.Exit(2) from None


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:  # of the system, not of ours
        return f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}."
    return str(error)


def as_options(message: str) -> str:
    """Return a message in which arguments of functions are written as options of the command.

    Example:
        >>> as_options("Settings: batch_size=0; it must be at least 1, e.g. batch_size=16.")
        '--batch-size 0; it must be at least 1, e.g. --batch-size 16.'
    """
    message = re.sub(rf"^(?:{'|'.join(CALLS)}): ", "", message)
    for words, better in WORDS.items():
        message = message.replace(words, better)
    names = rf"(?<![\w.-])({'|'.join(NAMES)})"
    message = re.sub(rf"{names}='([^']*)'", lambda m: f"{_dashed(m[1])} {m[2]}", message)
    message = re.sub(rf"{names}=(?=\S)", lambda m: f"{_dashed(m[1])} ", message)
    return re.sub(r"\b(train|test|val)_size\b", r"--\1-size", message)


def _dashed(name: str) -> str:
    return "--" + name.replace("_", "-")


def _say(text: str, label: str = "error: ") -> None:
    typer.echo(f"tinygrad-nn: {label}{printable(' '.join(text.split()))}", err=True)
