"""Find a small edit that mends a wrong line of a notebook cell.

The lines that computed a gradient are first run alone with the names of the namespace. If they give the value that the
namespace holds, edits of them are tried: with the same names, and with other forward values and random gradients, for
which the right result is known from the graph.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np

from ...node import Node
from ...tensor import raw
from ..edits import Edit, edit_of_step, nearest_edits
from ..experiment import nearby
from .matching import Match, reshaped
from .mending import Explained, add_edit
from .namespace import Namespace, scope_with
from .probes import is_close
from .running import Passes
from .statements import Statement
from .tape import Tape
from .tracing import State
from .walk import Walked

Array = np.ndarray[Any, Any]

PROBES = 2  # sets of other values with which an edit is tried


class Cells:
    """The names of a namespace, with which the lines of a wrong step are run alone, as written and edited."""

    def __init__(self, space: Namespace, run: Passes, tape: Tape, matches: list[Match], walked: Walked,
                 rng: np.random.Generator) -> None:  # fmt: skip
        self.run, self.tape, self.matches, self.walked, self.rng = run, tape, matches, walked, rng
        self.space = space

    def with_edit(self, explained: Explained, k: int, wrong_steps: Collection[int]) -> Explained:
        """Return the explanation of step `k` with the smallest edit of its lines that makes it right, if one is found.

        Other lines are not edited, so `wrong_steps`, the numbers of all wrong steps, is not needed.
        """
        label = self.matches[k].gradient.name
        statements = self._statements(label, explained.state)
        alone = self.space.alone(label, statements, explained.state.array)
        if alone is None:
            return explained
        lines, arrays = alone
        node = self.matches[k].version.node
        scopes, right_gradients = [arrays], [self.walked.rule_gradients[node]]
        names = [m.gradient.name for m in self.matches if m.gradient.name.isidentifier()]
        earlier = [name for name in names if self.space.is_bound_before(name, statements[0])]
        held = {name: np.array(raw(self.space.names[name])) for name in earlier}
        further_values = [self._further_values(arrays, self._forward_values({}) | held, earlier)]
        for _ in range(PROBES):
            values, right_gradient = self._draw_elsewhere(k)
            scopes.append(scope_with(arrays, values))
            right_gradients.append(right_gradient)
            further_values.append(self._further_values(arrays, values, earlier))

        def call(f: Any, probe: int) -> Any:
            return f(**scope_with(scopes[probe], {}))

        own = np.asarray(raw(call(lines, 0)))  # as the lines give it, with or without axes of length 1
        right_gradients = [reshaped(g, own) for g in right_gradients]
        edit = edit_of_step(lines, call, label, 1 + len(statements), right_gradients,
                            values=further_values.__getitem__)  # fmt: skip
        if edit is None and len(statements) > 1:
            found = nearest_edits(lines, call, lambda value, probe: [is_close(value, right_gradients[probe])],
                                  probes=1 + PROBES, values=further_values.__getitem__)  # fmt: skip
            edit = found[0] if found else None
        if edit is None:
            return explained
        edit = _with_cell_lines(edit, statements)
        value_names = {label for label, _ in self._tensors()}
        return explained._replace(diagnosis=add_edit(explained.diagnosis, edit, value_names))

    def without_guards(self, run: Passes, tape: Tape, matches: list[Match], walked: Walked) -> Cells:
        """Return the same for a forward without constants such as 1e-8."""
        other = copy(self)
        other.run, other.tape, other.matches, other.walked = run, tape, matches, walked
        return other

    def at(self, changed: Mapping[Node, Array], wrong: Collection[int]) -> tuple[Tape, list[Node], list[Match]]:
        """Run the graph at other inputs, and the lines of all steps in the order of the walk back.

        Where lines cannot be run alone, they are taken to give the right gradient, without constants such as 1e-8.

        Returns:
            The graph, its inputs, and the matches with its values.

        Raises:
            ValueError: lines of a step that is in `wrong` cannot be run alone.
        """
        tape, twins = self.tape.moved(changed)
        nodes = [twins.get(m.version.node, m.version.node) for m in self.matches]
        plain, plain_twins = tape.without_guards()
        plain_nodes = [plain_twins.get(node, node) for node in nodes]
        right_gradients = plain.walk(plain_nodes)
        values = self._forward_values(twins)
        values |= {m.gradient.name: right_gradients[node] for m, node in zip(self.matches, plain_nodes, strict=True)}
        matches = []
        for k, (m, node) in enumerate(zip(self.matches, nodes, strict=True)):
            name, state = m.gradient.name, self.walked.states[k]
            array = self._again(name, state, values)
            if array is None and k in wrong:
                raise ValueError(name)
            final = self._again(name, m.states[-1], values)
            values[name] = values[name] if final is None else final
            states = [state._replace(array=values[name] if array is None else array)]
            matches.append(m._replace(version=m.version._replace(node=node), states=states))
        return tape, [twins[node] for node in changed], matches

    def _again(self, name: str, state: State, values: Mapping[str, Array]) -> Array | None:
        """Return what a name holds in a state, with other values of what the lines read; None if they cannot run."""
        alone = self.space.alone(name, self._statements(name, state), state.array)
        return None if alone is None else np.asarray(raw(alone[0](**scope_with(alone[1], values))))

    def _statements(self, name: str, state: State) -> list[Statement]:
        """Return the statements that made what a name held: one, and those before it that made what it changes."""
        statements = self.space.statements_of(name)
        return statements[: statements.index(state.statement) + 1]

    def _forward_values(self, twins: Mapping[Node, Node]) -> dict[str, Array]:
        """Return the forward values at other inputs by name."""
        return {label: np.array(twins.get(v.node, v.node).out) for label, v in self._tensors()}

    def _tensors(self) -> list[tuple[str, Any]]:
        return [(label, bound_versions[-1]) for label, bound_versions in self.run.graph.versions.items()]

    def _further_values(
        self, arrays: Mapping[str, Any], values: Mapping[str, Array], gradients: Sequence[str] = ()
    ) -> dict[str, Array]:
        """Return the forward values and the earlier gradients whose names the lines do not read, by name."""
        labels = [*(label for label, _ in self._tensors() if label.isidentifier()), *gradients]
        return {label: values[label] for label in labels if label not in arrays}

    def _draw_elsewhere(self, k: int) -> tuple[dict[str, Array], Array]:
        """Return other forward values and random gradients by name, and the right gradient of step `k` for them."""
        rng = self.rng
        moved = {n: nearby(np.asarray(n.out), rng) for n in self.tape.leaves}
        tape, twins = self.tape.moved(moved)
        values = self._forward_values(twins)
        random_gradients = {}
        for j, m in enumerate(self.matches):
            if j != k:
                g = rng.normal(size=np.shape(m.version.node.out))
                random_gradients[twins.get(m.version.node, m.version.node)] = values[m.gradient.name] = g
        node = self.matches[k].version.node
        moved_node = twins.get(node, node)
        rule_gradients = tape.walk([*random_gradients, moved_node], lambda n, g, marked: random_gradients.get(n))
        return values, rule_gradients[moved_node]


def _with_cell_lines(edit: Edit, statements: Sequence[Statement]) -> Edit:
    """Return an edit with the line numbers of the cell instead of those of the function that runs its lines."""

    def in_cell(text: str) -> str:
        return re.sub(r"(?<=^[Ll]ine )\d+", lambda found: str(statements[int(found[0]) - 2].line), text)

    others = tuple(map(in_cell, edit.alternatives))
    return replace(edit, lineno=statements[edit.lineno - 2].line, sentence=in_cell(edit.sentence), alternatives=others)
