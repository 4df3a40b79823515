"""ONNX files: onnxruntime computes the same for exported models, and tinygrad_nn the same for loaded ones."""

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
from tinygrad_nn.graph import GraphView
from tinygrad_nn.nn.losses import cross_entropy
from tinygrad_nn.onnx.functions import FUNCTIONS
from tinygrad_nn.ops.norms import distances
from tinygrad_nn.tree import flatten

ROOT = Path(__file__).resolve().parents[1]
onnxruntime.set_default_logger_severity(3)
DRAW = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test draws does not hang on which tests ran before it."""
    monkeypatch.setattr(sys.modules[__name__], "DRAW", np.random.default_rng(0))


def numbers(*shape: int) -> np.ndarray:
    return DRAW.normal(size=shape)


def tokens(high: int, *shape: int) -> np.ndarray:
    return DRAW.integers(high, size=shape)


class OfHalves(nn.Module):
    """A module of two inputs, called with the halves of one."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def forward(self, x: Any) -> Any:
        return self.module(x[:, :2], x[:, 2:])


class Own(nn.Module):
    """A forward of one's own around a layer."""

    def __init__(self, attention: Any) -> None:
        self.attention = attention

    def forward(self, x: Any) -> Any:
        return self.attention(x, x, x)[0]


ACTIVATIONS = [
    "sigmoid", "softmax", "tanh", "linear", "relu", "leaky_relu(0.2)", "elu(0.7)", "selu", "celu(2)", "gelu",
    "gelu(tanh)", "silu", "mish", "softplus(2)", "softsign", "hard_tanh(-2,2)", "hard_sigmoid", "hard_swish"
]  # fmt: skip
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
    "RNNCell": (lambda: nn.RNNCell(3, 4, rng=0), numbers(2, 3)),
    "LSTMCell": (lambda: nn.LSTMCell(3, 4, rng=0), numbers(2, 3)),
    "GRUCell": (lambda: nn.GRUCell(3, 4, bias=False, rng=0), numbers(2, 3)),
    "MultiHeadAttention": (lambda: nn.MultiHeadAttention(4, 2, rng=0), SERIES),
    "TransformerBlock": (lambda: nn.TransformerBlock(4, 2, rng=0), SERIES),
    "Parallel": (lambda: nn.Parallel(nn.Linear(3, 2, rng=0), nn.Linear(3, 2, rng=1)), numbers(2, 3)),
    "CosineSimilarity": (lambda: OfHalves(nn.CosineSimilarity()), numbers(3, 4)),
    "PairwiseDistance": (lambda: OfHalves(nn.PairwiseDistance(keepdim=True)), numbers(3, 4)),
    "Residual": (lambda: nn.Residual(nn.Linear(3, 3, rng=0)), numbers(2, 3)),
    "Lambda": (lambda: nn.Lambda(lambda x: x[:, ::-1].mean(axis=1, keepdims=True) + np.exp(x)), numbers(2, 3)),
    "MultiheadAttention": (lambda: Own(nn.MultiheadAttention(4, 2, batch_first=True, rng=0)), SERIES),
    "Dropout1d": (lambda: nn.Dropout1d(0.5), SOUND),
    "Dropout2d": (lambda: nn.Dropout2d(0.5), IMAGE),
    "TransformerEncoderLayer": (lambda: nn.TransformerEncoderLayer(4, 2, 8, 0.0, batch_first=True, rng=0), SERIES),
    "TransformerEncoder": (lambda: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(4, 2, 8, 0.0, batch_first=True, rng=0), 2), SERIES),
    "ZeroPad2d": (lambda: nn.ZeroPad2d((1, 2, 0, 1)), IMAGE),
    "ReflectionPad2d": (lambda: nn.ReflectionPad2d(2), IMAGE),
    "ReplicationPad2d": (lambda: nn.ReplicationPad2d((1, 2, 0, 1)), IMAGE),
    **{name: (lambda name=name: getattr(nn, name)(2), numbers(2, 3, 4, 5, 3)[(0,) * (2 - axes)])
       for axes in (1, 2, 3) for kind in ("Zero", "Reflection", "Replication", "Circular")
       for name in [f"{kind}Pad{axes}d"] if name not in ("ZeroPad2d", "ReflectionPad2d", "ReplicationPad2d")},
    **{f"ConstantPad{axes}d": (lambda axes=axes: getattr(nn, f"ConstantPad{axes}d")(1, 2.0),
                               numbers(2, 3, 4, 5, 3)[(0,) * (2 - axes)]) for axes in (1, 2, 3)},
    "Bilinear": (lambda: OfHalves(nn.Bilinear(2, 2, 3, rng=0)), numbers(3, 4)),
    "MaxPool2d, ceil_mode": (lambda: nn.MaxPool2d(3, 2, ceil_mode=True), IMAGE),
    "AvgPool2d, ceil_mode": (lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True), IMAGE),
    "PixelUnshuffle": (lambda: nn.PixelUnshuffle(2), IMAGE), "ChannelShuffle": (lambda: nn.ChannelShuffle(2), IMAGE),
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(3), IMAGE), "Unfold": (lambda: nn.Unfold(2), IMAGE),
    "Fold": (lambda: nn.Fold((4, 5), 2), numbers(2, 8, 12)),
    "Upsample": (lambda: nn.Upsample(scale_factor=2), IMAGE),
    "PixelShuffle": (lambda: nn.PixelShuffle(2), numbers(2, 4, 3, 3)),
    "Threshold": (lambda: nn.Threshold(0.1, -2.0), numbers(2, 3)),
    "Unflatten": (lambda: nn.Unflatten(1, (2, 3)), numbers(2, 6)),
    **{name: (getattr(nn, name), 3 * numbers(2, 4)) for name in
       [
           "CELU", "ELU", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "Identity", "LeakyReLU",
           "LogSigmoid", "LogSoftmax", "Mish", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softmax", "Softmin",
           "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink"
       ]},
    "Sequential": (lambda: nn.Sequential(nn.Linear(3, 4, rng=0), np.tanh, nn.Linear(4, 2, rng=1)), numbers(2, 3)),
}  # fmt: skip


