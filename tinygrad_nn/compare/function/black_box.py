"""The comparison if the forward cannot run on Tensors: it runs on arrays, and its gradients are numerical only."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ...common.printable import counted
from ...gradcheck.numerical import Line, inner_product, same_arrays, to_double
from ...node import Node
from ...primitive import sum_to
from ..conventions.code import Code
from ..conventions.reasons import Reason
from ..diagnosis import Diagnosis, Row
from ..guards import Trial, are_known, effect_of_guard, excused_by_guards, note_without_guards, smaller_inputs
from ..numerical.full_gradients import DIRECTIONS, NumericalGradient, differentiate_inputs, rounding_of
from ..numerical.precision import measured_rounding
from ..numerical.sides import ULPS
from ..paths import Traced
from ..pattern import describe, list_text
from ..rows import checked_entries, judged_row
from ..tiny_constants import largest_guard_in_code, smaller_constants, tiny_constant
from .cotangents import diagnose_cotangent
from .gradient_data import CLOSE, GradientData
from .graph_gradients import machine_epsilon
from .inputs_and_results import ComparisonInput, ComparisonResult, has_no_effect
from .operations import explain_graph, only_shape_diagnosis

Array = np.ndarray[Any, Any]

SECONDS, PROBE_SECONDS = 0.8, 0.2  # about how long the numerical road may take, at the given and at each other point
SAMPLES = 4  # entries of each input that are differentiated at other points


class NumericalComparison(NamedTuple):
    """The user's gradients beside numerical ones: of the function without constants such as 1e-8, or as it is written.

    `right_gradients` are the numerical ones where they are known, with the bounds `bounds`.
    """

    numerical: list[NumericalGradient]
    rows: list[Row]
    wrong_masks: list[Array]
    right_gradients: list[Array]
    bounds: list[Array]


def compare_without_graph(
    comparison: ComparisonInput, reason: Reason
) -> Iterator[tuple[ComparisonInput, ComparisonResult]]:
    """Compare the user's backward with numerical gradients; `reason` tells why there is no graph.

    As with a graph, yield the result as it is explained without constants such as 1e-8 first, if they have an effect.
    """
    code = comparison.code
    written = _compare(comparison, comparison.line)
    rows, numerical = written.rows, written.numerical
    checked, size = checked_entries(rows)
    method = f"{reason.sentence[0].upper()}{reason.sentence[1:]}."
    notes = [reason.edit] if reason.edit else []
    entries_text = "every entry" if checked == size else (
        f"{checked:,} of {counted(size, 'entry')}, drawn at random, and along {DIRECTIONS} random directions of each "
        "input")
    method += (f" Values by running it on arrays; derivatives by complex step, or extrapolated differences where it "
               f"takes no complex numbers, in float64, at {entries_text}.")  # fmt: skip
    notes += [f"{row.name}: {counted(w.kinks, 'entry')} at a kink, where any slope between those on both sides is "
              "right."
              for row, w in zip(rows, numerical, strict=True) if w.kinks]  # fmt: skip
    wrong = {i for i, row in enumerate(rows) if not row.ok}
    guard = largest_guard_in_code(code.source) if wrong else 0.0
    excused = excused_by_guards({i: comparison.user_gradients[i] for i in wrong}, _trials(comparison) if guard else ())
    tiny = tiny_constant(code.source, code.backward)
    diagnoses_of_excused = {
        i: effect_of_guard(
            comparison.label(i), (comparison.user_gradients[i], numerical[i].value), tiny, guard, excused.factors[i]
        )
        for i in excused.factors
    }
    seen = [[w.value for w in numerical], *([comparison.user_gradients] if excused.factors else [])]
    no_effect = has_no_effect(comparison.line.outs, comparison.float64_inputs, seen)
    no_effect = [
        b and not any(abs(slope) > bound for _, slope, bound in w.directions)
        for b, w in zip(no_effect, numerical, strict=True)
    ]
    bases = [(comparison, written, written.wrong_masks, True)]
    base = excused.base(wrong)
    if base is not None:
        at, plain = base
        masks = [a if i in excused.factors else b
                 for i, (a, b) in enumerate(zip(written.wrong_masks, plain.wrong_masks, strict=True))]  # fmt: skip
        has_effect = at.code is not code or not _are_same(plain, written)
        if has_effect and not any(plain.rows[i].ok for i in excused.wrong_in):
            bases.insert(0, (at, plain, masks, False))
    for at, compared, masks, with_guards in bases:
        with nullcontext() if with_guards else smaller_constants(np.float64, code.source):
            diagnoses = _explain(
                at, compared.numerical, rows, masks, compared.right_gradients, compared.bounds, diagnoses_of_excused
            )
        values = [w.value for w in compared.numerical]
        has_note = not (with_guards or all(d.harmless for d in diagnoses))
        note = note_without_guards(guard, [*zip(values, seen[0], strict=True)]) if has_note else ""
        yield at, ComparisonResult(
            rows, diagnoses, values, [*notes, *([note] if note else [])], method, no_effect,
            [w.error for w in compared.numerical], [~w.is_known | (w.low != w.high) for w in compared.numerical],
            with_guards,
        )  # fmt: skip


def _compare(comparison: ComparisonInput, line: Line) -> NumericalComparison:
    """Compare the user's gradients with those that a line gives."""
    numerical = differentiate_inputs(line, comparison.cotangents, comparison.rng, SECONDS)
    rounding = rounding_of(
        lambda moved: comparison.code.gradients(moved, comparison.g),
        comparison.input_arrays,
        comparison.user_gradients,
        comparison.rng,
        ULPS,
    )
    measured = measured_rounding(
        lambda cast: comparison.code.cast(cast).gradients([cast(x) for x in comparison.input_arrays], comparison.g),
        comparison.user_gradients,
    )
    rounding = [a + b for a, b in zip(rounding, measured, strict=True)]
    compared = NumericalComparison(numerical, [], [], [], [])
    for i, (m, numerical_one, allowed) in enumerate(zip(comparison.user_gradients, numerical, rounding, strict=True)):
        has_right_shape = m.shape == numerical_one.value.shape
        allowed = allowed if has_right_shape else np.zeros(numerical_one.value.shape)
        row, wrong_mask, reference = judged_row(comparison.label(i), m, numerical_one, allowed)
        is_direction_wrong = has_right_shape and any(
            abs(inner_product(m, v) - slope) > bound + float((allowed * np.abs(v)).sum())
            for v, slope, bound in numerical_one.directions
        )
        row = replace(row, ok=False, odd="manual") if is_direction_wrong else row
        compared.rows.append(row if comparison.line.steady else replace(row, ok=True, odd=""))
        compared.wrong_masks.append(wrong_mask)
        compared.right_gradients.append(reference)
        compared.bounds.append(numerical_one.error + allowed)
    return compared


