"""Compile random programs, call them with other values in other memory, and compare with the uncompiled programs.

    python -m tests.fuzz_compiled 1000 --seed 0 --backend numpy

prints how many were right, each one that was silently wrong, and why and how often others ran without compilation. A
program is a list of instructions; those that NumPy refuses for the given shapes are left out. A result may differ from
the function's by as much as the function's result changes when its arguments change in the last digits.
"""

from __future__ import annotations

import argparse
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import tinygrad_nn as tg
from tinygrad_nn.compiled import Compiled, compile
from tinygrad_nn.ops.convolution import conv
from tinygrad_nn.tree import flatten

LARGEST = 60  # entries of an array in a program
SHAPES: list[tuple[int, ...]] = [(), (1,), (4,), (2, 3), (3, 3), (3, 1), (2, 1, 3), (2, 2, 2)]
ROUNDINGS = 4096  # of the largest entry, or as many times what the function shows by itself


def _at(x: Any, k: int, how: str) -> Any:
    """Update some entries: of a Tensor by `at`, of an array in a copy."""
    where = (0, slice(None, None, 2), np.array([0, -1]))[k % 3]
    value = 0.5 * x[-1] if k % 3 == 0 else 0.25
    if isinstance(x, tg.Tensor):
        return getattr(x.at[where], how)(value)
    y = x.copy()
    if how == "set":
        y[where] = value
    else:
        getattr(np, how).at(y, where, value)
    return y


def _square(x: Any, n: int = 3) -> Any:
    """Return the entries of x as an n by n matrix, some of them repeated."""
    return np.tanh(x.reshape(-1)[np.arange(n * n) % x.size]).reshape(n, n)


def _regular(x: Any) -> Any:
    A = _square(x)
    return A @ A.T + np.eye(3, dtype=x.dtype)


def _image(x: Any) -> Any:
    return x.reshape(-1)[np.arange(32) % x.size].reshape(1, 2, 4, 4)


def _of(axis: int, x: Any) -> int:
    return axis % x.ndim


