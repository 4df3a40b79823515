"""The comparison of every step of a backward with the graph, each by its value and by its own rule."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ...gradcheck.numerical import Line, double, pair
from ...node import Node
from ...printable import printable
from ..diagnosis import Diagnosis
from ..experiment import stream
from ..function.calling import arrange
from ..numerical.sides import ULPS, Run, Sides
from ..paths import Traced
from ..report import ComparisonReport
from ..rows import Checked, Comparison, compare_row
from .explain import blamed, explain_step, same_but_ones
from .matching import Match, chosen, match, meant, right_by
from .names import Names
from .namespace import read_namespace
from .running import Backward, Forward, as_mapping, run_backward, run_forward, takes_cotangent
from .step import Step
from .tape import LOST, Tape
from .tracing import State

Array = np.ndarray[Any, Any]

AROUND = 3  # sides from which each gradient is looked at
FEW = 4  # gradients of which several states are tried
SECONDS = 1.5  # that the referee may take, about


def compare_steps(
    forward: Any, backward: Any = None, inputs: Any = None, *, names: Mapping[str, str] | None = None, rng: Any = 0
) -> ComparisonReport:
    r"""Compare every gradient of a hand-written backward with the graph, by its value and by its own rule.

    .. math:: \bar x_{\text{yours}} \overset{?}{=} \sum_y \left(\partial y / \partial x\right)^T \bar y_{\text{yours}}

    Args:
        forward: plain code that runs on Tensors: ``forward(*inputs)`` returns the loss, or the loss and a cache.
        backward: plain code on arrays, whose parameters are found by name: inputs and values of the forward, ``cache``
            (or ``dout`` for the cotangent). ``dX`` in it (``d_X``, ``grad_X``, ``X_grad``) belongs to ``X``.
        inputs: an array, a tuple, or a dict by name. ``compare_steps(locals())`` takes both passes as they were run in
            a notebook cell or a function, where the inputs were Tensors.
        names: gradients whose name does not say it: ``{"delta": "z"}``.
        rng: a Generator or a seed.

    Returns:
        A report whose ``steps`` are in the order of the walk back. A step is right by its value, and by its own rule
        with the gradients that came into it; ``first_wrong`` is the first that is wrong by its own rule.

    Raises:
        TypeError, ValueError: the functions do not fit the inputs, or no name belongs to an intermediate.

    Example:
        >>> import numpy as np
        >>> def forward(x):
        ...     y = x * x
        ...     return y.sum()
        >>> def backward(x):
        ...     dy = np.ones_like(x)
        ...     dx = x * dy
        ...     return dx
        >>> [(s.name, s.verdict) for s in compare_steps(forward, backward, np.ones(3) * 2).steps]
        [('dy', 'ok'), ('dx', 'WRONG')]
    """
    generator = stream(rng)
    if isinstance(forward, Mapping):
        if backward is not None or inputs is not None:
            raise TypeError("compare_steps of a namespace takes nothing else but names=: compare_steps(locals()).")
        with np.errstate(all="ignore"):
            there = read_namespace(forward, names, sys._getframe(1))
            return judged("the names of a namespace", *there, generator)
    if not callable(forward) or not callable(backward):
        what = type(forward if not callable(forward) else backward).__name__
        raise TypeError(
            f"compare_steps takes two functions and their inputs, and got a {what} in the place of one: "
            "compare_steps(forward, backward, (x, W)). In a notebook cell it takes the namespace: "
            "compare_steps(locals())."
        )
    if inputs is None:
        raise TypeError("compare_steps needs the inputs of the forward: compare_steps(forward, backward, (x, W)).")
    given = arrange(forward, inputs)
    own = [given.leaves[i] for i in given.moving]
    single = any(x.dtype.itemsize // (1 + (x.dtype.kind == "c")) < 8 for x in own)
    with np.errstate(all="ignore"):
        graph = run_forward(forward, given, [double(x) for x in own])
        mine = run_forward(forward, given, own) if single else graph
        cotangents, g = cotangent(backward, graph, generator)
        known = Names([*graph.versions], as_mapping(names, [*graph.versions]))
        written = run_backward(backward, given, mine, g, known)
        title = f"{getattr(forward, '__name__', 'forward')}({', '.join(given.names)})"
        return judged(title, graph, cotangents, written, single, generator)


def cotangent(backward: Any, graph: Forward, rng: np.random.Generator) -> tuple[list[Array], Any]:
    """Return the cotangents of the results, and as a backward takes them."""
    if takes_cotangent(backward, graph) and not (len(graph.outs) == 1 and graph.outs[0].size == 1):
        found = [rng.uniform(0.5, 1.5, t.shape) * rng.choice([-1.0, 1.0], t.shape) for t in graph.outs]
    else:
        found = [np.ones(t.shape) for t in graph.outs]
    return found, (found[0].copy() if len(found) == 1 else tuple(x.copy() for x in found))


def judged(
    title: str, graph: Forward, cotangents: Sequence[Array], written: Backward, single: bool,
    rng: np.random.Generator,
) -> ComparisonReport:  # fmt: skip
    """Judge each gradient that was found and return the report."""
    outs: list[tuple[Node, Array]] = [(t.node, np.asarray(c, t.data.dtype))  # type: ignore[misc]
                                      for t, c in zip(graph.outs, cotangents, strict=True)]  # fmt: skip
    tape = Tape(outs)
    nodes = {v.node for found_ in graph.versions.values() for v in found_}
    right = tape.walk(nodes)
    matches, notes = match(written.found, graph.versions, right)
    if not matches:
        shown = printable(", ".join(graph.versions))
        raise ValueError(
            "compare_steps: no name in the backward belongs to a value of the forward, so there is no step to judge. "
            f"The forward has {shown}; call the gradient of X dX (or d_X, grad_X, X_grad), or give "
            "names={'your name': 'X'}."
        )
    matches.sort(key=lambda m: tape.place(m.version.node))
    inputs = [t.node for t in graph.tensors if t.node is not None]
    eps = float(np.finfo(np.float32 if single else np.float64).eps)
    bounds = _bounds(tape, inputs, matches, injected(tape, matches).given, eps, rng)
    states, given, arrived, marked, _ = decided(tape, matches, bounds[1])
    referee = Referee(tape, len(matches))
    steps: list[Step] = []
    known: dict[tuple[str, int], Diagnosis] = {}
    for k, (m, state) in enumerate(zip(matches, states, strict=True)):
        node = m.version.node
        label = m.given.name
        value = _as(state.array)
        if node.primitive and value.shape != right[node].shape and same_but_ones(value.shape, right[node].shape):
            notes.append(f"{label} is {value.shape} and {m.given.belongs_to} {right[node].shape}: the same numbers but "
                         "for an axis of length 1, kept or dropped.")  # fmt: skip
            value = value.reshape(right[node].shape)
            state = state._replace(array=value)
        what = Comparison(label, "intermediate" if node.primitive else "input", value, right[node], bounds[0][k])
        ask, along = referee.of(node, right[node], bounds[0][k], rng)
        row, _ = compare_row(what, ask, rng, 0, along)
        own, bad = compare_row(Comparison(label, what.role, value, arrived[node], bounds[1][k]),
                               silent, rng, 0)  # fmt: skip
        follows = node in marked or (written.stopped is not None and any(not s.rule_ok for s in steps))
        diagnosis = None
        if not own.ok and not follows:
            state = blamed(tape, m, states[k], given)._replace(array=state.array)
            place = label.partition("[")[0], state.statement.line
            diagnosis = known.get(place) or explain_step(tape, m, state, arrived[node], own, bad, bounds[1][k], given,
                                                         single, rng)  # fmt: skip
            if not diagnosis.harmless:
                known[place] = diagnosis  # of many rounds the one nearest the loss
        harmless = diagnosis is not None and diagnosis.harmless
        steps.append(Step(
            label, m.given.belongs_to, state.statement.line, state.statement.text, m.given.function, m.given.round,
            m.rounds, row.ok or harmless, own.ok or harmless or follows, row, own, diagnosis,
        ))  # fmt: skip
    return _report(title, graph, steps, written, notes, referee)


class Walked(NamedTuple):
    """A walk back with a person's gradients: the state that is meant of each, what went on, what arrived.

    `marked` are those that something came into which could not go on, as it has another shape; `open` those of which
    no state is right, with the others that it has.
    """

    states: list[State]
    given: dict[Node, Array]
    arrived: dict[Node, Array]
    marked: set[Node]
    open: dict[int, list[State]]


def injected(
    tape: Tape, matches: Sequence[Match], bounds: Sequence[Array] | None = None,
    forced: Mapping[int, State] | None = None,
) -> Walked:  # fmt: skip
    """Walk back with the person's gradients in the place of what arrives."""
    given: dict[Node, Array] = {}
    states: list[Any] = [None] * len(matches)
    marked: set[Node] = set()
    undecided: dict[int, list[State]] = {}
    at: dict[Node, list[int]] = {}
    for k, m in enumerate(matches):
        at.setdefault(m.version.node, []).append(k)

    def instead(node: Node, arrived: Array, mark: bool) -> Array | None:
        if mark:
            marked.add(node)
        for k in at[node]:
            bound = 1e-9 * (np.abs(arrived) + np.abs(arrived).max(initial=0)) if bounds is None else bounds[k]
            choice = meant(matches[k].states)
            states[k], right = chosen(choice, arrived, bound)
            if not right and len(choice) > 1:
                undecided[k] = choice
            states[k] = (forced or {}).get(k, states[k])
            value = _as(states[k].array)
            if same_but_ones(value.shape, arrived.shape):
                value = value.reshape(arrived.shape)
            if value.shape == arrived.shape and np.isfinite(value).all():
                given[node] = value.astype(np.asarray(node.out).dtype)
        return given.get(node, LOST)

    arrived = tape.walk(at, instead)
    return Walked(states, given, arrived, marked, undecided)


