"""`compare_steps`: judge each gradient of a hand-written backward, by its value and by its own rule.

"By its value" compares with the graph's gradient. "By its own rule" compares with what the graph's rule computes from
the user's own gradients of the later values: only the line that makes the mistake is wrong by its own rule.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ...common.printable import printable
from ...gradcheck.numerical import to_double
from ..behaviour import no_value_diagnosis
from ..conventions.returned import DATA
from ..diagnosis import Diagnosis, Row
from ..experiment import own_generator
from ..function.calling import arrange
from ..function.locations import overflow_notes
from ..guards import Trial, are_known, excused_by_guards, is_beyond_guard, largest_guard, smaller_inputs
from ..numerical.sides import ULPS
from ..paths import Traced
from ..report import ComparisonReport
from ..rows import ArrayPair, compare_row
from ..tiny_constants import negligible, tiny_constant
from .by_numbers import NotFiniteError, is_finite, judged_by_numbers
from .explain import blamed_steps, explain_step, is_part_of_sum
from .matching import Match, is_within_bound, same_but_ones
from .mending import Explained, explain_wrong, explained_by_guards, explained_step, still_wrong
from .names import as_mapping, names_for_gradient
from .namespace import read_namespace
from .notebook_cells import Cells
from .probes import Probes, UserPasses, has_finite_gradients, has_single, matched, without
from .referee import Referee, ignore_message
from .running import Forward, NoGraphError, Passes
from .step import Step
from .tape import Tape
from .tracing import State, is_number, module_names
from .unnamed import shifted, unnamed_values
from .walk import Walked, as_floats, bounds_of, gradient_decisions, injected, wrong_steps

Array = np.ndarray[Any, Any]

IN_FLOAT64 = ("In the dtype of the inputs, some gradients differ by rounding. All numbers above are those of both "
              "functions for the same inputs in float64, where they are right.")  # fmt: skip


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
        report = _judge_functions(called, input_arrays)
        if not report.ok and has_single(input_arrays) and called.runs and has_finite_gradients(called.runs[0]):
            called.runs.clear()
            wider = _judge_functions(called, [to_double(x) for x in input_arrays])
            report = replace(wider, notes=(*wider.notes, IN_FLOAT64)) if wider.ok else report
    return report


def _judge_functions(called: UserPasses, leaves: Sequence[Array]) -> ComparisonReport:
    """Return the report of two functions at some inputs."""
    title = f"{getattr(called.forward, '__name__', 'forward')}({', '.join(called.inputs.names)})"
    try:
        return judge_run(title, called.at(leaves), called.rng, called)
    except NoGraphError as error:
        try:
            steps, run, notes, method = judged_by_numbers(called, leaves, error.reason)
        except NotFiniteError as no_loss:
            return _no_loss(title, no_loss.forward)
        return _report(title, run, _require_gradients(steps, run, called.backward), notes, method, called.backward)


def judge_run(
    title: str, run: Passes, rng: np.random.Generator, called: UserPasses | None = None,
    space: Mapping[str, Any] | None = None,
) -> ComparisonReport:  # fmt: skip
    """Judge each gradient found in a run with a graph, and return the report."""
    if not is_finite(run.graph):
        return _no_loss(title, run.graph)
    matching = _Matching(run, rng, called)
    probes = matching.probes(space)
    judged, checked = matching.judged()
    wrong = matching.wrong_by_rule(judged, probes)
    data = {v.node for name, versions in run.graph.versions.items() if name.lower() in DATA for v in versions}
    has_other_meaning = _have_other_meanings(matching.matches, judged, wrong, matching.inputs, data) and (
        not isinstance(probes, Probes) or probes.is_right_elsewhere())  # fmt: skip
    reasons: dict[int, Explained] = {}
    if wrong:
        suspects = matching.suspects(judged)
        factors, right_values = excused_by_guards(suspects, matching.trials(probes, suspects))
        reasons = matching.effects_of_guards(judged, suspects, factors, right_values)
        wrong = still_wrong(wrong, suspects, factors)
    if run.backward.stopped is not None:  # what follows from the first wrong step cannot be told from other mistakes
        wrong = wrong[:1]
    if has_other_meaning and not reasons:
        reasons = {k: matching.other_meaning(k) for k, step in enumerate(judged) if not step.row.ok}
    else:
        reasons |= matching.explained(judged, wrong, probes)
    steps = [matching.step(k, step, reasons.get(k)) for k, step in enumerate(judged)]
    method = (f"Numerical: the graph from each value on, run again with other numbers in it, in float64 at "
              f"{checked:,} entries and along a random direction of each value.")  # fmt: skip
    return _report(title, run, steps, matching.notes, method, called and called.backward)


def _no_loss(title: str, graph: Forward) -> ComparisonReport:
    """Return the report if a result of the forward is not finite, so that there is no gradient."""
    values = [(v, name) for name, versions in graph.versions.items() for v in versions]
    wrong = [(v, name) for v, name in values if not np.isfinite(v.value.data).all()]
    v, name = min(wrong, key=lambda pair: pair[0].node.index, default=(None, ""))
    where = f"line {v.statement.line}: {v.statement.text}" if v is not None and v.statement.line else name or title
    advice = f"{name} is the first value with a name that is not finite." if name else "look for one of these in it."
    problem = "The result of the forward is not finite (NaN or infinity) at these inputs"
    return ComparisonReport(title, (), (no_value_diagnosis(where, problem, advice),), where)


class _Matching:
    """The gradients of a run, matched with the values of its forward, and the walk back that judges them.

    Attributes:
        run: the run; called: how to run it again, if that is possible; inputs: the Nodes of its inputs.
        tape: the forward, in which gradients are computed; right_gradients: those of all values, by Node.
        matches: each gradient with its value, in the order of the walk; notes: what the report says about them.
        bounds: of the rounding of each gradient, by its value and by its rule; walked: the result of the walk.
        wrong: the numbers of the gradients that are wrong by their own rules.
    """

    def __init__(self, run: Passes, rng: np.random.Generator, called: UserPasses | None) -> None:
        """Match the gradients; those that are parts of a sum are left out, and values without a name are found."""
        self.run, self.rng, self.called = run, rng, called
        self.inputs = [t.node for t in run.graph.tensors if t.node is not None]
        tiny = 0.0 if called is None else tiny_constant(called.forward, called.backward)
        self._eps = max(float(np.finfo(np.float32 if run.has_float32 else np.float64).eps), negligible(tiny) / ULPS)
        self.tape, self.right_gradients, self.matches, self.notes = matched(run)
        _require_gradients(self.matches, run, called and called.backward)
        self.notes += overflow_notes(Traced(self.tape.outs, self.inputs, self.tape.operations))
        self.bounds, self.walked, self.wrong = self._walk(self.tape, self.matches)
        self._divide_by_a_size()
        self._parts = self._leave_out_parts()
        self._shifts = self._find_values_without_a_name()
        if self.tape.summed != 1:
            self.notes.append(
                f"The gradients of all values but the inputs are taken as {self.tape.summed:g} times those of the "
                f"loss: the backward divides by {self.tape.summed:g} only where it computes the gradients of the "
                "inputs, as if the loss were a sum."
            )

    def _walk(self, tape: Tape, matches: list[Match]) -> tuple[tuple[list[Array], list[Array]], Walked, set[int]]:
        """Walk back through the matches, and return bounds, the result, and which are wrong."""
        user_gradients = injected(tape, matches).user_gradients
        bounds = bounds_of(tape, self.inputs, matches, user_gradients, self._eps, self.rng)
        walked = gradient_decisions(tape, matches, bounds[1])
        return bounds, walked, wrong_steps(walked, matches, bounds[1])

    def _divide_by_a_size(self) -> None:
        """Take the gradients as those of a sum over samples, if fewer are wrong then."""
        graph = self.run.graph
        for size in _sizes(graph) if len(self.wrong) > 1 and all(t.size == 1 for t in graph.outs) else ():
            tape, right_gradients, matches, _ = matched(self.run, size)
            bounds, walked, wrong = self._walk(tape, matches)
            leaves = {k for k, m in enumerate(matches) if m.version.node.primitive is None}
            if len(wrong) < len(self.wrong) and 2 * len(leaves & wrong) <= len(leaves):
                self.tape, self.right_gradients, self.matches = tape, right_gradients, matches
                self.bounds, self.walked, self.wrong = bounds, walked, wrong

    def _leave_out_parts(self) -> set[tuple[str, int]]:
        """Leave out the parameters that hold a part of a gradient, and return their names and rounds."""
        parts = {(m.gradient.name, m.gradient.round) for k, m in enumerate(self.matches)
                 if self.wrong and _is_part(self.tape, self.matches, self.walked, k)}  # fmt: skip
        if parts:
            self.matches = without(self.matches, parts)
            self.bounds, self.walked, self.wrong = self._walk(self.tape, self.matches)
        return parts

    def _find_values_without_a_name(self) -> dict[int, int]:
        """Match gradients with values that have no name in the forward; return their indices in the tape."""
        if len(self.wrong) < 2 or self.called is None:
            return {}
        shifts = unnamed_values(self.tape, self.run.graph.versions, self.matches)
        if shifts:
            self.matches = shifted(self.tape, self.matches, shifts)
            self.bounds, self.walked, self.wrong = self._walk(self.tape, self.matches)
            self.right_gradients = self.right_gradients | self.tape.walk({m.version.node for m in self.matches})
            for gradient in (self.matches[k].gradient for k in shifts):
                self.notes.append(f"{gradient.name} is taken as the gradient of a value without a name, from which "
                                  f"{gradient.belongs_to} follows or which follows from it.")  # fmt: skip
        return shifts

    def probes(self, space: Mapping[str, Any] | None) -> Probes | Cells | None:
        """Return what runs the user's code again, with other numbers or with an edit; ``None`` if nothing can."""
        if space is not None:
            return Cells(space, self.run, self.tape, self.matches, self.walked, self.rng)
        if self.called is None:
            return None
        return Probes(self.called, self.tape, self.matches, self.walked, self._shifts, self._parts)

    def judged(self) -> tuple[list[_Judged], int]:
        """Compare each gradient by its value and by its own rule; also return how many entries the referee checked."""
        referee = Referee(self.tape, len(self.matches))
        judged: list[_Judged] = []
        for k, (m, state) in enumerate(zip(self.matches, self.walked.states, strict=True)):
            node, label = m.version.node, m.gradient.name
            value = as_floats(state.array)
            right = self.right_gradients[node]
            if node.primitive and value.shape != right.shape and same_but_ones(value.shape, right.shape):
                self.notes.append(f"{label} is {value.shape} and {m.gradient.belongs_to} {right.shape}: the same "
                                  "numbers but for an axis of length 1, kept or dropped.")  # fmt: skip
                value = value.reshape(right.shape)
                state = state._replace(array=value)
            bound, role = self.bounds[0][k], "intermediate" if node.primitive else "input"
            pair = ArrayPair(label, role, value, right, bound)
            if not self.wrong and value.shape == right.shape:  # if all rules are right, what adds up is rounding
                pair = pair._replace(role="intermediate", rounding=np.fmax(bound, np.abs(value - right)))
            check_entry, directional = referee.of(node, right, pair.rounding, self.rng)
            row, _ = compare_row(pair, check_entry, self.rng, 0, directional)
            row = replace(row, role=role)
            by_rule = ArrayPair(label, role, value, self.walked.rule_gradients[node], self.bounds[1][k])
            rule_row, wrong_mask = compare_row(by_rule, ignore_message, self.rng, 0)
            judged.append(_Judged(state, row, rule_row, wrong_mask))
        return judged, referee.checked

    def suspects(self, judged: Sequence[_Judged]) -> list[int]:
        """Return the steps that are wrong by their own rules, as far as the gradients that come in can be used."""
        return [k for k, step in enumerate(judged)
                if not step.rule_row.ok and self.matches[k].version.node not in self.walked.marked]  # fmt: skip

    def wrong_by_rule(self, judged: Sequence[_Judged], probes: Probes | Cells | None) -> list[int]:
        """Return the steps that are wrong by their own rule, and do not repeat an earlier one."""
        states = self.walked.states
        wrong = self.suspects(judged)
        wrong = [k for k in wrong if not any(_is_echo(self.matches, states, k, j) for j in wrong)]
        if isinstance(probes, Probes):
            wrong_values = [k for k, step in enumerate(judged) if not step.row.ok]
            wrong = [k for k in wrong if not probes.is_right_from_right(k, wrong_values)]
        return wrong

    def trials(self, probes: Probes | Cells | None, wrong: Sequence[int]) -> Iterator[Trial]:
        """Yield what is right without constants such as 1e-8 in the forward, also for smaller inputs."""
        if not largest_guard(self.tape.operations):
            return
        yield self._without_guards(1.0)
        leaves = [np.asarray(node.out) for node in self.inputs]
        if self.called is not None:
            c = self.called
            leaves = [c.inputs.leaves[i] for i in c.inputs.float_indices]
        for factor, inputs in smaller_inputs(leaves):
            try:
                milder = self._at(inputs, probes, wrong)
            except Exception:  # user code may raise anything for inputs that it was not made for
                return
            if milder is None:
                return
            yield milder._without_guards(factor)

    def _at(self, inputs: Sequence[Array], probes: Probes | Cells | None, wrong: Sequence[int]) -> _Matching | None:
        """Return the same at other inputs; None if the code cannot be run there, or does something else."""
        if isinstance(probes, Cells):
            other = copy(self)
            other.tape, other.inputs, other.matches = probes.at(dict(zip(self.inputs, inputs, strict=True)), wrong)
            return other
        if self.called is None:
            return None
        c = self.called
        run = UserPasses(c.forward, c.backward, c.inputs, c.names, c.rng).at(inputs)
        other = _Matching(run, np.random.default_rng(0), c)
        names = [[m.gradient.name for m in matching.matches] for matching in (self, other)]
        return other if is_finite(run.graph) and names[0] == names[1] else None

    def _without_guards(self, factor: float) -> Trial:
        """Tell which gradients are right if constants such as 1e-8 are left out of the forward."""
        tape, twins = self.tape.without_guards(self.inputs)
        matches = [m._replace(version=m.version._replace(node=twins.get(m.version.node, m.version.node)))
                   for m in self.matches]  # fmt: skip
        nodes = [m.version.node for m in matches]
        eps = float(np.finfo(np.float32 if self.run.has_float32 else np.float64).eps)
        user_gradients = injected(tape, matches).user_gradients
        bounds = bounds_of(tape, [twins[node] for node in self.inputs], matches, user_gradients, eps, self.rng)
        walked = gradient_decisions(tape, matches, bounds[1])
        values = tape.walk(nodes)
        right_values, known = set(), set()
        for k, node in enumerate(nodes):
            if is_within_bound(walked.states[k].array, values[node], bounds[0][k]):
                right_values.add(k)
            if are_known([bounds[1][k]], [walked.rule_gradients[node]], eps):
                known.add(k)
        right = known - wrong_steps(walked, matches, bounds[1])
        return Trial(factor, right, set() if is_beyond_guard(self.tape.operations) else known, right_values)

    def effects_of_guards(
        self, judged: Sequence[_Judged], wrong: Sequence[int], factors: Mapping[int, float], right_values: set[int]
    ) -> dict[int, Explained]:
        """Return the explanation of gradients that are right for the forward without constants such as 1e-8."""
        rows, states = [(step.row, step.rule_row) for step in judged], self.walked.states
        pairs = [(state.array, self.right_gradients[m.version.node])
                 for state, m in zip(states, self.matches, strict=True)]  # fmt: skip
        guard = largest_guard(self.tape.operations)
        return explained_by_guards(rows, states, wrong, factors, right_values, guard, pairs)

    def other_meaning(self, k: int) -> Explained:
        """Return the explanation of a name that holds something else than the gradient of its value."""
        gradient = self.matches[k].gradient
        text = (f"{gradient.name} is not the gradient of {gradient.belongs_to}, and a later line makes up for it. The "
                "gradients of all inputs are right, so the name has another meaning here.")  # fmt: skip
        return Explained(Diagnosis("convention", gradient.name, text), self.walked.states[k])

    def explained(
        self, judged: Sequence[_Judged], wrong: list[int], probes: Probes | Cells | None
    ) -> dict[int, Explained]:
        """Return the explanation of each wrong step, with an edit where one was found."""
        walked, matches = self.walked, self.matches
        blamed = {k: blamed_steps(self.tape, matches[k], walked.states[k], walked.user_gradients) for k in wrong}

        def explain(k: int) -> Explained:
            diagnosis = explain_step(self.tape, matches[k], judged[k].state, walked.rule_gradients[
                matches[k].version.node], judged[k].rule_row, judged[k].wrong_mask, self.bounds[1][k],
                walked.user_gradients, self.run.has_float32, self.rng)  # fmt: skip
            explained = Explained(diagnosis, blamed[k])
            if probes is None or diagnosis.harmless:
                return explained
            return probes.with_edit(explained, k, wrong)

        places = {k: (matches[k].gradient.name.partition("[")[0], state.statement) for k, state in blamed.items()}
        return explain_wrong(wrong, places, explain)

    def step(self, k: int, judged: _Judged, reason: Explained | None) -> Step:
        """Return a step of the report."""
        right_by_rule = self.walked.rule_gradients[self.matches[k].version.node]
        arrived = float(np.real(right_by_rule[judged.row.worst])) if right_by_rule.size else math.nan
        return explained_step(self.matches[k], judged.state, (judged.row, judged.rule_row), arrived, reason)


