"""The hand-written layers and optimizers against the graph, against numerical derivatives, and equation by equation."""

import ast
import importlib
import re
from collections.abc import Callable
from functools import partial
from itertools import product
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from equations import MANUAL, code, derived, mismatches, page
from more_activations import FURTHER

import tinygrad_nn as tg
from tinygrad_nn import manual
from tinygrad_nn.nn import activation
from tinygrad_nn.ops.neural import sigmoid, softmax
from tinygrad_nn.optim import OPTIMIZERS
from tinygrad_nn.optim.quasi_newton import direction

Array = Any
Arrays = tuple[Array, ...]
Rng = np.random.Generator

windows = np.lib.stride_tricks.sliding_window_view

# Two roads in float64, of a few dozen operations each. Central differences with the steps h and h/2, extrapolated:
# truncation h⁴|E⁽⁵⁾|/480 = 1e-16 |E⁽⁵⁾|, rounding 3ε|E|/h = 1e-12 |E|.
SAME = 1e-10
STEP, TOLERANCE = 2.0**-11, 1e-7


class Case(NamedTuple):
    """A layer on both roads, and a place at which they are compared."""

    args: Arrays
    forward: Callable[..., Arrays]  # of the arguments: by hand, the results that a loss may look at
    backward: Callable[..., Arrays]  # of their cotangents and the arguments: by hand, a gradient for each argument
    graph: Callable[..., Arrays]  # of the arguments as Tensors: composed of what NumPy declares
    smooth: bool = True

    def astype(self, dtype: Any) -> "Case":
        return self._replace(args=tuple(x.astype(dtype) for x in self.args))


# ---- the layers


def two(size: Any) -> tuple[int, int]:
    return size if isinstance(size, tuple) else (size, size)


def graph_windows(x: Array, kernel: Any, stride: Any, padding: Any, fill: float = 0.0) -> Array:
    (s_h, s_w), (p_h, p_w) = two(stride), two(padding)
    x = np.pad(x, ((0, 0), (0, 0), (p_h, p_h), (p_w, p_w)), constant_values=fill)
    return windows(x, two(kernel), axis=(2, 3))[:, :, ::s_h, ::s_w]


def conv_case(rng: Rng, batch: int, size: tuple[int, int], kernel: Any, stride: Any = 1, padding: Any = 0) -> Case:
    c_in, c_out, where = 3, 4, {"stride": stride, "padding": padding}
    args = rng.normal(size=(batch, c_in, *size)), rng.normal(size=(c_out, c_in, *two(kernel))), rng.normal(size=c_out)

    def graph(x: Array, W: Array, b: Array) -> Arrays:
        X = graph_windows(x, kernel, stride, padding)
        return (np.einsum("ncijuv,ocuv->noij", X, W) + b[:, None, None],)

    return Case(
        args, lambda x, W, b: (manual.conv2d(x, W, b, **where),),
        lambda g, x, W, b: manual.conv2d_backward(g, x, W, **where), graph,
    )  # fmt: skip


def pool_case(
    rng: Rng, kind: str, batch: int, size: tuple[int, int], kernel: Any, stride: Any = None, padding: Any = 0,
    ties: bool = False,
) -> Case:  # fmt: skip
    shape = (batch, 2, *size)
    pixels = int(np.prod(shape))
    # No two pixels are within a step of each other, or many are equal.
    x = rng.integers(3, size=shape) / 1 if ties else rng.permutation(pixels).reshape(shape) / 8 - 1.0
    where = {"kernel": kernel, "stride": stride, "padding": padding}

    def forward(x: Array) -> Arrays:
        return ((manual.max_pool2d if kind == "max" else manual.avg_pool2d)(x, **where),)

    def backward(g: Array, x: Array) -> Arrays:
        return ((manual.max_pool2d_backward if kind == "max" else manual.avg_pool2d_backward)(g, x, **where),)

    def graph(x: Array) -> Arrays:
        fill = -np.inf if kind == "max" else 0.0
        X = graph_windows(x, kernel, kernel if stride is None else stride, padding, fill)
        return (X.max(axis=(4, 5)) if kind == "max" else X.mean(axis=(4, 5)),)

    return Case((x,), forward, backward, graph, smooth=not ties)


def batch_norm_case(rng: Rng, shape: tuple[int, ...]) -> Case:
    axes, along = (0, *range(2, len(shape))), (-1, *(1,) * (len(shape) - 2))
    n = shape[1]
    args = 3 * rng.normal(size=shape) + 2, rng.normal(size=n), rng.normal(size=n)
    zero, one = np.zeros(n), np.ones(n)

    def forward(x: Array, γ: Array, β: Array) -> Arrays:
        return (manual.batch_norm(x, γ, β, zero, one).y,)

    def backward(g: Array, x: Array, γ: Array, β: Array) -> Arrays:
        out = manual.batch_norm(x, γ, β, zero, one)
        return manual.batch_norm_backward(g, γ, out.x_hat, out.std)

    def graph(x: Array, γ: Array, β: Array) -> Arrays:
        x_hat = (x - x.mean(axis=axes, keepdims=True)) / np.sqrt(x.var(axis=axes, keepdims=True) + 1e-5)
        return (x_hat * γ.reshape(along) + β.reshape(along),)

    return Case(args, forward, backward, graph)


