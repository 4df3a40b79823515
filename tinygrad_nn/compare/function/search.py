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
from .advice import GradientData, equal_to_rounding, fit_factor
from .composed import collapse_functions, find_known_functions
from .last_steps import last_steps
from .locations import call_sites
from .mutants import Mutant, group_mutants, local_mutants, right_cotangents, single_mutants
from .recomputed import Recomputed, recomputed

STEP = 1e-5  # step of the inputs beside the point; the error of central differences is of the order of its square
SIGN = 1e-4  # relative tolerance of the cheap test, far above the error of the differences
DIRECTIONS = 3
HELD = 3e7  # the most numbers that the runs beside the point may hold together
WALKED = 16  # the most mistakes of one kind that are walked
LARGE = 250  # a graph of more operations is taken to come from a loop
WALKS = 4e8  # about how many numbers the walks without a cheap test may go through, which takes some seconds
SLOW = 4000  # the call of a rule takes as long as going through this many numbers


def with_functions(data: GradientData) -> GradientData | None:
    """Return the same data for a graph in which each composed function is one operation; None if there is none.

    In a part of a graph, a value that is a softmax of another one may be computed from it with other values as
    constants. Then it has other gradients than a softmax, and is not replaced.
    """
    known = find_known_functions(data.trace)
    if not known:
        return None
    whole = collapse_functions(data.trace, known)
    for found, right, mine in zip(gradients(whole), data.right, data.mine, strict=True):
        size = max(float(np.nan_to_num(np.abs(x)).max(initial=0)) for x in (right, mine))
        if np.abs(found - right).max(initial=0) > 1e-4 * size:
            return None
    again = data.again

    def collapse(trace: Traced) -> Traced:
        return collapse_functions(trace, known) if trace.signature == data.trace.signature else trace

    return data._replace(
        trace=whole, probes=[(m, collapse(t), r) for m, t, r in data.probes],
        again=None if again is None else lambda moved: collapse(again(moved)),
    )  # fmt: skip


class Match(NamedTuple):
    """A mistake that gives the user's numbers, up to a factor."""

    mutant: Mutant | Recomputed
    factor: Factor


