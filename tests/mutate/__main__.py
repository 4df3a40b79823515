"""Plant small faults in the package, one by one, and see whether the tests notice: `python -m tests.mutate 200`.

Signs, constants, dropped terms, axes, swapped arguments, off by one: each fault is a piece of a function body, drawn at
random, the same number in each room. It is planted in a copy of the project in a temporary folder, and the tests that
run its line are run, the closest first; what they let pass meets the slow tests in the end. A fault is killed when a
test fails, or when they take many times longer than without it. The first run finds out which test runs which lines,
which takes some minutes, and keeps that in --map.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from .faults import ROOMS, Fault, faults, not_drawn, same
from .lines import Map, batches, traced
from .runs import Chosen, copy, in_workers, prepare, run

ROOT = Path(__file__).resolve().parents[2]
LEAST = 15.0  # seconds of the processor that tests get in any case
COMPILING = 400.0  # and those that a fault in `native` gets once, after which all kernels are compiled anew


def drawn(root: Path, room: str, count: int, seed: int, at: str | None) -> tuple[list[Fault], int]:
    """Return faults of a room, drawn at random, and how many were drawn again, since they change no bytecode."""
    every = faults(root, room)
    if at is not None:
        path, _, line = at.rpartition(":")
        every = [fault for fault in every if fault.path.endswith(path) and fault.line == int(line)]
        count = len(every)
    random.Random(f"{seed} {room}").shuffle(every)
    chosen: list[Fault] = []
    void = 0
    for fault in every:
        if len(chosen) == count:
            break
        source = (root / fault.path).read_bytes()
        try:
            changed = compile(fault.planted(source), fault.path, "exec")
        except SyntaxError:
            void += 1
            continue
        if same(changed, compile(source, fault.path, "exec")):
            void += 1
        else:
            chosen.append(fault)
    return chosen, void


def plant(
    fault: Fault, tests: Map, slow: bool, folder: Path, kept: Path, each: float, memory: float
) -> tuple[str, str]:
    """Plant a fault in a copy, run quick or slow tests, and take it out; return "killed" or "survived", and by what."""
    file = folder / fault.path
    source, stamp = file.read_bytes(), file.stat()
    candidates, seen = tests.of(fault, slow)
    if not candidates:
        return "survived", f"no {'slow ' if slow else ''}test was seen to run this file"
    for cached in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
        cached.unlink()
    kernels, extra = kept / "kernels", 0.0
    if "/native/" in fault.path:  # the key of a kernel holds every source there
        kernels, extra = folder / "kernels", COMPILING
        shutil.rmtree(kernels, ignore_errors=True)
        kernels.mkdir(mode=0o700)
    ran: set[str] = set()
    try:
        file.write_bytes(fault.planted(source))
        for batch in batches(candidates, seen, tests.collecting, each):
            paths = list(dict.fromkeys(test.file for test in batch))
            seconds = sum(test.seconds for test in batch)
            limit = extra + LEAST + 4 * (seconds + sum(tests.collecting.get(path, 1.0) for path in paths))
            how, said = run(folder, ["-x", *paths], Chosen([t.name for t in batch]), limit, memory, kernels)
            if how != "passed":
                return "killed", f"{how} {said[0] if said else ''}".strip()
            ran |= {test.name for test in batch}
    finally:
        file.write_bytes(source)
        os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    exact = len(ran & {test.name for test in candidates[:seen]})
    which = "slow tests" if slow else "tests"
    told = f"{exact} of {seen} {which} that run this line passed" if seen else f"no {which} were seen to run this line"
    return "survived", f"{told}, and {len(ran) - exact} others"


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=50, metavar="N", help="how many faults, over all rooms")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of faults")
    parser.add_argument("--rooms", default=",".join(ROOMS), help="names with commas between them")
    parser.add_argument("--at", metavar="FILE:LINE", help="every fault of one line instead")
    parser.add_argument("--keep-going", action="store_true",
                        help="leave out tests that fail without a fault, and files that end in the middle")  # fmt: skip
    parser.add_argument("--most-seconds", type=float, default=float("inf"), help="plant no more after so long")
    parser.add_argument("--each", type=float, default=300.0,
                        help="seconds that a fault's quick tests get at most, and as many its slow ones")  # fmt: skip
    parser.add_argument("--memory", type=float, default=8.0, help="GiB that tests may use")
    parser.add_argument("--quick", action="store_true", help="leave out tests that take more than three seconds")
    parser.add_argument("--units", help="only these files of tests, names with commas between them")
    parser.add_argument("--workers", type=int, default=1, help="how many faults at a time")
    parser.add_argument("--killed", action="store_true", help="also print what is killed, and by which test")
    parser.add_argument("--map", type=Path, default=Path(tempfile.gettempdir()) / f"tinygrad_nn-tests-{os.getuid()}",
                        help="folder that keeps which test runs which lines")  # fmt: skip
    options = parser.parse_args(arguments)
    rooms = options.rooms.split(",")
    if unknown := [room for room in rooms if room not in ROOMS]:
        parser.error(f"unknown room {unknown[0]}; known are {', '.join(ROOMS)}")
    began = time.monotonic()
    prepare()
    with tempfile.TemporaryDirectory(prefix="tinygrad_nn-mutate-") as place:
        first = copy(root, Path(place) / "first")
        root = first  # what is changed in the checkout meanwhile does not matter
        # all before the first fault is planted in one that others are copied from
        folders = [first, *(copy(first, Path(place) / f"worker{k}") for k in range(1, options.workers))]
        only = set(options.units.split(",")) if options.units else None
        left_out = sum(not_drawn(root, room) for room in rooms)
        chosen, void = [], 0
        for k, room in enumerate(rooms):
            count = options.count // len(rooms) + (k < options.count % len(rooms))
            found, again = drawn(root, room, count, options.seed, options.at)
            chosen, void = chosen + found, void + again
        random.Random(options.seed).shuffle(chosen)
        left, ended = list(range(len(chosen))), {}

        def work(k: int) -> None:
            prepare()
            for number in left[k :: options.workers]:
                if not slow and time.monotonic() - began > options.most_seconds:
                    return
                fault = chosen[number]
                end, why = plant(fault, tests, slow, folders[k], options.map, options.each, options.memory)
                if end == "survived" or options.killed:
                    begun = f"{end} the quick tests" if (end, quick) == ("survived", True) else end
                    print(f"{begun}: {fault}; {why}", flush=True)
                with (Path(place) / f"results{k}").open("a") as results:
                    results.write(f"{number}\t{end}\t{why}\n")

        tests = traced(root, folders, options.map, only, options.keep_going)
        print(f"{len(tests.tests)} tests are known, {time.monotonic() - began:.0f} s", flush=True)
        if tests.failed and not options.keep_going:
            print("These fail without a fault (--keep-going leaves them out):", *tests.failed, sep="\n  ")
            return 2
        for slow in (False,) if options.quick else (False, True):
            if not left:
                break
            quick = not slow and not options.quick
            in_workers(work, options.workers)
            for file in Path(place).glob("results*"):
                for line in file.read_text().splitlines():
                    number, end, why = line.split("\t")
                    ended[int(number)] = chosen[int(number)].room, end, why
                file.unlink()
            left = [number for number, (_, end, _) in ended.items() if end == "survived"]
        killers = {why.removeprefix("failed ") for _, _, why in ended.values() if why.startswith("failed tests")}
        doubtful = recheck(killers, first, options.map)
    code = report(list(ended.values()), rooms, void, doubtful, time.monotonic() - began, len(chosen))
    print(f"{left_out} faults of these rooms are never drawn: they cannot change a result (see tests.mutate.faults).")
    return code


def recheck(names: set[str], folder: Path, kept: Path) -> list[str]:
    """Run the tests that killed without any fault, and return those that fail."""
    if not names:
        return []
    paths = sorted({name.partition("::")[0] for name in names})
    _, said = run(folder, paths, Chosen(sorted(names)), 900, kernels=kept / "kernels")
    return list(said or [])


def report(
    ended: list[tuple[str, str, str]], rooms: list[str], void: int, doubtful: list[str], seconds: float, wanted: int
) -> int:
    """Print killed and survived of each room."""
    counts = Counter((room, end) for room, end, _ in ended)
    print(f"\n{'room':12}{'killed':>8}{'survived':>10}{'killed %':>10}")
    for room in [*rooms, "all"]:
        killed, survived = (
            sum(n for (where, end), n in counts.items() if room in (where, "all") and end == which)
            for which in ("killed", "survived")
        )
        share = f"{100 * killed / (killed + survived):.1f}" if killed + survived else ""
        print(f"{room:12}{killed:8}{survived:10}{share:>10}")
    print(f"\n{len(ended)} of {wanted} planted in {seconds:.0f} s; {void} more were drawn that change no bytecode.")
    if long := sum(why.startswith("time") for _, _, why in ended):
        print(f"{long} were killed since their tests took too long.")
    if doubtful:
        print("These fail without a fault too, so that what they killed is not known:", *doubtful, sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