def arrays(out: Any) -> list[np.ndarray]:
    return [np.asarray(x.data if isinstance(x, Tensor) else x) for x in flatten(out)[0]]


def by_runtime(proto: Any, *inputs: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [x.name for x in session.get_inputs()]
    single = [x.astype(np.float32) if x.dtype == np.float64 else x for x in inputs]
    return session.run(None, dict(zip(names, single, strict=True)))


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
    bare = {
        "Module", "ModuleDict", "ModuleList", "Convolution", "Recurrent",
        "BatchNorm", "MaxPool", "AvgPool", "AdaptiveAvgPool", "AdaptiveMaxPool", "InstanceNorm",
    }  # fmt: skip
    kinds = {n for n in nn.__all__ if isinstance(getattr(nn, n), type) and issubclass(getattr(nn, n), nn.Module)}
    kinds = {n for n in kinds - bare if not n.endswith("Loss")}
    assert kinds <= {name.split()[0] for name in LAYERS}


@pytest.mark.parametrize("name", LAYERS)
def test_out_and_in_again_the_gradients_are_the_same(name: str) -> None:
    model, x = LAYERS[name][0](), LAYERS[name][1]
    model.eval()
    net = io.load_onnx(io.save_onnx(model, x, dtype=None))
    outs, wanted = flatten(net(x))[0], flatten(model(x))[0]
    seeds = [np.random.default_rng(1).normal(size=np.shape(out)) for out in wanted]
    found = []
    for module, results in ((net, outs), (model, wanted)):
        total = sum((out * seed).sum() for out, seed in zip(results, seeds, strict=True))
        if isinstance(total, Tensor) and total.requires_grad:
            total.backward()
        found.append({name: p.grad for name, p in module.named_parameters()})
    for got, want in zip(arrays(outs), arrays(wanted), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)
    assert found[0].keys() == found[1].keys()
    for key, want in found[1].items():
        if want is None:
            assert found[0][key] is None
        else:
            np.testing.assert_allclose(found[0][key], want, rtol=1e-11, atol=1e-12 * max(1.0, np.abs(want).max()))


def examples() -> dict[str, tuple[Any, np.ndarray]]:
    """The models of the examples."""
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        import digits_cnn
        import language_models
        import vae
    finally:
        sys.path.remove(str(ROOT / "examples"))
    rng = np.random.default_rng(0)
    return {
        "CNN": (digits_cnn.network(4, rng), numbers(3, 1, 8, 8)),
        "LSTM": (language_models.Recurrent(20, 8, rng), tokens(20, 3, 6)),
        "transformer": (language_models.Transformer(20, 8, rng, 6), tokens(20, 3, 6)),
        "VAE": (vae.VAE(16, 3, rng), rng.random((3, 64))),
    }


@pytest.mark.parametrize("name", ["CNN", "LSTM", "transformer", "VAE"])
def test_the_examples_give_the_same_in_onnxruntime_and_come_back(name: str) -> None:
    model, x = examples()[name]
    if name == "CNN":
        model(x)
    model.eval()
    proto = io.save_onnx(model, x)
    for rows in (1, 5):
        compared(model, proto, np.resize(x, (rows, *x.shape[1:])))
    net = io.load_onnx(proto)
    compared(net, proto, x)


def test_a_file_is_written_whole_and_read(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    model = nn.Sequential(nn.Linear(3, 4, rng=0), np.tanh, nn.Linear(4, 2, rng=1))
    x = numbers(2, 3)
    proto = io.save_onnx(model, x, path)
    assert path.read_bytes() == proto.SerializeToString()
    for file in (path, str(path), path.read_bytes(), proto):
        np.testing.assert_allclose(arrays(io.load_onnx(file)(x))[0], arrays(model(x))[0], atol=1e-6)


def test_a_network_takes_its_scalings_along() -> None:
    from tinygrad_nn.data import Scaler

    x, y = 5 + 3 * numbers(20, 3), 100 * numbers(20, 1)
    net = io.Network([Layer(3, 4, "tanh", rng=0), Layer(4, 1, rng=1)], "regression", scaler=Scaler.fit(x),
                     target_scaler=Scaler.fit(y))  # fmt: skip
    proto = io.save_onnx(net, x)
    np.testing.assert_allclose(by_runtime(proto, x)[0], net.predict(x), rtol=1e-5, atol=1e-4)


def test_names_of_weights_inputs_and_layers_are_those_of_the_model() -> None:
    model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.ReLU())
    graph = io.save_onnx(model, numbers(2, 3)).graph
    assert {t.name for t in graph.initializer} == {name for name, _ in model.named_parameters()}
    assert [i.name for i in graph.input] == ["x"]
    assert [o.name for o in graph.output] == ["output"]
    assert any("Linear" in node.name or node.name.startswith("0") for node in graph.node)


class Two(nn.Module):
    """Two inputs, two results."""

    def __init__(self) -> None:
        self.linear = nn.Linear(3, 3, rng=0)

    def forward(self, query: Any, key: Any) -> Any:
        return {"sum": self.linear(query) + key, "both": np.concatenate([query, self.linear(key)], axis=-1)}


def test_several_inputs_and_outputs_have_their_names() -> None:
    model, x, y = Two(), numbers(2, 3), numbers(2, 3)
    proto = io.save_onnx(model, (x, y))
    assert [i.name for i in proto.graph.input] == ["query", "key"]
    assert [o.name for o in proto.graph.output] == ["output_1", "output_2"]
    compared(model, proto, x, y)


@pytest.mark.parametrize("f", [
    lambda x: np.concatenate([x, np.zeros((len(x), 1))], axis=1),
    lambda x: x + np.arange(len(x))[:, None],
    lambda x: x.reshape(3 * len(x)),
    lambda x: np.broadcast_to(x[None], (2, *x.shape)).reshape(2 * len(x), 3),
    lambda x: x[: len(x) - 1],
    lambda x: x[-1],
    lambda x: x[::-1, ::2],
    lambda x: x[len(x) - 1, None],
    lambda x: x.T @ x,
    lambda x: x.sum(axis=0),
    lambda x: x.mean(axis=1),
    lambda x: np.einsum("ij,kj->ik", x, np.ones((2, 3))),
    lambda x: np.cumsum(x, axis=1),
    lambda x: distances(x, np.ones((3, 3))) + distances(x[None] + 2, x)[0, :, :1],
    lambda x: x[:, np.array([2, 0, 0])],
    lambda x: x[np.arange(2), np.array([2, -1])],
    lambda x: np.where((x > 0) & ~(x > 1) | (x < -1), x, 0.0),
    lambda x: np.clip(x, -0.5, 0.5) ** 3 + np.abs(x) ** 0.5,
    lambda x: np.logaddexp(x, 0.0) + np.expm1(x) - np.log1p(x * x) + np.hypot(x, 1.0) + np.log2(x * x + 1),
    lambda x: np.maximum(x, x.max(axis=1, keepdims=True) / 2),
    lambda x: x.std(axis=1) / x.var(),
    lambda x: np.stack([x, 2 * x], axis=-1),
    lambda x: x % 0.3 + x // 0.3,
    lambda x: np.linalg.norm(x, axis=1),
])  # fmt: skip
def test_a_function_of_arrays_goes_out_with_a_free_number_of_rows(f: Callable[[Any], Any]) -> None:
    x = numbers(4, 3)
    proto = io.save_onnx(f, x)
    for rows in (2, 5):
        inputs = np.random.default_rng(rows).normal(size=(rows, 3))
        single = inputs.astype(np.float32)
        got, want = by_runtime(proto, inputs)[0], np.asarray(f(single.astype(np.float64)))
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=2e-6, atol=2e-6)


