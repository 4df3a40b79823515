r"""Decide whether the user's gradients at a kink are right: whether they lie in the generalized gradient there.

.. math:: \partial f(x) = \operatorname{conv} \{ \lim \nabla f(x_i) : x_i \to x \}

That is the set of all weighted means of the limits that the gradient has on the sides of the point.

Source: F. H. Clarke, Optimization and Nonsmooth Analysis, 1983, theorem 2.5.1.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .kinks import KinkedGraph
from .nearest import nearest
from .sides import STEP, Sides

Array = np.ndarray[Any, Any]

AROUND, ROUNDS, IDLE = 6, 60, 3  # sides at first; the most rounds after that; rounds without progress before giving up
LEVELS = 8  # the most levels of kinks behind kinks that are chosen one after the other
WIDE = 32  # more sides that are looked at before a gradient is called wrong
COMBINED = 8  # up to this number of kinks, all combinations of slopes are tried
TELLING = 8  # more sides that are looked at to tell which kinks depend on one quantity


class FlatRow(NamedTuple):
    """The gradients of some inputs, by their numbers, as one flat row of real numbers.

    A complex gradient of the graph in `like` has its real parts in the row, then its imaginary parts.
    """

    input_numbers: Sequence[int]
    like: Sequence[Array]

    def places(self) -> Iterator[tuple[int, Array, int]]:
        """Yield the number of each input, its gradient, and where the numbers of it begin in the row."""
        start = 0
        for i, g in zip(self.input_numbers, self.like, strict=True):
            yield i, g, start
            start += g.size * _parts(g)

    def of(self, arrays: Sequence[Array], imag: Any = np.imag) -> Array:
        """Return the row of the arrays of all inputs; `imag` gives what stands in place of imaginary parts."""
        parts = [np.zeros(0)]
        for i, g, _ in self.places():
            x = np.asarray(arrays[i])
            parts += [part(x).reshape(-1) for part in (np.real, imag)[: _parts(g)]]
        return np.concatenate(parts)

    def arrays(self, row: Array) -> Iterator[tuple[int, Array]]:
        """Yield the number of each input, and its array in a row."""
        for i, g, start in self.places():
            parts = row[start : start + g.size * _parts(g)].reshape(_parts(g), *g.shape)
            yield i, parts[0] + 1j * parts[1] if len(parts) == 2 else parts[0]


def _parts(g: Array) -> int:
    """Return how many numbers of a flat row an entry has."""
    return 2 if g.dtype.kind == "c" else 1


class Hull:
    """The right gradients of a function at a point: one if it is smooth, at a kink all means of those on its sides."""

    def __init__(self, sides: Sides, bounds: Sequence[Array], rng: np.random.Generator) -> None:
        """`bounds` holds, entry by entry, how far apart two ways to compute each gradient may be."""
        self.sides, self.bounds, self.rng = sides, list(bounds), rng
        self.graph: KinkedGraph | None = KinkedGraph(sides.at_point.trace, STEP * sides.eps)
        self.used_sides, self.has_looked_wide = 0, False

    def right_at_kink(self, user_gradients: Sequence[Array]) -> list[bool]:
        """Return for each input whether the user's gradient differs from the graph's and is right, by a kink.

        Each input is judged alone, so that one is not blamed for another. If all that differ are right alone, but not
        together, all of them are wrong.
        """
        different = [
            i
            for i, (m, g, b) in enumerate(zip(user_gradients, self.sides.at_point.grads, self.bounds, strict=True))
            if m.shape != g.shape or not (np.abs(m - g) <= b).all()
        ]
        if not different or not self.has_other_gradients():
            return [False] * len(user_gradients)
        all_contained = self.contains(user_gradients, range(len(user_gradients)))
        contained = [
            i for i in different if all_contained or (len(different) > 1 and self.contains(user_gradients, [i]))
        ]
        return [
            i in contained and (all_contained or len(contained) < len(different)) for i in range(len(user_gradients))
        ]

    def has_other_gradients(self) -> bool:
        """Tell whether gradients other than the graph's may be right: some side has another one, or none is known."""
        if self._sides_differ():
            return True
        # one side is not enough: two equal numbers may move by the same amount there and stay equal
        self.sides.look_around(self.rng, max(0, AROUND - len(self.sides.explored)))
        if self._sides_differ():
            return True
        if self._slope_count() and not self.has_looked_wide:
            self._look_wide()
        return self._sides_differ()

    def _look_wide(self) -> None:
        """Look at many more sides, since kinks behind kinks have narrow ones, and update the bounds for all of them."""
        self.has_looked_wide = True
        self.sides.look_around(self.rng, WIDE, uneven=True)
        self._raise_bounds()

    def _raise_bounds(self) -> None:
        """Raise the bounds to the rounding errors of gradients as large as those seen so far."""
        self.bounds = [np.maximum(a, b) for a, b in zip(self.bounds, self.sides.rounding(spread=False), strict=True)]

    def _slope_count(self) -> int:
        """Return how many slopes the operations have at their kinks, whether these show in the gradients or not."""
        graph = self._update_graph()
        return 1 if graph is None else sum(len(kink.slopes) for kink in graph.kinks)

    def _sides_differ(self) -> bool:
        return not self.sides.limits() or any(map(np.any, self.sides.differs_from_value(self.bounds)))

    def contains(self, user_gradients: Sequence[Array], input_numbers: Sequence[int]) -> bool:
        """Tell whether the user's gradients of some inputs are, together, a mean of those on the sides."""
        sides = self.sides
        if any(
            user_gradients[i].shape != self.bounds[i].shape or not np.isfinite(user_gradients[i]).all()
            for i in input_numbers
        ):
            return False
        row = FlatRow(input_numbers, [sides.at_point.grads[i] for i in input_numbers])
        target = row.of(user_gradients)
        sides.look_around(self.rng, max(0, AROUND - len(sides.explored)))
        smallest, last_count, idle = np.inf, 0, 0
        for _ in range(ROUNDS):
            allowed = row.of(self.bounds, np.real)
            limits = [row.of(limit) for limit in sides.limits()]
            smooth_error = difference = _error_where_smooth(limits, target, allowed) if limits else None
            if smooth_error is None:
                difference = self._difference_from_right(limits, target, allowed, row)
                if difference is None:
                    return True
            size, slope_count = float(np.linalg.norm(difference)), self._slope_count()  # type: ignore[arg-type]
            if slope_count > last_count:
                self._raise_bounds()  # a new kink was found, and gradients on its sides may be larger
            idle = 0 if size < 0.95 * smallest or slope_count > last_count else idle + 1
            smallest, last_count = min(size, smallest), slope_count
            if idle >= IDLE and not self.has_looked_wide and (smooth_error is None or self._slope_count()):
                self._look_wide()
                idle, smallest, last_count = 0, np.inf, 0
            elif idle >= IDLE or not np.isfinite(size) or not _look_from(sides, difference / allowed, row, self.rng):
                break
        return smooth_error is None and self._is_combination(target, allowed, row)

    def _is_combination(self, target: Array, allowed: Array, row: FlatRow) -> bool:
        """Tell whether a gradient is a mean of the gradients for all combinations of slopes of a few kinks.

        A combination counts if, for any two of the kinks, some side has both of their slopes.
        """
        graph = self._update_graph()
        if graph is None or not 0 < len(graph.kinks) <= COMBINED:
            return False
        patterns = np.array([kink.pattern for kink in graph.kinks])
        points = []
        for choice in itertools.product(*(range(len(kink.slopes)) for kink in graph.kinks)):
            has_choice = patterns == np.array(choice)[:, None]  # (kinks, sides)
            if (has_choice @ has_choice.T).all():
                weights = [np.eye(len(kink.slopes))[v] for kink, v in zip(graph.kinks, choice, strict=True)]
                point = row.of(graph.walk(weights)[0])
                points += [point] if np.isfinite(point).all() else []  # at 0/0 there is no slope
        return bool(points) and _error_from_means(points, target, allowed) is None

    def _difference_from_right(
        self, limits: Sequence[Array], target: Array, allowed: Array, row: FlatRow
    ) -> Array | None:
        """Return the difference from the nearest right gradient to the user's, or None if the user's is right."""
        difference = _error_from_means(limits, target, allowed) if limits else np.full(len(target), np.inf)
        graph = self._update_graph()
        if difference is None or graph is None or not graph.kinks:
            return difference
        by_groups = _error_from_groups(graph, [[k] for k in range(len(graph.kinks))], target, allowed, row)
        if by_groups is not None and len(graph.kinks_by_place) == 1:
            return by_groups if np.linalg.norm(by_groups) < np.linalg.norm(difference) else difference
        # with kinks behind kinks there are several ways to choose the weights, and some find no solution
        groups = self._groups(graph)
        by_groups = _error_from_groups(graph, groups, target, allowed, row)
        if by_groups is not None:
            by_groups = _error_from_groups(graph, graph.by_unit(groups), target, allowed, row, equal_slopes=True)
        return by_groups if by_groups is None or np.linalg.norm(by_groups) < np.linalg.norm(difference) else difference

    def _update_graph(self) -> KinkedGraph | None:
        for side in self.sides.explored[self.used_sides :]:
            self.graph = self.graph if self.graph is not None and self.graph.add(side) else None
        self.used_sides = len(self.sides.explored)
        return self.graph

    def _groups(self, graph: KinkedGraph) -> list[list[int]]:
        """Return the groups of kinks that depend on one quantity, after looking at enough sides to tell."""
        groups = graph.dependent_groups()
        if len(groups) < len(graph.kinks):
            self.sides.look_around(self.rng, TELLING, uneven=True)
            groups = graph.dependent_groups() if self._update_graph() is not None else groups
        return groups


