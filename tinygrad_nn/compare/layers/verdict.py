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
from ..tiny_constants import effect_of_tiny_constant, largest_difference
from .equations import right_equation
from .explain import State, explain, shows_in_batch
from .findings import Finding
from .fit import EXACT, TWICE, Witness, misfit
from .notes import batch_notes, layer_and_part

Array = np.ndarray[Any, Any]

SINGLE = float(np.finfo(np.float32).eps)
NOTHING = State((), (), 0.0)
SPAN = "gradients beside this point, looked at from several sides, have it as a mean, up to rounding"


class Verdict(NamedTuple):
    """The explanation of the answers, before the rows are known.

    `witnesses` holds the experiments that it rests on, `varied` those on which the code did not fail, `delta` the
    code's own deltas in the given batch, as far as they are known.
    """

    user_batch: Witness
    witnesses: list[Witness]
    varied: list[Witness]
    state: State
    hidden: bool  # whether the mistake shows in other experiments only, and not in the given batch
    repeated_answers: list[Answer]  # the answers to two more calls with the same arguments
    delta: list[Array | None]


def diagnose(
    user_batch: Witness, varied: list[Witness], resized: list[Witness], similar: list[Witness], *,
    repeated_answers: list[Answer],
) -> Verdict:  # fmt: skip
    """Explain the answer to the given batch, with the help of other experiments.

    Args:
        user_batch: the given batch.
        varied: experiments of other sizes, with other strengths of penalty and dropout.
        resized: experiments of other sizes with the given solver, for code that has its strengths written as numbers.
        similar: experiments of the same sizes with the same solver.
        repeated_answers: the answers of two more calls to the batch.
    """
    is_finite = _is_finite(user_batch.case.answer)
    loss_doubled = _is_loss_doubled(user_batch)
    is_right = is_finite and _is_right(user_batch)
    best = None
    if is_finite:  # NaN has no cause
        sets = _experiment_sets(user_batch, varied, resized, similar)
        best = _cheapest(user_batch, sets, is_right, loss_doubled)
    if best is None:
        return Verdict(user_batch, [], varied, NOTHING, False, repeated_answers, [None] * len(user_batch.case.W))
    state, witnesses = best
    if user_batch.case.is_large and not is_right:
        witnesses = [user_batch, *witnesses]
        state = explain(witnesses, loss_doubled, state.findings)  # is it so in the given batch?
    hidden = False
    if is_right and state.findings:
        state, witnesses, hidden = _hidden_mistakes(user_batch, similar, state, witnesses, loss_doubled)
    deltas: list[Array | None] = list(user_batch.case.right.delta)
    if user_batch in witnesses:  # otherwise the answer is right
        deltas = _user_batch_deltas(user_batch, witnesses, state)
        if not hidden:
            state = state._replace(findings=_shown_findings(user_batch, witnesses, state))
    user_deltas = user_batch.case.answer.delta
    deltas = list(user_deltas) if user_deltas is not None else _explained_deltas(deltas, state)
    return Verdict(user_batch, witnesses, varied, state, hidden, repeated_answers, deltas)


def _is_finite(answer: Answer) -> bool:
    return all(np.isfinite(g).all() for g in (*answer.dW, *answer.db))


def _experiment_sets(
    user_batch: Witness, varied: list[Witness], resized: list[Witness], similar: list[Witness]
) -> list[list[Witness]]:
    """Return the sets of experiments in which to search for an explanation, the most informative first."""
    if user_batch.case.is_large:  # small networks show the same mistakes a thousand times faster
        return [varied or similar]
    return [[user_batch, *varied], [user_batch, *resized], [user_batch, *similar], [user_batch]]


