"""Search for the simplest set of mistakes that explains everything the user's backward returned for a model.

The search goes from the loss backwards, layer by layer. Each suspect for delta is computed from the delta that the
layer above must have had, and predicts dW and db in every experiment. So mistakes of the layers above are taken as
given, and each layer is blamed for its own mistakes only. The best few explanations are kept for the next layer, and
the cheapest wins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from ..factors import Factor
from ..pattern import distinct_text
from .fit import Witness, find_wrong_penalty, fit_scale, misfit, penalty_alone
from .suspects import RIGHT, Suspect, bias_suspects, hidden_suspects, output_suspects, weight_suspects
from .used_delta import recover, stale_mask

Array = np.ndarray[Any, Any]

KEPT = 6  # how many explanations are carried on to the next layer
UNKNOWN, FOLLOWED = 4.0, 5.0  # costs of an array that nothing explains, of a delta that is only known from dW and db


@dataclass(frozen=True)
class Finding:
    """One mistake: its layer, counted from 0, its part (``delta``, ``W`` or ``b``), its kind, and the evidence.

    If nothing explains the array, `user_array` is what the code returned for the given batch, and `right_array` what it
    should be, computed from the delta that the code has.
    """

    layer: int
    part: str
    kind: str
    text: str
    factor: Factor | None = None
    evidence: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    user_array: Array | None = field(default=None, repr=False, compare=False)
    right_array: Array | None = field(default=None, repr=False, compare=False)

    @property
    def times(self) -> str:
        """The name of the factor, "" if there is none; equal factors have one name, while their values are rounded."""
        return "" if self.factor is None else self.factor.name


class State(NamedTuple):
    """An explanation of the layers searched so far, and the delta that the code must have had in each experiment.

    `delta` is that of the last layer searched, None if not known; `deltas` holds those of all layers, from the last on.
    """

    delta: tuple[Array | None, ...]
    findings: tuple[Finding, ...]
    cost: float
    deltas: tuple[tuple[Array | None, ...], ...] = ()

    @property
    def has_unknown(self) -> bool:
        """Whether some array is left unexplained."""
        return any(f.kind == "unknown" for f in self.findings)


class Option(NamedTuple):
    """One explanation of dW or db, or of both."""

    cost: float
    findings: tuple[Finding, ...]


def explain(witnesses: Sequence[Witness], loss_doubled: bool = False, only: Sequence[Finding] | None = None) -> State:
    """Return the cheapest explanation of all answers.

    Args:
        witnesses: the experiments with their answers.
        loss_doubled: whether the returned loss holds the penalty twice.
        only: if given, only mistakes that these findings of another explanation name are tried.
    """
    last = len(witnesses[0].case.W) - 1
    states = [State(tuple(None for _ in witnesses), (), 0.0)]
    for k in range(last, -1, -1):
        new_states: list[State] = []
        for state in states:
            new_states += _layer(witnesses, k, state, loss_doubled, only)
        new_states = new_states or [_with_unknown_delta(witnesses, k, state) for state in states]
        new_states.sort(key=lambda s: s.cost)
        states = new_states[:KEPT]
    return states[0]


def _with_unknown_delta(witnesses: Sequence[Witness], k: int, state: State) -> State:
    """Return the state of a layer whose returned delta is explained by no suspect, as an unknown mistake in delta."""
    pairs = [(w.case.answer.delta[k], w.case.right.delta[k]) for w in witnesses if w.case.answer.delta]
    user_delta, right_delta = pairs[0] if pairs else (None, None)
    text = "delta is wrong, and no known mistake explains it."
    finding = Finding(k, "delta", "unknown", text, user_array=user_delta, right_array=right_delta)
    return _extended(state, [], [], (finding,), UNKNOWN)


def shows_in_batch(user_batch: Witness, deltas: Sequence[Array | None], f: Finding) -> bool:
    """Tell whether a finding shows in the given batch: the right equation, on the code's own delta, fails there."""
    case, k, d = user_batch.case, f.layer, deltas[f.layer]
    if d is None:
        return True
    if f.part != "delta":
        return any(not _follows([user_batch], k, part, [d]) for part in f.part.split(" and "))
    above = deltas[k + 1] if k + 1 < len(deltas) else None
    if above is None and k + 1 < len(deltas):
        return True
    right = next(output_suspects(case) if above is None else hidden_suspects(case, k)).compute(case, above)  # type: ignore[arg-type]
    return right is None or misfit(user_batch, d, right, user_batch.noise and user_batch.noise.delta[k]) > 1