def _are_same(one: NumericalComparison, other: NumericalComparison) -> bool:
    """Tell whether two numerical gradients are the same, where they are known."""
    return all(bool((np.abs(np.nan_to_num(a.value - b.value)) <= np.nan_to_num(a.error + b.error)).all())
               for a, b in zip(one.numerical, other.numerical, strict=True))  # fmt: skip


def numerical_line(code: Code, leaves: list[Array]) -> Line:
    """Return a function as what is differentiated numerically, with the rounding of its results."""
    line = Line(lambda *xs: code.arrays(xs), leaves, may_round=True)
    line.doubts = measured_rounding(lambda cast: code.cast(cast).arrays([cast(x) for x in leaves]), line.outs)
    return line


def _trials(comparison: ComparisonInput) -> Iterator[Trial]:
    """Yield which gradients are right without constants such as 1e-8, also for smaller inputs."""
    comparison = comparison._replace(rng=np.random.default_rng(0))
    eps = machine_epsilon(comparison)
    try:
        for factor, inputs in ((1.0, comparison.input_arrays), *smaller_inputs(comparison.input_arrays)):
            at = comparison if factor == 1 else comparison.moved(inputs)
            outs = []
            for dtype in (np.float32, np.float64):
                with smaller_constants(dtype, comparison.code.source):
                    outs.append(at.code.arrays([x.copy() for x in at.float64_inputs]))
            with smaller_constants(np.float64, comparison.code.source):
                plain = _compare(at, numerical_line(at.code, at.float64_inputs))
            known = {i for i, (w, row) in enumerate(zip(plain.numerical, plain.rows, strict=True))
                     if _is_known(w, at.user_gradients[i] if row.ok else w.value, eps)}  # fmt: skip
            # a value that is 0 without its guard makes the result depend on what stands in for the guard
            is_beyond = not (same_arrays(*outs) and all(np.isfinite(out).all() for out in outs[1]))
            yield Trial(factor, {i for i in known if plain.rows[i].ok}, set() if is_beyond else known, (), (at, plain))
    except Exception:  # user code may raise anything for inputs that it was not made for
        return