def _error_where_smooth(limits: Sequence[Array], target: Array, allowed: Array) -> Array | None:
    """Return how far a gradient is off in the entries in which all sides agree, or None if it is right in these."""
    low, high = np.minimum.reduce(limits), np.maximum.reduce(limits)
    is_off = (high - low <= allowed) & (np.abs(target - low) > 2 * allowed)
    return np.where(is_off, (target - low) / allowed, 0.0) if is_off.any() else None


def _error_from_means(limits: Sequence[Array], target: Array, allowed: Array) -> Array | None:
    """Return the difference from the nearest mean of some limits to `target`, or None if `target` is such a mean."""
    points = np.stack([(limit - target) / allowed for limit in limits])

    def lowest(direction: Array) -> tuple[Array, Any]:
        k = int(np.argmin(points @ direction)) if direction.size else 0
        return points[k], k

    point, _, inside = nearest(lowest)
    return None if inside else -point


def _error_from_groups(
    graph: KinkedGraph, groups: list[list[int]], target: Array, allowed: Array, row: FlatRow,
    equal_slopes: bool = False,
) -> Array | None:  # fmt: skip
    """Return the same difference for the gradients in which each group of kinks has its own mean of its slopes.

    The slopes of a kink behind another one are multiplied. So the weights of the kinks nearest the loss are chosen
    first, to fit those entries of the gradient that no other kink changes.
    """
    weights = graph.random_weights()
    effects = [_flat_effects(effect, row, allowed) for effect in graph.effects(weights, graph.walk(weights)[1])]
    reached_entries = [np.concatenate([np.zeros(0, dtype=int), *(index for index, _ in effect)]) for effect in effects]
    choices = [_choices(graph, group, equal_slopes) for group in groups]
    places = sorted(graph.kinks_by_place)
    steps = [*places, *places[-1:] * 2] if len(places) > 1 else places
    difference = np.zeros(len(target))
    for last in steps[-LEVELS:]:
        grads, cotangents = graph.walk(weights)
        residual = (row.of(grads) - target) / allowed
        effects = [_flat_effects(effect, row, allowed) for effect in graph.effects(weights, cotangents)]
        is_chosen = [max(graph.kinks[k].place for k in group) <= last for group in groups]
        is_free = np.ones(len(residual), dtype=bool)
        for group, choosing in zip(groups, is_chosen, strict=True):
            for k in group:
                if not choosing:
                    is_free[reached_entries[k]] = False
                    continue
                for (index, values), share in zip(effects[k], weights[k][1:], strict=True):
                    residual[index] -= share * values  # replace the mean by the first slope of each kink
        chosen = [j for j, choosing in enumerate(is_chosen) if choosing]
        difference = np.zeros(len(residual))
        effects_of_groups = [[e for k in groups[j] for e in effects[k]] for j in chosen]
        for members, entries in _independent_groups(effects_of_groups, len(residual)):
            group_numbers = [chosen[j] for j in members]
            point = _choose(effects, [groups[j] for j in group_numbers], [choices[j] for j in group_numbers], residual,
                            entries[is_free[entries]], weights)  # fmt: skip
            if np.abs(point).max(initial=0.0) > 1:
                difference[entries[is_free[entries]]] = -point
    residual = (row.of(graph.walk(weights)[0]) - target) / allowed
    if np.abs(residual).max(initial=0.0) <= 1:
        return None
    return difference if np.any(difference) else -residual


