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

    If nothing explains the array, `got` is the array that the code returned for the given batch, and `wanted` what it
    should be, computed from the delta that the code has.
    """

    layer: int
    part: str
    kind: str
    text: str
    factor: Factor | None = None
    evidence: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    got: Array | None = field(default=None, repr=False, compare=False)
    wanted: Array | None = field(default=None, repr=False, compare=False)

    @property
    def times(self) -> str:
        """The name of the factor, "" if there is none; equal factors have one name, while their values are rounded."""
        return "" if self.factor is None else self.factor.name


class State(NamedTuple):
    """An explanation of the layers searched so far, and the delta that the code must have had in each experiment.

    `delta` is that of the last layer searched, None if not known; `deltas` holds those of all layers, from the last on.
    """

    delta: tuple[Array | None, ...]
    found: tuple[Finding, ...]
    cost: float
    deltas: tuple[tuple[Array | None, ...], ...] = ()

    @property
    def unknown(self) -> bool:
        """Whether some array is left unexplained."""
        return any(f.kind == "unknown" for f in self.found)


class Option(NamedTuple):
    """One explanation of dW or db, or of both."""

    cost: float
    found: tuple[Finding, ...]


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
        new: list[State] = []
        for state in states:
            new += _layer(witnesses, k, state, loss_doubled, only)
        new = new or [_with_unknown_delta(witnesses, k, state) for state in states]
        new.sort(key=lambda s: s.cost)
        states = new[:KEPT]
    return states[0]


def _with_unknown_delta(witnesses: Sequence[Witness], k: int, state: State) -> State:
    """Return the state of a layer whose returned delta is explained by no suspect, as an unknown mistake in delta."""
    pairs = [(w.case.answer.delta[k], w.case.right.delta[k]) for w in witnesses if w.case.answer.delta]
    got, wanted = pairs[0] if pairs else (None, None)
    text = "delta is wrong, and no known mistake explains it."
    finding = Finding(k, "delta", "unknown", text, got=got, wanted=wanted)
    return _extended(state, [], [], (finding,), UNKNOWN)


def needed_factors(given: Witness, deltas: Sequence[Array | None], f: Finding) -> bool:
    """Tell whether a finding shows in the given batch: the right equation, on the code's own delta, fails there."""
    case, k, d = given.case, f.layer, deltas[f.layer]
    if d is None:
        return True
    if f.part != "delta":
        return any(not _follows([given], k, part, [d]) for part in f.part.split(" and "))
    above = deltas[k + 1] if k + 1 < len(deltas) else None
    if above is None and k + 1 < len(deltas):
        return True
    right = next(output_suspects(case) if above is None else hidden_suspects(case, k)).compute(case, above)  # type: ignore[arg-type]
    return right is None or misfit(given, d, right, given.noise and given.noise.delta[k]) > 1


def _layer(
    witnesses: Sequence[Witness], k: int, state: State, loss_doubled: bool, only: Sequence[Finding] | None = None
) -> list[State]:
    """Return the explanations of layer k that extend an explanation of the layers above it."""
    last = len(witnesses[0].case.W) - 1
    active = [i for i in range(len(witnesses)) if k == last or state.delta[i] is not None]
    if not active:
        return [replace_delta(state, state.delta)]
    seen = [witnesses[i] for i in active]
    above = [state.delta[i] for i in active]
    case = seen[0].case
    suspects = output_suspects(case) if k == last else hidden_suspects(case, k)
    states = []
    for suspect in _allowed(suspects, k, only):
        base = _compute(suspect, seen, above)
        if base is None:
            continue
        for factor, delta in _deltas(seen, k, base):
            if (suspect.kind == "kink" and not factor.is_one) or (suspect.kind != RIGHT and factor.name == "0"):
                break  # a convention has no factor, and a delta of 0 is evidence for no particular mistake
            free = suspect.kind == RIGHT and factor.is_one
            option = _explain_parameters(seen, k, delta, loss_doubled, free, only)
            if option is None:
                continue
            mine = _delta_finding(suspect, factor, k, seen)
            cost = suspect.cost + (0 if factor.is_one else 0.5 if suspect.cost else 1) + option.cost
            if suspect.kind == "unknown":
                cost += 0.5
            states.append(_extended(state, active, delta, (*mine, *option.found), cost))
        if suspect.kind == RIGHT and states and min(s.cost for s in states) == state.cost:
            return [s for s in states if s.cost == state.cost]
    states = _with_alternatives(states, len(state.found))
    states += _with_recovered_delta(seen, k, above, state, active, loss_doubled)
    return states


