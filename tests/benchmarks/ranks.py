"""Training on several ranks: what a step costs, what of it is communication, and what more ranks would give.

``python -m tests.benchmarks.ranks`` starts all it needs with mpiexec, in turns, and prints

- the CNN step by 2 ranks of one BLAS thread each against 1 process of two threads, as a ratio;
- what of that step is communication, and whether sums that overlap with the walk back would pay;
- latency and bandwidth between ranks, and by them the model of `docs/scale.md` for 2 to 1,024 ranks.

``--latency`` and ``--bandwidth`` put a network's constants, in microseconds and GB/s, in place of the measured ones.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_nn import Settings, Solver, fit, nn
from tinygrad_nn.distributed import Ranks, launched
from tinygrad_nn.solver.training_step import TrainingStep

ROOT = Path(__file__).resolve().parents[2]
BATCH = 64
RANKS = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
SIZES = (8, 10**4, 10**5, 10**6, 8 * 10**6)  # bytes of a sum


def cnn() -> Any:
    """Two convolutions with batch norm and a linear layer, of digits of 28 by 28."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, rng=0, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, rng=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(16 * 25, 10, rng=2),
    )  # fmt: skip


def mlp() -> Any:
    """A perceptron 784-512-512-10."""
    return nn.Sequential(nn.Linear(784, 512, rng=0), nn.ReLU(), nn.Linear(512, 512, rng=1), nn.ReLU(),
                         nn.Linear(512, 10, rng=2))  # fmt: skip


class Reader(nn.Module):
    """An LSTM of 128 units over 28 steps, and a linear layer."""

    def __init__(self) -> None:
        self.lstm, self.head = nn.LSTM(28, 128, batch_first=True, rng=0), nn.Linear(128, 10, rng=1)

    def forward(self, x: Any) -> Any:
        return self.head(self.lstm(x)[0][:, -1])


NETWORKS: dict[str, tuple[Callable[[], Any], tuple[int, ...], int]] = {
    # network, shape of a row, sums and gathers a step: the gradients, outputs and targets for the loss
    "MLP 784-512-512-10": (mlp, (784,), 3),
    "CNN of digits": (cnn, (1, 28, 28), 9),  # each batch norm takes 2 sums on the way there and 1 back
    "LSTM of 128": (Reader, (28, 28), 3),
}


def timed(name: str, batch: int, comm: Any = None, steps: int = 12) -> dict[str, float]:
    """Train for some steps; return medians and minima of a step and of its communication, in seconds."""
    make, shape, _ = NETWORKS[name]
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(batch * steps, *shape)), rng.integers(0, 10, batch * steps)
    whole, inside = [], []
    step, wait = TrainingStep.__call__, Ranks._wait

    def told(self: Any, *args: Any) -> float:
        before, begin = sum(inside), time.perf_counter()
        loss = step(self, *args)
        whole.append((time.perf_counter() - begin, sum(inside) - before))
        return loss

    def waited(self: Any, *args: Any) -> None:
        begin = time.perf_counter()
        wait(self, *args)
        inside.append(time.perf_counter() - begin)

    TrainingStep.__call__, Ranks._wait = told, waited  # type: ignore[method-assign] - until this is measured
    try:
        fit(make(), x, y, solver=Solver(nn.losses.cross_entropy, "sgd", 0.01), settings=Settings(1, batch), rng=0,
            metrics={}, comm=comm)  # fmt: skip
    finally:
        TrainingStep.__call__, Ranks._wait = step, wait  # type: ignore[method-assign] - as they were
    rest = whole[2:]
    steps_, waits = zip(*rest, strict=True)
    return {"step": statistics.median(steps_), "least": min(steps_), "communication": statistics.median(waits),
            "least communication": min(waits)}  # fmt: skip