def _cheapest(
    user_batch: Witness, experiment_sets: Sequence[list[Witness]], is_right: bool, loss_doubled: bool
) -> tuple[State, list[Witness]] | None:
    """Return the explanation with the fewest and simplest mistakes, and the experiments it rests on."""
    best: tuple[float, State, list[Witness]] | None = None
    for k, witnesses in enumerate(experiment_sets):
        if not witnesses or (k and witnesses == experiment_sets[0]):
            continue
        state = explain(witnesses, loss_doubled)
        hidden_count = 0
        if not is_right and user_batch in witnesses:
            hidden_count = len(state.findings) - len(_shown_findings(user_batch, witnesses, state))
        cost = state.cost + 2 * hidden_count + 0.1 * k
        if best is None or cost < best[0] - 0.5:
            best = (cost, state, witnesses)
        if not state.has_unknown and not hidden_count and user_batch in witnesses and len(witnesses) > 1:
            break
    return None if best is None else best[1:]


def _hidden_mistakes(
    user_batch: Witness, similar: list[Witness], state: State, witnesses: list[Witness], loss_doubled: bool
) -> tuple[State, list[Witness], bool]:
    """Return the mistakes that other experiments show and the given batch does not, these experiments, whether any."""
    unsummed = any(f.kind == "broadcast_not_summed" for f in state.findings)
    if unsummed and user_batch.case.answer.kept_axes and user_batch.case.rows == 1:
        return state, witnesses, True  # with one row, a kept axis and an axis that was not summed look the same
    # A mistake that shows with other weights counts only for the given sizes and solver: code that was written for 16
    # rows may be right for 16 rows only.
    similar_state = explain(similar, loss_doubled) if similar and not user_batch.case.is_large else NOTHING
    hidden = bool(similar) and bool(similar_state.findings) and not similar_state.has_unknown
    return (similar_state, similar, True) if hidden else (NOTHING, [], False)


def _explained_deltas(deltas: Sequence[Array | None], state: State) -> list[Array | None]:
    """Return the deltas, with None for those that are not known because W and b of their layer are unexplained."""
    deltas = list(deltas)
    unknown = [f for f in state.findings if f.kind == "unknown"]
    for f in unknown:
        is_only_unknown = sum(g.layer == f.layer for g in unknown) == 1
        if not is_only_unknown and not (f.part == "delta" and f.evidence):
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


def _user_batch_deltas(user_batch: Witness, witnesses: Sequence[Witness], state: State) -> list[Array | None]:
    """Return the deltas of an explanation in the given batch, from the first layer on."""
    i = next(j for j, w in enumerate(witnesses) if w is user_batch)
    return [layer[i] for layer in reversed(state.deltas)]


def _shown_findings(user_batch: Witness, witnesses: Sequence[Witness], state: State) -> tuple[Finding, ...]:
    """Return the findings that show in the given batch; code may be right for it by numbers written into it."""
    deltas = _user_batch_deltas(user_batch, witnesses, state)
    return tuple(f for f in state.findings if shows_in_batch(user_batch, deltas, f))


def _is_loss_doubled(user_batch: Witness) -> bool:
    """Tell whether the returned loss holds the penalty twice."""
    case = user_batch.case
    plain_loss = float(case.right.loss) - user_batch.penalty
    return bool(user_batch.penalty) and math.isclose(
        case.answer.loss, plain_loss + 2 * user_batch.penalty, rel_tol=1e-6
    )


