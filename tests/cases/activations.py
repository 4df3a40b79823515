"""Rows for activations, with references straight from their definitions."""

import math

import numpy as np

import tinygrad_nn as tg

from .case import Case

erf = np.vectorize(math.erf, otypes=[float])


def _softplus(x):
    return np.log(1 + np.exp(x))


def _elu(x, alpha, rate=1.0):
    return np.maximum(x, 0) + np.minimum(alpha * (np.exp(rate * x) - 1), 0)


def _exact_gelu(x):
    return (x * (1 + erf(x / 2**0.5)) / 2).astype(x.dtype)


def _tanh_gelu(x):
    return x * (1 + np.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3))) / 2


def _hard_sigmoid(x):
    return np.clip(x / 6 + 0.5, 0, 1)


def _glu(x, axis):
    a, b = np.split(x, 2, axis)
    return a / (1 + np.exp(-b))


def _activations():
    for shapes in (((3, 4), ()), ((3, 4), (4,)), ((2, 3, 2, 2), (3, 1, 1)), ((3, 4), (3, 4))):
        yield Case(
            "prelu", lambda x, a: tg.prelu(x, a), shapes, ((-2.0, 2.0), (0.1, 0.9)), distinct=True,
            reference=lambda x, a: np.maximum(x, 0) + a * np.minimum(x, 0),
        )  # fmt: skip
    for alpha in (1.0, 0.4):
        note = f"alpha {alpha}"
        yield Case(
            "elu", lambda x, a=alpha: tg.elu(x, alpha=a), ((3, 4),), distinct=True, note=note,
            reference=lambda x, a=alpha: _elu(x, a),
        )  # fmt: skip
        yield Case(
            "celu", lambda x, a=alpha: tg.celu(x, alpha=a), ((3, 4),), distinct=True, note=note,
            reference=lambda x, a=alpha: _elu(x, a, 1 / a),
        )  # fmt: skip
    yield Case(
        "selu", lambda x: tg.selu(x), ((3, 4),), distinct=True,
        reference=lambda x: 1.0507009873554804934 * _elu(x, 1.6732632423543772848),
    )  # fmt: skip
    yield Case("gelu", lambda x: tg.gelu(x), ((3, 4),), (-3.0, 3.0), reference=_exact_gelu, order=4)
    yield Case(
        "gelu", lambda x: tg.gelu(x, approximate="tanh"), ((3, 4),), (-3.0, 3.0), order=3, note="tanh",
        reference=_tanh_gelu,
    )  # fmt: skip
    yield Case("silu", lambda x: tg.silu(x), ((3, 4),), reference=lambda x: x / (1 + np.exp(-x)), order=4)
    yield Case("mish", lambda x: tg.mish(x), ((3, 4),), reference=lambda x: x * np.tanh(_softplus(x)), order=3)
    yield Case("softplus", lambda x: tg.softplus(x, beta=2.5), ((3, 4),), note="beta 2.5",
               reference=lambda x: _softplus(2.5 * x) / 2.5)  # fmt: skip
    yield Case("softsign", lambda x: tg.softsign(x), ((3, 4),), distinct=True, reference=lambda x: x / (1 + abs(x)))
    yield Case("hard_tanh", lambda x: tg.hard_tanh(x), ((3, 4),), distinct=True,
               reference=lambda x: np.clip(x, -1, 1))  # fmt: skip
    yield Case("hard_tanh", lambda x: tg.hard_tanh(x, low=-0.3, high=1.3), ((3, 4),), distinct=True, note="bounds",
               reference=lambda x: np.clip(x, -0.3, 1.3))  # fmt: skip
    wide = (-5.0, 5.0)
    yield Case("hard_sigmoid", lambda x: tg.hard_sigmoid(x), ((3, 4),), wide, distinct=True, reference=_hard_sigmoid)
    yield Case("hard_swish", lambda x: tg.hard_swish(x), ((3, 4),), wide, distinct=True,
               reference=lambda x: x * _hard_sigmoid(x))  # fmt: skip
    for axis, shape in ((-1, (3, 4)), (0, (4, 3)), (1, (2, 6, 2))):
        yield Case(
            "glu", lambda x, a=axis: tg.glu(x, axis=a), (shape,), reference=lambda x, a=axis: _glu(x, a), order=3,
            note=f"axis {axis}",
        )  # fmt: skip


CASES = [*_activations()]
