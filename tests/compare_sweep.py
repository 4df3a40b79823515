"""Run the comparison on thousands of gradients that are known to be right or wrong, and count its wrong verdicts.

    python -m tests.compare_sweep --wrong 5000 --right 2000 --seed 0

Each case knows the kinks that it stands at and the slopes of their sides, so it knows, without the package, every
gradient that is right. A wrong one is counted where a direction is known in which it leaves all of these.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinygrad_nn as tg
from tests.wrong_backward import Student, loss_slope, slope
from tinygrad_nn import Layer, Regularization, Solver, compare_gradients

Array = Any
Rng = np.random.Generator
EDGES = 512  # combinations of slopes that are all tried


@dataclass
class Case:
    """A function, its inputs, how many slopes each kink has, and its gradients for given weights of these slopes."""

    f: Callable[..., Any]
    inputs: tuple[Array, ...]
    slopes: Sequence[int]
    gradient: Callable[..., Sequence[Array]]  # (weights, cotangent, *inputs)
    edges: Sequence[list[Array]] | None = None  # where the kinks are not free of each other: what they take together
    wide: Sequence[list[Array]] | None = None  # those of them that are seen from many places


def of(weights: Sequence[Array], kink: int, values: Sequence[Any]) -> Any:
    """The mean of some slopes."""
    return sum(w * v for w, v in zip(weights[kink], values, strict=True))


def at_zero(weights: Sequence[Array], x: Array, low: float, high: float) -> Array:
    """The slopes of a function that bends at 0."""
    s = np.where(x > 0, high, low).astype(x.dtype)
    places = np.argwhere(x == 0)
    for k, place in enumerate(places[: len(weights)]):
        s[tuple(place)] = of(weights, k, (low, high))
    return s


def with_zeros(rng: Rng, shape: tuple[int, ...], count: int, dtype: Any = np.float64) -> Array:
    x = rng.normal(size=shape)
    x.reshape(-1)[rng.choice(x.size, min(count, x.size - 1), replace=False)] = 0
    return x.astype(dtype)


# -- The cases


def rectifier(rng: Rng, dtype: Any = np.float64) -> Case:
    low, high, f = [
        (0.0, 1.0, tg.relu), (0.2, 1.0, lambda x: tg.leaky_relu(x, alpha=0.2)), (-1.0, 1.0, np.abs),
        (0.0, 1.0, lambda x: x * (x > 0)), (0.0, 1.0, lambda x: np.maximum(x, 0)),
        (-0.5, 2.0, lambda x: np.where(x > 0, 2 * x, -0.5 * x)), (0.0, 2.0, lambda x: np.abs(x) + x),
    ][rng.integers(7)]  # fmt: skip
    x = with_zeros(rng, (3, 4), int(rng.integers(1, 8)), dtype)
    if rng.random() < 0.3:
        x[0, 0] = 1e6
    return Case(f, (x,), [2] * int((x == 0).sum()), lambda w, g, x: [g * at_zero(w, x, low, high)])


def summed(rng: Rng, dtype: Any = np.float64) -> Case:
    c = rng.normal(size=(4, 3)).astype(dtype)
    x = with_zeros(rng, (4, 3), int(rng.integers(1, 8)), dtype)
    return Case(lambda x: (c * np.abs(x) + np.sin(x)).sum(), (x,), [2] * int((x == 0).sum()),
                lambda w, g, x: [g * (c * at_zero(w, x, -1, 1) + np.cos(x))])  # fmt: skip


def affine(rng: Rng, dtype: Any = np.float64) -> Case:
    rows, units = int(rng.integers(3, 6)), int(rng.integers(2, 5))
    x = rng.normal(size=(rows, 3)).astype(dtype)
    x[: int(rng.integers(1, 3))] = 0
    W, b = rng.normal(size=(3, units)).astype(dtype), np.zeros(units, dtype)
    b[1:] = rng.normal(size=units - 1) * rng.integers(0, 2)

    def gradient(w: Any, g: Array, x: Array, W: Array, b: Array) -> Any:
        d = g * at_zero(w, x @ W + b, 0, 1)
        return d @ W.T, x.T @ d, d.sum(axis=0)

    return Case(lambda x, W, b: tg.relu(x @ W + b), (x, W, b), [2] * int((x @ W + b == 0).sum()), gradient)


def deep(rng: Rng, dtype: Any = np.float64) -> Case:
    """Kinks followed by kinks: a row of zeros goes through two layers without biases."""
    x = rng.normal(size=(3, 2)).astype(dtype)
    x[0] = 0
    W, V = rng.normal(size=(2, 3)).astype(dtype), rng.normal(size=(3, 2)).astype(dtype)

    def gradient(w: Any, g: Array, W: Array, V: Array) -> Any:
        z = x @ W
        a = np.maximum(z, 0)
        y = a @ V
        d = g * np.concatenate([at_zero(w[3:], y[:1], 0, 1), y[1:] > 0])
        e = d @ V.T * np.concatenate([at_zero(w[:3], z[:1], 0, 1), z[1:] > 0])
        return x.T @ e, a.T @ d

    return Case(lambda W, V: tg.relu(tg.relu(x @ W) @ V), (W, V), [2] * 5, gradient)


def behind(rng: Rng, dtype: Any = np.float64) -> Case:
    """The same, where the lower kinks can be told: the inputs get a gradient."""
    x = rng.normal(size=(2, 3)).astype(dtype)
    x[0] = 0
    V = rng.normal(size=(3, 2)).astype(dtype)

    def gradient(w: Any, g: Array, x: Array) -> Any:
        a = np.abs(x)
        y = a @ V
        d = g * np.concatenate([at_zero(w[3:], y[:1], 0, 1), y[1:] > 0])
        return [d @ V.T * np.concatenate([at_zero(w[:3], x[:1], -1, 1), np.sign(x[1:])])]

    near = rng.normal(size=(400, 3))
    far = rng.normal(size=(20_000, 3)) * 2.0 ** -rng.uniform(0, 12, (20_000, 3))

    def choices(u: Array, least: int) -> list[list[Array]]:
        found, count = np.unique(np.concatenate([u > 0, np.abs(u) @ V > 0], axis=1), axis=0, return_counts=True)
        least = min(least, int(count.max()) - 1)  # of few places some choice is still seen most
        return [list(np.eye(2)[choice.astype(int)]) for choice in found[count > least]]

    return Case(lambda x: tg.relu(np.abs(x) @ V), (x,), [2] * 5, gradient, choices(np.vstack([near, far]), 0),
                choices(near, 20))  # fmt: skip


def tied_rows(rng: Rng, dtype: Any = np.float64) -> Case:
    """A maximum over columns that are equal because the rows of W are."""
    ties, rows = int(rng.integers(2, 4)), int(rng.integers(1, 4))
    X = rng.normal(size=(rows, 4)).astype(dtype)
    w = rng.normal(size=4)
    W = np.stack([w] * ties + [rng.normal(size=4) * 0.1]).astype(dtype)
    last = [i for i, s in enumerate(X @ W.T) if s[-1] < s[0]]

    def gradient(weights: Any, g: Array, W: Array) -> Any:
        S = X @ W.T
        best = S.max(axis=1, keepdims=True)
        h = np.equal(S, best) * 1.0
        for k, i in enumerate(last):
            if (S[i, :ties] == S[i, 0]).all() and S[i, 0] > S[i, -1]:
                h[i] = 0
                h[i, :ties] = weights[k]
        return [(np.reshape(g, (-1, 1)) * h.astype(S.dtype)).T @ X]

    return Case(lambda W: np.max(X @ W.T, axis=1), (W,), [ties] * len(last), gradient)


def highest(rng: Rng, dtype: Any = np.float64) -> Case:
    """A maximum or minimum along an axis with ties of two and three."""
    x = rng.normal(size=(4, 5)).astype(dtype)
    low = rng.random() < 0.3
    ties = [int(rng.integers(1, 4)) for _ in range(4)]
    for row, n in zip(x, ties, strict=True):
        row[rng.choice(5, n, replace=False)] = -3 if low else 3
    kinks = [i for i, n in enumerate(ties) if n > 1]

    def gradient(w: Any, g: Array, x: Array) -> Any:
        best = (x.min if low else x.max)(axis=1, keepdims=True)
        h = (x == best) * 1.0
        h /= h.sum(axis=1, keepdims=True)
        for k, i in enumerate(kinks):
            if (x[i] == best[i]).sum() == ties[i]:
                h[i, x[i] == best[i]] = w[k]
        return [g[:, None] * h.astype(x.dtype)]

    return Case(lambda x: (np.min if low else np.max)(x, axis=1), (x,), [ties[i] for i in kinks], gradient)


def pooled(rng: Rng, dtype: Any = np.float64) -> Case:
    """Max pooling of windows with equal cells."""
    x = rng.normal(size=(1, 1, 4, 4)).astype(dtype)
    x[..., :2, :2] = 4
    x[..., 2:, 2] = 5
    pool = tg.nn.MaxPool(2)

    def gradient(w: Any, g: Array, x: Array) -> Any:
        d = np.zeros_like(x)
        for k, (i, j) in enumerate(itertools.product((0, 1), (0, 1))):
            window = x[0, 0, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            h = (window == window.max()) * 1.0
            h /= h.sum()
            if k == 0 and (window == window[0, 0]).all():
                h[:] = w[0].reshape(2, 2)
            if k == 3 and window[0, 0] == window[1, 0] == window.max():
                h[:, 0] = w[1]
            d[0, 0, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2] = g[0, 0, i, j] * h
        return [d]

    return Case(pool, (x,), [4, 2], gradient)


def clipped(rng: Rng, dtype: Any = np.float64) -> Case:
    x = rng.uniform(-1, 2, (8,)).astype(dtype)
    x[:2], x[2:4] = 0, 1

    def gradient(w: Any, g: Array, x: Array) -> Any:
        s = ((x > 0) & (x < 1)) * 1.0
        for k in range(4):
            if x[k] in (0, 1):
                s[k] = of(w, k, (0, 1))
        return [g * s.astype(x.dtype)]

    return Case(lambda x: np.clip(x, 0, 1), (x,), [2] * 4, gradient)


def two_arguments(rng: Rng, dtype: Any = np.float64) -> Case:
    a, b = rng.normal(size=6).astype(dtype), rng.normal(size=6).astype(dtype)
    n = int(rng.integers(1, 5))
    b[:n] = a[:n]

    def gradient(w: Any, g: Array, a: Array, b: Array) -> Any:
        s = (a > b) * 1.0
        for k in range(n):
            if a[k] == b[k]:
                s[k] = of(w, k, (0, 1))
        s = s.astype(a.dtype)
        return g * s, g * (1 - s)

    return Case(np.maximum, (a, b), [2] * n, gradient)


def spread_out(rng: Rng, dtype: Any = np.float64) -> Case:
    """Cosines of a fan of angles stand for the round kink of a length at 0."""
    x = rng.normal(size=(3, 2)).astype(dtype)
    x[0] = 0
    fan = np.stack([np.cos(np.arange(16) * np.pi / 8), np.sin(np.arange(16) * np.pi / 8)])

    def gradient(w: Any, g: Array, x: Array) -> Any:
        length = np.sqrt((x * x).sum(axis=1, keepdims=True))
        d = np.where(length > 0, x / np.where(length > 0, length, 1), 0)
        if not x[0].any():
            d[0] = fan @ w[0]
        return [(g[:, None] * d).astype(x.dtype)]

    return Case(lambda x: np.linalg.norm(x, axis=1), (x,), [16], gradient)


def of_complex(rng: Rng, dtype: Any = np.float64) -> Case:
    z = (rng.normal(size=4) + 1j * rng.normal(size=4)).astype(np.complex128)
    z[0] = 0
    c = rng.normal(size=4) + 1j * rng.normal(size=4)
    fan = np.exp(1j * np.arange(16) * np.pi / 8)

    def gradient(w: Any, g: Array, z: Array) -> Any:
        d = np.where(z == 0, 0, z / np.where(z == 0, 1, np.abs(z)))
        if z[0] == 0:
            d[0] = fan @ w[0]
        return [g * (d + np.conj(c))]

    return Case(lambda z: np.abs(z) + np.real(c * z), (z,), [16], gradient)


def rectified_complex(rng: Rng, dtype: Any = np.float64) -> Case:
    z = rng.normal(size=5) + 1j * rng.normal(size=5)
    z[:2] = 1j * z[:2].imag
    return Case(lambda z: tg.relu(np.real(z)) + np.imag(z) ** 2, (z,), [2, 2],
                lambda w, g, z: [g * (at_zero(w, z.real, 0, 1) + 2j * z.imag)])  # fmt: skip


def saturated(rng: Rng, dtype: Any = np.float64) -> Case:
    x = (rng.normal(size=(2, 5)) * 10.0 ** rng.integers(-2, 3)).astype(dtype)
    x[0, 0] = 0.3
    which = rng.integers(2)
    f = (np.tanh, tg.sigmoid)[which]

    def gradient(w: Any, g: Array, x: Array) -> Any:
        return [g / np.cosh(x) ** 2 if which == 0 else g / (2 + np.exp(x) + np.exp(-x))]

    return Case(f, (x,), [], gradient)


def smooth(rng: Rng, dtype: Any = np.float64) -> Case:
    X, W = rng.normal(size=(5, 3)).astype(dtype), rng.normal(size=(3, 4)).astype(dtype)

    def gradient(w: Any, g: Array, X: Array, W: Array) -> Any:
        d = g * (1 - np.tanh(X @ W) ** 2)
        return d @ W.T, X.T @ d

    return Case(lambda X, W: np.tanh(X @ W), (X, W), [], gradient)


def ordered(rng: Rng, dtype: Any = np.float64) -> Case:
    """Sorted numbers, two of them equal: each may be the first."""
    x = rng.permutation(np.array([0.5, 0.5, -1.0, 2.0])).astype(dtype)

    def gradient(w: Any, g: Array, x: Array) -> Any:
        first = np.argsort(x, kind="stable")
        other = first.copy()
        pair = np.flatnonzero(np.diff(x[first]) == 0)
        if len(pair):
            other[[pair[0], pair[0] + 1]] = first[[pair[0] + 1, pair[0]]]
        one, two = np.zeros_like(x), np.zeros_like(x)
        one[first], two[other] = g, g
        return [of(w, 0, (one, two))]

    return Case(np.sort, (x,), [2], gradient)


def branching(rng: Rng, dtype: Any = np.float64) -> Case:
    """Python's if chooses another formula on each side."""

    def f(x: Array) -> Array:
        return np.sin(x) if x > 0 else 3 * x

    return Case(f, (np.zeros((), dtype),), [2],
                lambda w, g, x: [g * (of(w, 0, (3, 1)) if x == 0 else np.cos(x) if x > 0 else 3.0)])  # fmt: skip


