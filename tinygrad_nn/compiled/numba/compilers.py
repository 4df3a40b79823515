"""Several processes that compile what one plan needs, where that takes seconds.

numba compiles one function at a time in a process. So this process takes the functions of a plan from the front, others
take them from the back, and what they made is found in the folder on disk where machine code is kept. None of it is
needed: what no other process has made is compiled here.
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
from .cache import Kept, folder
from .expressions import code_of
from .machine import made
from .native import dtypes_of_products

EACH = 6  # functions for each more process: it takes a second to start, in which five are compiled
MOST = 3  # more processes
PATIENCE = 60.0  # seconds that the last functions of another process are waited for
ROOT = str(Path(__file__).resolve().parents[3])
START = f"import sys, json; sys.path[:] = json.loads(sys.argv[1]); from {__name__} import serve; serve()"

# "kernel": its source; "native": its module and name, and "given": what it is called with; or "product": a dtype.
Job = dict[str, Any]


def jobs(sources: Iterable[str], ops: Iterable[Op]) -> list[Job]:
    """Return what is compiled for kernels and for operations that functions of the package `native` do.

    One that is quickly done comes first, since it shows whether anything is missing; then, and last, those that take
    longest, so that no process waits long for another.
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
    """Return an argument for JSON: a number, or dtype and shape of an array, with its entries if these stand."""
    if isinstance(x, Value):
        return x.dtype(0) if x.weak else [code_of(x.dtype), list(x.shape)]
    return [x.dtype.str, list(x.shape), x.tolist()] if isinstance(x, np.ndarray) else x


def _kind(x: Any) -> Any:
    return (x[0], len(x[1])) if isinstance(x, list) else type(x).__name__


def _stand_in(x: Any) -> Any:
    """Return an argument of a kind; an array of zeros takes no memory until somebody looks at it."""
    if not isinstance(x, list):
        return x
    return np.array(x[2], x[0]).reshape(x[1]) if len(x) == 3 else np.zeros(x[1], x[0])


def prepare(job: Job) -> None:
    """Compile what a job names, or find it on disk."""
    if "kernel" in job:
        made(job["kernel"])
        return
    if "product" in job:
        from .native.blocked import ready

        ready(np.dtype(job["product"]))
        return
    from .native.build import preparing

    module, name = job["native"]
    with preparing():
        getattr(import_module(f"{__package__}.native.{module}"), name)(*map(_stand_in, job["given"]))


def together(found: list[Job]) -> None:
    """Compile what jobs name, or find it on disk, with other processes from where it turns out that much is missing."""
    left = deque(found)
    helpers: list[Helper] = []
    before = Kept.compiled
    try:
        while (job := _next(left)) is not None:
            prepare(job)
            if not helpers and Kept.compiled > before:
                with suppress(OSError, RuntimeError):  # no more processes, or threads, can be had
                    for _ in range(count(len(left))):
                        helpers += [Helper(left)]
        for helper in helpers:
            helper.wait()
    finally:
        for helper in helpers:
            helper.end()


def _next(left: deque[Job]) -> Job | None:
    """Return the first of the jobs that are left; another thread takes them too, from the back."""
    try:
        return left.popleft()
    except IndexError:
        return None


def count(functions: int) -> int:
    """Return how many more processes so many functions are worth."""
    able = bool(sys.executable) and not getattr(sys, "frozen", False) and folder() is not None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(0, min(cores - 1, functions // EACH, MOST)) if able else 0


class Helper:
    """Another process, and a thread that hands it a job whenever it has done one."""

    def __init__(self, left: deque[Job]) -> None:
        self.left = left
        # No file where this process happens to stand, and no variable, decides what is imported there.
        given: list[Any] = sys.path
        paths = [path for path in given if isinstance(path, str) and os.path.isabs(path)]
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
        """Answer each line with a job, until none is left or the process has ended."""
        with suppress(IndexError, OSError, TypeError):  # a TypeError of what JSON has no word for: it is compiled here
            for _ in self.process.stdout:
                self.process.stdin.write(json.dumps(self.left.pop()) + "\n")
                self.process.stdin.flush()

    def wait(self) -> None:
        """Wait until it has done what it took."""
        self.thread.join(PATIENCE)

    def end(self) -> None:
        """End it."""
        self.process.kill()
        self.thread.join()
        self.process.communicate()


def serve() -> None:
    """Ask for a job with each line that is printed, and do it. What fails here fails again where it is needed."""
    from .native import build  # noqa: F401 - which takes its time, before there is a job to wait for

    while True:
        sys.stdout.write("\n")
        sys.stdout.flush()
        line = sys.stdin.readline()
        if not line:
            return
        with suppress(Exception):
            prepare(json.loads(line))
