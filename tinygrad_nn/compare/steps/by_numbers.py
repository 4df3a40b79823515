"""Judge the steps of a backward whose forward cannot run on Tensors: right gradients by numerical differentiation.

The forward runs on arrays many times. In each run one name is bound to perturbed numbers at the place where it was
bound, and the run continues with them; the change of the result gives the gradient of that value. To judge a
step by its own rule, the later values for which the user computed gradients are measured and then restored where they
are bound, so that the perturbation goes no further; their changes are weighted with the user's gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ...gradcheck.numerical import Line, inner_product, to_double
from ...node import Node, recording
from ...tensor import Tensor, apply, raw
from ...transforms import alias, new_input
from ..budget import Budget
from ..conventions.reasons import Reason
from ..diagnosis import Diagnosis, Row
from ..edits.running import tracing_calls
from ..function.black_box import by_differences, describe_known_entries, empty_graph
from ..function.calling import Inputs
from ..function.gradient_data import CLOSE, GradientData
from ..function.operations import explain_graph
from ..numerical.full_gradients import NumericalGradient, differentiate_inputs
from ..numerical.sides import ULPS
from ..rows import judged_row
from .edits_by_numbers import EditSearch, JudgedStep
from .explain import same_but_ones, shape_diagnosis
from .forward_values import Surroundings
from .matching import Match, candidate_states, choose_state, match
from .mending import Explained
from .names import Names
from .probes import UserPasses, draw_cotangents
from .running import Forward, Passes, Version, checked_mapping, name_stem, results, run_backward
from .statements import Statement
from .step import Step
from .tracing import Trace, is_own, module_names
from .walk import as_floats

Array = np.ndarray[Any, Any]

SECONDS = 4.0  # rough time limit for all numerical gradients together
FEW = 6  # entries checked per gradient, besides random directions; a wrong gradient is checked in all entries
EPS = float(np.finfo(np.float64).eps)


class BoundValue(NamedTuple):
    """Where and when a value of the forward was bound.

    `frame` numbers the call, `at` is (call, line event) at which the content was final, `value` that content;
    `written` tells whether statements wrote into the array after it was bound.
    """

    label: str
    frame: int
    at: tuple[int, int]
    time: int
    value: Array
    written: bool


class ArrayRun:
    """A forward run on arrays, which can be run again with other numbers substituted for some of its values."""

    def __init__(self, f: Callable[..., Any], inputs: Inputs, leaves: Sequence[Array]) -> None:
        self.f, self.inputs = f, inputs
        self.leaves = [np.array(x) for x in leaves]
        trace = Trace(lambda label, value: _is_value(value), copies=True)
        args, named = self._arguments(self.leaves)
        value = trace.run(f, *args, **named)
        self.bound: dict[Node, BoundValue] = {}
        nothing = Statement(0, 0, "")
        versions: dict[str, list[Version]] = {}
        made: dict[int, Tensor] = {}
        with recording(True):
            tensors = [new_input(np.array(x)) for x in self.leaves]
            for i, t in zip(inputs.float_indices, tensors, strict=True):
                versions[inputs.labels[i]] = [Version(t.node, t, nothing, "", {""})]  # type: ignore[arg-type]
            given = {id(x): t for x, t in zip(self._passed, tensors, strict=True)}
            for b in trace.bindings:
                if b.frame == 1 and b.given and id(b.value) in given:
                    made[id(b.value)] = given[id(b.value)]
                    continue
                state = b.states[-1]
                new: Any = apply(alias, (new_input(np.array(state.array, np.float64)),))
                echo = b.given and id(b.value) in made
                mine = versions.setdefault(b.label, [])
                mine.append(Version(new.node, new, b.states[0].statement, b.function, {name_stem(b)}, echo))
                self.bound[new.node] = BoundValue(b.label, b.frame, state.at, state.time, new.data, len(b.states) > 1)
                made[id(b.value)] = new
            loss, names, cache = results(_as_tensors(value, made))
        last = {b.label: made[id(b.value)] for b in trace.bindings}
        last |= {b.label: made[id(b.value)] for b in trace.bindings if b.frame == 1}
        others = {k: v for k, v in trace.left.items() if k not in last and k != "self"}
        self.codes = frozenset(trace.codes)
        self.kept = trace  # keeps all values alive, so that no id() is reused
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

    def again(self, leaves: Sequence[Any], put: Mapping[Node, Any], measured: Sequence[Node] = ()) -> list[Any]:
        """Run the forward again on `leaves`, with the nodes in `put` bound to other values.

        Returns:
            The value of each node of `measured` (once read, the node is reset to its value of the first run), and then
            the results of the forward.
        """
        leaves = [put.get(node, x) for node, x in zip(self.inputs_of, leaves, strict=True)]
        seen: dict[Node, Any] = {}
        events: dict[tuple[int, int], list[Node]] = {}
        for node in sorted([n for n in {*put, *measured} if n in self.bound], key=lambda n: self.bound[n].time):
            events.setdefault(self.bound[node].at, []).append(node)
        frames: dict[int, Any] = {}
        space, number = module_names(self.f), [0]

        def enter_frame(frame: Any, event: str, arg: Any) -> Any:
            if not is_own(frame, space):
                return None
            mine = number[0] = number[0] + 1
            frames[mine] = frame
            count = [0]

            def act(held: Any) -> None:
                for node in events.get((mine, count[0]), ()):
                    where = self.bound[node]
                    names = held if where.frame == mine else frames[where.frame].f_locals
                    if node in measured:
                        seen[node] = np.array(_get(names, where.label))
                    _put(names, where, put.get(node, where.value))

            def local(frame: Any, event: str, arg: Any) -> Any:
                if event in ("line", "return"):
                    count[0] += 1
                    if (mine, count[0]) in events:
                        act(frame.f_locals)
                return local

            if (mine, 0) in events:
                act(frame.f_locals)
            return local

        args, named = self._arguments(leaves)
        with tracing_calls(enter_frame):
            value = self.f(*args, **named)
        outs = [np.asarray(raw(t)) for t in results(_as_tensors(value, {}))[0]]
        return [*(seen.get(node, self.bound[node].value) for node in measured), *outs]


def _is_value(x: Any) -> bool:
    """Tell whether a value is a floating-point or complex array or number."""
    return isinstance(x, (np.ndarray, np.number, float, complex)) and np.asarray(x).dtype.kind in "fc"


def _as_tensors(value: Any, made: Mapping[int, Tensor]) -> Any:
    """Return the result of a forward with its floating-point arrays replaced by Tensors, those of `made` by id."""
    if isinstance(value, dict):
        return {key: _as_tensors(part, made) if _is_value(part) else part for key, part in value.items()}
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
        return tuple(_as_tensors(part, made) if _is_value(part) else part for part in value)
    if not _is_value(value):
        return value
    with recording(True):
        return made.get(id(value)) or new_input(np.array(value, np.result_type(value, np.float64)))


def _split_label(label: str) -> tuple[str, Any]:
    """Split a label such as ``hs[3]`` or ``cache['x']`` into name and key; the key of a plain name is None."""
    name, bracket, key = label.partition("[")
    if not bracket:
        return name, None
    key = key[:-1]
    return name, key[1:-1] if key[:1] in "'\"" else int(key)


def _holder(names: Any, label: str) -> tuple[Any, Any]:
    """Return the container that holds the value of a label (local names, attributes, a list, a dict) and its key."""
    name, key = _split_label(label)
    if "." in name and key is None:
        name, _, key = name.partition(".")
        return vars(names[name]), key
    if name not in names and "self" in names:
        names = vars(names["self"])
    return (names, name) if key is None else (names[name], key)


def _get(names: Any, label: str) -> Any:
    holder, key = _holder(names, label)
    return holder[key]


def _put(names: Any, where: BoundValue, value: Any) -> None:
    """Bind a label to another value; an array that the forward writes into is overwritten in place instead."""
    holder, key = _holder(names, where.label)
    if where.written:
        if np.iscomplexobj(value):
            raise TypeError("an array of real numbers is written into")
        holder[key][...] = value
    else:
        holder[key] = np.array(value) if np.ndim(value) else np.asarray(value)[()]


class Values(dict[Node, Array]):
    """The right gradient of each value of a run, computed numerically when it is first looked up."""

    def __init__(self, asked: Asked) -> None:
        super().__init__()
        self.asked = asked

    def __missing__(self, node: Node) -> Array:
        self[node] = np.nan_to_num(self.asked.whole(node).value)
        return self[node]


class Asked:
    """Both passes at some inputs: the forward on arrays, the user's gradients, and the right ones by numbers.

    `behind` holds the user's gradients of the values judged so far, which come later in the forward.
    """

    def __init__(self, called: UserPasses, leaves: Sequence[Array]) -> None:
        f, inputs = called.forward, called.inputs
        self.single = any(x.dtype.itemsize // (1 + (x.dtype.kind == "c")) < 8 for x in leaves)
        self.run = ArrayRun(f, inputs, [to_double(x) for x in leaves])
        self.mine = ArrayRun(f, inputs, leaves) if self.single else self.run
        self.cotangents, self.g = draw_cotangents(called.backward, self.run.forward, called.rng)
        names = [*self.run.forward.versions]
        known = Names(names, checked_mapping(called.names, names))
        self.around = Surroundings(called.backward)
        self.written = run_backward(called.backward, inputs, self.mine.forward, self.g, known)
        self.rng, self.budget = called.rng, Budget(SECONDS)
        self.matches, self.notes = match(self.written.found, self.run.forward.versions, Values(self))
        self.matches.sort(key=lambda m: -self.run.time_of(m.version.node))
        self.behind: dict[Node, Array] = {}
        self.lost: list[Node] = []  # values whose gradients have a wrong shape or are not finite, so cannot be used

    def follows(self, node: Node) -> bool:
        """Tell whether a value feeds a `lost` value directly, not only through values that have a usable gradient."""
        if not self.lost:
            return False
        measured = [*self.behind, *self.lost]
        x = self.run.value_of(node)
        moved = self.run.again(self.run.leaves, {node: x + 1e-3 * np.maximum(1, np.abs(x))}, measured)
        return any(not np.array_equal(moved[len(self.behind) + k], self.run.value_of(n), equal_nan=True)
                   for k, n in enumerate(self.lost))  # fmt: skip

    def own(self, node: Node, most: int | None = None) -> NumericalGradient:
        """Return the gradient of a value that follows by the right rule from the user's gradients of later values."""
        after = [n for n in self.behind if self.run.time_of(n) > self.run.time_of(node)]
        return self.whole(node, most, after, [self.behind[n] for n in after])

    def whole(
        self, node: Node, most: int | None = None, measured: Sequence[Node] = (), given: Sequence[Array] = ()
    ) -> NumericalGradient:
        """Return the numerical gradient of a value, in at most `most` entries.

        The values `measured` are held fixed, and their changes are weighted with the gradients `given`.
        """
        line = Line(lambda x: self.run.again(self.run.leaves, {node: x}, measured), [self.run.value_of(node)])
        with self.budget:
            seconds = max(0.0, self.budget.remaining / 4)
            return differentiate_inputs(line, [*given, *self.cotangents], self.rng, seconds, most)[0]


