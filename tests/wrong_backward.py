"""Backward passes that are wrong in one place: the right equations, written out as a student would, with one change.

Each change is named by its effect, and has the kind that a diagnosis should report. The code here shares nothing with
the package but the layers, the cache and the solver that a user's own backward gets as arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_nn import BackProp, Layer, Regularization, Solver

Array = Any


def slope(name: str, z: Array) -> Array:
    """f'(z) of the activations that act on each unit alone."""
    if name == "sigmoid":
        s = 1 / (1 + np.exp(-z))
        return s * (1 - s)
    if name == "tanh":
        return 1 - np.tanh(z) ** 2
    if name == "relu":
        return (z > 0) * 1.0
    if name.startswith("leaky_relu"):
        return np.where(z > 0, 1.0, float(name[11:-1]) if "(" in name else 0.01)
    return np.ones_like(z)


def value(name: str, z: Array) -> Array:
    if name == "sigmoid":
        return 1 / (1 + np.exp(-z))
    if name == "tanh":
        return np.tanh(z)
    if name == "relu":
        return np.maximum(z, 0)
    if name.startswith("leaky_relu"):
        return np.where(z > 0, z, (float(name[11:-1]) if "(" in name else 0.01) * z)
    if name == "softmax":
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)
    return z


def through(name: str, g: Array, z: Array) -> Array:
    """g J_f(z)."""
    if name == "softmax":
        p = value(name, z)
        return p * (g - (g * p).sum(axis=1, keepdims=True))
    return g * slope(name, z)


def loss_slope(loss: str, a: Array, y: Array) -> Array:
    n = len(y)
    if loss == "mae":
        return np.sign(a - y) / n
    if loss == "mse":
        return 2 * (a - y) / n
    if loss == "rmse":
        return (a - y) / n / np.sqrt(((a - y) ** 2).sum() / n)
    if loss == "crossentropy":
        return -y / a / n
    return ((1 - y) / (1 - a) - y / a) / n


class Student:
    """The right backward pass, in pieces that a mistake can be made in. `at` is the layer where it is made."""

    def __init__(self, at: int = -1) -> None:
        self.at = at

    def __call__(self, model: list[Layer], data_cache: Any, data_out: Array, *, solver: Solver) -> Any:
        self.model, self.y, self.solver = model, data_out, solver
        self.x, self.z, self.a, self.masks = data_cache
        self.K, self.N = len(model), len(data_out)
        self.here = self.at % self.K
        self.loss = BackProp(model, data_cache, data_out, solver=solver)[0]
        dW, db = [], []
        self.delta: dict[int, Array] = {}
        delta = None
        for k in reversed(range(self.K)):
            delta = self.output(k) if k == self.K - 1 else self.hidden(k, delta)
            if k == self.here:
                delta = self.spoil(k, delta)
            self.delta[k] = delta
            dW.insert(0, self.weights(k, delta))
            db.insert(0, self.biases(k, delta))
            if k == self.here:
                dW[0], db[0] = self.dW(k, delta, dW[0]), self.db(k, delta, db[0])
        return self.loss, dW, db

    def name(self, k: int) -> str:
        return self.model[k].activation

    def W(self, k: int) -> Array:
        return self.model[k].W.data

    def into(self, k: int) -> Array:
        return self.a[k - 1] if k else self.x

    def mask(self, k: int, g: Array) -> Array:
        return g if self.masks[k] is None else self.masks[k] * g

    def output(self, k: int) -> Array:
        return through(self.name(k), loss_slope(self.solver.loss, self.a[k], self.y), self.z[k])

    def hidden(self, k: int, delta: Array) -> Array:
        return through(self.name(k), self.mask(k, delta @ self.W(k + 1)), self.z[k])

    def penalty(self, k: int) -> Array:
        reg, W = self.solver.regularization, self.W(k)
        if reg.method == "none":
            return 0.0
        l1, l2 = {"l1": (1, 0), "l2": (0, 1), "elasticnet": (reg.r, 1 - reg.r)}[reg.method]
        return reg.lam * (l1 * np.sign(W) + l2 * W)

    def weights(self, k: int, delta: Array) -> Array:
        return delta.T @ self.into(k) + self.penalty(k)

    def biases(self, k: int, delta: Array) -> Array:
        return delta.sum(axis=0)

    # What a mistake replaces.
    def spoil(self, k: int, delta: Array) -> Array:
        return delta

    def dW(self, k: int, delta: Array, dW: Array) -> Array:
        return dW

    def db(self, k: int, delta: Array, db: Array) -> Array:
        return db


