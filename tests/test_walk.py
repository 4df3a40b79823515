"""Walks that can be observed give the same bits as `backward`, also in float32 and for complex numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import Tensor
from tinygrad_nn.compare.paths import gradients, traced
from tinygrad_nn.graph import GraphView, walk_back

PROGRAMS: dict[str, Callable[..., Any]] = {
    "a product and a sum over a broadcast axis": lambda x, y: np.tanh(x @ y + y[0]) * x[:, :1],
    "one value used three times": lambda x, y: x * np.sin(x) + x * y.sum(),
    "a rule for all arguments at once": lambda x, y: np.einsum("ij,jk,kl->il", x, y, x) + np.concatenate([x, y]).sum(),
    "the softmax cross-entropy": lambda x, y: tg.softmax_crossentropy(x @ y, np.eye(3)[[0, 1, 2]]),
    "a maximum with ties": lambda x, y: np.maximum(x, x.max(axis=1, keepdims=True)) + y,
    "a rule that saves": lambda x, y: np.linalg.inv(x @ x.T + 4 * np.eye(3)) @ y,
}
COMPLEX: dict[str, Callable[..., Any]] = {
    "a holomorphic function": lambda x, y: np.exp(x) * y,
    "a real part, and a modulus": lambda x, y: np.abs(x @ y) + x.real * y.imag,
    "a real argument of a complex result": lambda x, y: np.fft.fft(x.real) * y + y.real,
}
ROWS = [
    *((name, f, dtype) for name, f in PROGRAMS.items() for dtype in (np.float64, np.float32)),
    *((name, f, dtype) for name, f in COMPLEX.items() for dtype in (np.complex128, np.complex64)),
]


@pytest.mark.parametrize(("name", "f", "dtype"), ROWS, ids=[f"{name}, {np.dtype(dtype)}" for name, _, dtype in ROWS])
def test_each_walk_gives_what_backward_gives(name: str, f: Callable[..., Any], dtype: Any) -> None:
    rng = np.random.default_rng(3)

    def draw(shape: tuple[int, ...], dtype: Any) -> Any:
        x = rng.standard_normal(shape)
        return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)

    x, y = Tensor(draw((3, 3), dtype)), Tensor(draw((3, 3), dtype))
    out = f(x, y)
    g = draw(out.shape, out.dtype)
    view = GraphView(out)
    watched = walk_back(view, g)
    numbers = {part.node: part.number for part in view.nodes}
    by_path = gradients(traced([(out.node, g)], [x.node, y.node]))
    out.backward(g, retain_graph=True)
    for t, path in zip((x, y), by_path, strict=True):
        assert path.dtype == t.dtype
        np.testing.assert_array_equal(path, t.grad)
        np.testing.assert_array_equal(watched.gradients[numbers[t.node]], t.grad)
        assert watched.gradients[numbers[t.node]].dtype == t.dtype
