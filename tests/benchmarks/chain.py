"""What does an operation cost in a chain of n of them, forward and back? It must not grow with n by more than 20 %.

The engine frees its graphs without Python's garbage collector, which is off in the first columns. The last two columns
show the cost of leaving it on: while a chain is built for the first time, the collector repeatedly scans all living
objects, a Node for each operation; later the Nodes of the last chain are reused, which does not trigger the collector.
The lengths are measured in turns, and the least time counts.
"""

import gc
import time

from tinygrad_nn import Tensor

LENGTHS = (10**3, 10**4, 10**5, 10**6)


def chain(length: int) -> tuple[float, float, float]:
    """Return the seconds per node of the forward, of the backward walk, and of freeing the graph."""
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
    """Return the least time of each of the three parts in µs per node, with the garbage collector on or off."""
    gc.collect()
    if not collector:
        gc.disable()
    try:
        return [min(part) * 1e6 for part in zip(*(chain(length) for _ in range(runs)), strict=True)]
    finally:
        gc.enable()


def main(turns: int = 5, total: int = 10**5) -> None:
    """Print a line for each length."""
    titles = ("operations", "forward", "back", "letting go", "together", "growth", "collector on", "growth")
    print("".join(f"{title:>14}" for title in titles) + "   µs a node")
    found: dict[tuple[int, bool], list[list[float]]] = {}
    for _ in range(turns):
        for length in LENGTHS:
            for collector in (False, True):
                parts = measured(length, max(1, total // length), collector)
                found.setdefault((length, collector), []).append(parts)
    best = {key: [min(part) for part in zip(*values, strict=True)] for key, values in found.items()}
    for length in LENGTHS:
        off, on = (sum(best[length, collector]) for collector in (False, True))
        growth = [sum(best[length, c]) / sum(best[LENGTHS[0], c]) for c in (False, True)]
        columns = [*best[length, False], off, growth[0], on, growth[1]]
        print(f"{length:14,}" + "".join(f"{column:14.2f}" for column in columns))


if __name__ == "__main__":
    main()