def one_variable_twice(rng: Rng, dtype: Any = np.float64) -> Case:
    """Kinks that depend on each other: relu(x) - relu(-x) is x, which has no kink."""
    x = with_zeros(rng, (5,), 2, dtype)
    return Case(lambda x: 1.5 * tg.relu(x) - tg.relu(-x), (x,), [2] * int((x == 0).sum()),
                lambda w, g, x: [g * at_zero(w, x, 1, 1.5)])  # fmt: skip


def rounded(rng: Rng, dtype: Any = np.float64) -> Case:
    """Functions that jump at the point."""
    x = np.array([1.0, 2.0, 0.5, -0.3], dtype)
    return Case(lambda x: np.floor(x) * x + np.sign(x - 2), (x,), [], lambda w, g, x: [g * np.floor(x)])


FUNCTIONS = (
    rectifier, rectifier, summed, affine, deep, behind, tied_rows, tied_rows, highest, pooled, clipped, two_arguments,
    spread_out, of_complex, rectified_complex, saturated, smooth, ordered, branching, one_variable_twice, rounded,
)  # fmt: skip
ONLY64 = {of_complex, rectified_complex}


# -- Right and wrong


def row(arrays: Sequence[Array]) -> Array:
    parts = [np.asarray(a, complex).reshape(-1) for a in arrays]
    flat = np.concatenate(parts)
    return np.concatenate([flat.real, flat.imag])


