"""The comparison for any function: the user's backward, the graph and the numerical road, input by input."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np

from ...common.printable import counted
from ...gradcheck.numerical import SAFETY, Estimate, Line, inner_product, to_double
from ...node import recording
from ...tree import flatten
from ..behaviour import UNSTEADY, blind_diagnosis, no_value_diagnosis, same_results, unsteady_diagnosis
from ..budget import Budget
from ..conventions.code import Code, kept_draws
from ..conventions.reasons import OTHER_RESULT, Reason, disconnected, why_disconnected
from ..conventions.recognize import recognize_code
from ..conventions.samples import layout, with_samples
from ..diagnosis import Diagnosis, Row
from ..edits.running import copy_value
from ..experiment import own_generator
from ..guards import effect_of_guard, excused_by_guards, largest_guard, note_without_guards
from ..numerical.full_gradients import differentiate_inputs
from ..numerical.sides import Run, Sides
from ..numerical.subgradients import Hull
from ..paths import Traced
from ..report import ComparisonReport
from ..rows import ArrayPair, CheckedEntry, checked_entries, compare_row
from ..tiny_constants import smaller_constants, tiny_constant
from .array_code import for_arrays
from .black_box import PROBE_SECONDS, SAMPLES, compare_without_graph, numerical_line
from .gradient_data import GradientData
from .graph_gradients import (
    GraphGradients,
    graph_gradients,
    is_right_with_smaller_constants,
    run_graph,
    trials_without_guards,
    wider_dtype_in_which_it_is_right,
)
from .inputs_and_results import ComparisonInput, ComparisonResult, draw_cotangents, has_no_effect
from .lines import with_source_lines
from .locations import name_values, overflow_notes, recording_locations
from .operations import explain_graph, only_shape_diagnosis
from .search import LARGE
from .stopped import add_stop_note

Array = np.ndarray[Any, Any]

SECONDS = 1.5  # about how long the numerical road may take
DIRECTIONS = 3
SAME = 1e-7  # of the sizes of the terms: both are float64, and the numerical derivative has its own error beside it


def compare_function(f: Callable[..., Any], user_inputs: Any, *, manual: Any, rng: Any = 0) -> ComparisonReport:
    """Compare the user's backward with the graph and the numerical road; see `compare_gradients`."""
    try:
        return _compare(f, user_inputs, manual, rng)
    except Exception as error:
        add_stop_note(error, (f, user_inputs, manual), _right_gradients)
        raise


