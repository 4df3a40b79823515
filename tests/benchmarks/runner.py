"""Run several programs of one step, each in its own process, in turns, so that a slow moment affects all of them.

The peers run in the Python that TINYGRAD_NN_PEERS names, by default in this one. A program that is not installed, or
that fails, is named as such.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Timer
from typing import Any, NamedTuple

from .measure import Sample

ROOT = Path(__file__).resolve().parents[2]
PEERS = os.environ.get("TINYGRAD_NN_PEERS", sys.executable)
THREADS = os.cpu_count() or 1
# NPROC is what XLA goes by, the others are those of OpenMP, of the BLAS libraries and of numba.
LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "NPROC")
PATIENCE = 240.0  # seconds until the first answer
REST = 0.15  # seconds between turns: the threads of OpenBLAS ask for work for 0.1 before they sleep

WHERE = {
    "products alone": "ours", "NumPy by hand": "ours", "eager": "ours", "eager, Tensors": "ours",
    "compiled, NumPy": "ours", "compiled, numba": "ours", "torch": "peers.torch_", "torch.compile": "peers.torch_",
    "jax.jit": "peers.jax_", "jax.grad": "peers.jax_", "MyGrad": "peers.mygrad_",
    "HIPS autograd": "peers.autograd_",
}  # fmt: skip
STEP = [name for name in WHERE if name not in ("jax.grad", "eager, Tensors")]
PERCEPTRON = [name for name in WHERE if name != "jax.grad"]
CHAIN = ["NumPy by hand", "eager", "torch", "jax.grad", "MyGrad", "HIPS autograd"]


def environment(threads: int = THREADS) -> dict[str, str]:
    """Return the environment of every process: the same number of threads for all."""
    limits = dict.fromkeys(LIMITS, str(threads))
    return {**os.environ, **limits, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}


def command(step: str, program: str, *options: str) -> list[str]:
    """Return the command of a program."""
    python = PEERS if WHERE[program].startswith("peers") else sys.executable
    return [python, "-m", f"tests.benchmarks.{WHERE[program]}", step, program, *options]


class Found(NamedTuple):
    """What a program showed: its first answer, seconds a call in each turn, and the megabytes that its memory grew."""

    head: dict[str, Any]
    sample: Sample | None = None
    peak: float = float("nan")

    @property
    def problem(self) -> str | None:
        """Why there are no figures, in words."""
        if "missing" in self.head:
            return "not installed"
        return self.head.get("failed")


class Process:
    """A program that runs when it is told to."""

    def __init__(self, line: list[str], threads: int = THREADS, patience: float | None = None) -> None:
        self.patience = PATIENCE if patience is None else patience
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the process runs
        self.process = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, cwd=ROOT,
            env=environment(threads),
        )  # fmt: skip
        self.head = self.answer()

    def answer(self) -> dict[str, Any]:
        """Return the next line it says, or why there is none."""
        assert self.process.stdout
        timer = Timer(self.patience, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if line:
            return dict(json.loads(line))
        self.errors.seek(0)
        said = self.errors.read().strip().splitlines()
        return {"failed": f"ended by signal or after {self.patience:.0f} s" if not said else said[-1]}

    def turn(self) -> dict[str, Any]:
        """Let it run once."""
        assert self.process.stdin
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        return self.answer()

    def end(self) -> dict[str, Any]:
        """Tell it that this was all, and return its last words."""
        assert self.process.stdin
        assert self.process.stdout
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        last = self.answer()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()
        return last


def in_turns(
    step: str, programs: Iterable[str], turns: int, seconds: float, line: Callable[..., list[str]] = command,
    threads: int = THREADS, patience: float | None = None,
) -> dict[str, Found]:  # fmt: skip
    """Return what each program showed; `line` says how one is started."""
    processes, found = {}, {}
    for name in programs:
        process = Process(line(step, name, "--turns", "--seconds", str(seconds)), threads, patience)
        found[name] = Found(process.head)
        if found[name].problem is None:
            processes[name] = process
        else:
            process.end()
    times: dict[str, list[float]] = {name: [] for name in processes}
    for k in range(turns):
        names = list(processes)
        for name in names[k % len(names) :] + names[: k % len(names)]:
            time.sleep(REST)
            said = processes[name].turn()
            if "us" in said:
                times[name].append(said["us"] / 1e6)
            else:
                found[name] = Found(said)
                processes.pop(name).end()
    for name, process in processes.items():
        found[name] = Found(process.head, Sample(times[name]), process.end().get("peak", float("nan")))
    return found


def asked(step: str, program: str, *options: str) -> dict[str, Any]:
    """Return the only answer of a program."""
    process = Process(command(step, program, *options))
    process.end()
    return process.head
