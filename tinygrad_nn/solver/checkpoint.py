"""Checkpoints: all that a training needs to go on after it was killed, written so that no moment leaves half of it.

A folder holds the weights of an epoch, ``weights-12.safetensors``, and ``state.safetensors``: optimizer, schedule,
random numbers, history, and the names of the files of weights that belong to it. The state is replaced last, in one
move, and files of weights that it does not name are deleted after that. Nothing in the files is ever executed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files import StrPath, check_folder, write_whole
from ..store import seal, unseal
from .history import History
from .stopping import Watch
from .task import Task

Array = np.ndarray[Any, Any]
STATE = "state.safetensors"
LAYOUT = 2  # of the text in it
_FILE = r"(weights|best)-\d+\.safetensors"  # and what a process that was killed while it wrote leaves of one
_OURS = re.compile(rf"{_FILE}|\.({_FILE}|state\.safetensors)\.[0-9a-f]+\.part")


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often a training writes down how it goes on.

    Args:
        folder: made if need be; every training needs one of its own.
        every: epochs between two checkpoints, at least 1; the last epoch is always written.

    Raises:
        ValueError: every is below 1; NotADirectoryError, PermissionError: the folder cannot be.
    """

    folder: StrPath
    every: int = 1

    def __post_init__(self) -> None:
        if not (type(self.every) is int and self.every >= 1):
            raise ValueError(f"Checkpoint: every={self.every!r}; it counts epochs, at least 1.")
        check_folder(self.folder)


@dataclass
class Progress:
    """How far a training has come.

    Attributes:
        epoch, updates: how many were done.
        schedule: what a plateau remembers, or ``None``.
        ended: why it is over, if it is.
    """

    epoch: int = 0
    updates: int = 0
    schedule: Any = None
    ended: str = ""


