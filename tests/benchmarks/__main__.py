"""Run the benchmarks and print what they found: `python -m tests.benchmarks [PART ...]`."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from . import chain, conv, dispatch, drawing, importing, starts, step, steps, tasks
from .runner import CHAIN, PEERS, PERCEPTRON, ROOT, STEP, THREADS, Found, asked, environment, in_turns
from .tables import grid, over, table

LENGTHS = (10**3, 10**4, 10**5, 10**6)
NETWORKS = [*steps.TASKS, "cnn", "lstm", "transformer"]
SHORT = dict(zip(NETWORKS, ("4-40-3", "784-..", "1024-..", "CNN", "LSTM", "block"), strict=True))
BOUNDS = {  # program, base, and for each step the most that the ratio may be
    ("eager", "NumPy by hand"): (1.3, 1.0, 1.0),
    ("eager, Tensors", "NumPy by hand"): (1.3,),
    ("eager", "torch"): (0.333,),
    ("eager", "MyGrad"): (0.333,),
    ("compiled, NumPy", "NumPy by hand"): (0.8, 0.8, 0.95),
    ("compiled, numba", "NumPy by hand"): (0.2,),
    ("compiled, numba", "jax.jit"): (0.3, 0.6, 0.95, None, None, 0.7),
    ("compiled, numba", "torch"): (None, None, None, 0.65, 0.6, 1.0),
}
BEGIN, END = "<!-- what python -m tests.benchmarks printed -->", "<!-- until here -->"


class Run:
    """One run: its options, the figures so far, and what it printed."""

    def __init__(self, turns: int, seconds: float, skip: list[str]) -> None:
        self.turns, self.seconds, self.skip = turns, seconds, skip
        self.found: dict[str, dict[str, Found]] = {}
        self.versions: dict[str, str] = {}
        self.text: list[str] = []

    def say(self, text: str = "") -> None:
        self.text.append(text)
        print(text, flush=True)

    def measure(self, name: str, programs: list[str], turns: int | None = None) -> dict[str, Found]:
        """Run programs of a step in turns, and keep what they showed."""
        found = in_turns(name, [p for p in programs if p not in self.skip], turns or self.turns, self.seconds)
        for one in found.values():
            self.versions.update(one.head.get("versions", {}))
        self.found[name] = found
        return found


def machine() -> str:
    """Return processor, Python and NumPy in one line."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {os.cpu_count()} cores"