def _compare(f: Callable[..., Any], user_inputs: Any, manual: Any, rng: Any) -> ComparisonReport:
    generator = own_generator(rng)
    with np.errstate(all="ignore"), recording(False), kept_draws():
        code = recognize_code(f, user_inputs, manual)
        float64_inputs = [to_double(code.inputs.leaves[i]) for i in code.inputs.float_indices]
        outs = code.arrays([x.copy() for x in float64_inputs])
        if not outs or not all(np.isfinite(out).all() for out in outs):
            return _no_value(code.name, outs)
        cotangents, g, cot_note = draw_cotangents(code, float64_inputs, outs, generator)
        input_arrays = [code.inputs.leaves[i] for i in code.inputs.float_indices]
        passed_arrays, cotangent_copy = [x.copy() for x in input_arrays], copy_value(g, {})
        returned = code.back(code.inputs, passed_arrays, g)
        changed_labels = [
            code.inputs.labels[i]
            for i, a, b in zip(code.inputs.float_indices, input_arrays, passed_arrays, strict=True)
            if not np.array_equal(a, b, equal_nan=True)
        ]
        code = code.with_pairing(returned)
        input_arrays = [code.inputs.leaves[i] for i in code.inputs.float_indices]
        float64_inputs = [to_double(x) for x in input_arrays]
        line = numerical_line(code, float64_inputs)
        comparison = ComparisonInput(
            code, input_arrays, float64_inputs, outs, cotangents, g, code.gradients_from(returned), line, generator
        )
        repeated_gradients = [code.gradients(input_arrays, g) for _ in range(2)]
        parts, parts_before = flatten(g)[0], flatten(cotangent_copy)[0]
        is_cotangent_changed = not same_results(parts, parts_before)
        for part, before in zip(parts, parts_before, strict=True):
            if is_cotangent_changed and isinstance(part, np.ndarray):
                part[...] = before
        comparison, graph, reason = _run_on_tensors(comparison)
        kept_shapes = {} if code.pairing is None else code.pairing.kept_shapes
        results = compare_without_graph(comparison, reason) if graph is None else _compare_with_graph(comparison, graph)
        explained: list[tuple[int, list[Diagnosis], ComparisonResult]] = []
        for at, result in results:
            diagnoses = _side_effects(
                comparison, repeated_gradients, changed_labels, is_cotangent_changed, result.right_gradients,
                result.rounding,
            )
            diagnoses += result.diagnoses
            if not any(d.kind in ("inplace_overwrite", "cotangent_ignored", *UNSTEADY) for d in diagnoses):
                differentiate = _differentiate_numerically if graph is None else _differentiate_by_graph
                compute_right = partial(differentiate, with_guards=result.with_guards)
                diagnoses = with_source_lines(at, result, compute_right, diagnoses, (f, user_inputs, manual))
            explained.insert(0, (sum(d.kind == "unknown" for d in diagnoses), diagnoses, result))
            if not explained[0][0]:
                break
        _, diagnoses, result = min(explained, key=itemgetter(0))
    diagnoses = _without_consequences(code, diagnoses)
    diagnoses += _shape_diagnoses(comparison, {i: s for i, s in kept_shapes.items() if result.rows[i].ok})
    notes = [note for note in (cot_note, *code.notes) if note]
    if not line.steady:
        notes.append("The function itself gave two different results for the same inputs, so the numerical road is "
                     "noise: something random is drawn inside it. Pass a mask in, or fix the seed.")  # fmt: skip
    samples = layout(code.inputs.labels, code.inputs.leaves)
    diagnoses = with_samples(diagnoses, samples)
    notes += [f"S{samples.sentence[1:]}."] if samples is not None and samples.axis else []
    diagnoses += _blind_diagnosis(comparison, result, notes)
    first = next((d.where for d in diagnoses if not d.harmless), None)
    title = f"{code.name}({', '.join(code.inputs.names)})"
    notes += result.notes
    return ComparisonReport(title, tuple(result.rows), tuple(diagnoses), first, tuple(notes), {}, result.method)


def _without_consequences(code: Code, diagnoses: list[Diagnosis]) -> list[Diagnosis]:
    """Return the diagnoses without those that follow from a wrong behaviour, such as an update before its use."""
    if code.early and not all(d.harmless for d in diagnoses):
        return [Diagnosis("inplace_overwrite", f"the update in {code.name}", code.early)]
    if any(d.kind in ("inplace_overwrite", "cotangent_ignored", *UNSTEADY) for d in diagnoses):
        return [d for d in diagnoses if d.kind not in ("unknown", "scale")]
    return diagnoses


def _run_on_tensors(comparison: ComparisonInput) -> tuple[ComparisonInput, Run | None, Reason]:
    """Return the run on Tensors, or None and the reason: it fails, or its graph lacks an input that has an effect.

    The input that is returned with it has the code that runs on Tensors.
    """
    code, reason = comparison.code, Reason("")
    for attempt in (code, for_arrays(code)):
        try:
            with recording_locations():
                graph = run_graph(attempt, comparison.float64_inputs, comparison.cotangents)
            name_values(graph.trace)
        except Exception as error:  # a function that was never meant for Tensors may raise anything
            reason = reason if reason.text else why_disconnected(error, code.source)
            continue
        if attempt is code and not _has_same_results(comparison, graph):
            reason = OTHER_RESULT
            continue
        if attempt is not code and not _is_as_on_arrays(comparison, graph):
            break
        unreached = ", ".join(_unreached_inputs(comparison, graph))
        if unreached:
            return comparison, None, disconnected(unreached)
        return comparison._replace(code=attempt), graph, Reason("")
    return comparison, None, reason


def _slope(comparison: ComparisonInput, i: int, rng: np.random.Generator) -> tuple[Array, Estimate]:
    """Return a random direction of an input, and the numerical derivative along it."""
    x = comparison.float64_inputs[i]
    v = rng.normal(size=x.shape) * np.maximum(1.0, np.abs(x))
    return v, comparison.line.along({i: v}, comparison.cotangents, None)


