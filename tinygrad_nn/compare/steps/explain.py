"""Why a step is wrong: its shape first, then the mistakes at the operations between it and what came after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...node import Node
from ..diagnosis import Diagnosis, Row
from ..function.calling import Inputs
from ..function.look import Look
from ..function.operations import explain_graph
from ..numerical.sides import Run, Sides
from ..numerical.subgradients import Hull
from ..paths import Traced, gradients
from .matching import Match
from .tape import Tape
from .tracing import State

Array = np.ndarray[Any, Any]


def explain_step(
    tape: Tape, match: Match, state: State, right: Array, row: Row, bad: Array, bound: Array,
    given: Mapping[Node, Array], single: bool, rng: np.random.Generator,
) -> Diagnosis:  # fmt: skip
    """Return why a gradient is not what its own rule makes of the person's gradients that came into it."""
    node, name, whole = match.version.node, match.given.name, match.given.belongs_to
    mine = state.array if state.array.dtype.kind in "fc" else state.array.astype(np.float64)
    part = tape.segment(node, given)
    shaped = by_shape(part, name, whole, mine, right)
    if shaped is not None:
        return shaped
    inputs = Inputs([name], [right], False, [right], [name], [0], [0])
    look = Look(inputs, [mine], [right], [bound], [bad], part, [np.asarray(node.out)], [])
    in_hull = [_in_hull(part, mine, right, single, rng)]
    return explain_graph(look, [row], in_hull)[0]


def _in_hull(part: Traced, mine: Array, right: Array, single: bool, rng: np.random.Generator) -> bool:
    """Tell whether a gradient is another convention at a kink."""
    if mine.shape != right.shape or not part.operations:
        return False

    def run(leaves: list[Array]) -> Run:
        moved, twins = Tape(part.outs).moved({part.inputs[0]: leaves[0]})
        trace = Traced(moved.outs, [twins[part.inputs[0]]], moved.operations)
        return Run([np.asarray(node.out) for node, _ in moved.outs], trace, gradients(trace))

    leaf = np.asarray(part.inputs[0].out)
    eps = float(np.finfo(np.float32 if single else np.float64).eps)
    sides = Sides(run, [leaf], run([leaf]), eps)
    sides.look_around(rng, 3)
    return Hull(sides, sides.rounding(), rng).here([mine])[0]


def by_shape(part: Traced, name: str, whole: str, mine: Array, right: Array) -> Diagnosis | None:
    """Explain a gradient that has another shape than its value: where that was broadcast, along which axes."""
    if mine.shape == right.shape:
        return None
    shapes = f"{name} is {mine.shape}, {whole} is {right.shape}"
    for out in dict.fromkeys(np.shape(node.out) for node in part.operations if part.inputs[0] in (node.parents or ())):
        axes = _summed(right.shape, out)
        if not axes or _left(out, axes, right.shape) != right.shape:
            continue
        named = " and ".join("the batch (axis 0)" if axis == 0 else f"axis {axis}" for axis in axes)
        keep = ", keepdims=True" if len(out) == right.ndim and right.ndim else ""
        which = str(axes[0]) if len(axes) == 1 else str(axes)
        call = f"{name}.sum({'' if len(axes) == len(out) and not right.ndim else which}{keep})"
        if mine.shape == out:
            text = f"{shapes}: it was broadcast over {named}, so its gradient is summed over {named}: {call}."
            return Diagnosis("broadcast_not_summed", name, text, (), r"\bar b = \sum_n g_n")
        for axis in range(len(out)):
            if (axis,) != axes and mine.shape in (_left(out, (axis,), None), _left(out, (axis,), None, keep=True)):
                text = (f"{shapes}: it was broadcast over {named}, so its gradient is summed over {named}, and here it "
                        f"was summed over axis {axis}.")  # fmt: skip
                return Diagnosis("wrong_axis_sum", name, text, (), r"\bar b = \sum_n g_n")
    if same_but_ones(mine.shape, right.shape):
        return None
    if mine.shape == right.shape[::-1]:
        text = f"{shapes}: a gradient has the shape of its value, and this one is transposed: {name}.T."
        return Diagnosis("transpose", name, text)
    return None


def same_but_ones(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Tell whether two shapes differ by axes of length 1 only."""
    return [n for n in one if n != 1] == [n for n in other if n != 1]


def _summed(shape: tuple[int, ...], out: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes of a result along which an argument of this shape was broadcast; none if it does not fit."""
    missing = len(out) - len(shape)
    if missing < 0 or any(n not in (1, m) for n, m in zip(shape, out[missing:], strict=True)):
        return ()
    return (*range(missing), *(k + missing for k, n in enumerate(shape) if n == 1 != out[k + missing]))


def _left(out: tuple[int, ...], axes: tuple[int, ...], like: tuple[int, ...] | None, keep: bool = False) -> Any:
    """Return the shape that is left of a result summed over some axes."""
    if keep or (like is not None and len(like) == len(out)):
        return tuple(1 if k in axes else n for k, n in enumerate(out))
    return tuple(n for k, n in enumerate(out) if k not in axes)


