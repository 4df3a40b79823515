"""Graphs of realistic sizes, for tests and benchmarks of the code that draws them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_nn import Tensor, affine, relu
from tinygrad_nn.node import scope


def loop(operations: int = 2100) -> Tensor:
    """``y = np.sin(y) * x + 0.1`` again and again."""
    x, y = Tensor(0.7, name="x"), Tensor(0.1, name="y")
    for _ in range(operations // 3):
        y = np.sin(y) * x + 0.1
    return y


def rnn(steps: int = 500, width: int = 4) -> Tensor:
    """A recurrent network over a sequence, whose states are all in the loss."""
    rng = np.random.default_rng(0)
    x = Tensor(rng.normal(size=(2, steps, 3)), requires_grad=False, name="x")
    U, W = Tensor(0.3 * rng.normal(size=(width, 3)), name="U"), Tensor(0.3 * rng.normal(size=(width, width)), name="W")
    b = Tensor(np.zeros(width), name="b")
    h: Any = Tensor(np.zeros((2, width)), requires_grad=False, name="h0")
    states = []
    for t in range(steps):
        with scope("cell"):
            h = np.tanh(x[:, t] @ U.T + h @ W.T + b)
        states.append(h)
    return (np.stack(states) ** 2).mean()


def chain(operations: int = 2000) -> Tensor:
    """One operation after the other, without scopes; no two neighbours are alike."""
    rng = np.random.default_rng(1)
    functions = [np.sin, np.cos, np.tanh, np.exp, np.arctan, lambda t: t * 0.5, lambda t: t + 0.25, lambda t: 1 - t]
    h: Any = Tensor(rng.normal(size=3), name="t")
    for k in rng.integers(0, len(functions), operations - 1):
        h = functions[k](h) if functions[k] is not np.exp else np.exp(-(h * h))
    return h.sum()


def fan(operations: int = 700) -> Tensor:
    """One value that is used by hundreds of operations, all of which go into one."""
    rng = np.random.default_rng(2)
    x = Tensor(rng.normal(size=3), name="x")
    functions = [np.sin, np.cos, np.tanh, np.exp, np.arctan]
    return np.stack([functions[k](x) for k in rng.integers(0, len(functions), operations)]).sum()


def web(operations: int = 2000, near: int = 400) -> Tensor:
    """Operations of any two values before them: nothing in it is regular."""
    rng = np.random.default_rng(3)
    values: list[Any] = [Tensor(rng.normal(size=2), name=f"w{i}") for i in range(20)]
    for k in range(operations - 1):
        low = max(0, len(values) - near)
        a, b = (values[int(i)] for i in rng.integers(low, len(values), 2))
        values.append((a + b, a * b, a - b, np.sin(a), np.maximum(a, b))[k * 7 % 5])
    return np.stack(values[-near:]).sum()


def resnet(blocks: int = 16, width: int = 4) -> Tensor:
    """Blocks with a residual connection around each."""
    rng = np.random.default_rng(4)
    h: Any = Tensor(rng.normal(size=(2, width)), requires_grad=False, name="x")
    for i in range(blocks):
        with scope(f"block{i}"):
            before = h
            for k in range(2):
                W, b = Tensor(0.2 * rng.normal(size=(width, width)), name=f"W{i}{k}"), Tensor(np.zeros(width))
                mean = h.mean(axis=0)
                h = affine(relu((h - mean) / np.sqrt(((h - mean) ** 2).mean(axis=0) + 1e-5)), W, b)
            h = h + before
    return (h**2).mean()


def transformer(blocks: int = 6, width: int = 8) -> Tensor:
    """An encoder of blocks with attention."""
    from tinygrad_nn import nn

    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(width, 2, 2 * width, dropout=0.0), blocks)
    x = Tensor(np.random.default_rng(5).normal(size=(2, 3, width)), requires_grad=False, name="x")
    return (model(x) ** 2).mean()


EVERY = [loop, rnn, chain, fan, web, resnet, transformer]
