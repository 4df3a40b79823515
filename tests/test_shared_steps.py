"""Steps of several ranks, run as threads instead of processes, equal the steps of one rank."""

import re
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.failing_ranks import AT_ONCE, FAULTS
from tests.own_loop import LOOPS, dropout_and_clipping, run, without_a_function
from tests.ranks import NETWORKS, arrays_of
from tests.thread_ranks import ThreadRanks, on_ranks
from tinygrad_nn import Settings, Solver, Tensor, fit, nn, optim
from tinygrad_nn.distributed import Ranks
from tinygrad_nn.optim.averaged import MEANS
from tinygrad_nn.solver.batches import Batches, Rows
from tinygrad_nn.solver.ranks import SharedTraining
from tinygrad_nn.solver.tasks.function import FunctionTask
from tinygrad_nn.solver.tasks.layers import LayerTask
from tinygrad_nn.solver.tasks.module import ModuleTask

STEPS = 1e-10  # few steps: rounding of 53 bits, with six digits for what steps make of it


@pytest.fixture(autouse=True)
def threads_are_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    def of(cls: Any, call: str, comm: Any, private: bool = False) -> Any:
        comm.asked.append(("of", call, private))
        return comm

    monkeypatch.setattr(Ranks, "of", classmethod(of))


# -- A training loop written by the user


class Plain:
    """Stands in for what `averaged` returns for a minimizer, for one process that has all rows."""

    def __init__(self, minimizer: Any) -> None:
        self.minimizer = minimizer

    def rows(self, total: int) -> slice:
        return slice(0, total)

    def step(self, loss: Any, rows: Any) -> float:
        if isinstance(self.minimizer, optim.Minimizer):
            return self.minimizer.step(loss)  # type: ignore[return-value]
        self.minimizer.zero_grad()
        found = loss()
        found.backward()
        self.minimizer.step()
        return float(found.data)


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value encountered")  # of ranks without rows
@pytest.mark.parametrize("name", LOOPS)
def test_the_steps_of_a_loop_are_those_of_one_who_has_all_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 2 if name == "lbfgs" else 8
    found = {size: on_ranks(size, lambda comm: run(LOOPS[name], comm, steps)) for size in (1, 3)}
    monkeypatch.setattr(optim, "averaged", lambda minimizer, comm: Plain(minimizer))
    (alone,) = on_ranks(1, lambda comm: run(LOOPS[name], comm, steps))
    for losses in [*found[1], *found[3]]:
        assert losses == pytest.approx(alone, rel=STEPS)
    assert found[3][0] == found[3][1] == found[3][2]


def test_the_masks_of_a_loop_are_those_of_the_whole_batch() -> None:
    (alone,) = on_ranks(1, dropout_and_clipping)
    for losses in on_ranks(3, dropout_and_clipping):
        assert losses == pytest.approx(alone, rel=STEPS)


def test_a_loop_that_walks_back_itself() -> None:
    """By hand: rows (1, 2) and (1/2, 1) from (3, -2), velocity 0.9 v + g, on the mean of two squares."""
    x, w, v = np.array([[1.0, 2.0], [0.5, 1.0]]), np.array([3.0, -2.0]), np.zeros(2)
    for _ in range(5):
        v = 0.9 * v + x.T @ (x @ w)
        w = w - 0.1 * v
    for size in (1, 2, 3):
        for found in on_ranks(size, without_a_function):
            assert found == pytest.approx(w.tolist(), rel=STEPS)


