"""Search the edits of wrong lines where the right gradients are known by numerical differentiation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..budget import Budget
from ..diagnosis import Row
from ..edits import Behind, KnownGradient, edit_of_step, is_right_from_right
from ..experiment import nearby
from ..numerical.full_gradients import NumericalGradient
from .mending import Explained, blame_edited_line
from .probes import UserPasses, behind, is_close, module_numbers, place_of
from .running import arguments
from .tracing import State
from .walk import as_floats

Array = np.ndarray[Any, Any]

SECONDS = 4.0  # rough time limit of the search


class JudgedStep(NamedTuple):
    """A gradient with its comparison by value and by its own rule, and the gradient that its rule gives."""

    state: State
    value: Array
    row: Row
    rule: Row
    bad: Array
    own: NumericalGradient
    follows: bool


class EditSearch:
    """Tries small edits of wrong lines, at the given inputs and at other ones, against numerical gradients.

    `wrong` has the numbers of the steps that are wrong by their own rules, `done` those that an edit mended besides.
    """

    def __init__(self, called: UserPasses, asked: Any, judged: Sequence[JudgedStep], make: Any) -> None:
        """`make` runs both passes at other inputs, as `asked` was made."""
        self.called, self.runs, self.judged, self.make = called, [asked], judged, make
        self.wrong = [k for k, one in enumerate(judged) if not one.rule.ok and not one.follows]
        self.chosen = [next(i for i, s in enumerate(m.states) if s is one.state)
                       for m, one in zip(asked.matches, judged, strict=True)]  # fmt: skip
        self.done: dict[int, Explained] = {}
        self.tried = False
        self.there: dict[int, Array | None] = {}  # right gradients at the other inputs
        self.budget = Budget(SECONDS)

    def leave_out_right_lines(self) -> None:
        """Take from `wrong` the steps whose lines give the right gradients if those that come in are right."""
        off = [j for j, one in enumerate(self.judged) if not one.row.ok]
        for k in list(self.wrong):
            time = self.judged[k].state.time
            before = [j for j in off if j != k and self.judged[j].state.time < time]
            if not before or self.budget.is_over or not self.judged[k].state.statement.line:
                continue
            with self.budget:
                if self._elsewhere(k) is None:
                    continue
                known, wanted = [], []
                for run in self.runs:
                    right = {j: run.whole(run.matches[j].version.node) for j in (*before, k)}
                    if not all(whole.is_known.all() for whole in right.values()):
                        break
                    wanted.append(right[k].value)
                    known.append([KnownGradient(place_of(run.matches[j], run.matches[j].states[self.chosen[j]]),
                                                run.matches[j].states[self.chosen[j]].array, right[j].value)
                                  for j in before])  # fmt: skip
                if len(wanted) == len(self.runs) and is_right_from_right(
                        self.called.backward, self._call, self._behind(k), known, wanted):  # fmt: skip
                    self.wrong.remove(k)

    def mended(self, found: Explained, k: int) -> Explained:
        """Return the explanation with the smallest edit that makes step `k` right, if one is found."""
        state, name = self.judged[k].state, self.runs[0].matches[k].given.name
        if not state.statement.line or not self.judged[k].own.is_known.all() or self.budget.is_over:
            return found
        with self.budget:
            other = self._elsewhere(k)
            if other is None:
                return found
            edit = edit_of_step(self.called.backward, self._call, state.label or name, state.statement.line,
                                [self.judged[k].own.value, other], visit=state.visit, values=self._values,
                                file=state.statement.file, behind=self._behind(k))  # fmt: skip
        if edit is None:
            return found
        steps = dict.fromkeys((k, *edit.fixes))
        names = [self.runs[0].matches[j].given.name for j in steps]
        found = blame_edited_line(found, edit, {*self.runs[0].run.forward.versions}, names)
        self.done |= dict.fromkeys(found.mends, found)
        return found

    def _behind(self, k: int) -> Behind:
        """Return what is known of the other gradients."""
        matches, states = self.runs[0].matches, [one.state for one in self.judged]
        judges = self._right_steps, self._same_steps
        return behind(k, matches, states, self.wrong, judges, self.runs[0].run.codes)

    def _same_steps(self, probe: int, values: Mapping[int, Array]) -> set[int]:
        """Return the steps whose gradients in a run are `values`."""
        matches = self.runs[probe].matches
        return {j for j, x in values.items() if is_close(x, matches[j].states[self.chosen[j]].array)}

    def _right_steps(self, probe: int, values: Mapping[int, Array]) -> set[int]:
        """Return which steps have the gradients that their own rules give, if they have other values."""
        fine = set()
        for j, value in values.items():
            if j in self.wrong:
                right = self.judged[j].own.value if probe == 0 else self._elsewhere(j)
            else:
                right = self.runs[probe].matches[j].states[self.chosen[j]].array
            if right is not None and is_close(value, right):
                fine.add(j)
        return fine

    def _elsewhere(self, k: int) -> Array | None:
        """Return the gradient of step `k` by its right rule at other inputs, or None if it is not known there."""
        if not self.tried:
            self.tried = True
            rng, inputs = self.called.rng, self.called.inputs
            moved = [nearby(inputs.leaves[i], rng).astype(inputs.leaves[i].dtype) for i in inputs.float_indices]
            try:
                other = self.make(self.called, moved)
            except Exception:  # user code may raise anything at inputs that it was not written for
                return None
            if [m.given.name for m in other.matches] == [m.given.name for m in self.runs[0].matches]:
                self.runs.append(other)
                for m, which in zip(other.matches, self.chosen, strict=True):
                    value = as_floats(m.states[min(which, len(m.states) - 1)].array)
                    if value.shape == m.version.value.shape:
                        other.behind[m.version.node] = value
        if len(self.runs) == 1:
            return None
        if k not in self.there:
            own = self.runs[1].own(self.runs[1].matches[k].version.node)
            self.there[k] = own.value if own.is_known.all() else None
        return self.there[k]

    def _call(self, f: Any, probe: int) -> Any:
        run = self.runs[probe]
        args, kwargs = arguments(self.called.backward, self.called.inputs, run.mine.forward, run.g, {})
        return run.around.call(f, args, kwargs)

    def _values(self, probe: int) -> dict[str, Any]:
        values = self.runs[probe].mine.forward.values.items()
        return module_numbers(self.called.forward) | {k: np.array(t.data) for k, t in values if k.isidentifier()}
