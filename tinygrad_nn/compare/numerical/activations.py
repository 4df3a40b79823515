"""A third implementation of activations, for real numbers and for complex numbers with a tiny imaginary part."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_erfc = np.frompyfunc(math.erfc, 1, 1)
ROOT = math.sqrt(2 / math.pi)


def sigmoid(z: Array) -> Any:
    """Return 1/(1 + e^-z), by the formula that does not overflow for the sign of the real part."""
    right = z.real >= 0
    e = np.exp(np.where(right, -z, z))
    return np.where(right, 1, e) / (1 + e)


def softplus(z: Array) -> Any:
    """Return ln(1 + e^z), by the formula that does not overflow for the sign of the real part."""
    right = z.real > 0
    return np.where(right, z, 0) + np.log1p(np.exp(np.where(right, -z, z)))


def _elu(z: Array, alpha: float = 1.0) -> Any:
    right = z.real > 0
    return np.where(right, z, alpha * np.expm1(np.where(right, 0, z)))


def _gelu(z: Array) -> Any:
    """Return z Φ(z), where Φ is linearized along the imaginary axis, which is exact for a tiny imaginary part."""
    below: Any = 0.5 * np.asarray(_erfc(-z.real / math.sqrt(2))).astype(float)
    if np.iscomplexobj(z):
        below = below + 1j * z.imag * (ROOT / 2) * np.exp(-z.real * z.real / 2)
    return z * below


def _clip(z: Array, low: float = -1.0, high: float = 1.0) -> Any:
    return np.where(z.real <= low, low, np.where(z.real >= high, high, z))


ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "elu":          _elu,
    "selu":         lambda z: 1.0507009873554805 * _elu(z, 1.6732632423543772),
    "celu":         lambda z, alpha=1.0: alpha * _elu(z / alpha),
    "gelu":         _gelu,
    "gelu(tanh)":   lambda z: z * sigmoid(2 * ROOT * (z + 0.044715 * z * z * z)),
    "silu":         lambda z: z * sigmoid(z),
    "mish":         lambda z: z * np.tanh(softplus(z)),
    "softplus":     lambda z, beta=1.0: softplus(beta * z) / beta,
    "softsign":     lambda z: z / (1 + np.where(z.real < 0, -z, z)),
    "hard_tanh":    _clip,
    "hard_sigmoid": lambda z: (_clip(z, -3, 3) + 3) / 6,
    "hard_swish":   lambda z: np.where(z.real >= 3, z, z * (_clip(z, -3, 3) + 3) / 6),
}  # fmt: skip


def parse_parameters(name: str) -> list[float]:
    """Return the parameters in the brackets of the name of an activation."""
    inside = name.partition("(")[2].rstrip(")")
    return [float(number) for number in inside.split(",")] if inside and not name.startswith("gelu") else []


def kinks(name: str) -> list[float]:
    """Return the values of z at which the slope of an activation jumps."""
    head = name.partition("(")[0]
    if head in ("relu", "leaky_relu", "selu") or (head == "elu" and parse_parameters(name) not in ([], [1.0])):
        return [0.0]
    if head == "hard_tanh":
        return parse_parameters(name) or [-1.0, 1.0]
    return [-3.0, 3.0] if head in ("hard_sigmoid", "hard_swish") else []
