"""Explain why a step is wrong: by the shape of the gradient first, then by known mistakes at the graph's operations.

The operations searched are those between the step's value and the next values for which the user gave gradients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from ...graph.walk import as_argument
from ...node import Node
from ..diagnosis import Diagnosis, Row
from ..function.calling import Inputs
from ..function.gradient_data import CLOSE, GradientData
from ..function.operations import explain_graph
from ..numerical.sides import Run, Sides
from ..numerical.subgradients import Hull
from ..paths import Traced, args_of, gradients, parents_of
from .matching import Match, same_but_ones
from .tape import Tape
from .tracing import State

Array = np.ndarray[Any, Any]

FEW, USES = 6, 8  # most statements adding up a gradient, and most uses of its value, for which all sums are tried


def explain_step(
    tape: Tape, match: Match, state: State, right_gradient: Array, row: Row, wrong_mask: Array, bound: Array,
    user_gradients: Mapping[Node, Array], has_float32: bool, rng: np.random.Generator,
) -> Diagnosis:  # fmt: skip
    """Return why a gradient differs from what its own rule computes from the user's gradients that came into it."""
    node, name, value_name = match.version.node, match.gradient.name, match.gradient.belongs_to
    user_gradient = state.array if state.array.dtype.kind in "fc" else state.array.astype(np.float64)
    part = tape.segment(node, user_gradients)
    of_shape = shape_diagnosis(part, name, value_name, user_gradient, right_gradient)
    if of_shape is not None:
        return of_shape
    in_hull = _in_hull(part, user_gradient, right_gradient, has_float32, rng)
    diagnosis = explain_part(part, name, value_name, user_gradient, right_gradient, bound, wrong_mask, row, in_hull)
    evidence = tuple(sentence.replace(", numerical nan", "") for sentence in diagnosis.evidence)
    return replace(diagnosis, evidence=evidence)


def explain_part(
    part: Traced, name: str, value_name: str, user_gradient: Array, right_gradient: Array, bound: Array,
    wrong_mask: Array, row: Row, in_hull: bool = False, close: float = CLOSE,
) -> Diagnosis:  # fmt: skip
    """Return why the gradient of the one input of a graph is wrong, by the mistakes that its operations allow."""
    inputs = Inputs([name], [right_gradient], False, [right_gradient], [name], [0], [0])
    data = GradientData(inputs, [user_gradient], [right_gradient], [bound], [wrong_mask], part,
                        [np.asarray(part.inputs[0].out)], [], close, values=[value_name])  # fmt: skip
    diagnosis = explain_graph(data, [row], [in_hull])[0]
    return replace(diagnosis, text=diagnosis.text.replace(f"the gradient of {name}", name))


def blamed_steps(tape: Tape, match: Match, state: State, user_gradients: Mapping[Node, Array]) -> State:
    """Return the state after the wrong statement, for a gradient that several statements add up.

    A statement is right if it adds the contribution of one use of the value, or of several. If exactly one statement
    is left over, it is the wrong one; otherwise `state` is returned.
    """
    states = match.gradient.states if any(s is state for s in match.gradient.states) else match.states
    at = next((k for k, s in enumerate(states) if s is state), 0)
    first = at
    while first and states[first].added:
        first -= 1
    wrong_state = _unexplained_state(tape, match, state, states[first : at + 1], user_gradients)
    if wrong_state is None and first:  # statements that write into parts of an array add up as well
        wrong_state = _unexplained_state(tape, match, state, states[: at + 1], user_gradients)
    return wrong_state or state


def _unexplained_state(
    tape: Tape, match: Match, state: State, chain: list[State], user_gradients: Mapping[Node, Array]
) -> State | None:
    """Return the one state of a chain after which something stands that no use of the value explains, else None."""
    parts: dict[int, tuple[State, Array]] = {}
    for s, before in zip(chain, [None, *chain[:-1]], strict=True):
        if s.array.shape != chain[0].array.shape:
            return None
        added = s.array if before is None else s.array - before.array
        earlier = parts.get(s.statement.line)
        parts[s.statement.line] = s, added if earlier is None else earlier[1] + added
    if not 1 < len(parts) <= FEW:
        return None
    contributions = _contributions(tape.segment(match.version.node, user_gradients))
    if len(contributions) > USES:
        return None
    unexplained = []
    for s, part in parts.values():
        if np.abs(part).max(initial=0) <= 1e-9 * np.abs(state.array).max(initial=0):
            continue
        numbers = range(len(contributions))
        matching = next((chosen for count in range(1, len(numbers) + 1) for chosen in combinations(numbers, count)
                         if _is_close(part, sum(contributions[k] for k in chosen))), None)  # fmt: skip
        if matching is None:
            unexplained.append(s)
        else:
            contributions = [c for k, c in enumerate(contributions) if k not in matching]
    return unexplained[0] if len(unexplained) == 1 else None


def is_part_of_sum(tape: Tape, match: Match, state: State, user_gradients: Mapping[Node, Array]) -> bool:
    """Tell whether an array is the sum of the contributions of some uses of a value, or of none, and not of all."""
    if not state.array.any():
        return True
    others = {node: g for node, g in user_gradients.items() if node is not match.version.node}
    parts = _contributions(tape.segment(match.version.node, others))
    return len(parts) <= USES and any(
        _is_close(state.array, sum(parts[k] for k in chosen))
        for count in range(1, len(parts)) for chosen in combinations(range(len(parts)), count)
    )  # fmt: skip


