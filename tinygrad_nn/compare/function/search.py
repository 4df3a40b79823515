"""Search for the mistake in the graph that gives the user's gradients: by a cheap test, then a walk, then other inputs.

The cheap test needs no walk for each mistake. A mistake at an operation adds some d to the gradients of its arguments.
If the inputs move along a direction u and the arguments move along t, it changes the gradient along u by t · d. So one
run of the function beside the point, which gives t for all operations, tests every mistake along u; only those that
agree with the user's gradients are walked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...graph.walk import rule_results
from ..factors import Factor
from ..mistakes import FAR, Mistake
from ..paths import Array, Traced, args_of, gradients, parents_of
from .composed import collapse_functions, find_known_functions
from .gradient_data import GradientData, equal_to_rounding, fit_factor
from .last_steps import last_steps
from .locations import call_sites
from .mutants import Mutant, group_mutants, local_mutants, right_cotangents, single_mutants
from .recomputed import recomputed_mutants

STEP = 1e-5  # step of the inputs beside the point; the error of central differences is of the order of its square
SIGN = 1e-4  # relative tolerance of the cheap test, far above the error of the differences
DIRECTIONS = 3
HELD = 3e7  # the most numbers that the runs beside the point may hold together
WALKED = 16  # the most mistakes of one kind that are walked
LARGE = 250  # a graph of more operations is taken to come from a loop
WALKS = 4e8  # about how many numbers the walks without a cheap test may go through, which takes some seconds
SLOW = 4000  # the call of a rule takes as long as going through this many numbers


def with_composed_functions(data: GradientData) -> GradientData | None:
    """Return the same data for a graph in which each composed function is one operation; None if there is none.

    In a part of a graph, a value that is a softmax of another one may be computed from it with other values as
    constants. Then it has other gradients than a softmax, and is not replaced.
    """
    functions = find_known_functions(data.trace)
    if not functions:
        return None
    collapsed = collapse_functions(data.trace, functions)
    for gradient, right_gradient, user_gradient in zip(
        gradients(collapsed), data.right_gradients, data.user_gradients, strict=True
    ):
        size = max(float(np.nan_to_num(np.abs(x)).max(initial=0)) for x in (right_gradient, user_gradient))
        if np.abs(gradient - right_gradient).max(initial=0) > 1e-4 * size:
            return None
    trace_at = data.trace_at

    def collapse(trace: Traced) -> Traced:
        return collapse_functions(trace, functions) if trace.signature == data.trace.signature else trace

    return data._replace(
        trace=collapsed, probes=[(m, collapse(t), r) for m, t, r in data.probes],
        trace_at=None if trace_at is None else lambda moved: collapse(trace_at(moved)),
    )  # fmt: skip


class Match(NamedTuple):
    """A mistake that gives the user's numbers, up to a factor."""

    mutant: Mutant
    factor: Factor


