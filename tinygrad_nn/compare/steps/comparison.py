"""`compare_steps`: judge each gradient of a hand-written backward, by its value and by its own rule.

"By its value" compares with the graph's gradient. "By its own rule" compares with what the graph's rule computes from
the user's own gradients of the later values: only the line that makes the mistake is wrong by its own rule.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ...printable import printable
from ..diagnosis import Diagnosis
from ..experiment import own_generator
from ..function.calling import arrange
from ..report import ComparisonReport
from ..rows import Comparison, compare_row
from .by_numbers import judged_by_numbers
from .explain import blamed_steps, explain_step, same_but_ones
from .namespace import read_namespace
from .notebook_cells import Cells
from .probes import Probes, UserPasses, matched
from .referee import Referee, ignore_message
from .running import Forward, NoGraphError, Passes, as_mapping
from .step import Step
from .walk import as_floats, bounds_of, gradient_decisions, injected


def compare_steps(
    forward: Any, backward: Any = None, inputs: Any = None, *, names: Mapping[str, str] | None = None, rng: Any = 0
) -> ComparisonReport:
    r"""Compare every gradient of a hand-written backward with the graph, by its value and by its own rule.

    .. math:: \bar x_{\text{yours}} \overset{?}{=} \sum_y \left(\partial y / \partial x\right)^T \bar y_{\text{yours}}

    Args:
        forward: plain NumPy code: ``forward(*inputs)`` returns the loss, or the loss and a cache. A forward that cannot
            run on Tensors is run on arrays and differentiated numerically.
        backward: plain NumPy code on arrays. Its parameters are matched by name: inputs and locals of the forward,
            ``cache`` (or ``dout`` for the cotangent). ``dX`` in it (``d_X``, ``grad_X``, ``X_grad``) belongs to ``X``.
        inputs: an array, a tuple, or a dict by name. ``compare_steps(locals())``, without functions, takes both passes
            as they were run in a notebook cell or a function, where the inputs were Tensors.
        names: which value a gradient belongs to if its name does not say so: ``{"delta": "z"}``.
        rng: a Generator or a seed.

    Returns:
        A report whose ``steps`` are in the order of the walk back. Each step is judged by its value, and by its own
        rule given the gradients that came into it; ``first_wrong`` is the first step that is wrong by its own rule.

    Raises:
        TypeError, ValueError: the functions do not fit the inputs, or no gradient name belongs to a forward value.

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
    generator = own_generator(rng)
    if isinstance(forward, Mapping):
        if backward is not None or inputs is not None:
            raise TypeError("compare_steps of a namespace takes nothing else but names=: compare_steps(locals()).")
        with np.errstate(all="ignore"):
            there = read_namespace(forward, names, sys._getframe(1))
            return judge_run("the names of a namespace", there, generator, space=forward)
    if not callable(forward) or not callable(backward):
        what = type(forward if not callable(forward) else backward).__name__
        raise TypeError(
            f"compare_steps takes two functions and their inputs, but one of them is a {what}: compare_steps(forward, "
            "backward, (x, W)). In a notebook cell it takes the namespace: compare_steps(locals())."
        )
    if inputs is None:
        raise TypeError("compare_steps needs the inputs of the forward: compare_steps(forward, backward, (x, W)).")
    given = arrange(forward, inputs)
    own = [given.leaves[i] for i in given.moving]
    called = UserPasses(forward, backward, given, as_mapping(names), generator)
    with np.errstate(all="ignore"):
        title = f"{getattr(forward, '__name__', 'forward')}({', '.join(given.names)})"
        try:
            run = called.at(own)
        except NoGraphError as error:
            steps, run, notes, method = judged_by_numbers(called, own, error.reason)
            return _report(title, run, _require_gradients(steps, run.graph), notes, method)
        return judge_run(title, run, generator, called)