def edges(slopes: Sequence[int], rng: Rng) -> Iterator[list[Array]]:
    """All combinations of one slope of each kink, or some of them."""
    eyes = [np.eye(n) for n in slopes]
    if np.prod([float(n) for n in slopes]) <= EDGES:
        yield from ([*choice] for choice in itertools.product(*eyes))
    else:
        for _ in range(EDGES):
            yield [e[rng.integers(len(e))] for e in eyes]


def random_weights(slopes: Sequence[int], rng: Rng) -> list[Array]:
    how = rng.integers(4)
    if how == 0:  # one slope of each
        return [np.eye(n)[rng.integers(n)] for n in slopes]
    if how == 1:  # the same share everywhere
        return [np.full(n, 1 / n) for n in slopes]
    return [rng.dirichlet(np.ones(n)) for n in slopes]


MISTAKES = ("0.5", "-1", "1.01", "2", "1.000001", "entry", "dropped", "transposed", "whole", "outside")
FACTORS = ("0.5", "-1", "1.01", "2", "1.000001")  # the last one is what float32 would lose, in float64


def wrong_weights(slopes: Sequence[int], how: str, rng: Rng) -> list[Array]:
    weights = random_weights(slopes, rng)
    if how == "whole":  # every tied cell the whole gradient
        return [np.ones(n) for n in slopes]
    if how == "outside":
        k = int(rng.integers(len(slopes)))
        edge = np.eye(slopes[k])[rng.integers(slopes[k])]
        weights[k] = edge + 0.05 * (edge - np.roll(edge, 1))
    return weights