@pytest.mark.parametrize("kind", [0, 1])
def test_gradients_may_be_given_or_left_out_and_a_function_may_walk_back_itself(kind: int) -> None:
    def work(comm: ThreadRanks) -> Any:
        w, unused = Tensor(np.array([1.0, 2.0])), Tensor(np.zeros(2))
        made = [optim.Minimizer([w, unused], "sgd", 0.5), optim.SGD([w, unused], lr=0.5)][kind]
        minimizer = optim.averaged(made, comm)
        assert [t is u for t, u in zip(minimizer.tensors, (w, unused), strict=True)] == [True, True]
        assert minimizer.minimizer is made
        assert minimizer.ranks is comm
        x = np.array([1.0, 4.0, 7.0])[minimizer.rows(3)]  # rank 0 has one row, rank 1 two

        def loss() -> Any:
            found = (x[:, None] * w).sum(axis=1).mean()
            found.backward()
            return found

        said = [minimizer.step(loss, rows=len(x))]
        said.append(minimizer.step(lambda: float(loss().data), rows=len(x)))
        after = w.data.copy()
        said.append(minimizer.step([np.full(2, x.mean()), None], rows=len(x)))
        return said, after, w.data, unused.data

    for said, after, w, unused in on_ranks(2, work):  # the gradient is the mean of x, 4; the loss 4 (w_1 + w_2)
        assert said == [12.0, -4.0, None]
        np.testing.assert_allclose(after, [1 - 4, 2 - 4], rtol=STEPS)
        np.testing.assert_allclose(w, [1 - 6, 2 - 6], rtol=STEPS)
        assert (unused == 0).all()


def test_a_gradient_that_a_rank_lacks_counts_as_zero() -> None:
    def work(comm: ThreadRanks) -> Any:
        w = Tensor(np.ones(2))
        optim.averaged(optim.Minimizer([w], "sgd", 1.0), comm).step([None if comm.rank else np.ones(2)], rows=2)
        return w.data

    for w in on_ranks(2, work):
        np.testing.assert_array_equal(w, [0.5, 0.5])


def test_all_begin_with_the_parameters_of_rank_0_in_older_graphs_too() -> None:
    def work(comm: ThreadRanks) -> Any:
        w, b = Tensor(np.arange(3.0) + 10 * comm.rank), Tensor(np.array(5.0 - comm.rank))
        minimizer = optim.averaged(optim.Minimizer([w, b], "adam"), comm)
        assert minimizer.learning_rates == [0.001]
        assert w.node is not None
        return w.data.tolist(), w.node.out.tolist(), b.data.shape, float(b.data)

    assert on_ranks(3, work) == [([0.0, 1.0, 2.0], [0.0, 1.0, 2.0], (), 5.0)] * 3


def test_one_rank_alone_need_not_count_rows_and_is_not_compared() -> None:
    def work(comm: ThreadRanks) -> Any:
        w = Tensor(np.array([3.0]))
        minimizer = optim.averaged(optim.Minimizer([w], "sgd", 0.25), comm)
        return [minimizer.step(lambda: (w * w).sum()) for _ in range(3)], w.data.tolist()

    assert on_ranks(1, work) == [([9.0, 2.25, 0.5625], [0.375])]  # w halves each time


ALIKE = "step: ranks 0 and 1 of 3 both have the very same gradients, so a shard is used twice. Give each rank its own "
ROW = "step: ranks 0 and 2 of 3 both have row 3, so a shard is used twice. Give each rank its own rows of a batch: "


def test_gradients_that_are_equal_once_are_no_mistake_and_twice_they_are() -> None:
    def taken(equal: Any, raises: bool) -> int:
        """Take steps with equal gradients on ranks 0 and 1 in some of them; return how many were taken."""
        done = []

        def work(comm: ThreadRanks) -> None:
            w = Tensor(np.ones(1))
            minimizer = optim.averaged(optim.Minimizer([w], "sgd", 0.01), comm)
            for k in range(203):
                g = 1.0 if k in equal and comm.rank < 2 else 2.0 + comm.rank
                minimizer.step([np.array([g])], rows=1)
                if comm.rank == 2:
                    done.append(k)

        with nullcontext() if not raises else pytest.raises(ValueError, match=re.escape(ALIKE)):
            on_ranks(3, work)
        return len(done)

    assert taken({0, 1}, True) == 1
    assert taken({0}, False) == 203
    assert taken(set(range(2, 100)), False) == 203  # steps that are not compared
    assert taken({100, 101}, True) == 101
    assert taken({0, 100, 200}, False) == 203


