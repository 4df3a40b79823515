"""Primitives of neural networks: activations, the affine map, cross-entropies from logits."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from ..primitive import SHORT, Array, Primitive, declare
from .reduce import expand

ZERO = np.zeros(())  # a float64 array, so that NumPy need not convert the number 0 in each call


# fmt: off
def _relu(x: Array) -> Array:
    """Return max(x, 0); the slope at 0 is 0."""
    return np.maximum(x, ZERO if type(x) is np.ndarray and x.dtype is ZERO.dtype else 0)

relu = declare(_relu, r"\max(x, 0)",
    (lambda g, out, x: g * np.sign(out),                             r"g \, [x > 0]"),
    kinks="at 0 the slope is 0", entrywise=True)


def _leaky_relu(x: Array, alpha: float = 0.01) -> Array:
    """Return x where x > 0 and alpha x elsewhere; the slope at 0 is alpha."""
    return np.where(x > 0, x, alpha * x)

leaky_relu = declare(_leaky_relu, r"\max(x, 0) + \alpha \min(x, 0)",
    (lambda g, out, x, alpha=0.01: np.where(x > 0, g, alpha * g),    r"g \, ([x > 0] + \alpha [x \le 0])"),
    kinks="at 0 the slope is alpha", entrywise=True)


def _sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)), accurate in both tails."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)

sigmoid: Primitive = declare(_sigmoid, r"\sigma(x) = \frac{1}{1 + e^{-x}}",
    (lambda g, out, x: g * out * sigmoid(-x),                        r"g \, out \, (1 - out)"), entrywise=True)


def _softmax(x: Array, axis: Any = -1) -> Array:
    """Return exp(x) / sum(exp(x)) along an axis, without overflow: the largest entry is subtracted first."""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    e /= e.sum(axis=axis, keepdims=True)
    return e


def _softmax_vjp(g: Array, out: Array, x: Array, axis: Any = -1) -> Array:
    """Return s (g - Σ g s). Adding a constant to g does not change it, so g is first shifted to be 0 at the likeliest
    entry: then nothing cancels if that entry has nearly all of the probability."""
    likeliest = np.where(out == out.max(axis=axis, keepdims=True), g, 0)
    g = g - likeliest.sum(axis=axis, keepdims=True)
    return out * (g - (g * out).sum(axis=axis, keepdims=True))

softmax = declare(_softmax, r"s = \frac{e^{x}}{\sum_j e^{x_j}}",
    (_softmax_vjp,                                                   r"s \odot (g - \textstyle\sum_j g_j s_j)"))


def _finite(x: Array) -> Array:
    """Return x with 0 in place of infinities, for use as the shift of an exponent; NaN stays NaN."""
    return np.where(np.isinf(x), 0, x)


def _logsumexp(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """Return ln(sum(exp(x))) along axes without overflow; if all entries are -inf it is -inf, with gradient 0."""
    shift = _finite(x.max(axis=axis, keepdims=True))
    with np.errstate(divide="ignore"):
        out = np.log(np.exp(x - shift).sum(axis=axis, keepdims=True)) + shift
    return out if keepdims else out.reshape(()) if axis is None else out.squeeze(axis)


def _logsumexp_vjp(g: Array, out: Array, x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    below = x - expand(_finite(out), x, axis)
    infinite = expand(out == np.inf, x, axis)  # then the entries that are inf share the gradient
    share = np.maximum((x == np.inf).sum(axis=axis, keepdims=keepdims), 1).astype(g.dtype)
    return expand(g / share, x, axis) * np.exp(np.where(infinite, np.where(x == np.inf, 0, -np.inf), below))

logsumexp = declare(_logsumexp, r"\ln \sum_j e^{x_j}",
    (_logsumexp_vjp,                                                 r"g \operatorname{softmax}(x)"),
    kinks="if every x is -inf the slope is 0; entries that are inf share evenly")


def _log_softmax(x: Array, axis: Any = -1) -> Array:
    """Return ln(softmax(x)) along an axis without overflow or cancellation."""
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))

log_softmax = declare(_log_softmax, r"x - \ln \sum_j e^{x_j}",
    (lambda g, out, x, axis=-1: g - np.exp(out) * g.sum(axis=axis, keepdims=True),
                                                             r"g - \operatorname{softmax}(x) \textstyle\sum_j g_j"))


def _affine(x: Array, W: Array, b: Array) -> Array:
    """Return x Wᵀ + b: rows of x are samples, rows of W are units.

    Args:
        x: inputs, (..., n_in).
        W: weights, (n_out, n_in).
        b: biases, (n_out,).

    Returns:
        (..., n_out).

    Raises:
        ValueError: the last axis of x is not n_in.
    """
    try:  # catching the error costs nothing if the shapes fit, unlike checking them first
        out = x.dot(W.T) if x.ndim == 2 else _times(x, W.T)
    except (ValueError, IndexError):
        for array in (x, W):
            if array.dtype.kind not in "iubfc":
                raise TypeError(f"affine takes numbers; it got an array of dtype {array.dtype}.") from None
        raise ValueError(
            f"affine needs as many columns in x as W has: x has shape {x.shape}, W has shape {W.shape} (n_out, n_in)."
        ) from None
    out += b
    return out


def _times(x: Array, M: Array) -> Array:
    """Return x @ M as a single matrix product; for x with 3 or more axes, np.matmul would run one per matrix in x."""
    if 0 < x.ndim < 3:
        return x.dot(M)  # half a microsecond faster than @ for small matrices
    return _rows(x).dot(M).reshape(*x.shape[:-1], M.shape[1])


def _rows(a: Array) -> Array:
    """Return an array reshaped to a matrix: all axes but the last are merged into its rows."""
    return a.reshape(-1, a.shape[-1])

affine = declare(_affine, r"x \, W^T + b",
    (lambda g, out, x, W, b: g.dot(W) if g.ndim == 2 else _times(g, W),  r"g \, W"),
    (lambda g, out, x, W, b: g.T.dot(x) if g.ndim == 2 else _rows(g).T.dot(_rows(x)),  r"g^T x"),
    (lambda g, out, x, W, b: np.add.reduce(g if g.ndim == 2 else _rows(g), axis=0),
                                                                     r"\textstyle\sum_{\text{rows}} g"))


def _shape_error(name: str, z: Array, y: Array) -> ValueError:
    return ValueError(
        f"{name} needs logits and targets of the same shape; z has {z.shape}, y has {y.shape}. "
        "Class numbers become rows of targets with tinygrad_nn.data.one_hot(labels)."
    )


@cache
def _ones(n: int, kind: str) -> Array | None:
    """Return a matrix of ones: a product with it sums rows of n entries. Return None if BLAS rounds differently."""
    ones, rows = np.ones((n, n), kind), np.random.default_rng(0).random((64, n)).astype(kind)
    sums = np.add.reduce(rows, axis=-1, keepdims=True)
    return ones if all((rows[:m].dot(ones) == sums[:m]).all() for m in range(2, 65)) else None


def _row_sums(e: Array) -> Array:
    """Return the sum of each row in an array that broadcasts to e: one column, or for short rows as many as e has."""
    ones = None
    if type(e) is np.ndarray and len(shape := e.shape) == 2 and shape[1] < SHORT and shape[0] > 1:  # one is no matrix
        ones = _ones(shape[1], kind) if (kind := e.dtype.char) in "fd" else None
    if ones is None:
        return np.add.reduce(e, axis=-1, keepdims=True)
    return e.dot(ones)  # a third of the time, and the division that follows need not broadcast along short rows


def _row_count(z: Array) -> float:
    """Return the number of rows, as a float since NumPy divides by those faster; a vector counts as a single row."""
    return float(math.prod(z.shape[:-1]))


def _softmax_crossentropy(z: Array, y: Array, normalized: bool = False) -> Any:
    """Return the mean over rows of -Σ y ln softmax(z), finite for every finite z.

    Args:
        z: logits, (batch, classes).
        y: target probabilities, (batch, classes); rows need not sum to one.
        normalized: a promise that rows of y sum to one, which saves a reduction in the backward pass.

    Returns:
        A 0-d array.

    Raises:
        ValueError: the shapes differ.
    """
    if z.shape != y.shape:
        raise _shape_error("softmax_crossentropy", z, y)
    shifted = z - np.maximum.reduce(z, axis=-1, keepdims=True)
    e = np.exp(shifted)
    total = _row_sums(e)
    e /= total
    shifted -= np.log(total)  # ln softmax(z)
    return np.vdot(y, shifted) / -(z.size / z.shape[-1]), {"p": e}

softmax_crossentropy = declare(_softmax_crossentropy, r"-\frac{1}{N} \sum y \ln \operatorname{softmax}(z)",
    (lambda g, out, z, y, p, normalized=False:
        ((p if normalized else p * y.sum(axis=-1, keepdims=True)) - y) * g / _row_count(z),
     r"\frac{g}{N} (\operatorname{softmax}(z) \textstyle\sum y - y)"),
    (lambda g, out, z, y, p, normalized=False: log_softmax(z) * (-g / _row_count(z)),
     r"-\frac{g}{N} \ln \operatorname{softmax}(z)"),
    saves={"p": lambda z, y, normalized=False: softmax(z)})


def _sigmoid_crossentropy(z: Array, y: Array) -> Array:
    """Return the mean over rows of -Σ (y ln σ(z) + (1 - y) ln(1 - σ(z))), finite for every finite z.

    Args:
        z: logits, (batch, n_out).
        y: target probabilities, (batch, n_out).

    Returns:
        A 0-d array.

    Raises:
        ValueError: the shapes differ.
    """
    if z.shape != y.shape:
        raise _shape_error("sigmoid_crossentropy", z, y)
    return (np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))).sum() / _row_count(z)

sigmoid_crossentropy = declare(_sigmoid_crossentropy,
    r"-\frac{1}{N} \sum \left( y \ln \sigma(z) + (1 - y) \ln(1 - \sigma(z)) \right)",
    (lambda g, out, z, y: (sigmoid(z) - y) * (g / _row_count(z)),        r"\frac{g}{N} (\sigma(z) - y)"),
    (lambda g, out, z, y: z * (-g / _row_count(z)),                      r"-\frac{g}{N} z"))
# fmt: on
