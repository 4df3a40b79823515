"""The `train` command."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .app import app
from .errors import print_error, reporting_errors
from .options import decimal, flag, integer, option, word

# Each command imports the modules that compute, draw and print, so that `--help` and wrong options answer quickly.

OUT = "tinygrad-nn-out"


@app.command()
def train(
    dataset: Annotated[str, word("Data", "A bundled data set: iris or digits.")] = "iris",
    data: Annotated[str | None, option("Data", "Your own table instead, a CSV file.", metavar="FILE.csv")] = None,
    target: Annotated[str | None, option("Data", "The column to predict.", metavar="COLUMN")] = None,
    features: Annotated[
        list[str] | None, option("Data", "The columns to learn from; by default all others.", metavar="A,B,...")
    ] = None,
    kind: Annotated[str, word("Data", "classification, regression, or auto: numbers are a regression.")] = "auto",
    scale: Annotated[
        bool | None,
        option("Data", "Scale columns to mean 0 and deviation 1; by default a table of your own.", show_default=False),
    ] = None,
    encoding: Annotated[str, word("Data", "Text encoding of the CSV file, which may be gzipped.")] = "utf-8",
    missing: Annotated[
        str | None,
        option(
            "Data",
            "How to fill missing cells: mean, median or most-frequent of the column; or drop, "
            "which leaves out their rows. By default they are refused.",
            metavar="HOW",
            show_default=False,
        ),
    ] = None,
    categories: Annotated[
        int, integer("Data", "Largest number of distinct texts in a column; each becomes a column of 0 and 1.")
    ] = 20,
    train_size: Annotated[float, decimal("Data", "Share of rows to train on.")] = 0.7,
    val_size: Annotated[float, decimal("Data", "Share to validate on.")] = 0.1,
    test_size: Annotated[
        float | None, decimal("Data", "Share to test on; by default the rest.", show_default=False)
    ] = None,
    stratify: Annotated[bool, flag("--stratify", "Data", "Keep the share of each class in every part.")] = False,
    hidden: Annotated[
        str, option("Network", "Widths of the hidden layers: 64,32 (or none).", metavar="N,N,...")
    ] = "40",
    activation: Annotated[
        str, word("Network", "For hidden layers: sigmoid, tanh, relu, leaky_relu(0.2), gelu, elu(0.5), ...")
    ] = "relu",
    output: Annotated[
        str | None, word("Network", "Activation of the output; by default what fits the loss.", show_default=False)
    ] = None,
    distribution: Annotated[str, word("Network", "Distribution of the initial weights: n normal, u uniform.")] = "n",
    dtype: Annotated[str, word("Network", "float64 or float32.")] = "float64",
    loss: Annotated[
        str | None,
        word(
            "Training",
            "mae, mse, rmse, binarycrossentropy or crossentropy; by default crossentropy for classes, mse for numbers.",
            show_default=False,
        ),
    ] = None,
    optimizer: Annotated[
        str,
        word(
            "Training",
            "sgd, momentum, nesterov, adam, adamw, amsgrad, nadam, radam, adamax, rmsprop, adagrad, "
            "adadelta, lion, muon or lbfgs.",
        ),
    ] = "sgd",
    learning_rate: Annotated[float, decimal("Training", "Size of a step.")] = 0.03,
    epochs: Annotated[int, integer("Training", "Number of passes through the data.")] = 20,
    batch_size: Annotated[int, integer("Training", "Rows per step.")] = 16,
    regularization: Annotated[str, word("Training", "Penalty on weights: none, l1, l2, elasticnet.")] = "none",
    lam: Annotated[float | None, decimal("Training", "Strength of the penalty.", show_default=False)] = None,
    r: Annotated[
        float | None, decimal("Training", "Share of l1 in elasticnet; by default 0.5.", show_default=False)
    ] = None,
    dropout: Annotated[float, decimal("Training", "Probability of dropping a hidden unit.")] = 0.0,
    gradients: Annotated[str, word("Training", "graph, or manual (the equations written by hand).")] = "graph",
    early_stopping: Annotated[
        int | None,
        integer(
            "Training",
            "Stop after N epochs without a better validation loss; keep the best weights.",
            show_default=False,
        ),
    ] = None,
    class_weight: Annotated[
        str | None,
        option(
            "Training",
            "Weights of rows by their class: balanced, or NAME=2,NAME=0.5.",
            metavar="WEIGHTS",
            show_default=False,
        ),
    ] = None,
    cv: Annotated[
        int | None,
        integer(
            "Training",
            "First, cross-validate N networks, each tested on a different part of the rows.",
            show_default=False,
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        option("Training", "Folder that keeps the state after each epoch.", metavar="DIR", show_default=False),
    ] = None,
    resume: Annotated[bool, flag("--resume", "Training", "Continue from the checkpoint, if there is one.")] = False,
    seed: Annotated[int, integer("Training", "The same seed gives the same network, bit for bit.")] = 0,
    out: Annotated[str, option("Output", "Folder for plots, graph, history and weights.", metavar="DIR")] = OUT,
    report: Annotated[bool, flag("--report", "Output", "Also write report.html, one page with everything.")] = False,
    progress: Annotated[bool, option("Output", "Show a progress bar on a terminal.")] = True,
    quiet: Annotated[bool, flag("--quiet", "Output", "Print nothing but errors.")] = False,
) -> None:
    """Train a network, score it, compare its gradients by three roads, and save it all.

    Without options it is the main.jl of "Neural Network From Scratch In Julia": iris, a hidden layer of 40.
    Started by mpiexec -n 4, four processes share each batch, and the first prints and writes.
    """
    given = dict(locals())
    options = {name: given[name] for name in given if name not in ("out", "report", "progress", "quiet")}
    options["features"] = ",".join(features) if features else None
    shown = progress and not quiet and sys.stderr.isatty()
    reporting_errors(lambda: _on_ranks(options, Path(out), report, shown, quiet))


def _on_ranks(options: dict[str, Any], out: Path, page: bool, progress: bool, quiet: bool) -> None:
    """Train, together with the other processes if mpiexec started several."""
    from ..distributed import Ranks, launched, world

    if not launched():
        return _train(options, out, page, progress, quiet)
    comm = world()
    ranks = Ranks.of("train", comm)
    first = ranks.rank == 0
    with ranks.together("train"):
        return _train(options, out, page, progress and first, quiet or not first, comm, first)


def _train(
    options: dict[str, Any], out: Path, page: bool, progress: bool, quiet: bool, comm: Any = None, writes: bool = True
) -> None:
    from ..files import check_folder
    from .outputs import write_run
    from .report import Report
    from .run import Options, cross_validate, execute, prepare
    from .table_progress import table_progress

    check_folder(out)
    if options["resume"] and options["checkpoint"] is None:
        raise ValueError("--resume continues from a checkpoint; add checkpoint=DIR, the folder of that training.")
    with table_progress(options["data"], progress) as told:
        run = prepare(Options(**options), told)._replace(comm=comm)
    report = Report(quiet)
    report.start(run)
    if options["cv"] is not None:
        what = "accuracy" if run.problem.task == "classification" else "R2"
        report.folds(cross_validate(run, options["cv"]), what)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C: results so far are written
    outcome = execute(run, progress=progress, flow=page)
    report.outcome(outcome)
    if not writes:
        return
    names, note = write_run(out, outcome, page)
    if note:
        print_error(note, "warning: ")
    report.written(out, names)
    if outcome.interrupted:
        done, all_of_it, place = len(outcome.history), run.settings.epochs, options["checkpoint"]
        again = f"to continue, add --resume (the checkpoint is in {place})" if place else (
            "a training with --checkpoint DIR can be continued")  # fmt: skip
        print_error(f"interrupted after epoch {done:,} of {all_of_it:,}; the results so far were written; {again}.", "")
        raise typer.Exit(130)
