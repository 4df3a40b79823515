"""How long does it take to draw a graph of 10,000 nodes as DOT text? Not over two seconds, coloured or not."""

import time
from typing import Any

import numpy as np

from tinygrad_nn import Tensor
from tinygrad_nn.node import scope
from tinygrad_nn.viz import draw

NODES = 10_000
OPTIONS: tuple[dict[str, Any], ...] = (
    {}, {"depth": 0}, {"repeats": False}, {"color": "gradient"}, {"color": "nan"}, {"color": "bytes"},
    {"color": "time"}, {"color": "error", "measures": {"x": 1e-3}},
)  # fmt: skip


def graph(shape: tuple[int, ...]) -> Tensor:
    """Return a result of a hundred layers, with all gradients."""
    y = Tensor(np.full(shape, 0.5), name="x")
    for k in range(NODES // 3):
        with scope(f"layer{k // 33}"):
            y = np.sin(y) * 1.0001
    y.backward(np.ones(shape), retain_graph=True, retain_grads=True)
    return y


def main(runs: int = 3) -> None:
    """Print the best of a few runs for each kind of drawing, in seconds."""
    shapes: tuple[tuple[int, ...], ...] = ((), (4, 4), (16, 16))
    titles = [" × ".join(map(str, shape)) or "scalar" for shape in shapes]
    print(f"{'options':24}" + "".join(f"{title:>10}" for title in titles) + "   seconds of processor time, by shape")
    results = [graph(shape) for shape in shapes]
    for options in OPTIONS:
        best = []
        for result in results:
            seconds = []
            for _ in range(runs):
                start = time.process_time()
                drawn = draw(result, **options).dot
                seconds.append(time.process_time() - start)
            best.append(min(seconds))
        name = ", ".join(f"{key}={value!r}" for key, value in options.items() if key != "measures") or "none"
        print(f"{name:24}" + "".join(f"{second:10.2f}" for second in best))
    print(f"the last one holds {drawn.count(' -> '):,} arrows")


if __name__ == "__main__":
    main()