def _contributions(part: Traced) -> list[Array]:
    """Return the contribution of each use of a value to its gradient."""
    start = part.inputs[0]
    contributions: list[Array] = []

    def record(node: Node, g: Array, slots: list[Any]) -> list[Any]:
        for parent, arg, r in zip(parents_of(node), args_of(node), slots, strict=True):
            if parent is start and r is not None:
                contributions.append(as_argument(np.asarray(r), np.asarray(arg)))
        return slots

    gradients(part, {k: record for k, node in enumerate(part.operations) if start in parents_of(node)})
    return contributions


def _is_close(part: Array, other: Any) -> bool:
    size = max(float(np.abs(part).max(initial=0)), float(np.abs(other).max(initial=0)))
    tolerance = 1e-4 if part.dtype == np.float32 else 1e-9
    return part.shape == np.shape(other) and bool((np.abs(part - other) <= tolerance * size).all())


def _in_hull(part: Traced, gradient: Array, right: Array, has_float32: bool, rng: np.random.Generator) -> bool:
    """Tell whether a gradient is a valid subgradient: a different convention at a kink, not a mistake."""
    if gradient.shape != right.shape or not part.operations:
        return False

    def run(leaves: list[Array]) -> Run:
        moved, twins = Tape(part.outs).moved({part.inputs[0]: leaves[0]})
        trace = Traced(moved.outs, [twins[part.inputs[0]]], moved.operations)
        return Run([np.asarray(node.out) for node, _ in moved.outs], trace, gradients(trace))

    leaf = np.asarray(part.inputs[0].out)
    eps = float(np.finfo(np.float32 if has_float32 else np.float64).eps)
    sides = Sides(run, [leaf], run([leaf]), eps)
    sides.look_around(rng, 3)
    return Hull(sides, sides.rounding(), rng).right_at_kink([gradient])[0]


def shape_diagnosis(part: Traced, name: str, value_name: str, gradient: Array, right: Array) -> Diagnosis | None:
    """Explain a gradient whose shape is not that of its value: a missing sum, a reshape, a transpose; else None.

    A missing sum is found from an operation that broadcast the value.
    """
    if gradient.shape == right.shape:
        return None
    shapes = f"{name} is {gradient.shape}, {value_name} is {right.shape}"
    for out in dict.fromkeys(np.shape(node.out) for node in part.operations if part.inputs[0] in parents_of(node)):
        axes = _broadcast_axes(right.shape, out)
        if not axes or _summed_shape(out, axes, right.shape) != right.shape:
            continue
        axes_text = " and ".join("the batch (axis 0)" if axis == 0 else f"axis {axis}" for axis in axes)
        keep = ", keepdims=True" if len(out) == right.ndim and right.ndim else ""
        axis_text = str(axes[0]) if len(axes) == 1 else str(axes)
        call = f"{name}.sum({'' if len(axes) == len(out) and not right.ndim else axis_text}{keep})"
        if gradient.shape == out:
            text = f"{shapes}: it was broadcast over {axes_text}, so its gradient is summed over {axes_text}: {call}."
            return Diagnosis("broadcast_not_summed", name, text, (), r"\bar b = \sum_n g_n")
        for other in (chosen for count in range(1, len(out) + 1) for chosen in combinations(range(len(out)), count)):
            if other != axes and gradient.shape in (
                _summed_shape(out, other, None),
                _summed_shape(out, other, None, keep=True),
            ):
                wrong = "all axes" if len(other) == len(out) > 1 else " and ".join(f"axis {axis}" for axis in other)
                text = (f"{shapes}: it was broadcast over {axes_text}, so its gradient is summed over {axes_text}, and "
                        f"here it was summed over {wrong}: {call}.")  # fmt: skip
                return Diagnosis("wrong_axis_sum", name, text, (), r"\bar b = \sum_n g_n")
    if same_but_ones(gradient.shape, right.shape):
        return None
    if gradient.size == right.size and np.allclose(gradient.reshape(right.shape), right, rtol=1e-6, atol=0):
        text = f"{shapes}: the numbers are right, but the shape is not: {name}.reshape({value_name}.shape)."
        return Diagnosis("edit", name, text)
    if gradient.shape == right.shape[::-1]:
        text = f"{shapes}: a gradient has the shape of its value, and this one is transposed: {name}.T."
        return Diagnosis("transpose", name, text)
    return None


def _broadcast_axes(shape: tuple[int, ...], out: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes of `out` along which an argument of `shape` was broadcast; () if it does not broadcast to it."""
    missing = len(out) - len(shape)
    if missing < 0 or any(n not in (1, m) for n, m in zip(shape, out[missing:], strict=True)):
        return ()
    return (*range(missing), *(k + missing for k, n in enumerate(shape) if n == 1 != out[k + missing]))


def _summed_shape(out: tuple[int, ...], axes: tuple[int, ...], like: tuple[int, ...] | None, keep: bool = False) -> Any:
    """Return the shape of `out` summed over `axes`; with keepdims if `keep`, or if `like` has as many axes."""
    if keep or (like is not None and len(like) == len(out)):
        return tuple(1 if k in axes else n for k, n in enumerate(out))
    return tuple(n for k, n in enumerate(out) if k not in axes)


