"""The state of a training in a checkpoint: JSON text and arrays, validated when they are read."""

from __future__ import annotations

import copy
import math
import re
import reprlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..common.printable import printable
from ..optim import OPTIMIZERS, LBFGSRule
from .fingerprint import PYTHON, environment
from .history import History
from .stopping import Watch
from .tasks.task import Task

Array = np.ndarray[Any, Any]
LAYOUT = 3  # version of the layout of the text
OTHER = "Restore the file that the training wrote, or name another folder. Nothing was changed."
_MOST = 2**62  # upper limit for numbers of epochs, updates and steps
_ENDS = ("", "early stopping", "a callback")


@dataclass
class Progress:
    """The progress of a training.

    Attributes:
        epoch, updates: the numbers of epochs and updates done.
        schedule: the state of a `Plateau`, or ``None``.
        ended: why the training ended, or an empty string.
        run: a random identifier that all files of this training have.
    """

    epoch: int = 0
    updates: int = 0
    schedule: Any = None
    ended: str = ""
    run: str = field(default_factory=lambda: secrets.token_hex(8))


def split_state(
    task: Task, setup: Mapping[str, str], progress: Progress, rngs: Sequence[np.random.Generator], history: History,
    watch: Watch | None, files: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Array]]:  # fmt: skip
    """Return the state of a training as a JSON-compatible dict and a dict of arrays."""
    metrics = {f"metrics/{name}": values for name, values in history.metrics.items()}
    columns = {"loss": history.loss, "val_loss": history.val_loss, **metrics}
    arrays = {f"history/{name}": np.array(values, dtype=float) for name, values in columns.items()}
    text = {
        "layout": LAYOUT, "run": progress.run, "python": PYTHON, "setup": dict(setup), "surroundings": environment(),
        "files": files,
        "epoch": progress.epoch, "updates": progress.updates, "schedule": progress.schedule, "ended": progress.ended,
        "rngs": [_as_json(rng.bit_generator.state) for rng in rngs],
        "metrics": list(history.metrics),
        "stopping": None if watch is None else [_number_text(watch.best), watch.epoch, watch.since],
        "optimizer": [_split_optimizer(name, state, arrays) for name, state in _named_states(task)],
    }  # fmt: skip
    return text, arrays