class Search:
    """Searches one graph for the mistakes that explain the user's gradients of some inputs.

    It keeps what it computed, so that it can be asked about several sets of inputs.
    """

    def __init__(self, data: GradientData, *, together: bool = True) -> None:
        """`together` says whether mistakes that are made at several operations are tried as well."""
        self.data, self.together = data, together
        rng = np.random.default_rng(0)
        self.real = not any(np.iscomplexobj(x) for x in (*data.leaves, *data.right))
        self.directions = [[_direction(x, rng) for x in data.leaves] for _ in range(DIRECTIONS)]
        self.walked: list[tuple[Mutant | Recomputed, Array]] | None = None
        self.added: tuple[list[Mutant], Array | None, Array | None] | None = None

    def matches(self, over: Sequence[int], *, linear: bool = True) -> list[Match]:
        """Return the mistakes that explain the gradients of some inputs, the simplest first.

        Args:
            over: the inputs, by number: wrong ones, and right ones that the mistake must leave unchanged.
            linear: whether gradients that are multiplied by any factor at one operation are tried as well.
        """
        data = self.data
        over = [i for i in over if data.mine[i].shape == data.right[i].shape]
        if not over:
            return []
        found: list[Match] = []
        tried: dict[str, int] = {}
        for mutant in sorted(self._signed(over), key=lambda m: (m.linear, m.cost)):
            if (mutant.linear and not linear) or tried.get(mutant.kind, 0) >= WALKED:
                continue
            tried[mutant.kind] = tried.get(mutant.kind, 0) + 1
            factor = _fitting_factor(data, mutant, over)
            if factor is not None:
                found.append(Match(mutant, factor))
        if self.together and not any(m.factor.is_one and not m.mutant.linear for m in found):
            found += self._together(over)
        return found

    def _together(self, over: Sequence[int]) -> Iterator[Match]:
        """Yield the mistakes made at several operations that explain `over`; there is no cheap test for these."""
        data = self.data
        if self.walked is None:
            self.walked = list(self._walks())
        goal = self._seen(data.mine)[:, over].sum(axis=1)
        loose = 100 * SIGN if data.single else SIGN
        for mutant, seen in self.walked:
            total = seen[:, over].sum(axis=1)
            noise = loose * np.abs(seen[:, over]).sum(axis=1)
            best = int(np.argmax(np.abs(total)))
            s = goal[best] / total[best] if total[best] else np.inf
            if np.isfinite(s) and (np.abs(goal - s * total) <= np.abs(s) * noise).all():
                factor = _fitting_factor(data, mutant, over)
                if factor is not None:
                    yield Match(mutant, factor)

    def _walks(self) -> Iterator[tuple[Mutant | Recomputed, Array]]:
        """Yield each mistake at several operations with the derivatives along the directions that it leads to."""
        graph = self.data.trace
        cost = max(sum(np.size(n.out) for n in graph.operations) + SLOW * len(graph.operations), 1)
        left = int(WALKS / cost)
        short, loose = list(last_steps(graph)), 1e-3 if self.data.single else SIGN
        tried: set[Any] = set()
        every: list[Mutant | Recomputed] = [*_missing_sums(graph), *group_mutants(graph, call_sites(graph))]
        every += recomputed(graph, self.data.mine) if len(graph.operations) < LARGE else []
        for mutant in sorted(every, key=lambda m: m.cost):
            same = (mutant.kind, tuple((p, m.text, m.slot, m.key) for p, m in mutant.parts))
            if same in tried:
                continue
            tried.add(same)
            if isinstance(mutant, Mutant) and not all(
                    part.agrees(mutant, self.data.mine[part.number], loose) for part in short):  # fmt: skip
                continue
            if left <= 0:
                return
            left -= 1
            made = mutant.walk(graph)
            if made is not None:
                yield mutant, self._seen(made)

    def _seen(self, grads: Sequence[Array]) -> Array:
        """Return each gradient times each direction, shape (directions, inputs); NaN if its shape is another."""
        return np.array([[float(np.real(np.vdot(v, g))) if v.shape == g.shape else np.nan
                          for v, g in zip(u, grads, strict=True)] for u in self.directions])  # fmt: skip

    def _signed(self, over: Sequence[int]) -> Iterator[Mutant]:
        """Yield the mistakes at one operation that pass the cheap test, so that they may explain the inputs `over`."""
        data = self.data
        if self.added is None:
            self.added = self._each()
        mutants, sums, sizes = self.added
        if sums is None or sizes is None:
            yield from mutants
            return
        whole, right = (self._seen(grads)[:, over].sum(axis=1) for grads in (data.mine, data.right))
        goal = np.array([sum(float(np.vdot(u[i], data.mine[i] - data.right[i])) for i in over)
                         for u in self.directions])  # fmt: skip
        seen, noise = sums[:, :, over].sum(axis=2), sizes[:, :, over].sum(axis=2)
        allowed = (10 * SIGN if data.single else SIGN) * noise
        linear = np.array([m.linear for m in mutants])
        with np.errstate(all="ignore"):
            fits = (np.abs(goal - seen) <= allowed).all(axis=1) | _are_multiples(whole, right + seen, allowed)
            fits = np.where(linear, _are_multiples(goal, seen, allowed), fits) & noise.any(axis=1)
        yield from (mutants[k] for k in np.flatnonzero(fits))

    def _each(self) -> tuple[list[Mutant], Array | None, Array | None]:
        """Return the mistakes at one operation, what each adds along each direction, and the size of the terms of that.

        The last two have shape (mistakes, directions, inputs); they are None if the cheap test cannot be made.
        """
        graph = self.data.trace
        most = FAR if len(graph.operations) > LARGE else np.inf  # in a loop, a wrong value in one step only is unlikely
        mutants = [m for m in single_mutants(graph) if not m.wide and m.cost < most]
        tangents = self._moves()
        if tangents is None:
            return mutants, None, None
        arrived = right_cotangents(graph)
        slots: dict[int, list[Any]] = {}
        kept, sums, sizes = [], [], []
        for mutant in mutants:
            place, mistake = mutant.parts[0]
            if place not in arrived:
                continue
            if place not in slots:
                slots = {place: rule_results(graph.operations[place], np.asarray(arrived[place]))}
            added = _added_derivatives(graph, place, mistake, arrived[place], slots[place], tangents[place])
            if added is not None:
                kept.append(mutant)
                sums.append(added[0])
                sizes.append(added[1])
        shape = (len(kept), DIRECTIONS, len(self.data.leaves))
        return kept, np.array(sums).reshape(shape), np.array(sizes).reshape(shape)

    def _moves(self) -> list[list[Any]] | None:
        """Return how the arguments of each operation move as each input moves along each direction.

        Each array has shape (directions * inputs, entries of the argument). None if the runs cannot be made.
        """
        data, graph = self.data, self.data.trace
        count = DIRECTIONS * len(data.leaves)
        held = sum(np.size(a) for node in graph.operations for a in args_of(node)) * count
        if data.again is None or held > HELD or not self.real:
            return None
        found: list[list[Any]] = [
            [None if parent is None else np.zeros((count, np.size(arg)))
             for parent, arg in zip(parents_of(node), args_of(node), strict=True)]
            for node in graph.operations
        ]  # fmt: skip
        for row, (u, i) in enumerate((u, i) for u in self.directions for i in range(len(data.leaves))):
            sides = []
            for step in (STEP, -STEP):
                moved = [x + step * u[i] if i == k else x for k, x in enumerate(data.leaves)]
                try:
                    beside = data.again(moved)
                except Exception:  # a user's function may raise anything outside its domain
                    return None
                if beside.signature != graph.signature:
                    return None
                sides.append(beside.operations)
            for held_at, one, two in zip(found, *sides, strict=True):
                for rows, a, b in zip(held_at, args_of(one), args_of(two), strict=True):
                    if rows is not None:
                        rows[row] = (np.asarray(a) - np.asarray(b)).reshape(-1) / (2 * STEP)
        return found