def _is_known(numerical: NumericalGradient, gradient: Array, eps: float) -> bool:
    """Tell whether the entries of a numerical gradient are known so well that a mistake shows beside a gradient."""
    is_known = numerical.is_known
    if gradient.shape != numerical.value.shape or not is_known.any():
        return False
    return are_known([numerical.error[is_known]], [gradient[is_known]], eps)


def _explain(
    comparison: ComparisonInput, numerical: list[NumericalGradient], rows: list[Row], wrong_masks: list[Array],
    right_gradients: list[Array], bounds: list[Array], excused: Mapping[int, Diagnosis] = MappingProxyType({}),
) -> list[Diagnosis]:  # fmt: skip
    """Return the diagnoses of the wrong gradients, as far as they can be found without a graph.

    `excused` has those of gradients that are right without constants such as 1e-8.
    """
    wrong = [i for i, row in enumerate(rows) if not row.ok]
    alone = [_explain_alone(comparison, i, numerical[i], rows[i], wrong_masks[i], right_gradients[i]) for i in wrong
             if i not in excused and not numerical[i].is_known.all()]  # fmt: skip
    diagnoses = [diagnosis for diagnosis in alone if diagnosis is not None]
    remaining = [i for i in wrong if comparison.label(i) not in {d.where for d in diagnoses}]
    if not remaining:
        return diagnoses
    user_gradients = comparison.user_gradients
    has_right_shape = [g.shape == w.value.shape for g, w in zip(user_gradients, numerical, strict=True)]
    known_gradients = [np.where(w.is_known, g, 0.0) if right else g
                       for g, w, right in zip(user_gradients, numerical, has_right_shape, strict=True)]  # fmt: skip
    noise = max(float(np.nanmax(w.error) / (np.nanmax(np.abs(w.value)) or 1.0)) for w in numerical if w.value.size)
    data = GradientData(
        comparison.code.inputs, known_gradients, right_gradients, bounds, wrong_masks,
        empty_graph(comparison.float64_inputs), comparison.float64_inputs, _probe_entries(comparison, remaining),
        max(CLOSE, noise),
        tiny=tiny_constant(comparison.code.source, comparison.code.backward),
        excused=excused,
    )  # fmt: skip
    remaining_rows = [row if i in remaining else replace(row, ok=True) for i, row in enumerate(rows)]
    for d in explain_graph(data, remaining_rows, [False] * len(rows)):
        i = comparison.labels.index(d.where) if d.kind == "unknown" and d.where in comparison.labels else -1
        if i >= 0 and (by_cotangent := diagnose_cotangent(comparison, i, right_gradients[i], numerical[i].is_known)):
            diagnoses.append(by_cotangent)
            continue
        if i >= 0 and has_right_shape[i] and not numerical[i].is_known.all():
            text = describe_known_entries(d.where, user_gradients[i], right_gradients[i], wrong_masks[i], numerical[i])
            d = replace(d, text=text)
        diagnoses.append(replace(d, evidence=tuple(by_differences(sentence) for sentence in d.evidence)))
    return diagnoses


def _explain_alone(
    comparison: ComparisonInput, i: int, numerical: NumericalGradient, row: Row, wrong_mask: Array, right: Array
) -> Diagnosis | None:
    """Explain one wrong gradient, some entries of which are not known, by its shape or by the upstream gradient."""
    for diagnosis, array in _shape_diagnoses(comparison, i):
        if _agrees(array, numerical):
            return diagnosis
    label = comparison.label(i)
    if comparison.user_gradients[i].shape != right.shape:
        by_cotangent = diagnose_cotangent(comparison, i, right, numerical.is_known)
        text = f"The gradient {row.note}; it needs the shape of its input."
        return by_cotangent or Diagnosis("unknown", label, text)
    if wrong_mask.any():
        return None
    text = (f"The derivative along random directions is wrong, but the {row.checked} entries that were checked are "
            "right: other entries must be wrong. Compare smaller inputs, so that every entry can be checked.")
    return Diagnosis("unknown", label, text)


