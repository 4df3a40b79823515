"""Judge the steps of a backward whose forward cannot run on Tensors: right gradients by numerical differentiation.

The forward runs on arrays many times. In each run one name is bound to perturbed numbers at the place where it was
bound, and the run continues with them; the change of the result gives the gradient of that value. To judge a
step by its own rule, the later values for which the user computed gradients are measured and then restored where they
are bound, so that the perturbation goes no further; their changes are weighted with the user's gradients.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ...common.printable import counted
from ...gradcheck.numerical import Line, inner_product, same_arrays, to_double
from ...node import Node, recording
from ...tensor import Tensor, apply, raw
from ...transforms import alias, new_input
from ..budget import Budget
from ..conventions.reasons import Reason
from ..diagnosis import Diagnosis, Row
from ..edits.running import tracing_calls
from ..function.black_box import by_differences, describe_known_entries, empty_graph
from ..function.calling import Inputs
from ..function.gradient_data import CLOSE
from ..guards import Excused, Trial, are_known, excused_by_guards, note_without_guards, smaller_inputs
from ..numerical.full_gradients import NumericalGradient, differentiate_inputs
from ..numerical.sides import ULPS
from ..rows import judged_row
from ..tiny_constants import largest_guard_in_code, negligible, smaller_constants, tiny_constant
from ..user_function import module_names
from .edits_by_numbers import EditSearch, JudgedStep
from .explain import explain_part, shape_diagnosis
from .matching import Match, candidate_states, choose_state, match, same_but_ones
from .mending import Explained, explain_wrong, explained_by_guards, explained_step, still_wrong
from .probes import UserPasses, has_single
from .running import Forward, Passes, Version, name_stem, results, versions_of_inputs
from .step import Step
from .tracing import Trace, is_own
from .walk import as_floats

Array = np.ndarray[Any, Any]

SECONDS = 4.0  # rough time limit for all numerical gradients together
FEW = 6  # entries checked per gradient, besides random directions; a wrong gradient is checked in all entries
EPS = float(np.finfo(np.float64).eps)


class BoundValue(NamedTuple):
    """Where and when a value of the forward was bound.

    `frame` numbers the call, `line_event` is (call, line event) at which the content was final, `value` that content;
    `is_written` tells whether statements wrote into the array after it was bound.
    """

    label: str
    frame: int
    line_event: tuple[int, int]
    time: int
    value: Array
    is_written: bool


class NotFiniteError(ValueError):
    """Raised if a result of a `forward` is NaN or infinite."""

    def __init__(self, forward: Forward) -> None:
        super().__init__("The result of the forward is not finite.")
        self.forward = forward


def is_finite(forward: Forward) -> bool:
    """Tell whether the results of a forward are finite: if not, there are no gradients."""
    return all(np.isfinite(out.data).all() for out in forward.outs)


class ArrayRun:
    """A forward run on arrays, which can be run again with other numbers substituted for some of its values."""

    def __init__(
        self, f: Callable[..., Any], inputs: Inputs, leaves: Sequence[Array], cotangents: Sequence[str] = ()
    ) -> None:
        """`cotangents` is as for `run_forward`."""
        self.f, self.inputs, self.cotangents = f, inputs, cotangents
        self.leaves = [np.array(x) for x in leaves]
        trace = Trace(lambda label, value: _is_value(value))
        args, named = self._arguments(self.leaves)
        value = trace.run(f, *args, **named)
        self.bound: dict[Node, BoundValue] = {}
        tensor_of: dict[int, Tensor] = {}
        with recording(True):
            tensors = [new_input(np.array(x)) for x in self.leaves]
            versions = versions_of_inputs(inputs, tensors)
            input_tensors = {id(x): t for x, t in zip(self._passed, tensors, strict=True)}
            for b in trace.bindings:
                if b.frame == 1 and b.is_parameter and id(b.value) in input_tensors:
                    tensor_of[id(b.value)] = input_tensors[id(b.value)]
                    continue
                state = b.states[-1]
                new: Any = apply(alias, (new_input(np.array(state.array, np.float64)),))
                is_echo = b.is_parameter and id(b.value) in tensor_of
                name_versions = versions.setdefault(b.label, [])
                name_versions.append(Version(new.node, new, b.states[0].statement, b.function, {name_stem(b)}, is_echo))
                self.bound[new.node] = BoundValue(b.label, b.frame, state.line_event, state.time, new.data,
                                                  len(b.states) > 1)  # fmt: skip
                tensor_of[id(b.value)] = new
            loss, names, cache = results(_as_tensors(value, tensor_of), f, cotangents)
        last = {b.label: tensor_of[id(b.value)] for b in trace.bindings}
        last |= {b.label: tensor_of[id(b.value)] for b in trace.bindings if b.frame == 1}
        others = {k: v for k, v in trace.final_names.items() if k not in last and k != "self"}
        self.codes = frozenset(trace.codes)
        self.trace = trace  # keeps all values alive, so that no id() is reused
        self.forward = Forward(versions, loss, names, value, cache, tensors, last, others)

    @property
    def inputs_of(self) -> list[Node]:
        """The nodes of the inputs."""
        return [t.node for t in self.forward.tensors if t.node is not None]

    def value_of(self, node: Node) -> Array:
        """Return the array that a node (a bound value or an input) held in the first run."""
        return self.bound[node].value if node in self.bound else self.leaves[self.inputs_of.index(node)]

    def time_of(self, node: Node) -> int:
        """Return when a value was bound, as a position in the trace; 0 for an input."""
        return self.bound[node].time if node in self.bound else 0

    def _arguments(self, leaves: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
        self._passed = [np.array(x) for x in leaves]
        values = self.inputs.with_leaves(self._passed)
        by_name = self.inputs.by_name
        return [] if by_name else values, dict(zip(self.inputs.names, values, strict=True)) if by_name else {}

    def rerun(self, leaves: Sequence[Any], put: Mapping[Node, Any], measured: Sequence[Node] = ()) -> list[Any]:
        """Run the forward again on `leaves`, with the nodes in `put` bound to other values.

        Returns:
            The value of each node of `measured` (once read, the node is reset to its value of the first run), and then
            the results of the forward.
        """
        leaves = [put.get(node, x) for node, x in zip(self.inputs_of, leaves, strict=True)]
        measured_values: dict[Node, Any] = {}
        events: dict[tuple[int, int], list[Node]] = {}
        for node in sorted([n for n in {*put, *measured} if n in self.bound], key=lambda n: self.bound[n].time):
            events.setdefault(self.bound[node].line_event, []).append(node)
        frames: dict[int, Any] = {}
        space, number = module_names(self.f), [0]

        def enter_frame(frame: Any, event: str, arg: Any) -> Any:
            if not is_own(frame, space):
                return None
            call_number = number[0] = number[0] + 1
            frames[call_number] = frame
            count = [0]

            def act(local_names: Any) -> None:
                for node in events.get((call_number, count[0]), ()):
                    bound = self.bound[node]
                    names = local_names if bound.frame == call_number else frames[bound.frame].f_locals
                    container, key = _container(names, bound.label)
                    if node in measured:
                        measured_values[node] = np.array(container[key])
                    _put(container, key, bound, put.get(node, bound.value))

            def local(frame: Any, event: str, arg: Any) -> Any:
                if event in ("line", "return"):
                    count[0] += 1
                    if (call_number, count[0]) in events:
                        act(frame.f_locals)
                return local

            if (call_number, 0) in events:
                act(frame.f_locals)
            return local

        args, named = self._arguments(leaves)
        with tracing_calls(enter_frame):
            value = self.f(*args, **named)
        outs = [np.asarray(raw(t)) for t in results(_as_tensors(value, {}), self.f, self.cotangents)[0]]
        return [*(measured_values.get(node, self.value_of(node)) for node in measured), *outs]


def _is_value(x: Any) -> bool:
    """Tell whether a value is a floating-point or complex array or number."""
    return isinstance(x, (np.ndarray, np.number, float, complex)) and np.asarray(x).dtype.kind in "fc"


def _as_tensors(value: Any, tensor_of: Mapping[int, Tensor]) -> Any:
    """Return the result of a forward with its floating-point arrays replaced by Tensors, those of `tensor_of` by id."""
    if isinstance(value, dict):
        return {key: _as_tensors(part, tensor_of) if _is_value(part) else part for key, part in value.items()}
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
        return tuple(_as_tensors(part, tensor_of) if _is_value(part) else part for part in value)
    if not _is_value(value):
        return value
    found = tensor_of.get(id(value))
    if found is not None:
        return found
    with recording(True):
        return new_input(np.array(value, np.result_type(value, np.float64)))


def _container(names: Any, label: str) -> tuple[Any, Any]:
    """Return the container that holds the value of a label, such as ``hs[3]`` or ``cache['x']``, and its key there.

    It may be the local names, the attributes of an object, a list or a dict.
    """
    name, bracket, key = label.partition("[")
    if "." in name and not bracket:
        name, _, key = name.partition(".")
        return vars(names[name]), key
    if name not in names and "self" in names:
        names = vars(names["self"])
    return (names[name], ast.literal_eval(key[:-1])) if bracket else (names, name)


def _put(container: Any, key: Any, bound: BoundValue, value: Any) -> None:
    """Bind a label to another value; an array that the forward writes into is overwritten in place instead."""
    if bound.is_written:
        if np.iscomplexobj(value):
            raise TypeError("an array of real numbers is written into")
        container[key][...] = value
    else:
        container[key] = np.array(value) if np.ndim(value) else np.asarray(value)[()]


class Values(dict[Node, Array]):
    """The right gradient of each value of a run, computed numerically when it is first looked up."""

    def __init__(self, passes: NumericalPasses) -> None:
        super().__init__()
        self.passes = passes

    def __missing__(self, node: Node) -> Array:
        self[node] = np.nan_to_num(self.passes.value_gradient(node).value)
        return self[node]


class NumericalPasses:
    """Both passes at some inputs: the forward on arrays, the user's gradients, and the right ones by numbers.

    `later_gradients` holds the user's gradients of the values judged so far, which come later in the forward.
    """

    def __init__(self, called: UserPasses, leaves: Sequence[Array]) -> None:
        f, inputs = called.forward, called.inputs
        self.run = ArrayRun(f, inputs, [to_double(x) for x in leaves], called.cotangents)
        graph = self.run.forward
        if not is_finite(graph):
            raise NotFiniteError(graph)
        own = ArrayRun(f, inputs, leaves, called.cotangents).forward if has_single(leaves) else graph
        self.passes = called.with_backward(graph, own)
        self.rng, self.budget = called.rng, Budget(SECONDS)
        self.matches, self.notes = match(self.passes.backward.gradients, graph.versions, Values(self))
        self.matches.sort(key=lambda m: -self.run.time_of(m.version.node))
        self.later_gradients: dict[Node, Array] = {}
        self.unusable: list[Node] = []  # values whose gradients have a wrong shape or are not finite, so cannot be used

    def follows(self, node: Node) -> bool:
        """Tell whether a value feeds an `unusable` one directly, not only through values with a usable gradient."""
        if not self.unusable:
            return False
        measured = [*self.later_gradients, *self.unusable]
        x = self.run.value_of(node)
        moved = self.run.rerun(self.run.leaves, {node: x + 1e-3 * np.maximum(1, np.abs(x))}, measured)
        return any(not np.array_equal(moved[len(self.later_gradients) + k], self.run.value_of(n), equal_nan=True)
                   for k, n in enumerate(self.unusable))  # fmt: skip

    def rule_gradient(self, node: Node, max_entries: int | None = None) -> NumericalGradient:
        """Return the gradient of a value that follows by the right rule from the user's gradients of later values."""
        later_nodes = [n for n in self.later_gradients if self.run.time_of(n) > self.run.time_of(node)]
        return self.value_gradient(node, max_entries, later_nodes, [self.later_gradients[n] for n in later_nodes])

    def value_gradient(
        self, node: Node, max_entries: int | None = None, measured: Sequence[Node] = (), gradients: Sequence[Array] = ()
    ) -> NumericalGradient:
        """Return the numerical gradient of a value, in at most `max_entries` entries.

        The values `measured` are held fixed, and their changes are weighted with the gradients `gradients`.
        """
        line = Line(lambda x: self.run.rerun(self.run.leaves, {node: x}, measured), [self.run.value_of(node)])
        with self.budget:
            seconds = max(0.0, self.budget.remaining / 4)
            return differentiate_inputs(line, [*gradients, *self.passes.cotangents], self.rng, seconds, max_entries)[0]


