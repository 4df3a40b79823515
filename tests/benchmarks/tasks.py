"""The steps besides the perceptrons of `steps.py`: what they compute, their data, and their matrix products alone.

All of them are float32, but for the scalar, and descend with `steps.RATE`. Parameters bear the names of PyTorch.

- cnn: 64 images of 28x28, convolution 3x3 to 16 channels, relu, pooling 2x2, convolution 3x3 to 32, relu, pooling,
  affine to 10 classes, crossentropy.
- lstm: 32 sequences of 64 times and 64 columns, an LSTM of 128 units, affine of its last state to 10 classes,
  crossentropy.
- transformer: 16 sequences of 64 times and 128 columns, one block with 4 heads and 512 hidden units, relu, norms after
  the sums, no dropout; the loss is the mean square of what it misses.
- scalar: the derivative of 1,000 operations on one number, y <- sin(1.01 y) + x / 10, 250 times.
- chain-N: N times y <- y + 1, forward and back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import steps

Array = np.ndarray
Arrays = dict[str, Array]

HEADS, TIMES, ROUNDS = 4, 64, 250
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "cnn": {
        "0.weight": (16, 1, 3, 3), "0.bias": (16,), "3.weight": (32, 16, 3, 3), "3.bias": (32,),
        "7.weight": (10, 32 * 7 * 7), "7.bias": (10,),
    },
    "lstm": {
        "lstm.weight_ih_l0": (512, 64), "lstm.weight_hh_l0": (512, 128), "lstm.bias_ih_l0": (512,),
        "lstm.bias_hh_l0": (512,), "head.weight": (10, 128), "head.bias": (10,),
    },
    "transformer": {
        "self_attn.in_proj_weight": (384, 128), "self_attn.in_proj_bias": (384,),
        "self_attn.out_proj.weight": (128, 128), "self_attn.out_proj.bias": (128,),
        "linear1.weight": (512, 128), "linear1.bias": (512,), "linear2.weight": (128, 512), "linear2.bias": (128,),
        "norm1.weight": (128,), "norm1.bias": (128,), "norm2.weight": (128,), "norm2.bias": (128,),
    },
}  # fmt: skip
INPUTS = {"cnn": (64, 1, 28, 28), "lstm": (TIMES, 32, 64), "transformer": (16, TIMES, 128)}
BATCH = {"cnn": 64, "lstm": 32}
RATES = {"lstm": 1.0, "transformer": 1.0}  # so large that three losses show a wrong gradient; 0.01 in the others
TITLES = {
    **{name: f"{name}, batch {task.batch}, {task.dtype}, {task.rule}" for name, task in steps.TASKS.items()},
    "cnn": "CNN: two 3x3 convolutions to 16 and 32 channels, batch 64, 28x28, float32, sgd",
    "lstm": "LSTM: 64 columns to 128 units, 64 times, batch 32, float32, sgd",
    "transformer": "Transformer block: 128 columns, 4 heads, 64 times, batch 16, float32, sgd",
    "scalar": "The derivative of 1,000 operations on one number, float64",
}


def data(step: str) -> tuple[Arrays, Array, Array]:
    """Return parameters and a batch, the same in every process."""
    if step in steps.TASKS:
        return steps.data(steps.TASKS[step])
    rng = np.random.default_rng(0)
    parameters: Arrays = {}
    for name, shape in SHAPES[step].items():
        scale = np.prod(shape[1:]) ** -0.5 if len(shape) > 1 else 0.1
        parameters[name] = (rng.normal(size=shape) * scale + name.startswith("norm")).astype("float32")
    x = rng.normal(size=INPUTS[step]).astype("float32")
    if step == "transformer":
        return parameters, x, rng.normal(size=x.shape).astype("float32")
    return parameters, x, np.eye(10, dtype="float32")[rng.integers(0, 10, BATCH[step])]


Product = tuple[int, int, int, int]  # how many, and m, k, n of (m, k) @ (k, n)


def _thrice(m: int, k: int, n: int, many: int = 1) -> list[Product]:
    """A product forward, and the two of its gradients."""
    return [(many, m, k, n), (many, k, m, n), (many, m, n, k)]


PRODUCTS: dict[str, list[Product]] = {
    # The gradients of the inputs are not asked for.
    "cnn": [*_thrice(64 * 784, 9, 16)[:2], *_thrice(64 * 196, 144, 32), *_thrice(64, 1568, 10)],
    "lstm": [
        *_thrice(64 * 32, 64, 512)[:2], *[(1, 32, 128, 512), (1, 32, 512, 128)] * TIMES, (1, 128, 64 * 32, 512),
        *_thrice(32, 128, 10),
    ],
    "transformer": [
        *_thrice(1024, 128, 384)[:2], *_thrice(1024, 128, 128), *_thrice(1024, 128, 512), *_thrice(1024, 512, 128),
        *_thrice(64, 32, 64, 64), *_thrice(64, 64, 32, 64),
    ],
}  # fmt: skip


def products(step: str) -> Callable[[], float] | None:
    """The matrix products alone, each into an array that is there already."""
    if step in steps.TASKS:
        one = steps.products(steps.TASKS[step])
        return lambda: one() or float("nan")
    if step not in PRODUCTS:
        return None
    rng = np.random.default_rng(0)

    def drawn(*shape: int) -> Array:
        return rng.normal(size=shape).astype("float32").squeeze()

    todo = [(drawn(many, m, k), drawn(many, k, n), drawn(many, m, n)) for many, m, k, n in PRODUCTS[step]]

    def step_() -> float:
        for left, right, out in todo:
            np.matmul(left, right, out)
        return float("nan")

    return step_


def chained(step: str) -> int | None:
    """Return the length of a chain, N of chain-N."""
    return int(step[6:]) if step.startswith("chain-") else None


def scalar(sin: Callable[[Any], Any], x: Any) -> Any:
    """Return 1,000 operations on a number."""
    y = x
    for _ in range(ROUNDS):
        y = sin(1.01 * y) + 0.1 * x
    return y
