"""The comparison for any function: the user's backward, the graph and the numerical road, input by input."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np

from ...gradcheck.numerical import SAFETY, Line, inner_product, to_double
from ...node import recording
from ...tensor import Tensor, raw
from ...transforms import new_input
from ...tree import flatten
from .. import guards
from ..behaviour import UNSTEADY, no_value_diagnosis, same_results, unsteady_diagnosis
from ..budget import Budget
from ..conventions.code import Code, kept_draws
from ..conventions.reasons import Reason, disconnected, why_disconnected
from ..conventions.recognize import recognize_code
from ..conventions.samples import layout, with_samples
from ..diagnosis import Diagnosis, Row
from ..edits.running import copy_value
from ..experiment import own_generator
from ..numerical.full_gradients import differentiate_inputs
from ..numerical.precision import WIDE, measured_rounding, shaken_rounding
from ..numerical.sides import Run, Sides
from ..numerical.subgradients import Hull
from ..paths import Traced, gradients, traced
from ..report import ComparisonReport
from ..rows import ArrayPair, CheckedEntry, checked_entries, compare_row
from ..tiny_constants import largest_difference, smaller_constants, tiny_constant
from .black_box import PROBE_SECONDS, SAMPLES, compare_without_graph
from .gradient_data import GradientData
from .inputs_and_results import ComparisonInput, ComparisonResult, draw_cotangents, has_no_effect
from .lines import with_source_lines
from .locations import name_values, overflow_notes, recording_locations
from .operations import explain_graph, only_shape_diagnosis

Array = np.ndarray[Any, Any]

EPS = float(np.finfo(np.float64).eps)
AROUND = 3  # how many sides of the point each gradient is computed on
SECONDS = 1.5  # about how long the numerical road may take
DIRECTIONS = 3
SMALLER = 256.0  # longdouble has 11 more bits than float64: errors that are this many times smaller in it were rounding
SAME = 0.1  # of the largest entry: a guard such as 1e-8 changes the right gradient by less


def run_graph(code: Code, leaves: Sequence[Array], cotangents: Sequence[Array]) -> Run:
    """Run a function on Tensors and walk back from its results."""
    outs, trace = _trace(code, leaves, cotangents)
    return Run(outs, trace, gradients(trace))


def _trace(code: Code, leaves: Sequence[Array], cotangents: Sequence[Array]) -> tuple[list[Array], Traced]:
    """Run a function on Tensors; return its results and its graph."""
    with recording(True):
        tensors = [new_input(x) for x in leaves]
        for i, t in zip(code.inputs.float_indices, tensors, strict=True):
            t.name = code.inputs.labels[i]
        results = code.outs(tensors)
    connected = [(out.node, np.asarray(c, out.data.dtype)) for out, c in zip(results, cotangents, strict=False)
                 if isinstance(out, Tensor) and out.node is not None]  # fmt: skip
    trace = traced(connected, [t.node for t in tensors])  # type: ignore[misc]
    return [np.asarray(raw(out)) for out in results], trace


def compare_function(f: Callable[..., Any], user_inputs: Any, *, manual: Any, rng: Any = 0) -> ComparisonReport:
    """Compare the user's backward with the graph and the numerical road; see `compare_gradients`."""
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
        line = Line(lambda *xs: code.arrays(xs), float64_inputs, may_round=True)
        line.doubts = measured_rounding(
            lambda cast: code.cast(cast).arrays([cast(x) for x in float64_inputs]), line.outs)  # fmt: skip
        comparison = ComparisonInput(
            code, input_arrays, float64_inputs, outs, cotangents, g, code.gradients_from(returned), line, generator
        )
        repeated_gradients = [code.gradients(input_arrays, g) for _ in range(2)]
        parts, parts_before = flatten(g)[0], flatten(cotangent_copy)[0]
        is_cotangent_changed = not same_results(parts, parts_before)
        for part, before in zip(parts, parts_before, strict=True):
            if is_cotangent_changed and isinstance(part, np.ndarray):
                part[...] = before
        graph, reason = _run_on_tensors(comparison)
        result = compare_without_graph(comparison, reason) if graph is None else _compare_with_graph(comparison, graph)
        kept_shapes = {} if code.pairing is None else code.pairing.kept_shapes
        diagnoses = [
            *_side_effects(
                comparison, repeated_gradients, changed_labels, is_cotangent_changed, result.right_gradients
            ),
            *result.diagnoses,
        ]
        if not any(d.kind in ("inplace_overwrite", "cotangent_ignored", *UNSTEADY) for d in diagnoses):
            compute_right = _differentiate_numerically if graph is None else _differentiate_by_graph
            diagnoses = with_source_lines(comparison, result, compute_right, diagnoses, (f, user_inputs, manual))
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