# Of one array x, and k, any number that is not negative. `ndim` says how many axes it needs.
ONE: dict[str, tuple[int, Callable[[Any, int], Any]]] = {
    "sin": (0, lambda x, k: np.sin(x)),
    "cos": (0, lambda x, k: np.cos(x * 0.5)),
    "tanh": (0, lambda x, k: np.tanh(x)),
    "exp": (0, lambda x, k: np.exp(-x * x)),
    "sqrt": (0, lambda x, k: np.sqrt(x * x + 0.5)),
    "log1p": (0, lambda x, k: np.log1p(x * x)),
    "expm1": (0, lambda x, k: np.expm1(-abs(x))),
    "reciprocal": (0, lambda x, k: 1 / (x * x + 1)),
    "square": (0, lambda x, k: np.tanh(x) ** 2),
    "power": (0, lambda x, k: (np.abs(x) + 0.5) ** (0.5 * (k % 4) - 0.5)),
    "negative": (0, lambda x, k: -x),
    "scaled": (0, lambda x, k: 0.5 * x + k),
    "less": (0, lambda x, k: x - 0.5 * x),
    "sign": (0, lambda x, k: np.sign(x) * 0.5),
    "floor": (0, lambda x, k: np.floor(3 * x) / 3),
    "remainder": (0, lambda x, k: x % 0.7),
    "clip": (0, lambda x, k: np.clip(x, -0.5, 0.6)),
    "relu": (0, lambda x, k: np.maximum(x, 0)),
    "nan_to_num": (0, lambda x, k: np.nan_to_num(np.where(x > 0.3, np.nan, x))),
    "single": (0, lambda x, k: x.astype(np.float32)),
    "double": (0, lambda x, k: x.astype(np.float64)),
    "copysign": (0, lambda x, k: np.copysign(1.0, x) * 0.3),
    "rint": (0, lambda x, k: np.rint(2 * x) * 0.25),
    "sinc": (0, lambda x, k: np.sinc(x)),
    "arctan2": (0, lambda x, k: np.arctan2(x, 1 + x * x)),
    "complex": (0, lambda x, k: np.abs(np.exp(1j * x) + x)),
    "modf": (0, lambda x, k: np.modf(x)[k % 2]),
    "reverse": (1, lambda x, k: x[..., ::-1]),
    "transpose": (0, lambda x, k: x.T),
    "swap": (1, lambda x, k: np.swapaxes(x, 0, _of(k, x))),
    "moved": (1, lambda x, k: np.moveaxis(x, _of(k, x), 0)),
    "flat": (0, lambda x, k: x.reshape(-1)),
    "ravel": (0, lambda x, k: np.ravel(x)),
    "column": (0, lambda x, k: x.reshape((-1, 1))),
    "row": (0, lambda x, k: x[None]),
    "F": (1, lambda x, k: x.reshape(-1, order="F")),
    "squeeze": (0, lambda x, k: np.squeeze(x)),
    "entry": (1, lambda x, k: x[k % len(x)]),
    "last": (1, lambda x, k: x[..., -1]),
    "one entry": (0, lambda x, k: x.reshape(-1)[k % x.size]),
    "slice": (1, lambda x, k: x[k % len(x) :]),
    "every second": (1, lambda x, k: x[::2]),
    "new axis": (1, lambda x, k: x[:, None]),
    "gather": (1, lambda x, k: x[np.array([0, k % len(x), 0, -1])]),
    "list": (1, lambda x, k: x[[0, -1]]),
    "mask": (1, lambda x, k: x[np.arange(len(x)) % 2 == 0]),
    "mixed": (2, lambda x, k: x[np.array([0, -1]), :, ...][:, ::-1]),
    "pick": (1, lambda x, k: x[..., np.arange(x.shape[-1])[:: 1 + k % 2], None]),
    "where": (0, lambda x, k: np.where(x > 0.1, x, np.sin(x))),
    "where number": (0, lambda x, k: np.where(x > x.mean(), x, 0)),
    "sum": (1, lambda x, k: np.sum(x, axis=_of(k, x)) * 0.3),
    "kept": (1, lambda x, k: x.sum(axis=-1, keepdims=True) * 0.3),
    "mean": (1, lambda x, k: x.mean(axis=_of(k, x))),
    "total": (0, lambda x, k: np.mean(x)),
    "prod": (1, lambda x, k: np.prod(np.tanh(x), axis=0)),
    "largest": (1, lambda x, k: np.max(x, axis=_of(k, x))),
    "smallest": (0, lambda x, k: np.min(x)),
    "var": (1, lambda x, k: np.var(x, axis=0)),
    "std": (1, lambda x, k: np.std(x + np.arange(x.shape[-1]), axis=-1)),
    "ptp": (1, lambda x, k: np.ptp(x, axis=0)),
    "median": (1, lambda x, k: np.median(x, axis=_of(k, x))),
    "quantile": (0, lambda x, k: np.quantile(x, 0.3)),
    "nansum": (1, lambda x, k: np.nansum(np.where(x > 1, np.nan, x), axis=0)),
    "average": (1, lambda x, k: np.average(x, axis=0, weights=np.arange(1.0, 1 + len(x)))),
    "norm": (0, lambda x, k: np.linalg.norm(x.reshape(-1), (None, 1, np.inf)[k % 3])),
    "logsumexp": (1, lambda x, k: np.logaddexp.reduce(x, axis=0)),
    "cumsum": (1, lambda x, k: np.cumsum(x, axis=_of(k, x)) * 0.2),
    "cumprod": (1, lambda x, k: np.cumprod(np.tanh(x), axis=-1)),
    "accumulate": (1, lambda x, k: np.maximum.accumulate(x, axis=0)),
    "powers": (1, lambda x, k: np.tanh(np.power.accumulate(np.tanh(x) ** 2 + 0.5, axis=0))),
    "diff": (1, lambda x, k: np.diff(np.concatenate([x, x], axis=0), axis=0)),
    "gradient": (1, lambda x, k: np.gradient(np.concatenate([x, x[::-1]]), axis=0)),
    "sort": (1, lambda x, k: np.sort(x, axis=-1)),
    "argsort": (1, lambda x, k: np.take_along_axis(x, np.argsort(x, axis=-1), axis=-1)),
    "argmax": (1, lambda x, k: np.take(x, np.argmax(x, axis=0).reshape(-1)[:2], axis=0)),
    "rank": (1, lambda x, k: np.argsort(x, axis=0) * 0.1 + x),
    "counted": (0, lambda x, k: np.count_nonzero(x > 0) * x * 0.1),
    "any": (0, lambda x, k: np.where(np.any(x > 1), x, -x)),
    "isfinite": (0, lambda x, k: np.isfinite(x) * x),
    "searched": (1, lambda x, k: np.searchsorted(np.array([-1.0, 0.0, 0.5]), x) * 0.2),
    "digitize": (1, lambda x, k: np.digitize(x, [-0.5, 0.5]) * x),
    "chosen": (0, lambda x, k: np.choose((x > 0).astype(int), [x, 2 * x])),
    "selected": (0, lambda x, k: np.select([x > 0.5, x < -0.5], [x, 0.5 * x], 0.1)),
    "interpolated": (0, lambda x, k: np.interp(x, [-1.0, 0.0, 2.0], [0.5, -0.5, 1.0])),
    "by index": (1, lambda x, k: x[(np.abs(x.reshape(-1)[:2]) * 7).astype(int) % len(x)]),
    "roll": (1, lambda x, k: np.roll(x, k, axis=0)),
    "repeat": (1, lambda x, k: np.repeat(x, 2, axis=0)),
    "tile": (0, lambda x, k: np.tile(x, 2)),
    "pad": (1, lambda x, k: np.pad(x, 1, mode=("constant", "edge", "wrap")[k % 3])),
    "flip": (1, lambda x, k: np.flip(x, 0)),
    "triangle": (2, lambda x, k: np.tril(x, k % 2)),
    "diagonal": (2, lambda x, k: np.diagonal(x, 0, -2, -1)),
    "diag": (1, lambda x, k: np.diag(x.reshape(-1)[:3])),
    "trace": (2, lambda x, k: np.trace(x)),
    "broadcast": (0, lambda x, k: np.broadcast_to(x, (2, *x.shape))),
    "split": (1, lambda x, k: np.array_split(x, 2)[0]),
    "unstacked": (1, lambda x, k: sum(row for row in x)),
    "windows": (1, lambda x, k: np.lib.stride_tricks.sliding_window_view(x.reshape(-1), min(2, x.size)).sum(axis=-1)),
    "set": (1, lambda x, k: _at(x, k, "set")),
    "add": (1, lambda x, k: _at(x, k, "add")),
    "multiply": (1, lambda x, k: _at(x, k, "multiply")),
    "entries stacked": (1, lambda x, k: np.stack([x[0], x[-1], x[k % len(x)]])),
    "determinant": (0, lambda x, k: np.linalg.det(_regular(x)) * 0.1),
    "inverse": (0, lambda x, k: np.linalg.inv(_regular(x))),
    "cholesky": (0, lambda x, k: np.linalg.cholesky(_regular(x))),
    "eigvalsh": (0, lambda x, k: np.linalg.eigvalsh(_regular(x)) * 0.2),
    "singular": (0, lambda x, k: np.linalg.svd(_square(x), compute_uv=False)),
    "by entries": (0, lambda x, k: (lambda A: A[0, 0] * A[1, 1] - A[0, 1] * A[1, 0])(_square(x, 2))),
    "matrix power": (0, lambda x, k: np.linalg.matrix_power(_square(x), k % 3)),
    "fft": (1, lambda x, k: np.abs(np.fft.fft(x)) * 0.2),
    "rfft": (1, lambda x, k: np.fft.irfft(np.fft.rfft(x, n=4), n=4)),
    "softmax": (1, lambda x, k: tg.softmax(x)),
    "sigmoid": (0, lambda x, k: tg.sigmoid(x)),
    "gelu": (0, lambda x, k: tg.gelu(x)),
    "branch": (0, lambda x, k: x if float(x.reshape(-1)[0]) > 0 else 0.5 * x),
    "positive entries": (1, lambda x, k: x[x > 0].sum()),
    "unique": (0, lambda x, k: np.unique(x)[0] * x),
    "eigvals": (0, lambda x, k: np.abs(np.linalg.eigvals(_square(x))).sum()),
    "rank of": (0, lambda x, k: np.linalg.matrix_rank(_square(x)) * 0.1 + x),
    "as list": (0, lambda x, k: x * len(np.atleast_1d(x))),
    "size": (0, lambda x, k: x / x.size),
}

