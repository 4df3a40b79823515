"""What does an operation cost in a chain of n of them, forward and back? It must not grow with n."""

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


def main(total: int = 10**6) -> None:
    """Print a line for each length."""
    print(f"{'operations':>12}{'forward':>12}{'back':>12}{'letting go':>12}   µs a node")
    for length in LENGTHS:
        gc.collect()
        runs = [chain(length) for _ in range(max(3, min(50, total // length)))]
        print(f"{length:12,}" + "".join(f"{median(part) * 1e6:12.2f}" for part in zip(*runs, strict=True)))


if __name__ == "__main__":
    main()