class Search:
    """Searches one graph for the mistakes that explain the user's gradients of some inputs.

    It keeps what it computed, so that it can be asked about several sets of inputs.
    """

    def __init__(self, data: GradientData, *, with_groups: bool = True) -> None:
        """`with_groups` says whether mistakes that are made at several operations are tried as well."""
        self.data, self.with_groups = data, with_groups
        rng = np.random.default_rng(0)
        self.is_real = not any(np.iscomplexobj(x) for x in (*data.float64_inputs, *data.right_gradients))
        self.directions = [[_random_direction(x, rng) for x in data.float64_inputs] for _ in range(DIRECTIONS)]
        self.walked_mutants: list[tuple[Mutant, Array]] | None = None
        self.single_changes: tuple[list[Mutant], Array | None, Array | None] | None = None

    def matches(self, input_numbers: Sequence[int], *, linear: bool = True) -> list[Match]:
        """Return the mistakes that explain the gradients of some inputs, the simplest first.

        Args:
            input_numbers: the inputs, by number: wrong ones, and right ones that the mistake must leave unchanged.
            linear: whether gradients that are multiplied by any factor at one operation are tried as well.
        """
        data = self.data
        input_numbers = [i for i in input_numbers if data.user_gradients[i].shape == data.right_gradients[i].shape]
        if not input_numbers:
            return []
        matches: list[Match] = []
        tried_counts: dict[str, int] = {}
        for mutant in sorted(self._fitting_mutants(input_numbers), key=lambda m: (m.linear, m.cost)):
            if (mutant.linear and not linear) or tried_counts.get(mutant.kind, 0) >= WALKED:
                continue
            tried_counts[mutant.kind] = tried_counts.get(mutant.kind, 0) + 1
            factor = _fitting_factor(data, mutant, input_numbers)
            if factor is not None:
                matches.append(Match(mutant, factor))
        if self.with_groups and not any(m.factor.is_one and not m.mutant.linear for m in matches):
            matches += self._group_matches(input_numbers)
        return matches

    def _group_matches(self, input_numbers: Sequence[int]) -> Iterator[Match]:
        """Yield the mistakes made at several operations that explain some inputs; there is no cheap test for these."""
        data = self.data
        if self.walked_mutants is None:
            self.walked_mutants = list(self._walk_mutants())
        target = self._directional_derivatives(data.user_gradients)[:, input_numbers].sum(axis=1)
        tolerance = 100 * SIGN if data.has_float32 else SIGN
        for mutant, derivatives in self.walked_mutants:
            total = derivatives[:, input_numbers].sum(axis=1)
            noise = tolerance * np.abs(derivatives[:, input_numbers]).sum(axis=1)
            best = int(np.argmax(np.abs(total)))
            s = target[best] / total[best] if total[best] else np.inf
            if np.isfinite(s) and (np.abs(target - s * total) <= np.abs(s) * noise).all():
                factor = _fitting_factor(data, mutant, input_numbers)
                if factor is not None:
                    yield Match(mutant, factor)

    def _walk_mutants(self) -> Iterator[tuple[Mutant, Array]]:
        """Yield each mistake at several operations with the derivatives along the directions that it leads to."""
        graph = self.data.trace
        cost = max(sum(np.size(n.out) for n in graph.operations) + SLOW * len(graph.operations), 1)
        walks_left = int(WALKS / cost)
        last_parts, tolerance = list(last_steps(graph)), 1e-3 if self.data.has_float32 else SIGN
        tried: set[Any] = set()
        mutants: list[Mutant] = [*_missing_sums(graph), *group_mutants(graph, call_sites(graph))]
        mutants += recomputed_mutants(graph, self.data.user_gradients) if len(graph.operations) < LARGE else []
        for mutant in sorted(mutants, key=lambda m: m.cost):
            key = (mutant.kind, tuple((p, m.text, m.slot, m.key) for p, m in mutant.parts))
            if key in tried:
                continue
            tried.add(key)
            if mutant.remake is None and not all(
                part.agrees(mutant, self.data.user_gradients[part.number], tolerance) for part in last_parts
            ):
                continue
            if walks_left <= 0:
                return
            walks_left -= 1
            mutant_gradients = mutant.walk(graph)
            if mutant_gradients is not None:
                yield mutant, self._directional_derivatives(mutant_gradients)

    def _directional_derivatives(self, grads: Sequence[Array]) -> Array:
        """Return each gradient times each direction, shape (directions, inputs); NaN if its shape is another."""
        return np.array([[float(np.real(np.vdot(v, g))) if v.shape == g.shape else np.nan
                          for v, g in zip(u, grads, strict=True)] for u in self.directions])  # fmt: skip

    def _fitting_mutants(self, input_numbers: Sequence[int]) -> Iterator[Mutant]:
        """Yield the mistakes at one operation that pass the cheap test, so that they may explain some inputs."""
        data = self.data
        if self.single_changes is None:
            self.single_changes = self._single_mutant_changes()
        mutants, sums, sizes = self.single_changes
        if sums is None or sizes is None:
            yield from mutants
            return
        user_derivatives, right_derivatives = (
            self._directional_derivatives(grads)[:, input_numbers].sum(axis=1)
            for grads in (data.user_gradients, data.right_gradients)
        )
        target = np.array(
            [
                sum(float(np.vdot(u[i], data.user_gradients[i] - data.right_gradients[i])) for i in input_numbers)
                for u in self.directions
            ]
        )
        changes, noise = sums[:, :, input_numbers].sum(axis=2), sizes[:, :, input_numbers].sum(axis=2)
        allowed = (10 * SIGN if data.has_float32 else SIGN) * noise
        linear = np.array([m.linear for m in mutants])
        with np.errstate(all="ignore"):
            is_fitting = (np.abs(target - changes) <= allowed).all(axis=1) | _are_multiples(
                user_derivatives, right_derivatives + changes, allowed
            )
            is_fitting = np.where(linear, _are_multiples(target, changes, allowed), is_fitting) & noise.any(axis=1)
        yield from (mutants[k] for k in np.flatnonzero(is_fitting))

    def _single_mutant_changes(self) -> tuple[list[Mutant], Array | None, Array | None]:
        """Return the mistakes at one operation, what each adds along each direction, and the size of the terms of that.

        The last two have shape (mistakes, directions, inputs); they are None if the cheap test cannot be made.
        """
        graph = self.data.trace
        max_cost = (
            FAR if len(graph.operations) > LARGE else np.inf
        )  # in a loop, a wrong value in one step only is unlikely
        mutants = [m for m in single_mutants(graph) if not m.is_unsummed and m.cost < max_cost]
        tangents = self._argument_tangents()
        if tangents is None:
            return mutants, None, None
        cotangents = right_cotangents(graph)
        slots: dict[int, list[Any]] = {}
        tested, sums, sizes = [], [], []
        for mutant in mutants:
            place, mistake = mutant.parts[0]
            if place not in cotangents:
                continue
            if place not in slots:
                slots = {place: rule_results(graph.operations[place], np.asarray(cotangents[place]))}
            added = _added_derivatives(graph, place, mistake, cotangents[place], slots[place], tangents[place])
            if added is not None:
                tested.append(mutant)
                sums.append(added[0])
                sizes.append(added[1])
        shape = (len(tested), DIRECTIONS, len(self.data.float64_inputs))
        return tested, np.array(sums).reshape(shape), np.array(sizes).reshape(shape)

    def _argument_tangents(self) -> list[list[Any]] | None:
        """Return how the arguments of each operation move as each input moves along each direction.

        Each array has shape (directions * inputs, entries of the argument). None if the runs cannot be made.
        """
        data, graph = self.data, self.data.trace
        count = DIRECTIONS * len(data.float64_inputs)
        held_numbers = sum(np.size(a) for node in graph.operations for a in args_of(node)) * count
        if data.trace_at is None or held_numbers > HELD or not self.is_real:
            return None
        tangents: list[list[Any]] = [
            [None if parent is None else np.zeros((count, np.size(arg)))
             for parent, arg in zip(parents_of(node), args_of(node), strict=True)]
            for node in graph.operations
        ]  # fmt: skip
        for row, (u, i) in enumerate((u, i) for u in self.directions for i in range(len(data.float64_inputs))):
            sides = []
            for step in (STEP, -STEP):
                moved = [x + step * u[i] if i == k else x for k, x in enumerate(data.float64_inputs)]
                try:
                    side_trace = data.trace_at(moved)
                except Exception:  # a user's function may raise anything outside its domain
                    return None
                if side_trace.signature != graph.signature:
                    return None
                sides.append(side_trace.operations)
            for node_tangents, plus, minus in zip(tangents, *sides, strict=True):
                for rows, a, b in zip(node_tangents, args_of(plus), args_of(minus), strict=True):
                    if rows is not None:
                        rows[row] = (np.asarray(a) - np.asarray(b)).reshape(-1) / (2 * STEP)
        return tangents


