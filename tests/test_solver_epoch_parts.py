"""Updates and epochs part by part: what is gathered and kept, when a checkpoint is due, and what ends a training."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Layer, Settings, Solver, fit, nn, optim
from tinygrad_nn.solver import EarlyStopping, History
from tinygrad_nn.solver.epochs import Epoch, Training, _plateau, _rate_function
from tinygrad_nn.solver.state import Progress
from tinygrad_nn.solver.stopping import Watch
from tinygrad_nn.solver.tasks.module import ModuleTask
from tinygrad_nn.solver.tasks.task import clip_gradients
from tinygrad_nn.solver.training_step import TrainingStep

MSE = Solver("mse", "sgd", 0.1)
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 2))


def task_of(solver: Solver = MSE) -> ModuleTask:
    return ModuleTask("fit", nn.Linear(3, 2, rng=0), solver)


# -- Updates


def test_batches_are_gathered_and_count_by_their_rows() -> None:
    """Of batches of 3, 1 and 1 rows the first two make an update, and the last one at the end of the epoch."""
    task, other, rng = task_of(), task_of(), np.random.default_rng(0)
    step = TrainingStep(task, MSE, accumulate=2)
    step.finish()
    assert step.updates == 0
    a, b = other.gradients(X[:3], Y[:3], rng), other.gradients(X[3:4], Y[3:4], rng)
    before = [p.data.copy() for p in task.parameters]
    assert step(X[:3], Y[:3], rng, 3) == a[0]
    assert step.updates == 0
    assert step(X[3:4], Y[3:4], rng, 1) == b[0]
    assert step.updates == 1
    for p, w, g, h in zip(task.parameters, before, a[1], b[1], strict=True):
        np.testing.assert_allclose(p.data, w - 0.1 * (3 * g + h) / 4, rtol=1e-13)  # type: ignore[operator]
    after = [p.data.copy() for p in task.parameters]
    _, c = task.gradients(X[4:], Y[4:], rng)
    step(X[4:], Y[4:], rng, 1)
    step.finish()
    step.finish()
    assert step.updates == 2
    for p, w, g in zip(task.parameters, after, c, strict=True):
        np.testing.assert_allclose(p.data, w - 0.1 * g, rtol=1e-13)  # type: ignore[operator]


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("name", ["keeps", "tell"])
def test_gradients_that_are_kept_are_those_before_clipping(optimizer: str, name: str) -> None:
    solver, rng = Solver("mse", optimizer, 0.1, clip_norm=0.01), np.random.default_rng(0)
    task = task_of(solver)
    step = TrainingStep(task, solver)
    step(X, Y, rng)
    assert step.gradients == ()
    setattr(step, name, True)
    for _ in range(2):
        _, right = task.gradients(X, Y, rng)
        step(X, Y, rng)
        for g, h in zip(step.gradients, right, strict=True):
            np.testing.assert_array_equal(g, h)


@pytest.mark.parametrize("limit", [{"clip_norm": 0.5}, {"clip_value": 0.125}])
def test_either_limit_clips_an_update(limit: dict[str, float]) -> None:
    solver, rng = Solver("mse", "sgd", 0.1, **limit), np.random.default_rng(0)  # type: ignore[arg-type]
    task = task_of(solver)
    before, (_, plain) = [p.data.copy() for p in task.parameters], task.gradients(X, Y, rng)
    TrainingStep(task, solver)(X, Y, rng)
    right = clip_gradients(solver, plain)
    assert any((g != h).any() for g, h in zip(right, plain, strict=True))  # type: ignore[union-attr]
    for p, w, g in zip(task.parameters, before, right, strict=True):
        np.testing.assert_allclose(p.data, w - 0.1 * g, rtol=1e-13)  # type: ignore[operator]


def test_a_step_that_tells_watches_the_loss_of_its_first_parameter() -> None:
    task, rng = task_of(), np.random.default_rng(0)
    step = TrainingStep(task, MSE, tell=True)
    task.updater.entries[0][3].start = ("mse", 10, 1.0)
    with pytest.raises(FloatingPointError, match="the loss grew from 1 to"):
        step(X, Y * 1e5, rng)
    assert step.updates == 0
    step(X, Y, rng)
    assert [entry[3].start is not None for entry in task.updater.entries] == [True, False]


def test_ranks_compare_their_arrays_after_each_hundred_updates() -> None:
    said: list[str] = []
    task, shared = task_of(), SimpleNamespace(compare_arrays=said.append)
    step = TrainingStep(task, MSE, shared=shared)  # type: ignore[arg-type]
    g = [np.zeros_like(p.data) for p in task.parameters]
    for start in (0, 98, 998):
        step.updates = start
        for _ in range(3):
            step._update(g)
    assert said == ["fit: after 100 updates", "fit: after 1,000 updates"]


def test_the_rate_of_the_next_update() -> None:
    step = TrainingStep(task_of(), MSE)
    assert step.rate()(0.25) == 0.25
    step.schedule, step.updates = lambda updates: lambda base: base * updates, 3
    assert step.rate()(0.25) == 0.75


# -- Epochs


def test_a_folder_is_made_with_those_that_it_is_in(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    fit(nn.Linear(3, 2, rng=0), X, Y, solver=MSE, settings=Settings(1, 5), checkpoint=folder)
    assert (folder / "state.safetensors").exists()


@pytest.mark.parametrize(("by", "state"), [("epoch", 4), ("step", 17)])
def test_a_schedule_counts_epochs_or_updates(by: str, state: int) -> None:
    solver = Solver("mse", schedule=lambda t, base: t + base, schedule_by=by)
    rate = _rate_function(solver, Progress(epoch=4))
    assert rate is not None
    assert rate(17)(0.5) == state + 0.5
    assert _rate_function(MSE, Progress()) is None


def noted(solver: Solver, watch: Watch | None, *found: tuple[float, float | None]) -> Training:
    training = object.__new__(Training)
    training.solver, training.watch, training.task = solver, watch, task_of()
    training.done, training.history = Progress(schedule=_plateau(solver)), History()
    for number, (loss, val_loss) in enumerate(found, 1):
        training._note(Epoch(number, 9, loss, val_loss, {}, None))
    return training


def test_a_plateau_looks_at_the_validation_where_there_is_one() -> None:
    solver = Solver("mse", schedule=optim.Plateau(patience=1))
    assert _plateau(MSE) is None
    better, worse = (3.0, 1.0), (2.0, 2.0)
    assert noted(solver, None, better, worse).done.schedule[0] == 1.0
    assert noted(solver, None, (3.0, None), (2.0, None)).done.schedule[0] == 2.0
    assert noted(MSE, None, better, worse).done.schedule is None


def test_early_stopping_keeps_the_best_weights_and_says_that_it_ended() -> None:
    watch = Watch(EarlyStopping(2, monitor="loss"))
    found = noted(MSE, watch, (1.0, None), (2.0, None))
    assert (found.done.epoch, found.done.ended, found.history.loss) == (2, "", [1.0, 2.0])
    kept = watch.weights
    assert kept is not None
    found._note(Epoch(3, 9, 3.0, None, {}, None))
    assert (found.done.epoch, found.done.ended) == (3, "early stopping")
    assert watch.weights is kept


class Never:
    """A callback that wants to know of no update."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def due(self, number: int) -> bool:
        return False

    def step(self, step: Any) -> None:
        self.heard.append((step.number, step.epoch, step.loss is not None))

    def __call__(self, epoch: Epoch) -> None:
        pass