def layer_norm_case(rng: Rng, shape: tuple[int, ...], last: int = 1) -> Case:
    axes = tuple(range(-last, 0))
    args = 3 * rng.normal(size=shape) + 2, rng.normal(size=shape[-last:]), rng.normal(size=shape[-last:])

    def backward(g: Array, x: Array, γ: Array, β: Array) -> Arrays:
        out = manual.layer_norm(x, γ, β)
        return manual.layer_norm_backward(g, γ, out.x_hat, out.std)

    def graph(x: Array, γ: Array, β: Array) -> Arrays:
        return ((x - x.mean(axis=axes, keepdims=True)) / np.sqrt(x.var(axis=axes, keepdims=True) + 1e-5) * γ + β,)

    return Case(args, lambda *args: (manual.layer_norm(*args).y,), backward, graph)


def embedding_case(rng: Rng, shape: tuple[int, ...], words: int = 5) -> Case:
    ids = rng.integers(words, size=shape)
    return Case(
        (rng.normal(size=(words, 3)),), lambda W: (manual.embedding(W, ids),),
        lambda g, W: (manual.embedding_backward(g, W, ids),), lambda W: (W[ids],),
    )  # fmt: skip


def activation_case(rng: Rng, name: str) -> Case:
    f, vjp = manual.activation(name)
    act = activation(name)
    # On either side of every kink, and far enough out that each piece is met.
    z = np.linspace(-4.2, 4.1, 24).reshape(4, 6)
    return Case((z,), lambda z: (f(z),), lambda g, z: (vjp(g, z, f(z)),), lambda z: (act(z),))


def rnn_case(rng: Rng, batch: int, time: int, n_in: int, n: int) -> Case:
    shapes = (batch, time, n_in), (batch, n), (n, n_in), (n, n), (n,)

    def backward(g: Array, x: Array, h0: Array, W_x: Array, W_h: Array, b: Array) -> Arrays:
        return manual.rnn_backward(g, x, h0, W_x, W_h, *manual.rnn(x, h0, W_x, W_h, b))[:-1]

    def graph(x: Array, h0: Array, W_x: Array, W_h: Array, b: Array) -> Arrays:
        h = [h0]
        for t in range(time):
            h.append(np.tanh(x[:, t] @ W_x.T + h[-1] @ W_h.T + b))
        return (np.stack(h[1:], axis=1),)

    return Case(tuple(rng.normal(size=s) for s in shapes), lambda *args: (manual.rnn(*args).h,), backward, graph)


def lstm_case(rng: Rng, batch: int, time: int, n_in: int, n: int) -> Case:
    shapes = (batch, time, n_in), (batch, n), (batch, n), (4 * n, n_in), (4 * n, n), (4 * n,)

    def forward(*args: Array) -> Arrays:
        out = manual.lstm(*args)
        return out.h, out.c[:, -1]

    def backward(g: Array, g_c: Array, x: Array, h0: Array, c0: Array, W_x: Array, W_h: Array, b: Array) -> Arrays:
        cache = manual.lstm(x, h0, c0, W_x, W_h, b)
        return manual.lstm_backward(g, x, h0, c0, W_x, W_h, *cache, g_c=g_c)[:-1]

    def graph(x: Array, h: Array, c: Array, W_x: Array, W_h: Array, b: Array) -> Arrays:
        hs = []
        for t in range(time):
            z = x[:, t] @ W_x.T + h @ W_h.T + b
            i, f, g, o = (z[:, k * n : (k + 1) * n] for k in range(4))
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            hs.append(h)
        return np.stack(hs, axis=1), c

    return Case(tuple(rng.normal(size=s) for s in shapes), forward, backward, graph)


def attention_case(
    rng: Rng, lead: tuple[int, ...], queries: int, keys: int, d: int, n_v: int, mask: Any = None
) -> Case:
    shapes = (*lead, queries, d), (*lead, keys, d), (*lead, keys, n_v)
    if mask == "causal":
        mask = np.tri(queries, keys, dtype=bool)
    elif mask == "padding":
        mask = np.arange(keys) < rng.integers(1, keys + 1, size=(lead[0], 1, 1, 1))

    def backward(g: Array, q: Array, k: Array, v: Array) -> Arrays:
        return manual.attention_backward(g, q, k, v, manual.attention(q, k, v, mask).a)[:-1]

    def graph(q: Array, k: Array, v: Array) -> Arrays:
        scores = np.einsum("...qd,...kd->...qk", q, k) * d**-0.5
        return (softmax(scores if mask is None else np.where(mask, scores, -np.inf)) @ v,)

    args = tuple(rng.normal(size=s) for s in shapes)
    return Case(args, lambda *args: (manual.attention(*args, mask).y,), backward, graph)


GEOMETRIES = [  # size, kernel, stride, padding
    ((5, 5), 3, 1, 0), ((5, 6), 3, 1, 1), ((6, 5), 1, 1, 0), ((5, 4), 1, 2, 0), ((7, 6), 3, 2, 1), ((6, 9), 2, 3, 0),
    ((7, 8), (3, 2), (2, 3), (1, 0)), ((4, 7), (1, 3), (1, 2), (0, 2)), ((5, 3), (5, 3), 1, 0), ((3, 4), (2, 4), 4, 1),
    ((1, 1), 1, 1, 0), ((2, 2), 3, 1, 1),
]  # fmt: skip
POOLS = [(*where, padding) for *where, padding in GEOMETRIES if max(two(padding)) < min(two(where[1]))]
POOLS += [((6, 4), 2, None, 0), ((6, 7), (3, 2), None, (1, 1))]
SEQUENCES = [(3, 4, 2, 3), (1, 5, 3, 2), (2, 1, 2, 2), (1, 1, 1, 1), (4, 3, 1, 5)]  # batch, time, n_in, n_hidden

