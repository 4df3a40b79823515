"""Explain a wrong dW or db by the delta of its layer: a known mistake, a factor, or a wrong penalty."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..factors import Factor
from .findings import UNKNOWN, Finding, Option, allowed_suspects, by_factor, computed, unexplained
from .fit import Witness, find_wrong_penalty, fit_scale, misfit, penalty_alone
from .suspects import RIGHT, Suspect, bias_suspects, weight_suspects

Array = np.ndarray[Any, Any]


def explain_parameters(
    witnesses: Sequence[Witness], k: int, delta: Sequence[Array], loss_doubled: bool, both_may_be_wrong: bool = False,
    only: Sequence[Finding] | None = None,
) -> Option | None:  # fmt: skip
    """Explain dW and db of layer k by its delta.

    Return None if the code returned another delta, or if neither dW nor db follows from this delta,
    unless `both_may_be_wrong`.
    """
    for w, d in zip(witnesses, delta, strict=True):
        user_deltas = w.case.answer.delta
        if user_deltas is not None and misfit(w, user_deltas[k], d, w.noise and w.noise.delta[k]) > 1:
            return None
    exact_b, exact_W = follows_from_delta(witnesses, k, "b", delta), follows_from_delta(witnesses, k, "W", delta)
    if not (both_may_be_wrong or exact_b or exact_W):
        return None  # a wrong delta makes both wrong by itself; further mistakes in both of them are unlikely
    best_W = Option(0.0, ()) if exact_W else _explain_array(witnesses, k, "W", delta, loss_doubled, only)
    best_b = Option(0.0, ()) if exact_b else _explain_array(witnesses, k, "b", delta, loss_doubled, only)
    cost, findings = best_W.cost + best_b.cost, (*best_W.findings, *best_b.findings)
    kinds, times = {f.kind for f in findings}, {f.times for f in findings}
    if len(findings) == 2 and len(kinds) == len(times) == 1 and kinds != {"unknown"}:
        cost = max(best_W.cost, best_b.cost) + 0.2
    return Option(cost, findings)


def _gradient_from_delta(w: Witness, k: int, part: str, d: Array) -> Array:
    """Return dW, or db, by the right equation from a delta."""
    gradient: Array = d.T @ w.case.into(k) + w.case.penalty(k) if part == "W" else d.sum(axis=0)
    return gradient


def follows_from_delta(witnesses: Sequence[Witness], k: int, part: str, delta: Sequence[Array]) -> bool:
    """Tell whether the returned dW, or db, follows from a delta by the right equation, in all experiments."""
    for w, d in zip(witnesses, delta, strict=True):
        name = f"d{part}"
        noise = w.noise and getattr(w.noise, name)[k]
        if misfit(w, getattr(w.case.answer, name)[k], _gradient_from_delta(w, k, part, d), noise) > 1:
            return False
    return True


def _explain_array(
    witnesses: Sequence[Witness], k: int, part: str, delta: Sequence[Array], loss_doubled: bool,
    only: Sequence[Finding] | None = None,
) -> Option:  # fmt: skip
    """Return the cheapest explanation of dW, or of db, of layer k by its delta."""
    is_weight = part == "W"
    arrays = [getattr(w.case.answer, f"d{part}")[k] for w in witnesses]
    right = [getattr(w.case.right, f"d{part}")[k] for w in witnesses]
    gradient = _Gradient(witnesses, k, part, arrays, [1e-3 * float(np.abs(array).max()) for array in right])
    case = witnesses[0].case
    options: list[Option] = []
    for suspect in allowed_suspects(weight_suspects(case, k) if is_weight else bias_suspects(case, k), k, only):
        base = computed(suspect, witnesses, delta)
        if base is None:
            continue
        penalties: list[Array | float] = [_penalty(w, k, p, suspect.kind) if is_weight else 0.0
                                          for w, p in zip(witnesses, base, strict=True)]  # fmt: skip
        if suspect.kind == RIGHT:
            options += gradient.wrong_penalties(base, loss_doubled)
            options += gradient.times_a_factor(base, penalties)
        else:
            options += gradient.by_suspect(suspect, base, penalties)
    options += _kink_of_penalty(witnesses, k, part, gradient.arrays, delta)
    return _cheapest_option(options) if options else gradient.unexplained(delta)


class _Gradient(NamedTuple):
    """dW or db of layer k, as the code returned it in each experiment, with the options that explain it."""

    witnesses: Sequence[Witness]
    k: int
    part: str
    arrays: list[Array]
    floor: list[float]  # a thousandth of the right gradient: what is far smaller is zero up to rounding

    def fitting_factors(
        self, base: list[Array], penalties: list[Array | float], floor: list[float] | None = None
    ) -> Iterator[tuple[Factor, bool]]:
        """Yield the factors with which an equation fits, each with whether the penalty is added without the factor."""
        sums = (p + e if np.shape(e) in ((), p.shape) else p for p, e in zip(base, penalties, strict=True))
        has_penalty = any(np.count_nonzero(e) for e in penalties)
        for bases, extras in ((base, penalties), (sums, [0.0] * len(self.witnesses))):
            factor = fit_scale(self.witnesses, self.arrays, bases, extras, self.k, floor)
            if factor is not None:
                yield factor, has_penalty and bases is base
            if not has_penalty:
                return

    def wrong_penalties(self, base: list[Array], loss_doubled: bool) -> Iterator[Option]:
        """Yield the options that the rest, beside the right gradient of the loss, is a wrong penalty."""
        penalty = find_wrong_penalty(self.witnesses, self.arrays, base, self.k, self.part, loss_doubled)
        if penalty is not None:
            yield Option(1.0, (Finding(self.k, self.part, penalty.kind, penalty.text),))
        text = penalty_alone(self.witnesses, self.arrays, self.k) if self.part == "W" else None
        if text is not None:
            yield Option(1.15, (Finding(self.k, self.part, "overwritten_not_accumulated", text),))

    def times_a_factor(self, base: list[Array], penalties: list[Array | float]) -> Iterator[Option]:
        """Yield the options that it is the right gradient times a factor."""
        for factor, is_penalty_right in self.fitting_factors(base, penalties):
            if not factor.is_one:
                yield Option(1.1, (by_factor(self.k, self.part, factor, is_penalty_right),))

    def by_suspect(self, suspect: Suspect, base: list[Array], penalties: list[Array | float]) -> Iterator[Option]:
        """Yield the options that it is what a suspect computes, perhaps times a factor or without the penalty."""
        has_penalty = any(np.count_nonzero(e) for e in penalties)
        factors = [*self.fitting_factors(base, penalties, self.floor)]
        if suspect.kind == "transpose" and has_penalty:  # the penalty may be transposed with it
            transposed: list[Array | float] = [w.case.penalty(self.k).T for w in self.witnesses]
            factors += self.fitting_factors(base, transposed)
        lacks_penalty = not factors and has_penalty  # the penalty may be missing too
        if lacks_penalty:
            factors = [*self.fitting_factors(base, [0.0] * len(self.witnesses))]
        for factor, is_penalty_right in factors:
            if factor.name == "0":
                continue
            suffix = "" if factor.is_one else f" It is also multiplied by {factor.words}."
            if suffix and is_penalty_right:
                suffix += " The penalty is not."
            if np.ndim(penalties[0]) == 3 and not lacks_penalty:
                suffix += " The penalty is added to each sample."
            if lacks_penalty:
                suffix += " And the gradient of the penalty is not added."
            times = None if factor.is_one else factor
            finding = Finding(self.k, self.part, suspect.kind, suspect.text + suffix, times)
            yield Option(suspect.cost + 0.5 * (lacks_penalty or times is not None), (finding,))

    def unexplained(self, delta: Sequence[Array]) -> Option:
        """Return the option that no known mistake explains it, with what it should be for the given batch."""
        pairs = [
            (array, _gradient_from_delta(w, self.k, self.part, d))
            for array, w, d in zip(self.arrays, self.witnesses, delta, strict=True) if w.case.is_user_batch
        ]  # fmt: skip
        return Option(UNKNOWN, (unexplained(self.k, self.part, pairs),))


def _cheapest_option(options: Sequence[Option]) -> Option:
    """Return the cheapest option; its evidence names others that give the same numbers at about the same cost."""
    best = min(options, key=lambda o: o.cost)
    f = best.findings[0]
    near = [o.findings[0] for o in options if o is not best and o.cost <= best.cost + 0.45]
    equal_findings = [g for g in near if g.text != f.text and (g.factor is None or g.kind in ("scale", "sign"))]
    other_kinds = tuple(dict.fromkeys(g.kind for g in equal_findings if g.kind != f.kind))
    evidence = tuple(f"the same numbers would come from this: {g.text}" for g in equal_findings[:2])
    return best._replace(findings=(replace(f, evidence=(*f.evidence, *evidence), alternatives=other_kinds),))


def _penalty(w: Witness, k: int, p: Array, kind: str) -> Array | float:
    penalty = w.case.penalty(k)
    if p.shape[1:] == penalty.shape and kind == "broadcast_not_summed":  # added to each sample
        return np.broadcast_to(penalty, p.shape)
    if kind == "transpose" and p.shape == penalty.T.shape and not np.array_equal(p.shape, penalty.shape):
        return penalty.T
    return penalty if p.shape == penalty.shape else 0.0


def _kink_of_penalty(
    witnesses: Sequence[Witness], k: int, part: str, user_gradients: list[Array], delta: Sequence[Array]
) -> Any:
    """Yield other conventions for sign(0), if a weight is 0, where the penalty has a kink."""
    if part != "W" or not witnesses[0].penalty_shares[0] or not any((w.case.W[k] == 0).any() for w in witnesses):
        return
    for sign in (1.0, -1.0):
        right_gradients = [
            _gradient_from_delta(w, k, part, d)
            + (w.case.W[k] == 0) * sign * w.case.solver.regularization.lam * w.penalty_shares[0]
            for w, d in zip(witnesses, delta, strict=True)
        ]  # fmt: skip
        if all(misfit(w, g, p) <= 1 for w, g, p in zip(witnesses, user_gradients, right_gradients, strict=True)):
            text = (f"Where a weight is 0 the penalty |W| has a kink; this code takes the slope {sign:g} there, and "
                    "the graph 0. Both are conventions.")  # fmt: skip
            yield Option(0.3, (Finding(k, part, "kink", text),))