@pytest.mark.parametrize(("accumulate", "last"), [(1, 9), (2, 6), (3, 3)])
def test_the_last_update_of_all_is_foreseen(accumulate: int, last: int) -> None:
    """Of 5 rows in batches of 2 there are 3 in each of 3 epochs; the last update is told with its loss."""
    hears = Never()
    fit(nn.Linear(3, 2, rng=0), X, Y, solver=MSE, settings=Settings(3, 2, accumulate), callbacks=[hears])
    assert hears.heard == [(last, 3, True)]


@pytest.mark.parametrize(("word", "epochs"), [
    (True, 1), (np.True_, 1), (False, 3), (np.False_, 3), (None, 3), (1, 3), ("stop", 3),
])  # fmt: skip
def test_a_callback_ends_a_training_by_true_alone(word: Any, epochs: int) -> None:
    seen: list[int] = []
    callbacks = [lambda epoch: word, lambda epoch: seen.append(epoch.number)]
    history = fit([Layer(3, 2, rng=0)], X, Y, solver=MSE, settings=Settings(3, 5), callbacks=callbacks)
    assert len(history) == epochs
    assert seen == list(range(1, epochs + 1))  # all are asked, even where the first ends it


@pytest.mark.parametrize("restore", [True, False])
def test_the_best_weights_are_restored_on_request(restore: bool) -> None:
    weights = []
    layer = Layer(3, 2, rng=0)
    fit([layer], X, Y, solver=Solver("mse", "sgd", 0.01), settings=Settings(3, 5),
        early_stopping=EarlyStopping(9, min_delta=1e9, monitor="loss", restore=restore),
        callbacks=[lambda epoch: weights.append(layer.W.data.copy())])  # fmt: skip
    np.testing.assert_array_equal(layer.W.data, weights[0 if restore else -1])
    assert (weights[0] != weights[-1]).any()


