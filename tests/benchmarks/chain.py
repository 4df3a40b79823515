"""What does an operation cost in a chain of n of them, forward and back? It must not grow with n.

The engine frees its graphs without Python's cyclic collector, which is off here; the last column is what it would cost
to leave it on, since a collector looks through all that is alive again and again while a chain is being built.
"""

import gc
import time
from statistics import median

from tinygrad_nn import Tensor

LENGTHS = (10**3, 10**4, 10**5, 10**6)


def chain(length: int) -> tuple[float, float, float]:
    """Return the seconds a node of the forward, of the walk back, and of letting go."""
    x = Tensor(1.0)
    start = time.perf_counter()
    y = x
    for _ in range(length):
        y = y + 1.0
    forward = time.perf_counter()
    y.backward(retain_graph=True)
    back = time.perf_counter()
    del y
    gone = time.perf_counter()
    return (forward - start) / length, (back - forward) / length, (gone - back) / length


def measured(length: int, runs: int, collector: bool) -> list[float]:
    """Return the medians of the three parts in µs a node, with the cyclic collector on or off."""
    gc.collect()
    if not collector:
        gc.disable()
    try:
        return [median(part) * 1e6 for part in zip(*(chain(length) for _ in range(runs)), strict=True)]
    finally:
        gc.enable()


def main(total: int = 10**6) -> None:
    """Print a line for each length."""
    titles = ("operations", "forward", "back", "letting go", "together", "collector on")
    print("".join(f"{title:>14}" for title in titles) + "   µs a node")
    for length in LENGTHS:
        runs = max(3, min(50, total // length))
        parts = measured(length, runs, False)
        columns = [*parts, sum(parts), sum(measured(length, runs, True))]
        print(f"{length:14,}" + "".join(f"{column:14.2f}" for column in columns))


if __name__ == "__main__":
    main()