class _Judged(NamedTuple):
    """A gradient with its comparison by value and by its own rule, and which of its entries are wrong by the rule."""

    state: State
    row: Row
    rule_row: Row
    wrong_mask: Array


def _is_part(tape: Tape, matches: Sequence[Match], walked: Walked, k: int) -> bool:
    """Tell whether step `k` is a parameter that holds a part of a gradient, which another name holds as a whole."""
    m, states = matches[k], walked.states
    return m.gradient.is_parameter and any(
        other.version.node is m.version.node and states[j].time > states[k].time for j, other in enumerate(matches)
    ) and is_part_of_sum(tape, m, states[k], walked.user_gradients)  # fmt: skip


def _have_other_meanings(
    matches: Sequence[Match], judged: Sequence[_Judged], wrong: Sequence[int], inputs: Sequence[Any],
    data: Collection[Any],
) -> bool:  # fmt: skip
    """Tell whether steps make up for each other, so that the gradients of all inputs are right.

    Every gradient that is wrong by its value comes before one that is right though it does not follow its rule. A line
    cannot make up for itself: a sign that is wrong in two layers is a mistake. Of the inputs, only `data` need no
    gradient.
    """
    leaves = {m.version.node: judged[k].row.ok for k, m in enumerate(matches) if m.version.node.primitive is None}
    if not wrong or not leaves or not all(leaves.get(node, node in data) for node in inputs):
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