def judged_by_numbers(
    called: UserPasses, leaves: Sequence[Array], reason: Reason
) -> tuple[list[Step], Passes, list[str], str]:
    """Judge each gradient of a backward whose forward runs on arrays only; return steps, passes, notes and method."""
    asked = Asked(called, leaves)
    run, single = asked.run, asked.single
    eps = float(np.finfo(np.float32).eps) if single else EPS
    judged: list[JudgedStep] = []
    for m in asked.matches:
        node, label = m.version.node, m.given.name
        right = asked.whole(node, FEW)
        own = right if all(one.row.ok for one in judged) else asked.own(node, FEW)
        arrived = np.nan_to_num(own.value)
        bound = np.nan_to_num(own.error) + _rounding(arrived, eps)
        choice = candidate_states(m.states)
        state, _ = choose_state(choice, arrived, np.where(own.is_known, bound, np.inf))
        value = as_floats(state.array)
        if same_but_ones(value.shape, arrived.shape):
            value = value.reshape(arrived.shape)
        (row, _), (rule, bad) = (_judged(label, value, whole, eps) for whole in (right, own))
        follows = not rule.ok and asked.follows(node)
        if not rule.ok and not follows:
            own = asked.own(node)  # now in every entry
            rule, bad = _judged(label, value, own, eps)
        role = "input" if node in run.inputs_of else "intermediate"
        judged.append(JudgedStep(state, value, replace(row, role=role), replace(rule, role=role), bad, own, follows))
        if value.shape == arrived.shape and np.isfinite(value).all():
            asked.behind[node] = value
        else:
            asked.lost.append(node)
    changes = EditSearch(called, asked, judged, Asked)
    changes.leave_out_right_lines()
    steps: list[Step] = []
    entries = 0
    known: dict[tuple[str, Statement], Explained] = {}
    for k, (m, one) in enumerate(zip(asked.matches, judged, strict=True)):
        state, found = one.state, None
        if k in changes.wrong:
            arrived = np.nan_to_num(one.own.value)
            bound = np.nan_to_num(one.own.error) + _rounding(arrived, eps)
            place = m.given.name.partition("[")[0], state.statement
            found = known.get(place) or changes.done.get(k)
            if found is None:
                why = _explained(m.given.name, m, one.value, one.own, one.rule, one.bad, arrived, bound)
                found = changes.mended(Explained(why, state), k)
            known[place] = found
            state = state._replace(statement=found.state.statement, function=found.state.function)
        entries += one.row.checked
        steps.append(Step(
            m.given.name, m.given.belongs_to, state.statement.line, state.statement.text,
            state.function or m.given.function, m.given.round, m.rounds, one.row.ok, found is None, one.row, one.rule,
            one.rule.numerical, None if found is None else found.diagnosis,
        ))  # fmt: skip
    method = (f"{reason.sentence[0].upper()}{reason.sentence[1:]}. Each value is replaced by other numbers where it is "
              f"assigned, and the forward goes on with them: {entries:,} entries, in float64.")  # fmt: skip
    passes = Passes(run.forward, asked.cotangents, asked.written, single, asked.mine.forward, asked.g)
    return steps, passes, [*asked.notes, *([reason.edit] if reason.edit else [])], method


