"""Search the edits of wrong lines where the right gradients are known by numerical differentiation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..budget import Budget
from ..diagnosis import Row
from ..edits import Behind, KnownGradient, edit_of_step, is_right_from_right
from ..experiment import nearby
from ..numerical.full_gradients import NumericalGradient
from .mending import Explained, blame_edited_line
from .probes import UserPasses, behind, is_close, place_of
from .tracing import State
from .walk import as_floats

Array = np.ndarray[Any, Any]

SECONDS = 4.0  # rough time limit of the search


class JudgedStep(NamedTuple):
    """A gradient with its comparison by value and by its own rule, and the gradient that its rule gives.

    `has_effect` tells whether the right gradient of its value is not 0.
    """

    state: State
    value: Array
    row: Row
    rule: Row
    wrong_mask: Array
    rule_gradient: NumericalGradient
    follows: bool
    has_effect: bool


class EditSearch:
    """Tries small edits of wrong lines, at the given inputs and at other ones, against numerical gradients.

    `wrong` has the numbers of the steps that are wrong by their own rules.
    """

    def __init__(self, called: UserPasses, passes: Any, judged: list[JudgedStep], make: Any) -> None:
        """`make` runs both passes at other inputs, as `passes` was made."""
        self.called, self.runs, self.judged, self.make = called, [passes], judged, make
        self.wrong = [k for k, step in enumerate(judged) if not step.rule.ok and not step.follows]
        self.chosen = [next(i for i, s in enumerate(m.states) if s is step.state)
                       for m, step in zip(passes.matches, judged, strict=True)]  # fmt: skip
        self.has_tried = False
        self.other_gradients: dict[int, Array | None] = {}  # right gradients at the other inputs
        self.budget = Budget(SECONDS)

    def leave_out_right_lines(self) -> None:
        """Take from `wrong` the steps whose lines give the right gradients if those that come in are right."""
        wrong_values = [j for j, step in enumerate(self.judged) if not step.row.ok]
        for k in list(self.wrong):
            time = self.judged[k].state.time
            before = [j for j in wrong_values if j != k and self.judged[j].state.time < time]
            if not before or self.budget.is_over or not self.judged[k].state.statement.line:
                continue
            with self.budget:
                if self._gradient_elsewhere(k) is None:
                    continue
                known_gradients, right_gradients = [], []
                for run in self.runs:
                    numerical = {j: run.value_gradient(run.matches[j].version.node) for j in (*before, k)}
                    if not all(gradient.is_known.all() for gradient in numerical.values()):
                        break
                    right_gradients.append(numerical[k].value)
                    states = {j: run.matches[j].states[self.chosen[j]] for j in before}
                    known_gradients.append([KnownGradient(place_of(run.matches[j], s), s.array, numerical[j].value)
                                            for j, s in states.items()])  # fmt: skip
                if len(right_gradients) == len(self.runs) and is_right_from_right(
                        self.called.backward, self.called.call, self._behind(k), known_gradients, right_gradients
                ):  # fmt: skip
                    self.wrong.remove(k)

    def with_edit(self, explained: Explained, k: int) -> Explained:
        """Return the explanation with the smallest edit that makes step `k` right, if one is found."""
        state, name = self.judged[k].state, self.runs[0].matches[k].gradient.name
        if not state.statement.line or not self.judged[k].rule_gradient.is_known.all() or self.budget.is_over:
            return explained
        with self.budget:
            other_gradient = self._gradient_elsewhere(k)
            if other_gradient is None:
                return explained
            right_gradients = [self.judged[k].rule_gradient.value, other_gradient]
            edit = edit_of_step(self.called.backward, self.called.call, state.label or name, state.statement.line,
                                right_gradients, visit=state.visit, values=self.called.values,
                                file=state.statement.file, behind=self._behind(k))  # fmt: skip
        if edit is None:
            return explained
        steps = dict.fromkeys((k, *edit.fixes))
        names = [self.runs[0].matches[j].gradient.name for j in steps]
        return blame_edited_line(explained, edit, {*self.runs[0].run.forward.versions}, names)

    def _behind(self, k: int) -> Behind:
        """Return what is known of the other gradients."""
        matches, states = self.runs[0].matches, [step.state for step in self.judged]
        judges = self._right_steps, self._same_steps
        return behind(k, matches, states, self.wrong, judges, self.runs[0].run.codes)

    def _same_steps(self, probe: int, values: Mapping[int, Array]) -> set[int]:
        """Return the steps whose gradients in a run are `values`."""
        matches = self.runs[probe].matches
        return {j for j, x in values.items() if is_close(x, matches[j].states[self.chosen[j]].array)}

    def _right_steps(self, probe: int, values: Mapping[int, Array]) -> set[int]:
        """Return which steps have the gradients that their own rules give, if they have other values."""
        right_steps = set()
        for j, value in values.items():
            if j in self.wrong:
                right_gradient = self.judged[j].rule_gradient.value if probe == 0 else self._gradient_elsewhere(j)
            else:
                right_gradient = self.runs[probe].matches[j].states[self.chosen[j]].array
            if right_gradient is not None and is_close(value, right_gradient):
                right_steps.add(j)
        return right_steps

    def _gradient_elsewhere(self, k: int) -> Array | None:
        """Return the gradient of step `k` by its right rule at other inputs, or None if it is not known there."""
        if not self.has_tried:
            self.has_tried = True
            rng, inputs = self.called.rng, self.called.inputs
            moved = [nearby(inputs.leaves[i], rng).astype(inputs.leaves[i].dtype) for i in inputs.float_indices]
            try:
                other_passes = self.make(self.called, moved)
            except Exception:  # user code may raise anything at inputs that it was not written for
                return None
            if [m.gradient.name for m in other_passes.matches] == [m.gradient.name for m in self.runs[0].matches]:
                self.runs.append(other_passes)
                for m, state_index in zip(other_passes.matches, self.chosen, strict=True):
                    value = as_floats(m.states[min(state_index, len(m.states) - 1)].array)
                    if value.shape == m.version.value.shape:
                        other_passes.later_gradients[m.version.node] = value
        if len(self.runs) == 1:
            return None
        if k not in self.other_gradients:
            numerical = self.runs[1].rule_gradient(self.runs[1].matches[k].version.node)
            self.other_gradients[k] = numerical.value if numerical.is_known.all() else None
        return self.other_gradients[k]
