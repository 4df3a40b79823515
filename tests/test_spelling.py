"""Unknown names: the error suggests the nearest known name, also for the names of other frameworks."""

import inspect
from typing import Any

import numpy as np
import pytest
import typer

import tinygrad_nn as tg
from tinygrad_nn import Layer, Solver, Tensor, data, nn, optim, viz
from tinygrad_nn.cli.app import app
from tinygrad_nn.common.spelling import ELSEWHERE, SYNONYMS, did_you_mean, near_names
from tinygrad_nn.primitive import ATTRIBUTES, METHODS, REGISTRY

KNOWN = ["relu", "silu", "SiLU", "leaky_relu", "Conv1d", "Conv2d", "binarycrossentropy", "BCELoss", "learning_rate"]


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("swish", "silu"), ("Swish", "SiLU"), ("lrelu", "leaky_relu"), ("LeakyReLU", "leaky_relu"), ("rleu", "relu"),
        ("Conv2D", "Conv2d"), ("bce", "binarycrossentropy"), ("BCE", "BCELoss"), ("lr", "learning_rate"),
        ("learning-rate", "learning_rate"), ("binary cross_entropy", "binarycrossentropy"),
    ],
)  # fmt: skip
def test_the_nearest_name_is_found(name: str, right: str) -> None:
    assert near_names(name, KNOWN) == [right]
    assert did_you_mean(name, KNOWN) == f" Did you mean {right!r}?"


def test_nothing_is_offered_where_nothing_is_near() -> None:
    assert near_names("x", KNOWN) == near_names("", KNOWN) == []
    assert did_you_mean("zebra", KNOWN) == ""


@pytest.mark.parametrize(
    ("ask", "error", "text"),
    [
        (lambda: nn.Dense, AttributeError, "module 'tinygrad_nn.nn' has no attribute 'Dense'; did you mean 'Linear'?"),
        (lambda: nn.Conv2D, AttributeError, "did you mean 'Conv2d'?"),
        (lambda: nn.MaxPooling2D, AttributeError, "did you mean 'MaxPool2d'?"),
        (lambda: nn.swish, AttributeError, "did you mean 'silu'?"),
        (lambda: nn.Squential, AttributeError, "did you mean 'Sequential'?"),
        (lambda: nn.DataParallel, AttributeError, "There are no devices; call the model itself."),
        (lambda: tg.train_test_split, AttributeError, "did you mean 'data_split'?"),
        (lambda: tg.Variable, AttributeError, "did you mean 'Tensor'?"),
        (lambda: tg.manual_seed, AttributeError, "Pass randomness in: rng=0"),
        (lambda: Tensor([1.0]).backwards, AttributeError, "a Tensor has no attribute 'backwards'; did you mean 'back"),
        (lambda: Tensor([1.0]).add_(1), AttributeError, "does not change in place: use what add(...) returns, or"),
        (lambda: Tensor([1.0]).zero_(), AttributeError, "fill a parameter with nn.init.zeros_(parameter)."),
        (lambda: Tensor([1.0]).grad_fn, AttributeError, "The operation that made it is t.node.primitive"),
        (lambda: Tensor(np.ones((8, 3))) @ np.ones((4, 3)), ValueError, "The second fits transposed: x @ w.T"),
        (lambda: Tensor(np.ones((3, 8))) @ np.ones((3, 4)), ValueError, "The first fits transposed: x.T @ w"),
        (lambda: Tensor(np.ones((2, 8, 3))) @ np.ones((2, 4, 3)), ValueError, "The second fits transposed: x @ w.mT"),
        (lambda: Tensor(np.ones((8, 3))) + np.ones(8), ValueError, "each row of the first is y[:, None]"),
        (lambda: Tensor(np.ones(8)) * np.ones((8, 3)), ValueError, "each row of the second is x[:, None]"),
        (lambda: Tensor([1.0]).shpae, AttributeError, "did you mean 'shape'?"),
        (lambda: Tensor([1.0]).exponential, AttributeError, "a Tensor has no attribute 'exponential'"),
        (lambda: Layer(4, 3, "swish"), ValueError, "Did you mean 'silu'?"),
        (lambda: Solver("bce"), ValueError, "Did you mean 'binarycrossentropy'?"),
        (lambda: Solver("mean_squared_error"), ValueError, "Did you mean 'mse'?"),
        (lambda: tg.supported("np.sine"), ValueError, "similar names are"),
    ],
)  # fmt: skip
def test_an_unknown_name_gets_the_nearest_right_one(ask: Any, error: Any, text: str) -> None:
    with pytest.raises(error) as caught:
        ask()
    assert text in str(caught.value)


def test_what_python_and_numpy_ask_of_every_object_is_not_searched_for() -> None:
    with pytest.raises(AttributeError) as caught:
        Tensor([1.0]).__array_interface__  # noqa: B018
    assert str(caught.value) == "a Tensor has no attribute '__array_interface__'"
    assert not hasattr(nn, "__wrapped__")


def test_the_table_of_words_is_written_without_case_and_underscores() -> None:
    assert all(word == word.lower() and not set(word) & set("_- ") for word in SYNONYMS)
    assert all(line.endswith(".") for line in ELSEWHERE.values())


def test_every_word_of_the_table_leads_to_a_name_somewhere() -> None:
    rooms: list[Any] = [tg, nn, nn.functional, nn.losses, optim, viz, data]
    pool = {name for room in rooms for name in room.__all__}
    pool |= {name for each in (Tensor(1.0), nn.Module(), optim.SGD) for name in dir(each)}
    made = [f for room in rooms for name in room.__all__ if callable(f := getattr(room, name))]
    pool |= {name for f in (*made, tg.fit, np.sum) for name in options(f)}
    pool |= {name for name, _ in inspect.getmembers(tg.io, inspect.isfunction)}
    command = typer.main.get_command(app)
    pool |= set(command.commands) | {p.name for each in command.commands.values() for p in each.params}
    lost = [word for word, targets in SYNONYMS.items() if not pool & set(targets.split())]
    assert set(lost) <= {"acc", "valacc"}, lost  # the metrics of an Epoch are named by who trains


def options(f: Any) -> list[str]:
    try:
        return list(inspect.signature(f).parameters)
    except (TypeError, ValueError):
        return []


def test_functions_that_are_no_methods_of_arrays_are_none_of_a_tensor() -> None:
    t = Tensor([1.0, 2.0])
    ours = {*METHODS, *REGISTRY, *ATTRIBUTES}
    functions = [name for name in dir(np) if name[0] != "_" and callable(getattr(np, name))]
    others = [name for name in functions if not hasattr(np.ndarray, name)]
    assert len(others) > 200
    assert [name for name in others if name not in ours and hasattr(t, name)] == []
