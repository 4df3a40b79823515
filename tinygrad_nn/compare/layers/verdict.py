"""Turn the explanation of the experiments into diagnoses: choose the mistakes to name, and add the evidence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..behaviour import overwrite_diagnosis, unsteady_diagnosis
from ..diagnosis import HARMLESS, Diagnosis, Row
from ..experiment import Answer
from ..numerical.noise import SAFETY, has_float32_values
from ..pattern import describe
from ..report import ComparisonReport
from .equations import right_equation
from .explain import Finding, State, explain, needed_factors
from .fit import EXACT, Witness, misfit
from .notes import batch_notes, layer_and_part

Array = np.ndarray[Any, Any]

SINGLE = float(np.finfo(np.float32).eps)
NOTHING = State((), (), 0.0)
SPAN = "gradients beside this point, looked at from several sides, have it as a mean, up to rounding"


class Verdict(NamedTuple):
    """The explanation of the answers, before the rows are known.

    `seen` holds the experiments that it rests on, `others` those on which the code did not fail, `delta` the code's own
    deltas in the given batch, as far as they are known.
    """

    given: Witness
    seen: list[Witness]
    others: list[Witness]
    state: State
    hidden: bool  # whether the mistake shows in other experiments only, and not in the given batch
    again: list[Answer]  # the answers to two more calls with the same arguments
    delta: list[Array | None]

    def report(
        self, title: str, rows: Sequence[Row], losses: dict[str, float], method: str, at_kink: bool = False
    ) -> ComparisonReport:
        """Return the report, with a diagnosis for everything that is wrong in the rows.

        `at_kink` says that the gradients are right by another convention at a kink.
        """
        return _report(self, title, tuple(rows), losses, method, at_kink)


def diagnose(
    given: Witness, others: list[Witness], sized: list[Witness], near: list[Witness], *, again: list[Answer]
) -> Verdict:
    """Explain the answer to the given batch, with the help of other experiments.

    Args:
        given: the given batch.
        others: experiments of other sizes, with other strengths of penalty and dropout.
        sized: experiments of other sizes with the given solver, for code in which its strengths are written as numbers.
        near: experiments of the same sizes with the same solver.
        again: the answers of two more calls to the batch.
    """
    finite = _is_finite(given.case.answer)
    doubled = _loss_doubled(given)
    right = finite and _is_right(given)
    best = (
        _cheapest(given, _experiment_sets(given, others, sized, near), right, doubled) if finite else None
    )  # NaN has no cause
    if best is None:
        return Verdict(given, [], others, NOTHING, False, again, [None] * len(given.case.W))
    state, seen = best
    if given.case.is_large and not right:
        seen = [given, *seen]
        state = explain(seen, doubled, state.found)  # test in the given batch what was found in small networks
    hidden = False
    if right and state.found:
        state, seen, hidden = _hidden_mistakes(given, near, state, seen, doubled)
    deltas: list[Array | None] = list(given.case.right.delta)
    if given in seen:  # otherwise the answer is right
        deltas = _given_deltas(given, seen, state)
        if not hidden:
            state = state._replace(found=_blamed(given, seen, state))
    told = given.case.answer.delta
    deltas = list(told) if told is not None else _explained_deltas(deltas, state)
    return Verdict(given, seen, others, state, hidden, again, deltas)


def _is_finite(answer: Answer) -> bool:
    return all(np.isfinite(g).all() for g in (*answer.dW, *answer.db))


def _experiment_sets(
    given: Witness, others: list[Witness], sized: list[Witness], near: list[Witness]
) -> list[list[Witness]]:
    """Return the sets of experiments in which to search for an explanation, the most informative first."""
    if given.case.is_large:  # small networks show the same mistakes a thousand times faster
        return [others or near]
    return [[given, *others], [given, *sized], [given, *near], [given]]


def _cheapest(
    given: Witness, tries: Sequence[list[Witness]], right: bool, doubled: bool
) -> tuple[State, list[Witness]] | None:
    """Return the explanation with the fewest and simplest mistakes, and the experiments it rests on."""
    best: tuple[float, State, list[Witness]] | None = None
    for k, seen in enumerate(tries):
        if not seen or (k and seen == tries[0]):
            continue
        state = explain(seen, doubled)
        blamed = 0 if right or given not in seen else len(state.found) - len(_blamed(given, seen, state))
        cost = state.cost + 2 * blamed + 0.1 * k
        if best is None or cost < best[0] - 0.5:
            best = (cost, state, seen)
        if not state.unknown and not blamed and given in seen and len(seen) > 1:
            break
    return None if best is None else best[1:]


def _hidden_mistakes(
    given: Witness, near: list[Witness], state: State, seen: list[Witness], doubled: bool
) -> tuple[State, list[Witness], bool]:
    """Return the mistakes that other experiments show and the given batch does not, these experiments, whether any."""
    unsummed = any(f.kind == "broadcast_not_summed" for f in state.found)
    if unsummed and given.case.answer.kept_axes and given.case.rows == 1:
        return state, seen, True  # with one row, a kept axis and an axis that was not summed look the same
    # A mistake that shows with other weights counts only for the given sizes and solver: code that was written for 16
    # rows may be right for 16 rows only.
    sure = explain(near, doubled) if near and not given.case.is_large else NOTHING
    hidden = bool(near) and bool(sure.found) and not sure.unknown
    return (sure, near, True) if hidden else (NOTHING, [], False)


def _explained_deltas(deltas: Sequence[Array | None], state: State) -> list[Array | None]:
    """Return the deltas, with None for those that are not known because W and b of their layer are unexplained."""
    deltas = list(deltas)
    unknown = [f for f in state.found if f.kind == "unknown"]
    for f in unknown:
        alone = sum(g.layer == f.layer for g in unknown) == 1
        if not alone and not (f.part == "delta" and f.evidence):
            deltas[: f.layer + 1] = [None] * (f.layer + 1)
    return deltas


def _is_right(w: Witness) -> bool:
    """Tell whether the answer to an experiment is right, within the tolerance of an explanation."""
    case, noise = w.case, w.noise
    pairs = [*zip(case.answer.dW, case.right.dW, noise.dW if noise else case.W, strict=True),
             *zip(case.answer.db, case.right.db, noise.db if noise else case.b, strict=True)]  # fmt: skip
    if case.answer.delta is not None:
        pairs += zip(case.answer.delta, case.right.delta, noise.delta if noise else case.z, strict=True)
    return all(misfit(w, g, r, n if noise else None) <= 1 for g, r, n in pairs)


def _given_deltas(given: Witness, seen: Sequence[Witness], state: State) -> list[Array | None]:
    """Return the deltas of an explanation in the given batch, from the first layer on."""
    i = next(j for j, w in enumerate(seen) if w is given)
    return [layer[i] for layer in reversed(state.deltas)]


def _blamed(given: Witness, seen: Sequence[Witness], state: State) -> tuple[Finding, ...]:
    """Return the findings that show in the given batch; code may be right for it by numbers written into it."""
    deltas = _given_deltas(given, seen, state)
    return tuple(f for f in state.found if needed_factors(given, deltas, f))


def _loss_doubled(given: Witness) -> bool:
    """Tell whether the returned loss holds the penalty twice."""
    case = given.case
    plain = float(case.right.loss) - given.penalty
    return bool(given.penalty) and math.isclose(case.answer.loss, plain + 2 * given.penalty, rel_tol=1e-6)


def _report(
    verdict: Verdict, title: str, rows: tuple[Row, ...], losses: dict[str, float], method: str, at_kink: bool
) -> ComparisonReport:
    wrong = [row for row in rows if not row.ok and row.role == "parameter"]
    found = _filter_kinks(_confirmed_findings(verdict, rows), wrong, at_kink)
    diagnoses, blamed, settled = _explained(verdict, rows, wrong, found)
    written = _written(verdict)
    if written:
        diagnoses = [overwrite_diagnosis(written), *(d for d in diagnoses if d.kind != "unknown")]
    moving = _unsteady(verdict)
    if moving is not None:
        diagnoses = _true_of_all_calls(diagnoses, moving)
    elif not settled and not written:
        diagnoses += _left_over(verdict, wrong, blamed)
    diagnoses += _kept_axes(verdict)
    first_wrong = _first_wrong(verdict, blamed, written, diagnoses)
    notes = batch_notes(verdict.given, len(verdict.others), rows)
    return ComparisonReport(title, rows, tuple(diagnoses), first_wrong, notes, losses, method)


def _confirmed_findings(verdict: Verdict, rows: Sequence[Row]) -> list[Finding]:
    """Return the findings whose rows are wrong in the given batch, nearest the loss first; all if it hides them."""
    answer = verdict.given.case.answer
    found = sorted(verdict.state.found, key=lambda f: -f.layer)
    if not verdict.hidden:
        wrong = {row.name for row in rows if not row.ok}
        found = [f for f in found if wrong & set(_affected_rows(f, answer.delta is not None))]
        found = [f for f in found if not (f.part == "delta" and f"layer {f.layer + 2} W" in answer.overwritten)]
    # for an answer that is not finite, the diagnosis of NaN says more than an unknown mistake
    return found if _is_finite(answer) else [f for f in found if f.kind != "unknown"]


def _explained(
    verdict: Verdict, rows: Sequence[Row], wrong: Sequence[Row], found: Sequence[Finding]
) -> tuple[list[Diagnosis], Sequence[Finding], bool]:
    """Return the diagnoses, the findings that they blame, and whether all is explained by convention or rounding."""
    by_mean = _convention_diagnosis(verdict, found)
    harmless = [] if by_mean is None else [by_mean]
    if _is_rounding(wrong, verdict):
        harmless.append(_rounding(wrong))
    if harmless:
        return harmless, [], True
    told = verdict.given.case.answer.delta is not None
    told = told and any(not row.ok and row.name.endswith("delta") for row in rows)
    blamed = found if wrong or told or verdict.hidden else []
    return [_diagnosis(verdict, f) for f in _merged(blamed)], blamed, False


def _rounding(wrong: Sequence[Row]) -> Diagnosis:
    worst = max(row.max_rel for row in wrong)
    return Diagnosis(
        "rounding", ", ".join(row.name for row in wrong),
        "These gradients were computed in float32 and differ only by rounding. This is not a mistake.",
        (f"the largest relative difference is {worst:.1e}; the machine epsilon of float32 is {SINGLE:.1e}",),
    )  # fmt: skip


def _written(verdict: Verdict) -> list[str]:
    """Return the names of the arrays that the code wrote into, nearest the loss first."""
    case = verdict.given.case
    return sorted(case.answer.overwritten, key=lambda name: -_layer_of(name, len(case.W)))


def _unsteady(verdict: Verdict) -> Diagnosis | None:
    """Return the diagnosis that calls with the same arguments gave different numbers, or None."""
    case = verdict.given.case
    advice = ("With dropout, use data_cache.masks, which the forward pass drew, and draw none yourself."
              if case.solver.regularization.dropout else "Pass the random numbers in, or fix their seed.")  # fmt: skip
    calls = [(*a.dW, *a.db) for a in (case.answer, *verdict.again)]
    return unsteady_diagnosis(calls, [f"layer {k + 1} {part}" for part in "Wb" for k in range(len(case.W))], advice)


def _true_of_all_calls(diagnoses: Sequence[Diagnosis], moving: Diagnosis) -> list[Diagnosis]:
    """Return the diagnoses that hold although the numbers change with each call; a stale mask explains the change."""
    stale = [d for d in diagnoses if d.kind == "dropout_mask_stale" and moving.kind == "nondeterministic"]
    return [*(d for d in diagnoses if d.kind == "inplace_overwrite"), *(stale or [moving])]


def _kept_axes(verdict: Verdict) -> list[Diagnosis]:
    return [] if verdict.hidden else [
        Diagnosis("convention", kept.split(" has ")[0], f"The gradient of {kept}: the numbers are those of the graph, "
                  "but the kept axis is not. Sum without keepdims=True.")
        for kept in verdict.given.case.answer.kept_axes]  # fmt: skip


def _first_wrong(
    verdict: Verdict, found: Sequence[Finding], written: Sequence[str], diagnoses: Sequence[Diagnosis]
) -> str | None:
    """Return the layer nearest the loss that has a mistake, or else the place that the first diagnosis names."""
    guilty = [f.layer for f in found if f.kind not in HARMLESS]
    guilty += [_layer_of(name, len(verdict.given.case.W)) for name in written[:1]]
    if guilty:
        return f"layer {max(guilty) + 1}"
    where = next((d.where for d in diagnoses if not d.harmless), None)
    return " ".join(where.split()[:2]) if where is not None and where.startswith("layer") else where


def _filter_kinks(found: list[Finding], wrong: Sequence[Row], at_kink: bool) -> list[Finding]:
    """Return the findings, without those of kinks unless `at_kink`; if `at_kink`, only findings of kinks."""
    if not at_kink:
        return [f for f in found if f.kind != "kink"]
    named = [f for f in found if f.kind == "kink"]
    parts = [layer_and_part(row) for row in wrong]
    text = ("Manual and graph differ only at a kink of the loss, where it has no derivative. Neither is wrong: any "
            "weighted mean of the slopes on its sides is a valid convention.")  # fmt: skip
    return named or [Finding(k, part, "kink", text, evidence=(SPAN,)) for k, part in sorted(parts, reverse=True)]


def _affected_rows(f: Finding, told: bool) -> list[str]:
    """Return the names of the rows of which at least one is wrong if a finding shows."""
    parts = [f.part] if f.part != "delta" else ["W", "b", *(["delta"] if told else [])]
    return [f"layer {f.layer + 1} {part}" for part in parts]


def _layer_of(name: str, layers: int) -> int:
    """Return the layer, counted from 0, that an array of the model or of data_cache belongs to."""
    if name.startswith("layer "):
        return int(name.split()[1]) - 1
    return int(name.rstrip("]").partition("[")[2]) if "[" in name else 0 if name.endswith(".x") else layers - 1


def _merged(found: Sequence[Finding]) -> list[Finding]:
    """Return the findings, with those of W and b of one layer joined if they have one kind and factor."""
    merged: list[Finding] = []
    for f in found:
        twin = next((g for g in merged if (g.layer, g.kind, g.times) == (f.layer, f.kind, f.times)
                     and "delta" not in (f.part, g.part) and f.kind != "unknown"), None)  # fmt: skip
        if twin is not None:
            both = twin.text.replace("dW is", "dW and db are").replace("right one", "right ones")
            text = both if twin.text == f.text.replace("db", "dW") else f"{twin.text} {f.text}"
            merged[merged.index(twin)] = replace(twin, part="W and b", text=text)
        else:
            merged.append(f)
    return merged


def _diagnosis(verdict: Verdict, f: Finding) -> Diagnosis:
    if f.kind == "kink" and f.evidence:
        return Diagnosis(f.kind, f"layer {f.layer + 1} {f.part}", f.text, f.evidence)
    text = _wrong_part_text(verdict, f) if "no known mistake" in f.text else f.text
    twice = f.text == "The penalty is added twice, or differentiated without its 1/2."
    other: tuple[str, ...] = ("wrong_penalty",) if twice else ()
    other = f.alternatives or other
    part = f.part if f.part in ("delta", "b") else "W"
    number, equation = right_equation(verdict.given.case, f.layer, part, f.kind)
    name = "" if f.kind == "sign" else f.times
    where, evidence = f"layer {f.layer + 1} {f.part}", _evidence(verdict, f)
    return Diagnosis(f.kind, where, text, evidence, equation, number, name, other)


def _evidence(verdict: Verdict, f: Finding) -> tuple[str, ...]:
    """Return sentences on the experiments in which a finding explains the numbers, its factor, and where it hides."""
    seen = verdict.seen
    sizes = ", ".join(str(w.case.rows) for w in seen)
    count = f"{len(seen)} batches with {sizes} rows" if len(seen) > 1 else f"the batch of {sizes} rows"
    evidence = list(f.evidence)
    open_ = {g.part for g in verdict.state.found if g.layer == f.layer and g.kind == "unknown"}
    told = " and ".join(f"d{part}" for part in ("W", "b") if part not in open_)
    if f.kind != "unknown" and told:
        evidence.append(f"this explains {told} of the layer up to rounding in {count}; the right equation does not")
    if f.factor is not None and not f.factor.is_sign and f.factor.name != "0":
        evidence.append(f"the factor is {f.factor.value:.7g} in the first of them")
    if verdict.hidden:
        evidence.append("in the batch that was given it does not show; with other weights and data it does")
    elif verdict.given not in seen and verdict.seen and f.kind != "unknown" and not verdict.given.case.is_large:
        evidence.append("found with random weights and data; in the batch that was given something else hides it")
    elif verdict.given.case.is_large and f.kind != "unknown":
        evidence.append("found in small networks of the same activations, with random weights and data")
    return tuple(evidence)


def _wrong_part_text(verdict: Verdict, f: Finding) -> str:
    """Return a sentence on which part of an array is wrong and how, if no known mistake explains it."""
    case, noise = verdict.given.case, verdict.given.noise
    mine: Any = {"W": case.answer.dW, "b": case.answer.db, "delta": None}[f.part]
    right = {"W": case.right.dW, "b": case.right.db, "delta": case.right.delta}[f.part][f.layer]
    got, wanted = f.got if mine is None else mine[f.layer], f.wanted
    wanted = right if wanted is None and mine is not None else wanted
    name = f"{'' if f.part == 'delta' else 'd'}{f.part}"
    if got is None or wanted is None:
        return f"{name} is wrong in other batches, and no known mistake explains it."
    if got.shape != wanted.shape:
        return f"{name} has shape {got.shape}, but should have {wanted.shape}."
    where = f.text.partition("delta is wrong")[0] if f.part == "delta" else ""
    if where:  # the finding is about another batch
        return where + describe(name, got, wanted, np.abs(got - wanted) > EXACT * np.abs(wanted).max(initial=0))
    bound = {"W": "dW", "b": "db", "delta": "delta"}[f.part]
    allowed = EXACT * float(np.abs(wanted).max(initial=0)) / 100
    if noise is not None:
        allowed = allowed + SAFETY * float(np.finfo(case.dtype).eps) * getattr(noise, bound)[f.layer]
    bad = np.abs(got - wanted) > allowed
    after = "" if misfit(verdict.given, wanted, right) <= 1 else (
        " (The right value here follows from the delta of this layer, with the mistakes above in it.)"
        if f.part != "delta" else " (The right value here follows from the delta above, with the mistakes in it.)")
    return describe(name, got, wanted, bad) + after


def _convention_diagnosis(verdict: Verdict, found: Sequence[Finding]) -> Diagnosis | None:
    """Return the diagnosis that loss and gradient have the same factor, so that both are right, or None."""
    last = len(verdict.given.case.W) - 1
    if len(found) != 1 or found[0].kind != "scale" or (found[0].layer, found[0].part) != (last, "delta"):
        return None
    factor = found[0].factor
    for w in verdict.seen:
        plain = float(w.case.right.loss) - w.penalty
        wanted = w.case.answer.loss - w.penalty, w.case.answer.loss
        right = float((w.case.answer.db[last] * w.case.right.db[last]).sum()), float((w.case.right.db[last] ** 2).sum())
        if not right[1] or not any(math.isclose(v, right[0] / right[1] * plain, rel_tol=1e-4) for v in wanted):
            return None
    if factor is None or not verdict.seen or not _is_multiple(verdict.given, factor.value):
        return None
    told, ours = verdict.given.case.answer.loss, float(verdict.given.case.right.loss)
    return Diagnosis(
        "convention", "loss",
        f"Loss and gradient{', without the penalty,' if verdict.given.penalty else ''} are both {factor.words} times "
        "ours: this code takes a different mean (it may sum where ours divides by N). Its gradient is right for its "
        "loss. With the same learning rate, its steps are longer or shorter by that factor.",
        (f"the code's loss is {told:.7g}, ours {ours:.7g}",),
        factor=factor.name,
    )  # fmt: skip


def _is_multiple(w: Witness, s: float) -> bool:
    """Tell whether a gradient, without its penalty, is s times the right one up to rounding."""
    case, noise = w.case, w.noise
    if noise is None:
        return False
    allowed = SAFETY * float(np.finfo(case.dtype).eps) * (1 + abs(s))
    added = [case.penalty(k) for k in range(len(case.W))]
    pairs: list[Any] = [*zip(case.answer.dW, case.right.dW, added, noise.dW, strict=True)]
    pairs += zip(case.answer.db, case.right.db, [0.0] * len(added), noise.db, strict=True)
    return all((np.abs(got - s * (right - more) - more) <= allowed * n).all() for got, right, more, n in pairs)


def _is_rounding(wrong: Sequence[Row], verdict: Verdict) -> bool:
    """Tell whether the wrong gradients are float32 numbers and differ as float32 arithmetic does: a little, in many."""
    noise, case = verdict.given.noise, verdict.given.case
    if noise is None or any(row.note or row.odd not in ("manual", "") for row in wrong):
        return False
    off, size = 0.0, 0
    for row in wrong:
        k, part = layer_and_part(row)
        got, right, bound = ((case.answer.dW, case.right.dW, noise.dW) if part == "W" else
                             (case.answer.db, case.right.db, noise.db))  # fmt: skip
        if not has_float32_values(got[k]) or (np.abs(got[k] - right[k]) > 4 * SINGLE * bound[k]).any():
            return False  # not float32 numbers, or an error larger than that of float32 arithmetic
        off, size = off + row.wrong * got[k].size, size + got[k].size
    return off > 3 and off > 0.3 * size


def _left_over(verdict: Verdict, wrong: list[Row], found: Sequence[Finding]) -> list[Diagnosis]:
    """Return a diagnosis for each wrong parameter that no finding explains."""
    extra = []
    for row in wrong:
        k, part = layer_and_part(row)
        told = any((f.layer > k and f.part == "delta") or (f.layer == k and f.part in ("delta", part)) for f in found)
        if told and not row.note.endswith("not finite"):
            continue
        where = (f"entry {list(row.worst)}: manual {row.manual:.9g}, graph {row.graph:.9g}, "
                 f"numerical {row.numerical:.9g}")  # fmt: skip
        text = _row_sentence(row) or _wrong_part_text(verdict, Finding(k, part, "unknown", ""))
        number, equation = right_equation(verdict.given.case, k, part, "unknown")
        extra.append(Diagnosis("unknown", row.name, text, (where,), equation, number))
    return extra


def _row_sentence(row: Row) -> str:
    """Return a sentence on a wrong row from its three roads and its shape alone, or ""."""
    if row.odd == "graph":
        return ("Here manual and numerical agree, and the graph is the odd one out: a rule of this library is "
                "wrong. Please report it.")  # fmt: skip
    if row.odd == "numerical":
        return "Manual and graph agree, but the numerical derivative does not: a kink or a jump may be very near."
    if row.note.endswith("not finite"):
        return (f"{row.note}: NaN and infinity come from 0/0, log(0), or exp of a large number. Look for a "
                "division by a - or 1 - a - that is 0 here, or take the formula in z.")  # fmt: skip
    return f"The gradient {row.note}; it needs the shape of its parameter." if row.note else ""
