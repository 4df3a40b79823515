"""Pictures that explain operations with the actual numbers of a step, one kind for each family of operations.

A picture is data that says which numbers belong together; the page draws it. Equal pictures are stored once. The table
`FAMILIES` maps each operation to the function that makes its picture.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from ...graph import GraphNode, GraphView
from ...graph.rerun import without_hold
from ..graph.symbols import ACTIVATIONS
from .arrays import Arrays
from .story import Array

Shown = dict[str, Any] | None
MOST_PLACES, MOST_ONCE = 2_048, 200  # limits: linked entries in one picture; different pictures in a page
MANY = 1_500  # in a graph with more nodes, arrays get only the simple picture of `_maps`
# Elementwise functions that are not ufuncs. glu is none, as it computes one entry from two.
EACH = (ACTIVATIONS - {"glu"}) | {"where", "power", "clip", "cast", "xlogy", "erf"}
LARGEST = 1.7976e308  # of numbers with five digits
SAMPLES, MOST_GROUPS, MOST_IN_GROUP = 61, 16, 64  # points of a curve; groups of a normalization, and entries of a group


class Pictures:
    """The pictures of a page; equal ones are stored once, and their number is limited."""

    def __init__(self, view: GraphView, arrays: Arrays) -> None:
        self.view, self.arrays = view, arrays
        self.shown: list[dict[str, Any]] = []
        self.known: dict[str, int] = {}
        self.places: dict[int, int] = {}  # id of a picture in `shown` -> its index
        self.linked: dict[Any, dict[str, Any]] = {}  # shapes of the result and the operands -> picture
        self.curves: dict[str, tuple[dict[str, Any], Callable[[Array], Any], list[float]]] = {}
        self.operands = view.operands()

    def add(self, part: GraphNode) -> int:
        """Return the index of a node's picture, or -1 if it has none."""
        if part.operation is None or part.node is None or part.array.size == 0 or part.array.dtype.kind not in "fiub":
            return -1
        operands = [self.view[number] for number in self.operands[part.number]]
        if not operands or any(o.array.size == 0 or o.array.dtype.kind not in "fiub" for o in operands):
            return -1
        family = FAMILIES.get(part.operation, _elementwise)
        if len(self.view) > MANY and (part.array.size > 1 or operands[0].array.size > 1):
            family = _maps
        with np.errstate(all="ignore"):
            picture = family(self, part, operands)
        return -1 if picture is None else self.keep(picture)

    def softmax(self, part: GraphNode) -> bool:
        """Whether a division is part of a softmax written out: exponentials divided by their sum over the last axis."""
        above, below = self.operands[part.number]
        while self.view[below].operation == "where":  # a where that avoids dividing by 0 in a fully masked row
            below = max(self.operands[below])
        total = self.view[below]
        same = total.operation == "sum" and self.operands[below] == [above]
        return same and self.view[above].operation == "exp" and total.shape == (*part.shape[:-1], 1)

    def keep(self, picture: dict[str, Any]) -> int:
        """Return the index of a picture, which is appended if no equal one is there; -1 if there are too many."""
        if id(picture) in self.places:
            return self.places[id(picture)]
        key = json.dumps(picture)
        if key not in self.known:
            if len(self.shown) >= MOST_ONCE and picture["kind"] != "curve":
                return -1
            self.known[key] = self.places[id(picture)] = len(self.shown)
            self.shown.append(picture)
        return self.known[key]

    def finished(self) -> list[dict[str, Any]]:
        """Return all pictures; the points of each curve are computed now that its range is known."""
        for curve, function, (low, high) in self.curves.values():
            size = max(abs(low), abs(high))
            room = max(0.15 * high - 0.15 * low, 1e-3 * size) if high > low else max(1.0, size)  # seen in five digits
            low, high = max(low - room, -LARGEST), min(high + room, LARGEST)
            x = 2 * np.linspace(low / 2, high / 2, SAMPLES)  # as the difference of the ends may overflow
            with np.errstate(all="ignore"):
                y, slope = function(x)
            curve |= {name: json_numbers(values) for name, values in (("x", x), ("y", y), ("slope", slope))}
        return self.shown


def json_numbers(values: Array) -> list[float | None]:
    """Return numbers for JSON, rounded to five digits, with None for those that are not finite after that."""
    listed = np.asarray(values, dtype=np.float64).ravel().tolist()
    return [float(f"{v:.5g}") if abs(v) <= LARGEST else None for v in listed]


def _meta(part: GraphNode) -> dict[str, Any]:
    return part.node.meta  # type: ignore[union-attr]


def _forward(part: GraphNode, *arrays: Any) -> Array:
    """Return the result of a node's operation for other arrays."""
    primitive: Any = part.node.primitive  # type: ignore[union-attr]
    return primitive.evaluate(arrays, primitive.call_meta(_meta(part)))  # type: ignore[no-any-return]


# -- The families: each function returns the picture of a node, or None