def _kept_outside(run: Passes, backward: Any) -> list[str]:
    """Return what to do about gradients of arrays that an object or the module holds; they are not judged."""
    advice = {
        "an object: compare_gradients(object, x) judges them": getattr(
            getattr(backward, "__self__", None), "__dict__", {}
        ),
        "the module: make these global variables inputs or locals of the forward": module_names(backward) or {},
    }
    sentences = []
    for text, kept in advice.items():
        names = [name for name in run.backward.helpers if any(is_number(kept.get(n)) for n in names_for_gradient(name))]
        if names:
            are = "is the gradient" if len(names) == 1 else "are the gradients"
            sentences.append(f"{', '.join(names)} {are} of arrays of {text}.")
    return sentences


def _require_gradients(gradients: list[Any], run: Passes, backward: Any) -> list[Any]:
    """Return the gradients that were found; raise if there are none."""
    if not gradients:
        names_text = printable(", ".join(run.graph.versions))
        raise ValueError(
            "compare_steps: no name in the backward belongs to a value of the forward, so there is no step to judge. "
            f"The forward has {names_text}; call the gradient of X dX (or d_X, grad_X, X_grad), or give "
            + " ".join(["names={'your name': 'X'}.", *_kept_outside(run, backward)])
        )
    return gradients


def _report(
    title: str, run: Passes, steps: list[Step], notes: list[str], method: str, user_backward: Any = None
) -> ComparisonReport:
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
        notes += _kept_outside(run, user_backward)
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


