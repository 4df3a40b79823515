"""The comparison for any function: the user's backward, the graph and the numerical road, input by input."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...gradcheck.numerical import SAFETY, Line, inner_product, to_double
from ...node import recording
from ...tensor import Tensor, raw
from ...transforms import new_input
from ...tree import flatten
from ..behaviour import MOVING, is_unsteady, same_results
from ..budget import Budget
from ..conventions.code import Code
from ..conventions.reasons import Reason, disconnected, why_disconnected
from ..conventions.recognize import recognize_code
from ..conventions.samples import layout, with_samples
from ..diagnosis import Diagnosis, Row
from ..edits.running import copy_value
from ..experiment import own_generator
from ..numerical.full_gradients import whole_gradients
from ..numerical.precision import measured_rounding
from ..numerical.sides import Run, Sides
from ..numerical.subgradients import Hull
from ..paths import Traced, gradients, traced
from ..report import ComparisonReport
from ..rows import Checked, Comparison, checked_entries, compare_row
from .advice import GradientData
from .black_box import PROBE_SECONDS, SAMPLES, compare_without_graph
from .lines import with_source_lines
from .locations import name_values, recording_locations
from .operations import explain_graph
from .question import ComparisonInput, ComparisonResult, draw_cotangents, has_no_effect

Array = np.ndarray[Any, Any]

EPS = float(np.finfo(np.float64).eps)
AROUND = 3  # how many sides of the point each gradient is computed on
SECONDS = 1.5  # about how long the numerical road may take
DIRECTIONS = 3


def by_graph(code: Code, leaves: Sequence[Array], cotangents: Sequence[Array]) -> Run:
    """Run a function on Tensors and walk back from its results."""
    outs, trace = _trace(code, leaves, cotangents)
    return Run(outs, trace, gradients(trace))


def _trace(code: Code, leaves: Sequence[Array], cotangents: Sequence[Array]) -> tuple[list[Array], Traced]:
    """Run a function on Tensors; return its results and its graph."""
    with recording(True):
        tensors = [new_input(x) for x in leaves]
        for i, t in zip(code.inputs.moving, tensors, strict=True):
            t.name = code.inputs.labels[i]
        found = code.outs(tensors)
    live = [(out.node, np.asarray(c, out.data.dtype)) for out, c in zip(found, cotangents, strict=False)
            if isinstance(out, Tensor) and out.node is not None]  # fmt: skip
    trace = traced(live, [t.node for t in tensors])  # type: ignore[misc]
    return [np.asarray(raw(out)) for out in found], trace


def compare_function(f: Callable[..., Any], given: Any, *, manual: Any, rng: Any = 0) -> ComparisonReport:
    """Compare the user's backward with the graph and the numerical road; see `compare_gradients`."""
    generator = own_generator(rng)
    with np.errstate(all="ignore"), recording(False):
        code = recognize_code(f, given, manual)
        leaves = [to_double(code.inputs.leaves[i]) for i in code.inputs.moving]
        outs = code.arrays([x.copy() for x in leaves])
        if not outs or not all(np.isfinite(out).all() for out in outs):
            return _no_value(code.name, outs)
        cotangents, g, cot_note = draw_cotangents(code, leaves, outs, generator)
        own = [code.inputs.leaves[i] for i in code.inputs.moving]
        passed, arriving = [x.copy() for x in own], copy_value(g, {})
        returned = code.back(code.inputs, passed, g)
        changed = [code.inputs.labels[i] for i, a, b in zip(code.inputs.moving, own, passed, strict=True)
                   if not np.array_equal(a, b, equal_nan=True)]  # fmt: skip
        code = code.paired(returned)
        own = [code.inputs.leaves[i] for i in code.inputs.moving]
        leaves = [to_double(x) for x in own]
        line = Line(lambda *xs: code.arrays(xs), leaves)
        line.doubts = measured_rounding(
            lambda cast: code.cast(cast).arrays([cast(x) for x in leaves]), line.outs)  # fmt: skip
        asked = ComparisonInput(code, own, leaves, outs, cotangents, g, code.taken(returned), line, generator)
        again = [code.gradients(own, g) for _ in range(2)]
        parts, parts_before = flatten(g)[0], flatten(arriving)[0]
        written = not same_results(parts, parts_before)
        for part, before in zip(parts, parts_before, strict=True):
            if written and isinstance(part, np.ndarray):
                part[...] = before
        graph, reason = _graph(asked)
        found = compare_without_graph(asked, reason) if graph is None else _compare_with_graph(asked, graph)
        diagnoses = [*_side_effects(asked, again, changed, written, found.right), *found.diagnoses]
        if not any(d.kind in ("inplace_overwrite", "cotangent_ignored", *MOVING) for d in diagnoses):
            elsewhere = _by_numbers if graph is None else _by_graph_alone
            diagnoses = with_source_lines(asked, found, elsewhere, diagnoses, (f, given, manual))
    if any(d.kind in ("inplace_overwrite", "cotangent_ignored", *MOVING) for d in diagnoses):
        diagnoses = [d for d in diagnoses if d.kind not in ("unknown", "scale")]
    notes = [note for note in (cot_note, *code.notes) if note]
    if not line.steady:
        notes.append("The function itself gave two different results for the same inputs, so the numerical road is "
                     "noise: something random is drawn inside it. Pass a mask in, or fix the seed.")  # fmt: skip
    samples = layout(code.inputs.labels, code.inputs.leaves)
    diagnoses = with_samples(diagnoses, samples)
    notes += [f"S{samples.sentence[1:]}."] if samples is not None and samples.axis else []
    diagnoses += _blind_diagnosis(asked, found, notes)
    first = next((d.where for d in diagnoses if not d.harmless), None)
    title = f"{code.name}({', '.join(code.inputs.names)})"
    notes += found.notes
    return ComparisonReport(title, tuple(found.rows), tuple(diagnoses), first, tuple(notes), {}, found.method)