def decided(tape: Tape, matches: Sequence[Match], bounds: Sequence[Array]) -> Walked:
    """Walk back; where no state of a gradient is right, take the one with which the lines that follow are right."""
    first = injected(tape, matches, bounds)

    def wrong(walked: Walked) -> int:
        return sum(not right_by(walked.states[k].array, walked.arrived[m.version.node], bounds[k])
                   for k, m in enumerate(matches))  # fmt: skip

    best, least = first, wrong(first)
    forced: dict[int, State] = {}
    for which in (-1, 0):  # in all rounds of a loop the same
        every = {k: choice[which] for k, choice in first.open.items()}
        other = injected(tape, matches, bounds, every) if every else first
        if wrong(other) < least:
            best, least, forced = other, wrong(other), every
    for k, choice in list(first.open.items())[:FEW]:
        for state in choice:
            if state is best.states[k]:
                continue
            other = injected(tape, matches, bounds, {**forced, k: state})
            if wrong(other) < least:
                best, least, forced = other, wrong(other), {**forced, k: state}
    return best


def _as(array: Array) -> Array:
    """Return a gradient as floats."""
    return array if array.dtype.kind in "fc" else array.astype(np.float64)


def _bounds(
    tape: Tape, inputs: Sequence[Node], matches: Sequence[Match], given: Mapping[Node, Array], eps: float,
    rng: np.random.Generator,
) -> tuple[list[Array], list[Array]]:  # fmt: skip
    """Return how far two ways to compute each gradient may be apart, and each by its own rule.

    The inputs move, and for the rules also the gradients that came in, so that sums in which they cancel are seen.
    """
    nodes = [m.version.node for m in matches]
    walked = list(given)

    def run(leaves: list[Array]) -> Run:
        moved, twins = tape.moved(dict(zip(inputs, leaves[: len(inputs)], strict=True)))
        there = [twins.get(node, node) for node in nodes]
        values = moved.walk(there)
        instead = {twins.get(n, n): g for n, g in zip(walked, leaves[len(inputs) :], strict=True)}
        own = moved.walk(there, lambda node, *_: instead.get(node))
        grads = [*(values[n] for n in there), *(own[n] for n in there)]
        return Run([np.asarray(n.out) for n, _ in moved.outs], Traced(moved.outs, there, moved.operations), grads)

    leaves = [np.asarray(node.out) for node in inputs] + [given[node] for node in walked]
    sides = Sides(run, leaves, run(leaves), eps)
    sides.look_around(rng, AROUND)
    rounding = sides.rounding()
    values, own = rounding[: len(nodes)], rounding[len(nodes) :]

    def shake(g: Array) -> Array:
        moved: Array = g * (1 + ULPS * eps * rng.uniform(-1, 1, g.shape))
        return moved

    # sums that cancel to zero do so wherever the inputs are, and leave the rounding of their terms
    for bounds, instead in ((values, None), (own, lambda node, *_: given.get(node))):
        plain = tape.walk(nodes, instead)
        for _ in range(AROUND):
            shaken = tape.walk(nodes, instead, shake)
            for k, node in enumerate(nodes):
                noise = np.abs(shaken[node] - plain[node])
                bounds[k] = np.fmax(bounds[k], 2 * np.where(np.isfinite(noise), noise, 0.0))
    return values, own