def load() -> str:
    """Return how many processes wanted to run in the last minute."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def network(name: str) -> Callable[[Run], None]:
    """Return what measures a training step."""

    def part(run: Run) -> None:
        run.say(f"\n{tasks.TITLES[name]}\n")
        found = run.measure(name, PERCEPTRON if name in steps.TASKS else STEP)
        run.say(table(found))
        losses = {key: one.head["loss"] for key, one in found.items() if one.sample and key != "products alone"}
        if losses and max(losses.values()) - min(losses.values()) > 1e-4 * abs(max(losses.values())):
            run.say(f"These do not compute the same: {losses}")

    return part


def perceptrons(run: Run) -> None:
    for name in steps.TASKS:
        network(name)(run)


def scalar(run: Run) -> None:
    run.say(f"\n{tasks.TITLES['scalar']}\n")
    run.say(table(run.measure("scalar", [name for name in STEP if name != "products alone"])))


def chains(run: Run) -> None:
    for length in LENGTHS:
        run.say(f"\nA node of a chain of {length:,}, forward and back; the cyclic collector is off in all\n")
        turns = min(run.turns, 3 if length > 10**5 else 5 if length > 10**4 else run.turns)
        run.say(table(run.measure(f"chain-{length}", CHAIN, turns), length))
    first, last = (run.found[f"chain-{length}"]["eager"].sample for length in (LENGTHS[0], LENGTHS[-1]))
    if first and last:
        growth = last.median / LENGTHS[-1] / (first.median / LENGTHS[0])
        run.say(f"\neager, a node of the longest over one of the shortest: {growth:.2f} (bound 1.2)")


def imports(run: Run) -> None:
    run.say("\nImport, with the start of Python, in turns; ours over numpy is bound by 1.3\n")
    run.say(table(importing.measured(min(run.turns, 9)), bases=importing.PACKAGES))


def sums(run: Run) -> None:
    """Say what is known of all steps that were measured: starts, memory, floor, bounds."""
    names = [name for name in NETWORKS if name in run.found]
    if not names:
        return
    titles = [SHORT[name] for name in names]

    def rows(value: Callable[[Found, Found], float]) -> dict[str, dict[str, float | str]]:
        floors = {name: run.found[name].get("products alone", Found({})) for name in names}
        return {
            program: {SHORT[name]: value(run.found[name][program], floors[name]) for name in names
                      if program in run.found[name]}
            for program in PERCEPTRON if any(program in run.found[name] for name in names)
        }  # fmt: skip

    nan = float("nan")
    run.say("\nThe floor: what the matrix products alone would take of the time, in %\n")
    run.say(grid(rows(lambda one, floor: 100 * over(floor.sample, one.sample)), titles))
    run.say("\nSeconds until the first step is done: tracing, compiling or its cache (bound 10)\n")
    run.say(grid(rows(lambda one, _: one.head.get("first", nan)), titles))
    run.say("\nMegabytes by which the process grew at most, data included, compiling not\n")
    run.say(grid(rows(lambda one, _: one.peak), titles))
    run.say("\nWhat must hold\n")
    for (program, base), limits in BOUNDS.items():
        for name, limit in zip(NETWORKS, limits, strict=False):
            pair = [run.found.get(name, {}).get(key, Found({})).sample for key in (program, base)]
            ratio = over(*pair)
            if limit is not None and ratio == ratio:
                verdict = "holds" if ratio <= limit else "MISSED"
                run.say(f"{program + ' over ' + base:36}{SHORT[name]:>8}{ratio:9.3f}  at most {limit:<6}{verdict}")


def memory(run: Run) -> None:
    """Say what arrays take at most in a step, over what a step must hold."""
    run.say("\nMost bytes of arrays in a step, over what a step must hold (bound 1.2)\n")
    rows: dict[str, dict[str, float | str]] = {}
    for name in list(steps.TASKS)[1:]:
        line = [sys.executable, "-m", "tests.benchmarks.eager", "memory", name]
        done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, env=environment())
        room = json.loads(done.stdout) if done.returncode == 0 else {"must": float("nan")}
        rows.setdefault("must hold, MB", {})[SHORT[name]] = room["must"]
        rows.setdefault("eager", {})[SHORT[name]] = room.get("peak", float("nan")) / room["must"]
        for program in ("NumPy by hand", "compiled, NumPy", "compiled, numba"):
            if program in run.skip:
                continue
            found = asked(name, program, "--bytes").get("bytes", float("nan"))
            rows.setdefault(program, {})[SHORT[name]] = found / 1e6 / room["must"]
    run.say(grid(rows, [SHORT[name] for name in list(steps.TASKS)[1:]]))


def profiles(run: Run) -> None:
    run.say("\nWhere the time of an eager step goes; back is the rules")
    for name in [*NETWORKS, "scalar"]:
        line = [sys.executable, "-m", "tests.benchmarks.profile", name, str(min(1.0, 10 * run.seconds))]
        done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, env=environment())
        run.say("\n" + (done.stdout if done.returncode == 0 else f"{name}: {done.stderr.splitlines()[-1]}").rstrip())


def check(run: Run) -> None:
    """Say the first three losses of every program, at a learning rate that shows."""
    for name in [*NETWORKS, "scalar"]:
        rate = tasks.RATES.get(name, 0.01)
        run.say(f"\n{name}: the first three losses at a learning rate of {rate}")
        for program in PERCEPTRON:
            if program == "products alone" or program in run.skip:
                continue
            said = asked(name, program, "--losses", str(rate))
            losses = "  ".join(f"{loss:.6f}" for loss in said.get("losses", ()))
            run.say(f"{program:16}  {losses or Found(said).problem}"[:80])


def alone(main: Callable[[], None], title: str) -> Callable[[Run], None]:
    """Return a part that prints by itself."""

    def part(run: Run) -> None:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            main()
        run.say(f"\n{title}\n\n{out.getvalue().rstrip()}")

    return part


PARTS: dict[str, Callable[[Run], None]] = {
    "steps": perceptrons,
    **{name: network(name) for name in NETWORKS},
    "scalar": scalar,
    "chain": chains,
    "import": imports,
    "memory": memory,
    "profile": profiles,
    "check": check,
    "starts": alone(starts.main, "The first call of a compiled step, imports aside"),
    "dispatch": alone(dispatch.main, str(dispatch.__doc__)),
    "trainnn": alone(step.main, "A step of TrainNN and of both roads, in one process"),
    "collector": alone(chain.main, "A node of a chain, forward, back, and letting go"),
    "conv": alone(lambda: conv.main(["--peers", PEERS]), "A convolution alone"),
    "drawing": alone(drawing.main, str(drawing.__doc__)),
}
USUAL = ["steps", "cnn", "lstm", "transformer", "scalar", "chain", "import", "memory", "starts", "profile", "dispatch"]


def written(page: str, text: str) -> str:
    """Return a page with its marked block replaced."""
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"the page needs one line {BEGIN} and one line {END}; what stands between them is replaced.")
    block = f"{BEGIN}\n\n```text\n{text.strip()}\n```\n\n{END}"
    return re.sub(re.escape(BEGIN) + ".*" + re.escape(END), lambda _: block, page, flags=re.DOTALL)


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    which = f"of {', '.join(PARTS)}; by default {', '.join(USUAL)}"
    parser.add_argument("parts", nargs="*", metavar="PART", help=which)
    parser.add_argument("--turns", type=int, default=11, help="how often each program has its turn, at least 2")
    parser.add_argument("--seconds", type=float, default=0.1, help="how long a turn takes, at least one call")
    parser.add_argument("--skip", action="append", default=[], metavar="PROGRAM", help="leave a program out")
    parser.add_argument("--write", metavar="PAGE", help="put what is printed into the marked block of a page")
    options = parser.parse_args(arguments)
    parts = options.parts or USUAL
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"unknown part {unknown[0]}; known are {', '.join(PARTS)}")
    begin, before = time.time(), load()
    run = Run(options.turns, options.seconds, options.skip)
    for part in parts:
        PARTS[part](run)
    sums(run)
    found = ", ".join(f"{name} {version}" for name, version in sorted(run.versions.items()))
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}{', ' + found if found else ''}"
    head = (
        f"{machine()}; {platform.system()}\n{textwrap.fill(versions, 80)}\n"
        f"Every program has {THREADS} threads. Load of the machine {before} before, {load()} after,\n"
        f"of which about 1 to {THREADS} is this run. {time.time() - begin:.0f} s in all.\n"
    )
    print("\n" + head)
    if options.write:
        page = Path(options.write)
        text = "\n".join([head, *run.text])
        page.write_text(written(page.read_text("utf-8"), text), "utf-8")


if __name__ == "__main__":
    main()