def spoiled(grads: Sequence[Array], how: str, rng: Rng) -> list[Array]:
    new = [np.array(g) for g in grads]
    i = int(rng.integers(len(new)))
    if how in FACTORS:
        new[i] = new[i] * new[i].dtype.type(float(how))
    elif how == "entry":
        flat = new[i].reshape(-1)
        flat[int(np.argmax(np.abs(flat) * rng.random(flat.size)))] *= 1.001
    elif how == "dropped":
        flat = new[i].reshape(-1)
        flat[int(np.argmax(np.abs(flat) * rng.random(flat.size)))] = 0
    elif how == "transposed" and new[i].ndim == 2:
        new[i] = new[i].T.reshape(new[i].shape)
    return new


def outside(case: Case, g: Any, inputs: Sequence[Array], mine: Sequence[Array], rng: Rng) -> bool:
    """Whether a direction is known in which a gradient visibly leaves the set of right gradients."""
    single = any(np.asarray(x).dtype == np.float32 for x in inputs)
    m = row(mine)
    every = case.edges or edges(case.slopes, np.random.default_rng(0))
    points = np.stack([row(case.gradient(w, g, *inputs)) for w in every])
    size = np.abs(points).max()
    if not np.isfinite(m).all():
        return True
    low, high = points.min(axis=0), points.max(axis=0)
    seen = 1e-4 * size if single else 1e-9 * size
    if ((m < low - seen) | (m > high + seen)).any():
        # the fan of a round kink reaches less far than the circle
        slack = 0.02 * (high - low) if 16 in case.slopes else 0
        return bool(((m < low - seen - slack) | (m > high + seen + slack)).any())
    for _ in range(24):
        w = rng.normal(size=m.size) * (rng.random(m.size) < 0.5)
        w = m - points[rng.integers(len(points))] if rng.random() < 0.5 else w
        reach = points @ w
        slack = 0.02 * float(reach.max() - reach.min()) if 16 in case.slopes else 0.0
        if float(m @ w) > float(reach.max()) + slack + seen * np.abs(w).sum():
            return True
    return False


