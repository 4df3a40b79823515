"""Trace a forward with 2, 3 and 5 rows, to find out which lengths and numbers grow with the number of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..compiled.program.values import Op, Program, Value
from ..compiled.step import functional
from ..compiled.trace.call import trace
from ..compiled.trace.nodes import Untraceable
from ..nn.module import Module
from ..node import no_grad
from ..tree import flatten

ROWS = 2, 3, 5  # not 1, because an axis of length 1 would be broadcast


class Free(NamedTuple):
    """An integer that depends on the number of rows: ``slope * rows + start``; no slope means in another way."""

    slope: int | None
    start: int = 0


class Depends(ValueError):
    """Raised if something depends on the number of rows in a way that ONNX cannot express."""


def merged(first: Any, *others: Any) -> Any:
    """Return one value for all traces: equal ones as they are, integers that differ as `Free`, tuples by entry."""
    if isinstance(first, tuple) and all(isinstance(x, tuple) and len(x) == len(first) for x in others):
        return tuple(merged(*parts) for parts in zip(first, *others, strict=True))
    if all(type(x) is type(first) and (x is first or x == first) for x in others):
        return first
    if all(isinstance(x, (int, np.integer)) and not isinstance(x, bool) for x in (first, *others)):
        slope = int(others[0] - first) // (ROWS[1] - ROWS[0])
        start = int(first) - slope * ROWS[0]
        straight = all(x == slope * n + start for x, n in zip(others, ROWS[1:], strict=True))
        return Free(slope, start) if straight else Free(None)
    raise Depends(f"{first!r:.40} becomes {others[0]!r:.40} with one more row")


class Traced(NamedTuple):
    """All traces: each operation, input and output, one from each trace; parameters as (name, array, value)."""

    ops: list[tuple[Op, ...]]
    inputs: list[tuple[Value, ...]]
    parameters: list[tuple[str, Any, Value]]
    outputs: list[tuple[Any, ...]]


def traced(module: Module, examples: Sequence[np.ndarray[Any, Any]], axis: int | None) -> Traced:
    """Trace ``module(*examples)`` for each of `ROWS` along `axis`; ``None`` traces the given shapes only.

    Raises:
        Untraceable: the forward does something that a trace cannot record.
        Depends: the forward runs different operations for different numbers of rows.
    """
    names = [name for name, _ in module.named_parameters()]
    parameters = [p for _, p in module.named_parameters()]
    pure = functional(lambda *args: module(*args), parameters, list(module.modules()))
    found = []
    for count in ROWS:
        rows = [x if axis is None else np.repeat(x.take([0], axis), count, axis) for x in examples]
        found.append(_program(pure, [[p.data for p in parameters], [], rows]))
        if axis is None:
            found *= len(ROWS)
            break
    if any([(op.kind, op.name) for op in each.ops] != [(op.kind, op.name) for op in found[0].ops] for each in found):
        raise Depends("the forward pass runs other operations for a different number of rows")
    inputs = list(zip(*(each.inputs for each in found), strict=True))
    n = len(parameters)
    own = [(names[of[0].slot], parameters[of[0].slot].data, of[0]) for of in inputs[:n]]
    outputs = list(zip(*(each.outputs for each in found), strict=True))
    return Traced(list(zip(*(each.ops for each in found), strict=True)), inputs[n:], own, outputs)


def _program(pure: Callable[..., Any], nest: Any) -> Program:
    leaves, rebuild = flatten(nest)

    def call(values: Any, buffers: Any, args: Any) -> Any:
        return pure(values, buffers, *args)[0]

    with no_grad():
        return trace(call, leaves, lambda parts: (tuple(rebuild(parts)), {}), frozenset())[0]


__all__ = ["Depends", "Free", "Traced", "Untraceable", "merged", "traced"]