def _layer(
    witnesses: Sequence[Witness], k: int, state: State, loss_doubled: bool, only: Sequence[Finding] | None = None
) -> list[State]:
    """Return the explanations of layer k that extend an explanation of the layers above it."""
    last = len(witnesses[0].case.W) - 1
    active_indices = [i for i in range(len(witnesses)) if k == last or state.delta[i] is not None]
    if not active_indices:
        return [replace_delta(state, state.delta)]
    active_witnesses = [witnesses[i] for i in active_indices]
    above = [state.delta[i] for i in active_indices]
    case = active_witnesses[0].case
    suspects = output_suspects(case) if k == last else hidden_suspects(case, k)
    states = []
    for suspect in _allowed(suspects, k, only):
        base = _compute(suspect, active_witnesses, above)
        if base is None:
            continue
        for factor, delta in _deltas(active_witnesses, k, base):
            if (suspect.kind == "kink" and not factor.is_one) or (suspect.kind != RIGHT and factor.name == "0"):
                break  # a convention has no factor, and a delta of 0 is evidence for no particular mistake
            is_right = suspect.kind == RIGHT and factor.is_one
            option = _explain_parameters(active_witnesses, k, delta, loss_doubled, is_right, only)
            if option is None:
                continue
            delta_finding = _delta_finding(suspect, factor, k, active_witnesses)
            cost = suspect.cost + (0 if factor.is_one else 0.5 if suspect.cost else 1) + option.cost
            if suspect.kind == "unknown":
                cost += 0.5
            states.append(_extended(state, active_indices, delta, (*delta_finding, *option.findings), cost))
        if suspect.kind == RIGHT and states and min(s.cost for s in states) == state.cost:
            return [s for s in states if s.cost == state.cost]
    states = _with_alternatives(states, len(state.findings))
    states += _with_recovered_delta(active_witnesses, k, above, state, active_indices, loss_doubled)
    return states


def _allowed(suspects: Iterator[Suspect], k: int, only: Sequence[Finding] | None) -> Iterator[Suspect]:
    """Return an iterator over the suspects that the findings `only` name in this layer, or over all if it is None."""
    allowed_texts = None if only is None else [f.text for f in only if f.layer == k]
    return (
        s for s in suspects if allowed_texts is None or s.kind == RIGHT or any(s.text in text for text in allowed_texts)
    )


def _with_alternatives(states: list[State], position: int) -> list[State]:
    """Return the states, each mistake in delta with the other kinds that give the same delta as its alternatives."""
    new_states = []
    for s in states:
        finding = s.findings[position] if len(s.findings) > position else None
        if finding is not None and finding.part == "delta":
            other_kinds = {
                t.findings[position].kind for t in states
                if t is not s and len(t.findings) > position and t.cost < s.cost + 0.6
                and t.findings[position].part == "delta"
                and t.findings[position].kind not in (finding.kind, "unknown", "kink")
                and all(np.allclose(a, b, rtol=1e-7, atol=0) for a, b in zip(s.delta, t.delta, strict=True)
                        if a is not None and b is not None)
            }  # fmt: skip
            findings = (
                *s.findings[:position],
                replace(finding, alternatives=tuple(sorted(other_kinds))),
                *s.findings[position + 1 :],
            )
            s = s._replace(findings=findings)
        new_states.append(s)
    return new_states


