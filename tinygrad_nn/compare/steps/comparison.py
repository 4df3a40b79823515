"""`compare_steps`: judge each gradient of a hand-written backward, by its value and by its own rule.

"By its value" compares with the graph's gradient. "By its own rule" compares with what the graph's rule computes from
the user's own gradients of the later values: only the line that makes the mistake is wrong by its own rule.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ...common.printable import printable
from ..diagnosis import Diagnosis, Row
from ..experiment import own_generator
from ..function.calling import arrange
from ..report import ComparisonReport
from ..rows import ArrayPair, compare_row
from .by_numbers import judged_by_numbers
from .explain import blamed_steps, explain_step, is_part_of_sum, same_but_ones
from .matching import Match
from .mending import Explained
from .namespace import read_namespace
from .notebook_cells import Cells
from .probes import Probes, UserPasses, matched, without
from .referee import Referee, ignore_message
from .running import Forward, NoGraphError, Passes, as_mapping
from .statements import Statement
from .step import Step
from .tape import Tape
from .tracing import State
from .unnamed import shifted, unnamed_values
from .walk import Walked, as_floats, bounds_of, count_wrong, gradient_decisions, injected, is_right

Array = np.ndarray[Any, Any]


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
            namespace_run = read_namespace(forward, names, sys._getframe(1))
            return judge_run("the names of a namespace", namespace_run, generator, space=forward)
    if not callable(forward) or not callable(backward):
        type_name = type(forward if not callable(forward) else backward).__name__
        raise TypeError(
            f"compare_steps takes two functions and their inputs, but one of them is a {type_name}: compare_steps("
            "forward, backward, (x, W)). In a notebook cell it takes the namespace: compare_steps(locals())."
        )
    if inputs is None:
        raise TypeError("compare_steps needs the inputs of the forward: compare_steps(forward, backward, (x, W)).")
    arranged = arrange(forward, inputs)
    input_arrays = [arranged.leaves[i] for i in arranged.float_indices]
    called = UserPasses(forward, backward, arranged, as_mapping(names), generator)
    with np.errstate(all="ignore"):
        title = f"{getattr(forward, '__name__', 'forward')}({', '.join(arranged.names)})"
        try:
            run = called.at(input_arrays)
        except NoGraphError as error:
            steps, run, notes, method = judged_by_numbers(called, input_arrays, error.reason)
            return _report(title, run, _require_gradients(steps, run.graph), notes, method)
        return judge_run(title, run, generator, called)


def judge_run(
    title: str, run: Passes, rng: np.random.Generator, called: UserPasses | None = None,
    space: Mapping[str, Any] | None = None,
) -> ComparisonReport:  # fmt: skip
    """Judge each gradient found in a run with a graph, and return the report."""
    graph, backward, has_float32 = run.graph, run.backward, run.has_float32
    tape, right_gradients, matches, notes = matched(run)
    _require_gradients(matches, graph)
    inputs = [t.node for t in graph.tensors if t.node is not None]
    eps = float(np.finfo(np.float32 if has_float32 else np.float64).eps)

    def walk(tape: Tape, matches: list[Match]) -> tuple[tuple[list[Array], list[Array]], Walked, int]:
        bounds = bounds_of(tape, inputs, matches, injected(tape, matches).user_gradients, eps, rng)
        walked = gradient_decisions(tape, matches, bounds[1])
        return bounds, walked, count_wrong(walked, matches, bounds[1])

    bounds, walked, wrong_count = walk(tape, matches)
    for size in _sizes(graph) if wrong_count > 1 and all(t.size == 1 for t in graph.outs) else ():
        rescaled = matched(run, size)
        trial = walk(rescaled[0], rescaled[2])
        leaves = [k for k, m in enumerate(rescaled[2]) if m.version.node.primitive is None]
        right_leaves = [k for k in leaves if is_right(trial[1], rescaled[2], trial[0][1], k)]
        if trial[2] < wrong_count and 2 * len(right_leaves) > len(leaves):
            (tape, right_gradients, matches, _), (bounds, walked, wrong_count) = rescaled, trial
    parts = {(m.gradient.name, m.gradient.round) for k, m in enumerate(matches)
             if wrong_count and _is_part(tape, matches, walked.states, walked.user_gradients, k)}  # fmt: skip
    if parts:
        matches = without(matches, parts)
        bounds, walked, wrong_count = walk(tape, matches)
    shifts = unnamed_values(tape, graph.versions, matches) if wrong_count > 1 and called is not None else {}
    if shifts:
        matches = shifted(tape, matches, shifts)
        bounds, walked, wrong_count = walk(tape, matches)
        right_gradients = right_gradients | tape.walk({m.version.node for m in matches})
        notes += [f"{matches[k].gradient.name} is taken as the gradient of a value without a name, from which "
                  f"{matches[k].gradient.belongs_to} follows or which follows from it." for k in shifts]  # fmt: skip
    if tape.summed != 1:
        notes.append(f"The gradients of all values but the inputs are taken as {tape.summed:g} times those of the "
                     f"loss: the backward divides by {tape.summed:g} only where it computes the gradients of the "
                     "inputs, as if the loss were a sum.")  # fmt: skip
    states, user_gradients, rule_gradients, marked, _ = walked
    probes: Probes | Cells | None = Probes(called, tape, matches, walked, shifts, parts) if called is not None else None
    probes = Cells(space, run, tape, matches, walked, rng) if space is not None else probes
    referee = Referee(tape, len(matches))
    judged: list[_Judged] = []
    for k, (m, state) in enumerate(zip(matches, states, strict=True)):
        node = m.version.node
        label = m.gradient.name
        value = as_floats(state.array)
        right = right_gradients[node]
        if node.primitive and value.shape != right.shape and same_but_ones(value.shape, right.shape):
            notes.append(f"{label} is {value.shape} and {m.gradient.belongs_to} {right.shape}: the same numbers but "
                         "for an axis of length 1, kept or dropped.")  # fmt: skip
            value = value.reshape(right.shape)
            state = state._replace(array=value)
        pair = ArrayPair(label, "intermediate" if node.primitive else "input", value, right, bounds[0][k])
        check_entry, directional = referee.of(node, right, bounds[0][k], rng)
        row, _ = compare_row(pair, check_entry, rng, 0, directional)
        rule_row, wrong_mask = compare_row(ArrayPair(label, pair.role, value, rule_gradients[node], bounds[1][k]),
                                           ignore_message, rng, 0)  # fmt: skip
        judged.append(_Judged(state, row, rule_row, wrong_mask))
    wrong = [k for k, step in enumerate(judged) if not step.rule_row.ok and matches[k].version.node not in marked]
    wrong = [k for k in wrong if not any(_is_echo(matches, states, k, j) for j in wrong)]
    if isinstance(probes, Probes):
        wrong_values = [k for k, step in enumerate(judged) if not step.row.ok]
        wrong = [k for k in wrong if not probes.is_right_from_right(k, wrong_values)]
    has_other_meaning = _have_other_meanings(matches, judged, wrong, inputs) and (
        not isinstance(probes, Probes) or probes.is_right_elsewhere())  # fmt: skip
    if backward.stopped is not None:  # what follows from the first wrong step cannot be told from other mistakes
        wrong = wrong[:1]
    reasons: dict[int, Explained] = {}
    explained_places: dict[tuple[str, Statement], Explained] = {}
    for k in () if has_other_meaning else wrong:
        m, step = matches[k], judged[k]
        blamed_state = blamed_steps(tape, m, states[k], user_gradients)
        place = m.gradient.name.partition("[")[0], blamed_state.statement
        explained = reasons.get(k) or explained_places.get(place)
        if explained is None:
            diagnosis = explain_step(tape, m, step.state._replace(statement=blamed_state.statement),
                                     rule_gradients[m.version.node], step.rule_row, step.wrong_mask, bounds[1][k],
                                     user_gradients, has_float32, rng)  # fmt: skip
            explained = Explained(diagnosis, blamed_state)
            if probes is not None and not diagnosis.harmless:
                explained = probes.with_edit(explained, k, wrong)
        if not explained.diagnosis.harmless:
            explained_places[place] = explained  # rounds of a loop share the diagnosis of the round nearest the loss
            for j in explained.mends:
                if j not in reasons or not reasons[j].has_edit:
                    reasons[j] = explained
        reasons[k] = reasons.get(k) or explained
    steps: list[Step] = []
    for k, (m, (state, row, rule_row, _)) in enumerate(zip(matches, judged, strict=True)):
        node, label = m.version.node, m.gradient.name
        reason = reasons.get(k)
        if has_other_meaning and not row.ok:
            text = (f"{label} is not the gradient of {m.gradient.belongs_to}, and a later line makes up for it. The "
                    "gradients of all inputs are right, so the name has another meaning here.")  # fmt: skip
            reason = Explained(Diagnosis("convention", label, text), states[k])
        harmless = reason is not None and reason.diagnosis.harmless
        state = state if reason is None else state._replace(statement=reason.state.statement,
                                                            function=reason.state.function)  # fmt: skip
        steps.append(Step(
            label, m.gradient.belongs_to, state.statement.line, state.statement.text,
            state.function or m.gradient.function, m.gradient.round, m.rounds, row.ok or harmless,
            reason is None or harmless, row, rule_row,
            float(np.real(rule_gradients[node][row.worst])) if rule_gradients[node].size else math.nan,
            None if reason is None else reason.diagnosis,
        ))  # fmt: skip
    method = (f"Numerical: the graph from each value on, run again with other numbers in it, in float64 at "
              f"{referee.checked:,} entries and along a random direction of each value.")  # fmt: skip
    return _report(title, run, steps, notes, method)


class _Judged(NamedTuple):
    """A gradient with its comparison by value and by its own rule, and which of its entries are wrong by the rule."""

    state: State
    row: Row
    rule_row: Row
    wrong_mask: Array


def _is_part(
    tape: Tape, matches: Sequence[Match], states: Sequence[State], user_gradients: Mapping[Any, Array], k: int
) -> bool:
    """Tell whether step `k` is a parameter that holds a part of a gradient, which another name holds as a whole."""
    m = matches[k]
    return m.gradient.is_parameter and any(
        other.version.node is m.version.node and states[j].time > states[k].time for j, other in enumerate(matches)
    ) and is_part_of_sum(tape, m, states[k], user_gradients)  # fmt: skip


def _have_other_meanings(
    matches: Sequence[Match], judged: Sequence[_Judged], wrong: Sequence[int], inputs: Sequence[Any]
) -> bool:
    """Tell whether steps make up for each other, so that the gradients of all inputs are right.

    Every gradient that is wrong by its value comes before one that is right though it does not follow its rule. A line
    cannot make up for itself: a sign that is wrong in two layers is a mistake.
    """
    leaves = {m.version.node: judged[k].row.ok for k, m in enumerate(matches) if m.version.node.primitive is None}
    if not wrong or not all(leaves.get(node, False) for node in inputs):
        return False
    right_values, wrong_values = ([k for k in wrong if judged[k].row.ok is ok] for ok in (True, False))
    lines = [{judged[k].state.statement for k in steps} for steps in (right_values, wrong_values)]
    return bool(right_values) and not lines[0] & lines[1] and all(k < right_values[-1] for k in wrong_values)


def _sizes(graph: Forward) -> list[float]:
    """Return the lengths of the axes of a forward's values: one of them may be the number of samples."""
    sizes = {n for values in graph.versions.values() for v in values for n in v.value.shape if n > 1}
    return [float(n) for n in sorted(sizes)[:8]]


