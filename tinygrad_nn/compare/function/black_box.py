"""The comparison if the forward cannot run on Tensors: it runs on arrays, and its gradients are numerical only."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ...gradcheck.numerical import Line, inner_product, to_double
from ...node import Node
from ...primitive import sum_to
from ..conventions.reasons import Reason
from ..diagnosis import Diagnosis, Row
from ..numerical.full_gradients import DIRECTIONS, NumericalGradient, rounding_of, whole_gradients
from ..numerical.precision import measured_rounding
from ..numerical.sides import ULPS
from ..paths import Traced
from ..pattern import describe, list_text
from ..rows import checked_entries, judged_row
from .advice import CLOSE, GradientData
from .cotangents import other_cotangent
from .operations import explain_graph, is_harmless_shape
from .question import ComparisonInput, ComparisonResult, has_no_effect

Array = np.ndarray[Any, Any]

SECONDS, PROBE_SECONDS = 0.8, 0.2  # about how long the numerical road may take, at the given and at each other point
SAMPLES = 4  # entries of each input that are differentiated at other points


def compare_without_graph(asked: ComparisonInput, reason: Reason) -> ComparisonResult:
    """Compare the user's backward with numerical gradients; `reason` tells why there is no graph."""
    wholes = whole_gradients(asked.line, asked.cotangents, asked.rng, SECONDS)
    rounding = rounding_of(lambda moved: asked.code.gradients(moved, asked.g), asked.own, asked.mine, asked.rng, ULPS)
    inside = measured_rounding(
        lambda cast: asked.code.cast(cast).gradients([cast(x) for x in asked.own], asked.g), asked.mine)
    rounding = [a + b for a, b in zip(rounding, inside, strict=True)]
    rows, bads, right, bounds = [], [], [], []
    for i, (m, whole, allowed) in enumerate(zip(asked.mine, wholes, rounding, strict=True)):
        fits = m.shape == whole.value.shape
        allowed = allowed if fits else np.zeros(whole.value.shape)
        row, bad, reference = judged_row(asked.label(i), m, whole, allowed)
        off = fits and any(abs(inner_product(m, v) - slope) > bound + float((allowed * np.abs(v)).sum())
                           for v, slope, bound in whole.directions)  # fmt: skip
        row = replace(row, ok=False, odd="manual") if off else row
        rows.append(row if asked.line.steady else replace(row, ok=True, odd=""))
        bads.append(bad)
        right.append(reference)
        bounds.append(whole.error + allowed)
    diagnoses = _explain(asked, wholes, rows, bads, right, bounds)
    checked, size = checked_entries(rows)
    method = f"{reason.sentence[0].upper()}{reason.sentence[1:]}."
    notes = [reason.edit] if reason.edit else []
    ways = "every entry" if checked == size else (
        f"{checked:,} of {size:,} entries, drawn at random, and along {DIRECTIONS} random directions of each input")
    method += (f" Values by running it on arrays; derivatives by complex step, or extrapolated differences where it "
               f"takes no complex numbers, in float64, at {ways}.")  # fmt: skip
    notes += [f"{row.name}: {w.kinks} entries are at a kink, where any slope between those on both sides is right."
              for row, w in zip(rows, wholes, strict=True) if w.kinks]  # fmt: skip
    blind = has_no_effect(asked.line.outs, asked.leaves, [[w.value for w in wholes]])
    return ComparisonResult(rows, diagnoses, [w.value for w in wholes], notes, method, [
        b and not any(abs(slope) > bound for _, slope, bound in w.directions)
        for b, w in zip(blind, wholes, strict=True)], [w.error for w in wholes], [
            ~w.known | (w.low != w.high) for w in wholes])  # fmt: skip


