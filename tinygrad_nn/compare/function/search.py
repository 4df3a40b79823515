"""Which mistake in the graph gives a person's gradients: looked for by cheap signs, then walked, then tried elsewhere.

Each change of a rule adds something to the gradients of that operation's arguments. What it adds to the gradients of
the inputs, seen along a direction u, is what it adds at the arguments times how these move as the inputs move along u.
So one run beside the point tells of every change what it would do along u, without a walk; only what agrees is walked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...graph.walk import conjugate, rule_results
from ..factors import Factor, name_factor
from ..mistakes import Mistake
from ..paths import Array, Traced, gradients
from .calling import Inputs
from .mutants import Mutant, arriving, groups, local, singles
from .places import sites_of

Probe = tuple[list[Array], Traced, list[Array]]

CLOSE = 1e-7
STEP = 1e-5  # of the inputs, beside the point; differences at both sides are right to its square
SIGN = 1e-4  # how far what a change adds may be off along a direction: the error of the differences, and far more
DIRECTIONS = 3
HELD = 3e7  # numbers that the runs beside the point may hold together
WALKED = 16  # candidates of one kind that are walked
WALKS = 6e8  # numbers that walks without a sign may go through, about


class Look(NamedTuple):
    """What there is to look at: inputs, a person's gradients, the right ones, the graph, answers at other inputs."""

    inputs: Inputs
    mine: list[Array]
    right: list[Array]
    rounding: list[Array]
    bads: list[Array]
    trace: Traced
    leaves: list[Array]
    probes: list[Probe]
    again: Callable[[list[Array]], Traced] | None = None

    def label(self, i: int) -> str:
        """Return the name of an input."""
        return self.inputs.labels[self.inputs.moving[i]]

    @property
    def single(self) -> bool:
        """Whether the person's arrays are float32."""
        return any(m.dtype.itemsize < 8 for m in self.mine)


class Match(NamedTuple):
    """A mistake that gives the numbers of a person, by a factor."""

    mutant: Mutant
    factor: Factor


def close(look: Look, m: Array, p: Array) -> bool:
    """Tell whether two gradients are the same to rounding."""
    if m.shape != p.shape or not np.isfinite(p).all():
        return False
    size = max(float(np.abs(m).max(initial=0)), float(np.abs(p).max(initial=0)))
    return bool((np.abs(m - p) <= (3e-4 if look.single else CLOSE) * size).all())


def matches(look: Look, over: Sequence[int], *, linear: bool = True) -> list[Match]:
    """Return the mistakes that explain the gradients of some inputs, the simplest first.

    Args:
        look: the numbers.
        over: the inputs, by number: wrong ones, and right ones that the mistake must leave as they are.
        linear: whether also gradients with any factor at one operation are looked for.
    """
    over = [i for i in over if look.mine[i].shape == look.right[i].shape]
    if not over:
        return []
    found: list[Match] = []
    tried: dict[str, int] = {}
    candidates = list(_signed(look, over))
    for mutant in sorted(candidates, key=lambda m: (m.linear, m.cost)):
        if (mutant.linear and not linear) or tried.get(mutant.kind, 0) >= WALKED:
            continue
        tried[mutant.kind] = tried.get(mutant.kind, 0) + 1
        factor = _fits(look, mutant, over)
        if factor is not None:
            found.append(Match(mutant, factor))
    if not any(m.factor.is_one and not m.mutant.linear for m in found):
        found += _together(look, over)
    return found


def _together(look: Look, over: Sequence[int]) -> Iterator[Match]:
    """Yield mistakes that are made at several operations: nothing tells of them but the walk itself."""
    cost = max(sum(np.size(n.out) for n in look.trace.operations) + 4000 * len(look.trace.operations), 1)
    left = int(WALKS / cost)
    for mutant in (*_wide(look.trace), *groups(look.trace, sites_of(look.trace))):
        if left <= 0:
            return
        left -= 1
        factor = _fits(look, mutant, over)
        if factor is not None:
            yield Match(mutant, factor)


