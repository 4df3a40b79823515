"""Search for the simplest set of mistakes that explains everything the user's backward returned for a model.

The search goes from the loss backwards, layer by layer. Each suspect for delta is computed from the delta that the
layer above must have had, and predicts dW and db in every experiment. So mistakes of the layers above are taken as
given, and each layer is blamed for its own mistakes only. The best few explanations are kept for the next layer, and
the cheapest wins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..experiment import Experiment
from ..factors import PLAIN, Factor
from ..pattern import distinct_text
from .findings import UNKNOWN, Finding, allowed_suspects, by_factor, computed, unexplained
from .fit import Witness, fit_scale, misfit
from .parameter_gradients import explain_parameters, follows_from_delta
from .suspects import RIGHT, Suspect, hidden_suspects, output_suspects
from .used_delta import recover, stale_mask

Array = np.ndarray[Any, Any]

KEPT = 6  # how many explanations are carried on to the next layer
FOLLOWED = 5.0  # the cost of a delta that is only known from dW and db


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


def explain(witnesses: Sequence[Witness], loss_doubled: bool = False, only: Sequence[Finding] | None = None) -> State:
    """Return the cheapest explanation of all answers.

    Args:
        witnesses: the experiments with their answers.
        loss_doubled: whether the returned loss holds the penalty twice.
        only: if given, only mistakes that these findings of another explanation name are tried.
    """
    states = [State(tuple(None for _ in witnesses), (), 0.0)]
    for k in reversed(range(len(witnesses[0].case.W))):
        kept = KEPT if k else 1
        new_states: list[State] = []
        for state in states:  # the cheapest first; a layer more costs nothing at best
            if len(new_states) == kept and new_states[-1].cost <= state.cost:
                break
            new_states += _layer(witnesses, k, state, loss_doubled, only)
            new_states = sorted(new_states, key=lambda s: s.cost)[:kept]
        states = new_states or [_with_unknown_delta(witnesses, k, state) for state in states]
    return states[0]


def _with_unknown_delta(witnesses: Sequence[Witness], k: int, state: State) -> State:
    """Return the state of a layer whose returned delta is explained by no suspect, as an unknown mistake in delta."""
    pairs = [(w.case.answer.delta[k], w.case.right.delta[k]) for w in witnesses if w.case.answer.delta]
    finding = unexplained(k, "delta", pairs)
    return _extended(state, [], [], (finding,), UNKNOWN)


def shows_in_batch(user_batch: Witness, deltas: Sequence[Array | None], f: Finding) -> bool:
    """Tell whether a finding shows in the given batch: the right equation, on the code's own delta, fails there."""
    case, k, d = user_batch.case, f.layer, deltas[f.layer]
    if d is None:
        return True
    if f.part != "delta":
        return any(not follows_from_delta([user_batch], k, part, [d]) for part in f.part.split(" and "))
    above = deltas[k + 1] if k + 1 < len(deltas) else None
    if above is None and k + 1 < len(deltas):
        return True
    right = _right_delta(case, k, above)
    return right is None or misfit(user_batch, d, right, user_batch.noise and user_batch.noise.delta[k]) > 1


def _right_delta(case: Experiment, k: int, above: Array | None) -> Array | None:
    """Return what the right equation gives for delta of layer k from that of the layer above, None at the output."""
    suspects = output_suspects(case) if above is None else hidden_suspects(case, k)
    return next(suspects).compute(case, above)  # type: ignore[arg-type]