def sums(comm: Any) -> dict[str, Any]:
    """Return the seconds of sums of several sizes, and of one beside a product of matrices, one after the other and at
    once."""
    from mpi4py import MPI

    found = {}
    for size in SIZES:
        buffer, times = np.ones(size // 8), []
        for _ in range(300 if size < 10**6 else 20):
            comm.Barrier()
            begin = time.perf_counter()
            comm.Iallreduce(MPI.IN_PLACE, buffer, MPI.SUM).Wait()
            times.append(time.perf_counter() - begin)
        found[str(size)] = statistics.quantiles(times, n=10)[0]  # what the network takes where nobody is in the way
    buffer, a = np.ones(10**6), np.ones((400, 400))
    apart, at_once = [], []
    for _ in range(15):
        comm.Barrier()
        begin = time.perf_counter()
        a @ a
        comm.Iallreduce(MPI.IN_PLACE, buffer, MPI.SUM).Wait()
        apart.append(time.perf_counter() - begin)
        comm.Barrier()
        begin = time.perf_counter()
        request = comm.Iallreduce(MPI.IN_PLACE, buffer, MPI.SUM)
        for rows in range(0, 400, 100):  # four buckets: MPI goes on only while it is called
            a[rows : rows + 100] @ a
            request.Test()
        request.Wait()
        at_once.append(time.perf_counter() - begin)
    return {"sums": found, "apart": statistics.median(apart), "at once": statistics.median(at_once)}


def child(ranks: int, threads: int, *what: str) -> dict[str, Any]:
    """Run a part of this program on so many ranks, and return what rank 0 found."""
    env = {**os.environ, "OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "tests.benchmarks.ranks", *what]
    if ranks > 1:
        command = ["mpiexec", "-n", str(ranks), *command]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return] - what JSON holds is what was sent


def model(step: float, batch: int, size: float, collectives: int, ranks: int, latency: float, seconds: float) -> float:
    """Return the seconds of a step on so many ranks.

    Args:
        step: seconds of the step of the whole batch on one; batch: its rows.
        size: bytes of the gradients; collectives: sums a step, of which one has the gradients.
        latency: seconds of a message; seconds: of a byte.
    """
    rows = math.ceil(batch / ranks)
    hops = 2 * math.log2(ranks)
    return step * rows / batch + collectives * hops * latency + 2 * (ranks - 1) / ranks * size * seconds


def table(alone: dict[str, float], latency: float, seconds: float, batch: int) -> list[str]:
    """Return the rows of the model: how many times faster the same batch is, and a batch that grows with the ranks."""
    lines = ["| network | bytes a step | " + " | ".join(map(str, RANKS)) + " |", "|---" * (len(RANKS) + 2) + "|"]
    for name, (make, _, collectives) in NETWORKS.items():
        size = sum(p.data.nbytes for p in make().parameters())
        for word, grows in (("same batch", False), ("64 rows a rank", True)):
            cells = []
            for r in RANKS:
                rows = batch * r if grows else batch
                step = alone[name] * rows / batch
                cells.append(f"{step / model(step, rows, size, collectives, r, latency, seconds):.1f}")
            lines.append(f"| {name}, {word} | {size:,} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, help="microseconds of a message")
    parser.add_argument("--bandwidth", type=float, help="GB/s between two ranks")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--part", choices=["step", "sums"], help=argparse.SUPPRESS)
    parser.add_argument("--network", default="CNN of digits", help=argparse.SUPPRESS)
    given = parser.parse_args()
    comm = None
    if given.part and launched():
        from mpi4py import MPI

        comm = MPI.COMM_WORLD
    if given.part:
        found = sums(comm) if given.part == "sums" else timed(given.network, BATCH, comm)
        if comm is None or comm.Get_rank() == 0:
            print(json.dumps(found))
        return
    pairs = [(child(2, 1, "--part", "step"), child(1, 2, "--part", "step")) for _ in range(given.turns)]
    two, one = (statistics.median(pair[k]["step"] for pair in pairs) for k in (0, 1))
    ratio = statistics.median(a["step"] / b["step"] for a, b in pairs)
    waits = statistics.median(a["communication"] for a, _ in pairs)
    least = min(a["least communication"] for a, _ in pairs)
    print(f"CNN step of {BATCH} rows: 2 ranks of one thread {two * 1e3:.2f} ms, 1 process of two threads "
          f"{one * 1e3:.2f} ms, ratio {ratio:.2f}")  # fmt: skip
    print(f"of it communication, waiting for the other rank included: {waits * 1e6:.0f} µs a step, "
          f"at least {least * 1e6:.0f} µs")  # fmt: skip
    found = child(2, 1, "--part", "sums")
    print("sums of 2 ranks: " + ", ".join(f"{int(n):,} bytes {s * 1e6:.0f} µs" for n, s in found["sums"].items()))
    print(f"8 MB beside a product of matrices: {found['apart'] * 1e3:.2f} ms one after the other, "
          f"{found['at once'] * 1e3:.2f} ms in four buckets at once")  # fmt: skip
    small, large = found["sums"]["8"], found["sums"][str(SIZES[-1])]
    latency = small / 2 if given.latency is None else given.latency * 1e-6
    seconds = (large - small) / SIZES[-1] if given.bandwidth is None else 1e-9 / given.bandwidth
    alone = {name: child(1, 1, "--part", "step", "--network", name)["least"] for name in NETWORKS}
    for name, step in alone.items():
        print(f"{name}: {step * 1e3:.2f} ms a step of {BATCH} rows on one thread")
    print(f"the model, with {latency * 1e6:.1f} µs a message and {1e-9 / seconds:.1f} GB/s:\n")
    print("\n".join(table(alone, latency, seconds, BATCH)))


if __name__ == "__main__":
    main()
