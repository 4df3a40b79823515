"""Find the kinks in a graph: the outputs of operations whose slopes differ from side to side, and these slopes.

A whole function may have too many sides to look at: relu of a thousand zeros has 2^1000 of them. Looked at operation by
operation, it has only a thousand kinks with two slopes each, and the gradients follow from the slopes by a walk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
        self.base, self.coarse = base, float(np.sqrt(step))
        self.sides: list[Side] = []
        self.kinks: list[Kink] = []
        self.at: dict[int, list[int]] = {}
        self.known: dict[tuple[int, int], Kink] = {}
        self.rows: dict[int, list[SideSlopes]] = {}
        self.rng = np.random.default_rng(1)

    def add(self, side: Side) -> bool:
        """Learn the slopes on one more side; return False if the operations or shapes differ there, or are too many."""
        near, far, names = side.near.trace, side.far.trace, self.base.signature
        if near.signature != names or far.signature != names:
            return False
        self.sides.append(side)
        for place, node in enumerate(self.base.operations):
            n, f = near.operations[place], far.operations[place]
            shape = np.shape(node.out)
            if np.shape(n.out) != shape or np.shape(f.out) != shape or np.asarray(node.out).dtype.kind not in "fc":
                return False
            if place not in self.rows and not _has_kink(node, n, f, self.coarse, self.rng):
                continue
            rows = self.rows.setdefault(place, [])
            new = [self._rows(place, other) for other in self.sides[len(rows) :]]
            if any(r is None for r in new):
                return False
            rows += new  # type: ignore[arg-type]
            for o in sorted(set().union(*(r.bent for r in new if r is not None))):
                self.known.setdefault((place, o), Kink(place, o))
            for (at, o), kink in self.known.items():
                if at == place:
                    for r in rows[len(kink.pattern) :]:
                        kink.pattern.append(_join(kink.slopes, r.of(o)))
                        kink.moves.append(float(r.moves[o]) if len(r.moves) else 0.0)
        # a kink with one slope counts too: the rule gives another slope at the point, or 0/0
        self.kinks = [k for k in self.known.values() if k.slopes]
        self.at = {}
        for i, kink in enumerate(self.kinks):
            self.at.setdefault(kink.place, []).append(i)
        crowded = [len(mine) for place, mine in self.at.items() if len(mine) > KINKS
                   and not self._straight(place, np.size(self.base.operations[place].out))]  # fmt: skip
        return not crowded

    def _rows(self, place: int, side: Side) -> SideSlopes | None:
        node, n, f = (t.operations[place] for t in (self.base, side.near.trace, side.far.trace))
        still = ~jumps(node.out, n.out, f.out).reshape(-1)
        return (_entries if _is_elementwise(n) else _outputs)(node, n, f, still, self.coarse)

    def together(self) -> list[list[int]]:
        """Return the kinks in groups that depend on one quantity: on all sides, their arguments move in proportion."""
        moves = np.array([kink.moves for kink in self.kinks])  # (kinks, sides)
        size = np.sqrt((moves * moves).sum(axis=1, keepdims=True))
        moves = np.divide(moves, size, out=np.zeros_like(moves), where=size > 0)
        sign = np.sign(moves[:, :1]) + (moves[:, :1] == 0)
        groups: list[list[int]] = []
        for place, mine in self.at.items():
            if not self.rows[place][0].alone:
                groups.append(mine)
        by_side: dict[Any, list[list[int]]] = {}
        for k, row in enumerate(moves * sign):
            if not self.rows[self.kinks[k].place][0].alone:
                continue
            near = by_side.setdefault(tuple(row > 0), [])
            same = [g for g in near if row.any() and row @ (moves * sign)[g[0]] > PARALLEL]
            if same:
                same[0].append(k)
                continue
            near.append([k])
            groups.append(near[-1])
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

    def alike(self, group: list[int], choice: tuple[int, ...]) -> bool:
        """Tell whether all kinks of a group have equal slopes in a choice of one slope for each."""
        first, *others = (np.concatenate([np.concatenate(part[1:]) for part in self.kinks[k].slopes[v]])
                          for k, v in zip(group, choice, strict=True))  # fmt: skip
        return all(np.array_equal(first, other) for other in others)

    def some_weights(self) -> list[Array]:
        """Return random weights for the slopes of each kink.

        Equal weights would not do: the mean of the slopes -1 and 1 is 0, which would hide the kinks behind it.
        """
        rng = np.random.default_rng(2)
        return [rng.dirichlet(np.ones(len(kink.slopes))) for kink in self.kinks]

    def walk(self, weights: Sequence[Array]) -> tuple[list[Array], dict[int, Array]]:
        """Walk back with the mean of the slopes at each kink by these weights.

        Return the gradients of the inputs, and by place the cotangents that arrive at the operations with kinks.
        """
        arrived: dict[int, Array] = {}
        return gradients(self.base, self.changes(weights, arrived)), arrived

    def changes(self, weights: Sequence[Array], arrived: dict[int, Array] | None = None) -> Any:
        """Return the changes, by place, with which `gradients` walks back; `arrived` is filled with the cotangents."""

        def at(place: int, mine: list[int]) -> Callable[[Node, Array, list[Any]], list[Any]]:
            def change(node: Node, g: Array, slots: list[Any]) -> list[Any]:
                g = np.asarray(g)
                if arrived is not None:
                    arrived[place] = g
                rest = np.array(g)
                rest.reshape(-1)[[self.kinks[k].output for k in mine]] = 0
                made = [None if r is None else np.array(r) for r in rule_results(node, rest)]
                for r in made:
                    if r is not None and not np.isfinite(r).all():  # 0/0 of the rule at a kink, whose slopes are known
                        np.copyto(r, 0, where=~np.isfinite(r))
                for k in mine:
                    for slopes, w in zip(self.kinks[k].slopes, weights[k], strict=True):
                        if w:
                            _add(made, slopes, w * g.reshape(-1)[self.kinks[k].output])
                return made

            return change

        return {place: at(place, mine) for place, mine in self.at.items()}

    def effects(self, weights: Sequence[Array], arrived: dict[int, Array]) -> list[list[Effect]]:
        """Return for each kink how the gradients change if one of its other slopes takes the place of the first."""
        changes = self.changes(weights)
        found: list[Any] = [None] * len(self.kinks)
        for place, mine in self.at.items():
            node = self.base.operations[place]
            g = arrived.get(place)
            if g is None:
                for k in mine:
                    found[k] = [[] for _ in self.kinks[k].slopes[1:]]
                continue
            shapes = [None if r is None else np.shape(r) for r in rule_results(node, np.zeros_like(g))]
            if self._straight(place, np.size(g)):
                for k, effect in self._together(place, mine, g, shapes, changes):
                    found[k] = effect
                continue
            for k in mine:
                found[k] = []
                for slopes in self.kinks[k].slopes[1:]:
                    slots = [None if s is None else np.zeros(s, complex) for s in shapes]
                    value = g.reshape(-1)[self.kinks[k].output]
                    _add(slots, slopes, value)
                    _add(slots, self.kinks[k].slopes[0], -value)
                    grads = self._below(node, slots, changes)
                    found[k].append([(i, np.flatnonzero(d), d.reshape(-1)[np.flatnonzero(d)])
                                     for i, d in enumerate(grads) if np.any(d)])  # fmt: skip
        return found

    def _below(self, node: Node, slots: list[Any], changes: Any) -> list[Array]:
        """Return the gradients of the inputs if the arguments of one operation have the gradients `slots`."""
        outs = []
        for parent, arg, r in zip(parents_of(node), args_of(node), slots, strict=True):
            if parent is not None and r is not None:
                outs.append((parent, conjugate(as_argument(r, np.asarray(arg)))))
        return gradients(self.base._replace(outs=outs), changes)

    def _straight(self, place: int, size: int) -> bool:
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

    def _together(self, place: int, mine: list[int], g: Array, shapes: list[Any], changes: Any) -> Iterator[Any]:
        """Yield each kink with its effects, by one walk for all: these kinks change no common entry of the inputs."""
        most = max(len(self.kinks[k].slopes) for k in mine)
        walks = []
        for v in range(1, most):
            slots = [None if s is None else np.zeros(s, complex) for s in shapes]
            for k in mine:
                if v < len(self.kinks[k].slopes):
                    value = g.reshape(-1)[self.kinks[k].output]
                    _add(slots, self.kinks[k].slopes[v], value)
                    _add(slots, self.kinks[k].slopes[0], -value)
            walks.append([d.reshape(-1) for d in self._below(self.base.operations[place], slots, changes)])
        for k in mine:
            o = self.kinks[k].output
            yield k, [[(i, np.array([o]), d[o : o + 1]) for i, d in enumerate(walks[v]) if o < d.size and d[o] != 0]
                      for v in range(len(self.kinks[k].slopes) - 1)]  # fmt: skip


def _add(slots: list[Any], slopes: Slopes, g: Any) -> None:
    for r, (index, by_real, by_imag) in zip(slots, slopes, strict=True):
        if r is not None and index.size:
            value = np.real(g) * by_real + np.imag(g) * by_imag
            r.reshape(-1)[index] += value if r.dtype.kind == "c" else value.real


def _has_kink(node: Node, near: Node, far: Node, coarse: float, rng: np.random.Generator) -> bool:
    """Tell whether the rules of an operation give other gradients on a side, for the same random cotangent."""
    q = rng.normal(size=np.shape(node.out))
    slots = zip(*(rule_results(n, q) for n in (node, near, far)), strict=True)
    return any(a is not None and (np.shape(a) != np.shape(b) or _turned(a, b, c, coarse).any()) for a, b, c in slots)


def _turned(here: Any, near: Any, far: Any, coarse: float) -> Array:
    """Return a mask of the slopes that differ on a side by more than the step explains."""
    steps = np.abs(np.asarray(far) - near)
    found: Array = _differ(here, near, coarse) & ~(np.abs(np.asarray(near) - here) <= 64 * steps)
    return found


def _differ(a: Any, b: Any, coarse: float) -> Array:
    size = np.maximum(np.abs(a), np.abs(b))
    found: Array = ~(np.abs(np.asarray(a) - b) <= coarse * (size + 1e-3 * float(np.nan_to_num(size).max(initial=0.0))))
    return found


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
    """The slopes of an operation on one side: `bent` has the outputs whose slopes differ from those at the point.

    `of` returns the slopes of one output, or None if its value jumps.
    """

    bent: set[int]
    of: Callable[[int], Slopes | None]
    moves: Array  # how far the side moves the number that decides the slope of each output, if it is one number
    alone: bool = True  # whether each output has its slope independently of the others, unlike those of a sort


def _entries(node: Node, near: Node, far: Node, still: Array, coarse: float) -> SideSlopes | None:
    """Return the slopes of an elementwise operation, for all outputs at once."""
    shape, nothing = np.shape(node.out), np.zeros(0, dtype=int)
    whole = np.asarray(node.out).dtype.kind == "c"
    bent, parts = np.zeros(int(np.prod(shape)), dtype=bool), []
    for unit in (np.ones(shape), 1j * np.ones(shape))[: 1 + whole]:
        part: list[Array | None] = []
        for a, b, c in zip(*(rule_results(n, unit) for n in (node, near, far)), strict=True):
            if a is None or b is None or c is None:
                part.append(None)
                continue
            bent |= _turned(a, b, c, coarse).reshape(-1)
            part.append(np.where(_differ(b, c, coarse), b, 2 * np.asarray(b) - c).reshape(-1))
        parts.append(part)

    def of(o: int) -> Slopes | None:
        if not still[o]:
            return None
        found: Slopes = []
        for slot, real in enumerate(parts[0]):
            imag = parts[1][slot] if whole else None
            found.append((nothing, nothing, nothing) if real is None else (
                np.array([o]), real[o : o + 1], np.zeros(1) if imag is None else imag[o : o + 1]))  # fmt: skip
        return found

    return SideSlopes(set(map(int, np.flatnonzero(bent))), of, _moves(near, far))


def _moves(near: Node, far: Node) -> Array:
    """Return how far the argument of each entry moves from the first step to the second.

    With two arguments it is the move of their difference; with more, an empty array.
    """
    shape = np.shape(near.out)
    both = zip(args_of(near), args_of(far), parents_of(near), strict=True)
    parts = [np.broadcast_to(np.asarray(b) - a, shape) for a, b, p in both
             if p is not None and np.asarray(a).dtype.kind == "f"]  # fmt: skip
    if len(parts) not in (1, 2):
        return np.zeros(0)
    return np.asarray(parts[0] - parts[1] if len(parts) == 2 else parts[0]).reshape(-1)


def _outputs(node: Node, near: Node, far: Node, still: Array, coarse: float) -> SideSlopes | None:
    """Return the slopes of an operation that is not elementwise, output by output; None if that cannot be done."""
    size = int(np.size(node.out))
    if size > OUTPUTS or np.asarray(node.out).dtype.kind == "c":
        return None
    bent, rows = set(), []
    for o in range(size):
        g = np.zeros(np.shape(node.out))
        g.reshape(-1)[o] = 1
        there = rule_results(near, g)
        if any(a is not None and bool(_turned(a, b, c, coarse).any())
               for a, b, c in zip(rule_results(node, g), there, rule_results(far, g), strict=True)):  # fmt: skip
            bent.add(o)
        rows.append([_sparse(r) for r in there])
    shapes = [np.shape(r) for r in rule_results(near, np.zeros(np.shape(node.out))) if r is not None]
    sorts = np.shape(node.out) in shapes
    return SideSlopes(bent, lambda o: rows[o] if still[o] else None, np.zeros(0), not sorts or size == 1)


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
    for k, known in enumerate(slopes):
        if all(len(a[0]) == len(b[0]) and (a[0] == b[0]).all() and all(
                (np.abs(p - q) <= ALIKE * (np.abs(p) + np.abs(q))).all() for p, q in ((a[1], b[1]), (a[2], b[2])))
               for a, b in zip(known, new, strict=True)):  # fmt: skip
            return k
    slopes.append(new)
    return len(slopes) - 1
