"""Pair the user's gradients with the values of the forward, also if names are bound several times.

A loop binds ``h`` once a round and its backward binds ``dh`` in reverse order; the pairs are found from the functions
in which the names are bound, the number of bindings, and how well the arrays fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np

from ...node import Node
from .names import pair_in_reverse
from .running import UserGradient, Version
from .tracing import State

Array = np.ndarray[Any, Any]

SIGN = 1e-6  # the cosine by which a content with the wrong sign must be nearer


class Match(NamedTuple):
    """A gradient and the value that it belongs to."""

    gradient: UserGradient
    version: Version
    states: list[State]  # contents that the gradient's name held; one of them is the gradient
    rounds: int
    unpaired: int = 0  # further bindings of the gradient's name that are paired with no value; `states` includes theirs


def match(
    gradients: Sequence[UserGradient], versions: Mapping[str, Sequence[Version]], right_gradients: Mapping[Node, Array]
) -> tuple[list[Match], list[str]]:
    """Pair gradients with values of the forward; return the pairs, and notes for the report on unpaired gradients."""
    by_name: dict[tuple[str, str], list[UserGradient]] = {}
    for gradient in gradients:
        by_name.setdefault((gradient.belongs_to, gradient.name.partition("[")[0]), []).append(gradient)
    matches: list[Match] = []
    notes: list[str] = []
    for (value_name, name), same_name in by_name.items():
        values = list(versions[value_name]) if value_name in versions else parts_of(value_name, versions)
        same_name = _without_zeros(same_name, values, right_gradients)
        rooms = dict.fromkeys(["", *(r for g in same_name for r in g.rooms)])
        for room in (*rooms, None):  # first pair gradients and values of the same function, then the rest
            room_gradients = [g for g in same_name if room is None or room in g.rooms]
            room_values = [v for v in values if room is None or room in v.rooms]
            if room_gradients and room_values:
                pairs = _paired(room_values, room_gradients, right_gradients)
                matches += pairs
                same_name = [g for g in same_name if not any(g is other for other in room_gradients)]
                values = [v for v in values if not any(v.node is m.version.node for m in pairs)]
                excess = len(room_gradients) - sum(1 + m.unpaired for m in pairs)
                if excess > 0 and len(room_values) > 1:
                    notes.append(f"{name} is assigned {len(room_gradients)} times and {value_name.removesuffix('[]')} "
                                 f"{len(room_values)} times; {excess} of {name} could not be judged.")  # fmt: skip
    named = [m for m in matches if not m.gradient.is_cotangent]
    return [
        m for m in named if m.gradient.name.isidentifier() or not any(_is_same_array(m, other) for other in named)
    ], notes


def _is_same_array(first: Match, other: Match) -> bool:
    """Tell whether `other` is a variable that holds the same array as `first`, for the same value."""
    array, other_array = first.states[-1].array, other.states[-1].array
    return (first is not other and other.gradient.name.isidentifier() and first.version.node is other.version.node
            and np.array_equal(array, other_array, equal_nan=True))  # fmt: skip


def _without_zeros(
    gradients: list[UserGradient], values: Sequence[Version], right_gradients: Mapping[Node, Array]
) -> list[UserGradient]:
    """Leave out gradients that stay zero, such as an initial ``dh = zeros``, unless the right ones are all zero.

    Parameters, one for each value, may be zero: they may hold what other steps add to a gradient.
    """
    one_each = len(gradients) == len(values) and all(g.is_parameter for g in gradients)
    if one_each or not any(np.any(right_gradients[v.node]) for v in values):
        return gradients
    return [g for g in gradients if np.any(g.states[-1].array)] or gradients


def _paired(values: list[Version], gradients: list[UserGradient], right_gradients: Mapping[Node, Array]) -> list[Match]:
    """Pair the bindings of one gradient name with the values of one forward name."""
    values, gradients = _without_echoes(values, gradients)
    if len(values) == 1:  # any state of its bindings may be the gradient; for an input only the last one
        states = [state for g in gradients for state in g.states]
        states = gradients[-1].states[-1:] if values[0].node.primitive is None else states
        return [Match(gradients[-1], values[0], states, 1, len(gradients) - 1)]

    groups = _with_their_multiples(values, gradients, right_gradients)

    def fit(i: int, j: int) -> float:
        right_gradient = right_gradients[values[i].node]
        states = [s.array for g in groups[j] for s in g.states if s.array.shape == right_gradient.shape]
        if not states:
            return 0.1
        atol = 1e-8 * np.abs(right_gradient).max(initial=0)
        return 1.0 + 10.0 * any(np.allclose(x, right_gradient, rtol=1e-5, atol=atol) for x in states)

    pairs = pair_in_reverse(len(values), len(groups), fit)
    by_line = _by_line(len(values), [group[0] for group in groups])
    if by_line and sum(fit(i, j) for i, j in by_line) >= sum(fit(i, j) for i, j in pairs):
        pairs = by_line
    matches = []
    for (i, j), after in zip(pairs, [*(j for _, j in pairs[1:]), len(groups)], strict=True):
        is_input = values[i].node.primitive is None
        # unpaired bindings before the next pair may hold the gradient, as in ``dh = dh * mask``
        own = groups[j] if is_input else [g for group in groups[j:after] for g in group]
        states = own[-1].states if is_input else [s for g in own for s in g.states]
        matches.append(Match(own[0], values[i], states, len(gradients), len(own) - 1))
    return matches


def _with_their_multiples(
    values: list[Version], gradients: list[UserGradient], right_gradients: Mapping[Node, Array]
) -> list[list[UserGradient]]:
    """Group bindings of a gradient name: a multiple of the binding before, as in ``dp = dp / n``, belongs to it.

    If the right gradient of a value is a multiple of that of another, as with ``h = h / 2``, each stands alone.
    """
    rights = [right_gradients[v.node] for v in values]
    if any(is_multiple(one, other) for one, other in pairwise(rights)):
        return [[g] for g in gradients]
    groups = [gradients[:1]]
    for before, g in pairwise(gradients):
        if is_multiple(before.states[-1].array, g.states[-1].array):
            groups[-1].append(g)
        else:
            groups.append([g])
    return groups


def is_multiple(array: Array, other: Array) -> bool:
    """Tell whether two arrays differ by a factor other than 0 and 1."""
    if array.shape != other.shape or not np.isfinite([array, other]).all() or not array.any():
        return False
    k = np.argmax(np.abs(array))
    a, b = array.flat[k], other.flat[k]
    return bool(b and not np.allclose(array, other, atol=0) and np.allclose(array * (b / a), other, atol=0))


def _by_line(count: int, gradients: Sequence[UserGradient]) -> list[tuple[int, int]]:
    """Pair the gradients of one line of a loop, one each round, with the values; the last binding of all may be added.

    Returns [] if no line has as many bindings as there are values.
    """
    lines: dict[int, list[int]] = {}
    for j, gradient in enumerate(gradients):
        lines.setdefault(gradient.states[0].statement.line, []).append(j)
    for positions in lines.values():
        chosen = positions if len(positions) == count else [*positions, len(gradients) - 1]
        if 1 < len(chosen) == count < len(gradients) and chosen[-1] != chosen[-2]:
            return [(count - 1 - k, j) for k, j in enumerate(chosen)]
    return []


def _without_echoes(values: list[Version], gradients: list[UserGradient]) -> tuple[list[Version], list[UserGradient]]:
    """Leave out echoes (the same name on both sides of a call) if the counts of values and gradients fit only then."""
    plain_values, plain_gradients = [v for v in values if not v.is_echo], [g for g in gradients if not g.is_echo]
    for one, other in product((values, plain_values), (gradients, plain_gradients)):
        if len(one) == len(other) > 0:
            return one, other
    return plain_values or values, plain_gradients or gradients


def parts_of(container: str, versions: Mapping[str, Sequence[Version]]) -> list[Version]:
    """Return the values in a list or dict, given as ``hs[]``, in the order in which they were computed."""
    if not container.endswith("[]"):
        return []
    name = container[:-1]
    nodes = {v.node: v for label, bound_versions in versions.items() if label.startswith(name) for v in bound_versions}
    return sorted(nodes.values(), key=lambda v: v.node.index)


def candidate_states(states: Sequence[State]) -> list[State]:
    """Return the states that may be the gradient: those that the next statement does not add to."""
    return [s for s, after in zip(states, [*states[1:], None], strict=True) if after is None or not after.added]


def same_but_ones(shape: tuple[int, ...], other_shape: tuple[int, ...]) -> bool:
    """Tell whether two shapes are equal apart from axes of length 1."""
    return [n for n in shape if n != 1] == [n for n in other_shape if n != 1]


def reshaped(array: Array, other: Array) -> Array:
    """Return an array in the shape of another, if they differ by axes of length 1 only."""
    return array.reshape(other.shape) if same_but_ones(array.shape, other.shape) else array


def is_within_bound(m: Array, expected: Array, bound: Array) -> bool:
    """Tell whether a gradient equals `expected` within `bound`; axes of length 1 are ignored."""
    if not same_but_ones(m.shape, expected.shape):
        return False
    return bool((np.abs(m.reshape(expected.shape) - expected) <= bound).all())


def choose_state(states: Sequence[State], expected: Array, bound: Array) -> tuple[State, bool]:
    """Return the state that is the gradient, and whether it is right.

    It is the last right state, or else the one nearest to a multiple of `expected`, rather with the right sign. It need
    not be the last state, since a name is often reused for the next gradient: ``dh = dh * mask``.
    """
    for state in reversed(states):
        if is_within_bound(state.array, expected, bound):
            return state, True
    best, nearest = states[-1], -2.0
    for state in reversed(states):
        m = state.array
        if m.shape == expected.shape and np.isfinite(m).all():
            length = float(np.linalg.norm(m) * np.linalg.norm(expected))
            cosine = float(np.vdot(m, expected).real) / length if length else -1.0
            likeness = max(cosine, abs(cosine) - SIGN) if length else cosine
            if likeness > nearest + 1e-9:
                best, nearest = state, likeness
    return best, False
