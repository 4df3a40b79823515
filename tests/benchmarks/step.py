"""How much does one training step cost, against the same step written by hand in NumPy? The bound is 1.35.

A network 4-40-3, relu and softmax, crossentropy, a batch of 16, float64, gradient descent.
"""

from collections.abc import Callable

import numpy as np

from tinygrad_nn import Layer, Solver, TrainNN
from tinygrad_nn.solver.tasks.layers import LayerLoss, LayerTask
from tinygrad_nn.solver.training_step import TrainingStep

from .measure import in_turns, table

Array = np.ndarray
RATE = 0.03


def by_hand(W1: Array, b1: Array, W2: Array, b2: Array, x: Array, y: Array) -> Callable[[], float]:
    """The step written by hand in NumPy by an expert, for this one network."""

    def step() -> float:
        z1 = x @ W1.T + b1
        a1 = np.maximum(z1, 0)
        z2 = a1 @ W2.T + b2
        shifted = z2 - z2.max(axis=1, keepdims=True)
        e = np.exp(shifted)
        total = e.sum(axis=1, keepdims=True)
        loss = -(y * (shifted - np.log(total))).sum() / len(x)
        d2 = (e / total - y) / len(x)
        dW2, db2 = d2.T @ a1, d2.sum(axis=0)
        d1 = (d2 @ W2) * (z1 > 0)
        dW1, db1 = d1.T @ x, d1.sum(axis=0)
        for parameter, gradient in ((W1, dW1), (b1, db1), (W2, dW2), (b2, db2)):
            parameter -= RATE * gradient
        return float(loss)

    return step


def steps() -> dict[str, Callable[[], object]]:
    """The four ways, each with a network of its own from the same weights."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 4)), np.eye(3)[rng.integers(0, 3, 16)]
    solver = Solver("crossentropy", "sgd", RATE)

    def model() -> list[Layer]:
        return [Layer(4, 40, "relu", rng=1), Layer(40, 3, "softmax", rng=2)]

    def step(road: str) -> Callable[[], object]:
        one = TrainingStep(LayerTask(LayerLoss(model(), solver, y), road), solver)
        return lambda: one(x, y, rng)

    hand, trained = model(), model()
    arrays = [parameter.data for layer in hand for parameter in (layer.W, layer.b)]
    return {
        "by hand in NumPy": by_hand(*arrays, x, y),
        "graph": step("graph"),
        "manual": step("manual"),
        "TrainNN (checks too)": lambda: TrainNN(trained, x, y, solver=solver).loss,
    }


def main(turns: int = 60, calls: int = 300) -> None:
    """Print the table."""
    print(table(in_turns(steps(), turns, calls), "by hand in NumPy"))


if __name__ == "__main__":
    main()
