"""A function traced once, and run again by its graph."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import numpy as np

from ...backward import ancestors
from ...node import recording
from ...tensor import Tensor
from ...transforms import enter


def const_graph(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., Any]:
    """Return fun with its first arguments filled in, whose graph is made by the first call and used by the others.

    The function must do the same each time: what Python decides in the first call stays decided.

    Args:
        fun: a function of numbers and arrays that returns one array.
        *args, **kwargs: what to fill in.

    Raises:
        ValueError: (when it is called) the result does not depend on the arguments.
    """
    graph: list[tuple[Any, ...]] = []

    @wraps(fun)
    def call(*given: Any) -> Any:
        if graph:
            return _again(graph[0], given)
        with recording(True):
            inputs = [enter(np.asarray(x, float)) for x in given]
            out = partial(fun, *args, **kwargs)(*inputs)
        if not isinstance(out, Tensor) or out.node is None:
            raise ValueError("Output is independent of input")
        starts = [t.node for t in inputs]
        graph.append((starts, [node for node in reversed(ancestors((out.node,))) if node.primitive], out.node))
        return out.data[()]

    return call


def _again(graph: tuple[Any, ...], given: tuple[Any, ...]) -> Any:
    starts, nodes, last = graph
    values = dict(zip(starts, map(np.asarray, given), strict=True))
    for node in nodes:
        args = [values.get(parent, arg) for parent, arg in zip(node.parents, node.args, strict=True)]
        values[node] = node.primitive(*args, **{k: x for k, x in node.meta.items() if k not in node.primitive.saves})
    return values[last]
