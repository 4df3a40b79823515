"""Run both passes at other inputs as well, and search there for the edit of a wrong line that makes its step right."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from copy import copy
from dataclasses import replace
from types import CodeType
from typing import Any

import numpy as np

from ...gradcheck.numerical import to_double
from ...node import Node
from ...tensor import raw
from ..budget import Budget
from ..edits import Behind, Edit, KnownGradient, Place, Target, edit_of_step, is_right_from_right, nearest_edits
from ..edits.moments import names_mentioned
from ..edits.trial import edited
from ..experiment import nearby
from ..function.calling import Inputs
from ..user_function import code_of, module_names
from .arguments import arguments, cotangent_parameters, takes_cotangent
from .forward_values import Surroundings
from .matching import Match, match, reshaped, same_but_ones
from .mending import Explained, as_read, blame_edited_line
from .names import Names, names_for_gradient
from .running import Forward, Passes, run_backward, run_forward
from .statements import Statement
from .tape import Tape
from .tracing import State, is_number
from .unnamed import shifted
from .walk import Walked, injected, wrong_steps

Array = np.ndarray[Any, Any]

PROBES = 2  # other inputs at which an edit of a line is tried
SECONDS = 2.5  # rough time limit for the search for edits
CLOSE = 1e-7  # of the largest entry: by how much equal gradients may differ


class UserPasses:
    """The user's forward and backward, which can be called at any inputs; `runs` keeps each run."""

    def __init__(
        self, forward: Any, backward: Any, inputs: Inputs, names: Mapping[str, str], rng: np.random.Generator
    ) -> None:
        self.forward, self.backward, self.inputs, self.names, self.rng = forward, backward, inputs, names, rng
        self.cotangents = cotangent_parameters(backward, inputs)
        self.runs: list[Passes] = []

    def moved(self, leaves: Sequence[Array]) -> UserPasses:
        """Return the same functions, without runs, for other inputs."""
        filled = dict(zip(self.inputs.float_indices, leaves, strict=True))
        inputs = self.inputs._replace(leaves=[filled.get(i, x) for i, x in enumerate(self.inputs.leaves)])
        return UserPasses(self.forward, self.backward, inputs, self.names, self.rng)

    def at(self, leaves: Sequence[Array]) -> Passes:
        """Run both at some inputs: the forward in float64 for the graph, and in its own dtype for the backward."""
        graph = run_forward(self.forward, self.inputs, [to_double(x) for x in leaves], self.cotangents)
        if not has_single(leaves):
            return self.with_backward(graph, graph)
        user_forward = run_forward(self.forward, self.inputs, leaves, self.cotangents)
        return self.with_backward(graph, user_forward)

    def with_backward(self, graph: Forward, user_forward: Forward) -> Passes:
        """Run the backward after a run of the forward, in float64 and in the user's own dtype."""
        cotangents, g = self.draw_cotangents(graph)
        value_names = Names([*graph.versions], self.names)
        surroundings = Surroundings(self.backward)
        backward = run_backward(self.backward, self.inputs, user_forward, g, value_names)
        has_float32 = user_forward is not graph
        self.runs.append(Passes(graph, cotangents, backward, has_float32, user_forward, g, surroundings))
        return self.runs[-1]

    def draw_cotangents(self, graph: Forward) -> tuple[list[Array], Any]:
        """Return the cotangents of the results as a list, and in the form that the backward takes: an array or a tuple.

        They are random if the backward has a parameter for them and the result is no single number, else all ones.
        """
        is_loss = len(graph.outs) == 1 and graph.outs[0].size == 1
        if not is_loss and takes_cotangent(self.backward, self.inputs, graph):
            cotangents = [self.rng.uniform(0.5, 1.5, t.shape) * self.rng.choice([-1.0, 1.0], t.shape)
                          for t in graph.outs]  # fmt: skip
        else:
            cotangents = [np.ones(t.shape) for t in graph.outs]
        return cotangents, (cotangents[0].copy() if len(cotangents) == 1 else tuple(x.copy() for x in cotangents))

    def call(self, f: Any, probe: int) -> Any:
        """Call `f` (an edited backward) with the arguments of the backward in the run with number `probe`."""
        run = self.runs[probe]
        args, kwargs = arguments(self.backward, self.inputs, run.user_forward, run.g, {})
        with self.in_place(f, probe) as function:
            return function(*args, **kwargs)

    def in_place(self, f: Any, probe: int) -> AbstractContextManager[Any]:
        """Put back what the forward of a run left for the backward; the value is `f`, on a copy of its object."""
        surroundings: Any = self.runs[probe].surroundings
        return surroundings.in_place(f)  # type: ignore[no-any-return]

    def as_written(self, edit: Edit) -> Edit:
        """Return an edit that reads forward values as the backward does: ``cache['h']`` or ``cache.h`` for ``h``."""
        _, kwargs = arguments(self.backward, self.inputs, self.runs[0].user_forward, self.runs[0].g, {})
        return as_read(edit, self.backward, kwargs, self.runs[0].user_forward)

    def values(self, probe: int) -> dict[str, Any]:
        """Return the values of the forward by name, in the run with number `probe`, and numbers of its module."""
        run = self.runs[probe]
        values = {k: np.array(t.data) for k, t in run.user_forward.values.items() if k.isidentifier()}
        return module_numbers(self.forward) | values