def _with_recovered_delta(
    witnesses: Sequence[Witness], k: int, above: Sequence[Array | None], state: State, active_indices: list[int],
    loss_doubled: bool,
) -> Iterator[State]:  # fmt: skip
    """Yield explanations with the delta recovered from dW and db: of another dropout mask, or of an unknown mistake."""
    recovered = [recover(w, k) for w in witnesses]
    known_indices = [i for i, d in enumerate(recovered) if d is not None]
    if not known_indices:
        return
    stale = stale_mask(witnesses, k, above, recovered)
    for deltas, finding, cost in (
        (stale, Finding(k, "delta", "dropout_mask_stale", "The backward pass uses a dropout mask other than that of "
                        "the forward pass."), 1.5),
        (recovered, Finding(k, "delta", "unknown", "delta is wrong, and no known mistake explains it."), FOLLOWED),
    ):  # fmt: skip
        if deltas is None:
            continue
        indices = [i for i, d in enumerate(deltas) if d is not None]
        option = _explain_parameters([witnesses[i] for i in indices], k, [deltas[i] for i in indices], loss_doubled)  # type: ignore[misc]
        if option is not None and not option.findings:
            finding = replace(
                finding, evidence=(f"read from dW and db in {len(indices)} of {len(witnesses)} experiments",)
            )
            if finding.kind == "unknown":
                i = min(indices, key=lambda i: not witnesses[i].case.is_user_batch)
                c, d = witnesses[i].case, above[i]
                right = next(output_suspects(c) if d is None else hidden_suspects(c, k)).compute(c, d)  # type: ignore[arg-type]
                batch_text = "" if c.is_user_batch else f"In a random batch of {c.rows} row{'s' * (c.rows > 1)}: "
                finding = replace(finding, text=batch_text + finding.text, user_array=deltas[i], right_array=right)
            yield _extended(state, [active_indices[i] for i in indices], [deltas[i] for i in indices],  # type: ignore[misc]
                            (finding,), cost)  # fmt: skip


def replace_delta(state: State, delta: tuple[Array | None, ...]) -> State:
    """Return a state one layer further down, with no new findings."""
    return state._replace(delta=delta, deltas=(*state.deltas, delta))


def _extended(
    state: State, active_indices: Sequence[int], delta: Sequence[Array], findings: Sequence[Finding], cost: float
) -> State:
    full: list[Array | None] = [None] * len(state.delta)
    for i, d in zip(active_indices, delta, strict=True):
        full[i] = d
    return State(tuple(full), (*state.findings, *findings), state.cost + cost, (*state.deltas, tuple(full)))


def _compute(suspect: Suspect, witnesses: Sequence[Witness], above: Sequence[Array | None]) -> list[Array] | None:
    """Return what a suspect computes in each experiment, or None if it cannot be computed in one."""
    values = []
    for w, d in zip(witnesses, above, strict=True):
        try:
            with np.errstate(all="ignore"):
                value = suspect.compute(w.case, d)  # type: ignore[arg-type]
        except (ValueError, IndexError):
            return None
        if value is None or not np.isfinite(value).all():
            return None
        values.append(value)
    return values


def _deltas(witnesses: Sequence[Witness], k: int, base: list[Array]) -> Iterator[tuple[Factor, list[Array]]]:
    """Yield a delta with factor 1, then times each factor that makes it fit the returned delta, db, or dW."""
    yield Factor("1", 1.0), base
    user_deltas = [w.case.answer.delta for w in witnesses]
    if all(d is not None for d in user_deltas):
        factors = [fit_scale(witnesses, [d[k] for d in user_deltas if d], base, [0.0] * len(witnesses), k)]
    else:
        sums = [d.sum(axis=0) for d in base]
        factors = [fit_scale(witnesses, [w.case.answer.db[k] for w in witnesses], sums, [0.0] * len(witnesses), k)]
        data = [d.T @ w.case.into(k) for w, d in zip(witnesses, base, strict=True)]
        factors.append(
            fit_scale(
                witnesses, [w.case.answer.dW[k] for w in witnesses], data, [w.case.penalty(k) for w in witnesses], k
            )
        )
    names = set()
    for factor in factors:
        if factor is not None and not factor.is_one and factor.name not in names:
            names.add(factor.name)
            yield factor, [_apply_factor(w, factor, d, k) for w, d in zip(witnesses, base, strict=True)]


