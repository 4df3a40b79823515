"""A sweep: twelve trainings that do not depend on each other, on joblib, Dask or Ray.

Each training is one call of `score`, a function of its parameters, so any pool can run it; MPI is for the steps of one
training. Run it with `python examples/sweep.py joblib`, `dask` or `ray`; if one is missing, it says what to install.
For a running cluster give its address: `python examples/sweep.py dask scheduler:8786`, `... ray auto`.

The tests run joblib and Dask. Ray, which takes 240 MB, was run by hand: it gives the same table.
"""

import itertools
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from tinygrad_nn import Layer, Settings, Solver, data_split, fit, load_iris

RATES, WIDTHS, EPOCHS = (0.003, 0.01, 0.03, 0.1), (4, 16, 64), 30


def score(rate: float, width: int, epochs: int = EPOCHS) -> float:
    """Return the loss on validation data after a training with this learning rate and width."""
    data = load_iris()
    (x, y), _, (x_val, y_val) = data_split(data.x, data.targets, train_size=0.7, test_size=0.0, val_size=0.3, rng=0)
    model = [Layer(4, width, "tanh", rng=0), Layer(width, 3, "softmax", rng=1)]
    solver = Solver("crossentropy", "adam", rate)
    return fit(model, x, y, x_val, y_val, solver=solver, settings=Settings(epochs, 16), rng=0).val_loss[-1]


def needed(module: str, install: str) -> Any:
    """Return a module, or end the program with a message that says what to install."""
    try:
        return import_module(module)
    except ImportError as error:
        sys.exit(f"sweep.py: {error}. This pool needs: pip install {install}")


def on_joblib(points: list[tuple[Any, ...]], address: str | None = None) -> list[float]:
    """Run the points on the cores of this machine."""
    joblib = needed("joblib", "joblib")
    return list(joblib.Parallel(n_jobs=-1)(joblib.delayed(score)(*point) for point in points))


def on_dask(points: list[tuple[Any, ...]], address: str | None = None) -> list[float]:
    """Run the points on the Dask cluster at the address, or on a local one with a process for each core."""
    distributed = needed("dask.distributed", "'dask[distributed]'")
    more = {"dashboard_address": None, "threads_per_worker": 1} if address is None else {}
    with distributed.Client(address, **more) as client:
        return list(client.gather(client.map(score, *zip(*points, strict=True))))


def on_ray(points: list[tuple[Any, ...]], address: str | None = None) -> list[float]:
    """Run the points on the Ray cluster at the address, or on a local one."""
    ray = needed("ray", "ray")
    ray.init(address=address, include_dashboard=False if address is None else None, log_to_driver=False)
    try:
        remote = ray.remote(score)
        return list(ray.get([remote.remote(*point) for point in points]))
    finally:
        ray.shutdown()


POOLS: dict[str, Callable[..., list[float]]] = {"joblib": on_joblib, "dask": on_dask, "ray": on_ray}


def main(pool: str = "joblib", address: str | None = None, epochs: int = EPOCHS) -> list[float]:
    """Run the sweep on a pool, print a table, best first, and return the losses in the order of the points."""
    if pool not in POOLS:
        sys.exit(f"sweep.py: {pool} is no pool; write one of {', '.join(POOLS)}.")
    points = list(itertools.product(RATES, WIDTHS))
    losses = POOLS[pool]([(*point, epochs) for point in points], address)
    for loss, (rate, width) in sorted(zip(losses, points, strict=True)):
        print(f"learning rate {rate:<5g} width {width:<2}  validation loss {loss:.4f}")
    return losses


if __name__ == "__main__":
    main(*sys.argv[1:3])