def test_fixed_shapes_and_another_batch_axis_can_be_exported() -> None:
    model, x = nn.LSTM(4, 3, rng=0), numbers(5, 2, 4)  # time first
    fixed = io.save_onnx(model, x, axis=None)
    assert [d.dim_value for d in fixed.graph.input[0].type.tensor_type.shape.dim] == [5, 2, 4]
    compared(model, fixed, x)
    free = io.save_onnx(model, x, axis=1)
    compared(model, free, numbers(5, 6, 4))


def test_dtype_none_exports_float64() -> None:
    proto = io.save_onnx([Layer(3, 2, "tanh", rng=0)], numbers(2, 3), dtype=None)
    assert proto.graph.input[0].type.tensor_type.elem_type == TensorProto.DOUBLE
    assert {t.data_type for t in proto.graph.initializer} == {TensorProto.DOUBLE}


class Asks(nn.Module):
    """A forward that asks for a value."""

    def forward(self, x: Any) -> Any:
        return x if x.sum() > 0 else -x


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "values": (Asks(), numbers(2, 3), r"cannot be exported.*line|cannot be exported"),
    "no operator": (lambda x: np.linalg.inv(x), np.eye(3)[None], "has no operator"),
    "texts": ([Layer(3, 2)], np.array(["a"]), "pass an array of numbers"),
    "no rows": ([Layer(3, 2)], np.zeros((0, 3)), "at least one row"),
    "a number": (lambda x: x * 2, np.array(1.0), "no axis 0"),
    "a constant": (lambda x: 3.0, numbers(2, 3), "does not depend on its arguments"),
    "rows in numbers": (lambda x: x * float(len(x)), numbers(2, 3), "one more row"),
    "rows in operations": (lambda x: sum(x[k] for k in range(len(x))), numbers(2, 3), "other operations.*axis=None"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_models_that_cannot_be_exported_raise(name: str) -> None:
    model, x, said = REFUSED[name]
    with pytest.raises(ValueError, match=f"^save_onnx: .*{said}"):
        io.save_onnx(model, x)


def test_the_mode_of_the_model_stays_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(3, 3, rng=0), nn.Dropout(0.5))
    model.train()
    io.save_onnx(model, numbers(2, 3))
    assert all(part.training for part in model.modules())