Draw = Callable[[Rng], Case]
CASES: dict[str, dict[str, Draw]] = {
    "conv2d": {
        f"{batch}, {size, kernel, stride, padding}": partial(
            conv_case, batch=batch, size=size, kernel=kernel, stride=stride, padding=padding
        )
        for batch, (size, kernel, stride, padding) in product((1, 3), GEOMETRIES)
    },
    "pooling": {
        f"{kind}, {batch}, {size, kernel, stride, padding}, {ties}": partial(
            pool_case, kind=kind, batch=batch, size=size, kernel=kernel, stride=stride, padding=padding, ties=ties
        )
        for kind, batch, ties, (size, kernel, stride, padding) in product(("max", "avg"), (1, 3), (False, True), POOLS)
    },
    "batch_norm": {str(s): partial(batch_norm_case, shape=s) for s in [(7, 3), (2, 4), (3, 2, 4, 5), (1, 3, 2, 2)]},
    "layer_norm": {
        f"{shape}, {last}": partial(layer_norm_case, shape=shape, last=last)
        for shape, last in [((7, 3), 1), ((1, 4), 1), ((2, 3, 4), 1), ((2, 3, 4), 2), ((3, 2, 4, 2), 3)]
    },
    "embedding": {str(shape): partial(embedding_case, shape=shape) for shape in [(4,), (1,), (2, 3), (3, 2, 4), (0,)]},
    "activation": {name: partial(activation_case, name=name) for name in FURTHER},
    "rnn": {str(s): partial(rnn_case, batch=s[0], time=s[1], n_in=s[2], n=s[3]) for s in SEQUENCES},
    "lstm": {str(s): partial(lstm_case, batch=s[0], time=s[1], n_in=s[2], n=s[3]) for s in SEQUENCES},
    "attention": {
        f"{lead}, {queries}, {keys}, {mask}": partial(
            attention_case, lead=lead, queries=queries, keys=keys, d=3, n_v=2, mask=mask
        )
        for lead, queries, keys, mask in [
            ((2, 3), 4, 5, None), ((1, 1), 4, 4, "causal"), ((2, 2), 5, 3, "causal"), ((3, 2), 4, 5, "padding"),
            ((), 3, 2, None), ((2,), 1, 1, None),
        ]
    },
}  # fmt: skip
EACH = [pytest.param(draw, id=f"{name}: {key}") for name, draws in CASES.items() for key, draw in draws.items()]


# ---- the checks


def size(x: Array) -> float:
    return float(np.abs(x).max(initial=0))


def close(got: Array, expected: Array, tolerance: float) -> None:
    assert got.shape == expected.shape
    error, scale = size(got - expected), max(size(expected), 1e-3)
    assert error <= tolerance * scale, f"error {error:.1e} where the largest entry is {scale:.1e}"


def cotangents(case: Case, rng: Rng) -> Arrays:
    return tuple(rng.normal(size=out.shape).astype(out.dtype) for out in case.forward(*case.args))


def agree_with_the_graph(case: Case, rng: Rng) -> None:
    g = cotangents(case, rng)
    values, pull = tg.vjp(case.graph, *case.args)
    for got, expected in zip(case.forward(*case.args), values, strict=True):
        close(got, expected, SAME)
    for got, expected in zip(case.backward(*g, *case.args), pull(g), strict=True):
        close(got, expected, SAME)


def agree_with_differences(case: Case, rng: Rng) -> None:
    g = cotangents(case, rng)
    for i, gradient in enumerate(case.backward(*g, *case.args)):
        v = rng.normal(size=case.args[i].shape)
        v /= np.linalg.norm(v)

        def loss(t: float, i: int = i, v: Array = v) -> float:
            outs = case.forward(*case.args[:i], case.args[i] + t * v, *case.args[i + 1 :])
            return sum(float((c * out).sum()) for c, out in zip(g, outs, strict=True))

        near, far = ((loss(h) - loss(-h)) / (2 * h) for h in (STEP / 2, STEP))
        error = abs((gradient * v).sum() - (4 * near - far) / 3)
        assert error <= TOLERANCE * max(np.linalg.norm(gradient), 1e-3), f"error {error:.1e} in argument {i}"


@pytest.mark.parametrize("draw", EACH)
def test_values_and_gradients_are_those_of_the_graph(draw: Draw, rng: Rng) -> None:
    agree_with_the_graph(draw(rng), rng)


@pytest.mark.parametrize("draw", EACH)
def test_gradients_are_the_numerical_ones(draw: Draw, rng: Rng) -> None:
    case = draw(rng)
    if case.smooth:
        agree_with_differences(case, rng)