def _choices(graph: KinkedGraph, group: list[int], equal_slopes: bool) -> list[tuple[int, ...]]:
    """Return the combinations of slopes that the kinks of a group have on some side.

    If `equal_slopes`, return only those in which all kinks have the same slope, if there are any.
    """
    if len(group) == 1:
        return [(v,) for v in range(len(graph.kinks[group[0]].slopes))]
    patterns = zip(*(graph.kinks[k].pattern for k in group), strict=True)
    choices = list(dict.fromkeys(choice for choice in patterns if min(choice) >= 0))
    equal_choices = [choice for choice in choices if graph.have_equal_slopes(group, choice)] if equal_slopes else []
    return equal_choices or choices


Effect = list[tuple[Array, Array]]


def _flat_effects(effect: list[list[tuple[int, Array, Array]]], row: FlatRow, allowed: Array) -> Effect:
    """Return what each slope changes, as indices into the flat row and values in units of the rounding bound there."""
    starts = {i: (start, g.size * (_parts(g) - 1)) for i, g, start in row.places()}
    flat_effects = []
    for parts in effect:
        index, values = [np.zeros(0, dtype=int)], [np.zeros(0)]
        for i, places, value in parts:
            if i not in starts:
                continue
            first, imag = starts[i]
            index.append(first + places)
            values.append(np.real(value))
            if imag:
                index.append(first + imag + places)
                values.append(np.imag(value))
        indices = np.concatenate(index)
        flat_effects.append((indices, np.concatenate(values) / allowed[indices]))
    return flat_effects


