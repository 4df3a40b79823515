"""Parts of a training step: what is compiled for ranks, what is kept for the next call, who is notified of a step."""

import re
from collections import OrderedDict
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.thread_ranks import ThreadRanks, on_ranks
from tinygrad_nn import Layer, Settings, Solver, fit, nn, optim
from tinygrad_nn.distributed import Shard, on_shard
from tinygrad_nn.optim.update import Memory
from tinygrad_nn.solver import training_step
from tinygrad_nn.solver.arguments import prepare_training, raise_no_equations
from tinygrad_nn.solver.callbacks import Listeners
from tinygrad_nn.solver.divergence import watch_growth
from tinygrad_nn.solver.tasks import layers
from tinygrad_nn.solver.tasks.module import ModuleTask
from tinygrad_nn.solver.training_step import CompiledGradients, CompiledStep, reused_step

MSE = Solver("mse", "sgd", 0.1)
X = np.arange(6.0).reshape(2, 3) / 6


def half_frozen(name: str) -> Layer:
    layer = Layer(3, 2)
    getattr(layer, name).node = None
    return layer


def normed() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4, rng=0), nn.BatchNorm(4), nn.Dropout(0.5), nn.Linear(4, 2, rng=1))


def numbers(rows: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(rows)
    return rng.normal(size=(rows, 3)), rng.normal(size=(rows, 2))


def test_compiled_gradients_are_those_of_the_graph_and_leave_the_same_behind() -> None:
    """Of batches of two lengths, buffers and random numbers included; each length is compiled once."""

    def work(comm: ThreadRanks) -> Any:
        models = normed(), normed()
        tasks = [ModuleTask("fit", model, MSE) for model in models]
        compiled, found = CompiledGradients(tasks[1], "numpy"), []
        rngs = [np.random.default_rng(3), np.random.default_rng(3)]
        with tasks[0].training(rngs[0]), tasks[1].training(rngs[1]):
            for rows in (6, 6, 5, 6):
                x, y = numbers(rows)
                with on_shard(comm.shard(rows)):
                    found.append((tasks[0].gradients(x, y, rngs[0]), compiled(x, y, rngs[1])))
        states = [model.state_dict() for model in models]
        return found, states, [rng.bit_generator.state for rng in rngs], sorted(compiled.compiled)

    ((found, states, rngs, lengths),) = on_ranks(1, work)
    for (loss, gradients), (other, others) in found:
        assert other == pytest.approx(loss, rel=1e-14)
        for g, h in zip(gradients, others, strict=True):
            np.testing.assert_allclose(h, g, rtol=1e-12, atol=1e-15)
    for name, value in states[0].items():
        np.testing.assert_allclose(states[1][name], value, rtol=1e-14)
    assert rngs[0] == rngs[1]
    assert lengths == [5, 6]


def test_only_callbacks_with_due_and_step_get_updates() -> None:
    step: Any = SimpleNamespace(updates=0)
    both = SimpleNamespace(due=abs, step=abs)
    others = [SimpleNamespace(due=abs), SimpleNamespace(step=abs), SimpleNamespace(due=1, step=abs),
              SimpleNamespace(due=abs, step=1)]  # fmt: skip
    assert Listeners([*others, both], step, None, None).all == [both]


def test_the_largest_loss_of_the_start_is_remembered_however_small() -> None:
    memory = Memory()
    for loss in (0.25, -0.5, 0.125):
        watch_growth(memory, loss, MSE)
    assert memory.start == ("mse", 3, 0.5)
    watch_growth(memory, 0.25, Solver("mae", "sgd", 0.1))
    assert memory.start == ("mae", 1, 0.25)


@pytest.mark.parametrize(("calls", "raises"), [(9, False), (10, True), (11, True)])
def test_ten_losses_are_the_start_and_no_more(calls: int, raises: bool) -> None:
    memory = Memory()
    memory.start = ("mse", calls, 1.0)
    if raises:
        with pytest.raises(FloatingPointError):
            watch_growth(memory, 1.001e6, MSE)
    else:
        watch_growth(memory, 1.001e6, MSE)
    assert memory.start == (None if raises else ("mse", 10, 1.001e6))


# -- What is kept between calls of TrainNN


def pair(last: str = "softmax") -> list[Layer]:
    return [Layer(3, 4, "tanh", rng=0), Layer(4, 2, last, rng=1)]


@pytest.mark.parametrize(
    ("loss", "last", "y", "sums"),
    [
        ("crossentropy", "softmax", np.eye(2), True),
        ("crossentropy", "softmax", np.array([[0.25, 0.75], [0.5, 0.25]]), False),
        ("crossentropy", "sigmoid", np.eye(2), False),
        ("mse", "softmax", np.eye(2), False),
    ],
)
def test_targets_that_sum_to_one_count_in_a_crossentropy_of_softmax_only(
    loss: str, last: str, y: Any, sums: bool
) -> None:
    assert layers.sums_to_one(pair(last), Solver(loss), y) is sums


def test_the_task_of_the_same_layers_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "_RECENT", OrderedDict())
    solver, y, model = Solver("crossentropy"), np.eye(2), pair()
    kept = layers.layer_task(model, solver, y, "graph")
    assert layers.layer_task(model, Solver("crossentropy"), y, "graph") is kept
    others = [layers.layer_task(*given) for given in (
        (model, solver, y / 2, "graph"), (model, solver, y, "manual"), (pair(), solver, y, "graph"),
    )]  # fmt: skip
    assert len({id(task) for task in (kept, *others)}) == 4
    assert (kept.net.meta, others[0].net.meta, others[1].road) == (layers.NORMALIZED, {}, layers.manual_step)
    assert layers.layer_task(model, solver, y, "graph") is kept
    newer = layers.layer_task(model, Solver("crossentropy", "sgd", 0.5), y, "graph")
    assert newer is not kept
    assert newer.solver.learning_rate == 0.5
    models = [pair() for _ in range(layers._MOST)]
    tasks = [layers.layer_task(one, solver, y, "graph") for one in models]
    assert list(layers._RECENT.values()) == tasks  # the oldest are forgotten
    model = pair()
    before = layers.layer_task(model, solver, y, "graph")
    model[0].act = model[1].act
    assert layers.layer_task(model, solver, y, "graph") is not before


