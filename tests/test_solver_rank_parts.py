"""Parts of a training on ranks: what each rank sends to rank 0, what all share at the start, what is probed."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.test_shared_steps import Gives, fits, shared, threads_are_ranks  # noqa: F401 - a fixture of each test
from tests.thread_ranks import ThreadRanks, on_ranks
from tinygrad_nn import Layer, Settings, Solver, fit, nn
from tinygrad_nn.solver import EarlyStopping, History
from tinygrad_nn.solver.batches import Batches, Rows
from tinygrad_nn.solver.ranks import SharedTraining, _equal
from tinygrad_nn.solver.state import Progress
from tinygrad_nn.solver.stopping import Watch
from tinygrad_nn.solver.tasks.layers import LayerLoss, LayerTask
from tinygrad_nn.solver.tasks.module import ModuleTask


def of_module(comm: Any, model: Any, loss: Any = "mse") -> SharedTraining:
    task = ModuleTask("fit", model, Solver(loss, "adam"))
    return SharedTraining(comm, task, {}, np.random.default_rng(0), [])


def test_a_large_loss_at_the_start_is_known_to_all_ranks() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 5)), rng.normal(size=(12, 1)) * 1e5

    def work(comm: Any) -> Any:
        model, solver = nn.Linear(5, 1, rng=0), Solver("mse", "sgd", 0.001)
        return fit(model, x, y, solver=solver, settings=Settings(2, 4), rng=0, comm=comm).loss

    alone = work(None)
    assert alone[0] > 1e9
    for loss in on_ranks(2, work):
        assert loss == pytest.approx(alone, rel=1e-12)


def test_equal_outputs_may_contain_nan() -> None:
    nan = np.array([1.0, np.nan])
    assert _equal(nan, nan.copy())
    assert _equal(nan + 1j, nan + 1j)
    assert _equal(np.array(["a"], object), np.array(["a"], object))
    assert not _equal(nan, np.array([np.nan, 1.0]))


@pytest.mark.parametrize(("rows", "file"), [(1, False), (1, True), (257, True)])
def test_no_row_of_still_data_is_left_out(rows: int, file: bool, tmp_path: Path) -> None:
    x: Any = np.arange(float(rows))[:, None]
    if file:
        mapped = np.memmap(tmp_path / "x", float, "w+", shape=x.shape)
        mapped[:] = x
        x = mapped
    data = Rows(x, np.arange(rows), 7)
    ((total, seen),) = on_ranks(1, lambda comm: [(
        sum(shard.total for shard, *_ in shared(comm).in_order(data)),
        np.concatenate([part for _, part, _ in shared(comm).in_order(data)])[:, 0].tolist(),
    )])[0]  # fmt: skip
    assert (total, seen) == (rows, list(range(rows)))


def test_two_ranks_agree_or_say_what_differs() -> None:
    on_ranks(1, lambda comm: shared(comm).agree({"epochs": str(comm.rank)}))
    on_ranks(2, lambda comm: shared(comm).agree({"epochs": "3"}))
    with pytest.raises(ValueError, match=r"epochs: rank 0 has 0, rank 1 has 1"):
        on_ranks(2, lambda comm: shared(comm).agree({"epochs": str(comm.rank)}))


@pytest.mark.parametrize("seen", [True, False])
def test_all_ranks_start_from_the_state_of_rank_0(seen: bool) -> None:
    """Weights, the state of the optimizer, what early stopping has seen, epochs and history."""

    def work(comm: ThreadRanks) -> Any:
        one = of_module(comm, nn.Linear(3, 2, rng=comm.rank))
        watch, done, history = Watch(EarlyStopping(3)), Progress(), History()
        if comm.rank == 0:
            one.task.updater([np.ones_like(p.data) for p in one.task.parameters], None, True)
            done, history = Progress(2, 5, None, "", "a" * 16), History([0.5, 0.25], [0.5, 0.75], {})
            if seen:
                watch.best, watch.epoch, watch.since = 0.5, 1, 1
                watch.weights = {name: array + 1 for name, array in one.task.arrays().items()}
        done, history = one.begin(done, history, watch)
        best = None if watch.weights is None else {name: w.tolist() for name, w in watch.weights.items()}
        told = watch.best, watch.epoch, watch.since, best
        states = [[np.asarray(part).tolist() for part in state] for state in one.task.states()]
        return done, history, told, {name: w.tolist() for name, w in one.task.arrays().items()}, states

    first, *others = on_ranks(3, work)
    done, _, (best, _, _, weights), *_ = first
    assert (done.epoch, done.updates, best, weights is not None) == (2, 5, 0.5 if seen else None, seen)
    assert others == [first] * 2


def test_losses_of_all_rows_are_those_of_one_rank() -> None:
    """Of a function, whose losses are weighed by rows, and of layers, whose output is not what they predict."""
    x, y = np.random.default_rng(0).normal(size=(5, 3)), np.eye(2)[[0, 1, 1, 0, 1]]
    data = Batches("fit", [(x[:3], y[:3]), (x[3:], y[3:])])

    def of_function(comm: ThreadRanks) -> Any:
        one = shared(comm, lambda x, y: ((x[:, :2] - y) ** 2).mean())
        return [(loss, rows) for loss, _, _, rows in one.evaluated(data, True)]

    ((a, m), (b, n)), *_ = on_ranks(2, of_function)
    assert (m, n) == (3, 2)
    assert [a, b] == pytest.approx([((x[s, :2] - y[s]) ** 2).mean() for s in (slice(3), slice(3, 5))], rel=1e-14)
    task = LayerTask(LayerLoss([Layer(3, 2, "softmax", rng=0)], Solver("crossentropy")), "graph")

    def of_layers(comm: ThreadRanks) -> Any:
        made = LayerTask(LayerLoss(task.layers, task.solver), "graph")
        return list(SharedTraining(comm, made, {}, np.random.default_rng(0), []).evaluated(data, True))

    for (loss, prediction, targets, rows), s in zip(on_ranks(2, of_layers)[0], (slice(3), slice(3, 5)), strict=True):
        right, predicted = task.evaluate(x[s], y[s])
        assert loss == pytest.approx(right, rel=1e-14)
        np.testing.assert_allclose(prediction, predicted, rtol=1e-14)
        np.testing.assert_array_equal(targets, y[s])
        assert rows == len(predicted)


@pytest.mark.parametrize(("rows", "mixes"), [(1, False), (2, True), (3, True), (8, True)])
def test_a_model_that_mixes_rows_is_found_on_two_rows(rows: int, mixes: bool) -> None:
    def mean(z: Any) -> Any:
        assert len(z)
        return z - z.mean(axis=0)

    x = np.random.default_rng(0).normal(size=(rows, 5))
    message = f"fit: the prediction of a row alone differs from that with the {rows - 1} rows after it, so the model"
    for make, found in ((mean, mixes), (np.tanh, False)):
        def check(comm: Any, make: Any = make) -> None:
            of_module(comm, Gives(make))._check_rows(x)

        if found:
            with pytest.raises(ValueError, match=f"^{re.escape(message)} mixes rows, as a mean over axis 0 does\\."):
                on_ranks(1, check)
        else:
            on_ranks(1, check)


@pytest.mark.parametrize(
    ("change", "mixes"),
    [
        (lambda z: z * 0, False),  # as of a last layer that begins with zeros
        (lambda z: z[:, :0], False),
        (lambda z: z * 1e10 + len(z), False),  # rounding is that of large numbers
        (lambda z: (z - z.mean(axis=0)) * 1e-10, True),  # and of small ones
        (lambda z: z + len(z) * 1e-6, True),
    ],
)
def test_rows_are_mixed_where_more_than_rounding_differs(change: Any, mixes: bool) -> None:
    x = np.random.default_rng(0).normal(size=(3, 5))
    model = Gives(change)
    model.layer = nn.Linear(5, 1, bias=False, rng=1)
    if mixes:
        with pytest.raises(ValueError, match="the model mixes rows"):
            on_ranks(1, lambda comm: of_module(comm, model)._check_rows(x))
    else:
        on_ranks(1, lambda comm: of_module(comm, model)._check_rows(x))


@pytest.mark.parametrize(("whole", "first", "rest", "additive"), [
    (1.0, 1.0, 1 + 6e-8, True),  # 4e-8 off where three times 1.5e-8 may be
    (-1.0, -1.0, -1 - 6e-8, True),
    (1.0, 1.0, 1 + 7.5e-8, False),
    (0.0, 0.0, 0.0, True),
    (1e-12, 1e-12, 2e-12, False),
])  # fmt: skip
def test_a_loss_is_a_mean_over_rows_to_half_the_digits(
    whole: float, first: float, rest: float, additive: bool
) -> None:
    losses = {3: whole, 1: first, 2: rest}

    def check(comm: Any) -> None:
        shared(comm, lambda x, y: losses[len(x)])._check_additive(np.ones(3), np.ones(3))

    if additive:
        on_ranks(1, check)
    else:
        with pytest.raises(ValueError, match="the loss is not a mean over rows"):
            on_ranks(1, check)


def test_where_a_rank_has_one_row_of_a_file_others_are_read_to_try_the_model(tmp_path: Path) -> None:
    x = np.memmap(tmp_path / "x", float, "w+", shape=(4, 5))
    x[:] = np.random.default_rng(0).normal(size=x.shape)

    def work(comm: Any) -> None:
        fit(Gives(lambda z: z - z.mean(axis=0)), x, np.zeros((4, 1)), solver=Solver("mse"), settings=Settings(1, 2),
            comm=comm)  # fmt: skip

    with pytest.raises(ValueError, match="so the model mixes rows"):
        on_ranks(2, work)


def test_an_output_of_another_shape_than_the_targets_is_said_as_on_one_rank() -> None:
    with pytest.raises(ValueError, match=r"^fit: mse compares a prediction of shape \(\) with targets of shape"):
        on_ranks(2, lambda comm: fits(comm, Gives(lambda z: z.mean()), 0, solver=Solver("mse")))