def function_case(seed: int, wrong: bool) -> tuple[str, bool | None, Any]:
    """Compare one gradient of a function; return its name, whether it is called right (None: unknown), the report."""
    rng = np.random.default_rng([seed, 1 + wrong])
    make = FUNCTIONS[int(rng.integers(len(FUNCTIONS)))]
    dtype = np.float32 if rng.random() < 0.25 and make not in ONLY64 else np.float64
    case = make(rng, dtype)
    how = "right"
    if wrong:
        how = MISTAKES[int(rng.integers(len(MISTAKES)))]
        if how in ("whole", "outside") and (not case.slopes or case.edges):
            how = "2"
    weights = wrong_weights(case.slopes, how, rng) if wrong else random_weights(case.slopes, rng)
    again = np.random.default_rng(seed).bit_generator.state
    known: list[bool] = []

    def manual(*inputs: Array, g: Any) -> Any:
        fresh = np.random.default_rng()
        fresh.bit_generator.state = again
        if case.wide is None:
            grads = case.gradient(weights, g, *inputs)
        else:  # a mean of gradients, since one of slopes would not be one
            means = np.random.default_rng(seed).dirichlet(np.ones(3))
            chosen = [case.wide[j] for j in np.random.default_rng(seed).integers(0, len(case.wide), 3)]
            several = [case.gradient(c, g, *inputs) for c in chosen]
            grads = [sum(m * part for m, part in zip(means, parts, strict=True))
                     for parts in zip(*several, strict=True)]  # fmt: skip
        mine = spoiled(grads, how, fresh)
        if not known:
            known.append(not wrong or outside(case, g, inputs, mine, fresh))
        return tuple(mine) if len(mine) > 1 else mine[0]

    with np.errstate(all="ignore"):
        report = compare_gradients(case.f, case.inputs, manual=manual, rng=seed)
    name = f"{make.__name__} {how} {np.dtype(dtype)}"
    # zeros cannot be told from zeros; nor is a backward compared that no probe could be made of
    return name, report.ok if known[0] and report.kinds != ("blind_test",) else None, report


