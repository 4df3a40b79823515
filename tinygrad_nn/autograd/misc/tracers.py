"""`const_graph`: record the graph of a function once, and run the recorded graph in later calls."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import numpy as np

from ...backward import ancestors
from ...node import recording
from ...tensor import Tensor
from ...transforms import new_input


def const_graph(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., Any]:
    """Return fun with its first arguments bound; the first call records its graph, later calls run that graph.

    The function must run the same operations each time: branches that Python took in the first call are kept.

    Args:
        fun: a function of numbers and arrays that returns one array.
        *args, **kwargs: the first arguments, and keyword arguments, to bind.

    Raises:
        ValueError: (when it is called) the result does not depend on the arguments.
    """
    graph: list[tuple[Any, ...]] = []

    @wraps(fun)
    def call(*given: Any) -> Any:
        if graph:
            return _rerun_graph(graph[0], given)
        with recording(True):
            inputs = [new_input(np.asarray(x, float)) for x in given]
            out = partial(fun, *args, **kwargs)(*inputs)
        if not isinstance(out, Tensor) or out.node is None:
            raise ValueError("Output is independent of input")
        starts = [t.node for t in inputs]
        graph.append((starts, [node for node in reversed(ancestors((out.node,))) if node.primitive], out.node))
        return out.data[()]

    return call


def _rerun_graph(graph: tuple[Any, ...], start_values: tuple[Any, ...]) -> Any:
    starts, nodes, last = graph
    values = dict(zip(starts, map(np.asarray, start_values), strict=True))
    for node in nodes:
        args = [values.get(parent, arg) for parent, arg in zip(node.parents, node.args, strict=True)]
        values[node] = node.primitive(*args, **node.primitive.call_meta(node.meta))
    return values[last]
