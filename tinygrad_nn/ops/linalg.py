"""Products of matrices."""

from __future__ import annotations

import numpy as np

from ..primitive import Array, declare


def _matmul_vjp_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    if y.ndim == 1:
        return g[..., None] * y  # (..., n)
    if x.ndim == 1:
        return (y @ g[..., None])[..., 0]  # (..., n)
    return g @ y.swapaxes(-1, -2)


def _matmul_vjp_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    if x.ndim == 1:
        return g * x if y.ndim == 1 else x[:, None] * g[..., None, :]  # (..., n, m)
    if y.ndim == 1:
        return (x.swapaxes(-1, -2) @ g[..., None])[..., 0]  # (..., n)
    return x.swapaxes(-1, -2) @ g


def _dot(x: Array, y: Array) -> Array:
    return np.dot(x, y)


def _dot_vjp_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    if x.ndim == 0 or y.ndim == 0:
        return g * y
    if y.ndim == 1:
        return g[..., None] * y  # (..., n)
    if y.ndim == 2:
        return g.dot(y.T)  # (..., n)
    columns = y.swapaxes(-1, -2).reshape(-1, y.shape[-2])  # (rest, n)
    return g.reshape(*x.shape[:-1], -1).dot(columns)  # (..., n)


def _dot_vjp_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    if x.ndim == 0 or y.ndim == 0:
        return g * x
    rows = x.reshape(-1, x.shape[-1])  # (batch, n)
    if y.ndim <= 2:
        return rows.T.dot(g.reshape(rows.shape[0], *y.shape[1:]))  # (n,) or (n, m)
    through = rows.T.dot(g.reshape(rows.shape[0], -1))  # (n, rest)
    return through.reshape(y.shape[-2], *y.shape[:-2], y.shape[-1]).transpose(*range(1, y.ndim - 1), 0, y.ndim - 1)


# fmt: off
matmul = declare(np.matmul, r"X \, Y",
    (_matmul_vjp_x, r"g \, Y^T"),
    (_matmul_vjp_y, r"X^T g"))

dot = declare(_dot, r"X \, Y",
    (_dot_vjp_x, r"g \, Y^T"),
    (_dot_vjp_y, r"X^T g"),
    numpy=np.dot)