def explained_report(verdict: Verdict, report: ComparisonReport, at_kink: bool, tiny: float) -> ComparisonReport:
    """Return a report of rows alone with a diagnosis for everything that is wrong in them.

    `at_kink` says that the gradients are right by another convention at a kink; `tiny` is the largest constant
    such as 1e-8 in the user's code.
    """
    rows = report.rows
    wrong = [row for row in rows if not row.ok and row.role == "parameter"]
    findings = _filter_kinks(_confirmed_findings(verdict, rows), wrong, at_kink)
    diagnoses, blamed, is_complete = _explained(verdict, rows, wrong, findings, tiny)
    overwritten = _overwritten_names(verdict)
    if overwritten:
        diagnoses = [overwrite_diagnosis(overwritten), *(d for d in diagnoses if d.kind != "unknown")]
    unsteady = _unsteady_diagnosis(verdict)
    if unsteady is not None:
        diagnoses = _true_of_all_calls(diagnoses, unsteady)
    elif not is_complete and not overwritten:
        diagnoses += _unexplained_diagnoses(verdict, wrong, blamed)
    diagnoses += _kept_axes(verdict)
    first_wrong = _first_wrong(verdict, blamed, overwritten, diagnoses)
    notes = batch_notes(verdict.user_batch, len(verdict.varied), rows)
    return replace(report, diagnoses=tuple(diagnoses), first_wrong=first_wrong, notes=notes)


def _confirmed_findings(verdict: Verdict, rows: Sequence[Row]) -> list[Finding]:
    """Return the findings whose rows are wrong in the given batch, nearest the loss first; all if it hides them."""
    answer = verdict.user_batch.case.answer
    findings = sorted(verdict.state.findings, key=lambda f: -f.layer)
    if not verdict.hidden:
        wrong = {row.name for row in rows if not row.ok}
        findings = [f for f in findings if wrong & set(_affected_rows(f, answer.delta is not None))]
        findings = [f for f in findings if not (f.part == "delta" and f"layer {f.layer + 2} W" in answer.overwritten)]
    # for an answer that is not finite, the diagnosis of NaN says more than an unknown mistake
    return findings if _is_finite(answer) else [f for f in findings if f.kind != "unknown"]


def _explained(
    verdict: Verdict, rows: Sequence[Row], wrong: Sequence[Row], findings: Sequence[Finding], tiny: float
) -> tuple[list[Diagnosis], Sequence[Finding], bool]:
    """Return the diagnoses, the findings that they blame, and whether one cause is behind all that is wrong.

    Such causes are another convention, rounding, and a constant such as 1e-8.
    """
    by_mean = _convention_diagnosis(verdict, findings)
    complete = [] if by_mean is None else [by_mean]
    if _is_rounding(wrong, verdict):
        complete.append(_rounding(wrong))
    elif wrong and tiny:
        case, layer = verdict.user_batch.case, layer_and_part(wrong[-1])[0]
        where = ", ".join(row.name for row in reversed(wrong))
        of_tiny = effect_of_tiny_constant(largest_difference(case.gradient_pairs), where, tiny, True)
        if of_tiny is not None:
            number, equation = right_equation(case, layer, "delta", of_tiny.kind)
            complete.append(of_tiny if of_tiny.harmless else replace(of_tiny, number=number, equation=equation))
    if complete:
        return complete, [], True
    is_delta_wrong = verdict.user_batch.case.answer.delta is not None
    is_delta_wrong = is_delta_wrong and any(not row.ok and row.name.endswith("delta") for row in rows)
    blamed = findings if wrong or is_delta_wrong or verdict.hidden else []
    return [_diagnosis(verdict, f) for f in _merged(blamed)], blamed, False


def _rounding(wrong: Sequence[Row]) -> Diagnosis:
    worst = max(row.max_rel for row in wrong)
    return Diagnosis(
        "rounding", ", ".join(row.name for row in wrong),
        "These gradients were computed in float32 and differ only by rounding. This is not a mistake.",
        (f"the largest relative difference is {worst:.1e}; the machine epsilon of float32 is {SINGLE:.1e}",),
    )  # fmt: skip


def _overwritten_names(verdict: Verdict) -> list[str]:
    """Return the names of the arrays that the code wrote into, nearest the loss first."""
    case = verdict.user_batch.case
    return sorted(case.answer.overwritten, key=lambda name: -_layer_of(name, len(case.W)))


