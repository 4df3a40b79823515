"""Three training steps by hand in NumPy, compiled, and in jax: each program in a process of its own, in turns.

`python -m tests.benchmarks.steps` prints them; `--peers PYTHON` names a Python that has jax. A step is forward,
backward and update of a network with relu, softmax and crossentropy on one batch.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray
Arrays = dict[str, Array]


class Task(NamedTuple):
    """Sizes of the layers, rows of the batch, dtype, optimizer, and how many calls make one measurement."""

    sizes: tuple[int, ...]
    batch: int
    dtype: str
    rule: str
    calls: int


TASKS = {
    "4-40-3": Task((4, 40, 3), 16, "float64", "sgd", 2000),
    "784-256-128-10": Task((784, 256, 128, 10), 128, "float32", "adam", 40),
    "1024-2048-2048-10": Task((1024, 2048, 2048, 10), 512, "float32", "sgd", 2),
}
RATE = 1e-5  # so small that nothing collapses to denormal numbers
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


def data(task: Task) -> tuple[Arrays, Array, Array]:
    """Return parameters and a batch, the same in every process."""
    rng = np.random.default_rng(0)
    parameters: Arrays = {}
    for k, (n_in, n_out) in enumerate(zip(task.sizes, task.sizes[1:], strict=False)):
        parameters[f"W{k}"] = (rng.normal(size=(n_out, n_in)) * np.sqrt(2 / n_in)).astype(task.dtype)
        parameters[f"b{k}"] = np.zeros(n_out, task.dtype)
    x = rng.normal(size=(task.batch, task.sizes[0])).astype(task.dtype)
    y = np.eye(task.sizes[-1], dtype=task.dtype)[rng.integers(0, task.sizes[-1], task.batch)]
    return parameters, x, y


def by_hand(task: Task) -> Callable[[], float]:
    """The step written by hand in NumPy by an expert."""
    parameters, x, y = data(task)
    W = [parameters[f"W{k}"] for k in range(len(task.sizes) - 1)]
    b = [parameters[f"b{k}"] for k in range(len(W))]
    moments = [[np.zeros_like(p), np.zeros_like(p)] for p in (*W, *b)]
    count = 0

    def step() -> float:
        nonlocal count
        a = [x]
        for k in range(len(W) - 1):
            a.append(np.maximum(a[-1] @ W[k].T + b[k], 0))
        z = a[-1] @ W[-1].T + b[-1]
        shifted = z - z.max(axis=1, keepdims=True)
        e = np.exp(shifted)
        total = e.sum(axis=1, keepdims=True)
        loss = -(y * (shifted - np.log(total))).sum() / len(x)
        d = (e / total - y) / len(x)
        dW: list[Any] = [None] * len(W)
        db: list[Any] = [None] * len(W)
        for k in reversed(range(len(W))):
            dW[k], db[k] = d.T @ a[k], d.sum(axis=0)
            if k:
                d = (d @ W[k]) * (a[k] > 0)
        if task.rule == "sgd":
            for p, g in zip((*W, *b), (*dW, *db), strict=True):
                p -= RATE * g
        else:
            count += 1
            for p, g, moment in zip((*W, *b), (*dW, *db), moments, strict=True):
                m, v = moment
                moment[0] = m = BETA1 * m + (1 - BETA1) * g
                moment[1] = v = BETA2 * v + (1 - BETA2) * g * g
                p -= RATE * (m / (1 - BETA1**count)) / (np.sqrt(v / (1 - BETA2**count)) + EPS)
        return float(loss)

    return step


def step_of(task: Task) -> Callable[..., Any]:
    """The step as a function of arrays, for `tinygrad_nn.compile`."""
    from tinygrad_nn import affine, relu, softmax_crossentropy, value_and_grad
    from tinygrad_nn.optim import adam, sgd

    rule = sgd() if task.rule == "sgd" else adam(BETA1, BETA2, EPS)
    last = len(task.sizes) - 2

    def loss(p: Any, x: Any, y: Any) -> Any:
        for k in range(last):
            x = relu(affine(x, p[f"W{k}"], p[f"b{k}"]))
        return softmax_crossentropy(affine(x, p[f"W{last}"], p[f"b{last}"]), y, normalized=True)

    def step(p: Any, state: Any, x: Any, y: Any) -> Any:
        value, g = value_and_grad(loss)(p, x, y)
        moved = {key: rule.update(g[key], state[key], RATE, p[key]) for key in p}
        return {key: p[key] - moved[key][0] for key in p}, {key: moved[key][1] for key in p}, value

    step.rule = rule
    return step


def compiled(task: Task, backend: str, donate: tuple[int, ...] = ()) -> Callable[[], float]:
    """The step compiled."""
    import tinygrad_nn

    step = step_of(task)
    p, x, y = data(task)
    state: Any = {key: step.rule.init(p[key]) for key in p}
    run: Any = step if backend == "eager" else tinygrad_nn.compile(step, backend=backend, donate=donate)

    def one() -> Any:
        nonlocal p, state
        p, state, value = run(p, state, x, y)
        return value

    return one


def jax_jit(task: Task) -> Callable[[], Any]:
    """The same in jax."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    p, x, y = data(task)
    last = len(task.sizes) - 2

    def loss(p: Any) -> Any:
        a = x
        for k in range(last):
            a = jax.nn.relu(a @ p[f"W{k}"].T + p[f"b{k}"])
        z = a @ p[f"W{last}"].T + p[f"b{last}"]
        return -(y * jax.nn.log_softmax(z)).sum() / task.batch

    @jax.jit
    def step(p: Any, state: Any) -> Any:
        value, g = jax.value_and_grad(loss)(p)
        if task.rule == "sgd":
            return {k: p[k] - RATE * g[k] for k in p}, state, value
        t = state["t"] + 1
        m = {k: BETA1 * state["m"][k] + (1 - BETA1) * g[k] for k in p}
        v = {k: BETA2 * state["v"][k] + (1 - BETA2) * g[k] * g[k] for k in p}
        c1, c2 = (1 - BETA1**t).astype("float32"), (1 - BETA2**t).astype("float32")
        new = {k: p[k] - RATE * (m[k] / c1) / (jnp.sqrt(v[k] / c2) + EPS) for k in p}
        return new, {"m": m, "v": v, "t": t}, value

    p = {k: jnp.asarray(w) for k, w in p.items()}
    x, y = jnp.asarray(x), jnp.asarray(y)
    zeros = {k: jnp.zeros_like(w) for k, w in p.items()}
    state: Any = {"m": zeros, "v": zeros, "t": jnp.asarray(0)} if task.rule == "adam" else 0

    def one() -> Any:
        nonlocal p, state
        p, state, value = step(p, state)
        return value.block_until_ready()

    return one


