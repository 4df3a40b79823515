"""Kill one rank of a training at a random moment, resume the training, and check that it reaches the same weights.

``python -m tests.killed_ranks [TIMES] [SEED]`` kills TIMES times, 20 by default.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.ranks import train

ROOT = Path(__file__).resolve().parents[1]
NETWORK = "cnn"


def start(ranks: int, folder: Path) -> subprocess.Popen[str]:
    """Start the training, or go on with it."""
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "CHECKPOINT": "yes"}
    command = ["mpiexec", "-n", str(ranks), sys.executable, "-m", "tests.ranks", str(folder), NETWORK]
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def pids(run: subprocess.Popen[str]) -> list[int]:
    """Return the process ids of the ranks, which rank 0 prints first."""
    for line in run.stdout or ():
        if re.fullmatch(r"\d+( \d+)*\n", line):
            return [int(word) for word in line.split()]
    return []


@cache
def length(ranks: int) -> float:
    """Return the seconds that the training takes if it is not killed, counted from the output of the process ids."""
    with tempfile.TemporaryDirectory() as place:
        run = start(ranks, Path(place))
        pids(run)
        begin = time.monotonic()
        run.communicate(timeout=200)
        return time.monotonic() - begin


def kill_and_resume(folder: Path, draw: random.Random) -> dict[str, Any]:
    """Kill a rank of a training at a random moment, go on with other ranks, and return what happened."""
    ranks = draw.randint(1, 4)
    rank, after = draw.randrange(ranks), draw.uniform(0.0, length(ranks))
    run = start(ranks, folder)
    victims = pids(run)
    time.sleep(after)
    begin = time.monotonic()
    with suppress(ProcessLookupError):
        os.kill(victims[rank], signal.SIGKILL)
    run.communicate(timeout=40)
    seconds = time.monotonic() - begin
    if run.returncode == 0:  # it was faster than the one that was measured, and nobody was killed
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return kill_and_resume(folder, draw)
    epoch = max((int(name.stem.split("-")[1]) for name in (folder / "checkpoint").glob("weights-*")), default=0)
    again = draw.randint(1, 4)
    run = start(again, folder)
    _, errors = run.communicate(timeout=200)
    if run.returncode:
        raise RuntimeError(errors)
    found = json.loads((folder / f"{NETWORK}-{again}-0.json").read_text())
    return {"ranks": ranks, "killed": rank, "after": after, "epoch": epoch, "stopped in": seconds,
            "resumed by": again, "weights": found["weights"]}  # fmt: skip


def worst(found: list[Any], expected: list[Any]) -> float:
    """How far weights are off, relative to the largest of each array."""
    pairs = [(np.array(a), np.array(b)) for a, b in zip(found, expected, strict=True)]
    return max(float(np.max(np.abs(a - b)) / max(np.max(np.abs(b)), 1e-3)) for a, b in pairs)


def main(times: int = 20, seed: int = 0) -> float:
    """Kill so many times, print each, and return the largest difference of the final weights to the largest weight."""
    draw, most = random.Random(seed), 0.0
    with tempfile.TemporaryDirectory() as place:
        expected = train(NETWORK, Path(place))["weights"]
    for _ in range(times):
        with tempfile.TemporaryDirectory() as place:
            done = kill_and_resume(Path(place), draw)
        off = worst(done.pop("weights"), expected)
        most = max(most, off)
        print(", ".join(f"{key} {value:.2f}" if isinstance(value, float) else f"{key} {value}"
                        for key, value in done.items()), f"weights off by {off:.1e}", flush=True)  # fmt: skip
    print(f"{times} killings, weights off by at most {most:.1e}")
    return most


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