def _allowed(suspects: Iterator[Suspect], k: int, only: Sequence[Finding] | None) -> Iterator[Suspect]:
    """Return an iterator over the suspects that the findings `only` name in this layer, or over all if it is None."""
    named = None if only is None else [f.text for f in only if f.layer == k]
    return (s for s in suspects if named is None or s.kind == RIGHT or any(s.text in text for text in named))


def _with_alternatives(states: list[State], before: int) -> list[State]:
    """Return the states, each mistake in delta with the other kinds that give the same delta as its alternatives."""
    new = []
    for s in states:
        mine = s.found[before] if len(s.found) > before else None
        if mine is not None and mine.part == "delta":
            twins = {
                t.found[before].kind for t in states if t is not s and len(t.found) > before and t.cost < s.cost + 0.6
                and t.found[before].part == "delta" and t.found[before].kind not in (mine.kind, "unknown", "kink")
                and all(np.allclose(a, b, rtol=1e-7, atol=0) for a, b in zip(s.delta, t.delta, strict=True)
                        if a is not None and b is not None)
            }  # fmt: skip
            found = (*s.found[:before], replace(mine, alternatives=tuple(sorted(twins))), *s.found[before + 1 :])
            s = s._replace(found=found)
        new.append(s)
    return new


def _with_recovered_delta(
    seen: Sequence[Witness], k: int, above: Sequence[Array | None], state: State, active: list[int], loss_doubled: bool
) -> Iterator[State]:
    """Yield explanations with the delta recovered from dW and db: of another dropout mask, or of an unknown mistake."""
    read = [recover(w, k) for w in seen]
    known = [i for i, d in enumerate(read) if d is not None]
    if not known:
        return
    stale = stale_mask(seen, k, above, read)
    for deltas, finding, cost in (
        (stale, Finding(k, "delta", "dropout_mask_stale", "The backward pass uses a dropout mask other than that of "
                        "the forward pass."), 1.5),
        (read, Finding(k, "delta", "unknown", "delta is wrong, and no known mistake explains it."), FOLLOWED),
    ):  # fmt: skip
        if deltas is None:
            continue
        places = [i for i, d in enumerate(deltas) if d is not None]
        option = _explain_parameters([seen[i] for i in places], k, [deltas[i] for i in places], loss_doubled)  # type: ignore[misc]
        if option is not None and not option.found:
            finding = replace(finding, evidence=(f"read from dW and db in {len(places)} of {len(seen)} experiments",))
            if finding.kind == "unknown":
                i = min(places, key=lambda i: not seen[i].case.is_user_batch)
                c, d = seen[i].case, above[i]
                right = next(output_suspects(c) if d is None else hidden_suspects(c, k)).compute(c, d)  # type: ignore[arg-type]
                where = "" if c.is_user_batch else f"In a random batch of {c.rows} row{'s' * (c.rows > 1)}: "
                finding = replace(finding, text=where + finding.text, got=deltas[i], wanted=right)
            yield _extended(state, [active[i] for i in places], [deltas[i] for i in places],  # type: ignore[misc]
                            (finding,), cost)  # fmt: skip


def replace_delta(state: State, delta: tuple[Array | None, ...]) -> State:
    """Return a state one layer further down, with no new findings."""
    return state._replace(delta=delta, deltas=(*state.deltas, delta))


def _extended(
    state: State, active: Sequence[int], delta: Sequence[Array], found: Sequence[Finding], cost: float
) -> State:
    full: list[Array | None] = [None] * len(state.delta)
    for i, d in zip(active, delta, strict=True):
        full[i] = d
    return State(tuple(full), (*state.found, *found), state.cost + cost, (*state.deltas, tuple(full)))