def _random_direction(x: Array, rng: np.random.Generator) -> Array:
    """Return a random direction of an input, as large as the input."""
    return np.asarray(rng.normal(size=x.shape) * max(float(np.abs(x).max(initial=0)), 1e-3))


def _are_multiples(target: Array, candidates: Array, allowed: Array) -> Array:
    """Tell for each row of `candidates` whether `target` is a multiple of it."""
    best = np.abs(candidates).argmax(axis=1)
    rows = np.arange(len(candidates))
    s = (target[best] / candidates[rows, best])[:, None]
    return np.asarray(np.isfinite(s[:, 0]) & (np.abs(target - s * candidates) <= np.abs(s) * allowed).all(axis=1))


def _missing_sums(graph: Traced) -> Iterator[Mutant]:
    """Yield the mistakes that sums over broadcasts are missing: one, two, or all of them."""
    mutants = [m for m in single_mutants(graph) if m.is_unsummed]
    yield from mutants
    if 1 < len(mutants) < 20:
        text = ("Values that were broadcast are used in many places, so their gradients are sums over them. These sums "
                "are missing.")  # fmt: skip
        for i, a in enumerate(mutants):
            for b in mutants[i + 1 :]:
                yield Mutant(a.kind, text, (*a.parts, *b.parts), 1.05)
        if len(mutants) > 2:
            yield Mutant(mutants[0].kind, text, tuple(part for m in mutants for part in m.parts), 1.05)


