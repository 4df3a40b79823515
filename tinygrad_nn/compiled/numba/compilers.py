"""Compiles the functions of one plan in several processes at once, if that would take seconds.

numba compiles only one function at a time in a process. So this process takes functions from the front of a list, other
processes take them from the back, and their results are loaded from the cache on disk. The other processes are never
needed for correctness: a function that none of them has compiled is compiled here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from ..program.values import Arg, Op, Value
from .cache import FunctionCache, folder
from .expressions import code_of
from .machine import kernel_function
from .native import dtypes_of_products

EACH = 6  # one more process for so many functions: it takes a second to start, in which five are compiled
MOST = 3  # the most processes that are started
PATIENCE = 60.0  # how many seconds to wait for the last functions of another process
ROOT = str(Path(__file__).resolve().parents[3])
START = f"import sys, json; sys.path[:] = json.loads(sys.argv[1]); from {__name__} import serve; serve()"

# {"kernel": source}, {"native": [module, name], "given": arguments} or {"product": character of a dtype}.
Job = dict[str, Any]


def compile_jobs(sources: Iterable[str], ops: Iterable[Op]) -> list[Job]:
    """Return the compilation jobs for kernels and for functions of the package `native`.

    A quick one comes first, since it shows whether the cache on disk is empty. The longest ones come at the front and
    at the back, where the processes begin, so that no process waits long for another at the end.
    """
    kernels: list[Job] = [{"kernel": text} for text in sorted(set(sources), key=lambda text: (-len(text), text))]
    ops = list(ops)
    natives: dict[str, Job] = {str(dtype): {"product": dtype.char} for dtype in dtypes_of_products(ops)} if ops else {}
    for op in ops:
        given = [_described(x) for x in [*op.args, *op.outs, *op.extra]]
        kinds = [op.function.module, op.function.function, *[_kind(x) for x in given]]
        natives.setdefault(str(kinds), {"native": kinds[:2], "given": given})
    quick, rest = kernels[-1:], [*natives.values(), *kernels[:-1]]
    return [*quick, *rest[::2], *reversed(rest[1::2])]


def _described(x: Arg | Any) -> Any:
    """Return an argument as JSON data: a number, or an array's dtype and shape, with the entries of constants."""
    if isinstance(x, Value):
        return x.dtype(0) if x.weak else [code_of(x.dtype), list(x.shape)]
    return [x.dtype.str, list(x.shape), x.tolist()] if isinstance(x, np.ndarray) else x


def _kind(x: Any) -> Any:
    return (x[0], len(x[1])) if isinstance(x, list) else type(x).__name__


def _make_argument(x: Any) -> Any:
    """Return an argument made from its description; arrays of zeros take no memory until they are read."""
    if not isinstance(x, list):
        return x
    return np.array(x[2], x[0]).reshape(x[1]) if len(x) == 3 else np.zeros(x[1], x[0])


def prepare(job: Job) -> None:
    """Compile the function of a job, or load it from disk."""
    if "kernel" in job:
        kernel_function(job["kernel"])
        return
    if "product" in job:
        from .native.blocked import ready

        ready(np.dtype(job["product"]))
        return
    from .native.build import preparing

    module, name = job["native"]
    with preparing():
        getattr(import_module(f"{__package__}.native.{module}"), name)(*map(_make_argument, job["given"]))


def compile_all(jobs: list[Job]) -> None:
    """Compile the functions of all jobs, or load them; start other processes once it shows that many are missing."""
    left = deque(jobs)
    helpers: list[Helper] = []
    before = FunctionCache.compiled
    try:
        while (job := _next_job(left)) is not None:
            prepare(job)
            if not helpers and FunctionCache.compiled > before:
                with suppress(OSError, RuntimeError):  # no further process or thread can be started
                    for _ in range(process_count(len(left))):
                        helpers += [Helper(left)]
        for helper in helpers:
            helper.wait()
    finally:
        for helper in helpers:
            helper.end()


def _next_job(remaining: deque[Job]) -> Job | None:
    """Return the first remaining job, or None; other threads take jobs from the back at the same time."""
    try:
        return remaining.popleft()
    except IndexError:
        return None


def process_count(functions: int) -> int:
    """Return how many more processes to start for so many functions."""
    able = bool(sys.executable) and not getattr(sys, "frozen", False) and folder() is not None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(0, min(cores - 1, functions // EACH, MOST)) if able else 0


class Helper:
    """Another process, and a thread that sends it a job whenever it has finished one."""

    def __init__(self, remaining: deque[Job]) -> None:
        self.remaining = remaining
        # The process must not import files from the current folder, or from where environment variables say.
        search_path: list[Any] = sys.path
        paths = [path for path in search_path if isinstance(path, str) and os.path.isabs(path)]
        line = [sys.executable, "-I", *["-O"] * sys.flags.optimize, "-c", START, json.dumps([*paths, ROOT])]
        window = getattr(subprocess, "CREATE_NO_WINDOW", 0)
        self.process: Any = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            creationflags=window,
        )  # fmt: skip
        self.thread = Thread(target=self._hand_out, daemon=True)
        try:
            self.thread.start()
        except RuntimeError:
            self.process.kill()
            self.process.communicate()
            raise

    def _hand_out(self) -> None:
        """Answer each line of the process with a job, until none is left or the process has ended."""
        with suppress(IndexError, OSError, TypeError):  # TypeError: a job is not JSON data, so it is compiled here
            for _ in self.process.stdout:
                self.process.stdin.write(json.dumps(self.remaining.pop()) + "\n")
                self.process.stdin.flush()

    def wait(self) -> None:
        """Wait until it has finished the jobs that it took, at most `PATIENCE` seconds."""
        self.thread.join(PATIENCE)

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.thread.join()
        self.process.communicate()


def serve() -> None:
    """Run in the other process: print a line to ask for a job, and do it; if it fails, so it will in the first."""
    from .native import build  # noqa: F401 - a slow import, done before the first job is asked for

    while True:
        sys.stdout.write("\n")
        sys.stdout.flush()
        line = sys.stdin.readline()
        if not line:
            return
        with suppress(Exception):
            prepare(json.loads(line))