def judged_by_numbers(
    called: UserPasses, leaves: Sequence[Array], reason: Reason
) -> tuple[list[Step], Passes, list[str], str, list[str]]:
    """Judge each gradient of a backward whose forward runs on arrays only.

    Return steps, passes, notes, the method, and the names of the inputs if all their right gradients are 0.

    Raise NotFiniteError if a result of the forward is not finite.
    """
    passes = NumericalPasses(called, leaves)
    own_eps = float(np.finfo(np.float32).eps) if passes.passes.has_float32 else EPS
    eps = max(own_eps, negligible(tiny_constant(called.forward, called.backward)) / ULPS)
    judged = _judge_steps(passes, eps)
    edits = EditSearch(called, passes, [*judged], NumericalPasses)
    suspects = list(edits.wrong)
    edits.leave_out_right_lines()
    guard = largest_guard_in_code(called.forward) if edits.wrong else 0.0
    trials = _trials(called, leaves, edits, suspects, own_eps) if guard else ()
    excused = excused_by_guards({k: judged[k].value for k in suspects}, trials)
    reasons = _effects_of_guards(edits, suspects, excused, guard)
    edits.wrong = still_wrong(edits.wrong, suspects, reasons)
    plain = {k: trial.of[k] for k, trial in excused.wrong_in.items() if not _is_same(judged[k], trial.of[k])}
    notes = [*passes.notes, *([reason.edit] if reason.edit else [])]

    def explain(k: int) -> Explained:
        for step in (plain[k], judged[k]) if k in plain else (judged[k],):
            rule_gradient = np.nan_to_num(step.rule_gradient.value)
            bound = np.nan_to_num(step.rule_gradient.error) + _rounding(rule_gradient, eps)
            m, by_rule = passes.matches[k], step.rule_gradient
            diagnosis = _explain(m.gradient.name, m, step.value, by_rule, step.rule, step.wrong_mask,
                                 rule_gradient, bound)  # fmt: skip
            if diagnosis.kind != "unknown":
                break
        explained = Explained(diagnosis, judged[k].state)
        if step is judged[k]:
            return edits.with_edit(explained, k)
        note = note_without_guards(guard, [(rule_gradient, np.nan_to_num(judged[k].rule_gradient.value))])
        notes.extend([note] if note and note not in notes else [])
        if excused.wrong_in[k].factor != 1:  # edits are tried at the inputs themselves, where its rule has lost digits
            return explained
        edits.judged[k] = step
        with smaller_constants(np.float64, called.forward):
            return edits.with_edit(explained, k)

    places = {k: (passes.matches[k].gradient.name.partition("[")[0], judged[k].state.statement) for k in edits.wrong}
    reasons |= explain_wrong(edits.wrong, places, explain)
    steps = [explained_step(m, step.state, (step.row, step.rule), step.rule.numerical, reasons.get(k))
             for k, (m, step) in enumerate(zip(passes.matches, judged, strict=True))]  # fmt: skip
    entries = sum(step.row.checked for step in judged)
    method = (f"{reason.sentence[0].upper()}{reason.sentence[1:]}. Each value is replaced by other numbers where it is "
              f"assigned, and the forward goes on with them: {counted(entries, 'entry')}, in float64.")  # fmt: skip
    inputs = {m.gradient.belongs_to: step.has_effect for m, step in zip(passes.matches, judged, strict=True)
              if step.row.role == "input"}  # fmt: skip
    return steps, passes.passes, notes, method, [] if reasons or any(inputs.values()) else [*inputs]