def _unreached_inputs(comparison: ComparisonInput, graph: Run) -> list[str]:
    """Return the names of the inputs that have an effect, and that the graph lacks."""
    reached = {parent for node in graph.trace.operations for parent in node.parents or ()}
    reached |= {node for node, _ in graph.trace.outs}
    unreached = []
    for i, node in enumerate(graph.trace.inputs):
        if node not in reached and comparison.line.steady and comparison.float64_inputs[i].size:
            slope = _slope(comparison, i, comparison.rng)[1]
            if abs(slope.value) > SAFETY * slope.error:
                unreached.append(comparison.label(i))
    return unreached


def _has_same_results(comparison: ComparisonInput, graph: Run) -> bool:
    """Tell whether a graph has the results of the run on arrays, as far as two runs on arrays have the same."""
    return not comparison.line.steady or (len(graph.outs) == len(comparison.outs) and all(
        a.shape == b.shape and np.allclose(a, b, rtol=SAME, atol=SAME)
        for a, b in zip(graph.outs, comparison.outs, strict=True)
    ))  # fmt: skip


def _is_as_on_arrays(comparison: ComparisonInput, graph: Run) -> bool:
    """Tell whether a graph, which is not too large, has the results of the run on arrays and its derivatives."""
    if not comparison.line.steady or len(graph.trace.operations) > LARGE or not _has_same_results(comparison, graph):
        return False
    rng = np.random.default_rng(0)
    for i, g in enumerate(graph.grads):
        v, slope = _slope(comparison, i, rng)
        allowed = SAFETY * slope.error + SAME * float(np.abs(g * v).sum())
        if not slope.kink and abs(inner_product(g, v) - slope.value) > allowed:
            return False
    return True


def _compare_with_graph(
    comparison: ComparisonInput, at_point: Run
) -> Iterator[tuple[ComparisonInput, ComparisonResult]]:
    """Compare the user's backward with the graph, and the graph with numerical derivatives.

    Yield the result as it is explained by the function without constants such as 1e-8, if they have an effect on
    gradients that are wrong without them too, and then by the function as it is written; each with the inputs at which
    mistakes are explained.
    """
    code, user_gradients = comparison.code, comparison.user_gradients
    graph = graph_gradients(comparison, at_point)
    sides, rounding = graph.sides, graph.rounding
    for i, is_zero in enumerate(
        has_no_effect(comparison.line.outs, comparison.float64_inputs, [at_point.grads, user_gradients])
    ):
        m, g = user_gradients[i], at_point.grads[i]
        if is_zero and m.shape == g.shape and np.isfinite(m + g).all():  # both are 0 up to the rounding of sums
            rounding[i] = rounding[i] + np.abs(m) + np.abs(g)
    rows, wrong_masks, kinks = _compute_rows(comparison, sides, rounding)
    probes = _compute_probes(comparison)
    tiny = tiny_constant(code.source, code.backward)
    # each is asked only if the one before does not explain the difference, since each runs the function again
    wrong = {i for i, mask in enumerate(wrong_masks) if mask.any()}
    guard = largest_guard(at_point.trace.operations) if wrong else 0.0
    excused = excused_by_guards(
        {i: user_gradients[i] for i in wrong}, trials_without_guards(comparison) if guard else ()
    )
    factors = excused.factors
    is_open = not wrong <= factors.keys()
    right_in = wider_dtype_in_which_it_is_right(comparison, graph) if is_open else ""
    tiny_is_cause = bool(is_open and not right_in and tiny) and is_right_with_smaller_constants(
        comparison, at_point.grads
    )
    diagnoses_of_excused = {
        i: effect_of_guard(comparison.label(i), (user_gradients[i], at_point.grads[i]), tiny, guard, factor)
        for i, factor in factors.items()
    }
    notes = [f"{row.name}: at a kink, where the derivative is a convention, the numerical road was not asked."
             for row, k in zip(rows, kinks, strict=True) if k]  # fmt: skip
    notes += overflow_notes(at_point.trace)
    checked, size = checked_entries(rows)
    methods = "complex step, or extrapolated differences where the function takes no complex numbers,"
    method = (f"Numerical: {methods} in float64 at {checked:,} of {counted(size, 'entry')}, the worst of each array "
              f"among them, and along {DIRECTIONS} random directions of each input.")  # fmt: skip
    in_hull = Hull(sides, rounding, comparison.rng).right_at_kink(user_gradients)  # looks at more sides
    seen = [at_point.grads, *sides.limits(), *([user_gradients] if factors else [])]
    no_effect = has_no_effect(comparison.line.outs, comparison.float64_inputs, seen)
    bases = [(comparison, graph, wrong_masks, in_hull, probes)]
    base = excused.base(wrong)
    if base is not None and not right_in and not tiny_is_cause:
        bases = [*_base_without_guards(comparison, graph, base, excused.wrong_in, wrong_masks), *bases]
    for at, run_of, masks, in_hull, probes in bases:
        run, grads, with_guards = run_of.at_point, run_of.at_point.grads, run_of.with_guards
        data = GradientData(
            at.code.inputs,
            at.user_gradients,
            grads,
            run_of.rounding,
            masks,
            run.trace,
            at.float64_inputs,
            probes,
            trace_at=partial(_trace, code, comparison.cotangents, with_guards),
            tiny=tiny,
            right_in=right_in,
            excused=diagnoses_of_excused,
            tiny_is_cause=tiny_is_cause,
        )
        diagnoses = explain_graph(data, rows, in_hull)
        has_note = not (with_guards or all(d.harmless for d in diagnoses))
        note = note_without_guards(guard, [*zip(grads, at_point.grads, strict=True)]) if has_note else ""
        yield at, ComparisonResult(
            rows, diagnoses, grads, [*notes, *([note] if note else [])], method, no_effect,
            [np.zeros(g.shape) for g in grads], run_of.sides.differs_between_sides(run_of.rounding), with_guards,
            rounding,
        )  # fmt: skip