def _apply_factor(w: Witness, factor: Factor, d: Array, k: int) -> Array:
    from ..factors import PLAIN

    name = factor.name.removeprefix("-")
    sign = -1.0 if factor.name.startswith("-") and name in (*PLAIN, "1") else 1.0
    if name in PLAIN:
        return sign * PLAIN[name]({**w.facts, "width": w.case.W[k].shape[0]}) * d
    return sign * d if name == "1" else factor.value * d


def _delta_finding(suspect: Suspect, factor: Factor, k: int, witnesses: Sequence[Witness]) -> tuple[Finding, ...]:
    if suspect.kind == RIGHT and factor.is_one:
        return ()
    if suspect.kind != RIGHT:
        times = "" if factor.is_one else f" It is also multiplied by {factor.words}."
        if suspect.kind == "dropout_scale_missing" and not factor.is_one and factor.value > 0:
            scale = 1 / (1 - witnesses[0].case.solver.regularization.dropout)
            text = (f"The mask has the scale {distinct_text(factor.value, scale)}; it should be 1/(1 - p), which is "
                    f"{distinct_text(scale, factor.value)}.")  # fmt: skip
            return (Finding(k, "delta", suspect.kind, text, factor),)
        return (Finding(k, "delta", suspect.kind, suspect.text + times, None if factor.is_one else factor),)
    return (_by_factor(k, "delta", factor),)


def _by_factor(k: int, part: str, factor: Factor, is_penalty_right: bool = False) -> Finding:
    """Return the finding that an array is a factor times the right one, apart from a penalty if `is_penalty_right`."""
    array_text = part if part == "delta" else f"d{part}"
    if is_penalty_right and factor.name == "0":
        text = (f"{array_text} is the gradient of the penalty alone: the gradient of the loss is missing; the two "
                "should be added.")  # fmt: skip
        return Finding(k, part, "overwritten_not_accumulated", text, factor)
    if is_penalty_right:
        array_text = f"The gradient of the loss in {array_text}"
    penalty_text = " The penalty is added correctly." if is_penalty_right else ""
    if factor.is_sign:
        text = f"{array_text} has the wrong sign: it is minus the right one.{penalty_text}"
        return Finding(k, part, "sign", text, factor)
    if factor.name == "0":
        return Finding(k, part, "scale", f"{array_text} is zero, and should not be.", factor)
    if part == "delta" and factor.name != "1/2" and "1-p" in (factor.name, *factor.others):
        return Finding(k, part, "dropout_scale_missing", "The mask is used without its scale 1/(1 - p).", factor)
    return Finding(k, part, "scale", f"{array_text} is {factor.words} times the right one.{penalty_text}", factor)