def _run_on_tensors(comparison: ComparisonInput) -> tuple[Run | None, Reason]:
    """Return the run on Tensors, or None and the reason: it fails, or its graph lacks an input that has an effect."""
    code, line = comparison.code, comparison.line
    try:
        with recording_locations():
            graph = run_graph(code, comparison.float64_inputs, comparison.cotangents)
        name_values(graph.trace)
    except Exception as error:  # a function that was never meant for Tensors may raise anything
        return None, why_disconnected(error, code.source)
    reached = {parent for node in graph.trace.operations for parent in node.parents or ()}
    reached |= {node for node, _ in graph.trace.outs}
    unreached = []
    for i, node in enumerate(graph.trace.inputs):
        if node not in reached and line.steady and comparison.float64_inputs[i].size:
            v = comparison.rng.normal(size=comparison.float64_inputs[i].shape) * np.maximum(
                1.0, np.abs(comparison.float64_inputs[i])
            )
            slope = line.along({i: v}, comparison.cotangents, None)
            if abs(slope.value) > SAFETY * slope.error:
                unreached.append(comparison.label(i))
    return (None, disconnected(", ".join(unreached))) if unreached else (graph, Reason(""))


def _compare_with_graph(comparison: ComparisonInput, graph: Run) -> ComparisonResult:
    """Compare the user's backward with the graph, and the graph with numerical derivatives."""
    code, rng = comparison.code, comparison.rng
    sides, rounding = _sides_and_rounding(comparison, graph)
    both = [graph.grads, comparison.user_gradients]
    for i, is_zero in enumerate(has_no_effect(comparison.line.outs, comparison.float64_inputs, both)):
        m, g = comparison.user_gradients[i], graph.grads[i]
        if is_zero and m.shape == g.shape and np.isfinite(m + g).all():  # both are 0 up to the rounding of sums
            rounding[i] = rounding[i] + np.abs(m) + np.abs(g)
    rows, wrong_masks, kinks = _compute_rows(comparison, sides, rounding)
    probes = _compute_probes(comparison) if code.backward is None or callable(code.backward) else []
    tiny = tiny_constant(code.source, code.backward)
    # each is asked only if the one before does not explain the difference, since each runs the function again
    wrong = {i for i, mask in enumerate(wrong_masks) if mask.any()}
    guard, factors = _effects_of_guards(comparison, graph, wrong)
    is_open = not wrong <= factors.keys()
    right_in = _wider_dtype_in_which_it_is_right(comparison, graph, rounding) if is_open else ""
    is_open = is_open and not right_in and bool(tiny)
    data = GradientData(
        code.inputs,
        comparison.user_gradients,
        graph.grads,
        rounding,
        wrong_masks,
        graph.trace,
        comparison.float64_inputs,
        probes,
        trace_at=lambda moved: _trace(code, moved, comparison.cotangents)[1],
        tiny=tiny,
        right_in=right_in,
        guard=guard,
        without_guard=factors,
        tiny_is_cause=is_open and _is_right_with_smaller_constants(comparison, graph.grads),
    )
    diagnoses = explain_graph(data, rows, Hull(sides, rounding, rng).right_at_kink(comparison.user_gradients))
    notes = [f"{row.name}: at a kink, where the derivative is a convention, the numerical road was not asked."
             for row, k in zip(rows, kinks, strict=True) if k]  # fmt: skip
    notes += overflow_notes(graph.trace)
    checked, size = checked_entries(rows)
    methods = "complex step, or extrapolated differences where the function takes no complex numbers,"
    method = (f"Numerical: {methods} in float64 at {checked:,} of {size:,} entries, the worst of each array among "
              f"them, and along {DIRECTIONS} random directions of each input.")  # fmt: skip
    seen = [graph.grads, *sides.limits(), *([comparison.user_gradients] if factors else [])]
    no_effect = has_no_effect(comparison.line.outs, comparison.float64_inputs, seen)
    error = [np.zeros(x.shape) for x in rounding]
    return ComparisonResult(
        rows, diagnoses, graph.grads, notes, method, no_effect, error, sides.differs_between_sides(rounding)
    )