def _curve(pictures: Pictures, part: GraphNode, operands: list[GraphNode], slot: int = 0) -> Shown:
    """The curve of an elementwise function of one operand and its slope; the page marks the step's numbers on it."""
    primitive = without_hold(part.node.primitive)  # type: ignore[union-attr, arg-type]
    others = [operand.array.item() for k, operand in enumerate(operands) if k != slot]
    values = operands[slot].array[np.isfinite(operands[slot].array)].astype(float)
    rule = primitive.vjps[slot]
    if not values.size or rule is None or primitive.saves:
        return None
    key = repr((part.operation, slot, part.metadata, others))
    if key not in pictures.curves:

        def function(x: Array) -> tuple[Array, Array]:
            at: list[Any] = [float(v) for v in others]
            at.insert(slot, x)
            y = _forward(part, *at)
            return y, rule(np.ones_like(x), y, *at, **_meta(part))

        curve = {"kind": "curve", "of": key, "slot": slot}
        pictures.shown[pictures.keep(curve)] = curve  # points are added in `finished`
        pictures.curves[key] = curve, function, [np.inf, -np.inf]
    curve, _, ends = pictures.curves[key]
    ends[:] = min(ends[0], float(values.min())), max(ends[1], float(values.max()))
    return curve


def _elementwise(pictures: Pictures, part: GraphNode, operands: list[GraphNode]) -> Shown:
    """An elementwise function: its curve if one operand varies, else links from the operands' entries to the result."""
    if part.operation == "divide" and part.array.ndim > 1 and pictures.softmax(part):
        return {"kind": "weights", "array": pictures.arrays.add(part.array), "shares": True}
    primitive: Any = part.node.primitive  # type: ignore[union-attr]
    each = isinstance(primitive.forward, np.ufunc) or part.operation in EACH
    shapes = (part.shape, *[operand.shape for operand in operands])
    if not each or np.broadcast_shapes(*set(shapes)) != part.shape:
        return _maps(pictures, part, operands)
    free = [k for k, operand in enumerate(operands) if operand.kind != "constant" or operand.array.size > 1]
    if len(free) == 1 and all(o.array.size == 1 for k, o in enumerate(operands) if k != free[0]):
        return _curve(pictures, part, operands, free[0]) or _maps(pictures, part, operands)
    if part.array.size == 1 or part.array.size * len(operands) > MOST_PLACES:
        return _maps(pictures, part, operands)
    if shapes not in pictures.linked:
        places = [np.broadcast_to(np.arange(o.array.size).reshape(o.shape), part.shape) for o in operands]
        pictures.linked[shapes] = {"kind": "linked", "at": [place.ravel().tolist() for place in places]}
    return pictures.linked[shapes]


def _maps(pictures: Pictures, part: GraphNode, operands: list[GraphNode]) -> Shown:
    """Any other operation: the operands and the result side by side."""
    return {"kind": "maps"} if part.array.size > 1 or operands[0].array.size > 1 else None


def _moved(pictures: Pictures, part: GraphNode, operands: list[GraphNode]) -> Shown:
    """An operation that only moves entries: links from each result entry to its source."""
    total, starts = 0, [0]
    for operand in operands:
        total += operand.array.size
        starts.append(total)
    labels = [np.arange(o.array.size).reshape(o.shape) + start for o, start in zip(operands, starts, strict=False)]
    if part.array.size > MOST_PLACES:
        return _maps(pictures, part, operands)
    found = _forward(part, *labels).ravel()
    at = [np.where((found >= a) & (found < b), found - a, -1).tolist() for a, b in pairwise(starts)]
    return {"kind": "linked", "at": at}


