"""Which gradient of a person belongs to which value of the forward, where names are bound several times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...node import Node
from .names import aligned
from .running import Given, Version
from .tracing import State

Array = np.ndarray[Any, Any]


class Match(NamedTuple):
    """A gradient and the value that it belongs to; other gradients of the same value that may be meant."""

    given: Given
    version: Version
    states: list[State]  # those that may be meant, the likeliest last
    rounds: int


def match(
    found: Sequence[Given], versions: Mapping[str, Sequence[Version]], right: Mapping[Node, Array]
) -> tuple[list[Match], list[str]]:
    """Pair gradients with values of the forward; return the pairs, and sentences on what was not paired."""
    by_name: dict[tuple[str, str], list[Given]] = {}
    for one in found:
        by_name.setdefault((one.belongs_to, one.name.partition("[")[0]), []).append(one)
    matches: list[Match] = []
    notes: list[str] = []
    for (whole, _), given in by_name.items():
        values = list(versions[whole]) if whole in versions else parts_of(whole, versions)
        if not values:
            continue
        if len(given) > len(values):  # zeros to begin with are no gradient
            given = [g for g in given if np.any(g.states[-1].array) or not np.any(right[values[0].node])] or given[-1:]
        if len(values) == 1:
            matches.append(_single(given, values[0]))
            continue

        def fits(i: int, j: int, values: Any = values, given: Any = given) -> float:
            want = right[values[i].node]
            states = [s.array for s in given[j].states if s.array.shape == want.shape]
            if not states:
                return 0.0
            return 1.0 + 10.0 * any(np.allclose(x, want, rtol=1e-5, atol=1e-8 * (np.abs(want).max(initial=0)))
                                    for x in states)  # fmt: skip

        pairs = aligned(len(values), len(given), fits)
        matches += [Match(given[j], values[i], given[j].states, len(given)) for i, j in pairs]
        if len(values) != len(given):
            notes.append(
                f"{given[0].name} is bound {len(given)} times and {whole.removesuffix('[]')} {len(values)} times, so "
                f"{abs(len(values) - len(given))} of them could not be judged."
            )
    return matches, notes


def parts_of(whole: str, versions: Mapping[str, Sequence[Version]]) -> list[Version]:
    """Return the parts of a list or dict of values, ``hs[]``, in the order in which they were made."""
    if not whole.endswith("[]"):
        return []
    name = whole[:-1]
    nodes = {v.node: v for label, found in versions.items() if label.startswith(name) for v in found}
    return sorted(nodes.values(), key=lambda v: v.node.index)


def _single(given: Sequence[Given], value: Version) -> Match:
    """Join the bindings of the gradient of a value: one after another may be meant; of an input only the last one."""
    last = given[-1]
    if value.node.primitive is None:
        return Match(last, value, last.states[-1:], 1)
    return Match(last, value, [state for g in given for state in g.states], 1)


def meant(states: Sequence[State]) -> list[State]:
    """Return the states that may be the gradient: not those that a later statement adds to, which are parts of it."""
    return [s for s, after in zip(states, [*states[1:], None], strict=True) if after is None or not after.added]


def right_by(m: Array, arrived: Array, bound: Array) -> bool:
    """Tell whether a gradient is what arrived, to rounding."""
    if m.size != arrived.size or [n for n in m.shape if n != 1] != [n for n in arrived.shape if n != 1]:
        return False
    return bool((np.abs(m.reshape(arrived.shape) - arrived) <= bound).all())


def chosen(states: Sequence[State], arrived: Array, bound: Array) -> tuple[State, bool]:
    """Return the state that is meant, and whether it is right: the last right one, else the one of nearest direction.

    A name is often used on for what comes next, ``dh = dh * mask``; then an earlier state is the gradient.
    """
    for state in reversed(states):
        if right_by(state.array, arrived, bound):
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