def wrong_steps_by_numbers(called: UserPasses, leaves: Sequence[Array]) -> frozenset[str] | None:
    """Return the names of the gradients wrong by their own rules; None if it stops, or none is of an input."""
    passes = NumericalPasses(called, leaves)
    inputs = passes.run.inputs_of
    if passes.passes.backward.stopped is not None or all(m.version.node not in inputs for m in passes.matches):
        return None
    eps = float(np.finfo(np.float32).eps) if passes.passes.has_float32 else EPS
    both = zip(passes.matches, _judge_steps(passes, eps), strict=True)
    return frozenset(m.gradient.name for m, step in both if not step.rule.ok)


def _judge_steps(passes: NumericalPasses, eps: float) -> list[JudgedStep]:
    """Judge each gradient by its value and by its own rule."""
    judged: list[JudgedStep] = []
    for m in passes.matches:
        node, label = m.version.node, m.gradient.name
        by_value = passes.value_gradient(node, FEW)
        by_rule = by_value if all(step.row.ok for step in judged) else passes.rule_gradient(node, FEW)
        rule_gradient = np.nan_to_num(by_rule.value)
        bound = np.nan_to_num(by_rule.error) + _rounding(rule_gradient, eps)
        choice = candidate_states(m.states)
        state, _ = choose_state(choice, rule_gradient, np.where(by_rule.is_known, bound, np.inf))
        value = as_floats(state.array)
        if same_but_ones(value.shape, rule_gradient.shape):
            value = value.reshape(rule_gradient.shape)
        (row, _), (rule, wrong_mask) = (_judge(label, value, expected, eps) for expected in (by_value, by_rule))
        follows = not rule.ok and passes.follows(node)
        if not rule.ok and not follows:
            by_rule = passes.rule_gradient(node)  # now in every entry
            rule, wrong_mask = _judge(label, value, by_rule, eps)
        role = "input" if node in passes.run.inputs_of else "intermediate"
        has_effect = bool(np.any(np.nan_to_num(by_value.value)) or any(slope for _, slope, _ in by_value.directions))
        judged.append(JudgedStep(state, value, replace(row, role=role), replace(rule, role=role), wrong_mask, by_rule,
                                 follows, has_effect))  # fmt: skip
        if value.shape == rule_gradient.shape and np.isfinite(value).all():
            passes.later_gradients[node] = value
        else:
            passes.unusable.append(node)
    return judged