def _wide(graph: Traced) -> Iterator[Mutant]:
    """Yield sums over broadcasts that are missing: one, two, all."""
    found = [m for m in singles(graph) if m.wide]
    yield from found
    if 1 < len(found) < 40:
        text = "What was broadcast acts in many places, so its gradient is the sum over them. These sums are missing."
        for i, a in enumerate(found):
            for b in found[i + 1 :]:
                yield Mutant(a.kind, text, (*a.parts, *b.parts), 1.05)
        if len(found) > 2:
            yield Mutant(found[0].kind, text, tuple(part for m in found for part in m.parts), 1.05)


def _signed(look: Look, over: Sequence[int]) -> Iterator[Mutant]:
    """Yield the mistakes at one operation that agree with a person's gradients along some directions."""
    graph = look.trace
    moves = _moves(look, over)
    if moves is None:
        yield from (m for m in singles(graph) if not m.wide)
        return
    directions, tangents = moves
    goal = np.array([sum(float(np.vdot(u[i], look.mine[i] - look.right[i])) for i in over) for u in directions])
    whole = np.array([sum(float(np.vdot(u[i], look.mine[i])) for i in over) for u in directions])
    right = np.array([sum(float(np.vdot(u[i], look.right[i])) for i in over) for u in directions])
    arrived = arriving(graph)
    slots: dict[int, list[Any]] = {}
    for mutant in singles(graph):
        place, mistake = mutant.parts[0]
        if mutant.wide or place not in arrived:
            continue
        if place not in slots:
            slots = {place: rule_results(graph.operations[place], np.asarray(arrived[place]))}
        added = _added(graph, place, mistake, arrived[place], slots[place], tangents)
        if added is None:
            continue
        seen, noise = added
        allowed = (10 * SIGN if look.single else SIGN) * noise
        if not (noise > 0).any():
            continue
        if mutant.linear:
            best = int(np.argmax(np.abs(seen)))
            s = goal[best] / seen[best] if seen[best] else np.inf
            if np.isfinite(s) and (np.abs(goal - s * seen) <= np.abs(s) * allowed).all():
                yield mutant
            continue
        total = right + seen
        best = int(np.argmax(np.abs(total)))
        s = whole[best] / total[best] if total[best] else np.inf
        if (np.abs(goal - seen) <= allowed).all() or (
                np.isfinite(s) and (np.abs(whole - s * total) <= np.abs(s) * allowed).all()):  # fmt: skip
            yield mutant


def _added(
    graph: Traced, place: int, mistake: Mistake, g: Array, slots: list[Any], tangents: list[list[Array]]
) -> tuple[Array, Array] | None:
    """Return what a mistake adds along each direction, and the size of the terms of that sum."""
    with np.errstate(all="ignore"):
        parts = local(graph, place, mistake, g, slots)
    if parts is None or all(d is None for d in parts):
        return None
    seen, noise = np.zeros(len(tangents)), np.zeros(len(tangents))
    for k, moved in enumerate(tangents):
        for d, t in zip(parts, moved[place], strict=True):
            if d is None or t is None:
                continue
            terms = np.real(d * t)
            seen[k] += terms.sum()
            noise[k] += np.abs(terms).sum()
    return (seen, noise) if np.isfinite(seen).all() else None