# -- Layers


class AtKinks(Student):
    """A student's backward with slopes of its own at each kink of relu and at each perfect fit.

    It is the same for all rows, as it is for whoever computes it from z: rows of zeros are at one kink, not at several.
    """

    def __init__(self, seed: int, wrong: str = "", vertex: int = -1) -> None:
        super().__init__(0)
        self.seed, self.wrong, self.vertex = seed, wrong, vertex
        self.known: bool | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.rng = np.random.default_rng([self.seed, 1 + self.vertex])
        self.how = 3 if self.vertex >= 0 else self.rng.integers(1 + (self.wrong == "outside"), 3)
        loss, dW, db = super().__call__(*args, **kwargs)
        grads = spoiled([*dW, *db], self.wrong, self.rng)
        if self.known is None and self.vertex < 0:
            self.known = not self.wrong or self.left(grads, args, kwargs)
        return loss, grads[: self.K], grads[self.K :]

    def left(self, grads: list[Array], args: Any, kwargs: Any) -> bool:
        """Whether an entry is outside the range of its values for all choices of slopes at the kinks."""
        points = []
        for vertex in range(64):
            _, dW, db = AtKinks(self.seed, vertex=vertex)(*args, **kwargs)
            points.append(row([*dW, *db]))
        low, high, m = np.min(points, axis=0), np.max(points, axis=0), row(grads)
        seen = (1e-3 if grads[0].dtype == np.float32 else 1e-8) * np.abs(points).max() + (high - low)
        return bool(((m < low - seen) | (m > high + seen)).any())

    def kink(self, x: Array, low: float, high: float) -> Array:
        units = x.shape[1:]
        share = (self.rng.random(units), np.ones(units), np.full(units, 0.5), self.rng.integers(0, 2, units))[self.how]
        share = share + 1.1 * (self.wrong == "outside")
        return np.broadcast_to(low + (high - low) * share, x.shape).astype(x.dtype)

    def slope(self, k: int) -> Array:
        name, z = self.name(k), self.z[k]
        s = slope(name, z)
        return np.where(z == 0, self.kink(z, 0.0, 1.0), s) if name == "relu" else s

    def output(self, k: int) -> Array:
        g = loss_slope(self.solver.loss, self.a[k], self.y)
        if self.solver.loss == "mae":
            g = np.where(self.a[k] == self.y, self.kink(g, -1, 1) / self.N, g)
        return (g * self.slope(k)).astype(self.z[k].dtype)

    def hidden(self, k: int, delta: Array) -> Array:
        return (self.mask(k, delta @ self.W(k + 1)) * self.slope(k)).astype(self.z[k].dtype)