def _effects_of_guards(
    edits: EditSearch, suspects: Sequence[int], excused: Excused, guard: float
) -> dict[int, Explained]:
    """Return the explanation of gradients that are right for the forward without constants such as 1e-8."""
    rows = [(step.row, step.rule) for step in edits.judged]
    pairs = [(step.value, np.nan_to_num(step.rule_gradient.value)) for step in edits.judged]
    states = [step.state for step in edits.judged]
    return explained_by_guards(rows, states, suspects, excused, guard, pairs)


def _is_same(judged: JudgedStep, other: JudgedStep) -> bool:
    """Tell whether a step should be the same in two judgements."""
    one, two = judged.rule_gradient, other.rule_gradient
    return bool((np.abs(np.nan_to_num(one.value - two.value)) <= np.nan_to_num(one.error + two.error)).all())


def _trials(
    called: UserPasses, leaves: Sequence[Array], edits: EditSearch, suspects: Sequence[int], eps: float
) -> Iterator[Trial]:
    """Yield which wrong steps are right without constants such as 1e-8 in the forward, also for smaller inputs."""
    f, names, budget = called.forward, [m.gradient.name for m in edits.runs[0].matches], Budget(SECONDS)
    for factor, inputs in ((1.0, leaves), *smaller_inputs(leaves)):
        known, right = set(), set()
        steps: dict[int, JudgedStep] = {}
        try:
            passes = NumericalPasses(called.moved(inputs), inputs)
            passes.budget = budget
            outs = []
            for dtype in (np.float32, np.float64):
                with smaller_constants(dtype, f):
                    outs.append(passes.run.rerun(passes.run.leaves, {}))
            if [m.gradient.name for m in passes.matches] != names:
                return
            for k, (m, chosen) in enumerate(zip(passes.matches, edits.chosen, strict=True)):
                node, shape = m.version.node, m.version.value.shape
                value = as_floats(m.states[min(chosen, len(m.states) - 1)].array)
                value = value.reshape(shape) if same_but_ones(value.shape, shape) else value
                if k in suspects:
                    with smaller_constants(np.float64, f):
                        by_rule = passes.rule_gradient(node)
                    row, wrong_mask = _judge(m.gradient.name, value, by_rule, eps)
                    is_right, steps[k] = row.ok, edits.judged[k]._replace(
                        value=value, rule=row, wrong_mask=wrong_mask, rule_gradient=by_rule)  # fmt: skip
                    error, gradient = by_rule.error[by_rule.is_known], by_rule.value[by_rule.is_known]
                    if gradient.size and are_known([error], [value if is_right else gradient], eps):
                        known.add(k)
                        right |= {k} if is_right else set()
                if value.shape == shape and np.isfinite(value).all():
                    passes.later_gradients[node] = value
        except Exception:  # user code may raise anything for inputs that it was not made for
            return
        # a value that is 0 without its guard makes the result depend on what stands in for the guard
        is_beyond = not (same_arrays(*outs) and all(np.isfinite(out).all() for out in outs[1]))
        yield Trial(factor, right, set() if is_beyond else known, (), steps)
        if budget.is_over:
            return


