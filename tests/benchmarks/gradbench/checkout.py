"""The adapter against the Python evaluations of a checkout of GradBench: they send, judge what is answered, and say so.

Nothing of the checkout is built or changed. Most evaluations ask C++ programs of the checkout what is right; where
these are not built, the gradients by hand answer in their place, and for `ht` finite differences.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from ..runner import PEERS, ROOT
from .evaluations import EVALUATIONS, Problem

SIZES = {  # of the evaluations' own options, so that a check takes seconds
    "gmm": ["-d", "2", "10", "-k", "5", "10", "-n", "100"], "ba": ["--max", "2"], "lstm": ["-l", "2", "-c", "64"],
    "ht": ["--max", "2", "--model", "small"], "ode": ["-n", "100", "1000", "-s", "1", "10"],
    "lse": ["-n", "2500", "5000"], "llsq": ["-n", "16", "256"], "det": ["-l", "5", "6", "7"],
    "kmeans": ["-k", "10", "-n", "1000", "-d", "8", "16"],
}  # fmt: skip
ONCE = ["--min-runs", "1", "--min-seconds", "0"]
# What stands before an evaluation in its process: who says what is right.
BEFORE = """
import runpy, sys
from gradbench import cpp
name, path, stands_in = sys.argv.pop(1), sys.argv.pop(1), sys.argv.pop(1)
if stands_in == "yes":
    from tests.benchmarks.gradbench.checkout import right
    cpp.evaluate = right
sys.argv[0] = path
runpy.run_path(path, run_name="__main__")
"""


def check(checkout: Path, evaluations: list[str], mode: str, sizes: list[str] | None = None) -> int:
    """Run evaluations of a checkout against the adapter, print what they found, and return how many were not valid.

    Args:
        checkout: its folder.
        evaluations: their names.
        mode: of the adapter.
        sizes: options for all of them instead of small sizes.
    """
    if not (checkout / "python" / "gradbench" / "gradbench").is_dir():
        print(f"{checkout} is no checkout of GradBench: it has no folder python/gradbench/gradbench.")
        return len(evaluations)
    failed = 0
    for name in evaluations:
        valid, said = checked(checkout, name, mode, sizes)
        print(f"{name:10}{'valid' if valid else 'NOT VALID':11}{said}", flush=True)
        failed += not valid
    return failed


def checked(checkout: Path, name: str, mode: str, sizes: list[str] | None) -> tuple[bool, str]:
    """Run one evaluation; return whether all of its functions were valid, and what is to be said of it."""
    path = checkout / "python" / "gradbench" / "gradbench" / "evals" / name / "run.py"
    asks = name not in ("hello", "particle", "saddle")
    built = (checkout / "tools" / "manual" / "bin" / name).exists()
    options = SIZES.get(name, []) if sizes is None else sizes
    line = [PEERS, "-c", BEFORE, name, str(path), "yes" if asks and not built else "no", *options]
    if name != "hello":
        line += ONCE
    paths = [str(checkout / "python" / "gradbench"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONDONTWRITEBYTECODE": "1"}
    served = [sys.executable, "-m", f"{__package__}.adapter", "--mode", mode]
    with ExitStack() as stack:
        if shutil.which(PEERS) is None:
            return False, f"there is no {PEERS}: set TINYGRAD_NN_PEERS to the Python that runs the evaluations"
        kept = [stack.enter_context(TemporaryFile("w+")) for _ in range(2)]
        process = stack.enter_context(started(line, checkout, env, kept[0]))
        server = stack.enter_context(started(served, ROOT, {**os.environ}, kept[1]))
        verdicts, problems = session(process, server)
        ended = (("it", process.wait(), last_line(kept[0])), ("the adapter", server.wait(), last_line(kept[1])))
    problems += [f"{program} ended with {error or code}" for program, code, error in ended if code]
    asked = {name for name, _ in verdicts}
    missing = set(EVALUATIONS[name].functions) - asked
    if missing:
        problems.append(f"it did not judge {', '.join(sorted(missing))}")
    source = "" if not asks else ", by the checkout's programs" if built else ", by hand or differences"
    count = sum(valid for _, valid in verdicts)
    text = f"{count} of {len(verdicts)} answers{source}"
    return not problems and count == len(verdicts) > 0, "; ".join([text, *problems])


def started(line: list[str], folder: Path, env: dict[str, str], errors: Any) -> subprocess.Popen[str]:
    """Start a program that is told and tells lines."""
    pipe = subprocess.PIPE
    return subprocess.Popen(line, stdin=pipe, stdout=pipe, stderr=errors, text=True, cwd=folder, env=env)


def last_line(errors: Any) -> str:
    """Return the last line of a file that a process wrote its errors into, empty if there is none."""
    errors.seek(0)
    return (errors.read().strip().splitlines() or [""])[-1]


def session(process: Any, server: Any) -> tuple[list[tuple[str, bool]], list[str]]:
    """Carry messages and answers until the evaluation ends; return its verdicts by function, and what went wrong."""
    asked: dict[int, str] = {}
    verdicts, problems = [], []
    try:
        for line in process.stdout:
            message = json.loads(line)
            server.stdin.write(line)
            server.stdin.flush()
            answer = server.stdout.readline()
            if not answer:
                break
            if message["kind"] == "evaluate":
                reply = json.loads(answer)
                asked[message["id"]] = message["function"]
                if not reply["success"]:
                    problems.append(f"{message['function']} failed: {reply['error']}"[:200])
            if message["kind"] == "analysis":
                verdicts.append((asked[message["of"]], message["valid"]))
                if not message["valid"]:
                    problems.append(f"{asked[message['of']]}: {str(message.get('error')).strip()}"[:300])
            process.stdin.write(answer)
            process.stdin.flush()
    except (BrokenPipeError, ValueError) as error:  # one of them ended, or wrote what is no JSON
        problems.append(f"{type(error).__name__}: {error}"[:200])
    for one in (server, process):
        with suppress(BrokenPipeError):
            one.stdin.close()
    return verdicts, problems


def right(*, tool: str, module: str, function: str, input: Any) -> dict[str, Any]:
    """Answer in the place of the checkout's C++ programs, with what shares nothing with the derivatives on trial."""
    from . import by_hand, objectives

    if module != "ht":
        task = by_hand.task(module, function, input)
        return {"success": True, "output": json.loads(json.dumps(task.show(task.run())))}
    problem = EVALUATIONS["ht"].read(input, objectives)
    if function == "objective":
        return {"success": True, "output": problem.show(problem.objective(*problem.arguments))}
    columns = [difference(problem, k, i) for k in range(problem.wanted) for i in range(problem.arguments[k].size)]
    return {"success": True, "output": np.stack(columns, axis=1).tolist()}


def difference(problem: Problem, k: int, i: int, step: float = 1e-6) -> Any:
    """Return the central difference of an objective by entry i of argument k."""
    ends = []
    for h in (step, -step):
        arguments = list(problem.arguments)
        arguments[k] = arguments[k].copy()
        arguments[k].flat[i] += h
        ends.append(problem.objective(*arguments))
    return (ends[0] - ends[1]) / (2 * step)