def by_differences(sentence: str) -> str:
    """Return a sentence of evidence reworded for a comparison without a graph."""
    sentence = sentence.replace("with this mistake, the graph gives", "with this mistake, the numerical gradients "
                                "become")
    return sentence.replace("graph nan, ", "")


def describe_known_entries(
    label: str, user_gradient: Array, right_gradient: Array, wrong_mask: Array, numerical: NumericalGradient
) -> str:
    """Describe a wrong gradient of which only some entries are known numerically."""
    is_known = numerical.is_known
    places = np.argwhere(wrong_mask)
    description = describe(
        label, user_gradient[is_known], right_gradient[is_known], np.ones(int(is_known.sum()), dtype=bool)
    ).partition(". ")[2]
    relation = description if wrong_mask[is_known].all() and not description.startswith("The largest") else ""
    text = list_text([[int(i) for i in place] for place in places[:64]])
    return (f"Of the {int(is_known.sum())} entries of {label} that were checked, {len(places)} are wrong: {text}. "
            f"{relation}").strip()  # fmt: skip


def _shape_diagnoses(comparison: ComparisonInput, i: int) -> Iterator[tuple[Diagnosis, Array]]:
    """Yield possible diagnoses of a gradient of a wrong shape, each with the gradient brought to the right shape.

    It may be transposed, have an axis too many, or not be summed over a broadcast.
    """
    m, shape, label = comparison.user_gradients[i], comparison.float64_inputs[i].shape, comparison.label(i)
    evidence = (f"it has shape {m.shape}, the input {shape}",)
    if m.ndim == 2 and m.T.shape == shape:
        yield Diagnosis("transpose", label, "The gradient is transposed.", evidence), m.T
    if m.shape == shape:
        return
    if m.size == math.prod(shape):
        yield only_shape_diagnosis(label, m.shape, shape), m.reshape(shape)
    try:
        summed = np.asarray(sum_to(m, shape))
    except ValueError:
        return
    yield Diagnosis("broadcast_not_summed", label, "The input was broadcast, so it is used in many places, and its "
                    "gradient is the sum over them. That sum is missing.", evidence), summed  # fmt: skip


def _agrees(array: Array, numerical: NumericalGradient) -> bool:
    is_known = numerical.is_known
    size = float(np.abs(numerical.value[is_known]).max(initial=0.0))
    return bool((np.abs(array[is_known] - numerical.value[is_known]) <= numerical.error[is_known] + CLOSE * size).all())


def empty_graph(leaves: list[Array]) -> Traced:
    """Return a graph that has inputs and no operations."""
    nodes = []
    for x in leaves:
        node = Node()
        node.out = x
        nodes.append(node)
    return Traced([], nodes, [])


def _probe_entries(comparison: ComparisonInput, wrong: list[int]) -> list[tuple[list[Array], Traced, list[Array]]]:
    """Return some entries of the gradients at other points: the user's, an empty graph, and the numerical ones."""
    code, rng, probes = comparison.code, comparison.rng, []
    for _ in range(2):
        moved = [to_double(x) for x in comparison.nearby()]
        try:
            cotangents, g = comparison.cotangents_at(moved)
            user_gradients = code.gradients(moved, g)
            line = Line(lambda *xs: code.arrays(xs), moved, may_round=True)
            numerical = differentiate_inputs(line, cotangents, rng, PROBE_SECONDS, SAMPLES)
        except Exception:  # user code may raise anything for inputs that it was not made for
            continue
        if not line.steady or any(user_gradients[i].shape != numerical[i].value.shape for i in wrong):
            continue
        user_entries, numerical_entries = [], []
        for m, w in zip(user_gradients, numerical, strict=True):
            has_right_shape = m.shape == w.value.shape
            user_entries.append(m[w.is_known] if has_right_shape else np.zeros(0))
            numerical_entries.append(w.value[w.is_known] if has_right_shape else np.zeros(0))
        if all(np.isfinite(x).all() for x in user_entries):
            probes.append((user_entries, empty_graph(moved), numerical_entries))
    return probes