def test_zeros_and_ranks_without_rows_are_not_equal_by_mistake() -> None:
    def work(comm: ThreadRanks) -> Any:
        w = Tensor(np.ones(1))
        minimizer = optim.averaged(optim.Minimizer([w], "sgd", 0.5), comm)
        other = optim.averaged(optim.Minimizer([w], "sgd", 0.5), comm)
        for _ in range(3):
            minimizer.step([np.zeros(1)], rows=1)
            other.step([np.ones(1)], rows=int(comm.rank == 1))
        optim.averaged(optim.Minimizer([w], "sgd", 0.5), comm).step([None], rows=1)
        return float(w.data[0])

    assert on_ranks(3, work) == [1 - 3 * 0.5] * 3


def test_a_loss_of_zero_is_returned() -> None:
    def work(comm: ThreadRanks) -> Any:
        w = Tensor(np.zeros(2))
        minimizer = optim.averaged(optim.Minimizer([w], "sgd", 0.5), comm)
        return minimizer.step(lambda: (w * w).sum(), rows=1)

    assert on_ranks(2, work) == [0.0, 0.0]


def test_a_communicator_of_its_own_is_opened_and_closed_with_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Any] = []
    monkeypatch.setattr("atexit.register", closed.append)

    def work(comm: ThreadRanks) -> Any:
        optim.averaged(optim.Minimizer([Tensor(np.ones(1))]), comm)
        return comm.asked, comm.close

    ((asked, close),) = on_ranks(1, work)
    assert asked == [("of", "averaged", True), ("open", "averaged")]
    assert closed == [close]


def test_numbers_of_rows_may_be_compared_instead() -> None:
    def work(comm: ThreadRanks, numbers: Any) -> None:
        minimizer = optim.averaged(optim.Minimizer([Tensor(np.ones(1))], "sgd", 0.5), comm)
        minimizer.step([np.ones(1)], rows=numbers[comm.rank])

    on_ranks(3, lambda comm: work(comm, np.array([[0, 3], [4, 5], [2, 9]])))
    on_ranks(3, lambda comm: work(comm, [[0, 3], [], [2]]))
    with pytest.raises(ValueError, match=re.escape(ROW + "those of minimizer.rows(len(batch)).")):
        on_ranks(3, lambda comm: work(comm, np.array([[0, 3], [4, 5], [3, 9]])))
    with pytest.raises(ValueError, match=re.escape("step: ranks 1 and 2 of 3 both have row 0,")):
        on_ranks(3, lambda comm: work(comm, [[], [0], [0]]))


def test_a_step_needs_rows() -> None:
    def work(comm: ThreadRanks, rows: Any) -> None:
        optim.averaged(optim.Minimizer([Tensor(np.ones(1))], "sgd", 0.5), comm).step([np.ones(1)], rows=rows)

    with pytest.raises(ValueError, match="step: no rank has rows; a step needs at least one row on one of them"):
        on_ranks(2, lambda comm: work(comm, 0))
    with pytest.raises(ValueError, match=re.escape(MEANS)):
        on_ranks(2, lambda comm: work(comm, None))
    with pytest.raises(ValueError, match="step: no rank has rows"):
        on_ranks(1, lambda comm: work(comm, 0))
    on_ranks(2, lambda comm: work(comm, comm.rank))


def test_of_two_ranks_too_the_same_gradients_are_named() -> None:
    def work(comm: ThreadRanks) -> None:
        minimizer = optim.averaged(optim.Minimizer([Tensor(np.ones(1))], "sgd", 0.5), comm)
        for _ in range(2):
            minimizer.step([np.ones(1)], rows=1)

    with pytest.raises(ValueError, match=ALIKE.replace("of 3", "of 2")):
        on_ranks(2, work)


def test_ranks_that_drift_apart_are_named() -> None:
    def work(comm: ThreadRanks, name: str | None, at: int, extra: int = 0) -> None:
        w = Tensor(np.ones(2), name=name)
        minimizer = optim.averaged(optim.Minimizer([w, Tensor(np.ones(2))], "sgd", 0.1), comm)
        for k in range(3):
            if comm.rank == 1 and k == at:
                w.data = w.data + 1e-9
                minimizer._taken += extra
            minimizer.step([np.ones(2) * (1 + comm.rank), None], rows=1)

    with pytest.raises(ValueError, match=r"^step: before step 1 parameter 0 .*rank 0 has \w{12}, rank 1 has \w{12}\)"):
        on_ranks(2, lambda comm: work(comm, None, 0))
    with pytest.raises(ValueError, match=r"^step: before step 2 kernel differs between the ranks"):
        on_ranks(2, lambda comm: work(comm, "kernel", 1))
    with pytest.raises(ValueError, match="the number of steps: rank 0 has 3, rank 1 has 5"):
        on_ranks(2, lambda comm: work(comm, None, 2, 2))


