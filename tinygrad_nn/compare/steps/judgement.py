"""Judge each gradient that a backward computed, in the graph of its forward and without the guards of that graph."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ...common.printable import printable
from ..diagnosis import Diagnosis, Row
from ..function.locations import overflow_notes
from ..guards import (
    Excused,
    Trial,
    are_known,
    is_beyond_guard,
    largest_guard,
    note_without_guards,
    smaller_inputs,
)
from ..numerical.sides import ULPS
from ..paths import Traced
from ..rows import ArrayPair, compare_row
from ..tiny_constants import negligible, tiny_constant
from ..user_function import module_names
from .by_numbers import is_finite
from .explain import blamed_steps, explain_step, is_part_of_sum
from .matching import Match, is_within_bound, reshaped, same_but_ones
from .mending import Explained, explain_wrong, explained_by_guards, explained_step
from .names import names_for_gradient
from .namespace import Namespace
from .notebook_cells import Cells
from .probes import Probes, UserPasses, matched, without
from .referee import Referee, ignore_message
from .running import Forward, Passes, Version
from .step import Step
from .tape import Tape
from .tracing import State, is_number
from .unnamed import shifted, unnamed_values
from .walk import EXACT, EXACT_SINGLE, Walked, as_floats, bounds_of, gradient_decisions, injected, wrong_steps

Array = np.ndarray[Any, Any]


class Judgement:
    """The gradients of a run, matched with the values of its forward, and the walk back that judges them.

    Attributes:
        run: the run; called: how to run it again, if that is possible; inputs: the Nodes of its inputs.
        probes: runs the user's code again, with other numbers or with an edit; None if nothing can.
        tape: the forward, in which gradients are computed; right_gradients: those of all values, by Node.
        matches: each gradient with its value, in the order of the walk; notes: what the report says about them.
        bounds: of the rounding of each gradient, by its value and by its rule; walked: the result of the walk.
        wrong: the numbers of the gradients that are wrong by their own rules.
    """

    def __init__(
        self, run: Passes, rng: np.random.Generator, called: UserPasses | None, space: Namespace | None = None
    ) -> None:
        """Match the gradients; those that are parts of a sum are left out, and values without a name are found.

        `space` is the namespace from which the run was read, if it was.
        """
        self.run, self.rng, self.called = run, rng, called
        self.inputs = [t.node for t in run.graph.tensors if t.node is not None]
        tiny = 0.0 if called is None else tiny_constant(called.forward, called.backward)
        self._eps = max(float(np.finfo(np.float32 if run.has_float32 else np.float64).eps), negligible(tiny) / ULPS)
        self.tape, self.right_gradients, self.matches, self.notes = matched(run)
        require_gradients(self.matches, run, called and called.backward)
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
        self.probes: Probes | Cells | None = None
        if space is not None:
            self.probes = Cells(space, self.run, self.tape, self.matches, self.walked, self.rng)
        elif called is not None:
            self.probes = Probes(called, self.tape, self.matches, self.walked, self._shifts, self._parts)

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
        bound = EXACT_SINGLE if self.run.has_float32 else EXACT
        shifts = unnamed_values(self.tape, self.run.graph.versions, self.matches, bound)
        if shifts:
            named = self.matches
            self.matches = shifted(self.tape, self.matches, shifts)
            self.bounds, self.walked, self.wrong = self._walk(self.tape, self.matches)
            self.right_gradients = self.right_gradients | self.tape.walk({m.version.node for m in self.matches})
            for k in shifts:
                gradient, value = named[k].gradient.name, named[k].gradient.belongs_to
                is_before = self.tape.place(self.matches[k].version.node) > self.tape.place(named[k].version.node)
                lies = f"from which {value} is computed" if is_before else f"which is computed from {value}"
                self.notes.append(f"{gradient} is taken as the gradient of a value without a name, {lies}.")
        return shifts

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
            if value.shape == right.shape and value.any() and (np.abs(value) <= self.bounds[1][k]).all() and (
                    np.abs(right) <= bound).all():  # fmt: skip
                self.notes.append(f"{label} is 0 here but for rounding: a wrong sign or factor in its line would not "
                                  "show.")  # fmt: skip
        self.notes = [*dict.fromkeys(self.notes)]  # rounds of a loop say the same
        return judged, referee.checked

    def inputs_without_effect(self) -> list[str]:
        """Return the names of the inputs if the right gradients of all of them are 0, else an empty list."""
        names = {m.gradient.belongs_to: m.version.node for m in self.matches if m.version.node.primitive is None}
        return [] if any(np.any(self.right_gradients[node]) for node in names.values()) else [*names]

    def suspects(self, judged: Sequence[_Judged]) -> list[int]:
        """Return the steps that are wrong by their own rules, as far as the gradients that come in can be used."""
        return [k for k, step in enumerate(judged)
                if not step.rule_row.ok and self.matches[k].version.node not in self.walked.marked]  # fmt: skip

    def has_right_numbers(self, k: int) -> bool:
        """Tell whether step `k` follows its own rule but for axes of length 1."""
        by_rule = self.walked.rule_gradients[self.matches[k].version.node]
        return is_within_bound(self.walked.states[k].array, by_rule, self.bounds[1][k])

    def has_right_shape(self, k: int) -> bool:
        """Tell whether the gradient of step `k` has the shape of its value."""
        return bool(self.walked.states[k].array.shape == self.matches[k].version.value.shape)

    def wrong_by_rule(self, judged: Sequence[_Judged]) -> list[int]:
        """Return the steps that are wrong by their own rule, and do not repeat an earlier one."""
        states = self.walked.states
        wrong = self.suspects(judged)
        wrong = [k for k in wrong if not any(_is_echo(self.matches, states, k, j) for j in wrong)]
        if isinstance(self.probes, Probes):
            wrong_values = [k for k, step in enumerate(judged) if not step.row.ok]
            wrong = [k for k in wrong if not self.probes.is_right_from_right(k, wrong_values)]
        return wrong

    def has_other_meanings(self, judged: Sequence[_Judged], wrong: Sequence[int], data: Collection[Any]) -> bool:
        """Tell whether steps make up for each other, here and elsewhere, so that the gradients of inputs are right.

        Of the inputs, only `data` need no gradient.
        """
        return _have_other_meanings(self.matches, judged, wrong, self.inputs, data) and (
            not isinstance(self.probes, Probes) or self.probes.is_right_elsewhere())  # fmt: skip

    def trials(self, wrong: Sequence[int]) -> Iterator[Trial]:
        """Yield what is right without constants such as 1e-8 in the forward, also for smaller inputs."""
        if not largest_guard(self.tape.operations):
            return
        yield self._trial(1.0)
        leaves = [np.asarray(node.out) for node in self.inputs]
        if self.called is not None:
            c = self.called
            leaves = [c.inputs.leaves[i] for i in c.inputs.float_indices]
        for factor, inputs in smaller_inputs(leaves):
            try:
                milder = self._at(inputs, wrong)
            except Exception:  # user code may raise anything for inputs that it was not made for
                return
            if milder is None:
                return
            yield milder._trial(factor)

    def _at(self, inputs: Sequence[Array], wrong: Sequence[int]) -> Judgement | None:
        """Return the same at other inputs; None if the code cannot be run there, or does something else."""
        if isinstance(self.probes, Cells):
            other = copy(self)
            other.tape, other.inputs, other.matches = self.probes.at(dict(zip(self.inputs, inputs, strict=True)), wrong)
            other.probes = None
            return other
        if self.called is None:
            return None
        called = self.called.moved(inputs)
        run = called.at(inputs)
        other = Judgement(run, np.random.default_rng(0), called)
        is_alike = other.tape.summed == self.tape.summed and (
            [m.gradient.name for m in other.matches] == [m.gradient.name for m in self.matches]
        )
        return other if is_alike and is_finite(run.graph) else None

    def without_guards(self) -> Judgement:
        """Return the same for the forward without constants such as 1e-8."""
        other = copy(self)
        other.tape, twins = self.tape.without_guards()

        def plain(version: Version) -> Version:
            return version._replace(node=twins.get(version.node, version.node))

        other.inputs = [twins.get(node, node) for node in self.inputs]
        other.matches = [m._replace(version=plain(m.version)) for m in self.matches]
        graph = self.run.graph
        versions = {name: [plain(v) for v in bound_versions] for name, bound_versions in graph.versions.items()}
        other.run, other.notes = self.run._replace(graph=graph._replace(versions=versions)), []
        other._eps = float(np.finfo(np.float32 if self.run.has_float32 else np.float64).eps)
        other.bounds, other.walked, other.wrong = other._walk(other.tape, other.matches)
        other.right_gradients = other.tape.walk({m.version.node for m in other.matches})
        if self.probes is not None:
            other.probes = self.probes.without_guards(other.run, other.tape, other.matches, other.walked)
        return other

    def _trial(self, factor: float) -> Trial:
        """Tell which gradients are right if constants such as 1e-8 are left out of the forward."""
        plain = self.without_guards()
        right_values, known = set(), set()
        for k, m in enumerate(plain.matches):
            node, bound = m.version.node, plain.bounds[0][k]
            value, right_value = plain.walked.states[k].array, plain.right_gradients[node]
            if is_within_bound(value, right_value, bound):
                right_values.add(k)
            if are_known([plain.bounds[1][k]], [plain.walked.rule_gradients[node]], plain._eps):
                known.add(k)
        is_beyond = is_beyond_guard(self.tape.operations)
        return Trial(factor, known - plain.wrong, set() if is_beyond else known, right_values, plain)

    def effects_of_guards(
        self, judged: Sequence[_Judged], wrong: Sequence[int], excused: Excused
    ) -> dict[int, Explained]:
        """Return the explanation of gradients that are right for the forward without constants such as 1e-8."""
        rows, states = [(step.row, step.rule_row) for step in judged], self.walked.states
        right_gradients = [self.right_gradients[m.version.node] for m in self.matches]
        pairs = [(reshaped(state.array, g), g) for state, g in zip(states, right_gradients, strict=True)]
        guard = largest_guard(self.tape.operations)
        return explained_by_guards(rows, states, wrong, excused, guard, pairs)

    def other_meaning(self, k: int) -> Explained:
        """Return the explanation of a name that holds something else than the gradient of its value."""
        gradient = self.matches[k].gradient
        once = "" if self.run.backward.stopped is None else " once the line that stops is mended"
        text = (f"{gradient.name} is not the gradient of {gradient.belongs_to}, and a later line makes up for it. The "
                f"gradients of all inputs are right{once}, so the name has another meaning here.")  # fmt: skip
        return Explained(Diagnosis("convention", gradient.name, text), self.walked.states[k])

    def explained(
        self, judged: Sequence[_Judged], wrong: list[int], plain: Mapping[int, Judgement]
    ) -> dict[int, Explained]:
        """Return the explanation of each wrong step, with an edit where one was found.

        `plain` has the steps that are wrong without constants such as 1e-8 too, each with the judgement that shows it.
        If the constants have an effect on a step, it is explained by that judgement first, otherwise if nothing else
        explains it: edits are told from the right gradient by smaller differences.
        """
        blamed = {k: self._blamed(k) for k in wrong}
        judged_at = cache(lambda other: other.judged()[0])

        def explain(k: int) -> Explained:
            is_visible = k in plain and not self._has_rule_of(plain[k], k)
            explained = None if is_visible else self._explained_step(k, judged, wrong)
            if k in plain and (explained is None or explained.diagnosis.kind == "unknown"):
                without_guards = plain[k]._explained_step(k, judged_at(plain[k]), wrong)
                if without_guards.diagnosis.kind != "unknown":
                    self._note_on_guards(k, plain[k])
                    return without_guards
            return explained or self._explained_step(k, judged, wrong)

        places = {k: (self.matches[k].gradient.name.partition("[")[0], state.statement) for k, state in blamed.items()}
        return explain_wrong(wrong, places, explain)

    def _has_rule_of(self, other: Judgement, k: int) -> bool:
        """Tell whether step `k` should be the same in another judgement."""
        by_rule, other_by_rule = (
            judgement.walked.rule_gradients[judgement.matches[k].version.node] for judgement in (self, other)
        )
        return is_within_bound(other_by_rule, by_rule, self.bounds[1][k])

    def _note_on_guards(self, k: int, plain: Judgement) -> None:
        """Add a note if the right gradient of step `k` looks different without constants such as 1e-8."""
        pair = [judgement.walked.rule_gradients[judgement.matches[k].version.node] for judgement in (plain, self)]
        note = note_without_guards(largest_guard(self.tape.operations), [(pair[0], pair[1])])
        self.notes += [note] if note and note not in self.notes else []

    def _blamed(self, k: int) -> State:
        return blamed_steps(self.tape, self.matches[k], self.walked.states[k], self.walked.user_gradients)

    def _explained_step(self, k: int, judged: Sequence[_Judged], wrong: list[int]) -> Explained:
        """Return the explanation of a wrong step, with an edit if one was found."""
        walked, step = self.walked, judged[k]
        diagnosis = explain_step(
            self.tape, self.matches[k], step.state, walked.rule_gradients[self.matches[k].version.node], step.rule_row,
            step.wrong_mask, self.bounds[1][k], walked.user_gradients, self.run.has_float32, self.rng,
        )  # fmt: skip
        explained = Explained(diagnosis, self._blamed(k))
        if self.probes is None or diagnosis.harmless:
            return explained
        return self.probes.with_edit(explained, k, wrong)

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


def kept_outside(run: Passes, backward: Any) -> list[str]:
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


def require_gradients(gradients: list[Any], run: Passes, backward: Any) -> list[Any]:
    """Return the gradients that were found; raise if there are none, the error that stopped the backward if one did."""
    if not gradients and run.backward.stopped is not None:
        raise run.backward.stopped.error
    if not gradients:
        names_text = printable(", ".join(run.graph.versions))
        raise ValueError(
            "compare_steps: no name in the backward belongs to a value of the forward, so there is no step to judge. "
            f"The forward has {names_text}; call the gradient of X dX (or d_X, grad_X, X_grad), or give "
            + " ".join(["names={'your name': 'X'}.", *kept_outside(run, backward)])
        )
    return gradients
