"""How far is the graph, without compiling, from NumPy by hand? Bounds: 1.3, 1.0, 1.0; memory of a step 1.2.

Three training steps, each program in a process of its own, in turns: `python -m tests.benchmarks.eager`. With
`--peers PYTHON`, a Python that has torch and mygrad, also against those; a name such as 4-40-3 runs that step alone,
`--rounds 9` takes more turns. Times are the medians over processes of the median of 15 measurements in each.
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
from typing import Any

import numpy as np

from .steps import BETA1, BETA2, EPS, RATE, TASKS, Task, by_hand, compiled, data, products

BOUNDS = {"4-40-3": 1.3, "784-256-128-10": 1.0, "1024-2048-2048-10": 1.0}


def trained(task: Task) -> tuple[Any, Any, Any, Any]:
    """Return the step of a training of layers with the weights of the task, its batch, and a generator."""
    from tinygrad_nn import Layer, Solver
    from tinygrad_nn.solver.tasks.layers import LayerLoss, LayerTask
    from tinygrad_nn.solver.training_step import TrainingStep

    parameters, x, y = data(task)
    pairs, last = list(zip(task.sizes, task.sizes[1:], strict=False)), len(task.sizes) - 2
    layers = [
        Layer(n, m, "softmax" if k == last else "relu", rng=0, dtype=task.dtype) for k, (n, m) in enumerate(pairs)
    ]
    for k, layer in enumerate(layers):
        layer.W, layer.b = parameters[f"W{k}"], parameters[f"b{k}"]
    solver = Solver("crossentropy", task.rule, RATE)
    return TrainingStep(LayerTask(LayerLoss(layers, solver, y), "graph"), solver), x, y, np.random.default_rng(0)


def layers(task: Task) -> Callable[[], float]:
    """The step of `fit` on a list of layers."""
    step, x, y, rng = trained(task)
    return lambda: step(x, y, rng)


def tensors(task: Task) -> Callable[[], float]:
    """A loop written by hand: Tensors, `backward` and a Minimizer."""
    from tinygrad_nn import Tensor, affine, relu, softmax_crossentropy
    from tinygrad_nn.optim import Minimizer

    arrays, x, y = data(task)
    last = len(task.sizes) - 2
    W, b = ([Tensor(arrays[f"{name}{k}"]) for k in range(last + 1)] for name in "Wb")
    minimizer = Minimizer([*W, *b], task.rule, RATE)

    def one() -> float:
        a: Any = x
        for k in range(last):
            a = relu(affine(a, W[k], b[k]))
        loss = softmax_crossentropy(affine(a, W[last], b[last]), y, normalized=True)
        minimizer.zero_grad()
        loss.backward()
        minimizer.step()
        return float(loss.item())

    return one


def torch(task: Task) -> Callable[[], float]:
    """The same in torch, eager."""
    import torch

    arrays, x, y = data(task)
    inputs, targets, last = torch.tensor(x), torch.tensor(y), len(task.sizes) - 2
    W, b = ([torch.tensor(arrays[f"{name}{k}"], requires_grad=True) for k in range(last + 1)] for name in "Wb")
    rule = torch.optim.SGD([*W, *b], RATE) if task.rule == "sgd" else torch.optim.Adam([*W, *b], RATE)

    def one() -> float:
        a = inputs
        for k in range(last):
            a = torch.relu(torch.nn.functional.linear(a, W[k], b[k]))
        z = torch.nn.functional.linear(a, W[last], b[last])
        loss = torch.nn.functional.cross_entropy(z, targets)
        rule.zero_grad()
        loss.backward()
        rule.step()
        return float(loss)

    return one


def mygrad(task: Task) -> Callable[[], float]:
    """The same in MyGrad."""
    import mygrad as mg
    from mygrad.nnet.activations import relu
    from mygrad.nnet.losses import softmax_crossentropy

    arrays, x, y = data(task)
    p = {name: mg.tensor(array) for name, array in arrays.items()}
    W, b = ([p[f"{name}{k}"] for k in range(len(task.sizes) - 1)] for name in "Wb")
    moments = {name: [np.zeros_like(array), np.zeros_like(array)] for name, array in arrays.items()}
    labels, last, count = y.argmax(axis=1), len(task.sizes) - 2, 0

    def one() -> float:
        nonlocal count
        a: Any = x
        for k in range(last):
            a = relu(mg.matmul(a, W[k].T) + b[k])
        loss = softmax_crossentropy(mg.matmul(a, W[last].T) + b[last], labels)
        loss.backward()
        count += 1
        for name, t in p.items():
            g = t.grad
            if task.rule == "sgd":
                t.data -= RATE * g
                continue
            m, v = moments[name]
            moments[name] = m, v = [BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g * g]
            t.data -= RATE * (m / (1 - BETA1**count)) / (np.sqrt(v / (1 - BETA2**count)) + EPS)
        return float(loss.data)

    return one


PROGRAMS: dict[str, Callable[[Task], Callable[[], Any]]] = {
    "products alone": products,
    "NumPy by hand": by_hand,
    "layers": layers,
    "tensors": tensors,
    "functions": lambda task: compiled(task, "eager"),
    "torch": torch,
    "mygrad": mygrad,
}
PEERS = ("torch", "mygrad")


def work(name: str, program: str, turns: int = 15) -> list[float]:
    """Return microseconds a call, a number a turn, measured in this process."""
    task = TASKS[name]
    one = PROGRAMS[program](task)
    for _ in range(max(task.calls // 4, 3)):
        one()
    found = []
    for _ in range(turns):
        start = time.perf_counter()
        for _ in range(task.calls):
            one()
        found.append((time.perf_counter() - start) / task.calls * 1e6)
    return found


def memory(name: str) -> dict[str, float]:
    """Return in MB what a step must hold, and the most that it does hold.

    It must hold parameters, optimizer state, a gradient for each parameter, and what the graph holds when the forward
    is over: the results of all operations. In the smallest step Python's objects, 15 kB, outweigh the arrays.
    """
    tracemalloc.start()
    from tinygrad_nn.backward import ancestors
    from tinygrad_nn.solver.tasks.layers import objective

    task = TASKS[name]
    training, x, y, rng = trained(task)
    net = training.task.net

    def step() -> None:
        training(x, y, rng)

    for _ in range(3):
        step()
    weights = sum(p.data.nbytes for layer in net.model for p in (layer.W, layer.b))
    held = [s for state in training.task.states() for s in state]
    state = sum(s.nbytes for s in held if isinstance(s, np.ndarray))
    nodes = ancestors([objective(net, x, y).node])
    saved = [a for node in nodes for a in node.meta.values() if isinstance(a, np.ndarray)]
    live = sum(node.out.nbytes for node in nodes if node.primitive is not None) + sum(a.nbytes for a in saved)
    del nodes, saved, held
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    step()
    _, peak = tracemalloc.get_traced_memory()
    must = 2 * weights + state + live
    return {"must": must / 1e6, "peak": (weights + state + peak - before) / 1e6, "live": live / 1e6}


def main(arguments: list[str]) -> None:
    """Run all programs of all steps a few times, in turns, and print medians, quartiles and ratios."""
    peers = arguments[arguments.index("--peers") + 1] if "--peers" in arguments else None
    rounds = int(arguments[arguments.index("--rounds") + 1]) if "--rounds" in arguments else 5
    programs = [program for program in PROGRAMS if peers or program not in PEERS]
    print("OMP_NUM_THREADS =", os.environ.get("OMP_NUM_THREADS", "not set"))
    for name in [name for name in TASKS if name in arguments] or list(TASKS):
        found: dict[str, list[float]] = {program: [] for program in programs}
        for turn in range(rounds):
            for program in programs[turn % len(programs) :] + programs[: turn % len(programs)]:
                python = peers if program in PEERS and peers else sys.executable
                found[program].append(statistics.median(_apart([python, "work", name, program])))
        print(f"\n{name}, batch {TASKS[name].batch}, {TASKS[name].dtype}, {TASKS[name].rule}; bound {BOUNDS[name]}\n")
        print(f"{'':18}{'µs a step':>11}  {'(quartiles)':22}{'ratio':>7}  (quartiles)")
        for program, times in found.items():
            ratio = [a / b for a, b in zip(times, found["NumPy by hand"], strict=True)]
            quartiles = "({:.1f} to {:.1f})".format(*_quartiles(times))
            print(
                f"{program:18}{statistics.median(times):11.1f}  {quartiles:22}{statistics.median(ratio):7.3f}"
                "  ({:.3f} to {:.3f})".format(*_quartiles(ratio))
            )
        room = _apart([sys.executable, "memory", name])
        print(
            f"\nmemory: {room['peak']:.2f} MB at most, {room['must']:.2f} MB of parameters, state, gradients and "
            f"activations: {room['peak'] / room['must']:.3f}"
        )


def _quartiles(values: list[float]) -> tuple[float, float]:
    first, _, last = statistics.quantiles(values, n=4)
    return max(first, min(values)), min(last, max(values))  # those of two values lie outside


def _apart(command: list[str]) -> Any:
    """Run a part of this module in a process of its own, and return what it says."""
    python, *rest = command
    done = subprocess.run(
        [python, "-m", "tests.benchmarks.eager", *rest], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": "."},
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        print(json.dumps(work(*sys.argv[2:4])))
    elif sys.argv[1:2] == ["memory"]:
        print(json.dumps(memory(sys.argv[2])))
    else:
        main(sys.argv[1:])