def _added_derivatives(
    graph: Traced, place: int, mistake: Mistake, g: Array, slots: list[Any], tangents: list[Any]
) -> tuple[Array, Array] | None:
    """Return what a mistake adds to the derivative along each direction, and the sum of the sizes of its terms."""
    with np.errstate(all="ignore"):
        parts = local_mutants(graph, place, mistake, g, slots)
    if parts is None or all(d is None for d in parts):
        return None
    derivatives = noise = np.zeros(0)
    for d, t in zip(parts, tangents, strict=True):
        if d is not None and t is not None:
            with np.errstate(all="ignore"):
                term, term_size = t @ d.reshape(-1), np.abs(t) @ np.abs(d.reshape(-1))
            derivatives, noise = (derivatives + term, noise + term_size) if derivatives.size else (term, term_size)
    return (derivatives, noise) if derivatives.size and np.isfinite(derivatives).all() else None


def _fitting_factor(data: GradientData, mutant: Mutant, input_numbers: Sequence[int]) -> Factor | None:
    """Return the factor with which a mistake explains some inputs, at all points; None if it does not."""
    if mutant.linear:
        def lost_part(trace: Traced, right: list[Array]) -> list[Array] | None:
            mutant_gradients = mutant.walk(trace)
            return None if mutant_gradients is None else [a - b if a.shape == b.shape else np.full(a.shape, np.nan)
                                              for a, b in zip(right, mutant_gradients, strict=True)]  # fmt: skip

        factor = fit_factor(data, input_numbers, lost_part, True)
        return None if factor is None or factor.is_one or _is_any_number(data, mutant, factor) else factor
    mutant_gradients = mutant.walk(data.trace)
    if mutant_gradients is None or all(
        equal_to_rounding(data, mutant_gradients[i], data.right_gradients[i]) for i in input_numbers
    ):
        return None
    factor = fit_factor(
        data, input_numbers, lambda trace, right: mutant_gradients if trace is data.trace else mutant.walk(trace)
    )
    is_lost = factor is not None and factor.name == "0"
    return None if is_lost and any(np.any(data.user_gradients[i]) for i in input_numbers) else factor


def _is_any_number(data: GradientData, mutant: Mutant, factor: Factor) -> bool:
    """Tell whether a factor without a name is that of a gradient that is one number, at one point: any number fits."""
    if data.probes or "." not in factor.name or factor.others:
        return False
    g = np.asarray(right_cotangents(data.trace)[mutant.place])
    node = data.trace.operations[mutant.place]
    passed, value = (g, node.out) if mutant.slot is None else (
        rule_results(node, g)[mutant.slot], args_of(node)[mutant.slot])  # fmt: skip
    return np.size(value) == 1 or np.unique(passed).size == 1
