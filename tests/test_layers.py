"""Layers: as PyTorch has them, in value, gradient, names and shapes; in float32; at the edges; and what they refuse.

Each row of tests/reference/make_layers.py is a layer with its inputs; the numbers of PyTorch are in layers.json.
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from reference import make_layers
from reference.make_convolution import numbers
from reference.make_layers import ROWS, STATE, Row, flat, given, values

from tinygrad_nn import Tensor, io, manual, nn, no_grad
from tinygrad_nn.backward import ancestors
from tinygrad_nn.gradcheck import check_gradients
from tinygrad_nn.nn import (
    GLU,
    AvgPool,
    BatchNorm,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Embedding,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    Linear,
    MaxPool,
    Module,
    PReLU,
    RMSNorm,
    Sequential,
    sinusoidal_positions,
)  # fmt: skip
from tinygrad_nn.nn.function_layers import FunctionLayer
from tinygrad_nn.nn.state import assign

Array = Any

RECORDED = {row["row"]: row for row in json.loads(make_layers.FILE.read_text("utf-8"))}
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.ours} {row.call}")
# Two programs in float64, of some hundred roundings each, of numbers up to some ten.
SAME = 1e-12


def recorded(row: Row) -> dict[str, Any]:
    return RECORDED[f"{row.ours} {row.call}"]


def made(row: Row, dtype: Any = None) -> Module:
    """The layer of a row, with the parameters that PyTorch's has."""
    kind, _, arguments = row.ours.removesuffix(")").partition("(")
    options = ["dtype=dtype"] if dtype is not None and recorded(row)["shapes"] else []
    layer: Module = eval(f"nn.{kind}({', '.join([arguments] * bool(arguments) + options)})", {"nn": nn, "dtype": dtype})
    layer.load_state_dict(values(recorded(row)["shapes"]))
    return layer


def run(row: Row, layer: Module, inputs: dict[str, Any]) -> list[Any]:
    return flat(eval(row.call, {**vars(make_layers), "layer": layer, **inputs}))


def close(found: Array, wanted: Any, tolerance: float = SAME) -> None:
    wanted = np.reshape(wanted, np.shape(found))
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance * max(1, np.abs(wanted).max(initial=0)))


def tensors(row: Row, dtype: Any = float) -> dict[str, Any]:
    return {name: Tensor(x.astype(dtype)) if x.dtype.kind == "f" else x for name, x in given(row).items()}


def walked(row: Row, layer: Module, inputs: dict[str, Any]) -> list[Any]:
    """Run a layer, run backward with the cotangents of the reference, and return the results."""
    outs = run(row, layer, inputs)
    sum((out * numbers(out.shape, 101 + i).astype(out.dtype)).sum() for i, out in enumerate(outs)).backward()
    return outs


# -- The definitions of PyTorch


@each_row
def test_names_and_shapes_of_the_state_are_those_of_pytorch(row: Row) -> None:
    shapes = {name: list(x.shape) for name, x in made(row).state_dict().items()}
    assert shapes == recorded(row)["shapes"]


@each_row
def test_results_gradients_and_statistics_are_those_of_pytorch(row: Row) -> None:
    layer, inputs, wanted = made(row), tensors(row), recorded(row)
    outs = walked(row, layer, inputs)
    assert len(outs) == len(wanted["out"])
    for found, out in zip(outs, wanted["out"], strict=True):
        close(found.data, out)
    leaves = {**{name: x for name, x in inputs.items() if isinstance(x, Tensor)}, **dict(layer.named_parameters())}
    assert sorted(leaves) == sorted(wanted["gradients"])
    for name, leaf in leaves.items():
        close(leaf.grad, wanted["gradients"][name])
    buffers = dict(layer.named_buffers())
    assert sorted(buffers) == sorted(wanted["buffers"])
    for name, buffer in buffers.items():
        close(buffer, wanted["buffers"][name])