def _rounding(array: Array, eps: float) -> Array:
    size: Array = np.abs(array)
    return ULPS * eps * (size + 0.25 * float(size.max(initial=0))) + 1e-300


def _judged(label: str, value: Array, whole: NumericalGradient, eps: float) -> tuple[Row, Array]:
    """Return the row that compares a gradient with the numerical one, and a mask of its wrong entries."""
    allowed = _rounding(value, eps) if value.shape == whole.value.shape else np.zeros(whole.value.shape)
    row, bad, reference = judged_row(label, value, whole, allowed)
    off = value.shape == whole.value.shape and any(
        abs(inner_product(value, v) - slope) > bound + float((allowed * np.abs(v)).sum())
        for v, slope, bound in whole.directions
    )
    if off and row.ok:
        row = replace(row, ok=False, odd="manual")
    return replace(row, graph=float(np.real(reference[row.worst])) if reference.size else row.graph), bad


def _explained(
    label: str, m: Match, value: Array, own: NumericalGradient, row: Row, bad: Array, right: Array, bound: Array
) -> Diagnosis:
    """Return the diagnosis of a wrong gradient, as far as one can be made without a graph."""
    x = np.asarray(m.version.value.data)
    part = empty_graph([x])
    shaped = shape_diagnosis(part, label, m.given.belongs_to, value, right)
    if shaped is not None:
        return shaped
    if value.shape == right.shape and not own.is_known.all():
        return Diagnosis("unknown", label, describe_known_entries(label, value, right, bad, own))
    inputs = Inputs([label], [right], False, [right], [label], [0], [0])
    noise = float(np.nanmax(own.error, initial=0.0) / (np.nanmax(np.abs(own.value), initial=0.0) or 1.0))
    look = GradientData(inputs, [value], [right], [bound], [bad], part, [x], [], max(CLOSE, noise))
    found = explain_graph(look, [row], [False])[0]
    evidence = tuple(map(by_differences, found.evidence))
    return replace(found, text=found.text.replace(f"the gradient of {label}", label), evidence=evidence)
