"""The programs that are measured here: `python -m tests.benchmarks.gradbench.programs EVAL 'eager: objective'`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..worker import Program, Step, serve
from .evaluations import EVALUATIONS
from .inputs import MIDDLE

OURS = ("eager", "replay", "numba", "scan")
SCANNED = ("lstm", "ode")
TAPED = ("CppAD", "ADOL-C")
ROOM = tempfile.TemporaryDirectory(prefix="gradbench")  # goes when the process ends


def checksum(result: Any) -> float:
    """Return one number of all that a program returned, by which two programs are compared."""
    flat = numbers(result)
    return float(flat @ np.cos(np.arange(len(flat))))


def numbers(result: Any) -> Any:
    """Return all numbers of what a program returned in one array."""
    parts = result.values() if isinstance(result, dict) else result if isinstance(result, (tuple, list)) else (result,)
    return np.concatenate([np.ravel(np.asarray(part, float)) for part in parts])


def stepped(run: Callable[[], Any]) -> Step:
    """Return a step whose first call returns a checksum, and whose others do nothing but run."""
    fresh = True

    def one() -> float:
        nonlocal fresh
        result = run()
        if not fresh:
            return 0.0
        fresh = False
        return checksum(result)

    return one


def functions(evaluation: str) -> dict[str, str]:
    """Return what is measured of an evaluation: objective and gradient, or all functions of one that has neither."""
    named = EVALUATIONS[evaluation].functions
    if "objective" not in named.values():
        return {name: name for name in named}
    return {"objective" if kind == "objective" else "gradient": name for name, kind in named.items()}


def make(program: str, function: str, evaluation: str) -> Step | None:
    name = functions(evaluation).get(function)
    if name is None:
        return None
    given = MIDDLE[evaluation][1]()
    if program == "C++ by hand":
        from . import by_hand

        return stepped(by_hand.task(evaluation, name, given).run) if evaluation in by_hand.CALLS else None
    if program in TAPED:
        from . import taped

        os.chdir(ROOM.name)  # ADOL-C writes a long tape into files of this folder
        shown = evaluation in taped.SIZES and (evaluation, function) != ("ode", "objective")  # which has many numbers
        return stepped(taped.task(program, evaluation, name, given).run) if shown else None
    from . import ours

    if program == "scan" and evaluation not in SCANNED:
        return None
    return stepped(ours.task(evaluation, name, given, program).run)


FUNCTIONS = ("objective", "gradient", "ff", "fr", "rf", "rr")
PACKAGES = dict.fromkeys(("numba", "scan"), ("numba",))
PROGRAMS = {
    f"{program}: {function}": Program(
        partial(make, program, function), ("numba",) if program in ("numba", "scan") else ()
    )
    for program in (*OURS, "C++ by hand", *TAPED)
    for function in FUNCTIONS
}

if __name__ == "__main__":
    serve(PROGRAMS)