# Of two arrays that broadcast, or else of their means.
TWO: dict[str, Callable[[Any, Any, int], Any]] = {
    "add": lambda x, y, k: 0.5 * (x + y),
    "subtract": lambda x, y, k: x - 0.5 * y,
    "multiply": lambda x, y, k: np.tanh(x * y),
    "divide": lambda x, y, k: x / (y * y + 1),
    "power": lambda x, y, k: (1.5 + np.tanh(x)) ** np.tanh(y),
    "maximum": lambda x, y, k: np.maximum(x, y),
    "minimum": lambda x, y, k: np.minimum(x, y),
    "hypot": lambda x, y, k: np.hypot(x, y + 0.1),
    "where": lambda x, y, k: np.where(x > y, x, 0.5 * y),
    "logaddexp": lambda x, y, k: np.logaddexp(x, y),
    "equal": lambda x, y, k: (x >= y) * x,
    "xor": lambda x, y, k: np.logical_xor(x > 0, y > 0) * 0.5,
    "stack": lambda x, y, k: np.stack(np.broadcast_arrays(x, y), axis=-1),
    "concatenate": lambda x, y, k: np.concatenate([x.reshape(-1), y.reshape(-1), x.reshape(-1)]),
    "outer": lambda x, y, k: np.outer(x, y),
    "matmul": lambda x, y, k: _square(x) @ _square(y).T,
    "dot": lambda x, y, k: np.dot(_square(x), _square(y)[0]),
    "vdot": lambda x, y, k: np.vdot(_square(x), _square(y).T[::-1]) * 0.1,
    "inner": lambda x, y, k: np.inner(_square(x), _square(y)[:2]) * 0.2,
    "tensordot": lambda x, y, k: np.tensordot(_square(x), _square(y), axes=2) * 0.1,
    "kron": lambda x, y, k: np.kron(_square(x, 2), _square(y, 2)),
    "einsum": lambda x, y, k: (
        np.einsum(("ij,jk->ik", "ij,ij->i", "ij,kj->ik", "ii,jk->j")[k % 4], _square(x), _square(y)) * 0.3
    ),
    "solve": lambda x, y, k: np.linalg.solve(_regular(x), _square(y)),
    "convolve": lambda x, y, k: np.convolve(x.reshape(-1), y.reshape(-1)) * 0.3,
    "cross": lambda x, y, k: np.cross(_square(x), _square(y)),
    "vecdot": lambda x, y, k: np.linalg.vecdot(_square(x), _square(y)) * 0.3,
    "convolution": lambda x, y, k: conv(_image(x), _image(y)[:, :, :2, :2], padding=(k % 2, 0)) * 0.2,
    "batched": lambda x, y, k: (_square(x)[None] @ np.stack([_square(y), _square(x)])).sum(axis=0) * 0.3,
    "of two shapes": lambda x, y, k: np.vdot(x.reshape(-1)[:1].reshape(1, 1), y.reshape(-1)[:1]),
}