def _independent_groups(effects: Sequence[Effect], size: int) -> list[tuple[list[int], Array]]:
    """Return groups of kinks that change no common entry of the gradients, each group with its entries."""
    owner = np.full(size, -1)
    parent = list(range(len(effects)))

    def root(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    for k, effect in enumerate(effects):
        for index, _ in effect:
            for other in np.unique(owner[index]):
                if other >= 0:
                    parent[root(int(other))] = root(k)
            owner[index] = k
    groups: dict[int, list[int]] = {}
    for k in range(len(effects)):
        groups.setdefault(root(k), []).append(k)
    places: dict[int, list[int]] = {r: [] for r in groups}
    for i in np.flatnonzero(owner >= 0):
        places[root(int(owner[i]))].append(int(i))
    return [(members, np.array(places[r], dtype=int)) for r, members in groups.items()]


def _choose(
    effects: Sequence[Effect], groups: list[list[int]], choices: list[list[tuple[int, ...]]], residual: Array,
    places: Array, weights: list[Array],
) -> Array:  # fmt: skip
    """Choose the weights of the slopes of some groups of kinks so that the rest is smallest, and return that rest."""
    column_of = {int(i): j for j, i in enumerate(places)}
    changes = []  # for each group, an array (choices, places) of the changes that each of its choices makes
    for group, options in zip(groups, choices, strict=True):
        rows = np.zeros((len(options), len(places)))
        for row, option in zip(rows, options, strict=True):
            for k, v in zip(group, option, strict=True):
                if v:
                    for i, value in zip(*effects[k][v - 1], strict=True):
                        if int(i) in column_of:
                            row[column_of[int(i)]] += value
        changes.append(rows)
    start = residual[places]

    def lowest(direction: Array) -> tuple[Array, Any]:
        chosen = [int(np.argmin(rows @ direction)) if direction.size else 0 for rows in changes]
        return start + sum(rows[c] for rows, c in zip(changes, chosen, strict=True)), chosen

    point, mean, _ = nearest(lowest)
    for j, (group, options) in enumerate(zip(groups, choices, strict=True)):
        for position, k in enumerate(group):
            weights[k] = np.zeros(len(weights[k]))
            for share, chosen in mean:
                weights[k][options[chosen[j]][position]] += share
    return point


def _look_from(sides: Sides, direction: Array, row: FlatRow, rng: np.random.Generator) -> bool:
    """Look at the side in a direction in which a gradient seems to lie outside, and at the opposite side.

    Return False if the direction is zero or not finite.
    """
    u = [np.zeros(np.shape(x), np.asarray(x).dtype) for x in sides.leaves]
    for i, part in row.arrays(direction):
        u[i] = part
    size = max(float((np.abs(v) / s).max(initial=0.0)) for v, s in zip(u, sides.scales, strict=True))
    if not np.isfinite(size) or not size:
        return False
    for sign in (1, -1):  # all other entries move a little too, or the kinks that depend on them would remain
        sides.add_side([np.where(v == 0, 1e-8 * s * rng.uniform(-1, 1, np.shape(v)), sign * (v / size))
                    for v, s in zip(u, sides.scales, strict=True)])  # fmt: skip
    return True