@dataclass
class StateReader:
    """Reads the parts of a saved state, and validates each, since the file may be damaged or crafted."""

    path: Path
    text: dict[str, Any]
    arrays: dict[str, Array]

    def need(self, ok: bool, name: str, value: Any) -> None:
        """Raise a ValueError unless `ok`: the part is not what a training writes."""
        if not ok:
            what = f"{printable(name)} is {printable(reprlib.repr(value))}"
            raise ValueError(f"{printable(self.path)} holds no state that a training wrote: {what}. {OTHER}")

    def get(self, name: str) -> Any:
        """Return a part of the text; raise if it is missing."""
        if name not in self.text:
            raise ValueError(f"{printable(self.path)} holds no state that a training wrote: it has no {name}. {OTHER}")
        return self.text[name]

    def mapping(self, name: str) -> dict[str, Any]:
        """Return a part that must be a dict."""
        found = self.get(name)
        self.need(isinstance(found, dict), name, found)
        return found  # type: ignore[no-any-return]

    def count(self, name: str, value: Any) -> int:
        """Return an integer of at least 0; raise for another value."""
        self.need(type(value) is int and 0 <= value < _MOST, name, value)
        return value  # type: ignore[no-any-return]

    def python(self) -> str:
        """Return the version of Python that wrote the state."""
        found = self.get("python")
        self.need(isinstance(found, str) and re.fullmatch(r"\d+\.\d+", found) is not None, "python", found)
        return str(found)

    def surroundings(self) -> dict[str, str]:
        """Return the number of BLAS threads and the NumPy version at the checkpoint, which determine the last bits."""
        found = self.mapping("surroundings")
        texts = all(isinstance(text, str) for text in found.values())
        self.need(texts and set(found) == set(environment()), "surroundings", found)
        return found

    def progress(self) -> Progress:
        """Return the progress of the training."""
        epoch, updates = (self.count(name, self.get(name)) for name in ("epoch", "updates"))
        schedule, ended, run = self.get("schedule"), self.get("ended"), self.get("run")
        self.need(ended in _ENDS, "ended", ended)
        self.need(isinstance(run, str) and re.fullmatch("[0-9a-f]{16}", run) is not None, "run", run)
        if schedule is not None:  # the state of a Plateau
            self.need(isinstance(schedule, list) and len(schedule) == 4, "schedule", schedule)
            best = schedule[0]
            self.need(best is None or (type(best) in (int, float) and abs(best) < math.inf), "schedule", schedule)
            for number in schedule[1:]:
                self.count("schedule", number)
        plateau = self.mapping("setup").get("schedule", "").startswith("Plateau(")
        self.need(plateau == (schedule is not None), "schedule", schedule)
        return Progress(epoch, updates, schedule, ended, run)

    def history(self) -> History:
        """Return the history, checked to have as many entries as epochs."""
        names, epoch = self.get("metrics"), self.get("epoch")
        self.need(isinstance(names, list) and all(isinstance(name, str) for name in names), "metrics", names)
        columns: dict[str, list[float]] = {}
        for name in ("loss", "val_loss", *(f"metrics/{name}" for name in names)):
            column = self.arrays.get(f"history/{name}")
            ok = column is not None and column.dtype == float and column.ndim == 1 and len(column) <= epoch
            self.need(ok, f"history of {name}", None if column is None else (str(column.dtype), column.shape))
            columns[name] = column.tolist()  # type: ignore[union-attr]
        there = {key for key in self.arrays if key.startswith("history/")}
        self.need(there == {f"history/{name}" for name in columns}, "metrics", names)
        self.need(len(columns["loss"]) == epoch, "epoch", epoch)
        self.need(len(columns["val_loss"]) in (0, epoch), "history of val_loss", len(columns["val_loss"]))
        return History(columns["loss"], columns["val_loss"], {name: columns[f"metrics/{name}"] for name in names})

    def files(self, epoch: int, best: int) -> dict[str, tuple[str, str]]:
        """Return names and checksums of the weight files, of this epoch and, if there is one, of the best epoch."""
        names = {"weights": f"weights-{epoch}.safetensors"} | ({"best": f"best-{best}.safetensors"} if best else {})
        found = self.mapping("files")
        for key in {*names, *found}:
            file = found.get(key)
            ok = isinstance(file, dict) and set(file) == {"name", "sha256"} and file["name"] == names.get(key)
            self.need(ok and isinstance(found[key]["sha256"], str), "files", found)
        return {key: (name, found[key]["sha256"]) for key, name in names.items()}

    def generators(self, rngs: Sequence[np.random.Generator]) -> list[Any]:
        """Return the states of the random generators, after testing each on a copy of the generator."""
        found = self.get("rngs")
        named = isinstance(found, list) and all(
            isinstance(bits, dict) and isinstance(bits.get("bit_generator"), str) for bits in found
        )  # fmt: skip
        self.need(named, "rngs", found)
        then = ", ".join(bits["bit_generator"] for bits in found)
        now = ", ".join(type(rng.bit_generator).__name__ for rng in rngs)
        if then != now:
            raise ValueError(
                f"{printable(self.path.parent)}: its random numbers come from {printable(f'{then:.80}')}, and rng= and "
                f"the batches give {now}. Pass the same as before."
            )
        for rng, bits in zip(rngs, found, strict=True):
            try:
                trial = copy.deepcopy(rng.bit_generator)
                trial.state = bits
                taken = _as_json(trial.state) == bits
            except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError):  # of NumPy's generators
                taken = False
            self.need(taken, "rngs", bits)
        return found  # type: ignore[no-any-return]

    def stopping(self, epoch: int) -> tuple[float | None, int, int]:
        """Return the state of early stopping: the best value, its epoch, and the number of epochs since."""
        found = self.get("stopping")
        self.need(isinstance(found, list) and len(found) == 3, "stopping", found)
        text, at, since = found
        try:
            best = None if text is None else float(text) if isinstance(text, str) else math.nan
        except ValueError:
            best = math.nan
        self.need(best is None or not math.isnan(best), "stopping", found)
        self.need(self.count("stopping", at) <= epoch and self.count("stopping", since) <= epoch, "stopping", found)
        self.need((best is None) == (at == 0), "stopping", found)
        return best, at, since

    def optimizer(self, task: Task) -> list[Any]:
        """Return the optimizer state of each parameter, checked against the current optimizer."""
        found = self.get("optimizer")
        pairs = isinstance(found, list) and all(isinstance(part, list) and len(part) == 2 for part in found)
        self.need(pairs, "optimizer", found)
        now = _named_states(task)
        if [name for name, _ in found] != [name for name, _ in now]:
            raise ValueError(f"{printable(self.path)} holds states of other parameters; create the model as it was.")
        states = []
        for k, ((name, layout), (_, current)) in enumerate(zip(found, now, strict=True)):
            state, rule = self.together(name, layout), task.rules[k][0]
            searched = isinstance(rule, LBFGSRule)
            self.need(state is not None or not searched, f"optimizer of {name}", layout)
            if state is not None and (searched or rule.name in OPTIMIZERS):
                wanted = list(current if searched else rule.init(task.parameters[k].data))
                if searched:  # the state of L-BFGS ends with a varying number of vectors
                    wanted = [*wanted[:5], *[wanted[4]] * (len(state) - 5)]
                self.need(
                    len(state) == len(wanted) and all(map(_is_same_kind, wanted, state)), f"optimizer of {name}", layout
                )
            states.append(state)
        return states

    def together(self, name: str, layout: Any) -> Any:
        """Return an optimizer state as a tuple of numbers and arrays, read from its description in the text."""
        if layout is None:
            return None
        listed = isinstance(layout, list) and all(isinstance(part, dict) for part in layout)
        self.need(listed, f"optimizer of {name}", layout)
        state: list[Any] = []
        for part in layout:
            key, kind, number = part.get("array"), part.get("kind"), part.get("number")
            if isinstance(key, str) and key in self.arrays:
                state.append(self.arrays[key])
                continue
            ok = isinstance(kind, str) and kind in _KINDS and isinstance(number, str) and len(number) < 40
            try:
                state.append(_KINDS[kind](number) if ok else math.nan)
            except ValueError:
                ok = False
            self.need(ok, f"optimizer of {name}", part)
        return tuple(state)