def _base_without_guards(
    comparison: ComparisonInput, graph: GraphGradients, base: tuple[ComparisonInput, GraphGradients],
    wrong_in: Collection[int], wrong_masks: list[Array],
) -> list[tuple[ComparisonInput, GraphGradients, list[Array], list[bool], list[Any]]]:  # fmt: skip
    """Return what explains mistakes without constants such as 1e-8, if these have an effect.

    That is `base`, the function where all mistakes show and its graph there, with its wrong entries, which gradients
    are right at a kink, and the results at other inputs.
    """
    at, plain = base
    masks = [_wrong_entries(plain, at.user_gradients, i) if i in wrong_in else mask
             for i, mask in enumerate(wrong_masks)]  # fmt: skip
    has_effect = at.code is not comparison.code or not graph.are_within(plain.at_point.grads)
    if not (has_effect and all(masks[i].any() for i in wrong_in)):
        return []
    in_hull = Hull(plain.sides, plain.rounding, at.rng).right_at_kink(at.user_gradients)
    return [(at, plain, masks, in_hull, _compute_probes(at, with_guards=False))]


def _trace(code: Code, cotangents: list[Array], with_guards: bool, leaves: list[Array]) -> Traced:
    return run_graph(code, leaves, cotangents, with_guards).trace


def _wrong_entries(graph: GraphGradients, user_gradients: list[Array], i: int) -> Array:
    """Return which entries of a gradient are not those of a graph."""
    m, g = user_gradients[i], graph.at_point.grads[i]
    return np.abs(m - g) > graph.rounding[i] if m.shape == g.shape else np.ones(m.shape, bool)


def _differentiate_by_graph(
    code: Code, leaves: list[Array], cotangents: list[Array], with_guards: bool = True
) -> tuple[list[Array], list[Array]]:
    grads = run_graph(code, leaves, cotangents, with_guards).grads
    return grads, [np.zeros(g.shape) for g in grads]


def _differentiate_numerically(
    code: Code, leaves: list[Array], cotangents: list[Array], with_guards: bool = True
) -> tuple[list[Array], list[Array]]:
    with nullcontext() if with_guards else smaller_constants(np.float64, code.source):
        line = Line(lambda *xs: code.arrays(xs), leaves, may_round=True)
        numerical = differentiate_inputs(line, cotangents, np.random.default_rng(0), PROBE_SECONDS, SAMPLES)
    return [w.value for w in numerical], [w.error for w in numerical]


