"""The ONNX operators that move entries: reshape, index, cut, join and pad, and those that make arrays."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..common.printable import counted
from ..ops.indexing import at_add, at_max, at_min, at_multiply, at_set
from ..tensor import Tensor, raw
from .attributes import ORDINARY, Function, Node, ints, ordinary


def _reshape(node: Node, x: Any, shape: Any) -> Any:
    wanted = ints(shape) if np.size(raw(shape)) else []
    if not getattr(node, "allowzero", 0):
        wanted = [np.shape(x)[k] if n == 0 else n for k, n in enumerate(wanted)]
    return np.reshape(x, tuple(wanted))


def _flatten(node: Node, x: Any) -> Any:
    axis, shape = getattr(node, "axis", 1), np.shape(x)
    axis = axis + len(shape) if axis < 0 else axis
    return np.reshape(x, (prod(shape[:axis]), prod(shape[axis:])))


def _axes(node: Node, axes: Any) -> tuple[int, ...] | None:
    found = getattr(node, "axes", None) if axes is None else ints(axes)
    return None if found is None else tuple(found)


def _squeeze(node: Node, x: Any, axes: Any = None) -> Any:
    return np.squeeze(x, _axes(node, axes))


def _unsqueeze(node: Node, x: Any, axes: Any = None) -> Any:
    return np.expand_dims(x, _axes(node, axes) or ())


def _transpose(node: Node, x: Any) -> Any:
    return np.transpose(x, getattr(node, "perm", None))


def _expand(node: Node, x: Any, shape: Any) -> Any:
    return np.broadcast_to(x, np.broadcast_shapes(np.shape(x), tuple(ints(shape))))


def _split(node: Node, x: Any, sizes: Any = None) -> Any:
    axis = getattr(node, "axis", 0)
    length = np.shape(x)[axis]
    parts = getattr(node, "split", None) if sizes is None else ints(sizes)
    if parts is None:
        count = getattr(node, "num_outputs", node.outputs)
        each = -(-length // count) if node.opset >= 18 else length // count
        parts = [min(each, max(0, length - k * each)) for k in range(count)]
    if sum(parts) != length:
        raise ValueError(f"axis {axis} has {counted(length, 'entry')}, and parts of {parts} are asked for")
    ends = np.cumsum(parts)[:-1].tolist()
    return tuple(np.split(x, ends, axis))


def _slice(node: Node, x: Any, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None) -> Any:
    starts, ends = (node.starts, node.ends) if starts is None else (ints(starts), ints(ends))
    given = getattr(node, "axes", None) if axes is None else ints(axes)
    strides = [1] * len(starts) if steps is None else ints(steps)
    index = [slice(None)] * np.ndim(x)
    for axis, start, end, step in zip(given or range(len(starts)), starts, ends, strides, strict=True):
        if step < 0:  # a start below -length means the first entry, and such an end includes the first entry
            length = np.shape(x)[axis]
            index[axis] = slice(max(start, -length), None if end < -length else end, step)
        else:
            index[axis] = slice(start, end, step)
    return x[tuple(index)]


def _gather(node: Node, x: Any, index: Any) -> Any:
    return np.take(x, np.asarray(raw(index)), axis=getattr(node, "axis", 0))


def _gather_elements(node: Node, x: Any, index: Any) -> Any:
    index = np.asarray(raw(index))
    axis = getattr(node, "axis", 0) % index.ndim
    # along the other axes the index may be shorter than x, and is not broadcast
    x = x[tuple(slice(None) if k == axis else slice(n) for k, n in enumerate(index.shape))]
    return np.take_along_axis(x, index, axis=axis)


def _gather_nd(node: Node, x: Any, index: Any) -> Any:
    index = np.asarray(raw(index))
    batch = getattr(node, "batch_dims", 0)
    rows = np.ogrid[tuple(slice(n) for n in (*index.shape[:batch], *[1] * (index.ndim - 1 - batch)))]
    return x[(*rows[:batch], *np.moveaxis(index, -1, 0))]


_UPDATES = {"none": at_set, "add": at_add, "mul": at_multiply, "min": at_min, "max": at_max}


def _scatter_nd(node: Node, x: Any, index: Any, updates: Any) -> Any:
    places = tuple(np.moveaxis(np.asarray(raw(index)), -1, 0))
    return _UPDATES[getattr(node, "reduction", "none")](x, updates, index=places)


def _concat(node: Node, *arrays: Any) -> Any:
    return np.concatenate(arrays, axis=node.axis)


def _pad(node: Node, x: Any, pads: Any = None, value: Any = None, axes: Any = None) -> Any:
    widths = node.pads if pads is None else ints(pads)
    value = getattr(node, "value", 0.0) if value is None else raw(value).item()
    n = len(widths) // 2
    every, inside = [(0, 0)] * np.ndim(x), [slice(None)] * np.ndim(x)
    for axis, before, after in zip(range(n) if axes is None else ints(axes), widths[:n], widths[n:], strict=True):
        every[axis] = max(0, before), max(0, after)
        inside[axis] = slice(max(0, -before), np.shape(x)[axis] - max(0, -after))  # a negative width cuts off
    x = x[tuple(inside)] if min(widths, default=0) < 0 else x
    mode: Any = getattr(node, "mode", "constant")
    return np.pad(x, every, mode, **({"constant_values": value} if mode == "constant" else {}))


def _tile(node: Node, x: Any, repeats: Any) -> Any:
    return np.tile(x, ints(repeats))


def _cast(node: Node, x: Any) -> Any:
    dtype = np.dtype(node.dtype_of(node.to))
    if not ordinary(dtype):
        raise NotImplementedError(f"the attribute to={node.to}, {dtype}, is not supported; {ORDINARY} are")
    if isinstance(x, Tensor) and dtype.kind != "f":
        x = x.data
    return x.astype(dtype) if hasattr(x, "astype") else np.asarray(x, dtype)


def _shape(node: Node, x: Any) -> Any:
    return np.array(np.shape(x)[getattr(node, "start", 0) : getattr(node, "end", None)], np.int64)


def _constant(node: Node) -> Any:
    for name in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        if hasattr(node, name):
            value = getattr(node, name)
            if name == "value" and not ordinary(value.dtype):
                raise NotImplementedError(f"the attribute value of {value.dtype} is not supported; {ORDINARY} are")
            kind = np.float32 if "float" in name else np.int64
            return value if name == "value" else np.array(value, kind)
    raise NotImplementedError("it has no value")


def _constant_of_shape(node: Node, shape: Any) -> Any:
    value = np.asarray(getattr(node, "value", np.zeros(1, np.float32)))
    return np.full(tuple(ints(shape)) if np.size(shape) else (), value.reshape(-1)[0], value.dtype)


def _range(node: Node, start: Any, limit: Any, delta: Any) -> Any:
    return np.arange(*(np.asarray(raw(x)).item() for x in (start, limit, delta)), dtype=np.asarray(raw(start)).dtype)


def _trilu(node: Node, x: Any, k: Any = None) -> Any:
    return (np.triu if getattr(node, "upper", 1) else np.tril)(x, 0 if k is None else int(np.asarray(k).item()))


SHAPES: dict[str, Function] = {
    "Reshape": _reshape, "Flatten": _flatten, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze, "Transpose": _transpose,
    "Expand": _expand, "Split": _split, "Slice": _slice, "Gather": _gather, "GatherElements": _gather_elements,
    "GatherND": _gather_nd, "ScatterND": _scatter_nd,
    "Concat": _concat, "Pad": _pad, "Tile": _tile, "Cast": _cast, "Shape": _shape,
    "Size": lambda node, x: np.array(np.size(x), np.int64), "Constant": _constant,
    "ConstantOfShape": _constant_of_shape, "Range": _range, "Trilu": _trilu,
}  # fmt: skip
