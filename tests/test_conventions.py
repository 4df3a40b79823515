"""User code is accepted unchanged: the conventions of courses, and forwards that cannot run on Tensors."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

from tests import courses as c
from tinygrad_nn import compare_gradients
from tinygrad_nn.compare.conventions.returned import Pairing
from tinygrad_nn.compare.function.calling import make_inputs

Array = Any


def normal(r: np.random.Generator, *shape: int) -> Array:
    return r.normal(size=shape)


def parameters(r: np.random.Generator, *sizes: int, columns: bool = False) -> dict[str, Array]:
    found = {}
    for k, (n, m) in enumerate(itertools.pairwise(sizes), 1):
        found[f"W{k}"] = normal(r, m, n) if columns else normal(r, n, m)
        found[f"b{k}"] = normal(r, m, 1) if columns else normal(r, m)
    return found


# forward, backward, inputs of a generator
RIGHT: dict[str, tuple[Any, Any, Any]] = {
    "affine": (c.affine_forward, c.affine_backward, lambda r: (normal(r, 4, 2, 3), normal(r, 6, 3), normal(r, 3))),
    "relu": (c.relu_forward, c.relu_backward, lambda r: normal(r, 4, 5)),
    "affine relu": (
        c.affine_relu_forward, c.affine_relu_backward, lambda r: (normal(r, 4, 6), normal(r, 6, 3), normal(r, 3))),
    "batchnorm": (
        c.batchnorm_forward, c.batchnorm_backward,
        lambda r: (normal(r, 6, 4), normal(r, 4), normal(r, 4), {"mode": "train", "eps": 1e-5, "momentum": 0.9})),
    "layernorm": (
        c.layernorm_forward, c.layernorm_backward, lambda r: (normal(r, 4, 5), normal(r, 5), normal(r, 5), {})),
    "dropout": (c.dropout_forward, c.dropout_backward, lambda r: (normal(r, 5, 6), {"mode": "train", "p": 0.6})),
    "conv": (
        c.conv_forward_naive, c.conv_backward_naive,
        lambda r: (normal(r, 2, 2, 4, 4), normal(r, 2, 2, 3, 3), normal(r, 2), {"stride": 1, "pad": 1})),
    "max pool": (
        c.max_pool_forward_naive, c.max_pool_backward_naive,
        lambda r: (normal(r, 2, 2, 4, 4), {"pool_height": 2, "pool_width": 2, "stride": 2})),
    "rnn step": (
        c.rnn_step_forward, c.rnn_step_backward,
        lambda r: (normal(r, 3, 4), normal(r, 3, 5), normal(r, 4, 5), normal(r, 5, 5), normal(r, 5))),
    "rnn": (
        c.rnn_forward, c.rnn_backward,
        lambda r: (normal(r, 2, 3, 3), normal(r, 2, 4), normal(r, 3, 4), normal(r, 4, 4), normal(r, 4))),
    "lstm step": (
        c.lstm_step_forward, c.lstm_step_backward,
        lambda r: (normal(r, 3, 4), normal(r, 3, 2), normal(r, 3, 2), normal(r, 4, 8), normal(r, 2, 8), normal(r, 8))),
    "embedding": (
        c.word_embedding_forward, c.word_embedding_backward, lambda r: (r.integers(0, 5, (2, 4)), normal(r, 5, 3))),
    "svm loss": (c.svm_loss, None, lambda r: (normal(r, 5, 4), r.integers(0, 4, 5))),
    "softmax loss": (c.softmax_loss, None, lambda r: (normal(r, 5, 4), r.integers(0, 4, 5))),
    "softmax loss, naive": (
        c.softmax_loss_naive, None, lambda r: (normal(r, 4, 3), normal(r, 5, 4), r.integers(0, 3, 5), 0.1)),
    "temporal softmax": (
        c.temporal_softmax_loss, None,
        lambda r: (normal(r, 2, 3, 4), r.integers(0, 4, (2, 3)), (r.random((2, 3)) > 0.3).astype(float))),
    "two layers": (
        c.two_layer_loss, None, lambda r: (parameters(r, 4, 5, 3), normal(r, 6, 4), r.integers(0, 3, 6))),
    "columns": (
        c.linear_forward, c.linear_backward, lambda r: (normal(r, 4, 6), normal(r, 3, 4), normal(r, 3, 1))),
    "grads, cost": (
        c.propagate, None, lambda r: (normal(r, 4, 1), 0.3, normal(r, 4, 6), r.integers(0, 2, (1, 6)).astype(float))),
    "cost, cache": (
        c.forward_propagation_n, c.backward_propagation_n,
        lambda r: (normal(r, 4, 6), r.integers(0, 2, (1, 6)).astype(float), parameters(r, 4, 5, 1, columns=True))),
    "a cache that is an input": (
        c.running_forward, c.running_backward, lambda r: (normal(r, 5, 3), normal(r, 3), (normal(r, 3),))),
    "gradients and a state": (
        c.recurrent, None, lambda r: (normal(r, 3, 4), normal(r, 4, 4), normal(r, 5, 2, 3), normal(r, 2, 4))),
    "gradients and a state, of another function": (
        c.recurrent_again, None, lambda r: (normal(r, 3, 4), normal(r, 4, 4), normal(r, 5, 2, 3), normal(r, 2, 4))),
    "no effect of a bias": (
        c.scores_forward, c.scores_backward, lambda r: (normal(r, 5, 4), normal(r, 6, 4), normal(r, 4))),
    "a list of gradients": (c.list_loss, None, lambda r: ([normal(r, 3, 2), normal(r, 2)], normal(r, 5, 3))),
    "float32 inside": (c.float32_loss, None, lambda r: (normal(r, 5, 4), r.integers(0, 4, 5))),
    "cost, result, list of caches": (
        c.layers_forward, c.layers_backward,
        lambda r: (normal(r, 4, 6), r.integers(0, 2, (1, 6)).astype(float), parameters(r, 4, 5, 1, columns=True))),
}  # fmt: skip

# what holds forward and backward, inputs
OBJECTS: dict[str, Any] = {
    "affine": lambda r: (c.Affine(normal(r, 4, 3), normal(r, 3)), normal(r, 5, 4)),
    "params, grads": lambda r: (c.MatMul(normal(r, 4, 3)), normal(r, 5, 4)),
    "relu that writes": lambda r: (c.Relu(), normal(r, 5, 4)),
    "softmax with loss": lambda r: (c.SoftmaxWithLoss(), (normal(r, 5, 4), np.eye(4)[r.integers(0, 4, 5)])),
    "layers": lambda r: (
        c.Sequence(c.Affine(normal(r, 4, 3), normal(r, 3)), c.Relu(), c.MatMul(normal(r, 3, 2))), normal(r, 5, 4)),
    "left in attributes": lambda r: (c.LayerDense(normal(r, 4, 3), normal(r, 1, 3)), normal(r, 5, 4)),
    "a step": lambda r: (c.Dense(normal(r, 3, 4), normal(r, 3, 1)), normal(r, 4, 1)),
    "p.data, p.grad": lambda r: (c.Linear(normal(r, 3, 4), normal(r, 3)), normal(r, 5, 4)),
    "loss, grads": lambda r: (
        c.TwoLayerNet(parameters(r, 4, 5, 3)).loss, (normal(r, 6, 4), r.integers(0, 3, 6))),
    "loss, grads of an object": lambda r: (
        c.TwoLayerNet(parameters(r, 4, 5, 3)), (normal(r, 6, 4), r.integers(0, 3, 6))),
    "loss and gradient": lambda r: (c.Net(normal(r, 4, 3)), (normal(r, 5, 4), normal(r, 5, 3))),
    "feed_forward and back_prop": lambda r: (c.Steps(normal(r, 4, 3), normal(r, 3)), normal(r, 5, 4)),
    "forward_pass and backward_pass": lambda r: (c.OwnRate(normal(r, 4, 3), normal(r, 3)), normal(r, 5, 4)),
    "gradients of parameters returned": lambda r: (c.Three(normal(r, 4, 3), normal(r, 3)), (normal(r, 5, 4), 0.5)),
    "lists of parameters": lambda r: (
        c.Lists([normal(r, 4, 3), normal(r, 3, 2)], normal(r, 2)), normal(r, 5, 4)),
    "a loss whose labels come first": lambda r: (c.SquareLoss(), (normal(r, 5, 4), normal(r, 5, 4))),
    "a second result": lambda r: (c.Attention(normal(r, 4, 3)), normal(r, 5, 4)),
    "__call__ and gradient": lambda r: (c.SoftPlus(), normal(r, 5, 4)),
    "minitorch": lambda r: (c.Mul, (float(normal(r)), float(normal(r)))),
    "minitorch, bare": lambda r: (c.Log, float(r.uniform(1, 2))),
    "autograd.Function": lambda r: (c.LinearFunction, (normal(r, 5, 4), normal(r, 3, 4), normal(r, 3), 0.5)),
    "autograd.Function with a default": lambda r: (
        c.LinearFunction, (normal(r, 5, 4), normal(r, 3, 4), normal(r, 3))),
    "setup_context": lambda r: (c.Exp, normal(r, 3)),
    "needle": lambda r: (c.EWiseMul(), (normal(r, 3, 2), normal(r, 3, 2))),
    "needle, cached data": lambda r: (c.ReLU, normal(r, 5, 4)),
    "needle, its output": lambda r: (c.Tanh(), normal(r, 3, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", OBJECTS)
def test_right_objects_are_taken_as_they_are(name: str) -> None:
    for seed in range(2):
        code, inputs = OBJECTS[name](np.random.default_rng(seed))
        report = compare_gradients(code, inputs, rng=seed)
        assert report.ok, str(report)
        assert not report.diagnoses
        assert any("Treated as" in note for note in report.notes)


def test_parameters_of_objects_are_rows() -> None:
    names = {name: [row.name for row in compare_gradients(*OBJECTS[name](np.random.default_rng(0))).rows]
             for name in ("affine", "layers", "left in attributes", "a step", "p.data, p.grad", "loss, grads",
                          "feed_forward and back_prop", "gradients of parameters returned", "lists of parameters",
                          "a loss whose labels come first", "a second result")}
    assert names == {
        "affine": ["x", "W", "b"],
        "layers": ["x", "layers[0].W", "layers[0].b", "layers[2].params[0]"],
        "left in attributes": ["inputs", "weights", "biases"],
        "a step": ["input", "weights", "bias"],
        "p.data, p.grad": ["x", "weight.data", "bias.data"],
        "loss, grads": [f"params['{n}']" for n in ("W1", "b1", "W2", "b2")],
        "feed_forward and back_prop": ["x", "_w", "_b"],
        "gradients of parameters returned": ["x", "weights", "biases"],
        "lists of parameters": ["b", "w[0]", "w[1]"],
        "a loss whose labels come first": ["y_pred"],
        "a second result": ["x", "w"],
    }  # fmt: skip


def test_an_object_that_was_used_before_is_left_unchanged() -> None:
    r = np.random.default_rng(0)
    layer, x = c.Affine(normal(r, 4, 3), normal(r, 3)), normal(r, 5, 4)
    layer.forward(x)
    layer.backward(np.ones((5, 3)))
    before = layer.dW.copy()
    for report in (compare_gradients(layer, x), compare_gradients(layer.forward, x, manual=layer.backward)):
        assert [row.name for row in report.rows] == ["x", "W", "b"]
        assert report.ok
    assert layer.x is x
    assert np.array_equal(layer.dW, before)


@pytest.mark.parametrize(
    ("layer", "ok", "note"),
    [(c.UpdatesTooEarly, False, "What back_prop returns depends on its learning rate, so it updates a parameter that"),
     (c.OwnRate, True, "backward_pass changes _w, _b, whose gradients it does not tell: store them, such as self.d_w"),
     (c.OwnMoments, True, "backward_pass changes adopt, whose gradients it does not tell: store them, such as")],
)  # fmt: skip
def test_the_report_tells_what_an_update_inside_the_backward_does(layer: Any, ok: bool, note: str) -> None:
    r = np.random.default_rng(0)
    report = compare_gradients(layer(normal(r, 4, 3), normal(r, 3)), normal(r, 5, 4))
    assert report.kinds == (() if ok else ("inplace_overwrite",))
    said = report.notes if ok else [d.text for d in report.diagnoses]
    assert (report.ok, note in " ".join(said)) == (ok, True), str(report)


@pytest.mark.parametrize(("f", "manual"), [(c.logistic_forward, c.logistic_gradients), (c.logistic, None)])
def test_a_constant_that_avoids_log_of_zero_is_no_mistake(f: Any, manual: Any) -> None:
    r = np.random.default_rng(0)
    inputs = normal(r, 6, 4), normal(r, 4, 1), np.zeros((1, 1)), r.integers(0, 2, (6, 1)).astype(float)
    report = compare_gradients(f, inputs, manual=manual)
    assert report.ok, str(report)
    assert report.kinds == ("convention",)
    assert [d.where for d in report.diagnoses] == ["W, b"]
    assert "a constant such as 1e-12, which avoids log(0)" in report.diagnoses[0].text


@pytest.mark.parametrize("size", [1e-6, 1e-5, 1e-4])
def test_such_a_constant_excuses_no_larger_mistake(size: float) -> None:
    def slightly_wrong(X: Array, Y: Array, P: Array) -> Any:
        dW, db = c.logistic_gradients(X, Y, P)
        db = db * (1 + size)
        return dW, db

    r = np.random.default_rng(0)
    inputs = normal(r, 6, 4), normal(r, 4, 1), np.zeros((1, 1)), r.integers(0, 2, (6, 1)).astype(float)
    report = compare_gradients(c.logistic_forward, inputs, manual=slightly_wrong)
    assert not report.ok
    assert [row.name for row in report.rows if not row.ok][-1] == "b"


def test_an_error_tells_of_returned_values_without_a_name() -> None:
    r = np.random.default_rng(0)
    inputs = normal(r, 6, 4), normal(r, 4, 1), np.zeros((1, 1)), r.integers(0, 2, (6, 1)).astype(float)

    def unnamed(X: Array, Y: Array, P: Array) -> Any:
        dW, db = c.logistic_gradients(X, Y, P)
        return dW, 2 * db

    with pytest.raises(TypeError, match="manual gave no gradient of b; it has a value without a name, dW; it needs"):
        compare_gradients(c.logistic_forward, inputs, manual=unnamed)


def test_a_mistake_is_found_in_a_loss_that_is_computed_in_float32() -> None:
    def doubled(logits: Array, y: Array) -> Any:
        loss, dlogits = c.float32_loss(logits, y)
        return loss, 2 * dlogits

    report = compare_gradients(doubled, RIGHT["float32 inside"][2](np.random.default_rng(0)))
    assert (report.kinds, report.diagnoses[0].factor) == (("scale",), "2"), str(report)


def test_a_length_is_not_mended_by_a_sum() -> None:
    def backward(dZ: Array, cache: Any) -> Any:
        A, W, _ = cache
        m = A.shape[1]
        return W.T @ dZ, 1 / m * (dZ @ A.T), 1 / m * dZ.sum(axis=1, keepdims=True)

    report = compare_gradients(c.linear_forward, at("columns"), manual=backward)
    assert report.kinds == ("scale",)
    assert not any(".shape" in sentence for d in report.diagnoses for sentence in d.evidence if "write" in sentence)


def test_an_axis_that_was_dropped_hides_no_mistake() -> None:
    r = np.random.default_rng(0)

    def wrong(X: Array, Y: Array, P: Array) -> Any:
        dW, db = c.logistic_gradients(X, Y, P)
        return -dW, -db

    inputs = normal(r, 6, 4), normal(r, 4, 1), np.zeros((1, 1)), r.integers(0, 2, (6, 1)).astype(float)
    assert compare_gradients(c.logistic_forward, inputs, manual=wrong).kinds == ("sign",)


class Forgot(c.Affine):
    def backward(self, dout: Array) -> Array:
        dx = super().backward(dout)
        self.db = self.db / len(self.x)
        return dx


class Squared:
    @staticmethod
    def forward(ctx: Any, a: float) -> float:
        ctx.save_for_backward(a)
        return a**2

    @staticmethod
    def backward(ctx: Any, d: float) -> float:
        (a,) = ctx.saved_values
        return d * a


def test_wrong_objects_are_named() -> None:
    r = np.random.default_rng(0)
    report = compare_gradients(Forgot(normal(r, 4, 3), normal(r, 3)), normal(r, 5, 4))
    assert (report.first_wrong, report.kinds) == ("b", ("scale",))
    assert compare_gradients(Squared, 3.0).diagnoses[0].factor == "1/2"


@pytest.mark.parametrize("name", RIGHT)
def test_right_code_of_every_convention_is_accepted(name: str) -> None:
    forward, backward, inputs = RIGHT[name]
    for seed in range(2):
        report = compare_gradients(forward, inputs(np.random.default_rng(seed)), manual=backward, rng=seed)
        assert report.ok, str(report)
        assert not report.diagnoses
        assert any("Treated as" in note for note in report.notes)


def test_digits_that_are_lost_inside_a_forward_are_no_mistake() -> None:
    """1 - p has few digits if p is near 1, in the graph and in the differences, but the backward does not use it."""
    forward, backward, inputs = RIGHT["cost, cache"]
    for seed in (51, 187):
        report = compare_gradients(forward, inputs(np.random.default_rng(seed)), manual=backward, rng=seed)
        assert report.ok, str(report)


def at(name: str, seed: int = 0) -> Any:
    return RIGHT[name][2](np.random.default_rng(seed))


# name of the right code, what is changed in what the backward returns, the input and kind that are named
WRONG: dict[str, tuple[str, Any, str, str]] = {
    "conv, dw doubled": ("conv", lambda dx, dw, db: (dx, 2 * dw, db), "w", "scale"),
    "conv, sign of dx": ("conv", lambda dx, dw, db: (-dx, dw, db), "x", "sign"),
    "conv, dw of zeros": ("conv", lambda dx, dw, db: (dx, 0 * dw, db), "w", "scale"),
    "conv, db kept": ("conv", lambda dx, dw, db: (dx, dw, db[None]), "b", "convention"),
    "rnn, dWh transposed": ("rnn", lambda dx, dh0, dWx, dWh, db: (dx, dh0, dWx, dWh.T, db), "Wh", "transpose"),
    "rnn, db with its batch": (
        "rnn", lambda dx, dh0, dWx, dWh, db: (dx, dh0, dWx, dWh, np.stack([db / 2, db / 2])), "b",
        "broadcast_not_summed"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_code_without_a_graph_is_named(name: str) -> None:
    base, edit, where, kind = WRONG[name]
    forward, backward, _ = RIGHT[base]
    report = compare_gradients(forward, at(base), manual=lambda dout, cache: edit(*backward(dout, cache)))
    assert (report.diagnoses[0].where, report.kinds) == (where, (kind,)), str(report)
    assert report.ok is (kind == "convention")
    assert math.isnan(report.rows[0].graph)
    assert "the graph is not known" in {row.note for row in report.rows}


def test_an_upstream_gradient_that_is_not_used_is_named() -> None:
    report = compare_gradients(
        c.lstm_step_forward, at("lstm step"), manual=lambda dh, dc, cache: c.lstm_step_backward(dh, 0 * dc, cache)
    )
    assert [d.kind for d in report.diagnoses] == ["overwritten_not_accumulated"]
    assert report.diagnoses[0].text.startswith("The upstream gradient of next_c, which is returned too, is not used")


def test_an_upstream_gradient_that_is_written_into_is_named() -> None:
    def through_time(x: Array) -> Any:
        return np.cumsum(x, axis=0), len(x)

    def backward(dout: Array, cache: int) -> Array:
        for t in range(cache - 1, 0, -1):
            dout[t - 1] += dout[t]
        return dout.copy()

    x = np.random.default_rng(0).normal(size=(3, 2))
    report = compare_gradients(through_time, x, manual=backward)
    assert [(d.kind, d.where) for d in report.diagnoses] == [("inplace_overwrite", "the upstream gradient")]
    assert all(row.ok for row in report.rows)


def test_the_diagonal_of_a_masked_softmax_is_named() -> None:
    mask = np.tril(np.ones((3, 3), dtype=bool))

    def attend(z: Array) -> Any:
        z = np.where(mask, z, -1e9)
        e = np.exp(z - z.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        return p, p

    z = np.random.default_rng(0).normal(size=(3, 3))
    report = compare_gradients(attend, z, manual=lambda dout, cache: dout * cache * (1 - cache))
    assert report.kinds == ("softmax_diagonal_only",), str(report)


def conv_backward(assign: bool = False, axes: tuple[int, ...] = (0, 2, 3), shift: int = 0, half: bool = False) -> Any:
    """The backward of a convolution with one of the usual mistakes."""

    def backward(dout: Array, cache: Any) -> Any:
        x, w, _, conv_param = cache
        pad, (H, W), (HH, WW) = conv_param["pad"], x.shape[2:], w.shape[2:]
        xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        dxp, dw = np.zeros_like(xp), np.zeros_like(w)
        used = np.roll(dout, shift, axis=3)
        used[..., 0] *= not shift
        for n in range(x.shape[0] // (1 + half)):
            for f in range(w.shape[0]):
                for i in range(dout.shape[2]):
                    for j in range(dout.shape[3]):
                        if assign:
                            dw[f] = xp[n, :, i : i + HH, j : j + WW] * dout[n, f, i, j]
                        else:
                            dw[f] += xp[n, :, i : i + HH, j : j + WW] * dout[n, f, i, j]
                        dxp[n, :, i : i + HH, j : j + WW] += w[f] * used[n, f, i, j]
        return dxp[:, :, pad : pad + H, pad : pad + W], dw, dout.sum(axis=axes)

    return backward


@pytest.mark.parametrize(
    ("options", "where", "kind", "text"),
    [
        ({"assign": True}, "w", "overwritten_not_accumulated", "Only the last position along axes 0, 2 and 3 of"),
        ({"axes": (0, 1, 2)}, "b", "wrong_axis_sum", "over axes 0, 1 and 2; it should be summed over axes 0, 2 and 3"),
        ({"shift": 1}, "x", "wrong_index", "off by one along axis 3"),
        ({"half": True}, "x", "overwritten_not_accumulated", "Only the first position along axis 0 of"),
    ],
)
def test_what_arrives_is_used_wrongly_in_a_loop(options: Any, where: str, kind: str, text: str) -> None:
    _, w, b, _ = at("conv")
    inputs = (np.random.default_rng(5).normal(size=(2, 2, 4, 5)), w, b, {"stride": 1, "pad": 1})
    report = compare_gradients(c.conv_forward_naive, inputs, manual=conv_backward(**options))
    assert (report.diagnoses[0].where, report.diagnoses[0].kind) == (where, kind), str(report)
    assert text in report.diagnoses[0].text
    assert compare_gradients(c.conv_forward_naive, inputs, manual=conv_backward()).ok


class OnlyForward:
    def forward(self, x: Array) -> Array:
        return 2 * x


def with_globals(x: Array, hprev: Array) -> Any:
    loss, dWx, dWh, hs = c.recurrent(np.ones((3, 4)), np.ones((4, 4)), x, hprev)
    return loss, dWx, dWh, hs


class OtherNames:
    def run(self, x: Array) -> Array:
        return 2 * x

    def run_back(self, g: Array) -> Array:
        return 2 * g


class OneOfTwo:
    @staticmethod
    def forward(ctx: Any, a: Array, b: Array) -> Array:
        return a * b

    @staticmethod
    def backward(ctx: Any, d: Array) -> Array:
        return d


class Masked(c.Affine):
    def backward(self, dout: Array, mask: Array) -> Array:
        return dout * mask


AFFINE = at("affine")
UNFIT: dict[str, tuple[Any, Any, Any, str]] = {
    "no cache": (lambda x, w, b: x.sum() * w + b, AFFINE, c.affine_backward, "It must return its result and the cache"),
    "one of two results": (
        c.lstm_step_forward, at("lstm step"), lambda dnext_h, cache: None, "takes the gradient of 1. It needs one for"),
    "from a loss": (
        lambda X, p: (p["W"] @ X, (X,)), (np.ones((3, 4)), {"W": np.ones((2, 3))}), lambda AL, Y, caches: None,
        "begins at a loss, so its forward ends there"),
    "two of three": (
        c.affine_forward, AFFINE, lambda dout, cache: c.affine_backward(dout, cache)[:2],
        "gave 2 gradients; it needs a gradient for each of x, w, b"),
    "a class": (c.Affine, np.ones((4, 3)), None, r"Pass an object instead of the class: compare_gradients\(Affine"),
    "no backward": (OnlyForward(), np.ones(3), None, "OnlyForward has no backward"),
    "other names of methods": (
        OtherNames(), np.ones(3), None,
        r"OtherNames has no forward and backward. If its methods have other names, pass both: compare_gradients\(obj"),
    "global parameters": (
        with_globals, (np.ones((2, 1, 3)), np.ones((1, 4))), None,
        "it has dWh, dWx, hs; .*make these variables parameters"),
    "another argument": (
        Masked(np.ones((4, 3)), np.ones(3)), np.ones((5, 4)), None,
        "has a parameter 'mask', for which there is no value"),
    "one gradient": (OneOfTwo, (np.ones(3), np.ones(3)), None, "a gradient for each of a, b, in one tuple"),
    "two inputs": (c.affine_forward, AFFINE[:2], c.affine_backward, r"affine_forward\(.*\) -> .* not take 2 inputs"),
    "one input": (c.SoftmaxWithLoss(), np.ones((3, 4)), None, r"do not fit forward\(x, t\): missing a required"),
    "no gradients": (lambda x: (x**2).sum(), np.ones(3), None, "this one returned a float64"),
    "no loss": (lambda x: (x**2, 2 * x), np.ones(3), None, "which do not begin with a loss that is one number"),
    "nothing": (c.affine_forward, AFFINE, lambda dout, cache: None, "gave a NoneType; it needs a gradient for each"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNFIT)
def test_code_of_no_known_convention_raises_with_the_edit(name: str) -> None:
    code, inputs, manual, text = UNFIT[name]
    with pytest.raises(TypeError, match=text):
        compare_gradients(code, inputs, manual=manual)


SHAPES = "W (3, 4), A (4, 6), b (3, 1)"
COLUMNS = {
    "without its axis": (
        lambda dA, dW, db, dZ: (dA, dW, db[:, 0]), "wrong_shape", "samples are columns here"),
    "over the rows": (
        lambda dA, dW, db, dZ: (dA, dW, dZ.sum(axis=0, keepdims=True)), "wrong_axis_sum",
        f"samples are columns here ({SHAPES}): db is summed over axis 1, .sum(axis=1, keepdims=True)"),
    "not summed": (
        lambda dA, dW, db, dZ: (dA, dW, dZ), "broadcast_not_summed", "db is summed over axis 1"),
    "a mean": (
        lambda dA, dW, db, dZ: (dA, dW / 6, db), "scale",
        f"samples are columns here ({SHAPES}), and 1/6 is 1 over their number"),
}  # fmt: skip


@pytest.mark.parametrize("name", COLUMNS)
def test_the_diagnosis_says_that_samples_are_columns(name: str) -> None:
    edit, kind, sentence = COLUMNS[name]
    manual = lambda dZ, cache: edit(*c.linear_backward(dZ, cache), dZ)
    report = compare_gradients(c.linear_forward, at("columns"), manual=manual)
    assert report.kinds == (kind,), str(report)
    assert sentence in " ".join(report.diagnoses[0].evidence)
    assert "Samples are columns here" in " ".join(report.notes)


def writes(x: Array) -> Array:
    out = np.zeros(len(x))
    for i in range(len(x)):
        out[i] = np.sin(x[i]) * x[i]
    return out


def adds(x: Array) -> Array:
    out = np.zeros(())
    for value in x:
        out += value**2
    return out


def plain_math(x: Array) -> float:
    return math.fsum(math.sin(v) for v in x)


def converted(x: Array) -> float:
    return sum(float(v) ** 2 for v in x)


def as_array(x: Array) -> Array:
    return np.asarray(x) ** 2


def detached(x: Array) -> Array:
    return (x if isinstance(x, np.ndarray) else x.data) ** 2


def by_scipy(x: Array) -> Array:
    from scipy import ndimage

    return ndimage.gaussian_filter1d(x, 1.0, mode="constant")


BLACK: dict[str, tuple[Any, Any, str]] = {
    "writes": (writes, lambda x, g: g * (np.sin(x) + x * np.cos(x)), "writes into an array: out[i] = ..."),
    "adds": (adds, lambda x: 2 * x, "writes into an array: out += value ** 2"),
    "math": (plain_math, np.cos, "calls plain Python math, math.sin"),
    "float": (converted, lambda x: 2 * x, "turns a Tensor into a plain number, float"),
    "asarray": (as_array, lambda x, g: 2 * x * g, "makes an array of Tensors, np.asarray"),
    "detached": (detached, lambda x, g: 2 * x * g, "it runs on them but leaves the graph"),
    "scipy": (by_scipy, lambda x, g: by_scipy(g), "calls SciPy, ndimage.gaussian_filter1d"),
}


@pytest.mark.parametrize("name", BLACK)
def test_a_forward_that_cannot_run_on_tensors_has_two_roads(name: str) -> None:
    if name == "scipy":
        pytest.importorskip("scipy")
    forward, backward, reason = BLACK[name]
    x = np.random.default_rng(1).normal(size=5)
    report = compare_gradients(forward, x, manual=backward)
    assert report.ok, str(report)
    assert report.method.startswith("Numerical only: the forward cannot run on Tensors, since ")
    assert reason in report.method
    assert report.checked == 5
    assert "both roads agree" in report.verdict
    gradient = compare_gradients(forward, x, manual=np.zeros(5)).rows[0]
    with_g = (lambda x, g: -2 * backward(x, g)) if forward not in (adds, plain_math, converted) else None
    wrong = compare_gradients(forward, x, manual=with_g or (lambda x: -2 * backward(x)))
    assert not gradient.ok
    assert wrong.kinds == ("scale",)
    assert wrong.diagnoses[0].factor == "-2"


class Own:
    """An array of another library."""

    def __init__(self, array: Array) -> None:
        self.array = array

    def numpy(self) -> Array:
        return self.array


G, H = np.array([1.0, 2.0]), np.array([3.0, 4.0, 5.0])
X: dict[str, Any] = {"x": G}
WITH_OPTION: dict[str, Any] = {"x": G, "n": 3}
TWO: dict[str, Any] = {"x": G, "w": H}
NO_NUMBERS = "something that is not made of numbers"
BELONGS: list[tuple[dict[str, Any], Any, list[Array]]] = [
    (X, G, [G]), (X, (G,), [G]), (X, [G], [G]), (X, (1.0, 2.0), [G]), (X, {"dx": G}, [G]), (X, {"x": G}, [G]),
    (WITH_OPTION, G, [G]), (WITH_OPTION, (G,), [G]), (WITH_OPTION, (G, None), [G]), (WITH_OPTION, [G, None], [G]),
    ({"n": 3, "x": G}, (None, G), [G]), ({"x": np.ones(3), "n": 3}, (3.0, 4.0, 5.0), [H]),
    ({"x": 3.0, "n": 3}, np.float64(6.0), [np.array(6.0)]), ({"x": 3.0, "n": 3}, (6.0, None), [np.array(6.0)]),
    ({"x": [G]}, [G], [G]), ({"x": [G]}, ([G],), [G]), ({"x": [G, H]}, [G, H], [G, H]), ({"x": [G, H]}, (G, H), [G, H]),
    ({"x": {"a": G, "b": H}}, {"b": H, "a": G}, [G, H]), ({"p": {"W1": G, "b1": H}}, {"db1": H, "dW1": G}, [G, H]),
    (TWO, (G, H), [G, H]), (TWO, [G, H], [G, H]), (TWO, {"dw": H, "dx": G}, [G, H]),
    (TWO, {"grad_w": H, "grad_x": G}, [G, H]), (TWO, (G, None), [G, 0 * H]), ({"x": G, "y": H}, (G, None), [G]),
    (TWO, (None, H), [H]), ({"w": H, "x_batch": G, "y": G}, (H, None, None), [H]),  # data need no gradient
    ({"w": H, "lam": 0.2}, (H, None), [H]), ({"lam": 0.2}, (None,), [np.array(0.0)]),  # nor do numbers beside arrays
    ({"x": [G], "w": H}, ([G], H), [G, H]), ({"x": G, "w": H, "n": 3}, (G, H, None), [G, H]),
    ({"x": G, "w": H, "mode": "same"}, (G, H), [G, H]), ({"x": G, "y": H}, (G,), [G]), ({"x": G, "y": H}, G, [G]),
    (X, (None,), [0 * G]), (X, ([1.0, 2.0],), [G]), (X, (G.astype(int),), [G]), (X, Own(G), [G]), (X, [Own(G)], [G]),
    (WITH_OPTION, (G, 0.0), [G]), ({"x": G, "n": 3, "m": 4}, (G, 0.0, 0.0), [G]), ({"n": 3, "x": G}, (0.0, G), [G]),
    ({"x": G, "s": 2.0}, (G,), [G]), ({"x": G, "s": 2.0}, G, [G]), ({"x": G, "s": 2.0}, (G, 3.0), [G, np.array(3.0)]),
    ({"x": G, "w": H, "t": G}, (G, H), [G, H]), ({"t": G, "x": G, "s": 2.0}, (H[:2],), [H[:2]]),
    ({"x": G, "dx": H}, {"dx": H, "x": G}, [G, H]), ({"X": G, "w": H}, {"dw": H}, [H]),
    ({"x": G, "p": {"W": H, "b": G}}, {"db": G, "dW": H}, [H, G]), ({"x": [G, 2 * G]}, ([G, G],), [G, G]),
    ({"x": {"a": G, "b": H}, "w": H}, {"dw": H, "dx": {"b": H, "a": G}}, [G, H, H]),
    ({"a": {"W": G}, "b": {"W": H}}, {"da": {"W": G}, "db": {"W": H}}, [G, H]),
]  # fmt: skip


def test_a_short_name_at_the_place_of_an_input_is_its_gradient() -> None:
    def f(A: Any, b: Any, w: Any) -> Any:
        return ((w - 0.1 * (A @ w - b)) ** 2).sum()

    def back(A: Any, b: Any, w: Any) -> Any:
        d = 2 * (w - 0.1 * (A @ w - b))
        dA, db = -0.1 * np.outer(d, w), 0.1 * d
        d = d - 0.1 * A.T @ d
        return dA, db, d

    def out_of_place(A: Any, b: Any, w: Any) -> Any:
        dA, db, d = back(A, b, w)
        return d, dA, db

    def another_name(A: Any, b: Any, w: Any) -> Any:
        dA, db, state = back(A, b, w)
        return dA, db, state

    r = np.random.default_rng(0)
    inputs = r.normal(size=(3, 3)), r.normal(size=3), r.normal(size=3)
    assert compare_gradients(f, inputs, manual=back).ok
    for manual in (out_of_place, another_name):
        with pytest.raises(TypeError, match="manual gave no gradient of w; it has"):
            compare_gradients(f, inputs, manual=manual)


@pytest.mark.parametrize(("inputs", "found", "expected"), BELONGS)
def test_what_a_backward_returns_is_taken_apart(inputs: dict[str, Any], found: Any, expected: list[Array]) -> None:
    gradients = Pairing(make_inputs(list(inputs), list(inputs.values())), found).gradients(found)
    assert [(g.dtype, g.tolist()) for g in gradients] == [(np.float64, e.tolist()) for e in expected]


@pytest.mark.parametrize(
    ("inputs", "found", "what"),
    [
        (TWO, (G, H, G), "3 gradients"), (TWO, (G,), "1 gradient"), (TWO, G, "a ndarray"), (TWO, "no", "a str"),
        (TWO, {"dx": G}, "no gradient of w; it has dx"), (TWO, {}, "no gradient of w; it has nothing"),
        ({"x": [G, H], "w": H}, ([G], H), "1 array for x"), (X, {}, "no gradient of any input; it has nothing"),
        ({"x": {"a": G, "b": H}, "w": H}, {"dw": H, "da": G}, "no gradient of x['b']; it has da, dw"),
        ({"x": {"a": G, "b": H}, "w": H}, {"dw": H, "dx": {"a": G}}, "1 array for x"),
        ({"a": {"W": G}, "b": {"W": H}}, {"dW": G}, "no gradient of b['W']; it has dW"),
        ({"x": G, "w": H, "v": H}, {"dv": H}, "no gradient of w; it has dv"), (X, {"dx": "no"}, NO_NUMBERS),
        (X, ("no",), NO_NUMBERS), ({"w": G}, {"y": G}, "no gradient of w; it has y"), (TWO, None, "a NoneType"),
    ],
)  # fmt: skip
def test_gradients_that_belong_to_no_input_are_refused(inputs: dict[str, Any], found: Any, what: str) -> None:
    with pytest.raises(TypeError) as told:
        Pairing(make_inputs(list(inputs), list(inputs.values())), found).gradients(found)
    problem, _, advice = str(told.value).partition(" If ")
    assert problem == (
        f"compare_gradients: manual gave {what}; it needs a gradient for each of {', '.join(inputs)}: a tuple in that "
        "order, or a dict with those names."
    )
    w = "w needs no gradient, pass lambda {}: f({}), and likewise for the backward."
    lambdas = {"no gradient of w; it has dx": ("x", "x, w"), "no gradient of w; it has dv": ("x, v", "x, w, v")}
    assert advice == (w.format(*lambdas[what]) if what in lambdas else "")


NONE = "The backward returns no gradient of "


@pytest.mark.parametrize(
    ("inputs", "found", "names", "moving", "expected", "note"),
    [
        (TWO, H, ["dw"], ["w"], [H], [NONE + "x, which is a constant here."]),
        (TWO, G, ["dw"], ["w"], [G], [NONE + "x, which is a constant here."]),  # of a wrong shape, but by name
        (TWO, H, [], ["w"], [H], [NONE + "x, which is a constant here."]),
        (TWO, G, ["", ""], ["x"], [G], [NONE + "w, which is a constant here."]),
        (TWO, (G, None), [], ["x"], [G], [NONE + "w, which is a constant here."]),
        (TWO, {"dw": H}, [], ["w"], [H], [NONE + "x, which is a constant here."]),
        ({"x": G, "w": H, "v": H}, (H, G), ["dv", "dx"], ["x", "v"], [G, H], [NONE + "w, which is a constant here."]),
        ({"x": G, "w": H, "v": H}, {"dv": H}, [], ["v"], [H], [NONE + "x, w, which are constants here."]),
        ({"x": G, "s": 2.0}, {"dx": G}, [], ["x"], [G], []),  # a number that stays is no array
    ],
)  # fmt: skip
def test_gradients_of_some_inputs_are_enough_on_request(
    inputs: dict[str, Any], found: Any, names: list[str], moving: list[str], expected: list[Array], note: list[str]
) -> None:
    pairing = Pairing(make_inputs(list(inputs), list(inputs.values())), found, names, allows_missing=True)
    assert [pairing.inputs.labels[i] for i in pairing.inputs.float_indices] == moving
    assert [g.tolist() for g in pairing.gradients(found)] == [e.tolist() for e in expected]
    assert pairing.notes == note


def test_each_call_gives_what_the_first_did() -> None:
    pairing = Pairing(make_inputs(["x", "w"], [G, H]), {"dx": G, "dw": H}, allows_missing=True)
    assert [g.tolist() for g in pairing.gradients({"dw": 2 * H, "dx": G})] == [[1, 2], [6, 8, 10]]
    with pytest.raises(TypeError, match="manual gave no gradient of w in a later call; it needs a gradient for each"):
        pairing.gradients({"dx": G})
    with pytest.raises(TypeError, match="manual gave no gradient of any input; it needs a gradient for each of x, w"):
        Pairing(make_inputs(["x", "w"], [G, H]), (None, None), allows_missing=True)
