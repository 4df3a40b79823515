"""Our programs for every step: the matrix products alone, NumPy by hand, eager, and compiled.

`python -m tests.benchmarks.ours STEP PROGRAM` prints the microseconds of repeated timings as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import by_hand, steps, tasks
from .worker import Program, Step, serve


def model(step: str, p: dict[str, Any]) -> Any:
    """Return the network of a step, of our layers, with these parameters."""
    from tinygrad_nn import nn

    made: Any
    single: Any = {"dtype": np.float32}
    if step == "cnn":
        made = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1, **single), nn.relu, nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1, **single), nn.relu, nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 7 * 7, 10, **single),
        )  # fmt: skip
    elif step == "transformer":
        made = nn.TransformerBlock(128, tasks.HEADS, 512, dropout=0.0, batch_first=True, **single)
    else:

        class Reader(nn.Module):
            def __init__(self) -> None:
                self.lstm = nn.LSTM(64, 128, **single)
                self.head = nn.Linear(128, 10, **single)

            def forward(self, x: Any) -> Any:
                return self.head(self.lstm(x)[0][-1])

        made = Reader()
    made.load_state_dict(p)
    return made


def loss(step: str, out: Any, y: Any) -> Any:
    """Return the objective that training minimizes."""
    from tinygrad_nn import softmax_crossentropy

    if step == "transformer":
        missed = out - y
        return (missed * missed).mean()
    return softmax_crossentropy(out, y, normalized=True)


def eager(step: str) -> Step:
    """The step as a user of our layers writes it."""
    from tinygrad_nn import Tensor
    from tinygrad_nn.optim import Minimizer

    if step in steps.TASKS:
        return perceptron(step, "layers")
    if step == "scalar" or step.startswith("chain"):
        length = tasks.chained(step)

        def derivative() -> float:
            x = y = Tensor(0.5)
            if length is None:
                y = tasks.scalar(np.sin, x)
            else:
                for _ in range(length):
                    y = y + 1.0
            y.backward()
            return float(x.grad)

        return derivative
    p, x, y = tasks.data(step)
    network = model(step, p)
    minimizer = Minimizer(network.parameters(), "sgd", steps.RATE)
    return lambda: minimizer.step(lambda: loss(step, network(x), y))


def perceptron(step: str, program: str) -> Step:
    """The eager step of a perceptron, as its own benchmark has it."""
    from . import eager

    eager.RATE = steps.RATE
    return eager.PROGRAMS[program](steps.TASKS[step])


def tensors(step: str) -> Step | None:
    """The step as a loop over Tensors."""
    return perceptron(step, "tensors") if step in steps.TASKS else None


@contextmanager
def holding(network: Any, p: dict[str, Any]) -> Iterator[None]:
    """Give a network other parameters during this block."""
    before = dict(network.named_parameters())
    places = dict(network.named_modules())

    def put(values: dict[str, Any]) -> None:
        for path, value in values.items():
            part, _, name = path.rpartition(".")
            setattr(places[part], name, value)

    put(p)
    try:
        yield
    finally:
        put(before)


def compiled(backend: str, donate: bool = False) -> Any:
    """Return a function that makes compiled steps."""

    def make(step: str) -> Step | None:
        import tinygrad_nn

        given = (0, 1) if donate else ()
        if step in steps.TASKS:
            return steps.compiled(steps.TASKS[step], backend, given)
        if step.startswith("chain"):
            return None
        if step == "scalar":
            run = tinygrad_nn.compile(tinygrad_nn.grad(lambda x: tasks.scalar(np.sin, x)), backend=backend)
            return lambda: run(0.5)
        p, x, y = tasks.data(step)
        network = model(step, p)

        def of(p: Any, x: Any, y: Any) -> Any:
            with holding(network, p):
                return loss(step, network(x), y)

        def descend(p: Any, x: Any, y: Any) -> Any:
            value, g = tinygrad_nn.value_and_grad(of)(p, x, y)
            return {key: p[key] - steps.RATE * g[key] for key in p}, value

        run = tinygrad_nn.compile(descend, backend=backend, donate=given[:1])

        def one() -> Any:
            nonlocal p
            p, value = run(p, x, y)
            return value

        return one

    return make


PROGRAMS = {
    "products alone": Program(tasks.products),
    "NumPy by hand": Program(by_hand.make),
    "eager": Program(eager, ("tinygrad_nn",)),
    "eager, Tensors": Program(tensors, ("tinygrad_nn",)),
    "compiled, NumPy": Program(compiled("numpy", True), ("tinygrad_nn",)),
    "compiled, numba": Program(compiled("numba", True), ("tinygrad_nn", "numba")),
}

if __name__ == "__main__":
    serve(PROGRAMS)