def test_a_model_from_a_file_is_trained_drawn_and_compiled() -> None:
    x, y = numbers(30, 4), tokens(3, 30)
    net = io.load_onnx(io.save_onnx([Layer(4, 8, "relu", rng=0), Layer(8, 3, rng=1)], x))
    view = GraphView(net(x.astype(np.float32)))
    assert {node.name for node in view if node.kind == "leaf"} >= {"0.W", "1.b"}
    history = fit(net, x, y, solver=Solver(cross_entropy, "adam", 0.02), settings=Settings(40, 10), rng=0,
                  compile="numpy")  # fmt: skip
    assert history.loss[-1] < 0.5 * history.loss[0]
    again = io.load_onnx(io.save_onnx(net, x))
    np.testing.assert_allclose(arrays(again(x))[0], arrays(net(x))[0], rtol=1e-5, atol=1e-5)


def model_of(kind: str, inputs: list[np.ndarray], weights: list[np.ndarray | None], outs: int = 1, opset: int = 18,
             **attrs: Any) -> Any:  # fmt: skip
    """A model of a single operator, as another program writes it."""
    names = [f"x{k}" for k in range(len(inputs))]
    given = ["" if w is None else f"w{k}" for k, w in enumerate(weights)]
    results = [f"y{k}" for k in range(outs)]
    node = helper.make_node(kind, [*names, *given], results, **attrs)
    typed = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
             for n, x in zip(names, inputs, strict=True)]  # fmt: skip
    graph = helper.make_graph(
        [node], "one", typed, [helper.make_empty_tensor_value_info(n) for n in results],
        [numpy_helper.from_array(w, n) for n, w in zip(given, weights, strict=True) if w is not None],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    model = onnx.shape_inference.infer_shapes(model)
    for out in model.graph.output:
        if not out.type.WhichOneof("value"):  # of an operator that is a function of others
            out.CopyFrom(helper.make_tensor_value_info(out.name, TensorProto.FLOAT, inputs[0].shape))
    return model


def f32(*shape: int) -> np.ndarray:
    return numbers(*shape).astype(np.float32)


def i64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


X, P, T = f32(2, 3, 4), np.abs(f32(2, 3)) + 0.5, f32(2, 4, 7, 7)
BITS = X > 0
UNARY = [
    "Neg", "Abs", "Exp", "Sign", "Floor", "Ceil", "Round", "Sin", "Cos", "Tan", "Atan", "Sinh", "Cosh", "Tanh",
    "Asinh", "Erf", "Identity", "Relu", "LeakyRelu", "Elu", "Selu", "Celu", "Sigmoid", "HardSigmoid", "HardSwish",
    "Mish", "Softplus", "Softsign", "Softmax", "LogSoftmax", "Hardmax", "IsNaN", "IsInf", "Shape", "Size", "Flatten",
    "Transpose"
]  # fmt: skip
REDUCES = [
    "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSumExp",
    "ReduceLogSum", "ReduceSumSquare"
]  # fmt: skip
Row = tuple[list[np.ndarray], list[Any], int, dict[str, Any]]
OPERATORS: dict[str, Row] = {
    **{kind: ([X], [], 1, {}) for kind in UNARY},
    **{kind: ([P], [], 1, {}) for kind in ("Log", "Sqrt", "Reciprocal")},
    **{kind: ([f32(2, 3) / 9], [], 1, {}) for kind in ("Asin", "Acos", "Atanh")},
    **{kind: ([X, f32(3, 1)], [], 1, {}) for kind in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean")},
    **{kind: ([X, f32(3, 1)], [], 1, {}) for kind in ("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal")},
    **{kind: ([BITS, BITS[::-1].copy()], [], 1, {}) for kind in ("And", "Or", "Xor")},
    **{kind: ([np.abs(X) + 0.1], [i64(0, 2)], 1, {"keepdims": 0}) for kind in REDUCES},
    "ReduceSum all": ([X], [], 1, {}), "ReduceSum none": ([X], [], 1, {"noop_with_empty_axes": 1}),
    "Acosh": ([P + 1], [], 1, {}),
    "Not": ([BITS], [], 1, {}),
    "Pow": ([P, P], [], 1, {}),
    "Div of integers": ([i64(7, -7, 6), i64(2, 2, -4)], [], 1, {}),
    "Mod": ([i64(7, -7), i64(3, 3)], [], 1, {}), "Mod of floats": ([P, P[::-1].copy()], [], 1, {"fmod": 1}),
    "LeakyRelu 0.3": ([X], [], 1, {"alpha": 0.3}), "Elu 0.5": ([X], [], 1, {"alpha": 0.5}),
    "Celu 2": ([X], [], 1, {"alpha": 2.0}), "HardSigmoid own": ([X], [], 1, {"alpha": 0.3, "beta": 0.4}),
    "PRelu": ([X], [f32(3, 1)], 1, {}), "Softmax 1": ([X], [], 1, {"axis": 1}),
    "Clip": ([X], [np.float32(-0.5), np.float32(0.5)], 1, {}), "Clip above": ([X], [None, np.float32(0.5)], 1, {}),
    "Where": ([BITS, X, f32(4)], [], 1, {}), "MatMul": ([X, f32(4, 5)], [], 1, {}),
    "Gemm": ([f32(3, 2), f32(4, 3), f32(4)], [], 1, {"transA": 1, "transB": 1, "alpha": 0.5, "beta": 2.0}),
    "Gemm plain": ([f32(2, 3), f32(3, 4)], [], 1, {}), "Einsum": ([X, f32(4, 5)], [], 1, {"equation": "bij,jk->bik"}),
    "ArgMax": ([X], [], 1, {"axis": 1, "keepdims": 0}), "ArgMin": ([X], [], 1, {"axis": -1}),
    "CumSum": ([X], [np.array(1)], 1, {}), "Reshape": ([X], [i64(0, -1)], 1, {}),
    "Flatten 2": ([X], [], 1, {"axis": 2}), "Squeeze": ([f32(2, 1, 3)], [i64(1)], 1, {}),
    "Unsqueeze": ([X], [i64(0, 4)], 1, {}), "Transpose 1": ([X], [], 1, {"perm": [1, 2, 0]}),
    "Expand": ([f32(3, 1)], [i64(2, 1, 4)], 1, {}), "Split": ([X], [i64(1, 3)], 2, {"axis": 2}),
    "Split even": ([X], [], 2, {"axis": 2, "num_outputs": 2}),
    "Slice": ([X], [i64(0, 3), i64(2, -100), i64(1, 2), i64(1, -1)], 1, {}),
    "Slice ends": ([X], [i64(-2), i64(99)], 1, {}),
    "Gather": ([X], [np.array([[0, 2], [-1, 1]])], 1, {"axis": 1}), "Gather one": ([X], [np.array(1)], 1, {"axis": 1}),
    "GatherElements": ([X], [np.zeros((2, 1, 4), np.int64)], 1, {"axis": 1}),
    "ScatterND": ([X], [np.array([[0, 1], [1, 2]]), X[:, 0] + 1], 1, {}),
    "GatherND": ([X], [np.array([[0, 1], [1, 2]])], 1, {}),
    "Concat": ([X, f32(2, 1, 4)], [], 1, {"axis": 1}), "Pad": ([X], [i64(0, 1, 0, 0, 0, 2), np.float32(3.0)], 1, {}),
    "Pad reflect": ([X], [i64(0, 1, 0, 0, 0, 2)], 1, {"mode": "reflect"}), "Tile": ([X], [i64(1, 2, 1)], 1, {}),
    "Cast": ([X], [], 1, {"to": TensorProto.INT64}), "Cast bits": ([BITS], [], 1, {"to": TensorProto.FLOAT}),
    "Shape part": ([X], [], 1, {"start": 1, "end": -1}), "Constant": ([], [], 1, {"value_floats": [1.0, 2.0]}),
    "ConstantOfShape": ([], [i64(2, 3)], 1, {"value": numpy_helper.from_array(np.array([7], np.int64))}),
    "Range": ([], [np.array(1), np.array(9), np.array(3)], 1, {}), "Trilu": ([X], [np.array(1)], 1, {"upper": 0}),
    "Dropout": ([X], [], 1, {}),
    "Conv": ([T], [f32(6, 2, 3, 3), f32(6)], 1, {"group": 2, "strides": [2, 1], "pads": [1, 0, 1, 0]}),
    "Conv uneven": ([T], [f32(5, 4, 3, 2)], 1, {"pads": [1, 0, 2, 1], "dilations": [1, 2]}),
    "Conv same": ([T], [f32(5, 4, 3, 2)], 1, {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "Conv same lower": ([T], [f32(5, 4, 2, 2)], 1, {"auto_pad": "SAME_LOWER"}),
    "Conv valid": ([f32(2, 4, 9)], [f32(5, 4, 3)], 1, {"auto_pad": "VALID"}),
    "ConvTranspose": ([T], [f32(4, 3, 3, 3), f32(3)], 1,
                      {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
    "MaxPool": ([T], [], 1, {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 0]}),
    "MaxPool uneven": ([T], [], 1, {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "AveragePool": ([T], [], 1, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    "AveragePool padded": ([T], [], 1, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    "GlobalAveragePool": ([T], [], 1, {}), "GlobalMaxPool": ([T], [], 1, {}),
    "BatchNormalization": ([T], [f32(4), f32(4), f32(4), np.abs(f32(4)) + 0.5], 1, {"epsilon": 1e-3}),
    "LayerNormalization": ([X], [f32(3, 4), f32(3, 4)], 1, {"axis": 1}),
    "LayerNormalization plain": ([X], [f32(4)], 1, {}),
    "InstanceNormalization": ([T], [f32(4), f32(4)], 1, {}),
    **{f"{kind} {way}": ([f32(5, 2, 3)], [f32(d, n * 4, 3), f32(d, n * 4, 4), f32(d, 2 * n * 4)], 2 + (kind == "LSTM"),
                         {"hidden_size": 4, "direction": way, **more})
       for kind, n, more in (("LSTM", 4, {}), ("GRU", 3, {"linear_before_reset": 1}), ("RNN", 1, {}))
       for way, d in (("forward", 1), ("reverse", 1), ("bidirectional", 2))},
    "GRU before": ([f32(5, 2, 3)], [f32(1, 12, 3), f32(1, 12, 4)], 2, {"hidden_size": 4}),
    "RNN started": ([f32(5, 2, 3)], [f32(1, 4, 3), f32(1, 4, 4), None, None, f32(1, 2, 4)], 2,
                    {"hidden_size": 4, "activations": ["Relu"]}),
}  # fmt: skip
NEWER = {"Gelu": ([X], [], 1, {}), "Gelu tanh": ([X], [], 1, {"approximate": "tanh"}), "Swish": ([X], [], 1, {}),
         "GroupNormalization": ([T], [f32(4), f32(4)], 1, {"num_groups": 2}),
         "RMSNormalization": ([X], [f32(4)], 1, {})}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_from_elsewhere_gives_what_onnxruntime_gives(name: str) -> None:
    inputs, weights, outs, attrs = OPERATORS[name]
    model = model_of(name.split()[0], inputs, weights, outs, **attrs)
    net = io.load_onnx(model)
    for got, want in zip(arrays(net(*inputs)), by_runtime(model, *inputs), strict=True):
        assert got.shape == want.shape
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NEWER)
def test_an_operator_of_a_newer_opset_gives_what_its_reference_gives(name: str) -> None:
    from onnx.reference import ReferenceEvaluator

    kind = name.split()[0]
    inputs, weights, outs, attrs = NEWER[name]
    model = model_of(kind, inputs, weights, outs, opset=20 if kind == "Gelu" else 24, **attrs)
    names = [x.name for x in model.graph.input]
    want = ReferenceEvaluator(model).run(None, dict(zip(names, inputs, strict=True)))[0]
    np.testing.assert_allclose(arrays(io.load_onnx(model)(*inputs))[0], want, rtol=1e-5, atol=1e-6)


def test_every_operator_of_the_table_is_tried_and_listed_in_the_docs() -> None:
    assert set(FUNCTIONS) <= {name.split()[0] for name in (*OPERATORS, *NEWER)}
    page = (ROOT / "docs" / "onnx.md").read_text(encoding="utf-8")
    page = page[page.index("## Operators") : page.index("## What is not there")]
    listed = set(re.findall(r"`([A-Z][A-Za-z0-9]+)`", page))
    assert listed == {*FUNCTIONS, "Scan"}


def test_statistics_are_no_parameters() -> None:
    model = model_of("BatchNormalization", [T], [f32(4), f32(4), f32(4), np.abs(f32(4)) + 0.5])
    assert [name for name, _ in io.load_onnx(model).named_parameters()] == ["w0", "w1"]


def test_files_that_are_none_are_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    with pytest.raises(FileNotFoundError):
        io.load_onnx(path)
    for content in (b"", b"no model", bytes(range(200))):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"load_onnx: .*is no"):
            io.load_onnx(path)
    odd = model_of("Sin", [X], [])
    odd.graph.node[0].op_type = "LpPool"
    odd.graph.node[0].attribute.append(helper.make_attribute("kernel_shape", [2]))
    with pytest.raises(ValueError, match="the operator 'LpPool' is not known"):
        io.load_onnx(odd)
    with pytest.raises(TypeError, match="one takes 1 input, x0; it got 2"):
        io.load_onnx(model_of("Sin", [X], []))(X, X)


def test_without_the_package_it_says_how_to_install_it() -> None:
    code = (
        "import sys; sys.modules['onnx'] = None\nfrom tinygrad_nn import io\n"
        "try: io.save_onnx([], 0)\nexcept ImportError as e: print(e)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert "pip install 'tinygrad-nn[onnx]'" in said