MADE: dict[str, tuple[Any, Any]] = {
    "rate": (lambda w: optim.Minimizer([w], "sgd", 0.1), lambda w: optim.Minimizer([w], "sgd", 0.2)),
    "rule": (lambda w: optim.Minimizer([w], "sgd", 0.1), lambda w: optim.Minimizer([w], "adam", 0.1)),
    "shape": (lambda w: optim.Minimizer([w], "sgd"), lambda w: optim.Minimizer([Tensor(np.ones((2, 1)))], "sgd")),
    "dtype": (
        lambda w: optim.Minimizer([w], "sgd"),
        lambda w: optim.Minimizer([Tensor(np.ones(2, np.float32))], "sgd"),
    ),
    "schedule": (
        lambda w: optim.Minimizer([w], schedule=optim.Cosine(10)),
        lambda w: optim.Minimizer([w], schedule=optim.Cosine(11)),
    ),
    "as in PyTorch": (lambda w: optim.SGD([w], lr=0.1), lambda w: optim.SGD([w], lr=0.2)),
    "shape as in PyTorch": (lambda w: optim.SGD([w]), lambda w: optim.SGD([Tensor(np.ones(3))])),
}


@pytest.mark.parametrize("what", MADE)
def test_a_minimizer_that_is_made_otherwise_is_named(what: str) -> None:
    def work(comm: ThreadRanks, *made: Any) -> None:
        optim.averaged(made[comm.rank](Tensor(np.ones(2))), comm)

    first, other = MADE[what]
    on_ranks(2, lambda comm: work(comm, first, first))
    on_ranks(2, lambda comm: work(comm, other, other))
    with pytest.raises(ValueError, match=r"^averaged: the ranks do not run the same training. the parameters: rank 0"):
        on_ranks(2, lambda comm: work(comm, first, other))


def test_a_schedule_that_is_a_function_is_compared_by_name() -> None:
    """Where it lies in memory is another place on each rank."""

    def work(comm: ThreadRanks) -> None:
        optim.averaged(optim.Minimizer([Tensor(np.ones(2))], "sgd", 0.1, lambda t, eta: eta), comm)

    on_ranks(2, work)


def test_an_invalid_minimizer_raises() -> None:
    message = (r"averaged: 'adam' is not a minimizer; write averaged\("
               r"optim.Minimizer\(parameters, 'adam', 0.01\), comm\)")  # fmt: skip
    with pytest.raises(TypeError, match=message):
        optim.averaged("adam", object())


# -- What a training on ranks is made of


def shared(comm: ThreadRanks, loss: Any = None, total: int = 4, arrays: Any = None) -> SharedTraining:
    """A SharedTraining of a function of one parameter, in the middle of a batch."""
    w = SimpleNamespace(data=np.ones(2), dtype=np.dtype(float))
    task: Any = object.__new__(FunctionTask)
    vars(task).update(solver=SimpleNamespace(loss=None), parameters=[w])
    task.shares = lambda outputs: None
    task.evaluate = lambda x, y: (float(loss(x, y)), None)
    task.arrays = lambda: arrays
    made = SharedTraining(comm, task, {}, np.random.default_rng(0), [])
    made._begin(comm.shard(total), 7)
    return made