@pytest.mark.parametrize("draw", EACH)
def test_float32_stays_float32_and_nothing_given_is_changed(draw: Draw, rng: Rng) -> None:
    case = draw(rng)
    g = cotangents(case, rng)
    exact = case.backward(*g, *case.args)
    small, g = case.astype(np.float32), tuple(c.astype(np.float32) for c in g)
    for x in (*small.args, *g):
        x.flags.writeable = False
    found = small.backward(*g, *small.args)
    assert {x.dtype for x in (*small.forward(*small.args), *found)} == {np.dtype(np.float32)}
    for got, expected in zip(found, exact, strict=True):
        close(got, expected, 1e-3)


# ---- the checks must notice an error of 0.1 %

COUNTS = {
    "conv2d": 3, "pooling": 1, "batch_norm": 3, "layer_norm": 3, "embedding": 1, "rnn": 5, "lstm": 6, "attention": 3,
    "activation": 1,
}  # fmt: skip
GRADIENTS = [(name, i) for name, count in COUNTS.items() for i in range(count)]


def first_case(name: str, rng: Rng) -> Case:
    case = next(iter(CASES[name].values()))(rng)
    assert len(case.args) == COUNTS[name]
    return case


def wrong_in(case: Case, i: int, change: Callable[[Array], Array]) -> Case:
    """The case with one of its gradients changed."""

    def backward(*args: Array) -> Arrays:
        gradients = list(case.backward(*args))
        gradients[i] = change(gradients[i])
        return tuple(gradients)

    return case._replace(backward=backward)


def one_entry(gradient: Array) -> Array:
    wrong = gradient.copy()
    wrong.flat[np.abs(gradient).argmax()] *= 1.001
    return wrong


@pytest.mark.parametrize("check", [agree_with_the_graph, agree_with_differences])
@pytest.mark.parametrize(("name", "i"), GRADIENTS)
def test_a_gradient_that_is_a_thousandth_off_is_rejected(name: str, i: int, check: Any, rng: Rng) -> None:
    case = first_case(name, rng)
    check(case, rng)
    with pytest.raises(AssertionError, match="error"):
        check(wrong_in(case, i, lambda gradient: 1.001 * gradient), rng)


@pytest.mark.parametrize(("name", "i"), GRADIENTS)
def test_one_entry_that_is_a_thousandth_off_is_rejected(name: str, i: int, rng: Rng) -> None:
    case = first_case(name, rng)
    with pytest.raises(AssertionError, match="error"):
        agree_with_the_graph(wrong_in(case, i, one_entry), rng)


# ---- the optimizers


def walk(name: str, w: Array, gradients: list[Array], eta: float, **hyper: Any) -> list[Array]:
    start, step = manual.update_rule(name)
    memory, path = start(w), []
    for g in gradients:
        w, memory = step(w, g, memory, eta, **hyper)
        path.append(w)
    return path


HYPER: dict[str, list[dict[str, Any]]] = {
    "sgd": [{}, {"mu": 0.5, "dampening": 0.3}, {"mu": 0.5, "nesterov": True, "weight_decay": 0.1}],
    "momentum": [{}, {"mu": 0.5}, {"mu": 0.0}, {"weight_decay": 0.1}],
    "nesterov": [{}, {"mu": 0.5}, {"mu": 0.0}, {"weight_decay": 0.1}],
    "adam": [
        {}, {"beta1": 0.8, "beta2": 0.9, "eps": 1e-3}, {"beta1": 0.0, "beta2": 0.0}, {"weight_decay": 0.1},
        {"beta2": 0.5, "amsgrad": True},
    ],
    "adamw": [{}, {"beta2": 0.5, "weight_decay": 0.3, "amsgrad": True}],
    "amsgrad": [{}, {"beta2": 0.5, "weight_decay": 0.1}],
    "nadam": [{}, {"momentum_decay": 0.1, "weight_decay": 0.1}, {"decoupled": True, "weight_decay": 0.1}],
    "radam": [{}, {"beta2": 0.9, "weight_decay": 0.1}, {"beta2": 0.6}, {"decoupled": True, "weight_decay": 0.1}],
    "adamax": [{}, {"beta2": 0.5, "eps": 1e-2, "weight_decay": 0.1}],
    "rmsprop": [
        {}, {"alpha": 0.5, "eps": 1e-2}, {"mu": 0.5, "weight_decay": 0.1}, {"alpha": 0.5, "centered": True},
        {"mu": 0.5, "centered": True},
    ],
    "adagrad": [{}, {"eps": 1e-2}, {"lr_decay": 0.2, "initial": 0.3, "weight_decay": 0.1}],
    "adadelta": [{}, {"rho": 0.5, "eps": 1e-3}, {"weight_decay": 0.1}],
    "lion": [{}, {"beta1": 0.5, "beta2": 0.7, "weight_decay": 0.1}],
    "muon": [{}, {"mu": 0.5, "nesterov": False, "weight_decay": 0.3, "adjust": "match_rms_adamw"}],
}  # fmt: skip
EACH_UPDATE = [(name, hyper) for name, rows in HYPER.items() for hyper in rows]


def agree_with_optim(name: str, hyper: dict[str, Any], rng: Rng) -> None:
    for shape in [(3, 4), (4, 3), (3, 2, 2), (5,)] if name == "muon" else [(3, 4)]:
        agree_at_shape(shape, name, hyper, rng)