def save(
    folder: StrPath, task: Task, setup: str, progress: Progress, rngs: Sequence[np.random.Generator], history: History,
    watch: Watch | None,
) -> None:  # fmt: skip
    """Write a checkpoint, whole or not at all."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = {"weights": f"weights-{progress.epoch}.safetensors"}
    write_whole(folder / files["weights"], seal("weights", task.arrays()).content)
    if watch is not None and watch.weights is not None:
        files["best"] = f"best-{watch.epoch}.safetensors"
        if watch.written != watch.epoch or not (folder / files["best"]).exists():  # it may be of an older training
            write_whole(folder / files["best"], seal("weights", watch.weights).content)
            watch.written = watch.epoch
    arrays: dict[str, Array] = {}
    text = {
        "layout": LAYOUT,
        "setup": setup,
        "files": files,
        "epoch": progress.epoch, "updates": progress.updates, "schedule": progress.schedule, "ended": progress.ended,
        "rngs": [_plain(rng.bit_generator.state) for rng in rngs],
        "history": json.loads(history.to_json()),
        "stopping": None if watch is None else [_text(watch.best), watch.epoch, watch.since],
        "optimizer": [_apart(name, state, arrays) for name, state in _named(task)],
    }  # fmt: skip
    write_whole(folder / STATE, seal("training state", arrays, json.dumps(text, allow_nan=False)).content)
    for old in list(folder.iterdir()):
        if _OURS.fullmatch(old.name) and old.name not in files.values():
            old.unlink(missing_ok=True)


def exists(folder: StrPath) -> bool:
    """Whether there is a checkpoint."""
    return (Path(folder) / STATE).exists()


def load(
    folder: StrPath, task: Task, setup: str, rngs: Sequence[np.random.Generator], watch: Watch | None
) -> tuple[Progress, History]:
    """Put a model, an optimizer and a generator back to where a checkpoint left them.

    Raises:
        ValueError: a file is cut off or changed, or the checkpoint is of another training: the message says what
            differs, and nothing is changed.
        FileNotFoundError: a file of weights was taken away.
    """
    folder = Path(folder)
    arrays, raw, _ = unseal("training state", folder / STATE)
    text = json.loads(raw)
    if text.get("layout") != LAYOUT:
        raise ValueError(
            f"{folder} was written by another version of tinygrad_nn. Go on with that one, or name another folder."
        )
    _same(folder, json.loads(text["setup"]), json.loads(setup))
    missing = [name for name in text["files"].values() if not (folder / name).exists()]
    if missing:
        raise FileNotFoundError(
            f"{folder} is no longer a whole checkpoint: {missing[0]} is missing. Put it back, or name another folder."
        )
    weights = {key: unseal("weights", folder / name)[0] for key, name in text["files"].items()}
    then = ", ".join(state["bit_generator"] for state in text["rngs"])
    now = ", ".join(type(rng.bit_generator).__name__ for rng in rngs)
    if then != now:
        raise ValueError(
            f"{folder}: its random numbers come from {then}, and rng= and the batches give {now}. Pass what it was."
        )
    names = [name for name, _ in _named(task)]
    if [name for name, _ in text["optimizer"]] != names:
        raise ValueError(f"{folder} holds states of other parameters; make the model as it was.")
    states = [_together(layout, arrays) for _, layout in text["optimizer"]]
    try:
        task.restore(weights["weights"])
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
    task.resume(states)
    for rng, state in zip(rngs, text["rngs"], strict=True):
        rng.bit_generator.state = state
    if watch is not None and text["stopping"] is not None:
        best, watch.epoch, watch.since = text["stopping"]
        watch.best, watch.weights = None if best is None else float(best), weights.get("best")
        watch.written = watch.epoch
    return Progress(text["epoch"], text["updates"], text["schedule"], text["ended"]), History.from_dict(text["history"])


def describe(solver: Any, settings: Any, stopping: Any, class_weight: Any, task: Task) -> str:
    """Return what must be the same when a training goes on, as text."""
    loss = solver.loss if solver.loss is None or isinstance(solver.loss, str) else _called(solver.loss)
    schedule = solver.schedule
    written = schedule is None or hasattr(schedule, "state_dict")
    return json.dumps({
        "loss": loss, "optimizer": repr(solver.rule), "learning_rate": solver.learning_rate,
        "regularization": repr(solver.regularization),
        "schedule": repr(schedule) if written else _called(schedule),
        "schedule_by": solver.schedule_by, "clip_norm": solver.clip_norm, "clip_value": solver.clip_value,
        "groups": {key: repr(value) for key, value in solver.groups.items()},
        "batch_size": settings.batch_size, "accumulate": settings.accumulate, "early_stopping": repr(stopping),
        "class_weight": repr(class_weight),
        "parameters": {
            name: [list(p.shape), str(p.dtype)] for name, p in zip(task.names, task.parameters, strict=True)
        },
    })  # fmt: skip


def _called(function: Any) -> str:
    """Return the name of a function, and of a partial its arguments too: the same text in every process."""
    inner = getattr(function, "func", None)
    if inner is None:
        return str(getattr(function, "__qualname__", type(function).__name__))
    given = {**dict(enumerate(function.args)), **function.keywords}
    return f"{_called(inner)}({({key: _called(value) if callable(value) else value for key, value in given.items()})})"


def _same(folder: Path, then: dict[str, Any], now: dict[str, Any]) -> None:
    for key in then:
        if then[key] != now.get(key):
            raise ValueError(
                f"{folder} is the checkpoint of another training: its {key} was {_short(then[key])}, and is "
                f"{_short(now.get(key))} now. Go on with what it was, or name another folder. Nothing was changed."
            )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else text[:200] + "..."


def _named(task: Task) -> list[tuple[str, Any]]:
    states = task.states()
    names = task.names if len(states) == len(task.names) else ["all"] * len(states)
    return list(zip(names, states, strict=True))


def _apart(name: str, state: Any, arrays: dict[str, Array]) -> tuple[str, Any]:
    """Put the arrays of a state among the others; return its numbers, and the keys of its arrays."""
    if state is None:
        return name, None
    layout: list[dict[str, str]] = []
    for k, part in enumerate(state):
        if isinstance(part, (np.ndarray, np.generic)):
            arrays[key := f"{name}/{k}"] = np.asarray(part)
            layout.append({"array": key})
        else:
            layout.append({"number": repr(part), "kind": type(part).__name__})
    return name, layout


_KINDS: dict[str, Any] = {
    "int": int, "float": float, "bool": lambda text: text == "True", "NoneType": lambda text: None,
}  # fmt: skip


def _together(layout: Sequence[dict[str, Any]] | None, arrays: dict[str, Array]) -> Any:
    if layout is None:
        return None
    return tuple(arrays[part["array"]] if "array" in part else _KINDS[part["kind"]](part["number"]) for part in layout)


def _text(number: Any) -> str | None:
    """Return a number as text that gives it back to the last digit."""
    return None if number is None else repr(number)


def _plain(state: Any) -> Any:
    """Return the state of a bit generator as JSON can hold it."""
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    return state.tolist() if isinstance(state, (np.ndarray, np.generic)) else state