def silent(index: Any) -> Checked:
    """Answer nothing."""
    return Checked(math.nan, 0.0, True)


class Referee:
    """The numerical road: the graph from a value on, run again with other numbers in it, while there is time."""

    def __init__(self, tape: Tape, steps: int) -> None:
        self.tape, self.left, self.steps, self.asked = tape, SECONDS, steps, 0

    def of(self, node: Node, right: Array, bound: Array, rng: np.random.Generator) -> tuple[Any, list[Any]]:
        """Return what answers for one entry of the gradient of a value, and the derivative along a direction."""
        x = np.asarray(node.out)
        if self.left <= 0 or x.dtype.kind == "c" or not x.size:
            return silent, []
        start = time.perf_counter()
        cotangents = [g for _, g in self.tape.outs]
        line = Line(lambda value: self.tape.values({node: value}), [x])

        def ask(index: Any) -> Checked:
            if self.left <= 0:
                return silent(index)
            start = time.perf_counter()
            v = np.zeros_like(x)
            size = max(1.0, abs(float(x[index])))
            v[index] = size
            found = line.along({0: v}, cotangents, None)
            self.left -= time.perf_counter() - start
            self.asked += 1
            allowed = 10 * found.error / size + float(bound[index]) + 1e-10 * float(np.abs(right[index]))
            return Checked(found.value / size, allowed, found.kink == "a kink at the point")

        v = np.asarray(rng.normal(size=x.shape) * np.maximum(1e-3, np.abs(x)))
        found = line.along({0: v}, cotangents, None)
        along = []
        if found.kink != "a kink at the point" and math.isfinite(found.value):
            allowed = 10 * found.error + float((bound * np.abs(v)).sum()) + 1e-10 * float(np.abs(right * v).sum())
            along.append((pair(right, v), found.value, allowed))
        self.left -= time.perf_counter() - start
        return ask, along