def agree_at_shape(shape: tuple[int, ...], name: str, hyper: dict[str, Any], rng: Rng) -> None:
    w, gradients = rng.normal(size=shape), [rng.normal(size=shape) * 10.0 ** rng.integers(-2, 2) for _ in range(20)]
    rule, (start, step_by_hand) = OPTIMIZERS[name](**hyper), manual.update_rule(name)
    state, other, got, memory = rule.init(w), w, w, start(w)
    for g in gradients:
        got, memory = step_by_hand(got, g, memory, 0.1, **hyper)
        step, state = rule.update(g, state, 0.1, other)
        other = other - step
        close(got - w, other - w, SAME)
        arrays = [kept for kept in state if isinstance(kept, np.ndarray)]
        if name == "rmsprop" and not hyper.get("centered"):  # by hand there is a place for the mean that it lacks
            del arrays[1:]
        for kept, remembered in zip(arrays, memory, strict=False):  # of Lion the steps show the sign only
            close(remembered, kept, SAME)


# Each memory written out as a sum over all gradients so far, without a recursion.
def mean(gradients: list[Array], β: float) -> Array:
    return sum((1 - β) * β ** (len(gradients) - k) * g for k, g in enumerate(gradients, 1))


def rolled(gradients: list[Array], μ: float) -> Array:
    return sum(μ ** (len(gradients) - k) * g for k, g in enumerate(gradients, 1))


def squares(gradients: list[Array]) -> list[Array]:
    return [g * g for g in gradients]


WRITTEN_OUT: dict[str, Callable[[list[Array]], Array]] = {
    "sgd": lambda gs: gs[-1],
    "momentum": lambda gs: rolled(gs, 0.9),
    "nesterov": lambda gs: gs[-1] + 0.9 * rolled(gs, 0.9),
    "adam": lambda gs: (
        mean(gs, 0.9) / (1 - 0.9 ** len(gs)) / (np.sqrt(mean(squares(gs), 0.999) / (1 - 0.999 ** len(gs))) + 1e-8)
    ),
    "rmsprop": lambda gs: gs[-1] / (np.sqrt(mean(squares(gs), 0.99)) + 1e-8),
    "adagrad": lambda gs: gs[-1] / (np.sqrt(sum(squares(gs))) + 1e-10),
}


def test_every_optimizer_is_written_by_hand_too() -> None:
    assert list(manual.UPDATES) == list(OPTIMIZERS) == list(HYPER)


@pytest.mark.parametrize(("name", "hyper"), EACH_UPDATE)
def test_twenty_steps_are_those_of_optim(name: str, hyper: dict[str, Any], rng: Rng) -> None:
    agree_with_optim(name, hyper, rng)


@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_each_step_is_what_its_sum_over_all_gradients_says(name: str, rng: Rng) -> None:
    gradients = [rng.normal(size=5) for _ in range(12)]
    path = [np.zeros(5), *walk(name, np.zeros(5), gradients, 0.5)]
    for t in range(12):
        close(path[t] - path[t + 1], 0.5 * WRITTEN_OUT[name](gradients[: t + 1]), SAME)


def test_adadelta_is_its_algorithm(rng: Rng) -> None:
    gradients = [rng.normal(size=5) for _ in range(12)]
    steps: list[Array] = []
    for t, g in enumerate(gradients):
        past = mean(squares(steps), 0.9) if steps else 0.0
        steps.append(np.sqrt(past + 1e-6) / np.sqrt(mean(squares(gradients[: t + 1]), 0.9) + 1e-6) * g)
    for w, expected in zip(walk("adadelta", np.zeros(5), gradients, 1.0), -np.cumsum(steps, axis=0), strict=True):
        close(w, expected, SAME)


@pytest.mark.parametrize("name", manual.UPDATES)
def test_an_optimizer_keeps_float32_and_changes_nothing_in_place(name: str, rng: Rng) -> None:
    start, step = manual.update_rule(name)
    w, g = (rng.normal(size=4).astype(np.float32) for _ in range(2))
    memory = start(w)
    for _ in range(2):
        for x in (w, g, *memory):
            if isinstance(x, np.ndarray):
                x.flags.writeable = False
        w, memory = step(w, g, memory, np.float64(0.1))
        assert {x.dtype for x in (w, *memory) if isinstance(x, np.ndarray)} == {np.dtype(np.float32)}


def test_an_optimizer_with_a_flat_gradient_stays(rng: Rng) -> None:
    for name in manual.UPDATES:
        hyper = {"weight_decay": 0.0} if name in ("adamw", "muon") else {}  # which decay by default
        assert [w.tolist() for w in walk(name, np.ones(2), [np.zeros(2)] * 3, 0.1, **hyper)] == [[1, 1]] * 3


@pytest.mark.parametrize("pairs", [0, 1, 2, 5])
def test_the_two_loops_of_lbfgs_are_the_matrix_of_bfgs(pairs: int, rng: Rng) -> None:
    quasi_newton_is_the_matrix(pairs, rng)


def quasi_newton_is_the_matrix(pairs: int, rng: Rng) -> None:
    A = rng.normal(size=(6, 6))
    g, s = rng.normal(size=6), list(rng.normal(size=(pairs, 6)))
    y = [step @ A @ A.T + step for step in s]  # the gradient of a bowl, so that y and s point the same way
    scale = float(s[-1] @ y[-1]) / float(y[-1] @ y[-1]) if pairs else 1.0
    close(direction(g, s, y, scale), manual.quasi_newton_direction(g, s, y), SAME)


