"""Trace a forward twice, with 2 and 3 rows, to find out which lengths and numbers grow with the number of rows."""

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

ROWS = 2, 3  # not 1, because an axis of length 1 would be broadcast


class Free(NamedTuple):
    """An integer that depends on the number of rows: ``slope * rows + start``."""

    slope: int
    start: int


class Depends(ValueError):
    """Raised if something depends on the number of rows in a way that ONNX cannot express."""


def merged(a: Any, b: Any) -> Any:
    """Return one value for both traces: equal ones as they are, integers that differ as `Free`, tuples by entry."""
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        return tuple(merged(x, y) for x, y in zip(a, b, strict=True))
    if type(a) is type(b) and (a is b or a == b):
        return a
    if isinstance(a, (int, np.integer)) and isinstance(b, (int, np.integer)) and not isinstance(a, bool):
        slope = int(b - a) // (ROWS[1] - ROWS[0])
        return Free(slope, int(a) - slope * ROWS[0])
    raise Depends(f"{a!r:.40} becomes {b!r:.40} with one more row")


class Traced(NamedTuple):
    """Both traces: pairs of operations, in order, of inputs and of outputs; parameters as (name, array, value)."""

    ops: list[tuple[Op, Op]]
    inputs: list[tuple[Value, Value]]
    parameters: list[tuple[str, Any, Value]]
    outputs: list[tuple[Any, Any]]


def traced(module: Module, examples: Sequence[np.ndarray[Any, Any]], axis: int | None) -> Traced:
    """Trace ``module(*examples)`` for both numbers of rows along `axis`; ``None`` traces the given shapes only.

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
            found *= 2
            break
    one, two = found
    if [(op.kind, op.name) for op in one.ops] != [(op.kind, op.name) for op in two.ops]:
        raise Depends("the forward pass runs other operations for a different number of rows")
    pairs = list(zip(one.inputs, two.inputs, strict=True))
    n = len(parameters)
    own = [(names[a.slot], parameters[a.slot].data, a) for a, _ in pairs[:n]]
    outputs = list(zip(one.outputs, two.outputs, strict=True))
    return Traced(list(zip(one.ops, two.ops, strict=True)), pairs[n:], own, outputs)


def _program(pure: Callable[..., Any], nest: Any) -> Program:
    leaves, rebuild = flatten(nest)

    def call(values: Any, buffers: Any, args: Any) -> Any:
        return pure(values, buffers, *args)[0]

    with no_grad():
        return trace(call, leaves, lambda parts: (tuple(rebuild(parts)), {}), frozenset())[0]


__all__ = ["Depends", "Free", "Traced", "Untraceable", "merged", "traced"]