def test_the_compiled_step_of_the_same_layers_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_step, "_RECENT", OrderedDict())
    monkeypatch.setattr(training_step, "_MOST", 3)
    solver, y, model = Solver("crossentropy"), np.eye(2), pair()

    def step(model: Any, solver: Solver = solver, y: Any = y, backend: str = "numpy") -> CompiledStep:
        return reused_step(layers.LayerTask(layers.LayerLoss(model, solver, y), "graph"), solver, backend)

    kept = step(model)
    assert kept.tell
    assert step(model, Solver("crossentropy")) is kept
    others = [step(model, y=y / 2), step(model, backend="auto"), step(pair())]
    assert len({id(one) for one in (kept, *others)}) == 4
    assert step(model, Solver("crossentropy", "sgd", 0.5)).solver.learning_rate == 0.5
    models = [pair() for _ in range(training_step._MOST)]
    steps = [step(one) for one in models]
    assert step(models[0]) is steps[0]  # which is now the newest
    assert list(training_step._RECENT.values()) == [*steps[1:], steps[0]]
    newest = step(pair())
    assert list(training_step._RECENT.values()) == [*steps[2:], steps[0], newest]
    model[0].act = model[1].act
    assert step(model) is not kept
    module = ModuleTask("TrainNN", nn.Sequential(nn.Linear(3, 2, rng=0)), MSE)
    assert reused_step(module, MSE, "numpy") is reused_step(module, MSE, "numpy")