# ---- each equation, wrong by 0.1 %, must be noticed

CHAPTERS: dict[str, list[str]] = {  # letter: the layers whose checks must notice
    "C": ["conv2d", "pooling"], "P": ["pooling"], "N": ["batch_norm", "layer_norm"], "E": ["embedding"],
    "R": ["rnn", "lstm"], "A": ["attention"], "F": ["activation"], "O": [],
}  # fmt: skip


def numbered() -> list[Any]:
    """Each numbered equation of the layers: its module, the letter of its chapter, and its line."""
    equations = []
    for path in sorted(MANUAL.glob("*.py")):
        for i, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            found = re.search(rf"  # \(([{''.join(CHAPTERS)}])(\d+)\)$", line)
            if found:
                equations.append(pytest.param(path.stem, found[1], i, id=found[1] + found[2]))
    return equations


def bend(module: str, line: int, factor: float) -> Any:
    """Compile a module in which the value computed by the statement on one line is multiplied by a factor."""

    def larger(value: ast.expr) -> ast.expr:
        if isinstance(value, ast.Tuple):
            return ast.Tuple([larger(v) for v in value.elts], ast.Load())
        return ast.BinOp(ast.Constant(factor), ast.Mult(), value)

    tree = ast.parse((MANUAL / f"{module}.py").read_text(encoding="utf-8"))
    (statement,) = (n for n in ast.walk(tree) if isinstance(n, ast.stmt) and n.lineno == n.end_lineno == line)
    if isinstance(statement, ast.Expr):  # np.add.at(dW, ids, g)
        statement.value.args[-1] = larger(statement.value.args[-1])
    else:
        statement.value = larger(statement.value)
    return compile(ast.fix_missing_locations(tree), module, "exec")


def replace(monkeypatch: pytest.MonkeyPatch, module: ModuleType, program: Any) -> None:
    """Put a module's functions, compiled anew, in place of the old ones wherever these were imported."""
    bent = dict(vars(module))
    exec(program, bent)
    names = [name for name in bent if not name.startswith("__")]
    rooms = [importlib.import_module(f"tinygrad_nn.manual.{path.stem}") for path in MANUAL.glob("*.py")]
    for room, name in product([manual, *rooms], names):
        if vars(room).get(name) is vars(module)[name] and room is not module:
            monkeypatch.setattr(room, name, bent[name])


def chapter_holds(letter: str, rng: Rng) -> None:
    for name in CHAPTERS[letter]:
        for draw in CASES[name].values():
            agree_with_the_graph(draw(rng), rng)
    if letter == "N":
        running_statistics_are_those_of_numpy(rng)
    if letter == "O":
        for name, hyper in EACH_UPDATE:
            agree_with_optim(name, hyper, rng)
        quasi_newton_is_the_matrix(3, rng)