def _graph(asked: ComparisonInput) -> tuple[Run | None, Reason]:
    """Return the run on Tensors, or None and the reason: it fails, or its graph lacks an input that has an effect."""
    code, line = asked.code, asked.line
    try:
        with recording_locations():
            graph = by_graph(code, asked.leaves, asked.cotangents)
        name_values(graph.trace)
    except Exception as error:  # a function that was never meant for Tensors may raise anything
        return None, why_disconnected(error, code.source)
    met = {parent for node in graph.trace.operations for parent in node.parents or ()}
    met |= {node for node, _ in graph.trace.outs}
    lost = []
    for i, node in enumerate(graph.trace.inputs):
        if node not in met and line.steady and asked.leaves[i].size:
            v = asked.rng.normal(size=asked.leaves[i].shape) * np.maximum(1.0, np.abs(asked.leaves[i]))
            slope = line.along({i: v}, asked.cotangents, None)
            if abs(slope.value) > SAFETY * slope.error:
                lost.append(asked.label(i))
    return (None, disconnected(", ".join(lost))) if lost else (graph, Reason(""))


def _compare_with_graph(asked: ComparisonInput, graph: Run) -> ComparisonResult:
    """Compare the user's backward with the graph, and the graph with numerical derivatives."""
    code, rng = asked.code, asked.rng
    single = any(x.dtype.itemsize // (1 + (x.dtype.kind == "c")) < 8 for x in asked.own)
    eps = float(np.finfo(np.float32).eps) if single else EPS
    sides = Sides(lambda moved: by_graph(code, moved, asked.cotangents), asked.leaves, graph, eps)
    sides.look_around(rng, AROUND)
    rounding = sides.rounding()
    if not single:
        inside = measured_rounding(lambda cast: by_graph(code.cast(cast), [cast(x) for x in asked.leaves],
                                                         asked.cotangents).grads, graph.grads)  # fmt: skip
        rounding = [a + b for a, b in zip(rounding, inside, strict=True)]
    rows, bads, kinks = _rows(asked, sides, rounding)
    probes = _probes(asked) if code.backward is None or callable(code.backward) else []
    data = GradientData(code.inputs, asked.mine, graph.grads, rounding, bads, graph.trace, asked.leaves, probes,
                again=lambda moved: _trace(code, moved, asked.cotangents)[1])  # fmt: skip
    diagnoses = explain_graph(data, rows, Hull(sides, rounding, rng).here(asked.mine))
    notes = [f"{row.name}: at a kink, where the derivative is a convention, the numerical road was not asked."
             for row, k in zip(rows, kinks, strict=True) if k]  # fmt: skip
    checked, size = checked_entries(rows)
    methods = "complex step, or extrapolated differences where the function takes no complex numbers,"
    method = (f"Numerical: {methods} in float64 at {checked:,} of {size:,} entries, the worst of each array among "
              f"them, and along {DIRECTIONS} random directions of each input.")  # fmt: skip
    blind = has_no_effect(asked.line.outs, asked.leaves, [graph.grads, *sides.limits()])
    error = [np.zeros(x.shape) for x in rounding]
    return ComparisonResult(rows, diagnoses, graph.grads, notes, method, blind, error, sides.parted(rounding))


def _by_graph_alone(code: Code, leaves: list[Array], cotangents: list[Array]) -> tuple[list[Array], list[Array]]:
    grads = by_graph(code, leaves, cotangents).grads
    return grads, [np.zeros(g.shape) for g in grads]


def _by_numbers(code: Code, leaves: list[Array], cotangents: list[Array]) -> tuple[list[Array], list[Array]]:
    line = Line(lambda *xs: code.arrays(xs), leaves)
    wholes = whole_gradients(line, cotangents, np.random.default_rng(0), PROBE_SECONDS, SAMPLES)
    return [w.value for w in wholes], [w.error for w in wholes]


def _rows(asked: ComparisonInput, sides: Sides, rounding: list[Array]) -> tuple[list[Row], list[Array], list[int]]:
    mine, line, cotangents, rng = asked.mine, asked.line, asked.cotangents, asked.rng
    with Budget(SECONDS) as budget:
        graph, parted = sides.here, sides.parted(rounding)
        if graph.grads:
            line.along({0: np.ones_like(line.leaves[0])}, cotangents, None)
    entries = int(min(24, max(3, budget.left / max(budget.spent, 1e-9) / len(mine) - DIRECTIONS)))
    rows, bads, kinks = [], [], []
    for i, (m, g, bound) in enumerate(zip(mine, graph.grads, rounding, strict=True)):
        met = [0]

        def judge(index: Any, i: int = i, met: list[int] = met, bound: Array = bound, g: Array = g) -> Checked:
            v = np.zeros_like(line.leaves[i])
            size = max(1.0, abs(line.leaves[i][index]))
            v[index] = size
            found = line.along({i: v}, cotangents, None)
            kink = found.kink == "a kink at the point"
            met[0] += kink
            allowed = 10 * found.error / size + float(bound[index]) + 1e-10 * float(np.abs(g[index]))
            return Checked(found.value / size, allowed, kink or g.dtype.kind == "c" or not line.steady)

        along = []
        for _ in range(DIRECTIONS if line.steady else 0):
            v = rng.normal(size=g.shape) * np.maximum(1.0, np.abs(line.leaves[i]))
            v = v * np.exp(2j * rng.normal(size=g.shape)) if g.dtype.kind == "c" else v
            v = np.where(parted[i], 0, v)  # not through kinks: a small one beside large slopes would go unnoticed
            found = line.along({i: v}, cotangents, None)
            if found.kink != "a kink at the point" and math.isfinite(found.value):
                allowed = 10 * found.error + float((bound * np.abs(v)).sum()) + 1e-10 * float(np.abs(g * v).sum())
                along.append((inner_product(g, v), found.value, allowed))
        what = Comparison(asked.label(i), "input", m, g, bound)
        row, bad = compare_row(what, judge, rng, entries, along)
        rows.append(row)
        bads.append(bad)
        kinks.append(met[0])
    return rows, bads, kinks


def _probes(asked: ComparisonInput) -> list[tuple[list[Array], Traced, list[Array]]]:
    """Return the results at other inputs: the user's gradients, the graph, the right gradients."""
    found, code = [], asked.code
    for _ in range(2):
        moved = asked.nearby()
        try:
            with recording(False):
                cotangents, g = asked.cotangents_at(moved)
            graph = by_graph(code, moved, cotangents)
            mine = code.gradients(moved, g)
        except Exception:  # user code may raise anything for inputs that it was not made for
            continue
        if all(np.isfinite(x).all() for x in (*mine, *graph.grads)):
            found.append((mine, graph.trace, graph.grads))
    return found


def _side_effects(
    asked: ComparisonInput, again: list[list[Array]], changed: list[str], written: bool, right: list[Array]
) -> list[Diagnosis]:
    """Return the diagnoses of side effects of the backward, and of a cotangent that it ignores or wrote into."""
    found = []
    if changed:
        found.append(Diagnosis(
            "inplace_overwrite", changed[0], f"The backward wrote into its inputs: {', '.join(changed)}. Make a new "
            "array: `x = x * m` instead of `x *= m`.", tuple(f"the call changed {name}" for name in changed),
        ))  # fmt: skip
    moving = is_unsteady([asked.mine, *again], asked.labels, "Pass the random numbers in, or fix their seed.")
    if moving is not None and written:
        text = ("The backward wrote into the upstream gradient that it was given. So with the same array a second call "
                "returns something else, and other code that uses this gradient gets wrong numbers. Make a copy first: "
                "`dout = dout.copy()`.")  # fmt: skip
        found.append(Diagnosis("inplace_overwrite", "the upstream gradient", text, moving.evidence))
    elif moving is not None:
        found.append(moving)
    elif asked.code.takes and any(np.any(np.nan_to_num(x)) for x in right):
        leaves, rebuild = flatten(asked.g)
        once = asked.code.gradients(asked.own, rebuild([x * -1.75 for x in leaves]))
        same = [np.array_equal(a, b) and bool(np.any(a)) and bool(np.any(np.nan_to_num(r)))
                for a, b, r in zip(asked.mine, once, right, strict=True)]  # fmt: skip
        if any(same):
            names = ", ".join(label for label, s in zip(asked.labels, same, strict=True) if s)
            found.append(Diagnosis(
                "cotangent_ignored", names, "The gradient is the same whatever g is. g is the upstream gradient from "
                "what is computed with the result, and every gradient must be multiplied by it, by the chain rule.",
                ("with g, and with -1.75 g, the backward returns the same numbers",), r"\bar x = J^T g", "",
            ))  # fmt: skip
    return found


def _blind_diagnosis(asked: ComparisonInput, found: ComparisonResult, notes: list[str]) -> list[Diagnosis]:
    """Return a diagnosis if all right gradients are 0, so that no mistake shows; else note the inputs whose is 0."""
    if all(found.blind):
        largest = max(float(np.abs(np.nan_to_num(g)).max(initial=0)) for g in found.right)
        return [Diagnosis(
            "blind_test", ", ".join(asked.labels),
            "The right gradient is 0 in every entry, so an error that multiplies it cannot be seen: this test would "
            "pass almost any backward. The sum of a softmax is always 1, for instance. Compare another function of the "
            "result, such as its sum with random weights, or let the backward take a cotangent g.",
            (f"the largest entry of the right gradient is {largest:.1e}",),
        )]  # fmt: skip
    notes += [f"The result does not depend on {row.name} here: its gradient is 0 in every entry, and an error that "
              "multiplies 0 cannot be seen." for row, z in zip(found.rows, found.blind, strict=True)
              if z]  # fmt: skip
    return []


def _no_value(name: str, outs: list[Array]) -> ComparisonReport:
    what = "returns nothing that is made of floats" if not outs else "is not finite (NaN or infinity) at these inputs"
    text = (f"The function {what}, so there is no gradient and nothing to compare. NaN comes from 0/0, log of a "
            "negative number, or infinity minus infinity; choose inputs inside the domain of the "
            "function.")  # fmt: skip
    return ComparisonReport(name, (), (Diagnosis("blind_test", name, text),), name)
