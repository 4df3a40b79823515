"""Names for views of the user's arrays: a view into the array ``batch`` is named ``batch[:, 3]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from ...graph.view import GraphNode, GraphView
from ...tensor import Tensor
from .names import with_names

Array = np.ndarray[Any, Any]
HARDER = "[…]"


def with_parts(view: GraphView, names: Mapping[str, Any]) -> GraphView:
    """Return the view with names for constants that share memory with a named array.

    Example:
        >>> X = np.zeros((4, 5, 3))
        >>> [part.name for part in with_parts(GraphView(Tensor(2.0) * X[:, 2]), {"X": X})]
        [None, 'X[:, 2]', None]
    """
    owners: dict[int, list[tuple[str, Array]]] = {}
    for name, value in names.items():
        array = value.data if isinstance(value, Tensor) else value
        if isinstance(array, np.ndarray) and array.size:
            owners.setdefault(id(_owner(array)), []).append((name, array))

    def named(part: GraphNode) -> str | None:
        if part.name or part.kind != "constant" or not part.array.size:
            return part.name
        found = [(name, slice_text(part.array, whole)) for name, whole in owners.get(id(_owner(part.array)), ())]
        return min((name + index for name, index in found if index is not None), key=_name_order, default=None)

    return with_names(view, named) if owners else view


def _name_order(name: str) -> tuple[bool, int]:
    return name.endswith(HARDER), len(name)


def _owner(array: Array) -> Any:
    """Return the object that owns the memory of an array."""
    base: Any = array
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    return base


def slice_text(piece: Array, base: Array) -> str | None:
    """Return the index expression of a view into an array, ``[…]`` if it is complicated, ``None`` if it is no view.

    Example:
        >>> X = np.zeros((4, 5, 3))
        >>> slice_text(X[1:3, :, 0], X), slice_text(X[2, ::2].T, X), slice_text(X.reshape(20, 3), X)
        ('[1:3, :, 0]', '[2, ::2].T', '.reshape(20, 3)')
        >>> slice_text(X[::-1], X), slice_text(X, X[1])
        ('[…]', None)
    """
    (first, last), (start, stop) = byte_bounds(piece), byte_bounds(base)
    if first < start or last > stop:
        return None
    if piece.size == base.size and _address(piece) == _address(base):
        if (piece.shape, piece.strides) == (base.shape, base.strides):
            return ""
        if (piece.shape, piece.strides) == (base.shape[::-1], base.strides[::-1]):
            return ".T"
        if piece.flags.c_contiguous and base.flags.c_contiguous:
            return f".reshape({', '.join(map(str, piece.shape))})"
    straight = _index(piece, base)
    turned = None if straight or piece.ndim < 2 else _index(piece.T, base)
    return straight or (f"{turned}.T" if turned else HARDER)


def _index(piece: Array, base: Array) -> str | None:
    """Return an index of integers and slices that gives the view, or ``None`` if there is none."""
    rest, starts = _address(piece) - _address(base), dict[int, int]()
    for axis in sorted(range(base.ndim), key=lambda axis: -base.strides[axis]):
        if base.strides[axis] <= 0:
            return None
        starts[axis], rest = divmod(rest, base.strides[axis])
    axes = list(zip(piece.shape, piece.strides, strict=True))
    words: list[str] = []
    for axis, (size, stride) in enumerate(zip(base.shape, base.strides, strict=True)):
        step, odd = divmod(axes[0][1], stride) if axes else (0, 1)
        if step > 0 and not odd and starts[axis] + (axes[0][0] - 1) * step < size:
            words.append(_slice(starts[axis], axes.pop(0)[0], step, size))
        elif 0 <= starts[axis] < size:
            words.append(str(starts[axis]))
        else:
            return None
    if axes or rest or not words:
        return None
    while len(words) > 1 and words[-1] == ":":
        words.pop()
    return f"[{', '.join(words)}]"


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


def _slice(start: int, count: int, step: int, size: int) -> str:
    stop = start + (count - 1) * step + 1
    ends = f"{start or ''}:{stop if stop + step - 1 < size else ''}"
    return ends if step == 1 else f"{ends}:{step}"
