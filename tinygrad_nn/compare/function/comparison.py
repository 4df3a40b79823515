"""The comparison for any function: a person's backward, the graph and the referee, input by input."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...gradcheck.numerical import Line, double, pair
from ...node import recording
from ...tensor import Tensor, raw
from ...transforms import enter
from ...tree import flatten
from ..behaviour import MOVING, unsteady
from ..diagnosis import Diagnosis, Row
from ..experiment import stream
from ..numerical.sides import Run, Sides
from ..numerical.subgradients import Hull
from ..paths import Traced, gradients, traced
from ..report import ComparisonReport
from ..rows import Checked, Comparison, compare_row
from .calling import Inputs, arrange, call_function, call_manual, takes_cotangent
from .operations import explain_graph
from .places import noting_places
from .search import Look

Array = np.ndarray[Any, Any]

EPS = float(np.finfo(np.float64).eps)
AROUND = 3  # sides from which each gradient is looked at
SECONDS = 1.5  # that the referee may take, about
DIRECTIONS = 3


def by_graph(f: Callable[..., Any], inputs: Inputs, leaves: Sequence[Array], cotangents: Sequence[Array]) -> Run:
    """Run a function on Tensors and walk back from its results."""
    outs, trace = _trace(f, inputs, leaves, cotangents)
    return Run(outs, trace, gradients(trace))


def _trace(
    f: Callable[..., Any], inputs: Inputs, leaves: Sequence[Array], cotangents: Sequence[Array]
) -> tuple[list[Array], Traced]:
    """Run a function on Tensors; return its results and its graph."""
    with recording(True):
        tensors = [enter(x) for x in leaves]
        for i, t in zip(inputs.moving, tensors, strict=True):
            t.name = inputs.labels[i]
        found = call_function(f, inputs, tensors)
    live = [(out.node, np.asarray(c, out.data.dtype)) for out, c in zip(found, cotangents, strict=False)
            if isinstance(out, Tensor) and out.node is not None]  # fmt: skip
    trace = traced(live, [t.node for t in tensors])  # type: ignore[misc]
    return [np.asarray(raw(out)) for out in found], trace


def compare_function(f: Callable[..., Any], given: Any, *, manual: Any, rng: Any = 0) -> ComparisonReport:
    """Compare a person's backward with the graph and the referee; see `compare_gradients`."""
    generator = stream(rng)
    inputs = arrange(f, given)
    own = [inputs.leaves[i] for i in inputs.moving]
    leaves = [double(x) for x in own]
    name = getattr(f, "__name__", type(f).__name__)
    with np.errstate(all="ignore"), recording(False):
        outs = [np.asarray(raw(out)) for out in call_function(f, inputs, leaves)]
        if not outs or not all(np.isfinite(out).all() for out in outs):
            return _no_value(name, outs)
        cotangents, g, cot_note = _cotangents(f, inputs, leaves, outs, manual, generator)
        with noting_places():
            graph = by_graph(f, inputs, leaves, cotangents)
        line = Line(lambda *xs: [np.asarray(raw(o)) for o in call_function(f, inputs, xs)], leaves)
        shown = outs[0] if len(outs) == 1 else outs
        passed = [x.copy() for x in own]
        mine = call_manual(manual, inputs, passed, shown, g)
        changed = [inputs.labels[i] for i, a, b in zip(inputs.moving, own, passed, strict=True)
                   if not np.array_equal(a, b, equal_nan=True)]  # fmt: skip
        again = [call_manual(manual, inputs, [x.copy() for x in own], shown, g) for _ in range(2)]
        single = any(x.dtype.itemsize // (1 + (x.dtype.kind == "c")) < 8 for x in own)
        eps = float(np.finfo(np.float32).eps) if single else EPS
        sides = Sides(lambda moved: by_graph(f, inputs, moved, cotangents), leaves, graph, eps)
        sides.look_around(generator, AROUND)
        rounding = sides.rounding()
        rows, bads, kinks = _rows(inputs, mine, sides, rounding, line, cotangents, generator)
        look = Look(
            inputs, mine, graph.grads, rounding, bads, graph.trace, leaves,
            _probes(f, inputs, leaves, outs, manual, generator) if callable(manual) else [],
            lambda moved: _trace(f, inputs, moved, cotangents)[1],
        )  # fmt: skip
        diagnoses = explain_graph(look, rows, Hull(sides, rounding, generator).here(mine))
        diagnoses = [*_around(manual, inputs, own, shown, g, mine, again, changed, graph, generator), *diagnoses]
    if any(d.kind in ("inplace_overwrite", "cotangent_ignored", *MOVING) for d in diagnoses):
        diagnoses = [d for d in diagnoses if d.kind not in ("unknown", "scale")]
    notes = [cot_note] if cot_note else []
    if not line.steady:
        notes.append("The function itself gave two different results for the same inputs, so the numerical road is "
                     "noise: something random is drawn inside it. Pass a mask in, or fix the seed.")  # fmt: skip
    diagnoses += _blind(sides, inputs, rows, notes, line)
    notes += [f"{row.name}: at a kink, where the derivative is a convention, the numerical road was not asked."
              for row, k in zip(rows, kinks, strict=True) if k]  # fmt: skip
    first = next((d.where for d in diagnoses if not d.harmless), None)
    checked, size = sum(row.checked for row in rows), sum(math.prod(row.shape) for row in rows)
    methods = "complex step, or extrapolated differences where the function takes no complex numbers,"
    method = (f"Numerical: {methods} in float64 at {checked:,} of {size:,} entries, the worst of each array among "
              f"them, and along {DIRECTIONS} random directions of each input.")  # fmt: skip
    title = f"{name}({', '.join(inputs.names)})"
    return ComparisonReport(title, tuple(rows), tuple(diagnoses), first, tuple(notes), {}, method)


def _cotangents(
    f: Any, inputs: Inputs, leaves: Any, outs: list[Array], manual: Any, rng: np.random.Generator
) -> tuple[list[Array], Any, str]:
    """Return the cotangents, as the backward takes them, and what is to be said of them."""
    takes = takes_cotangent(manual, inputs)
    scalar = len(outs) == 1 and outs[0].size == 1
    if takes:
        cotangents = [rng.uniform(0.5, 1.5, out.shape) * rng.choice([-1.0, 1.0], out.shape) for out in outs]
    else:
        cotangents = [np.ones(out.shape) for out in outs]
    value = call_function_tree(f, inputs, leaves)
    g = flatten(value)[1](cotangents) if len(cotangents) == len(flatten(value)[0]) else cotangents[0]
    note = "" if takes or scalar else (
        "The function returns an array, and the backward has no parameter g for a cotangent, so the gradient of the "
        "sum of all its entries was compared. Errors that cancel in that sum cannot be seen: give the backward a "
        "parameter g."
    )  # fmt: skip
    return cotangents, g, note


def call_function_tree(f: Callable[..., Any], inputs: Inputs, leaves: Any) -> Any:
    """Return the value of the function in its own containers."""
    values = inputs.with_leaves(leaves)
    return f(**dict(zip(inputs.names, values, strict=True))) if inputs.by_name else f(*values)


def _rows(
    inputs: Inputs, mine: list[Array], sides: Sides, rounding: list[Array], line: Line, cotangents: list[Array],
    rng: np.random.Generator,
) -> tuple[list[Row], list[Array], list[int]]:  # fmt: skip
    start = time.perf_counter()
    graph, parted = sides.here, sides.parted(rounding)
    if graph.grads:
        line.along({0: np.ones_like(line.leaves[0])}, cotangents, None)
    each = time.perf_counter() - start
    entries = int(min(24, max(3, SECONDS / max(each, 1e-9) / len(mine) - DIRECTIONS)))
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
            v = np.where(parted[i], 0, v)  # a small kink beside large slopes is not seen along a line
            found = line.along({i: v}, cotangents, None)
            if found.kink != "a kink at the point" and math.isfinite(found.value):
                allowed = 10 * found.error + float((bound * np.abs(v)).sum()) + 1e-10 * float(np.abs(g * v).sum())
                along.append((pair(g, v), found.value, allowed))
        what = Comparison(inputs.labels[inputs.moving[i]], "input", m, g, bound)
        row, bad = compare_row(what, judge, rng, entries, along)
        rows.append(row)
        bads.append(bad)
        kinks.append(met[0])
    return rows, bads, kinks


def _probes(
    f: Any, inputs: Inputs, leaves: list[Array], outs: list[Array], manual: Any, rng: np.random.Generator
) -> list[tuple[list[Array], Traced, list[Array]]]:
    """Return answers at other inputs: what the backward says, the trace, the right gradients."""
    found = []
    for _ in range(2):
        moved = [x * rng.uniform(0.8, 1.2, x.shape) + 0.05 * rng.normal(size=x.shape) for x in leaves]
        try:
            with recording(False):
                values = [np.asarray(raw(o)) for o in call_function(f, inputs, moved)]
            cotangents, g, _note = _cotangents(f, inputs, moved, values, manual, rng)
            graph = by_graph(f, inputs, moved, cotangents)
            mine = call_manual(manual, inputs, [x.copy() for x in moved], values[0] if len(values) == 1 else values, g)
        except Exception:  # whatever a person's code may raise at inputs that it was not made for
            continue
        if all(np.isfinite(x).all() for x in (*mine, *graph.grads)):
            found.append((mine, graph.trace, graph.grads))
    return found


def _around(
    manual: Any, inputs: Inputs, own: list[Array], out: Any, g: Any, mine: list[Array], again: list[list[Array]],
    changed: list[str], graph: Run, rng: np.random.Generator,
) -> list[Diagnosis]:  # fmt: skip
    """Return what is wrong with how the backward behaves, whatever its numbers are."""
    found = []
    if changed:
        found.append(Diagnosis(
            "inplace_overwrite", changed[0], f"The backward wrote into its inputs: {', '.join(changed)}. Make a new "
            "array: `x = x * m` instead of `x *= "
            "m`.", tuple(f"{name} has other numbers after the call" for name in changed),
        ))  # fmt: skip
    moving = unsteady([mine, *again], [inputs.labels[i] for i in inputs.moving],
                      "Pass the random numbers in, or fix their seed.")  # fmt: skip
    if moving is not None:
        found.append(moving)
    elif takes_cotangent(manual, inputs) and any(np.any(x) for x in graph.grads):
        leaves, rebuild = flatten(g)
        other = rebuild([x * -1.75 for x in leaves])
        once = call_manual(manual, inputs, [x.copy() for x in own], out, other)
        same = [np.array_equal(a, b) and bool(np.any(a)) and bool(np.any(r))
                for a, b, r in zip(mine, once, graph.grads, strict=True)]  # fmt: skip
        if any(same):
            names = ", ".join(inputs.labels[i] for i, s in zip(inputs.moving, same, strict=True) if s)
            found.append(Diagnosis(
                "cotangent_ignored", names, "The gradient is the same whatever g is. g is the gradient that arrives "
                "from what is computed with the result, and every gradient must be multiplied by it, by the chain "
                "rule.",
                ("with g, and with -1.75 g, the backward returns the same numbers",), r"\bar x = J^T g", "",
            ))  # fmt: skip
    return found


def _blind(sides: Sides, inputs: Inputs, rows: list[Row], notes: list[str], line: Line) -> list[Diagnosis]:
    """Return a diagnosis if nothing could be seen at all, and note the inputs of which nothing could."""
    size = max((float(np.abs(out).max(initial=0)) for out in line.outs), default=0.0)
    zero = []
    for x, *gs in zip(line.leaves, sides.here.grads, *sides.limits(), strict=True):
        scale = size / max(float(np.abs(x).max(initial=0)), 1e-3)
        zero.append(not any(np.any(np.abs(g) > 64 * EPS * scale) for g in gs))
    if all(zero):
        largest = max(float(np.abs(g).max(initial=0)) for g in sides.here.grads)
        return [Diagnosis(
            "blind_test", ", ".join(inputs.labels[i] for i in inputs.moving),
            "The right gradient is 0 in every entry, so an error that multiplies it cannot be seen: this test would "
            "pass almost any backward. The sum of a softmax is always 1, for instance. Compare another function of the "
            "result, such as its sum with random weights, or let the backward take a cotangent g.",
            (f"the largest entry of the graph's gradient is {largest:.1e}",),
        )]  # fmt: skip
    notes += [f"The result does not depend on {row.name} here: its gradient is 0 in every entry, and an error that "
              "multiplies 0 cannot be seen." for row, z in zip(rows, zero, strict=True) if z]  # fmt: skip
    return []


def _no_value(name: str, outs: list[Array]) -> ComparisonReport:
    what = "returns nothing that is made of floats" if not outs else "is not finite (NaN or infinity) at these inputs"
    text = (f"The function {what}, so there is no gradient and nothing to compare. NaN comes from 0/0, log of a "
            "negative number, or infinity minus infinity; choose inputs inside the domain of the "
            "function.")  # fmt: skip
    return ComparisonReport(name, (), (Diagnosis("blind_test", name, text),), name)