def _moves(look: Look, over: Sequence[int]) -> tuple[list[dict[int, Array]], list[list[Any]]] | None:
    """Return some directions of the inputs, and how the arguments of each operation move along them."""
    graph = look.trace
    held = sum(np.size(a) for node in graph.operations for a in node.args or ()) * DIRECTIONS * 3
    if look.again is None or held > HELD or any(np.iscomplexobj(x) for x in (*look.leaves, *look.right)):
        return None
    rng = np.random.default_rng(0)
    directions: list[dict[int, Array]] = []
    tangents: list[list[Any]] = []
    for _ in range(DIRECTIONS):
        u = {i: np.asarray(rng.normal(size=look.leaves[i].shape) * max(np.abs(look.leaves[i]).max(initial=0), 1e-3))
             for i in over}  # fmt: skip
        sides = []
        for step in (STEP, -STEP):
            moved = [x + step * u[i] if i in u else x for i, x in enumerate(look.leaves)]
            try:
                beside = look.again(moved)
            except Exception:  # whatever a person's function may raise beside its domain
                return None
            if beside.signature != graph.signature:
                return None
            sides.append(beside.operations)
        found = []
        for one, two in zip(*sides, strict=True):
            found.append([
                None if p is None else (np.asarray(a) - np.asarray(b)) / (2 * STEP)
                for p, a, b in zip(one.parents or (), one.args or (), two.args or (), strict=True)
            ])  # fmt: skip
        directions.append(u)
        tangents.append(found)
    return directions, tangents


def _fits(look: Look, mutant: Mutant, over: Sequence[int]) -> Factor | None:
    """Return the factor by which a mistake explains some inputs, at all points; None where it does not."""
    if mutant.linear:
        def beside(trace: Traced, right: list[Array]) -> list[Array] | None:
            made = mutant.walk(trace)
            return None if made is None else [a - b if a.shape == b.shape else np.full(a.shape, np.nan)
                                              for a, b in zip(right, made, strict=True)]  # fmt: skip

        factor = fit_factor(look, over, beside, True)
        return None if factor is None or factor.is_one else factor
    made = mutant.walk(look.trace)
    if made is None or all(close(look, made[i], look.right[i]) for i in over):
        return None
    return fit_factor(look, over, lambda trace, right: made if trace is look.trace else mutant.walk(trace))


def fit_factor(look: Look, over: Sequence[int], base: Any, beside: bool = False) -> Factor | None:
    """Name the factor s with ``mine = s base``, or with ``mine = right + (s - 1) base``, at all inputs and probes."""
    values, facts = [], []
    for mine, trace, right in ((look.mine, look.trace, look.right), *look.probes):
        if trace.signature != look.trace.signature:
            continue
        b = base(trace, right)
        if b is None:
            return None
        dot = square = 0.0
        for i in over:
            if mine[i].shape != b[i].shape or not np.isfinite(b[i]).all():
                return None
            target = mine[i] - right[i] if beside else mine[i]
            size = float(np.abs(b[i]).max(initial=0)) or 1.0  # each array counts alike, and no square overflows
            dot += float(np.real(np.vdot(b[i] / size, target / size)))
            square += float(np.real(np.vdot(b[i] / size, b[i] / size)))
        if not square:
            return None
        s = dot / square
        for i in over:
            if not close(look, mine[i], right[i] + s * b[i] if beside else s * b[i]):
                return None
        values.append(s + 1 if beside else s)
        shapes = [np.shape(x) for x in look.leaves if np.ndim(x)]
        batch = next((shape[0] for shape in shapes if len(shape) > 1), shapes[0][0] if shapes else np.nan)
        facts.append({"N": float(batch), "n_out": np.nan, "p": 0.0, "lambda": 0.0})
    loose = 3e-3 if look.single else 1e-6
    if all(abs(v) < loose for v in values):
        return Factor("0", 0.0)
    return name_factor(values, facts, loose)


def unsummed(look: Look, i: int) -> Iterator[Array]:
    """Yield what arrives at an input before it is summed back to its shape."""
    kept: list[Array] = []
    node = look.trace.inputs[i]

    def note(slot: int) -> Any:
        def change(n: Any, g: Array, slots: list[Any]) -> list[Any]:
            if slots[slot] is not None:
                kept.append(np.asarray(slots[slot]))
            return slots

        return change

    changes = {}
    for place, n in enumerate(look.trace.operations):
        for slot, parent in enumerate(n.parents or ()):
            if parent is node:
                changes[place] = note(slot)
    gradients(look.trace, changes)
    yield from (conjugate(r) for r in kept if r.shape != np.shape(node.out))