def layers_case(seed: int, wrong: bool) -> tuple[str, bool | None, Any]:
    """Compare one gradient of a network; return the same as `function_case`."""
    rng = np.random.default_rng([seed, 3 + wrong])
    widths = [int(n) for n in rng.integers(2, 6, int(rng.integers(3, 5)))]
    names = [("relu", "tanh", "relu", "sigmoid")[i] for i in rng.integers(0, 4, len(widths) - 2)] + ["linear"]
    names[0] = "relu"
    dtype = (np.float64, np.float64, np.float32)[rng.integers(3)]
    model = [Layer(n, m, f, rng=rng, dtype=dtype) for n, m, f in zip(widths, widths[1:], names, strict=False)]
    rows = int(rng.integers(2, 7))
    x = rng.normal(size=(rows, widths[0])) * (1.0, 30.0)[rng.integers(2) * rng.integers(2)]
    x[: int(rng.integers(1, rows))] = 0
    loss = ("mse", "mae")[rng.integers(2)]
    y = rng.normal(size=(rows, widths[-1]))
    if rng.random() < 0.5:
        y[0] = 0
    for layer in model:
        layer.b = rng.normal(size=layer.n_out) * (0.0 if rng.random() < 0.7 else 1.0)
    penalty = Regularization(("none", "l2")[rng.integers(2)], 0.1, 0.3, (0.0, 0.4)[rng.integers(2)])
    how = (*FACTORS, "entry", "dropped", "outside")[rng.integers(8)] if wrong else ""
    manual = AtKinks(seed, how)
    report = compare_gradients(model, x, y, solver=Solver(loss, regularization=penalty), manual=manual, rng=seed)
    return f"layers {how or 'right'} {np.dtype(dtype)}", report.ok if manual.known else None, report


def sweep(wrong: int, right: int, seed: int, show: bool = False) -> tuple[list[str], list[str], Counter[str]]:
    """Return the wrong ones that were called right, the right ones that raised an alarm, and how many of each kind."""
    passed, alarms, count = [], [], Counter[str]()
    for total, is_wrong, found in ((wrong, True, passed), (right, False, alarms)):
        done, k = 0, 0
        while done < total:
            k += 1
            ask = layers_case if k % 4 == 0 else function_case
            name, ok, report = ask(1_000_000 * seed + k, is_wrong)
            if ok is None:
                continue
            done += 1
            count[name] += 1
            if ok is is_wrong:
                found.append(f"{ask.__name__}({1_000_000 * seed + k}, {is_wrong})  {name}")
                if show:
                    sys.stdout.write(f"{found[-1]}\n{report}\n")
    return passed, alarms, count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wrong", type=int, default=500)
    parser.add_argument("--right", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="print the reports that say otherwise")
    options = parser.parse_args()
    passed, alarms, count = sweep(options.wrong, options.right, options.seed, options.show)
    said = (f"{sum(count.values())} gradients: {len(passed)} wrong ones called right, "
            f"{len(alarms)} right ones called wrong.")  # fmt: skip
    sys.stdout.write("\n".join([*passed, *alarms, said]) + "\n")
    return bool(passed or alarms)


if __name__ == "__main__":
    sys.exit(main())