def test_every_row_was_recorded_and_every_layer_has_a_row() -> None:
    assert sorted(RECORDED) == sorted(f"{row.ours} {row.call}" for row in ROWS)
    known = {row.ours.partition("(")[0] for row in ROWS}
    classes = {name: getattr(nn, name) for name in nn.__all__ if isinstance(getattr(nn, name), type)}
    same = {kind for name in known for kind in getattr(nn, name).__mro__ if kind is not Module}  # MaxPool by MaxPool2d
    without = {"Module", "Sequential", "Parallel", "Residual", "Lambda", "Layer", "Linear", "Flatten", "Dropout",
               "SpatialDropout", "Convolution", "Recurrent"}  # fmt: skip
    without |= {"Unflatten", "MultiheadAttention", "ModuleList", "ModuleDict", "Identity", "Dropout1d", "Dropout2d",
                "TransformerEncoder", "TransformerEncoderLayer", "Upsample", "PixelShuffle", "Bilinear",
                "RNNCell", "LSTMCell", "GRUCell"}  # fmt: skip
    without |= {f"{kind}Pad{axes}d" for kind in ("Zero", "Constant", "Reflection", "Replication", "Circular")
                for axes in (1, 2, 3)}  # fmt: skip
    left = {name for name, kind in classes.items() if issubclass(kind, Module) and kind not in same
            and not issubclass(kind, FunctionLayer)}  # fmt: skip
    assert left <= without


def test_a_state_that_pytorch_wrote_is_loaded() -> None:
    layer = eval(f"nn.{make_layers.BLOCK}", {"nn": nn})
    io.load_weights(STATE, layer)
    row = next(row for row in ROWS if row.ours == make_layers.BLOCK)
    close(run(row, layer, tensors(row))[0].data, recorded(row)["out"][0])


# -- Derivatives of two orders, floats of both sizes


def replaced(layer: Module, parameters: dict[str, Any]) -> None:
    """Put Tensors in the place of parameters."""
    for path, tensor in parameters.items():
        *above, name = path.split(".")
        owner = layer
        for part in above:
            owner = getattr(owner, part)
        setattr(owner, name, tensor)


@each_row
def test_gradients_of_two_orders_are_the_numerical_ones(row: Row) -> None:
    layer, inputs = made(row), given(row)
    if getattr(layer, "padding_idx", None) is not None:
        return  # it has no gradient on purpose, although the result depends on it

    def f(inputs: dict[str, Any], parameters: dict[str, Any]) -> list[Any]:
        replaced(layer, parameters)
        return run(row, layer, inputs)

    state = {name: p.data for name, p in layer.named_parameters()}
    report = check_gradients(f, inputs, state, order=2, directions=1, entries=0)
    assert report.ok, str(report)


@each_row
def test_float32_in_gives_float32_out_and_back(row: Row) -> None:
    layer, inputs = made(row, np.float32), tensors(row, np.float32)
    outs, wanted = walked(row, layer, inputs), recorded(row)
    assert all(x.dtype == np.float32 for x in outs)
    assert all(b.dtype == (np.float32 if b.ndim else int) for _, b in layer.named_buffers())
    leaves = {**{name: x for name, x in inputs.items() if isinstance(x, Tensor)}, **dict(layer.named_parameters())}
    for name, leaf in leaves.items():
        assert leaf.dtype == leaf.grad.dtype == np.float32
        # some hundred roundings of 6e-8, in numbers that may cancel to a tenth of their terms
        close(leaf.grad, wanted["gradients"][name], tolerance=3e-4)


@each_row
def test_plain_arrays_under_no_grad_give_the_same(row: Row) -> None:
    with no_grad():
        for found, wanted in zip(run(row, made(row), given(row)), recorded(row)["out"], strict=True):
            close(found.data if isinstance(found, Tensor) else found, wanted)


# -- What stands in the graph


@pytest.mark.parametrize(("layer", "shape", "most"), [
    (LayerNorm(4), (3, 4), 1), (BatchNorm(4), (3, 4), 1), (RMSNorm(4), (3, 4), 1), (Conv2d(2, 3, 3), (1, 2, 5, 5), 3),
    (Embedding(5, 3), None, 1),
])  # fmt: skip
def test_a_layer_is_few_operations(layer: Module, shape: Any, most: int) -> None:
    out = layer(np.array([1, 2]) if shape is None else Tensor(np.random.default_rng(0).normal(size=shape)))
    assert sum(node.primitive is not None for node in ancestors([out.node])) <= most


# -- Batch norm: what it learns and uses


def test_batch_norm_learns_the_statistics_that_it_uses_later() -> None:
    rng = np.random.default_rng(0)
    layer = BatchNorm(3, momentum=None)
    batches = [3 * rng.normal(size=(50, 3)) + [1.0, -2.0, 10.0] for _ in range(4)]
    for batch in batches:
        layer(batch)
    assert layer.num_batches_tracked == 4
    np.testing.assert_allclose(layer.running_mean, np.mean([b.mean(axis=0) for b in batches], axis=0), rtol=1e-13)
    np.testing.assert_allclose(layer.running_var, np.mean([b.var(axis=0, ddof=1) for b in batches], axis=0), rtol=1e-13)
    before = layer.state_dict()
    x = rng.normal(size=(1, 3))
    used = layer.eval()(x).data
    np.testing.assert_allclose(used, (x - layer.running_mean) / np.sqrt(layer.running_var + 1e-5), rtol=1e-13)
    assert all(np.array_equal(before[name], now) for name, now in layer.state_dict().items())
    assert layer.train()(np.vstack([x, -x])).shape == (2, 3)
    assert layer.num_batches_tracked == 5


