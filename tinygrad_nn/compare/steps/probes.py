"""Run both passes at other inputs as well, and search there for the edit of a wrong line that makes its step right."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from types import MethodType
from typing import Any

import numpy as np

from ...gradcheck.numerical import to_double
from ...node import Node
from ...tensor import raw
from ..budget import Budget
from ..diagnosis import Diagnosis
from ..edits import Edit, edit_of_step, nearest_edit
from ..edits.running import copy_value
from ..experiment import nearby
from ..function.calling import Inputs
from .kept import with_arrays
from .matching import Match, match
from .mending import add_edit, as_read
from .names import Names, names_for_gradient
from .running import Forward, Passes, arguments, checked_mapping, run_backward, run_forward, takes_cotangent
from .tape import Tape
from .tracing import State, is_number
from .walk import Walked, injected

Array = np.ndarray[Any, Any]

PROBES = 2  # other inputs at which an edit of a line is tried
SECONDS = 2.5  # rough time limit for the search for edits


class UserPasses:
    """The user's forward and backward, which can be called at any inputs; `runs` keeps each run."""

    def __init__(
        self, forward: Any, backward: Any, inputs: Inputs, names: Mapping[str, str], rng: np.random.Generator
    ) -> None:
        self.forward, self.backward, self.inputs, self.names, self.rng = forward, backward, inputs, names, rng
        self.runs: list[Passes] = []
        self.objects: dict[int, Any] = {}  # what the object of a method holds after the forward of each run

    def at(self, leaves: Sequence[Array]) -> Passes:
        """Run both at some inputs: the forward in float64 for the graph, and in its own dtype for the backward."""
        single = any(x.dtype.itemsize // (1 + (x.dtype.kind == "c")) < 8 for x in leaves)
        graph = run_forward(self.forward, self.inputs, [to_double(x) for x in leaves])
        mine = run_forward(self.forward, self.inputs, leaves) if single else graph
        cotangents, g = draw_cotangents(self.backward, graph, self.rng)
        known = Names([*graph.versions], checked_mapping(self.names, [*graph.versions]))
        held = with_arrays(self.backward, {})
        self.objects[len(self.runs)] = getattr(held, "__self__", None)
        written = run_backward(self.backward, self.inputs, mine, g, known)
        run = Passes(graph, cotangents, written, single, mine, g)
        self.runs.append(run)
        return run

    def call(self, f: Any, probe: int) -> Any:
        """Call `f` (an edited backward) with the arguments of the backward in the run with number `probe`."""
        run = self.runs[probe]
        args, kwargs = arguments(self.backward, self.inputs, run.mine, run.g, {})
        if inspect.ismethod(f) and self.objects.get(probe) is not None:
            f = MethodType(f.__func__, copy_value(self.objects[probe], {}))
        return f(*args, **kwargs)

    def as_written(self, edit: Edit) -> Edit:
        """Return an edit that reads forward values as the backward does: ``cache['h']`` or ``cache.h`` for ``h``."""
        _, kwargs = arguments(self.backward, self.inputs, self.runs[0].mine, self.runs[0].g, {})
        return as_read(edit, self.backward, kwargs, self.runs[0].mine)

    def values(self, probe: int) -> dict[str, Array]:
        """Return the values of the forward by name, in the run with number `probe`."""
        run = self.runs[probe]
        return {k: np.array(t.data) for k, t in run.mine.values.items() if k.isidentifier()}


def draw_cotangents(backward: Any, graph: Forward, rng: np.random.Generator) -> tuple[list[Array], Any]:
    """Return the cotangents of the results as a list, and in the form that a backward takes: an array or a tuple.

    They are random if the backward has a parameter for them and the result is no single number, else all ones.
    """
    if takes_cotangent(backward, graph) and not (len(graph.outs) == 1 and graph.outs[0].size == 1):
        found = [rng.uniform(0.5, 1.5, t.shape) * rng.choice([-1.0, 1.0], t.shape) for t in graph.outs]
    else:
        found = [np.ones(t.shape) for t in graph.outs]
    return found, (found[0].copy() if len(found) == 1 else tuple(x.copy() for x in found))


def matched(run: Passes) -> tuple[Tape, dict[Node, Array], list[Match], list[str]]:
    """Return the graph of a run, the right gradient of each value, the matches in the order of the walk, and notes."""
    tape = Tape([(t.node, np.asarray(c, t.data.dtype))  # type: ignore[misc]
                 for t, c in zip(run.graph.outs, run.cotangents, strict=True)])  # fmt: skip
    right = tape.walk({v.node for found in run.graph.versions.values() for v in found})
    matches, notes = match(run.written.found, run.graph.versions, right)
    return tape, right, sorted(matches, key=lambda m: tape.place(m.version.node)), notes


class Probes:
    """Searches an edit for a wrong line, and tries it at the given inputs and at other ones, which are run once."""

    def __init__(self, called: UserPasses, matches: list[Match], walked: Walked) -> None:
        self.called, self.matches, self.walked = called, matches, walked
        self.others: list[tuple[list[Match], Walked] | None] | None = None
        self.budget = Budget(SECONDS)

    def mended(self, found: Diagnosis, k: int, wrong: State) -> Diagnosis:
        """Return the diagnosis with the smallest edit of the line that makes step `k` right, if one is found."""
        if self.budget.over or not wrong.statement.line:
            return found
        which = self._index(self.matches[k].states, wrong)
        early = which < 0  # an earlier statement that wrote into a part of a result
        if early:
            which = self._index(self.matches[k].states, self.walked.states[k])
        if which < 0:
            return found
        name = self.matches[k].given.name
        visit = sum(s.statement == wrong.statement and s.time < wrong.time for one in self.called.runs[0].written.found
                    if one.name == name for s in one.states)  # fmt: skip
        with self.budget:
            wanted = [_wanted(self.matches, self.walked, k, which)]
            wanted += [None if other is None else _wanted(*other, k, which) for other in self._run()]
            edit = None
            if wanted[0] is not None and not early:
                edit = edit_of_step(self.called.backward, self.called.call, name, wrong.statement.line, wanted,
                                    visit=visit, values=self.called.values)  # fmt: skip
            if edit is None and self.matches[k].version.node.primitive is None and not self.budget.over:
                edit = self._of_result(k, wanted, wrong)
        edit = None if edit is None else self.called.as_written(edit)
        return found if edit is None else add_edit(found, edit, set(self.called.runs[0].graph.values))

    def _of_result(self, k: int, wanted: Sequence[Array | None], wrong: State) -> Edit | None:
        """Search the whole backward for an edit that makes the wrong gradient, one of its results, right."""
        before = [_parts(run.written.value) for run in self.called.runs]
        mine = self.walked.states[k].array
        place = self._place(k, [i for i, x in enumerate(before[0]) if _is_close(x, mine)])
        runs = [probe for probe, want in enumerate(wanted) if want is not None]
        if place is None or len(before) < len(wanted) or runs[:1] != [0]:
            return None

        def right(value: Any, probe: int) -> list[bool]:
            now, then = _parts(value), before[runs[probe]]
            return [_is_close(x, wanted[runs[probe]] if i == place else y)
                    for i, (x, y) in enumerate(zip(now, then, strict=True))]  # fmt: skip

        return nearest_edit(self.called.backward, lambda f, probe: self.called.call(f, runs[probe]), right,
                            probes=len(runs), lines=(wrong.statement.line,),
                            values=lambda probe: self.called.values(runs[probe]))  # fmt: skip

    def _place(self, k: int, found: Sequence[int]) -> int | None:
        """Return which of the results is the gradient of match `k`: of several equal ones, that of its input."""
        if len(found) < 2:
            return found[0] if found else None
        value, whole = self.called.runs[0].written.value, self.matches[k].given.belongs_to
        if isinstance(value, dict):
            names = [str(key) for key in value]
            named = {*names_for_gradient(self.matches[k].given.name), self.matches[k].given.name, whole}
            return next((i for i in found if {names[i], *names_for_gradient(names[i])} & named), None)
        inputs = self.called.inputs
        floats = [inputs.names[i] for i in dict.fromkeys(inputs.owner[i] for i in inputs.moving)]
        names = floats if len(value) == len(floats) else list(inputs.names)
        return next((i for i in found if i < len(names) and names[i] == whole), None)

    @staticmethod
    def _index(states: Sequence[State], state: State) -> int:
        return next((i for i, s in enumerate(states) if s.time == state.time), -1)

    def _run(self) -> list[tuple[list[Match], Walked] | None]:
        """Run both passes at other inputs (the first time only); None for a run with other matches."""
        if self.others is None:
            self.others = []
            called, rng = self.called, self.called.rng
            leaves = [called.inputs.leaves[i] for i in called.inputs.moving]
            for _ in range(PROBES):
                moved = [nearby(x, rng).astype(x.dtype) for x in leaves]
                count = len(called.runs)
                try:
                    tape, _, matches, _ = matched(called.at(moved))
                except Exception:  # user code may raise anything at inputs that it was not written for
                    del called.runs[count:]
                    continue
                same = [m.given.name for m in matches] == [m.given.name for m in self.matches]
                if not same:
                    self.others.append(None)
                    continue
                forced = {}
                for i, (mine, there) in enumerate(zip(self.matches, matches, strict=True)):
                    which = self._index(mine.states, self.walked.states[i])
                    if 0 <= which < len(there.states):
                        forced[i] = there.states[which]
                self.others.append((matches, injected(tape, matches, None, forced)))
        return self.others


def _parts(value: Any) -> list[Any]:
    """Return the results of a backward as a list."""
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, (tuple, list)) else [value]


def _is_close(x: Any, y: Any) -> bool:
    if not is_number(x) or np.shape(x) != np.shape(y):
        return False
    size = float(np.abs(np.asarray(y)).max(initial=0))
    return bool(np.allclose(np.asarray(raw(x)), y, rtol=1e-7, atol=1e-7 * size))


def _wanted(matches: Sequence[Match], walked: Walked, k: int, which: int) -> Array | None:
    """Return what the gradient of match `k` should hold after its state `which`; None if it cannot be said.

    Later statements may still add to it; what they add is taken as it is.
    """
    m = matches[k]
    if which >= len(m.states):
        return None
    here, end, arrived = m.states[which], walked.states[k], walked.arrived[m.version.node]
    if here.time == end.time:
        return arrived
    same = here.array.shape == end.array.shape == arrived.shape
    return here.array + (arrived - end.array) if same else None
