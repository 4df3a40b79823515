"""Trainings on several ranks of which one has a fault, such as other data or an exception.

``mpiexec -n 3 python -m tests.failing_ranks FOLDER FAULT...`` writes what each rank raised, and after how many seconds.
"""

import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_nn import Settings, Solver, Tensor, fit, nn, optim
from tinygrad_nn.distributed import communicator, heartbeat
from tinygrad_nn.solver import ranks as shared

FAULTS: dict[str, tuple[Callable[[Any, Path], Any], str]] = {}  # name -> what goes wrong, and what all say
AT_ONCE: list[str] = []  # those that all ranks find by themselves, after which a program can go on


def fault(message: str, at_once: bool = False) -> Callable[[Any], Any]:
    """Decorate a function that has a fault: add it to the table, with the pattern of the expected message."""

    def enter(run: Any) -> Any:
        FAULTS[run.__name__] = run, message
        AT_ONCE.extend([run.__name__] * at_once)
        return run

    return enter


def data() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(24, 5)), rng.normal(size=(24, 1))


def train(comm: Any, model: Any = None, x: Any = None, **options: Any) -> Any:
    model = model or nn.Sequential(nn.Linear(5, 4, rng=1), nn.BatchNorm(4), nn.Tanh(), nn.Linear(4, 1, rng=2))
    x_all, y = data()
    given = {"solver": Solver("mse", "sgd", 0.01), "settings": Settings(40, 6), "rng": 0, **options}
    x = x_all if x is None else x
    return fit(model, x, y if isinstance(x, np.ndarray) else None, **given, comm=comm)


@fault(r"seed: ranks 0, 1 have 0, rank 2 has 7", at_once=True)
def another_seed(comm: Any, _: Path) -> None:
    train(comm, rng=7 if comm.rank == 2 else 0)


