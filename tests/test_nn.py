"""Layers: their initial weights, what they accept, what they compute and how they show in a graph."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_nn
from tinygrad_nn import Layer, Tensor, no_grad, relu
from tinygrad_nn.nn import activation
from tinygrad_nn.nn.activations import PRIMITIVES
from tinygrad_nn.optim.update import attached_memory

VARIANCE = {  # of the initial weights of a layer 300 -> 200
    "relu": 2 / 300,
    "leaky_relu": 2 / (300 * (1 + 0.01**2)),
    "leaky_relu(0.5)": 2 / (300 * 1.25),
    "sigmoid": 2 / 500,
    "softmax": 2 / 500,
    "tanh": 2 / 500,
    "linear": 2 / 500,
    "selu": 1 / 300,  # LeCun's, for which its fixed point is derived
    "gelu": 2 / 500,
    "elu(0.5)": 2 / 500,
}


@pytest.mark.parametrize("distribution", ["n", "u", "N", "U"])
@pytest.mark.parametrize("name", VARIANCE)
def test_initial_weights_have_he_or_xavier_variance(name: str, distribution: str) -> None:
    W = Layer(300, 200, name, distribution, rng=0).W.data
    assert W.shape == (200, 300)
    assert W.var() == pytest.approx(VARIANCE[name], rel=0.03)
    assert abs(W.mean()) < 4 * (VARIANCE[name] / W.size) ** 0.5
    kurtosis = (W**4).mean() / W.var() ** 2
    assert kurtosis == pytest.approx(3.0 if distribution in "nN" else 1.8, rel=0.05)
    if distribution in "uU":
        assert np.abs(W).max() <= (3 * VARIANCE[name]) ** 0.5


def test_biases_start_at_zero_and_parameters_are_named_leaves() -> None:
    layer = Layer(4, 40, "relu", rng=0)
    assert not layer.b.data.any()
    assert (layer.W.name, layer.b.name) == ("W", "b")
    assert all(p.is_leaf and p.requires_grad for p in (layer.W, layer.b))


def test_a_seed_gives_the_same_weights_in_any_dtype_and_a_generator_moves_on() -> None:
    first, again = Layer(4, 3, "relu", rng=7), Layer(4, 3, "relu", rng=7)
    np.testing.assert_array_equal(first.W.data, again.W.data)
    single = Layer(4, 3, "relu", rng=7, dtype=np.float32)
    assert single.W.dtype == single.b.dtype == single([[1, 2, 3, 4.5]]).dtype == np.float32
    np.testing.assert_array_equal(single.W.data, first.W.data.astype(np.float32))
    rng = np.random.default_rng(7)
    assert (Layer(4, 3, "relu", rng=rng).W.data != Layer(4, 3, "relu", rng=rng).W.data).all()
    assert (Layer(4, 3).W.data != Layer(4, 3).W.data).all()


def test_layers_written_as_in_julia() -> None:
    assert repr(Layer(4, 40, relu, distribution="n")) == "Layer(4, 40, relu)"
    assert repr(Layer(40, 3, "SoftMax")) == "Layer(40, 3, softmax)"
    assert repr(Layer(np.int64(2), 3, np.tanh)) == "Layer(2, 3, tanh)"
    assert repr(Layer(2, 3)) == "Layer(2, 3, linear)"


@pytest.mark.parametrize(
    ("given", "name", "alpha"),
    [
        ("LEAKY_RELU", "leaky_relu", 0.01),
        ("leaky_relu(0.2)", "leaky_relu(0.2)", 0.2),
        (" Leaky_ReLU( alpha = 0.20 ) ", "leaky_relu(0.2)", 0.2),
        ("leaky_relu(1e-3)", "leaky_relu(0.001)", 1e-3),
        ("leaky_relu(0.123456789)", "leaky_relu(0.123456789)", 0.123456789),
        (tinygrad_nn.leaky_relu, "leaky_relu", 0.01),
    ],
)
def test_names_of_activations_are_read_as_both_roads_read_them(given: Any, name: str, alpha: float) -> None:
    parsed = activation(given)
    z = np.array([[-2.0, 0.0, 3.0]])
    assert parsed.name == name
    np.testing.assert_array_equal(parsed(z), [[-2 * alpha, 0.0, 3.0]])
    np.testing.assert_array_equal(tinygrad_nn.manual.activation(name).f(z), parsed(z))


@pytest.mark.parametrize(
    ("given", "name", "meta"),
    [
        ("GELU", "gelu", {}),
        (tinygrad_nn.gelu, "gelu", {}),
        ("gelu( tanh )", "gelu(tanh)", {"approximate": "tanh"}),
        ("gelu(approximate=tanh)", "gelu(tanh)", {"approximate": "tanh"}),
        ("elu(0.50)", "elu(0.5)", {"alpha": 0.5}),
        ("CELU(alpha=2)", "celu(2)", {"alpha": 2.0}),
        ("softplus(beta=2)", "softplus(2)", {"beta": 2.0}),
        ("hard_tanh(-2, 0.5)", "hard_tanh(-2,0.5)", {"low": -2.0, "high": 0.5}),
        ("hard_tanh(low=-2,high=2)", "hard_tanh(-2,2)", {"low": -2.0, "high": 2.0}),
    ],
)
def test_numbers_in_the_names_of_activations(given: Any, name: str, meta: dict[str, Any]) -> None:
    parsed = activation(given)
    assert (parsed.name, parsed.meta) == (name, meta)
    assert activation(parsed.name) == parsed
    z = np.linspace(-3, 3, 8).reshape(2, 4)
    np.testing.assert_allclose(tinygrad_nn.manual.activation(name).f(z), parsed(z), rtol=1e-14, atol=1e-16)


def test_activations_are_functions_of_the_package_and_of_nn() -> None:
    for name in set(PRIMITIVES) - {"linear", "tanh"} | {"prelu", "glu", "log_softmax", "log_sigmoid"}:
        assert getattr(tinygrad_nn, name) is getattr(tinygrad_nn.nn, name)
        assert name in tinygrad_nn.__all__


def test_both_roads_know_the_same_names() -> None:
    assert set(PRIMITIVES) == set(tinygrad_nn.manual.ACTIVATIONS) - {"gelu(tanh)"}


FAR = {  # name: value and slope at -1000, value and slope at 1000
    "sigmoid": (0, 0, 1, 0), "tanh": (-1, 0, 1, 0), "linear": (-1e3, 1, 1e3, 1), "relu": (0, 0, 1e3, 1),
    "leaky_relu": (-10, 0.01, 1e3, 1), "elu": (-1, 0, 1e3, 1), "elu(0.5)": (-0.5, 0, 1e3, 1),
    "selu": (-1.7580993408473766, 0, 1050.7009873554805, 1.0507009873554805), "celu": (-1, 0, 1e3, 1),
    "celu(0.5)": (-0.5, 0, 1e3, 1), "gelu": (0, 0, 1e3, 1), "gelu(tanh)": (0, 0, 1e3, 1), "silu": (0, 0, 1e3, 1),
    "mish": (0, 0, 1e3, 1), "softplus": (0, 0, 1e3, 1), "softplus(2)": (0, 0, 1e3, 1),
    "softsign": (-1000 / 1001, 1 / 1001**2, 1000 / 1001, 1 / 1001**2), "hard_tanh": (-1, 0, 1, 0),
    "hard_sigmoid": (0, 0, 1, 0), "hard_swish": (0, 0, 1e3, 1),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", FAR)
def test_values_and_slopes_far_out_are_the_limits_on_both_roads(name: str, dtype: type) -> None:
    z, ones = np.array([[-1e3, 1e3]], dtype), np.ones((1, 2), dtype)
    low, low_slope, high, high_slope = FAR[name]
    f, vjp = tinygrad_nn.manual.activation(name)
    value, pull = tinygrad_nn.vjp(activation(name), z)
    rtol = 4 * np.finfo(dtype).eps  # of a division or two
    for a, slopes in ((f(z), vjp(ones, z, f(z))), (value, pull(ones)[0])):
        assert a.dtype == slopes.dtype == dtype
        np.testing.assert_allclose(a, [[low, high]], rtol=rtol)
        np.testing.assert_allclose(slopes, [[low_slope, high_slope]], rtol=rtol)


@pytest.mark.parametrize("name", [name for name in FAR if name not in ("linear", "softsign")])
def test_second_derivatives_far_out_are_zero(name: str) -> None:
    f = activation(name)
    bend = tinygrad_nn.elementwise_grad(tinygrad_nn.elementwise_grad(f))
    assert bend(np.array([-1e3, -800.0, 800.0, 1e3])).tolist() == [0, 0, 0, 0]
    assert np.isfinite(bend(np.array([-40.0, -1.0, -0.0, 0.0, 1.0, 3.0, 40.0]))).all()


@pytest.mark.parametrize("name", PRIMITIVES)
def test_a_layer_computes_on_arrays_tensors_and_lists(name: str, rng: np.random.Generator) -> None:
    layer, x = Layer(4, 3, name, rng=rng), rng.normal(size=(5, 4))
    layer.b = rng.normal(size=3)
    right = tinygrad_nn.manual.activation(name).f(x @ layer.W.data.T + layer.b.data)
    for given in (x, Tensor(x), x.tolist()):
        np.testing.assert_allclose(layer(given).data, right, rtol=1e-15)
    np.testing.assert_allclose(layer.plain(x)[1], right, rtol=1e-15)
    np.testing.assert_allclose(layer(x[0]).data, right[0], rtol=1e-14)
    with no_grad():
        assert not layer(x).requires_grad
    t = Tensor(x)
    layer(t).sum().backward()
    assert t.grad.shape == x.shape
    assert layer.W.grad.shape == (3, 4)


def test_operations_carry_the_name_of_their_layer() -> None:
    layers = [Layer(4, 3, "tanh"), Layer(3, 2)]
    hidden = layers[0](np.ones((1, 4)))
    out = layers[1](hidden)
    assert hidden.node.scope == hidden.node.parents[0].scope == "Layer(4, 3, tanh)"
    assert out.node.scope == "Layer(3, 2, linear)"
    assert (out * 2).node.scope is None
    with tinygrad_nn.node.scope("encoder"):
        assert layers[1](hidden).node.scope == "encoder.Layer(3, 2, linear)"


def test_assigned_weights_are_copied_converted_and_make_a_fresh_leaf() -> None:
    layer, W = Layer(2, 3), np.arange(6).reshape(3, 2)
    attached_memory(layer.W).rule = "something"
    layer.W = W
    W[0, 0] = 9
    assert layer.W.data[0, 0] == 0.0
    assert layer.W.dtype == np.float64
    assert attached_memory(layer.W).rule is None
    layer.b = Tensor([1.0, 2.0, 3.0]) * 2
    assert layer.b.is_leaf
    assert layer.b.tolist() == [2.0, 4.0, 6.0]


def test_a_copied_layer_is_independent() -> None:
    layer = Layer(2, 3, rng=0)
    twin = copy.deepcopy(layer)
    twin.W = twin.W.data + 1
    assert (layer.W.data != twin.W.data).all()
    assert twin.W.name == "W"
    attached_memory(layer.W).rule = ["adam"]
    again = copy.deepcopy(layer)
    assert attached_memory(again.W).rule == ["adam"]
    assert attached_memory(again.W).rule is not attached_memory(layer.W).rule
    assert attached_memory(again.b).rule is None


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Layer(0, 3, "relu"), ValueError, r"Layer: n_in=0; a layer needs at least 1 column, e.g. Layer\(4, 40"),
        (lambda: Layer(4, -1, "relu"), ValueError, "Layer: n_out=-1"),
        (lambda: Layer(4, True, "relu"), ValueError, "Layer: n_out=True"),
        (lambda: Layer(4.0, 3, "relu"), TypeError, r"Layer: n_in=4.0 is of type float; it counts columns"),
        (lambda: Layer("relu", 4, 40), TypeError, "n_in='relu' is of type str"),
        (
            lambda: Layer(4, 3, "rely"),
            ValueError,
            r"Layer: unknown activation 'rely'; known are sigmoid, .* 'leaky_relu\(0.2\)', .* Did you mean 'relu'\?",
        ),
        (lambda: Layer(4, 3, "leaky_relu(nan)"), ValueError, r"unknown activation 'leaky_relu\(nan\)'"),
        (lambda: Layer(4, 3, "leaky_relu(x)"), ValueError, r"unknown activation 'leaky_relu\(x\)'"),
        (lambda: Layer(4, 3, "relu(0.2)"), ValueError, r"unknown activation 'relu\(0.2\)'"),
        (lambda: Layer(4, 3, "elu()"), ValueError, r"unknown activation 'elu\(\)'.* Did you mean 'elu'"),
        (lambda: Layer(4, 3, "elu(beta=1)"), ValueError, r"unknown activation 'elu\(beta=1\)'"),
        (lambda: Layer(4, 3, "hard_tanh(1)"), ValueError, r"unknown activation 'hard_tanh\(1\)'"),
        (lambda: Layer(4, 3, "hard_tanh(2,1)"), ValueError, "hard_tanh needs low below high; it got low=2.0"),
        (lambda: Layer(4, 3, "gelu(tan)"), ValueError, "approximate='tan'; known are 'none'"),
        (lambda: Layer(4, 3, "celu(0)"), ValueError, "alpha=0"),
        (lambda: Layer(4, 3, "softplus(-1)"), ValueError, "needs a beta above 0"),
        (lambda: Layer(4, 3, "glu"), ValueError, r"call on the result of a linear layer: tinygrad_nn\.glu"),
        (lambda: Layer(4, 3, tinygrad_nn.prelu), ValueError, r"linear layer: tinygrad_nn\.prelu"),
        (lambda: tinygrad_nn.glu(np.ones((2, 3))), ValueError, r"axis -1 of shape \(2, 3\) has 3 entries, an odd"),
        (lambda: Layer(4, 3, lambda z: z), ValueError, "unknown activation '<lambda>'"),
        (lambda: Layer(4, 3, 5), TypeError, "Layer: an activation is a name such as 'relu' or a function"),
        (lambda: Layer(4, 3, "relu", "x"), ValueError, r"distribution='x'; known are 'u' \(uniform\) and 'n' \(normal"),
        (lambda: Layer(4, 3, "relu", dtype=int), TypeError, "dtype=int64; gradients need floats"),
        (lambda: setattr(Layer(4, 3), "W", np.ones((4, 3))), ValueError, r"W of Layer\(4, 3, linear\) has shape"),
        (lambda: Layer(4, 3)(np.ones((2, 5))), ValueError, r"Layer\(4, 3, linear\) takes 4 columns; x has"),
        (lambda: Layer(4, 3)(np.ones((4, 9))), ValueError, "It looks transposed: pass x.T"),
        (lambda: Layer(4, 3)(1.0), ValueError, r"x has shape \(\)"),
    ],
)
def test_bad_arguments_are_refused(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