def _unsteady_diagnosis(verdict: Verdict) -> Diagnosis | None:
    """Return the diagnosis that calls with the same arguments gave different numbers, or None."""
    case = verdict.user_batch.case
    advice = ("With dropout, use data_cache.masks, which the forward pass drew, and draw none yourself."
              if case.solver.regularization.dropout else "Pass the random numbers in, or fix their seed.")  # fmt: skip
    calls = [(*a.dW, *a.db) for a in (case.answer, *verdict.repeated_answers)]
    return unsteady_diagnosis(calls, [f"layer {k + 1} {part}" for part in "Wb" for k in range(len(case.W))], advice)


def _true_of_all_calls(diagnoses: Sequence[Diagnosis], unsteady: Diagnosis) -> list[Diagnosis]:
    """Return the diagnoses that hold although the numbers change with each call; a stale mask explains the change."""
    stale = [d for d in diagnoses if d.kind == "dropout_mask_stale" and unsteady.kind == "nondeterministic"]
    return [*(d for d in diagnoses if d.kind == "inplace_overwrite"), *(stale or [unsteady])]


def _kept_axes(verdict: Verdict) -> list[Diagnosis]:
    return [] if verdict.hidden else [
        Diagnosis("convention", kept.split(" has ")[0], f"The gradient of {kept}: the numbers are those of the graph, "
                  "but the kept axis is not. Sum without keepdims=True.")
        for kept in verdict.user_batch.case.answer.kept_axes]  # fmt: skip


def _first_wrong(
    verdict: Verdict, findings: Sequence[Finding], overwritten: Sequence[str], diagnoses: Sequence[Diagnosis]
) -> str | None:
    """Return the layer nearest the loss that has a mistake, or else the place that the first diagnosis names."""
    wrong_layers = [f.layer for f in findings if f.kind not in HARMLESS]
    wrong_layers += [_layer_of(name, len(verdict.user_batch.case.W)) for name in overwritten[:1]]
    if wrong_layers:
        return f"layer {max(wrong_layers) + 1}"
    where = next((d.where for d in diagnoses if not d.harmless), None)
    return " ".join(where.split()[:2]) if where is not None and where.startswith("layer") else where


def _filter_kinks(findings: list[Finding], wrong: Sequence[Row], at_kink: bool) -> list[Finding]:
    """Return the findings, without those of kinks unless `at_kink`; if `at_kink`, only findings of kinks."""
    if not at_kink:
        return [f for f in findings if f.kind != "kink"]
    kinks = [f for f in findings if f.kind == "kink"]
    parts = [layer_and_part(row) for row in wrong]
    text = ("Manual and graph differ only at a kink of the loss, where it has no derivative. Neither is wrong: any "
            "weighted mean of the slopes on its sides is a valid convention.")  # fmt: skip
    return kinks or [Finding(k, part, "kink", text, evidence=(SPAN,)) for k, part in sorted(parts, reverse=True)]


def _affected_rows(f: Finding, has_delta: bool) -> list[str]:
    """Return the names of the rows of which at least one is wrong if a finding shows."""
    parts = [f.part] if f.part != "delta" else ["W", "b", *(["delta"] if has_delta else [])]
    return [f"layer {f.layer + 1} {part}" for part in parts]


def _layer_of(name: str, layers: int) -> int:
    """Return the layer, counted from 0, that an array of the model or of data_cache belongs to."""
    if name.startswith("layer "):
        return int(name.split()[1]) - 1
    return int(name.rstrip("]").partition("[")[2]) if "[" in name else 0 if name.endswith(".x") else layers - 1


