"""What does a convolution cost, against PyTorch? The bound is 4, and a quarter of the memory of all windows.

`python -m tests.benchmarks.conv` prints it; `--peers PYTHON` names a Python that has PyTorch. Every program runs in a
process of its own, in turns. Images 64x16x28x28, 32 kernels of 3x3, padding 1, float32; backward is to both.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

IMAGES, KERNELS = (64, 16, 28, 28), (32, 16, 3, 3)
WINDOWS = 64 * 16 * 9 * 28 * 28 * 4  # bytes of the matrix of all windows
Program = tuple[Callable[[], Any], Callable[[Any], Any]]  # forward, and backward from its result


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return images, kernels and a cotangent."""
    rng = np.random.default_rng(0)
    shapes = IMAGES, KERNELS, (64, 32, 28, 28)
    x, w, g = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    return x, w, g


def ours() -> Program:
    """The graph: `conv` of Tensors, and `backward`."""
    from tinygrad_nn import Tensor
    from tinygrad_nn.ops.convolution import conv

    *arrays, g = data()
    x, w = map(Tensor, arrays)

    def back(y: Any) -> Any:
        x.grad = w.grad = None
        y.backward(g)
        return w.grad

    return lambda: conv(x, w, padding=1), back


def pytorch() -> Program:
    """The same in PyTorch."""
    import torch

    x, w, g = map(torch.from_numpy, data())
    x.requires_grad_()
    w.requires_grad_()

    def back(y: Any) -> Any:
        x.grad = w.grad = None
        y.backward(g)
        return w.grad

    return lambda: torch.nn.functional.conv2d(x, w, padding=1), back


def products() -> Program:
    """The three matrix products alone, on one matrix with all windows that exists already."""
    _, w, g = data()
    columns = np.random.default_rng(0).normal(size=(4, 144, 28 * 28)).astype(np.float32)
    kernels, slopes = w.reshape(32, 144), g.reshape(64, 32, 28 * 28)

    def forward() -> None:
        for _ in range(16):
            kernels @ columns

    def back(_: Any) -> None:
        for i in range(0, 64, 4):
            kernels.T @ slopes[i : i + 4]
            columns @ slopes[i : i + 4].mT

    return forward, back


PROGRAMS: dict[str, Callable[[], Program]] = {
    "products alone": products, "tinygrad_nn": ours, "torch eager": pytorch
}  # fmt: skip


def work(program: str, turns: int = 40) -> dict[str, float]:
    """Measure one program in this process: median milliseconds forward and back."""
    forward, back = PROGRAMS[program]()
    seconds: list[tuple[float, float]] = []
    for _ in range(5 + turns):
        start = time.perf_counter()
        y = forward()
        middle = time.perf_counter()
        back(y)
        seconds.append((middle - start, time.perf_counter() - middle))
    columns = [[1e3 * s for s in column] for column in zip(*seconds[5:], strict=True)]
    together = [sum(pair) for pair in zip(*columns, strict=True)]
    found = {"forward": columns[0], "backward": columns[1], "together": together}
    return {key: statistics.median(values) for key, values in found.items()} | {"least": min(together)}


def peak(run: Callable[[], Any]) -> int:
    """Return the most bytes in use at once besides the result, an ndarray, according to tracemalloc."""
    run()  # whatever is made only once, is made
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        result = run()
        return int(tracemalloc.get_traced_memory()[1] - before - result.nbytes)
    finally:
        tracemalloc.stop()


def maps() -> dict[str, Callable[[], Any]]:
    """The three maps on plain arrays: the convolution, and the gradients of its images and of its kernels."""
    from tinygrad_nn.ops.convolution import conv, conv_transpose, conv_weight

    x, w, g = data()
    how = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    return {
        "conv": lambda: conv(x, w, **how), "conv_transpose": lambda: conv_transpose(g, w, **how),
        "conv_weight": lambda: conv_weight(g, x, kernel=(3, 3), **how),
    }  # fmt: skip


def main(arguments: list[str]) -> None:
    """Run the programs in turns, and print medians, ratios and memory."""
    peers = arguments[arguments.index("--peers") + 1] if "--peers" in arguments else sys.executable
    rounds = int(arguments[arguments.index("--rounds") + 1]) if "--rounds" in arguments else 5
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(rounds):
        for program in PROGRAMS:
            python = peers if program == "torch eager" else sys.executable
            command = [python, str(Path(__file__)), "work", program]
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            if done.returncode == 0:
                found.setdefault(program, []).append(json.loads(done.stdout.splitlines()[-1]))
    print(f"{'':16}{'forward':>10}{'backward':>10}{'together':>10}{'least':>10}{'ratio':>8}   ms")
    base = found.get("torch eager", [])
    for program, runs in found.items():
        row = [statistics.median(run[key] for run in runs) for key in ("forward", "backward", "together", "least")]
        over = [run["together"] / peer["together"] for run, peer in zip(runs, base, strict=False)]
        ratio = f"{statistics.median(over):8.2f}" if over else f"{'-':>8}"
        print(f"{program:16}" + "".join(f"{value:10.2f}" for value in row) + ratio)
    if not base:
        print("PyTorch is not in this Python: --peers PYTHON names one that has it.")
    for name, run in maps().items():
        print(f"{name:16}{peak(run) / WINDOWS:8.3f} of the memory of all windows, at most, besides the result")


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        print(json.dumps(work(sys.argv[2])))
    else:
        main(sys.argv[1:])