def module_numbers(forward: Any) -> dict[str, Any]:
    """Return the arrays and numbers of its module that a forward mentions: masks, targets, a stride."""
    code, space = code_of(forward), module_names(forward) or {}
    mentioned = names_mentioned(code) if code is not None else ()
    return {name: space[name] for name in mentioned if is_number(space.get(name))}


def has_single(leaves: Sequence[Array]) -> bool:
    """Tell whether an array is less precise than float64."""
    return any(x.dtype.itemsize // (1 + (x.dtype.kind == "c")) < 8 for x in leaves)


def has_finite_gradients(run: Passes) -> bool:
    """Tell whether a backward ran to its end and all its gradients are finite."""
    return run.backward.stopped is None and all(
        np.isfinite(gradient.states[-1].array).all() for gradient in run.backward.gradients
    )


def matched(run: Passes, summed: float = 1.0) -> tuple[Tape, dict[Node, Array], list[Match], list[str]]:
    """Return the graph of a run, the right gradient of each value, the matches in the order of the walk, and notes.

    `summed` is that of `Tape`.
    """
    tape = Tape([(t.node, np.asarray(c, t.data.dtype))  # type: ignore[misc]
                 for t, c in zip(run.graph.outs, run.cotangents, strict=True)], summed)  # fmt: skip
    right_gradients = tape.walk({v.node for bound_versions in run.graph.versions.values() for v in bound_versions})
    matches, notes = match(run.backward.gradients, run.graph.versions, right_gradients)
    return tape, right_gradients, sorted(matches, key=lambda m: tape.place(m.version.node)), notes


def matched_without_guards(tape: Tape, matches: Sequence[Match]) -> tuple[Tape, list[Match]]:
    """Return a graph without constants such as 1e-8, and the matches with its values."""
    plain, twins = tape.without_guards()
    return plain, [m._replace(version=m.version._replace(node=twins.get(m.version.node, m.version.node)))
                   for m in matches]  # fmt: skip


def without(matches: Sequence[Match], parts: Collection[tuple[str, int]]) -> list[Match]:
    """Return the matches without those of some names and rounds."""
    return [m for m in matches if (m.gradient.name, m.gradient.round) not in parts]


class Probes:
    """Searches an edit for a wrong line, and tries it at the given inputs and at other ones, which are run once."""

    def __init__(
        self, called: UserPasses, tape: Tape, matches: list[Match], walked: Walked, shifts: Mapping[int, int],
        parts: Collection[tuple[str, int]] = (),
    ) -> None:  # fmt: skip
        """`shifts` are those of `unnamed_values`; `parts` has the names and rounds of gradients that are left out."""
        self.parts = parts
        self.called, self.first_run, self.shifts = called, (tape, matches, walked), shifts
        self.matches, self.walked = matches, walked
        self.other_runs: list[tuple[Tape, list[Match], Walked] | None] | None = None
        self.guarded = self  # or the same with constants such as 1e-8, which has run both passes at other inputs
        self.other_matches: list[tuple[Tape, list[Match]] | None] | None = None
        self.wrong_before: set[tuple[str, int]] | None = None
        self.budget = Budget(SECONDS)

    def without_guards(self, run: Passes, tape: Tape, matches: list[Match], walked: Walked) -> Probes:
        """Return the same for a forward without constants such as 1e-8, except that `run` is not needed."""
        other = copy(self)
        other.first_run, other.matches, other.walked = (tape, matches, walked), matches, walked
        other.other_runs = other.wrong_before = None
        return other

    def with_edit(self, explained: Explained, k: int, wrong_steps: Collection[int]) -> Explained:
        """Return the explanation of step `k` with the smallest edit that makes it right, if one is found."""
        edit, state = self._edit(k, explained.state, wrong_steps), explained.state
        if (edit is None or edit.lacks) and state.call is not None:  # a wrong argument of the function that made it
            state = state._replace(statement=state.call[0], visit=state.call[1], label="", function="", call=None)
            other = self._edit(k, state, wrong_steps)
            if other is not None and not other.lacks:
                edit, explained = other, explained._replace(state=state)
        if edit is not None and state.statement.line:
            edit = self._of_all_rounds(edit, k, wrong_steps)
        if edit is None:
            return explained
        names = [self.matches[j].gradient.name for j in dict.fromkeys((k, *edit.fixes))]
        return blame_edited_line(explained, edit, set(self.called.runs[0].graph.values), names)

    def _of_all_rounds(self, edit: Edit, k: int, wrong_steps: Collection[int]) -> Edit | None:
        """Return an edit with all steps that it makes right; None if it makes others wrong.

        If it makes no other round of a loop right in which the line is wrong, it is right by chance, as where a
        carried gradient is still 0. Then an edit of another round is returned that makes step `k` right too, or None.
        """
        mends = self._mends(edit)
        if mends is None:
            return None
        name = self.matches[k].gradient.name
        rounds = [j for j in wrong_steps if j != k and self.matches[j].gradient.name == name
                  and self.walked.states[j].statement == self.walked.states[k].statement]  # fmt: skip
        if rounds and not mends.intersection(rounds) and self.wrong_before:
            j = rounds[len(rounds) // 2]
            other = self._edit(j, self.walked.states[j], wrong_steps)
            mends = None if other is None else self._mends(other)
            if other is None or mends is None or k not in mends:
                return None
            edit = other
        if rounds and edit.alternatives:
            edit = replace(edit, alternatives=tuple(text for text in edit.alternatives if self._is_of_rounds(
                edit, text, {k, *rounds} & mends)))  # fmt: skip
        return replace(edit, fixes=tuple(dict.fromkeys((k, *(j for j in wrong_steps if j in mends)))))

    def _is_of_rounds(self, edit: Edit, alternative: str, rounds: Collection[int]) -> bool:
        """Tell whether another edit of the same line makes the same rounds right; one of another line is taken so."""
        place, _, after = alternative.partition(": ")
        if place != f"line {edit.lineno}":
            return True
        mends = self._mends(replace(edit, after=after))
        return mends is not None and mends.issuperset(rounds)

    def _mends(self, edit: Edit) -> set[int] | None:
        """Return the steps that are right by their own rules only with an edit; None if it makes others wrong."""
        if self.wrong_before is None:
            self.wrong_before = self._wrong_with(None)
        after = self._wrong_with(edit)
        if after is None or self.wrong_before is None:
            return set()
        keys = {(m.gradient.name, m.gradient.round): k for k, m in enumerate(self.matches)}
        if after - self.wrong_before:
            return None
        return {keys[key] for key in self.wrong_before - after if key in keys}

    def _wrong_with(self, edit: Edit | None) -> set[tuple[str, int]] | None:
        """Return the names and rounds of the wrong steps, with an edit in the backward; None if it cannot run so."""
        called = self.called
        run = called.runs[0]
        value_names = Names([*run.graph.versions], called.names)
        with ExitStack() as stack:
            if edit is not None and not stack.enter_context(edited(edit, called.backward)):
                return None
            backward = stack.enter_context(called.in_place(called.backward, 0))
            try:
                backward_run = run_backward(backward, called.inputs, run.user_forward, run.g, value_names)
            except Exception:  # an edited function may raise anything
                return None
        if backward_run.stopped is not None and edit is not None:
            return None
        tape, _, matches, _ = matched(run._replace(backward=backward_run), self.first_run[0].summed)
        matches = without(matches, self.parts)
        if [m.gradient.name for m in matches] == [m.gradient.name for m in self.matches]:
            matches = shifted(tape, matches, self.shifts)
        tape, matches = self._as_judged(tape, matches)
        gradients = [matches[k].gradient for k in wrong_steps(injected(tape, matches), matches, CLOSE)]
        return {(gradient.name, gradient.round) for gradient in gradients}

    def is_right_elsewhere(self) -> bool:
        """Tell whether the gradients of all inputs are right at the other inputs too."""
        for run in self._runs()[1:]:
            if run is None:
                return False
            tape, matches, walked = run
            leaves = [k for k, m in enumerate(matches) if m.version.node.primitive is None]
            right = tape.walk({matches[k].version.node for k in leaves})
            if not all(is_close(walked.states[k].array, right[matches[k].version.node]) for k in leaves):
                return False
        return True

    def is_right_from_right(self, k: int, wrong_values: Collection[int]) -> bool:
        """Tell whether the line of step `k` gives the right gradient if the wrong ones that it uses are right.

        `wrong_values` are the numbers of the steps whose gradients are wrong by their values.
        """
        time = self.walked.states[k].time
        if self.budget.is_over or not self.walked.states[k].statement.line:
            return False
        if not any(self.walked.states[j].time < time for j in wrong_values if j != k):
            return False
        with self.budget:
            known_gradients: list[list[KnownGradient] | None] = []
            right_gradients: list[Array | None] = []
            for run in self._runs():
                if run is None:
                    known_gradients.append(None)
                    right_gradients.append(None)
                    continue
                tape, matches, walked = run
                value_gradients = tape.walk({m.version.node for m in matches})
                right_gradients.append(value_gradients[matches[k].version.node])
                pairs = [(m, state) for j, (m, state) in enumerate(zip(matches, walked.states, strict=True))
                         if j in wrong_values and j != k]  # fmt: skip
                known_gradients.append([KnownGradient(place_of(m, state), state.array,
                                                      reshaped(value_gradients[m.version.node], state.array))
                                        for m, state in pairs])  # fmt: skip
            behind = self._behind(k, (), self.walked.states[k])
            return is_right_from_right(self.called.backward, self.called.call, behind, known_gradients, right_gradients)

    def _edit(self, k: int, wrong: State, wrong_steps: Collection[int]) -> Edit | None:
        """Return the smallest edit that makes step `k` right, if one is found: of its line, or of one before it.

        Args:
            k: the number of the step.
            wrong: its content after the line that is wrong.
            wrong_steps: the numbers of all steps that are wrong by their own rules.
        """
        if self.budget.is_over or not wrong.statement.line:
            return None
        state_index = self._index(self.matches[k].states, wrong)
        is_earlier = state_index < 0  # an earlier statement that wrote into a part of a result
        if is_earlier:
            state_index = self._index(self.matches[k].states, self.walked.states[k])
        if state_index < 0:
            return None
        with self.budget:
            right_gradients = [None if run is None else _right_content(*run[1:], k, state_index)
                               for run in self._runs()]  # fmt: skip
            edit = None
            if right_gradients[0] is not None and not is_earlier:
                name = wrong.label or self.matches[k].gradient.name
                edit = edit_of_step(self.called.backward, self.called.call, name, wrong.statement.line,
                                    right_gradients, visit=wrong.visit, values=self.called.values,
                                    file=wrong.statement.file, behind=self._behind(k, wrong_steps, wrong))  # fmt: skip
            if edit is None and self.matches[k].version.node.primitive is None and not self.budget.is_over:
                edit = self._of_result(k, right_gradients, wrong)
        return None if edit is None else self.called.as_written(edit)

    def _behind(self, k: int, wrong_steps: Collection[int], wrong: State) -> Behind:
        """Return what is known of the other gradients; `wrong` is as in `_edit`."""
        states = [*self.walked.states]
        call = states[k].call
        if call is not None and wrong.statement == call[0]:
            states[k] = wrong
        codes = self.called.runs[0].graph.codes
        return behind(k, self.matches, states, wrong_steps, (self._right_steps, self._same_steps), codes)

    def _same_steps(self, probe: int, values: Mapping[int, Array]) -> set[int]:
        """Return the steps whose gradients in a run are `values`."""
        run = self._runs()[probe]
        return set() if run is None else {j for j, x in values.items() if is_close(x, run[2].states[j].array)}

    def _right_steps(self, probe: int, values: Mapping[int, Array]) -> set[int]:
        """Return which steps are right by their own rules in a run, if they have other values."""
        run = self._runs()[probe]
        if run is None:
            return set()
        tape, matches, walked = run
        user_gradients = dict(walked.user_gradients)
        for j, value in values.items():
            node = matches[j].version.node
            if same_but_ones(value.shape, np.shape(node.out)):
                user_gradients[node] = value.reshape(np.shape(node.out)).astype(np.asarray(node.out).dtype)
        nodes = [matches[j].version.node for j in values]
        rule_gradients = tape.walk({*user_gradients, *nodes}, lambda node, g, marked: user_gradients.get(node))
        right = tape.walk(nodes)  # what comes in may be right as well with an edit
        return {j for j, node in zip(values, nodes, strict=True)
                if is_close(values[j], rule_gradients[node]) or is_close(values[j], right[node])}  # fmt: skip

    def _of_result(self, k: int, right_gradients: Sequence[Array | None], wrong: State) -> Edit | None:
        """Search the whole backward for an edit that makes the wrong gradient, one of its results, right."""
        before = [_parts(run.backward.value) for run in self.called.runs]
        user_gradient = self.walked.states[k].array
        place = self._place(k, [i for i, x in enumerate(before[0]) if is_close(x, user_gradient)])
        runs = [probe for probe, want in enumerate(right_gradients) if want is not None]
        if place is None or len(before) < len(right_gradients) or runs[:1] != [0]:
            return None

        def right(value: Any, probe: int) -> list[bool]:
            now, then = _parts(value), before[runs[probe]]
            return [is_close(x, right_gradients[runs[probe]] if i == place else y)
                    for i, (x, y) in enumerate(zip(now, then, strict=True))]  # fmt: skip

        edits = nearest_edits(self.called.backward, lambda f, probe: self.called.call(f, runs[probe]), right,
                              probes=len(runs), lines=(wrong.statement.line,),
                              values=lambda probe: self.called.values(runs[probe]))  # fmt: skip
        return replace(edits[0], fixes=(k,)) if edits else None

    def _place(self, k: int, positions: Sequence[int]) -> int | None:
        """Return which of the results is the gradient of match `k`: of several equal ones, that of its input."""
        if len(positions) < 2:
            return positions[0] if positions else None
        value, value_name = self.called.runs[0].backward.value, self.matches[k].gradient.belongs_to
        if isinstance(value, dict):
            names = [str(key) for key in value]
            named = {*names_for_gradient(self.matches[k].gradient.name), self.matches[k].gradient.name, value_name}
            return next((i for i in positions if {names[i], *names_for_gradient(names[i])} & named), None)
        inputs = self.called.inputs
        floats = [inputs.names[i] for i in dict.fromkeys(inputs.owner[i] for i in inputs.float_indices)]
        names = floats if len(value) == len(floats) else list(inputs.names)
        return next((i for i in positions if i < len(names) and names[i] == value_name), None)

    @staticmethod
    def _index(states: Sequence[State], state: State) -> int:
        return next((i for i, s in enumerate(states) if s.time == state.time), -1)

    def _runs(self) -> list[tuple[Tape, list[Match], Walked] | None]:
        """Return both passes at all inputs: the graph, the matches and the walk; None for one with other matches."""
        if self.other_runs is None:
            self.other_runs = []
            for run in self.guarded._matches_elsewhere():
                if run is None:
                    self.other_runs.append(None)
                    continue
                tape, matches = self._as_judged(*run)
                forced = {}
                for i, (first_match, other_match) in enumerate(zip(self.matches, matches, strict=True)):
                    state_index = self._index(first_match.states, self.walked.states[i])
                    if 0 <= state_index < len(other_match.states):
                        forced[i] = other_match.states[state_index]
                self.other_runs.append((tape, matches, injected(tape, matches, forced=forced)))
        return [self.first_run, *self.other_runs]

    def _as_judged(self, tape: Tape, matches: list[Match]) -> tuple[Tape, list[Match]]:
        """Return a graph and its matches, without constants such as 1e-8 if these probes are for that."""
        return (tape, matches) if self.guarded is self else matched_without_guards(tape, matches)

    def _matches_elsewhere(self) -> list[tuple[Tape, list[Match]] | None]:
        """Run both passes at other inputs (the first time only); return their graphs and matches."""
        if self.other_matches is None:
            self.other_matches = []
            called, rng = self.called, self.called.rng
            leaves = [called.inputs.leaves[i] for i in called.inputs.float_indices]
            for _ in range(PROBES):
                moved = [nearby(x, rng).astype(x.dtype) for x in leaves]
                count = len(called.runs)
                try:
                    tape, _, matches, _ = matched(called.at(moved), self.first_run[0].summed)
                except Exception:  # user code may raise anything at inputs that it was not written for
                    del called.runs[count:]
                    continue
                matches = without(matches, self.parts)
                has_same_names = [m.gradient.name for m in matches] == [m.gradient.name for m in self.matches]
                is_other = not has_same_names or max(self.shifts.values(), default=-1) >= len(tape.operations)
                self.other_matches.append(None if is_other else (tape, shifted(tape, matches, self.shifts)))
        return self.other_matches


def _parts(value: Any) -> list[Any]:
    """Return the results of a backward as a list."""
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, (tuple, list)) else [value]


def is_close(x: Any, y: Any) -> bool:
    """Tell whether two arrays have the same shape and, up to `CLOSE`, the same values."""
    if not is_number(x) or np.shape(x) != np.shape(y):
        return False
    x, y = np.asarray(raw(x)), np.asarray(y, np.result_type(y, 1.0))
    size = np.abs(y)
    with np.errstate(invalid="ignore"):  # in np.allclose, this much would take twice as long
        near = np.abs(x - y) <= CLOSE * size.max(initial=0) + CLOSE * size
        return bool((near & np.isfinite(y) | (x == y)).all())


def behind(
    k: int, matches: Sequence[Match], states: Sequence[State], wrong_steps: Collection[int], judges: Any,
    forward_code: Collection[CodeType],
) -> Behind:  # fmt: skip
    """Return what is known of the other gradients than step `k`; of the rounds of a loop, those nearest in time."""
    nearest: dict[tuple[str, Statement], int] = {}
    for j, state in enumerate(states):
        key = matches[j].gradient.name, state.statement
        other = nearest.setdefault(key, j)
        if abs(state.time - states[k].time) < abs(states[other].time - states[k].time):
            nearest[key] = j
    nearest.pop((matches[k].gradient.name, states[k].statement), None)
    targets = [Target(j, place_of(matches[j], states[j])) for j in nearest.values()]
    judge, final = judges
    return Behind(k, place_of(matches[k], states[k]), targets, set(wrong_steps), judge, final, forward_code)


def place_of(match: Match, state: State) -> Place:
    """Return where a gradient is assigned."""
    statement = state.statement
    return Place(state.label or match.gradient.name, statement.file, statement.line, state.visit)


def _right_content(matches: Sequence[Match], walked: Walked, k: int, state_index: int) -> Array | None:
    """Return what the gradient of match `k` should hold after its state `state_index`; None if it cannot be said.

    Later statements may still add to it; what they add is taken as it is.
    """
    m = matches[k]
    if state_index >= len(m.states):
        return None
    state, final_state, rule_gradient = m.states[state_index], walked.states[k], walked.rule_gradients[m.version.node]
    if state.time == final_state.time:
        return rule_gradient
    has_same_shape = state.array.shape == final_state.array.shape == rule_gradient.shape
    return state.array + (rule_gradient - final_state.array) if has_same_shape else None