def judge_run(
    title: str, run: Passes, rng: np.random.Generator, called: UserPasses | None = None,
    space: Mapping[str, Any] | None = None,
) -> ComparisonReport:  # fmt: skip
    """Judge each gradient found in a run with a graph, and return the report."""
    graph, written, single = run.graph, run.written, run.single
    tape, right, matches, notes = matched(run)
    _require_gradients(matches, graph)
    inputs = [t.node for t in graph.tensors if t.node is not None]
    eps = float(np.finfo(np.float32 if single else np.float64).eps)
    bounds = bounds_of(tape, inputs, matches, injected(tape, matches).given, eps, rng)
    walked = gradient_decisions(tape, matches, bounds[1])
    states, given, arrived, marked, _ = walked
    probes: Probes | Cells | None = Probes(called, matches, walked) if called is not None else None
    probes = Cells(space, run, tape, matches, walked, rng) if space is not None else probes
    referee = Referee(tape, len(matches))
    steps: list[Step] = []
    known: dict[tuple[str, int], Diagnosis] = {}
    for k, (m, state) in enumerate(zip(matches, states, strict=True)):
        node = m.version.node
        label = m.given.name
        value = as_floats(state.array)
        if node.primitive and value.shape != right[node].shape and same_but_ones(value.shape, right[node].shape):
            notes.append(f"{label} is {value.shape} and {m.given.belongs_to} {right[node].shape}: the same numbers but "
                         "for an axis of length 1, kept or dropped.")  # fmt: skip
            value = value.reshape(right[node].shape)
            state = state._replace(array=value)
        what = Comparison(label, "intermediate" if node.primitive else "input", value, right[node], bounds[0][k])
        ask, along = referee.of(node, right[node], bounds[0][k], rng)
        row, _ = compare_row(what, ask, rng, 0, along)
        own, bad = compare_row(Comparison(label, what.role, value, arrived[node], bounds[1][k]),
                               ignore_message, rng, 0)  # fmt: skip
        follows = node in marked or (written.stopped is not None and any(not s.rule_ok for s in steps))
        diagnosis = None
        if not own.ok and not follows:
            wrong = blamed_steps(tape, m, states[k], given)
            state = state._replace(statement=wrong.statement)
            place = label.partition("[")[0], state.statement.line
            diagnosis = known.get(place)
            if diagnosis is None:
                diagnosis = explain_step(tape, m, state, arrived[node], own, bad, bounds[1][k], given, single, rng)
                if probes is not None and not diagnosis.harmless:
                    diagnosis = probes.mended(diagnosis, k, wrong)
            if not diagnosis.harmless:
                known[place] = diagnosis  # rounds of a loop share the diagnosis of the round nearest the loss
        harmless = diagnosis is not None and diagnosis.harmless
        steps.append(Step(
            label, m.given.belongs_to, state.statement.line, state.statement.text, m.given.function, m.given.round,
            m.rounds, row.ok or harmless, own.ok or harmless or follows, row, own,
            float(np.real(arrived[node][row.worst])) if arrived[node].size else math.nan, diagnosis,
        ))  # fmt: skip
    method = (f"Numerical: the graph from each value on, run again with other numbers in it, in float64 at "
              f"{referee.asked:,} entries and along a random direction of each value.")  # fmt: skip
    return _report(title, run, steps, notes, method)


def _require_gradients(found: list[Any], graph: Forward) -> list[Any]:
    """Return the gradients that were found; raise if there are none."""
    if not found:
        shown = printable(", ".join(graph.versions))
        raise ValueError(
            "compare_steps: no name in the backward belongs to a value of the forward, so there is no step to judge. "
            f"The forward has {shown}; call the gradient of X dX (or d_X, grad_X, X_grad), or give "
            "names={'your name': 'X'}."
        )
    return found


def _report(title: str, run: Passes, steps: list[Step], notes: list[str], method: str) -> ComparisonReport:
    graph, written = run.graph, run.written
    wrong: dict[tuple[str, int], list[Step]] = {}
    for step in steps:
        if step.diagnosis is not None:
            wrong.setdefault((step.name, step.line), []).append(step)
    diagnoses = []
    for same in wrong.values():
        first = same[0]
        d: Diagnosis = first.diagnosis  # type: ignore[assignment]
        often = f"in {len(same)} of {first.rounds} rounds" if first.rounds > 1 else ""
        text = d.text.replace(" from here on", "")  # a step is a single line, so nothing follows in it
        evidence = (*d.evidence, often) if often else d.evidence
        diagnoses.append(replace(d, where=first.place, text=text, evidence=evidence))
    first_wrong = next((s.place for s in steps if not s.rule_ok), None)
    if written.helpers:
        notes.append(f"Not judged, since no value of the forward has such a name: {', '.join(written.helpers)}.")
    if written.stopped is not None:
        error, statement = written.stopped
        where = f"line {statement.line}: {statement.text}"
        text = (f"The backward stopped here with {type(error).__name__}: {error}. The {len(steps)} gradients that it "
                "had computed before were judged.")  # fmt: skip
        diagnoses.append(Diagnosis("unknown", where, text))
        first_wrong = first_wrong or where
    losses = {"forward": float(graph.outs[0].data.item())} if graph.outs[0].size == 1 else {}
    return ComparisonReport(title, tuple(s.row for s in steps), tuple(diagnoses), first_wrong, tuple(notes), losses,
                            method, tuple(steps))  # fmt: skip


