"""Explain a wrong gradient of any function: find the operation of its graph, and the mistake there, that gives it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...primitive import sum_to
from ..conventions.returned import differ_by_ones_in_front
from ..diagnosis import Diagnosis, Row
from ..factors import Factor
from ..mistakes import USUAL, argument_name, is_computed_from, uses_of, why_lost
from ..numerical.noise import has_float32_values
from ..pattern import describe, fraction
from ..tiny_constants import effect_of_tiny_constant, largest_difference
from .error_origin import ErrorOrigin, error_origins, operations_text
from .gradient_data import GradientData, equal_to_rounding, fit_factor, unsummed_gradients
from .locations import describe_operation
from .mutants import Mutant
from .search import LARGE, Match, Search, with_composed_functions

CUTS = {"missing_penalty": 0.95, "statistic_as_constant": 0.97, "detached": 1.025}  # costs; of others 1.02
SINGLE = float(np.finfo(np.float32).eps)


def explain_graph(data: GradientData, rows: Sequence[Row], in_hull: Sequence[bool]) -> list[Diagnosis]:
    """Return the diagnoses of all inputs whose gradient is wrong.

    Args:
        data: the data to explain them from.
        rows: the row of each input.
        in_hull: for each input, whether its gradient is right by another convention at a kink.
    """
    wrong = [i for i, row in enumerate(rows) if not row.ok]
    diagnoses: list[Diagnosis] = []
    remaining = []
    for i in wrong:
        simple = data.excused.get(i) or _shape_diagnosis(data, i) or _direct_diagnosis(data, i, rows[i], in_hull[i])
        if simple is not None and diagnoses and (simple.kind, simple.text) == ("convention", diagnoses[-1].text):
            where, evidence = f"{diagnoses[-1].where}, {simple.where}", diagnoses[-1].evidence + simple.evidence
            diagnoses[-1] = replace(simple, where=where, evidence=evidence)
        elif simple is not None:
            diagnoses.append(simple)
        else:
            remaining.append(i)
    if remaining:
        collapsed = with_composed_functions(data)
        searches = (
            [Search(data, with_groups=collapsed is None)]
            if collapsed is None or len(data.trace.operations) < LARGE
            else []
        )
        searches += [] if collapsed is None else [Search(collapsed)]
        joint = _find_joint_diagnosis(data, remaining, searches)
        if joint is not None:
            return [joint, *diagnoses]
        unexplained = []
        for i in remaining:
            diagnosis = _find_joint_diagnosis(data, [i], searches) if len(remaining) > 1 else None
            if diagnosis is None:
                unexplained.append(i)
                diagnosis = _unexplained_diagnosis(data, i, rows[i])
            if not any(
                (d.kind, d.where, d.text) == (diagnosis.kind, diagnosis.where, diagnosis.text) for d in diagnoses
            ):
                diagnoses.append(diagnosis)
        origins = error_origins(data, unexplained, [i for i in wrong if i not in unexplained]) if unexplained else []
        if len(origins) == 1 and origins[0].place >= 0:
            labels = [data.label(i) for i in unexplained]
            diagnoses = [d for d in diagnoses if not (d.kind == "unknown" and d.where in labels)]
            origin_diagnosis = Diagnosis(
                origins[0].kind,
                describe_operation(data.trace, origins[0].place),
                origins[0].text,
                (_entry_text(rows[unexplained[0]]),),
            )
            return [origin_diagnosis, *diagnoses]
        diagnoses = [_with_origin(data, d, unexplained, origins) for d in diagnoses]
    return diagnoses


def _with_origin(data: GradientData, d: Diagnosis, unexplained: list[int], origins: list[ErrorOrigin]) -> Diagnosis:
    """Return an unexplained diagnosis with the sentence that tells where in the graph its error begins, if known."""
    position = next(
        (k for k, i in enumerate(unexplained) if d.kind == "unknown" and d.where == data.label(i)), len(origins)
    )
    if position >= len(origins) or not origins[position].text:
        return d
    return replace(d, text=f"{d.text} {origins[position].text}")


def only_shape_diagnosis(label: str, user_shape: tuple[int, ...], shape: tuple[int, ...]) -> Diagnosis:
    """Return the diagnosis of right numbers in a wrong shape: harmless if only axes of length 1 in front differ.

    Then x - dx still has the shape of x, up to these axes; with any other shape an update of x would be wrong.
    """
    text = f"The numbers are right, but the shape is {user_shape} and should be {shape}: "
    if differ_by_ones_in_front(user_shape, shape):
        return Diagnosis("convention", label, f"{text}an axis was kept or dropped.")
    text += "it does not have the shape of the input, so an update with it would fail or broadcast. "
    return Diagnosis("wrong_shape", label, f"{text}Write .reshape({shape}), or use keepdims=True in the sum.")


def _shape_diagnosis(data: GradientData, i: int) -> Diagnosis | None:
    """Return the diagnosis of a gradient that has another shape than its input, or None."""
    m, g = data.user_gradients[i], data.right_gradients[i]
    if m.shape == g.shape:
        return None
    label = data.label(i)
    if m.shape == g.T.shape and equal_to_rounding(data, m.T, g):
        return Diagnosis("transpose", label, "The gradient is transposed: it needs the shape of its input.",
                         (f"it has shape {m.shape}, the input {g.shape}",), r"\bar x", "")  # fmt: skip
    if m.size == g.size and (np.abs(m.reshape(g.shape) - g) <= data.rounding[i]).all():
        return only_shape_diagnosis(label, m.shape, g.shape)
    try:
        summed = sum_to(m, g.shape)
    except ValueError:
        summed = None
    if summed is not None and m.size > g.size and equal_to_rounding(data, np.asarray(summed), g):
        return Diagnosis(
            "broadcast_not_summed", label, "The input was broadcast, so it is used in many places, and its gradient is "
            "the sum over them. That sum is missing.", (f"it has shape {m.shape}, the input {g.shape}",),
            r"\bar b = \sum_n g_n",
        )  # fmt: skip
    for part in unsummed_gradients(data, i):
        for axis in range(part.ndim):
            total = part.sum(axis=axis)
            if total.size == m.size and equal_to_rounding(data, m.reshape(total.shape), total):
                return Diagnosis("wrong_axis_sum", label, f"The gradient was summed over axis {axis}, the wrong one.",
                                 (f"it has shape {m.shape}, the input {g.shape}",))  # fmt: skip
    return None


def _direct_diagnosis(data: GradientData, i: int, row: Row, in_hull: bool) -> Diagnosis | None:
    """Return a diagnosis that needs no search of operations, or None: kink, rounding, conjugate, NaN, transpose."""
    m, g, label = data.user_gradients[i], data.right_gradients[i], data.label(i)
    if m.shape != g.shape:
        return Diagnosis("unknown", label, f"The gradient {row.note}; it needs the shape of its input.")
    if in_hull:
        return Diagnosis(
            "kink",
            label,
            "Manual and graph differ only at a kink of the function, where it has no derivative. "
            "Neither is wrong: any weighted mean of the slopes on its sides is a valid convention.",
            (_entry_text(row),),
        )
    if not np.isfinite(m).all():
        return Diagnosis("unknown", label, f"{row.note}: NaN and infinity come from 0/0, log(0), or exp of a large "
                         "number. Look for a division by something that is 0 "
                         "here.", (f"first at {list(row.worst)}",))  # fmt: skip
    if not data.wrong_masks[i].any():
        return Diagnosis("unknown", label, "Manual and graph agree, but the numerical derivative does not: a kink or a "
                         "jump may be very near, or both share a mistake.", (_entry_text(row),))  # fmt: skip
    if row.odd == "graph":
        return Diagnosis("unknown", label, "Here manual and numerical agree and the graph is the odd one out: a rule "
                         "is wrong. If it is one of this library, please report it.", (_entry_text(row),))  # fmt: skip
    if g.dtype.kind == "c" and (np.abs(m - np.conj(g)) <= data.rounding[i]).all():
        return Diagnosis("convention", label, "The gradient is the complex conjugate of the graph's: some libraries "
                         "define it that way (JAX), others as here (PyTorch). Both are right.")  # fmt: skip
    error = np.abs(m - g)
    seems_rounded = (error <= 16 * SINGLE * (np.abs(g) + 0.05 * np.abs(g).max())).all() and (
        data.wrong_masks[i].mean() > 0.3 and int(data.wrong_masks[i].sum()) > 3 and has_float32_values(m))
    if data.right_in or seems_rounded:
        dtype = "float64" if data.right_in == "longdouble" else "float32"
        why = (f"of the same numbers in {data.right_in}, it is right",) if data.right_in else ()
        return Diagnosis("rounding", label, f"The gradient was computed in {dtype} and differs only by rounding. This "
                         "is not a mistake.", (f"the largest difference is {error.max():.1e}", *why))  # fmt: skip
    tiny = _effect_of_tiny_constant(data, i)
    if tiny is not None and tiny.harmless:
        return tiny
    if m.ndim == 2 and m.shape[0] == m.shape[1] and equal_to_rounding(data, m, g.T):
        return Diagnosis("transpose", label, "The gradient is transposed.", ("its transpose is right in every entry",),
                         r"\bar W = g^T x", "")  # fmt: skip
    return None


def _entry_text(row: Row) -> str:
    return f"entry {list(row.worst)}: manual {row.manual:.9g}, graph {row.graph:.9g}, numerical {row.numerical:.9g}"


def _effect_of_tiny_constant(data: GradientData, i: int) -> Diagnosis | None:
    difference = largest_difference([(data.user_gradients[i], data.right_gradients[i])])
    return effect_of_tiny_constant(difference, data.label(i), data.tiny, data.tiny_is_cause)


def _unexplained_diagnosis(data: GradientData, i: int, row: Row) -> Diagnosis:
    m, g, label = data.user_gradients[i], data.right_gradients[i], data.label(i)
    tiny = _effect_of_tiny_constant(data, i)
    if tiny is not None:
        return tiny
    if m.dtype.kind == "f":
        points = [(m, g, data.float64_inputs[i])]
        points += [(mine[i], right[i], trace.inputs[i].out) for mine, trace, right in data.probes
                   if mine[i].shape == np.shape(trace.inputs[i].out)]  # else only some entries are known
        name = data.values[i] if data.values else label
        for pattern_text, pattern in ((name, lambda x: x), (f"sign({name})", np.sign)):
            used = points if pattern is np.sign else points[:1]  # a few signs agree with anything by chance
            first = pattern(points[0][2])
            square = float(np.vdot(first, first))
            enough = 1 if len(points) > 1 or pattern is not np.sign else 8
            c = float(np.vdot(first, m - g)) / square if square and g.size > enough else 0.0
            if c and all(np.abs(m - g - c * pattern(x)).max() <= 1e-7 * np.abs(m - g).max() for m, g, x in used):
                kind, sign, is_ = ("extra_penalty", "plus", "not in the function") if c > 0 else (
                    "missing_penalty", "minus", "missing or too small")  # fmt: skip
                text = (
                    f"It is the right gradient {sign} {fraction(abs(c))} {pattern_text}, like the gradient of a "
                    f"penalty that is {is_}."
                )
                return Diagnosis(kind, label, text, (_entry_text(row),))
    return Diagnosis(
        "unknown", label, describe(f"the gradient of {label}", m, g, data.wrong_masks[i]), (_entry_text(row),)
    )


def _find_joint_diagnosis(data: GradientData, wrong: list[int], searches: list[Search]) -> Diagnosis | None:
    """Find the mistake, or the factor, that explains the gradients of some inputs and leaves the right ones right."""
    all_inputs = list(range(len(data.user_gradients)))
    candidates: list[tuple[float, Diagnosis]] = []
    common_factor = fit_factor(data, wrong, lambda trace, right_inputs: right_inputs)
    one_number = not data.probes and sum(data.user_gradients[i].size for i in wrong) == 1
    named = common_factor is not None and not (one_number and "." in common_factor.name and not common_factor.others)
    if named and common_factor is not None and not common_factor.is_one:
        label, is_operation = ", ".join(data.label(i) for i in wrong), False
        if len(wrong) == len(all_inputs) > 1 and data.trace.operations and common_factor.name != "0":
            label, is_operation = describe_operation(data.trace, 0), True
        cost = (
            1.05
            + 0.3 * (not common_factor.is_sign) * (common_factor.name not in ("0", "2", "1/2"))
            - 0.2 * (common_factor.name == "0")
        )
        if not {"-1", "0", "2", "1/2", "N", "1/N"} & {common_factor.name, *common_factor.others}:
            cost += 0.15  # rather a constant of the function
        cost += 0.5 * (1 < len(wrong) < len(all_inputs))  # to name one operation says more than a list of inputs
        candidates.append((cost, _scale_diagnosis(data, label, common_factor, r"\bar x = J^T g", "", is_operation)))
    right_inputs = [
        i for i in all_inputs if i not in wrong and not data.wrong_masks[i].any()
    ]  # the mistake must not change these
    input_numbers = sorted([*wrong, *right_inputs])
    for search in searches:
        matches = search.matches(input_numbers, linear=search is searches[0])
        candidates += [_cost_and_diagnosis(search.data, match, wrong) for match in matches]
        if any(match.factor.is_one and match.mutant.cost <= USUAL for match in matches):
            break
    if not candidates and right_inputs:
        names = ", ".join(data.label(i) for i in wrong)
        for search in searches:
            for match in search.matches(wrong, linear=False):
                cost, diagnosis = _cost_and_diagnosis(search.data, match, wrong)
                candidates.append(
                    (cost, replace(diagnosis, text=f"{diagnosis.text} This affects only the gradient of {names}."))
                )
    if not candidates:
        return None
    candidates.sort(key=lambda pair: pair[0])
    best = candidates[0][1]
    return replace(best, alternatives=tuple(dict.fromkeys(d.kind for _, d in candidates[1:] if d.kind != best.kind)))


def _cost_and_diagnosis(data: GradientData, match: Match, wrong: Sequence[int]) -> tuple[float, Diagnosis]:
    """Return the cost and the diagnosis of a mistake that explains the gradients of the inputs `wrong`."""
    mutant, factor = match
    node = data.trace.operations[mutant.place]
    name = node.primitive.name if node.primitive else ""
    label = describe_operation(data.trace, mutant.place, mutant.times)
    if mutant.times == len(mutant.parts) > 1:
        inputs = [data.trace.inputs[i] for i in wrong]
        places = [p for p, _ in mutant.parts if any(is_computed_from(data.trace.operations[p], x) for x in inputs)]
        lines = operations_text(data.trace, places or [mutant.place])
        label = describe_operation(data.trace, (places or [mutant.place])[0], len(places))
        label = label if label.startswith(lines) else lines
    equation = ""
    if node.primitive is not None and node.primitive.rule_tex:
        slot = mutant.slot if mutant.slot is not None and mutant.slot < len(node.primitive.rule_tex) else 0
        equation = str(node.primitive.rule_tex[slot] or "")
    if not mutant.linear:
        are = "It is" if mutant.remake is None else "They are"
        times = "" if factor.is_one else f" {are} also multiplied by {_factor_text(data, factor)}."
        cost = mutant.cost + 0.5 * bool(times)
        return cost, Diagnosis(mutant.kind, label, mutant.text + times, _evidence(data), equation, name)
    if factor.name == "0":
        diagnosis = _lost_gradient_diagnosis(data, mutant, label, equation)
        return CUTS.get(diagnosis.kind, 1.02), diagnosis
    return 1.15 if factor.is_sign else 1.3 if factor.name in ("2", "1/2", "N", "1/N") else 1.6, _scale_diagnosis(
        data, label, factor, equation, name, argument="" if mutant.slot is None else argument_name(node, mutant.slot))


def _evidence(data: GradientData) -> tuple[str, ...]:
    others_text = f", and at {len(data.probes)} other points" if data.probes else ""
    return (f"with this mistake, the graph gives the gradients of the backward up to rounding{others_text}",)


def _factor_text(data: GradientData, factor: Factor) -> str:
    """Return the words for a factor, where the number of samples is called the number of rows of the first matrix."""
    words = factor.words.replace("the number of samples", meaning := f"the number of rows of {data.samples[0]}")
    is_explained = meaning in words or "N" not in factor.name + "".join(factor.others)
    return words if is_explained else f"{words.removesuffix(')')}, where N is {meaning})"


def _scale_diagnosis(
    data: GradientData, label: str, factor: Factor, equation: str, name: str, is_operation: bool = True,
    argument: str = "",
) -> Diagnosis:  # fmt: skip
    the_gradient = f"The gradient that is passed back to {argument}" if argument else "The gradient"
    suffix = " from here on" if is_operation else ""
    if factor.is_sign:
        return Diagnosis("sign", label, f"{the_gradient} has the wrong sign{suffix}.", _evidence(data), equation, name)
    if factor.name == "0":
        return Diagnosis("scale", label, "The gradient is 0, and should not be.", _evidence(data), equation, name, "0")
    text = f"{the_gradient} is {_factor_text(data, factor)} times the right one{suffix}."
    return Diagnosis("scale", label, text, _evidence(data), equation, name, factor.name)


def _lost_gradient_diagnosis(data: GradientData, mutant: Mutant, label: str, equation: str) -> Diagnosis:
    """Return the diagnosis of a gradient that is lost at an operation: that of a penalty, or one of several terms."""
    node = data.trace.operations[mutant.place]
    name = node.primitive.name if node.primitive else ""
    leaves = {n for n in data.trace.inputs if is_computed_from(node, n)}
    if mutant.slot is None and np.size(node.out) == 1 and len(leaves) == 1:
        leaf = next(iter(leaves))
        i = data.trace.inputs.index(leaf)
        made = mutant.walk(data.trace)
        through = data.right_gradients[i] - (made[i] if made is not None else 0)
        for pattern in (leaf.out, np.sign(leaf.out)):
            square = float(np.vdot(pattern, pattern).real)
            if square and equal_to_rounding(data, through, float(np.vdot(pattern, through).real) / square * pattern):
                return Diagnosis("missing_penalty", data.label(i), "The gradient of the penalty on it is not added.",
                                 _evidence(data), equation, name)  # fmt: skip
    kind, text = why_lost(data.trace, mutant.place, mutant.slot, uses_of(data.trace))
    return Diagnosis(kind, label, text, _evidence(data), equation, name)