def _is_same_kind(wanted: Any, value: Any) -> bool:
    """Return whether two entries are of the same kind: arrays of one shape and dtype, or finite numbers, or None."""
    if np.ndim(wanted) or np.ndim(value):
        return np.shape(wanted) == np.shape(value) and bool(wanted.dtype == value.dtype)
    if value is None or wanted is None:
        return value is wanted
    number = np.asarray(value).item()
    return math.isfinite(number) and (not isinstance(wanted, (int, np.integer)) or 0 <= number < _MOST)


def _named_states(task: Task) -> list[tuple[str, Any]]:
    states = task.states()
    names = task.names if len(states) == len(task.names) else ["all"]
    return list(zip(names, states, strict=True))


def _split_optimizer(name: str, state: Any, arrays: dict[str, Array]) -> tuple[str, Any]:
    """Return a description of an optimizer state for the text; its arrays are added to `arrays` under their keys."""
    if state is None:
        return name, None
    layout: list[dict[str, str]] = []
    for k, part in enumerate(state):
        if isinstance(part, (np.ndarray, np.generic)):
            arrays[key := f"optimizer/{name}/{k}"] = np.asarray(part)
            layout.append({"array": key})
        else:
            layout.append({"number": repr(part), "kind": type(part).__name__})
    return name, layout


_KINDS: dict[str, Any] = {
    "int": int, "float": float, "bool": lambda text: text == "True", "NoneType": lambda text: None,
}  # fmt: skip


def _number_text(number: Any) -> str | None:
    """Return a number as text from which it can be read back exactly."""
    return None if number is None else repr(float(number))


def _as_json(state: Any) -> Any:
    """Return the state of a bit generator as JSON-compatible values."""
    if isinstance(state, dict):
        return {key: _as_json(value) for key, value in state.items()}
    return state.tolist() if isinstance(state, (np.ndarray, np.generic)) else state
