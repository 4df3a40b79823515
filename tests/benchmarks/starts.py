"""How long does the first call of each compiled step take, from an empty cache and from a full one? Bounds: 5, 0.5 s.

The time is that of one call: tracing, compiling or loading, the check of the plan, and the step. Imports are excluded,
also those that numba delays until it is first used: `python -m tests.benchmarks starts`.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time

from .runner import ROOT, environment

STEPS = {"784-256-128-10": "784-..", "1024-2048-2048-10": "1024-..", "cnn": "CNN", "lstm": "LSTM",
         "transformer": "block"}  # fmt: skip
BOUNDS = {"empty": 5.0, "full": 0.5}


def work(step: str) -> float:
    """Return the seconds of the first call of a step in this process."""
    import scipy.linalg.cython_blas  # noqa: F401 - where numba finds the BLAS that it calls
    from numba.core.registry import cpu_target

    import tinygrad_nn.compiled.numba  # noqa: F401 - an import that is not part of the call

    from . import ours

    cpu_target.target_context.refresh()
    one = ours.compiled("numba", True)(step)
    start = time.perf_counter()
    one()
    return time.perf_counter() - start


def measured(turns: int) -> dict[str, dict[str, list[float]]]:
    """Return for each step the seconds of the first call: once with an empty cache, then some times from it."""
    found: dict[str, dict[str, list[float]]] = {}
    for step in STEPS:
        with tempfile.TemporaryDirectory() as cache:

            def call(step: str = step, cache: str = cache) -> float:
                done = subprocess.run(
                    [sys.executable, "-m", "tests.benchmarks.starts", step], capture_output=True, text=True, check=True,
                    cwd=ROOT, env={**environment(), "TINYGRAD_NN_CACHE": cache},
                )  # fmt: skip
                return float(json.loads(done.stdout.splitlines()[-1]))

            found[step] = {"empty": [call()], "full": [call() for _ in range(turns)]}
    return found


def main(turns: int = 5) -> None:
    """Print the table."""
    print(f"{'seconds':8}{'empty cache':>13}{'':9}{'from the cache':>16}  (least to most)")
    for step, found in measured(turns).items():
        line = f"{STEPS[step]:8}"
        for key, bound in BOUNDS.items():
            value = statistics.median(found[key])
            line += f"{value:{13 if key == 'empty' else 16}.2f}  {'holds' if value <= bound else 'MISSED':7}"
        print(line + f"({min(found['full']):.2f} to {max(found['full']):.2f})")
    print(f"at most {BOUNDS['empty']:.0f} and {BOUNDS['full']}; the full cache {turns} times, median")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(work(sys.argv[1])))
    else:
        main()
