"""ONNX files: what goes out is computed the same by onnxruntime, what comes in is computed the same here."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tinygrad_nn import Layer, Settings, Solver, Tensor, fit, io, nn
from tinygrad_nn import compile as compiled
from tinygrad_nn.graph import GraphView
from tinygrad_nn.nn.losses import cross_entropy
from tinygrad_nn.onnx.functions import FUNCTIONS
from tinygrad_nn.tree import flatten

ROOT = Path(__file__).resolve().parents[1]
onnxruntime.set_default_logger_severity(3)
DRAW = np.random.default_rng(0)


def numbers(*shape: int) -> np.ndarray:
    return DRAW.normal(size=shape)


def tokens(high: int, *shape: int) -> np.ndarray:
    return DRAW.integers(high, size=shape)


ACTIVATIONS = ("sigmoid softmax tanh linear relu leaky_relu(0.2) elu(0.7) selu celu(2) gelu gelu(tanh) silu mish softplus(2) "
               "softsign hard_tanh(-2,2) hard_sigmoid hard_swish").split()  # fmt: skip
IMAGE, SERIES, SOUND = numbers(2, 4, 8, 8), numbers(2, 5, 4), numbers(2, 4, 9)
LAYERS: dict[str, tuple[Callable[[], Any], Any]] = {
    **{f"Layer {name}": (lambda name=name: Layer(3, 4, name, rng=0), 3 * numbers(5, 3)) for name in ACTIVATIONS},
    "Linear": (lambda: nn.Linear(3, 2, rng=0), numbers(2, 3)),
    "Flatten": (lambda: nn.Flatten(), IMAGE),
    "Conv1d": (lambda: nn.Conv1d(4, 3, 3, padding=1, stride=2, rng=0), SOUND),
    "Conv2d": (lambda: nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), rng=0), IMAGE),
    "Conv2d in groups": (lambda: nn.Conv2d(4, 6, 3, groups=2, dilation=2, rng=0), IMAGE),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(4, 3, 3, stride=2, padding=1, output_padding=1, rng=0), SOUND),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 3, 3, stride=2, rng=0), IMAGE),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(4), numbers(6, 4)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(4), IMAGE),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), IMAGE),
    "InstanceNorm1d": (lambda: nn.InstanceNorm1d(4), SOUND),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(4), IMAGE),
    "LayerNorm": (lambda: nn.LayerNorm(4), SERIES),
    "RMSNorm": (lambda: nn.RMSNorm(4), SERIES),
    "MaxPool1d": (lambda: nn.MaxPool1d(2), SOUND),
    "MaxPool2d": (lambda: nn.MaxPool2d(3, stride=2, padding=1), IMAGE),
    "AvgPool1d": (lambda: nn.AvgPool1d(3, padding=1), SOUND),
    "AvgPool2d": (lambda: nn.AvgPool2d(3, padding=1, count_include_pad=False), IMAGE),
    "AdaptiveAvgPool1d": (lambda: nn.AdaptiveAvgPool1d(4), SOUND),
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d(3), IMAGE),
    "AdaptiveMaxPool1d": (lambda: nn.AdaptiveMaxPool1d(4), SOUND),
    "AdaptiveMaxPool2d": (lambda: nn.AdaptiveMaxPool2d((3, 2)), IMAGE),
    "Embedding": (lambda: nn.Embedding(10, 4, rng=0), tokens(10, 2, 3)),
    "Dropout": (lambda: nn.Dropout(0.5), numbers(2, 3)),
    "SpatialDropout": (lambda: nn.SpatialDropout(0.5), IMAGE),
    "GLU": (lambda: nn.GLU(), numbers(2, 4)),
    "PReLU": (lambda: nn.PReLU(), numbers(2, 3)),
    "RNN": (lambda: nn.RNN(4, 3, rng=0), SERIES),
    "LSTM": (lambda: nn.LSTM(4, 3, rng=0), SERIES),
    "GRU": (lambda: nn.GRU(4, 3, rng=0), SERIES),
    "MultiHeadAttention": (lambda: nn.MultiHeadAttention(4, 2, rng=0), SERIES),
    "TransformerBlock": (lambda: nn.TransformerBlock(4, 2, rng=0), SERIES),
    "Parallel": (lambda: nn.Parallel(nn.Linear(3, 2, rng=0), nn.Linear(3, 2, rng=1)), numbers(2, 3)),
    "Residual": (lambda: nn.Residual(nn.Linear(3, 3, rng=0)), numbers(2, 3)),
    "Lambda": (lambda: nn.Lambda(lambda x: x[:, ::-1].mean(axis=1, keepdims=True) + np.log1p(np.exp(x))), numbers(2, 3)),
    "Sequential": (lambda: nn.Sequential(nn.Linear(3, 4, rng=0), np.tanh, nn.Linear(4, 2, rng=1)), numbers(2, 3)),
}  # fmt: skip


def arrays(out: Any) -> list[np.ndarray]:
    return [np.asarray(x.data if isinstance(x, Tensor) else x) for x in flatten(out)[0]]


def by_runtime(proto: Any, *inputs: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [x.name for x in session.get_inputs()]
    single = [x.astype(np.float32) if x.dtype == np.float64 else x for x in inputs]
    return session.run(None, dict(zip(names, single, strict=True)))  # type: ignore[no-any-return]


def compared(model: Any, proto: Any, *inputs: np.ndarray) -> None:
    """The runtime computes the same to a few roundings of float32, of the largest entry."""
    for got, want in zip(by_runtime(proto, *inputs), arrays(model(*inputs)), strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-6 * max(1.0, float(np.abs(want).max())))


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_gives_the_same_in_onnxruntime_for_any_number_of_rows(name: str) -> None:
    model, x = LAYERS[name][0](), LAYERS[name][1]
    if "BatchNorm" in name:
        model(x)  # so that the running statistics are not 0 and 1
    proto = io.save_onnx(model, x)
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    model.eval()
    for rows in (1, len(x), 7):
        compared(model, proto, np.resize(x, (rows, *x.shape[1:])) * (1 if x.dtype.kind == "i" else 1.5))


def test_the_table_has_every_layer() -> None:
    bare = {"Module", "Layer", "Activation", "Convolution", "Recurrent", "BatchNorm", "MaxPool", "AvgPool",
            "AdaptiveAvgPool", "AdaptiveMaxPool", "InstanceNorm"}  # fmt: skip
    kinds = {n for n in nn.__all__ if isinstance(getattr(nn, n), type) and issubclass(getattr(nn, n), nn.Module)}
    own = {type(make()).__name__ for make, _ in LAYERS.values()}
    same = {type(getattr(nn, n)) for n in ()}
    assert {getattr(nn, n) for n in kinds - bare} - {getattr(nn, n) for n in own} - same <= DERIVED()


def DERIVED() -> set[type]:
    """Layers that compute by others that the table has: what they do is traced."""
    return {getattr(nn, n) for n in nn.__all__ if isinstance(getattr(nn, n), type)
            and issubclass(getattr(nn, n), (nn.Activation if isinstance(nn.Activation, type) else nn.Layer,))}  # fmt: skip