def test_losses_and_gradients_are_those_of_all_rows() -> None:
    """Of 3 rows 5 ranks have 0, 1, 0, 1, 1, and what ranks without rows say does not count."""

    def work(comm: ThreadRanks) -> Any:
        one = shared(comm, total=3)
        loss = 6.0 if one.shard.weight else np.nan
        g = np.full(2, 3.0 * comm.rank)
        mean, gradients = one.mean([g], one.shard.weight, loss)
        search, (vector,) = one.mean_of_search(loss, [g])
        rows = one._first_has({"a": np.full((one.shard.length, 2), comm.rank)}, one.shard)["a"]
        return one.loss(loss), mean, gradients[0].tolist(), search, vector.tolist(), rows.tolist(), one.steps

    found = on_ranks(5, work)
    for rank, (loss, mean, gradient, search, vector, rows, steps) in enumerate(found):
        assert (loss, mean, search, steps) == (pytest.approx(6), pytest.approx(6), pytest.approx(6), 2)
        assert gradient == vector == pytest.approx([1 + 3 + 4] * 2)
        assert rows == ([[1, 1], [3, 3], [4, 4]] if rank == 0 else [])


def test_a_prediction_has_a_row_for_each_row() -> None:
    message = "fit: a prediction of 4 rows has shape (3, 2); with comm= it has a row for each row of x, along its"
    with pytest.raises(ValueError, match=f"^{re.escape(message)} first axis\\.$"):
        on_ranks(1, lambda comm: shared(comm)._first_has(np.zeros((3, 2)), comm.shard(4)))


def test_of_two_ranks_the_one_that_is_ahead_or_on_other_rows_is_seen() -> None:
    def work(comm: ThreadRanks, ahead: int, identity: int) -> None:
        one = shared(comm)
        one.steps += ahead * comm.rank
        one.identity += identity * comm.rank
        one.mean([np.ones(2)], 0.5)

    on_ranks(2, lambda comm: work(comm, 0, 0))
    with pytest.raises(ValueError, match=r"not run the same training\. the step: rank 0 has 1, rank 1 has 3"):
        on_ranks(2, lambda comm: work(comm, 2, 0))
    with pytest.raises(ValueError, match=r"the rows of the batch, by checksum: rank 0 has 0+7, rank 1 has 0+8"):
        on_ranks(2, lambda comm: work(comm, 0, 1))


def test_of_two_ranks_an_array_that_differs_is_named() -> None:
    def work(comm: ThreadRanks, differ: bool) -> None:
        w = np.ones(3)
        w[2] += 1e-9 * comm.rank * differ
        shared(comm, arrays={"b": np.zeros(2), "w": w}).compare_arrays("fit: now")

    on_ranks(2, lambda comm: work(comm, False))
    with pytest.raises(ValueError, match=r"^fit: now w differs between .* \(rank 0 has \w{12}, rank 1 has \w{12}\)"):
        on_ranks(2, lambda comm: work(comm, True))


def test_anywhere_is_true_if_one_rank_says_true() -> None:
    for true in (None, 0, 2):
        assert on_ranks(3, lambda comm, true=true: shared(comm).anywhere(comm.rank == true)) == [true is not None] * 3


