"""Checkpoints: all that a training needs to resume after it was killed; files are written completely or not at all.

A folder holds the weights of an epoch, ``weights-12.safetensors``, and ``state.safetensors``: optimizer state,
schedule, random generators, history, the fingerprint of the training, and names and checksums of its weight files. The
state is replaced last, in one rename; weight files that it does not name are deleted after that. When a state is read,
nothing in it is executed, and nothing is changed before all of it was validated.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..common.printable import printable
from ..files import StrPath, check_folder, write_whole
from ..files.safetensors import parse, seal, unseal
from .fingerprint import PYTHON, differences, environment
from .history import History
from .state import LAYOUT, OTHER, Progress, StateReader, split_state
from .stopping import Watch, as_python
from .tasks.task import Task

Array = np.ndarray[Any, Any]
STATE = "state.safetensors"
_FILE = r"(weights|best)-\d+\.safetensors"  # also matches partial files of a process that was killed while it wrote
_OURS = re.compile(rf"{_FILE}|\.({_FILE}|state\.safetensors)\.[0-9a-f]+\.part")


@dataclass(frozen=True)
class Checkpoint:
    """The folder of a training's checkpoints, and how often they are written.

    Args:
        folder: created if it does not exist; every training needs its own.
        every: epochs between two checkpoints, at least 1; the last epoch always writes one.

    Raises:
        ValueError: every is below 1; NotADirectoryError, PermissionError: the folder cannot be used.
    """

    folder: StrPath
    every: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "every", as_python(self.every))
        if not (type(self.every) is int and self.every >= 1):
            raise ValueError(f"Checkpoint: every={self.every!r}; it counts epochs, at least 1.")
        check_folder(self.folder)


def save_checkpoint(
    folder: StrPath, task: Task, setup: Mapping[str, str], progress: Progress, rngs: Sequence[np.random.Generator],
    history: History, watch: Watch | None,
) -> None:  # fmt: skip
    """Write a checkpoint, completely or not at all."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = seal("weights", task.arrays(), progress.run)
    files = {"weights": {"name": f"weights-{progress.epoch}.safetensors", "sha256": weights.sha256}}
    write_whole(folder / files["weights"]["name"], weights.content)
    if watch is not None and watch.weights is not None:
        name = f"best-{watch.epoch}.safetensors"
        if watch.written != watch.epoch or not (folder / name).exists():  # it may be of an older training
            best = seal("weights", watch.weights, progress.run)
            write_whole(folder / name, best.content)
            watch.written, watch.sha256 = watch.epoch, best.sha256
        files["best"] = {"name": name, "sha256": watch.sha256}
    text, arrays = split_state(task, setup, progress, rngs, history, watch, files)
    write_whole(folder / STATE, seal("training state", arrays, json.dumps(text, allow_nan=False)).content)
    _tidy(folder, [file["name"] for file in files.values()])


def _tidy(folder: Path, file_names: Sequence[str]) -> None:
    """Delete the weight files of earlier epochs, and partial files of processes that were killed."""
    for old in list(folder.iterdir()):
        if _OURS.fullmatch(old.name) and old.name not in file_names:
            old.unlink(missing_ok=True)


def checkpoint_exists(folder: StrPath) -> bool:
    """Return whether the folder has a checkpoint."""
    return (Path(folder) / STATE).exists()


