"""Error messages of the command: one line, in which function arguments are rewritten as command options."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable

import typer

from ..common.printable import printable

WRONG = (ValueError, TypeError, OSError, FloatingPointError, RuntimeError, ImportError)  # messages for the user
NAMES = (
    "activation", "batch_size", "categories", "checkpoint", "class_weight", "color", "cv", "data", "dataset", "depth",
    "direction", "distribution", "dropout", "dtype", "early_stopping", "encoding", "epochs", "features", "gif",
    "gradients", "hidden", "inputs", "kind", "lam", "learning_rate", "limit", "loss", "missing", "optimizer", "out",
    "output", "r", "regularization", "row", "rows", "seconds", "seed", "target", "test_size", "theme", "train_size",
    "val_size", "width",
)  # fmt: skip
CALLS = ("Settings", "Solver", "Regularization", "Layer", "data_split", "read_table", "fit", "compare_roads",
         "compare_gradients", "graph_loss", "BackProp", "FeedForward")  # fmt: skip
WORDS = {  # phrases of library messages -> phrases for the command
    "features=[...]": "features=NAME,NAME",
    "out of features.": "out of --features.",
    "unknown method": "unknown --regularization",
    "EarlyStopping: patience=": "early_stopping=",
    "scale the data with tinygrad_nn.data.Scaler": "add --scale",
    "End the model with 'softmax' or 'sigmoid', or use the loss 'mse'": "Use --output softmax, or --loss mse",
    "The weights are as they were before this step.": "Nothing was written.",
    "Then create the model again.": "Nothing was written.",
    "Write resume=True to continue it": "Add --resume to continue it",
    "Pass x_val and y_val to fit": "Raise --val-size",
    "constants=False": "--no-constants",
    "explore(result, 'page.html')": "leave out --gif",
    ", or None for all": "; without it all",
    "it must be None or one of": "it must be one of",
    "'error': pass measures=": "'error': for a function of your own, call draw() with measures=",
}


class UserError(RuntimeError):
    """An error in the user's own code; its message is printed unchanged."""


def reporting_errors(work: Callable[[], None]) -> None:
    """Call a function; turn an expected error into one line and exit code 2, or 1 if the training diverged."""
    try:
        work()
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        print_error("interrupted; nothing was written.", "")
        raise typer.Exit(130) from None
    except BrokenPipeError:  # the reader closed the pipe, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    except WRONG as error:
        print_error(str(error) if isinstance(error, UserError) else as_options(_message(error)))
        diverged = isinstance(error, FloatingPointError) and "diverged" in str(error)
        raise typer.Exit(1 if diverged else 2) from None  # 2 is for wrong usage


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:  # raised by the operating system
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
    message = re.sub(rf"{names}='([^']*)'", lambda m: f"{_option_name(m[1])} {m[2]}", message)
    message = re.sub(rf"{names}=(?=\S)", lambda m: f"{_option_name(m[1])} ", message)
    return re.sub(r"\b(train|test|val)_size\b", r"--\1-size", message)


def _option_name(name: str) -> str:
    return "--" + name.replace("_", "-")


def print_error(text: str, label: str = "error: ") -> None:
    """Print a line on standard error."""
    typer.echo(f"tinygrad-nn: {label}{printable(' '.join(text.split()))}", err=True)
