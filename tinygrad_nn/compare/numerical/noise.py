"""Bounds of the rounding error of a right gradient, for each entry, in units of the machine epsilon.

A gradient is a sum of products. Its bound is the same sum over absolute values, in which each factor has the error it
may have: the rounding error that the forward pass left in z, and the digits that a formula such as 1 - a², or p - y,
loses if two numbers nearly cancel.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ... import manual as by_hand
from ..experiment import Experiment
from .activations import ACTIVATIONS

Array = np.ndarray[Any, Any]

SAFETY = 8.0  # factor on the bounds, which count one rounding for each number, while several operations compute it


class Noise(NamedTuple):
    """Error bounds for each layer, in machine epsilons: of z, a, dW, db and delta."""

    z: list[Array]
    a: list[Array]
    dW: list[Array]
    db: list[Array]
    delta: list[Array]


def bounds(case: Experiment) -> Noise:
    """Return the error bounds of all arrays of an experiment."""
    last = len(case.W) - 1
    z, a = [], []
    error, into = np.zeros_like(case.x), case.x
    for k in range(last + 1):
        z.append((np.abs(into) + error) @ np.abs(case.W[k]).T + np.abs(case.b[k]))
        spread = z[k].max(axis=-1, keepdims=True) if case.names[k] == "softmax" else z[k]
        error = _slope(case, k) * spread + np.abs(case.a[k])
        into = case.a[k]
        a.append(error)
    delta: list[Array] = [np.zeros(0)] * (last + 1)
    delta[last] = _output(case, z[last], a[last])
    for k in range(last - 1, -1, -1):
        g = np.abs(case.right.delta[k + 1]) @ np.abs(case.W[k + 1])
        n = delta[k + 1] @ np.abs(case.W[k + 1]) + g
        m = case.masks[k]
        if m is not None:
            n, g = m * n, m * g
        delta[k] = _carry_back(case, k, n, g, z[k])
    dW, db = [], []
    for k in range(last + 1):
        size = np.abs(case.right.delta[k])
        n = delta[k] + size
        dW.append(n.T @ np.abs(case.into(k)) + (size.T @ a[k - 1] if k else 0) + np.abs(case.penalty(k)))
        db.append(n.sum(axis=0))
    # an entry that is smaller than an epsilon times the largest may have underflowed on the way
    floor = float(np.finfo(case.dtype).eps) * max(float(n.max(initial=0)) for n in (*dW, *db, *delta))
    dW, db, delta = ([n + floor for n in part] for part in (dW, db, delta))
    return Noise(z, a, dW, db, delta)


def has_float32_values(array: Array) -> bool:
    """Tell whether every number of an array is a float32 number, as it is if the array was computed in float32."""
    with np.errstate(over="ignore"):
        return bool((array == array.astype(np.complex64 if array.dtype.kind == "c" else np.float32)).all())


def _slope(case: Experiment, k: int) -> Any:
    """Return a bound of the slope of the output of layer k, after its mask, in z."""
    m, name, f = case.masks[k], case.names[k], case.f[k]
    slope = f if name == "softmax" else np.abs(by_hand.activation(name).vjp(np.ones_like(f), case.z[k], f))
    return slope if m is None else m * slope


def _carry_back(case: Experiment, k: int, n: Array, g: Array, z: Array) -> Any:
    """Carry an error bound `n` back through the activation of layer k; `g` is the absolute gradient that arrives."""
    name, f = case.names[k], case.f[k]
    if name == "softmax":
        wide = 1 + z.max(axis=-1, keepdims=True)
        return f * (n + (f * n).sum(axis=-1, keepdims=True)) + f * (g + (f * g).sum(axis=-1, keepdims=True)) * wide
    slope = np.abs(by_hand.activation(name).vjp(np.ones_like(f), case.z[k], f))
    if name in ("sigmoid", "tanh"):
        return slope * (n + g * (1 + 2 * z)) + g  # the last term: the digits that 1 - a² may lose
    if name.partition("(")[0] in ACTIVATIONS:
        return slope * n + g * (1 + z * _bend(case, k))  # the slope may be a difference of terms that nearly cancel
    return slope * (n + g)


def _bend(case: Experiment, k: int) -> Any:
    """Return about how fast the slope of an activation changes with z, by differences to both sides.

    The smaller of the two differences is taken, so that a kink on one side does not count.
    """
    vjp, z, ones = by_hand.activation(case.names[k]).vjp, case.z[k].astype(float), np.ones_like(case.z[k])
    f, h = by_hand.activation(case.names[k]).f, 1e-4
    low, at_point, high = (vjp(ones, at, f(at)) for at in (z - h, z, z + h))
    return np.minimum(np.abs(high - at_point), np.abs(at_point - low)) / h


def _output(case: Experiment, z: Array, error: Array) -> Any:
    """Return the error bound of the delta of the output layer; `z` and `error` bound its z and the prediction."""
    loss, name, a, y = case.solver.loss, case.names[-1], case.a[-1], case.y
    rows, last = len(y), len(case.W) - 1
    if (loss, name) in by_hand.FUSED:
        wide = 1 + 2 * (z.max(axis=-1, keepdims=True) if name == "softmax" else z)
        if (loss, name) == ("binarycrossentropy", "softmax"):
            label_sum = (np.abs(y) + np.abs(1 - y)).sum(axis=-1, keepdims=True)
            return np.broadcast_to(label_sum / rows * wide, a.shape)
        total = np.abs(y).sum(axis=-1, keepdims=True) if name == "softmax" else 1
        bound: Array = (a * total + np.abs(y)) / rows + np.abs(case.right.delta[-1]) * wide + a * (1 - a) * wide / rows
        return bound
    g = np.abs(by_hand.LOSSES[loss].gradient(a, y))
    reach = error + np.abs(a) + np.abs(y)  # a bound of the error of a - y
    if loss == "mse":
        n = g + 2 * reach / rows
    elif loss == "rmse":
        value = float(by_hand.LOSSES[loss].value(a, y)) or 1.0
        n = g * (2 + float(reach.max()) / value) + reach / rows / value
    elif loss == "mae":
        n = g
    else:  # crossentropy, whose gradient has the quotients y/a and (1 - y)/(1 - a)
        with np.errstate(all="ignore"):
            n = g * (1 + error / np.maximum(np.abs(a), 1e-300) + (error + 1) / np.maximum(np.abs(1 - a), 1e-300))
    return _carry_back(case, last, n, g, z)
