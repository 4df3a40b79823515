"""Measure objectives and gradients, ours, by hand in C++ and in other libraries, or check the adapter.

`python -m tests.benchmarks.gradbench [EVAL ...]`
"""

from __future__ import annotations

import argparse
import platform
import sys
from pathlib import Path

import numpy as np

from ..__main__ import load, machine
from ..runner import PEERS, Found, in_turns
from ..tables import over, short
from .evaluations import EVALUATIONS
from .inputs import MIDDLE
from .programs import OURS, SCANNED, TAPED, functions

HERE = "tests.benchmarks.gradbench"
HAND = "C++ by hand"
OTHERS = ("jax.jit", "torch", "HIPS autograd", "CasADi")
ALL = (HAND, *OURS, *OTHERS, *TAPED)
NAMES = {"replay": "compiled, NumPy", "numba": "compiled, numba", "scan": "numba, scan"}
LONG = ("particle", "saddle")  # whose calls take many seconds
PATIENCE = 60.0  # seconds until a program's first answer
SAME = 1e-9  # relative; what two ways to compute the same may differ by


def line(step: str, program: str, *options: str) -> list[str]:
    """Return the command of a program of an evaluation."""
    other = program.split(":")[0] in OTHERS
    return [PEERS if other else sys.executable, "-m", f"{HERE}.{'peers' if other else 'programs'}", step, program,
            *options]  # fmt: skip


def measured(evaluation: str, programs: list[str], options: argparse.Namespace) -> dict[str, Found]:
    """Return what each function of each program showed, all in turns."""
    names = [f"{program}: {function}" for program in programs for function in functions(evaluation)]
    turns = min(options.turns, 2) if evaluation in LONG else options.turns
    return in_turns(evaluation, names, turns, options.seconds, line, options.threads, options.patience)


def table(evaluation: str, found: dict[str, Found], programs: list[str]) -> str:
    """Return a row for each program for which the evaluation was written."""
    asked = functions(evaluation)
    programs = [name for name in programs if any(written(found[f"{name}: {function}"]) for function in asked)]
    title = f"{evaluation}, {MIDDLE[evaluation][0]}\n\n"
    if "objective" not in functions(evaluation):
        names = list(functions(evaluation))
        rows = [f"{'':16}" + "".join(f"{name + ' ms':>12}" for name in names)]
        for program in programs:
            cells = [found[f"{program}: {name}"] for name in names]
            rows.append(row(program, [short(1e3 * one.sample.median) if one.sample else "-" for one in cells], cells))
        return title + "\n".join(rows)
    rows = [f"{'':16}{'objective':>12}{'gradient ms':>12}{'quartiles':>15}{'g/obj':>8}{'g/C++':>8}{'obj/C++':>8}"]
    for program in programs:
        objective, gradient = (found[f"{program}: {name}"] for name in ("objective", "gradient"))
        cells = [short(1e3 * one.sample.median) if one.sample else "-" for one in (objective, gradient)]
        low, high = (1e3 * x for x in gradient.sample.spread) if gradient.sample else (float("nan"),) * 2
        base = [found[f"{HAND}: {name}"].sample if HAND in programs else None for name in ("gradient", "objective")]
        ratios = (
            over(gradient.sample, objective.sample), over(gradient.sample, base[0]), over(objective.sample, base[1]),
        )  # fmt: skip
        text = "".join(f"{cell:>12}" for cell in cells) + f"{short(low) + '-' + short(high):>15}"
        text += "".join(f"{short(ratio):>8}" for ratio in ratios)
        if gradient.sample is None:
            text = f"{cells[0]:>12}  {gradient.problem}"
        rows.append(row(program, [text], (objective, gradient))[:80].rstrip())
    return title + "\n".join(rows)


def written(found: Found) -> bool:
    """Return whether a program has this function of the evaluation."""
    return "it has no such step" not in (found.problem or "")


def row(program: str, cells: list[str], found: object) -> str:
    """Return a program's row; if none of its functions ran, why."""
    ones = [one for one in found if isinstance(one, Found)] if isinstance(found, (list, tuple)) else []
    if all(one.sample is None for one in ones):
        return f"{NAMES.get(program, program):16}  {ones[0].problem}"[:80]
    return f"{NAMES.get(program, program):16}" + "".join(f"{cell:>12}" for cell in cells)


def differing(evaluation: str, found: dict[str, Found], programs: list[str]) -> list[str]:
    """Return the functions of which two programs do not compute the same."""
    said = []
    for function in functions(evaluation):
        sums = {
            program: one.head["loss"]
            for program in programs
            if (one := found[f"{program}: {function}"]).sample is not None
        }
        if sums and max(sums.values()) - min(sums.values()) > SAME * max(1.0, *map(abs, sums.values())):
            said.append(f"{function}: these do not compute the same: {sums}")
    return said


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog=f"python -m {HERE}", description=__doc__)
    which = f"of {', '.join(EVALUATIONS)}; by default all but {' and '.join(LONG)}, which take many minutes"
    parser.add_argument("evaluations", nargs="*", metavar="EVAL", help=which)
    parser.add_argument("--turns", type=int, default=5, help="how often each program has its turn, at least 2")
    parser.add_argument("--seconds", type=float, default=0.1, help="how long a turn takes, at least one call")
    parser.add_argument("--threads", type=int, default=1, help="of every program")
    parser.add_argument("--patience", type=float, default=PATIENCE, help="seconds until a program's first answer")
    parser.add_argument("--skip", action="append", default=[], metavar="PROGRAM", help="leave a program out")
    which = "run the Python evaluations of this checkout of GradBench against the adapter instead"
    parser.add_argument("--checkout", type=Path, metavar="PATH", help=which)
    parser.add_argument("--mode", choices=OURS, default="eager", help="of the adapter, with --checkout")
    options = parser.parse_args(arguments)
    chosen = options.evaluations or [name for name in EVALUATIONS if options.checkout or name not in LONG]
    if unknown := [name for name in chosen if name not in EVALUATIONS]:
        parser.error(f"unknown evaluation {unknown[0]}; known are {', '.join(EVALUATIONS)}")
    if unknown := [name for name in options.skip if name not in ALL]:
        parser.error(f"unknown program {unknown[0]}; known are {', '.join(ALL)}")
    if options.checkout is not None:
        from .checkout import check

        sys.exit(check(options.checkout.resolve(), chosen, options.mode))
    before = load()
    for evaluation in chosen:
        programs = [name for name in ALL if name not in options.skip and (name != "scan" or evaluation in SCANNED)]
        found = measured(evaluation, programs, options)
        print("\n" + table(evaluation, found, programs), flush=True)
        for said in differing(evaluation, found, programs):
            print(said)
    print(f"\n{machine()}; Python {platform.python_version()}, NumPy {np.__version__}; threads: {options.threads}.")
    print(f"Load of the machine {before} before, {load()} after.")


if __name__ == "__main__":
    main()