def products(task: Task) -> Callable[[], None]:
    """The matrix products alone."""
    p, x, _ = data(task)
    todo = []
    a = x
    for k in range(len(task.sizes) - 1):
        W = p[f"W{k}"]
        d = np.ones((task.batch, len(W)), task.dtype)
        todo += [(a, W.T, d.copy()), (d.T, a, np.empty_like(W))] + ([(d, W, np.empty_like(a))] if k else [])
        a = d

    def one() -> None:
        for left, right, out in todo:
            np.dot(left, right, out)

    return one


PROGRAMS: dict[str, Callable[[Task], Callable[[], Any]]] = {
    "products alone": products,
    "NumPy by hand": by_hand,
    "eager": lambda task: compiled(task, "eager"),
    "compiled, numpy": lambda task: compiled(task, "numpy"),
    "compiled, numpy, donated": lambda task: compiled(task, "numpy", (0, 1)),
    "compiled, numba": lambda task: compiled(task, "numba"),
    "compiled, numba, donated": lambda task: compiled(task, "numba", (0, 1)),
    "jax.jit": jax_jit,
}


def work(name: str, program: str, turns: int = 15) -> dict[str, float]:
    """Measure one program in this process: microseconds a call (median of turns), first call, peak memory."""
    import resource

    task = TASKS[name]
    begin = time.perf_counter()
    one = PROGRAMS[program](task)
    one()
    first = time.perf_counter() - begin
    for _ in range(max(task.calls // 4, 3)):
        one()
    seconds = []
    for _ in range(turns):
        start = time.perf_counter()
        for _ in range(task.calls):
            one()
        seconds.append((time.perf_counter() - start) / task.calls)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"us": statistics.median(seconds) * 1e6, "least": min(seconds) * 1e6, "first": first, "peak": peak}


def main(arguments: list[str]) -> None:
    """Run every program of every step a few times, in turns, and print medians and ratios."""
    peers = arguments[arguments.index("--peers") + 1] if "--peers" in arguments else None
    rounds = int(arguments[arguments.index("--rounds") + 1]) if "--rounds" in arguments else 5
    only = [name for name in TASKS if name in arguments] or list(TASKS)
    chosen = [p for p in PROGRAMS if p in arguments] or list(PROGRAMS)
    for name in only:
        found: dict[str, list[dict[str, float]]] = {}
        for _ in range(rounds):
            for program in chosen:
                python = peers if program == "jax.jit" else sys.executable
                if python is not None:
                    command = [python, str(Path(__file__)), "work", name, program]
                    command_env = {**os.environ, "PYTHONPATH": "."}
                    done = subprocess.run(command, capture_output=True, text=True, env=command_env)
                    if done.returncode == 0:
                        found.setdefault(program, []).append(json.loads(done.stdout.splitlines()[-1]))
                    else:
                        print(f"{program}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
        print(f"\n{name}, batch {TASKS[name].batch}, {TASKS[name].dtype}, {TASKS[name].rule}\n")
        print(f"{'':26}{'µs a step':>11} {'least':>10} {'ratio':>7} {'to jax':>7} {'first s':>8} {'peak MB':>8}")
        for program, runs in found.items():
            ratio = [_over(runs, found.get(base, []), "us") for base in ("NumPy by hand", "jax.jit")]
            row = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            print(
                f"{program:26}{row['us']:11.1f} {row['least']:10.1f} {ratio[0]:7.3f} {ratio[1]:7.3f}"
                f" {row['first']:8.2f} {row['peak']:8.0f}"
            )


def _over(runs: list[dict[str, float]], base: list[dict[str, float]], key: str) -> float:
    """Return the median ratio of runs of the same turn."""
    pairs = list(zip(runs, base, strict=False))
    return statistics.median(a[key] / b[key] for a, b in pairs) if pairs else float("nan")


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        print(json.dumps(work(sys.argv[2], sys.argv[3])))
    else:
        main(sys.argv[1:])