@dataclass(frozen=True)
class Setting:
    """A network, a loss, a batch."""

    widths: tuple[int, ...]
    names: tuple[str, ...]
    loss: str
    rows: int = 6
    method: str = "none"
    lam: float = 0.0
    dropout: float = 0.0
    dtype: Any = np.float64
    scale: float = 1.0

    def build(self, seed: int) -> tuple[list[Layer], Array, Array, Solver]:
        rng = np.random.default_rng(seed)
        model = [Layer(n, m, f, "n", rng=rng, dtype=self.dtype)
                 for n, m, f in zip(self.widths, self.widths[1:], self.names, strict=False)]
        for layer in model:
            layer.W = layer.W.data * self.scale
            layer.b = rng.normal(0, 0.3 * self.scale, layer.n_out)
        x = rng.normal(size=(self.rows, self.widths[0]))
        n = self.widths[-1]
        if self.loss == "crossentropy":
            y = np.eye(n)[rng.integers(0, n, self.rows)]
        elif self.loss == "binarycrossentropy":
            y = rng.integers(0, 2, (self.rows, n)) * 1.0
        else:
            y = rng.normal(size=(self.rows, n))
        return model, x, y, Solver(self.loss, regularization=Regularization(self.method, self.lam, 0.3, self.dropout))


@dataclass(frozen=True)
class Mistake:
    """A wrong backward pass: the kind it should be given, in words what it does, where, and the setting."""

    kind: str
    words: str
    at: int
    setting: Setting
    seed: int
    make: Callable[[int], Any]

    @property
    def label(self) -> str:
        return f"{self.kind}-{self.words.replace(' ', '_')}-at{self.at}-{self.setting.loss}-{self.seed}"


def student(**pieces: Callable[..., Array]) -> Callable[[int], Student]:
    """A student with some pieces replaced; each new piece is a function of (self, k, ...)."""
    return lambda at: type("Wrong", (Student,), dict(pieces))(at)


def hidden_at(change: Callable[..., Array]) -> Callable[[int], Student]:
    """A student whose hidden delta is another one at the layer of the mistake only."""

    def hidden(self: Any, k: int, delta: Array) -> Array:
        return change(self, k, delta) if k == self.here else Student.hidden(self, k, delta)

    return student(hidden=hidden)


def weights_at(change: Callable[..., Array]) -> Callable[[int], Student]:
    return student(dW=change)


def added_up(s: Any, k: int, delta: Array, dW: Array) -> Array:
    """dW on top of what the calls before this one left."""
    s.kept = getattr(s, "kept", 0) + dW
    return s.kept


def stepped(s: Any, k: int, delta: Array, dW: Array) -> Array:
    """dW, with a step of gradient descent that comes too early."""
    s.model[k].W.data[...] -= 0.1 * dW
    return dW