def _compute(suspect: Suspect, seen: Sequence[Witness], above: Sequence[Array | None]) -> list[Array] | None:
    """Return what a suspect computes in each experiment, or None if it cannot be computed in one."""
    values = []
    for w, d in zip(seen, above, strict=True):
        try:
            with np.errstate(all="ignore"):
                value = suspect.compute(w.case, d)  # type: ignore[arg-type]
        except (ValueError, IndexError):
            return None
        if value is None or not np.isfinite(value).all():
            return None
        values.append(value)
    return values


def _deltas(seen: Sequence[Witness], k: int, base: list[Array]) -> Iterator[tuple[Factor, list[Array]]]:
    """Yield a delta with factor 1, then times each factor that makes it fit the returned delta, db, or dW."""
    yield Factor("1", 1.0), base
    told = [w.case.answer.delta for w in seen]
    if all(d is not None for d in told):
        fits = [fit_scale(seen, [d[k] for d in told if d], base, [0.0] * len(seen), k)]
    else:
        sums = [d.sum(axis=0) for d in base]
        fits = [fit_scale(seen, [w.case.answer.db[k] for w in seen], sums, [0.0] * len(seen), k)]
        data = [d.T @ w.case.into(k) for w, d in zip(seen, base, strict=True)]
        fits.append(fit_scale(seen, [w.case.answer.dW[k] for w in seen], data, [w.case.penalty(k) for w in seen], k))
    names = set()
    for factor in fits:
        if factor is not None and not factor.is_one and factor.name not in names:
            names.add(factor.name)
            yield factor, [_apply_factor(w, factor, d, k) for w, d in zip(seen, base, strict=True)]


def _apply_factor(w: Witness, factor: Factor, d: Array, k: int) -> Array:
    from ..factors import PLAIN

    name = factor.name.removeprefix("-")
    sign = -1.0 if factor.name.startswith("-") and name in (*PLAIN, "1") else 1.0
    if name in PLAIN:
        return sign * PLAIN[name]({**w.facts, "width": w.case.W[k].shape[0]}) * d
    return sign * d if name == "1" else factor.value * d


def _delta_finding(suspect: Suspect, factor: Factor, k: int, seen: Sequence[Witness]) -> tuple[Finding, ...]:
    if suspect.kind == RIGHT and factor.is_one:
        return ()
    if suspect.kind != RIGHT:
        times = "" if factor.is_one else f" It is also multiplied by {factor.words}."
        if suspect.kind == "dropout_scale_missing" and not factor.is_one and factor.value > 0:
            scale = 1 / (1 - seen[0].case.solver.regularization.dropout)
            text = (f"The mask has the scale {distinct_text(factor.value, scale)}; it should be 1/(1 - p), which is "
                    f"{distinct_text(scale, factor.value)}.")  # fmt: skip
            return (Finding(k, "delta", suspect.kind, text, factor),)
        return (Finding(k, "delta", suspect.kind, suspect.text + times, None if factor.is_one else factor),)
    return (_by_factor(k, "delta", factor),)


def _by_factor(k: int, part: str, factor: Factor, beside: bool = False) -> Finding:
    """Return the finding that an array is a factor times the right one; `beside` says that its penalty is right."""
    what = part if part == "delta" else f"d{part}"
    if beside and factor.name == "0":
        return Finding(k, part, "overwritten_not_accumulated", f"{what} is the gradient of the penalty alone: the "
                       "gradient of the loss is missing; the two should be added.", factor)  # fmt: skip
    if beside:
        what = f"The gradient of the loss in {what}"
    after = " The penalty is added correctly." if beside else ""
    if factor.is_sign:
        return Finding(k, part, "sign", f"{what} has the wrong sign: it is minus the right one.{after}", factor)
    if factor.name == "0":
        return Finding(k, part, "scale", f"{what} is zero, and should not be.", factor)
    if part == "delta" and factor.name != "1/2" and "1-p" in (factor.name, *factor.others):
        return Finding(k, part, "dropout_scale_missing", "The mask is used without its scale 1/(1 - p).", factor)
    return Finding(k, part, "scale", f"{what} is {factor.words} times the right one.{after}", factor)