def _rounding(array: Array, eps: float) -> Array:
    size: Array = np.abs(array)
    return ULPS * eps * (size + 0.25 * float(size.max(initial=0))) + 1e-300


def _judge(label: str, value: Array, numerical: NumericalGradient, eps: float) -> tuple[Row, Array]:
    """Return the row that compares a gradient with the numerical one, and a mask of its wrong entries."""
    allowed = _rounding(value, eps) if value.shape == numerical.value.shape else np.zeros(numerical.value.shape)
    row, wrong_mask, reference = judged_row(label, value, numerical, allowed)
    is_direction_wrong = value.shape == numerical.value.shape and any(
        abs(inner_product(value, v) - slope) > bound + float((allowed * np.abs(v)).sum())
        for v, slope, bound in numerical.directions
    )
    if is_direction_wrong and row.ok:
        row = replace(row, ok=False, odd="manual")
    return replace(row, graph=float(np.real(reference[row.worst])) if reference.size else row.graph), wrong_mask


def _explain(
    label: str, m: Match, value: Array, by_rule: NumericalGradient, row: Row, wrong_mask: Array, right_gradient: Array,
    bound: Array,
) -> Diagnosis:  # fmt: skip
    """Return the diagnosis of a wrong gradient, as far as one can be made without a graph."""
    part = empty_graph([np.asarray(m.version.value.data)])
    of_shape = shape_diagnosis(part, label, m.gradient.belongs_to, value, right_gradient)
    if of_shape is not None:
        return of_shape
    if value.shape == right_gradient.shape and not by_rule.is_known.all():
        return Diagnosis("unknown", label, describe_known_entries(label, value, right_gradient, wrong_mask, by_rule))
    noise = float(np.nanmax(by_rule.error, initial=0.0) / (np.nanmax(np.abs(by_rule.value), initial=0.0) or 1.0))
    diagnosis = explain_part(part, label, m.gradient.belongs_to, value, right_gradient, bound, wrong_mask, row,
                             close=max(CLOSE, noise))  # fmt: skip
    return replace(diagnosis, evidence=tuple(map(by_differences, diagnosis.evidence)))