def _explain(
    asked: ComparisonInput,
    wholes: list[NumericalGradient],
    rows: list[Row],
    bads: list[Array],
    right: list[Array],
    bounds: list[Array],
) -> list[Diagnosis]:
    """Return the diagnoses of the wrong gradients, as far as they can be found without a graph."""
    wrong = [i for i, row in enumerate(rows) if not row.ok]
    if not wrong:
        return []
    found: list[Diagnosis] = []
    mine = list(asked.mine)
    for i in wrong:
        if wholes[i].known.all():
            continue
        known = next((d for d, array in _shape_diagnoses(asked, i) if _agrees(array, wholes[i])), None)
        if known is None and mine[i].shape != right[i].shape:
            known = other_cotangent(asked, i, right[i], wholes[i].known)
        if known is None and mine[i].shape != right[i].shape:
            text = f"The gradient {rows[i].note}; it needs the shape of its input."
            known = Diagnosis("unknown", asked.label(i), text)
        if known is None and not bads[i].any():
            known = Diagnosis("unknown", asked.label(i), "The derivative along random directions is wrong, but the "
                              f"{rows[i].checked} entries that were checked are right: other entries must be wrong. "
                              "Compare smaller inputs, so that every entry can be checked.")  # fmt: skip
        if known is not None:
            found.append(known)
    left = [i for i in wrong if asked.label(i) not in {d.where for d in found}]
    if not left:
        return found
    fits = [m.shape == w.value.shape for m, w in zip(mine, wholes, strict=True)]
    shown = [np.where(w.known, m, 0.0) if ok else m for m, w, ok in zip(mine, wholes, fits, strict=True)]
    noise = max(float(np.nanmax(w.error) / (np.nanmax(np.abs(w.value)) or 1.0)) for w in wholes if w.value.size)
    data = GradientData(
        asked.code.inputs, shown, right, bounds, bads, empty_graph(asked.leaves), asked.leaves,
        _elsewhere(asked, left), max(CLOSE, noise),
    )  # fmt: skip
    ok = [row if i in left else replace(row, ok=True) for i, row in enumerate(rows)]
    for d in explain_graph(data, ok, [False] * len(rows)):
        i = asked.labels.index(d.where) if d.kind == "unknown" and d.where in asked.labels else -1
        told = other_cotangent(asked, i, right[i], wholes[i].known) if i >= 0 else None
        if told is not None:
            found.append(told)
            continue
        if i >= 0 and fits[i] and not wholes[i].known.all():
            d = replace(d, text=describe_known_entries(asked.label(i), mine[i], right[i], bads[i], wholes[i]))
        found.append(replace(d, evidence=tuple(by_differences(sentence) for sentence in d.evidence)))
    return found


def by_differences(sentence: str) -> str:
    """Return a sentence of evidence reworded for a comparison without a graph."""
    sentence = sentence.replace("with this mistake, the graph gives", "with this mistake, the numerical gradients "
                                "become")
    return sentence.replace("graph nan, ", "")


def describe_known_entries(label: str, mine: Array, right: Array, bad: Array, whole: NumericalGradient) -> str:
    """Describe a wrong gradient of which only some entries are known numerically."""
    known = whole.known
    places = np.argwhere(bad)
    how = describe(label, mine[known], right[known], np.ones(int(known.sum()), dtype=bool)).partition(". ")[2]
    relation = how if bad[known].all() and not how.startswith("The largest") else ""
    text = list_text([[int(i) for i in place] for place in places[:64]])
    return (f"Of the {int(known.sum())} entries of {label} that were checked, {len(places)} are wrong: {text}. "
            f"{relation}").strip()  # fmt: skip


def _shape_diagnoses(asked: ComparisonInput, i: int) -> Iterator[tuple[Diagnosis, Array]]:
    """Yield possible diagnoses of a gradient of a wrong shape, each with the gradient brought to the right shape.

    It may be transposed, have an axis too many, or not be summed over a broadcast.
    """
    m, shape, label = asked.mine[i], asked.leaves[i].shape, asked.label(i)
    evidence = (f"it has shape {m.shape}, the input {shape}",)
    if m.ndim == 2 and m.T.shape == shape:
        yield Diagnosis("transpose", label, "The gradient is transposed.", evidence), m.T
    if m.shape == shape:
        return
    if m.size == math.prod(shape):
        yield is_harmless_shape(label, m.shape, shape), m.reshape(shape)
    try:
        summed = np.asarray(sum_to(m, shape))
    except ValueError:
        return
    yield Diagnosis("broadcast_not_summed", label, "The input was broadcast, so it is used in many places, and its "
                    "gradient is the sum over them. That sum is missing.", evidence), summed  # fmt: skip


def _agrees(array: Array, whole: NumericalGradient) -> bool:
    known = whole.known
    size = float(np.abs(whole.value[known]).max(initial=0.0))
    return bool((np.abs(array[known] - whole.value[known]) <= whole.error[known] + CLOSE * size).all())


def empty_graph(leaves: list[Array]) -> Traced:
    """Return a graph that has inputs and no operations."""
    nodes = []
    for x in leaves:
        node = Node()
        node.out = x
        nodes.append(node)
    return Traced([], nodes, [])


def _elsewhere(asked: ComparisonInput, wrong: list[int]) -> list[tuple[list[Array], Traced, list[Array]]]:
    """Return some entries of the gradients at other points: the user's, an empty graph, and the numerical ones."""
    code, rng, found = asked.code, asked.rng, []
    for _ in range(2):
        moved = [to_double(x) for x in asked.nearby()]
        try:
            cotangents, g = asked.cotangents_at(moved)
            mine = code.gradients(moved, g)
            line = Line(lambda *xs: code.arrays(xs), moved)
            wholes = whole_gradients(line, cotangents, rng, PROBE_SECONDS, SAMPLES)
        except Exception:  # user code may raise anything for inputs that it was not made for
            continue
        if not line.steady or any(mine[i].shape != wholes[i].value.shape for i in wrong):
            continue
        one, two = [], []
        for m, w in zip(mine, wholes, strict=True):
            fits = m.shape == w.value.shape
            one.append(m[w.known] if fits else np.zeros(0))
            two.append(w.value[w.known] if fits else np.zeros(0))
        if all(np.isfinite(x).all() for x in one):
            found.append((one, empty_graph(moved), two))
    return found
