"""Primitives that move entries without changing them: views, joins, gathering and scattering."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitive import OVERRIDES, REGISTRY, Array, declare


def _is_basic(index: Any) -> bool:
    """Tell whether an index selects by position and slice alone, so that no entry is selected twice."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is Ellipsis or isinstance(part, (int, np.integer, slice)) for part in parts)


def _reshape(x: Array, shape: Any, order: str = "C") -> Array:
    return x.reshape(shape, order=order)


def _transpose(x: Array, axes: Any = None) -> Array:
    return x.transpose(axes)


def _swapaxes(x: Array, axis1: int, axis2: int) -> Array:
    return x.swapaxes(axis1, axis2)


def _inverse(axes: Any, ndim: int) -> Any:
    """Return the permutation that undoes a transposition."""
    return None if axes is None else tuple(int(a) for a in np.argsort([a % ndim for a in axes]))


def _getitem(x: Array, index: Any) -> Array:
    return x[index]


def _put(x: Array, index: Any, shape: tuple[int, ...]) -> Array:
    out = np.zeros(shape, dtype=x.dtype)
    if _is_basic(index):
        out[index] = x
    else:
        np.add.at(out, index, x)
    return out


def _at_add(x: Array, y: Array, index: Any) -> Array:
    out = x.copy()
    np.add.at(out, index, y)
    return out


def _at_set(x: Array, y: Array, index: Any) -> Array:
    out = x.copy()
    out[index] = y
    return out


def _last_written(x: Array, index: Any) -> Any:
    """Tell which entries of x[index] survive when all are written to x: of equal indices only the last."""
    slots = np.zeros(x.shape, dtype=int)
    serial = np.arange(slots[index].size).reshape(slots[index].shape)
    slots[index] = serial
    return slots[index] == serial


def _concatenate(*arrays: Array, axis: Any = 0) -> Array:
    return np.concatenate(arrays, axis=axis)


def _concatenate_vjp(g: Array, out: Array, *arrays: Array, axis: Any = 0) -> list[Array]:
    if axis is None:
        ends = np.cumsum([array.size for array in arrays])
        return [g[end - a.size : end].reshape(a.shape) for a, end in zip(arrays, ends, strict=True)]
    ends = np.cumsum([array.shape[axis] for array in arrays])
    before = (slice(None),) * (axis % g.ndim)
    return [g[(*before, slice(end - a.shape[axis], end))] for a, end in zip(arrays, ends, strict=True)]


def _stack(*arrays: Array, axis: int = 0) -> Array:
    return np.stack(arrays, axis=axis)


# fmt: off
reshape = declare(_reshape, r"\operatorname{reshape}(x)",
    (lambda g, out, x, shape, order="C": g.reshape(x.shape, order=order), r"\operatorname{reshape}(g)"),
    numpy=np.reshape)

transpose = declare(_transpose, r"x^T",
    (lambda g, out, x, axes=None: g.transpose(_inverse(axes, g.ndim)),    r"g^T"),
    numpy=(np.transpose, np.permute_dims))

swapaxes = declare(_swapaxes, r"x^{T_{ij}}",
    (lambda g, out, x, axis1, axis2: g.swapaxes(axis1, axis2),            r"g^{T_{ij}}"),
    numpy=np.swapaxes)

broadcast_to = declare(lambda x, shape: np.broadcast_to(x, shape), r"x \, \mathbf 1",
    (lambda g, out, x, shape: g,                                          r"\sum g"),
    name="broadcast_to", numpy=np.broadcast_to)

getitem = declare(_getitem, r"x_{[i]}",
    (lambda g, out, x, index: REGISTRY["put"](g, index=index, shape=x.shape),         r"\sum_{[i]} g"))

put = declare(_put, r"\sum_{[i]} x",
    (lambda g, out, x, index, shape: g[index],                            r"g_{[i]}"))

at_add = declare(_at_add, r"x_{[i]} \mathrel{+}= y",
    (lambda g, out, x, y, index: g,                                       r"g"),
    (lambda g, out, x, y, index: g[index],                                r"g_{[i]}"))

at_set = declare(_at_set, r"x_{[i]} := y",
    (lambda g, out, x, y, index: REGISTRY["at_set"](g, 0, index=index),               r"g,\ g_{[i]} := 0"),
    (lambda g, out, x, y, index: np.where(_last_written(x, index), g[index], 0), r"g_{[i]}"))

concatenate = declare(_concatenate, r"[x_1, \dots, x_n]", jointly=(_concatenate_vjp, r"g_{[1]}, \dots, g_{[n]}"))

stack = declare(_stack, r"[x_1, \dots, x_n]", jointly=(
    lambda g, out, *arrays, axis=0: [g[(slice(None),) * (axis % g.ndim) + (i,)] for i in range(len(arrays))],
    r"g_{[1]}, \dots, g_{[n]}"))
# fmt: on

OVERRIDES[np.concatenate] = lambda arrays, axis=0: concatenate(*arrays, axis=axis)
OVERRIDES[np.stack] = lambda arrays, axis=0: stack(*arrays, axis=axis)