def _explain_parameters(
    seen: Sequence[Witness], k: int, delta: Sequence[Array], loss_doubled: bool, free: bool = False,
    only: Sequence[Finding] | None = None,
) -> Option | None:  # fmt: skip
    """Explain dW and db of layer k by its delta.

    Return None if the code returned another delta, or if, unless `free`, neither dW nor db follows from this delta.
    """
    for w, d in zip(seen, delta, strict=True):
        told = w.case.answer.delta
        if told is not None and misfit(w, told[k], d, w.noise and w.noise.delta[k]) > 1:
            return None
    exact_b, exact_W = _follows(seen, k, "b", delta), _follows(seen, k, "W", delta)
    if not (free or exact_b or exact_W):
        return None  # a wrong delta makes both wrong by itself; further mistakes in both of them are unlikely
    best_W = Option(0.0, ()) if exact_W else _explain_array(seen, k, "W", delta, loss_doubled, only)
    best_b = Option(0.0, ()) if exact_b else _explain_array(seen, k, "b", delta, loss_doubled, only)
    cost, found = best_W.cost + best_b.cost, (*best_W.found, *best_b.found)
    if len(found) == 2 and found[0].kind == found[1].kind != "unknown" and found[0].times == found[1].times:
        cost = max(best_W.cost, best_b.cost) + 0.2
    return Option(cost, found)


def _gradient_from_delta(w: Witness, k: int, part: str, d: Array) -> Array:
    """Return dW, or db, by the right equation from a delta."""
    made: Array = d.T @ w.case.into(k) + w.case.penalty(k) if part == "W" else d.sum(axis=0)
    return made


def _follows(seen: Sequence[Witness], k: int, part: str, delta: Sequence[Array]) -> bool:
    """Tell whether the returned dW, or db, follows from a delta by the right equation, in all experiments."""
    for w, d in zip(seen, delta, strict=True):
        value, got = _gradient_from_delta(w, k, part, d), (w.case.answer.dW if part == "W" else w.case.answer.db)[k]
        if misfit(w, got, value, w.noise and (w.noise.dW if part == "W" else w.noise.db)[k]) > 1:
            return False
    return True


def _explain_array(
    seen: Sequence[Witness], k: int, part: str, delta: Sequence[Array], loss_doubled: bool,
    only: Sequence[Finding] | None = None,
) -> Option:  # fmt: skip
    """Return the cheapest explanation of dW, or of db, of layer k by its delta."""
    weights = part == "W"
    got = [w.case.answer.dW[k] if weights else w.case.answer.db[k] for w in seen]
    case = seen[0].case
    options: list[Option] = []
    for suspect in _allowed(weight_suspects(case, k) if weights else bias_suspects(case, k), k, only):
        base = _compute(suspect, seen, delta)
        if base is None:
            continue
        extra: list[Array | float] = [_penalty(w, k, p, suspect.kind) if weights else 0.0
                                      for w, p in zip(seen, base, strict=True)]  # fmt: skip
        if suspect.kind == RIGHT:
            other = find_wrong_penalty(seen, got, base, k, part, loss_doubled)  # the rest may be a wrong penalty
            if other is not None:
                options.append(Option(1.0, (Finding(k, part, other.kind, other.text),)))
            alone = penalty_alone(seen, got, k) if weights else None
            if alone is not None:
                options.append(Option(1.15, (Finding(k, part, "overwritten_not_accumulated", alone),)))
        floor = [1e-3 * float(np.abs((w.case.right.dW if weights else w.case.right.db)[k]).max()) for w in seen]
        fits = [*_fitting_factors(seen, got, base, extra, k, floor if suspect.kind != RIGHT else None)]
        if suspect.kind == "transpose" and any(np.any(e) for e in extra):  # the penalty may be transposed with it
            turned: list[Array | float] = [w.case.penalty(k).T for w in seen]
            fits += _fitting_factors(seen, got, base, turned, k)
        bare = not fits and suspect.kind != RIGHT and any(np.any(e) for e in extra)  # the penalty may be missing too
        for factor, beside in fits if not bare else _fitting_factors(seen, got, base, [0.0] * len(seen), k):
            if suspect.kind == RIGHT and not factor.is_one:
                options.append(Option(1.1, (_by_factor(k, part, factor, beside),)))
            elif suspect.kind != RIGHT and factor.name != "0":
                times = "" if factor.is_one else f" It is also multiplied by {factor.words}."
                if times and beside:
                    times += " The penalty is not."
                if np.ndim(extra[0]) == 3 and not bare:
                    times += " The penalty is added to each sample."
                if bare:
                    times += " And the gradient of the penalty is not added."
                factor = None if factor.is_one else factor
                finding = Finding(k, part, suspect.kind, suspect.text + times, factor)
                options.append(Option(suspect.cost + 0.5 * (bare or factor is not None), (finding,)))
    options += _kink_of_penalty(seen, k, part, got, delta)
    if not options:
        pairs = [
            (g, _gradient_from_delta(w, k, part, d))
            for g, w, d in zip(got, seen, delta, strict=True)
            if w.case.is_user_batch
        ]
        text = f"d{part} is wrong, and no known mistake explains it."
        nothing = Finding(k, part, "unknown", text, got=pairs[0][0], wanted=pairs[0][1]) if pairs else \
            Finding(k, part, "unknown", text)
        return Option(UNKNOWN, (nothing,))
    return _cheapest_option(options)


