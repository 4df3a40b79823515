"""Find the kinks in a graph: the outputs of operations whose slopes differ from side to side, and these slopes.

A whole function may have too many sides to look at: relu of a thousand zeros has 2^1000 of them. Looked at operation by
operation, it has only a thousand kinks with two slopes each, and the gradients follow from the slopes by a walk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ...graph.walk import as_argument, conjugate, rule_results
from ...node import Node
from ..paths import Traced, args_of, gradients, parents_of
from .sides import Side, jumps

Array = np.ndarray[Any, Any]
Effect = list[tuple[int, Array, Array]]  # for each input, its place, flat indices, values
Slopes = list[tuple[Array, Array, Array]]  # for each argument, flat indices and the derivatives by Re g and by Im g

OUTPUTS, KINKS = 4096, 3000  # the most outputs of an operation looked at output by output; the most kinks of one
ALIKE, PARALLEL = 1e-6, 0.9995  # relative difference of equal slopes; least cosine of parallel moves (rounding: 1/64)


@dataclass
class Kink:
    """One output entry of an operation: its different slopes, and for each side looked at which of them it has there.

    `place` is the place of the operation in the graph, `output` the flat index of the entry.
    """

    place: int
    output: int
    slopes: list[Slopes] = field(default_factory=list)
    pattern: list[int] = field(default_factory=list)  # for each side, an index into `slopes`; -1 if the value jumps
    moves: list[float] = field(default_factory=list)  # for each side, how far it moves the argument that decides


class KinkedGraph:
    """A graph with the kinks that the sides seen so far show; it walks back with any mean of their slopes."""

    def __init__(self, base: Traced, step: float) -> None:
        self.base, self.tolerance = base, float(np.sqrt(step))
        self.sides: list[Side] = []
        self.kinks: list[Kink] = []
        self.kinks_by_place: dict[int, list[int]] = {}
        self.kink_of_output: dict[tuple[int, int], Kink] = {}
        self.rows: dict[int, list[SideSlopes]] = {}
        self.rng = np.random.default_rng(1)

    def add(self, side: Side) -> bool:
        """Learn the slopes on one more side; return False if the operations or shapes differ there, or are too many."""
        one_step, two_steps, names = side.one_step.trace, side.two_steps.trace, self.base.signature
        if one_step.signature != names or two_steps.signature != names:
            return False
        self.sides.append(side)
        for place, node in enumerate(self.base.operations):
            n, f = one_step.operations[place], two_steps.operations[place]
            shape = np.shape(node.out)
            if np.shape(n.out) != shape or np.shape(f.out) != shape or np.asarray(node.out).dtype.kind not in "fc":
                return False
            if place not in self.rows and not _has_kink(node, n, f, self.tolerance, self.rng):
                continue
            rows = self.rows.setdefault(place, [])
            new = [self._side_slopes(place, other) for other in self.sides[len(rows) :]]
            if any(r is None for r in new):
                return False
            rows += new  # type: ignore[arg-type]
            for o in sorted(set().union(*(r.bent_outputs for r in new if r is not None))):
                self.kink_of_output.setdefault((place, o), Kink(place, o))
            for (kink_place, o), kink in self.kink_of_output.items():
                if kink_place == place:
                    for r in rows[len(kink.pattern) :]:
                        kink.pattern.append(_join(kink.slopes, r.slopes_of(o)))
                        kink.moves.append(float(r.moves[o]) if len(r.moves) else 0.0)
        # a kink with one slope counts too: the rule gives another slope at the point, or 0/0
        self.kinks = [k for k in self.kink_of_output.values() if k.slopes]
        self.kinks_by_place = {}
        for i, kink in enumerate(self.kinks):
            self.kinks_by_place.setdefault(kink.place, []).append(i)
        crowded = [len(members) for place, members in self.kinks_by_place.items() if len(members) > KINKS
                   and not self._is_elementwise_to_inputs(place, np.size(self.base.operations[place].out))]  # fmt: skip
        return not crowded

    def _side_slopes(self, place: int, side: Side) -> SideSlopes | None:
        node, n, f = (t.operations[place] for t in (self.base, side.one_step.trace, side.two_steps.trace))
        is_continuous = ~jumps(node.out, n.out, f.out).reshape(-1)
        return (_elementwise_slopes if _is_elementwise(n) else _slopes_by_output)(
            node, n, f, is_continuous, self.tolerance
        )

    def dependent_groups(self) -> list[list[int]]:
        """Return the kinks in groups that depend on one quantity: on all sides, their arguments move in proportion."""
        moves = np.array([kink.moves for kink in self.kinks])  # (kinks, sides)
        size = np.sqrt((moves * moves).sum(axis=1, keepdims=True))
        moves = np.divide(moves, size, out=np.zeros_like(moves), where=size > 0)
        sign = np.sign(moves[:, :1]) + (moves[:, :1] == 0)
        groups: list[list[int]] = []
        for place, members in self.kinks_by_place.items():
            if not self.rows[place][0].is_independent:
                groups.append(members)
        by_side: dict[Any, list[list[int]]] = {}
        for k, row in enumerate(moves * sign):
            if not self.rows[self.kinks[k].place][0].is_independent:
                continue
            candidates = by_side.setdefault(tuple(row > 0), [])
            matching = [g for g in candidates if row.any() and row @ (moves * sign)[g[0]] > PARALLEL]
            if matching:
                matching[0].append(k)
                continue
            candidates.append([k])
            groups.append(candidates[-1])
        return groups

    def by_unit(self, groups: list[list[int]]) -> list[list[int]]:
        """Return the groups joined for each unit: code that computes a slope from z has one convention for all rows."""
        joined: dict[Any, list[int]] = {}
        for group in groups:
            kink = self.kinks[group[0]]
            shape = np.shape(self.base.operations[kink.place].out)
            unit = kink.output % shape[-1] if len(shape) > 1 else kink.output
            joined.setdefault((kink.place, unit), []).extend(group)
        return list(joined.values())

    def have_equal_slopes(self, group: list[int], choice: tuple[int, ...]) -> bool:
        """Tell whether all kinks of a group have equal slopes in a choice of one slope for each."""
        first, *others = (np.concatenate([np.concatenate(part[1:]) for part in self.kinks[k].slopes[v]])
                          for k, v in zip(group, choice, strict=True))  # fmt: skip
        return all(np.array_equal(first, other) for other in others)

    def random_weights(self) -> list[Array]:
        """Return random weights for the slopes of each kink.

        Equal weights would not do: the mean of the slopes -1 and 1 is 0, which would hide the kinks behind it.
        """
        rng = np.random.default_rng(2)
        return [rng.dirichlet(np.ones(len(kink.slopes))) for kink in self.kinks]

    def walk(self, weights: Sequence[Array]) -> tuple[list[Array], dict[int, Array]]:
        """Walk back with the mean of the slopes at each kink by these weights.

        Return the gradients of the inputs, and by place the cotangents that arrive at the operations with kinks.
        """
        cotangents: dict[int, Array] = {}
        return gradients(self.base, self.changes(weights, cotangents)), cotangents

    def changes(self, weights: Sequence[Array], cotangents: dict[int, Array] | None = None) -> Any:
        """Return the changes, by place, with which `gradients` walks back; `cotangents` gets those that arrive."""

        def change_at(place: int, members: list[int]) -> Callable[[Node, Array, list[Any]], list[Any]]:
            def change(node: Node, g: Array, slots: list[Any]) -> list[Any]:
                g = np.asarray(g)
                if cotangents is not None:
                    cotangents[place] = g
                smooth_cotangent = np.array(g)
                smooth_cotangent.reshape(-1)[[self.kinks[k].output for k in members]] = 0
                new_slots = [None if r is None else np.array(r) for r in rule_results(node, smooth_cotangent)]
                for r in new_slots:
                    if r is not None and not np.isfinite(r).all():  # 0/0 of the rule at a kink, whose slopes are known
                        np.copyto(r, 0, where=~np.isfinite(r))
                for k in members:
                    for slopes, w in zip(self.kinks[k].slopes, weights[k], strict=True):
                        if w:
                            _add_slopes(new_slots, slopes, w * g.reshape(-1)[self.kinks[k].output])
                return new_slots

            return change

        return {place: change_at(place, members) for place, members in self.kinks_by_place.items()}

    def effects(self, weights: Sequence[Array], cotangents: dict[int, Array]) -> list[list[Effect]]:
        """Return for each kink how the gradients change if one of its other slopes takes the place of the first."""
        changes = self.changes(weights)
        effects: list[Any] = [None] * len(self.kinks)
        for place, members in self.kinks_by_place.items():
            node = self.base.operations[place]
            g = cotangents.get(place, np.zeros_like(node.out))  # zeros: no gradient arrives there
            # kinks that change no common entry of the inputs need one walk for all of them
            has_own_entries = self._is_elementwise_to_inputs(place, np.size(g))
            for group in [members] if has_own_entries else [[k] for k in members]:
                walks = [self._moved_gradients(node, group, v, g, changes)
                         for v in range(1, max(len(self.kinks[k].slopes) for k in group))]  # fmt: skip
                for k in group:
                    entry = self.kinks[k].output if has_own_entries else None
                    effects[k] = [_nonzero(grads, entry) for grads in walks[: len(self.kinks[k].slopes) - 1]]
        return effects

    def _moved_gradients(self, node: Node, group: list[int], v: int, g: Array, changes: Any) -> list[Array]:
        """Return how the gradients change if slope `v` of each kink of a group takes the place of its first."""
        slots = [None if r is None else np.zeros(np.shape(r), complex) for r in rule_results(node, np.zeros_like(g))]
        for k in group:
            if v < len(self.kinks[k].slopes):
                value = g.reshape(-1)[self.kinks[k].output]
                _add_slopes(slots, self.kinks[k].slopes[v], value)
                _add_slopes(slots, self.kinks[k].slopes[0], -value)
        return self._gradients_below(node, slots, changes)

    def _gradients_below(self, node: Node, slots: list[Any], changes: Any) -> list[Array]:
        """Return the gradients of the inputs if the arguments of one operation have the gradients `slots`."""
        outs = []
        for parent, arg, r in zip(parents_of(node), args_of(node), slots, strict=True):
            if parent is not None and r is not None:
                outs.append((parent, conjugate(as_argument(r, np.asarray(arg)))))
        return gradients(self.base._replace(outs=outs), changes)

    def _is_elementwise_to_inputs(self, place: int, size: int) -> bool:
        """Tell whether each entry of an operation depends only on the entry of the inputs at the same index."""
        reached = {self.base.operations[place]}
        for node in self.base.operations[place:]:
            if node not in reached:
                continue
            parents = [p for p in parents_of(node) if p is not None]
            if any(np.size(p.out) != size for p in parents) or not _is_elementwise(node):
                return False
            reached.update(parents)
        return all(np.size(node.out) == size for node in self.base.inputs if node in reached)


def _nonzero(grads: Sequence[Array], entry: int | None) -> Effect:
    """Return the entries of gradients that are not 0; if `entry` is given, of each gradient that entry only."""
    effect = []
    for i, d in enumerate(grads):
        flat = d.reshape(-1)
        index = np.flatnonzero(flat) if entry is None else entry + np.flatnonzero(flat[entry : entry + 1])
        if index.size:
            effect.append((i, index, flat[index]))
    return effect


def _add_slopes(slots: list[Any], slopes: Slopes, g: Any) -> None:
    for r, (index, by_real, by_imag) in zip(slots, slopes, strict=True):
        if r is not None and index.size:
            value = np.real(g) * by_real + np.imag(g) * by_imag
            r.reshape(-1)[index] += value if r.dtype.kind == "c" else value.real


def _has_kink(node: Node, one_step: Node, two_steps: Node, tolerance: float, rng: np.random.Generator) -> bool:
    """Tell whether the rules of an operation give other gradients on a side, for the same random cotangent."""
    q = rng.normal(size=np.shape(node.out))
    slots = zip(*(rule_results(n, q) for n in (node, one_step, two_steps)), strict=True)
    return any(
        a is not None and (np.shape(a) != np.shape(b) or _slopes_differ(a, b, c, tolerance).any()) for a, b, c in slots
    )


def _slopes_differ(at_point: Any, one_step: Any, two_steps: Any, tolerance: float) -> Array:
    """Return a mask of the slopes that differ on a side by more than the step explains."""
    steps = np.abs(np.asarray(two_steps) - one_step)
    differs: Array = _differ(at_point, one_step, tolerance) & ~(np.abs(np.asarray(one_step) - at_point) <= 64 * steps)
    return differs


def _differ(a: Any, b: Any, tolerance: float) -> Array:
    size = np.maximum(np.abs(a), np.abs(b))
    differs: Array = ~(
        np.abs(np.asarray(a) - b) <= tolerance * (size + 1e-3 * float(np.nan_to_num(size).max(initial=0.0)))
    )
    return differs


def _is_elementwise(node: Node) -> bool:
    """Tell whether each output of an operation depends only on the entries of its arguments at the same index."""
    shape = np.shape(node.out)
    mask = (np.arange(int(np.prod(shape))) * 7 % 11 % 3 == 0).reshape(shape)
    if mask.size < 2:
        return all(r is None or np.shape(r) == shape for r in rule_results(node, np.ones(shape)))
    q = np.cos(np.arange(mask.size) + 1.0).reshape(shape)
    for a, b in zip(rule_results(node, q), rule_results(node, q * mask), strict=True):
        if a is not None and (np.shape(a) != shape or not np.array_equal(np.where(mask, a, 0), b, equal_nan=True)):
            return False
    return True


class SideSlopes(NamedTuple):
    """The slopes of an operation on one side: `bent_outputs` has those whose slopes differ from the ones at the point.

    `slopes_of` returns the slopes of one output, or None if its value jumps.
    """

    bent_outputs: set[int]
    slopes_of: Callable[[int], Slopes | None]
    moves: Array  # how far the side moves the number that decides the slope of each output, if it is one number
    is_independent: bool = True  # whether each output has its slope independently of the others, unlike those of a sort


def _elementwise_slopes(
    node: Node, one_step: Node, two_steps: Node, is_continuous: Array, tolerance: float
) -> SideSlopes | None:
    """Return the slopes of an elementwise operation, for all outputs at once."""
    shape, nothing = np.shape(node.out), np.zeros(0, dtype=int)
    is_complex = np.asarray(node.out).dtype.kind == "c"
    bent, parts = np.zeros(int(np.prod(shape)), dtype=bool), []
    for unit in (np.ones(shape), 1j * np.ones(shape))[: 1 + is_complex]:
        part: list[Array | None] = []
        for a, b, c in zip(*(rule_results(n, unit) for n in (node, one_step, two_steps)), strict=True):
            if a is None or b is None or c is None:
                part.append(None)
                continue
            bent |= _slopes_differ(a, b, c, tolerance).reshape(-1)
            part.append(np.where(_differ(b, c, tolerance), b, 2 * np.asarray(b) - c).reshape(-1))
        parts.append(part)

    def slopes_of(o: int) -> Slopes | None:
        if not is_continuous[o]:
            return None
        slopes: Slopes = []
        for slot, real in enumerate(parts[0]):
            imag = parts[1][slot] if is_complex else None
            slopes.append((nothing, nothing, nothing) if real is None else (
                np.array([o]), real[o : o + 1], np.zeros(1) if imag is None else imag[o : o + 1]))  # fmt: skip
        return slopes

    return SideSlopes(set(map(int, np.flatnonzero(bent))), slopes_of, _argument_moves(one_step, two_steps))


def _argument_moves(one_step: Node, two_steps: Node) -> Array:
    """Return how far the argument of each entry moves from the first step to the second.

    With two arguments it is the move of their difference; with more, an empty array.
    """
    shape = np.shape(one_step.out)
    both = zip(args_of(one_step), args_of(two_steps), parents_of(one_step), strict=True)
    parts = [np.broadcast_to(np.asarray(b) - a, shape) for a, b, p in both
             if p is not None and np.asarray(a).dtype.kind == "f"]  # fmt: skip
    if len(parts) not in (1, 2):
        return np.zeros(0)
    return np.asarray(parts[0] - parts[1] if len(parts) == 2 else parts[0]).reshape(-1)


def _slopes_by_output(
    node: Node, one_step: Node, two_steps: Node, is_continuous: Array, tolerance: float
) -> SideSlopes | None:
    """Return the slopes of an operation that is not elementwise, output by output; None if that cannot be done."""
    size = int(np.size(node.out))
    if size > OUTPUTS or np.asarray(node.out).dtype.kind == "c":
        return None
    bent, rows = set(), []
    for o in range(size):
        g = np.zeros(np.shape(node.out))
        g.reshape(-1)[o] = 1
        slopes = rule_results(one_step, g)
        if any(a is not None and bool(_slopes_differ(a, b, c, tolerance).any())
               for a, b, c in zip(rule_results(node, g), slopes, rule_results(two_steps, g), strict=True)):  # fmt: skip
            bent.add(o)
        rows.append([_sparse(r) for r in slopes])
    shapes = [np.shape(r) for r in rule_results(one_step, np.zeros(np.shape(node.out))) if r is not None]
    is_sort = np.shape(node.out) in shapes
    return SideSlopes(bent, lambda o: rows[o] if is_continuous[o] else None, np.zeros(0), not is_sort or size == 1)


def _sparse(r: Any) -> tuple[Array, Array, Array]:
    flat = np.zeros(0) if r is None else np.asarray(r).reshape(-1)
    index = np.flatnonzero(flat)
    return index, flat[index], np.zeros(len(index))


def _join(slopes: list[Slopes], new: Slopes | None) -> int:
    """Return the index of the slopes `new` in the list, to which they are appended if they are not in it.

    Return -1 if they are None or not finite.
    """
    if new is None or not all(np.isfinite(a[1]).all() and np.isfinite(a[2]).all() for a in new):
        return -1
    for k, existing in enumerate(slopes):
        if all(len(a[0]) == len(b[0]) and (a[0] == b[0]).all() and all(
                (np.abs(p - q) <= ALIKE * (np.abs(p) + np.abs(q))).all() for p, q in ((a[1], b[1]), (a[2], b[2])))
               for a, b in zip(existing, new, strict=True)):  # fmt: skip
            return k
    slopes.append(new)
    return len(slopes) - 1