@fault(r"random numbers: ranks 0, 1 have .*, rank 2 has", at_once=True)
def another_place_in_the_random_numbers(comm: Any, _: Path) -> None:
    rng = np.random.default_rng(0)
    rng.random(comm.rank // 2)
    train(comm, rng=rng)


@fault(r"data: ranks 0, 2 have .*, rank 1 has", at_once=True)
def other_data(comm: Any, _: Path) -> None:
    x, _y = data()
    x[3, 1] += comm.rank == 1
    train(comm, x=x)


@fault(r"loss: ranks 0, 1 have .*code .*, rank 2 has", at_once=True)
def other_code(comm: Any, _: Path) -> None:
    losses = (lambda z, y: ((z - y) ** 2).mean()), (lambda z, y: ((z - y) ** 2).mean() * 2)
    train(comm, solver=Solver(losses[comm.rank == 2], "sgd", 0.01))


class Calls(nn.Module):
    """A layer whose forward calls something."""

    def __init__(self, call: Any) -> None:
        self.layer = nn.Linear(5, 1, rng=1)
        self.call = call

    def forward(self, x: Any) -> Any:
        return self.inner(x)

    def inner(self, x: Any) -> Any:
        return self.layer(self.call(self, x))


@fault(r"architecture: ranks 0, 1 have .* \[code \w+.*, rank 2 has .*code of a function includes the", at_once=True)
def other_code_of_a_method(comm: Any, _: Path) -> None:
    class Other(Calls):
        inner = [lambda self, x: self.layer(x), lambda self, x: self.layer(x) + 1][comm.rank // 2]

    train(comm, Other(None))


@fault(r"the file of layers_of_mine: ranks 0, 2 have \w+, rank 1 has", at_once=True)
def another_file(comm: Any, folder: Path) -> None:
    place = folder / f"of-{comm.rank}"
    place.mkdir()
    (place / "layers_of_mine.py").write_text(f"def double(x):\n    return x * {3 - (comm.rank == 1)}\n")
    sys.path.insert(0, str(place))
    own = importlib.import_module("layers_of_mine")
    try:
        train(comm, Calls(lambda self, x: own.double(x)))
    finally:
        del sys.path[0], sys.modules["layers_of_mine"]


@fault(r"metrics: ranks 0, 1 have \(mae\), rank 2 has \(\)", at_once=True)
def other_metrics(comm: Any, _: Path) -> None:
    train(comm, metrics={"mae": lambda y, z: float(np.abs(y - z).mean())} if comm.rank < 2 else {})


@fault(r"fit: the prediction of a row alone differs from that with the 5 rows after it", at_once=True)
def a_model_that_mixes_rows(comm: Any, _: Path) -> None:
    train(comm, Calls(lambda self, x: x - x.mean(axis=0)))


@fault(r"fit: the output of the model changes when it is computed again: it draws random numbers", at_once=True)
def random_numbers_of_its_own(comm: Any, _: Path) -> None:
    rng = np.random.default_rng(0)
    train(comm, Calls(lambda self, x: x * (rng.random(x.shape) < 0.5)))


@fault(r"fit: the loss changes when it is computed again: it draws random numbers", at_once=True)
def a_function_with_random_numbers(comm: Any, _: Path) -> None:
    rng = np.random.default_rng(0)

    def loss(params: Any, x: Any, y: Any) -> Any:
        return ((x * (rng.random(x.shape) < 0.5) @ params["W"] - y) ** 2).mean()

    train(comm, loss, params={"W": np.ones((5, 1))}, solver=Solver(optimizer="sgd", learning_rate=0.01))


@fault(r"the loss is not a mean over rows: for 3 rows", at_once=True)
def a_mean_of_means_of_one_row_each(comm: Any, _: Path) -> None:
    def loss(params: Any, x: Any, y: Any) -> Any:
        return ((x @ params["W"] - y) ** 2).mean() ** 0.5

    more = {"params": {"W": np.zeros((5, 1))}, "settings": Settings(2, 3)}
    train(comm, loss, solver=Solver(optimizer="sgd", learning_rate=0.01), **more)


@fault(r"architecture: ranks 0, 1 have .*, rank 2 has", at_once=True)
def another_model(comm: Any, _: Path) -> None:
    train(comm, nn.Sequential(nn.Linear(5, 4), nn.Tanh() if comm.rank < 2 else nn.ReLU(), nn.Linear(4, 1)))


@fault(r"tinygrad_nn: ranks 0, 2 have .*, rank 1 has 0\.0\.1", at_once=True)
def another_version(comm: Any, _: Path) -> None:
    if comm.rank == 1:
        shared.rank_environment = lambda: {**surroundings(), "tinygrad_nn": "0.0.1"}
    try:
        train(comm)
    finally:
        shared.rank_environment = surroundings


@fault(r"the rows of the batch, by checksum: rank", at_once=True)
def a_generator_drawn_from_on_one_rank(comm: Any, _: Path) -> None:
    rng = np.random.default_rng(0)
    train(comm, rng=rng, callbacks=[lambda epoch: rng.random() if comm.rank == 1 else None])


@fault(r"the rows of the batch, by checksum: rank 0 has .*, rank 1 has .*, rank 2 has", at_once=True)
def batches_of_each_rank_alone(comm: Any, _: Path) -> None:
    class Loader:
        def __iter__(self) -> Any:
            x, y = data()
            return iter([(x[comm.rank :: 3], y[comm.rank :: 3])] * 3)

    train(comm, x=Loader())


@fault(r"wait for different things.*rank 0 waits for a sum over the batch .*, rank 1 waits for what the ranks tell")
def a_batch_less_on_one_rank(comm: Any, _: Path) -> None:
    class Loader:
        def __iter__(self) -> Any:
            return iter([data()] * (3 - (comm.rank == 1)))

    train(comm, x=Loader())


class Counts(nn.Module):
    """A layer with a buffer that moves by the rows of one rank."""

    buffer_names = ("seen",)

    def __init__(self) -> None:
        self.seen: Any = np.zeros(())

    def forward(self, x: Any) -> Any:
        self.seen = np.asarray(self.seen + float(np.sum(x.data if isinstance(x, Tensor) else x)))
        return x


@fault(r"0\.seen differs between the ranks", at_once=True)
def buffers_that_differ(comm: Any, _: Path) -> None:
    train(comm, nn.Sequential(Counts(), nn.Linear(5, 1, rng=1)))


@fault(r"1\.weight differs between the ranks \(ranks 0, 1 have .*, rank 2 has", at_once=True)
def parameters_that_differ(comm: Any, _: Path) -> None:
    model = nn.Sequential(nn.Tanh(), nn.Linear(5, 1, rng=1))

    def change(epoch: Any) -> None:
        if comm.rank == 2 and epoch.number == 3:
            model[1].weight.data = model[1].weight.data + 1e-9

    train(comm, model, callbacks=[change])


@fault(r"the loss is not a mean over rows", at_once=True)
def a_mean_of_means(comm: Any, _: Path) -> None:
    def loss(params: Any, x: Any, y: Any) -> Any:
        return ((x @ params["W"] - y) ** 2).mean() ** 0.5

    train(comm, loss, params={"W": np.zeros((5, 1))}, solver=Solver(optimizer="sgd", learning_rate=0.01))


@fault(r"rank 1 of 3 stopped by ZeroDivisionError: .* by zero")
def an_error_on_one_rank(comm: Any, _: Path) -> None:
    train(comm, callbacks=[lambda epoch: 1 // 0 if comm.rank == 1 and epoch.number == 2 else None])


@fault(r"rank 2 of 3 stopped by ValueError: fit: x has \d+ rows and y has 24")
def a_shape_on_one_rank(comm: Any, _: Path) -> None:
    train(comm, x=data()[0][: 24 - comm.rank // 2])


@fault(r"rank 1 of 3 did not reach this call within")
def a_rank_that_does_not_come(comm: Any, _: Path) -> None:
    if comm.rank == 1:
        time.sleep(12)
        return
    train(comm)


@fault(r"rank 1 of 3 on .* was not heard from")
def a_rank_that_hangs(comm: Any, _: Path) -> None:
    train(comm, callbacks=[lambda epoch: os.kill(os.getpid(), signal.SIGSTOP) if comm.rank == 1 else None])


def a_rank_that_is_killed(comm: Any, _: Path) -> None:
    """mpiexec reacts to this by killing all other ranks, so that none of them can report anything."""
    train(comm, callbacks=[lambda epoch: os.kill(os.getpid(), signal.SIGKILL) if comm.rank == 2 else None])


# -- A training loop written by the user

def loop(comm: Any, rows: Any = len, share: Any = None, steps: int = 5, leave: int = -1) -> None:
    x, y = data()
    model = nn.Linear(5, 1, rng=comm.rank)
    minimizer = optim.averaged(optim.Minimizer(model.parameters(), "sgd", 0.01), comm)
    mine = minimizer.rows(len(x)) if share is None else share
    for step in range(steps):
        if comm.rank == leave and step == 2:
            raise FileNotFoundError("rows-3.npy")
        minimizer.step(lambda: ((model(x[mine]) - y[mine]) ** 2).mean(), rows=rows(x[mine]))


@fault(r"rows= is missing.*The mean of the ranks' losses is the mean over all rows only if")
def a_mean_of_means_in_a_loop(comm: Any, _: Path) -> None:
    loop(comm, rows=lambda x: None)


@fault(r"ranks 0 and 1 of 3 both have the very same gradients, so a shard is used twice")
def a_shard_used_twice(comm: Any, _: Path) -> None:
    loop(comm, share=slice(0, 8) if comm.rank < 2 else slice(8, 24))


@fault(r"ranks 0 and 2 of 3 both have row 3, so a shard is used twice")
def a_row_used_twice(comm: Any, _: Path) -> None:
    numbers = np.array([[0, 3], [4, 5], [3, 9]])[comm.rank]
    loop(comm, share=numbers, rows=lambda x: numbers)


@fault(r"the parameters: ranks 0, 1 have .*, rank 2 has")
def another_learning_rate(comm: Any, _: Path) -> None:
    optim.averaged(optim.Minimizer([Tensor(np.ones(3))], "sgd", 0.1 if comm.rank < 2 else 0.2), comm)


@fault(r"rank 1 of 3 stopped by FileNotFoundError: rows-3.npy")
def a_program_that_ends_early(comm: Any, _: Path) -> None:
    loop(comm, leave=1)


surroundings = shared.rank_environment


def main(folder: Path, names: list[str]) -> None:
    from mpi4py import MPI

    if {"a_rank_that_does_not_come", "a_rank_that_hangs"} & set(names):
        heartbeat.PATIENCE = communicator.PATIENCE = 10.0  # a test need not take as long
    comm = MPI.COMM_WORLD
    for name in names:
        start, text = time.monotonic(), "nothing was raised"
        try:
            (a_rank_that_is_killed if name == "a_rank_that_is_killed" else FAULTS[name][0])(comm, folder)
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            if name == names[-1]:
                raise
        finally:
            (folder / f"{name}-{comm.rank}.txt").write_text(f"{time.monotonic() - start:.1f}\n{text}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
