"""The content of a saved state, the error if a part is missing, and which files belong to it."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Solver, nn, optim
from tinygrad_nn.optim import Optimizer
from tinygrad_nn.solver import EarlyStopping, History, checkpoint
from tinygrad_nn.solver.checkpoint import STATE, _tidy
from tinygrad_nn.solver.state import Progress, StateReader, _is_same_kind, split_state
from tinygrad_nn.solver.stopping import Watch
from tinygrad_nn.solver.tasks.module import ModuleTask

X, Y = np.arange(6.0).reshape(2, 3) / 6, np.array([[0.5, -1.0], [2.0, 0.25]])
LEAVES = "holds no state that a training wrote: "


def task_of(optimizer: Any) -> ModuleTask:
    return ModuleTask("fit", nn.Linear(3, 2, rng=0), Solver("mse", optimizer, 0.5))


def searched(steps: int, **options: Any) -> ModuleTask:
    task = task_of(optim.lbfgs(max_iter=2, **options))
    for _ in range(steps):
        task.line_search(X, Y, float, lambda loss, found: (loss, found))
    return task


def reader(task: Any, history: History | None = None, **changed: Any) -> StateReader:
    history = History() if history is None else history
    text, arrays = split_state(task, {"schedule": "None"}, Progress(len(history)), [], history, None, {})
    return StateReader(Path("state"), json.loads(json.dumps({**text, **changed})), arrays)


def says(what: str) -> Any:
    return pytest.raises(ValueError, match=re.escape(LEAVES + what))


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_the_state_of_a_line_search_is_read_with_the_pairs_that_it_keeps(steps: int) -> None:
    """Into a task that has made no step, and into one that keeps other pairs."""
    task = searched(steps)
    (state,) = task.states()
    assert len(state) == 5 + 2 * max(0, steps - 1)
    for other in (searched(0), searched(2)):
        (found,) = reader(task).optimizer(other)
        assert len(found) == len(state)
        for a, b in zip(found, state, strict=True):
            np.testing.assert_array_equal(a, b)
    with says("optimizer of all is None"):
        reader(task, optimizer=[["all", None]]).optimizer(task)
    if steps > 1:
        layout = reader(task).text["optimizer"][0][1]
        for bad in (layout[:4], [*layout, layout[0]], layout[1:]):
            with says("optimizer of all is "):
                reader(task, optimizer=[["all", bad]]).optimizer(task)


def test_a_users_rule_may_have_a_growing_state() -> None:
    """Its state grows, so that `init` does not tell how it is later."""

    def grows(g: Any, state: Any, rate: float, w: Any) -> Any:
        return rate * g, (*state, g)

    rule = Optimizer("growing", (), lambda w: (0,), grows)
    task = task_of(rule)
    g = [np.ones_like(p.data) for p in task.parameters]
    for _ in range(2):
        task.updater(g, None, True)
    for state, found in zip(task.states(), reader(task).optimizer(task), strict=True):
        assert len(state) == len(found) == 3
        np.testing.assert_array_equal(found[2], state[2])


def test_a_part_of_a_history_that_is_too_short_is_named() -> None:
    history = History([0.5, 0.25, 0.125], [1.0, 2.0, 3.0], {"r2": [0.0, 0.5, 1.0]})
    assert reader(task_of("sgd"), history).history() == history
    short = reader(task_of("sgd"), history)
    short.arrays["history/val_loss"] = np.ones(2)
    with says("history of val_loss is 2."):
        short.history()


@pytest.mark.parametrize(
    "part",
    [{"array": []}, {"array": "no"}, {"kind": [], "number": "1"}, {"kind": "int", "number": 5}, {},
     {"kind": "int", "number": "x"}, {"kind": "complex", "number": "1"}, {"kind": "int", "number": "1" * 40}],
)  # fmt: skip
def test_a_part_of_a_state_that_is_no_number_and_no_array_is_named(part: Any) -> None:
    with says("optimizer of w is "):
        reader(task_of("sgd")).together("w", [part])


def test_numbers_of_a_state_come_back_as_they_were() -> None:
    texts = {"int": "1" * 39, "float": "-inf", "bool": "False", "NoneType": "None"}
    layout = [{"kind": kind, "number": number} for kind, number in texts.items()]
    found = reader(task_of("sgd")).together("w", [*layout, {"kind": "bool", "number": "True"}])
    assert found == (int("1" * 39), -math.inf, False, None, True)
    assert reader(task_of("sgd")).together("w", None) is None


LONG = 2**62


@pytest.mark.parametrize(
    ("wanted", "found", "alike"),
    [
        (np.ones(2), np.zeros(2), True), (np.ones(2), np.ones(3), False), (np.ones(2), 1.0, False),
        (1.0, np.ones(2), False), (np.ones(2), np.ones(2, np.float32), False), (None, None, True), (None, 1, False),
        (1, None, False), (1.0, -1.0, True), (1.0, math.nan, False), (1.0, math.inf, False), (1, 0, True),
        (1, -1, False), (1, LONG - 1, True), (1, LONG, False), (1.0, 1e300, True), (np.int64(3), -1, False),
    ],
)  # fmt: skip
def test_parts_of_states_that_are_equal(wanted: Any, found: Any, alike: bool) -> None:
    assert _is_same_kind(wanted, found) is alike


CHANGED: list[tuple[str, Any, str]] = [
    ("epoch", -1, "epoch is -1"), ("epoch", LONG, f"epoch is {LONG}"), ("epoch", True, "epoch is True"),
    ("updates", 1.0, "updates is 1.0"), ("ended", "soon", "ended is 'soon'"), ("run", "A" * 16, "run is 'AAAA"),
    ("run", "a" * 17, "run is 'aaaa"), ("schedule", [None, 0, 0, 0], "schedule is [None, 0, 0, 0]"),
    ("schedule", [0.5, 0, 0], "schedule is [0.5, 0, 0]"), ("schedule", [math.inf, 0, 0, 0], "schedule is [inf, 0, 0"),
    ("schedule", ["x", 0, 0, 0], "schedule is ['x', 0, 0, 0]"), ("schedule", [0.5, 0, 0, -1], "schedule is -1"),
    ("schedule", [0.5, -1, 0, 0], "schedule is -1"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "what"), CHANGED)
def test_how_far_a_training_came_is_read_with_distrust(name: str, value: Any, what: str) -> None:
    with says(what):
        reader(task_of("sgd"), **{name: value}).progress()


@pytest.mark.parametrize("best", [None, 0, -2.5])
def test_what_a_plateau_remembers_is_read(best: Any) -> None:
    given = {"schedule": [best, 1, 2, 3], "setup": {"schedule": "Plateau(factor=0.5)"}, "ended": "a callback"}
    found = reader(task_of("sgd"), **given).progress()
    assert (found.schedule, found.ended, found.epoch) == ([best, 1, 2, 3], "a callback", 0)
    with says("schedule is None"):
        reader(task_of("sgd"), setup={"schedule": "Plateau(factor=0.5)"}).progress()


@pytest.mark.parametrize(
    ("stopping", "right"),
    [([None, 0, 0], True), ([None, 0, 2], True), (["0.5", 2, 0], True), (["0.5", 1, 2], True), (["inf", 1, 1], True),
     ([None, 1, 0], False), (["0.5", 0, 0], False), (["nan", 1, 0], False), (["x", 1, 0], False), ([0.5, 1, 0], False),
     (["0.5", 3, 0], False), (["0.5", 1, 3], False), (["0.5", -1, 0], False), (["0.5", 1], False), (None, False)],
)  # fmt: skip
def test_what_early_stopping_saw_is_read_with_distrust(stopping: Any, right: bool) -> None:
    one = reader(task_of("sgd"), stopping=stopping)
    if right:
        assert one.stopping(2) == (None if stopping[0] is None else float(stopping[0]), *stopping[1:])
    else:
        with says("stopping is "):
            one.stopping(2)


def test_files_of_a_training_that_are_not_named_are_deleted_and_no_others(tmp_path: Path) -> None:
    ours = ["weights-1.safetensors", "best-12.safetensors", ".weights-3.safetensors.0a1b.part",
            ".state.safetensors.ff.part", ".best-1.safetensors.0.part"]  # fmt: skip
    others = [STATE, "weights-x.safetensors", "weights-1.safetensors.bak", "notes.txt", "state.safetensors.ff.part",
              "my-weights-1.safetensors", ".other.0.part"]  # fmt: skip
    for name in [*ours, *others, "weights-2.safetensors"]:
        (tmp_path / name).touch()
    _tidy(tmp_path, ["weights-2.safetensors"])
    assert {path.name for path in tmp_path.iterdir()} == {*others, "weights-2.safetensors"}


def written(folder: Path, watch: Watch, done: Progress) -> None:
    task = ModuleTask("fit", nn.Linear(2, 1, rng=0), Solver("mse"))
    checkpoint.save_checkpoint(folder, task, {"schedule": "None"}, done, [], History([0.5] * done.epoch), watch)


def test_early_stopping_resumes_with_the_best_weights(tmp_path: Path) -> None:
    watch, done = Watch(EarlyStopping(3)), Progress(2)
    watch.weights, watch.epoch, watch.best, watch.since = {"weight": np.ones((1, 2)), "bias": np.ones(1)}, 1, 0.5, 1
    written(tmp_path, watch, done)
    task, again = ModuleTask("fit", nn.Linear(2, 1, rng=1), Solver("mse")), Watch(EarlyStopping(3))
    progress, history = checkpoint.load_checkpoint(tmp_path, task, {"schedule": "None"}, [], again)
    assert (progress, history) == (done, History([0.5, 0.5]))
    assert (again.best, again.epoch, again.since, again.written, again.sha256) == (0.5, 1, 1, 1, watch.sha256)
    assert again.weights is not None
    for name, array in watch.weights.items():
        np.testing.assert_array_equal(again.weights[name], array)