def _right_gradients(code: Code, leaves: list[Array], cotangents: list[Array]) -> tuple[list[Array], list[Array]]:
    """Return the gradients by the graph, or numerical ones if there is none, and bounds of their errors."""
    outs, rng = code.arrays([x.copy() for x in leaves]), np.random.default_rng(0)
    at = ComparisonInput(code, leaves, leaves, outs, cotangents, None, [], numerical_line(code, leaves), rng)
    graph = _run_on_tensors(at)[1]
    if graph is None:
        return _differentiate_numerically(code, leaves, cotangents)
    return graph.grads, [np.zeros(g.shape) for g in graph.grads]


def _compute_rows(
    comparison: ComparisonInput, sides: Sides, rounding: list[Array]
) -> tuple[list[Row], list[Array], list[int]]:
    user_gradients, line, cotangents, rng = (
        comparison.user_gradients,
        comparison.line,
        comparison.cotangents,
        comparison.rng,
    )
    with Budget(SECONDS) as budget:
        graph, parted = sides.at_point, sides.differs_between_sides(rounding)
        if graph.grads:
            line.along({0: np.ones_like(line.leaves[0])}, cotangents, None)
    entries = int(min(24, max(3, budget.remaining / max(budget.spent, 1e-9) / len(user_gradients) - DIRECTIONS)))
    rows, wrong_masks, kinks = [], [], []
    for i, (m, g, bound) in enumerate(zip(user_gradients, graph.grads, rounding, strict=True)):
        kink_count = [0]

        def judge(
            index: Any, i: int = i, kink_count: list[int] = kink_count, bound: Array = bound, g: Array = g
        ) -> CheckedEntry:
            v = np.zeros_like(line.leaves[i])
            size = max(1.0, abs(line.leaves[i][index]))
            v[index] = size
            slope = line.along({i: v}, cotangents, None)
            kink = slope.kink == "a kink at the point"
            kink_count[0] += kink
            allowed = 10 * slope.error / size + float(bound[index]) + 1e-10 * float(np.abs(g[index]))
            return CheckedEntry(slope.value / size, allowed, kink or g.dtype.kind == "c" or not line.steady)

        directions = []
        for _ in range(DIRECTIONS if line.steady else 0):
            v = rng.normal(size=g.shape) * np.maximum(1.0, np.abs(line.leaves[i]))
            v = v * np.exp(2j * rng.normal(size=g.shape)) if g.dtype.kind == "c" else v
            v = np.where(parted[i], 0, v)  # not through kinks: a small one beside large slopes would go unnoticed
            slope = line.along({i: v}, cotangents, None)
            if slope.kink != "a kink at the point" and math.isfinite(slope.value):
                allowed = 10 * slope.error + float((bound * np.abs(v)).sum()) + 1e-10 * float(np.abs(g * v).sum())
                directions.append((inner_product(g, v), slope.value, allowed))
        pair = ArrayPair(comparison.label(i), "input", m, g, bound)
        row, wrong_mask = compare_row(pair, judge, rng, entries, directions)
        rows.append(row)
        wrong_masks.append(wrong_mask)
        kinks.append(kink_count[0])
    return rows, wrong_masks, kinks


def _compute_probes(
    comparison: ComparisonInput, with_guards: bool = True
) -> list[tuple[list[Array], Traced, list[Array]]]:
    """Return the results at other inputs: the user's gradients, the graph, the right gradients."""
    probes, code = [], comparison.code
    for _ in range(2 if code.backward is None or callable(code.backward) else 0):
        moved = comparison.nearby()
        try:
            with recording(False):
                cotangents, g = comparison.cotangents_at(moved)
            graph = run_graph(code, moved, cotangents, with_guards)
            user_gradients = code.gradients(moved, g)
        except Exception:  # user code may raise anything for inputs that it was not made for
            continue
        if all(np.isfinite(x).all() for x in (*user_gradients, *graph.grads)):
            probes.append((user_gradients, graph.trace, graph.grads))
    return probes