def test_a_loss_that_is_no_mean_over_rows_raises() -> None:
    def check(loss: Any, x: Any) -> None:
        on_ranks(1, lambda comm: shared(comm, loss)._check_additive(x, np.zeros(len(x))))

    check(lambda x, y: (x**2).mean(), np.arange(5.0))
    check(lambda x, y: x.mean(), np.array([1e9, -1e9 + 0.1, 0.3, -0.4 / 3]))  # its rounding is that of large numbers
    check(lambda x, y: (x**2).mean() ** 0.5, np.arange(1.0))  # one row tells nothing
    message = (
        "the loss is not a mean over rows: for 2 rows it is 5, but the losses of the first and of the 1 others, "
        "weighted by rows, have the mean 4. With comm= each rank computes it for its own rows"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        check(lambda x, y: (x**2).mean() ** 0.5, np.array([1.0, 7.0]))
    message = r"for 3 rows it is 6, but .* of the 2 others, weighted by rows, have the mean 3.66667"
    with pytest.raises(ValueError, match=message):
        check(lambda x, y: x.sum(), np.array([1.0, 2.0, 3.0]))


@pytest.mark.parametrize(
    ("kind", "loss", "alike"),
    [(FunctionTask, None, True), (ModuleTask, "mse", True), (ModuleTask, "rmse", False), (ModuleTask, np.sum, False),
     (LayerTask, "crossentropy", True), (LayerTask, "rmse", False)],
)  # fmt: skip
def test_losses_that_are_means_over_rows_are_added_up_and_others_made_of_all_outputs(
    kind: Any, loss: Any, alike: bool
) -> None:
    shares: list[bool] = []
    task: Any = object.__new__(kind)
    vars(task).update(solver=SimpleNamespace(loss=loss))
    task.shares = shares.append
    ranks: Any = SimpleNamespace(rank=0, size=2)
    made = SharedTraining(ranks, task, {}, np.random.default_rng(0), [])
    assert (made.additive, shares, made.probed) == (alike, [not alike], kind is not ModuleTask)
    assert (made.steps, made.shard) == (0, None)


def test_data_that_is_still_is_parted_in_pieces_that_one_rank_predicts_too(tmp_path: Path) -> None:
    """Of 600 rows in memory 3 ranks have 256, 256 and 88; of those in files the third part of each 256 rows."""
    mapped = np.memmap(tmp_path / "x", float, "w+", shape=(600, 1))
    mapped[:, 0] = range(600)

    def found(x: Any) -> list[list[tuple[int, int, int, int]]]:
        def work(comm: ThreadRanks) -> Any:
            return [(shard.total, len(part), int(part[0, 0]), int(labels[-1]))
                    for shard, part, labels in shared(comm).in_order(Rows(x, np.arange(600), 7))]  # fmt: skip

        return on_ranks(3, work)

    assert found(np.array(mapped)) == [[(600, 256, 0, 255)], [(600, 256, 256, 511)], [(600, 88, 512, 599)]]
    assert found(mapped) == [
        [(256, 85, 0, 84), (256, 85, 256, 340), (88, 29, 512, 540)],
        [(256, 85, 85, 169), (256, 85, 341, 425), (88, 29, 541, 569)],
        [(256, 86, 170, 255), (256, 86, 426, 511), (88, 30, 570, 599)],
    ]
    batches = Batches("fit", [(np.arange(3), np.arange(3) + 5)])
    pairs = on_ranks(2, lambda comm: [(shard.total, x.tolist(), y.tolist()) for shard, x, y in
                                      shared(comm).in_order(batches)])  # fmt: skip
    assert pairs == [[(3, [0], [5])], [(3, [1, 2], [6, 7])]]


class Gives(nn.Module):
    """A linear layer, and what becomes of its output."""

    def __init__(self, change: Any) -> None:
        self.layer, self.change = nn.Linear(5, 1, rng=1), change

    def forward(self, x: Any) -> Any:
        return self.change(self.layer(x))


def fits(comm: Any, model: Any, size: int = 6, **more: Any) -> Any:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 5)), rng.normal(size=(12, 1))
    solver = Solver(lambda z, y: ((z - y) ** 2).mean(), "sgd", 0.01)
    given = {"solver": solver, "settings": Settings(1, size or 12), **more}
    data = ([(x, y)], None) if size == 0 else (x, y)
    return fit(model, *data, rng=0, comm=comm, metrics={}, **given).loss


def test_an_output_without_a_row_for_each_row_is_refused_by_its_shapes() -> None:
    for change, shapes in (
        (lambda z: z[:2] * 1.0, r"\(2, 1\) for 2 rows and \(2, 1\) for 3"),
        (lambda z: np.stack([z[0]] * 3), r"\(3, 1\) for 2 rows and \(3, 1\) for 3"),
        (lambda z: z.mean(), r"\(\) for 2 rows and \(\) for 3"),
    ):
        with pytest.raises(ValueError, match=rf"^fit: the model gives an output of shape {shapes}; with comm= "):
            on_ranks(2, lambda comm, change=change: fits(comm, Gives(change), 0))


