"""What does the dispatch of `np.exp(t)` cost over `np.exp(ndarray)`? The bound is 2 µs."""

import numpy as np

from tinygrad_nn import Tensor, no_grad

from .measure import Sample, in_turns, table

BOUND = 2e-6


def overhead(turns: int = 41, calls: int = 5000) -> tuple[dict[str, Sample], Sample]:
    """Time np.exp of 8 numbers in an ndarray, in a Tensor, and in one without a graph; and what the second adds."""
    array = np.linspace(-1, 1, 8)
    tensor = Tensor(array)

    def constant() -> object:
        with no_grad():
            return np.exp(tensor)

    samples = in_turns(
        {"np.exp(ndarray)": lambda: np.exp(array), "np.exp(t)": lambda: np.exp(tensor), "in no_grad": constant},
        turns, calls,
    )  # fmt: skip
    pairs = zip(samples["np.exp(t)"].seconds, samples["np.exp(ndarray)"].seconds, strict=True)
    return samples, Sample([on - off for on, off in pairs])


def main() -> None:
    """Print the table, in microseconds and as ratios, and the difference."""
    samples, extra = overhead()
    print(table(samples, "np.exp(ndarray)", 1e6, "µs"))
    print(f"np.exp(t) over np.exp(ndarray): {extra.median * 1e6:.2f} µs")


if __name__ == "__main__":
    main()