def _direction(x: Array, rng: np.random.Generator) -> Array:
    """Return a random direction of an input, as large as the input."""
    return np.asarray(rng.normal(size=x.shape) * max(float(np.abs(x).max(initial=0)), 1e-3))


def _are_multiples(goal: Array, seen: Array, allowed: Array) -> Array:
    """Tell for each row of `seen` whether `goal` is a multiple of it."""
    best = np.abs(seen).argmax(axis=1)
    rows = np.arange(len(seen))
    s = (goal[best] / seen[rows, best])[:, None]
    return np.asarray(np.isfinite(s[:, 0]) & (np.abs(goal - s * seen) <= np.abs(s) * allowed).all(axis=1))


def _missing_sums(graph: Traced) -> Iterator[Mutant]:
    """Yield the mistakes that sums over broadcasts are missing: one, two, or all of them."""
    found = [m for m in single_mutants(graph) if m.wide]
    yield from found
    if 1 < len(found) < 20:
        text = ("Values that were broadcast are used in many places, so their gradients are sums over them. These sums "
                "are missing.")  # fmt: skip
        for i, a in enumerate(found):
            for b in found[i + 1 :]:
                yield Mutant(a.kind, text, (*a.parts, *b.parts), 1.05)
        if len(found) > 2:
            yield Mutant(found[0].kind, text, tuple(part for m in found for part in m.parts), 1.05)


def _added_derivatives(
    graph: Traced, place: int, mistake: Mistake, g: Array, slots: list[Any], tangents: list[Any]
) -> tuple[Array, Array] | None:
    """Return what a mistake adds to the derivative along each direction, and the sum of the sizes of its terms."""
    with np.errstate(all="ignore"):
        parts = local_mutants(graph, place, mistake, g, slots)
    if parts is None or all(d is None for d in parts):
        return None
    seen = noise = np.zeros(0)
    for d, t in zip(parts, tangents, strict=True):
        if d is not None and t is not None:
            with np.errstate(all="ignore"):
                one, two = t @ d.reshape(-1), np.abs(t) @ np.abs(d.reshape(-1))
            seen, noise = (seen + one, noise + two) if seen.size else (one, two)
    return (seen, noise) if seen.size and np.isfinite(seen).all() else None


def _fitting_factor(data: GradientData, mutant: Mutant | Recomputed, over: Sequence[int]) -> Factor | None:
    """Return the factor with which a mistake explains some inputs, at all points; None if it does not."""
    if mutant.linear:
        def beside(trace: Traced, right: list[Array]) -> list[Array] | None:
            made = mutant.walk(trace)
            return None if made is None else [a - b if a.shape == b.shape else np.full(a.shape, np.nan)
                                              for a, b in zip(right, made, strict=True)]  # fmt: skip

        factor = fit_factor(data, over, beside, True)
        return None if factor is None or factor.is_one else factor
    made = mutant.walk(data.trace)
    if made is None or all(equal_to_rounding(data, made[i], data.right[i]) for i in over):
        return None
    return fit_factor(data, over, lambda trace, right: made if trace is data.trace else mutant.walk(trace))
