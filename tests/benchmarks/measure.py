"""Time several functions in turns, so that a slow moment of the machine affects all of them."""

import gc
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple


class Sample(NamedTuple):
    """Seconds a call, one number a turn."""

    seconds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> tuple[float, float]:
        """The first and the last quartile."""
        first, _, last = statistics.quantiles(self.seconds, n=4)
        return max(first, min(self.seconds)), min(last, max(self.seconds))  # those of two turns lie outside


def in_turns(functions: dict[str, Callable[[], object]], turns: int, calls: int) -> dict[str, Sample]:
    """Time `calls` calls of each function, one function after the other, `turns` times."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():  # warm up
        for _ in range(calls):
            function()
    names = list(functions)
    for turn in range(turns):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            function = functions[name]
            gc.collect()
            start = time.perf_counter()
            for _ in range(calls):
                function()
            seconds[name].append((time.perf_counter() - start) / calls)
    return {name: Sample(values) for name, values in seconds.items()}


def ratios(samples: dict[str, Sample], base: str) -> dict[str, Sample]:
    """Divide each function's time by that of the base in the same turn."""
    return {
        name: Sample([a / b for a, b in zip(sample.seconds, samples[base].seconds, strict=True)])
        for name, sample in samples.items()
    }


def table(samples: dict[str, Sample], base: str, unit: float = 1e6, name: str = "µs") -> str:
    """Return a line for each function: time and its ratio to the base, each as median and quartiles."""
    lines = [f"{'':22}{name + ' a call':>12}  {'(quartiles)':18}{'ratio':>8}  (quartiles)"]
    for (key, sample), ratio in zip(samples.items(), ratios(samples, base).values(), strict=True):
        low, high = (value * unit for value in sample.spread)
        r_low, r_high = ratio.spread
        quartiles = f"({low:.1f} to {high:.1f})"
        lines.append(
            f"{key:22}{sample.median * unit:12.1f}  {quartiles:18}{ratio.median:8.3f}  ({r_low:.3f} to {r_high:.3f})"
        )
    return "\n".join(lines)
