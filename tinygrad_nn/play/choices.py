"""`Choices`: the settings of the playground, validated on construction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from ..common.spelling import did_you_mean
from ..nn.activations import PRIMITIVES, activation
from ..nn.losses import PENALTIES
from ..optim import OPTIMIZERS
from ..solver import Regularization, Solver

DATASETS = {"moons": "two moons", "spirals": "two spirals", "three spirals": "three spirals", "iris": "iris",
            "digits": "digits", "table": "a table of your own"}  # fmt: skip
KINDS = ("auto", "classification", "regression")
MISSING = ("refuse", "mean", "median", "most-frequent", "drop")
HIDDEN = tuple(name for name in PRIMITIVES if name != "softmax")  # softmax couples the neurons of its layer
MOST_LAYERS, MOST_WIDTH, MOST_ROWS, MOST_BATCH = 8, 256, 5000, 4096
ANEW = ("dataset", "rows", "noise", "train_size", "hidden", "seed", "target", "kind", "missing",
        "leave_out")
"""Choices that need a new network or new data; all others can be changed while training continues."""


@dataclass(frozen=True)
class Choices:
    """The data, the network and the training settings of the playground.

    Args:
        dataset: a key of `DATASETS`; rows, noise: size and noise of a data set that is drawn at random.
        train_size: the share of rows to train on; the network is tested on the others.
        hidden: width and activation of each hidden layer.
        optimizer, learning_rate, regularization, lam, dropout, batch_size: as in `Solver` and `Settings`.
        seed: the seed of data, split, weights, order of the rows and dropout.
        target, kind, missing: how to read a table, as in `read_table`; leave_out: columns that are not features.

    Raises:
        ValueError: a value is not allowed; the message names it and says which values are.

    Example:
        >>> Choices(hidden=((4, "relu"),)).solver("crossentropy").optimizer
        'adam'
    """

    dataset: str = "moons"
    rows: int = 300
    noise: float = 0.1
    train_size: float = 0.7
    hidden: tuple[tuple[int, str], ...] = ((8, "tanh"), (8, "tanh"))
    optimizer: str = "adam"
    learning_rate: float = 0.01
    regularization: str = "none"
    lam: float = 0.001
    dropout: float = 0.0
    batch_size: int = 32
    seed: int = 0
    target: str = ""
    kind: str = "auto"
    missing: str = "refuse"
    leave_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, known, what in (
            ("dataset", DATASETS, "data set"), ("optimizer", OPTIMIZERS, "optimizer"),
            ("regularization", PENALTIES, "regularization"), ("kind", KINDS, "kind"),
            ("missing", MISSING, "way to fill missing cells"),
        ):  # fmt: skip
            value: Any = getattr(self, name)
            if not isinstance(value, str) or value not in known:
                near = did_you_mean(str(value), known)
                raise ValueError(f"{value!r:.60} is not a known {what}; known are {', '.join(known)}.{near}")
        for name, least, most, what in (
            ("rows", 20, MOST_ROWS, "points"), ("batch_size", 1, MOST_BATCH, "batch size"),
            ("seed", 0, 2**31 - 1, "seed"),
        ):  # fmt: skip
            self._put(name, _check_integer(what, getattr(self, name), least, most))
        for name, low, high, what in (
            ("noise", 0.0, 2.0, "noise"), ("train_size", 0.1, 0.95, "share of rows to train on"),
            ("lam", 0.0, 1e6, "strength of the penalty"), ("dropout", 0.0, 0.95, "dropout"),
        ):  # fmt: skip
            self._put(name, _check_number(what, getattr(self, name), low, high))
        rate = _check_number("learning rate", self.learning_rate, 0.0, 1e6)
        if rate == 0:
            raise ValueError("The learning rate is 0, so that nothing would be learnt; write e.g. 0.01.")
        self._put("learning_rate", rate)
        self._put("hidden", _layers(self.hidden))
        target: Any = self.target
        if not isinstance(target, str) or len(target) > 1000:
            raise ValueError("The target is the name of a column of the table.")
        out: Any = self.leave_out
        if not isinstance(out, (list, tuple)) or not all(isinstance(name, str) for name in out):
            raise ValueError("The columns that are left out are a list of their names.")
        self._put("leave_out", tuple(out))

    def _put(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def changed(self, changes: Any) -> Choices:
        """Return a copy of these choices with the changes that a page sent.

        Raises:
            ValueError: there is no choice of a name, or a value is not allowed.
        """
        known = {part.name for part in fields(self)}
        if not isinstance(changes, Mapping):
            kind = type(changes).__name__
            raise ValueError(f"Choices are a JSON object such as {{\"rows\": 300}}; this is a {kind}.")
        odd = [str(name) for name in changes if name not in known]
        if odd:
            raise ValueError(f"There is no choice {odd[0]!r:.60}; the choices are {', '.join(sorted(known))}."
                             f"{did_you_mean(odd[0], known)}")  # fmt: skip
        return replace(self, **changes)

    def anew(self, other: Choices) -> bool:
        """Whether changing to other choices needs a new network or new data."""
        return any(getattr(self, name) != getattr(other, name) for name in ANEW)

    def solver(self, loss: str) -> Solver:
        """Return the `Solver` of these choices for a loss."""
        lam = self.lam if self.regularization != "none" else 0.0
        penalty = Regularization(self.regularization, lam, dropout=self.dropout)
        return Solver(loss, self.optimizer, self.learning_rate, penalty)

    def to_dict(self) -> dict[str, Any]:
        """Return the choices as a dict that JSON can hold."""
        return {part.name: getattr(self, part.name) for part in fields(self)} | {
            "hidden": [list(layer) for layer in self.hidden], "leave_out": list(self.leave_out)
        }


def _check_integer(name: str, value: Any, low: int, high: int) -> int:
    number = _check_number(name, value, low, high)
    if number != int(number):
        raise ValueError(f"The {name} is {value!r:.60}; it must be a whole number from {low:,} to {high:,}.")
    return int(number)


def _check_number(name: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"The {name} is {value!r:.60}; it must be a number from {low:,g} to {high:,g}.")
    if not (low <= value <= high and math.isfinite(value)):
        raise ValueError(f"The {name} is {value:g}; it must be a number from {low:,g} to {high:,g}.")
    return float(value)


def _layers(layers: Any) -> tuple[tuple[int, str], ...]:
    if not isinstance(layers, Sequence) or isinstance(layers, str):
        raise ValueError("The hidden layers are a list of pairs, a width and an activation: [[8, \"tanh\"]].")
    if len(layers) > MOST_LAYERS:
        raise ValueError(f"There are {len(layers)} hidden layers; the playground draws up to {MOST_LAYERS}.")
    found = []
    for k, layer in enumerate(layers, 1):
        if not isinstance(layer, Sequence) or isinstance(layer, str) or len(layer) != 2:
            raise ValueError(f"Hidden layer {k} is {layer!r:.60}; it must be a width and an activation, [8, \"tanh\"].")
        width = _check_integer(f"width of hidden layer {k}", layer[0], 1, MOST_WIDTH)
        name = layer[1] if isinstance(layer[1], str) else ""
        if name.partition("(")[0].strip().lower() == "softmax":
            raise ValueError(f"Hidden layer {k} is a softmax; that is for the output. Take e.g. tanh or relu.")
        found.append((width, activation(name).name))
    return tuple(found)