def test_batch_norm_has_no_statistics_of_a_single_value() -> None:
    for shape in ((1, 3), (0, 3), (1, 3, 1, 1)):
        with pytest.raises(ValueError, match=r"more than one value .*larger batch, or eval.*the last batch"):
            BatchNorm(3)(np.ones(shape))
        assert BatchNorm(3).eval()(np.ones(shape)).shape == shape
    assert BatchNorm(3)(np.ones((1, 3, 2))).shape == (1, 3, 2)


def test_batch_norm_does_not_keep_a_value_of_a_trace() -> None:
    layer, one = BatchNorm(3), Tensor(np.ones((1, 3)))
    with pytest.raises(TypeError, match=r"BatchNorm\(3\) in training updates its running statistics"):
        layer._learn(one, one, 5)
    assert layer.num_batches_tracked == 0
    assert layer.running_mean.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2, 2)])
def test_batch_and_layer_norm_are_those_derived_by_hand(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    x, g, weight, bias = rng.normal(size=shape), rng.normal(size=shape), *rng.normal(size=(2, 3))
    layer = BatchNorm(3)
    layer.load_state_dict({"weight": weight, "bias": bias}, strict=False)
    by_hand = manual.batch_norm(x, weight, bias, np.zeros(3), np.ones(3))
    t = Tensor(x)
    out = layer(t)
    out.backward(g)
    dx, dweight, dbias = manual.batch_norm_backward(g, weight, by_hand.x_hat, by_hand.std)
    for found, wanted in ((out.data, by_hand.y), (layer.running_mean, by_hand.running_mean), (t.grad, dx),
                          (layer.running_var, by_hand.running_var), (layer.weight.grad, dweight),
                          (layer.bias.grad, dbias)):  # fmt: skip
        close(found, wanted)

    last = x.shape[-1]
    weight, bias = rng.normal(size=(2, last))
    norm = LayerNorm(last)
    norm.load_state_dict({"weight": weight, "bias": bias})
    by_hand = manual.layer_norm(x, weight, bias)
    t = Tensor(x)
    norm(t).backward(g)
    wanted = manual.layer_norm_backward(g, weight, by_hand.x_hat, by_hand.std)
    for a, b in zip((t.grad, norm.weight.grad, norm.bias.grad), wanted, strict=True):
        close(a, b)


def test_a_large_mean_does_not_spoil_the_variance() -> None:
    x = np.random.default_rng(0).normal(size=(64, 4))
    close(LayerNorm(4, eps=0.0)(x + 1e6).data, LayerNorm(4, eps=0.0)(x).data, 1e-8)  # 1e6 has 1e-10 to its last digit
    close(BatchNorm(4, eps=0.0)(x + 1e6).data, BatchNorm(4, eps=0.0)(x).data, 1e-8)


# -- Embedding


def test_a_padding_is_zero_at_first_and_never_learned() -> None:
    layer = Embedding(5, 3, padding_idx=-1, rng=0)
    assert not layer.weight.data[4].any()
    assert layer.weight.data[:4].all()
    layer([[0, 4, 0]]).sum().backward()
    assert layer.weight.grad.tolist() == [[2.0] * 3, *[[0.0] * 3] * 4]
    words, other = np.array([3, 1]), Embedding(5, 3, rng=0)
    close(other(words).data, manual.embedding(other.weight.data, words))


def test_positions_of_sines_tell_all_places_apart() -> None:
    rows = sinusoidal_positions(200, 7, np.float32)
    assert (rows.shape, rows.dtype) == ((200, 7), np.float32)
    distances = np.linalg.norm(rows[:, None] - rows[None], axis=-1) + 9 * np.eye(200)
    assert distances.min() > 0.05
    assert sinusoidal_positions(0, 4).shape == (0, 4)


# -- Initial weights


@pytest.mark.parametrize(("layer", "limit"), [
    (Conv2d(8, 40, (3, 5), rng=0), 1 / 120**0.5), (Conv1d(8, 80, 5, groups=2, rng=0), 1 / 20**0.5),
    (ConvTranspose2d(40, 8, 3, rng=0), 1 / 72**0.5), (nn.LSTM(50, 40, rng=0), 1 / 40**0.5),
    (nn.GRU(50, 40, 2, rng=0), 1 / 40**0.5),
])  # fmt: skip
def test_initial_weights_are_uniform_within_the_limits_of_pytorch(layer: Module, limit: float) -> None:
    for name, x in layer.state_dict().items():
        assert 0.9 * limit < np.abs(x).max() <= limit, name
        if x.size > 1000:
            assert x.var() == pytest.approx(limit**2 / 3, rel=0.1)


@pytest.mark.parametrize("make", [
    lambda rng: Conv2d(2, 3, 3, rng=rng), lambda rng: ConvTranspose1d(2, 3, 3, rng=rng),
    lambda rng: Embedding(4, 3, rng=rng), lambda rng: nn.LSTM(2, 3, rng=rng),
    lambda rng: nn.MultiHeadAttention(4, 2, rng=rng), lambda rng: nn.TransformerBlock(4, 2, 8, rng=rng),
])  # fmt: skip
def test_a_seed_gives_the_same_weights_and_a_generator_moves_on(make: Callable[..., Module]) -> None:
    def weights(rng: Any) -> Array:
        return np.concatenate([x.ravel() for x in make(rng).state_dict().values()])

    assert np.array_equal(weights(7), weights(7))
    rng = np.random.default_rng(7)
    assert np.array_equal(weights(rng), weights(7))
    assert not np.array_equal(weights(rng), weights(7))
    assert not np.array_equal(weights(None), weights(None))


# -- Edges


@pytest.mark.parametrize(("layer", "shape", "out"), [
    (Conv2d(2, 3, 3, padding=1), (0, 2, 4, 4), (0, 3, 4, 4)), (Conv2d(2, 3, 3), (1, 2, 3, 3), (1, 3, 1, 1)),
    (LayerNorm(4), (0, 4), (0, 4)), (LayerNorm(4), (4,), (4,)), (RMSNorm(4), (0, 2, 4), (0, 2, 4)),
    (GroupNorm(2, 4), (0, 4, 3), (0, 4, 3)), (GroupNorm(2, 4), (1, 4), (1, 4)), (PReLU(3), (0, 3), (0, 3)),
    (InstanceNorm(2), (1, 2, 2), (1, 2, 2)), (MaxPool(2), (1, 1, 2, 2), (1, 1, 1, 1)), (GLU(), (0, 4), (0, 2)),
    (AvgPool(2), (0, 1, 4), (0, 1, 2)),
])  # fmt: skip
def test_a_batch_may_have_one_row_or_none(layer: Module, shape: tuple[int, ...], out: tuple[int, ...]) -> None:
    x = Tensor(np.random.default_rng(0).normal(size=shape))
    y = layer(x)
    y.backward(np.ones(y.shape))
    assert (y.shape, x.grad.shape) == (out, shape)


def test_an_embedding_of_no_words() -> None:
    assert Embedding(4, 3)(np.zeros((0, 5), int)).shape == (0, 5, 3)


# -- What is refused


@pytest.mark.parametrize(("layer", "x", "message"), [
    (Conv2d(3, 4, 3), np.ones((2, 4, 5, 5)), r"Conv2d\(3, 4, 3\) takes \(batch, 3, h, w\); x has shape \(2, 4, 5, 5\)"),
    (Conv1d(3, 4, 3), np.ones((2, 3, 5, 5)), r"takes \(batch, 3, n\); x has shape \(2, 3, 5, 5\)"),
    (Conv2d(3, 4, 3), np.ones((2, 3, 2, 2)), r"\(2, 3, 2, 2\)"),
    (ConvTranspose1d(3, 4, 3), np.ones((2, 4, 5)), r"takes \(batch, 3, n\); x has shape \(2, 4, 5\)"),
    (BatchNorm(3), np.ones((5, 4)), r"BatchNorm\(3\) takes \(batch, 3\) or .*; x has shape \(5, 4\)"),
    (LayerNorm((2, 3)), np.ones((5, 3)), r"takes \(..., 2, 3\); x has shape \(5, 3\)"),
    (RMSNorm(3), np.ones((5, 4)), r"takes \(..., 3\); x has shape \(5, 4\)"),
    (GroupNorm(2, 4), np.ones((5, 3)), r"GroupNorm\(2, 4\) takes \(batch, 4, \*spatial\); x has shape \(5, 3\)"),
    (InstanceNorm(3), np.ones((5, 3)), r"takes \(batch, 3, \*spatial\).*; x has shape \(5, 3\)"),
    (PReLU(3), np.ones((5, 4)), r"takes \(batch, 3, \*spatial\); x has shape \(5, 4\)"),
    (GLU(), np.ones((5, 3)), r"\(5, 3\) has 3 entries, an odd number"),
    (MaxPool(3), np.ones((1, 1, 2, 2)), r"\(1, 1, 2, 2\)"),
    (Embedding(5, 3), np.array([1, 5]), r"Embedding\(5, 3\) has the words 0 to 4; x holds 5"),
    (Embedding(5, 3), np.array([1, -1]), "x holds -1"),
    (Embedding(5, 3), Tensor(np.array([1, -1])), "x holds -1"),
    (Embedding(5, 3), np.array([1.0]), r"takes indices of words; x has dtype float64. Write x.astype\(int\)"),
])  # fmt: skip
def test_a_wrong_input_is_refused_with_the_path_of_the_layer(layer: Module, x: Array, message: str) -> None:
    model = Sequential(Sequential({"part": layer}))
    with pytest.raises((ValueError, TypeError), match=rf"in Sequential\.0 Sequential\.part: .*{message}"):
        model(x)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Conv2d(3, 4, 3, groups=2), "groups=2 does not divide 3 channels in and 4 out"),
    (lambda: Conv2d(3, 4, 3, 2, "same"), "padding='same' keeps the size only with stride=1"),
    (lambda: Conv2d(3, 4, 3, padding="full"), "known are 'same', 'valid' and numbers"),
    (lambda: Conv2d(3, 4, (3, 3, 3)), "kernel"),
    (lambda: Conv2d(0, 4, 3), "c_in=0"),
    (lambda: Conv2d(1.5, 4, 3), "whole number"),
    (lambda: GroupNorm(3, 4), "4 channels cannot be divided into 3 groups"),
    (lambda: LayerNorm(()), "no axis to normalise over"),
    (lambda: LayerNorm(3, dtype=int), "gradients need floats"),
    (lambda: Embedding(3, 2, 3), "padding_idx=3; the 3 words are 0 to 2"),
    (lambda: PReLU(0), "channels=0"),
])  # fmt: skip
def test_a_layer_that_cannot_be_is_refused(make: Callable[[], Module], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make()


@pytest.mark.parametrize(("layer", "shown"), [
    (Conv2d(3, 8, 3), "Conv2d(3, 8, 3)"),
    (Conv2d(4, 8, (3, 5), 2, 1, 2, 2, False),
     "Conv2d(4, 8, (3, 5), stride=2, padding=1, dilation=2, groups=2, bias=False)"),
    (ConvTranspose2d(4, 8, 3, 2, 1, 1), "ConvTranspose2d(4, 8, 3, stride=2, padding=1, output_padding=1)"),
    (BatchNorm(3, momentum=None, affine=False), "BatchNorm(3, momentum=None, affine=False)"),
    (LayerNorm((2, 3), bias=False), "LayerNorm((2, 3), bias=False)"),
    (RMSNorm(3, affine=False), "RMSNorm(3, affine=False)"),
    (GroupNorm(2, 4), "GroupNorm(2, 4)"), (InstanceNorm(4, affine=True), "InstanceNorm(4, affine=True)"),
    (MaxPool(3, 2, 1), "MaxPool(3, stride=2, padding=1)"), (AvgPool(2), "AvgPool(2)"),
    (nn.AdaptiveAvgPool((2, 3)), "AdaptiveAvgPool((2, 3))"),
    (PReLU(), "PReLU()"), (PReLU(3), "PReLU(3)"), (GLU(1), "GLU(1)"),
    (Embedding(5, 3, 0), "Embedding(5, 3, padding_idx=0)"),
    (nn.LSTM(2, 3, 2, dropout=0.5, bidirectional=True), "LSTM(2, 3, layers=2, dropout=0.5, bidirectional=True)"),
])  # fmt: skip
def test_a_layer_shows_how_it_was_made(layer: Module, shown: str) -> None:
    assert repr(layer) == shown


def test_layers_learn_together() -> None:
    rng = np.random.default_rng(0)
    model = Sequential(Conv2d(1, 4, 3, padding="same", rng=rng), BatchNorm(4), np.tanh, MaxPool(2), nn.Flatten(),
                       Linear(16, 1, rng=rng))  # fmt: skip
    x = rng.normal(size=(40, 1, 4, 4))
    y = x[:, 0, :, :2].sum(axis=(1, 2), keepdims=True)[:, 0]
    losses = []
    for _ in range(60):
        loss = ((model(x) - y) ** 2).mean()
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            assign(p, p.data - 0.02 * p.grad)
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