DEEP = Setting((5, 7, 6, 3), ("tanh", "sigmoid", "softmax"), "crossentropy", 6)
WIDE = Setting((4, 9, 2), ("relu", "linear"), "mse", 8, "l2", 0.1)
NARROW = Setting((3, 4, 4, 2), ("sigmoid", "leaky_relu(0.2)", "tanh"), "mse", 5)
YESNO = Setting((6, 5, 3), ("tanh", "sigmoid"), "binarycrossentropy", 7)
DROPPED = Setting((5, 8, 6, 3), ("tanh", "relu", "softmax"), "crossentropy", 6, dropout=0.4)
DROPPED2 = Setting((4, 7, 5, 2), ("sigmoid", "tanh", "linear"), "mse", 5, "l2", 0.2, 0.3)
ROOT = Setting((4, 6, 3), ("leaky_relu", "linear"), "rmse", 9, "l1", 0.05)
ELASTIC = Setting((5, 6, 4, 2), ("tanh", "relu", "sigmoid"), "mae", 6, "elasticnet", 0.1)
SQUARE = Setting((5, 5, 5, 5), ("tanh", "sigmoid", "linear"), "mse", 7)
LONE = Setting((4, 3), ("softmax",), "crossentropy", 16)
IRIS = Setting((4, 40, 3), ("relu", "softmax"), "crossentropy", 16)
PROBABLE = Setting((4, 5, 3), ("tanh", "softmax"), "mse", 6)
INNER = Setting((4, 5, 4, 2), ("softmax", "tanh", "linear"), "mse", 6)

