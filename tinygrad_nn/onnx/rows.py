"""A forward traced for two numbers of rows, so that what depends on their number is told from what is fixed."""

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

ROWS = 2, 3  # neither is 1, along which arrays are broadcast


class Free(NamedTuple):
    """A whole number that is ``slope * rows + start``."""

    slope: int
    start: int


class Depends(ValueError):
    """Raised where something depends on the number of rows in a way that cannot be written down."""


def merged(a: Any, b: Any) -> Any:
    """Return what is the same for both numbers of rows, with `Free` for whole numbers that grow with it."""
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        return tuple(merged(x, y) for x, y in zip(a, b, strict=True))
    if type(a) is type(b) and (a is b or a == b):
        return a
    if isinstance(a, (int, np.integer)) and isinstance(b, (int, np.integer)) and not isinstance(a, bool):
        slope = int(b - a) // (ROWS[1] - ROWS[0])
        return Free(slope, int(a) - slope * ROWS[0])
    raise Depends(f"{a!r:.40} becomes {b!r:.40} with one row more")


class Traced(NamedTuple):
    """Pairs of operations for both numbers of rows, in order, pairs of inputs, of parameters by name, and outputs."""

    ops: list[tuple[Op, Op]]
    inputs: list[tuple[Value, Value]]
    parameters: list[tuple[str, Any, Value]]
    outputs: list[tuple[Any, Any]]


def traced(module: Module, examples: Sequence[np.ndarray[Any, Any]], axis: int | None) -> Traced:
    """Trace ``module(*examples)`` twice; the length of the examples along `axis` is free, ``None`` for none.

    Raises:
        Untraceable: the forward does what cannot be written down.
        Depends: it does other operations for another number of rows.
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
        raise Depends("the forward does other operations for another number of rows")
    pairs = list(zip(one.inputs, two.inputs, strict=True))
    n = len(parameters)
    own = [(names[a.slot], parameters[a.slot].data, a) for a, _ in pairs[:n]]
    outputs = list(zip(one.outputs, two.outputs, strict=True))
    return Traced(list(zip(one.ops, two.ops, strict=True)), pairs[n:], own, outputs)


def _program(pure: Callable[..., Any], nest: Any) -> Program:
    leaves, rebuild = flatten(nest)

    def call(values: Any, kept: Any, args: Any) -> Any:
        return pure(values, kept, *args)[0]

    with no_grad():
        return trace(call, leaves, lambda parts: (tuple(rebuild(parts)), {}), frozenset())[0]


__all__ = ["Depends", "Free", "Traced", "Untraceable", "merged", "traced"]