@pytest.mark.parametrize(("module", "letter", "line"), numbered())
def test_an_equation_that_is_a_thousandth_off_is_rejected(
    module: str, letter: str, line: int, rng: Rng, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(monkeypatch, importlib.import_module(f"tinygrad_nn.manual.{module}"), bend(module, line, 1.001))
    with pytest.raises(AssertionError, match="error"):
        chapter_holds(letter, rng)


@pytest.mark.parametrize("letter", CHAPTERS)
def test_equations_that_are_compiled_again_and_right_are_accepted(
    letter: str, rng: Rng, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, _, line = next(row.values for row in numbered() if row.values[1] == letter)
    replace(monkeypatch, importlib.import_module(f"tinygrad_nn.manual.{module}"), bend(module, line, 1.0))
    chapter_holds(letter, rng)


# ---- conventions


def running_statistics_are_those_of_numpy(rng: Rng) -> None:
    x, before, spread = rng.normal(size=(4, 3, 2, 5)), rng.normal(size=3), rng.uniform(1, 2, size=3)
    out = manual.batch_norm(x, np.ones(3), np.zeros(3), before, spread, momentum=0.3)
    rows = x.transpose(0, 2, 3, 1).reshape(-1, 3)
    close(out.running_mean, 0.7 * before + 0.3 * np.mean(rows, axis=0), SAME)
    close(out.running_var, 0.7 * spread + 0.3 * np.var(rows, axis=0, ddof=1), SAME)


def test_running_statistics_are_those_of_numpy(rng: Rng) -> None:
    running_statistics_are_those_of_numpy(rng)


def test_normalised_values_have_mean_0_and_variance_1(rng: Rng) -> None:
    x = 5 + 3 * rng.normal(size=(6, 4))
    by_feature = manual.batch_norm(x, np.ones(4), np.zeros(4), np.zeros(4), np.ones(4), eps=0.0).x_hat
    by_sample = manual.layer_norm(x, np.ones(4), np.zeros(4), eps=0.0).x_hat
    for x_hat, axis in [(by_feature, 0), (by_sample, 1)]:
        np.testing.assert_allclose(x_hat.mean(axis=axis), 0, atol=1e-14)
        np.testing.assert_allclose(x_hat.var(axis=axis), 1, rtol=1e-13)


def test_a_norm_has_no_gradient_along_a_shift_and_a_scaling_of_its_input(rng: Rng) -> None:
    x, g, γ = rng.normal(size=(6, 4)), rng.normal(size=(6, 4)), rng.normal(size=4)
    out = manual.batch_norm(x, γ, np.zeros(4), np.zeros(4), np.ones(4), eps=0.0)
    dx = manual.batch_norm_backward(g, γ, out.x_hat, out.std).dx
    np.testing.assert_allclose(dx.sum(axis=0), 0, atol=1e-13)
    np.testing.assert_allclose((dx * x).sum(axis=0), 0, atol=1e-13)


def test_ties_of_a_window_share_evenly_and_padding_takes_nothing() -> None:
    g, x = np.array([[[[6.0]]]]), np.zeros((1, 1, 2, 1))
    x[0, 0, 1, 0] = -1
    assert manual.max_pool2d_backward(g, x, (2, 1)).ravel().tolist() == [6, 0]
    assert manual.max_pool2d_backward(g, 0 * x, (2, 1)).ravel().tolist() == [3, 3]
    below = np.full((1, 1, 1, 1), -5.0)
    assert manual.max_pool2d(below, 3, padding=1).tolist() == [[[[-5]]]]
    assert manual.max_pool2d_backward(g, below, 3, padding=1).tolist() == [[[[6]]]]
    assert manual.max_pool2d_backward(g, x * np.nan, (2, 1)).ravel().tolist() == [3, 3]


def test_padding_counts_in_an_average() -> None:
    assert manual.avg_pool2d(np.full((1, 1, 1, 1), 9.0), 3, padding=1).tolist() == [[[[1]]]]


def test_a_word_that_comes_twice_gets_both_gradients() -> None:
    g, ids = np.array([[1.0], [10.0], [100.0]]), np.array([2, 0, 2])
    assert manual.embedding_backward(g, np.zeros((4, 1)), ids).tolist() == [[10], [0], [101], [0]]


def test_a_masked_key_has_no_weight_and_no_gradient(rng: Rng) -> None:
    q, k, v, g = (rng.normal(size=(2, 3, 4, 5)) for _ in range(4))
    mask = np.arange(4) < 3
    a = manual.attention(q, k, v, mask).a
    d = manual.attention_backward(g, q, k, v, a)
    assert not a[..., 3].any()
    assert not d.dk[..., 3, :].any()
    assert not d.dv[..., 3, :].any()
    np.testing.assert_allclose(a.sum(axis=-1), 1, rtol=1e-14)


def test_saturated_gates_and_scores_stay_finite(rng: Rng) -> None:
    case = lstm_case(rng, 2, 3, 2, 3)
    case = case._replace(args=tuple(1e4 * x for x in case.args))
    gradients = case.backward(*cotangents(case, rng), *case.args)
    q, k, v = (1e4 * rng.normal(size=(2, 3)) for _ in range(3))
    gradients += manual.attention_backward(v, q, k, v, manual.attention(q, k, v).a)
    assert all(np.isfinite(x).all() for x in gradients)


def test_an_unused_last_cell_needs_no_cotangent(rng: Rng) -> None:
    args = lstm_case(rng, 2, 3, 2, 3).args
    cache, g = manual.lstm(*args), rng.normal(size=(2, 3, 3))
    without = manual.lstm_backward(g, *args[:-1], *cache)
    zero = manual.lstm_backward(g, *args[:-1], *cache, g_c=np.zeros((2, 3)))
    assert all(np.array_equal(a, b) for a, b in zip(without, zero, strict=True))


# ---- errors

x4, w4, q4 = np.ones((2, 3, 5, 5)), np.ones((4, 3, 2, 2)), np.ones((2, 4, 3))
seq, st, Wx, Wh = q4, np.ones((2, 5)), np.ones((5, 3)), np.ones((5, 5))


def lstm_backward_with(**wrong: Any) -> Any:
    """The backward pass of a right call, but for one argument."""
    given = {"g": np.ones((2, 4, 5)), "x": seq, "h0": st, "c0": st, "W_x": np.ones((20, 3)), "W_h": np.ones((20, 5))}
    cache = manual.lstm(*[given[name] for name in ("x", "h0", "c0", "W_x", "W_h")], np.ones(20))
    return manual.lstm_backward(**given | wrong, **cache._asdict())


ERRORS: list[tuple[Callable[[], Any], str]] = [
    (lambda: manual.conv2d(x4[0], w4, np.ones(4)), "x has shape (3, 5, 5): an image needs the four axes"),
    (lambda: manual.conv2d(x4, w4[:, :2], np.ones(4)), "W has shape (4, 2, 2, 2): with x of shape (2, 3, 5, 5)"),
    (lambda: manual.conv2d(x4, w4, np.ones(3)), "b has shape (3,): with W of shape (4, 3, 2, 2) it needs (4,)"),
    (lambda: manual.conv2d(x4, np.ones((4, 3, 8, 2)), np.ones(4)), "padding=(2, 0) is the least that makes room"),
    (lambda: manual.conv2d(x4, w4, np.ones(4), stride=0), "stride=0: give a whole number of at least 1"),
    (lambda: manual.conv2d(x4, w4, np.ones(4), padding=(1, 0.5)), "padding=(1, 0.5): give a whole number"),
    (lambda: manual.conv2d_backward(np.ones(4), x4, w4), "g has shape (4,), the result of the forward pass has (2,"),
    (lambda: manual.max_pool2d(x4, 2, padding=2), "padding (2, 2) is not smaller than the kernel (2, 2)"),
    (lambda: manual.max_pool2d(x4, (1, 2, 3)), "kernel=(1, 2, 3): give"),
    (lambda: manual.max_pool2d_backward(np.ones((2, 3, 1, 1)), x4, 2), "of the forward pass has (2, 3, 2, 2)"),
    (lambda: manual.avg_pool2d_backward(np.ones((2, 3, 1, 1)), x4, 2), "of the forward pass has (2, 3, 2, 2)"),
    (lambda: manual.batch_norm(np.ones((1, 3)), *[np.ones(3)] * 4), "one value a feature"),
    (lambda: manual.batch_norm(np.ones((2, 3)), *[np.ones(2)] * 4), "gamma has shape (2,): batch_norm of x with shape"),
    (lambda: manual.batch_norm(np.ones((2, 3)), *[np.ones(3)] * 3, np.ones(1)), "running_var has shape (1,)"),
    (lambda: manual.layer_norm(np.ones((2, 3)), np.ones(3), np.ones(1)), "beta has shape (1,): layer_norm"),
    (lambda: manual.layer_norm_backward(np.ones(3), np.ones(3), np.ones((2, 3)), np.ones((2, 1))), "g has shape (3,)"),
    (lambda: manual.embedding_backward(np.ones(3), np.ones((2, 3)), np.array([0, 1])), "g has shape (3,)"),
    (lambda: manual.rnn(seq[0], st, Wx, Wh, np.ones(5)), "x has shape (4, 3): sequences need the three axes"),
    (lambda: manual.rnn(seq[:, :0], st, Wx, Wh, np.ones(5)), "at least one time"),
    (lambda: manual.rnn(seq, st[:1], Wx, Wh, np.ones(5)), "h0 has shape (1, 5); with x of shape (2, 4, 3)"),
    (lambda: manual.rnn_backward(st, seq, st, Wx, Wh, st, st), "g has shape (2, 5); "),
    (lambda: manual.lstm(seq, st, st, Wx, Wh, np.ones(5)), "W_h has shape (5, 5); "),
    *[(partial(lstm_backward_with, **{name: np.ones((7, 7))}), f"{name} has shape (7, 7)")
      for name in ("W_x", "W_h", "h0", "c0", "g", "g_c")],
    (lambda: manual.attention(q4, q4[:, :, :2], q4), "attention got q (2, 4, 3), k (2, 4, 2), v (2, 4, 3): q and k"),
    (lambda: manual.attention(q4, q4[:1], q4[:1]), "all three the same leading axes"),
    (lambda: manual.attention(q4, q4, q4, np.ones((4, 4))), "the mask is of dtype float64"),
    (lambda: manual.attention(q4, q4, q4, np.ones((4, 3), bool)), "the mask is of dtype bool and shape (4, 3)"),
    (lambda: manual.attention(q4, q4, q4, np.ones((5, 1, 4, 4), bool)), "(..., queries, keys), here (2, 4, 4)"),
    (lambda: manual.attention(q4, q4, q4, np.tri(4, k=-1, dtype=bool)), "look at no key"),
    (lambda: manual.attention_backward(q4[0], q4, q4, q4, q4), "g has shape (4, 3), the result has (2, 4, 3)"),
    (lambda: manual.update_rule("adm"), "unknown optimizer 'adm': use one of sgd, momentum, nesterov, adam"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), ERRORS, ids=[message[:40] for _, message in ERRORS])
def test_arguments_that_do_not_fit_raise(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


# ---- the numbers of the equations


@pytest.mark.parametrize("letter", CHAPTERS)
def test_each_equation_of_the_page_is_one_line_of_the_code_and_the_other_way_round(letter: str) -> None:
    assert not mismatches(letter, page("optimizers.md" if letter == "O" else "backprop_layers.md"), code())


def test_equations_of_the_other_page_exist() -> None:
    cited = {int(n) for n in re.findall(r"\(B(\d+)\)", page("backprop_layers.md"))}
    assert cited <= set(derived(page("backprop.md"), "B"))


def test_mismatching_numbers_are_reported() -> None:
    good = r"$$a \tag{C1}$$ $$b \tag{C2}$$ by (C1)"
    assert mismatches("C", good, ["x = 1  # (C1)\ny = 2  # (C2)\n"]) == []
    assert len(mismatches("C", good, ["x = 1  # (C1)\n"])) == 1
    assert len(mismatches("C", good, ["x = 1  # (C1)\ny = 2  # (C2)\nz = 3  # (C2)\n"])) == 1
    assert len(mismatches("C", good + " and (C3)", ["x = 1  # (C1)\ny = 2  # (C2)\n"])) == 1
    assert len(mismatches("C", good.replace("C2", "C3"), ["x = 1  # (C1)\ny = 2  # (C3)\n"])) == 1
    assert len(mismatches("C", "", [])) == 1


@pytest.mark.parametrize("ids", [[-1], [3], [[0, 2], [1, 5]], [0, -4]])
def test_an_embedding_refuses_rows_that_its_table_lacks(ids: Any) -> None:
    words, W = np.array(ids), np.eye(3)
    with pytest.raises(IndexError, match=r"^the table has the rows 0 to 2; ids holds "):
        manual.embedding(W, words)
    with pytest.raises(IndexError, match=r"^the table has the rows 0 to 2; ids holds "):
        manual.embedding_backward(np.ones((*words.shape, 3)), W, words)