def _layer(
    witnesses: Sequence[Witness], k: int, state: State, loss_doubled: bool, only: Sequence[Finding] | None = None
) -> list[State]:
    """Return the explanations of layer k that extend an explanation of the layers above it."""
    last = len(witnesses[0].case.W) - 1
    active_indices = [i for i in range(len(witnesses)) if k == last or state.delta[i] is not None]
    if not active_indices:
        return [state._replace(deltas=(*state.deltas, state.delta))]
    active_witnesses = [witnesses[i] for i in active_indices]
    above = [state.delta[i] for i in active_indices]
    case = active_witnesses[0].case
    suspects = output_suspects(case) if k == last else hidden_suspects(case, k)
    states = []
    for suspect in allowed_suspects(suspects, k, only):
        base = computed(suspect, active_witnesses, above)
        if base is None:
            continue
        for factor, delta in _deltas(active_witnesses, k, base):
            if (suspect.kind == "kink" and not factor.is_one) or (suspect.kind != RIGHT and factor.name == "0"):
                break  # a convention has no factor, and a delta of 0 is evidence for no particular mistake
            is_right = suspect.kind == RIGHT and factor.is_one
            option = explain_parameters(active_witnesses, k, delta, loss_doubled, is_right, only)
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
            finding = replace(finding, alternatives=tuple(sorted(other_kinds)))
            s = s._replace(findings=(*s.findings[:position], finding, *s.findings[position + 1 :]))
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
        option = explain_parameters([witnesses[i] for i in indices], k, [deltas[i] for i in indices], loss_doubled)  # type: ignore[misc]
        if option is not None and not option.findings:
            finding = replace(
                finding, evidence=(f"read from dW and db in {len(indices)} of {len(witnesses)} experiments",)
            )
            if finding.kind == "unknown":
                i = min(indices, key=lambda i: not witnesses[i].case.is_user_batch)
                c, d = witnesses[i].case, above[i]
                right = _right_delta(c, k, d)
                batch_text = "" if c.is_user_batch else f"In a random batch of {c.rows} row{'s' * (c.rows > 1)}: "
                finding = replace(finding, text=batch_text + finding.text, user_array=deltas[i], right_array=right)
            yield _extended(state, [active_indices[i] for i in indices], [deltas[i] for i in indices],  # type: ignore[misc]
                            (finding,), cost)  # fmt: skip


def _extended(
    state: State, active_indices: Sequence[int], delta: Sequence[Array], findings: Sequence[Finding], cost: float
) -> State:
    full: list[Array | None] = [None] * len(state.delta)
    for i, d in zip(active_indices, delta, strict=True):
        full[i] = d
    return State(tuple(full), (*state.findings, *findings), state.cost + cost, (*state.deltas, tuple(full)))


def _deltas(witnesses: Sequence[Witness], k: int, base: list[Array]) -> Iterator[tuple[Factor, list[Array]]]:
    """Yield a delta with factor 1, then times each factor that makes it fit the returned delta, db, or dW."""
    yield Factor("1", 1.0), base
    user_deltas = [w.case.answer.delta for w in witnesses]
    if all(d is not None for d in user_deltas):
        factors = [fit_scale(witnesses, [d[k] for d in user_deltas if d], base, [0.0] * len(witnesses), k)]
    else:
        sums = (d.sum(axis=0) for d in base)  # most do not fit in the first experiment
        factors = [fit_scale(witnesses, [w.case.answer.db[k] for w in witnesses], sums, [0.0] * len(witnesses), k)]
        data = (d.T @ w.case.into(k) for w, d in zip(witnesses, base, strict=True))
        penalties = (w.case.penalty(k) for w in witnesses)
        factors.append(fit_scale(witnesses, [w.case.answer.dW[k] for w in witnesses], data, penalties, k))
    names = set()
    for factor in factors:
        if factor is not None and not factor.is_one and factor.name not in names:
            names.add(factor.name)
            yield factor, [_apply_factor(w, factor, d, k) for w, d in zip(witnesses, base, strict=True)]


def _apply_factor(w: Witness, factor: Factor, d: Array, k: int) -> Array:
    name = factor.name.removeprefix("-")
    sign = -1.0 if factor.name.startswith("-") and name in (*PLAIN, "1") else 1.0
    if name in PLAIN:
        return sign * PLAIN[name]({**w.facts, "width": w.case.W[k].shape[0]}) * d
    return sign * d if name == "1" else factor.value * d


def _delta_finding(suspect: Suspect, factor: Factor, k: int, witnesses: Sequence[Witness]) -> tuple[Finding, ...]:
    if suspect.kind == RIGHT:
        return () if factor.is_one else (by_factor(k, "delta", factor),)
    times = "" if factor.is_one else f" It is also multiplied by {factor.words}."
    if suspect.kind == "dropout_scale_missing" and not factor.is_one and factor.value > 0:
        scale = 1 / (1 - witnesses[0].case.solver.regularization.dropout)
        text = (f"The mask has the scale {distinct_text(factor.value, scale)}; it should be 1/(1 - p), which is "
                f"{distinct_text(scale, factor.value)}.")  # fmt: skip
        return (Finding(k, "delta", suspect.kind, text, factor),)
    return (Finding(k, "delta", suspect.kind, suspect.text + times, None if factor.is_one else factor),)
