"""Pair the user's gradients with the values of the forward, also if names are bound several times.

A loop binds ``h`` once a round and its backward binds ``dh`` in reverse order; the pairs are found from the functions
in which the names are bound, the number of bindings, and how well the arrays fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...node import Node
from .names import pair_in_reverse
from .running import UserGradient, Version
from .tracing import State

Array = np.ndarray[Any, Any]


class Match(NamedTuple):
    """A gradient and the value that it belongs to."""

    given: UserGradient
    version: Version
    states: list[State]  # contents that the gradient's name held; one of them is the gradient
    rounds: int
    more: int = 0  # further bindings of the gradient's name that are paired with no value; `states` includes theirs


def match(
    found: Sequence[UserGradient], versions: Mapping[str, Sequence[Version]], right: Mapping[Node, Array]
) -> tuple[list[Match], list[str]]:
    """Pair gradients with values of the forward; return the pairs, and notes for the report on unpaired gradients."""
    by_name: dict[tuple[str, str], list[UserGradient]] = {}
    for one in found:
        by_name.setdefault((one.belongs_to, one.name.partition("[")[0]), []).append(one)
    matches: list[Match] = []
    notes: list[str] = []
    for (whole, name), given in by_name.items():
        values = list(versions[whole]) if whole in versions else parts_of(whole, versions)
        given = _without_zeros(given, values, right)
        rooms = dict.fromkeys(["", *(r for g in given for r in g.rooms)])
        for where in (*rooms, None):  # first pair gradients and values of the same function, then the rest
            mine = [g for g in given if where is None or where in g.rooms]
            theirs = [v for v in values if where is None or where in v.rooms]
            if mine and theirs:
                pairs = _paired(theirs, mine, right)
                matches += pairs
                given = [g for g in given if not any(g is other for other in mine)]
                values = [v for v in values if not any(v.node is m.version.node for m in pairs)]
                over = len(mine) - sum(1 + m.more for m in pairs)
                if over > 0 and len(theirs) > 1:
                    notes.append(f"{name} is assigned {len(mine)} times and {whole.removesuffix('[]')} {len(theirs)} "
                                 f"times; {over} of {name} could not be judged.")  # fmt: skip
    named = [m for m in matches if not m.given.handed]
    return [
        m for m in named if m.given.name.isidentifier() or not any(_is_same_array(m, other) for other in named)
    ], notes


def _is_same_array(one: Match, other: Match) -> bool:
    """Tell whether `other` is a variable that holds the same array as `one`, for the same value."""
    mine, named = one.states[-1].array, other.states[-1].array
    return (one is not other and other.given.name.isidentifier() and one.version.node is other.version.node
            and np.array_equal(mine, named, equal_nan=True))  # fmt: skip


def _without_zeros(
    given: list[UserGradient], values: Sequence[Version], right: Mapping[Node, Array]
) -> list[UserGradient]:
    """Leave out gradients that stay zero, such as an initial ``dh = zeros``, unless the right ones are all zero.

    Parameters, one for each value, may be zero: they may hold what other steps add to a gradient.
    """
    one_each = len(given) == len(values) and all(g.parameter for g in given)
    if one_each or not any(np.any(right[v.node]) for v in values):
        return given
    return [g for g in given if np.any(g.states[-1].array)] or given


def _paired(values: list[Version], given: list[UserGradient], right: Mapping[Node, Array]) -> list[Match]:
    """Pair the bindings of one gradient name with the values of one forward name."""
    values, given = _without_echoes(values, given)
    if len(values) == 1:
        return [_single(given, values[0])]

    def fits(i: int, j: int) -> float:
        want = right[values[i].node]
        states = [s.array for s in given[j].states if s.array.shape == want.shape]
        if not states:
            return 0.1
        near = 1e-8 * np.abs(want).max(initial=0)
        return 1.0 + 10.0 * any(np.allclose(x, want, rtol=1e-5, atol=near) for x in states)

    pairs = pair_in_reverse(len(values), len(given), fits)
    by_line = _by_line(len(values), given)
    if by_line and sum(fits(i, j) for i, j in by_line) >= sum(fits(i, j) for i, j in pairs):
        pairs = by_line
    found = []
    for (i, j), after in zip(pairs, [*(j for _, j in pairs[1:]), len(given)], strict=True):
        # unpaired bindings before the next pair may hold the gradient, as in ``dh = dh * mask``
        more = [] if values[i].node.primitive is None else given[j + 1 : after]
        states = [*given[j].states, *(s for g in more for s in g.states)]
        found.append(Match(given[j], values[i], states, len(given), len(more)))
    return found


def _by_line(count: int, given: Sequence[UserGradient]) -> list[tuple[int, int]]:
    """Pair the gradients of one line of a loop, one each round, with the values; the last binding of all may be added.

    Returns [] if no line has as many bindings as there are values.
    """
    lines: dict[int, list[int]] = {}
    for j, one in enumerate(given):
        lines.setdefault(one.states[0].statement.line, []).append(j)
    for mine in lines.values():
        chosen = mine if len(mine) == count else [*mine, len(given) - 1]
        if 1 < len(chosen) == count < len(given) and chosen[-1] != chosen[-2]:
            return [(count - 1 - k, j) for k, j in enumerate(chosen)]
    return []


def _without_echoes(values: list[Version], given: list[UserGradient]) -> tuple[list[Version], list[UserGradient]]:
    """Leave out echoes (the same name on both sides of a call) if the counts of values and gradients fit only then."""
    fewer, less = [v for v in values if not v.echo], [g for g in given if not g.echo]
    for one, other in ((values, given), (values, less), (fewer, given), (fewer, less)):
        if len(one) == len(other) > 0:
            return one, other
    return fewer or values, less or given


def parts_of(whole: str, versions: Mapping[str, Sequence[Version]]) -> list[Version]:
    """Return the values in a list or dict, given as ``hs[]``, in the order in which they were computed."""
    if not whole.endswith("[]"):
        return []
    name = whole[:-1]
    nodes = {v.node: v for label, found in versions.items() if label.startswith(name) for v in found}
    return sorted(nodes.values(), key=lambda v: v.node.index)


def _single(given: Sequence[UserGradient], value: Version) -> Match:
    """Join all bindings of a gradient of a single value; any of their states may be the gradient.

    For an input only the last state counts.
    """
    last = given[-1]
    if value.node.primitive is None:
        return Match(last, value, last.states[-1:], 1, len(given) - 1)
    return Match(last, value, [state for g in given for state in g.states], 1, len(given) - 1)


def candidate_states(states: Sequence[State]) -> list[State]:
    """Return the states that may be the gradient: those that the next statement does not add to."""
    return [s for s, after in zip(states, [*states[1:], None], strict=True) if after is None or not after.added]


def is_within_bound(m: Array, arrived: Array, bound: Array) -> bool:
    """Tell whether a gradient equals `arrived` within `bound`; axes of length 1 are ignored."""
    if m.size != arrived.size or [n for n in m.shape if n != 1] != [n for n in arrived.shape if n != 1]:
        return False
    return bool((np.abs(m.reshape(arrived.shape) - arrived) <= bound).all())


def choose_state(states: Sequence[State], arrived: Array, bound: Array) -> tuple[State, bool]:
    """Return the state that is the gradient, and whether it is right.

    It is the last right state, or else the state with the largest cosine to `arrived`. It need not be the last state,
    since a name is often reused for the next gradient: ``dh = dh * mask``.
    """
    for state in reversed(states):
        if is_within_bound(state.array, arrived, bound):
            return state, True
    best, nearest = states[-1], -2.0
    for state in reversed(states):
        m = state.array
        if m.shape == arrived.shape and np.isfinite(m).all():
            length = float(np.linalg.norm(m) * np.linalg.norm(arrived))
            cosine = float(np.vdot(m, arrived).real) / length if length else -1.0
            if cosine > nearest + 1e-9:
                best, nearest = state, cosine
    return best, False