def test_a_perfect_fit_has_a_loss_of_zero() -> None:
    layer = Layer(3, 2, rng=0)
    layer.W, layer.b = np.zeros((2, 3)), np.zeros(2)
    history = fit([layer], X, np.zeros((5, 2)), solver=MSE, settings=Settings(2, 5), x_val=X, y_val=np.zeros((5, 2)))
    assert (history.loss, history.val_loss) == ([0.0, 0.0], [0.0, 0.0])


def test_batches_of_ones_own_are_gone_through_twice_an_epoch_and_not_before() -> None:
    """Once for the updates, and once for the loss after them."""

    class Loader:
        times = 0

        def __iter__(self) -> Any:
            self.times += 1
            yield X, Y

    loader, seen = Loader(), []
    told = [lambda epoch: seen.append(loader.times)]
    fit(nn.Linear(3, 2, rng=0), loader, solver=MSE, settings=Settings(2), callbacks=told)
    assert seen == [2, 4]


def test_a_step_that_is_compiled_tells_the_gradients_that_one_without_tells() -> None:
    """Of a model with buffers and random numbers, where only some updates are told."""

    class Hears(Never):
        def due(self, number: int) -> bool:
            return number in (1, 3)

        def step(self, step: Any) -> None:
            self.heard.append((step.number, {name: g.copy() for name, g in step.gradients.items()}, step.weights))

    found = []
    for compiled in (False, "numpy"):
        model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.BatchNorm(4), nn.Dropout(0.5), nn.Linear(4, 2, rng=1))
        hears = Hears()
        fit(model, X, Y, solver=MSE, settings=Settings(4, 5), rng=0, compile=compiled, callbacks=[hears])
        found.append(hears.heard)
    plain, fast = found
    assert [number for number, *_ in plain] == [number for number, *_ in fast] == [1, 3, 4]
    for (_, gradients, weights), (_, others, after) in zip(plain, fast, strict=True):
        assert gradients.keys() == others.keys()
        for name, g in gradients.items():
            np.testing.assert_allclose(others[name], g, rtol=1e-12, atol=1e-15)
        for name, w in weights.items():
            np.testing.assert_allclose(after[name], w, rtol=1e-12, atol=1e-15)