def _merged(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings, with those of W and b of one layer joined if they have one kind and factor."""
    merged: list[Finding] = []
    for f in findings:
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
    alternatives = f.alternatives or (("wrong_penalty",) if f.text == TWICE else ())
    part = f.part if f.part in ("delta", "b") else "W"
    number, equation = right_equation(verdict.user_batch.case, f.layer, part, f.kind)
    name = "" if f.kind == "sign" else f.times
    where, evidence = f"layer {f.layer + 1} {f.part}", _evidence(verdict, f)
    return Diagnosis(f.kind, where, text, evidence, equation, number, name, alternatives)


def _evidence(verdict: Verdict, f: Finding) -> tuple[str, ...]:
    """Return sentences on the experiments in which a finding explains the numbers, its factor, and where it hides."""
    witnesses = verdict.witnesses
    sizes = ", ".join(str(w.case.rows) for w in witnesses)
    count = f"{len(witnesses)} batches with {sizes} rows" if len(witnesses) > 1 else f"the batch of {sizes} rows"
    evidence = list(f.evidence)
    unexplained_parts = {g.part for g in verdict.state.findings if g.layer == f.layer and g.kind == "unknown"}
    parts_text = " and ".join(f"d{part}" for part in ("W", "b") if part not in unexplained_parts)
    if f.kind != "unknown" and parts_text:
        evidence.append(
            f"this explains {parts_text} of the layer up to rounding in {count}; the right equation does not"
        )
    if f.factor is not None and not f.factor.is_sign and f.factor.name != "0":
        evidence.append(f"the factor is {f.factor.value:.7g} in the first of them")
    if verdict.hidden:
        evidence.append("in the batch that was given it does not show; with other weights and data it does")
    elif f.kind != "unknown" and verdict.user_batch.case.is_large:
        evidence.append("found in small networks of the same activations, with random weights and data")
    elif f.kind != "unknown" and witnesses and verdict.user_batch not in witnesses:
        evidence.append("found with random weights and data; in the batch that was given something else hides it")
    return tuple(evidence)


def _wrong_part_text(verdict: Verdict, f: Finding) -> str:
    """Return a sentence on which part of an array is wrong and how, if no known mistake explains it."""
    case, noise = verdict.user_batch.case, verdict.user_batch.noise
    name = f"{'' if f.part == 'delta' else 'd'}{f.part}"
    right = getattr(case.right, name)[f.layer]
    user_array, right_array = f.user_array, f.right_array
    if f.part != "delta":
        user_array, right_array = getattr(case.answer, name)[f.layer], right if right_array is None else right_array
    if user_array is None or right_array is None:
        return f"{name} is wrong in other batches, and no known mistake explains it."
    if user_array.shape != right_array.shape:
        return f"{name} has shape {user_array.shape}, but should have {right_array.shape}."
    prefix = f.text.partition("delta is wrong")[0] if f.part == "delta" else ""
    if prefix:  # the finding is about another batch
        return prefix + describe(
            name, user_array, right_array, np.abs(user_array - right_array) > EXACT * np.abs(right_array).max(initial=0)
        )
    allowed = EXACT * float(np.abs(right_array).max(initial=0)) / 100
    if noise is not None:
        allowed = allowed + SAFETY * float(np.finfo(case.dtype).eps) * getattr(noise, name)[f.layer]
    wrong_mask = np.abs(user_array - right_array) > allowed
    suffix = "" if misfit(verdict.user_batch, right_array, right) <= 1 else (
        " (The right value here follows from the delta of this layer, with the mistakes above in it.)"
        if f.part != "delta" else " (The right value here follows from the delta above, with the mistakes in it.)")
    return describe(name, user_array, right_array, wrong_mask) + suffix


def _convention_diagnosis(verdict: Verdict, findings: Sequence[Finding]) -> Diagnosis | None:
    """Return the diagnosis that loss and gradient have the same factor, so that both are right, or None."""
    last = len(verdict.user_batch.case.W) - 1
    if len(findings) != 1 or findings[0].kind != "scale" or (findings[0].layer, findings[0].part) != (last, "delta"):
        return None
    factor = findings[0].factor
    for w in verdict.witnesses:
        db, right_db = w.case.answer.db[last], w.case.right.db[last]
        square = float((right_db**2).sum())
        plain_loss, user_loss = float(w.case.right.loss) - w.penalty, w.case.answer.loss
        if not square or not any(math.isclose(v, float((db * right_db).sum()) / square * plain_loss, rel_tol=1e-4)
                                 for v in (user_loss - w.penalty, user_loss)):  # fmt: skip
            return None
    if factor is None or not verdict.witnesses or not _is_multiple(verdict.user_batch, factor.value):
        return None
    user_loss, right_loss = verdict.user_batch.case.answer.loss, float(verdict.user_batch.case.right.loss)
    return Diagnosis(
        "convention", "loss",
        f"Loss and gradient{', without the penalty,' if verdict.user_batch.penalty else ''} are both {factor.words} "
        "times ours: this code takes a different mean (it may sum where ours divides by N). Its gradient is right for "
        "its loss. With the same learning rate, its steps are longer or shorter by that factor.",
        (f"the code's loss is {user_loss:.7g}, ours {right_loss:.7g}",),
        factor=factor.name,
    )  # fmt: skip


def _is_multiple(w: Witness, s: float) -> bool:
    """Tell whether a gradient, without its penalty, is s times the right one up to rounding."""
    case, noise = w.case, w.noise
    if noise is None:
        return False
    allowed = SAFETY * float(np.finfo(case.dtype).eps) * (1 + abs(s))
    penalties = [case.penalty(k) for k in range(len(case.W))]
    pairs: list[Any] = [*zip(case.answer.dW, case.right.dW, penalties, noise.dW, strict=True)]
    pairs += zip(case.answer.db, case.right.db, [0.0] * len(penalties), noise.db, strict=True)
    return all(
        (np.abs(user_gradient - s * (right - penalty) - penalty) <= allowed * n).all()
        for user_gradient, right, penalty, n in pairs
    )


def _is_rounding(wrong: Sequence[Row], verdict: Verdict) -> bool:
    """Tell whether the wrong gradients are float32 numbers and differ as float32 arithmetic does: a little, in many."""
    noise, case = verdict.user_batch.noise, verdict.user_batch.case
    if noise is None or any(row.note or row.odd not in ("manual", "") for row in wrong):
        return False
    wrong_count, size = 0.0, 0
    for row in wrong:
        k, part = layer_and_part(row)
        user_gradients, right, bound = ((case.answer.dW, case.right.dW, noise.dW) if part == "W" else
                                        (case.answer.db, case.right.db, noise.db))  # fmt: skip
        is_far = (np.abs(user_gradients[k] - right[k]) > 4 * SINGLE * bound[k]).any()
        if is_far or not has_float32_values(user_gradients[k]):
            return False  # not float32 numbers, or an error larger than that of float32 arithmetic
        wrong_count, size = wrong_count + row.wrong * user_gradients[k].size, size + user_gradients[k].size
    return wrong_count > 3 and wrong_count > 0.3 * size


def _unexplained_diagnoses(verdict: Verdict, wrong: list[Row], findings: Sequence[Finding]) -> list[Diagnosis]:
    """Return a diagnosis for each wrong parameter that no finding explains."""
    diagnoses = []
    for row in wrong:
        k, part = layer_and_part(row)
        is_explained = any(
            (f.layer > k and f.part == "delta") or (f.layer == k and f.part in ("delta", part)) for f in findings
        )
        if is_explained and not row.note.endswith("not finite"):
            continue
        entry_text = (f"entry {list(row.worst)}: manual {row.manual:.9g}, graph {row.graph:.9g}, "
                      f"numerical {row.numerical:.9g}")  # fmt: skip
        text = _row_sentence(row) or _wrong_part_text(verdict, Finding(k, part, "unknown", ""))
        number, equation = right_equation(verdict.user_batch.case, k, part, "unknown")
        diagnoses.append(Diagnosis("unknown", row.name, text, (entry_text,), equation, number))
    return diagnoses


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
