"""Recognize by their values known functions that user code composed of small operations: a softmax, a sigmoid, a norm.

If a value is a known function of another one, and depends on inputs only through it, the operations between the two are
replaced by that function. So the known mistakes at softmax are tried for ``e / e.sum(axis=1, keepdims=True)`` too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ...node import Node
from ...primitive import REGISTRY
from ..paths import Array, Traced

BETWEEN = 14  # the most operations that a function may be composed of
ALIKE = 1e-9  # how far the values may be from those of the function, relative to the largest entry


class KnownFunction(NamedTuple):
    """A value that is a known function of another one, the source, with the metadata of the function.

    `place` and `source` are places of operations; the source may be an input, then it is -1 - its number.
    """

    place: int
    source: int
    name: str
    meta: dict[str, Any]


def find_known_functions(graph: Traced) -> list[KnownFunction]:
    """Return the known functions that were composed in a graph, those nearest the loss first."""
    functions: list[KnownFunction] = []
    number = {node: place for place, node in enumerate(graph.operations)}
    number |= {node: -1 - i for i, node in enumerate(graph.inputs)}
    for place, node in enumerate(graph.operations):
        primitive = node.primitive
        if primitive is None or primitive.name not in ENDS or np.asarray(node.out).dtype.kind != "f":
            continue
        best = None  # the farthest source that fits: a softmax of shifted values is also one of the unshifted values
        for source in _sources(node):
            function = next(_functions(primitive.name, np.asarray(source.out), np.asarray(node.out)), None)
            if function is not None and source in number:
                best = KnownFunction(place, number[source], *function)
        functions += [] if best is None else [best]
    return functions


def collapse_functions(graph: Traced, functions: list[KnownFunction]) -> Traced:
    """Return a copy of a graph in which each composed function is one operation."""
    copies = {node: _copy(node) for node in (*graph.operations, *graph.inputs)}
    for node, copy in copies.items():
        if node.parents is not None and node.primitive is not None:
            copy.link(node.args, tuple(None if p is None else copies.get(p, p) for p in node.parents))
    for place, source, name, meta in functions:
        node = copies[graph.operations[place]]
        parent = copies[graph.operations[source] if source >= 0 else graph.inputs[-1 - source]]
        x = np.asarray(parent.out)
        node.primitive, node.meta = REGISTRY[name], {**meta}
        if name == "standardize":
            statistics = {"axis": meta["axis"], "keepdims": True}
            node.meta |= {"mean": x.mean(**statistics), "var": x.var(**statistics)}
            node.link((x, np.asarray(1.0), np.asarray(0.0)), (parent, None, None))
        else:
            node.link((x,), (parent,))
    outs = [(copies[node], g) for node, g in graph.outs]
    reached, stack = set[Node](), [node for node, _ in outs]
    while stack:
        node = stack.pop()
        if node not in reached:
            reached.add(node)
            stack += [p for p in node.parents or () if p is not None]
    operations = [copies[node] for node in graph.operations if copies[node] in reached]
    return Traced(outs, [copies[node] for node in graph.inputs], operations)


def _copy(node: Node) -> Node:
    copy: Node = node.copied(type(node)())
    copy.grad = node.grad
    return copy


def _sources(node: Node) -> Iterator[Node]:
    """Yield the values of the same shape that all paths from an operation to the inputs go through, nearest first."""
    order, visited, k = [node], {node}, 0
    while k < len(order) and len(order) < 3 * BETWEEN:
        for p in order[k].parents or ():
            if p is not None and p not in visited:
                visited.add(p)
                order.append(p)
        k += 1
    for candidate in sorted(order[1:], key=lambda n: -n.index):
        if np.shape(candidate.out) == np.shape(node.out) and _all_paths(node, candidate):
            yield candidate


def _all_paths(node: Node, source: Node) -> bool:
    stack, visited = [node], {node}
    while stack:
        for p in stack.pop().parents or ():
            if p is None or p is source or p in visited:
                continue
            if p.primitive is None or p.index < source.index or len(visited) > BETWEEN:
                return False
            visited.add(p)
            stack.append(p)
    return True


ENDS = frozenset({"divide", "multiply", "add", "subtract", "reciprocal", "power", "log", "where", "maximum", "log1p"})
Found = tuple[str, dict[str, Any]]  # the name of a function, and its metadata


def _functions(end: str, x: Array, out: Array) -> Iterator[Found]:
    """Yield the known functions f with ``out = f(x)``."""

    def equals_output(value: Array) -> bool:
        return bool(np.abs(value - out).max(initial=0) <= ALIKE * max(np.abs(out).max(initial=0), 1e-300))

    if x.dtype.kind != "f" or np.isnan(x).any() or x.max(initial=-np.inf) == np.inf or x.size < 2:
        return
    with np.errstate(all="ignore"):
        is_in_unit_interval = out.min() > 0 and out.max() < 1
        if is_in_unit_interval and equals_output(1 / (1 + np.exp(-x))):
            yield "sigmoid", {}
        if np.abs(out).max() < 1 and end in ("divide", "subtract") and equals_output(np.tanh(x)):
            yield "tanh", {}
        if end in ("log", "log1p", "maximum", "add") and out.min() > 0 and equals_output(np.logaddexp(0, x)):
            yield "softplus", {}
        if end in ("multiply", "where") and equals_output(np.maximum(x, 0)):
            yield "relu", {}
        for axis in range(x.ndim):
            if x.shape[axis] < 2:
                continue
            if out.min() >= 0 and np.abs(out.sum(axis=axis) - 1).max() < 1e-9:  # 0 where a score was masked
                e = np.exp(x - x.max(axis=axis, keepdims=True))
                if equals_output(e / e.sum(axis=axis, keepdims=True)):
                    yield "softmax", {"axis": axis}
            if out.max() < 0 and end in ("subtract", "log") and np.abs(np.exp(out).sum(axis=axis) - 1).max() < 1e-9:
                shifted = x - x.max(axis=axis, keepdims=True)
                if equals_output(shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))):
                    yield "log_softmax", {"axis": axis}
        if end in ("divide", "multiply") and np.isfinite(x).all():
            yield from _norms(x, out)


def _norms(x: Array, out: Array) -> Iterator[Found]:
    """Yield the normalization that gives ``out`` from ``x``, with its axes and epsilon."""
    sets = [(i,) for i in range(x.ndim)] + ([tuple(range(x.ndim))] if x.ndim > 1 else [])
    if x.ndim > 2:
        sets += [(0, *range(2, x.ndim)), tuple(range(1, x.ndim))]
    for axes in sets:
        mean = x.mean(axis=axes, keepdims=True)
        centred, var = x - mean, x.var(axis=axes, keepdims=True)
        size = np.abs(out).max(axis=axes, keepdims=True)
        if not (size > 0).all():
            continue
        ratio = np.abs(centred).max(axis=axes, keepdims=True) / size  # sqrt(var + eps)
        if np.abs(centred / ratio - out).max() > ALIKE * np.abs(out).max():
            continue
        eps = float(np.median(ratio**2 - var))
        if eps > -1e-9 * float(var.max()) and np.abs(ratio**2 - var - eps).max() <= 1e-9 * float((ratio**2).max()):
            eps = float(f"{max(eps, 0.0):.3g}")
            eps = 0.0 if eps < 1e-9 * float(var.max()) else eps
            yield "standardize", {"axis": axes, "eps": eps}
