"""`compare_steps`: judge each gradient of a hand-written backward, by its value and by its own rule.

"By its value" compares with the graph's gradient. "By its own rule" compares with what the graph's rule computes from
the user's own gradients of the later values: only the line that makes the mistake is wrong by its own rule.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...common.printable import counted
from ...gradcheck.numerical import to_double
from ..behaviour import blind_diagnosis, no_value_diagnosis
from ..conventions.returned import DATA
from ..diagnosis import Diagnosis
from ..edits.mended_stops import Mended
from ..experiment import own_generator
from ..function.calling import arrange
from ..guards import excused_by_guards
from ..report import ComparisonReport
from .by_numbers import NotFiniteError, is_finite, judged_by_numbers
from .judgement import Judgement, kept_outside, require_gradients
from .mending import Explained, still_wrong
from .names import as_mapping
from .namespace import Namespace, read_namespace
from .probes import UserPasses, has_finite_gradients, has_single
from .running import Forward, NoGraphError, Passes
from .step import Step
from .stopped import add_stop_note, mended_stop, stopped_diagnosis

Array = np.ndarray[Any, Any]

IN_FLOAT64 = ("In the dtype of the inputs, some gradients differ by rounding. All numbers above are those of both "
              "functions for the same inputs in float64, where they are right.")  # fmt: skip


def compare_steps(
    forward: Any, backward: Any = None, inputs: Any = None, *, names: Mapping[str, str] | None = None, rng: Any = 0
) -> ComparisonReport:
    r"""Compare every gradient of a hand-written backward with the graph, by its value and by its own rule.

    .. math:: \bar x_{\text{yours}} \overset{?}{=} \sum_y \left(\partial y / \partial x\right)^T \bar y_{\text{yours}}

    Args:
        forward: plain NumPy code: ``forward(*inputs)`` returns the loss, or results and a cache. A forward that cannot
            run on Tensors is run on arrays and differentiated numerically.
        backward: plain NumPy code on arrays. Its parameters are matched by name: inputs and locals of the forward,
            ``cache``; ``dout``, or the only gradient among them that fits nothing, is the cotangent. Of several results
            ``h, c, cache`` the cotangents are ``dh`` and ``dc``. ``dX`` in it (``d_X``, ``grad_X``, ``X_grad``) belongs
            to ``X``.
        inputs: an array, a tuple, or a dict by name. ``compare_steps(locals())``, without functions, takes both passes
            as they were run in a notebook cell or a function, where the inputs were Tensors. If gradients of two
            functions in float32 are finite and wrong, those for the same inputs in float64 decide.
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
            space = Namespace(forward, sys._getframe(1))
            return judge_run("the names of a namespace", read_namespace(space, names), generator, space=space)
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
        try:
            report = _judge_functions(called, input_arrays)
        except Exception as error:
            add_stop_note(error, called)
            raise
        if not report.ok and has_single(input_arrays) and called.runs and has_finite_gradients(called.runs[0]):
            double = [to_double(x) for x in input_arrays]
            wider = _judge_functions(called.moved(double), double)
            report = replace(wider, notes=(*wider.notes, IN_FLOAT64)) if wider.ok else report
    return report


def _judge_functions(called: UserPasses, leaves: Sequence[Array]) -> ComparisonReport:
    """Return the report of two functions at some inputs."""
    title = f"{getattr(called.forward, '__name__', 'forward')}({', '.join(called.inputs.names)})"
    try:
        return judge_run(title, called.at(leaves), called.rng, called)
    except NoGraphError as error:
        try:
            steps, run, notes, method, blind = judged_by_numbers(called, leaves, error.reason)
        except NotFiniteError as no_loss:
            return _no_loss(title, no_loss.forward)
        steps = require_gradients(steps, run, called.backward)
        return _report(title, run, steps, notes, method, called, blind, mended_stop(run.backward.stopped, called))