def _explain_parameters(
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
    exact_b, exact_W = _follows(witnesses, k, "b", delta), _follows(witnesses, k, "W", delta)
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


def _follows(witnesses: Sequence[Witness], k: int, part: str, delta: Sequence[Array]) -> bool:
    """Tell whether the returned dW, or db, follows from a delta by the right equation, in all experiments."""
    for w, d in zip(witnesses, delta, strict=True):
        value, user_gradient = (
            _gradient_from_delta(w, k, part, d),
            (w.case.answer.dW if part == "W" else w.case.answer.db)[k],
        )
        if misfit(w, user_gradient, value, w.noise and (w.noise.dW if part == "W" else w.noise.db)[k]) > 1:
            return False
    return True


def _explain_array(
    witnesses: Sequence[Witness], k: int, part: str, delta: Sequence[Array], loss_doubled: bool,
    only: Sequence[Finding] | None = None,
) -> Option:  # fmt: skip
    """Return the cheapest explanation of dW, or of db, of layer k by its delta."""
    is_weight = part == "W"
    arrays = [(w.case.answer.dW if is_weight else w.case.answer.db)[k] for w in witnesses]
    gradient = _Gradient(witnesses, k, part, arrays)
    case = witnesses[0].case
    options: list[Option] = []
    for suspect in _allowed(weight_suspects(case, k) if is_weight else bias_suspects(case, k), k, only):
        base = _compute(suspect, witnesses, delta)
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
        for factor, is_penalty_right in _fitting_factors(self.witnesses, self.arrays, base, penalties, self.k):
            if not factor.is_one:
                yield Option(1.1, (_by_factor(self.k, self.part, factor, is_penalty_right),))

    def by_suspect(self, suspect: Suspect, base: list[Array], penalties: list[Array | float]) -> Iterator[Option]:
        """Yield the options that it is what a suspect computes, perhaps times a factor or without the penalty."""
        right = [(w.case.right.dW if self.part == "W" else w.case.right.db)[self.k] for w in self.witnesses]
        floor = [1e-3 * float(np.abs(array).max()) for array in right]
        has_penalty = any(np.any(e) for e in penalties)
        factors = [*_fitting_factors(self.witnesses, self.arrays, base, penalties, self.k, floor)]
        if suspect.kind == "transpose" and has_penalty:  # the penalty may be transposed with it
            transposed: list[Array | float] = [w.case.penalty(self.k).T for w in self.witnesses]
            factors += _fitting_factors(self.witnesses, self.arrays, base, transposed, self.k)
        lacks_penalty = not factors and has_penalty  # the penalty may be missing too
        if lacks_penalty:
            factors = [*_fitting_factors(self.witnesses, self.arrays, base, [0.0] * len(self.witnesses), self.k)]
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
        user_array, right_array = pairs[0] if pairs else (None, None)
        text = f"d{self.part} is wrong, and no known mistake explains it."
        finding = Finding(self.k, self.part, "unknown", text, user_array=user_array, right_array=right_array)
        return Option(UNKNOWN, (finding,))


def _cheapest_option(options: Sequence[Option]) -> Option:
    """Return the cheapest option; its evidence names others that give the same numbers at about the same cost."""
    best = min(options, key=lambda o: o.cost)
    f = best.findings[0]
    equal_findings = [o.findings[0] for o in options if o is not best and o.cost <= best.cost + 0.45]
    equal_findings = [
        g for g in equal_findings if g.text != f.text and (g.factor is None or g.kind in ("scale", "sign"))
    ]
    other_kinds = tuple(dict.fromkeys(g.kind for g in equal_findings if g.kind != f.kind))
    evidence = tuple(f"the same numbers would come from this: {g.text}" for g in equal_findings[:2])
    return best._replace(findings=(replace(f, evidence=(*f.evidence, *evidence), alternatives=other_kinds),))


def _fitting_factors(
    witnesses: Sequence[Witness], user_gradients: list[Array], base: list[Array], penalties: list[Array | float],
    layer: int, floor: list[float] | None = None,
) -> Any:  # fmt: skip
    """Yield the factors with which an equation fits, each with whether the penalty is added without the factor."""
    sums = [p + e if np.shape(e) in ((), p.shape) else p for p, e in zip(base, penalties, strict=True)]
    has_penalty = any(np.any(e) for e in penalties)
    for bases, extras in ((base, penalties), (sums, [0.0] * len(witnesses))):
        factor = fit_scale(witnesses, user_gradients, bases, extras, layer, floor)
        if factor is not None:
            yield factor, has_penalty and bases is base
        if not has_penalty:
            return


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
    reg = witnesses[0].case.solver.regularization
    strength = {"l1": 1.0, "elasticnet": reg.r}.get(reg.method, 0.0)
    if part != "W" or not strength or not any((w.case.W[k] == 0).any() for w in witnesses):
        return
    for sign in (1.0, -1.0):
        right_gradients = [
            d.T @ w.case.into(k) + w.case.penalty(k)
            + (w.case.W[k] == 0) * sign * w.case.solver.regularization.lam * (1 if reg.method == "l1" else
                                                                          w.case.solver.regularization.r)
            for w, d in zip(witnesses, delta, strict=True)
        ]  # fmt: skip
        if all(misfit(w, g, p) <= 1 for w, g, p in zip(witnesses, user_gradients, right_gradients, strict=True)):
            text = (f"Where a weight is 0 the penalty |W| has a kink; this code takes the slope {sign:g} there, and "
                    "the graph 0. Both are conventions.")  # fmt: skip
            yield Option(0.3, (Finding(k, part, "kink", text),))
