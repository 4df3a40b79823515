"""Trainings on several ranks: the networks, and the program that mpiexec runs.

``mpiexec -n 3 python -m tests.ranks FOLDER NAME...`` writes losses, weights and history of each into FOLDER. Most train
for a few epochs: a wrong sum over the ranks shows in the first step, and a wrong state of the optimizer in the next.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_nn import Layer, Regularization, Settings, Solver, Tensor, data_loader, fit, nn, optim
from tinygrad_nn.solver import EarlyStopping
from tinygrad_nn.solver.training_step import TrainingStep

Array = np.ndarray[Any, Any]
NETWORKS: dict[str, Callable[[Path], tuple[Any, Any, Any, dict[str, Any]]]] = {}


def network(make: Any) -> Any:
    """Enter a network into the table."""
    NETWORKS[make.__name__] = make
    return make


def rows(n: int, *shape: int) -> Array:
    return np.random.default_rng(n).normal(size=(n, *shape))


def labels(n: int, classes: int = 3) -> Array:
    return np.random.default_rng(n + 1).integers(0, classes, n)


@network
def mlp(_: Path) -> Any:
    """Layers of the Julia project, with a penalty, dropout, validation, and a schedule that follows it.

    The validation loss is least after 10 of the 16 epochs, so the schedule lowers the rate before the end.
    """
    model = [Layer(5, 16, "tanh", rng=1), Layer(16, 3, "softmax", rng=2)]
    penalty = Regularization("l2", 0.01, dropout=0.3)
    solver = Solver("crossentropy", "adam", 0.01, penalty, schedule=optim.Plateau(patience=1))
    x, y = rows(53, 5), np.eye(3)[labels(53)]
    return model, x, y, {"solver": solver, "settings": Settings(16, 8), "x_val": x[:7], "y_val": y[:7]}


@network
def mlp_by_hand(_: Path) -> Any:
    model = [Layer(5, 8, "relu", rng=1), Layer(8, 1, rng=2)]
    solver = Solver("mae", "momentum", 0.01, Regularization("elasticnet", 0.01))
    return model, rows(21, 5), rows(21, 1), {"solver": solver, "settings": Settings(5, 5), "gradients": "manual"}


@network
def root_of_squares(_: Path) -> Any:
    """A loss that is no mean over rows, rmse, with an l1 penalty."""
    model = [Layer(5, 8, "tanh", rng=1), Layer(8, 2, rng=2)]
    solver = Solver("rmse", "adam", 0.01, Regularization("l1", 0.01))
    return model, rows(31, 5), rows(31, 2), {"solver": solver, "settings": Settings(5, 7)}


@network
def cnn(_: Path) -> Any:
    """Batch norm over the whole batch, spatial dropout, clipping; a last batch of one row."""
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, rng=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout2d(0.2), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(0.2), nn.Linear(36, 3, rng=2),
    )  # fmt: skip
    solver = Solver(nn.losses.cross_entropy, "momentum", 0.05, clip_norm=0.5)
    more = {"solver": solver, "settings": Settings(8, 4), "class_weight": "balanced"}
    return model, rows(29, 1, 8, 8), labels(29), more


class Sequence(nn.Module):
    """Two layers of LSTM, whose dropout is drawn with time as the first axis, and a head."""

    def __init__(self) -> None:
        self.lstm = nn.LSTM(3, 6, num_layers=2, dropout=0.2, batch_first=True, rng=1)
        self.head = nn.Linear(6, 2, rng=2)

    def forward(self, x: Any) -> Any:
        return self.head(self.lstm(x)[0][:, -1])


class AsInFunctional(nn.Module):
    """Batch norm as a function, whose running statistics are buffers of the model."""

    buffer_names = ("mean", "var")

    def __init__(self) -> None:
        self.first, self.last = nn.Linear(5, 6, bias=False, rng=1), nn.Linear(6, 2, rng=2)
        self.mean: Any = np.zeros(6)
        self.var: Any = np.ones(6)

    def forward(self, x: Any) -> Any:
        h = nn.functional.batch_norm(self.first(x), self.mean, self.var, training=self.training)
        return self.last(np.tanh(h))


@network
def batch_norm_as_a_function(_: Path) -> Any:
    more = {"solver": Solver("mse", "adam", 0.01), "settings": Settings(5, 6)}
    return AsInFunctional(), rows(21, 5), rows(21, 2), more


@network
def lstm(_: Path) -> Any:
    solver = Solver("mse", "adam", 0.01, clip_norm=0.1, schedule=optim.Cosine(100))
    return Sequence(), rows(21, 4, 3), rows(21, 2), {"solver": solver, "settings": Settings(8, 4, accumulate=2)}


@network
def lbfgs(_: Path) -> Any:
    """Few steps, since a line search that interpolates between near points magnifies rounding."""
    model = nn.Sequential(nn.Linear(5, 6, rng=1), nn.Tanh(), nn.Linear(6, 1, rng=2))
    return model, rows(90, 5), rows(90, 1), {"solver": Solver("mse", "lbfgs", 1.0), "settings": Settings(2, 90)}


@network
def function(_: Path) -> Any:
    def loss(params: Any, x: Any, y: Any) -> Any:
        z = np.tanh(x @ params["W"]) @ params["v"]
        return ((z - y) ** 2).mean() + 0.01 * (params["W"] ** 2).sum(), z

    params = {"W": rows(5, 7) / 3, "v": rows(7, 1) / 3}
    more = {"solver": Solver(optimizer="adam", learning_rate=0.01), "settings": Settings(5, 6), "params": params,
            "metrics": {"mae": lambda y, z: float(np.abs(y - z).mean())}}  # fmt: skip
    return loss, rows(20, 5), rows(20, 1), more


@network
def batches(_: Path) -> Any:
    """An iterable of batches with a generator of its own, and an end that early stopping chooses."""
    loader = data_loader(rows(23, 5), rows(23, 1), 5, rng=7)
    model = nn.Sequential(nn.Linear(5, 6, rng=1), nn.Tanh(), nn.Linear(6, 1, rng=2))
    more = {"solver": Solver("mse", "adam", 0.05), "settings": Settings(30), "x_val": rows(9, 5), "y_val": rows(9, 1),
            "early_stopping": EarlyStopping(3)}  # fmt: skip
    return model, loader, None, more


@network
def mapped(folder: Path) -> Any:
    """Data in files, of which a rank reads its rows, in float32."""
    for name, array in (("x", rows(600, 5)), ("y", rows(600, 1))):
        if not (folder / f"{name}.npy").exists():
            np.save(folder / f"part-{os.getpid()}.npy", array.astype(np.float32))
            (folder / f"part-{os.getpid()}.npy").replace(folder / f"{name}.npy")
    x, y = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in "xy")
    model = nn.Sequential(nn.Linear(5, 6, rng=1, dtype=np.float32), nn.BatchNorm(6, dtype=np.float32), nn.Tanh(),
                          nn.Linear(6, 1, rng=2, dtype=np.float32))  # fmt: skip
    return model, x, y, {"solver": Solver("mse", "sgd", 0.05), "settings": Settings(3, 50)}


@network
def compiled_mlp(_: Path) -> Any:
    model = [Layer(5, 16, "tanh", rng=1), Layer(16, 3, "softmax", rng=2)]
    solver = Solver("crossentropy", "adam", 0.01, Regularization("l2", 0.01, dropout=0.3))
    x, y = rows(22, 5), np.eye(3)[labels(22)]
    return model, x, y, {"solver": solver, "settings": Settings(5, 5), "compile": "numpy"}


@network
def compiled_cnn(_: Path) -> Any:
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, rng=1, bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2),
        nn.Linear(48, 3, rng=2),
    )  # fmt: skip
    more = {"solver": Solver(nn.losses.cross_entropy, "adam", 0.01), "settings": Settings(5, 4), "compile": "numpy"}
    return model, rows(13, 1, 6, 6), labels(13), more


def arrays_of(model: Any, options: dict[str, Any]) -> list[Array]:
    """The weights and buffers of a model of any kind."""
    if isinstance(model, nn.Module):
        return [np.asarray(value) for value in model.state_dict().values()]
    if isinstance(model, list):
        return [p.data for layer in model for p in (layer.W, layer.b)]
    return [np.asarray(p.data if isinstance(p, Tensor) else p) for p in options["params"].values()]


def train(name: str, folder: Path, comm: Any = None, **more: Any) -> dict[str, Any]:
    """Train a network of the table; return the loss of each step, the weights and the history."""
    model, x, y, options = NETWORKS[name](folder)
    losses: list[float] = []
    kinds = {kind: kind.__call__ for kind in [TrainingStep, *TrainingStep.__subclasses__()]}

    def told(plain: Any) -> Any:
        def call(self: Any, *args: Any) -> float:
            losses.append(float(plain(self, *args)))
            return losses[-1]

        return call

    for kind, plain in kinds.items():
        kind.__call__ = told(plain)
    try:
        history = fit(model, x, y, **{"rng": 3, **options, **more}, comm=comm)
    finally:
        for kind, plain in kinds.items():
            kind.__call__ = plain
    return {"losses": losses, "weights": [w.tolist() for w in arrays_of(model, options)], "history": history.to_dict()}


def main(folder: Path, names: list[str]) -> None:
    from mpi4py import MPI

    more: dict[str, Any] = {}
    if "CHECKPOINT" in os.environ:
        more = {"checkpoint": folder / "checkpoint", "resume": True}
        if "EPOCHS" in os.environ:
            more["settings"] = Settings(int(os.environ["EPOCHS"]), int(os.environ["ROWS"]))
        victims = MPI.COMM_WORLD.allgather(os.getpid())
        if MPI.COMM_WORLD.rank == 0:  # lines of several ranks run into each other
            print(*victims, flush=True)
    for name in names or list(NETWORKS):
        found = train(name, folder, MPI.COMM_WORLD, **more)
        (folder / f"{name}-{MPI.COMM_WORLD.size}-{MPI.COMM_WORLD.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
