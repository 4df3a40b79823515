"""Run other projects' tests with autograd and with ours in its place: ``python -m tests.outside autograd pymanopt``.

It makes a virtual environment, installs the packages there, fetches their sources (the registry's source distribution,
or the project's repository where that has no tests) and prints a table for docs/from_autograd.md. Nothing of theirs
stays.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

from .suites import SUITES, Suite

ROOT = Path(__file__).resolve().parents[2]
DIGITS = """import numpy as np
def mnist():
    draw = np.random.RandomState(0)
    part = lambda n: (draw.randint(0, 256, (n, 28, 28)).astype(float), draw.randint(0, 10, n))
    return *part(1000), *part(200)
"""


def run(work: Path, arguments: list[str]) -> bool:
    """Run the suites that are named, all by default, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.outside autograd", description=__doc__)
    parser.add_argument("suites", nargs="*", help=f"which of {', '.join(SUITES)}; all by default")
    parser.add_argument("--only", choices=["theirs", "ours"], help="run with one of the two")
    parser.add_argument("--seconds", type=float, default=60, help="for each example of autograd's, 60 by default")
    parser.add_argument("--failures", action="store_true", help="show what pytest says of each failure")
    options = parser.parse_args(arguments)
    unknown = set(options.suites) - set(SUITES)
    if unknown:
        parser.error(f"no suite named {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    folder = work.resolve()
    chosen = {name: SUITES[name] for name in options.suites or SUITES}
    python = environment(folder / "env", chosen)
    print("| suite | with autograd | with ours | left out |\n|---|---|---|---|")
    for suite in chosen.values():
        source = sources(folder / "sources", suite, python)
        ways = [options.only] if options.only else ["theirs", "ours"]
        cells = dict.fromkeys(("theirs", "ours"), "")
        if suite.command:
            cells |= {way: tested(suite, source, folder, python, way, options.failures) for way in ways}
        else:
            cells |= examples(source, folder, python, ways, options.seconds)
        row = [f"{suite.package} {suite.tests}", cells["theirs"], cells["ours"], suite.without]
        print(f"| {' | '.join(row)} |", flush=True)
    return True


def environment(folder: Path, chosen: dict[str, Suite]) -> Path:
    """Return the Python of a virtual environment in which the packages of the suites are installed."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    wanted = {"autograd==1.9.1", "pytest", "matplotlib", "scipy"}
    for suite in chosen.values():
        wanted |= {suite.package, *suite.besides}
    output_of([python, "-m", "pip", "install", "--quiet", *sorted(wanted)])
    return python


def sources(folder: Path, suite: Suite, python: Path) -> Path:
    """Return the folder of a suite's source, fetched if it is not there."""
    name, _, version = suite.package.partition("==")
    folder.mkdir(exist_ok=True)
    place = folder / f"{name}-{version}"
    if not place.exists() and suite.git:
        output_of(["git", "clone", "--quiet", "--depth", "1", suite.git, place])
    elif not place.exists():
        only_source = ["--no-deps", "--no-binary", name]
        output_of([python, "-m", "pip", "download", "--quiet", *only_source, "-d", folder, suite.package])
        archive = next(folder.glob(f"{name.replace('-', '?')}-{version}.tar.gz"))
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
    return place / suite.tests


def output_of(command: list[object], **options: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)
    if done.returncode and "env" not in options:
        raise SystemExit(f"{' '.join(map(str, command[:6]))} failed:\n{done.stderr[-2000:]}")
    return str(done.stdout)


def surroundings(folder: Path, way: str) -> dict[str, str]:
    """Return the environment variables of a run: with ours, a shim on the path puts it under autograd's name."""
    shim = folder / "shim"
    shim.mkdir(exist_ok=True)
    for name in ("sitecustomize.py", "shim.py"):
        shutil.copy(Path(__file__).with_name("shim.py"), shim / name)
    path = os.pathsep.join(map(str, [shim, *([ROOT] if way == "ours" else [])]))
    return {**os.environ, "PYTHONPATH": path, "AUTOGRAD": way, "MPLBACKEND": "Agg", "PYTHONUNBUFFERED": "1"}


def copied(source: Path, folder: Path, way: str) -> Path:
    """Return a copy of a folder of tests, out of sight of the source of the package."""
    place = folder / "runs" / way / source.name
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(source, place)
    return place


def tested(suite: Suite, source: Path, folder: Path, python: Path, way: str, failures: bool) -> str:
    """Run a suite; return pytest's last line, in short."""
    place = copied(source, folder, way)
    if "--noconftest" in suite.command:
        (place / "conftest.py").unlink(missing_ok=True)
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=.", "-c", os.devnull, *suite.command]
    out = output_of(command, cwd=place, env=surroundings(folder, way))
    if failures:
        print(out, file=sys.stderr)
    found = re.findall(r"\d+ (?:passed|failed|xpassed|xfailed|errors?)", out.strip().splitlines()[-1])
    return ", ".join(found) or "did not run"


def examples(source: Path, folder: Path, python: Path, ways: list[str], seconds: float) -> dict[str, str]:
    """Run each program of a folder for some seconds; return how many ran, and how many print the same numbers."""
    printed: dict[str, dict[str, str | None]] = {}
    for way in ways:
        place = copied(source, folder, way)
        (place / "data_mnist.py").write_text(DIGITS)
        files = sorted(path for path in place.rglob("*.py") if not path.name.startswith(("_", "data")))
        printed[way] = {path.stem: program(path, python, surroundings(folder, way), seconds) for path in files}
    cells = {}
    for way, outputs in printed.items():
        broken = [name for name, out in outputs.items() if out is None]
        cells[way] = f"{len(outputs) - len(broken)} of {len(outputs)} run"
        cells[way] += f" (not {', '.join(broken)})" if broken else ""
    if len(printed) == 2:
        other = [name for name, out in printed["theirs"].items() if out and not agree(out, printed["ours"][name] or "")]
        cells["ours"] += ", all print the same numbers" if not other else f"; other numbers: {', '.join(other)}"
    return cells


def program(path: Path, python: Path, variables: dict[str, str], seconds: float) -> str | None:
    """Return what a program prints in so many seconds, None if it fails."""
    process = subprocess.Popen([python, path.name], cwd=path.parent, env=variables, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    try:
        out, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0]
    if process.returncode:
        print(f"{path.name}: {(errors.strip().splitlines() or [process.returncode])[-1]}", file=sys.stderr)
    return None if process.returncode else out


def agree(theirs: str, ours: str) -> bool:
    """Tell whether two outputs have the same numbers to four digits, as far as both have come."""
    for line, other in zip(theirs.splitlines()[:-1], ours.splitlines()[:-1], strict=False):
        numbers = [[float(x) for x in re.findall(r"-?\d+\.?\d*(?:e[-+]?\d+)?", text)] for text in (line, other)]
        if len(numbers[0]) != len(numbers[1]):
            return False
        if any(abs(a - b) > 1e-4 * max(abs(a), 1) for a, b in zip(*numbers, strict=True)):
            return False
    return True
