"""The process that is measured: one program of one step, which runs on request.

`serve` answers in JSON, a line each. With `--turns` it waits for a line before each turn, so that several processes can
take turns; without, it takes a few by itself. `--losses RATE` shows what the program computes.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import re
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import steps

Step = Callable[[], Any]  # one call of it is one training step; it returns the loss before the step
LONGEST = 10.0  # seconds a call of a chain; what would take longer is left out
LONG = 0.5  # seconds a call; what takes so long is not called before each turn to warm up


class Program(NamedTuple):
    """How to make a step by its name, and the packages that it needs, which are not part of its memory or time."""

    make: Callable[[str], Step | None]
    packages: tuple[str, ...] = ()


def serve(programs: dict[str, Program], arguments: list[str] | None = None) -> None:
    """Do what the command line says, and print it."""
    parser = argparse.ArgumentParser(description="One program of one step, in a process of its own.")
    parser.add_argument("step")
    parser.add_argument("program", nargs="?", default=next(iter(programs)))
    parser.add_argument("--turns", action="store_true", help="wait for a line before each turn")
    parser.add_argument("--seconds", type=float, default=0.1, help="how long a turn takes, at least one call")
    parser.add_argument("--losses", type=float, metavar="RATE", help="print three losses at this learning rate")
    parser.add_argument("--bytes", action="store_true", help="print the most bytes that arrays took at once")
    asked = parser.parse_args(arguments)
    for answer in _answers(programs[asked.program], asked):
        print(json.dumps(answer), flush=True)


def _answers(program: Program, asked: argparse.Namespace) -> Any:
    try:
        for name in program.packages:
            importlib.import_module(name)
    except ModuleNotFoundError as error:
        yield {"missing": error.name}
        return
    versions = {name: metadata.version(name) for name in program.packages if name != "tinygrad_nn"}
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            yield from (_losses if asked.losses else _bytes if asked.bytes else _turns)(program, asked, versions, said)
    except Exception as error:
        yield {"failed": f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"}


def _made(program: Program, asked: argparse.Namespace, said: list[Any]) -> tuple[Step, Any]:
    """Return the step and what its first call returned."""
    one = program.make(asked.step)
    if one is None:
        raise NotImplementedError("it has no such step")  # the table leaves the program out
    loss = one()
    for warning in said:
        if "runs without compilation" in str(warning.message):
            raise RuntimeError(str(warning.message))
    return one, loss


def _losses(program: Program, asked: argparse.Namespace, *rest: Any) -> Any:
    steps.RATE = asked.losses
    one, loss = _made(program, asked, rest[-1])
    yield {"losses": [float(loss), float(one()), float(one())]}


def _bytes(program: Program, asked: argparse.Namespace, *rest: Any) -> Any:
    tracemalloc.start()
    one, _ = _made(program, asked, rest[-1])
    one()
    ours = tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)
    arrays = sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([ours]).traces)
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    one()
    yield {"bytes": arrays + tracemalloc.get_traced_memory()[1] - before}


def _turns(program: Program, asked: argparse.Namespace, versions: dict[str, str], said: list[Any]) -> Any:
    if asked.step.startswith("chain"):
        gc.disable()  # in every program: it would look through all of a chain again and again
        _foresee(program, int(asked.step[6:]))
    gc.collect()
    before = resident("VmRSS")
    start = time.perf_counter()
    one, loss = _made(program, asked, said)
    first = time.perf_counter() - start
    calls, least = 1, min(0.02, asked.seconds)
    while (spent := _seconds(one, calls)) < least:
        calls *= 2
    calls = max(1, round(asked.seconds * calls / spent))
    lower_mark()
    if spent < LONG:
        _seconds(one, calls)

    def turn() -> float:
        if spent < LONG:
            one()  # wakes the threads, fills the caches
        return 1e6 * _seconds(one, calls) / calls

    head = {"versions": versions, "first": first, "loss": float(loss), "calls": calls}
    if asked.turns:
        yield head
        for _ in sys.stdin:
            yield {"us": turn()}
        yield {"peak": resident("VmHWM") - before}
    else:
        yield {**head, "us": [turn() for _ in range(7)]}


def _foresee(program: Program, length: int) -> None:
    """Raise if a chain would take too long, going by a short one."""
    short = program.make("chain-1000")
    if short is not None:
        short()
        seconds = _seconds(short, 1) * length / 1000
        if seconds > LONGEST:
            raise TimeoutError(f"a chain of {length:,} would take {seconds:.0f} s")


def _seconds(one: Step, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        one()
    return time.perf_counter() - start


def resident(what: str) -> float:
    """Return the megabytes of memory this process has now, VmRSS, or has had at most, VmHWM; NaN where unknown."""
    try:
        found = re.search(rf"{what}:\s*(\d+) kB", Path("/proc/self/status").read_text("ascii"))
    except OSError:
        found = None
    return int(found[1]) / 1024 if found else float("nan")


def lower_mark() -> None:
    """Reset the record of this process's peak memory, if the system supports it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