def _report(
    title: str, graph: Forward, steps: list[Step], written: Backward, notes: list[str], referee: Referee
) -> ComparisonReport:
    wrong: dict[tuple[str, int], list[Step]] = {}
    for step in steps:
        if step.diagnosis is not None:
            wrong.setdefault((step.name, step.line), []).append(step)
    diagnoses = []
    for same in wrong.values():
        first = same[0]
        d: Diagnosis = first.diagnosis  # type: ignore[assignment]
        often = f"in {len(same)} of {first.rounds} rounds" if first.rounds > 1 else ""
        text = d.text.replace(" from here on", "")  # a step is one line
        evidence = (*d.evidence, often) if often else d.evidence
        diagnoses.append(replace(d, where=first.place, text=text, evidence=evidence))
    first_wrong = next((s.place for s in steps if not s.rule_ok), None)
    if written.helpers:
        notes.append(f"Not judged, since no value of the forward has such a name: {', '.join(written.helpers)}.")
    if written.stopped is not None:
        error, statement = written.stopped
        where = f"line {statement.line}: {statement.text}"
        text = (f"The backward stopped here with {type(error).__name__}: {error}. "
                f"The {len(steps)} gradients that it had made before were judged.")  # fmt: skip
        diagnoses.append(Diagnosis("unknown", where, text))
        first_wrong = first_wrong or where
    losses = {"forward": float(graph.outs[0].data.item())} if graph.outs[0].size == 1 else {}
    method = (f"Numerical: the graph from each value on, run again with other numbers in it, in float64 at "
              f"{referee.asked:,} entries and along a random direction of each value.")  # fmt: skip
    return ComparisonReport(title, tuple(s.row for s in steps), tuple(diagnoses), first_wrong, tuple(notes), losses,
                            method, tuple(steps))  # fmt: skip