# -- Arguments


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: prepare_training("TrainNN", nn.Linear(3, 2), None, X, None, None, MSE, 1, single=True),
         "TrainNN: data_in is missing; pass arrays x and y, or an iterable of batches (x, y)."),
        (lambda: prepare_training("TrainNN", nn.Linear(3, 2), X, None, None, None, MSE, 1, single=True),
         "TrainNN: data_out is missing; pass arrays x and y, or an iterable of batches (x, y)."),
        (lambda: prepare_training("fit", nn.Linear(3, 2), X, np.arange(2), None, None, MSE, 1, class_weight="balanced"),
         ("fit: class_weight works with the loss 'crossentropy', and with losses of labels that take weight=; the "
         "solver has 'mse'. Weight the classes inside the loss.")),
        *[(lambda name=name: raise_no_equations("fit", [Layer(3, 2), half_frozen(name)]),
           f"fit: part 2 of 2, {half_frozen(name)!r}, is frozen; use gradients='graph'.") for name in "Wb"],
    ],
)  # fmt: skip
def test_what_arguments_of_a_training_say(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()


# -- Tasks


def test_a_loss_that_is_a_mean_over_rows_asks_no_other_rank() -> None:
    """The ranks here can do nothing, so that whoever asks them fails."""
    ranks: Any = SimpleNamespace()
    y = np.eye(2)
    by_layer = layers.LayerTask(layers.LayerLoss(pair(), Solver("mse"), y), "graph")
    tasks = by_layer, ModuleTask("fit", nn.Sequential(*pair()), MSE)
    for task in tasks:
        alone = float(task.recorded(X, y).data)
        with on_shard(Shard(ranks, 4, 0, 2)):
            assert float(task.recorded(X, y).data) == alone
            task.shares(True)
            with pytest.raises(AttributeError):
                task.recorded(X, y)


def test_lbfgs_tells_the_gradients_where_its_search_begins() -> None:
    heard = []

    class Hears:
        due = staticmethod(lambda number: True)

        def step(self, step: Any) -> None:
            heard.append((step.weights, step.gradients))

        def __call__(self, epoch: Any) -> None:
            pass

    x, y = numbers(7)
    how = {"solver": Solver("mse", optim.lbfgs(max_iter=6), 0.5), "settings": Settings(3, 7), "rng": 0}
    fit(nn.Linear(3, 2, rng=0), x, y, **how, callbacks=[Hears()])
    for (before, _), (after, told) in pairwise(heard):
        other = nn.Linear(3, 2)
        other.load_state_dict(before)
        (((other(x) - y) ** 2).sum() / 7).backward()
        for name, p in other.named_parameters():
            np.testing.assert_allclose(told[name], p.grad, rtol=1e-9, atol=1e-12)
            assert not np.array_equal(after[name], before[name])


@pytest.mark.parametrize("optimizer", ["sgd", "lbfgs"])
def test_a_function_has_its_trained_arrays_after_each_step(optimizer: str) -> None:
    seen = []

    class Looks:
        due = staticmethod(lambda number: True)

        def step(self, step: Any) -> None:
            seen.append((params["W"].copy(), step.weights["W"]))

        def __call__(self, epoch: Any) -> None:
            pass

    params, (x, y) = {"W": np.zeros((3, 2))}, numbers(6)
    fit(lambda p, x, y: ((x @ p["W"] - y) ** 2).mean(), x, y, params=params, solver=Solver(None, optimizer, 0.1),
        settings=Settings(2, 3), rng=0, callbacks=[Looks()])  # fmt: skip
    assert len(seen) == 5  # the first is reported before any step
    for own, reported in seen:
        np.testing.assert_array_equal(own, reported)
    assert all(not np.array_equal(a, b) for (a, _), (b, _) in pairwise(seen))


def test_a_line_search_leaves_no_gradients_and_goes_on_where_it_was() -> None:
    def search() -> ModuleTask:
        return ModuleTask("fit", nn.Linear(3, 2, rng=0), Solver("mse", "lbfgs", 0.5))

    def same(loss: float, found: Any) -> Any:
        return loss, found

    task, y = search(), np.eye(2)
    for _ in range(2):
        task.line_search(X, y, float, same)
        assert [p.grad for p in task.parameters] == [None, None]
    other = search()
    other.restore(task.arrays())
    other.resume(task.states())
    assert other.line_search(X, y, float, same) == task.line_search(X, y, float, same)
    for p, q in zip(task.parameters, other.parameters, strict=True):
        np.testing.assert_array_equal(p.data, q.data)