def _cheapest_option(options: Sequence[Option]) -> Option:
    """Return the cheapest option; its evidence names others that give the same numbers at about the same cost."""
    best = min(options, key=lambda o: o.cost)
    f = best.found[0]
    same = [o.found[0] for o in options if o is not best and o.cost <= best.cost + 0.45]
    same = [g for g in same if g.text != f.text and (g.factor is None or g.kind in ("scale", "sign"))]
    twins = tuple(dict.fromkeys(g.kind for g in same if g.kind != f.kind))
    more = tuple(f"the same numbers would come from this: {g.text}" for g in same[:2])
    return best._replace(found=(replace(f, evidence=(*f.evidence, *more), alternatives=twins),))


def _fitting_factors(
    seen: Sequence[Witness], got: list[Array], base: list[Array], extra: list[Array | float], layer: int,
    floor: list[float] | None = None,
) -> Any:  # fmt: skip
    """Yield the factors with which an equation fits, each with whether the penalty is added without the factor."""
    whole = [p + e if np.shape(e) in ((), p.shape) else p for p, e in zip(base, extra, strict=True)]
    penalised = any(np.any(e) for e in extra)
    for bases, extras in ((base, extra), (whole, [0.0] * len(seen))):
        factor = fit_scale(seen, got, bases, extras, layer, floor)
        if factor is not None:
            yield factor, penalised and bases is base
        if not penalised:
            return


def _penalty(w: Witness, k: int, p: Array, kind: str) -> Array | float:
    penalty = w.case.penalty(k)
    if p.shape[1:] == penalty.shape and kind == "broadcast_not_summed":  # added to each sample
        return np.broadcast_to(penalty, p.shape)
    if kind == "transpose" and p.shape == penalty.T.shape and not np.array_equal(p.shape, penalty.shape):
        return penalty.T
    return penalty if p.shape == penalty.shape else 0.0


def _kink_of_penalty(seen: Sequence[Witness], k: int, part: str, got: list[Array], delta: Sequence[Array]) -> Any:
    """Yield other conventions for sign(0), if a weight is 0, where the penalty has a kink."""
    reg = seen[0].case.solver.regularization
    strength = {"l1": 1.0, "elasticnet": reg.r}.get(reg.method, 0.0)
    if part != "W" or not strength or not any((w.case.W[k] == 0).any() for w in seen):
        return
    for sign in (1.0, -1.0):
        wanted = [
            d.T @ w.case.into(k) + w.case.penalty(k)
            + (w.case.W[k] == 0) * sign * w.case.solver.regularization.lam * (1 if reg.method == "l1" else
                                                                          w.case.solver.regularization.r)
            for w, d in zip(seen, delta, strict=True)
        ]  # fmt: skip
        if all(misfit(w, g, p) <= 1 for w, g, p in zip(seen, got, wanted, strict=True)):
            text = (f"Where a weight is 0 the penalty |W| has a kink; this code takes the slope {sign:g} there, and "
                    "the graph 0. Both are conventions.")  # fmt: skip
            yield Option(0.3, (Finding(k, part, "kink", text),))
