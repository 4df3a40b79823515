"""Where does the time of an eager step go? `python -m tests.benchmarks.profile STEP` prints it.

The forward and the rules of every primitive are timed as they run. The rest is the time of the engine itself, of the
watching, about a microsecond for each of them, and of the update of the parameters.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from typing import Any

from . import ours, tasks
from .tables import short
from .worker import Step

ROWS = 6
spent: dict[str, float] = defaultdict(float)
inside = False


def timed(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return a function that adds up what its outermost calls take."""

    @wraps(function, updated=())  # its signature is asked for
    def run(*args: Any, **kwargs: Any) -> Any:
        global inside
        if inside:
            return function(*args, **kwargs)
        inside = True
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            spent[name] += time.perf_counter() - start
            inside = False

    return run


def watch() -> None:
    """Time every primitive from now on."""
    from tinygrad_nn.primitive import REGISTRY

    for name, primitive in REGISTRY.items():
        primitive.forward = timed(primitive.forward, f"{name}, forward")
        primitive.vjps = tuple(rule and timed(rule, f"{name}, back") for rule in primitive.vjps)
        if primitive.jointly:
            primitive.jointly = timed(primitive.jointly, f"{name}, back")


def a_call(one: Step, seconds: float) -> tuple[float, int]:
    """Return the mean time of a call, and how many calls there were."""
    one()
    times: list[float] = []
    spent.clear()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        one()
        times.append(time.perf_counter() - start)
    return statistics.fmean(times), len(times)


def profile(step: str, seconds: float = 1.0) -> str:
    """Return a table: the matrix products alone, an eager step, and what takes most of it."""
    products = tasks.products(step)
    floor = a_call(products, seconds / 3)[0] if products else float("nan")
    import tinygrad_nn.nn  # noqa: F401 - declares all primitives

    one = ours.eager(step)
    watch()
    whole, calls = a_call(one, seconds)
    parts = {name: total / calls for name, total in spent.items()}
    most = sorted(parts, key=parts.__getitem__, reverse=True)
    rows = {"matrix products alone": floor, "an eager step": whole} | {f"  {name}": parts[name] for name in most[:ROWS]}
    rows |= {f"  {len(most) - ROWS} others": sum(parts[name] for name in most[ROWS:])} if len(most) > ROWS else {}
    rows["  engine, watching, update"] = max(whole - sum(parts.values()), 0.0)
    unit, title = (1e3, "ms") if whole > 0.02 else (1e6, "µs")
    lines = [f"{step:36}{title:>10}{'% of it':>10}"]
    return "\n".join(lines + [f"{n:36}{short(x * unit):>10}{short(100 * x / whole):>10}" for n, x in rows.items()])


if __name__ == "__main__":
    print(profile(sys.argv[1], *map(float, sys.argv[2:])))