def _machine_epsilon(comparison: ComparisonInput) -> float:
    """Return the machine epsilon of float32 if any input is less precise than float64, else that of float64."""
    has_float32 = any(x.dtype.itemsize // (1 + (x.dtype.kind == "c")) < 8 for x in comparison.input_arrays)
    return float(np.finfo(np.float32).eps) if has_float32 else EPS


def _sides_and_rounding(comparison: ComparisonInput, graph: Run) -> tuple[Sides, list[Array]]:
    """Return the gradients of the graph on several sides of the point, and bounds of the rounding of a right one.

    The rounding of terms that cancel is looked at only if the user's gradients are not within the other bounds.
    """
    code = comparison.code
    eps = _machine_epsilon(comparison)
    sides = Sides(lambda moved: run_graph(code, moved, comparison.cotangents), comparison.float64_inputs, graph, eps)
    sides.look_around(comparison.rng, AROUND)
    rounding = sides.rounding()
    if eps == EPS:
        measured = measured_rounding(
            lambda cast: (
                run_graph(code.cast(cast), [cast(x) for x in comparison.float64_inputs], comparison.cotangents).grads
            ),
            graph.grads,
        )
        rounding = [a + b for a, b in zip(rounding, measured, strict=True)]
    if not _are_within(comparison.user_gradients, graph.grads, rounding):
        shaken = shaken_rounding(graph.trace, graph.grads, eps, comparison.rng)
        rounding = [np.maximum(a, b) for a, b in zip(rounding, shaken, strict=True)]
    return sides, rounding


def _wider_dtype_in_which_it_is_right(comparison: ComparisonInput, graph: Run, rounding: list[Array]) -> str:
    """Return "float64" or "longdouble" if the user's gradients are right when the inputs are passed in it, else ""."""
    arrays, first = comparison.input_arrays, comparison.user_gradients
    if any(m.shape != g.shape or not np.isfinite(m - g).all() for m, g in zip(first, graph.grads, strict=True)):
        return ""
    for wider in ("float64", *(["longdouble"] if WIDE else [])):
        inputs = [x.astype(np.result_type(x.dtype, wider)) for x in arrays]
        if [x.dtype for x in inputs] == [x.dtype for x in arrays]:
            continue
        try:
            user_gradients = comparison.code.gradients(inputs, comparison.g)
        except Exception:  # user code may raise anything, and np.linalg refuses longdouble
            return ""
        if wider == "float64":
            rng = np.random.default_rng(0)
            again = comparison._replace(input_arrays=inputs, user_gradients=user_gradients, rng=rng)
            bounds = _sides_and_rounding(again, graph)[1]
        else:  # 1 - r for an r near 1 loses digits in longdouble too, but SMALLER times less
            errors = [np.abs(m - g) for m, g in zip(first, graph.grads, strict=True)]
            bounds = [np.maximum(bound, np.maximum(e / SMALLER, e.max(initial=0.0) / SMALLER**2))
                      for bound, e in zip(rounding, errors, strict=True)]  # fmt: skip
        return wider if _are_within(user_gradients, graph.grads, bounds) else ""
    return ""


def _are_within(user_gradients: Sequence[Array], grads: Sequence[Array], bounds: Sequence[Array]) -> bool:
    """Tell whether the user's gradients are the graph's, within some bounds."""
    return all(m.shape == g.shape and bool((np.abs(m - g) <= bound).all())
               for m, g, bound in zip(user_gradients, grads, bounds, strict=True))  # fmt: skip


def _effects_of_guards(
    comparison: ComparisonInput, graph: Run, wrong: Collection[int]
) -> tuple[float, dict[int, float]]:
    """Return the largest constant such as 1e-8 in a graph, and the wrong gradients that are right without it.

    Each has the factor by which the inputs must be multiplied before it is right: 1, or a number below it.
    """
    guard = guards.largest_guard(graph.trace.operations) if wrong else 0.0
    return guard, guards.excused_by_guards(wrong, _trials(comparison))[0] if guard else {}


def _trials(comparison: ComparisonInput) -> Iterator[guards.Trial]:
    """Yield which gradients are right without constants such as 1e-8, also for smaller inputs."""
    try:
        yield _without_guards(comparison, 1.0, comparison.float64_inputs, comparison.user_gradients)
        for factor, inputs in guards.smaller_inputs(comparison.input_arrays):
            user_gradients = comparison.code.gradients(inputs, comparison.g)
            yield _without_guards(comparison, factor, [to_double(x) for x in inputs], user_gradients)
    except Exception:  # user code may raise anything for inputs that it was not made for
        return


def _without_guards(
    comparison: ComparisonInput, factor: float, float64_inputs: list[Array], user_gradients: list[Array]
) -> guards.Trial:
    """Tell which gradients are those of the function without constants such as 1e-8, and not all 0."""
    eps, rng = _machine_epsilon(comparison), np.random.default_rng(0)

    def run(moved: Sequence[Array], cast: Callable[[Any], Any] = lambda x: x) -> Run:
        outs, trace = _trace(comparison.code.cast(cast), [cast(x) for x in moved], comparison.cotangents)
        unguarded = guards.trace_without_guards(trace) or trace
        return Run(outs, unguarded, gradients(unguarded))

    at_point = run(float64_inputs)
    sides = Sides(run, float64_inputs, at_point, eps)
    sides.look_around(rng, AROUND)
    shaken = shaken_rounding(at_point.trace, at_point.grads, eps, rng)
    bounds = [np.maximum(a, b) for a, b in zip(sides.rounding(), shaken, strict=True)]
    if not _are_within(user_gradients, at_point.grads, bounds):  # longdouble is slow
        measured = measured_rounding(lambda cast: run(float64_inputs, cast).grads, at_point.grads)
        bounds = [a + b for a, b in zip(bounds, measured, strict=True)]
    each = enumerate(zip(user_gradients, at_point.grads, bounds, strict=True))
    known = {i for i, (_, g, bound) in each if guards.are_known([bound], [g], eps) and np.any(g)}
    right = {i for i in known if _are_within(user_gradients[i : i + 1], at_point.grads[i : i + 1], bounds[i : i + 1])}
    is_beyond = guards.is_beyond_guard(_trace(comparison.code, float64_inputs, comparison.cotangents)[1].operations)
    return guards.Trial(factor, right, set() if is_beyond else known)


def _is_right_with_smaller_constants(comparison: ComparisonInput, right_gradients: Sequence[Array]) -> bool:
    """Tell whether all gradients are right if constants such as 1e-8 are smaller in both passes.

    The right ones must stay what they are: if they become 0 or very different, the constant was no guard.
    """
    code = comparison.code
    try:
        dtype = np.result_type(*comparison.input_arrays)
        with smaller_constants(dtype, code.source, code.backward):
            user_gradients = code.gradients(comparison.input_arrays, comparison.g)
            graph = run_graph(code, comparison.float64_inputs, comparison.cotangents)
            comparison = comparison._replace(rng=np.random.default_rng(0), user_gradients=user_gradients)
            _, rounding = _sides_and_rounding(comparison, graph)
    except Exception:  # user code may raise anything, such as a division of floats by 0
        return False
    is_same = largest_difference([*zip(graph.grads, right_gradients, strict=True)]) < SAME
    return is_same and _are_within(user_gradients, graph.grads, rounding)


def _differentiate_by_graph(
    code: Code, leaves: list[Array], cotangents: list[Array]
) -> tuple[list[Array], list[Array]]:
    grads = run_graph(code, leaves, cotangents).grads
    return grads, [np.zeros(g.shape) for g in grads]


def _differentiate_numerically(
    code: Code, leaves: list[Array], cotangents: list[Array]
) -> tuple[list[Array], list[Array]]:
    line = Line(lambda *xs: code.arrays(xs), leaves, may_round=True)
    numerical = differentiate_inputs(line, cotangents, np.random.default_rng(0), PROBE_SECONDS, SAMPLES)
    return [w.value for w in numerical], [w.error for w in numerical]


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


def _compute_probes(comparison: ComparisonInput) -> list[tuple[list[Array], Traced, list[Array]]]:
    """Return the results at other inputs: the user's gradients, the graph, the right gradients."""
    probes, code = [], comparison.code
    for _ in range(2):
        moved = comparison.nearby()
        try:
            with recording(False):
                cotangents, g = comparison.cotangents_at(moved)
            graph = run_graph(code, moved, cotangents)
            user_gradients = code.gradients(moved, g)
        except Exception:  # user code may raise anything for inputs that it was not made for
            continue
        if all(np.isfinite(x).all() for x in (*user_gradients, *graph.grads)):
            probes.append((user_gradients, graph.trace, graph.grads))
    return probes


def _side_effects(
    comparison: ComparisonInput, repeated_gradients: list[list[Array]], changed_labels: list[str],
    is_cotangent_changed: bool, right_gradients: list[Array],
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
    )
    if unsteady is not None and is_cotangent_changed:
        text = ("The backward wrote into the upstream gradient that it was given. So with the same array a second call "
                "returns something else, and other code that uses this gradient gets wrong numbers. Make a copy first: "
                "`dout = dout.copy()`.")  # fmt: skip
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
        return [Diagnosis(
            "blind_test", ", ".join(comparison.labels),
            "The right gradient is 0 in every entry, so an error that multiplies it cannot be seen: this test would "
            "pass almost any backward. The sum of a softmax is always 1, for instance. Compare another function of the "
            "result, such as its sum with random weights, or let the backward take a cotangent g.",
            (f"the largest entry of the right gradient is {largest:.1e}",),
        )]  # fmt: skip
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
