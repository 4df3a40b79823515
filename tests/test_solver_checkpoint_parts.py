"""What is written of a training and what is said of it, part by part: files that are kept, texts that are cut."""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Solver, nn
from tinygrad_nn.solver import EarlyStopping, History, checkpoint
from tinygrad_nn.solver.checkpoint import STATE, Checkpoint, _short, _tell, _tidy
from tinygrad_nn.solver.fingerprint import surroundings
from tinygrad_nn.solver.state import Progress
from tinygrad_nn.solver.stopping import Watch
from tinygrad_nn.solver.tasks.module import ModuleTask

LONG = "".join(chr(97 + k % 26) for k in range(300))


@pytest.mark.parametrize(
    ("value", "other", "text"),
    [
        ("abc", "abd", "abc"), (LONG[:200], "", LONG[:200]), (LONG[:201], "", LONG[:180] + "..."),
        (LONG, "b" + LONG[1:], LONG[:180] + "..."), (LONG, LONG[:60], LONG[:180] + "..."),
        (LONG, LONG[:61], "..." + LONG[1:181] + "..."), (LONG, LONG[:100] + "?", "..." + LONG[40:220] + "..."),
        (LONG, LONG[:180], "..." + LONG[120:]), (LONG, LONG[:179], "..." + LONG[119:299] + "..."),
        (LONG, LONG[:250] + "?" * 50, "..." + LONG[190:]), (LONG[:201], LONG, "..." + LONG[141:201]),
        ("a\nb", "", "a\\nb"), ("\n" * 201, "", "\\n" * 180 + "..."),
    ],
)  # fmt: skip
def test_of_a_long_text_what_is_around_the_first_difference_is_shown(value: str, other: str, text: str) -> None:
    assert _short(value, other) == text


def test_files_of_a_training_that_are_not_named_are_deleted_and_no_others(tmp_path: Path) -> None:
    ours = ["weights-1.safetensors", "best-12.safetensors", ".weights-3.safetensors.0a1b.part",
            ".state.safetensors.ff.part", ".best-1.safetensors.0.part"]  # fmt: skip
    others = [STATE, "weights-x.safetensors", "weights-1.safetensors.bak", "notes.txt", "state.safetensors.ff.part",
              "my-weights-1.safetensors", ".other.0.part"]  # fmt: skip
    for name in [*ours, *others, "weights-2.safetensors"]:
        (tmp_path / name).touch()
    _tidy(tmp_path, ["weights-2.safetensors"])
    assert {path.name for path in tmp_path.iterdir()} == {*others, "weights-2.safetensors"}


def test_only_what_is_other_around_a_training_is_told(tmp_path: Path) -> None:
    now = surroundings()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _tell(tmp_path, now)
    said = f"(NumPy: {'9' * 20} then, {now['NumPy']} now): the training is right, but not bit for bit the one that was "
    with pytest.warns(UserWarning, match=re.escape(f"{said}never interrupted. For that install NumPy {'9' * 20}.")):
        _tell(tmp_path, {**now, "NumPy": "9" * 21})
    both = r"\(BLAS threads: 77 then, \d+ now; NumPy: 0 then, .*THREADS=77 and install NumPy 0\.$"
    with pytest.warns(UserWarning, match=both):
        _tell(tmp_path, {"BLAS threads": "77", "NumPy": "0"})


def written(folder: Path, watch: Watch, done: Progress) -> None:
    task = ModuleTask("fit", nn.Linear(2, 1, rng=0), Solver("mse"))
    checkpoint.save(folder, task, {"schedule": "None"}, done, [], History([0.5] * done.epoch), watch)


def test_the_best_weights_are_written_once_and_again_where_they_are_gone(tmp_path: Path) -> None:
    watch, done = Watch(EarlyStopping(3)), Progress(2)
    written(tmp_path, watch, done)
    assert {path.name for path in tmp_path.iterdir()} == {STATE, "weights-2.safetensors"}
    watch.weights, watch.epoch, watch.best = {"weight": np.ones((1, 2)), "bias": np.ones(1)}, 1, 0.5
    written(tmp_path, watch, done)
    best = tmp_path / "best-1.safetensors"
    before, first = best.stat().st_ino, watch.sha256
    done.epoch = 3
    written(tmp_path, watch, done)
    assert best.stat().st_ino == before  # it is not written anew
    assert {path.name for path in tmp_path.iterdir()} == {STATE, "weights-3.safetensors", best.name}
    best.unlink()
    written(tmp_path, watch, done)
    assert best.exists()
    watch.epoch, watch.weights = 3, {"weight": np.zeros((1, 2)), "bias": np.ones(1)}
    written(tmp_path, watch, done)
    assert {path.name for path in tmp_path.iterdir()} == {STATE, "weights-3.safetensors", "best-3.safetensors"}
    assert (watch.written, watch.sha256 != first) == (3, True)


def test_early_stopping_goes_on_with_the_best_weights_of_the_file(tmp_path: Path) -> None:
    watch, done = Watch(EarlyStopping(3)), Progress(2)
    watch.weights, watch.epoch, watch.best, watch.since = {"weight": np.ones((1, 2)), "bias": np.ones(1)}, 1, 0.5, 1
    written(tmp_path, watch, done)
    task, again = ModuleTask("fit", nn.Linear(2, 1, rng=1), Solver("mse")), Watch(EarlyStopping(3))
    progress, history = checkpoint.load(tmp_path, task, {"schedule": "None"}, [], again)
    assert (progress, history) == (done, History([0.5, 0.5]))
    assert (again.best, again.epoch, again.since, again.written, again.sha256) == (0.5, 1, 1, 1, watch.sha256)
    assert again.weights is not None
    for name, array in watch.weights.items():
        np.testing.assert_array_equal(again.weights[name], array)


@pytest.mark.parametrize("every", [0, -1, True, 1.0, "1"])
def test_a_checkpoint_counts_epochs(every: Any, tmp_path: Path) -> None:
    assert Checkpoint(tmp_path, 1).every == 1
    with pytest.raises(ValueError, match=re.escape(f"Checkpoint: every={every!r}; it counts epochs, at least 1.")):
        Checkpoint(tmp_path, every)
