"""Walk back with the user's gradients: choose the state of each that is the gradient, and bound the rounding errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...node import Node
from ..numerical.precision import measured_rounding
from ..numerical.sides import ULPS, Run, Sides
from ..paths import Traced
from ..rows import ROUNDINGS
from .matching import Match, candidate_states, choose_state, is_within_bound, same_but_ones
from .tape import LOST, Tape
from .tracing import State

Array = np.ndarray[Any, Any]

SINGLE, EPS = float(np.finfo(np.float32).eps), float(np.finfo(np.float64).eps)
AROUND = 3  # nearby points at which each gradient is computed again, to measure rounding
FEW = 4  # most undecided gradients for which other states are tried
EXACT = 1e-9  # of the largest entry: the bound of a gradient for which no rounding was measured
EXACT_SINGLE = 2.0**10 * SINGLE  # the same in float32


class Walked(NamedTuple):
    """The result of a walk back with the user's gradients.

    `states` has the chosen state of each match, `user_gradients` the user's gradients that were passed on,
    `rule_gradients` what the rules computed from them. `marked` has the nodes reached from a gradient that could not be
    passed on (its shape is wrong). `undecided` has the matches for which the last possible state is not the right one,
    with all their states.
    """

    states: list[State]
    user_gradients: dict[Node, Array]
    rule_gradients: dict[Node, Array]
    marked: set[Node]
    undecided: dict[int, list[State]]


def injected(
    tape: Tape, matches: Sequence[Match], bounds: Sequence[Array] | float = EXACT,
    forced: Mapping[int, State] | None = None,
) -> Walked:  # fmt: skip
    """Walk back with the user's gradients in place of those that arrive; `forced` fixes the state of some matches.

    A single bound is a relative one.
    """
    user_gradients: dict[Node, Array] = {}
    states: list[Any] = [None] * len(matches)
    marked: set[Node] = set()
    undecided: dict[int, list[State]] = {}
    matches_of: dict[Node, list[int]] = {}
    for k, m in enumerate(matches):
        matches_of.setdefault(m.version.node, []).append(k)

    def replace(node: Node, expected: Array, mark: bool) -> Array | None:
        if mark:
            marked.add(node)
        for k in matches_of[node]:
            bound = _relative_bound(expected, bounds) if isinstance(bounds, float) else bounds[k]
            candidates = candidate_states(matches[k].states)
            states[k], right = choose_state(candidates, expected, bound)
            if len(candidates) > 1 and not (right and states[k] is candidates[-1]):
                undecided[k] = candidates
            states[k] = (forced or {}).get(k, states[k])
            value = as_floats(states[k].array)
            if same_but_ones(value.shape, expected.shape):
                value = value.reshape(expected.shape)
            if value.shape == expected.shape and np.isfinite(value).all():
                user_gradients[node] = value.astype(np.asarray(node.out).dtype)
        return user_gradients.get(node, LOST)

    rule_gradients = tape.walk(matches_of, replace)
    return Walked(states, user_gradients, rule_gradients, marked, undecided)


def gradient_decisions(tape: Tape, matches: Sequence[Match], bounds: Sequence[Array]) -> Walked:
    """Walk back; if the state of a gradient is unclear, take the one with which the fewest steps are wrong."""
    first = injected(tape, matches, bounds)

    def wrong_count(walked: Walked) -> int:
        return len(wrong_steps(walked, matches, bounds))

    best, fewest = first, wrong_count(first)
    if not fewest:
        return first
    forced: dict[int, State] = {}
    for position in (-1, 0):  # the last or the first state for all, so alike in all rounds of a loop
        choices = {k: choice[position] for k, choice in first.undecided.items()}
        trial = injected(tape, matches, bounds, choices) if choices else first
        if wrong_count(trial) < fewest:
            best, fewest, forced = trial, wrong_count(trial), choices
    for k, choice in list(first.undecided.items())[:FEW]:
        for state in choice:
            if state is best.states[k]:
                continue
            trial = injected(tape, matches, bounds, {**forced, k: state})
            if wrong_count(trial) < fewest:
                best, fewest, forced = trial, wrong_count(trial), {**forced, k: state}
    return best


def wrong_steps(walked: Walked, matches: Sequence[Match], bounds: Sequence[Array] | float = EXACT) -> set[int]:
    """Return the numbers of the gradients that are wrong by their own rules; a single bound is a relative one."""
    expected = [walked.rule_gradients[m.version.node] for m in matches]
    allowed = [_relative_bound(e, bounds) for e in expected] if isinstance(bounds, float) else bounds
    return {k for k, state in enumerate(walked.states) if not is_within_bound(state.array, expected[k], allowed[k])}


def _relative_bound(expected: Array, relative: float = EXACT) -> Array:
    bound: Array = relative * (np.abs(expected) + np.abs(expected).max(initial=0))
    return bound


def as_floats(array: Array) -> Array:
    """Return a gradient as a floating-point array; a complex one is unchanged."""
    return array if array.dtype.kind in "fc" else array.astype(np.float64)


def bounds_of(
    tape: Tape, inputs: Sequence[Node], matches: Sequence[Match], user_gradients: Mapping[Node, Array], eps: float,
    rng: np.random.Generator,
) -> tuple[list[Array], list[Array]]:  # fmt: skip
    """Return the rounding error allowed in each gradient, by its value and by its own rule.

    It is measured by moving the inputs a little, and for the rules also the incoming gradients, so that the rounding
    of sums that cancel is seen.
    """
    nodes = [m.version.node for m in matches]
    user_nodes = list(user_gradients)

    def run(leaves: list[Array]) -> Run:
        moved, twins = tape.moved(dict(zip(inputs, leaves[: len(inputs)], strict=True)))
        moved_nodes = [twins.get(node, node) for node in nodes]
        values = moved.walk(moved_nodes)
        replaced = {twins.get(n, n): g for n, g in zip(user_nodes, leaves[len(inputs) :], strict=True)}
        rule_gradients = moved.walk(moved_nodes, lambda node, *_: replaced.get(node))
        grads = [*(values[n] for n in moved_nodes), *(rule_gradients[n] for n in moved_nodes)]
        return Run([np.asarray(n.out) for n, _ in moved.outs], Traced(moved.outs, moved_nodes, moved.operations), grads)

    leaves = [np.asarray(node.out) for node in inputs] + [user_gradients[node] for node in user_nodes]
    at_point = run(leaves)
    sides = Sides(run, leaves, at_point, eps)
    sides.look_around(rng, AROUND)
    rounding = sides.rounding()
    arrays = [user_gradients.get(node, LOST) for node in (*nodes, *nodes)]
    is_right = all(map(is_within_bound, arrays, at_point.grads, rounding))
    if eps >= SINGLE or not is_right:  # longdouble is slow
        measured = measured_rounding(
            lambda cast: run([cast(x) for x in leaves]).grads, at_point.grads, in_float32=eps >= SINGLE
        )
        rounding = [a + b for a, b in zip(rounding, measured, strict=True)]
    values, rule_bounds = rounding[: len(nodes)], rounding[len(nodes) :]
    for k, node in enumerate(nodes):  # y (1 - y) of a y near 1 has lost its digits: it is 0 for a slope of 1e-20
        others = {other: g for other, g in user_gradients.items() if other is not node}
        for _, g in tape.segment(node, others).outs:
            if g.shape == rule_bounds[k].shape:
                rule_bounds[k] = rule_bounds[k] + ROUNDINGS * (SINGLE if eps >= SINGLE else EPS) * np.abs(g)

    def shake(g: Array) -> Array:
        moved: Array = g * (1 + ULPS * eps * rng.uniform(-1, 1, g.shape))
        return moved

    # a sum that cancels to zero for all inputs leaves the rounding of its terms, which only shaken terms show
    for bounds, replace in ((values, None), (rule_bounds, lambda node, *_: user_gradients.get(node))):
        plain = tape.walk(nodes, replace)
        for _ in range(AROUND):
            shaken = tape.walk(nodes, replace, shake)
            for k, node in enumerate(nodes):
                noise = np.abs(shaken[node] - plain[node])
                bounds[k] = np.fmax(bounds[k], 2 * np.where(np.isfinite(noise), noise, 0.0))
    for k, (user, right) in enumerate(zip(arrays, at_point.grads[: len(nodes)], strict=False)):
        if user.shape == right.shape:  # where both are zero up to rounding, that of the user's terms may be larger
            are_zero = (np.abs(user) <= rule_bounds[k]) & (np.abs(right) <= values[k])
            values[k] = values[k] + np.where(are_zero, rule_bounds[k], 0.0)
    return values, rule_bounds