# With whole numbers i, a mask m, and a number c, all of them arguments.
MORE: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "rows": lambda x, i, m, c: x[i % len(x)] if x.ndim else x,
    "taken": lambda x, i, m, c: np.take(x, i % x.size),
    "clipped": lambda x, i, m, c: np.take(x, i, mode="clip"),
    "along": lambda x, i, m, c: np.take_along_axis(_square(x), i[:3].reshape(3, 1) % 3, axis=1),
    "masked": lambda x, i, m, c: np.where(m[:3], _square(x), 0),
    "scaled": lambda x, i, m, c: c * x,
    "power": lambda x, i, m, c: (np.tanh(x) + 1.5) ** c,
    "number first": lambda x, i, m, c: (c + 1) * 2 - x,
    "of the mask": lambda x, i, m, c: x * m.sum() * 0.2,
    "one hot": lambda x, i, m, c: np.eye(4)[:, :3][:, 0] * m[0] + x.sum(),
    "embedding": lambda x, i, m, c: tg.ops.embedding.embedding(_square(x), i % 3),
    "number and index": lambda x, i, m, c: x * i[0] * 0.1,
    "added at": lambda x, i, m, c: _scattered(x, i),
}


def _scattered(x: Any, i: Any) -> Any:
    rows = _square(x)
    if isinstance(rows, tg.Tensor):
        return rows.at[i[:2] % 3].add(0.5)
    out = rows.copy()
    np.add.at(out, i[:2] % 3, 0.5)
    return out