def _is_echo(matches: Sequence[Match], states: Sequence[State], k: int, j: int) -> bool:
    """Tell whether step `k` has the array that step `j` had before, for the same value, under another name."""
    return (k != j and matches[k].version.node is matches[j].version.node and states[j].time < states[k].time
            and np.array_equal(states[j].array, states[k].array, equal_nan=True))  # fmt: skip


def _require_gradients(gradients: list[Any], graph: Forward) -> list[Any]:
    """Return the gradients that were found; raise if there are none."""
    if not gradients:
        names_text = printable(", ".join(graph.versions))
        raise ValueError(
            "compare_steps: no name in the backward belongs to a value of the forward, so there is no step to judge. "
            f"The forward has {names_text}; call the gradient of X dX (or d_X, grad_X, X_grad), or give "
            "names={'your name': 'X'}."
        )
    return gradients


def _report(title: str, run: Passes, steps: list[Step], notes: list[str], method: str) -> ComparisonReport:
    graph, backward = run.graph, run.backward
    wrong: dict[Any, list[Step]] = {}
    for step in steps:
        if step.diagnosis is not None:
            wrong.setdefault((step.line, step.source, step.diagnosis), []).append(step)
    diagnoses = []
    for alike in wrong.values():
        first = alike[0]
        d: Diagnosis = first.diagnosis  # type: ignore[assignment]
        count = sum(step.name == first.name for step in alike)
        count_text = f"in {count} of {first.rounds} rounds" if first.rounds > 1 else ""
        place = d.where if " in `" in d.where else ""  # an operation of the forward, else the step itself
        text = d.text.replace(" from here on", f" from {place} on" if place else "")
        evidence = tuple(filter(None, (*d.evidence, count_text, "" if place in text else f"this is at {place}")))
        diagnoses.append(replace(d, where=first.place, text=text, evidence=evidence))
    first_wrong = next((s.place for s in steps if not s.rule_ok), None)
    if backward.helpers:
        notes.append(f"Not judged, since no value of the forward has such a name: {', '.join(backward.helpers)}.")
    if backward.stopped is not None:
        error, statement = backward.stopped
        where = f"line {statement.line}: {statement.text}"
        text = (f"The backward stopped here with {type(error).__name__}: {error}. The {len(steps)} gradients that it "
                "had computed before were judged.")  # fmt: skip
        diagnoses.append(Diagnosis("unknown", where, text))
        first_wrong = first_wrong or where
    losses = {"forward": float(graph.outs[0].data.item())} if graph.outs[0].size == 1 else {}
    return ComparisonReport(title, tuple(s.row for s in steps), tuple(diagnoses), first_wrong, tuple(notes), losses,
                            method, tuple(steps))  # fmt: skip