def load_checkpoint(
    folder: StrPath, task: Task, setup: Mapping[str, str], rngs: Sequence[np.random.Generator], watch: Watch | None,
    epochs: int | None = None,
) -> tuple[Progress, History]:
    """Restore a model, its optimizer states and the random generators from a checkpoint.

    Raises:
        ValueError: a file is truncated or was changed, the checkpoint is of another training, or it has more than
            `epochs` epochs; the message says what differs, and nothing is changed.
        FileNotFoundError: a weight file is missing.

    Warns:
        UserWarning: the number of BLAS threads or the version of NumPy differs, so results differ in the last bits.
    """
    folder = Path(folder)
    arrays, raw, _ = unseal("training state", folder / STATE)
    state = StateReader(folder / STATE, parse(folder / STATE, raw), arrays)
    if state.text.get("layout") != LAYOUT:
        raise ValueError(
            f"{printable(folder)} was written by another version of tinygrad_nn. Continue with that version, or name "
            "another folder."
        )
    for key, then, now in differences(state.mapping("setup"), setup, state.python() == PYTHON):
        raise ValueError(
            f"{printable(folder)} is the checkpoint of another training: its {key} was "
            f"{_around_difference(then, now)}, and is "
            f"{_around_difference(now, then)} now. Use the same as before, or name another folder. Nothing was changed."
        )
    progress, _ = state.progress(), state.history()  # validate the epoch number before it is used in file names
    if epochs is not None and progress.epoch > epochs:
        more = progress.epoch + epochs
        raise ValueError(
            f"{printable(folder)} has a training of {progress.epoch} epochs, and epochs={epochs} counts all of them. "
            f"Write epochs={more} for {epochs} more."
        )
    stopping = None if watch is None else state.stopping(progress.epoch)
    files = state.files(progress.epoch, 0 if stopping is None else stopping[1])
    weights = {key: _weights(folder, progress.run, *file) for key, file in files.items()}
    around = state.surroundings()
    found = resume_training(state, weights, task, rngs, watch)
    _tidy(folder, [name for name, _ in files.values()])
    _warn_of_changes(folder, around)
    return found


def resume_training(
    state: StateReader, weights: Mapping[str, tuple[dict[str, Array], str]], task: Task,
    rngs: Sequence[np.random.Generator], watch: Watch | None,
) -> tuple[Progress, History]:  # fmt: skip
    """Set a model, its optimizer states, random generators and early stopping to a saved state.

    Args:
        state: as made by `split_state`; weights: arrays and checksums, of this epoch and of the best epoch.
    """
    progress, history = state.progress(), state.history()
    stopping = None if watch is None else state.stopping(progress.epoch)
    generators = state.generators(rngs)
    states = state.optimizer(task)
    try:
        task.restore(weights["weights"][0])
    except (ValueError, LookupError) as error:
        raise ValueError(f"{printable(state.path.parent)}: {printable(error)}") from None
    task.resume(states)
    for rng, bits in zip(rngs, generators, strict=True):
        rng.bit_generator.state = bits
    if watch is not None and stopping is not None:
        watch.best, watch.epoch, watch.since = stopping
        watch.weights, watch.sha256 = weights.get("best", (None, ""))
        watch.written = watch.epoch
    return progress, history


def _warn_of_changes(folder: Path, then: Mapping[str, str]) -> None:
    """Warn if BLAS threads or NumPy differ from those of the checkpoint: the last bits may differ then."""
    other = {key: (printable(then[key][:20]), value) for key, value in environment().items() if then[key] != value}
    if other:
        said = "; ".join(f"{key}: {old} then, {new} now" for key, (old, new) in other.items())
        mend = {"BLAS threads": "start Python with OPENBLAS_NUM_THREADS={}", "NumPy": "install NumPy {}"}
        edit = " and ".join(mend[key].format(old) for key, (old, _) in other.items())
        warnings.warn(
            f"fit: {printable(folder)} continues in a different environment ({said}): the training is correct, but not "
            f"bit for bit the same as one without interruption. For that {edit}.",
            UserWarning,
            stacklevel=8,  # the line that called fit
        )


def _weights(folder: Path, run: str, name: str, sha256: str) -> tuple[dict[str, Array], str]:
    """Return the arrays and the checksum of a weight file; raise if it is not the file that the state names."""
    path = folder / name
    if not path.exists():
        raise FileNotFoundError(
            f"{printable(folder)} is an incomplete checkpoint: {name} is missing. Restore it, or name another "
            "folder."
        )
    arrays, owner, found = unseal("weights", path)
    if owner != run:
        raise ValueError(f"{printable(path)} belongs to another training than {STATE} beside it. {OTHER}")
    if found != sha256:
        raise ValueError(f"{printable(path)} is from another moment of this training than {STATE} beside it. {OTHER}")
    return arrays, found


def _around_difference(value: str, other: str) -> str:
    """Return a text; of a long one the part around the first difference from another text."""
    if len(value) <= 200:
        return printable(value)
    same = next((k for k, (a, b) in enumerate(zip(value, other, strict=False)) if a != b), min(len(value), len(other)))
    start = max(0, same - 60)
    text = ("..." if start else "") + value[start : start + 180] + ("..." if start + 180 < len(value) else "")
    return printable(text)