@dataclass
class Sample:
    """A program, the shapes and dtypes of its arguments, and whether its gradient is asked for."""

    seed: int
    shapes: list[tuple[int, ...]]
    dtypes: list[Any]
    gradient: bool
    instructions: list[tuple[str, str, int, int, int]] = field(default_factory=list)

    def values(self, *args: Any) -> list[Any]:
        """Run the instructions on the arguments: arrays, whole numbers, a mask, a number."""
        *arrays, i, m, c = args
        pool = list(arrays)
        for table, name, a, b, k in self.instructions:
            x, y = pool[-1 - a % len(pool)], pool[-1 - b % len(pool)]
            pool.append(_do(table, name, x, y, k, i, m, c))
        return pool[len(arrays) :]

    def total(self, *args: Any) -> Any:
        """The sum of all results, with weights that no sum hides."""
        results = self.values(*args)
        return sum((np.cos(1.0 + n + np.arange(r.size)).reshape(r.shape) * r).sum() for n, r in enumerate(results))

    def __call__(self, *args: Any) -> Any:
        """The results, or the sum of them and its gradient."""
        if self.gradient:
            return tg.value_and_grad(self.total, argnums=tuple(range(len(self.shapes))))(*args)
        return self.values(*args)

    def __str__(self) -> str:
        return f"seed {self.seed}: " + " | ".join(f"{t}.{n} {a} {b} {k}" for t, n, a, b, k in self.instructions)