def judge_run(
    title: str, run: Passes, rng: np.random.Generator, called: UserPasses | None = None,
    space: Namespace | None = None,
) -> ComparisonReport:  # fmt: skip
    """Judge each gradient found in a run with a graph, and return the report."""
    if not is_finite(run.graph):
        return _no_loss(title, run.graph)
    matching = Judgement(run, rng, called, space)
    judged, checked = matching.judged()
    wrong = matching.wrong_by_rule(judged)
    data = {v.node for name, versions in run.graph.versions.items() if name.lower() in DATA for v in versions}
    has_other_meaning = matching.has_other_meanings(judged, wrong, data)
    reasons: dict[int, Explained] = {}
    plain: dict[int, Judgement] = {}
    if wrong:
        suspects = matching.suspects(judged)
        differing = [k for k in suspects if not matching.has_right_numbers(k)]
        excused = excused_by_guards({k: judged[k].state.array for k in differing}, matching.trials(differing))
        reasons = matching.effects_of_guards(judged, suspects, excused)
        wrong = still_wrong(wrong, suspects, excused.factors)
        plain = {k: trial.of for k, trial in excused.wrong_in.items()}
    found = mended_stop(run.backward.stopped, called)
    if found is not None and found.is_all and all(matching.has_right_shape(k) for k in wrong):
        wrong, reasons, has_other_meaning = [], {}, bool(wrong)
    elif run.backward.stopped is not None:  # what follows from the first wrong step cannot be told from other mistakes
        wrong = wrong[:1]
    if has_other_meaning and not reasons:
        reasons = {k: matching.other_meaning(k) for k, step in enumerate(judged) if not step.row.ok}
    else:
        reasons |= matching.explained(judged, wrong, plain)
    steps = [matching.step(k, step, reasons.get(k)) for k, step in enumerate(judged)]
    method = (f"Numerical: the graph from each value on, run again with other numbers in it, in float64 at "
              f"{counted(checked, 'entry')} and along a random direction of each value.")  # fmt: skip
    blind = [] if reasons else matching.inputs_without_effect()
    return _report(title, run, steps, matching.notes, method, called, blind, found)


def _no_loss(title: str, graph: Forward) -> ComparisonReport:
    """Return the report if a result of the forward is not finite, so that there is no gradient."""
    values = [(v, name) for name, versions in graph.versions.items() for v in versions]
    wrong = [(v, name) for v, name in values if not np.isfinite(v.value.data).all()]
    v, name = min(wrong, key=lambda pair: pair[0].node.index, default=(None, ""))
    where = f"line {v.statement.line}: {v.statement.text}" if v is not None and v.statement.line else name or title
    advice = f"{name} is the first value with a name that is not finite." if name else "look for one of these in it."
    problem = "The result of the forward is not finite (NaN or infinity) at these inputs"
    return ComparisonReport(title, (), (no_value_diagnosis(where, problem, advice),), where)


def _report(
    title: str, run: Passes, steps: list[Step], notes: list[str], method: str, called: UserPasses | None = None,
    blind: Sequence[str] = (), found: Mended | None = None,
) -> ComparisonReport:  # fmt: skip
    """Return the report; `blind` has the names of the inputs if all their right gradients are 0, `found` an error."""
    graph, backward = run.graph, run.backward
    wrong: dict[Any, list[Step]] = {}
    for step in steps:
        if step.diagnosis is not None:
            own_place = (step.line, step.source) if step.diagnosis.where else None  # None: it is about all steps
            wrong.setdefault((own_place, step.diagnosis), []).append(step)
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
        notes += kept_outside(run, called and called.backward)
    if backward.stopped is not None:
        diagnoses.append(stopped_diagnosis(backward.stopped, steps, found))
        first_wrong = first_wrong or diagnoses[-1].where
    diagnoses += [blind_diagnosis(blind, 0.0)] if blind else []
    losses = {"forward": float(graph.outs[0].data.item())} if graph.outs[0].size == 1 else {}
    return ComparisonReport(title, tuple(s.row for s in steps), tuple(diagnoses), first_wrong, tuple(notes), losses,
                            method, tuple(steps))  # fmt: skip