def test_checks_on_ranks_accept_right_models() -> None:
    """A rank alone, batches of one row, and a batch norm that knows no other statistics than those of the batch."""

    def root(params: Any, x: Any, y: Any) -> Any:
        return ((x @ params["W"] - y) ** 2).mean() ** 0.5

    def alone(comm: Any) -> Any:
        return fits(comm, root, params={"W": np.ones((5, 1))}, solver=Solver(optimizer="sgd", learning_rate=0.01))

    assert on_ranks(1, alone)[0] == pytest.approx(alone(None))

    def normed() -> Any:
        return nn.Sequential(nn.Linear(5, 3, rng=1), nn.BatchNorm(3, track_running_stats=False), nn.Linear(3, 1, rng=2))

    for size, make in ((1, lambda: Gives(np.tanh)), (6, lambda: Gives(np.tanh)), (6, normed)):
        found = on_ranks(2, lambda comm, make=make, size=size: fits(comm, make(), size))
        assert found[0] == found[1] == pytest.approx(fits(None, make(), size), rel=STEPS)


# -- fit

QUICK: dict[str, tuple[int, int]] = {  # epochs and rows of a batch
    "mlp": (3, 8), "mlp_by_hand": (2, 5), "root_of_squares": (2, 7), "cnn": (2, 4), "lstm": (2, 4), "lbfgs": (2, 90),
    "function": (3, 6), "batches": (4, 0), "mapped": (1, 50), "compiled_mlp": (1, 9), "compiled_cnn": (1, 6),
}  # fmt: skip


@pytest.mark.parametrize("name", QUICK)
def test_a_training_is_that_of_one_rank(name: str, tmp_path: Path) -> None:
    epochs, rows = QUICK[name]
    settings = Settings(epochs, rows, accumulate=2 if name == "lstm" else 1) if rows else Settings(epochs)

    def work(comm: Any) -> Any:
        model, x, y, options = NETWORKS[name](tmp_path)
        history = fit(model, x, y, **{"rng": 3, **options, "settings": settings}, comm=comm)
        return arrays_of(model, options), history

    alone, expected = work(None)
    found = on_ranks(3, work)
    to = 2e-5 if name == "mapped" else STEPS  # float32: rounding of 24 bits
    for weights, history in found:
        for mine, other in zip(weights, alone, strict=True):
            np.testing.assert_allclose(mine, other, rtol=0, atol=10 * to * np.max(np.abs(other)))
        np.testing.assert_allclose(history.loss, expected.loss, rtol=to)
        np.testing.assert_allclose(history.val_loss, expected.val_loss, rtol=to)
        assert history.metrics.keys() == expected.metrics.keys()
        for key, values in expected.metrics.items():
            np.testing.assert_allclose(history.metrics[key], values, rtol=to)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_callbacks_get_the_gradients_of_the_whole_batch(optimizer: str) -> None:
    class Hears:
        due, heard = staticmethod(lambda number: True), ()

        def step(self, step: Any) -> None:
            self.heard = *self.heard, step.gradients

        def __call__(self, epoch: Any) -> None:
            pass

    def work(comm: Any) -> Any:
        hears = Hears()
        model = nn.Sequential(nn.Linear(5, 2, rng=1), nn.Tanh(), nn.Linear(2, 1, rng=2))
        fits(comm, model, solver=Solver("rmse", optimizer, 0.1), callbacks=[hears])
        return hears.heard

    alone, found = work(None), on_ranks(3, work)
    assert [len(gradients) for gradients in alone] == [0, 4, 4]  # before the first of two updates there are none
    for heard in found:
        for mine, other in zip(heard, alone, strict=True):
            assert mine.keys() == other.keys()
            for name, g in other.items():
                np.testing.assert_allclose(mine[name], g, rtol=1e-7, atol=1e-9)


OF_PROCESSES = "another_version", "another_file"  # they change what threads share
OF_LOOPS = "a_mean_of_means_in_a_loop", "a_shard_used_twice", "a_row_used_twice", "another_learning_rate"


@pytest.mark.parametrize("name", sorted({*AT_ONCE, *OF_LOOPS} - {*OF_PROCESSES}))
def test_a_fault_is_named(name: str, tmp_path: Path) -> None:
    run_it, message = FAULTS[name]
    with pytest.raises((TypeError, ValueError, RuntimeError)) as caught:
        on_ranks(3, lambda comm: run_it(comm, tmp_path))
    assert re.search(message, str(caught.value), re.DOTALL), str(caught.value)