def _do(table: str, name: str, x: Any, y: Any, k: int, i: Any, m: Any, c: Any) -> Any:
    if table == "one":
        result = ONE[name][1](x, k)
    elif table == "more":
        result = MORE[name](x, i, m, c)
    else:
        try:
            np.broadcast_shapes(x.shape, y.shape)
        except ValueError:
            x, y = np.mean(x), np.mean(y) + x
        result = TWO[name](x, y, k)
    result = result if hasattr(result, "ndim") else np.asarray(result)
    if result.size > LARGEST:
        result = result.reshape(-1)[:: result.size // LARGEST + 1]
    return result.reshape(-1) if result.ndim > 4 else result


def sample(seed: int) -> Sample:
    """Return a random program all of whose instructions NumPy does."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 4))
    shapes = [SHAPES[rng.integers(len(SHAPES))] for _ in range(count)]
    dtypes = [(np.float64, np.float32)[int(rng.random() < 0.2)] for _ in range(count)]
    made = Sample(seed, shapes, dtypes, bool(rng.random() < 0.5))
    pool = list(arguments(made, 0))
    *pool, i, m, c = pool
    tables = {"one": list(ONE), "two": list(TWO), "more": list(MORE)}
    for _ in range(int(rng.integers(1, 14))):
        table = str(rng.choice(["one", "one", "one", "two", "two", "more"]))
        name = tables[table][rng.integers(len(tables[table]))]
        a, b, k = (int(n) for n in rng.integers(0, 9, 3))
        x, y = pool[-1 - a % len(pool)], pool[-1 - b % len(pool)]
        if table == "one" and x.ndim < ONE[name][0]:
            continue
        try:
            with np.errstate(all="ignore"):
                result = _do(table, name, x, y, k, i, m, c)
        except (ValueError, IndexError, TypeError, np.linalg.LinAlgError, AttributeError):
            continue
        if result.size and result.dtype.kind == "f" and np.isfinite(result).all() and np.abs(result).max() < 1e3:
            pool.append(result)
            made.instructions.append((table, name, a, b, k))
    return made


def arguments(program: Sample, call: int) -> list[Any]:
    """Return the arguments of a call: other values in each, and other memory."""
    rng = np.random.default_rng([program.seed, call])
    arrays = []
    for place, (shape, dtype) in enumerate(zip(program.shapes, program.dtypes, strict=True)):
        x = rng.uniform(-1.5, 1.5, shape).astype(dtype)
        arrays.append(_laid(x, (call + place) % 6, rng))
    if call == 3 and len(arrays) > 1:  # one array twice, or one a view of another
        for place in range(1, len(arrays)):
            if (arrays[place].shape, arrays[place].dtype) == (arrays[0].shape, arrays[0].dtype):
                arrays[place] = arrays[0][::-1] if arrays[0].ndim else arrays[0]
    numbers = rng.integers(0, 9, (3, 4))
    return [*arrays, numbers[call % 3], (rng.random((4, 2)) < 0.5)[:, call % 2], float(rng.uniform(0.5, 1.5))]


def _laid(x: Any, kind: int, rng: np.random.Generator) -> Any:
    """Return an array with another memory layout; kind 5 broadcasts it, which also changes its values."""
    if x.ndim == 0:
        return np.full(3, x)[1, ...] if kind % 2 else x
    if kind == 1:
        return np.stack([x, x])[1]
    if kind == 2:
        return np.repeat(x, 2, axis=-1)[..., ::2]
    if kind == 3:
        return x[::-1].copy()[::-1]
    if kind == 4:
        return np.asfortranarray(x)
    if kind == 5:
        return np.broadcast_to(x[:1], x.shape)
    return x


def nudged(args: list[Any], rng: np.random.Generator) -> list[Any]:
    """Return arguments that differ in the last digits."""
    return [
        (x * (1 + 4 * np.finfo(x.dtype).eps * rng.choice([-1.0, 1.0], x.shape))).astype(x.dtype)
        if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
        for x in args
    ]  # fmt: skip


def same(found: Any, wanted: Any, again: Callable[[], Any]) -> bool:
    """Tell whether two results are the same but for rounding."""
    left, right = (
        [np.asarray(getattr(x, "data", x) if isinstance(x, tg.Tensor) else x) for x in flatten(r)[0]]
        for r in (found, wanted)
    )
    if [(a.dtype, a.shape) for a in left] != [(b.dtype, b.shape) for b in right]:
        return False
    eps = max(np.finfo(b.dtype).eps for b in right if b.dtype.kind in "fc") if right else 0
    slack = [np.zeros(b.shape) for b in right]
    for _ in range(12):
        if all(_close(a, b, s, eps) for a, b, s in zip(left, right, slack, strict=True)):
            return True
        for s, c, b in zip(slack, flatten(again())[0], right, strict=True):
            c = np.asarray(c.data if isinstance(c, tg.Tensor) else c)
            np.maximum(
                s,
                np.where(
                    np.isfinite(b) & np.isfinite(c),
                    np.abs(c - b),
                    0 if c.shape != b.shape else np.where(_equal(c, b), 0, np.inf),
                ),
                out=s,
            )
    return False


def _equal(a: Any, b: Any) -> Any:
    return (a == b) | ((a != a) & (b != b))


def _close(a: Any, b: Any, slack: Any, eps: float) -> bool:
    with np.errstate(all="ignore"):
        size = np.abs(b[np.isfinite(b)]).max(initial=1) if b.dtype.kind in "fc" else 0  # what is between is of size 1
        good = _equal(a, b) | (slack == np.inf)
        if b.dtype.kind in "fc":
            good = good | (np.isfinite(b) & (np.abs(a - b) <= ROUNDINGS * (eps * size + slack.max(initial=0))))
    return bool(np.all(good))


@dataclass
class Outcome:
    """The result of trying a program: whether each call was right, and why it ran without compilation, if it did."""

    program: Sample
    right: bool
    reason: str | None


def tried(program: Sample, backend: str) -> Outcome | None:
    """Compile a program and call it four times; None if the program itself raises."""
    f: Compiled = compile(program, backend=backend)
    right, rng = True, np.random.default_rng(program.seed)
    with warnings.catch_warnings(record=True) as told, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        for call in range(4):
            args = arguments(program, call)
            try:
                wanted = program(*args)
            except Exception:
                return None
            found = f(*args)
            right = right and same(found, wanted, lambda args=args: program(*nudged(args, rng)))
    reasons = [str(t.message) for t in told if "without compilation" in str(t.message)]
    return Outcome(program, right, re.sub(r"^compiled .*?:\d+: ", "", reasons[0]) if reasons else None)


def outcomes(count: int, seed: int, backend: str) -> Iterator[Outcome]:
    """Try so many programs that run."""
    done = 0
    while done < count:
        program, seed = sample(seed), seed + 1
        if program.instructions and (outcome := tried(program, backend)) is not None:
            done += 1
            yield outcome


def main(arguments: list[str] | None = None) -> int:
    """Run the tool; return how many programs were wrong, or showed a defect."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--show", help="print the programs with this in their reason")
    options = parser.parse_args(arguments)
    wrong, reasons = 0, Counter[str]()
    for outcome in outcomes(options.count, options.seed * 1_000_003, options.backend):
        bad = not outcome.right or "defect" in (outcome.reason or "")
        if bad or (options.show and options.show in (outcome.reason or "")):
            print(f"{'WRONG' if not outcome.right else outcome.reason} {outcome.program}", flush=True)
        wrong += bad
        reasons[outcome.reason or "compiled"] += 1
    for reason, times in reasons.most_common():
        print(f"{times:>6} {reason}")
    print(f"{options.count} programs, {wrong} wrong or with a defect")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
