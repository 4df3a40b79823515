"""Training loops written by the user, on several ranks: ``mpiexec -n 3 python -m tests.own_loop FOLDER``."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_nn import Tensor, nn, optim

LOOPS: dict[str, Any] = {
    "adam": lambda parameters: optim.Minimizer(parameters, "adam", 0.01, schedule=optim.Cosine(30)),
    "lbfgs": lambda parameters: optim.Minimizer(parameters, "lbfgs", 0.5),
    "as in PyTorch": lambda parameters: optim.SGD(parameters, lr=0.05, momentum=0.9),
}


def run(make: Any, comm: Any, steps: int) -> list[float]:
    """Return the losses of a loop, its last step on a batch that leaves ranks without rows."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 5)), rng.normal(size=(40, 1))
    first = nn.Linear(5, 6, rng=comm.rank, bias=False)
    model = nn.Sequential(first, nn.BatchNorm(6), nn.Tanh(), nn.Linear(6, 1, rng=2))
    minimizer = optim.averaged(make(model.parameters()), comm)
    losses = []
    for step in range(steps):
        batch = np.arange(2) if step == steps - 1 else np.arange(40) if step % 2 else rng.permutation(40)[:11]
        mine = batch[minimizer.rows(len(batch))]
        losses.append(minimizer.step(lambda mine=mine: ((model(x[mine]) - y[mine]) ** 2).mean(), rows=mine))
    return losses


def dropout_and_clipping(comm: Any) -> list[float]:
    """Return the losses of a loop whose masks are those of one process, and whose gradients are clipped as a whole."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(13, 5)), rng.normal(size=(13, 1))
    model = nn.Sequential(nn.Dropout(0.3), nn.Linear(5, 6, rng=1), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 1, rng=2))
    minimizer = optim.averaged(optim.Minimizer(model.parameters(), "momentum", 0.1), comm)
    model.seed(minimizer.draws(3))
    losses = []
    for step in range(30):
        batch = rng.permutation(13)[: 1 + step % 13]  # of one row two ranks have none
        mine = batch[minimizer.rows(len(batch))]
        losses.append(minimizer.step(lambda mine=mine: ((model(x[mine]) - y[mine]) ** 2).sum() / max(len(mine), 1),
                                     rows=mine, clip_norm=0.2, clip_value=0.1))  # fmt: skip
    return losses


def without_a_function(comm: Any) -> list[float]:
    """Return the parameter of a loop that walks back itself, where some ranks have no rows."""
    w = Tensor(np.array([3.0 + comm.rank, -2.0]))
    minimizer = optim.averaged(optim.Minimizer([w], "momentum", 0.1), comm)
    for _ in range(5):
        x = np.array([[1.0, 2.0], [0.5, 1.0]])[minimizer.rows(2)]
        minimizer.zero_grad()
        if len(x):
            ((x @ w) ** 2).mean().backward()
        minimizer.step(rows=len(x))
    return w.data.tolist()


if __name__ == "__main__":
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    found = {name: run(make, world, 2 if name == "lbfgs" else 30) for name, make in LOOPS.items()}
    found["dropout and clipping"] = dropout_and_clipping(world)
    found["backward"] = without_a_function(world)
    if world.rank == 0:
        Path(sys.argv[1], f"{world.size}.json").write_text(json.dumps(found))