def _side_effects(
    comparison: ComparisonInput, repeated_gradients: list[list[Array]], changed_labels: list[str],
    is_cotangent_changed: bool, right_gradients: list[Array], rounding: Sequence[Array] = (),
) -> list[Diagnosis]:  # fmt: skip
    """Return the diagnoses of side effects of the backward, and of a cotangent that it ignores or wrote into."""
    diagnoses = []
    if changed_labels:
        diagnoses.append(
            Diagnosis(
                "inplace_overwrite",
                changed_labels[0],
                f"The backward wrote into its inputs: {', '.join(changed_labels)}. Make a new "
                "array: `x = x * m` instead of `x *= m`.",
                tuple(f"the call changed {name}" for name in changed_labels),
            )
        )
    unsteady = unsteady_diagnosis(
        [comparison.user_gradients, *repeated_gradients],
        comparison.labels,
        "Pass the random numbers in, or fix their seed.",
        rounding,
    )
    if unsteady is not None and is_cotangent_changed:
        text = ("The backward wrote into the upstream gradient that it was given. So with the same array a second call "
                "returns something else, and other code that uses this gradient gets wrong numbers. Write into a "
                "copy of it, made with `.copy()`.")  # fmt: skip
        diagnoses.append(Diagnosis("inplace_overwrite", "the upstream gradient", text, unsteady.evidence))
    elif unsteady is not None:
        diagnoses.append(unsteady)
    elif comparison.code.takes_cotangents and any(np.any(np.nan_to_num(x)) for x in right_gradients):
        leaves, rebuild = flatten(comparison.g)
        scaled_gradients = comparison.code.gradients(comparison.input_arrays, rebuild([x * -1.75 for x in leaves]))
        is_same = [
            np.array_equal(a, b) and bool(np.any(a)) and bool(np.any(np.nan_to_num(r)))
            for a, b, r in zip(comparison.user_gradients, scaled_gradients, right_gradients, strict=True)
        ]
        if any(is_same):
            names = ", ".join(label for label, s in zip(comparison.labels, is_same, strict=True) if s)
            diagnoses.append(Diagnosis(
                "cotangent_ignored", names, "The gradient is the same whatever g is. g is the upstream gradient from "
                "what is computed with the result, and every gradient must be multiplied by it, by the chain rule.",
                ("with g, and with -1.75 g, the backward returns the same numbers",), r"\bar x = J^T g", "",
            ))  # fmt: skip
    return diagnoses


def _blind_diagnosis(comparison: ComparisonInput, result: ComparisonResult, notes: list[str]) -> list[Diagnosis]:
    """Return a diagnosis if all right gradients are 0, so that no mistake shows; else note the inputs whose is 0."""
    if all(result.no_effect):
        largest = max(float(np.abs(np.nan_to_num(g)).max(initial=0)) for g in result.right_gradients)
        return [blind_diagnosis(comparison.labels, largest)]
    notes += [f"The result does not depend on {row.name} here: its gradient is 0 in every entry, and an error that "
              "multiplies 0 cannot be seen." for row, z in zip(result.rows, result.no_effect, strict=True)
              if z]  # fmt: skip
    return []


def _shape_diagnoses(comparison: ComparisonInput, kept_shapes: dict[int, tuple[int, ...]]) -> list[Diagnosis]:
    """Return the diagnoses, which are harmless, of gradients whose shape differs only by axes of length 1 in front."""
    where: dict[tuple[str, str], list[str]] = {}
    for i, shape in kept_shapes.items():
        d = only_shape_diagnosis(comparison.label(i), shape, comparison.float64_inputs[i].shape)
        where.setdefault((d.kind, d.text), []).append(d.where)
    return [Diagnosis(kind, ", ".join(labels), text) for (kind, text), labels in where.items()]


def _no_value(name: str, outs: list[Array]) -> ComparisonReport:
    problem = (
        "returns nothing that is made of floats" if not outs else "is not finite (NaN or infinity) at these inputs"
    )
    diagnosis = no_value_diagnosis(name, f"The function {problem}", "choose inputs inside the domain of the function.")
    return ComparisonReport(name, (), (diagnosis,), name)