# kind, words, settings with the layer of the mistake, the student
Table = list[tuple[str, str, list[tuple[Setting, int]], Callable[[int], Any]]]
TABLE: Table = [
    ("scale", "twice dW", [(DEEP, 0), (IRIS, 1)], weights_at(lambda s, k, d, g: 2 * g)),
    ("scale", "sum instead of mean over the batch", [(DEEP, 2), (WIDE, 1), (ROOT, 1)],
        student(spoil=lambda s, k, d: d * s.N)),
    ("scale", "half of mse", [(NARROW, 2), (SQUARE, 2)], student(spoil=lambda s, k, d: d / 2)),
    ("scale", "mean over outputs too", [(WIDE, 1), (YESNO, 1)], student(spoil=lambda s, k, d: d / s.y.shape[1])),
    ("scale", "db averaged", [(DEEP, 1), (LONE, 0)], student(db=lambda s, k, d, g: d.mean(axis=0))),
    ("scale", "mask applied twice", [(DROPPED, 0)], hidden_at(
        lambda s, k, d: through(s.name(k), s.masks[k] ** 2 * (d @ s.W(k + 1)), s.z[k]))),
    ("sign", "y minus a", [(DEEP, 2), (WIDE, 1), (LONE, 0)], student(spoil=lambda s, k, d: -d)),
    ("sign", "minus db", [(NARROW, 1)], student(db=lambda s, k, d, g: -g)),
    ("transpose", "dW transposed", [(IRIS, 0), (SQUARE, 1), (YESNO, 1)],
        weights_at(lambda s, k, d, g: s.into(k).T @ d)),
    ("transpose", "W not transposed", [(SQUARE, 0)], hidden_at(
        lambda s, k, d: through(s.name(k), d @ s.W(k + 1).T, s.z[k]))),
    ("broadcast_not_summed", "db is delta", [(DEEP, 1), (WIDE, 0)], student(db=lambda s, k, d, g: d)),
    ("wrong_axis_sum", "db over units", [(DEEP, 0), (SQUARE, 1)], student(db=lambda s, k, d, g: d.sum(axis=1))),
    ("missing_activation_derivative", "hidden", [(DEEP, 0), (DEEP, 1), (IRIS, 0), (DROPPED2, 0)],
        hidden_at(lambda s, k, d: s.mask(k, d @ s.W(k + 1)))),
    ("missing_activation_derivative", "output", [(NARROW, 2), (ELASTIC, 2)],
        student(output=lambda s, k: loss_slope(s.solver.loss, s.a[k], s.y))),
    ("activation_derivative_at_wrong_value", "at a", [(DEEP, 0), (DEEP, 1), (DROPPED2, 1)], hidden_at(
        lambda s, k, d: s.mask(k, d @ s.W(k + 1)) * slope(s.name(k), value(s.name(k), s.z[k])))),
    ("activation_derivative_at_wrong_value", "z in a formula of a", [(YESNO, 0)], hidden_at(
        lambda s, k, d: (d @ s.W(k + 1)) * (1 - s.z[k] ** 2))),
    ("softmax_diagonal_only", "output", [(PROBABLE, 1), (DEEP, 2)], student(
        output=lambda s, k: loss_slope(s.solver.loss, s.a[k], s.y) * s.a[k] * (1 - s.a[k]))),
    ("softmax_diagonal_only", "hidden", [(INNER, 0)], hidden_at(
        lambda s, k, d: (d @ s.W(k + 1)) * s.a[k] * (1 - s.a[k]))),
    ("wrong_loss_gradient", "mse for mae", [(ELASTIC, 2)], student(
        output=lambda s, k: through(s.name(k), loss_slope("mse", s.a[k], s.y), s.z[k]))),
    ("wrong_loss_gradient", "p minus y for mse", [(PROBABLE, 1)], student(output=lambda s, k: (s.a[k] - s.y) / s.N)),
    ("wrong_loss_gradient", "mse for rmse", [(ROOT, 1)], student(
        output=lambda s, k: through(s.name(k), loss_slope("mse", s.a[k], s.y), s.z[k]))),
    ("missing_penalty", "l2", [(WIDE, 0), (DROPPED2, 1)], weights_at(lambda s, k, d, g: g - s.penalty(k))),
    ("extra_penalty", "on the bias", [(WIDE, 0), (ROOT, 1)], student(
        db=lambda s, k, d, g: g + s.solver.regularization.lam * s.model[k].b.data)),
    ("extra_penalty", "twice", [(ROOT, 0), (ELASTIC, 1)], weights_at(lambda s, k, d, g: g + s.penalty(k))),
    ("wrong_penalty", "l1 for l2", [(WIDE, 1)], weights_at(
        lambda s, k, d, g: g - s.penalty(k) + s.solver.regularization.lam * np.sign(s.W(k)))),
    ("wrong_penalty", "half lambda", [(DROPPED2, 0)], weights_at(lambda s, k, d, g: g - s.penalty(k) / 2)),
    ("dropout_mask_missing", "hidden", [(DROPPED, 0), (DROPPED, 1), (DROPPED2, 0)], hidden_at(
        lambda s, k, d: through(s.name(k), d @ s.W(k + 1), s.z[k]))),
    ("dropout_scale_missing", "hidden", [(DROPPED, 1), (DROPPED2, 0)], hidden_at(
        lambda s, k, d: through(s.name(k), (d @ s.W(k + 1)) * (s.masks[k] > 0), s.z[k]))),
    ("dropout_mask_stale", "a fresh mask of a fixed seed", [(DROPPED, 0), (DROPPED2, 1)], hidden_at(
        lambda s, k, d: through(s.name(k), (d @ s.W(k + 1)) * (
            np.random.default_rng(5).random(d.shape[:1] + s.z[k].shape[1:]) > 0.35)
            / (1 - s.solver.regularization.dropout), s.z[k]))),
    ("wrong_layer_input", "x for a", [(SQUARE, 1), (SQUARE, 2)], weights_at(lambda s, k, d, g: d.T @ s.x)),
    ("wrong_layer_input", "z for a", [(DEEP, 1), (IRIS, 1)], weights_at(lambda s, k, d, g: d.T @ s.z[k - 1])),
    ("wrong_axis_sum", "softmax summed over the batch", [(PROBABLE, 1), (DEEP, 2)], student(output=lambda s, k: (
        lambda p, g: p * (g - (g * p).sum(axis=0)))(s.a[k], loss_slope(s.solver.loss, s.a[k], s.y)))),
    ("wrong_axis_sum", "hidden softmax summed over the batch", [(INNER, 0)], hidden_at(lambda s, k, d: (
        lambda p, g: p * (g - (g * p).sum(axis=0)))(s.a[k], d @ s.W(k + 1)))),
    ("wrong_penalty", "|W| for sign W", [(ELASTIC, 1)], weights_at(lambda s, k, d, g: d.T @ s.into(k) + (
        s.solver.regularization.lam * (s.solver.regularization.r * np.abs(s.W(k))
                                       + (1 - s.solver.regularization.r) * s.W(k))))),
    ("overwritten_not_accumulated", "half of the batch", [(DEEP, 1), (SQUARE, 0)], student(
        dW=lambda s, k, d, g: d[: s.N // 2].T @ s.into(k)[: s.N // 2],
        db=lambda s, k, d, g: d[: s.N // 2].sum(axis=0))),
    ("cotangent_ignored", "f'(z) alone", [(DEEP, 1), (IRIS, 0)],
        hidden_at(lambda s, k, d: slope(s.name(k), s.z[k]))),
    ("cotangent_ignored", "f'(z) alone, at the output", [(NARROW, 2)],
        student(output=lambda s, k: slope(s.name(k), s.z[k]))),
    ("overwritten_not_accumulated", "a penalty that nobody asked for in place of dW", [(DEEP, 1), (SQUARE, 2)],
        weights_at(lambda s, k, d, g: 0.01 * s.W(k))),
    ("broadcast_not_summed", "dW keeps the batch beside a penalty", [(WIDE, 0), (ROOT, 1)], weights_at(
        lambda s, k, d, g: d[:, :, None] * s.into(k)[:, None, :] + s.penalty(k))),
    ("overwritten_not_accumulated", "last sample", [(DEEP, 1), (YESNO, 1)], student(
        dW=lambda s, k, d, g: np.outer(d[-1], s.into(k)[-1]), db=lambda s, k, d, g: d[-1])),
]  # fmt: skip

TINY = Setting((2, 3, 1), ("tanh", "sigmoid"), "binarycrossentropy", 4)
BIG = Setting((8, 16, 12, 5), ("relu", "tanh", "softmax"), "crossentropy", 20)
REGRESSION = Setting((6, 10, 10, 1), ("relu", "relu", "linear"), "mae", 12, "l2", 0.01)
SIGMOIDS = Setting((4, 6, 6, 4), ("sigmoid", "sigmoid", "sigmoid"), "mse", 10)
FLOAT32 = Setting((6, 8, 4), ("tanh", "softmax"), "crossentropy", 8, "l2", 0.05, dtype=np.float32)
HEAVY = Setting((6, 12, 8, 3), ("relu", "sigmoid", "softmax"), "crossentropy", 10, "elasticnet", 0.2, 0.5)
ONE_ROW = Setting((3, 5, 2), ("sigmoid", "linear"), "rmse", 1)
COUPLED = Setting((4, 6, 3), ("sigmoid", "softmax"), "binarycrossentropy", 5)
UNUSUAL = Setting((3, 5, 4), ("leaky_relu", "sigmoid"), "crossentropy", 6, "l1", 0.1)

# Written after the diagnosis was finished, without a change to it: the honest half.
HELD_OUT: Table = [
    ("scale", "forgot to divide by N in dW only", [(BIG, 1), (SIGMOIDS, 2)],
        weights_at(lambda s, k, d, g: s.N * (d.T @ s.into(k)) + s.penalty(k))),
    ("scale", "divided by N twice", [(BIG, 2), (COUPLED, 1)], student(spoil=lambda s, k, d: d / s.N)),
    ("scale", "a learning rate in the gradient", [(TINY, 0)], student(db=lambda s, k, d, g: 0.01 * g)),
    ("scale", "times lambda", [(HEAVY, 1)], hidden_at(
        lambda s, k, d: s.solver.regularization.lam * Student.hidden(s, k, d))),
    ("scale", "missing two of mse", [(SIGMOIDS, 2)], student(output=lambda s, k: through(
        s.name(k), (s.a[k] - s.y) / s.N, s.z[k]))),
    ("sign", "hidden delta", [(SIGMOIDS, 0), (FLOAT32, 0)], student(spoil=lambda s, k, d: -d)),
    ("sign", "dW", [(REGRESSION, 1)], weights_at(lambda s, k, d, g: -g)),
    ("transpose", "square W", [(SIGMOIDS, 0)], hidden_at(
        lambda s, k, d: through(s.name(k), d @ s.W(k + 1).T, s.z[k]))),
    ("transpose", "dW of a square layer", [(REGRESSION, 1)], weights_at(lambda s, k, d, g: g.T)),
    ("broadcast_not_summed", "db keeps the batch", [(TINY, 1), (FLOAT32, 0)], student(db=lambda s, k, d, g: d)),
    ("broadcast_not_summed", "dW keeps the batch", [(TINY, 0)], weights_at(
        lambda s, k, d, g: d[:, :, None] * s.into(k)[:, None, :])),
    ("wrong_axis_sum", "one number for all biases", [(BIG, 0), (REGRESSION, 0)],
        student(db=lambda s, k, d, g: np.zeros_like(g) + d.sum())),
    ("wrong_axis_sum", "summed over units", [(COUPLED, 0), (FLOAT32, 1)], student(db=lambda s, k, d, g: d.sum(1))),
    ("wrong_axis_sum", "sums before the product", [(SIGMOIDS, 1)], weights_at(
        lambda s, k, d, g: np.outer(d.sum(0), s.into(k).sum(0)))),
    ("missing_activation_derivative", "sigmoid output with mse", [(SIGMOIDS, 2)],
        student(output=lambda s, k: 2 * (s.a[k] - s.y) / s.N)),
    ("missing_activation_derivative", "in one hidden layer", [(BIG, 1), (HEAVY, 0), (REGRESSION, 0), (UNUSUAL, 0)],
        hidden_at(lambda s, k, d: s.mask(k, d @ s.W(k + 1)))),
    ("activation_derivative_at_wrong_value", "sigmoid of a", [(SIGMOIDS, 1), (HEAVY, 1)], hidden_at(
        lambda s, k, d: s.mask(k, d @ s.W(k + 1)) * slope("sigmoid", value("sigmoid", s.z[k])))),
    ("activation_derivative_at_wrong_value", "z times one minus z", [(SIGMOIDS, 0)], hidden_at(
        lambda s, k, d: (d @ s.W(k + 1)) * s.z[k] * (1 - s.z[k]))),
    ("activation_derivative_at_wrong_value", "output", [(SIGMOIDS, 2)], student(output=lambda s, k: (
        loss_slope("mse", s.a[k], s.y) * slope("sigmoid", s.a[k])))),
    ("softmax_diagonal_only", "crossentropy", [(BIG, 2), (FLOAT32, 1), (HEAVY, 2)], student(
        output=lambda s, k: -s.y / s.N * (1 - s.a[k]))),
    ("wrong_loss_gradient", "crossentropy for binary with softmax", [(COUPLED, 1)],
        student(output=lambda s, k: (s.a[k] - s.y) / s.N)),
    ("wrong_loss_gradient", "mse for crossentropy", [(BIG, 2), (FLOAT32, 1)], student(
        output=lambda s, k: through("softmax", 2 * (s.a[k] - s.y) / s.N, s.z[k]))),
    ("wrong_loss_gradient", "binary for crossentropy with sigmoid", [(UNUSUAL, 1)],
        student(output=lambda s, k: (s.a[k] - s.y) / s.N)),
    ("wrong_loss_gradient", "squares for absolute values", [(REGRESSION, 2)],
        student(output=lambda s, k: 2 * (s.a[k] - s.y) / s.N)),
    ("wrong_loss_gradient", "sigmoid slope with binarycrossentropy", [(TINY, 1)], student(
        output=lambda s, k: (s.a[k] - s.y) / s.N * s.a[k] * (1 - s.a[k]))),
    ("missing_penalty", "in one layer", [(HEAVY, 1), (UNUSUAL, 0), (FLOAT32, 1)],
        weights_at(lambda s, k, d, g: d.T @ s.into(k))),
    ("extra_penalty", "on biases", [(HEAVY, 2), (UNUSUAL, 0), (FLOAT32, 0)], student(
        db=lambda s, k, d, g: g + s.solver.regularization.lam * np.sign(s.model[k].b.data))),
    ("extra_penalty", "once a sample", [(HEAVY, 0), (REGRESSION, 1)],
        weights_at(lambda s, k, d, g: g + (s.N - 1) * s.penalty(k))),
    ("wrong_penalty", "l2 for l1", [(UNUSUAL, 1)], weights_at(
        lambda s, k, d, g: d.T @ s.into(k) + s.solver.regularization.lam * s.W(k))),
    ("wrong_penalty", "only the l2 part", [(HEAVY, 1)], weights_at(
        lambda s, k, d, g: d.T @ s.into(k) + s.solver.regularization.lam * (1 - s.solver.regularization.r) * s.W(k))),
    ("wrong_penalty", "divided by N", [(FLOAT32, 0)], weights_at(
        lambda s, k, d, g: d.T @ s.into(k) + s.penalty(k) / s.N)),
    ("dropout_mask_missing", "no mask on the way back", [(HEAVY, 1), (HEAVY, 0)], hidden_at(
        lambda s, k, d: through(s.name(k), d @ s.W(k + 1), s.z[k]))),
    ("dropout_scale_missing", "a mask of zeros and ones", [(HEAVY, 1)], hidden_at(
        lambda s, k, d: through(s.name(k), np.where(s.masks[k] > 0, d @ s.W(k + 1), 0), s.z[k]))),
    ("dropout_mask_stale", "rows in another order", [(HEAVY, 1)], hidden_at(
        lambda s, k, d: through(s.name(k), s.masks[k][::-1] * (d @ s.W(k + 1)), s.z[k]))),
    ("dropout_mask_stale", "drawn again", [(HEAVY, 0)], hidden_at(
        lambda s, k, d: through(s.name(k), (np.random.default_rng().random(s.z[k].shape) >= 0.5)
                                / (1 - s.solver.regularization.dropout) * (d @ s.W(k + 1)), s.z[k]))),
    ("wrong_layer_input", "own output for input", [(SIGMOIDS, 1)], weights_at(lambda s, k, d, g: d.T @ s.a[k])),
    ("wrong_layer_input", "weighted input", [(BIG, 2), (HEAVY, 1)], weights_at(
        lambda s, k, d, g: d.T @ s.z[k - 1] + s.penalty(k))),
    ("overwritten_not_accumulated", "a loop that keeps the last", [(BIG, 2), (HEAVY, 1)], student(
        dW=lambda s, k, d, g: np.outer(d[-1], s.into(k)[-1]) + s.penalty(k), db=lambda s, k, d, g: d[-1])),
    ("overwritten_not_accumulated", "db of the last sample", [(SIGMOIDS, 0)], student(db=lambda s, k, d, g: d[-1])),
    ("inplace_overwrite", "delta written over z", [(BIG, 1), (TINY, 0)], hidden_at(
        lambda s, k, d: np.multiply(d @ s.W(k + 1), slope(s.name(k), s.z[k]), out=s.a[k]) * 1.0)),
    ("nondeterministic", "noise in the gradient", [(SIGMOIDS, 1)], student(
        spoil=lambda s, k, d: d * (1 + np.random.default_rng().normal()))),
    ("accumulated_over_calls", "zero_grad forgotten", [(BIG, 2), (HEAVY, 0)], weights_at(added_up)),
    ("overwritten_not_accumulated", "the penalty in place of dW", [(HEAVY, 1), (REGRESSION, 2)],
        weights_at(lambda s, k, d, g: s.penalty(k) + np.zeros_like(g))),
    ("inplace_overwrite", "W stepped before delta went through it", [(SIGMOIDS, 2)], student(dW=stepped)),
    ("unknown", "cubed", [(BIG, 1)], student(spoil=lambda s, k, d: d**3)),
    ("unknown", "one entry", [(SIGMOIDS, 1)], weights_at(
        lambda s, k, d, g: g * np.where(np.arange(g.size).reshape(g.shape) == 5, 1.001, 1))),
]  # fmt: skip


def mistakes(table: Table, seeds: int = 1) -> Iterator[Mistake]:
    """All mistakes of a table."""
    for row, (kind, words, places, make) in enumerate(table):
        for number, (setting, at) in enumerate(places):
            for seed in range(seeds):
                yield Mistake(kind, words, at, setting, 1000 * row + 10 * number + seed, make)