def _picked(pictures: Pictures, part: GraphNode, operands: list[GraphNode]) -> Shown:
    """An embedding: links from the result to the rows of the table and to the indices."""
    labels = np.arange(operands[0].array.size).reshape(operands[0].shape)
    if part.array.size > MOST_PLACES:
        return _maps(pictures, part, operands)
    found = _forward(part, labels, operands[1].array).ravel().tolist()
    rows = np.repeat(np.arange(operands[1].array.size), part.array.size // operands[1].array.size).tolist()
    return {"kind": "linked", "at": [found, rows]}


def _reduced(pictures: Pictures, part: GraphNode, operands: list[GraphNode]) -> Shown:
    """A reduction: the entries that each result entry is computed from."""
    x, axis = operands[0].array, _meta(part).get("axis")
    if x.size > MOST_PLACES or x.ndim == 0 or len(operands) > 1:
        return _maps(pictures, part, operands)
    axes = tuple(range(x.ndim)) if axis is None else tuple(np.atleast_1d(axis) % x.ndim)
    places = np.moveaxis(np.arange(x.size).reshape(x.shape), axes, range(-len(axes), 0))
    return {"kind": "linked", "at": [places.reshape(part.array.size, -1).tolist()], "many": True}


def _product(pictures: Pictures, part: GraphNode, operands: list[GraphNode]) -> Shown:
    """A matrix product: a row times a column."""
    a, b = operands[0].array, operands[1].array
    if a.ndim < 2 or b.ndim < 2 or (b.ndim > 2 and a.shape[:-2] != b.shape[:-2]):
        return _maps(pictures, part, operands)
    return {"kind": "product", "across": part.operation == "affine"}


def _window(pictures: Pictures, part: GraphNode, operands: list[GraphNode]) -> Shown:
    """A window that slides over the input: the kernel of a convolution, or the window of a pooling."""
    meta = _meta(part)
    pooled = "kernel" in meta
    kernel = list(meta["kernel"] if pooled else operands[1].shape[2:])
    default = {"stride": 1, "padding": 0, "dilation": 1}
    over = {name: np.broadcast_to(meta.get(name, n), len(kernel)).tolist() for name, n in default.items()}
    return {"kind": "window", "kernel": kernel, "pooled": pooled, "groups": int(meta.get("groups", 1)), **over}


def _bars(pictures: Pictures, part: GraphNode, operands: list[GraphNode]) -> Shown:
    """A softmax over the last axis: bars for each score and its share."""
    axis = _meta(part).get("axis", -1)
    if not isinstance(axis, int) or axis % max(1, part.array.ndim) != part.array.ndim - 1:
        return _maps(pictures, part, operands)
    return {"kind": "bars"}


def _targets(pictures: Pictures, part: GraphNode, operands: list[GraphNode]) -> Shown:
    """A cross-entropy: the predicted probabilities beside the targets."""
    meta = _meta(part)
    p = meta.get("p")
    if p is None:
        p = 1 / (1 + np.exp(-operands[0].array.astype(float)))
    p = np.asarray(p)
    if p.shape != operands[1].shape:
        return _maps(pictures, part, operands)
    return {"kind": "targets", "p": pictures.arrays.add(p.astype(operands[0].array.dtype))}


def _weights(pictures: Pictures, part: GraphNode, operands: list[GraphNode]) -> Shown:
    """Attention: the weights of each query for each key."""
    return {"kind": "weights", "array": pictures.arrays.add(np.asarray(_meta(part)["a"]))}


def _moments(pictures: Pictures, part: GraphNode, operands: list[GraphNode]) -> Shown:
    """A normalization: the numbers of each group before and after, with mean and standard deviation."""
    meta = _meta(part)
    x, out = operands[0].array, part.array
    axes = tuple(int(a) % x.ndim for a in np.atleast_1d(meta["axis"]))
    if "mean" in meta:
        mean, deviation = np.asarray(meta["mean"]), np.sqrt(np.asarray(meta["var"]) + meta["eps"])
    else:
        mean, deviation = np.zeros_like(np.asarray(meta["scale"])), 1 / np.asarray(meta["scale"])
    each = int(np.prod([x.shape[k] for k in axes]))
    before, after = (np.moveaxis(a, axes, range(-len(axes), 0)).reshape(-1, each) for a in (x, out))
    shape = [1 if k in axes else n for k, n in enumerate(x.shape)]
    ends = [np.broadcast_to(m, shape).ravel() for m in (mean, deviation)]
    groups = [
        {"mean": json_numbers(m)[0], "deviation": json_numbers(d)[0], "before": json_numbers(b[:MOST_IN_GROUP]),
         "after": json_numbers(a[:MOST_IN_GROUP]), "of": len(b)}
        for m, d, b, a in zip(*ends, before[:MOST_GROUPS], after[:MOST_GROUPS], strict=False)
    ]  # fmt: skip
    return {"kind": "moments", "groups": groups, "of": len(before)}


def _states(pictures: Pictures, part: GraphNode, operands: list[GraphNode]) -> Shown:
    """A recurrent layer: its states after each time step."""
    found = {"kind": "states"}
    cells = _meta(part).get("cells")
    return found | {"cells": pictures.arrays.add(np.asarray(cells))} if isinstance(cells, np.ndarray) else found


FAMILIES: dict[str, Callable[[Pictures, GraphNode, list[GraphNode]], Shown]] = {
    **dict.fromkeys(("attention", "self_attention"), _weights),
    **dict.fromkeys(("standardize", "rms_norm"), _moments),
    **dict.fromkeys(("softmax", "log_softmax"), _bars),
    **dict.fromkeys(("softmax_crossentropy", "sigmoid_crossentropy"), _targets),
    **dict.fromkeys(("affine", "matmul", "dot"), _product),
    **dict.fromkeys(("conv", "max_pool", "avg_pool"), _window),
    **dict.fromkeys(("lstm_states", "gru_states", "rnn_states"), _states),
    **dict.fromkeys(("sum", "mean", "max", "min", "prod", "var", "std", "logsumexp", "nansum", "nanmean", "nanmax",
                     "nanmin", "nanprod", "nanvar", "nanstd", "trace", "vector_norm"), _reduced),
    **dict.fromkeys(("getitem", "reshape", "transpose", "swapaxes", "roll", "broadcast_to", "concatenate", "stack",
                     "window", "rearrange", "copy", "alias"), _moved),
    "embedding": _picked,
}  # fmt: skip
